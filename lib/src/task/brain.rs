//! Who decides at a hub, and what a task knows of it: the question that is open, how much asking has cost, and the
//! decisions of an earlier task where those are taken instead. Nothing here decides.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{StageOutput, Task};
use crate::ids::{StageId, TaskId};
use crate::run::Usage;
use crate::workflow::Stage;
use crate::workflow::hub::Look;

/// Who made a decision that could have been made by several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// The rules that are built in.
    Rules {
        /// Why not the agent that the stage names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The agent of the run.
    Agent,
    /// It was taken from the record of another task.
    Recorded {
        /// Which.
        of: TaskId,
    },
}

/// What the agent of a hub has cost so far, and what it is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brain {
    /// How often it was asked and answered, in whatever way.
    pub asked: u32,
    /// What it reported.
    pub usage: Usage,
    /// What is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Box<Question>>,
}

/// What the agent of a hub is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What the probes found.
    pub look: Look,
    /// All that the agent is told about it.
    pub told: String,
    /// What it may decide.
    pub offers: Vec<Offer>,
    /// Which time it is asked this, from 1.
    pub tries: u32,
    /// Why its last answer was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A decision that would be legal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The word.
    pub word: String,
    /// Words of the workflow that mean the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// What it would do.
    pub about: String,
}

impl Offer {
    /// Whether a word means it.
    #[must_use]
    pub fn is_meant_by(&self, word: &str) -> bool {
        self.word == word || self.also.iter().any(|also| also == word)
    }
}

/// Decisions that are taken in the place of new ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The task that made them.
    pub of: TaskId,
    /// The stages whose decisions are taken from here.
    pub stages: Vec<StageId>,
    /// What they decided, in order.
    pub decisions: Vec<Recorded>,
    /// How many were taken.
    #[serde(default)]
    pub next: usize,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// At which stage.
    pub stage: StageId,
    /// What.
    pub decision: String,
    /// Why, in the words of then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

impl Task {
    /// What the agent of a hub is asked now.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        self.brain.as_ref()?.question.as_deref()
    }

    /// The words that a stage may decide now, for the parser of decisions: while a hub asks, what is legal.
    #[must_use]
    pub fn choices<'a>(&'a self, stage: &'a Stage) -> Vec<&'a str> {
        match self.question() {
            Some(question) => {
                let words = question.offers.iter().flat_map(|offer| std::iter::once(&offer.word).chain(&offer.also));
                words.map(String::as_str).collect()
            }
            None => stage.choices(),
        }
    }

    /// The record that the decisions of a stage are taken from.
    #[must_use]
    pub fn record_for(&self, stage: &StageId) -> Option<&Replay> {
        self.replay.as_deref().filter(|replay| replay.stages.contains(stage))
    }
}

impl StageOutput {
    /// Who decided, for people.
    #[must_use]
    pub fn who(&self) -> String {
        self.by.as_ref().map_or_else(|| self.agent.to_string(), |by| by.of(self.agent.as_str()))
    }

    /// Who agreed to it, for people; none where nobody was asked.
    #[must_use]
    pub fn approver(&self) -> Option<&str> {
        self.approved.then(|| self.approved_by.as_deref().unwrap_or("a person"))
    }
}

impl Decider {
    /// The same where the run was this agent's.
    #[must_use]
    pub fn of(&self, agent: &str) -> String {
        match self {
            Self::Agent => agent.to_owned(),
            Self::Rules { .. } | Self::Recorded { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules { why: None } => f.write_str("the built-in rules"),
            Self::Rules { why: Some(why) } => write!(f, "the built-in rules ({why})"),
            Self::Agent => f.write_str("its agent"),
            Self::Recorded { of } => write!(f, "the record of {of}"),
        }
    }
}
