//! Tests of the lots, of who is given what, and of what can be said about the runs.

use super::*;
use crate::decide::tests::world::*;
use crate::event::{Collected, Request};
use crate::run::{ClaimStatus, Usage};
use crate::view::{attention, explain_task, metrics, waiting_reason};

fn variant(word: &str) -> Variant {
    Variant::new(word).unwrap()
}

fn role(word: &str) -> Role {
    Role::new(word).unwrap()
}

/// Agents of one role, named after their variants.
fn compared(variants: &[&str]) -> Settings {
    let agent = |word: &&str| crate::settings::AgentSettings {
        variant: Some(variant(word)),
        ..worker(&format!("w-{word}"), "worker")
    };
    Settings { agents: variants.iter().map(agent).collect(), ..Settings::default() }
}

fn world() -> World {
    World::with(compared(&["a", "b"]), vec![solo()])
}

/// The first ids that are bound to these variants, in this order.
fn ids(settings: &Settings, wanted: &[&str]) -> Vec<String> {
    let mut all = (1..).map(|n| format!("T-{n}"));
    let bound = |id: &String| settings.arm_of_task(&task(id), &role("worker")).unwrap().as_str().to_owned();
    wanted.iter().map(|word| all.find(|id| bound(id) == *word).unwrap()).collect()
}

#[test]
fn a_task_has_the_same_arm_whoever_asks_and_for_ever() {
    let settings = compared(&["a", "b"]);
    let mut turned = settings.clone();
    turned.agents.reverse();
    let of = |settings: &Settings| -> String {
        let ids = ["TASK-001", "TASK-002", "TASK-003", "TASK-004", "TASK-005", "TASK-006", "DOC-7", "x"];
        ids.iter().map(|id| settings.arm_of_task(&task(id), &role("worker")).unwrap().as_str()).collect()
    };
    assert_eq!((of(&settings).as_str(), of(&turned).as_str()), (KNOWN, KNOWN));
    assert_eq!(compared(&["a"]).arm_of_task(&task("x"), &role("worker")), None, "one alone is not compared");
    assert_eq!(settings.arm_of_task(&task("x"), &role("other")), None);
}
/// What the lots have always been: a change here would move tasks from one side to the other in the middle of a comparison.
const KNOWN: &str = "bbbbaaba";

#[test]
fn ten_thousand_tasks_are_spread_evenly_and_each_role_for_itself() {
    let mut settings = compared(&["a", "b"]);
    let others = compared(&["a", "b"]).agents.into_iter();
    settings.agents.extend(others.map(|agent| crate::settings::AgentSettings { role: role("other"), ..agent }));
    let arm = |id: u32, of: &str| settings.arm_of_task(&task(&format!("TASK-{id:03}")), &role(of)).unwrap().as_str();
    let count = |wanted: &dyn Fn(u32) -> bool| (1..=10_000).filter(|id| wanted(*id)).count() as f64;
    // Four standard deviations of a binomial distribution of 10,000 and 1/2.
    let bound = 4.0 * (10_000.0_f64 * 0.25).sqrt();
    for found in [
        count(&|id| arm(id, "worker") == "a"),
        count(&|id| arm(id, "other") == "a"),
        count(&|id| arm(id, "worker") == arm(id, "other")),
    ] {
        assert!((found - 5_000.0).abs() <= bound, "{found}");
    }
}

#[test]
fn a_variant_that_is_added_takes_its_share_and_moves_no_other_task() {
    let (two, three) = (compared(&["a", "b"]), compared(&["a", "b", "c"]));
    let ids: Vec<TaskId> = (0..3_000).map(|n| task(&format!("T-{n}"))).collect();
    let of = |settings: &Settings, id: &TaskId| settings.arm_of_task(id, &role("worker")).unwrap().clone();
    let moved: Vec<Variant> = ids.iter().filter(|id| of(&two, id) != of(&three, id)).map(|id| of(&three, id)).collect();
    assert!(moved.iter().all(|to| *to == variant("c")));
    let bound = 4.0 * (3_000.0_f64 * (1.0 / 3.0) * (2.0 / 3.0)).sqrt();
    assert!((moved.len() as f64 - 1_000.0).abs() <= bound, "{}", moved.len());
}

#[test]
fn each_agent_takes_the_tasks_of_its_variant_in_every_attempt() {
    let mut w = world();
    let ids = ids(&w.p.core.settings.clone(), &["b", "b", "a"]);
    let [first, second, third] = [&ids[0], &ids[1], &ids[2]].map(String::as_str);
    w.add_all(&[first, second, third]);
    w.tick();
    assert_eq!((w.agent_of(first).as_str(), w.agent_of(third).as_str()), ("w-b", "w-a"));
    w.do_stage(third);
    assert_eq!(w.status(second), "unassigned", "the other agent is free, and it is not its task");
    let explained = explain_task(&w.p, w.task(second));
    assert!(explained.rule.contains("variant b"), "{explained:?}");
    w.work(first, BAD, left_nothing());
    w.pass(600);
    w.tick();
    let agents = [first, second].map(|id| w.task(id).state.run().map(|_| w.agent_of(id)));
    assert!(agents.iter().flatten().all(|agent| agent == "w-b"), "{agents:?}");
    assert!(agents.iter().flatten().count() == 1);
}

#[test]
fn a_task_whose_variant_has_nobody_waits_and_says_what_to_type() {
    let mut w = world();
    let id = ids(&w.p.core.settings.clone(), &["b"])[0].clone();
    w.asked(Request::StopAgent { agent: agent("w-b") });
    w.add_all(&[&id]);
    w.tick();
    assert_eq!(w.status(&id), "unassigned");
    let reason = waiting_reason(&w.p, w.task(&id)).unwrap();
    assert!(reason.contains("variant b") && reason.contains("pipeline agent start w-b"), "{reason}");
    let explained = explain_task(&w.p, w.task(&id));
    assert_eq!(explained.commands, ["pipeline agent start w-b"]);
    let asked = attention(&w.p);
    assert_eq!((asked[0].kind, asked[0].command.as_str()), ("no_agent", "pipeline agent start w-b"));
    w.asked(Request::StartAgent { agent: agent("w-b") });
    w.tick();
    assert_eq!(w.agent_of(&id), "w-b");
    assert!(attention(&w.p).is_empty());
}

#[test]
fn an_agent_without_a_variant_takes_no_part() {
    let mut settings = compared(&["a", "b"]);
    settings.agents.insert(0, worker("plain", "worker"));
    let mut w = World::with(settings, vec![solo()]);
    w.add_all(&["A", "B", "C"]);
    w.tick();
    assert!(w.p.core.runs.values().all(|run| run.agent != agent("plain")), "{:?}", w.p.core.runs);
    assert!(!w.p.core.runs.is_empty());
}

#[test]
fn a_run_that_a_person_gave_to_the_other_side_counts_for_none() {
    let mut w = world();
    let id = ids(&w.p.core.settings.clone(), &["b"])[0].clone();
    w.add_all(&[&id]);
    w.asked(Request::Assign { task: task(&id), agent: Some(agent("w-a")), interrupt: false });
    w.tick();
    assert_eq!(w.agent_of(&id), "w-a");
    w.do_stage(&id);
    assert_eq!(w.status(&id), "completed");
    assert!(metrics(&w.p, w.at).by_variant.is_empty());
}

/// What was recorded stays as it was, whatever the configuration says later.
#[test]
fn figures_come_from_what_was_recorded() {
    let mut settings = compared(&["a", "b"]);
    settings.verify = Some("cargo test".to_owned());
    let mut stage = plain_stage("do", "worker");
    stage.verify = crate::workflow::Verify::Project;
    let mut w = World::with(settings, vec![workflow("solo", vec![stage], &[])]);
    let ids = ids(&w.p.core.settings.clone(), &["a", "b"]);
    let usage = Usage { tokens: 500, cost_usd: 0.5 };
    for id in &ids {
        w.add_all(&[id]);
        w.tick();
        w.pass(10);
        w.work(id, OK, Collected { usage, ..left(ClaimStatus::Completed) });
    }
    w.gate(&ids[0], OK);
    w.gate(&ids[1], BAD);
    let found = metrics(&w.p, w.at).by_variant["worker"].clone();
    let figures: Vec<_> =
        found.arms.iter().map(|arm| (arm.variant.as_str(), arm.tasks, arm.runs, arm.gates, arm.gates_passed)).collect();
    assert_eq!(figures, [("a", 1, 1, 1, 1), ("b", 1, 1, 1, 0)]);
    assert_eq!(found.arms[0].cost_usd.map(|cost| (cost.n, cost.value, cost.low)), Some((1, 0.5, None)));
    w.reconfigure(|settings| settings.agents.iter_mut().for_each(|agent| agent.variant = Some(variant("z"))));
    assert_eq!(metrics(&w.p, w.at).by_variant["worker"], found);
    w.pass(600);
    w.tick();
    w.do_stage(&ids[1]);
    w.gate(&ids[1], OK);
    assert_eq!(metrics(&w.p, w.at).by_variant["worker"], found, "nothing is compared any more");
}

fn stats(gates_passed: u64, gates: u64, seconds: &[f64]) -> ArmStats {
    let mut stats = ArmStats { gates, gates_passed, ..ArmStats::default() };
    seconds.iter().for_each(|value| stats.add(true, true, *value, Usage { tokens: 0, cost_usd: *value }));
    stats
}

#[test]
fn a_difference_is_told_only_where_there_is_enough_and_it_is_clear() {
    let said = |a: ArmStats, b: ArmStats| -> Vec<(&'static str, bool, String)> {
        let (one, two) = (variant("a"), variant("b"));
        let found = compare([(&one, &a), (&two, &b)].into_iter());
        found.differences.into_iter().map(|d| (d.figure, d.told, d.words)).collect()
    };
    let short: Vec<f64> = (0..12).map(|n| 10.0 + f64::from(n)).collect();
    let long: Vec<f64> = (0..12).map(|n| 100.0 + f64::from(n)).collect();
    let clear = said(stats(19, 20, &short), stats(4, 20, &long));
    let words: Vec<&str> = clear.iter().map(|(_, _, words)| words.as_str()).collect();
    assert_eq!(words, ["a passes its gates more often than b", "b takes longer than a", "b costs more than a"]);
    assert!(clear.iter().all(|(_, told, _)| *told));
    let close = said(stats(19, 20, &short), stats(17, 20, &short));
    assert!(close.iter().all(|(_, told, words)| !told && words.contains("overlap")), "{close:?}");
    let few = said(stats(5, 5, &short[..4]), stats(0, 5, &long[..4]));
    assert!(few.iter().all(|(_, told, words)| !told && words.contains("10 each")), "{few:?}");
}
