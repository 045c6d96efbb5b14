//! Which run the output of an agent comes from: its live one, else the last one it did itself. Kept in step with the
//! pipeline by looking only at tasks that changed; one that is made anew says the same, as far as tasks are still there.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::screen::RunRow;
use crate::agents::stream::Format;
use crate::ids::AgentName;
use crate::pipeline::{Mark, Pipeline};
use crate::run::{Run, RunSummary, Work};
use crate::task::Task;

/// The last runs of agents. Follow the pipeline before asking.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    seen: Option<Mark>,
    runs: BTreeMap<AgentName, (Timestamp, RunRow)>,
}

impl Latest {
    /// Takes over what changed since the last time.
    pub fn follow(&mut self, pipeline: &Pipeline) {
        let changes = pipeline.queue.changes();
        match self.seen.as_ref().and_then(|mark| changes.since(mark)) {
            Some(changed) => {
                changed.filter_map(|slot| pipeline.tasks.at(slot)).for_each(|task| self.note(pipeline, task));
            }
            None => pipeline.tasks.iter().for_each(|task| self.note(pipeline, task)),
        }
        self.seen = Some(changes.mark());
    }

    fn note(&mut self, pipeline: &Pipeline, task: &Task) {
        for run in task.runs.iter().filter(|run| run.work == Work::Agent.word()) {
            let older = self.runs.get(&run.agent).is_none_or(|(ended, _)| *ended <= run.ended_at);
            if older {
                self.runs.insert(run.agent.clone(), (run.ended_at, ended(pipeline, run)));
            }
        }
    }

    /// The run whose output belongs to this agent.
    #[must_use]
    pub fn run_of(&self, pipeline: &Pipeline, agent: &AgentName) -> Option<RunRow> {
        let live = pipeline.core.agents.get(agent).and_then(|a| pipeline.core.runs.get(a.run.as_ref()?));
        let last = || self.runs.get(agent).map(|(_, run)| run.clone());
        live.map(|run| self::live(pipeline, run)).or_else(last)
    }
}

fn live(pipeline: &Pipeline, run: &Run) -> RunRow {
    let format = match run.work {
        Work::Agent => format(pipeline, &run.agent, run.interactive),
        Work::Command { .. } | Work::Probe { .. } | Work::Gate { .. } | Work::Setup { .. } => Format::Plain,
    };
    RunRow { id: run.id.clone(), live: true, interactive: run.interactive, format }
}

fn ended(pipeline: &Pipeline, run: &RunSummary) -> RunRow {
    let format = format(pipeline, &run.agent, run.interactive);
    RunRow { id: run.id.clone(), live: false, interactive: run.interactive, format }
}

/// What a session draws is text; a run without a terminal prints what its preset prints.
pub(in crate::view) fn format(pipeline: &Pipeline, agent: &AgentName, interactive: bool) -> Format {
    if interactive {
        return Format::Plain;
    }
    pipeline.core.agents.get(agent).map_or(Format::Auto, |agent| agent.preset.info().format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::preset::Preset;
    use crate::decide::tests::world::*;
    use crate::run::ClaimStatus;

    fn seen(latest: &mut Latest, w: &World, agent: &AgentName) -> Option<(String, bool, bool, Format)> {
        latest.follow(&w.p);
        let run = latest.run_of(&w.p, agent)?;
        let anew = {
            let mut anew = Latest::default();
            anew.follow(&w.p);
            anew.run_of(&w.p, agent)
        };
        assert_eq!(anew.as_ref(), Some(&run));
        Some((run.id.to_string(), run.live, run.interactive, run.format))
    }

    #[test]
    fn the_live_run_comes_before_the_last_and_a_gate_only_while_it_lives() {
        let mut w = World::workers(1, |s| {
            s.verify = Some("check".to_owned());
            s.agents[0].preset = Preset::Claude;
            s.agents[0].interactive = true;
        });
        let mut gated = plain_stage("do", "worker");
        gated.verify = crate::workflow::Verify::Project;
        let settings = (*w.p.core.settings).clone();
        w.configure(settings, vec![workflow("gated", vec![gated], &[])]);
        let agent = agent("w1");
        let mut latest = Latest::default();
        assert_eq!(seen(&mut latest, &w, &agent), None);
        w.add(crate::event::NewTask::named("A").on("gated"));
        w.tick();
        let run = w.run_of("A");
        assert_eq!(seen(&mut latest, &w, &agent), Some((run.to_string(), true, true, Format::Plain)));
        w.reconfigure(|s| s.agents[0].interactive = false);
        w.do_stage("A");
        let gate = w.run_of("A");
        assert_eq!(seen(&mut latest, &w, &agent), Some((gate.to_string(), true, false, Format::Plain)));
        w.gate("A", OK);
        assert_eq!(seen(&mut latest, &w, &agent), Some((run.to_string(), false, true, Format::Plain)));
        w.add(crate::event::NewTask::named("B").on("gated"));
        w.tick();
        let run = w.run_of("B");
        assert_eq!(seen(&mut latest, &w, &agent), Some((run.to_string(), true, false, Format::ClaudeJson)));
        w.work("B", BAD, left(ClaimStatus::Failed));
        assert_eq!(seen(&mut latest, &w, &agent).map(|run| (run.0, run.1)), Some((run.to_string(), false)));
    }
}
