//! Merging without touching any checkout, and moving a branch together with the checkouts that have it.
//!
//! A merge is written to the object database first; whether and when a branch moves to it is somebody else's decision.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use pipeline_lib::ids::CommitId;

use super::backend::{Checkout, Merged, RefChange, Switch, text};
use super::{GitError, Repo, full_name};

/// What a merge would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeCheck {
    /// The base contains the head.
    AlreadyMerged,
    /// It would succeed.
    Clean,
    /// It would leave conflicts.
    Conflict {
        /// The files in conflict.
        files: Vec<String>,
    },
}

/// What a merge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The base contains the head; no commit was made.
    AlreadyMerged,
    /// The merge commit, which no branch points to yet.
    Commit(CommitId),
    /// It cannot be done without a person or an agent.
    Conflict {
        /// The files in conflict.
        files: Vec<String>,
    },
}

/// What reverting a merge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverted {
    /// The base does not contain the merge, or nothing of it is left.
    NothingToRevert,
    /// The commit that undoes the merge, which no branch points to yet.
    Commit(CommitId),
    /// Later changes are in the way.
    Conflict {
        /// The files in conflict.
        files: Vec<String>,
    },
}

/// What became of the wish to move a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// The branch and every checkout of it are at the new commit.
    Moved,
    /// The branch is not where it was expected; nothing was moved.
    Stale {
        /// Where it is.
        found: Option<CommitId>,
    },
    /// A checkout of the branch holds work that the move would touch; nothing was moved.
    CheckoutDirty {
        /// The checkout.
        path: PathBuf,
        /// The files in question; empty if an operation such as a rebase is under way.
        files: Vec<String>,
        /// What a person can type to clear the way.
        command: String,
    },
}

fn names(files: Vec<PathBuf>) -> Vec<String> {
    files.iter().map(|file| text(file)).collect()
}

impl Repo {
    /// Finds out what merging `head` into `base` would come to.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn merge_check(&self, base: &CommitId, head: &CommitId) -> Result<MergeCheck, GitError> {
        if self.is_ancestor(head, base)? {
            return Ok(MergeCheck::AlreadyMerged);
        }
        Ok(match self.backend.merge(None, base, head)? {
            Merged::Tree(_) => MergeCheck::Clean,
            Merged::Conflict(files) => MergeCheck::Conflict { files: names(files) },
        })
    }

    /// Makes the commit that merges `head` into `base`. It always has both as parents. The same arguments give the same
    /// commit, so that a merge which was cut short can be repeated.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn merge_commit(
        &self,
        base: &CommitId,
        head: &CommitId,
        message: &str,
        when: Timestamp,
    ) -> Result<MergeOutcome, GitError> {
        if self.is_ancestor(head, base)? {
            return Ok(MergeOutcome::AlreadyMerged);
        }
        match self.backend.merge(None, base, head)? {
            Merged::Tree(tree) => {
                let commit = self.write_commit(&tree, &[base.clone(), head.clone()], message, when)?;
                Ok(MergeOutcome::Commit(commit))
            }
            Merged::Conflict(files) => Ok(MergeOutcome::Conflict { files: names(files) }),
        }
    }

    /// Makes the commit on top of `base` that undoes what a merge commit brought into its first parent.
    ///
    /// # Errors
    /// When there is no such commit, or when it has no parent.
    pub fn revert_merge(
        &self,
        base: &CommitId,
        merge_commit: &CommitId,
        message: &str,
        when: Timestamp,
    ) -> Result<Reverted, GitError> {
        if !self.is_ancestor(merge_commit, base)? {
            return Ok(Reverted::NothingToRevert);
        }
        let parents = self.backend.commit_info(merge_commit)?.parents;
        let before =
            parents.into_iter().next().ok_or_else(|| GitError::NoSuchCommit { rev: format!("{merge_commit}^1") })?;
        match self.backend.merge(Some(merge_commit), base, &before)? {
            Merged::Tree(tree) if tree == self.tree_of(base)? => Ok(Reverted::NothingToRevert),
            Merged::Tree(tree) => {
                Ok(Reverted::Commit(self.write_commit(&tree, std::slice::from_ref(base), message, when)?))
            }
            Merged::Conflict(files) => Ok(Reverted::Conflict { files: names(files) }),
        }
    }

    /// Makes the commit that lets a branch bring anew what was reverted on base: it follows both the branch and the revert,
    /// and its files are those of base before the revert. Merged as it is, the branch would bring nothing, because base
    /// has its commits already. (The way that git's own `revert-a-faulty-merge` describes.)
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn bring_anew(
        &self,
        branch: &CommitId,
        before: &CommitId,
        revert: &CommitId,
        message: &str,
        when: Timestamp,
    ) -> Result<CommitId, GitError> {
        let tree = self.tree_of(before)?;
        self.write_commit(&tree, &[branch.clone(), revert.clone()], message, when)
    }

    /// Moves a branch from one commit to another if it is where it is expected to be, and updates every checkout of it.
    ///
    /// Files and index are brought to the new commit first and the branch is moved last. Cut short at any point, the
    /// same call completes the work: files that already are what they are to become do not count as changed.
    ///
    /// # Errors
    /// When a checkout cannot be read or written, or its index is locked.
    pub fn advance_branch(&self, branch: &str, from: &CommitId, to: &CommitId) -> Result<Advance, GitError> {
        let full = full_name(branch)?;
        let found = self.backend.read_ref(&full)?;
        if found.as_ref() == Some(to) {
            return Ok(Advance::Moved);
        }
        if found.as_ref() != Some(from) {
            return Ok(Advance::Stale { found });
        }
        // Every checkout is looked at before the first one is touched.
        let mut plans: Vec<(Checkout, Switch)> = Vec::new();
        for checkout in self.checkouts_of(branch)? {
            match self.plan_advance(&checkout, from, to)? {
                Ok(switch) => plans.push((checkout, switch)),
                Err(dirty) => return Ok(dirty),
            }
        }
        for (done, (checkout, switch)) in plans.iter().enumerate() {
            if let Err(error) = self.apply(checkout, switch) {
                self.go_back(&plans[..done])?;
                return match error {
                    GitError::Dirty { path, files } => Ok(dirty_checkout(path, files)),
                    error => Err(error),
                };
            }
        }
        let reason = "pipeline: merge";
        if self.backend.change_ref(&RefChange { name: &full, old: Some(from), new: Some(to), reason })? {
            return Ok(Advance::Moved);
        }
        self.go_back(&plans)?;
        Ok(Advance::Stale { found: self.backend.read_ref(&full)? })
    }

    /// Decides whether a checkout can follow its branch. The inner error says what is in the way.
    fn plan_advance(
        &self,
        checkout: &Checkout,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Result<Switch, Advance>, GitError> {
        if self.in_progress(checkout)? {
            let command = format!("git -C {} status", quoted(checkout));
            return Ok(Err(Advance::CheckoutDirty { path: checkout.path.clone(), files: Vec::new(), command }));
        }
        match self.plan(checkout, &self.differences(checkout)?, from, to) {
            Ok(switch) => Ok(Ok(switch)),
            Err(GitError::Dirty { path, files }) => Ok(Err(dirty_checkout(path, files))),
            Err(error) => Err(error),
        }
    }

    /// Brings checkouts back that were updated for a move which then did not happen.
    pub(super) fn go_back(&self, plans: &[(Checkout, Switch)]) -> Result<(), GitError> {
        for (checkout, switch) in plans {
            let back = self.plan_back(checkout, switch)?;
            self.apply(checkout, &back)?;
        }
        Ok(())
    }
}

fn quoted(checkout: &Checkout) -> String {
    quote(&text(&checkout.path))
}

/// A path as a word of a shell.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn dirty_checkout(path: PathBuf, files: Vec<String>) -> Advance {
    // Untracked and ignored files are only stashed when they are asked for by name.
    let names = files.iter().map(|file| quote(file)).collect::<BTreeSet<_>>();
    let names = names.into_iter().collect::<Vec<_>>().join(" ");
    let command = format!("git -C {} stash push --all -- {names}", quote(&text(&path)));
    Advance::CheckoutDirty { path, files, command }
}
