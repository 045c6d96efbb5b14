//! What the journal keeps. A fact says what has become true; replay applies it and decides nothing.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agents::preset::Preset;
use crate::ids::{AgentName, CommitId, Group, Role, RunId, StageId, TaskId, WorkflowId};
use crate::machine::Shortage;
use crate::mode::{Mode, PilotScope};
use crate::pipeline::{AlertNotice, Scheduled};
use crate::run::{Claim, Ended, Run, RunSummary, Rung, StopReason, Usage};
use crate::settings::Settings;
use crate::status::{Doing, Source};
use crate::task::{Hold, Merged, Question, Resume, StageOutput, Task, TaskState};
use crate::workflow::Workflow;

/// What has become true.
#[expect(
    clippy::large_enum_variant,
    reason = "they are handled one at a time, and a box would cost each an allocation"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Fact {
    /// The configuration changed.
    Configured {
        /// The part that decisions depend on.
        settings: Arc<Settings>,
        /// Every workflow there is.
        workflows: Vec<Arc<Workflow>>,
        /// Identifies the files it was read from.
        digest: String,
    },
    /// The mode changed.
    ModeChanged {
        /// From now on.
        mode: Mode,
        /// Whether the change was made without the evidence that `rollout check` asks for.
        #[serde(default)]
        unready: bool,
    },
    /// A switch waits until no agent is busy; `None` takes the wish back.
    ModePending {
        /// The mode to come.
        mode: Option<Mode>,
        /// Whether it was asked for without the evidence that `rollout check` asks for.
        #[serde(default)]
        unready: bool,
    },
    /// Which tasks the pilot may touch.
    PilotChanged {
        /// From now on.
        scope: PilotScope,
    },
    /// A task is known.
    TaskAdded {
        /// The task.
        task: Box<Task>,
    },
    /// A task that is not named gets a number from this one on.
    NumbersTaken {
        /// The first one that is free.
        below: u64,
    },
    /// A person changed a task.
    TaskEdited {
        /// Which.
        task: TaskId,
        /// What.
        edit: Box<TaskEdit>,
    },
    /// A task is somewhere else.
    TaskMoved {
        /// Which.
        task: TaskId,
        /// Where.
        to: TaskState,
        /// Why and what follows.
        #[serde(default)]
        with: Move,
    },
    /// A task in flight holds another back.
    TaskHeld {
        /// The one that waits.
        task: TaskId,
        /// For what.
        hold: Hold,
    },
    /// The branches of two tasks in flight will not both merge onto base, or that of one no longer merges onto it.
    CollisionSeen {
        /// The task.
        task: TaskId,
        /// The other one; absent for base alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<TaskId>,
        /// In these files, the first of them.
        files: Vec<String>,
    },
    /// That is so no longer.
    CollisionGone {
        /// The task.
        task: TaskId,
        /// The other one; absent for base alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<TaskId>,
    },
    /// The wait before a retry is over.
    TaskDue {
        /// Which.
        task: TaskId,
    },
    /// A finished task left the live state.
    TaskArchived {
        /// Which.
        task: TaskId,
    },
    /// A task is as it was before a command that was taken back.
    TaskRestored {
        /// Which.
        task: TaskId,
        /// As it was; `None` where it was not there.
        to: Option<Box<Task>>,
    },
    /// A stage is done.
    StageDone {
        /// Of which task.
        task: TaskId,
        /// What it produced.
        output: Box<StageOutput>,
    },
    /// A hub has looked and asks its agent.
    HubAsks {
        /// Of which task.
        task: TaskId,
        /// What.
        question: Box<Question>,
    },
    /// A task's work is in base.
    TaskMerged {
        /// Which.
        task: TaskId,
        /// How.
        merged: Merged,
    },
    /// A task's work is no longer in base: what came after the merge failed.
    MergeReverted {
        /// Which.
        task: TaskId,
        /// The commit that undoes it; none where nothing of it was left.
        by: Option<CommitId>,
    },
    /// The rollout went one step back by itself.
    Demoted {
        /// From now on.
        mode: Mode,
        /// In words.
        why: String,
    },
    /// A run is about to be started.
    RunClaimed {
        /// The run.
        run: Box<Run>,
    },
    /// A run's host has proven itself.
    RunStarted {
        /// Which.
        run: RunId,
        /// The host's process id.
        pid: u32,
        /// When, by the host's own record.
        started_at: Timestamp,
    },
    /// An agent said something about the outcome.
    ClaimNoted {
        /// Of which run.
        run: RunId,
        /// What.
        claim: Claim,
    },
    /// An agent's claim was not taken: it belongs to another run or came too late.
    ClaimRefused {
        /// Of which run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// A run has been asked to stop.
    RunStopping {
        /// Which.
        run: RunId,
        /// Why.
        reason: StopReason,
    },
    /// A run's process is over.
    RunEnded {
        /// Which.
        run: RunId,
        /// How.
        how: Ended,
        /// When.
        ended_at: Timestamp,
    },
    /// A run takes much longer than such runs do.
    RunOverdue {
        /// Which.
        run: RunId,
    },
    /// A live run has used so much as its program tells.
    RunUsed {
        /// Which.
        run: RunId,
        /// So far.
        usage: Usage,
    },
    /// The machine is short of something, or no longer is.
    MachineShort {
        /// What it is short of from now on.
        shortages: Vec<Shortage>,
    },
    /// A run is settled.
    RunClosed {
        /// Which.
        run: RunId,
        /// For the history; none for a set-up.
        summary: Option<Box<RunSummary>>,
    },
    /// The agent of a run does something else than before.
    RunDoing {
        /// The run.
        run: RunId,
        /// What.
        doing: Doing,
        /// Where that comes from.
        source: Source,
        /// Since when.
        since: Timestamp,
        /// What speaks against it; empty where nothing does.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        conflict: String,
        /// The session of the agent's own program, where its hooks named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
    },
    /// Something is tried to get an agent going again, or has been done for that.
    RunTried {
        /// The run.
        run: RunId,
        /// What.
        rung: Rung,
        /// Whether it has been done.
        done: bool,
        /// Why it could not be, if it could not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// A worktree was set up.
    WorktreeReady {
        /// By name.
        worktree: String,
        /// With this command.
        setup: String,
    },
    /// A worktree's set-up failed.
    WorktreeFailed {
        /// By name.
        worktree: String,
        /// In words.
        message: String,
        /// Not to be tried before; `None` when a person has to look.
        retry_at: Option<Timestamp>,
    },
    /// A worktree has to be set up again.
    WorktreeReset {
        /// By name.
        worktree: String,
    },
    /// An agent takes no work until it is started.
    AgentStopped {
        /// Which.
        agent: AgentName,
    },
    /// An agent takes work again.
    AgentEnabled {
        /// Which.
        agent: AgentName,
    },
    /// An agent cannot work and trying again would not help.
    AgentBroken {
        /// Which.
        agent: AgentName,
        /// In words.
        message: String,
    },
    /// A preset reached a limit, lost its login, or cannot reach its service.
    PresetPaused {
        /// Which.
        preset: Preset,
        /// Until when.
        until: Timestamp,
        /// In words.
        why: String,
        /// How often in a row it could not reach its service; 0 where it could.
        #[serde(default, skip_serializing_if = "crate::task::is_zero")]
        in_a_row: u32,
    },
    /// A preset may be used again.
    PresetResumed {
        /// Which.
        preset: Preset,
    },
    /// What would have been done if the rollout allowed it.
    EffectWithheld {
        /// What: `start`, `gate`, `merge`.
        effect: String,
        /// For which task.
        task: TaskId,
        /// At which stage.
        stage: StageId,
        /// By whom.
        agent: Option<AgentName>,
    },
    /// Something outside could not be done.
    EffectFailed {
        /// What it belongs to.
        key: EffectKey,
        /// In words.
        message: String,
        /// How often in a row.
        failures: u32,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// Sequential mode serves this task.
    CurrentTask {
        /// Which; `None` when nothing is left.
        task: Option<TaskId>,
        /// What is wrong with the file's content, for people.
        #[serde(default)]
        problem: Option<String>,
    },
    /// When something starts by itself is known; `None` where it does so no longer.
    ScheduleSet {
        /// What it is called.
        name: String,
        /// Where it stands.
        scheduled: Option<Box<Scheduled>>,
    },
    /// The time of a schedule has come.
    ScheduleFired {
        /// What it is called.
        name: String,
        /// The time that had come.
        due: Timestamp,
        /// The next one.
        next: Option<Timestamp>,
        /// The task that was added; none where it was left out this time.
        task: Option<TaskId>,
        /// Why it was left out.
        #[serde(default)]
        why: Option<String>,
    },
    /// People were told of something grave, or could not be told of something.
    AlertNoted {
        /// What they should see.
        notice: Box<AlertNotice>,
    },
    /// Alerts reach people through a channel again.
    ChannelWorks {
        /// Its name.
        channel: String,
    },
    /// Something a role should know; it is told with its next run.
    Notice {
        /// Who.
        role: Role,
        /// About which task.
        task: TaskId,
        /// What.
        text: String,
    },
}

/// Why a task moved and what follows from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Move {
    /// For people; empty clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For the next attempt. `None` leaves what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// Not to be started before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The stage is entered anew: attempts start over and the visit is counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub entered: bool,
    /// Tasks begin to do parts of the stage: it is an attempt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub began: bool,
    /// The attempt that was under way does not count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// The stage was probed, and there is something to do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub probed: bool,
    /// Its agent is asked again for a decision that was not clear.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub asked_again: bool,
    /// A person who wanted to be asked has agreed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub agreed: bool,
    /// Who agreed to it, as the operating system knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Every attempt at the stage failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// It is a retry, for the statistics.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// A person put it aside.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub put_aside: bool,
    /// The session in which the next run of the same agent goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Box<Resume>>,
}

/// What a person may change of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskEdit {
    /// The new title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The new body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The new priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// The new dependencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<TaskId>>,
    /// The new paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// The new group; an inner `None` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", with = "double_option")]
    pub group: Option<Option<Group>>,
    /// The new workflow, while the task has not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowId>,
    /// The agent a person chose; an inner `None` leaves it to the scheduler.
    #[serde(skip_serializing_if = "Option::is_none", with = "double_option")]
    pub pinned_agent: Option<Option<AgentName>>,
}

impl TaskEdit {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `Some(None)` as an explicit `null`: an absent field and a field that is taken away are different edits.
mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "the difference between absent and null is the point")]
    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Option<Option<T>>, s: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(s)
    }

    #[expect(clippy::option_option, reason = "the difference between absent and null is the point")]
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(d).map(Some)
    }
}

/// What an effect belongs to. A run or a task has at most one effect at a time, so this identifies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EffectKey {
    /// A run.
    Run(RunId),
    /// A task.
    Task(TaskId),
    /// The file that names the task of sequential mode.
    CurrentTask,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(id) => write!(f, "run:{id}"),
            Self::Task(id) => write!(f, "task:{id}"),
            Self::CurrentTask => f.write_str("current_task"),
        }
    }
}

impl Serialize for EffectKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EffectKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let invalid = || serde::de::Error::custom(format!("unknown effect key `{text}`"));
        match text.split_once(':') {
            Some(("run", id)) => RunId::new(id).map(Self::Run).map_err(|_| invalid()),
            Some(("task", id)) => TaskId::new(id).map(Self::Task).map_err(|_| invalid()),
            _ if text == "current_task" => Ok(Self::CurrentTask),
            _ => Err(invalid()),
        }
    }
}

/// What has to be done outside. Effects are not remembered: they follow from the state, so whoever ticks next after a
/// crash finds them again, and each is safe to repeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Prepare the worktree and start the run's host.
    Launch {
        /// Which.
        run: RunId,
    },
    /// Type something into a session to get it going again.
    Urge {
        /// The run.
        run: RunId,
        /// What is tried so.
        rung: Rung,
    },
    /// Ask the run's host to stop.
    Stop {
        /// Which.
        run: RunId,
        /// Why.
        reason: StopReason,
    },
    /// Read what an ended run left, and keep its work on the task's branch.
    Collect {
        /// Which.
        run: RunId,
    },
    /// Bring the branches of tasks that did parts of a stage together on the task's own.
    JoinParts {
        /// Of which task.
        task: TaskId,
        /// What to bring together.
        heads: Vec<CommitId>,
    },
    /// Make the merge commit of a task's branch on base, in the object database only.
    PrepareMerge {
        /// Of which task.
        task: TaskId,
        /// The head to merge.
        head: CommitId,
    },
    /// Move base to a merge commit.
    AdvanceBase {
        /// Of which task.
        task: TaskId,
        /// From.
        onto: CommitId,
        /// To.
        commit: CommitId,
    },
    /// Undo a merge on base, and let the task's branch bring it anew.
    RevertBase {
        /// Of which task.
        task: TaskId,
        /// The merge commit.
        merge: CommitId,
    },
    /// Write the file that names the task of sequential mode.
    WriteCurrentTask {
        /// Its new content.
        task: Option<TaskId>,
    },
}

impl Effect {
    /// What it belongs to.
    #[must_use]
    pub fn key(&self) -> EffectKey {
        match self {
            Self::Launch { run } | Self::Stop { run, .. } | Self::Collect { run } | Self::Urge { run, .. } => {
                EffectKey::Run(run.clone())
            }
            Self::JoinParts { task, .. }
            | Self::PrepareMerge { task, .. }
            | Self::AdvanceBase { task, .. }
            | Self::RevertBase { task, .. } => EffectKey::Task(task.clone()),
            Self::WriteCurrentTask { .. } => EffectKey::CurrentTask,
        }
    }

    /// One word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Launch { .. } => "launch",
            Self::Stop { .. } => "stop",
            Self::Urge { .. } => "urge",
            Self::Collect { .. } => "collect",
            Self::JoinParts { .. } => "join",
            Self::PrepareMerge { .. } => "merge",
            Self::AdvanceBase { .. } => "advance",
            Self::RevertBase { .. } => "revert",
            Self::WriteCurrentTask { .. } => "current_task",
        }
    }
}
