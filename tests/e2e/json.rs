//! The rules for all JSON, and the exit codes in `--help`.

use serde_json::Value;

use crate::support::Sandbox;

/// Fields that the interface shows as null where there is nothing to say.
const NULLABLE: [&str; 13] = [
    "assigned_to",
    "stage",
    "group",
    "reason",
    "current_task",
    "run",
    "pending_mode",
    "started_at",
    "finished_at",
    "merge_commit",
    "task",
    "agent",
    "feedback",
];

/// Snake case, no null where the interface does not show one, times in UTC.
fn check(value: &Value, path: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let by_name =
                    ["tasks", "agents", "queues", "by_agent", "by_stage", "by_workflow", "by_variant", "visits"];
                let named = by_name.iter().any(|parent| path.ends_with(parent));
                let snake = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                assert!(named || snake, "{path}.{key}");
                assert!(!value.is_null() || NULLABLE.contains(&key.as_str()), "{path}.{key} is null");
                if let Some(time) = value.as_str().filter(|_| key.ends_with("_at") || key == "since") {
                    assert!(
                        time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
                        "{path}.{key} {time}"
                    );
                }
                check(value, &format!("{path}.{key}"));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check(item, &format!("{path}[]"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn one_document_with_everything_in_it() {
    let s = Sandbox::ready();
    for round in 0..2 {
        let status = s.status();
        assert_eq!(status["schema_version"], 1);
        assert_eq!(status["version"], "1.0.0");
        assert!(status["attention"].is_array());
        for queue in ["unassigned", "architect", "test", "implementation", "supervisor", "blocked", "completed"] {
            assert!(status["queues"][queue].is_array(), "{queue}");
        }
        let metrics = &status["metrics"];
        for key in [
            "tasks_total",
            "tasks_completed",
            "tasks_in_progress",
            "tasks_blocked",
            "tasks_failed",
            "completion_rate",
            "runs_total",
            "runs_failed",
            "retries_total",
            "gate_failures_total",
            "throughput_per_hour",
            "agent_utilization",
            "state_disagreements_total",
            "tokens_total",
            "cost_usd_total",
        ] {
            assert!(metrics[key].is_number(), "{key}: {metrics}");
        }
        for key in ["cycle_time_seconds", "attention_wait_seconds"] {
            assert!(metrics[key]["p50"].is_number() && metrics[key]["p90"].is_number(), "{key}");
        }
        for key in ["by_stage", "by_agent", "by_workflow", "by_variant"] {
            assert!(metrics[key].is_object(), "{key}");
        }
        for agent in status["agents"].as_object().unwrap().values() {
            assert!(
                agent["status_source"].is_string()
                    && agent["status_since"].is_string()
                    && agent["confidence"].is_number()
            );
        }
        check(&status, "status");
        check(&s.state(), "state");
        if round == 0 {
            s.add("T-1", &[]);
            s.add("T-2", &["--paths", "src/**", "--group", "g"]);
            s.tick_to("T-1", "completed");
            s.run(["task", "block", "T-2"]).ok();
        } else {
            let tdd = &metrics["by_workflow"]["tdd"];
            assert!(tdd["runs"].is_number() && tdd["success_rate"].is_number(), "{tdd}");
            assert!(["avg", "p50", "p90"].iter().all(|key| tdd["duration_seconds"][*key].is_number()), "{tdd}");
            assert_eq!((&metrics["tasks_total"], &metrics["tasks_completed"]), (&2.into(), &1.into()));
            let item = &status["attention"][0];
            let keys: Vec<&String> = item.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["agent", "command", "kind", "since", "summary", "task", "unblocks"]);
        }
    }
}

/// One document, and nothing else, from every verb that answers something.
#[test]
fn every_answer_is_one_document() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    for args in [
        &["status"][..],
        &["task", "list"],
        &["task", "show", "T-1"],
        &["task", "graph"],
        &["agent", "list"],
        &["mode"],
        &["explain", "T-1"],
        &["pilot", "list"],
        &["rollout", "history"],
        &["workflow", "list"],
        &["workflow", "show", "tdd"],
        &["workflow", "validate"],
        &["trash", "list"],
        &["config", "show"],
        &["config", "show", "--origin"],
        &["config", "validate"],
        &["wait", "--timeout", "0"],
        &["agent", "sync", "--all"],
        &["task", "edit", "T-1", "--priority", "2"],
        &["task", "block", "T-1"],
        &["task", "cancel", "T-1"],
        &["doctor"],
    ] {
        let output = s.run(args.iter().chain(&["--json"]));
        let document = output.json();
        assert!(document.is_object(), "{args:?}: {document}");
        assert_eq!(document["schema_version"], 1, "{args:?}: {document}");
        let quiet = s.run(args.iter().chain(&["--json", "-q"]));
        assert_eq!(quiet.stderr, "", "{args:?}");
    }
    for name in ["state", "status", "simulate", "predictions", "events", "workflow", "agent", "config", "error"] {
        let schema = s.run(["schema", name]).ok().json();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
    }
    s.run(["schema", "nothing"]).code(2);
}

/// A document says what its schema promises: every required field is there.
#[test]
fn schemas_fit_their_documents() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    let error = s.run(["task", "show", "NOPE", "--json"]).code(5).json();
    s.add("T-2", &[]);
    let simulated = s.run(["simulate", "--from-state", "--record", "--json"]).ok().json();
    let predictions = s.run(["simulate", "--check", "--json"]).ok().json();
    for (name, document) in [
        ("state", s.state()),
        ("status", s.status()),
        ("error", error),
        ("simulate", simulated),
        ("predictions", predictions),
    ] {
        let schema = s.run(["schema", name]).ok().json();
        let required = schema["required"].as_array().unwrap_or_else(|| panic!("{name}: {schema}"));
        for field in required {
            assert!(document.get(field.as_str().unwrap()).is_some(), "{name} has no {field}");
        }
        for field in document.as_object().unwrap().keys() {
            assert!(schema["properties"].get(field).is_some(), "the schema of {name} does not know {field}");
        }
    }
}

/// Every verb has a help with an example; the exit codes are in the help of the program.
#[test]
fn every_verb_explains_itself() {
    let s = Sandbox::new();
    // However wide the terminal is taken to be.
    let help = s.run(["--help"]).ok().stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for code in [
        "0 ok",
        "1 failed",
        "2 usage",
        "3 attention",
        "4 refused",
        "5 not found",
        "65 ",
        "73 ",
        "75 ",
        "78 ",
        "124 ",
        "130 ",
    ] {
        assert!(help.contains(code), "{code} in {help}");
    }
    for verb in [
        "init",
        "demo",
        "monitor",
        "status",
        "explain",
        "mode",
        "pilot",
        "rollout",
        "task",
        "agent",
        "done",
        "logs",
        "events",
        "wait",
        "workflow",
        "trash",
        "doctor",
        "config",
        "schema",
        "completions",
        "man",
    ] {
        s.run([verb, "--help"]).ok().says(&["Example: "]);
        assert!(help.contains(&format!(" {verb} ")), "{verb}");
    }
    for verb in [
        "add", "list", "show", "edit", "assign", "unassign", "reassign", "retry", "block", "unblock", "cancel",
        "approve", "reject", "rollback", "import", "graph",
    ] {
        s.run(["task", verb, "--help"]).ok().says(&["Example: "]);
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(s.run(["completions", shell]).ok().stdout.contains("pipeline"));
    }
    assert!(s.run(["man"]).ok().stdout.contains(".TH"));
    s.run(["--version"]).ok().says(&["pipeline"]);
    for wrong in [&["frobnicate"][..], &["status", "--frobnicate"], &["task", "add"], &["status", "--color", "odd"]] {
        s.run(wrong).code(2);
        let output = s.run(wrong.iter().chain(&["--json"])).code(2);
        assert_eq!(output.error().0, "usage", "{output:?}");
    }
}

/// Without a verb and without a terminal it is `status`; data is on stdout, notes on stderr; no escape sequences.
#[test]
fn without_a_terminal() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let bare = s.run::<&str>([]).ok();
    assert!(bare.stdout.contains("T-1") && bare.stdout.contains("parallel · production"), "{bare:?}");
    assert!(!bare.stdout.contains('\u{1b}'));
    assert!(s.run(["--color", "always", "status"]).ok().stdout.contains('\u{1b}'));
    let failed = s.run(["task", "show", "NOPE"]).code(5);
    assert!(failed.stdout.is_empty() && failed.stderr.starts_with("error: "), "{failed:?}");
    let config = s.run(["config", "show", "--origin"]).ok();
    assert!(config.stdout.contains("config.toml"), "{config:?}");
    s.run(["status", "--check"]).ok();
}

/// Command line over environment over project over user over default.
#[test]
fn where_a_setting_comes_from() {
    let mut s = Sandbox::ready();
    s.write("../home/config/pipeline/config.toml", "[scheduler]\nretries = 7\nmax_visits = 6\n");
    let shown = s.run(["config", "show", "--origin"]).ok().stdout;
    let line = |shown: &str, key: &str| shown.lines().find(|line| line.contains(key)).unwrap_or_default().to_owned();
    assert!(line(&shown, "retries").contains('7'), "{shown}");
    s.write(".pipeline/config.toml", &s.config("", "retries = 5"));
    let shown = s.run(["config", "show", "--origin"]).ok().stdout;
    assert!(line(&shown, "retries").contains('5'), "{shown}");
    assert!(line(&shown, "max_visits").contains('6'), "{shown}");
    s.set_env("PIPELINE_SCHEDULER__RETRIES", "4");
    let shown = s.run(["config", "show", "--origin"]).ok().stdout;
    assert!(line(&shown, "retries").contains('4'), "{shown}");
}
