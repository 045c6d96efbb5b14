//! Predictions from recorded runs, and starts that wait for room: on the machine, and for a role.

use serde_json::Value;

use crate::support::{Sandbox, attention, word};

/// A workflow of one stage `do`, done by the role `worker`, of which so many runs are on record.
fn with_history(workers: usize, scheduler: &str, runs: usize) -> Sandbox {
    let s = Sandbox::new();
    s.write(
        ".pipeline/workflows/solo.json",
        r#"{"id":"solo","name":"w","stages":[{"id":"do","name":"s","agent":"worker","description":"d"}]}"#,
    );
    let agents: String = (1..=workers).map(|n| s.agent_block(&format!("w{n}"), "worker")).collect();
    s.init("production", &format!("[project]\nbase = \"main\"\n[scheduler]\nbackoff = \"0s\"\n{scheduler}\n{agents}"));
    for n in 0..runs {
        let id = format!("H-{n}");
        s.add(&id, &["--workflow", "solo"]);
        s.tick_to(&id, "completed");
    }
    s
}

fn simulated(s: &Sandbox, more: &[&str]) -> Value {
    s.run(["simulate", "--json"].iter().chain(more)).ok().json()
}

/// Everything but the moments, which are those of the call.
fn lasting(mut document: Value) -> Value {
    for moment in ["from", "predicted_finish"] {
        document.as_object_mut().expect("a document").remove(moment);
    }
    document
}

#[test]
fn new_tasks_are_played_by_what_was_recorded_and_a_seed_plays_them_again() {
    let s = with_history(1, "", 3);
    let before = s.run(["events"]).ok().stdout;
    let document = simulated(&s, &["--workflow", "solo", "--tasks", "20", "--seed", "7"]);
    assert_eq!((&document["schema_version"], &document["simulated"]), (&1.into(), &true.into()));
    assert_eq!(
        (&document["of"], &document["tasks"], &document["runs_on_record"]),
        (&"tasks".into(), &20.into(), &3.into())
    );
    assert_eq!(document["completed"]["p50"], 20.0, "{document:#}");
    assert_eq!(document["agents"][0]["agent"], "w1");
    assert_eq!(document["bottleneck"]["role"], "worker");
    assert_eq!(document["stages"][0]["basis"], "workflow_stage");
    assert!(!document["critical_path"].as_array().unwrap().is_empty());
    let spread = &document["makespan_seconds"];
    assert!(spread["p10"].as_f64().unwrap() > 0.0 && spread["p10"].as_f64() <= spread["p90"].as_f64(), "{spread}");
    let again = simulated(&s, &["--workflow", "solo", "--tasks", "20", "--seed", "7"]);
    assert_eq!(lasting(again), lasting(document.clone()));
    let other = simulated(&s, &["--workflow", "solo", "--tasks", "20", "--seed", "8"]);
    assert_ne!(other["makespan_seconds"], document["makespan_seconds"]);
    let two = simulated(&s, &["--workflow", "solo", "--tasks", "20", "--seed", "7", "--agents", "worker=2"]);
    assert!(two["makespan_seconds"]["p50"].as_f64() < document["makespan_seconds"]["p10"].as_f64());
    let told = s.run(["simulate", "--tasks", "4"]).ok();
    told.says(&[
        "simulated: 4 tasks on workflow tdd",
        "not done",
        "no agent has the role architect",
        "taken for granted",
    ]);
    assert_eq!(s.run(["events"]).ok().stdout, before, "nothing is recorded");
}

#[test]
fn a_prediction_is_compared_with_what_happened() {
    let s = with_history(1, "", 2);
    s.run(["simulate", "--from-state"]).code(1).says(&["no task is unfinished", "--tasks 10"]);
    s.run(["simulate", "--check"]).code(5).says(&["--record"]);
    s.add("A", &["--workflow", "solo"]);
    s.add("B", &["--workflow", "solo", "--after", "A"]);
    let document = simulated(&s, &["--from-state", "--record"]);
    assert_eq!(
        (&document["of"], &document["tasks"], &document["recorded"]),
        (&"state".into(), &2.into(), &true.into())
    );
    let check = || s.run(["simulate", "--check", "--json"]).ok().json()["predictions"][0].clone();
    assert_eq!((&check()["open"], &check()["actual_finish"]), (&2.into(), &Value::Null));
    s.tick_to("B", "completed");
    let compared = check();
    assert_eq!((&compared["tasks"], &compared["completed"], &compared["open"]), (&2.into(), &2.into(), &0.into()));
    assert!(compared["error_seconds"].is_f64() && compared["actual_finish"].is_string(), "{compared:#}");
    s.run(["simulate", "--check"]).ok().says(&["2 of 2", "FINISH PREDICTED"]);
    s.run(["doctor"]).ok();
}

#[test]
fn what_cannot_be_simulated_is_told() {
    let s = with_history(1, "", 0);
    for bad in [
        &["--tasks", "0"][..],
        &["--tasks", "many"],
        &["--tasks", "10001"],
        &["--agents", "worker"],
        &["--agents", "worker=-1"],
        &["--seed", "x"],
        &["--record"],
        &["--from-state", "--tasks", "3"],
        &["--check", "--tasks", "3"],
    ] {
        s.run(["simulate"].iter().chain(bad)).code(2);
    }
    s.run(["simulate", "--workflow", "nope", "--tasks", "1"]).code(5).says(&["there is no workflow `nope`"]);
    let error = s.run(["simulate", "--workflow", "solo", "--agents", "pilot=2", "--json"]).code(5).error();
    assert_eq!((error.0.as_str(), error.2.as_str()), ("not_found", "The roles of your agents are: command, worker."));
    let unknown = simulated(&s, &["--workflow", "solo"]);
    let words = unknown["assumptions"].to_string();
    assert!(words.contains("no run is on record that says anything about do: about 10 minutes a run"), "{words}");
    assert_eq!((&unknown["tasks"], &unknown["stages"][0]["basis"]), (&10.into(), &Value::Null));
}

#[test]
fn a_full_disk_starts_nothing_new_and_says_so_before() {
    let mut s = with_history(1, "min_free_disk = \"900TB\"", 0);
    s.add("A", &["--workflow", "solo"]);
    s.tick();
    let status = s.status();
    assert_eq!(word(&status, "A"), "unassigned");
    assert_eq!(attention(&status).iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["disk_low"]);
    s.run(["explain", "A"])
        .ok()
        .says(&["nothing new starts", "of disk are free, and `min_free_disk` asks for 900.0 TB"]);
    s.run(["status", "--check"]).code(3);
    let events = s.run(["events"]).ok().stdout;
    s.tick();
    assert_eq!(s.run(["events"]).ok().stdout, events, "it is said once");
    s.set_env("PIPELINE_SCHEDULER__MIN_FREE_DISK", "0");
    s.tick_to("A", "completed");
    assert!(attention(&s.status()).is_empty());
    s.run(["events"]).ok().says(&["machine_short"]);
}

#[test]
fn a_role_has_no_more_agents_at_work_than_its_cap() {
    let s = with_history(3, "role_caps = { worker = 1 }", 0);
    s.plan("do", "hang; work; marker COMPLETED");
    s.add("A", &["--workflow", "solo"]);
    s.add("B", &["--workflow", "solo"]);
    s.tick_to("A", "do_wip");
    s.wait_at("A.do.1");
    s.tick();
    assert_eq!(s.status_of("B"), "unassigned");
    s.run(["explain", "B"]).ok().says(&["1 agent of role worker at work, and `role_caps` allows 1"]);
    s.release("A.do.1");
    s.tick_to("B", "do_wip");
    s.wait_at("B.do.1");
    s.release("B.do.1");
    s.tick_to("B", "completed");
    s.write(".pipeline/config.toml", "[scheduler]\nmin_free_disk = \"lots\"\nrole_caps = 3\nmax_load = -1\n");
    s.run(["config", "validate"]).code(78).says(&[
        "`min_free_disk` is no size: \"lots\"",
        "`role_caps` must be a table",
        "`max_load`",
    ]);
}
