//! One tick at a time: a task travels the default workflow in real worktrees to a merge, and several at once.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::{ROLES, Sandbox, holding_gate, texts, word};

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
    let files = s.git(&["log", "--all", "--name-only", "--format="]);
    assert!(!files.contains("T-1.md"), "the task file was committed: {files}");
    assert_eq!(s.state()["queues"]["completed"], serde_json::json!(["T-1"]));
}

/// Stage 1 of the seed: architect(D), test(C), implementation(B), supervisor(A).
#[test]
fn four_tasks_stand_at_four_stages() {
    let s = Sandbox::ready();
    s.plan("default", "hang; work; marker COMPLETED");
    let row = ["A", "B", "C", "D"];
    for id in row {
        s.add(id, &[]);
    }
    let stages = ["arch", "test", "impl", "super"];
    for round in 0..4 {
        let here = |status: &Value| (0..=round).all(|i| word(status, row[i]) == format!("{}_wip", stages[round - i]));
        s.tick_until("the row moves on", here);
        for i in 0..=round {
            s.wait_at(&format!("{}.{}.1", row[i], stages[round - i]));
        }
        if round < 3 {
            (0..=round).for_each(|i| s.release(&format!("{}.{}.1", row[i], stages[round - i])));
        }
    }
    s.tick();
    let status = s.status();
    for (role, task) in ROLES.iter().zip(["D", "C", "B", "A"]) {
        let agent = &status["agents"][role];
        assert_eq!(
            (agent["current_task"].as_str(), agent["status"].as_str()),
            (Some(task), Some("working")),
            "{agent}"
        );
        assert_eq!(status["tasks"][task]["assigned_to"], *role);
        assert_eq!(s.git_in(role, &["symbolic-ref", "HEAD"]), format!("refs/heads/pipeline/{task}"));
    }
    assert_eq!(status["metrics"]["tasks_in_progress"], 4);
    assert_eq!(s.state()["tasks"], status["tasks"], "state.json is current when a command has returned");
    s.plan("default", "work; marker COMPLETED");
    row.iter().zip(["super", "impl", "test", "arch"]).for_each(|(task, stage)| s.release(&format!("{task}.{stage}.1")));
    s.tick_until("all are merged", |status| status["metrics"]["tasks_completed"] == 4);
    for id in row {
        assert_eq!(s.git(&["show", &format!("main:{id}.txt")]).lines().count(), 4);
    }
}

/// A gate is a run of its own: `--once` starts or collects it, and never waits for it.
#[test]
fn a_tick_waits_for_no_agent_and_no_gate() {
    let s = Sandbox::new();
    let gate = holding_gate(&s);
    s.init("production", &s.config(&format!("verify = {gate:?}"), ""));
    std::fs::write(s.path("held"), "").unwrap();
    s.plan("arch", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    assert_eq!(s.status_of("T-1"), "arch_wip");
    s.release("T-1.arch.1");
    s.tick_to("T-1", "impl_verifying");
    s.wait_at("gate");
    s.tick();
    let status = s.status();
    assert_eq!(word(&status, "T-1"), "impl_verifying");
    assert_eq!(status["agents"]["implementation"]["status"], "verifying");
    std::fs::remove_file(s.path("held")).unwrap();
    s.release("gate");
    s.tick_to("T-1", "completed");
    let show = s.show("T-1");
    let gates: Vec<&Value> = show["runs"].as_array().unwrap().iter().filter(|run| run["work"] == "gate").collect();
    assert_eq!(gates.len(), 2, "impl, and super after the merge: {show}");
    for (gate, commit) in gates.iter().zip(["pipeline/T-1^", "main"]) {
        assert_eq!(gate["verdict"], "passed");
        assert_eq!(gate["evidence"]["exit_code"], 0);
        assert!(gate["evidence"]["command"].as_str().unwrap().contains("broken.txt"));
        assert_eq!(gate["evidence"]["log_sha256"].as_str().unwrap().len(), 64);
        assert_eq!(gate["commit"], s.git(&["rev-parse", commit]));
        assert_eq!(gate["evidence"]["tree"], s.git(&["rev-parse", &format!("{commit}^{{tree}}")]));
    }
}

/// `state.json` is valid JSON at every instant.
#[test]
fn the_snapshot_is_valid_at_every_instant() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let done = AtomicBool::new(false);
    let path = s.repo().join(".pipeline/state/state.json");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let text = std::fs::read_to_string(&path).expect("state.json is always there");
                let state: Value = serde_json::from_str(&text).expect("state.json is always valid");
                seen.insert(word(&state, "T-1").to_owned());
                std::thread::yield_now();
            }
            seen
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.tick_to("T-1", "completed")));
        done.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        result.unwrap();
        assert!(seen.len() >= 3, "the reader read while it was written: {seen:?}");
    });
}

/// What an agent is given: its environment, and a task file with everything it has to know.
#[test]
fn an_agent_is_given_what_it_needs() {
    let mut s = Sandbox::ready();
    s.set_env("PIPELINE_TASK_ID", "SOMEBODY-ELSE");
    s.set_env("GIT_DIR", "/nowhere");
    s.set_env("GIT_DIR", "");
    s.set_env("OWN", "nobody asked for it");
    s.plan("arch", "work; decision success");
    s.add("T-1", &["--body", "the long text\n## Status: COMPLETED"]);
    s.tick_to("T-1", "completed");
    let env = s.seen("T-1.test.1", "env");
    let get = |name: &str| env.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
    let worktree = s.worktree("test").to_string_lossy().into_owned();
    let run = std::fs::read_to_string(s.path("calls/T-1.test")).unwrap().trim().to_owned();
    let outcome = s.repo().join(".pipeline/runs").join(&run).join("out/outcome.json").to_string_lossy().into_owned();
    for (name, expected) in [
        ("PIPELINE_TASK_ID", "T-1"),
        ("PIPELINE_RUN_ID", run.as_str()),
        ("PIPELINE_STAGE", "test"),
        ("PIPELINE_ROLE", "test"),
        ("PIPELINE_WORKTREE", worktree.as_str()),
        ("PIPELINE_BRANCH", "pipeline/T-1"),
        ("PIPELINE_BASE", "main"),
        ("PIPELINE_TASK_FILE", &format!("{worktree}/T-1.md")),
        ("PIPELINE_OUTCOME_FILE", outcome.as_str()),
    ] {
        assert_eq!(get(name).as_deref(), Some(expected), "{name} in\n{env}");
    }
    assert_eq!((get("GIT_DIR"), get("OWN")), (None, None));
    let trace = get("TRACEPARENT").unwrap();
    let parts: Vec<usize> = trace.split('-').map(str::len).collect();
    assert_eq!(parts, [2, 32, 16, 2], "{trace}");
    let file = s.seen("T-1.test.1", "md");
    for part in ["# T-1: the task T-1", "> the long text", "Write the tests", "Stage arch (success)", "as planned"] {
        assert!(file.contains(part), "no `{part}` in\n{file}");
    }
    assert_eq!(
        file.lines().filter(|line| line.starts_with("## Status:")).collect::<Vec<_>>(),
        ["## Status: IN PROGRESS"]
    );
}

/// From any linked worktree the state is that of the main checkout; a `.pipeline` folder inside a worktree is never used.
#[test]
fn the_state_is_found_from_any_worktree() {
    let s = Sandbox::ready();
    s.plan(
        "T-1.arch",
        "mkdir -p sub .pipeline/state; echo junk > .pipeline/config.toml; echo '{}' > .pipeline/state/state.json
         (cd sub && \"$pipeline\" status --json) > \"$box/inside.json\" 2> \"$box/inside.err\"
         \"$pipeline\" task add 'found on the way' --id FOUND > /dev/null
         rm -rf .pipeline sub; work; marker COMPLETED",
    );
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    let inside = std::fs::read_to_string(s.path("inside.json")).unwrap();
    let inside: Value = serde_json::from_str(&inside).unwrap();
    assert_eq!(word(&inside, "T-1"), "arch_wip");
    assert_ne!(s.status_of("FOUND"), "unknown", "a task added from inside is in the one state");
    s.git(&["worktree", "add", "-q", "../linked"]);
    let linked = s.run(["-C", "../linked", "status", "--json"]).ok().json();
    assert_eq!(linked["tasks"], s.status()["tasks"]);
}

/// Work that is left uncommitted at a stage's end is committed for it.
#[test]
fn uncommitted_work_is_committed_at_a_stages_end() {
    let s = Sandbox::ready();
    s.plan("arch", "echo x > left.txt; mkdir d; echo y > 'd/odd name.txt'; echo two > README.md; marker COMPLETED");
    s.plan("test", "hang; git rm -q README.md; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    assert_eq!(s.git(&["show", "pipeline/T-1:left.txt"]), "x");
    assert_eq!(s.git(&["show", "pipeline/T-1:d/odd name.txt"]), "y");
    assert_eq!(s.git(&["show", "pipeline/T-1:README.md"]), "two");
    s.wait_at("T-1.test.1");
    s.release("T-1.test.1");
    s.tick_to("T-1", "completed");
    let files = s.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert!(!files.contains("README.md") && !files.contains("T-1.md"), "{files}");
    assert_eq!(s.read("left.txt"), "x\n");
}

/// A claim is final 5 s after the marker: an agent that does not exit is stopped, and its claim stands.
#[test]
fn an_agent_that_stays_after_its_claim_is_stopped() {
    let s = Sandbox::ready();
    s.plan("arch", "work; marker COMPLETED; hang");
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    let run = &s.show("T-1")["runs"][0];
    assert_eq!(run["how"]["stopped"]["reason"], "claimed", "{run}");
    assert_eq!((&run["verdict"], &run["attempt"]), (&"passed".into(), &1.into()));
}

/// A claim that carries another run's id is refused; one without an id counts if the file changed after dispatch.
#[test]
fn whose_claim_it_is() {
    let s = Sandbox::ready_with("", "retries = 0");
    let foreign = "printf '<!-- pipeline run=r0 -->\\n## Status: COMPLETED\\n' > \"$PIPELINE_TASK_FILE\"; exit 3";
    s.plan("A.arch", foreign);
    s.plan("B.arch", "outcome '{\"run\":\"r0\",\"status\":\"ok\"}'; exit 3");
    s.plan("C.arch", "printf '## Status: COMPLETED\\n' > \"$PIPELINE_TASK_FILE\"; exit 3");
    s.plan("D.arch", "outcome '{\"status\":\"ok\",\"summary\":\"said in the file\"}'; exit 3");
    s.plan("E.arch", "outcome '{\"run\":\"@RUN@\",\"status\":\"blocked\",\"summary\":\"no key\"}'");
    s.plan("F.arch", "outcome '{\"status\":\"ok\"'; exit 3");
    s.plan("test", "hang");
    let before = |ids: &[&str]| ids.iter().for_each(|id| s.add(id, &[]));
    before(&["A", "B", "C", "D", "E", "F"]);
    let status = s.tick_until("all have been at arch", |status| {
        ["A", "B", "C", "D", "E", "F"]
            .iter()
            .all(|id| !matches!(word(status, id), "unassigned" | "arch_ready" | "arch_wip"))
    });
    for (id, expected) in [("A", "blocked"), ("B", "blocked"), ("E", "blocked"), ("F", "blocked")] {
        assert_eq!(word(&status, id), expected, "{id}");
    }
    for id in ["C", "D"] {
        assert!(word(&status, id).starts_with("test_"), "{id} is {}", word(&status, id));
    }
    assert!(status["tasks"]["E"]["reason"].as_str().unwrap().contains("no key"));
    assert_eq!(s.show("D")["outputs"][0]["summary"], "said in the file");
    assert_eq!(texts(&status["queues"]["blocked"]).len(), 4);
}
