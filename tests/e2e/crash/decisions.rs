//! SIGKILL at each moment of what people ask for, and of a stage that is a command: afterwards it happened once or not at
//! all, and asking again brings it to its end.

use std::fs;
use std::path::PathBuf;

use super::moments::{ONCE, kill_everywhere, strace_is_there};
use super::rig::Rig;

fn with_workflow(name: &str, stages: &str) -> (Rig, String) {
    let rig = Rig::new();
    let text =
        format!("{{ \"id\": \"{name}\", \"name\": \"{name}\", \"version\": \"1.0.0\", \"stages\": [ {stages} ] }}");
    fs::write(rig.file(&format!("r/.pipeline/workflows/{name}.json")), text).expect("a workflow");
    let task = rig.ok(&["task", "add", "one", "--workflow", name]).trim().to_owned();
    (rig, task)
}

/// How many commits of base's first line begin so.
fn commits(rig: &Rig, begin: &str) -> usize {
    let log = rig.shell("cd r && git log --first-parent --format=%s main");
    log.lines().filter(|line| line.starts_with(begin)).count()
}

/// Each run began once, each attempt was claimed once, no commit is lost, and the user's checkout is as base.
fn nothing_lost_or_twice(rig: &Rig, runs: usize) {
    rig.check_snapshot();
    let starts = rig.starts();
    assert_eq!(starts.len(), runs, "how often agents ran:\n{}", rig.report());
    let log = fs::read_to_string(rig.file("log")).unwrap_or_default();
    assert!(!log.contains("overlap"), "{}", rig.report());
    rig.check_commits(&log);
    assert_eq!(rig.shell("cd r && git status --porcelain"), "", "the user's checkout is as base");
}

#[test]
fn an_approval_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let stage =
        r#"{ "id": "make", "name": "Make", "agent": "maker", "verify": true, "merge": true, "approval": true }"#;
    let (rig, task) = with_workflow("asks", stage);
    rig.tick_until("the question", |rig| rig.status_of(&task) == "awaiting_approval");
    rig.save();
    let after = |rig: &Rig, died: bool| {
        let asked = rig.status_of(&task) == "awaiting_approval";
        assert!(died || !asked, "it was acknowledged and did not happen");
        if asked {
            rig.ok(&["task", "approve", &task]);
        }
        rig.tick_until("the end", |rig| rig.status_of(&task) == "completed");
        assert_eq!(commits(rig, &format!("Merge {task}:")), 1, "{}", rig.report());
        nothing_lost_or_twice(rig, 1);
    };
    kill_everywhere(&rig, "approve", &["task", "approve", &task], |_| {}, after);
}

#[test]
fn a_rollback_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let task = rig.add("one");
    rig.finish(std::slice::from_ref(&task));
    rig.save();
    let after = |rig: &Rig, died: bool| {
        let done = rig.status_of(&task) == "rolled_back";
        assert!(died || done, "it was acknowledged and did not happen");
        if !done {
            rig.ok(&["task", "rollback", &task]);
        }
        assert_eq!(rig.status_of(&task), "rolled_back");
        assert_eq!(commits(rig, &format!("Roll back {task}:")), 1, "{}", rig.report());
        let listed = rig.shell("cd r && git ls-tree -r --name-only main");
        assert!(!listed.contains(&task), "{listed}");
        nothing_lost_or_twice(rig, 2);
    };
    kill_everywhere(&rig, "rollback", &["task", "rollback", &task], |_| {}, after);
}

#[test]
fn the_end_of_a_command_stage_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let stages = r#"{ "id": "build", "run": "echo built >> \"$RIG/built\"" },
                    { "id": "ship", "run": "echo shipped >> \"$RIG/shipped\"" }"#;
    let (rig, task) = with_workflow("commands", stages);
    rig.tick();
    rig.wait_until("the end of the first command", |rig| rig.file("built").exists() && rig.is_quiet());
    rig.save();
    let lines = |file: PathBuf| fs::read_to_string(file).unwrap_or_default().lines().count();
    let after = |rig: &Rig, _: bool| {
        rig.tick_until("the end", |rig| rig.status_of(&task) == "completed");
        assert_eq!((lines(rig.file("built")), lines(rig.file("shipped"))), (1, 1), "{}", rig.report());
        rig.check_snapshot();
    };
    kill_everywhere(&rig, "command", ONCE, |_| {}, after);
}

#[test]
fn a_switch_of_the_mode_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let task = rig.add("one");
    rig.save();
    let after = |rig: &Rig, died: bool| {
        let mode = rig.json(&["status", "--json"])["mode"].as_str().unwrap_or_default().to_owned();
        assert!(mode == "shadow" || (died && mode == "production"), "{mode}");
        rig.ok(&["mode", "production", "--yes"]);
        rig.finish(std::slice::from_ref(&task));
        nothing_lost_or_twice(rig, 2);
    };
    kill_everywhere(&rig, "mode", &["mode", "shadow", "--yes"], |_| {}, after);
}
