//! Proof of the dashboard without a terminal, a clock or a pipeline.

mod fixture;
