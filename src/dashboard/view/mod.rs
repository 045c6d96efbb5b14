//! Frames: what a model looks like. Read-only, and only what can be seen is drawn, so that the cost of a frame depends on
//! the terminal and not on the pipeline.

mod agents;
mod arrange;
mod attention;
mod board;
mod events;
mod footer;
mod graph;
mod hand_over;
mod header;
mod help;
mod layout;
mod logs;
mod measure;
mod metrics;
mod output;
mod overlay;
pub(super) mod paint;
mod palette;
pub(super) mod pane;
mod panes;
mod schedules;
mod tabs;
mod task;
mod timeline;

use jiff::Timestamp;
use pipeline_lib::view::detail::task::Part;
use pipeline_lib::view::pane::Wish;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::highlight::Chunk;
use super::model::{Focus, Model, Overlay, Page};
use super::pages::task::Extent;
use super::terminal::Caret;
pub(super) use arrange::{Hit, Plan, Slot};
pub(super) use board::number;
use layout::Layout;
pub(super) use layout::{COLUMNS_MIN, ROWS_MIN};
use paint::Painter;
pub(super) use pane::top_row;

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
    tabs::draw(&mut painter, model, layout.tabs);
    match model.page {
        Page::Overview => {
            board::draw(&mut painter, model, layout.board, &layout);
            agents::draw(&mut painter, model, layout.agents, &layout);
            attention::draw(&mut painter, model, layout.attention, &layout);
            output::draw(&mut painter, model, layout.output);
            events::draw(&mut painter, model, layout.events, &layout);
        }
        Page::Panes => panes::draw(&mut painter, model, layout.page),
        Page::Task => task::draw(&mut painter, model, layout.page),
        Page::Graph => graph::draw(&mut painter, model, layout.page),
        Page::Timeline => timeline::draw(&mut painter, model, layout.page),
        Page::Schedules => schedules::draw(&mut painter, model, layout.page),
        Page::Metrics => metrics::draw(&mut painter, model, layout.page),
        Page::Logs => logs::draw(&mut painter, model, layout.page),
    }
    footer::draw(&mut painter, model, layout.footer);
    match &model.overlay {
        Some(Overlay::Help(scroll)) => help::draw(&mut painter, model, area, *scroll),
        Some(other) => overlay::draw(&mut painter, model, area, other),
        None => {}
    }
    painter.changes_at
}

/// The name of the terminal's window: it says from afar whether something waits.
pub(super) fn title(model: &Model) -> String {
    let project = pipeline_lib::text::one_line(&model.screen.project, 60);
    match model.screen.attention.len() {
        0 => format!("pipeline {project}"),
        n => format!("! {n} pipeline {project}"),
    }
}

/// Whose terminals a frame of this model shows, and how large.
pub(super) fn wishes(model: &Model) -> Vec<Wish> {
    let Some(layout) = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1)) else { return Vec::new() };
    match model.page {
        Page::Overview => output::wish(model, layout.output).into_iter().collect(),
        Page::Panes => arrange::Plan::of(model, layout.page).wishes(model),
        Page::Task | Page::Graph | Page::Timeline | Page::Schedules | Page::Metrics | Page::Logs => Vec::new(),
    }
}

/// How many rows the part of the task that is in sight has, and how many of them fit.
pub(super) fn extent(model: &Model) -> Extent {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1));
    layout.map_or_else(Extent::default, |layout| task::extent(model, layout.page))
}

/// How many rows the figures have, and how many of them fit.
pub(super) fn metrics_extent(model: &Model) -> Extent {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1));
    layout.map_or_else(Extent::default, |layout| metrics::extent(model, layout.page))
}

/// The pieces of code in sight, top to bottom.
pub(super) fn code_in_sight(model: &Model) -> Vec<Chunk> {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1));
    layout.map_or_else(Vec::new, |layout| task::code_in_sight(model, layout.page))
}

/// The rows of the part of the task in sight that hold a text.
pub(super) fn found(model: &Model, needle: &str) -> Vec<usize> {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1));
    layout.map_or_else(Vec::new, |layout| task::found::rows(model, layout.page, needle))
}

/// The page whose name is at a place of the screen.
pub(super) fn page_at(model: &Model, x: u16, y: u16) -> Option<Page> {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1))?;
    tabs::places(model, layout.tabs)
        .find(|(at, _)| at.contains(ratatui::layout::Position::new(x, y)))
        .map(|(_, page)| page)
}

/// The part of the task whose name is at a place of the screen.
pub(super) fn part_at(model: &Model, x: u16, y: u16) -> Option<Part> {
    if model.page != Page::Task {
        return None;
    }
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1))?;
    task::part_at(model, layout.page, x, y)
}

/// Where the panes of the page are.
pub(super) fn panes(model: &Model) -> Plan {
    let layout = Layout::of(model, Rect::new(0, 0, model.size.0, model.size.1));
    layout.map_or_else(Plan::default, |layout| Plan::of(model, layout.page))
}

/// Where the terminal's own cursor belongs: in the pane that is typed into.
pub(super) fn caret(model: &Model) -> Option<Caret> {
    if model.overlay.is_some() { None } else { panes::caret(model) }
}

/// The panel of the overview at a place of the screen.
pub(super) fn panel_at(model: &Model, x: u16, y: u16) -> Option<Focus> {
    if model.page != Page::Overview {
        return None;
    }
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

/// Words in place of what is not there: what is so, and what to do about it.
fn say(painter: &mut Painter<'_>, area: Rect, lines: &[impl AsRef<str>]) {
    let theme = painter.theme;
    let mut y = area.y;
    for (at, line) in lines.iter().enumerate() {
        for row in paint::wrap(line.as_ref(), area.width) {
            if y < area.bottom() {
                painter.text(area.x, y, area.width, &row, if at == 0 { theme.text() } else { theme.dim() });
            }
            y += 1;
        }
    }
}

/// The first row to show so that the selected one is in sight, as far down as needed and no further.
fn first_row(selected: usize, rows: usize) -> usize {
    (selected + 1).saturating_sub(rows.max(1))
}
