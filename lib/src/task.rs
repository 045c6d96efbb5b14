//! Tasks: items of work, and where each stands.
//!
//! ```text
//! unassigned ─► <stage>_ready ─► <stage>_wip ─► <stage>_verifying ─► (next stage) … ─► completed ─► rolled_back
//!                    ▲   ▲            │                │    │
//!                    │   └── retry ───┴────────────────┘    ├─► awaiting_approval ─► (goes on, or back)
//!                    └── unblock, retry ── blocked ◄────────┘
//! any that is not finished ─► cancelled;  a connection for `failed` to nowhere ─► failed
//! <stage>_ready ─► (waits for tasks that do parts of it, as `<stage>_wip`) ─► as after a run
//! ```

mod brain;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use brain::{Brain, Decider, Offer, Question, Recorded, Replay};

use crate::budget::Spent;
use crate::ids::{AgentName, CommitId, Group, RunId, StageId, TaskId, WorkflowId};
use crate::run::RunSummary;
use crate::workflow::Workflow;

/// The most urgent priority.
pub const PRIORITY_MOST_URGENT: u8 = 1;
/// The priority of a task that says nothing.
pub const PRIORITY_DEFAULT: u8 = 3;
/// The least urgent priority.
pub const PRIORITY_LEAST_URGENT: u8 = 9;

/// An item of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// One line for people.
    pub title: String,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// From 1, the most urgent.
    pub priority: u8,
    /// Tasks that have to be completed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// Its map.
    pub workflow: WorkflowId,
    /// The map as it was when the task started; what it travels on even if the file changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Arc<Workflow>>,
    /// Workflows that it may lead to and whose files have changed since, as they were when it started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub along: BTreeMap<WorkflowId, Arc<Workflow>>,
    /// Globs of the files it will touch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Tasks of one group run one after the other in hybrid mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Its place in the order of creation.
    pub order: u64,
    /// Where it stands.
    pub state: TaskState,
    /// When its first run was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How much of the time since then does not count: it waited for a person. And up to when that is known.
    #[serde(default, skip_serializing_if = "SignedDuration::is_zero")]
    pub waited: SignedDuration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_to: Option<Timestamp>,
    /// When it reached a final state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The stage it was at when it reached a final state, for those who want it to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<StageId>,
    /// It was given up and is wanted again, and no agent has taken it since: others may have begun where it stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// It was blocked and has been let go on, and nothing has begun since: others may have taken its place in its category.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost_place: bool,
    /// A person put it aside, and will let it go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub put_aside: bool,
    /// Every attempt at its stage failed, and nothing in its workflow says how to go on from there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// When `state` last changed.
    pub state_since: Timestamp,
    /// Runs of the present stage since it was entered, from 1; 0 before the first.
    #[serde(default)]
    pub attempt: u32,
    /// How often each stage was entered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub visits: BTreeMap<StageId, u32>,
    /// What the first so many of `outputs` say of failures counts no longer: a person let the task go on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgiven: u32,
    /// A person's choice of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_agent: Option<AgentName>,
    /// Not to be started before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// A task in flight that has to finish first, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// Why it is where it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the next attempt should know: a failed gate's output, a person's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// What the stages so far produced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<StageOutput>,
    /// Its runs, oldest first; the oldest are dropped beyond `RUNS_KEPT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunSummary>,
    /// What agents used for it since a person last let it go on.
    #[serde(default, skip_serializing_if = "Spent::is_nothing")]
    pub spent: Spent,
    /// How it was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// What it was given, checked against what its workflow declares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// The task whose stage it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
    /// Where a person wants to be asked beside what its workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops: Option<Box<Stops>>,
    /// The present stage was probed, and there is something to do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probed: bool,
    /// What is known of the agent that decides at its hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brain: Option<Box<Brain>>,
    /// The decisions that are taken in the place of new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Box<Replay>>,
    /// The session of an agent's program in which its next run at this stage goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Box<Resume>>,
    /// The agent of the present stage was asked again for a decision that was not clear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked_again: bool,
    /// Who asked for it, as the operating system knows them; none where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// The tasks that did parts of a stage which did not succeed as a whole: what they have done is not done again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<TaskId>,
}

/// A session of an agent's program that can be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Whose.
    pub agent: AgentName,
    /// What the program calls it.
    pub session: String,
    /// Nothing was wrong with it: its host died, or the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// The task whose stage another one serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Which.
    pub task: TaskId,
    /// Its stage.
    pub stage: StageId,
    /// Why there is a task of its own.
    pub why: ParentWhy,
    /// The task on whose branch it works, where that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<TaskId>,
}

/// Why a task serves a stage of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentWhy {
    /// The stage is done by it, and waits for it.
    Part,
    /// The stage failed, and the workflow says what is done then.
    Failure,
    /// The task was cancelled at the stage, which says what is done then.
    Cancel,
    /// An agent at the stage would like to see it started. A person decides.
    Proposal,
}

/// Where a person wants to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stops {
    /// Before the stage at this place of the workflow, from 1.
    pub before: Option<u32>,
    /// After every stage.
    pub every: bool,
}

/// How many finished runs a task remembers.
pub const RUNS_KEPT: usize = 50;

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Never started.
    Unassigned,
    /// A stage waits for an agent.
    Ready {
        /// The stage.
        stage: StageId,
    },
    /// An agent works.
    Working {
        /// The stage.
        stage: StageId,
        /// The run.
        run: RunId,
    },
    /// Tasks that do a part of a stage, or all of it, are waited for.
    Waiting {
        /// The stage.
        stage: StageId,
        /// The tasks.
        on: Vec<TaskId>,
    },
    /// A person wanted to be asked before the stage.
    Paused {
        /// The stage.
        stage: StageId,
    },
    /// The claim of a stage is being checked or merged.
    Verifying {
        /// The stage.
        stage: StageId,
        /// What was claimed.
        claim: Claimed,
        /// How far the check has come.
        step: Step,
    },
    /// A person has to agree.
    AwaitingApproval {
        /// The stage.
        stage: StageId,
        /// What was claimed.
        claim: Claimed,
        /// What is asked.
        ask: Ask,
    },
    /// Waits for a person; `reason` of the task says why.
    Blocked {
        /// The stage it was at; none if it had not started.
        stage: Option<StageId>,
    },
    /// Final: a connection for `failed` led nowhere.
    Failed,
    /// Final: the workflow's end was reached.
    Completed,
    /// Final: a person gave it up.
    Cancelled,
    /// Final: completed, then its merge was reverted.
    RolledBack,
}

/// What an agent claimed at the end of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The decision, if one was clear.
    pub decision: Option<String>,
    /// The head of the task's branch at that moment.
    pub commit: CommitId,
    /// The agent that claimed it.
    pub agent: AgentName,
    /// In which run.
    pub run: RunId,
    /// In the agent's words, made safe and cut.
    #[serde(default)]
    pub summary: String,
    /// Whether a person has agreed already.
    #[serde(default)]
    pub approved: bool,
    /// Who that was, as the operating system knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Who decided, where it could have been another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Box<Decider>>,
}

/// How far the check of a claim has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The branches of the tasks that did parts of the stage have to be brought together on the task's own.
    Join {
        /// What each of them ended with.
        heads: Vec<CommitId>,
    },
    /// The merge commit has to be made.
    Merge,
    /// The gate has to run, or runs, on this commit.
    Gate {
        /// What is checked: the branch's head, or the merge commit.
        commit: CommitId,
        /// The base the merge commit was made on.
        onto: Option<CommitId>,
        /// The run of the gate once it is claimed.
        run: Option<RunId>,
        /// Base has the commit already, and this is the project's check of what base is now.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        merged: bool,
    },
    /// The check after the merge failed, and base has to be put back.
    TakeBack {
        /// What is taken back.
        merge: CommitId,
        /// In words.
        why: String,
        /// The end of the check's output, for the next attempt.
        output: String,
    },
    /// The base branch has to move.
    Advance {
        /// To this merge commit.
        commit: CommitId,
        /// From this one.
        onto: CommitId,
        /// Why it could not yet: uncommitted changes of the user in the way.
        dirty: Option<Dirty>,
    },
}

/// Uncommitted changes of the user that a merge would touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirty {
    /// The files.
    pub files: Vec<String>,
    /// What to type.
    pub command: String,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The stage asks for approval; its gate has passed.
    Approval {
        /// The merge commit that was checked and the base it was made on, where the stage merges.
        merge: Option<(CommitId, CommitId)>,
    },
    /// The agent asked for a review of its claim.
    Review,
    /// No clear decision was made.
    Decision,
}

/// A task in flight that another one waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The task in flight.
    pub by: TaskId,
    /// Why.
    pub why: HoldReason,
}

/// Why a task is held back by one in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Their `paths` overlap.
    Paths,
    /// They are of one group, in hybrid mode.
    Group,
}

/// What a stage produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutput {
    /// The stage.
    pub stage: StageId,
    /// Who.
    pub agent: AgentName,
    /// In which run.
    pub run: RunId,
    /// What was decided.
    pub decision: String,
    /// In the agent's words, made safe and cut.
    pub summary: String,
    /// The head of the task's branch.
    pub commit: CommitId,
    /// When.
    pub at: Timestamp,
    /// Who decided, where it could have been another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Decider>,
    /// Whether a person agreed to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
    /// Who that was, as the operating system knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

/// How a task was merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The merge commit; `None` where there was nothing to merge.
    pub commit: Option<CommitId>,
    /// Base before it.
    pub onto: CommitId,
    /// When base moved.
    pub at: Timestamp,
}

pub(crate) fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What the name of every task's branch begins with.
pub const BRANCHES: &str = "pipeline/";

/// The branch that carries a task's work.
#[must_use]
pub fn branch_of(task: &TaskId) -> String {
    format!("{BRANCHES}{task}")
}

#[cfg(test)]
mod tests;
