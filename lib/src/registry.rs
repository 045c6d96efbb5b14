//! The registry, `.pipeline/registry.json`: which workflow an event starts, chains of workflows by name, how many tasks of
//! a category run at once, and what starts by itself at which times. Everything here ends in an ordinary task on an
//! ordinary workflow; there is no second engine.
//!
//! The types here are what the file says; `parse` reads its JSON and reports every problem by JSON pointer. Which
//! workflows there are, and where the file is, is the caller's business.

pub mod alerts;
pub mod chain;
pub mod expression;
pub mod handed;
pub mod parse;
pub mod route;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ids::WorkflowId;
use crate::settings::{Category, ScheduleSettings};

pub use chain::{Chain, Link};
pub use expression::Expression;

/// What a registry says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry {
    /// Which workflow an event starts, in the order of the file.
    pub rules: Vec<Rule>,
    /// Workflows that are workflows one after the other.
    pub chains: Vec<Chain>,
    /// How many tasks of a category run at once. A category that is not here has no limit.
    pub categories: BTreeMap<String, Category>,
    /// What starts by itself.
    pub schedules: Vec<ScheduleSettings>,
    /// What people are told about.
    pub alerts: alerts::Alerts,
    /// The category of workflows that say nothing about it themselves.
    pub category_of: BTreeMap<WorkflowId, String>,
    /// How urgent tasks on some workflows are, where a rule says nothing about it.
    pub priorities: BTreeMap<WorkflowId, u8>,
    /// Where the file names workflows.
    pub mentions: Vec<Mention>,
    /// Where the file says what workflows are given.
    pub handed: Vec<handed::Handed>,
}

/// A place of the file that names a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Where, as a JSON pointer.
    pub at: String,
    /// Which.
    pub workflow: WorkflowId,
}

/// Which workflow an event starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The condition as it was written.
    pub condition: String,
    /// The condition.
    pub expression: Expression,
    /// The workflow.
    pub workflow: WorkflowId,
    /// From 1, the most urgent: of several rules that match the most urgent one counts, and the task has its priority.
    pub priority: u8,
    /// What the workflow is given beside what the event brings; texts are templates over that.
    pub params: BTreeMap<String, Value>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a rule comes from. Earlier ones go before later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The registry.
    Registry,
    /// What a workflow of the project says about itself.
    Project,
    /// The rules that come with the program.
    Builtin,
    /// What a workflow that comes with the program says about itself.
    Shipped,
}
