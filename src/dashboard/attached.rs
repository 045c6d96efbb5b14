//! One agent's terminal over the whole screen but its last line, which says whose it is and how to leave. What is typed
//! goes to the agent; leaving ends nothing. What the keys do is pure, and below it the loop that performs it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use crossterm::event::{EventStream, KeyCode};
use futures::StreamExt as _;
use jiff::Timestamp;
use pipeline_commands::attach::{Asked, Link, Session, View};
use pipeline_commands::live::{PaneAnswer, PaneRequest};
use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::terminal::wire::lines_since;
use pipeline_lib::terminal::{Frame, Input, MouseAction, Size};
use pipeline_lib::view::screen::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use tokio::time::{Instant, sleep_until};

use super::drive::{self, Signals};
use super::keymap::Keymap;
use super::keys::Action;
use super::message::{Key, Message, Mouse};
use super::model::Place;
use super::pace::Pace;
use super::pages::panes::Marked;
use super::terminal::{Caret, Terminal};
use super::theme::Theme;
use super::typed::Outbox;
use super::view::{paint::Painter, pane};

/// Lines that one turn of the wheel moves.
const WHEEL_LINES: isize = 3;
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

fn inner_size((columns, rows): (u16, u16)) -> Size {
    Size { columns, rows: rows.saturating_sub(1) }.clamped()
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

/// What the keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They go to the agent.
    Typing,
    /// They complete the prefix.
    Prefix,
    /// They move in what was shown before.
    Scrolling,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    /// To hand something to the agent.
    Input(Input),
    /// To look elsewhere.
    Look,
    /// To put a text into the clipboard.
    Copy(String),
    /// To leave.
    Leave,
}

/// All that the screen is drawn from.
#[derive(Debug, Clone, PartialEq)]
struct State {
    agent: AgentName,
    task: Option<TaskId>,
    theme: Theme,
    keys: Keymap,
    read_only: bool,
    size: (u16, u16),
    frame: Arc<Frame>,
    silent: bool,
    mode: Mode,
    /// How far up was asked for last, and in which picture.
    wish: (usize, Option<u64>),
    marked: Option<Marked>,
    /// What just happened, until the next key.
    news: Option<(Tone, String)>,
}

impl State {
    fn inner(&self) -> Rect {
        Rect::new(0, 0, self.size.0, self.size.1.saturating_sub(1))
    }

    fn on_key(&mut self, key: Key) -> Option<Ask> {
        self.news = None;
        match self.mode {
            Mode::Prefix => self.behind_prefix(key),
            Mode::Typing if key.ctrl && key.code == KeyCode::Char('q') => Some(Ask::Leave),
            _ if self.is_prefix(key) => {
                self.mode = Mode::Prefix;
                None
            }
            Mode::Typing => self.type_in(key),
            Mode::Scrolling => self.scroll(key),
        }
    }

    fn is_prefix(&self, key: Key) -> bool {
        key.typed().is_none() && self.keys.action(Place::Panes, key) == Some(Action::Prefix)
    }

    fn behind_prefix(&mut self, key: Key) -> Option<Ask> {
        self.mode = if self.wish.0 > 0 { Mode::Scrolling } else { Mode::Typing };
        if self.is_prefix(key) {
            return self.type_in(key);
        }
        match key.to_string().as_str() {
            "d" => return Some(Ask::Leave),
            "[" => self.mode = Mode::Scrolling,
            "<pageup>" => {
                self.mode = Mode::Scrolling;
                return self.scroll(key);
            }
            "<esc>" => {}
            other => self.news = Some((Tone::Attention, format!("{other} behind the prefix means nothing"))),
        }
        None
    }

    /// Hands a key to the agent, which shows the present then.
    fn type_in(&mut self, key: Key) -> Option<Ask> {
        if self.read_only {
            self.news = Some((Tone::Attention, "only looking: nothing is typed".to_owned()));
            return None;
        }
        key.for_terminal().map(|key| Ask::Input(Input::Key(key)))
    }

    fn on_paste(&mut self, text: String) -> Option<Ask> {
        self.news = None;
        if self.read_only {
            self.news = Some((Tone::Attention, "only looking: nothing is pasted".to_owned()));
            return None;
        }
        (self.mode == Mode::Typing).then_some(Ask::Input(Input::Paste { text, submit: false }))
    }

    fn scroll(&mut self, key: Key) -> Option<Ask> {
        let page = isize::try_from(self.inner().height).unwrap_or(1).max(2);
        match key.to_string().as_str() {
            "k" | "<up>" => self.look(1),
            "j" | "<down>" => self.look(-1),
            "<c-u>" => self.look(page / 2),
            "<c-d>" => self.look(-page / 2),
            "<pageup>" => self.look(page),
            "<pagedown>" | "<c-f>" | "<space>" => self.look(-page),
            "g" | "<home>" => self.look(isize::MAX),
            "G" | "<end>" => self.look(isize::MIN),
            "q" | "<esc>" | "<c-q>" => {
                self.mode = Mode::Typing;
                self.look(isize::MIN)
            }
            _ => None,
        }
    }

    /// Looks so many lines further up, or down.
    fn look(&mut self, up: isize) -> Option<Ask> {
        let (offset, at) = self.wish;
        // What is looked at stays in its place while more is printed, so it is further up by now.
        let since = if offset == 0 { 0 } else { lines_since(at, self.frame.scrolled) };
        let from = offset.saturating_add(since).min(self.frame.history);
        let to = from.saturating_add_signed(up).min(self.frame.history);
        if to == from {
            return None;
        }
        self.wish = (to, Some(self.frame.scrolled));
        Some(Ask::Look)
    }

    fn on_mouse(&mut self, mouse: Mouse) -> Option<Ask> {
        let frame = &self.frame;
        let wheel = matches!(mouse.action, MouseAction::WheelUp | MouseAction::WheelDown);
        let asked = frame.modes.mouse || (wheel && frame.modes.alternate);
        let inner = self.inner();
        let x = mouse.x.min(inner.width.saturating_sub(1)).min(frame.size.columns.saturating_sub(1));
        let y = usize::from(mouse.y.min(inner.height.saturating_sub(1)));
        let row = (pane::top_row(frame, inner.height) + y).min(frame.lines.len().saturating_sub(1));
        if asked && !self.read_only && self.mode == Mode::Typing && self.wish.0 == 0 && self.marked.is_none() {
            let row = u16::try_from(row).ok()?;
            return Some(Ask::Input(Input::Mouse { action: mouse.action, column: x, row }));
        }
        match mouse.action {
            MouseAction::WheelUp => self.look(WHEEL_LINES),
            MouseAction::WheelDown => self.look(-WHEEL_LINES),
            MouseAction::Press => {
                let within = mouse.y < inner.height;
                self.marked = within.then(|| Marked::begin(self.agent.clone(), Arc::clone(frame), (row, x)));
                None
            }
            MouseAction::Drag => {
                if let Some(marked) = &mut self.marked {
                    marked.extend((row, x));
                }
                None
            }
            MouseAction::Release => {
                let (text, lines) = self.marked.take().filter(Marked::is_any)?.text();
                let words = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
                self.news = Some((Tone::Good, format!("copied {words}")));
                Some(Ask::Copy(text))
            }
        }
    }

    /// What happens in the terminal.
    fn on_message(&mut self, message: Message) -> Option<Ask> {
        match message {
            Message::Key(key) => self.on_key(key),
            Message::Paste(text) => self.on_paste(text),
            Message::Mouse(mouse) => self.on_mouse(mouse),
            Message::Resized(columns, rows) => {
                self.size = (columns, rows);
                None
            }
            _ => None,
        }
    }

    fn caret(&self) -> Option<Caret> {
        let typing = self.mode == Mode::Typing && self.wish.0 == 0 && !self.read_only && self.marked.is_none();
        if typing { pane::caret(self.inner(), &self.frame) } else { None }
    }

    fn render(&self, area: Rect, buffer: &mut Buffer) {
        let mut painter = Painter::new(buffer, self.theme, Timestamp::UNIX_EPOCH);
        let inner = self.inner().intersection(area);
        match &self.marked {
            None => pane::draw_frame(&mut painter, inner, &self.frame),
            Some(marked) => marked_text(&mut painter, inner, marked, self.theme.selected()),
        }
        if area.height > 0 {
            self.status(&mut painter, Rect { y: area.bottom() - 1, height: 1, ..area });
        }
    }

    fn status(&self, painter: &mut Painter<'_>, line: Rect) {
        let theme = self.theme;
        let prefix = self.keys.rows().find(|row| row.binding.action == Action::Prefix);
        let prefix = prefix.map_or("ctrl-b", |row| row.label.as_str());
        let (words, hints) = match self.mode {
            Mode::Prefix => (format!(" {prefix} "), vec![("d", "leaves"), ("[", "looks back"), (prefix, "types it")]),
            Mode::Scrolling => {
                let words = format!(" SCROLL -{} of {} ", self.frame.offset, self.frame.history);
                (words, vec![("j k", "lines"), ("ctrl-u ctrl-d", "pages"), ("q", "the present")])
            }
            Mode::Typing => {
                let name =
                    if self.read_only { format!(" LOOKING AT {} ", self.agent) } else { format!(" {} ", self.agent) };
                let back = if self.frame.offset > 0 { format!("{name}-{} ", self.frame.offset) } else { name };
                (back, vec![("ctrl-q", "leaves"), (prefix, "more")])
            }
        };
        let mut x = line.x + painter.text(line.x, line.y, line.width, &words, theme.mode()) + 1;
        let mut say = |painter: &mut Painter<'_>, parts: &[super::view::paint::Part<'_>]| {
            let used = painter.parts(x.min(line.right()), line.y, line.right().saturating_sub(x), parts);
            x += used + u16::from(used > 0) * 2;
        };
        if let Some((tone, text)) = &self.news {
            return say(
                painter,
                &[(theme.sign(*tone), theme.tone(*tone)), (" ", theme.text()), (text, theme.tone(*tone))],
            );
        }
        if self.silent {
            let tone = theme.tone(Tone::Attention);
            say(painter, &[(theme.sign(Tone::Attention), tone), (" its host does not answer", tone)]);
        }
        if let Some(task) = &self.task {
            say(painter, &[(task.as_str(), theme.text())]);
        }
        for (key, word) in hints {
            say(painter, &[(key, theme.accent()), (" ", theme.text()), (word, theme.dim())]);
        }
        if !self.frame.title.is_empty() {
            say(painter, &[(self.frame.title.as_str(), theme.dim())]);
        }
    }
}

fn marked_text(painter: &mut Painter<'_>, area: Rect, marked: &Marked, style: Style) {
    pane::draw_frame(painter, area, &marked.frame);
    for row in 0..marked.frame.lines.len() {
        if let Some((from, to)) = marked.columns(row) {
            pane::mark(painter, area, &marked.frame, (row, from, to), style);
        }
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
        let outbox = Outbox::new(Box::new(move |_, ask, answer| asks.try_send(Asked { ask, answer }).is_ok()));
        let state = State {
            agent: session.agent.clone(),
            task: session.task.clone(),
            theme: how.theme,
            keys: how.keys,
            read_only: how.read_only,
            size: Terminal::size()?,
            frame: Arc::clone(&session.frames.borrow()),
            silent: false,
            mode: Mode::Typing,
            wish: (0, None),
            marked: None,
            news: None,
        };
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
                self.outbox.push(self.state.agent.clone(), PaneRequest::Input(input));
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

#[cfg(test)]
#[path = "tests/attached.rs"]
mod tests;
