//! Gathers what the page `timeline` shows.

use std::sync::Arc;

use jiff::Timestamp;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::history::History;
use pipeline_lib::view::detail::timeline::timeline;

use crate::engine::Engine;

/// A prediction is made for moments that lie so many seconds apart. One for every second would make every picture new.
const STEP_SECONDS: i64 = 10;

/// What there is to see.
pub(super) fn gather(engine: &Engine, history: &mut History) -> Detail {
    history.follow(engine.pipeline());
    let now = Timestamp::now();
    let step = Timestamp::from_second(now.as_second().div_euclid(STEP_SECONDS) * STEP_SECONDS).unwrap_or(now);
    Detail::Timeline(Arc::new(timeline(engine.pipeline(), history, step)))
}
