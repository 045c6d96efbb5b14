//! One task in full: which part of it is looked at.

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::Model;

/// How a person looks at the task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// The task that was opened; none for the one that is chosen on the board.
    pub(in crate::dashboard) task: Option<pipeline_lib::ids::TaskId>,
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(_model: &mut Model, _action: Action) -> Vec<Intent> {
    Vec::new()
}
