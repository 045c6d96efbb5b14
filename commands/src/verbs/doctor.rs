//! `pipeline doctor`: looks the installation and the state over, says what is wrong and what to type, and with `--repair`
//! mends what can be mended without losing anything. Every look is one that works when the others do not.

mod configuration;
mod machine;
mod repair;
mod state;

use pipeline_lib::view::SCHEMA_VERSION;
use serde_json::json;

use crate::context::{Context, Site};
use crate::dispatch::Call;
use crate::error::{Result, exit};
use crate::output::Output;
use crate::table::columns;

/// Check the installation and the state.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Mend what can be mended; what is taken out of the state is copied first
    #[arg(long)]
    pub repair: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// What was looked at, in one or two words.
    about: String,
    level: Level,
    /// What was found, in words.
    found: String,
    /// What to type or do about it; empty where nothing has to be done.
    remedy: String,
    /// The exit code it asks for.
    code: u8,
}

impl Finding {
    fn ok(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Ok, found: found.into(), remedy: String::new(), code: exit::OK }
    }

    fn warning(about: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, remedy: remedy.into(), ..Self::ok(about, found) }
    }

    fn problem(about: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Problem, code: exit::FAILED, ..Self::warning(about, found, remedy) }
    }

    fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Looks everything over.
///
/// # Errors
/// When the answer cannot be written, or a repair fails.
pub fn run(call: &Call, args: &Doctor) -> Result<u8> {
    let mut findings = vec![machine::git()];
    let mut mended = Vec::new();
    match Site::find(&call.globals) {
        Err(error) => {
            findings.push(Finding::problem("repository", error.message, error.hint.unwrap_or_default()));
        }
        Ok(site) => {
            if args.repair {
                mended = repair::repair(call, &site)?;
            }
            findings.extend(look_over(call, site));
        }
    }
    report(&call.output, &findings, &mended)?;
    Ok(exit_code(&findings))
}

/// What is wrong, in words; warnings are not. For `rollout check`.
#[must_use]
pub fn problems(context: &Context) -> Vec<String> {
    let findings = std::iter::once(machine::git()).chain(of_context(context)).chain(of_state(context));
    let problems = findings.filter(|finding| finding.level == Level::Problem);
    problems.map(|finding| format!("{}: {}", finding.about, finding.found.lines().next().unwrap_or_default())).collect()
}

fn look_over(call: &Call, site: Site) -> Vec<Finding> {
    let mut findings =
        vec![Finding::ok("repository", format!("{} ({})", site.root.display(), site.repo.backend_name()))];
    let initialised = site.is_initialised();
    let state_dir = site.folder().join("state");
    if !initialised {
        let found = "there is no pipeline in this repository yet";
        findings.push(Finding::problem("pipeline", found, "pipeline init"));
    }
    match Context::load(&call.globals, &call.output, site) {
        Ok(context) if initialised => {
            findings.extend(of_context(&context));
            findings.extend(of_state(&context));
        }
        // What would be written into a configuration cannot be followed before there is one.
        Ok(context) => {
            findings.push(configuration::base(&context));
            findings.extend(of_machine(&context));
        }
        Err(error) => {
            let about = if error.code == exit::CONFIG { "config" } else { "base branch" };
            let code = if error.code == exit::CONFIG { exit::CONFIG } else { exit::FAILED };
            let remedy = error.hint.unwrap_or_else(|| "pipeline config validate".to_owned());
            findings.push(Finding::problem(about, error.message, remedy).with_code(code));
            // The state does not depend on the configuration.
            if initialised {
                findings.extend(state::files(&state_dir));
            }
        }
    }
    findings
}

fn of_context(context: &Context) -> Vec<Finding> {
    let mut findings = configuration::configuration(context);
    findings.extend(configuration::agents(context));
    findings.extend(of_machine(context));
    findings
}

fn of_machine(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(machine::tmux(context));
    findings.extend(machine::watches(context));
    findings.extend(machine::service(context));
    findings
}

fn of_state(context: &Context) -> Vec<Finding> {
    let mut findings = state::files(&context.state_dir());
    findings.extend(state::worktrees(context));
    findings.extend(state::runs(context));
    findings.extend(state::monitor(context));
    findings.extend(configuration::alerts(context));
    findings
}

/// The most telling code: damage before a wrong configuration before anything else.
fn exit_code(findings: &[Finding]) -> u8 {
    let has = |code: u8| findings.iter().any(|finding| finding.code == code);
    [exit::CORRUPT, exit::CONFIG, exit::FAILED].into_iter().find(|code| has(*code)).unwrap_or(exit::OK)
}

fn report(out: &Output, findings: &[Finding], mended: &[String]) -> Result<()> {
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    if out.json {
        let checks: Vec<_> = findings
            .iter()
            .map(|f| json!({ "check": f.about, "level": f.level.word(), "message": f.found, "remedy": f.remedy }))
            .collect();
        return out.json(&json!({
            "schema_version": SCHEMA_VERSION,
            "ok": count(Level::Problem) == 0,
            "problems": count(Level::Problem),
            "warnings": count(Level::Warning),
            "checks": checks,
            "mended": mended,
        }));
    }
    for line in mended {
        out.line(&format!("mended: {line}"))?;
    }
    let mut rows = Vec::new();
    for finding in findings {
        let code = match finding.level {
            Level::Ok => "32",
            Level::Warning => "33",
            Level::Problem => "1;31",
        };
        let mut lines = finding.found.lines();
        let word = out.paint(code, finding.level.word());
        rows.push(vec![word, finding.about.clone(), lines.next().unwrap_or_default().to_owned()]);
        rows.extend(lines.map(|line| vec![String::new(), String::new(), line.to_owned()]));
        if !finding.remedy.is_empty() {
            rows.push(vec![String::new(), String::new(), format!("→ {}", finding.remedy)]);
        }
    }
    for line in columns(&rows) {
        out.line(&line)?;
    }
    out.line("")?;
    out.line(&match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("all is well; {warnings} to look at"),
        (problems, 0) => format!("{problems} to mend"),
        (problems, warnings) => format!("{problems} to mend, {warnings} to look at"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_telling_code_is_given() {
        let problem = |code| Finding::problem("a", "b", "c").with_code(code);
        assert_eq!(exit_code(&[Finding::ok("a", "b"), Finding::warning("a", "b", "c")]), exit::OK);
        assert_eq!(exit_code(&[problem(exit::FAILED), problem(exit::CONFIG)]), exit::CONFIG);
        assert_eq!(exit_code(&[problem(exit::CONFIG), problem(exit::CORRUPT)]), exit::CORRUPT);
    }

    #[test]
    fn every_problem_comes_with_what_to_type() {
        let (out, text) = Output::captured();
        let findings =
            [Finding::ok("git", "2.43.0"), Finding::problem("agent a", "no\nprogram", "pipeline agent remove a")];
        report(&out, &findings, &[]).unwrap();
        let expected = "ok       git      2.43.0\nproblem  agent a  no\n                  program\n                  → pipeline \
                        agent remove a\n\n1 to mend\n";
        assert_eq!(*text.lock().unwrap(), expected);
    }
}
