//! Looking a store over for `doctor`: every file, every checksum, the file system under it. Changes nothing but a probe
//! file of its own, and takes no lock, so that it also works while one is stuck.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{ErrorKind, Result, StateError};
use crate::files;
use crate::filesystem::{self, FileSystem};
use crate::format::{self, FORMAT, HEADER_LEN};
use crate::journal::{self, Segment};
use crate::layout::{self, Layout};
use crate::machine::Machine;
use crate::replay::{self, Rest};
use crate::snapshot;
use crate::store::Store;

/// What [`Store::check`] found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The last record that can be reached.
    pub seq: Option<u64>,
    pub segments: Vec<SegmentReport>,
    /// Empty if all is well.
    pub problems: Vec<Problem>,
    pub file_system: FileSystem,
    pub free_bytes: u64,
    /// Who says to hold the lock, or held it last.
    pub lock_holder: Option<(u32, String)>,
}

/// One journal segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    pub path: PathBuf,
    pub bytes: u64,
    /// Major and minor format version, if the header is readable.
    pub format: Option<(u16, u16)>,
    /// The record its checkpoint stands for.
    pub checkpoint_seq: Option<u64>,
    pub last_seq: Option<u64>,
    /// Where the damage begins, if any.
    pub damaged_at: Option<u64>,
    /// Bytes of an unfinished write at the end.
    pub torn_bytes: u64,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    pub kind: ProblemKind,
    pub what: String,
}

/// What sort of thing a problem is. How bad that is, and what to do about it, is said where a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// Bytes are not what was written, or records are missing.
    Damage,
    /// The end of a write that did not finish; the next locked use cuts it.
    Torn,
    /// Another version of the program wrote it.
    Newer,
    /// The snapshot is not what we wrote; a copy is kept when it is written anew.
    Edited,
    /// Others can read, write or enter it.
    Exposed,
    /// A temporary file that may have been left behind.
    Leftover,
    /// A copy that was set aside.
    Copy,
    /// A planted or foreign file, a permission, or the file system.
    Other,
}

impl ProblemKind {
    fn of(error: &StateError) -> ProblemKind {
        match error.kind() {
            ErrorKind::Corrupt => ProblemKind::Damage,
            ErrorKind::NewerFormat => ProblemKind::Newer,
            ErrorKind::NotInitialised
            | ErrorKind::CannotRead
            | ErrorKind::CannotWrite
            | ErrorKind::LockBusy
            | ErrorKind::Refused => ProblemKind::Other,
        }
    }
}

impl<M: Machine> Store<M> {
    /// Looks everything over.
    pub fn check(dir: &Path) -> Result<Report> {
        files::check_dir(dir)?;
        let layout = Layout::new(dir);
        let mut problems = file_problems(&layout)?;
        let mut add = |path: &Path, kind, what: String| problems.push(Problem { path: path.to_owned(), kind, what });
        let mut segments = Vec::new();
        let mut before = None;
        let numbers = layout.segments()?;
        for &number in &numbers {
            let Ok(segment) = Segment::read(&layout, number) else {
                continue;
            };
            let newest = numbers.last() == Some(&number);
            let report = look_over(&segment, &mut before);
            if let Some(at) = report.damaged_at {
                add(&segment.path, ProblemKind::Damage, format!("damaged at byte {at}"));
            }
            if report.torn_bytes > 0 {
                let (kind, weight) = match newest {
                    true => (ProblemKind::Torn, "the next command cuts them"),
                    false => (ProblemKind::Damage, "records may be missing"),
                };
                add(&segment.path, kind, format!("{} bytes of an unfinished write; {weight}", report.torn_bytes));
            }
            if report.format.is_some_and(|(major, _)| major > FORMAT.major) {
                add(&segment.path, ProblemKind::Newer, "written by a newer program".to_owned());
            }
            segments.push(report);
        }
        let seq = match journal::load::<M>(&layout) {
            Ok(loaded) => {
                if let Some((first, count)) = loaded.position.unknown {
                    let what = format!("{count} records of unknown kind, the first is {first}");
                    add(dir, ProblemKind::Newer, what);
                }
                Some(loaded.position.seq)
            }
            Err(error) => {
                add(dir, ProblemKind::of(&error), error.to_string());
                None
            }
        };
        if let Some(behind) = snapshot::recorded_seq(&layout).filter(|&at| seq.is_some_and(|seq| seq < at)) {
            let what = format!("it was written at record {behind}, which the journal no longer has");
            add(&layout.snapshot(), ProblemKind::Damage, what);
        }
        match snapshot::snapshot_edit(dir) {
            Ok(Some(_)) => add(&layout.snapshot(), ProblemKind::Edited, "it was edited by hand".to_owned()),
            Ok(None) => {}
            Err(error) => add(&layout.snapshot(), ProblemKind::of(&error), error.to_string()),
        }
        if let Err(error) = filesystem::probe(dir) {
            add(dir, ProblemKind::of(&error), error.to_string());
        }
        Ok(Report {
            seq,
            segments,
            problems,
            file_system: filesystem::of(dir)?,
            free_bytes: filesystem::room(dir)?.free,
            lock_holder: crate::lock::read_holder(&layout.lock()),
        })
    }
}

/// Planted, foreign, exposed or forgotten files.
fn file_problems(layout: &Layout) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mode = |meta: &fs::Metadata| meta.permissions().mode() & 0o077;
    let dir = fs::symlink_metadata(layout.dir()).map_err(StateError::read(layout.dir()))?;
    if mode(&dir) != 0 {
        let (kind, what) = (ProblemKind::Exposed, "others can enter it".to_owned());
        problems.push(Problem { path: layout.dir().to_owned(), kind, what });
    }
    for name in layout.names()? {
        let path = layout.dir().join(&name);
        // It may be gone again: a temporary file of a running process.
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        let ours = name.starts_with("state.") || layout::segment_number(&name).is_some();
        let (kind, what) = if let Some(why) = files::objection(&meta).filter(|_| ours) {
            (ProblemKind::Other, why)
        } else if ours && mode(&meta) != 0 {
            (ProblemKind::Exposed, "others can read or write it".to_owned())
        } else if name.ends_with(".tmp") || name.starts_with(".probe-") {
            let what = "a temporary file; unless something is running, it was left behind and can go";
            (ProblemKind::Leftover, what.to_owned())
        } else if name.contains(".corrupt-") || name.contains(".edited-") {
            (ProblemKind::Copy, "a copy set aside; remove it when it is no longer needed".to_owned())
        } else {
            continue;
        };
        problems.push(Problem { path, kind, what });
    }
    Ok(problems)
}

/// Follows the frames; `before` is the sequence and checksum at which the segment before ended.
fn look_over(segment: &Segment, before: &mut Option<(u64, u32)>) -> SegmentReport {
    let mut report = SegmentReport {
        path: segment.path.clone(),
        bytes: segment.bytes.len() as u64,
        format: format::decode_header(&segment.bytes).map(|version| (version.major, version.minor)),
        checkpoint_seq: None,
        last_seq: None,
        damaged_at: None,
        torn_bytes: 0,
    };
    let checkpoint = match segment.checkpoint() {
        Ok((_, frame, _)) => frame,
        Err(damage) => {
            report.damaged_at = Some(damage.offset);
            *before = None;
            return report;
        }
    };
    report.checkpoint_seq = Some(checkpoint.seq);
    if before.is_some_and(|(seq, sum)| checkpoint.seq != seq || checkpoint.previous != sum) {
        report.damaged_at = Some(HEADER_LEN as u64);
    }
    let (mut seq, mut chain) = (checkpoint.seq, checkpoint.sum);
    let mut at = HEADER_LEN + checkpoint.size();
    while let Some((frame, payload)) = format::decode_frame(&segment.bytes[at..]) {
        let continues = frame.previous == chain && frame.seq == seq + 1;
        if !continues || replay::decode_raw(&frame, payload).is_none() {
            report.damaged_at = Some(at as u64);
            break;
        }
        (seq, chain) = (frame.last_seq(), frame.sum);
        at += frame.size();
    }
    report.last_seq = Some(seq);
    match replay::rest_of(&segment.bytes, at) {
        Rest::Damaged => report.damaged_at = Some(at as u64),
        Rest::Torn => report.torn_bytes = (segment.bytes.len() - at) as u64,
        Rest::Nothing => {}
    }
    *before = report.damaged_at.is_none().then_some((seq, chain));
    report
}
