//! The files of a run's directory: written so that a reader, whatever died meanwhile, sees a whole record or none, read
//! so that nothing planted in their place is followed, and the one lock that says whether a host lives.
//!
//! The meaning of the records is elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::HostError;

pub(super) const CLAIM: &str = "claim.json";
pub(super) const LOCK: &str = "run.lock";
pub(super) const START: &str = "start.json";
pub(super) const CHILD: &str = "child.json";
pub(super) const STOP: &str = "stop";
pub(super) const EXIT: &str = "exit.json";
pub(super) const HOST_LOG: &str = "host.log";

/// No honest record is longer. An environment and a prompt on the command line are what makes a claim long.
const RECORD_BYTES_MAX: u64 = 1024 * 1024;

/// How often a lock that is about to be free is tried again: one that only observers hold, each for a few reads, or one
/// whose host is dead.
pub(super) const LOCK_TRIES: usize = 10_000;

/// Creates a directory, readable by the owner alone, and makes its name durable.
pub(super) fn create_dir(path: &Path) -> Result<(), HostError> {
    create_private(path)?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// The same without making it durable.
pub(super) fn create_private(path: &Path) -> Result<(), HostError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(HostError::io("create", path))
}

pub(super) fn sync_dir(path: &Path) -> Result<(), HostError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(HostError::io("make durable", path))
}

/// Writes a record durably unless there is one already, and says whether it was written.
pub(super) fn write_once<T: Serialize>(dir: &Path, name: &str, record: &T) -> Result<bool, HostError> {
    write_once_behind(dir, name, record, || Ok(()))
}

/// The same behind another record and the directory itself, neither of which was made durable when it was made: what is
/// there of this record after a power cut stands on all that came before it.
pub(super) fn write_once_on<T: Serialize>(dir: &Path, name: &str, record: &T, other: &str) -> Result<bool, HostError> {
    write_once_behind(dir, name, record, || {
        let path = dir.join(other);
        match open_regular(&path)? {
            Some(file) => file.sync_all().map_err(HostError::io("make durable", &path))?,
            None => return Err(HostError::io("make durable", &path)(io::ErrorKind::NotFound.into())),
        }
        dir.parent().map_or(Ok(()), sync_dir)
    })
}

fn write_once_behind<T: Serialize>(
    dir: &Path,
    name: &str,
    record: &T,
    before: impl FnOnce() -> Result<(), HostError>,
) -> Result<bool, HostError> {
    let path = dir.join(name);
    let temporary = write_temporary(dir, &path, record)?;
    before()?;
    temporary.as_file().sync_all().map_err(HostError::io("make durable", &path))?;
    match temporary.persist_noclobber(&path) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(refused) => return Err(HostError::io("create", &path)(refused.error)),
    }
    sync_dir(dir)?;
    Ok(true)
}

/// Writes a record in place of the one there may be; durably if asked.
pub(super) fn replace<T: Serialize>(dir: &Path, name: &str, record: &T, durable: bool) -> Result<(), HostError> {
    let path = dir.join(name);
    let temporary = write_temporary(dir, &path, record)?;
    if durable {
        temporary.as_file().sync_all().map_err(HostError::io("make durable", &path))?;
    }
    temporary.persist(&path).map_err(|refused| HostError::io("replace", &path)(refused.error))?;
    if durable { sync_dir(dir) } else { Ok(()) }
}

fn write_temporary<T: Serialize>(dir: &Path, path: &Path, record: &T) -> Result<tempfile::NamedTempFile, HostError> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| HostError::Format { path: path.to_owned(), message: error.to_string() })?;
    bytes.push(b'\n');
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err(HostError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64, max: RECORD_BYTES_MAX });
    }
    let mut file =
        tempfile::Builder::new().prefix(".record-").tempfile_in(dir).map_err(HostError::io("create a file in", dir))?;
    file.write_all(&bytes).map_err(HostError::io("write", path))?;
    Ok(file)
}

/// Whatever has the name, even if it cannot be read: the question is whether another host was here.
pub(super) fn exists(run_dir: &Path, name: &str) -> bool {
    std::fs::symlink_metadata(run_dir.join(name)).is_ok()
}

/// Reads a record; nothing if there is none.
pub(super) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, HostError> {
    let path = dir.join(name);
    let Some(file) = open_regular(&path)? else {
        return Ok(None);
    };
    // Room for all of it: else it is read in many small steps.
    let expected = file.metadata().map_or(0, |metadata| metadata.len().min(RECORD_BYTES_MAX));
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
    file.take(RECORD_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(HostError::io("read", &path))?;
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err(HostError::TooLarge { path, bytes: bytes.len() as u64, max: RECORD_BYTES_MAX });
    }
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => Err(HostError::Format { path, message: error.to_string() }),
    }
}

/// Opens a regular file for reading without following a link or waiting for a pipe's writer.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, HostError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(open_flags(flags)).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(HostError::NotRegular { path: path.to_owned() });
        }
        Err(error) => return Err(HostError::io("open", path)(error)),
    };
    if file.metadata().map_err(HostError::io("read", path))?.is_file() {
        Ok(Some(file))
    } else {
        Err(HostError::NotRegular { path: path.to_owned() })
    }
}

/// Opens a file for appending, creating it readable by the owner alone.
pub(super) fn open_append(path: &Path) -> Result<File, HostError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(open_flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
        .map_err(HostError::io("open", path))
}

/// The standard library takes flags as the signed number C has; it adds close-on-exec itself.
fn open_flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// What came of trying for a run's lock.
#[derive(Debug)]
pub(super) enum Lock {
    /// Ours until it is dropped. `None` where an observer found that no lock file was ever made.
    Held(Option<Held>),
    /// A living host has it.
    Taken,
}

/// A lock of ours. Closing the file alone would leave it to the copies that a process has which another thread is just
/// starting, until that has become its program; whoever finds it then takes it for a living host's.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Where it fails the lock ends with the file's last copy.
        drop(fs2::FileExt::unlock(&self.0));
    }
}

/// Takes the lock as a host does, without waiting for another host. An observer that looks at this moment holds the
/// lock shared for a few microseconds; that must not make a host give up, so such a lock is tried again.
pub(super) fn lock_exclusive(dir: &Path) -> Result<Lock, HostError> {
    let path = dir.join(LOCK);
    for _ in 0..LOCK_TRIES {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(open_flags(OFlags::NOFOLLOW))
            .open(&path)
            .map_err(HostError::io("open", &path))?;
        if locked(fs2::FileExt::try_lock_exclusive(&file)).map_err(HostError::io("lock", &path))? {
            let held = Held(file);
            if is_at(&held.0, &path) {
                return Ok(Lock::Held(Some(held)));
            }
            // The file was replaced between the open and the lock: ours is a lock on nothing.
            continue;
        }
        if !locked(fs2::FileExt::try_lock_shared(&file)).map_err(HostError::io("lock", &path))? {
            return Ok(Lock::Taken);
        }
        drop(Held(file));
        rustix::thread::sched_yield();
    }
    Ok(Lock::Taken)
}

/// Keeps any host from starting while the result is held, or says that one lives.
pub(super) fn lock_shared(dir: &Path) -> Result<Lock, HostError> {
    let path = dir.join(LOCK);
    let Some(file) = open_regular(&path)? else {
        return Ok(Lock::Held(None));
    };
    if locked(fs2::FileExt::try_lock_shared(&file)).map_err(HostError::io("lock", &path))? {
        Ok(Lock::Held(Some(Held(file))))
    } else {
        Ok(Lock::Taken)
    }
}

impl Lock {
    /// Whether it is held, and still on the file of this directory: somebody may have removed or replaced that.
    pub(super) fn is_of(&self, dir: &Path) -> bool {
        matches!(self, Self::Held(Some(held)) if is_at(&held.0, &dir.join(LOCK)))
    }
}

pub(super) fn locked(tried: io::Result<()>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_once(dir.path(), START, &1).unwrap());
        assert!(!write_once(dir.path(), START, &2).unwrap());
        assert_eq!(read::<i32>(dir.path(), START).unwrap(), Some(1));
        replace(dir.path(), START, &3, true).unwrap();
        assert_eq!(read::<i32>(dir.path(), START).unwrap(), Some(3));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_regular_files_of_honest_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("whole"), "1").unwrap();
        std::os::unix::fs::symlink(at("whole"), at("link")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 30).unwrap();
        std::fs::write(at("torn"), "{\"a\":").unwrap();
        assert_eq!(read::<i32>(dir.path(), "whole").unwrap(), Some(1));
        assert_eq!(read::<i32>(dir.path(), "absent").unwrap(), None);
        for name in ["link", "directory", "pipe"] {
            assert!(matches!(read::<i32>(dir.path(), name), Err(HostError::NotRegular { .. })), "{name}");
        }
        assert!(matches!(read::<i32>(dir.path(), "huge"), Err(HostError::TooLarge { .. })));
        assert!(matches!(read::<i32>(dir.path(), "torn"), Err(HostError::Format { .. })));
    }

    #[test]
    fn observers_do_not_exclude_each_other_and_a_host_excludes_all() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(lock_shared(dir.path()).unwrap(), Lock::Held(None)));
        let host = lock_exclusive(dir.path()).unwrap();
        assert!(matches!(lock_exclusive(dir.path()).unwrap(), Lock::Taken));
        assert!(matches!(lock_shared(dir.path()).unwrap(), Lock::Taken));
        drop(host);
        let first = lock_shared(dir.path()).unwrap();
        let second = lock_shared(dir.path()).unwrap();
        assert!(matches!((first, second), (Lock::Held(Some(_)), Lock::Held(Some(_)))));
    }

    /// As a child of another thread has one until it has become its program.
    #[test]
    fn a_copy_of_its_file_does_not_keep_a_lock_that_was_let_go_of() {
        let dir = tempfile::tempdir().unwrap();
        for lock in [lock_exclusive, lock_exclusive, lock_shared] {
            let Lock::Held(Some(held)) = lock(dir.path()).unwrap() else { panic!("it is taken") };
            let copy = held.0.try_clone().unwrap();
            drop(held);
            assert!(matches!(lock_exclusive(dir.path()).unwrap(), Lock::Held(Some(_))));
            drop(copy);
        }
    }

    #[test]
    fn a_host_outlasts_observers_that_look_all_the_time() {
        let dir = tempfile::tempdir().unwrap();
        drop(lock_exclusive(dir.path()).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        let looks = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        drop(lock_shared(dir.path()).unwrap());
                        looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        // Between two looks even the busiest observer reads what it found.
                        for _ in 0..20 {
                            assert!(std::fs::read_dir(dir.path()).unwrap().count() > 0);
                        }
                    }
                });
            }
            let gave_up = |_: &i32| matches!(lock_exclusive(dir.path()).unwrap(), Lock::Taken);
            while looks.load(std::sync::atomic::Ordering::Relaxed) < 100 {
                rustix::thread::sched_yield();
            }
            let gave_up = (0..5_000).filter(gave_up).count();
            // First, or the observers would go on forever where this fails.
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            // One that the system keeps waiting while it looks may outlast all tries. Without trying again it is dozens.
            assert!(gave_up <= 25, "{gave_up} of 5000 met observers only, and gave up");
        });
    }
}
