//! What the machine has to offer: git, tmux where an agent wants it, notices of changes, and whether a service manager would end our agents.

use std::collections::BTreeMap;
use std::process::Command;

use pipeline_worktrees::host::{self, HostError, Multiplexer, TMUX_VERSION_MIN};
use pipeline_worktrees::watch::Watcher;

use super::Finding;
use crate::config::Runtime;
use crate::context::Context;

/// The oldest git that has everything we ask of it.
const GIT_MIN: (u32, u32) = (2, 31);
/// Fewer watches than this are used up by a handful of editors.
const WATCHES_MIN: u64 = 1_024;
/// Fewer watchers than this are used up by a desktop.
const INSTANCES_MIN: u64 = 32;

pub(super) fn git() -> Finding {
    let install = "Install git 2.31 or newer.";
    let text = match Command::new("git").arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => return Finding::problem("git", format!("cannot be started: {error}"), install),
    };
    match version(&text) {
        Some(version) if version >= GIT_MIN => Finding::ok("git", text.trim_start_matches("git version ")),
        Some((major, minor)) => Finding::problem("git", format!("is {major}.{minor}, which is too old"), install),
        None => Finding::warning("git", format!("does not say its version: {text}"), install),
    }
}

/// Major and minor version in an answer such as `git version 2.39.3 (Apple Git-145)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether tmux is there, where an agent wants it.
pub(super) fn tmux(context: &Context) -> Option<Finding> {
    let agent = context.config().agents.iter().find(|agent| agent.runtime == Runtime::Tmux)?;
    let multiplexer = Multiplexer::of_repository(context.root(), context.environment());
    Some(of_tmux(host::tmux_version(&multiplexer), agent.name.as_str()))
}

fn of_tmux(found: Result<(u32, u32), HostError>, agent: &str) -> Finding {
    let (least_major, least_minor) = TMUX_VERSION_MIN;
    let remedy = format!(
        "Install tmux {least_major}.{least_minor} or newer, or write runtime = \"host\" for {agent} in .pipeline/config.toml."
    );
    match found {
        Ok((major, minor)) if (major, minor) >= TMUX_VERSION_MIN => Finding::ok("tmux", format!("{major}.{minor}")),
        Ok((major, minor)) => Finding::problem("tmux", format!("is {major}.{minor}, which is too old"), remedy),
        Err(HostError::Tmux { missing: true, .. }) => {
            Finding::problem("tmux", format!("is not there, and {agent} is to run in it"), remedy)
        }
        Err(error) => Finding::problem("tmux", error.to_string(), remedy),
    }
}

pub(super) fn watches(context: &Context) -> Vec<Finding> {
    let dir = context.folder();
    if dir.is_dir() {
        let mut watcher = Watcher::<()>::new(|_| {});
        if let Err(error) = watcher.watch(&dir, ()) {
            let remedy = "Raise that limit with `sysctl`; until then everything is polled every 2 s.";
            return vec![Finding::warning("notices", error.message, remedy)];
        }
    }
    let limits = [("max_user_watches", WATCHES_MIN), ("max_user_instances", INSTANCES_MIN)];
    let mut findings = Vec::new();
    for (name, least) in limits {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).unwrap_or_default();
        if let Some(limit) = text.trim().parse::<u64>().ok().filter(|limit| *limit < least) {
            let remedy = format!("sysctl -w fs.inotify.{name}={}", least * 8);
            findings.push(Finding::warning("notices", format!("the limit {name} is only {limit}"), remedy));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("notices", "changes are noticed at once"));
    }
    findings
}

pub(super) fn service(context: &Context) -> Option<Finding> {
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unit = unit(&cgroup, context.environment())?;
    Some(Finding::warning(
        "service",
        format!("this runs inside the systemd unit {unit}, which ends all agents when it ends"),
        "Set KillMode=process in that unit if it runs `pipeline monitor --once`.",
    ))
}

/// The systemd unit that this process belongs to, where systemd started it as a service.
fn unit<'a>(cgroup: &'a str, environment: &BTreeMap<String, String>) -> Option<&'a str> {
    if !environment.contains_key("INVOCATION_ID") {
        return None;
    }
    let last = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?.rsplit('/').next()?;
    // Sessions and the user's own manager are services too, and end nothing of ours.
    (last.ends_with(".service") && !last.starts_with("user@") && !last.contains("terminal")).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git_are_read_as_all_systems_write_them() {
        assert_eq!(version("git version 2.43.0"), Some((2, 43)));
        assert_eq!(version("git version 2.39.3 (Apple Git-145)"), Some((2, 39)));
        assert_eq!(version("git version 3.1.windows.1"), Some((3, 1)));
        assert_eq!(version("hub 1"), None);
        assert!((2, 30) < GIT_MIN && (3, 0) > GIT_MIN);
    }

    #[test]
    fn a_tmux_that_is_missing_or_too_old_is_a_problem() {
        let missing = HostError::Tmux { message: "is not there".to_owned(), missing: true };
        let finding = of_tmux(Err(missing), "dev");
        assert!(finding.found.contains("dev is to run in it") && finding.remedy.contains("runtime = \"host\""));
        assert_eq!(of_tmux(Ok((3, 0)), "dev").found, "is 3.0, which is too old");
        assert_eq!(of_tmux(Ok((3, 2)), "dev"), Finding::ok("tmux", "3.2"));
    }

    #[test]
    fn only_a_service_that_systemd_started_is_named() {
        let started = BTreeMap::from([("INVOCATION_ID".to_owned(), "1".to_owned())]);
        assert_eq!(unit("0::/system.slice/pipeline.service\n", &started), Some("pipeline.service"));
        assert_eq!(unit("0::/system.slice/pipeline.service\n", &BTreeMap::new()), None);
        assert_eq!(unit("0::/user.slice/user-1.slice/session-2.scope\n", &started), None);
        assert_eq!(unit("0::/user.slice/user@1000.service\n", &started), None);
        assert_eq!(unit("", &started), None);
    }
}
