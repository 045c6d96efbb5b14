//! What a pane showed before: moving in it, searching it, and selecting lines of it. The host keeps what is looked at in its
//! place while more is printed; how far up that is by then comes with each picture.

use crossterm::event::KeyCode;
use pipeline_commands::live::PaneRequest;
use pipeline_lib::ids::AgentName;
use pipeline_lib::terminal::Frame;
use pipeline_lib::view::screen::Tone;

use super::text::{copy, line_at, matches};
use super::{frame, selected};
use crate::dashboard::message::{Intent, Key};
use crate::dashboard::model::{Input, Model, Purpose};
use crate::dashboard::overlay;
use crate::dashboard::update::toast;
use crate::dashboard::view;

/// A pane that is not looked at as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) struct Scroll {
    /// How many lines above the present screen were asked for last. Where it is by now is in its picture.
    pub(in crate::dashboard) wish: usize,
    /// Where it was when that was asked for, until a picture has answered.
    asked_at: Option<usize>,
    /// The row of the picture on which the bar lies.
    pub(in crate::dashboard) row: usize,
    /// The line at which a selection began.
    pub(in crate::dashboard) anchor: Option<usize>,
    /// It was asked for by a key; else the wheel was turned, and what is typed still goes to the agent.
    pub(in crate::dashboard) keys: bool,
    /// What was found is to have the bar, once it is in sight.
    seek: Option<Seek>,
}

/// What is looked for in the next picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seek {
    forward: bool,
    /// The line from which on.
    from: usize,
}

impl Scroll {
    /// The lines that are selected, by their numbers, both included: the one under the bar if nothing else is.
    pub(in crate::dashboard) fn lines(&self, frame: &Frame) -> (usize, usize) {
        let bar = line_at(frame, self.row);
        let anchor = self.anchor.unwrap_or(bar);
        (anchor.min(bar), anchor.max(bar))
    }

    /// The selected rows of a picture that shows them.
    pub(in crate::dashboard) fn rows(&self, frame: &Frame) -> std::ops::RangeInclusive<usize> {
        let (first, last) = self.lines(frame);
        let top = line_at(frame, 0);
        first.saturating_sub(top)..=last.saturating_sub(top)
    }

    /// How far up it is, as far as is known.
    fn place(&self, frame: &Frame) -> usize {
        if self.asked_at.is_some() { self.wish.min(frame.history) } else { frame.offset }
    }
}

/// Looks at what the selected pane shows with the keys of this mode.
pub(super) fn begin(model: &mut Model) {
    if let Some(agent) = selected(model) {
        open(model, &agent, true);
    }
}

/// Looks half a page back.
pub(super) fn back(model: &mut Model) {
    let Some(agent) = selected(model) else { return };
    if open(model, &agent, true) {
        let page = page(model, &agent);
        if !by_view(model, &agent, page / 2) {
            toast(model, "there is nothing above what is shown".to_owned(), Tone::Attention);
        }
    }
}

/// Begins, unless it has begun. Whether there is anything to look at.
fn open(model: &mut Model, agent: &AgentName, keys: bool) -> bool {
    let Some(frame) = frame(model, agent) else {
        toast(model, format!("{agent} has shown nothing yet"), Tone::Attention);
        return false;
    };
    let (first, last) = visible(model, agent, &frame);
    let blank = |row: &usize| frame.lines.get(*row).is_none_or(|line| line.text().trim().is_empty());
    let row = (first..=last).rev().find(|row| !blank(row)).unwrap_or(last);
    let new = Scroll { wish: 0, asked_at: None, row, anchor: None, keys, seek: None };
    let scroll = model.panes.scrolled.entry(agent.clone()).or_insert(new);
    scroll.keys |= keys;
    true
}

/// The first and the last row of a picture that are in sight.
fn visible(model: &Model, agent: &AgentName, frame: &Frame) -> (usize, usize) {
    let rows = usize::from(height(model, agent));
    let first = view::top_row(frame, height(model, agent));
    (first, (first + rows).min(frame.lines.len()).saturating_sub(1))
}

fn height(model: &Model, agent: &AgentName) -> u16 {
    let at = model.screen.agents.iter().position(|row| row.name == *agent);
    at.and_then(|at| view::panes(model).slot(at).map(|slot| slot.inner().height)).unwrap_or(0)
}

fn page(model: &Model, agent: &AgentName) -> isize {
    isize::try_from(height(model, agent)).unwrap_or(1).max(1)
}

/// Looks so many lines further up, or down. Whether that is another place.
pub(super) fn by_view(model: &mut Model, agent: &AgentName, up: isize) -> bool {
    let Some(frame) = frame(model, agent) else { return false };
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return false };
    let from = scroll.place(&frame);
    go_to(scroll, &frame, from.saturating_add_signed(up).min(frame.history)) != from
}

/// Asks for a place, and says which one.
fn go_to(scroll: &mut Scroll, frame: &Frame, to: usize) -> usize {
    let from = scroll.place(frame);
    if to == from {
        return from;
    }
    // A wish that is said twice is none; meanwhile the place has moved up, so the next line has to do.
    let to = match to == scroll.wish {
        true if to > from => (to + 1).min(frame.history),
        true if to > 0 => to - 1,
        _ => to,
    };
    scroll.wish = to;
    scroll.asked_at = Some(frame.offset);
    to
}

/// Moves the bar by rows, and what is in sight with it.
fn by_row(model: &mut Model, agent: &AgentName, down: isize) {
    let Some(frame) = frame(model, agent) else { return };
    let (first, last) = visible(model, agent, &frame);
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    let row = scroll.row.clamp(first, last);
    let to = row.saturating_add_signed(down);
    scroll.row = to.clamp(first, last);
    if to < first || to > last || (down < 0 && row == first) {
        by_view(model, agent, -down);
    }
}

fn to_end(model: &mut Model, agent: &AgentName, oldest: bool) {
    let Some(frame) = frame(model, agent) else { return };
    let (first, last) = visible(model, agent, &frame);
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    scroll.row = if oldest { first } else { last };
    go_to(scroll, &frame, if oldest { frame.history } else { 0 });
}

/// The wheel was turned over a pane. Whoever gets to the present by it is done, unless something is selected.
pub(super) fn wheel(model: &mut Model, agent: &AgentName, up: isize) {
    if up < 0 && !model.panes.scrolled.contains_key(agent) {
        return;
    }
    if !open(model, agent, model.panes.typing.is_none() && selected(model).as_ref() == Some(agent)) {
        return;
    }
    let moved = by_view(model, agent, up);
    let Some(scroll) = model.panes.scrolled.get(agent) else { return };
    let present = scroll.wish == 0 && scroll.anchor.is_none();
    if present && (up < 0 || !moved) {
        model.panes.scrolled.remove(agent);
    }
}

/// A key of this mode; none if it means what it always means.
pub(super) fn key(model: &mut Model, key: Key) -> Option<Vec<Intent>> {
    let agent = selected(model)?;
    let page = page(model, &agent);
    let mut intents = Vec::new();
    match key.to_string().as_str() {
        "j" | "<down>" => by_row(model, &agent, 1),
        "k" | "<up>" => by_row(model, &agent, -1),
        "<c-u>" => drop(by_view(model, &agent, page / 2)),
        "<c-d>" => drop(by_view(model, &agent, -(page / 2).max(1))),
        "<pageup>" => drop(by_view(model, &agent, page)),
        "<pagedown>" | "<c-f>" => drop(by_view(model, &agent, -page)),
        "g" | "<home>" => to_end(model, &agent, true),
        "G" | "<end>" => to_end(model, &agent, false),
        "/" => ask(model),
        "n" => intents = search(model, false),
        "N" => intents = search(model, true),
        "v" | "<space>" => mark(model, &agent),
        "y" | "<enter>" => intents = take(model, &agent),
        "<esc>" if clear(model, &agent) => {}
        "<esc>" | "q" => drop(model.panes.scrolled.remove(&agent)),
        _ => return None,
    }
    Some(intents)
}

/// Begins a selection at the bar, or ends it.
fn mark(model: &mut Model, agent: &AgentName) {
    let Some(frame) = frame(model, agent) else { return };
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    scroll.anchor = if scroll.anchor.is_some() { None } else { Some(line_at(&frame, scroll.row)) };
}

/// Ends a selection, if there is one.
fn clear(model: &mut Model, agent: &AgentName) -> bool {
    model.panes.scrolled.get_mut(agent).is_some_and(|scroll| scroll.anchor.take().is_some())
}

/// Copies what is selected.
fn take(model: &mut Model, agent: &AgentName) -> Vec<Intent> {
    let Some(frame) = frame(model, agent) else { return Vec::new() };
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return Vec::new() };
    let (first, last) = scroll.lines(&frame);
    scroll.anchor = None;
    copy(model, agent, first, last)
}

/// Asks for the text to search for.
pub(super) fn ask(model: &mut Model) {
    if selected(model).is_some_and(|agent| frame(model, &agent).is_some()) {
        model.panes.line = Some(Input::new(Purpose::Filter));
    } else {
        toast(model, "there is nothing to search yet".to_owned(), Tone::Attention);
    }
}

/// A key while the text to search for is typed.
pub(super) fn type_needle(model: &mut Model, key: Key) -> Vec<Intent> {
    let Some(mut line) = model.panes.line.take() else { return Vec::new() };
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => {}
        _ => {
            overlay::edit(&mut line, key);
            model.panes.line = Some(line);
            return Vec::new();
        }
    }
    // Nothing typed means what was searched for before.
    let needle = line.text();
    if !needle.is_empty() {
        model.panes.needle = needle;
    }
    if let Some(agent) = selected(model) {
        open(model, &agent, true);
    }
    search(model, false)
}

/// Goes to the next line with the text, towards the past or the present: the bar to one in sight, else what is in sight to
/// one that the host knows.
fn search(model: &mut Model, forward: bool) -> Vec<Intent> {
    let Some(agent) = selected(model) else { return Vec::new() };
    let Some(frame) = frame(model, &agent) else { return Vec::new() };
    let needle = model.panes.needle.clone();
    if needle.is_empty() {
        toast(model, "/ asks for the text to search for".to_owned(), Tone::Attention);
        return Vec::new();
    }
    let (first, last) = visible(model, &agent, &frame);
    let Some(scroll) = model.panes.scrolled.get_mut(&agent) else { return Vec::new() };
    let row = scroll.row;
    let seek = Seek { forward, from: line_at(&frame, row) };
    if scroll.asked_at.is_none()
        && let Some(found) = seek.row(&frame, &needle).filter(|row| (first..=last).contains(row))
    {
        scroll.row = found;
        return Vec::new();
    }
    scroll.seek = Some(seek);
    let place = scroll.place(&frame);
    // Below what is in sight, or above it.
    let offset = if forward { place.saturating_sub(last) } else { place };
    let ask = PaneRequest::Search { needle, offset, forward };
    vec![Intent::Pane(agent, ask)]
}

impl Seek {
    /// The row of a picture with the text that is nearest on the way.
    fn row(self, frame: &Frame, needle: &str) -> Option<usize> {
        let fits = |row: &usize| {
            let line = line_at(frame, *row);
            let ahead = if self.forward { line > self.from } else { line < self.from };
            ahead && frame.lines.get(*row).is_some_and(|line| !matches(line, needle).is_empty())
        };
        let mut rows = 0..frame.lines.len();
        if self.forward { rows.find(fits) } else { rows.rev().find(fits) }
    }
}

/// A search was answered.
pub(super) fn found(model: &mut Model, agent: &AgentName, forward: bool, found: Option<usize>) {
    let Some(frame) = frame(model, agent) else { return };
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    if !scroll.seek.is_some_and(|seek| seek.forward == forward) {
        return;
    }
    let Some(to) = found else {
        scroll.seek = None;
        return none(model, forward);
    };
    if go_to(scroll, &frame, to) == frame.offset && scroll.asked_at.is_none() {
        land(model, agent, &frame);
    }
}

/// What was found is in sight by now: the bar goes there.
fn land(model: &mut Model, agent: &AgentName, frame: &Frame) {
    let needle = model.panes.needle.clone();
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    let Some(seek) = scroll.seek.take() else { return };
    match seek.row(frame, &needle) {
        Some(row) => scroll.row = row,
        None => none(model, seek.forward),
    }
}

fn none(model: &mut Model, forward: bool) {
    let side = if forward { "below" } else { "above" };
    let needle = pipeline_lib::text::one_line(&model.panes.needle, 40);
    toast(model, format!("\"{needle}\" is nowhere {side}"), Tone::Attention);
}

/// A new picture has come.
pub(super) fn moved(model: &mut Model, agent: &AgentName, old: &Frame, new: &Frame) {
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    if let Some(from) = scroll.asked_at {
        let there = if scroll.wish < from { new.offset < from } else { new.offset >= scroll.wish.min(new.history) };
        if there {
            scroll.asked_at = None;
            land(model, agent, new);
        }
        return;
    }
    // What is in sight stays while more is printed. Where that is more than the history has grown by, the oldest lines were
    // forgotten, and all numbers are that much lower.
    let (printed, grown) = (new.offset.saturating_sub(old.offset), new.history.saturating_sub(old.history));
    if let Some(anchor) = &mut scroll.anchor {
        *anchor = anchor.saturating_sub(printed.saturating_sub(grown));
    }
}
