//! Why a request is not fulfilled. Each names the thing and leaves everything as it was.

use crate::ids::{AgentName, StageId, TaskId};

/// Why a request was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The named task does not exist.
    #[error("there is no task `{0}`")]
    NoTask(String),
    /// The named task is finished and has left the live state.
    #[error("task `{0}` is finished and archived")]
    Archived(TaskId),
    /// The task has no live run that an outcome could be about.
    #[error("task `{0}` has no live run")]
    NotAtWork(TaskId),
    /// The named agent does not exist.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// The named run is not live.
    #[error("there is no live run `{0}`")]
    NoRun(String),
    /// The named workflow does not exist.
    #[error("there is no workflow `{name}`")]
    NoWorkflow {
        /// Its name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The id is taken.
    #[error("task `{0}` exists already")]
    Duplicate(TaskId),
    /// A dependency does not exist.
    #[error("task `{task}` depends on `{dependency}`, which does not exist")]
    UnknownDependency {
        /// The task.
        task: TaskId,
        /// What it names.
        dependency: TaskId,
    },
    /// Tasks would wait for each other.
    #[error("these tasks would wait for each other: {}", join_cycle(.0))]
    Cycle(Vec<TaskId>),
    /// The task is not where this could be done.
    #[error("cannot {verb} task `{task}` while it is {status}")]
    Illegal {
        /// What was asked.
        verb: &'static str,
        /// The task.
        task: TaskId,
        /// Where it is.
        status: String,
        /// What would help, as a full sentence.
        hint: Option<String>,
    },
    /// Who asked for something may not agree to it.
    #[error("task `{task}` was asked for by {by}, who may not approve it")]
    OwnRequest {
        /// The task.
        task: TaskId,
        /// Who.
        by: String,
    },
    /// Agents are busy.
    #[error("these agents are busy: {}", .0.iter().map(|(a, t)| format!("{a} ({t})")).collect::<Vec<_>>().join(", "))]
    Busy(Vec<(AgentName, String)>),
    /// Something in the request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The rollout does not allow it.
    #[error("the rollout mode is {mode}, so nothing may be started for task `{task}`")]
    Withheld {
        /// Shadow or pilot.
        mode: &'static str,
        /// The task.
        task: TaskId,
    },
    /// A command that cannot be taken back, or no longer.
    #[error("this cannot be undone: {why}")]
    NotUndone {
        /// Why not.
        why: String,
        /// What would help, as a full sentence.
        next: String,
    },
    /// A stage the decision could not be for.
    #[error("stage `{stage}` knows no decision `{decision}`; it knows {}", known.join(", "))]
    UnknownDecision {
        /// The stage.
        stage: StageId,
        /// What was said.
        decision: String,
        /// What could be.
        known: Vec<String>,
    },
}

fn join_cycle(cycle: &[TaskId]) -> String {
    let mut text: Vec<&str> = cycle.iter().map(TaskId::as_str).collect();
    if let Some(first) = text.first().copied() {
        text.push(first);
    }
    text.join(" → ")
}
