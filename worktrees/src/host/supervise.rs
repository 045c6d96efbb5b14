//! What a host waits for: its children, their output, signals and requests to stop, all in one `poll`.
//!
//! It gathers what happened. What follows from that is decided by its caller.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::logs::CappedLog;
use super::records::{Claim, StopRequest};
use super::run::{note, read_stop};

const BUFFER_BYTES: usize = 64 * 1024;
/// A read shorter than this means that the command writes in small pieces.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// After a small piece the next ones are left to gather this long, which costs a third of taking each by itself.
const GATHER: Duration = Duration::from_millis(10);
/// What the command can write meanwhile without waiting for us.
const PIPE_BYTES: usize = 256 * 1024;

/// What can wake a host besides output.
#[derive(Debug)]
pub(super) struct Wakes {
    signals: UnixStream,
    terminate: Arc<AtomicBool>,
    directory: Option<OwnedFd>,
}

impl Wakes {
    /// From here on the signals that would end this process are requests instead.
    pub(super) fn new(run_dir: &Path) -> io::Result<Self> {
        let (signals, wake) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let terminate = Arc::new(AtomicBool::new(false));
        // The flag of a signal is set before its byte is sent, since they are registered in that order.
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&terminate))?;
        }
        // A hangup only wakes: a host has no terminal to lose.
        for signal in [SIGTERM, SIGINT, SIGCHLD, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
        }
        Ok(Self { signals, terminate, directory: watch(run_dir) })
    }

    /// A request to stop, by file or by signal.
    pub(super) fn stop_requested(&self, run_dir: &Path, claim: &Claim) -> Option<StopRequest> {
        let signalled = self.terminate.load(Ordering::SeqCst);
        read_stop(run_dir, claim).or_else(|| {
            signalled.then(|| StopRequest { reason: "terminated".to_owned(), grace_ms: claim.stop_grace_ms })
        })
    }
}

/// Watches for a request to stop. Where the limit on watches is reached the signal that follows a request is enough.
fn watch(run_dir: &Path) -> Option<OwnedFd> {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    let armed = inotify::init(flags).and_then(|fd| inotify::add_watch(&fd, run_dir, events).map(|_| fd));
    match armed {
        Ok(fd) => Some(fd),
        Err(error) => {
            note(&format!("cannot watch {}: {error}; waiting for signals alone", run_dir.display()));
            None
        }
    }
}

/// That the run is to stop.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    /// What the first request gave as its reason.
    pub(super) reason: String,
    /// When everything is killed: the earliest of all requests. Never, if that is further away than clocks go.
    pub(super) ends: Option<Instant>,
}

#[derive(Debug)]
struct Output {
    pipe: Option<File>,
    log: CappedLog,
}

/// The state of a run in its host.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    run_dir: &'a Path,
    claim: &'a Claim,
    main: i32,
    status: Option<(WaitStatus, Instant)>,
    childless: bool,
    wakes: Wakes,
    outputs: [Output; 2],
    stop: Option<Stop>,
    gather_until: Option<Instant>,
    buffer: Vec<u8>,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        run_dir: &'a Path,
        claim: &'a Claim,
        main: i32,
        wakes: Wakes,
        outputs: [(Option<OwnedFd>, CappedLog); 2],
    ) -> Self {
        Self {
            run_dir,
            claim,
            main,
            status: None,
            childless: false,
            wakes,
            outputs: outputs.map(|(pipe, log)| {
                if let Some(pipe) = &pipe {
                    // The default size works too, only with more waiting on both sides.
                    rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES).unwrap_or_default();
                }
                Output { pipe: pipe.map(File::from), log }
            }),
            stop: None,
            gather_until: None,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// How the command ended, once it has.
    pub(super) fn status(&self) -> Option<WaitStatus> {
        self.status.map(|(status, _)| status)
    }

    /// When the command ended, once it has.
    pub(super) fn main_ended(&self) -> Option<Instant> {
        self.status.map(|(_, at)| at)
    }

    /// The request to stop, once there is one.
    pub(super) fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Whether nothing of the run is left: whatever lost its parent has become our child, so having none is proof.
    pub(super) fn is_childless(&self) -> bool {
        self.childless
    }

    /// Whether nobody can write any more output.
    pub(super) fn is_drained(&self) -> bool {
        self.outputs.iter().all(|output| output.pipe.is_none())
    }

    /// What became of standard output and standard error.
    pub(super) fn logs(&self) -> (&CappedLog, &CappedLog) {
        let [stdout, stderr] = &self.outputs;
        (&stdout.log, &stderr.log)
    }

    /// Waits until `done`, which it then says, or until the time that `limit` names, which may change meanwhile.
    pub(super) fn run_until(&mut self, limit: impl Fn(&Self) -> Option<Instant>, done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.reap();
            self.hear_stop_signal();
            if done(self) {
                return true;
            }
            let left = match limit(self) {
                Some(limit) => match limit.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return false,
                },
                None => None,
            };
            self.wait(left);
        }
    }

    fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if pid.as_raw_nonzero().get() == self.main && self.status.is_none() {
                        self.status = Some((status, Instant::now()));
                    }
                }
                Err(Errno::INTR) => {}
                Ok(None) => {
                    self.childless = false;
                    return;
                }
                Err(_) => {
                    self.childless = true;
                    return;
                }
            }
        }
    }

    fn hear_stop_signal(&mut self) {
        if self.wakes.terminate.swap(false, Ordering::SeqCst) {
            let request = read_stop(self.run_dir, self.claim)
                .unwrap_or_else(|| StopRequest { reason: "terminated".to_owned(), grace_ms: self.claim.stop_grace_ms });
            self.hear(request);
        }
    }

    fn hear(&mut self, request: StopRequest) {
        let ends = Instant::now().checked_add(request.grace());
        match &mut self.stop {
            Some(stop) => stop.ends = [stop.ends, ends].into_iter().flatten().min(),
            None => self.stop = Some(Stop { reason: request.reason, ends }),
        }
    }

    /// Waits once for anything at all and takes it in.
    fn wait(&mut self, left: Option<Duration>) {
        let now = Instant::now();
        // Once the command has ended there is nothing to gather for.
        let gathering = self
            .gather_until
            .filter(|_| self.status.is_none())
            .and_then(|until| until.checked_duration_since(now))
            .filter(|left| !left.is_zero());
        let limit = [left, gathering].into_iter().flatten().min().map(timespec);
        let [stdout, stderr] = &self.outputs;
        let pipes = [stdout, stderr].map(|output| output.pipe.as_ref().filter(|_| gathering.is_none()));
        let sources = [
            Some(self.wakes.signals.as_fd()),
            self.wakes.directory.as_ref().map(AsFd::as_fd),
            pipes[0].map(AsFd::as_fd),
            pipes[1].map(AsFd::as_fd),
        ];
        let mut fds = Vec::with_capacity(sources.len());
        let mut which = Vec::with_capacity(sources.len());
        for (index, fd) in sources.into_iter().enumerate() {
            if let Some(fd) = fd {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                which.push(index);
            }
        }
        if rustix::event::poll(&mut fds, limit.as_ref()).is_err() {
            // Interrupted: the signal's own byte is waiting.
            return;
        }
        let ready: Vec<usize> =
            fds.iter().zip(which).filter(|(fd, _)| !fd.revents().is_empty()).map(|(_, index)| index).collect();
        for index in ready {
            match index {
                0 => self.empty_signals(),
                1 => self.hear_directory(),
                _ => self.take_output(index - 2),
            }
        }
    }

    fn empty_signals(&mut self) {
        let mut bytes = [0; 64];
        while self.wakes.signals.read(&mut bytes).is_ok_and(|read| read == bytes.len()) {}
    }

    fn hear_directory(&mut self) {
        let Some(directory) = &self.wakes.directory else {
            return;
        };
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(directory, &mut buffer);
        while events.next().is_ok() {}
        if let Some(request) = read_stop(self.run_dir, self.claim) {
            self.hear(request);
        }
    }

    fn take_output(&mut self, index: usize) {
        let Some(output) = self.outputs.get_mut(index) else {
            return;
        };
        let Some(pipe) = &mut output.pipe else {
            return;
        };
        match pipe.read(&mut self.buffer) {
            Ok(0) => output.pipe = None,
            Ok(read) => {
                output.log.write(self.buffer.get(..read).unwrap_or_default());
                self.gather_until = (read < SMALL_READ_BYTES).then(|| Instant::now().checked_add(GATHER)).flatten();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                note(&format!("cannot read the command's output: {error}"));
                output.pipe = None;
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
