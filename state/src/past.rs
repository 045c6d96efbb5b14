//! What a machine was before: from the checkpoint that is nearest before it, so that the whole history need not be read.
//! Needs no lock.

use crate::error::{ErrorKind, Result, StateError};
use crate::events::open_segment;
use crate::journal::Segment;
use crate::machine::{Machine, Record};
use crate::store::Store;

impl<M: Machine> Store<M> {
    /// The last record before each segment that is kept, the oldest first: [`Store::events`] after one of them reads no
    /// segment before it. One whose checkpoint is unreadable is left out.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn segment_starts(&self) -> Result<Vec<u64>> {
        let mut starts = Vec::new();
        for number in self.layout.segments()? {
            match open_segment(&self.layout, number) {
                Ok((_, checkpoint)) => starts.extend(checkpoint.map(|frame| frame.seq)),
                // Dropped meanwhile.
                Err(error) if error.is_missing_file() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(starts)
    }

    /// The machine as it was after record `seq`; `None` where what leads there is no longer kept, damaged, or written by a
    /// newer program.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn at(&self, seq: u64) -> Result<Option<M>> {
        let Some((mut machine, since)) = self.checkpoint_before(seq)? else { return Ok(None) };
        for record in self.events(since) {
            let record = match record {
                Ok(record) if record.seq > seq => break,
                Ok(record) => record,
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
                Err(error) => return Err(error),
            };
            let Ok(fact) = serde_json::from_value(record.fact) else { return Ok(None) };
            machine.apply(&Record { seq: record.seq, at: record.at, actor: record.actor, fact });
        }
        Ok(Some(machine))
    }

    /// The newest checkpoint that stands for no record after `seq`, and the last record it stands for.
    fn checkpoint_before(&self, seq: u64) -> Result<Option<(M, u64)>> {
        for number in self.layout.segments()?.into_iter().rev() {
            let found = open_segment(&self.layout, number).and_then(|(_, checkpoint)| {
                let before = checkpoint.is_some_and(|frame| frame.seq <= seq);
                if before { Segment::read(&self.layout, number).map(Some) } else { Ok(None) }
            });
            let segment = match found {
                Ok(segment) => segment,
                Err(error) if error.is_missing_file() => continue,
                Err(error) => return Err(error),
            };
            match segment.map(|segment| segment.machine()).transpose() {
                Ok(Some(Ok(found))) => return Ok(Some(found)),
                // Damaged, or later: an older one serves.
                Ok(Some(Err(_)) | None) => {}
                Err(StateError::UnknownContent { .. } | StateError::NewerFormat { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Room, add};

    #[test]
    fn every_moment_that_is_kept_can_be_gone_back_to() {
        let mut room = Room::new();
        room.options.rotate_bytes = 200;
        let mut store = room.open();
        let mut was = vec![store.machine().clone()];
        for round in 0..20 {
            add(&mut store, "a", &[round, round + 1]).unwrap();
            // Within a batch too.
            let mut between = was.last().unwrap().clone();
            let first = store.events(was.len() as u64 - 1).next().unwrap().unwrap();
            let fact = serde_json::from_value(first.fact).unwrap();
            between.apply(&Record { seq: first.seq, at: first.at, actor: first.actor, fact });
            was.extend([between, store.machine().clone()]);
        }
        let starts = store.segment_starts().unwrap();
        assert!(starts.len() > 3 && starts[0] == 0 && starts.is_sorted(), "{starts:?}");
        for (seq, machine) in was.iter().enumerate() {
            assert_eq!(store.at(seq as u64).unwrap().as_ref(), Some(machine), "after {seq}");
        }
        let first_after = |start: &u64| store.events(*start).next().map(|record| record.unwrap().seq);
        assert!(starts.iter().all(|start| first_after(start).is_none_or(|seq| seq == start + 1)));
    }

    #[test]
    fn what_is_no_longer_kept_or_damaged_is_not_made_up() {
        let mut room = Room::new();
        (room.options.rotate_bytes, room.options.keep_bytes) = (100, 0);
        let mut store = room.open();
        for round in 0..20 {
            add(&mut store, "a", &[round]).unwrap();
        }
        let starts = store.segment_starts().unwrap();
        let oldest = starts[0];
        assert!(oldest > 0);
        assert_eq!(store.at(oldest - 1).unwrap(), None);
        assert!(store.at(oldest).unwrap().is_some());
        assert_eq!(store.at(20).unwrap().as_ref(), Some(store.machine()));
    }
}
