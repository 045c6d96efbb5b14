//! Where a task stands and why, what it belongs to, and what is asked for.

use pipeline_lib::run::Verdict;
use pipeline_lib::view::detail::task::{Changes, Related, RunLine, TaskDetail};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::WIDE_COLUMNS;
use super::rows::{Row, Rows};
use crate::dashboard::highlight::Class;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Model, Place};
use crate::dashboard::pages::task::{Extent, top};
use crate::dashboard::view::measure::{grouped, money};
use crate::dashboard::view::paint::{Painter, columns, fit};

/// The columns of a label.
const LABEL: u16 = 9;
/// The columns between what stands side by side.
const GUTTER: u16 = 4;
/// The most other tasks that are named in a row each.
const RELATED_MAX: usize = 8;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    let (left, right) = columns_of(area);
    let (facts, words) = both(model, area, detail);
    let top = top(model, extent(model, area, detail));
    facts.draw(painter, left, top);
    if let Some((words, right)) = words.zip(right) {
        words.draw(painter, right, top);
    }
}

pub(super) fn extent(model: &Model, area: Rect, detail: &TaskDetail) -> Extent {
    let (facts, words) = both(model, area, detail);
    let total = facts.rows.len().max(words.map_or(0, |words| words.rows.len()));
    Extent { total, room: usize::from(area.height), start: 0 }
}

/// Where what is known stands, and where, if there is room beside it, what was written.
fn columns_of(area: Rect) -> (Rect, Option<Rect>) {
    if area.width < WIDE_COLUMNS {
        return (area, None);
    }
    let left = Rect { width: area.width * 11 / 20 - GUTTER, ..area };
    let x = left.right() + GUTTER;
    (left, Some(Rect { x, width: area.right() - x, ..area }))
}

fn both(model: &Model, area: Rect, detail: &TaskDetail) -> (Rows, Option<Rows>) {
    let (left, right) = columns_of(area);
    let mut rows = Rows::new(model.theme, model.now, left.width);
    head(&mut rows, detail);
    path(&mut rows, detail);
    why(&mut rows, model, detail);
    relations(&mut rows, detail);
    facts(&mut rows, model, detail);
    match right {
        Some(right) => {
            let mut beside = Rows::new(model.theme, model.now, right.width);
            written(&mut beside, detail);
            (rows, Some(beside))
        }
        None => {
            rows.gap();
            written(&mut rows, detail);
            (rows, None)
        }
    }
}

fn head(rows: &mut Rows, detail: &TaskDetail) {
    let theme = rows.theme;
    rows.text(0, &detail.title, theme.strong());
    let tone = theme.tone(detail.tone);
    let age = rows.age(detail.since);
    let mut row = vec![rows.sign(detail.tone), (detail.status.clone(), tone), (format!(" for {age}"), theme.dim())];
    if let Some(agent) = &detail.agent {
        row.push((theme.dot().to_owned(), theme.dim()));
        row.push((agent.to_string(), theme.text()));
    }
    if detail.attempt > 1 {
        row.push((format!("{}attempt {}", theme.dot(), detail.attempt), theme.text()));
    }
    rows.push(row);
    rows.gap();
}

/// The stages, with where the task is.
fn path(rows: &mut Rows, detail: &TaskDetail) {
    let theme = rows.theme;
    let last = detail.stages.len().saturating_sub(1);
    let stage = |(at, stage): (usize, &pipeline_lib::view::detail::flow::StageMark)| {
        let tone = theme.tone(stage.tone);
        let word = match (stage.here, stage.tone) {
            (true, _) => tone.patch(theme.strong()),
            (false, Tone::Good) => theme.text(),
            (false, _) => theme.dim(),
        };
        let mut parts: Row = vec![rows.sign(stage.tone), (stage.id.to_string(), word)];
        if stage.visits > 1 {
            parts.push((format!(" {}{}", theme.pick("×", "x"), stage.visits), theme.dim()));
        }
        if at < last {
            parts.push((theme.pick("  ›  ", "  >  ").to_owned(), theme.dim()));
        }
        parts
    };
    let parts = detail.stages.iter().enumerate().map(stage).collect();
    rows.flow(parts);
    rows.gap();
}

/// Why it is where it is, what would change that, and what a person can type.
fn why(rows: &mut Rows, model: &Model, detail: &TaskDetail) {
    let theme = rows.theme;
    let why = &detail.why;
    rows.labelled(LABEL, "why", &why.rule, theme.text());
    if !why.would_change.is_empty() {
        rows.labelled(LABEL, "until", &why.would_change.join("; "), theme.text());
    }
    for (at, command) in why.commands.iter().enumerate() {
        rows.labelled(LABEL, if at == 0 { "type" } else { "" }, command, theme.code(Class::Value));
        let key = key_of(command).map_or("", |action| model.keys.label_of(Place::Task, action));
        if let Some(row) = rows.rows.last_mut().filter(|_| !key.is_empty()) {
            row.push((format!("   or press {key}"), theme.dim()));
        }
    }
    // The first one says since when, which stands above already; runs have a part of their own.
    let seen = why.observations.iter().skip(1).filter(|seen| !seen.starts_with("run "));
    for (at, seen) in seen.enumerate() {
        rows.labelled(LABEL, if at == 0 { "seen" } else { "" }, seen, theme.dim());
    }
    rows.gap();
}

/// The key that does here what a command does.
fn key_of(command: &str) -> Option<Action> {
    let verbs = [
        ("approve", Action::Approve),
        ("reject", Action::Reject),
        ("retry", Action::Retry),
        ("cancel", Action::Cancel),
    ];
    let verb = command.strip_prefix("pipeline task ")?.split(' ').next()?;
    verbs.into_iter().find(|(name, _)| *name == verb).map(|(_, action)| action)
}

fn relations(rows: &mut Rows, detail: &TaskDetail) {
    list(rows, "after", &detail.after, detail.after.len());
    list(rows, "before", &detail.before, detail.before_total);
    rows.gap();
}

fn list(rows: &mut Rows, label: &str, tasks: &[Related], total: usize) {
    let theme = rows.theme;
    let indent = usize::from(LABEL);
    let shown = if total > RELATED_MAX { RELATED_MAX - 1 } else { RELATED_MAX };
    let label_of = |at: usize| format!("{:<indent$}", if at == 0 { label } else { "" });
    for (at, task) in tasks.iter().take(shown).enumerate() {
        let words = format!("{} {}  ", task.id, task.status);
        let used = LABEL + 2 + columns(&words);
        let title = fit(&task.title, rows.width.saturating_sub(used), theme.ellipsis());
        let sign = rows.sign(task.tone);
        let id = (task.id.to_string(), theme.text());
        let status = (format!(" {}  ", task.status), theme.tone(task.tone));
        rows.push(vec![(label_of(at), theme.dim()), sign, id, status, (title, theme.dim())]);
    }
    if total > shown {
        rows.push(vec![(label_of(1), theme.dim()), (format!("  and {} more", total - shown), theme.dim())]);
    }
}

/// What it belongs to, what it cost, and what came of it.
fn facts(rows: &mut Rows, model: &Model, detail: &TaskDetail) {
    let theme = rows.theme;
    let text = theme.text();
    let dot = theme.dot();
    changes(rows, model, detail);
    proof(rows, detail);
    let arrow = theme.pick("→", "->");
    rows.labelled(LABEL, "branch", &format!("{} {arrow} {}", detail.branch, detail.base), text);
    let group = detail.group.iter().map(|group| format!("{dot}group {group}")).collect::<String>();
    let order = format!("priority {}{dot}workflow {}{group}", detail.priority, detail.workflow);
    rows.labelled(LABEL, "order", &order, text);
    if !detail.paths.is_empty() {
        rows.labelled(LABEL, "paths", &detail.paths.join("  "), text);
    }
    let mut times = vec![format!("added {} ago", rows.age(detail.created_at))];
    if let Some(started) = detail.started_at {
        times.push(format!("started {} ago", rows.age(started)));
    }
    if let Some(finished) = detail.finished_at {
        times.push(format!("ended {} ago", rows.age(finished)));
    }
    rows.labelled(LABEL, "times", &times.join(dot), text);
    if !detail.usage.is_empty() {
        let tokens = format!("{} tokens", grouped(detail.usage.tokens));
        let cost = match detail.usage.cost_usd > 0.0 {
            true => format!("{}{dot}{tokens}", money(detail.usage.cost_usd)),
            false => tokens,
        };
        rows.labelled(LABEL, "cost", &cost, text);
    }
}

fn changes(rows: &mut Rows, model: &Model, detail: &TaskDetail) {
    let theme = rows.theme;
    let (words, style) = match &detail.changes {
        Changes::Known { diff, .. } if diff.files.is_empty() => ("nothing yet".to_owned(), theme.dim()),
        Changes::Known { diff, .. } => {
            let label = format!("{:<width$}", "changes", width = usize::from(LABEL));
            let files = if diff.files_total == 1 { "file" } else { "files" };
            rows.push(vec![
                (label, theme.dim()),
                (format!("{} {files}  ", diff.files_total), theme.text()),
                (format!("+{} ", diff.added()), theme.side(pipeline_lib::diff::Side::New)),
                (format!("-{}", diff.removed()), theme.side(pipeline_lib::diff::Side::Old)),
                (format!("   {} shows them", model.keys.label_of(Place::Task, Action::Diff)), theme.dim()),
            ]);
            return;
        }
        Changes::Underway => (format!("being compared{}", theme.ellipsis()), theme.dim()),
        Changes::NoBranch => ("no work yet".to_owned(), theme.dim()),
        Changes::NothingMerged => (format!("none: {} had everything already", detail.base), theme.dim()),
        Changes::Failed(why) => (why.clone(), theme.tone(Tone::Attention)),
    };
    rows.labelled(LABEL, "changes", &words, style);
}

/// What was checked of what is merged, or the last check.
fn proof(rows: &mut Rows, detail: &TaskDetail) {
    let said = match (detail.proof(), detail.checks().last()) {
        (Some(gate), _) => Some((Tone::Good, format!("{} passed on what was merged", quoted(gate)))),
        (None, Some(gate)) => {
            let (tone, came) = match gate.verdict {
                Some(Verdict::Passed) => (Tone::Good, "passed"),
                Some(Verdict::Failed) => (Tone::Bad, "failed"),
                Some(Verdict::Void) => (Tone::Gone, "does not count"),
                None => (Tone::Checking, "runs"),
            };
            Some((tone, format!("{} {came} at {}", quoted(gate), gate.stage)))
        }
        (None, None) => None,
    };
    let Some((tone, words)) = said else { return };
    let theme = rows.theme;
    let label = format!("{:<width$}", "check", width = usize::from(LABEL));
    let words = fit(&words, rows.width.saturating_sub(LABEL + 2), theme.ellipsis());
    rows.push(vec![(label, theme.dim()), rows.sign(tone), (words, theme.text())]);
}

fn quoted(gate: &RunLine) -> String {
    format!("`{}`", gate.command.as_deref().unwrap_or_default())
}

/// What is asked for, what the next attempt is told, and what the stages said.
fn written(rows: &mut Rows, detail: &TaskDetail) {
    let theme = rows.theme;
    let heading = |rows: &mut Rows, words: &str, style: Style| {
        rows.gap();
        rows.push(vec![(words.to_owned(), style)]);
    };
    if !detail.body.trim().is_empty() {
        heading(rows, "Asked for", theme.strong());
        rows.text(0, detail.body.trim_end(), theme.text());
    }
    if let Some(feedback) = &detail.feedback {
        heading(rows, "Told to the next attempt", theme.strong());
        rows.text(0, feedback.trim_end(), theme.text());
    }
    for output in detail.outputs.iter().rev() {
        let age = rows.age(output.at);
        let dot = theme.dot();
        rows.gap();
        rows.push(vec![
            (format!("{} {}", output.stage, output.decision), theme.strong()),
            (format!("{dot}{}{dot}{age} ago{dot}{}", output.who(), output.commit.short()), theme.dim()),
        ]);
        rows.text(0, output.summary.trim_end(), theme.text());
    }
}
