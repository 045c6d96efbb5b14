//! How a task travels: from a claim through gate, merge and approval to the next stage, or back.

use super::{Rules, after};
use crate::collision::conflict_advice;
use crate::event::{AdvanceOutcome, MergeOutcome};
use crate::fact::{Fact, Move};
use crate::ids::{CommitId, Role, StageId, TaskId};
use crate::settings::FailedDependency;
use crate::task::{Ask, Claimed, Dirty, Merged, StageOutput, Step, Task, TaskState};
use crate::text::counted;
use crate::workflow::hub::{ESCALATE, RESET_ADVICE, STRATEGY_CHANGES_AT, last_words};
use crate::workflow::{CONFLICT, Doing, FAILED, Next, SUCCESS, Stage, Workflow, asks_a_person};

/// The role that is told when a task gets stuck.
pub(super) const NOTIFIED_ROLE: &str = "supervisor";

impl Rules<'_> {
    /// A claim that the stage's work is done: checked where the stage asks for it, else believed.
    pub(super) fn accept(&self, task: &Task, stage: &Stage, claim: Claimed) -> Vec<Fact> {
        let Some(decision) = &claim.decision else {
            return self.ask(task, stage, claim, Ask::Decision, "it made no clear decision".to_owned());
        };
        // Only a decision that means "done" has to hold; any other is followed at once.
        if !self.means_done(task, stage, decision) {
            let feedback = Some(format!("{}\n{}", decided(stage, decision), claim.summary));
            return self.finish(task, stage, &claim, decision, feedback);
        }
        if self.merges(task, stage, decision) {
            return vec![self.verifying(task, stage, claim, Step::Merge)];
        }
        if self.gate_command(task).is_some() {
            let step = Step::Gate { commit: claim.commit.clone(), onto: None, run: None, merged: false };
            return vec![self.verifying(task, stage, claim, step)];
        }
        self.checked(task, stage, claim, None)
    }

    /// Whether a decision says that the stage's work is done. A stage that lists no `success` is done when it leads on:
    /// to the end or to a later stage. What sends a task back must never be merged.
    pub(super) fn means_done(&self, task: &Task, stage: &Stage, decision: &str) -> bool {
        if stage.decisions.is_empty() || stage.decisions.iter().any(|c| c.choice == SUCCESS) {
            return decision == SUCCESS;
        }
        let Some(workflow) = self.p.workflow_of(task).filter(|_| ![FAILED, CONFLICT, ESCALATE].contains(&decision))
        else {
            return false;
        };
        match workflow.next(&stage.id, decision) {
            Next::End => !asks_a_person(decision),
            Next::Stage(next) => workflow.depth(&next.id) > workflow.depth(&stage.id),
            Next::Nowhere => false,
        }
    }

    /// Whether base gets the work of a stage that is done. Where the file says nothing, that is the end of the workflow: a
    /// stage that hands on what is to be done next has only begun.
    fn merges(&self, task: &Task, stage: &Stage, decision: &str) -> bool {
        let ends = || {
            let workflow = self.p.workflow_of(task);
            workflow.is_some_and(|w| w.next(&stage.id, decision) == Next::End && self.agents_work_at(task, w, 0))
        };
        stage.merge && (!stage.merge_chosen || ends())
    }

    /// Whether an agent works at some stage of a workflow, or of one that is a stage of it.
    fn agents_work_at(&self, task: &Task, workflow: &Workflow, depth: usize) -> bool {
        depth < super::compose::NESTING_MAX
            && workflow.stages.iter().any(|stage| match &stage.doing {
                Doing::Agent => true,
                Doing::Workflow { workflow, .. } => {
                    self.p.led(task, workflow).is_some_and(|sub| self.agents_work_at(task, sub, depth + 1))
                }
                Doing::Command(_) | Doing::Parallel(_) | Doing::Hub(_) => false,
            })
    }

    fn verifying(&self, task: &Task, stage: &Stage, claim: Claimed, step: Step) -> Fact {
        moved(&task.id, TaskState::Verifying { stage: stage.id.clone(), claim, step }, Move::default())
    }

    pub(super) fn ask(&self, task: &Task, stage: &Stage, claim: Claimed, ask: Ask, why: String) -> Vec<Fact> {
        let to = TaskState::AwaitingApproval { stage: stage.id.clone(), claim, ask };
        vec![moved(&task.id, to, Move { reason: Some(why), ..Move::default() })]
    }

    /// The claim holds as far as we can check.
    fn checked(&self, task: &Task, stage: &Stage, claim: Claimed, merge: Option<(CommitId, CommitId)>) -> Vec<Fact> {
        let asked = task.stops.as_ref().is_some_and(|stops| stops.every);
        if (stage.approval || asked) && !claim.approved {
            let why = format!("stage {} asks for approval", stage.id);
            return self.ask(task, stage, claim, Ask::Approval { merge }, why);
        }
        match merge {
            Some((commit, onto)) => {
                vec![self.verifying(task, stage, claim, Step::Advance { commit, onto, dirty: None })]
            }
            None => self.finish(task, stage, &claim, claim.decision.as_deref().unwrap_or(SUCCESS), None),
        }
    }

    pub(super) fn gate_passed(&self, task: &Task, stage: &StageId, claim: &Claimed) -> Vec<Fact> {
        let Some(stage) = self.p.workflow_of(task).and_then(|w| w.stage(stage)) else { return Vec::new() };
        let TaskState::Verifying { step: Step::Gate { commit, onto, merged, .. }, .. } = &task.state else {
            return Vec::new();
        };
        if *merged {
            return self.holds_in_base(task, stage, claim);
        }
        self.checked(task, stage, claim.clone(), onto.as_ref().map(|onto| (commit.clone(), onto.clone())))
    }

    pub(super) fn merge_prepared(&self, id: &TaskId, head: &CommitId, outcome: &MergeOutcome) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage(id) else { return Vec::new() };
        let TaskState::Verifying { claim, step: Step::Merge, .. } = &task.state else { return Vec::new() };
        if claim.commit != *head {
            return Vec::new();
        }
        match outcome {
            MergeOutcome::AlreadyMerged { onto } => {
                let merged = Merged { commit: None, onto: onto.clone(), at: self.now.at };
                let mut facts = vec![Fact::TaskMerged { task: id.clone(), merged }];
                facts.extend(self.checked(task, stage, claim.clone(), None));
                facts
            }
            MergeOutcome::Commit { commit, onto } if self.gate_command(task).is_some() => {
                let step = Step::Gate { commit: commit.clone(), onto: Some(onto.clone()), run: None, merged: false };
                vec![self.verifying(task, stage, claim.clone(), step)]
            }
            MergeOutcome::Commit { commit, onto } => {
                self.checked(task, stage, claim.clone(), Some((commit.clone(), onto.clone())))
            }
            MergeOutcome::Conflict { files } => {
                let base = &self.p.core.settings.base;
                self.finish(task, stage, claim, CONFLICT, Some(conflict_advice(base, files)))
            }
        }
    }

    pub(super) fn base_advanced(&self, id: &TaskId, moved_to: &CommitId, outcome: &AdvanceOutcome) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage(id) else { return Vec::new() };
        let TaskState::Verifying { claim, step: Step::Advance { commit, onto, dirty }, .. } = &task.state else {
            return Vec::new();
        };
        if commit != moved_to {
            return Vec::new();
        }
        match outcome {
            AdvanceOutcome::Moved => {
                let merged = Merged { commit: Some(commit.clone()), onto: onto.clone(), at: self.now.at };
                let mut facts = vec![Fact::TaskMerged { task: id.clone(), merged }];
                facts.extend(self.in_base(task, stage, claim, commit, onto));
                facts
            }
            AdvanceOutcome::Stale => vec![self.verifying(task, stage, claim.clone(), Step::Merge)],
            AdvanceOutcome::Dirty(found) if dirty.as_ref() == Some(found) => Vec::new(),
            AdvanceOutcome::Dirty(found) => vec![self.dirty(task, stage, claim, commit, onto, found)],
        }
    }

    fn dirty(
        &self,
        task: &Task,
        stage: &Stage,
        claim: &Claimed,
        commit: &CommitId,
        onto: &CommitId,
        found: &Dirty,
    ) -> Fact {
        let reason = format!(
            "your checkout of {} has uncommitted changes in files the merge touches: {}",
            self.p.core.settings.base,
            found.files.join(", ")
        );
        let step = Step::Advance { commit: commit.clone(), onto: onto.clone(), dirty: Some(found.clone()) };
        let to = TaskState::Verifying { stage: stage.id.clone(), claim: claim.clone(), step };
        moved(&task.id, to, Move { reason: Some(reason), ..Move::default() })
    }

    /// A stage is over with this decision: on to where the connections lead.
    pub(super) fn finish(
        &self,
        task: &Task,
        stage: &Stage,
        claim: &Claimed,
        decision: &str,
        feedback: Option<String>,
    ) -> Vec<Fact> {
        // Who agreed to the work as done did not agree to what became of it on the way to base.
        let approved = claim.approved && claim.decision.as_deref().unwrap_or(SUCCESS) == decision;
        let output = StageOutput {
            stage: stage.id.clone(),
            agent: claim.agent.clone(),
            run: claim.run.clone(),
            decision: decision.to_owned(),
            summary: claim.summary.clone(),
            commit: claim.commit.clone(),
            at: self.now.at,
            by: claim.by.as_deref().cloned(),
            approved,
            approved_by: claim.approved_by.clone().filter(|_| approved),
        };
        let mut facts = Vec::with_capacity(2);
        facts.push(Fact::StageDone { task: task.id.clone(), output: Box::new(output) });
        facts.extend(self.follow(task, stage, decision, feedback));
        facts
    }

    fn follow(&self, task: &Task, stage: &Stage, decision: &str, feedback: Option<String>) -> Vec<Fact> {
        let next = self.p.workflow_of(task).map_or(Next::Nowhere, |w| w.next(&stage.id, decision));
        match next {
            Next::Stage(next) => self.enter(task, stage, next, feedback),
            Next::End if decision == FAILED => {
                let part = self.failed_part(task).map_or_else(String::new, |part| format!(": {part}"));
                let why = format!("stage {} failed and its workflow ends there{part}", stage.id);
                let mut facts = vec![moved(&task.id, TaskState::Failed, because(&why))];
                facts.extend(self.skip_dependents(&task.id, &why));
                facts.extend(self.after_failure(task, stage, &why));
                facts
            }
            Next::End if asks_a_person(decision) => {
                self.block(task, Some(&stage.id), &escalation(stage, decision, feedback.as_deref()))
            }
            Next::End => vec![moved(&task.id, TaskState::Completed, Move::default())],
            Next::Nowhere => {
                let why = match &feedback {
                    Some(feedback) => {
                        format!("stage {} ended with `{decision}`, and no connection handles it. {feedback}", stage.id)
                    }
                    None => format!("stage {} ended with `{decision}`, and no connection handles it", stage.id),
                };
                self.block(task, Some(&stage.id), &why)
            }
        }
    }

    /// A task goes on to a stage, unless it has been there too often or gone on for too long.
    pub(super) fn enter(&self, task: &Task, from: &Stage, next: &Stage, feedback: Option<String>) -> Vec<Fact> {
        let visits = task.visits.get(&next.id).copied().unwrap_or(0);
        let usual = self.p.core.settings.scheduler.max_visits;
        let limit = self.p.workflow_of(task).map_or(usual, |workflow| workflow.visits_max(next, usual));
        if visits >= limit {
            let why = format!("stage {} was entered {visits} times, which is its limit", next.id);
            return self.block(task, Some(&next.id), &why);
        }
        if let Some(why) = self.beyond_budget(task) {
            return self.block(task, Some(&from.id), &why);
        }
        let with = Move { entered: true, feedback, ..Move::default() };
        vec![moved(&task.id, TaskState::Ready { stage: next.id.clone() }, with)]
    }

    /// An attempt at a stage failed: again after a wait, or on to what the workflow says about failure, or to a person.
    /// `claim` is who tried it and where the work stands, where that is known.
    pub(super) fn attempt_failed(
        &self,
        task: &Task,
        stage: &Stage,
        why: &str,
        feedback: &str,
        claim: Option<&Claimed>,
    ) -> Vec<Fact> {
        let scheduler = &self.p.core.settings.scheduler;
        let workflow = self.p.workflow_of(task);
        let wait = self.backoff(stage.backoff.unwrap_or(scheduler.backoff), task.attempt);
        let again = self.has_attempts_left(task, stage);
        if let Some(late) = self.out_of_time_at(task, after(self.now.at, wait)).filter(|_| again) {
            return self.give_up(task, stage, &format!("{why}, and {late}"), feedback);
        }
        if again {
            let advice = self.advice(task, stage, claim);
            let with = Move {
                reason: Some(why.to_owned()),
                feedback: Some(format!("{advice}{feedback}")),
                not_before: Some(after(self.now.at, wait)),
                retry: true,
                ..Move::default()
            };
            return vec![moved(&task.id, TaskState::Ready { stage: stage.id.clone() }, with)];
        }
        let connected = workflow.is_some_and(|w| w.next(&stage.id, FAILED) != Next::Nowhere);
        if connected {
            let feedback = Some(feedback.to_owned());
            return match claim {
                Some(claim) => {
                    let claim = Claimed { summary: said_of(why, feedback.as_deref()), ..claim.clone() };
                    self.finish(task, stage, &claim, FAILED, feedback)
                }
                None => self.follow(task, stage, FAILED, feedback),
            };
        }
        let why = format!("{why}, {}", counted(task.attempt as usize, "attempt"));
        self.give_up(task, stage, &why, feedback)
    }

    /// Hands a task to a person whose stage failed for good, and starts what its workflow says is done then.
    fn give_up(&self, task: &Task, stage: &Stage, why: &str, feedback: &str) -> Vec<Fact> {
        let mut facts = self.block(task, Some(&stage.id), why);
        if let Some(Fact::TaskMoved { with, .. }) = facts.first_mut() {
            with.feedback = Some(feedback.to_owned());
            with.given_up = true;
        }
        facts.extend(self.after_failure(task, stage, why));
        facts
    }

    /// Whether a stage whose present attempt failed is tried again.
    pub(super) fn has_attempts_left(&self, task: &Task, stage: &Stage) -> bool {
        task.attempt <= self.retries(task, stage)
    }

    /// How often a stage that failed is tried again.
    fn retries(&self, task: &Task, stage: &Stage) -> u32 {
        // What serves a hub is tried again when the hub says so; parts are tried again by themselves.
        let serves_hub = self.p.workflow_of(task).is_some_and(|workflow| workflow.hub_of(&stage.id).is_some());
        match &stage.doing {
            Doing::Agent | Doing::Command(_) | Doing::Hub(_) if !stage.matrix.is_empty() => 0,
            Doing::Parallel(_) | Doing::Workflow { .. } => stage.retries.unwrap_or(0),
            Doing::Agent | Doing::Command(_) | Doing::Hub(_) if serves_hub => stage.retries.unwrap_or(0),
            Doing::Agent | Doing::Command(_) | Doing::Hub(_) => {
                stage.retries.unwrap_or(self.p.core.settings.scheduler.retries)
            }
        }
    }

    /// What an attempt should know that follows the same failure again and again, in whatever task.
    fn advice(&self, task: &Task, stage: &Stage, claim: Option<&Claimed>) -> String {
        let error = claim.map_or("", |claim| claim.summary.as_str());
        let times = self.p.seen_in_a_row(&task.workflow, &stage.id, error) + 1;
        if error.is_empty() || times < STRATEGY_CHANGES_AT {
            return String::new();
        }
        format!("This failed {times} times in a row in the same way. Try another way; {RESET_ADVICE}.\n")
    }

    /// Hands a task to a person, and tells the supervisor role who else waits for it.
    pub(super) fn block(&self, task: &Task, stage: Option<&StageId>, why: &str) -> Vec<Fact> {
        let to = TaskState::Blocked { stage: stage.cloned() };
        let dependents: Vec<String> = self.p.dependents(&task.id).iter().map(|t| t.id.to_string()).collect();
        let waiting =
            if dependents.is_empty() { String::new() } else { format!(" Waiting for it: {}.", dependents.join(", ")) };
        let notice = Fact::Notice {
            role: Role::new(NOTIFIED_ROLE).expect("a literal role is well formed"),
            task: task.id.clone(),
            text: format!("{} ({}) is blocked: {why}.{waiting}", task.id, task.title),
        };
        vec![moved(&task.id, to, because(why)), notice]
    }

    /// With the policy to skip, everything behind a task that will not be completed is given up too.
    pub(super) fn skip_dependents(&self, id: &TaskId, why: &str) -> Vec<Fact> {
        if self.p.core.settings.scheduler.failed_dependency != FailedDependency::Skip {
            return Vec::new();
        }
        let mut facts = Vec::new();
        let mut seen = vec![id.clone()];
        let mut todo = vec![id.clone()];
        while let Some(id) = todo.pop() {
            for task in self.p.dependents(&id) {
                if task.state == TaskState::Unassigned && !seen.contains(&task.id) {
                    let why = format!("{id}, which it depends on, was given up: {why}");
                    facts.push(moved(&task.id, TaskState::Cancelled, because(&why)));
                    seen.push(task.id.clone());
                    todo.push(task.id.clone());
                }
            }
        }
        facts
    }

    pub(super) fn task_and_stage(&self, id: &TaskId) -> Option<(&Task, &Stage)> {
        let task = self.p.task(id.as_str())?;
        Some((task, self.p.stage_of(task)?))
    }
}

pub(super) fn moved(task: &TaskId, to: TaskState, with: Move) -> Fact {
    Fact::TaskMoved { task: task.clone(), to, with }
}

pub(super) fn because(why: &str) -> Move {
    Move { reason: Some(why.to_owned()), ..Move::default() }
}

fn decided(stage: &Stage, decision: &str) -> String {
    format!("Stage {} decided `{decision}`.", stage.id)
}

/// Why a person is asked, in the words of whoever asks.
fn escalation(stage: &Stage, decision: &str, feedback: Option<&str>) -> String {
    let words = feedback.unwrap_or_default();
    let words = words.strip_prefix(decided(stage, decision).as_str()).unwrap_or(words).trim();
    let words = if words.is_empty() { "it gave no reason" } else { words };
    format!("stage {} asks for a person (`{decision}`): {words}", stage.id)
}

/// What is remembered of a failure: why, and the last error that was printed, else the last line.
fn said_of(why: &str, output: Option<&str>) -> String {
    let output = output.unwrap_or_default();
    let error = output.lines().rev().find(|line| line.starts_with(crate::text::ERROR));
    let last = error.unwrap_or_else(|| last_words(output));
    if last.is_empty() || why.contains(last) {
        why.to_owned()
    } else {
        format!("{why}\n{}", crate::text::one_line(last, 200))
    }
}

/// The decision if the stage knows it; a stage without a list knows only success.
pub(super) fn known_decision(task: &Task, stage: &Stage, word: &str) -> Option<String> {
    let choices = task.choices(stage);
    let known = if choices.is_empty() { word == SUCCESS } else { choices.contains(&word) };
    known.then(|| word.to_owned())
}
