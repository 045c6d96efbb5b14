//! Gates: our own check of what was claimed.

use super::world::*;
use crate::event::Request;
use crate::run::{Ended, StopReason, Verdict, Work};

/// A claim of `impl` whose gate is claimed.
fn at_gate() -> World {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    w.do_stage("A");
    w
}

#[test]
fn a_claim_is_checked_on_its_exact_commit() {
    let w = at_gate();
    let run = w.run(&w.run_of("A"));
    assert_eq!(w.status("A"), "impl_verifying");
    assert!(matches!(&run.work, Work::Gate { command, commit } if command == "cargo test" && commit.as_str() == "c3"));
    assert_eq!(run.agent.as_str(), "implementation");
}

#[test]
fn a_passed_gate_lets_the_task_go_on() {
    let mut w = at_gate();
    w.gate("A", OK);
    assert_eq!(w.status("A"), "super_wip");
    let gate = w.task("A").runs.last().unwrap();
    assert_eq!((&*gate.work, gate.verdict), ("gate", Verdict::Passed));
    assert_eq!(gate.evidence.as_ref().unwrap().command, "cargo test");
    assert_eq!((w.p.core.metrics.gates, w.p.core.metrics.gates_failed), (1, 0));
}

#[test]
fn a_failed_gate_goes_back_with_its_output_and_counts_as_an_attempt() {
    for how in [BAD, Ended::TimedOut, Ended::Signaled { signal: 11 }] {
        let mut w = at_gate();
        w.gate("A", how);
        assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("impl_ready", 1));
        assert!(w.task("A").feedback.as_ref().unwrap().contains("the end of the log"));
        assert_eq!((w.p.core.metrics.gates, w.p.core.metrics.gates_failed), (1, 1));
    }
    let mut w = at_gate();
    for attempt in 1..=3 {
        assert_eq!(w.task("A").attempt, attempt);
        w.gate("A", BAD);
        w.pass(600);
        w.tick();
        if attempt < 3 {
            w.do_stage("A");
        }
    }
    assert_eq!(w.status("A"), "blocked", "tdd has no connection for failed");
    assert!(w.reason("A").contains("`cargo test` exited with code 1, 3 attempts"), "{}", w.reason("A"));
}

#[test]
fn an_interrupted_gate_runs_again_and_counts_for_nothing() {
    let mut w = at_gate();
    let first = w.run_of("A");
    w.gate("A", interrupted());
    assert_ne!(w.run_of("A"), first);
    assert_eq!((w.status("A").as_str(), w.p.core.metrics.gates), ("impl_verifying", 0));
    w.gate("A", OK);
    assert_eq!(w.status("A"), "super_wip");
}

#[test]
fn a_gate_that_is_interrupted_every_time_is_not_repeated_forever() {
    let mut w = at_gate();
    for _ in 0..20 {
        if w.task("A").state.run().is_none() {
            break;
        }
        w.gate("A", interrupted());
    }
    assert_eq!(w.status("A"), "impl_ready");
    assert!(w.reason("A").contains("interrupted"), "{}", w.reason("A"));
}

#[test]
fn a_gate_that_cannot_be_started_is_a_persons_business() {
    let mut w = at_gate();
    w.gate("A", Ended::NotStarted { message: "no shell".to_owned(), permanent: true });
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("no shell"));
}

#[test]
fn a_stopped_agents_gate_waits_for_its_start() {
    let mut w = at_gate();
    w.asked(Request::StopAgent { agent: agent("implementation") });
    w.gate("A", stopped(StopReason::Person));
    assert_eq!(w.status("A"), "impl_verifying");
    assert!(w.p.core.runs.is_empty());
    w.asked(Request::StartAgent { agent: agent("implementation") });
    w.tick();
    w.gate("A", OK);
    assert_eq!(w.status("A"), "super_wip");
}

#[test]
fn a_gate_does_not_count_as_an_agent_at_work() {
    let mut settings = settings();
    settings.scheduler.max_parallel = 1;
    let mut w = World::with(settings, vec![]);
    w.add_all(&["A", "B"]);
    w.reach("A", "impl");
    w.do_stage("A");
    assert_eq!((w.status("A").as_str(), w.status("B").as_str()), ("impl_verifying", "arch_wip"));
}

#[test]
fn cancelling_during_the_gate_stops_it() {
    let mut w = at_gate();
    let gate = w.run_of("A");
    w.start(&gate);
    w.asked(Request::Cancel { task: task("A"), reason: None });
    assert_eq!(w.run(&gate).stop, Some(StopReason::Cancelled));
    w.end(&gate, stopped(StopReason::Cancelled));
    assert!(w.p.core.runs.is_empty());
    assert_eq!(w.status("A"), "cancelled");
}

#[test]
fn without_a_verify_command_the_claim_is_believed() {
    let mut settings = settings();
    settings.verify = None;
    let mut w = World::with(settings, vec![]);
    w.add_all(&["A"]);
    w.finish("A");
    assert_eq!((w.status("A").as_str(), w.p.core.metrics.gates), ("completed", 0));
}

#[test]
fn a_gate_that_is_no_longer_configured_is_not_waited_for() {
    let mut w = at_gate();
    w.asked(Request::StopAgent { agent: agent("implementation") });
    w.gate("A", stopped(StopReason::Person));
    w.reconfigure(|s| s.verify = None);
    w.asked(Request::StartAgent { agent: agent("implementation") });
    w.tick();
    assert_eq!(w.status("A"), "super_wip");
}
