//! The board: tasks by column, kept in step with the pipeline by looking only at those that changed. It decides nothing
//! and is never stored; one that is made anew shows the same.

#[cfg(test)]
#[path = "board_tests.rs"]
pub(crate) mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::screen::{Card, Column, Tone};
use super::task_doc;
use crate::ids::{StageId, TaskId, WorkflowId};
use crate::pipeline::{Mark, Pipeline, Slot};
use crate::task::{Step, Task, TaskState};
use crate::text;

/// The longest title or reason of a card, in characters.
const LINE_CHARS_MAX: usize = 200;

/// The tasks by column. Follow the pipeline before asking.
#[derive(Debug, Clone, Default)]
pub struct Board {
    seen: Option<Mark>,
    /// Where the task of each slot stands.
    places: Vec<Option<Place>>,
    shelves: BTreeMap<Shelf, BTreeSet<(Rank, Slot)>>,
    /// How many tasks travel each workflow.
    in_use: BTreeMap<WorkflowId, usize>,
}

/// Tasks that stand together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shelf {
    /// Not started.
    New,
    /// At this stage.
    Stage(StageId),
    /// Finished.
    Done,
}

/// The order of a column: first what is worked at, then by priority and age; of what is finished, the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Live { idle: bool, priority: u8, order: u64 },
    Done(Reverse<(Option<Timestamp>, u64)>),
}

#[derive(Debug, Clone)]
struct Place {
    shelf: Shelf,
    rank: Rank,
    workflow: WorkflowId,
}

impl Place {
    fn of(task: &Task) -> Self {
        let workflow = task.workflow.clone();
        if task.state.is_final() {
            return Self { shelf: Shelf::Done, rank: Rank::Done(Reverse((task.finished_at, task.order))), workflow };
        }
        let shelf = task.state.stage().map_or(Shelf::New, |stage| Shelf::Stage(stage.clone()));
        let idle = !matches!(task.state, TaskState::Working { .. } | TaskState::Waiting { .. });
        Self { shelf, rank: Rank::Live { idle, priority: task.priority, order: task.order }, workflow }
    }
}

impl Board {
    /// Takes over what changed since the last time.
    pub fn follow(&mut self, pipeline: &Pipeline) {
        let changes = pipeline.queue.changes();
        let known = self.seen.as_ref().and_then(|mark| changes.since(mark));
        if let Some(changed) = known {
            changed.for_each(|slot| self.put(slot, pipeline.tasks.at(slot)));
        } else {
            *self = Self::default();
            pipeline.tasks.occupied().for_each(|(slot, task)| self.put(slot, Some(task)));
        }
        self.seen = Some(changes.mark());
    }

    /// Puts the task of a slot where it belongs, and takes it from where it was.
    fn put(&mut self, slot: Slot, task: Option<&Task>) {
        let at = slot as usize;
        if self.places.len() <= at {
            self.places.resize_with(at + 1, || None);
        }
        if let Some(old) = self.places[at].take() {
            if let Some(tasks) = self.shelves.get_mut(&old.shelf) {
                tasks.remove(&(old.rank, slot));
            }
            if let Some(count) = self.in_use.get_mut(&old.workflow) {
                *count -= 1;
            }
        }
        if let Some(new) = task.map(Place::of) {
            self.shelves.entry(new.shelf.clone()).or_default().insert((new.rank, slot));
            *self.in_use.entry(new.workflow.clone()).or_default() += 1;
            self.places[at] = Some(new);
        }
    }

    /// New tasks, one column for each stage of the workflows in use, and what is finished, each with its first cards.
    #[must_use]
    pub fn columns(&self, pipeline: &Pipeline, cards_max: usize) -> Vec<Column> {
        let stages = self.stages(pipeline);
        // A stage that its workflow no longer has stands with the new tasks.
        let gone = |shelf: &&Shelf| match shelf {
            Shelf::Stage(stage) => !stages.contains(&stage),
            Shelf::New | Shelf::Done => false,
        };
        let homeless = self.shelves.keys().filter(gone);
        let first = self.column(pipeline, "new", std::iter::once(&Shelf::New).chain(homeless), cards_max);
        let middle = stages.iter().map(|stage| {
            self.column(pipeline, stage.as_str(), std::iter::once(&Shelf::Stage((*stage).clone())), cards_max)
        });
        let last = self.column(pipeline, "done", std::iter::once(&Shelf::Done), cards_max);
        std::iter::once(first).chain(middle).chain(std::iter::once(last)).collect()
    }

    /// The stages of the workflows in use; those of the default one where there is no task.
    fn stages<'a>(&self, pipeline: &'a Pipeline) -> Vec<&'a StageId> {
        let none = self.in_use.values().all(|count| *count == 0);
        let used =
            |id: &WorkflowId| self.in_use.get(id).is_some_and(|count| *count > 0) || none && id.as_str() == "tdd";
        let mut stages: Vec<&StageId> = Vec::new();
        for workflow in pipeline.core.workflows.values().filter(|workflow| used(&workflow.id)) {
            for stage in &workflow.stages {
                if !stages.contains(&&stage.id) {
                    stages.push(&stage.id);
                }
            }
        }
        stages
    }

    fn column<'a>(
        &self,
        pipeline: &Pipeline,
        title: &str,
        shelves: impl Iterator<Item = &'a Shelf>,
        cards_max: usize,
    ) -> Column {
        let mut total = 0;
        let mut first: Vec<(Rank, Slot)> = Vec::new();
        for tasks in shelves.filter_map(|shelf| self.shelves.get(shelf)) {
            total += tasks.len();
            first.extend(tasks.iter().take(cards_max));
        }
        first.sort_unstable();
        let tasks = first.iter().take(cards_max).filter_map(|(_, slot)| pipeline.tasks.at(*slot));
        Column { title: title.to_owned(), total, cards: tasks.map(|task| card(pipeline, task)).collect() }
    }
}

fn card(pipeline: &Pipeline, task: &Task) -> Card {
    let document = task_doc(pipeline, task);
    Card {
        id: task.id.clone(),
        title: text::one_line(&task.title, LINE_CHARS_MAX),
        status: document.status,
        tone: tone(pipeline, task),
        agent: document.assigned_to.cloned(),
        role: role_now(pipeline, task),
        attempt: task.attempt,
        since: task.state_since,
        priority: task.priority,
        reason: document.reason.map(|reason| text::one_line(&reason, LINE_CHARS_MAX)),
        collides: collides(pipeline, task),
    }
}

/// With whom it collides, where that is not the reason why it waits.
fn collides(pipeline: &Pipeline, task: &Task) -> Option<String> {
    let known = pipeline.core.collisions.of(&task.id);
    if known.is_empty() || pipeline.gives_way_to(task).is_some() {
        return None;
    }
    let base = pipeline.core.settings.base.as_str();
    let names: Vec<&str> = known.iter().map(|known| known.with.as_ref().map_or(base, TaskId::as_str)).collect();
    Some(text::one_line(&format!("collides with {}", names.join(", ")), LINE_CHARS_MAX))
}

/// Who could be given the task now. Nobody, once it has ended.
pub(in crate::view) fn role_now(pipeline: &Pipeline, task: &Task) -> Option<String> {
    pipeline.stage_of(task).filter(|_| !task.state.is_final()).map(|stage| stage.role.to_string())
}

/// What kind of state a task is in.
pub(in crate::view) fn tone(pipeline: &Pipeline, task: &Task) -> Tone {
    match &task.state {
        TaskState::Unassigned | TaskState::Ready { .. } if pipeline.is_startable(task) => Tone::Ready,
        TaskState::Unassigned | TaskState::Ready { .. } => Tone::Waiting,
        TaskState::Working { .. } | TaskState::Waiting { .. } => Tone::Active,
        TaskState::Verifying { step: Step::Advance { dirty: Some(_), .. }, .. } => Tone::Attention,
        TaskState::Verifying { .. } => Tone::Checking,
        TaskState::AwaitingApproval { .. } | TaskState::Paused { .. } | TaskState::Blocked { .. } => Tone::Attention,
        TaskState::Failed => Tone::Bad,
        TaskState::Completed => Tone::Good,
        TaskState::Cancelled | TaskState::RolledBack => Tone::Gone,
    }
}
