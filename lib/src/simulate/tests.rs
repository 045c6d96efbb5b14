//! What is simulated is what the engine does, with the durations that were recorded.

use super::*;
use crate::decide::tests::world::*;
use crate::ids::RunId;
use crate::mode::Orchestration;
use crate::run::Work;
use crate::task::TaskState;

/// Two workers on `solo` of which ten runs of 100 s each are on record.
pub(super) fn with_history(workers: usize) -> World {
    let mut w = World::workers(workers, |_| {});
    for n in 0..10 {
        let id = format!("H{n}");
        w.add_all(&[&id]);
        w.tick();
        let run = w.run_of(&id);
        w.start(&run);
        w.pass(100);
        w.do_stage(&id);
    }
    w
}

pub(super) fn ask(what: What) -> Question {
    Question { what, agents: BTreeMap::new(), seed: 1 }
}

fn tasks(count: usize) -> What {
    What::Tasks { workflow: WorkflowId::new("solo").ok(), count }
}

fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1.0, "{found} is not {wanted}");
}

#[test]
fn as_many_tasks_as_agents_take_as_long_as_one() {
    let w = with_history(2);
    let report = simulate(&w.p, &ask(tasks(2)), w.at).unwrap();
    close(report.makespan_seconds.p50, 100.0);
    let report = simulate(&w.p, &ask(tasks(10)), w.at).unwrap();
    close(report.makespan_seconds.p50, 500.0);
    assert_eq!(report.completed.p50, 10.0);
    close(report.throughput_per_hour.p50, 72.0);
    assert!(report.agents.iter().all(|agent| agent.utilization > 0.99), "{:?}", report.agents);
    let bottleneck = report.bottleneck.unwrap();
    assert_eq!((bottleneck.role.as_str(), bottleneck.agents), ("worker", 2));
    assert_eq!(report.critical_path.len(), 5, "{:?}", report.critical_path);
    assert_eq!(report.critical_path[0].waited_for, "nothing");
    assert!(report.critical_path[1..].iter().all(|step| step.waited_for == "agent"));
    close(report.stages[0].waiting_seconds_total, 2.0 * (100.0 + 200.0 + 300.0 + 400.0));
    assert_eq!(report.stages[0].basis, Some(crate::estimate::Basis::WorkflowStage));
}

#[test]
fn more_agents_of_a_role_are_what_if() {
    let w = with_history(2);
    let more = |count| Question { agents: [(Role::new("worker").unwrap(), count)].into(), ..ask(tasks(10)) };
    close(simulate(&w.p, &more(10), w.at).unwrap().makespan_seconds.p50, 100.0);
    close(simulate(&w.p, &more(1), w.at).unwrap().makespan_seconds.p50, 1_000.0);
    let nobody = simulate(&w.p, &more(0), w.at).unwrap();
    assert_eq!((nobody.completed.p90, nobody.predicted_finish), (0.0, None));
    assert_eq!(nobody.unfinished[0].words(), "10 tasks no agent has the role worker");
}

#[test]
fn the_same_seed_makes_the_same_plays_and_nothing_is_touched() {
    let mut w = World::new();
    for _ in 0..3 {
        w.add(crate::event::NewTask::titled("work"));
    }
    let before = w.p.clone();
    let report = |seed| simulate(&w.p, &Question { seed, ..ask(What::State) }, w.at).unwrap();
    assert_eq!(report(4), report(4));
    assert_ne!(report(4), report(5));
    assert_eq!(w.p, before);
    let report = report(4);
    assert!(
        report.assumptions.iter().any(|words| words.contains("about 10 minutes a run")),
        "{:?}",
        report.assumptions
    );
    assert!(report.makespan_seconds.p10 < report.makespan_seconds.p90, "chance is in it");
}

#[test]
fn what_runs_now_goes_on_from_where_it_stands() {
    let mut w = with_history(1);
    w.add_all(&["A", "B"]);
    w.tick();
    let run = w.run_of("A");
    w.start(&run);
    w.pass(60);
    let report = simulate(&w.p, &ask(What::State), w.at).unwrap();
    assert_eq!(report.tasks, 2);
    close(report.makespan_seconds.p50, 140.0);
    close(report.finishes[&task("A")].p50, 40.0);
    assert!(matches!(w.task("A").state, TaskState::Working { .. }));
}

#[test]
fn dependencies_decide_and_the_path_says_so() {
    let mut w = with_history(3);
    w.add_all(&["A"]);
    w.add(crate::event::NewTask::named("B").on("solo").after(&["A"]));
    w.add(crate::event::NewTask::named("C").on("solo").after(&["B"]));
    let report = simulate(&w.p, &ask(What::State), w.at).unwrap();
    close(report.makespan_seconds.p50, 300.0);
    let path: Vec<(&str, &str)> =
        report.critical_path.iter().map(|step| (step.task.as_str(), step.waited_for)).collect();
    assert_eq!(path, [("A", "nothing"), ("B", "task"), ("C", "task")]);
}

#[test]
fn what_fails_is_tried_again_by_the_rules_of_the_engine() {
    let mut w = with_history(1);
    for n in 0..10 {
        let id = format!("F{n}");
        w.add_all(&[&id]);
        w.tick();
        let run = w.run_of(&id);
        w.start(&run);
        w.pass(100);
        w.work(&id, BAD, left(crate::run::ClaimStatus::Failed));
        w.asked(Request::Cancel { task: task(&id), reason: None });
    }
    let report = simulate(&w.p, &ask(tasks(40)), w.at).unwrap();
    let stage = &report.stages[0];
    assert!(stage.failed > 0.3 && stage.failed < 0.7, "{stage:?}");
    assert!(stage.runs > 50.0, "{stage:?}");
    assert!(report.completed.p50 < 40.0, "some fail three times");
    assert!(report.unfinished.iter().any(|held| held.why.starts_with("wait for a person")), "{:?}", report.unfinished);
}

#[test]
fn all_modes_and_rollouts_are_played() {
    for orchestration in [Orchestration::Sequential, Orchestration::Hybrid, Orchestration::Parallel] {
        let mut w = with_history(2);
        w.mode(orchestration, Rollout::Shadow);
        let report = simulate(&w.p, &ask(tasks(4)), w.at).unwrap();
        assert_eq!(report.completed.p50, 4.0, "{orchestration:?}");
        let wanted = if orchestration == Orchestration::Sequential { 400.0 } else { 200.0 };
        close(report.makespan_seconds.p50, wanted);
        assert!(report.assumptions.iter().any(|words| words.contains("though the rollout is shadow")));
    }
}

#[test]
fn people_who_approve_answer_as_fast_as_they_did() {
    let mut stage = plain_stage("do", "worker");
    stage.approval = true;
    let mut w = World::workers(1, |_| {});
    w.configure((*w.p.core.settings).clone(), vec![solo(), workflow("asks", vec![stage], &[])]);
    w.add(crate::event::NewTask::named("A").on("asks"));
    w.tick();
    w.do_stage("A");
    w.pass(3_600);
    w.asked(Request::Approve { by: None, task: task("A"), decision: None });
    w.tick();
    let what = What::Tasks { workflow: WorkflowId::new("asks").ok(), count: 1 };
    let report = simulate(&w.p, &ask(what), w.at).unwrap();
    assert_eq!(report.completed.p50, 1.0);
    close(report.makespan_seconds.p50, 3_600.0);
}

#[test]
fn tasks_that_do_parts_are_not_counted_beside_those_they_serve() {
    let mut both = plain_stage("both", "worker");
    both.doing = crate::workflow::Doing::Parallel(vec![stage_id("one"), stage_id("two")]);
    let parts = [plain_stage("one", "worker"), plain_stage("two", "worker")];
    let stages = vec![both].into_iter().chain(parts).collect();
    let mut w = with_history(2);
    w.configure((*w.p.core.settings).clone(), vec![solo(), workflow("parts", stages, &[("both", None, None)])]);
    let what = What::Tasks { workflow: WorkflowId::new("parts").ok(), count: 1 };
    let report = simulate(&w.p, &ask(what), w.at).unwrap();
    assert_eq!((report.completed.p50, report.tasks, report.finishes.len()), (1.0, 1, 1), "{:?}", report.unfinished);
    close(report.makespan_seconds.p50, 100.0);
}

/// `do` and then `check`, which sends every fourth task back: sixteen of its decisions are on record.
fn with_reworks() -> World {
    let mut check = plain_stage("check", "worker");
    check.decisions = choices(&["approve", "rework"]);
    let ways = [("do", Some("check"), None), ("check", None, Some("approve")), ("check", Some("do"), Some("rework"))];
    let mut w = with_history(1);
    let looped = workflow("looped", vec![plain_stage("do", "worker"), check], &ways);
    w.configure((*w.p.core.settings).clone(), vec![solo(), looped]);
    for n in 0..12 {
        let id = format!("L{n}");
        w.add(crate::event::NewTask::named(&id).on("looped"));
        w.tick();
        w.do_stage(&id);
        if n % 3 == 0 {
            w.work(&id, OK, left_deciding("rework"));
            w.do_stage(&id);
        }
        w.work(&id, OK, left_deciding("approve"));
        assert_eq!(w.status(&id), "completed");
    }
    w
}

#[test]
fn what_is_sent_back_now_and_then_is_sent_back_in_a_play() {
    let w = with_reworks();
    let on = WorkflowId::new("looped").unwrap();
    let said = &w.p.core.metrics.decisions[&on];
    let said: Vec<(&str, u32)> = said[&stage_id("check")].iter().collect();
    assert_eq!(said, [("approve", 12), ("rework", 4)]);
    let question = ask(What::Tasks { workflow: Some(on.clone()), count: 60 });
    let report = simulate(&w.p, &question, w.at).unwrap();
    let check = report.stages.iter().find(|stage| stage.stage == stage_id("check")).unwrap();
    // A quarter of the checks, and so a third of the tasks.
    assert!((14.0..27.0).contains(&check.decisions["rework"]), "{check:?}");
    assert_eq!(check.decisions["approve"], 60.0);
    assert!(check.runs > 74.0, "{check:?}");
    assert_eq!(report, simulate(&w.p, &question, w.at).unwrap());
    assert!(!report.assumptions.iter().any(|words| words.contains("decisions")), "{:?}", report.assumptions);
}

#[test]
fn few_decisions_are_not_drawn_and_neither_are_words_that_the_stage_no_longer_knows() {
    let mut w = with_reworks();
    let mut check = plain_stage("check", "worker");
    check.decisions = choices(&["approve", "mend"]);
    let ways = [("do", Some("check"), None), ("check", None, Some("approve")), ("check", Some("do"), Some("mend"))];
    let looped = workflow("looped", vec![plain_stage("do", "worker"), check], &ways);
    w.configure((*w.p.core.settings).clone(), vec![solo(), looped.clone()]);
    let play = |w: &World, on: &str| {
        let what = What::Tasks { workflow: WorkflowId::new(on).ok(), count: 20 };
        simulate(&w.p, &ask(what), w.at).unwrap()
    };
    let report = play(&w, "looped");
    let check = report.stages.iter().find(|stage| stage.stage == stage_id("check")).unwrap();
    assert_eq!(check.decisions, [("approve".to_owned(), 20.0)].into(), "it is all that was said and is still known");
    w.configure(
        (*w.p.core.settings).clone(),
        vec![solo(), crate::workflow::Workflow { id: WorkflowId::new("new").unwrap(), ..looped }],
    );
    let report = play(&w, "new");
    assert_eq!(report.completed.p50, 20.0);
    let told = "few decisions are on record at check: the likely one is taken each time";
    assert!(report.assumptions.iter().any(|words| words == told), "{:?}", report.assumptions);
}

#[test]
fn set_ups_gates_and_merges_take_as_long_as_they_did() {
    let mut stage = plain_stage("do", "worker");
    (stage.verify, stage.merge) = (crate::workflow::Verify::Project, true);
    let mut w = World::workers(1, |settings| {
        (settings.setup, settings.verify) = (Some("install".to_owned()), Some("check".to_owned()));
    });
    let whole = workflow("whole", vec![stage], &[]);
    w.configure((*w.p.core.settings).clone(), vec![solo(), whole]);
    let live = |w: &World, wanted: fn(&Work) -> bool| {
        w.p.core.runs.values().find(|run| wanted(&run.work)).map(|run| run.id.clone())
    };
    let pass = |w: &mut World, run: RunId, seconds| {
        w.start(&run);
        w.pass(seconds);
        w.end(&run, OK);
        w.tick();
    };
    // Both worktrees, that of the agent and that of the gate.
    let set_up = |w: &mut World| {
        w.tick();
        while let Some(run) = live(w, |work| matches!(work, Work::Setup { .. })) {
            pass(w, run, 50);
        }
    };
    for n in 0..6 {
        let id = format!("M{n}");
        w.add(crate::event::NewTask::named(&id).on("whole"));
        set_up(&mut w);
        let run = w.run_of(&id);
        w.start(&run);
        w.pass(100);
        w.do_stage(&id);
        w.pass(7);
        w.merged(&id);
        set_up(&mut w);
        let gate = live(&w, |work| matches!(work, Work::Gate { .. })).unwrap();
        pass(&mut w, gate, 30);
        w.advanced(&id, crate::event::AdvanceOutcome::Moved);
        assert_eq!(w.status(&id), "completed");
    }
    let counted = &w.p.core.metrics;
    let merges = &counted.merges_by_stage[&stage_id("do")];
    assert_eq!((merges.runs, merges.passed, merges.seconds.quantile(0.5)), (6, 6, 7.0));
    assert_eq!((counted.setups.runs, counted.setups.seconds.quantile(0.5)), (2, 50.0));
    let of = |agents: usize| Question {
        agents: [(Role::new("worker").unwrap(), agents)].into(),
        ..ask(What::Tasks { workflow: WorkflowId::new("whole").ok(), count: 1 })
    };
    let report = simulate(&w.p, &of(1), w.at).unwrap();
    close(report.makespan_seconds.p50, 137.0);
    let around: Vec<_> = report.around.iter().map(|one| (one.what, one.times, one.seconds.p50)).collect();
    assert_eq!(around, [("gate", 1.0, 30.0), ("merge", 1.0, 7.0)], "its worktree is there");
    let mut two = of(2);
    two.what = What::Tasks { workflow: WorkflowId::new("whole").ok(), count: 2 };
    let report = simulate(&w.p, &two, w.at).unwrap();
    let setups = report.around.iter().find(|one| one.what == "setup").unwrap();
    assert!(setups.times >= 1.0 && setups.seconds.p50 >= 25.0, "{setups:?}");
}

#[test]
fn a_merge_that_is_overtaken_is_made_and_checked_again() {
    let mut stage = plain_stage("do", "worker");
    (stage.verify, stage.merge) = (crate::workflow::Verify::Project, true);
    let mut w = World::workers(2, |settings| settings.verify = Some("check".to_owned()));
    w.configure((*w.p.core.settings).clone(), vec![solo(), workflow("whole", vec![stage], &[])]);
    let mut p = w.p.clone();
    for n in 0..6 {
        p.core.metrics.gates_by_stage.entry(stage_id("do")).or_default().add_few(true, 30.0);
        p.core.metrics.merges_by_stage.entry(stage_id("do")).or_default().add_few(n > 0, 1.0);
        p.core.metrics.of_all.add_few(true, 100.0);
    }
    let what = What::Tasks { workflow: WorkflowId::new("whole").ok(), count: 2 };
    let report = simulate(&p, &ask(what), w.at).unwrap();
    let merges = report.around.iter().find(|one| one.what == "merge").unwrap();
    assert!(merges.times > 2.5, "{merges:?}");
    assert!(merges.failed > 0.0, "conflicts are on record, too: {merges:?}");
    let conflicts = report.stages[0].decisions.get("conflict").copied().unwrap_or(0.0);
    assert!(conflicts > 0.0 && conflicts < 1.0, "{:?}", report.stages);
}

#[test]
fn what_is_not_there_is_told() {
    let w = World::workers(1, |_| {});
    let problem = |question: &Question| simulate(&w.p, question, w.at).unwrap_err();
    assert_eq!(problem(&ask(What::State)), Problem::Nothing);
    let nope = WorkflowId::new("nope").unwrap();
    assert_eq!(problem(&ask(What::Tasks { workflow: Some(nope.clone()), count: 1 })), Problem::NoWorkflow(nope));
    let nobody = Role::new("nobody").unwrap();
    let question = Question { agents: [(nobody.clone(), 1)].into(), ..ask(tasks(1)) };
    assert_eq!(problem(&question), Problem::NoRole(nobody));
}
