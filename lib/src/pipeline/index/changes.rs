//! Which tasks changed lately, so that a view can keep in step without looking at all of them. What a change was is not
//! kept: the follower looks at the task as it is now.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::pipeline::tasks::Slot;

/// Changes remembered. A follower that stayed away for longer starts from the beginning.
const CHANGES_MAX: usize = 4_096;

/// The latest changes. Each index has its own: one that was made anew, or copied, knows nothing of what was before.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    index: Arc<()>,
    latest: VecDeque<Slot>,
    count: u64,
}

/// How far a follower has read.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    index: Arc<()>,
    count: u64,
}

impl Clone for Changes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Changes {
    /// The task of this slot changed, came or left.
    pub(super) fn note(&mut self, slot: Slot) {
        if self.latest.len() == CHANGES_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(slot);
        self.count += 1;
    }

    /// Where a follower stands that knows everything up to now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { index: self.index.clone(), count: self.count }
    }

    /// The slots that changed since, some of them several times; `None` if that is not known any more.
    pub(crate) fn since(&self, mark: &Mark) -> Option<impl Iterator<Item = Slot> + '_> {
        let missed = usize::try_from(self.count.checked_sub(mark.count)?).ok()?;
        let known = Arc::ptr_eq(&self.index, &mark.index) && missed <= self.latest.len();
        known.then(|| self.latest.iter().skip(self.latest.len() - missed).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &Changes, mark: &Mark) -> Option<Vec<Slot>> {
        changes.since(mark).map(Iterator::collect)
    }

    #[test]
    fn a_follower_hears_of_what_it_missed_and_of_nothing_else() {
        let mut changes = Changes::default();
        changes.note(1);
        let mark = changes.mark();
        assert_eq!(read(&changes, &mark), Some(vec![]));
        changes.note(2);
        changes.note(2);
        assert_eq!(read(&changes, &mark), Some(vec![2, 2]));
    }

    #[test]
    fn whoever_missed_too_much_or_followed_another_index_is_told_so() {
        let mut changes = Changes::default();
        let mark = changes.mark();
        for slot in 0..=CHANGES_MAX as Slot {
            changes.note(slot);
        }
        assert_eq!(read(&changes, &mark), None);
        assert_eq!(read(&changes.clone(), &changes.mark()), None);
    }
}
