//! What a host waits for: its children, their output, signals and requests to stop, and the terminal where there is one,
//! all in one `poll`.
//!
//! It gathers what happened. What follows from that is decided by its caller.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pipeline_lib::terminal::Size;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::logs::CappedLog;
use super::records::{Claim, StopRequest};
use super::run::{note, read_stop};
use super::terminal::{self, Terminal};
use super::tmux::Inside;
use super::wakes::Wakes;

const BUFFER_BYTES: usize = 64 * 1024;
/// A read shorter than this means that the command writes in small pieces.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// After a small piece the next ones are left to gather this long, which costs a third of taking each by itself.
const GATHER: Duration = Duration::from_millis(10);
/// What the command can write meanwhile without waiting for us.
const PIPE_BYTES: usize = 256 * 1024;

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
    /// Something was read from it.
    is_used: bool,
    log: CappedLog,
}

/// What can be ready.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Directory,
    Output(usize),
    /// Nobody can write any more, and everything was read.
    Drained(usize),
    Terminal(terminal::Source),
    Pane,
}

/// The state of a run in its host.
pub(super) struct Supervisor<'a> {
    run_dir: &'a Path,
    claim: &'a Claim,
    main: i32,
    status: Option<(WaitStatus, Instant)>,
    childless: bool,
    wakes: &'a Wakes,
    outputs: [Output; 2],
    /// What the command has instead of pipes.
    terminal: Option<Terminal>,
    /// Or this, and one pipe for what is printed there.
    pane: Option<Inside>,
    stop: Option<Stop>,
    gather_until: Option<Instant>,
    buffer: Vec<u8>,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        run_dir: &'a Path,
        claim: &'a Claim,
        main: i32,
        wakes: &'a Wakes,
        outputs: [(Option<OwnedFd>, CappedLog); 2],
        (terminal, pane): (Option<Terminal>, Option<Inside>),
    ) -> Self {
        Self {
            run_dir,
            claim,
            main,
            status: None,
            childless: false,
            wakes,
            outputs: outputs.map(|(pipe, log)| Output { pipe: pipe.map(File::from), is_used: false, log }),
            terminal,
            pane,
            stop: None,
            gather_until: None,
            buffer: Vec::new(),
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
        if self.pane.as_ref().is_some_and(Inside::is_drained) {
            return true;
        }
        let terminal = self.terminal.as_ref().is_none_or(Terminal::is_drained);
        terminal && self.outputs.iter().all(|output| output.pipe.is_none())
    }

    /// Nothing of the run is left that could print anything: what is on its way is the end of it.
    pub(super) fn end_output(&mut self) {
        if let Some(pane) = &mut self.pane {
            pane.end(self.claim.run.as_str());
        }
    }

    /// Takes what was held back.
    pub(super) fn take_rest(&mut self) {
        let [stdout, _] = &mut self.outputs;
        if let Some(pane) = &mut self.pane {
            stdout.log.write(&pane.rest());
        }
        for output in &mut self.outputs {
            output.log.finish();
        }
    }

    /// Whether the command's terminal was taken away. A host's own never is.
    pub(super) fn has_lost_terminal(&self) -> bool {
        self.pane.as_ref().is_some_and(Inside::is_gone)
    }

    /// The size of the command's terminal, if it has one.
    pub(super) fn terminal_size(&self) -> Option<Size> {
        self.terminal.as_ref().map(Terminal::size).or_else(|| self.pane.as_ref().map(Inside::size))
    }

    /// What of the terminal outlives the run: those who look at it.
    pub(super) fn into_terminal(self) -> Option<Terminal> {
        self.terminal
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
            // Only in a pane can somebody stop what nobody would let go on.
            let stops = if self.pane.is_some() { WaitOptions::UNTRACED } else { WaitOptions::empty() };
            match rustix::process::wait(WaitOptions::NOHANG | stops) {
                Ok(Some((pid, status))) if status.stopped() => self.resume(pid, status),
                Ok(Some((pid, status))) => {
                    if pid.as_raw_nonzero().get() == self.main && self.status.is_none() {
                        self.status = Some((status, Instant::now()));
                        if let Some(terminal) = &mut self.terminal {
                            terminal.release();
                        }
                        if let Some(pane) = &mut self.pane {
                            pane.release();
                        }
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

    fn resume(&mut self, pid: Pid, status: WaitStatus) {
        if pid.as_raw_nonzero().get() == self.main
            && let Some(pane) = &mut self.pane
        {
            pane.resume(pid, status.stopping_signal());
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
        let gathering = self.gather_until.filter(|until| self.status.is_none() && now < *until);
        let terminal = self.terminal.as_ref().and_then(|terminal| terminal.deadline(now));
        let pane = self.pane.as_ref().and_then(Inside::deadline);
        let wake = [gathering, terminal, pane].into_iter().flatten().min();
        let limit = [left, wake.map(|wake| wake.saturating_duration_since(now))].into_iter().flatten().min();
        let ready = self.poll(now, gathering.is_some(), limit);
        for source in &ready {
            match source {
                Source::Signals => self.empty_signals(),
                Source::Directory => self.hear_directory(),
                Source::Output(index) => self.take_output(*index),
                Source::Drained(index) => self.end_pipe(*index),
                Source::Terminal(_) => {}
                Source::Pane => {
                    if let Some(pane) = &mut self.pane {
                        pane.lose();
                    }
                }
            }
        }
        if let Some(pane) = &mut self.pane {
            pane.work(Instant::now());
        }
        let [stdout, _] = &mut self.outputs;
        if let Some(terminal) = &mut self.terminal {
            for source in ready {
                if let Source::Terminal(source) = source {
                    terminal.ready(source, &mut stdout.log);
                }
            }
            terminal.work(Instant::now(), &mut stdout.log);
        }
    }

    /// What is ready, once something is or the time is over.
    fn poll<'s>(&'s self, now: Instant, gathering: bool, limit: Option<Duration>) -> Vec<Source> {
        let mut fds = Vec::new();
        let mut sources = Vec::new();
        let mut add = |source, fd: BorrowedFd<'s>, flags| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            sources.push(source);
        };
        add(Source::Signals, self.wakes.signals.as_fd(), PollFlags::IN);
        if let Some(directory) = &self.wakes.directory {
            add(Source::Directory, directory.as_fd(), PollFlags::IN);
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if let Some(pipe) = output.pipe.as_ref().filter(|_| !gathering) {
                add(Source::Output(index), pipe.as_fd(), PollFlags::IN);
            }
        }
        if let Some(pane) = self.pane.as_ref().and_then(Inside::as_fd) {
            add(Source::Pane, pane, PollFlags::empty());
        }
        if let Some(terminal) = &self.terminal {
            terminal.sources(now, |source, fd, flags| add(Source::Terminal(source), fd, flags));
        }
        if rustix::event::poll(&mut fds, limit.map(timespec).as_ref()).is_err() {
            // Interrupted: the signal's own byte is waiting.
            return Vec::new();
        }
        let heard = fds.iter().zip(sources).filter(|(fd, _)| !fd.revents().is_empty());
        let is_at_end = |fd: &PollFd<'_>| fd.revents() == PollFlags::HUP;
        let source = |(fd, source): (&PollFd<'_>, Source)| match source {
            Source::Output(index) if is_at_end(fd) => Source::Drained(index),
            other => other,
        };
        heard.map(source).collect()
    }

    fn empty_signals(&mut self) {
        self.wakes.empty_signals();
        if self.wakes.of_place && self.status.is_none() {
            self.hear_request();
        }
        self.restore_socket();
    }

    fn restore_socket(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.restore_socket();
        }
    }

    fn hear_directory(&mut self) {
        self.wakes.empty_directory();
        self.hear_request();
        self.restore_socket();
    }

    fn hear_request(&mut self) {
        if let Some(request) = read_stop(self.run_dir, self.claim) {
            self.hear(request);
        }
    }

    fn end_pipe(&mut self, index: usize) {
        if let Some(output) = self.outputs.get_mut(index) {
            output.pipe = None;
            // A command that is ending closes one after the other, and is over a moment later if it has its turn.
            rustix::thread::sched_yield();
        }
    }

    fn take_output(&mut self, index: usize) {
        let Some(output) = self.outputs.get_mut(index) else {
            return;
        };
        let Some(pipe) = &mut output.pipe else {
            return;
        };
        if !output.is_used {
            output.is_used = true;
            // Many commands print nothing. The default size works too, only with more waiting on both sides.
            rustix::pipe::fcntl_setpipe_size(&*pipe, PIPE_BYTES).unwrap_or_default();
            self.buffer.resize(BUFFER_BYTES, 0);
        }
        match pipe.read(&mut self.buffer) {
            Ok(0) => output.pipe = None,
            Ok(read) => {
                let printed = self.buffer.get(..read).unwrap_or_default();
                match &mut self.pane {
                    Some(pane) if index == 0 => output.log.write(&pane.printed(printed)),
                    Some(_) | None => output.log.write(printed),
                }
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

/// A time as the system takes it.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
