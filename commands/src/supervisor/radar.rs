//! Looks ahead: tries out, in memory, which branches of tasks in flight will not merge. What it finds goes in as an event;
//! [`pipeline_lib::collision`] says what follows from it.
//!
//! Only what moved is looked at again: a pair of branches is known by where both and base point. A tick tries out so many
//! pairs and takes so much time for it at most, and the next one goes on. What was looked at is remembered in this process
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
    /// The last fact at the time of the last look, and when that was.
    last: Option<(u64, Instant)>,
    behind: bool,
}

impl Radar {
    /// Whether there was more to try out than one look does.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Tries out what moved since the last look.
    pub(super) fn look(&mut self, context: &Context, pipeline: &Pipeline) -> Option<Event> {
        let seq = pipeline.core.seq;
        let lately = self.last.is_some_and(|(then, at)| then == seq && at.elapsed() < LOOK_EVERY);
        if lately && !self.behind {
            return None;
        }
        self.last = Some((seq, Instant::now()));
        match self.try_out(context, pipeline) {
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
        let fresh = self.looked.is_empty();
        self.looked.retain(|pair, _| now.contains_key(pair));
        let mut stale: Vec<(Pair, Seen)> =
            now.into_iter().filter(|(pair, seen)| self.looked.get(pair) != Some(seen)).collect();
        stale.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if fresh && stale.len() > TRIALS_MAX {
            let start = usize::try_from(engine::now().entropy).unwrap_or_default() % stale.len();
            stale.rotate_left(start);
        }
        self.behind = false;
        if stale.is_empty() {
            return Ok(found);
        }
        let (began, mut trial) = (Instant::now(), repo.trial(&base)?);
        for (done, (pair, seen)) in stale.into_iter().enumerate() {
            if done >= TRIALS_MAX || began.elapsed() >= TIME_MAX {
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
            self.looked.insert(pair, seen);
        }
        Ok(found)
    }
}

/// Each task with base, and each two of them once.
fn pairs(base: &CommitId, heads: &[(&TaskId, CommitId)]) -> HashMap<Pair, Seen> {
    let mut pairs = HashMap::new();
    for (at, (task, head)) in heads.iter().enumerate() {
        let alone = Seen { base: base.clone(), head: head.clone(), other: None };
        pairs.insert(((*task).clone(), None), alone);
        for (other, theirs) in heads.iter().skip(at + 1) {
            // The order of names, so that it is the same pair whoever is older.
            let ((a, ours), (b, theirs)) =
                if task < other { ((task, head), (other, theirs)) } else { ((other, theirs), (task, head)) };
            let seen = Seen { base: base.clone(), head: ours.clone(), other: Some(theirs.clone()) };
            pairs.insert(((*a).clone(), Some((*b).clone())), seen);
        }
    }
    pairs
}
