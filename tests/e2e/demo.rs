//! The demonstration: the whole product on a scratch repository, with no model and nobody watching.

use serde_json::Value;

use crate::support::Sandbox;

/// It exits 0, and everything that it promises is true of the repository that it leaves. For a program it is one document a
/// line.
#[test]
fn the_demonstration_keeps_its_promises() {
    let s = Sandbox::new();
    let lines = s.run(["-C", "../tmp", "demo", "--headless", "--json", "--dir", "shown"]).ok().json_lines();
    assert!(lines.len() > 20 && lines.iter().all(Value::is_object), "{lines:?}");
    let status = s.run(["-C", "../tmp/shown", "status", "--json"]).ok().json();
    let tasks = status["tasks"].as_object().unwrap();
    assert!(tasks.len() >= 8, "{tasks:?}");
    assert!(tasks.values().all(|task| task["status"] == "completed" && task["merge_commit"].is_string()), "{tasks:?}");
    assert!(tasks.values().any(|task| !task["depends_on"].as_array().unwrap().is_empty()));
    let metrics = &status["metrics"];
    assert_eq!((&status["attention"], &metrics["gate_failures_total"]), (&serde_json::json!([]), &1.into()));
    assert!(metrics["retries_total"].as_u64().unwrap() >= 2, "a failed gate and a crash are tried again: {metrics}");
    let events = s.run(["-C", "../tmp/shown", "events"]).ok().json_lines();
    let conflict = |event: &Value| event["type"] == "stage_done" && event.to_string().contains("\"conflict\"");
    assert!(events.iter().any(conflict), "a conflict is resolved");
    assert!(events.iter().any(|event| event["actor"] == "task approve"), "somebody was asked");
    // The work is really there, and passes its own tests where the person would look.
    let config = s.run(["-C", "../tmp/shown", "config", "show", "--json"]).ok().json();
    let verify = config["entries"].as_array().unwrap().iter().find(|entry| entry["key"] == "project.verify").unwrap();
    let verify = verify["value"].as_str().unwrap();
    s.shell(&format!("cd ../tmp/shown && git fsck --no-progress && git checkout -q main && {verify}")).ok();
    assert_eq!(s.shell("git -C ../tmp/shown status --porcelain --untracked-files=no").ok().stdout, "");
    s.run(["-C", "../tmp/shown", "doctor"]).ok();
    s.run(["-C", "../tmp", "demo", "--headless", "--dir", "shown"]).code(1).says(&["shown"]);
}
