//! What is said of sessions: by their hooks, by their screens, and by a person.

use std::fs;

use crate::support::{Sandbox, program};

/// A program that draws as Claude Code does: it asks for a permission, works, and waits for the next thing.
const DRAW: &str = r#"
box_() { printf '\033[2J\033[H%s\r\n' "$1"; shift; for line in "$@"; do printf '%s\r\n' "$line"; done; }
asks() { box_ 'Bash command' '  cargo test' 'Do you want to proceed?' '❯ 1. Yes' '  2. No, and tell Claude what to do differently (esc)'; }
rests() { box_ '● Done.' '────────' '> ' '────────' '  ? for shortcuts'; }
"#;

fn ready(play: &str) -> Sandbox {
    let s = Sandbox::new();
    let config = s.config("", "");
    let config = config.replacen("preset = \"custom\"\n", "preset = \"claude\"\nmode = \"interactive\"\n", 1);
    s.init("production", &config);
    begin(&s, &format!("{DRAW}{play}"));
    s
}

/// A task whose agent plays this, until it says where it is.
fn begin(s: &Sandbox, play: &str) {
    s.plan("arch", &format!("program='{}'\n{play}", program().display()));
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
}

fn doing(s: &Sandbox) -> (String, String) {
    let agent = &s.status()["agents"]["architect"];
    let text = |key: &str| agent[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("status_source"))
}

const ASK: &str = r#"
asks
stty raw -echo
: > "$box/at/$key.$n"
line=$(dd bs=1 count=1 2> /dev/null)
stty sane
echo "$line" > told.txt
commit told
rests
marker COMPLETED
hang
"#;

/// A question on the screen is a person's turn: it is in the inbox, nothing is typed into it by accident, and it is
/// answered from there.
#[test]
fn a_permission_is_asked_for_and_answered() {
    let s = ready(ASK);
    let status = s.tick_until("the question is seen", |status| status["agents"]["architect"]["status"] == "waiting");
    assert_eq!(status["agents"]["architect"]["status_source"], "screen");
    let asked = &status["attention"][0];
    assert_eq!((&asked["kind"], &asked["agent"]), (&"permission".into(), &"architect".into()), "{status}");
    assert_eq!(asked["command"], "pipeline agent send architect --answer yes");
    s.run(["agent", "send", "architect", "go on"]).code(1).says(&["nothing was sent to architect", "--answer yes"]);
    s.run(["agent", "send", "architect", "--answer", "7"]).code(1).says(&["none of its choices", "1 Yes"]);
    s.run(["agent", "send", "architect", "--answer", "yes"]).ok();
    s.tick_past("T-1", "arch");
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]).trim(), "1");
}

/// What hooks say counts more than a screen that says nothing, and what a person says counts most.
#[test]
fn hooks_are_heard_and_a_person_may_correct_them() {
    let s = ready(
        r#"
echo working
printf '{"hook_event_name":"UserPromptSubmit","session_id":"s1"}' | "$program" hook
: > "$box/at/$key.$n"
read -r line
printf '{"hook_event_name":"Stop","session_id":"s1"}' | "$program" hook
: > "$box/at/$key.stopped"
read -r line
marker COMPLETED
hang
"#,
    );
    assert_eq!(doing(&s), ("working".to_owned(), "hook".to_owned()));
    s.run(["agent", "send", "architect", "next"]).ok();
    s.wait_at("T-1.arch.stopped");
    assert_eq!(doing(&s), ("waiting".to_owned(), "hook".to_owned()));
    s.run(["monitor", "--once"]).ok();
    assert_eq!(s.status()["attention"][0]["kind"], "turn_ended");
    s.run(["explain", "architect"]).ok().says(&["its hooks say"]);
    s.run(["explain", "architect", "--actually", "dancing"]).code(2).says(&["turn-ended"]);
    s.run(["explain", "architect", "--actually", "background"]).ok().says(&["until it is heard of again"]);
    assert_eq!(doing(&s), ("working".to_owned(), "person".to_owned()));
    let kept: Vec<_> = fs::read_dir(s.repo().join(".pipeline/runs/corrections")).unwrap().flatten().collect();
    let kept = fs::read_to_string(kept[0].path()).unwrap();
    assert!(kept.contains("\"expect\": \"background\"") && kept.contains("\"instead_of\": \"turn_ended\""), "{kept}");
    s.run(["agent", "send", "architect", "done"]).ok();
    s.tick_past("T-1", "arch");
}

/// Nothing was wrong with a session whose host died: the next attempt goes on in it, with what the agent knew by then.
#[test]
fn a_session_whose_host_died_is_gone_on_with() {
    let s = Sandbox::new();
    let own = format!("command = [\"{}\", \"--resume={{resume?}}\"]\n", s.path("agent.sh").display());
    let command = format!("command = [\"{}\"]\n", s.path("agent.sh").display());
    let config = s.config("", "").replacen("preset = \"custom\"\n", "preset = \"claude\"\nmode = \"interactive\"\n", 1);
    s.init("production", &config.replacen(&command, &own, 1));
    let play = r#"
echo "$*" > "$box/seen/args.$n"
printf '{"hook_event_name":"UserPromptSubmit","session_id":"s1"}' | "$program" hook
: > "$box/at/$key.$n"
hang
"#;
    begin(&s, play);
    s.tick_until("its session is known", |status| status["agents"]["architect"]["status"] == "working");
    let run = s.status()["agents"]["architect"]["run"].as_str().expect("a run").to_owned();
    let start = fs::read_to_string(s.repo().join(".pipeline/runs").join(run).join("start.json")).expect("its start");
    let start: serde_json::Value = serde_json::from_str(&start).expect("a record");
    s.shell(&format!("kill -9 {}", start["pid"])).ok();
    s.tick_until("it is tried again", |_| s.path("at/T-1.arch.2").exists());
    let told = |n: u32| fs::read_to_string(s.path(&format!("seen/args.{n}"))).expect("its arguments");
    assert_eq!((told(1).trim(), told(2).trim()), ("", "--resume=s1"));
    s.run(["task", "cancel", "T-1"]).ok();
}

/// The settings that add the hooks can be read, and what they say can be written, however far a session is confined. A
/// variable that a person has set stays theirs.
#[test]
fn a_confined_session_is_heard_and_a_variable_of_a_person_stays() {
    for (set, expected) in [("", "ours"), ("env = { OPENCODE_TUI_CONFIG = \"/mine.json\" }\n", "mine")] {
        let s = Sandbox::new();
        let folder = |name: &str| s.path(name).to_string_lossy().into_owned();
        let [plan, calls, seen, fifo, at] = ["plan", "calls", "seen", "fifo", "at"].map(folder);
        let preset = format!(
            "preset = \"opencode\"\nmode = \"interactive\"\nsandbox = \"strict\"\nnetwork = true\nread = [\"{plan}\"]\n\
             write = [\"{calls}\", \"{seen}\", \"{fifo}\", \"{at}\"]\n{set}"
        );
        s.init("production", &s.config("", "").replacen("preset = \"custom\"\n", &preset, 1));
        let play = r#"
case "$OPENCODE_TUI_CONFIG" in /mine.json) word=mine ;; *) grep -q opencode.js "$OPENCODE_TUI_CONFIG" && word=ours ;; esac
ls "${OPENCODE_TUI_CONFIG%/*}" > /dev/null
printf '{"hook_event_name":"permission.asked","session_id":"s1","message":"%s"}' "$word" | "$program" hook
: > "$box/at/$key.$n"
read -r line
marker COMPLETED
hang
"#;
        begin(&s, play);
        assert_eq!(doing(&s), ("waiting".to_owned(), "hook".to_owned()));
        s.run(["explain", "architect"]).ok().says(&["its hooks say", expected]);
        s.run(["agent", "stop", "architect"]).ok();
    }
}
