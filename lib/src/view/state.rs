//! The documents of `state.json` and `status --json`: the seed's fields, and more beside them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::metrics::{MetricsDoc, metrics};
use super::standing::{Standing, standing};
use super::{AgentStatus, Attention, SCHEMA_VERSION, Seen, agent_view, attention};
use crate::ids::{AgentName, CommitId, Group, RunId, StageId, TaskId, WorkflowId};
use crate::mode::{Mode, Orchestration, Rollout};
use crate::pipeline::Pipeline;
use crate::task::{HoldReason, Step, Task, TaskState};

/// The version of `state.json`, as the seed has it.
const STATE_VERSION: &str = "1.0.0";

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StateDoc<'a> {
    /// The version of this document.
    pub version: &'static str,
    /// How tasks are assigned.
    pub orchestration_mode: Orchestration,
    /// Which tasks may be acted on.
    pub mode: Rollout,
    /// The mode to come, once no agent is busy.
    pub pending_mode: Option<Mode>,
    /// The share of all tasks that the pilot covers beside its list, in percent; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_percent: Option<u8>,
    /// The number of the last fact in it.
    pub journal_seq: u64,
    /// When that was.
    #[schemars(with = "String")]
    pub updated_at: Timestamp,
    /// The task of sequential mode.
    pub current_task: Option<&'a TaskId>,
    /// By id.
    pub tasks: BTreeMap<&'a TaskId, TaskDoc<'a>>,
    /// By name.
    pub agents: BTreeMap<&'a AgentName, AgentDoc<'a>>,
    /// New tasks, ready tasks by role, `blocked` and `completed`.
    pub queues: BTreeMap<String, Vec<&'a TaskId>>,
}

/// `status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StatusDoc<'a> {
    /// The version of this document.
    pub schema_version: u32,
    /// When it was made.
    #[schemars(with = "String")]
    pub generated_at: Timestamp,
    /// Everything `state.json` has.
    #[serde(flatten)]
    pub state: StateDoc<'a>,
    /// What waits for a person, most blocking first.
    pub attention: Vec<Attention>,
    /// What has been counted.
    pub metrics: MetricsDoc,
    /// What starts by itself, chains under way, and how full categories are.
    #[serde(flatten)]
    pub standing: Standing,
}

/// A task in the documents.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TaskDoc<'a> {
    /// Its name.
    pub id: &'a TaskId,
    /// One line for people.
    pub title: &'a str,
    /// Where it stands.
    pub status: String,
    /// The agent of the present stage.
    pub assigned_to: Option<&'a AgentName>,
    /// Its map.
    pub workflow: &'a WorkflowId,
    /// The stage it is at.
    pub stage: Option<&'a StageId>,
    /// From 1, the most urgent.
    pub priority: u8,
    /// Tasks that have to be completed before.
    pub depends_on: &'a [TaskId],
    /// Globs of the files it will touch.
    pub paths: &'a [String],
    /// What its branch will not merge with, as far as that was tried out.
    pub collides_with: Vec<CollisionDoc<'a>>,
    /// Its group.
    pub group: Option<&'a Group>,
    /// The branch that carries its work.
    pub branch: String,
    /// Runs of this stage since it was entered, from 1; 0 before the first.
    pub attempt: u32,
    /// When it was added.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// When its first run was claimed.
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// When it came to where it stands.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The merge commit.
    pub merge_commit: Option<&'a CommitId>,
    /// Why it is where it is.
    pub reason: Option<String>,
}

/// A task in flight, or base, that a task's branch will not merge with.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct CollisionDoc<'a> {
    /// The other task; absent for base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<&'a TaskId>,
    /// The files in conflict, the first of them.
    pub files: &'a [String],
}

/// An agent in the documents.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AgentDoc<'a> {
    /// The stages it serves.
    pub role: &'a str,
    /// Which program it is.
    pub preset: &'static str,
    /// How far it is confined: `off`, `basic` or `strict`.
    pub sandbox: &'static str,
    /// What it is doing.
    pub status: AgentStatus,
    /// The task it serves.
    pub current_task: Option<&'a TaskId>,
    /// The stage it works at.
    pub stage: Option<&'a StageId>,
    /// Its live run.
    pub run: Option<&'a RunId>,
    /// Which kind of observation decided the status.
    pub status_source: &'static str,
    /// Since when it has this status.
    #[schemars(with = "String")]
    pub status_since: Timestamp,
    /// How sure the status is, from 0 to 1.
    pub confidence: f64,
    /// The deciding reason, in words.
    pub reason: String,
    /// The last line it printed.
    pub last_line: String,
}

/// The document of `state.json`.
#[must_use]
pub fn state_doc<'a>(pipeline: &'a Pipeline, seen: &Seen) -> StateDoc<'a> {
    let core = &pipeline.core;
    StateDoc {
        version: STATE_VERSION,
        orchestration_mode: core.mode.orchestration,
        mode: core.mode.rollout,
        pending_mode: core.pending_mode,
        pilot_percent: Some(core.pilot.percent).filter(|percent| *percent > 0),
        journal_seq: core.seq,
        updated_at: core.updated_at,
        current_task: core.current_task.as_ref(),
        tasks: pipeline.tasks.iter().map(|task| (&task.id, task_doc(pipeline, task))).collect(),
        agents: agent_docs(pipeline, seen),
        queues: queues(pipeline),
    }
}

/// The document of `status --json`.
#[must_use]
pub fn status_doc<'a>(pipeline: &'a Pipeline, seen: &Seen, now: Timestamp) -> StatusDoc<'a> {
    StatusDoc {
        schema_version: SCHEMA_VERSION,
        generated_at: now,
        state: state_doc(pipeline, seen),
        attention: attention(pipeline),
        metrics: metrics(pipeline, now),
        standing: standing(pipeline, &pipeline.core.settings, now),
    }
}

/// A task as the documents show it.
#[must_use]
pub fn task_doc<'a>(pipeline: &'a Pipeline, task: &'a Task) -> TaskDoc<'a> {
    TaskDoc {
        id: &task.id,
        title: &task.title,
        status: task.state.word(),
        assigned_to: assigned_to(pipeline, task),
        workflow: &task.workflow,
        stage: task.state.stage(),
        priority: task.priority,
        depends_on: &task.depends_on,
        paths: &task.paths,
        collides_with: collides_with(pipeline, task),
        group: task.group.as_ref(),
        branch: task.branch(),
        attempt: task.attempt,
        created_at: task.created_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
        since: task.state_since,
        merge_commit: task.merged.as_ref().and_then(|m| m.commit.as_ref()),
        reason: waiting_reason(pipeline, task),
    }
}

fn collides_with<'a>(pipeline: &'a Pipeline, task: &Task) -> Vec<CollisionDoc<'a>> {
    let known = pipeline.core.collisions.of(&task.id).iter();
    known.map(|known| CollisionDoc { task: known.with.as_ref(), files: &known.files }).collect()
}

fn assigned_to<'a>(pipeline: &'a Pipeline, task: &'a Task) -> Option<&'a AgentName> {
    match &task.state {
        TaskState::Working { run, .. } => pipeline.core.runs.get(run).map(|run| &run.agent),
        TaskState::Verifying { claim, step, .. } if !matches!(step, Step::Advance { dirty: Some(_), .. }) => {
            Some(&claim.agent)
        }
        TaskState::Unassigned | TaskState::Ready { .. } | TaskState::Verifying { .. } => {
            let sequential = pipeline.core.mode.orchestration == Orchestration::Sequential;
            let current = sequential && pipeline.core.current_task.as_ref() == Some(&task.id);
            let role = current.then(|| pipeline.stage_of(task)).flatten().map(|stage| &stage.role);
            let of_role = pipeline.core.settings.agents.iter().find(|a| Some(&a.role) == role).map(|a| &a.name);
            task.pinned_agent.as_ref().or(of_role)
        }
        TaskState::AwaitingApproval { .. }
        | TaskState::Waiting { .. }
        | TaskState::Paused { .. }
        | TaskState::Blocked { .. }
        | TaskState::Failed
        | TaskState::Completed
        | TaskState::Cancelled
        | TaskState::RolledBack => None,
    }
}

/// Why a task is where it is: what was recorded, or what it waits for.
#[must_use]
pub fn waiting_reason(pipeline: &Pipeline, task: &Task) -> Option<String> {
    if task.state == TaskState::Unassigned || matches!(task.state, TaskState::Ready { .. }) {
        let open: Vec<&str> = pipeline.open_dependencies(task).map(TaskId::as_str).collect();
        if task.state == TaskState::Unassigned && !open.is_empty() {
            return Some(format!("waits for {}", open.join(", ")));
        }
        if let Some(hold) = &task.held {
            let why = match hold.why {
                HoldReason::Paths => "their paths overlap",
                HoldReason::Group => "they are of one group",
            };
            return Some(format!("waits for {}: {why}", hold.by));
        }
        if let Some(wait) = pipeline.category_wait(task) {
            return Some(wait.to_string());
        }
        if let Some(shortage) = pipeline.short_of().filter(|_| pipeline.may_touch(&task.id)) {
            return Some(shortage.to_string());
        }
        if let Some((stage, effect)) = pipeline.core.withheld.get(&task.id) {
            let mode = pipeline.core.mode.rollout.word();
            return Some(format!("{mode} mode: would {effect} stage {stage}"));
        }
        if let Some(wait) = pipeline.arm_wait(task) {
            return Some(wait.words());
        }
        if task.reason.is_none() {
            return pipeline.gives_way_in_words(task);
        }
    }
    task.reason.clone()
}

/// Every agent as the documents show it.
#[must_use]
pub fn agent_docs<'a>(pipeline: &'a Pipeline, seen: &Seen) -> BTreeMap<&'a AgentName, AgentDoc<'a>> {
    let core = &pipeline.core;
    let sequential = core.current_task.as_ref().filter(|_| core.mode.orchestration == Orchestration::Sequential);
    let doc = |name: &'a AgentName, agent: &'a crate::pipeline::Agent| {
        let view = agent_view(pipeline, name, agent, seen);
        let run = agent.run.as_ref().and_then(|id| core.runs.get(id));
        AgentDoc {
            role: agent.role.as_str(),
            preset: agent.preset.as_str(),
            sandbox: core.settings.sandbox(name).as_str(),
            status: view.status,
            current_task: run.and_then(|run| run.task.as_ref()).or(agent.verifying.as_ref()).or(sequential),
            stage: run.and_then(|run| run.stage.as_ref()),
            run: agent.run.as_ref(),
            status_source: view.source,
            status_since: view.since,
            confidence: view.confidence,
            reason: view.reasons.into_iter().next().unwrap_or_default(),
            last_line: run.and_then(|run| seen.get(&run.id)).map(|s| s.last_line.clone()).unwrap_or_default(),
        }
    };
    core.agents.iter().filter(|(_, agent)| agent.is_shown()).map(|(name, agent)| (name, doc(name, agent))).collect()
}

/// The queues: new tasks, ready tasks by role in the order they would be taken, what waits for dependencies or a person,
/// and what is completed.
#[must_use]
pub fn queues(pipeline: &Pipeline) -> BTreeMap<String, Vec<&TaskId>> {
    let mut queues: BTreeMap<String, Vec<&Task>> = BTreeMap::new();
    for word in ["unassigned", "blocked", "completed"] {
        queues.insert(word.to_owned(), Vec::new());
    }
    let stages = pipeline.core.workflows.values().flat_map(|w| &w.stages).map(|s| &s.role);
    let roles = pipeline.core.settings.agents.iter().map(|a| &a.role).chain(stages);
    for role in roles.filter(|role| !crate::ids::is_reserved(role)) {
        queues.entry(role.to_string()).or_default();
    }
    for task in pipeline.tasks.iter() {
        let name = match &task.state {
            TaskState::Unassigned if pipeline.waits_for_dependencies(task) => "blocked".to_owned(),
            TaskState::Unassigned => "unassigned".to_owned(),
            TaskState::Ready { .. } | TaskState::Verifying { step: Step::Advance { dirty: Some(_), .. }, .. } => {
                let role = pipeline.stage_of(task).map(|stage| stage.role.to_string());
                role.unwrap_or_else(|| "unassigned".to_owned())
            }
            TaskState::Blocked { .. } => "blocked".to_owned(),
            TaskState::Completed => "completed".to_owned(),
            TaskState::Working { .. }
            | TaskState::Waiting { .. }
            | TaskState::Paused { .. }
            | TaskState::Verifying { .. }
            | TaskState::AwaitingApproval { .. }
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::RolledBack => continue,
        };
        queues.entry(name).or_default().push(task);
    }
    for (name, queue) in &mut queues {
        if name == "completed" {
            queue.sort_unstable_by_key(|task| (task.finished_at, task.order));
        } else {
            queue.sort_unstable_by_key(|task| pipeline.order_of(task));
        }
    }
    queues.into_iter().map(|(name, queue)| (name, queue.into_iter().map(|task| &task.id).collect())).collect()
}
