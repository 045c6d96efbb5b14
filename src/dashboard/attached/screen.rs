//! What an attached terminal looks like, and what keys, pasted text and the mouse ask for there. Pure: no terminal, no clock
//! and no channel.

use std::sync::Arc;

use crossterm::event::KeyCode;
use jiff::Timestamp;
use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::terminal::wire::lines_since;
use pipeline_lib::terminal::{Frame, Input, MouseAction, Size};
use pipeline_lib::view::screen::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::Attachment;
use crate::dashboard::keymap::Keymap;
use crate::dashboard::keys::Action;
use crate::dashboard::message::{Key, Message, Mouse};
use crate::dashboard::model::Place;
use crate::dashboard::pages::panes::Marked;
use crate::dashboard::terminal::Caret;
use crate::dashboard::theme::Theme;
use crate::dashboard::view::paint::Painter;
use crate::dashboard::view::{paint, pane};

/// Lines that one turn of the wheel moves.
const WHEEL_LINES: isize = 3;

/// The size of the agent's terminal on a screen of this many columns and rows.
pub(super) fn inner_size((columns, rows): (u16, u16)) -> Size {
    Size { columns, rows: rows.saturating_sub(1) }.clamped()
}

/// What the keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They go to the agent.
    Typing,
    /// They complete the prefix.
    Prefix,
    /// They move in what was shown before.
    Scrolling,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
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
pub(super) struct State {
    pub(super) agent: AgentName,
    task: Option<TaskId>,
    theme: Theme,
    keys: Keymap,
    /// Nothing is typed, and the agent's terminal keeps its size.
    pub(super) read_only: bool,
    pub(super) size: (u16, u16),
    pub(super) frame: Arc<Frame>,
    /// The host does not say what the terminal shows.
    pub(super) silent: bool,
    mode: Mode,
    /// How far up was asked for last, and in which picture.
    pub(super) wish: (usize, Option<u64>),
    marked: Option<Marked>,
    /// What just happened, until the next key.
    pub(super) news: Option<(Tone, String)>,
}

impl State {
    /// The screen before the first key.
    pub(super) fn new(
        (agent, task): (AgentName, Option<TaskId>),
        how: Attachment,
        size: (u16, u16),
        frame: Arc<Frame>,
    ) -> Self {
        Self {
            agent,
            task,
            theme: how.theme,
            keys: how.keys,
            read_only: how.read_only,
            size,
            frame,
            silent: false,
            mode: Mode::Typing,
            wish: (0, None),
            marked: None,
            news: None,
        }
    }

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
    pub(super) fn on_message(&mut self, message: Message) -> Option<Ask> {
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

    /// Where the cursor belongs.
    pub(super) fn caret(&self) -> Option<Caret> {
        let typing = self.mode == Mode::Typing && self.wish.0 == 0 && !self.read_only && self.marked.is_none();
        if typing { pane::caret(self.inner(), &self.frame) } else { None }
    }

    /// Draws the screen.
    pub(super) fn render(&self, area: Rect, buffer: &mut Buffer) {
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
        let mut say = |painter: &mut Painter<'_>, parts: &[paint::Part<'_>]| {
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

#[cfg(test)]
#[path = "../tests/attached.rs"]
mod tests;
