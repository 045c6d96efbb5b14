//! How long a task may go on, and what of its time does not count.

use super::compose::{command, places};
use super::world::*;
use crate::event::{Collected, Event, MergeOutcome, NewTask, Request};
use crate::ids::CommitId;
use crate::workflow::Stage;
use crate::workflow::execute_block::Execute;

/// Two stages within a minute, a person's word between them.
fn asked(second: Stage) -> World {
    let mut first = command("a", "true");
    first.approval = true;
    let mut flow = workflow("flow", vec![first, second], &[("a", Some("b"), None), ("b", None, None)]);
    flow.timeout = Some(jiff::SignedDuration::from_secs(60));
    let mut w = World::with(places(), vec![flow]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.pass(40);
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "awaiting_approval");
    w
}

fn approve(w: &mut World, id: &str) {
    w.asked(Request::Approve { task: task(id), decision: None, by: None });
    w.tick();
}

#[test]
fn a_night_before_a_person_answers_uses_up_no_time() {
    let mut w = asked(command("b", "true"));
    w.pass(30_000);
    approve(&mut w, "A");
    assert_eq!(w.status("A"), "b_wip");
    let run = w.run_of("A");
    assert_eq!(w.run(&run).timeout.as_secs(), 20, "what was left before");
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn who_lets_a_task_go_on_gives_it_all_of_its_time() {
    let mut w = asked(Stage { retries: Some(5), ..command("b", "false") });
    approve(&mut w, "A");
    w.pass(20);
    w.work("A", BAD, left_nothing());
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("longer than the 1m"), "{}", w.reason("A"));
    w.pass(10_000);
    w.asked(Request::Retry { task: task("A"), message: None });
    w.tick();
    assert_eq!(w.status("A"), "b_wip");
    assert_eq!(w.run(&w.run_of("A")).timeout.as_secs(), 60);
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_task_waits_with_its_parts_and_once_where_two_of_them_do() {
    let mut part = command("x", "true");
    part.approval = true;
    let inner = workflow("inner", vec![part], &[]);
    let mut outer = workflow(
        "outer",
        vec![
            Stage { matrix: [("n".to_owned(), vec![1.into(), 2.into()])].into(), ..inner_stage() },
            command("last", "true"),
        ],
        &[("p", Some("last"), None), ("last", None, None)],
    );
    outer.timeout = Some(jiff::SignedDuration::from_secs(100));
    let mut w = World::with(places(), vec![inner, outer]);
    w.add(NewTask::named("A").on("outer"));
    w.tick();
    w.pass(10);
    w.work("A.p.1", OK, left_nothing());
    w.work("A.p.2", OK, left_nothing());
    w.pass(1_000);
    approve(&mut w, "A.p.1");
    w.pass(500);
    approve(&mut w, "A.p.2");
    let commit = CommitId::from("c9".to_owned());
    let outcome = MergeOutcome::Commit { commit: commit.clone(), onto: commit };
    w.see(Event::PartsJoined { task: task("A"), outcome });
    w.tick();
    assert_eq!(w.status("A"), "last_wip");
    assert_eq!(w.run(&w.run_of("A")).timeout.as_secs(), 90);
}

fn inner_stage() -> Stage {
    let workflow = crate::ids::WorkflowId::new("inner").unwrap();
    Stage {
        doing: crate::workflow::Doing::Workflow { workflow, params: Default::default() },
        ..plain_stage("p", "worker")
    }
}

#[test]
fn what_a_task_only_proposed_waits_for_a_person_on_its_own() {
    let first = plain_stage("a", "worker");
    let second = Stage { retries: Some(5), ..command("b", "false") };
    let mut flow = workflow("flow", vec![first, second], &[("a", Some("b"), None), ("b", None, None)]);
    flow.timeout = Some(jiff::SignedDuration::from_secs(60));
    let mut w = World::with(places(), vec![flow, solo()]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let asked = Execute { workflow: "solo".to_owned(), prompt: String::new(), directory: None };
    w.work("A", OK, Collected { proposal: Some(Ok(asked)), ..left_nothing() });
    assert_eq!((w.status("A").as_str(), w.status("A.proposal").as_str()), ("b_wip", "awaiting_approval"));
    w.pass(61);
    approve(&mut w, "A.proposal");
    w.work("A", BAD, left_nothing());
    assert_eq!(w.status("A"), "blocked", "its own time went on");
}
