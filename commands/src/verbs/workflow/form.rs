//! A workflow as its file could say it, so that it can be written down, changed and loaded again. What the author left to
//! the project stays with it.

use jiff::SignedDuration;
use pipeline_lib::workflow::{Choice, Connection, Doing, Exit, Param, ParamKind, Place, Stage, Verify, Workflow};
use serde_json::{Map, Value, json};

use crate::duration;
use crate::error::Result;

/// The whole file.
///
/// # Errors
/// When a part of it cannot be JSON, which no workflow that was read has.
pub(super) fn of(workflow: &Workflow) -> Result<Value> {
    let mut document = workflow.extra.clone();
    let mut put = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
    put("id", json!(workflow.id));
    for (key, text) in [
        ("name", &workflow.name),
        ("version", &workflow.version),
        ("category", &workflow.category),
        ("description", &workflow.description),
    ] {
        put(key, json!(text));
    }
    if !workflow.triggers.is_empty() {
        put("triggers", json!(workflow.triggers));
    }
    if !workflow.params.is_empty() {
        put("params", workflow.params.iter().map(|(name, one)| (name.clone(), param(one))).collect());
    }
    put("startStage", json!(workflow.start));
    // Who merges is written down only where a file said so; else it is found anew by the same rule.
    let said = !workflow.stages.iter().any(|stage| stage.merge_chosen);
    put("stages", workflow.stages.iter().map(|of| stage(of, said)).collect::<Result<Vec<Value>>>()?.into());
    put("connections", workflow.connections.iter().map(connection).collect());
    if let Some(next) = &workflow.on_failure {
        put("on_failure", json!(next));
    }
    if let Some(schedule) = &workflow.schedule {
        put("schedule", json!(schedule));
    }
    if !workflow.success_criteria.is_empty() {
        put("success_criteria", json!(workflow.success_criteria));
    }
    if let Some(steps) = workflow.max_steps {
        put("max_steps", json!(steps));
    }
    if let Some(timeout) = workflow.timeout {
        put("timeout", json!(duration::format(timeout)));
    }
    Ok(Value::Object(document))
}

fn param(param: &Param) -> Value {
    let kind = match param.kind {
        ParamKind::Text => "text",
        ParamKind::Number => "number",
        ParamKind::Integer => "integer",
        ParamKind::Boolean => "boolean",
        ParamKind::List => "list",
        ParamKind::Object => "object",
    };
    let mut form = json!({ "type": kind, "required": param.required });
    if !param.description.is_empty() {
        form["description"] = json!(param.description);
    }
    if let Some(default) = &param.default {
        form["default"] = default.clone();
    }
    if !param.choices.is_empty() {
        form["choices"] = json!(param.choices);
    }
    if !param.aliases.is_empty() {
        form["aliases"] = json!(param.aliases);
    }
    form
}

fn connection(connection: &Connection) -> Value {
    let mut form = json!({ "from": connection.from, "to": connection.to });
    if let Some(condition) = &connection.condition {
        form["condition"] = json!(condition);
    }
    form
}

fn stage(stage: &Stage, says_who_merges: bool) -> Result<Value> {
    let mut form = stage.extra.clone();
    let mut put = |key: &str, value: Value| drop(form.insert(key.to_owned(), value));
    put("id", json!(stage.id));
    put("name", json!(stage.name));
    match &stage.doing {
        Doing::Agent => put("agent", json!(stage.role)),
        Doing::Command(command) => put("run", json!(command)),
        Doing::Workflow { workflow, params } if params.is_empty() => put("workflow", json!(workflow)),
        Doing::Workflow { workflow, params } => put("workflow", json!({ "id": workflow, "params": params })),
        Doing::Parallel(parts) => put("parallel", json!(parts)),
        Doing::Hub(hub) => {
            put("hub", serde_json::to_value(hub)?);
            if !pipeline_lib::ids::is_reserved(&stage.role) {
                put("agent", json!(stage.role));
            }
        }
    }
    put("description", json!(stage.description));
    put("inputs", json!(stage.inputs));
    put("decisions", stage.decisions.iter().map(choice).collect());
    put(
        "verify",
        match &stage.verify {
            Verify::None => json!(false),
            Verify::Project => json!(true),
            Verify::Command(command) => json!(command),
        },
    );
    put("approval", json!(stage.approval));
    if says_who_merges {
        put("merge", json!(stage.merge));
    }
    for (key, command) in [("probe", &stage.probe), ("on_cancel", &stage.on_cancel)] {
        if let Some(command) = command {
            put(key, json!(command));
        }
    }
    if stage.place == Place::Repository {
        put("place", json!("repository"));
    }
    if stage.services {
        put("services", json!(true));
    }
    for (key, value) in [
        ("matrix", json!(stage.matrix)),
        ("env", json!(stage.env)),
        ("secrets", json!(stage.secrets)),
        ("artifacts", json!(stage.artifacts)),
        ("thresholds", serde_json::to_value(&stage.thresholds)?),
    ] {
        let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            put(key, value);
        }
    }
    let spans: [(&str, Option<SignedDuration>); 2] = [("timeout", stage.timeout), ("backoff", stage.backoff)];
    for (key, span) in spans {
        if let Some(span) = span {
            put(key, json!(duration::format(span)));
        }
    }
    for (key, number) in [("retries", stage.retries), ("max_visits", stage.max_visits)] {
        if let Some(number) = number {
            put(key, json!(number));
        }
    }
    Ok(Value::Object(form))
}

fn choice(choice: &Choice) -> Value {
    let mut form = json!({ "choice": choice.choice, "description": choice.description });
    let exits: Vec<Value> = choice
        .exit
        .iter()
        .map(|exit| match exit {
            Exit::Code(code) => json!(code),
            Exit::Other => json!("other"),
        })
        .collect();
    match exits.as_slice() {
        [] => {}
        [only] => form["exit"] = only.clone(),
        several => form["exit"] = json!(several),
    }
    form
}

#[cfg(test)]
mod tests {
    use pipeline_lib::workflow::parse::parse;

    use super::super::scaffold::{self, Template};
    use super::*;

    /// Read back, it is the same workflow.
    fn reads_back(workflow: &Workflow) {
        let form = of(workflow).unwrap();
        let (again, _) = parse(&form, None).unwrap_or_else(|problems| panic!("{form:#} has {problems:#?}"));
        let mut expected = workflow.clone();
        expected.extra.clone_from(&again.extra);
        assert_eq!(again, expected);
        assert_eq!(again.extra.get("author"), workflow.extra.get("author"));
    }

    #[test]
    fn what_is_written_down_reads_back() {
        let tdd = pipeline_lib::workflow::tdd();
        let again = parse(&of(&tdd).unwrap(), None).unwrap().0;
        assert_eq!((&again.stages, &again.connections, &again.start), (&tdd.stages, &tdd.connections, &tdd.start));
        for template in Template::ALL {
            let document = scaffold::document("mine", template, &std::collections::BTreeSet::new());
            reads_back(&parse(&document, None).unwrap().0);
        }
        let everything = json!({
            "id": "w", "author": "x", "schedule": "hourly", "on_failure": "mend", "max_steps": 9, "timeout": "1h",
            "triggers": ["push"], "params": { "n": { "type": "number", "choices": [1, 2], "description": "d", "aliases": ["m"] } },
            "stages": [
                { "id": "a", "run": "x", "probe": "y", "on_cancel": "z", "env": { "A": "b" }, "secrets": ["T"],
                  "artifacts": ["d/**"], "thresholds": { "coverage": 80 }, "place": "repository", "type": "t",
                  "decisions": [{ "choice": "success", "exit": [0, 3] }, { "choice": "no", "exit": "other" }] },
                { "id": "b", "workflow": { "id": "o", "params": { "k": 1 } }, "matrix": { "e": ["x", 1] } },
                { "id": "c", "hub": { "requirements": [{ "name": "r", "stage": "d", "probe": "p" }], "recovery": "e" },
                  "agent": "brain", "timeout": "5m", "retries": 0, "backoff": "1s", "max_visits": 7 },
                { "id": "d", "agent": "x", "verify": "true" }, { "id": "e", "parallel": ["f"] }, { "id": "f", "run": "g" },
            ],
            "connections": [{ "from": "a", "to": "b" }, { "from": "b", "to": "c" }, { "from": "c", "to": null }],
        });
        let (workflow, _) = parse(&everything, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
        reads_back(&workflow);
    }
}
