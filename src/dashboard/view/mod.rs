//! Frames: what a model looks like. Read-only, and only what can be seen is drawn, so that the cost of a frame depends on
//! the terminal and not on the pipeline.

mod agents;
mod attention;
mod board;
mod events;
mod footer;
mod header;
mod help;
mod layout;
mod output;
mod overlay;
mod paint;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::model::{Focus, Model, Overlay};
use layout::{COLUMNS_MIN, Layout, ROWS_MIN};
use paint::Painter;

/// Draws a frame and says when something on it changes by itself, such as an age.
#[must_use]
pub(super) fn render(model: &Model, area: Rect, buffer: &mut Buffer) -> Option<Timestamp> {
    let area = area.intersection(buffer.area);
    let mut painter = Painter::new(buffer, model.theme, model.now);
    let Some(layout) = Layout::of(model, area) else {
        too_small(&mut painter, area);
        return None;
    };
    header::draw(&mut painter, model, layout.header, &layout);
    board::draw(&mut painter, model, layout.board, &layout);
    agents::draw(&mut painter, model, layout.agents, &layout);
    attention::draw(&mut painter, model, layout.attention, &layout);
    output::draw(&mut painter, model, layout.output);
    events::draw(&mut painter, model, layout.events, &layout);
    footer::draw(&mut painter, model, layout.footer);
    match &model.overlay {
        Some(Overlay::Help(scroll)) => help::draw(&mut painter, model, area, *scroll),
        Some(other) => overlay::draw(&mut painter, model, area, other),
        None => {}
    }
    painter.changes_at
}

/// The panel at a place of the screen.
pub(super) fn panel_at(model: &Model, x: u16, y: u16) -> Option<Focus> {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1))?;
    let at = ratatui::layout::Position::new(x, y);
    [(layout.board, Focus::Board), (layout.agents, Focus::Agents), (layout.attention, Focus::Attention)]
        .into_iter()
        .find_map(|(area, focus)| area.contains(at).then_some(focus))
}

fn too_small(painter: &mut Painter<'_>, area: Rect) {
    let lines = [
        format!("pipeline needs {COLUMNS_MIN} x {ROWS_MIN}"),
        format!("this is {} x {}", area.width, area.height),
        "q quits; agents keep running".to_owned(),
    ];
    let theme = painter.theme;
    for (y, line) in (area.y..area.bottom()).zip(&lines) {
        painter.text(area.x, y, area.width, line, if y == area.y { theme.strong() } else { theme.dim() });
    }
}

/// The first row to show so that the selected one is in sight, as far down as needed and no further.
fn first_row(selected: usize, rows: usize) -> usize {
    (selected + 1).saturating_sub(rows.max(1))
}
