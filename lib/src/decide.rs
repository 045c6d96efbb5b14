//! The rules. `decide` looks at what is known and at what happened, and answers with the facts that follow. It changes
//! nothing and asks nobody; what has to be done outside follows from the state that the facts lead to.
//!
//! A tick takes one step at a time: the caller applies its facts and ticks again until nothing follows.

mod aftermath;
mod chains;
mod collide;
mod compose;
mod decided;
mod effects;
mod hub;
mod ladder;
mod modes;
mod overdue;
mod parts;
mod plan;
mod requests;
mod room;
mod runs;
mod schedules;
mod settled;
mod spending;
mod stages;
mod stagger;
mod tick;
mod undo;

pub(crate) use effects::EFFECT_RETRY_MAX;
pub(crate) use ladder::ladder_deadline;
pub(crate) use overdue::overdue_at;
pub use plan::{Start, plan};
pub(crate) use stagger::staggered_starts;
pub use tick::gate_worktree;
pub use undo::undo;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Event, Refusal};
use crate::fact::Fact;
use crate::ids::RunId;
use crate::pipeline::Pipeline;
use crate::run::{Phase, Run};

#[cfg(test)]
pub(crate) mod tests;

/// How long an agent may go on after it has claimed an outcome.
pub const CLAIM_GRACE: SignedDuration = SignedDuration::from_secs(5);

/// What the engine may not find out by itself.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The time.
    pub at: Timestamp,
    /// Random bits, for run ids and jitter.
    pub entropy: u64,
}

/// The facts that follow from an event; none if it changes nothing.
///
/// # Errors
/// When the event is a request that cannot be fulfilled. Nothing follows then.
pub fn decide(pipeline: &Pipeline, event: &Event, now: Now) -> Result<Vec<Fact>, Refusal> {
    let rules = Rules { p: pipeline, now };
    Ok(match event {
        Event::Tick => rules.tick(),
        Event::Configure { settings, workflows, digest } => {
            if pipeline.core.config_digest == *digest {
                Vec::new()
            } else {
                vec![Fact::Configured {
                    settings: settings.clone(),
                    workflows: workflows.clone(),
                    digest: digest.clone(),
                }]
            }
        }
        Event::NumbersTaken { below } if *below > pipeline.core.next_number => {
            vec![Fact::NumbersTaken { below: *below }]
        }
        Event::NumbersTaken { .. } => Vec::new(),
        Event::Ask(request) => rules.request(request)?,
        Event::Run { run, seen } => rules.run_seen(run, seen),
        Event::MergePrepared { task, head, outcome } => rules.merge_prepared(task, head, outcome),
        Event::PartsJoined { task, outcome } => rules.parts_joined(task, outcome),
        Event::BaseAdvanced { task, commit, outcome } => rules.base_advanced(task, commit, outcome),
        Event::BaseReverted { task, merge, outcome } => rules.base_reverted(task, merge, outcome),
        Event::MergesPredicted(found) => rules.merges_predicted(found),
        Event::CurrentTaskRead { content } => rules.current_task_read(content.as_deref()),
        Event::Used(seen) => rules.usage_seen(seen),
        Event::Machine(seen) => rules.machine_seen(seen),
        Event::EffectFailed { key, message, permanent } => rules.effect_failed(key, message, *permanent),
    })
}

/// When a run that has claimed an outcome is stopped if it has not ended by itself.
pub(crate) fn claim_deadline(run: &Run) -> Option<Timestamp> {
    let live = match run.phase {
        Phase::Claimed | Phase::Started { .. } => run.stop.is_none(),
        Phase::Ended { .. } => false,
    };
    run.claim.as_ref().filter(|_| live).map(|claim| after(claim.at, CLAIM_GRACE))
}

/// Whether a wait that ends at `at` is over. One that would take longer than the longest there can be was begun by a clock
/// that ran ahead, and is over too.
pub(crate) fn is_over(at: Timestamp, now: Timestamp, longest: SignedDuration) -> bool {
    at <= now || at > after(now, longest)
}

/// A moment later, at the end of time if need be.
pub(crate) fn after(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The state and the moment that all rules look at.
#[derive(Clone, Copy)]
struct Rules<'a> {
    p: &'a Pipeline,
    now: Now,
}

impl Rules<'_> {
    /// A name for a new run: the time in its first part, so that names sort by age, and random bits in its second.
    fn new_run_id(&self) -> RunId {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut text = String::with_capacity(16);
        text.push('r');
        let mut put = |value: u64, digits: u32| {
            for place in (0..digits).rev() {
                text.push(char::from(DIGITS[(value >> (5 * place)) as usize & 31]));
            }
        };
        put(self.now.at.as_millisecond().unsigned_abs(), 9);
        put(self.random(), 6);
        RunId::new(&text).expect("letters and digits make a well-formed id")
    }

    /// Random bits that differ with every fact applied.
    fn random(&self) -> u64 {
        // The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        let mut z = self.now.entropy.wrapping_add(self.p.core.seq.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The wait before the attempt after this one: doubled each time, capped, and shortened by up to half at random so
    /// that tasks which failed together do not come back together.
    fn backoff(&self, base: SignedDuration, attempt: u32) -> SignedDuration {
        let scheduler = &self.p.core.settings.scheduler;
        let doubled = base.checked_mul(1 << attempt.saturating_sub(1).min(20)).unwrap_or(SignedDuration::MAX);
        let capped = doubled.min(scheduler.backoff_max).as_millis().max(0);
        let share = i128::from(self.random() % 1_000);
        let wait = capped - capped * share / 2_000;
        SignedDuration::from_millis(i64::try_from(wait).unwrap_or(i64::MAX))
    }
}
