//! The pane of a run in its host: the terminal that the agent has, the end of what it printed, and the text that it is
//! given once it reads.
//!
//! The host leaves the pane's terminal to the agent. It never reads it, and writes to it once, when nobody else does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pipeline_lib::terminal::Size;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};
use rustix::termios::LocalModes;

use super::super::files::{self, HOST_LOG};
use super::super::records::Claim;
use super::super::run::note;
use super::super::supervise::timespec;
use super::super::terminal::{Prompt, Step};
use super::Multiplexer;
use super::client::{Pane, PaneRecord};

/// Tells a host that it is the process of a pane.
pub(super) const IN_PANE: &str = "PIPELINE_HOST_IN_PANE";
/// What an agent is told of its terminal, unless the claim says something else. Where the server is it is not told.
pub(in super::super) const VARIABLES: [(&str, &str); 2] = [("TERM", "tmux-256color"), ("COLORTERM", "truecolor")];
/// How long tmux has to connect the pane's output.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// The first byte that comes through the pipe: from here on its end is tmux's.
const CONNECTED: u8 = b'.';
/// How often an agent that stopped itself is told to go on.
const RESUMED_MAX: u32 = 1_000;
/// A program that knows what pasting is says so like this.
const READING: [(&[u8], bool); 2] = [(b"\x1b[?2004h", true), (b"\x1b[?2004l", false)];

/// The terminal that a host was started in.
#[derive(Debug)]
pub(in super::super) struct Tty(OwnedFd);

/// Leaves the terminal of a pane to the agent: what the host says goes to its log. Nothing where there is none.
pub(in super::super) fn leave(run_dir: &Path) -> Option<Tty> {
    std::env::var_os(IN_PANE)?;
    let stdin = rustix::stdio::stdin();
    if !rustix::termios::isatty(stdin) {
        return None;
    }
    let left = || -> io::Result<OwnedFd> {
        let tty = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
        let null = File::open("/dev/null")?;
        let log = files::open_append(&run_dir.join(HOST_LOG)).map_err(io::Error::other)?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&log)?;
        rustix::stdio::dup2_stderr(&log)?;
        Ok(tty)
    };
    match left() {
        Ok(tty) => Some(Tty(tty)),
        Err(error) => {
            note(&format!("cannot leave the pane's terminal: {error}"));
            None
        }
    }
}

/// A pane from inside.
pub(in super::super) struct Inside {
    pane: Pane,
    /// The agent's terminal.
    tty: OwnedFd,
    /// The same, opened by us, so that a full terminal holds nobody up.
    own: File,
    size: Size,
    prompt: Option<Prompt>,
    /// Counts what the agent printed.
    version: u64,
    /// The agent has asked for pastes to be marked.
    reading: bool,
    /// The end of what it printed last, in which something may have begun that goes on.
    tail: Vec<u8>,
    ending: Option<Ending>,
    is_gone: bool,
    resumed: u32,
}

/// The rest of what was printed, up to a mark that we printed ourselves.
struct Ending {
    mark: Vec<u8>,
    held: Vec<u8>,
    is_over: bool,
}

impl Inside {
    /// Takes over the pane that this process was started in; the other part is what the agent will print.
    pub(in super::super) fn open(
        run_dir: &Path,
        claim: &Claim,
        multiplexer: &Multiplexer,
        tty: Tty,
    ) -> Result<(Self, OwnedFd), String> {
        let text = |error: &dyn std::error::Error| format!("cannot use the pane of tmux: {error}");
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("tmux has not set {name}"));
        let server = variable("TMUX")?;
        // Its process and its session come after the socket, which may hold commas itself.
        let socket = server.rsplitn(3, ',').last().unwrap_or_default().into();
        let session = super::session_name(claim.run.as_str());
        let record = PaneRecord { socket, session, pane: variable("TMUX_PANE")? };
        let own = reopen(&tty.0).map_err(|error| text(&error))?;
        let pane = Pane::record(run_dir, multiplexer, record).map_err(|error| text(&error))?;
        let output = connect(&pane).map_err(|error| text(&error))?;
        let prompt = claim.prompt.as_ref().map(|prompt| Prompt::new(run_dir, prompt.clone(), 0, Instant::now()));
        let size = claim.terminal.unwrap_or(Size::UNSEEN);
        let mut inside = Self {
            pane,
            tty: tty.0,
            own,
            size,
            prompt,
            version: 0,
            reading: false,
            tail: Vec::new(),
            ending: None,
            is_gone: false,
            resumed: 0,
        };
        inside.measure();
        Ok((inside, output))
    }

    /// Starts a command that has the pane's terminal, in a group of its own that gets the keys. Its input may be another.
    pub(in super::super) fn spawn(&self, mut command: Command, input: Option<OwnedFd>) -> io::Result<Child> {
        for set in [Command::stdin, Command::stdout, Command::stderr] {
            set(&mut command, Stdio::from(self.tty.try_clone()?));
        }
        if let Some(input) = input {
            command.stdin(input);
        }
        let child = command.process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        // One that has ended already needs no keys.
        if let Err(error) = rustix::termios::tcsetpgrp(&self.tty, group)
            && !matches!(error, rustix::io::Errno::SRCH | rustix::io::Errno::PERM)
        {
            note(&format!("the agent does not get the keys of its pane: {error}"));
        }
        // It may have asked for keys before it had them, which stopped it.
        rustix::process::kill_process_group(group, Signal::CONT).unwrap_or_default();
        Ok(child)
    }

    /// The agent was stopped by its terminal. There is no shell to which it could return, so it goes on.
    pub(in super::super) fn resume(&mut self, agent: Pid, signal: Option<i32>) {
        let by_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
        if signal.is_some_and(|signal| by_terminal.contains(&signal)) && self.resumed < RESUMED_MAX {
            self.resumed += 1;
            rustix::process::kill_process_group(agent, Signal::CONT).unwrap_or_default();
        }
    }

    /// What to wait for: the loss of the terminal.
    pub(in super::super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_gone).then(|| self.own.as_fd())
    }

    /// The terminal is lost: somebody ended the session, or the server.
    pub(in super::super) fn lose(&mut self) {
        if !self.is_gone {
            note("the pane's terminal is gone");
            self.is_gone = true;
            self.prompt = None;
        }
    }

    /// Whether the terminal is lost.
    pub(in super::super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// The agent has ended.
    pub(in super::super) fn release(&mut self) {
        self.prompt = None;
    }

    /// Takes note of what was printed. The answer is what of it belongs into the log.
    pub(in super::super) fn printed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if let Some(ending) = &mut self.ending {
            ending.held.extend_from_slice(bytes);
            let mark = ending.held.windows(ending.mark.len()).rposition(|these| these == ending.mark);
            let Some(at) = mark else { return Vec::new() };
            ending.is_over = true;
            let mut rest = std::mem::take(&mut ending.held);
            rest.drain(at..at + ending.mark.len());
            return rest;
        }
        self.version += 1;
        self.measure();
        self.tail.extend_from_slice(bytes);
        let last = |mark: &[u8]| self.tail.windows(mark.len()).rposition(|these| these == mark);
        if let Some((_, reading)) = READING.map(|(mark, reading)| (last(mark), reading)).into_iter().max()
            && READING.iter().any(|(mark, _)| last(mark).is_some())
        {
            self.reading = reading;
        }
        let keep = READING[0].0.len() - 1;
        self.tail.drain(..self.tail.len().saturating_sub(keep));
        bytes.to_vec()
    }

    /// Nothing of the run is left: prints a mark that no terminal shows, behind which nothing comes. What is held back of
    /// the output until then is what [`Self::rest`] gives.
    pub(in super::super) fn end(&mut self, seed: &str) {
        self.measure();
        let mark = format!("\x1b]7761;{seed}\x07").into_bytes();
        let stops =
            rustix::termios::tcgetattr(&self.own).is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP));
        let written = if stops { None } else { rustix::io::write(&self.own, &mark).ok() };
        if written == Some(mark.len()) {
            self.ending = Some(Ending { mark, held: Vec::new(), is_over: false });
        }
    }

    /// Whether nothing more can come.
    pub(in super::super) fn is_drained(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.is_over)
    }

    /// What was held back though the mark never came.
    pub(in super::super) fn rest(&mut self) -> Vec<u8> {
        self.ending.as_mut().map(|ending| std::mem::take(&mut ending.held)).unwrap_or_default()
    }

    /// Until when to wait at most.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        self.prompt.as_ref().map(|prompt| prompt.deadline(self.reading))
    }

    /// Gives the agent its prompt when it is time for that.
    pub(in super::super) fn work(&mut self, now: Instant) {
        let Some(mut prompt) = self.prompt.take() else { return };
        let step = match prompt.step(self.version, self.reading, now) {
            Step::Paste(text) => match self.pane.begin_paste(&text) {
                Ok(()) => Step::Wait,
                Err(error) => prompt.fail(&error.to_string()),
            },
            other => other,
        };
        self.prompt = Some(prompt).filter(|_| step != Step::Over);
    }

    /// How large the terminal is, or was.
    pub(in super::super) fn size(&self) -> Size {
        self.size
    }

    fn measure(&mut self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.own)
            && size.ws_row > 0
        {
            self.size = Size { columns: size.ws_col, rows: size.ws_row }.clamped();
        }
    }
}

/// Opens a terminal once more, so that what we set there is set for us alone.
fn reopen(tty: &OwnedFd) -> io::Result<File> {
    let name = rustix::termios::ttyname(tty, Vec::new())?;
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let path = name.to_str().map_err(io::Error::other)?;
    OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Has everything that is printed in the pane come to us. The pipe needs no name: tmux's side of it is found through us.
fn connect(pane: &Pane) -> io::Result<OwnedFd> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&theirs);
    let line = format!(
        "exec 2>/dev/null; exec >/proc/{}/fd/{number} && printf {} && exec cat",
        std::process::id(),
        char::from(CONNECTED)
    );
    pane.pipe(&line).map_err(io::Error::other)?;
    let limit = timespec(CONNECT_WAIT);
    let until = Instant::now() + CONNECT_WAIT;
    let mut byte = [0];
    while rustix::event::poll(&mut [PollFd::new(&ours, PollFlags::IN)], Some(&limit)).is_err() {
        if Instant::now() >= until {
            break;
        }
    }
    rustix::io::ioctl_fionbio(&ours, true)?;
    let read = rustix::io::read(&ours, &mut byte).unwrap_or(0);
    rustix::io::ioctl_fionbio(&ours, false)?;
    match (read, byte) {
        (1, [CONNECTED]) => Ok(ours),
        _ => Err(io::Error::other("its output was not connected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_noticed_though_it_comes_in_pieces() {
        let mut inside = inside();
        for (bytes, reading) in [
            (b"\x1b[?20".as_slice(), false),
            (b"04h$ ", true),
            (b"\x1b[?2004l\r\nbusy", false),
            (b"\x1b[?2004l\x1b[?2004h", true),
            (b"more", true),
        ] {
            assert_eq!(inside.printed(bytes), bytes);
            assert_eq!(inside.reading, reading, "{bytes:?}");
        }
        assert_eq!(inside.version, 5);
    }

    #[test]
    fn the_mark_ends_the_output_and_is_not_part_of_it() {
        let mut inside = inside();
        inside.ending = Some(Ending { mark: b"<end>".to_vec(), held: Vec::new(), is_over: false });
        assert_eq!(inside.printed(b"last wor"), b"");
        assert_eq!(inside.printed(b"ds<en"), b"");
        assert!(!inside.is_drained());
        assert_eq!(inside.printed(b"d>"), b"last words");
        assert!(inside.is_drained() && inside.rest().is_empty());
        inside.ending = Some(Ending { mark: b"<end>".to_vec(), held: b"cut".to_vec(), is_over: false });
        assert_eq!(inside.rest(), b"cut");
    }

    fn inside() -> Inside {
        let multiplexer = Multiplexer {
            program: "tmux".into(),
            server: "x".to_owned(),
            env: Default::default(),
            whose: String::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let record = PaneRecord { socket: "/x".into(), session: "R-1".to_owned(), pane: "%0".to_owned() };
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
        Inside {
            pane: Pane::record(dir.path(), &multiplexer, record).unwrap(),
            tty: null().into(),
            own: null(),
            size: Size::UNSEEN,
            prompt: None,
            version: 0,
            reading: false,
            tail: Vec::new(),
            ending: None,
            is_gone: false,
            resumed: 0,
        }
    }
}
