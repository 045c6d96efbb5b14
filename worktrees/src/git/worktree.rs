//! Worktrees: creating, adopting and removing them, and moving a checkout from one commit to another without losing
//! anything.
//!
//! What an agent does inside its worktree is not looked at here beyond what git's status says.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pipeline_lib::ids::CommitId;

use super::backend::{Checkout, Differences, Head, text};
use super::{BRANCH_CREATED, FileChange, GitError, Repo, durable, full_name, layout};

/// The reason in the `locked` file of a worktree whose files are not complete yet. It also keeps others from pruning it.
const SETUP: &str = "pipeline is setting this worktree up";

/// What is in a private git directory while a merge or a rebase is under way.
pub(super) const OPERATIONS: [&str; 3] = ["MERGE_HEAD", "rebase-merge", "rebase-apply"];
/// The references that are private to a checkout while a commit is applied or taken back.
pub(super) const OPERATION_REFS: [&str; 2] = ["CHERRY_PICK_HEAD", "REVERT_HEAD"];

/// The folder of the product's own data, which is never part of anybody's work.
const OWN_FOLDER: &str = ".pipeline";

/// What became of a worktree that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// The worktree was made now; otherwise one that existed was adopted as it is.
    pub fresh: bool,
}

/// A linked worktree or the main checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorktreeInfo {
    /// Its directory.
    pub path: PathBuf,
    /// The branch that is checked out, if HEAD is not detached.
    pub branch: Option<String>,
    /// The commit that is checked out.
    pub head: Option<CommitId>,
    /// Somebody locked it against removal.
    pub locked: bool,
    /// Its directory is gone.
    pub prunable: bool,
}

/// What differs between a worktree and its commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorktreeStatus {
    /// The commit that is checked out.
    pub head: Option<CommitId>,
    /// The branch that is checked out, if HEAD is not detached.
    pub branch: Option<String>,
    /// Tracked files that differ, staged or not.
    pub changed: Vec<String>,
    /// Files that are neither tracked nor ignored.
    pub untracked: Vec<String>,
    /// A merge, rebase or the like has been begun and not finished.
    pub in_progress: bool,
}

/// The lock that serialises the processes that add and remove worktrees. It ends when dropped.
struct SetupLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl SetupLock {
    fn take(file: &Path, options: &fs::OpenOptions) -> Result<Self, GitError> {
        let open = options.open(file).map_err(GitError::io("open", file))?;
        fs2::FileExt::lock_exclusive(&open).map_err(GitError::io("lock", file))?;
        Ok(Self(open))
    }
}

impl Repo {
    fn lock(&self) -> Result<SetupLock, GitError> {
        let file = self.common.join("pipeline-worktrees.lock");
        SetupLock::take(&file, File::options().create(true).truncate(false).write(true))
    }

    /// The main checkout and every linked worktree.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn worktrees(&self) -> Result<Vec<WorktreeInfo>, GitError> {
        let head = self.backend.head(&self.main_as_checkout())?;
        let branch = head.reference.as_deref().and_then(layout::branch_name);
        let main = WorktreeInfo { path: self.main.clone(), branch, head: head.commit, locked: false, prunable: false };
        Ok(std::iter::once(main).chain(self.backend.worktrees()?).collect())
    }

    /// Makes sure that there is a worktree at a path. A new one is detached at `at`; one that exists is left as it is.
    ///
    /// # Errors
    /// When something else is at the path, which is then left alone.
    pub fn ensure_worktree(&self, path: &Path, at: &CommitId) -> Result<Prepared, GitError> {
        if self.known_checkout(path)?.is_some() {
            return Ok(Prepared { fresh: false });
        }
        let path = layout::absolute(path)?;
        loop {
            let lock = self.lock()?;
            let checkout = match layout::find_entry(&self.common, &path)? {
                Some(checkout) if is_setup(&checkout)? => checkout,
                Some(checkout) if path.exists() => {
                    self.adopt(&checkout)?;
                    return Ok(Prepared { fresh: false });
                }
                Some(checkout) => {
                    self.forget_deleted(&checkout)?;
                    self.record(&path, at)?
                }
                None => self.record(&path, at)?,
            };
            // From here on the worktree has a lock of its own, so that several can be filled at the same time.
            let marker = checkout.admin.join("locked");
            let own = match File::open(&marker) {
                // Another process has just completed it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                own => own.map_err(GitError::io("open", &marker))?,
            };
            if fs2::FileExt::try_lock_exclusive(&own).is_err() {
                drop(lock);
                fs2::FileExt::lock_exclusive(&own).map_err(GitError::io("lock", &marker))?;
                continue;
            }
            drop(lock);
            // A process that was killed may have left the entry without the file that leads to it.
            if path.join(".git").symlink_metadata().is_err() {
                layout::write_pointer(&checkout)?;
            }
            let head = self.backend.head(&checkout)?;
            if head.commit.as_ref() != Some(at) {
                self.backend.set_head(&checkout, &head, &Head::detached(at))?;
            }
            self.backend.populate(&checkout)?;
            // What a power cut leaves of it is not taken for somebody's work: without its marker it is whole.
            durable::sync_all_on(&checkout.path)?;
            durable::sync_all_on(&self.common)?;
            layout::remove(&marker)?;
            return Ok(Prepared { fresh: true });
        }
    }

    fn record(&self, path: &Path, at: &CommitId) -> Result<Checkout, GitError> {
        let empty = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if !empty {
            let problem = "something else is there".to_owned();
            return Err(GitError::NotAWorktree { path: path.to_path_buf(), problem });
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(GitError::io("create", parent))?;
        }
        let name = layout::unused_name(&self.common, path);
        self.backend.add_worktree(path, &name, at, SETUP)?;
        let missing = || GitError::NotAWorktree { path: path.to_path_buf(), problem: "its entry vanished".to_owned() };
        layout::find_entry(&self.common, path)?.ok_or_else(missing)
    }

    /// Checks a worktree that exists; one that has only lost its `.git` file gets it back.
    fn adopt(&self, checkout: &Checkout) -> Result<(), GitError> {
        if checkout.path.join(".git").symlink_metadata().is_err() && checkout.path.is_dir() {
            layout::write_pointer(checkout)?;
        }
        self.checkout(&checkout.path).map(drop)
    }

    /// Forgets a worktree whose directory somebody deleted. Its commits are kept.
    fn forget_deleted(&self, checkout: &Checkout) -> Result<(), GitError> {
        let locked = checkout.admin.join("locked");
        if locked.exists() {
            return Err(GitError::Locked { file: locked });
        }
        if let Some(taken) = self.take_clone(&checkout.path)? {
            self.end_clone(&checkout.path, &taken)?;
        }
        let head = self.backend.head(checkout)?;
        if let (None, Some(commit)) = (head.reference, head.commit) {
            self.keep_if_unreachable(&commit)?;
        }
        self.backend.forget_worktree(checkout)
    }

    /// Removes a worktree with its directory, if it holds nothing that is not committed. Ignored files go with it.
    ///
    /// # Errors
    /// When it holds uncommitted or untracked files, is locked, or is the main checkout.
    pub fn remove_worktree(&self, path: &Path) -> Result<(), GitError> {
        let lock = self.lock()?;
        let absolute = layout::absolute(path)?;
        if absolute == self.main {
            let problem = "it is the main checkout".to_owned();
            return Err(GitError::NotAWorktree { path: absolute, problem });
        }
        match layout::find_entry(&self.common, &absolute)? {
            None if !absolute.exists() => {}
            Some(checkout) if !absolute.exists() => self.forget_deleted(&checkout)?,
            _ => {
                let checkout = self.checkout(&absolute)?;
                let locked = checkout.admin.join("locked");
                if locked.exists() {
                    return Err(GitError::Locked { file: locked });
                }
                if self.is_lent(&checkout) {
                    let problem = "an agent has a private clone there, which was not taken back".to_owned();
                    return Err(GitError::NotAWorktree { path: absolute, problem });
                }
                let status = self.status_of(&checkout)?;
                self.refuse_dirty(&checkout, &status)?;
                if let (None, Some(commit)) = (&status.branch, &status.head) {
                    self.keep_if_unreachable(commit)?;
                }
                self.backend.remove_worktree(&checkout)?;
            }
        }
        drop(lock);
        Ok(())
    }

    /// What differs between a worktree and its commit.
    ///
    /// # Errors
    /// When the path is not a checkout of this repository.
    pub fn worktree_status(&self, worktree: &Path) -> Result<WorktreeStatus, GitError> {
        self.status_of(&self.checkout(worktree)?)
    }

    pub(super) fn status_of(&self, checkout: &Checkout) -> Result<WorktreeStatus, GitError> {
        let head = self.backend.head(checkout)?;
        let differences = self.differences_from(checkout, head.commit.as_ref())?;
        Ok(WorktreeStatus {
            head: head.commit,
            branch: head.reference.as_deref().and_then(layout::branch_name),
            changed: differences.changed.iter().map(|path| text(path)).collect(),
            untracked: differences.untracked.iter().map(|path| text(path)).collect(),
            in_progress: self.in_progress(checkout)?,
        })
    }

    /// What differs, without the product's own folder.
    pub(super) fn differences(&self, checkout: &Checkout) -> Result<Differences, GitError> {
        self.differences_from(checkout, self.backend.head(checkout)?.commit.as_ref())
    }

    /// The same where it is known which commit HEAD of the checkout is at.
    pub(super) fn differences_from(
        &self,
        checkout: &Checkout,
        head: Option<&CommitId>,
    ) -> Result<Differences, GitError> {
        // Before git looks, so that what changes in between is no part of it.
        let (is_untouched, look) = self.untouched.look(checkout, &self.common, head);
        if is_untouched {
            return Ok(Differences::default());
        }
        let mut found = self.backend.differences(checkout)?;
        found.untracked.retain(|path| !path.starts_with(OWN_FOLDER));
        if let Some(look) = look.filter(|_| found.is_empty())
            && self.backend.head(checkout)?.commit.as_ref() == head
        {
            self.untouched.remember(checkout, look);
        }
        Ok(found)
    }

    pub(super) fn in_progress(&self, checkout: &Checkout) -> Result<bool, GitError> {
        if OPERATIONS.iter().any(|name| checkout.admin.join(name).exists()) {
            return Ok(true);
        }
        for name in OPERATION_REFS {
            if self.backend.has_pseudo_ref(checkout, name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files that differ between where a worktree's branch left `base` and the worktree as it is now, uncommitted
    /// work included.
    ///
    /// # Errors
    /// When the path is not a checkout of this repository.
    pub fn changed_since(&self, worktree: &Path, base: &CommitId) -> Result<Vec<FileChange>, GitError> {
        let checkout = self.checkout(worktree)?;
        let head =
            self.backend.head(&checkout)?.commit.ok_or_else(|| GitError::Unborn { path: checkout.path.clone() })?;
        let from = self.backend.merge_base(base, &head)?.unwrap_or_else(|| base.clone());
        let tree = self.stage(&checkout, &self.differences(&checkout)?, &[], false)?;
        self.changes_of_trees(&self.tree_of(&from)?, &tree)
    }

    /// Checks out a branch in a clean worktree, be it checked out there already. Ignored files stay.
    ///
    /// # Errors
    /// When the worktree is not clean, or the branch is checked out elsewhere.
    pub fn checkout_branch(&self, worktree: &Path, branch: &str) -> Result<(), GitError> {
        let full = full_name(branch)?;
        // The lock keeps two processes from checking out one branch at the same time.
        let lock = self.lock()?;
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        if let (true, Some(there)) = (head.reference.as_deref() == Some(&*full), &head.commit) {
            return self.move_clean(&checkout, there);
        }
        let target =
            self.backend.read_ref(&full)?.ok_or_else(|| GitError::NoSuchBranch { branch: branch.to_owned() })?;
        if let Some(other) = self.checkouts_of(branch)?.into_iter().find(|other| other.path != checkout.path) {
            return Err(GitError::BranchElsewhere { branch: branch.to_owned(), path: other.path });
        }
        self.move_clean(&checkout, &target)?;
        self.backend.set_head(&checkout, &head, &Head::on(&full, &target))?;
        drop(lock);
        Ok(())
    }

    /// Points HEAD of a worktree that is as the branch `from` has it at another one that is at the same commit, and that is made
    /// at `start` where there is none. False, and nothing done, where more than that has to be done or is in the way.
    ///
    /// # Errors
    /// When the worktree is not one of this repository, or cannot be written.
    pub fn follow(&self, worktree: &Path, from: &str, branch: &str, start: &CommitId) -> Result<bool, GitError> {
        let (before, full) = (full_name(from)?, full_name(branch)?);
        // The lock keeps two processes from checking out one branch at the same time.
        let lock = self.lock()?;
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        let is_there = head.reference.as_deref() == Some(&*before);
        let found = self.backend.read_ref(&full)?;
        let Some(at) = head.commit.as_ref().filter(|at| is_there && *at == found.as_ref().unwrap_or(start)) else {
            return Ok(false);
        };
        // One that is not there is checked out nowhere else.
        let is_elsewhere = |other: &Checkout| other.path != checkout.path;
        if found.is_some() && self.checkouts_of(branch)?.iter().any(is_elsewhere) {
            return Ok(false);
        }
        let begun = match found {
            Some(_) => None,
            None => self.backend.begin(&checkout, &head, &full, at)?,
        };
        match begun {
            Some(begun) => return Ok(begun),
            None if found.is_none() && !self.create_ref(&full, at, BRANCH_CREATED)? => return Ok(false),
            None => self.backend.set_head(&checkout, &head, &Head::on(&full, at))?,
        }
        drop(lock);
        Ok(true)
    }

    /// Checks out a commit, on no branch, in a clean worktree. Ignored files stay.
    ///
    /// # Errors
    /// When the worktree is not clean.
    pub fn detach(&self, worktree: &Path, at: &CommitId) -> Result<(), GitError> {
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        if head.reference.is_none() && head.commit.as_ref() == Some(at) {
            return Ok(());
        }
        self.move_clean(&checkout, at)?;
        self.backend.set_head(&checkout, &head, &Head::detached(at))
    }

    /// Checks out a commit in a clean worktree that is on no branch; one on a branch stays there.
    ///
    /// # Errors
    /// When the worktree is not clean.
    pub fn rest(&self, worktree: &Path, at: &CommitId) -> Result<(), GitError> {
        let on_branch = self.backend.head(&self.checkout(worktree)?)?.reference.is_some();
        if on_branch { Ok(()) } else { self.detach(worktree, at) }
    }

    /// Whether a worktree has a branch checked out, whatever else is in it.
    ///
    /// # Errors
    /// When the worktree is not one of this repository.
    pub fn is_on(&self, worktree: &Path, branch: &str) -> Result<bool, GitError> {
        let head = self.backend.head(&self.checkout(worktree)?)?;
        Ok(head.commit.is_some() && head.reference.as_deref() == Some(&*full_name(branch)?))
    }

    /// Whether a worktree is just as its branch has it: nothing in it has to be kept, finished or put right before somebody
    /// else works there. What git ignores does not count.
    ///
    /// # Errors
    /// When the worktree is not one of this repository, or cannot be read.
    pub fn is_as_committed(&self, worktree: &Path, branch: &str) -> Result<bool, GitError> {
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        let is_there = head.commit.is_some() && head.reference.as_deref() == Some(&*full_name(branch)?);
        Ok(is_there
            && !self.is_lent(&checkout)
            && self.is_at_rest(&checkout, branch)?
            && self.differences_from(&checkout, head.commit.as_ref())?.is_empty())
    }

    /// Takes a worktree off its branch, so that another may check it out. HEAD stays at the same commit and no file
    /// changes, so that nothing can be lost.
    ///
    /// # Errors
    /// When the branch has no commit, or the worktree is not one of this repository.
    pub fn let_go(&self, worktree: &Path) -> Result<(), GitError> {
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        let at = head.commit.as_ref().ok_or_else(|| GitError::Unborn { path: checkout.path.clone() })?;
        match &head.reference {
            Some(_) => self.backend.set_head(&checkout, &head, &Head::detached(at)),
            None => Ok(()),
        }
    }

    /// Brings the files of a clean worktree to a commit. Work that is not committed is refused rather than carried over
    /// to where it does not belong.
    fn move_clean(&self, checkout: &Checkout, to: &CommitId) -> Result<(), GitError> {
        let head = self.backend.head(checkout)?;
        let from = head.commit.ok_or_else(|| GitError::Unborn { path: checkout.path.clone() })?;
        if self.in_progress(checkout)? {
            return Err(GitError::InProgress { path: checkout.path.clone() });
        }
        let differences = self.differences_from(checkout, Some(&from))?;
        let switch = self.plan(checkout, &differences, &from, to)?;
        // A process that was killed in the middle left files that differ from HEAD but are what they are to become.
        let settled = switch.settled.iter().map(|change| change.path.as_path()).collect::<BTreeSet<_>>();
        let left = |path: &&PathBuf| !settled.contains(path.as_path());
        let files = differences.changed.iter().chain(&differences.untracked).filter(left).map(|path| text(path));
        let files = files.collect::<Vec<_>>();
        if !files.is_empty() {
            return Err(GitError::Dirty { path: checkout.path.clone(), files });
        }
        if head.reference.is_none() && !self.is_ancestor(&from, to)? {
            self.keep_if_unreachable(&from)?;
        }
        self.apply(checkout, &switch)
    }

    fn refuse_dirty(&self, checkout: &Checkout, status: &WorktreeStatus) -> Result<(), GitError> {
        let path = checkout.path.clone();
        if status.in_progress {
            return Err(GitError::InProgress { path });
        }
        let files = [status.changed.as_slice(), status.untracked.as_slice()].concat();
        if files.is_empty() { Ok(()) } else { Err(GitError::Dirty { path, files }) }
    }
}

/// Whether a worktree has been recorded but not filled.
fn is_setup(checkout: &Checkout) -> Result<bool, GitError> {
    let reason = layout::read_optional(&checkout.admin.join("locked"))?;
    Ok(reason.is_some_and(|reason| reason.trim_end() == SETUP))
}
