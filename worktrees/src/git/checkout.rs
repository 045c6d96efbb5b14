//! Finding the checkout at a path, and those that a branch belongs to. What is done with them is elsewhere.
//!
//! An agent can write in its worktree, so that what leads from there to the repository is looked at each time, or found to be
//! just what it was when it was looked at.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::backend::Checkout;
use super::stamp::{Stamp, settled};
use super::{GitError, Repo, layout, planted};

/// Linked worktrees that were found to be in order, by their paths, each with the files that said so as they were then.
#[derive(Debug, Default)]
pub(super) struct Known(RefCell<HashMap<PathBuf, (Checkout, Vec<Stamp>)>>);

impl Known {
    /// The worktree at a path, if nothing that it relies on has changed.
    fn get(&self, path: &Path) -> Option<Checkout> {
        let mut known = self.0.borrow_mut();
        let (checkout, stamps) = known.get(path)?;
        if layout::is_plain(path) && stamps.iter().all(Stamp::holds) {
            return Some(checkout.clone());
        }
        known.remove(path);
        None
    }
}

impl Repo {
    /// The checkouts that a branch belongs to: where HEAD points at it, or where it is being rebased.
    pub(super) fn checkouts_of(&self, branch: &str) -> Result<Vec<Checkout>, GitError> {
        let mut found = Vec::new();
        for (path, is_there) in self.paths_of(branch)? {
            match self.checkout(&path) {
                Ok(checkout) => found.push(checkout),
                Err(error) if is_there => return Err(error),
                // A worktree of something else that is in disorder is nobody's problem here.
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// The same as paths, each with whether HEAD points at it. A directory that is gone holds nothing that could be lost and
    /// cannot be worked with.
    fn paths_of(&self, branch: &str) -> Result<Vec<(PathBuf, bool)>, GitError> {
        let mut found = Vec::new();
        if self.backend.heads_are_files() {
            // This is asked for before every checkout, and only those that name the branch are looked at closely.
            for admin in std::iter::once(self.common.clone()).chain(layout::entries(&self.common)?) {
                let is_there = layout::head_branch(&admin)?.as_deref() == Some(branch);
                if is_there || rebased_branch_at(&admin)?.as_deref() == Some(branch) {
                    let path = match admin == self.common {
                        true => Some(self.main.clone()),
                        false => layout::read_entry(admin)?.map(|entry| entry.path),
                    };
                    found.extend(path.filter(|path| path.exists()).map(|path| (path, is_there)));
                }
            }
            return Ok(found);
        }
        for info in self.worktrees()?.into_iter().filter(|info| !info.prunable) {
            let is_there = info.branch.as_deref() == Some(branch);
            if is_there || self.rebases(&info.path, branch)? {
                found.push((info.path, is_there));
            }
        }
        Ok(found)
    }

    /// Whether a branch is being rebased in a checkout, which is given as [`Self::worktrees`] does.
    fn rebases(&self, worktree: &Path, branch: &str) -> Result<bool, GitError> {
        let checkout = match worktree == self.main {
            true => Some(self.main_as_checkout()),
            false => layout::find_entry(&self.common, worktree)?,
        };
        let rebased = checkout.map(|checkout| self.rebased_branch(&checkout)).transpose()?.flatten();
        Ok(rebased.as_deref() == Some(branch))
    }

    /// The checkout at a path, which has to be one of this repository.
    pub(super) fn checkout(&self, path: &Path) -> Result<Checkout, GitError> {
        if let Some(known) = self.known_checkout(path)? {
            return Ok(known);
        }
        let checkout = self.find_checkout(path)?;
        self.mend_index(&checkout)?;
        self.remember(path, &checkout)?;
        Ok(checkout)
    }

    /// The linked worktree at a path, if it was looked at before and is as it was then.
    pub(super) fn known_checkout(&self, path: &Path) -> Result<Option<Checkout>, GitError> {
        let known = self.known.get(path);
        if known.is_some() {
            // The only one of the files it relies on that other checkouts rely on too.
            self.cleared.programs(&self.common.join("config"))?;
        }
        Ok(known)
    }

    /// Remembers what a linked worktree was found to be, if it is in nobody's hands and has been so for a while.
    fn remember(&self, path: &Path, checkout: &Checkout) -> Result<(), GitError> {
        if checkout.admin == self.common || checkout.path != path {
            return Ok(());
        }
        let (there, gone) = (["gitdir", "commondir", "index"], ["locked", "config.worktree"]);
        let in_admin = |name: &&str| Stamp::of(&checkout.admin.join(name));
        let mut stamps: Vec<Stamp> = there.iter().map(in_admin).collect();
        stamps.push(Stamp::of(&path.join(".git")));
        let is_there = stamps.iter().all(Stamp::is_there);
        let gone = gone.iter().map(in_admin).chain([Stamp::of(&self.record_of(checkout))]);
        let gone: Vec<Stamp> = gone.collect();
        let is_gone = !gone.iter().any(Stamp::is_there);
        stamps.extend(gone);
        if is_there && is_gone && settled(&stamps) {
            // What was read before may have been changed before it was stamped.
            let again = self.find_checkout(path)?;
            self.mend_index(&again)?;
            self.known.0.borrow_mut().insert(path.to_owned(), (again, stamps));
        }
        Ok(())
    }

    fn find_checkout(&self, path: &Path) -> Result<Checkout, GitError> {
        let path = layout::absolute(path)?;
        if path == self.main {
            planted::look(&self.cleared, &self.common, &self.main_as_checkout())?;
            return Ok(self.main_as_checkout());
        }
        let not = |problem: &str| GitError::NotAWorktree { path: path.clone(), problem: problem.to_owned() };
        let checkout =
            layout::find_entry(&self.common, &path)?.ok_or_else(|| not("the repository does not know it"))?;
        if self.is_lent(&checkout) {
            // Its `.git` is an agent's, and is not followed.
            planted::look(&self.cleared, &self.common, &checkout)?;
            return Ok(checkout);
        }
        match layout::read_optional(&path.join(".git"))? {
            None => Err(not("it has no .git file")),
            Some(content) if leads_to(&path, &content, &checkout.admin) => {
                planted::look(&self.cleared, &self.common, &checkout)?;
                Ok(checkout)
            }
            Some(content) => Err(not(&format!("its .git file says `{}`", content.trim_end().escape_debug()))),
        }
    }

    /// The branch that a rebase in this checkout will move when it ends.
    pub(super) fn rebased_branch(&self, checkout: &Checkout) -> Result<Option<String>, GitError> {
        rebased_branch_at(&checkout.admin)
    }
}

fn rebased_branch_at(admin: &Path) -> Result<Option<String>, GitError> {
    for folder in ["rebase-merge", "rebase-apply"] {
        if let Some(name) = layout::read_optional(&admin.join(folder).join("head-name"))? {
            return Ok(layout::branch_name(name.trim_end()));
        }
    }
    Ok(None)
}

/// Whether the content of a `.git` file leads to a private git directory.
pub(super) fn leads_to(worktree: &Path, content: &str, admin: &Path) -> bool {
    let Some(target) = content.strip_prefix("gitdir:") else { return false };
    let target = worktree.join(target.trim());
    if target == admin {
        return admin.exists();
    }
    matches!((target.canonicalize(), admin.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
