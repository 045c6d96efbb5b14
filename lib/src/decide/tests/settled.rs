//! What follows once work is in base: the check after the merge, taking it back, and the breaker.

use super::world::*;
use crate::event::{AdvanceOutcome, Event, MergeOutcome, Request, RevertOutcome};
use crate::fact::Effect;
use crate::ids::CommitId;
use crate::mode::Rollout;
use crate::settings::Settings;
use crate::task::{Step, TaskState};
use crate::view::attention;

fn commit(name: &str) -> CommitId {
    CommitId::from(name.to_owned())
}

/// A task whose work has just come into base, with a check that follows.
fn in_base() -> World {
    let mut stage = plain_stage("do", "worker");
    stage.merge = true;
    let mut settings = Settings { post_merge: Some("make smoke".to_owned()), ..Settings::default() };
    settings.agents = vec![worker("w1", "worker")];
    let mut w = World::with(settings, vec![workflow("solo", vec![stage], &[])]);
    w.add_all(&["A"]);
    w.tick();
    w.do_stage("A");
    w.merged("A");
    w.advanced("A", AdvanceOutcome::Moved);
    w
}

#[test]
fn a_merge_is_settled_by_the_check_that_follows_it() {
    let mut w = in_base();
    assert_eq!(w.status("A"), "do_verifying");
    let gate = w.run_of("A");
    let crate::run::Work::Gate { command, commit } = &w.p.core.runs[&gate].work else { panic!("no check runs") };
    assert_eq!((command.as_str(), Some(commit)), ("make smoke", w.task("A").merged.as_ref().unwrap().commit.as_ref()));
    w.gate("A", OK);
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_merge_whose_check_fails_is_taken_back_and_the_work_is_tried_again() {
    let mut w = in_base();
    w.gate("A", BAD);
    let merge = w.task("A").merged.as_ref().unwrap().commit.clone().unwrap();
    assert_eq!(w.effects(), [Effect::RevertBase { task: task("A"), merge: merge.clone() }]);
    // An answer about another merge says nothing.
    let late = RevertOutcome::Reverted { by: Some(commit("t0")) };
    assert!(w.see(Event::BaseReverted { task: task("A"), merge: commit("other"), outcome: late }).is_empty());
    let outcome = RevertOutcome::Reverted { by: Some(commit("t1")) };
    w.see(Event::BaseReverted { task: task("A"), merge, outcome });
    assert_eq!((w.status("A"), w.task("A").merged.as_ref()), ("do_ready".to_owned(), None));
    assert!(w.task("A").feedback.as_ref().is_some_and(|text| text.contains("make smoke") && text.contains("t1")));
    assert_eq!(w.p.core.metrics.rollbacks, 1);
    w.pass(600);
    w.tick();
    w.do_stage("A");
    w.merged("A");
    w.advanced("A", AdvanceOutcome::Moved);
    w.gate("A", OK);
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn what_cannot_be_taken_back_is_handed_to_a_person() {
    let mut w = in_base();
    w.gate("A", BAD);
    let TaskState::Verifying { step: Step::TakeBack { merge, .. }, .. } = w.task("A").state.clone() else {
        panic!("it is not taken back: {:?}", w.task("A").state)
    };
    let outcome = RevertOutcome::Conflict { files: vec!["a.rs".to_owned()] };
    w.see(Event::BaseReverted { task: task("A"), merge: merge.clone(), outcome });
    assert_eq!(w.status("A"), "blocked");
    let reason = w.task("A").reason.clone().unwrap();
    assert!(reason.contains("a.rs") && reason.contains(&format!("git revert -m 1 {merge}")), "{reason}");
    assert!(w.task("A").merged.is_some(), "base has it still");
}

#[test]
fn nothing_is_taken_back_behind_the_wall() {
    let mut w = in_base();
    w.gate("A", BAD);
    w.asked(Request::SetRollout { rollout: Rollout::Shadow, unready: true });
    assert_eq!(w.effects(), []);
    w.asked(Request::SetRollout { rollout: Rollout::Production, unready: true });
    assert!(matches!(w.effects()[..], [Effect::RevertBase { .. }]));
}

#[test]
fn work_that_base_has_already_is_not_checked_again() {
    let mut stage = plain_stage("do", "worker");
    stage.merge = true;
    let mut settings = Settings { post_merge: Some("make smoke".to_owned()), ..Settings::default() };
    settings.agents = vec![worker("w1", "worker")];
    let mut w = World::with(settings, vec![workflow("solo", vec![stage], &[])]);
    w.add_all(&["A"]);
    w.tick();
    w.do_stage("A");
    w.prepared("A", MergeOutcome::AlreadyMerged { onto: commit("base") });
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn task_after_task_that_comes_to_nothing_takes_the_rollout_back() {
    let mut w = World::workers(1, |settings| {
        settings.rollout.breaker = 2;
        settings.scheduler.retries = 0;
    });
    let fail = |w: &mut World, id: &str| {
        w.add_all(&[id]);
        w.tick();
        w.work(id, BAD, left_nothing());
        w.tick();
    };
    fail(&mut w, "A");
    assert_eq!(w.p.core.mode.rollout, Rollout::Production);
    // What a person takes out says nothing about the agents.
    w.add_all(&["P"]);
    w.asked(Request::Block { task: task("P"), reason: "later".to_owned() });
    w.tick();
    assert_eq!(w.p.core.mode.rollout, Rollout::Production);
    fail(&mut w, "B");
    assert_eq!(w.p.core.mode.rollout, Rollout::Pilot);
    let said = attention(&w.p).into_iter().find(|one| one.kind == "demoted").expect("the inbox says it");
    assert!(said.summary.contains("pilot") && said.summary.contains("A, B"), "{}", said.summary);
    w.asked(Request::SetRollout { rollout: Rollout::Production, unready: true });
    assert!(!attention(&w.p).iter().any(|one| one.kind == "demoted"), "a person has seen it");
    // One that succeeds begins the count anew.
    fail(&mut w, "C");
    w.add_all(&["D"]);
    w.tick();
    w.do_stage("D");
    fail(&mut w, "E");
    assert_eq!(w.p.core.mode.rollout, Rollout::Production);
    fail(&mut w, "F");
    assert_eq!(w.p.core.mode.rollout, Rollout::Pilot);
}
