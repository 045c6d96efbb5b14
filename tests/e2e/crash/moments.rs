//! SIGKILL at each moment of a tick. Only a system call that changes something makes a moment: between two of them the
//! world is the same. A recording of the undisturbed tick says which those are, then it is repeated from the same saved
//! beginning and killed at each of them in turn, before the call is made.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::rig::{Rig, long, program, say};

/// The calls by which a process changes the world, and those that open a file, which may.
pub(super) const CALLS: &str = "write,pwrite64,writev,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,\
                     symlink,symlinkat,fsync,fdatasync,ftruncate,flock,clone,clone3,vfork,chmod,fchmod,fchmodat,\
                     utimensat,open,openat,kill,pidfd_send_signal,setsid";
/// How many moments of a scenario the short form tries.
const SHORT: usize = 12;
/// So many times a scenario is recorded until a recording repeats itself.
const RECORDINGS: usize = 5;

pub(super) fn strace_is_there() -> bool {
    let found = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    assert!(found || !long(), "the long form needs strace");
    if !found {
        say("strace is not installed: nothing is killed at chosen moments");
    }
    found
}

/// One call that changes something: its name, and how many of that name came up to it. So strace counts.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) call: String,
    pub(super) nth: usize,
    line: String,
}

impl Moment {
    fn injection(&self) -> String {
        format!("inject={}:signal=SIGKILL:when={}", self.call, self.nth)
    }
}

pub(super) fn moments(recording: &Path) -> Vec<Moment> {
    let text = fs::read_to_string(recording).expect("a recording");
    let (mut seen, mut all) = (BTreeMap::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with(['+', '-'])) {
        let call = line.split('(').next().unwrap_or_default().to_owned();
        let nth: &mut usize = seen.entry(call.clone()).or_default();
        *nth += 1;
        if !call.starts_with("open") || ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| line.contains(flag)) {
            all.push(Moment { call, nth: *nth, line: line.chars().take(150).collect() });
        }
    }
    all
}

fn spread(all: Vec<Moment>, at_most: usize) -> Vec<Moment> {
    if long() {
        return all;
    }
    let step = all.len().div_ceil(at_most).max(1);
    // Where the spread begins changes from scenario to scenario, so that together they try more.
    let from = all.len() % step;
    let is_chosen = |at: usize| at >= from && (at - from).is_multiple_of(step);
    // A file of the user's that is opened to be written is half written at the moment that follows.
    let is_half_written = |at: usize| at > 0 && all[at - 1].line.contains("base.txt");
    let chosen = (0..all.len()).filter(|at| is_chosen(*at) || is_half_written(*at));
    chosen.map(|at| all[at].clone()).collect()
}

/// Kills `arguments` at each moment, from what was saved; `before` is done first each time and `after` must bring all to
/// its end.
pub(super) fn kill_everywhere(
    rig: &Rig,
    name: &str,
    arguments: &[&str],
    before: impl Fn(&Rig),
    after: impl Fn(&Rig, bool),
) {
    kill_everywhere_as(rig, name, |wrapper| rig.pipeline(wrapper, arguments), before, after);
}

pub(super) fn kill_everywhere_as(
    rig: &Rig,
    name: &str,
    victim: impl Fn(&[&str]) -> Command,
    before: impl Fn(&Rig),
    after: impl Fn(&Rig, bool),
) {
    // A tick that finds a host just ended does more in one round than one that comes a moment sooner. Where it was such a tick
    // that was recorded, the others end before most of its moments.
    let repeats = (0..RECORDINGS).any(|_| kill_as_recorded(rig, name, &victim, &before, &after));
    assert!(repeats, "{name}: the recording does not repeat itself");
}

/// The same for one recording; whether enough of its moments came again.
fn kill_as_recorded(
    rig: &Rig,
    name: &str,
    victim: impl Fn(&[&str]) -> Command,
    before: impl Fn(&Rig),
    after: impl Fn(&Rig, bool),
) -> bool {
    let recording = rig.file_inside("recording").display().to_string();
    rig.restore();
    before(rig);
    let trace = format!("trace={CALLS}");
    let done = victim(&["strace", "-qq", "-o", &recording, "-e", &trace]).output().expect("strace starts");
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    let all = moments(Path::new(&recording));
    after(rig, false);
    let (total, chosen) = (all.len(), spread(all, SHORT));
    let mut killed = 0;
    for moment in &chosen {
        rig.restore();
        before(rig);
        let wrapper = ["strace", "-qq", "-o", &recording, "-e", &trace, "-e", &moment.injection()];
        let done = victim(&wrapper).output().expect("strace starts");
        let died = !done.status.success();
        killed += usize::from(died);
        // What a failure is about is said before it happens; it is shown only then.
        say(&format!("{name}: killed {died} at {}", moment.line));
        rig.check_snapshot();
        after(rig, died);
        rig.end_processes();
    }
    say(&format!("{name}: {killed} kills at {} of {total} moments", chosen.len()));
    killed * 3 >= chosen.len()
}

fn completes(rig: &Rig, tasks: &[String], attempts: &BTreeMap<&str, usize>) {
    rig.finish(tasks);
    rig.check_worktrees();
    rig.check(tasks, attempts);
}

pub(super) const ONCE: &[&str] = &["monitor", "--once"];

#[test]
fn the_start_of_a_run_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    rig.save();
    kill_everywhere(&rig, "start", ONCE, |_| {}, |rig, _| completes(rig, &tasks, &BTreeMap::new()));
}

#[test]
fn a_run_s_end_and_the_next_stage_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    until_planned(&rig);
    rig.save();
    kill_everywhere(&rig, "next stage", ONCE, |_| {}, |rig, _| completes(rig, &tasks, &BTreeMap::new()));
}

/// Agents in private clones: giving one and taking back what was done in it.
#[test]
fn the_lending_and_taking_of_a_clone_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let (config, dir) = (rig.file("r/.pipeline/config.toml"), rig.file_inside("").display().to_string());
    let text = fs::read_to_string(&config).expect("the configuration");
    // What agents say of themselves is beside the repository.
    let strict = format!("preset = \"custom\"\nsandbox = \"strict\"\nread = [\"{dir}\"]\nwrite = [\"{dir}\"]\n");
    fs::write(&config, text.replace("preset = \"custom\"\n", &strict)).expect("the configuration");
    let tasks = [rig.add("one")];
    rig.save();
    let completes = |rig: &Rig, _| completes(rig, &tasks, &BTreeMap::new());
    kill_everywhere(&rig, "lending", ONCE, |_| {}, completes);
    rig.restore();
    until_planned(&rig);
    rig.save();
    kill_everywhere(&rig, "taking", ONCE, |_| {}, completes);
}

/// Brings a task to the end of its first stage's run, which no tick has seen yet.
fn until_planned(rig: &Rig) {
    rig.tick();
    rig.wait_until("the end of the first run", |rig| rig.starts().len() == 1 && rig.is_quiet());
}

/// Brings a task to the end of its second stage's run, with base moved meanwhile.
fn until_made(rig: &Rig, task: &str) {
    until_planned(rig);
    rig.tick();
    rig.shell("cd r && echo mine > user.txt && git add -A && git commit -qm 'work of the user'");
    rig.wait_until("the end of the second run", |rig| rig.starts().len() == 2 && rig.is_quiet());
    assert_eq!(rig.status_of(task), "make_wip");
}

#[test]
fn the_preparation_of_a_merge_and_its_gate_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    until_made(&rig, &tasks[0]);
    rig.save();
    kill_everywhere(&rig, "merge prepared", ONCE, |_| {}, |rig, _| completes(rig, &tasks, &BTreeMap::new()));
}

#[test]
fn the_end_of_a_gate_and_the_merge_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    // The merge changes a file that the user's checkout has.
    rig.tell("edit", &tasks[0]);
    until_made(&rig, &tasks[0]);
    rig.tick();
    rig.wait_until("the end of the gate", Rig::is_quiet);
    rig.save();
    kill_everywhere(&rig, "merge", ONCE, |_| {}, |rig, _| completes(rig, &tasks, &BTreeMap::new()));
}

/// What agents that wait are told is in place after any kill, and nothing of it is left in the end.
#[test]
fn the_files_of_those_who_wait_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    rig.ok(&["mode", "traditional"]);
    rig.shell("mkdir -p r/.git/info && echo /.claude/ >> r/.git/info/exclude");
    rig.save();
    let file = |agent: &str| rig.file(&format!("r/.pipeline/worktrees/{agent}/{}.md", tasks[0]));
    let ignored = || fs::read_to_string(rig.file("r/.git/info/exclude")).expect("a list of ignored paths");
    let met = Cell::new(0);
    let after = |rig: &Rig, _: bool| {
        rig.tick();
        // Quick agents may have brought the task to the maker's turn, or to its end.
        if rig.status_of(&tasks[0]) != "completed" {
            let text = fs::read_to_string(file("maker")).unwrap_or_default();
            let told = ["You will do stage Make", "## Your stage: Make"].iter().any(|words| text.contains(words));
            assert!(told, "{text}\n{}", rig.report());
            assert!(ignored().contains(&tasks[0]), "{}", ignored());
            met.set(met.get() + 1);
        }
        completes(rig, &tasks, &BTreeMap::new());
        rig.tick();
        assert!(!file("maker").exists() && !file("planner").exists(), "{}", rig.report());
        assert!(!ignored().contains(&tasks[0]), "{}", ignored());
    };
    kill_everywhere(&rig, "assigned", ONCE, |_| {}, after);
    assert!(met.get() > 0, "no tick left anybody waiting");
    rig.restore();
    until_made(&rig, &tasks[0]);
    rig.tick();
    rig.wait_until("the end of the gate", Rig::is_quiet);
    assert!(file("planner").exists());
    rig.save();
    let after = |rig: &Rig, _: bool| {
        completes(rig, &tasks, &BTreeMap::new());
        rig.tick();
        assert!(!file("maker").exists() && !file("planner").exists(), "{}", rig.report());
        assert!(!ignored().contains(&tasks[0]), "{}", ignored());
    };
    kill_everywhere(&rig, "withdrawn", ONCE, |_| {}, after);
}

#[test]
fn a_retry_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    rig.tell("fail", &tasks[0]);
    until_made(&rig, &tasks[0]);
    rig.save();
    kill_everywhere(&rig, "retry", ONCE, |_| {}, |rig, _| completes(rig, &tasks, &BTreeMap::from([("make", 2)])));
}

#[test]
fn a_failed_gate_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    fs::write(rig.file("fail-gate"), "").expect("a word to the gate");
    until_made(&rig, &tasks[0]);
    rig.tick();
    rig.wait_until("the end of the gate", Rig::is_quiet);
    rig.save();
    kill_everywhere(&rig, "failed gate", ONCE, |_| {}, |rig, _| completes(rig, &tasks, &BTreeMap::from([("make", 2)])));
}

/// The check after a merge fails: base goes back once, the branch brings the work again, and the task tries again.
#[test]
fn the_taking_back_of_a_merge_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let config = rig.file("r/.pipeline/config.toml");
    let [fail, was] = ["fail-after", "was-fail-after"].map(|name| rig.file_inside(name).display().to_string());
    let after = format!("post_merge = \"mv '{fail}' '{was}' 2>/dev/null && exit 1; true\"\n[scheduler]");
    let text = fs::read_to_string(&config).expect("the configuration").replace("[scheduler]", &after);
    fs::write(&config, text).expect("the configuration");
    let tasks = [rig.add("one")];
    fs::write(rig.file("fail-after"), "").expect("a word to the check");
    until_made(&rig, &tasks[0]);
    rig.tick();
    rig.wait_until("the end of the gate", Rig::is_quiet);
    rig.tick();
    rig.wait_until("the end of the check after the merge", |rig| rig.file("was-fail-after").exists() && rig.is_quiet());
    rig.save();
    kill_everywhere(
        &rig,
        "taken back",
        ONCE,
        |_| {},
        |rig, _| {
            completes(rig, &tasks, &BTreeMap::from([("make", 2)]));
            let reverts = rig.shell("cd r && git log --format=%s main | grep -c '^Roll back'");
            assert_eq!(reverts.trim(), "1", "it is taken back once");
        },
    );
}

#[test]
fn the_cancelling_of_a_live_run_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let task = rig.add("one");
    until_planned(&rig);
    rig.tell("hang", &task);
    rig.save();
    let before = |rig: &Rig| {
        rig.tick();
        rig.wait_until("the agent at its work", |rig| rig.file("reached").exists());
        rig.ok(&["task", "cancel", &task]);
    };
    kill_everywhere(&rig, "cancel", ONCE, before, |rig, _| {
        let over = |rig: &Rig| rig.has_event("run_closed", &rig.starts()[1].run);
        rig.tick_until("the end of the cancelled run", over);
        assert_eq!(rig.status_of(&task), "cancelled");
        assert_eq!(rig.starts().len(), 2);
        rig.check_snapshot();
        rig.check_commits(&fs::read_to_string(rig.file("log")).expect("a log"));
        let kept = rig.shell(&format!("cd r && git show pipeline/{task}:{task}.txt"));
        assert_eq!(kept.lines().count(), 2, "uncommitted work is kept too: {kept}");
        let agent = rig.starts()[1].pid;
        rig.wait_until("the end of the agent", |_| !Path::new(&format!("/proc/{agent}/cwd")).exists());
    });
}

#[test]
fn an_idle_tick_and_its_snapshot_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    rig.finish(&tasks);
    rig.save();
    kill_everywhere(
        &rig,
        "snapshot",
        ONCE,
        |_| {},
        |rig, _| {
            rig.tick();
            assert!(
                !rig.run(&["status"]).err.contains("edited"),
                "our own half-written snapshot counts as somebody's edit"
            );
            rig.check(&tasks, &BTreeMap::new());
        },
    );
}

#[test]
fn a_task_is_added_whole_or_not_at_all() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let first = rig.add("one");
    rig.save();
    kill_everywhere(
        &rig,
        "add",
        &["task", "add", "two", "--workflow", "short"],
        |_| {},
        |rig, died| {
            let tasks = rig.json(&["status", "--json"])["tasks"].as_object().expect("tasks").len();
            assert!(tasks == 2 || (died && tasks == 1), "{tasks} tasks");
            assert_eq!(rig.status_of(&first), "unassigned");
            let third = rig.add("three");
            assert_eq!(rig.status_of(&third), "unassigned");
            rig.check_snapshot();
        },
    );
}

#[test]
fn a_host_may_be_killed_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    // A tick that dies as it starts the host leaves a claim without one.
    let clone = "inject=clone,clone3,vfork:signal=SIGKILL:when=1";
    let done = rig
        .pipeline(&["strace", "-qq", "-o", "/dev/null", "-e", "trace=clone,clone3,vfork", "-e", clone], ONCE)
        .output();
    assert!(!done.expect("strace starts").status.success(), "the tick was not killed as it started the host");
    let runs: Vec<_> =
        fs::read_dir(rig.file("r/.pipeline/runs")).expect("runs").flatten().map(|entry| entry.path()).collect();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert!(run.join("claim.json").exists() && rig.starts().is_empty());
    rig.save();
    let directory = run.display().to_string();
    let host = |wrapper: &[&str]| rig.command(wrapper, &program(), &["__host", &directory]);
    kill_everywhere_as(
        &rig,
        "host",
        host,
        |_| {},
        |rig, died| {
            let started = run.join("start.json").exists();
            let ended = run.join("exit.json").exists();
            rig.finish(&tasks);
            let interrupted = rig.has_event("run_ended", "its host process died");
            assert_eq!(interrupted, died && started && !ended, "shown as interrupted:\n{}", rig.report());
            let ran = rig.starts().iter().filter(|start| start.stage == "plan").count();
            // Killed between its record and the agent, the run is over although no agent ever began.
            assert!(ran == 1 || (interrupted && ran == 2), "{ran}");
            let shown = rig.json(&["task", "show", &tasks[0], "--json"]);
            let shown = shown["runs"].as_array().expect("runs").iter().filter(|run| run["stage"] == "plan").count();
            assert_eq!(shown, 1 + usize::from(interrupted), "an interrupted run is counted as an attempt");
            rig.check(&tasks, &BTreeMap::from([("plan", ran)]));
        },
    );
}

#[test]
fn a_whole_life_may_be_cut_short_anywhere() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let tasks = [rig.add("one"), rig.add("two")];
    rig.save();
    let recording = rig.file_inside("recording").display().to_string();
    let (trace, mut kills) = (format!("trace={CALLS}"), 0);
    // How many calls it makes depends on how quick the agents are: each kind is gone through until nobody is killed.
    let (step, most) = if long() { (1, usize::MAX) } else { (61, 2) };
    let kinds = ["fdatasync", "openat", "rename", "renameat2", "link", "unlink", "pwrite64", "clone3"];
    for (from, kind) in kinds.iter().enumerate() {
        for nth in (1 + from * 7 % step..).step_by(step).take(most) {
            rig.restore();
            let inject = format!("inject={kind}:signal=SIGKILL:when={nth}");
            let wrapper = ["strace", "-qq", "-o", &recording, "-e", &trace, "-e", &inject];
            let mut monitor = rig.pipeline(&wrapper, &["monitor", "--headless"]).spawn().expect("strace starts");
            let mut died = false;
            rig.wait_until("the end of the monitor or of its work", |rig| {
                died = monitor.try_wait().expect("the monitor").is_some();
                died || tasks.iter().all(|task| rig.in_snapshot(task) == "completed")
            });
            say(&format!("life: killed {died} at {kind} {nth}"));
            if !died {
                rig.kill_monitor();
            }
            monitor.wait().expect("the monitor's end");
            rig.check_snapshot();
            completes(&rig, &tasks, &BTreeMap::new());
            if !died {
                break;
            }
            kills += 1;
        }
    }
    say(&format!("life: {kills} kills"));
    assert!(kills > 3);
}
