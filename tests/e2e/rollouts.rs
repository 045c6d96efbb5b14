//! The rollout beside everything else: the pilot's list, the record of every switch, and a switch while another is awaited.

use serde_json::{Value, json};

use crate::support::{Sandbox, texts, word};

/// Ids and globs, present and future; the list can be made before it is used.
#[test]
fn the_pilots_list() {
    let s = Sandbox::new();
    s.init("shadow", &s.config("", ""));
    for id in ["DOC-1", "DOC-22", "API-1", "api-2"] {
        s.add(id, &[]);
    }
    let list = |s: &Sandbox| s.run(["pilot", "list", "--json"]).ok().json();
    assert_eq!(list(&s)["active"], false);
    s.run(["pilot", "list"]).ok().says(&["no task is listed"]);
    s.run(["pilot", "start"]).ok().says(&["pilot add ID"]);
    s.run(["pilot", "add", "DOC-1", "NOPE"]).code(5).says(&["NOPE", "add-pattern"]);
    assert_eq!(list(&s)["tasks"], json!([]), "all or none");
    s.run(["pilot", "add", "DOC-1", "API-1"]).ok();
    s.run(["pilot", "add", "DOC-1"]).ok();
    s.run(["pilot", "add-pattern", "DOC-?"]).ok();
    s.run(["pilot", "add-pattern", "*-2"]).ok();
    s.run(["pilot", "add-pattern", "FUTURE-*"]).ok().says(&["FUTURE-* matches no task yet"]);
    s.run(["pilot", "add-pattern", "two words"]).code(2).says(&["DOC-*"]);
    s.run(["pilot", "add-pattern", ""]).code(2);
    s.run(["pilot", "add-pattern", "DOC-[1"]).code(2).says(&["`[` has no counterpart"]);
    let document = list(&s);
    assert_eq!((&document["schema_version"], &document["active"]), (&1.into(), &true.into()));
    assert_eq!(texts(&document["tasks"]), ["API-1", "DOC-1"]);
    assert_eq!(texts(&document["patterns"]), ["*-2", "DOC-?", "FUTURE-*"]);
    assert_eq!(texts(&document["covered"]), ["DOC-1", "API-1", "api-2"], "DOC-22 is one letter too long");
    s.run(["pilot", "remove", "NOPE"]).code(5).says(&["pilot list"]);
    s.run(["pilot", "remove", "API-1", "DOC-?", "*-2"]).ok();
    assert_eq!(texts(&list(&s)["covered"]), ["DOC-1"]);
    s.plan("arch", "hang");
    s.tick_to("DOC-1", "arch_wip");
    // Taken off the list while it runs: it is observed to its end, and nothing more.
    s.run(["pilot", "remove", "DOC-1"]).ok();
    s.wait_at("DOC-1.arch.1");
    s.plan("arch", "work; marker COMPLETED");
    s.release("DOC-1.arch.1");
    s.add("FUTURE-1", &[]);
    s.tick_to("FUTURE-1", "completed");
    assert_eq!((s.calls("DOC-1.test"), s.calls("API-1.arch")), (0, 0));
    s.run(["pilot", "stop"]).ok();
    assert_eq!((&list(&s)["active"], texts(&list(&s)["patterns"])), (&false.into(), vec!["FUTURE-*"]));
}

fn switches(s: &Sandbox) -> Vec<Value> {
    let history = s.run(["rollout", "history", "--json"]).ok().json();
    history["switches"].as_array().cloned().unwrap_or_default()
}

/// Every switch is on record: who, from where to where, with which evidence, and the figures of that moment.
#[test]
fn every_switch_is_on_record() {
    let s = Sandbox::new();
    let config = s.config("", "") + "\n[rollout]\nmin_runs = 4\nmin_gate_pass_rate = 0.5\n";
    s.init("shadow", &config);
    s.run(["rollout", "history"]).ok().says(&["never switched"]);
    s.run(["rollout", "demote", "--json"]).ok();
    assert!(switches(&s).is_empty(), "there is nothing before shadow");
    s.run(["rollout", "promote"]).ok().says(&["shadow → pilot"]);
    let early = s.run(["rollout", "promote", "--json"]).code(3).json();
    assert_eq!((&early["from"], &early["to"], &early["ready"]), (&"pilot".into(), &"production".into(), &false.into()));
    s.add("T-1", &[]);
    s.run(["pilot", "add-pattern", "T-*"]).ok();
    s.tick_to("T-1", "completed");
    let check = s.run(["rollout", "check"]).ok().says(&["pilot → production: ready", "at least 4", "rollout promote"]);
    assert!(check.stdout.contains("2 of 2 gates passed"), "{check:?}");
    s.run(["rollout", "promote", "--json"]).ok();
    s.run(["rollout", "promote"]).code(1).says(&["there is none after it"]);
    s.run(["rollout", "check"]).ok();
    s.run(["rollout", "demote"]).ok().says(&["production → pilot"]);
    s.run(["mode", "pipeline", "--yes"]).ok();
    let found = switches(&s);
    let steps: Vec<String> = found
        .iter()
        .map(|one| {
            let word = |key: &str| one[key]["rollout"].as_str().unwrap().to_owned();
            format!("{} {}→{} {}", one["actor"].as_str().unwrap(), word("from"), word("to"), one["unready"])
        })
        .collect();
    assert_eq!(
        steps,
        [
            "rollout shadow→pilot false",
            "rollout pilot→production false",
            "rollout production→pilot false",
            "mode pilot→production true",
        ]
    );
    assert_eq!((&found[0]["figures"]["runs"], &found[1]["figures"]["runs"]), (&0.into(), &4.into()));
    assert_eq!(found[1]["figures"]["gates"], 2);
    s.run(["rollout", "history"]).ok().says(&["without", "4 runs"]);
}

/// The brake works at once and leaves a switch that is awaited as it is; that there was no evidence is remembered.
#[test]
fn a_drain_survives_a_switch_of_the_rollout() {
    let s = Sandbox::new();
    s.init("pilot", &s.config("", ""));
    s.run(["pilot", "add-pattern", "*"]).ok();
    s.plan("arch", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["mode", "traditional", "--drain"]).code(3).says(&["--yes"]);
    s.run(["mode", "traditional", "--drain", "--yes"]).ok();
    assert!(switches(&s).iter().all(|one| one["actor"] != "mode"), "nothing is switched yet");
    let modes = |status: &Value| {
        let pending = &status["pending_mode"];
        let texts = [&status["orchestration_mode"], &status["mode"], &pending["orchestration"], &pending["rollout"]];
        texts.map(|text| text.as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(modes(&s.status()), ["parallel", "pilot", "sequential", "production"]);
    for (verb, rollout) in [
        (&["pilot", "stop"][..], "shadow"),
        (&["mode", "pilot", "--yes"], "pilot"),
        (&["rollout", "demote"], "shadow"),
        (&["mode", "production", "--yes"], "production"),
    ] {
        s.run(verb).ok();
        assert_eq!(modes(&s.status()), ["parallel", rollout, "sequential", rollout], "{verb:?}");
    }
    s.run(["mode", "set", "parallel", "pilot"]).ok();
    assert_eq!(modes(&s.status()), ["parallel", "pilot", "-", "-"], "naming the present orchestration takes it back");
    s.run(["mode", "traditional", "--drain", "--yes"]).ok();
    s.release("T-1.arch.1");
    s.tick_until("it has switched", |status| status["orchestration_mode"] == "sequential");
    let last = switches(&s).pop().unwrap();
    assert_eq!((&last["to"]["rollout"], &last["unready"]), (&"production".into(), &true.into()), "{last}");
    assert_eq!(last["actor"], "once", "a tick did it");
    assert_ne!(word(&s.status(), "T-1"), "arch_wip");
}

/// A share of all tasks beside the list: the same ones each time, and a larger share only adds some.
#[test]
fn the_pilot_covers_a_share_of_all_tasks() {
    let s = Sandbox::new();
    s.init("shadow", &s.config("", ""));
    let ids: Vec<String> = (1..=20).map(|n| format!("T-{n}")).collect();
    for id in &ids {
        s.add(id, &[]);
    }
    s.run(["pilot", "start", "--percent", "101"]).code(2);
    s.run(["pilot", "start", "--percent", "30"]).ok().says(&["30 % of all tasks"]);
    let covered = || {
        let list = s.run(["pilot", "list", "--json"]).ok().json();
        texts(&list["covered"]).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()
    };
    let small = covered();
    assert!(!small.is_empty() && small.len() < ids.len(), "{small:?}");
    assert_eq!(s.status()["pilot_percent"], 30);
    s.run(["status"]).ok().says(&["pilot 30 %"]);
    let outside = ids.iter().find(|id| !small.contains(id)).unwrap();
    s.run(["explain", outside]).ok().says(&["not in the pilot's share of 30 %", "pilot percent"]);
    s.run(["explain", &small[0]]).ok().says(&["in the pilot's share of 30 %"]);
    s.run(["pilot", "percent", "60"]).ok();
    let large = covered();
    assert!(small.iter().all(|id| large.contains(id)) && large.len() > small.len(), "{small:?} {large:?}");
    s.run(["undo"]).ok();
    assert_eq!(covered(), small);
}
