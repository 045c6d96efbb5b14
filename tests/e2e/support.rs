//! A hermetic sandbox for tests through the binary: a repository, a home, an environment with nothing else in it, and an
//! agent whose every move is scripted. Nothing sleeps: waiting is for files to appear, with a deadline that fails loudly.
//!
//! The agent is `agent.sh` beside this file. What it does in a run is a piece of shell that the test gives with `plan`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde_json::Value;

/// No command and no wait may take longer; what does has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
/// Between ticks a notice is waited for this long; then the next tick looks for what comes by time alone.
const NOTICE: Duration = Duration::from_millis(300);
/// Programs that agents and gates find. Agent programs of the person who runs the tests are not among them.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The four agents of the default workflow, each with the scripted program.
pub(crate) const ROLES: [&str; 4] = ["architect", "test", "implementation", "supervisor"];

/// The gate of most sandboxes: work is broken while this file is there.
pub(crate) const VERIFY: &str = "test ! -e broken.txt";

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_pipeline").map(PathBuf::from);
    std::env::var_os("PIPELINE_BIN").map(PathBuf::from).or(built).expect("PIPELINE_BIN names the program")
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl Output {
    /// Its one document; anything beside it on stdout is a failure.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not one document: {error}\n{self:?}"))
    }

    /// The lines of a stream of documents.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self:?}"));
        self.stdout.lines().map(parse).collect()
    }

    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\nstdout: {}\nstderr: {}", self.command, self.stdout, self.stderr);
        self
    }

    /// Its message holds each of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word) || self.stdout.contains(word), "no `{word}` in {self:#?}");
        }
        self
    }

    /// The error document of a command with `--json`: its code word, message and hint.
    #[track_caller]
    pub(crate) fn error(&self) -> (String, String, String) {
        let document = self.json();
        assert_eq!(document["schema_version"], 1, "{document}");
        let text = |key: &str| document["error"][key].as_str().expect("a text").to_owned();
        (text("code"), text("message"), text("hint"))
    }
}

/// A repository with everything around it; gone with everything it started when dropped.
#[derive(Debug)]
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    /// Pipes that hanging agents read from, kept open so that nothing written is lost.
    pipes: Mutex<Vec<File>>,
    children: Mutex<Vec<Child>>,
}

impl Sandbox {
    /// A repository with one commit on `main` and no pipeline.
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// The same in a folder that is not the usual one for such things.
    pub(crate) fn below(folder: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("pipeline-e2e-").tempdir_in(folder).expect("a temporary directory");
        let root = dir.path().canonicalize().expect("its real path");
        let text = |path: &str| root.join(path).to_string_lossy().into_owned();
        let environment = BTreeMap::from([
            ("PATH".to_owned(), PATH.to_owned()),
            ("HOME".to_owned(), text("home")),
            ("XDG_CONFIG_HOME".to_owned(), text("home/config")),
            ("XDG_DATA_HOME".to_owned(), text("home/data")),
            ("XDG_STATE_HOME".to_owned(), text("home/state")),
            ("XDG_CACHE_HOME".to_owned(), text("home/cache")),
            ("TMPDIR".to_owned(), text("tmp")),
            ("GIT_CONFIG_GLOBAL".to_owned(), text("home/gitconfig")),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ]);
        let sandbox = Self { dir, environment, pipes: Mutex::default(), children: Mutex::default() };
        for folder in ["home/config", "tmp", "repo", "plan", "calls", "seen", "fifo", "at"] {
            fs::create_dir_all(sandbox.path(folder)).expect("a folder of the sandbox");
        }
        sandbox.write(
            "../home/gitconfig",
            "[user]\n\tname = Tester\n\temail = tester@example.org\n[init]\n\tdefaultBranch = main\n",
        );
        // What is tested is the program, not the room on the disk of whoever tests it.
        sandbox.write("../home/config/pipeline/config.toml", "[scheduler]\nmin_free_disk = \"0\"\n");
        sandbox.install_agent();
        sandbox.plan("default", "work; marker COMPLETED");
        sandbox.git(&["init", "-q"]);
        sandbox.write("README.md", "one\n");
        sandbox.git(&["add", "-A"]);
        sandbox.git(&["commit", "-qm", "start"]);
        sandbox
    }

    /// A pipeline in production, parallel, with the four scripted agents, no waits between attempts, and `VERIFY`.
    pub(crate) fn ready() -> Self {
        let sandbox = Self::new();
        sandbox.init("production", &sandbox.config("", ""));
        sandbox
    }

    /// The same with further lines in `[project]` and `[scheduler]`.
    pub(crate) fn ready_with(project: &str, scheduler: &str) -> Self {
        let sandbox = Self::new();
        sandbox.init("production", &sandbox.config(project, scheduler));
        sandbox
    }

    /// `pipeline init` with a configuration that is there already.
    pub(crate) fn init(&self, rollout: &str, config: &str) {
        self.write(".pipeline/config.toml", config);
        self.run(["init", "--rollout", rollout]).ok();
    }

    /// A configuration with the four scripted agents.
    pub(crate) fn config(&self, project: &str, scheduler: &str) -> String {
        let agents: String = ROLES.iter().map(|role| self.agent_block(role, role)).collect();
        let verify = if project.contains("verify") { String::new() } else { format!("verify = \"{VERIFY}\"\n") };
        let backoff = if scheduler.contains("backoff") { "" } else { "backoff = \"0s\"\n" };
        format!("[project]\nbase = \"main\"\n{verify}{project}\n[scheduler]\n{backoff}{scheduler}\n{agents}")
    }

    /// One scripted agent in a configuration.
    pub(crate) fn agent_block(&self, name: &str, role: &str) -> String {
        let agent = self.path("agent.sh");
        format!(
            "[[agents]]\nname = \"{name}\"\nrole = \"{role}\"\npreset = \"custom\"\ncommand = [\"{}\"]\n",
            agent.display()
        )
    }

    fn install_agent(&self) {
        let text = include_str!("agent.sh")
            .replace("@BOX@", &self.path("").to_string_lossy())
            .replace("@PIPELINE@", &program().to_string_lossy());
        let path = self.path("agent.sh");
        fs::write(&path, text).expect("the agent");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the agent can be run");
    }

    /// A path in the sandbox, outside the repository.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("the sandbox").join(name)
    }

    /// The repository.
    pub(crate) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// An agent's worktree.
    pub(crate) fn worktree(&self, agent: &str) -> PathBuf {
        self.repo().join(".pipeline/worktrees").join(agent)
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.repo().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of a file");
        fs::write(&path, text).expect("a file of the repository");
    }

    /// Reads a file of the repository; empty if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.repo().join(name)).unwrap_or_default()
    }

    /// Writes a file and commits it.
    pub(crate) fn commit(&self, name: &str, text: &str) {
        self.write(name, text);
        self.git(&["add", "--", name]);
        self.git(&["commit", "-qm", name]);
    }

    /// A variable of the environment in which everything runs.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// The environment in which everything runs.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// What the agent does: `key` is TASK.STAGE.N, TASK.STAGE, STAGE.N, STAGE or default.
    pub(crate) fn plan(&self, key: &str, script: &str) {
        fs::write(self.path("plan").join(key), script).expect("a plan");
    }

    /// What an agent saw in its nth run of a task at a stage: `env`, `cwd`, `head` or `md`, its task file.
    #[track_caller]
    pub(crate) fn seen(&self, key: &str, what: &str) -> String {
        let path = self.path("seen").join(format!("{key}.{what}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// How often an agent ran a task at a stage.
    pub(crate) fn calls(&self, key: &str) -> usize {
        fs::read_to_string(self.path("calls").join(key)).unwrap_or_default().lines().count()
    }

    /// Waits until an agent hangs in its nth run of a task at a stage, such as `T-1.arch.1`.
    #[track_caller]
    pub(crate) fn wait_at(&self, key: &str) {
        let path = self.path("at").join(key);
        self.wait_for(&path);
    }

    /// Lets a hanging agent go on.
    pub(crate) fn release(&self, key: &str) {
        // Opened for both, so that opening does not wait for the reader, and kept, so that the line is not lost.
        let mut pipe =
            File::options().read(true).write(true).open(self.path("fifo").join(key)).expect("the agent's pipe");
        pipe.write_all(b"go\n").expect("a line for the agent");
        self.pipes.lock().expect("not poisoned").push(pipe);
    }

    /// Waits until a file appears.
    #[track_caller]
    pub(crate) fn wait_for(&self, path: &Path) {
        let began = Instant::now();
        let notices = Notices::of(&[path.parent().expect("a folder").to_owned()]);
        while !path.exists() {
            assert!(began.elapsed() < DEADLINE, "{} did not appear\n{}", path.display(), self.tell());
            notices.wait(NOTICE);
        }
    }

    /// Waits until what a process prints, or a log says, is as wished; the answer is the text then.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, path: &Path, what: &str, wished: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        let notices = Notices::of_writes(path.parent().expect("a folder"));
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if wished(&text) {
                return text;
            }
            assert!(began.elapsed() < DEADLINE, "{} never: {what}\n{text}\n{}", path.display(), self.tell());
            notices.wait(NOTICE);
        }
    }

    /// A command on the repository, not started yet.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        self.spawnable(&program(), args)
    }

    fn spawnable<I: AsRef<OsStr>>(&self, program: &Path, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.repo()).env_clear().envs(&self.environment).stdin(Stdio::null());
        command
    }

    /// Runs `pipeline` in the repository.
    #[track_caller]
    pub(crate) fn run<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Output {
        self.finish(self.command(args))
    }

    /// Runs `pipeline` with this on its stdin.
    #[track_caller]
    pub(crate) fn run_with_input<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>, input: &str) -> Output {
        let mut file = tempfile::tempfile_in(self.path("tmp")).expect("a temporary file");
        file.write_all(input.as_bytes()).expect("the input");
        std::io::Seek::rewind(&mut file).expect("the input's start");
        let mut command = self.command(args);
        command.stdin(file);
        self.finish(command)
    }

    /// Runs a shell script in the repository; `$P` is the program.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> Output {
        let mut command = self.spawnable(Path::new("/bin/sh"), ["-c", script]);
        command.env("P", program());
        self.finish(command)
    }

    /// Runs a command to its end. Whatever it is about, it neither panics nor hangs.
    #[track_caller]
    pub(crate) fn finish(&self, mut command: Command) -> Output {
        let named = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let stdout = tempfile::NamedTempFile::new_in(self.path("tmp")).expect("a file for stdout");
        let stderr = tempfile::NamedTempFile::new_in(self.path("tmp")).expect("a file for stderr");
        command.stdout(stdout.reopen().expect("stdout")).stderr(stderr.reopen().expect("stderr"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{named}: {error}"));
        if !ended_within(&child, DEADLINE) {
            child.kill().expect("the command can be ended");
            let said = fs::read_to_string(stderr.path()).unwrap_or_default();
            panic!("{named} did not end\n{said}");
        }
        let status = child.wait().expect("its exit");
        let read = |path: &Path| String::from_utf8(fs::read(path).expect("its output")).expect("UTF-8");
        let output = Output {
            code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(99)),
            stdout: read(stdout.path()),
            stderr: read(stderr.path()),
            command: named,
        };
        let panicked = output.code == 101 || output.stderr.contains("panicked at");
        assert!(!panicked, "{output:#?}");
        output
    }

    /// Starts `pipeline` and leaves it running; it is killed with the sandbox. Its output goes to `NAME.out` in the sandbox.
    pub(crate) fn start<I: AsRef<OsStr>>(&self, name: &str, args: impl IntoIterator<Item = I>) -> u32 {
        let out = |ending: &str| File::create(self.path(&format!("{name}.{ending}"))).expect("a file for its output");
        let child = self.command(args).stdout(out("out")).stderr(out("err")).spawn().expect("a process");
        let pid = child.id();
        self.children.lock().expect("not poisoned").push(child);
        pid
    }

    /// Signals a process that `start` started.
    pub(crate) fn signal(&self, pid: u32, signal: Signal) {
        let children = self.children.lock().expect("not poisoned");
        assert!(children.iter().any(|child| child.id() == pid), "not one of ours");
        rustix::process::kill_process(process(pid), signal).expect("the process is there");
    }

    /// The exit code of a process that `start` started, once it has ended.
    #[track_caller]
    pub(crate) fn exit_of(&self, pid: u32) -> i32 {
        let mut children = self.children.lock().expect("not poisoned");
        let child = children.iter_mut().find(|child| child.id() == pid).expect("one of ours");
        assert!(ended_within(child, DEADLINE), "process {pid} did not end");
        let status = child.wait().expect("its exit");
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(99))
    }

    /// Runs git in the repository; the answer is its output without the last line end.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.finish(self.spawnable(Path::new("git"), args)).ok();
        output.stdout.trim_end().to_owned()
    }

    /// Runs git in an agent's worktree.
    #[track_caller]
    pub(crate) fn git_in(&self, agent: &str, args: &[&str]) -> String {
        let mut command = self.spawnable(Path::new("git"), args);
        command.current_dir(self.worktree(agent));
        self.finish(command).ok().stdout.trim_end().to_owned()
    }

    /// Adds a task with this id.
    #[track_caller]
    pub(crate) fn add(&self, id: &str, more: &[&str]) {
        let title = format!("the task {id}");
        let args = ["task", "add", &title, "--id", id].into_iter().chain(more.iter().copied());
        let output = self.run(args).ok();
        assert_eq!(output.stdout.trim_end(), id);
    }

    /// One tick.
    #[track_caller]
    pub(crate) fn tick(&self) -> Output {
        self.run(["monitor", "--once"]).ok()
    }

    /// The document of `status --json`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.run(["status", "--json"]).ok().json()
    }

    /// `state.json`.
    #[track_caller]
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.read(".pipeline/state/state.json")).expect("state.json is valid")
    }

    /// A task in `status --json`.
    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> Value {
        self.status()["tasks"][id].clone()
    }

    /// The status of a task.
    #[track_caller]
    pub(crate) fn status_of(&self, id: &str) -> String {
        word(&self.status(), id).to_owned()
    }

    /// Everything known about a task.
    #[track_caller]
    pub(crate) fn show(&self, id: &str) -> Value {
        self.run(["task", "show", id, "--json"]).ok().json()
    }

    /// Ticks until the status is as wished, and waits for what agents and gates do in between.
    #[track_caller]
    pub(crate) fn tick_until(&self, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let notices = Notices::of(&self.places());
            let before = self.traces();
            self.tick();
            let status = self.status();
            if wished(&status) {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "never: {what}\n{}", self.tell());
            // A run that came into being with this tick is not watched yet: look again instead.
            if self.traces() == before {
                notices.wait(NOTICE);
            } else {
                Notices::of(&self.places()).wait(NOTICE / 6);
            }
        }
    }

    /// Looks until the status is as wished, and ticks never: somebody else has to.
    #[track_caller]
    pub(crate) fn look_until(&self, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let notices = Notices::of(&self.places());
            let status = self.status();
            if wished(&status) {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "never: {what}\n{}", self.tell());
            notices.wait(NOTICE / 6);
        }
    }

    /// Ticks until a task has this status.
    #[track_caller]
    pub(crate) fn tick_to(&self, id: &str, wished: &str) -> Value {
        self.tick_until(&format!("{id} is {wished}"), |status| {
            let found = word(status, id);
            let stuck = found != wished && matches!(found, "blocked" | "failed" | "completed" | "cancelled");
            assert!(!stuck, "{id} is {found}, not {wished}\n{}", self.tell());
            found == wished
        })
    }

    /// Ticks until a task has left a stage behind; how far it is by then depends on how fast its agents are.
    #[track_caller]
    pub(crate) fn tick_past(&self, id: &str, stage: &str) -> Value {
        self.tick_until(&format!("{id} is past {stage}"), |status| {
            let found = word(status, id);
            assert!(!matches!(found, "blocked" | "failed" | "cancelled"), "{id} is {found}\n{}", self.tell());
            found != "unassigned" && !found.starts_with(&format!("{stage}_"))
        })
    }

    /// Folders in which something happens while agents and gates work.
    fn places(&self) -> Vec<PathBuf> {
        let folder = self.repo().join(".pipeline");
        let below = |name: &str| {
            let entries = fs::read_dir(folder.join(name)).into_iter().flatten().filter_map(Result::ok);
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let mut places = vec![folder.join("runs"), self.path("at")];
        places.extend(below("runs").into_iter().filter(|run| !run.join("exit.json").exists()));
        places.extend(below("runs/.commands").into_iter().filter(|place| place.is_dir()));
        places.extend(below("worktrees"));
        places
    }

    /// How many files say something about runs.
    fn traces(&self) -> usize {
        let runs = fs::read_dir(self.repo().join(".pipeline/runs")).into_iter().flatten().filter_map(Result::ok);
        let said = |run: &Path| {
            ["start.json", "exit.json", "out/outcome.json"].iter().filter(|name| run.join(name).exists()).count()
        };
        let shared = fs::read_to_string(self.repo().join(".pipeline/runs/.commands/.records")).unwrap_or_default();
        runs.map(|run| 1 + said(&run.path())).sum::<usize>() + shared.lines().count()
    }

    /// What a person would want to see when a test fails.
    fn tell(&self) -> String {
        let status = self.finish(self.command(["status"]));
        let log = fs::read_dir(self.repo().join(".pipeline/logs")).into_iter().flatten().filter_map(Result::ok);
        let log: String = log.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect();
        let skip = log.lines().count().saturating_sub(20);
        let log: Vec<&str> = log.lines().skip(skip).collect();
        format!("{}{}\n{}", status.stdout, status.stderr, log.join("\n"))
    }

    fn stop_everything(&self) {
        for mut child in self.children.lock().expect("not poisoned").drain(..) {
            drop(child.kill());
            drop(child.wait());
        }
        // Hosts and agents carry the sandbox in their environment or on their command line, and nobody else does. One may
        // start another while we look, so we look until there is none.
        let began = Instant::now();
        loop {
            let ours = self.processes();
            if ours.is_empty() || began.elapsed() > DEADLINE {
                return;
            }
            for pid in ours {
                let _ = rustix::process::kill_process(process(pid), Signal::KILL);
            }
            std::thread::yield_now();
        }
    }

    /// Live processes that this sandbox started, directly or not.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = self.dir.path().to_string_lossy().into_owned();
        let holds = |pid: u32, name: &str| {
            let text = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(&mark)
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let others = pids.filter(|pid| *pid != std::process::id());
        others.filter(|pid| is_alive(*pid) && (holds(*pid, "environ") || holds(*pid, "cmdline"))).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop_everything();
        if std::thread::panicking() && std::env::var_os("PIPELINE_KEEP").is_some() {
            self.dir.disable_cleanup(true);
        }
    }
}

/// The status of a task in a document.
pub(crate) fn word<'a>(status: &'a Value, id: &str) -> &'a str {
    status["tasks"][id]["status"].as_str().unwrap_or("unknown")
}

/// The kinds of what waits for a person, with their tasks.
pub(crate) fn attention(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = status["attention"].as_array().expect("attention is an array");
    list.iter().map(|item| (text(&item["kind"]), text(&item["task"]))).collect()
}

/// The texts of an array.
#[track_caller]
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap_or_else(|| panic!("not an array: {value}"));
    list.iter().map(|item| item.as_str().expect("a text")).collect()
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Waits until a process has ended, whoever started it.
#[track_caller]
pub(crate) fn wait_for_end(pid: u32) {
    let ended = match rustix::process::pidfd_open(process(pid), PidfdFlags::empty()) {
        Ok(handle) => readable_within(&handle, DEADLINE),
        Err(_) => true,
    };
    assert!(ended, "process {pid} goes on");
}

pub(crate) fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id is not zero")
}

fn ended_within(child: &Child, limit: Duration) -> bool {
    match rustix::process::pidfd_open(process(child.id()), PidfdFlags::empty()) {
        Ok(handle) => readable_within(&handle, limit),
        // It has been waited for already.
        Err(_) => true,
    }
}

fn readable_within(handle: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).expect("a short time");
    loop {
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// A watch on some folders, set before one looks, so that nothing is missed in between.
struct Notices(OwnedFd);

impl Notices {
    fn of(folders: &[PathBuf]) -> Self {
        let handle = inotify::init(CreateFlags::CLOEXEC).expect("inotify");
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB;
        for folder in folders {
            // A folder that is gone again has nothing to say.
            let _ = inotify::add_watch(handle.as_fd(), folder, flags);
        }
        Self(handle)
    }

    /// The same for files that grow while they stay open.
    fn of_writes(folder: &Path) -> Self {
        let notices = Self::of(&[]);
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY;
        let _ = inotify::add_watch(notices.0.as_fd(), folder, flags);
        notices
    }

    fn wait(&self, limit: Duration) {
        readable_within(&self.0, limit);
    }
}

/// A gate that blocks on a pipe for as long as the file `held` is in the sandbox, and says so with `at/gate`.
pub(crate) fn holding_gate(s: &Sandbox) -> String {
    s.shell("mkfifo ../fifo/gate").ok();
    let text = "[ ! -e BOX/held ] || { : > BOX/at/gate; read -r _ < BOX/fifo/gate; }; ".to_owned() + VERIFY;
    text.replace("BOX/", &s.path("").to_string_lossy())
}
