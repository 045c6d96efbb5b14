//! worktrees
