//! A hub: a stage that looks at what already holds and chooses the stage that makes the next thing hold. The choice is
//! made by rule, here, from what probes found and from what happened so far; whoever performs it only runs commands.
//!
//! The rules, the first that fits: give up where a stage failed five times in a row, in whatever way, or after two
//! recoveries in vain; mend what stages left broken, with the advice to reset everything after the same failure three times;
//! mend a warning before anything fails; start everything that is missing and has what it needs, what takes longest first;
//! validate; done. Whoever else chooses (an agent, a record) takes one of the [`Hub::options`] there are by the same rules.

mod choose;
mod fingerprint;
mod history;
mod report;

use serde::{Deserialize, Serialize};

pub use fingerprint::{fingerprint, last_words};

use crate::ids::{RunId, StageId, TaskId};
use crate::run::Usage;

/// The same failure so often in a row makes the advice change.
pub const STRATEGY_CHANGES_AT: u32 = 3;
/// A stage that failed so often in a row is a person's business.
const GIVES_UP_AT: u32 = 5;
/// Recoveries that failed in a row after which no more is tried.
const RECOVERIES_MAX: u32 = 2;
/// What is advised when mending did not help.
pub const RESET_ADVICE: &str = "full reset recommended";
/// How the line begins that a hub's command ends with.
const LINE: &str = "PIPELINE-HUB";
/// The longest error in a reasoning or a fingerprint, in characters.
const ERROR_CHARS_MAX: usize = 160;
/// What the decision to mend after a failure begins with; the stage that failed follows.
const RECOVER: &str = "recover_";
/// What the decision to mend a warning begins with; its name follows.
const PREVENT: &str = "prevent_";
/// The decision to hand everything to a person.
pub const ESCALATE: &str = "escalate";

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
    /// How much its agent may be asked, where an agent chooses.
    #[serde(default, skip_serializing_if = "Budget::is_default")]
    pub budget: Budget,
}

/// How much the agent of a hub may be asked for one task. When it is used up the rules go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<u32>,
    /// How many tokens, where its program reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// How many US dollars, where its program reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// How often the agent of a hub is asked where nobody says how often.
const ASKS_DEFAULT: u32 = 25;

impl Budget {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is used up, in words.
    #[must_use]
    pub fn used_up(&self, asked: u32, usage: &Usage) -> Option<String> {
        let asks = self.asks.unwrap_or(ASKS_DEFAULT);
        if asked >= asks {
            return Some(format!("it was asked {asked} times, and may be asked {asks} times"));
        }
        if let Some(tokens) = self.tokens.filter(|tokens| usage.tokens >= *tokens) {
            return Some(format!("it used {} tokens, and may use {tokens}", usage.tokens));
        }
        let cost = self.cost_usd.filter(|cost| usage.cost_usd >= *cost)?;
        Some(format!("it cost ${:.2}, and may cost ${cost:.2}", usage.cost_usd))
    }
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// In which run.
    pub run: &'a RunId,
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
    /// The task.
    pub task: &'a TaskId,
    /// The hub's own stage.
    pub hub: &'a StageId,
    /// Everything that was done so far, the oldest first.
    pub past: &'a [Past<'a>],
    /// How many of these were done before a person let the task go on: their failures no longer count.
    pub forgiven: usize,
    /// How often in a row a stage failed in this way, in whatever task.
    pub seen: &'a dyn Fn(&StageId, &str) -> u32,
    /// Whether a decision of a stage means that its work is done.
    pub is_done: &'a dyn Fn(&StageId, &str) -> bool,
    /// How long a stage usually takes, in seconds.
    pub expected: &'a dyn Fn(&StageId) -> Option<f64>,
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

    /// What that command prints: for each requirement and each warning `0` where it holds, `-` where nothing was asked.
    pub(crate) fn found(holds: &str, well: &str) -> String {
        format!("{LINE} r:{holds} w:{well}\n")
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

    /// How often a task may come to the hub, or to what serves it, where nobody says how often: as often as its own rules let
    /// it go on.
    #[must_use]
    pub fn visits(&self) -> u32 {
        let things = u32::try_from(self.requirements.len() + self.warnings.len()).unwrap_or(u32::MAX);
        // Each is delegated, fails, is mended and tried again until it is given up; then the whole is validated.
        things.saturating_mul(2 * GIVES_UP_AT).saturating_add(2 * GIVES_UP_AT)
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

#[cfg(test)]
mod tests;
