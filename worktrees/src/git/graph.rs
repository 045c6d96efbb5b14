//! Questions about the graph of commits, answered by the library. What follows from the answers is decided elsewhere.

use git2::{Error, Oid, Repository};
use pipeline_lib::ids::CommitId;

fn oid(commit: &CommitId) -> Result<Oid, Error> {
    Oid::from_str(commit.as_str())
}

/// Whether `of` contains `ancestor`. A commit contains itself.
pub(super) fn is_ancestor(repo: &Repository, ancestor: &CommitId, of: &CommitId) -> Result<bool, Error> {
    let (ancestor, of) = (oid(ancestor)?, oid(of)?);
    Ok(ancestor == of || repo.graph_descendant_of(of, ancestor)?)
}

/// Whether one of these commits contains `ancestor`. One walk answers it, however many there are.
pub(super) fn is_in_any(repo: &Repository, ancestor: &CommitId, of: &[CommitId]) -> Result<bool, Error> {
    let mut walk = repo.revwalk()?;
    walk.push(oid(ancestor)?)?;
    for head in of {
        walk.hide(oid(head)?)?;
    }
    // Unless the commit itself is left, it is in one of them.
    walk.next().transpose().map(|left| left.is_none())
}

/// How many commits `to` has that `from` has not.
pub(super) fn count_between(repo: &Repository, from: &CommitId, to: &CommitId) -> Result<usize, Error> {
    repo.graph_ahead_behind(oid(to)?, oid(from)?).map(|(ahead, _)| ahead)
}

pub(super) fn merge_base(repo: &Repository, a: &CommitId, b: &CommitId) -> Result<Oid, Error> {
    repo.merge_base(oid(a)?, oid(b)?)
}
