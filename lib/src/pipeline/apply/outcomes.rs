//! Whether tasks come to something or to nothing, which the rollout depends on. The parts of a task, and what follows its
//! failure, are one thing with it: somebody asked for that task alone.

use super::super::{NESTING_MAX, Pipeline};
use crate::ids::TaskId;
use crate::task::{ParentWhy, Task, TaskState};

/// Tasks that came to nothing are counted up to this number.
const GIVEN_UP_MAX: usize = 100;

impl Pipeline {
    /// A task has moved to this state, be it that every attempt at its stage failed.
    pub(super) fn count_outcome(&mut self, id: &TaskId, to: &TaskState, is_given_up: bool) {
        let serves = self.serving(id).nth(1).is_some();
        match to {
            TaskState::Completed if !serves => self.core.given_up.clear(),
            TaskState::Failed | TaskState::RolledBack if !serves => self.count_given_up(id),
            // What the tasks that it serves make of it shows in them, if they make anything of it.
            _ if is_given_up && !self.serving(id).skip(1).any(|task| self.answers_failure(task)) => {
                self.count_given_up(id);
            }
            _ => {}
        }
    }

    /// Another task came to nothing; what one of them did before does not count twice.
    pub(super) fn count_given_up(&mut self, id: &TaskId) {
        let Some(root) = self.serving(id).last().map(|task| task.id.clone()) else { return };
        if !self.core.given_up.contains(&root) && self.core.given_up.len() < GIVEN_UP_MAX {
            self.core.given_up.push(root);
        }
    }

    /// A task, the one that it serves, and so on to the one that somebody asked for.
    fn serving(&self, id: &TaskId) -> impl Iterator<Item = &Task> {
        let served = |task: &&Task| {
            let parent = task.parent.as_ref().filter(|parent| parent.why != ParentWhy::Proposal)?;
            self.task(parent.task.as_str())
        };
        std::iter::successors(self.task(id.as_str()), served).take(NESTING_MAX)
    }
}
