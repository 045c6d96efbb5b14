//! The workers: what each does, which observation says so, since when, for which task, and its last line.

use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::screen::AgentRow;
use ratatui::layout::Rect;

use super::layout::{Layout, Room};
use super::paint::{Painter, columns};
use crate::dashboard::model::{Focus, Model};
use crate::dashboard::theme::status_tone;

/// Below this an observation is a guess, and shown as one.
const CONFIDENCE_SURE: f64 = 0.8;
/// The longest usual word for a status, `verifying`. A longer one makes room for itself.
const STATUS_COLUMNS_MIN: u16 = 9;
/// The longest word for a source, and its mark.
const SOURCE_COLUMNS: u16 = 8;
/// An age.
const AGE_COLUMNS: u16 = 4;

/// How wide the columns are that depend on what is in them.
struct Widths {
    name: u16,
    status: u16,
    task: u16,
    source: u16,
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    if area.height == 0 {
        return;
    }
    let theme = painter.theme;
    let agents = &model.screen.agents;
    let focused = model.focus == Focus::Agents;
    let wide = layout.room == Room::Wide;
    let mut y = area.y + 1;
    if agents.is_empty() {
        painter.rule(area, "Agents", "", "", focused);
        painter.text(area.x + 2, y, area.width - 2, "No agents. Type: pipeline agent add NAME", theme.dim());
        return;
    }
    let most = |text: &dyn Fn(&AgentRow) -> u16, limit: u16| agents.iter().map(text).max().unwrap_or(0).min(limit);
    let widths = Widths {
        name: most(&|row| columns(row.name.as_str()), if wide { 24 } else { 16 }),
        status: most(&|row| columns(row.status.word()), u16::MAX).max(STATUS_COLUMNS_MIN),
        task: most(&|row| columns(&task(row)), if wide { 26 } else { 20 }).max(4),
        source: if layout.room == Room::Compact { 0 } else { SOURCE_COLUMNS },
    };
    if wide && area.height > 3 {
        heading(painter, area, y, &widths);
        y += 1;
    }
    let rows = usize::from(area.bottom().saturating_sub(y));
    let selected = model.agent().map_or(0, |(at, _)| at);
    let first = super::first_row(selected, rows);
    let hidden = agents.len().saturating_sub(rows);
    let beside = if hidden > 0 { format!("{} of {}", rows, agents.len()) } else { agents.len().to_string() };
    painter.rule(area, "Agents", &beside, "", focused);
    for (at, row) in agents.iter().enumerate().skip(first).take(rows) {
        let line = Rect { y, height: 1, ..area };
        draw_row(painter, line, (at, row), &widths);
        if at == selected {
            select(painter, line, focused);
        }
        y += 1;
    }
}

/// Marks the selected row: reversed in the panel that has the keys, with a sign at its side in the others.
pub(super) fn select(painter: &mut Painter<'_>, line: Rect, focused: bool) {
    let theme = painter.theme;
    if focused {
        painter.overlay(Rect { x: line.x + 1, width: line.width - 1, ..line }, theme.selected());
    } else {
        painter.text(line.x, line.y, 1, theme.pick("›", ">"), theme.accent());
    }
}

fn task(row: &AgentRow) -> String {
    match (&row.task, &row.stage) {
        (Some(task), Some(stage)) => format!("{task} {stage}"),
        (Some(task), None) => task.to_string(),
        (None, _) => String::new(),
    }
}

fn heading(painter: &mut Painter<'_>, area: Rect, y: u16, widths: &Widths) {
    let dim = painter.theme.dim();
    let mut x = area.x + 6;
    for (title, width) in [("agent", widths.name), ("status", widths.status), ("seen by", widths.source)] {
        painter.text(x, y, width, title, dim);
        x += width + 1;
    }
    painter.right(x, y, AGE_COLUMNS, "for", dim);
    x += AGE_COLUMNS + 2;
    painter.text(x, y, widths.task, "task", dim);
    x += widths.task + 2;
    painter.text(x, y, area.right().saturating_sub(x), "latest", dim);
}

fn draw_row(painter: &mut Painter<'_>, line: Rect, (at, row): (usize, &AgentRow), widths: &Widths) {
    let theme = painter.theme;
    let tone = status_tone(row.status);
    let style = theme.tone(tone);
    let quiet = matches!(row.status, AgentStatus::Idle | AgentStatus::Stopped);
    let mut x = line.x + 2;
    if at < 9 {
        painter.text(x, line.y, 1, &(at + 1).to_string(), theme.dim());
    }
    x += 2;
    let sign = if row.status == AgentStatus::Unknown { "?" } else { theme.sign(tone) };
    painter.text(x, line.y, 1, sign, style);
    x += 2;
    painter.text(x, line.y, widths.name, row.name.as_str(), if quiet { theme.text() } else { theme.strong() });
    x += widths.name + 1;
    painter.text(x, line.y, widths.status, row.status.word(), style);
    x += widths.status + 1;
    if widths.source > 0 {
        let guess = if row.confidence < CONFIDENCE_SURE { "?" } else { "" };
        painter.text(x, line.y, widths.source, &format!("{}{guess}", row.source), theme.dim());
        x += widths.source + 1;
    }
    let age = painter.age(row.since);
    painter.right(x, line.y, AGE_COLUMNS, &age, theme.text());
    x += AGE_COLUMNS + 2;
    painter.text(x, line.y, widths.task.min(line.right().saturating_sub(x)), &task(row), theme.text());
    x += widths.task + 2;
    painter.text(x, line.y, line.right().saturating_sub(x), &row.line, theme.dim());
}
