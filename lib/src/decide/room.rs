//! Whether there is room for more work: on the machine as a whole, and for agents of one role.

use super::Rules;
use crate::fact::Fact;
use crate::ids::Role;
use crate::machine::{Machine, shortages};
use crate::pipeline::Pipeline;
use crate::run::Work;

impl Rules<'_> {
    /// What was measured, where the machine is short of something it was not short of, or no longer is.
    pub(super) fn machine_seen(&self, seen: &Machine) -> Vec<Fact> {
        let before = &self.p.core.shortages;
        let now = shortages(&self.p.core.settings.scheduler.room, before, seen, self.now.at);
        if now == *before { Vec::new() } else { vec![Fact::MachineShort { shortages: now }] }
    }
}

impl Pipeline {
    /// How many agents of a role work, and how many may, where no more may.
    #[must_use]
    pub fn role_is_full(&self, role: &Role) -> Option<(usize, u32)> {
        let cap = *self.core.settings.scheduler.role_caps.get(role)?;
        let of_role = |name| self.core.agents.get(name).is_some_and(|agent| agent.role == *role);
        let counts = |work: &Work| !matches!(work, Work::Gate { .. });
        let working = self.core.runs.values().filter(|run| counts(&run.work) && of_role(&run.agent)).count();
        (working >= cap as usize).then_some((working, cap))
    }
}
