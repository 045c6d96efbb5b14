//! Claims, decisions, connections, merges, approvals.

use super::world::*;
use crate::claim::Decision;
use crate::decide::CLAIM_GRACE;
use crate::event::{AdvanceOutcome, MergeOutcome, NewTask, Refusal, Request, Seen};
use crate::fact::{Effect, Fact};
use crate::ids::CommitId;
use crate::run::{Claim, ClaimSource, ClaimStatus, Phase, StopReason};
use crate::settings::Settings;
use crate::task::{Ask, Dirty, TaskState};
use crate::view::attention;
use crate::workflow::{Verify, Workflow};

fn on(flow: Workflow) -> World {
    on_with(flow, |_| {})
}

/// A task on this workflow, with its first run claimed.
fn on_with(flow: Workflow, change: impl FnOnce(&mut Settings)) -> World {
    let mut w = World::workers(1, change);
    let settings = (*w.p.core.settings).clone();
    let id = flow.id.clone();
    w.configure(settings, vec![solo(), flow]);
    w.add(NewTask::named("A").on(id.as_str()));
    w.tick();
    w
}

fn deciding(words: &[&str]) -> Workflow {
    let mut a = plain_stage("a", "worker");
    a.decisions = choices(words);
    let connections: Vec<(&str, Option<&str>, Option<&str>)> =
        words.iter().map(|w| ("a", Some("b"), Some(*w))).collect();
    workflow("flow", vec![a, plain_stage("b", "worker")], &connections)
}

#[test]
fn no_decision_means_success_where_that_is_listed_or_nothing_is() {
    for words in [&["success", "other"][..], &[]] {
        let mut flow = deciding(words);
        if words.is_empty() {
            flow.connections = workflow("x", flow.stages.clone(), &[("a", Some("b"), Some("success"))]).connections;
        }
        let mut w = on(flow);
        w.do_stage("A");
        assert_eq!(w.status("A"), "b_wip");
        assert_eq!(w.task("A").outputs[0].decision, "success");
    }
}

#[test]
fn no_decision_means_the_only_choice() {
    let mut w = on(deciding(&["ship"]));
    w.do_stage("A");
    assert_eq!((w.status("A").as_str(), w.task("A").outputs[0].decision.as_str()), ("b_wip", "ship"));
}

#[test]
fn no_decision_among_several_asks_a_person() {
    let mut w = on(deciding(&["left", "right"]));
    w.do_stage("A");
    assert!(matches!(w.task("A").state, TaskState::AwaitingApproval { ask: Ask::Decision, .. }));
    assert_eq!(attention(&w.p)[0].kind, "decision");
    let refused = w.ask(Request::Approve { by: None, task: task("A"), decision: None });
    assert!(matches!(refused, Err(Refusal::Invalid(text)) if text.contains("--decision left|right")));
    let refused = w.ask(Request::Approve { by: None, task: task("A"), decision: Some("up".to_owned()) });
    assert!(matches!(refused, Err(Refusal::UnknownDecision { .. })));
    w.asked(Request::Approve { by: None, task: task("A"), decision: Some("right".to_owned()) });
    assert_eq!(w.status("A"), "b_ready");
}

#[test]
fn a_stated_decision_is_followed_and_nothing_unclear_is_ever_approval() {
    for (decision, status) in [
        (Decision::Chosen { choice: "success".to_owned(), reasoning: None }, "b_wip"),
        (Decision::NotListed { word: "approved".to_owned() }, "awaiting_approval"),
        (Decision::Unclear, "awaiting_approval"),
        (Decision::None, "b_wip"),
    ] {
        let mut w = on(deciding(&["success", "other"]));
        let mut left = left(ClaimStatus::Completed);
        left.decision = decision.clone();
        w.work("A", OK, left.clone());
        if status == "awaiting_approval" {
            w.work("A", OK, left);
        }
        assert_eq!(w.status("A"), status, "{decision:?}");
    }
    let mut w = on(deciding(&["success", "other"]));
    w.work("A", OK, left_deciding("APPROVED"));
    w.work("A", OK, left_deciding("APPROVED"));
    assert_eq!(w.status("A"), "awaiting_approval");
}

#[test]
fn a_stage_that_lists_no_decision_knows_success() {
    for (word, status) in [("success", "completed"), ("approved", "awaiting_approval")] {
        let mut w = on_with(solo_named(), |_| {});
        for _ in 0..2 {
            let mut left = left(ClaimStatus::Completed);
            left.decision = Decision::NotListed { word: word.to_owned() };
            w.work("A", OK, left);
            if w.status("A") == "completed" {
                break;
            }
        }
        assert_eq!(w.status("A"), status, "{word}");
    }
}

#[test]
fn what_is_unclear_is_asked_once_and_then_goes_to_a_person() {
    let unclear = || {
        let mut left = left(ClaimStatus::Completed);
        left.decision = Decision::Unclear;
        left.summary = "It is nearly right.\nDECISION: approve, mostly".to_owned();
        left
    };
    let mut w = on(deciding(&["approve", "reject"]));
    w.work("A", OK, unclear());
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("a_wip", 1), "it is no failed attempt");
    let feedback = w.task("A").feedback.clone().unwrap();
    assert!(feedback.contains("`DECISION: approve, mostly`") && feedback.contains("approve, reject"), "{feedback}");
    assert_eq!((w.p.core.metrics.retries, w.p.core.metrics.runs_failed), (0, 0));
    // What fails in between does not bring the question back.
    w.work("A", BAD, left_nothing());
    w.pass(600);
    w.tick();
    w.work("A", OK, unclear());
    assert!(matches!(w.task("A").state, TaskState::AwaitingApproval { ask: Ask::Decision, .. }));
    assert_eq!(
        w.reason("A"),
        "it made no clear decision: it said `DECISION: approve, mostly`, and stage a knows approve, reject"
    );
    assert!(attention(&w.p)[0].command.ends_with("--decision approve|reject"));
    // At its next visit it is asked once again.
    w.asked(Request::Approve { by: None, task: task("A"), decision: Some("approve".to_owned()) });
    w.tick();
    w.work("A", OK, left_deciding("what"));
    assert_eq!(w.status("A"), "b_wip");
    assert!(w.task("A").feedback.as_ref().unwrap().contains("one of: success"), "{:?}", w.task("A").feedback);
}

#[test]
fn another_listed_decision_is_followed_at_once_past_gate_and_merge() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "super");
    w.work("A", OK, left_deciding("rework"));
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("impl_wip", 1));
    assert!(w.task("A").feedback.as_ref().unwrap().contains("`rework`"));
    assert_eq!(w.task("A").merged, None);
}

#[test]
fn a_merging_stage_without_success_merges_only_what_leads_on() {
    let flow = || {
        let mut review = plain_stage("review", "worker");
        review.decisions = choices(&["approve", "reject"]);
        review.merge = true;
        let ways = [
            ("work", Some("review"), None),
            ("review", None, Some("approve")),
            ("review", Some("work"), Some("reject")),
        ];
        workflow("flow", vec![plain_stage("work", "worker"), review], &ways)
    };
    for (word, status) in [("approve", "review_verifying"), ("reject", "work_wip")] {
        let mut w = on(flow());
        w.do_stage("A");
        w.work("A", OK, left_deciding(word));
        assert_eq!(w.status("A"), status);
    }
}

/// An orchestrator that hands on to specialists, and ends the workflow itself.
fn orchestrated() -> Workflow {
    let file = serde_json::json!({
        "id": "flow",
        "stages": [
            { "id": "orchestrate", "agent": "worker", "decisions": ["delegate_pool", "complete", "escalate"] },
            { "id": "pool", "agent": "worker", "decisions": ["pool_ready", "pool_failure"] },
        ],
        "connections": [
            { "from": "orchestrate", "to": "pool", "condition": "delegate_pool" },
            { "from": "pool", "to": "orchestrate", "condition": "pool_ready" },
            { "from": "pool", "to": "orchestrate", "condition": "pool_failure" },
            { "from": "orchestrate", "to": null, "condition": "complete" },
            { "from": "orchestrate", "to": null, "condition": "escalate" },
        ],
    });
    crate::workflow::parse::parse(&file, None).unwrap().0
}

#[test]
fn half_done_work_is_not_merged_when_an_orchestrator_hands_on() {
    let mut w = on(orchestrated());
    for _ in 0..2 {
        w.work("A", OK, left_deciding("delegate_pool"));
        assert_eq!(w.status("A"), "pool_wip");
        w.work("A", OK, left_deciding("pool_ready"));
        assert_eq!(w.status("A"), "orchestrate_wip");
    }
    w.work("A", OK, left_deciding("complete"));
    assert_eq!(w.status("A"), "orchestrate_verifying");
    w.finish("A");
    assert!(w.task("A").merged.is_some());
}

#[test]
fn who_escalates_gets_a_person_and_nothing_is_merged_or_completed() {
    let mut w = on(orchestrated());
    let mut left = left_deciding("escalate");
    left.claim.as_mut().unwrap().summary = Some("the daemon failed 5 times: corrupted block database".to_owned());
    w.work("A", OK, left);
    assert_eq!((w.status("A").as_str(), w.task("A").merged.is_some()), ("blocked", false));
    assert_eq!(
        w.reason("A"),
        "stage orchestrate asks for a person (`escalate`): the daemon failed 5 times: corrupted block database"
    );
    w.asked(Request::Unblock { task: task("A") });
    w.tick();
    assert_eq!(w.status("A"), "orchestrate_wip");
    // A stage that may only escalate merges nothing either.
    let mut only = plain_stage("a", "worker");
    only.decisions = choices(&["escalate"]);
    only.merge = true;
    let mut w = on(workflow("flow", vec![only], &[("a", None, None)]));
    w.do_stage("A");
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("gave no reason"), "{}", w.reason("A"));
}

#[test]
fn an_unconnected_decision_blocks_the_task() {
    let mut flow = deciding(&["success", "odd"]);
    flow.connections.pop();
    let mut w = on(flow);
    w.work("A", OK, left_deciding("odd"));
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("`odd`"), "{}", w.reason("A"));
}

#[test]
fn a_stage_is_entered_only_so_often() {
    let mut a = plain_stage("a", "worker");
    a.decisions = choices(&["again", "success"]);
    a.max_visits = Some(3);
    let mut w = on(workflow("flow", vec![a], &[("a", Some("a"), Some("again")), ("a", None, Some("success"))]));
    for _ in 0..2 {
        w.work("A", OK, left_deciding("again"));
        assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("a_wip", 1));
    }
    w.work("A", OK, left_deciding("again"));
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("3 times"), "{}", w.reason("A"));
}

#[test]
fn a_claim_is_final_five_seconds_after_the_marker_and_the_run_is_stopped() {
    let mut w = on(solo_named());
    let run = w.run_of("A");
    w.start(&run);
    w.seen(&run, Seen::Claimed(claim(ClaimStatus::Completed)));
    assert_eq!(w.p.next_deadline(), begin().checked_add(CLAIM_GRACE).ok());
    w.pass(4);
    assert_eq!(w.tick(), []);
    w.pass(1);
    assert_eq!(w.tick(), [Fact::RunStopping { run: run.clone(), reason: StopReason::Claimed }]);
    assert_eq!(w.effects(), [Effect::Stop { run: run.clone(), reason: StopReason::Claimed }]);
    w.end(&run, stopped(StopReason::Claimed));
    assert_eq!(w.effects(), [Effect::Collect { run: run.clone() }]);
    w.collect(&run, left_nothing());
    assert_eq!(w.status("A"), "completed", "the claim stands even if the file says something else by now");
}

#[test]
fn saying_it_again_gives_no_more_time() {
    let mut w = on(solo_named());
    let run = w.run_of("A");
    w.start(&run);
    let say = |w: &mut World, status, source| {
        let claim = Claim { status, source, at: w.at, ..claim(status) };
        match source {
            ClaimSource::Command => w.asked(Request::Done { task: None, run: Some(run.clone()), claim }),
            _ => w.seen(&run, Seen::Claimed(claim)),
        }
    };
    say(&mut w, ClaimStatus::Blocked, ClaimSource::Marker);
    w.pass(2);
    say(&mut w, ClaimStatus::NeedsReview, ClaimSource::Marker);
    w.pass(2);
    say(&mut w, ClaimStatus::Completed, ClaimSource::Command);
    assert_eq!(w.p.next_deadline(), begin().checked_add(CLAIM_GRACE).ok());
    w.pass(1);
    assert_eq!(w.tick(), [Fact::RunStopping { run: run.clone(), reason: StopReason::Claimed }]);
    w.end(&run, stopped(StopReason::Claimed));
    w.collect(&run, left_nothing());
    assert_eq!(w.status("A"), "completed", "the last word counts");
}

fn solo_named() -> Workflow {
    workflow("one", vec![plain_stage("do", "worker")], &[])
}

#[test]
fn a_claim_before_the_exit_is_final_at_the_exit() {
    let mut w = on(solo_named());
    let run = w.run_of("A");
    w.start(&run);
    w.seen(&run, Seen::Claimed(claim(ClaimStatus::Completed)));
    w.end(&run, BAD);
    w.collect(&run, left(ClaimStatus::Completed));
    assert_eq!(w.status("A"), "completed", "a program that claims and then exits badly has claimed");
}

#[test]
fn what_was_said_by_command_is_not_overruled_by_a_file() {
    let mut w = on(solo_named());
    let run = w.run_of("A");
    w.start(&run);
    let mut said = claim(ClaimStatus::Blocked);
    said.source = ClaimSource::Command;
    w.asked(Request::Done { task: None, run: Some(run.clone()), claim: said });
    assert_eq!(w.seen(&run, Seen::Claimed(claim(ClaimStatus::Completed))), []);
    w.end(&run, OK);
    w.collect(&run, left(ClaimStatus::Completed));
    assert_eq!(w.status("A"), "blocked");
}

#[test]
fn a_foreign_claim_is_refused_once_and_counted_as_a_disagreement() {
    let mut w = on(solo_named());
    let run = w.run_of("A");
    w.start(&run);
    let foreign = || Seen::ForeignClaim { why: "it names run r0".to_owned() };
    assert_eq!(w.seen(&run, foreign()).len(), 1);
    assert_eq!(w.seen(&run, foreign()), []);
    assert_eq!(w.p.core.metrics.disagreements, 1);
    assert!(matches!(w.run(&run).phase, Phase::Started { .. }), "the run goes on");
}

#[test]
fn done_for_another_run_or_an_ended_one_is_refused() {
    let mut w = World::workers(2, |_| {});
    w.add_all(&["A", "B"]);
    w.tick();
    let (a, b) = (w.run_of("A"), w.run_of("B"));
    let done = |t: Option<&str>, r: Option<&crate::ids::RunId>, w: &mut World| {
        w.ask(Request::Done { task: t.map(task), run: r.cloned(), claim: claim(ClaimStatus::Completed) })
    };
    assert!(matches!(done(Some("A"), Some(&b), &mut w), Err(Refusal::NoRun(_))));
    assert!(matches!(done(Some("NOPE"), None, &mut w), Err(Refusal::NoTask(_))));
    assert!(matches!(done(None, None, &mut w), Err(Refusal::Invalid(_))));
    assert_eq!(done(Some("A"), Some(&a), &mut w).unwrap().len(), 1);
    w.end(&a, OK);
    assert!(matches!(done(Some("A"), Some(&a), &mut w), Err(Refusal::NoRun(_))));
    let unknown = w.ask(Request::Done { task: Some(task("B")), run: None, claim: left_deciding("odd").claim.unwrap() });
    assert!(matches!(unknown, Err(Refusal::UnknownDecision { .. })));
}

#[test]
fn only_a_run_of_an_agent_can_claim() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    w.do_stage("A");
    let gate = w.run_of("A");
    w.start(&gate);
    assert_eq!(w.seen(&gate, Seen::Claimed(claim(ClaimStatus::Completed))), []);
    assert!(matches!(
        w.ask(Request::Done { task: Some(task("A")), run: None, claim: claim(ClaimStatus::Completed) }),
        Err(Refusal::NoRun(_))
    ));
    let collected = Seen::Collected(left(ClaimStatus::Completed));
    assert_eq!(w.seen(&gate, collected), []);
    w.pass(60);
    assert_eq!(w.tick(), [], "a gate is not stopped after five seconds");
}

#[test]
fn a_program_that_converses_has_to_claim() {
    for (left, status) in [
        (left_nothing(), "do_ready"),
        (left(ClaimStatus::Completed), "completed"),
        (
            crate::event::Collected {
                decision: Decision::Chosen { choice: "success".to_owned(), reasoning: None },
                ..left_nothing()
            },
            "completed",
        ),
    ] {
        let mut w = on_with(solo_named(), |s| s.agents[0].preset = crate::agents::preset::Preset::Claude);
        w.work("A", OK, left);
        assert_eq!(w.status("A"), status);
    }
    let mut w = on(solo_named());
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "completed", "a one-shot program's exit with 0 is its claim");
}

#[test]
fn a_session_that_ends_has_claimed_nothing() {
    let said = Decision::Chosen { choice: "success".to_owned(), reasoning: None };
    for preset in [crate::agents::preset::Preset::Custom, crate::agents::preset::Preset::Claude] {
        for decision in [Decision::None, said.clone()] {
            let mut w = on_with(solo_named(), |s| {
                s.agents[0].preset = preset;
                s.agents[0].interactive = true;
            });
            let run = w.run_of("A");
            assert!(w.run(&run).interactive);
            // The mode of a run is that of its start.
            w.reconfigure(|s| s.agents[0].interactive = false);
            w.work("A", OK, crate::event::Collected { decision, ..left_nothing() });
            assert_eq!(w.status("A"), "do_ready");
            assert!(w.task("A").runs[0].interactive);
            assert!(w.reason("A").contains("without saying"), "{}", w.reason("A"));
        }
    }
    let mut w = on_with(solo_named(), |s| s.agents[0].interactive = true);
    w.work("A", OK, left(ClaimStatus::Completed));
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_task_travels_to_its_merge() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "super");
    w.do_stage("A");
    assert_eq!(w.effects(), [Effect::PrepareMerge { task: task("A"), head: CommitId::from("c4".to_owned()) }]);
    w.merged("A");
    let gate = w.run(&w.run_of("A")).work.clone();
    assert!(
        matches!(&gate, crate::run::Work::Gate { commit, .. } if commit.as_str().starts_with('m')),
        "the merge is verified: {gate:?}"
    );
    w.gate("A", OK);
    let effects = w.effects();
    assert!(matches!(effects[..], [Effect::AdvanceBase { .. }]), "{effects:?}");
    assert_eq!(w.status("A"), "super_verifying");
    w.advanced("A", AdvanceOutcome::Moved);
    assert_eq!(w.status("A"), "completed");
    assert!(w.task("A").merged.as_ref().unwrap().commit.is_some());
    assert_eq!(w.p.core.metrics.completed, 1);
    assert_eq!(w.task("A").runs.len(), 6, "four agents, two gates");
}

fn at_merge() -> World {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "super");
    w.do_stage("A");
    w
}

#[test]
fn a_conflict_goes_back_to_the_implementation_with_the_files() {
    let mut w = at_merge();
    w.prepared("A", MergeOutcome::Conflict { files: vec!["src/a.rs".to_owned()] });
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("impl_wip", 1));
    assert!(w.task("A").feedback.as_ref().unwrap().contains("- src/a.rs"));
}

#[test]
fn an_unconnected_conflict_blocks_the_task() {
    let mut stage = plain_stage("do", "worker");
    stage.merge = true;
    for ways in [&[][..], &[("do", None, None)]] {
        let mut w = on(workflow("flow", vec![stage.clone()], ways));
        w.do_stage("A");
        w.prepared("A", MergeOutcome::Conflict { files: vec!["src/a.rs".to_owned()] });
        assert_eq!(w.status("A"), "blocked");
        assert!(w.reason("A").contains("src/a.rs"), "{}", w.reason("A"));
    }
}

#[test]
fn where_base_moved_meanwhile_the_merge_is_made_and_verified_again() {
    let mut w = at_merge();
    w.merged("A");
    w.gate("A", OK);
    w.advanced("A", AdvanceOutcome::Stale);
    assert!(matches!(w.effects()[..], [Effect::PrepareMerge { .. }]));
    w.merged("A");
    w.gate("A", BAD);
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("super_ready", 1), "the gate of the new merge counts");
    w.pass(600);
    w.finish("A");
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn what_is_in_base_already_completes_without_a_merge() {
    let mut w = at_merge();
    w.prepared("A", MergeOutcome::AlreadyMerged { onto: CommitId::from("base".to_owned()) });
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.task("A").merged.as_ref().unwrap().commit, None);
}

#[test]
fn results_of_another_merge_are_ignored() {
    let mut w = at_merge();
    let other = CommitId::from("other".to_owned());
    let outcome = MergeOutcome::Conflict { files: vec![] };
    assert_eq!(w.see(crate::event::Event::MergePrepared { task: task("A"), head: other.clone(), outcome }), []);
    w.merged("A");
    w.gate("A", OK);
    let outcome = AdvanceOutcome::Moved;
    assert_eq!(w.see(crate::event::Event::BaseAdvanced { task: task("A"), commit: other, outcome }), []);
}

#[test]
fn a_dirty_checkout_leaves_the_task_super_ready_with_the_command_to_type() {
    let mut w = at_merge();
    w.merged("A");
    w.gate("A", OK);
    let dirty = || Dirty { files: vec!["src/a.rs".to_owned()], command: "git stash".to_owned() };
    assert_eq!(w.advanced("A", AdvanceOutcome::Dirty(dirty())).len(), 1);
    assert_eq!(w.advanced("A", AdvanceOutcome::Dirty(dirty())).len(), 0, "said once");
    assert_eq!(w.status("A"), "super_ready");
    let list = attention(&w.p);
    assert_eq!((list[0].kind, list[0].command.as_str()), ("checkout_dirty", "git stash"));
    assert_eq!(crate::view::queues(&w.p)["supervisor"], [&task("A")]);
    assert!(matches!(w.effects()[..], [Effect::AdvanceBase { .. }]), "it is tried again by itself");
    w.add_all(&["B"]);
    w.reach("B", "super");
    assert_eq!(w.agent_of("B"), "supervisor", "the supervisor is not kept by it");
    w.advanced("A", AdvanceOutcome::Moved);
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_dirty_task_that_goes_stale_leaves_the_next_claim_of_its_agent_alone() {
    let mut w = at_merge();
    w.merged("A");
    w.gate("A", OK);
    w.advanced("A", AdvanceOutcome::Dirty(Dirty { files: vec!["a".to_owned()], command: String::new() }));
    w.add_all(&["B"]);
    w.reach("B", "super");
    w.do_stage("B");
    w.advanced("A", AdvanceOutcome::Stale);
    w.merged("A");
    w.merged("B");
    w.finish("A");
    w.finish("B");
    assert_eq!((w.status("A").as_str(), w.status("B").as_str()), ("completed", "completed"));
}

fn approved(merge: bool, verify: Verify) -> World {
    let mut stage = plain_stage("do", "worker");
    stage.approval = true;
    stage.merge = merge;
    stage.verify = verify;
    stage.decisions = choices(&["success", "redo"]);
    on(workflow("flow", vec![stage], &[("do", None, Some("success")), ("do", Some("do"), Some("redo"))]))
}

#[test]
fn approval_comes_after_the_gate_and_before_base_moves() {
    let mut w = approved(true, Verify::Command("true".to_owned()));
    w.do_stage("A");
    w.merged("A");
    assert_eq!(w.status("A"), "do_verifying");
    w.gate("A", OK);
    assert_eq!(w.status("A"), "awaiting_approval");
    assert_eq!(attention(&w.p)[0].kind, "approval");
    assert_eq!(w.effects(), [], "base does not move");
    let agreed = w.asked(Request::Approve { by: Some("somebody".to_owned()), task: task("A"), decision: None });
    let signed = |fact: &Fact| matches!(fact, Fact::TaskMoved { with, .. } if with.by.as_deref() == Some("somebody"));
    assert!(agreed.iter().any(signed), "the journal knows who agreed: {agreed:?}");
    assert!(matches!(w.effects()[..], [Effect::AdvanceBase { .. }]));
    assert!(
        matches!(w.ask(Request::Approve { by: None, task: task("A"), decision: None }), Err(Refusal::Illegal { .. })),
        "twice"
    );
    w.advanced("A", AdvanceOutcome::Moved);
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.task("A").outputs[0].approver(), Some("somebody"));
}

#[test]
fn who_agreed_to_the_work_did_not_agree_to_a_conflict_on_the_way() {
    let mut w = approved(true, Verify::None);
    w.do_stage("A");
    w.merged("A");
    w.asked(Request::Approve { by: Some("somebody".to_owned()), task: task("A"), decision: None });
    w.advanced("A", AdvanceOutcome::Stale);
    w.prepared("A", MergeOutcome::Conflict { files: Vec::new() });
    let outputs: Vec<_> =
        w.task("A").outputs.iter().map(|output| (output.decision.as_str(), output.approver())).collect();
    assert_eq!(outputs, [("conflict", None)]);
}

#[test]
fn approval_without_a_merge_goes_on_at_once_and_is_counted_as_completed() {
    let mut w = approved(false, Verify::None);
    w.pass(60);
    w.do_stage("A");
    assert_eq!(w.status("A"), "awaiting_approval");
    w.asked(Request::Approve { by: None, task: task("A"), decision: None });
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.task("A").outputs[0].approver(), Some("a person"));
    assert_eq!(w.p.core.metrics.completed, 1);
    assert_eq!(w.p.core.metrics.cycle_seconds.mean(), 60.0);
}

#[test]
fn approving_with_another_decision_merges_nothing() {
    let mut w = approved(true, Verify::None);
    w.do_stage("A");
    w.merged("A");
    assert_eq!(w.status("A"), "awaiting_approval");
    w.asked(Request::Approve { by: None, task: task("A"), decision: Some("redo".to_owned()) });
    assert_eq!(w.status("A"), "do_ready");
    assert_eq!(w.effects(), []);
}

#[test]
fn a_rejection_reruns_the_stage_with_the_message_and_counts() {
    let mut w = approved(false, Verify::None);
    for attempt in 1..=5 {
        assert_eq!(w.task("A").attempt, attempt);
        w.do_stage("A");
        w.asked(Request::Reject { task: task("A"), message: Some("not pretty".to_owned()) });
        assert_eq!(w.status("A"), "do_ready");
        assert!(w.task("A").feedback.as_ref().unwrap().contains("not pretty"));
        w.tick();
    }
    assert_eq!(w.p.core.metrics.retries, 5);
    w.do_stage("A");
    w.asked(Request::Cancel { task: task("A"), reason: None });
    assert!(
        matches!(w.ask(Request::Approve { by: None, task: task("A"), decision: None }), Err(Refusal::Illegal { .. })),
        "approve after cancel"
    );
}

#[test]
fn a_task_travels_on_the_map_it_started_with() {
    let mut w = on(deciding(&["success"]));
    let settings = (*w.p.core.settings).clone();
    w.configure(settings, vec![solo()]);
    w.do_stage("A");
    assert_eq!(w.status("A"), "b_wip");
    w.do_stage("A");
    assert_eq!(w.status("A"), "completed");
}
