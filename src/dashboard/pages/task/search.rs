//! Finding text in the part of a task that is in sight: in the comparison, in what happened, and in what a run printed. What
//! is found is a row; how it is marked is the view's. Nothing is found ahead of the keys, so that a frame costs no more.

use pipeline_lib::view::detail::task::Part;
use pipeline_lib::view::screen::Tone;

use super::rows;
use crate::dashboard::message::{Intent, Key};
use crate::dashboard::model::{Input, Model, Overlay, Page, Purpose};
use crate::dashboard::update::toast;
use crate::dashboard::view;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Search {
    /// The text, as it was typed; empty where nothing is looked for.
    pub(in crate::dashboard) needle: String,
    /// The row that was found last.
    row: Option<usize>,
    /// Which one of how many that is.
    pub(in crate::dashboard) at: (usize, usize),
}

/// Whether there are lines in the part that can be searched.
fn can_be_searched(part: Part) -> bool {
    match part {
        Part::Diff | Part::History | Part::Logs => true,
        Part::About | Part::Flow | Part::Runs | Part::Checks => false,
    }
}

/// Asks what to look for.
pub(in crate::dashboard) fn ask(model: &mut Model) {
    if can_be_searched(model.reading.part) {
        model.overlay = Some(Overlay::Input(Input::new(Purpose::Search)));
    } else {
        toast(model, "the diff, the history and the logs can be searched".to_owned(), Tone::Attention);
    }
}

/// Looks for a text from the first row in sight on. No text repeats the last search.
pub(in crate::dashboard) fn begin(model: &mut Model, typed: &str) {
    if !typed.is_empty() {
        model.reading.search = Search { needle: typed.to_owned(), ..Search::default() };
    }
    if !model.reading.search.needle.is_empty() {
        go(model, true);
    }
}

/// Takes the keys of a search away from the table while there is one.
pub(in crate::dashboard) fn capture(model: &mut Model, key: Key) -> Option<Vec<Intent>> {
    if model.page != Page::Task || model.reading.search.needle.is_empty() {
        return None;
    }
    match key.to_string().as_str() {
        "n" => go(model, true),
        "N" => go(model, false),
        "<esc>" => model.reading.search = Search::default(),
        _ => return None,
    }
    Some(Vec::new())
}

/// To the next row that holds the text, around the end.
fn go(model: &mut Model, forward: bool) {
    let found = view::found(model, &model.reading.search.needle);
    let from = model.reading.search.row;
    let top = super::top(model, view::extent(model));
    let next = match (from, forward) {
        (None, true) => found.iter().position(|row| *row >= top),
        (Some(row), true) => found.iter().position(|other| *other > row),
        (from, false) => found.iter().rposition(|other| *other < from.unwrap_or(top)),
    };
    let around = if forward { 0 } else { found.len().saturating_sub(1) };
    let at = next.unwrap_or(around);
    let Some(row) = found.get(at).copied() else {
        let words = format!("nothing here holds {}", model.reading.search.needle);
        model.reading.search = Search::default();
        return toast(model, words, Tone::Attention);
    };
    model.reading.search.row = Some(row);
    model.reading.search.at = (at + 1, found.len());
    show(model, row);
}

/// Brings a row into sight, with some of what is above it.
fn show(model: &mut Model, row: usize) {
    let extent = view::extent(model);
    let top = super::top(model, extent);
    if (top..top + extent.room.max(1)).contains(&row) {
        return;
    }
    let to = row.saturating_sub(extent.room / 3);
    let part = model.reading.part;
    match super::diff(model) {
        Some(diff) if part == Part::Diff => model.reading.place = rows::place(diff, to),
        _ => model.reading.tops[part as usize] = Some(to.min(extent.last_top())),
    }
}
