//! The end of what the selected agent printed, as its terminal shows it.

use pipeline_lib::terminal::Size;
use pipeline_lib::view::pane::Wish;
use ratatui::layout::Rect;

use super::paint::Painter;
use super::pane;
use crate::dashboard::model::Model;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    if area.height == 0 {
        return;
    }
    let theme = painter.theme;
    let Some((_, row)) = model.agent() else {
        return painter.rule(area, "Output", "", "", false);
    };
    let program = format!("{}{}{}", row.name, theme.dot(), row.preset);
    painter.rule(area, "Output", &program, "", false);
    // What was asked for with the selection comes a moment later.
    if let Some(shown) = model.shown.get(&row.name) {
        pane::draw(painter, inner(area), shown);
    }
}

/// What is to be seen here.
pub(super) fn wish(model: &Model, area: Rect) -> Option<Wish> {
    let inner = inner(area);
    let (_, row) = model.agent()?;
    let size = Size { columns: inner.width, rows: inner.height };
    let seen = inner.width > 0 && inner.height > 0;
    seen.then(|| Wish { agent: row.name.clone(), size, resize: false, offset: 0, at: None, focused: false })
}

fn inner(area: Rect) -> Rect {
    Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(2), height: area.height.saturating_sub(1) }
}
