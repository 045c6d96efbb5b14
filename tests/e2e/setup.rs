//! Fresh worktrees: set up once, with the ignored files that the project wants in them.

use crate::support::{Sandbox, attention};

#[test]
fn a_worktree_is_set_up_once_and_keeps_its_build_files() {
    let s = Sandbox::new();
    s.commit(".gitignore", ".env\n*.o\nlocal/\n");
    s.commit(".worktreeinclude", ".env\nlocal/\n");
    s.write(".env", "SECRET=1\n");
    s.write("local/deep/settings", "on\n");
    s.write("other.o", "not wanted\n");
    let text =
        |script: &str| format!("{:?}", script.replace("BOX", s.path("").to_string_lossy().trim_end_matches('/')));
    let setup = text("echo \"$PIPELINE_WORKTREE\" >> BOX/setups; touch prepared.o");
    let verify = text("ls prepared.o cache.o >> BOX/gates 2>&1; touch cache.o");
    s.init("production", &s.config(&format!("setup = {setup}\nverify = {verify}"), ""));
    s.plan("default", "cat .env local/deep/settings > \"$box/included.$key\"; test -e prepared.o && test ! -e other.o && work && marker COMPLETED || exit 1");
    s.add("T-1", &[]);
    s.add("T-2", &["--after", "T-1"]);
    s.tick_to("T-2", "completed");
    let setups = std::fs::read_to_string(s.path("setups")).unwrap();
    let mut setups: Vec<&str> = setups.lines().map(|path| path.rsplit('/').next().unwrap()).collect();
    setups.sort_unstable();
    assert_eq!(setups, ["architect", "gate-implementation", "gate-supervisor", "implementation", "supervisor", "test"]);
    for key in ["T-1.arch", "T-2.super"] {
        assert_eq!(std::fs::read_to_string(s.path(&format!("included.{key}"))).unwrap(), "SECRET=1\non\n");
    }
    let gates = std::fs::read_to_string(s.path("gates")).unwrap();
    assert_eq!(gates.lines().filter(|line| *line == "prepared.o").count(), 4, "{gates}");
    assert_eq!(gates.lines().filter(|line| *line == "cache.o").count(), 2, "the second gate of each finds it: {gates}");
    assert!(!s.git(&["log", "--all", "--name-only", "--format="]).contains(".o"));
    assert_eq!(s.show("T-1")["attempt"], 1, "waiting for the set-up is no attempt");
}

/// A set-up that fails asks a person, and the agent starts nothing until it is mended.
#[test]
fn a_failing_set_up_asks_a_person() {
    let s = Sandbox::new();
    let gone = s.path("mended").to_string_lossy().into_owned();
    s.init("production", &s.config(&format!("setup = \"echo no compiler; test -e {gone}\""), "retries = 1"));
    s.add("T-1", &[]);
    let status = s.tick_until("somebody is asked", |status| !attention(status).is_empty());
    assert_eq!(status["attention"][0]["kind"], "setup_failed");
    assert_eq!(status["attention"][0]["agent"], "architect");
    assert_eq!(s.calls("T-1.arch"), 0);
    assert_eq!(status["tasks"]["T-1"]["attempt"], 0);
    std::fs::write(&gone, "").unwrap();
    s.run(["agent", "start", "architect"]).ok();
    s.tick_to("T-1", "completed");
}
