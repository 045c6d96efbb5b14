//! A terminal's picture, cell by cell. Where there is less room than it has rows, its end is shown.

use pipeline_lib::terminal::{Attributes, Frame, Line, Style as CellStyle};
use pipeline_lib::view::pane::{Pane, Source};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::paint::{Painter, wrap};
use crate::dashboard::terminal::Caret;

/// Draws what an agent shows into an area, or why it shows nothing.
pub(super) fn draw(painter: &mut Painter<'_>, area: Rect, pane: &Pane) {
    let blank = pane.frame.lines.iter().all(|line| line.spans.is_empty());
    let note = match (pane.source, &pane.note) {
        (Source::Nothing, note) => Some(note.as_deref().unwrap_or("It has printed nothing yet.")),
        (Source::Log, Some(note)) if blank => Some(note.as_str()),
        (Source::Log, None) if blank => Some("It has printed nothing yet."),
        (Source::Log | Source::Terminal | Source::Multiplexer, _) => None,
    };
    match note {
        Some(note) => draw_note(painter, area, note),
        None => draw_frame(painter, area, &pane.frame),
    }
}

fn draw_note(painter: &mut Painter<'_>, area: Rect, note: &str) {
    let style = painter.theme.dim();
    // A column of nothing keeps the words apart from what is beside the pane.
    let width = area.width.saturating_sub(2);
    let note = pipeline_lib::text::one_line(note, usize::from(width) * usize::from(area.height));
    for (y, line) in (area.y..area.bottom()).zip(wrap(&note, width)) {
        painter.text(area.x + 1, y, width, &line, style);
    }
}

/// Draws a picture.
pub(in crate::dashboard) fn draw_frame(painter: &mut Painter<'_>, area: Rect, frame: &Frame) {
    let first = top_row(frame, area.height);
    for (y, line) in (area.y..area.bottom()).zip(frame.lines.iter().skip(first)) {
        draw_line(painter, Rect { y, height: 1, ..area }, line);
    }
}

/// Where the cursor of a picture is, if it is in sight.
pub(in crate::dashboard) fn caret(area: Rect, frame: &Frame) -> Option<Caret> {
    let cursor = frame.cursor.filter(|cursor| cursor.column < area.width)?;
    let y = place(area, frame, usize::from(cursor.row))?;
    Some(Caret { x: area.x + cursor.column, y, shape: cursor.shape })
}

/// The row of the screen for a row of a picture, if it is in sight.
pub(super) fn place(area: Rect, frame: &Frame, row: usize) -> Option<u16> {
    let below = row.checked_sub(top_row(frame, area.height)).filter(|below| *below < usize::from(area.height))?;
    Some(area.y + u16::try_from(below).ok()?)
}

/// Lays a style over columns of a row of a picture, the last one not included.
pub(in crate::dashboard) fn mark(
    painter: &mut Painter<'_>,
    area: Rect,
    frame: &Frame,
    (row, from, to): (usize, u16, u16),
    style: Style,
) {
    let Some(y) = place(area, frame, row) else { return };
    let (from, to) = (from.min(area.width), to.min(area.width));
    painter.overlay(Rect { x: area.x + from, y, width: to.saturating_sub(from), height: 1 }, style);
}

/// The first row to show: the last ones that hold anything have to be in sight, and so has the cursor.
pub(in crate::dashboard) fn top_row(frame: &Frame, rows: u16) -> usize {
    let last = frame.lines.iter().rposition(|line| !line.spans.is_empty()).map_or(0, |row| row + 1);
    let cursor = frame.cursor.map_or(0, |cursor| usize::from(cursor.row) + 1);
    last.max(cursor).min(frame.lines.len()).saturating_sub(usize::from(rows))
}

/// Draws a row of a picture into a row of the screen.
pub(super) fn draw_line(painter: &mut Painter<'_>, area: Rect, line: &Line) {
    let mut x = area.x;
    for span in &line.spans {
        let style = style(painter, span.style);
        x += painter.cells(x, area.y, area.right().saturating_sub(x), &span.text, style);
    }
}

fn style(painter: &Painter<'_>, cell: CellStyle) -> Style {
    let mut style = Style::new();
    let theme = painter.theme;
    if let Some(colour) = theme.colour(cell.foreground) {
        style = style.fg(colour);
    }
    if let Some(colour) = theme.colour(cell.background) {
        style = style.bg(colour);
    }
    for (attribute, modifier) in [
        (Attributes::BOLD, Modifier::BOLD),
        (Attributes::DIM, Modifier::DIM),
        (Attributes::ITALIC, Modifier::ITALIC),
        (Attributes::UNDERLINE, Modifier::UNDERLINED),
        (Attributes::REVERSED, Modifier::REVERSED),
        (Attributes::STRIKEOUT, Modifier::CROSSED_OUT),
        (Attributes::HIDDEN, Modifier::HIDDEN),
    ] {
        if cell.attributes.contains(attribute) {
            style = style.add_modifier(modifier);
        }
    }
    style
}
