//! What follows from time passing: one step of bringing what is towards what should be.

use super::compose::Start;
use super::{Rules, after, claim_deadline, is_over};
use crate::agents::preset::Preset;
use crate::fact::{Effect, Fact};
use crate::globs;
use crate::ids::{AgentName, TaskId};
use crate::mode::{Orchestration, Rollout};
use crate::pipeline::{Agent, QueueId, ReadyKey, Slot, Worktree};
use crate::run::{Phase, Run, StopReason, Usage, Work};
use crate::settings::WorktreeFor;
use crate::task::{Hold, HoldReason, Step, Task, TaskState};
use crate::workflow::Verify;

/// The worktree in which gates on the claims of an agent run.
#[must_use]
pub fn gate_worktree(agent: &AgentName) -> String {
    format!("gate-{agent}")
}

impl Rules<'_> {
    pub(super) fn tick(&self) -> Vec<Fact> {
        let steps: [fn(&Self) -> Vec<Fact>; 17] = [
            Self::trip_breaker,
            Self::withdraw_claims,
            Self::switch_pending_mode,
            Self::end_waits,
            Self::end_pauses,
            Self::end_claims,
            Self::stop_beyond_budget,
            Self::note_overdue,
            Self::climb,
            Self::end_collisions,
            Self::fire_schedules,
            Self::start_gates,
            Self::join_parts,
            Self::open_parts,
            Self::start_agents,
            Self::record_withheld,
            Self::archive,
        ];
        steps.iter().map(|step| step(self)).find(|facts| !facts.is_empty()).unwrap_or_default()
    }

    /// A run that was claimed and not started when the rollout changed will not be: it is taken back, or its agent would
    /// be kept busy by nothing.
    fn withdraw_claims(&self) -> Vec<Fact> {
        let unstarted = self.p.core.runs.values().filter(|run| run.phase == Phase::Claimed && run.stop.is_none());
        let walled = unstarted.filter(|run| match &run.task {
            Some(task) => !self.p.may_touch(task),
            None => self.p.core.mode.rollout == Rollout::Shadow,
        });
        walled.map(|run| Fact::RunStopping { run: run.id.clone(), reason: StopReason::ModeSwitch }).collect()
    }

    fn switch_pending_mode(&self) -> Vec<Fact> {
        let unready = self.p.core.pending_unready;
        match self.p.core.pending_mode {
            Some(mode) if self.busy_agents().is_empty() => vec![Fact::ModeChanged { mode, unready }],
            _ => Vec::new(),
        }
    }

    fn end_waits(&self) -> Vec<Fact> {
        let latest = after(self.now.at, self.p.core.settings.scheduler.backoff_max);
        let due = self.p.queue.due_before(self.now.at).or_else(|| self.p.queue.due_beyond(latest));
        due.and_then(|slot| self.p.tasks.at(slot))
            .map(|task| Fact::TaskDue { task: task.id.clone() })
            .into_iter()
            .collect()
    }

    fn end_pauses(&self) -> Vec<Fact> {
        let over = self.p.core.paused.iter().filter(|(_, pause)| pause.until <= self.now.at);
        over.map(|(preset, _)| Fact::PresetResumed { preset: *preset }).collect()
    }

    /// A run that has claimed an outcome and does not end by itself is stopped; its claim stands.
    fn end_claims(&self) -> Vec<Fact> {
        let over = self.p.core.runs.values().filter(|r| claim_deadline(r).is_some_and(|at| at <= self.now.at));
        over.map(|run| Fact::RunStopping { run: run.id.clone(), reason: StopReason::Claimed }).collect()
    }

    fn start_gates(&self) -> Vec<Fact> {
        if self.p.short_of().is_some() {
            return Vec::new();
        }
        for slot in self.p.queue.first_gate_due() {
            let Some(task) = self.p.tasks.at(slot) else { continue };
            let TaskState::Verifying { stage, claim, step: Step::Gate { commit, run: None, merged, .. } } = &task.state
            else {
                continue;
            };
            let stopped = self.p.core.agents.get(&claim.agent).is_some_and(|a| a.stopped);
            let busy = || self.p.core.runs.values().any(|run| run.agent == claim.agent);
            if stopped || !self.p.may_touch(&task.id) || busy() {
                continue;
            }
            let wanted = match merged {
                true => self.p.core.settings.post_merge.clone(),
                false => self.gate_command(task),
            };
            let Some(command) = wanted else {
                return self.gate_passed(task, stage, claim);
            };
            let worktree = self.p.core.settings.gate_worktree(&claim.agent, &task.id);
            match self.set_up(&worktree, &claim.agent) {
                SetUp::Ready => {}
                SetUp::Start(run) => return vec![Fact::RunClaimed { run }],
                SetUp::Wait => continue,
                SetUp::Broken(why) => {
                    return self.not_set_up(task, worktree, &format!("the gate's set-up failed: {why}"));
                }
            }
            // What base is now says little about a single claim.
            let claimed = task.runs.iter().rev().find(|run| run.id == claim.run).filter(|_| !merged);
            let run = Run {
                task: Some(task.id.clone()),
                stage: Some(stage.clone()),
                attempt: task.attempt,
                arm: claimed.and_then(|run| run.arm.clone()),
                ..self.new_run(Work::Gate { command, commit: commit.clone() }, &claim.agent)
            };
            return vec![Fact::RunClaimed { run: Box::new(run) }];
        }
        Vec::new()
    }

    /// A task whose worktree cannot be set up waits for a person. Where the worktree is the task's own, the set-up is
    /// tried anew once the task goes on; that of an agent waits until the agent is started.
    fn not_set_up(&self, task: &Task, worktree: String, why: &str) -> Vec<Fact> {
        let mut facts = self.block(task, task.state.stage(), why);
        if self.p.core.settings.worktrees != WorktreeFor::Agent {
            facts.push(Fact::WorktreeReset { worktree });
        }
        facts
    }

    /// The command that checks a claim at the stage a task is at; none where nothing is checked.
    pub(super) fn gate_command(&self, task: &Task) -> Option<String> {
        match &self.p.stage_of(task)?.verify {
            Verify::None => None,
            Verify::Project => self.p.core.settings.verify.clone(),
            Verify::Command(command) => Some(command.clone()),
        }
    }

    /// Whether a worktree is set up, and what to do if not.
    fn set_up(&self, worktree: &str, agent: &AgentName) -> SetUp {
        let Some(command) = &self.p.core.settings.setup else { return SetUp::Ready };
        if let Some(record) = self.p.core.worktrees.get(worktree) {
            if record.setup.as_ref() == Some(command) {
                return SetUp::Ready;
            }
            if let Some(why) = &record.broken {
                return SetUp::Broken(why.clone());
            }
            if !self.setup_wait_is_over(record) {
                return SetUp::Wait;
            }
        }
        SetUp::Start(Box::new(Run {
            attempt: self.p.core.worktrees.get(worktree).map_or(0, |w| w.failures) + 1,
            ..self.new_run(Work::Setup { command: command.clone(), worktree: worktree.to_owned() }, agent)
        }))
    }

    /// A claim of an agent for something, which names neither task nor stage yet and may take as long as a gate.
    fn new_run(&self, work: Work, agent: &AgentName) -> Run {
        Run {
            id: self.new_run_id(),
            work,
            agent: agent.clone(),
            task: None,
            stage: None,
            attempt: 1,
            interactive: false,
            timeout: self.p.core.settings.scheduler.verify_timeout,
            phase: Phase::Claimed,
            claimed_at: self.now.at,
            started_at: None,
            stop: None,
            stop_at: None,
            claim: None,
            foreign_claim: None,
            doing: None,
            resumes: None,
            resumes_interrupted: false,
            overdue_after: None,
            overdue: false,
            used: Usage::default(),
            arm: None,
        }
    }

    fn start_agents(&self) -> Vec<Fact> {
        let Some((name, key)) = self.best_start() else { return Vec::new() };
        let Some(task) = self.p.tasks.at(key.slot) else { return Vec::new() };
        let held = self.held_first(name);
        if !held.is_empty() {
            return held;
        }
        // It need not be at the head of the queue.
        if let Some(hold) = self.hold(task) {
            return vec![Fact::TaskHeld { task: task.id.clone(), hold }];
        }
        let Some(stage) = self.p.stage_of(task) else { return Vec::new() };
        let is_agent = self.p.core.agents.get(name).is_some_and(|agent| agent.preset != Preset::Command);
        if let Some(why) = self.p.task_used_up(task).filter(|_| is_agent) {
            return self.block(task, task.state.stage(), &why);
        }
        let worktree = self.p.core.settings.worktree(name, &task.id);
        match self.set_up(&worktree, name) {
            SetUp::Ready => {}
            SetUp::Start(run) => return vec![Fact::RunClaimed { run }],
            // Neither an agent nor a task whose worktree is not ready is considered.
            SetUp::Wait => return Vec::new(),
            SetUp::Broken(why) => {
                return self.not_set_up(task, worktree, &format!("its worktree cannot be set up: {why}"));
            }
        }
        let work = match self.before_start(task, stage) {
            Start::Facts(facts) => return facts,
            Start::Run(work) => work,
        };
        let probe = matches!(work, Work::Probe { .. });
        let timeout = self.time_left(task, stage);
        let role = self.p.core.agents.get(name).map(|agent| &agent.role).filter(|_| work == Work::Agent);
        let resume = task.resume.as_ref().filter(|resume| resume.agent == *name);
        let run = Run {
            arm: role.and_then(|role| self.p.core.settings.arm_of_run(&task.id, name, role)),
            task: Some(task.id.clone()),
            stage: Some(stage.id.clone()),
            // A question is no attempt.
            attempt: task.attempt + u32::from(!probe),
            interactive: self.p.core.settings.agents.iter().any(|a| a.name == *name && a.interactive),
            timeout,
            overdue_after: if probe { None } else { self.overdue_after(task, stage, timeout) },
            resumes: resume.map(|resume| resume.session.clone()),
            resumes_interrupted: resume.is_some_and(|resume| resume.interrupted),
            ..self.new_run(work, name)
        };
        vec![Fact::RunClaimed { run: Box::new(run) }]
    }

    /// The best pair of a free agent and a ready stage.
    fn best_start(&self) -> Option<(&AgentName, ReadyKey)> {
        self.starts().map(|(name, _, key)| (name, key)).min_by_key(|(_, key)| *key)
    }

    /// Each free agent and what it would start best.
    pub(super) fn starts(&self) -> impl Iterator<Item = (&AgentName, &Agent, ReadyKey)> {
        let nothing_starts = self.p.core.pending_mode.is_some() || self.p.short_of().is_some();
        // The limit is on agents: the commands of workflows have their own number of places.
        let room = !nothing_starts && self.below_parallel_limit();
        let may_start = move |name: &AgentName, agent: &Agent| {
            agent.preset == Preset::Command || (room && self.p.used_up_today(Some(name), self.now.at).is_none())
        };
        let free = self.free_agents().filter(move |(name, agent)| !nothing_starts && may_start(name, agent));
        free.filter_map(|(name, agent)| Some((name, agent, self.best_for(name, agent)?)))
    }

    fn best_for(&self, name: &AgentName, agent: &Agent) -> Option<ReadyKey> {
        match self.p.core.mode.orchestration {
            Orchestration::Sequential => self.current_for(false, name, agent),
            Orchestration::Parallel | Orchestration::Hybrid => {
                let ready = self.p.ready_for(false, name, &agent.role);
                self.first_in_order(ready.filter(|key| self.may_begin(name, key.slot)))
            }
        }
    }

    /// The task of sequential mode, or one that does a part of it, if it is ready for this agent.
    fn current_for(&self, walled: bool, name: &AgentName, agent: &Agent) -> Option<ReadyKey> {
        let mut todo = vec![self.p.tasks.slot(self.p.core.current_task.as_ref()?.as_str())?];
        let mut best: Option<ReadyKey> = None;
        let shared = self.p.shared_queue(name, &agent.role);
        while let Some(slot) = todo.pop() {
            if let Some(TaskState::Waiting { on, .. }) = self.p.tasks.at(slot).map(|task| &task.state) {
                todo.extend(on.iter().filter_map(|id| self.p.tasks.slot(id.as_str())));
                continue;
            }
            let Some((behind_wall, queue, key)) = self.p.queue.queued(slot) else { continue };
            let serves = match queue {
                QueueId::Agent(pinned) => pinned == name,
                QueueId::Role(_) | QueueId::Arm(..) => shared.as_ref() == Some(queue),
            };
            if serves && walled == behind_wall && best.is_none_or(|best| key < best) && self.may_begin(name, slot) {
                best = Some(key);
            }
        }
        best
    }

    /// Whether nothing of the task's own is in the way of a start, and its category has room.
    fn may_begin(&self, name: &AgentName, slot: Slot) -> bool {
        let waits = |task: &Task| self.p.category_wait(task).is_some();
        !self.has_live_run(slot)
            && !self.waits_for_its_worktree(name, slot)
            && !self.p.tasks.at(slot).is_some_and(waits)
    }

    /// Where a task has a worktree of its own, the set-up of that one may be running or wait for its next attempt.
    fn waits_for_its_worktree(&self, name: &AgentName, slot: Slot) -> bool {
        let (core, settings) = (&self.p.core, &self.p.core.settings);
        if settings.setup.is_none() || settings.worktrees == WorktreeFor::Agent {
            return false;
        }
        let Some(task) = self.p.tasks.at(slot) else { return false };
        let wanted = settings.worktree(name, &task.id);
        let runs = |run: &Run| matches!(&run.work, Work::Setup { worktree, .. } if *worktree == wanted);
        let record = core.worktrees.get(&wanted);
        core.runs.values().any(runs) || record.is_some_and(|w| w.broken.is_none() && !self.setup_wait_is_over(w))
    }

    /// A task that was taken back and is wanted again waits until its old run has let go of its branch, and so does one
    /// that works on the branch of another task.
    fn has_live_run(&self, slot: Slot) -> bool {
        let Some(task) = self.p.tasks.at(slot) else { return false };
        let live = |id: &TaskId| self.p.core.runs.values().any(|run| run.task.as_ref() == Some(id));
        let shared = task.parent.as_ref().and_then(|parent| parent.branch.as_ref());
        (task.started_at.is_some() && live(&task.id)) || shared.is_some_and(live)
    }

    /// Tasks at the head of an agent's queue that have to wait for others, all at once.
    fn held_first(&self, name: &AgentName) -> Vec<Fact> {
        let Some(agent) = self.p.core.agents.get(name) else { return Vec::new() };
        let ready = self.p.ready_for(false, name, &agent.role).filter(|key| !self.has_live_run(key.slot));
        let held = ready.map_while(|key| {
            let task = self.p.tasks.at(key.slot)?;
            Some(Fact::TaskHeld { task: task.id.clone(), hold: self.hold(task)? })
        });
        held.collect()
    }

    fn below_parallel_limit(&self) -> bool {
        self.room_to_start() > 0
    }

    /// How many more agents may start to work.
    fn room_to_start(&self) -> usize {
        let limit = self.p.core.settings.scheduler.max_parallel as usize;
        let counts = |run: &&Run| !matches!(run.work, Work::Gate { .. } | Work::Command { .. } | Work::Probe { .. });
        let working = || self.p.core.runs.values().filter(counts).count();
        if limit == 0 { usize::MAX } else { limit.saturating_sub(working()) }
    }

    /// Agents that could start something now, in the order of the configuration.
    fn free_agents(&self) -> impl Iterator<Item = (&AgentName, &Agent)> {
        let configured = self.p.core.settings.agents.iter();
        configured.filter_map(|a| self.p.core.agents.get_key_value(&a.name)).filter(|(name, agent)| {
            let idle = agent.run.is_none() && agent.verifying.is_none();
            let usable = !agent.stopped && agent.broken.is_none() && !agent.removed;
            let full = || self.p.role_is_full(&agent.role).is_some();
            idle && usable
                && !full()
                && !self.p.core.paused.contains_key(&agent.preset)
                && self.p.staggered_until(agent.preset, self.now.at).is_none()
                && self.worktree_usable(name.as_str())
        })
    }

    fn worktree_usable(&self, name: &str) -> bool {
        let record = self.p.core.worktrees.get(name);
        record.is_none_or(|w| w.broken.is_none() && self.setup_wait_is_over(w))
    }

    fn setup_wait_is_over(&self, worktree: &Worktree) -> bool {
        let longest = self.p.core.settings.scheduler.backoff_max;
        worktree.retry_at.is_none_or(|at| is_over(at, self.now.at, longest))
    }

    /// The task in flight that this one has to wait for before it starts.
    pub(super) fn hold(&self, task: &Task) -> Option<Hold> {
        // In sequential mode nothing else moves, so whoever was waited for would never finish.
        if task.in_flight() || self.p.core.mode.orchestration == Orchestration::Sequential {
            return None;
        }
        let hybrid = self.p.core.mode.orchestration == Orchestration::Hybrid;
        let others = || self.p.in_flight().filter(|other| other.id != task.id);
        if hybrid
            && task.group.is_some()
            && let Some(other) = others().find(|other| other.group == task.group)
        {
            return Some(Hold { by: other.id.clone(), why: HoldReason::Group });
        }
        let overlaps = |other: &&Task| task.paths.iter().any(|a| other.paths.iter().any(|b| globs::overlap(a, b)));
        let other = if task.paths.is_empty() { None } else { others().find(overlaps) };
        other.map(|other| Hold { by: other.id.clone(), why: HoldReason::Paths })
    }

    /// What would be started if the rollout allowed it, said once for each new plan.
    fn record_withheld(&self) -> Vec<Fact> {
        if let Some(fact) = self.withheld_check() {
            return vec![fact];
        }
        if self.p.core.pending_mode.is_some() {
            return Vec::new();
        }
        let room = self.room_to_start();
        let mut planned: Vec<&TaskId> = Vec::new();
        for (name, agent) in self.free_agents() {
            if planned.len() >= room {
                break;
            }
            let sequential = self.p.core.mode.orchestration == Orchestration::Sequential;
            let current = sequential.then(|| self.current_for(true, name, agent)).flatten();
            let any = (!sequential).then(|| self.p.ready_for(true, name, &agent.role)).into_iter().flatten();
            let mut allowed = current
                .into_iter()
                .chain(any)
                .filter(|key| !self.has_live_run(key.slot))
                .filter_map(|key| self.p.tasks.at(key.slot))
                .filter(|task| !planned.contains(&&task.id))
                .filter(|task| self.hold(task).is_none() && self.p.category_wait(task).is_none());
            let Some(task) = allowed.next() else { continue };
            let Some(stage) = self.p.stage_of(task) else { continue };
            let plan = (task.id.clone(), stage.id.clone());
            if self.p.core.shadow_plan.get(name) != Some(&plan) {
                let (task, stage) = plan;
                return vec![Fact::EffectWithheld {
                    effect: "start".to_owned(),
                    task,
                    stage,
                    agent: Some(name.clone()),
                }];
            }
            planned.push(&task.id);
        }
        Vec::new()
    }

    /// The first gate or merge that the rollout keeps from happening and that has not been recorded yet.
    fn withheld_check(&self) -> Option<Fact> {
        let gates = self.p.queue.first_gate_due().filter_map(|slot| Some((self.p.tasks.at(slot)?, "gate")));
        let merges = self.p.queue.effects().filter_map(|(_, effect)| match effect {
            Effect::JoinParts { task, .. }
            | Effect::PrepareMerge { task, .. }
            | Effect::AdvanceBase { task, .. }
            | Effect::RevertBase { task, .. } => Some((self.p.task(task.as_str())?, "merge")),
            Effect::Launch { .. }
            | Effect::Stop { .. }
            | Effect::Urge { .. }
            | Effect::Collect { .. }
            | Effect::WriteCurrentTask { .. } => None,
        });
        gates.chain(merges).filter(|(task, _)| !self.p.may_touch(&task.id)).find_map(|(task, effect)| {
            let stage = task.state.stage()?.clone();
            let known = self.p.core.withheld.get(&task.id).is_some_and(|(s, e)| *s == stage && e == effect);
            let withheld =
                Fact::EffectWithheld { effect: effect.to_owned(), task: task.id.clone(), stage, agent: None };
            (!known).then_some(withheld)
        })
    }

    /// Keeps the live state small. What was given up and is still waited for stays, so that a person can be told.
    fn archive(&self) -> Vec<Fact> {
        if self.p.queue.finished_len() <= self.p.core.settings.scheduler.keep_finished as usize {
            return Vec::new();
        }
        let mut finished = self.p.queue.finished().filter_map(|slot| self.p.tasks.at(slot));
        let waited_for = |task: &&Task| {
            !self.p.is_satisfied(&task.id) && self.p.dependents(&task.id).iter().any(|d| !d.state.is_final())
        };
        let oldest = finished.find(|task| !waited_for(task));
        oldest.map(|task| Fact::TaskArchived { task: task.id.clone() }).into_iter().collect()
    }
}

enum SetUp {
    Ready,
    Start(Box<Run>),
    Wait,
    Broken(String),
}
