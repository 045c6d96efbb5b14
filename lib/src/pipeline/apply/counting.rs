//! What runs that are settled, decisions, merges and set-ups add to the figures, and with it to every estimate.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::estimate;
use crate::ids::{StageId, TaskId, WorkflowId};
use crate::metrics::{Metrics, seconds_between};
use crate::pipeline::Pipeline;
use crate::run::{Arm, Ended, Phase, Run, RunSummary, Verdict, Work};
use crate::task::{Ask, Claimed, StageOutput, Step, Task, TaskState};
use crate::workflow::{CONFLICT, Doing, Workflow};

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

    /// A set-up has no summary: its task is not known.
    pub(super) fn count_setup(&mut self, run: &Run) {
        let (Work::Setup { .. }, Phase::Ended { at, how }) = (&run.work, &run.phase) else { return };
        let passed = *how == Ended::Exited { code: 0 };
        let Some(started) = run.started_at.filter(|_| passed || matches!(how, Ended::Exited { .. })) else { return };
        self.core.metrics.setups.add_few(passed, seconds_between(started, *at).max(0.0));
    }

    /// What a run decided whose stage is over with it. It is called before the task changes.
    pub(super) fn count_ended(&mut self, task: &TaskId, output: &StageOutput) {
        let Some(task) = self.tasks.slot(task.as_str()).and_then(|slot| self.tasks.at(slot)) else { return };
        let own = matches!(&task.state, TaskState::Working { run, .. } if *run == output.run);
        let passed = |run: &RunSummary| run.id == output.run && run.verdict == Verdict::Passed && run.work != "probe";
        if own && task.runs.last().is_some_and(passed) {
            decided(&mut self.core.metrics, &self.core.workflows, task, &output.stage, &output.decision);
        }
    }

    /// What a run decided whose work is checked now, and how a merge went. It is called before the task moves.
    pub(super) fn count_step(&mut self, at: Timestamp, task: &TaskId, to: &TaskState) {
        let Some(task) = self.tasks.slot(task.as_str()).and_then(|slot| self.tasks.at(slot)) else { return };
        let metrics = &mut self.core.metrics;
        let said = match to {
            TaskState::Verifying { stage, claim, .. }
            | TaskState::AwaitingApproval { stage, claim, ask: Ask::Approval { .. } } => Some((stage, claim)),
            _ => None,
        };
        match (&task.state, said) {
            (TaskState::Working { .. }, Some((stage, Claimed { decision: Some(word), .. }))) => {
                decided(metrics, &self.core.workflows, task, stage, word);
            }
            (TaskState::Verifying { stage, claim, step: Step::Merge }, said) => {
                let conflicts = |output: &StageOutput| output.run == claim.run && output.decision == CONFLICT;
                if said.is_some() || task.outputs.last().is_some_and(conflicts) {
                    let seconds = seconds_between(task.state_since, at).max(0.0);
                    metrics.merges_by_stage.entry(stage.clone()).or_default().add_few(said.is_some(), seconds);
                }
            }
            _ => {}
        }
    }
}

fn decided(
    metrics: &mut Metrics,
    workflows: &BTreeMap<WorkflowId, Arc<Workflow>>,
    task: &Task,
    stage: &StageId,
    word: &str,
) {
    let workflow = task.pinned.as_ref().or_else(|| workflows.get(&task.workflow));
    let doing = workflow.and_then(|workflow| workflow.stage(stage)).map(|stage| &stage.doing);
    // A hub chooses by what it finds, and parts are brought together by how they ended.
    if matches!(doing, Some(Doing::Agent | Doing::Command(_))) {
        metrics.decided(&task.workflow, stage, word);
    }
}
