//! Chains whose parts cannot go on.

use std::sync::Arc;

use super::compose::{command, places};
use super::world::*;
use crate::event::{NewTask, Request};
use crate::fact::Fact;
use crate::ids::WorkflowId;
use crate::registry::{Chain, Link};
use crate::view::attention;
use crate::workflow::{Doing, Workflow};

fn part(id: &str) -> Workflow {
    let mut workflow = workflow(id, vec![command("do", "true")], &[]);
    workflow.stages[0].retries = Some(1);
    workflow
}

/// A chain of these workflows, which it knows.
fn chain(id: &str, links: &[&str], stop: bool, on_failure: Option<&str>, known: &[Workflow]) -> Workflow {
    let name = |id: &str| WorkflowId::new(id).unwrap();
    let chain = Chain {
        id: name(id),
        at: String::new(),
        description: String::new(),
        category: String::new(),
        triggers: Vec::new(),
        links: links.iter().map(|id| Link { workflow: name(id), params: Default::default() }).collect(),
        stop_on_failure: stop,
        on_failure: on_failure.map(name),
    };
    chain.workflow(|id| known.iter().find(|known| known.id == *id).cloned().map(Arc::new)).unwrap()
}

fn world(stop: bool) -> World {
    let mut all = vec![part("good"), part("bad"), part("back")];
    all.push(chain("chain", &["good", "bad", "good"], stop, Some("back"), &all));
    World::with(places(), all)
}

fn statuses(w: &World, ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| w.status(id)).collect()
}

/// As far as the part that is blocked after its retries.
fn blocked(stop: bool) -> World {
    let mut w = world(stop);
    w.add(NewTask::named("C").on("chain"));
    w.tick();
    w.work("C.good", OK, left_nothing());
    w.work("C.bad", BAD, left_nothing());
    assert_eq!(w.status("C"), "bad_wip", "it is tried again first");
    w.pass(600);
    w.tick();
    w.work("C.bad", BAD, left_nothing());
    w
}

fn retry(w: &mut World, id: &str) -> Vec<Fact> {
    let facts = w.asked(Request::Retry { task: task(id), message: None });
    w.tick();
    facts
}

#[test]
fn a_chain_fails_at_a_part_that_is_blocked_and_starts_what_mends_it() {
    let w = blocked(true);
    assert_eq!(statuses(&w, &["C", "C.bad", "C.on-failure"]), ["failed", "blocked", "do_wip"]);
    let reason = w.reason("C");
    assert!(reason.contains("C.bad is blocked: ") && reason.contains("`pipeline task retry C.bad`"), "{reason}");
    let waits: Vec<_> = attention(&w.p).into_iter().map(|one| one.command).collect();
    assert_eq!(waits, ["pipeline task retry C.bad"]);
}

#[test]
fn what_a_part_has_started_against_its_failure_its_chain_does_not_start_again() {
    let mut bad = part("bad");
    bad.on_failure = Some(WorkflowId::new("back").unwrap());
    let mut all = vec![part("good"), bad, part("back")];
    all.push(chain("chain", &["good", "bad"], true, Some("back"), &all));
    let mut w = World::with(places(), all);
    w.add(NewTask::named("C").on("chain"));
    w.tick();
    w.work("C.good", OK, left_nothing());
    for _ in 0..2 {
        w.work("C.bad", BAD, left_nothing());
        w.pass(600);
        w.tick();
    }
    assert_eq!(statuses(&w, &["C", "C.bad.on-failure"]), ["failed", "do_wip"]);
    assert!(w.p.task("C.on-failure").is_none());
}

#[test]
fn a_part_that_is_tried_again_takes_its_chain_along() {
    for again in ["C.bad", "C"] {
        let mut w = blocked(true);
        w.work("C.on-failure", OK, left_nothing());
        retry(&mut w, again);
        assert_eq!(statuses(&w, &["C", "C.bad"]), ["bad_wip", "do_wip"], "{again}");
        w.work("C.bad", OK, left_nothing());
        w.work("C.good-2", OK, left_nothing());
        assert_eq!(statuses(&w, &["C", "C.bad"]), ["completed", "completed"], "{again}");
    }
}

#[test]
fn a_chain_that_goes_on_leaves_the_part_behind() {
    let mut w = blocked(false);
    assert_eq!(statuses(&w, &["C", "C.bad", "C.good-2"]), ["good-2_wip", "failed", "do_wip"]);
    assert!(w.reason("C.bad").starts_with("C went on without it: "), "{}", w.reason("C.bad"));
    let refused = w.ask(Request::Retry { task: task("C.bad"), message: None }).unwrap_err().to_string();
    assert!(refused.contains("C.bad"), "{refused}");
    w.work("C.good-2", OK, left_nothing());
    assert_eq!(w.status("C"), "completed");
}

#[test]
fn what_a_person_puts_aside_is_waited_for() {
    let mut w = world(true);
    w.add(NewTask::named("C").on("chain"));
    w.tick();
    w.work("C.good", OK, left_nothing());
    w.asked(Request::Block { task: task("C.bad"), reason: "not today".to_owned() });
    w.tick();
    assert_eq!(statuses(&w, &["C", "C.bad"]), ["bad_wip", "blocked"]);
    w.asked(Request::Unblock { task: task("C.bad") });
    w.tick();
    assert_eq!(statuses(&w, &["C", "C.bad"]), ["bad_wip", "do_ready"]);
}

#[test]
fn a_workflow_that_is_no_chain_waits_for_its_parts_as_ever() {
    let mut outer = command("outer", "true");
    outer.doing = Doing::Workflow { workflow: WorkflowId::new("bad").unwrap(), params: Default::default() };
    let mut w = World::with(places(), vec![part("bad"), workflow("whole", vec![outer], &[])]);
    w.add(NewTask::named("A").on("whole"));
    w.tick();
    for _ in 0..2 {
        w.work("A.outer", BAD, left_nothing());
        w.pass(600);
        w.tick();
    }
    assert_eq!(statuses(&w, &["A", "A.outer"]), ["outer_wip", "blocked"]);
}

#[test]
fn a_chain_in_a_chain_goes_on_with_the_part_of_its_part() {
    let mut all = vec![part("good"), part("bad")];
    all.push(chain("inner", &["good", "bad"], true, None, &all));
    all.push(chain("outer", &["inner", "good"], true, None, &all));
    let mut w = World::with(places(), all);
    w.add(NewTask::named("C").on("outer"));
    w.tick();
    w.work("C.inner.good", OK, left_nothing());
    for _ in 0..2 {
        w.work("C.inner.bad", BAD, left_nothing());
        w.pass(600);
        w.tick();
    }
    assert_eq!(statuses(&w, &["C", "C.inner", "C.inner.bad"]), ["failed", "failed", "blocked"]);
    retry(&mut w, "C.inner.bad");
    assert_eq!(statuses(&w, &["C", "C.inner", "C.inner.bad"]), ["inner_wip", "bad_wip", "do_wip"]);
}

#[test]
fn what_a_blocked_part_holds_up_is_its_chain_and_what_waits_behind_that() {
    let unblocks = |w: &World, of: &str| {
        let item = attention(&w.p).into_iter().find(|one| one.kind == "blocked" && one.task == Some(task(of)));
        item.unwrap_or_else(|| panic!("{of} is {}", w.status(of))).unblocks
    };
    let mut w = world(true);
    w.add(NewTask::named("C").on("chain"));
    w.add(NewTask::named("X").on("good"));
    w.add(NewTask::named("Y").on("good").after(&["X"]));
    w.add(NewTask::named("D").on("good").after(&["C"]));
    w.tick();
    w.work("C.good", OK, left_nothing());
    for id in ["X", "C.bad"] {
        w.asked(Request::Block { task: task(id), reason: "not today".to_owned() });
    }
    w.tick();
    assert_eq!(w.status("C"), "bad_wip", "it waits for what was put aside");
    assert_eq!((unblocks(&w, "C.bad"), unblocks(&w, "X")), (vec![task("C"), task("D")], vec![task("Y")]));
    let first = attention(&w.p).into_iter().next().and_then(|one| one.task);
    assert_eq!(first, Some(task("C.bad")), "it holds up more, though for less long");

    let mut w = blocked(true);
    w.add(NewTask::named("D").on("good").after(&["C"]));
    assert_eq!((w.status("C").as_str(), unblocks(&w, "C.bad")), ("failed", vec![task("C"), task("D")]));
    let failed: Vec<_> = attention(&w.p).into_iter().filter(|one| one.kind == "dependency_failed").collect();
    assert_eq!(failed.iter().map(|one| one.unblocks.clone()).collect::<Vec<_>>(), [[task("D")]]);
    w.asked(Request::Cancel { task: task("C.bad"), reason: None });
    assert!(
        attention(&w.p).iter().all(|one| !one.unblocks.contains(&task("C"))),
        "a retry of the chain is what helps now"
    );
}
