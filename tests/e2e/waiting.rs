//! `wait`, `events`, `explain` and a headless monitor: watching without ticking, and ticking without being asked.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Sandbox;

/// `wait` never ticks; it is met, times out, or says that its target cannot be reached.
#[test]
fn wait_only_looks() {
    let s = Sandbox::ready();
    s.run(["wait", "--for", "idle"]).ok();
    s.add("T-1", &[]);
    let seq = s.state()["journal_seq"].clone();
    s.run(["wait", "T-1", "--timeout", "0"]).code(124);
    s.run(["wait", "--for", "idle", "--timeout", "0s"]).code(124);
    s.run(["wait", "--for", "attention", "--timeout", "0"]).code(124);
    s.run(["wait", "NOPE"]).code(5);
    s.run(["wait", "--timeout", "soon"]).code(2);
    assert_eq!(s.state()["journal_seq"], seq, "it never ticks");
    assert_eq!(s.calls("T-1.arch"), 0);
    // A waiting process notices what others do.
    let waiting = s.start("wait", ["wait", "T-1", "--json"]);
    s.tick_to("T-1", "completed");
    assert_eq!(s.exit_of(waiting), 0);
    let told: Value = serde_json::from_str(&std::fs::read_to_string(s.path("wait.out")).unwrap()).unwrap();
    assert_eq!((&told["result"], &told["tasks"]["T-1"]), (&"met".into(), &"completed".into()));
    s.run(["wait"]).ok();
    s.run(["wait", "--for", "idle"]).ok();
    s.add("T-2", &[]);
    s.run(["task", "cancel", "T-2"]).ok();
    s.run(["wait", "T-2"]).code(1);
    s.add("T-3", &[]);
    s.run(["task", "block", "T-3"]).ok();
    s.run(["wait", "--for", "attention"]).ok();
}

/// A monitor that nobody asks does everything by itself; a second one stands by; `--once` ticks beside it.
#[test]
fn a_headless_monitor_works_by_itself() {
    let s = Sandbox::ready();
    let first = s.start("first", ["monitor", "--headless", "--json"]);
    s.add("T-1", &[]);
    s.run(["wait", "T-1", "--timeout", "80"]).ok();
    let second = s.start("second", ["monitor", "--headless"]);
    s.tick();
    s.add("T-2", &["--after", "T-1"]);
    s.run(["wait", "T-2", "--timeout", "80"]).ok();
    let lines = std::fs::read_to_string(s.path("first.out")).unwrap();
    let facts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        facts.iter().any(|fact| fact["type"] == "task_merged") && facts.iter().all(|fact| fact["schema_version"] == 1)
    );
    s.signal(first, Signal::INT);
    assert_eq!(s.exit_of(first), 130);
    // The other takes over.
    s.add("T-3", &[]);
    s.run(["wait", "T-3", "--timeout", "80"]).ok();
    s.signal(second, Signal::TERM);
    assert_eq!(s.exit_of(second), 0);
    assert_eq!(s.git(&["show", "main:T-3.txt"]).lines().count(), 4);
    assert_eq!(s.state()["tasks"], s.status()["tasks"], "the snapshot is current when the monitor has ended");
}

/// A monitor that always has something to do heeds who asks it to end, and leaves the rest to the next one.
#[test]
fn a_busy_monitor_ends_when_it_is_asked() {
    let s = Sandbox::new();
    let agents: String = (1..=12)
        .map(|n| format!("[[agents]]\nname = \"w{n}\"\nrole = \"w\"\npreset = \"custom\"\ncommand = [\"true\"]\n"))
        .collect();
    s.init("production", &format!("[project]\nbase = \"main\"\n{agents}"));
    let stages: Vec<Value> =
        (0..250).map(|n| json!({ "id": format!("s{n}"), "agent": "w", "merge": false, "verify": false })).collect();
    s.write(".pipeline/workflows/long.json", &json!({ "id": "long", "stages": stages }).to_string());
    for task in 1..=12 {
        s.add(&format!("T-{task}"), &["--workflow", "long"]);
    }
    let monitor = s.start("monitor", ["monitor", "--headless", "--json"]);
    let said = s.path("monitor.out");
    let begun = |text: &str| text.matches("\"run_claimed\"").count();
    s.wait_for_text(&said, "some stages", |text| begun(text) > 50);
    let before = begun(&std::fs::read_to_string(&said).unwrap());
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
    let after = begun(&std::fs::read_to_string(said).unwrap());
    // The rounds of one tick would go on as long as an agent ends in each: for a thousand runs, as often as not.
    assert!(after < before + 600, "{before} runs had begun when it was asked, {after} when it ended");
}

/// Events have the one documented shape, in order, without a gap.
#[test]
fn events_have_one_shape() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    let events = s.run(["events"]).ok().json_lines();
    for (index, event) in events.iter().enumerate() {
        let keys: Vec<&String> = event.as_object().unwrap().keys().collect();
        let known = ["schema_version", "seq", "at", "type", "actor", "task", "run", "agent", "stage", "work", "data"];
        assert!(keys.iter().all(|key| known.contains(&key.as_str())), "{event}");
        assert!(event.as_object().unwrap().values().all(|value| !value.is_null()), "{event}");
        assert_eq!(event["schema_version"], 1);
        assert_eq!(event["seq"], index + 1);
        assert!(
            event["at"].as_str().unwrap().ends_with('Z') && event["actor"].is_string() && event["data"].is_object(),
            "{event}"
        );
    }
    let kind = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let started = kind("run_claimed");
    assert_eq!((started.len(), kind("run_closed").len()), (6, 6), "four stages and two gates");
    assert_eq!(
        (&started[0]["task"], &started[0]["agent"], &started[0]["stage"]),
        (&"T-1".into(), &"architect".into(), &"arch".into())
    );
    assert_eq!(kind("task_merged").len(), 1);
    let last = events.last().unwrap()["seq"].as_u64().unwrap();
    let since = s.run(["events", "--since", &(last - 2).to_string()]).ok().json_lines();
    assert_eq!(since, events[events.len() - 2..]);
    let of_task = s.run(["events", "--task", "T-1", "--type", "stage_done"]).ok().json_lines();
    assert_eq!(of_task.len(), 4);
}

/// Why a task is where it is, and what would change it.
#[test]
fn explain_says_why() {
    let s = Sandbox::ready_with("", "retries = 0");
    s.plan("arch", "work; marker BLOCKED 'no key'");
    s.add("T-1", &[]);
    s.add("T-2", &["--after", "T-1"]);
    s.tick_until("T-1 is blocked", |status| status["tasks"]["T-1"]["status"] == "blocked");
    let text = s.run(["explain", "T-1"]).ok().says(&["T-1 is blocked", "no key", "pipeline task retry T-1"]);
    assert!(text.stderr.is_empty());
    s.run(["explain", "T-2"]).ok().says(&["T-1"]);
    let agent = s.run(["explain", "architect", "--json"]).ok().json();
    assert_eq!(
        (&agent["schema_version"], &agent["subject"], &agent["status"]),
        (&1.into(), &"architect".into(), &"idle".into())
    );
}

/// Each goal is met by what a monitor brings about, and says so in the same words to people and programs.
#[test]
fn what_can_be_waited_for() {
    let s = Sandbox::ready_with("", "retries = 1\nbackoff = \"1h\"\nbackoff_max = \"2h\"");
    s.plan("A.arch", "work; marker NEEDS_REVIEW 'which of two'");
    s.plan("B.arch.1", "exit 1");
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    let idle = s.start("idle", ["wait", "--for", "idle", "--json"]);
    assert_eq!(s.exit_of(idle), 0);
    s.add("A", &[]);
    let met = s.run(["wait", "A", "--for", "attention", "--timeout", "80", "--json"]).ok().json();
    assert_eq!((&met["for"], &met["result"]), (&"attention".into(), &"met".into()));
    assert_eq!((&met["tasks"]["A"], met["waited_seconds"].is_number()), (&"awaiting_approval".into(), true));
    // It waits for a person, who is not the pipeline.
    s.run(["wait", "--for", "idle", "--timeout", "80"]).ok();
    s.add("B", &[]);
    let late = s.run(["wait", "B", "--for", "attention", "--timeout", "1s", "--json"]).code(124).json();
    assert_eq!(late["result"], "timed_out");
    s.tick_until("B waits for its second attempt", |status| status["metrics"]["retries_total"] == 1);
    s.run(["wait", "--for", "idle", "--timeout", "0"]).code(124);
    s.run(["wait", "A", "B", "--timeout", "0"]).code(124).says(&["A is awaiting_approval", "B is arch_ready"]);
    s.run(["task", "cancel", "B"]).ok();
    let never = s.run(["wait", "A", "B", "--json"]).code(1).json();
    assert_eq!((&never["result"], &never["reason"]), (&"unreachable".into(), &"B is cancelled".into()));
    s.run(["wait", "--for", "idle", "--timeout", "80"]).ok();
    s.run(["task", "approve", "A"]).ok();
    s.run(["wait", "A", "--timeout", "1m20s"]).ok();
    s.run(["wait", "A", "--for", "attention"]).code(1).says(&["every task is finished"]);
    s.run(["wait", "--for", "nothing"]).code(2).says(&["completed", "attention", "idle"]);
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}
