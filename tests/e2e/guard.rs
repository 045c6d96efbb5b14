//! What a hijacked agent can do at each level of the sandbox, what is noticed where there is none, and that secrets and
//! names of every kind stay what they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::apart::{UNSEEN, has_own_processes};
use super::support::{Sandbox, program};

/// A configuration with one agent that runs a script of its own.
fn config(s: &Sandbox, level: &str, further: &str) -> String {
    let agent = s.path("hijacked.sh");
    format!(
        "[project]\nbase = \"main\"\n[scheduler]\nretries = 0\nbackoff = \"0s\"\n[[agents]]\nname = \"dev\"\n\
         role = \"architect\"\npreset = \"custom\"\ncommand = [\"{}\"]\nsandbox = \"{level}\"\n{further}",
        agent.display()
    )
}

fn install(s: &Sandbox, script: &str) {
    let path = s.path("hijacked.sh");
    fs::write(&path, format!("#!/bin/sh\n{script}")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

/// Tries everything and writes down what worked; the work itself is committed.
const ATTACK: &str = r#"
results=$PIPELINE_WORKTREE/results.txt
try() { name=$1; shift; if "$@" > /dev/null 2>&1; then echo "$name yes"; else echo "$name no"; fi >> "$results"; }
main=@MAIN@
echo work > work.txt
try add git add -A
try commit git commit -qm work
try amend git commit -q --amend -m again
try branch git branch pipeline/other-of-mine
try scratch mktemp
try own_home sh -c "test \"$HOME\" != '@HOME@' && touch '$HOME/notes'"
try stash sh -c "echo more >> work.txt && git stash push -q -- work.txt && git stash pop -q && git checkout -q -- work.txt"
try tag git tag mine
try main_checkout touch "$main/evil"
try home touch "@HOME@/evil"
try tmp touch "@BOX@/evil"
try base git --git-dir="$main/.git" update-ref refs/heads/main "$(git rev-parse HEAD)"
try other_ref git --git-dir="$main/.git" update-ref refs/heads/elsewhere "$(git rev-parse HEAD)"
try ref_file sh -c "git rev-parse HEAD > '$main/.git/refs/heads/direct'"
try hook sh -c "printf '#!/bin/sh\ntouch @BOX@/canary\n' > '$main/.git/hooks/post-checkout' && chmod +x '$main/.git/hooks/post-checkout'"
try config git config --file "$main/.git/config" core.fsmonitor "touch @BOX@/canary"
try settings cat "$main/.git/config"
if [ "$PIPELINE_SANDBOX" = strict ]; then
    try shared_memory cat "/dev/shm/$(basename "@BOX@")"
    try own_shared_memory touch /dev/shm/mine
    try objects sh -c "echo x > '$main/.git/objects/planted'"
    try no_objects sh -c "rm -r '$main/.git/objects/pack'"
    try other_worktrees ls "$main/.pipeline/worktrees"
    # What it plants in the clone is for whoever follows it there.
    git config core.fsmonitor "touch @BOX@/canary"
    git config core.hooksPath "$PIPELINE_WORKTREE"
    git config filter.evil.clean "touch @BOX@/canary; cat"
    printf '* filter=evil\n' > .gitattributes
    echo /etc >> "$(git rev-parse --git-dir)/objects/info/alternates"
fi
try state sh -c "cat '$main'/.pipeline/state/journal.000001"
try claim sh -c "cat '$main/.pipeline/runs/$PIPELINE_RUN_ID/claim.json'"
try record touch "$main/.pipeline/runs/$PIPELINE_RUN_ID/planted"
try secrets cat "$main/.pipeline/secrets.env"
try approve @PIPELINE@ task approve OTHER
try cancel @PIPELINE@ task cancel T-1
try edit @PIPELINE@ task edit T-1 --priority 5
try mode @PIPELINE@ mode shadow --yes
@PIPELINE@ status 2> "$PIPELINE_WORKTREE/status.txt"
# One that has its processes for itself has a parent of its own.
outside=$PPID
[ "$PPID" = 1 ] && outside=@OUTSIDE@
try kill kill -CONT "$outside"
try environ sh -c "head -c 1 /proc/$outside/environ | grep -q ."
try own_parent sh -c "head -c 1 /proc/$PPID/environ | grep -q . || ls -l /proc/$PPID/fd | grep -q pipe"
try names sh -c "tr '\0' ' ' < /proc/$outside/cmdline | grep -q ."
try socket tmux -S @BOX@/tmux.sock list-sessions
try tcp bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT"
# Its own git would run what it planted.
git="git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c filter.evil.clean=cat"
$git add -A && $git commit -qm results
@PIPELINE@ done --status ok --summary "as well as could be"
"#;

/// What came of it: the names of what worked.
fn attack(level: &str, further: &str) -> (Sandbox, Vec<String>) {
    let s = Sandbox::new();
    let script = ATTACK.replace("@BOX@", s.path("").to_string_lossy().trim_end_matches('/'));
    let script = script.replace("@MAIN@", &s.repo().to_string_lossy()).replace("@HOME@", &s.environment()["HOME"]);
    let script = script.replace("@OUTSIDE@", &std::process::id().to_string());
    install(&s, &script.replace("@PIPELINE@", &program().to_string_lossy()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
    let port = listener.local_addr().expect("its address").port();
    let further = format!("env = {{ PORT = \"{port}\" }}\n{further}");
    s.init("production", &config(&s, level, &further));
    s.write(".pipeline/secrets.env", "FILE_TOKEN=canary-of-file\n");
    fs::set_permissions(s.repo().join(".pipeline/secrets.env"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let shared = Path::new("/dev/shm").join(s.path("").file_name().expect("a name"));
    fs::write(&shared, "of another program").expect("shared memory");
    let socket = s.path("tmux.sock");
    let tmux = |words: &[&str]| {
        let mut command = std::process::Command::new("tmux");
        command.arg("-S").arg(&socket).args(["-f", "/dev/null"]).args(words).env_clear().envs(s.environment());
        command.stdin(Stdio::null()).status().expect("tmux").success()
    };
    assert!(tmux(&["new-session", "-d", "-s", "theirs", "sh"]));
    s.add("T-1", &[]);
    let base = s.git(&["rev-parse", "main"]);
    s.tick_until("the run is over", |status| status["agents"]["dev"]["run"].is_null() && ended(status));
    assert!(tmux(&["kill-server"]));
    fs::remove_file(&shared).expect("what was put there");
    assert!(!Path::new("/dev/shm/mine").exists(), "its shared memory is its own");
    let text = s.git(&["show", "pipeline/T-1:results.txt"]);
    let worked = text.lines().filter_map(|line| line.strip_suffix(" yes")).map(str::to_owned).collect();
    // Whatever it tried, base is where it was, and nothing that it planted has run in our hands.
    assert_eq!(s.git(&["-c", "core.fsmonitor=false", "rev-parse", "main"]), base, "{text}");
    assert!(!s.path("canary").exists(), "{text}");
    (s, worked)
}

fn ended(status: &Value) -> bool {
    !["arch_ready", "arch_wip", "unassigned"].contains(&status["tasks"]["T-1"]["status"].as_str().unwrap_or_default())
}

const WORK: [&str; 5] = ["add", "commit", "amend", "branch", "scratch"];

/// What a strict agent can do where the system lets no user have processes for himself.
fn names(s: &Sandbox) -> &'static [&'static str] {
    if has_own_processes(s) { &[] } else { &["names"] }
}

#[test]
fn a_hijacked_agent_at_the_basic_level_only_works() {
    let (s, worked) = attack("basic", "");
    // The network is open to it, and that is all.
    assert_eq!(worked, [&WORK[..], &["settings", "names", "tcp"]].concat());
    assert_eq!(s.status()["tasks"]["T-1"]["status"], "test_ready", "its work counts");
    let about = s.run(["agent", "list", "--json"]).ok().json();
    assert_eq!(about["agents"][0]["sandbox"], "basic");
    s.run(["explain", "dev"]).ok().says(&["sandbox basic"]);
    s.run(["doctor"]).says(&["every agent is confined"]);
}

#[test]
fn a_hijacked_agent_at_the_strict_level_has_no_network_either() {
    let (s, worked) = attack("strict", "");
    // All of git works, in a clone of its own.
    assert_eq!(worked, [&WORK[..], &["own_home", "stash", "tag", "own_shared_memory"], names(&s)].concat());
    assert_eq!(s.status()["tasks"]["T-1"]["status"], "test_ready", "its work counts");
    let refs = s.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(
        refs.lines().filter(|name| !name.contains("/trash/")).collect::<Vec<_>>(),
        ["refs/heads/main", "refs/heads/pipeline/T-1"]
    );
    s.run(["explain", "dev"]).ok().says(&["sandbox strict", "private clone"]);
    let said = s.git(&["show", "pipeline/T-1:status.txt"]);
    assert!(said.contains("private clone of an agent") && said.contains("pipeline done"), "{said}");
    let scratch = s.repo().join(".pipeline/runs");
    let left = fs::read_dir(scratch)
        .expect("runs")
        .filter(|run| run.as_ref().is_ok_and(|run| run.path().join("tmp").exists()));
    assert_eq!(left.count(), 0, "what it put aside is gone");
}

#[test]
fn a_strict_agent_has_a_network_where_that_is_said() {
    let (s, worked) = attack("strict", "network = true\n");
    assert_eq!(worked, [&WORK[..], &["own_home", "stash", "tag", "own_shared_memory"], names(&s), &["tcp"]].concat());
}

#[test]
fn without_a_sandbox_what_a_hijacked_agent_did_is_noticed_and_put_back() {
    let (s, worked) = attack("off", "");
    // The control: all of this can be done where nothing prevents it.
    for name in ["main_checkout", "home", "base", "hook", "config", "state", "socket", "tcp"] {
        assert!(worked.iter().any(|worked| worked == name), "{name} not in {worked:?}");
    }
    for name in ["approve", "cancel", "edit", "mode"] {
        assert!(!worked.iter().any(|worked| worked == name), "{name}");
    }
    let status = s.status();
    let asks = status["attention"].as_array().expect("a list");
    let broken = asks.iter().find(|ask| ask["kind"] == "agent_broken").unwrap_or_else(|| panic!("{asks:?}"));
    let summary = broken["summary"].as_str().expect("words");
    assert!(summary.contains("moved branch main") && summary.contains("refs/pipeline/trash/moved-main-"), "{summary}");
    assert_ne!(status["tasks"]["T-1"]["status"], "test_ready", "nothing it claims is believed");
    let kept = s.git(&["for-each-ref", "--format=%(refname)", "refs/pipeline/trash"]);
    assert!(kept.contains("moved-main-"), "{kept}");
    s.run(["doctor"]).says(&["off for dev"]);
    s.run(["agent", "start", "dev"]).ok().says(&["idle"]);
}

#[test]
fn a_persons_own_commits_are_no_trespass() {
    let s = Sandbox::ready();
    s.plan("arch.1", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.run(["monitor", "--once"]).ok();
    s.wait_at("T-1.arch.1");
    s.commit("mine.txt", "mine\n");
    let mine = s.git(&["rev-parse", "main"]);
    s.release("T-1.arch.1");
    s.tick_to("T-1", "completed");
    assert!(s.git(&["log", "--format=%H", "main"]).contains(mine.trim()));
    assert_eq!(s.status()["attention"], serde_json::json!([]));
}

#[test]
fn runs_get_a_listed_environment_and_claims_hold_nothing_else() {
    let mut s = Sandbox::new();
    install(
        &s,
        "env > seen.txt; git add -A; git commit -qm seen; @PIPELINE@ done --status ok"
            .replace("@PIPELINE@", &program().to_string_lossy())
            .as_str(),
    );
    for (name, value) in
        [("AWS_SECRET_ACCESS_KEY", "canary-aws"), ("NPM_TOKEN", "canary-npm"), ("UNRELATED", "canary-x")]
    {
        s.set_env(name, value);
    }
    let further = "pass_env = [\"NPM_*\"]\nenv = { SERVICE_KEY = \"canary-config\" }\n";
    s.init("production", &config(&s, "off", further));
    s.add("T-1", &[]);
    s.tick_to("T-1", "test_ready");
    let seen = s.git(&["show", "pipeline/T-1:seen.txt"]);
    for given in
        ["NPM_TOKEN=canary-npm", "SERVICE_KEY=canary-config", "HOME=", "LC_ALL=C.UTF-8", "PIPELINE_TASK_ID=T-1"]
    {
        assert!(seen.contains(given), "{given}: {seen}");
    }
    for kept in ["AWS_SECRET_ACCESS_KEY", "UNRELATED", "PIPELINE_ENTRUSTED"] {
        assert!(!seen.contains(kept), "{kept}: {seen}");
    }
    let mut claims = 0;
    for run in fs::read_dir(s.repo().join(".pipeline/runs")).expect("runs").map(|run| run.expect("a run").path()) {
        let claim = fs::read_to_string(run.join("claim.json")).expect("a claim");
        assert!(!claim.contains("canary-"), "{claim}");
        assert!(claim.contains("SERVICE_KEY"), "its name is no secret: {claim}");
        claims += 1;
    }
    assert_eq!(claims, 1);
}

/// Everything that is written below a folder and holds one of these, by its path.
fn search(dir: &Path, secrets: &[String], found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        let given = ["config.toml", "secrets.env"].iter().any(|name| path.ends_with(name));
        if kind.is_dir() && !path.ends_with("worktrees") {
            search(&path, secrets, found);
        } else if kind.is_file() && !given {
            let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
            found.extend(
                secrets.iter().filter(|s| text.contains(s.as_str())).map(|s| format!("{}: {s}", path.display())),
            );
        }
    }
}

/// A secret as it is and as programs write it: Base64, hexadecimal, with escapes of addresses.
fn forms(secret: &str) -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for three in secret.as_bytes().chunks_exact(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        base64.extend([18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63])));
    }
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let escaped = secret.replace('/', "%2F").replace('+', "%2B");
    vec![secret.to_owned(), base64, hex.to_uppercase(), hex, escaped]
}

#[test]
fn secrets_are_in_nothing_that_is_written_or_said() {
    let mut s = Sandbox::new();
    let unique = std::process::id();
    let [filed, exported, configured, passed, stray] =
        ["file", "env", "config", "pass", "stray"].map(|from| format!("canary/{from}+{unique}/0123456789"));
    s.set_env("EXPORTED_KEY", &exported);
    s.set_env("NPM_TOKEN", &passed);
    s.set_env("STRAY_PASSWORD", &stray);
    let agent = "echo \"key $SERVICE_KEY\"; echo \"$NPM_TOKEN\" >&2; git commit -q --allow-empty -m done\n\
                 printf '{\"status\":\"ok\",\"summary\":\"used %s\"}' \"$SERVICE_KEY\" > \"$PIPELINE_OUTCOME_FILE\"\n";
    install(&s, agent);
    let further = format!("pass_env = [\"NPM_TOKEN\"]\nenv = {{ SERVICE_KEY = \"{configured}\" }}\n");
    s.init("production", &config(&s, "off", &further));
    s.write(".pipeline/secrets.env", &format!("FILE_TOKEN={filed}\n"));
    fs::set_permissions(s.repo().join(".pipeline/secrets.env"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let workflow = r#"{ "id": "secret", "stages": [
        { "id": "use", "run": "echo $FILE_TOKEN $EXPORTED_KEY; exit 3", "secrets": ["FILE_TOKEN", "EXPORTED_KEY"] } ] }"#;
    s.write(".pipeline/workflows/secret.json", workflow);
    s.add("T-1", &[]);
    s.tick_to("T-1", "test_ready");
    let secrets: Vec<String> =
        [filed, exported, configured, passed, stray].iter().flat_map(|secret| forms(secret)).collect();
    let mut said = vec![s.run(["--debug", "run", "secret", "--json"])];
    for words in [
        &["status", "--json"][..],
        &["events"],
        &["task", "show", "T-1"],
        &["logs", "--agent", "dev"],
        &["logs"],
        &["explain", "T-1"],
        &["agent", "list", "--json"],
        &["config", "show", "--origin"],
        &["doctor", "--json"],
    ] {
        said.push(s.run([&["-vv"], words].concat()));
    }
    for output in &said {
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{output:?}");
    }
    let mut found = Vec::new();
    search(&s.repo().join(".pipeline"), &secrets, &mut found);
    assert_eq!(found, [""; 0]);
    // The control: the search finds what is there.
    s.write(".pipeline/logs/control", &secrets[1]);
    search(&s.repo().join(".pipeline"), &secrets, &mut found);
    assert_eq!(found.len(), 1);
}

#[test]
fn a_level_that_is_not_there_starts_nothing() {
    let s = Sandbox::new();
    install(&s, "echo never > ran.txt");
    let text = config(&s, "strict", "").replace("preset = \"custom\"", "preset = \"claude\"");
    s.write(".pipeline/config.toml", &text);
    s.run(["config", "validate"]).code(78).says(&["strict sandbox", "network = true"]);
    // A claim whose confinement cannot be enforced is not run less confined.
    s.write(".pipeline/config.toml", &config(&s, "basic", "write = [\"relative\"]\n"));
    s.run(["config", "validate"]).code(78).says(&["`write` cannot hold"]);
    // A kernel without it, played by a tracer: the agent does not start, and says why.
    for level in ["basic", "strict"] {
        fs::remove_dir_all(s.repo().join(".pipeline")).expect("the folder");
        s.git(&["worktree", "prune"]);
        s.init("production", &config(&s, level, ""));
        s.add("T-1", &[]);
        let lacking = "strace -f -qq -o /dev/null -e trace=landlock_create_ruleset -e inject=landlock_create_ruleset:error=ENOSYS";
        for _ in 0..3 {
            s.shell(&format!("{lacking} \"$P\" monitor --once")).ok();
        }
        let status = s.status();
        let said = status["attention"].to_string();
        assert!(said.contains("cannot confine") && said.contains("sandbox = "), "{level}: {said}");
        assert_eq!(status["metrics"]["runs_failed"].as_u64().unwrap_or_default() + 1, 1, "nothing ran: {status}");
        assert!(!s.worktree("dev").join("ran.txt").exists());
        s.shell(&format!("{lacking} \"$P\" doctor")).says(&["sandbox of dev", "does not start"]);
    }
}

/// Namespaces are a second wall: without them a strict agent works, and goes without what only they make its own.
#[test]
fn where_no_namespaces_can_be_made_a_strict_agent_has_no_shared_memory() {
    for call in ["unshare", "mount"] {
        let s = Sandbox::new();
        let shared = Path::new("/dev/shm").join(s.path("").file_name().expect("a name"));
        let script = "touch @SHM@ 2> shm.txt || echo refused >> shm.txt; git add -A; git commit -qm work; @PIPELINE@ done --status ok";
        let script = script.replace("@SHM@", &shared.to_string_lossy());
        install(&s, &script.replace("@PIPELINE@", &program().to_string_lossy()));
        s.init("production", &config(&s, "strict", ""));
        s.add("T-1", &[]);
        let lacking = format!("strace -f -qq -o /dev/null -e trace={call} -e inject={call}:error=EPERM");
        s.shell(&format!("{lacking} \"$P\" doctor")).says(&["strict ones have no shared memory"]);
        s.shell(&format!("{lacking} \"$P\" monitor --once")).ok();
        s.tick_to("T-1", "test_ready");
        let text = s.git(&["show", "pipeline/T-1:shm.txt"]);
        assert!(text.contains("refused") && !shared.exists(), "{call}: {text}");
    }
}

#[test]
fn in_shared_memory_a_strict_agent_would_not_find_its_own_worktree() {
    let s = Sandbox::below(Path::new("/dev/shm"));
    install(&s, "echo never > ran.txt");
    s.init("production", &config(&s, "strict", ""));
    s.add("T-1", &[]);
    s.tick_to("T-1", "blocked");
    s.run(["task", "show", "T-1"]).says(&["lies in /dev/shm", "write another level"]);
}

/// Where only processes cannot be had, because there are to be no namespaces of them or no new view of them, everything else
/// is as it is otherwise, and said.
#[test]
fn where_no_processes_can_be_had_a_strict_agent_sees_those_of_others() {
    let s = Sandbox::new();
    if !has_own_processes(ready(&s, "")) {
        return;
    }
    for lacking in [
        "unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_pid_namespaces && exec \"$0\" \"$@\"'",
        "unshare -Urm sh -c 'mount -t tmpfs none /proc/tty && exec \"$0\" \"$@\"'",
    ] {
        let s = Sandbox::new();
        let script = "tr '\\0' ' ' < /proc/$PPID/cmdline > parent.txt; kill -CONT $PPID || echo refused >> parent.txt
            touch /dev/shm/mine && git add -A; git commit -qm work; @PIPELINE@ done --status ok";
        ready(&s, &script.replace("@PIPELINE@", &program().to_string_lossy()));
        s.add("T-1", &[]);
        let said = s.shell(&format!("{lacking} \"$P\" doctor")).says(&["in namespaces of their own", "see the names"]);
        assert!(!said.stdout.contains(UNSEEN), "{said:?}");
        s.shell(&format!("{lacking} \"$P\" monitor --once")).ok();
        s.tick_to("T-1", "test_ready");
        let text = s.git(&["show", "pipeline/T-1:parent.txt"]);
        assert!(text.contains("__host") && text.contains("refused"), "{lacking}: {text}");
    }
}

/// A strict agent with this script.
fn ready<'s>(s: &'s Sandbox, script: &str) -> &'s Sandbox {
    install(s, script);
    s.init("production", &config(s, "strict", ""));
    s
}

const NAMES: [&str; 14] = [
    "-x",
    "--upload-pack=touch",
    "..",
    ".",
    ".lock",
    "a.lock",
    "a/../b",
    "a\nb",
    "a b",
    "ext::sh -c touch",
    "$(touch x)",
    "a\u{202e}b",
    "HEAD@{1}",
    "refs/heads/x",
];

#[test]
fn names_that_mean_something_to_others_are_refused_everywhere() {
    let s = Sandbox::ready();
    let long = "a".repeat(300);
    let before = s.git(&["for-each-ref"]);
    for name in NAMES.iter().copied().chain([long.as_str()]) {
        let refused = |words: &[&str]| {
            let output = s.run(words);
            assert!([1, 2, 5, 78].contains(&output.code), "{words:?}: {output:?}");
            assert!(!output.stderr.contains('\u{202e}') && !output.stderr.contains("panicked"), "{output:?}");
        };
        refused(&["task", "add", "t", &format!("--id={name}")]);
        refused(&["task", "show", "--", name]);
        refused(&["agent", "add", "--role=r", "--preset=demo", "--", name]);
        refused(&["explain", "--", name]);
        let list = serde_json::json!([{ "title": "t", "id": name }]).to_string();
        s.write("list.json", &list);
        refused(&["task", "import", "list.json"]);
        let workflow = serde_json::json!({ "id": name, "stages": [{ "id": "a", "run": "true" }] }).to_string();
        s.write(".pipeline/workflows/w.json", &workflow);
        let checked = s.run(["workflow", "validate"]);
        assert!(checked.code != 0 || name.len() == 300, "{name:?}: {checked:?}");
        let stage = serde_json::json!({ "id": "w", "stages": [{ "id": name, "run": "true" }] }).to_string();
        s.write(".pipeline/workflows/w.json", &stage);
        s.run(["workflow", "validate"]);
        fs::remove_file(s.repo().join(".pipeline/workflows/w.json")).expect("the workflow");
        s.write("base.toml", &format!("[project]\nbase = {}\n", serde_json::json!(name)));
        refused(&["--config", "base.toml", "run", "nothing"]);
    }
    assert_eq!(s.git(&["for-each-ref"]), before);
    assert_eq!(s.status()["tasks"], serde_json::json!({}));
    assert!(!s.repo().join("x").exists() && !s.repo().join("touch").exists());
}

#[test]
fn what_is_planted_in_place_of_a_file_of_the_state_is_refused() {
    let plant = |name: &str, what: &str| {
        let s = Sandbox::ready();
        s.add("T-1", &[]);
        let victim = s.path("victim");
        fs::write(&victim, "precious\n").expect("a file");
        let state = s.repo().join(".pipeline/state");
        let file = fs::read_dir(&state)
            .expect("the state")
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.file_name().is_some_and(|found| found.to_string_lossy().starts_with(name)))
            .unwrap_or_else(|| panic!("no {name}"));
        fs::rename(&file, s.path("before")).expect("it can be moved away");
        let file = file.to_string_lossy().into_owned();
        let done = match what {
            "link" => s.shell(&format!("ln -s {} {file}", victim.display())),
            "fifo" => s.shell(&format!("mkfifo {file}")),
            "folder" => s.shell(&format!("mkdir {file}")),
            _ => s.shell(&format!("ln {} {file}", victim.display())),
        };
        done.ok();
        let output = s.run(["task", "add", "another"]);
        assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious\n", "{name} {what}: {output:?}");
        output
    };
    for what in ["link", "fifo", "folder", "hard link"] {
        for name in ["journal", "state.lock"] {
            let output = plant(name, what);
            assert_ne!(output.code, 0, "{name} as a {what}: {output:?}");
        }
        plant("state.json", what);
    }
}

/// An agent without a sandbox is the same user; what it cannot do is what the kernel keeps from any program of that user.
#[test]
fn a_supervisors_environment_is_read_by_no_other_program() {
    let mut s = Sandbox::ready();
    s.set_env("STRAY_PASSWORD", "canary-of-the-supervisor");
    s.plan("arch", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.wait_at("T-1.arch.1");
    let root = rustix::process::geteuid().is_root();
    let without = if root { "setpriv --bounding-set=-all --inh-caps=-all " } else { "" };
    let read = |pid: &str, file: &str| s.shell(&format!("{without}head -c 1 /proc/{pid}/{file}"));
    read("self", "environ").ok();
    for file in ["environ", "maps", "mem", "fd/0", "cwd/README.md"] {
        assert_ne!(read(&monitor.to_string(), file).code, 0, "{file}");
    }
    // Who it is can be seen as before, which is how one of us finds another.
    read(&monitor.to_string(), "stat").ok();
    read(&monitor.to_string(), "cmdline").ok();
    s.release("T-1.arch.1");
}

#[test]
fn the_state_is_for_its_owner_alone() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.run(["monitor", "--once"]).ok();
    fn look(path: &Path, open: &mut Vec<String>) {
        let mode = fs::symlink_metadata(path).expect("it is there").permissions().mode();
        if mode & 0o077 != 0 {
            open.push(format!("{} {mode:o}", path.display()));
        }
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a folder") {
                look(&entry.expect("an entry").path(), open);
            }
        }
    }
    let mut open = Vec::new();
    look(&s.repo().join(".pipeline/state"), &mut open);
    assert_eq!(open, [""; 0]);
    let mode = |path: &str| fs::metadata(s.repo().join(path)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(".pipeline/runs"), 0o700);
}
