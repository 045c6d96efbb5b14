//! The branch of a task: beginning it, and telling it from one of the same name that somebody else left, be it a task of an
//! earlier state or a person. What such a branch holds is kept under a rescue reference, never taken over as the task's.
//!
//! A branch is the task's own if a run has worked on it. Before the first one has, it holds nothing but what it was made at.

use pipeline_lib::ids::CommitId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Ended, Run, RunSummary};
use pipeline_lib::task::{ParentWhy, Task};
use pipeline_worktrees::git::{GitError, Repo};
use pipeline_worktrees::host;

use super::begin::may_have_begun;
use super::perform::Failure;
use crate::context::Context;

/// Where the branch of a run's task begins, if it is not there: that of a task which does a part of another one where that one
/// is. What has its name and is not the task's is out of the way then.
pub(super) fn begins_at(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    task: &Task,
    base: CommitId,
) -> Result<CommitId, Failure> {
    set_strange_aside(context, pipeline, Some(run), task, Some(&base))?;
    Ok(parents_head(context.repo(), pipeline, task)?.unwrap_or(base))
}

/// Makes sure that the branch of a task is there on which its parts are brought together. One that has all of them already was
/// joined before.
pub(super) fn start_joined(
    context: &Context,
    pipeline: &Pipeline,
    task: &Task,
    base: &CommitId,
    heads: &[CommitId],
) -> Result<(), Failure> {
    let repo = context.repo();
    if let Some(branch) = repo.branch_head(&task.branch())? {
        let mut joined = true;
        for head in heads {
            joined &= repo.is_ancestor(head, &branch)?;
        }
        if joined {
            return Ok(());
        }
    }
    set_strange_aside(context, pipeline, None, task, Some(base))?;
    repo.ensure_branch(&task.branch(), parents_head(repo, pipeline, task)?.as_ref().unwrap_or(base))?;
    Ok(())
}

/// Sets the branch aside that has the name of the task's and holds work which is not the task's, before `run` begins. The
/// head of base is looked up where it is not given and needed.
pub(super) fn set_strange_aside(
    context: &Context,
    pipeline: &Pipeline,
    run: Option<&Run>,
    task: &Task,
    base: Option<&CommitId>,
) -> Result<(), Failure> {
    if has_output(pipeline, task) {
        return Ok(());
    }
    let repo = context.repo();
    if let Some(parent) = parent(pipeline, task) {
        set_strange_aside(context, pipeline, run, parent, base)?;
    }
    let branch = task.branch();
    let Some(head) = repo.branch_head(&branch)? else { return Ok(()) };
    // Whoever claimed this run had looked at the branch before, and its agent or command may be at work there by now.
    if run.is_some_and(|run| may_have_begun(context, run)) {
        return Ok(());
    }
    let base = base.cloned().map_or_else(|| context.base_head(), Ok)?;
    for start in [Some(base), parents_head(repo, pipeline, task)?].into_iter().flatten() {
        if repo.is_ancestor(&head, &start)? {
            return Ok(());
        }
    }
    let mut sharing = pipeline.tasks.iter().filter(|other| other.branch() == branch);
    if sharing.any(|other| has_worked(context, pipeline, other)) {
        return Ok(());
    }
    let reason = format!("work found on {branch} before {} began", task.id);
    let id = format!("branch-{}", task.branch_task());
    let rescued = loop {
        match repo.set_branch_aside(&branch, &id, &reason) {
            Err(GitError::BranchElsewhere { path, .. })
                if context.is_our_worktree(&path) && !is_in_use(context, pipeline, run, &path) =>
            {
                repo.let_go(&path)?;
            }
            Err(GitError::BranchElsewhere { path, .. }) => {
                return Err(Failure::permanent(format!(
                    "the branch {branch} holds other work and is checked out at {}; put that checkout on another branch, \
                     then type `pipeline task retry {}`",
                    path.display(),
                    task.id
                )));
            }
            other => break other?,
        }
    };
    if let Some(rescued) = rescued {
        let kept = rescued.reference.rsplit('/').next().unwrap_or_default();
        context.note(&format!(
            "the branch {branch} held work that is not this task's ({}); it is kept, see `pipeline trash restore {kept}`, \
             and {} begins anew",
            rescued.commit.short(),
            task.id
        ));
    }
    Ok(())
}

/// Whether a live run other than this one may be at work in a worktree. One that is claimed and was not started yet is not:
/// whatever branch is checked out there was left by somebody before it.
pub(super) fn is_in_use(context: &Context, pipeline: &Pipeline, run: Option<&Run>, worktree: &std::path::Path) -> bool {
    let mut others = pipeline.core.runs.values().filter(|live| run.is_none_or(|run| live.id != run.id));
    others.any(|live| {
        context.worktree(live.agent.as_str(), live.task.as_ref()) == worktree && may_have_begun(context, live)
    })
}

/// The task that a task does a part of.
fn parent<'p>(pipeline: &'p Pipeline, task: &Task) -> Option<&'p Task> {
    let parent = task.parent.as_ref().filter(|parent| parent.why == ParentWhy::Part)?;
    pipeline.task(parent.task.as_str())
}

fn parents_head(repo: &Repo, pipeline: &Pipeline, task: &Task) -> Result<Option<CommitId>, Failure> {
    Ok(parent(pipeline, task).map(|parent| repo.branch_head(&parent.branch())).transpose()?.flatten())
}

/// Whether a stage of the task is done, so that its branch is known to be its own.
pub(super) fn has_output(pipeline: &Pipeline, task: &Task) -> bool {
    // A part begins with what the stages before it produced.
    task.outputs.len() > parent(pipeline, task).map_or(0, |parent| parent.outputs.len())
}

/// Whether a run of the task may have changed its branch, or a stage of it is done.
fn has_worked(context: &Context, pipeline: &Pipeline, task: &Task) -> bool {
    let live = pipeline.core.runs.values().filter(|run| run.task.as_ref() == Some(&task.id));
    has_output(pipeline, task)
        || task.runs.iter().any(|run| has_run(context, run))
        || live.into_iter().any(|run| host::has_started(&context.run_dir(&run.id)))
}

fn has_run(context: &Context, run: &RunSummary) -> bool {
    // Of one that nothing is known of any more anything may be true.
    !matches!(run.how, Ended::NotStarted { .. }) && !host::never_began(&context.run_dir(&run.id))
}
