//! The shell around the rules: looks at live runs, feeds what it sees to the engine, and performs what follows. This is
//! the only place where the state and the worktrees meet.
//!
//! A tick is level-triggered: it compares what is with what should be, so a lost event costs time, never correctness,
//! and whoever ticks next after a crash continues. One process ticks at a time; the state's own lock is held only while
//! facts are written, never across git, a spawn or a wait.

mod alerts;
mod assign;
mod begin;
mod branches;
pub(crate) mod clones;
mod collect;
mod commands;
mod confine;
pub(crate) mod environment;
mod finished;
mod held;
pub(crate) mod hooks;
mod idle;
mod ignored;
mod inputs;
mod launch;
mod look;
mod perform;
mod performed;
mod proposals;
mod radar;
mod results;
pub(crate) mod revert;
mod room;
mod said;
mod secrets;
pub(crate) mod session;
mod spending;
mod tick;
mod trespass;
mod urge;
mod watch;

pub(crate) use confine::{SANDBOX_VARIABLE, lacking as sandbox_lacking};
pub(crate) use environment::{entrust, of_commands as command_environment};
pub(crate) use hooks::lacking as hooks_lacking;
pub(crate) use launch::detach_clean;
pub use launch::replace_file;
pub use look::{look, observe};
pub(crate) use proposals::working_directory;
pub(crate) use secrets::Secrets;
pub(crate) use tick::read_current_task;
pub use tick::{Supervisor, TickReport};
pub use watch::{Pace, Stop, Ticked, run_loop};
