//! What wakes a host besides output: signals, requests to stop in a run's directory, and, where the host is that of a
//! place, what it is told there.
//!
//! What follows from any of it is decided elsewhere.

use std::cell::Cell;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1};

use super::records::{Claim, StopRequest};
use super::run::{note, read_stop};
use super::supervise::timespec;

/// What can wake a host besides output.
#[derive(Debug)]
pub(super) struct Wakes {
    pub(super) signals: UnixStream,
    pub(super) terminate: Arc<AtomicBool>,
    /// The same, for a host that outlives a run: it ends after this one.
    leave: Arc<AtomicBool>,
    pub(super) directory: Option<OwnedFd>,
    /// Something happened in the directory since it was last asked. Before anybody listened anything may have.
    heard: Cell<bool>,
    /// Whether a wake may be a request to stop: a signal to a host of many runs names none of them.
    pub(super) of_place: bool,
}

impl Wakes {
    /// From here on the signals that would end this process are requests instead.
    /// In a pane those that its keys send mean the agent, and nothing here.
    pub(super) fn new(run_dir: &Path, in_pane: bool) -> io::Result<Self> {
        Self::with(watch(run_dir), in_pane)
    }

    /// The same for the host of a place, which is told of its runs there.
    pub(super) fn of_place(place: &Path) -> io::Result<Self> {
        let told = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::DELETE_SELF;
        Ok(Self { of_place: true, ..Self::with(watch_for(place, told), false)? })
    }

    fn with(directory: Option<OwnedFd>, in_pane: bool) -> io::Result<Self> {
        let (signals, wake) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let (terminate, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        // The flag of a signal is set before its byte is sent, since they are registered in that order.
        let (ends, keys): (&[_], &[_]) = match in_pane {
            true => (&[SIGTERM], &[SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU]),
            false => (&[SIGTERM, SIGINT], &[]),
        };
        for signal in ends {
            signal_hook::flag::register(*signal, Arc::clone(&terminate))?;
            signal_hook::flag::register(*signal, Arc::clone(&leave))?;
        }
        // A hangup only wakes: a host has no terminal to lose. So does the request to look after the socket.
        for signal in [SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR1].iter().chain(keys) {
            signal_hook::low_level::pipe::register(*signal, wake.try_clone()?)?;
        }
        Ok(Self { signals, terminate, leave, directory, heard: Cell::new(true), of_place: false })
    }

    /// Whether the host of a place is to end.
    pub(super) fn is_to_leave(&self) -> bool {
        self.leave.load(Ordering::SeqCst)
    }

    /// Lets the host of a place end.
    pub(super) fn leave(&self) {
        self.leave.store(true, Ordering::SeqCst);
    }

    /// Whether it hears of files.
    pub(super) fn is_watching(&self) -> bool {
        self.directory.is_some()
    }

    /// Watches a run's directory as well.
    pub(super) fn watch(&self, run_dir: &Path) -> Option<i32> {
        let directory = self.directory.as_ref()?;
        match inotify::add_watch(directory, run_dir, REQUESTS) {
            Ok(watch) => Some(watch),
            Err(error) => {
                note(&format!("cannot watch {}: {error}; waiting for signals alone", run_dir.display()));
                None
            }
        }
    }

    /// Watches it no longer.
    pub(super) fn unwatch(&self, watch: Option<i32>) {
        if let (Some(directory), Some(watch)) = (&self.directory, watch) {
            // It is gone with its directory.
            inotify::remove_watch(directory, watch).unwrap_or_default();
        }
    }

    /// Waits until anything at all happens, or for so long.
    pub(super) fn rest(&self, limit: Duration) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        fds.extend(self.directory.as_ref().map(|directory| PollFd::new(directory, PollFlags::IN)));
        // Interrupted or not: the caller looks again.
        rustix::event::poll(&mut fds, Some(&timespec(limit))).unwrap_or_default();
        self.empty_signals();
        self.empty_directory();
    }

    pub(super) fn empty_signals(&self) {
        let mut bytes = [0; 64];
        while (&self.signals).read(&mut bytes).is_ok_and(|read| read == bytes.len()) {}
    }

    pub(super) fn empty_directory(&self) {
        let Some(directory) = &self.directory else {
            return;
        };
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(directory, &mut buffer);
        while events.next().is_ok() {
            self.heard.set(true);
        }
    }

    /// Whether anything was heard of the directory since this was last asked.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.take()
    }

    /// A request to stop, by file or by signal.
    pub(super) fn stop_requested(&self, run_dir: &Path, claim: &Claim) -> Option<StopRequest> {
        let signalled = self.terminate.load(Ordering::SeqCst);
        read_stop(run_dir, claim).or_else(|| {
            signalled.then(|| StopRequest { reason: "terminated".to_owned(), grace_ms: claim.stop_grace_ms })
        })
    }
}

/// Watches for a request to stop and for the loss of the socket. Where the limit on watches is reached the signal that
/// follows either is enough.
fn watch(run_dir: &Path) -> Option<OwnedFd> {
    watch_for(run_dir, REQUESTS)
}

/// What is heard of in a run's directory.
const REQUESTS: inotify::WatchFlags = inotify::WatchFlags::CREATE
    .union(inotify::WatchFlags::MOVED_TO)
    .union(inotify::WatchFlags::DELETE)
    .union(inotify::WatchFlags::MOVED_FROM);

fn watch_for(run_dir: &Path, events: inotify::WatchFlags) -> Option<OwnedFd> {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let armed = inotify::init(flags).and_then(|fd| inotify::add_watch(&fd, run_dir, events).map(|_| fd));
    match armed {
        Ok(fd) => Some(fd),
        Err(error) => {
            note(&format!("cannot watch {}: {error}; waiting for signals alone", run_dir.display()));
            None
        }
    }
}
