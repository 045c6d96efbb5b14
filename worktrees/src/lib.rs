//! worktrees

pub mod host;
pub mod process;
pub mod watch;
pub mod git;
