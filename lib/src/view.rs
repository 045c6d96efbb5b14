//! The one picture that the screen, the command line, HTTP and the metrics show: documents derived from what is known
//! and from what was just seen of live runs. Nothing here decides or changes anything.

mod aftermath;
mod agent;
mod attention;
pub mod board;
pub mod detail;
mod explain;
pub mod latest;
mod metrics;
pub mod pane;
pub mod screen;
pub mod standing;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::RunId;
use crate::run::ClaimStatus;
use crate::status::Derived;

pub use aftermath::{cannot_follow, left_out, went_on_without, what_followed, why_failed};
pub use agent::{AgentStatus, AgentView, agent_view};
pub use attention::{Attention, attention};
pub use explain::{Explanation, explain_agent, explain_task};
pub use metrics::{MetricsDoc, metrics};
pub use state::{
    AgentDoc, CollisionDoc, StateDoc, StatusDoc, TaskDoc, agent_docs, queues, state_doc, status_doc, task_doc,
    waiting_reason,
};

/// The version of all JSON documents.
pub const SCHEMA_VERSION: u32 = 1;

/// What was just seen of live runs. Without it the picture rests on the journal alone and says so.
pub type Seen = BTreeMap<RunId, RunSeen>;

/// What was just seen of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSeen {
    /// Of its process.
    pub process: ProcessSeen,
    /// When it last printed something.
    pub last_output_at: Option<Timestamp>,
    /// The last line it printed, made safe.
    pub last_line: String,
    /// What its stream says it is doing.
    pub activity: Option<String>,
    /// What its task file claims.
    pub marker: Option<ClaimStatus>,
    /// What the agent of a session does, by everything that was observed.
    pub doing: Option<Derived>,
}

/// What was just seen of a run's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessSeen {
    /// No host has proven itself.
    NotStarted,
    /// Its host lives and has not started it yet.
    Starting,
    /// It runs: its host has recorded the start and lives.
    Alive,
    /// It has ended and left its record.
    Ended,
    /// Its host is gone without a record.
    Gone,
    /// It could not be found out.
    Unknown,
}
