//! What `--dry-run` prints: the stages of a workflow with their commands as they would be run. Nothing is started, so what
//! depends on an earlier stage's output is shown as it is written.

use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::text::{one_line, safe};
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_lib::workflow::{Doing, Stage, Verify, Workflow, render};
use serde_json::{Value, json};

use super::shown_params;
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};
use crate::table::columns;

/// The longest command that is shown, in characters.
const COMMAND_CHARS_MAX: usize = 4_000;

/// Prints the plan of a task that was added to a copy.
///
/// # Errors
/// When the reader has gone.
pub(super) fn print(call: &Call, pipeline: &Pipeline, id: &TaskId) -> Result<u8> {
    let gone = || CommandError::failed("the task has no workflow");
    let task = pipeline.task(id.as_str()).ok_or_else(gone)?;
    let workflow = pipeline.workflow_of(task).ok_or_else(gone)?;
    let plan: Vec<Value> = workflow
        .stages
        .iter()
        .map(|stage| {
            let vars = pipeline.variables(task, stage);
            let stops = task.stops.as_ref().and_then(|stops| stops.before).map(|n| n as usize);
            let mut one = of_stage(workflow, stage, &vars);
            one["pause_before"] = json!(stops == Some(workflow.depth(&stage.id) + 1));
            one["approval"] = json!(stage.approval || task.stops.as_ref().is_some_and(|stops| stops.every));
            one
        })
        .collect();
    let allowed = pipeline.may_touch(id);
    let out = &call.output;
    if out.json {
        out.json(&json!({
            "schema_version": SCHEMA_VERSION, "dry_run": true, "workflow": workflow.id, "title": task.title,
            "params": task.params, "start": workflow.start, "stages": plan, "allowed": allowed,
        }))?;
        return Ok(exit::OK);
    }
    let name = [workflow.name.as_str(), workflow.version.as_str()].join(" ");
    out.line(&format!("{}  {}", out.paint("1", workflow.id.as_str()), one_line(name.trim(), 120)))?;
    for (name, value) in shown_params(&task.params) {
        out.line(&format!("  {name} = {value}"))?;
    }
    for (number, stage) in plan.iter().enumerate() {
        out.line("")?;
        for line in lines(number + 1, stage) {
            out.line(&line)?;
        }
    }
    out.line("")?;
    let mode = pipeline.core.mode.rollout.word();
    out.line(&match allowed {
        true => "nothing was started".to_owned(),
        false => format!("nothing was started, and in {mode} mode nothing would be"),
    })?;
    Ok(exit::OK)
}

fn of_stage(workflow: &Workflow, stage: &Stage, vars: &Value) -> Value {
    let command = |template: &str| render::shell(template, vars).unwrap_or_else(|_| template.to_owned());
    let (does, what) = match &stage.doing {
        Doing::Agent => ("agent", stage.role.to_string()),
        Doing::Command(template) => ("command", command(template)),
        Doing::Workflow { workflow, .. } => ("workflow", workflow.to_string()),
        Doing::Parallel(stages) => ("parallel", stages.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")),
        Doing::Hub(hub) => {
            let names: Vec<&str> = hub.requirements.iter().map(|requirement| requirement.name.as_str()).collect();
            ("hub", names.join(", "))
        }
    };
    let ways = workflow.connections.iter().filter(|connection| connection.from == stage.id);
    let next: Vec<Value> =
        ways.map(|connection| json!({ "decision": connection.condition, "to": connection.to })).collect();
    let verify = match &stage.verify {
        Verify::None => Value::Null,
        Verify::Project => json!("the project's gate"),
        Verify::Command(command) => json!(command),
    };
    json!({
        "id": stage.id, "name": stage.name, "does": does, "what": what,
        "each": each(stage, vars), "probe": stage.probe.as_deref().map(command), "matrix": stage.matrix, "verify": verify,
        "secrets": stage.secrets, "next": next,
    })
}

/// The commands of a matrix, one for each combination of its values.
fn each(stage: &Stage, vars: &Value) -> Vec<Value> {
    let Doing::Command(template) = &stage.doing else { return Vec::new() };
    if stage.matrix.is_empty() {
        return Vec::new();
    }
    let of = |values: std::collections::BTreeMap<&String, &Value>| {
        let mut vars = vars.clone();
        for (name, value) in &values {
            for place in [None, Some("params"), Some("matrix")] {
                let object = match place {
                    None => Some(&mut vars),
                    Some(key) => vars.get_mut(key),
                };
                if let Some(object) = object.and_then(Value::as_object_mut) {
                    object.insert((*name).clone(), (*value).clone());
                }
            }
        }
        json!({ "values": values, "command": render::shell(template, &vars).unwrap_or_else(|_| template.clone()) })
    };
    stage.combinations().into_iter().map(of).collect()
}

fn lines(number: usize, stage: &Value) -> Vec<String> {
    let text = |key: &str| stage[key].as_str().unwrap_or_default().to_owned();
    let mut rows = Vec::new();
    // A command keeps its lines: joined they would be another one.
    let mut row = |key: &str, value: String| {
        for (number, line) in safe(value.trim_end(), COMMAND_CHARS_MAX).lines().enumerate() {
            let key = if number == 0 { key } else { "" };
            rows.push(vec![format!("     {key}"), line.to_owned()]);
        }
    };
    match stage["each"].as_array().filter(|each| !each.is_empty()) {
        Some(each) => {
            each.iter().for_each(|one| row(&text("does"), one["command"].as_str().unwrap_or_default().to_owned()))
        }
        None => row(&text("does"), text("what")),
    }
    row("probe", text("probe"));
    if let Some(matrix) = stage["matrix"].as_object().filter(|matrix| !matrix.is_empty()) {
        row("matrix", one_line(&Value::Object(matrix.clone()).to_string(), 200));
    }
    row("gate", text("verify"));
    if stage["pause_before"] == true {
        row("asks", "a person, before it begins".to_owned());
    }
    if stage["approval"] == true {
        row("asks", "a person, before it goes on".to_owned());
    }
    for way in stage["next"].as_array().into_iter().flatten() {
        let decision = way["decision"].as_str().unwrap_or("(any other)");
        row("on", format!("{} → {}", one_line(decision, 60), way["to"].as_str().unwrap_or("end")));
    }
    let head = format!("{number:3}  {}  {}", text("id"), one_line(&text("name"), 80));
    std::iter::once(head.trim_end().to_owned()).chain(columns(&rows)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_several_lines_keeps_them() {
        let stage = json!({ "id": "a", "name": "", "does": "command", "what": "cat <<X\n  hd a\nX\n", "next": [] });
        assert_eq!(lines(1, &stage), ["  1  a", "     command  cat <<X", "                hd a", "              X"]);
    }
}
