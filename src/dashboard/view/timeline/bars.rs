//! The bars of one agent: what it did, what it does, and what it is predicted to do. The kind of a run is told by the pattern
//! of its bar, its stage by a letter or a word in it, what came of it by the sign at its end.

use std::ops::Range;

use pipeline_lib::run::Verdict;
use pipeline_lib::view::detail::history::Kind;
use pipeline_lib::view::detail::timeline::{Planned, Row, Span};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::Letter;
use crate::dashboard::pages::timeline::Axis;
use crate::dashboard::theme::Theme;
use crate::dashboard::view::number;
use crate::dashboard::view::paint::{Painter, columns};

/// The pattern of a bar.
pub(super) fn pattern(theme: Theme, kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => theme.pick("█", "="),
        Kind::Gate => theme.pick("▒", ":"),
        Kind::Setup => theme.pick("░", "~"),
    }
}

/// The pattern of what is predicted.
pub(super) fn dashes(theme: Theme) -> &'static str {
    theme.pick("┄", "-")
}

pub(super) fn draw(painter: &mut Painter<'_>, line: Rect, row: &Row, axis: Axis, letters: &[Letter]) {
    for planned in row.planned.iter().rev() {
        foresee(painter, line, planned, axis, letters);
    }
    // The latest come first, and cover what is older where a column holds several; what went wrong covers all.
    let failed = |span: &&Span| matches!(span.end, Some((_, Verdict::Failed)));
    let failures: Vec<i64> = row.spans.iter().filter(failed).map(|span| ends(span, axis).1).collect();
    for span in row.spans.iter().rev() {
        bar(painter, line, span, axis, letters, &failures);
    }
    for span in row.spans.iter().filter(failed) {
        let (_, end) = ends(span, axis);
        if let Some(x) = cell(end, line) {
            painter.text(x, line.y, 1, painter.theme.sign(Tone::Bad), painter.theme.tone(Tone::Bad));
        }
    }
}

/// The first and the last column of a run.
fn ends(span: &Span, axis: Axis) -> (i64, i64) {
    let end = span.end.map_or(axis.now, |(at, _)| axis.column(at));
    let begin = axis.column(span.from).min(end);
    (begin, end)
}

/// The columns of an area that lie between two columns of the axis, both counted in.
fn visible(begin: i64, end: i64, line: Rect) -> Range<u16> {
    let width = i64::from(line.width);
    let within = |column: i64| u16::try_from(column.clamp(0, width)).unwrap_or(0);
    within(begin)..within(end.saturating_add(1))
}

fn cell(column: i64, line: Rect) -> Option<u16> {
    u16::try_from(column).ok().filter(|column| *column < line.width).map(|column| line.x + column)
}

fn letter<'a>(letters: &'a [Letter], stage: Option<&pipeline_lib::ids::StageId>) -> Option<&'a Letter> {
    letters.iter().find(|letter| Some(&letter.stage) == stage)
}

fn bar(painter: &mut Painter<'_>, line: Rect, span: &Span, axis: Axis, letters: &[Letter], failures: &[i64]) {
    let theme = painter.theme;
    let (begin, end) = ends(span, axis);
    let shown = visible(begin, end, line);
    if shown.is_empty() {
        return;
    }
    let letter = letter(letters, span.stage.as_ref());
    let style = match span.kind {
        Kind::Agent => letter.map_or(theme.text(), |letter| theme.tone(letter.tone)),
        Kind::Gate => theme.tone(Tone::Checking),
        Kind::Setup => theme.dim(),
    };
    let pattern = pattern(theme, span.kind);
    for x in shown.clone() {
        painter.text(line.x + x, line.y, 1, pattern, style);
    }
    // The sign of a failure before it takes the first column.
    let after = u16::from(failures.contains(&begin) && begin < end);
    let from = line.x + shown.start + after;
    let room = shown.end - shown.start - after;
    if let (Kind::Agent, Some(letter)) = (span.kind, letter) {
        label(painter, (from, line.y, room), &words(span, letter), style);
    }
    if let (Some((_, Verdict::Void)), Some(x)) = (span.end, cell(end, line))
        && room > 1
    {
        painter.text(x, line.y, 1, theme.sign(Tone::Gone), theme.dim());
    }
}

/// What a bar says of itself, from the most to the least.
fn words(span: &Span, letter: &Letter) -> [String; 3] {
    let task = span.task.as_ref().map(|id| number(id.as_str())).unwrap_or_default();
    let stage = letter.stage.as_str();
    [format!("{stage} {task}"), stage.to_owned(), letter.letter.to_string()]
}

/// Writes the longest of some words that fits into a bar, so that the bar goes on around it.
fn label(painter: &mut Painter<'_>, (x, y, room): (u16, u16, u16), words: &[String], style: Style) {
    // The last column stays for how it ended.
    let fits = |word: &&String| columns(word) < room || (columns(word) == 1 && room > 0);
    if let Some(word) = words.iter().find(fits) {
        painter.text(x, y, room, word, style.add_modifier(Modifier::REVERSED));
    }
}

fn foresee(painter: &mut Painter<'_>, line: Rect, planned: &Planned, axis: Axis, letters: &[Letter]) {
    let theme = painter.theme;
    let begin = axis.column(planned.from).max(axis.now + 1);
    let end = axis.column(planned.to).max(begin);
    let shown = visible(begin, end, line);
    let Some(letter) = letter(letters, Some(&planned.stage)).filter(|_| !shown.is_empty()) else { return };
    let style = theme.tone(letter.tone);
    for x in shown.clone() {
        painter.text(line.x + x, line.y, 1, dashes(theme), style);
    }
    if begin == i64::from(shown.start) {
        let room = shown.end - shown.start;
        let task = number(planned.task.as_str());
        let words = [format!("{} {task}", letter.stage), letter.letter.to_string()];
        let word = words.iter().find(|word| columns(word) < room).unwrap_or(&words[1]);
        painter.text(line.x + shown.start, line.y, room, word, style);
    }
}
