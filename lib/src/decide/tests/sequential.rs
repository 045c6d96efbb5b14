//! One task at a time; the file names it.

use super::world::*;
use crate::event::{NewTask, Request};
use crate::fact::TaskEdit;
use crate::mode::{Orchestration, Rollout};
use crate::view::{Seen, state_doc};

fn world() -> World {
    let mut w = World::new();
    w.mode(Orchestration::Sequential, Rollout::Production);
    w
}

fn problem(w: &World) -> &str {
    w.p.core.current_task_problem.as_deref().unwrap_or("")
}

/// What would be written into the file.
fn written(w: &World, content: Option<&str>) -> Option<Option<String>> {
    let permitted = w.p.current_task_effect(content)?;
    match permitted.effect() {
        crate::fact::Effect::WriteCurrentTask { task } => Some(task.as_ref().map(ToString::to_string)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_or_empty_file_gets_the_first_ready_task() {
    for content in [None, Some("")] {
        let mut w = world();
        w.add_all(&["A", "B"]);
        w.add(NewTask::named("C").priority(1));
        assert_eq!(w.read_current(content).as_deref(), Some("C"));
        assert_eq!(written(&w, content), Some(Some("C".to_owned())));
        assert_eq!(written(&w, Some("C")), None, "what is there already is not written");
        assert_eq!(w.status("C"), "arch_wip");
        assert_eq!(w.status("A"), "unassigned");
        assert_eq!(w.p.core.runs.len(), 1);
    }
}

#[test]
fn a_file_naming_a_finished_task_goes_on_to_the_next() {
    let mut w = world();
    w.add_all(&["A", "B"]);
    w.read_current(Some("A"));
    w.finish("A");
    assert_eq!(w.status("A"), "completed");
    assert_eq!(w.status("B"), "unassigned", "nothing starts before the file says so");
    assert_eq!(w.read_current(Some("A")).as_deref(), Some("B"));
    assert_eq!(written(&w, Some("A")), Some(Some("B".to_owned())));
    w.finish("B");
    assert_eq!(w.read_current(Some("B")), None);
    assert_eq!(written(&w, Some("B")), Some(None), "nothing left: it is emptied");
    assert_eq!(written(&w, None), None);
}

#[test]
fn an_archived_task_in_the_file_counts_as_finished() {
    let mut w = world();
    w.reconfigure(|s| s.scheduler.keep_finished = 0);
    w.add_all(&["A", "B"]);
    w.read_current(Some("A"));
    w.finish("A");
    assert!(w.p.task("A").is_none());
    assert_eq!(w.read_current(Some("A")).as_deref(), Some("B"));
}

#[test]
fn an_unknown_task_in_the_file_is_a_persons_business_and_nothing_starts() {
    let mut w = world();
    w.add_all(&["A"]);
    assert_eq!(w.read_current(Some("NOPE")), None);
    assert!(problem(&w).contains("NOPE"));
    assert!(w.p.core.runs.is_empty());
    assert_eq!(written(&w, Some("NOPE")), None, "the file is left as it is");
    let list = crate::view::attention(&w.p);
    assert_eq!(list.iter().map(|a| a.kind).collect::<Vec<_>>(), ["current_task"]);
    assert_eq!(w.read_current(Some("A")).as_deref(), Some("A"));
    assert_eq!(problem(&w), "");
}

#[test]
fn a_blocked_task_in_the_file_is_a_persons_business_and_nothing_starts() {
    let mut w = world();
    w.add_all(&["A", "B"]);
    w.asked(Request::Block { task: task("A"), reason: "not now".to_owned() });
    w.read_current(Some("A"));
    assert!(problem(&w).contains("not now"), "{}", problem(&w));
    assert!(w.p.core.runs.is_empty());
    assert_eq!(written(&w, Some("A")), None);
}

#[test]
fn a_task_in_the_file_that_waits_for_others_is_a_persons_business() {
    let mut w = world();
    w.add_all(&["A"]);
    w.add(NewTask::named("B").after(&["A"]));
    w.read_current(Some("B"));
    assert!(problem(&w).contains("waits for A"), "{}", problem(&w));
    assert!(w.p.core.runs.is_empty());
}

#[test]
fn a_file_with_hostile_content_is_shown_harmlessly() {
    let mut w = world();
    w.read_current(Some("\u{1b}]52;c;evil\u{7}\n$(rm -rf /)"));
    assert!(!problem(&w).chars().any(char::is_control));
}

#[test]
fn every_agents_current_task_is_the_task_and_only_live_runs_count_as_busy() {
    let mut w = world();
    w.add_all(&["A", "B"]);
    w.read_current(Some("A"));
    for (stage, role) in [("arch", "architect"), ("test", "test"), ("impl", "implementation"), ("super", "supervisor")]
    {
        w.reach("A", stage);
        let doc = state_doc(&w.p, &Seen::new());
        assert!(doc.agents.values().all(|a| a.current_task == Some(&task("A"))));
        assert_eq!(doc.tasks[&task("A")].assigned_to, Some(&agent(role)));
        assert_eq!(doc.agents.values().filter(|a| a.run.is_some()).count(), 1);
        assert_eq!(w.p.core.runs.len(), 1, "one task in flight, one stage at a time");
    }
}

#[test]
fn a_task_in_flight_is_served_before_one_that_has_not_started() {
    let mut w = World::new();
    w.add_all(&["B"]);
    w.tick();
    w.do_stage("B");
    w.add(NewTask::named("A").priority(1));
    let run = w.run_of("B");
    w.start(&run);
    w.end(&run, OK);
    w.collect(&run, left(crate::run::ClaimStatus::Completed));
    w.mode(Orchestration::Sequential, Rollout::Production);
    assert_eq!(w.read_current(None).as_deref(), Some("B"));
}

#[test]
fn the_task_a_person_names_starts_even_beside_one_in_flight_with_the_same_paths() {
    let mut w = World::new();
    w.add(NewTask::named("A").paths(&["src/**"]));
    w.tick();
    let run = w.run_of("A");
    w.start(&run);
    w.end(&run, OK);
    w.collect(&run, left(crate::run::ClaimStatus::Completed));
    w.mode(Orchestration::Sequential, Rollout::Production);
    w.add(NewTask::named("B").paths(&["src/**"]));
    w.read_current(Some("B"));
    assert_eq!(w.status("B"), "arch_wip", "in sequential mode A would never end if B waited for it");
}

#[test]
fn a_failed_write_is_forgotten_once_the_file_is_right() {
    let mut w = world();
    w.add_all(&["A"]);
    w.read_current(None);
    w.effect_failed(crate::fact::EffectKey::CurrentTask, false);
    assert_eq!(w.p.core.effect_failures.len(), 1);
    w.read_current(Some("A"));
    assert_eq!(w.p.core.effect_failures.len(), 0);
}

#[test]
fn the_file_is_not_touched_in_shadow_or_in_other_modes() {
    let mut w = World::new();
    w.add_all(&["A"]);
    w.see(crate::event::Event::CurrentTaskRead { content: None });
    assert_eq!(w.p.core.current_task, None, "parallel mode has no current task");
    w.mode(Orchestration::Sequential, Rollout::Shadow);
    assert_eq!(w.read_current(None).as_deref(), Some("A"));
    assert_eq!(written(&w, None), None);
}

#[test]
fn picking_the_named_task_respects_its_pinned_agent() {
    let mut settings = settings();
    settings.agents.push(worker("architect2", "architect"));
    let mut w = World::with(settings, vec![]);
    w.mode(Orchestration::Sequential, Rollout::Production);
    w.add_all(&["A", "B"]);
    w.edit("B", TaskEdit { pinned_agent: Some(Some(agent("architect2"))), ..TaskEdit::default() }).unwrap();
    w.read_current(Some("B"));
    assert_eq!(w.agent_of("B"), "architect2");
    assert_eq!(w.status("A"), "unassigned");
}

/// Who would get a file, and the lines of it that say where the task is and what is to come.
fn files(w: &World) -> Option<Vec<(String, String)>> {
    let assigned = w.p.assigned()?;
    assert_eq!(assigned.files().count() > 0, assigned.task().is_some());
    let told = |text: String| {
        assert_eq!(crate::claim::parse(&text), None, "{text}");
        let lines = text.lines().filter(|line| line.starts_with("At ") || line.starts_with("Your role"));
        lines.collect::<Vec<_>>().join(" ")
    };
    Some(assigned.files().map(|(name, text)| (name.to_string(), told(text))).collect())
}

#[test]
fn every_agent_is_told_about_the_current_task_until_it_ends() {
    let mut w = world();
    w.add_all(&["A", "B"]);
    w.read_current(Some("A"));
    for (stage, at) in [("arch", "Design (`arch`)"), ("test", "Tests (`test`)"), ("super", "(`super`)")] {
        w.reach("A", stage);
        let files = files(&w).unwrap();
        assert_eq!(files.len(), 4, "{files:?}");
        assert!(files.iter().all(|(_, text)| text.contains(at)), "{stage}: {files:?}");
        let (_, tests) = files.iter().find(|(name, _)| name == "test").unwrap();
        assert!(tests.ends_with("Your role is `test`. You will do stage Tests (`test`)."), "{tests}");
    }
    assert!(w.p.assigned().unwrap().files().all(|(_, text)| text.contains("Stage test (success)")));
    w.finish("A");
    assert_eq!(files(&w).unwrap(), [], "a finished task is nobody's");
    w.read_current(Some("B"));
    assert_eq!(files(&w).unwrap().len(), 4);
    w.asked(Request::Block { task: task("B"), reason: "not now".to_owned() });
    assert_eq!(files(&w).unwrap().len(), 4, "it is still the task that all have");
}

#[test]
fn who_is_told_follows_the_mode_and_the_rollout() {
    let mut w = world();
    w.add_all(&["A"]);
    w.asked(Request::Block { task: task("A"), reason: "not now".to_owned() });
    w.read_current(Some("A"));
    for (orchestration, rollout, told) in [
        (Orchestration::Sequential, Rollout::Production, Some(4)),
        (Orchestration::Parallel, Rollout::Production, Some(0)),
        (Orchestration::Hybrid, Rollout::Production, Some(0)),
        (Orchestration::Sequential, Rollout::Pilot, Some(0)),
        (Orchestration::Sequential, Rollout::Shadow, None),
        (Orchestration::Parallel, Rollout::Shadow, None),
    ] {
        w.mode(orchestration, rollout);
        w.see(crate::event::Event::CurrentTaskRead { content: Some("A".to_owned()) });
        assert_eq!(files(&w).map(|files| files.len()), told, "{orchestration:?} {rollout:?}");
    }
}
