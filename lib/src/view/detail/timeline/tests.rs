//! What is predicted, next to what then happens in a world where every stage takes as long as it usually does.

use super::*;
use crate::decide::tests::world::*;
use crate::event::{NewTask, Request};
use crate::ids::Role;
use crate::mode::{Orchestration, Rollout};
use crate::run::ClaimStatus;

fn drawn(w: &World) -> Timeline {
    let mut history = History::default();
    history.follow(&w.p);
    timeline(&w.p, &history, w.at)
}

fn finish_seconds(w: &World) -> Option<Result<i64, Unknown>> {
    Some(drawn(w).outlook.finish?.map(|at| at.duration_since(w.at).as_secs()))
}

/// A world in which one task has taken each worker's time for `seconds`.
fn practised(workers: usize, seconds: i64) -> World {
    let mut w = World::workers(workers, |_| {});
    w.add_all(&["P"]);
    w.tick();
    let run = w.run_of("P");
    w.start(&run);
    w.pass(seconds);
    w.end(&run, OK);
    w.collect(&run, left(ClaimStatus::Completed));
    w.tick();
    w
}

/// Lets every live run take `seconds`, and says how long it takes until nothing is left.
fn play_out(w: &mut World, seconds: i64) -> i64 {
    let begun = w.at;
    w.tick();
    while !w.p.core.runs.is_empty() {
        let live: Vec<_> = w.p.core.runs.keys().cloned().collect();
        live.iter().for_each(|run| drop(w.start(run)));
        w.pass(seconds);
        for run in &live {
            w.end(run, OK);
            w.collect(run, left(ClaimStatus::Completed));
        }
        w.tick();
    }
    w.at.duration_since(begun).as_secs()
}

#[test]
fn without_a_run_on_record_nothing_is_predicted() {
    let mut w = World::workers(2, |_| {});
    assert_eq!(drawn(&w).outlook.finish, None, "nothing is left");
    w.add_all(&["A"]);
    assert_eq!(finish_seconds(&w), Some(Err(Unknown::NoRuns)));
}

#[test]
fn the_prediction_is_what_then_happens_where_stages_take_as_long_as_before() {
    for workers in [1, 2, 3] {
        let mut w = practised(workers, 100);
        w.add_all(&["A", "B", "C"]);
        w.add(NewTask::named("D").after(&["A", "B"]).on("solo"));
        w.add(NewTask::named("E").after(&["D"]).on("solo"));
        w.add(NewTask::named("F").on("solo").priority(1));
        let Some(Ok(predicted)) = finish_seconds(&w) else { panic!("there is a run to go by") };
        let outlook = drawn(&w).outlook;
        assert_eq!((outlook.going, outlook.waiting, outlook.runs), (6, 0, 1));
        assert_eq!(outlook.planned.len(), 6);
        assert_eq!(predicted, play_out(&mut w, 100), "{workers} workers");
    }
}

#[test]
fn a_live_run_counts_for_what_is_left_of_it() {
    let mut w = practised(1, 100);
    w.add_all(&["A", "B"]);
    w.tick();
    let run = w.run_of("A");
    w.start(&run);
    w.pass(60);
    assert_eq!(finish_seconds(&w), Some(Ok(140)));
    w.pass(100);
    assert_eq!(finish_seconds(&w), Some(Ok(105)), "one that takes longer than usual ends soon");
    let rows = drawn(&w).rows;
    assert_eq!((rows[0].spans[0].end, rows[0].spans[0].task.as_ref()), (None, Some(&task("A"))));
    assert_eq!(rows[0].spans.len(), 2);
    assert_eq!(rows[0].planned.len(), 1);
}

#[test]
fn what_waits_for_a_person_is_counted_apart_with_all_behind_it() {
    let mut w = practised(1, 100);
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").after(&["B"]).on("solo"));
    w.asked(Request::Block { task: task("B"), reason: "later".to_owned() });
    let outlook = drawn(&w).outlook;
    assert_eq!((outlook.going, outlook.waiting), (1, 2));
    assert_eq!(finish_seconds(&w), Some(Ok(100)));
    w.asked(Request::Block { task: task("A"), reason: "later".to_owned() });
    assert_eq!(finish_seconds(&w), Some(Err(Unknown::AllWait)));
}

#[test]
fn what_the_rollout_does_not_start_is_not_predicted() {
    let mut w = practised(1, 100);
    w.add_all(&["A"]);
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    assert_eq!(finish_seconds(&w), Some(Err(Unknown::Shadow)));
}

#[test]
fn one_task_at_a_time_where_the_mode_says_so() {
    let mut w = practised(3, 100);
    w.add_all(&["A", "B", "C"]);
    assert_eq!(finish_seconds(&w), Some(Ok(100)));
    w.mode(Orchestration::Sequential, Rollout::Production);
    assert_eq!(finish_seconds(&w), Some(Ok(300)));
    w.mode(Orchestration::Hybrid, Rollout::Production);
    for id in ["A", "B"] {
        let group = Some(Some(crate::ids::Group::new("g").unwrap()));
        w.edit(id, crate::fact::TaskEdit { group, ..Default::default() }).unwrap();
    }
    assert_eq!(finish_seconds(&w), Some(Ok(200)));
}

#[test]
fn caps_of_roles_are_kept_to() {
    let mut w = practised(3, 100);
    w.add_all(&["A", "B", "C"]);
    w.reconfigure(|settings| {
        settings.scheduler.role_caps = [(Role::new("worker").unwrap(), 1)].into();
    });
    assert_eq!(finish_seconds(&w), Some(Ok(300)));
    assert_eq!(play_out(&mut w, 100), 300);
}

#[test]
fn beyond_what_is_played_through_the_rate_goes_on() {
    let mut w = practised(2, 100);
    let ids: Vec<String> = (0..1_000).map(|n| format!("A{n}")).collect();
    w.asked(Request::AddTasks(ids.iter().map(|id| NewTask::named(id).on("solo")).collect()));
    let outlook = drawn(&w).outlook;
    assert_eq!((outlook.going, outlook.beyond, outlook.waiting), (1_000, 600, 0));
    assert_eq!(finish_seconds(&w), Some(Ok(50_000)));
}

#[test]
fn what_waits_for_tasks_that_are_not_played_through_goes_on_at_the_rate_too() {
    let mut w = practised(2, 100);
    let ids: Vec<String> = (0..1_000).map(|n| format!("A{n}")).collect();
    w.asked(Request::AddTasks(ids.iter().map(|id| NewTask::named(id).on("solo")).collect()));
    // Among the first to be known, and behind the last to be.
    w.add(NewTask::named("B").after(&["A0", "A999"]).on("solo"));
    let outlook = drawn(&w).outlook;
    assert_eq!((outlook.going, outlook.waiting), (1_001, 0));
}

#[test]
fn gates_keep_their_agent_and_rows_name_stages_in_order() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    let run = w.run_of("A");
    w.start(&run);
    w.pass(10);
    w.end(&run, OK);
    w.collect(&run, left(ClaimStatus::Completed));
    w.tick();
    let gate = w.run_of("A");
    w.start(&gate);
    let drawn = drawn(&w);
    let of = |name: &str| drawn.rows.iter().find(|row| row.agent == agent(name)).unwrap();
    let kinds: Vec<Kind> = of("implementation").spans.iter().map(|span| span.kind).collect();
    assert_eq!(kinds, [Kind::Gate, Kind::Agent]);
    let stages: Vec<&str> = drawn.stages.iter().map(StageId::as_str).collect();
    assert_eq!(stages, ["arch", "test", "impl", "super"]);
    assert_eq!(of("supervisor").planned.len(), 1);
}
