//! Workflows: the map a task travels. Stages, and connections chosen by the decision a stage returns.
//!
//! The types here are what the engine runs on; `parse` reads the JSON of a workflow file into them and reports every
//! problem by JSON pointer. Line numbers and files are the caller's business.

pub mod parse;

use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::ids::{Role, StageId, WorkflowId};

/// The decision that means "the work of this stage is done".
pub const SUCCESS: &str = "success";
/// The decision that stands for exhausted attempts.
pub const FAILED: &str = "failed";
/// The decision that stands for a merge that does not apply.
pub const CONFLICT: &str = "conflict";

/// A map of stages and connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name in commands and files.
    pub id: WorkflowId,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// The author's version text.
    #[serde(default)]
    pub version: String,
    /// The author's category text.
    #[serde(default)]
    pub category: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// In the order of the file.
    pub stages: Vec<Stage>,
    /// In the order of the file; never empty where there is more than one stage.
    pub connections: Vec<Connection>,
    /// Where a task enters.
    pub start: StageId,
    /// Every other field of the file, kept and shown.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// One stop of the journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name in statuses and connections.
    pub id: StageId,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// The role that does the work.
    pub role: Role,
    /// What the agent is asked to do.
    #[serde(default)]
    pub description: String,
    /// Which earlier outputs it wants; empty means all.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The decisions it may return; empty means only success.
    #[serde(default)]
    pub decisions: Vec<Choice>,
    /// The check its claim has to pass.
    #[serde(default)]
    pub verify: Verify,
    /// Whether a person has to agree before the task goes on.
    #[serde(default)]
    pub approval: bool,
    /// Whether the task's branch is merged into base at the end of this stage, before the connection is followed.
    #[serde(default)]
    pub merge: bool,
    /// Instead of the project's `stage_timeout`.
    #[serde(default)]
    pub timeout: Option<SignedDuration>,
    /// Instead of the project's `retries`.
    #[serde(default)]
    pub retries: Option<u32>,
    /// Instead of the project's `backoff`.
    #[serde(default)]
    pub backoff: Option<SignedDuration>,
    /// Instead of the project's `max_visits`.
    #[serde(default)]
    pub max_visits: Option<u32>,
}

/// A decision a stage may return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The word.
    pub choice: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
}

/// The check a stage's claim has to pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The claim is taken as it is.
    #[default]
    None,
    /// The project's verify command.
    Project,
    /// A command of this stage.
    Command(String),
}

/// Where a decision leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The stage that decided.
    pub from: StageId,
    /// The next stage; `None` ends the workflow.
    pub to: Option<StageId>,
    /// The decision; `None` matches any that has no connection of its own.
    #[serde(default)]
    pub condition: Option<String>,
}

/// Where a task goes from a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next<'a> {
    /// To this stage.
    Stage(&'a Stage),
    /// The workflow ends here.
    End,
    /// No connection says.
    Nowhere,
}

impl Workflow {
    /// The stage of this name.
    #[must_use]
    pub fn stage(&self, id: &StageId) -> Option<&Stage> {
        self.stages.iter().find(|s| s.id == *id)
    }

    /// Where the stage stands in the file, from 0; how far a task has come.
    #[must_use]
    pub fn depth(&self, id: &StageId) -> usize {
        self.stages.iter().position(|s| s.id == *id).unwrap_or(0)
    }

    /// The connection for this decision, an exact condition before one without.
    #[must_use]
    pub fn next(&self, from: &StageId, decision: &str) -> Next<'_> {
        let of_stage = self.connections.iter().filter(|c| c.from == *from);
        match choose(of_stage, decision) {
            None => Next::Nowhere,
            Some(None) => Next::End,
            Some(Some(to)) => self.stage(to).map_or(Next::Nowhere, Next::Stage),
        }
    }
}

/// Where a decision leads, given the connections of the stage that decided: nowhere, to the end, or to a stage.
fn choose<'c>(of_stage: impl Iterator<Item = &'c Connection> + Clone, decision: &str) -> Option<Option<&'c StageId>> {
    let found = of_stage
        .clone()
        .find(|c| c.condition.as_deref() == Some(decision))
        // A connection without a condition is for ordinary decisions: a failure or a conflict that nobody connected
        // must reach a person, not the next stage.
        .or_else(|| {
            let ordinary = decision != FAILED && decision != CONFLICT;
            of_stage.clone().find(|c| c.condition.is_none() && ordinary)
        });
    match found {
        None if decision == SUCCESS && of_stage.clone().next().is_none() => Some(None),
        None => None,
        Some(connection) => Some(connection.to.as_ref()),
    }
}

impl Stage {
    /// The words this stage may decide, for the parser of decisions.
    #[must_use]
    pub fn choices(&self) -> Vec<&str> {
        self.decisions.iter().map(|c| c.choice.as_str()).collect()
    }

    /// The decision of a finished stage whose agent stated none: success where it is possible, else the only choice,
    /// else undecided.
    #[must_use]
    pub fn default_decision(&self) -> Option<&str> {
        if self.decisions.is_empty() || self.decisions.iter().any(|c| c.choice == SUCCESS) {
            return Some(SUCCESS);
        }
        match self.decisions.as_slice() {
            [only] => Some(&only.choice),
            _ => None,
        }
    }
}

fn stage(id: &str, role: &str, name: &str, description: &str) -> Stage {
    Stage {
        id: StageId::new(id).expect("a literal stage id is well formed"),
        name: name.to_owned(),
        role: Role::new(role).expect("a literal role is well formed"),
        description: description.to_owned(),
        inputs: Vec::new(),
        decisions: Vec::new(),
        verify: Verify::None,
        approval: false,
        merge: false,
        timeout: None,
        retries: None,
        backoff: None,
        max_visits: None,
    }
}

/// The default workflow: design, tests, implementation, merge.
#[must_use]
pub fn tdd() -> Arc<Workflow> {
    let choice =
        |word: &str, description: &str| Choice { choice: word.to_owned(), description: description.to_owned() };
    let connection = |from: &str, to: Option<&str>, condition: &str| Connection {
        from: StageId::new(from).expect("a literal stage id is well formed"),
        to: to.map(|to| StageId::new(to).expect("a literal stage id is well formed")),
        condition: Some(condition.to_owned()),
    };
    let mut arch = stage(
        "arch",
        "architect",
        "Design",
        "Decide how the task is to be done, in the terms of this code base: which files change, which names and \
         signatures, which cases matter. Write the design down where the next stages will find it. Do not implement it.",
    );
    arch.decisions = vec![choice(SUCCESS, "the design is clear enough to write tests against")];
    let mut test = stage(
        "test",
        "test",
        "Tests",
        "Write the tests that the design asks for, in the style of the tests that are already there. They fail until \
         the task is implemented; that is right. Do not implement it.",
    );
    test.decisions = vec![choice(SUCCESS, "the tests say what the task means")];
    let mut implementation = stage(
        "impl",
        "implementation",
        "Implementation",
        "Make the tests pass with the simplest code that does what the task asks. Run the project's checks. Do not \
         weaken a test to make it pass.",
    );
    implementation.decisions = vec![choice(SUCCESS, "the task is implemented and the checks pass")];
    implementation.verify = Verify::Project;
    let mut supervisor = stage(
        "super",
        "supervisor",
        "Review and merge",
        "Review the whole change as it will be merged. Mend small things; send it back with the decision `rework` when \
         it does not do what the task asks. The merge itself is done for you.",
    );
    supervisor.decisions = vec![
        choice(SUCCESS, "the change is good: merge it"),
        choice("rework", "the implementation has to be done again; say why"),
        choice(CONFLICT, "the change no longer fits the base branch"),
    ];
    supervisor.verify = Verify::Project;
    supervisor.merge = true;
    Arc::new(Workflow {
        id: WorkflowId::new("tdd").expect("a literal workflow id is well formed"),
        name: "Test-driven development".to_owned(),
        version: "1.0.0".to_owned(),
        category: "development".to_owned(),
        description: "Design, then tests, then the implementation, then review and merge.".to_owned(),
        start: arch.id.clone(),
        stages: vec![arch, test, implementation, supervisor],
        connections: vec![
            connection("arch", Some("test"), SUCCESS),
            connection("test", Some("impl"), SUCCESS),
            connection("impl", Some("super"), SUCCESS),
            connection("super", None, SUCCESS),
            connection("super", Some("impl"), "rework"),
            connection("super", Some("impl"), CONFLICT),
        ],
        extra: serde_json::Map::new(),
    })
}
