//! What happened to a task, oldest first.

use pipeline_lib::view::detail::task::TaskDetail;
use ratatui::layout::Rect;

use crate::dashboard::model::Model;
use crate::dashboard::pages::task::{Extent, top};
use crate::dashboard::view::paint::{Painter, moved};

/// From here on there is room for the moment itself.
const MOMENT_COLUMNS_MIN: u16 = 100;

pub(super) fn extent(area: Rect, detail: &TaskDetail) -> Extent {
    let history = detail.history.as_ref();
    let total = history.map_or(0, |history| history.lines.len() + usize::from(history.is_cut));
    Extent { total, room: usize::from(area.height), start: 0 }
}

/// What happened, each with its row.
pub(super) fn texts(detail: &TaskDetail) -> impl Iterator<Item = (usize, &str)> {
    let above = detail.history.as_ref().map_or(0, |history| usize::from(history.is_cut));
    let lines = detail.history.iter().flat_map(|history| history.lines.iter());
    lines.enumerate().map(move |(at, line)| (at + above, line.text.as_str()))
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    let theme = painter.theme;
    let Some(history) = &detail.history else {
        painter.text(area.x, area.y, area.width, &format!("Reading the journal{}", theme.ellipsis()), theme.dim());
        return;
    };
    if history.lines.is_empty() {
        return super::say(painter, area, &["Nothing has happened to it that the journal still has."]);
    }
    let top = top(model, extent(area, detail));
    let mut y = area.y;
    let mut skip = top;
    if history.is_cut {
        if top == 0 {
            painter.text(area.x, y, area.width, "Older events are left out.", theme.dim());
            y += 1;
        }
        skip = top.saturating_sub(1);
    }
    for (y, event) in (y..area.bottom()).zip(history.lines.iter().skip(skip)) {
        let mut x = area.x;
        let age = painter.age(event.at);
        painter.right(x, y, 4, &age, theme.dim());
        x += 6;
        if area.width >= MOMENT_COLUMNS_MIN {
            let moment = event.at.strftime("%F %TZ").to_string();
            x += painter.text(x, y, 21, &moment, theme.dim()) + 2;
        }
        painter.text(x, y, 1, theme.sign(event.tone), theme.tone(event.tone));
        let text = moved(&event.text, model.reading.aside);
        painter.text(x + 2, y, area.right().saturating_sub(x + 2), text, theme.text());
    }
}
