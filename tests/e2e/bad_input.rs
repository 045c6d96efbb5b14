//! What is wrong outside: each has its exit code and a message that says what to type, and nothing is changed.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Sandbox, VERIFY, word};

/// Verbs that read and verbs that write; none may get past what is wrong.
const VERBS: [&[&str]; 5] =
    [&["status"], &["task", "add", "x"], &["monitor", "--once"], &["mode", "pipeline", "--yes"], &["agent", "list"]];

/// Every verb answers with this code and these words, and with `--json` with an error document.
#[track_caller]
fn all_fail(s: &Sandbox, verbs: &[&[&str]], code: i32, words: &[&str], before: &[&str]) {
    for verb in verbs {
        s.run(before.iter().chain(*verb)).code(code).says(words);
        let output = s.run(before.iter().chain(*verb).chain(&["--json"])).code(code);
        let (kind, message, _) = output.error();
        assert!(!kind.is_empty() && !message.is_empty(), "{output:?}");
    }
}

/// The files of the state, to see that nothing has changed.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let list = std::fs::read_dir(dir)
        .expect("as the test set it up")
        .map(|entry| entry.expect("as the test set it up").path())
        .filter(|path| path.is_file());
    // A lock file says who held it last.
    let list = list.filter(|path| path.extension().is_none_or(|ending| ending != "lock"));
    let mut list: Vec<_> =
        list.map(|path| (path.clone(), std::fs::read(&path).expect("as the test set it up"))).collect();
    list.sort();
    list
}

/// How long a journal is without the room behind its last record.
fn written(journal: &[u8]) -> usize {
    journal.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1)
}

fn journal(s: &Sandbox) -> PathBuf {
    let dir = s.repo().join(".pipeline/state");
    let names = std::fs::read_dir(&dir)
        .expect("as the test set it up")
        .map(|entry| entry.expect("as the test set it up").path());
    let mut journals: Vec<_> = names
        .filter(|path| path.file_name().expect("as the test set it up").to_string_lossy().starts_with("journal"))
        .collect();
    journals.sort_by_key(|path| std::fs::metadata(path).expect("as the test set it up").len());
    journals.pop().expect("a journal")
}

#[test]
fn no_repository_to_work_in() {
    let s = Sandbox::new();
    let outside = s.path("tmp").to_string_lossy().into_owned();
    let at = ["-C", outside.as_str()];
    all_fail(&s, &VERBS, 1, &["git init", "-C DIR"], &at);
    all_fail(&s, &[&["init"]], 1, &["git init"], &at);
    s.git(&["init", "-q", "--bare", "../bare.git"]);
    let at = ["-C", "../bare.git"];
    all_fail(&s, &VERBS, 1, &["Clone it"], &at);
    all_fail(&s, &[&["init"]], 1, &["Clone it"], &at);
    s.git(&["init", "-q", "../unborn"]);
    all_fail(&s, &[&["init"]], 1, &["git commit --allow-empty"], &["-C", "../unborn"]);
    assert!(!s.path("unborn/.pipeline").exists() && !s.path("bare.git/.pipeline").exists());
    all_fail(&s, &VERBS, 1, &["pipeline init"], &[]);
    all_fail(&s, &[&["status"]], 1, &[], &["-C", "/nowhere/at/all"]);
    assert!(!s.repo().join(".pipeline").exists());
}

#[test]
fn a_corrupt_configuration() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let good = s.read(".pipeline/config.toml");
    let state = files(&s.repo().join(".pipeline/state"));
    for (wrong, words) in [
        ("[scheduler]\nretrys = 3\n", &["config.toml:2:1", "^", "retries"][..]),
        (
            "[project]\nbase = \"main\"\n\n[[agents]]\nname = \"a\"\nrole = \"r\"\npreset = \"claud\"\n",
            &["config.toml:7:", "^", "claude"],
        ),
        ("[scheduler]\nbackoff = \"soon\"\n", &["config.toml:2:", "^", "5m"]),
        ("[project\n", &["config.toml:1:", "^"]),
        ("[scheduler]\nretries = \"two\"\n", &["config.toml:2:", "^"]),
        ("[shedulr]\nretries = 1\n", &["config.toml:1:", "scheduler"]),
    ] {
        s.write(".pipeline/config.toml", wrong);
        all_fail(&s, &VERBS, 78, &[], &[]);
        s.run(["config", "validate"]).code(78).says(words);
        s.run(["task", "add", "x"]).code(78).says(words);
        let (kind, message, hint) = s.run(["monitor", "--once", "--json"]).code(78).error();
        assert_eq!(kind, "config_invalid");
        assert!(format!("{message}{hint}").contains(words[0]), "{message} {hint}");
        assert!(files(&s.repo().join(".pipeline/state")) == state, "nothing has changed");
    }
    s.write(".pipeline/config.toml", &good);
    s.tick_to("T-1", "completed");
    s.run(["--config", "nothing.toml", "status"]).code(78).says(&["nothing.toml"]);
}

/// A monitor that is running keeps the last valid configuration and says so.
#[test]
fn a_corrupt_workflow() {
    let s = Sandbox::ready();
    s.write(
        ".pipeline/workflows/odd.json",
        "{\n  \"id\": \"odd\",\n  \"stages\": [ { \"id\": \"a\", \"agent\": \"architekt\" } ]\n}\n",
    );
    s.run(["workflow", "validate"]).code(78).says(&["odd.json:3:", "architect"]);
    s.run(["task", "add", "x", "--workflow", "odd"]).code(78).says(&["odd.json:3:", "architect", "workflow validate"]);
    s.write(".pipeline/workflows/odd.json", "{ nonsense");
    s.run(["workflow", "validate"]).code(78).says(&["odd.json:1:"]);
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
}

/// A bad record in the middle stops writers until the repair, which keeps a copy; a torn end is mended and said.
#[test]
fn a_corrupt_state() {
    let s = Sandbox::ready();
    (1..=9).for_each(|i| s.add(&format!("T-{i}"), &[]));
    let path = journal(&s);
    let good = std::fs::read(&path).unwrap();
    let mut torn = good.clone();
    torn[written(&good)..][..10].copy_from_slice(b"half a rec");
    std::fs::write(&path, &torn).unwrap();
    s.run(["task", "add", "ten", "--id", "T-10"]).ok();
    let status = s.status();
    assert_eq!(status["tasks"].as_object().unwrap().len(), 10, "nothing that was acknowledged is gone");
    let mut bad = std::fs::read(&path).unwrap();
    let middle = written(&bad) / 2;
    bad[middle] ^= 0x20;
    std::fs::write(&path, &bad).unwrap();
    let before = files(&s.repo().join(".pipeline/state"));
    let writers: [&[&str]; 3] = [&["task", "add", "x"], &["monitor", "--once"], &["mode", "shadow"]];
    all_fail(&s, &writers, 65, &["doctor --repair"], &[]);
    assert!(files(&s.repo().join(".pipeline/state")) == before, "nothing has changed");
    let found = s.run(["doctor"]);
    assert_ne!(found.code, 0, "{found:?}");
    let status = s.run(["status"]).ok().says(&["state_damaged", "pipeline doctor --repair"]);
    assert!(!status.stdout.contains("No tasks yet"), "{status:?}");
    s.run(["status", "--check"]).code(3);
    s.run(["wait", "--for", "completed"]).code(65).says(&["doctor --repair"]);
    s.run(["wait", "--for", "attention"]).ok();
    let shown = s.status()["tasks"].as_object().unwrap().len();
    let mended = s.run(["doctor", "--repair"]);
    assert!(shown < 10 && mended.stdout.contains(&format!("{} tasks no longer known: ", 10 - shown)), "{mended:?}");
    assert!(mended.stdout.contains("T-9 (unassigned)"), "{mended:?}");
    s.run(["task", "add", "x", "--id", "AFTER"]).ok();
    let kept = s.shell("grep -rl . .pipeline/state* | xargs cksum").ok().stdout;
    std::fs::write(s.path("bad"), &bad).unwrap();
    let sum = s.shell("cksum < ../bad").ok().stdout;
    assert!(kept.lines().any(|line| line.starts_with(sum.trim())), "a copy of the damaged journal is kept: {kept}");
}

/// What a damaged journal lost keeps its number, and a picture in which nothing is left does not say that all is new.
#[test]
fn numbers_go_on_after_a_repair() {
    let s = Sandbox::ready();
    let path = journal(&s);
    let before = written(&std::fs::read(&path).unwrap());
    for n in 1..=5 {
        assert_eq!(s.run(["task", "add", "a task"]).ok().stdout.trim(), format!("TASK-00{n}"));
    }
    let mut bad = std::fs::read(&path).unwrap();
    bad[before + 20] ^= 0x20;
    std::fs::write(&path, &bad).unwrap();
    let status = s.run(["status"]).ok();
    assert!(status.stdout.contains("No tasks are known before the damage"), "{status:?}");
    assert!(!s.run(["task", "list"]).ok().stderr.contains("no tasks yet"));
    s.run(["doctor", "--repair"]).says(&["5 tasks no longer known: TASK-001 (unassigned), TASK-002 (unassigned)"]);
    s.run(["doctor"]).ok();
    assert_eq!(s.run(["task", "add", "another"]).ok().stdout.trim(), "TASK-006");
}

/// A task cannot be put on a workflow whose file is broken or that nobody wrote: each way of asking says what `workflow
/// validate` says, or what there is, and where it was asked for. Nothing changes.
#[test]
fn a_task_on_a_workflow_that_cannot_be_used() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let before = s.state();
    s.write(
        ".pipeline/workflows/odd.json",
        "{ \"id\": \"odd\",\n  \"stages\": [ { \"id\": \"a\", \"agent\": \"architekt\" } ] }\n",
    );
    s.write(".pipeline/workflows/b.json", "{ \"id\": \"inner\", \"stages\": [] }\n");
    s.write(".pipeline/workflows/torn.json", "{\n nonsense");
    s.write(".pipeline/workflows/old.yaml", "id: old\n");
    let validate = s.run(["workflow", "validate"]).code(78).stdout;
    for (id, place) in [
        ("odd", "workflows/odd.json:2:"),
        ("inner", "workflows/b.json:1:"),
        ("torn", "workflows/torn.json:2:2"),
        ("old", "workflows/old.yaml"),
    ] {
        s.write(
            "import.json",
            &format!(
                "{{ \"tasks\": [ {{ \"title\": \"x\" }},\n  {{ \"title\": \"y\", \"workflow\": \"{id}\" }} ] }}\n"
            ),
        );
        for args in [
            &["task", "add", "x", "--workflow", id][..],
            &["task", "edit", "T-1", "--workflow", id],
            &["task", "import", "import.json"],
        ] {
            s.run(args).code(78).says(&[place, "workflow validate"]);
            let (kind, message, hint) = s.run(args.iter().chain(&["--json"])).code(78).error();
            assert_eq!(kind, "workflow_invalid");
            assert!(message.contains(place) && validate.contains(&message), "{message}\nis not in\n{validate}");
            assert_eq!(hint.contains("import.json:2:31"), args.contains(&"import"), "{hint}");
        }
    }
    s.run(["workflow", "list"]).ok().says(&["BROKEN", "torn.json:2", "old.yaml"]);
    s.run(["task", "add", "x", "--workflow", "torm"]).code(5).says(&["Did you mean `torn`?"]);
    s.run(["task", "edit", "T-1", "--workflow", "nope"]).code(5).says(&[
        "no workflow `nope`",
        "tdd",
        "workflows/*.json",
    ]);
    s.write("import.json", "[ { \"title\": \"x\",\n \"workflow\": \"nope\" } ]\n");
    s.run(["task", "import", "import.json"]).code(5).says(&["import.json:2:14", "no workflow `nope`", "tdd"]);
    // The default is asked for by whoever names none.
    s.write(".pipeline/workflows/tdd.json", "{}\n");
    s.run(["task", "add", "x"]).code(78).says(&["workflows/tdd.json:1:", "workflow validate"]);
    s.run(["task", "edit", "T-1", "--title", "another title"]).ok();
    assert_eq!(s.state()["tasks"].as_object().unwrap().len(), before["tasks"].as_object().unwrap().len());
}

/// The lock is held: try again. The message names the holder.
#[test]
fn a_held_lock() {
    let s = Sandbox::new();
    let config = s.config("", "") + "\n[state]\nlock_timeout = \"100ms\"\n";
    s.init("production", &config);
    s.add("T-1", &[]);
    let before = s.state();
    let lock = std::fs::File::open(s.repo().join(".pipeline/state/state.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let writers: [&[&str]; 3] = [&["task", "add", "x"], &["monitor", "--once"], &["mode", "shadow"]];
    all_fail(&s, &writers, 75, &["Repeat the command"], &[]);
    assert_eq!(s.status()["tasks"].as_object().unwrap().len(), 1, "readers need no lock");
    assert_eq!(s.state(), before);
    drop(lock);
    s.add("T-2", &[]);
    s.tick_past("T-2", "arch");
}

/// A folder that cannot be written, and a disk that is full. Needs mount namespaces where the tests run as root.
/// A monitor has nothing to do where its repository was removed or moved, and does not go on asking for it.
#[test]
fn a_repository_that_goes_away() {
    let s = Sandbox::ready();
    s.plan("default", "work");
    let monitor = s.start("monitor", ["monitor", "--headless", "--interval", "1"]);
    s.add("T-1", &[]);
    s.wait_for_text(&s.path("monitor.out"), "a task that is done", |text| text.contains("T-1 completed"));
    std::fs::rename(s.repo(), s.path("elsewhere")).expect("it can be moved");
    assert_eq!(s.exit_of(monitor), 5);
    std::fs::rename(s.path("elsewhere"), s.repo()).expect("it can be moved back");
    assert_eq!(s.status_of("T-1"), "completed");
    let said = std::fs::read_to_string(s.path("monitor.err")).expect("what it said");
    assert!(said.contains("is gone") && said.contains("pipeline monitor"), "{said}");
    let lines = said.lines().count();
    assert!(lines < 20, "{lines} lines:\n{said}");
}

#[test]
fn a_state_that_cannot_be_written() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let before = s.state();
    let root = rustix::process::geteuid().is_root();
    let read_only = if root {
        "unshare -m sh -c 'mount --bind .pipeline .pipeline && mount -o remount,ro,bind .pipeline && \"$@\"' sh"
    } else {
        "read_only() { chmod -R a-w .pipeline/state; \"$@\"; code=$?; chmod -R u+w .pipeline/state; return $code; }; read_only"
    };
    for verb in ["task add x", "mode shadow", "task cancel T-1"] {
        s.shell(&format!("{read_only} \"$P\" {verb}")).code(73).says(&["permissions"]);
        s.shell(&format!("{read_only} \"$P\" status --json")).ok();
        // No file may grow: what a full disk looks like to a writer.
        s.shell(&format!("(trap '' XFSZ; ulimit -f 0; exec \"$P\" {verb} 2>&1) | cat")).says(&["Free some space"]);
        assert_eq!(s.state(), before, "{verb}");
    }
    let tick = s.shell(&format!("{read_only} \"$P\" monitor --once"));
    assert!(tick.code == 73 && tick.stderr.contains("permissions"), "{tick:?}");
    if root {
        full_disk(&s);
    }
    s.tick_to("T-1", "completed");
}

/// A file system without room: the answer is 73, what was acknowledged before is there, and with room it goes on.
fn full_disk(s: &Sandbox) {
    let script = "unshare -m sh -c '
        mount -t tmpfs -o size=512k none .pipeline/state.full && cp -a .pipeline/state/. .pipeline/state.full/ || exit 90
        mount --bind .pipeline/state.full .pipeline/state || exit 91
        cat /dev/zero > .pipeline/state/filler 2> /dev/null
        \"$P\" task add \"$(head -c 200 /dev/zero | tr \"\\0\" x)\" --body \"$(head -c 20000 /dev/zero | tr \"\\0\" y)\" --json; code=$?
        [ $code = 73 ] || exit 92
        \"$P\" status --json > /dev/null || exit 93
        rm .pipeline/state/filler
        \"$P\" task add ok --id ROOM > /dev/null || exit 94
        \"$P\" task list --json > ../tmp/list || exit 95'";
    std::fs::create_dir_all(s.repo().join(".pipeline/state.full")).expect("as the test set it up");
    let output = s.shell(script).ok();
    assert_eq!(output.error().0, "cannot_write", "{output:?}");
    let list: Value =
        serde_json::from_str(&std::fs::read_to_string(s.path("tmp/list")).expect("as the test set it up"))
            .expect("as the test set it up");
    let ids: Vec<&str> = list["tasks"]
        .as_array()
        .expect("as the test set it up")
        .iter()
        .map(|task| task["id"].as_str().expect("as the test set it up"))
        .collect();
    assert_eq!(ids, ["T-1", "ROOM"]);
}

/// `init` on odd ground.
#[test]
fn init_says_what_it_does() {
    let mut s = Sandbox::new();
    s.set_env("PATH", &s.path("bin").to_string_lossy());
    std::fs::create_dir_all(s.path("bin")).unwrap();
    std::os::unix::fs::symlink("/usr/bin/git", s.path("bin/git")).unwrap();
    s.write("Makefile", "test:\n\ttrue\n");
    let head = s.shell("/usr/bin/git rev-parse HEAD").ok().stdout;
    s.run(["init", "--rollout", "bold"]).code(2).says(&["shadow, pilot and production"]);
    s.run(["init", "--agent", "clod"]).code(2).says(&["claude"]);
    assert!(!s.repo().join(".pipeline").exists());
    s.run(["init"]).ok().says(&[
        "demo",
        "no agent program was found",
        "make test",
        "shadow",
        "Next: pipeline task add",
    ]);
    assert!(s.read(".pipeline/config.toml").contains("preset = \"demo\""));
    assert_eq!(s.shell("/usr/bin/git rev-parse HEAD").ok().stdout, head, "it never commits");
    let status = s.shell("/usr/bin/git status --porcelain").ok().stdout;
    assert!(!status.contains("state") && status.contains(".pipeline/"), "{status}");
    assert_eq!(s.state()["mode"], "shadow");
    s.run(["init"]).code(1).says(&["init --reset"]);
    s.run(["task", "add", "x", "--id", "OLD"]).ok();
    let document = s.run(["init", "--reset", "--json"]).ok().json();
    let backup = document["backup"].as_str().unwrap();
    assert!(s.repo().join(backup).is_dir(), "{document}");
    assert_eq!(s.state()["tasks"], serde_json::json!({}));
    let kept = s.shell(&format!("/usr/bin/grep -rl OLD '{backup}'")).ok().stdout;
    assert!(!kept.is_empty());
    std::fs::write(s.path("bin/claude"), "#!/bin/sh\n").unwrap();
    s.shell("/bin/chmod +x ../bin/claude; /bin/rm -r .pipeline").ok();
    s.run(["init", "--verify", "true"]).ok().says(&["claude"]);
}

/// A configuration that is there stays, and what is in force is said, not what was looked for. What contradicts it is
/// refused before anything is made.
#[test]
fn init_keeps_a_configuration_and_says_what_it_says() {
    let s = Sandbox::new();
    s.write("Makefile", "test:\n\ttrue\n");
    s.write(".pipeline/config.toml", &s.config("", ""));
    for contradiction in [["--verify", "cargo test"], ["--agent", "claude"]] {
        let refused = s.run(["init"].iter().chain(&contradiction)).code(2);
        refused.says(&["config.toml is kept", contradiction[0], "mv "]);
    }
    assert!(!s.repo().join(".pipeline/state").exists(), "nothing was made");
    let said = s.run(["init", "--verify", VERIFY]).ok();
    for words in ["kept as it is", VERIFY, "custom (architect, test, implementation, supervisor)"] {
        assert!(said.stdout.contains(words), "no `{words}` in {said:?}");
    }
    assert!(!said.stdout.contains("make test"), "{said:?}");
    let document = s.run(["init", "--reset", "--json"]).ok().json();
    assert_eq!((&document["verify"], &document["agent"]), (&VERIFY.into(), &"custom".into()), "{document}");
    assert_eq!((&document["config_kept"], &document["agents"][0]["name"]), (&true.into(), &"architect".into()));
}

/// Agents that only demonstrate complete nothing: the task is blocked, and says what to do.
#[test]
fn agents_of_the_demonstration_do_not_claim_to_have_worked() {
    let s = Sandbox::new();
    s.run(["init", "--agent", "demo", "--verify", "true", "--rollout", "production"]).ok().says(&["no real work"]);
    let head = s.git(&["rev-parse", "main"]);
    s.add("T-1", &[]);
    let status = s.tick_until("T-1 is blocked", |status| word(status, "T-1") == "blocked");
    let reason = status["tasks"]["T-1"]["reason"].as_str().unwrap();
    assert!(reason.contains("demo agents do no real work; configure an agent in .pipeline/config.toml"), "{reason}");
    assert_eq!((s.git(&["rev-parse", "main"]), s.git(&["rev-parse", "pipeline/T-1"])), (head.clone(), head));
    s.run(["status", "--check"]).code(3).says(&["no real work"]);
    let command = status["attention"][0]["command"].as_str().unwrap();
    assert!(command.contains("config.toml && pipeline task retry T-1"), "{command}");
    s.run(["explain", "T-1"]).ok().says(&["exited with code 0, claimed BLOCKED"]);
    s.run(["task", "cancel", "T-1"]).ok();
    s.run(["task", "list"]).ok().says(&["nothing is open, 1 finished"]);
}

/// A reader that has seen enough is no failure.
#[test]
fn a_reader_that_goes_away() {
    let s = Sandbox::ready();
    s.shell("\"$P\" schema status | head -c 1 > /dev/null; \"$P\" status --json | true").ok();
    let output = s.shell("(\"$P\" status --json; echo $? >&2) | true");
    assert_eq!(output.stderr.trim(), "0", "{output:?}");
}
