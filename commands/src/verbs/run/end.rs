//! Whether a run is over: its task has reached an end, or nothing goes on without a person. Only reads.

use std::collections::BTreeSet;

use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{Ask, Parent, ParentWhy, Step, Task, TaskState};
use pipeline_lib::view::{cannot_follow, what_followed, why_failed};

use crate::error::exit;

/// How a run ended, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The end of the workflow was reached.
    Completed,
    /// It was not, and will not be by itself; in words.
    Failed {
        /// The word of the task's state.
        word: String,
        /// Why.
        why: String,
    },
    /// A person is asked.
    Asks {
        /// About which task.
        task: TaskId,
        /// What.
        question: String,
        /// What to type.
        command: String,
        /// Whether agreeing is enough.
        yes_or_no: bool,
    },
}

impl End {
    /// The exit code that says the same.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Completed => exit::OK,
            Self::Failed { .. } => exit::FAILED,
            Self::Asks { .. } => exit::ATTENTION,
        }
    }

    /// One word for it.
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Completed => "completed",
            Self::Failed { word, .. } => word,
            Self::Asks { .. } => "waits",
        }
    }
}

/// The task and everything that does parts of it, or follows from it.
pub(super) fn family(pipeline: &Pipeline, root: &TaskId) -> BTreeSet<TaskId> {
    let mut family = BTreeSet::from([root.clone()]);
    loop {
        let before = family.len();
        let part = |parent: &Parent| parent.why != ParentWhy::Proposal && family.contains(&parent.task);
        let of_family = |task: &&Task| task.parent.as_deref().is_some_and(part);
        let more: Vec<TaskId> = pipeline.tasks.iter().filter(of_family).map(|task| task.id.clone()).collect();
        family.extend(more);
        if family.len() == before {
            return family;
        }
    }
}

/// Whether the run of a task is over.
pub(super) fn end(pipeline: &Pipeline, root: &TaskId, family: &BTreeSet<TaskId>) -> Option<End> {
    if pipeline.core.runs.values().any(|run| run.task.as_ref().is_some_and(|task| family.contains(task))) {
        return None;
    }
    let mut asks = None;
    let mut blocked = None;
    for task in family.iter().filter_map(|id| pipeline.task(id.as_str())) {
        match stands(pipeline, task) {
            Stands::Moves => return None,
            Stands::Asks(end) => drop(asks.get_or_insert(end)),
            Stands::Blocked(why) => drop(blocked.get_or_insert(why)),
            Stands::Rests => {}
        }
    }
    let Some(task) = pipeline.task(root.as_str()) else {
        let word = pipeline.core.archived.get(root).map_or("unknown", |archived| archived.status.as_str());
        return Some(if word == "completed" { End::Completed } else { failed(word, "") });
    };
    match &task.state {
        TaskState::Completed => return Some(End::Completed),
        state if state.is_final() => {
            let reason = why_failed(task).unwrap_or_default();
            return Some(failed(&state.word(), &with_what_followed(pipeline, task, reason)));
        }
        _ => {}
    }
    asks.or_else(|| blocked.map(|why| failed("blocked", &why)))
}

fn failed(word: &str, why: &str) -> End {
    End::Failed { word: word.to_owned(), why: why.to_owned() }
}

fn with_what_followed(pipeline: &Pipeline, task: &Task, reason: String) -> String {
    let words = what_followed(pipeline, task).or_else(|| cannot_follow(pipeline, task));
    words.map_or(reason.clone(), |words| format!("{reason}; {words}"))
}

/// What a task of a run does while no process works for it.
enum Stands {
    /// A tick moves it, now or later.
    Moves,
    /// It is over, or waits for another one.
    Rests,
    Asks(End),
    Blocked(String),
}

fn stands(pipeline: &Pipeline, task: &Task) -> Stands {
    let reason = task.reason.clone().unwrap_or_default();
    let asks = |question: String, command: String, yes_or_no: bool| {
        Stands::Asks(End::Asks { task: task.id.clone(), question, command, yes_or_no })
    };
    let agree = format!("pipeline task approve {}", task.id);
    match &task.state {
        TaskState::Completed | TaskState::Failed | TaskState::Cancelled | TaskState::RolledBack => Stands::Rests,
        TaskState::Waiting { .. } => Stands::Rests,
        TaskState::Blocked { .. } => {
            Stands::Blocked(format!("{}: {}", task.id, with_what_followed(pipeline, task, reason)))
        }
        TaskState::Paused { .. } => asks(reason, agree, true),
        TaskState::AwaitingApproval { ask: Ask::Decision, .. } => {
            let known = pipeline.stage_of(task).map(|stage| stage.words().join("|")).unwrap_or_default();
            asks(reason, format!("{agree} --decision {known}"), false)
        }
        TaskState::AwaitingApproval { ask: Ask::Approval { .. } | Ask::Review, .. } => asks(reason, agree, true),
        TaskState::Verifying { step: Step::Advance { dirty: Some(dirty), .. }, .. } => {
            asks(reason, dirty.command.clone(), false)
        }
        _ if !pipeline.may_touch(&task.id) => {
            let mode = pipeline.core.mode.rollout.word();
            let question = format!("in {mode} mode {} is not touched", task.id);
            asks(question, "pipeline mode production --yes".to_owned(), false)
        }
        TaskState::Unassigned | TaskState::Ready { .. } => match nobody_for(pipeline, task) {
            Some((question, command)) => asks(question, command, false),
            None => Stands::Moves,
        },
        TaskState::Working { .. } | TaskState::Verifying { .. } => Stands::Moves,
    }
}

/// Why a stage that waits for a role would wait forever.
fn nobody_for(pipeline: &Pipeline, task: &Task) -> Option<(String, String)> {
    let stage = pipeline.stage_of(task)?;
    if stage.has_parts() {
        return None;
    }
    let role = stage.waits_for(task);
    let mut there = pipeline.core.agents.iter().filter(|(_, agent)| agent.role == *role && !agent.removed).peekable();
    let Some((first, _)) = there.peek().copied() else {
        let command = format!("pipeline agent add NAME --role {role} --preset PRESET");
        return Some((format!("no agent has the role {role}, which stage {} waits for", stage.id), command));
    };
    if there.any(|(_, agent)| !agent.stopped && agent.broken.is_none()) {
        return None;
    }
    Some((format!("every agent of the role {role} is stopped or broken"), format!("pipeline agent start {first}")))
}
