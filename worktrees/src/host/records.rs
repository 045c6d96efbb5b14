//! What the records of a run say, and the conclusions a reader draws from them together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use pipeline_lib::ids::RunId;
use pipeline_lib::terminal::Size;
use serde::{Deserialize, Serialize};

use super::confine::Confinement;
use super::tmux::Multiplexer;
use crate::process::Identity;

/// The form of the records written here. A reader refuses what a newer form may mean differently.
pub(super) const VERSION: u32 = 1;

pub(super) const STOP_GRACE_MS: u64 = 10_000;
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What kind of work a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// An agent at a stage of a task.
    Agent,
    /// A check of an agent's work.
    Gate,
    /// Preparation of a worktree.
    Setup,
}

/// What a host is to do: everything it needs, so that it reads no configuration and inherits nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The form of this record.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// What kind of work it is.
    pub kind: RunKind,
    /// The program and its arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The complete environment, but for the secrets.
    pub env: BTreeMap<String, String>,
    /// Variables that the command has as well, and whose values are not written down: the host has them in its own
    /// environment, under names that begin with [`super::ENTRUSTED`], and takes them out of the output it keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Variables that the command has as well and whose values are not written down either, but which its output may hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// How far the command is confined; not at all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Confinement>,
    /// Where the program starts.
    pub cwd: PathBuf,
    /// Whether what the command leaves in the background goes on when it ends by itself. Otherwise it is ended with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves_services: bool,
    /// When it is stopped of itself, if ever.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How long everything has between being asked to end and being killed.
    #[serde(default = "stop_grace_ms")]
    pub stop_grace_ms: u64,
    /// How long each file of output may become. Two are kept of each stream.
    #[serde(default = "log_bytes_max")]
    pub log_bytes_max: u64,
    /// The size of the terminal that the command gets for its input and output. Without it there is no input, and output
    /// goes through pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Size>,
    /// What is pasted into the terminal, with Enter, once the command has shown something and its screen rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The tmux that has the terminal; without it the host itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiplexer: Option<Multiplexer>,
    /// Where it runs, if not in a host of its own: the name of a place, whose host runs one command after the other. The
    /// directory of such a run is not durable, since its claim can be made again and its records are kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Folders on whose file systems it leaves what counts. What it wrote there has to be on disk before its end is believed
    /// after a reboot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keeps: Vec<PathBuf>,
    /// What others wrote there; carried, not read.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub other: serde_json::Value,
}

fn stop_grace_ms() -> u64 {
    STOP_GRACE_MS
}

fn log_bytes_max() -> u64 {
    LOG_BYTES_MAX
}

impl Claim {
    /// A claim with the default limits.
    #[must_use]
    pub fn new(run: RunId, kind: RunKind, argv: Vec<String>, env: BTreeMap<String, String>, cwd: PathBuf) -> Self {
        Self {
            version: VERSION,
            run,
            kind,
            argv,
            env,
            secrets: Vec::new(),
            given: Vec::new(),
            confinement: None,
            cwd,
            leaves_services: false,
            timeout_ms: None,
            stop_grace_ms: STOP_GRACE_MS,
            log_bytes_max: LOG_BYTES_MAX,
            terminal: None,
            prompt: None,
            multiplexer: None,
            place: None,
            keeps: Vec::new(),
            other: serde_json::Value::Null,
        }
    }
}

/// Says that the command may have been started, and by whom. Written before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// The form of this record.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The host. Its pidfd, from `Identity::open`, tells when it dies.
    #[serde(flatten)]
    pub host: Identity,
    /// When, by the wall clock.
    pub started_at: Timestamp,
}

/// Asks the host to stop the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Why, in one word: `stopped`, `claimed`, `cancelled`.
    pub reason: String,
    /// How long everything has between being asked to end and being killed.
    pub grace_ms: u64,
}

impl StopRequest {
    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}

/// Why a command could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnProblem {
    /// There is no such program, or no such interpreter for it.
    Missing,
    /// It is there and may not or cannot be executed.
    NotExecutable,
    /// It is to be confined in a way that this machine does not have.
    Unconfined,
    /// Anything else.
    Other,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum How {
    /// The command ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal that was not ours ended the command.
    Signaled {
        /// Its number.
        signal: i32,
    },
    /// It was stopped because it took longer than the claim allows.
    TimedOut,
    /// It was stopped on request.
    Stopped {
        /// The reason the request gave.
        reason: String,
    },
    /// It never ran because it could not be started.
    SpawnFailed {
        /// What to tell a person.
        message: String,
        /// What kind of failure it was.
        kind: SpawnProblem,
    },
    /// It never ran because it was stopped before that.
    NeverStarted {
        /// The reason the request gave.
        reason: String,
    },
}

/// What became of a run. Written once, when everything it started is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The form of this record.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// How it ended.
    #[serde(flatten)]
    pub how: How,
    /// When its host began, by the wall clock.
    pub started_at: Timestamp,
    /// When this was written, by the wall clock.
    pub ended_at: Timestamp,
    /// How long the command took, by a clock nobody sets.
    pub duration_ms: u64,
    /// How much the command wrote to standard output, kept or not.
    pub stdout_bytes: u64,
    /// How much the command wrote to standard error, kept or not.
    pub stderr_bytes: u64,
    /// Whether some of the output was not kept.
    pub truncated: bool,
    /// Processor time of the command and everything it started.
    pub cpu_ms: u64,
    /// How many processes were still there after the command had ended by itself, and were ended.
    pub leftovers_killed: usize,
    /// Processes that would not die, which happens while the kernel waits for a disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unkillable: Vec<Identity>,
    /// The last size of the command's terminal, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Size>,
    /// Nobody has waited yet until what it left is on disk. Such an end counts as long as the machine runs on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
}

impl ExitRecord {
    /// For a run that is over before its command began.
    pub(super) fn without_work(run: RunId, how: How, started_at: Timestamp) -> Self {
        Self {
            version: VERSION,
            run,
            how,
            started_at,
            ended_at: Timestamp::now(),
            duration_ms: 0,
            stdout_bytes: 0,
            stderr_bytes: 0,
            truncated: false,
            cpu_ms: 0,
            leftovers_killed: 0,
            unkillable: Vec::new(),
            terminal: None,
            unsettled: false,
        }
    }
}

/// Why a run was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The host is gone without having said how the run ended.
    HostDied,
    /// The machine was started anew.
    Reboot,
    /// A power cut left no record of whether it has begun.
    Unrecorded,
}

/// What the directory of a run says about it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// No host ever started the command, and none is there: start one. The attempt is the same one.
    NotStarted,
    /// A host is there and has not started the command yet.
    Starting,
    /// A host is there. The command is known once it was started.
    Running {
        /// Who hosts it.
        start: StartRecord,
        /// The command's process.
        child: Option<Identity>,
    },
    /// A host began and is gone without an end: kill what remains, never start it again.
    Interrupted {
        /// Who hosted it.
        start: StartRecord,
        /// What happened to the host.
        why: Why,
    },
    /// It is over.
    Ended(ExitRecord),
    /// A record is not what was written there; nothing may be concluded.
    Corrupt {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_flat_and_tagged() {
        let run = RunId::new("R-1").unwrap();
        let record = ExitRecord::without_work(run, How::Exited { code: 3 }, Timestamp::UNIX_EPOCH);
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["how"], "exited");
        assert_eq!(json["code"], 3);
        assert_eq!(json["started_at"], "1970-01-01T00:00:00Z");
        assert_eq!(serde_json::from_value::<ExitRecord>(json).unwrap(), record);
    }

    #[test]
    fn a_claim_needs_only_what_has_no_default() {
        let text = r#"{"version":1,"run":"R-1","kind":"gate","argv":["true"],"env":{},"cwd":"/"}"#;
        let claim: Claim = serde_json::from_str(text).unwrap();
        let run = RunId::new("R-1").unwrap();
        let same = Claim::new(run, RunKind::Gate, vec!["true".to_owned()], BTreeMap::new(), "/".into());
        assert_eq!(claim, same);
    }
}
