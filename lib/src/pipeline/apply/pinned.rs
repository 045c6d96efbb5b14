//! A task goes on as it began, whatever becomes of the files of workflows meanwhile: its own is kept with it from the start,
//! and those that it may lead to once they are others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::Pipeline;
use crate::ids::{TaskId, WorkflowId};
use crate::task::{Task, TaskState};
use crate::workflow::Workflow;

type Known = BTreeMap<WorkflowId, Arc<Workflow>>;

impl Pipeline {
    /// Others take the place of all workflows that are known.
    pub(super) fn replace_workflows(&mut self, new: Known) {
        let old = std::mem::replace(&mut self.core.workflows, new);
        let is_other = |(id, old): &(WorkflowId, Arc<Workflow>)| self.core.workflows.get(id) != Some(old);
        let others: Known = old.into_iter().filter(is_other).collect();
        if others.is_empty() {
            return;
        }
        let on_the_way = |task: &&Task| task.pinned.is_some() && task.state != TaskState::Completed;
        let kept: Vec<(TaskId, Known)> = self
            .tasks
            .iter()
            .filter(on_the_way)
            .map(|task| (task.id.clone(), self.led_to(task, &others)))
            .filter(|(_, kept)| !kept.is_empty())
            .collect();
        for (id, kept) in kept {
            self.note_in_task(&id, |task| task.along.extend(kept));
        }
    }

    /// Which of these a task may lead to, be it by way of others.
    fn led_to(&self, task: &Task, others: &Known) -> Known {
        let mut found = Known::new();
        let mut seen: BTreeSet<&WorkflowId> = BTreeSet::new();
        let mut open: Vec<&WorkflowId> = task.pinned.iter().flat_map(|workflow| workflow.leads_to()).collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let other = others.get(id).filter(|_| !task.along.contains_key(id));
            found.extend(other.map(|workflow| (id.clone(), workflow.clone())));
            let as_it_was = other.or_else(|| self.led(task, id));
            open.extend(as_it_was.into_iter().flat_map(|workflow| workflow.leads_to()));
        }
        found
    }
}
