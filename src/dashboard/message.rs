//! What can happen to a dashboard, and what it can ask for. Both are plain data; who produces the one and performs the
//! other is in the loop.

use std::fmt;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use jiff::Timestamp;
use pipeline_commands::live::{Answer, PaneAnswer, PaneRequest};
use pipeline_lib::ids::AgentName;
use pipeline_lib::terminal::{self, MouseAction};
use pipeline_lib::view::pane::Panes;
use pipeline_lib::view::screen::Screen;

use super::highlight::{self, Lit};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The mouse was used.
    Mouse(Mouse),
    /// The terminal has this many columns and rows now.
    Resized(u16, u16),
    /// There is a new picture.
    Screen(Arc<Screen>),
    /// There are new pictures of terminals.
    Panes(Panes),
    /// What was asked of a terminal was answered.
    PaneAnswered {
        /// Whose.
        agent: AgentName,
        /// What was asked.
        ask: PaneRequest,
        /// What came of it.
        answer: PaneAnswer,
    },
    /// A verb was answered.
    Answered {
        /// The verb.
        argv: Vec<String>,
        /// What came of it.
        answer: Answer,
    },
    /// The colours of some code are there.
    Highlighted(Lit),
    /// This is the time now.
    Tick(Timestamp),
}

/// Something is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// To perform a verb, as typed behind `pipeline`.
    Verb(Vec<String>),
    /// To do something to an agent's terminal.
    Pane(AgentName, PaneRequest),
    /// To tell a person who looks elsewhere, in these words.
    Notify(String),
    /// To find the colours of some code.
    Highlight(highlight::Ask),
    /// To put a text into the clipboard of the person's terminal.
    Copy(String),
    /// To end the dashboard. The agents go on.
    Quit,
    /// To stop the process until the shell continues it.
    Suspend,
    /// To draw every cell again.
    Redraw,
}

/// What was done with the mouse, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mouse {
    /// What.
    pub(super) action: MouseAction,
    /// The column.
    pub(super) x: u16,
    /// The row.
    pub(super) y: u16,
}

/// A key with what was held. Shift is part of the character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Which.
    pub(super) code: KeyCode,
    /// Control was held.
    pub(super) ctrl: bool,
    /// Alt was held.
    pub(super) alt: bool,
    /// Shift was held, where the code does not say so already.
    pub(super) shift: bool,
}

impl Key {
    /// The key of an event; none for the release of one.
    #[must_use]
    pub(super) fn from_event(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let code = match event.code {
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
            // Terminals that tell keys apart tell this one by what it types without shift.
            KeyCode::Char(c) if event.modifiers == KeyModifiers::SHIFT | KeyModifiers::ALT => {
                KeyCode::Char(c.to_ascii_uppercase())
            }
            other => other,
        };
        let held = |modifier| event.modifiers.contains(modifier);
        let shift = held(KeyModifiers::SHIFT) && !matches!(code, KeyCode::Char(_) | KeyCode::BackTab);
        Some(Self { code, ctrl: held(KeyModifiers::CONTROL), alt: held(KeyModifiers::ALT), shift })
    }

    /// The key as a terminal's program is told of it; none for one that no program is told of.
    #[must_use]
    pub(super) fn for_terminal(self) -> Option<terminal::Key> {
        use terminal::KeyCode as Code;
        let code = match self.code {
            KeyCode::Char(c) => Code::Char(c),
            KeyCode::Enter => Code::Enter,
            KeyCode::Tab | KeyCode::BackTab => Code::Tab,
            KeyCode::Esc => Code::Escape,
            KeyCode::Backspace => Code::Backspace,
            KeyCode::Delete => Code::Delete,
            KeyCode::Insert => Code::Insert,
            KeyCode::Up => Code::Up,
            KeyCode::Down => Code::Down,
            KeyCode::Left => Code::Left,
            KeyCode::Right => Code::Right,
            KeyCode::Home => Code::Home,
            KeyCode::End => Code::End,
            KeyCode::PageUp => Code::PageUp,
            KeyCode::PageDown => Code::PageDown,
            KeyCode::F(number @ 1..=12) => Code::Function(number),
            _ => return None,
        };
        let shift = self.shift || self.code == KeyCode::BackTab;
        Some(terminal::Key { code, shift, alt: self.alt, control: self.ctrl })
    }

    /// The character it types, if it types one.
    pub(super) fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }
}

/// Writes a key as the key table does: `j`, `<enter>`, `<c-z>`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.code {
            KeyCode::Char(' ') => "space",
            KeyCode::Char('<') => "lt",
            KeyCode::Char(c) if !self.ctrl && !self.alt => return write!(f, "{c}"),
            KeyCode::Char(c) => return write!(f, "<{}{}{c}>", held(self.ctrl, "c-"), held(self.alt, "a-")),
            KeyCode::Enter => "enter",
            KeyCode::Esc => "esc",
            KeyCode::Tab => "tab",
            KeyCode::BackTab => "s-tab",
            KeyCode::Backspace => "backspace",
            KeyCode::Delete => "delete",
            KeyCode::Up => "up",
            KeyCode::Down => "down",
            KeyCode::Left => "left",
            KeyCode::Right => "right",
            KeyCode::Home => "home",
            KeyCode::End => "end",
            KeyCode::PageUp => "pageup",
            KeyCode::PageDown => "pagedown",
            KeyCode::Insert => "insert",
            KeyCode::F(number) => {
                return write!(f, "<{}{}f{number}>", held(self.ctrl, "c-"), held(self.alt, "a-"));
            }
            _ => "other",
        };
        write!(f, "<{}{}{name}>", held(self.ctrl, "c-"), held(self.alt, "a-"))
    }
}

fn held(is: bool, prefix: &'static str) -> &'static str {
    if is { prefix } else { "" }
}
