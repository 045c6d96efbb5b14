//! What the whole program costs, each figure beside a limit taken in the same run: `cargo bench --bench program`.
//!
//! Absolute times move from machine to machine; the ratios are what to look at. Nothing here is asserted.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pipeline");
const TASKS: usize = 10_000;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let repo = dir.path().join("repo");
    make_repository(&repo, "true");
    println!("{:<44} {:>10} {:>10} {:>7}  aim", "", "ours", "limit", "ratio");
    chain_latency(&repo);
    idle(&repo);
    large_queue(dir.path());
}

fn make_repository(repo: &Path, agent: &str) {
    fs::create_dir_all(repo).expect("the directory can be made");
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "--allow-empty", "-m", "start"],
    ] {
        run(Command::new("git").args(words).current_dir(repo));
    }
    pipeline(repo, &["init", "--yes", "--rollout", "production"]);
    let config = repo.join(".pipeline/config.toml");
    let text = fs::read_to_string(&config).expect("init wrote it");
    let custom = format!("preset = \"custom\"\ncommand = [\"{agent}\"]");
    fs::write(&config, text.replace("preset = \"demo\"", &custom)).expect("it can be written");
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn pipeline(repo: &Path, words: &[&str]) -> Vec<u8> {
    run(Command::new(PROGRAM).arg("-C").arg(repo).args(words))
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn timed(count: usize, mut work: impl FnMut()) -> Duration {
    median(
        (0..count)
            .map(|_| {
                let begun = Instant::now();
                work();
                begun.elapsed()
            })
            .collect(),
    )
}

fn row(name: &str, ours: Duration, limit: Duration, aim: &str) {
    let ms = |d: Duration| format!("{:.2} ms", d.as_secs_f64() * 1e3);
    let ratio = ours.as_secs_f64() / limit.as_secs_f64();
    println!("{name:<44} {:>10} {:>10} {ratio:>6.2}x  {aim}", ms(ours), ms(limit));
}

/// From the end of one stage's process to the start of the next stage's, against the syncs and spawns that takes.
fn chain_latency(repo: &Path) {
    for n in 0..12 {
        pipeline(repo, &["task", "add", &format!("Chain {n}")]);
    }
    let mut monitor = Command::new(PROGRAM)
        .arg("-C")
        .arg(repo)
        .args(["monitor", "--headless"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the monitor starts");
    pipeline(repo, &["wait", "--for", "completed", "--timeout", "120s"]);
    monitor.kill().expect("the monitor can be ended");
    monitor.wait().expect("the monitor can be waited for");
    let mut gaps = Vec::new();
    let runs: Vec<(PathBuf, Value)> = fs::read_dir(repo.join(".pipeline/runs"))
        .expect("there are runs")
        .filter_map(|entry| {
            let dir = entry.ok()?.path();
            let exit = serde_json::from_slice(&fs::read(dir.join("exit.json")).ok()?).ok()?;
            Some((dir, exit))
        })
        .collect();
    let tasks: Value = serde_json::from_slice(&pipeline(repo, &["status", "--json"])).expect("one document");
    for id in tasks["tasks"].as_object().expect("tasks").keys() {
        let shown: Value =
            serde_json::from_slice(&pipeline(repo, &["task", "show", id, "--json"])).expect("a document");
        let order: Vec<&str> =
            shown["runs"].as_array().expect("runs").iter().filter_map(|r| r["id"].as_str()).collect();
        for pair in order.windows(2) {
            let of = |id: &str, key: &str| {
                let record = runs.iter().find(|(dir, _)| dir.ends_with(id))?;
                record.1[key].as_str()?.parse::<jiff::Timestamp>().ok()
            };
            if let (Some(end), Some(start)) = (of(pair[0], "ended_at"), of(pair[1], "started_at")) {
                gaps.push(Duration::try_from(start.duration_since(end)).unwrap_or_default());
            }
        }
    }
    // With one agent a role, tasks queue for each other; the quickest tenth is where nothing was waited for.
    gaps.sort();
    let ours = gaps.get(gaps.len() / 10).copied().unwrap_or_default();
    let probe = repo.join("probe");
    let mut file = File::create(&probe).expect("a file can be made");
    let sync = timed(50, || {
        file.write_all(&[b'x'; 200]).expect("it can be written");
        file.sync_data().expect("it can be synced");
    });
    let spawn = timed(50, || drop(run(&mut Command::new("true"))));
    // Exit record: file and directory. Journal: end, collection and claim in two commits. Claim: parent, file, directory.
    // Start record: file and directory. Processes: the host and the agent.
    row("end of a stage to start of the next", ours, sync * 9 + spawn * 2, "25 ms, 3x");
}

/// What a monitor costs that has nothing to do.
fn idle(repo: &Path) {
    let mut monitor = Command::new(PROGRAM)
        .arg("-C")
        .arg(repo)
        .args(["monitor", "--headless"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the monitor starts");
    let pid = monitor.id();
    let stat = || {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<u64> =
            text.rsplit(')').next().unwrap_or_default().split(' ').filter_map(|f| f.parse().ok()).collect();
        // Fields 14 and 15 of proc_pid_stat(5): user and system time, in ticks of 10 ms.
        fields.get(9..11).map_or(0, |times| times.iter().sum::<u64>())
    };
    let status = |key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    let (_sender, nothing) = std::sync::mpsc::channel::<()>();
    let pause = |seconds| {
        let _ = nothing.recv_timeout(Duration::from_secs(seconds));
    };
    pause(2);
    let (before, switches) = (stat(), status("voluntary_ctxt_switches"));
    pause(10);
    let share = (stat() - before) as f64 / 1_000.0 * 100.0;
    println!(
        "{:<44} {share:>8.2} % {:>8} kB {:>5} wake-ups in 10 s  0.1 %, 20,000 kB",
        "idle monitor --headless",
        status("VmRSS"),
        status("voluntary_ctxt_switches") - switches
    );
    monitor.kill().expect("the monitor can be ended");
    monitor.wait().expect("the monitor can be waited for");
}

/// Ten thousand tasks: reading them all, and adding one.
fn large_queue(dir: &Path) {
    let repo = dir.join("large");
    make_repository(&repo, "true");
    let tasks: Vec<Value> = (0..TASKS)
        .map(|n| serde_json::json!({ "id": format!("T-{n}"), "title": format!("Task number {n}"), "priority": n % 5 + 1 }))
        .collect();
    let file = dir.join("tasks.json");
    fs::write(&file, serde_json::to_vec(&tasks).expect("plain data")).expect("it can be written");
    let file = file.to_string_lossy().into_owned();
    pipeline(&repo, &["task", "import", &file]);
    let document = pipeline(&repo, &["status", "--json"]);
    let limit = timed(15, || {
        let value: Value = serde_json::from_slice(&document).expect("one document");
        drop(std::hint::black_box(serde_json::to_vec(&value).expect("it prints")));
    });
    let ours = timed(15, || drop(pipeline(&repo, &["status", "--json"])));
    row(&format!("status --json at {TASKS} tasks"), ours, limit, "2x");
    let probe = dir.join("probe");
    let limit = timed(15, || {
        let mut file = File::options().create(true).append(true).open(&probe).expect("it opens");
        file.write_all(&[b'x'; 300]).expect("it can be written");
        file.sync_data().expect("it can be synced");
        drop(run(&mut Command::new("true")));
    });
    let mut n = 0;
    let ours = timed(15, || {
        n += 1;
        drop(pipeline(&repo, &["task", "add", &format!("One more {n}")]));
    });
    row(&format!("task add at {TASKS} tasks"), ours, limit, "30 ms");
}
