//! Whether workflows fit together: stages that are other workflows, and what is started after a failure. Each workflow by
//! itself has been read before; where their files are is the caller's to know.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::parse::{About, Problem, loops};
use super::{Doing, Param, Stage, Workflow, params, render};
use crate::ids::WorkflowId;
use crate::text::{listed, nearest, one_line};

/// What a workflow that is started after a failure is given besides the parameters of the task that failed.
const AFTER_FAILURE: [&str; 4] = ["failed_task", "failed_stage", "failed_workflow", "reason"];

/// Everything that is wrong between these workflows, and with which of them. `broken` says whether there is a workflow of
/// this name that cannot be used.
#[must_use]
pub fn check(all: &[Arc<Workflow>], broken: impl Fn(&str) -> bool) -> Vec<(WorkflowId, Problem)> {
    let known: HashMap<&WorkflowId, usize> = all.iter().enumerate().map(|(at, workflow)| (&workflow.id, at)).collect();
    let mut found = Vec::new();
    for workflow in all {
        let problems = named(workflow, None, all, &known, &broken);
        found.extend(problems.into_iter().map(|problem| (workflow.id.clone(), problem)));
    }
    found.extend(rings(all, &known));
    found
}

/// What is wrong between one workflow that cannot be used as it is and the others. `places` are those of its stages in its
/// file.
#[must_use]
pub fn check_draft(
    draft: &Workflow,
    places: &[usize],
    all: &[Arc<Workflow>],
    broken: impl Fn(&str) -> bool,
) -> Vec<Problem> {
    let known = all.iter().enumerate().map(|(at, workflow)| (&workflow.id, at)).collect();
    named(draft, Some(places), all, &known, &broken)
}

/// What is wrong with the workflows that one of them names.
fn named(
    workflow: &Workflow,
    places: Option<&[usize]>,
    all: &[Arc<Workflow>],
    known: &HashMap<&WorkflowId, usize>,
    broken: &dyn Fn(&str) -> bool,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let absent = |id: &WorkflowId, pointer: String| {
        let (message, suggestion) = if broken(id.as_str()) {
            (format!("workflow `{id}` cannot be used"), Some("Mend it first.".to_owned()))
        } else {
            let near = nearest(id.as_str(), all.iter().map(|other| other.id.as_str()));
            let suggestion = match near {
                Some(name) => format!("Did you mean `{name}`?"),
                None => "`pipeline workflow list` names those there are.".to_owned(),
            };
            (format!("there is no workflow `{id}`"), Some(suggestion))
        };
        problem(pointer, message, suggestion)
    };
    for (place, stage) in workflow.stages.iter().enumerate() {
        let place = places.and_then(|places| places.get(place).copied()).unwrap_or(place);
        let Doing::Workflow { workflow: id, params: given } = &stage.doing else { continue };
        match known.get(id).map(|at| &all[*at]) {
            None => found.push(absent(id, format!("/stages/{place}/workflow/id"))),
            Some(sub) => check_given(stage, place, given, sub, &mut found),
        }
    }
    if let Some(id) = &workflow.on_failure {
        match known.get(id).map(|at| &all[*at]) {
            None => found.push(absent(id, "/on_failure".to_owned())),
            Some(next) => found.extend(check_after_failure(workflow, next, "/on_failure")),
        }
    }
    found
}

fn problem(pointer: String, message: String, suggestion: Option<String>) -> Problem {
    Problem { pointer, about: About::Value, message, suggestion, warning: false }
}

/// What a sub-workflow is given, against what it asks for.
fn check_given(stage: &Stage, place: usize, given: &BTreeMap<String, Value>, sub: &Workflow, found: &mut Vec<Problem>) {
    let at = format!("/stages/{place}/workflow");
    for (name, param) in missing(sub, given).filter(|(name, _)| !stage.matrix.contains_key(*name)) {
        let suggestion = format!(
            "Write \"workflow\": {{ \"id\": \"{}\", \"params\": {{ \"{name}\": {} }} }}.",
            sub.id,
            param.choices.first().map_or_else(|| "…".to_owned(), ToString::to_string)
        );
        let message = format!("workflow `{}` needs parameter `{name}`", sub.id);
        found.push(problem(at.clone(), message, Some(suggestion)));
    }
    // What a template gives is known when it is rendered.
    found.extend(misfits(sub, given, &format!("{at}/params"), true));
}

/// The parameters that a workflow cannot do without and is not given.
pub(crate) fn missing<'w>(
    taker: &'w Workflow,
    given: &BTreeMap<String, Value>,
) -> impl Iterator<Item = (&'w String, &'w Param)> {
    let needed = taker.params.iter().filter(|(_, param)| param.required && param.default.is_none());
    needed.filter(|(name, _)| !given.keys().any(|given| params::declared(&taker.params, given) == Some(name)))
}

/// What a workflow is given and does not take, or not so. `at` is where the values stand; `rendered` says whether texts
/// are templates there.
pub(crate) fn misfits(taker: &Workflow, given: &BTreeMap<String, Value>, at: &str, rendered: bool) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, value) in given {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        match params::declared(&taker.params, name).and_then(|own| taker.params.get(own)) {
            None => {
                let near = nearest(name, taker.params.keys().map(String::as_str));
                let suggestion = match near {
                    Some(name) => format!("Did you mean `{name}`?"),
                    None if taker.params.is_empty() => "It takes none; remove this one.".to_owned(),
                    None => format!("It takes {}.", listed(taker.params.keys().map(String::as_str))),
                };
                let name = one_line(name, 80);
                found.push(problem(
                    pointer,
                    format!("workflow `{}` has no parameter `{name}`", taker.id),
                    Some(suggestion),
                ));
            }
            Some(_) if rendered && value.as_str().is_some_and(render::is_template) => {}
            Some(param) => {
                if let Err(wrong) = params::accept(param, value) {
                    found.push(problem(pointer, format!("parameter `{name}` {wrong}"), None));
                }
            }
        }
    }
    found
}

/// What the workflow that is started after a failure needs and is not given. `at` is where it is named.
#[must_use]
pub fn check_after_failure(workflow: &Workflow, next: &Workflow, at: &str) -> Vec<Problem> {
    let given = |name: &str| AFTER_FAILURE.contains(&name) || workflow.params.contains_key(name);
    let own = next.params.iter().filter(|(name, param)| {
        param.required && param.default.is_none() && !given(name) && !param.aliases.iter().any(|alias| given(alias))
    });
    let warn = |(name, _): (&String, &Param)| {
        let message = format!("workflow `{}` needs parameter `{name}`, which it is not given here", next.id);
        let suggestion = format!("Give it a default there, or add `{name}` to the params here.");
        Problem { warning: true, ..problem(at.to_owned(), message, Some(suggestion)) }
    };
    own.map(warn).collect()
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
