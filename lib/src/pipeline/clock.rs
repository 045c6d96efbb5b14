//! How long a task has gone on. What waits for a person does not use up its time, or of a task that was approved the next
//! morning nothing would be left; and who lets it go on that was given up gives it all of its time again.

use jiff::{SignedDuration, Timestamp};

use super::{NESTING_MAX, Pipeline};
use crate::decide::after;
use crate::ids::TaskId;
use crate::task::{ParentWhy, Task, TaskState};

/// The time of a task that does not count.
fn ongoing(task: &Task, now: Timestamp) -> SignedDuration {
    let since = task.waited_to.map_or(task.state_since, |to| to.max(task.state_since));
    let is_waiting = task.state.is_a_persons() && now > since;
    if is_waiting { now.duration_since(since) } else { SignedDuration::ZERO }
}

/// When a task that may go on for so long has to be over, as it is known now.
pub(crate) fn ends_at(task: &Task, limit: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    let started = after(task.started_at?, limit);
    Some(after(after(started, task.waited), ongoing(task, now)))
}

impl Pipeline {
    /// A task was in a state since a moment and leaves it now. What it does a part of waited with it.
    pub(super) fn count_wait(&mut self, at: Timestamp, id: &TaskId, was: &TaskState, since: Timestamp) {
        if !was.is_a_persons() {
            return;
        }
        let mut next = Some(id.clone());
        for _ in 0..NESTING_MAX {
            let Some(slot) = next.take().and_then(|id| self.tasks.slot(id.as_str())) else { return };
            let Some(task) = self.tasks.at_mut(slot) else { return };
            // Two parts that wait at the same time make their task wait once.
            let from = task.waited_to.map_or(since, |to| to.max(since));
            if task.started_at.is_some() && at > from {
                task.waited = task.waited.saturating_add(at.duration_since(from));
                task.waited_to = Some(at);
            }
            let serves = task.parent.as_ref().filter(|parent| parent.why == ParentWhy::Part);
            next = serves.map(|parent| parent.task.clone());
        }
    }
}

/// Gives a task all of its time again.
pub(super) fn begin_anew(task: &mut Task, at: Timestamp) {
    if let Some(started) = task.started_at {
        task.waited = at.duration_since(started).max(SignedDuration::ZERO);
        task.waited_to = Some(at);
    }
}
