//! What is counted while facts are applied, and the figures made of it. Samples are bounded, so a long history costs no
//! more than a short one.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::estimate;
use crate::ids::{AgentName, Role, StageId, Variant, WorkflowId};
use crate::interval::Moments;
use crate::run::Usage;

/// How many samples a percentile is made of: the latest ones.
const SAMPLES_MAX: usize = 500;
/// The same where there are many to keep, which only estimates are made of.
const SAMPLES_FEW: usize = 100;
/// Once so many verdicts weigh in a failure rate, all of them weigh half: an agent that got better is believed.
const WEIGHED_MAX: u32 = 200;

/// Counters since the state was created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Runs that are settled.
    pub runs: u64,
    /// Runs that ended without an accepted claim.
    pub runs_failed: u64,
    /// Attempts after a failed one.
    pub retries: u64,
    /// Gates that ran to a verdict.
    pub gates: u64,
    /// Gates that did not pass.
    pub gates_failed: u64,
    /// Merges that were reverted.
    pub rollbacks: u64,
    /// Times that two sources of truth disagreed.
    pub disagreements: u64,
    /// Starts that shadow mode had planned.
    pub shadow_plans: u64,
    /// Planned starts that were later made by the same role at the same stage.
    pub shadow_agreed: u64,
    /// Planned starts that turned out otherwise.
    pub shadow_differed: u64,
    /// Tasks that were ever completed.
    pub completed: u64,
    /// What agents reported about their use of models.
    pub usage: Usage,
    /// Seconds of runs of agents, for utilization.
    pub busy_seconds: f64,
    /// When the first run was claimed.
    pub first_run_at: Option<Timestamp>,
    /// The latest completions.
    pub completions: VecDeque<Timestamp>,
    /// From start to completion, in seconds.
    pub cycle_seconds: Samples,
    /// How long people were waited for, in seconds.
    pub attention_seconds: Samples,
    /// By stage.
    pub by_stage: BTreeMap<StageId, RunStats>,
    /// By agent.
    pub by_agent: BTreeMap<AgentName, RunStats>,
    /// By workflow.
    pub by_workflow: BTreeMap<WorkflowId, RunStats>,
    /// By stage of a workflow, for estimates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_workflow_stage: BTreeMap<WorkflowId, BTreeMap<StageId, RunStats>>,
    /// By the role of the agents, for estimates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_role: BTreeMap<Role, RunStats>,
    /// All runs, for estimates.
    pub of_all: RunStats,
    /// Gates, by the stage whose claims they checked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gates_by_stage: BTreeMap<StageId, RunStats>,
    /// Merges onto base, by the stage whose work they bring: from when one is due until its commit is made, or until it is
    /// known that it does not merge.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub merges_by_stage: BTreeMap<StageId, RunStats>,
    /// Set-ups of worktrees.
    #[serde(skip_serializing_if = "RunStats::is_empty")]
    pub setups: RunStats,
    /// What runs decided whose work was done, by stage of a workflow.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub decisions: BTreeMap<WorkflowId, BTreeMap<StageId, Words>>,
    /// By role and variant, where several are compared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_variant: BTreeMap<Role, BTreeMap<Variant, ArmStats>>,
}

/// Runs of one variant of a role, and the gates on what they claimed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmStats {
    /// Tasks that a run was settled for.
    pub tasks: u64,
    /// Settled runs.
    pub runs: u64,
    /// How many of them passed.
    pub passed: u64,
    /// Gates that ran to a verdict.
    pub gates: u64,
    /// How many of them passed.
    pub gates_passed: u64,
    /// How long runs took, in seconds: the latest.
    pub seconds: Samples,
    /// What a run cost, in US dollars, where its program told.
    pub cost_usd: Moments,
    /// The tokens of a run, where its program told.
    pub tokens: Moments,
}

impl ArmStats {
    pub(crate) fn add(&mut self, first_of_task: bool, passed: bool, seconds: f64, usage: Usage) {
        self.tasks += u64::from(first_of_task);
        self.runs += 1;
        self.passed += u64::from(passed);
        self.seconds.add(seconds);
        if usage.tokens > 0 {
            self.tokens.add(usage.tokens as f64);
        }
        if usage.cost_usd > 0.0 {
            self.cost_usd.add(usage.cost_usd);
        }
    }
}

/// Runs of one stage, agent or workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStats {
    /// How many.
    pub runs: u64,
    /// How many of them passed.
    pub passed: u64,
    /// How long they took, in seconds: the latest.
    pub seconds: Samples,
    /// How long all of them took, in seconds.
    pub seconds_total: f64,
    /// What agents reported about their use of models.
    pub usage: Usage,
    /// Verdicts that weigh in the failure rate, the older ones less.
    pub weighed: u32,
    /// How many of them were failures.
    pub weighed_failed: u32,
}

impl RunStats {
    pub(crate) fn add(&mut self, passed: bool, seconds: f64, usage: Usage) {
        self.add_keeping(SAMPLES_MAX, passed, seconds, usage);
    }

    /// The same with fewer samples, where there is much to keep.
    pub(crate) fn add_few(&mut self, passed: bool, seconds: f64) {
        self.add_keeping(SAMPLES_FEW, passed, seconds, Usage::default());
    }

    fn add_keeping(&mut self, samples_max: usize, passed: bool, seconds: f64, usage: Usage) {
        self.runs += 1;
        self.passed += u64::from(passed);
        self.seconds.add_keeping(samples_max, seconds);
        self.seconds_total += seconds;
        self.usage.tokens += usage.tokens;
        self.usage.cost_usd += usage.cost_usd;
        if self.weighed >= WEIGHED_MAX {
            (self.weighed, self.weighed_failed) = (self.weighed / 2, self.weighed_failed / 2);
        }
        self.weighed += 1;
        self.weighed_failed += u32::from(!passed);
    }

    fn is_empty(&self) -> bool {
        self.runs == 0
    }

    /// The share that passed; 0 where there was none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        ratio(self.passed, self.runs)
    }
}

/// How often words were said; what was said lately counts for more than what was long ago.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words(BTreeMap<String, u32>);

impl Words {
    fn add(&mut self, word: &str) {
        if self.0.values().sum::<u32>() >= WEIGHED_MAX {
            self.0.retain(|_, times| {
                *times /= 2;
                *times > 0
            });
        }
        match self.0.get_mut(word) {
            Some(times) => *times += 1,
            None => {
                self.0.insert(word.to_owned(), 1);
            }
        }
    }

    /// Each word, and how often it was said.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(word, times)| (word.as_str(), *times))
    }
}

/// The latest values of something measured, in a ring.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(VecDeque<f64>);

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.add_keeping(SAMPLES_MAX, value);
    }

    fn add_keeping(&mut self, max: usize, value: f64) {
        if self.0.len() >= max {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The value below which the share `q` (0 to 1) of the samples lies, by nearest rank; 0 without samples.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        estimate::quantile(self.0.iter().copied(), q).unwrap_or(0.0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one of this number, from 0, the oldest.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<f64> {
        self.0.get(at).copied()
    }

    /// The samples, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().copied()
    }

    /// In ascending order.
    #[must_use]
    pub fn sorted(&self) -> Vec<f64> {
        let mut sorted: Vec<f64> = self.0.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    /// The mean; 0 without samples.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.iter().sum::<f64>() / self.0.len() as f64 }
    }
}

impl Metrics {
    pub(crate) fn completed_at(&mut self, at: Timestamp) {
        self.completed += 1;
        if self.completions.len() == SAMPLES_MAX {
            self.completions.pop_front();
        }
        self.completions.push_back(at);
    }

    pub(crate) fn decided(&mut self, workflow: &WorkflowId, stage: &StageId, word: &str) {
        let known = self.decisions.get_mut(workflow).and_then(|stages| stages.get_mut(stage));
        match known {
            Some(words) => words.add(word),
            None => {
                self.decisions.entry(workflow.clone()).or_default().entry(stage.clone()).or_default().add(word);
            }
        }
    }

    /// Completions per hour over the last hour, or since the first run if that is shorter.
    #[must_use]
    pub fn throughput_per_hour(&self, now: Timestamp) -> f64 {
        let Some(first) = self.first_run_at else { return 0.0 };
        let window = seconds_between(first, now).clamp(1.0, 3_600.0);
        let recent = self.completions.iter().filter(|at| seconds_between(**at, now) <= window).count();
        recent as f64 * 3_600.0 / window
    }
}

/// Seconds from one moment to a later one; negative if it is earlier.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// A share, 0 where there is nothing to share.
#[must_use]
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank_and_the_ring_is_bounded() {
        let mut samples = Samples::default();
        assert_eq!(samples.quantile(0.5), 0.0);
        for value in 1..=10 {
            samples.add(f64::from(value));
        }
        assert_eq!((samples.quantile(0.5), samples.quantile(0.9), samples.quantile(1.0)), (5.0, 9.0, 10.0));
        for _ in 0..SAMPLES_MAX {
            samples.add(7.0);
        }
        assert_eq!(samples.mean(), 7.0);
    }

    #[test]
    fn what_was_said_long_ago_is_forgotten_in_time() {
        let mut words = Words::default();
        (0..WEIGHED_MAX).for_each(|_| words.add("rework"));
        (0..3 * WEIGHED_MAX).for_each(|_| words.add("success"));
        let said: BTreeMap<&str, u32> = words.iter().collect();
        assert!(said.values().sum::<u32>() <= WEIGHED_MAX);
        assert!(said["success"] > 5 * said.get("rework").copied().unwrap_or(0), "{said:?}");
    }
}
