//! The private clones of agents at the strict level: given before a run, and taken back after it or wherever one was left.
//! How that is done without trusting them is not decided here.

use std::path::{Path, PathBuf};

use pipeline_lib::run::Run;
use pipeline_lib::settings::Sandbox;
use pipeline_worktrees::git::{GitError, Taken};

use super::perform::Failure;
use crate::config::AgentConfig;
use crate::context::Context;

/// In a run's directory: its private clone. Its agent can write what is in it, and not it.
const CLONE: &str = "clone";

fn folder(context: &Context, run: &Run) -> PathBuf {
    context.run_dir(&run.id).join(CLONE)
}

/// The git directory that an agent works with: a clone's at the strict level, else the one that belongs to its worktree.
pub(super) fn git_dir(context: &Context, agent: &AgentConfig, run: &Run, worktree: &Path) -> Result<PathBuf, Failure> {
    let repo = context.repo();
    Ok(match agent.sandbox {
        Sandbox::Strict => repo.lend_clone(worktree, &folder(context, run))?,
        Sandbox::Off | Sandbox::Basic => repo.private_dir(worktree)?,
    })
}

/// Takes back the clone of an earlier run that nobody took, such as one before a reset of the state. That of `run`
/// itself is left: its agent may be at work.
///
/// # Errors
/// When the repository cannot be read or written.
pub(crate) fn settle(context: &Context, run: Option<&Run>, worktree: &Path) -> Result<(), GitError> {
    let repo = context.repo();
    let own = run.map(|run| folder(context, run)).unwrap_or_default();
    if !repo.has_other_clone(worktree, &own)? {
        return Ok(());
    }
    if let Some(taken) = repo.take_clone(worktree)? {
        for what in taken.notes.iter().chain(&taken.refused) {
            context.note(&format!("of an earlier run at {}: {what}", worktree.display()));
        }
        repo.end_clone(worktree, &taken)?;
    }
    Ok(())
}

/// Takes back what the agent of a run that has ended committed in its clone. Nothing where it had none.
pub(super) fn take(context: &Context, worktree: &Path) -> Result<Taken, Failure> {
    Ok(context.repo().take_clone(worktree)?.unwrap_or_default())
}

/// Lets go of a clone that was taken. One that was refused says so again until somebody else works there.
pub(super) fn end(context: &Context, worktree: &Path, taken: &Taken) -> Result<(), Failure> {
    if taken.refused.is_none() {
        context.repo().end_clone(worktree, taken)?;
    }
    Ok(())
}
