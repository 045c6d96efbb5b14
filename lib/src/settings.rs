//! The part of the configuration that decisions depend on. It is journalled when it changes, so that replay needs no
//! file; commands, environments and secrets of agents are deliberately not in it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agents::preset::Preset;
use crate::budget::Budgets;
use crate::ids::{AgentName, Role, TaskId, Variant, WorkflowId};

/// Everything `decide` needs to know about the project's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The branch that finished work is merged into.
    pub base: String,
    /// The project's gate: a shell command whose exit code 0 means that a claim holds.
    pub verify: Option<String>,
    /// A shell command that base has to pass after each merge, or the merge is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_merge: Option<String>,
    /// A shell command that prepares a fresh worktree.
    pub setup: Option<String>,
    /// What there is a worktree for.
    pub worktrees: WorktreeFor,
    /// The workers, in the order of the configuration file.
    pub agents: Vec<AgentSettings>,
    /// How tasks are handed out and repeated.
    pub scheduler: SchedulerSettings,
    /// What `rollout check` asks of the recorded runs.
    pub rollout: RolloutSettings,
    /// What agents may use.
    #[serde(skip_serializing_if = "is_default")]
    pub budgets: Budgets,
    /// Whether somebody else has to approve than who asked for the task.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub separate_approver: bool,
    /// How many tasks of a category of workflows run at once; one that is not here has no limit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<String, Category>,
    /// What starts by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: "main".to_owned(),
            verify: None,
            post_merge: None,
            setup: None,
            worktrees: WorktreeFor::Agent,
            agents: Vec::new(),
            scheduler: SchedulerSettings::default(),
            rollout: RolloutSettings::default(),
            budgets: Budgets::default(),
            separate_approver: false,
            categories: BTreeMap::new(),
            schedules: Vec::new(),
        }
    }
}

fn is_default(budgets: &Budgets) -> bool {
    *budgets == Budgets::default()
}

impl Settings {
    /// How far an agent is confined. One that is not configured any more counts as not confined.
    #[must_use]
    pub fn sandbox(&self, agent: &AgentName) -> Sandbox {
        self.agents.iter().find(|known| known.name == *agent).map(|known| known.sandbox).unwrap_or_default()
    }

    /// The name under which the set-up of a worktree is remembered; [`worktree_parts`] takes it apart.
    #[must_use]
    pub fn worktree(&self, agent: &AgentName, task: &TaskId) -> String {
        self.worktrees.name("", agent, task)
    }

    /// The same of the worktree in which gates on the claims of an agent run.
    #[must_use]
    pub fn gate_worktree(&self, agent: &AgentName, task: &TaskId) -> String {
        self.worktrees.name(GATE, agent, task)
    }
}

/// How many tasks of a category run at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Category {
    /// So many; none: as many as there are.
    pub max: Option<u32>,
    /// Whether nothing of another category that has a limit runs meanwhile.
    pub exclusive: bool,
}

impl Category {
    /// Whether anything is ever waited for.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max.is_some() || self.exclusive
    }
}

/// A workflow that starts by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSettings {
    /// What it is called.
    pub name: String,
    /// Which workflow.
    pub workflow: WorkflowId,
    /// When, as [`crate::workflow::schedule::Schedule`] reads it.
    pub when: String,
    /// What its tasks are given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// At most so much later, always the same for one name, so that not everything starts at the full hour.
    #[serde(default)]
    pub jitter: SignedDuration,
}

/// What the name of a gate's worktree begins with.
const GATE: &str = "gate-";
/// What stands before the task in the name of a worktree; no name of an agent or a task holds it.
const OF_TASK: char = '@';

/// What there is a worktree for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorktreeFor {
    /// Each agent.
    #[default]
    Agent,
    /// Each task.
    Task,
    /// Each task of each agent.
    AgentAndTask,
}

impl WorktreeFor {
    fn name(self, prefix: &str, agent: &AgentName, task: &TaskId) -> String {
        match self {
            Self::Agent => format!("{prefix}{agent}"),
            Self::Task => format!("{prefix}{OF_TASK}{task}"),
            Self::AgentAndTask => format!("{prefix}{agent}{OF_TASK}{task}"),
        }
    }
}

/// The parts of a worktree's name: the agent, or the gate on its claims, which may be empty; and the task.
#[must_use]
pub fn worktree_parts(name: &str) -> (&str, Option<TaskId>) {
    match name.split_once(OF_TASK) {
        Some((agent, task)) => (agent, TaskId::new(task).ok()),
        None => (name, None),
    }
}

/// How far the process of an agent is confined.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Not at all: it can do whatever its user can.
    #[default]
    Off,
    /// It changes only what its work consists of, and cannot read what is the supervisor's.
    Basic,
    /// It also works in a private clone, reads only what is named, and has no sockets: no network and no other program to
    /// talk to.
    Strict,
}

impl Sandbox {
    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Basic => "basic",
            Self::Strict => "strict",
        }
    }

    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// A worker, as far as decisions care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSettings {
    /// Its name, also the folder of its worktree.
    pub name: AgentName,
    /// The stages it serves.
    pub role: Role,
    /// Which program it is: agents of one preset share a usage limit.
    pub preset: Preset,
    /// Whether its runs are sessions in a terminal instead of one process that does one thing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interactive: bool,
    /// How far its process is confined.
    #[serde(default, skip_serializing_if = "Sandbox::is_off")]
    pub sandbox: Sandbox,
    /// Which way of setting up agents of its role it stands for, where several are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

/// How tasks are handed out and repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerSettings {
    /// Runs of a stage after the first one that failed; 2 allows 3 attempts.
    pub retries: u32,
    /// The longest wait before the first retry; doubles with each further one, and up to half is taken off at random.
    pub backoff: SignedDuration,
    /// The longest wait before a retry.
    pub backoff_max: SignedDuration,
    /// How long one run of an agent may take.
    pub stage_timeout: SignedDuration,
    /// How long one gate or set-up may take.
    pub verify_timeout: SignedDuration,
    /// Agents working at once; 0 means as many as there are.
    pub max_parallel: u32,
    /// Commands of workflows that run at once, beside agents.
    pub max_commands: u32,
    /// How long after an agent has started the next one of the same preset may.
    pub stagger: SignedDuration,
    /// How long a task waits until it counts as one priority more urgent.
    pub ageing: SignedDuration,
    /// How often a task may enter one stage before a person is asked.
    pub max_visits: u32,
    /// What happens to the tasks behind one that failed or was cancelled.
    pub failed_dependency: FailedDependency,
    /// How long a preset rests after a usage limit that named no reset time.
    pub limit_pause: SignedDuration,
    /// Finished tasks beyond this number leave the live state.
    pub keep_finished: u32,
    /// What the machine has to have left for anything new to start.
    pub room: RoomSettings,
    /// Agents of a role that work at once; one that is not here has no limit of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub role_caps: BTreeMap<Role, u32>,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            retries: 2,
            backoff: SignedDuration::from_secs(5),
            backoff_max: SignedDuration::from_mins(5),
            stage_timeout: SignedDuration::from_mins(30),
            verify_timeout: SignedDuration::from_mins(15),
            max_parallel: 4,
            max_commands: 4,
            stagger: SignedDuration::ZERO,
            ageing: SignedDuration::from_hours(1),
            max_visits: 10,
            failed_dependency: FailedDependency::Block,
            limit_pause: SignedDuration::from_mins(15),
            keep_finished: 1_000,
            room: RoomSettings::default(),
            role_caps: BTreeMap::new(),
        }
    }
}

/// What the machine has to have left for anything new to start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomSettings {
    /// Free room on the disk, in bytes; 0: it is not looked at; none: 1 GB, or a twentieth of the file system where that is
    /// less. A person hears of it at twice as much.
    pub min_free_disk: Option<u64>,
    /// Free memory, in bytes; 0: it is not looked at.
    pub min_free_memory: u64,
    /// The load of the machine at most; 0: it is not looked at.
    pub max_load: f64,
}

/// What happens to the tasks behind one that failed or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedDependency {
    /// They wait for a person.
    Block,
    /// They are cancelled too.
    Skip,
    /// They go on as if it had been completed.
    Continue,
}

/// What `rollout check` asks of the recorded runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutSettings {
    /// Finished runs that must be on record.
    pub min_runs: u32,
    /// The least share of gates that passed, from 0 to 1.
    pub min_gate_pass_rate: f64,
    /// Tasks that may have been rolled back.
    pub max_rollbacks: u32,
    /// So many tasks in a row that come to nothing make the rollout go one step back; 0: never.
    pub breaker: u32,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self { min_runs: 5, min_gate_pass_rate: 0.9, max_rollbacks: 0, breaker: 5 }
    }
}
