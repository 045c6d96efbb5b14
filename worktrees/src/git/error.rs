//! What can go wrong with a repository, one variant for each case that a caller or a person would handle differently.
//!
//! Every message is a fragment that fits behind "failed to" and names the path, branch or commit it is about.

use std::path::{Path, PathBuf};

/// Why an operation on a repository was not done.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No repository at this directory or above it.
    #[error("find a git repository at {} or above it", path.display())]
    NotARepository {
        /// Where the search began.
        path: PathBuf,
    },
    /// The repository has no checkout of its own.
    #[error("use the bare repository {}: it has no checkout", path.display())]
    Bare {
        /// The repository.
        path: PathBuf,
    },
    /// The repository has no commit yet.
    #[error("find a commit in {}: the repository has none yet; make a first commit", path.display())]
    Unborn {
        /// The main checkout.
        path: PathBuf,
    },
    /// No branch of this name.
    #[error("find branch `{branch}`: there is none of that name")]
    NoSuchBranch {
        /// The name without `refs/heads/`.
        branch: String,
    },
    /// No commit of this name.
    #[error("find commit `{rev}`: there is none of that name")]
    NoSuchCommit {
        /// The revision as given.
        rev: String,
    },
    /// Git does not allow this name.
    #[error("use `{name}` as a name: git does not allow it")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// The name cannot be used because of a reference that exists.
    #[error("create `{name}`: `{by}` is in the way")]
    NameTaken {
        /// The full reference that was wanted.
        name: String,
        /// The full reference that exists.
        by: String,
    },
    /// The branch is checked out in another worktree.
    #[error("use branch `{branch}`: it is checked out at {}", path.display())]
    BranchElsewhere {
        /// The name without `refs/heads/`.
        branch: String,
        /// Where it is checked out.
        path: PathBuf,
    },
    /// A reference moved while it was being worked with.
    #[error("move `{reference}`: somebody else moved it at the same time")]
    Moved {
        /// The full reference.
        reference: String,
    },
    /// The worktree holds work that the operation would lose or mix up.
    #[error("change the checkout at {}: it has uncommitted work in {}", path.display(), list(files))]
    Dirty {
        /// The worktree.
        path: PathBuf,
        /// The files concerned, relative to it.
        files: Vec<String>,
    },
    /// A merge, rebase or the like has been begun and not finished.
    #[error("change the checkout at {}: a merge or rebase is under way there", path.display())]
    InProgress {
        /// The worktree.
        path: PathBuf,
    },
    /// The path is not a worktree of this repository.
    #[error("use {} as a worktree of this repository: {problem}", path.display())]
    NotAWorktree {
        /// The path as given.
        path: PathBuf,
        /// What was found there.
        problem: String,
    },
    /// The repository's own configuration names a program that git would run on files.
    #[error(
        "trust {key} in {}: any agent could have put it there; if it is yours, type `git config --global {key} {}`, else remove it",
        file.display(), quoted(value)
    )]
    ForeignProgram {
        /// The configuration file.
        file: PathBuf,
        /// The setting.
        key: String,
        /// The command.
        value: String,
    },
    /// A lock file of git is there. Its owner may be alive, so it is never deleted.
    #[error("go past the lock {}: whoever made it may still need it", file.display())]
    Locked {
        /// The lock file.
        file: PathBuf,
    },
    /// There is no `git` command.
    #[error("run git: there is no `git` command in PATH")]
    GitMissing,
    /// A command took too long and was killed.
    #[error("run `git {args}`: it took longer than {seconds} s")]
    Timeout {
        /// The arguments.
        args: String,
        /// The limit.
        seconds: u64,
    },
    /// A command failed.
    #[error("run `git {args}`: {stderr}")]
    Command {
        /// The arguments.
        args: String,
        /// What it said.
        stderr: String,
    },
    /// The git library failed.
    #[error("{attempt}: {message}")]
    Lib {
        /// What was attempted, such as "read the index of /x".
        attempt: String,
        /// What the library said.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{attempt} {}: {source}", path.display())]
    Io {
        /// What was attempted, such as "read".
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl GitError {
    pub(super) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { attempt, path, source }
    }

    /// Turns an error of the library into ours. A lock file is recognised by the library's own message, because its
    /// error code does not say which file it is.
    pub(super) fn lib(attempt: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let attempt = attempt.into();
        move |error| {
            let locked = error.code() == git2::ErrorCode::Locked || error.message().contains(".lock'");
            match quoted_lock(error.message()) {
                Some(file) if locked => Self::Locked { file },
                _ => Self::Lib { attempt, message: one_line(error.message()) },
            }
        }
    }

    pub(super) fn command(args: &str, stderr: &str) -> Self {
        match quoted_lock(stderr) {
            Some(file) if stderr.contains("File exists") => Self::Locked { file },
            _ => Self::Command { args: args.to_owned(), stderr: one_line(stderr) },
        }
    }
}

/// The first path in single quotes that ends in `.lock`.
fn quoted_lock(message: &str) -> Option<PathBuf> {
    message.split('\'').find(|part| part.ends_with(".lock")).map(PathBuf::from)
}

fn one_line(message: &str) -> String {
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    line.chars().filter(|c| !c.is_control()).take(600).collect()
}

fn list(files: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = files.iter().take(SHOWN).map(|file| file.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    if files.len() > SHOWN {
        text.push_str(&format!(" and {} more", files.len() - SHOWN));
    }
    text
}

/// A value for a shell, on one line.
fn quoted(value: &str) -> String {
    format!("'{}'", one_line(value).replace('\'', r"'\''"))
}
