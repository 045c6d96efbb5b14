//! Committing what an agent left in its worktree, whatever state it left it in.
//!
//! No hook runs and nothing is signed. Nothing is ever dropped: work that has no branch to go to is kept under
//! `refs/pipeline/trash/`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pipeline_lib::ids::CommitId;

use super::backend::{Checkout, Differences, Head, NewCommit, RefChange, text};
use super::worktree::OPERATION_REFS;
use super::{GitError, Repo, layout};

/// Where the uncommitted work of a worktree went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// There was none.
    Nothing,
    /// It is on the branch that the worktree has checked out.
    Branch {
        /// The branch.
        branch: String,
        /// Its new head.
        commit: CommitId,
    },
    /// It was on no branch, or in the middle of a rebase whose branch holds other commits. The branch is where it was,
    /// and the worktree is detached at the commit that keeps everything.
    Rescued {
        /// The reference that keeps the commit.
        reference: String,
        /// The commit.
        commit: CommitId,
    },
}

impl Repo {
    /// Commits every change of a worktree, untracked files included, except the paths in `leave_out`.
    ///
    /// A merge that the agent left is concluded if every conflict in it is resolved. With conflicts left, its files are
    /// committed as they are but not recorded as a merge, so that the conflict comes up again instead of being taken
    /// for resolved.
    ///
    /// # Errors
    /// When the worktree cannot be read, its index is locked, or the branch moved meanwhile. Also when there is a repository
    /// inside the worktree, which git could only record without its content: then everything else is committed, and the
    /// worktree is not clean.
    pub fn commit_all(&self, worktree: &Path, message: &str, leave_out: &[&str]) -> Result<Committed, GitError> {
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        let differences = self.differences_from(&checkout, head.commit.as_ref())?;
        let committed = self.commit_differences((&checkout, &head), &differences, message, leave_out)?;
        let is_repository =
            |path: &&PathBuf| checkout.path.join(path).symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let files: Vec<String> = differences.untracked.iter().filter(is_repository).map(|path| text(path)).collect();
        if files.is_empty() { Ok(committed) } else { Err(GitError::Dirty { path: checkout.path, files }) }
    }

    fn commit_differences(
        &self,
        (checkout, head): (&Checkout, &Head),
        differences: &Differences,
        message: &str,
        leave_out: &[&str],
    ) -> Result<Committed, GitError> {
        let base = head.commit.clone().ok_or_else(|| GitError::Unborn { path: checkout.path.clone() })?;
        let in_progress = self.in_progress(checkout)?;
        let mut parents = vec![base.clone()];
        if !differences.unmerged {
            parents.extend(merge_heads(checkout)?.into_iter().filter(|parent| *parent != base));
        }
        let leave_out = leave_out.iter().map(PathBuf::from).collect::<Vec<_>>();
        let before = self.tree_of(&base)?;
        let tree =
            if differences.is_empty() { before.clone() } else { self.stage(checkout, differences, &leave_out, true)? };
        let unchanged = tree == before && parents.len() == 1;
        if unchanged && !in_progress {
            return Ok(Committed::Nothing);
        }
        let commit =
            if unchanged { base.clone() } else { self.write_commit(&tree, &parents, message, Timestamp::now())? };
        let reference = match self.branch_for(checkout, head, &base)? {
            Some((reference, old)) => {
                let change =
                    RefChange { name: &reference, old: Some(&old), new: Some(&commit), reason: "commit: pipeline" };
                if commit != old && !self.backend.change_ref(&change)? {
                    return Err(GitError::Moved { reference });
                }
                if head.reference.is_none() {
                    self.backend.set_head(checkout, head, &Head::on(&reference, &commit))?;
                }
                reference
            }
            None => {
                let rescue = self.keep(&format!("detached-{}", commit.short()), &commit, "commit on no branch")?;
                self.backend.set_head(checkout, head, &Head::detached(&commit))?;
                rescue
            }
        };
        self.finish_operation(checkout)?;
        Ok(match layout::branch_name(&reference) {
            Some(_) if unchanged => Committed::Nothing,
            Some(branch) => Committed::Branch { branch, commit },
            None => Committed::Rescued { reference, commit },
        })
    }

    /// The branch that a commit on top of HEAD belongs on and where it points now, if moving it there loses nothing.
    fn branch_for(
        &self,
        checkout: &Checkout,
        head: &Head,
        base: &CommitId,
    ) -> Result<Option<(String, CommitId)>, GitError> {
        if let Some(reference) = &head.reference {
            return Ok(Some((reference.clone(), base.clone())));
        }
        // In a rebase HEAD is detached, and the branch still holds the commits that are being replayed.
        let Some(branch) = self.rebased_branch(checkout)? else { return Ok(None) };
        let Some(old) = self.branch_head(&branch)? else { return Ok(None) };
        Ok(self.is_ancestor(&old, base)?.then(|| (format!("refs/heads/{branch}"), old)))
    }

    /// Removes the marks of a merge, rebase or the like whose work has been committed. What was stashed for its duration
    /// is kept first.
    pub(super) fn finish_operation(&self, checkout: &Checkout) -> Result<(), GitError> {
        for file in ["rebase-merge/autostash", "rebase-apply/autostash", "MERGE_AUTOSTASH"] {
            if let Some(stash) = layout::read_optional(&checkout.admin.join(file))? {
                let stash = CommitId::from(stash.trim().to_owned());
                self.keep(&format!("autostash-{}", stash.short()), &stash, "stashed by an unfinished operation")?;
            }
        }
        for name in OPERATION_REFS {
            self.backend.clear_pseudo_ref(checkout, name)?;
        }
        let marks =
            ["MERGE_HEAD", "MERGE_MODE", "MERGE_MSG", "MERGE_RR", "MERGE_AUTOSTASH", "AUTO_MERGE", "SQUASH_MSG"];
        for name in marks.into_iter().chain(["rebase-merge", "rebase-apply", "sequencer"]) {
            layout::remove(&checkout.admin.join(name))?;
        }
        Ok(())
    }

    /// The tree of a worktree as it is on disk.
    pub(super) fn stage(
        &self,
        checkout: &Checkout,
        differences: &Differences,
        leave_out: &[PathBuf],
        keep: bool,
    ) -> Result<String, GitError> {
        let (mut gone, mut present) = (Vec::new(), Vec::new());
        for path in differences.changed.iter().chain(&differences.untracked) {
            if leave_out.iter().any(|left| path.starts_with(left)) {
                continue;
            }
            let full = checkout.path.join(path);
            match full.symlink_metadata() {
                // A tracked directory is a submodule; an untracked one is a repository of its own, which git could only
                // record without its content.
                Ok(metadata) if metadata.is_dir() => {
                    if !differences.changed.contains(path) {
                        tracing::warn!(path = %full.display(), "a repository inside a worktree is left out");
                    } else if full.join(".git").exists() {
                        present.push(path.clone());
                    } else {
                        gone.push(path.clone());
                    }
                }
                Ok(metadata) if metadata.is_file() || metadata.is_symlink() => present.push(path.clone()),
                // Sockets and pipes are nothing that git can hold.
                Ok(_) => {}
                Err(_) => gone.push(path.clone()),
            }
        }
        self.backend.stage(checkout, &gone, &present, keep)
    }

    /// Writes a commit in the name that is configured for the repository.
    pub(super) fn write_commit(
        &self,
        tree: &str,
        parents: &[CommitId],
        message: &str,
        when: Timestamp,
    ) -> Result<CommitId, GitError> {
        let given = |value: Option<String>| value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let name = given(self.backend.config("user.name")?).unwrap_or_else(|| "pipeline".to_owned());
        let email = given(self.backend.config("user.email")?).unwrap_or_else(|| "pipeline@localhost".to_owned());
        // NUL would end the message early; every commit message ends with a line break.
        let message = format!("{}\n", message.replace('\0', "").trim_end());
        self.backend.write_commit(&NewCommit { tree, parents, message: &message, name: &name, email: &email, when })
    }
}

/// The commits that an unfinished merge brings in.
fn merge_heads(checkout: &Checkout) -> Result<Vec<CommitId>, GitError> {
    let content = layout::read_optional(&checkout.admin.join("MERGE_HEAD"))?.unwrap_or_default();
    let ids = content.lines().map(str::trim).filter(|id| !id.is_empty());
    Ok(ids.map(|id| CommitId::from(id.to_owned())).collect())
}
