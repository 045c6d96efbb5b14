//! What follows from merges that were tried out: facts only where something changed, an order, and words.

use super::world::*;
use crate::collision::Prediction;
use crate::event::{Event, NewTask, Request};
use crate::fact::{Fact, TaskEdit};
use crate::mode::{Orchestration, Rollout};
use crate::view::board::Board;
use crate::view::{explain_task, task_doc, waiting_reason};

fn tried(task_id: &str, with: Option<&str>, files: &[&str]) -> Prediction {
    let files = files.iter().map(|file| (*file).to_owned()).collect();
    Prediction { task: task(task_id), with: with.map(task), files }
}

impl World {
    fn predict(&mut self, found: Prediction) -> Vec<Fact> {
        self.see(Event::MergesPredicted(vec![found]))
    }
}

/// Three tasks in flight at the first of two stages, with two agents for the second one.
fn three() -> World {
    let stages = vec![plain_stage("one", "first"), plain_stage("two", "second")];
    let agents = [("f1", "first"), ("f2", "first"), ("f3", "first"), ("s1", "second"), ("s2", "second")];
    let agents = agents.map(|(name, role)| worker(name, role)).to_vec();
    let mut settings = crate::settings::Settings { agents, ..crate::settings::Settings::default() };
    settings.scheduler.max_parallel = 0;
    let mut w = World::with(settings, vec![workflow("pair", stages, &[("one", Some("two"), None)])]);
    for id in ["A", "B", "C"] {
        w.add(NewTask::named(id).on("pair"));
    }
    w.tick();
    w
}

/// The same once the first stage is done, while nobody does the second one.
fn three_ready() -> World {
    let mut w = three();
    for name in ["s1", "s2"] {
        w.asked(Request::StopAgent { agent: agent(name) });
    }
    for id in ["A", "B", "C"] {
        w.do_stage(id);
        assert_eq!(w.status(id), "two_ready");
    }
    w
}

fn start(w: &mut World) {
    for name in ["s1", "s2"] {
        w.asked(Request::StartAgent { agent: agent(name) });
    }
    w.tick();
}

fn at_work(w: &World) -> Vec<&'static str> {
    ["A", "B", "C"].into_iter().filter(|id| w.task(id).state.run().is_some()).collect()
}

#[test]
fn only_what_changed_becomes_a_fact() {
    let mut w = three();
    assert_eq!(w.predict(tried("A", Some("B"), &[])), [], "they merge, and nobody said otherwise");
    assert_eq!(w.predict(tried("A", Some("B"), &["a.rs"])).len(), 1);
    assert_eq!(w.predict(tried("A", Some("B"), &["a.rs"])), []);
    assert!(
        matches!(&w.predict(tried("A", Some("B"), &["a.rs", "b.rs"]))[..], [Fact::CollisionSeen { files, .. }] if files.len() == 2)
    );
    assert_eq!(w.p.core.collisions.files(&task("B"), Some(&task("A"))).map(<[_]>::len), Some(2), "of both");
    assert!(matches!(w.predict(tried("A", Some("B"), &[]))[..], [Fact::CollisionGone { .. }]));
    assert!(w.p.core.collisions.is_empty());
    assert_eq!(w.predict(tried("A", Some("A"), &["a.rs"])), []);
    assert_eq!(w.predict(tried("A", Some("NOBODY"), &["a.rs"])), []);
    let many: Vec<String> = (0..500).map(|n| format!("{n}.rs")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    w.predict(tried("A", None, &many));
    assert_eq!(w.p.core.collisions.files(&task("A"), None).map(<[_]>::len), Some(20), "the journal stays small");
    assert_eq!(w.predict(tried("A", None, &many)), []);
}

#[test]
fn of_equally_urgent_tasks_the_one_that_gives_way_comes_last_and_is_never_held() {
    let mut w = three_ready();
    w.predict(tried("A", Some("B"), &["src/a.rs"]));
    let reason = waiting_reason(&w.p, w.task("B")).unwrap();
    assert_eq!(reason, "gives way to A: they would collide in src/a.rs");
    assert_eq!((waiting_reason(&w.p, w.task("A")), waiting_reason(&w.p, w.task("C"))), (None, None));
    start(&mut w);
    assert_eq!(at_work(&w), ["A", "C"]);
    w.do_stage("C");
    assert_eq!(at_work(&w), ["A", "B"], "where nothing else is ready, no agent is left idle");
}

#[test]
fn a_more_urgent_task_does_not_give_way_to_a_younger_one_or_one_that_waits_for_a_person() {
    let mut w = three_ready();
    w.edit("B", TaskEdit { priority: Some(1), ..TaskEdit::default() }).unwrap();
    w.predict(tried("A", Some("B"), &["src/a.rs"]));
    assert!(w.p.gives_way_to(w.task("B")).is_none());
    assert_eq!(w.p.gives_way_to(w.task("A")).map(|first| first.id.clone()), Some(task("B")));
    w.asked(Request::Block { task: task("B"), reason: "later".to_owned() });
    assert!(w.p.gives_way_to(w.task("A")).is_none());
    start(&mut w);
    assert_eq!(at_work(&w), ["A", "C"]);
}

#[test]
fn a_task_that_is_passed_over_for_another_does_not_bring_that_one_past_its_own_conflict() {
    let mut w = three_ready();
    w.predict(tried("A", Some("B"), &["src/a.rs"]));
    w.predict(tried("A", Some("C"), &["src/a.rs"]));
    // D has not begun, and its paths overlap with those of a task in flight.
    w.edit("A", TaskEdit { paths: Some(vec!["src/**".to_owned()]), ..TaskEdit::default() }).unwrap();
    let mut stage = plain_stage("two", "second");
    stage.merge = false;
    let solo = workflow("late", vec![stage], &[]);
    let mut workflows: Vec<_> =
        w.p.core.workflows.values().filter(|w| w.id.as_str() == "pair").map(|w| (**w).clone()).collect();
    workflows.push(solo);
    w.configure((*w.p.core.settings).clone(), workflows);
    w.add(NewTask::named("D").on("late").paths(&["src/d.rs"]));
    start(&mut w);
    assert_eq!(w.status("D"), "unassigned", "it waits for A");
    assert_eq!(at_work(&w).len(), 2);
}

#[test]
fn a_collision_ends_with_either_task() {
    let mut w = three();
    w.predict(tried("A", Some("B"), &["src/a.rs"]));
    w.predict(tried("A", None, &["src/b.rs"]));
    w.predict(tried("B", None, &["src/b.rs"]));
    w.asked(Request::Cancel { task: task("A"), reason: None });
    let facts = w.tick();
    let gone = facts.iter().filter(|fact| matches!(fact, Fact::CollisionGone { .. })).count();
    assert_eq!(gone, 2);
    assert_eq!(w.p.core.collisions.all().count(), 1, "that of B with base is left");
}

#[test]
fn it_is_said_wherever_one_looks() {
    let mut w = three();
    w.predict(tried("A", Some("B"), &["src/a.rs"]));
    w.predict(tried("B", None, &["1", "2", "3", "4", "5"]));
    let doc = serde_json::to_value(task_doc(&w.p, w.task("B"))).unwrap();
    let known = serde_json::json!([{ "files": ["1", "2", "3", "4", "5"] }, { "task": "A", "files": ["src/a.rs"] }]);
    assert_eq!(doc["collides_with"], known);
    let seen = explain_task(&w.p, w.task("B")).observations;
    assert!(seen.iter().any(|line| line == "would collide with A in src/a.rs"), "{seen:?}");
    assert!(seen.iter().any(|line| line == "no longer merges into main: 1, 2, 3 and 2 more"), "{seen:?}");
    let mut board = Board::default();
    board.follow(&w.p);
    let columns = board.columns(&w.p, 10);
    let hint = columns.iter().flat_map(|column| &column.cards).find(|card| card.id == task("A")).unwrap();
    assert_eq!(hint.collides.as_deref(), Some("collides with B"));
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    assert_eq!(w.predict(tried("A", Some("B"), &[])).len(), 1, "to look is allowed in shadow");
}

/// Where the decision `conflict` leads somewhere, that is where base is brought in; elsewhere the next stage does it.
#[test]
fn whose_branch_no_longer_merges_is_told_before_it_comes_to_that() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    w.predict(tried("A", None, &["src/a.rs"]));
    let told = w.p.brings_base_in(w.task("A")).unwrap();
    assert!(told.contains("- src/a.rs") && told.contains("git merge main"), "{told}");
    w.do_stage("A");
    w.gate("A", OK);
    assert_eq!(w.status("A"), "super_wip");
    assert_eq!(w.p.brings_base_in(w.task("A")), None);
}
