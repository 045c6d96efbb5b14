//! What follows from the end of a run or of a task beside the way it goes: what is put away after a task was cancelled, and
//! what an agent would like to see started. Neither changes anything for the task it comes from.

use std::collections::HashSet;
use std::sync::Arc;

use super::Rules;
use super::parts::workflow_of_one;
use super::stages::NOTIFIED_ROLE;
use crate::event::{Collected, NewTask};
use crate::fact::Fact;
use crate::ids::{Role, command_role};
use crate::run::Run;
use crate::task::{Parent, ParentWhy, Task, TaskState};
use crate::text;
use crate::workflow::execute_block::Execute;
use crate::workflow::{Doing, Stage};

/// The longest title that is made of a request, and the longest name that is shown, in characters.
const TITLE_CHARS_MAX: usize = 120;
const NAME_CHARS_MAX: usize = 80;

impl Rules<'_> {
    /// What a stage says is done when a task is cancelled at it: a task of its own, on the same branch, which waits until
    /// the run that was stopped has let go of it.
    pub(super) fn after_cancel(&self, task: &Task) -> Option<Fact> {
        // A stage that has not begun yet follows others that have.
        let stage = self.p.stage_of(task).filter(|_| task.started_at.is_some())?;
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
            services: stage.services,
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

impl Rules<'_> {
    /// A workflow that an agent would like to see started: a task that waits for a person's word. What could not be started
    /// is said to those who could start something else.
    pub(super) fn proposed(&self, run: &Run, task: &Task, proposal: &Result<Execute, String>) -> Fact {
        let asked = match proposal {
            Ok(asked) => asked,
            Err(problem) => return told(task, format!("{} at {} {problem}", run.agent, task.id)),
        };
        match self.proposed_task(run, task, asked) {
            Ok(new) => Fact::TaskAdded { task: Box::new(new) },
            Err(problem) => {
                let (agent, workflow) = (&run.agent, text::one_line(&asked.workflow, NAME_CHARS_MAX));
                told(task, format!("{agent} at {} proposes workflow {workflow}, and {problem}", task.id))
            }
        }
    }

    fn proposed_task(&self, run: &Run, task: &Task, asked: &Execute) -> Result<Task, String> {
        let workflow = self.p.proposable(&asked.workflow)?;
        let id = &workflow.id;
        let by = |parent: &Parent| parent.why == ParentWhy::Proposal && parent.task == task.id;
        let same = self.p.tasks.iter().find(|other| {
            let waits = matches!(other.state, TaskState::Paused { .. }) && other.workflow == *id;
            waits && other.parent.as_deref().is_some_and(by)
        });
        if let Some(same) = same {
            return Err(format!("{} waits for a person's word about that already", same.id));
        }
        let words = match asked.prompt.trim() {
            "" if workflow.name.is_empty() => id.to_string(),
            "" => workflow.name.clone(),
            prompt => prompt.to_owned(),
        };
        let new = NewTask {
            title: text::one_line(&words, TITLE_CHARS_MAX),
            body: asked.prompt.clone(),
            priority: task.priority,
            workflow: Some(id.clone()),
            ..NewTask::titled("")
        };
        let name = self.name_of_part(task, "proposal", &HashSet::new());
        let mut new = self.new_task(&name, &new, self.p.core.next_order);
        let stage = run.stage.clone().unwrap_or_else(|| workflow.start.clone());
        new.parent = Some(Box::new(Parent { task: task.id.clone(), stage, why: ParentWhy::Proposal, branch: None }));
        new.state = TaskState::Paused { stage: workflow.start.clone() };
        let prompt = if asked.prompt.trim().is_empty() { String::new() } else { format!(": {}", new.title) };
        new.reason = Some(format!("{} at {} proposes workflow {id}{prompt}", run.agent, task.id));
        Ok(new)
    }
}

/// An agent that went for what is not its own takes no work until a person has looked.
pub(super) fn trespassed(run: &Run, left: &Collected) -> Option<Fact> {
    let why = match (&left.trespass, &left.suspicion) {
        (Some(certain), _) => format!("its run {} went beyond its own work: {certain}", run.id),
        (None, Some(possible)) => format!("look at its run {}: {possible}", run.id),
        (None, None) => return None,
    };
    Some(Fact::AgentBroken { agent: run.agent.clone(), message: why })
}

fn told(task: &Task, text: String) -> Fact {
    let role = Role::new(NOTIFIED_ROLE).expect("a literal role is well formed");
    Fact::Notice { role, task: task.id.clone(), text }
}
