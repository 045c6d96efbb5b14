//! What facts change about agents, their worktrees and the presets they use.

use jiff::Timestamp;

use super::reserved;
use crate::fact::Fact;
use crate::ids::AgentName;
use crate::pipeline::{Agent, Outage, Pause, Pipeline, Worktree};
use crate::settings::Settings;

impl Pipeline {
    pub(super) fn configure_agents(&mut self, at: Timestamp, settings: &Settings) {
        for agent in self.core.agents.values_mut() {
            agent.removed = true;
        }
        for wanted in &settings.agents {
            // One that was away for a while may have left work behind that is still being checked.
            let run = self.core.runs.values().find(|run| run.agent == wanted.name).map(|run| run.id.clone());
            let verifying =
                self.in_flight().filter(|t| reserved(&t.state) == Some(&wanted.name)).min_by_key(|t| t.order);
            let verifying = verifying.map(|task| task.id.clone());
            let agent = self.core.agents.entry(wanted.name.clone()).or_insert_with(|| Agent {
                role: wanted.role.clone(),
                preset: wanted.preset,
                stopped: false,
                broken: None,
                removed: false,
                run,
                verifying,
                since: at,
                last: None,
            });
            agent.role.clone_from(&wanted.role);
            agent.preset = wanted.preset;
            agent.removed = false;
            // A changed configuration is the usual cure for what was broken.
            agent.broken = None;
        }
        self.core.agents.retain(|_, agent| !agent.removed || agent.run.is_some());
        self.core.worktrees.retain(|_, worktree| worktree.broken.is_none());
    }

    pub(super) fn apply_agent(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::WorktreeReady { worktree, setup } => {
                let record = self.core.worktrees.entry(worktree.clone()).or_default();
                *record = Worktree { setup: Some(setup.clone()), ..Worktree::default() };
            }
            Fact::WorktreeFailed { worktree, message, retry_at } => {
                let record = self.core.worktrees.entry(worktree.clone()).or_default();
                record.failures += 1;
                record.retry_at = *retry_at;
                record.broken = retry_at.is_none().then(|| message.clone());
            }
            Fact::WorktreeReset { worktree } => {
                self.core.worktrees.remove(worktree);
            }
            Fact::AgentStopped { agent } => self.change_agent(agent, at, |a| a.stopped = true),
            Fact::AgentEnabled { agent } => self.change_agent(agent, at, |a| {
                a.stopped = false;
                a.broken = None;
            }),
            Fact::AgentBroken { agent, message } => {
                self.change_agent(agent, at, |a| a.broken = Some(message.clone()));
            }
            Fact::PresetPaused { preset, until, why, in_a_row } => {
                self.core.paused.insert(*preset, Pause { until: *until, why: why.clone(), since: at });
                let before = self.core.outages.remove(preset);
                if *in_a_row > 0 {
                    let since = before.map_or(at, |outage| outage.since);
                    self.core.outages.insert(*preset, Outage { in_a_row: *in_a_row, since, why: why.clone() });
                }
            }
            Fact::PresetResumed { preset } => {
                let is_over = self.core.paused.remove(preset).is_some_and(|pause| pause.until <= at);
                // Before its time it is a person who says that all is well.
                if !is_over {
                    self.core.outages.remove(preset);
                }
            }
            _ => {}
        }
    }

    pub(super) fn change_agent(&mut self, name: &AgentName, at: Timestamp, change: impl FnOnce(&mut Agent)) {
        if let Some(agent) = self.core.agents.get_mut(name) {
            change(agent);
            agent.since = at;
        }
    }
}
