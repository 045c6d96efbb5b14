//! Taking back the last command: what it changed is as it was, and what was built on stays.

use serde_json::Value;

use crate::support::{Sandbox, texts};

fn seq(s: &Sandbox) -> Value {
    s.state()["journal_seq"].clone()
}

fn status(s: &Sandbox, id: &str) -> String {
    s.task(id)["status"].as_str().unwrap_or_default().to_owned()
}

/// One command after the other, each taken back and brought back.
#[test]
fn the_last_command_is_taken_back_and_brought_back() {
    let s = Sandbox::new();
    s.init("shadow", &s.config("", ""));
    s.run(["undo"]).code(1).says(&["nothing to undo"]);
    s.add("T-1", &[]);
    s.run(["undo", "--dry-run"]).ok().says(&["would undo: task add", "T-1 added"]);
    assert_eq!(status(&s, "T-1"), "unassigned", "a dry run changes nothing");
    s.run(["undo"]).ok().says(&["undone: task add", "T-1 is gone again"]);
    s.run(["task", "show", "T-1"]).code(5);
    s.run(["undo"]).ok().says(&["undone: undo"]);
    assert_eq!(status(&s, "T-1"), "unassigned");
    s.add("T-2", &["--after", "T-1"]);
    s.run(["task", "edit", "T-1", "--title", "another", "--priority", "1"]).ok();
    let document = s.run(["undo", "--json"]).ok().json();
    assert_eq!((&document["command"], &document["dry_run"]), (&"task edit".into(), &false.into()));
    assert_eq!(texts(&document["did"]), ["T-1 edited"]);
    assert_eq!((&s.task("T-1")["title"], &s.task("T-1")["priority"]), (&"the task T-1".into(), &3.into()));
    // Several at once are one command.
    s.run(["task", "cancel", "T-1", "T-2"]).ok();
    s.run(["undo"]).ok();
    assert_eq!((status(&s, "T-1"), status(&s, "T-2")), ("unassigned".to_owned(), "unassigned".to_owned()));
    s.run(["pilot", "add", "T-1"]).ok();
    s.run(["mode", "set", "sequential", "pilot", "--yes"]).ok();
    s.run(["undo"]).ok().says(&["mode is parallel · shadow"]);
    s.run(["undo"]).ok().says(&["mode is sequential · pilot"]);
    s.run(["agent", "stop", "--all"]).ok();
    s.run(["undo"]).ok().says(&["takes work again"]);
    s.run(["doctor"]).ok();
}

/// What a tick built on a command stays, and what to do instead is said.
#[test]
fn what_was_built_on_a_command_is_not_taken_back() {
    let s = Sandbox::ready();
    s.plan("arch", "hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    let before = seq(&s);
    s.run(["undo"]).code(1).says(&["T-1 has moved on since: it is arch_wip", "pipeline explain T-1"]);
    let document = s.run(["undo", "--json"]).code(1);
    assert_eq!(document.error().0, "not_undone");
    assert_eq!(seq(&s), before);
    // Its run is stopped with it, and begins anew.
    s.wait_at("T-1.arch.1");
    s.run(["task", "cancel", "T-1"]).ok();
    s.run(["undo"]).ok().says(&["T-1 is arch_ready again"]);
    s.plan("arch", "work; marker COMPLETED");
    s.tick_to("T-1", "completed");
    s.run(["task", "rollback", "T-1"]).ok();
    s.run(["undo"]).code(1).says(&["the merge of T-1 was reverted"]);
}
