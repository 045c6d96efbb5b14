//! Chance that can be repeated, and what is drawn by it: durations from the latest runs themselves, so that their real
//! spread is kept, failures by their rate, and decisions as often as they were taken. Where too little is on record for
//! that it says so.

use std::collections::BTreeSet;

use crate::estimate::likely;
use crate::ids::{Role, StageId, WorkflowId};
use crate::metrics::{Metrics, RunStats};
use crate::workflow::Stage;

/// How long a run takes of which nothing is known, in seconds; between half and twice as long is drawn.
pub const DEFAULT_SECONDS: f64 = 600.0;
/// The share of such runs that fail.
pub const DEFAULT_FAILURES: f64 = 0.1;
/// Fewer runs than these say little about how much durations differ: some spread is added.
const FEW: usize = 5;
/// So many decisions of a stage say how often each is taken.
const ENOUGH_DECISIONS: u32 = 5;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one play.
    pub(super) fn new(seed: u64, play: usize) -> Self {
        let mut dice = Self(seed);
        let mixed = dice.next() ^ (play as u64).wrapping_mul(0xd134_2543_de82_ef95);
        Self(mixed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of the samples.
    fn sample(&mut self, samples: &crate::metrics::Samples) -> Option<f64> {
        let at = (self.share() * samples.len() as f64) as usize;
        samples.get(at)
    }

    /// Between half and twice.
    fn spread(&mut self) -> f64 {
        (self.share() * 2.0 - 1.0).exp2()
    }
}

/// What a run will turn out to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drawn {
    pub(super) seconds: f64,
    pub(super) fails: bool,
}

/// What was drawn without anything on record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Granted {
    /// Set-ups took no time.
    pub(super) setups: bool,
    /// Gates of these stages took no time and passed.
    pub(super) gates: BTreeSet<StageId>,
    /// Merges of these stages took no time and met no conflict.
    pub(super) merges: BTreeSet<StageId>,
    /// These stages took their likely decision.
    pub(super) decisions: BTreeSet<StageId>,
}

/// Draws what happens outside.
pub(super) struct Chance<'m> {
    pub(super) metrics: &'m Metrics,
    pub(super) dice: Dice,
    pub(super) granted: Granted,
}

impl<'m> Chance<'m> {
    pub(super) fn new(metrics: &'m Metrics, dice: Dice) -> Self {
        Self { metrics, dice, granted: Granted::default() }
    }
}

impl Chance<'_> {
    pub(super) fn work(&mut self, workflow: &WorkflowId, stage: &StageId, role: Option<&Role>) -> Drawn {
        let stats = self.metrics.work(workflow, stage, role).map(|(_, stats)| stats);
        self.draw(stats, DEFAULT_SECONDS, DEFAULT_FAILURES)
    }

    /// A gate of which nothing is known takes no time and passes: it may be as little as a file that has to be there.
    pub(super) fn gate(&mut self, stage: &StageId) -> Drawn {
        let known = self.metrics.gates_by_stage.get(stage);
        if known.is_none() {
            self.granted.gates.insert(stage.clone());
        }
        self.draw(known, 0.0, 0.0)
    }

    /// A merge that "fails" meets a conflict. Of which nothing is known takes no time and meets none.
    pub(super) fn merge(&mut self, stage: &StageId) -> Drawn {
        let known = self.metrics.merges_by_stage.get(stage);
        if known.is_none() {
            self.granted.merges.insert(stage.clone());
        }
        self.draw(known, 0.0, 0.0)
    }

    /// A set-up of which nothing is known takes no time and succeeds.
    pub(super) fn setup(&mut self) -> Drawn {
        let known = Some(&self.metrics.setups).filter(|stats| stats.runs > 0);
        self.granted.setups |= known.is_none();
        self.draw(known, 0.0, 0.0)
    }

    /// What a stage decides whose work is done: one of the words that can be said there, as often as it was said; the
    /// likely one where too little is known.
    pub(super) fn decision(&mut self, workflow: &WorkflowId, stage: &Stage, choices: &[&str]) -> String {
        if choices.len() < 2 {
            return likely(stage).to_owned();
        }
        let words = self.metrics.decisions.get(workflow).and_then(|stages| stages.get(&stage.id));
        let said: Vec<(&str, u32)> =
            words.into_iter().flat_map(|words| words.iter()).filter(|(word, _)| choices.contains(word)).collect();
        let all: u32 = said.iter().map(|(_, times)| times).sum();
        if all < ENOUGH_DECISIONS {
            self.granted.decisions.insert(stage.id.clone());
            return likely(stage).to_owned();
        }
        let mut at = (self.dice.share() * f64::from(all)) as u32;
        for (word, times) in said {
            if at < times {
                return word.to_owned();
            }
            at -= times;
        }
        likely(stage).to_owned()
    }

    /// How long people take to answer.
    pub(super) fn answer(&mut self) -> f64 {
        self.dice.sample(&self.metrics.attention_seconds).unwrap_or(0.0)
    }

    fn draw(&mut self, stats: Option<&RunStats>, seconds: f64, failures: f64) -> Drawn {
        let known = stats.and_then(|stats| Some((self.dice.sample(&stats.seconds)?, stats.seconds.len())));
        let seconds = match known {
            Some((seconds, samples)) if samples >= FEW => seconds,
            Some((seconds, _)) => seconds * self.dice.spread(),
            None => seconds * self.dice.spread(),
        };
        let rate = stats.and_then(RunStats::failures).map_or(failures, |rate| rate.share);
        Drawn { seconds, fails: self.dice.share() < rate }
    }

    /// What is left of a run that has taken so long already: one of the runs that took longer, if there was any.
    pub(super) fn rest(&mut self, passed: f64, mut draw: impl FnMut(&mut Self) -> Drawn) -> Drawn {
        let mut drawn = draw(self);
        for _ in 0..20 {
            if passed <= 0.0 || drawn.seconds > passed {
                return Drawn { seconds: drawn.seconds - passed, ..drawn };
            }
            drawn = draw(self);
        }
        // Nothing took as long as this one has: it is as likely to end now as to take a quarter longer.
        Drawn { seconds: passed * 0.25 * self.dice.share(), ..drawn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_the_same_for_a_seed() {
        let mut dice = Dice::new(7, 0);
        let drawn: Vec<f64> = (0..10_000).map(|_| dice.share()).collect();
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!(drawn.iter().all(|share| (0.0..1.0).contains(share)));
        assert_eq!(Dice::new(7, 0).next(), Dice::new(7, 0).next());
        assert_ne!(Dice::new(7, 0).next(), Dice::new(7, 1).next());
        assert_ne!(Dice::new(7, 0).next(), Dice::new(8, 0).next());
    }

    #[test]
    fn what_runs_already_takes_longer_than_it_has_taken() {
        let mut metrics = Metrics::default();
        for seconds in [10.0, 20.0, 30.0, 40.0, 50.0, 60.0] {
            metrics.of_all.add_few(true, seconds);
        }
        let mut chance = Chance::new(&metrics, Dice::new(1, 1));
        let (workflow, stage) = (WorkflowId::new("w").unwrap(), StageId::new("s").unwrap());
        for _ in 0..100 {
            let rest = chance.rest(45.0, |chance| chance.work(&workflow, &stage, None)).seconds;
            assert!(rest == 5.0 || rest == 15.0, "{rest}");
        }
        let rest = chance.rest(1_000.0, |chance| chance.work(&workflow, &stage, None)).seconds;
        assert!((0.0..=250.0).contains(&rest), "{rest}");
    }
}
