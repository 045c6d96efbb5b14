//! The latest runs that ended, in order, kept in step with the pipeline by looking only at tasks that changed. Runs of
//! tasks that were archived stay while there is room; one that is made anew knows the runs of the tasks that are there.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::{AgentName, RunId, StageId, TaskId};
use crate::pipeline::{Mark, Pipeline};
use crate::run::{RunSummary, Usage, Verdict, Work};
use crate::task::Task;

/// How many runs are remembered: a day of thirty agents that take twenty minutes for each.
const RUNS_MAX: usize = 4_000;

/// The latest runs. Follow the pipeline before asking.
#[derive(Debug, Clone, Default)]
pub struct History {
    seen: Option<Mark>,
    runs: BTreeMap<(Timestamp, RunId), Past>,
}

/// What a run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An agent's own work.
    Agent,
    /// The check of a claim.
    Gate,
    /// The set-up of a worktree.
    Setup,
}

impl Kind {
    /// The kind of a live run's work.
    #[must_use]
    pub fn of(work: &Work) -> Self {
        match work {
            Work::Agent | Work::Command { .. } | Work::Probe { .. } => Self::Agent,
            Work::Gate { .. } => Self::Gate,
            Work::Setup { .. } => Self::Setup,
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "gate" => Self::Gate,
            "setup" => Self::Setup,
            _ => Self::Agent,
        }
    }
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// For which task.
    pub task: TaskId,
    /// By whom.
    pub agent: AgentName,
    /// At which stage.
    pub stage: StageId,
    /// What it was for.
    pub kind: Kind,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// What came of it.
    pub verdict: Verdict,
    /// What it used.
    pub usage: Usage,
}

impl Past {
    fn of(task: &TaskId, run: &RunSummary) -> Self {
        Self {
            task: task.clone(),
            agent: run.agent.clone(),
            stage: run.stage.clone(),
            kind: Kind::of_word(&run.work),
            attempt: run.attempt,
            from: run.started_at.min(run.ended_at),
            to: run.ended_at,
            verdict: run.verdict,
            usage: run.usage,
        }
    }
}

impl History {
    /// Takes over what changed since the last time.
    pub fn follow(&mut self, pipeline: &Pipeline) {
        let changes = pipeline.queue.changes();
        match self.seen.as_ref().and_then(|mark| changes.since(mark)) {
            Some(changed) => changed.filter_map(|slot| pipeline.tasks.at(slot)).for_each(|task| self.note(task)),
            None => pipeline.tasks.iter().for_each(|task| self.note(task)),
        }
        self.seen = Some(changes.mark());
    }

    fn note(&mut self, task: &Task) {
        for run in &task.runs {
            let full = self.runs.len() >= RUNS_MAX;
            if full && self.runs.first_key_value().is_some_and(|((oldest, _), _)| run.ended_at < *oldest) {
                continue;
            }
            self.runs.insert((run.ended_at, run.id.clone()), Past::of(&task.id, run));
            if self.runs.len() > RUNS_MAX {
                self.runs.pop_first();
            }
        }
    }

    /// The runs, the one that ended last first.
    pub fn latest(&self) -> impl Iterator<Item = &Past> {
        self.runs.values().rev()
    }

    /// Since when all runs are known; none where none had to be forgotten.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        let full = self.runs.len() >= RUNS_MAX;
        self.runs.first_key_value().filter(|_| full).map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;
    use crate::run::ClaimStatus;

    fn told(history: &mut History, p: &Pipeline) -> Vec<String> {
        history.follow(p);
        let mut anew = History::default();
        anew.follow(p);
        assert!(anew.latest().eq(history.latest()), "one that is made anew says the same");
        history.latest().map(|run| format!("{} {:?} {:?}", run.task, run.kind, run.verdict)).collect()
    }

    #[test]
    fn runs_are_known_from_the_latest_on_with_what_came_of_them() {
        let mut w = World::new();
        let mut history = History::default();
        w.add_all(&["A"]);
        w.tick();
        assert_eq!(told(&mut history, &w.p), [""; 0]);
        w.pass(5);
        w.work("A", BAD, left(ClaimStatus::Failed));
        assert_eq!(told(&mut history, &w.p), ["A Agent Failed"]);
        w.pass(60);
        w.reach("A", "impl");
        w.pass(1);
        w.do_stage("A");
        w.pass(1);
        w.gate("A", OK);
        assert_eq!(told(&mut history, &w.p)[..2], ["A Gate Passed", "A Agent Passed"]);
    }

    #[test]
    fn only_so_many_are_kept_and_it_is_said_since_when() {
        let mut history = History::default();
        let mut w = World::workers(1, |_| {});
        w.add_all(&["A"]);
        w.tick();
        w.do_stage("A");
        let summary = w.task("A").runs[0].clone();
        let mut task = w.task("A").clone();
        for n in 0..RUNS_MAX as i64 + 10 {
            task.runs[0].id = RunId::new(&format!("r{n}")).unwrap();
            task.runs[0].ended_at = summary.ended_at + jiff::SignedDuration::from_secs(n);
            history.note(&task);
        }
        assert_eq!(history.latest().count(), RUNS_MAX);
        assert_eq!(history.since(), Some(summary.ended_at + jiff::SignedDuration::from_secs(10)));
        task.runs[0].ended_at = summary.ended_at;
        history.note(&task);
        assert_eq!(history.since(), Some(summary.ended_at + jiff::SignedDuration::from_secs(10)), "too old to matter");
    }
}
