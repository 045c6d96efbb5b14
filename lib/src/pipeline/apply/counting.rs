//! What a run that is settled adds to the figures, and with it to every estimate.

use crate::estimate;
use crate::metrics::seconds_between;
use crate::pipeline::Pipeline;
use crate::run::{Arm, Run, RunSummary, Verdict, Work};

impl Pipeline {
    pub(super) fn count_run(&mut self, run: &Run, summary: &RunSummary) {
        let seconds = seconds_between(summary.started_at, summary.ended_at).max(0.0);
        let workflow = run.task.as_ref().and_then(|id| self.task(id.as_str())).map(|t| t.workflow.clone());
        let role = self.core.agents.get(&run.agent).map(|agent| agent.role.clone());
        let mut weigh = false;
        let counted = |other: &RunSummary| other.arm == summary.arm && other.verdict != Verdict::Void;
        let first =
            !run.task.as_ref().and_then(|id| self.task(id.as_str())).is_some_and(|t| t.runs.iter().any(counted));
        let metrics = &mut self.core.metrics;
        let passed = summary.verdict == Verdict::Passed;
        let arm = match summary.arm.as_deref() {
            Some(Arm { role, variant }) if summary.verdict != Verdict::Void => {
                Some(metrics.by_variant.entry(role.clone()).or_default().entry(variant.clone()).or_default())
            }
            _ => None,
        };
        match (&run.work, summary.verdict) {
            (_, Verdict::Void) | (Work::Setup { .. } | Work::Probe { .. }, _) => {}
            (Work::Gate { .. }, _) => {
                metrics.gates += 1;
                metrics.gates_failed += u64::from(!passed);
                metrics.gates_by_stage.entry(summary.stage.clone()).or_default().add_few(passed, seconds);
                if let Some(stats) = arm {
                    stats.gates += 1;
                    stats.gates_passed += u64::from(passed);
                }
            }
            (Work::Agent | Work::Command { .. }, _) => {
                metrics.runs += 1;
                metrics.runs_failed += u64::from(!passed);
                if let Some(stats) = arm {
                    stats.add(first, passed, seconds, summary.usage);
                }
                metrics.by_agent.entry(run.agent.clone()).or_default().add(passed, seconds, summary.usage);
                metrics.by_stage.entry(summary.stage.clone()).or_default().add(passed, seconds, summary.usage);
                metrics.of_all.add_few(passed, seconds);
                if let Some(role) = role {
                    metrics.by_role.entry(role).or_default().add_few(passed, seconds);
                }
                if let Some(workflow) = workflow {
                    let stages = metrics.by_workflow_stage.entry(workflow.clone()).or_default();
                    stages.entry(summary.stage.clone()).or_default().add_few(passed, seconds);
                    metrics.by_workflow.entry(workflow).or_default().add(passed, seconds, summary.usage);
                }
                weigh = estimate::is_time_to_weigh(metrics.runs);
            }
        }
        if run.work == Work::Agent {
            metrics.busy_seconds += seconds;
            metrics.usage.tokens += summary.usage.tokens;
            metrics.usage.cost_usd += summary.usage.cost_usd;
        }
        if weigh {
            self.weigh();
        }
    }
}
