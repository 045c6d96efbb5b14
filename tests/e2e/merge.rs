//! Merging: verified before base moves, never over anybody's changes, and undone on request.

use crate::support::{Sandbox, attention, holding_gate, word};

/// The user's uncommitted changes in a file that the merge touches: the task waits, base does not move, nothing is lost.
#[test]
fn a_dirty_checkout_in_the_way_of_a_merge() {
    let s = Sandbox::ready();
    let base = s.git(&["rev-parse", "main"]);
    s.plan("impl", "put README.md 'from the agent'; commit impl; marker COMPLETED");
    s.write("README.md", "my own words\n");
    s.write("other.txt", "untracked\n");
    s.add("T-1", &[]);
    let status = s.tick_until("the checkout is in the way", |status| !attention(status).is_empty());
    assert_eq!(word(&status, "T-1"), "super_ready");
    let item = &status["attention"][0];
    assert_eq!(item["kind"], "checkout_dirty");
    assert!(item["summary"].as_str().unwrap().contains("README.md"), "{item}");
    assert!(item["command"].as_str().unwrap().contains("git"), "{item}");
    assert_eq!(status["queues"]["supervisor"], serde_json::json!(["T-1"]));
    s.tick();
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    assert_eq!(s.read("README.md"), "my own words\n");
    s.run(["status", "--check"]).code(3);
    // What it says to type is what helps.
    s.shell(item["command"].as_str().unwrap()).ok();
    s.tick_to("T-1", "completed");
    assert_eq!(s.read("README.md"), "from the agent\n");
    assert_eq!(s.read("other.txt"), "untracked\n");
    assert_eq!(s.calls("T-1.super"), 1);
    let kept = s.shell("git stash list -p; git log --all -p --format=").ok().stdout;
    assert!(kept.contains("my own words"), "the command kept the user's words somewhere: {kept}");
}

/// Changes elsewhere are in nobody's way and stay exactly as they are: staged, unstaged and untracked.
#[test]
fn changes_elsewhere_stay_as_they_are() {
    let s = Sandbox::ready();
    s.commit("staged.txt", "a\n");
    s.commit("unstaged.txt", "a\n");
    s.write("staged.txt", "b\n");
    s.git(&["add", "staged.txt"]);
    s.write("unstaged.txt", "b\n");
    s.write("untracked.txt", "b\n");
    let before = s.git(&["status", "--porcelain"]);
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    assert_eq!(s.git(&["status", "--porcelain"]), before);
    assert_eq!(s.read("T-1.txt").lines().count(), 4);
}

/// A checkout of another branch is not touched at all.
#[test]
fn a_user_on_another_branch_is_left_alone() {
    let s = Sandbox::ready();
    s.git(&["switch", "-qc", "mine"]);
    s.write("README.md", "my own words\n");
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    assert_eq!(s.git(&["symbolic-ref", "--short", "HEAD"]), "mine");
    assert_eq!(s.git(&["status", "--porcelain", "--untracked-files=no"]), " M README.md");
    assert!(!s.repo().join("T-1.txt").exists());
    assert_eq!(s.git(&["show", "main:T-1.txt"]).lines().count(), 4);
}

/// A conflict is the decision `conflict`: `tdd` sends it back to the implementation with the files' names.
#[test]
fn a_conflict_goes_back_to_the_implementation() {
    let s = Sandbox::ready();
    s.commit("shared.txt", "one\n");
    s.plan("T-1.impl.1", "put shared.txt mine; commit impl; marker COMPLETED");
    s.plan("T-1.impl.2", "git merge -q main; put shared.txt both; commit resolved; marker COMPLETED");
    s.plan("T-1.super.1", "hang; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "super_wip");
    s.wait_at("T-1.super.1");
    s.commit("shared.txt", "theirs\n");
    let theirs = s.git(&["rev-parse", "main"]);
    s.release("T-1.super.1");
    s.tick_to("T-1", "completed");
    assert_eq!((s.calls("T-1.impl"), s.calls("T-1.super")), (2, 2));
    let file = s.seen("T-1.impl.2", "md");
    assert!(file.contains("shared.txt") && file.contains("git merge main"), "{file}");
    assert_eq!(s.read("shared.txt"), "both\n");
    assert_eq!(s.git(&["rev-parse", "main^1"]), theirs);
    let show = s.show("T-1");
    assert_eq!((&show["visits"]["impl"], &show["visits"]["super"]), (&2.into(), &2.into()));
    let impls: Vec<_> =
        show["runs"].as_array().unwrap().iter().filter(|r| r["stage"] == "impl" && r["work"] == "agent").collect();
    assert_eq!(impls[1]["attempt"], 1, "entering a stage again counts from 1");
}

/// Unconnected, a conflict blocks the task; base stays where it was.
#[test]
fn an_unconnected_conflict_blocks() {
    let s = Sandbox::new();
    s.commit("shared.txt", "one\n");
    s.write(
        ".pipeline/workflows/short.json",
        r#"{"id":"short","name":"s","stages":[{"id":"only","name":"o","agent":"supervisor","description":"d"}]}"#,
    );
    s.init("production", &s.config("", ""));
    s.plan("only", "put shared.txt mine; commit only; hang; marker COMPLETED");
    s.add("T-1", &["--workflow", "short"]);
    s.tick_to("T-1", "only_wip");
    s.wait_at("T-1.only.1");
    s.commit("shared.txt", "theirs\n");
    let theirs = s.git(&["rev-parse", "main"]);
    s.release("T-1.only.1");
    let status = s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    assert!(status["tasks"]["T-1"]["reason"].as_str().unwrap().contains("conflict"), "{status}");
    assert_eq!(s.git(&["rev-parse", "main"]), theirs);
}

/// What is merged is checked as it will be, before base moves: two changes that only fail together never meet on base.
#[test]
fn the_merged_result_is_verified_first() {
    let s = Sandbox::ready_with("verify = \"! { test -e a.txt && test -e b.txt; }\"", "retries = 0");
    s.plan("impl", "work a.txt; marker COMPLETED");
    s.plan("super", "hang; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "super_wip");
    s.wait_at("T-1.super.1");
    s.commit("b.txt", "b\n");
    let base = s.git(&["rev-parse", "main"]);
    s.release("T-1.super.1");
    let status = s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    assert!(status["tasks"]["T-1"]["reason"].as_str().unwrap().contains("gate"), "{status}");
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    assert!(!s.repo().join("a.txt").exists());
}

/// If base moves while the merge is being checked, the merge is made and checked again on top of it.
#[test]
fn a_base_that_moves_meanwhile_is_never_overwritten() {
    let s = Sandbox::new();
    let gate = holding_gate(&s);
    s.init("production", &s.config(&format!("verify = {gate:?}"), ""));
    s.plan("super", "hang; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "super_wip");
    s.wait_at("T-1.super.1");
    std::fs::write(s.path("held"), "").unwrap();
    s.release("T-1.super.1");
    s.tick_to("T-1", "super_verifying");
    s.wait_at("gate");
    s.commit("mine.txt", "mine\n");
    let mine = s.git(&["rev-parse", "main"]);
    std::fs::remove_file(s.path("held")).unwrap();
    s.release("gate");
    s.tick_to("T-1", "completed");
    assert_eq!(s.git(&["rev-parse", "main^1"]), mine, "merged on top of what came meanwhile");
    assert_eq!(s.git(&["show", "main:mine.txt"]), "mine");
    assert_eq!(s.git(&["show", "main:T-1.txt"]).lines().count(), 3);
    let show = s.show("T-1");
    let gates = show["runs"].as_array().unwrap().iter().filter(|run| run["work"] == "gate" && run["stage"] == "super");
    assert_eq!(gates.count(), 2, "the second merge was checked too");
}

/// A completed task can be taken back; anything else cannot.
#[test]
fn a_rollback_reverts_the_merge() {
    let s = Sandbox::ready();
    s.plan("T-2.super", "hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    s.add("T-2", &["--after", "T-1"]);
    s.run(["task", "rollback", "T-2"]).code(1).says(&["T-2", "completed"]);
    s.run(["task", "rollback", "NOPE"]).code(5);
    let merge = s.git(&["rev-parse", "main"]);
    // Uncommitted changes in the way: refused, with what to type, and nothing has changed.
    s.write("T-1.txt", "edited\n");
    s.run(["task", "rollback", "T-1"]).code(1).says(&["T-1.txt", "git"]);
    assert_eq!((s.git(&["rev-parse", "main"]), s.status_of("T-1")), (merge.clone(), "completed".to_owned()));
    s.git(&["checkout", "-q", "--", "T-1.txt"]);
    let document = s.run(["task", "rollback", "T-1", "--json"]).ok().json();
    assert_eq!(document["status"], "rolled_back");
    assert_eq!(document["commit"], s.git(&["rev-parse", "main"]));
    assert_eq!(s.git(&["rev-parse", "main^"]), merge, "nothing is rewritten");
    assert!(!s.repo().join("T-1.txt").exists());
    assert_eq!(s.status_of("T-1"), "rolled_back");
    s.run(["task", "rollback", "T-1"]).code(1);
    assert!(attention(&s.status()).contains(&("dependency_failed".to_owned(), "T-1".to_owned())));
}

/// A task that changed nothing is completed without a merge commit.
#[test]
fn nothing_to_merge_is_fine() {
    let s = Sandbox::ready();
    let base = s.git(&["rev-parse", "main"]);
    s.plan("default", "marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    assert_eq!(s.task("T-1")["merge_commit"], serde_json::Value::Null);
    s.run(["task", "rollback", "T-1"]).ok().says(&["nothing to revert"]);
    assert_eq!(s.git(&["rev-parse", "main"]), base);
}

/// A branch that has a task's name and is not the task's: what it holds is not merged, it is kept and said. So it is where
/// an agent's worktree still has it checked out, with work that nobody committed.
#[test]
fn an_old_branch_of_the_same_name_is_not_taken_over() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.plan("arch", "put old.txt old; commit old; put loose.txt loose; hang");
    s.tick();
    s.wait_at("T-1.arch.1");
    let agent = s.git(&["rev-parse", "pipeline/T-1"]);
    s.run(["agent", "stop", "--all"]).ok();
    let old = s.git(&["rev-parse", "pipeline/T-1"]);
    assert_ne!(agent, old, "what was not committed was kept");
    s.git_in("architect", &["switch", "-q", "pipeline/T-1"]);
    std::fs::write(s.worktree("architect").join("loose.txt"), "looser").expect("an agent's file");
    s.run(["init", "--reset", "--rollout", "production"]).ok();
    s.plan("arch", "work; marker COMPLETED");
    s.add("T-1", &[]);
    let said = s.tick();
    assert!(said.stderr.contains("pipeline/T-1") && said.stderr.contains("trash restore branch-T-1"), "{said:?}");
    s.tick_to("T-1", "completed");
    let files = s.git(&["ls-tree", "--name-only", "main"]);
    assert!(files.contains("T-1.txt") && !files.contains("old.txt") && !files.contains("loose.txt"), "{files}");
    let kept = s.run(["trash", "list", "--json"]).ok().json();
    let kept = kept["items"].as_array().expect("a list");
    assert!(kept.iter().any(|item| item["id"] == "branch-T-1" && item["commit"] == old.as_str()), "{kept:?}");
    s.run(["trash", "restore", "branch-T-1"]).ok();
    assert_eq!(s.git(&["show", "rescued/branch-T-1:loose.txt"]), "loose");
    assert_eq!(kept.len(), 2, "what nobody had committed is kept too: {kept:?}");
}

/// A person who stands on such a branch keeps it, and is told what to do. A number that a branch has is given to no task.
#[test]
fn a_branch_somebody_stands_on_is_left_alone() {
    let s = Sandbox::ready();
    s.git(&["switch", "-qc", "pipeline/TASK-007"]);
    s.commit("mine.txt", "mine\n");
    assert_eq!(s.run(["task", "add", "next"]).ok().stdout.trim(), "TASK-008");
    s.git(&["branch", "pipeline/TASK-009-notes"]);
    assert_eq!(s.run(["task", "add", "next"]).ok().stdout.trim(), "TASK-010");
    s.run(["task", "cancel", "TASK-008"]).ok();
    s.run(["task", "cancel", "TASK-010"]).ok();
    s.add("TASK-007", &[]);
    let status = s.tick_until("the branch is in the way", |status| word(status, "TASK-007") == "blocked");
    let reason = status["tasks"]["TASK-007"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("checked out at") && reason.contains("task retry TASK-007"), "{reason}");
    assert_eq!(s.git(&["symbolic-ref", "--short", "HEAD"]), "pipeline/TASK-007");
    s.git(&["switch", "-q", "main"]);
    s.run(["task", "retry", "TASK-007"]).ok();
    s.tick_to("TASK-007", "completed");
    assert!(!s.git(&["ls-tree", "--name-only", "main"]).contains("mine.txt"));
    assert_eq!(s.git(&["show", "refs/pipeline/trash/branch-TASK-007:mine.txt"]), "mine");
}
