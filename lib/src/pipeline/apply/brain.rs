//! What facts change about who decides at a hub.

use crate::fact::Move;
use crate::pipeline::Pipeline;
use crate::run::{Run, RunSummary, Verdict, Work};
use crate::task::{Decider, StageOutput, Task, TaskState};

impl Pipeline {
    /// Counts what asking the agent of a hub has cost. What was taken back was no answer.
    pub(super) fn count_asking(&mut self, run: &Run, summary: &RunSummary) {
        let Some(id) = run.task.as_ref().filter(|_| run.work == Work::Agent) else { return };
        self.note_in_task(id, |task| {
            if let Some(brain) = task.brain.as_mut().filter(|brain| brain.question.is_some()) {
                brain.asked += u32::from(summary.verdict != Verdict::Void);
                brain.usage.tokens += summary.usage.tokens;
                brain.usage.cost_usd += summary.usage.cost_usd;
            }
        });
    }
}

/// A decision that was taken from a record is used up.
pub(super) fn used_up(task: &mut Task, output: &StageOutput) {
    if let (Some(Decider::Recorded { .. }), Some(replay)) = (&output.by, &mut task.replay) {
        replay.next += 1;
    }
}

/// A question is open only while the task stays where it was asked.
pub(super) fn close_question(task: &mut Task, to: &TaskState, with: &Move) {
    let stays = matches!(to, TaskState::Ready { .. }) && !with.entered;
    if let Some(brain) = task.brain.as_mut().filter(|_| !stays) {
        brain.question = None;
    }
}
