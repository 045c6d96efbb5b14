//! What must hold, whatever happened: I1 to I5 of the reliability page, and that a result was earned. What a fact says is
//! compared with what really is the case outside.

use std::collections::BTreeMap;

use pipeline_lib::fact::Fact;
use pipeline_lib::ids::{RunId, TaskId};
use pipeline_lib::run::{Phase, Verdict, Work};
use pipeline_lib::task::{Step, TaskState};

use crate::disk::Record;
use crate::outside::{agent, in_use, is_good};
use crate::world::{Result, World};

/// Whole ticks that a started run may be without a host.
const TICKS_WITHOUT_HOST: u32 = 2;

impl World {
    /// Something became true: it must have been possible before, and be so outside.
    pub(crate) fn write(&mut self, record: Record) -> Result<()> {
        self.check_fact(&record.1)?;
        self.disk.write(record);
        Ok(())
    }

    fn check_fact(&mut self, fact: &Fact) -> Result<()> {
        let core = &self.disk.state().core;
        let run_of = |id: &RunId| core.runs.get(id).ok_or_else(|| format!("{fact:?} is about a run that is not live"));
        match fact {
            Fact::RunClaimed { run } => {
                if !self.claimed.insert(run.id.clone()) {
                    return Err(format!("run {} is claimed twice", run.id));
                }
                if self.places.contains_key(&run.id) {
                    return Err(format!("run {} was there before its claim", run.id));
                }
            }
            Fact::RunStarted { run, .. } => {
                if run_of(run)?.phase != Phase::Claimed {
                    return Err(format!("run {run} starts twice"));
                }
                if self.places.get(run).is_none_or(|place| place.start.is_none()) {
                    return Err(format!("run {run} counts as started and no process has proven itself"));
                }
            }
            Fact::RunEnded { run, .. } => {
                if matches!(run_of(run)?.phase, Phase::Ended { .. }) {
                    return Err(format!("run {run} ends twice"));
                }
                let place = self.places.get(run);
                if place.is_some_and(|place| place.agent.is_some()) {
                    return Err(format!("run {run} counts as ended while its agent lives"));
                }
                if place.is_none_or(|place| place.exit.is_none() && place.start.is_none()) {
                    return Err(format!("run {run} counts as ended and never was"));
                }
            }
            Fact::RunClosed { run, summary } => {
                let live = run_of(run)?;
                let place = self.places.get(run);
                if place.is_some_and(|place| place.agent.is_some()) {
                    return Err(format!("run {run} is settled while its agent lives"));
                }
                let left = place.is_some_and(|place| place.began > 0 && place.kept.is_none());
                let collected = summary.as_ref().is_none_or(|summary| summary.commit.is_some());
                if live.work.serves_stage() && left && collected {
                    return Err(format!("what run {run} left was not kept"));
                }
                if let (Work::Gate { commit, .. }, Some(summary)) = (&live.work, summary)
                    && summary.verdict == Verdict::Passed
                {
                    self.passed.insert(commit.clone());
                    if !is_good(self.seed, commit) {
                        return Err(format!("the gate passed {commit}, which is not good"));
                    }
                }
            }
            Fact::TaskMoved { task, to, .. } => self.check_move(task, to)?,
            Fact::TaskMerged { task, merged } => {
                if let Some(commit) = &merged.commit {
                    if !self.repository.base.contains(commit) {
                        return Err(format!("{task} counts as merged and {commit} is not in base"));
                    }
                    if !self.passed.contains(commit) {
                        return Err(format!("{task} was merged as {commit} without its gate"));
                    }
                    self.merged.insert(commit.clone());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a task may go from where it is to where it is moved.
    fn check_move(&self, id: &TaskId, to: &TaskState) -> Result<()> {
        let Some(task) = self.disk.state().task(id.as_str()) else {
            return Err(format!("{id} moves and is not there"));
        };
        let from = &task.state;
        let waits_again = matches!(to, TaskState::Unassigned | TaskState::Ready { .. });
        let legal = match from {
            TaskState::Completed => *to == TaskState::RolledBack,
            TaskState::RolledBack => false,
            TaskState::Failed | TaskState::Cancelled => waits_again,
            TaskState::Unassigned
            | TaskState::Ready { .. }
            | TaskState::Working { .. }
            | TaskState::Waiting { .. }
            | TaskState::Paused { .. }
            | TaskState::Verifying { .. }
            | TaskState::AwaitingApproval { .. }
            | TaskState::Blocked { .. } => *to != TaskState::RolledBack,
        };
        // A run gets there by being claimed, and by nothing else.
        if !legal || matches!(to, TaskState::Working { .. }) {
            return Err(format!("{id} moves from {} to {}", from.word(), to.word()));
        }
        Ok(())
    }

    /// The state after a batch.
    pub(crate) fn check_state(&self) -> Result<()> {
        let state = self.disk.state();
        let (mut tasks, mut agents) = (BTreeMap::new(), BTreeMap::new());
        for run in state.core.runs.values() {
            if let Some(other) = run.task.as_ref().and_then(|task| tasks.insert(task, &run.id)) {
                return Err(format!("one task has the live runs {other} and {}", run.id));
            }
            if let Some(other) = agents.insert(&run.agent, &run.id) {
                return Err(format!("{} has the live runs {other} and {}", run.agent, run.id));
            }
        }
        for task in state.tasks.iter() {
            if let Some(run) = task.state.run()
                && state.core.runs.get(run).is_none_or(|run| run.task.as_ref() != Some(&task.id))
            {
                return Err(format!("{} is {} in a run that is not live", task.id, task.state.word()));
            }
            if task.state.is_final() != task.finished_at.is_some() {
                return Err(format!("{} is {} and finished at {:?}", task.id, task.state.word(), task.finished_at));
            }
        }
        for permitted in state.due_effects(state.core.updated_at) {
            if !state.is_due(permitted.effect()) {
                return Err(format!("{:?} is permitted and not due", permitted.effect()));
            }
        }
        Ok(())
    }

    /// The agent of a run begins its work: the moment that must come once a run, recorded, and alone.
    pub(crate) fn begin_agent(&mut self, id: &RunId) -> Result<()> {
        self.say(|| format!("the agent of {id} begins"));
        let durable = self.disk.has_durable_claim(id);
        let live = self.disk.state().core.runs.get(id).map(|run| (run.timeout, run.task.clone()));
        let Some(place) = self.places.get_mut(id) else { return Err(format!("{id} begins nowhere")) };
        place.began += 1;
        place.agent = Some(agent(&mut self.dice, self.kind, self.seed, &place.work));
        if place.began > 1 {
            return Err(format!("the agent of run {id} began twice"));
        }
        let Some((timeout, _)) = live else { return Err(format!("the agent of {id} begins, and the run is settled")) };
        place.deadline = self.seconds + timeout.as_secs();
        if !durable {
            return Err(format!("the agent of {id} begins, and its claim would not survive a power cut"));
        }
        self.began += 1;
        let used = in_use(&self.places);
        match used.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(format!("two agents in {}: {} and {}", pair[0].0, pair[0].1, pair[1].1)),
            None => Ok(()),
        }
    }

    /// A tick that nothing disturbed is over.
    pub(crate) fn count_ticks_since_death(&mut self) -> Result<()> {
        for run in self.disk.state().core.runs.values() {
            let Some(place) = self.places.get_mut(&run.id) else { continue };
            let shown = matches!(run.phase, Phase::Started { .. });
            if !shown || place.host_lives() || place.unkillable > 0 {
                place.ticks_since_death = 0;
                continue;
            }
            place.ticks_since_death += 1;
            if place.ticks_since_death > TICKS_WITHOUT_HOST {
                return Err(format!("run {} has no host and is shown at work", run.id));
            }
        }
        Ok(())
    }

    /// In a kind world nothing is left to be done by itself.
    pub(crate) fn check_rest(&self) -> Result<()> {
        let state = self.disk.state();
        if let Some(run) = state.core.runs.values().next() {
            return Err(format!("run {} never ends: {run:?}", run.id));
        }
        let waits = |id: &TaskId| {
            let task = state.task(id.as_str());
            task.is_some_and(|task| !task.state.is_final() || task.state != TaskState::Completed)
        };
        for task in state.tasks.iter() {
            let rests = match &task.state {
                state if state.is_final() => true,
                TaskState::AwaitingApproval { .. } | TaskState::Paused { .. } | TaskState::Blocked { .. } => true,
                TaskState::Waiting { on, .. } => on.iter().any(waits),
                TaskState::Unassigned => task.held.is_some() || task.depends_on.iter().any(waits),
                TaskState::Ready { .. } => task.held.is_some(),
                TaskState::Verifying {
                    step:
                        Step::Advance { .. } | Step::Gate { .. } | Step::Merge | Step::Join { .. } | Step::TakeBack { .. },
                    ..
                }
                | TaskState::Working { .. }
                | TaskState::Failed
                | TaskState::Completed
                | TaskState::Cancelled
                | TaskState::RolledBack => false,
            };
            if !rests {
                return Err(format!("{} is {} for good: {task:?}", task.id, task.state.word()));
            }
        }
        Ok(())
    }

    /// Whoever reads the journal, from its beginning or after following it all along, sees the same.
    pub(crate) fn check_replay(&mut self) -> Result<()> {
        let mut replayed = pipeline_lib::pipeline::Pipeline::default();
        for (at, fact) in self.disk.records() {
            replayed.apply(*at, fact);
        }
        if replayed != *self.disk.state() {
            return Err("the journal says something else when it is read again".to_owned());
        }
        for who in 0..self.processes.len() {
            self.catch_up(who);
            if *self.processes[who].pipeline() != replayed {
                return Err(format!("process {who} believes something else than the journal says"));
            }
        }
        if self.seed.is_multiple_of(16) {
            self.check_written(&replayed)?;
        }
        let lost = self.merged.iter().find(|commit| !self.repository.base.contains(commit));
        lost.map_or(Ok(()), |commit| Err(format!("{commit} was merged and is not in base any more")))
    }

    /// The same through the text that the journal is made of.
    fn check_written(&self, replayed: &pipeline_lib::pipeline::Pipeline) -> Result<()> {
        for (_, fact) in self.disk.records() {
            let text = serde_json::to_string(fact).map_err(|error| error.to_string())?;
            let read: Fact = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
            if read != *fact {
                return Err(format!("{text} is read as {read:?}"));
            }
        }
        let text = serde_json::to_vec(replayed).map_err(|error| error.to_string())?;
        let read: pipeline_lib::pipeline::Pipeline =
            serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if read == *replayed { Ok(()) } else { Err("a checkpoint says something else than the journal".to_owned()) }
    }
}
