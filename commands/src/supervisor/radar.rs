//! Looks ahead: tries out, in memory, which branches of tasks in flight will not merge. What it finds goes in as an event;
//! [`pipeline_lib::collision`] says what follows from it.
//!
//! Only what moved is looked at again: a pair of branches is known by where both and base point. A tick tries out so many
//! pairs and takes so much time for it at most, a later one goes on, and all of it takes a small share of the time, however
//! fast branches move. What was looked at is remembered in this process
//! alone, so that one which lives for a single tick begins at a place of its own each time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pipeline_lib::collision::Prediction;
use pipeline_lib::event::Event;
use pipeline_lib::ids::{CommitId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::Task;
use pipeline_worktrees::git::GitError;

use crate::context::Context;
use crate::engine;
use crate::error::chain;

/// The oldest so many tasks in flight are looked at.
const TASKS_MAX: usize = 32;
/// A tick tries out so many merges.
const TRIALS_MAX: usize = 64;
/// A tick begins no further one after so long.
const TIME_MAX: Duration = Duration::from_millis(200);
/// Where branches point is looked up this often while nothing else happens.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks passes so many times what the first one took.
const REST: u32 = 10;

/// A task, and the one that it is compared with; none for base.
type Pair = (TaskId, Option<TaskId>);

/// Where base and both branches of a pair pointed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    base: CommitId,
    head: CommitId,
    other: Option<CommitId>,
}

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Radar {
    looked: HashMap<Pair, Seen>,
    /// The pair that was looked at last.
    cursor: Option<Pair>,
    /// The last fact at the time of the last look.
    seq: u64,
    /// When the last look was over, and when the next one may begin.
    last: Option<(Instant, Instant)>,
    behind: bool,
}

impl Radar {
    /// When to look again even if nothing happens: there was more to try out than one look does, or it was too soon.
    pub(super) fn due(&self) -> Option<Instant> {
        self.last.filter(|_| self.behind).map(|(_, next)| next)
    }

    /// Tries out what moved since the last look.
    pub(super) fn look(&mut self, context: &Context, pipeline: &Pipeline) -> Option<Event> {
        let (seq, began) = (pipeline.core.seq, Instant::now());
        if let Some((last, next)) = self.last {
            if self.seq == seq && !self.behind && last.elapsed() < LOOK_EVERY {
                return None;
            }
            if began < next {
                self.behind = true;
                return None;
            }
        }
        self.seq = seq;
        let found = self.try_out(context, pipeline);
        let over = Instant::now();
        self.last = Some((over, over + (over - began) * REST));
        match found {
            Ok(found) => (!found.is_empty()).then_some(Event::MergesPredicted(found)),
            Err(error) => {
                self.behind = false;
                tracing::warn!(error = chain(&error), "which branches will not merge is not known");
                None
            }
        }
    }

    fn try_out(&mut self, context: &Context, pipeline: &Pipeline) -> Result<Vec<Prediction>, GitError> {
        let mut tasks: Vec<&Task> = pipeline.in_flight().filter(|task| *task.branch_task() == task.id).collect();
        tasks.sort_unstable_by_key(|task| task.order);
        tasks.truncate(TASKS_MAX);
        let (repo, base) = (context.repo(), context.base_head()?);
        let mut heads: Vec<(&TaskId, CommitId)> = Vec::with_capacity(tasks.len());
        for task in tasks {
            heads.extend(repo.branch_head(&task.branch())?.map(|head| (&task.id, head)));
        }
        let now = pairs(&base, &heads);
        // Of what cannot be tried out any more nothing is said.
        let gone = |(task, with): &(&TaskId, Option<&TaskId>)| !now.contains_key(&((*task).clone(), with.cloned()));
        let gone = pipeline.core.collisions.all().filter(gone);
        let mut found: Vec<Prediction> = gone
            .map(|(task, with)| Prediction { task: task.clone(), with: with.cloned(), files: Vec::new() })
            .collect();
        self.looked.retain(|pair, _| now.contains_key(pair));
        let stale = now.into_iter().filter(|(pair, seen)| self.looked.get(pair) != Some(seen)).collect();
        let stale = in_turn(stale, self.cursor.as_ref(), engine::now().entropy);
        self.behind = false;
        if stale.is_empty() {
            return Ok(found);
        }
        let (all, mut trial, began) = (stale.len(), repo.trial(&base)?, Instant::now());
        for (done, (pair, seen)) in stale.into_iter().enumerate() {
            // One at least, however long that takes.
            if done >= TRIALS_MAX || (done > 0 && began.elapsed() >= TIME_MAX) {
                tracing::debug!(done, all, took = ?began.elapsed(), "merges tried out, the others later");
                self.behind = true;
                break;
            }
            let files = match &seen.other {
                None => trial.onto_base(&seen.head),
                Some(other) => trial.both(&seen.head, other),
            };
            match files {
                Ok(files) => found.push(Prediction { task: pair.0.clone(), with: pair.1.clone(), files }),
                // It would fail in the same way until one of them moves.
                Err(error) => {
                    let with = pair.1.as_ref().map_or("base", |with| with.as_str());
                    tracing::warn!(task = %pair.0, with, error = chain(&error), "a merge could not be tried out");
                }
            }
            self.cursor = Some(pair.clone());
            self.looked.insert(pair, seen);
        }
        Ok(found)
    }
}

/// What is to be looked at, from behind the pair that was the last one; from anywhere where there is none.
fn in_turn(mut stale: Vec<(Pair, Seen)>, cursor: Option<&Pair>, entropy: u64) -> Vec<(Pair, Seen)> {
    stale.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let start = match cursor {
        Some(cursor) => stale.partition_point(|(pair, _)| pair <= cursor),
        None => usize::try_from(entropy % (stale.len().max(1) as u64)).unwrap_or_default(),
    };
    stale.rotate_left(start);
    stale
}

/// Each task with base, and each two of them once. A branch on which nothing was done yet merges with everything.
fn pairs(base: &CommitId, heads: &[(&TaskId, CommitId)]) -> HashMap<Pair, Seen> {
    let mut pairs = HashMap::new();
    let heads: Vec<_> = heads.iter().filter(|(_, head)| head != base).collect();
    for (at, (task, head)) in heads.iter().enumerate() {
        let alone = Seen { base: base.clone(), head: head.clone(), other: None };
        pairs.insert(((*task).clone(), None), alone);
        for (other, theirs) in heads.iter().skip(at + 1).copied() {
            // The order of names, so that it is the same pair whoever is older.
            let ((a, ours), (b, theirs)) =
                if task < other { ((task, head), (other, theirs)) } else { ((other, theirs), (task, head)) };
            let seen = Seen { base: base.clone(), head: ours.clone(), other: Some(theirs.clone()) };
            pairs.insert(((*a).clone(), Some((*b).clone())), seen);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(count: usize) -> Vec<(TaskId, CommitId)> {
        let head = |n: usize| (TaskId::new(&format!("T-{n:02}")).unwrap(), CommitId::from(format!("c{n}")));
        (0..count).map(head).collect()
    }

    fn all(base: &str, heads: &[(TaskId, CommitId)]) -> HashMap<Pair, Seen> {
        let heads: Vec<(&TaskId, CommitId)> = heads.iter().map(|(task, head)| (task, head.clone())).collect();
        pairs(&CommitId::from(base.to_owned()), &heads)
    }

    #[test]
    fn each_two_are_compared_once_and_again_only_where_one_of_them_or_base_moved() {
        let mut heads = heads(5);
        let before = all("b1", &heads);
        assert_eq!(before.len(), 5 + 5 * 4 / 2);
        let moved =
            |now: &HashMap<Pair, Seen>| now.iter().filter(|(pair, seen)| before.get(*pair) != Some(seen)).count();
        assert_eq!(moved(&before), 0);
        heads.reverse();
        assert_eq!(moved(&all("b1", &heads)), 0, "whoever comes first");
        heads[0].1 = CommitId::from("new".to_owned());
        assert_eq!(moved(&all("b1", &heads)), 1 + 4);
        assert_eq!(moved(&all("b2", &heads)), 15);
        assert_eq!(all("c3", &heads).len(), 4 + 4 * 3 / 2, "one of them has done nothing yet");
    }

    #[test]
    fn a_later_look_goes_on_behind_the_last_pair_and_comes_round() {
        let stale: Vec<(Pair, Seen)> = all("b", &heads(4)).into_iter().collect();
        let sorted: Vec<Pair> = in_turn(stale.clone(), None, 0).into_iter().map(|(pair, _)| pair).collect();
        let next = |cursor: &Pair| in_turn(stale.clone(), Some(cursor), 7).remove(0).0;
        assert_eq!(next(&sorted[3]), sorted[4]);
        assert_eq!(next(&sorted[9]), sorted[0]);
        let anywhere = |entropy| in_turn(stale.clone(), None, entropy).remove(0).0;
        assert_eq!((anywhere(13), anywhere(20)), (sorted[3].clone(), sorted[0].clone()));
        assert_eq!(in_turn(Vec::new(), None, 3), []);
    }
}
