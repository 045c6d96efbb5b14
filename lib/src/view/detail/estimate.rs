//! How long the stages that are left of a task will take, by [`crate::estimate`]. A guess, and told as one: it assumes that
//! nothing fails and that nobody has to be waited for.

use std::collections::BTreeMap;

use crate::estimate::{choose, likely_way};
use crate::ids::{Role, StageId, WorkflowId};
use crate::metrics::RunStats;
use crate::pipeline::Pipeline;
use crate::task::{Task, TaskState};
use crate::workflow::{Stage, Verify};

/// What the runs of something took in the middle, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Middle {
    seconds: f64,
    runs: u64,
}

impl Middle {
    fn of(stats: &RunStats) -> Self {
        Self { seconds: stats.seconds.quantile(0.5), runs: stats.runs }
    }
}

/// The recorded durations, found out once for many questions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    own: BTreeMap<WorkflowId, BTreeMap<StageId, Middle>>,
    stages: BTreeMap<StageId, Middle>,
    roles: BTreeMap<Role, Middle>,
    all: Option<Middle>,
    gates: BTreeMap<StageId, Middle>,
    /// How many runs of agents all this rests on.
    pub runs: u64,
}

impl Durations {
    /// What is recorded.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        fn middles<K: Clone + Ord>(of: &BTreeMap<K, RunStats>) -> BTreeMap<K, Middle> {
            of.iter().map(|(key, stats)| (key.clone(), Middle::of(stats))).collect()
        }
        let metrics = &pipeline.core.metrics;
        Self {
            own: metrics.by_workflow_stage.iter().map(|(id, stages)| (id.clone(), middles(stages))).collect(),
            stages: middles(&metrics.by_stage),
            roles: middles(&metrics.by_role),
            all: Some(Middle::of(&metrics.of_all)),
            gates: middles(&metrics.gates_by_stage),
            runs: metrics.by_stage.values().map(|stats| stats.runs).sum(),
        }
    }

    /// An agent's work at a stage, in seconds; none without any run to go by.
    #[must_use]
    pub fn work(&self, workflow: &WorkflowId, stage: &Stage) -> Option<f64> {
        let own = self.own.get(workflow).and_then(|stages| stages.get(&stage.id));
        let levels = [own, self.stages.get(&stage.id), self.roles.get(&stage.role)];
        choose(levels, self.all.as_ref(), |middle| middle.runs).map(|(_, middle)| middle.seconds)
    }

    /// The check of a stage's claim; 0 where there is none, or none was recorded.
    #[must_use]
    pub fn check(&self, pipeline: &Pipeline, stage: &Stage) -> f64 {
        let checked = match stage.verify {
            Verify::None => false,
            Verify::Project => pipeline.core.settings.verify.is_some(),
            Verify::Command(_) => true,
        };
        if checked { self.gates.get(&stage.id).map_or(0.0, |middle| middle.seconds) } else { 0.0 }
    }

    /// All that is left of a task, its present stage counted in full; none without any run to go by.
    #[must_use]
    pub fn left(&self, pipeline: &Pipeline, task: &Task) -> Option<f64> {
        let each = stages_left(pipeline, task).into_iter().map(|stage| {
            // Its work is done; only the check is left.
            let work = if is_checked(task, stage) { 0.0 } else { self.work(&task.workflow, stage)? };
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
    let Some(workflow) = pipeline.workflow_of(task) else { return Vec::new() };
    likely_way(workflow, pipeline.stage_of(task))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;

    #[test]
    fn what_is_left_goes_by_the_medians_and_is_unknown_without_any() {
        let mut w = World::new();
        w.add_all(&["A", "B"]);
        let left = |w: &World, id: &str| Durations::of(&w.p).left(&w.p, w.task(id));
        assert_eq!(left(&w, "B"), None);
        w.tick();
        let run = w.run_of("A");
        w.start(&run);
        w.pass(100);
        w.do_stage("A");
        // The only run that is known stands for all four stages.
        assert_eq!(left(&w, "B"), Some(400.0));
        w.reach("A", "impl");
        let run = w.run_of("A");
        w.start(&run);
        w.pass(200);
        w.do_stage("A");
        let gate = w.run_of("A");
        w.start(&gate);
        w.pass(30);
        let checking = left(&w, "A");
        w.gate("A", OK);
        let of_b = left(&w, "B").unwrap();
        // arch 100, test 0, impl 200 and its gate 30, super by the median of the three.
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
