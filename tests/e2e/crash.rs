//! What dies at a bad moment: the monitor, hosts, agents, the machine. Afterwards the next tick of any process goes on as
//! if nothing had happened, and nothing ran twice or was lost. `PIPELINE_LONG=1` tries every moment; without it a spread.

mod agents;
mod commands;
mod decisions;
mod disk;
mod errors;
mod merges;
mod moments;
mod monitors;
mod powercut;
mod rig;
mod soak;
mod storage;
