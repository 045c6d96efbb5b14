//! Figures over time: throughput, cycle time, failures and cost.

/// The figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {}
