//! Who takes what: parallel and hybrid mode, dependencies, conflicts, limits.

use jiff::SignedDuration;

use super::world::*;
use crate::agents::preset::Preset;
use crate::event::{NewTask, Refusal, Request};
use crate::fact::TaskEdit;
use crate::mode::{Orchestration, Rollout};
use crate::run::{ClaimStatus, StopReason};
use crate::settings::FailedDependency;
use crate::view::{explain_task, waiting_reason};

#[test]
fn every_stage_works_at_once_on_its_own_task() {
    let mut w = World::new();
    w.add_all(&["TASK-A"]);
    w.reach("TASK-A", "test");
    w.add_all(&["TASK-B"]);
    w.tick();
    w.do_stage("TASK-A");
    w.do_stage("TASK-B");
    w.add_all(&["TASK-C"]);
    w.tick();
    w.do_stage("TASK-A");
    w.gate("TASK-A", OK);
    w.do_stage("TASK-B");
    w.do_stage("TASK-C");
    w.add_all(&["TASK-D"]);
    w.tick();
    for (id, agent, status) in [
        ("TASK-A", "supervisor", "super_wip"),
        ("TASK-B", "implementation", "impl_wip"),
        ("TASK-C", "test", "test_wip"),
        ("TASK-D", "architect", "arch_wip"),
    ] {
        assert_eq!((w.agent_of(id).as_str(), w.status(id).as_str()), (agent, status));
    }
}

#[test]
fn several_agents_of_one_role_work_at_once_in_the_order_of_the_configuration() {
    let mut w = World::workers(3, |_| {});
    w.add_all(&["A", "B", "C", "D"]);
    w.tick();
    let who: Vec<String> = ["A", "B", "C"].iter().map(|id| w.agent_of(id)).collect();
    assert_eq!(who, ["w1", "w2", "w3"]);
    assert_eq!(w.status("D"), "unassigned");
    w.do_stage("B");
    assert_eq!((w.status("B").as_str(), w.agent_of("D").as_str()), ("completed", "w2"));
}

#[test]
fn max_parallel_bounds_the_agents_at_work_even_when_it_shrinks() {
    let mut w = World::workers(4, |s| s.scheduler.max_parallel = 2);
    w.add_all(&["A", "B", "C", "D"]);
    w.tick();
    assert_eq!(w.p.core.runs.len(), 2);
    w.reconfigure(|s| s.scheduler.max_parallel = 1);
    w.tick();
    assert_eq!(w.p.core.runs.len(), 2, "what runs goes on");
    w.do_stage("A");
    assert_eq!(w.p.core.runs.len(), 1);
    w.reconfigure(|s| s.scheduler.max_parallel = 0);
    w.tick();
    assert_eq!(w.p.core.runs.len(), 3, "zero means as many as there are");
}

#[test]
fn a_pinned_task_waits_for_its_agent_and_only_for_this_stage() {
    let mut w = World::workers(2, |_| {});
    w.add_all(&["A", "B"]);
    w.asked(Request::Assign { task: task("B"), agent: Some(agent("w1")), interrupt: false });
    w.asked(Request::Assign { task: task("A"), agent: Some(agent("w1")), interrupt: false });
    w.tick();
    assert_eq!(w.agent_of("A"), "w1");
    assert_eq!(w.status("B"), "unassigned");
    w.do_stage("A");
    assert_eq!(w.agent_of("B"), "w1");
}

#[test]
fn a_pin_made_while_a_task_is_blocked_survives_its_retry() {
    let mut w = World::workers(2, |s| s.scheduler.retries = 0);
    w.add_all(&["A"]);
    w.tick();
    w.work("A", BAD, left_nothing());
    assert_eq!(w.status("A"), "blocked");
    w.asked(Request::Assign { task: task("A"), agent: Some(agent("w2")), interrupt: false });
    w.asked(Request::Retry { task: task("A"), message: None });
    w.tick();
    assert_eq!(w.agent_of("A"), "w2");
}

#[test]
fn reassigning_with_interrupt_stops_the_run_and_counts_no_attempt() {
    let mut w = World::workers(2, |_| {});
    w.add_all(&["A"]);
    w.tick();
    let refused = w.ask(Request::Assign { task: task("A"), agent: Some(agent("w2")), interrupt: false });
    assert!(matches!(refused, Err(Refusal::Illegal { hint: Some(_), .. })));
    w.asked(Request::Assign { task: task("A"), agent: Some(agent("w2")), interrupt: true });
    w.work("A", stopped(crate::run::StopReason::Person), left_nothing());
    assert_eq!((w.agent_of("A").as_str(), w.task("A").attempt), ("w2", 1));
}

#[test]
fn dependencies_are_all_needed() {
    let mut w = World::workers(3, |_| {});
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").on("solo").after(&["A", "B"]));
    w.tick();
    assert_eq!(waiting_reason(&w.p, w.task("C")).as_deref(), Some("waits for A, B"));
    w.do_stage("A");
    assert_eq!(w.status("C"), "unassigned");
    w.do_stage("B");
    assert_eq!(w.status("C"), "do_wip");
}

fn given_up(policy: FailedDependency) -> World {
    let mut w = World::workers(2, |s| s.scheduler.failed_dependency = policy);
    w.add_all(&["A"]);
    w.add(NewTask::named("B").on("solo").after(&["A"]));
    w.add(NewTask::named("C").on("solo").after(&["B"]));
    w.asked(Request::Cancel { task: task("A"), reason: Some("no longer wanted".to_owned()) });
    w.tick();
    w
}

#[test]
fn behind_a_cancelled_task_others_wait_for_a_person() {
    let w = given_up(FailedDependency::Block);
    assert_eq!((w.status("B").as_str(), w.status("C").as_str()), ("unassigned", "unassigned"));
    let list = crate::view::attention(&w.p);
    assert_eq!((list[0].kind, list[0].unblocks.len()), ("dependency_failed", 2));
    assert_eq!(list[0].command, "pipeline task retry A");
}

#[test]
fn behind_a_cancelled_task_others_are_given_up_too() {
    let mut w = given_up(FailedDependency::Skip);
    assert_eq!((w.status("B").as_str(), w.status("C").as_str()), ("cancelled", "cancelled"));
    assert!(w.reason("C").contains('B') && w.reason("C").contains("no longer wanted"), "{}", w.reason("C"));
    w.add(NewTask::named("D").on("solo").after(&["A"]));
    assert_eq!(crate::view::attention(&w.p)[0].kind, "dependency_failed", "who comes later is not forgotten");
}

#[test]
fn behind_a_cancelled_task_others_go_on() {
    let w = given_up(FailedDependency::Continue);
    assert_eq!((w.status("B").as_str(), w.status("C").as_str()), ("do_wip", "unassigned"));
}

#[test]
fn the_policy_applies_to_failed_tasks_and_when_it_changes() {
    let mut w = given_up(FailedDependency::Block);
    w.reconfigure(|s| s.scheduler.failed_dependency = FailedDependency::Continue);
    w.tick();
    assert_eq!(w.status("B"), "do_wip");
}

#[test]
fn a_rolled_back_dependency_names_a_command_that_is_not_refused() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.finish("A");
    w.asked(Request::RolledBack { tasks: vec![(task("A"), None)] });
    w.add(NewTask::named("B").on("solo").after(&["A"]));
    w.tick();
    assert_eq!(w.status("B"), "unassigned");
    let list = crate::view::attention(&w.p);
    assert_eq!(list[0].kind, "dependency_failed");
    assert!(w.ask(Request::Retry { task: task("A"), message: None }).is_err());
    assert!(!list[0].command.contains("retry"), "{}", list[0].command);
}

#[test]
fn overlapping_paths_hold_a_task_back_until_the_other_is_finished() {
    let mut w = World::workers(3, |_| {});
    w.add(NewTask::named("A").on("solo").paths(&["src/**"]));
    w.add(NewTask::named("B").on("solo").paths(&["src/main.rs"]));
    w.add(NewTask::named("C").on("solo").paths(&["docs/**"]));
    w.tick();
    assert_eq!((w.status("A").as_str(), w.status("C").as_str()), ("do_wip", "do_wip"));
    assert_eq!(waiting_reason(&w.p, w.task("B")).as_deref(), Some("waits for A: their paths overlap"));
    w.do_stage("A");
    assert_eq!(w.status("B"), "do_wip");
}

#[test]
fn a_task_that_was_given_up_waits_for_those_that_came_between() {
    for hybrid in [false, true] {
        let mut w = World::workers(2, |_| {});
        let orchestration = if hybrid { Orchestration::Hybrid } else { Orchestration::Parallel };
        w.mode(orchestration, Rollout::Production);
        let named = |id: &str| NewTask::named(id).on("solo");
        let add = |id: &str| if hybrid { named(id).group("g") } else { named(id).paths(&["src/**"]) };
        w.add(add("A"));
        w.add(add("B"));
        w.tick();
        assert_eq!((w.status("A").as_str(), w.status("B").as_str()), ("do_wip", "unassigned"));
        w.asked(Request::Cancel { task: task("A"), reason: None });
        let run = w.p.core.runs.keys().next().unwrap().clone();
        w.end(&run, stopped(StopReason::Cancelled));
        w.collect(&run, left_nothing());
        w.tick();
        assert_eq!(w.status("B"), "do_wip");
        w.asked(Request::Retry { task: task("A"), message: None });
        w.tick();
        assert_eq!(w.status("A"), "do_ready", "hybrid: {hybrid}");
        assert!(waiting_reason(&w.p, w.task("A")).unwrap().starts_with("waits for B"));
        w.do_stage("B");
        assert_eq!(w.status("A"), "do_wip");
        // In flight again, it waits for nobody: its own retry goes on.
        w.work("A", BAD, left_nothing());
        w.pass(600);
        w.tick();
        assert_eq!(w.status("A"), "do_wip");
    }
}

#[test]
fn an_edit_of_paths_releases_those_that_were_held() {
    let mut w = World::workers(2, |_| {});
    w.add(NewTask::named("A").on("solo").paths(&["src/**"]));
    w.add(NewTask::named("B").on("solo").paths(&["src/main.rs"]));
    w.tick();
    w.edit("A", TaskEdit { paths: Some(vec!["docs/**".to_owned()]), ..TaskEdit::default() }).unwrap();
    w.tick();
    assert_eq!(w.status("B"), "do_wip");
}

#[test]
fn many_held_tasks_are_told_at_once() {
    let mut w = World::workers(2, |_| {});
    for n in 0..50 {
        w.add(NewTask::named(&format!("T{n}")).on("solo").paths(&["src/**"]));
    }
    let mut steps = 0;
    while !w.see(crate::event::Event::Tick).is_empty() {
        steps += 1;
    }
    assert!(steps <= 3, "{steps} steps");
}

#[test]
fn hybrid_runs_one_of_a_group_at_a_time_and_groups_beside_each_other() {
    let mut w = World::workers(4, |_| {});
    w.mode(Orchestration::Hybrid, Rollout::Production);
    for (id, group) in [("A1", "a"), ("A2", "a"), ("B1", "b"), ("B2", "b")] {
        w.add(NewTask::named(id).on("solo").group(group));
    }
    w.add_all(&["FREE"]);
    w.tick();
    let status = |w: &World| ["A1", "A2", "B1", "B2", "FREE"].map(|id| w.status(id));
    assert_eq!(status(&w), ["do_wip", "unassigned", "do_wip", "unassigned", "do_wip"]);
    assert_eq!(waiting_reason(&w.p, w.task("A2")).as_deref(), Some("waits for A1: they are of one group"));
    w.do_stage("A1");
    assert_eq!(status(&w), ["completed", "do_wip", "do_wip", "unassigned", "do_wip"]);
    w.mode(Orchestration::Hybrid, Rollout::Pilot);
    w.mode(Orchestration::Hybrid, Rollout::Production);
    w.tick();
    assert_eq!(w.status("B2"), "unassigned", "a hold is found again after a mode switch");
}

#[test]
fn a_group_means_nothing_in_parallel_mode() {
    let mut w = World::workers(2, |_| {});
    for id in ["A", "B"] {
        w.add(NewTask::named(id).on("solo").group("g"));
    }
    w.tick();
    assert_eq!(w.status("B"), "do_wip");
}

#[test]
fn one_agent_keeps_its_stage_while_its_claim_is_checked() {
    let mut w = World::new();
    w.add_all(&["A", "B"]);
    w.reach("A", "impl");
    w.do_stage("B");
    w.do_stage("B");
    assert_eq!(w.status("B"), "impl_ready");
    w.do_stage("A");
    assert_eq!(w.status("A"), "impl_verifying");
    assert_eq!(w.status("B"), "impl_ready", "a failed gate has to find its agent free");
    w.gate("A", OK);
    assert_eq!((w.status("A").as_str(), w.status("B").as_str()), ("super_wip", "impl_wip"));
}

#[test]
fn starts_of_one_preset_are_staggered_where_it_is_asked_for() {
    let stagger = SignedDuration::from_secs(10);
    let mut w = World::workers(4, |s| {
        s.scheduler.stagger = stagger;
        s.agents[3].preset = Preset::Demo;
    });
    w.add_all(&["A", "B", "C", "D"]);
    w.tick();
    let working = |w: &World| {
        let mut names: Vec<String> = w.p.core.runs.values().map(|run| run.agent.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(working(&w), ["w1", "w4"], "another preset has starts of its own");
    let next = w.at.checked_add(stagger).unwrap();
    assert_eq!(w.p.next_deadline_after(w.at), Some(next), "nobody has to look before");
    let explained = explain_task(&w.p, w.task("C"));
    let rule = format!("stage do waits until {next}: starts of custom agents are 10s apart");
    assert_eq!((explained.rule, explained.would_change.len()), (rule, 1));
    w.pass(9);
    assert_eq!(w.tick(), []);
    w.at = next;
    w.tick();
    assert_eq!(working(&w).len(), 3);
    // Whoever ends meanwhile does not start again at once.
    let (ended, stage) = (w.agent_of("A"), w.status("D"));
    w.work("A", OK, left(ClaimStatus::Completed));
    w.tick();
    assert_eq!(
        (w.status("A").as_str(), w.status("D"), w.p.core.agents[&agent(&ended)].run.as_ref()),
        ("completed", stage, None)
    );
    w.at = w.p.next_deadline().unwrap();
    assert_eq!(w.at, next.checked_add(stagger).unwrap());
    w.tick();
    assert_eq!(w.status("D"), "do_wip");
    assert_eq!(w.p.next_deadline_after(w.at), None, "nothing is left to start");
    w.reconfigure(|s| s.scheduler.stagger = SignedDuration::ZERO);
    assert_eq!(w.p.staggered_until(Preset::Custom, w.at), None);
}

#[test]
fn a_clock_that_ran_ahead_staggers_nothing_for_long() {
    let mut w = World::workers(2, |s| s.scheduler.stagger = SignedDuration::from_secs(10));
    w.add_all(&["A"]);
    w.pass(3_600);
    w.tick();
    w.pass(-3_600);
    w.add_all(&["B"]);
    w.tick();
    assert_eq!(w.status("B"), "do_wip");
}
