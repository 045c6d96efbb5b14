//! Text that is looked for on the page of a task: the rows that hold it, and its marks in those that are in sight.

use pipeline_lib::view::detail::task::Part;
use ratatui::layout::Rect;

use super::{body, history, logs};
use crate::dashboard::model::Model;
use crate::dashboard::pages::task;
use crate::dashboard::pages::task::rows::{self, Row};
use crate::dashboard::view::paint::Painter;

/// The rows of the part in sight that hold a text, in any case.
pub(in crate::dashboard::view) fn rows(model: &Model, area: Rect, needle: &str) -> Vec<usize> {
    let needle = needle.to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&needle);
    let Some(detail) = task::detail(model) else { return Vec::new() };
    match model.reading.part {
        Part::Diff => {
            let Some(diff) = task::diff(model) else { return Vec::new() };
            let holds = |(file, row): (usize, Row<'_>)| match row {
                Row::Head => diff.files.get(file).is_some_and(|file| holds(&file.path)),
                Row::Hunk(hunk) => holds(&hunk.heading),
                Row::Line(_, _, line) => holds(&line.text),
                Row::NoLines | Row::LeftOut(_) | Row::Gap => false,
            };
            rows::from(diff, 0).enumerate().filter(|(_, row)| holds(*row)).map(|(at, _)| at).collect()
        }
        Part::History => history::texts(detail).filter(|(_, text)| holds(text)).map(|(at, _)| at).collect(),
        Part::Logs => logs::rows_with(body(area), detail, holds),
        Part::About | Part::Flow | Part::Runs | Part::Checks => Vec::new(),
    }
}

/// Marks the text wherever it stands in the rows that are drawn.
pub(super) fn mark(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let needle = model.reading.search.needle.to_lowercase();
    if needle.is_empty() {
        return;
    }
    let style = painter.theme.found();
    for y in area.top()..area.bottom() {
        for (x, width) in painter.places_of(Rect { y, height: 1, ..area }, &needle) {
            painter.overlay(Rect { x, y, width, height: 1 }, style);
        }
    }
}
