//! The handles of libgit2 on a repository and on its checkouts, which are opened once and kept. What is done with them is
//! elsewhere.
//!
//! A worktree is opened from the side of the repository, because an agent can rewrite the `.git` file of its worktree.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use git2::Repository;
use pipeline_lib::ids::CommitId;

use super::backend::{Checkout, Head};
use super::stamp::Found;
use super::{GitError, durable, head};

pub(super) struct LibGit {
    pub(super) repo: Repository,
    pub(super) common: PathBuf,
    /// Handles on checkouts, by path and private git directory: opening one costs more than most of what is done with it.
    pub(super) kept: RefCell<HashMap<(PathBuf, PathBuf), Repository>>,
    /// Commits that refs were found to name.
    pub(super) commits: RefCell<HashSet<git2::Oid>>,
    /// What refs and HEADs of checkouts were found to say, by their files.
    pub(super) refs: Found<CommitId>,
    pub(super) heads: Found<Head>,
    logging: OnceCell<head::Logging>,
}

impl LibGit {
    pub(super) fn new(repo: Repository, common: PathBuf) -> Self {
        Self {
            repo,
            common,
            kept: RefCell::default(),
            commits: RefCell::default(),
            refs: Found::default(),
            heads: Found::default(),
            logging: OnceCell::new(),
        }
    }

    /// Opens a checkout from the side of the repository: the `.git` of a worktree, which an agent can rewrite, is not read.
    pub(super) fn open(&self, checkout: &Checkout) -> Result<Repository, GitError> {
        let from = if checkout.admin == self.common { &checkout.path } else { &checkout.admin };
        let repo = Repository::open(from).and_then(durable::careful);
        let repo = repo.map_err(GitError::lib(format!("open the worktree {}", checkout.path.display())))?;
        let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        let of_files = repo.workdir().is_some_and(|files| same(files, &checkout.path));
        if same(repo.path(), &checkout.admin) && same(repo.commondir(), &self.common) && of_files {
            Ok(repo)
        } else {
            let problem = format!("its git directory is {}", repo.path().display());
            Err(GitError::NotAWorktree { path: checkout.path.clone(), problem })
        }
    }

    /// Works with a handle on a checkout that may have been used before. The index in it has to be read again.
    pub(super) fn with<T>(
        &self,
        checkout: &Checkout,
        work: impl FnOnce(&Repository) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let key = (checkout.path.clone(), checkout.admin.clone());
        let kept = self.kept.borrow_mut().remove(&key);
        let repo = match kept {
            Some(repo) => repo,
            None => self.open(checkout)?,
        };
        let result = work(&repo);
        if result.is_ok() {
            self.kept.borrow_mut().insert(key, repo);
        }
        result
    }

    /// As it was when it was first asked: a handle is opened anew before long.
    pub(super) fn logging(&self) -> Result<&head::Logging, GitError> {
        match self.logging.get() {
            Some(logging) => Ok(logging),
            None => {
                let logging = head::Logging::of(&self.repo)?;
                Ok(self.logging.get_or_init(|| logging))
            }
        }
    }
}
