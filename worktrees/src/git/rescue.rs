//! Keeping work that would otherwise be lost: a worktree's uncommitted files, or commits that no branch holds.
//!
//! Each rescue is a reference below `refs/pipeline/trash/`. It stays until somebody drops it.

use std::path::Path;

use jiff::Timestamp;
use pipeline_lib::ids::CommitId;

use super::backend::{Head, RefChange, text};
use super::{GitError, Repo, full_name, libgit};

const TRASH: &str = "refs/pipeline/trash/";

/// Work that was kept just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The reference that keeps it.
    pub reference: String,
    /// The commit.
    pub commit: CommitId,
    /// The files that differ from the commit before it.
    pub files: Vec<String>,
}

/// Work that is being kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescueInfo {
    /// The last part of the reference.
    pub id: String,
    /// The reference.
    pub reference: String,
    /// The commit.
    pub commit: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// When the commit was made.
    pub at: Timestamp,
    /// The files that differ from the commit before it.
    pub files: Vec<String>,
}

impl Repo {
    /// Keeps the uncommitted and untracked work of a worktree, which stays exactly as it is. `None` if there is none.
    ///
    /// # Errors
    /// When the worktree cannot be read.
    pub fn rescue(&self, worktree: &Path, id: &str, reason: &str) -> Result<Option<Rescued>, GitError> {
        let checkout = self.checkout(worktree)?;
        let head = self.backend.head(&checkout)?;
        let head = head.commit.ok_or_else(|| GitError::Unborn { path: checkout.path.clone() })?;
        let tree = self.stage(&checkout, &self.differences(&checkout)?, &[], false)?;
        if tree == self.tree_of(&head)? {
            return Ok(None);
        }
        let commit = self.write_commit(&tree, &[head], reason, Timestamp::now())?;
        let reference = self.keep(id, &commit, reason)?;
        let files = self.files_of(&commit)?;
        Ok(Some(Rescued { reference, commit, files }))
    }

    /// Keeps the uncommitted work of a worktree as [`Repo::rescue`] does and leaves the worktree clean: detached at the
    /// commit that keeps it. No file changes, so that nothing can be lost. Gives what was kept, if there was anything.
    ///
    /// # Errors
    /// When the worktree cannot be read or its index is locked.
    pub fn set_aside(&self, worktree: &Path, id: &str, reason: &str) -> Result<Option<Rescued>, GitError> {
        let Some(rescued) = self.rescue(worktree, id, reason)? else { return Ok(None) };
        let checkout = self.checkout(worktree)?;
        let tree = self.stage(&checkout, &self.differences(&checkout)?, &[], true)?;
        if tree != self.tree_of(&rescued.commit)? {
            // Somebody is still writing there. What was kept stays kept; the worktree is left to them.
            return Err(GitError::Dirty { path: checkout.path, files: rescued.files });
        }
        self.backend.set_head(&checkout, &self.backend.head(&checkout)?, &Head::detached(&rescued.commit))?;
        self.finish_operation(&checkout)?;
        Ok(Some(rescued))
    }

    /// Keeps a commit whose branch goes away.
    ///
    /// # Errors
    /// When there is no such commit, or git does not allow the id.
    pub fn rescue_commit(&self, id: &str, commit: &CommitId, reason: &str) -> Result<Rescued, GitError> {
        let reference = self.keep(id, commit, reason)?;
        Ok(Rescued { reference, commit: commit.clone(), files: self.files_of(commit)? })
    }

    /// Keeps what a branch points at and takes the branch away. `None` if there is no such branch.
    ///
    /// # Errors
    /// When the branch is checked out somewhere, or moved meanwhile.
    pub fn set_branch_aside(&self, branch: &str, id: &str, reason: &str) -> Result<Option<Rescued>, GitError> {
        let full = full_name(branch)?;
        let Some(head) = self.backend.read_ref(&full)? else { return Ok(None) };
        if let Some(checkout) = self.checkouts_of(branch)?.into_iter().next() {
            return Err(GitError::BranchElsewhere { branch: branch.to_owned(), path: checkout.path });
        }
        let rescued = self.rescue_commit(id, &head, reason)?;
        let change = RefChange { name: &full, old: Some(&head), new: None, reason };
        if self.backend.change_ref(&change)? { Ok(Some(rescued)) } else { Err(GitError::Moved { reference: full }) }
    }

    /// Points a reference at a commit. An id that keeps something else already gets a number appended.
    pub(super) fn keep(&self, id: &str, commit: &CommitId, reason: &str) -> Result<String, GitError> {
        let first = reference(id)?;
        let mut name = first.clone();
        for number in 2_u32.. {
            match self.backend.read_ref(&name)? {
                Some(found) if found == *commit => return Ok(name),
                None if self.create_ref(&name, commit, reason)? => return Ok(name),
                // Somebody else was faster; look again at what it is now.
                None => {}
                Some(_) => name = format!("{first}-{number}"),
            }
        }
        Err(GitError::Moved { reference: name })
    }

    /// Keeps a commit unless a branch, a tag or another rescue has it. Gives the reference that keeps it then.
    pub(super) fn keep_if_unreachable(&self, commit: &CommitId) -> Result<Option<String>, GitError> {
        // Branches come first: there are few of them next to tags, and one of them mostly has it.
        for below in ["refs/heads/", "refs/"] {
            let heads: Vec<CommitId> = self.backend.list_refs(below)?.into_iter().map(|(_, head)| head).collect();
            if self.backend.is_in_any(commit, &heads)? {
                return Ok(None);
            }
        }
        self.keep(&format!("detached-{}", commit.short()), commit, "commit on no branch").map(Some)
    }

    /// Everything that is being kept.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn rescues(&self) -> Result<Vec<RescueInfo>, GitError> {
        let mut found = Vec::new();
        for (reference, commit) in self.backend.list_refs(TRASH)? {
            let info = self.backend.commit_info(&commit)?;
            found.push(RescueInfo {
                id: reference.strip_prefix(TRASH).unwrap_or(&reference).to_owned(),
                subject: info.message.lines().next().unwrap_or_default().to_owned(),
                at: libgit::timestamp(info.seconds),
                files: self.files_of(&commit)?,
                reference,
                commit,
            });
        }
        Ok(found)
    }

    /// Creates a branch at what was kept. The rescue stays until it is dropped. Gives where the branch points.
    ///
    /// # Errors
    /// When nothing is kept under the id, or the branch exists and points elsewhere.
    pub fn restore_rescue(&self, id: &str, branch: &str) -> Result<CommitId, GitError> {
        let commit = self.rescued(id)?;
        let full = full_name(branch)?;
        if self.ensure_branch(branch, &commit)? == commit {
            Ok(commit)
        } else {
            Err(GitError::NameTaken { by: full.clone(), name: full })
        }
    }

    /// Stops keeping something. This is the only way in which kept work can be lost.
    ///
    /// # Errors
    /// When nothing is kept under the id, or it changed meanwhile.
    pub fn drop_rescue(&self, id: &str) -> Result<(), GitError> {
        let commit = self.rescued(id)?;
        let name = reference(id)?;
        let change = RefChange { name: &name, old: Some(&commit), new: None, reason: "pipeline: rescue dropped" };
        if self.backend.change_ref(&change)? { Ok(()) } else { Err(GitError::Moved { reference: name }) }
    }

    fn rescued(&self, id: &str) -> Result<CommitId, GitError> {
        let name = reference(id)?;
        self.backend.read_ref(&name)?.ok_or(GitError::NoSuchCommit { rev: name })
    }

    /// The files that a commit changed against its first parent.
    fn files_of(&self, commit: &CommitId) -> Result<Vec<String>, GitError> {
        let info = self.backend.commit_info(commit)?;
        let Some(parent) = info.parents.first() else { return Ok(Vec::new()) };
        let changes = self.backend.diff(&self.tree_of(parent)?, &info.tree, false)?;
        Ok(changes.iter().map(|change| text(&change.path)).collect())
    }
}

fn reference(id: &str) -> Result<String, GitError> {
    let name = format!("{TRASH}{id}");
    if id.contains('/') || !git2::Reference::is_valid_name(&name) {
        return Err(GitError::BadName { name: id.escape_debug().to_string() });
    }
    Ok(name)
}
