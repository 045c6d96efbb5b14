//! A worktree's set-up: a run of its own, once in a fresh worktree.

use super::world::*;
use crate::event::{Request, Seen};
use crate::run::{Ended, StopReason};
use crate::view::attention;

fn world() -> World {
    let mut w = World::workers(1, |s| s.setup = Some("npm ci".to_owned()));
    w.add_all(&["A"]);
    w.tick();
    w
}

#[test]
fn the_first_run_in_a_worktree_comes_after_its_setup() {
    let mut w = world();
    let setup = w.setup_of("w1").unwrap();
    assert_eq!(w.status("A"), "unassigned");
    w.start(&setup);
    w.end(&setup, OK);
    w.tick();
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_wip", 1));
    w.do_stage("A");
    w.add_all(&["B"]);
    w.tick();
    assert_eq!(w.status("B"), "do_wip", "once is enough");
    w.do_stage("B");
    w.reconfigure(|s| s.setup = Some("pnpm i".to_owned()));
    w.add_all(&["C"]);
    w.tick();
    assert!(w.setup_of("w1").is_some(), "a changed command is run again");
}

#[test]
fn a_gates_worktree_is_set_up_too() {
    let mut settings = settings();
    settings.setup = Some("npm ci".to_owned());
    let mut w = World::with(settings, vec![]);
    w.add_all(&["A"]);
    for (stage, worktree) in [("arch", "architect"), ("test", "test"), ("impl", "implementation")] {
        w.tick();
        let setup = w.setup_of(worktree).unwrap_or_else(|| panic!("no set-up for {stage}"));
        w.end(&setup, OK);
        w.tick();
        w.do_stage("A");
    }
    assert_eq!(w.status("A"), "impl_verifying");
    let setup = w.setup_of("gate-implementation").unwrap();
    assert_eq!(w.task("A").state.run(), None);
    w.end(&setup, OK);
    w.tick();
    w.gate("A", OK);
    assert_eq!(w.status("A"), "super_ready");
}

#[test]
fn a_failing_setup_is_retried_and_then_shown() {
    let mut w = world();
    for failures in 1..=3 {
        let setup = w.setup_of("w1").unwrap();
        assert_eq!(w.run(&setup).attempt, failures);
        w.end(&setup, BAD);
        w.tick();
        assert_eq!(w.setup_of("w1"), None);
        w.pass(600);
        w.tick();
    }
    assert_eq!(w.setup_of("w1"), None);
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("unassigned", 0));
    assert_eq!(attention(&w.p)[0].kind, "setup_failed");
    w.asked(Request::StartAgent { agent: agent("w1") });
    w.tick();
    assert!(w.setup_of("w1").is_some());
}

#[test]
fn a_gate_whose_setup_never_works_blocks_the_task() {
    let mut w = World::workers(1, |s| s.verify = Some("true".to_owned()));
    let settings = crate::settings::Settings { setup: Some("npm ci".to_owned()), ..(*w.p.core.settings).clone() };
    let mut stage = plain_stage("do", "worker");
    stage.verify = crate::workflow::Verify::Project;
    w.configure(settings, vec![workflow("solo", vec![stage], &[])]);
    w.add_all(&["A"]);
    w.tick();
    let setup = w.setup_of("w1").unwrap();
    w.end(&setup, OK);
    w.tick();
    w.do_stage("A");
    for _ in 0..3 {
        let setup = w.setup_of("gate-w1").unwrap();
        w.end(&setup, BAD);
        w.pass(600);
        w.tick();
    }
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("set-up failed"), "{}", w.reason("A"));
}

#[test]
fn a_stopped_setup_is_not_a_failure() {
    let mut w = world();
    w.asked(Request::StopAgent { agent: agent("w1") });
    let setup = w.setup_of("w1").unwrap();
    w.end(&setup, stopped(StopReason::Person));
    w.tick();
    assert!(w.p.core.runs.is_empty() && w.p.core.worktrees.is_empty());
    w.asked(Request::StartAgent { agent: agent("w1") });
    w.tick();
    assert!(w.setup_of("w1").is_some());
}

#[test]
fn a_worktree_found_fresh_takes_the_run_back_and_is_set_up() {
    let mut w = world();
    let setup = w.setup_of("w1").unwrap();
    w.end(&setup, Ended::Exited { code: 0 });
    w.tick();
    let run = w.run_of("A");
    w.seen(&run, Seen::WorktreeFresh { worktree: "w1".to_owned() });
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_ready", 0));
    w.tick();
    let setup = w.setup_of("w1").unwrap();
    w.end(&setup, OK);
    w.tick();
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_wip", 1));
}

#[test]
fn without_a_setup_command_a_fresh_worktree_is_as_good_as_any() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.tick();
    let run = w.run_of("A");
    assert_eq!(w.seen(&run, Seen::WorktreeFresh { worktree: "w1".to_owned() }), []);
    assert_eq!(w.run_of("A"), run);
}
