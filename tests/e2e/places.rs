//! Where agents work and what they are told there: templates for worktrees, and the prompts of agent definitions.

use crate::support::{Sandbox, texts, word};

/// A worktree of its own for each task, outside the repository: agents and merges find it, gates run elsewhere.
#[test]
fn a_worktree_for_each_task() {
    let s = Sandbox::new();
    let gate = format!("pwd -P >> {}; {}", s.path("gates").display(), crate::support::VERIFY);
    s.plan("B.impl.1", "work broken.txt; marker COMPLETED");
    s.plan("B.impl.2", "git rm -qf broken.txt; commit mended; marker COMPLETED");
    let project = format!("worktrees = \"../trees/{{repo}}/{{task}}\"\nverify = {gate:?}\n");
    s.init("production", &s.config(&project, ""));
    s.add("A", &[]);
    s.add("B", &[]);
    s.tick_until("both are merged", |status| word(status, "A") == "completed" && word(status, "B") == "completed");
    let gates = std::fs::read_to_string(s.path("gates")).unwrap();
    for (id, lines) in [("A", 4), ("B", 3)] {
        let tree = s.path("trees/repo").join(id).to_string_lossy().into_owned();
        for stage in ["arch", "test", "impl", "super"] {
            assert_eq!(s.seen(&format!("{id}.{stage}.1"), "cwd").trim_end(), tree, "{id} {stage}");
        }
        assert!(!gates.lines().any(|line| line == tree), "a gate ran where an agent works: {gates}");
        assert_eq!(s.git(&["show", &format!("main:{id}.txt")]).lines().count(), lines);
    }
    assert_eq!(gates.lines().count(), 5);
    assert_eq!(s.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    assert!(!s.repo().join(".pipeline/worktrees").exists());
    // Nobody needs them any more.
    for name in ["A", "B", "A+gate", "B+gate"] {
        assert!(!s.path("trees/repo").join(name).exists(), "{name}");
    }
    // What somebody leaves in one is found, and kept.
    s.plan("K.arch", "marker BLOCKED");
    s.add("K", &[]);
    s.tick_to("K", "blocked");
    std::fs::write(s.path("trees/repo/K/mine.txt"), "precious\n").unwrap();
    s.run(["task", "cancel", "K"]).ok();
    s.commit("new.txt", "new\n");
    s.tick();
    assert!(s.path("trees/repo/K/mine.txt").exists());
    s.run(["agent", "sync", "--all"]).ok().says(&["kept at"]);
    let base = s.git(&["rev-parse", "main"]);
    assert_eq!(
        s.shell("git -C ../trees/repo/K rev-parse HEAD; git -C ../trees/repo/K status --porcelain")
            .ok()
            .stdout
            .trim_end(),
        base
    );
    assert!(!s.path("trees/repo/setup").exists(), "nothing is made that nobody needs");
    s.plan("arch", "hang");
    s.add("C", &[]);
    s.tick_to("C", "arch_wip");
    s.run(["agent", "sync", "supervisor"]).code(4).says(&["architect", "C"]);
    s.run(["doctor"]).ok();
}

/// A worktree of a task's own is set up once, where agents work and where gates run; where that fails the task waits for
/// a person, others do not.
#[test]
fn worktrees_of_tasks_are_set_up() {
    for (template, ours, gate) in [
        ("../trees/{task}", "trees/A", "trees/A+gate"),
        ("../trees/{task}/{agent}", "trees/A/test", "trees/A/gate-implementation"),
    ] {
        let s = Sandbox::new();
        let setup = format!(
            "pwd -P >> {0}setups; case $PWD in */B*) test -e {0}mended;; esac && touch prepared.o",
            s.path("").display()
        );
        s.commit(".gitignore", "*.o\n");
        s.plan("default", "test -e prepared.o && work && marker COMPLETED || exit 1");
        let project = format!("worktrees = {template:?}\nsetup = {setup:?}\nverify = \"test -e prepared.o\"\n");
        s.init("production", &s.config(&project, "retries = 1\nbackoff = \"0s\"\n"));
        s.add("B", &["--priority", "1"]);
        s.add("A", &[]);
        s.tick_until("one is done, one asks", |status| {
            word(status, "A") == "completed" && word(status, "B") == "blocked"
        });
        let setups = std::fs::read_to_string(s.path("setups")).unwrap();
        let made = |path: &str| setups.lines().filter(|line| *line == s.path(path).to_string_lossy()).count();
        assert_eq!((made(ours), made(gate)), (1, 1), "{setups}");
        assert_eq!(s.show("A")["attempt"], 1, "waiting for the set-up is no attempt");
        assert!(s.show("B")["reason"].as_str().unwrap().contains("set up"), "{}", s.show("B"));
        std::fs::write(s.path("mended"), "").unwrap();
        s.run(["task", "unblock", "B"]).ok();
        s.tick_to("B", "completed");
        s.tick();
        assert!(!s.path("trees/A").exists() && !s.path("trees/B").exists(), "nothing of a finished task stays");
    }
}

/// A worktree for each agent, named after the repository, beside it.
#[test]
fn a_worktree_for_each_agent_beside_the_repository() {
    let s = Sandbox::new();
    s.init("production", &s.config("worktrees = \"../{repo}-{agent}\"\n", ""));
    s.add("A", &[]);
    s.tick_to("A", "completed");
    assert_eq!(s.seen("A.arch.1", "cwd").trim_end(), s.path("repo-architect").to_string_lossy());
    assert_eq!(s.seen("A.super.1", "cwd").trim_end(), s.path("repo-supervisor").to_string_lossy());
    let inside = s.run(["-C", "../repo-architect", "status", "--json"]).ok().json();
    assert_eq!(word(&inside, "A"), "completed", "the state is found from there");
    s.run(["agent", "sync", "architect"]).ok();
    s.run(["doctor"]).ok();
    s.write(".pipeline/config.toml", &s.config("worktrees = \"../{repo}\"\n", ""));
    s.run(["config", "validate"]).code(78).says(&["{agent} or {task}"]);
    s.write(".pipeline/config.toml", &(s.config("", "") + &s.agent_block("gate-architect", "architect")));
    s.run(["config", "validate"]).code(78).says(&["gate-architect", "another name"]);
}

/// A task's branch is checked out only where its live run is; an agent that has nothing to do is detached at base, unless
/// somebody's work is in its worktree. In shadow nothing is touched.
#[test]
fn worktrees_of_idle_agents_are_at_base() {
    let s = Sandbox::ready();
    s.plan("B.arch", "hang; work");
    s.add("A", &[]);
    s.tick_to("A", "completed");
    let head = |agent: &str| {
        let worktree = s.worktree(agent);
        let git = |what: &[&str]| s.git(&[&["-C", &*worktree.to_string_lossy(), "rev-parse"], what].concat());
        format!("{}\n{}", git(&["--abbrev-ref", "HEAD"]), git(&["HEAD"]))
    };
    let merged = s.git(&["rev-parse", "main"]);
    for agent in ["architect", "test", "implementation", "supervisor"] {
        assert_eq!(head(agent), format!("HEAD\n{merged}"), "{agent}");
    }
    // Somebody works in two of them.
    std::fs::write(s.worktree("test").join("mine.txt"), "mine").unwrap();
    s.git(&["-C", &s.worktree("supervisor").to_string_lossy(), "checkout", "-qb", "mine"]);
    s.commit("more.txt", "x\n");
    s.add("B", &[]);
    s.tick_to("B", "arch_wip");
    s.wait_at("B.arch.1");
    let moved = s.git(&["rev-parse", "main"]);
    assert_ne!(moved, merged);
    assert!(head("architect").starts_with("pipeline/B\n"), "the branch is where its run is");
    assert_eq!(head("implementation"), format!("HEAD\n{moved}"));
    assert_eq!(head("test"), format!("HEAD\n{merged}"), "what is not committed stays where it is");
    assert_eq!(std::fs::read_to_string(s.worktree("test").join("mine.txt")).unwrap(), "mine");
    assert_eq!(head("supervisor"), format!("mine\n{merged}"));
    s.run(["mode", "shadow"]).ok();
    s.commit("yet-more.txt", "x\n");
    s.release("B.arch.1");
    s.tick_past("B", "arch");
    assert_eq!(head("implementation"), format!("HEAD\n{moved}"), "shadow touches nothing");
}

/// What a definition says reaches the task file: of the agent itself before that of its role, and of a changed file the
/// next time.
#[test]
fn prompts_reach_the_agents() {
    let s = Sandbox::new();
    s.write(
        ".pipeline/agents/a-role.json",
        r#"{"name":"any-tester","role":"test","system_prompt":"Test like a sceptic.","skills":["doubt"],"own":1}"#,
    );
    s.write(
        ".pipeline/agents/architect.json",
        r#"{"id":"architect","name":"The Architect","prompt":"Draw before you build."}"#,
    );
    s.write(".pipeline/agents/broken.json", r#"{"name":"broken","prompt":{"not":"a text"}}"#);
    s.init("production", &s.config("", ""));
    s.run(["config", "validate"]).code(78).says(&["broken.json:1", "prompt"]);
    std::fs::remove_file(s.repo().join(".pipeline/agents/broken.json")).unwrap();
    s.run(["config", "validate"]).ok();
    s.plan("impl", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "impl_wip");
    let first = |key: &str| s.seen(key, "md");
    let design = first("T-1.arch.1");
    let (prompt, stage) = (design.find("Draw before you build."), design.find("DESIGN").or(design.find("esign")));
    assert!(prompt.is_some() && stage.is_some() && !design.contains("sceptic"), "{design}");
    assert!(first("T-1.test.1").contains("Test like a sceptic."));
    s.wait_at("T-1.impl.1");
    assert!(!first("T-1.impl.1").contains("Draw") && !first("T-1.impl.1").contains("sceptic"));
    s.write(".pipeline/agents/lead.json", r#"{"name":"supervisor","prompt":"Merge with care."}"#);
    s.release("T-1.impl.1");
    s.tick_to("T-1", "completed");
    assert!(first("T-1.super.1").contains("Merge with care."));
}

/// A definition that names a program is an agent of its own.
#[test]
fn a_definition_can_be_an_agent() {
    let s = Sandbox::new();
    let program = s.path("agent.sh").to_string_lossy().into_owned();
    let own = serde_json::json!({ "name": "second", "role": "architect", "command": [program], "prompt": "You are the second." });
    s.write(".pipeline/agents/second.json", &own.to_string());
    s.init("production", &s.config("", ""));
    s.plan("arch", "hang");
    s.add("A", &[]);
    s.add("B", &[]);
    let status =
        s.tick_until("two architects work", |status| ["A", "B"].iter().all(|id| word(status, id) == "arch_wip"));
    assert_eq!(status["agents"]["second"]["role"], "architect");
    let mut who = vec![
        status["tasks"]["A"]["assigned_to"].as_str().unwrap(),
        status["tasks"]["B"]["assigned_to"].as_str().unwrap(),
    ];
    who.sort_unstable();
    assert_eq!(who, ["architect", "second"]);
    let of_second = if status["tasks"]["A"]["assigned_to"] == "second" { "A" } else { "B" };
    s.wait_at(&format!("{of_second}.arch.1"));
    assert!(s.seen(&format!("{of_second}.arch.1"), "md").contains("You are the second."));
    assert!(texts(&status["queues"]["unassigned"]).is_empty());
}
