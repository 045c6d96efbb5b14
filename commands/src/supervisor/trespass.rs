//! Branches that are not a run's own: where they were when it began, and whether it has moved them. A move that is certainly
//! the run's is taken back where that loses nothing, and what it moved them to is kept; the agent then takes no work until a
//! person has looked.
//!
//! A person may move branches at any time, and so do we. A move is the run's where the branch is now at a commit that the
//! run's worktree has been at, which is what git itself recorded. Commits that only vanished are kept, and said.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_lib::ids::CommitId;
use pipeline_lib::run::Run;
use pipeline_worktrees::git::PutBack;

use super::launch::replace_file;
use super::look::read_small;
use super::perform::Failure;
use crate::context::Context;

/// In a run's directory, where the branches were when it began.
const SEEN: &str = "branches.json";
/// The same once it was compared: what happens to branches later is not the run's, even if the state has forgotten that it
/// is settled.
const COMPARED: &str = "branches-compared.json";
/// In a run's directory, what was found when it had ended, since once put right it cannot be found again.
pub(super) const FOUND: &str = "trespass";
/// The largest such file, in bytes.
const SEEN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is said of more branches than this is only how many they are.
const SAID_MAX: usize = 5;

/// What a run did to what is not its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What is certainly its doing.
    pub(super) certain: Vec<String>,
    /// What may be.
    pub(super) possible: Vec<String>,
}

/// Notes where the branches are, once for each run.
pub(super) fn remember(context: &Context, run: &Run) -> Result<(), Failure> {
    let file = context.run_dir(&run.id).join(SEEN);
    if file.exists() {
        return Ok(());
    }
    let branches = context.repo().branches()?;
    let text = serde_json::to_vec(&branches).map_err(|error| Failure::permanent(error.to_string()))?;
    replace_file(&file, &text)?;
    Ok(())
}

/// Finds what a run that has ended did to branches that are not its own, and puts back what can be. Repeated, it says the
/// same again. `mended` is what had to be put right before.
pub(super) fn compare(
    context: &Context,
    run: &Run,
    own: &str,
    worktree: &Path,
    mended: Vec<String>,
) -> Result<Found, Failure> {
    let dir = context.run_dir(&run.id);
    let (file, mut found) = (dir.join(FOUND), Found::default());
    let before = read_small(&file, SEEN_BYTES_MAX);
    if let Some(before) = &before {
        for line in String::from_utf8_lossy(before).lines() {
            match line.split_once(' ') {
                Some(("certain", words)) => found.certain.push(words.to_owned()),
                Some((_, words)) => found.possible.push(words.to_owned()),
                None => {}
            }
        }
    }
    found.certain.extend(mended.into_iter().map(|what| format!("{what}; that was put right")));
    let seen = if before.is_none() { seen(context, run) } else { BTreeMap::new() };
    let now = if seen.is_empty() { BTreeMap::new() } else { context.repo().branches()? };
    let moved: Vec<_> = moved(&seen, &now, own).collect();
    if !moved.is_empty() {
        let mut been = context.repo().been_at(worktree, run.claimed_at.as_second())?;
        // One that was handed on from the run before has not moved to where this run began.
        been.extend(seen.get(own).cloned());
        for (name, at) in moved {
            judge(context, run, (name, at, now.get(name)), &been, &mut found)?;
        }
    }
    for list in [&mut found.certain, &mut found.possible] {
        list.dedup();
        if list.len() > SAID_MAX {
            let more = list.len() - SAID_MAX;
            list.truncate(SAID_MAX);
            list.push(format!("and {more} more"));
        }
    }
    if found != Found::default() {
        let lines = found.certain.iter().map(|words| ("certain", words));
        let lines = lines.chain(found.possible.iter().map(|words| ("possible", words)));
        let text: String = lines.map(|(kind, words)| format!("{kind} {words}\n")).collect();
        replace_file(&file, text.as_bytes())?;
    } else if !seen.is_empty() {
        settle(context, run)?;
    }
    Ok(found)
}

/// Whether a run that has ended certainly left all branches but its own where they were.
pub(super) fn is_clear(context: &Context, run: &Run, own: &str) -> bool {
    let seen = seen(context, run);
    !seen.is_empty() && context.repo().branches().is_ok_and(|now| moved(&seen, &now, own).next().is_none())
}

/// That the branches of a run need not be looked at any more. It need not outlive a power cut: then it is done once more.
pub(super) fn settle(context: &Context, run: &Run) -> Result<(), Failure> {
    let dir = context.run_dir(&run.id);
    Ok(std::fs::rename(dir.join(SEEN), dir.join(COMPARED))?)
}

/// Where the branches were when a run began; nothing where that is not known, or was compared.
fn seen(context: &Context, run: &Run) -> BTreeMap<String, CommitId> {
    let bytes = read_small(&context.run_dir(&run.id).join(SEEN), SEEN_BYTES_MAX);
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The branches that are elsewhere by now, without the run's own.
fn moved<'s>(
    seen: &'s BTreeMap<String, CommitId>,
    now: &BTreeMap<String, CommitId>,
    own: &str,
) -> impl Iterator<Item = (&'s String, &'s CommitId)> {
    seen.iter().filter(move |(name, at)| *name != own && now.get(*name) != Some(*at))
}

fn judge(
    context: &Context,
    run: &Run,
    (name, at, to): (&str, &CommitId, Option<&CommitId>),
    been: &std::collections::BTreeSet<CommitId>,
    found: &mut Found,
) -> Result<(), Failure> {
    let repo = context.repo();
    let id = format!("moved-{}-{}", name.replace('/', "-"), run.id);
    let kept = format!("refs/pipeline/trash/{id}");
    let is_the_runs = to.is_some_and(|to| been.contains(to) && !been_there_before(repo, at, to));
    if let (true, Some(to)) = (is_the_runs, to) {
        let words = match repo.put_back(name, Some(to), at, &id)? {
            PutBack::Done => {
                format!("it moved branch {name} to {}; that was put back, and is kept at {kept}", to.short())
            }
            PutBack::Left => format!(
                "it moved branch {name} from {} to {}, and your checkout of it has changes, so it was left; \
                 `git reset --keep {}` there puts it back",
                at.short(),
                to.short(),
                at.short()
            ),
        };
        found.certain.push(words);
        return Ok(());
    }
    let lost = match to {
        None => true,
        Some(to) => !repo.is_ancestor(at, to)?,
    };
    // Where a move was put back for another run, what vanished is kept already, and was nobody's to begin with.
    let known = repo.rescues()?.iter().any(|rescue| rescue.commit == *at);
    if lost && !known {
        repo.rescue_commit(&id, at, "where a branch was before it was moved")?;
        let how = to.map_or_else(|| "is gone".to_owned(), |to| format!("was moved to {}", to.short()));
        found.possible.push(format!("branch {name} {how} while it ran, and not by us; what it was is kept at {kept}"));
    }
    Ok(())
}

/// Whether a branch only went on to what it had already: nothing was moved that a run could have made.
fn been_there_before(repo: &pipeline_worktrees::git::Repo, at: &CommitId, to: &CommitId) -> bool {
    at != to && repo.is_ancestor(to, at).unwrap_or(false)
}
