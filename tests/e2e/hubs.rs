//! Hubs whose decisions an agent makes, or the record of an earlier run, and what they leave for people. Probes and commands
//! are real; the agent is scripted.

use serde_json::{Value, json};

use crate::support::Sandbox;

/// An infrastructure in a folder: configs, then a daemon and a pool, which does not come up while its port is taken.
fn infrastructure(s: &Sandbox, recovery: &str) {
    let stage = |name: &str, run: &str| {
        json!({ "id": format!("handle_{name}"), "run": run, "decisions": [
            { "choice": format!("{name}_ready"), "exit": 0 }, { "choice": format!("{name}_failed"), "exit": "other" } ] })
    };
    let needs = |name: &str, after: &[&str]| json!({ "name": name, "stage": format!("handle_{name}"), "probe": format!("test -e {{{{ d }}}}/{name}"), "after": after });
    let way = |to: Option<&str>, word: &str| json!({ "from": "orchestrate", "to": to, "condition": word });
    let document = json!({
        "id": "infra", "params": { "d": { "required": true } },
        "stages": [
            { "id": "orchestrate", "agent": "architect", "description": "Set it up.",
              "hub": { "requirements": [needs("configs", &[]), needs("daemon", &["configs"]), needs("pool", &["configs"])],
                       "recovery": "handle_recovery", "validation": "handle_validation" },
              "decisions": ["delegate_config_generation", "delegate_pool_setup", "infrastructure_complete", "escalate"] },
            stage("configs", "touch {{ d }}/configs"),
            stage("daemon", "touch {{ d }}/daemon"),
            stage("pool", "if [ -e {{ d }}/taken ]; then echo 'port 3333 in use' >&2; exit 1; fi; touch {{ d }}/pool"),
            stage("recovery", recovery),
            stage("validation", "true"),
        ],
        "connections": [
            way(Some("handle_configs"), "delegate_config_generation"), way(Some("handle_pool"), "delegate_pool_setup"),
            way(None, "infrastructure_complete"), way(None, "escalate"),
        ],
    });
    s.write(".pipeline/workflows/infra.json", &document.to_string());
    s.run(["workflow", "validate"]).ok().says(&["0 errors, 0 warnings"]);
}

/// A folder in which the port is taken, as a parameter.
fn site(s: &Sandbox, name: &str, taken: bool) -> String {
    let path = s.path(name);
    std::fs::create_dir_all(&path).expect("a folder");
    if taken {
        std::fs::write(path.join("taken"), "").expect("a file");
    }
    format!("d={}", path.display())
}

/// What the hub decided, and who did.
fn decisions(s: &Sandbox, id: &str) -> Vec<String> {
    let shown = s.show(id);
    let outputs =
        shown["outputs"].as_array().expect("outputs").iter().filter(|output| output["stage"] == "orchestrate");
    let who = |by: &Value| match by {
        Value::String(word) => word.clone(),
        Value::Object(table) => table.keys().next().cloned().unwrap_or_default(),
        other => other.to_string(),
    };
    outputs.map(|output| format!("{} {}", output["decision"].as_str().unwrap_or("-"), who(&output["by"]))).collect()
}

#[test]
fn an_agent_decides_at_a_hub_within_the_rules_and_its_decisions_can_be_replayed() {
    let s = Sandbox::ready();
    infrastructure(&s, "rm {{ d }}/taken; echo freed");
    let answers = [
        "decision delegate_config_generation",
        "decision infrastructure_complete",
        "decision delegate_pool_setup",
        "decision recover_handle_pool",
        "\"$pipeline\" done --status ok --decision delegate_pool --summary 'again'",
        "echo hm",
        "decision nonsense",
        "decision validate",
        "decision infrastructure_complete",
    ];
    for (n, answer) in answers.iter().enumerate() {
        s.plan(&format!("orchestrate.{}", n + 1), answer);
    }
    s.run(["run", "infra", "--param", &site(&s, "one", true)]).ok().says(&["delegate_pool · by architect"]);
    let expected = [
        "delegate_configs agent",
        "delegate_pool agent",
        "recover_handle_pool agent",
        "delegate_pool agent",
        "delegate_daemon rules",
        "validate agent",
        "infrastructure_complete agent",
    ];
    assert_eq!(decisions(&s, "TASK-001"), expected);
    let told = s.seen("TASK-001.orchestrate.4", "md");
    for part in
        ["pool does not hold", "handle_pool pool_failed: port 3333 in use", "`recover_handle_pool`", "`escalate`"]
    {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let refused = s.seen("TASK-001.orchestrate.3", "md");
    assert!(refused.contains("`infrastructure_complete` is no legal decision now"), "{refused}");
    s.run(["task", "show", "TASK-001"]).ok().says(&["by the built-in rules (architect was asked 2 times"]);
    s.run(["explain", "TASK-001"]).ok().says(&["orchestrate decided validate, by architect"]);
    let learned = s.run(["workflow", "learn", "--json"]).ok().json();
    assert_eq!(learned["patterns"][0]["error"], "port 3333 in use", "{learned}");
    assert_eq!(learned["patterns"].as_array().map(Vec::len), Some(1), "{learned}");

    // Every tick is a process of its own: the record is where the task is.
    s.run(["run", "infra", "--param", &site(&s, "two", true), "--replay", "TASK-001", "--detach"]).ok();
    s.tick_to("TASK-002", "completed");
    let replayed: Vec<String> =
        expected.iter().map(|line| line.replace(" agent", " recorded").replace(" rules", " recorded")).collect();
    assert_eq!(decisions(&s, "TASK-002"), replayed);
    assert!(!s.path("calls/TASK-002.orchestrate").exists(), "nobody was asked");

    let diverges = s.run(["run", "infra", "--param", &site(&s, "three", false), "--replay", "TASK-001"]).code(1);
    diverges.says(&[
        "diverged from the record of TASK-001",
        "`recover_handle_pool`",
        "Legal now: delegate_daemon, escalate",
    ]);
    assert_eq!(s.status_of("TASK-003"), "blocked");
    s.run(["run", "infra", "--param", "d=/", "--replay", "TASK-099"]).code(5);
    s.run(["run", "tdd", "--replay", "TASK-001"]).code(2).says(&["travelled workflow `infra`"]);
}

#[test]
fn a_hub_that_gives_up_leaves_a_report_and_a_person_lets_it_go_on() {
    let s = Sandbox::ready();
    infrastructure(&s, "echo 'cannot free it' >&2; exit 1");
    let text = s.read(".pipeline/workflows/infra.json").replace("\"agent\":\"architect\",", "");
    s.write(".pipeline/workflows/infra.json", &text);
    let site = site(&s, "one", true);
    let end = s.run(["run", "infra", "--param", &site]).code(1);
    end.says(&[
        "handle_pool failed: port 3333 in use. 2 recoveries in a row failed.",
        "\nWhat failed:\n- handle_pool, 1 time in a row\n",
        "\nRecoveries tried:\n- handle_recovery recovery_failed: cannot free it (2x)\n",
        "\n- holds now: configs, daemon; does not: pool\n",
        "\nSuggested manual actions:\n1. Read what handle_pool printed: pipeline logs --run r",
        "2. Make this succeed: test -e",
    ]);
    let first = &s.status()["attention"][0];
    assert_eq!(first["summary"].as_str().map(|summary| summary.lines().count()), Some(1), "{first}");
    std::fs::remove_file(s.path("one/taken")).expect("the port is free");
    s.run(["task", "retry", "TASK-001"]).ok();
    s.run(["run", "--resume", "TASK-001"]).ok();
}
