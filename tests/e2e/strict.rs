//! Agents at the strict level, in private clones: everything that works in a worktree works there too, and what an agent
//! makes of its clone is its own affair.

use serde_json::Value;

use crate::support::{ROLES, Sandbox};

/// The four scripted agents at the strict level. They may read their plans and say what they do.
fn ready(more: &str) -> Sandbox {
    let s = Sandbox::new();
    let folder = |name: &str| s.path(name).to_string_lossy().into_owned();
    let [plan, calls, seen, fifo, at] = ["plan", "calls", "seen", "fifo", "at"].map(folder);
    let level = format!(
        "preset = \"custom\"\nsandbox = \"strict\"\nread = [\"{plan}\"]\nwrite = [\"{calls}\", \"{seen}\", \"{fifo}\", \"{at}\"]\n{more}"
    );
    s.init("production", &s.config("", "retries = 0").replace("preset = \"custom\"\n", &level));
    s
}

fn clones(s: &Sandbox) -> usize {
    let runs = std::fs::read_dir(s.repo().join(".pipeline/runs")).expect("runs");
    runs.filter(|run| run.as_ref().is_ok_and(|run| run.path().join("clone").exists())).count()
}

/// The references that are no rescues.
fn refs(s: &Sandbox) -> Vec<String> {
    let refs = s.git(&["for-each-ref", "--format=%(refname)"]);
    refs.lines().filter(|name| !name.contains("/trash/")).map(str::to_owned).collect()
}

#[test]
fn a_task_goes_through_the_workflow_in_private_clones() {
    let s = ready("");
    s.plan("arch", "work; git branch scratch; git tag mine; hang; git stash list; marker COMPLETED");
    // What the stage before it did is there, base can be merged, and what is left uncommitted counts.
    s.plan("test", "test -e T-1.txt && git merge -q main -m base && echo left > left.txt; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    assert_eq!(s.seen("T-1.arch.1", "head").trim(), "refs/heads/pipeline/T-1");
    assert!(s.seen("T-1.arch.1", "md").contains("private clone"));
    let home = s.seen("T-1.arch.1", "env");
    let home = home.lines().find_map(|line| line.strip_prefix("HOME=")).expect("a home");
    assert!(home.starts_with(&*s.repo().join(".pipeline/runs").to_string_lossy()), "{home}");
    // From within its worktree the state is the one there is, and to git it is a worktree as any other.
    let inside = s.run([&*format!("-C{}", s.worktree("architect").display()), "status", "--json"]).ok().json();
    assert_eq!(inside["tasks"]["T-1"]["status"], "arch_wip");
    assert_eq!(inside["agents"]["architect"]["sandbox"], "strict");
    let listed = s.git(&["worktree", "list", "--porcelain"]);
    assert!(listed.contains("branch refs/heads/pipeline/T-1"), "{listed}");
    s.run(["doctor"]).says(&["all sound", "every agent is confined"]);
    assert_eq!(s.run(["agent", "sync", "architect"]).code, 4, "it is at work");
    s.commit("meanwhile.txt", "of a person\n");
    s.release("T-1.arch.1");
    s.tick_to("T-1", "completed");
    for file in ["T-1.txt", "left.txt", "meanwhile.txt"] {
        assert!(!s.git(&["ls-tree", "main", "--", file]).is_empty(), "{file} is merged");
    }
    assert_eq!(refs(&s), ["refs/heads/main", "refs/heads/pipeline/T-1"]);
    assert_eq!(clones(&s), 0, "what was taken is gone");
    s.git(&["fsck", "--strict"]);
    for role in ROLES {
        s.run(["agent", "sync", role]).ok();
        assert_eq!(s.git_in(role, &["status", "--porcelain"]), "", "{role}");
    }
    s.run(["task", "rollback", "T-1", "--yes"]);
    s.run(["doctor"]).says(&["all sound"]);
}

/// A tool in a folder of its own, as version managers and virtual environments have them.
#[test]
fn a_program_outside_of_what_may_be_read_is_told_how_it_is_let_in() {
    let s = Sandbox::new();
    let (tools, script) = (s.path("tools"), s.path("tool.sh"));
    std::fs::create_dir(&tools).unwrap();
    std::fs::copy("/bin/sh", tools.join("sh")).unwrap();
    let text =
        format!("#!{}/sh\nsed -i 's/^## Status: .*/## Status: COMPLETED/' \"$PIPELINE_TASK_FILE\"\n", tools.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = |read: &str| {
        let own = format!("preset = \"custom\"\nsandbox = \"strict\"\n{read}");
        let config = s.config("", "retries = 0").replace("preset = \"custom\"\n", &own);
        config.replace(&*s.path("agent.sh").to_string_lossy(), &script.to_string_lossy())
    };
    s.init("production", &config(""));
    s.add("T-1", &[]);
    s.tick_until("what the agent lacks", |status| status["attention"].to_string().contains("in `read` of the agent"));
    s.write(".pipeline/config.toml", &config(&format!("read = [\"{}\"]\n", tools.display())));
    s.run(["agent", "start", "architect"]);
    s.run(["task", "retry", "T-1"]);
    s.tick_past("T-1", "arch");
}

#[test]
fn commits_survive_a_stop_and_the_death_of_the_host() {
    let s = ready("");
    s.plan("T-1.arch.1", "work first.txt; echo half > half.txt; hang");
    s.plan("T-1.arch.2", "work second.txt; git checkout -q --detach; work third.txt; hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "stop", "architect"]).ok();
    s.tick_to("T-1", "arch_ready");
    assert_eq!(s.git(&["show", "pipeline/T-1:half.txt"]), "half");
    assert!(s.git(&["log", "--format=%s", "pipeline/T-1"]).contains("T-1.arch"));
    s.run(["agent", "start", "architect"]).ok();
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.2");
    let run = s.status()["agents"]["architect"]["run"].as_str().expect("a run").to_owned();
    let start = s.read(&format!(".pipeline/runs/{run}/start.json"));
    let start: Value = serde_json::from_str(&start).expect("a record");
    s.shell(&format!("kill -9 {}", start["pid"])).ok();
    s.tick_until("the run is over", |status| status["agents"]["architect"]["run"].is_null());
    assert_eq!(s.git(&["show", "pipeline/T-1:second.txt"]), "T-1.arch 2");
    let kept = s.git(&["log", "--all", "--format=%H", "--", "third.txt"]);
    assert_eq!(kept.lines().count(), 1, "what was on no branch is kept");
    s.run(["trash", "list"]).ok().says(&["detached-"]);
    assert_eq!(clones(&s), 0);
}

#[test]
fn a_clone_that_is_made_something_else_of_is_refused_and_said() {
    let s = ready("");
    s.plan(
        "T-1.arch.1",
        "work; git=$(git rev-parse --git-dir); rm -rf \"$git/objects\"; ln -s /usr \"$git/objects\"
         rm .git; ln -s /etc .git; marker COMPLETED",
    );
    s.add("T-1", &[]);
    s.run(["monitor", "--once"]).ok();
    let before = s.git(&["rev-parse", "pipeline/T-1"]);
    let status = s.tick_until("it is asked about", |status| status["attention"].to_string().contains("agent_broken"));
    let said = status["attention"].to_string();
    assert!(said.contains("its private clone was not taken as it is") && said.contains("is kept at"), "{said}");
    assert!(said.contains(".git did not lead to this repository"), "{said}");
    assert_ne!(status["tasks"]["T-1"]["status"], "test_ready", "nothing it claims is believed");
    assert_eq!(
        s.git(&["log", "--format=%s", &format!("{before}..pipeline/T-1")]).lines().count(),
        1,
        "its files are kept"
    );
    assert_eq!((refs(&s).len(), clones(&s)), (2, 1), "and so is the clone");
    s.plan("T-1.arch", "work; marker COMPLETED");
    std::fs::remove_file(s.path("plan/T-1.arch.1")).expect("the plan");
    s.run(["agent", "start", "architect"]).ok();
    s.run(["task", "retry", "T-1"]).ok();
    s.tick_past("T-1", "arch");
    s.run(["doctor"]).says(&["all sound"]);
}

#[test]
fn a_session_works_in_a_private_clone() {
    let s = ready("mode = \"interactive\"\n");
    s.plan("arch", "printf 'what now? '; : > \"$box/at/$key.$n\"; read -r line; echo \"$line\" > told.txt; commit told; marker COMPLETED; hang");
    s.plan("test", "hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "send", "architect", "use the old parser"]).ok();
    s.tick_past("T-1", "arch");
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), "use the old parser");
}

#[test]
fn where_no_clone_can_be_made_nothing_starts() {
    let s = ready("");
    s.git(&["config", "extensions.partialclone", "origin"]);
    s.add("T-1", &[]);
    let status = s.tick_until("it is asked about", |status| !status["attention"].as_array().is_none_or(Vec::is_empty));
    let said = status["attention"].to_string();
    assert!(said.contains("partial clone"), "{said}");
    assert_eq!(s.calls("T-1.arch"), 0);
}
