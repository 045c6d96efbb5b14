//! Workflow files, `.pipeline/workflows/*.json`: read one by one, so that a mistake in one does not stop the others.
//!
//! What a workflow means is lib's business; here its problems get a file, a line and a column.

mod registered;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_lib::ids::{Role, WorkflowId};
use pipeline_lib::text::one_line;
use pipeline_lib::workflow::{Workflow, parse, tdd, together};

use super::json::{self, Document};
use super::{LocatedProblem, keys, problem};
use crate::shipped;

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
    /// The file that defines each of the project's own, as it is named in problems.
    defined_in: BTreeMap<WorkflowId, String>,
    /// The files of which nothing is to be said, with the workflow that each defines.
    clean: BTreeMap<PathBuf, WorkflowId>,
    /// Files that define no workflow, by the id that they give.
    unusable: Vec<(String, String)>,
    /// Roles that some agent has.
    roles: BTreeSet<Role>,
    /// Workflows that come with the program and are among the others because a file leads to them.
    drawn_in: Vec<WorkflowId>,
}

impl WorkflowSet {
    /// The workflow of this name.
    #[must_use]
    pub fn get(&self, id: &WorkflowId) -> Option<&Arc<Workflow>> {
        self.workflows.iter().find(|workflow| workflow.id == *id)
    }

    /// The names of everything that some workflow can give to a stage.
    #[must_use]
    pub fn param_names(&self) -> BTreeSet<&str> {
        self.workflows.iter().flat_map(|workflow| workflow.param_names()).collect()
    }

    /// The workflow of this name: the project's, else the one that comes with the program.
    #[must_use]
    pub fn find(&self, id: &WorkflowId) -> Option<Arc<Workflow>> {
        self.get(id).cloned().or_else(|| self.shipped(id.as_str()).map(|(workflow, _)| workflow))
    }

    /// A workflow that comes with the program, unless a file was meant to take its place, and its stages that nobody does.
    #[must_use]
    pub fn shipped(&self, id: &str) -> Option<(Arc<Workflow>, Vec<String>)> {
        if self.is_taken(id) {
            return None;
        }
        // The parts of a chain may be the project's own.
        if let Some(chain) = super::builtin().chains.iter().find(|chain| chain.id.as_str() == id) {
            return Some((Arc::new(chain.workflow(|part| self.find(part)).ok()?), Vec::new()));
        }
        let (workflow, missing) = shipped::workflow(id, &self.roles)?;
        Some((Arc::new(workflow), missing))
    }

    /// Those that files of the project define, and the built-in one.
    pub fn own(&self) -> impl Iterator<Item = &Arc<Workflow>> {
        self.workflows.iter().filter(|workflow| !self.drawn_in.contains(&workflow.id))
    }

    /// The names of those that come with the program and whose place no file takes, sorted.
    pub fn shipped_ids<'a>(&'a self) -> impl Iterator<Item = &'a str> {
        shipped::ids().filter(|id| !self.is_taken(id)).map(|id| {
            let shortened: &'a str = id;
            shortened
        })
    }

    /// Those that come with the program among these names, with all that they lead to and no file defines.
    #[must_use]
    pub fn shipped_for<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<Arc<Workflow>> {
        let mut found: BTreeMap<WorkflowId, Arc<Workflow>> = BTreeMap::new();
        let mut open: Vec<String> = names.into_iter().map(str::to_owned).collect();
        while let Some(name) = open.pop() {
            if self.workflows.iter().chain(found.values()).any(|known| known.id.as_str() == name) {
                continue;
            }
            let Some((workflow, _)) = self.shipped(&name) else { continue };
            open.extend(shipped::leads_to(&workflow).map(str::to_owned));
            found.insert(workflow.id.clone(), workflow);
        }
        found.into_values().collect()
    }

    fn is_taken(&self, id: &str) -> bool {
        self.workflows.iter().any(|known| known.id.as_str() == id && !self.is_drawn_in(id))
            || self.unusable.iter().any(|(name, _)| name == id)
            || self
                .problems
                .iter()
                .any(|problem| !problem.warning && Path::new(&problem.file).file_stem().is_some_and(|stem| stem == id))
    }

    /// Whether it is among the workflows only because a file leads to it.
    fn is_drawn_in(&self, id: &str) -> bool {
        self.drawn_in.iter().any(|known| known.as_str() == id)
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

    /// What is to be said of the file that defines a workflow although the workflow can be run.
    pub fn warnings_of(&self, id: &WorkflowId) -> impl Iterator<Item = &LocatedProblem> {
        let file = self.defined_in.get(id);
        self.problems.iter().filter(move |problem| problem.warning && Some(&problem.file) == file)
    }

    /// The sentence that asks whether another name was meant, with a space behind it; empty where none is near. Names of
    /// files that cannot be used count too.
    #[must_use]
    pub fn meant(&self, id: &str) -> String {
        let stems = self.problems.iter().filter_map(|problem| Path::new(&problem.file).file_stem()?.to_str());
        let own = self.workflows.iter().map(|workflow| workflow.id.as_str());
        let unusable = self.unusable.iter().map(|(name, _)| name.as_str());
        let known = own.chain(unusable).chain(stems).chain(self.shipped_ids());
        keys::nearest(id, known).map_or_else(String::new, |near| format!("Did you mean `{}`? ", one_line(near, 80)))
    }

    /// The workflow that this file defines, if nothing is to be said of the file.
    fn clean_file(&self, path: &Path) -> Option<&Arc<Workflow>> {
        let of = |path: &Path| self.clean.get(path).and_then(|id| self.get(id));
        of(path).or_else(|| of(&path.canonicalize().ok()?))
    }

    /// Whether some file cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| !problem.warning)
    }
}

/// What some workflow files hold.
#[derive(Debug)]
pub struct Checked {
    /// The names of those that can be run.
    pub valid: Vec<WorkflowId>,
    /// What was read of them, whether it fits together or not.
    pub workflows: Vec<Arc<Workflow>>,
    /// What is wrong, and warnings.
    pub problems: Vec<LocatedProblem>,
}

/// Reads every `*.json` of a folder. `roles` are those that some agent has; while there is no agent at all, no role is
/// missed.
#[must_use]
pub fn load_workflows(dir: &Path, roles: &BTreeSet<Role>) -> WorkflowSet {
    let mut set = WorkflowSet { roles: roles.clone(), ..WorkflowSet::default() };
    let mut files: BTreeMap<WorkflowId, (PathBuf, Document)> = BTreeMap::new();
    let mut drafts = Vec::new();
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
        let workflow = match read_one(&document, roles, &mut set.problems) {
            Ok(workflow) => workflow,
            Err(draft) => {
                set.unusable.extend(id.map(|id| (id.to_owned(), document.name().to_owned())));
                drafts.extend(draft.map(|draft| (document, draft)));
                continue;
            }
        };
        if let Some((_, first)) = files.get(&workflow.id) {
            let message = format!("workflow `{}` is already defined in {}", workflow.id, first.name());
            let hint = Some("Give one of them another id, or remove it.".to_owned());
            set.problems.push(LocatedProblem::new(&document.place("/id"), message, hint));
            continue;
        }
        files.insert(workflow.id.clone(), (path, document));
        set.workflows.push(Arc::new(workflow));
    }
    if !builtin_replaced {
        set.workflows.push(builtin);
    }
    let names: Vec<String> =
        set.workflows.iter().flat_map(|workflow| shipped::leads_to(workflow)).map(str::to_owned).collect();
    let drawn_in = set.shipped_for(names.iter().map(String::as_str));
    set.drawn_in = drawn_in.iter().map(|workflow| workflow.id.clone()).collect();
    set.workflows.extend(drawn_in);
    set.workflows.sort_by(|a, b| a.id.cmp(&b.id));
    take_out_misfits(&mut set, &files);
    for (document, draft) in drafts {
        let is_broken = |name: &str| set.unusable.iter().any(|(broken, _)| broken == name);
        let found = together::check_draft(&draft.workflow, &draft.places, &set.workflows, is_broken);
        add(&mut set.problems, located(&document, found));
    }
    set.defined_in = files.iter().map(|(id, (_, document))| (id.clone(), document.name().to_owned())).collect();
    set.clean = files
        .into_iter()
        .filter(|(id, _)| set.get(id).is_some())
        .filter(|(_, (_, document))| !set.problems.iter().any(|problem| problem.file == document.name()))
        .map(|(id, (path, _))| (path, id))
        .collect();
    set
}

/// Takes out the workflows that do not fit together with the others, until all that are left do.
fn take_out_misfits(set: &mut WorkflowSet, files: &BTreeMap<WorkflowId, (PathBuf, Document)>) {
    loop {
        let found = together::check(&set.workflows, |name| set.unusable.iter().any(|(broken, _)| broken == name));
        let misfits: BTreeSet<WorkflowId> =
            found.iter().filter(|(_, problem)| !problem.warning).map(|(id, _)| id.clone()).collect();
        for (id, problem) in found {
            // Warnings are said of what stays; who is taken out has said enough.
            let said = if misfits.is_empty() { problem.warning } else { !problem.warning };
            if let Some((_, document)) = files.get(&id).filter(|_| said) {
                set.problems.extend(located(document, vec![problem]));
            }
        }
        if misfits.is_empty() {
            return;
        }
        let broken = misfits.iter().filter_map(|id| Some((id.to_string(), files.get(id)?.1.name().to_owned())));
        set.unusable.extend(broken);
        set.workflows.retain(|workflow| !misfits.contains(&workflow.id));
    }
}

/// Reads one workflow file, wherever it is, and says what is wrong with it. It may be run if there is one.
#[must_use]
pub fn load_workflow(path: &Path, roles: &BTreeSet<Role>) -> (Option<Workflow>, Vec<LocatedProblem>) {
    let mut problems = Vec::new();
    let workflow = match json::read(path, FILE_BYTES_MAX, "Workflows") {
        Ok(document) => read_one(&document, roles, &mut problems).ok(),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    (workflow, problems)
}

/// Reads some workflow files, wherever they are, and says what is wrong with each, also where they name other workflows:
/// one another, or `others`. Without any others, a workflow that is not there may be somewhere else. One that is among the
/// others already, and nothing is to be said of, is not read again.
#[must_use]
pub fn check_workflow_files(paths: &[PathBuf], roles: &BTreeSet<Role>, others: Option<&WorkflowSet>) -> Checked {
    let mut problems = Vec::new();
    let mut read: Vec<(Document, Arc<Workflow>)> = Vec::new();
    let mut known: Vec<Arc<Workflow>> = Vec::new();
    let mut drafts = Vec::new();
    for path in paths {
        if let Some(workflow) = others.and_then(|set| set.clean_file(path)) {
            known.push(workflow.clone());
            continue;
        }
        match json::read(path, FILE_BYTES_MAX, "Workflows") {
            Ok(document) => match read_one(&document, roles, &mut problems) {
                Ok(workflow) => read.push((document, Arc::new(workflow))),
                Err(draft) => drafts.extend(draft.map(|draft| (document, draft))),
            },
            Err(problem) => problems.push(problem),
        }
    }
    let given: Vec<Arc<Workflow>> = read.iter().map(|(_, workflow)| workflow.clone()).chain(known).collect();
    let own: BTreeSet<WorkflowId> = given.iter().map(|workflow| workflow.id.clone()).collect();
    let mut all = given.clone();
    let project = others.map(|set| set.workflows.as_slice()).unwrap_or_default();
    all.extend(project.iter().filter(|workflow| !own.contains(&workflow.id)).cloned());
    let broken = |name: &str| {
        let given = drafts.iter().any(|(_, draft): &(Document, Box<parse::Draft>)| draft.workflow.id.as_str() == name);
        given || others.is_some_and(|set| set.unusable.iter().any(|(broken, _)| broken == name))
    };
    let somewhere_else = |problem: &mut parse::Problem| {
        problem.warning |= others.is_none() && problem.message.starts_with("there is no workflow");
    };
    for (document, draft) in &drafts {
        let mut found = together::check_draft(&draft.workflow, &draft.places, &all, broken);
        found.iter_mut().for_each(somewhere_else);
        add(&mut problems, located(document, found));
    }
    let mut misfits: BTreeSet<WorkflowId> = BTreeSet::new();
    for (id, mut problem) in together::check(&all, broken) {
        let Some((document, _)) = read.iter().find(|(_, workflow)| workflow.id == id) else { continue };
        somewhere_else(&mut problem);
        if !problem.warning {
            misfits.insert(id);
        }
        problems.extend(located(document, vec![problem]));
    }
    Checked { valid: own.into_iter().filter(|id| !misfits.contains(id)).collect(), workflows: given, problems }
}

/// Reads one document; where it cannot be used, what could be read of it.
fn read_one(
    document: &Document,
    roles: &BTreeSet<Role>,
    problems: &mut Vec<LocatedProblem>,
) -> Result<Workflow, Option<Box<parse::Draft>>> {
    let (draft, found) = parse::draft(document.json(), Some(roles).filter(|roles| !roles.is_empty()));
    let doubles = document.doubles(parse::is_read);
    let usable = found.iter().all(|problem| problem.warning) && doubles.iter().all(|problem| problem.warning);
    if !found.is_empty() || !doubles.is_empty() {
        let mut said = located(document, found);
        add(&mut said, doubles);
        problems.append(&mut said);
    }
    if usable { draft.map(|draft| draft.workflow).ok_or(None) } else { Err(draft.map(Box::new)) }
}

/// Adds what is wrong with a file to what was said of it before.
fn add(problems: &mut Vec<LocatedProblem>, more: Vec<LocatedProblem>) {
    let Some(file) = more.first().map(|problem| problem.file.clone()) else { return };
    let from = problems.iter().position(|problem| problem.file == file).unwrap_or(problems.len());
    let to = from + problems[from..].iter().take_while(|problem| problem.file == file).count();
    let mut all: Vec<LocatedProblem> = problems.splice(from..to, []).chain(more).collect();
    problem::sort(&mut all);
    problems.splice(from..from, all);
}

/// Problems with their places in a file, from top to bottom.
pub(super) fn located(document: &Document, mut found: Vec<parse::Problem>) -> Vec<LocatedProblem> {
    found.sort_by_key(|problem| problem.warning);
    let more = found.len().saturating_sub(PROBLEMS_MAX);
    let places = document.places(found.iter().take(PROBLEMS_MAX).map(|problem| (&*problem.pointer, &problem.about)));
    let located = found.into_iter().zip(places).map(|(found, place)| {
        let located = LocatedProblem::new(&place, found.message, found.suggestion);
        if found.warning { located.into_warning() } else { located }
    });
    let mut located: Vec<LocatedProblem> = located.collect();
    problem::sort(&mut located);
    if more > 0 {
        let more = LocatedProblem::of_file(document.name(), format!("{more} more problems are not shown"), None);
        located.push(more.into_warning());
    }
    located
}
