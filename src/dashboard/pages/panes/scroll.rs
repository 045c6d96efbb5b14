//! What a pane showed before: moving in it, searching it, and selecting lines of it. The host keeps what is looked at in its
//! place while more is printed, so all places are named by the picture in which they are meant.

use crossterm::event::KeyCode;
use pipeline_commands::live::PaneRequest;
use pipeline_lib::ids::AgentName;
use pipeline_lib::terminal::Frame;
use pipeline_lib::terminal::wire::lines_since;
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
    /// How many lines above the present screen were asked for last, and in which picture.
    pub(in crate::dashboard) wish: (usize, Option<u64>),
    /// No picture has answered that yet.
    waiting: bool,
    /// The row of the picture on which the bar lies.
    pub(in crate::dashboard) row: usize,
    /// The line at which a selection began.
    pub(in crate::dashboard) anchor: Option<u64>,
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
    from: u64,
}

impl Scroll {
    /// The lines that are selected, by their numbers, both included: the one under the bar if nothing else is.
    pub(in crate::dashboard) fn lines(&self, frame: &Frame) -> (u64, u64) {
        let bar = self.bar(frame);
        let anchor = self.anchor.unwrap_or(bar);
        (anchor.min(bar), anchor.max(bar))
    }

    /// Whether a row of a picture is selected.
    pub(in crate::dashboard) fn has(&self, frame: &Frame, row: usize) -> bool {
        if self.anchor.is_none() {
            return row == self.row;
        }
        let (first, last) = self.lines(frame);
        (first..=last).contains(&line_at(frame, row))
    }

    /// The line under the bar, once what was asked for is in sight.
    fn bar(&self, frame: &Frame) -> u64 {
        let place = self.place(frame) as u64;
        frame.scrolled.saturating_add(self.row as u64).saturating_sub(place)
    }

    /// How far up it is in a picture, which may not have answered yet.
    fn place(&self, frame: &Frame) -> usize {
        let (offset, at) = self.wish;
        match self.waiting {
            false => frame.offset,
            true if offset == 0 => 0,
            true => offset.saturating_add(lines_since(at, frame.scrolled)).min(frame.history),
        }
    }

    /// Asks for a place of a picture. Whether that is another one.
    fn go_to(&mut self, frame: &Frame, to: usize) -> bool {
        if to == self.place(frame) {
            return false;
        }
        self.wish = (to, Some(frame.scrolled));
        self.waiting = to != frame.offset;
        true
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
    let new = Scroll { wish: (0, None), waiting: false, row, anchor: None, keys, seek: None };
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
    let to = scroll.place(&frame).saturating_add_signed(up).min(frame.history);
    scroll.go_to(&frame, to)
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
    scroll.go_to(&frame, if oldest { frame.history } else { 0 });
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
    let present = scroll.wish.0 == 0 && scroll.anchor.is_none();
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
    scroll.anchor = if scroll.anchor.is_some() { None } else { Some(scroll.bar(&frame)) };
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
    let seek = Seek { forward, from: scroll.bar(&frame) };
    if !scroll.waiting
        && let Some(found) = seek.row(&frame, &needle).filter(|row| (first..=last).contains(row))
    {
        scroll.row = found;
        return Vec::new();
    }
    scroll.seek = Some(seek);
    let place = scroll.place(&frame);
    // Below what is in sight, or above it.
    let offset = if forward { place.saturating_sub(last) } else { place };
    let ask = PaneRequest::Search { needle, offset, at: Some(frame.scrolled), forward };
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

/// A search was answered, for the picture with so many lines scrolled.
pub(super) fn found(model: &mut Model, agent: &AgentName, (at, forward): (Option<u64>, bool), found: Option<usize>) {
    let Some(frame) = frame(model, agent) else { return };
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    if scroll.seek.is_none_or(|seek| seek.forward != forward) {
        return;
    }
    let Some(to) = found else {
        scroll.seek = None;
        return none(model, forward);
    };
    let to = if to == 0 { 0 } else { to.saturating_add(lines_since(at, frame.scrolled)).min(frame.history) };
    scroll.go_to(&frame, to);
    if !scroll.waiting {
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
pub(super) fn moved(model: &mut Model, agent: &AgentName, frame: &Frame) {
    let Some(scroll) = model.panes.scrolled.get_mut(agent) else { return };
    if scroll.waiting && scroll.place(frame) == frame.offset {
        scroll.waiting = false;
        land(model, agent, frame);
    }
}
