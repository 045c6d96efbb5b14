//! Gathers what a page of the dashboard shows beyond the picture. Each page has its file; what takes long is done away
//! from the thread that keeps the picture.

mod graph;
mod logs;
mod metrics;
mod task;
mod timeline;

use pipeline_lib::view::detail::{Detail, Look};

use crate::context::Context;
use crate::engine::Engine;

/// What is kept between two looks.
#[derive(Debug, Default)]
pub(crate) struct Details {
    task: task::Task,
    logs: logs::Logs,
}

impl Details {
    /// What there is to see now.
    pub(crate) fn gather(&mut self, context: &Context, engine: &Engine, look: &Look) -> Detail {
        match look {
            Look::Picture => Detail::Nothing,
            Look::Task(id) => self.task.gather(context, engine, id),
            Look::Graph => graph::gather(engine),
            Look::Timeline => timeline::gather(engine),
            Look::Metrics => metrics::gather(engine),
            Look::Logs => self.logs.gather(context),
        }
    }
}
