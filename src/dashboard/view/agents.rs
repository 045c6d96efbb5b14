//! The workers: what each does, which observation says so, since when, for which task, and its last line.

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::settings::Sandbox;
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::screen::{AgentRow, Tone};
use ratatui::layout::Rect;

use super::board::number;
use super::layout::{Layout, Room};
use super::paint::{Painter, columns, fit_middle};
use crate::dashboard::model::{Focus, Model};
use crate::dashboard::theme::status_tone;

/// Below this an observation is a guess, and shown as one.
const CONFIDENCE_SURE: f64 = 0.8;
/// The longest usual word for a status, `verifying`. A longer one makes room for itself.
const STATUS_COLUMNS_MIN: u16 = 9;
/// The word for one that was asked to end and has not yet.
const STOPPING: &str = "stopping";
/// The longest word for a source, and its mark.
const SOURCE_COLUMNS: u16 = 8;
/// What was printed last is not worth fewer columns.
const LATEST_COLUMNS_MIN: u16 = 12;
/// An age.
const AGE_COLUMNS: u16 = 4;

/// How wide the columns are that depend on what is in them.
struct Widths {
    name: u16,
    status: u16,
    task: u16,
    source: u16,
    sandbox: u16,
    /// Names are as short as on the board, and nothing is said of what was printed last.
    narrow: bool,
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    if area.height == 0 {
        return;
    }
    let theme = painter.theme;
    let agents = &model.screen.agents;
    let focused = model.focus == Focus::Agents;
    let wide = layout.room == Room::Wide;
    let narrow = layout.narrow;
    let mut y = area.y + 1;
    if agents.is_empty() {
        painter.rule(area, "Agents", "", "", focused);
        painter.text(area.x + 2, y, area.width - 2, "No agents. Type: pipeline agent add NAME", theme.dim());
        return;
    }
    let most = |text: &dyn Fn(&AgentRow) -> u16, limit: u16| agents.iter().map(text).max().unwrap_or(0).min(limit);
    let widths = Widths {
        name: most(
            &|row| columns(row.name.as_str()),
            if wide {
                24
            } else if narrow {
                10
            } else {
                16
            },
        ),
        status: most(&|row| status_columns(row, narrow), u16::MAX).max(STATUS_COLUMNS_MIN),
        task: most(&|row| columns(&task(row, narrow)), if wide { 26 } else { 20 }).max(4),
        sandbox: sandbox_columns(model, wide, narrow),
        source: if narrow || layout.room == Room::Compact { 0 } else { SOURCE_COLUMNS },
        narrow,
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

/// The word for how far an agent is confined where there is room for it, its beginning where there is little, and a letter
/// where there is none, unless nobody is confined.
fn sandbox_columns(model: &Model, wide: bool, narrow: bool) -> u16 {
    let off = model.screen.agents.iter().all(|row| row.sandbox == Sandbox::Off);
    match (wide, narrow) {
        (true, _) => 7,
        (false, false) => 3,
        (false, true) => u16::from(!off),
    }
}

fn status_columns(row: &AgentRow, narrow: bool) -> u16 {
    match row.stopping {
        Some(_) if !narrow => columns(STOPPING) + 4,
        Some(_) => columns(STOPPING),
        None => columns(row.status.word()),
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

fn task(row: &AgentRow, narrow: bool) -> String {
    let Some(task) = &row.task else { return String::new() };
    let name = if narrow { number(task.as_str()) } else { task.as_str() };
    row.stage.as_ref().map_or_else(|| name.to_owned(), |stage| format!("{name} {stage}"))
}

fn heading(painter: &mut Painter<'_>, area: Rect, y: u16, widths: &Widths) {
    let dim = painter.theme.dim();
    let mut x = area.x + 6;
    let titles =
        [("agent", widths.name), ("sandbox", widths.sandbox), ("status", widths.status), ("seen by", widths.source)];
    for (title, width) in titles {
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
    let name = fit_middle(row.name.as_str(), widths.name, theme.ellipsis());
    painter.text(x, line.y, widths.name, &name, if quiet { theme.text() } else { theme.strong() });
    x += widths.name + 1;
    if widths.sandbox > 0 {
        let word: String = row.sandbox.as_str().chars().take(usize::from(widths.sandbox)).collect();
        let style = if row.sandbox == Sandbox::Off { theme.dim() } else { theme.text() };
        painter.text(x, line.y, widths.sandbox, &word, style);
        x += widths.sandbox + 1;
    }
    match row.stopping {
        Some(until) => {
            let words = stopping(painter, until, widths.narrow);
            painter.text(x, line.y, widths.status, &words, theme.tone(Tone::Attention));
        }
        None => drop(painter.text(x, line.y, widths.status, row.status.word(), style)),
    }
    x += widths.status + 1;
    if widths.source > 0 {
        let guess = if row.confidence < CONFIDENCE_SURE { "?" } else { "" };
        painter.text(x, line.y, widths.source, &format!("{}{guess}", row.source), theme.dim());
        x += widths.source + 1;
    }
    let age = painter.age(row.since);
    painter.right(x, line.y, AGE_COLUMNS, &age, theme.text());
    x += AGE_COLUMNS + 2;
    painter.text(x, line.y, widths.task.min(line.right().saturating_sub(x)), &task(row, widths.narrow), theme.text());
    x += widths.task + 2;
    let room = line.right().saturating_sub(x);
    if !widths.narrow && room >= LATEST_COLUMNS_MIN {
        painter.text(x, line.y, room, &row.line, theme.dim());
    }
}

/// That it is being stopped, and in how many seconds it is made to.
fn stopping(painter: &mut Painter<'_>, until: Timestamp, narrow: bool) -> String {
    let left = until.duration_since(painter.now).as_secs();
    if left <= 0 || narrow {
        return STOPPING.to_owned();
    }
    painter.changes_by(until - SignedDuration::from_secs(left - 1));
    format!("{STOPPING} {left}s")
}
