//! Ways of setting up the agents of one role that are compared: which one a task gets, and what the recorded runs say.
//!
//! Where the agents of a role carry two variants or more, each task is bound to one of them by its name alone, so that it is
//! the same in every attempt, whoever asks and whatever else there is. A variant that is added takes its share of the tasks
//! from all others; the tasks of one that is removed are shared out, and no other task changes sides. Agents without a
//! variant take no part, and no work, while their role is compared.
//!
//! If nobody of a task's variant can work, the task waits and says what to type: handing it to the others would make the
//! comparison one of tasks and not of agents. A person may still give it to any agent (`pipeline task assign`). Such a run
//! counts for neither side.
//!
//! Figures come from runs as they were recorded when they were claimed: no later configuration rewrites them.

use serde::Serialize;

use crate::ids::{AgentName, Role, TaskId, Variant};
use crate::interval::{Interval, Moments, of_mean, of_median, of_share};
use crate::metrics::{ArmStats, Metrics, ratio};
use crate::pipeline::Pipeline;
use crate::run::Arm;
use crate::settings::Settings;
use crate::task::Task;

/// Fewer values than this on either side say nothing about a difference.
const ENOUGH: u64 = 10;

impl Settings {
    /// The variants that are compared for a role; none where there are not at least two.
    #[must_use]
    pub fn arms(&self, role: &Role) -> Vec<&Variant> {
        // Asked for with every task that is looked at, and almost nobody compares variants.
        if self.agents.iter().all(|agent| agent.variant.is_none()) {
            return Vec::new();
        }
        let mut arms: Vec<&Variant> =
            self.agents.iter().filter(|agent| agent.role == *role).filter_map(|agent| agent.variant.as_ref()).collect();
        arms.sort_unstable();
        arms.dedup();
        if arms.len() < 2 { Vec::new() } else { arms }
    }

    /// The variant of a role that a task is bound to; none where nothing is compared.
    ///
    /// The one with the highest of the lots that the task draws for each (Thaler and Ravishankar: Using name-based mappings
    /// to increase hit rates, IEEE/ACM Transactions on Networking 6, 1998).
    #[must_use]
    pub fn arm_of_task(&self, task: &TaskId, role: &Role) -> Option<&Variant> {
        let lot = |variant: &&Variant| task.lot_for(&[role.as_str(), variant.as_str()], u64::MAX);
        self.arms(role).into_iter().max_by_key(lot)
    }

    /// The variant that an agent stands for in the comparison of its role; the outer `None` where nothing is compared.
    #[must_use]
    pub fn arm_of_agent(&self, name: &AgentName, role: &Role) -> Option<Option<&Variant>> {
        if self.arms(role).is_empty() {
            return None;
        }
        Some(self.agents.iter().find(|agent| agent.name == *name).and_then(|agent| agent.variant.as_ref()))
    }

    /// The arm that a run of this agent for a task counts for: none where it was not the lot that brought them together.
    pub(crate) fn arm_of_run(&self, task: &TaskId, name: &AgentName, role: &Role) -> Option<Box<Arm>> {
        let bound = self.arm_of_task(task, role)?;
        let same = self.arm_of_agent(name, role)? == Some(bound);
        same.then(|| Box::new(Arm { role: role.clone(), variant: bound.clone() }))
    }
}

/// A task that waits although agents of its role are there: none of its variant can work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmWait {
    /// The role.
    pub role: Role,
    /// The variant that the task is bound to.
    pub variant: Variant,
    /// An agent of it, which was stopped or cannot work.
    pub agent: AgentName,
}

impl ArmWait {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { role, variant, .. } = self;
        format!("bound to variant {variant} of role {role}, and none of its agents takes work: `{}`", self.start())
    }

    /// What to type so that it goes on.
    #[must_use]
    pub fn start(&self) -> String {
        format!("pipeline agent start {}", self.agent)
    }
}

impl Pipeline {
    /// Whether a task that is ready waits because nobody of its variant can work.
    #[must_use]
    pub fn arm_wait(&self, task: &Task) -> Option<ArmWait> {
        if !self.is_startable(task) || task.pinned_agent.is_some() {
            return None;
        }
        let role = self.stage_of(task)?.waits_for(task);
        let settings = &self.core.settings;
        let variant = settings.arm_of_task(&task.id, role)?;
        let mut agents = settings.agents.iter().filter(|a| a.role == *role && a.variant.as_ref() == Some(variant));
        let out = |name: &AgentName| self.core.agents.get(name).is_none_or(|a| a.stopped || a.broken.is_some());
        let first = agents.next().filter(|agent| out(&agent.name))?;
        let all = agents.all(|agent| out(&agent.name));
        all.then(|| ArmWait { role: role.clone(), variant: variant.clone(), agent: first.name.clone() })
    }
}

/// What the recorded runs of one role say about its variants.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Comparison {
    /// Each variant, by name.
    pub arms: Vec<ArmDoc>,
    /// Each variant but the first, against the first.
    pub differences: Vec<Difference>,
}

/// The figures of one variant.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ArmDoc {
    /// Its name.
    pub variant: String,
    /// Tasks that a run of it was settled for.
    pub tasks: u64,
    /// Settled runs.
    pub runs: u64,
    /// Those without an accepted claim.
    pub runs_failed: u64,
    /// Gates on its claims that ran to a verdict.
    pub gates: u64,
    /// Those that passed.
    pub gates_passed: u64,
    /// The share of gates that passed; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_pass_rate: Option<Estimate>,
    /// The median of how long its runs took; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<Estimate>,
    /// The mean of what a run cost, in US dollars; absent where no program told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Estimate>,
    /// The mean of the tokens of a run; absent where no program told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Estimate>,
}

/// A figure, and where the true one lies in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Estimate {
    /// Of so many values.
    pub n: u64,
    /// As it was found.
    pub value: f64,
    /// From; absent where there are too few values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// To; absent where there are too few values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

impl Estimate {
    fn of(n: u64, value: f64, interval: Option<Interval>) -> Option<Self> {
        let (low, high) = (interval.map(|i| i.low), interval.map(|i| i.high));
        (n > 0).then_some(Self { n, value, low, high })
    }

    fn of_mean(moments: &Moments) -> Option<Self> {
        // Nothing that is counted is below nothing.
        let interval = of_mean(moments).map(|i| Interval { low: i.low.max(0.0), ..i });
        Self::of(moments.n, moments.mean, interval)
    }

    fn interval(&self) -> Option<Interval> {
        Some(Interval { low: self.low?, high: self.high? })
    }
}

/// How one figure of two variants differs.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// Which figure: `gate_pass_rate`, `duration_seconds`, `cost_usd` or `tokens`.
    pub figure: &'static str,
    /// This variant.
    pub variant: String,
    /// Against this one.
    pub than: String,
    /// The figure of the one less that of the other.
    pub difference: f64,
    /// Whether their intervals overlap; so too where one is not known yet.
    pub overlap: bool,
    /// Whether a difference can be told: both sides have enough values, and their intervals do not overlap.
    pub told: bool,
    /// What can be said, in words.
    pub words: String,
}

/// What the recorded runs say, by role, as far as several variants have runs there.
#[must_use]
pub fn comparisons(metrics: &Metrics) -> Vec<(&Role, Comparison)> {
    metrics.by_variant.iter().map(|(role, arms)| (role, compare(arms.iter()))).collect()
}

fn compare<'a>(arms: impl Iterator<Item = (&'a Variant, &'a ArmStats)>) -> Comparison {
    let arms: Vec<ArmDoc> = arms.map(|(variant, stats)| arm(variant, stats)).collect();
    let differences = match arms.split_first() {
        Some((first, others)) => others.iter().flat_map(|other| differences(other, first)).collect(),
        None => Vec::new(),
    };
    Comparison { arms, differences }
}

fn arm(variant: &Variant, stats: &ArmStats) -> ArmDoc {
    let seconds = stats.seconds.sorted();
    let duration = Estimate::of(seconds.len() as u64, stats.seconds.quantile(0.5), of_median(&seconds));
    let rate = ratio(stats.gates_passed, stats.gates);
    ArmDoc {
        variant: variant.to_string(),
        tasks: stats.tasks,
        runs: stats.runs,
        runs_failed: stats.runs.saturating_sub(stats.passed),
        gates: stats.gates,
        gates_passed: stats.gates_passed,
        gate_pass_rate: Estimate::of(stats.gates, rate, of_share(stats.gates_passed, stats.gates)),
        duration_seconds: duration,
        cost_usd: Estimate::of_mean(&stats.cost_usd),
        tokens: Estimate::of_mean(&stats.tokens),
    }
}

fn differences(one: &ArmDoc, than: &ArmDoc) -> Vec<Difference> {
    let figures = [
        ("gate_pass_rate", "passes its gates more often", one.gate_pass_rate, than.gate_pass_rate),
        ("duration_seconds", "takes longer", one.duration_seconds, than.duration_seconds),
        ("cost_usd", "costs more", one.cost_usd, than.cost_usd),
        ("tokens", "uses more tokens", one.tokens, than.tokens),
    ];
    let known = figures.into_iter().filter_map(|(figure, more, a, b)| Some((figure, more, a?, b?)));
    known
        .map(|(figure, more, a, b)| {
            let overlap = a.interval().zip(b.interval()).is_none_or(|(a, b)| a.overlaps(b));
            let few = a.n.min(b.n) < ENOUGH;
            let told = !overlap && !few;
            let words = match (few, overlap) {
                (true, _) => {
                    format!("no difference can be told yet: {} and {} values, {ENOUGH} each are needed", b.n, a.n)
                }
                (false, true) => "no difference can be told yet: the intervals overlap".to_owned(),
                (false, false) if a.value > b.value => format!("{} {more} than {}", one.variant, than.variant),
                (false, false) => format!("{} {more} than {}", than.variant, one.variant),
            };
            let (variant, than) = (one.variant.clone(), than.variant.clone());
            Difference { figure, variant, than, difference: a.value - b.value, overlap, told, words }
        })
        .collect()
}

#[cfg(test)]
mod tests;
