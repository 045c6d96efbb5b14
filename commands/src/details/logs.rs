//! Gathers the latest lines of the supervisor's own log.

use pipeline_lib::view::detail::Detail;

use crate::context::Context;

/// What was read of the log so far.
#[derive(Debug, Default)]
pub(super) struct Logs {}

impl Logs {
    /// What there is to see.
    pub(super) fn gather(&mut self, _context: &Context) -> Detail {
        Detail::Logs(std::sync::Arc::default())
    }
}
