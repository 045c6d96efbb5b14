//! Two variants of agents on one role: who gets which task, and what is known of them afterwards.

use serde_json::{Value, json};

use crate::support::{Sandbox, texts};

/// One of the variants leaves what the gate does not let pass.
#[test]
fn two_variants_of_which_one_fails_its_gate() {
    let s = Sandbox::new();
    let two = |a: &str, b: &str| {
        let agent = |name: &str, variant: &str| {
            s.agent_block(name, "implementation") + &format!("variant = \"{variant}\"\nenv = {{ KIND = \"{name}\" }}\n")
        };
        let others: String = ["architect", "test", "supervisor"].iter().map(|role| s.agent_block(role, role)).collect();
        let head = "[project]\nbase = \"main\"\nverify = \"test ! -e broken.txt\"\n[scheduler]\nbackoff = \"0s\"\nretries = 0\n";
        format!("{head}{others}{}{}", agent("careful", a), agent("hasty", b))
    };
    s.init("production", &two("a", "b"));
    s.run(["config", "validate"]).ok();
    s.plan("impl", "work; if [ $KIND = hasty ]; then put broken.txt x; commit broken; fi; marker COMPLETED");
    let ids: Vec<String> = (1..=6).map(|n| format!("T-{n}")).collect();
    for id in &ids {
        s.add(id, &[]);
    }
    let over = |status: &Value| {
        let word = |id: &String| status["tasks"][id]["status"].as_str().unwrap().to_owned();
        ids.iter().all(|id| matches!(word(id).as_str(), "completed" | "blocked"))
    };
    let status = s.tick_until("all are over", over);
    let kind = |id: &String| {
        s.seen(&format!("{id}.impl.1"), "env").lines().find_map(|line| line.strip_prefix("KIND=").map(str::to_owned))
    };
    let careful = ids.iter().filter(|id| kind(id).as_deref() == Some("careful")).count() as u64;
    assert!(0 < careful && careful < 6, "both had some: {careful}");
    for id in &ids {
        let expected = if kind(id).as_deref() == Some("careful") { "completed" } else { "blocked" };
        assert_eq!(status["tasks"][id]["status"], expected, "{id}");
    }
    let found = &status["metrics"]["by_variant"]["implementation"];
    let arm = |at: usize| found["arms"][at].clone();
    let counts = |arm: &Value| {
        ["tasks", "runs", "gates", "gates_passed"]
            .map(|key| arm[key].as_u64().unwrap_or_else(|| panic!("{key}: {arm}")))
    };
    assert_eq!((&arm(0)["variant"], counts(&arm(0))), (&json!("a"), [careful, careful, careful, careful]));
    assert_eq!((&arm(1)["variant"], counts(&arm(1))), (&json!("b"), [6 - careful, 6 - careful, 6 - careful, 0]));
    let rate = &arm(0)["gate_pass_rate"];
    assert_eq!(rate["value"], 1.0);
    assert!(rate["low"].as_f64().unwrap() < 1.0 && rate["high"] == 1.0, "{rate}");
    let gates = &found["differences"][0];
    assert_eq!(
        (&gates["figure"], &gates["told"], &gates["difference"]),
        (&json!("gate_pass_rate"), &json!(false), &json!(-1.0))
    );
    s.run(["rollout", "history"]).ok().says(&["implementation", "no difference can be told yet", "10 each are needed"]);
    let history = || s.run(["rollout", "history", "--json"]).ok().json()["by_variant"]["implementation"].clone();
    assert_eq!(&history(), found);
    // What is configured later does not rewrite what was.
    s.write(".pipeline/config.toml", &two("x", "x"));
    s.tick();
    assert_eq!(&history(), found);
}

/// Nobody of a task's variant works: it waits, and says what to type.
#[test]
fn a_variant_that_nobody_serves() {
    let s = Sandbox::new();
    let agent = |name: &str, variant: &str| s.agent_block(name, "architect") + &format!("variant = \"{variant}\"\n");
    s.init(
        "production",
        &(s.config("", "").replace("name = \"architect\"\n", "name = \"architect\"\nvariant = \"a\"\n")
            + &agent("other", "b")),
    );
    s.plan("arch", "hang");
    s.run(["agent", "stop", "architect"]).ok();
    s.run(["agent", "stop", "other"]).ok();
    s.add("T-1", &[]);
    s.tick();
    let reason = s.task("T-1")["reason"].as_str().unwrap().to_owned();
    let command = reason.split('`').nth(1).unwrap().to_owned();
    s.run(["explain", "T-1"]).ok().says(&["variant", &command]);
    assert_eq!(s.status()["attention"][0]["command"], command.as_str());
    let bound = command.rsplit(' ').next().unwrap();
    let free = if bound == "other" { "architect" } else { "other" };
    s.run(["agent", "start", free]).ok();
    s.tick();
    assert_eq!(s.status_of("T-1"), "unassigned", "the other variant's agent is free, and it is not its task");
    s.run(command.split(' ').skip(1)).ok();
    s.tick_to("T-1", "arch_wip");
    assert_eq!(s.task("T-1")["assigned_to"], bound);
    assert_eq!(texts(&s.status()["queues"]["unassigned"]), [""; 0]);
    let plain = s.agent_block("plain", "architect");
    let config = s.read(".pipeline/config.toml") + &plain;
    s.write(".pipeline/config.toml", &config);
    s.run(["config", "validate"]).ok().says(&["`plain` takes no work"]);
}
