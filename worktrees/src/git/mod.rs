//! Everything the product does with git: branches, worktrees, commits, merges and the rescue of unfinished work.
//!
//! Three rules hold for every function here. Work is never lost: nothing is forced, a checkout is updated only after
//! it was found that no file of it would be overwritten, and what would become unreachable is kept below
//! `refs/pipeline/trash/`. References move only by compare-and-swap. No hook, filter of the repository's choice,
//! signing program or pager runs because of us, except where the user's own configuration asks for filters or merge
//! drivers, without which files would be stored wrongly. A repository's own configuration is not the user's: an agent can
//! write it. What it names in their place is refused. The files that lead from a worktree to its repository are compared
//! with what they must say before each use.
//!
//! Two backends do the work: libgit2 in this process, and the `git` command for repositories that libgit2 cannot open
//! (reftable, SHA-256, partial clones) or would treat wrongly (filters, merge drivers, sparse checkouts). Which one it
//! is changes nothing of what is decided, since all decisions are made above them.
//!
//! This module is synchronous, prints nothing and decides nothing about tasks. What it remembers between calls is what it read
//! of files, as long as they are the same.

mod backend;
mod checkout;
mod clone;
mod command;
mod commit;
mod diff;
mod durable;
mod error;
mod files;
mod graph;
mod handles;
mod head;
mod layout;
mod libgit;
mod merge;
mod moved;
mod orphans;
mod planted;
mod populate;
mod process;
mod refs;
mod rescue;
mod seconds;
mod stamp;
mod switch;
#[cfg(test)]
mod tests;
mod trial;
mod untouched;
mod worktree;

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository};
use pipeline_lib::ids::CommitId;

pub use clone::Taken;
pub use commit::Committed;
pub use diff::DiffLimits;
pub use error::GitError;
pub use merge::{Advance, MergeCheck, MergeOutcome, Reverted};
pub use moved::PutBack;
pub use orphans::AtWork;
pub use rescue::{RescueInfo, Rescued};
pub use trial::Trial;
pub use worktree::{Prepared, WorktreeInfo, WorktreeStatus};

use backend::{Backend, RefChange, text};
use process::Git;

/// What the log of a branch begins with.
const BRANCH_CREATED: &str = "pipeline: branch created";

/// How a path differs between two commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// Only in the second.
    Added,
    /// In both, with different content or mode.
    Modified,
    /// Only in the first.
    Deleted,
}

/// One path that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Relative to the top of the repository.
    pub path: String,
    /// Lines added; nought for a binary file.
    pub added: usize,
    /// Lines removed; nought for a binary file.
    pub removed: usize,
    /// What happened to it.
    pub status: FileStatus,
}

/// A repository, whichever of its checkouts it was found from.
pub struct Repo {
    main: PathBuf,
    common: PathBuf,
    backend: Box<dyn Backend>,
    cleared: planted::Cleared,
    known: checkout::Known,
    untouched: untouched::Untouched,
}

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repo").field("main", &self.main).field("backend", &self.backend.name()).finish_non_exhaustive()
    }
}

impl Repo {
    /// Finds the repository that a directory belongs to.
    ///
    /// # Errors
    /// When there is none, or when it is bare.
    pub fn discover(dir: &Path) -> Result<Self, GitError> {
        let mut found = Self::find(dir)?;
        // Whoever asks from within the private clone of an agent means the repository that it is of.
        if let Some(main) = clone::is_of(&found.common) {
            found = Self::find(&main).map_err(|_| GitError::NotAWorktree {
                path: dir.to_path_buf(),
                problem: format!(
                    "it is the private clone of an agent, from which {} cannot be read; an agent says how its work went \
                     with `pipeline done`",
                    main.display()
                ),
            })?;
        }
        found.cleared.programs(&found.common.join("config"))?;
        Ok(found)
    }

    fn find(dir: &Path) -> Result<Self, GitError> {
        // Opened from the directory itself and not from the git directory that is found: only so is the checkout of a
        // repository known whose git directory lies elsewhere.
        let nowhere: [&std::ffi::OsStr; 0] = [];
        match Repository::open_ext(dir, git2::RepositoryOpenFlags::empty(), nowhere) {
            Ok(repo) if needs_command(&repo) => Self::discover_by_command(dir),
            Ok(repo) => Self::from_library(repo),
            Err(error) if error.code() == ErrorCode::NotFound => {
                Err(GitError::NotARepository { path: dir.to_path_buf() })
            }
            Err(error) => {
                tracing::debug!(%error, "libgit2 cannot open this repository, the git command is used");
                Self::discover_by_command(dir)
            }
        }
    }

    fn from_library(repo: Repository) -> Result<Self, GitError> {
        let common = layout::absolute(repo.commondir())?;
        let repo = if repo.is_worktree() {
            let attempt = format!("open the repository {}", common.display());
            Repository::open(&common).map_err(GitError::lib(attempt))?
        } else {
            repo
        };
        let repo =
            durable::careful(repo).map_err(GitError::lib(format!("open the repository {}", common.display())))?;
        let main = repo.workdir().ok_or_else(|| GitError::Bare { path: common.clone() })?;
        let main = layout::absolute(main)?;
        Ok(Self {
            main,
            backend: Box::new(handles::LibGit::new(repo, common.clone())),
            common,
            cleared: planted::Cleared::default(),
            known: checkout::Known::default(),
            untouched: untouched::Untouched::default(),
        })
    }

    fn discover_by_command(dir: &Path) -> Result<Self, GitError> {
        let args = ["rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir", "--is-bare-repository"];
        let output = Git::new(dir).args(args).output()?;
        if output.code != 0 {
            let missing = output.complaint().contains("not a git repository");
            return Err(if missing { GitError::NotARepository { path: dir.to_path_buf() } } else { output.error() });
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().collect::<Vec<_>>();
        let [common, git_dir, bare] = lines[..] else { return Err(output.error()) };
        let common = layout::absolute(Path::new(common))?;
        if bare == "true" {
            return Err(GitError::Bare { path: common });
        }
        // Inside the main checkout git knows its top; a linked worktree only knows the common directory.
        let main = if layout::absolute(Path::new(git_dir))? == common {
            PathBuf::from(Git::new(dir).args(["rev-parse", "--show-toplevel"]).line()?)
        } else {
            common.parent().unwrap_or(&common).to_path_buf()
        };
        let main = layout::absolute(&main)?;
        Ok(Self {
            backend: Box::new(command::Command::new(main.clone(), common.clone())),
            main,
            common,
            cleared: planted::Cleared::default(),
            known: checkout::Known::default(),
            untouched: untouched::Untouched::default(),
        })
    }

    /// The checkout that belongs to the repository itself.
    #[must_use]
    pub fn main_checkout(&self) -> &Path {
        &self.main
    }

    /// The git directory that all checkouts share.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common
    }

    /// Which backend is in use: `libgit2` or `command`.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// The branch that finished work most likely goes to.
    ///
    /// # Errors
    /// When the repository has no commit, or no branch that could be meant.
    pub fn guess_base(&self) -> Result<String, GitError> {
        let head = self.backend.head(&self.main_as_checkout())?;
        if head.commit.is_none() {
            return Err(GitError::Unborn { path: self.main.clone() });
        }
        if let Some(branch) = head.reference.as_deref().and_then(layout::branch_name) {
            return Ok(branch);
        }
        let remote = self.backend.symbolic("refs/remotes/origin/HEAD")?;
        let remote = remote.as_deref().and_then(|name| name.strip_prefix("refs/remotes/origin/"));
        for branch in remote.into_iter().chain(["main", "master"]) {
            if self.branch_head(branch)?.is_some() {
                return Ok(branch.to_owned());
            }
        }
        Err(GitError::NoSuchBranch { branch: remote.unwrap_or("main").to_owned() })
    }

    /// Where a branch points; `None` if there is no such branch.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        match full_name(branch) {
            Ok(full) => self.backend.read_ref(&full),
            // A name that git does not allow names no branch.
            Err(_) => Ok(None),
        }
    }

    /// The branches whose names begin with this, such as `pipeline/`.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn branches_below(&self, start: &str) -> Result<Vec<String>, GitError> {
        let found = self.backend.list_refs(&format!("refs/heads/{start}"))?;
        Ok(found.iter().filter_map(|(name, _)| layout::branch_name(name)).collect())
    }

    /// The commit that a revision names, such as `HEAD~2` or a tag.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn resolve(&self, rev: &str) -> Result<Option<CommitId>, GitError> {
        self.backend.resolve(rev)
    }

    /// The tree of a commit, which is equal for commits with equal files.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn tree_of(&self, commit: &CommitId) -> Result<String, GitError> {
        Ok(self.backend.commit_info(commit)?.tree)
    }

    /// The message of a commit.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn commit_message(&self, commit: &CommitId) -> Result<String, GitError> {
        Ok(self.backend.commit_info(commit)?.message)
    }

    /// Whether `of` contains `ancestor`. A commit contains itself.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError> {
        self.backend.is_ancestor(ancestor, of)
    }

    /// How many commits `to` contains that `from` does not.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn commits_between(&self, from: &CommitId, to: &CommitId) -> Result<usize, GitError> {
        self.backend.count_between(from, to)
    }

    /// Creates a branch if there is none of this name. A branch that exists is left where it is. Gives where it points.
    ///
    /// # Errors
    /// When git does not allow the name, or when another branch is in the way of it.
    pub fn ensure_branch(&self, name: &str, at: &CommitId) -> Result<CommitId, GitError> {
        let full = full_name(name)?;
        if let Some(found) = self.backend.read_ref(&full)? {
            return Ok(found);
        }
        if self.create_ref(&full, at, BRANCH_CREATED)? {
            return Ok(at.clone());
        }
        // Somebody else created it at the same time, which is as good.
        self.backend.read_ref(&full)?.ok_or(GitError::Moved { reference: full })
    }

    /// Creates a reference and explains a refusal that is due to a reference with a name above or below it.
    fn create_ref(&self, full: &str, at: &CommitId, reason: &str) -> Result<bool, GitError> {
        let change = RefChange { name: full, old: None, new: Some(at), reason };
        self.backend.change_ref(&change).map_err(|error| match self.in_the_way(full) {
            Ok(Some(by)) => GitError::NameTaken { name: full.to_owned(), by },
            _ => error,
        })
    }

    fn in_the_way(&self, full: &str) -> Result<Option<String>, GitError> {
        let below = self.backend.list_refs(&format!("{full}/"))?.into_iter().next();
        if let Some((name, _)) = below {
            return Ok(Some(name));
        }
        for (end, _) in full.match_indices('/').skip(1) {
            if self.backend.read_ref(&full[..end])?.is_some() {
                return Ok(Some(full[..end].to_owned()));
            }
        }
        Ok(None)
    }

    /// Deletes a branch whose commits are all in the branch `into`. Says whether it is gone.
    ///
    /// # Errors
    /// When the branch is checked out somewhere.
    pub fn delete_branch_if_merged(&self, name: &str, into: &str) -> Result<bool, GitError> {
        let full = full_name(name)?;
        let Some(head) = self.backend.read_ref(&full)? else { return Ok(true) };
        let target = self.branch_head(into)?.ok_or_else(|| GitError::NoSuchBranch { branch: into.to_owned() })?;
        if !self.is_ancestor(&head, &target)? {
            return Ok(false);
        }
        if let Some(path) = self.checkouts_of(name)?.into_iter().next() {
            return Err(GitError::BranchElsewhere { branch: name.to_owned(), path: path.path });
        }
        let reason = "pipeline: merged branch deleted";
        self.backend.change_ref(&RefChange { name: &full, old: Some(&head), new: None, reason })
    }

    /// The paths that differ between two commits.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn changes(&self, from: &CommitId, to: &CommitId) -> Result<Vec<FileChange>, GitError> {
        self.changes_of_trees(&self.tree_of(from)?, &self.tree_of(to)?)
    }

    /// The paths that differ between two commits as a patch, cut to a number of bytes.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn diff_text(&self, from: &CommitId, to: &CommitId, max_bytes: usize) -> Result<String, GitError> {
        let bytes = self.backend.diff_text(&self.tree_of(from)?, &self.tree_of(to)?, max_bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn changes_of_trees(&self, from: &str, to: &str) -> Result<Vec<FileChange>, GitError> {
        let changes = self.backend.diff(from, to, true)?;
        let public = |change: backend::TreeChange| FileChange {
            path: text(&change.path),
            added: change.added,
            removed: change.removed,
            status: match (change.old, change.new) {
                (None, _) => FileStatus::Added,
                (_, None) => FileStatus::Deleted,
                _ => FileStatus::Modified,
            },
        };
        Ok(changes.into_iter().map(public).collect())
    }

    /// Checks that every object which is needed is there. Slow; meant for a doctor and for tests.
    ///
    /// # Errors
    /// When objects are missing or broken.
    pub fn fsck_connectivity(&self) -> Result<(), GitError> {
        let git = Git::new(&self.common).env("GIT_DIR", &self.common).env("GIT_COMMON_DIR", &self.common);
        let git = git.args(["fsck", "--connectivity-only", "--no-dangling", "--no-progress"]);
        git.timeout(std::time::Duration::from_secs(600)).run().map(drop)
    }

    fn main_as_checkout(&self) -> backend::Checkout {
        backend::Checkout { path: self.main.clone(), admin: self.common.clone() }
    }
}

/// The full reference of a branch, if git allows the name.
fn full_name(branch: &str) -> Result<String, GitError> {
    let full = format!("refs/heads/{branch}");
    if branch.starts_with('-') || branch == "HEAD" || !git2::Reference::is_valid_name(&full) {
        return Err(GitError::BadName { name: branch.escape_debug().to_string() });
    }
    Ok(full)
}

/// Whether libgit2 would read or write files of this repository differently from git.
fn needs_command(repo: &Repository) -> bool {
    let Ok(config) = repo.config() else { return true };
    let any = |pattern: &str| {
        let Ok(mut entries) = config.entries(Some(pattern)) else { return true };
        entries.next().is_some()
    };
    let on = |key: &str| config.get_bool(key).unwrap_or(false);
    any(r"^filter\..*\.(clean|smudge|process)$")
        || any(r"^remote\..*\.promisor$")
        || any(r"^merge\..*\.driver$")
        || ["core.sparsecheckout", "core.splitindex", "index.sparse"].into_iter().any(on)
}
