//! What the workflow of a task says is done where a stage fails, and what that is given. When it is done is decided elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Pipeline;
use crate::ids::{StageId, WorkflowId};
use crate::task::Task;
use crate::workflow::{FAILED, Next, Workflow, params};

impl Pipeline {
    /// The workflow of this name that a task leads to: as it was when the task started.
    pub(crate) fn led<'a>(&'a self, task: &'a Task, id: &WorkflowId) -> Option<&'a Arc<Workflow>> {
        task.along.get(id).or_else(|| self.core.workflows.get(id))
    }

    /// Whether the workflow of a task says what is done where the stage that it is or was at fails.
    pub(crate) fn answers_failure(&self, task: &Task) -> bool {
        let stage = task.state.stage().or(task.left_at.as_ref());
        self.workflow_of(task).is_some_and(|workflow| {
            workflow.on_failure.is_some() || stage.is_some_and(|stage| workflow.next(stage, FAILED) != Next::Nowhere)
        })
    }

    /// The workflow that is started where a task fails at a stage, with what it is given; or what it is not given, in words.
    pub(crate) fn follows_failure<'a>(
        &'a self,
        task: &'a Task,
        id: &WorkflowId,
        stage: Option<&StageId>,
        why: &str,
    ) -> Result<(&'a Arc<Workflow>, BTreeMap<String, Value>), String> {
        let workflow = self.led(task, id).ok_or("there is no such workflow")?;
        let told = [
            ("failed_task", task.id.as_str()),
            ("failed_stage", stage.map_or("", |stage| stage.as_str())),
            ("failed_workflow", task.workflow.as_str()),
            ("reason", why),
        ];
        let mut given = task.params.clone();
        given.extend(told.map(|(name, value)| (name.to_owned(), Value::from(value))));
        given.retain(|name, _| params::declared(&workflow.params, name).is_some());
        params::check(&workflow.params, &given).map_err(|problems| problems.join("; "))?;
        Ok((workflow, given))
    }
}
