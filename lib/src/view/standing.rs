//! What starts by itself and how that went, the chains that are under way, and how full each category is. One derivation
//! for `status --json`, `workflow list` and the dashboard.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::detail::flow;
use crate::ids::{StageId, TaskId, WorkflowId};
use crate::pipeline::Pipeline;
use crate::settings::{ScheduleSettings, Settings};
use crate::task::Task;
use crate::text;
use crate::view::board::tone as tone_of;
use crate::view::screen::Tone;
use crate::workflow::Doing;
use crate::workflow::schedule::Schedule;

/// Chains that are told about, the oldest ones.
const CHAINS_MAX: usize = 100;
/// Tasks that wait for a category and are named.
const QUEUE_MAX: usize = 20;
/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 100;

/// Schedules, chains and categories.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Standing {
    /// What starts by itself, in the order of the registry.
    pub schedules: Vec<ScheduleDoc>,
    /// The chains under way, in the order of creation.
    pub chains: Vec<ChainDoc>,
    /// The categories that the registry names.
    pub categories: Vec<CategoryDoc>,
}

/// What starts by itself.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ScheduleDoc {
    /// Its name.
    pub name: String,
    /// What is started.
    pub workflow: WorkflowId,
    /// When, as it was written.
    pub schedule: String,
    /// The next time; none if there is none any more.
    #[schemars(with = "Option<String>")]
    pub next: Option<Timestamp>,
    /// The time for which it was started last.
    #[schemars(with = "Option<String>")]
    pub last: Option<Timestamp>,
    /// The task that was added then.
    pub task: Option<TaskId>,
    /// The status of that task; empty where there is none.
    pub status: String,
    /// How often it was left out.
    pub skipped: u64,
    /// Why it was left out the last time; empty where it was not.
    pub problem: String,
    /// What kind of state its task is in.
    #[serde(skip)]
    pub tone: Option<Tone>,
}

/// A chain under way.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ChainDoc {
    /// The chain.
    pub chain: WorkflowId,
    /// The task on it.
    pub task: TaskId,
    /// What it is called.
    pub title: String,
    /// Its status.
    pub status: String,
    /// Since when it has that.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The workflows it is made of, in order.
    pub parts: Vec<ChainPart>,
    /// What kind of state it is in.
    #[serde(skip)]
    pub tone: Option<Tone>,
}

/// A workflow of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ChainPart {
    /// The stage of the chain that it is.
    pub stage: StageId,
    /// Which workflow.
    pub workflow: WorkflowId,
    /// How it stands, in words.
    pub state: String,
    /// The task that does it, or did it last.
    pub task: Option<TaskId>,
    /// The status of that task; empty where there is none.
    pub status: String,
    /// What kind of state it is in.
    #[serde(skip)]
    pub tone: Option<Tone>,
}

/// A category of workflows.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct CategoryDoc {
    /// Its name.
    pub category: String,
    /// How many tasks of it run at once: a number, or `unlimited`.
    pub max: Value,
    /// Whether nothing of another category that has a limit runs meanwhile.
    pub exclusive: bool,
    /// The tasks that count for it now.
    pub running: Vec<TaskId>,
    /// How many tasks wait because of it.
    pub waiting: usize,
    /// The first of them, in the order in which they would be taken.
    pub queue: Vec<TaskId>,
}

/// How all of that stands, for what these settings name.
#[must_use]
pub fn standing(pipeline: &Pipeline, settings: &Settings, now: Timestamp) -> Standing {
    Standing {
        schedules: settings.schedules.iter().map(|schedule| scheduled(pipeline, schedule, now)).collect(),
        chains: chains(pipeline),
        categories: categories(pipeline, settings),
    }
}

fn scheduled(pipeline: &Pipeline, schedule: &ScheduleSettings, now: Timestamp) -> ScheduleDoc {
    let known = pipeline.core.schedules.get(&schedule.name).filter(|known| known.when == schedule.when);
    let first = || Schedule::parse(&schedule.when).ok()?.next_after(now);
    let task = known.and_then(|known| known.task.clone());
    let (status, tone) = task.as_ref().map(|id| stands(pipeline, id)).unwrap_or_default();
    ScheduleDoc {
        name: schedule.name.clone(),
        workflow: schedule.workflow.clone(),
        schedule: schedule.when.clone(),
        next: known.map_or_else(first, |known| known.next),
        last: known.and_then(|known| known.last),
        task,
        status,
        skipped: known.map_or(0, |known| known.skipped),
        problem: known.and_then(|known| known.problem.clone()).unwrap_or_default(),
        tone,
    }
}

/// The status of a task, also of one that has left the live state.
fn stands(pipeline: &Pipeline, id: &TaskId) -> (String, Option<Tone>) {
    match (pipeline.task(id.as_str()), pipeline.core.archived.get(id)) {
        (Some(task), _) => (task.state.word(), Some(tone_of(pipeline, task))),
        (None, Some(archived)) => {
            let tone = if archived.status == "completed" { Tone::Good } else { Tone::Gone };
            (archived.status.clone(), Some(tone))
        }
        (None, None) => (String::new(), None),
    }
}

fn chains(pipeline: &Pipeline) -> Vec<ChainDoc> {
    let is_chain = |task: &&Task| {
        task.started_at.is_some()
            && !task.state.is_final()
            && pipeline.workflow_of(task).is_some_and(|workflow| workflow.extra.contains_key("chain"))
    };
    let mut tasks: Vec<&Task> = pipeline.tasks.iter().filter(is_chain).collect();
    tasks.sort_unstable_by_key(|task| task.order);
    tasks.into_iter().take(CHAINS_MAX).map(|task| chain(pipeline, task)).collect()
}

fn chain(pipeline: &Pipeline, task: &Task) -> ChainDoc {
    let stages = pipeline.workflow_of(task).map(|workflow| workflow.stages.as_slice()).unwrap_or_default();
    let (marks, _) = flow::of(pipeline, task);
    let part = |(stage, mark): (&crate::workflow::Stage, flow::StageMark)| {
        let workflow = match &stage.doing {
            Doing::Workflow { workflow, .. } => workflow.clone(),
            _ => task.workflow.clone(),
        };
        let last = mark.parts.last();
        ChainPart {
            stage: mark.id,
            workflow,
            state: mark.word.to_owned(),
            status: last.map(|part| part.status.clone()).unwrap_or_default(),
            task: last.map(|part| part.id.clone()),
            tone: Some(mark.tone),
        }
    };
    ChainDoc {
        chain: task.workflow.clone(),
        task: task.id.clone(),
        title: text::one_line(&task.title, TITLE_CHARS_MAX),
        status: task.state.word(),
        since: task.state_since,
        parts: stages.iter().zip(marks).map(part).collect(),
        tone: Some(tone_of(pipeline, task)),
    }
}

fn categories(pipeline: &Pipeline, settings: &Settings) -> Vec<CategoryDoc> {
    if settings.categories.is_empty() {
        return Vec::new();
    }
    let mut waiting: BTreeMap<String, Vec<&Task>> = BTreeMap::new();
    for task in pipeline.tasks.iter().filter(|task| !task.state.is_final()) {
        if let Some(wait) = pipeline.category_wait(task) {
            waiting.entry(wait.category).or_default().push(task);
        }
    }
    let one = |(name, limit): (&String, &crate::settings::Category)| {
        let mut waits = waiting.remove(name).unwrap_or_default();
        waits.sort_unstable_by_key(|task| pipeline.order_of(task));
        CategoryDoc {
            category: name.clone(),
            max: limit.max.map_or_else(|| Value::from("unlimited"), Value::from),
            exclusive: limit.exclusive,
            running: pipeline.in_category(name).map(|task| task.id.clone()).collect(),
            waiting: waits.len(),
            queue: waits.iter().take(QUEUE_MAX).map(|task| task.id.clone()).collect(),
        }
    };
    settings.categories.iter().map(one).collect()
}
