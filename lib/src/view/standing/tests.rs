//! What is said of schedules, chains and categories.

use jiff::SignedDuration;

use super::*;
use crate::agents::preset::Preset;
use crate::decide::tests::world::*;
use crate::event::NewTask;
use crate::ids::command_role;
use crate::registry::{Chain, Link};
use crate::run::Ended;
use crate::settings::{AgentSettings, Category, Sandbox};
use crate::workflow::{Stage, Workflow};

const OK: Ended = Ended::Exited { code: 0 };

fn command(id: &str) -> Stage {
    Stage { doing: Doing::Command("true".to_owned()), ..plain_stage(id, "command") }
}

fn settings() -> Settings {
    let mut settings = Settings { agents: vec![worker("w1", "worker")], ..Settings::default() };
    settings.agents.push(AgentSettings {
        name: agent("command-1"),
        role: command_role().clone(),
        preset: Preset::Command,
        interactive: false,
        sandbox: Sandbox::Off,
        variant: None,
    });
    settings
}

fn now(w: &World) -> Standing {
    standing(&w.p, &w.p.core.settings, w.at)
}

#[test]
fn a_schedule_says_when_it_is_next_and_what_became_of_the_last_time() {
    let mut settings = settings();
    settings.schedules.push(ScheduleSettings {
        name: "health".to_owned(),
        workflow: "watch".parse().unwrap(),
        when: "every 5 minutes".to_owned(),
        params: BTreeMap::new(),
        jitter: SignedDuration::ZERO,
    });
    let mut w = World::with(settings, vec![workflow("watch", vec![command("do")], &[])]);
    let said = |w: &World| {
        let one = now(w).schedules.remove(0);
        let task = one.task.map(|id| id.to_string()).unwrap_or_default();
        (one.next.is_some(), one.last.is_some(), task, one.status, one.skipped)
    };
    assert_eq!(said(&w), (true, false, String::new(), String::new(), 0), "before anybody looked");
    w.tick();
    w.pass(300);
    w.tick();
    assert_eq!(said(&w), (true, true, "TASK-001".to_owned(), "do_wip".to_owned(), 0));
    w.pass(300);
    w.tick();
    assert_eq!(said(&w).4, 1, "left out while the last one is not finished");
    assert!(now(&w).schedules[0].problem.contains("TASK-001"));
    w.work("TASK-001", OK, left_nothing());
    assert_eq!(now(&w).schedules[0].tone, Some(Tone::Good));
}

#[test]
fn a_chain_under_way_says_how_each_of_its_workflows_stands() {
    let link = |name: &str| Link { workflow: name.parse().unwrap(), params: BTreeMap::new() };
    let chain = Chain {
        id: "both".parse().unwrap(),
        at: "/chains/both".to_owned(),
        description: String::new(),
        category: String::new(),
        triggers: Vec::new(),
        links: vec![link("one"), link("two")],
        stop_on_failure: true,
        on_failure: None,
    };
    let parts: Vec<Workflow> = ["one", "two"].map(|id| workflow(id, vec![command("do")], &[])).into();
    let find = |id: &WorkflowId| parts.iter().find(|known| known.id == *id).cloned().map(std::sync::Arc::new);
    let whole = chain.workflow(find).unwrap();
    let mut w = World::with(settings(), [parts.clone(), vec![whole]].concat());
    assert_eq!(now(&w).chains, []);
    w.add(NewTask::named("A").on("both"));
    w.tick();
    let said = |w: &World| -> Vec<String> {
        let chains = now(w).chains;
        let parts = chains.iter().flat_map(|chain| &chain.parts);
        parts.map(|part| format!("{} {} {}", part.workflow, part.state, part.status)).collect()
    };
    assert_eq!(said(&w), ["one live, in parts do_wip", "two to come "]);
    let part = now(&w).chains[0].parts[0].task.clone().unwrap();
    w.work(part.as_str(), OK, left_nothing());
    w.tick();
    assert_eq!(said(&w), ["one done completed", "two live, in parts do_wip"]);
    let part = now(&w).chains[0].parts[1].task.clone().unwrap();
    w.work(part.as_str(), OK, left_nothing());
    w.tick();
    assert_eq!(now(&w).chains, [], "it is no longer under way");
}

#[test]
fn a_category_says_who_uses_it_and_who_waits() {
    let mut settings = settings();
    settings.categories.insert("testing".to_owned(), Category { max: Some(1), exclusive: false });
    let check = Workflow { category: "testing".to_owned(), ..workflow("check", vec![command("do")], &[]) };
    let mut w = World::with(settings, vec![check]);
    for id in ["A", "B", "C"] {
        w.add(NewTask::named(id).on("check"));
    }
    w.tick();
    let one = now(&w).categories.remove(0);
    let names = |ids: &[TaskId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!((names(&one.running), names(&one.queue), one.waiting), ("A".to_owned(), "B C".to_owned(), 2));
    assert_eq!(one.max, Value::from(1));
}
