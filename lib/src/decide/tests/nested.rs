//! Workflows within workflows: what becomes of the outer one where the inner one fails, and what the two share.

use std::collections::BTreeMap;

use super::compose::{command, places};
use super::world::*;
use crate::event::{NewTask, Request};
use crate::ids::WorkflowId;
use crate::mode::Rollout;
use crate::run::Work;
use crate::task::{Task, TaskState};
use crate::view::attention;
use crate::workflow::{Doing, Stage};

fn once(id: &str) -> Stage {
    Stage { retries: Some(0), ..command(id, "false") }
}

fn sub(id: &str, workflow: &str) -> Stage {
    let doing = Doing::Workflow { workflow: WorkflowId::new(workflow).unwrap(), params: BTreeMap::default() };
    Stage { doing, ..plain_stage(id, "worker") }
}

/// `outer` begins with `inner`, whose only stage is given up at once, goes on as these connections say, and has this done
/// where it fails.
fn world(connections: &[(&str, Option<&str>, Option<&str>)], on_failure: Option<&str>) -> World {
    let inner = workflow("inner", vec![once("x")], &[]);
    let mut outer =
        workflow("outer", vec![sub("p", "inner"), command("ok", "true"), command("mend", "true")], connections);
    outer.on_failure = on_failure.map(|id| WorkflowId::new(id).unwrap());
    let back = workflow("back", vec![command("undo", "true")], &[]);
    let mut w = World::with(places(), vec![inner, outer, back]);
    w.add(NewTask::named("A").on("outer"));
    w.tick();
    w
}

const ON: [(&str, Option<&str>, Option<&str>); 2] = [("p", Some("ok"), Some("success")), ("ok", None, None)];
const BOTH: [(&str, Option<&str>, Option<&str>); 4] =
    [("p", Some("ok"), Some("success")), ("p", Some("mend"), Some("failed")), ("ok", None, None), ("mend", None, None)];

fn retry(w: &mut World, id: &str) {
    w.asked(Request::Retry { task: task(id), message: None });
    w.tick();
}

fn reason(task: &Task) -> &str {
    task.reason.as_deref().unwrap_or_default()
}

#[test]
fn a_workflow_that_is_given_up_leads_its_stage_to_where_failure_is_handled() {
    let mut w = world(&BOTH, None);
    w.work("A.p", BAD, left_nothing());
    w.tick();
    assert_eq!((w.status("A").as_str(), w.status("A.p").as_str()), ("mend_wip", "failed"));
    assert!(reason(w.task("A.p")).contains("A went on without it"), "{}", reason(w.task("A.p")));
    assert!(attention(&w.p).is_empty(), "nobody has to look at what was handled");
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_workflow_that_is_given_up_starts_what_is_done_about_a_failure_around_it() {
    for deep in [false, true] {
        let mut w = world(&ON, Some("back"));
        let part = if deep {
            let around = workflow("around", vec![sub("q", "outer")], &[]);
            let mut top = workflow("top", vec![sub("t", "around")], &[]);
            top.on_failure = Some(WorkflowId::new("back").unwrap());
            let outer = workflow("outer", vec![sub("p", "inner")], &[]);
            let all = vec![around, top, outer, workflow("inner", vec![once("x")], &[])];
            let back = workflow("back", vec![command("undo", "true")], &[]);
            w = World::with(places(), all.into_iter().chain([back]).collect());
            w.add(NewTask::named("A").on("top"));
            w.tick();
            "A.t.q.p"
        } else {
            "A.p"
        };
        w.work(part, BAD, left_nothing());
        w.tick();
        assert_eq!((w.status("A").as_str(), w.status(part).as_str()), ("blocked", "blocked"), "{deep}");
        assert_eq!(w.status("A.on-failure"), "undo_wip", "{deep}");
        let waits: Vec<_> = attention(&w.p).into_iter().map(|one| one.command).collect();
        assert_eq!(waits, [format!("pipeline task retry {part}")], "one thing is to be done");
        // Whichever of them a person lets go on, the others do too.
        for (again, mends) in [("A", "A.on-failure"), (part, "A.on-failure-2")] {
            w.work(mends, OK, left_nothing());
            retry(&mut w, again);
            assert!(matches!(w.task("A").state, TaskState::Waiting { .. }), "{deep}: {again}");
            w.work(part, BAD, left_nothing());
            w.tick();
            assert_eq!(w.status("A"), "blocked", "{deep}: {again}");
        }
        retry(&mut w, part);
        w.work(part, OK, left_nothing());
        w.tick();
        if !deep {
            assert_eq!(w.status("A"), "ok_wip");
            w.work("A", OK, left_nothing());
        }
        assert_eq!(w.status("A"), "completed", "{deep}");
    }
}

#[test]
fn where_nothing_is_said_about_failure_the_inner_one_waits_for_a_person_who_may_name_either() {
    for again in ["A", "A.p"] {
        let mut w = world(&ON, None);
        w.work("A.p", BAD, left_nothing());
        w.tick();
        assert_eq!((w.status("A").as_str(), w.status("A.p").as_str()), ("p_wip", "blocked"));
        retry(&mut w, again);
        assert_eq!(w.status("A.p"), "x_wip", "{again}");
        w.work("A.p", OK, left_nothing());
        w.tick();
        assert_eq!(w.status("A"), "ok_wip");
        assert!(w.ask(Request::Retry { task: task("A"), message: None }).is_err(), "it is under way");
    }
}

#[test]
fn a_stage_that_is_tried_again_leaves_behind_what_was_given_up() {
    let inner = workflow("inner", vec![once("x")], &[]);
    let mut again = sub("p", "inner");
    again.retries = Some(1);
    let mut outer = workflow("outer", vec![again], &[]);
    outer.on_failure = Some(WorkflowId::new("back").unwrap());
    let back = workflow("back", vec![command("undo", "true")], &[]);
    let mut w = World::with(places(), vec![inner, outer, back]);
    w.add(NewTask::named("A").on("outer"));
    w.tick();
    w.work("A.p", BAD, left_nothing());
    w.pass(600);
    w.tick();
    assert_eq!((w.status("A.p").as_str(), w.status("A.p-2").as_str()), ("failed", "x_wip"));
    w.work("A.p-2", OK, left_nothing());
    w.tick();
    assert_eq!(w.status("A"), "completed");
}

/// Production, where two tasks in a row that come to nothing take the rollout a step back.
fn breaking_at_two(workflows: Vec<crate::workflow::Workflow>) -> World {
    let mut settings = places();
    settings.rollout.breaker = 2;
    World::with(settings, workflows)
}

#[test]
fn whatever_fails_of_a_task_counts_once_for_the_rollout() {
    let mut each = once("m");
    each.matrix = BTreeMap::from([("n".to_owned(), vec![1.into(), 2.into(), 3.into()])]);
    let mut flow = workflow("flow", vec![each], &[]);
    flow.on_failure = Some(WorkflowId::new("back").unwrap());
    let back = workflow("back", vec![once("undo")], &[]);
    let nested = workflow("nested", vec![sub("p", "inner")], &[]);
    let inner = workflow("inner", vec![once("x")], &[]);
    let mut w = breaking_at_two(vec![flow, back, nested, inner]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    for part in ["A.m.1", "A.m.2", "A.m.3", "A.on-failure"] {
        w.work(part, BAD, left_nothing());
        w.tick();
    }
    assert_eq!((w.status("A").as_str(), w.p.core.mode.rollout), ("blocked", Rollout::Production));
    // Also one that only waits, since nothing is said about the failure of its part.
    w.add(NewTask::named("B").on("nested"));
    w.tick();
    w.work("B.p", BAD, left_nothing());
    w.tick();
    assert_eq!((w.status("B").as_str(), w.p.core.mode.rollout), ("p_wip", Rollout::Pilot));
    let said = attention(&w.p).into_iter().find(|one| one.kind == "demoted").expect("the inbox says it");
    assert!(said.summary.contains("A, B"), "{}", said.summary);
}

#[test]
fn a_part_that_is_done_says_nothing_of_its_task_to_the_rollout() {
    let stages = vec![sub("p", "good"), once("x")];
    let flow = workflow("flow", stages, &[("p", Some("x"), Some("success"))]);
    let good = workflow("good", vec![command("do", "true")], &[]);
    let mut w = breaking_at_two(vec![flow, good]);
    for id in ["A", "B"] {
        assert_eq!(w.p.core.mode.rollout, Rollout::Production, "{id}");
        w.add(NewTask::named(id).on("flow"));
        w.tick();
        w.work(&format!("{id}.p"), OK, left_nothing());
        w.tick();
        w.work(id, BAD, left_nothing());
        w.tick();
    }
    assert_eq!(w.p.core.mode.rollout, Rollout::Pilot);
}

#[test]
fn what_is_done_about_a_failure_is_done_although_that_took_the_rollout_back() {
    let mut flow = workflow("flow", vec![once("x")], &[]);
    flow.on_failure = Some(WorkflowId::new("back").unwrap());
    let back = workflow("back", vec![sub("undo", "good")], &[]);
    let good = workflow("good", vec![command("do", "true")], &[]);
    let mut w = breaking_at_two(vec![flow, back, good]);
    w.add(NewTask::named("A").on("flow"));
    w.add(NewTask::named("B").on("flow"));
    w.tick();
    w.work("A", BAD, left_nothing());
    w.work("B", BAD, left_nothing());
    w.tick();
    assert_eq!(w.p.core.mode.rollout, Rollout::Pilot);
    w.add(NewTask::named("C").on("flow"));
    w.tick();
    for id in ["A", "B"] {
        w.work(&format!("{id}.on-failure.undo"), OK, left_nothing());
        w.tick();
        assert_eq!(w.status(&format!("{id}.on-failure")), "completed");
    }
    assert_eq!(w.status("C"), "unassigned", "anything new waits for a person");
}

#[test]
fn a_task_goes_on_with_the_workflows_that_there_were_when_it_began() {
    let inner =
        |text: &str| workflow("inner", vec![sub("deep", "deeper"), command("x", text)], &[("deep", Some("x"), None)]);
    let deeper = |text: &str| workflow("deeper", vec![command("y", text)], &[]);
    let back = |text: &str| workflow("back", vec![command("undo", text)], &[]);
    let outer = || {
        let stages = vec![command("w", "true"), sub("s", "inner"), once("f")];
        let mut outer = workflow("outer", stages, &[("w", Some("s"), None), ("s", Some("f"), None)]);
        outer.on_failure = Some(WorkflowId::new("back").unwrap());
        outer
    };
    for gone in [false, true] {
        let mut w = World::with(places(), vec![outer(), inner("old"), deeper("old"), back("old")]);
        w.add(NewTask::named("A").on("outer"));
        w.tick();
        // More than once: what counts is what there was at first.
        for text in ["new", "newer"] {
            let others = if gone { vec![] } else { vec![inner(text), deeper(text), back(text)] };
            w.configure(places(), others.into_iter().chain([outer()]).collect());
        }
        w.add(NewTask::named("B").on(if gone { "outer" } else { "inner" }));
        w.work("A", OK, left_nothing());
        w.tick();
        let mut said = Vec::new();
        for (id, how) in [("A.s.deep", OK), ("A.s", OK), ("A", BAD), ("A.on-failure", OK)] {
            let run = w.run_of(id);
            if let Work::Command { command } = &w.run(&run).work {
                said.push(command.clone());
            }
            w.work(id, how, left_nothing());
            w.tick();
        }
        assert_eq!(said, ["old", "old", "false", "old"], "{gone}");
        if !gone {
            assert_eq!(w.task("B.deep").pinned.as_deref(), Some(&deeper("newer")));
        }
    }
}
