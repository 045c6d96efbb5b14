//! Strict agents have their processes for themselves, where the system lets them: they see no others, and to everybody else
//! they are what they would be without that. How they end, what they leave behind, who stops them, and their terminal.
//!
//! Where the system lets no user have processes for himself, all of this holds but the sight of others.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::screen::Screen;
use super::support::{Sandbox, VERIFY, is_alive, process, wait_for_end};

/// What is said of a machine on which a strict agent sees no process but its own.
pub(crate) const UNSEEN: &str = "without sight of other processes";

/// An architect at the strict level, which may read its plans and say what it does.
fn ready(more: &str) -> Sandbox {
    let s = Sandbox::new();
    s.init("production", &config(&s, more));
    s
}

pub(crate) fn config(s: &Sandbox, more: &str) -> String {
    let folder = |name: &str| s.path(name).to_string_lossy().into_owned();
    let [plan, calls, seen, fifo, at] = ["plan", "calls", "seen", "fifo", "at"].map(folder);
    let level = format!(
        "preset = \"custom\"\nsandbox = \"strict\"\nread = [\"{plan}\"]\nwrite = [\"{calls}\", \"{seen}\", \"{fifo}\", \"{at}\"]\n{more}"
    );
    s.config("", "retries = 0").replace("preset = \"custom\"\n", &level)
}

/// Whether this machine lets users have processes for themselves. Said where it does not.
pub(crate) fn has_own_processes(s: &Sandbox) -> bool {
    let said = s.run(["doctor"]).stdout;
    let unseen = said.contains(UNSEEN);
    if !unseen {
        drop(std::io::Write::write_all(&mut std::io::stderr(), b"not looked at: this system has no own processes\n"));
    }
    unseen
}

/// The run of a task at the first stage, once it hangs there.
fn hanging(s: &Sandbox, task: &str) -> String {
    s.add(task, &[]);
    s.tick_to(task, "arch_wip");
    s.wait_at(&format!("{task}.arch.1"));
    s.status()["agents"]["architect"]["run"].as_str().expect("a run").to_owned()
}

/// A record of a run.
fn record(s: &Sandbox, run: &str, name: &str) -> Value {
    serde_json::from_str(&s.read(&format!(".pipeline/runs/{run}/{name}"))).expect("a record")
}

fn pid(record: &Value) -> u32 {
    record["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process")
}

/// How the first run of a task ended.
fn ended(s: &Sandbox, task: &str) -> Value {
    s.add(task, &[]);
    s.tick_until("its run is over", |status| {
        status["agents"]["architect"]["run"].is_null() && status["tasks"][task]["status"] == "blocked"
    });
    let run = s.show(task)["runs"][0]["id"].as_str().expect("a run").to_owned();
    record(s, &run, "exit.json")
}

#[test]
fn a_strict_agent_sees_no_process_but_its_own() {
    let s = ready("");
    let own = has_own_processes(&s);
    let outside = std::process::id();
    s.plan(
        "arch",
        &format!(
            "try() {{ name=$1; shift; if \"$@\" > /dev/null 2>&1; then echo \"$name yes\"; else echo \"$name no\"; fi >> seen.txt; }}
             try signal kill -0 {outside}
             try arguments sh -c \"tr '\\\\0' ' ' < /proc/{outside}/cmdline | grep -q .\"
             try name cat /proc/{outside}/comm
             try folder ls -d /proc/{outside}
             try itself test \"$(cat /proc/$$/comm)\" = agent.sh
             try shell sh -c 'test \"$(readlink /proc/self/exe)\" = \"$(readlink /proc/$$/exe)\" || test -e /proc/$$/stat'
             try first sh -c 'head -c 1 /proc/1/environ | grep -q . || ls -l /proc/1/fd/ | grep -q pipe'
             ls -d /proc/[0-9]* | grep -c . > count.txt
             \"$pipeline\" mode shadow --yes 2> refused.txt
             commit seen; marker COMPLETED"
        ),
    );
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    let seen = s.git(&["show", "pipeline/T-1:seen.txt"]);
    let yes: BTreeSet<&str> = seen.lines().filter_map(|line| line.strip_suffix(" yes")).collect();
    let expected: &[&str] =
        if own { &["itself", "shell"] } else { &["arguments", "folder", "itself", "name", "shell"] };
    assert_eq!(yes, expected.iter().copied().collect(), "{seen}");
    let count: usize = s.git(&["show", "pipeline/T-1:count.txt"]).parse().expect("a number");
    assert!(!own || (2..12).contains(&count), "{count} processes");
    let refused = s.git(&["show", "pipeline/T-1:refused.txt"]);
    assert!(!refused.is_empty(), "and decides nothing");
}

#[test]
fn how_a_strict_agent_ends_is_told_exactly() {
    let signal = |number: i32| ("signaled", "signal", number);
    let code = |number: i32| ("exited", "code", number);
    let ends = [
        ("exit 7", code(7)),
        ("exit 255", code(255)),
        ("kill -KILL $$", signal(9)),
        ("kill -TERM $$", signal(15)),
        ("kill -SEGV $$", signal(11)),
        ("kill -PIPE $$", signal(13)),
        ("kill -USR1 $$", signal(10)),
        ("exec bash -c 'kill -40 $$'", signal(40)),
        ("exec /nonexistent", code(127)),
    ];
    let s = Sandbox::new();
    let retries = format!("retries = {}", ends.len() - 1);
    s.init("production", &config(&s, "").replace("retries = 0", &retries));
    for (index, (script, _)) in ends.iter().enumerate() {
        s.plan(&format!("T-1.arch.{}", index + 1), script);
    }
    s.add("T-1", &[]);
    s.tick_until("it is tried no more", |status| status["tasks"]["T-1"]["status"] == "blocked");
    let runs = s.show("T-1")["runs"].clone();
    for (index, (script, (how, key, number))) in ends.iter().enumerate() {
        let record = record(&s, runs[index]["id"].as_str().expect("a run"), "exit.json");
        assert_eq!((&record["how"], &record[*key]), (&(*how).into(), &(*number).into()), "{script}: {record}");
        assert_eq!(record["leftovers_killed"], 0, "{script}: {record}");
    }
}

#[test]
fn what_a_strict_agent_leaves_is_asked_to_end_and_then_made_to() {
    let s = ready("");
    s.plan(
        "T-1.arch",
        "(trap 'echo asked > \"$box/seen/asked\"; exit' TERM; : > \"$box/at/one\"; while :; do sleep 1; done) &
         setsid sh -c 'trap \"\" TERM; : > \"$1/at/two\"; sleep 600' sh \"$box\" &
         until [ -e \"$box/at/one\" ] && [ -e \"$box/at/two\" ]; do :; done
         exit 3",
    );
    let record = ended(&s, "T-1");
    assert_eq!((&record["code"], s.path("seen/asked").exists()), (&3.into(), true), "{record}");
    // Two shells and what each of them waits for, but for a shell's that is between two of them.
    let killed = record["leftovers_killed"].as_u64().expect("a number");
    assert!((3..=4).contains(&killed), "{record}");
    assert_eq!(s.processes(), Vec::<u32>::new());
}

#[test]
fn a_strict_agent_that_will_not_end_is_stopped_with_all_it_has() {
    let s = ready("");
    s.plan("arch", "ignore_term; setsid sh -c 'trap \"\" TERM HUP; sleep 600' & hang");
    let run = hanging(&s, "T-1");
    s.run(["agent", "stop", "architect"]).ok();
    s.tick_to("T-1", "arch_ready");
    assert_eq!(record(&s, &run, "exit.json")["how"], "stopped");
    assert_eq!(s.processes(), Vec::<u32>::new());
}

#[test]
fn nothing_of_a_strict_agent_outlives_its_host() {
    let s = ready("");
    if !has_own_processes(&s) {
        return;
    }
    s.plan("arch", "ignore_term; setsid sh -c 'trap \"\" TERM HUP; sleep 600' & hang");
    let run = hanging(&s, "T-1");
    // The process that is recorded is the agent, as it is seen from outside.
    let agent = pid(&record(&s, &run, "child.json"));
    let name = fs::read_to_string(format!("/proc/{agent}/comm")).expect("its name");
    assert_eq!(name.trim_end(), "agent.sh");
    let host = pid(&record(&s, &run, "start.json"));
    let all = s.processes();
    assert!(all.contains(&agent) && all.contains(&host) && all.len() > 4, "{all:?}");
    rustix::process::kill_process(process(host), Signal::KILL).expect("the host is there");
    all.into_iter().for_each(wait_for_end);
    assert!(!is_alive(agent));
    s.tick_until("the run is over", |status| status["agents"]["architect"]["run"].is_null());
}

/// A gate runs what an agent wrote, and sees as little. The other gate is the control.
#[test]
fn a_gate_on_the_work_of_a_strict_agent_sees_no_others_either() {
    let outside = std::process::id();
    for (gate, ends) in [
        (format!("test ! -e /proc/{outside} -a -e /proc/$$/stat"), "completed"),
        (format!("test -e /proc/{outside}"), "blocked"),
    ] {
        let s = Sandbox::new();
        s.init("production", &config(&s, "").replace(VERIFY, &gate));
        if !has_own_processes(&s) {
            return;
        }
        s.add("T-1", &[]);
        let status = s.tick_until("it is decided", |status| {
            ["completed", "blocked"].contains(&status["tasks"]["T-1"]["status"].as_str().unwrap_or_default())
        });
        assert_eq!(status["tasks"]["T-1"]["status"], ends, "{gate}: {status}");
    }
}

/// Asks what a program asks of its terminal, and writes down what it hears from it.
pub(crate) const SESSION: &str = r#"
heard=$box/seen/heard
hear() { echo "$1" >> "$heard"; }
ps -o pid=,pgid=,tpgid= -p $$ > "$box/seen/groups" 2>/dev/null || echo none > "$box/seen/groups"
bash -ic 'echo fine' > "$box/seen/bash" 2>&1
trap 'hear interrupted' INT
trap 'hear resized' WINCH
trap 'hear hung' HUP
printf 'what now? '
: > "$box/at/$key.$n"
until [ "$line" = over ]; do read -r line && hear "told $line"; done
sleep 600 && hear slept
hear awake
commit told
marker COMPLETED
hang
"#;

#[test]
fn a_strict_agent_has_its_terminal_to_itself() {
    let s = ready("mode = \"interactive\"\n");
    s.plan("arch", SESSION);
    s.plan("test", "hang");
    s.add("T-1", &[]);
    let heard = s.path("seen/heard");
    let mut screen = Screen::open(&s, &[], (100, 30));
    s.wait_at("T-1.arch.1");
    let bash = fs::read_to_string(s.path("seen/bash")).expect("what a shell says");
    assert!(bash.trim_end().ends_with("fine") && !bash.contains("job control"), "{bash}");
    screen.press("1z");
    screen.shows(&["what now?"]);
    screen.press("i");
    screen.shows(&["ctrl-q"]);
    screen.press("<c-c>");
    s.wait_for_text(&heard, "it hears Ctrl-C", |text| text.contains("interrupted"));
    // There is nobody to whom it could return, so that it goes on.
    screen.press("<c-z>");
    screen.press("one<enter>");
    s.wait_for_text(&heard, "it goes on after Ctrl-Z", |text| text.contains("told one"));
    // It has heard of a size before, and a key that comes while it hears of one may be lost to its shell.
    let sizes = |text: &str| text.matches("resized").count();
    let before = sizes(&fs::read_to_string(&heard).expect("what it heard"));
    screen.resize((90, 20));
    s.wait_for_text(&heard, "it hears of a size", |text| sizes(text) > before);
    screen.press("over<enter>");
    s.wait_for_text(&heard, "it sleeps", |text| text.contains("told over"));
    screen.press("<c-c>");
    s.wait_for_text(&heard, "what it waits for ends at Ctrl-C", |text| text.contains("awake"));
    screen.press("<c-q>q");
    assert_eq!(screen.code(), 0);
    let text = fs::read_to_string(&heard).expect("what it heard");
    assert!(!text.contains("slept") && !text.contains("hung"), "{text}");
    s.tick_past("T-1", "arch");
}
