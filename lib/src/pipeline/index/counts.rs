//! How many tasks stand where, kept while facts are applied, so that no figure costs a look at every task.

use crate::pipeline::{Archived, Pipeline};
use crate::task::{Task, TaskState};

/// How many tasks stand where, archived ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Completed ones.
    pub completed: u64,
    /// Started and not finished, blocked ones not included.
    pub in_progress: u64,
    /// Waiting for a person to let them go on: state `blocked`.
    pub blocked: u64,
    /// Failed ones.
    pub failed: u64,
}

/// What a task is counted as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Counted {
    /// Nothing.
    #[default]
    Not,
    Completed,
    InProgress,
    Blocked,
    Failed,
}

impl Counted {
    pub(super) fn of(task: &Task) -> Self {
        match &task.state {
            TaskState::Blocked { .. } => Self::Blocked,
            TaskState::Failed => Self::Failed,
            TaskState::Completed => Self::Completed,
            TaskState::Unassigned
            | TaskState::Ready { .. }
            | TaskState::Working { .. }
            | TaskState::Waiting { .. }
            | TaskState::Paused { .. }
            | TaskState::Verifying { .. }
            | TaskState::AwaitingApproval { .. }
            | TaskState::Cancelled
            | TaskState::RolledBack => {
                if task.in_flight() {
                    Self::InProgress
                } else {
                    Self::Not
                }
            }
        }
    }

    pub(super) fn of_archived(task: &Archived) -> Self {
        match task.status.as_str() {
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => Self::Not,
        }
    }
}

impl Counts {
    /// One task that was counted as `was` is counted as `is` from now on.
    pub(super) fn recount(&mut self, was: Counted, is: Counted) {
        if let Some(count) = self.of(was) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.of(is) {
            *count += 1;
        }
    }

    fn of(&mut self, counted: Counted) -> Option<&mut u64> {
        match counted {
            Counted::Not => None,
            Counted::Completed => Some(&mut self.completed),
            Counted::InProgress => Some(&mut self.in_progress),
            Counted::Blocked => Some(&mut self.blocked),
            Counted::Failed => Some(&mut self.failed),
        }
    }
}

impl Pipeline {
    /// How many tasks stand where.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.queue.counts
    }

    /// Tasks, archived ones included.
    #[must_use]
    pub fn tasks_total(&self) -> u64 {
        (self.tasks.len() + self.core.archived.len()) as u64
    }
}
