//! The shell around the rules: looks at live runs, feeds what it sees to the engine, and performs what follows. This is
//! the only place where the state and the worktrees meet.
//!
//! A tick is level-triggered: it compares what is with what should be, so a lost event costs time, never correctness,
//! and whoever ticks next after a crash continues. One process ticks at a time; the state's own lock is held only while
//! facts are written, never across git, a spawn or a wait.

mod alerts;
mod assign;
mod branches;
mod commands;
mod finished;
mod ignored;
mod launch;
mod look;
mod perform;
mod results;
mod secrets;
mod tick;
mod watch;

pub use launch::replace_file;
pub(crate) use launch::{base_environment, detach_clean};
pub use look::{look, observe};
pub(crate) use tick::read_current_task;
pub use tick::{Supervisor, TickReport};
pub use watch::{Pace, Stop, Ticked, run_loop};
