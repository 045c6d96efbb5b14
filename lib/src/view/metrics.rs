//! The figures of `status --json`, made of what was counted and of where the tasks stand.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::agents::preset::Preset;
use crate::metrics::{RunStats, Samples, ratio, seconds_between};
use crate::pipeline::Pipeline;
use crate::task::{Task, TaskState};
use crate::variants::{Comparison, comparisons};

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct MetricsDoc {
    /// Tasks, archived ones included.
    pub tasks_total: u64,
    /// Completed ones.
    pub tasks_completed: u64,
    /// Started and not finished, blocked ones not included.
    pub tasks_in_progress: u64,
    /// Waiting for a person or for dependencies that are blocked: status `blocked`.
    pub tasks_blocked: u64,
    /// Failed ones.
    pub tasks_failed: u64,
    /// Completed over total.
    pub completion_rate: f64,
    /// Settled runs of agents.
    pub runs_total: u64,
    /// Those without an accepted claim.
    pub runs_failed: u64,
    /// Attempts after a failed one.
    pub retries_total: u64,
    /// Gates that ran to a verdict.
    pub gates_total: u64,
    /// Gates that did not pass.
    pub gate_failures_total: u64,
    /// Merges that were reverted.
    pub rollbacks_total: u64,
    /// Completions per hour, over the last hour or since the first run.
    pub throughput_per_hour: f64,
    /// From start to completion.
    pub cycle_time_seconds: Percentiles,
    /// How long people were waited for.
    pub attention_wait_seconds: Percentiles,
    /// The share of agent time spent in runs, since the first one.
    pub agent_utilization: f64,
    /// Times that two sources of truth disagreed.
    pub state_disagreements_total: u64,
    /// As agents reported.
    pub tokens_total: u64,
    /// As agents reported, in US dollars.
    pub cost_usd_total: f64,
    /// By stage.
    pub by_stage: BTreeMap<String, StatsDoc>,
    /// By agent.
    pub by_agent: BTreeMap<String, StatsDoc>,
    /// By workflow.
    pub by_workflow: BTreeMap<String, StatsDoc>,
    /// By role, where variants of its agents are compared.
    pub by_variant: BTreeMap<String, Comparison>,
}

/// The middle and the slow end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// Nine in ten are below.
    pub p90: f64,
}

/// Runs of one stage, agent or workflow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StatsDoc {
    /// How many.
    pub runs: u64,
    /// The share that passed.
    pub success_rate: f64,
    /// How long they took.
    pub duration_seconds: DurationDoc,
}

/// How long runs took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct DurationDoc {
    /// The mean.
    pub avg: f64,
    /// Half are below.
    pub p50: f64,
    /// Nine in ten are below.
    pub p90: f64,
}

/// The figures as of now.
#[must_use]
pub fn metrics(pipeline: &Pipeline, now: Timestamp) -> MetricsDoc {
    let core = &pipeline.core;
    let counted = &core.metrics;
    let tasks = pipeline.counts();
    let total = pipeline.tasks_total();
    let workers = core.agents.values().filter(|agent| agent.preset != Preset::Command).count();
    let agent_seconds = counted.first_run_at.map_or(0.0, |at| seconds_between(at, now) * workers as f64);
    // Whoever waits now has waited already; a wait that never ends must not look like none.
    let mut waits = counted.attention_seconds.clone();
    let counts = |task: &&Task| matches!(task.state, TaskState::AwaitingApproval { .. } | TaskState::Blocked { .. });
    let open = pipeline.needing_people().filter(counts);
    open.for_each(|task| waits.add(seconds_between(task.state_since, now).max(0.0)));
    let running: f64 = core.runs.values().map(|run| seconds_between(run.claimed_at, now).max(0.0)).sum();
    MetricsDoc {
        tasks_total: total,
        tasks_completed: tasks.completed,
        tasks_in_progress: tasks.in_progress,
        tasks_blocked: tasks.blocked,
        tasks_failed: tasks.failed,
        completion_rate: ratio(tasks.completed, total),
        runs_total: counted.runs,
        runs_failed: counted.runs_failed,
        retries_total: counted.retries,
        gates_total: counted.gates,
        gate_failures_total: counted.gates_failed,
        rollbacks_total: counted.rollbacks,
        throughput_per_hour: counted.throughput_per_hour(now),
        cycle_time_seconds: percentiles(&counted.cycle_seconds),
        attention_wait_seconds: percentiles(&waits),
        agent_utilization: if agent_seconds > 0.0 {
            ((counted.busy_seconds + running) / agent_seconds).min(1.0)
        } else {
            0.0
        },
        state_disagreements_total: counted.disagreements,
        tokens_total: counted.usage.tokens,
        cost_usd_total: counted.usage.cost_usd,
        by_stage: counted.by_stage.iter().map(|(k, v)| (k.to_string(), stats(v))).collect(),
        by_agent: counted.by_agent.iter().map(|(k, v)| (k.to_string(), stats(v))).collect(),
        by_workflow: counted.by_workflow.iter().map(|(k, v)| (k.to_string(), stats(v))).collect(),
        by_variant: comparisons(counted).into_iter().map(|(role, found)| (role.to_string(), found)).collect(),
    }
}

fn percentiles(samples: &Samples) -> Percentiles {
    Percentiles { p50: samples.quantile(0.5), p90: samples.quantile(0.9) }
}

fn stats(stats: &RunStats) -> StatsDoc {
    StatsDoc {
        runs: stats.runs,
        success_rate: stats.success_rate(),
        duration_seconds: DurationDoc {
            avg: stats.seconds.mean(),
            p50: stats.seconds.quantile(0.5),
            p90: stats.seconds.quantile(0.9),
        },
    }
}
