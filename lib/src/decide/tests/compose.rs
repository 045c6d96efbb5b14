//! Commands, probes, parts of stages, pauses and budgets.

use std::collections::BTreeMap;

use super::world::*;
use crate::agents::preset::Preset;
use crate::event::{Event, MergeOutcome, NewTask, Refusal, Request};
use crate::fact::{Fact, TaskEdit};
use crate::ids::{CommitId, command_role};
use crate::mode::{Orchestration, Rollout};
use crate::run::{Ended, Work};
use crate::settings::{AgentSettings, FailedDependency, Sandbox};
use crate::task::{ParentWhy, Stops, TaskState};
use crate::view::attention;
use crate::workflow::execute_block::Execute;
use crate::workflow::{Doing, Exit, Param, Stage, Workflow};

pub(super) fn command(id: &str, text: &str) -> Stage {
    Stage { doing: Doing::Command(text.to_owned()), ..plain_stage(id, "command") }
}

/// One worker, places for two commands.
fn world(workflows: Vec<Workflow>) -> World {
    World::with(places(), workflows)
}

pub(super) fn places() -> crate::settings::Settings {
    let agents = vec![worker("w1", "worker")];
    let mut settings = crate::settings::Settings { agents, ..Default::default() };
    settings.scheduler.max_parallel = 1;
    for name in ["command-1", "command-2"] {
        let name = agent(name);
        settings.agents.push(AgentSettings {
            name,
            role: command_role().clone(),
            preset: Preset::Command,
            interactive: false,
            sandbox: Sandbox::Off,
            variant: None,
        });
    }
    settings
}

fn given(id: &str, workflow: &str, params: &[(&str, serde_json::Value)]) -> NewTask {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    NewTask { params, ..NewTask::named(id).on(workflow) }
}

fn work_of(w: &World, id: &str) -> Work {
    let run = w.task(id).state.run().unwrap_or_else(|| panic!("{id} is {}", w.status(id)));
    w.p.core.runs[run].work.clone()
}

#[test]
fn a_command_runs_at_its_place_and_its_exit_code_decides() {
    let mut check = command("check", "make test VERSION={{ version }}");
    check.decisions = choices(&["passed", "broken"]);
    check.decisions[0].exit = vec![Exit::Code(0)];
    check.decisions[1].exit = vec![Exit::Other];
    let mut flow = workflow(
        "flow",
        vec![check, command("mend", "true")],
        &[("check", None, Some("passed")), ("check", Some("mend"), Some("broken")), ("mend", Some("check"), None)],
    );
    flow.params = BTreeMap::from([("version".to_owned(), Param { required: true, ..Param::default() })]);
    let mut w = world(vec![flow]);
    assert!(w.ask(Request::AddTasks(vec![given("A", "flow", &[])])).unwrap_err().to_string().contains("version"));
    w.add(given("A", "flow", &[("version", "1; rm -rf /".into())]));
    w.tick();
    assert_eq!(w.agent_of("A"), "command-1");
    let Work::Command { command } = work_of(&w, "A") else { panic!("{:?}", work_of(&w, "A")) };
    assert_eq!(command, "make test VERSION='1; rm -rf /'", "what a person gives is one word to the shell");
    w.work("A", BAD, left_nothing());
    assert_eq!(w.status("A"), "mend_wip", "a code that means something is no failed attempt");
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "check_wip");
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.task("A").visits.values().copied().collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_code_that_means_nothing_is_a_failed_attempt() {
    let mut w = world(vec![workflow("flow", vec![command("a", "false")], &[])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    for _ in 0..3 {
        w.work("A", BAD, left_nothing());
        w.pass(600);
        w.tick();
    }
    assert_eq!(w.status("A"), "blocked");
    assert_eq!(w.p.core.metrics.runs_failed, 3);
}

#[test]
fn commands_have_places_of_their_own() {
    let mut w = world(vec![workflow("flow", vec![command("a", "true")], &[]), solo()]);
    w.add(NewTask::named("S").on("solo"));
    for id in ["A", "B", "C"] {
        w.add(NewTask::named(id).on("flow"));
    }
    w.tick();
    let mut busy: Vec<String> = w.p.core.runs.values().map(|run| run.agent.to_string()).collect();
    busy.sort();
    assert_eq!(busy, ["command-1", "command-2", "w1"], "the limit on agents is not theirs");
}

#[test]
fn what_holds_already_is_skipped() {
    let probed = Stage { probe: Some("test -e done".to_owned()), ..plain_stage("do", "worker") };
    let mut w = world(vec![workflow("flow", vec![probed], &[])]);
    for id in ["A", "B"] {
        w.add(NewTask::named(id).on("flow"));
    }
    w.tick();
    assert_eq!(w.agent_of("A"), "command-1");
    assert!(matches!(work_of(&w, "A"), Work::Probe { .. }));
    w.work("A", OK, left_nothing());
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("completed", 0));
    assert!(w.task("A").outputs[0].summary.contains("skipped"));
    w.work("B", BAD, left_nothing());
    assert_eq!((w.agent_of("B").as_str(), w.task("B").attempt), ("w1", 1), "a question is no attempt");
    w.work("B", BAD, left_nothing());
    w.pass(600);
    w.tick();
    assert_eq!(w.agent_of("B"), "w1", "it is not asked again before a retry");
    assert_eq!(w.p.core.metrics.runs, 1, "a question is no run of the statistics");
}

pub(super) fn parts_of(w: &World, id: &str) -> Vec<String> {
    let TaskState::Waiting { on, .. } = &w.task(id).state else { panic!("{id} is {}", w.status(id)) };
    on.iter().map(ToString::to_string).collect()
}

#[test]
fn a_matrix_is_a_task_for_each_value_and_their_branches_are_joined() {
    let mut each = command("test", "make test NET={{ net }}");
    each.matrix = BTreeMap::from([("net".to_owned(), vec!["testnet".into(), "regtest".into()])]);
    let mut w = world(vec![workflow(
        "flow",
        vec![each, plain_stage("next", "worker")],
        &[("test", Some("next"), None), ("next", None, None)],
    )]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    assert_eq!(parts_of(&w, "A"), ["A.test.testnet", "A.test.regtest"]);
    assert_eq!(w.status("A"), "test_wip");
    assert_eq!(work_of(&w, "A.test.regtest"), Work::Command { command: "make test NET=regtest".to_owned() });
    assert_ne!(w.task("A.test.regtest").branch(), w.task("A").branch());
    w.work("A.test.testnet", OK, left_nothing());
    assert_eq!((w.status("A.test.testnet").as_str(), w.status("A").as_str()), ("completed", "test_wip"));
    w.work("A.test.regtest", OK, left_nothing());
    assert_eq!(w.status("A"), "test_verifying");
    let commit = CommitId::from("c9".to_owned());
    let outcome = MergeOutcome::Commit { commit: commit.clone(), onto: commit.clone() };
    w.see(Event::PartsJoined { task: task("A"), outcome });
    w.tick();
    assert_eq!(w.status("A"), "next_wip");
    assert_eq!(w.task("A").outputs[0].commit, commit);
}

#[test]
fn a_part_cannot_wait_for_what_waits_for_it_and_is_given_up_once() {
    let mut each = command("test", "true");
    each.matrix = BTreeMap::from([("net".to_owned(), vec!["a".into(), "b".into()])]);
    let mut settings = places();
    settings.scheduler.failed_dependency = FailedDependency::Skip;
    let mut w = World::with(settings, vec![workflow("flow", vec![each], &[])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.add(NewTask::named("Z").on("flow").after(&["A"]));
    for behind in ["A", "Z"] {
        let edit = TaskEdit { depends_on: Some(vec![task(behind)]), ..TaskEdit::default() };
        assert!(matches!(w.edit("A.test.a", edit), Err(Refusal::Cycle(_))), "{behind}");
    }
    w.add(NewTask::named("B").on("flow").after(&["A.test.b", "A"]));
    let facts = w.asked(Request::Cancel { task: task("A"), reason: None });
    let mut given_up: Vec<&str> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::TaskMoved { task, to: TaskState::Cancelled, .. } => Some(task.as_str()),
            _ => None,
        })
        .collect();
    given_up.sort_unstable();
    assert_eq!(given_up, ["A", "A.test.a", "A.test.b", "B", "Z"]);
}

#[test]
fn a_part_that_fails_fails_the_attempt() {
    let mut w = world(vec![{
        let both = Stage {
            doing: Doing::Parallel(vec![stage_id("b"), stage_id("c")]),
            retries: Some(0),
            ..plain_stage("a", "command")
        };
        let c = Stage { retries: Some(0), ..command("c", "false") };
        workflow("flow", vec![both, command("b", "true"), c], &[("a", None, None), ("a", None, Some("failed"))])
    }]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    assert_eq!(parts_of(&w, "A"), ["A.a.b", "A.a.c"]);
    w.work("A.a.b", OK, left_nothing());
    w.work("A.a.c", BAD, left_nothing());
    assert_eq!((w.status("A.a.c").as_str(), w.status("A").as_str()), ("failed", "failed"));
}

#[test]
fn what_has_been_done_of_a_stage_is_not_done_again() {
    let mut each = command("test", "make test NET={{ net }}");
    each.matrix = BTreeMap::from([("net".to_owned(), vec!["testnet".into(), "regtest".into()])]);
    each.retries = Some(0);
    let mut again = plain_stage("again", "worker");
    again.decisions = choices(&["once_more", "enough"]);
    let ways =
        [("test", Some("again"), None), ("again", Some("test"), Some("once_more")), ("again", None, Some("enough"))];
    let mut w = world(vec![workflow("flow", vec![each, again], &ways)]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.work("A.test.testnet", OK, left_nothing());
    w.work("A.test.regtest", BAD, left_nothing());
    assert_eq!(w.status("A"), "blocked", "its parts are tried again by themselves, it is not");
    assert!(w.reason("A").ends_with("A.test.regtest is failed, 1 attempt"), "{}", w.reason("A"));
    for _ in 0..2 {
        w.asked(Request::Retry { task: task("A"), message: None });
        w.tick();
        let on = parts_of(&w, "A");
        assert_eq!(on[0], "A.test.testnet", "it has passed");
        w.work(&on[1], BAD, left_nothing());
        assert_eq!(w.status("A"), "blocked");
    }
    w.asked(Request::Unblock { task: task("A") });
    w.tick();
    assert_eq!(parts_of(&w, "A"), ["A.test.testnet", "A.test.regtest-4"]);
    w.work("A.test.regtest-4", OK, left_nothing());
    let commit = CommitId::from("c9".to_owned());
    w.see(Event::PartsJoined {
        task: task("A"),
        outcome: MergeOutcome::Commit { commit: commit.clone(), onto: commit },
    });
    w.tick();
    assert_eq!(w.status("A"), "again_wip");
    // Who comes back to the stage wants all of it.
    w.work("A", OK, left_deciding("once_more"));
    assert_eq!(parts_of(&w, "A"), ["A.test.testnet-2", "A.test.regtest-5"]);
}

#[test]
fn a_retry_that_would_come_too_late_is_none() {
    let mut flow = workflow("flow", vec![command("a", "false")], &[]);
    flow.timeout = Some(jiff::SignedDuration::from_secs(60));
    let mut w = world(vec![flow]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.pass(60);
    w.work("A", Ended::TimedOut, left_nothing());
    assert_eq!(w.status("A"), "blocked");
    assert!(w.reason("A").contains("longer than the 1m that"), "{}", w.reason("A"));
}

#[test]
fn what_a_command_prints_decides_nothing_unless_it_is_asked_to() {
    let mut w = world(vec![workflow("flow", vec![command("a", "true")], &[])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let unclear = || crate::event::Collected {
        decision: crate::claim::Decision::NotListed { word: "whatever".to_owned() },
        summary: "DECISION: whatever".to_owned(),
        ..left_nothing()
    };
    w.work("A", OK, unclear());
    assert_eq!(w.status("A"), "completed");
    // Where it is asked, what is unclear goes to a person: a command cannot be asked again.
    let mut asked = command("a", "true");
    asked.decisions = choices(&["up", "down"]);
    let mut w = world(vec![workflow("flow", vec![asked], &[("a", None, None)])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.work("A", OK, unclear());
    assert_eq!(w.status("A"), "awaiting_approval");
    assert!(w.reason("A").contains("`DECISION: whatever`"), "{}", w.reason("A"));
}

#[test]
fn a_workflow_in_a_workflow_works_on_the_same_branch() {
    let sub = Doing::Workflow {
        workflow: crate::ids::WorkflowId::new("inner").unwrap(),
        params: BTreeMap::from([("name".to_owned(), "{{ task.id }}-x".into())]),
    };
    let mut inner = workflow("inner", vec![command("build", "echo {{ name }}")], &[]);
    inner.params = BTreeMap::from([("name".to_owned(), Param::default())]);
    let outer = workflow("outer", vec![Stage { doing: sub, ..plain_stage("deploy", "command") }], &[]);
    let mut w = world(vec![inner, outer]);
    w.add(NewTask::named("A").on("outer"));
    w.tick();
    assert_eq!(parts_of(&w, "A"), ["A.deploy"]);
    assert_eq!(w.task("A.deploy").branch(), w.task("A").branch());
    assert_eq!(work_of(&w, "A.deploy"), Work::Command { command: "echo A-x".to_owned() });
    w.work("A.deploy", OK, left_nothing());
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn who_gives_up_a_task_gives_up_its_parts() {
    let mut each = command("a", "true");
    each.matrix = BTreeMap::from([("n".to_owned(), vec![1.into(), 2.into()])]);
    let mut w = world(vec![workflow("flow", vec![each], &[])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.asked(Request::Cancel { task: task("A"), reason: None });
    for id in ["A", "A.a.1", "A.a.2"] {
        assert_eq!(w.status(id), "cancelled");
    }
    assert!(w.p.core.runs.values().all(|run| run.stop.is_some()));
}

#[test]
fn a_workflow_that_contains_itself_comes_to_an_end() {
    let sub = Doing::Workflow { workflow: crate::ids::WorkflowId::new("flow").unwrap(), params: BTreeMap::new() };
    let mut w = world(vec![workflow("flow", vec![Stage { doing: sub, ..plain_stage("a", "command") }], &[])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let deepest = w.p.tasks.iter().max_by_key(|task| task.order).unwrap();
    assert_eq!(deepest.state.word(), "blocked");
    assert!(deepest.reason.as_ref().unwrap().contains("nested"));
}

#[test]
fn a_person_who_wanted_to_be_asked_is_asked_once() {
    let mut w = world(vec![workflow(
        "flow",
        vec![command("a", "true"), command("b", "true")],
        &[("a", Some("b"), None), ("b", None, None)],
    )]);
    w.add(NewTask { stops: Stops { before: Some(2), every: false }, ..NewTask::named("A").on("flow") });
    w.tick();
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "awaiting_approval");
    assert_eq!(attention(&w.p)[0].kind, "approval");
    w.asked(Request::Approve { by: None, task: task("A"), decision: None });
    w.tick();
    assert_eq!(w.status("A"), "b_wip");
    w.work("A", BAD, left_nothing());
    w.pass(600);
    w.tick();
    assert_eq!(w.status("A"), "b_wip", "not again for a retry");
    w.add(NewTask { stops: Stops { before: None, every: true }, ..NewTask::named("B").on("flow") });
    w.tick();
    w.work("B", OK, left_nothing());
    assert_eq!(w.status("B"), "awaiting_approval");
}

#[test]
fn steps_and_time_have_limits() {
    let stages = || vec![command("a", "true"), command("b", "true")];
    let mut round = workflow("round", stages(), &[("a", Some("b"), None), ("b", Some("a"), None)]);
    round.max_steps = Some(4);
    let mut slow = workflow("slow", stages(), &[("a", Some("b"), None), ("b", None, None)]);
    slow.timeout = Some(jiff::SignedDuration::from_mins(10));
    let mut w = world(vec![round, slow]);
    w.add(NewTask::named("A").on("round"));
    w.tick();
    while w.status("A") != "blocked" {
        w.work("A", OK, left_nothing());
    }
    assert_eq!(w.task("A").visits.values().sum::<u32>(), 4);
    w.add(NewTask::named("B").on("slow"));
    w.tick();
    let run = w.task("B").state.run().unwrap().clone();
    assert_eq!(w.p.core.runs[&run].timeout, jiff::SignedDuration::from_mins(10), "no run outlives the task");
    w.pass(601);
    w.work("B", OK, left_nothing());
    assert_eq!(w.status("B"), "blocked");
}

#[test]
fn a_failure_starts_what_the_workflow_says_once() {
    let mut flow = workflow("flow", vec![Stage { retries: Some(0), ..command("a", "false") }], &[]);
    flow.on_failure = crate::ids::WorkflowId::new("mend").ok();
    let mut mend = workflow("mend", vec![Stage { retries: Some(0), ..command("undo", "echo {{ reason }}") }], &[]);
    mend.params = BTreeMap::from([("reason".to_owned(), Param { required: true, ..Param::default() })]);
    mend.on_failure = crate::ids::WorkflowId::new("mend").ok();
    let mut w = world(vec![flow, mend]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.work("A", BAD, left_nothing());
    let new = w.task("A.on-failure");
    assert_eq!(new.parent.as_ref().unwrap().why, ParentWhy::Failure);
    assert!(new.params["reason"].as_str().unwrap().contains("exited with code 1"));
    assert!(matches!(work_of(&w, "A.on-failure"), Work::Command { .. }));
    w.work("A.on-failure", BAD, left_nothing());
    assert_eq!(w.p.tasks.iter().count(), 2, "what mends a failure is not mended by itself");
}

#[test]
fn parts_are_touched_where_their_task_is() {
    let mut each = command("a", "true");
    each.matrix = BTreeMap::from([("n".to_owned(), vec![1.into()])]);
    let mut w = world(vec![workflow("flow", vec![each], &[])]);
    w.mode(Orchestration::Parallel, Rollout::Pilot);
    let scope = crate::mode::PilotScope { tasks: [task("A")].into(), ..Default::default() };
    w.asked(Request::SetPilot { scope });
    w.add(NewTask::named("A").on("flow"));
    w.add(NewTask::named("B").on("flow"));
    w.tick();
    assert_eq!((w.status("A.a.1").as_str(), w.status("B").as_str()), ("a_wip", "unassigned"));
}

#[test]
fn in_sequential_mode_the_parts_of_the_current_task_are_current() {
    let mut each = command("a", "true");
    each.matrix = BTreeMap::from([("n".to_owned(), vec![1.into(), 2.into()])]);
    let mut w = world(vec![workflow("flow", vec![each], &[])]);
    w.mode(Orchestration::Sequential, Rollout::Production);
    w.add(NewTask::named("A").on("flow"));
    w.add(NewTask::named("B").on("flow"));
    w.read_current(None);
    w.tick();
    assert_eq!((w.status("A.a.1").as_str(), w.status("A.a.2").as_str()), ("a_wip", "a_wip"));
    assert_eq!(w.status("B"), "unassigned");
    let told: Vec<String> = w.p.assigned().unwrap().files().map(|(name, _)| name.to_string()).collect();
    assert_eq!(told, ["w1"], "a place for commands reads no file");
    w.work("A.a.1", Ended::Exited { code: 0 }, left_nothing());
    assert_eq!(w.status("A"), "a_wip");
}

#[test]
fn what_was_done_before_a_stage_is_put_away_though_it_had_not_begun() {
    let stage = Stage { on_cancel: Some("undo".to_owned()), services: true, ..command("install", "true") };
    let flow = workflow("flow", vec![command("stop", "true"), stage], &[("stop", Some("install"), None)]);
    let mut w = world(vec![flow]);
    let stops = crate::task::Stops { before: Some(2), every: false };
    w.add(NewTask { stops, ..NewTask::named("A").on("flow") });
    w.tick();
    w.work("A", OK, left_nothing());
    w.tick();
    assert_eq!((w.status("A").as_str(), w.task("A").attempt), ("awaiting_approval", 0), "before the stage");
    w.ask(Request::Cancel { task: task("A"), reason: None }).unwrap();
    w.tick();
    let Work::Command { command } = work_of(&w, "A.on-cancel") else { panic!("{:?}", work_of(&w, "A.on-cancel")) };
    let stage = w.p.stage_of(w.task("A.on-cancel")).unwrap();
    assert!(command == "undo" && stage.services, "what it starts again goes on: {stage:?}");
}

#[test]
fn what_a_stage_says_about_its_end_is_run_once_it_has_let_go_of_the_branch() {
    let stage = Stage { on_cancel: Some("make stop NAME={{ name }}".to_owned()), ..command("up", "make start") };
    let mut flow = workflow("flow", vec![stage, command("next", "true")], &[]);
    flow.params = BTreeMap::from([("name".to_owned(), Param::default())]);
    let mut w = world(vec![flow]);
    w.add(given("A", "flow", &[("name", "a b".into())]));
    w.add(given("B", "flow", &[("name", "b".into())]));
    w.ask(Request::Cancel { task: crate::ids::TaskId::new("B").unwrap(), reason: None }).unwrap();
    assert!(w.p.task("B.on-cancel").is_none(), "nothing had begun");
    w.tick();
    let run = w.task("A").state.run().unwrap().clone();
    w.ask(Request::Cancel { task: crate::ids::TaskId::new("A").unwrap(), reason: None }).unwrap();
    w.tick();
    assert_eq!(w.status("A.on-cancel"), "unassigned", "the branch is in use");
    let parent = w.task("A.on-cancel").parent.clone().unwrap();
    assert_eq!((parent.why, w.task("A.on-cancel").branch()), (ParentWhy::Cancel, w.task("A").branch()));
    w.end(&run, Ended::Stopped { reason: crate::run::StopReason::Cancelled });
    w.collect(&run, left_nothing());
    w.tick();
    let Work::Command { command } = work_of(&w, "A.on-cancel") else { panic!("{:?}", work_of(&w, "A.on-cancel")) };
    assert_eq!(command, "make stop NAME='a b'");
    w.work("A.on-cancel", BAD, left_nothing());
    assert_eq!((w.status("A.on-cancel").as_str(), w.status("A").as_str()), ("failed", "cancelled"), "tried once");
    assert!(w.p.task("A.on-cancel.on-cancel").is_none());
}

#[test]
fn a_task_may_bring_a_workflow_of_its_own() {
    let mut w = world(vec![]);
    let mut own = workflow("brought", vec![command("a", "echo {{ word }}")], &[]);
    own.params = BTreeMap::from([("word".to_owned(), Param { required: true, ..Param::default() })]);
    let own = std::sync::Arc::new(own);
    let task = |params: &[(&str, serde_json::Value)]| NewTask {
        pinned: Some(own.clone()),
        workflow: None,
        ..given("A", "brought", params)
    };
    let refusal = w.ask(Request::AddTasks(vec![task(&[])])).unwrap_err().to_string();
    assert!(refusal.contains("`word`"), "{refusal}");
    w.add(task(&[("word", "hello".into())]));
    assert_eq!(w.task("A").workflow.as_str(), "brought");
    w.tick();
    assert_eq!(work_of(&w, "A"), Work::Command { command: "echo hello".to_owned() });
    w.work("A", OK, left_nothing());
    assert_eq!(w.status("A"), "completed");
}

#[test]
fn a_figure_that_misses_its_threshold_is_a_failed_attempt() {
    let mut w = world(vec![workflow("flow", vec![Stage { retries: Some(0), ..command("a", "make test") }], &[])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let left = crate::event::Collected { unmet: Some("coverage is 7".to_owned()), ..left_nothing() };
    w.work("A", OK, left);
    assert_eq!(w.status("A"), "blocked");
    assert!(w.task("A").reason.as_deref().unwrap().contains("coverage is 7"));
}

#[test]
fn what_an_agent_proposes_is_said_and_not_started() {
    let mut w = world(vec![workflow("flow", vec![plain_stage("a", "worker")], &[]), solo()]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let proposal = |workflow: &str| {
        let asked = Execute { workflow: workflow.to_owned(), prompt: "do it\nwell".to_owned(), directory: None };
        crate::event::Collected { proposal: Some(Ok(asked)), ..left_nothing() }
    };
    w.work("A", OK, proposal("solo"));
    assert_eq!((w.status("A").as_str(), w.p.tasks.len()), ("completed", 2));
    let proposed = w.task("A.proposal").clone();
    assert_eq!((w.status("A.proposal").as_str(), proposed.workflow.as_str()), ("awaiting_approval", "solo"));
    assert_eq!((proposed.title.as_str(), proposed.body.as_str()), ("do it well", "do it\nwell"));
    assert_eq!(proposed.parent.as_ref().unwrap().why, ParentWhy::Proposal);
    let item = &crate::view::attention(&w.p)[0];
    assert_eq!((item.kind, item.command.as_str()), ("proposal", "pipeline task approve A.proposal"));
    assert!(item.summary.contains("at A proposes workflow solo: do it well"), "{}", item.summary);
    w.pass(100_000);
    w.tick();
    assert_eq!(w.status("A.proposal"), "awaiting_approval", "nobody but a person starts it");
    w.asked(Request::Approve { task: task("A.proposal"), decision: None, by: None });
    w.tick();
    assert_eq!(w.status("A.proposal"), "do_wip");
    w.add(NewTask::named("B").on("flow"));
    w.tick();
    w.work("A.proposal", OK, proposal("nothing"));
    assert!(w.p.core.notices.iter().any(|notice| notice.text.contains("proposes workflow nothing, and there is no")));
    w.tick();
    w.work("B", OK, proposal("solo"));
    w.asked(Request::Reject { task: task("B.proposal"), message: Some("not now".to_owned()) });
    assert_eq!(w.status("B.proposal"), "cancelled");
    assert!(w.reason("B.proposal").contains("not now"));
}

#[test]
fn a_workflow_in_a_workflow_leaves_merging_to_it_unless_it_says_otherwise() {
    for (says, merged) in [(false, "completed"), (true, "build_verifying")] {
        let sub = Doing::Workflow { workflow: crate::ids::WorkflowId::new("inner").unwrap(), params: BTreeMap::new() };
        let last = Stage { merge: true, merge_chosen: !says, ..command("build", "true") };
        let outer = workflow("outer", vec![Stage { doing: sub, ..plain_stage("deploy", "command") }], &[]);
        let mut w = world(vec![workflow("inner", vec![last], &[]), outer]);
        w.add(NewTask::named("A").on("outer"));
        w.tick();
        w.work("A.deploy", OK, left_nothing());
        assert_eq!(w.status("A.deploy"), merged);
    }
}

#[test]
fn what_went_beyond_its_own_work_is_not_believed() {
    let look = |trespass: Option<&str>, suspicion: Option<&str>| {
        let stage = Stage { retries: Some(0), ..plain_stage("a", "worker") };
        let mut w = world(vec![workflow("flow", vec![stage], &[])]);
        w.add(NewTask::named("A").on("flow"));
        w.tick();
        let [trespass, suspicion] = [trespass, suspicion].map(|text| text.map(str::to_owned));
        let left = crate::event::Collected { trespass, suspicion, ..left_nothing() };
        w.work("A", OK, left);
        let broken = w.p.core.agents.values().find_map(|agent| agent.broken.clone());
        (w.status("A"), broken.unwrap_or_default())
    };
    let (status, broken) = look(Some("it moved main"), None);
    assert_eq!(status, "blocked");
    assert!(broken.contains("went beyond its own work: it moved main"), "{broken}");
    let (status, broken) = look(None, Some("main lost commits"));
    assert_ne!(status, "blocked", "what may be somebody else's doing costs no attempt");
    assert!(broken.contains("main lost commits"), "{broken}");
    assert_eq!(look(None, None).1, "");
}
