//! What the rest of this module needs from git, in the smallest pieces that two implementations can share.
//!
//! A backend knows how to do a thing, never whether it should be done: what is dirty, what may be lost and in which
//! order things happen is decided once, above this trait. Paths are kept as the bytes git stores.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pipeline_lib::diff::Diff;
use pipeline_lib::ids::CommitId;

use super::{DiffLimits, GitError, WorktreeInfo};

/// A place where files are checked out: the main checkout or a linked worktree.
#[derive(Debug, Clone)]
pub(super) struct Checkout {
    /// The directory of the files.
    pub(super) path: PathBuf,
    /// The private git directory: the common directory itself for the main checkout, otherwise one below `worktrees/`.
    pub(super) admin: PathBuf,
}

/// One file of a tree: its mode and the name of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) id: String,
}

/// One path that differs between two trees.
#[derive(Debug, Clone)]
pub(super) struct TreeChange {
    pub(super) path: PathBuf,
    pub(super) old: Option<Entry>,
    pub(super) new: Option<Entry>,
    pub(super) added: usize,
    pub(super) removed: usize,
}

/// What HEAD of a checkout says.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    /// The full reference, when HEAD is not detached.
    pub(super) reference: Option<String>,
    pub(super) commit: Option<CommitId>,
}

impl Head {
    /// HEAD on a reference that is at a commit.
    pub(super) fn on(reference: impl Into<String>, commit: &CommitId) -> Self {
        Self { reference: Some(reference.into()), commit: Some(commit.clone()) }
    }

    /// HEAD on a commit, detached.
    pub(super) fn detached(commit: &CommitId) -> Self {
        Self { reference: None, commit: Some(commit.clone()) }
    }
}

/// What differs between HEAD, the index and the files.
#[derive(Debug, Clone, Default)]
pub(super) struct Differences {
    /// Tracked paths, staged or not.
    pub(super) changed: Vec<PathBuf>,
    /// Paths that are neither tracked nor ignored.
    pub(super) untracked: Vec<PathBuf>,
    /// The index holds a conflict that nobody has resolved.
    pub(super) unmerged: bool,
}

impl Differences {
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.untracked.is_empty() && !self.unmerged
    }
}

/// The parts of a commit that are used here.
#[derive(Debug, Clone)]
pub(super) struct CommitInfo {
    pub(super) tree: String,
    pub(super) parents: Vec<CommitId>,
    pub(super) message: String,
    pub(super) seconds: i64,
}

/// A commit to be written to the object database.
pub(super) struct NewCommit<'a> {
    pub(super) tree: &'a str,
    pub(super) parents: &'a [CommitId],
    pub(super) message: &'a str,
    pub(super) name: &'a str,
    pub(super) email: &'a str,
    pub(super) when: Timestamp,
}

/// A change of one reference that happens only if the reference is as expected.
pub(super) struct RefChange<'a> {
    pub(super) name: &'a str,
    /// `None`: the reference must not exist.
    pub(super) old: Option<&'a CommitId>,
    /// `None`: the reference is deleted.
    pub(super) new: Option<&'a CommitId>,
    pub(super) reason: &'a str,
}

/// The result of a three-way merge in the object database.
pub(super) enum Merged {
    Tree(String),
    Conflict(Vec<PathBuf>),
}

/// How a checkout is brought from one commit to another, decided beforehand.
pub(super) struct Switch {
    pub(super) from: CommitId,
    pub(super) to: CommitId,
    /// Paths whose file already is what it is to become, or a beginning of it that an update left which was cut short:
    /// writing them again loses nothing, and the index has to learn of them.
    pub(super) settled: Vec<TreeChange>,
    /// The other paths.
    pub(super) open: Vec<TreeChange>,
    /// Every open path was found to hold exactly what `from` has, although HEAD may be elsewhere.
    pub(super) verified: bool,
}

/// One way of talking to git.
pub(super) trait Backend: Send {
    fn name(&self) -> &'static str;
    /// The same repository, with a place of its own for what is written to the object database, which goes with it.
    fn aside(&self) -> Result<Box<dyn Backend>, GitError>;

    fn resolve(&self, rev: &str) -> Result<Option<CommitId>, GitError>;
    fn read_ref(&self, full: &str) -> Result<Option<CommitId>, GitError>;
    /// Says whether the change happened; `false` means that the reference was not as expected.
    fn change_ref(&self, change: &RefChange<'_>) -> Result<bool, GitError>;
    fn list_refs(&self, prefix: &str) -> Result<Vec<(String, CommitId)>, GitError>;
    /// The target of a symbolic reference that is not private to a checkout.
    fn symbolic(&self, full: &str) -> Result<Option<String>, GitError>;

    fn commit_info(&self, id: &CommitId) -> Result<CommitInfo, GitError>;
    fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError>;
    /// Whether one of these commits contains `ancestor`. All of them are gone through together, however many they are.
    fn is_in_any(&self, ancestor: &CommitId, of: &[CommitId]) -> Result<bool, GitError>;
    /// How many commits `to` has that `from` has not.
    fn count_between(&self, from: &CommitId, to: &CommitId) -> Result<usize, GitError>;
    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, GitError>;
    /// Without an ancestor the merge bases of the two commits are used.
    fn merge(&self, ancestor: Option<&CommitId>, ours: &CommitId, theirs: &CommitId) -> Result<Merged, GitError>;
    fn write_commit(&self, commit: &NewCommit<'_>) -> Result<CommitId, GitError>;
    /// A configured value, such as `user.name`.
    fn config(&self, key: &str) -> Result<Option<String>, GitError>;

    /// The paths that differ; lines are counted only when asked for.
    fn diff(&self, from: &str, to: &str, count_lines: bool) -> Result<Vec<TreeChange>, GitError>;
    /// The paths alone. What both trees share costs nothing, however large it is.
    fn differing(&self, from: &str, to: &str) -> Result<Vec<PathBuf>, GitError>;
    fn diff_text(&self, from: &str, to: &str, max_bytes: usize) -> Result<Vec<u8>, GitError>;
    /// The files that differ between two trees with their lines; the commits are left empty.
    fn diff_lines(&self, from: &str, to: &str, limits: DiffLimits) -> Result<Diff, GitError>;

    fn worktrees(&self) -> Result<Vec<WorktreeInfo>, GitError>;
    /// Records a worktree, locked with `reason`, detached at a commit, without any of its files.
    fn add_worktree(&self, path: &Path, name: &str, at: &CommitId, reason: &str) -> Result<(), GitError>;
    /// Writes the files and the index of a worktree that nobody has used yet.
    fn populate(&self, checkout: &Checkout) -> Result<(), GitError>;
    /// Forgets a worktree whose directory is gone.
    fn forget_worktree(&self, checkout: &Checkout) -> Result<(), GitError>;
    /// Removes a worktree that was found clean, with its directory.
    fn remove_worktree(&self, checkout: &Checkout) -> Result<(), GitError>;

    fn head(&self, checkout: &Checkout) -> Result<Head, GitError>;
    /// Whether what HEAD of a checkout says is in a file of this name, and nowhere else.
    fn heads_are_files(&self) -> bool {
        true
    }
    /// Makes a branch that is not there and points HEAD at it, both of which is on disk then; says whether there was none.
    /// Nothing where that takes two steps.
    fn begin(&self, _: &Checkout, _from: &Head, _branch: &str, _at: &CommitId) -> Result<Option<bool>, GitError> {
        Ok(None)
    }
    /// Points HEAD from where it is to a full reference, which is on disk then, or detaches it, without touching files or index.
    fn set_head(&self, checkout: &Checkout, from: &Head, to: &Head) -> Result<(), GitError>;
    /// Where HEAD of a checkout has been, with the second since 1970 of each move, where that is not a file of lines.
    fn moves(&self, checkout: &Checkout) -> Result<Vec<(i64, CommitId)>, GitError>;
    fn differences(&self, checkout: &Checkout) -> Result<Differences, GitError>;
    /// A reference such as `CHERRY_PICK_HEAD` that is private to a checkout.
    fn has_pseudo_ref(&self, checkout: &Checkout, name: &str) -> Result<bool, GitError>;
    fn clear_pseudo_ref(&self, checkout: &Checkout, name: &str) -> Result<(), GitError>;
    /// What the index says about a path.
    fn indexed(&self, checkout: &Checkout, path: &Path) -> Result<Option<Entry>, GitError>;
    /// What the index would say if the file were added now.
    fn on_disk(&self, checkout: &Checkout, path: &Path) -> Result<Option<Entry>, GitError>;
    /// Updates files and index; refuses with [`GitError::Dirty`] rather than lose anything.
    fn switch(&self, checkout: &Checkout, switch: &Switch) -> Result<(), GitError>;
    /// The tree of the index after removing and adding these paths; the index itself changes only with `keep`.
    fn stage(&self, checkout: &Checkout, gone: &[PathBuf], present: &[PathBuf], keep: bool)
    -> Result<String, GitError>;
}

/// The mode git would record for a file with this metadata; `None` for what git does not record.
pub(super) fn file_mode(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Some(0o120_000)
    } else if kind.is_file() {
        Some(if metadata.permissions().mode() & 0o100 == 0 { 0o100_644 } else { 0o100_755 })
    } else {
        None
    }
}

/// A path as text for people and records; what is not UTF-8 is replaced.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A path from the bytes git gave.
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
