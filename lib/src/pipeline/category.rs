//! How many tasks of a category of workflows run at once: who may not begin yet, and because of whom. It follows from the
//! tasks in flight, so every process comes to the same answer and nothing has to be given back. What waits for a person
//! after it could not go on has no place: it takes one again when it is let go on.
//!
//! What runs alone waits until the others are over, so nothing that comes behind it in order begins meanwhile: it would be
//! kept waiting for as long as there is something to do.

use std::fmt;

use super::index::QueueId;
use super::{NESTING_MAX, Pipeline};
use crate::ids::{TaskId, parts_role};
use crate::mode::Orchestration;
use crate::settings::Category;
use crate::task::{Parent, ParentWhy, Task, TaskState};

/// Why a task waits for others because of its category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryWait {
    /// Its category.
    pub category: String,
    /// How many of it run at once, where that is what is waited for.
    pub max: Option<u32>,
    /// The tasks in flight that are waited for.
    pub by: Vec<TaskId>,
}

impl fmt::Display for CategoryWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.by.iter().map(TaskId::as_str).collect();
        let names = names.join(", ");
        match self.max {
            Some(1) => write!(f, "waits for {names}: one task of category {} runs at a time", self.category),
            Some(max) => write!(f, "waits for {names}: {max} tasks of category {} run at a time", self.category),
            None => write!(f, "waits for {names}: category {} runs alone", self.category),
        }
    }
}

impl Pipeline {
    /// Whether a task that has not begun waits because of its category. What does a part of a task of the same category,
    /// or mends it, runs in its place.
    #[must_use]
    pub fn category_wait(&self, task: &Task) -> Option<CategoryWait> {
        // In sequential mode nothing else moves, so whoever was waited for would never finish.
        let sequential = self.core.mode.orchestration == Orchestration::Sequential;
        if self.core.settings.categories.is_empty() || sequential || (task.in_flight() && !task.lost_place) {
            return None;
        }
        let (category, limit) = self.limit_of(task)?;
        let inside = |id: &TaskId| self.parents(task).any(|parent| parent.id == *id);
        // What mends a task that is blocked does not wait for a place; what was blocked itself does.
        let serves = |parent: &Task| if task.lost_place { self.has_place(parent) } else { parent.in_flight() };
        if self.parents(task).any(|parent| serves(parent) && self.has_category(parent, category)) {
            return None;
        }
        let wait = |max, by| Some(CategoryWait { category: category.to_owned(), max, by });
        let others = || self.with_place().filter(|other| other.id != task.id && !inside(&other.id));
        if let Some(max) = limit.max {
            let places = others().filter(|other| self.has_category(other, category) && self.has_own_place(other));
            let by: Vec<TaskId> = places.map(|other| other.id.clone()).collect();
            if by.len() >= max as usize {
                return wait(Some(max), by);
            }
        }
        // Its own category is counted above.
        let apart = |other: &&Task| match self.limit_of(other) {
            Some((name, theirs)) => name != category && (limit.exclusive || theirs.exclusive),
            None => false,
        };
        let by: Vec<TaskId> = others().filter(apart).map(|other| other.id.clone()).collect();
        if !by.is_empty() {
            return wait(None, by);
        }
        let before = |other: &&Task| {
            self.limit_of(other).is_some_and(|(name, _)| name != category)
                && !inside(&other.id)
                && self.order_of(other) < self.order_of(task)
                && self.can_be_done(other)
        };
        let alone = self.queue.ready_alone().filter_map(|slot| self.tasks.at(slot)).find(before)?;
        let (name, _) = self.limit_of(alone)?;
        Some(CategoryWait { category: name.to_owned(), max: None, by: vec![alone.id.clone()] })
    }

    /// Whether a task of this kind has to wait until nothing of another category is under way.
    pub(super) fn runs_alone(&self, task: &Task) -> bool {
        self.limit_of(task).is_some_and(|(_, limit)| limit.exclusive)
    }

    /// Whether some agent takes the ready stage of a task, now or when it is free. Nobody waits for what nobody does.
    fn can_be_done(&self, task: &Task) -> bool {
        let Some((_, queue, _)) = self.tasks.slot(task.id.as_str()).and_then(|slot| self.queue.queued(slot)) else {
            return false;
        };
        // Its parts are begun by no agent.
        let by_parts = matches!(queue, QueueId::Role(role) if role == parts_role());
        by_parts
            || self.core.agents.iter().any(|(name, agent)| {
                let serves = match queue {
                    QueueId::Agent(pinned) => pinned == name,
                    QueueId::Role(_) | QueueId::Arm(..) => self.shared_queue(name, &agent.role).as_ref() == Some(queue),
                };
                let usable = !agent.stopped && agent.broken.is_none() && !agent.removed;
                serves && usable && !self.core.paused.contains_key(&agent.preset)
            })
    }

    /// Tasks that count for a category.
    pub fn in_category<'a>(&'a self, category: &'a str) -> impl Iterator<Item = &'a Task> + 'a {
        self.with_place().filter(move |task| self.has_category(task, category) && self.has_own_place(task))
    }

    fn with_place(&self) -> impl Iterator<Item = &Task> {
        self.in_flight().filter(|task| self.has_place(task))
    }

    /// Whether a task takes a place: it is under way, or something mends it. One that does nothing but wait for tasks that all wait for a person,
    /// or for a place of their own, does not; two of that kind would wait for each other forever.
    fn has_place(&self, task: &Task) -> bool {
        if !task.in_flight() || task.lost_place {
            return false;
        }
        match &task.state {
            TaskState::Blocked { .. } => self.is_being_mended(task),
            TaskState::Waiting { on, .. } => {
                let open = on.iter().filter_map(|id| self.task(id.as_str())).filter(|part| !part.state.is_final());
                let ours = |part: &Task| {
                    self.limit_of(part).is_none_or(|(category, _)| self.has_category(task, category))
                        && !part.lost_place
                };
                let mut parts = open.peekable();
                // Once all of them are over, it goes on by itself.
                parts.peek().is_none()
                    || parts.any(|part| if part.started_at.is_some() { self.has_place(part) } else { ours(part) })
            }
            _ => true,
        }
    }

    /// Whether a task that was started because this one failed is not over.
    fn is_being_mended(&self, task: &Task) -> bool {
        let mends = |parent: &Parent| parent.why == ParentWhy::Failure && parent.task == task.id;
        self.tasks.iter().any(|other| !other.state.is_final() && other.parent.as_deref().is_some_and(mends))
    }

    /// Whether it counts for its category by itself, and not as a part of a task that does.
    fn has_own_place(&self, task: &Task) -> bool {
        let Some(workflow) = self.workflow_of(task) else { return false };
        !self.parents(task).any(|parent| self.has_place(parent) && self.has_category(parent, &workflow.category))
    }

    /// The category of a task and its limit, where that has one.
    fn limit_of<'a>(&'a self, task: &'a Task) -> Option<(&'a str, Category)> {
        let category = self.workflow_of(task)?.category.as_str();
        let limit = self.core.settings.categories.get(category).filter(|limit| limit.is_limited())?;
        Some((category, *limit))
    }

    fn has_category(&self, task: &Task, category: &str) -> bool {
        self.workflow_of(task).is_some_and(|workflow| workflow.category == category)
    }

    /// The tasks whose stages a task serves, the nearest first.
    fn parents<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a Task> + 'a {
        let parent = |task: &&'a Task| self.task(task.parent.as_ref()?.task.as_str());
        std::iter::successors(Some(task), parent).skip(1).take(NESTING_MAX)
    }
}
