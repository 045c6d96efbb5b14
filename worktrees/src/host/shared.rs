//! The records that the hosts of places share: one file to which all of them append the starts and the ends of their runs.
//! They are made durable a moment later. Whoever builds on an end records it durably for itself, and one that a power cut
//! takes is that of a run which began and did not end, and is told as such; a start that it takes is that of a run which
//! may have begun (`epoch`). Where that could not be told later, a start is durable before it returns.
//!
//! A run's own directory, where it has one, has copies for whoever looks into it, which a power cut may take. This file is
//! what counts: a run that it knows has begun, or is over, whatever else is there. It is discarded by whoever knows which
//! runs live. The meaning of the records is elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::files::{self, open_append, open_regular};
use super::records::{ExitRecord, StartRecord};
use super::{HostError, epoch};

/// Beside the directories of the runs: the places of their hosts, and the records.
pub(super) const DIR: &str = ".commands";
const RECORDS: &str = ".records";
/// Held while the file is replaced by a new one.
const TURNING: &str = ".turning.lock";
/// A file longer than this is followed by a new one.
const BYTES_MAX: u64 = 1024 * 1024;
/// Files that are over and kept all the same.
const FILES_KEPT: usize = 2;
/// Ends that a reader remembers. Only those of live runs are asked for, and soon after they came.
const ENDS_MAX: usize = 1_024;

/// What is known of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Known {
    pub(super) start: Option<StartRecord>,
    pub(super) exit: Option<ExitRecord>,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Start { dir: String, record: StartRecord },
    Exit { dir: String, record: ExitRecord },
}

/// The writing side.
#[derive(Debug)]
pub(super) struct Records {
    dir: PathBuf,
    file: File,
    /// Whether something was appended that is not durable yet.
    unsettled: bool,
    /// Whether a start may be taken by a power cut.
    is_entered: bool,
    /// Whether what was there before has been read.
    is_read: bool,
    /// What was begun since, as far as it is remembered; the oldest sort first.
    begun: BTreeSet<String>,
}

impl Records {
    /// Opens the file of these runs, making it where there is none.
    pub(super) fn open(runs: &Path) -> Result<Self, HostError> {
        let dir = runs.join(DIR);
        files::create_dir(&dir)?;
        let file = Self::open_in(&dir)?;
        let is_entered = epoch::is_entered(&dir);
        Ok(Self { dir, file, unsettled: false, is_entered, is_read: false, begun: BTreeSet::new() })
    }

    fn open_in(dir: &Path) -> Result<File, HostError> {
        let path = dir.join(RECORDS);
        let is_new = !path.exists();
        let file = open_append(&path)?;
        if is_new {
            files::sync_dir(dir)?;
        }
        Ok(file)
    }

    /// Whether there is a record of a run that only its place's one host begins, which is who asks. So what others append
    /// meanwhile need not be read: it is about their runs.
    pub(super) fn knows(&mut self, run_dir: &Path) -> Result<bool, HostError> {
        if self.is_read {
            return Ok(self.begun.contains(&name(run_dir)) || remembers(run_dir));
        }
        let known = find(run_dir)?.is_some();
        self.is_read = true;
        Ok(known)
    }

    /// Records that a run may have begun: durably, unless it would be known that it may have.
    pub(super) fn start(&mut self, run_dir: &Path, record: &StartRecord) -> Result<(), HostError> {
        self.turn()?;
        self.begun.insert(name(run_dir));
        if self.begun.len() > ENDS_MAX {
            self.begun.pop_first();
        }
        self.append(&Line::Start { dir: name(run_dir), record: record.clone() })?;
        // Whoever ticks may have seen to it by now.
        self.is_entered = self.is_entered || epoch::is_entered(&self.dir);
        if self.is_entered { Ok(()) } else { self.settle() }
    }

    /// Records how a run ended, durably once it is settled.
    pub(super) fn exit(&mut self, run_dir: &Path, record: &ExitRecord) -> Result<(), HostError> {
        self.append(&Line::Exit { dir: name(run_dir), record: record.clone() })
    }

    fn append(&mut self, line: &Line) -> Result<(), HostError> {
        let path = self.dir.join(RECORDS);
        let text = serde_json::to_string(line)
            .map_err(|error| HostError::Format { path: path.clone(), message: error.to_string() })?;
        self.unsettled = true;
        self.file.write_all(as_line(&text).as_bytes()).map_err(HostError::io("write", &path))
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Makes durable what was recorded.
    pub(super) fn settle(&mut self) -> Result<(), HostError> {
        if self.unsettled {
            self.file.sync_data().map_err(HostError::io("make durable", self.dir.join(RECORDS)))?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Goes on in a new file where this one has become long, or where another host has begun one.
    fn turn(&mut self) -> Result<(), HostError> {
        let path = self.dir.join(RECORDS);
        let ours = self.file.metadata().map_err(HostError::io("read", &path))?;
        if ours.len() <= BYTES_MAX && is_at(&ours, &path) {
            return Ok(());
        }
        self.settle()?;
        let lock = open_append(&self.dir.join(TURNING))?;
        fs2::FileExt::lock_exclusive(&lock).map_err(HostError::io("lock", self.dir.join(TURNING)))?;
        if is_at(&ours, &path) {
            let aside = self.dir.join(format!("{RECORDS}.{}", jiff::Timestamp::now().as_nanosecond()));
            std::fs::rename(&path, &aside).map_err(HostError::io("rename", &path))?;
        }
        self.file = Self::open_in(&self.dir)?;
        Ok(())
    }
}

fn is_at(open: &std::fs::Metadata, path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|named| (open.dev(), open.ino()) == (named.dev(), named.ino()))
}

fn name(run_dir: &Path) -> String {
    run_dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Removes older files of these runs' records in which nothing is said of a run that lives. One that stays only takes room.
pub fn discard(runs: &Path, is_live: impl Fn(&str) -> bool) {
    let dir = runs.join(DIR);
    let mut older = record_files(&dir);
    older.retain(|path| path.file_name().is_some_and(|name| name != RECORDS));
    // Their names are times.
    older.sort();
    for path in older.iter().take(older.len().saturating_sub(FILES_KEPT)) {
        let mut lives = false;
        let bytes = std::fs::read(path).unwrap_or_default();
        each(&bytes, |line| lives |= is_live(line.dir));
        if !lives {
            drop(std::fs::remove_file(path));
        }
    }
}

fn record_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_records = |name: &str| name.starts_with(RECORDS);
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_records)).map(|entry| entry.path()).collect()
}

/// A line for a file that many append to, which tells whether it is whole. It begins with a line's end as well: what
/// somebody left unfinished does not spoil what comes after it.
pub(super) fn as_line(text: &str) -> String {
    format!("\n{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

/// What such lines say. One that is not what was written there says nothing.
pub(super) fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let (Some(sum), Some(b' '), Some(text)) = (line.get(..8), line.get(8), line.get(9..)) else { return None };
        let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
        (sum == crc32fast::hash(text)).then(|| std::str::from_utf8(text).ok())?
    })
}

/// Tells of every whole line and says how far these reach.
fn each(bytes: &[u8], mut tell: impl FnMut(Told<'_>)) -> usize {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    whole_lines(bytes.get(..whole).unwrap_or_default()).filter_map(Told::of).for_each(&mut tell);
    whole
}

/// A line as far as it has to be understood to know what it is about: every host passes over those of all the others.
struct Told<'a> {
    dir: &'a str,
    is_exit: bool,
    text: &'a str,
}

impl<'a> Told<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (is_exit, rest) = match text.strip_prefix(r#"{"start":{"dir":""#) {
            Some(rest) => (false, rest),
            None => (true, text.strip_prefix(r#"{"exit":{"dir":""#)?),
        };
        // The directory of a run is a plain word.
        let (dir, _) = rest.split_once('"').filter(|(dir, _)| !dir.contains('\\'))?;
        Some(Self { dir, is_exit, text })
    }
}

/// A record that was read, and is understood once somebody asks for it.
#[derive(Debug)]
enum Kept<T> {
    Text(Box<str>),
    /// Nothing where the text is none.
    Record(Option<T>),
}

impl<T: Clone> Kept<T> {
    fn record(&mut self, of: impl FnOnce(Line) -> Option<T>) -> Option<T> {
        if let Self::Text(text) = self {
            *self = Self::Record(serde_json::from_str(text).ok().and_then(of));
        }
        match self {
            Self::Record(record) => record.clone(),
            Self::Text(_) => None,
        }
    }
}

/// What was read of one run.
#[derive(Debug, Default)]
struct Read {
    start: Option<Kept<StartRecord>>,
    exit: Option<Kept<ExitRecord>>,
}

impl Read {
    fn known(&mut self) -> Known {
        let start = |line| match line {
            Line::Start { record, .. } => Some(record),
            Line::Exit { .. } => None,
        };
        let exit = |line| match line {
            Line::Exit { record, .. } => Some(record),
            Line::Start { .. } => None,
        };
        Known {
            start: self.start.as_mut().and_then(|kept| kept.record(start)),
            exit: self.exit.as_mut().and_then(|kept| kept.record(exit)),
        }
    }
}

/// One file as far as it was read.
#[derive(Debug)]
struct Followed {
    file: File,
    id: FileId,
    at: u64,
}

/// The reading side, which reads every line once.
#[derive(Debug, Default)]
struct Index {
    /// Which file has the name, so that a new one is noticed.
    newest: Option<FileId>,
    files: Vec<Followed>,
    /// Boxed: a table has room for twice as many as it ever held.
    runs: HashMap<String, Box<Read>>,
    ended: VecDeque<String>,
}

impl Index {
    /// `newest` is the file that has the name now, and how long that is.
    fn refresh(&mut self, dir: &Path, newest: Option<(FileId, u64)>) -> Result<(), HostError> {
        let path = dir.join(RECORDS);
        let named = newest.map(|(id, _)| id);
        if named != self.newest || named.is_none() {
            self.list(dir)?;
            self.newest = named;
        }
        let Self { files, runs, ended, .. } = self;
        for followed in files {
            let failed = HostError::io("read", &path);
            let len = match newest {
                Some((id, len)) if id == followed.id => Ok(len),
                _ => followed.file.metadata().map(|found| found.len()),
            };
            let Ok(len) = len else { continue };
            let Some(more) = len.checked_sub(followed.at).filter(|more| *more > 0) else { continue };
            let mut bytes = vec![0; usize::try_from(more).unwrap_or(0)];
            followed.file.read_exact_at(&mut bytes, followed.at).map_err(failed)?;
            followed.at += each(&bytes, |line| {
                let read = runs.entry(line.dir.to_owned()).or_default();
                if line.is_exit {
                    ended.push_back(line.dir.to_owned());
                    read.exit = Some(Kept::Text(line.text.into()));
                } else {
                    read.start = Some(Kept::Text(line.text.into()));
                }
            }) as u64;
        }
        while ended.len() > ENDS_MAX {
            ended.pop_front().and_then(|run| runs.remove(&run));
        }
        Ok(())
    }

    /// What is known of a run; nothing where no record of it can be understood.
    fn known(&mut self, run: &str) -> Option<Known> {
        self.runs.get_mut(run).map(|read| read.known()).filter(|known| *known != Known::default())
    }

    /// Finds the files anew. Those that were followed are followed on, whatever their names are by now.
    fn list(&mut self, dir: &Path) -> Result<(), HostError> {
        let mut before = std::mem::take(&mut self.files);
        for path in record_files(dir) {
            let Some(file) = open_regular(&path)? else { continue };
            let found = file.metadata().map_err(HostError::io("read", &path))?;
            let id = (found.dev(), found.ino());
            match before.iter().position(|followed| followed.id == id && followed.at <= found.len()) {
                Some(at) => self.files.push(before.swap_remove(at)),
                None => self.files.push(Followed { file, id, at: 0 }),
            }
        }
        // What another directory of this name said is not about these runs.
        if self.files.iter().all(|followed| followed.at == 0) {
            self.runs.clear();
            self.ended.clear();
        }
        Ok(())
    }
}

/// A file by its device and its number there.
type FileId = (u64, u64);

/// Which file has the name now, and how long it is.
fn newest(dir: &Path) -> Result<Option<(FileId, u64)>, HostError> {
    let path = dir.join(RECORDS);
    match std::fs::symlink_metadata(&path) {
        Ok(found) => Ok(Some(((found.dev(), found.ino()), found.len()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HostError::io("read", &path)(error)),
    }
}

static INDEXES: Mutex<BTreeMap<PathBuf, Index>> = Mutex::new(BTreeMap::new());

/// What the shared records say of a run; nothing where they do not know it.
pub(super) fn find(run_dir: &Path) -> Result<Option<Known>, HostError> {
    let Some(dir) = run_dir.parent().map(|runs| runs.join(DIR)) else {
        return Ok(None);
    };
    let mut indexes = INDEXES.lock().unwrap_or_else(PoisonError::into_inner);
    let newest = newest(&dir)?;
    if newest.is_none() && !dir.is_dir() {
        indexes.remove(&dir);
        return Ok(None);
    }
    let index = indexes.entry(dir.clone()).or_default();
    index.refresh(&dir, newest)?;
    Ok(index.known(&name(run_dir)))
}

/// Whether what this process has read of the shared records so far says anything of a run.
fn remembers(run_dir: &Path) -> bool {
    let mut indexes = INDEXES.lock().unwrap_or_else(PoisonError::into_inner);
    let index = run_dir.parent().and_then(|runs| indexes.get_mut(&runs.join(DIR)));
    index.is_some_and(|index| index.known(&name(run_dir)).is_some())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pipeline_lib::ids::RunId;

    use super::super::records::{How, VERSION};
    use super::*;
    use crate::process::Identity;

    fn start(run: &str) -> StartRecord {
        let host = Identity { boot_id: "boot".to_owned(), pid: 7, start_time: 1 };
        StartRecord { version: VERSION, run: RunId::new(run).unwrap(), host, started_at: Timestamp::UNIX_EPOCH }
    }

    fn exit(run: &str) -> ExitRecord {
        ExitRecord::without_work(RunId::new(run).unwrap(), How::Exited { code: 0 }, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_appended_is_found() {
        let runs = tempfile::tempdir().unwrap();
        let of = |run: &str| runs.path().join(run);
        assert_eq!(find(&of("R-1")).unwrap(), None);
        let mut records = Records::open(runs.path()).unwrap();
        records.start(&of("R-1"), &start("R-1")).unwrap();
        assert_eq!(find(&of("R-1")).unwrap(), Some(Known { start: Some(start("R-1")), exit: None }));
        let mut other = Records::open(runs.path()).unwrap();
        other.start(&of("R-2"), &start("R-2")).unwrap();
        records.exit(&of("R-1"), &exit("R-1")).unwrap();
        let found = find(&of("R-1")).unwrap().unwrap();
        assert_eq!((found.start, found.exit.map(|exit| exit.how)), (Some(start("R-1")), Some(How::Exited { code: 0 })));
        assert_eq!(find(&of("R-2")).unwrap().unwrap().start, Some(start("R-2")));
        assert_eq!(find(&of("R-3")).unwrap(), None);
    }

    #[test]
    fn a_host_knows_what_there_was_before_it_and_what_it_begins_itself() {
        let runs = tempfile::tempdir().unwrap();
        let of = |run: &str| runs.path().join(run);
        let mut before = Records::open(runs.path()).unwrap();
        before.start(&of("R-1"), &start("R-1")).unwrap();
        assert!(before.begun.contains("R-1"));
        let mut host = Records::open(runs.path()).unwrap();
        assert!(!host.knows(&of("R-2")).unwrap());
        assert!(host.knows(&of("R-1")).unwrap());
        host.start(&of("R-2"), &start("R-2")).unwrap();
        assert!(host.knows(&of("R-2")).unwrap());
        assert!(!host.knows(&of("R-3")).unwrap());
        for n in 0..=ENDS_MAX {
            let run = format!("S-{n:05}");
            host.start(&of(&run), &start(&run)).unwrap();
        }
        assert_eq!(host.begun.len(), ENDS_MAX, "what is long over is forgotten");
    }

    #[test]
    fn what_a_power_cut_left_hides_nothing_else() {
        let runs = tempfile::tempdir().unwrap();
        let of = |run: &str| runs.path().join(run);
        let path = runs.path().join(DIR).join(RECORDS);
        let mut records = Records::open(runs.path()).unwrap();
        records.start(&of("R-1"), &start("R-1")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut records = Records::open(runs.path()).unwrap();
            records.start(&of("R-2"), &start("R-2")).unwrap();
            let mut index = Index::default();
            let dir = runs.path().join(DIR);
            index.refresh(&dir, newest(&dir).unwrap()).unwrap();
            assert_eq!(index.known("R-2").unwrap().start, Some(start("R-2")), "cut at {cut}");
            // All but the line's end is the whole line.
            assert_eq!(index.known("R-1").is_some(), cut + 1 == whole.len(), "cut at {cut}");
        }
        for flipped in 1..whole.len() - 1 {
            let mut bytes = whole.clone();
            bytes[flipped] ^= 1;
            each(&bytes, |line| panic!("byte {flipped}: {}", line.text));
        }
    }

    fn index_anew(dir: &Path, check: impl FnOnce(&mut Index)) {
        let mut index = Index::default();
        index.refresh(dir, newest(dir).unwrap()).unwrap();
        check(&mut index);
    }

    #[test]
    fn a_long_file_is_followed_by_another_and_what_runs_is_not_forgotten() {
        let runs = tempfile::tempdir().unwrap();
        let of = |run: &str| runs.path().join(run);
        let mut reader = Index::default();
        let dir = runs.path().join(DIR);
        let mut slow = Records::open(runs.path()).unwrap();
        slow.start(&of("R-slow"), &start("R-slow")).unwrap();
        let mut ended = 0;
        let fill = |turns: usize, ended: &mut usize| {
            for _ in 0..turns {
                let mut records = Records::open(runs.path()).unwrap();
                records.file.set_len(BYTES_MAX + 1).unwrap();
                *ended += 1;
                let run = format!("R-{ended}");
                records.start(&of(&run), &start(&run)).unwrap();
                records.exit(&of(&run), &exit(&run)).unwrap();
            }
        };
        fill(5, &mut ended);
        reader.refresh(&dir, newest(&dir).unwrap()).unwrap();
        assert_eq!(reader.known("R-slow").unwrap().exit, None);
        assert!(reader.known("R-slow").unwrap().start.is_some() && reader.known("R-5").unwrap().exit.is_some());
        slow.exit(&of("R-slow"), &exit("R-slow")).unwrap();
        let mut fresh = Index::default();
        for index in [&mut reader, &mut fresh] {
            index.refresh(&dir, newest(&dir).unwrap()).unwrap();
            assert!(index.known("R-slow").unwrap().exit.is_some(), "its host went on in the file that it began in");
        }
        fill(4, &mut ended);
        let all = record_files(&dir).len();
        discard(runs.path(), |run| run == "R-slow" || run == "R-2");
        assert!(record_files(&dir).len() < all, "what is settled is discarded");
        index_anew(&dir, |index| {
            assert!(index.known("R-slow").unwrap().start.is_some() && index.known("R-2").unwrap().exit.is_some());
        });
        discard(runs.path(), |_| false);
        assert_eq!(record_files(&dir).len(), FILES_KEPT + 1);
        reader.refresh(&dir, newest(&dir).unwrap()).unwrap();
        assert!(reader.known("R-9").unwrap().exit.is_some());
    }
}
