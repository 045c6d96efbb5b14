//! What happens when agents and gates fail: attempts, waits, feedback, connections, and who is told.

use serde_json::Value;

use crate::support::{Sandbox, attention, texts, word};

/// A workflow of one stage by the architect and what follows it.
fn workflow(id: &str, stage: &str, connections: &str) -> String {
    format!(
        r#"{{"id":"{id}","name":"{id}","version":"1.0.0","category":"test","triggers":[],
            "stages":[{{"id":"one","name":"One","agent":"architect","description":"do it"{stage}}},
                      {{"id":"two","name":"Two","agent":"test","description":"do it"}}],
            "connections":{connections}}}"#
    )
}

/// `retries = 2` allows three attempts on the same branch, with the output in the task file; then the task is blocked.
#[test]
fn a_crash_is_retried_and_then_blocks() {
    let s = Sandbox::ready();
    s.plan("arch", "work; echo to stdout; echo 'disk on fire' >&2; exit 7");
    s.add("T-1", &[]);
    s.add("T-2", &["--after", "T-1"]);
    s.add("T-3", &["--after", "T-2"]);
    let status = s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    let task = &status["tasks"]["T-1"];
    assert_eq!((s.calls("T-1.arch"), &task["attempt"]), (3, &3.into()));
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("7") && reason.contains("3 attempts"), "{reason}");
    assert_eq!(s.git(&["show", "pipeline/T-1:T-1.txt"]), "T-1.arch 1\nT-1.arch 2\nT-1.arch 3", "the same branch");
    assert!(!s.seen("T-1.arch.1", "md").contains("attempt"));
    let file = s.seen("T-1.arch.2", "md");
    assert!(file.contains("disk on fire") && file.contains("to stdout") && file.contains("attempt 2"), "{file}");
    let show = s.show("T-1");
    let attempts: Vec<&Value> = show["runs"].as_array().unwrap().iter().map(|run| &run["attempt"]).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(
        show["runs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|run| run["verdict"] == "failed" && run["how"]["exited"]["code"] == 7)
    );
    // A person is told, and what it would unblock; dependents wait.
    let item = &status["attention"][0];
    assert_eq!((&item["kind"], &item["task"]), (&"blocked".into(), &"T-1".into()));
    assert_eq!(texts(&item["unblocks"]), ["T-2", "T-3"]);
    assert_eq!(item["command"], "pipeline task retry T-1");
    assert_eq!(texts(&status["queues"]["blocked"]), ["T-1", "T-2", "T-3"]);
    assert_eq!(status["tasks"]["T-2"]["reason"], "waits for T-1");
    assert_eq!(status["metrics"]["retries_total"], 2);
    assert_eq!(status["metrics"]["runs_failed"], 3);
    // Retried by a person it counts from 1 again, and its message is in the task file.
    s.plan("arch", "work; marker COMPLETED");
    s.run(["task", "retry", "T-1", "-m", "the disk is new"]).ok().says(&["T-1 arch_ready"]);
    assert_eq!(s.task("T-1")["attempt"], 0);
    s.tick_past("T-1", "arch");
    assert_eq!(s.show("T-1")["runs"][3]["attempt"], 1);
    assert!(s.seen("T-1.arch.4", "md").contains("the disk is new"));
    s.tick_to("T-1", "completed");
    // The supervisor role was told.
    let told = s.seen("T-1.super.1", "md");
    assert!(told.contains("T-1 (the task T-1) is blocked") && told.contains("T-2"), "{told}");
}

/// What an agent can say instead of success.
#[test]
fn markers_other_than_success() {
    let s = Sandbox::ready_with("", "retries = 0");
    s.plan("A.arch", "work; marker BLOCKED 'no access to the vault'");
    s.plan("B.arch", "work; marker FAILED 'it cannot be done so'");
    s.plan("C.arch", "work; marker NEEDS_REVIEW 'two ways are possible'");
    s.plan("test", "hang");
    ["A", "B", "C"].iter().for_each(|id| s.add(id, &[]));
    let status = s.tick_until("all are with a person", |status| {
        word(status, "A") == "blocked" && word(status, "B") == "blocked" && word(status, "C") == "awaiting_approval"
    });
    for (id, why) in [("A", "no access to the vault"), ("B", "it cannot be done so"), ("C", "two ways are possible")] {
        assert!(status["tasks"][id]["reason"].as_str().unwrap().contains(why), "{}", status["tasks"][id]);
    }
    let mut kinds = attention(&status);
    kinds.sort();
    let expected = [("blocked", "A"), ("blocked", "B"), ("review", "C")];
    assert_eq!(kinds, expected.map(|(kind, task)| (kind.to_owned(), task.to_owned())));
    s.run(["status", "--check"]).code(3);
    s.run(["task", "approve", "A"]).code(1).says(&["A", "blocked"]);
    s.run(["task", "approve", "C"]).ok();
    assert_eq!(s.status_of("C"), "test_ready");
    // BLOCKED is not a failure: nothing was retried, and unblocking goes on at the stage.
    s.run(["task", "unblock", "A"]).ok().says(&["A arch_ready"]);
}

/// A stage that takes longer than its timeout is stopped and counts.
#[test]
fn a_timeout_is_a_failure() {
    let s = Sandbox::ready_with("", "retries = 1\nstage_timeout = \"1s\"");
    s.plan("arch", "echo x > kept.txt; hang");
    s.add("T-1", &[]);
    let status = s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    assert!(status["tasks"]["T-1"]["reason"].as_str().unwrap().contains("timeout"), "{status}");
    assert_eq!(s.calls("T-1.arch"), 2);
    assert_eq!(s.show("T-1")["runs"][0]["how"], "timed_out");
    assert_eq!(s.git(&["show", "pipeline/T-1:kept.txt"]), "x", "its work is kept");
}

/// A claim that does not hold goes back to the agent with the gate's output, and counts.
#[test]
fn a_lie_is_found_by_the_gate() {
    let s = Sandbox::ready_with(
        "verify = \"echo checking $PIPELINE_TASK_ID; if [ -e broken.txt ]; then echo it is broken; exit 9; fi\"",
        "",
    );
    s.plan("impl", "work; work broken.txt; marker COMPLETED");
    s.plan("impl.2", "git rm -qf broken.txt; commit mended; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    assert_eq!(s.calls("T-1.impl"), 2);
    let file = s.seen("T-1.impl.2", "md");
    assert!(
        file.contains("it is broken") && file.contains("checking T-1") && file.contains("exited with code 9"),
        "{file}"
    );
    let show = s.show("T-1");
    let gates: Vec<&Value> = show["runs"].as_array().unwrap().iter().filter(|run| run["work"] == "gate").collect();
    let verdicts: Vec<&Value> = gates.iter().map(|run| &run["verdict"]).collect();
    assert_eq!(verdicts, ["failed", "passed", "passed"]);
    assert_eq!(gates[0]["evidence"]["exit_code"], 9);
    assert_eq!(s.status()["metrics"]["gate_failures_total"], 1);
    assert!(!s.git(&["ls-tree", "--name-only", "main"]).contains("broken.txt"));
}

/// A gate that goes on failing blocks the task where it is, and base does not move.
#[test]
fn a_failing_gate_never_reaches_base() {
    let s = Sandbox::ready_with("", "retries = 1");
    let base = s.git(&["rev-parse", "main"]);
    s.plan("impl", "work broken.txt; marker COMPLETED");
    s.add("T-1", &[]);
    let status = s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    assert_eq!((s.calls("T-1.impl"), s.calls("T-1.super")), (2, 0));
    assert!(status["tasks"]["T-1"]["reason"].as_str().unwrap().contains("gate failed"), "{status}");
    assert_eq!(s.git(&["rev-parse", "main"]), base);
}

/// After the attempts a connection for `failed` is followed; to nowhere it ends the task.
#[test]
fn connections_for_failed_are_followed() {
    let s = Sandbox::new();
    let on = r#"[{"from":"one","to":null,"condition":"success"},{"from":"one","to":"two","condition":"failed"},{"from":"two","to":null}]"#;
    let end = r#"[{"from":"one","to":"two","condition":"success"},{"from":"one","to":null,"condition":"failed"},{"from":"two","to":null}]"#;
    s.write(".pipeline/workflows/goes-on.json", &workflow("goes-on", "", on));
    s.write(".pipeline/workflows/ends.json", &workflow("ends", r#","retries":1"#, end));
    s.write(".pipeline/workflows/rework.json", &workflow("rework", r#","decisions":[{"choice":"success"},{"choice":"later"}]"#, r#"[{"from":"one","to":"two","condition":"success"},{"from":"one","to":null,"condition":"later"},{"from":"two","to":null}]"#));
    s.init("production", &s.config("", "retries = 0"));
    s.plan("one", "work; exit 1");
    s.plan("C.one", "decision later");
    s.add("A", &["--workflow", "goes-on"]);
    s.add("B", &["--workflow", "ends"]);
    s.add("C", &["--workflow", "rework"]);
    s.add("D", &["--after", "B"]);
    let status = s.tick_until("all have ended", |status| {
        word(status, "A") == "completed" && word(status, "B") == "failed" && word(status, "C") == "completed"
    });
    assert_eq!((s.calls("A.one"), s.calls("A.two"), s.calls("B.one"), s.calls("B.two")), (1, 1, 2, 0));
    assert_eq!(s.calls("C.two"), 0, "another listed decision is followed at once");
    assert!(attention(&status).contains(&("dependency_failed".to_owned(), "B".to_owned())), "{}", status["attention"]);
    assert_eq!(word(&status, "D"), "unassigned");
    assert_eq!(status["metrics"]["tasks_failed"], 1);
    // A retry by a person takes it up where it failed.
    s.plan("one", "work");
    s.run(["task", "retry", "B"]).ok();
    s.tick_to("B", "completed");
}

/// The wait between attempts is kept; a person's retry ends it.
#[test]
fn attempts_wait_for_their_time() {
    let s = Sandbox::ready_with("", "backoff = \"1h\"\nbackoff_max = \"2h\"");
    s.plan("arch.1", "exit 1");
    s.add("T-1", &[]);
    s.tick_until("the first attempt failed", |status| word(status, "T-1") == "arch_ready" && s.calls("T-1.arch") == 1);
    s.tick();
    s.tick();
    assert_eq!((s.status_of("T-1").as_str(), s.calls("T-1.arch")), ("arch_ready", 1));
    s.run(["task", "retry", "T-1"]).ok();
    s.tick_past("T-1", "arch");
    assert_eq!(s.calls("T-1.arch"), 2);
}

/// A missing agent program burns no attempt: the agent rests until a person has mended it.
#[test]
fn a_missing_agent_program_asks_a_person() {
    let s = Sandbox::ready();
    let agent = s.path("agent.sh");
    let away = s.path("agent.away");
    std::fs::rename(&agent, &away).unwrap();
    s.add("T-1", &[]);
    let status =
        s.tick_until("the agent is broken", |status| attention(status).iter().any(|(kind, _)| kind == "agent_broken"));
    let item = &status["attention"][0];
    assert_eq!((&item["agent"], &item["command"]), (&"architect".into(), &"pipeline agent start architect".into()));
    assert!(item["summary"].as_str().unwrap().contains("agent.sh"), "{item}");
    assert_eq!((word(&status, "T-1"), &status["tasks"]["T-1"]["attempt"]), ("arch_ready", &0.into()));
    s.run(["status", "--check"]).code(3);
    std::fs::rename(&away, &agent).unwrap();
    s.tick();
    assert_eq!(s.status_of("T-1"), "arch_ready", "nobody guesses that it is mended");
    s.run(["agent", "start", "architect"]).ok();
    s.tick_to("T-1", "completed");
    assert_eq!(s.show("T-1")["runs"].as_array().unwrap().iter().filter(|run| run["verdict"] == "failed").count(), 0);
}

/// An agent that prints without end fills no disk and loses nothing of its last words.
#[test]
fn a_flood_of_output_does_no_harm() {
    let s = Sandbox::ready();
    s.plan("arch", "yes 'a line of noise' | head -c 40000000; work; echo 'the last words'; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    let run = s.show("T-1")["runs"][0]["id"].as_str().unwrap().to_owned();
    let dir = s.repo().join(".pipeline/runs").join(run);
    let bytes: u64 = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 40_000_000, "{bytes} bytes in {}", dir.display());
    s.wait_for(&s.path("seen/T-1.test.1.md"));
    assert!(s.seen("T-1.test.1", "md").len() < 64 * 1024);
}
