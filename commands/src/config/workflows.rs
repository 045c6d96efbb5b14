//! Workflow files, `.pipeline/workflows/*.json`: read one by one, so that a mistake in one does not stop the others.
//!
//! What a workflow means is lib's business; here its problems get a file, a line and a column.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use pipeline_lib::ids::{Role, WorkflowId};
use pipeline_lib::settings::Settings;
use pipeline_lib::workflow::{Workflow, parse, tdd};

use super::json::{self, Document};
use super::{LocatedProblem, digest, problem};

/// The largest workflow file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// So many problems of one file are located; who has more will not read them.
const PROBLEMS_MAX: usize = 200;

/// The workflows of a repository.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkflowSet {
    /// Those that can be run, by id. The built-in `tdd` is among them unless a file takes its place.
    pub workflows: Vec<Arc<Workflow>>,
    /// What is wrong with the others, and warnings.
    pub problems: Vec<LocatedProblem>,
    /// Names the content of the workflows.
    pub digest: String,
    /// Files that define no workflow, by the id that they give.
    unusable: Vec<(String, String)>,
}

impl WorkflowSet {
    /// The workflow of this name.
    #[must_use]
    pub fn get(&self, id: &WorkflowId) -> Option<&Arc<Workflow>> {
        self.workflows.iter().find(|workflow| workflow.id == *id)
    }

    /// What is wrong with the files that were meant to define a workflow, by their own names or by the id in them. Empty
    /// if nothing is.
    #[must_use]
    pub fn problems_of(&self, id: &str) -> Vec<LocatedProblem> {
        let meant = |file: &str| {
            Path::new(file).file_stem().is_some_and(|stem| stem == id)
                || self.unusable.iter().any(|(name, of)| name == id && of == file)
        };
        let problems: Vec<_> = self.problems.iter().filter(|problem| meant(&problem.file)).cloned().collect();
        if problems.iter().all(|problem| problem.warning) { Vec::new() } else { problems }
    }

    /// Whether some file cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| !problem.warning)
    }
}

/// Reads every `*.json` of a folder. `roles` are those that some agent has; while there is no agent at all, no role is
/// missed.
#[must_use]
pub fn load_workflows(dir: &Path, roles: &BTreeSet<Role>) -> WorkflowSet {
    let mut set = WorkflowSet::default();
    let mut files: BTreeMap<WorkflowId, String> = BTreeMap::new();
    let builtin = tdd();
    let mut builtin_replaced = false;
    for path in json::files(dir, "workflows", &mut set.problems) {
        // A file that was meant to replace the built-in workflow does so even when it is broken: the built-in one would
        // do something else than what was asked for.
        builtin_replaced |= path.file_stem().is_some_and(|stem| stem == builtin.id.as_str());
        let document = match json::read(&path, FILE_BYTES_MAX, "Workflows") {
            Ok(document) => document,
            Err(problem) => {
                set.problems.push(problem);
                continue;
            }
        };
        let id = document.json().get("id").and_then(serde_json::Value::as_str);
        builtin_replaced |= id == Some(builtin.id.as_str());
        let Some(workflow) = read_one(&document, roles, &mut set.problems) else {
            set.unusable.extend(id.map(|id| (id.to_owned(), document.name().to_owned())));
            continue;
        };
        if let Some(first) = files.get(&workflow.id) {
            let message = format!("workflow `{}` is already defined in {first}", workflow.id);
            let hint = Some("Give one of them another id, or remove it.".to_owned());
            set.problems.push(LocatedProblem::new(&document.place("/id"), message, hint));
            continue;
        }
        files.insert(workflow.id.clone(), document.name().to_owned());
        set.workflows.push(Arc::new(workflow));
    }
    if !builtin_replaced {
        set.workflows.push(builtin);
    }
    set.workflows.sort_by(|a, b| a.id.cmp(&b.id));
    set.digest = digest(&Settings::default(), &set.workflows);
    set
}

/// Reads one workflow file, wherever it is, and says what is wrong with it. It may be run if there is one.
#[must_use]
pub fn load_workflow(path: &Path, roles: &BTreeSet<Role>) -> (Option<Workflow>, Vec<LocatedProblem>) {
    let mut problems = Vec::new();
    let workflow = match json::read(path, FILE_BYTES_MAX, "Workflows") {
        Ok(document) => read_one(&document, roles, &mut problems),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    (workflow, problems)
}

fn read_one(document: &Document, roles: &BTreeSet<Role>, problems: &mut Vec<LocatedProblem>) -> Option<Workflow> {
    let (workflow, mut found) = match parse::parse(document.json(), Some(roles).filter(|roles| !roles.is_empty())) {
        Ok((workflow, warnings)) => (Some(workflow), warnings),
        Err(found) => (None, found),
    };
    if found.is_empty() {
        return workflow;
    }
    found.sort_by_key(|problem| problem.warning);
    let more = found.len().saturating_sub(PROBLEMS_MAX);
    let places = document.places(found.iter().take(PROBLEMS_MAX).map(|problem| problem.pointer.as_str()));
    let located = found.into_iter().zip(places).map(|(found, place)| {
        let located = LocatedProblem::new(&place, found.message, found.suggestion);
        if found.warning { located.into_warning() } else { located }
    });
    let mut located: Vec<LocatedProblem> = located.collect();
    problem::sort(&mut located);
    problems.append(&mut located);
    if more > 0 {
        let more = LocatedProblem::of_file(document.name(), format!("{more} more problems are not shown"), None);
        problems.push(more.into_warning());
    }
    workflow
}
