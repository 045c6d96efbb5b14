//! Notice of changes in a fixed set of directories, without a pause and without being woken by readers.
//!
//! A notice is a hint, never a fact: events are lost when the queue overflows, and a file that was there before the
//! watch brings none. So a caller **scans a directory after every successful `watch` and `rearm` of it**, after every
//! `Touched`, and everything after a `Rescan`; and it polls, visibly, what `polling_needed` names.
//!
//! A file is noticed when it is created, linked, renamed, removed, closed after writing, or given other attributes.
//! A write to a file that stays open is not noticed, so that growing logs wake nobody, unless the watcher was made to
//! notice growth; reading never is. Nor are drafts, which the rename to their own names ends, and files whose names the
//! caller passes over. Nothing here looks below the directories given, or into files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// How the names of files begin that are being written: those of records and of everything else here.
const DRAFTS: [&str; 2] = [".record-", ".tmp"];

/// What a callback is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// Something in this directory is not as it was.
    Touched {
        /// The directory, as an absolute path.
        dir: PathBuf,
        /// What the caller gave with it.
        tag: T,
    },
    /// Notices were lost, or a watched directory was moved or removed: scan everything, then call `rearm`.
    Rescan,
}

/// Why a directory is not watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot watch {}: {message}", dir.display())]
pub struct WatchError {
    /// The directory.
    pub dir: PathBuf,
    /// What is wrong, and which limit to raise if it is one.
    pub message: String,
}

#[derive(Debug)]
struct Directories<T> {
    armed: BTreeMap<PathBuf, T>,
    /// Wanted and not watched, with the reason.
    polled: BTreeMap<PathBuf, (T, String)>,
    /// Whether writes to files that stay open are noticed.
    growth: bool,
    /// Names of files of which nothing is told.
    passed_over: fn(&OsStr) -> bool,
}

/// Watches directories until it is dropped.
#[derive(Debug)]
pub struct Watcher<T> {
    /// Absent, with the reason, where the system gives no watcher at all: then every directory is polled.
    inner: Result<RecommendedWatcher, String>,
    directories: Arc<Mutex<Directories<T>>>,
}

impl<T: Clone + Send + 'static> Watcher<T> {
    /// Makes a watcher of nothing. The callback runs on the watcher's own thread, and holding it up holds up every
    /// notice, so it only passes on what it is told: to a channel of whatever kind the caller waits on. It never calls the
    /// watcher, which would wait for it.
    #[must_use]
    pub fn new(callback: impl Fn(Change<T>) + Send + 'static) -> Self {
        Self::noticing(false, callback)
    }

    /// Tells nothing of files that are so named: for those who write such files themselves, or wait for none of them. What
    /// was noticed before may still be told.
    #[must_use]
    pub fn passing_over(self, names: fn(&OsStr) -> bool) -> Self {
        lock(&self.directories).passed_over = names;
        self
    }

    /// The same, told also of every write to a file in the directories: for those who follow logs.
    #[must_use]
    pub fn of_growth(callback: impl Fn(Change<T>) + Send + 'static) -> Self {
        Self::noticing(true, callback)
    }

    fn noticing(growth: bool, callback: impl Fn(Change<T>) + Send + 'static) -> Self {
        let passed_over = |_: &OsStr| false;
        let directories = Directories { armed: BTreeMap::new(), polled: BTreeMap::new(), growth, passed_over };
        let directories = Arc::new(Mutex::new(directories));
        let shared = Arc::clone(&directories);
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // The directories are unlocked again before the callback, which may wait.
            let changes = match event {
                Ok(event) => lock(&shared).take_in(&event),
                Err(_) => vec![Change::Rescan],
            };
            for change in changes {
                callback(change);
            }
        });
        Self { inner: inner.map_err(|error| explain(&error)), directories }
    }

    /// Watches a directory. If that fails the directory is among `polling_needed` until `rearm` succeeds or
    /// `unwatch` forgets it. Scan it after this returns, whatever it returns.
    ///
    /// # Errors
    /// When the directory is not there, or a limit of the system is reached.
    pub fn watch(&mut self, dir: &Path, tag: T) -> Result<(), WatchError> {
        let absolute = |error: std::io::Error| WatchError { dir: dir.to_owned(), message: error.to_string() };
        let dir = std::path::absolute(dir).map_err(absolute)?;
        // It is armed before it is watched: an event may come at once and must find it.
        {
            let mut directories = lock(&self.directories);
            directories.polled.remove(&dir);
            directories.armed.insert(dir.clone(), tag.clone());
        }
        let watched = match &mut self.inner {
            Ok(_) if !dir.is_dir() => Err("it is not a directory".to_owned()),
            Ok(inner) => inner.watch(&dir, RecursiveMode::NonRecursive).map_err(|error| explain(&error)),
            Err(message) => Err(message.clone()),
        };
        watched.map_err(|message| {
            let mut directories = lock(&self.directories);
            directories.armed.remove(&dir);
            directories.polled.insert(dir.clone(), (tag, message.clone()));
            WatchError { dir, message }
        })
    }

    /// Forgets a directory. A notice of it that is on its way may still come.
    pub fn unwatch(&mut self, dir: &Path) {
        let Ok(dir) = std::path::absolute(dir) else {
            return;
        };
        {
            let mut directories = lock(&self.directories);
            directories.armed.remove(&dir);
            directories.polled.remove(&dir);
        }
        self.disarm(&dir);
    }

    /// The directories that are wanted and not watched, and why: poll them, and say so to the user.
    #[must_use]
    pub fn polling_needed(&self) -> Vec<WatchError> {
        lock(&self.directories)
            .polled
            .iter()
            .map(|(dir, (_, message))| WatchError { dir: dir.clone(), message: message.clone() })
            .collect()
    }

    /// Tries again what `polling_needed` names, and returns what is watched now. Scan that.
    pub fn rearm(&mut self) -> Vec<PathBuf> {
        let polled = std::mem::take(&mut lock(&self.directories).polled);
        let mut armed = Vec::new();
        for (dir, (tag, _)) in polled {
            // A directory that was moved away is still watched where it is now.
            self.disarm(&dir);
            // What fails again is among the polled again.
            if self.watch(&dir, tag).is_ok() {
                armed.push(dir);
            }
        }
        armed
    }

    fn disarm(&mut self, dir: &Path) {
        if let Ok(inner) = &mut self.inner {
            // It was not watched if this fails, which is what is wanted.
            inner.unwatch(dir).unwrap_or_default();
        }
    }
}

impl<T: Clone> Directories<T> {
    fn take_in(&mut self, event: &Event) -> Vec<Change<T>> {
        if event.need_rescan() {
            return vec![Change::Rescan];
        }
        if !is_change(event.kind, self.growth) {
            return Vec::new();
        }
        let goes_away =
            matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)));
        let mut changes = Vec::new();
        for path in &event.paths {
            if goes_away && let Some(tag) = self.armed.remove(path) {
                let reason = "it was moved or removed".to_owned();
                self.polled.insert(path.clone(), (tag, reason));
                changes.push(Change::Rescan);
            }
            if path.file_name().is_some_and(|name| is_draft(name) || (self.passed_over)(name)) {
                continue;
            }
            if let Some((dir, tag)) = path.parent().and_then(|dir| self.armed.get_key_value(dir)) {
                changes.push(Change::Touched { dir: dir.clone(), tag: tag.clone() });
            }
        }
        changes
    }
}

/// Whether a file is being written under a name that it will not keep.
fn is_draft(name: &OsStr) -> bool {
    DRAFTS.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()))
}

fn is_change(kind: EventKind, growth: bool) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        // The file's close follows, sooner or later.
        EventKind::Modify(ModifyKind::Data(_)) => growth,
        // A rename comes as two halves first, then whole: the whole is no news.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => false,
        _ => true,
    }
}

fn explain(error: &notify::Error) -> String {
    let limit = match &error.kind {
        notify::ErrorKind::MaxFilesWatch => Some("max_user_watches"),
        notify::ErrorKind::Io(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            Some("max_user_instances")
        }
        _ => None,
    };
    match limit {
        Some(limit) => format!("the limit on watches is reached; it is /proc/sys/fs/inotify/{limit}"),
        None => match &error.kind {
            notify::ErrorKind::Io(error) => error.to_string(),
            notify::ErrorKind::PathNotFound => "there is no such directory".to_owned(),
            _ => error.to_string(),
        },
    }
}

fn lock<T>(directories: &Mutex<Directories<T>>) -> MutexGuard<'_, Directories<T>> {
    // Nothing that holds the lock leaves it half done.
    directories.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(30);

    fn watcher() -> (Watcher<&'static str>, Receiver<Change<&'static str>>) {
        let (send, receive) = channel();
        let watcher = Watcher::new(move |change| {
            // A test that is over no longer listens.
            send.send(change).unwrap_or_default();
        });
        (watcher, receive)
    }

    fn touched(dir: &Path, tag: &'static str) -> Change<&'static str> {
        Change::Touched { dir: dir.to_owned(), tag }
    }

    fn wait_for(receive: &Receiver<Change<&'static str>>, wanted: &Change<&'static str>) {
        while receive.recv_timeout(LIMIT).unwrap() != *wanted {}
    }

    /// Makes a change and waits for its notice: whatever was caused before it has been told by then.
    fn settle(receive: &Receiver<Change<&'static str>>, dir: &Path) -> usize {
        let mut before = 0;
        fs::create_dir(dir.join("settle")).unwrap();
        while receive.recv_timeout(LIMIT).unwrap() != touched(dir, "settle") {
            before += 1;
        }
        before
    }

    #[test]
    fn a_rename_into_a_write_a_link_and_a_removal_are_noticed() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("markers");
        fs::create_dir(&dir).unwrap();
        let (mut watcher, receive) = watcher();
        watcher.watch(&dir, "m").unwrap();
        fs::write(base.path().join("elsewhere"), "x").unwrap();
        fs::rename(base.path().join("elsewhere"), dir.join("a")).unwrap();
        wait_for(&receive, &touched(&dir, "m"));
        fs::write(dir.join("b"), "x").unwrap();
        wait_for(&receive, &touched(&dir, "m"));
        fs::hard_link(dir.join("b"), dir.join("c")).unwrap();
        wait_for(&receive, &touched(&dir, "m"));
        fs::remove_file(dir.join("c")).unwrap();
        wait_for(&receive, &touched(&dir, "m"));
    }

    #[test]
    fn reading_and_growing_an_open_file_wake_nobody() {
        let base = tempfile::tempdir().unwrap();
        let (read, other) = (base.path().join("read"), base.path().join("other"));
        fs::create_dir(&read).unwrap();
        fs::create_dir(&other).unwrap();
        let mut log = fs::File::create(read.join("log")).unwrap();
        let (mut watcher, receive) = watcher();
        watcher.watch(&read, "read").unwrap();
        watcher.watch(&other, "settle").unwrap();
        fs::read(read.join("log")).unwrap();
        fs::read_dir(&read).unwrap().count();
        std::io::Write::write_all(&mut log, b"more").unwrap();
        assert_eq!(settle(&receive, &other), 0);
        drop(log);
        wait_for(&receive, &touched(&read, "read"));
    }

    #[test]
    fn drafts_and_what_is_passed_over_wake_nobody() {
        let base = tempfile::tempdir().unwrap();
        let (dir, other) = (base.path().join("run"), base.path().join("other"));
        fs::create_dir(&dir).unwrap();
        fs::create_dir(&other).unwrap();
        let (watcher, receive) = watcher();
        let mut watcher = watcher.passing_over(|name| name == "host.log");
        watcher.watch(&dir, "r").unwrap();
        watcher.watch(&other, "settle").unwrap();
        fs::write(dir.join("host.log"), "x").unwrap();
        fs::write(dir.join(".record-a1"), "x").unwrap();
        assert_eq!(settle(&receive, &other), 0);
        fs::rename(dir.join(".record-a1"), dir.join("exit.json")).unwrap();
        wait_for(&receive, &touched(&dir, "r"));
    }

    #[test]
    fn whoever_follows_a_log_is_told_of_every_write_and_of_no_reading() {
        let base = tempfile::tempdir().unwrap();
        let (grows, other) = (base.path().join("grows"), base.path().join("other"));
        fs::create_dir(&grows).unwrap();
        fs::create_dir(&other).unwrap();
        let mut log = fs::File::create(grows.join("log")).unwrap();
        let (send, receive) = channel();
        let mut watcher = Watcher::of_growth(move |change| send.send(change).unwrap_or_default());
        watcher.watch(&grows, "g").unwrap();
        watcher.watch(&other, "settle").unwrap();
        fs::read(grows.join("log")).unwrap();
        assert_eq!(settle(&receive, &other), 0);
        std::io::Write::write_all(&mut log, b"more").unwrap();
        wait_for(&receive, &touched(&grows, "g"));
    }

    #[test]
    fn a_directory_that_goes_away_is_polled_until_it_is_armed_again() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("run");
        for remove in [true, false] {
            fs::create_dir(&dir).unwrap();
            let (mut watcher, receive) = watcher();
            watcher.watch(&dir, "r").unwrap();
            if remove {
                fs::remove_dir(&dir).unwrap();
            } else {
                fs::rename(&dir, base.path().join("moved")).unwrap();
            }
            wait_for(&receive, &Change::Rescan);
            assert_eq!(watcher.polling_needed()[0].dir, dir);
            assert!(watcher.rearm().is_empty());
            fs::create_dir(&dir).unwrap();
            assert_eq!(watcher.rearm(), std::slice::from_ref(&dir));
            assert!(watcher.polling_needed().is_empty());
            fs::write(dir.join("file"), "").unwrap();
            wait_for(&receive, &touched(&dir, "r"));
            fs::remove_dir_all(&dir).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_watched_is_named_with_the_reason() {
        let base = tempfile::tempdir().unwrap();
        let (mut watcher, _receive) = watcher();
        let missing = base.path().join("missing");
        let error = watcher.watch(&missing, "x").unwrap_err();
        assert_eq!(watcher.polling_needed(), [error]);
        watcher.unwatch(&missing);
        assert!(watcher.polling_needed().is_empty());
    }

    #[test]
    fn a_directory_no_longer_watched_is_silent() {
        let base = tempfile::tempdir().unwrap();
        let (quiet, other) = (base.path().join("quiet"), base.path().join("other"));
        fs::create_dir(&quiet).unwrap();
        fs::create_dir(&other).unwrap();
        let (mut watcher, receive) = watcher();
        watcher.watch(&quiet, "q").unwrap();
        watcher.watch(&other, "settle").unwrap();
        watcher.unwatch(&quiet);
        fs::write(quiet.join("file"), "").unwrap();
        assert_eq!(settle(&receive, &other), 0);
    }

    #[test]
    fn an_overflow_of_the_queue_asks_for_a_rescan() {
        let queue: usize =
            fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (send, receive) = channel();
        let (go_on, wait) = channel::<()>();
        let mut watcher = Watcher::new(move |change| {
            send.send(change).unwrap_or_default();
            // Until the test has dropped its end this holds up the reading of the queue.
            wait.recv().unwrap_or_default();
        });
        watcher.watch(dir.path(), "x").unwrap();
        let path = dir.path().join("file");
        for _ in 0..=queue / 2 + 1 {
            fs::write(&path, "").unwrap();
            fs::remove_file(&path).unwrap();
        }
        drop(go_on);
        wait_for(&receive, &Change::Rescan);
    }

    #[test]
    fn a_failed_read_of_the_limits_is_explained() {
        let full = explain(&notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        assert!(full.contains("max_user_watches"), "{full}");
        let errno = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        let many = explain(&notify::Error::io(errno));
        assert!(many.contains("max_user_instances"), "{many}");
    }
}
