//! SIGKILL of agents and of their hosts while agents work: the run is shown as interrupted, counts as an attempt, and
//! leaves neither processes nor lost work behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::rig::{Rig, kills, say};

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("the process is there");
}

/// The directory of the run that is at work.
fn live_run(rig: &Rig) -> PathBuf {
    let runs = fs::read_dir(rig.file("r/.pipeline/runs")).expect("runs").flatten().map(|entry| entry.path());
    let is_live = |dir: &PathBuf| {
        !dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
            && !dir.join("exit.json").exists()
    };
    let live: Vec<PathBuf> = runs.filter(is_live).collect();
    let [run] = &live[..] else { panic!("{live:?}") };
    run.clone()
}

fn host_of(run: &Path) -> i32 {
    let start = fs::read_to_string(run.join("start.json")).expect("a start record");
    let start: Value = serde_json::from_str(&start).expect("a record");
    start["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid")
}

fn is_gone(pid: i32) -> bool {
    // What is dead but not reaped has no working directory any more.
    fs::read_link(format!("/proc/{pid}/cwd")).is_err()
}

/// An agent in the middle of the second stage, with one commit and one change that is not committed.
fn at_work(rig: &Rig) -> String {
    let task = rig.add("one");
    rig.tell("hang", &task);
    rig.tick_until("the agent at its work", |rig| rig.file("reached").exists());
    fs::remove_file(rig.file("reached")).expect("the agent's word");
    task
}

#[test]
fn an_agent_killed_at_a_named_point_is_tried_again_and_its_work_kept() {
    for (point, tries) in [("die-first", "plan"), ("die-middle", "make"), ("lock-index", "make"), ("fail", "make")] {
        let rig = Rig::new();
        let tasks = [rig.add("one")];
        rig.tell(point, &tasks[0]);
        rig.finish(&tasks);
        rig.check(&tasks, &BTreeMap::from([(tries, 2)]));
        if tries == "make" {
            let kept = rig.shell(&format!("cd r && git show main:{}.txt", tasks[0]));
            assert_eq!(kept.lines().count(), 4, "{point}: what both attempts wrote, committed or not: {kept}");
        }
    }
}

#[test]
fn an_agent_killed_after_its_marker_is_believed() {
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    rig.tell("die-marked", &tasks[0]);
    rig.finish(&tasks);
    rig.check(&tasks, &BTreeMap::new());
}

#[test]
fn a_task_file_that_a_power_cut_left_empty_is_written_again() {
    let rig = Rig::new();
    let first = [rig.add("one")];
    rig.finish(&first);
    let tasks = [rig.add("two")];
    for agent in ["planner", "maker"] {
        fs::write(rig.file(&format!("r/.pipeline/worktrees/{agent}/{}.md", tasks[0])), "").expect("a task file");
    }
    rig.finish(&tasks);
    rig.check(&[first, tasks].concat(), &BTreeMap::new());
}

#[test]
fn a_host_killed_at_work_is_interrupted_and_takes_its_agent_along() {
    let rig = Rig::new();
    let task = rig.add("one");
    rig.tell("leave-child", &task);
    rig.tell("hang", &task);
    rig.tick_until("the agent at its work", |rig| rig.file("reached").exists());
    let (run, agent) = (live_run(&rig), rig.starts()[1].pid);
    // It may not be called so yet: it was begun a moment ago.
    rig.wait_until("the process that the agent left and that hears no signal", |rig| {
        rig.shell("cat /proc/[0-9]*/stat 2>/dev/null | grep -c '(sleep)' || true").trim() != "0"
    });
    kill(host_of(&run));
    assert!(!run.join("exit.json").exists());
    let tasks = [task];
    rig.finish(&tasks);
    rig.check(&tasks, &BTreeMap::from([("make", 2)]));
    assert!(is_gone(agent), "the agent of a dead host goes on");
    assert!(rig.has_event("run_ended", "its host process died"));
    let shown = rig.json(&["task", "show", &tasks[0], "--json"]);
    let made: Vec<&Value> =
        shown["runs"].as_array().expect("runs").iter().filter(|run| run["stage"] == "make").collect();
    let tried: Vec<u64> =
        made.iter().filter(|run| run["work"] == "agent").filter_map(|run| run["attempt"].as_u64()).collect();
    assert_eq!(tried, [1, 2], "the interrupted run counts as an attempt");
    let kept = rig.shell(&format!("cd r && git show main:{}.txt", tasks[0]));
    assert_eq!(kept.lines().count(), 4, "the uncommitted work of the interrupted run is kept: {kept}");
    let marker = format!("PIPELINE_RUN_ID={}", made[0]["id"].as_str().expect("a run"));
    let left = fs::read_dir("/proc").expect("/proc").flatten().filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes())
    });
    assert_eq!(left.count(), 0, "something of the interrupted run is still there");
}

#[test]
fn a_run_of_an_earlier_boot_is_interrupted() {
    let rig = Rig::new();
    let task = at_work(&rig);
    let run = live_run(&rig);
    let record = run.join("start.json");
    let before = fs::read_to_string(&record).expect("a start record");
    // As if the machine had been restarted: nothing of the run is left, its record is from another boot, and what was not
    // synced is there and empty.
    kill(host_of(&run));
    kill(rig.starts()[1].pid);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
    fs::write(&record, before.replace(boot.trim(), "00000000-0000-0000-0000-000000000000")).expect("a start record");
    fs::write(run.join("child.json"), "").expect("a record");
    let tasks = [task];
    rig.finish(&tasks);
    assert!(rig.has_event("run_ended", "the machine was restarted"), "{}", rig.report());
    rig.check(&tasks, &BTreeMap::from([("make", 2)]));
}

#[test]
fn a_run_that_cannot_be_looked_at_makes_no_storm() {
    let rig = Rig::new();
    let task = at_work(&rig);
    let run = live_run(&rig);
    kill(host_of(&run));
    kill(rig.starts()[1].pid);
    fs::write(run.join("child.json"), "nonsense").expect("a record");
    let mut command = rig.pipeline(&[], &["monitor", "--headless"]);
    let mut monitor = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the monitor starts");
    let complaints = |rig: &Rig| -> Vec<jiff::Timestamp> {
        let logs = fs::read_dir(rig.file("r/.pipeline/logs")).into_iter().flatten().flatten();
        let text: String = logs.map(|log| fs::read_to_string(log.path()).unwrap_or_default()).collect();
        let at = |line: &str| line.split(' ').next().and_then(|at| at.parse().ok());
        text.lines().filter(|line| line.contains("cannot look at a run")).filter_map(at).collect()
    };
    rig.wait_until("complaints", |rig| complaints(rig).len() >= 12);
    let told = complaints(&rig);
    let between = told[11].duration_since(told[0]);
    assert!(between.as_secs() >= 1, "twelve complaints in {between:#}");
    fs::write(run.join("child.json"), "").expect("a record");
    rig.wait_until("the end of the task", |rig| rig.in_snapshot(&task) == "completed");
    monitor.kill().expect("the monitor's end");
    monitor.wait().expect("the monitor's end");
    rig.check(&[task], &BTreeMap::from([("make", 2)]));
}

#[test]
fn hosts_and_agents_killed_at_random_lose_nothing_and_run_nothing_twice() {
    let rounds = kills(8, 200);
    let rig = Rig::new();
    // Every round draws from the last one, so that a failure can be repeated.
    let mut random: u32 = 20_260_724;
    for round in 0..rounds {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let tasks = [rig.add(&format!("round {round}"))];
        let before = rig.starts().len();
        let kill_agent = (random >> 16).is_multiple_of(2);
        let wanted = before + 1 + ((random >> 20) as usize % 2);
        rig.tick_until("an agent at work", |rig| rig.starts().len() >= wanted);
        let start = rig.starts().pop().expect("an agent");
        let run = rig.file("r/.pipeline/runs").join(&start.run);
        let pid = if kill_agent { start.pid } else { host_of(&run) };
        // It may have ended by itself meanwhile, which is a moment like any other.
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).unwrap_or_default();
        rig.finish(&tasks);
        let log = fs::read_to_string(rig.file("log")).expect("a log");
        let ran = rig.starts().iter().filter(|start| start.task == tasks[0]).count();
        assert!((2..=3).contains(&ran), "round {round}: {ran} runs:\n{}", rig.report());
        assert!(!log.contains("overlap"), "round {round}:\n{}", rig.report());
        rig.check_commits(&log);
        if (round + 1).is_multiple_of(100) {
            say(&format!("random: {} kills so far", round + 1));
        }
    }
    let starts = rig.starts();
    let mut runs: Vec<&str> = starts.iter().map(|start| start.run.as_str()).collect();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), starts.len(), "a run ran twice");
    say(&format!("random: {rounds} kills"));
}
