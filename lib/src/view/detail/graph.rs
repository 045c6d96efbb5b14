//! Which task waits for which, ready to be drawn.

/// The tasks and their dependencies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {}
