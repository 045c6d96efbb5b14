//! What people ask for: examples, and every request in every state.

use std::fmt::Write as _;

use super::world::*;
use crate::event::{AdvanceOutcome, Event, NewTask, Refusal, Request};
use crate::fact::TaskEdit;
use crate::ids::CommitId;
use crate::mode::{Orchestration, Rollout};
use crate::run::{ClaimSource, ClaimStatus};
use crate::settings::Settings;
use crate::task::Dirty;
use crate::workflow::Verify;

#[test]
fn unnamed_tasks_are_numbered_past_those_that_exist() {
    let mut w = World::new();
    w.add(NewTask::titled("first"));
    w.add_all(&["TASK-007"]);
    w.add(NewTask::titled("next"));
    assert!(w.p.task("TASK-001").is_some() && w.p.task("TASK-008").is_some());
    w.add_all(&["TASK-18446744073709551615"]);
    w.add(NewTask::titled("after the largest number"));
    assert!(w.p.task("TASK-009").is_some());
}

#[test]
fn an_import_is_all_or_nothing_and_may_refer_forwards() {
    let mut w = World::new();
    let good = vec![NewTask::named("B").after(&["A"]), NewTask::named("A")];
    w.asked(Request::AddTasks(good));
    assert_eq!(w.p.tasks.in_order().iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["B", "A"], "the file's order");
    assert!(w.p.waits_for_dependencies(w.task("B")));
    let seq = w.p.core.seq;
    for (bad, message) in [
        (vec![NewTask::named("C"), NewTask::named("A")], "task `A` exists already"),
        (vec![NewTask::named("C"), NewTask::named("a")], "task `A` exists already"),
        (vec![NewTask::named("C"), NewTask::named("c")], "task `c` exists already"),
        (vec![NewTask::named("C").after(&["NOPE"])], "task `C` depends on `NOPE`, which does not exist"),
        (vec![NewTask::named("C").after(&["C"])], "these tasks would wait for each other: C → C"),
        (
            vec![
                NewTask::named("C").after(&["D"]),
                NewTask::named("D").after(&["E", "A"]),
                NewTask::named("E").after(&["C"]),
            ],
            "these tasks would wait for each other: C → D → E → C",
        ),
        (vec![NewTask::named("C").on("nope")], "there is no workflow `nope`"),
        (vec![NewTask { title: "  ".to_owned(), ..NewTask::named("C") }], "a task needs a title"),
        (
            vec![NewTask { title: "x".repeat(10_000), ..NewTask::named("C") }],
            "the title is longer than 300 characters; use --body",
        ),
        (
            vec![NewTask { title: "a\nb".to_owned(), ..NewTask::named("C") }],
            "the title contains a line break or another control character",
        ),
        (vec![NewTask::named("C").priority(0)], "priority 0 is not in 1 (most urgent) to 9"),
        (vec![NewTask::named("C").paths(&["../x"])], "`../x` is not a path inside the repository"),
        (vec![NewTask::named("C").paths(&["/etc"])], "`/etc` is not a path inside the repository"),
    ] {
        let refused = w.ask(Request::AddTasks(bad)).unwrap_err();
        assert_eq!(refused.to_string(), message);
        assert_eq!(w.p.core.seq, seq, "nothing has changed");
    }
}

#[test]
fn ids_that_differ_by_case_are_duplicates_whichever_comes_first() {
    let mut w = World::new();
    w.add_all(&["task-001", "Fix"]);
    assert!(matches!(w.ask(Request::AddTasks(vec![NewTask::named("TASK-001")])), Err(Refusal::Duplicate(_))));
    assert!(matches!(w.ask(Request::AddTasks(vec![NewTask::named("FIX")])), Err(Refusal::Duplicate(_))));
    w.add(NewTask::titled("numbered"));
    assert!(w.p.task("TASK-002").is_some(), "TASK-001 would share the file of task-001");
    assert!(matches!(w.ask(Request::AddTasks(vec![NewTask::named("task-002")])), Err(Refusal::Duplicate(_))));
}

#[test]
fn ten_thousand_named_tasks_are_imported_in_no_time() {
    let mut core = crate::pipeline::Pipeline::default();
    let new: Vec<NewTask> = (0..10_000).map(|n| NewTask::named(&format!("feature-{n}"))).collect();
    let now = crate::decide::Now { at: begin(), entropy: 1 };
    let facts = crate::decide::decide(&core, &Event::Ask(Request::AddTasks(new)), now).unwrap();
    for fact in &facts {
        core.apply(begin(), fact);
    }
    for n in 0..200 {
        let new = vec![NewTask::named(&format!("extra-{n}"))];
        crate::decide::decide(&core, &Event::Ask(Request::AddTasks(new)), now).unwrap();
    }
}

#[test]
fn an_edit_that_would_close_a_circle_prints_it() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.add(NewTask::named("B").after(&["A"]));
    w.add(NewTask::named("C").after(&["B"]));
    let refused = w.edit("A", TaskEdit { depends_on: Some(vec![task("C")]), ..TaskEdit::default() }).unwrap_err();
    let Refusal::Cycle(cycle) = &refused else { panic!("{refused:?}") };
    assert_eq!(cycle.len(), 3);
    assert_eq!(refused.to_string(), "these tasks would wait for each other: A → C → B → A");
    let own = w.edit("A", TaskEdit { depends_on: Some(vec![task("A")]), ..TaskEdit::default() }).unwrap_err();
    assert_eq!(own, Refusal::Cycle(vec![task("A")]));
}

#[test]
fn a_circle_is_found_in_a_long_chain_without_copying_it() {
    let mut p = crate::pipeline::Pipeline::default();
    let now = crate::decide::Now { at: begin(), entropy: 1 };
    let chain = (0..20_000).map(|n| {
        let new = NewTask::named(&format!("TASK-{n}"));
        if n == 0 { new } else { new.after(&[&format!("TASK-{}", n - 1)]) }
    });
    let facts = crate::decide::decide(&p, &Event::Ask(Request::AddTasks(chain.collect())), now).unwrap();
    for fact in &facts {
        p.apply(begin(), fact);
    }
    let edit = TaskEdit { depends_on: Some(vec![task("TASK-19999")]), ..TaskEdit::default() };
    let refused =
        crate::decide::decide(&p, &Event::Ask(Request::Edit { task: task("TASK-0"), edit }), now).unwrap_err();
    assert!(matches!(refused, Refusal::Cycle(cycle) if cycle.len() == 20_000));
}

#[test]
fn a_started_task_keeps_its_workflow() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A", "B"]);
    w.tick();
    let edit = || TaskEdit { workflow: Some(crate::ids::WorkflowId::new("tdd").unwrap()), ..TaskEdit::default() };
    assert!(matches!(w.edit("A", edit()), Err(Refusal::Invalid(_))));
    w.edit("B", edit()).unwrap();
    assert_eq!(w.task("B").workflow.as_str(), "tdd");
}

#[test]
fn finished_tasks_beyond_the_limit_leave_the_live_state_and_keep_satisfying() {
    let mut w = World::workers(1, |s| s.scheduler.keep_finished = 2);
    w.add_all(&["A", "B", "C", "D"]);
    for id in ["A", "B", "C"] {
        w.finish(id);
        w.pass(1);
    }
    w.tick();
    assert!(w.p.task("A").is_none());
    assert_eq!(w.p.core.archived[&task("A")].status, "completed");
    w.add(NewTask::named("E").on("solo").after(&["A"]).priority(1));
    w.do_stage("D");
    assert_eq!(w.status("E"), "do_wip");
    assert!(matches!(w.ask(Request::AddTasks(vec![NewTask::named("A")])), Err(Refusal::Duplicate(_))));
    assert!(matches!(w.ask(Request::AddTasks(vec![NewTask::named("a")])), Err(Refusal::Duplicate(_))));
    let figures = crate::view::metrics(&w.p, w.at);
    assert_eq!((figures.tasks_total, figures.tasks_completed), (5, 4));
}

#[test]
fn a_given_up_task_that_others_wait_for_is_not_archived() {
    let mut w = World::workers(1, |s| s.scheduler.keep_finished = 0);
    w.add_all(&["A", "X"]);
    w.add(NewTask::named("B").on("solo").after(&["A"]));
    w.asked(Request::Cancel { task: task("A"), reason: None });
    w.asked(Request::Cancel { task: task("X"), reason: None });
    w.tick();
    assert!(w.p.task("X").is_none());
    assert_eq!(crate::view::attention(&w.p)[0].kind, "dependency_failed", "nobody would ever know why B waits");
    w.asked(Request::Retry { task: task("A"), message: None });
    w.finish("A");
    assert_eq!(w.status("B"), "do_wip");
    w.tick();
    assert!(w.p.task("A").is_none());
}

#[test]
fn cancelling_a_live_task_stops_its_run() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A", "B"]);
    w.tick();
    let run = w.run_of("A");
    w.asked(Request::Cancel { task: task("A"), reason: Some("wrong idea".to_owned()) });
    assert_eq!((w.status("A").as_str(), w.reason("A")), ("cancelled", "wrong idea"));
    assert_eq!(w.status("B"), "unassigned");
    w.end(&run, stopped(crate::run::StopReason::Cancelled));
    assert_eq!(w.effects(), [crate::fact::Effect::Collect { run: run.clone() }], "its work is kept");
    w.collect(&run, left_nothing());
    w.tick();
    assert_eq!((w.status("A").as_str(), w.status("B").as_str()), ("cancelled", "do_wip"));
}

#[test]
fn a_cancelled_task_goes_on_at_its_stage_when_retried() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    let run = w.run_of("A");
    w.asked(Request::Cancel { task: task("A"), reason: None });
    w.asked(Request::Retry { task: task("A"), message: Some("do it after all".to_owned()) });
    assert_eq!(w.status("A"), "impl_ready");
    w.end(&run, stopped(crate::run::StopReason::Cancelled));
    w.collect(&run, left_nothing());
    w.tick();
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("impl_wip", 1));
    assert_eq!(w.task("A").feedback.as_deref(), Some("do it after all"));
}

#[test]
fn a_task_cancelled_between_two_stages_goes_on_at_the_second() {
    let mut w = World::new();
    w.add_all(&["A", "B"]);
    w.tick();
    w.asked(Request::StopAgent { agent: agent("test") });
    w.do_stage("A");
    assert_eq!(w.status("A"), "test_ready");
    w.asked(Request::Cancel { task: task("A"), reason: None });
    w.asked(Request::Retry { task: task("A"), message: None });
    assert_eq!(w.status("A"), "test_ready", "what the first stage did is not done again");
}

#[test]
fn a_wait_that_goes_on_counts_as_far_as_it_has_gone() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.asked(Request::Block { task: task("A"), reason: "later".to_owned() });
    let waited = |w: &World, seconds| {
        let now = w.p.core.updated_at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        crate::view::metrics(&w.p, now).attention_wait_seconds.p90
    };
    assert_eq!((waited(&w, 0), waited(&w, 90)), (0.0, 90.0));
}

#[test]
fn it_is_known_since_when_a_run_is_being_stopped() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.tick();
    let stopped = |w: &World| w.p.core.runs.values().next().map(|run| (run.stop.is_some(), run.stop_at));
    assert_eq!(stopped(&w), Some((false, None)));
    w.asked(Request::Cancel { task: task("A"), reason: None });
    assert_eq!(stopped(&w), Some((true, Some(w.p.core.updated_at))));
}

#[test]
fn block_and_unblock_return_a_task_to_its_stage() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A", "B"]);
    w.asked(Request::Block { task: task("B"), reason: "later".to_owned() });
    w.tick();
    w.do_stage("A");
    assert_eq!((w.status("B").as_str(), w.reason("B")), ("blocked", "later"));
    w.asked(Request::Unblock { task: task("B") });
    assert_eq!(w.status("B"), "unassigned");
    w.tick();
    w.pass(30);
    w.asked(Request::Block { task: task("B"), reason: "stop".to_owned() });
    w.pass(-60);
    w.asked(Request::Unblock { task: task("B") });
    assert_eq!(w.status("B"), "do_ready");
    assert_eq!(w.p.core.metrics.attention_seconds.quantile(0.0), 0.0, "no wait is shorter than none");
}

#[test]
fn only_a_completed_task_is_rolled_back_and_only_once() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    let back = || Request::RolledBack { tasks: vec![(task("A"), Some(CommitId::from("abc".to_owned())))] };
    assert!(matches!(w.ask(back()), Err(Refusal::Illegal { .. })));
    w.finish("A");
    w.asked(back());
    assert_eq!((w.status("A").as_str(), w.reason("A")), ("rolled_back", "its merge was reverted by abc"));
    assert!(matches!(w.ask(back()), Err(Refusal::Illegal { .. })));
    assert_eq!(w.p.core.metrics.rollbacks, 1);
}

/// Every kind of place a task can be in, by name.
fn places() -> Vec<(&'static str, World)> {
    let mut review = plain_stage("do", "worker");
    review.approval = true;
    review.merge = true;
    review.verify = Verify::Command("true".to_owned());
    review.decisions = choices(&["success", "other"]);
    let mut fork = plain_stage("do", "worker");
    fork.decisions = choices(&["left", "right"]);
    let flows = vec![
        solo(),
        workflow("review", vec![review], &[("do", None, Some("success")), ("do", Some("do"), Some("other"))]),
        workflow("fork", vec![fork], &[("do", None, None)]),
        workflow(
            "fails",
            vec![plain_stage("do", "worker")],
            &[("do", None, Some("failed")), ("do", None, Some("success"))],
        ),
    ];
    let make = |flow: &str, lead: &dyn Fn(&mut World)| {
        let mut settings = Settings { agents: vec![worker("w1", "worker")], ..Settings::default() };
        settings.scheduler.retries = 0;
        let mut w = World::with(settings, flows.clone());
        w.add(NewTask::named("A").on(flow));
        lead(&mut w);
        w
    };
    let dirty = || AdvanceOutcome::Dirty(Dirty { files: vec!["a".to_owned()], command: "git stash".to_owned() });
    let claimed = |w: &mut World| {
        w.tick();
        w.do_stage("A");
    };
    let gated = |w: &mut World| {
        claimed(w);
        w.merged("A");
    };
    let asked = |w: &mut World| {
        gated(w);
        w.gate("A", OK);
    };
    let advancing = |w: &mut World| {
        asked(w);
        w.asked(Request::Approve { by: None, task: task("A"), decision: None });
    };
    vec![
        ("unassigned", make("solo", &|_| {})),
        (
            "ready",
            make("review", &|w| {
                asked(w);
                w.asked(Request::Reject { task: task("A"), message: None });
            }),
        ),
        ("working", make("solo", &|w| drop(w.tick()))),
        ("merging", make("review", &claimed)),
        (
            "gate due",
            make("review", &|w| {
                claimed(w);
                w.asked(Request::StopAgent { agent: agent("w1") });
                w.merged("A");
            }),
        ),
        ("gate runs", make("review", &gated)),
        ("advancing", make("review", &advancing)),
        (
            "dirty",
            make("review", &|w| {
                advancing(w);
                w.advanced("A", dirty());
            }),
        ),
        ("approval", make("review", &asked)),
        (
            "review",
            make("solo", &|w| {
                w.tick();
                w.work("A", OK, left(ClaimStatus::NeedsReview));
            }),
        ),
        ("decision", make("fork", &claimed)),
        (
            "blocked",
            make("solo", &|w| {
                w.tick();
                w.work("A", BAD, left_nothing());
            }),
        ),
        (
            "blocked new",
            make("solo", &|w| {
                w.asked(Request::Block { task: task("A"), reason: String::new() });
            }),
        ),
        (
            "failed",
            make("fails", &|w| {
                w.tick();
                w.work("A", BAD, left_nothing());
            }),
        ),
        ("completed", make("solo", &claimed)),
        (
            "cancelled",
            make("solo", &|w| {
                w.asked(Request::Cancel { task: task("A"), reason: None });
            }),
        ),
        (
            "cancelled live",
            make("solo", &|w| {
                w.tick();
                w.asked(Request::Cancel { task: task("A"), reason: None });
            }),
        ),
        (
            "rolled back",
            make("solo", &|w| {
                claimed(w);
                w.asked(Request::RolledBack { tasks: vec![(task("A"), None)] });
            }),
        ),
    ]
}

/// Every request about task A and its agent.
fn requests() -> Vec<(&'static str, Request)> {
    let a = || task("A");
    let title = TaskEdit { title: Some("new".to_owned()), ..TaskEdit::default() };
    let pin = TaskEdit { pinned_agent: Some(Some(agent("w1"))), ..TaskEdit::default() };
    let done = crate::run::Claim { source: ClaimSource::Command, ..claim(ClaimStatus::Completed) };
    vec![
        ("add", Request::AddTasks(vec![NewTask::named("A")])),
        ("edit", Request::Edit { task: a(), edit: title }),
        ("pin", Request::Edit { task: a(), edit: pin }),
        ("assign", Request::Assign { task: a(), agent: Some(agent("w1")), interrupt: false }),
        ("unassign", Request::Assign { task: a(), agent: None, interrupt: false }),
        ("reassign", Request::Assign { task: a(), agent: None, interrupt: true }),
        ("retry", Request::Retry { task: a(), message: Some("again".to_owned()) }),
        ("block", Request::Block { task: a(), reason: "why".to_owned() }),
        ("unblock", Request::Unblock { task: a() }),
        ("cancel", Request::Cancel { task: a(), reason: None }),
        ("approve", Request::Approve { by: None, task: a(), decision: None }),
        ("decide", Request::Approve { by: None, task: a(), decision: Some("other".to_owned()) }),
        ("reject", Request::Reject { task: a(), message: None }),
        ("rollback", Request::RolledBack { tasks: vec![(a(), None)] }),
        ("stop", Request::StopAgent { agent: agent("w1") }),
        ("start", Request::StartAgent { agent: agent("w1") }),
        ("done", Request::Done { task: Some(a()), run: None, claim: done }),
    ]
}

/// What became of each request: where the task is then, `=` where nothing changed, `-` where it was refused.
#[test]
fn every_request_in_every_state_leads_to_a_legal_state_or_is_refused() {
    let mut table = String::new();
    for (place, world) in places() {
        let _ = write!(table, "{place:>14}:");
        for (verb, request) in requests() {
            let mut w = world.clone();
            let before = w.p.clone();
            let answer = match w.ask(request) {
                Ok(facts) if facts.is_empty() => "=".to_owned(),
                Ok(_) => w.status("A"),
                Err(refusal) => {
                    assert!(w.p == before, "{verb} while {place} was refused and changed something");
                    assert!(!matches!(refusal, Refusal::NoTask(_)), "{verb} while {place}: the task exists");
                    assert!(!refusal.to_string().is_empty());
                    "-".to_owned()
                }
            };
            let _ = write!(table, " {verb} {answer}");
            w.tick();
        }
        table.push('\n');
    }
    let expected = include_str!("requests.txt");
    assert!(table == expected, "the table has changed; it is now:\n{table}");
}

#[test]
fn every_request_about_what_does_not_exist_names_it() {
    let mut w = World::new();
    w.add_all(&["B"]);
    for (verb, request) in requests() {
        match verb {
            "add" => continue,
            "stop" | "start" => assert!(matches!(w.ask(request), Err(Refusal::NoAgent(name)) if name == "w1")),
            _ => assert!(matches!(w.ask(request), Err(Refusal::NoTask(id)) if id == "A"), "{verb}"),
        }
    }
    let nobody = Request::Assign { task: task("B"), agent: Some(agent("w9")), interrupt: false };
    assert!(matches!(w.ask(nobody), Err(Refusal::NoAgent(_))));
}

#[test]
fn every_request_in_shadow_leads_to_a_legal_state_and_no_effect() {
    for (_, mut world) in places() {
        world.mode(Orchestration::Parallel, Rollout::Shadow);
        for (_, request) in requests() {
            let mut w = world.clone();
            drop(w.ask(request));
            w.tick();
            let harmless = |e: &crate::fact::Effect| {
                matches!(e, crate::fact::Effect::Stop { .. } | crate::fact::Effect::Collect { .. })
            };
            assert!(w.effects().iter().all(harmless), "{:?}", w.effects());
        }
    }
}
