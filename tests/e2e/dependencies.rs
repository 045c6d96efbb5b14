//! What becomes of the tasks behind one that is given up: by policy they wait for a person, are given up too, or go on.

use serde_json::Value;

use crate::support::{Sandbox, attention, texts, word};

/// A and what hangs on it, with a policy; A fails for good where its workflow says so, B is cancelled by a person.
fn given_up(policy: &str) -> (Sandbox, Value) {
    let s = Sandbox::new();
    s.write(
        ".pipeline/workflows/ends.json",
        r#"{"id":"ends","name":"e","stages":[{"id":"one","name":"o","agent":"architect","description":"d"}],
            "connections":[{"from":"one","to":null,"condition":"success"},{"from":"one","to":null,"condition":"failed"}]}"#,
    );
    s.init("production", &s.config("", &format!("retries = 0\nfailed_dependency = \"{policy}\"")));
    s.plan("A.one.1", "work; exit 1");
    s.plan("B.one", "hang");
    for (id, after) in [("A", ""), ("A1", "A"), ("A2", "A1"), ("B", ""), ("B1", "B"), ("FREE", "")] {
        let more: &[&str] = if after.is_empty() { &[] } else { &["--after", after] };
        s.add(id, &[&["--workflow", "ends"], more].concat());
    }
    s.run(["task", "cancel", "B", "--reason", "not wanted"]).ok();
    let status =
        s.tick_until("A has failed", |status| word(status, "A") == "failed" && word(status, "FREE") == "completed");
    (s, status)
}

/// The default: they wait, a person is told which and how to go on, and a retry that succeeds lets them go on.
#[test]
fn they_wait_for_a_person() {
    let (s, status) = given_up("block");
    for (id, waits) in [("A1", "waits for A"), ("A2", "waits for A1"), ("B1", "waits for B")] {
        assert_eq!((word(&status, id), &status["tasks"][id]["reason"]), ("unassigned", &waits.into()), "{id}");
    }
    assert_eq!(texts(&status["queues"]["blocked"]), ["A1", "A2", "B1"]);
    let told = attention(&status);
    assert_eq!(
        told,
        [("dependency_failed".to_owned(), "A".to_owned()), ("dependency_failed".to_owned(), "B".to_owned())]
    );
    assert_eq!(texts(&status["attention"][0]["unblocks"]), ["A1", "A2"]);
    assert_eq!(status["attention"][0]["command"], "pipeline task retry A");
    s.run(["wait", "A1", "--timeout", "0"]).code(124);
    s.run(["task", "retry", "A"]).ok();
    s.tick_to("A2", "completed");
    // Taking the dependency away is the other way to go on.
    s.run(["task", "edit", "B1", "--after"]).ok();
    s.tick_to("B1", "completed");
    assert!(attention(&s.status()).is_empty());
}

/// They are given up as well, and say because of whom; nobody has to be asked.
#[test]
fn they_are_skipped() {
    let (s, status) = given_up("skip");
    for (id, because) in [("A1", "A, which it depends on"), ("A2", "A1, which it depends on"), ("B1", "not wanted")] {
        assert_eq!(word(&status, id), "cancelled", "{id}");
        let reason = status["tasks"][id]["reason"].as_str().unwrap();
        assert!(reason.contains(because), "{id}: {reason}");
    }
    assert!(attention(&status).is_empty(), "{}", status["attention"]);
    s.run(["wait", "A2"]).code(1).says(&["A2 is cancelled"]);
    s.run(["wait", "--for", "idle", "--timeout", "0"]).ok();
    assert_eq!((s.calls("A1.one"), s.calls("B1.one")), (0, 0));
}

/// They go on as if it had been completed.
#[test]
fn they_go_on() {
    let (s, status) = given_up("continue");
    assert!(attention(&status).is_empty(), "{}", status["attention"]);
    s.tick_until("those behind are done", |status| ["A1", "A2", "B1"].iter().all(|id| word(status, id) == "completed"));
    assert_eq!((s.status_of("A"), s.status_of("B")), ("failed".to_owned(), "cancelled".to_owned()));
    assert_eq!((s.calls("A2.one"), s.calls("B1.one")), (1, 1));
}
