//! What the scheduler would start in another mode: the same rules on a copy, so that the answer cannot differ from what then
//! happens if nothing else does. Changes nothing.

use jiff::Timestamp;

use super::{Now, Rules};
use crate::fact::Fact;
use crate::ids::{AgentName, StageId, TaskId};
use crate::mode::{Mode, Orchestration};
use crate::pipeline::Pipeline;
use crate::run::Work;

/// Facts at most, so that the answer comes soon whatever there is to do.
const FACTS_MAX: usize = 256;

/// A run that would be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Whose.
    pub agent: AgentName,
    /// For which task, at which stage; none for the set-up of a worktree, which comes before.
    pub work: Option<(TaskId, StageId)>,
}

/// What would be started at once if this were the mode and the agents at work stayed at it. `current` is what the
/// current-task file holds, which sequential mode goes by.
#[must_use]
pub fn plan(pipeline: &Pipeline, mode: Mode, current: Option<&str>, at: Timestamp) -> Vec<Start> {
    let mut copy = pipeline.clone();
    copy.core.pending_mode = None;
    copy.apply(at, &Fact::ModeChanged { mode, unready: false });
    if mode.orchestration == Orchestration::Sequential {
        for fact in (Rules { p: &copy, now: Now { at, entropy: 0 } }).current_task_read(current) {
            copy.apply(at, &fact);
        }
    }
    let mut starts = Vec::new();
    let mut facts_left = FACTS_MAX;
    while facts_left > 0 {
        let entropy = u64::try_from(facts_left).unwrap_or(0);
        let facts = Rules { p: &copy, now: Now { at, entropy } }.tick();
        if facts.is_empty() {
            break;
        }
        for fact in &facts {
            if let Fact::RunClaimed { run } = fact
                && !matches!(run.work, Work::Gate { .. })
            {
                let work = run.task.clone().zip(run.stage.clone()).filter(|_| run.work.serves_stage());
                starts.push(Start { agent: run.agent.clone(), work });
            }
            copy.apply(at, fact);
        }
        facts_left = facts_left.saturating_sub(facts.len());
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::*;
    use super::*;
    use crate::event::Busy;
    use crate::mode::Rollout;

    #[test]
    fn the_plan_for_a_mode_is_what_it_then_starts() {
        for orchestration in [Orchestration::Sequential, Orchestration::Parallel, Orchestration::Hybrid] {
            let mut w = World::workers(3, |_| {});
            w.mode(Orchestration::Parallel, Rollout::Shadow);
            w.add_all(&["A", "B", "C", "D"]);
            w.tick();
            let before = w.p.clone();
            let mode = Mode { orchestration, rollout: Rollout::Production };
            let planned = plan(&w.p, mode, None, w.at);
            assert_eq!(w.p, before, "a plan changes nothing");
            w.switch(orchestration, Rollout::Production, Busy::Refuse).unwrap();
            match orchestration {
                Orchestration::Sequential => drop(w.read_current(None)),
                Orchestration::Parallel | Orchestration::Hybrid => drop(w.tick()),
            }
            let mut started: Vec<_> = w.p.core.runs.values().map(|run| (run.agent.clone(), run.task.clone())).collect();
            let mut expected: Vec<_> =
                planned.into_iter().map(|start| (start.agent, start.work.map(|(task, _)| task))).collect();
            started.sort();
            expected.sort();
            assert_eq!(expected, started, "{orchestration:?}");
            assert!(!started.is_empty());
        }
    }

    #[test]
    fn nothing_starts_in_shadow_and_agents_at_work_stay_at_it() {
        let mut w = World::workers(2, |_| {});
        w.add_all(&["A", "B", "C"]);
        w.tick();
        let shadow = Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Shadow };
        assert_eq!(plan(&w.p, shadow, None, w.at), []);
        let hybrid = Mode { orchestration: Orchestration::Hybrid, rollout: Rollout::Production };
        assert_eq!(plan(&w.p, hybrid, None, w.at), [], "both are busy");
    }
}
