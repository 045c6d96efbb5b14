//! Rows of text made before they are drawn, so that they can be counted, scrolled and put side by side.

use jiff::Timestamp;
use pipeline_lib::terminal::columns_of;
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::Theme;
use crate::dashboard::view::paint::{Painter, age, columns, wrap};

/// A row, part by part.
pub(super) type Row = Vec<(String, Style)>;

/// Rows below each other, and when something in them changes by itself.
pub(super) struct Rows {
    pub(super) theme: Theme,
    pub(super) width: u16,
    now: Timestamp,
    pub(super) rows: Vec<Row>,
    changes_at: Option<Timestamp>,
}

impl Rows {
    pub(super) fn new(theme: Theme, now: Timestamp, width: u16) -> Self {
        Self { theme, width, now, rows: Vec::new(), changes_at: None }
    }

    /// How long ago something was.
    pub(super) fn age(&mut self, since: Timestamp) -> String {
        let (age, changes_at) = age(self.now, since);
        self.changes_at = Some(self.changes_at.map_or(changes_at, |earlier| earlier.min(changes_at)));
        age
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// An empty row, unless there is one already or nothing stands before it.
    pub(super) fn gap(&mut self) {
        if self.rows.last().is_some_and(|row| !row.is_empty()) {
            self.rows.push(Row::new());
        }
    }

    /// A text in as many rows as it needs, each behind `indent` columns.
    pub(super) fn text(&mut self, indent: u16, text: &str, style: Style) {
        let room = self.width.saturating_sub(indent).max(1);
        for line in text.lines().flat_map(|line| wrap(line, room)).flat_map(|line| broken(line, room)) {
            self.rows.push(vec![(" ".repeat(usize::from(indent)), Style::new()), (line, style)]);
        }
    }

    /// A text behind a label of `indent` columns.
    pub(super) fn labelled(&mut self, indent: u16, label: &str, text: &str, style: Style) {
        let first = self.rows.len();
        self.text(indent, text, style);
        if let Some(row) = self.rows.get_mut(first) {
            let gap = usize::from(indent.saturating_sub(columns(label)));
            row[0] = (format!("{label}{}", " ".repeat(gap)), self.theme.dim());
        }
    }

    /// Parts one after the other, with a new row where one of them does not fit any more.
    pub(super) fn flow(&mut self, parts: Vec<Row>) {
        let (mut row, mut used) = (Row::new(), 0);
        for part in parts {
            let needed: u16 = part.iter().map(|(text, _)| columns(text)).sum();
            if used > 0 && used + needed > self.width {
                self.rows.push(std::mem::take(&mut row));
                used = 0;
            }
            used += needed;
            row.extend(part);
        }
        if !row.is_empty() {
            self.rows.push(row);
        }
    }

    /// A sign and what it stands before.
    pub(super) fn sign(&self, tone: Tone) -> (String, Style) {
        (format!("{} ", self.theme.sign(tone)), self.theme.tone(tone))
    }

    /// Draws the rows from `top` on.
    pub(super) fn draw(&self, painter: &mut Painter<'_>, area: Rect, top: usize) {
        for (y, row) in (area.y..area.bottom()).zip(self.rows.iter().skip(top)) {
            let parts: Vec<(&str, Style)> = row.iter().map(|(text, style)| (text.as_str(), *style)).collect();
            painter.parts(area.x, y, area.width, &parts);
        }
        self.changes_at.into_iter().for_each(|at| painter.changes_by(at));
    }
}

/// A line in pieces that fit, for one that has no spaces to be broken at.
fn broken(line: String, room: u16) -> Vec<String> {
    if columns(&line) <= room {
        return vec![line];
    }
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let wide = u16::try_from(columns_of(c)).unwrap_or(0);
        if used + wide > room && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_spaces_is_broken_where_it_has_to_be() {
        let mut rows = Rows::new(Theme::default(), Timestamp::UNIX_EPOCH, 10);
        rows.text(2, "one two three\nhttps://example.org/x\n漢字漢字漢字", Style::new());
        let texts: Vec<String> = rows.rows.iter().map(|row| row[1].0.clone()).collect();
        assert_eq!(texts, ["one two", "three", "https://", "example.", "org/x", "漢字漢字", "漢字"]);
    }
}
