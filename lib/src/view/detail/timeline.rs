//! Which agent did what when, and when it is predicted to be done.

mod forecast;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::estimate::Durations;
use super::history::{History, Kind};
use crate::agents::preset::Preset;
use crate::ids::{AgentName, StageId, TaskId};
use crate::pipeline::Pipeline;
use crate::run::Verdict;
use crate::settings::AgentSettings;

pub use forecast::{Outlook, Planned, Unknown};

/// Runs that ended and are shown, the latest ones.
const SPANS_MAX: usize = 2_000;

/// The agents' work over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// One for each agent, in the order of the configuration.
    pub rows: Vec<Row>,
    /// The stages that are named, in the order of their workflows.
    pub stages: Vec<StageId>,
    /// What is left, and when it is predicted to be done.
    pub outlook: Outlook,
}

/// An agent's work over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Who.
    pub agent: AgentName,
    /// What it did and does, the latest first.
    pub spans: Vec<Span>,
    /// What it is predicted to do, the soonest first.
    pub planned: Vec<Planned>,
}

/// A run, or its part up to now.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it was for.
    pub kind: Kind,
    /// For which task; none for a set-up.
    pub task: Option<TaskId>,
    /// At which stage; none for a set-up.
    pub stage: Option<StageId>,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// From when.
    pub from: Timestamp,
    /// Until when, and what came of it; none for one that is live.
    pub end: Option<(Timestamp, Verdict)>,
}

/// The agents' work, with what is left predicted from `now` on.
#[must_use]
pub fn timeline(pipeline: &Pipeline, history: &History, now: Timestamp) -> Timeline {
    let durations = Durations::of(pipeline);
    let outlook = forecast::forecast(pipeline, &durations, now);
    let mut spans: BTreeMap<&AgentName, Vec<Span>> = BTreeMap::new();
    for run in pipeline.core.runs.values() {
        spans.entry(&run.agent).or_default().push(Span {
            kind: Kind::of(&run.work),
            task: run.task.clone(),
            stage: run.stage.clone(),
            attempt: run.attempt,
            from: run.started_at.unwrap_or(run.claimed_at),
            end: None,
        });
    }
    for run in history.latest().take(SPANS_MAX) {
        spans.entry(&run.agent).or_default().push(Span {
            kind: run.kind,
            task: Some(run.task.clone()),
            stage: Some(run.stage.clone()),
            attempt: run.attempt,
            from: run.from,
            end: Some((run.to, run.verdict)),
        });
    }
    let mut planned: BTreeMap<&AgentName, Vec<Planned>> = BTreeMap::new();
    for work in &outlook.planned {
        planned.entry(&work.agent).or_default().push(work.clone());
    }
    let mut row = |agent: &AgentName| Row {
        agent: agent.clone(),
        spans: spans.remove(agent).unwrap_or_default(),
        planned: planned.remove(agent).unwrap_or_default(),
    };
    let rows: Vec<Row> = agents(pipeline).map(&mut row).collect();
    let stages = stages(pipeline, &rows);
    Timeline { rows, stages, outlook }
}

/// Those that are configured, in that order, then those that were removed while they worked.
fn agents(pipeline: &Pipeline) -> impl Iterator<Item = &AgentName> {
    let places = |agent: &&AgentSettings| agent.preset == Preset::Command;
    let ran = |agent: &AgentName| pipeline.core.metrics.by_agent.contains_key(agent);
    let configured = pipeline.core.settings.agents.iter();
    let configured = configured.filter(move |agent| !places(agent) || ran(&agent.name)).map(|agent| &agent.name);
    let left = pipeline.core.agents.iter().filter(|(_, agent)| agent.removed).map(|(name, _)| name);
    configured.chain(left)
}

/// The stages that rows name, as their workflows order them; those that no workflow has any more come last.
fn stages(pipeline: &Pipeline, rows: &[Row]) -> Vec<StageId> {
    let done = rows.iter().flat_map(|row| &row.spans).filter_map(|span| span.stage.as_ref());
    let coming = rows.iter().flat_map(|row| &row.planned).map(|planned| &planned.stage);
    let mut named: Vec<&StageId> = done.chain(coming).collect();
    let known: Vec<&StageId> =
        pipeline.core.workflows.values().flat_map(|workflow| &workflow.stages).map(|stage| &stage.id).collect();
    named.sort_by_key(|stage| (known.iter().position(|other| other == stage).unwrap_or(usize::MAX), *stage));
    named.dedup();
    named.into_iter().cloned().collect()
}
