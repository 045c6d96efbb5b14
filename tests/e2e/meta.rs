//! The registry: events that become tasks, chains of workflows, limits by category, and what starts by itself.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::support::{DEADLINE, Sandbox, texts, word};

/// A workflow of one command, which ends the task where it fails.
fn command(s: &Sandbox, id: &str, more: Value, run: &str) {
    let mut file = json!({
        "id": id,
        "stages": [{ "id": "do", "run": run, "retries": 0 }],
        "connections": [{ "from": "do", "to": null }, { "from": "do", "to": null, "condition": "failed" }],
    });
    file.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    s.write(&format!(".pipeline/workflows/{id}.json"), &file.to_string());
}

/// A command that adds a word to the log of the sandbox.
fn says(s: &Sandbox, word: &str) -> String {
    format!("echo {word} >> {}", s.path("log").display())
}

fn said(s: &Sandbox) -> Vec<String> {
    std::fs::read_to_string(s.path("log")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn registry(s: &Sandbox, registry: &Value) {
    s.write(".pipeline/registry.json", &registry.to_string());
}

#[test]
fn an_event_becomes_a_task_by_the_rules() {
    let s = Sandbox::ready();
    let takes = json!({ "params": { "bug_report": { "required": true }, "severity": { "type": "integer" } },
                        "triggers": ["crash"] });
    command(&s, "fix", takes, "true");
    command(&s, "hotfix", json!({ "params": { "what": {} }, "triggers": ["crash", "outage"] }), "true");
    registry(
        &s,
        &json!({ "rules": [
        { "condition": "event_type == 'bug_report'", "pipeline": "fix", "priority": 4 },
        { "condition": "event_type == 'bug_report' && params.severity >= 3", "workflow": "hotfix", "priority": "critical",
          "params": { "what": "{{ bug_report }}" } },
    ] }),
    );
    let minor = s.run(["event", "bug_report", "--param", "severity=1", "--param", "bug_report=it's slow", "--json"]);
    let minor = minor.ok().json();
    assert_eq!((&minor["workflow"], &minor["priority"]), (&json!("fix"), &json!(4)), "{minor}");
    let task = s.task(minor["task"].as_str().unwrap());
    assert_eq!((&task["workflow"], &task["priority"]), (&json!("fix"), &json!(4)), "{task}");
    let grave = ["event", "bug_report", "--param", "severity=5", "--param", "bug_report=shares are lost"];
    s.run(grave.into_iter().chain(["--dry-run"])).ok().says(&[
        "hotfix",
        "params.severity >= 3",
        "what = shares are lost",
    ]);
    assert_eq!(s.status()["metrics"]["tasks_total"], 1, "a dry run adds nothing");
    s.run(grave).ok().says(&["TASK-002", "hotfix takes no bug_report"]);
    assert_eq!(s.task("TASK-002")["priority"], 1);
    s.tick_to("TASK-002", "completed");
    // What is missing, unknown or unclear starts nothing.
    s.run(["event", "bug_report"]).code(1).says(&["parameter `bug_report` is missing"]);
    s.run(["event", "eclipse"]).code(5).says(&["no rule matches", "event_type == 'bug_report' → fix", "code_commit"]);
    s.run(["event", "crash"]).code(1).says(&["fix, hotfix", "registry.json"]);
    let outage = s.run(["event", "outage", "--dry-run", "--json"]).ok().json();
    assert_eq!((&outage["workflow"], &outage["task"]), (&json!("hotfix"), &Value::Null));
    assert_eq!(s.status()["metrics"]["tasks_total"], 2);
}

#[test]
fn what_comes_with_the_program_has_rules_and_chains() {
    let s = Sandbox::ready();
    let routed = s.run(["event", "feature_request", "--param", "user_request=x", "--dry-run", "--json"]).ok().json();
    assert_eq!(routed["workflow"], "feature-development");
    s.run(["workflow", "show", "hotfix_deployment"]).ok().says(&["pool-bug-fix", "deployment-pipeline"]);
    s.run(["execute-workflow", "--workflow", "standard_development", "--param", "user_request=x", "--dry-run"])
        .ok()
        .says(&["feature-development", "unit-test-pipeline", "integration-test-pipeline", "user_request = x"]);
    s.run(["execute-workflow", "--workflow", "hotfix_deployment", "--dry-run"]).code(1).says(&["bug_report"]);
}

#[test]
fn a_mistake_in_the_registry_is_located_and_nothing_is_lost() {
    let s = Sandbox::ready();
    s.write(".pipeline/registry.json", "{ \"rules\": [\n  { \"condition\": \"a = 1\", \"workflow\": \"tdx\" } ] }");
    s.run(["event", "x"]).code(78).says(&["registry.json:2:18", "write `==`"]);
    s.write(
        ".pipeline/registry.json",
        "{ \"rules\": [\n  { \"event\": \"x\", \"workflow\": \"tdd\", \"params\": { \"odd\": 1 } } ] }",
    );
    let said = ["registry.json:2:", "workflow `tdd` has no parameter `odd`", "0 errors, 1 warning"];
    s.run(["workflow", "validate"]).ok().says(&said);
    s.write(".pipeline/registry.json", "{ \"rules\": [\n  { \"condition\": \"a == 1\", \"workflow\": \"tdx\" } ] }");
    s.run(["event", "x"]).code(78).says(&["registry.json:2:40", "no workflow `tdx`", "Did you mean `tdd`?"]);
    registry(&s, &json!({ "chains": { "tdd": ["tdd"] } }));
    s.run(["status"]).code(78).says(&["a workflow file defines `tdd` as well"]);
}

#[test]
fn a_chain_stops_at_a_failure_or_goes_on() {
    let s = Sandbox::ready();
    command(&s, "good", json!({ "params": { "who": { "default": "nobody" } } }), &says(&s, "{{ who }}"));
    command(&s, "bad", json!({}), "exit 1");
    command(&s, "mend", json!({}), &says(&s, "mended"));
    registry(
        &s,
        &json!({ "workflows": {
        "strict": { "pipelines": ["good", "bad", "good"], "on_failure": "mend" },
        "lenient": { "pipelines": ["good", "bad", { "workflow": "good", "params": { "who": "last" } }], "stop_on_failure": false },
    } }),
    );
    s.add("S", &["--workflow", "strict", "--param", "who=first"]);
    s.tick_to("S", "failed");
    s.tick_to("S.on-failure", "completed");
    assert_eq!(said(&s), ["first", "mended"]);
    s.add("L", &["--workflow", "lenient"]);
    s.tick_to("L", "completed");
    assert_eq!(said(&s)[2..], ["nobody", "last"]);
    let show = s.run(["workflow", "list", "--json"]).ok().json();
    let chain = show["workflows"].as_array().unwrap().iter().find(|w| w["id"] == "strict").unwrap();
    assert_eq!(texts(&chain["stages"]), ["good", "bad", "good-2"]);
    assert_eq!(chain["chain"], json!({ "stop_on_failure": true }));
}

#[test]
fn a_release_that_cannot_be_deployed_is_rolled_back() {
    let s = Sandbox::ready();
    for (id, word) in [
        ("unit-test-pipeline", "unit"),
        ("integration-test-pipeline", "integration"),
        ("build-and-package-pipeline", "package"),
    ] {
        command(&s, id, json!({}), &says(&s, word));
    }
    let deploys = json!({ "params": { "target": { "required": true } }, "on_failure": "rollback-pipeline" });
    command(&s, "deployment-pipeline", deploys.clone(), &format!("{}; exit 1", says(&s, "deploy")));
    let takes = json!({ "params": { "target": { "required": true }, "failed_stage": { "default": "" } } });
    command(&s, "rollback-pipeline", takes, &says(&s, "back-{{ target }}-{{ failed_stage }}"));
    s.run(["task", "add", "release", "--id", "R", "--workflow", "release_workflow", "--param", "target=test"]).ok();
    s.tick_to("R", "failed");
    s.tick_to("R.deployment-pipeline.on-failure", "completed");
    assert_eq!(said(&s), ["unit", "integration", "package", "deploy", "back-test-do"]);
}

#[test]
fn two_monitors_keep_the_limit_of_a_category() {
    let s = Sandbox::ready();
    let paths = [s.path("fifo"), s.path("at")].map(|path| path.display().to_string());
    let [fifo, at] = &paths;
    let waits =
        format!("mkfifo {fifo}/{{{{ task.id }}}} && : > {at}/{{{{ task.id }}}} && read x < {fifo}/{{{{ task.id }}}}");
    command(&s, "deploy", json!({ "category": "deployment" }), &waits);
    command(&s, "watch", json!({ "category": "monitoring" }), &waits);
    registry(
        &s,
        &json!({ "concurrency": {
        "monitoring": "unlimited", "deployment": { "max_concurrent": 1, "exclusive_lock": true } } }),
    );
    s.add("A", &["--workflow", "deploy"]);
    s.add("B", &["--workflow", "deploy"]);
    s.add("M", &["--workflow", "watch"]);
    let monitors = ["m1", "m2", "m3"].map(|name| s.start(name, ["monitor", "--once"]));
    for monitor in monitors {
        assert_eq!(s.exit_of(monitor), 0);
    }
    s.wait_at("A");
    s.wait_at("M");
    assert_eq!(s.status_of("B"), "unassigned");
    let why = "waits for A: one task of category deployment runs at a time";
    s.run(["explain", "B"]).ok().says(&[why]);
    s.run(["workflow", "list"]).ok().says(&["deployment", "1 of 1", "alone", "unlimited"]);
    s.release("A");
    s.tick_until("B at work", |status| word(status, "B") == "do_wip");
    assert_eq!(s.status_of("A"), "completed");
    s.release("M");
    s.wait_at("B");
    s.release("B");
    s.tick_to("B", "completed");
}

#[test]
fn limits_hold_without_a_registry_and_a_queue_is_visible() {
    let s = Sandbox::ready();
    let paths = [s.path("fifo"), s.path("at")].map(|path| path.display().to_string());
    let [fifo, at] = &paths;
    let waits =
        format!("mkfifo {fifo}/{{{{ task.id }}}} && : > {at}/{{{{ task.id }}}} && read x < {fifo}/{{{{ task.id }}}}");
    command(&s, "fix", json!({ "category": "development" }), &waits);
    command(&s, "watch", json!({ "category": "monitoring" }), &waits);
    command(&s, "plain", json!({}), &waits);
    for (id, on) in [("A", "fix"), ("B", "fix"), ("M", "watch"), ("P", "plain")] {
        s.add(id, &["--workflow", on]);
    }
    s.tick();
    for id in ["A", "M", "P"] {
        s.wait_at(id);
    }
    let why = "waits for A: one task of category development runs at a time";
    assert_eq!(s.task("B")["reason"], why);
    s.run(["status"]).ok().says(&[why]);
    s.run(["explain", "B"]).ok().says(&[why, "A holds a place", "`concurrency` in .pipeline/registry.json"]);
    s.run(["workflow", "list"]).ok().says(&["development", "1 of 1", "testing", "0 of 3", "deployment", "alone"]);
    registry(&s, &json!({ "concurrency": { "development": 2 } }));
    s.tick_until("B at work", |status| word(status, "B") == "do_wip");
    for id in ["A", "M", "P", "B"] {
        s.wait_at(id);
        s.release(id);
        s.tick_to(id, "completed");
    }
}

#[test]
fn a_chain_fails_at_a_part_that_is_blocked_and_goes_on_with_it() {
    let s = Sandbox::ready();
    command(&s, "good", json!({}), &says(&s, "good"));
    let fixed = s.path("fixed");
    let file =
        json!({ "id": "bad", "stages": [{ "id": "do", "run": format!("test -e {}", fixed.display()), "retries": 0 }] });
    s.write(".pipeline/workflows/bad.json", &file.to_string());
    command(&s, "back", json!({}), &says(&s, "back"));
    let chains = json!([{ "name": "ship", "pipelines": ["good", "bad", "good"], "stop_on_failure": true,
                          "rollback_on_failure": true, "rollback_pipeline": "back" }]);
    registry(&s, &json!({ "orchestration_rules": { "pipeline_chaining": { "enabled": true, "chains": chains } } }));
    s.add("C", &["--workflow", "ship"]);
    s.tick_to("C", "failed");
    s.tick_to("C.on-failure", "completed");
    assert_eq!((s.status_of("C.bad"), said(&s)), ("blocked".to_owned(), vec!["good".to_owned(), "back".to_owned()]));
    s.run(["task", "show", "C"]).ok().says(&["C.bad is blocked", "pipeline task retry C.bad"]);
    std::fs::write(&fixed, "").unwrap();
    s.run(["task", "retry", "C.bad"]).ok();
    s.tick_to("C", "completed");
    assert_eq!((s.status_of("C.bad"), said(&s).len()), ("completed".to_owned(), 3));
}

#[test]
fn what_a_registry_says_in_vain_is_located() {
    let s = Sandbox::ready();
    s.write(
        ".pipeline/registry.json",
        r#"{
  "concurency": { "testing": 3 },
  "alerts": { "rules": [
    { "condition": "event == 'task_faild'", "severity": "critical",
      "workflow": "rollback-pipelin" } ] }
}"#,
    );
    let found = [
        "registry.json:2:17",
        "`concurency` is not read",
        "Did you mean `concurrency`?",
        "registry.json:4:20",
        "Did you mean `task_failed`?",
        "registry.json:5:19",
        "Did you mean `rollback-pipeline`?",
    ];
    s.run(["config", "validate"]).ok().says(&found);
    s.run(["workflow", "validate"]).ok().says(&found);
    s.run(["doctor"]).says(&["`concurency` is not read", "task_faild", "rollback-pipelin"]);
    registry(&s, &json!({ "alerts": { "channels": { "ops": { "type": "slack", "url": "hooks.example.com" } } } }));
    s.run(["config", "validate"]).code(78).says(&["this is no address of a web server"]);
    let schema = s.run(["schema", "registry"]).ok().json();
    assert_eq!(schema["properties"]["alerts"], json!({ "$ref": "#/$defs/alerts" }));
}

#[test]
fn words_of_prompts_that_nothing_fills_in_are_said_of_workflows_too() {
    let s = Sandbox::ready();
    let agent = json!({ "name": "architect", "role": "architect", "system_prompt": "Think about {feture_name}." });
    s.write(".pipeline/agents/architect.json", &agent.to_string());
    let file = json!({ "id": "mine", "params": { "feature_name": { "default": "x" } },
                       "stages": [{ "id": "arch", "agent": "architect", "description": "Think." }] });
    s.write(".pipeline/workflows/mine.json", &file.to_string());
    let said = ["nothing fills in `{feture_name}`", "Did you mean {feature_name}?"];
    s.run(["config", "validate"]).ok().says(&said);
    s.run(["workflow", "validate"]).ok().says(&said);
    s.run(["workflow", "validate", ".pipeline/workflows/mine.json"]).ok().says(&said);
}

#[test]
fn a_schedule_starts_by_itself_and_does_not_pile_up() {
    let s = Sandbox::ready();
    let held = s.path("fifo").join("held");
    let run = format!("mkfifo {0} && : > {1} && read x < {0}", held.display(), s.path("at/held").display());
    command(&s, "health", json!({ "schedule": "every 1 second" }), &run);
    let began =
        s.tick_until("a task of the schedule", |status| !status["tasks"].as_object().is_none_or(|t| t.is_empty()));
    let title = began["tasks"]["TASK-001"]["title"].as_str().unwrap_or_default();
    assert!(title.starts_with("health (scheduled "), "{began:#}");
    s.run(["workflow", "list"]).ok().says(&["health", "every 1 second"]);
    s.wait_at("held");
    // The next time comes while the first task is at work.
    let skipped = || s.run(["events", "--json"]).ok().stdout.contains("of the time before is not finished");
    s.tick_until("a time that is left out", |_| skipped());
    assert_eq!(s.status()["metrics"]["tasks_total"], 1);
    s.release("held");
    s.tick_to("TASK-001", "completed");
}

/// One request to this address, as far as its body.
fn request(listener: &TcpListener) -> String {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    let wait = Timespec { tv_sec: i64::try_from(DEADLINE.as_secs()).expect("few seconds"), tv_nsec: 0 };
    assert_eq!(poll(&mut fds, Some(&wait)).expect("it can be waited for"), 1, "nothing was sent");
    let (mut stream, _) = listener.accept().expect("somebody calls");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).expect("what is sent");
        heard.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
        let length =
            heard.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let body = heard.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if count == 0 || body.is_some_and(|body| Some(body) >= length) {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").expect("it can be answered");
    heard
}

#[test]
fn people_are_told_and_a_grave_alert_starts_what_helps() {
    let mut s = Sandbox::ready();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    s.set_env("OPS_URL", &format!("http://{}/hook", listener.local_addr().unwrap()));
    command(&s, "risky", json!({ "category": "deployment", "params": { "target": { "default": "test" } } }), "exit 3");
    let takes = json!({ "params": { "target": { "required": true }, "failed_task": { "required": true } } });
    command(&s, "mend", takes, &says(&s, "{{ failed_task }}-{{ target }}"));
    let (told, whole) = (s.path("told"), s.path("whole.json"));
    let tells = format!(
        "cat > {1} && echo \"$PIPELINE_ALERT_TEXT\" > {0}.new && mv {0}.new {0}",
        told.display(),
        whole.display()
    );
    registry(
        &s,
        &json!({ "alerts": {
        "channels": { "ops": { "type": "slack", "url": "$OPS_URL" }, "script": { "type": "command", "command": tells },
                      "broken": { "type": "command", "command": "exit 9" } },
        "rules": [
            { "name": "deployments", "condition": "event == 'task_failed' && category == 'deployment'",
              "severity": "critical", "workflow": "mend" },
            { "condition": "event == 'task_completed'", "severity": "info" },
        ] } }),
    );
    s.add("D", &["--workflow", "risky"]);
    s.tick_to("D", "failed");
    let heard = request(&listener);
    assert!(heard.starts_with("POST /hook HTTP/1.1"), "{heard}");
    let body: Value = serde_json::from_str(heard.split_once("\r\n\r\n").unwrap().1).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("[critical] deployments: task failed D risky do: "), "{text}");
    s.wait_for(&told);
    assert_eq!(std::fs::read_to_string(&told).unwrap().trim_end(), text);
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&whole).unwrap()).unwrap();
    assert_eq!((&whole["severity"], &whole["event"]["task"]), (&json!("critical"), &json!("D")));
    let log = s.repo().join(".pipeline/logs/alerts.log");
    s.wait_for_text(&log, "the failed delivery", |text| text.contains("broken: not delivered (exit 9)"));
    let attention = |kind: &str| {
        let list = s.status()["attention"].clone();
        list.as_array().unwrap().iter().find(|one| one["kind"] == kind).cloned()
    };
    s.tick_until("the channel on record", |_| attention("alert_undelivered").is_some());
    let unheard = attention("alert_undelivered").unwrap();
    assert!(
        unheard["summary"].as_str().unwrap().contains("delivered through broken: [critical] deployments"),
        "{unheard}"
    );
    s.run(["doctor"]).says(&["channel broken did not deliver", "alerts.log"]);
    let grave = attention("alert").unwrap();
    assert_eq!((&grave["task"], &grave["command"]), (&json!("D"), &json!("pipeline explain D")));
    s.tick_to("TASK-001", "completed");
    assert_eq!(said(&s), ["D-test"], "what helps knows what the failed task was given");
    s.tick();
    assert_eq!(s.status()["metrics"]["tasks_total"], 2, "it is started once");
}

#[test]
fn a_report_counts_what_the_journal_says() {
    let s = Sandbox::ready();
    command(&s, "good", json!({}), "echo 'coverage: 84.5%'");
    command(&s, "ship", json!({ "category": "deployment" }), "exit 1");
    s.run(["workflow", "report"]).ok().says(&["0 completed"]);
    s.add("A", &["--workflow", "good"]);
    s.add("B", &["--workflow", "ship"]);
    s.tick_to("A", "completed");
    s.tick_to("B", "failed");
    let report = s.run(["workflow", "report", "--daily", "--json"]).ok().json();
    assert_eq!((&report["completed"], &report["failed"], &report["success_rate"]), (&json!(1), &json!(1), &json!(0.5)));
    assert_eq!(report["deployment_success_rate"], 0.0, "{report:#}");
    assert_eq!(report["failing_stages"], json!([{ "workflow": "ship", "stage": "do", "runs": 1, "failed": 1 }]));
    let good = &report["workflows"][0];
    assert_eq!(
        (&good["workflow"], &good["success_rate"], &good["baseline_seconds"]),
        (&json!("good"), &json!(1.0), &Value::Null)
    );
    assert!(good["duration_seconds"].is_number(), "{good}");
    assert_eq!(good["coverage_percent"], 84.5);
    registry(&s, &json!({ "chains": { "pair": ["good", "good"] } }));
    s.add("C", &["--workflow", "pair"]);
    s.tick_to("C", "completed");
    let report = s.run(["workflow", "report", "--json"]).ok().json();
    let pair = report["workflows"].as_array().unwrap().iter().find(|one| one["workflow"] == "pair").unwrap();
    assert!(pair["duration_seconds"].is_number(), "a chain takes its time too: {pair}");
    assert_eq!(
        (&report["completed"], &report["failed"]),
        (&json!(2), &json!(1)),
        "the parts of a chain are not tasks more"
    );
    s.run(["workflow", "report", "--weekly"]).ok().says(&[
        "the last seven days",
        "good",
        "ship",
        "FAILING STAGE",
        "84.5 %",
    ]);
    s.run(["workflow", "report", "--weekly", "--daily"]).code(2);
}
