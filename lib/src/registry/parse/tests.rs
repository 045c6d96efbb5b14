//! Registries as they are written, what they are turned into, and what is said about mistakes.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::route::{Occurrence, Route, triggers};
use crate::settings::Category;
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
    use crate::agents::preset::Preset;
    use crate::decide::tests::world::*;
    use crate::event::{NewTask, Request};
    use crate::fact::Fact;
    use crate::pipeline::OUTAGE_TOLD_AT;
    use crate::registry::alerts::{Channel, Shape};

    let (registry, _) = parse(&json!({ "alerts": {
        "channels": { "ops": { "type": "slack", "url": "$SLACK" }, "hook": { "type": "webhook", "url": "http://localhost/" } },
        "rules": [
            { "name": "stuck", "condition": "event == 'task_blocked' && workflow == 'solo'", "severity": "critical",
              "channels": ["ops"], "workflow": "mend" },
            { "condition": "event == 'task_blocked' && priority > 5", "severity": "warning" },
            { "condition": "event == 'task_completed'", "severity": "info" },
            { "name": "back", "event": "demoted", "severity": "critical" },
            { "name": "undone", "event": "merge_reverted", "severity": "warning" },
            { "name": "paused", "event": "preset_paused", "severity": "warning" },
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
    for (fact, text) in [
        (
            Fact::Demoted { mode: w.p.core.mode, why: "5 tasks failed".to_owned() },
            format!("[critical] back: demoted: now {}: 5 tasks failed", w.p.core.mode.rollout.word()),
        ),
        (Fact::MergeReverted { task: task("A"), by: None }, "[warning] undone: merge reverted A solo".to_owned()),
        (
            Fact::PresetPaused { preset: Preset::Codex, until: begin(), why: "usage limit".to_owned(), in_a_row: 0 },
            "[warning] paused: preset paused: codex: usage limit".to_owned(),
        ),
    ] {
        let texts: Vec<String> = alerts.raised(&w.p, &fact).into_iter().map(|alert| alert.text).collect();
        assert_eq!(texts, [text]);
    }
    for (in_a_row, told) in [(1, 0), (OUTAGE_TOLD_AT - 1, 0), (OUTAGE_TOLD_AT, 1), (OUTAGE_TOLD_AT + 1, 1)] {
        let why = "cannot reach its service".to_owned();
        let fact = Fact::PresetPaused { preset: Preset::Codex, until: begin(), why, in_a_row };
        assert_eq!(alerts.raised(&w.p, &fact).len(), told, "{in_a_row} in a row");
    }
    let slack = Channel::Webhook { url: "$SLACK".to_owned(), shape: Shape::Slack };
    assert_eq!(alerts.channels_of(raised[0].rule), [("log", Channel::Log), ("ops", slack)]);
    assert_eq!(alerts.channels_of(&alerts.rules[1]).len(), 4, "a warning goes everywhere");
    assert_eq!(alerts.channels_of(&alerts.rules[2]), [("log", Channel::Log)]);
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
            json!({ "alerts": { "rules": [{ "condition": "stage", "severity": "info", "channels": ["x"] }] } }),
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
    let (_, warnings) = parse(&json!({ "rule": [], "unheard": 1, "_remark": "x", "stages": [] })).unwrap();
    let said: Vec<(&str, &str, bool)> = warnings
        .iter()
        .map(|one| (one.message.as_str(), one.suggestion.as_deref().unwrap_or_default(), one.warning))
        .collect();
    assert_eq!(said[0], ("`rule` is not read", "Did you mean `rules`?", true));
    assert_eq!((said[1].0, said.len()), ("`stages` is not read", 3));
    assert!(said[2].1.starts_with("What is read: rules, chains, concurrency"), "{said:?}");
}

/// The tables of the document that this product is made from, in the form of its orchestrator's file.
fn orchestrator() -> Value {
    json!({
        "id": "meta-pipeline-orchestrator", "name": "Meta-Pipeline Orchestrator", "version": "2.0.0",
        "pipeline_registry": {
            "development": {
                "pool-bug-fix": { "template": "templates/pool-bug-fix.json", "triggers": ["bug_report", "issue_detected"], "priority": "high" },
            },
            "deployment": {
                "deployment-pipeline": { "triggers": ["deployment_approved", "manual_trigger"], "priority": "critical" },
                "rollback-pipeline": { "triggers": ["deployment_failure", "critical_error", "manual_trigger"], "priority": "critical" },
            },
            "monitoring": {
                "health-check-pipeline": { "triggers": ["scheduled", "continuous"], "schedule": "every_5_minutes" },
                "performance-monitoring-pipeline": { "triggers": ["scheduled"], "schedule": "Every 15 minutes (continuous)" },
            },
        },
        "orchestration_rules": {
            "pipeline_selection": { "strategy": "trigger_based", "rules": [
                { "condition": "event_type == 'bug_report'", "pipeline": "pool-bug-fix", "category": "development" },
                { "condition": "event_type == 'deployment_failure'", "pipeline": "rollback-pipeline", "category": "deployment" },
            ] },
            "pipeline_chaining": { "enabled": true, "chains": [
                { "name": "complete_feature_workflow", "stop_on_failure": true,
                  "pipelines": ["feature-development", "unit-test-pipeline", "integration-test-pipeline", "performance-test-pipeline"] },
                { "name": "release_workflow", "stop_on_failure": true,
                  "pipelines": ["unit-test-pipeline", "integration-test-pipeline", "build-and-package-pipeline", "deployment-pipeline"],
                  "rollback_on_failure": true, "rollback_pipeline": "rollback-pipeline" },
                { "name": "quiet", "pipelines": ["a"], "stop_on_failure": false, "rollback_on_failure": false, "rollback_pipeline": "b" },
            ] },
            "concurrent_execution": {
                "monitoring_pipelines": { "allow_concurrent": true, "pipelines": ["health-check-pipeline", "own-check"], "run_continuously": true },
                "development_pipelines": { "allow_concurrent": false },
                "testing_pipelines": { "allow_concurrent": true, "max_concurrent": 3 },
                "deployment_pipelines": { "allow_concurrent": false, "max_concurrent": 1, "exclusive_lock": true },
            },
            "priorities": { "unit-test-pipeline": "low" },
            "triggers": { "code_commit": "unit-test-pipeline", "own-check": ["nightly_check"] },
        },
        "workflow_templates": { "standard_development": ["feature-development", "unit-test-pipeline", "integration-test-pipeline"] },
        "metadata": { "total_pipelines": 11 },
    })
}

#[test]
fn the_form_of_others_says_the_same() {
    let (registry, warnings) = parse(&orchestrator()).unwrap();
    assert_eq!(warnings, []);
    let to = |event: &str| match occurrence(event, &[]).route(&registry.rules).0 {
        Route::Rule(rule) => format!("{} {} {:?}", rule.workflow, rule.priority, rule.origin),
        Route::Several(several) => format!("{} of them", several.len()),
        Route::Nowhere => "nowhere".to_owned(),
    };
    assert_eq!(to("bug_report"), "pool-bug-fix 2 Registry", "its priority stands in the catalogue");
    assert_eq!(to("issue_detected"), "pool-bug-fix 2 Project");
    assert_eq!(to("deployment_failure"), "rollback-pipeline 1 Registry");
    assert_eq!(to("code_commit"), "unit-test-pipeline 5 Project");
    assert_eq!(to("nightly_check"), "own-check 3 Project");
    assert_eq!(to("manual_trigger"), "2 of them", "none is guessed");
    let chains: Vec<(&str, usize, bool, Option<&str>)> = registry
        .chains
        .iter()
        .map(|c| (c.id.as_str(), c.links.len(), c.stop_on_failure, c.on_failure.as_ref().map(WorkflowId::as_str)))
        .collect();
    assert_eq!(
        chains,
        [
            ("standard_development", 3, true, None),
            ("complete_feature_workflow", 4, true, None),
            ("release_workflow", 4, true, Some("rollback-pipeline")),
            ("quiet", 1, false, None),
        ]
    );
    let limit = |name: &str| (registry.categories[name].max, registry.categories[name].exclusive);
    let limits = ["monitoring", "development", "testing", "deployment"].map(limit);
    assert_eq!(limits, [(None, false), (Some(1), false), (Some(3), false), (Some(1), true)]);
    let schedules: Vec<(&str, &str)> = registry.schedules.iter().map(|s| (s.name.as_str(), s.when.as_str())).collect();
    assert_eq!(
        schedules,
        [
            ("health-check-pipeline", "every_5_minutes"),
            ("performance-monitoring-pipeline", "Every 15 minutes (continuous)")
        ]
    );
    assert_eq!(registry.category_of[&WorkflowId::new("own-check").unwrap()], "monitoring");
    assert!(
        registry.mentions.iter().any(|m| m.at == "/orchestration_rules/pipeline_chaining/chains/1/rollback_pipeline")
    );
}

#[test]
fn a_switch_that_is_off_and_what_contradicts_itself() {
    let file = json!({ "orchestration_rules": {
        "pipeline_chaining": { "enabled": false, "chains": [{ "name": "a", "pipelines": ["x"] }] },
        "concurrent_execution": { "testing": { "allow_concurrent": false, "max_concurrent": 3 } },
    } });
    let (registry, warnings) = parse(&file).unwrap();
    assert_eq!((registry.chains.len(), registry.categories["testing"].max), (0, Some(1)));
    assert_eq!(warnings[0].pointer, "/orchestration_rules/concurrent_execution/testing/max_concurrent");
    let (registry, warnings) = parse(&json!({ "id": "x", "triggers": ["scheduled"], "stages": [] })).unwrap();
    assert_eq!((registry.rules.len(), warnings.len()), (0, 2));
    let twice = json!({ "chains": { "a": ["x"] }, "workflow_templates": { "a": ["y"] } });
    assert_eq!(parse(&twice).unwrap_err()[0].message, "another chain is called `a`");
    let rollback = json!({ "chains": [{ "name": "a", "workflows": ["x"], "rollback_on_failure": true }] });
    assert_eq!(parse(&rollback).unwrap().0.chains[0].on_failure.as_ref().unwrap().as_str(), "rollback-pipeline");
}

#[test]
fn words_that_no_alert_has_and_addresses_that_are_none_are_named() {
    let rule = |condition: &str| json!({ "alerts": { "rules": [{ "condition": condition, "severity": "info" }] } });
    let said = |condition: &str| {
        let (_, warnings) = parse(&rule(condition)).unwrap();
        warnings.into_iter().map(|w| (w.message, w.suggestion.unwrap_or_default())).collect::<Vec<_>>()
    };
    assert_eq!(said("event == 'task_failed' && workflow == 'anything' && priority < 3"), []);
    let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
    assert_eq!(said("event == 'task_faild'"), pair("there is no event `task_faild`", "Did you mean `task_failed`?"));
    assert_eq!(said("evnt == 'task_failed'"), pair("alerts know no `evnt`", "Did you mean `event`?"));
    let (registry, warnings) =
        parse(&json!({ "alerts": { "rules": [{ "event": "task_blocked", "severity": "warning" }] } })).unwrap();
    assert_eq!(warnings, []);
    assert!(registry.alerts.rules[0].expression.holds(&json!({ "event": "task_blocked" })).holds);
    let channel = |url: &str| json!({ "alerts": { "channels": { "x": { "type": "webhook", "url": url } } } });
    for good in ["https://hooks.example.com/a?b=c", "http://127.0.0.1:8080/", "HTTP://[::1]/x", "$OPS_URL"] {
        assert!(parse(&channel(good)).is_ok(), "{good}");
    }
    for bad in [
        "",
        "hooks.example.com",
        "ftp://x/",
        "https://",
        "https:///x",
        "http://:80/",
        "https://a b/",
        "$",
        "$1",
        "$A-B",
    ] {
        let problems = parse(&channel(bad)).unwrap_err();
        assert_eq!(problems[0].pointer, "/alerts/channels/x/url", "{bad}");
    }
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
        Just("orchestration_rules"),
        Just("pipeline_registry"),
        Just("chains"),
        Just("pipelines"),
        Just("triggers"),
        Just("priorities"),
        Just("alerts"),
        Just("channels"),
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
