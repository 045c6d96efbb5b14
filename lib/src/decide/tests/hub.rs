//! A hub in the engine: it looks, delegates, mends, validates, gives up.

use super::compose::{command, parts_of, places};
use super::world::*;
use crate::event::{Collected, NewTask, Request};
use crate::run::Ended;
use crate::view::attention;
use crate::workflow::hub::{Hub, RESET_ADVICE, Requirement};
use crate::workflow::{Choice, Doing, Exit, Stage, Workflow};

fn requirement(name: &str, after: &[&str]) -> Requirement {
    Requirement {
        name: name.to_owned(),
        stage: stage_id(name),
        probe: Some(format!("test -e {name}")),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn deciding(id: &str, ready: &str, failure: &str) -> Stage {
    let choice = |word: &str, exit: Exit| Choice { choice: word.to_owned(), exit: vec![exit], ..Choice::default() };
    Stage { decisions: vec![choice(ready, Exit::Code(0)), choice(failure, Exit::Other)], ..command(id, "do it") }
}

fn infrastructure() -> Workflow {
    let hub = Hub {
        requirements: vec![
            requirement("daemon", &[]),
            requirement("pool", &["daemon"]),
            requirement("watch", &["daemon"]),
        ],
        recovery: Some(stage_id("recover")),
        validation: Some(stage_id("validate")),
        warnings: Vec::new(),
    };
    let hub = Stage { doing: Doing::Hub(hub), max_visits: Some(50), ..plain_stage("hub", "command") };
    let many = |stage: Stage| Stage { max_visits: Some(50), ..stage };
    let stages = vec![
        hub,
        many(deciding("daemon", "daemon_ready", "daemon_failure")),
        many(deciding("pool", "pool_ready", "pool_failure")),
        many(command("watch", "true")),
        many(command("recover", "mend {{ task.feedback }}")),
        many(command("validate", "true")),
    ];
    workflow("infra", stages, &[("hub", None, Some("success"))])
}

fn world() -> World {
    let mut w = World::with(places(), vec![infrastructure()]);
    w.add(NewTask::named("A").on("infra"));
    w.tick();
    w
}

fn said(output: &str) -> Collected {
    Collected { output: output.to_owned(), summary: output.to_owned(), ..left_nothing() }
}

/// The hub's command found this.
fn looks(w: &mut World, holds: &str) {
    assert_eq!(w.status("A"), "hub_wip");
    w.work("A", OK, said(&format!("PIPELINE-HUB r:{holds} w:\n")));
}

#[test]
fn what_is_missing_is_done_in_order_and_what_can_be_at_the_same_time() {
    let mut w = world();
    looks(&mut w, "111");
    assert_eq!(w.status("A"), "daemon_wip");
    w.work("A", OK, left_nothing());
    looks(&mut w, "011");
    assert_eq!(parts_of(&w, "A"), ["A.hub.pool", "A.hub.watch"]);
    w.work("A.hub.pool", OK, left_nothing());
    w.work("A.hub.watch", OK, left_nothing());
    looks(&mut w, "000");
    assert_eq!(w.status("A"), "validate_wip");
    w.work("A", OK, left_nothing());
    looks(&mut w, "000");
    assert_eq!(w.status("A"), "completed");
    let said: Vec<&str> = w.task("A").outputs.iter().map(|output| output.decision.as_str()).collect();
    assert_eq!(
        said,
        [
            "delegate_daemon",
            "daemon_ready",
            "delegate_pool_and_watch",
            "pool_ready",
            "success",
            "validate",
            "success",
            "success"
        ]
    );
}

#[test]
fn a_port_conflict_is_mended_and_only_the_pool_is_tried_again() {
    let mut w = world();
    looks(&mut w, "010");
    assert_eq!(w.status("A"), "pool_wip", "the daemon runs already");
    w.work("A", BAD, said("port 3333 in use"));
    looks(&mut w, "010");
    assert_eq!(w.status("A"), "recover_wip");
    let run = w.task("A").state.run().unwrap().clone();
    let crate::run::Work::Command { command } = &w.p.core.runs[&run].work else { panic!() };
    assert!(command.contains("port 3333 in use"), "{command}");
    w.work("A", OK, left_nothing());
    looks(&mut w, "010");
    assert_eq!(w.status("A"), "pool_wip");
    w.work("A", OK, left_nothing());
    looks(&mut w, "000");
    assert_eq!(w.status("A"), "validate_wip");
    assert_eq!(w.task("A").visits.get(&stage_id("daemon")), None);
}

#[test]
fn the_same_failure_again_and_again_ends_with_a_report() {
    let mut w = world();
    let mut resets = 0;
    looks(&mut w, "111");
    for _ in 0..5 {
        assert_eq!(w.status("A"), "daemon_wip");
        w.work("A", BAD, said("Corrupted block database detected"));
        looks(&mut w, "111");
        if w.status("A") == "blocked" {
            break;
        }
        assert_eq!(w.status("A"), "recover_wip");
        resets += u32::from(w.task("A").feedback.as_ref().unwrap().contains(RESET_ADVICE));
        w.work("A", Ended::Exited { code: 0 }, left_nothing());
        looks(&mut w, "111");
    }
    assert_eq!((w.status("A").as_str(), resets), ("blocked", 2));
    let asked = &attention(&w.p)[0];
    assert!(asked.summary.contains("daemon") && asked.summary.contains("5 times"), "{}", asked.summary);
    assert!(w.task("A").reason.as_ref().unwrap().contains("test -e daemon"), "{:?}", w.task("A").reason);
}

#[test]
fn a_crash_of_what_serves_a_hub_is_the_hubs_business() {
    let mut w = world();
    looks(&mut w, "011");
    assert_eq!(parts_of(&w, "A").len(), 2);
    w.work("A.hub.pool", OK, left_nothing());
    w.work("A.hub.watch", BAD, said("no such metric"));
    assert_eq!(w.status("A.hub.watch"), "failed");
    looks(&mut w, "001");
    assert_eq!(w.status("A"), "recover_wip");
    assert!(w.task("A").feedback.as_ref().unwrap().contains("no such metric"), "{:?}", w.task("A").feedback);
}

#[test]
fn a_hub_that_says_nothing_is_tried_again_and_then_asks() {
    let mut w = world();
    for _ in 0..3 {
        w.work("A", OK, said("nothing"));
        w.pass(600);
        w.tick();
    }
    assert_eq!(w.status("A"), "blocked");
}

#[test]
fn a_person_lets_a_hub_go_on_that_gave_up_and_its_failures_count_anew() {
    let mut w = world();
    looks(&mut w, "111");
    for n in 0..5 {
        w.work("A", BAD, said(&format!("error {}", ["a", "b", "c", "d", "e"][n])));
        looks(&mut w, "111");
        if w.status("A") == "recover_wip" {
            w.work("A", OK, left_nothing());
            looks(&mut w, "111");
        }
    }
    assert_eq!(w.status("A"), "blocked", "it failed in another way each time");
    let reason = w.reason("A").to_owned();
    assert!(reason.contains("Suggested manual actions") && reason.contains("pipeline task retry A"), "{reason}");
    w.asked(Request::Retry { task: task("A"), message: None });
    w.tick();
    looks(&mut w, "111");
    assert_eq!(w.status("A"), "daemon_wip", "what failed before counts no longer");
    w.work("A", BAD, said("error f"));
    looks(&mut w, "111");
    assert_eq!(w.status("A"), "recover_wip");
}

#[test]
fn an_ordinary_hub_is_not_stopped_by_the_limit_on_visits() {
    let mut flow = infrastructure();
    flow.stages.iter_mut().for_each(|stage| stage.max_visits = None);
    let mut w = World::with(places(), vec![flow]);
    w.add(NewTask::named("A").on("infra"));
    w.tick();
    // Each of the three fails four times and is mended: more visits than any other stage may have.
    for (stage, holds) in [("daemon", "111"), ("pool", "010"), ("watch", "001")] {
        looks(&mut w, holds);
        for n in 0..4 {
            assert_eq!(w.status("A"), format!("{stage}_wip"));
            w.work("A", BAD, said(&format!("error {}", ["a", "b", "c", "d"][n])));
            looks(&mut w, holds);
            assert_eq!(w.status("A"), "recover_wip", "{stage} {n}: {}", w.reason("A"));
            w.work("A", OK, left_nothing());
            looks(&mut w, holds);
        }
        w.work("A", OK, left_nothing());
    }
    looks(&mut w, "000");
    assert_eq!(w.status("A"), "validate_wip");
    assert!(w.task("A").visits[&stage_id("hub")] > w.p.core.settings.scheduler.max_visits);
}
