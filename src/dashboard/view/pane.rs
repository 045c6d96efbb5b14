//! A terminal's picture, cell by cell. Where there is less room than it has rows, its end is shown.

use pipeline_lib::terminal::{Attributes, Frame, Line, Style as CellStyle};
use pipeline_lib::view::pane::{Pane, Source};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::paint::Painter;

/// Draws a picture into an area; where the keys go to it, with its cursor.
pub(super) fn draw(painter: &mut Painter<'_>, area: Rect, pane: &Pane, typing: bool) {
    let frame = &pane.frame;
    if pane.source == Source::Nothing {
        let note = pane.note.as_deref().unwrap_or("It has printed nothing yet.");
        painter.text(area.x, area.y, area.width, note, painter.theme.dim());
        return;
    }
    let first = first_row(frame, area.height);
    for (y, line) in (area.y..area.bottom()).zip(frame.lines.iter().skip(first)) {
        draw_line(painter, Rect { y, height: 1, ..area }, line);
    }
    let Some(cursor) = frame.cursor.filter(|_| typing) else { return };
    let row = usize::from(cursor.row);
    if row >= first && row - first < usize::from(area.height) && cursor.column < area.width {
        let y = area.y + u16::try_from(row - first).unwrap_or(0);
        painter.overlay(Rect::new(area.x + cursor.column, y, 1, 1), Style::new().add_modifier(Modifier::REVERSED));
    }
}

/// The first row to show: the last ones that hold anything have to be in sight, and so has the cursor.
pub(super) fn first_row(frame: &Frame, rows: u16) -> usize {
    let last = frame.lines.iter().rposition(|line| !line.spans.is_empty()).map_or(0, |row| row + 1);
    let cursor = frame.cursor.map_or(0, |cursor| usize::from(cursor.row) + 1);
    last.max(cursor).saturating_sub(usize::from(rows))
}

fn draw_line(painter: &mut Painter<'_>, area: Rect, line: &Line) {
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
