//! One look at the terminal of a run, and something typed into it, for those who do not stay to watch. Whoever has the
//! terminal, the run's host or tmux, is asked once and is given a moment to answer. What is seen means nothing here.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use pipeline_lib::terminal::wire::{Decoder, Reply, Request, VERSION, encode};
use pipeline_lib::terminal::{Frame, Input, Size};

use super::{HostError, connect, pane};
use crate::process::{Stat, TICKS_A_SECOND, Table};

/// How long a host may take to answer.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// What is read at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Programs that an agent uses live shorter than it does: those that it begins with are its own parts.
const OWN_PARTS: Duration = Duration::from_secs(15);

/// What the terminal of a run shows now, top row first.
///
/// # Errors
/// When it has none, or whoever has it does not answer in time.
pub fn screen(run_dir: &Path) -> Result<Vec<String>, HostError> {
    let frame = match pane(run_dir)? {
        Some(pane) => pane.capture(|_| 0)?.frame(0),
        None => look(run_dir).map_err(HostError::io("ask the terminal in", run_dir))??,
    };
    Ok(frame.lines.iter().map(|line| line.text()).collect())
}

/// Types into the terminal of a run, one thing after the other, each once the one before has been taken.
///
/// # Errors
/// When it has none, or whoever has it does not take it in time. What was taken until then has been typed.
pub fn type_into(run_dir: &Path, inputs: &[Input]) -> Result<(), HostError> {
    if let Some(pane) = pane(run_dir)? {
        let modes = pane.capture(|_| 0)?.state.input;
        return pane.input(inputs, &modes);
    }
    let typing = || -> io::Result<Result<(), HostError>> {
        let mut host = match Talk::begin(run_dir)? {
            Ok(host) => host,
            Err(error) => return Ok(Err(error)),
        };
        for input in inputs {
            host.say(&Request::Input { input: input.clone() })?;
            match host.hear(|reply| matches!(reply, Reply::Taken | Reply::Refused { .. } | Reply::Ended))? {
                Reply::Taken => {}
                Reply::Refused { why } => return Err(io::Error::new(io::ErrorKind::WouldBlock, why)),
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(Ok(()))
    };
    typing().map_err(HostError::io("type into the terminal in", run_dir))?
}

fn look(run_dir: &Path) -> io::Result<Result<Frame, HostError>> {
    let mut host = match Talk::begin(run_dir)? {
        Ok(host) => host,
        Err(error) => return Ok(Err(error)),
    };
    host.say(&Request::View { resize: None, offset: 0, at: None, interval_ms: 0 })?;
    match host.hear(|reply| matches!(reply, Reply::Update { .. } | Reply::Ended))? {
        Reply::Update { update } => {
            let mut frame = Frame::blank(Size::UNSEEN);
            frame.apply(update);
            Ok(Ok(frame))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A short conversation with a host.
struct Talk {
    stream: UnixStream,
    decoder: Decoder,
    until: Instant,
}

impl Talk {
    fn begin(run_dir: &Path) -> io::Result<Result<Self, HostError>> {
        let stream = match connect(run_dir) {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        let mut talk = Self { stream, decoder: Decoder::default(), until: Instant::now() + ANSWER_WAIT };
        talk.say(&Request::Hello { version: VERSION })?;
        Ok(Ok(talk))
    }

    fn say(&mut self, request: &Request) -> io::Result<()> {
        let message = encode(request).ok_or(io::ErrorKind::InvalidInput)?;
        self.stream.write_all(&message)?;
        self.until = Instant::now() + ANSWER_WAIT;
        Ok(())
    }

    /// The next answer that is one of those wanted; others are passed over.
    fn hear(&mut self, wanted: impl Fn(&Reply) -> bool) -> io::Result<Reply> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            while let Some(reply) = self.decoder.next_message::<Reply>().map_err(io::Error::other)? {
                if wanted(&reply) {
                    return Ok(reply);
                }
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.decoder.push(chunk.get(..read).unwrap_or_default()),
            }
        }
    }
}

/// What an agent's program has started and that lives: how many processes, and whether one of them is running at this
/// moment. What it began with are its own parts, such as the servers it talks to, and does not count; nor does the program
/// itself, where it starts anew below its first process.
#[must_use]
pub fn tools(table: &Table, host: i32) -> (u32, bool) {
    let below = table.descendants(&[host]);
    let Some(first) = below.iter().min_by_key(|process| (process.start_time, process.pid)) else { return (0, false) };
    let parts_until = first.start_time.saturating_add(OWN_PARTS.as_secs() * TICKS_A_SECOND);
    // What stands above a confined one is ours.
    let mut began: Vec<_> = below.iter().collect();
    began.sort_by_key(|process| (process.start_time, process.pid));
    let itself = began.into_iter().map(|process| words(process.pid)).find(|words| !is_ours(words)).unwrap_or_default();
    let late = below.iter().filter(|process| process.start_time > parts_until);
    let tools: Vec<_> = late.filter(|process| !is_again(&itself, &words(process.pid))).collect();
    let runs = |pid: i32| Stat::read(pid).is_some_and(|stat| matches!(stat.state, 'R' | 'D'));
    (u32::try_from(tools.len()).unwrap_or(u32::MAX), tools.iter().any(|tool| runs(tool.pid)))
}

/// The command line of a process, its words ended by a zero each; empty where it is gone.
fn words(pid: i32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Whether a command line is that of a process which we put above a confined program.
fn is_ours(words: &[u8]) -> bool {
    words.split(|byte| *byte == 0).nth(1) == Some(super::confine::VERB.as_bytes())
}

/// Whether a command line is that of a program started anew: another interpreter or further options before the same words.
fn is_again(first: &[u8], other: &[u8]) -> bool {
    let behind = first.iter().position(|byte| *byte == 0).and_then(|end| first.get(end..)).unwrap_or_default();
    behind.len() > 1 && other.ends_with(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Gemini CLI does once its folder is trusted.
    #[test]
    fn a_program_that_starts_anew_is_no_tool_of_its_own() {
        let first = b"node\0/bin/gemini\0--prompt-interactive=a b\0";
        assert!(is_again(first, b"/usr/bin/node\0--max-old-space-size=9\0/bin/gemini\0--prompt-interactive=a b\0"));
        assert!(!is_again(first, b"sh\0-c\0cargo test\0"));
        assert!(!is_again(b"opencode\0", b"sh\0"), "a name alone says nothing");
        assert!(!is_again(b"", b""));
        assert!(is_ours(b"/proc/self/exe\0__confine\0first\0/r\0") && !is_ours(first) && !is_ours(b""));
    }
}
