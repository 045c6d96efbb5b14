//! What the registry adds to the workflows of a repository: its chains, and those of the program that it names.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_lib::ids::WorkflowId;
use pipeline_lib::workflow::Workflow;

use super::WorkflowSet;
use crate::shipped;

impl WorkflowSet {
    /// The workflows of files and of the registry, without those that are there because something leads to them.
    pub fn of_the_project(&self) -> impl Iterator<Item = &Workflow> {
        self.workflows.iter().filter(|workflow| !self.is_drawn_in(workflow.id.as_str())).map(|workflow| &**workflow)
    }

    /// Adds a chain, unless there is a workflow of its name.
    pub(in crate::config) fn add_chain(&mut self, chain: Workflow) -> bool {
        let id = chain.id.clone();
        if self.workflows.iter().any(|known| known.id == id && !self.is_drawn_in(id.as_str())) {
            return false;
        }
        self.drawn_in.retain(|known| *known != id);
        self.workflows.retain(|known| known.id != id);
        let names: Vec<String> = shipped::leads_to(&chain).map(str::to_owned).collect();
        self.workflows.push(Arc::new(chain));
        self.draw_in(names.iter().map(String::as_str));
        true
    }

    /// Gives workflows that say nothing about it the category that a registry counts them among.
    pub(in crate::config) fn count_among(&mut self, category_of: &BTreeMap<WorkflowId, String>) {
        for workflow in &mut self.workflows {
            let category = category_of.get(&workflow.id).filter(|_| workflow.category.is_empty());
            if let Some(category) = category {
                Arc::make_mut(workflow).category.clone_from(category);
            }
        }
    }

    /// Takes in those that come with the program among these names.
    pub(in crate::config) fn draw_in<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        let found = self.shipped_for(names);
        self.drawn_in.extend(found.iter().map(|workflow| workflow.id.clone()));
        self.workflows.extend(found);
        self.workflows.sort_by(|a, b| a.id.cmp(&b.id));
    }
}
