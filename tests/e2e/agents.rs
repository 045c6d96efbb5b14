//! The workers: stopping keeps their work, starting lets them go on, and nothing they leave behind is lost.

use crate::support::{Sandbox, is_alive, word};

/// Stopped mid-work: everything is on the task's branch, no attempt is counted, and it rests until started.
#[test]
fn a_stop_keeps_the_work() {
    let s = Sandbox::ready();
    s.plan("arch.1", "work; echo half > half.txt; echo more >> README.md; hang");
    s.plan("arch.2", "work; marker COMPLETED");
    s.run(["agent", "stop", "--all"]).ok();
    s.run(["agent", "stop", "nobody"]).code(5).says(&["nobody"]);
    s.run(["agent", "start", "--all"]).ok();
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "sync", "architect"]).code(4).says(&["architect", "agent stop"]);
    s.run(["agent", "stop", "architect"]).ok().says(&["architect stopped"]);
    let state = s.state();
    assert_eq!((word(&state, "T-1"), &state["tasks"]["T-1"]["attempt"]), ("arch_ready", &0.into()));
    assert_eq!(state["agents"]["architect"]["status"], "stopped");
    assert_eq!(s.git(&["show", "pipeline/T-1:half.txt"]), "half");
    assert_eq!(s.git(&["show", "pipeline/T-1:README.md"]), "one\nmore");
    s.tick();
    assert_eq!((s.status_of("T-1").as_str(), s.calls("T-1.arch")), ("arch_ready", 1));
    s.run(["agent", "start", "architect"]).ok();
    s.tick_to("T-1", "completed");
    assert_eq!(s.show("T-1")["runs"][1]["attempt"], 1);
    assert_eq!(s.read("half.txt"), "half\n");
}

/// TERM, 10 s, KILL, of the whole tree: one that ignores TERM, and a child that has left its session, are gone.
#[test]
fn a_stop_ends_the_whole_tree() {
    let s = Sandbox::ready();
    s.plan("arch", "ignore_term; daemon; work; (hang)");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    let pids = std::fs::read_to_string(s.path("pids")).unwrap();
    let pids: Vec<u32> = pids.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    s.run(["agent", "stop", "architect"]).ok();
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
    assert_eq!(s.status_of("T-1"), "arch_ready");
    assert_eq!(s.git(&["show", "pipeline/T-1:T-1.txt"]), "T-1.arch 1");
}

/// What an agent leaves running when it exits is ended too.
#[test]
fn nothing_outlives_a_run() {
    let s = Sandbox::ready();
    s.plan("arch", "daemon; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    let pid: u32 = std::fs::read_to_string(s.path("daemon.T-1.arch")).unwrap().trim().parse().unwrap();
    assert!(!is_alive(pid), "the daemon {pid} is alive");
}

/// Work that somebody left in an agent's worktree is set aside, not overwritten.
#[test]
fn a_dirty_worktree_is_set_aside() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    let worktree = s.worktree("architect");
    std::fs::write(worktree.join("mine.txt"), "precious\n").unwrap();
    std::fs::write(worktree.join("README.md"), "precious too\n").unwrap();
    s.add("T-2", &[]);
    s.tick_to("T-2", "completed");
    assert!(!s.git(&["ls-tree", "-r", "--name-only", "main"]).contains("mine.txt"));
    let kept = s.run(["trash", "list", "--json"]).ok().json();
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept}");
    let id = kept["items"][0]["id"].as_str().unwrap();
    s.run(["trash", "restore", id, "--branch", "saved"]).ok();
    assert_eq!(s.git(&["show", "saved:mine.txt"]), "precious");
    assert_eq!(s.git(&["show", "saved:README.md"]), "precious too");
    s.run(["trash", "restore", "nothing"]).code(5);
    s.run(["trash", "empty"]).code(2).says(&["--yes"]);
    s.run(["trash", "empty", "--yes"]).ok();
    assert_eq!(s.run(["trash", "list", "--json"]).ok().json()["items"].as_array().unwrap().len(), 0);
}

/// Agents that leave the task's branch: their commits are kept where they are or under a rescue reference.
#[test]
fn work_beside_the_branch_is_not_lost() {
    let s = Sandbox::ready();
    s.plan("A.arch", "git switch -qc own-idea; echo a > own.txt; marker COMPLETED");
    s.plan("B.arch", "git switch -q --detach; echo b > nowhere.txt; marker COMPLETED");
    s.plan("C.arch", "git switch -q --detach main; work nowhere.txt; marker COMPLETED");
    s.plan("test", "hang");
    ["A", "B", "C"].iter().for_each(|id| s.add(id, &[]));
    let base = s.git(&["rev-parse", "main"]);
    s.tick_until("all have been at arch", |status| {
        ["A", "B", "C"].iter().all(|id| word(status, id).starts_with("test_"))
    });
    assert_eq!(s.git(&["show", "own-idea:own.txt"]), "a");
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    let kept = s.git(&["log", "--all", "--format=%H", "--", "nowhere.txt"]);
    assert_eq!(kept.lines().count(), 2, "both are reachable from a reference: {kept}");
    assert!(s.show("A")["outputs"][0]["summary"].as_str().unwrap().contains("own-idea"));
}

/// `agent list`, `add`, `remove` and `sync`.
#[test]
fn the_list_of_agents() {
    let s = Sandbox::ready();
    let list = s.run(["agent", "list", "--json"]).ok().json();
    let names: Vec<&str> =
        list["agents"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["architect", "implementation", "supervisor", "test"]);
    for agent in list["agents"].as_array().unwrap() {
        assert_eq!(agent["status"], "idle");
        assert!(
            agent["confidence"].is_number() && agent["status_source"].is_string() && agent["status_since"].is_string()
        );
    }
    let before = s.read(".pipeline/config.toml");
    s.run(["agent", "add", "second", "--role", "architect"]).code(2).says(&["--"]);
    s.run(["agent", "add", "a b", "--role", "architect", "--", "x"]).code(2);
    s.run(["agent", "remove", "nobody"]).code(5);
    assert_eq!(s.read(".pipeline/config.toml"), before);
    let program = s.path("agent.sh").to_string_lossy().into_owned();
    s.run(["agent", "add", "second", "--role", "architect", "--", &program]).ok();
    assert!(s.read(".pipeline/config.toml").starts_with(&before), "the rest stays byte for byte");
    s.plan("arch", "hang");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.tick_until("both architects work", |status| ["T-1", "T-2"].iter().all(|id| word(status, id) == "arch_wip"));
    s.run(["agent", "remove", "second"]).code(4);
    s.run(["agent", "stop", "--all"]).ok();
    s.run(["agent", "remove", "second"]).ok();
    assert_eq!(s.read(".pipeline/config.toml").trim(), before.trim());
    s.commit("new.txt", "new\n");
    s.run(["agent", "sync", "--all"]).ok();
    let base = s.git(&["rev-parse", "main"]);
    assert_eq!(s.git_in("architect", &["rev-parse", "HEAD"]), base);
    assert_eq!(s.git_in("architect", &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
}

/// Headless agents get stdin from /dev/null, and separate stdout and stderr.
#[test]
fn headless_agents_and_their_streams() {
    let s = Sandbox::ready();
    s.plan("arch", "readlink /proc/self/fd/0 > \"$box/stdin\"; [ -t 1 ] && exit 3; echo to-out; echo to-err >&2; work; marker COMPLETED; hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    let agent = s.status()["agents"]["architect"].clone();
    assert_eq!(agent["last_line"], "to-out", "{agent}");
    let run = agent["run"].as_str().unwrap();
    let dir = s.repo().join(".pipeline/runs").join(run);
    let logs: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter_map(|path| Some(std::fs::read_to_string(path).ok()?.trim().to_owned()))
        .collect();
    assert!(logs.contains(&"to-out".to_owned()) && logs.contains(&"to-err".to_owned()), "{logs:?}");
    assert_eq!(std::fs::read_to_string(s.path("stdin")).unwrap().trim(), "/dev/null");
    let shown = s.run(["logs", "--task", "T-1"]).ok().stdout;
    assert!(shown.contains("to-out"), "{shown}");
    s.run(["logs", "--task", "NOPE"]).code(5);
    s.run(["logs", "--agent", "nobody"]).code(5);
}
