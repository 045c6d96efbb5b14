//! Git's list of ignored paths, as far as it names task files: a task's line goes once no worktree holds its file any
//! more. Lines are added by whoever writes such a file. Nothing depends on when this is done, so that it stays out of
//! the way of what somebody waits for.

use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::Work;

use super::assign;
use super::perform::Failure;
use crate::context::Context;

/// Takes the lines of tasks away that nobody works at and that no agent has a file of.
///
/// # Errors
/// When the list cannot be read or written.
pub(super) fn tidy(context: &Context, pipeline: &Pipeline) -> Result<(), Failure> {
    for line in context.repo().excluded()? {
        if let Some(task) = task_of(&line)
            && is_known(pipeline, &task)
            && !is_worked_at(pipeline, &task)
            && !is_in_a_worktree(context, &task)
            && !assign::may_be_placed(context, &task)?
        {
            context.repo().unexclude(&line)?;
        }
    }
    Ok(())
}

/// The task whose file a line names.
fn task_of(line: &str) -> Option<TaskId> {
    TaskId::new(line.strip_prefix('/')?.strip_suffix(".md")?).ok()
}

/// A line about anything else is the user's own.
fn is_known(pipeline: &Pipeline, task: &TaskId) -> bool {
    pipeline.task(task.as_str()).is_some() || pipeline.core.archived.contains_key(task)
}

fn is_worked_at(pipeline: &Pipeline, task: &TaskId) -> bool {
    pipeline.core.runs.values().any(|run| run.work == Work::Agent && run.task.as_ref() == Some(task))
}

fn is_in_a_worktree(context: &Context, task: &TaskId) -> bool {
    let name = Context::task_file_name(task);
    context.config().agents.iter().any(|agent| {
        let file = context.worktree(agent.name.as_str(), Some(task)).join(&name);
        std::fs::symlink_metadata(file).is_ok()
    })
}
