//! What starts by itself.

use jiff::{SignedDuration, Timestamp};

use super::compose::{command, places};
use super::world::*;
use crate::event::Request;
use crate::fact::Fact;
use crate::ids::WorkflowId;
use crate::settings::{ScheduleSettings, Settings};

fn every_five_minutes(change: impl FnOnce(&mut ScheduleSettings)) -> Settings {
    let mut settings = places();
    let mut schedule = ScheduleSettings {
        name: "health".to_owned(),
        workflow: WorkflowId::new("watch").unwrap(),
        when: "every 5 minutes".to_owned(),
        params: Default::default(),
        jitter: SignedDuration::ZERO,
    };
    change(&mut schedule);
    settings.schedules.push(schedule);
    settings
}

fn world(change: impl FnOnce(&mut ScheduleSettings)) -> World {
    let mut w = World::with(every_five_minutes(change), vec![workflow("watch", vec![command("do", "true")], &[])]);
    w.pass(60);
    w
}

fn time(text: &str) -> Timestamp {
    format!("2026-07-24T{text}:00Z").parse().unwrap()
}

fn next(w: &World) -> Option<Timestamp> {
    w.p.core.schedules["health"].next
}

#[test]
fn a_schedule_starts_at_its_next_time_and_not_before() {
    let mut w = world(|_| {});
    w.tick();
    assert_eq!((w.p.tasks.len(), next(&w)), (0, Some(time("10:05"))), "what is new does not start at once");
    assert_eq!(w.p.next_deadline_after(w.at), Some(time("10:05")), "somebody will be there then");
    assert_eq!(w.p.next_deadline(), None, "and nobody waits for that");
    w.at = time("10:04");
    assert_eq!(w.tick(), []);
    w.at = time("10:05");
    w.tick();
    let task = w.task("TASK-001");
    assert_eq!((task.title.as_str(), task.workflow.as_str()), ("health (scheduled 10:05)", "watch"));
    assert_eq!(w.status("TASK-001"), "do_wip");
    assert_eq!((next(&w), w.p.core.schedules["health"].last), (Some(time("10:10")), Some(time("10:05"))));
}

#[test]
fn times_that_nobody_was_there_for_are_caught_up_once() {
    let mut w = world(|_| {});
    w.tick();
    w.at = time("11:33");
    w.tick();
    assert_eq!(w.p.tasks.len(), 1);
    assert_eq!(next(&w), Some(time("11:35")));
}

#[test]
fn nothing_piles_up_behind_a_task_that_is_not_finished() {
    let mut w = world(|_| {});
    w.tick();
    w.at = time("10:05");
    w.tick();
    w.at = time("10:10");
    let facts = w.tick();
    let why = facts.iter().find_map(|fact| match fact {
        Fact::ScheduleFired { task: None, why, .. } => why.clone(),
        _ => None,
    });
    assert_eq!(why.as_deref(), Some("TASK-001 of the time before is not finished"));
    assert_eq!((w.p.tasks.len(), w.p.core.schedules["health"].skipped), (1, 1));
    w.work("TASK-001", OK, left_nothing());
    w.at = time("10:15");
    w.tick();
    assert_eq!(w.status("TASK-002"), "do_wip");
    assert_eq!(w.p.core.schedules["health"].problem, None);
}

#[test]
fn what_is_left_out_is_said_once_and_counted_when_the_task_ends() {
    let mut w = world(|_| {});
    w.tick();
    for now in ["10:05", "10:10"] {
        w.at = time(now);
        w.tick();
    }
    for now in ["10:15", "10:20", "10:25"] {
        w.at = time(now);
        assert_eq!(w.tick(), [], "it was said");
        assert_eq!(w.p.next_deadline_after(w.at), None, "nobody is woken for nothing");
    }
    w.at = time("10:27");
    w.work("TASK-001", OK, left_nothing());
    w.tick();
    let known = &w.p.core.schedules["health"];
    assert_eq!((w.p.tasks.len(), known.next, known.skipped), (1, Some(time("10:30")), 4), "not at once");
    w.at = time("10:30");
    w.tick();
    assert_eq!(w.status("TASK-002"), "do_wip");
}

#[test]
fn a_task_that_is_blocked_does_not_stop_its_schedule_and_leaves_its_place() {
    let mut watch = workflow("watch", vec![command("do", "true")], &[]);
    watch.stages[0].retries = Some(0);
    let mut w = World::with(every_five_minutes(|_| {}), vec![watch]);
    w.pass(60);
    w.tick();
    w.at = time("10:05");
    w.tick();
    w.work("TASK-001", BAD, left_nothing());
    assert_eq!(w.status("TASK-001"), "blocked");
    w.at = time("10:10");
    w.tick();
    assert_eq!((w.status("TASK-001"), w.status("TASK-002")), ("cancelled".to_owned(), "do_wip".to_owned()));
    assert!(w.reason("TASK-001").contains("while it was blocked"), "{}", w.reason("TASK-001"));
    w.asked(Request::Block { task: task("TASK-002"), reason: "I look at it".to_owned() });
    w.at = time("10:15");
    w.tick();
    assert_eq!((w.status("TASK-002"), w.p.tasks.len()), ("blocked".to_owned(), 3), "what a person put aside stays");
}

#[test]
fn jitter_is_the_same_every_time_and_stays_in_its_bounds() {
    let mut w = world(|schedule| schedule.jitter = SignedDuration::from_secs(90));
    w.tick();
    let first = next(&w).unwrap();
    let late = first.duration_since(time("10:05"));
    assert!((SignedDuration::ZERO..=SignedDuration::from_secs(90)).contains(&late), "{late}");
    w.at = first;
    w.tick();
    assert_eq!(next(&w).unwrap().duration_since(time("10:10")), late);
}

#[test]
fn a_schedule_that_changes_or_goes_is_followed() {
    let mut w = world(|_| {});
    w.tick();
    w.reconfigure(|settings| settings.schedules[0].when = "hourly".to_owned());
    w.tick();
    assert_eq!(next(&w), Some(time("11:00")));
    w.reconfigure(|settings| settings.schedules.clear());
    w.tick();
    assert!(w.p.core.schedules.is_empty());
    w.at = time("12:00");
    assert_eq!(w.tick(), []);
}

#[test]
fn a_time_found_by_a_clock_that_ran_ahead_is_found_again() {
    let mut w = world(|_| {});
    let now = w.at;
    w.at = "2036-01-01T00:00:00Z".parse().unwrap();
    w.tick();
    w.at = now;
    w.tick();
    assert_eq!(next(&w), Some(time("10:05")));
}

#[test]
fn a_schedule_whose_task_cannot_be_added_says_so() {
    let mut w = world(|schedule| drop(schedule.params.insert("depth".to_owned(), 3.into())));
    w.tick();
    w.at = time("10:05");
    w.tick();
    let known = &w.p.core.schedules["health"];
    assert!(known.problem.as_ref().unwrap().contains("there is no parameter `depth`"), "{known:?}");
    assert_eq!((w.p.tasks.len(), known.next), (0, Some(time("10:10"))));
    for now in ["10:10", "10:15"] {
        w.at = time(now);
        assert_eq!(w.tick(), [], "it was said");
    }
    w.reconfigure(|settings| settings.schedules[0].params.clear());
    w.tick();
    assert_eq!(w.p.tasks.len(), 1, "once it can be added it is");
    w.asked(Request::AddTasks(Vec::new()));
}
