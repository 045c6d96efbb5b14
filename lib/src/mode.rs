//! The two dimensions of a mode: how tasks are assigned, and which of them may be acted on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::globs;
use crate::ids::TaskId;

/// How tasks are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Orchestration {
    /// One task at a time; all agents serve it.
    Sequential,
    /// Every free agent takes the best ready stage of any task.
    Parallel,
    /// One task at a time inside a group, groups beside each other.
    Hybrid,
}

impl Orchestration {
    /// The word used in commands and documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Parallel => "parallel",
            Self::Hybrid => "hybrid",
        }
    }
}

/// Which tasks may be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rollout {
    /// None: what would be done is recorded and shown.
    Shadow,
    /// Those on the pilot's list.
    Pilot,
    /// All.
    Production,
}

impl Rollout {
    /// The word used in commands and documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Pilot => "pilot",
            Self::Production => "production",
        }
    }

    /// The rollout that a word of `pipeline mode WORD` means by itself; `None` for any other word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Shadow, Self::Pilot, Self::Production].into_iter().find(|rollout| rollout.word() == word)
    }

    /// The next bolder mode.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Shadow => Some(Self::Pilot),
            Self::Pilot => Some(Self::Production),
            Self::Production => None,
        }
    }

    /// The next more careful mode.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self {
            Self::Shadow => None,
            Self::Pilot => Some(Self::Shadow),
            Self::Production => Some(Self::Pilot),
        }
    }
}

/// Both dimensions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Mode {
    /// How tasks are assigned.
    pub orchestration: Orchestration,
    /// Which tasks may be acted on.
    pub rollout: Rollout,
}

impl Default for Mode {
    fn default() -> Self {
        Self { orchestration: Orchestration::Parallel, rollout: Rollout::Shadow }
    }
}

impl Mode {
    /// What a single word of `pipeline mode WORD` makes of the present mode; `None` for an unknown word.
    #[must_use]
    pub fn with_word(self, word: &str) -> Option<Self> {
        let with = |orchestration, rollout| Some(Self { orchestration, rollout });
        match word {
            "traditional" => with(Orchestration::Sequential, Rollout::Production),
            "pipeline" => with(Orchestration::Parallel, Rollout::Production),
            "test" => with(Orchestration::Parallel, Rollout::Pilot),
            "sequential" => with(Orchestration::Sequential, self.rollout),
            "parallel" => with(Orchestration::Parallel, self.rollout),
            "hybrid" => with(Orchestration::Hybrid, self.rollout),
            "shadow" => with(self.orchestration, Rollout::Shadow),
            "pilot" => with(self.orchestration, Rollout::Pilot),
            "production" => with(self.orchestration, Rollout::Production),
            _ => None,
        }
    }
}

/// The words `with_word` understands, for help texts and suggestions.
pub const MODE_WORDS: [&str; 9] =
    ["traditional", "pipeline", "test", "sequential", "parallel", "hybrid", "shadow", "pilot", "production"];

/// Which tasks the pilot may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct PilotScope {
    /// Listed one by one.
    pub tasks: BTreeSet<TaskId>,
    /// Listed by a glob over ids.
    pub patterns: BTreeSet<String>,
}

impl PilotScope {
    /// Whether the pilot may touch this task.
    #[must_use]
    pub fn covers(&self, task: &TaskId) -> bool {
        self.tasks.contains(task) || self.patterns.iter().any(|p| globs::id_matches(p, task.as_str()))
    }
}
