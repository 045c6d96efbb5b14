//! How agents report: `pipeline done`, decisions, and what asks a person.

use crate::support::{Sandbox, attention, word};

/// From inside a run the environment names task and run; what it says stands, whatever the exit code.
#[test]
fn an_agent_reports_with_done() {
    let s = Sandbox::ready_with("", "retries = 0");
    s.plan(
        "A.arch",
        "work; \"$pipeline\" done --status ok --summary 'the design is in DESIGN.md' --decision success; exit 9",
    );
    s.plan("B.arch", "work; \"$pipeline\" done --status blocked --summary 'no key' 2>/dev/null");
    s.plan("C.arch", "\"$pipeline\" done --status ok --decision maybe 2> \"$box/wrong\"; echo $? > \"$box/code\"; \"$pipeline\" done --status failed");
    s.plan("D.arch", "cd /; \"$pipeline\" -C \"$PIPELINE_WORKTREE\" done --status needs-review --summary 'look at it'");
    s.plan("test", "hang");
    ["A", "B", "C", "D"].iter().for_each(|id| s.add(id, &[]));
    let status = s.tick_until("all have reported", |status| {
        let at = |id: &str, wished: &str| word(status, id) == wished;
        at("A", "test_wip") && at("B", "blocked") && at("C", "blocked") && at("D", "awaiting_approval")
    });
    assert_eq!(s.show("A")["outputs"][0]["summary"], "the design is in DESIGN.md");
    assert!(status["tasks"]["B"]["reason"].as_str().unwrap().contains("no key"));
    assert_eq!(std::fs::read_to_string(s.path("code")).unwrap().trim(), "1");
    let wrong = std::fs::read_to_string(s.path("wrong")).unwrap();
    assert!(wrong.contains("maybe") && wrong.contains("success"), "{wrong}");
    assert!(attention(&status).contains(&("review".to_owned(), "D".to_owned())));
}

/// A claim for a run that is not live changes nothing.
#[test]
fn a_stale_or_wrong_report_changes_nothing() {
    let s = Sandbox::ready();
    s.plan("arch", "hang; marker COMPLETED");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.tick_to("T-1", "arch_wip");
    let run = s.status()["agents"]["architect"]["run"].as_str().unwrap().to_owned();
    let seq = s.state()["journal_seq"].clone();
    s.run(["done", "--status", "ok"]).code(2).says(&["--task"]);
    s.run(["done", "--status", "fine", "--task", "T-1"]).code(2).says(&["needs-review"]);
    s.run(["done", "--status", "ok", "--task", "NOPE"]).code(5);
    s.run(["done", "--status", "ok", "--task", "T-2"]).code(5).says(&["task `T-2` has no live run"]);
    s.run(["done", "--status", "ok", "--run", "r000"]).code(5);
    s.run(["done", "--status", "ok", "--task", "T-2", "--run", &run]).code(5);
    let error = s.run(["done", "--status", "ok", "--run", "r000", "--json"]).code(5);
    assert_eq!(error.error().0, "stale_run");
    assert_eq!(s.state()["journal_seq"], seq);
    s.wait_at("T-1.arch.1");
    s.run(["done", "--status", "ok", "--task", "T-1", "--run", &run, "--json"]).ok().json();
    s.release("T-1.arch.1");
    s.tick_past("T-1", "arch");
    s.run(["done", "--status", "ok", "--run", &run]).code(5);
}

/// A stage's decision from its last output; what is unclear is never read as approval.
#[test]
fn decisions_are_read_and_never_guessed() {
    let s = Sandbox::ready();
    s.plan("A.super.1", "decision success; decision rework");
    s.plan("B.super.1", "decision perhaps");
    s.plan("B.super.2", "decision maybe");
    s.plan("B.super.3", "decision rework");
    s.add("A", &[]);
    s.add("B", &[]);
    s.tick_to("A", "completed");
    assert_eq!((s.calls("A.impl"), s.calls("A.super")), (2, 2), "the last decision counted: rework");
    assert!(s.seen("A.impl.2", "md").contains("rework"));
    let status = s.tick_to("B", "awaiting_approval");
    assert_eq!(s.calls("B.super"), 2, "it is asked once more before a person is");
    assert!(s.seen("B.super.2", "md").contains("perhaps"), "and told what it said");
    assert!(attention(&status).contains(&("decision".to_owned(), "B".to_owned())));
    s.run(["task", "approve", "B"]).code(1).says(&["--decision", "rework"]);
    s.run(["task", "approve", "B", "--decision", "perhaps"]).code(1).says(&["success", "conflict"]);
    s.run(["task", "approve", "B", "--decision", "rework"]).ok().says(&["B impl_ready"]);
    s.tick_to("B", "completed");
    assert_eq!(s.calls("B.impl"), 3);
}

/// An outcome file that cannot be understood was meant to say something: that its program ended well does not make it
/// approval. The next attempt is told what was wrong with it.
#[test]
fn an_outcome_file_that_is_not_understood_is_no_approval() {
    let s = Sandbox::ready();
    s.plan("A.super.1", "outcome '{\"run\":\"@RUN@\",\"status\":\"ok\",\"decision\":\"rework, please\"}'");
    s.plan("A.super.2", "outcome '{\"run\":\"@RUN@\",\"status\":\"ok\",\"decision\":\"rework\"}'");
    s.plan("B.arch.1", "outcome '{\"status\":\"needs_review\"}'");
    s.plan("B.arch.2", "outcome '{\"status\":\"blo'");
    s.plan("B.arch.3", ": > \"$PIPELINE_OUTCOME_FILE\"; work");
    s.plan("C.arch.1", "outcome nonsense; work; marker COMPLETED");
    ["A", "B", "C"].iter().for_each(|id| s.add(id, &[]));
    ["A", "B", "C"].iter().for_each(|id| drop(s.tick_to(id, "completed")));
    assert!(s.seen("A.super.2", "md").contains("rework, please"));
    assert_eq!((s.calls("A.super"), s.calls("A.impl")), (3, 2), "what it then said clearly counted");
    assert!(s.seen("B.arch.2", "md").contains("needs-review"), "it is told the words there are");
    assert!(s.seen("B.arch.3", "md").contains("valid JSON"));
    assert_eq!((s.calls("B.arch"), s.calls("C.arch")), (3, 1), "an empty one says nothing, and a clear heading stands");
}
