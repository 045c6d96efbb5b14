//! The page `panes`.

use pipeline_lib::view::pane::Wish;
use ratatui::layout::Rect;

use super::paint::Painter;
use crate::dashboard::model::Model;

pub(super) fn draw(painter: &mut Painter<'_>, _model: &Model, area: Rect) {
    painter.rule(area, "Panes", "", "", true);
}

/// Whose terminals are to be seen here.
pub(super) fn wishes(_model: &Model, _area: Rect) -> Vec<Wish> {
    Vec::new()
}
