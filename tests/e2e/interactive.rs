//! Sessions: agents in a terminal that outlives everybody who looks, are sent text, and end only by a claim.

use rustix::process::Signal;

use crate::support::Sandbox;

/// What a session needs to know of its terminal, asked as programs ask.
const ASK: &str = r#"
stty size > "$box/size"
stty raw -echo
printf '\033[6n'
dd bs=1 count=6 2> /dev/null | tr -d '\033' > "$box/cursor"
stty sane
"#;

/// Says that it is here, and waits for a line to be typed.
const HEAR: &str = r#"
printf '\033[1mwhat now?\033[m '
: > "$box/at/$key.$n"
read -r line
echo "$line" > told.txt
commit told
"#;

/// A pipeline in which the architect works in a terminal.
fn ready(scheduler: &str) -> Sandbox {
    let s = Sandbox::new();
    let config = s.config("", scheduler);
    let config = config.replacen("preset = \"custom\"\n", "preset = \"custom\"\nmode = \"interactive\"\n", 1);
    s.init("production", &config);
    s.plan("arch", &format!("{ASK}{HEAR}marker COMPLETED\nhang"));
    s
}

fn live_run(s: &Sandbox) -> String {
    s.status()["agents"]["architect"]["run"].as_str().expect("a live run").to_owned()
}

/// The terminal answers though nobody looks, what is sent arrives, and the claim ends the session.
#[test]
fn a_session_is_sent_text_and_ends_by_its_claim() {
    let s = ready("");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    assert_eq!(std::fs::read_to_string(s.path("size")).unwrap().trim(), "40 120");
    assert_eq!(std::fs::read_to_string(s.path("cursor")).unwrap(), "[1;1R");
    let seen = s.seen("T-1.arch.1", "env");
    assert!(seen.lines().any(|line| line == "TERM=xterm-256color"), "{seen}");
    let sent = s.run(["agent", "send", "architect", "use the old parser", "--json"]).ok().json();
    assert_eq!((&sent["agent"], &sent["taken"]), (&"architect".into(), &true.into()), "{sent}");
    assert_eq!(sent["screen_changed"], true, "the line is seen");
    s.tick_past("T-1", "arch");
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), "use the old parser");
    let task = s.show("T-1");
    assert_eq!(task["runs"][0]["how"]["stopped"]["reason"], "claimed", "{task}");
    let shown = s.run(["logs", "--task", "T-1", "--run", task["runs"][0]["id"].as_str().unwrap()]);
    assert_eq!(shown.code, 2, "a run or a task");
    let shown = s.run(["agent", "logs", "architect"]).ok().stdout;
    assert!(shown.lines().any(|line| line == "what now? use the old parser"), "{shown:?}");
    assert!(!shown.contains(['\u{1b}', '\r']), "{shown:?}");
}

/// The host has the terminal, not the monitor: a session goes on without one, and another one takes it over.
#[test]
fn a_session_outlives_its_monitor() {
    let s = ready("");
    s.plan("arch", &format!("{HEAR}read -r more; echo \"$more\" >> told.txt; commit more; marker COMPLETED\nhang"));
    s.add("T-1", &[]);
    let first = s.start("first", ["monitor", "--headless"]);
    s.wait_at("T-1.arch.1");
    let run = live_run(&s);
    s.signal(first, Signal::KILL);
    s.exit_of(first);
    s.run(["agent", "send", "architect", "one", "--run", &run]).ok().says(&["sent to architect; its screen"]);
    let second = s.start("second", ["monitor", "--headless"]);
    s.run_with_input(["agent", "send", "architect", "-"], "two\n").ok();
    s.run(["wait", "T-1", "--timeout", "60"]).ok();
    let told = s.git(&["show", "pipeline/T-1:told.txt"]);
    assert_eq!(told, "one\ntwo");
    let runs = s.show("T-1")["runs"].clone();
    assert_eq!(runs[0]["id"], run.as_str(), "the same run was taken over: {runs}");
    s.signal(second, Signal::TERM);
    s.exit_of(second);
}

/// A stop ends a session like any run: its work is kept, no attempt is counted.
#[test]
fn a_session_is_stopped() {
    let s = ready("");
    s.plan("arch.1", &format!("work; echo half > half.txt\n{HEAR}"));
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "stop", "architect"]).ok().says(&["architect stopped"]);
    let state = s.state();
    assert_eq!(
        (&state["tasks"]["T-1"]["status"], &state["tasks"]["T-1"]["attempt"]),
        (&"arch_ready".into(), &0.into())
    );
    assert_eq!(s.git(&["show", "pipeline/T-1:half.txt"]), "half");
    s.run(["agent", "send", "architect", "x"]).code(1).says(&["no live run", "pipeline agent logs architect"]);
    assert_eq!(s.processes(), Vec::<u32>::new());
}

/// Somebody who closes a session has not said that its work is done, whatever the program.
#[test]
fn a_session_that_is_closed_has_claimed_nothing() {
    let s = ready("retries = 0");
    s.plan("arch", &format!("work\n{HEAR}echo 'DECISION: success'; exit 0"));
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "send", "architect", "bye"]).ok();
    let status = s.tick_until("T-1 is blocked", |status| status["tasks"]["T-1"]["status"] == "blocked");
    let reason = status["tasks"]["T-1"]["reason"].as_str().unwrap();
    assert!(reason.contains("without saying that its work is done"), "{reason}");
    // `pipeline done` is a claim, and the session ends a moment after it.
    s.plan("arch", &format!("work\n{HEAR}\"$pipeline\" done --status ok --summary said; hang"));
    s.run(["task", "retry", "T-1"]).ok();
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.2");
    s.run(["agent", "send", "architect", "go on"]).ok();
    s.tick_past("T-1", "arch");
}

/// Who cannot be sent anything, and what to do then.
#[test]
fn whoever_has_no_terminal_is_told_so() {
    let s = ready("");
    s.plan("test", "hang");
    for verb in ["send", "attach"] {
        let words = |name: &str| {
            let mut words = vec!["agent".to_owned(), verb.to_owned(), name.to_owned()];
            words.extend((verb == "send").then(|| "text".to_owned()));
            words
        };
        s.run(words("nobody")).code(5).says(&["nobody", "pipeline agent list"]);
        s.run(words("architect")).code(1).says(&["no live run", "pipeline agent logs architect"]);
        let mut json = words("architect");
        json.push("--json".to_owned());
        assert_eq!(s.run(json).code(1).error().0, "no_terminal");
    }
    s.run(["agent", "send", "architect", "", "--no-enter"]).code(2);
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    let run = live_run(&s);
    s.run(["agent", "send", "architect", "x", "--run", "R-nothing"]).code(5).says(&["R-nothing"]);
    s.run(["agent", "attach", "architect"]).code(1).says(&["in a terminal", "pipeline agent send architect"]);
    s.run(["agent", "send", "architect", "a li", "--no-enter"]).ok();
    s.run(["agent", "send", "architect", "ne"]).ok();
    s.tick_to("T-1", "test_wip");
    s.wait_at("T-1.test.1");
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), "a line");
    s.run(["agent", "send", "architect", "x", "--run", &run]).code(1).says(&["has ended", &run]);
    s.run(["agent", "send", "test", "x"]).code(1).says(&["headless", "interactive"]);
    let help = s.run(["agent", "send", "--help"]).ok().stdout;
    assert!(help.contains("Example: pipeline agent send"), "{help}");
}

/// A program that takes no task on its command line is given its prompt once it reads; where that fails, it is said.
#[test]
fn a_prompt_is_pasted_where_the_command_line_takes_none() {
    let s = ready("");
    let config = s.read(".pipeline/config.toml").replacen("preset = \"custom\"", "preset = \"goose\"", 1);
    s.write(".pipeline/config.toml", &config);
    s.plan("arch", &format!("{HEAR}marker COMPLETED"));
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    let told = s.git(&["show", "pipeline/T-1:told.txt"]);
    assert!(told.starts_with("Your task is described in the file T-1.md"), "{told}");
    s.plan("arch", ": > \"$box/at/$key.$n\"; read -r line");
    s.add("T-2", &[]);
    s.tick_to("T-2", "arch_wip");
    s.wait_at("T-2.arch.1");
    let unsent = s.repo().join(".pipeline/runs").join(live_run(&s)).join("prompt-unsent.json");
    std::fs::write(unsent, "\"the program has shown nothing\"").unwrap();
    s.run(["agent", "list"]).ok().says(&["its prompt was not pasted: the program has shown nothing"]);
    s.run(["explain", "architect"]).ok().says(&["pipeline agent send architect TEXT"]);
    s.run(["agent", "stop", "--all"]).ok();
}
