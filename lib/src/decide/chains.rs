//! Parts that wait for a person, and what that means to the tasks they serve. To its chain such a part has failed: the chain
//! goes on without it, or fails at it and says so. So has to any other task, where its workflow says what is done about a
//! failure, a part that was given up. A part that a person lets go on takes a task that failed at it along; one that was left
//! behind is not gone on with, as others work on its branch.

use super::Rules;
use super::stages::{because, moved};
use crate::event::Refusal;
use crate::fact::{Fact, Move};
use crate::ids::{TaskId, WorkflowId};
use crate::task::{Parent, ParentWhy, Task, TaskState};
use crate::text::one_line;
use crate::workflow::{FAILED, Next, Stage};

/// The longest reason of a part that its chain repeats, in characters.
const REASON_CHARS_MAX: usize = 200;

impl Rules<'_> {
    /// Whether a task that does a part is over for the one it serves.
    pub(super) fn is_over_for(&self, task: &Task, part: &Task) -> bool {
        part.state.is_final()
            || (self.is_chain(task) && self.is_stuck(part))
            || (self.p.answers_failure(task) && self.has_given_up(part))
    }

    /// Whether a task was given up, or all that it waits for was.
    fn has_given_up(&self, task: &Task) -> bool {
        match &task.state {
            TaskState::Blocked { .. } => task.given_up,
            TaskState::Waiting { on, .. } => {
                let mut open = self.open_among(on).peekable();
                open.peek().is_some() && open.all(|part| self.has_given_up(part))
            }
            _ => false,
        }
    }

    /// Whether a task has failed, or would, where parts of it wait for a person.
    fn fails_at_parts(&self, task: &Task) -> bool {
        self.is_chain(task) || self.p.answers_failure(task)
    }

    /// Whether nothing goes on at a task until a person has looked: it could not go on, or all that it waits for could not.
    /// What a person put aside is not stuck.
    pub(super) fn is_stuck(&self, task: &Task) -> bool {
        match &task.state {
            TaskState::Blocked { .. } => !task.put_aside,
            TaskState::Waiting { on, .. } => {
                let mut open = self.open_among(on).peekable();
                open.peek().is_some() && open.all(|part| self.is_stuck(part))
            }
            _ => false,
        }
    }

    /// What failed among the tasks that a task waits for, and what a person can do about it.
    pub(super) fn failed_part(&self, task: &Task) -> Option<String> {
        let TaskState::Waiting { on, .. } = &task.state else { return None };
        if let Some(stuck) = self.open_among(on).find_map(|part| self.blocked_within(part)) {
            let reason = reason_of(stuck);
            return Some(format!("{0} is blocked{reason}; `pipeline task retry {0}` goes on there", stuck.id));
        }
        let given_up = |part: &&Task| part.state.is_final() && part.state != TaskState::Completed;
        let part = on.iter().filter_map(|id| self.p.task(id.as_str())).find(given_up)?;
        Some(format!("{} is {}{}", part.id, part.state.word(), reason_of(part)))
    }

    /// Whether a part that a task waits for has started this workflow against its failure itself: to roll back twice would be
    /// to roll back too far.
    pub(super) fn part_started(&self, task: &Task, workflow: &WorkflowId) -> bool {
        let TaskState::Waiting { on, .. } = &task.state else { return false };
        let mends = |parent: &Parent| parent.why == ParentWhy::Failure && on.contains(&parent.task);
        self.p.tasks.iter().any(|other| other.workflow == *workflow && other.parent.as_deref().is_some_and(mends))
    }

    /// The parts that a task leaves behind as it goes on to another stage, or begins anew with others: nobody waits for them
    /// any more.
    pub(super) fn left_behind(&self, chain: &Task, stage: &Stage, on: &[TaskId]) -> Vec<Fact> {
        let goes_on = self.p.workflow_of(chain).is_some_and(|w| matches!(w.next(&stage.id, FAILED), Next::Stage(_)));
        if !goes_on && !self.has_attempts_left(chain, stage) {
            return Vec::new();
        }
        let mut facts = Vec::new();
        for part in self.open_among(on) {
            let reason = self.blocked_within(part).map(reason_of).unwrap_or_default();
            let why = format!("{} went on without it{reason}", chain.id);
            facts.extend(self.give_up_parts(part, &why));
            facts.push(moved(&part.id, TaskState::Failed, because(&why)));
        }
        facts
    }

    /// What lets those go on that failed because of a part, or waited for it, once that goes on.
    pub(super) fn with_its_chains(&self, part: &Task) -> Result<Vec<Fact>, Refusal> {
        let mut facts = Vec::new();
        let mut child = part;
        while let Some(link) = child.parent.as_ref().filter(|link| link.why == ParentWhy::Part) {
            let Some(parent) = self.p.task(link.task.as_str()) else { break };
            match &parent.state {
                TaskState::Waiting { on, .. } if on.contains(&child.id) => {}
                _ if !self.fails_at_parts(parent) => break,
                TaskState::Failed | TaskState::Blocked { .. } if parent.parts.contains(&child.id) => {
                    facts.push(self.waits_again(parent, link.stage.clone()));
                }
                _ => {
                    let hint = format!(
                        "{} has left it behind; `pipeline run {}` does the same by itself.",
                        parent.id, child.workflow
                    );
                    return Err(self.illegal("retry", part, &hint));
                }
            }
            child = parent;
        }
        Ok(facts)
    }

    /// A task that failed at parts which are stuck, or waits for them, goes on with them; none where it did not.
    pub(super) fn with_its_parts(&self, chain: &Task, message: Option<&str>) -> Option<Vec<Fact>> {
        let (stage, parts) = match &chain.state {
            TaskState::Failed => (Some(chain.left_at.clone()?), &chain.parts),
            TaskState::Blocked { stage } => (Some(stage.clone()?), &chain.parts),
            TaskState::Waiting { on, .. } => (None, on),
            _ => return None,
        };
        let mut stuck: Vec<&Task> = Vec::new();
        if stage.is_none() || self.fails_at_parts(chain) {
            let mut open: Vec<&Task> = self.open_among(parts).collect();
            while let Some(part) = open.pop() {
                match &part.state {
                    TaskState::Waiting { on, .. } => open.extend(self.open_among(on)),
                    TaskState::Blocked { .. } if !part.put_aside => stuck.push(part),
                    _ => {}
                }
            }
        }
        if stuck.is_empty() {
            return None;
        }
        let again = |part: &Task| {
            let stage = part.state.stage();
            let feedback = message.map(str::to_owned);
            let with = Move { entered: stage.is_some(), feedback, retry: true, ..Move::default() };
            moved(&part.id, self.ready_at(stage), with)
        };
        let mut facts: Vec<Fact> = stuck.into_iter().map(again).collect();
        facts.extend(stage.map(|stage| self.waits_again(chain, stage)));
        Some(facts)
    }

    fn waits_again(&self, chain: &Task, stage: crate::ids::StageId) -> Fact {
        let to = TaskState::Waiting { stage, on: chain.parts.clone() };
        moved(&chain.id, to, Move { entered: true, began: true, retry: true, ..Move::default() })
    }

    fn is_chain(&self, task: &Task) -> bool {
        self.p.workflow_of(task).is_some_and(|workflow| crate::registry::chain::is_chain(workflow))
    }

    fn open_among<'t>(&'t self, on: &'t [TaskId]) -> impl Iterator<Item = &'t Task> + 't {
        on.iter().filter_map(|id| self.p.task(id.as_str())).filter(|part| !part.state.is_final())
    }

    fn blocked_within<'t>(&'t self, task: &'t Task) -> Option<&'t Task> {
        match &task.state {
            TaskState::Blocked { .. } => Some(task),
            TaskState::Waiting { on, .. } => self.open_among(on).find_map(|part| self.blocked_within(part)),
            _ => None,
        }
    }
}

fn reason_of(task: &Task) -> String {
    let reason = one_line(task.reason.as_deref().unwrap_or_default(), REASON_CHARS_MAX);
    if reason.is_empty() { reason } else { format!(": {reason}") }
}
