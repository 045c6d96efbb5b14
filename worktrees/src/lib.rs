//! worktrees

pub mod beneath;
pub mod git;
pub mod host;
pub mod process;
pub mod watch;
