//! Which file is which in the state directory. Reads directory listings, never the files.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::{Result, StateError};
use crate::files;

const SEGMENT_PREFIX: &str = "journal.";

/// How many set-aside copies of one file are kept: a damage that recurs must not fill the disk.
const KEPT_COPIES: usize = 5;

/// The names in one state directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Layout {
        Layout { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("state.lock")
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{SEGMENT_PREFIX}{number:06}"))
    }

    pub(crate) fn segment_tmp(&self) -> PathBuf {
        self.dir.join("journal.tmp")
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    pub(crate) fn snapshot_tmp(&self) -> PathBuf {
        self.dir.join("state.json.tmp")
    }

    pub(crate) fn snapshot_sum(&self) -> PathBuf {
        self.dir.join("state.json.sum")
    }

    pub(crate) fn snapshot_sum_tmp(&self) -> PathBuf {
        self.dir.join("state.json.sum.tmp")
    }

    /// The numbers of the segments present, ascending. A missing directory has none.
    pub(crate) fn segments(&self) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self.names()?.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Every name in the directory that is text; ours all are.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StateError::read(&self.dir)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StateError::read(&self.dir))?;
            names.extend(entry.file_name().to_str().map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A free name beside `path` for a copy set aside now, and room for it: the oldest copies of the same kind go.
    pub(crate) fn set_aside_name(&self, path: &Path, kind: &str) -> Result<PathBuf> {
        let base = path.file_name().and_then(OsStr::to_str).unwrap_or("file");
        let prefix = format!("{base}.{kind}-");
        // Names carry the time first, so their order is their age.
        let copies: Vec<String> = self.names()?.into_iter().filter(|name| name.starts_with(&prefix)).collect();
        for old in copies.iter().rev().skip(KEPT_COPIES - 1) {
            files::remove_quietly(&self.dir.join(old));
        }
        free_name(&self.dir.join(format!("{prefix}{}", stamp())))
    }
}

/// Which segment a name means, if any.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SEGMENT_PREFIX)?;
    if digits.len() < 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The present moment as a part of a file name.
pub(crate) fn stamp() -> String {
    Timestamp::now().strftime("%Y%m%dT%H%M%S.%6fZ").to_string()
}

/// `wanted`, or `wanted.1` and so on, whichever is free.
pub(crate) fn free_name(wanted: &Path) -> Result<PathBuf> {
    let mut name = wanted.to_owned();
    for suffix in 1..1000 {
        match fs::symlink_metadata(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(name),
            _ => {
                let mut text = wanted.as_os_str().to_owned();
                text.push(format!(".{suffix}"));
                name = PathBuf::from(text);
            }
        }
    }
    Err(StateError::refused(wanted, "a thousand copies of it are there already"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_segments_are_segments() {
        assert_eq!(segment_number("journal.000001"), Some(1));
        assert_eq!(segment_number("journal.1234567"), Some(1_234_567));
        for other in ["journal.1", "journal.tmp", "journal.000001.corrupt-20260101", "journal.+00001", "state.json"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }

    #[test]
    fn at_most_five_copies_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for _ in 0..8 {
            let name = layout.set_aside_name(&layout.snapshot(), "edited").unwrap();
            fs::write(name, "x").unwrap();
        }
        assert_eq!(layout.names().unwrap().len(), 5);
    }
}
