//! In which order ready tasks are taken.

use super::world::*;
use crate::event::NewTask;
use crate::fact::TaskEdit;

/// The order in which one worker takes what there is.
fn taken(w: &mut World) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        w.tick();
        let Some(run) = w.p.core.runs.values().next() else { return order };
        let id = run.task.clone().unwrap();
        order.push(id.to_string());
        w.do_stage(id.as_str());
    }
}

fn one() -> World {
    World::workers(1, |_| {})
}

#[test]
fn priority_then_critical_path_then_age() {
    let mut w = one();
    w.add_all(&["OLD", "YOUNG", "ROOT"]);
    w.add(NewTask::named("URGENT").on("solo").priority(1));
    w.add(NewTask::named("MIDDLE").on("solo").after(&["ROOT"]));
    w.add(NewTask::named("LEAF").on("solo").after(&["MIDDLE"]));
    assert_eq!(w.p.height(&task("ROOT")), 2);
    assert_eq!(taken(&mut w), ["URGENT", "ROOT", "MIDDLE", "OLD", "YOUNG", "LEAF"]);
}

#[test]
fn the_longer_chain_goes_first_even_if_it_grows_later() {
    let mut w = one();
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("B1").on("solo").after(&["B"]));
    w.add(NewTask::named("A1").on("solo").after(&["A"]));
    w.add(NewTask::named("B2").on("solo").after(&["B1"]));
    assert_eq!(taken(&mut w)[0], "B");
}

#[test]
fn nothing_starves() {
    let mut w = World::workers(1, |s| s.scheduler.ageing = jiff::SignedDuration::from_mins(10));
    w.add(NewTask::named("HUMBLE").on("solo").priority(9));
    w.add(NewTask::named("BUSY").on("solo").priority(1));
    let mut finished = 0;
    for n in 0.. {
        assert!(n < 100, "HUMBLE starves");
        w.add(NewTask::named(&format!("BUSY{n}")).on("solo").priority(1));
        w.tick();
        let id = w.p.core.runs.values().next().unwrap().task.clone().unwrap();
        w.pass(60);
        w.do_stage(id.as_str());
        finished += 1;
        if w.status("HUMBLE") == "completed" {
            break;
        }
    }
    assert!(finished > 70, "eight steps of ageing make it as urgent as the most urgent, not fewer");
}

#[test]
fn ageing_counts_from_the_creation_and_survives_a_clock_that_goes_back() {
    let mut w = one();
    w.add(NewTask::named("A").on("solo").priority(4));
    w.pass(3 * 3_600);
    w.add(NewTask::named("B").on("solo").priority(3));
    w.pass(-86_400);
    w.add(NewTask::named("C").on("solo").priority(9));
    assert_eq!(taken(&mut w)[0], "A");
}

#[test]
fn an_edited_priority_counts_at_once() {
    let mut w = one();
    w.add_all(&["A", "B"]);
    w.edit("B", TaskEdit { priority: Some(1), ..TaskEdit::default() }).unwrap();
    assert_eq!(taken(&mut w), ["B", "A"]);
}

#[test]
fn what_has_come_further_goes_first_among_equals() {
    let two = workflow(
        "two",
        vec![plain_stage("a", "worker"), plain_stage("b", "worker")],
        &[("a", Some("b"), None), ("b", None, None)],
    );
    let mut w = one();
    let settings = (*w.p.core.settings).clone();
    w.configure(settings, vec![solo(), two]);
    w.add(NewTask::named("FAR").on("two"));
    w.add_all(&["NEW"]);
    assert_eq!(taken(&mut w), ["FAR", "FAR", "NEW"]);
}

#[test]
fn an_edited_dependency_counts_at_once() {
    let mut w = one();
    w.add_all(&["A", "B"]);
    w.edit("A", TaskEdit { depends_on: Some(vec![task("B")]), ..TaskEdit::default() }).unwrap();
    assert_eq!(taken(&mut w), ["B", "A"]);
}
