//! Figures over time: throughput, cycle time, failures and cost.

use std::fmt::Display;

use jiff::Timestamp;

use super::history::{History, Kind};
use crate::metrics::{RunStats, seconds_between};
use crate::pipeline::Pipeline;
use crate::run::Verdict;
use crate::task::TaskState;
use crate::view::{MetricsDoc, metrics};

/// Finished tasks that cycle times are made of, the latest.
const CYCLES_MAX: usize = 1_000;
/// Runs that are looked at for what happened when, the latest.
const RUNS_MAX: usize = 4_000;

/// The figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// As `status --json` says them, those that change with every second rounded.
    pub totals: MetricsDoc,
    /// Tasks that were completed, the oldest first.
    pub completions: Vec<Timestamp>,
    /// When tasks were completed, and how many seconds after they were started, the oldest first.
    pub cycles: Vec<(Timestamp, f64)>,
    /// When gates did not pass, the oldest first.
    pub gate_failures: Vec<Timestamp>,
    /// When runs of agents ended without an accepted claim, the oldest first.
    pub failures: Vec<Timestamp>,
    /// When agents began again what had failed, the oldest first.
    pub retries: Vec<Timestamp>,
    /// Since when all of this is known; none for from the beginning.
    pub since: Option<Timestamp>,
    /// By stage, in the order of the workflows.
    pub by_stage: Vec<Share>,
    /// By agent, in the order of the configuration.
    pub by_agent: Vec<Share>,
}

/// The runs of one stage or agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Which.
    pub name: String,
    /// How many runs there were.
    pub runs: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How long all of them took, in seconds.
    pub seconds: f64,
    /// How long half of the latest took at most, in seconds.
    pub p50: f64,
    /// How long nine in ten of the latest took at most, in seconds.
    pub p90: f64,
    /// Tokens, as agents reported them.
    pub tokens: u64,
    /// In US dollars, as agents reported it.
    pub cost_usd: f64,
}

impl Share {
    fn of(name: &impl Display, stats: &RunStats) -> Self {
        Self {
            name: name.to_string(),
            runs: stats.runs,
            failed: stats.runs.saturating_sub(stats.passed),
            seconds: stats.seconds_total,
            p50: stats.seconds.quantile(0.5),
            p90: stats.seconds.quantile(0.9),
            tokens: stats.usage.tokens,
            cost_usd: stats.usage.cost_usd,
        }
    }
}

/// The figures as of now.
#[must_use]
pub fn figures(pipeline: &Pipeline, history: &History, now: Timestamp) -> Figures {
    let counted = &pipeline.core.metrics;
    let mut totals = metrics(pipeline, now);
    totals.throughput_per_hour = totals.throughput_per_hour.round();
    totals.agent_utilization = (totals.agent_utilization * 100.0).round() / 100.0;
    let mut cycles: Vec<(Timestamp, f64)> = pipeline
        .latest_finished()
        .filter(|task| task.state == TaskState::Completed)
        .filter_map(|task| Some((task.finished_at?, seconds_between(task.started_at?, task.finished_at?).max(0.0))))
        .take(CYCLES_MAX)
        .collect();
    cycles.reverse();
    let (mut gate_failures, mut failures, mut retries) = (Vec::new(), Vec::new(), Vec::new());
    for run in history.latest().take(RUNS_MAX) {
        let failed = run.verdict == Verdict::Failed;
        match run.kind {
            Kind::Gate if failed => gate_failures.push(run.to),
            Kind::Agent if failed => failures.push(run.to),
            Kind::Gate | Kind::Agent | Kind::Setup => {}
        }
        if run.kind == Kind::Agent && run.attempt > 1 {
            retries.push(run.from);
        }
    }
    for times in [&mut gate_failures, &mut failures, &mut retries] {
        times.sort_unstable();
    }
    Figures {
        totals,
        completions: counted.completions.iter().copied().collect(),
        cycles,
        gate_failures,
        failures,
        retries,
        since: history.since(),
        by_stage: by_stage(pipeline),
        by_agent: by_agent(pipeline),
    }
}

/// In the order of the workflows, and by name where that says nothing.
fn by_stage(pipeline: &Pipeline) -> Vec<Share> {
    let known: Vec<_> = pipeline.core.workflows.values().flat_map(|workflow| &workflow.stages).map(|s| &s.id).collect();
    let mut stages: Vec<_> = pipeline.core.metrics.by_stage.iter().collect();
    stages.sort_by_key(|(stage, _)| known.iter().position(|other| other == stage).unwrap_or(usize::MAX));
    stages.into_iter().map(|(stage, stats)| Share::of(stage, stats)).collect()
}

/// In the order of the configuration; those that are not there any more come last.
fn by_agent(pipeline: &Pipeline) -> Vec<Share> {
    let known = &pipeline.core.settings.agents;
    let mut agents: Vec<_> = pipeline.core.metrics.by_agent.iter().collect();
    agents.sort_by_key(|(agent, _)| known.iter().position(|other| other.name == **agent).unwrap_or(usize::MAX));
    agents.into_iter().map(|(agent, stats)| Share::of(agent, stats)).collect()
}

/// Equal parts of a stretch of time. They begin at whole multiples of their length, so that what falls into one stays in it
/// as time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// How long each is, in seconds; at least 1.
    pub seconds: i64,
    /// How many there are.
    pub count: usize,
    /// A moment in the last of them.
    pub now: Timestamp,
}

impl Buckets {
    /// The one that a moment falls into, the oldest being 0.
    #[must_use]
    pub fn of(self, at: Timestamp) -> Option<usize> {
        let nth = |at: Timestamp| at.as_second().div_euclid(self.seconds);
        let back = usize::try_from(nth(self.now) - nth(at)).ok()?;
        (self.count - 1).checked_sub(back)
    }

    /// When the next bucket begins.
    #[must_use]
    pub fn next(self) -> Timestamp {
        let seconds = (self.now.as_second().div_euclid(self.seconds) + 1) * self.seconds;
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    }

    /// How many moments fall into each.
    #[must_use]
    pub fn counts(self, times: &[Timestamp]) -> Vec<f64> {
        let mut counts = vec![0.0; self.count];
        times.iter().filter_map(|at| self.of(*at)).for_each(|at| counts[at] += 1.0);
        counts
    }

    /// The value below which the share `q` of those that fall into each bucket lie, by nearest rank; none for a bucket
    /// without any.
    #[must_use]
    pub fn quantiles(self, values: &[(Timestamp, f64)], q: f64) -> Vec<Option<f64>> {
        let mut buckets: Vec<Vec<f64>> = vec![Vec::new(); self.count];
        values.iter().filter_map(|(at, value)| Some((self.of(*at)?, value))).for_each(|(at, v)| buckets[at].push(*v));
        let quantile = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            let rank = (q * values.len() as f64).ceil().max(1.0) as usize;
            values.get(rank - 1).copied()
        };
        buckets.into_iter().map(quantile).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;
    use crate::run::{ClaimStatus, Usage};

    #[test]
    fn what_happened_when_and_what_it_cost_by_stage_and_agent() {
        let mut w = World::new();
        let mut history = History::default();
        w.add_all(&["A"]);
        w.tick();
        let run = w.run_of("A");
        w.start(&run);
        w.pass(50);
        w.end(&run, BAD);
        let spent = Usage { tokens: 1_000, cost_usd: 0.25 };
        w.collect(&run, crate::event::Collected { usage: spent, ..left(ClaimStatus::Failed) });
        w.pass(10);
        w.tick();
        w.finish("A");
        history.follow(&w.p);
        let figures = figures(&w.p, &history, w.at);
        assert_eq!((figures.completions.len(), figures.cycles.len()), (1, 1));
        assert_eq!((figures.failures.len(), figures.retries.len(), figures.gate_failures.len()), (1, 1, 0));
        assert_eq!(figures.cycles[0].1, 60.0);
        let names: Vec<&str> = figures.by_stage.iter().map(|share| share.name.as_str()).collect();
        assert_eq!(names, ["arch", "test", "impl", "super"]);
        let arch = &figures.by_stage[0];
        assert_eq!((arch.runs, arch.failed, arch.seconds, arch.tokens, arch.cost_usd), (2, 1, 50.0, 1_000, 0.25));
        assert_eq!((figures.by_agent[0].name.as_str(), figures.by_agent[0].cost_usd), ("architect", 0.25));
        assert_eq!(figures.totals.cost_usd_total, 0.25);
    }

    #[test]
    fn what_falls_into_a_bucket_stays_in_it_until_a_new_one_begins() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let buckets = Buckets { seconds: 10, count: 6, now: at(1_000_005) };
        assert_eq!(buckets.next(), at(1_000_010));
        let times = [at(999_940), at(999_950), at(1_000_000), at(1_000_009), at(1_000_010)];
        assert_eq!(buckets.counts(&times), [1.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
        let later = Buckets { now: at(1_000_009), ..buckets };
        assert_eq!(later.counts(&times), buckets.counts(&times));
        let next = Buckets { now: buckets.next(), ..buckets };
        assert_eq!(next.counts(&times), [0.0, 0.0, 0.0, 0.0, 2.0, 1.0]);
        let values: Vec<(Timestamp, f64)> = (1..=10).map(|n| (at(1_000_000), f64::from(n))).collect();
        assert_eq!(buckets.quantiles(&values, 0.9)[4..], [None, Some(9.0)]);
    }
}
