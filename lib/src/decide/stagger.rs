//! Staggered starts: many agents of one program that start at the same moment reach its limits, and its login, at the same
//! moment too. Where it is asked for, so much time lies between two starts of agents of one preset.

use jiff::{SignedDuration, Timestamp};

use super::{Now, Rules, after, is_over};
use crate::agents::preset::Preset;
use crate::pipeline::Pipeline;

impl Pipeline {
    /// When an agent of a preset may start again, where that is not yet.
    #[must_use]
    pub fn staggered_until(&self, preset: Preset, now: Timestamp) -> Option<Timestamp> {
        let stagger = self.core.settings.scheduler.stagger;
        let last = *self.core.last_starts.get(&preset)?;
        let until = after(last, stagger);
        (stagger > SignedDuration::ZERO && !is_over(until, now, stagger)).then_some(until)
    }
}

/// The moments at which an agent starts that could have by now, but for the start of another one before it.
pub(crate) fn staggered_starts(p: &Pipeline) -> impl Iterator<Item = Timestamp> + '_ {
    p.core.last_starts.keys().filter_map(|preset| {
        let at = p.staggered_until(*preset, p.core.updated_at)?;
        let rules = Rules { p, now: Now { at, entropy: 0 } };
        rules.starts().any(|(_, agent, _)| agent.preset == *preset).then_some(at)
    })
}
