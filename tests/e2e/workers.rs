//! The verbs about workers and about the work that was kept: adding, removing, syncing, restarting; listing, restoring,
//! dropping.

use crate::support::{Sandbox, word};

/// Added agents work at the next tick of whoever ticks; removed ones take nothing more, and their worktree stays.
#[test]
fn agents_come_and_go_beside_a_running_monitor() {
    let s = Sandbox::ready();
    s.plan("arch", "hang; work; marker COMPLETED");
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.add("A", &[]);
    s.add("B", &[]);
    s.wait_at("A.arch.1");
    let program = s.path("agent.sh").to_string_lossy().into_owned();
    s.run(["agent", "add", "second", "--role", "architect", "--", &program]).ok().says(&["second"]);
    s.wait_at("B.arch.1");
    assert_eq!(s.status()["tasks"]["B"]["assigned_to"], "second");
    s.run(["agent", "add", "second", "--role", "architect", "--", &program]).code(1).says(&["second"]);
    s.run(["agent", "add", "odd", "--role", "architect", "--preset", "clod"]).code(2).says(&["claude"]);
    let busy = s.run(["agent", "remove", "second", "--json"]).code(4);
    assert_eq!(busy.error().0, "busy");
    s.release("B.arch.1");
    s.tick_past("B", "arch");
    s.run(["agent", "remove", "second"]).ok();
    assert!(s.status()["agents"].get("second").is_none());
    assert!(s.worktree("second").is_dir(), "its worktree stays");
    s.add("C", &[]);
    s.release("A.arch.1");
    s.wait_at("C.arch.1");
    assert_eq!(s.status()["tasks"]["C"]["assigned_to"], "architect");
    s.signal(monitor, rustix::process::Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}

/// A restart stops what is live, keeps its work, counts no attempt, and lets the agent work again.
#[test]
fn a_restart_goes_on_with_the_work() {
    let s = Sandbox::ready();
    s.plan("arch.1", "echo half > half.txt; hang");
    s.plan("arch.2", "hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "restart", "nobody"]).code(5);
    assert!(!s.run(["agent", "stop", "--all"]).ok().stdout.contains("command-"), "only who people know is named");
    s.run(["agent", "start", "--all"]).ok();
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.2");
    let told = s.run(["agent", "restart", "architect", "--json"]).ok().json_lines();
    assert_eq!(told.last().unwrap()["agents"][0]["name"], "architect", "{told:?}");
    assert_eq!(told.len(), 1, "one document: {told:?}");
    let status = s.status();
    assert_eq!((word(&status, "T-1"), &status["agents"]["architect"]["status"]), ("arch_ready", &"idle".into()));
    s.tick_to("T-1", "completed");
    assert_eq!(s.read("half.txt"), "half\n");
    assert_eq!(s.show("T-1")["runs"][1]["attempt"], 1);
    s.run(["agent", "restart", "--all"]).ok();
}

/// Worktrees are put on base; what somebody left in them is kept.
#[test]
fn a_sync_keeps_what_it_finds() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    s.commit("new.txt", "new\n");
    let base = s.git(&["rev-parse", "main"]);
    for (name, what) in [("mine.txt", "precious\n"), ("other.txt", "also precious\n")] {
        std::fs::write(s.worktree("architect").join(name), what).unwrap();
        s.run(["agent", "sync", "architect", "test"]).ok().says(&["architect", "kept at"]);
        for agent in ["architect", "test"] {
            assert_eq!(s.git_in(agent, &["rev-parse", "HEAD"]), base);
            assert_eq!(s.git_in(agent, &["status", "--porcelain"]), "");
        }
    }
    let kept = s.run(["trash", "list", "--json"]).ok().json();
    let items = kept["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "the second does not push the first out: {kept}");
    let files: Vec<&str> = items.iter().map(|item| item["files"][0].as_str().unwrap()).collect();
    assert!(files.contains(&"mine.txt") && files.contains(&"other.txt"), "{kept}");
    s.run(["agent", "sync", "nobody"]).code(5);
    s.run(["agent", "sync"]).code(2);
}

/// Kept work has an id, comes back as a branch, stays kept until a person says otherwise, and goes by age.
#[test]
fn kept_work_comes_back() {
    let s = Sandbox::ready();
    s.run(["trash", "list"]).ok().says(&["nothing is kept"]);
    s.run(["trash", "empty"]).ok();
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    std::fs::write(s.worktree("architect").join("mine.txt"), "precious\n").unwrap();
    s.run(["agent", "sync", "architect"]).ok();
    let items = s.run(["trash", "list", "--json"]).ok().json()["items"].clone();
    let (id, commit) = (items[0]["id"].as_str().unwrap(), items[0]["commit"].as_str().unwrap());
    s.run(["trash", "list"]).ok().says(&[id, "trash restore ID"]);
    let restored = s.run(["trash", "restore", id, "--json"]).ok().json();
    assert_eq!((&restored["branch"], &restored["commit"]), (&format!("rescued/{id}").into(), &commit.into()));
    assert_eq!(s.git(&["show", &format!("rescued/{id}:mine.txt")]), "precious");
    s.run(["trash", "restore", id]).ok();
    s.run(["trash", "restore", id, "--branch", "main"]).code(1).says(&["main", "--branch NAME"]);
    s.run(["trash", "restore", "../../heads/main"]).code(5);
    s.run(["trash", "empty", "--yes", "--older-than", "soon"]).code(2).says(&["30d"]);
    s.run(["trash", "empty", "--yes", "--older-than", "30d"]).ok().says(&["dropped 0"]);
    assert_eq!(s.run(["trash", "list", "--json"]).ok().json()["items"].as_array().unwrap().len(), 1);
    let refused = s.run(["trash", "empty", "--json"]).code(2);
    assert_eq!(refused.error().0, "usage");
    let dropped = s.run(["trash", "empty", "--yes", "--older-than", "0s", "--json"]).ok().json();
    assert_eq!(dropped["dropped"], serde_json::json!([id]));
    assert_eq!(s.git(&["show", &format!("rescued/{id}:mine.txt")]), "precious", "the branch is the person's");
}
