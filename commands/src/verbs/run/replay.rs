//! The decisions of an earlier task, as they are on record: those of its hubs, and of agents that lead to stages which come
//! back to them. What other agents decide is part of their work, and that is done anew.

use pipeline_lib::event::Refusal;
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::{StageId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{Recorded, Replay, StageOutput};
use pipeline_lib::text::{one_line, safe};
use pipeline_lib::workflow::{Doing, FAILED, Stage, Workflow};
use pipeline_state::Events;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// The longest reasons that are taken over with a decision, in characters.
const SUMMARY_CHARS_MAX: usize = 2_000;

/// Reads what a task decided.
///
/// # Errors
/// When there is no such task, it travelled another workflow, or nothing on that decides.
pub(super) fn record(context: &Context, pipeline: &Pipeline, workflow: &Workflow, of: &str) -> Result<Replay> {
    let unknown = || Refusal::NoTask(one_line(of, 80));
    let id = TaskId::new(of).map_err(|_| unknown())?;
    let task = pipeline.task(id.as_str());
    if task.is_none() && !pipeline.core.archived.contains_key(&id) {
        return Err(unknown().into());
    }
    if let Some(task) = task.filter(|task| task.workflow != workflow.id) {
        let message = format!("{id} travelled workflow `{}`, and this is `{}`", task.workflow, workflow.id);
        return Err(CommandError::usage(message).hint("Decisions can be taken over on the same workflow only."));
    }
    let decides = |stage: &&Stage| match stage.doing {
        Doing::Hub(_) => true,
        Doing::Agent => workflow.spokes(&stage.id) > 1,
        Doing::Command(_) | Doing::Workflow { .. } | Doing::Parallel(_) => false,
    };
    let stages: Vec<StageId> = workflow.stages.iter().filter(decides).map(|stage| stage.id.clone()).collect();
    if stages.is_empty() {
        let message = format!("workflow `{}` has no hub whose decisions could be taken from {id}", workflow.id);
        return Err(CommandError::usage(message).hint("Run it without `--replay`."));
    }
    let recorded = |output: &StageOutput| {
        let wanted = stages.contains(&output.stage) && output.decision != FAILED;
        wanted.then(|| Recorded {
            stage: output.stage.clone(),
            decision: output.decision.clone(),
            summary: safe(&output.summary, SUMMARY_CHARS_MAX),
        })
    };
    let decisions = match task {
        Some(task) => task.outputs.iter().filter_map(recorded).collect(),
        None => archived(context, &id)?.iter().filter_map(recorded).collect(),
    };
    Ok(Replay { of: id, stages, decisions, next: 0 })
}

/// What the stages of a task produced that has left the live state, as far as the journal goes back.
fn archived(context: &Context, id: &TaskId) -> Result<Vec<StageOutput>> {
    let mut outputs = Vec::new();
    for record in Events::open(&context.state_dir(), 0) {
        // What a newer program wrote is nothing we could take over.
        if let Ok(Fact::StageDone { task, output }) = serde_json::from_value::<Fact>(record?.fact)
            && task == *id
        {
            outputs.push(*output);
        }
    }
    Ok(outputs)
}
