//! `pipeline task import`: the tasks of a JSON file, all or none.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use pipeline_lib::event::{NewTask, Request};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::{Group, TaskId, WorkflowId};
use pipeline_lib::task::{PRIORITY_DEFAULT, Stops};
use pipeline_lib::text::counted;
use serde::Deserialize;

use super::on_workflow;
use crate::config;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Add the tasks of a file.
#[derive(Debug, Args)]
pub struct Import {
    /// A JSON file: an array of tasks, or an object with an array `tasks`; `-` reads stdin
    pub file: PathBuf,
}

/// A task in a file. Fields that are not known are ignored, so that richer files load too.
#[derive(Debug, Deserialize)]
struct Listed {
    title: String,
    #[serde(default)]
    id: Option<TaskId>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    depends_on: Vec<TaskId>,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    workflow: Option<WorkflowId>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    group: Option<Group>,
    #[serde(default)]
    params: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Wrapped {
    tasks: Vec<Listed>,
}

pub(super) fn run(call: &Call, args: &Import) -> Result<u8> {
    let name = args.file.display().to_string();
    let text = read(args)?;
    let listed = parse(&text).map_err(|error| {
        let place = format!("{name}:{}:{}", error.inner().line(), error.inner().column());
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!(" at `{path}`") };
        CommandError::failed(format!("cannot import {place}{at}: {}", error.inner()))
            .hint("Nothing was added. A task is an object with `title` and optionally id, body, depends_on, priority, workflow, paths, group.")
    })?;
    let count = listed.len();
    let context = call.context()?;
    for (index, task) in listed.iter().enumerate() {
        on_workflow::check(context.workflows(), task.workflow.as_ref())
            .map_err(|error| at_task(error, &name, &text, index))?;
    }
    let tasks = listed.into_iter().map(new_task).collect();
    let mut engine = Engine::open(&context)?;
    let facts = engine.ask(&context, "task import", Request::AddTasks(tasks))?;
    let ids: Vec<&TaskId> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::TaskAdded { task } => Some(&task.id),
            _ => None,
        })
        .collect();
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "imported": count, "ids": ids }))?;
    } else {
        for id in ids {
            call.output.line(id.as_str())?;
        }
        call.output.note(&format!("imported {}", counted(count, "task")));
    }
    Ok(exit::OK)
}

/// Says which task of the file asked for a workflow that cannot be used.
fn at_task(error: CommandError, name: &str, text: &[u8], index: usize) -> CommandError {
    let list = if is_array(text) { "" } else { "/tasks" };
    let (line, column) = config::position(&String::from_utf8_lossy(text), &format!("{list}/{index}/workflow"));
    if error.code == exit::CONFIG {
        let hint = format!("{name}:{line}:{column} asks for it. {}", error.hint.as_deref().unwrap_or_default());
        return error.hint(hint);
    }
    CommandError { message: format!("cannot import {name}:{line}:{column}: {}", error.message), ..error }
}

fn read(args: &Import) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let source: Box<dyn std::io::Read> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let open = std::fs::File::open(&args.file);
        Box::new(
            open.map_err(|error| CommandError::not_found(format!("cannot read {}: {error}", args.file.display())))?,
        )
    };
    source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CommandError::failed(format!("{} is larger than 64 MiB", args.file.display())));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Vec<Listed>, serde_path_to_error::Error<serde_json::Error>> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    if is_array(bytes) {
        serde_path_to_error::deserialize(&mut json)
    } else {
        serde_path_to_error::deserialize::<_, Wrapped>(&mut json).map(|wrapped| wrapped.tasks)
    }
}

fn is_array(bytes: &[u8]) -> bool {
    bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[')
}

fn new_task(listed: Listed) -> NewTask {
    NewTask {
        asked_by: None,
        id: listed.id,
        title: listed.title,
        body: listed.body.unwrap_or_default(),
        priority: listed.priority.unwrap_or(PRIORITY_DEFAULT),
        depends_on: listed.depends_on,
        workflow: listed.workflow,
        paths: listed.paths,
        group: listed.group,
        params: listed.params,
        stops: Stops::default(),
        replay: None,
        pinned: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read_and_errors_have_a_place() {
        assert_eq!(
            parse(b"[{\"title\": \"a\"}, {\"title\": \"b\", \"depends_on\": [\"A\"], \"extra\": 1}]").unwrap().len(),
            2
        );
        assert_eq!(parse(b" {\"tasks\": [{\"title\": \"a\"}], \"meta\": {}}").unwrap().len(), 1);
        let error = parse(b"[{\"title\": \"a\"},\n {\"id\": \"x/y\", \"title\": \"b\"}]").unwrap_err();
        assert_eq!((error.path().to_string().as_str(), error.inner().line()), ("[1].id", 2));
    }
}
