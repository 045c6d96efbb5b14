//! What was performed and is still due: it is not performed again at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pipeline_lib::fact::{Effect, EffectKey};

/// An effect that was performed and is still due is not repeated sooner: the process it started needs a moment to prove
/// itself, and a checkout in the way is a person's business.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// Effects, and when they were performed.
#[derive(Debug, Default)]
pub(super) struct Performed(HashMap<EffectKey, (Effect, Instant)>);

impl Performed {
    /// Forgets what was performed long ago, and what is no longer due: where the same becomes due again, it is wanted again.
    pub(super) fn forget<'e>(&mut self, due: impl Iterator<Item = &'e Effect>) {
        let due: HashMap<EffectKey, &Effect> = due.map(|effect| (effect.key(), effect)).collect();
        self.0
            .retain(|key, (effect, at)| at.elapsed() < REPEAT_AFTER && due.get(key).is_some_and(|due| *due == effect));
    }

    /// Whether an effect that is due is to be performed, as which it counts from now on.
    pub(super) fn begin(&mut self, effect: &Effect) -> bool {
        let is_new = self.0.get(&effect.key()).is_none_or(|(done, _)| done != effect);
        if is_new {
            self.0.insert(effect.key(), (effect.clone(), Instant::now()));
        }
        is_new
    }

    /// That an effect did not succeed: it is wanted whenever it is due.
    pub(super) fn undo(&mut self, effect: &Effect) {
        self.0.remove(&effect.key());
    }

    /// When the first start that has not shown itself may be tried again. Nothing else is waited for so: what a merge waits
    /// for is a person's business, and seen when it changes.
    pub(super) fn repeat_due(&self) -> Option<Instant> {
        let starts = self.0.values().filter(|(effect, _)| matches!(effect, Effect::Launch { .. }));
        starts.map(|(_, at)| *at + REPEAT_AFTER).min()
    }
}

#[cfg(test)]
mod tests {
    use pipeline_lib::ids::{CommitId, RunId, TaskId};

    use super::*;

    #[test]
    fn what_was_performed_is_forgotten_once_it_is_no_longer_due() {
        let merge = |head: &str| {
            let task = TaskId::new("A").unwrap();
            Effect::PrepareMerge { task, head: CommitId::from(head.to_owned()) }
        };
        let (first, other) = (merge("c1"), merge("c2"));
        let mut performed = Performed::default();
        assert!(performed.begin(&first));
        performed.forget([&first].into_iter());
        assert!(!performed.begin(&first), "while it is due it is not repeated");
        performed.forget([&other].into_iter());
        assert!(performed.begin(&first), "something else was due in its place");
        assert!(!performed.begin(&first));
        performed.forget(std::iter::empty());
        assert!(performed.begin(&first), "where it becomes due again it is wanted again");
        performed.undo(&first);
        assert!(performed.begin(&first), "it did not succeed");
    }

    #[test]
    fn a_start_that_does_not_show_itself_is_waited_for_and_nothing_else() {
        let merge = Effect::PrepareMerge { task: TaskId::new("A").unwrap(), head: CommitId::from("c1".to_owned()) };
        let (begun, at) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut performed = Performed(HashMap::from([(merge.key(), (merge, begun))]));
        assert_eq!(performed.repeat_due(), None);
        for (run, at) in [("r-2", at), ("r-1", begun)] {
            let start = Effect::Launch { run: RunId::new(run).unwrap() };
            performed.0.insert(start.key(), (start, at));
        }
        assert_eq!(performed.repeat_due(), Some(begun + REPEAT_AFTER), "the earliest");
    }
}
