//! The help screen: the key table, told by subject.

use ratatui::layout::Rect;

use super::overlay;
use super::paint::Painter;
use crate::dashboard::keys::{Binding, Group, KEYS};
use crate::dashboard::model::Model;

/// The columns of the longest label.
const LABEL_COLUMNS: u16 = 10;
/// The columns that one list of keys needs.
const LIST_COLUMNS: u16 = 36;

/// A line of the help.
enum Line {
    Title(&'static str),
    Key(&'static Binding),
    Empty,
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, scroll: usize) {
    let groups: Vec<Vec<Line>> = Group::ALL.iter().map(|group| lines(*group)).collect();
    let total: usize = groups.iter().map(Vec::len).sum();
    let two = area.width >= LIST_COLUMNS * 2 + 8;
    // The first list is the longest by far; the others stand beside it where there is room.
    let split = if two { groups[0].len() } else { total };
    let rows = split.max(total - split);
    let all: Vec<Line> = groups.into_iter().flatten().collect();
    let width = if two { LIST_COLUMNS * 2 + 8 } else { area.width.min(LIST_COLUMNS + 6) };
    let inner = overlay::open(painter, area, width, rows, "Keys");
    let visible = usize::from(inner.height);
    let first = scroll.min(rows.saturating_sub(visible));
    for (at, line) in all.iter().enumerate() {
        let (x, row) = if at < split { (inner.x, at) } else { (inner.x + LIST_COLUMNS + 2, at - split) };
        if row < first || row - first >= visible {
            continue;
        }
        let y = inner.y + u16::try_from(row - first).unwrap_or(0);
        let width = if two { LIST_COLUMNS } else { inner.width };
        draw_line(painter, (x, y, width), line);
    }
    if rows > visible {
        let more = format!("{}-{} of {rows}", first + 1, (first + visible).min(rows));
        painter.right(inner.x, inner.bottom(), inner.width, &more, model.theme.dim());
    }
}

fn lines(group: Group) -> Vec<Line> {
    let mut lines = vec![Line::Title(group.title())];
    let mut seen = Vec::new();
    for binding in KEYS.iter().filter(|binding| binding.group == group) {
        // What a key does in one panel may have a row of its own for another; the first one speaks for both.
        if !seen.contains(&binding.action) {
            seen.push(binding.action);
            lines.push(Line::Key(binding));
        }
    }
    lines.push(Line::Empty);
    lines
}

fn draw_line(painter: &mut Painter<'_>, (x, y, width): (u16, u16, u16), line: &Line) {
    let theme = painter.theme;
    match line {
        Line::Title(title) => {
            painter.text(x, y, width, title, theme.strong());
        }
        Line::Key(binding) => {
            painter.text(x, y, LABEL_COLUMNS, binding.label, theme.accent());
            painter.text(x + LABEL_COLUMNS, y, width - LABEL_COLUMNS, binding.help, theme.text());
        }
        Line::Empty => {}
    }
}
