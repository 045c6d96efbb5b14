//! A scratch repository with scripted agents, made to be killed in: it can be saved and brought back to the same moment
//! again and again, and it knows what must hold afterwards whatever died meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use serde_json::Value;

/// Nothing here takes this long unless it hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What the agents do. Each says at once who it is, in a log that all append to, and takes a lock that only one of a task
/// can have. Files beside the repository tell it to misbehave.
const AGENT: &str = r#"
export RIG='@RIG@'
exec 9>>"$RIG/live-$PIPELINE_TASK_ID"
flock -n 9 || echo "overlap $PIPELINE_TASK_ID $PIPELINE_RUN_ID" >> "$RIG/log"
echo "start $PIPELINE_TASK_ID $PIPELINE_STAGE $PIPELINE_RUN_ID $$" >> "$RIG/log"
once() { mv "$RIG/$1-$PIPELINE_TASK_ID" "$RIG/was-$1-$PIPELINE_RUN_ID" 2>/dev/null; }
commit() {
    git add -A && git commit -qm "$1" 9>&- && echo "commit $PIPELINE_RUN_ID $(git rev-parse HEAD)" >> "$RIG/log"
}
wait_here() { echo waiting > "$RIG/reached"; read -r _ < "$RIG/gate"; }
once die-first && kill -9 $$
if [ "$PIPELINE_STAGE" = plan ]; then
    echo "plan" > "$PIPELINE_TASK_ID.plan"; commit "plan $PIPELINE_TASK_ID"
else
    echo "first of $PIPELINE_RUN_ID" >> "$PIPELINE_TASK_ID.txt"; commit "make $PIPELINE_TASK_ID"
    echo "second of $PIPELINE_RUN_ID" >> "$PIPELINE_TASK_ID.txt"
    once edit && echo "$PIPELINE_TASK_ID" >> base.txt
    once leave-child && { (trap '' HUP TERM; exec setsid sleep 1000) 9>&- & }
    once hang && wait_here
    once die-middle && kill -9 $$
    once lock-index && { : > "$(git rev-parse --git-dir)/index.lock"; kill -9 $$; }
    once fail && exit 1
    if once die-marked; then
        sed -i 's/^## Status: .*/## Status: COMPLETED/' "$PIPELINE_TASK_FILE"; kill -9 $$
    fi
fi
echo "end $PIPELINE_TASK_ID $PIPELINE_RUN_ID" >> "$RIG/log"
"#;

const CONFIG: &str = r#"
[project]
base = "main"
pass_env = ["RIG"]
verify = "mv '@RIG@/fail-gate' '@RIG@/was-fail-gate' 2>/dev/null && exit 1; test -f base.txt"
[scheduler]
retries = 3
backoff = "0s"
max_parallel = 0
"#;

/// The planned work stays on its branch, the made work is merged with the gate in between.
const WORKFLOW: &str = r#"{ "id": "short", "name": "Plan, then make", "version": "1.0.0",
  "stages": [ { "id": "plan", "name": "Plan", "agent": "planner" },
              { "id": "make", "name": "Make", "agent": "maker", "verify": true, "merge": true } ] }"#;

/// The product.
pub(super) fn program() -> PathBuf {
    std::env::var_os("PIPELINE_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pipeline")), PathBuf::from)
}

/// Whether everything is asked for, and not only what there is time for on every push.
pub(super) fn long() -> bool {
    std::env::var_os("PIPELINE_LONG").is_some_and(|value| value != "0")
}

/// How many kills there are to be: `PIPELINE_KILLS`, or as usual in the short and the long form.
pub(super) fn kills(short: usize, longer: usize) -> usize {
    let asked = std::env::var("PIPELINE_KILLS").ok();
    let asked = asked.map(|number| number.parse().expect("PIPELINE_KILLS is a number"));
    asked.unwrap_or(if long() { longer } else { short })
}

/// Tells how a test is going, which is shown if it fails.
#[expect(clippy::print_stderr, reason = "the harness keeps it and shows it beside the failure")]
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

/// What became of a command.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// One run of an agent, as it told us.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) task: String,
    pub(super) stage: String,
    pub(super) run: String,
    pub(super) pid: i32,
}

#[derive(Debug)]
pub(super) struct Rig {
    // Dropped first, so that nothing is written below a directory that is being removed.
    processes: Processes,
    dir: tempfile::TempDir,
    /// What is put before every command: how to enter a namespace.
    prefix: Vec<String>,
    /// Where a path of the repository is found from here.
    seen_from: PathBuf,
}

/// Ends what agents may have left when a test fails.
#[derive(Debug)]
struct Processes(PathBuf);

impl Drop for Processes {
    fn drop(&mut self) {
        let marker = format!("HOME={}", self.0.display()).into_bytes();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|entry| entry == marker)
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
            }
        }
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(&["planner", "maker"])
    }

    /// With agents whose names begin with their roles.
    pub(super) fn with(agents: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("crash-").tempdir().expect("a scratch directory");
        Self::at(dir, agents, Vec::new(), PathBuf::from("/"))
    }

    pub(super) fn at(dir: tempfile::TempDir, agents: &[&str], prefix: Vec<String>, seen_from: PathBuf) -> Self {
        let rig = Self { processes: Processes(dir.path().to_owned()), dir, prefix, seen_from };
        fs::write(rig.file("agent.sh"), AGENT.replace("@RIG@", &rig.dir.path().display().to_string()))
            .expect("the agent's script");
        rig.shell(
            "mkdir -p r && cd r && git init -q -b main . && git config user.name Rig && git config user.email rig@example.org \
             && echo base > base.txt && echo /.pipeline/ > .gitignore && git add -A && git commit -qm base && mkfifo ../gate",
        );
        rig.ok(&["init", "--agent", "demo", "--rollout", "production", "--yes"]);
        let mut config = CONFIG.replace("@RIG@", &rig.dir.path().display().to_string());
        for agent in agents {
            let role = agent.split('-').next().unwrap_or(agent);
            let script = rig.file_inside("agent.sh").display().to_string();
            config.push_str(&format!(
                "[[agents]]\nname = \"{agent}\"\nrole = \"{role}\"\npreset = \"custom\"\ncommand = [\"/bin/sh\", \"{script}\"]\n"
            ));
        }
        fs::write(rig.file("r/.pipeline/config.toml"), config).expect("the configuration");
        fs::create_dir_all(rig.file("r/.pipeline/workflows")).expect("a directory for workflows");
        fs::write(rig.file("r/.pipeline/workflows/short.json"), WORKFLOW).expect("the workflow");
        rig
    }

    /// The path of something beside or in the repository, for us.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        let inside = self.file_inside(name);
        match inside.strip_prefix("/") {
            Ok(relative) => self.seen_from.join(relative),
            Err(_) => inside,
        }
    }

    /// The same for the product, which may live in a namespace of its own.
    pub(super) fn file_inside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.file("r/.pipeline/state").join(name)
    }

    /// A command in the repository, with nothing of this process's environment that could make a difference.
    pub(super) fn command(&self, wrapper: &[&str], program: &Path, arguments: &[&str]) -> Command {
        let mut words: Vec<std::ffi::OsString> = self.prefix.iter().map(Into::into).collect();
        words.extend(wrapper.iter().map(Into::into));
        words.push(program.into());
        words.extend(arguments.iter().map(Into::into));
        let mut command = Command::new(&words[0]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .env("RIG", self.dir.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null());
        command
    }

    pub(super) fn pipeline(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        let repository = self.file_inside("r").display().to_string();
        let all: Vec<&str> = ["-C", repository.as_str()].into_iter().chain(arguments.iter().copied()).collect();
        self.command(wrapper, &program(), &all)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Done {
        Done::of(&self.pipeline(&[], arguments).output().expect("the program starts"))
    }

    pub(super) fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.out, done.err);
        done.out
    }

    /// Runs a line of shell beside the repository.
    pub(super) fn shell(&self, line: &str) -> String {
        let script = format!("cd '{}' && {line}", self.dir.path().display());
        let output = self.command(&[], Path::new("/bin/sh"), &["-c", &script]).output().expect("a shell");
        let done = Done::of(&output);
        assert_eq!(done.code, Some(0), "{line}: {}{}", done.out, done.err);
        done.out
    }

    /// Makes the next agent of a task do something once.
    pub(super) fn tell(&self, what: &str, task: &str) {
        fs::write(self.file(&format!("{what}-{task}")), "").expect("a word to the agent");
    }

    pub(super) fn add(&self, title: &str) -> String {
        self.ok(&["task", "add", title, "--workflow", "short"]).trim().to_owned()
    }

    pub(super) fn tick(&self) {
        self.ok(&["monitor", "--once"]);
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    pub(super) fn status_of(&self, task: &str) -> String {
        self.json(&["task", "show", task, "--json"])["status"].as_str().unwrap_or_default().to_owned()
    }

    /// What `state.json` says of a task, without asking the product.
    pub(super) fn in_snapshot(&self, task: &str) -> String {
        let text = fs::read_to_string(self.state("state.json")).unwrap_or_default();
        let state: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("state.json: {error}: {text}"));
        state["tasks"][task]["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Kills the process that holds the monitor's lock.
    pub(super) fn kill_monitor(&self) {
        self.signal_monitor(rustix::process::Signal::KILL);
    }

    /// Asks whichever monitor is at work to end.
    pub(super) fn end_monitor(&self) {
        self.signal_monitor(rustix::process::Signal::TERM);
    }

    fn signal_monitor(&self, signal: rustix::process::Signal) {
        let holder = fs::read_to_string(self.state("monitor.lock")).expect("the monitor's lock");
        let pid = holder.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).unwrap_or_default();
    }

    /// Ticks until the task is as wished, waking on whatever runs write.
    pub(super) fn tick_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        loop {
            let watch = self.watch();
            self.tick();
            if is_so(self) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{what} never came:\n{}", self.report());
            watch.wait(Duration::from_millis(40));
        }
    }

    /// Waits, without ticking, until something is so.
    pub(super) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        loop {
            let watch = self.watch();
            if is_so(self) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{what} never came:\n{}", self.report());
            watch.wait(Duration::from_millis(40));
        }
    }

    /// Waits for anything to happen, but not long.
    pub(super) fn pause(&self) {
        self.watch().wait(Duration::from_millis(40));
    }

    /// Everything that a person would look at when a test fails.
    pub(super) fn report(&self) -> String {
        let status = self.run(&["status"]);
        let short = |line: &str| line.chars().filter(|c| *c != '"').take(260).collect::<String>() + "\n";
        let events: String = self.run(&["events"]).out.lines().rev().take(25).map(short).collect();
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        let locks = self.shell("find . -name '*.lock' -path '*.git*'");
        format!("{}{}\n(newest first)\n{events}\n{log}\n{locks}\n{}", status.out, status.err, self.dir.path().display())
    }

    pub(super) fn finish(&self, tasks: &[String]) {
        self.tick_until("the end of all tasks", |rig| tasks.iter().all(|task| rig.status_of(task) == "completed"));
    }

    fn watch(&self) -> Watch {
        let runs = self.file("r/.pipeline/runs");
        let open = fs::read_dir(&runs).into_iter().flatten().flatten().map(|entry| entry.path());
        let open = open.filter(|dir| !dir.join("exit.json").exists());
        Watch::of(open.chain(self.places()).chain([runs.clone(), self.file("")]))
    }

    /// The places of commands.
    fn places(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.file("r/.pipeline/runs/.commands")).into_iter().flatten().flatten();
        all.map(|entry| entry.path())
            .filter(|place| place.is_dir())
            .flat_map(|place| [place.join("news"), place])
            .collect()
    }

    /// Whether every claimed run has its exit record.
    pub(super) fn is_quiet(&self) -> bool {
        let runs = fs::read_dir(self.file("r/.pipeline/runs")).into_iter().flatten().flatten();
        let is_run = |dir: &PathBuf| !dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let records = fs::read_to_string(self.file("r/.pipeline/runs/.commands/.records")).unwrap_or_default();
        let told = self.places().into_iter().filter_map(|place| fs::read_to_string(place.join("told")).ok());
        // A line is a checksum, the run, and its claim.
        let is_over = |line: &str| {
            let run = line.split(' ').nth(1).unwrap_or_default();
            run.is_empty() || records.contains(&format!(r#"{{"exit":{{"dir":"{run}""#))
        };
        told.into_iter().all(|told| told.lines().all(is_over))
            && runs.map(|entry| entry.path()).filter(is_run).all(|dir| dir.join("exit.json").exists())
    }

    /// Keeps everything as it is now. No process may be at work.
    pub(super) fn save(&self) {
        self.shell("rm -rf saved && mkdir saved && for f in *; do [ $f = saved ] || cp -a $f saved; done");
    }

    /// Brings back what was saved.
    pub(super) fn restore(&self) {
        self.shell("for f in *; do [ $f = saved ] || rm -rf $f; done; cp -a saved/. .");
    }

    pub(super) fn starts(&self) -> Vec<Start> {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        let start = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            ["start", task, stage, run, pid] => Some(Start {
                task: task.to_owned(),
                stage: stage.to_owned(),
                run: run.to_owned(),
                pid: pid.parse().expect("a pid"),
            }),
            _ => None,
        };
        log.lines().filter_map(start).collect()
    }

    pub(super) fn events(&self) -> Vec<Value> {
        let text = self.ok(&["events"]);
        text.lines().map(|line| serde_json::from_str(line).expect("an event is a JSON line")).collect()
    }

    pub(super) fn has_event(&self, kind: &str, text: &str) -> bool {
        self.events().iter().any(|event| event["type"] == kind && event.to_string().contains(text))
    }

    /// That the snapshot is whole, whoever was killed while writing it.
    pub(super) fn check_snapshot(&self) {
        let text = fs::read_to_string(self.state("state.json")).expect("state.json is there");
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("state.json: {error}: {text}"));
    }

    /// What must hold for a completed task whatever was killed: each agent ran once a claim, nothing is lost, nothing is
    /// there twice. `attempts` is how often each stage had to be tried, where not once.
    pub(super) fn check(&self, tasks: &[String], attempts: &BTreeMap<&str, usize>) {
        self.check_all_but_effects(tasks, attempts);
        let failed: Vec<Value> = self.events().into_iter().filter(|event| event["type"] == "effect_failed").collect();
        assert!(failed.is_empty(), "an effect failed:\n{}\n{failed:#?}", self.report());
    }

    pub(super) fn check_all_but_effects(&self, tasks: &[String], attempts: &BTreeMap<&str, usize>) {
        self.check_snapshot();
        let starts = self.starts();
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        assert!(!log.contains("overlap"), "two agents at once on a task:\n{}", self.report());
        let runs: BTreeSet<&str> = starts.iter().map(|start| start.run.as_str()).collect();
        assert_eq!(runs.len(), starts.len(), "a run ran twice:\n{}", self.report());
        for task in tasks {
            for stage in ["plan", "make"] {
                let ran = starts.iter().filter(|start| start.task == *task && start.stage == stage).count();
                let wanted = attempts.get(stage).copied().unwrap_or(1);
                assert_eq!(ran, wanted, "how often {stage} of {task} ran:\n{}", self.report());
            }
        }
        self.check_history(&runs);
        self.check_work(tasks, &log);
    }

    /// That events are numbered without a gap, and every run went through its phases in order and once.
    pub(super) fn check_history(&self, started: &BTreeSet<&str>) {
        let mut phases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut attempts = BTreeSet::new();
        for (index, event) in self.events().into_iter().enumerate() {
            assert_eq!(event["seq"], index + 1, "events have a gap");
            let kind = event["type"].as_str().unwrap_or_default().to_owned();
            if kind == "run_claimed" {
                let run = &event["data"]["run"];
                let work = if run["work"] == "agent" { "agent" } else { "other" };
                let key = (run["task"].to_string(), run["stage"].to_string(), run["attempt"].to_string());
                assert!(work == "other" || attempts.insert(key.clone()), "an attempt was claimed twice: {key:?}");
            }
            if let Some(run) = event["run"].as_str().filter(|_| kind.starts_with("run_")) {
                phases.entry(run.to_owned()).or_default().push(kind);
            }
        }
        for (run, phases) in &phases {
            let order = |kind: &String| {
                ["run_claimed", "run_started", "run_ended", "run_closed"].iter().position(|k| k == kind)
            };
            let known: Vec<usize> = phases.iter().filter_map(order).collect();
            assert!(known.is_sorted_by(|a, b| a < b) && known[0] == 0, "run {run}: {phases:?}");
        }
        for run in started {
            assert!(phases.contains_key(*run), "{run} ran without a claim in the journal");
        }
    }

    /// That base has the work of each task once and nothing else, and that no commit of an agent is lost.
    fn check_work(&self, tasks: &[String], log: &str) {
        let merges = self.shell("cd r && git log --first-parent --format=%s main");
        let mut files = BTreeSet::from([".gitignore".to_owned(), "base.txt".to_owned()]);
        for task in tasks {
            files.extend([format!("{task}.plan"), format!("{task}.txt")]);
            let count = |words: String| merges.lines().filter(|line| line.starts_with(&words)).count();
            // What was taken back came in once before.
            let (merged, back) = (count(format!("Merge {task}:")), count(format!("Roll back {task}:")));
            assert_eq!(merged, back + 1, "{merges}\n{}", self.report());
        }
        let listed = self.shell("cd r && git ls-tree -r --name-only main");
        let listed: BTreeSet<String> = listed.lines().map(str::to_owned).filter(|name| name != "user.txt").collect();
        assert_eq!(listed, files, "what base holds:\n{}", self.report());
        assert_eq!(self.shell("cd r && git status --porcelain"), "", "the user's checkout is as base");
        self.check_commits(log);
    }

    pub(super) fn check_commits(&self, log: &str) {
        let reachable = self.shell("cd r && git rev-list --all");
        let reachable: BTreeSet<&str> = reachable.lines().collect();
        for commit in log.lines().filter_map(|line| line.strip_prefix("commit ")?.split(' ').nth(1)) {
            assert!(reachable.contains(commit), "commit {commit} is lost:\n{}", self.report());
        }
    }

    /// That no worktree has a branch where no run is left: whoever ticks after one that was killed lets go of what that held.
    pub(super) fn check_worktrees(&self) {
        self.tick();
        let heads = self.shell(
            "for tree in r/.pipeline/worktrees/*; do echo $tree $(git -C $tree rev-parse --abbrev-ref HEAD); done",
        );
        assert!(heads.lines().all(|line| line.ends_with(" HEAD")), "{heads}\n{}", self.report());
    }

    /// Ends what is in the way of removing the directory.
    pub(super) fn end_processes(&self) {
        drop(Processes(self.processes.0.clone()));
    }
}

/// Something will happen in one of the directories that matter.
pub(super) struct Watch(OwnedFd);

impl Watch {
    pub(super) fn of(dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).expect("inotify");
        use inotify::WatchFlags as On;
        let flags = On::CREATE | On::MOVED_TO | On::CLOSE_WRITE | On::ATTRIB;
        for dir in dirs {
            // One that vanished meanwhile has nothing to say.
            inotify::add_watch(&fd, &dir, flags).ok();
        }
        Self(fd)
    }

    /// Waits for it, or for what no directory tells, such as the end of a process.
    pub(super) fn wait(&self, at_most: Duration) {
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(at_most.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&limit)).unwrap_or_default();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        while events.next().is_ok() {}
    }
}
