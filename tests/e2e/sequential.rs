//! Sequential mode: one task at a time, named in a file that the person may edit and the supervisor rewrites.

use std::os::unix::fs::MetadataExt as _;

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

/// An agent's file about a task; `None` where there is none.
fn file(s: &Sandbox, agent: &str, task: &str) -> Option<String> {
    std::fs::read_to_string(s.worktree(agent).join(format!("{task}.md"))).ok()
}

/// No worktree, and not the person's checkout either, shows a change.
#[track_caller]
fn all_clean(s: &Sandbox) {
    for role in ROLES {
        assert_eq!(s.git_in(role, &["status", "--porcelain", "--untracked-files=all"]), "", "{role}");
    }
}

/// Nobody has a file about the task, and git does not go on ignoring one.
#[track_caller]
fn gone(s: &Sandbox, task: &str) {
    for role in ROLES {
        assert_eq!(file(s, role, task), None, "{role}");
    }
    let ignored = s.read(".git/info/exclude");
    assert!(!ignored.contains(&format!("{task}.md")), "{ignored}");
}

/// All agents are assigned the task, each with its task file: whose turn it is has the file of its run, the others one that
/// says where the task is. It follows the task, is no claim of theirs, and is gone with the task.
#[test]
fn every_agent_has_the_file_of_the_current_task() {
    let s = sequential();
    s.plan("arch", "hang; work; outcome '{\"run\":\"@RUN@\",\"status\":\"ok\",\"summary\":\"drew the plan\"}'");
    s.plan("test", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    assert!(file(&s, "architect", "T-1").unwrap().ends_with("## Status: IN PROGRESS\n"));
    for (role, stage) in [("test", "test"), ("implementation", "impl"), ("supervisor", "super")] {
        let text = file(&s, role, "T-1").unwrap_or_else(|| panic!("{role} has no file"));
        for expected in ["# T-1: the task T-1\n", "At stage Design (`arch`)", &format!("(`{stage}`).\n")] {
            assert!(text.contains(expected), "{role}: no {expected:?} in\n{text}");
        }
        assert!(!text.contains("IN PROGRESS") && !text.contains("drew the plan"), "{text}");
        assert_eq!(s.git_in(role, &["rev-parse", "HEAD"]), s.git(&["rev-parse", "main"]), "{role}");
    }
    all_clean(&s);
    let inode = |role: &str| s.worktree(role).join("T-1.md").metadata().unwrap().ino();
    let before = ROLES.map(inode);
    s.tick();
    s.tick();
    assert_eq!(ROLES.map(inode), before, "what says what it should is not written again");
    // Not its turn: what is written there is nobody's claim.
    s.shell("sed -i 's/^## Status: .*/## Status: COMPLETED/' .pipeline/worktrees/test/T-1.md").ok();
    s.tick();
    assert_eq!(s.status_of("T-1"), "arch_wip");
    s.release("T-1.arch.1");
    s.tick_to("T-1", "test_wip");
    s.wait_at("T-1.test.1");
    s.tick();
    let seen = s.seen("T-1.test.1", "md");
    assert!(seen.contains("drew the plan") && seen.ends_with("## Status: IN PROGRESS\n"), "{seen}");
    for role in ["architect", "implementation", "supervisor"] {
        let text = file(&s, role, "T-1").unwrap_or_else(|| panic!("{role} has no file"));
        assert!(text.contains("At stage Tests (`test`)") && text.contains("drew the plan"), "{text}");
    }
    all_clean(&s);
    s.release("T-1.test.1");
    s.tick_to("T-2", "arch_wip");
    s.tick();
    assert_eq!(s.status_of("T-1"), "completed");
    assert_eq!(s.show("T-1")["runs"].as_array().unwrap().iter().filter(|run| run["work"] == "agent").count(), 4);
    gone(&s, "T-1");
    let committed = s.git(&["log", "--all", "--name-only", "--format="]);
    assert!(!committed.lines().any(|name| name.ends_with(".md") && name != "README.md"), "{committed}");
    assert!(ROLES.iter().all(|role| file(&s, role, "T-2").is_some()), "the next task is all agents' now");
    all_clean(&s);
}

/// The files go with the mode, with the person's choice of another task and with the end of the agent; in shadow nothing
/// is written or taken away.
#[test]
fn files_of_those_who_wait_are_taken_away() {
    let s = sequential();
    s.plan("default", "marker BLOCKED no key");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    s.tick();
    assert!(ROLES.iter().all(|role| file(&s, role, "T-1").is_some()), "it is still the current task");
    s.write(FILE, "T-2\n");
    s.tick_until("T-2 is blocked", |status| word(status, "T-2") == "blocked");
    s.tick();
    gone(&s, "T-1");
    assert!(ROLES.iter().all(|role| file(&s, role, "T-2").is_some()));
    let config = s.read(".pipeline/config.toml");
    let less = config.find("[[agents]]\nname = \"supervisor\"").unwrap();
    s.write(".pipeline/config.toml", &config[..less]);
    s.tick();
    assert_eq!((file(&s, "supervisor", "T-2"), file(&s, "test", "T-2").is_some()), (None, true));
    s.write(".pipeline/config.toml", &config);
    s.run(["mode", "shadow"]).ok();
    s.tick();
    assert_eq!(file(&s, "supervisor", "T-2"), None, "shadow writes nothing");
    s.run(["mode", "set", "parallel", "shadow"]).ok();
    s.tick();
    assert!(file(&s, "test", "T-2").is_some(), "shadow takes nothing away");
    all_clean(&s);
    s.run(["mode", "set", "parallel", "production", "--yes"]).ok();
    s.tick();
    gone(&s, "T-2");
    all_clean(&s);
    assert!(!s.read(".git/pipeline-task-files.json").contains("T-"));
}

/// A run that is live when another task becomes the current one keeps its file to its end.
#[test]
fn a_live_run_keeps_its_file_when_another_task_becomes_current() {
    let s = sequential();
    s.plan("T-1.arch", "hang; work; marker COMPLETED");
    s.plan("T-2.arch", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.write(FILE, "T-2\n");
    s.tick();
    assert!(file(&s, "architect", "T-1").unwrap().ends_with("## Status: IN PROGRESS\n"));
    assert_eq!(file(&s, "architect", "T-2"), None, "it is at work on another task");
    for role in &ROLES[1..] {
        assert_eq!(file(&s, role, "T-1"), None, "{role}");
        assert!(file(&s, role, "T-2").unwrap().contains("At stage Design"), "{role}");
    }
    all_clean(&s);
    s.release("T-1.arch.1");
    s.tick_to("T-2", "arch_wip");
    s.wait_at("T-2.arch.1");
    s.tick();
    assert_eq!(s.status_of("T-1"), "test_ready", "what it claimed counted");
    gone(&s, "T-1");
    all_clean(&s);
    s.release("T-2.arch.1");
    s.tick_to("T-1", "completed");
}

/// A file of that name that somebody else put there is neither written over nor taken away, and its task asks a person.
#[test]
fn a_file_of_that_name_that_is_not_ours_is_left_alone() {
    let s = sequential();
    s.plan("arch", "hang; work; marker COMPLETED");
    s.run(["agent", "sync", "--all"]).ok();
    s.write("T-1.md", "the person's\n");
    s.write(".pipeline/worktrees/test/T-1.md", "somebody's\n");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    assert_eq!(file(&s, "test", "T-1").as_deref(), Some("somebody's\n"));
    assert!(file(&s, "supervisor", "T-1").unwrap().contains("At stage Design"));
    s.release("T-1.arch.1");
    s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    let reason = s.task("T-1")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("T-1.md"), "{reason}");
    s.run(["task", "cancel", "T-1"]).ok();
    s.tick();
    assert_eq!(file(&s, "supervisor", "T-1"), None);
    assert_eq!(file(&s, "test", "T-1").as_deref(), Some("somebody's\n"));
    assert_eq!(s.read("T-1.md"), "the person's\n");
    assert!(!s.read(".git/info/exclude").contains("T-1.md"), "it is seen again");
    assert_eq!(s.git_in("test", &["status", "--porcelain"]), "?? T-1.md");
}

/// A branch of the task's name that somebody else made, with such a file on it, is kept aside: neither is taken over.
#[test]
fn a_strange_branch_with_such_a_file_is_kept_aside() {
    let s = sequential();
    s.add("T-1", &[]);
    s.run(["task", "block", "T-1", "--reason", "not yet"]).ok();
    s.write(FILE, "T-1\n");
    s.tick();
    assert!(file(&s, "architect", "T-1").is_some());
    s.shell(
        "git switch -qc pipeline/T-1 && echo theirs > T-1.md && git add -f T-1.md && git commit -qm own && git switch -q main",
    )
    .ok();
    s.run(["task", "unblock", "T-1"]).ok();
    s.tick_past("T-1", "arch");
    s.run(["trash", "list"]).ok().says(&["branch-T-1"]);
    assert_eq!(s.git(&["show", "refs/pipeline/trash/branch-T-1:T-1.md"]), "theirs");
}

/// Worktrees made for the file are where the template says, and are set up before their first run all the same.
#[test]
fn worktrees_made_for_the_file_are_set_up_before_their_first_run() {
    let s = Sandbox::new();
    let setups = s.path("setups").to_string_lossy().into_owned();
    let setup = format!("setup = \"basename $PWD >> {setups}\"\nworktrees = \"../trees/{{agent}}-x\"");
    s.init("production", &s.config(&setup, ""));
    s.run(["mode", "traditional"]).ok();
    s.plan("arch", "hang; work; marker COMPLETED");
    s.plan("default", &format!("grep -qx \"$(basename $PWD)\" {setups} && work && marker COMPLETED || exit 1"));
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    for role in &ROLES[1..] {
        let text = std::fs::read_to_string(s.path(&format!("trees/{role}-x/T-1.md"))).unwrap();
        assert!(text.contains("At stage Design"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&setups).unwrap(), "architect-x\n", "a set-up is for a run, not for a file");
    s.release("T-1.arch.1");
    s.tick_to("T-1", "completed");
    s.tick();
    let trees = s.shell("ls ../trees/*/T-1.md 2> /dev/null | wc -l").ok().stdout;
    assert_eq!(trees.trim(), "0");
    let setups = std::fs::read_to_string(&setups).unwrap();
    for role in ROLES {
        assert_eq!(setups.lines().filter(|line| *line == format!("{role}-x")).count(), 1, "{setups}");
    }
}

/// Where all agents of a task share its worktree, the file there is that of the run and nobody else's.
#[test]
fn agents_that_share_a_worktree_are_told_by_their_runs() {
    let s = Sandbox::new();
    s.init("production", &s.config("worktrees = \"../trees/{task}\"", ""));
    s.run(["mode", "traditional"]).ok();
    s.plan("arch", "hang; work; marker COMPLETED");
    s.plan("test", "marker BLOCKED no key");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    let shared = s.path("trees/T-1/T-1.md");
    assert!(std::fs::read_to_string(&shared).unwrap().ends_with("## Status: IN PROGRESS\n"));
    s.release("T-1.arch.1");
    s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    s.tick();
    assert!(!shared.exists());
    assert!(!s.read(".git/info/exclude").contains("T-1.md"));
}
