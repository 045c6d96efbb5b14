//! How long the stages that are left of a task will take, by the medians of what was recorded. A guess, and told as one: it
//! assumes that nothing fails and that nobody has to be waited for.

use std::collections::BTreeMap;

use super::history::{History, Kind};
use crate::ids::StageId;
use crate::pipeline::Pipeline;
use crate::task::{Task, TaskState};
use crate::workflow::{Next, SUCCESS, Stage, Verify};

/// Gates that a median is made of, the latest ones.
const GATES_MAX: usize = 500;

/// The recorded durations, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    agent: BTreeMap<StageId, f64>,
    gate: BTreeMap<StageId, f64>,
    /// For a stage without a run of its own: the mean of the stages' medians, each as often as it has runs.
    any: Option<f64>,
    /// How many runs of agents all this rests on.
    pub runs: u64,
}

impl Durations {
    /// What is recorded.
    #[must_use]
    pub fn of(pipeline: &Pipeline, history: &History) -> Self {
        let stages = &pipeline.core.metrics.by_stage;
        let agent: BTreeMap<StageId, f64> = stages
            .iter()
            .filter(|(_, stats)| stats.runs > 0)
            .map(|(stage, stats)| (stage.clone(), stats.seconds.quantile(0.5)))
            .collect();
        let runs: u64 = stages.values().map(|stats| stats.runs).sum();
        let weighed = stages.iter().filter_map(|(stage, stats)| Some(agent.get(stage)? * stats.runs as f64));
        let any = (runs > 0).then(|| weighed.sum::<f64>() / runs as f64);
        let mut gates: BTreeMap<&StageId, Vec<f64>> = BTreeMap::new();
        for gate in history.latest().filter(|run| run.kind == Kind::Gate).take(GATES_MAX) {
            gates.entry(&gate.stage).or_default().push(gate.to.duration_since(gate.from).as_secs_f64());
        }
        let gate = gates.into_iter().map(|(stage, seconds)| (stage.clone(), median(seconds))).collect();
        Self { agent, gate, any, runs }
    }

    /// An agent's work at a stage; none without any run to go by.
    #[must_use]
    pub fn work(&self, stage: &StageId) -> Option<f64> {
        self.agent.get(stage).copied().or(self.any)
    }

    /// The check of a stage's claim; 0 where there is none, or none was recorded.
    #[must_use]
    pub fn check(&self, pipeline: &Pipeline, stage: &Stage) -> f64 {
        let checked = match stage.verify {
            Verify::None => false,
            Verify::Project => pipeline.core.settings.verify.is_some(),
            Verify::Command(_) => true,
        };
        if checked { self.gate.get(&stage.id).copied().unwrap_or(0.0) } else { 0.0 }
    }

    /// All that is left of a task, its present stage counted in full; none without any run to go by.
    #[must_use]
    pub fn left(&self, pipeline: &Pipeline, task: &Task) -> Option<f64> {
        let each = stages_left(pipeline, task).into_iter().map(|stage| {
            // Its work is done; only the check is left.
            let work = if is_checked(task, stage) { 0.0 } else { self.work(&stage.id)? };
            Some(work + self.check(pipeline, stage))
        });
        each.sum()
    }
}

fn is_checked(task: &Task, stage: &Stage) -> bool {
    matches!(&task.state, TaskState::Verifying { stage: at, .. } if *at == stage.id)
}

/// The stages that a task still has to go through if each succeeds, the present one first.
#[must_use]
pub fn stages_left<'a>(pipeline: &'a Pipeline, task: &'a Task) -> Vec<&'a Stage> {
    let mut left: Vec<&Stage> = Vec::new();
    let Some(workflow) = pipeline.workflow_of(task) else { return left };
    let mut next = pipeline.stage_of(task);
    while let Some(stage) = next.filter(|stage| left.iter().all(|known| known.id != stage.id)) {
        left.push(stage);
        next = match workflow.next(&stage.id, likely(stage)) {
            Next::Stage(stage) => Some(stage),
            Next::End | Next::Nowhere => None,
        };
    }
    left
}

/// The decision that a stage comes to when all is well.
fn likely(stage: &Stage) -> &str {
    stage.default_decision().or(stage.decisions.first().map(|choice| choice.choice.as_str())).unwrap_or(SUCCESS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;

    #[test]
    fn what_is_left_goes_by_the_medians_and_is_unknown_without_any() {
        let mut w = World::new();
        let mut history = History::default();
        w.add_all(&["A", "B"]);
        let left = |w: &World, history: &mut History, id: &str| {
            history.follow(&w.p);
            Durations::of(&w.p, history).left(&w.p, w.task(id))
        };
        assert_eq!(left(&w, &mut history, "B"), None);
        w.tick();
        let run = w.run_of("A");
        w.start(&run);
        w.pass(100);
        w.do_stage("A");
        // The only run that is known stands for all four stages.
        assert_eq!(left(&w, &mut history, "B"), Some(400.0));
        w.reach("A", "impl");
        let run = w.run_of("A");
        w.start(&run);
        w.pass(200);
        w.do_stage("A");
        let gate = w.run_of("A");
        w.start(&gate);
        w.pass(30);
        let checking = left(&w, &mut history, "A");
        w.gate("A", OK);
        let of_b = left(&w, &mut history, "B").unwrap();
        // arch 100, test 0, impl 200 and its gate 30, super by the mean of the three.
        assert!((of_b - 430.0).abs() < 1e-6, "{of_b}");
        assert_eq!(checking, Some(100.0), "its work at this stage is done");
    }

    #[test]
    fn the_way_to_the_end_goes_through_no_stage_twice() {
        let mut w = World::new();
        w.add_all(&["A"]);
        let names = |w: &World| -> Vec<String> {
            stages_left(&w.p, w.task("A")).iter().map(|stage| stage.id.to_string()).collect()
        };
        assert_eq!(names(&w), ["arch", "test", "impl", "super"]);
        w.reach("A", "impl");
        assert_eq!(names(&w), ["impl", "super"]);
        w.finish("A");
        assert_eq!(names(&w), [""; 0]);
    }
}
