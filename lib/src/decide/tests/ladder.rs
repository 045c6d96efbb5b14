//! What is tried with an agent in a session that does not get on.

use super::world::*;
use crate::claim::ClaimStatus;
use crate::event::{DoingSeen, Seen};
use crate::fact::{Effect, Fact};
use crate::ids::RunId;
use crate::run::{Ended, Rung, StopReason};
use crate::status::{Doing, Source};
use crate::view::attention;

fn world(workers: usize) -> (World, RunId) {
    let mut w = World::workers(workers, |s| s.agents.iter_mut().for_each(|agent| agent.interactive = true));
    w.add_all(&["A"]);
    w.tick();
    let run = w.run_of("A");
    w.start(&run);
    (w, run)
}

fn does(w: &mut World, run: &RunId, doing: Doing, session: Option<&str>) -> Vec<Fact> {
    let seen = DoingSeen {
        doing,
        source: Source::Hook,
        since: w.at,
        conflict: String::new(),
        session: session.map(str::to_owned),
    };
    w.seen(run, Seen::Doing(Box::new(seen)))
}

/// What the tick tries, after a while, and whether it is typed.
fn next(w: &mut World, seconds: i64) -> Option<Rung> {
    w.pass(seconds);
    let facts = w.tick();
    let rung = facts.iter().find_map(|fact| match fact {
        Fact::RunTried { rung, .. } => Some(*rung),
        _ => None,
    })?;
    if rung.types() {
        let run = w.run_of("A");
        let due = w.p.due_effects(w.at);
        assert!(due.iter().any(|due| *due.effect() == Effect::Urge { run: run.clone(), rung }), "{due:?}");
        w.seen(&run, Seen::Typed { rung, refused: None });
        assert!(w.p.due_effects(w.at).is_empty(), "what was typed is not typed again");
    }
    Some(rung)
}

fn waiting(w: &World) -> Vec<&'static str> {
    attention(&w.p).iter().map(|item| item.kind).collect()
}

#[test]
fn an_agent_that_is_stuck_is_urged_then_resumed_then_replaced() {
    let (mut w, run) = world(2);
    let first = w.agent_of("A");
    does(&mut w, &run, Doing::Stuck, Some("s-1"));
    assert_eq!(next(&mut w, 0), Some(Rung::Peek));
    assert_eq!(next(&mut w, 1), None, "each is given its time");
    assert_eq!(next(&mut w, 30), Some(Rung::Nudge));
    assert_eq!(next(&mut w, 121), Some(Rung::Interrupt));
    assert_eq!(next(&mut w, 121), Some(Rung::Resume));
    let stop = Effect::Stop { run: run.clone(), reason: StopReason::Stuck };
    assert!(w.p.due_effects(w.at).iter().any(|due| *due.effect() == stop));
    w.work("A", stopped(StopReason::Stuck), left_nothing());
    w.tick();
    let again = w.run_of("A");
    assert_ne!(again, run);
    assert_eq!((w.agent_of("A"), w.run(&again).resumes.as_deref()), (first.clone(), Some("s-1")));
    assert_eq!(w.task("A").attempt, 1, "the same attempt goes on");
    w.start(&again);
    does(&mut w, &again, Doing::Stuck, Some("s-1"));
    assert_eq!(next(&mut w, 121), Some(Rung::Reassign));
    w.work("A", stopped(StopReason::Stuck), left_nothing());
    w.tick();
    assert_ne!(w.agent_of("A"), first);
    assert_eq!(waiting(&w), Vec::<&str>::new());
}

#[test]
fn an_agent_whose_host_died_goes_on_in_its_session_and_is_urged_from_the_beginning() {
    let (mut w, run) = world(2);
    let first = w.agent_of("A");
    does(&mut w, &run, Doing::Working, Some("s-1"));
    w.work("A", interrupted(), left_nothing());
    w.pass(600);
    w.tick();
    let again = w.run_of("A");
    assert_ne!(again, run);
    assert_eq!((w.agent_of("A"), w.run(&again).resumes.as_deref()), (first, Some("s-1")));
    assert_eq!(w.run(&again).attempt, 2, "an interrupted attempt counts");
    w.start(&again);
    does(&mut w, &again, Doing::Stuck, Some("s-1"));
    assert_eq!(next(&mut w, 0), Some(Rung::Peek), "nothing was wrong with it");
    w.work("A", Ended::Exited { code: 1 }, left_nothing());
    w.pass(600);
    w.tick();
    assert_eq!(w.run(&w.run_of("A")).resumes, None, "a session that ended by itself is over");
}

#[test]
fn where_nobody_else_can_do_it_a_person_is_asked() {
    let (mut w, run) = world(1);
    does(&mut w, &run, Doing::Stuck, None);
    for (seconds, rung) in [(0, Rung::Peek), (31, Rung::Nudge), (121, Rung::Interrupt), (121, Rung::Person)] {
        assert_eq!(next(&mut w, seconds), Some(rung));
    }
    assert_eq!(waiting(&w), ["stuck"]);
    assert_eq!(next(&mut w, 10_000), None, "a person is asked once");
}

#[test]
fn an_agent_whose_turn_is_over_is_told_once_and_not_interrupted() {
    let (mut w, run) = world(2);
    does(&mut w, &run, Doing::TurnEnded, Some("s"));
    assert_eq!(waiting(&w), ["turn_ended"]);
    assert_eq!(next(&mut w, 31), Some(Rung::Peek));
    assert_eq!(next(&mut w, 31), Some(Rung::Nudge));
    assert_eq!(next(&mut w, 121), Some(Rung::Person));
    assert_eq!(next(&mut w, 10_000), None);
}

#[test]
fn work_and_claims_end_it() {
    let (mut w, run) = world(1);
    does(&mut w, &run, Doing::Stuck, None);
    assert_eq!(next(&mut w, 0), Some(Rung::Peek));
    does(&mut w, &run, Doing::Working, None);
    assert_eq!(next(&mut w, 700), None);
    does(&mut w, &run, Doing::Stuck, None);
    assert_eq!(next(&mut w, 0), Some(Rung::Peek), "after long work it begins anew");
    w.seen(&run, Seen::Claimed(claim(ClaimStatus::Completed)));
    assert!(!matches!(next(&mut w, 40), Some(Rung::Nudge)));
}

#[test]
fn what_cannot_be_typed_is_for_a_person() {
    let (mut w, run) = world(1);
    does(&mut w, &run, Doing::Stuck, None);
    assert_eq!(next(&mut w, 0), Some(Rung::Peek));
    w.pass(31);
    w.tick();
    w.seen(&run, Seen::Typed { rung: Rung::Nudge, refused: Some("a dialog".to_owned()) });
    assert_eq!(waiting(&w), ["stuck"]);
}

#[test]
fn only_what_is_new_is_recorded_and_contradictions_are_counted() {
    let (mut w, run) = world(1);
    assert_eq!(does(&mut w, &run, Doing::Working, None).len(), 1);
    assert_eq!(does(&mut w, &run, Doing::Working, None).len(), 0);
    let mut seen = DoingSeen {
        doing: Doing::TurnEnded,
        source: Source::Screen,
        since: w.at,
        conflict: "its hooks say that it works".to_owned(),
        session: None,
    };
    let before = w.p.core.metrics.disagreements;
    w.seen(&run, Seen::Doing(Box::new(seen.clone())));
    seen.conflict.clear();
    w.seen(&run, Seen::Doing(Box::new(seen)));
    assert_eq!(w.p.core.metrics.disagreements, before + 1);
}
