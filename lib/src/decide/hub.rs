//! What a hub's look leads to. The rules choose, or the agent that the stage names is asked, or a record is followed; which
//! choices are legal is [`crate::workflow::hub`]'s to say, and here the one that was made becomes facts.

mod asking;
mod replay;

use super::Rules;
use super::stages::{because, moved};
use crate::estimate::Basis;
use crate::event::Collected;
use crate::fact::{Fact, Move};
use crate::ids::{StageId, TaskId};
use crate::task::{Claimed, Decider, ParentWhy, StageOutput, Task, TaskState};
use crate::workflow::hub::{Chosen, ESCALATE, Hub, Known, Look, Past, Step};
use crate::workflow::{FAILED, Next, SUCCESS, Stage, Workflow};

/// A hub that a task is at, and what it is about to decide.
#[derive(Clone, Copy)]
struct At<'a> {
    task: &'a Task,
    stage: &'a Stage,
    workflow: &'a Workflow,
    hub: &'a Hub,
}

impl Rules<'_> {
    /// A hub has looked: it chooses, or asks its agent to.
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
        let at = At { task, stage, workflow, hub };
        if let Some(record) = task.record_for(&stage.id) {
            return self.hub_replays(at, &look, claim, record);
        }
        match self.without_agent(at) {
            None => self.hub_asks(at, look, 1, None),
            Some(by) => self.hub_follows_rules(at, &look, claim, by),
        }
    }

    fn hub_follows_rules(&self, at: At<'_>, look: &Look, claim: &Claimed, by: Decider) -> Vec<Fact> {
        let chosen = self.with_known(at, |known| at.hub.choose(look, known));
        self.hub_chose(at, claim, chosen, by)
    }

    /// What a choice at a hub rests on beside its look.
    fn with_known<T>(&self, at: At<'_>, choose: impl FnOnce(&Known<'_>) -> T) -> T {
        let At { task, stage, workflow, .. } = at;
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
        let metrics = &self.p.core.metrics;
        let expected = |id: &StageId| {
            let known = metrics.work(&task.workflow, id, at.workflow.stage(id).map(|stage| &stage.role));
            // What took as long as anything else says nothing about this stage.
            known.filter(|(basis, _)| *basis <= Basis::Stage)?.1.span().map(|span| span.median)
        };
        choose(&Known {
            task: &task.id,
            hub: &stage.id,
            past: &past,
            forgiven: task.forgiven as usize,
            seen: &|id, error| self.p.seen_in_a_row(&task.workflow, id, error),
            is_done: &|id, decision| is_done(workflow, id, decision),
            expected: &expected,
        })
    }

    fn hub_chose(&self, at: At<'_>, claim: &Claimed, chosen: Chosen, by: Decider) -> Vec<Fact> {
        let At { task, stage, workflow, .. } = at;
        let Chosen { decision, reasoning, step } = chosen;
        let claim = Claimed { summary: reasoning, by: Some(Box::new(by)), ..claim.clone() };
        if step == Step::Complete {
            let done = Some(completion(workflow, stage).to_owned());
            return self.accept(task, stage, Claimed { decision: done, ..claim });
        }
        let said = StageOutput {
            stage: stage.id.clone(),
            agent: claim.agent,
            run: claim.run,
            decision,
            summary: claim.summary.clone(),
            commit: claim.commit,
            at: self.now.at,
            by: claim.by.map(|by| *by),
            approved: claim.approved,
            approved_by: claim.approved_by,
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
            Step::Escalate => self.block(task, Some(&stage.id), &claim.summary),
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

    /// Whether a decision of a stage that serves a hub tells it that something failed.
    pub(super) fn fails_its_hub(&self, task: &Task, stage: &StageId, decision: &str) -> bool {
        let parent = task.parent.as_ref().filter(|parent| parent.why == ParentWhy::Part);
        let parent = parent.and_then(|parent| self.p.task(parent.task.as_str()));
        let mut workflows = [Some(task), parent].into_iter().flatten().filter_map(|task| self.p.workflow_of(task));
        let workflow = workflows.find(|workflow| workflow.hub_of(stage).is_some());
        workflow.is_some_and(|workflow| !is_done(workflow, stage, decision))
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

/// The word with which a hub is done: its success, or where it lists other words the one that leads to what comes behind it.
fn completion<'w>(workflow: &'w Workflow, stage: &'w Stage) -> &'w str {
    if let Some(word) = stage.default_decision() {
        return word;
    }
    let leads_on = |word: &str| match workflow.next(&stage.id, word) {
        Next::End => true,
        Next::Stage(next) => next.id != stage.id && workflow.hub_of(&next.id).is_none(),
        Next::Nowhere => false,
    };
    let mut words = stage.choices().into_iter().filter(|word| *word != FAILED && *word != ESCALATE);
    words.find(|word| leads_on(word)).unwrap_or(SUCCESS)
}
