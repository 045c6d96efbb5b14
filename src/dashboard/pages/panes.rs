//! The agents' terminals: how they are laid out, which of them is typed into, and how far back they are looked at.

use pipeline_commands::live::{PaneAnswer, PaneRequest};
use pipeline_lib::ids::AgentName;

use crate::dashboard::keys::Action;
use crate::dashboard::message::{Intent, Key, Mouse};
use crate::dashboard::model::Model;

/// How a person looks at the terminals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(_model: &mut Model, _action: Action) -> Vec<Intent> {
    Vec::new()
}

/// Takes a key away from the table where it is meant for an agent, or is the second half of a prefix.
pub(in crate::dashboard) fn capture(_model: &mut Model, _key: Key) -> Option<Vec<Intent>> {
    None
}

/// Text was pasted while an agent is typed into. Whether it was taken.
pub(in crate::dashboard) fn paste(_model: &mut Model, _text: &str) -> Option<Vec<Intent>> {
    None
}

/// What was asked of a terminal was answered.
pub(in crate::dashboard) fn answered(_model: &mut Model, _agent: &AgentName, _ask: &PaneRequest, _answer: PaneAnswer) {}

/// The mouse was used at a place of the screen. Whether it was meant for a terminal.
pub(in crate::dashboard) fn mouse(_model: &mut Model, _mouse: Mouse) -> Option<Vec<Intent>> {
    None
}
