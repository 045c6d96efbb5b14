//! What becomes of a stage: where its work goes, what it decides, who agrees to it, and what is found out before anything
//! has begun. Through the binary, on workflows as people write them.

use serde_json::{Value, json};

use crate::support::Sandbox;

fn workflow(s: &Sandbox, id: &str, mut document: Value) {
    document["id"] = id.into();
    s.write(&format!(".pipeline/workflows/{id}.json"), &document.to_string());
}

/// A hub of agents: an orchestrator that hands on to a specialist, who comes back.
fn orchestrated(s: &Sandbox) {
    let connections = json!([
        { "from": "orchestrate", "to": "handle_pool", "condition": "delegate_pool_setup" },
        { "from": "handle_pool", "to": "orchestrate", "condition": "pool_ready" },
        { "from": "handle_pool", "to": "orchestrate", "condition": "pool_failure" },
        { "from": "orchestrate", "to": null, "condition": "infrastructure_complete" },
        { "from": "orchestrate", "to": null, "condition": "escalate" },
    ]);
    workflow(
        s,
        "infra",
        json!({ "stages": [
            { "id": "orchestrate", "agent": "supervisor",
              "decisions": ["delegate_pool_setup", "infrastructure_complete", "escalate"] },
            { "id": "handle_pool", "agent": "implementation", "decisions": ["pool_ready", "pool_failure"] },
        ], "connections": connections }),
    );
    s.plan("handle_pool", "work; marker COMPLETED; decision pool_ready");
}

#[test]
fn an_orchestrators_work_is_merged_when_it_is_complete_and_not_before() {
    let s = Sandbox::ready();
    orchestrated(&s);
    s.plan(
        "orchestrate",
        "git log --oneline main | grep -c . >> ../../../../seen/base; marker COMPLETED; decision delegate_pool_setup",
    );
    s.plan("orchestrate.3", "marker COMPLETED; decision infrastructure_complete");
    let base = s.git(&["rev-parse", "main"]);
    s.plan(
        "orchestrate.2",
        &format!("test \"$(git rev-parse main)\" = {base} && marker COMPLETED && decision delegate_pool_setup"),
    );
    s.run(["run", "infra"]).ok().says(&["handle_pool", "completed"]);
    assert_eq!(s.calls("TASK-001.handle_pool"), 2);
    assert_ne!(s.git(&["rev-parse", "main"]), base);
    assert!(s.git(&["show", "main:TASK-001.txt"]).contains("handle_pool 2"));
}

#[test]
fn who_escalates_is_heard() {
    let s = Sandbox::ready();
    orchestrated(&s);
    let base = s.git(&["rev-parse", "main"]);
    s.plan(
        "orchestrate",
        "marker COMPLETED; echo 'DECISION: escalate'; echo 'REASONING: corrupted block database, 5 times'",
    );
    let output = s.run(["run", "infra", "--json"]).code(1);
    let end = output.json_lines().pop().unwrap();
    assert_eq!(end["result"], "blocked");
    let why = end["reason"].as_str().unwrap();
    assert!(why.contains("asks for a person") && why.contains("corrupted block database, 5 times"), "{why}");
    assert_eq!(s.git(&["rev-parse", "main"]), base);
}

#[test]
fn an_agent_is_asked_once_what_it_meant() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "review",
        json!({ "stages": [{ "id": "look", "agent": "supervisor", "decisions": ["approve", "reject"] }],
                "connections": [{ "from": "look", "to": null, "condition": "approve" }, { "from": "look", "to": null, "condition": "reject" }] }),
    );
    s.plan("look", "marker COMPLETED; echo 'DECISION: approve, mostly'");
    s.plan("look.2", "marker COMPLETED; decision approve");
    s.run(["run", "review"]).ok().says(&["asked once more", "`DECISION: approve, mostly`"]);
    let told = s.seen("TASK-001.look.2", "md");
    assert!(told.contains("`DECISION: approve, mostly`") && told.contains("one of: approve, reject"), "{told}");
    s.plan("TASK-002.look.2", "marker COMPLETED; echo 'DECISION: LGTM'");
    let end = s.run(["run", "review", "--json"]).code(3).json_lines().pop().unwrap();
    assert_eq!(end["command"], "pipeline task approve TASK-002 --decision approve|reject");
    assert!(end["reason"].as_str().unwrap().contains("`DECISION: LGTM`"), "{end}");
    assert_eq!(s.calls("TASK-002.look"), 2);
}

#[test]
fn what_a_command_prints_is_its_own_affair() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "prints",
        json!({ "stages": [{ "id": "a", "run": "echo 'DECISION: whatever'" }, { "id": "b", "run": "echo '{ \"decision\": 1 }'" }] }),
    );
    s.run(["run", "prints"]).ok();
}

#[test]
fn what_commands_commit_is_merged_only_where_the_file_says_so() {
    let s = Sandbox::ready();
    let stage = |more: Value| {
        let mut stage = json!({ "id": "a", "run": "echo x > made.txt" });
        stage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "stages": [stage] })
    };
    workflow(&s, "stays", stage(json!({})));
    workflow(&s, "outer", json!({ "stages": [{ "id": "sub", "workflow": "stays" }] }));
    workflow(&s, "goes", stage(json!({ "merge": true })));
    let base = s.git(&["rev-parse", "main"]);
    s.run(["run", "stays"]).ok().says(&["1 commit is on branch pipeline/TASK-001 and not in main"]);
    let end = s.run(["run", "outer", "--json"]).ok().json_lines().pop().unwrap();
    assert_eq!(end["not_merged"], json!({ "branch": "pipeline/TASK-002", "commits": 1, "base": "main" }));
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    let end = s.run(["run", "goes", "--json"]).ok().json_lines().pop().unwrap();
    assert!(end.get("not_merged").is_none(), "{end}");
    assert_eq!(s.git(&["show", "main:made.txt"]), "x");
}

#[test]
fn somebody_else_approves_than_who_asked() {
    let s = Sandbox::ready_with("separate_approver = true", "");
    workflow(&s, "ask", json!({ "stages": [{ "id": "a", "run": "true", "approval": true }] }));
    s.run(["run", "ask"]).code(3);
    s.run(["task", "approve", "TASK-001"]).code(1).says(&[
        "was asked for by",
        "may not approve it",
        "separate_approver",
    ]);
    let somebody = |name: &str, value: &str| {
        let mut command = s.command(["task", "approve", "TASK-001"]);
        command.env(name, value);
        s.finish(command)
    };
    somebody("PIPELINE_RUN_ID", "R1").code(1).says(&["an agent cannot approve anything"]);
    somebody("PIPELINE_ACTOR", "bob").ok();
    s.run(["run", "--resume", "TASK-001"]).ok();
    // Where nothing of the kind is asked for, an agent may not either.
    let s = Sandbox::ready();
    workflow(&s, "ask", json!({ "stages": [{ "id": "a", "run": "true", "approval": true }] }));
    s.run(["run", "ask"]).code(3);
    let mut command = s.command(["task", "approve", "TASK-001"]);
    command.env("PIPELINE_RUN_ID", "R1");
    s.finish(command).code(1);
    s.run(["task", "approve", "TASK-001"]).ok();
}

#[test]
fn agent_files_are_served_after_one_line_of_configuration() {
    let s = Sandbox::ready();
    let definition = json!({ "name": "pool_server_manager", "role": "You run pools.", "system_prompt_template": "Run {pool} well. Mind {nothing_known}." });
    s.write(".pipeline/agents/pool.json", &definition.to_string());
    let stages = json!({ "stages": [{ "id": "handle", "agent": "pool_server_manager", "description": "Start it." }],
                         "params": { "pool": "main-pool" } });
    workflow(&s, "pool", stages);
    s.run(["config", "validate"]).ok().says(&["default_agent", "pool_server_manager", "`{nothing_known}`"]);
    let config =
        s.read(".pipeline/config.toml").replace("[project]\n", "[project]\ndefault_agent = \"implementation\"\n");
    s.write(".pipeline/config.toml", &config);
    s.run(["run", "pool"]).ok();
    assert!(s.seen("TASK-001.handle.1", "md").contains("Run main-pool well."));
}

#[test]
fn what_is_missing_is_found_before_anything_begins() {
    let s = Sandbox::ready();
    let first = json!({ "id": "first", "run": "true" });
    let flow = |second: Value| json!({ "stages": [first.clone(), second], "params": { "o": {} } });
    workflow(&s, "optional", flow(json!({ "id": "second", "run": "echo {{ o }}" })));
    s.run(["run", "optional"]).code(1).says(&["parameter `o` is missing", "stage second"]);
    s.run(["run", "optional", "--param", "o=x"]).ok();
    workflow(
        &s,
        "guarded",
        flow(json!({ "id": "second", "run": "echo {{ o | default('') }} {% if o is defined %}{{ o }}{% endif %}" })),
    );
    s.run(["run", "guarded"]).ok();
    workflow(&s, "secret", flow(json!({ "id": "second", "run": "true", "secrets": ["NO_SUCH_TOKEN"] })));
    let output = s.run(["run", "secret"]).code(1).says(&["stage second needs the secret NO_SUCH_TOKEN"]);
    assert!(!output.stderr.contains("begins"), "{output:?}");
    // The values of a matrix reach a workflow by their names.
    workflow(
        &s,
        "inner",
        json!({ "stages": [{ "id": "say", "run": "echo said {{ env_name }}" }], "params": { "env_name": {} } }),
    );
    workflow(
        &s,
        "each",
        json!({ "stages": [{ "id": "all", "matrix": { "e": ["regtest", "testnet"] },
                             "workflow": { "id": "inner", "params": { "env_name": "{{ e }}" } } }] }),
    );
    s.run(["run", "each"]).ok();
    workflow(
        &s,
        "nets",
        json!({ "stages": [{ "id": "all", "matrix": { "e": ["regtest", "testnet"] }, "run": "make NET={{ e }}" }] }),
    );
    s.run(["run", "nets", "--dry-run"]).ok().says(&["make NET=regtest", "make NET=testnet"]);
}

#[test]
fn what_is_said_is_what_helps() {
    let s = Sandbox::ready_with("", "retries = 0");
    s.run(["run", "unit-test-pipline"]).code(5).says(&["Did you mean `unit-test-pipeline`?"]);
    s.write("odd/cyc.json", "{}");
    s.run(["run", "odd/cyc.json"]).code(5).says(&["execute-pipeline --template odd/cyc.json"]);
    let threshold = json!([{ "name": "coverage", "from": { "output": "coverage:" }, "min": 80 }]);
    workflow(
        &s,
        "low",
        json!({ "stages": [{ "id": "measure", "run": "echo coverage: 12%", "thresholds": threshold }] }),
    );
    let output = s.run(["run", "low"]).code(1).says(&["failed in", "coverage is 12", "1 attempt"]);
    assert!(!output.stderr.contains("exited with code 0") && !output.stderr.contains("1 attempts"), "{output:?}");
    workflow(
        &s,
        "both",
        json!({ "stages": [{ "id": "p", "parallel": ["x", "y"] }, { "id": "x", "run": "echo x > f.txt" }, { "id": "y", "run": "echo y > f.txt" }] }),
    );
    let output = s.run(["run", "both", "--junit", "report.xml"]).code(1).says(&["✗ p"]);
    assert!(!output.stderr.contains("✓ p "), "{output:?}");
    let report = s.read("report.xml");
    assert!(report.contains("<testsuite name=\"both\"") && report.contains("classname=\"both\""), "{report}");
    workflow(
        &s,
        "fits",
        json!({ "stages": [{ "id": "p", "parallel": ["x", "y"] }, { "id": "x", "run": "true" }, { "id": "y", "run": "true" }] }),
    );
    s.run(["run", "fits", "--junit", "report.xml"]).ok();
    assert!(s.read("report.xml").contains("tests=\"2\""), "{}", s.read("report.xml"));
}

#[test]
fn commands_follow_each_other_in_one_host_and_are_a_persons_own() {
    let s = Sandbox::ready();
    let hosts = s.path("hosts");
    let program = crate::support::program();
    let say = format!("echo $PPID >> '{}'", hosts.display());
    workflow(
        &s,
        "short",
        json!({ "stages": [
            { "id": "one", "run": say, "place": "repository" },
            // What an agent started is refused this.
            { "id": "two", "run": format!("{say} && '{}' -C \"$PIPELINE_ROOT\" trash list", program.display()) },
            { "id": "three", "run": format!("{say}; exit 3"), "place": "repository", "retries": 0 },
        ] }),
    );
    s.run(["run", "short"]).code(1).says(&["three", "3"]);
    let hosts = std::fs::read_to_string(hosts).expect("what the commands said");
    let hosts: Vec<&str> = hosts.lines().collect();
    assert!(hosts.len() == 3 && hosts.iter().all(|host| *host == hosts[0]), "{hosts:?}");
}

#[test]
fn the_graph_names_what_does_parts_of_a_task() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "split",
        json!({ "stages": [{ "id": "p", "parallel": ["x", "y"] }, { "id": "x", "run": "true" }, { "id": "y", "run": "true" }] }),
    );
    s.run(["task", "add", "whole", "--id", "A", "--workflow", "split"]).ok();
    s.run(["task", "add", "behind", "--id", "B", "--after", "A"]).ok();
    s.run(["monitor", "--once"]).ok();
    let graph = s.run(["task", "graph", "--json"]).ok().json();
    assert_eq!(graph["edges"], json!([{ "from": "A", "to": "B" }]), "a part is no dependency");
    let part = |to: &str| json!({ "from": "A", "to": to, "stage": "p", "why": "part" });
    assert_eq!(graph["parts"], json!([part("A.p.x"), part("A.p.y")]));
    let list = s.run(["task", "graph"]).ok().stdout;
    let names: Vec<&str> = list.lines().map(|line| line.split("  ").find(|word| !word.is_empty()).unwrap()).collect();
    assert_eq!(names, ["A", "A.p.x", "A.p.y", "B"], "{list}");
    assert!(
        list.lines().skip(1).all(|line| line.starts_with("  ")) && list.matches("(part of p)").count() == 2,
        "{list}"
    );
    s.run(["task", "graph", "--mermaid"]).ok().says(&["A --> B", "A -. \"part of p\" .-> A.p.x"]);
}
