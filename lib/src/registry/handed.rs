//! What the rules, schedules and chains of a registry give to workflows, against what those take. Where a value comes with
//! an event nothing is known of it before; which workflows there are is the caller's to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::ids::WorkflowId;
use crate::text::listed;
use crate::workflow::parse::{About, Problem};
use crate::workflow::{Workflow, together};

/// A place of the file that says what a workflow is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Handed {
    /// Where, as a JSON pointer.
    pub at: String,
    /// The workflow.
    pub workflow: WorkflowId,
    /// What it is given there.
    pub params: BTreeMap<String, Value>,
    /// By what.
    pub by: By,
}

/// What gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A rule: what the event brings is given as well. These are the names that its condition asks for.
    Rule(Vec<String>),
    /// A schedule: there is nothing else.
    Schedule,
    /// A link of a chain: what is not here the chain asks for itself.
    Link,
}

/// Everything that a workflow does not take, or would miss.
pub fn check(handed: &[Handed], find: impl Fn(&WorkflowId) -> Option<Arc<Workflow>>) -> Vec<Problem> {
    let mut found = Vec::new();
    for handed in handed {
        let Some(workflow) = find(&handed.workflow) else { continue };
        // A schedule is followed word for word; the others are templates over what else there is.
        let rendered = handed.by != By::Schedule;
        let misfits = together::misfits(&workflow, &handed.params, &format!("{}/params", handed.at), rendered);
        // What never starts anything keeps nobody from anything else.
        let by_itself = handed.by != By::Link;
        found.extend(misfits.into_iter().map(|misfit| Problem { warning: misfit.warning || by_itself, ..misfit }));
        found.extend(without(handed, &workflow));
    }
    found
}

/// What is missing. By hand or with other events the workflow may run all the same.
fn without(handed: &Handed, workflow: &Workflow) -> Option<Problem> {
    let missing = together::missing(workflow, &handed.params);
    let missing: Vec<&str> = match &handed.by {
        By::Link => return None,
        By::Schedule => missing.map(|(name, _)| name.as_str()).collect(),
        By::Rule(asked) => missing
            .filter(|(name, param)| {
                let brought = |name: &String| name == "event_type" || asked.contains(name);
                !brought(name) && !param.aliases.iter().any(brought)
            })
            .map(|(name, _)| name.as_str())
            .collect(),
    };
    let first = missing.first()?;
    let (id, names) = (&workflow.id, listed(missing.iter().copied()));
    let needs = if missing.len() == 1 { "parameter" } else { "parameters" };
    let (message, suggestion) = if handed.by == By::Schedule {
        (
            format!("workflow `{id}` needs {needs} {names}, so each of these times would be left out"),
            format!("Add \"params\": {{ \"{first}\": … }}, or give it a default in the workflow."),
        )
    } else {
        (
            format!("workflow `{id}` needs {needs} {names}, and an event that does not bring it starts nothing"),
            format!(
                "Write \"params\": {{ \"{first}\": \"{{{{ params.{first} }}}}\" }} if the event brings it, else a value."
            ),
        )
    };
    Some(Problem {
        pointer: handed.at.clone(),
        about: About::Value,
        message,
        suggestion: Some(suggestion),
        warning: true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::parse::parse;

    fn found(registry: &Value) -> Vec<String> {
        let workflow = |id: &str, params: Value| {
            let file = json!({ "id": id, "params": params, "stages": [{ "id": "s", "run": "true" }] });
            Arc::new(crate::workflow::parse::parse(&file, None).unwrap().0)
        };
        let all = [workflow("none", json!({})), workflow("needs", json!({ "must": { "required": true }, "n": 1 }))];
        let (registry, _) = parse(registry).unwrap();
        let find = |id: &WorkflowId| all.iter().find(|workflow| workflow.id == *id).cloned();
        let problems = check(&registry.handed, find);
        problems.into_iter().map(|p| format!("{} {} {}", p.warning, p.pointer, p.message)).collect()
    }

    #[test]
    fn what_is_given_and_not_taken_is_told_of() {
        let found = found(&json!({
            "rules": [{ "event_type": "a", "workflow": "none", "params": { "x": 1 } }],
            "schedules": [{ "workflow": "needs", "schedule": "every 5 minutes", "params": { "must": 1, "n": "x" } }],
            "chains": { "c": ["none", { "workflow": "needs", "params": { "nn": "{{ params.q }}" } }] },
        }));
        assert_eq!(
            found,
            [
                "true /rules/0/params/x workflow `none` has no parameter `x`",
                "true /schedules/0/params/n parameter `n` is `x`, not a whole number",
                "false /chains/c/1/params/nn workflow `needs` has no parameter `nn`",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_said_where_nothing_may_give_it() {
        let found = found(&json!({
            "rules": [
                { "event_type": "a", "workflow": "needs" },
                { "event_type": "b", "workflow": "needs", "params": { "must": "{{ params.must }}" } },
                { "condition": "event_type == 'c' && params.must != ''", "workflow": "needs" },
            ],
            "schedules": [{ "workflow": "needs", "schedule": "every 5 minutes" }],
            "triggers": { "d": "needs" },
            "chains": { "c": ["needs"] },
        }));
        assert_eq!(
            found,
            [
                "true /rules/0 workflow `needs` needs parameter `must`, and an event that does not bring it starts nothing",
                "true /schedules/0 workflow `needs` needs parameter `must`, so each of these times would be left out",
            ]
        );
    }
}
