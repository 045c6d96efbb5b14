//! Taking back what a person's last command changed: from the state before it, its facts and the present state to the facts
//! that put things back. Which command that was, and reading the journal, is not decided here.
//!
//! Only what nothing was built on is taken back. A task has to stand where the command left it; a run that the command
//! stopped is not brought back, its stage begins anew. What was counted stays counted.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::budget::Spent;
use crate::event::Refusal;
use crate::fact::Fact;
use crate::ids::{AgentName, TaskId};
use crate::pipeline::Pipeline;
use crate::task::{Step, Task, TaskState};

/// The facts that put back what a command changed, and are themselves put back the same way.
///
/// # Errors
/// When something has been built on it since, or it is of a kind that cannot be taken back.
pub fn undo(before: &Pipeline, at: Timestamp, facts: &[Fact], now: &Pipeline) -> Result<Vec<Fact>, Refusal> {
    facts.iter().try_for_each(|fact| is_of_a_kind(fact, before))?;
    let mut after = before.clone();
    facts.iter().for_each(|fact| after.apply(at, fact));
    let undo = Undo { before, after: &after, now };
    let mut inverse = undo.tasks(facts)?;
    inverse.extend(undo.agents(facts)?);
    if facts.iter().any(|fact| matches!(fact, Fact::ModeChanged { .. } | Fact::ModePending { .. })) {
        inverse.extend(undo.mode()?);
    }
    if facts.iter().any(|fact| matches!(fact, Fact::PilotChanged { .. })) {
        if now.core.pilot != after.core.pilot {
            return Err(refused("the pilot's list has changed since", "`pipeline pilot list` shows it."));
        }
        inverse.push(Fact::PilotChanged { scope: before.core.pilot.clone() });
    }
    if inverse.is_empty() {
        return Err(refused(
            "it only stopped or repeated something, and a run that was stopped is not brought back",
            "`pipeline status` shows where everything stands.",
        ));
    }
    Ok(inverse)
}

fn refused(why: impl Into<String>, next: impl Into<String>) -> Refusal {
    Refusal::NotUndone { why: why.into(), next: next.into() }
}

/// What was agreed to and what changed base have consequences outside.
fn is_of_a_kind(fact: &Fact, before: &Pipeline) -> Result<(), Refusal> {
    let approved = |task: &TaskId| {
        let next = format!(
            "`pipeline task block {task}` holds it where it is; once it is completed, `pipeline task rollback {task}` reverts \
             its merge."
        );
        Err(refused(format!("the work of {task} was approved, and it went on from there"), next))
    };
    match fact {
        Fact::TaskMoved { task, to: TaskState::RolledBack, .. } => Err(refused(
            format!("the merge of {task} was reverted on base"),
            format!("`git revert` of that commit brings its work back; `pipeline explain {task}` names it."),
        )),
        Fact::TaskMoved { task, with, .. } if with.by.is_some() => approved(task),
        Fact::TaskMoved { task, to, .. } => match before.task(task.as_str()).map(|task| &task.state) {
            Some(TaskState::AwaitingApproval { .. })
                if matches!(to, TaskState::Verifying { .. } | TaskState::Completed) =>
            {
                approved(task)
            }
            _ => Ok(()),
        },
        Fact::StageDone { task, .. } | Fact::TaskMerged { task, .. } | Fact::MergeReverted { task, .. } => {
            approved(task)
        }
        _ => Ok(()),
    }
}

struct Undo<'p> {
    before: &'p Pipeline,
    /// What the command left.
    after: &'p Pipeline,
    now: &'p Pipeline,
}

impl Undo<'_> {
    fn tasks(&self, facts: &[Fact]) -> Result<Vec<Fact>, Refusal> {
        let mut ids: Vec<&TaskId> = Vec::new();
        for fact in facts {
            let id = match fact {
                Fact::TaskAdded { task } => &task.id,
                Fact::TaskEdited { task, .. } | Fact::TaskMoved { task, .. } | Fact::TaskRestored { task, .. } => task,
                _ => continue,
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let removed: BTreeSet<&TaskId> =
            ids.iter().copied().filter(|id| self.before.task(id.as_str()).is_none()).collect();
        // What was added last is taken out first, so that nothing ever depends on what is not there.
        let each = ids.into_iter().rev().map(|id| {
            self.unmoved(id)?;
            let to = match self.before.task(id.as_str()) {
                Some(before) => Some(Box::new(self.restored(before))),
                None => {
                    self.not_needed(id, &removed)?;
                    None
                }
            };
            Ok(Fact::TaskRestored { task: id.clone(), to })
        });
        each.collect()
    }

    /// Nothing may have been built on what the command did to a task.
    fn unmoved(&self, id: &TaskId) -> Result<(), Refusal> {
        let moved_on = |is: &str| {
            let next =
                format!("`pipeline explain {id}` says why it is there; `pipeline task --help` lists what can be done.");
            Err(refused(format!("{id} has moved on since: it is {is}"), next))
        };
        let (after, now) = match (self.after.task(id.as_str()), self.now.task(id.as_str())) {
            (Some(after), Some(now)) => (after, now),
            (None, None) if self.now.core.archived.contains_key(id) => return moved_on("archived"),
            (None, None) => return Ok(()),
            (Some(_), None) => return moved_on("archived"),
            (None, Some(now)) => return moved_on(&now.state.word()),
        };
        let live = self.now.core.runs.values().filter(|run| run.task.as_ref() == Some(id)).map(|run| &run.id);
        let mut began = live.chain(now.runs.iter().map(|run| &run.id));
        let known = |run: &crate::ids::RunId| {
            self.before.core.runs.contains_key(run) || after.runs.iter().any(|known| known.id == *run)
        };
        if settled(after) != settled(now) || began.any(|run| !known(run)) {
            return moved_on(&now.state.word());
        }
        Ok(())
    }

    /// A task that is to go must not be waited for.
    fn not_needed(&self, id: &TaskId, removed: &BTreeSet<&TaskId>) -> Result<(), Refusal> {
        let behind = self.now.dependents(id).into_iter().find(|task| !removed.contains(&task.id));
        match behind {
            Some(task) => Err(refused(
                format!("{} depends on {id}", task.id),
                format!("`pipeline task cancel {id}` gives it up and says what follows for those behind it."),
            )),
            None => Ok(()),
        }
    }

    /// A task as it was, with what its runs used since. A run that was stopped by the command is not brought back.
    fn restored(&self, before: &Task) -> Task {
        let id = before.id.as_str();
        let mut task = before.clone();
        let changed = self.after.task(id).is_none_or(|after| after.state != before.state);
        if let Some(now) = self.now.task(id) {
            task.runs.clone_from(&now.runs);
            task.spent = now.spent;
            if !changed {
                task.state = now.state.clone();
            }
        }
        (task.held, task.not_before) = (None, None);
        if changed {
            task.state = match task.state {
                TaskState::Working { stage, .. } => {
                    task.attempt = task.attempt.saturating_sub(1);
                    TaskState::Ready { stage }
                }
                TaskState::Verifying { stage, claim, step: Step::Gate { commit, onto, merged, .. } } => {
                    TaskState::Verifying { stage, claim, step: Step::Gate { commit, onto, run: None, merged } }
                }
                other => other,
            };
        }
        task
    }

    fn agents(&self, facts: &[Fact]) -> Result<Vec<Fact>, Refusal> {
        let changed: BTreeSet<&AgentName> = facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::AgentStopped { agent } | Fact::AgentEnabled { agent } | Fact::AgentBroken { agent, .. } => {
                    Some(agent)
                }
                _ => None,
            })
            .collect();
        let mut inverse = Vec::new();
        for name in changed {
            let of = |pipeline: &Pipeline| pipeline.core.agents.get(name).cloned();
            let (Some(before), Some(after), Some(now)) = (of(self.before), of(self.after), of(self.now)) else {
                return Err(refused(
                    format!("there is no agent {name} any more"),
                    "`pipeline agent list` shows the agents there are.",
                ));
            };
            if (now.stopped, &now.broken) != (after.stopped, &after.broken) {
                return Err(refused(
                    format!("{name} has changed since"),
                    format!("`pipeline explain {name}` says where it stands."),
                ));
            }
            if before.stopped && now.run.is_some() && now.run != after.run {
                return Err(refused(
                    format!("{name} has begun to work since"),
                    format!("`pipeline agent stop {name}` stops it; its work is kept on the task's branch."),
                ));
            }
            let agent = name.clone();
            if before.stopped && !after.stopped {
                inverse.push(Fact::AgentStopped { agent: agent.clone() });
            }
            if after.stopped && !before.stopped || after.broken.is_some() && before.broken.is_none() {
                inverse.push(Fact::AgentEnabled { agent: agent.clone() });
            }
            if let (Some(message), None) = (before.broken, after.broken) {
                inverse.push(Fact::AgentBroken { agent, message });
            }
        }
        Ok(inverse)
    }

    fn mode(&self) -> Result<Vec<Fact>, Refusal> {
        let (before, after, now) = (&self.before.core, &self.after.core, &self.now.core);
        let back = format!("pipeline mode set {} {}", before.mode.orchestration.word(), before.mode.rollout.word());
        if (now.mode, now.pending_mode) != (after.mode, after.pending_mode) {
            return Err(refused("the mode has been switched since", format!("`{back}` switches it back.")));
        }
        if before.mode.orchestration != now.mode.orchestration && !now.runs.is_empty() {
            return Err(refused(
                "agents have begun to work in the new mode",
                format!("`{back} --drain` switches back once they are done, `--force` stops them."),
            ));
        }
        let mut inverse = Vec::new();
        if before.mode != now.mode {
            // Going back to a bolder mode is a wish, not evidence.
            let unready = before.mode.rollout > now.mode.rollout;
            inverse.push(Fact::ModeChanged { mode: before.mode, unready });
        }
        // A switch ends the wait for another one, so that is said anew.
        if before.pending_mode.is_some() || now.pending_mode.is_some() && inverse.is_empty() {
            inverse.push(Fact::ModePending { mode: before.pending_mode, unready: before.pending_unready });
        }
        Ok(inverse)
    }
}

/// A task without what the scheduler notes in it and what a stopped run still adds.
fn settled(task: &Task) -> Task {
    Task { held: None, not_before: None, runs: Vec::new(), spent: Spent::default(), ..task.clone() }
}
