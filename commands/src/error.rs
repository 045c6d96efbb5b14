//! Everything a verb can fail with, and what a person or a script is told: an exit code, a message, a hint. All
//! conversions and hints are here, so that the same fault is told the same way everywhere.

use std::fmt;

use pipeline_lib::agents::preset::{Preset, UnknownPreset};
use pipeline_lib::event::Refusal;
use pipeline_lib::ids::NameError;
use pipeline_state::{ErrorKind, StateError};
use pipeline_worktrees::git::GitError;
use pipeline_worktrees::host::HostError;

/// The exit codes, as stated in `--help`.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// It failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Something waits for a person, or the evidence is not there.
    pub const ATTENTION: u8 = 3;
    /// Refused because agents are busy.
    pub const BUSY: u8 = 4;
    /// A named thing does not exist.
    pub const NOT_FOUND: u8 = 5;
    /// The state is corrupt.
    pub const CORRUPT: u8 = 65;
    /// The state cannot be written.
    pub const CANNOT_WRITE: u8 = 73;
    /// Another process holds the lock; trying again helps.
    pub const LOCK_BUSY: u8 = 75;
    /// The configuration or a workflow is invalid.
    pub const CONFIG: u8 = 78;
    /// A wait timed out.
    pub const TIMED_OUT: u8 = 124;
    /// Interrupted by the person.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a verb failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The exit code.
    pub code: u8,
    /// One word for scripts.
    pub kind: &'static str,
    /// What went wrong; may have several lines.
    pub message: String,
    /// What to do about it, as full sentences.
    pub hint: Option<String>,
}

impl CommandError {
    /// An error with a code, a word and a message.
    #[must_use]
    pub fn new(code: u8, kind: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into(), hint: None }
    }

    /// It failed.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(exit::FAILED, "failed", message)
    }

    /// The command line is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, "usage", message)
    }

    /// A named thing does not exist.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(exit::NOT_FOUND, "not_found", message)
    }

    /// Something cannot be written.
    #[must_use]
    pub fn cannot_write(message: impl Into<String>) -> Self {
        Self::new(exit::CANNOT_WRITE, "cannot_write", message)
            .hint("Free some space or mend the permissions, then repeat the command.")
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

/// What a verb returns.
pub type Result<T, E = CommandError> = std::result::Result<T, E>;

/// The chain of an error's causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl From<StateError> for CommandError {
    fn from(error: StateError) -> Self {
        let message = chain(&error);
        match error.kind() {
            ErrorKind::NotInitialised => Self::failed("there is no pipeline in this repository yet")
                .hint("Run `pipeline init` to create one, or `pipeline demo` to see one at work."),
            ErrorKind::CannotRead => Self::failed(message),
            ErrorKind::Corrupt => Self::new(exit::CORRUPT, "corrupt", message)
                .hint("Nothing was changed. Run `pipeline doctor --repair`; it keeps a copy of what it sets aside."),
            ErrorKind::CannotWrite => Self::new(exit::CANNOT_WRITE, "cannot_write", message)
                .hint("Nothing was changed. Free some space or mend the permissions, then repeat the command."),
            ErrorKind::Refused => Self::new(exit::CANNOT_WRITE, "refused", message).hint("Nothing was changed."),
            ErrorKind::LockBusy => Self::new(exit::LOCK_BUSY, "lock_busy", message)
                .hint("Nothing was changed. Repeat the command; if the holder hangs, end that process."),
            ErrorKind::NewerFormat => Self::new(exit::CONFIG, "newer_format", message)
                .hint("Nothing was changed. Use the newer program that wrote this state."),
        }
    }
}

impl From<GitError> for CommandError {
    fn from(error: GitError) -> Self {
        let base = Self::failed(format!("failed to {}", chain(&error)));
        match error {
            GitError::NotARepository { .. } => base.hint("Run `git init` here, or name a repository with `-C DIR`."),
            GitError::Bare { .. } => base.hint("Clone it and run `pipeline` in the clone."),
            GitError::Unborn { .. } => base.hint("Make a first commit: `git commit --allow-empty -m start`."),
            GitError::GitMissing => base.hint("Install git 2.31 or newer."),
            GitError::Locked { .. } => base.hint("If no git process is running there, remove that file."),
            _ => base,
        }
    }
}

impl From<HostError> for CommandError {
    fn from(error: HostError) -> Self {
        Self::failed(chain(&error))
    }
}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NoTask(_) => Self::not_found(message).hint("`pipeline task list` shows the tasks there are."),
            Refusal::Archived(id) => Self::new(exit::FAILED, "archived", message).hint(format!(
                "It changes no more. `pipeline events --task {id}` prints its history, with its merge commit."
            )),
            Refusal::NotAtWork(id) => Self::new(exit::NOT_FOUND, "stale_run", message)
                .hint(format!("Nothing was changed. `pipeline explain {id}` says where it is.")),
            Refusal::NoAgent(_) => Self::not_found(message).hint("`pipeline agent list` shows the agents there are."),
            Refusal::NoRun(_) => Self::new(exit::NOT_FOUND, "stale_run", message)
                .hint("The run has ended or belongs to another task; nothing was changed."),
            Refusal::NoWorkflow { known, .. } => {
                Self::not_found(message).hint(format!("There are: {}.", known.join(", ")))
            }
            Refusal::Busy(_) => Self::new(exit::BUSY, "busy", message).hint(
                "Add `--drain` to switch once they are done, or `--force` to stop them; their work is kept on the \
                 task's branch.",
            ),
            Refusal::Withheld { .. } => Self::failed(message).hint("Run `pipeline mode production --yes` to allow it."),
            Refusal::Illegal { hint, task, .. } => Self::new(exit::FAILED, "illegal", message)
                .hint(hint.unwrap_or_else(|| format!("`pipeline explain {task}` says what can be done with it."))),
            Refusal::NotUndone { next, .. } => Self::new(exit::FAILED, "not_undone", message).hint(next),
            Refusal::OwnRequest { task, .. } => Self::new(exit::FAILED, "own_request", message).hint(format!(
                "`separate_approver` is set in [project]: somebody else runs `pipeline task approve {task}`."
            )),
            Refusal::Duplicate(id) => Self::new(exit::FAILED, "duplicate", message).hint(format!(
                "Nothing was added. `pipeline task show {id}` shows it; without `--id` an id is chosen."
            )),
            Refusal::UnknownDependency { .. } => Self::new(exit::FAILED, "unknown_dependency", message)
                .hint("Nothing was changed. `pipeline task list --all` shows the tasks there are."),
            Refusal::Cycle(_) => Self::new(exit::FAILED, "cycle", message)
                .hint("Nothing was changed. `pipeline task graph` shows what waits for what."),
            Refusal::Invalid(_) => Self::new(exit::FAILED, "invalid", message),
            Refusal::UnknownDecision { .. } => Self::new(exit::FAILED, "unknown_decision", message),
        }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            ReadOnlyFilesystem | StorageFull | QuotaExceeded | FileTooLarge => Self::cannot_write(chain(&error)),
            _ => Self::failed(chain(&error)),
        }
    }
}

impl From<UnknownPreset> for CommandError {
    fn from(error: UnknownPreset) -> Self {
        let known = Preset::ALL.map(Preset::as_str).join(", ");
        Self::usage(error.to_string()).hint(format!("There are {known}."))
    }
}

impl From<serde_json::Error> for CommandError {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(chain(&error))
    }
}
