//! How long work takes and how often it fails, learned from the runs that were counted: the one place that predictions,
//! critical paths, timeouts and `simulate` ask. Estimates are robust (medians and ranks of the latest runs, so that one
//! run that hung moves nothing) and say how uncertain they are. Unknown is a legal answer.
//!
//! It reads what [`crate::metrics`] counts, and nothing else: no journal is read again.

use std::collections::BTreeMap;

use foldhash::HashSet;
use serde::Serialize;

use crate::ids::{Role, StageId, WorkflowId};
use crate::interval::{self, Interval};
use crate::metrics::{Metrics, RunStats};
use crate::pipeline::Core;
use crate::workflow::{Next, SUCCESS, Stage, Workflow};

/// So many runs of its own make a better estimate than the runs of what is like it.
const ENOUGH: u64 = 3;
/// A stage is called overdue only where so many runs are on record.
const ENOUGH_FOR_OVERDUE: usize = 10;
/// A run is overdue beyond so many times what nine in ten stay below, but not sooner than a minute.
const OVERDUE_TIMES: f64 = 3.0;
const OVERDUE_SECONDS_MIN: f64 = 60.0;

/// The weight in a chain of a task that takes as long as usual, or nobody knows how long.
pub(crate) const WEIGHT_USUAL: u16 = 4;
/// The heaviest a task can be: four times the usual.
const WEIGHT_MAX: u16 = 4 * WEIGHT_USUAL;
/// So many runs of a workflow say what its tasks weigh.
const ENOUGH_TO_WEIGH: u64 = 5;

/// Which runs an estimate rests on, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Those of this stage of this workflow.
    WorkflowStage,
    /// Those of stages of this name.
    Stage,
    /// Those of the role.
    Role,
    /// All there are.
    AllRuns,
}

impl Basis {
    /// In words that go on after `by`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::WorkflowStage => "the runs of this stage",
            Self::Stage => "the runs of stages of this name",
            Self::Role => "the runs of its role",
            Self::AllRuns => "all runs",
        }
    }
}

/// How long something takes, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// As many runs took less as took more.
    pub median: f64,
    /// The true median lies between this one,
    pub median_low: f64,
    /// and this one, in 95 of 100 such cases; with fewer than six runs these are the shortest and the longest.
    pub median_high: f64,
    /// Eight in ten took no longer.
    pub p80: f64,
    /// Nine in ten took no longer.
    pub p90: f64,
    /// How many runs that rests on.
    pub samples: usize,
}

/// How often something fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The share that failed, from 0 to 1.
    pub share: f64,
    /// The true share lies between this one,
    pub low: f64,
    /// and this one, in 95 of 100 such cases (Wilson's interval).
    pub high: f64,
    /// How many runs that rests on.
    pub samples: u64,
}

impl Rate {
    /// Of so many runs, so many failed; unknown without any.
    #[must_use]
    pub fn of(failed: u64, runs: u64) -> Option<Self> {
        let Interval { low, high } = interval::of_share(failed, runs)?;
        Some(Self { share: failed.min(runs) as f64 / runs as f64, low, high, samples: runs })
    }
}

/// The value that the share `q` (0 to 1) of the values does not exceed, by nearest rank; none without values.
#[must_use]
pub fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> Option<f64> {
    let mut keys: Vec<i64> = values.into_iter().map(in_order).collect();
    let rank = ((q * keys.len() as f64).ceil().max(1.0) as usize).min(keys.len());
    let (_, key, _) = keys.select_nth_unstable(rank.checked_sub(1)?);
    Some(of_order(*key))
}

/// A number that compares as [`f64::total_cmp`] would, at less than half the cost.
fn in_order(value: f64) -> i64 {
    flipped(value.to_bits().cast_signed())
}

fn of_order(key: i64) -> f64 {
    f64::from_bits(flipped(key).cast_unsigned())
}

/// The lower 63 bits turned over where the sign is set: its own inverse.
fn flipped(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl RunStats {
    /// How long these runs took; none without any.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let sorted = self.seconds.sorted();
        let n = sorted.len();
        let at = |q: f64| sorted.get(((q * n as f64).ceil().max(1.0) as usize).min(n).checked_sub(1)?).copied();
        let whole = || Some(Interval { low: *sorted.first()?, high: *sorted.last()? });
        let Interval { low, high } = interval::of_median(&sorted).or_else(whole)?;
        let (median, p80, p90) = (at(0.5)?, at(0.8)?, at(0.9)?);
        Some(Span { median, median_low: low, median_high: high, p80, p90, samples: n })
    }

    /// How often these runs fail; what happened lately counts for more than what was long ago.
    #[must_use]
    pub fn failures(&self) -> Option<Rate> {
        match self.weighed {
            0 => Rate::of(self.runs.saturating_sub(self.passed), self.runs),
            weighed => Rate::of(u64::from(self.weighed_failed), u64::from(weighed)),
        }
    }
}

/// Of what is known about runs, from the most to the least telling, that which an estimate rests on.
pub(crate) fn choose<T>(levels: [Option<T>; 3], all: Option<T>, runs: impl Fn(&T) -> u64) -> Option<(Basis, T)> {
    let mut found: Option<(Basis, T)> = None;
    for (basis, level) in [Basis::WorkflowStage, Basis::Stage, Basis::Role].into_iter().zip(levels) {
        let Some(level) = level.filter(|level| runs(level) > 0) else { continue };
        if runs(&level) >= ENOUGH {
            return Some((basis, level));
        }
        found = found.or(Some((basis, level)));
    }
    found.or(all.filter(|all| runs(all) > 0).map(|all| (Basis::AllRuns, all)))
}

impl Metrics {
    /// The runs that say most about the work at a stage, and which those are; none where nothing ever ran.
    #[must_use]
    pub fn work(&self, workflow: &WorkflowId, stage: &StageId, role: Option<&Role>) -> Option<(Basis, &RunStats)> {
        let own = self.by_workflow_stage.get(workflow).and_then(|stages| stages.get(stage));
        let levels = [own, self.by_stage.get(stage), role.and_then(|role| self.by_role.get(role))];
        choose(levels, Some(&self.of_all), |stats| stats.runs)
    }

    /// When a run of this stage is overdue, in seconds from its start; none where too little is known to say so.
    #[must_use]
    pub fn overdue_after(&self, workflow: &WorkflowId, stage: &StageId) -> Option<f64> {
        let (_, stats) = self.work(workflow, stage, None).filter(|(basis, _)| *basis <= Basis::Stage)?;
        let slow = stats.seconds.len() >= ENOUGH_FOR_OVERDUE;
        slow.then(|| (stats.seconds.quantile(0.9) * OVERDUE_TIMES).max(OVERDUE_SECONDS_MIN))
    }
}

/// The stages from one on if each succeeds, none of them twice.
#[must_use]
pub fn likely_way<'w>(workflow: &'w Workflow, from: Option<&'w Stage>) -> Vec<&'w Stage> {
    let (mut way, mut known) = (Vec::new(), HashSet::default());
    let mut next = from;
    while let Some(stage) = next.filter(|stage| known.insert(&stage.id)) {
        way.push(stage);
        next = match workflow.next(&stage.id, likely(stage)) {
            Next::Stage(stage) => Some(stage),
            Next::End | Next::Nowhere => None,
        };
    }
    way
}

/// The decision that a stage comes to when all is well.
#[must_use]
pub fn likely(stage: &Stage) -> &str {
    stage.default_decision().or(stage.decisions.first().map(|choice| choice.choice.as_str())).unwrap_or(SUCCESS)
}

/// Whether enough has happened since weights were found to look again: soon in the beginning, then now and then.
pub(crate) fn is_time_to_weigh(runs: u64) -> bool {
    runs.is_multiple_of(64) || (runs >= ENOUGH_TO_WEIGH && runs.is_power_of_two())
}

/// What a task on a workflow weighs in a chain of tasks.
pub(crate) fn weight(weights: &BTreeMap<WorkflowId, u16>, workflow: &WorkflowId) -> u16 {
    weights.get(workflow).copied().unwrap_or(WEIGHT_USUAL)
}

/// What tasks weigh, by workflow: how long they take, against the median of the workflows that are known. Where it differs
/// little from what was known it stays as it was, so that queues are not sorted anew for nothing.
pub(crate) fn weights(core: &Core) -> BTreeMap<WorkflowId, u16> {
    let seconds = |id: &WorkflowId, workflow: &Workflow| {
        let enough = core.metrics.by_workflow.get(id).is_some_and(|stats| stats.runs >= ENOUGH_TO_WEIGH);
        let way = enough.then(|| likely_way(workflow, workflow.stage(&workflow.start)))?;
        let each = way.into_iter().map(|stage| {
            let (_, stats) = core.metrics.work(id, &stage.id, Some(&stage.role))?;
            Some(stats.seconds.quantile(0.5))
        });
        each.sum::<Option<f64>>()
    };
    let is_known = |id: &&WorkflowId| core.metrics.by_workflow.get(*id).is_some_and(|s| s.runs >= ENOUGH_TO_WEIGH);
    let mut ids = core.workflows.keys().filter(is_known);
    // The only one is as usual, however long it takes.
    if let (Some(only), None) = (ids.next(), ids.next())
        && weight(&core.weights, only) == WEIGHT_USUAL
    {
        return core.weights.clone();
    }
    let known: Vec<(&WorkflowId, f64)> =
        core.workflows.iter().filter_map(|(id, workflow)| Some((id, seconds(id, workflow)?))).collect();
    let usual = quantile(known.iter().map(|(_, seconds)| *seconds), 0.5).filter(|usual| *usual > 0.0);
    let Some(usual) = usual else { return core.weights.clone() };
    let mut weights = core.weights.clone();
    for (id, seconds) in known {
        let found = (seconds / usual * f64::from(WEIGHT_USUAL)).round().clamp(1.0, f64::from(WEIGHT_MAX)) as u16;
        let old = weight(&core.weights, id);
        if found.abs_diff(old) * 3 >= old {
            weights.insert(id.clone(), found);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;
    use crate::event::NewTask;
    use crate::run::Usage;
    use proptest::prelude::*;

    fn stats(seconds: &[f64], failed: usize) -> RunStats {
        let mut stats = RunStats::default();
        for (at, seconds) in seconds.iter().enumerate() {
            stats.add(at >= failed, *seconds, Usage::default());
        }
        stats
    }

    #[test]
    fn one_run_that_hung_moves_nothing() {
        let mut seconds = vec![10.0; 20];
        seconds[7] = 86_400.0;
        let span = stats(&seconds, 0).span().unwrap();
        assert_eq!((span.median, span.p80, span.p90), (10.0, 10.0, 10.0));
        assert_eq!((span.median_low, span.median_high, span.samples), (10.0, 10.0, 20));
        assert_eq!(RunStats::default().span(), None);
    }

    #[test]
    fn few_runs_are_told_as_uncertain() {
        let span = stats(&[1.0, 5.0, 100.0], 0).span().unwrap();
        assert_eq!((span.median_low, span.median, span.median_high), (1.0, 5.0, 100.0));
        let many: Vec<f64> = (1..=100).map(f64::from).collect();
        let span = stats(&many, 0).span().unwrap();
        assert_eq!((span.median_low, span.median, span.median_high), (40.0, 50.0, 61.0));
        let (few, lots) = (Rate::of(1, 2).unwrap(), Rate::of(50, 100).unwrap());
        assert!(few.low < 0.1 && few.high > 0.9, "{few:?}");
        assert!(lots.low > 0.4 && lots.high < 0.6, "{lots:?}");
        assert_eq!(Rate::of(0, 0), None);
        assert!(Rate::of(0, 10).unwrap().high > 0.2, "ten successes do not say that nothing ever fails");
    }

    #[test]
    fn who_got_better_is_believed_in_time() {
        let mut stats = stats(&[1.0; 200], 200);
        assert!((stats.failures().unwrap().share - 1.0).abs() < 1e-9);
        for _ in 0..400 {
            stats.add(true, 1.0, Usage::default());
        }
        assert!(stats.failures().unwrap().share < 0.3, "{:?}", stats.failures());
        assert!(stats.success_rate() < 0.7, "while all of them are still counted");
    }

    #[test]
    fn the_most_telling_runs_are_taken_and_too_few_are_not() {
        let pick = |own, stage, role, all| choose([Some(own), Some(stage), Some(role)], Some(all), |n: &u64| *n);
        assert_eq!(pick(3, 50, 50, 50), Some((Basis::WorkflowStage, 3)));
        assert_eq!(pick(2, 50, 50, 50), Some((Basis::Stage, 50)));
        assert_eq!(pick(2, 2, 9, 50), Some((Basis::Role, 9)));
        assert_eq!(pick(0, 1, 0, 50), Some((Basis::Stage, 1)), "one of its own says more than all others");
        assert_eq!(pick(0, 0, 0, 50), Some((Basis::AllRuns, 50)));
        assert_eq!(pick(0, 0, 0, 0), None);
    }

    #[test]
    fn a_run_is_overdue_only_where_enough_is_known() {
        let mut w = World::workers(1, |_| {});
        let (solo, stage) = (WorkflowId::new("solo").unwrap(), stage_id("do"));
        for n in 0..10 {
            assert_eq!(w.p.core.metrics.overdue_after(&solo, &stage), None, "after {n}");
            let id = format!("T{n}");
            w.add_all(&[&id]);
            w.tick();
            let run = w.run_of(&id);
            w.start(&run);
            w.pass(100);
            w.do_stage(&id);
        }
        assert_eq!(w.p.core.metrics.overdue_after(&solo, &stage), Some(300.0));
        assert_eq!(w.p.core.metrics.overdue_after(&solo, &stage_id("other")), None, "of that nothing is known");
    }

    /// Two tasks that others wait for: what stands behind the second one takes much longer.
    #[test]
    fn the_chain_that_takes_longest_goes_first() {
        let settings = crate::settings::Settings { agents: vec![worker("w", "worker")], ..Default::default() };
        let long = workflow("long", vec![plain_stage("dig", "worker")], &[]);
        let mut w = World::with(settings, vec![solo(), long]);
        for n in 0..16 {
            let (id, on) = (format!("T{n}"), if n % 2 == 0 { "solo" } else { "long" });
            w.add(NewTask::named(&id).on(on));
            w.tick();
            let run = w.run_of(&id);
            w.start(&run);
            w.pass(if n % 2 == 0 { 10 } else { 100 });
            w.do_stage(&id);
        }
        assert_eq!(w.p.core.weights[&WorkflowId::new("long").unwrap()], WEIGHT_MAX, "ten times as long as the other");
        w.add(NewTask::named("BUSY").on("solo"));
        w.tick();
        w.add(NewTask::named("A").on("solo"));
        w.add(NewTask::named("B").on("solo"));
        w.add(NewTask::named("A1").on("solo").after(&["A"]));
        w.add(NewTask::named("B1").on("long").after(&["B"]));
        assert!(w.p.chain_weight(&task("B")) > w.p.chain_weight(&task("A")));
        w.do_stage("BUSY");
        assert_eq!(w.agent_of("B"), "w", "what stands behind it takes longest");
        // A task that moves to another workflow weighs what that one does.
        let edit = crate::fact::TaskEdit { workflow: WorkflowId::new("solo").ok(), ..Default::default() };
        w.edit("B1", edit).unwrap();
        assert_eq!(w.p.chain_weight(&task("B")), w.p.chain_weight(&task("A")));
    }

    proptest! {
        #[test]
        fn intervals_hold_what_they_are_about(
            seconds in proptest::collection::vec(0.0..1e6_f64, 1..300),
            failed in 0..300_usize,
        ) {
            let stats = stats(&seconds, failed);
            let span = stats.span().unwrap();
            prop_assert!(span.median_low <= span.median && span.median <= span.median_high);
            prop_assert!(span.median <= span.p80 && span.p80 <= span.p90);
            let rate = stats.failures().unwrap();
            prop_assert!(0.0 <= rate.low && rate.low <= rate.share + 1e-9 && rate.share <= rate.high + 1e-9 && rate.high <= 1.0);
        }
    }
}
