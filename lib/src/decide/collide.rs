//! What follows from merges that were tried out: which tasks collide, and which of the ready ones is started first.
//! [`crate::collision`] says what the rules are; nothing is held back here.

use super::Rules;
use crate::collision::{FILES_MAX, Prediction};
use crate::fact::Fact;
use crate::ids::TaskId;
use crate::pipeline::ReadyKey;

impl Rules<'_> {
    /// What was found, as far as it is new.
    pub(super) fn merges_predicted(&self, found: &[Prediction]) -> Vec<Fact> {
        found.iter().filter_map(|prediction| self.merge_predicted(prediction)).collect()
    }

    fn merge_predicted(&self, found: &Prediction) -> Option<Fact> {
        let Prediction { task, with, files } = found;
        let known = self.p.core.collisions.files(task, with.as_ref());
        let files = files.get(..FILES_MAX).unwrap_or(files);
        let live = self.is_in_flight(task) && with.as_ref().is_none_or(|with| with != task && self.is_in_flight(with));
        let (task, with) = (task.clone(), with.clone());
        match (live, files, known) {
            (true, [_, ..], known) if known != Some(files) => {
                Some(Fact::CollisionSeen { task, with, files: files.to_vec() })
            }
            (true, [], Some(_)) => Some(Fact::CollisionGone { task, with }),
            // Of what is over, the next tick says so.
            _ => None,
        }
    }

    /// What is finished collides with nothing.
    pub(super) fn end_collisions(&self) -> Vec<Fact> {
        let over = |(task, with): &(&TaskId, Option<&TaskId>)| {
            !self.is_in_flight(task) || with.is_some_and(|with| !self.is_in_flight(with))
        };
        let gone = self.p.core.collisions.all().filter(over);
        gone.map(|(task, with)| Fact::CollisionGone { task: task.clone(), with: with.cloned() }).collect()
    }

    fn is_in_flight(&self, id: &TaskId) -> bool {
        self.p.task(id.as_str()).is_some_and(crate::task::Task::in_flight)
    }

    /// The first of some ready tasks; of those that are as urgent, the first that gives way to nobody.
    pub(super) fn first_in_order(&self, mut ready: impl Iterator<Item = ReadyKey>) -> Option<ReadyKey> {
        let first = ready.next()?;
        let gives_way =
            |key: &ReadyKey| self.p.tasks.at(key.slot).is_some_and(|task| self.p.gives_way_to(task).is_some());
        if self.p.core.collisions.is_empty() || !gives_way(&first) {
            return Some(first);
        }
        ready.take_while(|key| key.urgency == first.urgency).find(|key| !gives_way(key)).or(Some(first))
    }
}
