//! What a hub's look leads to: the choice is [`crate::workflow::hub`]'s, here it becomes facts.

use super::Rules;
use super::stages::{because, moved};
use crate::event::Collected;
use crate::fact::{Fact, Move};
use crate::ids::{StageId, TaskId};
use crate::task::{Claimed, StageOutput, Task, TaskState};
use crate::workflow::hub::{Chosen, Hub, Known, Past, Step};
use crate::workflow::{FAILED, SUCCESS, Stage, Workflow};

impl Rules<'_> {
    /// A hub has looked: it chooses, says why, and the task goes on.
    pub(super) fn hub_looked(
        &self,
        task: &Task,
        stage: &Stage,
        hub: &Hub,
        claim: &Claimed,
        left: &Collected,
    ) -> Vec<Fact> {
        let Some(look) = hub.read(&left.output) else {
            let why = format!("stage {} did not say what it found", stage.id);
            return self.attempt_failed(task, stage, &why, &left.output, Some(claim));
        };
        let Some(workflow) = self.p.workflow_of(task) else { return Vec::new() };
        let chosen = self.with_known(task, stage, workflow, |known| hub.choose(&look, known));
        self.hub_chose(task, stage, workflow, claim, chosen)
    }

    /// What a choice at a hub rests on beside its look.
    fn with_known<T>(
        &self,
        task: &Task,
        stage: &Stage,
        workflow: &Workflow,
        choose: impl FnOnce(&Known<'_>) -> T,
    ) -> T {
        let past: Vec<Past<'_>> = task
            .outputs
            .iter()
            .map(|output| Past {
                stage: &output.stage,
                decision: &output.decision,
                summary: &output.summary,
                run: &output.run,
            })
            .collect();
        let metrics = &self.p.core.metrics.by_stage;
        choose(&Known {
            task: &task.id,
            hub: &stage.id,
            past: &past,
            forgiven: task.forgiven as usize,
            seen: &|id, error| self.p.seen_in_a_row(&task.workflow, id, error),
            is_done: &|id, decision| is_done(workflow, id, decision),
            expected: &|id| metrics.get(id).filter(|stats| stats.runs > 0).map(|stats| stats.seconds.quantile(0.5)),
        })
    }

    fn hub_chose(&self, task: &Task, stage: &Stage, workflow: &Workflow, claim: &Claimed, chosen: Chosen) -> Vec<Fact> {
        let Chosen { decision, reasoning, step } = chosen;
        if step == Step::Complete {
            let done = stage.default_decision().unwrap_or(SUCCESS).to_owned();
            return self.accept(task, stage, Claimed { decision: Some(done), summary: reasoning, ..claim.clone() });
        }
        let said = StageOutput {
            stage: stage.id.clone(),
            agent: claim.agent.clone(),
            run: claim.run.clone(),
            decision,
            summary: reasoning.clone(),
            commit: claim.commit.clone(),
            at: self.now.at,
        };
        let mut facts = vec![Fact::StageDone { task: task.id.clone(), output: Box::new(said) }];
        let go = |id: &StageId, hint: Option<String>| match workflow.stage(id) {
            Some(next) => self.enter(task, stage, next, hint),
            None => self.block(task, Some(&stage.id), &format!("its hub names stage {id}, which is not there")),
        };
        facts.extend(match step {
            Step::Delegate(stages) => match stages.as_slice() {
                [one] => go(one, None),
                several => match self.parts_of(task, stage, several) {
                    Ok(parts) => self.opened(task, stage, parts),
                    Err(why) => self.block(task, Some(&stage.id), &why),
                },
            },
            Step::Mend { stage: recovery, hint } => go(&recovery, Some(hint)),
            Step::Validate(validation) => go(&validation, None),
            Step::Escalate => self.block(task, Some(&stage.id), &reasoning),
            Step::Complete => Vec::new(),
        });
        facts
    }

    /// Several stages were done for a hub at the same time: it looks again.
    pub(super) fn back_to_hub(&self, task: &Task, stage: &Stage, on: &[TaskId]) -> Vec<Fact> {
        let outputs = on.iter().filter_map(|id| {
            let part = self.p.task(id.as_str())?;
            let mut output = part.outputs.last()?.clone();
            // Where it failed without saying so, that is its last word.
            if part.state != TaskState::Completed && output.decision != FAILED {
                output.decision = FAILED.to_owned();
                output.summary = part.reason.clone().unwrap_or_default();
                output.stage = part.left_at.clone().or_else(|| part.state.stage().cloned()).unwrap_or(output.stage);
            }
            Some(Fact::StageDone { task: task.id.clone(), output: Box::new(output) })
        });
        let mut facts: Vec<Fact> = outputs.collect();
        let with = Move { entered: true, ..because("its parts are done, and the hub looks again") };
        facts.push(moved(&task.id, TaskState::Ready { stage: stage.id.clone() }, with));
        facts
    }
}

/// Whether a decision says that a stage's work is done: its success, or the first one it lists.
fn is_done(workflow: &Workflow, id: &StageId, decision: &str) -> bool {
    let Some(stage) = workflow.stage(id) else { return false };
    match stage.default_decision() {
        Some(word) => word == decision,
        None => stage.decisions.first().is_some_and(|choice| choice.choice == decision),
    }
}
