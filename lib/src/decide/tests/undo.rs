//! Taking back commands: each in many states, brought back again, and refused once something was built on it.

use super::world::*;
use crate::event::{Busy, NewTask, Refusal, Request};
use crate::fact::{Fact, TaskEdit};
use crate::mode::{Mode, Orchestration, PilotScope, Rollout};
use crate::pipeline::Pipeline;
use crate::run::{ClaimStatus, StopReason};
use crate::task::{Step, Task, TaskState};

/// What a person sees of a state: an undone command leaves all of it as it was.
fn seen(p: &Pipeline) -> impl PartialEq + std::fmt::Debug + use<> {
    let task = |task: &&Task| Task { held: None, not_before: None, runs: Vec::new(), ..(*task).clone() };
    let agents = p.core.agents.iter().map(|(name, agent)| (name.clone(), agent.stopped, agent.broken.clone()));
    let tasks: Vec<Task> = p.tasks.in_order().iter().map(task).collect();
    (tasks, agents.collect::<Vec<_>>(), p.core.mode, p.core.pending_mode, p.core.pilot.clone())
}

/// A world with a task in each of the states that a person meets.
fn populated() -> World {
    let mut w = World::new();
    w.add(NewTask::named("EARLY"));
    w.finish("EARLY");
    w.add_all(&["BUSY"]);
    w.reach("BUSY", "test");
    w.add_all(&["FRESH"]);
    w.add(NewTask::named("BEHIND").after(&["FRESH"]));
    w.add_all(&["ASIDE", "GONE"]);
    w.asked(Request::Block { task: task("ASIDE"), reason: "later".to_owned() });
    w.asked(Request::Cancel { task: task("GONE"), reason: None });
    w.asked(Request::StopAgent { agent: agent("supervisor") });
    w
}

fn requests() -> Vec<Request> {
    let edit = TaskEdit { title: Some("new".to_owned()), depends_on: Some(vec![]), ..TaskEdit::default() };
    let mut all = vec![
        Request::AddTasks(vec![NewTask::named("N2").after(&["N1"]), NewTask::named("N1")]),
        Request::StopAgent { agent: agent("test") },
        Request::StartAgent { agent: agent("supervisor") },
        Request::SetRollout { rollout: Rollout::Shadow, unready: false },
        Request::SetMode {
            mode: Mode { orchestration: Orchestration::Sequential, rollout: Rollout::Pilot },
            busy: Busy::Drain,
            unready: false,
        },
        Request::SetPilot { scope: PilotScope { tasks: [task("BUSY")].into(), ..PilotScope::default() } },
    ];
    for id in ["EARLY", "BUSY", "FRESH", "BEHIND", "ASIDE", "GONE"] {
        let task = task(id);
        all.push(Request::Edit { task: task.clone(), edit: edit.clone() });
        for interrupt in [false, true] {
            all.push(Request::Assign { task: task.clone(), agent: Some(agent("supervisor")), interrupt });
        }
        all.push(Request::Retry { task: task.clone(), message: Some("again".to_owned()) });
        all.push(Request::Block { task: task.clone(), reason: "why".to_owned() });
        all.push(Request::Unblock { task: task.clone() });
        all.push(Request::Cancel { task, reason: None });
    }
    all
}

/// Everything a person can ask for in such a world is put back, and brought back by undoing the undo.
#[test]
fn every_command_is_put_back_and_brought_back() {
    let world = populated();
    let mut undone = 0;
    for request in requests() {
        let mut w = world.clone();
        let before = w.p.clone();
        let Ok(facts) = w.ask(request.clone()) else { continue };
        if facts.is_empty() {
            continue;
        }
        let (after, stopped) = (w.p.clone(), facts.iter().any(|fact| matches!(fact, Fact::RunStopping { .. })));
        let inverse = w.undo(&before, &facts).unwrap_or_else(|refusal| panic!("{request:?}: {refusal}"));
        let as_it_was = |w: &World| seen(&w.p) == seen(&before);
        // A run that was stopped is not brought back: its stage begins anew.
        let was_working = matches!(before.task("BUSY").unwrap().state, TaskState::Working { .. });
        let again = stopped && was_working && matches!(w.task("BUSY").state, TaskState::Ready { .. });
        assert!(as_it_was(&w) || again, "{request:?}\n{:#?}\n{:#?}", seen(&w.p), seen(&before));
        let seq = w.p.core.seq;
        w.undo(&after, &inverse).unwrap_or_else(|refusal| panic!("redo {request:?}: {refusal}"));
        assert!(seen(&w.p) == seen(&after), "redo {request:?}\n{:#?}\n{:#?}", seen(&w.p), seen(&after));
        assert!(w.p.core.seq > seq);
        undone += 1;
    }
    assert!(undone >= 20, "only {undone} of them changed anything");
}

/// Does something and returns what is needed to take it back.
fn done(w: &mut World, request: Request) -> (Pipeline, Vec<Fact>) {
    let before = w.p.clone();
    let facts = w.asked(request);
    (before, facts)
}

fn why(refused: Result<Vec<Fact>, Refusal>) -> String {
    match refused {
        Err(Refusal::NotUndone { why, next }) => {
            assert!(next.contains('`'), "a command is named: {next}");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_added_task_that_has_started_or_is_depended_on_stays() {
    let mut w = World::new();
    let (before, facts) = done(&mut w, Request::AddTasks(vec![NewTask::named("A")]));
    let mut depended_on = w.clone();
    depended_on.add(NewTask::named("B").after(&["A"]));
    assert_eq!(why(depended_on.undo(&before, &facts)), "B depends on A");
    w.tick();
    assert_eq!(why(w.undo(&before, &facts)), "A has moved on since: it is arch_wip");
}

#[test]
fn a_name_that_was_taken_back_is_free_and_its_number_is_not() {
    let mut w = World::new();
    let (before, facts) = done(&mut w, Request::AddTasks(vec![NewTask::named("Fix"), NewTask::titled("one")]));
    w.undo(&before, &facts).unwrap();
    assert_eq!(w.p.tasks.len(), 0);
    w.add(NewTask::named("FIX"));
    w.add(NewTask::titled("two"));
    assert!(w.p.task("TASK-002").is_some(), "somebody may have heard of TASK-001");
}

#[test]
fn a_cancelled_run_ends_and_its_stage_begins_anew() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.tick();
    let run = w.run_of("A");
    w.start(&run);
    let (before, facts) = done(&mut w, Request::Cancel { task: task("A"), reason: None });
    w.end(&run, stopped(StopReason::Cancelled));
    w.collect(&run, left_nothing());
    w.tick();
    assert_eq!(w.status("A"), "cancelled");
    w.undo(&before, &facts).unwrap();
    assert_eq!((w.status("A"), w.task("A").attempt, w.task("A").runs.len()), ("arch_ready".to_owned(), 0, 1));
    w.finish("A");
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_claim_that_was_being_checked_is_checked_again() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    w.do_stage("A");
    let gate = w.run_of("A");
    w.start(&gate);
    let (before, facts) = done(&mut w, Request::Block { task: task("A"), reason: "wait".to_owned() });
    w.undo(&before, &facts).unwrap();
    assert!(matches!(w.task("A").state, TaskState::Verifying { step: Step::Gate { run: None, .. }, .. }));
    w.end(&gate, stopped(StopReason::Cancelled));
    w.tick();
    w.finish("A");
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn what_went_on_since_is_not_taken_back() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.asked(Request::Block { task: task("A"), reason: "wait".to_owned() });
    let (before, facts) = done(&mut w, Request::Unblock { task: task("A") });
    w.tick();
    assert_eq!(why(w.undo(&before, &facts)), "A has moved on since: it is arch_wip");
}

#[test]
fn an_approval_and_a_rollback_stand() {
    let approved = plain_stage("do", "worker");
    let mut stage = approved.clone();
    stage.approval = true;
    let agents = vec![worker("w1", "worker")];
    let settings = crate::settings::Settings { agents, ..crate::settings::Settings::default() };
    let mut w = World::with(settings, vec![workflow("ask", vec![stage], &[])]);
    w.add(NewTask::named("A").on("ask"));
    w.tick();
    w.work("A", OK, left(ClaimStatus::Completed));
    assert_eq!(w.status("A"), "awaiting_approval");
    let approve = Request::Approve { by: Some("somebody".to_owned()), task: task("A"), decision: None };
    let (before, facts) = done(&mut w, approve);
    assert!(why(w.undo(&before, &facts)).contains("approved"));
    w.finish("A");
    let (before, facts) = done(&mut w, Request::RolledBack { tasks: vec![(task("A"), None)] });
    assert!(why(w.undo(&before, &facts)).contains("reverted"));
}

#[test]
fn a_mode_is_switched_back_unless_agents_work_in_it_or_it_went_on() {
    let mut w = World::new();
    let sequential = Mode { orchestration: Orchestration::Sequential, rollout: Rollout::Production };
    let switch = Request::SetMode { mode: sequential, busy: Busy::Refuse, unready: true };
    let (before, facts) = done(&mut w, switch);
    w.add_all(&["A"]);
    w.read_current(None);
    assert!(why(w.undo(&before, &facts)).contains("begun to work"));
    let (before, facts) = done(&mut w, Request::SetRollout { rollout: Rollout::Shadow, unready: false });
    let inverse = w.undo(&before, &facts).unwrap();
    assert_eq!(inverse, [Fact::ModeChanged { mode: sequential, unready: true }], "bolder again, without evidence");
    w.asked(Request::SetRollout { rollout: Rollout::Pilot, unready: false });
    assert!(why(w.undo(&before, &facts)).contains("switched since"));
}

#[test]
fn an_agent_that_works_again_is_not_stopped_by_an_undo() {
    let mut w = World::new();
    w.asked(Request::StopAgent { agent: agent("architect") });
    let (before, facts) = done(&mut w, Request::StartAgent { agent: agent("architect") });
    w.add_all(&["A"]);
    w.tick();
    assert_eq!(why(w.undo(&before, &facts)), "architect has begun to work since");
}
