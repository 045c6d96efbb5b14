//! How many tasks of a category run at once.

use super::compose::{command, places};
use super::world::*;
use crate::event::{NewTask, Request};
use crate::ids::WorkflowId;
use crate::mode::{Orchestration, Rollout};
use crate::settings::{Category, Settings};
use crate::view::waiting_reason;
use crate::workflow::{Doing, Workflow};

fn of(category: &str, id: &str) -> Workflow {
    Workflow { category: category.to_owned(), ..workflow(id, vec![command("do", "true")], &[]) }
}

fn limited(limits: &[(&str, Option<u32>, bool)]) -> Settings {
    let mut settings = places();
    for number in 3..=9 {
        let mut place = settings.agents[1].clone();
        place.name = agent(&format!("command-{number}"));
        settings.agents.push(place);
    }
    let limit = |(name, max, exclusive): &(&str, Option<u32>, bool)| {
        ((*name).to_owned(), Category { max: *max, exclusive: *exclusive })
    };
    settings.categories = limits.iter().map(limit).collect();
    settings
}

fn world(limits: &[(&str, Option<u32>, bool)]) -> World {
    let workflows = [
        ("development", "fix"),
        ("testing", "check"),
        ("deployment", "deploy"),
        ("monitoring", "watch"),
        ("", "plain"),
    ];
    World::with(limited(limits), workflows.map(|(category, id)| of(category, id)).into())
}

fn add(w: &mut World, tasks: &[(&str, &str)]) {
    for (id, on) in tasks {
        w.add(NewTask::named(id).on(on));
    }
    w.tick();
}

fn statuses(w: &World, ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| w.status(id)).collect()
}

const ALL: [(&str, Option<u32>, bool); 4] = [
    ("monitoring", None, false),
    ("development", Some(1), false),
    ("testing", Some(3), false),
    ("deployment", Some(1), true),
];

#[test]
fn a_task_waits_while_its_category_is_full_and_goes_on_when_a_place_is_free() {
    let mut w = world(&ALL);
    add(&mut w, &[("A", "fix"), ("B", "fix"), ("C", "fix"), ("D", "watch"), ("E", "watch"), ("F", "plain")]);
    assert_eq!(statuses(&w, &["A", "B", "C"]), ["do_wip", "unassigned", "unassigned"]);
    assert_eq!(statuses(&w, &["D", "E", "F"]), ["do_wip", "do_wip", "do_wip"], "no limit, no wait");
    let why = waiting_reason(&w.p, w.task("B"));
    assert_eq!(why.as_deref(), Some("waits for A: one task of category development runs at a time"));
    w.work("A", OK, left_nothing());
    assert_eq!(statuses(&w, &["A", "B", "C"]), ["completed", "do_wip", "unassigned"]);
}

#[test]
fn three_run_where_three_may() {
    let mut w = world(&ALL);
    add(&mut w, &[("A", "check"), ("B", "check"), ("C", "check"), ("D", "check")]);
    assert_eq!(statuses(&w, &["A", "B", "C", "D"]), ["do_wip", "do_wip", "do_wip", "unassigned"]);
    w.work("B", OK, left_nothing());
    assert_eq!(w.status("D"), "do_wip", "whichever of them ends");
}

#[test]
fn what_is_exclusive_runs_alone_but_for_what_has_no_limit() {
    let mut w = world(&ALL);
    add(&mut w, &[("T", "check"), ("D", "deploy"), ("M", "watch")]);
    assert_eq!(statuses(&w, &["T", "D", "M"]), ["do_wip", "unassigned", "do_wip"]);
    assert_eq!(waiting_reason(&w.p, w.task("D")).as_deref(), Some("waits for T: category deployment runs alone"));
    w.work("T", OK, left_nothing());
    add(&mut w, &[("U", "check"), ("P", "plain")]);
    assert_eq!(statuses(&w, &["D", "U", "P"]), ["do_wip", "unassigned", "do_wip"]);
    w.work("D", OK, left_nothing());
    assert_eq!(w.status("U"), "do_wip");
}

#[test]
fn what_runs_alone_is_not_kept_waiting_by_what_comes_behind_it() {
    let mut w = world(&ALL);
    add(&mut w, &[("T", "check"), ("D", "deploy"), ("U", "check"), ("M", "watch"), ("P", "plain")]);
    assert_eq!(statuses(&w, &["T", "D", "U"]), ["do_wip", "unassigned", "unassigned"]);
    assert_eq!(statuses(&w, &["M", "P"]), ["do_wip", "do_wip"], "what has no limit is in nobody's way");
    assert_eq!(waiting_reason(&w.p, w.task("U")).as_deref(), Some("waits for D: category deployment runs alone"));
    w.add(NewTask { priority: 1, ..NewTask::named("H").on("check") });
    w.tick();
    assert_eq!(w.status("H"), "do_wip", "what is more urgent comes before it");
    for id in ["T", "H"] {
        w.work(id, OK, left_nothing());
    }
    assert_eq!(statuses(&w, &["D", "U"]), ["do_wip", "unassigned"]);
    w.work("D", OK, left_nothing());
    assert_eq!(w.status("U"), "do_wip");
}

#[test]
fn nobody_waits_for_what_nobody_does() {
    let mut agents = of("deployment", "deploy");
    agents.stages[0].doing = Doing::Agent;
    agents.stages[0].role = crate::ids::Role::new("nobody").unwrap();
    let mut w = World::with(limited(&ALL), vec![agents, of("testing", "check")]);
    add(&mut w, &[("T", "check"), ("D", "deploy"), ("U", "check")]);
    assert_eq!(statuses(&w, &["T", "D", "U"]), ["do_wip", "unassigned", "do_wip"]);
}

#[test]
fn a_part_runs_in_the_place_of_what_it_is_a_part_of() {
    let mut outer = command("outer", "true");
    outer.doing = Doing::Workflow { workflow: WorkflowId::new("fix").unwrap(), params: Default::default() };
    outer.retries = Some(0);
    let mut whole = Workflow { category: "development".to_owned(), ..workflow("whole", vec![outer], &[]) };
    whole.on_failure = Some(WorkflowId::new("mend").unwrap());
    let mut inner = of("development", "fix");
    inner.stages[0].retries = Some(0);
    inner.connections =
        workflow("x", inner.stages.clone(), &[("do", None, None), ("do", None, Some("failed"))]).connections;
    let workflows = vec![whole, inner, of("development", "mend")];
    let mut w = World::with(limited(&[("development", Some(1), false)]), workflows);
    add(&mut w, &[("A", "whole"), ("B", "fix")]);
    assert_eq!(statuses(&w, &["A", "A.outer", "B"]), ["outer_wip", "do_wip", "unassigned"]);
    w.work("A.outer", BAD, left_nothing());
    assert_eq!(w.status("A"), "blocked");
    assert_eq!(w.status("A.on-failure"), "do_wip", "what mends a failure does not wait for it");
    assert_eq!(w.status("B"), "unassigned", "the failed one is still in flight");
}

#[test]
fn sequential_mode_and_missing_limits_hold_nobody_back() {
    let mut w = world(&[]);
    add(&mut w, &[("A", "fix"), ("B", "fix")]);
    assert_eq!(statuses(&w, &["A", "B"]), ["do_wip", "do_wip"]);
    let mut w = world(&ALL);
    w.mode(Orchestration::Sequential, Rollout::Production);
    add(&mut w, &[("A", "fix"), ("B", "fix")]);
    w.read_current(Some("B"));
    assert_eq!(w.status("B"), "do_wip");
}

#[test]
fn who_is_blocked_gives_up_its_place_and_waits_for_one_when_it_goes_on() {
    let mut fix = of("development", "fix");
    fix.stages[0].retries = Some(0);
    let mut w = World::with(limited(&ALL), vec![fix]);
    add(&mut w, &[("A", "fix"), ("B", "fix")]);
    w.work("A", BAD, left_nothing());
    assert_eq!(statuses(&w, &["A", "B"]), ["blocked", "do_wip"]);
    w.asked(Request::Retry { task: task("A"), message: None });
    w.tick();
    assert_eq!(w.status("A"), "do_ready");
    let why = waiting_reason(&w.p, w.task("A"));
    assert_eq!(why.as_deref(), Some("waits for B: one task of category development runs at a time"));
    w.work("B", OK, left_nothing());
    assert_eq!(statuses(&w, &["A", "B"]), ["do_wip", "completed"]);
    assert_eq!(w.p.in_category("development").count(), 1);
}

#[test]
fn two_whose_parts_want_to_run_alone_do_not_wait_for_each_other_forever() {
    let mut outer = command("ship", "true");
    outer.doing = Doing::Workflow { workflow: WorkflowId::new("deploy").unwrap(), params: Default::default() };
    let whole = Workflow { category: "testing".to_owned(), ..workflow("whole", vec![outer], &[]) };
    let mut w = World::with(limited(&ALL), vec![whole, of("deployment", "deploy")]);
    add(&mut w, &[("A", "whole"), ("B", "whole")]);
    assert_eq!(statuses(&w, &["A.ship", "B.ship"]), ["do_wip", "unassigned"]);
    w.work("A.ship", OK, left_nothing());
    assert_eq!(statuses(&w, &["A", "B.ship"]), ["completed", "do_wip"]);
    w.work("B.ship", OK, left_nothing());
    assert_eq!(w.status("B"), "completed");
}
