//! A hub in the engine: it looks, delegates, mends, validates, gives up.

use super::compose::{command, parts_of, places};
use super::world::*;
use crate::event::{Collected, NewTask, Request};
use crate::ids::Role;
use crate::run::Ended;
use crate::task::{Decider, Recorded, Replay};
use crate::view::attention;
use crate::workflow::hub::{Budget, Hub, RESET_ADVICE, Requirement};
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
        ..Hub::default()
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

/// The same with an agent of the role `worker` as the brain.
fn with_brain(budget: Budget) -> World {
    let mut flow = infrastructure();
    if let Doing::Hub(hub) = &mut flow.stages[0].doing {
        hub.budget = budget;
    }
    flow.stages[0].role = Role::new("worker").unwrap();
    let mut w = World::with(places(), vec![flow]);
    w.add(NewTask::named("A").on("infra"));
    w.tick();
    w
}

/// The agent of the hub is at work and ends like this.
fn answers(w: &mut World, how: Ended, left: Collected) {
    assert_eq!(w.status("A"), "hub_wip");
    let run = w.run_of("A");
    assert_eq!((&w.run(&run).work, w.agent_of("A").as_str()), (&crate::run::Work::Agent, "w1"));
    w.work("A", how, left);
}

fn last_decision(w: &World) -> (String, Option<Decider>) {
    let output = w.task("A").outputs.iter().rev().find(|output| output.stage.as_str() == "hub").unwrap();
    (output.decision.clone(), output.by.clone())
}

#[test]
fn an_agent_that_a_hub_names_is_asked_after_the_look_and_followed() {
    let mut w = with_brain(Budget::default());
    looks(&mut w, "111");
    let question = w.task("A").question().unwrap().clone();
    let words: Vec<&str> = question.offers.iter().map(|offer| offer.word.as_str()).collect();
    assert_eq!(words, ["delegate_daemon", "escalate"]);
    for part in
        ["daemon does not hold (stage daemon)", "pool does not hold (stage pool, needs daemon)", "`delegate_daemon`"]
    {
        assert!(question.told.contains(part), "{part} is not in {}", question.told);
    }
    answers(&mut w, OK, left_deciding("delegate_daemon"));
    assert_eq!(w.status("A"), "daemon_wip");
    assert_eq!(last_decision(&w), ("delegate_daemon".to_owned(), Some(Decider::Agent)));
    assert_eq!(w.task("A").outputs[0].who(), "w1");
    w.work("A", OK, left_nothing());
    looks(&mut w, "011");
    answers(&mut w, OK, left_deciding("delegate_pool"));
    assert_eq!(w.status("A"), "pool_wip", "the rules would have started both");
    assert_eq!(w.task("A").brain.as_ref().unwrap().asked, 2);
    let explained = crate::view::explain_task(&w.p, w.task("A")).observations.join("\n");
    assert!(explained.contains("hub decided delegate_pool, by w1"), "{explained}");
}

#[test]
fn an_answer_that_is_not_legal_is_refused_once_and_then_the_rules_decide_and_say_so() {
    for second in [Some("delegate_pool"), None] {
        let mut w = with_brain(Budget::default());
        looks(&mut w, "111");
        answers(&mut w, OK, left_deciding("complete"));
        let question = w.task("A").question().unwrap();
        assert_eq!((question.tries, w.status("A").as_str()), (2, "hub_wip"));
        assert!(question.refused.as_ref().unwrap().contains("`complete` is no legal decision now"), "{question:?}");
        assert_eq!(w.task("A").runs.last().unwrap().verdict, crate::run::Verdict::Failed);
        match second {
            Some(word) => answers(&mut w, OK, left_deciding(word)),
            None => answers(&mut w, BAD, left_nothing()),
        }
        assert_eq!(w.status("A"), "daemon_wip");
        let (decision, by) = last_decision(&w);
        let Some(Decider::Rules { why: Some(why) }) = by else { panic!("{by:?}") };
        assert_eq!(decision, "delegate_daemon");
        assert!(why.contains("w1 was asked 2 times"), "{why}");
        assert!(w.p.core.patterns.is_empty(), "an answer is no attempt: {:?}", w.p.core.patterns);
    }
}

#[test]
fn a_hubs_agent_has_a_budget_and_then_the_rules_go_on() {
    let usage = crate::run::Usage { tokens: 900, cost_usd: 0.5 };
    for (budget, words) in [
        (Budget { asks: Some(1), ..Budget::default() }, "asked 1 times"),
        (Budget { tokens: Some(900), ..Budget::default() }, "900 tokens"),
        (Budget { cost_usd: Some(0.4), ..Budget::default() }, "cost $0.50"),
    ] {
        let mut w = with_brain(budget);
        looks(&mut w, "111");
        answers(&mut w, OK, Collected { usage, ..left_deciding("delegate_daemon") });
        w.work("A", OK, left_nothing());
        looks(&mut w, "011");
        assert_eq!(parts_of(&w, "A").len(), 2, "the rules start what can be started");
        let Some(Decider::Rules { why: Some(why) }) = last_decision(&w).1 else { panic!() };
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_hubs_agent_that_is_at_a_loss_hands_it_to_a_person() {
    let mut w = with_brain(Budget::default());
    looks(&mut w, "111");
    let mut left = left(crate::run::ClaimStatus::Blocked);
    left.claim.as_mut().unwrap().summary = Some("nobody told me where".to_owned());
    answers(&mut w, OK, left);
    assert_eq!((w.status("A").as_str(), last_decision(&w)), ("blocked", ("escalate".to_owned(), Some(Decider::Agent))));
    assert!(w.reason("A").starts_with("nobody told me where\n"), "{}", w.reason("A"));
}

/// A task `B` that takes its decisions from what `A` did.
fn replays(w: &mut World) {
    let decisions = w.task("A").outputs.iter().filter(|output| output.stage.as_str() == "hub");
    let decisions = decisions.map(|output| Recorded {
        stage: output.stage.clone(),
        decision: output.decision.clone(),
        summary: String::new(),
    });
    let replay = Replay { of: task("A"), stages: vec![stage_id("hub")], decisions: decisions.collect(), next: 0 };
    w.add(NewTask { replay: Some(replay), ..NewTask::named("B").on("infra") });
    w.tick();
}

#[test]
fn recorded_decisions_are_taken_where_they_are_legal_and_what_diverges_stops() {
    let mut w = with_brain(Budget::default());
    looks(&mut w, "111");
    answers(&mut w, OK, left_deciding("delegate_daemon"));
    w.work("A", OK, left_nothing());
    looks(&mut w, "011");
    answers(&mut w, OK, left_deciding("delegate_watch"));
    w.work("A", OK, left_nothing());
    w.asked(Request::Cancel { task: task("A"), reason: None });
    replays(&mut w);
    let look = |w: &mut World, holds: &str| w.work("B", OK, said(&format!("PIPELINE-HUB r:{holds} w:\n")));
    look(&mut w, "111");
    assert_eq!(w.status("B"), "daemon_wip", "nobody was asked");
    w.work("B", OK, left_nothing());
    let mut other = w.clone();
    look(&mut w, "011");
    assert_eq!(w.status("B"), "watch_wip", "and not both, as the rules would have it");
    assert_eq!(w.task("B").outputs.last().unwrap().who(), "the record of A");
    w.work("B", OK, left_nothing());
    look(&mut w, "010");
    assert_eq!(w.status("B"), "blocked");
    assert!(w.reason("B").contains("it made no decision 3"), "{}", w.reason("B"));
    look(&mut other, "010");
    assert_eq!(other.status("B"), "blocked");
    let reason = other.reason("B");
    assert!(reason.contains("record of A: its decision 2 was `delegate_watch`"), "{reason}");
    assert!(reason.contains("Legal now: delegate_pool, escalate"), "{reason}");
}

#[test]
fn failures_that_go_to_standard_error_are_learned_as_the_hub_knows_them_and_by_later_tasks() {
    let mut w = world();
    let error = |n: u32| Collected { output: format!("starting\nport {n} in use\n"), ..left_nothing() };
    for (n, id) in ["A", "B", "C"].into_iter().enumerate() {
        if id != "A" {
            w.add(NewTask::named(id).on("infra"));
            w.tick();
        }
        w.work(id, OK, said("PIPELINE-HUB r:010 w:\n"));
        assert_eq!(w.status(id), "pool_wip");
        w.work(id, BAD, error(3000 + n as u32));
        w.work(id, OK, said("PIPELINE-HUB r:010 w:\n"));
        assert_eq!(w.status(id), "recover_wip");
        let hint = w.task(id).feedback.clone().unwrap();
        assert_eq!(hint.contains(RESET_ADVICE), n == 2, "the third time, in whatever task: {hint}");
        w.asked(Request::Cancel { task: task(id), reason: None });
        let run = w.p.core.runs.keys().next().unwrap().clone();
        w.end(&run, stopped(crate::run::StopReason::Cancelled));
        w.collect(&run, left_nothing());
        w.tick();
    }
    let patterns: Vec<_> = w.p.core.patterns.iter().collect();
    assert_eq!(patterns.len(), 1, "{patterns:?}");
    assert_eq!(
        (patterns[0].0.as_str(), patterns[0].1.error.as_str()),
        ("infra pool: port # in use", "port 3002 in use")
    );
    assert_eq!(patterns[0].1.in_a_row, 3);
}

#[test]
fn a_decision_to_escalate_never_completes_a_task() {
    let think = Stage { decisions: choices(&["done", "escalate"]), ..plain_stage("think", "worker") };
    let ends = [("think", None, Some("done")), ("think", None, Some("escalate"))];
    let mut w = World::with(places(), vec![workflow("flow", vec![think], &ends)]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.work("A", OK, left_deciding("escalate"));
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("escalate"), "{}", w.reason("A"));
}
