//! One tick at a time: a task travels the default workflow in real worktrees to a merge, and several at once.

use crate::support::{ROLES, Sandbox, attention, texts, word};

/// The spine: design, tests, implementation, merge; each stage in its agent's worktree, on the task's branch.
#[test]
fn a_task_travels_to_a_merge() {
    let s = Sandbox::ready();
    let start = s.git(&["rev-parse", "main"]);
    s.add("T-1", &["--body", "the long text"]);
    s.tick_to("T-1", "completed");
    let stages = ["arch", "test", "impl", "super"];
    let written: Vec<String> = stages.iter().map(|stage| format!("T-1.{stage} 1")).collect();
    assert_eq!(s.git(&["show", "main:T-1.txt"]), written.join("\n"));
    assert_eq!(s.read("T-1.txt").trim_end(), written.join("\n"), "the user's checkout follows");
    assert_eq!(s.git(&["rev-parse", "main^1"]), start, "the merge commit has base as its first parent");
    assert_eq!(s.git(&["rev-parse", "main^2"]), s.git(&["rev-parse", "pipeline/T-1"]));
    assert_eq!(s.task("T-1")["merge_commit"], s.git(&["rev-parse", "main"]));
    assert_eq!(s.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    for (stage, role) in stages.iter().zip(ROLES) {
        let key = format!("T-1.{stage}.1");
        assert_eq!(s.seen(&key, "cwd").trim_end(), s.worktree(role).to_string_lossy());
        assert_eq!(s.seen(&key, "head").trim_end(), "refs/heads/pipeline/T-1");
        assert_eq!(s.calls(&format!("T-1.{stage}")), 1);
        // Afterwards the worktree has let go of the branch.
        assert_eq!(s.git_in(role, &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    }
}
