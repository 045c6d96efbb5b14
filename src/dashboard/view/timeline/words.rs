//! What the timeline says in words: when everything is predicted to be done and what that rests on, what the patterns mean,
//! and the runs of the chosen agent.

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::run::Verdict;
use pipeline_lib::view::detail::history::Kind;
use pipeline_lib::view::detail::timeline::{Outlook, Row, Span, Timeline, Unknown};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::bars::{dashes, pattern};
use super::letters;
use crate::dashboard::model::Model;
use crate::dashboard::pages::timeline::Axis;
use crate::dashboard::theme::Theme;
use crate::dashboard::view::measure::{grouped, length, roughly, span};
use crate::dashboard::view::paint::{Painter, columns, wrap};

/// From so many rows on the runs of the chosen agent are listed.
const RUNS_ROWS_MIN: u16 = 4;

/// When all is done, for the end of the title line.
pub(super) fn short(timeline: &Timeline, now: Timestamp) -> String {
    match &timeline.outlook.finish {
        None => "nothing is left".to_owned(),
        Some(Ok(at)) => format!("done in about {}", roughly(until(*at, now))),
        Some(Err(_)) => "finish unknown".to_owned(),
    }
}

fn until(at: Timestamp, now: Timestamp) -> f64 {
    at.duration_since(now).as_secs_f64().max(0.0)
}

fn tasks(count: usize) -> String {
    let number = grouped(count as u64);
    if count == 1 { "1 task".to_owned() } else { format!("{number} tasks") }
}

/// The same with what it rests on and what it leaves out.
fn outlook(outlook: &Outlook, now: Timestamp) -> String {
    let Some(finish) = &outlook.finish else { return "Nothing is left to do.".to_owned() };
    let mut words = match finish {
        Ok(at) => format!(
            "{} left, done in about {} if nothing fails, by the medians of {} runs.",
            tasks(outlook.going),
            roughly(until(*at, now)),
            grouped(outlook.runs)
        ),
        Err(Unknown::NoRuns) => {
            format!("{} left. When that is done is unknown: no run is on record yet.", tasks(outlook.going))
        }
        Err(Unknown::Shadow) => {
            format!("{} left. When that is done is unknown: shadow mode starts nothing.", tasks(outlook.waiting))
        }
        Err(Unknown::AllWait) => {
            let what = "wait for a person, or for an agent that can take them";
            return format!("Nothing goes on by itself: {} left, which {what}.", tasks(outlook.waiting));
        }
    };
    if outlook.beyond > 0 {
        words.push_str(&format!(
            " {} of these are taken to go at the rate of the others.",
            grouped(outlook.beyond as u64)
        ));
    }
    if outlook.waiting > 0 && finish.is_ok() {
        words.push_str(&format!(" {} more wait for a person or an agent and are not counted.", outlook.waiting));
    }
    words
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, timeline: &Timeline, area: Rect, axis: Axis) {
    let theme = painter.theme;
    if let Some(Ok(at)) = timeline.outlook.finish {
        // So often its words change.
        let soon = until(at, model.now) < 90.0;
        painter.changes_by(later(model.now, if soon { 10 } else { 60 }));
    }
    let mut y = area.y;
    for line in wrap(&outlook(&timeline.outlook, model.now), area.width) {
        if y < area.bottom() {
            painter.text(area.x, y, area.width, &line, theme.text());
        }
        y += 1;
    }
    if y >= area.bottom() {
        return;
    }
    legend(painter, Rect { y, height: 1, ..area }, timeline);
    y += 2;
    let rest = area.bottom().saturating_sub(y);
    if let Some((_, agent)) = model.agent().filter(|_| rest >= RUNS_ROWS_MIN)
        && let Some(row) = timeline.rows.iter().find(|row| row.agent == agent.name)
    {
        runs(painter, Rect { y, height: rest, ..area }, row, axis, model.now);
    }
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// What letters, patterns and signs mean.
fn legend(painter: &mut Painter<'_>, line: Rect, timeline: &Timeline) {
    let theme = painter.theme;
    let spans = || timeline.rows.iter().flat_map(|row| &row.spans);
    let has = |kind: Kind| spans().any(|span| span.kind == kind);
    let mut parts: Vec<(String, String, Style)> = letters(&timeline.stages)
        .into_iter()
        .map(|letter| (letter.letter.to_string(), letter.stage.to_string(), theme.tone(letter.tone)))
        .collect();
    for (kind, word, style) in [(Kind::Gate, "gate", theme.tone(Tone::Checking)), (Kind::Setup, "set-up", theme.dim())]
    {
        if has(kind) {
            parts.push((pattern(theme, kind).repeat(2), word.to_owned(), style));
        }
    }
    if spans().any(|span| matches!(span.end, Some((_, Verdict::Failed)))) {
        parts.push((theme.sign(Tone::Bad).to_owned(), "failed".to_owned(), theme.tone(Tone::Bad)));
    }
    if !timeline.outlook.planned.is_empty() {
        parts.push((dashes(theme).repeat(2), "predicted".to_owned(), theme.text()));
    }
    let mut x = line.x;
    for (sign, word, style) in &parts {
        let needed = columns(sign) + 1 + columns(word);
        if x + needed > line.right() {
            break;
        }
        x += painter.parts(x, line.y, needed, &[(sign, *style), (" ", theme.text()), (word, theme.dim())]) + 3;
    }
}

/// The runs of an agent that the axis shows, the latest first.
fn runs(painter: &mut Painter<'_>, area: Rect, row: &Row, axis: Axis, now: Timestamp) {
    let theme = painter.theme;
    let ended = |span: &Span| span.end.map_or(now, |(at, _)| at);
    let seen: Vec<&Span> =
        row.spans.iter().filter(|span| ended(span) >= axis.begin() && span.from < axis.end()).collect();
    let failed = seen.iter().filter(|span| matches!(span.end, Some((_, Verdict::Failed)))).count();
    let inside = |run: &Span| ended(run).min(now).duration_since(run.from.max(axis.begin()));
    let busy = seen.iter().map(|run| inside(run)).fold(SignedDuration::ZERO, SignedDuration::saturating_add);
    let beside = format!("{} runs in sight, {failed} failed{}busy {}", seen.len(), theme.dot(), took(busy));
    let title = Rect { x: area.x - 2, width: area.width + 3, height: 1, ..area };
    painter.rule(title, row.agent.as_str(), &beside, "", false);
    if seen.is_empty() {
        painter.text(area.x, area.y + 1, area.width, "Nothing in sight. h looks further back.", theme.dim());
    }
    for (y, span) in (area.y + 1..area.bottom()).zip(seen) {
        draw_run(painter, Rect { y, height: 1, ..area }, span, theme);
    }
}

/// How long something took; where that is short to a tenth of a second.
fn took(time: SignedDuration) -> String {
    if time.as_secs() < 10 { span(time.as_secs_f64()) } else { length(time.as_secs()) }
}

fn draw_run(painter: &mut Painter<'_>, line: Rect, span: &Span, theme: Theme) {
    let (tone, took) = match span.end {
        None => (Tone::Active, painter.age(span.from)),
        Some((at, verdict)) => {
            let tone = match verdict {
                Verdict::Passed => Tone::Good,
                Verdict::Failed => Tone::Bad,
                Verdict::Void => Tone::Gone,
            };
            (tone, took(at.duration_since(span.from)))
        }
    };
    let ago = span.end.map_or_else(|| "now".to_owned(), |(at, _)| painter.age(at));
    painter.right(line.x, line.y, 4, &ago, theme.dim());
    painter.text(line.x + 6, line.y, 1, theme.sign(tone), theme.tone(tone));
    painter.right(line.x + 8, line.y, 6, &took, theme.text());
    let what = match span.kind {
        Kind::Agent => span.stage.as_ref().map(ToString::to_string).unwrap_or_default(),
        Kind::Gate => format!("gate of {}", span.stage.as_ref().map(ToString::to_string).unwrap_or_default()),
        Kind::Setup => "set-up of its worktree".to_owned(),
    };
    let task = span.task.as_ref().map(ToString::to_string).unwrap_or_default();
    let attempt = if span.attempt > 1 { format!("{}try {}", theme.dot(), span.attempt) } else { String::new() };
    let x = line.x + 16;
    let parts = [(task.as_str(), theme.text()), ("  ", theme.text()), (what.as_str(), theme.text())];
    let used = painter.parts(x, line.y, line.right().saturating_sub(x), &parts);
    painter.text(x + used, line.y, line.right().saturating_sub(x + used), &attempt, theme.dim());
}
