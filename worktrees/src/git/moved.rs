//! Branches that somebody moved who should not have: what they were, where an agent has been, and how to put one back
//! without losing what it was moved to.
//!
//! Whether a move was wrong is for the caller to say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use pipeline_lib::ids::CommitId;

use super::{Advance, GitError, Repo, full_name, layout};

/// The longest record of where a worktree has been that is read.
const BEEN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What became of the wish to put a branch back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// It is where it was.
    Done,
    /// It moved on meanwhile, or a checkout of it holds work that would be touched; it was left.
    Left,
}

impl Repo {
    /// Where every branch is, by its name without `refs/heads/`.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn branches(&self) -> Result<BTreeMap<String, CommitId>, GitError> {
        let listed = self.backend.list_refs("refs/heads/")?;
        Ok(listed.into_iter().filter_map(|(full, at)| Some((layout::branch_name(&full)?, at))).collect())
    }

    /// The commits that a worktree has been at since a time, as git recorded it, in seconds since 1970.
    ///
    /// # Errors
    /// When the path is not a checkout of this repository.
    pub fn been_at(&self, worktree: &Path, since: i64) -> Result<BTreeSet<CommitId>, GitError> {
        let checkout = self.checkout(worktree)?;
        let file = checkout.admin.join("logs/HEAD");
        let mut text = Vec::new();
        match layout::open(&file) {
            Ok(open) => open.take(BEEN_BYTES_MAX).read_to_end(&mut text).map_err(GitError::io("read", &file))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let moves = self.backend.moves(&checkout)?;
                return Ok(moves.into_iter().filter(|(at, _)| *at >= since).map(|(_, to)| to).collect());
            }
            Err(error) => return Err(GitError::io("read", &file)(error)),
        };
        let text = String::from_utf8_lossy(&text);
        let entry = |line: &str| {
            // Old, new, who, seconds and zone; then a tab and the reason.
            let (before, _) = line.split_once('\t').unwrap_or((line, ""));
            let at: i64 = before.rsplit(' ').nth(1)?.parse().ok()?;
            let new = before.split(' ').nth(1)?;
            (at >= since).then(|| CommitId::from(new.to_owned()))
        };
        Ok(text.lines().filter_map(entry).collect())
    }

    /// Puts a branch back to where it was, together with every checkout of it, and keeps what it was moved to under a
    /// rescue. It happens only if the branch is still where it was found.
    ///
    /// # Errors
    /// When a reference cannot be written or a checkout cannot be read.
    pub fn put_back(
        &self,
        branch: &str,
        found: Option<&CommitId>,
        to: &CommitId,
        id: &str,
    ) -> Result<PutBack, GitError> {
        let Some(found) = found else {
            let made = self.create_ref(&full_name(branch)?, to, "pipeline: put back")?;
            return Ok(if made { PutBack::Done } else { PutBack::Left });
        };
        self.keep(id, found, "where a branch was moved to")?;
        Ok(match self.advance_branch(branch, found, to)? {
            Advance::Moved => PutBack::Done,
            Advance::Stale { .. } | Advance::CheckoutDirty { .. } => PutBack::Left,
        })
    }
}
