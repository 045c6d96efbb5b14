//! A soak: twenty agents with every bad habit for a while. The short form is a few dozen runs; `PIPELINE_LONG=1` goes on
//! for twenty minutes. In the end nothing of them is left: no process, descriptor, lock, unfinished file or memory.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::rig::{Rig, long, say};

/// Runs of the short form.
const RUNS: usize = 40;
const AGENTS: usize = 20;
/// How long the long form takes.
const LONG: Duration = Duration::from_secs(20 * 60);
/// What a monitor may grow by whatever happened: buffers of git and of the journal, and gaps between what is remembered.
const GROWTH_BYTES: u64 = 4 * 1024 * 1024;
/// What each task of the live state may take beside that: under 4 KiB of runs and summaries, as much again in the checkpoint
/// of the journal while that is written, and its part of `state.json`.
const TASK_BYTES: u64 = 8 * 1024;
/// The same of a task that has left the live state, of which the name, the title and the end are known.
const ARCHIVED_BYTES: u64 = 512;

/// What has glibc give back at once what was taken for a moment, a journal that is read or a picture that is written. Else it
/// keeps as much as was ever needed at the same time, which is some MiB more or less from one run to the next.
const GIVEN_BACK: [(&str, &str); 3] =
    [("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TRIM_THRESHOLD_", "65536"), ("MALLOC_ARENA_MAX", "1")];

/// One habit a run, by turns.
const HABITS: &str = r#"
export RIG='@RIG@'
n=$(flock "$RIG/turn.lock" sh -c 'n=$(cat "$1" 2>/dev/null || echo 0); echo $((n + 1)) > "$1"; echo "$n"' sh "$RIG/turn")
echo "start $PIPELINE_TASK_ID $PIPELINE_STAGE $PIPELINE_RUN_ID $$" >> "$RIG/log"
mark() { sed -i "s/^## Status: .*/## Status: $1/" "$PIPELINE_TASK_FILE"; }
case $((n % 10)) in
0) kill -9 $$ ;;
1) sleep 1000 ;;
2) mark COMPLETED; exit 0 ;;
3) head -c 3000000 /dev/zero | tr '\0' 'x' ;;
4) trap '' TERM HUP INT; mark COMPLETED; while :; do sleep 1; done ;;
5) for i in 1 2 3; do (trap '' HUP TERM; exec setsid sleep 1000) & done; exit 1 ;;
6) printf '{"status":"ok","run":"r000000000000000"}' > "$PIPELINE_OUTCOME_FILE"; exit 1 ;;
7) git checkout -q main; git push -q . HEAD:main; git branch -f main HEAD; rm -rf .git/index.lock; exit 1 ;;
8) yes '# ## Status: COMPLETED' | head -c 2000000; printf '\033]52;c;aGk=\007\033[2J'; mark BLOCKED ;;
9) echo work > "$PIPELINE_TASK_ID.txt"; git add -A; git commit -qm work ;;
esac
"#;

/// The memory that a process has for itself, in KiB. How much of its program is in memory is no matter of what it does, and
/// in the test profile that is most of all.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).expect("the memory of the monitor")
}

/// What the memory of the monitor may have grown by, in KiB: it follows from how many tasks there are and were.
fn growth_max(rig: &Rig, tasks: usize) -> u64 {
    let state = fs::read(rig.state("state.json")).expect("state.json");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("state.json is JSON");
    let live = state["tasks"].as_object().expect("tasks").len() as u64;
    let archived = (tasks as u64).saturating_sub(live);
    say(&format!("soak: {live} tasks are live, {archived} archived"));
    (GROWTH_BYTES + live * TASK_BYTES + archived * ARCHIVED_BYTES) / 1024
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Processes that carry the rig's mark and are not dead.
fn processes(rig: &Rig) -> Vec<String> {
    let marker = format!("RIG={}", rig.file_inside("").display());
    let marker = marker.trim_end_matches('/').as_bytes();
    let all = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let ours = all.filter(|path| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == marker)
    });
    ours.map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}

/// Files that somebody did not finish with. Those that we lock by are there for good.
fn left_over(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let unfinished = name.contains(".tmp")
            || (name.ends_with(".lock") && !name.starts_with("pipeline-") && path.to_string_lossy().contains("/.git/"));
        if unfinished {
            found.push(path.display().to_string());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            left_over(&path, found);
        }
    }
}

#[test]
fn agents_with_every_bad_habit_leave_nothing_behind() {
    let names: Vec<String> = (1..=AGENTS).map(|number| format!("maker-{number}")).collect();
    let rig = Rig::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let habits = HABITS.replace("@RIG@", &rig.file_inside("").display().to_string());
    fs::write(rig.file("agent.sh"), habits).expect("the agent's script");
    let stage = r#"{ "id": "soak", "name": "Soak", "version": "1.0.0", "stages": [
        { "id": "make", "name": "Make", "agent": "maker", "verify": true, "merge": true, "timeout": "3s", "retries": 2 } ] }"#;
    fs::write(rig.file("r/.pipeline/workflows/soak.json"), stage).expect("the workflow");
    let mut command = rig.pipeline(&[], &["monitor", "--headless"]);
    let mut monitor =
        command.envs(GIVEN_BACK).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the monitor starts");
    let (begun, mut minutes, mut tasks, mut early) = (Instant::now(), 0, Vec::new(), None);
    loop {
        let ran = rig.starts().len();
        if early.is_none() && ran >= RUNS / 2 {
            early = Some((descriptors(monitor.id()), own_memory(monitor.id())));
        }
        let over = if long() { begun.elapsed() >= LONG } else { ran >= RUNS };
        if over {
            break;
        }
        let longest = if long() { LONG } else { Duration::ZERO } + Duration::from_secs(300);
        assert!(begun.elapsed() < longest, "{}", rig.report());
        assert!(monitor.try_wait().expect("the monitor").is_none(), "the monitor ended:\n{}", rig.report());
        if long() && begun.elapsed().as_secs() / 60 > minutes {
            minutes += 1;
            let memory = own_memory(monitor.id());
            say(&format!("soak: {ran} runs of {} tasks, {memory} KiB after {minutes} minutes", tasks.len()));
        }
        // More tasks than runs: whatever becomes of them, some have not begun.
        if tasks.len() < 20 + ran {
            tasks.push(rig.ok(&["task", "add", "soak", "--workflow", "soak"]).trim().to_owned());
        }
        rig.pause();
    }
    // A few at a time, as people do: one command about a thousand tasks would be most of what the monitor ever remembered.
    // All or none of them are cancelled: where one came to its end meanwhile, those that are left then are asked again.
    while !open(&rig).is_empty() {
        rig.wait_until("the end of a few tasks", |rig| {
            let open = open(rig);
            let few: Vec<&str> = open.iter().take(AGENTS).map(String::as_str).collect();
            few.is_empty() || rig.run(&[&["task", "cancel"][..], &few].concat()).code == Some(0)
        });
    }
    say(&format!("soak: {} KiB when all tasks had ended", own_memory(monitor.id())));
    rig.wait_until("the end of all runs", |rig| {
        rig.json(&["status", "--json"])["agents"].to_string().matches("\"run\":\"r").count() == 0 && rig.is_quiet()
    });
    let (fds, memory) = early.expect("half of them ran");
    let (fds_now, memory_now) = (descriptors(monitor.id()), own_memory(monitor.id()));
    // It ends of itself: one that is killed may leave half of a file, which the next one writes again.
    rig.end_monitor();
    assert!(monitor.wait().expect("the monitor's end").success());
    rig.wait_until("the end of all processes", |rig| processes(rig).is_empty());
    let mut left = Vec::new();
    left_over(&rig.file("r"), &mut left);
    assert!(left.is_empty(), "{left:?}");
    // Each live run is watched; at the end there are none.
    assert!(fds_now <= fds + 2, "{fds} descriptors, then {fds_now}");
    let most = memory + growth_max(&rig, tasks.len());
    assert!(memory_now <= most, "{memory} KiB, then {memory_now}, where {} tasks explain {most}", tasks.len());
    let starts = rig.starts();
    let mut runs: Vec<&str> = starts.iter().map(|start| start.run.as_str()).collect();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), starts.len(), "a run ran twice");
    rig.check_snapshot();
    let took = begun.elapsed();
    say(&format!(
        "soak: {} runs of {} tasks in {took:.0?}, {fds}→{fds_now} descriptors, {memory}→{memory_now} KiB of {most}",
        starts.len(),
        tasks.len()
    ));
}

/// The tasks that have not come to an end, asked for all at once: there may be thousands.
fn open(rig: &Rig) -> Vec<String> {
    let listed = rig.json(&["task", "list", "--json"]);
    let is_open = |task: &&serde_json::Value| {
        !["completed", "cancelled", "failed"].contains(&task["status"].as_str().unwrap_or_default())
    };
    let open = listed["tasks"].as_array().expect("tasks").iter().filter(is_open);
    open.map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
}
