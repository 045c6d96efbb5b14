//! The lock of a state directory: `flock` on `state.lock`, a file that is never renamed, unlinked or truncated. Its content
//! only tells a waiting person who holds it. Waiting is bounded, and nobody's live lock is ever taken away.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Result, StateError};
use crate::files::{self, FileId};

/// The holder's line has a fixed size, so that it is replaced in one write and never needs a truncation.
const HOLDER_LEN: usize = 256;

/// Takes the lock of one directory, again and again.
#[derive(Debug)]
pub struct Locker {
    path: PathBuf,
    command: String,
    waiter: Arc<Mutex<Waiter>>,
    /// The file as it was last locked, for the next time.
    kept: Kept,
}

type Kept = Arc<Mutex<Option<(File, FileId)>>>;

/// The thread that blocks in `flock` on our behalf. There is at most one, however often waiting timed out.
#[derive(Debug, Default)]
struct Waiter {
    running: bool,
    wanted_by: Option<Sender<io::Result<File>>>,
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct LockGuard {
    /// Until it is let go of.
    file: Option<(File, FileId)>,
    path: PathBuf,
    kept: Kept,
}

impl Locker {
    pub fn new(path: PathBuf, command: String) -> Locker {
        Locker { path, command, waiter: Arc::default(), kept: Arc::default() }
    }

    /// Takes the lock, waiting for its holder at most `bound`.
    pub fn acquire(&self, bound: Duration) -> Result<LockGuard> {
        let start = Instant::now();
        loop {
            let (file, id) = match lock(&self.kept).take() {
                Some(kept) => kept,
                None => {
                    let file = self.open()?;
                    let id = FileId::of_file(&file, &self.path)?;
                    (file, id)
                }
            };
            let file = match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => file,
                Err(error) if is_contended(&error) => self.wait(file, start, bound)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unlockable(&error)),
            };
            let mut guard = LockGuard { file: Some((file, id)), path: self.path.clone(), kept: Arc::clone(&self.kept) };
            // Whoever holds a file that lost its name excludes nobody: take the one that has the name now.
            if guard.is_current()? {
                guard.write_holder(&self.command);
                return Ok(guard);
            }
            guard.let_go();
            if start.elapsed() >= bound {
                return Err(StateError::LockLost { path: self.path.clone() });
            }
        }
    }

    /// Ends the waiting of another thread, whose `acquire` then fails as if its time were over.
    pub fn give_up(&self) {
        lock(&self.waiter).wanted_by = None;
    }

    fn open(&self) -> Result<File> {
        match files::open_write(&self.path) {
            Err(StateError::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        match files::create_new(&self.path) {
            Err(StateError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                files::open_write(&self.path)
            }
            other => other,
        }
    }

    fn wait(&self, file: File, start: Instant, bound: Duration) -> Result<File> {
        let (sender, receiver) = mpsc::channel();
        {
            let mut waiter = lock(&self.waiter);
            waiter.wanted_by = Some(sender);
            if !waiter.running {
                let shared = Arc::clone(&self.waiter);
                thread::Builder::new()
                    .name("state-lock".to_owned())
                    .spawn(move || block(file, &shared))
                    .map_err(StateError::write(&self.path))?;
                waiter.running = true;
            }
        }
        let answer = receiver.recv_timeout(bound.saturating_sub(start.elapsed()));
        if answer.is_err() {
            lock(&self.waiter).wanted_by = None;
        }
        match answer {
            Ok(Ok(file)) => Ok(file),
            Ok(Err(error)) => Err(self.unlockable(&error)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(self.busy(start.elapsed())),
        }
    }

    fn busy(&self, waited: Duration) -> StateError {
        // What the file says was written by one of us; a stranger's lock says nothing of itself, but the system may.
        let holder = match (kernel_holder(&self.path), read_holder(&self.path)) {
            (Some(pid), Some((said, command))) if pid == said => Some((pid, command)),
            (Some(pid), _) => Some((pid, name_of(pid))),
            (None, said) => said,
        };
        StateError::LockBusy {
            path: self.path.clone(),
            waited,
            pid: holder.as_ref().map(|(pid, _)| *pid),
            command: holder.map(|(_, command)| command).unwrap_or_default(),
        }
    }

    fn unlockable(&self, error: &io::Error) -> StateError {
        StateError::refused(&self.path, format!("this file system cannot lock it: {error}"))
    }
}

/// Runs in the waiting thread: takes the lock, and hands it on or lets it go if nobody waits any more.
fn block(file: File, shared: &Mutex<Waiter>) {
    let taken = loop {
        match fs2::FileExt::lock_exclusive(&file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    let mut waiter = lock(shared);
    waiter.running = false;
    if let Some(wanted_by) = waiter.wanted_by.take() {
        // A receiver that gave up in this very moment drops the file with the message, which releases the lock.
        drop(wanted_by.send(taken.map(|()| file)));
    }
}

/// Neither the waiter nor what is kept holds an invariant that a panic could break.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_contended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
}

impl LockGuard {
    fn is_current(&self) -> Result<bool> {
        let ours = self.file.as_ref().map(|(_, id)| *id);
        Ok(FileId::at(&self.path)?.is_some_and(|(id, _)| ours == Some(id)))
    }

    /// Fails if the lock file was replaced meanwhile: another process may then hold "the" lock as well.
    pub(crate) fn verify(&self) -> Result<()> {
        if self.is_current()? { Ok(()) } else { Err(StateError::LockLost { path: self.path.clone() }) }
    }

    fn write_holder(&self, command: &str) {
        let Some((file, _)) = &self.file else {
            return;
        };
        let mut line = format!("{} {}", std::process::id(), command.replace(['\n', '\r'], " "));
        let mut end = line.len().min(HOLDER_LEN - 1);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        let mut bytes = line.into_bytes();
        bytes.resize(HOLDER_LEN - 1, b' ');
        bytes.push(b'\n');
        // Reading is cheaper than dirtying a page that the next sync of the journal might have to carry.
        let mut present = [0; HOLDER_LEN];
        if file.read_exact_at(&mut present, 0).is_ok() && present[..] == bytes[..] {
            return;
        }
        if let Err(error) = file.write_all_at(&bytes, 0) {
            // It is for diagnostics only; a full disk must not make the lock unusable.
            tracing::debug!(%error, "cannot note the lock holder");
        }
    }

    /// Lets go of the lock and returns the file.
    fn let_go(&mut self) -> Option<(File, FileId)> {
        let taken = self.file.take()?;
        // Explicitly, because a child between its fork and its exec still shares the descriptor.
        match fs2::FileExt::unlock(&taken.0) {
            Ok(()) => Some(taken),
            Err(error) => {
                tracing::warn!(%error, "cannot release the state lock");
                None
            }
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Some(file) = self.let_go() {
            *lock(&self.kept) = Some(file);
        }
    }
}

/// Who holds the lock of a file as the system lists it, if it does: on some file systems the numbers there differ.
fn kernel_holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let file = path.metadata().ok()?;
    let device = file.dev();
    let wanted = format!("{:02x}:{:02x}:{}", rustix::fs::major(device), rustix::fs::minor(device), file.ino());
    let list = std::fs::read_to_string("/proc/locks").ok()?;
    // One that waits has an arrow in the second place.
    let held = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_file = held.filter(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&wanted.as_str()));
    of_file.filter_map(|fields| fields.get(4)?.parse::<u32>().ok()).find(|pid| *pid != 0)
}

fn name_of(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().chars().filter(|c| !c.is_control()).take(HOLDER_LEN).collect()
}

/// Who says to hold the lock. True only while somebody does.
pub fn read_holder(path: &Path) -> Option<(u32, String)> {
    let bytes = files::read_optional(path).ok().flatten()?;
    let text = String::from_utf8_lossy(&bytes);
    let (pid, command) = text.trim_end().split_once(' ')?;
    let command: String = command.trim().chars().filter(|c| !c.is_control()).take(HOLDER_LEN).collect();
    Some((pid.parse().ok()?, command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    fn locker(dir: &Path) -> Locker {
        Locker::new(dir.join("state.lock"), "test run".to_owned())
    }

    fn until_waiting(waiter: &Mutex<Waiter>) {
        let start = Instant::now();
        while !waiter.lock().unwrap().running {
            assert!(start.elapsed() < LONG, "nobody ever waited for the lock");
            thread::yield_now();
        }
    }

    #[test]
    fn a_held_lock_times_out_and_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (locker(dir.path()), locker(dir.path()));
        let held = one.acquire(LONG).unwrap();
        for _ in 0..3 {
            match two.acquire(SHORT) {
                Err(StateError::LockBusy { pid, command, waited, .. }) => {
                    assert_eq!((pid, command.as_str()), (Some(std::process::id()), "test run"));
                    assert!(waited >= SHORT);
                }
                other => panic!("{other:?}"),
            }
            assert!(two.waiter.lock().unwrap().running, "one waiting thread serves all attempts");
        }
        drop(held);
        drop(two.acquire(LONG).unwrap());
        drop(one.acquire(LONG).unwrap());
    }

    #[test]
    fn a_stranger_s_lock_is_named_where_the_system_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let one = locker(dir.path());
        drop(one.acquire(LONG).unwrap());
        // What the last holder wrote is no longer true of the next one.
        let bytes = fs::read(&one.path).unwrap();
        fs::write(&one.path, [b"1".as_slice(), &bytes].concat()).unwrap();
        let foreign = File::open(&one.path).unwrap();
        fs2::FileExt::lock_exclusive(&foreign).unwrap();
        let listed = kernel_holder(&one.path);
        match one.acquire(SHORT) {
            Err(StateError::LockBusy { pid, command, .. }) => {
                if let Some(listed) = listed {
                    assert_eq!((listed, pid), (std::process::id(), Some(listed)));
                    assert!(!command.is_empty() && command != "test run", "{command}");
                }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_waiter_gets_the_lock_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let held = locker(dir.path()).acquire(LONG).unwrap();
        let two = locker(dir.path());
        let waiter = Arc::clone(&two.waiter);
        let waiting = thread::spawn(move || two.acquire(LONG).map(drop));
        until_waiting(&waiter);
        drop(held);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn whoever_gives_up_has_not_got_the_lock_later() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (locker(dir.path()), Arc::new(locker(dir.path())));
        let held = one.acquire(LONG).unwrap();
        let waiter = Arc::clone(&two.waiter);
        let waiting = {
            let two = Arc::clone(&two);
            thread::spawn(move || two.acquire(LONG).map(drop))
        };
        until_waiting(&waiter);
        two.give_up();
        assert!(matches!(waiting.join().unwrap(), Err(StateError::LockBusy { .. })));
        drop(held);
        // Neither the one who gave up nor its thread stands in the way, and it may wait again.
        drop(one.acquire(LONG).unwrap());
        drop(two.acquire(LONG).unwrap());
    }

    #[test]
    fn a_replaced_lock_file_is_noticed_by_holder_and_waiter() {
        let dir = tempfile::tempdir().unwrap();
        let one = locker(dir.path());
        let held = one.acquire(LONG).unwrap();
        held.verify().unwrap();
        let two = locker(dir.path());
        let waiter = Arc::clone(&two.waiter);
        let waiting = thread::spawn(move || two.acquire(LONG));
        until_waiting(&waiter);
        fs::rename(&one.path, dir.path().join("elsewhere")).unwrap();
        fs::write(&one.path, "").unwrap();
        assert!(matches!(held.verify(), Err(StateError::LockLost { .. })));
        drop(held);
        let new = waiting.join().unwrap().unwrap();
        new.verify().unwrap();
        assert!(matches!(one.acquire(SHORT), Err(StateError::LockBusy { .. })));
    }

    #[test]
    fn planted_files_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let one = locker(dir.path());
        let refused = |what: &str| {
            let answer = one.acquire(SHORT);
            assert!(matches!(answer, Err(StateError::Refused { .. })), "{what}: {answer:?}");
        };
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &one.path).unwrap();
        refused("symlink");
        fs::remove_file(&one.path).unwrap();
        fs::hard_link(&victim, &one.path).unwrap();
        refused("hard link");
        fs::remove_file(&one.path).unwrap();
        fs::create_dir(&one.path).unwrap();
        refused("directory");
        fs::remove_dir(&one.path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &one.path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        refused("fifo");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_file(&one.path).unwrap();
        fs::write(&one.path, "").unwrap();
        if std::os::unix::fs::chown(&one.path, Some(12345), None).is_ok() {
            refused("foreign owner");
        }
    }
}
