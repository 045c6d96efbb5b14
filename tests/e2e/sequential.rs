//! Sequential mode: one task at a time, named in a file that the person may edit and the supervisor rewrites.

use crate::support::{ROLES, Sandbox, attention, word};

const FILE: &str = ".claude/current-task.txt";

fn sequential() -> Sandbox {
    let s = Sandbox::ready();
    s.run(["mode", "traditional"]).ok();
    s
}

/// The file missing: the first ready task is written into it. All agents have it; the file goes to the next task when the
/// supervisor stage is done; in the end it is emptied.
#[test]
fn one_task_after_the_other() {
    let s = sequential();
    s.plan("default", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.add("T-2", &["--priority", "1"]);
    s.tick_to("T-2", "arch_wip");
    s.wait_at("T-2.arch.1");
    assert_eq!(s.read(FILE).trim(), "T-2", "the most urgent first");
    s.tick();
    let status = s.status();
    assert_eq!(status["orchestration_mode"], "sequential");
    assert_eq!(word(&status, "T-1"), "unassigned");
    for role in ROLES {
        assert_eq!(status["agents"][role]["current_task"], "T-2", "{role}");
        let expected = if role == "architect" { "working" } else { "idle" };
        assert_eq!(status["agents"][role]["status"], expected, "{role}");
    }
    assert_eq!(status["tasks"]["T-2"]["assigned_to"], "architect");
    s.release("T-2.arch.1");
    s.tick_to("T-2", "test_wip");
    assert_eq!(s.task("T-2")["assigned_to"], "test");
    assert_eq!(s.calls("T-1.arch"), 0);
    s.wait_at("T-2.test.1");
    s.plan("default", "work; marker COMPLETED");
    s.plan("T-1.arch", "hang; work; marker COMPLETED");
    s.release("T-2.test.1");
    s.tick_to("T-1", "arch_wip");
    assert_eq!(s.status_of("T-2"), "completed");
    assert_eq!(s.read(FILE).trim(), "T-1", "the supervisor stage went on to the next task");
    s.wait_at("T-1.arch.1");
    s.release("T-1.arch.1");
    s.tick_to("T-1", "completed");
    s.tick();
    assert!(s.repo().join(FILE).exists());
    assert_eq!(s.read(FILE).trim(), "", "nothing left: emptied");
    assert_eq!(s.status()["agents"]["architect"]["current_task"], serde_json::Value::Null);
}

/// A person's choice in the file is served first; a finished one is replaced.
#[test]
fn the_file_is_read() {
    let s = sequential();
    for id in ["T-1", "T-2", "T-3"] {
        s.add(id, &[]);
    }
    s.write(FILE, "T-3\n");
    s.tick_to("T-3", "completed");
    assert_eq!((s.calls("T-1.super"), s.calls("T-2.arch")), (0, 0));
    s.write(FILE, "T-3");
    s.tick();
    assert_eq!(s.read(FILE).trim(), "T-1", "a finished task is replaced by the first ready one");
}

/// An unknown or blocked task: attention, nothing starts, and the file stays as the person wrote it.
#[test]
fn a_wrong_name_asks_a_person() {
    let s = sequential();
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.run(["task", "block", "T-2", "--reason", "no key yet"]).ok();
    for (content, says) in [("NOBODY\n", "NOBODY"), ("../../etc/passwd\n", "passwd"), ("T-2\n", "no key yet")] {
        s.write(FILE, content);
        s.tick();
        s.tick();
        let status = s.status();
        let kinds = attention(&status);
        assert!(kinds.iter().any(|(kind, _)| kind == "current_task"), "{content}: {kinds:?}");
        assert!(status["attention"].to_string().contains(says), "{}", status["attention"]);
        assert_eq!(word(&status, "T-1"), "unassigned", "{content}");
        assert_eq!(s.read(FILE), content);
        s.run(["status", "--check"]).code(3);
    }
    s.write(FILE, "");
    s.tick();
    assert_eq!(s.read(FILE).trim(), "T-1");
    assert!(!attention(&s.status()).iter().any(|(kind, _)| kind == "current_task"));
}
