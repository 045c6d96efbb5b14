//! `pipeline task rollback`: reverts the merge of a completed task on base, and those of the tasks built on it if that is
//! wanted, as one step. Repeating it after a crash in the middle finishes it.

use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use pipeline_lib::event::{Refusal, Request};
use pipeline_lib::ids::{CommitId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{Task, TaskState};

use super::change::id;
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::supervisor::revert::{Undone, undo};

/// What is rolled back.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The task
    pub task: String,
    /// Roll back the completed tasks that depend on it too, all or none
    #[arg(long, conflicts_with = "alone")]
    pub with_dependents: bool,
    /// Leave the completed tasks that depend on it where they are
    #[arg(long)]
    pub alone: bool,
}

pub(super) fn run(call: &Call, args: &Rollback) -> Result<u8> {
    let wanted = id(&args.task)?;
    let context = call.context()?;
    // Nobody else merges meanwhile.
    let _ticking = context.tick_lock()?;
    let mut engine = Engine::open(&context)?;
    let known = engine.pipeline().task(wanted.as_str());
    let task = known.ok_or_else(|| match engine.pipeline().core.archived.contains_key(&wanted) {
        true => Refusal::Archived(wanted.clone()),
        false => Refusal::NoTask(wanted.to_string()),
    })?;
    if task.state != TaskState::Completed {
        return Err(Refusal::Illegal {
            verb: "roll back",
            task: wanted,
            status: task.state.word(),
            hint: Some("Only a completed task can be rolled back.".to_owned()),
        }
        .into());
    }
    let on_top = built_on(engine.pipeline(), task);
    let mut tasks = vec![task];
    if !on_top.is_empty() {
        let names = on_top.iter().map(|task| task.id.as_str()).collect::<Vec<_>>().join(", ");
        if args.with_dependents || !args.alone && too(call, &wanted, &names)? {
            tasks.extend(on_top);
        } else {
            call.output.note(&format!("These completed tasks were built on it and stay: {names}"));
        }
    }
    // What came last goes first.
    tasks.sort_by_key(|task| std::cmp::Reverse(task.merged.as_ref().map(|merged| merged.at)));
    let reverted = revert(&context, &tasks)?;
    let done: Vec<(TaskId, Option<CommitId>)> =
        tasks.iter().zip(reverted).map(|(task, commit)| (task.id.clone(), commit)).collect();
    engine.ask(&context, "task rollback", Request::RolledBack { tasks: done.clone() })?;
    if call.output.json {
        let commit = done.iter().find(|(id, _)| *id == wanted).and_then(|(_, commit)| commit.as_ref());
        let with: Vec<_> = done.iter().filter(|(id, _)| *id != wanted).map(|(id, _)| id).collect();
        call.output.json(&serde_json::json!({
            "schema_version": 1, "id": wanted, "status": "rolled_back", "commit": commit, "with": with,
        }))?;
        return Ok(exit::OK);
    }
    for (id, commit) in &done {
        let what = commit.as_ref().map_or_else(
            || "there was nothing to revert".to_owned(),
            |commit| format!("reverted by {}", commit.short()),
        );
        call.output.line(&format!("{id} rolled_back: {what}"))?;
    }
    Ok(exit::OK)
}

/// The completed tasks that depend on this one, directly or through others.
fn built_on<'p>(pipeline: &'p Pipeline, task: &Task) -> Vec<&'p Task> {
    let (mut found, mut todo): (Vec<&Task>, _) = (Vec::new(), vec![task.id.clone()]);
    while let Some(id) = todo.pop() {
        for task in pipeline.dependents(&id) {
            if task.state == TaskState::Completed && !found.iter().any(|known| known.id == task.id) {
                found.push(task);
                todo.push(task.id.clone());
            }
        }
    }
    found
}

/// Whether a person wants what was built on the task rolled back too.
fn too(call: &Call, wanted: &TaskId, names: &str) -> Result<bool> {
    let undecided = || {
        CommandError::failed(format!("completed tasks were built on {wanted}: {names}")).hint(
            "Nothing was changed. Add `--with-dependents` to roll them back too, all in one step, or `--alone` to leave them.",
        )
    };
    if !call.interactive || call.output.json {
        return Err(undecided());
    }
    write!(
        std::io::stderr(),
        "Completed tasks were built on {wanted}: {names}\nRoll them back too? [y]es, [o]nly {wanted}, [N]othing: "
    )?;
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "o" | "only" => Ok(false),
        _ => Err(undecided()),
    }
}

/// Undoes the merges of these tasks, in this order; for each the commit that did.
fn revert(context: &Context, tasks: &[&Task]) -> Result<Vec<Option<CommitId>>> {
    let merge_of = |task: &&Task| task.merged.as_ref().and_then(|merged| merged.commit.clone());
    let merges: Vec<Option<CommitId>> = tasks.iter().map(merge_of).collect();
    let there: Vec<(&Task, &CommitId)> =
        tasks.iter().zip(&merges).filter_map(|(task, merge)| Some((*task, merge.as_ref()?))).collect();
    let undone = undo(context, &there, Timestamp::now(), false).map_err(|failure| {
        CommandError::failed(failure.message).hint("Nothing was changed. Clear the way, then repeat the command.")
    })?;
    let mut by = match undone {
        Undone::Done(by) => by.into_iter(),
        Undone::Conflict { task, files } => {
            let merge = there.iter().find(|(known, _)| known.id == task).map_or("", |(_, merge)| merge.as_str());
            let list = files.join(", ");
            return Err(CommandError::failed(format!("later changes touch what {task} merged: {list}"))
                .hint(format!("Nothing was changed. Revert it by hand: git revert -m 1 {merge}")));
        }
    };
    Ok(merges.iter().map(|merge| merge.as_ref().and_then(|_| by.next().flatten())).collect())
}
