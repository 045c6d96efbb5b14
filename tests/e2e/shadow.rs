//! The rollout modes: shadow plans and touches nothing, pilot touches what is listed, and evidence decides what is next.

use serde_json::Value;

use crate::support::{Sandbox, word};

fn events(s: &Sandbox, kind: &str) -> Vec<Value> {
    s.run(["events", "--type", kind, "--json"]).ok().json_lines()
}

fn untouched(s: &Sandbox) -> (String, bool) {
    (s.git(&["for-each-ref", "--format=%(refname) %(objectname)"]), s.repo().join(".pipeline/worktrees").exists())
}

/// Each new plan is recorded once; nothing outside the journal happens; starts asked for are refused with the way out.
#[test]
fn shadow_plans_and_touches_nothing() {
    let s = Sandbox::new();
    s.init("shadow", &s.config("", ""));
    let said = s.run(["task", "add", "a thing", "--id", "T-1"]).ok().says(&["pipeline mode pipeline --yes"]);
    assert_eq!(said.stdout, "T-1\n");
    s.add("T-2", &[]);
    let before = untouched(&s);
    s.tick();
    let seq = s.state()["journal_seq"].clone();
    let first = events(&s, "effect_withheld");
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(
        (&first[0]["task"], &first[0]["agent"], &first[0]["stage"]),
        (&"T-1".into(), &"architect".into(), &"arch".into())
    );
    s.tick();
    s.tick();
    assert_eq!(s.state()["journal_seq"], seq, "the same plan is said once");
    assert_eq!(untouched(&s), before);
    assert!(!before.1);
    assert_eq!((s.status_of("T-1").as_str(), s.calls("T-1.arch")), ("unassigned", 0));
    assert!(s.task("T-1")["reason"].as_str().unwrap().contains("shadow"));
    s.run(["task", "block", "T-1"]).ok();
    s.run(["task", "retry", "T-1"]).code(1).says(&["shadow", "pipeline mode"]);
    s.run(["agent", "start", "architect"]).code(1).says(&["pipeline mode pipeline --yes"]);
    s.run(["agent", "restart", "--all"]).code(1).says(&["pipeline mode pipeline --yes"]);
    s.tick();
    assert_eq!(events(&s, "effect_withheld").last().unwrap()["task"], "T-2", "a new plan is said");
    s.run(["mode", "pipeline", "--yes"]).ok();
    s.tick_to("T-2", "completed");
}

/// Runs that are live when shadow begins are observed to their end and not merged.
#[test]
fn shadow_brakes_what_is_live() {
    let s = Sandbox::ready();
    let base = s.git(&["rev-parse", "main"]);
    s.plan("super", "hang; work; marker COMPLETED");
    s.plan("T-2.arch", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "super_wip");
    s.add("T-2", &[]);
    s.tick_to("T-2", "arch_wip");
    s.wait_at("T-1.super.1");
    s.wait_at("T-2.arch.1");
    s.run(["mode", "shadow"]).ok();
    s.tick();
    assert_eq!((s.status_of("T-1").as_str(), s.status_of("T-2").as_str()), ("super_wip", "arch_wip"));
    s.release("T-1.super.1");
    s.release("T-2.arch.1");
    s.tick_until("both have ended", |status| {
        word(status, "T-1") == "super_verifying" && word(status, "T-2") == "test_ready"
    });
    s.tick();
    s.tick();
    assert_eq!(s.git(&["rev-parse", "main"]), base);
    assert_eq!((s.status_of("T-1").as_str(), s.calls("T-2.test")), ("super_verifying", 0));
    assert_eq!(s.git(&["show", "pipeline/T-2:T-2.txt"]), "T-2.arch 1", "what they did is kept");
    s.run(["mode", "production", "--yes"]).ok();
    s.tick_to("T-1", "completed");
}

/// Pilot touches listed ids and globs; the rest is treated as in shadow.
#[test]
fn pilot_touches_what_is_listed() {
    let s = Sandbox::new();
    s.init("pilot", &s.config("", ""));
    for id in ["T-1", "T-2", "DOC-1"] {
        s.run(["task", "add", "x", "--id", id]).ok().says(&["pipeline pilot add"]);
    }
    s.tick();
    assert_eq!((s.calls("T-1.arch"), s.calls("T-2.arch"), s.calls("DOC-1.arch")), (0, 0, 0));
    s.run(["pilot", "add", "T-2"]).ok();
    s.run(["pilot", "add", "NOPE"]).code(5);
    s.run(["pilot", "add-pattern", "DOC-*"]).ok();
    s.tick_to("T-2", "completed");
    s.tick_to("DOC-1", "completed");
    s.add("DOC-2", &[]);
    s.tick_to("DOC-2", "completed");
    assert_eq!((s.status_of("T-1").as_str(), s.calls("T-1.arch")), ("unassigned", 0));
    s.run(["task", "block", "T-1"]).ok();
    s.run(["task", "retry", "T-1"]).code(1).says(&["pilot", "pipeline mode production --yes"]);
    s.run(["pilot", "remove", "DOC-*"]).ok();
    s.run(["task", "add", "x", "--id", "DOC-3"]).ok();
    s.tick();
    assert_eq!(s.calls("DOC-3.arch"), 0);
    s.run(["pilot", "stop"]).ok();
    assert_eq!(s.state()["mode"], "shadow");
    s.run(["pilot", "start"]).ok();
    assert_eq!(s.state()["mode"], "pilot");
}

/// Shadow → pilot asks for a clean doctor, valid workflows and a gate that passes on base; pilot → production for the
/// configured thresholds over recorded runs.
#[test]
fn the_rollout_goes_on_by_evidence() {
    let s = Sandbox::new();
    let mut config = s.config("", "");
    config.push_str("\n[rollout]\nmin_runs = 4\nmin_gate_pass_rate = 0.9\n");
    s.init("shadow", &config);
    s.commit("broken.txt", "x\n");
    let check = |s: &Sandbox, code: i32| s.run(["rollout", "check", "--json"]).code(code).json();
    let ok = |document: &Value, name: &str| {
        let list = document["checks"].as_array().unwrap();
        list.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {document}"))["ok"] == true
    };
    let found = check(&s, 3);
    assert_eq!((&found["from"], &found["to"], &found["ready"]), (&"shadow".into(), &"pilot".into(), &false.into()));
    assert!(!ok(&found, "gate_on_base") && ok(&found, "workflows"), "{found}");
    s.run(["rollout", "promote"]).code(3);
    s.run(["mode", "pilot"]).code(3);
    s.git(&["rm", "-q", "broken.txt"]);
    s.git(&["commit", "-qm", "mended"]);
    s.write(".pipeline/workflows/odd.json", r#"{"id":"odd","name":"odd","stages":[{"id":"a","agent":"nobody"}]}"#);
    let found = check(&s, 3);
    assert!(ok(&found, "gate_on_base") && !ok(&found, "workflows"), "{found}");
    std::fs::remove_file(s.repo().join(".pipeline/workflows/odd.json")).unwrap();
    assert_eq!(check(&s, 0)["ready"], true);
    s.run(["rollout", "promote"]).ok();
    assert_eq!(s.state()["mode"], "pilot");
    assert!(!ok(&check(&s, 3), "runs"));
    s.run(["rollout", "promote"]).code(3);
    s.add("T-1", &[]);
    s.run(["pilot", "add", "T-1"]).ok();
    s.tick_to("T-1", "completed");
    assert_eq!(check(&s, 0)["ready"], true, "four runs and two gates are on record");
    s.run(["task", "rollback", "T-1"]).ok();
    assert!(!ok(&check(&s, 3), "rollbacks"));
    s.run(["mode", "production", "--yes"]).ok();
    s.run(["rollout", "demote"]).ok();
    assert_eq!(s.state()["mode"], "pilot");
    let history = s.run(["rollout", "history", "--json"]).ok().json();
    assert!(history.to_string().contains("production"), "{history}");
}
