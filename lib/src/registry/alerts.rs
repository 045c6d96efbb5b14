//! What people are told about without asking: which facts are worth an alert, how grave it is, where it goes, and what a
//! channel is sent. Who sends it is the caller's business.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Expression;
use crate::fact::Fact;
use crate::ids::{TaskId, WorkflowId};
use crate::pipeline::{AlertNotice, OUTAGE_TOLD_AT, Pipeline};
use crate::run::Verdict;
use crate::task::{Task, TaskState};

/// What the `event` of an alert may be.
pub const EVENTS: [&str; 12] = [
    "task_failed",
    "task_blocked",
    "task_completed",
    "task_rolled_back",
    "merge_reverted",
    "demoted",
    "preset_paused",
    "approval_needed",
    "run_failed",
    "schedule_left_out",
    "agent_broken",
    "effect_failed",
];
/// What conditions may name, as far as it applies.
pub const NAMES: [&str; 12] = [
    "event",
    "event_type",
    "task",
    "title",
    "workflow",
    "category",
    "priority",
    "stage",
    "agent",
    "reason",
    "effect",
    "failures",
];

/// How grave an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is logged.
    Info,
    /// People are notified.
    Warning,
    /// People are notified, and something may be started against it.
    Critical,
}

impl Severity {
    /// One word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// Standard error of the monitor.
    Console,
    /// The log.
    Log,
    /// A notice on the desktop.
    Desktop,
    /// A shell command, with the alert in its environment and as JSON on its stdin.
    Command(String),
    /// An address that is sent JSON.
    Webhook {
        /// Where; `$NAME` is the value of that environment variable.
        url: String,
        /// What it expects.
        shape: Shape,
    },
}

/// What a webhook expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The whole alert.
    Plain,
    /// `{"text": …}`
    Slack,
    /// `{"content": …}`
    Discord,
}

/// When people are told.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// What it is called.
    pub name: String,
    /// When, over [`values`].
    pub expression: Expression,
    /// How grave it is.
    pub severity: Severity,
    /// Where it goes, by name; empty: everywhere that its severity says.
    pub channels: Vec<String>,
    /// The workflow that is started against it.
    pub workflow: Option<WorkflowId>,
}

/// Rules and channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alerts {
    /// In the order of the file.
    pub rules: Vec<AlertRule>,
    /// By name, beside `console` and `log`, which are always there.
    pub channels: BTreeMap<String, Channel>,
}

/// Something people are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert<'r> {
    /// Why.
    pub rule: &'r AlertRule,
    /// What happened.
    pub values: Value,
    /// In a sentence.
    pub text: String,
}

const LOG: (&str, Channel) = ("log", Channel::Log);
const CONSOLE: (&str, Channel) = ("console", Channel::Console);

impl Alerts {
    /// What people are told about a fact that has become true.
    #[must_use]
    pub fn raised<'r>(&'r self, pipeline: &Pipeline, fact: &Fact) -> Vec<Alert<'r>> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let Some(mut values) = values(pipeline, fact) else { return Vec::new() };
        // As rules of events have it.
        values["event_type"] = values["event"].clone();
        let matching = self.rules.iter().filter(|rule| rule.expression.holds(&values).holds);
        matching.map(|rule| Alert { rule, text: text(rule, &values), values: values.clone() }).collect()
    }

    /// The channels of a rule, by name. What is only logged goes nowhere else unless the rule says so.
    #[must_use]
    pub fn channels_of<'a>(&'a self, rule: &'a AlertRule) -> Vec<(&'a str, Channel)> {
        let named = |name: &'a String| match name.as_str() {
            "console" => Some(CONSOLE),
            "log" => Some(LOG),
            other => Some((other, self.channels.get(other)?.clone())),
        };
        let others = || self.channels.iter().map(|(name, channel)| (name.as_str(), channel.clone()));
        match (rule.channels.as_slice(), rule.severity) {
            ([], Severity::Info) => vec![LOG],
            ([], Severity::Warning | Severity::Critical) => [LOG, CONSOLE].into_iter().chain(others()).collect(),
            (names, _) => std::iter::once(LOG).chain(names.iter().filter_map(named)).collect(),
        }
    }
}

impl Alert<'_> {
    /// What people see in the list of what waits for them: that it was raised, or that a channel did not deliver it.
    #[must_use]
    pub fn notice(&self, channel: Option<&str>) -> AlertNotice {
        let task = self.values["task"].as_str().and_then(|id| TaskId::new(id).ok());
        AlertNotice { name: self.rule.name.clone(), text: self.text.clone(), task, channel: channel.map(str::to_owned) }
    }

    /// The alert as JSON.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "alert": self.rule.name, "severity": self.rule.severity.word(), "text": self.text, "event": self.values,
        })
    }

    /// What a webhook is sent.
    #[must_use]
    pub fn payload(&self, shape: Shape) -> Value {
        match shape {
            Shape::Plain => self.document(),
            Shape::Slack => json!({ "text": self.text }),
            Shape::Discord => json!({ "content": self.text }),
        }
    }
}

fn text(rule: &AlertRule, values: &Value) -> String {
    let word = |key: &str| values[key].as_str().unwrap_or_default();
    let about = [word("task"), word("workflow"), word("stage"), word("agent")];
    let about: Vec<&str> = about.into_iter().filter(|word| !word.is_empty()).collect();
    let reason = crate::text::one_line(word("reason"), 300);
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let event = word("event").replace('_', " ");
    let about: String = about.iter().map(|word| format!(" {word}")).collect();
    format!("[{}] {}: {event}{about}{reason}", rule.severity.word(), rule.name)
}

/// What conditions of alerts may name: `event` with `task`, `workflow`, `category`, `stage`, `agent`, `priority` and
/// `reason`, as far as they apply. None where nobody could want to know.
#[must_use]
pub fn values(pipeline: &Pipeline, fact: &Fact) -> Option<Value> {
    match fact {
        Fact::TaskMoved { task, to, with } => {
            let event = match to {
                TaskState::Failed => "task_failed",
                TaskState::Blocked { .. } => "task_blocked",
                TaskState::Completed => "task_completed",
                TaskState::RolledBack => "task_rolled_back",
                TaskState::AwaitingApproval { .. } | TaskState::Paused { .. } => "approval_needed",
                TaskState::Unassigned
                | TaskState::Ready { .. }
                | TaskState::Working { .. }
                | TaskState::Waiting { .. }
                | TaskState::Verifying { .. }
                | TaskState::Cancelled => return None,
            };
            let mut values = of_task(pipeline, pipeline.task(task.as_str())?);
            values["event"] = event.into();
            values["reason"] = with.reason.clone().into();
            if let Some(stage) = to.stage() {
                values["stage"] = stage.as_str().into();
            }
            Some(values)
        }
        Fact::RunClosed { summary: Some(summary), .. } if summary.verdict == Verdict::Failed => {
            let task = pipeline.tasks.iter().find(|task| task.runs.iter().any(|run| run.id == summary.id))?;
            let mut values = of_task(pipeline, task);
            values["event"] = "run_failed".into();
            values["stage"] = summary.stage.as_str().into();
            values["agent"] = summary.agent.as_str().into();
            values["reason"] = summary.how.to_string().into();
            Some(values)
        }
        Fact::ScheduleFired { name, task: None, why, .. } => {
            Some(json!({ "event": "schedule_left_out", "workflow": name, "reason": why }))
        }
        Fact::MergeReverted { task, .. } => {
            let mut values = of_task(pipeline, pipeline.task(task.as_str())?);
            values["event"] = "merge_reverted".into();
            Some(values)
        }
        Fact::Demoted { mode, why } => {
            Some(json!({ "event": "demoted", "reason": format!("now {}: {why}", mode.rollout.word()) }))
        }
        // What may pass by itself is told of once it lasts.
        Fact::PresetPaused { in_a_row: 1..OUTAGE_TOLD_AT, .. } => None,
        Fact::PresetPaused { preset, why, .. } => {
            Some(json!({ "event": "preset_paused", "reason": format!("{preset}: {why}") }))
        }
        Fact::AgentBroken { agent, message } => {
            Some(json!({ "event": "agent_broken", "agent": agent.as_str(), "reason": message }))
        }
        Fact::EffectFailed { key, message, failures, .. } => Some(
            json!({ "event": "effect_failed", "effect": key.to_string(), "failures": failures, "reason": message }),
        ),
        _ => None,
    }
}

fn of_task(pipeline: &Pipeline, task: &Task) -> Value {
    let category = pipeline.workflow_of(task).map(|workflow| workflow.category.clone()).unwrap_or_default();
    let stage = task.left_at.as_ref().map(|stage| stage.as_str());
    json!({
        "task": task.id.as_str(), "title": task.title, "workflow": task.workflow.as_str(), "category": category,
        "priority": task.priority, "stage": stage,
    })
}
