//! How each fact changes what is known. No rule is decided here: a fact says what has become true.

mod agents;
pub(super) mod alerts;
mod brain;
mod counting;
mod doing;
mod outcomes;
pub(super) mod patterns;
mod pinned;
mod project;
mod restored;
pub(super) mod schedules;

use jiff::{SignedDuration, Timestamp};

use super::{Archived, EffectFailure, Pipeline, clock};
use crate::budget::Spent;
use crate::fact::{EffectKey, Fact, Move, TaskEdit};
use crate::ids::{AgentName, RunId, TaskId, number_of};
use crate::metrics::seconds_between;
use crate::run::{Ended, Phase, Run, RunSummary, Verdict, Work};
use crate::settings::worktree_parts;
use crate::task::{RUNS_KEPT, Step, Task, TaskState};

impl Pipeline {
    /// Applies one fact that became true at `at`.
    pub fn apply(&mut self, at: Timestamp, fact: &Fact) {
        self.core.seq += 1;
        // A clock that was set back must not make the past look younger.
        self.core.updated_at = self.core.updated_at.max(at);
        self.promote(at);
        match fact {
            Fact::Configured { .. }
            | Fact::ModeChanged { .. }
            | Fact::Demoted { .. }
            | Fact::ModePending { .. }
            | Fact::PilotChanged { .. }
            | Fact::CurrentTask { .. }
            | Fact::NumbersTaken { .. }
            | Fact::MachineShort { .. }
            | Fact::Notice { .. } => self.apply_project(at, fact),
            Fact::TaskAdded { .. }
            | Fact::TaskEdited { .. }
            | Fact::TaskMoved { .. }
            | Fact::TaskHeld { .. }
            | Fact::CollisionSeen { .. }
            | Fact::CollisionGone { .. }
            | Fact::TaskDue { .. }
            | Fact::TaskArchived { .. }
            | Fact::TaskRestored { .. }
            | Fact::StageDone { .. }
            | Fact::HubAsks { .. }
            | Fact::TaskMerged { .. }
            | Fact::MergeReverted { .. }
            | Fact::EffectWithheld { .. }
            | Fact::EffectFailed { .. } => self.apply_task(at, fact),
            Fact::RunClaimed { .. }
            | Fact::RunStarted { .. }
            | Fact::ClaimNoted { .. }
            | Fact::ClaimRefused { .. }
            | Fact::RunDoing { .. }
            | Fact::RunTried { .. }
            | Fact::RunStopping { .. }
            | Fact::RunEnded { .. }
            | Fact::RunOverdue { .. }
            | Fact::RunUsed { .. }
            | Fact::RunClosed { .. } => self.apply_run(at, fact),
            Fact::WorktreeReady { .. }
            | Fact::WorktreeFailed { .. }
            | Fact::WorktreeReset { .. }
            | Fact::AgentStopped { .. }
            | Fact::AgentEnabled { .. }
            | Fact::AgentBroken { .. }
            | Fact::PresetPaused { .. }
            | Fact::PresetResumed { .. } => self.apply_agent(at, fact),
            Fact::ScheduleSet { .. } | Fact::ScheduleFired { .. } => self.apply_schedule(at, fact),
            Fact::AlertNoted { .. } | Fact::ChannelWorks { .. } => self.apply_alert(at, fact),
        }
    }

    fn apply_task(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::TaskAdded { task } => self.add_task(task),
            Fact::TaskEdited { task, edit } => self.edit_task(task, edit),
            Fact::TaskMoved { task, to, with } => self.move_task(at, task, to, with),
            Fact::TaskHeld { task, hold } => self.change_task(task, |t| t.held = Some(hold.clone())),
            Fact::CollisionSeen { task, with, files } => self.note_collision(task, with.as_ref(), Some(files)),
            Fact::CollisionGone { task, with } => self.note_collision(task, with.as_ref(), None),
            Fact::TaskDue { task } => self.change_task(task, |t| t.not_before = None),
            Fact::TaskArchived { task } => self.archive_task(at, task),
            Fact::TaskRestored { task, to } => self.restore_task(at, task, to.as_deref()),
            Fact::StageDone { task, output } => {
                self.count_ended(task, output);
                self.note_in_task(task, |t| {
                    if t.outputs.is_empty() {
                        t.outputs.reserve_exact(1);
                    }
                    t.outputs.push((**output).clone());
                    t.feedback = None;
                    brain::used_up(t, output);
                });
            }
            Fact::HubAsks { task, question } => {
                self.change_task(task, |t| t.brain.get_or_insert_default().question = Some(question.clone()));
            }
            Fact::TaskMerged { task, merged } => self.note_in_task(task, |t| t.merged = Some(merged.clone())),
            Fact::MergeReverted { task, .. } => {
                self.core.metrics.rollbacks += 1;
                self.count_given_up(task);
                self.note_in_task(task, |t| t.merged = None);
            }
            Fact::EffectWithheld { effect, task, stage, agent } => {
                if let Some(agent) = agent {
                    self.core.shadow_plan.insert(agent.clone(), (task.clone(), stage.clone()));
                    self.core.metrics.shadow_plans += 1;
                }
                self.core.withheld.insert(task.clone(), (stage.clone(), effect.clone()));
            }
            Fact::EffectFailed { key, message, failures, retry_at } => {
                let failure = EffectFailure { message: message.clone(), failures: *failures, retry_at: *retry_at };
                self.core.effect_failures.insert(key.clone(), failure);
            }
            _ => {}
        }
    }

    fn add_task(&mut self, task: &Task) {
        self.core.next_order = self.core.next_order.max(task.order + 1);
        let number = number_of(task.id.as_str());
        // A number too large to count on from is just a name.
        self.core.next_number = self.core.next_number.max(number.map_or(0, |n| u64::from(n) + 1));
        let slot = self.tasks.insert(task.clone());
        self.index_new(slot);
    }

    fn edit_task(&mut self, id: &TaskId, edit: &TaskEdit) {
        let TaskEdit { title, body, priority, depends_on, paths, group, workflow, pinned_agent } = edit.clone();
        let (rebuild, reweigh) = (depends_on.is_some(), workflow.is_some());
        let release = paths.is_some() || group.is_some();
        self.change_task(id, |task| {
            task.title = title.unwrap_or_else(|| std::mem::take(&mut task.title));
            task.body = body.unwrap_or_else(|| std::mem::take(&mut task.body));
            task.priority = priority.unwrap_or(task.priority);
            task.depends_on = depends_on.unwrap_or_else(|| std::mem::take(&mut task.depends_on));
            task.paths = paths.unwrap_or_else(|| std::mem::take(&mut task.paths));
            task.group = group.unwrap_or_else(|| task.group.take());
            task.workflow = workflow.unwrap_or_else(|| task.workflow.clone());
            task.pinned_agent = pinned_agent.unwrap_or_else(|| task.pinned_agent.take());
            task.held = None;
        });
        if rebuild {
            self.rebuild_index();
        } else if reweigh && let Some(slot) = self.tasks.slot(id.as_str()) {
            self.weigh_behind(slot);
        }
        if release && let Some(slot) = self.tasks.slot(id.as_str()) {
            self.release_held(slot);
        }
    }

    fn move_task(&mut self, at: Timestamp, id: &TaskId, to: &TaskState, with: &Move) {
        let Some(task) = self.task(id.as_str()) else { return };
        let before = task.state.clone();
        let waited = seconds_between(task.state_since, at).max(0.0);
        let (started_at, since) = (task.started_at, task.state_since);
        self.count_step(at, id, to);
        let metrics = &mut self.core.metrics;
        if matches!(before, TaskState::AwaitingApproval { .. } | TaskState::Blocked { .. }) {
            metrics.attention_seconds.add(waited);
        }
        match to {
            TaskState::Completed => {
                metrics.completed_at(at);
                if let Some(started) = started_at {
                    metrics.cycle_seconds.add(seconds_between(started, at).max(0.0));
                }
            }
            TaskState::RolledBack => metrics.rollbacks += 1,
            _ => {}
        }
        metrics.retries += u64::from(with.retry);
        self.count_outcome(id, to, with.given_up);
        let pinned = self.task(id.as_str()).and_then(|task| self.workflow_of(task)).filter(|_| with.began).cloned();
        self.core.withheld.remove(id);
        self.core.effect_failures.remove(&EffectKey::Task(id.clone()));
        if before != *to {
            self.count_wait(at, id, &before, since);
        }
        self.change_task(id, |task| {
            if task.state != *to {
                task.state_since = at;
            }
            task.state = to.clone();
            task.put_aside = with.put_aside;
            task.given_up = with.given_up;
            task.reason.clone_from(&with.reason);
            if let Some(feedback) = &with.feedback {
                task.feedback = Some(feedback.clone()).filter(|text| !text.is_empty());
            }
            task.not_before = with.not_before;
            task.resume.clone_from(&with.resume);
            task.probed = with.probed || (task.probed && !with.entered);
            task.asked_again = with.asked_again || (task.asked_again && !with.entered);
            keep_parts(task, &before, with);
            if with.agreed
                && let Some(stops) = &mut task.stops
            {
                stops.before = None;
            }
            let given_up = before.is_final() || matches!(before, TaskState::Blocked { .. });
            if given_up && !to.is_final() {
                // A person let it go on: it may fail, and come by, as often as if it had not been there yet.
                task.forgiven = u32::try_from(task.outputs.len()).unwrap_or(u32::MAX);
                task.visits.clear();
                task.spent = Spent::default();
                clock::begin_anew(task, at);
            }
            brain::close_question(task, to, with);
            if with.entered {
                task.attempt = 0;
                // A person's choice is for one stage, however often that is entered again.
                if before.stage() != to.stage() {
                    task.pinned_agent = None;
                }
                if let Some(stage) = to.stage() {
                    *task.visits.entry(stage.clone()).or_default() += 1;
                }
            }
            if with.began {
                task.attempt += 1;
                if task.started_at.is_none() {
                    task.started_at = Some(at);
                    task.visits.extend(to.stage().map(|stage| (stage.clone(), 1)));
                }
                task.pinned = task.pinned.take().or(pinned);
                (task.held, task.resumed, task.lost_place) = (None, false, false);
            }
            if with.uncounted {
                task.attempt = task.attempt.saturating_sub(1);
            }
            task.finished_at = to.is_final().then_some(at);
            task.left_at = before.stage().filter(|_| to.is_final()).cloned();
            task.resumed |= before.is_final() && !to.is_final() && task.started_at.is_some();
            task.lost_place |= matches!(before, TaskState::Blocked { .. }) && matches!(to, TaskState::Ready { .. });
        });
        self.reserve_agent(at, id, &before, to);
    }

    /// An agent stays with its claim until that is checked, so that a failed gate finds it free.
    fn reserve_agent(&mut self, at: Timestamp, id: &TaskId, before: &TaskState, to: &TaskState) {
        let (was, is) = (reserved(before), reserved(to));
        if was == is {
            return;
        }
        if let Some(agent) = was.and_then(|name| self.core.agents.get_mut(name))
            && agent.verifying.as_ref() == Some(id)
        {
            agent.verifying = None;
            agent.since = at;
        }
        // An older claim of the agent, which had waited for a person, must not push a newer one aside.
        if let Some(agent) = is.and_then(|name| self.core.agents.get_mut(name))
            && agent.verifying.is_none()
        {
            agent.verifying = Some(id.clone());
            agent.since = at;
        }
    }

    fn archive_task(&mut self, at: Timestamp, id: &TaskId) {
        let Some(slot) = self.tasks.slot(id.as_str()) else { return };
        self.index_removed(slot);
        if let Some(task) = self.tasks.remove(id.as_str()) {
            let finished_at = task.finished_at.unwrap_or(at);
            let archived = Archived { title: task.title, status: task.state.word(), finished_at };
            self.queue.count_archived(&archived);
            self.core.archived.insert(id.clone(), archived);
            self.core.worktrees.retain(|name, _| worktree_parts(name).1.as_ref() != Some(id));
        }
    }

    fn apply_run(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::RunClaimed { run } => self.claim_run(at, run),
            Fact::RunStarted { run, pid, started_at } => {
                self.change_run(run, |r| {
                    r.phase = Phase::Started { at: *started_at, pid: *pid };
                    r.started_at = Some(*started_at);
                });
            }
            Fact::ClaimNoted { run, claim } => self.change_run(run, |r| r.claim = Some(claim.clone())),
            Fact::ClaimRefused { run, why } => {
                self.core.metrics.disagreements += 1;
                self.change_run(run, |r| r.foreign_claim = Some(why.clone()));
            }
            Fact::RunDoing { .. } | Fact::RunTried { .. } => self.note_doing(at, fact),
            Fact::RunStopping { run, reason } => self.change_run(run, |r| {
                r.stop = Some(*reason);
                r.stop_at = Some(at);
            }),
            Fact::RunEnded { run, how, ended_at } => {
                if matches!(how, Ended::Interrupted { .. }) {
                    self.core.metrics.disagreements += 1;
                }
                self.change_run(run, |r| r.phase = Phase::Ended { at: *ended_at, how: how.clone() });
            }
            Fact::RunOverdue { run } => self.change_run(run, |r| r.overdue = true),
            Fact::RunUsed { run, usage } => self.change_run(run, |r| r.used = *usage),
            Fact::RunClosed { run, summary } => self.close_run(at, run, summary.as_deref()),
            _ => {}
        }
    }

    fn claim_run(&mut self, at: Timestamp, run: &Run) {
        self.core.metrics.first_run_at.get_or_insert(at);
        if let Some(agent) = self.core.agents.get_mut(&run.agent) {
            agent.run = Some(run.id.clone());
            agent.since = at;
            if run.work == Work::Agent {
                if self.core.settings.scheduler.stagger > SignedDuration::ZERO {
                    self.core.last_starts.insert(agent.preset, at);
                }
                // Kept until the run is closed: launching may be repeated, and writes them into the task file each time.
                let untold = self.core.notices.iter_mut().filter(|n| n.role == agent.role && n.given.is_none());
                untold.for_each(|notice| notice.given = Some(run.id.clone()));
            }
        }
        if let (true, Some(task), Some(stage)) = (run.work.serves_stage(), &run.task, &run.stage) {
            self.compare_with_shadow(task, stage, &run.agent);
            let pinned = self.task(task.as_str()).and_then(|t| self.workflow_of(t)).cloned();
            self.change_task(task, |t| {
                t.state = TaskState::Working { stage: stage.clone(), run: run.id.clone() };
                t.state_since = at;
                t.attempt = run.attempt;
                if t.started_at.is_none() {
                    t.started_at = Some(at);
                    t.visits.insert(stage.clone(), 1);
                }
                t.pinned = t.pinned.take().or(pinned);
                (t.reason, t.not_before, t.held, t.resume) = (None, None, None, None);
                (t.resumed, t.lost_place) = (false, false);
            });
        }
        if let (Work::Gate { .. }, Some(task)) = (&run.work, &run.task) {
            self.change_task(task, |t| {
                if let TaskState::Verifying { step: Step::Gate { run: gate, .. }, .. } = &mut t.state {
                    *gate = Some(run.id.clone());
                }
            });
        }
        self.core.runs.insert(run.id.clone(), run.clone());
        self.reindex_run(&run.id);
    }

    fn compare_with_shadow(&mut self, task: &TaskId, stage: &crate::ids::StageId, agent: &AgentName) {
        if let Some((planned, _)) = self.core.withheld.remove(task) {
            let same = planned == *stage && self.core.agents.contains_key(agent);
            self.core.metrics.shadow_agreed += u64::from(same);
            self.core.metrics.shadow_differed += u64::from(!same);
        }
    }

    /// What a run was told is settled; of one that never happened nobody has read it.
    fn close_notices(&mut self, run: &RunId, told: bool) {
        self.core.notices.retain(|notice| !told || notice.given.as_ref() != Some(run));
        self.core.notices.iter_mut().filter(|n| n.given.as_ref() == Some(run)).for_each(|n| n.given = None);
    }

    fn close_run(&mut self, at: Timestamp, id: &RunId, summary: Option<&RunSummary>) {
        let Some(run) = self.core.runs.remove(id) else { return };
        self.core.effect_failures.remove(&EffectKey::Run(id.clone()));
        self.reindex_run(id);
        let counts = run.work == Work::Agent && summary.is_some_and(|summary| summary.verdict != Verdict::Void);
        if let Some(agent) = self.core.agents.get(&run.agent).filter(|_| counts) {
            // It has reached its service.
            self.core.outages.remove(&agent.preset);
        }
        if let Some(agent) = self.core.agents.get_mut(&run.agent)
            && agent.run.as_ref() == Some(id)
        {
            agent.run = None;
            agent.since = at;
            if let Some(summary) = summary {
                agent.last = Some(format!("{}: {}", summary.id, summary.how));
            }
            if agent.removed {
                self.core.agents.remove(&run.agent);
            }
        }
        if let (Work::Gate { .. }, Some(task)) = (&run.work, &run.task) {
            self.change_task(task, |t| {
                if let TaskState::Verifying { step: Step::Gate { run: gate, .. }, .. } = &mut t.state {
                    *gate = None;
                }
            });
        }
        self.close_notices(id, summary.is_some());
        let Some(summary) = summary else {
            self.count_setup(&run);
            return;
        };
        self.count_run(&run, summary);
        self.count_asking(&run, summary);
        self.learn(at, &run, summary);
        let spends = run.work == Work::Agent;
        let seconds = seconds_between(summary.started_at, summary.ended_at).max(0.0);
        if spends {
            self.core.day.add(at, &run.agent, &summary.usage, seconds);
        }
        if let Some(task) = &run.task {
            self.note_in_task(task, |t| {
                if spends {
                    t.spent.add(&summary.usage, seconds);
                }
                // Among many tasks most have had one run: room for more would cost more than the run itself.
                if t.runs.is_empty() {
                    t.runs.reserve_exact(1);
                }
                t.runs.push(summary.clone());
                if t.runs.len() > RUNS_KEPT {
                    t.runs.remove(0);
                }
            });
        }
    }

    fn change_task(&mut self, id: &TaskId, change: impl FnOnce(&mut Task)) {
        let Some(slot) = self.tasks.slot(id.as_str()) else { return };
        if let Some(task) = self.tasks.at_mut(slot) {
            change(task);
        }
        self.reindex(slot);
    }

    fn note_collision(&mut self, task: &TaskId, with: Option<&TaskId>, files: Option<&[String]>) {
        self.core.collisions.set(task, with, files);
        for id in [Some(task), with].into_iter().flatten() {
            self.note_in_task(id, |_| {});
        }
    }

    /// Changes what no place in the index depends on.
    fn note_in_task(&mut self, id: &TaskId, change: impl FnOnce(&mut Task)) {
        let Some(slot) = self.tasks.slot(id.as_str()) else { return };
        if let Some(task) = self.tasks.at_mut(slot) {
            change(task);
        }
        self.note_change(slot);
    }

    fn change_run(&mut self, id: &RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.core.runs.get_mut(id) {
            change(run);
        }
        self.core.effect_failures.remove(&EffectKey::Run(id.clone()));
        self.reindex_run(id);
    }
}

/// Keeps in mind who did parts of a stage while the stage is tried again, by itself or by a person. A stage that is entered
/// in the ordinary way, or whose parts did not fit together, is done anew.
fn keep_parts(task: &mut Task, before: &TaskState, with: &Move) {
    let given_up = matches!(before, TaskState::Blocked { .. } | TaskState::Failed | TaskState::Cancelled);
    match (before, &task.state) {
        (_, TaskState::Waiting { .. }) => task.parts.clear(),
        (TaskState::Waiting { on, .. }, to) if !with.entered && !matches!(to, TaskState::Verifying { .. }) => {
            task.parts.clone_from(on);
        }
        (_, to) if with.entered && !(given_up && matches!(to, TaskState::Ready { .. })) => task.parts.clear(),
        _ => {}
    }
}

/// The agent that stays with its claim while this state lasts.
fn reserved(state: &TaskState) -> Option<&AgentName> {
    match state {
        TaskState::Verifying { step: Step::Advance { dirty: Some(_), .. }, .. } => None,
        TaskState::Verifying { claim, .. } => Some(&claim.agent),
        _ => None,
    }
}
