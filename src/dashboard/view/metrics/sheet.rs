//! Rows of figures that are put together before it is known which of them are in sight, and the curves and bars in them.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::Theme;
use crate::dashboard::view::paint::{Painter, columns};

/// A text at its place in a row.
#[derive(Debug, Clone)]
struct Item {
    x: u16,
    width: u16,
    text: String,
    style: Style,
    right: bool,
}

/// The rows.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    pub(super) theme: Theme,
    pub(super) width: u16,
    rows: Vec<Vec<Item>>,
}

impl Sheet {
    pub(super) fn new(theme: Theme, width: u16) -> Self {
        Self { theme, width, rows: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Begins a row.
    pub(super) fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    /// An empty row, where there is room for one.
    pub(super) fn gap(&mut self, roomy: bool) {
        if roomy {
            self.row();
        }
    }

    /// Puts a text into the present row.
    pub(super) fn text(&mut self, x: u16, width: u16, text: &str, style: Style) {
        self.put(Item { x, width, text: text.to_owned(), style, right: false });
    }

    /// Puts a text into the present row so that it ends at the right edge of `width` columns.
    pub(super) fn right(&mut self, x: u16, width: u16, text: &str, style: Style) {
        self.put(Item { x, width, text: text.to_owned(), style, right: true });
    }

    fn put(&mut self, item: Item) {
        if let Some(row) = self.rows.last_mut() {
            row.push(item);
        }
    }

    /// Puts other rows below.
    pub(super) fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// Puts two side by side below, the second one from a column on.
    pub(super) fn beside(&mut self, one: Self, other: Self, x: u16) {
        let rows = one.rows.len().max(other.rows.len());
        let (mut one, mut other) = (one.rows.into_iter(), other.rows.into_iter());
        for _ in 0..rows {
            let mut row = one.next().unwrap_or_default();
            row.extend(other.next().into_iter().flatten().map(|item| Item { x: item.x + x, ..item }));
            self.rows.push(row);
        }
    }

    /// Puts facts below, as many to a row as fit.
    pub(super) fn flow(&mut self, facts: &[(&str, String)]) {
        let theme = self.theme;
        let mut x = u16::MAX;
        for (word, value) in facts {
            let needed = columns(word) + 1 + columns(value);
            if x.saturating_add(needed) > self.width {
                self.row();
                x = 0;
            }
            self.text(x, columns(word), word, theme.dim());
            let at = x + columns(word) + 1;
            self.text(at, self.width.saturating_sub(at), value, theme.text());
            x += needed + 3;
        }
    }

    pub(super) fn draw(&self, painter: &mut Painter<'_>, area: Rect, top: usize) {
        for (y, row) in (area.y..area.bottom()).zip(self.rows.iter().skip(top)) {
            for item in row {
                let width = item.width.min(area.width.saturating_sub(item.x));
                if item.right {
                    painter.right(area.x + item.x, y, width, &item.text, item.style);
                } else {
                    painter.text(area.x + item.x, y, width, &item.text, item.style);
                }
            }
        }
    }
}

/// A curve of one column for each value, as rows from top to bottom: eighths of a row, or digits from 1 to 9 in a single row
/// where only ASCII may be used. Nothing stands where nothing is known, and a low mark where the value is 0.
pub(super) fn curve(theme: Theme, values: &[Option<f64>], rows: usize) -> Vec<String> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let share = |value: f64| if most > 0.0 { value / most } else { 0.0 };
    if theme.ascii {
        let digit = |value: f64| match value > 0.0 {
            false => '.',
            true => char::from_digit(((share(value) * 9.0).round() as u32).clamp(1, 9), 10).unwrap_or('9'),
        };
        return vec![values.iter().map(|value| value.map_or(' ', digit)).collect()];
    }
    // What is there at all is higher than what is not.
    let height = |value: f64| match value > 0.0 {
        false => 1,
        true => ((share(value) * 8.0 * rows as f64).round() as usize).max(2),
    };
    let row = |below: usize| {
        let sign = |value: &Option<f64>| EIGHTHS[value.map_or(0, height).saturating_sub(below * 8).min(8)];
        values.iter().map(sign).collect()
    };
    (0..rows).rev().map(row).collect()
}

/// A bar for a share of the most there is, in eighths of a column where there are signs for them.
pub(super) fn bar(theme: Theme, value: f64, most: f64, room: u16) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if most <= 0.0 || value <= 0.0 || room == 0 {
        return String::new();
    }
    let length = value / most * f64::from(room);
    if theme.ascii {
        return "#".repeat((length.round() as usize).max(1));
    }
    let eighths = ((length * 8.0).round() as usize).max(1);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Theme = Theme {
        depth: crate::dashboard::theme::Depth::Mono,
        ground: crate::dashboard::theme::Ground::Own,
        ascii: true,
    };

    #[test]
    fn curves_show_what_is_nothing_what_is_unknown_and_what_is_most() {
        let values = [Some(0.0), None, Some(0.1), Some(4.0), Some(8.0)];
        assert_eq!(curve(Theme::default(), &values, 1), ["▁ ▂▄█"]);
        assert_eq!(curve(Theme::default(), &values, 2), ["    █", "▁ ▂██"]);
        assert_eq!(curve(ASCII, &values, 2), [". 159"]);
        assert_eq!(curve(Theme::default(), &[Some(0.0)], 1), ["▁"]);
    }

    #[test]
    fn bars_never_vanish_while_there_is_something() {
        let of = |value: f64| bar(Theme::default(), value, 100.0, 4);
        assert_eq!([of(0.0), of(0.01), of(50.0), of(100.0)], ["", "▏", "██", "████"]);
        assert_eq!(bar(ASCII, 50.0, 100.0, 4), "##");
        assert_eq!(bar(ASCII, 1.0, 0.0, 4), "");
    }
}
