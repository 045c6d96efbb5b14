//! The help screen: the key table, told by subject.

use ratatui::layout::Rect;

use super::overlay;
use super::paint::Painter;
use crate::dashboard::keymap::Row;
use crate::dashboard::keys::Group;
use crate::dashboard::model::{Model, Place};

/// The columns of the longest label.
const LABEL_COLUMNS: u16 = 10;
/// The columns that one list of keys needs.
const LIST_COLUMNS: u16 = 36;

/// A line of the help.
enum Line<'a> {
    Title(&'static str),
    Key(&'a Row),
    Empty,
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, scroll: usize) {
    let groups: Vec<Vec<Line<'_>>> = order(model.place()).into_iter().map(|group| lines(model, group)).collect();
    let total: usize = groups.iter().map(Vec::len).sum();
    let two = area.width >= LIST_COLUMNS * 2 + 8;
    let split = if two { split_at(&groups, total) } else { total };
    let rows = split.max(total - split);
    let all: Vec<Line<'_>> = groups.into_iter().flatten().collect();
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

/// Where the second list begins: at the group that makes the two lists most alike.
fn split_at(groups: &[Vec<Line<'_>>], total: usize) -> usize {
    let ends = groups.iter().scan(0, |end, group| {
        *end += group.len();
        Some(*end)
    });
    ends.min_by_key(|end| (*end).max(total - end)).unwrap_or(total)
}

/// The subject of the present place first, then the way to the others, then the rest.
fn order(place: Place) -> Vec<Group> {
    let here = match place {
        Place::Panes => Group::Panes,
        Place::Board | Place::Agents | Place::Attention | Place::Task => Group::Tasks,
        Place::Graph | Place::Timeline | Place::Schedules | Place::Metrics | Place::Logs => Group::Move,
    };
    let mut order = vec![here, Group::Pages];
    order.extend(Group::ALL.into_iter().filter(|group| ![here, Group::Pages].contains(group)));
    order
}

fn lines(model: &Model, group: Group) -> Vec<Line<'_>> {
    let mut lines = vec![Line::Title(group.title())];
    let mut seen = Vec::new();
    let rows = || model.keys.rows().filter(|row| row.binding.group == group);
    for row in rows() {
        // What a key does in one panel may have a row of its own for another; that of the present one speaks for both.
        let action = row.binding.action;
        if !seen.contains(&action) {
            seen.push(action);
            let here = |row: &&Row| row.binding.action == action && row.binding.places.contains(&model.place());
            lines.push(Line::Key(rows().find(here).unwrap_or(row)));
        }
    }
    lines.push(Line::Empty);
    lines
}

fn draw_line(painter: &mut Painter<'_>, (x, y, width): (u16, u16, u16), line: &Line<'_>) {
    let theme = painter.theme;
    match line {
        Line::Title(title) => {
            painter.text(x, y, width, title, theme.strong());
        }
        Line::Key(row) => {
            painter.text(x, y, LABEL_COLUMNS - 1, &row.label, theme.accent());
            painter.text(x + LABEL_COLUMNS, y, width - LABEL_COLUMNS, row.binding.help, theme.text());
        }
        Line::Empty => {}
    }
}
