//! Shadow, pilot, production: a wall, not a flag.

use super::world::*;
use crate::event::{MergeOutcome, NewTask};
use crate::fact::{Effect, Fact};
use crate::mode::{Orchestration, PilotScope, Rollout};
use crate::rollout::{Groundwork, readiness};

fn shadow() -> World {
    let mut w = World::new();
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    w
}

fn withheld(facts: &[Fact]) -> Vec<String> {
    let word = |fact: &Fact| match fact {
        Fact::EffectWithheld { effect, task, stage, .. } => Some(format!("{effect} {task} {stage}")),
        _ => None,
    };
    facts.iter().filter_map(word).collect()
}

#[test]
fn a_fresh_state_is_in_shadow() {
    assert_eq!(crate::pipeline::Pipeline::default().core.mode.rollout, Rollout::Shadow);
}

#[test]
fn shadow_leaves_tasks_where_they_are_and_records_each_new_plan_once() {
    let mut w = shadow();
    w.add_all(&["A"]);
    assert_eq!(withheld(&w.tick()), ["start A arch"]);
    assert_eq!(w.tick(), []);
    w.pass(600);
    assert_eq!(w.tick(), []);
    assert_eq!(w.effects(), []);
    assert_eq!(w.status("A"), "unassigned");
    w.add(NewTask::named("B").priority(1));
    assert_eq!(withheld(&w.tick()), ["start B arch"]);
    assert_eq!(w.p.core.metrics.shadow_plans, 2);
    assert!(w.p.core.runs.is_empty());
}

#[test]
fn the_shadow_plan_respects_limits_and_conflicts() {
    let mut w = World::workers(3, |s| s.scheduler.max_parallel = 2);
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    w.add_all(&["A", "B", "C"]);
    assert_eq!(withheld(&w.tick()), ["start A do", "start B do"]);
}

#[test]
fn what_was_live_when_shadow_began_is_observed_and_not_merged() {
    let mut w = World::new();
    w.add_all(&["A", "B"]);
    w.reach("A", "super");
    let (a, b) = (w.run_of("A"), w.run_of("B"));
    w.start(&a);
    w.start(&b);
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    w.end(&a, OK);
    assert_eq!(w.effects(), [Effect::Collect { run: a.clone() }], "its work is kept");
    w.collect(&a, left(crate::run::ClaimStatus::Completed));
    assert_eq!(withheld(&w.tick()), ["merge A super"]);
    assert_eq!(w.tick(), []);
    assert_eq!(w.effects(), []);
    assert_eq!(w.status("A"), "super_verifying");
    w.end(&b, OK);
    w.collect(&b, left(crate::run::ClaimStatus::Completed));
    assert_eq!(withheld(&w.tick()), ["start B test"]);
    assert_eq!(w.status("B"), "test_ready");
    w.mode(Orchestration::Parallel, Rollout::Production);
    w.tick();
    assert!(matches!(w.effects()[..], [Effect::Launch { .. }, Effect::PrepareMerge { .. }]), "{:?}", w.effects());
    assert_eq!((w.p.core.metrics.shadow_agreed, w.p.core.metrics.shadow_differed), (1, 0));
}

#[test]
fn a_claim_that_nothing_had_started_is_taken_back_when_shadow_begins() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.tick();
    let run = w.run_of("A");
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    w.tick();
    let reason = crate::run::StopReason::ModeSwitch;
    assert_eq!(w.effects(), [Effect::Stop { run: run.clone(), reason }]);
    w.end(&run, crate::run::Ended::Stopped { reason });
    w.collect(&run, left(crate::run::ClaimStatus::Completed));
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("arch_ready", 0), "the attempt does not count");
    assert!(w.p.core.runs.is_empty());
}

#[test]
fn no_gate_starts_in_shadow_and_base_does_not_move() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "super");
    w.do_stage("A");
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    w.prepared(
        "A",
        MergeOutcome::Commit {
            commit: crate::ids::CommitId::from("m".to_owned()),
            onto: crate::ids::CommitId::from("b".to_owned()),
        },
    );
    assert_eq!(w.status("A"), "super_verifying");
    assert!(w.p.core.runs.is_empty());
    assert_eq!(w.effects(), []);
}

#[test]
fn a_run_that_was_claimed_but_not_launched_is_not_launched_in_shadow() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.tick();
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    assert_eq!(w.effects(), []);
}

#[test]
fn the_pilot_touches_its_tasks_and_treats_the_others_as_shadow_does() {
    let mut w = World::workers(2, |_| {});
    w.mode(Orchestration::Parallel, Rollout::Pilot);
    w.add_all(&["DOC-1", "A", "B"]);
    assert_eq!(withheld(&w.tick()).len(), 2);
    let scope = PilotScope { tasks: [task("A")].into(), patterns: ["DOC-*".to_owned()].into(), percent: 0 };
    w.asked(crate::event::Request::SetPilot { scope });
    w.tick();
    assert_eq!(["DOC-1", "A", "B"].map(|id| w.status(id)), ["do_wip", "do_wip", "unassigned"]);
    assert_eq!(w.effects().len(), 2);
    w.asked(crate::event::Request::SetPilot { scope: PilotScope::default() });
    assert_eq!(w.effects(), [], "what was not launched yet is behind the wall again");
}

#[test]
fn readiness_for_the_pilot_needs_clean_ground() {
    let w = shadow();
    assert!(!readiness(&w.p, Rollout::Shadow, None).ready);
    let clean = Groundwork { doctor_problems: vec![], workflow_problems: vec![], gate_on_base: Some(Ok(())) };
    let ready = readiness(&w.p, Rollout::Shadow, Some(&clean));
    assert!(ready.ready && ready.to == Some(Rollout::Pilot));
    for bad in [
        Groundwork { doctor_problems: vec!["no git".to_owned()], ..clean.clone() },
        Groundwork { workflow_problems: vec!["a loop".to_owned()], ..clean.clone() },
        Groundwork { gate_on_base: Some(Err("exit 1".to_owned())), ..clean.clone() },
        Groundwork { gate_on_base: None, ..clean.clone() },
    ] {
        assert!(!readiness(&w.p, Rollout::Shadow, Some(&bad)).ready, "{bad:?}");
    }
}

#[test]
fn readiness_for_production_comes_from_recorded_runs() {
    let mut w = World::new();
    w.mode(Orchestration::Parallel, Rollout::Pilot);
    w.asked(crate::event::Request::SetPilot {
        scope: PilotScope { tasks: [].into(), patterns: ["*".to_owned()].into(), percent: 0 },
    });
    let checks = |w: &World| {
        let readiness = readiness(&w.p, Rollout::Pilot, None);
        let ok: Vec<&str> = readiness.checks.iter().filter(|c| !c.ok).map(|c| c.name).collect();
        (readiness.ready, ok.join(" "))
    };
    assert_eq!(checks(&w), (false, "runs gate_pass_rate".to_owned()));
    w.add_all(&["A"]);
    w.finish("A");
    assert_eq!(checks(&w), (false, "runs".to_owned()), "4 runs of agents, 2 gates");
    w.add_all(&["B"]);
    w.reach("B", "impl");
    w.do_stage("B");
    w.gate("B", BAD);
    assert_eq!(checks(&w), (false, "gate_pass_rate".to_owned()), "2 of 3 gates");
    w.reconfigure(|s| s.rollout.min_gate_pass_rate = 0.6);
    assert_eq!(checks(&w), (true, String::new()));
    w.asked(crate::event::Request::RolledBack { tasks: vec![(task("A"), None)] });
    assert_eq!(checks(&w), (false, "rollbacks".to_owned()));
    let found = readiness(&w.p, Rollout::Pilot, None).checks;
    assert_eq!(found[0].found, "7 settled, 0 of them failed");
    assert_eq!(found[1].found, "0.67 (2 of 3 gates passed)");
}

#[test]
fn after_production_there_is_nothing_to_promote_to() {
    let w = World::new();
    let readiness = readiness(&w.p, Rollout::Production, None);
    assert!(!readiness.ready && readiness.to.is_none());
}
