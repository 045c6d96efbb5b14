//! Runs: one attempt of one agent at one stage of one task, a gate, or the set-up of a worktree. All are the same thing
//! to the engine: claimed, started by a host process that outlives us, ended by its record.

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use crate::claim::ClaimStatus;
use crate::ids::{AgentName, CommitId, Role, RunId, StageId, TaskId, Variant};
use crate::status::{Doing, Source};

/// A run that is not settled yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name; never reused.
    pub id: RunId,
    /// What is run.
    pub work: Work,
    /// The agent that does it or that it is done for.
    pub agent: AgentName,
    /// The task it serves; none for a set-up.
    pub task: Option<TaskId>,
    /// The stage it serves; none for a set-up.
    pub stage: Option<StageId>,
    /// Which attempt at the stage, from 1.
    pub attempt: u32,
    /// Whether it is a session in a terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interactive: bool,
    /// The longest it may take.
    pub timeout: SignedDuration,
    /// How far it has come.
    pub phase: Phase,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its process started, by its host's own record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Asked to stop, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
    /// When it was asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<Timestamp>,
    /// What the agent has said about the outcome so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// A claim in its worktree that was not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_claim: Option<String>,
    /// What its agent was last found to be doing, where that is looked at: it has a session in a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Box<Noted>>,
    /// The session of the agent's own program that it goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<String>,
    /// Nothing was wrong with that session when it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumes_interrupted: bool,
    /// How long after its start it counts as overdue, where enough such runs are on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_after: Option<SignedDuration>,
    /// It takes longer than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// What its program's stream has told of its use so far, where a budget made that worth a record.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub used: Usage,
    /// The arm of a comparison that it counts for, as it was when it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Box<Arm>>,
}

/// One side of a comparison: the agents of one role that are set up in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// The role.
    pub role: Role,
    /// The way.
    pub variant: Variant,
}

/// What the agent of a run was found to be doing, as it is remembered from one look to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted {
    /// What.
    pub doing: Doing,
    /// Where that comes from.
    pub source: Source,
    /// Since when.
    pub since: Timestamp,
    /// When that changed lately, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Timestamp>,
    /// The session of the agent's own program, where its hooks named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What was tried last to get it going again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<Tried>,
}

/// How many changes are remembered.
pub const CHANGES_KEPT: usize = 8;

/// Something that was tried to get an agent going again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What.
    pub rung: Rung,
    /// When that was decided.
    pub at: Timestamp,
    /// Whether it has been done.
    #[serde(default)]
    pub done: bool,
}

/// What is tried to get an agent going again, the gentlest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Looking again, a while later, before anything is done.
    Peek,
    /// Telling it once to go on or to say how it ends.
    Nudge,
    /// Interrupting what it does, and telling it to go on.
    Interrupt,
    /// Starting its program anew in the same session.
    Resume,
    /// Giving the stage to another agent.
    Reassign,
    /// Asking a person.
    Person,
}

impl Rung {
    /// What is tried after this.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Peek => Some(Self::Nudge),
            Self::Nudge => Some(Self::Interrupt),
            Self::Interrupt => Some(Self::Resume),
            Self::Resume => Some(Self::Reassign),
            Self::Reassign => Some(Self::Person),
            Self::Person => None,
        }
    }

    /// Whether something is typed for it.
    #[must_use]
    pub fn types(self) -> bool {
        match self {
            Self::Nudge | Self::Interrupt => true,
            Self::Peek | Self::Resume | Self::Reassign | Self::Person => false,
        }
    }

    /// In words, as what was done.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Peek => "was looked at again",
            Self::Nudge => "was told to go on",
            Self::Interrupt => "was interrupted and told to go on",
            Self::Resume => "is started anew in its session",
            Self::Reassign => "hands its stage to another agent",
            Self::Person => "waits for a person",
        }
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The agent's own program, on the task's branch.
    Agent,
    /// The command of a stage, on the task's branch.
    Command {
        /// The shell command, as it is run.
        command: String,
    },
    /// The question whether there is anything to do at a stage.
    Probe {
        /// The shell command, as it is run.
        command: String,
    },
    /// A gate's command, on this commit.
    Gate {
        /// The shell command.
        command: String,
        /// What is checked.
        commit: CommitId,
    },
    /// A worktree's set-up command.
    Setup {
        /// The shell command.
        command: String,
        /// Which worktree, by name.
        worktree: String,
    },
}

impl Work {
    /// Whether it serves a stage: it holds the task's branch while it lives, and what it leaves is collected.
    #[must_use]
    pub fn serves_stage(&self) -> bool {
        match self {
            Self::Agent | Self::Command { .. } | Self::Probe { .. } => true,
            Self::Gate { .. } | Self::Setup { .. } => false,
        }
    }

    /// Whether it is the stage's own work, of which an outcome can be claimed.
    #[must_use]
    pub fn can_claim(&self) -> bool {
        matches!(self, Self::Agent | Self::Command { .. })
    }

    /// One word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Command { .. } => "command",
            Self::Probe { .. } => "probe",
            Self::Gate { .. } => "gate",
            Self::Setup { .. } => "setup",
        }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Recorded; no process has proven itself.
    Claimed,
    /// Its host has written the start record.
    Started {
        /// When.
        at: Timestamp,
        /// The host's process id.
        pid: u32,
    },
    /// Its process is over; what it left has to be collected.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        how: Ended,
    },
}

/// How a run's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// By itself.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// By a signal that was not ours.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It took longer than allowed and was stopped.
    TimedOut,
    /// It was stopped because we asked.
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// Its program could not be started.
    NotStarted {
        /// In words.
        message: String,
        /// Whether trying again could help; a missing program stays missing.
        permanent: bool,
    },
    /// Its host died, or the machine restarted.
    Interrupted {
        /// In words.
        why: String,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::Signaled { signal } => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("took longer than its timeout"),
            Self::Stopped { reason } => write!(f, "stopped {}", reason.why()),
            Self::NotStarted { message, .. } => write!(f, "could not be started: {message}"),
            Self::Interrupted { why } => write!(f, "interrupted: {why}"),
        }
    }
}

/// Why a run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had claimed an outcome and did not exit within the grace.
    Claimed,
    /// `agent stop`.
    Person,
    /// The task was cancelled, blocked or reassigned.
    Cancelled,
    /// `mode --force`.
    ModeSwitch,
    /// Nothing moved, and gentler means did not help.
    Stuck,
    /// A budget that it draws on is used up.
    Budget,
}

impl StopReason {
    /// In words that go on after `stopped`.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Claimed => "after its claim",
            Self::Person => "by a person",
            Self::Cancelled => "because its task no longer waits for it",
            Self::ModeSwitch => "by a mode switch",
            Self::Stuck => "because nothing moved",
            Self::Budget => "because a budget is used up",
        }
    }
}

/// What an agent says about the outcome of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The outcome.
    pub status: ClaimStatus,
    /// The decision, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// In the agent's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it was read.
    pub source: ClaimSource,
    /// When it was first seen.
    pub at: Timestamp,
}

/// Where a claim was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSource {
    /// The heading of the task file.
    Marker,
    /// The outcome file.
    OutcomeFile,
    /// `pipeline done`.
    Command,
    /// The program's exit code.
    ExitCode,
}

/// A run in the history of its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its name.
    pub id: RunId,
    /// `agent`, `command`, `probe`, `gate` or `setup`.
    pub work: Cow<'static, str>,
    /// Who.
    pub agent: AgentName,
    /// At which stage.
    pub stage: StageId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Whether it was a session in a terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interactive: bool,
    /// When its process started; when it was claimed if it never did.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub how: Ended,
    /// What came of it.
    pub verdict: Verdict,
    /// What it said of itself, be it only by its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<ClaimStatus>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The commit it ended on, or checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// What the gate saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What the agent's stream reported.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// The arm of a comparison that it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Box<Arm>>,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its claim was accepted, or the gate passed.
    Passed,
    /// It failed, or the gate did.
    Failed,
    /// It was taken back and counts for nothing.
    Void,
}

/// What a gate saw: enough to check it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evidence {
    /// The shell command.
    pub command: String,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// The tree it ran on.
    pub tree: String,
    /// SHA-256 of its output, in hexadecimal.
    pub log_sha256: String,
}

/// What an agent's stream reported about its use of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// Tokens in and out together.
    #[serde(default)]
    pub tokens: u64,
    /// In US dollars.
    #[serde(default)]
    pub cost_usd: f64,
}

impl Usage {
    /// Whether nothing was reported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens == 0 && self.cost_usd == 0.0
    }

    /// In words; what it cost only where that was told.
    #[must_use]
    pub fn words(&self) -> String {
        match self.cost_usd > 0.0 {
            true => format!("{} tokens, ${:.2}", self.tokens, self.cost_usd),
            false => format!("{} tokens", self.tokens),
        }
    }

    /// The larger of both, each kind for itself: what was told once is not less later.
    #[must_use]
    pub fn at_least(&self, other: &Self) -> Self {
        Self { tokens: self.tokens.max(other.tokens), cost_usd: self.cost_usd.max(other.cost_usd) }
    }
}
