//! The mouse over panes: it selects one, looks back in it, marks text to copy, or is the agent's that is typed into and has
//! asked for it.

use std::sync::Arc;

use pipeline_commands::live::PaneRequest;
use pipeline_lib::ids::AgentName;
use pipeline_lib::terminal::{Frame, Input, MouseAction};
use ratatui::layout::{Position, Rect};

use super::text::{copied, part_of};
use super::{Mode, frame, mode, scroll, select};
use crate::dashboard::message::{Intent, Mouse};
use crate::dashboard::model::Model;
use crate::dashboard::view::{self, Hit, Slot};

/// Lines that one turn of the wheel moves.
const WHEEL_LINES: isize = 3;

/// What the button of the mouse holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) enum Held {
    /// It is the agent's own.
    Agent,
    /// It marks text.
    Marked(Marked),
}

/// Text that is marked with the mouse, in a picture that stands still meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) struct Marked {
    /// Whose.
    pub(in crate::dashboard) agent: AgentName,
    /// The picture.
    pub(in crate::dashboard) frame: Arc<Frame>,
    /// Row and column at which it began.
    from: (usize, u16),
    /// Row and column at which it is.
    to: (usize, u16),
}

impl Marked {
    /// Begins at a row and column of a picture.
    pub(in crate::dashboard) fn begin(agent: AgentName, frame: Arc<Frame>, at: (usize, u16)) -> Self {
        Self { agent, frame, from: at, to: at }
    }

    /// Goes on to a row and column.
    pub(in crate::dashboard) fn extend(&mut self, to: (usize, u16)) {
        self.to = to;
    }

    /// Whether anything is marked.
    pub(in crate::dashboard) fn is_any(&self) -> bool {
        self.from != self.to
    }

    /// The marked columns of a row, the last one not included; none if nothing of it is marked.
    pub(in crate::dashboard) fn columns(&self, row: usize) -> Option<(u16, u16)> {
        let (first, last) = (self.from.min(self.to), self.from.max(self.to));
        if !self.is_any() || row < first.0 || row > last.0 {
            return None;
        }
        let from = if row == first.0 { first.1 } else { 0 };
        let to = if row == last.0 { last.1 + 1 } else { self.frame.size.columns };
        Some((from, to))
    }

    /// The text, and how many lines it is.
    pub(in crate::dashboard) fn text(&self) -> (String, usize) {
        let rows = self.from.0.min(self.to.0)..=self.from.0.max(self.to.0);
        let part = |row: usize| {
            let (from, to) = self.columns(row)?;
            Some(part_of(self.frame.lines.get(row)?, from, to).trim_end().to_owned())
        };
        let lines: Vec<String> = rows.filter_map(part).collect();
        (lines.join("\n"), lines.len())
    }
}

/// Takes what was done with the mouse.
pub(super) fn used(model: &mut Model, mouse: Mouse) -> Vec<Intent> {
    let plan = view::panes(model);
    let hit = plan.hit(model, mouse.x, mouse.y);
    match mouse.action {
        MouseAction::WheelUp | MouseAction::WheelDown => match hit {
            Some(Hit::Pane(slot)) => wheel(model, mouse, &slot),
            Some(Hit::Name(_)) | None => Vec::new(),
        },
        MouseAction::Press => {
            model.panes.held = None;
            match hit {
                Some(Hit::Pane(slot)) => press(model, mouse, &slot),
                Some(Hit::Name(at)) => {
                    select(model, at);
                    Vec::new()
                }
                None => Vec::new(),
            }
        }
        MouseAction::Drag => drag(model, mouse),
        MouseAction::Release => release(model, mouse),
    }
}

fn name(model: &Model, slot: &Slot) -> Option<AgentName> {
    model.screen.agents.get(slot.at).map(|row| row.name.clone())
}

fn wheel(model: &mut Model, mouse: Mouse, slot: &Slot) -> Vec<Intent> {
    let Some(agent) = name(model, slot) else { return Vec::new() };
    if is_the_agents(model, &agent, true) {
        return forward(model, &agent, mouse, slot.inner());
    }
    let up = if mouse.action == MouseAction::WheelUp { WHEEL_LINES } else { -WHEEL_LINES };
    scroll::wheel(model, &agent, up);
    Vec::new()
}

/// Whether the mouse is an agent's: it is typed into, shows the present, and has asked for the mouse, or for the wheel as
/// programs that fill the screen do.
fn is_the_agents(model: &Model, agent: &AgentName, wheel: bool) -> bool {
    let typing = model.panes.typing.as_ref().is_some_and(|typing| typing.agent == *agent);
    let asked = frame(model, agent).is_some_and(|frame| frame.modes.mouse || (wheel && frame.modes.alternate));
    typing && asked && mode(model) == Mode::Typing && !model.panes.scrolled.contains_key(agent)
}

/// The cell of a terminal at a place of the screen, or the nearest one.
fn cell(frame: &Frame, inner: Rect, mouse: Mouse) -> (usize, u16) {
    let x = mouse.x.clamp(inner.x, inner.right().saturating_sub(1).max(inner.x)) - inner.x;
    let y = mouse.y.clamp(inner.y, inner.bottom().saturating_sub(1).max(inner.y)) - inner.y;
    let row = view::top_row(frame, inner.height) + usize::from(y);
    (row.min(frame.lines.len().saturating_sub(1)), x.min(frame.size.columns.saturating_sub(1)))
}

fn forward(model: &Model, agent: &AgentName, mouse: Mouse, inner: Rect) -> Vec<Intent> {
    let Some(frame) = frame(model, agent) else { return Vec::new() };
    let (row, column) = cell(&frame, inner, mouse);
    let Ok(row) = u16::try_from(row) else { return Vec::new() };
    let input = Input::Mouse { action: mouse.action, column, row };
    vec![Intent::Pane(agent.clone(), PaneRequest::Input(input))]
}

fn press(model: &mut Model, mouse: Mouse, slot: &Slot) -> Vec<Intent> {
    let Some(agent) = name(model, slot) else { return Vec::new() };
    let inner = slot.inner();
    let inside = inner.contains(Position::new(mouse.x, mouse.y));
    if inside && is_the_agents(model, &agent, false) {
        model.panes.held = Some(Held::Agent);
        return forward(model, &agent, mouse, inner);
    }
    select(model, slot.at);
    if inside && let Some(frame) = frame(model, &agent) {
        let at = cell(&frame, inner, mouse);
        model.panes.held = Some(Held::Marked(Marked::begin(agent, frame, at)));
    }
    Vec::new()
}

/// Where the pane of the selected agent shows its terminal.
fn place(model: &Model, agent: &AgentName) -> Option<Rect> {
    let at = model.screen.agents.iter().position(|row| row.name == *agent)?;
    view::panes(model).slot(at).map(Slot::inner)
}

fn drag(model: &mut Model, mouse: Mouse) -> Vec<Intent> {
    match model.panes.held.take() {
        Some(Held::Agent) => {
            model.panes.held = Some(Held::Agent);
            to_the_agent(model, mouse)
        }
        Some(Held::Marked(mut marked)) => {
            if let Some(inner) = place(model, &marked.agent) {
                let to = cell(&marked.frame, inner, mouse);
                marked.extend(to);
            }
            model.panes.held = Some(Held::Marked(marked));
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn to_the_agent(model: &Model, mouse: Mouse) -> Vec<Intent> {
    let Some(typing) = &model.panes.typing else { return Vec::new() };
    match place(model, &typing.agent) {
        Some(inner) => forward(model, &typing.agent, mouse, inner),
        None => Vec::new(),
    }
}

fn release(model: &mut Model, mouse: Mouse) -> Vec<Intent> {
    match model.panes.held.take() {
        Some(Held::Agent) => to_the_agent(model, mouse),
        Some(Held::Marked(marked)) if marked.is_any() => {
            let (text, lines) = marked.text();
            copied(model, text, lines)
        }
        Some(Held::Marked(_)) | None => Vec::new(),
    }
}
