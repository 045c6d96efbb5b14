//! What can go wrong with the store, and what was noticed on the way. Messages are lowercase fragments that name the file;
//! hints and exit codes are written where a person is told, by the kind.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kinds of failure, one exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no store in this directory (exit 1).
    NotInitialised,
    /// Something could not be read (exit 1).
    CannotRead,
    /// Bytes on disk contradict their checksums (exit 65).
    Corrupt,
    /// Nothing was acknowledged; the disk or a permission is in the way (exit 73).
    CannotWrite,
    /// Another process holds the lock (exit 75).
    LockBusy,
    /// Another version of the program wrote what is here (exit 78).
    NewerFormat,
    /// A planted or foreign file, or a file system without working locks (exit 73).
    Refused,
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    #[error("there is no state in {}", .dir.display())]
    NotInitialised { dir: PathBuf },
    #[error("state already exists in {}", .dir.display())]
    AlreadyInitialised { dir: PathBuf },
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The disk failed a sync. Whether earlier bytes arrived is unknown, so this store value never writes again; opening
    /// a new one reads back what is really there.
    #[error("writing stopped after {} could not be made durable: {reason}", .path.display())]
    Poisoned { path: PathBuf, reason: String },
    #[error("{} is damaged at byte {offset}: {detail}", .path.display())]
    Corrupt { path: PathBuf, offset: u64, detail: String },
    #[error("{} is not a usable snapshot", .path.display())]
    SnapshotInvalid {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "the lock {} is held{}{}{}",
        .path.display(),
        .pid.map(|pid| format!(" by process {pid}")).unwrap_or_default(),
        if .command.is_empty() { String::new() } else { format!(" ({})", .command) },
        if waited.is_zero() { String::new() } else { format!(" and was not released within {}", rounded(*.waited)) }
    )]
    LockBusy { path: PathBuf, waited: Duration, pid: Option<u32>, command: String },
    #[error("the lock {} was replaced while it was held", .path.display())]
    LockLost { path: PathBuf },
    #[error("{} was written in format {found}, and this program knows {ours}", .path.display())]
    NewerFormat { path: PathBuf, found: u16, ours: u16 },
    #[error("{} holds record {seq} that this program does not know: {detail}", .path.display())]
    UnknownContent { path: PathBuf, seq: u64, detail: String },
    /// A value that could not be read back if it were written; a fault of the program, not of the disk.
    #[error("a record for {} does not survive being written: {detail}", .path.display())]
    Unstorable { path: PathBuf, detail: String },
    #[error("{} is refused: {why}", .path.display())]
    Refused { path: PathBuf, why: String },
}

/// A length of time as people say it.
fn rounded(time: Duration) -> String {
    match time.as_millis() {
        millis if millis < 1_000 => format!("{millis} ms"),
        millis => format!("{} s", (millis + 500) / 1_000),
    }
}

/// The result of an operation on the store.
pub type Result<T, E = StateError> = std::result::Result<T, E>;

impl StateError {
    /// The kind, for choosing an exit code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StateError::NotInitialised { .. } => ErrorKind::NotInitialised,
            StateError::Read { .. } => ErrorKind::CannotRead,
            StateError::Corrupt { .. } | StateError::SnapshotInvalid { .. } => ErrorKind::Corrupt,
            StateError::Write { .. }
            | StateError::Poisoned { .. }
            | StateError::Unstorable { .. }
            | StateError::AlreadyInitialised { .. } => ErrorKind::CannotWrite,
            StateError::LockBusy { .. } | StateError::LockLost { .. } => ErrorKind::LockBusy,
            StateError::NewerFormat { .. } | StateError::UnknownContent { .. } => ErrorKind::NewerFormat,
            StateError::Refused { .. } => ErrorKind::Refused,
        }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> StateError {
        let path = path.to_owned();
        move |source| StateError::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> StateError {
        let path = path.to_owned();
        move |source| StateError::Write { path, source }
    }

    pub(crate) fn refused(path: &Path, why: impl Into<String>) -> StateError {
        StateError::Refused { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, StateError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Something a person should hear although the operation went on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    #[error("cut {bytes} bytes of an unfinished write from the end of {}", .path.display())]
    TornTail { path: PathBuf, bytes: u64 },
    #[error("{} is damaged at byte {offset} ({detail}); what is shown ends before it, and nothing can be written", .path.display())]
    Damaged { path: PathBuf, offset: u64, detail: String },
    #[error("the journal ends at record {journal}, but the snapshot was written at record {snapshot}")]
    BehindSnapshot { journal: u64, snapshot: u64 },
    #[error("{count} records, the first of them {first}, are of a kind this program does not know")]
    UnknownFacts { first: u64, count: u64 },
    #[error("the state was written in format {found}, this program knows {ours}: it can be read, not written")]
    NewerFormat { found: u16, ours: u16 },
    #[error("the journal could not be rotated: {detail}")]
    RotationFailed { detail: String },
    #[error("the snapshot was edited by hand; the edited file is kept as {}", .copy.display())]
    SnapshotEdited { copy: PathBuf },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        for (time, words) in [(50_400_000, "50 ms"), (20_000_193_346, "20 s"), (1_600_000_000, "2 s")] {
            assert_eq!(rounded(Duration::from_nanos(time)), words);
        }
    }
}
