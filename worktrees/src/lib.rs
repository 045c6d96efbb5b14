//! worktrees

pub mod beneath;
mod disk;
pub mod git;
pub mod host;
pub mod process;
pub mod watch;
