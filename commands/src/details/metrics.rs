//! Gathers what the page `metrics` shows.

use pipeline_lib::view::detail::Detail;

use crate::engine::Engine;

/// What there is to see.
pub(super) fn gather(_engine: &Engine) -> Detail {
    Detail::Metrics(std::sync::Arc::default())
}
