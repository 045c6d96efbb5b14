//! Branches that will not both merge, seen before any of them is merged: by whoever asks, and by the agent that has to act.

use crate::support::{Sandbox, texts};

/// Two agents edit one line. It is known while they are at work, and gone once it is settled.
#[test]
fn two_agents_that_edit_one_line() {
    let s = Sandbox::new();
    s.commit("src/a.rs", "one\n");
    let second = s.agent_block("second", "implementation");
    s.init("production", &(s.config("", "") + &second));
    s.plan("impl", "put src/a.rs $PIPELINE_TASK_ID; commit impl; hang; marker COMPLETED");
    s.plan("T-2.impl.2", "git merge -q main; put src/a.rs both; commit resolved; marker COMPLETED");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.add("T-3", &[]);
    s.plan("T-3.impl", "put src/b.rs b; commit impl; hang; marker COMPLETED");
    for id in ["T-1", "T-2"] {
        s.tick_to(id, "impl_wip");
        s.wait_at(&format!("{id}.impl.1"));
    }
    let known = |id: &str| s.task(id)["collides_with"].clone();
    let both = serde_json::json!([{ "task": "T-2", "files": ["src/a.rs"] }]);
    s.tick_until("it is noticed", |status| status["tasks"]["T-1"]["collides_with"] == both);
    assert_eq!(known("T-2"), serde_json::json!([{ "task": "T-1", "files": ["src/a.rs"] }]));
    s.run(["task", "show", "T-1"]).ok().says(&["would collide with T-2 in src/a.rs"]);
    s.run(["explain", "T-2"]).ok().says(&["would collide with T-1 in src/a.rs"]);
    s.run(["task", "list"]).ok();
    let state = s.state();
    assert_eq!(state["tasks"]["T-1"]["collides_with"], both);
    // Nothing that moves, nothing that is said again.
    let seen = || {
        let events = s.run(["events", "--json"]).ok().json_lines();
        let of = |word: &str| events.iter().filter(|event| event["type"] == word).count();
        (of("collision_seen"), of("collision_gone"))
    };
    let before = seen();
    s.tick();
    s.tick();
    assert_eq!((before, seen()), ((1, 0), (1, 0)));
    assert!(s.git(&["for-each-ref"]).lines().all(|line| !line.contains("tried")));
    // The first is merged. The other one no longer merges into base, and its next attempt is told so.
    s.release("T-1.impl.1");
    s.tick_to("T-1", "completed");
    let alone = serde_json::json!([{ "files": ["src/a.rs"] }]);
    s.tick_until("base is in its way", |status| status["tasks"]["T-2"]["collides_with"] == alone);
    s.run(["explain", "T-2"]).ok().says(&["no longer merges into main: src/a.rs"]);
    s.run(["agent", "stop", "implementation", "second"]).ok();
    s.run(["agent", "start", "implementation", "second"]).ok();
    s.tick_to("T-2", "completed");
    let told = s.seen("T-2.impl.2", "md");
    assert!(told.contains("no longer merges into main") && told.contains("- src/a.rs"), "{told}");
    assert_eq!(s.read("src/a.rs"), "both\n");
    assert_eq!(s.calls("T-2.super"), 1, "its merge did not come to a conflict");
    let visits = &s.show("T-2")["visits"];
    assert_eq!((&visits["impl"], &visits["super"]), (&1.into(), &1.into()), "{visits}");
    assert_eq!(known("T-2"), serde_json::json!([]));
    s.release("T-3.impl.1");
}

/// In shadow nothing is touched, and what there is is looked at all the same. A branch that is deleted collides with nothing.
#[test]
fn a_branch_that_is_deleted() {
    let s = Sandbox::new();
    s.commit("src/a.rs", "one\n");
    s.init("production", &(s.config("", "") + &s.agent_block("second", "architect")));
    s.plan("arch", "put src/a.rs $PIPELINE_TASK_ID; commit arch; hang; marker COMPLETED");
    s.plan("test", "hang");
    for id in ["T-1", "T-2"] {
        s.add(id, &[]);
        s.tick_to(id, "arch_wip");
        s.wait_at(&format!("{id}.arch.1"));
    }
    s.tick_until("it is noticed", |status| !texts_of(status, "T-1").is_empty());
    s.run(["mode", "shadow", "--yes"]).ok();
    s.release("T-1.arch.1");
    s.release("T-2.arch.1");
    s.tick_to("T-1", "test_ready");
    s.tick_to("T-2", "test_ready");
    assert_eq!(texts_of(&s.status(), "T-1"), ["T-2"]);
    s.git(&["branch", "-D", "pipeline/T-2"]);
    s.tick_until("it is gone", |status| texts_of(status, "T-1").is_empty());
    let events = s.run(["events", "--json"]).ok().json_lines();
    let gone = events.iter().find(|event| event["type"] == "collision_gone").unwrap();
    assert_eq!((&gone["data"]["task"], &gone["data"]["with"]), (&"T-1".into(), &"T-2".into()));
    assert_eq!(texts(&s.status()["queues"]["completed"]), [""; 0]);
}

/// The tasks that one collides with.
fn texts_of<'s>(status: &'s serde_json::Value, id: &str) -> Vec<&'s str> {
    let known = status["tasks"][id]["collides_with"].as_array().expect("a list");
    known.iter().filter_map(|one| one["task"].as_str()).collect()
}
