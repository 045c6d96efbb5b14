//! What follows once work is in base: the check that comes after the merge, taking the merge back where that fails, and
//! going back to a more careful rollout where too much fails.

use super::Rules;
use super::stages::moved;
use crate::event::RevertOutcome;
use crate::fact::{Fact, Move};
use crate::ids::{CommitId, TaskId};
use crate::mode::{Mode, Rollout};
use crate::task::{Claimed, Step, Task, TaskState};
use crate::text::counted;
use crate::workflow::{SUCCESS, Stage};

impl Rules<'_> {
    /// Base has the work of a stage: the project's check of what base is now comes next, where there is one.
    pub(super) fn in_base(
        &self,
        task: &Task,
        stage: &Stage,
        claim: &Claimed,
        commit: &CommitId,
        onto: &CommitId,
    ) -> Vec<Fact> {
        if self.p.core.settings.post_merge.is_none() {
            return self.holds_in_base(task, stage, claim);
        }
        let step = Step::Gate { commit: commit.clone(), onto: Some(onto.clone()), run: None, merged: true };
        let to = TaskState::Verifying { stage: stage.id.clone(), claim: claim.clone(), step };
        vec![moved(&task.id, to, Move::default())]
    }

    /// What is in base holds: the stage is over.
    pub(super) fn holds_in_base(&self, task: &Task, stage: &Stage, claim: &Claimed) -> Vec<Fact> {
        self.finish(task, stage, claim, claim.decision.as_deref().unwrap_or(SUCCESS), None)
    }

    /// The check after a merge failed: base goes back to what it was before.
    pub(super) fn taken_back_next(
        &self,
        task: &Task,
        stage: &Stage,
        claim: &Claimed,
        why: &str,
        output: &str,
    ) -> Vec<Fact> {
        let TaskState::Verifying { step: Step::Gate { commit, .. }, .. } = &task.state else { return Vec::new() };
        let step = Step::TakeBack { merge: commit.clone(), why: why.to_owned(), output: output.to_owned() };
        let to = TaskState::Verifying { stage: stage.id.clone(), claim: claim.clone(), step };
        vec![moved(&task.id, to, Move { reason: Some(why.to_owned()), ..Move::default() })]
    }

    pub(super) fn base_reverted(&self, id: &TaskId, merge: &CommitId, outcome: &RevertOutcome) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage(id) else { return Vec::new() };
        let TaskState::Verifying { claim, step: Step::TakeBack { merge: wanted, why, output }, .. } = &task.state
        else {
            return Vec::new();
        };
        if wanted != merge {
            return Vec::new();
        }
        match outcome {
            RevertOutcome::Reverted { by } => {
                let base = &self.p.core.settings.base;
                let taken_back = match by {
                    Some(by) => format!("{base} was put back by {}", by.short()),
                    None => format!("nothing of it is left in {base}"),
                };
                let why = format!("{why}; {taken_back}");
                let feedback = format!("{why}. The branch has the work still.\n{output}");
                let mut facts = vec![Fact::MergeReverted { task: id.clone(), by: by.clone() }];
                facts.extend(self.attempt_failed(task, stage, &why, &feedback, Some(claim)));
                facts
            }
            RevertOutcome::Conflict { files } => {
                let why = format!(
                    "{why}; {} keeps it, because later changes touch the same files: {}. Take it back by hand: \
                     git revert -m 1 {merge}",
                    self.p.core.settings.base,
                    files.join(", ")
                );
                self.block(task, Some(&stage.id), &why)
            }
        }
    }

    /// Where task after task comes to nothing, the rollout goes one step back.
    pub(super) fn trip_breaker(&self) -> Vec<Fact> {
        let core = &self.p.core;
        let limit = core.settings.rollout.breaker;
        let in_a_row = core.given_up.len();
        let to = match core.mode.rollout {
            Rollout::Production => Rollout::Pilot,
            Rollout::Pilot => Rollout::Shadow,
            Rollout::Shadow => return Vec::new(),
        };
        if limit == 0 || in_a_row < limit as usize {
            return Vec::new();
        }
        let tasks: Vec<&str> = core.given_up.iter().map(TaskId::as_str).collect();
        let why = format!("{} in a row came to nothing: {}", counted(in_a_row, "task"), tasks.join(", "));
        let mut facts = vec![Fact::Demoted { mode: Mode { rollout: to, ..core.mode }, why }];
        // Applying a switch ends the wait for another one, so that is said anew.
        let awaited = core.pending_mode.map(|mode| Mode { rollout: to, ..mode });
        facts.extend(awaited.map(|mode| Fact::ModePending { mode: Some(mode), unready: false }));
        facts
    }
}
