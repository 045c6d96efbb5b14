//! What starts by itself: when it is due next, and what became of the last time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::ids::TaskId;
use crate::pipeline::Pipeline;

/// Where a schedule stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// When, as it was written.
    pub when: String,
    /// Its jitter.
    pub jitter: SignedDuration,
    /// The next time; none if there is none.
    pub next: Option<Timestamp>,
    /// When that was found.
    pub since: Timestamp,
    /// The time for which it was started last.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// The task that was added last.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// How often it was not started.
    #[serde(default)]
    pub skipped: u64,
    /// Why it was not started the last time.
    #[serde(default)]
    pub problem: Option<String>,
}

impl Pipeline {
    pub(super) fn apply_schedule(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::ScheduleSet { name, scheduled: Some(scheduled) } => {
                self.core.schedules.insert(name.clone(), (**scheduled).clone());
            }
            Fact::ScheduleSet { name, scheduled: None } => drop(self.core.schedules.remove(name)),
            Fact::ScheduleFired { name, due, next, task, why } => {
                let Some(known) = self.core.schedules.get_mut(name) else { return };
                (known.next, known.since) = (*next, at);
                known.problem.clone_from(why);
                match task {
                    Some(task) => (known.task, known.last) = (Some(task.clone()), Some(*due)),
                    None => known.skipped += 1,
                }
            }
            _ => {}
        }
    }
}
