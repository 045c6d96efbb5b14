//! The command palette: the line that is typed, and the verbs that fit it.

use ratatui::layout::Rect;

use super::overlay;
use super::paint::{Painter, columns};
use crate::dashboard::model::Model;
use crate::dashboard::palette::{Palette, spelled};

/// The rows of the list where there is room for them.
const ROWS_MAX: usize = 14;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, palette: &Palette) {
    let theme = painter.theme;
    let width = area.width.saturating_sub(4).min(100);
    let inner = overlay::open(painter, area, width, ROWS_MAX + 2, "Commands");
    let line = Rect { height: 1, ..inner };
    overlay::draw_line(painter, line, ":", &palette.line);
    let list = Rect { y: inner.y + 2, height: inner.height.saturating_sub(2), ..inner };
    let typed = palette.line.text();
    if palette.found.is_empty() {
        painter.text(list.x, list.y, list.width, "No command fits. Backspace, or esc to leave.", theme.dim());
        return;
    }
    let rows = usize::from(list.height);
    let first = super::first_row(palette.row, rows);
    let names = model.verbs.iter().map(|verb| columns(&verb.path)).max().unwrap_or(0).min(list.width / 2);
    let exact = spelled(&model.verbs, &typed).map(|(verb, _)| verb.path.clone());
    for (y, (at, verb)) in (list.y..list.bottom()).zip(palette.found.iter().enumerate().skip(first)) {
        let Some(verb) = model.verbs.get(*verb) else { continue };
        let style = if exact.as_deref() == Some(&verb.path) { theme.accent() } else { theme.text() };
        painter.text(list.x, y, names, &verb.path, style);
        let x = list.x + names + 2;
        let room = list.right().saturating_sub(x);
        let about = if verb.needs.is_empty() { verb.about.clone() } else { format!("{}  {}", verb.needs, verb.about) };
        painter.text(x, y, room, &about, theme.dim());
        if at == palette.row {
            painter.overlay(Rect { x: list.x - 1, y, width: list.width + 2, height: 1 }, theme.selected());
        }
    }
    if palette.found.len() > rows {
        let more = format!(" {}-{} of {} ", first + 1, (first + rows).min(palette.found.len()), palette.found.len());
        painter.right(inner.x, inner.bottom(), inner.width, &more, theme.dim());
    }
}
