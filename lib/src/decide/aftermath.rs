//! What follows from the end of a run or of a task beside the way it goes: what is put away after a task was cancelled, and
//! what an agent would like to see started. Neither changes anything for the task it comes from.

use std::collections::HashSet;
use std::sync::Arc;

use super::Rules;
use super::parts::workflow_of_one;
use super::stages::NOTIFIED_ROLE;
use crate::event::NewTask;
use crate::fact::Fact;
use crate::ids::{Role, command_role};
use crate::run::Run;
use crate::task::{Parent, ParentWhy, Task};
use crate::workflow::{Doing, Stage};

impl Rules<'_> {
    /// What a stage says is done when a task is cancelled at it: a task of its own, on the same branch, which waits until
    /// the run that was stopped has let go of it.
    pub(super) fn after_cancel(&self, task: &Task) -> Option<Fact> {
        let stage = self.p.stage_of(task).filter(|_| task.attempt > 0)?;
        let command = stage.on_cancel.as_ref()?;
        // Each task that does a combination of a matrix is cancelled at the stage as well.
        let in_parts = matches!(stage.doing, Doing::Agent | Doing::Command(_)) && stage.has_parts();
        let workflow = self.p.workflow_of(task).filter(|_| !in_parts)?;
        let clean_up = Stage {
            doing: Doing::Command(command.clone()),
            name: format!("after {} was cancelled", stage.id),
            env: stage.env.clone(),
            secrets: stage.secrets.clone(),
            place: stage.place,
            timeout: stage.timeout,
            retries: Some(0),
            ..Stage::new(stage.id.clone(), command_role().clone())
        };
        let new = NewTask {
            title: format!("{} after {} was cancelled", stage.id, task.id),
            body: task.body.clone(),
            priority: task.priority,
            ..NewTask::titled("")
        };
        let name = self.name_of_part(task, "on-cancel", &HashSet::new());
        let mut new = self.new_task(&name, &new, self.p.core.next_order);
        new.workflow = workflow.id.clone();
        new.pinned = Some(Arc::new(workflow_of_one(workflow, &clean_up)));
        new.params.clone_from(&task.params);
        new.outputs.clone_from(&task.outputs);
        new.parent = Some(Box::new(Parent {
            task: task.id.clone(),
            stage: stage.id.clone(),
            why: ParentWhy::Cancel,
            branch: Some(task.branch_task().clone()),
        }));
        Some(Fact::TaskAdded { task: Box::new(new) })
    }

    /// Gives tasks that are added together places of their own in the order of creation.
    pub(super) fn put_in_order(&self, facts: &mut [Fact]) {
        let added =
            facts.iter_mut().filter_map(|fact| if let Fact::TaskAdded { task } = fact { Some(task) } else { None });
        for (task, order) in added.zip(self.p.core.next_order..) {
            task.order = order;
        }
    }
}

/// A workflow that an agent would like to see started, for those who may start it.
pub(super) fn proposed(run: &Run, task: &Task, proposal: &str) -> Fact {
    Fact::Notice {
        role: Role::new(NOTIFIED_ROLE).expect("a literal role is well formed"),
        task: task.id.clone(),
        text: format!("{} at {} {proposal}", run.agent, task.id),
    }
}
