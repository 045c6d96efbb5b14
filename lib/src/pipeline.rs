//! The whole of what is known, and how facts change it. `apply` never decides and never fails: a fact that no longer
//! fits (from a newer version, say) leaves the rest alone.
//!
//! Beside the facts' own content stands an index derived from it (what is ready for whom, what has to be done outside),
//! kept incrementally so that picking the next of 100,000 tasks costs no scan. The index is rebuilt on loading.

mod apply;
mod assigned;
mod category;
pub(crate) mod clock;
mod failing;
mod idle;
mod index;
mod proposals;
mod rest;
mod stored;
mod tasks;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agents::preset::Preset;
use crate::budget::Day;
use crate::collision::Collisions;
use crate::decide::{EFFECT_RETRY_MAX, is_over};
use crate::estimate::WEIGHT_USUAL;
use crate::fact::{Effect, EffectKey};
use crate::ids::{AgentName, Role, RunId, StageId, TaskId, WorkflowId};
use crate::machine::Shortage;
use crate::metrics::Metrics;
use crate::mode::{Mode, PilotScope, Rollout};
use crate::run::Run;
use crate::settings::Settings;
use crate::task::{ParentWhy, Task, TaskState};
use crate::workflow::{Stage, Workflow, tdd};

pub use apply::alerts::{AlertNotice, StandingAlert};
pub use apply::patterns::Pattern;
pub use apply::schedules::Scheduled;
pub use assigned::Assigned;
pub use category::CategoryWait;
pub use index::Counts;
pub(crate) use index::{Mark, Queue, QueueId, ReadyKey};
pub use rest::{OUTAGE_TOLD_AT, Outage, Pause};
pub use stored::Readable;
pub(crate) use tasks::Slot;
pub use tasks::Tasks;

/// Everything that facts have said, without the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Core {
    /// How many facts have been applied.
    pub seq: u64,
    /// When the last one was.
    pub updated_at: Timestamp,
    /// Identifies the configuration that is recorded.
    pub config_digest: String,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Every workflow there is.
    pub workflows: BTreeMap<WorkflowId, Arc<Workflow>>,
    /// The mode.
    pub mode: Mode,
    /// The mode to come, once no agent is busy.
    pub pending_mode: Option<Mode>,
    /// Whether that was asked for without the evidence for its rollout; says nothing where none is pending.
    #[serde(default)]
    pub pending_unready: bool,
    /// The last step back that the rollout took by itself, until a person sets a mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demoted: Option<Demoted>,
    /// Tasks that came to nothing since one was completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<TaskId>,
    /// Which tasks the pilot may touch.
    pub pilot: PilotScope,
    /// Runs that are not settled.
    pub runs: BTreeMap<RunId, Run>,
    /// The workers, and those that were removed while they worked.
    pub agents: BTreeMap<AgentName, Agent>,
    /// Worktrees, by name.
    pub worktrees: BTreeMap<String, Worktree>,
    /// Presets that rest.
    pub paused: BTreeMap<Preset, Pause>,
    /// When an agent of a preset last started, where starts are staggered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_starts: BTreeMap<Preset, Timestamp>,
    /// Presets that could not reach their service, until one of their agents has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outages: BTreeMap<Preset, Outage>,
    /// The task of sequential mode.
    pub current_task: Option<TaskId>,
    /// What is wrong with the file that names it.
    pub current_task_problem: Option<String>,
    /// What shadow mode would have each agent do.
    pub shadow_plan: BTreeMap<AgentName, (TaskId, StageId)>,
    /// The plan for a task that was recorded last and not acted on.
    pub withheld: BTreeMap<TaskId, (StageId, String)>,
    /// Effects that failed, until they succeed or are no longer due.
    pub effect_failures: BTreeMap<EffectKey, EffectFailure>,
    /// What roles should know, until it is told.
    pub notices: Vec<Notice>,
    /// Finished tasks that left the live state.
    pub archived: BTreeMap<TaskId, Archived>,
    /// The place of the next task in the order of creation.
    pub next_order: u64,
    /// The number of the next task that is not named.
    pub next_number: u64,
    /// What has been counted.
    pub metrics: Metrics,
    /// What agents used on the last day that they worked.
    #[serde(default)]
    pub day: Day,
    /// Failures that were seen, by what they are recognised by.
    #[serde(default)]
    pub patterns: BTreeMap<String, Pattern>,
    /// What starts by itself, by name.
    #[serde(default)]
    pub schedules: BTreeMap<String, Scheduled>,
    /// Alerts that people should see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<StandingAlert>,
    /// How much a task of a workflow weighs in a chain of tasks, as [`crate::estimate::weights`] found last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<WorkflowId, u16>,
    /// What the machine is short of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<Shortage>,
    /// Tasks in flight that will not both merge.
    #[serde(default, skip_serializing_if = "Collisions::is_empty")]
    pub collisions: Collisions,
}

impl Default for Core {
    fn default() -> Self {
        let tdd = tdd();
        Self {
            seq: 0,
            updated_at: Timestamp::UNIX_EPOCH,
            config_digest: String::new(),
            settings: Arc::new(Settings::default()),
            workflows: BTreeMap::from([(tdd.id.clone(), tdd)]),
            mode: Mode::default(),
            pending_mode: None,
            pending_unready: false,
            demoted: None,
            given_up: Vec::new(),
            pilot: PilotScope::default(),
            runs: BTreeMap::new(),
            agents: BTreeMap::new(),
            worktrees: BTreeMap::new(),
            paused: BTreeMap::new(),
            last_starts: BTreeMap::new(),
            outages: BTreeMap::new(),
            current_task: None,
            current_task_problem: None,
            shadow_plan: BTreeMap::new(),
            withheld: BTreeMap::new(),
            effect_failures: BTreeMap::new(),
            notices: Vec::new(),
            archived: BTreeMap::new(),
            next_order: 0,
            next_number: 1,
            metrics: Metrics::default(),
            day: Day::default(),
            patterns: BTreeMap::new(),
            schedules: BTreeMap::new(),
            alerts: Vec::new(),
            weights: BTreeMap::new(),
            shortages: Vec::new(),
            collisions: Collisions::default(),
        }
    }
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// The stages it serves.
    pub role: Role,
    /// Which program it is.
    pub preset: Preset,
    /// Taken out of work by a person.
    #[serde(default)]
    pub stopped: bool,
    /// Why it cannot work.
    #[serde(default)]
    pub broken: Option<String>,
    /// No longer configured; it leaves when its run is settled.
    #[serde(default)]
    pub removed: bool,
    /// Its live run: its own, its worktree's set-up, or the gate on what it claimed.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The task whose claim of its own is being checked.
    #[serde(default)]
    pub verifying: Option<TaskId>,
    /// Since when it has been doing, or not doing, what it does.
    pub since: Timestamp,
    /// How its last run ended, in words.
    #[serde(default)]
    pub last: Option<String>,
}

impl Agent {
    /// Whether people are shown it: a place for the commands of workflows is nobody while it is empty.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.preset != Preset::Command || self.run.is_some()
    }
}

/// A worktree's set-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Worktree {
    /// The command it was last set up with.
    #[serde(default)]
    pub setup: Option<String>,
    /// How often in a row the set-up failed.
    #[serde(default)]
    pub failures: u32,
    /// The set-up is not tried before.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    /// The set-up failed for good, and how.
    #[serde(default)]
    pub broken: Option<String>,
}

/// A step back that the rollout took by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demoted {
    /// To.
    pub to: Rollout,
    /// In words.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// An effect that could not be performed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectFailure {
    /// In words.
    pub message: String,
    /// How often in a row.
    pub failures: u32,
    /// Not to be tried before.
    pub retry_at: Timestamp,
}

/// Something a role should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Who.
    pub role: Role,
    /// About which task.
    pub task: TaskId,
    /// What.
    pub text: String,
    /// The live run that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<RunId>,
}

/// A finished task that left the live state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archived {
    /// Its title.
    pub title: String,
    /// Where it ended.
    pub status: String,
    /// When.
    pub finished_at: Timestamp,
}

/// Tasks that do parts of tasks that do parts, so many times over, are looked at.
const NESTING_MAX: usize = 32;
/// Notices beyond this number push the oldest out.
const NOTICES_MAX: usize = 50;

/// The whole of what is known.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// Everything that facts have said but the tasks.
    pub core: Core,
    /// The tasks.
    pub tasks: Tasks,
    pub(crate) queue: Queue,
}

impl PartialEq for Pipeline {
    fn eq(&self, other: &Self) -> bool {
        self.core == other.core && self.tasks == other.tasks
    }
}

impl Pipeline {
    /// The task of this name.
    #[must_use]
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// The task that was started because this one failed; the last one, if it failed more than once.
    #[must_use]
    pub fn after_failure_of(&self, id: &TaskId) -> Option<&Task> {
        let follows = |task: &&Task| {
            task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Failure && parent.task == *id)
        };
        self.tasks.iter().filter(follows).max_by_key(|task| task.order)
    }

    /// The map a task travels: as it was when the task started, else as it is now.
    #[must_use]
    pub fn workflow_of<'a>(&'a self, task: &'a Task) -> Option<&'a Arc<Workflow>> {
        task.pinned.as_ref().or_else(|| self.core.workflows.get(&task.workflow))
    }

    /// The stage a task is at, or would start at.
    #[must_use]
    pub fn stage_of<'a>(&'a self, task: &'a Task) -> Option<&'a Stage> {
        let workflow = self.workflow_of(task)?;
        match &task.state {
            TaskState::Unassigned | TaskState::Blocked { stage: None } => workflow.stage(&workflow.start),
            other => workflow.stage(other.stage()?),
        }
    }

    /// The wall between deciding and doing: whether the rollout lets this task be acted on.
    #[must_use]
    pub fn may_touch(&self, task: &TaskId) -> bool {
        match self.core.mode.rollout {
            Rollout::Shadow => self.mends_failure(task),
            Rollout::Pilot => self.pilot_covers(task) || self.mends_failure(task),
            Rollout::Production => true,
        }
    }

    /// A task that does a part of another one is touched where that one is.
    fn pilot_covers(&self, task: &TaskId) -> bool {
        self.core.pilot.covers(task) || self.with_parents(task).any(|task| self.core.pilot.covers(&task.id))
    }

    /// Whether it follows a failure, such as a rollback, where failures took the rollout a step back: that is no reason to
    /// leave half of something as it is.
    fn mends_failure(&self, task: &TaskId) -> bool {
        let mends = |task: &Task| task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Failure);
        self.core.demoted.is_some() && self.with_parents(task).any(mends)
    }

    fn with_parents(&self, task: &TaskId) -> impl Iterator<Item = &Task> {
        let parent = |task: &&Task| self.task(task.parent.as_ref()?.task.as_str());
        std::iter::successors(self.task(task.as_str()), parent).take(NESTING_MAX)
    }

    /// Dependencies of a task that are not satisfied yet.
    pub fn open_dependencies<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a TaskId> + 'a {
        task.depends_on.iter().filter(|id| !self.is_satisfied(id))
    }

    /// Tasks that wait for this one.
    #[must_use]
    pub fn dependents(&self, id: &TaskId) -> Vec<&Task> {
        self.queue.dependents_of(&self.tasks, id)
    }

    /// The longest chain of tasks behind this one, counted in tasks that take as long as usual, up to a limit.
    #[must_use]
    pub fn height(&self, id: &TaskId) -> u16 {
        self.chain_weight(id).div_ceil(WEIGHT_USUAL)
    }

    /// The weight of the heaviest chain of tasks behind this one, up to a limit.
    pub(crate) fn chain_weight(&self, id: &TaskId) -> u16 {
        self.tasks.slot(id.as_str()).map_or(0, |slot| self.queue.height(slot))
    }

    /// What has to be done outside now, as far as nothing speaks against it; `now` decides about repeats.
    #[must_use]
    pub fn due_effects(&self, now: Timestamp) -> Vec<Permitted> {
        self.queue
            .effects()
            .filter(|(key, _)| {
                let failure = self.core.effect_failures.get(key);
                failure.is_none_or(|f| is_over(f.retry_at, now, EFFECT_RETRY_MAX))
            })
            .filter_map(|(_, effect)| self.permit(effect))
            .collect()
    }

    /// Whether this effect still follows from the state.
    #[must_use]
    pub fn is_due(&self, effect: &Effect) -> bool {
        self.queue.effect(&effect.key()) == Some(effect)
    }

    /// The one door from an effect to its performance. What belongs to a run that was started before the rollout
    /// changed is let through, so that live work is observed to its end and kept.
    fn permit(&self, effect: &Effect) -> Option<Permitted> {
        let allowed = match effect {
            Effect::Stop { .. } | Effect::Collect { .. } => true,
            Effect::Launch { run } => {
                let run = self.core.runs.get(run)?;
                run.task.as_ref().map_or(self.core.mode.rollout > Rollout::Shadow, |task| self.may_touch(task))
            }
            Effect::JoinParts { task, .. }
            | Effect::PrepareMerge { task, .. }
            | Effect::AdvanceBase { task, .. }
            | Effect::RevertBase { task, .. } => self.may_touch(task),
            // Nothing new is asked of what only goes on to its end.
            Effect::Urge { run, .. } => {
                let run = self.core.runs.get(run)?;
                run.task.as_ref().is_some_and(|task| self.may_touch(task))
            }
            Effect::WriteCurrentTask { .. } => self.core.mode.rollout > Rollout::Shadow,
        };
        allowed.then(|| Permitted(effect.clone()))
    }

    /// What has to be written into the file that names the task of sequential mode, given what it says now. A problem
    /// with what it says is a person's business, and the file is left as it is.
    #[must_use]
    pub fn current_task_effect(&self, content: Option<&str>) -> Option<Permitted> {
        let core = &self.core;
        let sequential = core.mode.orchestration == crate::mode::Orchestration::Sequential;
        let same = core.current_task.as_ref().map(TaskId::as_str) == content;
        if !sequential || same || core.current_task_problem.is_some() {
            return None;
        }
        self.permit(&Effect::WriteCurrentTask { task: core.current_task.clone() })
    }

    /// When something will have to be decided even if nothing happens. What starts by itself is not waited for: that
    /// never ends.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines().min()
    }

    /// The same with what starts by itself, leaving out what was due when the last tick was taken: it found nothing to
    /// decide then, so waking for it again would be in vain.
    #[must_use]
    pub fn next_deadline_after(&self, last_tick: Timestamp) -> Option<Timestamp> {
        let scheduled = self.core.schedules.values().filter_map(|scheduled| scheduled.next);
        self.deadlines().chain(scheduled).filter(|at| *at > last_tick).min()
    }

    fn deadlines(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let claims = self.core.runs.values().filter_map(crate::decide::claim_deadline);
        let ladders = self.core.runs.values().filter_map(crate::decide::ladder_deadline);
        let overdue = self.core.runs.values().filter_map(crate::decide::overdue_at);
        let pauses = self.core.paused.values().map(|p| p.until);
        let setups = self.core.worktrees.values().filter_map(|w| w.retry_at);
        let failures = self.core.effect_failures.values().map(|f| f.retry_at);
        // The day on which something was used up ends by itself.
        let now = self.core.updated_at;
        let days = self.all_used_up_today(now).into_iter().map(|used_up| used_up.until);
        claims
            .chain(days)
            .chain(self.budget_deadlines())
            .chain(crate::decide::staggered_starts(self))
            .chain(ladders)
            .chain(overdue)
            .chain(pauses)
            .chain(setups)
            .chain(failures)
            .chain(self.queue.next_due())
    }
}

/// An effect that the rollout allows. Performers take nothing else, and only `Pipeline` makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Permitted(Effect);

impl Permitted {
    /// The effect.
    #[must_use]
    pub fn effect(&self) -> &Effect {
        &self.0
    }
}
