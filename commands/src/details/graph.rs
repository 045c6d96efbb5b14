//! Gathers what the page `graph` shows.

use std::sync::Arc;

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::graph::graph;

use crate::engine::Engine;

/// What there is to see, around a task where there is more than can be shown.
pub(super) fn gather(engine: &Engine, centre: Option<&TaskId>) -> Detail {
    Detail::Graph(Arc::new(graph(engine.pipeline(), centre)))
}
