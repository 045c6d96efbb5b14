//! What people wrote down: the configuration, the workflows, the agents and whether their programs are there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline_lib::agents::preset::Preset;
use pipeline_lib::registry::alerts::Channel;
use pipeline_lib::settings::Sandbox;
use pipeline_lib::text::counted;
use pipeline_worktrees::host::{self, Namespaces};

use super::Finding;
use crate::config::{AgentConfig, LocatedProblem};
use crate::context::Context;
use crate::engine::Engine;
use crate::error::{chain, exit};
use crate::supervisor::{hooks_lacking, sandbox_lacking};

/// Where programs are looked for when nothing says where.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

pub(super) fn configuration(context: &Context) -> Vec<Finding> {
    let mut findings = vec![base(context)];
    let count = context.config().agents.len();
    let warnings = &context.loaded().warnings;
    findings.push(match count {
        0 => Finding::warning("config", "there is no agent", "pipeline agent add NAME --role ROLE --preset PRESET"),
        _ if warnings.is_empty() => Finding::ok("config", format!("valid, {count} agents")),
        _ => of_problems("config", warnings, "pipeline config validate"),
    });
    if !context.definitions().problems.is_empty() {
        findings.push(of_problems("agent files", &context.definitions().problems, "pipeline config validate"));
    }
    let set = context.workflows();
    findings.push(if set.problems.is_empty() {
        Finding::ok("workflows", format!("valid, {}", set.workflows.len()))
    } else {
        of_problems("workflows", &set.problems, "pipeline workflow validate")
    });
    if context.config().project.verify.is_none() {
        let found = "no verify command is set, so claims are taken as they are";
        let remedy = "Set `verify` in the [project] section of .pipeline/config.toml.";
        findings.push(Finding::warning("gate", found, remedy));
    }
    findings
}

/// Whether alerts can reach anybody: addresses that are not there, and channels that did not deliver the last one.
pub(super) fn alerts(context: &Context) -> Vec<Finding> {
    let alerts = &context.registry().alerts;
    let mut findings = Vec::new();
    for (name, channel) in &alerts.channels {
        let Channel::Webhook { url, .. } = channel else { continue };
        let variable = url.strip_prefix('$');
        if let Some(variable) = variable.filter(|v| context.environment().get(*v).is_none_or(|url| url.is_empty())) {
            let found = format!("channel {name} has no address: {variable} is not set here");
            findings.push(Finding::warning("alerts", found, format!("Set {variable} where the monitor is started.")));
        }
    }
    let standing = Engine::open(context).map(|engine| engine.pipeline().core.alerts.clone()).unwrap_or_default();
    for alert in standing {
        let Some(channel) = alert.notice.channel else { continue };
        let found = format!("channel {channel} did not deliver at {}: {}", alert.at, alert.notice.text);
        findings.push(Finding::warning(
            "alerts",
            found,
            "See .pipeline/logs/alerts.log, and mend the channel in .pipeline/registry.json.",
        ));
    }
    if findings.is_empty() && !alerts.rules.is_empty() {
        let rules = counted(alerts.rules.len(), "rule");
        findings.push(Finding::ok("alerts", format!("{rules}, {}", counted(alerts.channels.len(), "channel"))));
    }
    findings
}

pub(super) fn base(context: &Context) -> Finding {
    match context.base_head() {
        Ok(head) => Finding::ok("base branch", format!("{} at {}", context.base(), head.short())),
        Err(error) => {
            let remedy = "Set `base` in the [project] section of .pipeline/config.toml to a branch that exists.";
            Finding::problem("base branch", format!("failed to {}", chain(&error)), remedy)
        }
    }
}

fn of_problems(about: &str, problems: &[LocatedProblem], remedy: &str) -> Finding {
    let text: Vec<String> = problems.iter().take(8).map(ToString::to_string).collect();
    let text = text.join("\n");
    if problems.iter().all(|problem| problem.warning) {
        Finding::warning(about, text, remedy)
    } else {
        Finding::problem(about, text, remedy).with_code(exit::CONFIG)
    }
}

pub(super) fn agents(context: &Context) -> Vec<Finding> {
    let look = |agent: &AgentConfig| {
        let about = format!("agent {}", agent.name);
        let template = agent.template();
        let Some(program) = template.first() else {
            let remedy = format!("Give {} a `command` in .pipeline/config.toml.", agent.name);
            return Finding::problem(about, "it has no command", remedy);
        };
        // The demonstration's agents are this very program; a template is only known when it is filled.
        if (agent.preset == Preset::Demo && program == "pipeline") || program.contains('{') {
            return Finding::ok(about, format!("{program} ({})", agent.preset));
        }
        let path = agent.env.get("PATH").or_else(|| context.environment().get("PATH"));
        match find_program(program, path.map_or(PATH_DEFAULT, String::as_str), context.root()) {
            Some(found) => {
                Finding::ok(about, format!("{} ({}: {})", found.display(), agent.preset, agent.preset.info().note))
            }
            None => {
                let remedy = format!("Install it, or remove the agent: `pipeline agent remove {}`.", agent.name);
                Finding::problem(about, format!("its program `{program}` is not there or cannot be executed"), remedy)
            }
        }
    };
    let agents = &context.config().agents;
    let unheard = agents.iter().filter_map(|agent| unheard(context, agent));
    agents.iter().map(look).chain(unheard).chain(sandboxes(agents)).collect()
}

/// What of an agent's session is known from its screen alone, although its program could say more.
fn unheard(context: &Context, agent: &AgentConfig) -> Option<Finding> {
    let why = hooks_lacking(context, agent)?;
    let found = format!("its screen alone says what its sessions do: {why}");
    let remedy = match agent.preset {
        Preset::Gemini => "Write an extension that you may link: `pipeline hook --gemini-extension FOLDER`.",
        _ => "Leave the variable out of its environment, if nothing else needs it.",
    };
    Some(Finding::warning(format!("hooks of {}", agent.name), found, remedy))
}

/// How far the agents are confined, and whether this machine can do it.
fn sandboxes(agents: &[AgentConfig]) -> Vec<Finding> {
    let lacking = agents.iter().filter_map(|agent| Some((agent, sandbox_lacking(agent)?)));
    let mut findings: Vec<Finding> = lacking
        .map(|(agent, why)| {
            let remedy =
                format!("Until then {} does not start. Write another level in .pipeline/config.toml.", agent.name);
            Finding::problem(format!("sandbox of {}", agent.name), why, remedy)
        })
        .collect();
    let open: Vec<&str> = agents.iter().filter(|a| a.sandbox == Sandbox::Off).map(|a| a.name.as_str()).collect();
    if !open.is_empty() {
        let found = format!("off for {}: what they run can do whatever you can", open.join(", "));
        let remedy = "Write sandbox = \"basic\" in their blocks of .pipeline/config.toml.";
        findings.push(Finding::warning("sandbox", found, remedy));
    } else if findings.is_empty() && !agents.is_empty() {
        let strict = agents.iter().any(|agent| agent.sandbox == Sandbox::Strict);
        let found = match strict.then(host::namespaces_available) {
            None => "every agent is confined".to_owned(),
            Some(Namespaces::All) => {
                "every agent is confined, strict ones in namespaces of their own and without sight of other processes"
                    .to_owned()
            }
            Some(Namespaces::ButProcesses(why)) => format!(
                "every agent is confined, strict ones in namespaces of their own, and they see the names and arguments \
                 of other processes: {why}"
            ),
            Some(Namespaces::None(why)) => format!(
                "every agent is confined, and strict ones have no shared memory, and see the names and arguments of \
                 other processes: {why}"
            ),
        };
        findings.push(Finding::ok("sandbox", found));
    }
    findings
}

/// Where a program is, as the system would look for it. One with a slash is relative to a worktree, which has the same
/// files as the main checkout.
fn find_program(program: &str, path: &str, root: &Path) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(root.join(program)).filter(executable);
    }
    path.split(':').filter(|dir| !dir.is_empty()).map(|dir| root.join(dir).join(program)).find(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_the_system_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::write(bin.join("tool"), "").unwrap();
        let path = format!("/nonexistent:{}", bin.display());
        assert_eq!(find_program("tool", &path, dir.path()), None, "not executable");
        std::fs::set_permissions(bin.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_program("tool", &path, dir.path()), Some(bin.join("tool")));
        assert_eq!(find_program("./bin/tool", "", dir.path()), Some(dir.path().join("./bin/tool")));
        assert_eq!(find_program("bin", &dir.path().to_string_lossy(), dir.path()), None, "a folder is no program");
    }
}
