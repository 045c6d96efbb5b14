//! What gates found of a task's work: each check a row, and below it all that is needed to do the chosen one again.

use pipeline_lib::run::Verdict;
use pipeline_lib::view::detail::task::{RunLine, TaskDetail};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;

use super::rows::Rows;
use super::runs::{split, tone, took};
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Model, Place};
use crate::dashboard::pages::task::check;
use crate::dashboard::view::paint::{Painter, fit};

/// The columns of a label.
const LABEL: u16 = 9;
/// The most columns of a row, so that its ends are read together.
const ROW_COLUMNS_MAX: u16 = 110;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    let mut area = area;
    if let Some((tone, words)) = verdict(detail) {
        let theme = painter.theme;
        painter.text(area.x, area.y, 1, theme.sign(tone), theme.tone(tone));
        painter.text(area.x + 2, area.y, area.width.saturating_sub(2), &words, theme.text());
        let used = if area.height >= 10 { 2 } else { 1 };
        area = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
    }
    let Some((chosen, run)) = check(model, detail) else {
        let words = format!("No check yet: no gate has run on the work of {}.", detail.id);
        let where_from = "A stage with \"verify\" in its workflow runs the gate before its claim is believed.";
        return super::say(painter, area, &[&words, where_from]);
    };
    let (list, below) = split(area, detail.checks().count());
    // There is no heading here.
    let list = Rect { height: list.height.min(area.height), width: list.width.min(ROW_COLUMNS_MAX), ..list };
    let rows = usize::from(list.height.max(1));
    let first = super::super::first_row(chosen, rows);
    for (at, (run, y)) in detail.checks().skip(first).zip(list.y..list.bottom()).enumerate() {
        let line = Rect { y, height: 1, ..list };
        draw_row(painter, line, run);
        if first + at == chosen {
            painter.overlay(Rect { x: line.x - 1, width: line.width + 1, ..line }, painter.theme.selected());
        }
    }
    evidence(model, below.width, run).draw(painter, below, 0);
}

/// Whether what was merged is what passed.
fn verdict(detail: &TaskDetail) -> Option<(Tone, String)> {
    let merged = detail.merged.as_ref()?;
    let Some(commit) = &merged.commit else {
        return Some((Tone::Good, format!("Nothing was merged: {} had everything already.", detail.base)));
    };
    Some(match detail.proof() {
        Some(gate) => {
            let command = gate.command.as_deref().unwrap_or_default();
            (Tone::Good, format!("Verified: `{command}` passed on {}, which is what was merged.", commit.short()))
        }
        None => (Tone::Attention, format!("Merged as {} without a gate on that commit.", commit.short())),
    })
}

fn draw_row(painter: &mut Painter<'_>, line: Rect, run: &RunLine) {
    let theme = painter.theme;
    let tone = tone(run);
    let age = painter.age(run.ended_at.unwrap_or(run.started_at));
    let end = painter.right(line.x, line.y, line.width, &age, theme.dim()).max(4) + 2;
    let mut x = line.x;
    painter.text(x, line.y, 1, theme.sign(tone), theme.tone(tone));
    x += 2;
    painter.text(x, line.y, 8, came(run), theme.tone(tone));
    x += 9;
    painter.text(x, line.y, 8, &run.stage, theme.text());
    x += 9;
    let room = line.right().saturating_sub(x + end);
    let took = took(painter, run);
    let code = run.evidence.as_ref().and_then(|seen| seen.exit_code).map(|code| format!("exit {code}"));
    let facts: Vec<String> = code.into_iter().chain([took]).collect();
    let facts = facts.join(theme.dot());
    let command = run.command.as_deref().unwrap_or_default();
    // On a narrow screen the command alone is left, which says most.
    let beside = if room > 40 { 20 } else { 0 };
    painter.text(x, line.y, room - beside, &fit(command, room - beside, theme.ellipsis()), theme.text());
    painter.right(x, line.y, if beside > 0 { room } else { 0 }, &facts, theme.dim());
}

fn came(run: &RunLine) -> &'static str {
    match run.verdict {
        Some(Verdict::Passed) => "passed",
        Some(Verdict::Failed) => "failed",
        Some(Verdict::Void) => "void",
        None => "runs",
    }
}

fn evidence(model: &Model, width: u16, run: &RunLine) -> Rows {
    let mut rows = Rows::new(model.theme, model.now, width);
    let theme = rows.theme;
    let text = theme.text();
    rows.labelled(LABEL, "command", run.command.as_deref().unwrap_or_default(), theme.strong());
    rows.labelled(LABEL, "ended", &run.how, theme.tone(tone(run)));
    if let Some(commit) = &run.commit {
        rows.labelled(LABEL, "commit", commit.as_str(), text);
    }
    if let Some(seen) = &run.evidence {
        rows.labelled(LABEL, "tree", &seen.tree, text);
        rows.labelled(LABEL, "log hash", &seen.log_sha256, text);
    }
    let age = rows.age(run.ended_at.unwrap_or(run.started_at));
    let ago = if run.ended_at.is_some() { format!("{age} ago") } else { format!("since {age}") };
    let enter = model.keys.label_of(Place::Task, Action::Open);
    rows.labelled(LABEL, "run", &format!("{}{dot}{ago}{dot}{enter} shows its output", run.id, dot = theme.dot()), text);
    rows
}
