//! Files as they were. What was found out by reading them need not be found out again for as long as they are the same,
//! which costs one question to the system each. What is found out is not known here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that changed less than this before it was looked at may have changed again since without its times telling: the
/// clock that the system takes them from goes in steps, of ten milliseconds at most.
const FINE: Duration = Duration::from_millis(50);
/// The same where a file system counts whole seconds, or every other one.
const COARSE: Duration = Duration::from_secs(3);

/// Of how many files it is remembered what was found in them.
const FOUND_MAX: usize = 4_096;

/// A file as it was: where it lies, and its device, inode, size and times in nanoseconds; nothing where there is none. Only
/// the system sets the last of the times, so that nobody who changes the file can make it look unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    file: PathBuf,
    known: Option<(u64, u64, u64, i128, i128)>,
}

impl Stamp {
    /// The file as it is now, behind any link. To be taken before the file is read.
    pub(super) fn of(file: &Path) -> Self {
        Self::with(file, file.metadata())
    }

    /// The same of what lies there itself, be it a link.
    pub(super) fn of_link(file: &Path) -> Self {
        Self::with(file, file.symlink_metadata())
    }

    /// The same of a file that is open, which lies there itself.
    pub(super) fn of_open(path: &Path, file: &File) -> Self {
        Self::with(path, file.metadata())
    }

    fn with(file: &Path, found: io::Result<Metadata>) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let known = found.ok().map(|of| {
            let (written, changed) = (nanos(of.mtime(), of.mtime_nsec()), nanos(of.ctime(), of.ctime_nsec()));
            (of.dev(), of.ino(), of.size(), written, changed)
        });
        Self { file: file.to_owned(), known }
    }

    /// Where it lies.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether there was such a file.
    pub(super) fn is_there(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the file, behind any link, is still the same.
    pub(super) fn holds(&self) -> bool {
        Self::of(&self.file) == *self
    }
}

/// What was found in files, as long as they are the same.
#[derive(Debug)]
pub(super) struct Found<T>(RefCell<HashMap<PathBuf, (Stamp, T)>>);

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Found<T> {
    /// What was found in a file, if it is still the same.
    pub(super) fn known(&self, file: &Path) -> Option<T> {
        let found = self.0.borrow();
        found.get(file).filter(|(stamp, _)| stamp.holds()).map(|(_, found)| found.clone())
    }

    /// Remembers what was found in a file after it was stamped.
    pub(super) fn keep(&self, stamp: Stamp, what: T) {
        if stamp.is_there() && settled([&stamp]) {
            let mut found = self.0.borrow_mut();
            if found.len() >= FOUND_MAX {
                found.clear();
            }
            found.insert(stamp.file.clone(), (stamp, what));
        }
    }
}

/// Whether all of them, which were taken just now, were taken so long after the last change that a later one will be seen.
pub(super) fn settled<'a>(stamps: impl IntoIterator<Item = &'a Stamp>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    stamps.into_iter().all(|stamp| stamp.known.is_none_or(|(_, _, _, _, changed)| is_settled(changed, now)))
}

/// Whether something that changed then, in nanoseconds, will not have the same time if it changes from `now` on.
fn is_settled(changed: i128, now: Duration) -> bool {
    let step = if changed % 1_000_000_000 == 0 { COARSE } else { FINE };
    u128::try_from(changed).is_ok_and(|changed| changed < now.saturating_sub(step).as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_a_moment_ago_is_not_settled() {
        let nanos = |text: f64| (text * 1e9) as i128;
        let now = Duration::from_secs(100);
        for (changed, expected) in
            [(99.9, true), (99.96, false), (100.0, false), (100.5, false), (99.0, false), (97.0, false), (96.0, true)]
        {
            assert_eq!(is_settled(nanos(changed), now), expected, "{changed}");
        }
    }

    #[test]
    fn a_file_that_is_another_one_or_gone_is_not_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("file"), dir.path().join("other"));
        let none = Stamp::of(&file);
        assert!(none.holds() && !none.is_there() && settled([&none]));
        std::fs::write(&file, "a").unwrap();
        std::fs::write(&other, "a").unwrap();
        let stamp = Stamp::of(&file);
        assert!(!none.holds() && stamp.holds() && stamp.is_there());
        std::fs::rename(&other, &file).unwrap();
        assert!(!stamp.holds());
        std::fs::remove_file(&file).unwrap();
        assert!(!stamp.holds() && none.holds());
    }
}
