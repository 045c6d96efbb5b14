//! What happened last, the newest at the bottom, and what the supervisor has to say about itself.

use pipeline_lib::view::screen::{EventLine, Tone};
use ratatui::layout::Rect;

use super::layout::{Layout, Room};
use super::paint::Painter;
use crate::dashboard::model::Model;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    if area.height == 0 {
        return;
    }
    let theme = painter.theme;
    let events = &model.screen.events;
    let mut rows = area;
    if layout.room != Room::Compact {
        let notice = model.screen.notice.as_deref().map(|notice| format!("{} {notice}", theme.sign(Tone::Attention)));
        painter.rule(area, "Events", notice.as_deref().unwrap_or_default(), "", false);
        rows = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    if events.is_empty() {
        painter.text(rows.x + 2, rows.y, rows.width - 2, "Nothing has happened yet.", theme.dim());
        return;
    }
    let first = events.len().saturating_sub(usize::from(rows.height));
    for (y, event) in (rows.y..rows.bottom()).zip(events.iter().skip(first)) {
        draw_row(painter, Rect { y, height: 1, ..rows }, event);
    }
}

fn draw_row(painter: &mut Painter<'_>, line: Rect, event: &EventLine) {
    let theme = painter.theme;
    let x = line.x + 2;
    let age = painter.age(event.at);
    painter.right(x, line.y, 4, &age, theme.dim());
    painter.text(x + 6, line.y, 1, theme.sign(event.tone), theme.tone(event.tone));
    painter.text(x + 8, line.y, line.right().saturating_sub(x + 8), &event.text, theme.text());
}
