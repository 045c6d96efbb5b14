//! Commands whose host outlives them: it, or the tick that tells it of a run, dies at each moment.

use std::collections::BTreeSet;
use std::fs;

use super::moments::{ONCE, kill_everywhere, kill_everywhere_as, strace_is_there};
use super::rig::{Rig, program};

/// One stage beside the repository's files and one on the task's branch.
const WORKFLOW: &str = r#"{ "id": "orders", "stages": [
    { "id": "first", "run": "SAY; echo x >> \"@RIG@/first\"", "place": "repository" },
    { "id": "second", "run": "SAY; echo \"$PIPELINE_RUN_ID\" >> second.txt", "merge": false } ] }"#;
const SAY: &str = r#"echo \"start $PIPELINE_TASK_ID $PIPELINE_STAGE $PIPELINE_RUN_ID $$\" >> \"@RIG@/log\""#;

/// So many ticks are tried until one is quicker than a command.
const TICKS: usize = 50;

fn rig() -> (Rig, String) {
    let rig = Rig::new();
    // What is passed on from outside is written down nowhere, and whoever is given it has a host of its own.
    let config = fs::read_to_string(rig.file("r/.pipeline/config.toml")).expect("the settings");
    let config = config.replace("pass_env = [\"RIG\"]\n", "");
    fs::write(rig.file("r/.pipeline/config.toml"), config).expect("the settings");
    let workflow = WORKFLOW.replace("SAY", SAY).replace("@RIG@", &rig.file("").display().to_string());
    fs::write(rig.file("r/.pipeline/workflows/orders.json"), workflow).expect("the workflow");
    let task = rig.ok(&["task", "add", "one", "--workflow", "orders"]).trim().to_owned();
    (rig, task)
}

fn is_over(rig: &Rig, task: &str) -> bool {
    rig.status_of(task) == "completed"
}

/// That each stage ran once, and once more where a run of it was interrupted after it had begun; no run ran twice.
fn check(rig: &Rig, interrupted_at: Option<&str>) {
    let starts = rig.starts();
    let runs: BTreeSet<&str> = starts.iter().map(|start| start.run.as_str()).collect();
    assert_eq!(runs.len(), starts.len(), "a run ran twice:\n{}", rig.report());
    for stage in ["first", "second"] {
        let ran = starts.iter().filter(|start| start.stage == stage).count();
        let may_be_more = interrupted_at == Some(stage);
        assert!(ran == 1 || (may_be_more && ran == 2), "{stage} ran {ran} times:\n{}", rig.report());
    }
    rig.check_history(&runs);
    rig.check_snapshot();
}

/// Brings a task to the end of its first command, which no tick has seen yet. Where a tick is slower than the command it has
/// begun the next one as well, and all begins anew.
fn until_the_first_is_over(rig: &Rig) {
    rig.save();
    for _ in 0..TICKS {
        rig.tick();
        rig.wait_until("the end of the first command", |rig| rig.starts().len() > 1 || rig.is_quiet());
        if rig.starts().len() == 1 {
            return;
        }
        rig.end_processes();
        rig.restore();
    }
    panic!("no tick is over before the command that it begins:\n{}", rig.report());
}

#[test]
fn a_tick_may_be_killed_as_it_tells_a_host() {
    if !strace_is_there() {
        return;
    }
    let (rig, task) = rig();
    rig.save();
    let after = |rig: &Rig, _| {
        rig.tick_until("the end of the task", |rig| is_over(rig, &task));
        check(rig, None);
        assert!(!rig.has_event("run_ended", "interrupted"), "{}", rig.report());
    };
    kill_everywhere(&rig, "tell", ONCE, |_| {}, after);
}

#[test]
fn a_tick_may_be_killed_as_it_hears_of_an_end_and_tells_of_the_next_run() {
    if !strace_is_there() {
        return;
    }
    let (rig, task) = rig();
    until_the_first_is_over(&rig);
    rig.save();
    let after = |rig: &Rig, _| {
        rig.tick_until("the end of the task", |rig| is_over(rig, &task));
        check(rig, None);
        assert!(!rig.has_event("run_ended", "interrupted"), "{}", rig.report());
    };
    kill_everywhere(&rig, "hear", ONCE, |_| {}, after);
}

/// The worktree goes from one command to the next without leaving the branch, whether or not there is anything to commit.
#[test]
fn a_tick_may_be_killed_as_it_hands_a_worktree_on() {
    if !strace_is_there() {
        return;
    }
    for first in ["true", "echo one > one.txt"] {
        let (rig, _) = rig();
        let stage = |id: &str, run: &str| {
            let run = format!("{SAY}; {run}").replace("@RIG@", &rig.file("").display().to_string());
            format!(r#"{{ "id": "{id}", "run": "{run}", "place": "worktree", "merge": false }}"#)
        };
        let stages = [stage("first", first), stage("second", "test -z \\\"$(git status --porcelain)\\\"")].join(",");
        let text = format!(r#"{{ "id": "chain", "stages": [{stages}] }}"#);
        fs::write(rig.file("r/.pipeline/workflows/chain.json"), text).expect("the workflow");
        let task = rig.ok(&["task", "add", "two", "--workflow", "chain", "--priority", "1"]).trim().to_owned();
        rig.ok(&["task", "cancel", "TASK-001"]);
        until_the_first_is_over(&rig);
        rig.save();
        let after = |rig: &Rig, _| {
            rig.tick_until("the end of the task", |rig| is_over(rig, &task));
            check(rig, None);
            rig.check_worktrees();
            let files = rig.shell(&format!("cd r && git ls-tree --name-only pipeline/{task}"));
            assert_eq!(files.contains("one.txt"), first != "true", "{files}");
        };
        kill_everywhere(&rig, "hand on", ONCE, |_| {}, after);
    }
}

/// The second stage of a task goes on in another worktree than its first, and the next task takes that one.
#[test]
fn a_tick_may_be_killed_as_a_task_changes_its_worktree() {
    if !strace_is_there() {
        return;
    }
    let (rig, _) = rig();
    rig.ok(&["task", "cancel", "TASK-001"]);
    let config = fs::read_to_string(rig.file("r/.pipeline/config.toml")).expect("the settings");
    let config = config.replace("[scheduler]\n", "[scheduler]\nmax_commands = 2\n");
    assert!(config.contains("max_commands"));
    fs::write(rig.file("r/.pipeline/config.toml"), config).expect("the settings");
    // The first ones end between two ticks.
    let stage = |id: &str| {
        let run = format!(r#"{SAY}; until [ -e \"@RIG@/go\" ]; do sleep 0.01; done; echo {id} > {id}.txt"#);
        let run = run.replace("@RIG@", &rig.file("").display().to_string());
        format!(r#"{{ "id": "{id}", "run": "{run}", "place": "worktree", "merge": false }}"#)
    };
    for (id, stages) in [("once", stage("first")), ("twice", stage("first") + "," + &stage("second"))] {
        let text = format!(r#"{{ "id": "{id}", "stages": [{stages}] }}"#);
        fs::write(rig.file(&format!("r/.pipeline/workflows/{id}.json")), text).expect("the workflow");
    }
    let add = |workflow: &str, priority: &str| {
        let added = rig.ok(&["task", "add", "some", "--workflow", workflow, "--priority", priority]);
        added.trim().to_owned()
    };
    let tasks = [add("once", "1"), add("twice", "2")];
    rig.tick();
    rig.wait_until("the first commands", |rig| rig.starts().len() == 2);
    fs::write(rig.file("go"), "").expect("a file");
    rig.wait_until("the ends of the first commands", Rig::is_quiet);
    let tasks = [&tasks[..], &[add("once", "3")]].concat();
    rig.save();
    let after = |rig: &Rig, _| {
        rig.tick_until("the end of the tasks", |rig| tasks.iter().all(|task| is_over(rig, task)));
        rig.check_worktrees();
        let runs: BTreeSet<String> = rig.starts().into_iter().map(|start| start.run).collect();
        assert_eq!((runs.len(), rig.starts().len()), (4, 4), "{}", rig.report());
        let files = rig.shell(&format!("cd r && git ls-tree --name-only pipeline/{}", tasks[1]));
        assert!(files.contains("first.txt") && files.contains("second.txt"), "{files}");
    };
    kill_everywhere(&rig, "swap", ONCE, |_| {}, after);
}

#[test]
fn the_host_of_commands_may_be_killed_anywhere() {
    if !strace_is_there() {
        return;
    }
    let (rig, task) = rig();
    let place = rig.file("r/.pipeline/runs/.commands/command-1");
    rig.save();
    // A tick that dies as it starts the host leaves it with something to do. It starts threads and others before.
    let left = (1..10).any(|nth| {
        rig.restore();
        let clone = format!("inject=clone,clone3,vfork:signal=SIGKILL:when={nth}");
        let wrapper = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=clone,clone3,vfork", "-e", &clone];
        let done = rig.pipeline(&wrapper, ONCE).output().expect("strace starts");
        assert!(!done.status.success(), "the tick was not killed at start {nth}");
        fs::read_to_string(place.join("told"))
            .is_ok_and(|told| told.lines().filter(|line| !line.is_empty()).count() == 1)
    });
    assert!(left && rig.starts().is_empty());
    rig.save();
    let directory = place.display().to_string();
    let host = |wrapper: &[&str]| {
        let mut host = rig.command(wrapper, &program(), &["__host", &directory]);
        host.env("PIPELINE_HOST_IDLE_MS", "0");
        host
    };
    let after = |rig: &Rig, died: bool| {
        rig.tick_until("the end of the task", |rig| is_over(rig, &task));
        let interrupted = rig.has_event("run_ended", "its host process died");
        assert!(died || !interrupted, "{}", rig.report());
        check(rig, interrupted.then_some("first"));
        let shown = rig.json(&["task", "show", &task, "--json"]);
        let shown = shown["runs"].as_array().expect("runs").iter().filter(|run| run["stage"] == "first").count();
        assert_eq!(shown, 1 + usize::from(interrupted), "an interrupted run is counted as an attempt");
    };
    kill_everywhere_as(&rig, "command host", host, |_| {}, after);
}
