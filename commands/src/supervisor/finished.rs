//! Worktrees of tasks that need them no more, where each task has its own. One that holds anything that is not committed
//! stays, for a person to look at. Nothing depends on when this is done.

use std::path::Path;

use pipeline_lib::decide::gate_worktree;
use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::TaskState;
use pipeline_worktrees::git::GitError;

use super::clones;
use crate::context::Context;

/// Removes the clean worktrees of completed and cancelled tasks.
pub(super) fn remove_worktrees(context: &Context, pipeline: &Pipeline) {
    if !context.config().has_worktree_per_task() {
        return;
    }
    let worktrees = match context.repo().worktrees() {
        Ok(worktrees) => worktrees,
        Err(error) => return tracing::warn!(%error, "worktrees of finished tasks could not be looked for"),
    };
    for path in worktrees.into_iter().map(|info| info.path) {
        let Some(task) = task_of(context, &path) else { continue };
        if !is_over(pipeline, &task) {
            continue;
        }
        match clones::settle(context, None, &path).and_then(|()| context.repo().remove_worktree(&path)) {
            Ok(()) => {
                remove_empty_parents(&path, &task);
                tracing::debug!(path = %path.display(), %task, "the worktree of a finished task was removed");
            }
            // Somebody's work, or a lock: not ours to take away.
            Err(error @ (GitError::Dirty { .. } | GitError::Locked { .. })) => {
                tracing::debug!(path = %path.display(), %error, "the worktree of a finished task stays");
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "the worktree of a finished task stays"),
        }
    }
}

/// Removes the folders that were there for the task alone. One that holds anything stays, which the system sees to.
fn remove_empty_parents(path: &Path, task: &TaskId) {
    let is_its_own =
        |folder: &&Path| folder.file_name().is_some_and(|name| name.to_string_lossy().contains(task.as_str()));
    for folder in path.ancestors().skip(1).take_while(is_its_own) {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

fn task_of(context: &Context, path: &Path) -> Option<TaskId> {
    let config = context.config();
    let names = config.agents.iter().flat_map(|agent| [agent.name.to_string(), gate_worktree(&agent.name)]);
    names.into_iter().find_map(|name| config.task_of_worktree(context.root(), &name, path))
}

/// Whether nothing more will happen to a task, as far as we know. What nobody knows is left alone.
fn is_over(pipeline: &Pipeline, task: &TaskId) -> bool {
    let worked_at = pipeline.core.runs.values().any(|run| run.task.as_ref() == Some(task));
    let ended = match pipeline.task(task.as_str()) {
        Some(task) => matches!(task.state, TaskState::Completed | TaskState::Cancelled),
        None => pipeline.core.archived.contains_key(task),
    };
    ended && !worked_at
}
