//! What follows where something outside could not be done: it is tried again, and given up in the end.

use jiff::{SignedDuration, Timestamp};

use super::{Rules, after};
use crate::fact::{EffectKey, Fact};
use crate::ids::{RunId, TaskId};
use crate::run::{Ended, Phase, Run, StopReason, Usage, Verdict, Work};

/// An effect is given up after failing this often in a row.
const EFFECT_FAILURES_MAX: u32 = 5;
/// The longest wait before an effect is tried again.
pub(crate) const EFFECT_RETRY_MAX: SignedDuration = SignedDuration::from_secs(60);

impl Rules<'_> {
    pub(super) fn effect_failed(&self, key: &EffectKey, message: &str, permanent: bool) -> Vec<Fact> {
        // A late answer about something that is no longer wanted says nothing.
        if *key != EffectKey::CurrentTask && self.p.queue.effect(key).is_none() {
            return Vec::new();
        }
        let failures = self.p.core.effect_failures.get(key).map_or(0, |f| f.failures) + 1;
        let wait = SignedDuration::from_secs(1 << failures.min(10)).min(EFFECT_RETRY_MAX);
        let again = Fact::EffectFailed {
            key: key.clone(),
            message: message.to_owned(),
            failures,
            retry_at: after(self.now.at, wait),
        };
        let give_up = permanent || failures >= EFFECT_FAILURES_MAX;
        match key {
            _ if !give_up => vec![again],
            EffectKey::Run(run) => self.run_effect_given_up(run, message).unwrap_or_else(|| vec![again]),
            EffectKey::Task(task) => self.task_effect_given_up(task, message),
            EffectKey::CurrentTask => vec![again],
        }
    }

    fn task_effect_given_up(&self, id: &TaskId, message: &str) -> Vec<Fact> {
        self.p.task(id.as_str()).map_or_else(Vec::new, |task| self.block(task, task.state.stage(), message))
    }

    /// A run that cannot be launched, or whose work cannot be collected, is given up.
    fn run_effect_given_up(&self, id: &RunId, message: &str) -> Option<Vec<Fact>> {
        let run = self.p.core.runs.get(id)?;
        match &run.phase {
            Phase::Claimed if run.stop.is_none() => Some(self.launch_given_up(run, message)),
            Phase::Ended { how, at } => Some(self.collection_given_up(run, how, *at, message)),
            Phase::Claimed | Phase::Started { .. } => None,
        }
    }

    /// An earlier try may have started a host that has not proven itself yet. So the run is not over before it was
    /// stopped: either its host hears of it, or it is on record that there never was one.
    fn launch_given_up(&self, run: &Run, message: &str) -> Vec<Fact> {
        let mut facts = vec![Fact::RunStopping { run: run.id.clone(), reason: StopReason::Cancelled }];
        match &run.work {
            Work::Setup { worktree, .. } => facts.push(Fact::WorktreeFailed {
                worktree: worktree.clone(),
                message: message.to_owned(),
                retry_at: None,
            }),
            Work::Agent | Work::Command { .. } | Work::Probe { .. } | Work::Gate { .. } => {
                facts.extend(self.block_task_of(run, message));
            }
        }
        facts
    }

    /// What could not be collected stays in the worktree, so the agent must not be given another task there.
    fn collection_given_up(&self, run: &Run, how: &Ended, at: Timestamp, message: &str) -> Vec<Fact> {
        let summary = self.summary(run, how, at, Verdict::Void, &Usage::default());
        let summary = run.task.is_some().then(|| Box::new(summary));
        let left = format!("its last run left work in its worktree that could not be collected: {message}");
        let mut facts = vec![
            Fact::RunClosed { run: run.id.clone(), summary },
            Fact::AgentBroken { agent: run.agent.clone(), message: left },
        ];
        facts.extend(self.block_task_of(run, message));
        facts
    }

    /// The task a run is live for waits for a person.
    fn block_task_of(&self, run: &Run, message: &str) -> Vec<Fact> {
        let task = run.task.as_ref().and_then(|id| self.p.task(id.as_str()));
        let task = task.filter(|task| task.state.run() == Some(&run.id));
        task.map_or_else(Vec::new, |task| self.block(task, run.stage.as_ref(), message))
    }
}
