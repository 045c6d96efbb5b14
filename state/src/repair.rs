//! Mending a damaged journal, on a person's word only (`doctor --repair`). What is taken out is copied first, counted and
//! named; what can still be proved to belong to the history stays.
//!
//! Whole records behind a bad one are not kept: a fact holds only on top of those before it. Without one of them a task
//! would move that was never added, or a run that was claimed would be started a second time. A later checkpoint needs
//! none of them, so that the history goes on from there.

use std::path::{Path, PathBuf};

use crate::error::{Result, StateError};
use crate::files;
use crate::format::{self, FORMAT};
use crate::journal::{self, AppendError, Segment};
use crate::layout::Layout;
use crate::lock::Locker;
use crate::machine::Machine;
use crate::replay::{self, Position, Rest};
use crate::store::{Options, Store};

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The last record of the mended history.
    pub seq: u64,
    /// The segments that were rewritten; none if there was no damage.
    pub segments: Vec<RepairedSegment>,
}

/// One rewritten segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedSegment {
    pub path: PathBuf,
    /// The segment as it was.
    pub copy: PathBuf,
    /// Bytes that are only in the copy.
    pub bytes_set_aside: u64,
    /// Whole records among them.
    pub records_set_aside: u64,
}

impl<M: Machine> Store<M> {
    /// Mends the journal in `dir`: keeps the longest history that its checksums prove, sets the rest aside.
    pub fn repair(dir: &Path, options: Options) -> Result<Repaired> {
        files::check_dir(dir)?;
        let layout = Layout::new(dir);
        let guard = Locker::new(layout.lock(), options.command.clone()).acquire(options.lock_timeout)?;
        let loaded = journal::load::<M>(&layout)?;
        let mut position = loaded.position;
        let mut segments = Vec::new();
        let Some(damage) = loaded.damage else {
            drop(guard);
            // An unfinished last write is cut as in any locked use.
            let mut store = Store::<M>::open(dir, options)?;
            let seq = store.lock()?.seq();
            return Ok(Repaired { seq, segments });
        };
        guard.verify()?;
        let mut last_good = 0;
        if let Some(tail) = &loaded.tail {
            if tail.version.major > FORMAT.major {
                return Err(journal::newer(&tail.path, tail.version));
            }
            last_good = tail.number;
            if damage.path == tail.path {
                segments.push(shorten(&layout, tail.number, tail.end)?);
            }
        }
        for number in layout.segments()?.into_iter().filter(|&number| number > last_good) {
            segments.push(rebuild(&layout, number, &mut position, options.room_bytes)?);
        }
        drop(guard);
        let mended = journal::load::<M>(&layout)?;
        match mended.damage {
            Some(damage) => Err(damage.into()),
            None => Ok(Repaired { seq: mended.position.seq, segments }),
        }
    }
}

/// Keeps the bytes before `end`.
fn shorten(layout: &Layout, number: u64, end: u64) -> Result<RepairedSegment> {
    let segment = Segment::read(layout, number)?;
    let copy = set_aside(layout, &segment)?;
    let end = usize::try_from(end).unwrap_or(usize::MAX).min(segment.bytes.len());
    files::replace(&segment.path, &layout.segment_tmp(), &segment.bytes[..end])?;
    Ok(RepairedSegment {
        copy,
        bytes_set_aside: (segment.bytes.len() - end) as u64,
        records_set_aside: count_records(&segment.bytes, end),
        path: segment.path,
    })
}

/// Writes a segment with an unreadable checkpoint anew: its checkpoint is known from the segment before, and batches behind
/// it that continue from there are kept.
fn rebuild<M: Machine>(layout: &Layout, number: u64, position: &mut Position<M>, room: u64) -> Result<RepairedSegment> {
    let segment = Segment::read(layout, number)?;
    let copy = set_aside(layout, &segment)?;
    let mut kept = Vec::new();
    let first = first_batch(&segment.bytes, position.seq);
    let mut after = position.machine.clone();
    let mut end = 0;
    if let Some((at, previous)) = first {
        let mut trial = Position { machine: after, seq: position.seq, chain: previous, unknown: None };
        let extent = replay::replay(&mut trial, &segment.bytes[at..], |record| kept.push(record));
        if trial.unknown.is_some() {
            let detail = "a record that this program does not know would be lost".to_owned();
            return Err(StateError::UnknownContent { path: segment.path, seq: position.seq + 1, detail });
        }
        end = at + if extent.rest == Rest::Nothing { segment.bytes.len() - at } else { extent.good };
        after = trial.machine;
    }
    let (mut tail, chain) = journal::create_segment(layout, number, position, room)?;
    position.chain = chain;
    if !kept.is_empty() {
        let (bytes, frame) = replay::encode_batch::<M>(&segment.path, chain, &kept)?;
        tail.append(layout, &bytes, room, &mut files::Faults::default()).map_err(|error| match error {
            AppendError::Failed(error) | AppendError::Fatal(error) => error,
        })?;
        position.chain = frame.sum;
        position.seq = frame.last_seq();
        position.machine = after;
    }
    Ok(RepairedSegment {
        copy,
        bytes_set_aside: (segment.bytes.len() - end) as u64,
        records_set_aside: count_records(&segment.bytes, end),
        path: segment.path,
    })
}

/// The first batch, if it continues from `seq`, and the checksum it names before it.
fn first_batch(bytes: &[u8], seq: u64) -> Option<(usize, u32)> {
    let mut from = 0;
    loop {
        let at = format::find_frame(bytes, from)?;
        let frame = format::decode_frame_header(&bytes[at..])?;
        if !frame.is_checkpoint() {
            return (frame.seq == seq + 1).then_some((at, frame.previous));
        }
        from = at + 1;
    }
}

fn count_records(bytes: &[u8], from: usize) -> u64 {
    let mut count = 0;
    let mut at = from;
    while let Some(found) = format::find_frame(bytes, at) {
        at = found + 1;
        if let Some((frame, _)) = format::decode_frame(&bytes[found..]) {
            count += u64::from(frame.count);
            at = found + frame.size();
        }
    }
    count
}

fn set_aside(layout: &Layout, segment: &Segment) -> Result<PathBuf> {
    let copy = layout.set_aside_name(&segment.path, "corrupt")?;
    files::write_tmp(&copy, &files::read_from(&segment.file, 0, &segment.path)?)?;
    files::sync_dir(layout.dir())?;
    Ok(copy)
}
