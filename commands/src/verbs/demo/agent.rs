//! The scripted agent: it reads its task file as a model's program would, really edits, tests and commits in its
//! worktree, and says how it went. No model is asked. It knows the tasks of the demonstration; any other it blocks, with
//! the reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use pipeline_lib::agents::preset::DEMO_DOES_NO_WORK;
use pipeline_lib::claim::marker::IN_PROGRESS;

use super::DemoAgent;
use super::plays::{BASE, BEGINNING, COMMANDS_FILE, Play, TESTS_FILE, Twist, play, resolve, with_commands};
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::supervisor::replace_file;
use crate::verbs::done;

/// How long each step of an agent takes, in milliseconds, so that a person can follow it.
pub(super) const PACE_VARIABLE: &str = "DEMO_AGENT_PACE_MS";
/// What an agent that dies leaves with.
pub(super) const DEATH: u8 = 3;

/// Plays one run.
///
/// # Errors
/// When it was not started by a supervisor, or git or the file system fails.
pub(super) fn run(call: &Call, args: &DemoAgent) -> Result<u8> {
    let agent = Agent::new(call, args)?;
    let done = match (agent.play, agent.stage.as_str()) {
        (Some(play), "arch") => agent.design(play)?,
        (Some(play), "test") => agent.write_tests(play)?,
        (Some(_), "impl") if agent.conflicts() => agent.resolve()?,
        (Some(play), "impl") => agent.implement(play)?,
        (Some(_), "super") => agent.review()?,
        _ => agent.decline()?,
    };
    match done {
        Done::Marker(words) => agent.finish(&words)?,
        Done::Command(summary) => agent.report(call, summary)?,
        Done::Dead => return Ok(DEATH),
    }
    Ok(exit::OK)
}

/// How a run ends.
enum Done {
    /// With this status in the task file.
    Marker(String),
    /// With `pipeline done`.
    Command(String),
    /// With nothing said.
    Dead,
}

struct Agent<'a> {
    output: &'a Output,
    task: String,
    stage: String,
    role: String,
    base: String,
    worktree: PathBuf,
    task_file: PathBuf,
    text: String,
    play: Option<&'static Play>,
    pace: Duration,
}

impl<'a> Agent<'a> {
    fn new(call: &'a Call, args: &DemoAgent) -> Result<Self> {
        let environment = &call.globals.environment;
        let task = variable(environment, "PIPELINE_TASK_ID")?;
        let worktree = PathBuf::from(variable(environment, "PIPELINE_WORKTREE")?);
        let named = args.files.first().map(|file| worktree.join(file));
        let task_file = match named {
            Some(file) => file,
            None => PathBuf::from(variable(environment, "PIPELINE_TASK_FILE")?),
        };
        let text = fs::read_to_string(&task_file)
            .map_err(|error| CommandError::failed(format!("cannot read {}: {error}", task_file.display())))?;
        let pace = environment.get(PACE_VARIABLE).and_then(|text| text.parse().ok()).unwrap_or(0);
        let agent = Self {
            output: &call.output,
            stage: variable(environment, "PIPELINE_STAGE")?,
            role: variable(environment, "PIPELINE_ROLE")?,
            base: environment.get("PIPELINE_BASE").cloned().unwrap_or_else(|| BASE.to_owned()),
            play: play(&task).filter(|play| is_of_demonstration(play, &text, &worktree)),
            pace: Duration::from_millis(pace),
            task,
            worktree,
            task_file,
            text,
        };
        agent.say(&format!("reading {} (a scripted agent: no model is asked)", agent.file_name()))?;
        Ok(agent)
    }

    fn design(&self, play: &Play) -> Result<Done> {
        let path = format!("docs/design/{}.md", play.name);
        self.write(&path, &format!("# {}\n\n{}\n", play.title, play.design))?;
        self.say(&format!("wrote {path}"))?;
        self.commit("design")?;
        match play.twist {
            Twist::Asks(question) if !self.sent_back() => {
                self.say("asking a person before anybody builds on it")?;
                Ok(Done::Marker(format!("NEEDS_REVIEW: {question}")))
            }
            _ => Ok(Done::Marker(completed())),
        }
    }

    fn write_tests(&self, play: &Play) -> Result<Done> {
        let path = format!("tests/{}.test.sh", play.name);
        if play.twist == Twist::DiesFirst && !self.sent_back() {
            let half: Vec<&str> = play.tests.lines().take(1).collect();
            self.write(&path, &format!("{}\n", half.join("\n")))?;
            self.say(&format!("wrote the first test of {path}"))?;
            self.say("dying now, as the script says, without a word about the outcome")?;
            return Ok(Done::Dead);
        }
        self.write(&path, play.tests)?;
        self.say(&format!("wrote {path}"))?;
        let tests = self.run_tests()?;
        self.say(&format!("{}: red, as they should be before there is code", tests.last))?;
        self.commit("tests")?;
        Ok(Done::Marker(completed()))
    }

    fn implement(&self, play: &Play) -> Result<Done> {
        if let Some(line) = self.text.lines().find(|line| line.starts_with("FAIL ")) {
            self.say(&format!("the gate found: {line}"))?;
        }
        let wrong = match play.twist {
            Twist::WrongFirst(code) if !self.sent_back() => Some(code),
            _ => None,
        };
        let path = format!("lib/{}.sh", play.name);
        self.write(&path, wrong.unwrap_or(play.code))?;
        self.say(&format!("wrote {path}"))?;
        if !play.commands.is_empty() {
            let content = fs::read_to_string(self.worktree.join(COMMANDS_FILE))?;
            self.write(COMMANDS_FILE, &with_commands(&content, play.commands))?;
            self.say(&format!("added {} to the commands", play.commands.join(" and ")))?;
        }
        if wrong.is_some() {
            self.commit("implementation")?;
            self.say("claiming that it works without having run the tests")?;
            return Ok(Done::Marker(completed()));
        }
        self.finish_tested("implementation")
    }

    /// Merges base as the task file asks, and mends what conflicts.
    fn resolve(&self) -> Result<Done> {
        self.say(&format!("git merge {}", self.base))?;
        let merged = self.git(&["merge", "--no-edit", &self.base])?;
        if !merged.ok {
            let list = self.git(&["diff", "--name-only", "--diff-filter=U"])?;
            for path in list.stdout.lines() {
                let content = fs::read_to_string(self.worktree.join(path))?;
                self.write(path, &resolve(&content))?;
                self.say(&format!("resolved {path}: both sides are wanted"))?;
            }
        }
        self.finish_tested(&format!("merge {}", self.base))
    }

    fn finish_tested(&self, what: &str) -> Result<Done> {
        let tests = self.run_tests()?;
        self.say(&tests.last)?;
        self.commit(what)?;
        if tests.ok {
            return Ok(Done::Marker(completed()));
        }
        let why = tests.stdout.lines().find(|line| line.starts_with("FAIL ")).unwrap_or("the tests do not pass");
        Ok(Done::Marker(format!("FAILED: {why}")))
    }

    fn review(&self) -> Result<Done> {
        let change = self.git(&["diff", "--shortstat", &format!("{}...HEAD", self.base)])?;
        self.say(&format!("reviewing {}", change.stdout.trim()))?;
        let tests = self.run_tests()?;
        self.say(&tests.last)?;
        if !tests.ok {
            return Ok(Done::Marker("FAILED: the tests do not pass on this branch".to_owned()));
        }
        Ok(Done::Command(format!("reviewed{}; {}", change.stdout.trim_end(), tests.last)))
    }

    /// Of a task it has no script for, it does nothing and says so: a task that nobody worked at must not be completed.
    fn decline(&self) -> Result<Done> {
        self.say(&format!("there is no script for {} at stage {}", self.task, self.stage))?;
        Ok(Done::Marker(format!("BLOCKED: {DEMO_DOES_NO_WORK}")))
    }

    fn finish(&self, status: &str) -> Result<()> {
        let fresh = fs::read_to_string(&self.task_file)?;
        let marked = fresh.trim_end().strip_suffix(IN_PROGRESS).map(|head| format!("{head}## Status: {status}\n"));
        let Some(marked) = marked else {
            return Err(CommandError::failed(format!("{} does not end as it should", self.task_file.display())));
        };
        replace_file(&self.task_file, marked.as_bytes())?;
        self.say(&format!("status: {status}"))
    }

    /// The other way to end a run: not through the task file, but through the supervisor's own command.
    fn report(&self, call: &Call, summary: String) -> Result<()> {
        self.say("pipeline done --status ok --decision success")?;
        let mut call = call.clone();
        call.globals.dir.clone_from(&self.worktree);
        let args = done::Done {
            task: None,
            run: None,
            status: "ok".to_owned(),
            decision: Some("success".to_owned()),
            summary: Some(summary),
        };
        done::run(&call, &args).map(|_| ())
    }

    /// Whether an attempt before this one failed, or a person sent it back.
    fn sent_back(&self) -> bool {
        self.text.contains("\n## The previous attempt failed\n")
    }

    fn conflicts(&self) -> bool {
        self.text.contains(&format!("no longer merges into {}", self.base))
    }

    fn file_name(&self) -> String {
        self.task_file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn say(&self, words: &str) -> Result<()> {
        self.output.line(&format!("{}: {words}", self.role))?;
        take_time(self.pace);
        Ok(())
    }

    fn write(&self, path: &str, content: &str) -> Result<()> {
        write(&self.worktree, path, content)
    }

    fn commit(&self, what: &str) -> Result<()> {
        self.git(&["add", "--all"])?.or_fail("git add")?;
        // A repeated attempt may find its work done already.
        if self.git(&["diff", "--cached", "--quiet"])?.ok && !self.merging()? {
            return Ok(());
        }
        self.git(&["commit", "--quiet", "-m", &format!("{}: {what}", self.task)])?.or_fail("git commit")?;
        self.say(&format!("committed: {what}"))
    }

    fn merging(&self) -> Result<bool> {
        Ok(self.git(&["rev-parse", "--quiet", "--verify", "MERGE_HEAD"])?.ok)
    }

    fn git(&self, arguments: &[&str]) -> Result<Ended> {
        git(&self.worktree, &format!("demo {}", self.role), arguments)
    }

    fn run_tests(&self) -> Result<Ended> {
        run_tests(&self.worktree)
    }
}

/// A task elsewhere that happens to have the same name is not the demonstration's.
fn is_of_demonstration(play: &Play, text: &str, worktree: &Path) -> bool {
    let title = format!("# {}: {}", play.id, play.title);
    let tests = fs::read_to_string(worktree.join(TESTS_FILE)).unwrap_or_default();
    text.lines().next() == Some(&title) && BEGINNING.contains(&(TESTS_FILE, &tests))
}

fn variable(environment: &BTreeMap<String, String>, name: &str) -> Result<String> {
    environment.get(name).filter(|value| !value.is_empty()).cloned().ok_or_else(|| {
        CommandError::usage(format!("{name} is not set: this is the scripted agent of the demonstration"))
            .hint("It is started by the supervisor. Run `pipeline demo` to see it.")
    })
}

fn completed() -> String {
    "COMPLETED ✅".to_owned()
}

/// Writes a file below a directory, with the folders it needs.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(root: &Path, path: &str, content: &str) -> Result<()> {
    let file = root.join(path);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&file, content).map_err(|error| {
        CommandError::new(exit::CANNOT_WRITE, "cannot_write", format!("cannot write {}: {error}", file.display()))
    })
}

/// What a program left.
pub(super) struct Ended {
    /// Whether it exited with 0.
    pub(super) ok: bool,
    pub(super) stdout: String,
    stderr: String,
    /// The last line it printed.
    pub(super) last: String,
}

impl Ended {
    /// The same, or an error with its words.
    ///
    /// # Errors
    /// When it failed.
    pub(super) fn or_fail(self, what: &str) -> Result<Self> {
        if self.ok { Ok(self) } else { Err(CommandError::failed(format!("{what}: {}{}", self.stdout, self.stderr))) }
    }
}

/// Runs git in a directory, as somebody who is obviously nobody.
///
/// # Errors
/// When git cannot be started.
pub(super) fn git(dir: &Path, who: &str, arguments: &[&str]) -> Result<Ended> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), who);
        command.env(format!("GIT_{role}_EMAIL"), format!("{}@pipeline.invalid", who.replace(' ', "-")));
    }
    // Nobody is there to answer, and no editor may open.
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_EDITOR", "true").env("LC_ALL", "C");
    ended(command.current_dir(dir).args(["-c", "commit.gpgSign=false"]).args(arguments))
        .map_err(|error| CommandError::failed(format!("cannot run git: {error}")).hint("Install git 2.31 or newer."))
}

/// Runs the tests of the toolkit.
///
/// # Errors
/// When there is no shell.
pub(super) fn run_tests(dir: &Path) -> Result<Ended> {
    ended(Command::new("/bin/sh").arg(TESTS_FILE).current_dir(dir))
        .map_err(|error| CommandError::failed(format!("cannot run /bin/sh: {error}")))
}

fn ended(command: &mut Command) -> std::io::Result<Ended> {
    let output = command.stdin(std::process::Stdio::null()).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = stdout.lines().last().unwrap_or_default().to_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Ended { ok: output.status.success(), stdout, stderr, last })
}

/// Waits, so that a person can follow what happens. Nothing is waited for.
fn take_time(pace: Duration) {
    if pace.is_zero() {
        return;
    }
    let (_silent, never) = mpsc::channel::<()>();
    let _timed_out = never.recv_timeout(pace);
}
