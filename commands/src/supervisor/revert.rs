//! Taking a merge back from base, in a commit of its own. Nothing is rewritten: base gets a commit that undoes the merge, and
//! the task's branch one that brings the work anew once it is mended.

use jiff::Timestamp;
use pipeline_lib::event::{Event, RevertOutcome};
use pipeline_lib::ids::{CommitId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::Task;
use pipeline_worktrees::git::{Advance, Reverted};

use super::perform::Failure;
use crate::context::Context;

/// How often base may move away under our hands before we give up for now.
const TRIES: usize = 5;

/// What came of undoing merges.
pub(crate) enum Undone {
    /// Base is without them: for each the commit that undoes it, none where nothing of it was left.
    Done(Vec<Option<CommitId>>),
    /// Later changes are in the way of one of them. Nothing was changed.
    Conflict {
        /// Of which task.
        task: TaskId,
        /// Where.
        files: Vec<String>,
    },
}

/// Takes the merge of a task back because the check after it failed, and readies the task's branch for another one. The
/// branch comes first, so that a crash between the two leaves nothing that a repetition does not find.
pub(super) fn take_back(
    context: &Context,
    pipeline: &Pipeline,
    id: &TaskId,
    merge: &CommitId,
) -> Result<Event, Failure> {
    let gone = || Failure::permanent(format!("task {id} is not there"));
    let task = pipeline.task(id.as_str()).ok_or_else(gone)?;
    // The moment at which the task came here makes the commits the same however often this is repeated.
    let outcome = match undo(context, &[(task, merge)], task.state_since, true)? {
        Undone::Done(by) => RevertOutcome::Reverted { by: by.into_iter().next().flatten() },
        Undone::Conflict { files, .. } => RevertOutcome::Conflict { files },
    };
    Ok(Event::BaseReverted { task: id.clone(), merge: merge.clone(), outcome })
}

/// Undoes merges on base, one after the other and all or none. With `anew`, the branch of each task is made to bring its
/// work again.
pub(crate) fn undo(
    context: &Context,
    merges: &[(&Task, &CommitId)],
    when: Timestamp,
    anew: bool,
) -> Result<Undone, Failure> {
    let repo = context.repo();
    for _ in 0..TRIES {
        let base = context.base_head()?;
        let (mut tip, mut by) = (base.clone(), Vec::new());
        for (task, merge) in merges {
            let message = format!("Roll back {}: {}\n\nReverts the merge {merge}.", task.id, task.title);
            let commit = match repo.revert_merge(&tip, merge, &message, when)? {
                Reverted::NothingToRevert => None,
                Reverted::Commit(commit) => Some(commit),
                Reverted::Conflict { files } => return Ok(Undone::Conflict { task: task.id.clone(), files }),
            };
            if let (true, Some(commit)) = (anew, &commit) {
                bring_anew(context, task, &tip, commit, when)?;
            }
            tip = commit.clone().unwrap_or(tip);
            by.push(commit);
        }
        if tip == base {
            return Ok(Undone::Done(by));
        }
        match repo.advance_branch(context.base(), &base, &tip)? {
            Advance::Moved => return Ok(Undone::Done(by)),
            Advance::Stale { .. } => {}
            Advance::CheckoutDirty { path, files, command } => {
                let files = files.join(", ");
                let message = format!("{} has uncommitted changes in {files}; run `{command}`", path.display());
                return Err(Failure { message, permanent: false });
            }
        }
    }
    Err(Failure { message: format!("{} kept moving", context.base()), permanent: false })
}

fn bring_anew(
    context: &Context,
    task: &Task,
    before: &CommitId,
    revert: &CommitId,
    when: Timestamp,
) -> Result<(), Failure> {
    let (repo, branch) = (context.repo(), task.branch());
    let Some(head) = repo.branch_head(&branch)? else { return Ok(()) };
    if repo.is_ancestor(revert, &head)? {
        return Ok(());
    }
    let message = format!("{}: bring the work anew\n\n{} was put back by {revert}.", task.id, context.base());
    let again = repo.bring_anew(&head, before, revert, &message, when)?;
    match repo.advance_branch(&branch, &head, &again)? {
        Advance::Moved => Ok(()),
        Advance::Stale { .. } | Advance::CheckoutDirty { .. } => {
            let message = format!("branch {branch} moved meanwhile, or is checked out with changes");
            Err(Failure { message, permanent: false })
        }
    }
}
