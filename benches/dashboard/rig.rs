//! A repository with agents that are this program, a person's terminal with a program in it, and what `/proc` says of
//! processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::Config;
use alacritty_terminal::vte::ansi::Processor;
use pty_process::Size;
use pty_process::blocking::{Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::agent::AGENT;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_pipeline");
/// The size of the person's terminal.
pub(crate) const SIZE: (u16, u16) = (200, 60);
/// Nothing that is waited for takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// A repository under supervision, and everything around it.
pub(crate) struct Repo {
    dir: tempfile::TempDir,
    agents: usize,
}

impl Repo {
    /// A repository with so many agents, each of which is this program with these words, and a task for each of them.
    pub(crate) fn with_agents(agents: usize, words: &[&str]) -> Self {
        let repo = Self::new("production", agents, words);
        for n in 0..agents {
            repo.pipeline(&["task", "add", &format!("Work for agent {n}")]);
        }
        repo
    }

    /// A repository with so many tasks that nobody works on.
    pub(crate) fn with_tasks(tasks: usize) -> Self {
        let repo = Self::new("shadow", 1, &["quiet", "0"]);
        let task = |n: usize| {
            let behind: Vec<String> =
                (n.is_multiple_of(7) && n > 0).then(|| format!("T-{:06}", n - 1)).into_iter().collect();
            serde_json::json!({ "id": format!("T-{n:06}"), "title": format!("Task number {n}"), "priority": n % 4 + 1,
                                "depends_on": behind })
        };
        let file = repo.path("tasks.json");
        let tasks: Vec<Value> = (0..tasks).map(task).collect();
        fs::write(&file, serde_json::to_vec(&tasks).expect("plain data")).expect("it can be written");
        repo.pipeline(&["task", "import", &file.to_string_lossy()]);
        repo
    }

    fn new(rollout: &str, agents: usize, words: &[&str]) -> Self {
        let repo = Self { dir: tempfile::tempdir().expect("a temporary directory can be made"), agents };
        for folder in ["home", "tmp", "repo/.pipeline"] {
            fs::create_dir_all(repo.path(folder)).expect("a directory can be made");
        }
        let own = std::env::current_exe().expect("this program is a file").to_string_lossy().into_owned();
        let command: Vec<&str> = [own.as_str(), AGENT].into_iter().chain(words.iter().copied()).collect();
        let mut config = "[scheduler]\nmax_parallel = 0\n".to_owned();
        for n in 1..=agents {
            let worker = format!("preset = \"custom\"\nmode = \"interactive\"\ncommand = {command:?}");
            config += &format!("[[agents]]\nname = \"w{n}\"\nrole = \"architect\"\n{worker}\n");
        }
        for role in ["test", "implementation", "supervisor"] {
            config += &format!("[[agents]]\nname = \"{role}\"\nrole = \"{role}\"\npreset = \"custom\"\n");
            config += "command = [\"true\"]\n";
        }
        fs::write(repo.path("repo/.pipeline/config.toml"), config).expect("it can be written");
        repo.run("git", &["init", "-q", "-b", "main"]);
        repo.run("git", &["commit", "-q", "--allow-empty", "-m", "start"]);
        repo.pipeline(&["init", "--yes", "--rollout", rollout]);
        repo
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn environment(&self) -> BTreeMap<&'static str, String> {
        let text = |path: &str| self.path(path).to_string_lossy().into_owned();
        BTreeMap::from([
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", text("home")),
            ("TMPDIR", text("tmp")),
            ("TMUX_TMPDIR", text("tmp")),
            ("XDG_CONFIG_HOME", text("home/config")),
            ("XDG_STATE_HOME", text("home/state")),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_AUTHOR_NAME", "bench".to_owned()),
            ("GIT_AUTHOR_EMAIL", "bench@localhost".to_owned()),
            ("GIT_COMMITTER_NAME", "bench".to_owned()),
            ("GIT_COMMITTER_EMAIL", "bench@localhost".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("COLORTERM", "truecolor".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ])
    }

    /// Runs a command in the repository to its end.
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.path("repo")).env_clear().envs(self.environment());
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn pipeline(&self, words: &[&str]) -> Vec<u8> {
        self.run(PROGRAM, words)
    }

    /// Opens a terminal with a program in it.
    pub(crate) fn open(&self, program: &str, words: &[&str]) -> Screen {
        let (columns, rows) = SIZE;
        let (pty, pts) = open().expect("a terminal can be had");
        pty.resize(Size::new(rows, columns)).expect("it has a size");
        let command = pty_process::blocking::Command::new(program).args(words).current_dir(self.path("repo"));
        let began = Instant::now();
        let child = command.env_clear().envs(self.environment()).spawn(pts).expect("the program starts");
        let term = Term::new(Config::default(), &Cells, VoidListener);
        Screen { pty, child, began, term, parser: Processor::new(), bytes: 0, seen: Vec::new() }
    }

    /// The processes of the hosts of agents.
    pub(crate) fn hosts(&self) -> Vec<u32> {
        let runs = fs::read_dir(self.path("repo/.pipeline/runs")).into_iter().flatten().flatten();
        let pid = |run: fs::DirEntry| {
            let record: Value = serde_json::from_slice(&fs::read(run.path().join("start.json")).ok()?).ok()?;
            u32::try_from(record["pid"].as_u64()?).ok()
        };
        let hosts: Vec<u32> = runs.filter_map(pid).collect();
        assert_eq!(hosts.len(), self.agents, "each agent has one host");
        hosts
    }
}

impl Drop for Repo {
    fn drop(&mut self) {
        // Runs that a measurement has started end with it. Where none did, there is nothing to stop.
        let mut stop = Command::new(PROGRAM);
        stop.args(["agent", "stop", "--all"]).current_dir(self.path("repo"));
        drop(stop.env_clear().envs(self.environment()).stdin(Stdio::null()).output());
    }
}

/// The size, for the emulator.
struct Cells;

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        usize::from(SIZE.1)
    }
    fn screen_lines(&self) -> usize {
        usize::from(SIZE.1)
    }
    fn columns(&self) -> usize {
        usize::from(SIZE.0)
    }
}

/// A person's terminal with a program in it, which is killed when this is dropped.
pub(crate) struct Screen {
    pty: Pty,
    child: Child,
    /// When the program was started.
    pub(crate) began: Instant,
    term: Term<VoidListener>,
    parser: Processor,
    /// How much it wrote.
    pub(crate) bytes: u64,
    /// What it wrote last, for those who look for a sequence.
    seen: Vec<u8>,
}

impl Screen {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// What is to be seen.
    pub(crate) fn text(&self) -> String {
        let grid = self.term.grid();
        let row = |line| (0..grid.columns()).map(|column| grid[Line(line)][Column(column)].c).collect::<String>();
        (0..i32::from(SIZE.1)).map(row).collect::<Vec<_>>().join("\n")
    }

    /// Takes in what is written for so long.
    pub(crate) fn rest(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.take(left);
        }
    }

    /// Takes in what is written until something holds; when that was.
    pub(crate) fn wait(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Instant {
        let until = Instant::now() + LIMIT;
        while !holds(self) {
            assert!(Instant::now() < until, "never: {what}\n{}", self.text());
            self.take(Duration::from_millis(200));
        }
        Instant::now()
    }

    /// Waits until a text is to be seen.
    pub(crate) fn wait_text(&mut self, text: &str) -> Instant {
        self.wait(text, |screen| screen.text().contains(text))
    }

    /// Takes in what is written until a sequence of bytes was; when that was. What is to be seen is not kept up to date.
    pub(crate) fn wait_bytes(&mut self, bytes: &[u8]) -> Instant {
        self.wait("a sequence of bytes", |screen| screen.seen.windows(bytes.len()).any(|seen| seen == bytes))
    }

    /// Takes in what is written until a file is there, without looking at it.
    pub(crate) fn drain_until(&mut self, file: &Path) {
        let until = Instant::now() + LIMIT;
        let mut buffer = vec![0; 256 * 1024];
        while !file.exists() {
            assert!(Instant::now() < until, "never: {}", file.display());
            if self.has_more(Duration::from_millis(20)) {
                self.bytes += self.pty.read(&mut buffer).map_or(0, |read| read as u64);
            }
        }
    }

    fn has_more(&self, patience: Duration) -> bool {
        let limit = Timespec::try_from(patience).expect("a short time");
        poll(&mut [PollFd::new(&self.pty, PollFlags::IN)], Some(&limit)).unwrap_or(0) > 0
    }

    fn take(&mut self, patience: Duration) {
        if !self.has_more(patience) {
            return;
        }
        let mut buffer = [0; 64 * 1024];
        let read = self.pty.read(&mut buffer).expect("the program lives");
        self.bytes += read as u64;
        self.parser.advance(&mut self.term, &buffer[..read]);
        self.seen.extend_from_slice(&buffer[..read]);
        self.seen.drain(..self.seen.len().saturating_sub(buffer.len()));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a process has had of processors, in all of its threads.
pub(crate) fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The memory of a process that is in use now, in kB.
pub(crate) fn memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}
