//! Which agent did what when: which part of it is looked at.

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::Model;

/// How a person looks at the timeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(_model: &mut Model, _action: Action) -> Vec<Intent> {
    Vec::new()
}
