//! What the supervisor wrote about itself.

/// The latest lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logs {}
