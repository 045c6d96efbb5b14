//! Text that grows at its end and is looked at like a terminal: broken into rows of a width, scrolled back, searched. The
//! oldest of it is forgotten beyond a bound, so that it never fills the memory.

use std::collections::VecDeque;
use std::sync::Arc;

use unicode_width::UnicodeWidthChar as _;

use super::{COLUMNS_MIN, Frame, Line, Size, Span, Style};

/// How much text is kept, in bytes.
pub const BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many rows are kept.
pub const ROWS_MAX: usize = 50_000;

/// The text with its rows.
#[derive(Debug)]
pub struct Document {
    columns: usize,
    lines: VecDeque<Entry>,
    rows: VecDeque<Arc<Line>>,
    bytes: usize,
    /// How many rows were forgotten since they were last broken.
    forgotten: u64,
}

/// A row by which somebody keeps their place while the text grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor(u64);

#[derive(Debug)]
struct Entry {
    line: Arc<Line>,
    bytes: usize,
    rows: usize,
}

impl Document {
    /// Nothing yet, to be shown in this many columns.
    #[must_use]
    pub fn new(columns: u16) -> Self {
        let columns = usize::from(columns.max(COLUMNS_MIN));
        Self { columns, lines: VecDeque::new(), rows: VecDeque::new(), bytes: 0, forgotten: 0 }
    }

    /// Adds a line at the end.
    pub fn push(&mut self, line: Line) {
        let line = Arc::new(line);
        let bytes = line.spans.iter().map(|span| span.text.len()).sum();
        let rows = wrap(&line, self.columns);
        self.bytes += bytes;
        self.lines.push_back(Entry { line, bytes, rows: rows.len() });
        self.rows.extend(rows);
        while (self.bytes > BYTES_MAX || self.rows.len() > ROWS_MAX) && self.lines.len() > 1 {
            if let Some(oldest) = self.lines.pop_front() {
                self.rows.drain(..oldest.rows);
                self.bytes -= oldest.bytes;
                self.forgotten += oldest.rows as u64;
            }
        }
    }

    /// Takes the last line away, for one that goes on to grow.
    pub fn pop(&mut self) {
        if let Some(last) = self.lines.pop_back() {
            self.rows.truncate(self.rows.len() - last.rows);
            self.bytes -= last.bytes;
        }
    }

    /// Breaks the lines anew where the width is another one. Anchors mean nothing any more then.
    pub fn set_columns(&mut self, columns: u16) {
        let columns = usize::from(columns.max(COLUMNS_MIN));
        if columns == self.columns {
            return;
        }
        self.columns = columns;
        self.rows.clear();
        self.forgotten = 0;
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        // From the newest on, so that no more is broken than is kept.
        for mut entry in lines.into_iter().rev() {
            let rows = wrap(&entry.line, columns);
            if self.rows.len() + rows.len() > ROWS_MAX && !self.lines.is_empty() {
                break;
            }
            entry.rows = rows.len();
            self.bytes += entry.bytes;
            rows.into_iter().rev().for_each(|row| self.rows.push_front(row));
            self.lines.push_front(entry);
        }
    }

    /// What is to be seen of it: its end, or what is so many rows above that.
    #[must_use]
    pub fn frame(&self, size: Size, offset: usize) -> Frame {
        let mut frame = Frame::blank(size.clamped());
        frame.history = self.history(size.rows);
        frame.offset = offset.min(frame.history);
        frame.scrolled = self.scrolled(size.clamped().rows);
        let shown = self.rows.iter().skip(frame.history - frame.offset);
        for (place, row) in frame.lines.iter_mut().zip(shown) {
            *place = Arc::clone(row);
        }
        frame
    }

    /// How many rows there are above a screen of so many.
    fn history(&self, rows: u16) -> usize {
        self.rows.len().saturating_sub(usize::from(rows))
    }

    /// How many rows have left a present screen of so many upwards, see [`Frame::scrolled`].
    #[must_use]
    pub fn scrolled(&self, rows: u16) -> u64 {
        self.forgotten + self.history(rows) as u64
    }

    /// A place so many rows above the present screen; none where that is the present screen.
    #[must_use]
    pub fn anchor(&self, rows: u16, offset: usize) -> Option<Anchor> {
        let history = self.history(rows);
        let offset = offset.min(history);
        (offset > 0).then(|| Anchor(self.forgotten + (history - offset) as u64))
    }

    /// How many rows above the present screen that place is now; what is forgotten is where the oldest row is.
    #[must_use]
    pub fn offset(&self, rows: u16, anchor: Option<Anchor>) -> usize {
        let Some(Anchor(row)) = anchor else { return 0 };
        let place = usize::try_from(row.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        self.history(rows).saturating_sub(place)
    }

    /// The offset that has the next row with a text in sight, without regard to case: the nearest above the first row
    /// that is seen at `offset`, or below it.
    #[must_use]
    pub fn search(&self, rows: u16, needle: &str, offset: usize, forward: bool) -> Option<usize> {
        let needle = needle.to_lowercase();
        if needle.is_empty() {
            return None;
        }
        let history = self.history(rows);
        let first = history - offset.min(history);
        let has_text =
            |row: &usize| self.rows.get(*row).is_some_and(|line| line.text().to_lowercase().contains(needle.as_str()));
        let row = match forward {
            true => (first + 1..self.rows.len()).find(has_text),
            false => (0..first).rev().find(has_text),
        };
        row.map(|row| history.saturating_sub(row))
    }

    /// The text of rows, given by how many rows they are above the last one of the present screen, oldest first.
    #[must_use]
    pub fn text(&self, rows: u16, from: usize, to: usize) -> Vec<String> {
        let total = self.rows.len().max(usize::from(rows));
        let place = |above: usize| total.saturating_sub(above.saturating_add(1));
        let (first, last) = (place(from.max(to)), place(from.min(to)));
        (first..=last).map(|row| self.rows.get(row).map_or_else(String::new, |line| line.text())).collect()
    }
}

/// A line in rows of at most so many columns. It is broken behind a space where one is near, else within a word.
#[must_use]
pub fn wrap(line: &Arc<Line>, columns: usize) -> Vec<Arc<Line>> {
    if line.columns() <= columns {
        return vec![Arc::clone(line)];
    }
    let mut rows = Vec::new();
    let mut row: Vec<(char, Style)> = Vec::new();
    // The columns of the row, and where it could be broken: how many characters and columns come before.
    let (mut wide, mut space) = (0, (0, 0));
    for span in &line.spans {
        for c in span.text.chars() {
            let width = c.width().unwrap_or(0);
            while wide + width > columns && !row.is_empty() {
                let (at, before) = if space.1 * 2 >= columns { space } else { (row.len(), wide) };
                let rest = row.split_off(at);
                rows.push(Arc::new(join(&row)));
                (row, wide, space) = (rest, wide - before, (0, 0));
            }
            row.push((c, span.style));
            wide += width;
            if c == ' ' {
                space = (row.len(), wide);
            }
        }
    }
    rows.push(Arc::new(join(&row)));
    rows
}

fn join(row: &[(char, Style)]) -> Line {
    let mut line = Line::default();
    for (c, style) in row {
        match line.spans.last_mut() {
            Some(span) if span.style == *style => span.text.push(*c),
            _ => line.spans.push(Span { text: c.to_string(), style: *style }),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(columns: u16, lines: &[&str]) -> Document {
        let mut document = Document::new(columns);
        lines.iter().for_each(|line| document.push(Line::plain(*line)));
        document
    }

    fn shown(document: &Document, columns: u16, rows: u16, offset: usize) -> Vec<String> {
        document.frame(Size { columns, rows }, offset).lines.iter().map(|line| line.text()).collect()
    }

    #[test]
    fn lines_are_broken_behind_spaces_that_are_near_and_else_anywhere() {
        let document = document(10, &["one two three", "aaaaaaaaaaaabbb", "x yyyyyyyyyyyyyy", "漢字漢字漢字"]);
        let rows: Vec<String> = document.rows.iter().map(|row| row.text()).collect();
        assert_eq!(rows, ["one two ", "three", "aaaaaaaaaa", "aabbb", "x yyyyyyyy", "yyyyyy", "漢字漢字漢", "字"]);
    }

    #[test]
    fn the_end_is_seen_unless_something_above_is_wished_for() {
        let mut document = document(10, &["1", "2"]);
        assert_eq!(shown(&document, 10, 4, 0), ["1", "2", "", ""]);
        ["3", "4", "5", "6"].iter().for_each(|line| document.push(Line::plain(*line)));
        assert_eq!(shown(&document, 10, 4, 0), ["3", "4", "5", "6"]);
        assert_eq!(shown(&document, 10, 4, 1), ["2", "3", "4", "5"]);
        assert_eq!(shown(&document, 10, 4, 99), ["1", "2", "3", "4"]);
        let frame = document.frame(Size { columns: 10, rows: 4 }, 99);
        assert_eq!((frame.offset, frame.history), (2, 2));
        document.pop();
        assert_eq!(shown(&document, 10, 4, 0), ["2", "3", "4", "5"]);
    }

    #[test]
    fn rows_are_named_from_the_end_of_the_present_screen() {
        let document = document(10, &["1", "2", "3", "4", "5", "6"]);
        assert_eq!(document.text(4, 2, 0), ["4", "5", "6"]);
        assert_eq!(document.text(4, 99, 4), ["1", "2"]);
        let short = self::document(10, &["1", "2"]);
        assert_eq!(short.text(4, 3, 1), ["1", "2", ""]);
    }

    #[test]
    fn a_place_is_kept_while_the_text_grows() {
        let mut document = document(10, &["1", "2", "3", "4", "5"]);
        assert_eq!(document.anchor(2, 0), None);
        let anchor = document.anchor(2, 2);
        assert_eq!(document.offset(2, anchor), 2);
        document.push(Line::plain("6 6 6 6 6 6 6 6"));
        assert_eq!(document.offset(2, anchor), 4);
        assert_eq!(shown(&document, 10, 2, 4), ["2", "3"]);
        for _ in 0..ROWS_MAX {
            document.push(Line::default());
        }
        assert_eq!(document.offset(2, anchor), ROWS_MAX - 2, "where the oldest row is");
    }

    #[test]
    fn a_text_is_found_above_and_below_what_is_seen_first() {
        let document = document(10, &["an Apple", "2", "apple", "4", "apple", "6"]);
        // The present screen begins with row 4.
        assert_eq!(document.search(2, "APPLE", 0, false), Some(2));
        assert_eq!(document.search(2, "apple", 2, false), Some(4));
        assert_eq!(document.search(2, "apple", 4, false), None);
        assert_eq!(document.search(2, "apple", 4, true), Some(2));
        assert_eq!(document.search(2, "apple", 2, true), Some(0));
        assert_eq!(document.search(2, "pear", 0, false), None);
        assert_eq!(document.search(2, "", 4, true), None);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut document = Document::new(80);
        let line = "x".repeat(1000);
        for n in 0..5_000 {
            document.push(Line::plain(format!("{n} {line}")));
        }
        assert!(document.bytes <= BYTES_MAX && document.bytes > BYTES_MAX - 2_000);
        assert_eq!(document.rows.len(), document.lines.iter().map(|entry| entry.rows).sum::<usize>());
        for _ in 0..2 * ROWS_MAX {
            document.push(Line::default());
        }
        assert_eq!(document.rows.len(), ROWS_MAX);
        document.push(Line::plain("y".repeat(1_000)));
        document.set_columns(2);
        assert!(document.rows.len() <= ROWS_MAX);
        assert_eq!(document.rows.len(), document.lines.iter().map(|entry| entry.rows).sum::<usize>());
    }

    proptest! {
        #[test]
        fn rows_fit_and_say_what_the_line_says(text in "[ab 界e\u{301}]{0,60}", columns in 2u16..20) {
            let mut document = Document::new(80);
            document.push(Line::plain(text.as_str()));
            document.set_columns(columns);
            let rows: Vec<String> = document.rows.iter().map(|row| row.text()).collect();
            prop_assert_eq!(rows.concat(), text);
            prop_assert!(document.rows.iter().all(|row| row.columns() <= usize::from(columns)));
        }
    }
}
