//! Workflows: the map a task travels. Stages, and connections chosen by the decision a stage returns.
//!
//! The types here are what the engine runs on; `parse` reads the JSON of a workflow file into them and reports every
//! problem by JSON pointer. Line numbers and files are the caller's business.

mod default;
pub mod drawing;
pub mod execute_block;
pub mod figures;
pub mod hub;
mod lookup;
mod matrix;
mod needs;
pub mod params;
pub mod parse;
pub mod render;
pub mod schedule;
pub mod together;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use default::tdd;
pub use params::{Param, ParamKind};

pub use crate::ids::COMMAND_ROLE;
use crate::ids::{Role, StageId, WorkflowId, command_role, parts_role};
use crate::task::Task;

/// The decision that means "the work of this stage is done".
pub const SUCCESS: &str = "success";
/// The decision that stands for exhausted attempts.
pub const FAILED: &str = "failed";
/// The decision that stands for a merge that does not apply.
pub const CONFLICT: &str = "conflict";

/// How often a task may come to a stage for each stage that it leads to and that comes back to it.
const VISITS_OF_A_SPOKE: u32 = 5;

/// Whether a decision asks for a person by its name: `escalate`, `escalate_to_human`, `needs_human` and the like. Where it
/// ends a workflow, nothing is done: the work is handed to somebody.
#[must_use]
pub fn asks_a_person(decision: &str) -> bool {
    let word = decision.to_ascii_lowercase().replace('-', "_");
    let first = word.split('_').next().unwrap_or_default();
    ["escalate", "escalated", "escalation"].contains(&first)
        || ["needs_human", "ask_human", "human_needed", "manual_intervention", "needs_manual_intervention"]
            .contains(&word.as_str())
}

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
    /// Events that start it, where no rule of the registry says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<String>,
    /// What a task on it may be given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Param>,
    /// The workflow that is started when a task on this one fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<WorkflowId>,
    /// When it is started by itself: a cron expression, or "every 5 minutes".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What has been achieved when it is completed, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success_criteria: Vec<String>,
    /// How many stages a task may enter, revisits counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u32>,
    /// How long a task may take from its first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<SignedDuration>,
    /// Every other field of the file, kept and shown.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    pub(crate) lookup: lookup::Lookup,
}

/// One stop of the journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name in statuses and connections.
    pub id: StageId,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// The role that does the work; [`COMMAND_ROLE`] where no agent does.
    pub role: Role,
    /// What is done.
    #[serde(default, skip_serializing_if = "Doing::is_agent")]
    pub doing: Doing,
    /// A shell command that exits with 0 where there is nothing left to do: the stage is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// One task for each combination of these values, all at the same time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Vec<Value>>,
    /// A shell command that is run when the task is cancelled at this stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_cancel: Option<String>,
    /// More environment; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of secrets that its command may see as environment variables. Their values are nowhere in the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Globs of files that are kept with their checksums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// What measured figures have to reach for the stage to succeed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// Where its commands run.
    #[serde(default, skip_serializing_if = "Place::is_worktree")]
    pub place: Place,
    /// Whether what its command leaves in the background goes on after it: services. Otherwise it is ended with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub services: bool,
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
    /// Whether that was chosen for want of another stage that merges. Where the workflow is a stage of another one, that
    /// one merges.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge_chosen: bool,
    /// Instead of the project's `stage_timeout`.
    #[serde(default)]
    pub timeout: Option<SignedDuration>,
    /// Instead of the project's `retries`.
    #[serde(default)]
    pub retries: Option<u32>,
    /// Instead of the project's `backoff`: the longest wait before the first retry.
    #[serde(default)]
    pub backoff: Option<SignedDuration>,
    /// Instead of the project's `max_visits`.
    #[serde(default)]
    pub max_visits: Option<u32>,
    /// Every other field of the stage, kept and shown.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, Value>,
}

/// A decision a stage may return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The word.
    pub choice: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
    /// Exit codes of the stage's command that mean it; empty: only the command's own words do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit: Vec<Exit>,
}

/// What an exit code is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Exactly this one.
    Code(i32),
    /// Every one that no choice of the stage names.
    Other,
}

/// What is done at a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// An agent of the stage's role works.
    #[default]
    Agent,
    /// A shell command is run. It is a template.
    Command(String),
    /// A task on another workflow is done first, on the same branch.
    Workflow {
        /// Which.
        workflow: WorkflowId,
        /// What it is given; texts are templates.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        params: BTreeMap<String, Value>,
    },
    /// These stages are done at the same time and waited for.
    Parallel(Vec<StageId>),
    /// Requirements are looked at and the next stage is chosen by what is missing.
    Hub(hub::Hub),
}

impl Doing {
    /// Whether an agent works.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        *self == Self::Agent
    }
}

/// Where the commands of a stage run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a worktree, on the task's branch.
    #[default]
    Worktree,
    /// In the main checkout, as it is. Nothing is checked out or committed there.
    Repository,
}

impl Place {
    /// Whether it is a worktree.
    #[must_use]
    pub fn is_worktree(&self) -> bool {
        *self == Self::Worktree
    }
}

/// What a measured figure has to reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// What is measured, in the stage's words: `coverage`, `failures`.
    pub name: String,
    /// Where it is read.
    pub from: Figure,
    /// The least that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// Where a figure is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Behind this text, on the last line of the command's output that has it: the first percentage, else the first number.
    Output(String),
    /// The line coverage of an LCOV file, in percent.
    Lcov(String),
    /// The line coverage of a Cobertura file, in percent.
    Cobertura(String),
    /// Failed and erroneous tests of a JUnit file.
    Junit(String),
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
    /// A workflow of these stages, of which nothing else is said.
    #[must_use]
    pub fn new(id: WorkflowId, start: StageId, stages: Vec<Stage>, connections: Vec<Connection>) -> Self {
        Self {
            id,
            name: String::new(),
            version: String::new(),
            category: String::new(),
            description: String::new(),
            stages,
            connections,
            start,
            triggers: Vec::new(),
            params: BTreeMap::new(),
            on_failure: None,
            schedule: None,
            success_criteria: Vec::new(),
            max_steps: None,
            timeout: None,
            extra: serde_json::Map::new(),
            lookup: lookup::Lookup::default(),
        }
    }

    /// The connection for this decision, an exact condition before one without.
    #[must_use]
    pub fn next(&self, from: &StageId, decision: &str) -> Next<'_> {
        let of_stage = self.onward(from);
        let hub = || self.hub_of(from).map_or(Next::Nowhere, Next::Stage);
        match choose(of_stage.clone(), decision) {
            None => hub(),
            // What serves a hub and says nothing about where it leads comes back to it.
            Some(None) if of_stage.clone().next().is_none() && self.hub_of(from).is_some() => hub(),
            Some(None) => Next::End,
            Some(Some(to)) => self.stage(to).map_or(Next::Nowhere, Next::Stage),
        }
    }
}

impl Workflow {
    /// The names of everything that it can give to a stage.
    pub fn param_names(&self) -> impl Iterator<Item = &str> {
        let matrices = self.stages.iter().flat_map(|stage| stage.matrix.keys());
        self.params.keys().chain(matrices).map(String::as_str)
    }

    /// The hub that a stage serves.
    #[must_use]
    pub fn hub_of(&self, id: &StageId) -> Option<&Stage> {
        self.hubs().find(|stage| match &stage.doing {
            Doing::Hub(hub) => hub.serves(id),
            Doing::Agent | Doing::Command(_) | Doing::Workflow { .. } | Doing::Parallel(_) => false,
        })
    }
}

impl Workflow {
    /// How often a task may come to a stage: what the stage itself says, otherwise as often as is usual (`usual`), and
    /// for a hub, or what serves one, at least as often as the hub's own rules let it go on.
    #[must_use]
    pub fn visits_max(&self, stage: &Stage, usual: u32) -> u32 {
        stage.max_visits.unwrap_or_else(|| usual.max(self.visits_of_hub(stage)))
    }

    /// 0 for a stage that neither is a hub nor serves one.
    fn visits_of_hub(&self, stage: &Stage) -> u32 {
        let own = Some(stage).filter(|stage| matches!(stage.doing, Doing::Hub(_)));
        match own.or_else(|| self.hub_of(&stage.id)).map(|stage| &stage.doing) {
            Some(Doing::Hub(hub)) => hub.visits(),
            _ => u32::try_from(self.spokes(&stage.id)).unwrap_or(u32::MAX).saturating_mul(VISITS_OF_A_SPOKE),
        }
    }

    /// How many stages a stage leads to that come back to it: with several it is a hub, whose brain is its agent.
    #[must_use]
    pub fn spokes(&self, id: &StageId) -> usize {
        let comes_back = |other: &StageId| self.onward(other).any(|c| c.to.as_ref() == Some(id));
        let onward = self.onward(id).filter_map(|c| c.to.as_ref());
        // By name, so that two ways to one stage count once.
        let spokes: BTreeSet<&StageId> = onward.filter(|to| *to != id && comes_back(to)).collect();
        spokes.len()
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
    /// Whether it is given what that stage produced.
    #[must_use]
    pub fn takes(&self, from: &StageId) -> bool {
        self.inputs.is_empty() || self.inputs.iter().any(|input| input == from.as_str())
    }

    /// A stage at which an agent of this role works, and nothing else is said.
    #[must_use]
    pub fn new(id: StageId, role: Role) -> Self {
        Self {
            id,
            name: String::new(),
            role,
            doing: Doing::Agent,
            probe: None,
            matrix: BTreeMap::new(),
            on_cancel: None,
            env: BTreeMap::new(),
            secrets: Vec::new(),
            artifacts: Vec::new(),
            thresholds: Vec::new(),
            place: Place::Worktree,
            services: false,
            description: String::new(),
            inputs: Vec::new(),
            decisions: Vec::new(),
            verify: Verify::None,
            approval: false,
            merge: false,
            merge_chosen: false,
            timeout: None,
            retries: None,
            backoff: None,
            max_visits: None,
            extra: serde_json::Map::new(),
        }
    }

    /// Whether tasks of their own do it.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        match self.doing {
            Doing::Workflow { .. } | Doing::Parallel(_) => true,
            Doing::Agent | Doing::Command(_) | Doing::Hub(_) => !self.matrix.is_empty(),
        }
    }

    /// The role that the next thing to do at the stage waits for, for a task that is there.
    #[must_use]
    pub fn waits_for(&self, task: &Task) -> &Role {
        if self.probe.is_some() && !task.probed {
            return command_role();
        }
        if self.has_parts() {
            return parts_role();
        }
        match self.doing {
            Doing::Agent if task.record_for(&self.id).is_none() => &self.role,
            Doing::Hub(_) if task.question().is_some() => &self.role,
            Doing::Agent | Doing::Command(_) | Doing::Hub(_) | Doing::Workflow { .. } | Doing::Parallel(_) => {
                command_role()
            }
        }
    }

    /// The decision that an exit code of the stage's command means by itself.
    #[must_use]
    pub fn decision_of_exit(&self, code: i32) -> Option<&str> {
        let means = |exit: Exit| self.decisions.iter().find(|choice| choice.exit.contains(&exit));
        means(Exit::Code(code)).or_else(|| means(Exit::Other)).map(|choice| choice.choice.as_str())
    }

    /// The words this stage may decide, for the parser of decisions.
    #[must_use]
    pub fn choices(&self) -> Vec<&str> {
        self.decisions.iter().map(|c| c.choice.as_str()).collect()
    }

    /// The words that a person may decide here: its choices, or the one that every stage has.
    #[must_use]
    pub fn words(&self) -> Vec<&str> {
        if self.decisions.is_empty() { vec![SUCCESS] } else { self.choices() }
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
