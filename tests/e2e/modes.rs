//! The two dimensions of the mode, and switching between them while agents work.

use crate::support::Sandbox;

fn modes(s: &Sandbox) -> (String, String) {
    let document = s.run(["mode", "--json"]).ok().json();
    let text = |key: &str| document[key].as_str().expect("a word").to_owned();
    (text("orchestration_mode"), text("mode"))
}

#[test]
fn words_and_presets() {
    let s = Sandbox::new();
    s.init("shadow", &s.config("", ""));
    for (words, orchestration, rollout) in [
        (&["traditional"][..], "sequential", "production"),
        (&["pipeline"], "parallel", "production"),
        (&["test"], "parallel", "pilot"),
        (&["hybrid"], "hybrid", "pilot"),
        (&["production"], "hybrid", "production"),
        (&["sequential"], "sequential", "production"),
        (&["shadow"], "sequential", "shadow"),
        (&["set", "parallel", "pilot"], "parallel", "pilot"),
        (&["show"], "parallel", "pilot"),
    ] {
        s.run(["mode", "--yes"].iter().chain(words)).ok();
        assert_eq!(modes(&s), (orchestration.to_owned(), rollout.to_owned()), "{words:?}");
        let state = s.state();
        assert_eq!((&state["orchestration_mode"], &state["mode"]), (&orchestration.into(), &rollout.into()));
    }
    s.run(["mode", "turbo"]).code(2).says(&["turbo", "sequential", "production"]);
    s.run(["mode", "set", "parallel"]).code(2);
    s.run(["mode", "production"]).code(3).says(&["rollout check", "--yes"]);
    assert_eq!(modes(&s).1, "pilot", "a bolder rollout needs the evidence or --yes");
    s.run(["mode", "shadow"]).ok();
}

/// Busy agents are listed and the switch is refused; `--drain` lets them finish, and nothing new starts meanwhile.
#[test]
fn a_switch_waits_for_busy_agents() {
    let s = Sandbox::ready();
    s.plan("arch.1", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["mode", "sequential"]).code(4).says(&["architect", "T-1", "--drain", "--force"]);
    let refused = s.run(["mode", "sequential", "--json"]).code(4);
    assert_eq!(refused.error().0, "busy");
    assert_eq!(modes(&s).0, "parallel");
    s.run(["mode", "sequential", "--drain"]).ok();
    let status = s.status();
    assert_eq!(status["orchestration_mode"], "parallel");
    assert_eq!(status["pending_mode"]["orchestration"], "sequential");
    assert_eq!(status["pending_mode"]["rollout"], "production");
    s.tick();
    assert_eq!(modes(&s).0, "parallel");
    s.release("T-1.arch.1");
    let status = s.tick_until("it has switched", |status| status["orchestration_mode"] == "sequential");
    assert!(status["pending_mode"].is_null());
    assert_eq!(s.calls("T-2.arch"), 0, "nothing new started");
    // The task in flight goes on in the new mode.
    s.tick_to("T-1", "completed");
    assert_eq!((s.calls("T-1.arch"), s.read(".claude/current-task.txt").trim()), (1, "T-2"));
}

/// Taking the wish back, or wishing for what is there, ends the draining.
#[test]
fn a_drain_can_be_taken_back() {
    let s = Sandbox::ready();
    s.plan("arch", "hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.run(["mode", "sequential", "--drain"]).ok();
    s.run(["mode", "parallel"]).ok();
    assert!(s.status()["pending_mode"].is_null());
}

/// `--force` stops the agents and keeps every byte of their work on the tasks' branches.
#[test]
fn a_forced_switch_keeps_interrupted_work() {
    let s = Sandbox::ready();
    s.plan("arch.1", "work; echo half > half.txt; echo more >> README.md; hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["mode", "sequential", "--force"]).ok();
    assert_eq!(modes(&s).0, "sequential");
    // Nobody ticks: what it says has happened when it returns.
    assert_eq!(s.status_of("T-1"), "arch_ready");
    assert_eq!(s.git(&["show", "pipeline/T-1:half.txt"]), "half");
    assert_eq!(s.git(&["show", "pipeline/T-1:README.md"]), "one\nmore");
    s.tick_to("T-1", "completed");
    let show = s.show("T-1");
    assert_eq!(show["runs"][0]["verdict"], "void", "no attempt was counted");
    assert_eq!(show["runs"][1]["attempt"], 1);
    assert_eq!(s.read("half.txt"), "half\n");
}
