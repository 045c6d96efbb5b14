//! A worktree from one run to the next: on the task's branch while somebody goes on there, off it as soon as nobody does.

use serde_json::json;

use crate::support::Sandbox;

const PLACE: &str = "command-1";

/// A workflow of commands in a worktree, none of which is tried twice.
fn commands(s: &Sandbox, commands: &[&str]) {
    let stage = |(n, command): (usize, &&str)| {
        let command = format!("git symbolic-ref HEAD >> ../../../../heads; {command}");
        json!({ "id": format!("s{n}"), "run": command, "place": "worktree", "merge": false, "retries": 0 })
    };
    let stages: Vec<_> = commands.iter().enumerate().map(stage).collect();
    s.write(".pipeline/workflows/chain.json", &json!({ "id": "chain", "stages": stages }).to_string());
}

/// The branch of the place's worktree, or `HEAD` where it is on none.
fn on(s: &Sandbox, place: &str) -> String {
    s.git_in(place, &["rev-parse", "--abbrev-ref", "HEAD"])
}

/// How often HEAD of a worktree went from one place to another.
fn moves(s: &Sandbox, place: &str) -> usize {
    s.git_in(place, &["reflog", "--format=%gs", "HEAD"]).lines().filter(|line| line.starts_with("checkout:")).count()
}

#[test]
fn every_stage_finds_what_the_one_before_it_left_and_the_branch_is_free_at_the_end() {
    let s = Sandbox::ready();
    commands(
        &s,
        &[
            "true",
            "echo one > one.txt; echo x >> README.md",
            "test -z \"$(git status --porcelain)\" && test -e one.txt && git rm -q one.txt && git commit -qm gone",
            "test ! -e one.txt && git checkout -q --detach && echo loose > loose.txt",
            "test ! -e loose.txt && grep -q x README.md && echo two > two.txt",
        ],
    );
    s.run(["run", "chain"]).ok();
    assert_eq!(std::fs::read_to_string(s.path("heads")).unwrap(), "refs/heads/pipeline/TASK-001\n".repeat(5));
    assert_eq!(on(&s, PLACE), "HEAD");
    let branch = s.git(&["log", "--format=%s", "main..pipeline/TASK-001"]);
    assert_eq!(branch, "TASK-001: s4 by command-1\ngone\nTASK-001: s1 by command-1");
    assert_eq!(s.git(&["show", "pipeline/TASK-001:two.txt"]), "two");
    s.run(["trash", "list"]).ok().says(&["detached-"]);
    // Onto the branch and off it, and the same again behind the stage that left it by itself.
    assert_eq!(moves(&s, PLACE), 5, "{}", s.git_in(PLACE, &["reflog", "HEAD"]));
}

#[test]
fn a_worktree_goes_from_task_to_task_without_losing_either() {
    let s = Sandbox::ready_with("", "max_commands = 1\n");
    commands(&s, &["test ! -e mine.txt && echo $PIPELINE_TASK_ID > mine.txt"]);
    for id in ["A", "B", "C"] {
        s.add(id, &["--workflow", "chain"]);
    }
    s.start("monitor", ["monitor", "--headless"]);
    s.run(["wait", "--for", "idle", "--timeout", "60s"]).ok();
    for id in ["A", "B", "C"] {
        assert_eq!(s.git(&["show", &format!("pipeline/{id}:mine.txt")]), id);
        assert_eq!(s.status_of(id), "completed");
    }
    s.look_until("the worktree off every branch", |_| on(&s, PLACE) == "HEAD");
}

#[test]
fn agents_hand_their_worktree_on_too() {
    let s = Sandbox::ready();
    let stage = |id: &str| json!({ "id": id, "agent": "architect", "merge": false });
    let text = json!({ "id": "pair", "stages": [stage("first"), stage("second"), stage("third")] }).to_string();
    s.write(".pipeline/workflows/pair.json", &text);
    // One commits, one leaves that to us, one does nothing.
    s.plan("second", "echo left > left.txt; marker COMPLETED");
    s.plan("third", "test -z \"$(git status --porcelain)\" && marker COMPLETED");
    s.run(["run", "pair"]).ok();
    for stage in ["first", "second", "third"] {
        assert_eq!(s.seen(&format!("TASK-001.{stage}.1"), "head").trim(), "refs/heads/pipeline/TASK-001");
    }
    let branch = s.git(&["log", "--format=%s", "main..pipeline/TASK-001"]);
    assert_eq!(branch, "TASK-001: second by architect\nTASK-001.first");
    s.tick();
    assert_eq!(on(&s, "architect"), "HEAD");
}

#[test]
fn what_a_killed_process_held_is_let_go_of_and_what_a_person_checked_out_is_not() {
    let s = Sandbox::ready();
    commands(&s, &["echo one > one.txt"]);
    s.run(["run", "chain"]).ok();
    let head = s.git(&["rev-parse", "pipeline/TASK-001"]);
    s.git_in(PLACE, &["checkout", "-q", "pipeline/TASK-001"]);
    std::fs::write(s.worktree(PLACE).join("mine.txt"), "mine").unwrap();
    s.tick();
    assert_eq!(on(&s, PLACE), "pipeline/TASK-001");
    // So it is left by a process that was killed at its work.
    let mark = std::fs::File::options().write(true).open(s.repo().join(".git/pipeline-at-work")).unwrap();
    mark.set_modified(std::time::SystemTime::now()).unwrap();
    s.tick();
    assert_eq!((on(&s, PLACE), s.git_in(PLACE, &["rev-parse", "HEAD"])), ("HEAD".to_owned(), head));
    assert_eq!(std::fs::read_to_string(s.worktree(PLACE).join("mine.txt")).unwrap(), "mine");
    s.git(&["checkout", "-q", "pipeline/TASK-001"]);
}

#[test]
fn what_is_found_on_the_branch_before_a_run_begins_is_set_aside() {
    let s = Sandbox::ready();
    commands(&s, &["test -e ../../../../go && test ! -e stray.txt && grep -q one README.md"]);
    s.run(["run", "chain"]).code(1);
    s.git_in(PLACE, &["checkout", "-q", "pipeline/TASK-001"]);
    std::fs::write(s.worktree(PLACE).join("stray.txt"), "stray").unwrap();
    std::fs::write(s.worktree(PLACE).join("README.md"), "changed\n").unwrap();
    std::fs::write(s.path("go"), "").unwrap();
    s.run(["task", "retry", "TASK-001"]).ok();
    s.tick_to("TASK-001", "completed");
    assert_eq!(s.git(&["log", "--format=%s", "main..pipeline/TASK-001"]), "");
    let kept = s.git(&["for-each-ref", "--format=%(refname)", "refs/pipeline/trash/"]);
    assert_eq!(s.git(&["show", &format!("{kept}:stray.txt")]), "stray");
}

/// Where a run began counts among the commits that it has been at, though HEAD did not move for it.
#[test]
fn a_branch_moved_to_where_the_run_began_is_put_back() {
    let s = Sandbox::ready();
    let stage = |id: &str| json!({ "id": id, "agent": "architect", "merge": false });
    let text = json!({ "id": "pair", "stages": [stage("first"), stage("second")] }).to_string();
    s.write(".pipeline/workflows/pair.json", &text);
    let long_ago = "GIT_COMMITTER_DATE=2020-01-01T00:00:00Z git commit -qm old";
    s.plan("first", &format!("echo x > x.txt; git add -A; {long_ago}; marker COMPLETED"));
    s.plan("second", "git update-ref refs/heads/main HEAD; marker COMPLETED");
    let base = s.git(&["rev-parse", "main"]);
    s.run(["run", "pair"]);
    assert_eq!(s.calls("TASK-001.second"), 1);
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    let status = s.status();
    let asks = status["attention"].as_array().expect("a list");
    let broken = asks.iter().find(|ask| ask["kind"] == "agent_broken").unwrap_or_else(|| panic!("{asks:?}"));
    assert!(broken["summary"].as_str().unwrap().contains("it moved branch main to"), "{broken}");
    assert_eq!(on(&s, "architect"), "HEAD");
}
