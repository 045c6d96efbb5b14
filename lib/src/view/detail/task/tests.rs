//! What is said of a task on its way through the default workflow.

use super::*;
use crate::decide::tests::world::*;
use crate::event::{NewTask, Request};
use crate::ids::StageId;
use crate::run::ClaimStatus;

fn detail(w: &World, id: &str) -> TaskDetail {
    TaskDetail::of(&w.p, w.task(id))
}

fn path(w: &World, id: &str) -> Vec<(String, Tone, bool)> {
    detail(w, id).stages.into_iter().map(|stage| (stage.id.to_string(), stage.tone, stage.here)).collect()
}

fn marks(tones: [(Tone, bool); 4]) -> Vec<(String, Tone, bool)> {
    let names = ["arch", "test", "impl", "super"].map(str::to_owned);
    names.into_iter().zip(tones).map(|(name, (tone, here))| (name, tone, here)).collect()
}

#[test]
fn the_path_says_what_is_done_where_it_stands_and_what_is_ahead() {
    use Tone::{Active, Gone, Good, Waiting};
    let mut w = World::new();
    w.add_all(&["A"]);
    assert_eq!(path(&w, "A"), marks([(Waiting, false); 4]));
    w.reach("A", "impl");
    assert_eq!(path(&w, "A"), marks([(Good, false), (Good, false), (Active, true), (Waiting, false)]));
    assert_eq!(detail(&w, "A").stages[2].visits, 1);
    w.asked(Request::Cancel { task: task("A"), reason: None });
    assert_eq!(path(&w, "A"), marks([(Good, false), (Good, false), (Gone, true), (Gone, false)]));
    let mut w = World::new();
    w.add_all(&["A"]);
    w.finish("A");
    assert_eq!(path(&w, "A"), marks([(Good, false); 4]));
}

#[test]
fn a_stage_behind_which_a_task_was_sent_back_is_ahead_again() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "super");
    w.do_stage("A");
    w.prepared("A", crate::event::MergeOutcome::Conflict { files: vec!["a.txt".to_owned()] });
    w.tick();
    assert_eq!(w.task("A").state.stage().map(StageId::as_str), Some("impl"));
    let path = path(&w, "A");
    assert_eq!((path[2].2, path[3].1), (true, Tone::Waiting));
    assert_eq!(detail(&w, "A").stages[2].visits, 2);
}

#[test]
fn dependencies_and_dependents_are_named_with_their_state() {
    let mut w = World::workers(1, |_| {});
    w.add(NewTask::named("A").on("solo"));
    w.add(NewTask::named("B").on("solo").after(&["A"]));
    w.add(NewTask::named("C").on("solo").after(&["B"]));
    w.tick();
    let b = detail(&w, "B");
    let said =
        |list: &[Related]| list.iter().map(|r| format!("{} {} {:?}", r.id, r.status, r.tone)).collect::<Vec<_>>();
    assert_eq!(said(&b.after), ["A do_wip Active"]);
    assert_eq!(said(&b.before), ["C unassigned Waiting"]);
    assert_eq!((b.before_total, b.why.rule.as_str()), (1, "waits for A"));
    assert_eq!(b.why.would_change, ["their completion"]);
}

#[test]
fn runs_are_told_from_their_start_with_what_came_of_them() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.tick();
    let starting = detail(&w, "A");
    assert_eq!((starting.runs.len(), starting.runs[0].how.as_str()), (1, "is starting"));
    assert_eq!((starting.runs[0].verdict, starting.runs[0].ended_at), (None, None));
    let run = w.run_of("A");
    w.start(&run);
    assert_eq!(detail(&w, "A").runs[0].how, "is live");
    w.end(&run, BAD);
    w.collect(&run, left(ClaimStatus::Failed));
    w.tick();
    let failed = detail(&w, "A");
    assert_eq!(failed.runs[0].verdict, Some(Verdict::Failed));
    assert_eq!(failed.run_shown(Some(&run)).map(|run| run.id.clone()), Some(run));
    assert_eq!(failed.run_shown(Some(&RunId::new("nothing").unwrap())), failed.runs.last());
}

#[test]
fn a_gate_is_proof_only_where_it_passed_on_what_was_merged() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.reach("A", "impl");
    w.do_stage("A");
    let live = detail(&w, "A");
    let gate = live.checks().last().unwrap();
    assert_eq!((gate.command.as_deref(), gate.verdict, gate.work), (Some("cargo test"), None, "gate"));
    assert_eq!(live.proof(), None);
    w.finish("A");
    let done = detail(&w, "A");
    let proof = done.proof().unwrap();
    assert_eq!(proof.commit, done.merged.as_ref().unwrap().commit);
    assert_eq!(proof.evidence.as_ref().unwrap().exit_code, Some(0));
    assert!(done.checks().count() > 1, "the gate of `impl` passed too, on another commit");
}
