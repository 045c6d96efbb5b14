//! When what is left will be done: the remaining stages of the unfinished tasks, played through on the agents there are, in
//! the order in which the scheduler would hand them out, each for as long as its stage usually takes. Nothing fails, nobody
//! is waited for, and no chance is in it: the same state and the same moment give the same answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use jiff::{SignedDuration, Timestamp};

use crate::ids::{AgentName, Group, Role, StageId, TaskId};
use crate::mode::{Orchestration, Rollout};
use crate::pipeline::{Agent, Pipeline};
use crate::run::Run;
use crate::task::{Task, TaskState};
use crate::view::detail::estimate::{Durations, stages_left};
use crate::workflow::Stage;

/// Tasks that are played through; what is beyond is taken to go on at the same rate.
const TASKS_MAX: usize = 400;
/// Planned work that is kept, the soonest.
const PLANNED_MAX: usize = 400;
/// A run that takes longer than usual is taken to end in so many milliseconds.
const OVERDUE_MS: i64 = 5_000;

/// What is left, and when it is predicted to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlook {
    /// When the last of the tasks that can go on is done, or why that cannot be said.
    pub finish: Option<Result<Timestamp, Unknown>>,
    /// Unfinished tasks that can go on by themselves.
    pub going: usize,
    /// Unfinished tasks that cannot: they wait for a person, for an agent of their role, or for one of these.
    pub waiting: usize,
    /// Of those that can go on, how many were not played through but taken to go at the same rate.
    pub beyond: usize,
    /// Recorded runs that this rests on.
    pub runs: u64,
    /// What agents are predicted to do from now on, the soonest first.
    pub planned: Vec<Planned>,
}

/// Why a finish cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// No run is on record.
    NoRuns,
    /// The rollout starts nothing.
    Shadow,
    /// Everything that is left waits.
    AllWait,
}

/// Work that an agent is predicted to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Who.
    pub agent: AgentName,
    /// For which task.
    pub task: TaskId,
    /// At which stage.
    pub stage: StageId,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}

/// Predicts from `now` on.
pub(super) fn forecast(pipeline: &Pipeline, durations: &Durations, now: Timestamp) -> Outlook {
    let total = pipeline.unfinished_total();
    let mut outlook = Outlook { runs: durations.runs, ..Outlook::default() };
    if total == 0 {
        return outlook;
    }
    if durations.runs == 0 {
        outlook.going = total;
        outlook.finish = Some(Err(Unknown::NoRuns));
        return outlook;
    }
    let known = pipeline.unfinished(TASKS_MAX);
    let beyond = total - known.len().min(total);
    let mut play = Play::new(pipeline, durations, known, now);
    play.run();
    let done = play.tasks.iter().filter(|task| task.done).count();
    let outside = play.outside();
    // Those that are known stand for those that are not.
    outlook.beyond = outside + if play.tasks.is_empty() { 0 } else { beyond * (done + outside) / play.tasks.len() };
    outlook.going = done + outlook.beyond;
    outlook.waiting = total - outlook.going.min(total);
    outlook.finish = Some(match (done, pipeline.core.mode.rollout) {
        (0, Rollout::Shadow) => Err(Unknown::Shadow),
        (0, _) => Err(Unknown::AllWait),
        _ => {
            let rest_ms = i64::try_from(outlook.beyond).unwrap_or(i64::MAX).saturating_mul(play.finish_ms);
            Ok(later(now, play.finish_ms.saturating_add(rest_ms / i64::try_from(done).unwrap_or(1))))
        }
    });
    outlook.planned = play.planned;
    outlook
}

fn later(now: Timestamp, ms: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

/// Something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The stage of a task, done by an agent or by nobody.
    Stage { task: usize, agent: Option<usize> },
    /// The rest of an agent, or work of its that leads to nothing more.
    Rest { agent: usize },
}

/// The order in which ready stages are taken.
type Key = (u8, Reverse<u16>, Reverse<usize>, u64, usize);

struct Player<'a> {
    name: &'a AgentName,
    role: &'a Role,
    does: Does,
}

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Work,
    /// Its preset rests.
    Rest,
}

struct Left<'a> {
    task: &'a Task,
    /// What is left: the stage, its role, and how long it takes in milliseconds.
    stages: Vec<(&'a StageId, &'a Role, i64)>,
    at: usize,
    /// Tasks of the play that have to be done before it starts.
    open: usize,
    /// It cannot start: a person or another agent is needed.
    stuck: bool,
    /// It is not played: it waits for a task that is not.
    outside: bool,
    done: bool,
}

/// The pipeline on a clock of its own.
struct Play<'a> {
    pipeline: &'a Pipeline,
    now: Timestamp,
    clock_ms: i64,
    /// When the last stage so far ended.
    finish_ms: i64,
    agents: Vec<Player<'a>>,
    tasks: Vec<Left<'a>>,
    by_id: BTreeMap<&'a TaskId, usize>,
    dependents: Vec<Vec<usize>>,
    ready: BTreeMap<Wanted<'a>, BTreeSet<Key>>,
    ends: BinaryHeap<Reverse<(i64, End)>>,
    planned: Vec<Planned>,
    /// The groups that are served, in hybrid mode.
    groups: BTreeSet<&'a Group>,
    /// The task that is served, in sequential mode.
    current: Option<usize>,
}

/// For whom a stage is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted<'a> {
    Role(&'a Role),
    Agent(&'a AgentName),
}

impl<'a> Play<'a> {
    fn new(pipeline: &'a Pipeline, durations: &Durations, known: Vec<&'a Task>, now: Timestamp) -> Self {
        let configured = pipeline.core.settings.agents.iter();
        let usable = |agent: &&Agent| !agent.stopped && agent.broken.is_none() && !agent.removed;
        let agents: Vec<Player<'a>> = configured
            .filter(|agent| pipeline.core.agents.get(&agent.name).filter(usable).is_some())
            .map(|agent| Player { name: &agent.name, role: &agent.role, does: Does::Nothing })
            .collect();
        let by_id: BTreeMap<&TaskId, usize> = known.iter().enumerate().map(|(at, task)| (&task.id, at)).collect();
        let mut dependents = vec![Vec::new(); known.len()];
        let mut tasks: Vec<Left<'a>> = known.into_iter().map(|task| left(pipeline, durations, task)).collect();
        for (at, left) in tasks.iter_mut().enumerate() {
            let held = left.task.held.as_ref().map(|hold| &hold.by);
            let waits = left.task.state == TaskState::Unassigned;
            let open = pipeline.open_dependencies(left.task).filter(|_| waits);
            for dependency in open.chain(held) {
                match by_id.get(dependency) {
                    Some(before) => {
                        left.open += 1;
                        dependents[*before].push(at);
                    }
                    None if Some(dependency) == held => {}
                    None => match pipeline.task(dependency.as_str()) {
                        Some(before) if !before.state.is_final() => left.outside = true,
                        _ => left.stuck = true,
                    },
                }
            }
        }
        let mut play = Self {
            pipeline,
            now,
            clock_ms: 0,
            finish_ms: 0,
            agents,
            tasks,
            by_id,
            dependents,
            ready: BTreeMap::new(),
            ends: BinaryHeap::new(),
            planned: Vec::new(),
            groups: BTreeSet::new(),
            current: None,
        };
        play.begin();
        play
    }

    /// What is under way now, and what could be.
    fn begin(&mut self) {
        for run in self.pipeline.core.runs.values() {
            self.take_up(run);
        }
        for at in 0..self.agents.len() {
            let name = self.agents[at].name;
            let rests =
                self.pipeline.core.agents.get(name).and_then(|agent| self.pipeline.core.paused.get(&agent.preset));
            if let Some(pause) = rests.filter(|_| self.agents[at].does == Does::Nothing) {
                self.agents[at].does = Does::Rest;
                let wait_ms = pause.until.duration_since(self.now).as_millis().clamp(0, i128::from(i64::MAX));
                self.ends.push(Reverse((i64::try_from(wait_ms).unwrap_or(i64::MAX), End::Rest { agent: at })));
            }
        }
        let sequential = self.pipeline.core.mode.orchestration == Orchestration::Sequential;
        let current = self.pipeline.core.current_task.as_ref().filter(|_| sequential);
        self.current = current.and_then(|id| self.by_id.get(id).copied());
        for at in 0..self.tasks.len() {
            let task = self.tasks[at].task;
            if task.in_flight() {
                self.groups.extend(task.group.as_ref());
            }
            match &task.state {
                TaskState::Unassigned | TaskState::Ready { .. } => self.offer(at),
                // What is merged, or checked without a run so far, keeps its agent until that is over.
                TaskState::Verifying { claim, .. } if task.state.run().is_none() && !self.tasks[at].stuck => {
                    let takes_ms = self.tasks[at].stages.first().map_or(0, |(_, _, ms)| *ms);
                    let agent = self.agent(&claim.agent).filter(|agent| self.agents[*agent].does == Does::Nothing);
                    if let Some(agent) = agent {
                        self.agents[agent].does = Does::Work;
                    }
                    self.ends.push(Reverse((takes_ms, End::Stage { task: at, agent })));
                }
                TaskState::Verifying { .. }
                | TaskState::Working { .. }
                | TaskState::Waiting { .. }
                | TaskState::Paused { .. }
                | TaskState::AwaitingApproval { .. }
                | TaskState::Blocked { .. }
                | TaskState::Failed
                | TaskState::Completed
                | TaskState::Cancelled
                | TaskState::RolledBack => {}
            }
        }
    }

    fn agent(&self, name: &AgentName) -> Option<usize> {
        self.agents.iter().position(|agent| agent.name == name)
    }

    /// A live run goes on until it has taken as long as usual.
    fn take_up(&mut self, run: &Run) {
        let agent = self.agent(&run.agent);
        let task = run.task.as_ref().and_then(|id| self.by_id.get(id).copied());
        let passed = self.now.duration_since(run.started_at.unwrap_or(run.claimed_at)).as_millis();
        let passed_ms = i64::try_from(passed.max(0)).unwrap_or(i64::MAX);
        let takes_ms = task.and_then(|task| self.tasks[task].stages.first()).map_or(0, |(_, _, ms)| *ms);
        let left_ms = takes_ms.saturating_sub(passed_ms).max(OVERDUE_MS);
        if let Some(agent) = agent {
            self.agents[agent].does = Does::Work;
        }
        let end = match (task.filter(|task| !self.tasks[*task].stuck), agent) {
            (Some(task), agent) => End::Stage { task, agent },
            (None, Some(agent)) => End::Rest { agent },
            (None, None) => return,
        };
        self.ends.push(Reverse((left_ms, end)));
    }

    /// Puts the next stage of a task where agents look for it, if it may start.
    fn offer(&mut self, at: usize) {
        let left = &self.tasks[at];
        if left.open > 0 || left.stuck || left.outside {
            return;
        }
        let Some((_, role, _)) = left.stages.get(left.at) else { return self.finish(at) };
        let wanted = match &left.task.pinned_agent {
            Some(agent) if left.at == 0 => Wanted::Agent(agent),
            _ => Wanted::Role(role),
        };
        let begun = left.task.state.stage().is_some() || left.at > 0;
        let depth = if begun { usize::MAX - left.stages.len() + left.at } else { 0 };
        let height = self.pipeline.chain_weight(&left.task.id);
        let key = (left.task.priority, Reverse(height), Reverse(depth), left.task.order, at);
        self.ready.entry(wanted).or_default().insert(key);
    }

    /// A task is done; those that wait for it may start.
    fn finish(&mut self, at: usize) {
        self.tasks[at].done = true;
        if self.current == Some(at) {
            self.current = None;
        }
        if let Some(group) = &self.tasks[at].task.group {
            self.groups.remove(group);
        }
        for dependent in std::mem::take(&mut self.dependents[at]) {
            self.tasks[dependent].open -= 1;
            let task = self.tasks[dependent].task;
            if matches!(task.state, TaskState::Unassigned | TaskState::Ready { .. }) {
                self.offer(dependent);
            }
        }
    }

    /// How many tasks were not played, though nothing but others that were not stands in front of them.
    fn outside(&self) -> usize {
        let mut todo: Vec<usize> = (0..self.tasks.len()).filter(|at| self.tasks[*at].outside).collect();
        let mut known: BTreeSet<usize> = todo.iter().copied().collect();
        while let Some(at) = todo.pop() {
            todo.extend(self.dependents[at].iter().copied().filter(|behind| known.insert(*behind)));
        }
        known.into_iter().filter(|at| !self.tasks[*at].stuck).count()
    }

    fn run(&mut self) {
        loop {
            while self.start_one() {}
            let Some(Reverse((at_ms, end))) = self.ends.pop() else { return };
            let agent = match end {
                End::Stage { agent, .. } => agent,
                End::Rest { agent } => Some(agent),
            };
            if let Some(agent) = agent {
                self.agents[agent].does = Does::Nothing;
            }
            self.clock_ms = at_ms;
            if let End::Stage { task, .. } = end {
                self.finish_ms = at_ms;
                self.tasks[task].at += 1;
                self.offer(task);
            }
        }
    }

    /// Gives the best ready stage to an agent that is free. Whether there was one.
    fn start_one(&mut self) -> bool {
        let limit = self.pipeline.core.settings.scheduler.max_parallel as usize;
        let busy = self.agents.iter().filter(|agent| agent.does == Does::Work).count();
        if limit > 0 && busy >= limit {
            return false;
        }
        let caps = &self.pipeline.core.settings.scheduler.role_caps;
        let full = |role: &Role| {
            let cap = caps.get(role).map(|cap| *cap as usize);
            let working = || self.agents.iter().filter(|agent| agent.role == role && agent.does == Does::Work).count();
            cap.is_some_and(|cap| working() >= cap)
        };
        let free = self.agents.iter().enumerate();
        let free = free.filter(|(_, agent)| agent.does == Does::Nothing && !full(agent.role));
        let pairs = free.filter_map(|(at, agent)| Some((self.best_for(agent)?, at)));
        let Some(((key, wanted), agent)) = pairs.min() else { return false };
        if let Some(keys) = self.ready.get_mut(&wanted) {
            keys.remove(&key);
        }
        let at = key.4;
        let Some((stage, _, takes_ms)) = self.tasks[at].stages.get(self.tasks[at].at).copied() else { return true };
        if self.pipeline.core.mode.orchestration == Orchestration::Sequential {
            self.current = Some(at);
        }
        let task = self.tasks[at].task;
        self.groups.extend(task.group.as_ref());
        self.agents[agent].does = Does::Work;
        let to_ms = self.clock_ms.saturating_add(takes_ms);
        if self.planned.len() < PLANNED_MAX {
            self.planned.push(Planned {
                agent: self.agents[agent].name.clone(),
                task: task.id.clone(),
                stage: stage.clone(),
                from: later(self.now, self.clock_ms),
                to: later(self.now, to_ms),
            });
        }
        self.ends.push(Reverse((to_ms, End::Stage { task: at, agent: Some(agent) })));
        true
    }

    fn best_for(&self, agent: &Player<'a>) -> Option<(Key, Wanted<'a>)> {
        let mode = self.pipeline.core.mode.orchestration;
        let may = |key: &&Key| {
            let left = &self.tasks[key.4];
            let begun = left.at > 0 || left.task.in_flight();
            match mode {
                Orchestration::Sequential => self.current.is_none_or(|current| current == key.4),
                Orchestration::Hybrid => {
                    begun || left.task.group.as_ref().is_none_or(|group| !self.groups.contains(group))
                }
                Orchestration::Parallel => true,
            }
        };
        let of = |wanted: Wanted<'a>| {
            let key = self.ready.get(&wanted)?.iter().find(may)?;
            Some((*key, wanted))
        };
        [of(Wanted::Agent(agent.name)), of(Wanted::Role(agent.role))].into_iter().flatten().min()
    }
}

fn ms(seconds: f64) -> i64 {
    (seconds * 1_000.0).round().max(0.0) as i64
}

/// What is left of a task, and whether it can go on at all.
fn left<'a>(pipeline: &'a Pipeline, durations: &Durations, task: &'a Task) -> Left<'a> {
    let verifying = matches!(task.state, TaskState::Verifying { .. });
    let takes_ms = |(at, stage): (usize, &'a Stage)| {
        // Of a claim that is being checked only the check is left.
        let work = if at == 0 && verifying { 0.0 } else { durations.work(&task.workflow, stage).unwrap_or(0.0) };
        (&stage.id, &stage.role, ms(work + durations.check(pipeline, stage)).max(1))
    };
    let stages: Vec<_> = stages_left(pipeline, task).into_iter().enumerate().map(takes_ms).collect();
    let person = pipeline.waits_for_person(task);
    let live = task.state.run().is_some();
    let stuck = person || stages.is_empty() || (!live && !pipeline.may_touch(&task.id));
    Left { task, stages, at: 0, open: 0, stuck, outside: false, done: false }
}
