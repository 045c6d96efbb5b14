//! The records that the hosts of places share: one file to which all of them append the starts and the ends of their runs.
//! A start is durable before it returns; what several hosts append at once the file system commits together. An end is
//! made durable a moment later: whoever builds on it records it durably for itself, and one that a power cut takes is that
//! of a run which began and did not end, and is told as such.
//!
//! A run's own directory, where it has one, has copies for whoever looks into it, which a power cut may take. This file is
//! what counts: a run that it knows has begun, or is over, whatever else is there. It is discarded by whoever knows which
//! runs live. The meaning of the records is elsewhere.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::HostError;
use super::files::{self, open_append, open_regular};
use super::records::{ExitRecord, StartRecord};

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
}

impl Records {
    /// Opens the file of these runs, making it where there is none.
    pub(super) fn open(runs: &Path) -> Result<Self, HostError> {
        let dir = runs.join(DIR);
        files::create_dir(&dir)?;
        let file = Self::open_in(&dir)?;
        Ok(Self { dir, file, unsettled: false })
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

    /// Records that a run may have begun, durably, and whatever was recorded before.
    pub(super) fn start(&mut self, run_dir: &Path, record: &StartRecord) -> Result<(), HostError> {
        self.turn()?;
        self.append(&Line::Start { dir: name(run_dir), record: record.clone() })?;
        self.settle()
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
        each(&bytes, |line| match line {
            Line::Start { dir, .. } | Line::Exit { dir, .. } => lives |= is_live(&dir),
        });
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
fn each(bytes: &[u8], mut tell: impl FnMut(Line)) -> usize {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    whole_lines(bytes.get(..whole).unwrap_or_default())
        .filter_map(|text| serde_json::from_str(text).ok())
        .for_each(&mut tell);
    whole
}

/// One file as far as it was read.
#[derive(Debug)]
struct Followed {
    file: File,
    id: (u64, u64),
    at: u64,
}

/// The reading side, which reads every line once.
#[derive(Debug, Default)]
struct Index {
    /// Which file has the name, so that a new one is noticed.
    newest: Option<(u64, u64)>,
    files: Vec<Followed>,
    /// Boxed: a table has room for twice as many as it ever held.
    runs: HashMap<String, Box<Known>>,
    ended: VecDeque<String>,
}

impl Index {
    /// `newest` is the file that has the name now.
    fn refresh(&mut self, dir: &Path, newest: Option<(u64, u64)>) -> Result<(), HostError> {
        let path = dir.join(RECORDS);
        if newest != self.newest || newest.is_none() {
            self.list(dir)?;
            self.newest = newest;
        }
        let Self { files, runs, ended, .. } = self;
        for followed in files {
            let failed = HostError::io("read", &path);
            let Ok(found) = followed.file.metadata() else { continue };
            let Some(more) = found.len().checked_sub(followed.at).filter(|more| *more > 0) else { continue };
            let mut bytes = vec![0; usize::try_from(more).unwrap_or(0)];
            followed.file.read_exact_at(&mut bytes, followed.at).map_err(failed)?;
            followed.at += each(&bytes, |line| match line {
                Line::Start { dir, record } => runs.entry(dir).or_default().start = Some(record),
                Line::Exit { dir, record } => {
                    ended.push_back(dir.clone());
                    runs.entry(dir).or_default().exit = Some(record);
                }
            }) as u64;
        }
        while ended.len() > ENDS_MAX {
            ended.pop_front().and_then(|run| runs.remove(&run));
        }
        Ok(())
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

/// Which file has the name now.
fn newest(dir: &Path) -> Result<Option<(u64, u64)>, HostError> {
    let path = dir.join(RECORDS);
    match std::fs::symlink_metadata(&path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
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
    Ok(index.runs.get(&name(run_dir)).map(|known| known.as_ref().clone()))
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
            assert_eq!(index.runs["R-2"].start, Some(start("R-2")), "cut at {cut}");
            // All but the line's end is the whole line.
            assert_eq!(index.runs.contains_key("R-1"), cut + 1 == whole.len(), "cut at {cut}");
        }
        for flipped in 1..whole.len() - 1 {
            let mut bytes = whole.clone();
            bytes[flipped] ^= 1;
            each(&bytes, |line| panic!("byte {flipped}: {line:?}"));
        }
    }

    fn index_anew(dir: &Path, check: impl FnOnce(&Index)) {
        let mut index = Index::default();
        index.refresh(dir, newest(dir).unwrap()).unwrap();
        check(&index);
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
        assert_eq!(reader.runs["R-slow"].exit, None);
        assert!(reader.runs["R-slow"].start.is_some() && reader.runs["R-5"].exit.is_some());
        slow.exit(&of("R-slow"), &exit("R-slow")).unwrap();
        let mut fresh = Index::default();
        for index in [&mut reader, &mut fresh] {
            index.refresh(&dir, newest(&dir).unwrap()).unwrap();
            assert!(index.runs["R-slow"].exit.is_some(), "its host went on in the file that it began in");
        }
        fill(4, &mut ended);
        let all = record_files(&dir).len();
        discard(runs.path(), |run| run == "R-slow" || run == "R-2");
        assert!(record_files(&dir).len() < all, "what is settled is discarded");
        index_anew(&dir, |index| assert!(index.runs["R-slow"].start.is_some() && index.runs["R-2"].exit.is_some()));
        discard(runs.path(), |_| false);
        assert_eq!(record_files(&dir).len(), FILES_KEPT + 1);
        reader.refresh(&dir, newest(&dir).unwrap()).unwrap();
        assert!(reader.runs["R-9"].exit.is_some());
    }
}
