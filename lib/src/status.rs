//! What the agent of a session is doing: one pure function from everything that was observed to one answer, which says
//! what it rests on, how sure it is and what speaks against it. The dashboard, the command line, the documents and the
//! engine all use this one.
//!
//! The order of belief: what a person said, what is known of processes, what the agent program's own hooks say, what its
//! screen shows, and last that its process lives. Changes in the worktree never say what an agent does, only that
//! something moves. Nothing here is ever final: a newer observation may always say otherwise. Looking, and keeping what
//! was seen, is done elsewhere.

mod derive;
pub mod fixture;
pub mod hooks;
pub mod screen;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::view::AgentStatus;

pub use derive::{BUDGET_HOOKS, BUDGET_SCREEN, derive};

/// What the agent of a session does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Its program has started and shown nothing that could be read yet.
    Starting,
    /// It works.
    Working,
    /// Its turn is over, and something that it started goes on.
    Background,
    /// It asks whether it may do something.
    Permission,
    /// It asks something else.
    Question,
    /// Its program shows a dialog that only a person may answer.
    Dialog(Dialog),
    /// Its turn is over, and it has claimed nothing.
    TurnEnded,
    /// A limit of its account is reached.
    RateLimited {
        /// When that ends, where it was said.
        until: Option<Timestamp>,
    },
    /// Its login is lost.
    AuthFailed,
    /// It should be working, and nothing moves.
    Stuck,
    /// Its program is gone, and something that is no agent is left in its terminal.
    Gone,
    /// It changes so often between states that none of them can be believed.
    Flickering,
    /// It could not be found out.
    Unknown,
}

/// A dialog that a program shows beside its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialog {
    /// Whether the folder is trusted.
    Trust,
    /// Whether all permissions are given away.
    Bypass,
    /// How to log in.
    Login,
    /// What to do about a limit.
    Limit,
    /// One that is not known. Nothing is typed into it.
    Unknown,
}

impl Dialog {
    /// What it is about, for people.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Trust => "whether the folder is trusted",
            Self::Bypass => "whether it may do everything without asking",
            Self::Login => "how to log in",
            Self::Limit => "what to do about a usage limit",
            Self::Unknown => "something that is not known here",
        }
    }
}

impl Doing {
    /// The public status that says so.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        match self {
            Self::Starting => AgentStatus::Starting,
            Self::Working | Self::Background => AgentStatus::Working,
            Self::Permission | Self::Question | Self::Dialog(_) | Self::TurnEnded | Self::AuthFailed => {
                AgentStatus::Waiting
            }
            Self::RateLimited { .. } => AgentStatus::RateLimited,
            Self::Stuck => AgentStatus::Stuck,
            Self::Gone => AgentStatus::Crashed,
            Self::Flickering | Self::Unknown => AgentStatus::Unknown,
        }
    }

    /// Whether it is a person's turn.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Permission | Self::Question | Self::Dialog(_) | Self::TurnEnded | Self::AuthFailed | Self::Gone => {
                true
            }
            Self::Starting
            | Self::Working
            | Self::Background
            | Self::RateLimited { .. }
            | Self::Stuck
            | Self::Flickering
            | Self::Unknown => false,
        }
    }

    /// In words, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Starting => "its program starts".to_owned(),
            Self::Working => "it works".to_owned(),
            Self::Background => "its turn is over, and what it started goes on".to_owned(),
            Self::Permission => "it asks for a permission".to_owned(),
            Self::Question => "it asks a question".to_owned(),
            Self::Dialog(dialog) => format!("its program asks {}", dialog.about()),
            Self::TurnEnded => "its turn is over, and it has claimed nothing".to_owned(),
            Self::RateLimited { until: Some(until) } => format!("a usage limit is reached until {until}"),
            Self::RateLimited { until: None } => "a usage limit is reached".to_owned(),
            Self::AuthFailed => "its login is lost".to_owned(),
            Self::Stuck => "nothing moves".to_owned(),
            Self::Gone => "its program is gone".to_owned(),
            Self::Flickering => "it changes too often to be believed".to_owned(),
            Self::Unknown => "what it does could not be found out".to_owned(),
        }
    }
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Only that its process lives.
    Process,
    /// What its screen shows.
    Screen,
    /// What its hooks say.
    Hook,
    /// What a person said.
    Person,
}

impl Source {
    /// The public word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Screen => "screen",
            Self::Hook => "hook",
            Self::Person => "person",
        }
    }
}

/// Everything that was observed of a session whose host lives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// When its program started.
    pub started_at: Option<Timestamp>,
    /// Whether a shell, not the agent's program, is in the foreground of its terminal; none where that is not known or
    /// where a shell is what was asked for.
    pub shell_left: Option<bool>,
    /// Processes that the agent's program started and that live.
    pub tools: u32,
    /// Whether one of them uses the processor.
    pub tools_busy: bool,
    /// What its hooks said, oldest first.
    pub hooks: Vec<hooks::Hook>,
    /// What its screen shows; none where it could not be asked.
    pub screen: Option<screen::Reading>,
    /// When what it printed last changed.
    pub printed_at: Option<Timestamp>,
    /// When something in its worktree last changed, as far as that was looked at.
    pub progress_at: Option<Timestamp>,
    /// What a person said about it.
    pub correction: Option<Correction>,
    /// When it changed between states lately, oldest first, as it was recorded.
    pub changes: Vec<Timestamp>,
}

/// A person's word about what an agent does. It holds until the agent's program is heard of again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// What it does.
    pub doing: Doing,
    /// When that was said.
    pub at: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Derived {
    /// What it does.
    pub doing: Doing,
    /// Where that comes from.
    pub source: Source,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words; the deciding rule first.
    pub reasons: Vec<String>,
    /// What speaks against it.
    pub conflicts: Vec<String>,
}
