//! Workflow files read: what they mean, what is wrong with them and where.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::workflow::{Doing, FAILED, Figure, Next, ParamKind, Place, SUCCESS};

fn problems(document: &Value) -> Vec<String> {
    match parse(document, None) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
    .into_iter()
    .map(|p| format!("{} {}", p.pointer, p.message))
    .collect()
}

#[test]
fn stages_without_connections_run_in_order_and_the_last_one_merges() {
    let document = json!({"id": "w", "stages": [{"id": "a", "agent": "x"}, {"id": "b", "agent": "y"}]});
    let (workflow, warnings) = parse(&document, None).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let a = StageId::new("a").unwrap();
    assert!(matches!(workflow.next(&a, SUCCESS), Next::Stage(stage) if stage.id.as_str() == "b"));
    assert_eq!(workflow.next(&StageId::new("b").unwrap(), SUCCESS), Next::End);
    assert_eq!(workflow.next(&a, FAILED), Next::Nowhere);
    assert_eq!(workflow.stages.iter().map(|s| s.merge).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn both_places_of_connections_and_both_names_of_the_start_are_read() {
    for (flow, start) in [(true, "startStage"), (false, "entryPoint")] {
        let list = json!([{"from": "b", "to": "a"}, {"from": "a", "to": null}]);
        let mut document = json!({"id": "w", "stages": [{"id": "a", "agent": "x"}, {"id": "b", "agent": "x"}]});
        document[start] = json!("b");
        if flow {
            document["flow"] = json!({"type": "sequential", "connections": list});
        } else {
            document["connections"] = list;
        }
        let (workflow, _) = parse(&document, None).unwrap();
        assert_eq!(workflow.start.as_str(), "b");
    }
}

#[test]
fn problems_name_their_place() {
    let document = json!({
        "id": "w",
        "stages": [{"id": "a", "agent": "x", "decisions": ["yes", "no"]}, {"id": "b", "agent": "x", "timeout": "soon"}, {"id": "c", "agent": "x", "run": "true"}],
        "connections": [{"from": "a", "to": "bb", "condition": "yes"}]
    });
    let found = problems(&document);
    for expected in [
        "/stages/1/timeout `timeout` is not a duration",
        "/stages/2/agent no agent is asked at this stage",
        "/connections/0/to there is no stage `bb`",
        "/stages/2 nothing leads to stage `c`",
        "/stages/0 stage `a` may decide `no`",
    ] {
        assert!(found.iter().any(|p| p.starts_with(expected)), "{expected} not in {found:#?}");
    }
}

#[test]
fn the_default_workflow_has_no_loose_ends() {
    let workflow = crate::workflow::tdd();
    let mut reader = Reader::new(None);
    let places: Vec<usize> = (0..workflow.stages.len()).collect();
    reader.check(&workflow, &places, &flow::Index::of(&workflow.stages));
    assert_eq!(reader.problems, []);
}

fn read(document: &Value) -> Workflow {
    match parse(document, None) {
        Ok((workflow, warnings)) => {
            assert_eq!(warnings, []);
            workflow
        }
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn stage<'w>(workflow: &'w Workflow, id: &str) -> &'w Stage {
    workflow.stage(&StageId::new(id).unwrap()).unwrap()
}

fn next<'w>(workflow: &'w Workflow, from: &str, decision: &str) -> &'w str {
    match workflow.next(&StageId::new(from).unwrap(), decision) {
        Next::Stage(stage) => stage.id.as_str(),
        Next::End => "end",
        Next::Nowhere => "nowhere",
    }
}

#[test]
fn everything_in_the_format_is_read() {
    let workflow = read(&json!({
        "id": "release", "version": 2, "triggers": ["release_request"], "on_failure": "rollback", "schedule": "every 2 hours",
        "success_criteria": ["it is live"], "max_steps": 50, "timeout": "2h", "author": "somebody",
        "params": {
            "target": { "required": true, "default": "staging", "description": "where to", "choices": ["staging", "production"] },
            "count": 3, "fast": { "type": "boolean", "default": "true" }, "names": { "type": "list" }, "free": {},
        },
        "stages": [
            { "id": "build", "run": ["make", "make dist TARGET={{ params.target }}"], "probe": "test -f dist",
              "env": { "N": 1, "TARGET": "{{ target }}" }, "secrets": ["API_TOKEN"], "artifacts": "dist/**",
              "thresholds": { "coverage": 80, "failures": 0 }, "on_cancel": "make clean", "place": "repository",
              "decisions": [{ "choice": "success", "exit": 0 }, { "choice": "old", "exit": [1, 2] }, { "choice": "failed", "exit": "other" }],
              "type": "builder", "phase": "build", "outputs": ["dist"], "config": { "a": 1 } },
            { "id": "checks", "parallel": ["lint", "test"] },
            { "id": "lint", "run": "make lint" },
            { "id": "test", "agent": "tester", "thresholds": [
                { "name": "lines", "from": { "lcov": "lcov.info" }, "min": 80.5 },
                { "name": "tests", "from": { "junit": "junit.xml" }, "max": 0 } ] },
            { "id": "each", "workflow": { "id": "deploy", "params": { "to": "{{ matrix.env }}" } },
              "matrix": { "env": ["testnet", "regtest"] } },
        ],
        "connections": [
            { "from": "build", "to": "checks", "condition": "success" }, { "from": "build", "to": null, "condition": "old" },
            { "from": "build", "to": null, "condition": "failed" },
            { "from": "checks", "to": "each" }, { "from": "each", "to": "end" },
        ],
    }));
    let build = stage(&workflow, "build");
    assert_eq!(build.doing, Doing::Command("make\nmake dist TARGET={{ params.target }}".to_owned()));
    assert_eq!((build.role.as_str(), build.place), ("command", Place::Repository));
    assert_eq!(build.env["N"], "1");
    assert_eq!((build.decision_of_exit(2), build.decision_of_exit(9)), (Some("old"), Some("failed")));
    assert_eq!(build.thresholds[0].from, Figure::Output("coverage".to_owned()));
    assert_eq!((build.thresholds[0].min, build.thresholds[1].max), (Some(80.0), Some(0.0)));
    assert_eq!(build.extra.keys().collect::<Vec<_>>(), ["config", "outputs", "phase", "type"]);
    assert_eq!(stage(&workflow, "test").thresholds[0].from, Figure::Lcov("lcov.info".to_owned()));
    assert_eq!(stage(&workflow, "each").matrix["env"].len(), 2);
    assert_eq!((workflow.start.as_str(), next(&workflow, "each", SUCCESS)), ("build", "end"));
    assert_eq!((workflow.version.as_str(), workflow.max_steps), ("2", Some(50)));
    assert_eq!(workflow.on_failure.as_ref().map(WorkflowId::as_str), Some("rollback"));
    assert_eq!(workflow.extra, *json!({ "author": "somebody" }).as_object().unwrap());
    let kinds: Vec<_> = workflow.params.iter().map(|(name, param)| (name.as_str(), param.kind)).collect();
    let expected = [
        ("count", ParamKind::Integer),
        ("fast", ParamKind::Boolean),
        ("free", ParamKind::Text),
        ("names", ParamKind::List),
        ("target", ParamKind::Text),
    ];
    assert_eq!(kinds, expected);
    assert_eq!((&workflow.params["fast"].default, workflow.params["target"].required), (&Some(json!(true)), true));
    // The last stage on a branch merges; what a parallel stage starts does not.
    let merging: Vec<&str> = workflow.stages.iter().filter(|s| s.merge).map(|s| s.id.as_str()).collect();
    assert_eq!(merging, ["build", "each"]);
}

#[test]
fn a_hub_gets_its_stages_back() {
    let workflow = read(&json!({
        "id": "infrastructure",
        "stages": [
            { "id": "hub", "hub": {
                "requirements": [
                    { "name": "daemon", "stage": "start_daemon", "probe": "nc -z localhost 18443" },
                    { "stage": "start_pool", "after": ["daemon"] } ],
                "recovery": "recover", "validation": "validate",
                "warnings": [{ "name": "disk", "probe": "df -P . | awk 'NR == 2 { exit $4 < 1000 }'" }] } },
            { "id": "start_daemon", "run": "daemon" }, { "id": "start_pool", "run": "pool" },
            { "id": "recover", "agent": "mechanic" }, { "id": "validate", "run": "check" },
        ],
    }));
    assert_eq!((workflow.start.as_str(), next(&workflow, "hub", SUCCESS)), ("hub", "end"));
    for part in ["start_daemon", "start_pool", "recover", "validate"] {
        assert_eq!((next(&workflow, part, SUCCESS), next(&workflow, part, FAILED)), ("hub", "hub"), "{part}");
    }
    let Doing::Hub(hub) = &stage(&workflow, "hub").doing else { panic!("it is a hub") };
    assert_eq!(hub.requirements[1].name, "start_pool");
    assert_eq!((hub.warnings.len(), hub.recovery.as_ref().map(StageId::as_str)), (1, Some("recover")));
}

#[test]
fn files_of_other_tools_load_as_they_are() {
    // Decisions as words or only in the connections, ends by name, fields that mean nothing here.
    let workflow = read(&json!({
        "id": "simple-design", "success_criteria": { "design_complete": true },
        "stages": [
            { "id": "designer", "type": "designer", "agent": "designer", "phase": "design" },
            { "id": "reviewer", "type": "reviewer", "agent": "reviewer", "inputs": ["designer"], "description": "Review.",
              "prompt": "Be strict.", "routing": { "approved": "writer", "needs_revision": "designer", "hopeless": "end" } },
            { "id": "writer", "agent": "writer", "decisions": ["documented"], "outputs": { "file": "x.md" } },
        ],
        "flow": { "type": "conditional", "description": "d", "connections": [
            { "from": "designer", "to": "reviewer", "condition": "design_complete", "description": "Submit" },
            { "from": "writer", "to": "end", "condition": "documented" } ] },
        "metadata": { "total_agents": 3 },
    }));
    assert_eq!(stage(&workflow, "designer").choices(), ["design_complete"]);
    assert_eq!(stage(&workflow, "designer").default_decision(), Some("design_complete"));
    assert_eq!(stage(&workflow, "reviewer").choices(), ["approved", "hopeless", "needs_revision"]);
    assert_eq!(stage(&workflow, "reviewer").description, "Review.\n\nBe strict.");
    assert_eq!(next(&workflow, "reviewer", "needs_revision"), "designer");
    assert_eq!((next(&workflow, "reviewer", "hopeless"), next(&workflow, "writer", "documented")), ("end", "end"));
    assert_eq!(workflow.success_criteria, ["design_complete: true"]);
    assert_eq!(workflow.extra["flow"], json!({ "type": "conditional", "description": "d" }));
}

#[test]
fn the_scripted_and_the_orchestrated_pipeline_load_as_they_are() {
    let scripted = read(&json!({
        "id": "mining-infrastructure-setup",
        "stages": [
            { "id": "verify_dependencies", "agent": "a" }, { "id": "install_dependencies", "agent": "a" },
            { "id": "generate_configs", "agent": "a" }, { "id": "start_daemon", "agent": "a" },
            { "id": "recover_infrastructure", "agent": "a" },
        ],
        "connections": [
            { "from": "verify_dependencies", "to": "generate_configs", "condition": "dependencies_ok" },
            { "from": "verify_dependencies", "to": "install_dependencies", "condition": "missing_dependencies" },
            { "from": "install_dependencies", "to": "verify_dependencies", "condition": "installed" },
            { "from": "generate_configs", "to": "start_daemon", "condition": "generated" },
            { "from": "start_daemon", "to": "recover_infrastructure", "condition": "daemon_failed" },
            { "from": "start_daemon", "to": null, "condition": "daemon_started" },
            { "from": "recover_infrastructure", "to": "start_daemon", "condition": "recovery_successful" },
        ],
    }));
    assert_eq!(scripted.start.as_str(), "verify_dependencies");
    assert_eq!(stage(&scripted, "start_daemon").choices(), ["daemon_failed", "daemon_started"]);
    let handlers = ["dependencies", "pool"];
    let mut stages = vec![json!({ "id": "orchestrate", "agent": "infrastructure_orchestrator",
        "decisions": ["delegate_dependencies", "delegate_pool", "infrastructure_complete", "escalate"] })];
    let mut connections = vec![
        json!({ "from": "orchestrate", "to": null, "condition": "infrastructure_complete" }),
        json!({ "from": "orchestrate", "to": null, "condition": "escalate" }),
    ];
    for name in handlers {
        let id = format!("handle_{name}");
        let (ready, failure) = (format!("{name}_ready"), format!("{name}_failure"));
        stages.push(json!({ "id": id, "agent": "x", "inputs": ["orchestrate"], "decisions": [ready, failure] }));
        connections.push(json!({ "from": "orchestrate", "to": id, "condition": format!("delegate_{name}") }));
        connections.push(json!({ "from": id, "to": "orchestrate", "condition": ready }));
        connections.push(json!({ "from": id, "to": "orchestrate", "condition": failure }));
    }
    let hub = read(&json!({ "id": "intelligent", "stages": stages, "connections": connections }));
    assert_eq!(hub.start.as_str(), "orchestrate");
    assert!(stage(&hub, "orchestrate").merge && stage(&hub, "orchestrate").merge_chosen);
    // It is no other where the supervisor is the one who hands on.
    stages[0]["agent"] = json!("supervisor");
    let hub = read(&json!({ "id": "intelligent", "stages": stages, "connections": connections }));
    assert!(stage(&hub, "orchestrate").merge && stage(&hub, "orchestrate").merge_chosen);
}

/// Problems of a workflow with these stages and connections.
fn wrong(stages: Value, connections: Value) -> Vec<String> {
    problems(&json!({ "id": "w", "stages": stages, "connections": connections }))
}

#[test]
fn every_mistake_is_found_at_its_place() {
    let a = |more: Value| {
        let mut stage = json!({ "id": "a", "agent": "x" });
        stage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        problems(&json!({ "id": "w", "stages": [stage] }))
    };
    for (found, expected) in [
        (a(json!({ "agent": null })), "/stages/0 `agent` is missing"),
        (a(json!({ "agent": "command" })), "/stages/0/agent no agent can have the role `command`"),
        (a(json!({ "run": "x", "workflow": "y" })), "/stages/0/workflow a stage has either `run` or `workflow`"),
        (a(json!({ "run": "" })), "/stages/0/run `run` is a shell command"),
        (a(json!({ "probe": 1 })), "/stages/0/probe `probe` is a shell command"),
        (a(json!({ "approval": "yes" })), "/stages/0/approval `approval` is true or false"),
        (a(json!({ "verify": 3 })), "/stages/0/verify `verify` is true, false or a command"),
        (a(json!({ "place": "moon" })), "/stages/0/place `place` is"),
        (a(json!({ "env": { "1X": "" } })), "/stages/0/env/1X `1X` cannot be the name"),
        (a(json!({ "env": { "PIPELINE_ROLE": "" } })), "/stages/0/env/PIPELINE_ROLE `PIPELINE_ROLE` is set by"),
        (a(json!({ "env": { "a/b": {} } })), "/stages/0/env/a~1b"),
        (a(json!({ "secrets": ["no space"] })), "/stages/0/secrets/0"),
        (a(json!({ "aproval": true })), "/stages/0/aproval a stage has no `aproval`"),
        (
            a(json!({ "decisions": [{ "choice": "success", "exits": 0 }] })),
            "/stages/0/decisions/0/exits a decision has no",
        ),
        (
            a(json!({ "thresholds": [{ "name": "x", "mim": 3 }] })),
            "/stages/0/thresholds/0/mim a threshold has no `mim`",
        ),
        (a(json!({ "inputs": { "a": 1 } })), "/stages/0/inputs `inputs` is a list of texts"),
        (a(json!({ "inputs": ["a", 7] })), "/stages/0/inputs/1 `inputs` is a list of texts"),
        (a(json!({ "inputs": "b" })), "/stages/0/inputs/0 there is no stage `b` to be told of"),
        (a(json!({ "inputs": ["a", "b\nc"] })), "/stages/0/inputs/1 there is no stage `b c` to be told of"),
        (a(json!({ "artifacts": ["../x"] })), "/stages/0/artifacts/0 `../x` leads out"),
        (a(json!({ "matrix": {} })), "/stages/0/matrix `matrix` is an object of lists"),
        (a(json!({ "matrix": { "x": [] } })), "/stages/0/matrix/x `x` has no values"),
        (a(json!({ "matrix": { "x": vec![0; 17], "y": vec![0; 16] } })), "/stages/0/matrix this makes 272 tasks"),
        (a(json!({ "thresholds": [{ "name": "x", "from": { "csv": "y" } }] })), "/stages/0/thresholds/0/from"),
        (a(json!({ "thresholds": [{ "name": "x" }] })), "/stages/0/thresholds/0 a threshold has a `min` or a `max`"),
        (a(json!({ "parallel": ["a"], "agent": null })), "/stages/0/parallel/0 stage `a` would start itself"),
        (a(json!({ "parallel": ["b"], "agent": null })), "/stages/0/parallel/0 there is no stage `b`"),
        (a(json!({ "hub": {}, "agent": null })), "/stages/0/hub a hub has a list of `requirements`"),
        (a(json!({ "decisions": [{ "choice": "success", "exit": 256 }] })), "/stages/0/decisions/0/exit `exit` is"),
        (
            a(
                json!({ "run": "x", "agent": null, "decisions": [{ "choice": "success", "exit": 0 }, { "choice": "b", "exit": [0] }] }),
            ),
            "/stages/0/decisions/1/exit exit code 0 already means `success`",
        ),
        (
            a(json!({ "run": "x", "agent": null, "decisions": ["good", "bad"] })),
            "/stages/0/decisions no exit code of the command means one of these decisions",
        ),
        (a(json!({ "run": "echo {{ params.x }}", "agent": null })), "/stages/0/run there is no parameter `x`"),
        (a(json!({ "run": "echo {{ task.nmae }}", "agent": null })), "/stages/0/run `{{ task.nmae }}` names nothing"),
        (a(json!({ "run": "echo {{ outputs.b }}", "agent": null })), "/stages/0/run `{{ outputs.b }}` names nothing"),
        (a(json!({ "probe": "echo {{ x" })), "/stages/0/probe line 1 of the template"),
        (a(json!({ "decisions": ["a b"] })), "/stages/0/decisions/0 a decision is a word"),
        (
            wrong(
                json!([{ "id": "a", "agent": "x", "decisions": ["success"] }]),
                json!([{ "from": "a", "to": null, "condition": "sucess" }]),
            ),
            "/connections/0/condition a connection is for `sucess`, which stage `a` does not decide",
        ),
        (
            wrong(
                json!([{ "id": "a", "agent": "x" }, { "id": "b", "agent": "x" }]),
                json!([{ "from": "a", "to": "b" }, { "from": "b", "to": "a" }]),
            ),
            "/stages/0 stages `a`, `b` lead only to one another",
        ),
        (
            wrong(json!([{ "id": "a", "agent": "x" }]), json!([{ "from": "a", "to": "a" }])),
            "/stages/0 stage `a` leads only to itself",
        ),
        (
            wrong(
                json!([{ "id": "a", "agent": "x" }]),
                json!([{ "from": "a", "to": null }, { "from": "a", "to": "a" }]),
            ),
            "/connections/1 `any other decision` of stage `a` is connected twice",
        ),
        (
            wrong(json!([{ "id": "a", "agent": "x" }, { "id": "a", "agent": "x" }]), json!([])),
            "/stages/1/id there are two stages `a`",
        ),
        (
            problems(&json!({ "id": "w", "schedule": "sometimes", "stages": [{ "id": "a", "agent": "x" }] })),
            "/schedule `sometimes` is not a schedule",
        ),
        (
            problems(&json!({ "id": "w", "params": { "a-b": 1 }, "stages": [{ "id": "a", "agent": "x" }] })),
            "/params/a-b `a-b` cannot be the name of a parameter",
        ),
        (
            problems(
                &json!({ "id": "w", "params": { "n": { "type": "integer", "default": "x" } }, "stages": [{ "id": "a", "agent": "x" }] }),
            ),
            "/params/n/default `default` is `x`, not a whole number",
        ),
        (
            problems(&json!({ "id": "w", "conections": [], "stages": [{ "id": "a", "agent": "x" }] })),
            "/conections a workflow has no `conections`",
        ),
        (
            problems(
                &json!({ "id": "w", "params": { "n": { "type": "integer", "defualt": 1 } }, "stages": [{ "id": "a", "agent": "x" }] }),
            ),
            "/params/n/defualt a parameter has no `defualt`",
        ),
        (problems(&json!([])), " a workflow is a JSON object"),
    ] {
        assert!(found.iter().any(|p| p.starts_with(expected)), "{expected} not in {found:#?}");
    }
}

#[test]
fn no_mistake_follows_from_another() {
    let run = |id: &str| json!({ "id": id, "run": "true" });
    let word = |id: &str, words: &[&str]| json!({ "id": id, "agent": "x", "decisions": words });
    for (file, expected) in [
        // What was probably meant is handled and reached; the rest is told.
        (
            json!({ "id": "w", "stages": [word("check", &["ok", "bad"]), run("build"), run("other")], "connections": [
                { "from": "check", "to": "biuld", "condition": "okk" }, { "from": "build", "to": null }] }),
            &[
                "/connections/0/to there is no stage `biuld`",
                "/stages/2 nothing leads to stage `other`",
                "/connections/0/condition a connection is for `okk`, which stage `check` does not decide",
                "/stages/0 stage `check` may decide `bad`, and no connection handles it",
            ][..],
        ),
        // Where a connection was to lead is not known: it may be anywhere.
        (
            json!({ "id": "w", "stages": [run("build"), run("other")], "connections": [{ "from": "build", "to": "nowhere-near" }] }),
            &["/connections/0/to there is no stage `nowhere-near`"][..],
        ),
        // A stage that cannot be read is there all the same.
        (
            json!({ "id": "w", "stages": [{ "id": "build", "run": 1 }, run("other")],
                    "connections": [{ "from": "build", "to": "other" }, { "from": "other", "to": null }] }),
            &["/stages/0/run `run` is a shell command, or a list of its lines"][..],
        ),
        (
            json!({ "id": "w", "stages": [{ "id": "a", "run": "echo {{ x }}", "matrix": { "x": "{{ envs }}" } }] }),
            &["/stages/0/matrix/x `x` is a list of values"][..],
        ),
        (
            json!({ "id": "w", "params": "x", "stages": [{ "id": "a", "run": "echo {{ x }}" }] }),
            &["/params `params` is an object of parameters"][..],
        ),
        // Without a name the rest is read.
        (
            json!({ "stages": [run("a"), run("b")], "start": "a", "connections": [{ "from": "a", "to": null }] }),
            &[" `id` is missing", "/stages/1 nothing leads to stage `b`"][..],
        ),
        (
            json!({ "id": "w", "startStage": "c", "stages": [run("build"), run("test")], "connections": [{ "from": "test", "to": "build" }] }),
            &["/startStage there is no stage `c`"][..],
        ),
    ] {
        let failed = |said: &&String| !said.contains("may decide `failed`");
        assert_eq!(problems(&file).iter().filter(failed).collect::<Vec<_>>(), expected, "{file}");
    }
}

#[test]
fn what_is_said_twice_and_differs_is_told() {
    let stages = json!([{ "id": "a", "agent": "x" }, { "id": "b", "agent": "x" }]);
    let (there, back) = (json!([{ "from": "a", "to": "b" }]), json!([{ "from": "b", "to": "a" }]));
    let file = json!({ "id": "w", "stages": stages, "flow": { "connections": there }, "connections": back,
                       "startStage": "a", "entryPoint": "b" });
    assert_eq!(
        problems(&file),
        [
            "/connections `flow.connections` counts, so these are not followed",
            "/entryPoint `startStage` names another stage, and it counts",
        ]
    );
    let same = json!({ "id": "w", "stages": stages, "flow": { "connections": there }, "connections": there,
                       "startStage": "a", "entryPoint": "a" });
    assert_eq!(problems(&same), [""; 0]);
}

#[test]
fn a_schedule_that_gives_nothing_is_told_what_is_needed() {
    let file = json!({ "id": "w", "schedule": "every 2 hours", "stages": [{ "id": "a", "run": "true" }],
                       "params": { "must": { "required": true }, "may": { "required": true, "default": 1 }, "n": 2 } });
    assert_eq!(problems(&file), ["/schedule nothing gives `must` at these times, so each of them would be left out"]);
}

#[test]
fn a_matrix_holds_values_and_no_placeholders() {
    let file = json!({ "id": "w", "params": { "q": "Q" }, "stages": [
        { "id": "a", "run": "echo {{ x }}", "matrix": { "x": ["{{ q }}", "b", ["{{ q }}"]] } }] });
    assert_eq!(
        problems(&file),
        [
            "/stages/0/matrix/x/0 `{{ q }}` stays as it is: nothing is filled in in a matrix",
            "/stages/0/matrix/x/2 `{{ q }}` stays as it is: nothing is filled in in a matrix",
        ]
    );
}

#[test]
fn a_loop_that_can_end_is_no_mistake() {
    let two = |more: Value| json!([{ "id": "a", "agent": "x", "max_visits": more }, { "id": "b", "agent": "x" }]);
    let round = json!([{ "from": "a", "to": "b" }, { "from": "b", "to": "a" }]);
    assert_eq!(wrong(two(json!(5)), round.clone()), [""; 0]);
    let budget = json!({ "id": "w", "max_steps": 9, "stages": two(Value::Null), "connections": round });
    assert_eq!(problems(&budget), [""; 0]);
    let leaves = json!([{ "from": "a", "to": "b" }, { "from": "b", "to": "a" }, { "from": "b", "to": null, "condition": "failed" }]);
    assert_eq!(wrong(two(Value::Null), leaves), [""; 0]);
}

#[test]
fn an_unknown_role_comes_with_a_suggestion() {
    let roles = BTreeSet::from([Role::new("reviewer").unwrap(), Role::new("dev").unwrap()]);
    let document = json!({ "id": "w", "stages": [{ "id": "a", "agent": "reviewr" }, { "id": "b", "run": "true" }] });
    let problems = parse(&document, Some(&roles)).unwrap_err();
    let suggestion = "Did you mean `reviewer`? Use one of the roles of config.toml (dev, reviewer), or add an agent.";
    assert_eq!(problems[0].suggestion.as_deref(), Some(suggestion));
    assert_eq!(problems.len(), 1);
}

#[test]
fn what_was_written_to_a_journal_reads_back() {
    let document = json!({ "id": "w", "stages": [
        { "id": "a", "run": "x", "type": "t", "decisions": [{ "choice": "success", "exit": [0, 3] }, { "choice": "no", "exit": "other" }] },
        { "id": "b", "parallel": ["c"] }, { "id": "c", "workflow": "other" } ],
        "connections": [{ "from": "a", "to": "b" }, { "from": "b", "to": null }] });
    let workflow = read(&document);
    let text = serde_json::to_string(&workflow).unwrap();
    assert_eq!(serde_json::from_str::<Workflow>(&text).unwrap(), workflow);
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop_oneof![
        Just("id"),
        Just("stages"),
        Just("agent"),
        Just("run"),
        Just("workflow"),
        Just("parallel"),
        Just("hub"),
        Just("requirements"),
        Just("stage"),
        Just("matrix"),
        Just("decisions"),
        Just("choice"),
        Just("exit"),
        Just("connections"),
        Just("from"),
        Just("to"),
        Just("condition"),
        Just("params"),
        Just("env"),
        Just("thresholds"),
        Just("schedule"),
        Just("routing"),
        Just("after"),
        Just("name"),
        Just("flow"),
        Just("timeout"),
        Just("default"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof!["[ab]", "[a-z{}% ]{0,8}", Just("success".to_owned())].prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((keys.clone(), inner), 0..6).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(document in any_json(), stages in proptest::collection::vec(any_json(), 0..4)) {
        drop(parse(&document, None));
        let mut whole = json!({ "id": "w", "stages": stages });
        if let (Some(whole), Some(object)) = (whole.as_object_mut(), document.as_object()) {
            whole.extend(object.clone());
        }
        drop(parse(&whole, Some(&BTreeSet::new())));
    }

    /// Stages in a random graph: whatever is accepted leads somewhere from every stage.
    #[test]
    fn what_is_accepted_has_no_loose_ends(edges in proptest::collection::vec((0_usize..6, 0_usize..8, 0_usize..3), 0..14)) {
        let words = ["success", "failed", "again"];
        let stages: Vec<Value> = (0..6).map(|n| json!({ "id": format!("s{n}"), "agent": "x" })).collect();
        let to = |n: usize| if n < 6 { json!(format!("s{n}")) } else { Value::Null };
        let connections: Vec<Value> = edges
            .iter()
            .map(|(from, end, word)| json!({ "from": format!("s{from}"), "to": to(*end), "condition": words[*word] }))
            .collect();
        if let Ok((workflow, _)) = parse(&json!({ "id": "w", "stages": stages, "connections": connections }), None) {
            for stage in &workflow.stages {
                for word in stage.words().into_iter().filter(|word| *word != FAILED) {
                    prop_assert!(workflow.next(&stage.id, word) != Next::Nowhere);
                }
            }
        }
    }
}
