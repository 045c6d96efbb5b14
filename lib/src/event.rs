//! What happened, as `decide` hears it: something a person asked for, something seen outside, or time passing.

mod refusal;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub use refusal::Refusal;

use crate::agents::stream::Failure;
use crate::claim::Decision;
use crate::collision::Prediction;
use crate::fact::{EffectKey, TaskEdit};
use crate::ids::{AgentName, CommitId, Group, RunId, TaskId, WorkflowId};
use crate::machine::Machine;
use crate::mode::{Mode, PilotScope, Rollout};
use crate::pipeline::AlertNotice;
use crate::run::{Claim, Ended, Evidence, Rung, Usage};
use crate::settings::Settings;
use crate::status::{Doing, Source};
use crate::task::{Dirty, Replay, Stops};
use crate::workflow::Workflow;
use crate::workflow::execute_block::Execute;

/// What happened.
#[expect(
    clippy::large_enum_variant,
    reason = "they are handled one at a time, and a box would cost each an allocation"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time passed: take the next step there is, if any. Repeated until it yields nothing.
    Tick,
    /// The configuration was read and differs from what is recorded.
    Configure {
        /// The part that decisions depend on.
        settings: Arc<Settings>,
        /// Every workflow there is.
        workflows: Vec<Arc<Workflow>>,
        /// Identifies the files.
        digest: String,
    },
    /// Numbers below this one were given to tasks that are not known any more, or to branches that look like theirs.
    NumbersTaken {
        /// The first one that is free.
        below: u64,
    },
    /// A person asks.
    Ask(Request),
    /// Something was seen of a run.
    Run {
        /// Which.
        run: RunId,
        /// What.
        seen: Seen,
    },
    /// A merge commit was made, or not.
    MergePrepared {
        /// Of which task.
        task: TaskId,
        /// The head that was to be merged.
        head: CommitId,
        /// What came of it.
        outcome: MergeOutcome,
    },
    /// The branches of tasks that did parts of a stage were brought together, or not.
    PartsJoined {
        /// The task whose stage it was.
        task: TaskId,
        /// What came of it.
        outcome: MergeOutcome,
    },
    /// Base moved, or not.
    BaseAdvanced {
        /// Of which task.
        task: TaskId,
        /// The merge commit.
        commit: CommitId,
        /// What came of it.
        outcome: AdvanceOutcome,
    },
    /// A merge was taken back, or not.
    BaseReverted {
        /// Of which task.
        task: TaskId,
        /// The merge commit.
        merge: CommitId,
        /// What came of it.
        outcome: RevertOutcome,
    },
    /// Merges of branches at work were tried out.
    MergesPredicted(Vec<Prediction>),
    /// The file that names the task of sequential mode was read.
    CurrentTaskRead {
        /// Its content without surrounding space; `None` where there is no file or nothing in it.
        content: Option<String>,
    },
    /// What the streams of live runs tell of their use so far.
    Used(Vec<(RunId, Usage)>),
    /// The machine was measured.
    Machine(Machine),
    /// An effect could not be performed.
    EffectFailed {
        /// What it belongs to.
        key: EffectKey,
        /// In words.
        message: String,
        /// Whether trying again could help.
        permanent: bool,
    },
}

/// Something seen of a run.
#[expect(
    clippy::large_enum_variant,
    reason = "they are handled one at a time, and a box would cost each an allocation"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Its host has written the start record.
    Started {
        /// The host's process id.
        pid: u32,
        /// By the record.
        at: Timestamp,
    },
    /// Its agent said something about the outcome.
    Claimed(Claim),
    /// A claim that is not its own.
    ForeignClaim {
        /// In words.
        why: String,
    },
    /// Its process is over.
    Ended {
        /// How.
        how: Ended,
        /// When.
        at: Timestamp,
        /// For a gate: what it saw.
        evidence: Option<Evidence>,
        /// For a gate or set-up that failed: the end of its output.
        output: Option<String>,
    },
    /// What an agent's run left has been read, and its work is on the task's branch.
    Collected(Collected),
    /// What its agent does, by everything that was observed.
    Doing(Box<DoingSeen>),
    /// What was to be typed for it has been typed, or cannot be.
    Typed {
        /// What was tried so.
        rung: Rung,
        /// Why not, if not.
        refused: Option<String>,
    },
    /// Its worktree turned out to be fresh and has to be set up first.
    WorktreeFresh {
        /// By name.
        worktree: String,
    },
}

/// What the agent of a run was seen to be doing.
#[derive(Debug, Clone, PartialEq)]
pub struct DoingSeen {
    /// What.
    pub doing: Doing,
    /// Where that comes from.
    pub source: Source,
    /// Since when.
    pub since: Timestamp,
    /// What speaks against it; empty where nothing does.
    pub conflict: String,
    /// The session of the agent's own program, where its hooks named it.
    pub session: Option<String>,
}

/// What an agent's run left.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// The head of the task's branch, with everything that was not committed.
    pub commit: CommitId,
    /// What it claims in its task file or outcome file.
    pub claim: Option<Claim>,
    /// What the agent's last words say about a decision.
    pub decision: Decision,
    /// What the agent's stream said about a failure.
    pub failure: Option<Failure>,
    /// The last words of the agent, made safe and cut.
    pub summary: String,
    /// The end of its output, for the next attempt if this one failed.
    pub output: String,
    /// What the stream reported.
    pub usage: Usage,
    /// Why the work is not good enough whatever is claimed: a figure that misses its threshold, an outcome file that is not
    /// understood.
    pub unmet: Option<String>,
    /// What the run certainly did to what is not its own, such as the base branch: nothing it claims is believed, and its
    /// agent takes no work until a person has looked.
    pub trespass: Option<String>,
    /// What it may have done: its agent takes no work until a person has looked.
    pub suspicion: Option<String>,
    /// A workflow that the agent would like to see started, or what is wrong with what it proposed. Only a person starts it.
    pub proposal: Option<Result<Execute, String>>,
}

/// What came of making a merge commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// Base has everything already.
    AlreadyMerged {
        /// Base.
        onto: CommitId,
    },
    /// It was made.
    Commit {
        /// The merge commit.
        commit: CommitId,
        /// Its first parent.
        onto: CommitId,
    },
    /// It does not apply.
    Conflict {
        /// Where.
        files: Vec<String>,
    },
}

/// What came of taking a merge back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevertOutcome {
    /// Base is without it, and the task's branch brings it anew once it is merged again.
    Reverted {
        /// The commit that undoes it; none where nothing of it was left.
        by: Option<CommitId>,
    },
    /// Later changes are in the way.
    Conflict {
        /// Where.
        files: Vec<String>,
    },
}

/// What came of moving base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdvanceOutcome {
    /// It moved, or had moved before.
    Moved,
    /// It was somewhere else.
    Stale,
    /// Uncommitted changes of the user are in the way.
    Dirty(Dirty),
}

/// What a person, or an agent about its own run, may ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Add tasks, all or none.
    AddTasks(Vec<NewTask>),
    /// Change a task.
    Edit {
        /// Which.
        task: TaskId,
        /// What.
        edit: TaskEdit,
    },
    /// Let this agent do the task's present stage; taken back with `None`. With `interrupt`, a live run is stopped.
    Assign {
        /// Which.
        task: TaskId,
        /// Who.
        agent: Option<AgentName>,
        /// Whether a live run is stopped for it.
        interrupt: bool,
    },
    /// Start a blocked, failed or waiting task again.
    Retry {
        /// Which.
        task: TaskId,
        /// For the agent.
        message: Option<String>,
    },
    /// Take a task out until a person puts it back.
    Block {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// Put it back.
    Unblock {
        /// Which.
        task: TaskId,
    },
    /// Give a task up.
    Cancel {
        /// Which.
        task: TaskId,
        /// Why.
        reason: Option<String>,
    },
    /// Agree to what was claimed.
    Approve {
        /// Who agrees, as the operating system knows them.
        by: Option<String>,
        /// Which.
        task: TaskId,
        /// The decision, where none was clear.
        decision: Option<String>,
    },
    /// Send a stage back.
    Reject {
        /// Which.
        task: TaskId,
        /// For the agent.
        message: Option<String>,
    },
    /// The merges of completed tasks were reverted, those that came last first.
    RolledBack {
        /// Which, and the commit that reverts each; none where there was nothing to revert.
        tasks: Vec<(TaskId, Option<CommitId>)>,
    },
    /// Take an agent out of work.
    StopAgent {
        /// Which.
        agent: AgentName,
    },
    /// Let an agent work again.
    StartAgent {
        /// Which.
        agent: AgentName,
    },
    /// Switch the mode.
    SetMode {
        /// To.
        mode: Mode,
        /// How a busy agent is treated.
        busy: Busy,
        /// Whether the switch is made without the evidence for it.
        unready: bool,
    },
    /// Switch the rollout alone. A switch of the orchestration that is awaited stays awaited.
    SetRollout {
        /// To.
        rollout: Rollout,
        /// Whether the switch is made without the evidence for it.
        unready: bool,
    },
    /// Which tasks the pilot may touch.
    SetPilot {
        /// From now on.
        scope: PilotScope,
    },
    /// People should see these alerts, and these channels work again.
    NoteAlerts {
        /// What they should see.
        notices: Vec<AlertNotice>,
        /// The channels.
        working: Vec<String>,
    },
    /// An agent reports the outcome of its run.
    Done {
        /// For which task; found by the run if missing.
        task: Option<TaskId>,
        /// Of which run; found by the task if missing.
        run: Option<RunId>,
        /// What it says.
        claim: Claim,
    },
}

/// How a mode switch treats busy agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// It is refused.
    Refuse,
    /// It waits for them.
    Drain,
    /// It stops them.
    Stop,
}

/// A task to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its name; numbered if missing.
    pub id: Option<TaskId>,
    /// One line for people.
    pub title: String,
    /// What is asked for.
    pub body: String,
    /// From 1, the most urgent.
    pub priority: u8,
    /// Tasks that have to be completed before.
    pub depends_on: Vec<TaskId>,
    /// Its map; the default if missing.
    pub workflow: Option<WorkflowId>,
    /// Its map itself, where that is not one of the project's. It takes the place of `workflow`.
    pub pinned: Option<Arc<Workflow>>,
    /// Globs of the files it will touch.
    pub paths: Vec<String>,
    /// Its group.
    pub group: Option<Group>,
    /// What it is given.
    pub params: BTreeMap<String, Value>,
    /// Where a person wants to be asked.
    pub stops: Stops,
    /// The decisions that are taken in the place of new ones.
    pub replay: Option<Replay>,
    /// Who asks for it.
    pub asked_by: Option<String>,
}

impl NewTask {
    /// A task with nothing but a title.
    #[must_use]
    pub fn titled(title: &str) -> Self {
        Self {
            id: None,
            title: title.to_owned(),
            body: String::new(),
            priority: crate::task::PRIORITY_DEFAULT,
            depends_on: Vec::new(),
            workflow: None,
            pinned: None,
            paths: Vec::new(),
            group: None,
            params: BTreeMap::new(),
            stops: Stops::default(),
            replay: None,
            asked_by: None,
        }
    }
}
