//! A prediction that was kept, against what then happened: whether predictions can be believed is a figure, too.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::report::{Report, Spread};
use crate::decide::after;
use crate::estimate::quantile;
use crate::ids::TaskId;
use crate::metrics::{ratio, seconds_between};
use crate::pipeline::Pipeline;
use crate::task::TaskState;

/// What was predicted of the tasks that were there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// When.
    pub at: Timestamp,
    /// Where chance began.
    pub seed: u64,
    /// How often it was played.
    pub plays: usize,
    /// From then until the last of the tasks is done, in seconds.
    pub makespan_seconds: Spread,
    /// When each of them is done, in seconds from then.
    pub tasks: BTreeMap<TaskId, Spread>,
}

impl Prediction {
    /// What a report predicts; none where it predicts that no task is completed.
    #[must_use]
    pub fn of(report: &Report) -> Option<Self> {
        (!report.finishes.is_empty()).then(|| Self {
            at: report.from,
            seed: report.seed,
            plays: report.plays,
            makespan_seconds: report.makespan_seconds,
            tasks: report.finishes.clone(),
        })
    }
}

/// A prediction beside what happened.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Compared {
    /// When it was made.
    #[schemars(with = "String")]
    pub predicted_at: Timestamp,
    /// How many tasks were predicted to be completed.
    pub tasks: usize,
    /// How many of them are.
    pub completed: usize,
    /// How many came to nothing, or are gone.
    pub given_up: usize,
    /// How many are still to be done.
    pub open: usize,
    /// When the last was predicted to be done, half of the plays being sooner.
    #[schemars(with = "String")]
    pub predicted_finish: Timestamp,
    /// When the last was done; none while some are open, or where none was completed.
    #[schemars(with = "Option<String>")]
    pub actual_finish: Option<Timestamp>,
    /// By how many seconds that was later than predicted; negative where it was sooner.
    pub error_seconds: Option<f64>,
    /// The same as a share of the predicted time, in percent.
    pub error_percent: Option<f64>,
    /// Of the tasks that are completed, the share that was done between the tenth and the ninetieth percentile, from 0 to 1.
    pub within_interval: Option<f64>,
    /// Of these tasks, by how many percent the one in the middle was sooner or later than predicted.
    pub task_error_percent: Option<f64>,
}

/// Holds a prediction against what is known now.
#[must_use]
pub fn compare(pipeline: &Pipeline, prediction: &Prediction) -> Compared {
    let (mut open, mut given_up) = (0, 0);
    let mut done: Vec<(f64, &Spread)> = Vec::new();
    for (id, spread) in &prediction.tasks {
        match outcome(pipeline, id) {
            Outcome::Completed(at) => done.push((seconds_between(prediction.at, at), spread)),
            Outcome::Open => open += 1,
            Outcome::GivenUp => given_up += 1,
        }
    }
    let actual = done.iter().map(|(seconds, _)| *seconds).max_by(f64::total_cmp).filter(|_| open == 0);
    let predicted = prediction.makespan_seconds.p50;
    let percent = |error: f64, of: f64| (of > 0.0).then(|| error / of * 100.0);
    let later =
        |seconds: f64| after(prediction.at, SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::MAX));
    let within = done.iter().filter(|(seconds, spread)| (spread.p10..=spread.p90).contains(seconds)).count();
    let errors = done.iter().filter_map(|(seconds, spread)| percent((seconds - spread.p50).abs(), spread.p50));
    Compared {
        predicted_at: prediction.at,
        tasks: prediction.tasks.len(),
        completed: done.len(),
        given_up,
        open,
        predicted_finish: later(predicted),
        actual_finish: actual.map(later),
        error_seconds: actual.map(|actual| actual - predicted),
        error_percent: actual.and_then(|actual| percent(actual - predicted, predicted)),
        within_interval: (!done.is_empty()).then(|| ratio(within as u64, done.len() as u64)),
        task_error_percent: quantile(errors, 0.5),
    }
}

enum Outcome {
    Completed(Timestamp),
    Open,
    GivenUp,
}

fn outcome(pipeline: &Pipeline, id: &TaskId) -> Outcome {
    let Some(task) = pipeline.task(id.as_str()) else {
        let archived = pipeline.core.archived.get(id).filter(|archived| archived.status == "completed");
        return archived.map_or(Outcome::GivenUp, |archived| Outcome::Completed(archived.finished_at));
    };
    match (&task.state, task.finished_at) {
        (TaskState::Completed, Some(at)) => Outcome::Completed(at),
        (state, _) if state.is_final() => Outcome::GivenUp,
        _ => Outcome::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, with_history};
    use super::super::{What, simulate};
    use super::*;
    use crate::decide::tests::world::*;
    use crate::event::Request;

    #[test]
    fn a_prediction_is_held_against_what_happened() {
        let mut w = with_history(1);
        w.add_all(&["A", "B", "C"]);
        let report = simulate(&w.p, &ask(What::State), w.at).unwrap();
        let prediction = Prediction::of(&report).unwrap();
        let text = serde_json::to_string(&prediction).unwrap();
        assert_eq!(serde_json::from_str::<Prediction>(&text).unwrap(), prediction);
        let compared = compare(&w.p, &prediction);
        assert_eq!((compared.tasks, compared.completed, compared.open), (3, 0, 3));
        assert_eq!((compared.actual_finish, compared.error_seconds), (None, None));
        w.tick();
        for (id, seconds) in [("A", 100), ("B", 160)] {
            let run = w.run_of(id);
            w.start(&run);
            w.pass(seconds);
            w.do_stage(id);
        }
        w.asked(Request::Cancel { task: task("C"), reason: None });
        let compared = compare(&w.p, &prediction);
        assert_eq!((compared.completed, compared.given_up, compared.open), (2, 1, 0));
        assert!((compared.error_seconds.unwrap() + 40.0).abs() < 1.0, "{compared:?}");
        assert!((compared.error_percent.unwrap() + 13.3).abs() < 1.0, "{compared:?}");
        assert_eq!(compared.within_interval, Some(0.5), "the second took longer than any did");
    }
}
