//! What is true about tasks, workflows, agents and runs, and what follows from it. Pure: no file, process, thread, clock,
//! randomness or environment, so every rule is tested in microseconds and replays the same way everywhere.
//!
//! An [`event::Event`] goes in, [`decide::decide`] answers with facts, [`pipeline::Pipeline::apply`] makes them true, and
//! what has to be done outside follows from the state: [`pipeline::Pipeline::due_effects`].

pub mod agents;
pub mod budget;
pub mod claim;
pub mod collision;
pub mod decide;
pub mod diff;
pub mod estimate;
pub mod event;
pub mod fact;
pub mod globs;
pub mod id_pattern;
pub mod ids;
pub mod interval;
pub mod machine;
pub mod metrics;
pub mod mode;
pub mod pipeline;
pub mod proof;
pub mod registry;
pub mod rollout;
pub mod run;
pub mod settings;
pub mod simulate;
pub mod status;
pub mod task;
pub mod terminal;
pub mod text;
pub mod variants;
pub mod view;
pub mod workflow;
