//! What tmux says of one of its panes, read as a picture. Nothing that was printed there comes out but as text with a style.
//!
//! Knows the words in which tmux is asked and in which it answers; asks nothing itself.

use std::sync::Arc;

use super::keys::{InputModes, MouseEncoding, MouseReports};
use super::sgr::Reader;
use super::{Cursor, CursorShape, Frame, Line, Modes, Size, Span, Style, columns_of};
use crate::text;

/// What to ask of a pane, in the language of tmux: [`State::parse`] reads the answer. What may hold spaces comes last.
pub const STATE: &str = "#{session_name} #{pane_id} #{pane_width} #{pane_height} #{history_size} #{cursor_x} #{cursor_y} \
     #{cursor_flag} #{alternate_on} #{keypad_cursor_flag} #{mouse_standard_flag} #{mouse_button_flag} #{mouse_all_flag} \
     #{mouse_utf8_flag} #{mouse_sgr_flag} #{pane_title}";

/// Characters of a title that are kept.
const TITLE_CHARS_MAX: usize = 200;

/// How a pane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The name of its session.
    pub session: String,
    /// Its own name.
    pub pane: String,
    /// Its size.
    pub size: Size,
    /// How many lines there are above the present screen.
    pub history: usize,
    /// Where the cursor is, if it shows.
    pub cursor: Option<Cursor>,
    /// What the program asked for that somebody who shows it has to know.
    pub modes: Modes,
    /// What it asked for that changes what it is sent. How it takes pasted text is not told, and tmux sees to that itself.
    pub input: InputModes,
    /// What the program calls itself, made safe.
    pub title: String,
}

impl State {
    /// Reads the answer to [`STATE`]; nothing where it is another one.
    #[must_use]
    pub fn parse(answer: &str) -> Option<Self> {
        let mut words = answer.trim_end_matches('\n').splitn(16, ' ');
        let (session, pane) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (columns, rows) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let size = Size { columns, rows }.clamped();
        let history = words.next()?.parse().ok()?;
        let (column, row): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut flag = || words.next().map(|word| word == "1");
        let (shows, alternate, application_cursor) = (flag()?, flag()?, flag()?);
        let (standard, button, all) = (flag()?, flag()?, flag()?);
        let (characters, numbers) = (flag()?, flag()?);
        let title = text::one_line(words.next().unwrap_or_default(), TITLE_CHARS_MAX);
        let mouse = match (standard, button || all) {
            (_, true) => MouseReports::Drags,
            (true, false) => MouseReports::Buttons,
            (false, false) => MouseReports::Off,
        };
        let mouse_encoding = match (numbers, characters) {
            (true, _) => MouseEncoding::Numbers,
            (false, true) => MouseEncoding::Characters,
            (false, false) => MouseEncoding::Bytes,
        };
        let takes_mouse = mouse != MouseReports::Off;
        // Behind the last column the cursor waits for the next character.
        let cursor = Cursor { column: column.min(size.columns - 1), row, shape: CursorShape::Block };
        Some(Self {
            session,
            pane,
            size,
            history,
            cursor: Some(cursor).filter(|cursor| shows && cursor.row < size.rows),
            modes: Modes { alternate, mouse: takes_mouse },
            input: InputModes {
                application_cursor,
                mouse,
                mouse_encoding,
                wheel_is_arrows: alternate && !takes_mouse,
                ..InputModes::default()
            },
            title,
        })
    }

    /// The picture of a pane in this state whose rows, so many lines above the present screen, were printed as this.
    /// `scrolled` is how many lines have left the present screen, see [`Frame::scrolled`].
    #[must_use]
    pub fn frame(&self, printed: &str, offset: usize, scrolled: u64) -> Frame {
        let mut frame = Frame::blank(self.size);
        let mut reader = Reader::default();
        for (place, row) in frame.lines.iter_mut().zip(printed.split('\n')) {
            *place = Arc::new(fitting(reader.line(&drawn(row)), usize::from(self.size.columns)));
        }
        frame.offset = offset.min(self.history);
        frame.cursor = self.cursor.filter(|_| frame.offset == 0);
        frame.history = self.history;
        frame.scrolled = scrolled;
        frame.title.clone_from(&self.title);
        frame.modes = self.modes;
        frame
    }
}

/// Cuts a row to its columns, and leaves out what is blank at its end.
fn fitting(mut line: Line, columns: usize) -> Line {
    let mut left = columns;
    for span in &mut line.spans {
        let end = span.text.char_indices().find(|(_, c)| match left.checked_sub(columns_of(*c)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => {
                left = 0;
                true
            }
        });
        if let Some((at, _)) = end {
            span.text.truncate(at);
        }
    }
    while let Some(Span { text, style }) = line.spans.last_mut() {
        if *style == Style::default() {
            text.truncate(text.trim_end_matches(' ').len());
        }
        if !text.is_empty() {
            break;
        }
        line.spans.pop();
    }
    line
}

/// The characters that a terminal draws for letters once its program has shifted to the line-drawing set.
fn drawn(row: &str) -> String {
    let mut shifted = false;
    let mut out = String::with_capacity(row.len());
    let mut rest = row;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\u{1B}' => {
                let after = text::skip_sequence(rest);
                out.push_str(&rest[..rest.len() - after.len()]);
                rest = after;
                continue;
            }
            '\u{0E}' => {
                shifted = true;
                1
            }
            '\u{0F}' => {
                shifted = false;
                1
            }
            other => {
                out.push(if shifted { line_drawing(other) } else { other });
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    out
}

/// The special graphics of the DEC VT100.
fn line_drawing(c: char) -> char {
    match c {
        '`' => '◆',
        'a' => '▒',
        'f' => '°',
        'g' => '±',
        'h' => '░',
        'i' => '☃',
        'j' => '┘',
        'k' => '┐',
        'l' => '┌',
        'm' => '└',
        'n' => '┼',
        'o' => '⎺',
        'p' => '⎻',
        'q' => '─',
        'r' => '⎼',
        's' => '⎽',
        't' => '├',
        'u' => '┤',
        'v' => '┴',
        'w' => '┬',
        'x' => '│',
        'y' => '≤',
        'z' => '≥',
        '{' => 'π',
        '|' => '≠',
        '}' => '£',
        '~' => '·',
        '0' => '█',
        '+' => '→',
        ',' => '←',
        '-' => '↑',
        '.' => '↓',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Colour;
    use super::*;

    const PLAIN: &str = "R-1 %3 20 3 7 5 1 1 0 0 0 0 0 0 0 a title of\tit\n";

    fn texts(frame: &Frame) -> Vec<String> {
        frame.lines.iter().map(|line| line.text()).collect()
    }

    #[test]
    fn an_answer_is_read_and_another_one_is_not() {
        let state = State::parse(PLAIN).unwrap();
        assert_eq!((state.session.as_str(), state.pane.as_str(), state.history), ("R-1", "%3", 7));
        assert_eq!(state.size, Size { columns: 20, rows: 3 });
        assert_eq!(state.cursor, Some(Cursor { column: 5, row: 1, shape: CursorShape::Block }));
        assert_eq!(state.title, "a title of it");
        assert_eq!((state.modes, state.input), (Modes::default(), InputModes::default()));
        let hidden = State::parse("R-1 %3 20 3 7 20 1 0 1 1 0 0 1 0 1 \n").unwrap();
        assert_eq!((hidden.cursor, hidden.modes), (None, Modes { alternate: true, mouse: true }));
        assert_eq!(hidden.input.mouse, MouseReports::Drags);
        assert_eq!(hidden.input.mouse_encoding, MouseEncoding::Numbers);
        assert!(hidden.input.application_cursor && !hidden.input.wheel_is_arrows);
        let wrapping = State::parse("R-1 %3 20 3 7 20 1 1 1 0 0 0 0 0 0 \n").unwrap();
        assert_eq!(wrapping.cursor.map(|cursor| cursor.column), Some(19));
        assert!(wrapping.input.wheel_is_arrows);
        for other in ["", "no server running", " %3 x 3 7", "R-1 %3 20 3 7 5 1 1 0"] {
            assert_eq!(State::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn rows_keep_their_colours_and_lose_what_is_blank() {
        let state = State::parse(PLAIN).unwrap();
        let frame = state.frame("\u{1b}[41mred  \nstill\u{1b}[49m here   \n   \n", 0, 9);
        assert_eq!(texts(&frame), ["red  ", "still here", ""]);
        assert_eq!(frame.lines[1].spans[0].style.background, Colour::Indexed(1));
        assert_eq!((frame.offset, frame.history, frame.scrolled), (0, 7, 9));
        assert!(frame.cursor.is_some());
        let above = state.frame("one\ntwo\nthree\n", 9, 9);
        assert_eq!((above.offset, above.cursor), (7, None), "no further up than there is anything");
    }

    #[test]
    fn lines_are_drawn_where_the_set_was_shifted() {
        assert_eq!(drawn("q\u{e}lq\u{1b}[31mk\u{f}q"), "q┌─\u{1b}[31m┐q");
        let state = State::parse(PLAIN).unwrap();
        assert_eq!(texts(&state.frame("\u{e}mqj\u{f} x", 0, 0))[0], "└─┘ x");
    }

    proptest! {
        #[test]
        fn a_row_is_never_wider_than_the_pane_and_holds_only_what_can_be_seen(
            printed in "(\\PC|[\u{1b}\\[\\]0-9;:mHJ\u{9b}\r\n\t\u{7}\u{e}\u{f}\u{202e}界]){0,80}",
        ) {
            let frame = State::parse(PLAIN).unwrap().frame(&printed, 0, 0);
            prop_assert_eq!(frame.lines.len(), 3);
            for line in &frame.lines {
                prop_assert!(line.columns() <= 20);
                prop_assert!(!line.text().chars().any(|c| (text::is_hidden(c) && !text::is_joiner(c)) || c.is_control()));
            }
        }
    }
}
