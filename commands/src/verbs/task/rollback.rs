//! `pipeline task rollback`: reverts the merge of a completed task on base. Repeating it after a crash in the middle
//! finishes it.

use jiff::Timestamp;
use pipeline_lib::event::{Refusal, Request};
use pipeline_lib::ids::CommitId;
use pipeline_lib::task::{Task, TaskState};
use pipeline_worktrees::git::{Advance, Reverted};

use super::change::{One, id};
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};

/// How often base may move away under our hands before we give up.
const TRIES: usize = 5;

pub(super) fn run(call: &Call, args: &One) -> Result<u8> {
    let wanted = id(&args.task)?;
    let context = call.context()?;
    // Nobody else merges meanwhile.
    let _ticking = context.tick_lock()?;
    let mut engine = Engine::open(&context)?;
    let task = engine.pipeline().task(wanted.as_str()).ok_or_else(|| Refusal::NoTask(wanted.to_string()))?;
    if task.state != TaskState::Completed {
        return Err(Refusal::Illegal {
            verb: "roll back",
            task: wanted,
            status: task.state.word(),
            hint: Some("Only a completed task can be rolled back.".to_owned()),
        }
        .into());
    }
    let on_top: Vec<String> = engine
        .pipeline()
        .dependents(&wanted)
        .iter()
        .filter(|t| t.state == TaskState::Completed)
        .map(|t| t.id.to_string())
        .collect();
    if !on_top.is_empty() {
        call.output.note(&format!("These completed tasks were built on it and stay: {}", on_top.join(", ")));
    }
    let commit = match task.merged.as_ref().and_then(|merged| merged.commit.clone()) {
        Some(merge) => revert(&context, task, &merge)?,
        None => None,
    };
    engine.ask(&context, "task rollback", Request::RolledBack { task: wanted.clone(), commit: commit.clone() })?;
    if call.output.json {
        call.output.json(
            &serde_json::json!({ "schema_version": 1, "id": wanted, "status": "rolled_back", "commit": commit }),
        )?;
    } else {
        let what =
            commit.map_or_else(|| "there was nothing to revert".to_owned(), |c| format!("reverted by {}", c.short()));
        call.output.line(&format!("{wanted} rolled_back: {what}"))?;
    }
    Ok(exit::OK)
}

fn revert(context: &Context, task: &Task, merge: &CommitId) -> Result<Option<CommitId>> {
    let repo = context.repo();
    let message = format!("Roll back {}: {}\n\nReverts the merge {merge}.", task.id, task.title);
    for _ in 0..TRIES {
        let base = context.base_head()?;
        let commit = match repo.revert_merge(&base, merge, &message, Timestamp::now())? {
            Reverted::NothingToRevert => return Ok(None),
            Reverted::Commit(commit) => commit,
            Reverted::Conflict { files } => {
                let list = files.join(", ");
                return Err(CommandError::failed(format!("later changes touch what {} merged: {list}", task.id))
                    .hint(format!("Nothing was changed. Revert it by hand: git revert -m 1 {merge}")));
            }
        };
        match repo.advance_branch(context.base(), &base, &commit)? {
            Advance::Moved => return Ok(Some(commit)),
            Advance::Stale { .. } => {}
            Advance::CheckoutDirty { path, files, command } => {
                let what = format!("{} has uncommitted changes in {}", path.display(), files.join(", "));
                return Err(CommandError::failed(what)
                    .hint(format!("Nothing was changed. Run `{command}`, then repeat the command.")));
            }
        }
    }
    Err(CommandError::failed(format!("{} kept moving; nothing was changed", context.base()))
        .hint("Repeat the command."))
}
