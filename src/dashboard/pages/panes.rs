//! The agents' terminals: how they are laid out, which of them is typed into, and how far back they are looked at. Pure;
//! where each pane is comes from the view, what it shows from the host.

mod mouse;
mod scroll;
mod text;
mod typing;

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_commands::live::{PaneAnswer, PaneRequest};
use pipeline_lib::ids::{AgentName, RunId};
use pipeline_lib::terminal::Frame;
use pipeline_lib::view::pane::{Pane, Panes, Source};
use pipeline_lib::view::screen::Tone;

use crate::dashboard::keys::Action;
use crate::dashboard::message::{Intent, Key, Mouse};
use crate::dashboard::model::{Input, Model, Page};
use crate::dashboard::update::toast;
use crate::dashboard::view;

pub(in crate::dashboard) use mouse::{Held, Marked};
pub(in crate::dashboard) use scroll::Scroll;
pub(in crate::dashboard) use text::matches;

/// How much of a pasted text is searched for, in characters.
const NEEDLE_CHARS_MAX: usize = 200;

/// How a person looks at the terminals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// How they are laid out.
    pub(in crate::dashboard) arrangement: Arrangement,
    /// Which of them is the main one, where there is one; else the first.
    pub(in crate::dashboard) main: Option<AgentName>,
    /// The selected one fills the page.
    pub(in crate::dashboard) zoomed: bool,
    /// Whose keys they are, while somebody types.
    pub(in crate::dashboard) typing: Option<Typing>,
    /// The prefix was pressed; the next key is the second half.
    pub(in crate::dashboard) prefix: bool,
    /// The text to search for, while it is being typed.
    pub(in crate::dashboard) line: Option<Input>,
    /// The text that was searched for last.
    pub(in crate::dashboard) needle: String,
    /// Those that are not looked at as they are now.
    pub(in crate::dashboard) scrolled: BTreeMap<AgentName, Scroll>,
    /// What the button of the mouse holds.
    pub(in crate::dashboard) held: Option<Held>,
    /// Whose text is to be copied once it has come.
    pub(in crate::dashboard) copying: Option<AgentName>,
}

/// Who is typed into: this session and no later one of the same agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) struct Typing {
    /// The agent.
    pub(in crate::dashboard) agent: AgentName,
    /// Its run.
    pub(in crate::dashboard) run: Option<RunId>,
}

/// A way to lay panes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dashboard) enum Arrangement {
    /// In rows and columns.
    #[default]
    Grid,
    /// Beside each other.
    Columns,
    /// Below each other.
    Rows,
    /// A large one with the others beside it.
    Main,
}

impl Arrangement {
    fn next(self) -> Self {
        match self {
            Self::Grid => Self::Columns,
            Self::Columns => Self::Rows,
            Self::Rows => Self::Main,
            Self::Main => Self::Grid,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Columns => "columns",
            Self::Rows => "rows",
            Self::Main => "one large, the others beside it",
        }
    }
}

/// What the keys do on this page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) enum Mode {
    /// What the key table says.
    Looking,
    /// They go to the agent.
    Typing,
    /// They complete the prefix.
    Prefix,
    /// They are a text to search for.
    Searching,
    /// They move in what the pane showed before.
    Scrolling,
}

/// What the keys do now.
pub(in crate::dashboard) fn mode(model: &Model) -> Mode {
    let looking = &model.panes;
    let scroll = selected(model).and_then(|agent| looking.scrolled.get(&agent));
    let typing = looking.typing.is_some();
    match scroll {
        _ if looking.prefix => Mode::Prefix,
        _ if model.page != Page::Panes => Mode::Looking,
        _ if looking.line.is_some() => Mode::Searching,
        Some(scroll) if scroll.keys || !typing => Mode::Scrolling,
        _ if typing => Mode::Typing,
        _ => Mode::Looking,
    }
}

/// The page is opened: nothing is left of what was looked at before.
pub(in crate::dashboard) fn enter(model: &mut Model) {
    let old = std::mem::take(&mut model.panes);
    model.panes = Looking { arrangement: old.arrangement, main: old.main, needle: old.needle, ..Looking::default() };
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    let intents = acted(model, action);
    settle(model);
    intents
}

fn acted(model: &mut Model, action: Action) -> Vec<Intent> {
    match action {
        Action::Down => step(model, Side::Down),
        Action::Up => step(model, Side::Up),
        Action::Left => step(model, Side::Left),
        Action::Right => step(model, Side::Right),
        Action::NextPanel => turn(model, true),
        Action::PreviousPanel => turn(model, false),
        Action::First => select(model, 0),
        Action::Last => select(model, model.screen.agents.len().saturating_sub(1)),
        Action::Zoom => zoom(model),
        Action::Open if model.panes.arrangement == Arrangement::Main && !model.panes.zoomed => {
            model.panes.main = selected(model);
        }
        Action::Open => zoom(model),
        Action::Layout => lay_out(model),
        Action::Prefix => model.panes.prefix = true,
        Action::Type => typing::begin(model),
        Action::Scroll => scroll::back(model),
        Action::PageUp => scroll::back(model),
        Action::Filter => scroll::ask(model),
        _ => {}
    }
    Vec::new()
}

/// Takes a key away from the table where it is meant for an agent, or is the second half of a prefix.
pub(in crate::dashboard) fn capture(model: &mut Model, key: Key) -> Option<Vec<Intent>> {
    let intents = match mode(model) {
        Mode::Looking if model.page != Page::Panes => None,
        Mode::Prefix => Some(typing::behind_prefix(model, key)),
        Mode::Searching => Some(scroll::type_needle(model, key)),
        Mode::Typing => Some(typing::typed(model, key)),
        Mode::Scrolling => scroll::key(model, key).or_else(|| number(model, key)),
        Mode::Looking => number(model, key),
    };
    settle(model);
    intents
}

/// The number of an agent selects it.
fn number(model: &mut Model, key: Key) -> Option<Vec<Intent>> {
    let digit = key.typed()?.to_digit(10)? as usize;
    if model.keys.action(model.place(), key) != Some(Action::Agent) {
        return None;
    }
    let at = digit.checked_sub(1).filter(|at| *at < model.screen.agents.len());
    if let Some(at) = at {
        select(model, at);
    }
    Some(Vec::new())
}

/// Text was pasted. What is asked for if it was meant for a pane.
pub(in crate::dashboard) fn paste(model: &mut Model, text: &str) -> Option<Vec<Intent>> {
    match mode(model) {
        Mode::Typing => {
            let intents = typing::pasted(model, text);
            settle(model);
            Some(intents)
        }
        Mode::Searching => {
            if let Some(line) = &mut model.panes.line {
                line.before.push_str(&pipeline_lib::text::one_line(text, NEEDLE_CHARS_MAX));
            }
            Some(Vec::new())
        }
        Mode::Looking | Mode::Prefix | Mode::Scrolling => None,
    }
}

/// What was asked of a terminal was answered.
pub(in crate::dashboard) fn answered(
    model: &mut Model,
    agent: &AgentName,
    ask: &PaneRequest,
    answer: PaneAnswer,
) -> Vec<Intent> {
    match (ask, answer) {
        (_, PaneAnswer::Taken) => {}
        (PaneRequest::Search { at, forward, .. }, PaneAnswer::Found(found)) => {
            scroll::found(model, agent, (*at, *forward), found);
        }
        (_, PaneAnswer::Found(_)) => {}
        (_, PaneAnswer::Text(lines)) => return text::arrived(model, agent, &lines),
        (_, PaneAnswer::Refused(why)) => {
            model.panes.copying = None;
            toast(model, format!("{agent}: {why}"), Tone::Attention);
        }
    }
    Vec::new()
}

/// The mouse was used at a place of the screen. What is asked for if it was meant for this page.
pub(in crate::dashboard) fn mouse(model: &mut Model, mouse: Mouse) -> Option<Vec<Intent>> {
    if model.page != Page::Panes {
        return None;
    }
    let intents = mouse::used(model, mouse);
    settle(model);
    Some(intents)
}

/// A new picture of the pipeline has come, in which a session may be over.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    typing::check(model);
}

/// New pictures have come in the place of these.
pub(in crate::dashboard) fn shown(model: &mut Model, before: &Panes) {
    if model.page != Page::Panes {
        return;
    }
    typing::check(model);
    let agents: Vec<AgentName> = model.panes.scrolled.keys().cloned().collect();
    for agent in agents {
        let (old, new) = (before.get(&agent), model.shown.get(&agent).cloned());
        match (old, new) {
            (Some(old), Some(new)) if old.run != new.run => drop(model.panes.scrolled.remove(&agent)),
            (Some(old), Some(new)) if !Arc::ptr_eq(&old.frame, &new.frame) => {
                scroll::moved(model, &agent, &new.frame);
            }
            _ => {}
        }
    }
}

/// Keeps nothing of panes that are not in sight: what is asked of them anew begins at the present.
fn settle(model: &mut Model) {
    if model.panes.scrolled.is_empty() {
        return;
    }
    let plan = view::panes(model);
    let agents = &model.screen.agents;
    let seen =
        |agent: &AgentName| plan.slots.iter().any(|slot| agents.get(slot.at).is_some_and(|row| row.name == *agent));
    model.panes.scrolled.retain(|agent, _| seen(agent));
}

/// The selected agent.
fn selected(model: &Model) -> Option<AgentName> {
    model.agent().map(|(_, row)| row.name.clone())
}

/// Selects an agent. Whoever types goes on in its terminal, if it has one.
fn select(model: &mut Model, at: usize) {
    let Some(name) = model.screen.agents.get(at).map(|row| row.name.clone()) else { return };
    if selected(model).as_ref() == Some(&name) {
        return;
    }
    model.agent = Some(name);
    if model.panes.typing.take().is_some() {
        typing::begin(model);
    }
}

/// Selects the next agent, or the one before, around the end.
fn turn(model: &mut Model, forward: bool) {
    let count = model.screen.agents.len();
    let Some((at, _)) = model.agent() else { return };
    select(model, (at + if forward { 1 } else { count - 1 }) % count);
}

/// A direction on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Up,
    Down,
    Left,
    Right,
}

/// Selects the pane on a side of the selected one; where there is none, and not all agents are shown, the next agent of
/// that side.
fn step(model: &mut Model, side: Side) {
    let plan = view::panes(model);
    let Some((at, _)) = model.agent() else { return };
    let Some(here) = plan.slot(at).map(|slot| slot.area) else { return };
    let (x, y) = (here.x + here.width / 2, here.y + here.height / 2);
    let near = |slot: &&view::Slot| {
        let there = slot.area;
        // How far it is, and how far off the way.
        let (gap, off) = match side {
            Side::Up => (here.y.checked_sub(there.bottom()), away(x, there.x, there.right())),
            Side::Down => (there.y.checked_sub(here.bottom()), away(x, there.x, there.right())),
            Side::Left => (here.x.checked_sub(there.right()), away(y, there.y, there.bottom())),
            Side::Right => (there.x.checked_sub(here.right()), away(y, there.y, there.bottom())),
        };
        gap.map(|gap| (off, gap))
    };
    let nearest = plan.slots.iter().filter(|slot| near(slot).is_some()).min_by_key(near);
    if let Some(slot) = nearest {
        return select(model, slot.at);
    }
    let beyond = match side {
        Side::Down | Side::Right => plan.slots.iter().map(|slot| slot.at + 1).max(),
        Side::Up | Side::Left => plan.slots.iter().map(|slot| slot.at).min().and_then(|at| at.checked_sub(1)),
    };
    if let Some(at) = beyond.filter(|at| *at < model.screen.agents.len() && plan.slot(*at).is_none()) {
        select(model, at);
    }
}

/// How far a place is from a stretch.
fn away(place: u16, from: u16, to: u16) -> u16 {
    from.saturating_sub(place).max((place + 1).saturating_sub(to))
}

fn zoom(model: &mut Model) {
    model.panes.zoomed = !model.panes.zoomed;
}

fn lay_out(model: &mut Model) {
    let looking = &mut model.panes;
    looking.zoomed = false;
    looking.arrangement = looking.arrangement.next();
    let word = looking.arrangement.word();
    if model.panes.arrangement == Arrangement::Main {
        model.panes.main = selected(model);
    }
    toast(model, format!("layout: {word}"), Tone::Good);
}

/// The picture of an agent, as long as it is one.
fn frame(model: &Model, agent: &AgentName) -> Option<Arc<Frame>> {
    let pane = model.shown.get(agent).filter(|pane| pane.source != Source::Nothing)?;
    Some(Arc::clone(&pane.frame))
}

/// Whether a pane can be typed into.
fn takes_keys(pane: &Pane) -> bool {
    match pane.source {
        Source::Terminal | Source::Multiplexer => true,
        Source::Log | Source::Nothing => false,
    }
}
