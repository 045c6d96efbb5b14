//! Tests of the rules: examples sentence by sentence after the interface, every request in every state, and random
//! histories against a model.

pub(crate) mod invariants;
pub(crate) mod world;

mod categories;
mod chains;
mod clock;
mod collisions;
mod compose;
mod failure;
mod gates;
mod hub;
mod ladder;
mod modes;
mod nested;
mod order;
mod properties;
mod rollout;
mod schedules;
mod scheduling;
mod sequential;
mod settled;
mod setup;
mod stages;
mod tasks;
mod undo;
