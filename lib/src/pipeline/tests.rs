//! Tests of what facts do to the state: whoever reads the journal comes to the same, and strange facts do no harm.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Pipeline, Readable};
use crate::decide::tests::world::*;
use crate::event::NewTask;
use crate::fact::{EffectKey, Fact, Move, TaskEdit};
use crate::ids::RunId;
use crate::run::{ClaimStatus, StopReason};
use crate::task::{Hold, HoldReason, TaskState};

fn busy() -> World {
    let mut w = World::new();
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").after(&["A", "B"]).paths(&["src/**"]));
    w.reach("A", "impl");
    w.do_stage("A");
    w.do_stage("B");
    w
}

#[test]
fn a_state_survives_a_checkpoint_with_its_index() {
    let w = busy();
    let bytes = serde_json::to_vec(&w.p).unwrap();
    let loaded: Pipeline = serde_json::from_slice(&bytes).unwrap();
    assert!(loaded == w.p && loaded.index_picture() == w.p.index_picture());
    assert_eq!(serde_json::to_vec(&loaded).unwrap(), bytes);
}

/// A large map on which a thousand tasks started stands in memory once, be it read from a checkpoint.
#[test]
fn tasks_that_are_read_have_the_map_in_common_that_they_started_on() {
    let w = busy();
    let mut stored = serde_json::to_value(&w.p).unwrap();
    let started = |task: &&mut Value| task["pinned"].is_object();
    let one = stored["tasks"].as_array_mut().unwrap().iter_mut().find(started).unwrap().clone();
    let copy = |(name, map, order): (&str, &str, u64)| {
        let mut task = one.clone();
        (task["id"], task["pinned"]["name"], task["order"]) = (name.into(), map.into(), order.into());
        task
    };
    let more = [("P", "old", 3), ("Q", "old", 4), ("R", "new", 5), ("S", "new", 6)].map(copy);
    stored["tasks"].as_array_mut().unwrap().extend(more);
    let bytes = serde_json::to_vec(&stored).unwrap();
    let loaded: Pipeline = serde_json::from_slice(&bytes).unwrap();
    let map = |id: &str| loaded.task(id).unwrap().pinned.as_ref().unwrap();
    assert!(Arc::ptr_eq(map("A"), map("B")) && Arc::ptr_eq(map("P"), map("Q")) && Arc::ptr_eq(map("R"), map("S")));
    assert_eq!([map("A"), map("P"), map("R")].map(|map| map.name.as_str()), [map("B").name.as_str(), "old", "new"]);
    assert!(serde_json::to_value(&loaded).unwrap() == stored);
}

#[test]
fn what_could_not_be_read_is_not_readable() {
    let stored = serde_json::to_value(&busy().p).unwrap();
    let both = |stored: &Value| {
        let bytes = serde_json::to_vec(stored).unwrap();
        (serde_json::from_slice::<Readable>(&bytes).is_ok(), serde_json::from_slice::<Pipeline>(&bytes).is_ok())
    };
    assert_eq!(both(&stored), (true, true));
    for (pointer, value) in [
        ("/tasks/1/priority", Value::from("high")),
        ("/tasks/2/id", Value::from("../x")),
        ("/tasks/0/state", Value::from("lost")),
        ("/tasks", Value::Null),
        ("/core/seq", Value::Null),
    ] {
        let mut strange = stored.clone();
        *strange.pointer_mut(pointer).unwrap() = value;
        assert_eq!(both(&strange), (false, false), "{pointer}");
    }
}

#[test]
fn every_prefix_of_a_journal_leads_to_a_state_that_loads() {
    let w = busy();
    let mut p = Pipeline::default();
    for (at, fact) in &w.journal {
        p.apply(*at, fact);
        let loaded: Pipeline = serde_json::from_slice(&serde_json::to_vec(&p).unwrap()).unwrap();
        assert!(loaded == p && loaded.index_picture() == p.index_picture(), "after {fact:?}");
    }
}

#[test]
fn facts_about_what_is_not_there_leave_the_rest_alone() {
    let mut w = busy();
    let nobody = || task("NOBODY");
    let run = || RunId::new("r0").unwrap();
    let strange = [
        Fact::TaskMoved { task: nobody(), to: TaskState::Completed, with: Move::default() },
        Fact::TaskHeld { task: nobody(), hold: Hold { by: task("A"), why: HoldReason::Paths } },
        Fact::TaskDue { task: nobody() },
        Fact::TaskArchived { task: nobody() },
        Fact::RunStopping { run: run(), reason: StopReason::Person },
        Fact::RunEnded { run: run(), how: OK, ended_at: begin() },
        Fact::RunClosed { run: run(), summary: None },
        Fact::ClaimNoted { run: run(), claim: claim(ClaimStatus::Completed) },
        Fact::AgentStopped { agent: agent("nobody") },
        Fact::WorktreeReset { worktree: "nowhere".to_owned() },
        Fact::TaskHeld { task: task("C"), hold: Hold { by: nobody(), why: HoldReason::Paths } },
    ];
    for fact in strange {
        w.p.apply(w.at, &fact);
        let loaded: Pipeline = serde_json::from_slice(&serde_json::to_vec(&w.p).unwrap()).unwrap();
        assert!(loaded.index_picture() == w.p.index_picture(), "{fact:?}");
    }
    assert_eq!(w.status("A"), "impl_verifying");
    std::mem::forget(w);
}

#[test]
fn the_time_of_the_state_never_goes_back() {
    let mut p = Pipeline::default();
    p.apply(begin(), &Fact::ModePending { mode: None, unready: false });
    p.apply(Timestamp::UNIX_EPOCH, &Fact::ModePending { mode: None, unready: false });
    assert_eq!((p.core.updated_at, p.core.seq), (begin(), 2));
}

#[test]
fn deadlines_that_a_tick_has_passed_are_not_waited_for_again() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.tick();
    w.effect_failed(EffectKey::Run(w.run_of("A")), false);
    let deadline = w.p.next_deadline().unwrap();
    assert_eq!(w.p.next_deadline_after(w.at), Some(deadline));
    assert_eq!(w.p.next_deadline_after(deadline), None, "otherwise a monitor would spin until the effect succeeds");
}

#[test]
fn an_effect_is_tried_again_soon_after_a_clock_went_back() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.tick();
    w.effect_failed(EffectKey::Run(w.run_of("A")), false);
    assert_eq!(w.effects(), []);
    w.at = w.at.checked_sub(SignedDuration::from_hours(24)).unwrap();
    assert_eq!(w.effects().len(), 1);
}

#[test]
fn heights_shrink_when_what_is_behind_leaves() {
    let mut w = World::workers(1, |s| s.scheduler.keep_finished = 0);
    w.add_all(&["A"]);
    w.add(NewTask::named("B").on("solo").after(&["A"]));
    w.add(NewTask::named("C").on("solo").after(&["B"]));
    assert_eq!(w.p.height(&task("A")), 2);
    w.asked(crate::event::Request::Cancel { task: task("C"), reason: None });
    w.tick();
    assert!(w.p.task("C").is_none());
    assert_eq!(w.p.height(&task("A")), 1);
}

#[test]
fn heights_hold_where_older_tasks_wait_for_younger_ones() {
    let mut w = World::new();
    w.add_all(&["A", "B", "C"]);
    w.add(NewTask::named("D").after(&["A"]));
    for (id, behind) in [("A", "B"), ("B", "C")] {
        w.edit(id, TaskEdit { depends_on: Some(vec![task(behind)]), ..TaskEdit::default() }).unwrap();
    }
    let heights = |p: &Pipeline| ["A", "B", "C", "D"].map(|id| p.height(&task(id)));
    assert_eq!(heights(&w.p), [1, 2, 3, 0]);
    let loaded: Pipeline = serde_json::from_slice(&serde_json::to_vec(&w.p).unwrap()).unwrap();
    assert_eq!(heights(&loaded), [1, 2, 3, 0]);
}
