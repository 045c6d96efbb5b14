//! Gathers all about one task.

use std::sync::Arc;

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::task::TaskDetail;

use crate::context::Context;
use crate::engine::Engine;

/// What is kept of a task between two looks.
#[derive(Debug, Default)]
pub(super) struct Task {}

impl Task {
    /// What there is to see.
    pub(super) fn gather(&mut self, _context: &Context, engine: &Engine, id: &TaskId) -> Detail {
        match engine.pipeline().task(id.as_str()) {
            Some(task) => Detail::Task(Arc::new(TaskDetail { id: task.id.clone() })),
            None => Detail::NoTask(id.clone()),
        }
    }
}
