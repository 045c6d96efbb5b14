//! The two dimensions of a mode: how tasks are assigned, and which of them may be acted on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id_pattern;
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
    /// So many of a hundred tasks beside those, chosen by their ids: a greater share holds those of a smaller one.
    #[serde(skip_serializing_if = "is_none")]
    pub percent: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_none(percent: &u8) -> bool {
    *percent == 0
}

impl PilotScope {
    /// Whether the pilot may touch this task.
    #[must_use]
    pub fn covers(&self, task: &TaskId) -> bool {
        self.tasks.contains(task) || self.pattern_of(task).is_some() || self.share_holds(task)
    }

    /// Whether it covers nothing, now or later.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.patterns.is_empty() && self.percent == 0
    }

    /// The first pattern that covers a task.
    #[must_use]
    pub fn pattern_of(&self, task: &TaskId) -> Option<&str> {
        self.patterns.iter().map(String::as_str).find(|pattern| id_pattern::covers(pattern, task.as_str()))
    }

    /// Whether a task is in the share.
    #[must_use]
    pub fn share_holds(&self, task: &TaskId) -> bool {
        u64::from(self.percent) > task.lot(100)
    }

    /// Why a task is covered, in a few words; `None` where it is not.
    #[must_use]
    pub fn why(&self, task: &TaskId) -> Option<String> {
        if self.tasks.contains(task) {
            return Some("it is on the pilot's list".to_owned());
        }
        if let Some(pattern) = self.pattern_of(task) {
            return Some(format!("the pilot's pattern {pattern} covers it"));
        }
        self.share_holds(task).then(|| format!("it is in the pilot's share of {} %", self.percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(percent: u8) -> BTreeSet<TaskId> {
        let scope = PilotScope { percent, ..PilotScope::default() };
        let tasks = (1..=1_000).map(|n| TaskId::new(&format!("TASK-{n:03}")).unwrap());
        tasks.filter(|task| scope.covers(task)).collect()
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says_and_growing_it_only_adds() {
        let shares: Vec<_> = (0..=100).map(share).collect();
        assert_eq!((shares[0].len(), shares[100].len()), (0, 1_000));
        for (percent, pair) in (0..).zip(shares.windows(2)) {
            assert!(pair[0].is_subset(&pair[1]), "{percent} %");
            let expected = 10 * percent;
            assert!(pair[0].len().abs_diff(expected) < 50, "{percent} %: {} of 1000", pair[0].len());
        }
    }

    #[test]
    fn a_task_is_always_in_the_same_share() {
        // A journal of today means the same to the program of tomorrow.
        let lots = ["TASK-001", "TASK-002", "DOC-7"].map(|id| TaskId::new(id).unwrap().lot(100));
        assert_eq!(lots, [11, 73, 35]);
    }

    #[test]
    fn a_scope_of_before_there_were_shares_is_read() {
        let scope: PilotScope = serde_json::from_str(r#"{"tasks":["A"],"patterns":[]}"#).unwrap();
        assert_eq!(scope.percent, 0);
        assert_eq!(serde_json::to_string(&scope).unwrap(), r#"{"tasks":["A"],"patterns":[]}"#);
    }
}
