//! How a task stands on its map.

use std::collections::BTreeMap;

use super::*;
use crate::agents::preset::Preset;
use crate::decide::tests::world::*;
use crate::event::{Event, MergeOutcome, NewTask};
use crate::ids::{CommitId, command_role};
use crate::run::Ended;
use crate::settings::{AgentSettings, Sandbox, Settings};
use crate::workflow::hub::{Hub, Requirement};

const OK: Ended = Ended::Exited { code: 0 };

fn world(workflows: Vec<Workflow>) -> World {
    let mut settings = Settings { agents: vec![worker("w1", "worker")], ..Settings::default() };
    for name in ["command-1", "command-2"] {
        settings.agents.push(AgentSettings {
            name: agent(name),
            role: command_role().clone(),
            preset: Preset::Command,
            interactive: false,
            sandbox: Sandbox::Off,
            variant: None,
        });
    }
    World::with(settings, workflows)
}

fn command(id: &str) -> Stage {
    Stage { doing: Doing::Command("true".to_owned()), ..plain_stage(id, "command") }
}

/// Each stage: its name, how it stands, and how often it was entered.
fn stands(w: &World, id: &str) -> Vec<String> {
    let (stages, _) = of(&w.p, w.task(id));
    stages.iter().map(|stage| format!("{} {} {}/{}", stage.id, stage.word, stage.visits, stage.visits_max)).collect()
}

/// The connections that were taken, with how often.
fn taken(w: &World, id: &str) -> Vec<String> {
    let (_, flow) = of(&w.p, w.task(id));
    let picture = &flow.picture;
    let edges = flow.taken.iter().enumerate().filter(|(_, count)| **count > 0);
    edges
        .map(|(at, count)| {
            let from = &picture.stages[picture.edges[at].from].id;
            format!("{from} {} {} {count}", picture.word(at), picture.end(at))
        })
        .collect()
}

#[test]
fn a_way_back_is_counted_and_what_lies_behind_it_comes_again() {
    let mut w = World::new();
    w.add_all(&["A"]);
    assert_eq!(stands(&w, "A"), ["arch to come 0/10", "test to come 0/10", "impl to come 0/10", "super to come 0/10"]);
    assert_eq!(taken(&w, "A"), [""; 0]);
    w.reach("A", "super");
    w.do_stage("A");
    w.prepared("A", MergeOutcome::Conflict { files: vec!["a.txt".to_owned()] });
    w.tick();
    assert_eq!(stands(&w, "A"), ["arch done 1/10", "test done 1/10", "impl live 2/10", "super done earlier 1/10"]);
    let way = ["arch success test 1", "test success impl 1", "impl success super 1", "super rework, conflict impl 1"];
    assert_eq!(taken(&w, "A"), way);
    let (_, flow) = of(&w.p, w.task("A"));
    let last = flow.decisions.last().unwrap();
    assert_eq!((last.stage.as_str(), last.word.as_str(), last.to.as_deref()), ("super", "conflict", Some("impl")));
    w.finish("A");
    assert_eq!(stands(&w, "A")[3], "super done 2/10");
    assert_eq!(taken(&w, "A").last().unwrap(), "super rework, conflict impl 1");
    assert_eq!(taken(&w, "A")[3], "super success end 1");
}

#[test]
fn what_is_skipped_what_fails_and_what_is_not_reached_are_told_apart() {
    let probed = Stage { probe: Some("test -e done".to_owned()), ..plain_stage("a", "worker") };
    let failing = Stage { retries: Some(0), ..command("b") };
    let flow = workflow(
        "flow",
        vec![probed, failing, command("c"), command("mend")],
        &[
            ("a", Some("b"), None),
            ("b", Some("c"), Some("success")),
            ("b", Some("mend"), Some("failed")),
            ("c", None, None),
            ("mend", None, None),
        ],
    );
    let mut w = world(vec![flow]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    w.work("A", OK, left_nothing());
    w.work("A", Ended::Exited { code: 1 }, left_nothing());
    assert_eq!(stands(&w, "A"), ["a skipped 1/10", "b failed 1/10", "c passed by 0/10", "mend live 1/10"]);
    w.work("A", OK, left_nothing());
    assert_eq!(stands(&w, "A")[2], "c not reached 0/10");
    let (_, flow) = of(&w.p, w.task("A"));
    let said: Vec<String> = flow.decisions.iter().map(|d| format!("{} {} {}", d.stage, d.word, d.who)).collect();
    assert_eq!(said, ["a success its probe", "b failed its command", "mend success its command"]);
}

#[test]
fn parts_stand_with_the_stage_that_waits_for_them_and_with_their_own() {
    let mut each = command("each");
    each.matrix = BTreeMap::from([("net".to_owned(), vec!["a".into(), "b".into()])]);
    let both =
        Stage { doing: Doing::Parallel(vec![stage_id("left"), stage_id("right")]), ..plain_stage("both", "command") };
    let stages = vec![each, both, command("left"), command("right")];
    let mut w = world(vec![workflow("flow", stages, &[("each", Some("both"), None), ("both", None, None)])]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let parts = |w: &World, at: usize| -> Vec<String> {
        let (stages, _) = of(&w.p, w.task("A"));
        stages[at].parts.iter().map(|part| format!("{} {}", part.id, part.status)).collect()
    };
    assert_eq!(parts(&w, 0), ["A.each.a each_wip", "A.each.b each_wip"]);
    assert_eq!(stands(&w, "A")[0], "each live, in parts 1/10");
    for part in ["A.each.a", "A.each.b"] {
        w.work(part, OK, left_nothing());
    }
    let commit = CommitId::from("c9".to_owned());
    let outcome = MergeOutcome::Commit { commit: commit.clone(), onto: commit };
    w.see(Event::PartsJoined { task: task("A"), outcome });
    w.tick();
    assert_eq!(parts(&w, 0), ["A.each.a completed", "A.each.b completed"]);
    let now: Vec<String> = stands(&w, "A");
    assert_eq!(now[1..], ["both live, in parts 1/10", "left live 0/10", "right live 0/10"], "{}", w.reason("A"));
    assert_eq!(taken(&w, "A"), ["each always both 1", "both part left 1", "both part right 1"]);
}

#[test]
fn a_hub_says_whom_it_asked_and_what_serves_it_is_done_beside_it() {
    let requirement = |name: &str| Requirement {
        name: name.to_owned(),
        stage: stage_id(name),
        probe: Some("false".to_owned()),
        after: Vec::new(),
    };
    let hub = Hub { requirements: vec![requirement("daemon")], ..Hub::default() };
    let hub = Stage { doing: Doing::Hub(hub), ..plain_stage("hub", "command") };
    let flow = workflow("flow", vec![hub, command("daemon")], &[("hub", None, Some("success"))]);
    let mut w = world(vec![flow]);
    w.add(NewTask::named("A").on("flow"));
    w.tick();
    let looks = |w: &mut World, holds: &str| {
        let output = format!("PIPELINE-HUB r:{holds} w:\n");
        w.work("A", OK, crate::event::Collected { output, ..left_nothing() });
    };
    looks(&mut w, "1");
    assert_eq!(stands(&w, "A").len(), 2);
    assert_eq!(taken(&w, "A"), ["hub daemon daemon 1"]);
    w.work("A", OK, left_nothing());
    assert_eq!(stands(&w, "A")[1].split(' ').nth(1), Some("done"), "{:?}", stands(&w, "A"));
    let (_, flow) = of(&w.p, w.task("A"));
    assert_eq!(flow.decisions[0].who, "the built-in rules");
    looks(&mut w, "0");
    let (_, flow) = of(&w.p, w.task("A"));
    assert_eq!((w.status("A").as_str(), flow.decisions.last().unwrap().to.as_deref()), ("completed", Some("end")));
}

#[test]
fn what_a_part_was_given_is_no_decision_of_its_own() {
    let mut sub = plain_stage("sub", "command");
    sub.doing = Doing::Workflow { workflow: "inner".parse().unwrap(), params: BTreeMap::new() };
    let outer = workflow("outer", vec![command("a"), sub], &[("a", Some("sub"), None), ("sub", None, None)]);
    let inner = workflow("inner", vec![command("a")], &[]);
    let mut w = world(vec![outer, inner]);
    w.add(NewTask::named("A").on("outer"));
    w.tick();
    w.work("A", OK, left_nothing());
    w.pass(1);
    w.tick();
    let part: TaskId = of(&w.p, w.task("A")).0[1].parts[0].id.clone();
    assert_eq!(of(&w.p, w.task(part.as_str())).1.decisions, [], "{:?}", w.task(part.as_str()).outputs);
}
