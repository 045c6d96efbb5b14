//! Merges of a play: they take a while, meet a conflict now and then, and are made again where base moved meanwhile.

use jiff::Timestamp;

use super::{Around, Later, Play, SECONDS_MAX, length};
use crate::decide::after;
use crate::event::{AdvanceOutcome, Event, MergeOutcome};
use crate::ids::{CommitId, TaskId};
use crate::metrics::seconds_between;

/// What the commits of base are called in a play, before how often it has moved.
const BASE: &str = "simulated-base-";

/// A merge that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Merging {
    /// How often base had moved when it began.
    onto: u64,
    since: Timestamp,
    conflicts: bool,
}

impl Play<'_> {
    /// Makes a merge, which takes a while. Whether it has begun now.
    pub(super) fn merge(&mut self, id: &TaskId, head: &CommitId) -> bool {
        let Some(task) = self.p.task(id.as_str()).filter(|_| !self.merging.contains(id)) else { return false };
        let Some(stage) = task.state.stage().cloned() else { return false };
        let passed = seconds_between(task.state_since, self.at).max(0.0);
        let drawn = self.chance.rest(passed, |chance| chance.merge(&stage));
        let merging = Merging { onto: self.base, since: self.at, conflicts: drawn.fails };
        let ends = after(self.at, length(drawn.seconds.clamp(0.0, SECONDS_MAX)));
        self.merging.insert(id.clone());
        self.schedule(ends, Later::Merged(id.clone(), head.clone(), merging));
        true
    }

    /// Moves base, if it is where it was when the merge was made.
    pub(super) fn advance(&mut self, onto: &CommitId) -> AdvanceOutcome {
        // Before the play it was wherever the state says.
        let is_there = if onto.as_str().starts_with(BASE) { *onto == base(self.base) } else { self.base == 0 };
        if !is_there {
            return AdvanceOutcome::Stale;
        }
        self.base += 1;
        AdvanceOutcome::Moved
    }

    /// The merge is made, or meets its conflict.
    pub(super) fn merged(&mut self, task: &TaskId, head: &CommitId, merging: Merging) {
        self.merging.remove(task);
        let seconds = seconds_between(merging.since, self.at);
        self.around.push(Around { what: "merge", seconds, failed: merging.conflicts });
        let outcome = match merging.conflicts {
            true => MergeOutcome::Conflict { files: Vec::new() },
            false => MergeOutcome::Commit { commit: made(head.as_str()), onto: base(merging.onto) },
        };
        self.feed(&Event::MergePrepared { task: task.clone(), head: head.clone(), outcome });
    }
}

pub(super) fn made(from: &str) -> CommitId {
    CommitId::from(format!("{from}+"))
}

/// Base, having moved so often.
fn base(moved: u64) -> CommitId {
    CommitId::from(format!("{BASE}{moved}"))
}
