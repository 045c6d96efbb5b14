//! One side of the conversation with a run's host, or with the tmux that has the run's terminal: asks for the terminal, puts its pictures together, and hands on what a
//! person does to it. Draws nothing, starts nothing, and waits for nothing without a limit.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::ids::RunId;
use pipeline_lib::terminal::document::BYTES_MAX;
use pipeline_lib::terminal::wire::{Decoder, Reply, Request, VERSION, encode};
use pipeline_lib::terminal::{Frame, Line, Size};
use pipeline_worktrees::host::{self, ExitRecord, Observation, Pane, Stream};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::chain;
use crate::live::{PaneAnswer, PaneRequest};
use crate::multiplexer;

/// How long a host may take to answer.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// What a host has not taken may become so long, in bytes; nothing more is asked of it then.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// How many questions may wait for their answers.
const UNANSWERED_MAX: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// What somebody wants to see of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The size that it should have; none to leave it as it is.
    pub resize: Option<Size>,
    /// How many lines above the present screen to look; 0 to look at it.
    pub offset: usize,
    /// In which picture that many, by its `scrolled`; none for now.
    pub at: Option<u64>,
    /// The shortest time between two pictures.
    pub interval: Duration,
}

impl View {
    fn request(self) -> Request {
        let interval_ms = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        Request::View { resize: self.resize, offset: self.offset, at: self.at, interval_ms }
    }
}

/// Something to do to a terminal, and where the answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub ask: PaneRequest,
    /// Where the answer goes.
    pub answer: oneshot::Sender<PaneAnswer>,
}

/// What is heard of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// What it shows now.
    Picture(Arc<Frame>),
    /// Its host does not say what it shows, though it was asked.
    Silence,
}

/// Why a conversation is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    /// The program has ended.
    Ended,
    /// Nobody looks any more.
    Unwanted,
    /// The connection broke, and why.
    Lost(String),
}

/// The other side.
#[derive(Debug)]
pub(crate) enum Peer {
    /// The run's host.
    Host(UnixStream),
    /// tmux.
    Multiplexer(Pane),
}

/// Finds whoever has the terminal of a run.
///
/// # Errors
/// When nobody listens there, or not in time; in words.
pub(crate) async fn connect(run_dir: &Path) -> Result<Peer, String> {
    if let Some(pane) = host::pane(run_dir).map_err(|error| chain(&error))? {
        return Ok(Peer::Multiplexer(pane));
    }
    let dir: PathBuf = run_dir.to_owned();
    let connecting = tokio::task::spawn_blocking(move || host::connect(&dir));
    let stream = match timeout(ANSWER_WAIT, connecting).await {
        Ok(Ok(connected)) => connected.map_err(|error| chain(&error))?,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("its host does not answer".to_owned()),
    };
    let made = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    made.map(Peer::Host).map_err(|error| error.to_string())
}

/// What the terminal of a run showed that is over, oldest line first; nothing where that is not known.
pub(crate) fn replayed(run_dir: &Path) -> Option<Vec<Line>> {
    let Observation::Ended(ExitRecord { terminal: Some(size), stdout_bytes, .. }) = host::observe(run_dir) else {
        return None;
    };
    let from = stdout_bytes.saturating_sub(BYTES_MAX as u64);
    let printed = host::read_log(run_dir, Stream::Stdout, from, BYTES_MAX).ok()?;
    Some(host::replay(&printed.bytes, size))
}

/// Looks at a terminal as wished until that is over. Whoever asks is always answered, if only by being refused.
pub(crate) async fn converse(
    peer: Peer,
    (run, run_dir): (&RunId, &Path),
    view: &mut watch::Receiver<View>,
    asks: &mut mpsc::Receiver<Asked>,
    hear: impl FnMut(Heard),
) -> Over {
    match peer {
        Peer::Host(stream) => converse_with_host(stream, run, view, asks, hear).await,
        Peer::Multiplexer(pane) => multiplexer::converse(pane, run_dir, view, asks, hear).await,
    }
}

async fn converse_with_host(
    stream: UnixStream,
    run: &RunId,
    view: &mut watch::Receiver<View>,
    asks: &mut mpsc::Receiver<Asked>,
    mut hear: impl FnMut(Heard),
) -> Over {
    let mut talk = Talk::new(stream, run);
    talk.say(&Request::Hello { version: VERSION });
    let first = view.borrow_and_update().request();
    talk.say(&first);
    loop {
        let interest =
            if talk.unsent.is_empty() { Interest::READABLE } else { Interest::READABLE.add(Interest::WRITABLE) };
        let silent = talk.answer_by;
        tokio::select! {
            ready = talk.stream.ready(interest) => {
                let ready = match ready {
                    Ok(ready) => ready,
                    Err(error) => return Over::Lost(error.to_string()),
                };
                if ready.is_writable() && let Err(over) = talk.send() {
                    return over;
                }
                if ready.is_readable() && let Err(over) = talk.receive(&mut hear) {
                    return over;
                }
            }
            changed = view.changed() => match changed {
                Ok(()) => {
                    let request = view.borrow_and_update().request();
                    talk.say(&request);
                }
                Err(_) => return Over::Unwanted,
            },
            asked = asks.recv(), if talk.unsent.len() < UNSENT_BYTES_MAX => match asked {
                Some(asked) => talk.ask(asked),
                None => return Over::Unwanted,
            },
            () = async { sleep_until(silent.unwrap_or_else(Instant::now)).await }, if silent.is_some() => {
                if !talk.greeted {
                    return Over::Lost("its host does not answer".to_owned());
                }
                talk.answer_by = None;
                hear(Heard::Silence);
            }
        }
    }
}

struct Talk<'a> {
    stream: UnixStream,
    run: &'a RunId,
    greeted: bool,
    decoder: Decoder,
    buffer: Vec<u8>,
    unsent: Vec<u8>,
    frame: Option<Frame>,
    /// Until when something has to be heard that was asked for.
    answer_by: Option<Instant>,
    inputs: VecDeque<oneshot::Sender<PaneAnswer>>,
    searches: VecDeque<oneshot::Sender<PaneAnswer>>,
    texts: VecDeque<oneshot::Sender<PaneAnswer>>,
}

impl<'a> Talk<'a> {
    fn new(stream: UnixStream, run: &'a RunId) -> Self {
        Self {
            stream,
            run,
            greeted: false,
            decoder: Decoder::default(),
            buffer: vec![0; BUFFER_BYTES],
            unsent: Vec::new(),
            frame: None,
            answer_by: None,
            inputs: VecDeque::new(),
            searches: VecDeque::new(),
            texts: VecDeque::new(),
        }
    }

    /// Puts a message on its way. False for one that is too long for any.
    fn say(&mut self, request: &Request) -> bool {
        let Some(bytes) = encode(request) else { return false };
        self.unsent.extend_from_slice(&bytes);
        if matches!(request, Request::Hello { .. } | Request::View { .. }) {
            self.answer_by = Some(Instant::now() + ANSWER_WAIT);
        }
        true
    }

    fn ask(&mut self, asked: Asked) {
        let (request, waiting) = match asked.ask {
            PaneRequest::Input(input) => (Request::Input { input }, &mut self.inputs),
            PaneRequest::Search { needle, offset, at, forward } => {
                (Request::Search { needle, offset, at, forward }, &mut self.searches)
            }
            PaneRequest::Text { from, to, at } => (Request::Text { from, to, at }, &mut self.texts),
        };
        let refuse = |why: &str| PaneAnswer::Refused(why.to_owned());
        // Whoever asked may have gone; then nobody needs telling.
        if waiting.len() >= UNANSWERED_MAX {
            drop(asked.answer.send(refuse("its host does not answer what it was asked before")));
            return;
        }
        waiting.push_back(asked.answer);
        if !self.say(&request) {
            let waiting = match request {
                Request::Search { .. } => &mut self.searches,
                _ => &mut self.inputs,
            };
            if let Some(answer) = waiting.pop_back() {
                drop(answer.send(refuse("this is too long for one message")));
            }
        }
    }

    fn send(&mut self) -> Result<(), Over> {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // What the host said last is read before that.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unsent.clear(),
                Err(error) => return Err(Over::Lost(error.to_string())),
            }
        }
        Ok(())
    }

    fn receive(&mut self, hear: &mut impl FnMut(Heard)) -> Result<(), Over> {
        let lost = |why: String| Err(Over::Lost(why));
        match self.stream.try_read(&mut self.buffer) {
            Ok(0) => return lost("its host has closed the connection".to_owned()),
            Ok(read) => self.decoder.push(self.buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return lost(error.to_string()),
        }
        loop {
            match self.decoder.next_message::<Reply>() {
                Ok(Some(reply)) => self.take(reply, hear)?,
                Ok(None) => return Ok(()),
                Err(error) => return lost(format!("its host is not understood: {error}")),
            }
        }
    }

    fn take(&mut self, reply: Reply, hear: &mut impl FnMut(Heard)) -> Result<(), Over> {
        let answer = |waiting: &mut VecDeque<oneshot::Sender<PaneAnswer>>, answer| {
            // Whoever asked may have gone, and a host may answer what nobody asked.
            if let Some(asked) = waiting.pop_front() {
                drop(asked.send(answer));
            }
        };
        match reply {
            Reply::Hello { version, .. } if version != VERSION => {
                let why =
                    format!("its host speaks version {version} of the terminal's messages, this program {VERSION}");
                return Err(Over::Lost(why));
            }
            Reply::Hello { run, .. } if run != *self.run => {
                return Err(Over::Lost(format!("its host is that of run {run}")));
            }
            Reply::Hello { size, .. } => {
                self.greeted = true;
                self.frame = Some(Frame::blank(size.clamped()));
            }
            Reply::Update { update } => {
                let Some(frame) = &mut self.frame else {
                    return Err(Over::Lost("its host shows a terminal before it says whose".to_owned()));
                };
                self.answer_by = None;
                frame.apply(update);
                hear(Heard::Picture(Arc::new(frame.clone())));
            }
            Reply::Taken => answer(&mut self.inputs, PaneAnswer::Taken),
            Reply::Refused { why } => answer(&mut self.inputs, PaneAnswer::Refused(why)),
            Reply::Found { offset } => answer(&mut self.searches, PaneAnswer::Found(offset)),
            Reply::Text { lines } => answer(&mut self.texts, PaneAnswer::Text(lines)),
            Reply::Ended => return Err(Over::Ended),
        }
        Ok(())
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        for asked in [&mut self.inputs, &mut self.searches, &mut self.texts].into_iter().flat_map(|all| all.drain(..)) {
            drop(asked.send(PaneAnswer::Refused("its session has ended".to_owned())));
        }
    }
}
