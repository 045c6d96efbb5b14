//! Which agent did what when, and when it is predicted to be done.

/// The agents' work over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {}
