//! What the whole program costs, each figure beside a limit taken in the same run: `cargo bench --bench program`.
//!
//! Absolute times move from machine to machine; the ratios are what to look at. Nothing here is asserted.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pipeline");
const TASKS: usize = 10_000;
/// Tasks that are taken through all stages, one after the other.
const CHAINS: usize = 8;
/// Makes this program an agent that says what time it is.
const STAMP: &str = "--stamp";

fn main() {
    if std::env::args().any(|argument| argument == STAMP) {
        print!("{}", since_epoch().as_nanos());
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let repo = dir.path().join("repo");
    let own = std::env::current_exe().expect("this program is a file");
    make_repository(&repo, &[&own.to_string_lossy(), STAMP]);
    println!("{:<44} {:>10} {:>10} {:>7}  aim", "", "ours", "limit", "ratio");
    chain_latency(&repo);
    idle(&repo);
    large_queue(dir.path());
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set")
}

fn make_repository(repo: &Path, agent: &[&str]) {
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
    let custom = format!("preset = \"custom\"\ncommand = {agent:?}");
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

/// From the last thing that one stage's agent does to the first that the next one's does, against the syncs and the starts
/// of processes that this takes, and against these with the files that have to be made. Tasks come one after the other,
/// so that no stage waits for another task's.
fn chain_latency(repo: &Path) {
    let mut monitor = Command::new(PROGRAM)
        .arg("-C")
        .arg(repo)
        .args(["monitor", "--headless"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the monitor starts");
    let mut gaps = Vec::new();
    let mut needs = Needs::new(repo);
    for n in 0..CHAINS {
        let added = pipeline(repo, &["task", "add", &format!("Chain {n}"), "--json"]);
        let added: Value = serde_json::from_slice(&added).expect("a document");
        let id = added["id"].as_str().expect("the task has a name").to_owned();
        pipeline(repo, &["wait", &id, "--for", "completed", "--timeout", "120s"]);
        let shown = pipeline(repo, &["task", "show", &id, "--json"]);
        let shown: Value = serde_json::from_slice(&shown).expect("a document");
        let runs = shown["runs"].as_array().expect("runs").iter().filter_map(|run| run["id"].as_str());
        let said = |run: &str| {
            let text = fs::read_to_string(repo.join(".pipeline/runs").join(run).join("stdout.log")).ok()?;
            text.trim().parse::<u64>().ok().map(Duration::from_nanos)
        };
        let times: Vec<Duration> = runs.filter_map(said).collect();
        gaps.extend(times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])));
        needs.sample();
    }
    monitor.kill().expect("the monitor can be ended");
    monitor.wait().expect("the monitor can be waited for");
    let (ours, limit) = (median(gaps), needs.limit());
    row("end of a stage to start of the next", ours, limit, "25 ms, 3x");
    row("the same, next to the files it makes as well", ours, limit + needs.files(), "");
}

/// What a stage's end and the next one's start cannot do without, timed between the chains: disks have their moods.
struct Needs {
    log: File,
    paths: [PathBuf; 2],
    sync: Vec<Duration>,
    spawn: Vec<Duration>,
    make: Vec<Duration>,
}

impl Needs {
    fn new(dir: &Path) -> Self {
        let log = File::create(dir.join("probe")).expect("a file can be made");
        let paths = [dir.join("draft"), dir.join("made")];
        Self { log, paths, sync: Vec::new(), spawn: Vec::new(), make: Vec::new() }
    }

    fn sample(&mut self) {
        let [draft, made] = &self.paths;
        self.sync.push(timed(9, || {
            self.log.write_all(&[b'x'; 200]).expect("it can be written");
            self.log.sync_data().expect("it can be synced");
        }));
        self.spawn.push(timed(9, || drop(run(&mut Command::new("true")))));
        self.make.push(timed(9, || {
            fs::write(draft, [b'x'; 200]).expect("it can be written");
            fs::rename(draft, made).expect("it can be renamed");
        }));
    }

    /// Exit record: file and directory. Journal: end, collection and claim in two commits. Claim: parent, file, directory.
    /// Start record: file and directory. Processes: the host and the agent.
    fn limit(&self) -> Duration {
        median(self.sync.clone()) * 9 + median(self.spawn.clone()) * 2
    }

    /// HEAD of two worktrees; the task file and its last resting place; claim, lock, start, process and exit of the run; its
    /// two logs and its host's.
    fn files(&self) -> Duration {
        median(self.make.clone()) * 12
    }
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
    make_repository(&repo, &["true"]);
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
