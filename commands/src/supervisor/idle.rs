//! Worktrees of agents that have nothing to do: detached at base, so that who looks there sees what the next task begins
//! with, and not the rest of another one. One that holds anything uncommitted stays, and so does one on a branch that
//! somebody put it on. Nothing depends on when this is done; it comes after everything that somebody waits for.

use std::collections::HashMap;

use pipeline_lib::ids::{AgentName, CommitId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_worktrees::git::GitError;

use crate::context::Context;

/// Where the worktrees of idle agents have been brought already.
pub(super) type Rested = HashMap<AgentName, CommitId>;

/// Brings the worktrees of idle agents to base. Where each task has a worktree of its own there is none to bring.
pub(super) fn bring_to_base<'p>(context: &Context, pipeline: &'p Pipeline, rested: &mut Rested) {
    if context.config().has_worktree_per_task() {
        return;
    }
    let place = |agent: &'p AgentName| (agent, context.worktree(agent.as_str(), None));
    let idle: Vec<_> = pipeline.idle_agents().map(place).filter(|(_, path)| path.is_dir()).collect();
    if idle.is_empty() {
        return rested.clear();
    }
    let base = match context.base_head() {
        Ok(base) => base,
        Err(error) => return tracing::debug!(%error, "worktrees of idle agents stay where they are"),
    };
    let mut now = Rested::new();
    for (agent, path) in idle {
        if rested.get(agent) != Some(&base) {
            match context.repo().rest(&path, &base) {
                Ok(()) => {}
                // Somebody's work: it is set aside when the worktree is needed, and not before.
                Err(error @ (GitError::Dirty { .. } | GitError::InProgress { .. })) => {
                    tracing::debug!(%agent, %error, "the worktree of an idle agent stays as it is");
                }
                Err(error) => tracing::warn!(%agent, %error, "the worktree of an idle agent stays as it is"),
            }
        }
        now.insert(agent.clone(), base.clone());
    }
    *rested = now;
}
