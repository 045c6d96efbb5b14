//! What a terminal shows and what is typed into it, as plain data: cells, never bytes. Emulation happens in the host of a
//! run, drawing in whatever shows it; between them goes only this, so that nothing an agent prints reaches a person's
//! terminal except as text with a style.
//!
//! Knows no process and no socket, and interprets no escape sequence.

pub mod capture;
pub mod document;
pub mod keys;
pub mod sgr;
pub mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthChar as _;

/// Columns at most; a wider terminal is nobody's.
pub const COLUMNS_MAX: u16 = 1000;
/// Rows at most.
pub const ROWS_MAX: u16 = 500;
/// Columns at least: a wide character needs two.
pub const COLUMNS_MIN: u16 = 2;
/// Rows at least.
pub const ROWS_MIN: u16 = 2;

/// The size of a terminal in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// How wide it is.
    pub columns: u16,
    /// How high it is.
    pub rows: u16,
}

impl Size {
    /// What a terminal has before anybody looks at it.
    pub const UNSEEN: Self = Self { columns: 120, rows: 40 };

    /// The nearest size that a terminal can have.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self { columns: self.columns.clamp(COLUMNS_MIN, COLUMNS_MAX), rows: self.rows.clamp(ROWS_MIN, ROWS_MAX) }
    }
}

/// A colour as the program asked for it. The first sixteen of the palette are the person's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// What the terminal uses for plain text or for its background.
    #[default]
    Default,
    /// A place in the palette of 256.
    Indexed(u8),
    /// Red, green and blue.
    Rgb(u8, u8, u8),
}

/// How cells look besides their colours: a set of the constants below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(pub u16);

impl Attributes {
    /// Bold.
    pub const BOLD: Self = Self(1);
    /// Faint.
    pub const DIM: Self = Self(1 << 1);
    /// Italic.
    pub const ITALIC: Self = Self(1 << 2);
    /// Underlined, in whichever way.
    pub const UNDERLINE: Self = Self(1 << 3);
    /// Foreground and background exchanged.
    pub const REVERSED: Self = Self(1 << 4);
    /// Struck through.
    pub const STRIKEOUT: Self = Self(1 << 5);
    /// Not to be seen.
    pub const HIDDEN: Self = Self(1 << 6);

    /// Whether all of these are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// How cells look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Style {
    /// The text.
    #[serde(rename = "f", default, skip_serializing_if = "is_default")]
    pub foreground: Colour,
    /// Behind it.
    #[serde(rename = "b", default, skip_serializing_if = "is_default")]
    pub background: Colour,
    /// The rest.
    #[serde(rename = "a", default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

fn is_default(colour: &Colour) -> bool {
    *colour == Colour::Default
}

/// Neighbouring cells that look alike. A character takes the cells that `unicode-width` gives it: two if it is wide, none
/// if it combines with the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The characters. Never a control character, nor one that steers the direction of text.
    #[serde(rename = "t")]
    pub text: String,
    /// How they look.
    #[serde(flatten)]
    pub style: Style,
}

/// A row of a terminal, from its left edge. What it does not reach is blank.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Line {
    /// Its parts, left to right.
    pub spans: Vec<Span>,
}

impl Line {
    /// A line of one look.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { spans: vec![Span { text: text.into(), style: Style::default() }] }
    }

    /// Its characters without their looks.
    #[must_use]
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }

    /// How many columns it takes.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.spans.iter().flat_map(|span| span.text.chars()).map(columns_of).sum()
    }
}

/// How many columns a character takes: two if it is wide, none if it combines with the one before. A control character
/// takes none.
#[must_use]
pub fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// What the cursor looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CursorShape {
    /// A whole cell.
    #[default]
    Block,
    /// A line below.
    Underline,
    /// A line on the left.
    Beam,
}

/// Where the next character goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// From the left, from 0.
    pub column: u16,
    /// From the top, from 0.
    pub row: u16,
    /// What it looks like.
    #[serde(default)]
    pub shape: CursorShape,
}

/// What a program asked of its terminal that somebody who shows it has to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Modes {
    /// It shows the alternate screen, which has no history.
    pub alternate: bool,
    /// It takes the mouse.
    pub mouse: bool,
}

/// What is to be seen of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Of the terminal.
    pub size: Size,
    /// Its rows, top to bottom: as many as the size says.
    pub lines: Vec<Arc<Line>>,
    /// Where the cursor is, if it shows.
    pub cursor: Option<Cursor>,
    /// How many lines above the present screen the first row is: 0 while nothing is scrolled back.
    pub offset: usize,
    /// How many lines there are above the present screen.
    pub history: usize,
    /// How many lines have left the present screen upwards so far, kept or forgotten. Whoever names a place of this
    /// picture says this too, so that it is the same place though more was printed since.
    pub scrolled: u64,
    /// What the program calls itself, made safe.
    pub title: String,
    /// What it asked for.
    pub modes: Modes,
}

impl Frame {
    /// A blank terminal.
    #[must_use]
    pub fn blank(size: Size) -> Self {
        let line = Arc::new(Line::default());
        Self {
            size,
            lines: vec![line; usize::from(size.rows)],
            cursor: None,
            offset: 0,
            history: 0,
            scrolled: 0,
            title: String::new(),
            modes: Modes::default(),
        }
    }

    /// What turns `shown` into this one.
    #[must_use]
    pub fn update_from(&self, shown: &Self) -> Update {
        let same = |row: usize, line: &Arc<Line>| {
            shown.size == self.size && shown.lines.get(row).is_some_and(|old| Arc::ptr_eq(old, line) || old == line)
        };
        let rows = self.lines.iter().enumerate().filter(|(row, line)| !same(*row, line));
        Update {
            size: self.size,
            lines: rows.map(|(row, line)| (row, Arc::clone(line))).collect(),
            cursor: self.cursor,
            offset: self.offset,
            history: self.history,
            scrolled: self.scrolled,
            title: self.title.clone(),
            modes: self.modes,
        }
    }

    /// Takes an update in. A change of size makes every row that the update does not name blank; what does not fit is left
    /// out, so that no update can make a frame that does not hold together.
    pub fn apply(&mut self, update: Update) {
        let size = update.size.clamped();
        if size != self.size {
            *self = Self::blank(size);
        }
        for (row, line) in update.lines {
            if let Some(place) = self.lines.get_mut(row) {
                *place = line;
            }
        }
        self.cursor = update.cursor.filter(|cursor| cursor.column < size.columns && cursor.row < size.rows);
        self.offset = update.offset;
        self.history = update.history;
        self.scrolled = update.scrolled;
        self.title = update.title;
        self.modes = update.modes;
    }
}

/// The difference between two frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Of the terminal.
    pub size: Size,
    /// The rows that changed, by their place from the top.
    pub lines: Vec<(usize, Arc<Line>)>,
    /// See [`Frame`], as all of the following.
    pub cursor: Option<Cursor>,
    /// Lines scrolled back.
    pub offset: usize,
    /// Lines above the present screen.
    pub history: usize,
    /// Lines that have left the present screen. Hosts that were started before there was such a number do not tell it.
    #[serde(default)]
    pub scrolled: u64,
    /// What the program calls itself.
    pub title: String,
    /// What it asked for.
    pub modes: Modes,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyCode {
    /// A character, as it was typed: shift has been applied.
    Char(char),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, from 1 to 12.
    Function(u8),
}

/// A key with what was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Which.
    pub code: KeyCode,
    /// Shift was held, where the character does not say so already.
    #[serde(default)]
    pub shift: bool,
    /// Alt was held.
    #[serde(default)]
    pub alt: bool,
    /// Control was held.
    #[serde(default)]
    pub control: bool,
}

/// What a mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MouseAction {
    /// The left button went down.
    Press,
    /// The left button was moved while down.
    Drag,
    /// The left button came up.
    Release,
    /// The wheel was turned away from the user.
    WheelUp,
    /// The wheel was turned towards the user.
    WheelDown,
}

/// Something a person does to a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A key is pressed.
    Key(Key),
    /// Text is pasted, as one piece where the program knows how to take one; Enter is pressed after it on request.
    Paste {
        /// The text.
        text: String,
        /// Whether Enter follows.
        submit: bool,
    },
    /// The mouse, at a cell from the top left, from 0. Dropped where the program did not ask for it.
    Mouse {
        /// What it did.
        action: MouseAction,
        /// From the left.
        column: u16,
        /// From the top.
        row: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rows: &[&str], columns: u16) -> Frame {
        let size = Size { columns, rows: u16::try_from(rows.len()).expect("few rows") };
        let lines = rows.iter().map(|row| Arc::new(Line::plain(*row))).collect();
        Frame { lines, ..Frame::blank(size) }
    }

    #[test]
    fn an_update_carries_only_what_changed_and_makes_the_frame() {
        let old = frame(&["one", "two", "three"], 20);
        let mut new = frame(&["one", "zwei", "three"], 20);
        new.cursor = Some(Cursor { column: 3, row: 1, shape: CursorShape::Beam });
        new.history = 7;
        let update = new.update_from(&old);
        assert_eq!(update.lines.len(), 1);
        let mut shown = old;
        shown.apply(update);
        assert_eq!(shown, new);
    }

    #[test]
    fn a_new_size_carries_every_row() {
        let old = frame(&["one", "two"], 20);
        let new = frame(&["one", "two", "three"], 30);
        let update = new.update_from(&old);
        assert_eq!(update.lines.len(), 3);
        let mut shown = old;
        shown.apply(update);
        assert_eq!(shown, new);
    }

    #[test]
    fn an_update_that_does_not_fit_cannot_break_a_frame() {
        let mut shown = frame(&["one", "two"], 20);
        let mut update = shown.update_from(&shown);
        update.lines.push((9, Arc::new(Line::plain("outside"))));
        update.cursor = Some(Cursor { column: 20, row: 0, shape: CursorShape::Block });
        shown.apply(update);
        assert_eq!((shown.lines.len(), shown.cursor), (2, None));
        let size = Size { columns: 0, rows: u16::MAX };
        let update = Update { size, ..shown.update_from(&shown) };
        shown.apply(update);
        assert_eq!(shown.size, Size { columns: COLUMNS_MIN, rows: ROWS_MAX });
        assert_eq!(shown.lines.len(), usize::from(ROWS_MAX));
    }

    #[test]
    fn columns_count_wide_and_combining_characters() {
        assert_eq!(Line::plain("a界e\u{301}").columns(), 4);
    }
}
