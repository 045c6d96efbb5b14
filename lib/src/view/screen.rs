//! The picture a dashboard draws: small, owned, already cut to what a screen can show. Columns carry their counts, so that
//! a board over 100,000 tasks costs what one over 100 does.

use jiff::Timestamp;

use super::detail::Detail;
use super::{AgentStatus, Attention};
use crate::agents::stream::Format;
use crate::ids::{AgentName, RunId, TaskId};
use crate::mode::Mode;
use crate::settings::Sandbox;

/// The picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Screen {
    /// The folder name of the repository.
    pub project: String,
    /// The branch that work is merged into.
    pub base: String,
    /// Both dimensions of the mode.
    pub mode: Mode,
    /// The mode to come.
    pub pending_mode: Option<Mode>,
    /// Who ticks: this process, another monitor (its process id), or nobody.
    pub monitor: Monitor,
    /// The board: new tasks, one column for each stage of the default order, then what is done.
    pub columns: Vec<Column>,
    /// The workers, in the order of the configuration.
    pub agents: Vec<AgentRow>,
    /// What waits for a person, most blocking first.
    pub attention: Vec<Attention>,
    /// The latest events, oldest first, ready to print.
    pub events: Vec<EventLine>,
    /// The figures of the header.
    pub figures: Figures,
    /// What was looked at beyond all this.
    pub detail: Detail,
    /// Something the person should know about the supervisor itself, such as a poll instead of a watch.
    pub notice: Option<String>,
    /// When the picture was made.
    pub at: Timestamp,
}

/// Who ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// The process that shows the picture.
    Here,
    /// Another process.
    Elsewhere(u32),
    /// Another process, which is stopped itself, so that nobody ticks.
    Stopped(u32),
    /// No process.
    Nobody,
}

/// A column of the board.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its heading, such as `impl`.
    pub title: String,
    /// How many tasks are in it.
    pub total: usize,
    /// The first of them, in the order in which they would be taken.
    pub cards: Vec<Card>,
}

/// A task on the board.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Its name.
    pub id: TaskId,
    /// One line for people.
    pub title: String,
    /// Its public status.
    pub status: String,
    /// What kind of state that is, for colour and sign.
    pub tone: Tone,
    /// Who works on it.
    pub agent: Option<AgentName>,
    /// The role of the stage it is at, or would start at; none once it has ended.
    pub role: Option<String>,
    /// Which attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// When it came to where it stands.
    pub since: Timestamp,
    /// From 1, the most urgent.
    pub priority: u8,
    /// Why it waits, if it does.
    pub reason: Option<String>,
    /// What its branch will not merge with.
    pub collides: Option<String>,
}

/// What kind of state something is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Nothing happens yet.
    Waiting,
    /// Could start now.
    Ready,
    /// Under way.
    Active,
    /// Being checked.
    Checking,
    /// A person is needed.
    Attention,
    /// Went wrong for good.
    Bad,
    /// Done.
    Good,
    /// Given up.
    Gone,
}

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRow {
    /// Its name.
    pub name: AgentName,
    /// The stages it serves.
    pub role: String,
    /// Which program it is.
    pub preset: &'static str,
    /// How far it is confined.
    pub sandbox: Sandbox,
    /// What it is doing.
    pub status: AgentStatus,
    /// Which kind of observation says so.
    pub source: &'static str,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Since when.
    pub since: Timestamp,
    /// The task it serves.
    pub task: Option<TaskId>,
    /// The stage it works at.
    pub stage: Option<String>,
    /// The run that its output comes from.
    pub run: Option<RunRow>,
    /// While it is being stopped: when it is made to end at the latest.
    pub stopping: Option<Timestamp>,
    /// The last line it printed, or the reason of its status. Nothing for one that has nothing to do.
    pub line: String,
}

/// The run that an agent's output comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its name.
    pub id: RunId,
    /// Whether it is under way: the agent's own, its worktree's set-up, or the gate on what it claimed. Else it is the
    /// last one that the agent did itself.
    pub live: bool,
    /// Whether it is a session in a terminal, which can be typed into while it lives.
    pub interactive: bool,
    /// How what it prints is read.
    pub format: Format,
}

/// An event, ready to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// In words.
    pub text: String,
    /// What kind it is.
    pub tone: Tone,
}

/// The figures of the header.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Tasks, archived ones included.
    pub tasks: usize,
    /// Completed ones.
    pub completed: usize,
    /// Started and not finished.
    pub in_progress: usize,
    /// Agents whose status counts as busy, places for commands included: they are listed beside it.
    pub agents_busy: usize,
    /// Completions per hour.
    pub throughput_per_hour: f64,
    /// As agents reported, in US dollars.
    pub cost_usd: f64,
}
