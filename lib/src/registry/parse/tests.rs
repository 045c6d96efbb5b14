//! Registries as they are written, what they are turned into, and what is said about mistakes.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::route::{Occurrence, Route, triggers};
use crate::workflow::{Doing, FAILED, Next, Param, SUCCESS, Workflow, parse as workflow_file};

fn registry() -> Registry {
    let (registry, warnings) = parse(&json!({
        "version": "2.0.0",
        "rules": [
            { "condition": "event_type == 'bug_report'", "pipeline": "pool-bug-fix", "priority": 4 },
            { "condition": "event_type == 'bug_report' && params.severity >= 3", "workflow": "hotfix", "priority": "critical",
              "params": { "bug_report": "{{ text }}", "target": "production" } },
            { "event_type": "release", "workflow": "release_workflow" },
        ],
        "workflows": {
            "release_workflow": { "pipelines": ["unit-test", { "workflow": "deploy", "params": { "target": "test" } }],
                                  "stop_on_failure": true, "rollback": "rollback-pipeline" },
            "nightly": { "workflows": ["unit-test", "unit-test"], "stop_on_failure": false },
        },
        "concurrency": {
            "monitoring": "unlimited", "development": 1, "testing": { "max_concurrent": 3 },
            "deployment": { "max_concurrent": 1, "exclusive_lock": true },
        },
        "schedules": [{ "workflow": "health", "schedule": "every 5 minutes", "jitter": "30s" }],
    }))
    .unwrap();
    assert_eq!(warnings, []);
    registry
}

fn sub(id: &str, params: &[(&str, Param)]) -> Workflow {
    let file = json!({ "id": id, "stages": [{ "id": "run", "run": "true" }] });
    let (mut workflow, _) = workflow_file::parse(&file, None).unwrap();
    workflow.params = params.iter().map(|(name, param)| ((*name).to_owned(), param.clone())).collect();
    workflow
}

fn required() -> Param {
    Param { required: true, ..Param::default() }
}

fn occurrence(event_type: &str, params: &[(&str, &str)]) -> Occurrence {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Occurrence { event_type: event_type.to_owned(), params }
}

#[test]
fn the_most_urgent_rule_that_matches_counts() {
    let registry = registry();
    let to = |occurrence: &Occurrence| match occurrence.route(&registry.rules).0 {
        Route::Rule(rule) => format!("{} {}", rule.workflow, rule.priority),
        other => format!("{other:?}"),
    };
    assert_eq!(to(&occurrence("bug_report", &[("severity", "1")])), "pool-bug-fix 4");
    assert_eq!(to(&occurrence("bug_report", &[("severity", "5")])), "hotfix 1");
    assert_eq!(to(&occurrence("bug_report", &[])), "pool-bug-fix 4");
    assert_eq!(to(&occurrence("release", &[])), "release_workflow 3");
    assert_eq!(to(&occurrence("nothing", &[])), "Nowhere");
    let (_, problems) = occurrence("bug_report", &[]).route(&registry.rules);
    assert_eq!(problems, ["event_type == 'bug_report' && params.severity >= 3: `params.severity` is not there"]);
}

#[test]
fn what_an_event_brings_becomes_what_the_workflow_takes() {
    let registry = registry();
    let workflow =
        sub("hotfix", &[("bug_report", required()), ("component", Param::default()), ("target", required())]);
    let bug = occurrence("bug_report", &[("severity", "5"), ("text", "it's broken"), ("component", "shares")]);
    let Route::Rule(rule) = bug.route(&registry.rules).0 else { panic!() };
    let given = bug.given(rule, &workflow).unwrap();
    let expected = json!({ "bug_report": "it's broken", "component": "shares", "target": "production" });
    assert_eq!(serde_json::to_value(&given.params).unwrap(), expected);
    assert_eq!(given.left_out, ["severity", "text"]);
    let without = occurrence("bug_report", &[("severity", "5")]);
    assert!(without.given(rule, &workflow).unwrap_err().contains("bug_report"), "nothing is made up");
}

#[test]
fn triggers_are_rules_behind_those_of_the_registry_and_never_guessed_between() {
    let mut own = sub("own", &[]);
    own.triggers = vec!["push".to_owned(), "release".to_owned()];
    let mut other = sub("other", &[]);
    other.triggers = vec!["push".to_owned()];
    let mut rules = registry().rules;
    rules.extend(triggers([&other], Origin::Shipped));
    rules.extend(triggers([&own], Origin::Project));
    let push = occurrence("push", &[]);
    assert!(
        matches!(push.route(&rules).0, Route::Rule(rule) if rule.workflow.as_str() == "own"),
        "the project's first"
    );
    let release = occurrence("release", &[]);
    assert!(matches!(release.route(&rules).0, Route::Rule(rule) if rule.workflow.as_str() == "release_workflow"));
    let rules = triggers([&own, &other], Origin::Project);
    assert!(matches!(push.route(&rules).0, Route::Several(several) if several.len() == 2));
}

#[test]
fn a_chain_is_a_workflow_of_workflows() {
    let registry = registry();
    let find = |id: &WorkflowId| match id.as_str() {
        "unit-test" => Some(Arc::new(sub("unit-test", &[("filter", Param::default())]))),
        "deploy" => Some(Arc::new(sub("deploy", &[("package", required()), ("target", required())]))),
        _ => None,
    };
    let chain = |name: &str| registry.chains.iter().find(|chain| chain.id.as_str() == name).unwrap();
    let release = chain("release_workflow").workflow(find).unwrap();
    assert_eq!(release.on_failure.as_ref().unwrap().as_str(), "rollback-pipeline");
    let ids: Vec<&str> = release.stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(ids, ["unit-test", "deploy"]);
    let next =
        |workflow: &Workflow, stage: usize, decision: &str| match workflow.next(&workflow.stages[stage].id, decision) {
            Next::Stage(stage) => stage.id.to_string(),
            Next::End => "end".to_owned(),
            Next::Nowhere => "nowhere".to_owned(),
        };
    assert_eq!(next(&release, 0, SUCCESS), "deploy");
    assert_eq!(next(&release, 0, FAILED), "end");
    assert_eq!(next(&release, 1, SUCCESS), "end");
    let Doing::Workflow { params, .. } = &release.stages[1].doing else { panic!() };
    assert_eq!(
        serde_json::to_value(params).unwrap(),
        json!({ "package": "{{ params[\"package\"] }}", "target": "test" })
    );
    let names: Vec<(&str, bool)> = release.params.iter().map(|(name, param)| (name.as_str(), param.required)).collect();
    assert_eq!(names, [("filter", false), ("package", true)], "what is fixed is not asked for");
    assert_eq!(release.stages[0].retries, Some(0));
    let Doing::Workflow { params, .. } = &release.stages[0].doing else { panic!() };
    let filter = params["filter"].as_str().unwrap();
    for (given, expected) in [(json!({ "params": {} }), ""), (json!({ "params": { "filter": "fast" } }), "fast")] {
        assert_eq!(crate::workflow::render::text(filter, &given).unwrap(), expected, "{filter}");
    }
    let nightly = chain("nightly").workflow(find).unwrap();
    assert_eq!(next(&nightly, 0, FAILED), "unit-test-2");
    assert_eq!(next(&nightly, 1, FAILED), "end");
    assert_eq!(chain("nightly").workflow(|_| None).unwrap_err().as_str(), "unit-test");
}

#[test]
fn limits_and_schedules_are_read() {
    let registry = registry();
    let limit = |name: &str| registry.categories[name];
    assert_eq!(limit("monitoring"), Category { max: None, exclusive: false });
    assert_eq!(limit("testing"), Category { max: Some(3), exclusive: false });
    assert_eq!(limit("deployment"), Category { max: Some(1), exclusive: true });
    let schedule = &registry.schedules[0];
    assert_eq!((schedule.name.as_str(), schedule.jitter), ("health", SignedDuration::from_secs(30)));
}

#[test]
fn alerts_are_read_and_raised() {
    use crate::decide::tests::world::*;
    use crate::event::{NewTask, Request};
    use crate::registry::alerts::{Channel, Shape};

    let (registry, _) = parse(&json!({ "alerts": {
        "channels": { "ops": { "type": "slack", "url": "$SLACK" }, "hook": { "type": "webhook", "url": "http://localhost/" } },
        "rules": [
            { "name": "stuck", "condition": "event == 'task_blocked' && workflow == 'solo'", "severity": "critical",
              "channels": ["ops"], "workflow": "mend" },
            { "condition": "event == 'task_blocked' && priority > 5", "severity": "warning" },
            { "condition": "event == 'task_completed'", "severity": "info" },
        ] } }))
    .unwrap();
    let alerts = &registry.alerts;
    let mut w = World::workers(1, |_| {});
    w.add(NewTask::named("A").on("solo"));
    let facts = w.asked(Request::Block { task: task("A"), reason: "no disk".to_owned() });
    let raised: Vec<_> = facts.iter().flat_map(|fact| alerts.raised(&w.p, fact)).collect();
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].text, "[critical] stuck: task blocked A solo: no disk");
    assert_eq!(raised[0].payload(Shape::Slack), json!({ "text": raised[0].text }));
    assert_eq!(raised[0].payload(Shape::Discord), json!({ "content": raised[0].text }));
    assert_eq!(raised[0].payload(Shape::Plain)["event"]["reason"], "no disk");
    let slack = Channel::Webhook { url: "$SLACK".to_owned(), shape: Shape::Slack };
    assert_eq!(alerts.channels_of(raised[0].rule), [Channel::Log, slack]);
    assert_eq!(alerts.channels_of(&alerts.rules[1]).len(), 4, "a warning goes everywhere");
    assert_eq!(alerts.channels_of(&alerts.rules[2]), [Channel::Log]);
    w.asked(Request::AddTasks(Vec::new()));
}

#[test]
fn mistakes_are_located() {
    for (file, pointer, message) in [
        (json!([]), "", "a registry is a JSON object"),
        (json!({ "rules": {} }), "/rules", "this is a list of objects"),
        (json!({ "rules": [{ "workflow": "x" }] }), "/rules/0", "`condition` is missing"),
        (
            json!({ "rules": [{ "condition": "a = 1", "workflow": "x" }] }),
            "/rules/0/condition",
            "`=` is not a comparison; write `==`",
        ),
        (json!({ "rules": [{ "condition": "a" }] }), "/rules/0", "`workflow` is missing"),
        (
            json!({ "rules": [{ "condition": "a", "workflow": "x", "priority": 0 }] }),
            "/rules/0/priority",
            "`priority` is a number from 1 (most urgent) to 9, or critical, high, medium or low",
        ),
        (
            json!({ "chains": { "a": { "workflows": [] } } }),
            "/chains/a/workflows",
            "a chain is a list of at least one workflow",
        ),
        (
            json!({ "chains": { "a/b": ["x"] } }),
            "/chains/a~1b",
            "`a/b` is not a valid workflow id: only ASCII letters, digits, `-`, `_` and `.` are allowed",
        ),
        (
            json!({ "concurrency": { "testing": 0 } }),
            "/concurrency/testing",
            "a limit is a number from 1, or \"unlimited\"",
        ),
        (
            json!({ "schedules": [{ "workflow": "x", "schedule": "soon" }] }),
            "/schedules/0/schedule",
            "`soon` is not a schedule",
        ),
        (
            json!({ "schedules": [{ "workflow": "x", "schedule": "hourly", "jitter": "-1s" }] }),
            "/schedules/0/jitter",
            "`jitter` is a duration of at most a day",
        ),
        (
            json!({ "alerts": { "channels": { "x": { "type": "pigeon" } } } }),
            "/alerts/channels/x",
            "this is no channel",
        ),
        (
            json!({ "alerts": { "rules": [{ "condition": "a", "severity": "info", "channels": ["x"] }] } }),
            "/alerts/rules/0/channels",
            "there is no channel `x`",
        ),
    ] {
        let problems = parse(&file).unwrap_err();
        assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message), "{file}");
    }
    let twice =
        json!({ "schedules": [{ "workflow": "x", "schedule": "hourly" }, { "workflow": "x", "schedule": "daily" }] });
    assert_eq!(parse(&twice).unwrap_err()[0].message, "another schedule is called `x`");
    let (_, warnings) = parse(&json!({ "rule": [] })).unwrap();
    assert_eq!((warnings[0].message.as_str(), warnings[0].warning), ("`rule` is not read", true));
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("rules"),
        Just("workflows"),
        Just("concurrency"),
        Just("schedules"),
        Just("condition"),
        Just("workflow"),
        Just("priority"),
        Just("params"),
        Just("x")
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z'= ]{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_registry_panics(file in any_json()) {
        match parse(&file) {
            Ok((_, warnings)) => prop_assert!(warnings.iter().all(|problem| problem.warning)),
            Err(problems) => prop_assert!(problems.iter().any(|problem| !problem.warning)),
        }
    }
}
