//! A hub: a stage that looks at what already holds and chooses the stage that makes the next thing hold. The choice is
//! made by rule, here, from what probes found and from what happened so far; whoever performs it only runs commands.
//!
//! The rules, the first that fits: give up after the same failure five times or two recoveries in vain; mend what the
//! last stage left broken, with the advice to reset everything after the same failure three times; mend a warning before
//! anything fails; start everything that is missing and has what it needs, what takes longest first; validate; done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::StageId;
use crate::text;

/// The same failure so often in a row makes the advice change.
pub const STRATEGY_CHANGES_AT: u32 = 3;
/// The same failure so often in a row is a person's business.
const GIVES_UP_AT: u32 = 5;
/// Recoveries that failed in a row after which no more is tried.
const RECOVERIES_MAX: u32 = 2;
/// What is advised when mending did not help.
pub const RESET_ADVICE: &str = "full reset recommended";
/// How the line begins that a hub's command ends with.
const LINE: &str = "PIPELINE-HUB";
/// The longest error in a reasoning or a fingerprint, in characters.
const ERROR_CHARS_MAX: usize = 160;

/// What a hub works towards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hub {
    /// What has to hold, in the order of the file.
    pub requirements: Vec<Requirement>,
    /// The stage that mends what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<StageId>,
    /// The stage that checks the whole once every requirement holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<StageId>,
    /// Warnings that are worth mending before anything fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One thing that has to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// Its name.
    pub name: String,
    /// The stage that makes it hold.
    pub stage: StageId,
    /// A shell command that exits with 0 where it holds; without one it holds once its stage has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Requirements that have to hold before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// Something that is not wrong yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it is, for people and for the stage that mends it.
    pub name: String,
    /// A shell command that exits with 0 where all is well.
    pub probe: String,
}

/// What the probes of a hub found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// For each requirement whether it holds; `None` where it has no probe.
    pub holds: Vec<Option<bool>>,
    /// For each warning whether all is well.
    pub well: Vec<bool>,
}

/// What a stage said when it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past<'a> {
    /// Which.
    pub stage: &'a StageId,
    /// What it decided.
    pub decision: &'a str,
    /// In words.
    pub summary: &'a str,
}

/// What a hub chose, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// One word for it, such as `delegate_daemon`.
    pub decision: String,
    /// For people.
    pub reasoning: String,
    /// What is done.
    pub step: Step,
}

/// What a hub does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These stages are done, all at the same time.
    Delegate(Vec<StageId>),
    /// A stage mends something.
    Mend {
        /// Which.
        stage: StageId,
        /// What it should know.
        hint: String,
    },
    /// The whole is checked.
    Validate(StageId),
    /// Everything holds.
    Complete,
    /// A person has to look.
    Escalate,
}

/// What else a choice rests on.
pub struct Known<'a> {
    /// The hub's own stage.
    pub hub: &'a StageId,
    /// Everything that was done so far, the oldest first.
    pub past: &'a [Past<'a>],
    /// Whether a decision of a stage means that its work is done.
    pub is_done: &'a dyn Fn(&StageId, &str) -> bool,
    /// How long a stage usually takes, in seconds.
    pub expected: &'a dyn Fn(&StageId) -> Option<f64>,
}

/// A failure as it is recognised again: the stage and the error without what differs from one time to the next.
#[must_use]
pub fn fingerprint(stage: &StageId, error: &str) -> String {
    let line = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut out = String::new();
    let mut last = ' ';
    for c in line.trim().chars().flat_map(char::to_lowercase).take(ERROR_CHARS_MAX) {
        let c = if c.is_ascii_digit() {
            '#'
        } else if c.is_whitespace() {
            ' '
        } else {
            c
        };
        if !(c == last && (c == '#' || c == ' ')) {
            out.push(c);
        }
        last = c;
    }
    format!("{stage}: {out}")
}

/// What happened so far, as it matters for the next choice.
#[derive(Default)]
struct History {
    /// Failures in a row, by fingerprint.
    failures: BTreeMap<String, u32>,
    /// Recoveries in a row that failed.
    recoveries_failed: u32,
    /// What the last stage before now left broken: its stage and its error.
    broken: Option<(StageId, String)>,
    /// Requirements whose last result was good.
    done: BTreeMap<StageId, bool>,
    /// Warnings that were mended once.
    warned: Vec<String>,
    /// Whether the whole was found good since anything else was done.
    validated: bool,
    attempts: u32,
}

impl Hub {
    /// The command that looks at everything. It prints one line with a figure for each thing, and always succeeds.
    #[must_use]
    pub fn script(&self) -> String {
        let mut script = String::from("r=; w=\n");
        for requirement in &self.requirements {
            match &requirement.probe {
                Some(probe) => ask(&mut script, 'r', probe),
                None => script.push_str("r=\"${r}-\"\n"),
            }
        }
        for warning in &self.warnings {
            ask(&mut script, 'w', &warning.probe);
        }
        script.push_str("echo \"");
        script.push_str(LINE);
        script.push_str(" r:$r w:$w\"\n");
        script
    }

    /// What that command found; `None` where its line is missing or is about something else.
    #[must_use]
    pub fn read(&self, output: &str) -> Option<Look> {
        let line = output.lines().rev().find_map(|line| line.trim().strip_prefix(LINE))?;
        let (requirements, warnings) = line.trim().strip_prefix("r:")?.split_once(" w:")?;
        let holds = requirements.chars().map(|c| (c != '-').then_some(c == '0')).collect::<Vec<_>>();
        let well = warnings.trim().chars().map(|c| c == '0').collect::<Vec<_>>();
        let fits = holds.len() == self.requirements.len() && well.len() == self.warnings.len();
        fits.then_some(Look { holds, well })
    }

    /// The stages that come back to the hub when they are done.
    #[must_use]
    pub fn serves(&self, stage: &StageId) -> bool {
        self.requirements.iter().any(|requirement| requirement.stage == *stage)
            || self.recovery.as_ref() == Some(stage)
            || self.validation.as_ref() == Some(stage)
    }

    /// What is done next.
    #[must_use]
    pub fn choose(&self, look: &Look, known: &Known<'_>) -> Chosen {
        let history = self.history(known);
        let holds: Vec<bool> = self
            .requirements
            .iter()
            .zip(&look.holds)
            .map(|(r, seen)| seen.unwrap_or_else(|| history.done.get(&r.stage).copied().unwrap_or(false)))
            .collect();
        let broken = self.broken(&history, &holds);
        if let Some((stage, error)) = &broken {
            let print = fingerprint(stage, error);
            let times = history.failures.get(&print).copied().unwrap_or(0).max(1);
            if times >= GIVES_UP_AT || history.recoveries_failed >= RECOVERIES_MAX || self.recovery.is_none() {
                return self.escalate(stage, error, times, &history);
            }
            return self.mend(stage, error, times);
        }
        let warning = self
            .warnings
            .iter()
            .zip(&look.well)
            .find(|(warning, well)| !**well && self.recovery.is_some() && !history.warned.contains(&warning.name));
        if let (Some((warning, _)), Some(stage)) = (warning, &self.recovery) {
            let hint = format!("warning: {}", warning.name);
            let reasoning =
                format!("Nothing has failed yet, and there is a warning: {}. It is mended first.", warning.name);
            let step = Step::Mend { stage: stage.clone(), hint };
            return Chosen { decision: format!("prevent_{}", word(&warning.name)), reasoning, step };
        }
        if holds.iter().all(|holds| *holds) {
            return self.complete(&history);
        }
        self.delegate(&holds, known, &history)
    }

    fn broken(&self, history: &History, holds: &[bool]) -> Option<(StageId, String)> {
        let (stage, error) = history.broken.clone()?;
        let requirement = self.requirements.iter().position(|r| r.stage == stage);
        // What came to hold all the same needs no mending.
        (!requirement.is_some_and(|at| holds[at])).then_some((stage, error))
    }

    fn history(&self, known: &Known<'_>) -> History {
        let mut history = History::default();
        for past in known.past {
            let done = (known.is_done)(past.stage, past.decision);
            if past.stage == known.hub {
                if let Some(name) = past.decision.strip_prefix("prevent_") {
                    let warning = self.warnings.iter().find(|warning| word(&warning.name) == name);
                    history.warned.extend(warning.map(|warning| warning.name.clone()));
                }
                continue;
            }
            history.validated = self.validation.as_ref() == Some(past.stage) && done;
            if self.recovery.as_ref() == Some(past.stage) {
                history.recoveries_failed = if done { 0 } else { history.recoveries_failed + 1 };
                // What it mended is tried again; a recovery that failed leaves broken what was.
                if done {
                    history.broken = None;
                }
                continue;
            }
            if !self.serves(past.stage) {
                continue;
            }
            history.attempts += 1;
            history.done.insert(past.stage.clone(), done);
            if done {
                history.failures.retain(|print, _| !print.starts_with(&format!("{}: ", past.stage)));
                history.broken = None;
            } else {
                *history.failures.entry(fingerprint(past.stage, past.summary)).or_default() += 1;
                history.broken = Some((past.stage.clone(), past.summary.to_owned()));
            }
        }
        history
    }

    fn mend(&self, stage: &StageId, error: &str, times: u32) -> Chosen {
        let error = text::one_line(last_line(error), ERROR_CHARS_MAX);
        let reset = times >= STRATEGY_CHANGES_AT;
        let hint = if reset { format!("{RESET_ADVICE}: {error}") } else { error.clone() };
        let reasoning = match times {
            1 => format!("{stage} failed: {error}. It is mended before it is tried again; what holds is left alone."),
            _ if reset => {
                format!("{stage} failed {times} times in the same way: {error}. Another strategy: {RESET_ADVICE}.")
            }
            _ => format!("{stage} failed {times} times in the same way: {error}. It is mended once more."),
        };
        let step = match &self.recovery {
            Some(recovery) => Step::Mend { stage: recovery.clone(), hint },
            None => Step::Escalate,
        };
        Chosen { decision: format!("recover_{stage}"), reasoning, step }
    }

    /// Everything that a person needs to go on from here.
    fn escalate(&self, stage: &StageId, error: &str, times: u32, history: &History) -> Chosen {
        let error = text::one_line(last_line(error), ERROR_CHARS_MAX);
        let mut report = format!("{stage} failed {times} times in the same way: {error}.\n\nWhat was tried:\n");
        for (print, count) in &history.failures {
            report.push_str(&format!("- {print}: {count} times\n"));
        }
        report.push_str(&format!(
            "- {} attempts in all, {} recoveries in a row failed\n",
            history.attempts, history.recoveries_failed
        ));
        report.push_str("\nWhat to do by hand:\n");
        report.push_str(&format!("- look at the output of the last run of {stage}\n"));
        let probe = self.requirements.iter().find(|r| r.stage == *stage).and_then(|r| r.probe.as_ref());
        if let Some(probe) = probe {
            report.push_str(&format!("- make this succeed: {probe}\n"));
        }
        report.push_str("- then let the task go on with `pipeline task retry`");
        Chosen { decision: "escalate".to_owned(), reasoning: report, step: Step::Escalate }
    }

    fn complete(&self, history: &History) -> Chosen {
        match &self.validation {
            Some(stage) if !history.validated => Chosen {
                decision: "validate".to_owned(),
                reasoning: "Everything that is required holds. The whole is checked.".to_owned(),
                step: Step::Validate(stage.clone()),
            },
            Some(_) | None => Chosen {
                decision: "complete".to_owned(),
                reasoning: "Everything that is required holds.".to_owned(),
                step: Step::Complete,
            },
        }
    }

    fn delegate(&self, holds: &[bool], known: &Known<'_>, history: &History) -> Chosen {
        let held = |name: &String| self.requirements.iter().zip(holds).any(|(r, holds)| r.name == *name && *holds);
        let missing = self.requirements.iter().zip(holds).filter(|(_, holds)| !**holds).map(|(r, _)| r);
        let mut able: Vec<&Requirement> = missing.clone().filter(|r| r.after.iter().all(held)).collect();
        let mut seen: Vec<&StageId> = Vec::new();
        able.retain(|r| {
            !seen.contains(&&r.stage) && {
                seen.push(&r.stage);
                true
            }
        });
        if able.is_empty() {
            let names: Vec<&str> = missing.map(|r| r.name.as_str()).collect();
            let reasoning =
                format!("These wait for each other or for something that is not there: {}.", names.join(", "));
            return Chosen { decision: "escalate".to_owned(), reasoning, step: Step::Escalate };
        }
        // A stable sort: what nobody has measured keeps its order.
        let seconds = |r: &Requirement| (known.expected)(&r.stage).unwrap_or(0.0);
        able.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
        let names: Vec<&str> = able.iter().map(|r| r.name.as_str()).collect();
        let standing: Vec<&str> =
            self.requirements.iter().zip(holds).filter(|(_, holds)| **holds).map(|(r, _)| r.name.as_str()).collect();
        let already = match (standing.is_empty(), history.attempts) {
            (true, 0) => "Nothing holds yet".to_owned(),
            (true, _) => "Nothing holds".to_owned(),
            (false, _) => format!("{} holds", standing.join(", ")),
        };
        let together = if names.len() > 1 { ", which need nothing of each other" } else { "" };
        Chosen {
            decision: format!("delegate_{}", names.iter().map(|name| word(name)).collect::<Vec<_>>().join("_and_")),
            reasoning: format!("{already}; next: {}{together}.", names.join(", ")),
            step: Step::Delegate(able.into_iter().map(|r| r.stage.clone()).collect()),
        }
    }
}

fn ask(script: &mut String, name: char, probe: &str) {
    script.push_str(&format!(
        "if (\n{probe}\n) </dev/null >/dev/null 2>&1; then {name}=\"${{{name}}}0\"; else {name}=\"${{{name}}}1\"; fi\n"
    ));
}

fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn last_line(error: &str) -> &str {
    error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no error was printed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> StageId {
        StageId::new(name).unwrap()
    }

    fn requirement(name: &str, after: &[&str], probe: bool) -> Requirement {
        Requirement {
            name: name.to_owned(),
            stage: id(&format!("handle_{name}")),
            probe: probe.then(|| format!("check {name}")),
            after: after.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn hub() -> Hub {
        Hub {
            requirements: vec![
                requirement("configs", &[], true),
                requirement("daemon", &["configs"], true),
                requirement("pool", &["daemon"], true),
                requirement("monitoring", &["configs"], true),
            ],
            recovery: Some(id("handle_recovery")),
            validation: Some(id("validate")),
            warnings: vec![Warning { name: "low disk".to_owned(), probe: "df".to_owned() }],
        }
    }

    /// The choice where these hold, after these stages decided and said this.
    fn choose(hub: &Hub, holds: &[bool], past: &[(&str, &str, &str)]) -> Chosen {
        let ids: Vec<StageId> = past.iter().map(|(stage, _, _)| id(stage)).collect();
        let past: Vec<Past<'_>> =
            past.iter().zip(&ids).map(|((_, decision, summary), stage)| Past { stage, decision, summary }).collect();
        let well = hub.warnings.iter().map(|_| true).collect();
        let look = Look { holds: holds.iter().map(|holds| Some(*holds)).collect(), well };
        let known = Known {
            hub: &id("orchestrate"),
            past: &past,
            is_done: &|_, decision| decision.ends_with("ready") || decision == "success",
            expected: &|stage| (stage.as_str() == "handle_monitoring").then_some(90.0),
        };
        hub.choose(&look, &known)
    }

    #[test]
    fn the_first_gap_is_delegated_in_the_order_of_dependencies() {
        let hub = hub();
        assert_eq!(choose(&hub, &[false; 4], &[]).step, Step::Delegate(vec![id("handle_configs")]));
        let both = choose(&hub, &[true, false, false, false], &[]);
        assert_eq!(both.step, Step::Delegate(vec![id("handle_monitoring"), id("handle_daemon")]), "the longest first");
        assert_eq!(both.decision, "delegate_monitoring_and_daemon");
        let partial = choose(&hub, &[true, true, false, true], &[]);
        assert_eq!(partial.step, Step::Delegate(vec![id("handle_pool")]), "what holds is skipped");
    }

    #[test]
    fn what_failed_is_mended_and_nothing_else_is_repeated() {
        let past = [("handle_daemon", "daemon_ready", ""), ("handle_pool", "pool_failure", "port 3333 in use")];
        let mend = choose(&hub(), &[true, true, false, true], &past);
        assert_eq!(mend.step, Step::Mend { stage: id("handle_recovery"), hint: "port 3333 in use".to_owned() });
        let mended = [past[0], past[1], ("handle_recovery", "success", "")];
        assert_eq!(choose(&hub(), &[true, true, false, true], &mended).step, Step::Delegate(vec![id("handle_pool")]));
    }

    #[test]
    fn the_same_failure_three_times_changes_the_strategy_and_five_times_is_a_persons_business() {
        let failure = ("handle_daemon", "daemon_failure", "corrupted block database at 0x1f3");
        let mended = ("handle_recovery", "success", "restarted");
        let mut past = Vec::new();
        let mut hints = Vec::new();
        for _ in 0..5 {
            past.push(failure);
            let chosen = choose(&hub(), &[true, false, false, true], &past);
            hints.push(match chosen.step {
                Step::Mend { hint, .. } => hint.contains(RESET_ADVICE),
                Step::Escalate => {
                    assert!(chosen.reasoning.contains("5 times") && chosen.reasoning.contains("check daemon"));
                    break;
                }
                other => panic!("{other:?}"),
            });
            past.push(mended);
        }
        assert_eq!(hints, [false, false, true, true]);
    }

    #[test]
    fn a_success_forgets_only_its_own_failures() {
        let past = [
            ("handle_daemon", "daemon_failure", "x"),
            ("handle_daemon", "daemon_failure", "x"),
            ("handle_pool", "pool_ready", ""),
            ("handle_daemon", "daemon_failure", "x"),
        ];
        let Step::Mend { hint, .. } = choose(&hub(), &[true, false, true, true], &past).step else { panic!() };
        assert!(hint.contains(RESET_ADVICE));
        let past = [past[0], past[1], ("handle_daemon", "daemon_ready", ""), past[3]];
        let Step::Mend { hint, .. } = choose(&hub(), &[true, false, true, true], &past).step else { panic!() };
        assert!(!hint.contains(RESET_ADVICE));
    }

    #[test]
    fn recoveries_in_vain_are_a_persons_business() {
        let failed = ("handle_recovery", "recovery_failed", "");
        let past = [("handle_daemon", "daemon_failure", "x"), failed, failed];
        assert_eq!(choose(&hub(), &[true, false, false, true], &past).step, Step::Escalate);
    }

    #[test]
    fn a_warning_is_mended_once_before_anything_fails() {
        let hub = hub();
        let look = Look { holds: vec![Some(true), Some(false), Some(false), Some(true)], well: vec![false] };
        let orchestrate = id("orchestrate");
        let known = |past: &'static [(&'static str, &'static str)]| {
            let ids: Vec<StageId> = past.iter().map(|(stage, _)| id(stage)).collect();
            let past: Vec<Past<'_>> =
                past.iter().zip(&ids).map(|((_, d), stage)| Past { stage, decision: d, summary: "" }).collect();
            let known = Known { hub: &orchestrate, past: &past, is_done: &|_, d| d == "success", expected: &|_| None };
            hub.choose(&look, &known)
        };
        let first = known(&[]);
        assert_eq!(first.decision, "prevent_low_disk");
        assert!(matches!(first.step, Step::Mend { .. }));
        let again = known(&[("orchestrate", "prevent_low_disk"), ("handle_recovery", "success")]);
        assert_eq!(again.step, Step::Delegate(vec![id("handle_daemon")]));
    }

    #[test]
    fn everything_holds_then_it_is_validated_then_it_is_done() {
        let hub = hub();
        assert_eq!(choose(&hub, &[true; 4], &[]).step, Step::Validate(id("validate")));
        assert_eq!(choose(&hub, &[true; 4], &[("validate", "success", "")]).step, Step::Complete);
        let later = [("validate", "success", ""), ("handle_pool", "pool_ready", "")];
        assert_eq!(choose(&hub, &[true; 4], &later).step, Step::Validate(id("validate")), "it is checked anew");
    }

    #[test]
    fn requirements_that_wait_for_each_other_are_a_persons_business() {
        let hub = Hub {
            requirements: vec![requirement("a", &["b"], true), requirement("b", &["a"], true)],
            ..Hub::default()
        };
        assert_eq!(choose(&hub, &[false; 2], &[]).step, Step::Escalate);
    }

    #[test]
    fn what_has_no_probe_holds_once_its_stage_has_succeeded() {
        let hub = Hub { requirements: vec![requirement("a", &[], false)], ..Hub::default() };
        let look = hub.read("noise\nPIPELINE-HUB r:- w:\n").unwrap();
        let known = |past: &[Past<'_>]| {
            let known = Known { hub: &id("hub"), past, is_done: &|_, d| d == "success", expected: &|_| None };
            hub.choose(&look, &known).step
        };
        assert_eq!(known(&[]), Step::Delegate(vec![id("handle_a")]));
        assert_eq!(known(&[Past { stage: &id("handle_a"), decision: "success", summary: "" }]), Step::Complete);
    }

    #[test]
    fn a_line_about_something_else_is_not_read() {
        let hub = hub();
        assert_eq!(hub.read("PIPELINE-HUB r:01 w:0"), None);
        assert_eq!(hub.read("nothing"), None);
        let look = hub.read("PIPELINE-HUB r:0110 w:1").unwrap();
        assert_eq!(look.holds, [Some(true), Some(false), Some(false), Some(true)]);
        assert_eq!(look.well, [false]);
        assert!(hub.script().contains("check daemon") && hub.script().ends_with("r:$r w:$w\"\n"));
    }

    #[test]
    fn errors_that_differ_in_figures_are_the_same_failure() {
        let stage = id("a");
        assert_eq!(
            fingerprint(&stage, "first\nPort  3333 in use by PID 41\n"),
            fingerprint(&stage, "other\nport 8 in use by pid 7")
        );
        assert_ne!(fingerprint(&stage, "port in use"), fingerprint(&id("b"), "port in use"));
    }
}
