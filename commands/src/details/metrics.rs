//! Gathers what the page `metrics` shows.

use std::sync::Arc;

use jiff::Timestamp;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::history::History;
use pipeline_lib::view::detail::metrics::figures;

use crate::engine::Engine;

/// What there is to see.
pub(super) fn gather(engine: &Engine, history: &mut History) -> Detail {
    history.follow(engine.pipeline());
    Detail::Metrics(Arc::new(figures(engine.pipeline(), history, Timestamp::now())))
}
