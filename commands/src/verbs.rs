//! What a person or a program can ask for: one file a verb. Each has its arguments, whose comments are its help, and one
//! function that does it.

pub mod agent;
pub mod completions;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod done;
pub mod event;
pub mod events;
pub mod explain;
pub mod hook;
pub mod init;
pub mod logs;
pub mod mode;
pub mod monitor;
pub mod pilot;
pub mod rollout;
pub mod run;
pub mod schema;
pub mod simulate;
pub mod status;
pub mod task;
pub mod trash;
pub mod undo;
pub mod wait;
pub(crate) mod within;
pub mod workflow;
