//! What happens when an attempt fails, and what does not count as one.

use jiff::SignedDuration;

use super::world::*;
use crate::event::{Event, NewTask, Request, Seen};
use crate::fact::{Effect, EffectKey, Fact};
use crate::run::{ClaimStatus, Ended, StopReason, Verdict};
use crate::view::attention;

fn one() -> World {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    w.tick();
    w
}

#[test]
fn two_retries_allow_three_attempts_then_the_task_is_blocked() {
    let mut w = one();
    for attempt in 1..=3 {
        assert_eq!(w.task("A").attempt, attempt);
        assert_eq!(w.run(&w.run_of("A")).attempt, attempt);
        w.work("A", BAD, left_nothing());
        if attempt < 3 {
            assert_eq!(w.status("A"), "do_ready");
            assert!(w.task("A").feedback.as_ref().unwrap().contains("the output"));
            w.pass(600);
            w.tick();
        }
    }
    assert_eq!(w.status("A"), "blocked");
    assert_eq!(w.reason("A"), "w1 exited with code 1, 3 attempts");
    assert_eq!(w.p.core.metrics.retries, 2);
    assert_eq!(w.p.core.notices.len(), 1, "the supervisor role is told");
}

#[test]
fn crash_timeout_signal_interruption_and_a_failed_claim_are_all_attempts() {
    let ends = [
        (Ended::TimedOut, left_nothing()),
        (Ended::Signaled { signal: 9 }, left_nothing()),
        (interrupted(), left_nothing()),
        (Ended::NotStarted { message: "out of memory".to_owned(), permanent: false }, left_nothing()),
        (OK, left(ClaimStatus::Failed)),
    ];
    for (how, left) in ends {
        let mut w = one();
        w.work("A", how.clone(), left);
        assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_ready", 1), "{how:?}");
        assert_eq!(w.task("A").runs[0].verdict, Verdict::Failed);
        w.pass(600);
        w.tick();
        assert_eq!(w.task("A").attempt, 2);
    }
}

/// Aider ends with 0 also when its key was refused or its model never answered.
#[test]
fn a_program_that_ends_well_and_said_why_it_could_not_go_on_has_claimed_nothing() {
    use crate::agents::stream::Failure;
    let text = || "its model has not answered".to_owned();
    for (failure, status, attempts) in [
        (Failure::Auth { text: text() }, "do_ready", 0),
        (Failure::RateLimited { until: None, text: text() }, "do_ready", 0),
        (Failure::Unreachable { text: text() }, "do_ready", 0),
        (Failure::Other { text: text() }, "do_ready", 1),
    ] {
        let mut w = one();
        assert!(w.p.core.agents.values().all(|agent| agent.preset.info().exit_is_claim));
        let left = crate::event::Collected { failure: Some(failure.clone()), ..left_nothing() };
        w.work("A", OK, left);
        assert_eq!((w.status("A").as_str(), w.task("A").attempt), (status, attempts), "{failure:?}");
    }
    let mut w = one();
    w.work("A", OK, left_nothing());
    assert_eq!(w.task("A").runs[0].verdict, Verdict::Passed, "without one its end is its claim");
}

#[test]
fn waits_double_up_to_the_cap_and_are_jittered() {
    let mut w = World::workers(1, |s| {
        s.scheduler.retries = 8;
        s.scheduler.backoff = SignedDuration::from_secs(10);
        s.scheduler.backoff_max = SignedDuration::from_secs(100);
    });
    w.add_all(&["A"]);
    w.tick();
    let mut waits = Vec::new();
    for full in [10.0, 20.0, 40.0, 80.0, 100.0, 100.0] {
        w.work("A", BAD, left_nothing());
        let until = w.task("A").not_before.unwrap();
        let wait = until.duration_since(w.at).as_secs_f64();
        assert!(wait >= full / 2.0 && wait <= full, "{wait} after a base of {full}");
        assert_eq!(w.p.next_deadline(), Some(until));
        waits.push(wait / full);
        let before = until.checked_sub(SignedDuration::from_millis(1)).unwrap();
        w.at = before;
        w.tick();
        assert_eq!(w.status("A"), "do_ready", "not before its time");
        w.at = until;
        w.tick();
    }
    waits.dedup();
    assert!(waits.len() > 3, "no jitter: {waits:?}");
}

#[test]
fn a_clock_that_went_back_does_not_make_a_retry_wait_for_a_day() {
    let mut w = one();
    w.pass(86_400);
    w.work("A", BAD, left_nothing());
    w.pass(-86_400);
    w.tick();
    assert_eq!(w.status("A"), "do_wip", "no wait is longer than the longest backoff");
}

#[test]
fn after_the_retries_a_connection_for_failed_is_followed() {
    let stages = || vec![plain_stage("a", "worker"), plain_stage("mend", "worker")];
    for (to, status) in [(Some("mend"), "mend_wip"), (None, "failed")] {
        let flow = workflow(
            "flow",
            stages(),
            &[("a", None, Some("success")), ("a", to, Some("failed")), ("mend", None, None)],
        );
        let mut w = World::workers(1, |s| s.scheduler.retries = 1);
        let settings = (*w.p.core.settings).clone();
        w.configure(settings, vec![solo(), flow]);
        w.add(NewTask::named("A").on("flow"));
        w.add(NewTask::named("B").on("flow").after(&["A"]));
        w.tick();
        w.work("A", BAD, left_nothing());
        assert_eq!(w.status("A"), "a_ready");
        w.pass(600);
        w.tick();
        w.work("A", BAD, left_nothing());
        assert_eq!(w.status("A"), status);
        if to.is_none() {
            assert_eq!(attention(&w.p)[0].kind, "dependency_failed");
        } else {
            assert_eq!(w.task("A").attempt, 1);
            assert!(w.task("A").feedback.as_ref().unwrap().contains("exited with code 1"));
        }
    }
}

#[test]
fn blocked_and_needs_review_wait_for_a_person_at_once() {
    let mut w = one();
    let mut blocked = left(ClaimStatus::Blocked);
    blocked.claim.as_mut().unwrap().summary = Some("no access".to_owned());
    w.work("A", OK, blocked);
    assert_eq!(w.status("A"), "blocked");
    assert_eq!(w.reason("A"), "w1 is blocked at do: no access");
    let mut w = one();
    w.work("A", OK, left(ClaimStatus::NeedsReview));
    assert_eq!(w.status("A"), "awaiting_approval");
    assert_eq!(attention(&w.p)[0].kind, "review");
    w.asked(Request::Approve { by: None, task: task("A"), decision: None });
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.p.core.metrics.completed, 1);
}

#[test]
fn stopping_an_agent_counts_no_attempt() {
    let mut w = one();
    w.asked(Request::StopAgent { agent: agent("w1") });
    let run = w.run_of("A");
    assert_eq!(w.run(&run).stop, Some(StopReason::Person));
    w.work("A", stopped(StopReason::Person), left(ClaimStatus::Completed));
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_ready", 0));
    assert_eq!((w.p.core.metrics.runs, w.p.core.metrics.runs_failed), (0, 0));
    assert!(w.p.core.agents[&agent("w1")].stopped);
    assert_eq!(w.asked(Request::StopAgent { agent: agent("w1") }), [], "nothing ran");
    w.asked(Request::StartAgent { agent: agent("w1") });
    w.tick();
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_wip", 1));
}

#[test]
fn a_usage_limit_rests_the_preset_and_counts_no_attempt() {
    let mut w = World::workers(2, |s| s.agents[1].preset = crate::agents::preset::Preset::Demo);
    w.add_all(&["A"]);
    w.tick();
    let until = begin().checked_add(SignedDuration::from_hours(2)).unwrap();
    w.work("A", BAD, left_limited(Some(until)));
    assert_eq!((w.agent_of("A").as_str(), w.task("A").attempt), ("w2", 1), "an agent of another preset goes on");
    w.work("A", BAD, left_limited(None));
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_ready", 0));
    assert_eq!(attention(&w.p).iter().filter(|a| a.kind == "rate_limited").count(), 2);
    assert_eq!(w.p.next_deadline(), begin().checked_add(SignedDuration::from_mins(15)).ok(), "no reset time was named");
    w.pass(15 * 60);
    w.tick();
    assert_eq!(w.agent_of("A"), "w2");
    assert_eq!(w.p.core.metrics.runs_failed, 0);
}

#[test]
fn a_preset_that_cannot_reach_its_service_rests_longer_each_time_and_counts_no_attempt() {
    let mut w = one();
    let told = |w: &World| attention(&w.p).into_iter().map(|item| (item.kind, item.summary)).collect::<Vec<_>>();
    let mut rests = Vec::new();
    for n in 1..=5 {
        w.work("A", BAD, left_unreachable());
        assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("do_ready", 0));
        assert_eq!(w.reason("A"), "cannot reach its service: no route");
        let expected =
            (n >= 3).then(|| ("unreachable", format!("custom {n} times in a row: cannot reach its service: no route")));
        assert_eq!(told(&w), expected.into_iter().collect::<Vec<_>>(), "what may pass by itself bothers nobody");
        let until = w.p.next_deadline().unwrap();
        rests.push(until.duration_since(w.at));
        w.at = until;
        w.tick();
        assert_eq!(w.status("A"), "do_wip");
    }
    assert!(rests[0] <= SignedDuration::from_secs(5) && rests.windows(2).all(|two| two[0] < two[1]), "{rests:?}");
    assert_eq!((w.p.core.metrics.runs, w.p.core.metrics.runs_failed), (0, 0));
    assert_eq!(told(&w).len(), 1, "it is not over yet");
    w.work("A", OK, left(ClaimStatus::Completed));
    assert_eq!((w.status("A").as_str(), told(&w)), ("completed", Vec::new()));
    assert!(w.p.core.outages.is_empty());
}

#[test]
fn agents_that_lose_their_service_together_are_one_outage_and_a_person_may_end_it() {
    let mut w = World::workers(3, |_| {});
    w.add_all(&["A", "B", "C"]);
    w.tick();
    for id in ["A", "B", "C"] {
        w.work(id, BAD, left_unreachable());
    }
    let outage = |w: &World| w.p.core.outages.values().map(|outage| outage.in_a_row).collect::<Vec<_>>();
    assert_eq!(outage(&w), [1]);
    w.at = w.p.next_deadline().unwrap();
    w.tick();
    w.work("A", BAD, left_unreachable());
    assert_eq!(outage(&w), [2]);
    w.asked(Request::StartAgent { agent: agent("w1") });
    assert_eq!((outage(&w), w.p.core.paused.len()), (Vec::new(), 0));
    w.tick();
    w.work("A", BAD, left_unreachable());
    w.work("B", BAD, left_limited(None));
    assert_eq!(outage(&w), [0; 0], "who hears of a limit has reached its service");
    assert_eq!(attention(&w.p)[0].kind, "rate_limited");
}

#[test]
fn a_reset_time_in_the_past_is_not_believed() {
    let mut w = one();
    w.work("A", BAD, left_limited(Some(begin().checked_sub(SignedDuration::from_hours(1)).unwrap())));
    assert_eq!(w.status("A"), "do_ready");
    assert_eq!(w.p.core.paused.len(), 1);
}

#[test]
fn a_limit_that_was_lifted_before_anybody_looked_costs_only_a_short_rest() {
    let mut w = one();
    w.pass(60);
    w.work("A", BAD, left_limited(begin().checked_add(SignedDuration::from_secs(30)).ok()));
    assert_eq!(w.p.next_deadline(), begin().checked_add(SignedDuration::from_secs(65)).ok());
}

#[test]
fn a_missing_program_breaks_the_agent_and_burns_no_retries() {
    let mut w = World::workers(2, |_| {});
    w.add_all(&["A"]);
    w.tick();
    w.work("A", Ended::NotStarted { message: "no such file".to_owned(), permanent: true }, left_nothing());
    assert_eq!((w.agent_of("A").as_str(), w.task("A").attempt), ("w2", 1));
    assert!(w.p.core.agents[&agent("w1")].broken.as_ref().unwrap().contains("no such file"));
    assert_eq!(attention(&w.p)[0].kind, "agent_broken");
    w.reconfigure(|s| s.verify = None);
    assert_eq!(w.p.core.agents[&agent("w1")].broken, None, "a changed configuration is the usual cure");
}

#[test]
fn a_launch_that_never_works_is_given_up_and_blocks_the_task() {
    let mut w = one();
    let key = EffectKey::Run(w.run_of("A"));
    for failures in 1..5 {
        w.effect_failed(key.clone(), false);
        assert_eq!(w.effects(), [], "it is not tried again at once");
        assert_eq!(w.p.core.effect_failures[&key].failures, failures);
        w.at = w.p.next_deadline().unwrap();
        assert_eq!(w.effects().len(), 1);
    }
    let run = w.run_of("A");
    w.effect_failed(key, false);
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("no space left"));
    assert!(w.p.core.effect_failures.is_empty());
    assert_eq!(w.effects(), [Effect::Stop { run: run.clone(), reason: StopReason::Cancelled }]);
    w.end(&run, stopped(StopReason::Cancelled));
    w.collect(&run, left_nothing());
    assert!(w.p.core.runs.is_empty());
    assert_eq!((w.status("A").as_str(), w.p.core.metrics.runs_failed), ("blocked", 0));
    assert!(w.reason("A").contains("no space left"));
}

/// A slow machine: the first try started a host, which proves itself only after a later try has failed for good.
#[test]
fn a_host_that_proves_itself_after_its_launch_was_given_up_is_stopped_before_the_agent_is_free() {
    let mut w = one();
    w.add_all(&["B"]);
    let run = w.run_of("A");
    w.effect_failed(EffectKey::Run(run.clone()), true);
    assert_eq!(w.status("A"), "blocked");
    w.start(&run);
    w.tick();
    assert_eq!(w.status("B"), "unassigned", "the agent of the first host may be at work there");
    assert!(w.effects().contains(&Effect::Stop { run: run.clone(), reason: StopReason::Cancelled }));
    w.end(&run, stopped(StopReason::Cancelled));
    w.collect(&run, left_nothing());
    w.tick();
    assert_eq!((w.status("A").as_str(), w.status("B").as_str()), ("blocked", "do_wip"));
}

#[test]
fn a_collect_that_never_works_keeps_the_work_and_breaks_the_agent() {
    let mut w = one();
    w.add_all(&["B"]);
    let run = w.run_of("A");
    w.start(&run);
    w.end(&run, OK);
    w.effect_failed(EffectKey::Run(run), true);
    assert_eq!(w.status("A"), "blocked");
    assert!(w.p.core.agents[&agent("w1")].broken.as_ref().unwrap().contains("could not be collected"));
    w.tick();
    assert_eq!(w.status("B"), "unassigned", "another task in that worktree would bury the work");
}

#[test]
fn a_late_failure_of_an_effect_that_is_no_longer_due_changes_nothing() {
    let mut w = one();
    let run = w.run_of("A");
    w.start(&run);
    assert_eq!(w.effect_failed(EffectKey::Run(run), true), [], "it was launched after all");
    w.do_stage("A");
    assert_eq!(w.effect_failed(EffectKey::Task(task("A")), true), []);
    assert_eq!(w.effect_failed(EffectKey::Task(task("NOPE")), false), []);
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.p.next_deadline(), None);
}

#[test]
fn a_merge_that_cannot_be_made_blocks_the_task() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "super");
    w.do_stage("A");
    w.effect_failed(EffectKey::Task(task("A")), false);
    assert_eq!(w.status("A"), "super_verifying");
    w.effect_failed(EffectKey::Task(task("A")), true);
    assert_eq!(w.status("A"), "blocked");
}

#[test]
fn what_is_seen_twice_or_late_changes_nothing() {
    let mut w = one();
    let run = w.run_of("A");
    w.start(&run);
    assert_eq!(w.start(&run), []);
    w.end(&run, OK);
    assert_eq!(w.end(&run, BAD), []);
    assert_eq!(w.start(&run), []);
    w.collect(&run, left(ClaimStatus::Completed));
    assert_eq!(w.collect(&run, left(ClaimStatus::Failed)), []);
    assert_eq!(w.status("A"), "completed");
    let seen = Seen::Claimed(claim(ClaimStatus::Failed));
    assert_eq!(w.see(Event::Run { run, seen }), []);
}

#[test]
fn a_task_taken_back_is_not_started_again_while_its_old_run_lives() {
    let mut w = World::workers(2, |_| {});
    w.add_all(&["A"]);
    w.tick();
    let old = w.run_of("A");
    w.start(&old);
    for back in [
        Request::Block { task: task("A"), reason: "wait".to_owned() },
        Request::Cancel { task: task("A"), reason: None },
    ] {
        w.asked(back);
        w.asked(Request::Retry { task: task("A"), message: None });
        w.tick();
        assert_eq!(w.status("A"), "do_ready", "two agents would write to one branch");
    }
    w.end(&old, stopped(StopReason::Cancelled));
    w.collect(&old, left_nothing());
    w.tick();
    assert_eq!(w.status("A"), "do_wip");
    assert_ne!(w.run_of("A"), old);
}

#[test]
fn what_a_cancelled_run_used_is_counted() {
    let mut w = one();
    let run = w.run_of("A");
    w.start(&run);
    w.asked(Request::Cancel { task: task("A"), reason: None });
    w.end(&run, stopped(StopReason::Cancelled));
    let mut left = left_nothing();
    left.usage.tokens = 5_000;
    w.collect(&run, left);
    assert_eq!(w.status("A"), "cancelled");
    assert_eq!(w.p.core.metrics.usage.tokens, 5_000);
    assert_eq!(w.task("A").runs.len(), 1);
}

#[test]
fn an_agent_removed_and_added_again_does_not_get_a_second_run() {
    let mut w = one();
    w.add_all(&["B"]);
    let agents = w.p.core.settings.agents.clone();
    w.reconfigure(|s| s.agents.clear());
    let run = w.run_of("A");
    w.start(&run);
    w.reconfigure(|s| s.agents = agents);
    w.tick();
    assert_eq!(w.status("B"), "unassigned");
    assert_eq!(w.run_of("A"), run);
    w.do_stage("A");
    assert_eq!(w.status("B"), "do_wip");
    w.reconfigure(|s| s.agents.clear());
    w.do_stage("B");
    assert!(w.p.core.agents.is_empty(), "it leaves when its run is settled");
    assert_eq!(w.tick(), Vec::<Fact>::new());
}
