//! `pipeline workflow`: the maps that tasks travel, and what is wrong with the files they are read from. Running them is
//! the engine's business.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline_lib::ids::{Role, WorkflowId};
use pipeline_lib::text::{one_line, safe};
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_lib::workflow::{Stage, Verify, Workflow};
use serde_json::{Value, json};

use super::config::problem_json;
use super::status::{head, print_rows};
use crate::config::{LocatedProblem, load_workflow, render_all};
use crate::context::Context;
use crate::dispatch::Call;
use crate::duration;
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::table::columns;

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
}

/// Shows or checks workflows.
///
/// # Errors
/// When there is no such workflow, or the configuration is invalid.
pub fn run(call: &Call, args: &WorkflowArgs) -> Result<u8> {
    match &args.action {
        Action::List => list(call, &call.context()?),
        Action::Show { id } => show(call, &call.context()?, id),
        Action::Validate { files } if files.is_empty() => {
            let context = call.context()?;
            let set = context.workflows();
            report(call, set.workflows.iter().map(|workflow| workflow.id.clone()).collect(), &set.problems)
        }
        Action::Validate { files } => validate_files(call, files),
    }
}

fn list(call: &Call, context: &Context) -> Result<u8> {
    let set = context.workflows();
    let out = &call.output;
    if out.json {
        let list: Vec<Value> = set
            .workflows
            .iter()
            .map(|workflow| {
                let stages: Vec<&str> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
                json!({
                    "id": workflow.id, "name": workflow.name, "version": workflow.version,
                    "category": workflow.category, "description": workflow.description, "stages": stages,
                })
            })
            .collect();
        let problems: Vec<Value> = set.problems.iter().map(problem_json).collect();
        out.json(&json!({ "schema_version": SCHEMA_VERSION, "workflows": list, "problems": problems }))?;
        return Ok(exit::OK);
    }
    let mut rows = vec![head(out, &["ID", "VERSION", "STAGES", "NAME"])];
    for workflow in &set.workflows {
        let stages: Vec<&str> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
        let version = if workflow.version.is_empty() { "-" } else { &workflow.version };
        rows.push(vec![
            workflow.id.to_string(),
            one_line(version, 20),
            one_line(&stages.join(" → "), 70),
            one_line(&workflow.name, 60),
        ]);
    }
    print_rows(out, &rows)?;
    if set.has_errors() {
        let count = set.problems.iter().filter(|problem| !problem.warning).count();
        out.note(&format!("{count} problems keep files from being used; see `pipeline workflow validate`"));
    }
    Ok(exit::OK)
}

fn show(call: &Call, context: &Context, id: &str) -> Result<u8> {
    let set = context.workflows();
    let found = WorkflowId::new(id).ok().and_then(|id| set.get(&id).cloned());
    let workflow = found.ok_or_else(|| {
        let known: Vec<&str> = set.workflows.iter().map(|workflow| workflow.id.as_str()).collect();
        CommandError::not_found(format!("there is no workflow `{}`", one_line(id, 80)))
            .hint(format!("There are: {}.", known.join(", ")))
    })?;
    if call.output.json {
        let mut document = file_form(&workflow);
        document["schema_version"] = SCHEMA_VERSION.into();
        call.output.json(&document)?;
    } else {
        print(&call.output, &workflow)?;
    }
    Ok(exit::OK)
}

/// A workflow as its file could say it, so that it can be written down, changed and loaded again.
fn file_form(workflow: &Workflow) -> Value {
    let mut document = Value::Object(workflow.extra.clone());
    // The connections below are those of the flow, in the place that needs no flow.
    document.as_object_mut().map(|fields| fields.remove("flow"));
    document["id"] = json!(workflow.id);
    document["name"] = json!(workflow.name);
    document["version"] = json!(workflow.version);
    document["category"] = json!(workflow.category);
    document["description"] = json!(workflow.description);
    document["startStage"] = json!(workflow.start);
    document["stages"] = workflow.stages.iter().map(stage_form).collect();
    document["connections"] = workflow
        .connections
        .iter()
        .map(|connection| {
            let mut one = json!({ "from": connection.from, "to": connection.to });
            if let Some(condition) = &connection.condition {
                one["condition"] = json!(condition);
            }
            one
        })
        .collect();
    document
}

fn stage_form(stage: &Stage) -> Value {
    let mut form = json!({
        "id": stage.id,
        "name": stage.name,
        "agent": stage.role,
        "description": stage.description,
        "inputs": stage.inputs,
        "decisions": stage.decisions,
        "verify": match &stage.verify {
            Verify::None => json!(false),
            Verify::Project => json!(true),
            Verify::Command(command) => json!(command),
        },
        "approval": stage.approval,
        "merge": stage.merge,
    });
    // What is the project's is left to it.
    for (key, span) in [("timeout", stage.timeout), ("backoff", stage.backoff)] {
        if let Some(span) = span {
            form[key] = json!(duration::format(span));
        }
    }
    for (key, number) in [("retries", stage.retries), ("max_visits", stage.max_visits)] {
        if let Some(number) = number {
            form[key] = json!(number);
        }
    }
    form
}

fn print(out: &Output, workflow: &Workflow) -> Result<()> {
    let title = [workflow.name.as_str(), workflow.version.as_str()].join(" ");
    out.line(&format!("{}  {}", out.paint("1", workflow.id.as_str()), one_line(&title, 120)))?;
    for line in safe(&workflow.description, 2_000).lines() {
        out.line(&format!("  {line}"))?;
    }
    for stage in &workflow.stages {
        out.line("")?;
        let start = if stage.id == workflow.start { "  (starts here)" } else { "" };
        let name = one_line(&stage.name, 80);
        out.line(&format!("{}  {name}{start}", out.paint("1", stage.id.as_str())))?;
        let mut rows = facts_of(stage);
        for connection in workflow.connections.iter().filter(|connection| connection.from == stage.id) {
            let condition = connection.condition.as_deref().unwrap_or("(any other)");
            let to = connection.to.as_ref().map_or("end", |to| to.as_str());
            rows.push(vec!["  on".to_owned(), format!("{} → {to}", one_line(condition, 60))]);
        }
        for line in columns(&rows) {
            out.line(&line)?;
        }
    }
    for (key, value) in workflow.extra.iter().filter(|(key, _)| !["flow", "connections"].contains(&key.as_str())) {
        out.line(&one_line(&format!("{key}: {value}"), 200))?;
    }
    Ok(())
}

fn facts_of(stage: &Stage) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["  role".to_owned(), stage.role.to_string()]];
    let mut row = |key: &str, value: String| rows.push(vec![format!("  {key}"), value]);
    match &stage.verify {
        Verify::None => {}
        Verify::Project => row("gate", "the project's verify command".to_owned()),
        Verify::Command(command) => row("gate", one_line(command, 120)),
    }
    if stage.merge {
        row("merge", "its branch is merged when this stage succeeds".to_owned());
    }
    if stage.approval {
        row("asks", "a person has to agree".to_owned());
    }
    if !stage.inputs.is_empty() {
        row("reads", one_line(&stage.inputs.join(", "), 120));
    }
    for (key, span) in [("timeout", stage.timeout), ("backoff", stage.backoff)] {
        if let Some(span) = span {
            row(key, duration::format(span));
        }
    }
    for (key, number) in [("retries", stage.retries), ("visits", stage.max_visits)] {
        if let Some(number) = number {
            row(key, number.to_string());
        }
    }
    rows
}

fn validate_files(call: &Call, files: &[PathBuf]) -> Result<u8> {
    // A file may be checked before there is a pipeline; then no agent is missed.
    let roles = match call.context() {
        Ok(context) => context.config().roles(),
        Err(error) if error.code == exit::CONFIG => return Err(error),
        Err(_) => BTreeSet::<Role>::new(),
    };
    let mut ids = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let (workflow, found) = load_workflow(&from(&call.globals.dir, file), &roles);
        ids.extend(workflow.map(|workflow| workflow.id));
        problems.extend(found);
    }
    report(call, ids, &problems)
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
        out.line(&format!("valid: {names} · {errors} errors, {warnings} warnings"))?;
    }
    Ok(if errors == 0 { exit::OK } else { exit::CONFIG })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_workflow_is_readable() {
        let (out, text) = Output::captured();
        print(&out, &pipeline_lib::workflow::tdd()).unwrap();
        let text = text.lock().unwrap();
        for part in
            ["arch  Design  (starts here)", "success → test", "rework → impl", "success → end", "role   supervisor"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_file_is_looked_for_where_the_person_means() {
        assert_eq!(from(Path::new("."), Path::new("a.json")), Path::new("a.json"));
        assert_eq!(from(Path::new("/p"), Path::new("a.json")), Path::new("/p/a.json"));
        assert_eq!(from(Path::new("/p"), Path::new("/b.json")), Path::new("/b.json"));
    }
}
