//! The page `timeline`.

use ratatui::layout::Rect;

use super::paint::Painter;
use crate::dashboard::model::Model;

pub(super) fn draw(painter: &mut Painter<'_>, _model: &Model, area: Rect) {
    painter.rule(area, "Timeline", "", "", true);
}
