//! The end of what a run printed, readable, with its own colours.

use std::sync::Arc;

use pipeline_lib::terminal::Line;
use pipeline_lib::terminal::document::wrap;
use pipeline_lib::view::detail::task::{Output, TaskDetail};
use ratatui::layout::Rect;

use super::runs::tone;
use crate::dashboard::model::Model;
use crate::dashboard::pages::task::{Extent, top};
use crate::dashboard::view::paint::Painter;
use crate::dashboard::view::pane;

/// The line that says which run it is, and what is below it.
fn parts(area: Rect) -> (Rect, Rect) {
    let above = if area.height > 12 { 2 } else { 1 };
    let below = Rect { y: area.y + above, height: area.height.saturating_sub(above), ..area };
    (Rect { height: 1, ..area }, below)
}

/// How many rows a line takes.
fn rows_of(line: &Arc<Line>, width: u16) -> usize {
    let width = usize::from(width.max(1));
    if line.columns() <= width { 1 } else { wrap(line, width).len() }
}

pub(super) fn extent(area: Rect, detail: &TaskDetail) -> Extent {
    let (_, below) = parts(area);
    let lines = detail.output.iter().flat_map(|output| output.lines.iter());
    Extent { total: lines.map(|line| rows_of(line, below.width)).sum(), room: usize::from(below.height), start: 0 }
}

/// The rows whose text passes. What is broken over two rows is found in the first row of its line.
pub(super) fn rows_with(area: Rect, detail: &TaskDetail, passes: impl Fn(&str) -> bool) -> Vec<usize> {
    let (_, below) = parts(area);
    let mut found = Vec::new();
    let mut first = 0;
    for line in detail.output.iter().flat_map(|output| output.lines.iter()) {
        let rows = rows_of(line, below.width);
        if passes(&line.text()) {
            let broken = wrap(line, usize::from(below.width.max(1)));
            let before = found.len();
            found.extend(broken.iter().enumerate().filter(|(_, row)| passes(&row.text())).map(|(at, _)| first + at));
            if found.len() == before {
                found.push(first);
            }
        }
        first += rows;
    }
    found
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    let theme = painter.theme;
    let Some(run) = detail.run_shown(model.reading.run.as_ref()) else {
        let words = format!("No output yet: no agent has taken {}.", detail.id);
        return super::say(painter, area, &[&words, &detail.why.rule]);
    };
    let (head, below) = parts(area);
    let dot = theme.dot();
    let facts = format!(" {}{dot}attempt {}{dot}{}{dot}", run.work, run.attempt, run.agent);
    let tone = tone(run);
    let is_cut = detail.output.as_ref().is_some_and(|output| output.run == run.id && output.is_cut);
    let line = [
        (theme.sign(tone), theme.tone(tone)),
        (" ", theme.text()),
        (run.stage.as_str(), theme.strong()),
        (facts.as_str(), theme.dim()),
        (run.how.as_str(), theme.tone(tone)),
        (dot, theme.dim()),
        (run.id.as_str(), theme.dim()),
        (if is_cut { ", its end" } else { "" }, theme.dim()),
    ];
    painter.parts(head.x, head.y, head.width, &line);
    match detail.output.as_ref().filter(|output| output.run == run.id) {
        None => {
            painter.text(below.x, below.y, below.width, &format!("Reading{}", theme.ellipsis()), theme.dim());
        }
        Some(output) if output.is_gone && output.lines.is_empty() => {
            super::say(painter, below, &["It printed nothing that is kept."])
        }
        Some(output) if output.lines.is_empty() => super::say(painter, below, &["It has printed nothing."]),
        Some(output) => draw_lines(painter, below, output, top(model, extent(area, detail))),
    }
}

fn draw_lines(painter: &mut Painter<'_>, area: Rect, output: &Output, top: usize) {
    let mut skip = top;
    let mut y = area.y;
    for line in output.lines.iter() {
        if y >= area.bottom() {
            return;
        }
        let rows = rows_of(line, area.width);
        if rows <= skip {
            skip -= rows;
            continue;
        }
        for row in wrap(line, usize::from(area.width.max(1))).iter().skip(skip) {
            if y < area.bottom() {
                pane::draw_line(painter, Rect { y, height: 1, ..area }, row);
            }
            y += 1;
        }
        skip = 0;
    }
}
