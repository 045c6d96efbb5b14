//! Switching modes, and the task of sequential mode.

use super::Rules;
use crate::event::{Busy, Refusal};
use crate::fact::{EffectKey, Fact};
use crate::ids::{AgentName, TaskId};
use crate::mode::{Mode, Orchestration, Rollout};
use crate::pipeline::ReadyKey;
use crate::run::{Phase, StopReason};
use crate::task::TaskState;

impl Rules<'_> {
    /// Agents with a live run, and what they are busy with.
    pub(super) fn busy_agents(&self) -> Vec<(AgentName, String)> {
        let runs = self.p.core.runs.values();
        runs.map(|run| {
            let what = run.task.as_ref().map_or_else(|| run.work.word().to_owned(), ToString::to_string);
            (run.agent.clone(), what)
        })
        .collect()
    }

    pub(super) fn set_mode(&self, mode: Mode, busy: Busy, unready: bool) -> Result<Vec<Fact>, Refusal> {
        let core = &self.p.core;
        if mode == core.mode {
            let awaited = core.pending_mode.map(|_| Fact::ModePending { mode: None, unready: false });
            return Ok(awaited.into_iter().collect());
        }
        let working = self.busy_agents();
        let switch = Fact::ModeChanged { mode, unready };
        // The rollout is a brake: it takes effect at once, and what is live is observed to its end. How tasks are
        // assigned must not change under the hands of those that work.
        if mode.orchestration == core.mode.orchestration || working.is_empty() {
            return Ok(vec![switch]);
        }
        match busy {
            Busy::Refuse => Err(Refusal::Busy(working)),
            Busy::Drain => Ok(vec![Fact::ModePending { mode: Some(mode), unready }]),
            Busy::Stop => {
                let live = core.runs.values().filter(|r| r.stop.is_none() && !matches!(r.phase, Phase::Ended { .. }));
                let stops = live.map(|run| Fact::RunStopping { run: run.id.clone(), reason: StopReason::ModeSwitch });
                Ok(stops.chain([switch]).collect())
            }
        }
    }

    /// A brake that works at once, whatever else is awaited.
    pub(super) fn set_rollout(&self, rollout: Rollout, unready: bool) -> Vec<Fact> {
        let core = &self.p.core;
        let mut facts = Vec::new();
        if rollout != core.mode.rollout {
            facts.push(Fact::ModeChanged { mode: Mode { rollout, ..core.mode }, unready });
        }
        // Applying a switch ends the wait for another one, so that is said anew.
        let awaited = core.pending_mode.map(|mode| Mode { rollout, ..mode });
        if awaited.is_some() && (awaited != core.pending_mode || !facts.is_empty()) {
            facts.push(Fact::ModePending { mode: awaited, unready: false });
        }
        facts
    }

    /// The file names the task of sequential mode. An unfinished task in it is served; a finished one, or none, makes
    /// the best ready task the current one; an unknown or blocked one is a person's business.
    pub(super) fn current_task_read(&self, content: Option<&str>) -> Vec<Fact> {
        let core = &self.p.core;
        if core.mode.orchestration != Orchestration::Sequential {
            return Vec::new();
        }
        let (task, problem) = self.current_task(content);
        // The file says what it should: a failure to write it is over.
        let mended = task.as_ref().map(TaskId::as_str) == content.filter(|text| !text.is_empty())
            && core.effect_failures.contains_key(&EffectKey::CurrentTask);
        if task == core.current_task && problem == core.current_task_problem && !mended {
            return Vec::new();
        }
        vec![Fact::CurrentTask { task, problem }]
    }

    fn current_task(&self, content: Option<&str>) -> (Option<TaskId>, Option<String>) {
        let named = content.filter(|text| !text.is_empty());
        match named.map(|text| (text, self.p.task(text))) {
            Some((text, None)) if !self.p.core.archived.contains_key(text) => {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
                (None, Some(format!("the current-task file names `{shown}`, which is not a task")))
            }
            Some((_, Some(task))) if matches!(task.state, TaskState::Blocked { .. }) => {
                let why = task.reason.as_deref().unwrap_or("no reason is known");
                (Some(task.id.clone()), Some(format!("the current task {} is blocked: {why}", task.id)))
            }
            Some((_, Some(task))) if self.p.waits_for_dependencies(task) => {
                let open: Vec<&str> = self.p.open_dependencies(task).map(TaskId::as_str).collect();
                (Some(task.id.clone()), Some(format!("the current task {} waits for {}", task.id, open.join(", "))))
            }
            Some((_, Some(task))) if !task.state.is_final() => (Some(task.id.clone()), None),
            // A task we chose before is kept if the file could not be written then.
            _ => (self.chosen_before().or_else(|| self.first_ready()), None),
        }
    }

    fn chosen_before(&self) -> Option<TaskId> {
        let id = self.p.core.current_task.clone()?;
        let task = self.p.task(id.as_str())?;
        let stuck = matches!(task.state, TaskState::Blocked { .. }) || self.p.waits_for_dependencies(task);
        let serves = !task.state.is_final() && !stuck;
        serves.then_some(id)
    }

    /// A task in flight before one that has not started; then the scheduler's order over all roles.
    fn first_ready(&self) -> Option<TaskId> {
        let in_flight = self.p.in_flight().filter(|task| !matches!(task.state, TaskState::Blocked { .. }));
        if let Some(task) = in_flight.min_by_key(|task| (task.priority, task.order)) {
            return Some(task.id.clone());
        }
        let firsts =
            self.p.core.agents.iter().flat_map(|(name, agent)| {
                [false, true].map(|walled| self.p.ready_for(walled, name, &agent.role).next())
            });
        let parts = [false, true].map(|walled| self.p.queue.ready_for_parts(walled).next());
        let first: Option<ReadyKey> = firsts.chain(parts).flatten().min();
        first.and_then(|key| self.p.tasks.at(key.slot)).map(|task| task.id.clone())
    }
}
