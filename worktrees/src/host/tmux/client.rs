//! Talking to tmux: each time a client of its own, which is given its words one by one and never a shell, is waited for
//! with a limit, and names its target exactly.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use pipeline_lib::terminal::capture::{STATE, State};
use pipeline_lib::terminal::keys::{self, InputModes};
use pipeline_lib::terminal::{Frame, Input, Line, Size};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::super::HostError;
use super::super::files::{self, CLAIM};
use super::super::records::Claim;
use super::super::supervise::timespec;
use super::Multiplexer;
use super::start::status_left;

/// The record of which pane a run's terminal is.
const PANE: &str = "pane.json";
/// How long tmux may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Enter is pressed so long after a paste, in seconds: sooner, programs take it for a part of that.
const ENTER_AFTER_PASTE: &str = "0.15";
/// Bytes that are typed with one word to tmux.
const TYPED_BYTES_MAX: usize = 512;

/// Which pane a run's terminal is: written by its host before the command begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaneRecord {
    /// The server's socket.
    pub(super) socket: PathBuf,
    /// The session.
    pub(super) session: String,
    /// The pane.
    pub(super) pane: String,
}

/// The pane of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    multiplexer: Multiplexer,
    record: PaneRecord,
}

/// What is to be seen of a pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// How it is.
    pub state: State,
    /// How many lines above the present screen is the first row.
    pub offset: usize,
    printed: String,
}

impl Shown {
    /// The picture; see [`State::frame`].
    #[must_use]
    pub fn frame(&self, scrolled: u64) -> Frame {
        self.state.frame(&self.printed, self.offset, scrolled)
    }
}

/// The pane that is the terminal of a run; none where its terminal is not tmux's.
///
/// # Errors
/// [`HostError::TerminalGone`] where the run has not begun, and when a record cannot be read.
pub fn pane(run_dir: &Path) -> Result<Option<Pane>, HostError> {
    let Some(multiplexer) = files::read::<Claim>(run_dir, CLAIM)?.and_then(|claim| claim.multiplexer) else {
        return Ok(None);
    };
    match files::read(run_dir, PANE)? {
        Some(record) => Ok(Some(Pane { multiplexer, record })),
        None => Err(HostError::TerminalGone { run_dir: run_dir.to_owned() }),
    }
}

impl Pane {
    /// Says in a run's directory which pane its terminal is.
    pub(super) fn record(run_dir: &Path, multiplexer: &Multiplexer, record: PaneRecord) -> Result<Self, HostError> {
        files::replace(run_dir, PANE, &record, false)?;
        Ok(Self { multiplexer: multiplexer.clone(), record })
    }

    /// This pane and no other, whatever names others have.
    fn target(&self) -> String {
        format!("={}:.{}", self.record.session, self.record.pane)
    }

    fn client(&self) -> Command {
        let mut command = client(&self.multiplexer);
        command.arg("-S").arg(&self.record.socket);
        command
    }

    /// What it shows, so many lines above the present screen as `offset` says of its state.
    ///
    /// # Errors
    /// When tmux does not answer, or has no such pane.
    pub fn capture(&self, offset: impl FnOnce(&State) -> usize) -> Result<Shown, HostError> {
        let target = self.target();
        let look = ["display-message", "-p", "-t", &target, STATE];
        let capture = ["capture-pane", "-p", "-e", "-N", "-t", &target];
        let mut command = self.client();
        command.args(look).arg(";").args(capture);
        let mut shown = self.shown(&run(command, None)?)?;
        let offset = offset(&shown.state).min(shown.state.history);
        if offset > 0 {
            let first = format!("-{offset}");
            let last = (i64::from(shown.state.size.rows) - 1 - i64::try_from(offset).unwrap_or(i64::MAX)).to_string();
            let mut command = self.client();
            command.args(look).arg(";").args(capture).args(["-S", &first, "-E", &last]);
            shown = Shown { offset, ..self.shown(&run(command, None)?)? };
        }
        Ok(shown)
    }

    fn shown(&self, answer: &[u8]) -> Result<Shown, HostError> {
        let text = String::from_utf8_lossy(answer);
        let (first, printed) = text.split_once('\n').unwrap_or((&text, ""));
        // Where the target is gone tmux speaks of another pane.
        let ours = |state: &State| state.session == self.record.session && state.pane == self.record.pane;
        match State::parse(first).filter(ours) {
            Some(state) => Ok(Shown { state, offset: 0, printed: printed.to_owned() }),
            None => Err(failed(format!("has no session {} any more", self.record.session))),
        }
    }

    /// All that is kept of what it showed, oldest line first, without looks.
    ///
    /// # Errors
    /// When tmux does not answer, or has no such pane.
    pub fn lines(&self) -> Result<Vec<Line>, HostError> {
        let mut command = self.client();
        command.args(["capture-pane", "-p", "-t", &self.target(), "-S", "-", "-E", "-"]);
        let answer = run(command, None)?;
        let text = String::from_utf8_lossy(&answer);
        let mut reader = pipeline_lib::terminal::sgr::Reader::default();
        Ok(text.lines().map(|line| reader.line(line)).collect())
    }

    /// Types, pastes or clicks, once for all of them. `modes` is what the program has asked for.
    ///
    /// # Errors
    /// When tmux does not answer, or has no such pane.
    pub fn input(&self, inputs: &[Input], modes: &InputModes) -> Result<(), HostError> {
        let mut typed = Vec::new();
        for input in inputs {
            if let Input::Paste { text, submit } = input {
                self.type_bytes(&std::mem::take(&mut typed))?;
                let (command, text) = self.pasting(text, *submit);
                run(command, Some(&text))?;
            } else {
                typed.extend(keys::encode(input, modes));
            }
        }
        self.type_bytes(&typed)
    }

    /// Bytes reach the program as they are: none of them is a word of tmux.
    fn type_bytes(&self, bytes: &[u8]) -> Result<(), HostError> {
        for bytes in bytes.chunks(TYPED_BYTES_MAX) {
            let mut command = self.client();
            self.leave_modes(&mut command).args(["send-keys", "-t", &self.target(), "-H"]);
            command.args(bytes.iter().map(|byte| format!("{byte:02x}")));
            run(command, None)?;
        }
        Ok(())
    }

    /// A person who scrolled back there has left the pane in a mode, in which keys would mean something else.
    fn leave_modes<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["copy-mode", "-q", "-t", &self.target(), ";"])
    }

    /// Pastes what stands on the standard input: marked as a paste where the program knows that, with Enter on request.
    fn pasting(&self, text: &str, submit: bool) -> (Command, Vec<u8>) {
        let text = keys::encode(&Input::Paste { text: text.to_owned(), submit }, &InputModes::default());
        let target = self.target();
        let mut command = self.client();
        if !text.is_empty() {
            // Buffers are those of the whole server, and somebody else may paste at this moment.
            let buffer = format!("pipeline-{}-{:?}", std::process::id(), std::thread::current().id());
            self.leave_modes(&mut command).args(["load-buffer", "-b", &buffer, "-", ";"]);
            command.args(["paste-buffer", "-p", "-r", "-d", "-b", &buffer, "-t", &target]);
        }
        if submit {
            if !text.is_empty() {
                command.args([";", "run-shell", "-d", ENTER_AFTER_PASTE, ";"]);
            }
            command.args(["send-keys", "-t", &target, "-H", "0d"]);
        }
        (command, text)
    }

    /// Begins to paste a text with Enter, and does not wait for that.
    pub(super) fn begin_paste(&self, text: &str) -> Result<(), HostError> {
        let (mut command, text) = self.pasting(text, true);
        let mut begin = || {
            command.stdin(memory(Some(&text))?).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().map(drop)
        };
        begin().map_err(|error| missing(&self.multiplexer.program, &error))
    }

    /// Gives it another size, unless somebody is attached to it, whose terminal says how large it is.
    ///
    /// # Errors
    /// When tmux does not answer, or has no such pane.
    pub fn resize(&self, size: Size) -> Result<(), HostError> {
        let Size { columns, rows } = size.clamped();
        let window = format!("={}:", self.record.session);
        let resize = format!("resize-window -t {window} -x {columns} -y {rows}");
        let mut command = self.client();
        command.args(["if-shell", "-F", "-t", &self.target(), "#{session_attached}", "", &resize]);
        run(command, None).map(drop)
    }

    /// Has the pane's output go to a command of the shell as well.
    pub(super) fn pipe(&self, command_line: &str) -> Result<(), HostError> {
        let mut command = self.client();
        command.args(["pipe-pane", "-O", "-t", &self.target(), command_line]);
        run(command, None).map(drop)
    }

    /// What shows it to a person in a terminal, `nested` in another tmux, until they detach or it ends; `-N` so that no other server is begun.
    #[must_use]
    pub fn attach(&self, read_only: bool, nested: bool) -> Command {
        let mut command = Command::new(&self.multiplexer.program);
        command.env_remove("TMUX").env_remove("TMUX_PANE").args(self.attach_words(read_only, nested));
        command
    }

    fn attach_words(&self, read_only: bool, nested: bool) -> Vec<OsString> {
        let mut words = vec![OsString::from("-N"), OsString::from("-S"), self.record.socket.clone().into_os_string()];
        // The way out, for the terminal that it is shown in now.
        words.extend(["set-option", "-t", &format!("={}:", self.record.session), "status-left"].map(OsString::from));
        words.push(OsString::from(status_left(&self.multiplexer.whose, nested)));
        words.push(OsString::from(";"));
        words.extend(["attach-session", "-t", &format!("={}", self.record.session)].map(OsString::from));
        words.extend(read_only.then(|| OsString::from("-r")));
        words
    }

    /// The same as a person types it in a shell.
    #[must_use]
    pub fn attach_line(&self) -> String {
        let program = self.multiplexer.program.to_string_lossy();
        let words = [program.as_ref(), "-S", &self.record.socket.to_string_lossy(), "attach", "-t"].map(quoted);
        // Some shells take a word that begins like this for a program's path.
        format!("{} '={}'", words.join(" "), self.record.session)
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.+:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A client that knows no configuration and no server yet.
pub(super) fn client(multiplexer: &Multiplexer) -> Command {
    let mut command = Command::new(&multiplexer.program);
    command.env_clear().envs(&multiplexer.env).current_dir("/").args(["-f", "/dev/null"]);
    command
}

/// A word that does not end the command of tmux it is in.
pub(super) fn word(text: &OsStr) -> OsString {
    match text.as_encoded_bytes().strip_suffix(b";").and_then(|_| text.to_str()) {
        Some(text) => OsString::from(format!("{}\\;", text.strip_suffix(';').unwrap_or(text))),
        None => text.to_owned(),
    }
}

fn failed(message: String) -> HostError {
    HostError::Tmux { message, missing: false }
}

fn missing(program: &Path, error: &io::Error) -> HostError {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let why = if missing { "is not there".to_owned() } else { format!("cannot be started: {error}") };
    let program = program.display();
    HostError::Tmux {
        message: format!(
            "{why} ({program}); install tmux {}.{} or newer, or write runtime = \"host\"",
            super::VERSION_MIN.0,
            super::VERSION_MIN.1
        ),
        missing,
    }
}

/// Runs a client to its end. The answer is what it printed.
pub(super) fn run(mut command: Command, input: Option<&[u8]>) -> Result<Vec<u8>, HostError> {
    let program = PathBuf::from(command.get_program());
    let prepare = || io::Result::Ok((memory(input)?, memory(None)?, memory(None)?));
    let (input, mut output, mut errors) = prepare().map_err(|error| failed(format!("cannot be asked: {error}")))?;
    let copy = |file: &File| file.try_clone().map_err(|error| failed(format!("cannot be asked: {error}")));
    command.stdin(input).stdout(copy(&output)?).stderr(copy(&errors)?);
    let mut child = command.spawn().map_err(|error| missing(&program, &error))?;
    let ended = wait(&mut child, ANSWER_WAIT).map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    let Some(status) = ended else {
        // It is waited for so that nothing of it stays; if that fails there is nothing left to do.
        drop(child.kill());
        drop(child.wait());
        return Err(failed(format!("does not answer within {} s", ANSWER_WAIT.as_secs())));
    };
    if !status.success() {
        let said = String::from_utf8_lossy(&read_back(&mut errors)).trim().to_owned();
        let said = if said.is_empty() { status.to_string() } else { said };
        return Err(failed(format!("refuses: {}", pipeline_lib::text::one_line(&said, 300))));
    }
    Ok(read_back(&mut output))
}

/// A file in memory that holds this, at its beginning.
fn memory(content: Option<&[u8]>) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("tmux", MemfdFlags::CLOEXEC)?);
    file.write_all(content.unwrap_or_default())?;
    file.rewind()?;
    Ok(file)
}

fn read_back(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read of an answer is missed by whoever reads it.
    drop(file.rewind().and_then(|()| file.read_to_end(&mut bytes)));
    bytes
}

/// The end of a child, if it comes soon.
fn wait(child: &mut std::process::Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let handle = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // An interruption only shortens the wait.
        rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timespec(left))).unwrap_or_default();
    }
}

/// The version of a tmux, major and minor.
///
/// # Errors
/// When it is missing, or does not say one.
pub fn version(multiplexer: &Multiplexer) -> Result<(u32, u32), HostError> {
    let mut command = Command::new(&multiplexer.program);
    command.env_clear().envs(&multiplexer.env).arg("-V");
    let answer = run(command, None)?;
    let text = String::from_utf8_lossy(&answer).trim().to_owned();
    parse_version(&text).ok_or_else(|| failed(format!("does not say its version: {text}")))
}

/// Major and minor version in an answer such as `tmux 3.3a` or `tmux next-3.6`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let (major, rest) = digits.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest.get(..end)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_written() {
        assert_eq!(parse_version("tmux 3.3a"), Some((3, 3)));
        assert_eq!(parse_version("tmux next-3.6"), Some((3, 6)));
        assert_eq!(parse_version("tmux master"), None);
    }

    #[test]
    fn a_word_ends_no_command() {
        assert_eq!(word(OsStr::new("a;b;")), "a;b\\;");
        assert_eq!(word(OsStr::new("a;b")), "a;b");
        assert_eq!(quoted("/tmp/it's"), r"'/tmp/it'\''s'");
    }

    #[test]
    fn a_tmux_that_is_not_there_is_named() {
        let env = std::collections::BTreeMap::from([("PATH".to_owned(), "/nonexistent".to_owned())]);
        let error = version(&Multiplexer { program: "tmux".into(), server: "x".to_owned(), env, whose: String::new() })
            .unwrap_err();
        assert!(matches!(error, HostError::Tmux { missing: true, .. }), "{error}");
        assert!(error.to_string().contains("install tmux"), "{error}");
    }
}
