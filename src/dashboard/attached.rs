//! One agent's terminal over the whole screen but its last line, which says whose it is and how to leave. What is typed
//! goes to the agent; leaving ends nothing. This is the loop; what the keys do and what is drawn is in `screen.rs`.

mod screen;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use crossterm::event::EventStream;
use futures::StreamExt as _;
use pipeline_commands::attach::{Asked, Link, Session, View};
use pipeline_commands::live::{PaneAnswer, PaneRequest};
use pipeline_lib::terminal::Size;
use pipeline_lib::view::screen::Tone;
use tokio::time::{Instant, sleep_until};

use super::drive::{self, Signals};
use super::keymap::Keymap;
use super::message::Message;
use super::pace::Pace;
use super::terminal::Terminal;
use super::theme::Theme;
use super::typed::Outbox;
use screen::{Ask, State, inner_size};

/// How many pending events are taken before a frame is due all the same.
const EVENTS_PER_FRAME_MAX: usize = 1024;

/// How a terminal is shown over the whole screen.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Clicks and the wheel are used.
    pub mouse: bool,
    /// What the terminal can show.
    pub theme: Theme,
    /// Which key is the prefix.
    pub keys: Keymap,
    /// Nothing is typed, and the agent's terminal keeps its size.
    pub read_only: bool,
}

/// Why it is shown no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The person left, or a signal asked for the end.
    Detached,
    /// The session has ended.
    Ended,
    /// The connection broke, and why.
    Lost(String),
}

/// The size that an agent's terminal has on this screen.
///
/// # Errors
/// When the terminal cannot be asked.
pub fn room() -> io::Result<Size> {
    Terminal::size().map(inner_size)
}

/// Shows a session until the person leaves it or it ends.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn attached(mut session: Session, how: Attachment) -> io::Result<Left> {
    // What cannot be reached is said where the person is, not on a screen that goes at once.
    while *session.link.borrow_and_update() == Link::Opening {
        if session.link.changed().await.is_err() {
            break;
        }
    }
    if let Some(left) = over(&session.link.borrow()) {
        return Ok(left);
    }
    let signals = Signals::listen()?;
    let mut terminal = Terminal::enter(how.mouse)?;
    let shown = Loop::new(session, how, &mut terminal, signals)?.run().await;
    // Given back before anything is printed.
    drop(terminal);
    shown
}

/// Whether a connection is over, and how.
fn over(link: &Link) -> Option<Left> {
    match link {
        Link::Opening | Link::Open | Link::Silent => None,
        Link::Ended => Some(Left::Ended),
        Link::Lost(why) => Some(Left::Lost(why.clone())),
    }
}

/// What the loop holds.
struct Loop<'a> {
    terminal: &'a mut Terminal,
    session: Session,
    signals: Signals,
    events: EventStream,
    outbox: Outbox,
    pace: Pace,
    state: State,
    dirty: bool,
}

/// What woke the loop.
enum Woken {
    Terminal(Option<Message>),
    Picture,
    Link,
    Answer(PaneAnswer),
    /// Whether it asks for the end.
    Signal(bool),
    Timer,
    End,
}

impl<'a> Loop<'a> {
    fn new(session: Session, how: Attachment, terminal: &'a mut Terminal, signals: Signals) -> io::Result<Self> {
        let asks = session.asks.clone();
        let outbox = Outbox::new(Box::new(move |_, _, ask, answer| asks.try_send(Asked { ask, answer }).is_ok()));
        let whose = (session.agent.clone(), session.task.clone());
        let frame = Arc::clone(&session.frames.borrow());
        let state = State::new(whose, how, Terminal::size()?, frame);
        let (events, pace) = (EventStream::new(), Pace::new());
        Ok(Self { terminal, session, signals, events, outbox, pace, state, dirty: true })
    }

    async fn run(mut self) -> io::Result<Left> {
        self.wish();
        loop {
            if self.dirty && self.pace.may_draw(Instant::now()) {
                self.draw()?;
            }
            let woken = self.wait().await?;
            if !self.terminal.is_ours() {
                return Err(io::Error::other("a panic elsewhere in the program took the terminal away"));
            }
            if let Some(left) = self.on_woken(woken).await? {
                return Ok(left);
            }
        }
    }

    async fn wait(&mut self) -> io::Result<Woken> {
        let wake_at = if self.dirty { self.pace.next() } else { None };
        let timer = async {
            match wake_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            event = self.events.next() => match event {
                Some(event) => Woken::Terminal(drive::translate(event?)),
                None => Woken::End,
            },
            Ok(()) = self.session.frames.changed() => Woken::Picture,
            changed = self.session.link.changed() => if changed.is_ok() { Woken::Link } else { Woken::End },
            Some((_, _, answer)) = self.outbox.next(), if !self.outbox.is_empty() => Woken::Answer(answer),
            end = self.signals.next_asks_for_the_end() => Woken::Signal(end),
            () = timer => Woken::Timer,
        })
    }

    async fn on_woken(&mut self, woken: Woken) -> io::Result<Option<Left>> {
        match woken {
            Woken::Timer | Woken::Answer(PaneAnswer::Taken | PaneAnswer::Found(_) | PaneAnswer::Text(_)) => {}
            Woken::Answer(PaneAnswer::Refused(why)) => {
                self.state.news = Some((Tone::Attention, why));
                self.dirty = true;
            }
            Woken::Picture => {
                self.state.frame = Arc::clone(&self.session.frames.borrow_and_update());
                self.pace.answered(Instant::now());
                self.dirty = true;
            }
            Woken::Link => {
                let link = self.session.link.borrow_and_update().clone();
                self.state.silent = link == Link::Silent;
                self.dirty = true;
                return Ok(over(&link));
            }
            Woken::Signal(true) => return Ok(Some(Left::Detached)),
            Woken::Signal(false) => {
                self.terminal.enter_again()?;
                self.resized(Terminal::size()?);
                self.dirty = true;
            }
            Woken::End => {
                let link = self.session.link.borrow().clone();
                return Ok(Some(over(&link).unwrap_or(Left::Detached)));
            }
            Woken::Terminal(first) => return self.drain(first).await,
        }
        Ok(None)
    }

    /// Takes an event and all that wait behind it, so that a storm of them costs one frame.
    async fn drain(&mut self, first: Option<Message>) -> io::Result<Option<Left>> {
        let mut next = first;
        for _ in 0..EVENTS_PER_FRAME_MAX {
            if let Some(message) = next.take()
                && let Some(left) = self.tell(message)?
            {
                return Ok(Some(left));
            }
            // With the waker of this task and no other, see `drive.rs`.
            next = match poll_fn(|context| Poll::Ready(self.events.poll_next_unpin(context))).await {
                Poll::Ready(Some(event)) => drive::translate(event?),
                Poll::Ready(None) => return Ok(Some(Left::Detached)),
                Poll::Pending => return Ok(None),
            };
        }
        match next {
            Some(message) => self.tell(message),
            None => Ok(None),
        }
    }

    fn tell(&mut self, message: Message) -> io::Result<Option<Left>> {
        if matches!(message, Message::Key(_) | Message::Paste(_)) {
            self.pace.pressed(Instant::now());
        }
        let before = self.state.clone();
        let ask = self.state.on_message(message);
        self.dirty |= self.state != before;
        if self.state.size != before.size {
            self.resized(self.state.size);
        }
        match ask {
            None => {}
            Some(Ask::Leave) => return Ok(Some(Left::Detached)),
            Some(Ask::Look) => self.wish(),
            Some(Ask::Copy(text)) => self.terminal.copy(&text)?,
            Some(Ask::Input(input)) => {
                if self.state.wish.0 > 0 {
                    self.state.wish = (0, None);
                    self.wish();
                }
                self.outbox.push(self.state.agent.clone(), None, PaneRequest::Input(input));
            }
        }
        Ok(None)
    }

    fn resized(&mut self, size: (u16, u16)) {
        self.state.size = size;
        self.wish();
    }

    /// Tells the host what is to be seen.
    fn wish(&mut self) {
        let resize = (!self.state.read_only).then(|| inner_size(self.state.size));
        let (offset, at) = self.state.wish;
        self.session.view.send_if_modified(|view| {
            let new = View { resize, offset, at, ..*view };
            let is_news = new != *view;
            *view = new;
            is_news
        });
    }

    fn draw(&mut self) -> io::Result<()> {
        let state = &self.state;
        self.terminal.title(&format!("pipeline {}", state.agent))?;
        self.terminal.set_caret(state.caret());
        self.terminal.draw(state.size, |area, buffer| state.render(area, buffer))?;
        self.dirty = false;
        self.pace.drawn(Instant::now());
        Ok(())
    }
}
