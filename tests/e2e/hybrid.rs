//! Hybrid mode: one task at a time inside a group, groups beside each other.

use crate::support::{Sandbox, word};

#[test]
fn groups_run_beside_each_other_and_their_tasks_one_by_one() {
    let s = Sandbox::new();
    let config = s.config("", "") + &s.agent_block("second", "architect") + &s.agent_block("third", "architect");
    s.init("production", &config);
    s.run(["mode", "hybrid"]).ok();
    s.plan("arch", "hang; work; marker COMPLETED");
    for (id, group) in [("A-1", "a"), ("A-2", "a"), ("B-1", "b"), ("B-2", "b")] {
        s.add(id, &["--group", group]);
    }
    s.add("FREE", &[]);
    s.tick_until("three groups work", |status| ["A-1", "B-1", "FREE"].iter().all(|id| word(status, id) == "arch_wip"));
    for id in ["A-1", "B-1", "FREE"] {
        s.wait_at(&format!("{id}.arch.1"));
    }
    s.tick();
    let status = s.status();
    assert_eq!(status["orchestration_mode"], "hybrid");
    for (id, by) in [("A-2", "A-1"), ("B-2", "B-1")] {
        assert_eq!(word(&status, id), "unassigned");
        let reason = status["tasks"][id]["reason"].as_str().unwrap();
        assert!(reason.contains(by) && reason.contains("group"), "{reason}");
    }
    s.release("A-1.arch.1");
    s.tick_to("A-2", "arch_wip");
    assert_eq!(s.status_of("A-1"), "completed", "the second of a group begins when the first is done");
    assert_eq!(s.status_of("B-2"), "unassigned");
    assert_eq!(s.task("B-1")["group"], "b");
}
