//! The only way onto a buffer. Every text is made safe, cut by display width at the end of a character as people see it,
//! and written into cells; every age that is shown leaves behind when it will change. Nothing here knows what is drawn.

use jiff::Timestamp;
use pipeline_lib::text;
use ratatui::buffer::{Buffer, CellWidth};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use unicode_width::UnicodeWidthChar as _;

use crate::dashboard::theme::Theme;

/// Columns between two tab stops.
const TAB_COLUMNS: usize = 4;
/// The most characters of one cell: a letter with a few marks. More is an attack on the terminal's line.
const CELL_CHARS_MAX: usize = 6;

/// The most characters of one cell whose parts are joined: a family of four is one picture.
const CLUSTER_CHARS_MAX: usize = 10;
/// A name that has fewer columns says most with its beginning.
const NAME_COLUMNS_MIN: u16 = 6;

/// A part of a line.
pub(in crate::dashboard) type Part<'a> = (&'a str, Style);

/// A buffer with all that is needed to draw on it.
pub(in crate::dashboard) struct Painter<'a> {
    buffer: &'a mut Buffer,
    pub(super) theme: Theme,
    pub(super) now: Timestamp,
    /// When something drawn so far changes by itself.
    pub(super) changes_at: Option<Timestamp>,
}

impl<'a> Painter<'a> {
    pub(in crate::dashboard) fn new(buffer: &'a mut Buffer, theme: Theme, now: Timestamp) -> Self {
        Self { buffer, theme, now, changes_at: None }
    }

    /// Writes a text into at most `width` columns and says how many it took.
    pub(in crate::dashboard) fn text(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let room = self.buffer.area.right().saturating_sub(x).min(width);
        if y >= self.buffer.area.bottom() || room == 0 {
            return 0;
        }
        let fitted = fit(text, room, self.theme.ellipsis());
        let mut at = x;
        for grapheme in Span::raw(fitted.as_str()).styled_graphemes(Style::new()) {
            let columns = grapheme.symbol.cell_width();
            if columns == 0 || at + columns > x + room {
                continue;
            }
            for covered in at..at + columns {
                self.buffer[(covered, y)].reset();
            }
            self.buffer[(at, y)].set_symbol(grapheme.symbol).set_style(style);
            if columns > 1 {
                self.buffer.set_style(Rect::new(at, y, columns, 1), style);
            }
            at += columns;
        }
        at - x
    }

    /// Writes characters of a terminal into cells of their own, each as wide as terminals make it, and says how many
    /// columns that took. What does not fit is cut without a sign, and what must not reach a terminal shows as a sign.
    pub(super) fn cells(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let right = self.buffer.area.right().min(x.saturating_add(width));
        if y >= self.buffer.area.bottom() {
            return 0;
        }
        let mut at = x;
        let (mut symbol, mut base, mut joined) = (String::new(), 0, 0);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if text::is_joiner(c) {
                // Only between two that can be seen; alone it would be a way to hide something.
                let next = chars.peek().copied().filter(|next| at > x && is_seen(*next));
                let Some(next) = next.filter(|_| symbol.chars().count() + 1 < CLUSTER_CHARS_MAX) else { continue };
                symbol.push(c);
                // Two wide ones that are joined are one picture to a terminal that knows it, as wide as the first. The
                // program counts on the columns of both, which stay empty behind it.
                if c == '\u{200D}' && base == 2 && next.width() == Some(2) {
                    chars.next();
                    symbol.push(next);
                    let covered = 2.min(right - at);
                    for column in at..at + covered {
                        self.buffer[(column, y)].reset();
                        self.buffer[(column, y)].set_style(style);
                    }
                    joined += covered;
                    at += covered;
                }
                self.buffer[(at - base - joined, y)].set_symbol(&symbol);
                continue;
            }
            let c = if is_seen(c) { c } else { char::REPLACEMENT_CHARACTER };
            let columns = u16::try_from(c.width().unwrap_or(0)).unwrap_or(0);
            if columns == 0 {
                // It combines with the cell before, which a terminal that knows it shows as one.
                let max = if joined > 0 { CLUSTER_CHARS_MAX } else { CELL_CHARS_MAX };
                if at > x && symbol.chars().count() < max {
                    symbol.push(c);
                    self.buffer[(at - base - joined, y)].set_symbol(&symbol);
                }
                continue;
            }
            if at + columns > right {
                break;
            }
            for covered in at..at + columns {
                self.buffer[(covered, y)].reset();
                self.buffer[(covered, y)].set_style(style);
            }
            symbol.clear();
            symbol.push(c);
            (base, joined) = (columns, 0);
            self.buffer[(at, y)].set_symbol(&symbol);
            at += columns;
        }
        at - x
    }

    /// Writes a text so that it ends at the right edge of `width` columns.
    pub(super) fn right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let used = columns(text).min(width);
        self.text(x + width - used, y, used, text, style)
    }

    /// Writes parts one after the other.
    pub(in crate::dashboard) fn parts(&mut self, x: u16, y: u16, width: u16, parts: &[Part<'_>]) -> u16 {
        let mut used = 0;
        for (text, style) in parts {
            used += self.text(x + used, y, width - used, text, *style);
        }
        used
    }

    /// Where a text of small letters stands in a row that is already written: each place with its columns.
    pub(super) fn places_of(&self, row: Rect, needle: &str) -> Vec<(u16, u16)> {
        let row = row.intersection(self.buffer.area);
        let (mut text, mut cells) = (String::new(), Vec::new());
        for x in row.left()..row.right() {
            cells.push((text.len(), x));
            text.push_str(&self.buffer[(x, row.y)].symbol().to_lowercase());
        }
        let cell_of = |byte: usize| cells[cells.partition_point(|(begin, _)| *begin <= byte) - 1].1;
        let found = text.match_indices(needle).filter(|(_, found)| !found.is_empty());
        found.map(|(at, found)| (cell_of(at), cell_of(at + found.len() - 1) - cell_of(at) + 1)).collect()
    }

    /// Lays a style over cells that are already written.
    pub(super) fn overlay(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area, style);
    }

    /// Empties cells.
    pub(super) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// Draws the title line of a panel: its name, what there is to say beside it, a thin rule, and something at the end.
    pub(in crate::dashboard) fn rule(&mut self, area: Rect, title: &str, beside: &str, end: &str, focused: bool) {
        let theme = self.theme;
        let line = theme.pick("─", "-");
        let style = if focused { theme.accent() } else { theme.strong() };
        let marker = if focused { theme.pick("▌", ">") } else { " " };
        let mut x = area.x + self.text(area.x, area.y, 1, marker, style);
        x += self.text(x, area.y, area.right().saturating_sub(x), title, style) + 1;
        if !beside.is_empty() {
            x += self.text(x, area.y, area.right().saturating_sub(x), beside, theme.dim()) + 1;
        }
        let room = area.right().saturating_sub(x);
        // The end gives way first; a rule of three columns is what still looks like one.
        let tail = if end.is_empty() || room < 12 { 0 } else { columns(end).min(room - 4) + 1 };
        for at in x..area.right().saturating_sub(tail) {
            self.text(at, area.y, 1, line, theme.rule(focused));
        }
        if tail > 0 {
            self.right(area.right() - tail + 1, area.y, tail - 1, end, theme.text());
        }
    }

    /// Draws an empty box.
    pub(super) fn frame(&mut self, area: Rect, style: Style) {
        self.clear(area);
        if area.width < 2 || area.height < 2 {
            return;
        }
        let pick = |sign, ascii| self.theme.pick(sign, ascii);
        let (flat, up) = (pick("─", "-"), pick("│", "|"));
        let corners = [pick("╭", "+"), pick("╮", "+"), pick("╰", "+"), pick("╯", "+")];
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        for x in area.left()..=right {
            self.text(x, area.y, 1, flat, style);
            self.text(x, bottom, 1, flat, style);
        }
        for y in area.top()..=bottom {
            self.text(area.x, y, 1, up, style);
            self.text(right, y, 1, up, style);
        }
        for (at, corner) in [(area.x, area.y), (right, area.y), (area.x, bottom), (right, bottom)].iter().zip(corners) {
            self.text(at.0, at.1, 1, corner, style);
        }
    }

    /// How long ago something was, in at most four columns, and remembers when that changes.
    pub(super) fn age(&mut self, since: Timestamp) -> String {
        let (age, changes_at) = age(self.now, since);
        self.changes_by(changes_at);
        age
    }

    /// Notes that something drawn changes by itself at a time.
    pub(super) fn changes_by(&mut self, at: Timestamp) {
        self.changes_at = Some(self.changes_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Whether a character may reach a terminal as it is.
fn is_seen(c: char) -> bool {
    !text::is_hidden(c) && !c.is_control()
}

/// How long ago something was, and when that changes: each second in the first minute, then each minute, hour, day.
pub(super) fn age(now: Timestamp, since: Timestamp) -> (String, Timestamp) {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (unit, letter) = match seconds {
        0..60 => (1, 's'),
        60..3600 => (60, 'm'),
        3600..86400 => (3600, 'h'),
        _ => (86400, 'd'),
    };
    // A time in the future counts from now, so that a clock that was set back makes no frame due at once, for ever.
    let from = since.min(now);
    let next = from.checked_add(jiff::SignedDuration::from_secs((seconds / unit + 1) * unit)).unwrap_or(Timestamp::MAX);
    (format!("{}{letter}", seconds / unit), next)
}

/// The columns that a text takes once it is made safe.
pub(in crate::dashboard) fn columns(text: &str) -> u16 {
    // Most texts are such, and long ones are measured word by word.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return u16::try_from(text.len()).unwrap_or(u16::MAX);
    }
    let clean = clean(text, usize::from(u16::MAX));
    let total: usize =
        Span::raw(clean.as_str()).styled_graphemes(Style::new()).map(|g| usize::from(g.symbol.cell_width())).sum();
    u16::try_from(total).unwrap_or(u16::MAX)
}

/// A text that takes at most `width` columns, with an ellipsis where it was cut.
pub(super) fn fit(text: &str, width: u16, ellipsis: &str) -> String {
    if width == 0 {
        return String::new();
    }
    // A column holds one character with marks; what is beyond that cannot be seen, and its length must not cost anything.
    let clean = clean(text, usize::from(width) * CELL_CHARS_MAX + 1);
    let width = usize::from(width);
    let (mut out, mut used) = (String::new(), 0);
    // Where to cut so that the ellipsis still fits.
    let mut cut = 0;
    for grapheme in Span::raw(clean.as_str()).styled_graphemes(Style::new()) {
        let columns = usize::from(grapheme.symbol.cell_width());
        if used + columns > width {
            out.truncate(cut);
            out.push_str(ellipsis);
            return out;
        }
        out.extend(grapheme.symbol.chars().take(CELL_CHARS_MAX));
        used += columns;
        if used < width {
            cut = out.len();
        }
    }
    out
}

/// A name that takes at most `width` columns. What tells names apart often stands at their end, so that it is cut in the
/// middle.
pub(in crate::dashboard) fn fit_middle(name: &str, width: u16, ellipsis: &str) -> String {
    if columns(name) <= width || width < NAME_COLUMNS_MIN {
        return fit(name, width, ellipsis);
    }
    let clean = clean(name, usize::from(u16::MAX));
    let tail_room = (width - columns(ellipsis)) / 2;
    let span = Span::raw(clean.as_str());
    let graphemes: Vec<&str> = span.styled_graphemes(Style::new()).map(|grapheme| grapheme.symbol).collect();
    let (mut used, mut tail) = (0, Vec::new());
    for symbol in graphemes.iter().rev() {
        let columns = symbol.cell_width();
        if used + columns > tail_room {
            break;
        }
        used += columns;
        tail.push(*symbol);
    }
    tail.reverse();
    let head: String = graphemes[..graphemes.len() - tail.len()].concat();
    // One column more than there is room for makes the cut, whose sign then stands in the middle.
    format!("{}{}", fit(&head, width - used, ellipsis), tail.concat())
}

/// A text without its first columns. Of a wide character that is cut in two nothing is left.
pub(super) fn moved(text: &str, columns: u16) -> &str {
    let mut left = usize::from(columns);
    let cut = text.char_indices().find(|(_, c)| {
        let width = c.width().unwrap_or(0);
        let fits = left > 0 || width == 0 && columns > 0;
        left = left.saturating_sub(width);
        !fits
    });
    cut.map_or(if columns > 0 { "" } else { text }, |(at, _)| &text[at..])
}

/// A paragraph in lines of at most `width` columns, broken between words where there are any. What the first line is
/// indented by, all are; spaces inside a line stay, such as those of a table.
pub(in crate::dashboard) fn wrap(text: &str, width: u16) -> Vec<String> {
    let body = text.trim_start();
    let indent = &text[..text.len() - body.len()];
    let indent = if columns(indent) * 2 < width { indent } else { "" };
    let mut lines = vec![indent.to_owned()];
    for word in body.split_inclusive(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.len() > indent.len() && columns(line) + columns(word.trim_end()) > width {
            lines.push(format!("{indent}{word}"));
        } else {
            line.push_str(word);
        }
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// A single line without anything that steers a terminal, hides, or turns the direction of reading.
fn clean(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    for c in text::safe(text, chars_max).chars() {
        match c {
            '\t' => out.extend(std::iter::repeat_n(' ', TAB_COLUMNS - out.chars().count() % TAB_COLUMNS)),
            '\n' => out.push(' '),
            // Terminals disagree about the width of what these make of the character before them.
            '\u{FE0E}' | '\u{FE0F}' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_what_people_see_as_one_character() {
        for (text, width, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("a", 0, ""),
            ("a\tb", 8, "a   b"),
            ("a\nb", 8, "a b"),
        ] {
            assert_eq!(fit(text, width, "…"), expected, "{text:?} in {width}");
        }
        assert!(fit(&"\u{301}".repeat(10_000), 10, "…").len() < 200);
    }

    #[test]
    fn what_is_joined_is_in_one_cell_and_keeps_its_columns() {
        let shown = |text: &str, width: u16| {
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
            let mut painter = Painter::new(&mut buffer, Theme::default(), Timestamp::UNIX_EPOCH);
            let used = painter.cells(0, 0, width, text, Style::new());
            (used, (0..width).map(|x| buffer[(x, 0)].symbol().to_owned()).collect::<Vec<_>>())
        };
        let (used, cells) = shown("\u{1F469}\u{200D}\u{1F4BB}x", 6);
        assert_eq!((used, cells[0].as_str(), cells[4].as_str()), (5, "\u{1F469}\u{200D}\u{1F4BB}", "x"));
        assert_eq!(shown("\u{646}\u{200C}\u{645}", 3).1, ["\u{646}\u{200C}", "\u{645}", " "]);
        // Nothing hides: neither at an end, nor beside one that cannot be seen, nor what only changes a direction.
        for text in ["a\u{200D}", "\u{200D}a", "a\u{200D}\u{202E}", "a\u{200B}", "a\u{200F}"] {
            let (_, cells) = shown(text, 6);
            assert!(cells.iter().flat_map(|cell| cell.chars()).all(|c| !text::is_hidden(c)), "{text:?} {cells:?}");
        }
        let family = format!("a{}", "\u{200D}\u{1F469}".repeat(50));
        assert!(shown(&family, 200).1.iter().all(|cell| cell.chars().count() <= CLUSTER_CHARS_MAX));
    }

    #[test]
    fn names_are_cut_in_the_middle() {
        for (name, width, expected) in [
            ("architect", 9, "architect"),
            ("implementation-1", 9, "impl…on-1"),
            ("implementation-2", 10, "imple…on-2"),
            ("abcdefgh", 5, "abcd…"),
            ("漢字漢字漢字", 8, "漢字…字"),
        ] {
            assert_eq!(fit_middle(name, width, "…"), expected, "{name:?} in {width}");
            assert!(columns(&fit_middle(name, width, "…")) <= width);
        }
    }

    #[test]
    fn paragraphs_break_between_words() {
        for (text, width, expected) in [
            ("", 5, vec![""]),
            ("one two", 7, vec!["one two"]),
            ("one two", 6, vec!["one", "two"]),
            ("  key   some words", 12, vec!["  key   some", "  words"]),
            ("abcdefgh ij", 4, vec!["abcdefgh", "ij"]),
        ] {
            assert_eq!(wrap(text, width), expected, "{text:?} in {width}");
        }
    }

    #[test]
    fn ages_change_no_more_often_than_they_show() {
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        for (passed, shown, next) in [
            (0, "0s", 1),
            (59, "59s", 60),
            (60, "1m", 120),
            (119, "1m", 120),
            (3599, "59m", 3600),
            (3600, "1h", 7200),
            (90_000, "1d", 172_800),
        ] {
            assert_eq!(age(at(passed), at(0)), (shown.to_owned(), at(next)), "{passed}");
        }
        assert_eq!(age(at(0), at(100)).0, "0s");
        assert!(age(at(0), at(100)).1 > at(0));
    }
}
