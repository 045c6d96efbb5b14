//! Mode switches.

use super::world::*;
use crate::event::{Busy, Refusal, Request};
use crate::fact::Fact;
use crate::mode::{Mode, Orchestration, Rollout};
use crate::run::StopReason;

fn busy() -> World {
    let mut w = World::workers(2, |_| {});
    w.add_all(&["A", "B", "C"]);
    w.tick();
    w
}

#[test]
fn a_switch_is_refused_while_agents_are_busy_and_names_them() {
    let mut w = busy();
    let refused = w.switch(Orchestration::Hybrid, Rollout::Production, Busy::Refuse).unwrap_err();
    let Refusal::Busy(list) = &refused else { panic!("{refused:?}") };
    assert_eq!(list, &[(agent("w1"), "A".to_owned()), (agent("w2"), "B".to_owned())]);
}

#[test]
fn a_drain_starts_nothing_new_and_a_later_tick_switches() {
    let mut w = busy();
    w.switch(Orchestration::Hybrid, Rollout::Production, Busy::Drain).unwrap();
    assert!(w.p.core.pending_mode.is_some());
    assert_eq!(w.p.core.mode.orchestration, Orchestration::Parallel);
    w.do_stage("A");
    assert_eq!(w.status("C"), "unassigned");
    w.do_stage("B");
    assert_eq!((w.p.core.mode.orchestration, w.p.core.pending_mode), (Orchestration::Hybrid, None));
    assert_eq!(w.status("C"), "do_wip");
}

#[test]
fn a_drain_is_taken_back_by_asking_for_the_present_mode() {
    let mut w = busy();
    w.switch(Orchestration::Hybrid, Rollout::Production, Busy::Drain).unwrap();
    w.switch(Orchestration::Parallel, Rollout::Production, Busy::Refuse).unwrap();
    assert_eq!(w.p.core.pending_mode, None);
    w.do_stage("A");
    assert_eq!(w.status("C"), "do_wip");
}

#[test]
fn a_drain_remembers_that_there_was_no_evidence() {
    for asked_without in [true, false] {
        let mut w = busy();
        w.mode(Orchestration::Parallel, Rollout::Pilot);
        let mode = Mode { orchestration: Orchestration::Hybrid, rollout: Rollout::Production };
        w.asked(Request::SetMode { mode, busy: Busy::Drain, unready: asked_without });
        w.do_stage("A");
        w.do_stage("B");
        let switched = w.journal.iter().rev().find_map(|(_, fact)| match fact {
            Fact::ModeChanged { mode: to, unready } if *to == mode => Some(*unready),
            _ => None,
        });
        assert_eq!(switched, Some(asked_without));
    }
}

#[test]
fn a_switch_of_the_rollout_leaves_a_drain_as_it_is() {
    let mut w = busy();
    w.switch(Orchestration::Hybrid, Rollout::Production, Busy::Drain).unwrap();
    w.asked(Request::SetRollout { rollout: Rollout::Shadow, unready: false });
    let mode = |orchestration| Mode { orchestration, rollout: Rollout::Shadow };
    assert_eq!(w.p.core.mode, mode(Orchestration::Parallel), "the brake works at once");
    assert_eq!(w.p.core.pending_mode, Some(mode(Orchestration::Hybrid)));
    assert_eq!(w.asked(Request::SetRollout { rollout: Rollout::Shadow, unready: false }), []);
    w.do_stage("A");
    w.do_stage("B");
    assert_eq!((w.p.core.mode, w.p.core.pending_mode), (mode(Orchestration::Hybrid), None));
    // A rollout that was to come with the orchestration gives way to a later word about it.
    let mut w = busy();
    w.switch(Orchestration::Hybrid, Rollout::Shadow, Busy::Drain).unwrap();
    w.asked(Request::SetRollout { rollout: Rollout::Production, unready: false });
    w.do_stage("A");
    w.do_stage("B");
    let production = Mode { orchestration: Orchestration::Hybrid, rollout: Rollout::Production };
    assert_eq!(w.p.core.mode, production);
}

#[test]
fn a_drain_lets_gates_and_merges_finish() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    w.switch(Orchestration::Sequential, Rollout::Production, Busy::Drain).unwrap();
    let run = w.run_of("A");
    w.start(&run);
    w.end(&run, OK);
    w.collect(&run, left(crate::run::ClaimStatus::Completed));
    w.tick();
    assert_eq!(w.p.core.mode.orchestration, Orchestration::Sequential, "no agent is busy");
    w.gate("A", OK);
    assert_eq!(w.status("A"), "super_ready");
}

#[test]
fn a_forced_switch_stops_the_runs_and_their_work_is_collected() {
    let mut w = busy();
    let facts = w.switch(Orchestration::Sequential, Rollout::Production, Busy::Stop).unwrap();
    let stops = facts.iter().filter(|f| matches!(f, Fact::RunStopping { reason: StopReason::ModeSwitch, .. })).count();
    assert_eq!(stops, 2);
    assert_eq!(w.p.core.mode.orchestration, Orchestration::Sequential);
    for id in ["A", "B"] {
        w.work(id, stopped(StopReason::ModeSwitch), left_nothing());
        assert_eq!((w.status(id).as_str(), w.task(id).attempt), ("do_ready", 0));
    }
}

#[test]
fn a_forced_switch_leaves_runs_that_have_ended_alone() {
    let mut w = busy();
    let run = w.run_of("A");
    w.end(&run, OK);
    w.switch(Orchestration::Sequential, Rollout::Production, Busy::Stop).unwrap();
    assert_eq!(w.run(&run).stop, None);
    w.collect(&run, left(crate::run::ClaimStatus::Completed));
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn the_rollout_is_a_brake_that_works_at_once() {
    let mut w = busy();
    w.switch(Orchestration::Parallel, Rollout::Shadow, Busy::Refuse).unwrap();
    assert_eq!(w.p.core.mode.rollout, Rollout::Shadow);
}

#[test]
fn the_same_mode_again_changes_nothing() {
    let mut w = busy();
    assert_eq!(w.switch(Orchestration::Parallel, Rollout::Production, Busy::Refuse).unwrap(), []);
    let scope = w.p.core.pilot.clone();
    assert_eq!(w.asked(Request::SetPilot { scope }), []);
}
