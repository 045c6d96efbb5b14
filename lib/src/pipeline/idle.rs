//! Which agents have nothing in their worktree that anybody needs there. What is in it is not known here.

use super::{Agent, Pipeline};
use crate::agents::preset::Preset;
use crate::ids::AgentName;
use crate::mode::Rollout;

impl Pipeline {
    /// The agents without a live run and without a claim that is being checked. None where the rollout lets nothing be
    /// touched, so that no worktree is moved then.
    pub fn idle_agents(&self) -> impl Iterator<Item = &AgentName> {
        let may = self.core.mode.rollout != Rollout::Shadow;
        // A place for commands is kept as they need it.
        let idle = |agent: &Agent| agent.run.is_none() && agent.verifying.is_none() && agent.preset != Preset::Command;
        self.core.agents.iter().filter(move |(_, agent)| may && idle(agent)).map(|(name, _)| name)
    }
}
