//! The one place that starts a `git` command.
//!
//! The environment and the configuration are cleared of everything by which a repository or a caller could make git
//! run a program of their choice or wait for a person. Nothing here knows what the commands mean.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::GitError;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Settings that keep git from running hooks and helpers and from doing housekeeping of its own, and have it sync what it
/// writes.
const SETTINGS: [&str; 19] = [
    "core.fsync=all",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "diff.external=",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.sshCommand=ssh",
    "core.alternateRefsCommand=true",
    "credential.helper=",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "transfer.fsckObjects=true",
];

/// A `git` command in the making.
pub(super) struct Git {
    command: Command,
    dir: PathBuf,
    args: Vec<OsString>,
    input: Vec<u8>,
    timeout: Duration,
    limit: usize,
}

/// What a command that ended by itself left behind.
pub(super) struct Output {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    stderr: Vec<u8>,
    args: String,
}

impl Git {
    /// A command that runs in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env_remove("LANGUAGE");
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.arg("--no-pager").arg("--literal-pathspecs").current_dir(dir);
        Self {
            command,
            dir: dir.to_path_buf(),
            args: Vec::new(),
            input: Vec::new(),
            timeout: TIMEOUT,
            limit: usize::MAX,
        }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Keeps only the first bytes of the output.
    pub(super) fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the command to its end, whatever its exit code.
    pub(super) fn output(mut self) -> Result<Output, GitError> {
        let args = self.args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        // A process group of its own lets a timeout reach the helpers that git may have started.
        self.command.args(&self.args).process_group(0);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| match source.kind() {
            // The directory to run in being gone is reported in the same way.
            std::io::ErrorKind::NotFound if self.dir.is_dir() => GitError::GitMissing,
            std::io::ErrorKind::NotFound => GitError::Io { attempt: "run git in", path: self.dir.clone(), source },
            _ => GitError::Io { attempt: "run", path: PathBuf::from("git"), source },
        })?;
        let (stdout, stderr) = match collect(&mut child, self.input, self.limit, self.timeout) {
            Ok(both) => both,
            Err(source) => {
                end(&mut child);
                return Err(match source.kind() {
                    std::io::ErrorKind::TimedOut => GitError::Timeout { args, seconds: self.timeout.as_secs() },
                    _ => GitError::Io { attempt: "read the output of", path: PathBuf::from("git"), source },
                });
            }
        };
        let status = child.wait().map_err(GitError::io("wait for", Path::new("git")))?;
        // A command ended by a signal has no code; it must not look like an ordinary answer such as 1.
        Ok(Output { code: status.code().unwrap_or(255), stdout, stderr, args })
    }

    /// Runs the command, which has to succeed, and gives its output.
    pub(super) fn run(self) -> Result<Vec<u8>, GitError> {
        let output = self.output()?;
        if output.code == 0 { Ok(output.stdout) } else { Err(output.error()) }
    }

    /// Runs the command and gives its output as one line of text.
    pub(super) fn line(self) -> Result<String, GitError> {
        Ok(line(&self.run()?))
    }

    /// Runs a command that answers "no" with exit code 1.
    pub(super) fn optional(self) -> Result<Option<String>, GitError> {
        let output = self.output()?;
        match output.code {
            0 => Ok(Some(line(&output.stdout))),
            1 => Ok(None),
            _ => Err(output.error()),
        }
    }
}

impl Output {
    pub(super) fn error(&self) -> GitError {
        let stderr = String::from_utf8_lossy(&self.stderr);
        let stderr = if stderr.trim().is_empty() { format!("exit code {}", self.code) } else { stderr.into_owned() };
        GitError::command(&self.args, &stderr)
    }

    pub(super) fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\r']).to_owned()
}

/// Feeds the command and reads both of its outputs at once, so that no full pipe can block it.
fn collect(child: &mut Child, input: Vec<u8>, limit: usize, timeout: Duration) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let deadline = Instant::now() + timeout;
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading all of its input is judged by its exit code.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for (which, pipe) in pipes.into_iter().enumerate() {
        let (sender, Some(pipe)) = (sender.clone(), pipe) else { continue };
        std::thread::spawn(move || drop(sender.send((which, read_up_to(pipe, limit)))));
    }
    let mut both = [Vec::new(), Vec::new()];
    for _ in 0..2 {
        let left = deadline.saturating_duration_since(Instant::now());
        let (which, bytes) = receiver.recv_timeout(left).map_err(|_| std::io::ErrorKind::TimedOut)?;
        both[which] = bytes?;
    }
    let [stdout, stderr] = both;
    Ok((stdout, stderr))
}

/// Reads to the end but keeps no more than `limit` bytes: a writer that met a closed pipe would fail instead of end.
fn read_up_to(mut pipe: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    pipe.by_ref().take(limit as u64).read_to_end(&mut kept)?;
    std::io::copy(&mut pipe, &mut std::io::sink())?;
    Ok(kept)
}

/// Ends a command that took too long, together with its helpers.
fn end(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed())
        && let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
    {
        tracing::debug!(%error, "a git command could not be killed");
    }
    if let Err(error) = child.wait() {
        tracing::debug!(%error, "a git command could not be waited for");
    }
}
