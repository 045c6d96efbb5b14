//! Runs: one command each, executed by a small detached process of its own, the host.
//!
//! The monitor writes a claim, starts a host and goes on; it may die, restart or be replaced at any moment. The host
//! holds `run.lock` for life, writes `start.json` before it starts the command and `exit.json` after everything the
//! command started is gone. What happened to a run is therefore always read from its directory, never remembered:
//! at most one host ever runs the command, every start is on disk before it happens, and a run whose host died shows
//! as interrupted. It is never repeated from here.
//!
//! An agent's run has a host of its own. Commands share one for each place in which they run, one after the other, so that
//! no process has to be started but the command's own; see [`Claim::place`]. The records of such runs are in one file, where
//! what several hosts append at once becomes durable together, and a directory is made only for those that leave something.
//! Whoever asks here need not know which it is.
//!
//! A command may have a terminal, which its host keeps whether or not anybody looks; see [`connect`]. Or tmux keeps it,
//! and the host is in a pane of tmux; see [`pane`].
//!
//! This module knows nothing of tasks, stages, retries or worktrees, nor which commands are to be confined how far.

mod confine;
mod epoch;
mod files;
mod first;
mod glance;
mod launch;
mod lives;
mod logs;
mod mask;
mod namespaces;
mod news;
mod observe;
mod place;
mod records;
mod run;
mod shared;
mod supervise;
mod syscalls;
mod terminal;
mod tmux;
mod tree;
mod wakes;

use std::io;
use std::path::PathBuf;

pub use confine::{Confinement, available as sandbox_available, main as confined_main};
pub use epoch::enter;
pub use glance::{screen, tools, type_into};
pub use launch::{
    HostProgram, Killed, StopOutcome, begin, kill_remains, prepare, reap_hosts, request_stop, spawn_host,
};
pub use logs::{LogChunk, Stream, digest, read_log, tail};
pub use namespaces::{Namespaces, SHARED_MEMORY, available as namespaces_available};
pub use news::News;
pub use observe::{
    has_started, is_claimed, is_of_another_boot, is_settled, is_unrecorded, never_began, observe, observe_at,
    observe_on, start_record,
};
pub use place::{is_place, is_told, watched_dir};
pub use records::{Claim, ExitRecord, How, Observation, RunKind, SpawnProblem, StartRecord, StopRequest, Why};
pub use run::main;
pub use shared::discard as discard_records;
pub use terminal::{connect, replay, unsent_prompt};
pub use tmux::{Multiplexer, Pane, Shown, VERSION_MIN as TMUX_VERSION_MIN, pane, version as tmux_version};

/// How long a run that is asked to end may take for it before it is made to.
pub const STOP_GRACE: std::time::Duration = std::time::Duration::from_millis(records::STOP_GRACE_MS);

/// The variable in the environment of a run by which its processes are found again when its host is gone.
pub const RUN_ID_VARIABLE: &str = "PIPELINE_RUN_ID";

/// What the name of a variable begins with in a host's environment that is the command's and none of the host's own.
pub const ENTRUSTED: &str = "PIPELINE_ENTRUSTED_";

/// What keeps a run's directory from being read, written or acted on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// What it was attempted on.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A record does not say what such a record says.
    #[error("{} is not a valid record: {message}", path.display())]
    Format {
        /// The record.
        path: PathBuf,
        /// Why it was refused.
        message: String,
    },
    /// A record is a symbolic link, a pipe, a directory: not what was written there.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// A record is longer than any honest one.
    #[error("{} holds {bytes} bytes; a record has at most {max}", path.display())]
    TooLarge {
        /// The record.
        path: PathBuf,
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        max: u64,
    },
    /// The run has a living host, which alone may do what was asked.
    #[error("{} has a living host", run_dir.display())]
    Hosted {
        /// The run's directory.
        run_dir: PathBuf,
    },
    /// The run has no terminal, or there is no such run.
    #[error("the run in {} has no terminal", run_dir.display())]
    NoTerminal {
        /// The run's directory.
        run_dir: PathBuf,
    },
    /// The run has a terminal, and nobody is there to show it: it is over, or has not begun.
    #[error("the terminal of the run in {} is not there", run_dir.display())]
    TerminalGone {
        /// The run's directory.
        run_dir: PathBuf,
    },
    /// tmux is missing, or did not do what it was asked for.
    #[error("tmux {message}")]
    Tmux {
        /// What it did instead, and what to do about it.
        message: String,
        /// It is not there at all, and will not be by itself.
        missing: bool,
    },
    /// The host could not be started.
    #[error("cannot start the host {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl HostError {
    /// For `map_err` on an operation of the system.
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
