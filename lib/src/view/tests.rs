//! Tests of the documents: the shapes that scripts rely on.

use serde_json::Value;

use super::{
    AgentStatus, ProcessSeen, RunSeen, Seen, agent_view, attention, explain_agent, explain_task, queues, state_doc,
    status_doc,
};
use crate::decide::tests::world::*;
use crate::event::{NewTask, Request};
use crate::mode::{Orchestration, Rollout};
use crate::pipeline::AlertNotice;

fn json(w: &World) -> Value {
    serde_json::to_value(status_doc(&w.p, &Seen::new(), w.at)).unwrap()
}

#[test]
fn status_has_everything_the_interface_names_even_when_nothing_is_there() {
    let mut w = World::new();
    w.mode(Orchestration::Parallel, Rollout::Shadow);
    let doc = json(&w);
    assert_eq!(doc["schema_version"], 1);
    assert_eq!((doc["version"].as_str(), doc["mode"].as_str()), (Some("1.0.0"), Some("shadow")));
    assert_eq!(doc["orchestration_mode"], "parallel");
    assert_eq!(doc["generated_at"], "2026-07-24T10:00:00Z");
    assert_eq!(doc["attention"], Value::Array(vec![]));
    assert_eq!(doc["tasks"], serde_json::json!({}));
    for queue in ["unassigned", "architect", "test", "implementation", "supervisor", "blocked", "completed"] {
        assert_eq!(doc["queues"][queue], Value::Array(vec![]), "{queue}");
    }
    for count in [
        "tasks_total",
        "tasks_completed",
        "tasks_in_progress",
        "tasks_blocked",
        "tasks_failed",
        "completion_rate",
        "runs_total",
        "runs_failed",
        "retries_total",
        "gate_failures_total",
        "throughput_per_hour",
        "agent_utilization",
        "state_disagreements_total",
        "tokens_total",
        "cost_usd_total",
    ] {
        assert_eq!(doc["metrics"][count].as_f64(), Some(0.0), "{count}");
    }
    for percentiles in ["cycle_time_seconds", "attention_wait_seconds"] {
        assert_eq!(doc["metrics"][percentiles], serde_json::json!({"p50": 0.0, "p90": 0.0}));
    }
    for map in ["by_stage", "by_agent", "by_workflow", "by_variant"] {
        assert_eq!(doc["metrics"][map], serde_json::json!({}));
    }
}

#[test]
fn a_task_and_its_agent_have_the_seeds_fields() {
    let mut w = World::new();
    w.add(NewTask::named("A").paths(&["src/**"]));
    w.add(NewTask::named("B").after(&["A"]));
    w.tick();
    let doc = json(&w);
    let a = &doc["tasks"]["A"];
    assert_eq!((a["status"].as_str(), a["assigned_to"].as_str()), (Some("arch_wip"), Some("architect")));
    assert_eq!((a["stage"].as_str(), a["branch"].as_str()), (Some("arch"), Some("pipeline/A")));
    assert_eq!((a["attempt"].as_u64(), a["priority"].as_u64()), (Some(1), Some(3)));
    assert_eq!((&a["depends_on"], &a["paths"]), (&serde_json::json!([]), &serde_json::json!(["src/**"])));
    assert!(a["group"].is_null() && a["reason"].is_null());
    let agent = &doc["agents"]["architect"];
    assert_eq!((agent["role"].as_str(), agent["current_task"].as_str()), (Some("architect"), Some("A")));
    assert!(agent["run"].is_string() && agent["status_source"].is_string() && agent["status_since"].is_string());
    assert!(agent["confidence"].is_number());
    assert_eq!(doc["queues"]["blocked"], serde_json::json!(["B"]));
    assert_eq!(doc["tasks"]["B"]["reason"], "waits for A");
}

#[test]
fn queues_are_in_the_order_of_taking() {
    let mut w = World::workers(0, |_| {});
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").on("solo").priority(1));
    assert_eq!(queues(&w.p)["unassigned"], [&task("C"), &task("A"), &task("B")]);
}

#[test]
fn attention_shows_the_most_blocking_first_and_fits_the_shape() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").on("solo").after(&["B"]));
    for id in ["A", "B"] {
        w.asked(Request::Block { task: task(id), reason: "why".to_owned() });
        w.pass(1);
    }
    let list = attention(&w.p);
    assert_eq!(list.iter().map(|a| a.task.as_ref().unwrap().as_str()).collect::<Vec<_>>(), ["B", "A"]);
    let shape = serde_json::to_value(&list[0]).unwrap();
    let mut keys: Vec<&str> = shape.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["agent", "command", "kind", "since", "summary", "task", "unblocks"]);
    assert_eq!(shape["unblocks"], serde_json::json!(["C"]));
}

#[test]
fn a_grave_alert_is_shown_until_its_task_moves_on_and_a_dead_channel_until_it_works() {
    let mut w = World::workers(1, |_| {});
    w.add(NewTask::named("A").on("solo"));
    w.asked(Request::Block { task: task("A"), reason: "no disk".to_owned() });
    let notice = |channel: Option<&str>| AlertNotice {
        name: "stuck".to_owned(),
        text: "[critical] stuck: A".to_owned(),
        task: Some(task("A")),
        channel: channel.map(str::to_owned),
    };
    let note = |w: &mut World, notices: Vec<AlertNotice>, working: &[&str]| {
        let working = working.iter().map(|name| (*name).to_owned()).collect();
        w.asked(Request::NoteAlerts { notices, working })
    };
    note(&mut w, vec![notice(None), notice(Some("ops"))], &["ops", "other"]);
    note(&mut w, vec![notice(None)], &[]);
    let kinds = |w: &World| attention(&w.p).into_iter().map(|one| one.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&w), ["blocked", "alert_undelivered", "alert"], "each once");
    w.pass(60);
    w.asked(Request::Retry { task: task("A"), message: None });
    assert_eq!(kinds(&w), ["alert_undelivered"]);
    assert_eq!(note(&mut w, Vec::new(), &["other"]), []);
    note(&mut w, Vec::new(), &["ops"]);
    assert_eq!(kinds(&w), [""; 0]);
    note(&mut w, vec![notice(Some("ops"))], &[]);
    w.pass(25 * 60 * 60);
    w.add(NewTask::named("B").on("solo"));
    assert_eq!(kinds(&w), [""; 0], "after a day it is history");
}

#[test]
fn an_agents_status_follows_what_was_seen_of_its_process() {
    let mut w = World::workers(1, |_| {});
    w.add_all(&["A"]);
    let status = |w: &World, process: Option<ProcessSeen>| {
        let name = agent("w1");
        let mut seen = Seen::new();
        if let (Some(process), Some(run)) = (process, &w.p.core.agents[&name].run) {
            let of_run = RunSeen {
                process,
                last_output_at: None,
                last_line: String::new(),
                activity: None,
                marker: None,
                doing: None,
            };
            seen.insert(run.clone(), of_run);
        }
        let view = agent_view(&w.p, &name, &w.p.core.agents[&name], &seen);
        assert!(!view.reasons.is_empty() && (0.0..=1.0).contains(&view.confidence));
        assert!(!explain_agent(&w.p, &name, &w.p.core.agents[&name], &seen).rule.is_empty());
        view.status
    };
    assert_eq!(status(&w, None), AgentStatus::Idle);
    w.tick();
    assert_eq!(status(&w, None), AgentStatus::Starting);
    // Between two ticks more is seen than is recorded.
    for (process, expected) in [
        (ProcessSeen::NotStarted, AgentStatus::Starting),
        (ProcessSeen::Starting, AgentStatus::Starting),
        (ProcessSeen::Alive, AgentStatus::Working),
        (ProcessSeen::Ended, AgentStatus::Verifying),
        (ProcessSeen::Gone, AgentStatus::Crashed),
    ] {
        assert_eq!(status(&w, Some(process)), expected, "{process:?}");
    }
    let run = w.run_of("A");
    w.start(&run);
    for (process, expected) in [
        (ProcessSeen::Alive, AgentStatus::Working),
        (ProcessSeen::Gone, AgentStatus::Crashed),
        (ProcessSeen::Unknown, AgentStatus::Unknown),
        (ProcessSeen::Ended, AgentStatus::Verifying),
    ] {
        assert_eq!(status(&w, Some(process)), expected);
    }
    assert_eq!(status(&w, None), AgentStatus::Working);
    w.asked(Request::StopAgent { agent: agent("w1") });
    w.end(&run, stopped(crate::run::StopReason::Person));
    w.collect(&run, left_nothing());
    assert_eq!(status(&w, None), AgentStatus::Stopped);
}

#[test]
fn every_task_can_explain_itself() {
    let mut w = World::new();
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").after(&["A"]));
    for _ in 0..4 {
        for id in ["A", "B", "C"] {
            let explanation = explain_task(&w.p, w.task(id));
            assert!(!explanation.rule.is_empty(), "{id} while {}", explanation.status);
            assert_eq!(explanation.status, w.status(id));
        }
        w.finish("A");
    }
    assert_eq!(explain_task(&w.p, w.task("A")).commands, ["pipeline task rollback A"]);
    assert_eq!(state_doc(&w.p, &Seen::new()).queues["completed"], [&task("A")]);
}
