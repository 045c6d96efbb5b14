//! The end of what the selected agent printed, the newest line at the bottom.

use ratatui::layout::Rect;

use super::paint::Painter;
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
    let rows = usize::from(area.height - 1);
    let carried = model.screen.output.as_ref().filter(|(name, _)| *name == row.name);
    let lines = match carried {
        Some((_, lines)) if !lines.is_empty() => lines,
        Some(_) => {
            let nothing = "It has printed nothing yet.";
            painter.text(area.x + 2, area.y + 1, area.width - 2, nothing, theme.dim());
            return;
        }
        // Asked for with the selection; it comes with the next picture.
        None => return,
    };
    let first = lines.len().saturating_sub(rows);
    for (y, line) in (area.y + 1..area.bottom()).zip(lines.iter().skip(first)) {
        painter.text(area.x + 2, y, area.width - 2, line, theme.text());
    }
}
