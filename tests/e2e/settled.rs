//! What happens once work is in base: the check after a merge, taking merges back as a whole, and the breaker.

use super::support::Sandbox;

/// Base goes back to what it was, by a commit and not by force, and the same task brings its work again once it is mended.
#[test]
fn a_merge_that_breaks_base_is_taken_back_and_comes_again_mended() {
    let s =
        Sandbox::ready_with("verify = \"true\"\npost_merge = \"echo looking; ! test -e bad.txt\"", "backoff = \"1ms\"");
    s.plan("T-1.impl", "put bad.txt bad; put good.txt good; commit both; marker COMPLETED");
    s.plan("T-1.super.2", "git rm -q bad.txt; commit mended; marker COMPLETED");
    let before = s.git(&["rev-parse", "main"]);
    s.add("T-1", &[]);
    let tree = |rev: &str| s.git(&["rev-parse", &format!("{rev}^{{tree}}")]);
    s.tick_until("the merge is taken back", |_| {
        s.git(&["rev-parse", "main"]) != before && tree("main") == tree(&before)
    });
    s.git(&["merge-base", "--is-ancestor", &before, "main"]);
    assert_ne!(s.git(&["rev-list", "--count", &format!("{before}..main")]), "0", "nothing is rewritten");
    assert!(!s.repo().join("bad.txt").exists() && !s.repo().join("good.txt").exists(), "the checkout follows");
    s.tick_to("T-1", "completed");
    assert!(s.repo().join("good.txt").exists() && !s.repo().join("bad.txt").exists());
    assert!(s.seen("T-1.super.2", "md").contains("looking"), "its agent sees what the check said");
    assert_eq!(s.git(&["status", "--porcelain", "-uno"]), "");
    s.run(["explain", "T-1"]).ok();
    s.run(["rollout", "check"]).code(0);
}

#[test]
fn what_was_built_on_a_task_is_rolled_back_with_it_or_not_at_all() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.add("T-2", &["--after", "T-1"]);
    s.add("T-3", &["--after", "T-2"]);
    s.tick_to("T-3", "completed");
    let merged = s.git(&["rev-parse", "main"]);
    s.run(["task", "rollback", "T-1"]).code(1).says(&["T-2", "T-3", "--with-dependents", "--alone"]);
    assert_eq!((s.git(&["rev-parse", "main"]), s.status_of("T-1")), (merged.clone(), "completed".to_owned()));
    s.run(["task", "rollback", "T-1", "--alone", "--with-dependents"]).code(2);
    let document = s.run(["task", "rollback", "T-1", "--with-dependents", "--json"]).ok().json();
    assert_eq!(document["with"], serde_json::json!(["T-3", "T-2"]), "what came last goes first");
    for task in ["T-1", "T-2", "T-3"] {
        assert_eq!(s.status_of(task), "rolled_back");
        assert!(!s.repo().join(format!("{task}.txt")).exists());
    }
    assert_eq!(s.git(&["rev-list", "--count", &format!("{merged}..main")]), "3", "each by a commit of its own");
}

#[test]
fn task_after_task_that_comes_to_nothing_takes_the_rollout_back() {
    let s = Sandbox::new();
    s.init("production", &format!("{}\n[rollout]\nbreaker = 2\n", s.config("", "retries = 0")));
    s.plan("default", "marker FAILED it cannot be done");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.add("T-3", &[]);
    s.tick_until("the rollout went back", |status| status["mode"] == "pilot");
    let status = s.status();
    assert!(status["attention"].to_string().contains("demoted"), "{status}");
    s.run(["status"]).ok().says(&["the rollout went back to pilot", "pipeline rollout check"]);
    s.run(["rollout", "history"]).ok().says(&["came to nothing"]);
    s.run(["mode", "production", "--yes"]).ok();
    assert!(!s.status()["attention"].to_string().contains("demoted"));
}

/// What a task claims is bound to what was checked: the command, its exit code, the tree and its output.
#[test]
fn the_evidence_of_a_task_says_when_it_no_longer_holds() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    let proof = s.show("T-1")["proof"].clone();
    assert_eq!((&proof["standing"], &proof["exit_code"]), (&"holds".into(), &0.into()), "{proof}");
    let merge = s.git(&["rev-parse", "main"]);
    assert_eq!(proof["commit"], merge.as_str());
    assert_eq!(proof["tree"], s.git(&["rev-parse", "main^{tree}"]).as_str());
    s.run(["task", "show", "T-1"]).ok().says(&["verified:", "exited 0"]);
    // Somebody takes the merge out of base.
    s.git(&["reset", "-q", "--hard", "main^"]);
    assert_eq!(s.show("T-1")["proof"]["standing"], "overtaken");
    s.run(["task", "show", "T-1"]).ok().says(&["no longer verified", "base no longer has"]);
}

/// What a stage was given by earlier ones is on record, as it was before its agent touched it.
#[test]
fn what_a_stage_was_given_is_kept_and_shown() {
    let s = Sandbox::ready();
    s.plan(
        "T-1.arch",
        "put design.md one; commit design; outcome '{\"run\":\"@RUN@\",\"status\":\"ok\",\"summary\":\"two parsers\"}'",
    );
    s.plan("T-1.impl", "work; echo gone > \"$PIPELINE_TASK_FILE\"; marker COMPLETED; exit 0");
    s.add("T-1", &[]);
    s.tick_to("T-1", "completed");
    let shown = s.show("T-1");
    let received = shown["received"].as_array().expect("a list");
    let of = |stage: &str| {
        let run = shown["runs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|run| run["stage"] == stage && run["work"] == "agent")
            .unwrap();
        received.iter().find(|one| one["run"] == run["id"]).unwrap()
    };
    assert_eq!(of("arch")["from"], serde_json::json!([]));
    assert_eq!(of("test")["from"][0]["stage"], "arch");
    assert_eq!(of("impl")["from"].as_array().unwrap().len(), 2);
    let run = of("impl")["run"].as_str().unwrap();
    let given = s.read(&format!(".pipeline/runs/{run}/given.md"));
    assert!(given.contains("two parsers") && given.contains("## Status: IN PROGRESS"), "{given}");
    s.run(["task", "show", "T-1"]).ok().says(&["was given arch success at", "given.md"]);
}
