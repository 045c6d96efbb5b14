//! Whether workflows fit together: stages that are other workflows, and what is started after a failure. Each workflow by
//! itself has been read before; where their files are is the caller's to know.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::parse::{About, Problem, loops};
use super::{Doing, Stage, Workflow, params, render};
use crate::ids::WorkflowId;
use crate::text::nearest;

/// What a workflow that is started after a failure is given besides the parameters of the task that failed.
const AFTER_FAILURE: [&str; 4] = ["failed_task", "failed_stage", "failed_workflow", "reason"];

/// Everything that is wrong between these workflows, and with which of them. `broken` says whether there is a workflow of
/// this name that cannot be used.
#[must_use]
pub fn check(all: &[Arc<Workflow>], broken: impl Fn(&str) -> bool) -> Vec<(WorkflowId, Problem)> {
    let known: HashMap<&WorkflowId, usize> = all.iter().enumerate().map(|(at, workflow)| (&workflow.id, at)).collect();
    let mut found = Vec::new();
    for workflow in all {
        let mut report = |problem: Problem| found.push((workflow.id.clone(), problem));
        let absent = |id: &WorkflowId, pointer: String| {
            let (message, suggestion) = if broken(id.as_str()) {
                (format!("workflow `{id}` cannot be used"), Some("Mend it first.".to_owned()))
            } else {
                let near = nearest(id.as_str(), all.iter().map(|other| other.id.as_str()));
                (format!("there is no workflow `{id}`"), near.map(|name| format!("Did you mean `{name}`?")))
            };
            Problem { pointer, about: About::Value, message, suggestion, warning: false }
        };
        for (place, stage) in workflow.stages.iter().enumerate() {
            let Doing::Workflow { workflow: id, params: given } = &stage.doing else { continue };
            match known.get(id).map(|at| &all[*at]) {
                None => report(absent(id, format!("/stages/{place}/workflow/id"))),
                Some(sub) => check_given(stage, place, given, sub, &mut report),
            }
        }
        let Some(id) = &workflow.on_failure else { continue };
        match known.get(id).map(|at| &all[*at]) {
            None => report(absent(id, "/on_failure".to_owned())),
            Some(next) => check_after_failure(workflow, next, &mut report),
        }
    }
    found.extend(rings(all, &known));
    found
}

/// What a sub-workflow is given, against what it asks for.
fn check_given(
    stage: &Stage,
    place: usize,
    given: &std::collections::BTreeMap<String, Value>,
    sub: &Workflow,
    report: &mut impl FnMut(Problem),
) {
    let at = format!("/stages/{place}/workflow");
    for (name, param) in sub.params.iter().filter(|(_, param)| param.required && param.default.is_none()) {
        let is_given = given.keys().any(|given| params::declared(&sub.params, given) == Some(name));
        if !is_given && !stage.matrix.contains_key(name) {
            report(Problem {
                pointer: at.clone(),
                about: About::Value,
                message: format!("workflow `{}` needs parameter `{name}`", sub.id),
                suggestion: Some(format!(
                    "Write \"workflow\": {{ \"id\": \"{}\", \"params\": {{ \"{name}\": {} }} }}.",
                    sub.id,
                    param.choices.first().map_or_else(|| "…".to_owned(), ToString::to_string)
                )),
                warning: false,
            });
        }
    }
    for (name, value) in given {
        let pointer = format!("{at}/params/{}", name.replace('~', "~0").replace('/', "~1"));
        let problem = match params::declared(&sub.params, name).and_then(|own| sub.params.get(own)) {
            None => {
                let near = nearest(name, sub.params.keys().map(String::as_str));
                let suggestion = near.map(|name| format!("Did you mean `{name}`?"));
                Some((format!("workflow `{}` has no parameter `{name}`", sub.id), suggestion))
            }
            // What a template gives is known when it is rendered.
            Some(_) if value.as_str().is_some_and(render::is_template) => None,
            Some(param) => {
                params::accept(param, value).err().map(|problem| (format!("parameter `{name}` {problem}"), None))
            }
        };
        if let Some((message, suggestion)) = problem {
            report(Problem { pointer, about: About::Value, message, suggestion, warning: false });
        }
    }
}

fn check_after_failure(workflow: &Workflow, next: &Workflow, report: &mut impl FnMut(Problem)) {
    let needed = next.params.iter().filter(|(_, param)| param.required && param.default.is_none());
    for (name, _) in needed {
        if !workflow.params.contains_key(name) && !AFTER_FAILURE.contains(&name.as_str()) {
            report(Problem {
                pointer: "/on_failure".to_owned(),
                about: About::Value,
                message: format!("workflow `{}` needs parameter `{name}`, which it is not given here", next.id),
                suggestion: Some(format!("Give it a default there, or add `{name}` to the params here.")),
                warning: true,
            });
        }
    }
}

/// Workflows that contain themselves.
fn rings(all: &[Arc<Workflow>], known: &HashMap<&WorkflowId, usize>) -> Vec<(WorkflowId, Problem)> {
    let contained = |stage: &Stage| match &stage.doing {
        Doing::Workflow { workflow, .. } => known.get(workflow).copied(),
        Doing::Agent | Doing::Command(_) | Doing::Parallel(_) | Doing::Hub(_) => None,
    };
    let edges: Vec<Vec<usize>> =
        all.iter().map(|workflow| workflow.stages.iter().filter_map(contained).collect()).collect();
    let mut found = Vec::new();
    for ring in loops::loops(&edges) {
        let names: Vec<&str> = ring.iter().map(|at| all[*at].id.as_str()).collect();
        for at in &ring {
            let inside = |stage: &Stage| contained(stage).is_some_and(|to| ring.contains(&to));
            let place = all[*at].stages.iter().position(inside).unwrap_or_default();
            let message = match names.as_slice() {
                [only] => format!("workflow `{only}` contains itself"),
                _ => format!("these workflows contain one another: {}", names.join(", ")),
            };
            let problem = Problem {
                pointer: format!("/stages/{place}/workflow/id"),
                about: About::Value,
                message,
                suggestion: Some("Take the stage out of one of them.".to_owned()),
                warning: false,
            };
            found.push((all[*at].id.clone(), problem));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workflow(id: &str, params: Value, stages: Value) -> Arc<Workflow> {
        let document = json!({ "id": id, "params": params, "stages": stages });
        Arc::new(super::super::parse::parse(&document, None).unwrap().0)
    }

    fn found(all: &[Arc<Workflow>]) -> Vec<String> {
        let found = check(all, |name| name == "broken");
        found.into_iter().map(|(id, problem)| format!("{id} {} {}", problem.pointer, problem.message)).collect()
    }

    #[test]
    fn workflows_that_fit_together_are_left_alone() {
        let params = json!({ "to": { "required": true, "choices": ["a", "b"] }, "n": 1 });
        let deploy = workflow("deploy", params, json!([{ "id": "s", "run": "true" }]));
        let given = json!({ "id": "deploy", "params": { "to": "{{ params.x }}", "n": "2" } });
        let release = json!([
            { "id": "one", "workflow": given },
            { "id": "all", "workflow": "deploy", "matrix": { "to": ["a", "b"] } },
        ]);
        assert_eq!(found(&[deploy, workflow("release", json!({ "x": "a" }), release)]), [""; 0]);
    }

    #[test]
    fn every_misfit_is_named() {
        let deploy = workflow(
            "deploy",
            json!({ "to": { "required": true, "choices": ["a", "b"] } }),
            json!([{ "id": "s", "run": "true" }]),
        );
        let stages = json!([
            { "id": "absent", "workflow": "deply" },
            { "id": "broken", "workflow": "broken" },
            { "id": "missing", "workflow": "deploy" },
            { "id": "wrong", "workflow": { "id": "deploy", "params": { "to": "c", "too": 1 } } },
        ]);
        let mut release = Arc::unwrap_or_clone(workflow("release", json!({}), stages));
        release.on_failure = Some(deploy.id.clone());
        let found = found(&[deploy, Arc::new(release)]);
        assert_eq!(
            found,
            [
                "release /stages/0/workflow/id there is no workflow `deply`",
                "release /stages/1/workflow/id workflow `broken` cannot be used",
                "release /stages/2/workflow workflow `deploy` needs parameter `to`",
                "release /stages/3/workflow/params/to parameter `to` is `c`; it can be `a`, `b`",
                "release /stages/3/workflow/params/too workflow `deploy` has no parameter `too`",
                "release /on_failure workflow `deploy` needs parameter `to`, which it is not given here",
            ]
        );
    }

    #[test]
    fn a_workflow_that_contains_itself_is_found() {
        let a = workflow("a", json!({}), json!([{ "id": "x", "run": "true" }, { "id": "s", "workflow": "b" }]));
        let b = workflow("b", json!({}), json!([{ "id": "s", "workflow": "a" }]));
        let c = workflow("c", json!({}), json!([{ "id": "s", "workflow": "a" }]));
        let d = workflow("d", json!({}), json!([{ "id": "s", "workflow": "d" }]));
        assert_eq!(
            found(&[a, b, c, d]),
            [
                "a /stages/1/workflow/id these workflows contain one another: a, b",
                "b /stages/0/workflow/id these workflows contain one another: a, b",
                "d /stages/0/workflow/id workflow `d` contains itself",
            ]
        );
    }
}
