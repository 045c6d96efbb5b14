//! A hub: a stage that looks at what already holds and chooses the stage that makes the next thing hold. The choice is
//! made by rule, here, from what probes found and what happened so far; whoever performs it only runs commands.

use serde::{Deserialize, Serialize};

use crate::ids::StageId;

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

impl Hub {
    /// The command that looks at everything: it prints one line for each thing, and always succeeds.
    #[must_use]
    pub fn script(&self) -> String {
        String::new()
    }
}
