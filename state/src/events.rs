//! The history as a stream of records whose facts stay uninterpreted: what `events` prints, and follows. Needs no lock, and
//! reads what a newer program wrote as well.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Result, StateError};
use crate::files::{self, FileId};
use crate::format::{self, FRAME_HEADER_LEN, Frame, HEADER_LEN};
use crate::layout::Layout;
use crate::machine::Record;
use crate::replay::{self, Rest};

/// So many bytes are read at once, where no record is longer: a reader that follows a long history, or that was away for a
/// while, holds a small part of it.
const PIECE_BYTES: u64 = 64 << 10;

/// Records in order, from all kept segments. `None` means "no more yet": asking again later goes on from there. After an
/// error about damage it goes on behind the damage.
#[derive(Debug)]
pub struct Events {
    layout: Layout,
    /// The last record given, or the one to begin after.
    seq: u64,
    place: Option<Place>,
    ready: VecDeque<Record<Value>>,
    trouble: Option<StateError>,
    /// Whether the last answer was that nothing can be read.
    failed: bool,
    missing_before: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    path: PathBuf,
    id: FileId,
    file: File,
    offset: u64,
    /// How long the file was when all of it was read. As long as it is no longer, there is nothing behind zeros.
    read_whole: u64,
}

impl Events {
    /// The history of the store in `dir` after record `since`.
    pub fn open(dir: &Path, since: u64) -> Events {
        Events {
            layout: Layout::new(dir),
            seq: since,
            place: None,
            ready: VecDeque::new(),
            trouble: None,
            failed: false,
            missing_before: None,
        }
    }

    /// The number of the last record given; a later `Events` goes on from it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The first record that is still kept, if some that were asked for are not. Known once reading began.
    pub fn missing_before(&self) -> Option<u64> {
        self.missing_before
    }

    /// Goes on behind a record that the reader knows from elsewhere, if that is further on.
    pub fn skip_to(&mut self, seq: u64) {
        if seq > self.seq {
            self.ready.retain(|record| record.seq > seq);
            self.seq = seq;
        }
    }

    /// Reads on; whether it is worth asking for a record again.
    fn fill(&mut self) -> Result<bool> {
        let Some(place) = self.place.as_mut() else {
            self.locate()?;
            return Ok(true);
        };
        // Asked first: a segment gets no more records once its successor exists.
        let next = place.number + 1;
        let successor = FileId::at(&self.layout.segment(next))?.is_some();
        let len = match FileId::at(&place.path)? {
            Some((id, len)) => (id == place.id && len >= place.offset).then_some(len),
            // Pruned: what we have open is whole. Without a successor everything was moved away.
            None => successor.then_some(u64::MAX),
        };
        let Some(len) = len else {
            self.start_over()?;
            return Ok(true);
        };
        let (bytes, is_part) = read_part(place, len)?;
        let (good, rest) = take(&bytes, self.seq, &mut self.ready);
        place.offset += good as u64;
        if is_part {
            return Ok(true);
        }
        place.read_whole = len;
        if rest == Rest::Damaged || (rest == Rest::Torn && successor) {
            // A write that was being taken back looks like this for a moment.
            let again = files::read_written(&place.file, place.offset, &place.path)?;
            if again == bytes[good..] {
                let skip = format::find_frame(&again, 1).unwrap_or(again.len());
                self.trouble = Some(corrupt(place, "the record there is unreadable"));
                place.offset += skip as u64;
            }
            return Ok(true);
        }
        if good == 0 && successor {
            self.enter(next)?;
            return Ok(true);
        }
        Ok(good > 0)
    }

    fn enter(&mut self, number: u64) -> Result<()> {
        let (mut place, checkpoint) = open_segment(&self.layout, number)?;
        if checkpoint.is_none() {
            self.trouble = Some(corrupt(&place, "its checkpoint is unreadable"));
            let bytes = files::read_from(&place.file, 0, &place.path)?;
            place.offset = format::find_frame(&bytes, 0).unwrap_or(bytes.len()) as u64;
        }
        self.place = Some(place);
        Ok(())
    }

    /// Finds the segment in which the record after `seq` is.
    fn locate(&mut self) -> Result<()> {
        let numbers = self.layout.segments()?;
        let Some(&oldest) = numbers.first() else {
            return Err(StateError::NotInitialised { dir: self.layout.dir().to_owned() });
        };
        for &number in numbers.iter().rev() {
            let (place, checkpoint) = match open_segment(&self.layout, number) {
                Err(error) if error.is_missing_file() => continue,
                other => other?,
            };
            if checkpoint.is_some_and(|frame| frame.seq <= self.seq) {
                self.place = Some(place);
                return Ok(());
            }
            if number == oldest {
                self.missing_before = checkpoint.map(|frame| frame.seq + 1);
            }
        }
        self.enter(oldest)
    }

    /// The files were replaced under us, by a repair or a reset: what they lost is not waited for.
    fn start_over(&mut self) -> Result<()> {
        self.place = None;
        let mut probe = Events::open(self.layout.dir(), 0);
        for record in probe.by_ref() {
            // Damage is reported when the reading proper meets it.
            drop(record);
        }
        self.seq = self.seq.min(probe.seq);
        Ok(())
    }
}

impl Iterator for Events {
    type Item = Result<Record<Value>>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.failed) {
            return None;
        }
        loop {
            if let Some(record) = self.ready.pop_front() {
                self.seq = record.seq;
                return Some(Ok(record));
            }
            if let Some(trouble) = self.trouble.take() {
                return Some(Err(trouble));
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    // Whoever goes on after an error would only meet it again, without end.
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn corrupt(place: &Place, detail: &str) -> StateError {
    StateError::Corrupt { path: place.path.clone(), offset: place.offset, detail: detail.to_owned() }
}

/// Reads on in a segment of this length: a part of what follows that begins with a good frame and behind which there may be
/// more, or all that is left, whatever it is.
fn read_part(place: &Place, len: u64) -> Result<(Vec<u8>, bool)> {
    if len == place.read_whole {
        let bytes = files::read_up_to_zeros(&place.file, place.offset, FRAME_HEADER_LEN, &place.path)?;
        return Ok((bytes, false));
    }
    let mut piece = files::read_some(&place.file, place.offset, PIECE_BYTES, &place.path)?;
    let is_part = piece.len() as u64 == PIECE_BYTES;
    if !is_part || format::decode_frame(&piece).is_some() {
        piece.truncate(files::len_without_zeros(&piece));
        return Ok((piece, is_part));
    }
    drop(piece);
    let mut bytes = files::read_written(&place.file, place.offset, &place.path)?;
    let first = format::decode_frame(&bytes).map(|(frame, _)| frame.size());
    bytes.truncate(first.unwrap_or(bytes.len()));
    Ok((bytes, first.is_some()))
}

/// Takes the good frames at the start of `bytes`.
fn take(bytes: &[u8], since: u64, ready: &mut VecDeque<Record<Value>>) -> (usize, Rest) {
    let mut good = 0;
    while let Some((frame, payload)) = format::decode_frame(&bytes[good..]) {
        if frame.last_seq() > since {
            let Some(records) = replay::decode_raw(&frame, payload) else {
                return (good, Rest::Damaged);
            };
            ready.extend(records.into_iter().filter(|record| record.seq > since));
        }
        good += frame.size();
    }
    (good, replay::rest_of(bytes, good))
}

/// A segment, at its first batch; and the header of its checkpoint, whose payload, perhaps large, is not read.
pub(crate) fn open_segment(layout: &Layout, number: u64) -> Result<(Place, Option<Frame>)> {
    let path = layout.segment(number);
    let file = files::open_read(&path)?;
    let (id, len) = (FileId::of_file(&file, &path)?, file.metadata().map_err(StateError::read(&path))?.len());
    let mut head = [0; HEADER_LEN + FRAME_HEADER_LEN];
    let read = std::os::unix::fs::FileExt::read_exact_at(&file, &mut head, 0);
    let frame = read.ok().and_then(|()| format::decode_header(&head)).and_then(|_| {
        format::decode_frame_header(&head[HEADER_LEN..])
            .filter(|frame| frame.is_checkpoint() && (HEADER_LEN + frame.size()) as u64 <= len)
    });
    let offset = frame.map_or(0, |frame| (HEADER_LEN + frame.size()) as u64);
    Ok((Place { number, path, id, file, offset, read_whole: 0 }, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::testing::{Counters, Room, add};

    fn seqs(events: &mut Events) -> Vec<u64> {
        events.map(|record| record.unwrap().seq).collect()
    }

    #[test]
    fn history_is_read_over_segments_and_followed() {
        let mut room = Room::new();
        room.options.rotate_bytes = 200;
        let mut store = room.open();
        let mut following = store.events(0);
        assert!(seqs(&mut following).is_empty());
        for round in 0..20 {
            add(&mut store, "a", &[round, round]).unwrap();
            assert_eq!(seqs(&mut following).len(), 2);
        }
        assert!(room.segment(3).exists());
        assert!(seqs(&mut following).is_empty());
        let mut skipping = store.events(3);
        assert_eq!(skipping.next().unwrap().unwrap().seq, 4);
        skipping.skip_to(9);
        skipping.skip_to(5);
        assert_eq!(seqs(&mut skipping), (10..=40).collect::<Vec<_>>());
        for since in [0, 1, 7, 39, 40, 99] {
            assert_eq!(seqs(&mut store.events(since)), (since + 1..=40).collect::<Vec<_>>(), "since {since}");
        }
        let first = store.events(0).next().unwrap().unwrap();
        assert_eq!(first.into_event()["name"], "a");
    }

    #[test]
    fn a_long_history_is_read_in_parts_and_a_long_record_whole() {
        let room = Room::new();
        let mut store = room.open();
        let long = i64::try_from(PIECE_BYTES).unwrap() / 20;
        let mut written = 0;
        for batch in [1, long, 1, 2 * long, 3, 1].into_iter().chain((0..40).map(|_| long / 30)) {
            add(&mut store, "a", &(0..batch).collect::<Vec<i64>>()).unwrap();
            written += u64::try_from(batch).unwrap();
        }
        let mut events = store.events(0);
        let mut held_most = 0;
        for seq in 1..=written {
            assert_eq!(events.next().unwrap().unwrap().seq, seq);
            held_most = held_most.max(events.ready.len());
        }
        assert!(events.next().is_none());
        // No more than the longest record has facts.
        assert!(held_most < usize::try_from(2 * long).unwrap(), "{held_most} of {written}");
        for since in [0, 1, 7, written / 2, written - 1, written] {
            assert_eq!(seqs(&mut store.events(since)), (since + 1..=written).collect::<Vec<_>>(), "since {since}");
        }
    }

    #[test]
    fn a_store_that_is_gone_is_told_once_each_time_it_is_read() {
        let room = Room::new();
        let mut store = room.open();
        add(&mut store, "a", &[1, 2]).unwrap();
        let mut following = store.events(0);
        assert_eq!(seqs(&mut following), [1, 2]);
        std::fs::remove_dir_all(room.dir()).unwrap();
        for _ in 0..2 {
            let answers: Vec<_> = following.by_ref().collect();
            assert!(matches!(&answers[..], [Err(StateError::NotInitialised { .. })]), "{answers:?}");
        }
        // One that comes back begins anew.
        let mut store = Store::<Counters>::init(&room.dir(), room.options.clone()).unwrap();
        add(&mut store, "a", &[7]).unwrap();
        assert!(following.by_ref().count() <= 1, "it ends");
        assert_eq!(seqs(&mut store.events(0)), [1]);
    }

    #[test]
    fn what_is_no_longer_kept_is_told() {
        let mut room = Room::new();
        room.options.rotate_bytes = 100;
        room.options.keep_bytes = 0;
        let mut store = room.open();
        let mut slow = store.events(0);
        for round in 0..20 {
            add(&mut store, "a", &[round]).unwrap();
        }
        let found = seqs(&mut slow);
        assert_eq!(slow.missing_before(), Some(found[0]));
        assert!(found[0] > 1);
        assert_eq!(found.last(), Some(&20));
    }

    #[test]
    fn a_follower_survives_a_reset() {
        let room = Room::new();
        let mut store = room.open();
        add(&mut store, "a", &[1, 2, 3]).unwrap();
        let mut following = store.events(0);
        assert_eq!(seqs(&mut following).len(), 3);
        drop(Store::<Counters>::reset(&room.dir(), room.options.clone()).unwrap());
        add(&mut store, "b", &[1]).unwrap();
        // Where a reset cannot be told from a record that was taken back, nothing is repeated.
        add(&mut store, "b", &[1]).unwrap();
        let rest = seqs(&mut following);
        assert!(rest.is_empty() || rest.last() == Some(&2), "{rest:?}");
        add(&mut store, "b", &[1, 1]).unwrap();
        assert_eq!(seqs(&mut following).last(), Some(&4));
    }
}
