//! Gathers what a page of the dashboard shows beyond the picture. Each page has its file; what takes long is done away
//! from the thread that keeps the picture.

mod graph;
mod logs;
mod metrics;
mod task;
mod timeline;

use std::sync::Arc;

use jiff::Timestamp;
use pipeline_lib::decide;
use pipeline_lib::view::detail::history::History;
use pipeline_lib::view::detail::{Detail, Look};
use pipeline_lib::view::standing::standing;

use crate::context::Context;
use crate::engine::Engine;
use crate::supervisor::read_current_task;

/// Asks for another picture, because something that takes long is there.
pub(crate) type Wake = tokio::sync::mpsc::UnboundedSender<()>;

/// What is kept between two looks.
#[derive(Debug)]
pub(crate) struct Details {
    task: task::Task,
    logs: logs::Logs,
    history: History,
}

impl Details {
    /// Nothing is kept yet.
    pub(crate) fn new(wake: Wake) -> Self {
        Self { task: task::Task::new(wake), logs: logs::Logs::default(), history: History::default() }
    }

    /// What there is to see now.
    pub(crate) fn gather(&mut self, context: &Context, engine: &Engine, look: &Look) -> Detail {
        match look {
            Look::Picture => Detail::Nothing,
            Look::Task(look) => self.task.gather(context, engine, look),
            Look::Graph(centre) => graph::gather(engine, centre.as_ref()),
            Look::Timeline => timeline::gather(engine, &mut self.history),
            Look::Schedules => {
                let pipeline = engine.pipeline();
                let standing = standing(pipeline, &pipeline.core.settings, Timestamp::now());
                Detail::Schedules(Arc::new(standing))
            }
            Look::Metrics => metrics::gather(engine, &mut self.history),
            Look::Logs => self.logs.gather(context),
            Look::Plan(mode) => {
                let current = read_current_task(context);
                let starts = decide::plan(engine.pipeline(), *mode, current.as_deref(), Timestamp::now());
                Detail::Plan(*mode, Arc::new(starts))
            }
        }
    }
}
