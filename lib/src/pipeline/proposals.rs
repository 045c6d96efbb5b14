//! What can be proposed: whether a workflow that somebody only names could be started as it is. Starts nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pipeline;
use crate::ids::WorkflowId;
use crate::workflow::{Workflow, params};

impl Pipeline {
    /// The workflow of this name, which needs nothing that it is not given.
    ///
    /// # Errors
    /// In words, that there is none, or what it needs.
    pub fn proposable(&self, name: &str) -> Result<&Arc<Workflow>, String> {
        let absent = || "there is no such workflow".to_owned();
        let id = WorkflowId::new(name).map_err(|_| absent())?;
        let workflow = self.core.workflows.get(&id).ok_or_else(absent)?;
        params::check(&workflow.params, &BTreeMap::new()).map_err(|problems| {
            format!("it cannot be started as it is: {}; `pipeline run {id} --param …` can", problems.join("; "))
        })?;
        Ok(workflow)
    }
}
