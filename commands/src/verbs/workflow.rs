//! `pipeline workflow`: the maps that tasks travel, and what is wrong with the files they are read from. Running them is
//! the engine's business.

mod form;
mod graph;
mod learn;
mod report;
mod scaffold;
mod show;
mod standing;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_lib::ids::{Role, WorkflowId};
use pipeline_lib::text::{counted, one_line};
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_lib::workflow::Workflow;
use serde_json::{Value, json};

use super::config::problem_json;
use super::status::{head, print_rows};
use crate::config::{Checked, LocatedProblem, check_workflow_files, render_all};
use crate::context::Context;
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};
use crate::verbs::run::{self as run_verb, Options};

/// The maps that tasks travel.
#[derive(Debug, clap::Args)]
pub struct WorkflowArgs {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done about workflows.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Show the workflows there are
    List,
    /// Show the stages and connections of one
    Show {
        /// Which
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Say what is wrong with workflow files
    Validate {
        /// The files; those of the project if none is given
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Run one, and follow it to its end
    Run {
        /// Which
        #[arg(value_name = "NAME")]
        name: String,
        /// How
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Draw the stages of one and where their decisions lead
    Graph {
        /// Which
        #[arg(value_name = "ID")]
        id: String,
        /// How
        #[arg(long, value_enum, default_value_t)]
        format: graph::Format,
    },
    /// Show failures that were recognised again, and what overcame them
    Learn,
    /// Show how workflows did: success, durations against the time before, stages that fail
    Report(report::Report),
    /// Write a new workflow file to begin with
    New {
        /// Its name
        #[arg(value_name = "ID")]
        id: String,
        /// What it begins as: agents, commands, hub, parallel, a workflow there is, or the pack mining-pool
        #[arg(long, value_name = "TEMPLATE")]
        from: Option<String>,
        /// Print it instead of writing a file
        #[arg(long)]
        print: bool,
    },
}

/// Shows or checks workflows.
///
/// # Errors
/// When there is no such workflow, or the configuration is invalid.
pub fn run(call: &Call, args: &WorkflowArgs) -> Result<u8> {
    match &args.action {
        Action::List => list(call, &call.context()?),
        Action::Show { id } => show(call, &call.context()?, id),
        Action::Graph { id, format } => graph::run(call, &*find(&call.context()?, id)?, *format),
        Action::Run { name, options } => run_verb::by_name(call, name, options),
        Action::Learn => learn::run(call),
        Action::Report(args) => report::run(call, args),
        Action::New { id, from, print } => scaffold::run(call, id, from.as_deref(), *print),
        Action::Validate { files } if files.is_empty() => {
            let context = call.context()?;
            let set = context.workflows();
            let mut problems = set.problems.clone();
            problems.extend(context.definitions().unfilled(|_| true, &set.param_names()));
            report(call, set.workflows.iter().map(|workflow| workflow.id.clone()).collect(), &problems)
        }
        Action::Validate { files } => validate_files(call, files),
    }
}

fn list(call: &Call, context: &Context) -> Result<u8> {
    let set = context.workflows();
    let out = &call.output;
    let standing = standing::look(context)?;
    if out.json {
        let list: Vec<Value> = set.own().map(|workflow| listed(workflow)).collect();
        let shipped = set.shipped_ids().filter_map(|id| set.shipped(id));
        let shipped: Vec<Value> = shipped
            .map(|(workflow, missing)| {
                let mut one = listed(&workflow);
                one["missing"] = json!(missing);
                one
            })
            .collect();
        let problems: Vec<Value> = set.problems.iter().map(problem_json).collect();
        out.json(&json!({
            "schema_version": SCHEMA_VERSION, "workflows": list, "shipped": shipped, "problems": problems,
            "schedules": standing.schedules, "categories": standing.categories,
        }))?;
        return Ok(exit::OK);
    }
    let mut rows = vec![head(out, &["ID", "VERSION", "STAGES", "NAME"])];
    rows.extend(set.own().map(|workflow| row(workflow)));
    print_rows(out, &rows)?;
    let shipped: Vec<_> = set.shipped_ids().filter_map(|id| set.shipped(id)).collect();
    if !shipped.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["SHIPPED", "VERSION", "STAGES", "NAME"])];
        rows.extend(shipped.iter().map(|(workflow, _)| row(workflow)));
        print_rows(out, &rows)?;
    }
    standing::print(out, &standing)?;
    for (workflow, missing) in shipped.iter().filter(|(_, missing)| !missing.is_empty()) {
        out.note(&format!("warning: no agent has a role that `{}` needs: {}", workflow.id, missing.join("; ")));
    }
    let broken: Vec<_> = set.problems.iter().filter(|problem| !problem.warning).collect();
    if !broken.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["BROKEN", "PROBLEM"])];
        let place = |problem: &LocatedProblem| match problem.line {
            0 => problem.file.clone(),
            line => format!("{}:{line}", problem.file),
        };
        rows.extend(broken.iter().map(|problem| vec![place(problem), one_line(&problem.message, 100)]));
        print_rows(out, &rows)?;
        let count = counted(broken.len(), "problem");
        out.note(&format!("{count} to mend before these can be used; see `pipeline workflow validate`"));
    }
    Ok(exit::OK)
}

fn listed(workflow: &Workflow) -> Value {
    let stages: Vec<&str> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
    let mut one = json!({
        "id": workflow.id, "name": workflow.name, "version": workflow.version,
        "category": workflow.category, "description": workflow.description, "stages": stages,
    });
    if let Some(chain) = workflow.extra.get("chain") {
        one["chain"] = chain.clone();
    }
    one
}

fn row(workflow: &Workflow) -> Vec<String> {
    let stages: Vec<&str> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
    let version = if workflow.version.is_empty() { "-" } else { &workflow.version };
    vec![
        workflow.id.to_string(),
        one_line(version, 20),
        one_line(&stages.join(" → "), 70),
        one_line(&workflow.name, 60),
    ]
}

/// The workflow of this name.
fn find(context: &Context, id: &str) -> Result<Arc<Workflow>> {
    let set = context.workflows();
    let found = WorkflowId::new(id).ok().and_then(|id| set.find(&id));
    found.ok_or_else(|| {
        if !set.problems_of(id).is_empty() {
            let message = format!("workflow `{}` has mistakes", one_line(id, 80));
            return CommandError::new(exit::CONFIG, "workflow_invalid", message)
                .hint("See `pipeline workflow validate`.");
        }
        let shipped: Vec<&str> = set.shipped_ids().collect();
        let known = set.workflows.iter().map(|workflow| workflow.id.as_str());
        let known: BTreeSet<&str> = known.chain(shipped).collect();
        let known: Vec<&str> = known.into_iter().collect();
        CommandError::not_found(format!("there is no workflow `{}`", one_line(id, 80))).hint(format!(
            "{}There are: {}.",
            set.meant(id),
            known.join(", ")
        ))
    })
}

fn show(call: &Call, context: &Context, id: &str) -> Result<u8> {
    let workflow = find(context, id)?;
    if call.output.json {
        let mut document = form::of(&workflow)?;
        document["schema_version"] = SCHEMA_VERSION.into();
        call.output.json(&document)?;
    } else {
        show::print(&call.output, &workflow)?;
    }
    Ok(exit::OK)
}

fn validate_files(call: &Call, files: &[PathBuf]) -> Result<u8> {
    // A file may be checked before there is a pipeline; then no agent is missed, and no other workflow.
    let context = match call.context() {
        Ok(context) => Some(context),
        Err(error) if error.code == exit::CONFIG => return Err(error),
        Err(_) => None,
    };
    let roles = context.as_ref().map(|context| context.config().roles()).unwrap_or_else(BTreeSet::<Role>::new);
    let paths: Vec<PathBuf> = files.iter().map(|file| from(&call.globals.dir, file)).collect();
    let Checked { valid, workflows, mut problems } =
        check_workflow_files(&paths, &roles, context.as_ref().map(Context::workflows));
    if let Some(context) = &context {
        problems.extend(unfilled(context, &workflows));
    }
    report(call, valid, &problems)
}

/// Words in braces of prompts that nothing fills in, where some file has a stage for them.
fn unfilled(context: &Context, read: &[Arc<Workflow>]) -> Vec<LocatedProblem> {
    let mut params = context.workflows().param_names();
    params.extend(read.iter().flat_map(|workflow| workflow.param_names()));
    let has_stage = |role: &Role| read.iter().flat_map(|workflow| &workflow.stages).any(|stage| stage.role == *role);
    context.definitions().unfilled(has_stage, &params)
}

/// A path as the person means it, who may have said `-C`.
fn from(dir: &Path, file: &Path) -> PathBuf {
    if dir == Path::new(".") { file.to_owned() } else { dir.join(file) }
}

fn report(call: &Call, valid: Vec<WorkflowId>, problems: &[LocatedProblem]) -> Result<u8> {
    let errors = problems.iter().filter(|problem| !problem.warning).count();
    let out = &call.output;
    if out.json {
        let list: Vec<Value> = problems.iter().map(problem_json).collect();
        out.json(&json!({
            "schema_version": SCHEMA_VERSION, "valid": errors == 0, "workflows": valid, "problems": list,
        }))?;
    } else {
        if !problems.is_empty() {
            out.line(&render_all(problems, out.color))?;
            out.line("")?;
        }
        let names: Vec<&str> = valid.iter().map(WorkflowId::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let warnings = problems.len() - errors;
        let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
        out.line(&format!("valid: {names} · {errors}, {warnings}"))?;
    }
    Ok(if errors == 0 { exit::OK } else { exit::CONFIG })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_for_where_the_person_means() {
        assert_eq!(from(Path::new("."), Path::new("a.json")), Path::new("a.json"));
        assert_eq!(from(Path::new("/p"), Path::new("a.json")), Path::new("/p/a.json"));
        assert_eq!(from(Path::new("/p"), Path::new("/b.json")), Path::new("/b.json"));
    }
}
