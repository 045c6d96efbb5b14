//! What agents and gates did for a task, one run a row, and below it what there is to say about the chosen one.

use pipeline_lib::run::Verdict;
use pipeline_lib::view::detail::task::{RunLine, TaskDetail};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;

use super::rows::Rows;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Model, Place};
use crate::dashboard::pages::task::run_at;
use crate::dashboard::view::measure::{grouped, length, money};
use crate::dashboard::view::paint::Painter;

/// From here on a row has room for what a run used.
const USAGE_COLUMNS_MIN: u16 = 70;
/// From here on also for longer names.
const WIDE_COLUMNS_MIN: u16 = 100;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    if detail.runs.is_empty() {
        let words = format!("No run yet: no agent has taken {}.", detail.id);
        return super::say(painter, area, &[&words, &detail.why.rule]);
    }
    let chosen = run_at(model, detail);
    let (list, below) = split(area, detail.runs.len());
    heading(painter, list);
    let rows = usize::from(list.height.saturating_sub(1));
    let first = super::super::first_row(chosen, rows);
    for (at, run) in detail.runs.iter().enumerate().skip(first).take(rows) {
        let y = list.y + 1 + u16::try_from(at - first).unwrap_or(0);
        let line = Rect { y, height: 1, ..list };
        draw_row(painter, line, run);
        if at == chosen {
            painter.overlay(Rect { x: line.x - 1, width: line.width + 1, ..line }, painter.theme.selected());
        }
    }
    if let Some(run) = detail.runs.get(chosen) {
        about(model, below.width, run).draw(painter, below, 0);
    }
}

/// The list above, what is chosen below, with an empty row between them.
pub(super) fn split(area: Rect, rows: usize) -> (Rect, Rect) {
    let wanted = u16::try_from(rows + 1).unwrap_or(u16::MAX);
    let height = wanted.min(area.height.saturating_sub(area.height / 3).max(2)).min(area.height);
    let y = (area.y + height + 1).min(area.bottom());
    (Rect { height, ..area }, Rect { y, height: area.bottom() - y, ..area })
}

/// Where the columns begin, from the left; those that are not there begin where the next one does.
struct Grid {
    stage: u16,
    who: u16,
    attempt: u16,
    took: u16,
    tokens: u16,
    cost: u16,
    how: u16,
}

impl Grid {
    fn of(line: Rect) -> Self {
        let x = line.x;
        if line.width < USAGE_COLUMNS_MIN {
            let how = x + 28;
            return Self { stage: x + 2, who: x + 9, attempt: x + 21, took: x + 21, tokens: how, cost: how, how };
        }
        // Where there is room names are not cut.
        let wide = if line.width >= WIDE_COLUMNS_MIN { 8 } else { 0 };
        let attempt = x + 23 + wide * 2;
        Self {
            stage: x + 2,
            who: x + 11 + wide,
            attempt,
            took: attempt + 4,
            tokens: attempt + 11,
            cost: attempt + 20,
            how: attempt + 29,
        }
    }
}

fn heading(painter: &mut Painter<'_>, line: Rect) {
    let dim = painter.theme.dim();
    let grid = Grid::of(line);
    let width = line.width;
    painter.text(grid.stage, line.y, width, "stage", dim);
    painter.text(grid.who, line.y, width, "agent", dim);
    painter.right(grid.took, line.y, 6, "took", dim);
    if grid.attempt < grid.took {
        painter.right(grid.attempt, line.y, 3, "try", dim);
    }
    if grid.tokens < grid.how {
        painter.right(grid.tokens, line.y, 8, "tokens", dim);
        painter.right(grid.cost, line.y, 7, "cost", dim);
    }
    painter.text(grid.how, line.y, line.right().saturating_sub(grid.how), "how it ended", dim);
}

fn draw_row(painter: &mut Painter<'_>, line: Rect, run: &RunLine) {
    let theme = painter.theme;
    let grid = Grid::of(line);
    let tone = tone(run);
    painter.text(line.x, line.y, 1, theme.sign(tone), theme.tone(tone));
    painter.text(grid.stage, line.y, grid.who - grid.stage - 1, &run.stage, theme.text());
    let (who, style) = if run.work == "agent" { (run.agent.as_str(), theme.text()) } else { (run.work, theme.dim()) };
    painter.text(grid.who, line.y, grid.attempt - grid.who - 1, who, style);
    if grid.attempt < grid.took {
        painter.right(grid.attempt, line.y, 3, &run.attempt.to_string(), theme.dim());
    }
    let took = took(painter, run);
    painter.right(grid.took, line.y, 6, &took, theme.text());
    if grid.tokens < grid.how && !run.usage.is_empty() {
        painter.right(grid.tokens, line.y, 8, &grouped(run.usage.tokens), theme.text());
        painter.right(grid.cost, line.y, 7, &money(run.usage.cost_usd), theme.text());
    }
    let how = if run.verdict == Some(Verdict::Void) { format!("{}, not counted", run.how) } else { run.how.clone() };
    painter.text(grid.how, line.y, line.right().saturating_sub(grid.how), &how, theme.tone(tone));
}

/// What kind of end a run came to.
pub(super) fn tone(run: &RunLine) -> Tone {
    match (run.verdict, run.work) {
        (Some(Verdict::Passed), _) => Tone::Good,
        (Some(Verdict::Failed), _) => Tone::Bad,
        (Some(Verdict::Void), _) => Tone::Gone,
        (None, "gate") => Tone::Checking,
        (None, _) => Tone::Active,
    }
}

/// How long a run took, or has taken so far.
pub(super) fn took(painter: &mut Painter<'_>, run: &RunLine) -> String {
    match run.ended_at {
        Some(ended) => length(ended.duration_since(run.started_at).as_secs()),
        None => painter.age(run.started_at),
    }
}

fn about(model: &Model, width: u16, run: &RunLine) -> Rows {
    let mut rows = Rows::new(model.theme, model.now, width);
    let theme = rows.theme;
    let dot = theme.dot();
    let commit = run.commit.as_ref().map(|commit| format!("{dot}commit {}", commit.short())).unwrap_or_default();
    let age = rows.age(run.started_at);
    let mut head = vec![
        (run.id.to_string(), theme.strong()),
        (format!("{dot}{} for {}{dot}{age} ago{commit}", run.work, run.agent), theme.dim()),
    ];
    let enter = model.keys.label_of(Place::Task, Action::Open);
    head.push((format!("{dot}{enter} shows its output"), theme.dim()));
    rows.push(head);
    rows.text(0, &run.how, theme.tone(tone(run)));
    if let Some(command) = &run.command {
        rows.text(0, &format!("`{command}`"), theme.text());
    }
    match &run.summary {
        Some(words) => rows.text(0, words, theme.text()),
        None if run.command.is_none() && run.ended_at.is_some() => rows.text(0, "It left no words.", theme.dim()),
        None => {}
    }
    rows
}
