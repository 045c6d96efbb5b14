//! What a stage costs that does nothing, each figure beside a limit taken in the same run: `cargo bench --bench stages`.
//!
//! The limit is a loop that spawns the same command and keeps what a run has to keep: a record of its start, durable
//! before the command begins, and one of its end, durable before anything follows from it; where several run at once,
//! all records that wait become durable together. Where each command is a task with a worktree the loop also gives each its
//! branch, and HEAD of its worktree, as git does and durable before the command begins; what the loop takes without that is
//! said beside it. Times are those of the journal, from the first claim to the last end.
//! Nothing is deleted before all is measured: a file system without a journal looks a long time for a free inode where
//! many were deleted a moment ago, which the limit would hardly notice: it makes few files or none.
//! `-- --quick` takes fewer stages. Absolute times move from machine to machine; nothing here is asserted.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pipeline");
/// Agent stages are measured on fewer: each costs more, and none depends on how many there are.
const AGENT_STAGES: usize = 60;
/// Stages of the template that is validated.
const TEMPLATE_STAGES: usize = 10_000;
/// The limit is taken this often around a measurement, with a part of the stages each time: disks have their moods.
const LIMITS: usize = 2;

fn main() {
    let stages = if std::env::args().any(|arg| arg == "--quick") { 200 } else { 1_000 };
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    println!("{:<50} {:>10} {:>10} {:>7}  aim", format!("{stages} stages of `true`, each"), "ours", "limit", "ratio");
    for place in ["repository", "worktree"] {
        for shape in [Shape::Chain, Shape::Flat(2), Shape::Flat(8), Shape::Graph(4)] {
            let name = format!("{} in the {place}", shape.words());
            if wanted(&name) {
                let (ours, bare, with_branches) = run_stages(shape, place, stages);
                let of_bare = ours.as_secs_f64() / bare.as_secs_f64();
                let aim = match with_branches {
                    None => "1.5x".to_owned(),
                    Some(_) => format!("1.5x; {of_bare:.2}x of the loop without branches, {}", ms(bare)),
                };
                row(&name, ours, with_branches.unwrap_or(bare), &aim);
            }
        }
    }
    if wanted("agent stages in a chain") {
        let (ours, limit) = agent_stages();
        row("agent stages in a chain", ours, limit, "8 ms more than the limit");
    }
    if wanted("workflow validate") {
        let (ours, limit) = validate();
        row(&format!("workflow validate of {TEMPLATE_STAGES} stages"), ours, limit, "50 ms");
    }
    KEPT.lock().expect("nobody panicked").clear();
}

/// What depends on what.
#[derive(Clone, Copy)]
enum Shape {
    /// One task with all stages.
    Chain,
    /// Tasks of one stage each, so many at once.
    Flat(usize),
    /// The same, each of which waits for up to three among the twenty before it.
    Graph(usize),
}

impl Shape {
    fn words(self) -> String {
        match self {
            Self::Chain => "a chain".to_owned(),
            Self::Flat(slots) => format!("flat, {slots} slots"),
            Self::Graph(slots) => format!("a random graph, {slots} slots"),
        }
    }

    fn slots(self) -> usize {
        match self {
            Self::Chain => 1,
            Self::Flat(slots) | Self::Graph(slots) => slots,
        }
    }
}

/// What a stage takes, the limit beside it, and the limit with branches where each stage has one.
fn run_stages(shape: Shape, place: &str, count: usize) -> (Duration, Duration, Option<Duration>) {
    let scratch = Scratch::new(&format!("[scheduler]\nmax_commands = {}\n", shape.slots()));
    let stage = |n: usize| json!({ "id": format!("s{n}"), "run": "true", "place": place, "merge": false });
    let stages = if matches!(shape, Shape::Chain) { count } else { 1 };
    scratch.workflow("trivial", (0..stages).map(stage).collect());
    let mut random = random();
    let waits_for: Vec<BTreeSet<usize>> = (0..count)
        .map(|n| {
            let mut behind = BTreeSet::new();
            if matches!(shape, Shape::Graph(_)) && n > 0 {
                behind.extend((0..random(4)).map(|_| n - 1 - random(n.min(20))));
            }
            behind
        })
        .collect();
    let tasks: Vec<Value> = (0..count / stages)
        .map(|n| {
            let behind: Vec<String> = waits_for[n].iter().map(|n| format!("T-{n}")).collect();
            json!({ "id": format!("T-{n}"), "title": "Trivial", "workflow": "trivial", "depends_on": behind })
        })
        .collect();
    // Nothing waits for what comes after it, so that the first of them are a graph of their own.
    let waits_for = &waits_for[..count / LIMITS];
    // All stages of a chain share the branch of their task.
    let has_branches = place == "worktree" && tasks.len() > 1;
    let (mut limits, mut bare) = (Vec::new(), Vec::new());
    let mut measure = || {
        bare.push(limit(&scratch.dir, waits_for, shape.slots(), None));
        let branches = has_branches.then(|| Branches::in_dir(&scratch.dir, shape.slots()));
        limits.extend(branches.map(|branches| limit(&scratch.dir, waits_for, shape.slots(), Some(branches))));
    };
    measure();
    let ours = scratch.per_stage(&tasks, count);
    measure();
    let mean = |all: &[Duration]| all.iter().sum::<Duration>() / u32::try_from(all.len()).expect("a few");
    (ours, mean(&bare), has_branches.then(|| mean(&limits)))
}

fn agent_stages() -> (Duration, Duration) {
    let scratch = Scratch::new("");
    let stage = |n: usize| json!({ "id": format!("s{n}"), "agent": "worker", "merge": false });
    scratch.workflow("trivial", (0..AGENT_STAGES).map(stage).collect());
    let task = json!({ "id": "T-0", "title": "Trivial", "workflow": "trivial" });
    let ours = scratch.per_stage(&[task], AGENT_STAGES);
    let begun = Instant::now();
    for _ in 0..AGENT_STAGES {
        assert!(command().wait().expect("it can be waited for").success());
    }
    (ours, begun.elapsed() / u32::try_from(AGENT_STAGES).expect("a few"))
}

fn validate() -> (Duration, Duration) {
    let scratch = Scratch::new("");
    let stage = |n: usize| match n % 2 {
        0 => {
            json!({ "id": format!("s{n}"), "name": format!("Stage {n}"), "agent": "worker", "timeout": "30m", "retries": 2 })
        }
        _ => json!({ "id": format!("s{n}"), "run": format!("make {n}"), "probe": "test -e done" }),
    };
    scratch.workflow("long", (0..TEMPLATE_STAGES).map(stage).collect());
    let file = scratch.repo().join(".pipeline/workflows/long.json");
    let median = |work: &dyn Fn()| {
        let mut all: Vec<Duration> = (0..9)
            .map(|_| {
                let begun = Instant::now();
                work();
                begun.elapsed()
            })
            .collect();
        all.sort();
        all[all.len() / 2]
    };
    let ours = median(&|| drop(scratch.pipeline(&["workflow", "validate", &file.to_string_lossy()])));
    let limit = median(&|| {
        let text = fs::read(&file).expect("it was written");
        drop(std::hint::black_box(serde_json::from_slice::<Value>(&text).expect("it is JSON")));
        drop(command().wait());
    });
    (ours, limit)
}

fn ms(d: Duration) -> String {
    format!("{:.2} ms", d.as_secs_f64() * 1e3)
}

fn row(name: &str, ours: Duration, limit: Duration, aim: &str) {
    let ratio = ours.as_secs_f64() / limit.as_secs_f64();
    println!("{name:<50} {:>10} {:>10} {ratio:>6.2}x  {aim}", ms(ours), ms(limit));
}

fn random() -> impl FnMut(usize) -> usize {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    move |bound| {
        // Xorshift64 (Marsaglia, 2003).
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % bound as u64).expect("below a small number")
    }
}

/// The command of every stage, as a stage runs it.
fn command() -> Child {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "true"]).stdin(Stdio::null()).spawn().expect("there is a shell")
}

/// How long one command takes in a loop that keeps durable records, so many at once, each after those that it waits for, and
/// makes a branch for each where they have some.
fn limit(dir: &Path, waits_for: &[BTreeSet<usize>], slots: usize, mut branches: Option<Branches>) -> Duration {
    let count = waits_for.len();
    let mut log = File::create(dir.join("limit.log")).expect("a file can be made");
    let (mut running, mut ended, mut is_over) = (Vec::new(), 0, vec![false; count]);
    let mut left: BTreeSet<usize> = (0..count).collect();
    let begun = Instant::now();
    while !left.is_empty() || !running.is_empty() {
        let is_ready = |n: &&usize| waits_for[**n].iter().all(|behind| is_over[*behind]);
        let next: Vec<usize> = left.iter().filter(is_ready).take(slots - running.len()).copied().collect();
        // In a chain the end is durable before anything else is looked at; of many at once all that waits is, together.
        if ended > 0 && slots == 1 {
            record(&mut log, ended);
            ended = 0;
        }
        record(&mut log, ended + next.len());
        if let Some(branches) = &mut branches {
            branches.make(next.len());
        }
        for n in next {
            left.remove(&n);
            running.push((n, command()));
        }
        let over = reap(&mut running);
        ended = over.len();
        over.into_iter().for_each(|n| is_over[n] = true);
    }
    record(&mut log, ended);
    drop(fs::remove_file(dir.join("limit.log")));
    begun.elapsed() / u32::try_from(count).expect("a few")
}

/// Branches and the HEADs of worktrees, in the files that git has for them.
struct Branches {
    refs: PathBuf,
    heads: Vec<PathBuf>,
    made: usize,
}

impl Branches {
    fn in_dir(dir: &Path, worktrees: usize) -> Self {
        let kept = tempfile::tempdir_in(dir).expect("a temporary directory can be made").keep();
        let refs = kept.join("refs");
        fs::create_dir(&refs).expect("the directory can be made");
        let heads: Vec<PathBuf> = (0..worktrees).map(|n| kept.join(n.to_string())).collect();
        heads.iter().for_each(|head| fs::create_dir(head).expect("the directory can be made"));
        Self { refs, heads, made: 0 }
    }

    /// Makes so many, all of which are on disk then.
    fn make(&mut self, count: usize) {
        let put = |file: &Path, text: &str| {
            let lock = file.with_extension("lock");
            let mut open = File::create_new(&lock).expect("a file can be made");
            open.write_all(text.as_bytes()).expect("it can be written");
            open.sync_all().expect("it can be made durable");
            fs::rename(&lock, file).expect("it can be renamed");
        };
        let of = |n: usize| format!("T-{n}");
        (self.made..self.made + count).for_each(|n| put(&self.refs.join(of(n)), &format!("{}\n", "1".repeat(40))));
        if count > 0 {
            File::open(&self.refs).and_then(|refs| refs.sync_all()).expect("it can be made durable");
        }
        for n in self.made..self.made + count {
            let worktree = &self.heads[n % self.heads.len()];
            put(&worktree.join("HEAD"), &format!("ref: refs/heads/{}\n", of(n)));
            File::open(worktree).and_then(|worktree| worktree.sync_all()).expect("it can be made durable");
        }
        self.made += count;
    }
}

fn record(log: &mut File, count: usize) {
    if count > 0 {
        log.write_all(&vec![b'x'; 120 * count]).expect("it can be written");
        log.sync_data().expect("it can be made durable");
    }
}

/// Waits for a child and takes all that are over.
fn reap(running: &mut Vec<(usize, Child)>) -> Vec<usize> {
    let mut over = Vec::new();
    let mut take = |pid: rustix::process::Pid| {
        let is_gone = |(_, child): &mut (usize, Child)| {
            i32::try_from(child.id()).is_ok_and(|id| id == pid.as_raw_nonzero().get())
        };
        over.extend(running.extract_if(.., is_gone).map(|(n, _)| n));
    };
    let (pid, _) =
        rustix::process::wait(rustix::process::WaitOptions::empty()).ok().flatten().expect("there is a child");
    take(pid);
    while let Ok(Some((pid, _))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        take(pid);
    }
    over
}

/// A repository of its own, which stays until the end of the program.
struct Scratch {
    dir: PathBuf,
}

static KEPT: Mutex<Vec<tempfile::TempDir>> = Mutex::new(Vec::new());

impl Scratch {
    fn new(config: &str) -> Self {
        let kept = tempfile::tempdir().expect("a temporary directory can be made");
        let scratch = Self { dir: kept.path().to_owned() };
        KEPT.lock().expect("nobody panicked").push(kept);
        let repo = scratch.repo();
        fs::create_dir_all(&repo).expect("the directory can be made");
        for words in [
            &["init", "-q", "-b", "main"][..],
            &[
                "-c",
                "user.name=bench",
                "-c",
                "user.email=bench@localhost",
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                "start",
            ],
        ] {
            run(Command::new("git").args(words).current_dir(&repo));
        }
        scratch.pipeline(&["init", "--yes", "--rollout", "production"]);
        let agent = "[[agents]]\nname = \"worker\"\nrole = \"worker\"\npreset = \"custom\"\ncommand = [\"/bin/sh\", \"-c\", \"true\"]\n";
        let text = format!("[project]\nbase = \"main\"\n{config}\n{agent}");
        fs::write(repo.join(".pipeline/config.toml"), text).expect("it can be written");
        scratch
    }

    fn repo(&self) -> PathBuf {
        self.dir.join("repo")
    }

    fn pipeline(&self, words: &[&str]) -> Vec<u8> {
        run(Command::new(PROGRAM).arg("-C").arg(self.repo()).args(words))
    }

    fn workflow(&self, id: &str, stages: Vec<Value>) {
        let dir = self.repo().join(".pipeline/workflows");
        fs::create_dir_all(&dir).expect("the directory can be made");
        let text = json!({ "id": id, "stages": stages }).to_string();
        fs::write(dir.join(format!("{id}.json")), text).expect("it can be written");
    }

    /// The time for a stage where a monitor takes these tasks to their end.
    fn per_stage(&self, tasks: &[Value], stages: usize) -> Duration {
        let file = self.dir.join("tasks.json");
        fs::write(&file, serde_json::to_vec(tasks).expect("plain data")).expect("it can be written");
        self.pipeline(&["task", "import", &file.to_string_lossy()]);
        let mut monitor = Command::new(PROGRAM)
            .arg("-C")
            .arg(self.repo())
            .args(["monitor", "--headless"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the monitor starts");
        self.pipeline(&["wait", "--for", "idle", "--timeout", "900s"]);
        monitor.kill().expect("the monitor can be ended");
        monitor.wait().expect("the monitor can be waited for");
        let events = String::from_utf8(self.pipeline(&["events"])).expect("events are text");
        let events: Vec<Value> =
            events.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
        let (claimed, closed) = (of("run_claimed"), of("run_closed"));
        assert_eq!((claimed.len(), closed.len()), (stages, stages), "every stage ran, and once");
        let at = |event: &Value| event["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect("a time");
        let took = at(closed[closed.len() - 1]).duration_since(at(claimed[0]));
        Duration::try_from(took).expect("time goes on") / u32::try_from(stages).expect("not that many")
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
