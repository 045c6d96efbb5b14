//! The terminal of a run in its host: the PTY that the program has, the emulator that it talks to, and those who look.
//!
//! All of it is driven by the host's one `poll`: this says what to wait for and until when, and does what can be done
//! then. Nothing here waits, except for the last picture's way to the viewers.

mod emulator;
#[cfg(test)]
mod emulator_tests;
mod filter;
mod guard;
mod keyboard;
mod palette;
mod prompt;
mod queue;
mod render;
mod replay;
mod serve;
mod socket;
mod viewer;

use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pipeline_lib::ids::RunId;
use pipeline_lib::terminal::{Frame, Input, Size};
use pty_process::blocking::{Pts, Pty};
use rustix::event::PollFlags;

use self::emulator::{Emulator, SLICE_BYTES};
use self::queue::Queue;
use self::socket::Socket;
use self::viewer::Viewer;
use super::logs::CappedLog;
use super::run::note;

pub use self::prompt::unsent_prompt;
pub(super) use self::prompt::{Prompt, Step};
pub use self::replay::replay;
pub use self::socket::connect;

/// Taken from the program at a time: what the kernel hands out at most. It fetches the next piece while the emulator works
/// on this one; whoever asks for that too soon waits for it.
const READ_BYTES: usize = 4095;
/// Less than this at a time means that the program writes in small pieces.
const SMALL_READ_BYTES: usize = 2 * 1024;
/// After a small piece the next ones are left to gather this long.
const GATHER: Duration = Duration::from_millis(40);
/// Or until the next picture is due, if that is no later than this.
const GATHER_MAX: Duration = Duration::from_millis(100);
/// After a large piece nothing is left to gather this long: the program would have to wait for us.
const BULK: Duration = Duration::from_millis(20);
/// The emulator works this long before something else has its turn.
const EMULATE: Duration = Duration::from_millis(5);
/// A program that has printed nothing for so long rests.
const REST: Duration = Duration::from_secs(3);
/// In the run's directory: written whenever the program begins to rest, and when it goes on. What it prints wakes nobody.
const RESTS: &str = "rests";

/// What of a terminal the host waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The program.
    Program,
    /// Those who want to look.
    Callers,
    /// One who looks.
    Viewer(usize),
}

/// The terminal.
pub(super) struct Terminal {
    run: RunId,
    /// Our side, until nobody has the other one.
    pty: Option<Pty>,
    /// The program's side, held while the program lives so that nothing it closes looks like its end.
    pts: Option<Pts>,
    emulator: Emulator,
    /// What was read last, and the part of it that the emulator has not taken in.
    buffer: Vec<u8>,
    backlog: Range<usize>,
    /// What was read last is a small piece.
    is_piece: bool,
    /// There was more than could be read at once.
    is_full: bool,
    gather_until: Option<Instant>,
    bulk_until: Option<Instant>,
    typed_until: Option<Instant>,
    queue: Queue,
    /// What is pasted once the program is ready for it.
    prompt: Option<Prompt>,
    socket: Socket,
    viewers: Vec<Viewer>,
    /// From when on the beats are counted at which pictures are sent: the same moment in all hosts.
    beats_from: Instant,
    /// How many wishes for a size there were.
    size_wishes: u64,
    /// Pictures of the present version.
    frames: Vec<Rc<Frame>>,
    frames_version: u64,
    rests: PathBuf,
    /// Since when nothing was printed, until it is said that the program rests.
    quiet_since: Option<Instant>,
}

impl Terminal {
    /// Opens a terminal that no program has yet, and begins to listen for viewers.
    pub(super) fn open(run_dir: &Path, run: RunId, size: Size) -> io::Result<Self> {
        let size = size.clamped();
        let (pty, pts) = pty_process::blocking::open().map_err(into_io)?;
        resize(&pty, size)?;
        let flags = rustix::fs::fcntl_getfl(&pty)?;
        rustix::fs::fcntl_setfl(&pty, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self {
            run,
            pty: Some(pty),
            pts: Some(pts),
            emulator: Emulator::new(size),
            buffer: vec![0; READ_BYTES],
            backlog: 0..0,
            is_piece: false,
            is_full: false,
            gather_until: None,
            bulk_until: None,
            typed_until: None,
            queue: Queue::default(),
            prompt: None,
            socket: Socket::open(run_dir)?,
            viewers: Vec::new(),
            beats_from: clock_start(),
            size_wishes: 0,
            frames: Vec::new(),
            frames_version: 0,
            rests: run_dir.join(RESTS),
            quiet_since: None,
        })
    }

    /// Pastes this, with Enter, once the program is ready for it.
    pub(super) fn prompt(&mut self, run_dir: &Path, text: String) {
        self.prompt = Some(Prompt::new(run_dir, text, self.emulator.version(), Instant::now()));
    }

    /// How large it is.
    pub(super) fn size(&self) -> Size {
        self.emulator.size()
    }

    /// Starts a command that has this for its terminal, in a session of its own.
    pub(super) fn spawn(&self, command: Command) -> io::Result<Child> {
        let pts = self.pts.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        pty_process::blocking::Command::from(command).spawn_borrowed(pts).map_err(into_io)
    }

    /// Starts what stays in front of a command that takes this for its terminal by itself, as the first of a session.
    pub(super) fn spawn_in_front(&self, mut command: Command, input: OwnedFd) -> io::Result<Child> {
        let pts = self.pts.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        for set in [Command::stdout, Command::stderr] {
            set(&mut command, Stdio::from(pts.as_fd().try_clone_to_owned()?));
        }
        command.stdin(input).process_group(0).spawn()
    }

    /// The program has ended: from here on the terminal is over once nobody else has it.
    pub(super) fn release(&mut self) {
        self.pts = None;
        self.quiet_since = None;
        self.gather_until = None;
        self.prompt = None;
    }

    /// Whether nothing more can come.
    pub(super) fn is_drained(&self) -> bool {
        self.pty.is_none() && self.backlog.is_empty()
    }

    /// Names everything to wait for.
    pub(super) fn sources<'a>(&'a self, now: Instant, mut add: impl FnMut(Source, BorrowedFd<'a>, PollFlags)) {
        if let Some(pty) = &self.pty {
            let gathering = self.gather_until.is_some_and(|until| now < until);
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.backlog.is_empty() && !gathering);
            flags.set(PollFlags::OUT, self.queue.is_ready());
            if !flags.is_empty() {
                add(Source::Program, pty.as_fd(), flags);
            }
        }
        if let Some(socket) = self.socket.as_fd() {
            add(Source::Callers, socket, PollFlags::IN);
        }
        for (index, viewer) in self.viewers.iter().enumerate() {
            add(Source::Viewer(index), viewer.as_fd(), viewer.interest());
        }
    }

    /// Until when to wait at most.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let backlog = (!self.backlog.is_empty()).then_some(now);
        let version = self.emulator.version();
        let viewers = self.viewers.iter().filter_map(|viewer| viewer.due(version, now));
        let gather = self.gather_until.filter(|until| now < *until);
        let prompt = self.prompt.as_ref().map(|prompt| prompt.deadline(self.emulator.input_modes().bracketed_paste));
        let rest = self.quiet_since.map(|since| since + REST);
        let fixed = [backlog, gather, self.emulator.sync_deadline(), self.queue.deadline(), prompt, rest];
        fixed.into_iter().flatten().chain(viewers).min()
    }

    /// Takes in what a source has. Output goes to the log first.
    pub(super) fn ready(&mut self, source: Source, log: &mut CappedLog) {
        match source {
            Source::Program => self.read(log),
            Source::Callers => self.admit(),
            Source::Viewer(index) => {
                if let Some(viewer) = self.viewers.get_mut(index) {
                    viewer.receive();
                }
            }
        }
    }

    /// Makes the socket again if somebody removed it.
    pub(super) fn restore_socket(&mut self) {
        self.socket.restore();
    }

    /// Does everything that is due. Output goes to the log first.
    pub(super) fn work(&mut self, now: Instant, log: &mut CappedLog) {
        if self.gather_until.is_some_and(|until| until <= now) {
            self.gather_until = None;
            self.read(log);
        }
        if self.quiet_since.is_some_and(|since| since + REST <= now) {
            self.quiet_since = None;
            self.say_that_it("rests");
        }
        self.emulate(now);
        // A picture is made of all that the program wrote at once.
        while self.is_full && self.backlog.is_empty() && now.elapsed() < EMULATE {
            self.read(log);
            self.emulate(now);
        }
        if self.emulator.sync_deadline().is_some_and(|deadline| deadline <= now) {
            self.emulator.end_sync();
        }
        self.serve(now);
        self.say_prompt(now);
        self.queue.answer(&self.emulator.take_answers());
        self.write(now);
        self.show(now);
        for viewer in &mut self.viewers {
            viewer.send();
        }
        self.dismiss();
        if std::mem::take(&mut self.is_piece) {
            self.gather_until = self.gathering(now);
        }
    }

    /// Reads once.
    fn read(&mut self, log: &mut CappedLog) {
        let Some(pty) = self.pty.as_mut().filter(|_| self.backlog.is_empty()) else { return };
        self.is_full = false;
        match pty.read(&mut self.buffer) {
            Ok(read) if read > 0 => {
                log.write(self.buffer.get(..read).unwrap_or_default());
                if self.quiet_since.replace(Instant::now()).is_none() {
                    self.say_that_it("prints");
                }
                self.backlog = 0..read;
                self.is_full = read == self.buffer.len();
                self.is_piece = read < SMALL_READ_BYTES;
                if !self.is_piece {
                    self.bulk_until = Instant::now().checked_add(BULK);
                }
            }
            Err(error) if is_passing(&error) => {}
            // EIO, which is how the end looks when nobody has the other side, or nothing at all.
            Ok(_) | Err(_) => {
                self.pty = None;
                self.queue.clear();
            }
        }
    }

    /// Tells those who watch the directory. Whoever misses it looks a little later.
    fn say_that_it(&self, does: &str) {
        if let Err(error) = std::fs::write(&self.rests, does) {
            note(&format!("cannot write {RESTS}: {error}"));
        }
    }

    /// Until when to leave the program alone.
    fn gathering(&self, now: Instant) -> Option<Instant> {
        let is_before = |until: Option<Instant>| until.is_some_and(|until| now < until);
        if self.pts.is_none() || is_before(self.bulk_until) || is_before(self.typed_until) {
            return None;
        }
        // The next picture is made of what has come until then.
        let due = self.viewers.iter().filter_map(Viewer::may_be_due).min();
        let soon = due.filter(|due| *due > now && due.duration_since(now) <= GATHER_MAX);
        soon.or_else(|| now.checked_add(GATHER))
    }

    /// Gives the emulator its time.
    fn emulate(&mut self, now: Instant) {
        while !self.backlog.is_empty() {
            let end = self.backlog.end.min(self.backlog.start + SLICE_BYTES);
            self.emulator.feed(self.buffer.get(self.backlog.start..end).unwrap_or_default());
            self.backlog.start = end;
            if now.elapsed() > EMULATE {
                break;
            }
        }
        let answers = self.emulator.take_answers();
        if !answers.is_empty() {
            // The program waits for them, and goes on then.
            self.is_piece = false;
            self.queue.answer(&answers);
        }
    }

    /// Pastes the prompt when it is time for that.
    fn say_prompt(&mut self, now: Instant) {
        let Some(mut prompt) = self.prompt.take() else { return };
        let reading = self.emulator.input_modes().bracketed_paste;
        let step = match prompt.step(self.emulator.version(), reading, now) {
            Step::Paste(text) => match self.input(&Input::Paste { text, submit: true }, now) {
                Ok(()) => Step::Wait,
                Err(why) => prompt.fail(why),
            },
            other => other,
        };
        self.prompt = Some(prompt).filter(|_| step != Step::Over);
    }

    /// Gives the terminal another size, and tells the program.
    fn resize(&mut self, size: Size) {
        let size = size.clamped();
        if size == self.emulator.size() {
            return;
        }
        if let Some(pty) = &self.pty
            && let Err(error) = resize(pty, size)
        {
            note(&format!("cannot resize the terminal: {error}"));
            return;
        }
        self.emulator.resize(size);
    }

    fn write(&mut self, now: Instant) {
        if let Some(pty) = &self.pty
            && let Err(error) = self.queue.write(now, pty)
        {
            note(&format!("cannot write to the program: {error}"));
            self.queue.clear();
        }
    }
}

fn resize(pty: &Pty, size: Size) -> io::Result<()> {
    pty.resize(pty_process::Size::new(size.rows, size.columns)).map_err(into_io)
}

/// When the clock that all processes share began; now where that is not known.
fn clock_start() -> Instant {
    let (now, time) = (Instant::now(), rustix::time::clock_gettime(rustix::time::ClockId::Monotonic));
    let since = Duration::try_from(time).ok();
    since.and_then(|since| now.checked_sub(since)).unwrap_or(now)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn into_io(error: pty_process::Error) -> io::Error {
    if let pty_process::Error::Io(error) = error {
        error
    } else if let pty_process::Error::Rustix(errno) = error {
        errno.into()
    } else {
        // What is left is of its other interface.
        io::Error::other(error)
    }
}
