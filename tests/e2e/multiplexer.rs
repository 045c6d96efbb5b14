//! Sessions in tmux: started, sent text, seen, typed into, attached to and ended as those of the built-in host are. Each
//! sandbox has a server of its own.

use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use super::apart;
use super::panes::{HOSTILE, check};
use super::screen::Screen;
use super::support::{DEADLINE, Sandbox};

const SIZE: (u16, u16) = (100, 30);

/// Says that it is here, and waits for two lines to be typed.
const HEAR: &str = "printf '\\033[1;32mwhat now?\\033[m '\n: > \"$box/at/$key.$n\"\nIFS= read -r one\nIFS= read -r two\n\
                    printf '%s\\n%s\\n' \"$one\" \"$two\" > told.txt\ncommit told\nmarker COMPLETED\nhang\n";

/// Whether tmux is there. Where it has to be, it is.
pub(crate) fn has_tmux() -> bool {
    let there = Command::new("tmux").arg("-V").output().is_ok();
    assert!(there || std::env::var_os("PIPELINE_TESTS_NEED_TMUX").is_none(), "tmux is required here and is missing");
    if !there {
        drop(std::io::Write::write_all(&mut std::io::stderr(), b"left out: there is no tmux\n"));
    }
    there
}

/// A pipeline whose architect works in tmux, with a task, unless tmux is missing.
fn with_a_session(plan: &str) -> Option<Sandbox> {
    has_tmux().then(|| {
        let sandbox = sandbox();
        sandbox.plan("arch", plan);
        sandbox.add("T-1", &[]);
        sandbox
    })
}

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    let sockets = sandbox.path("tmp").to_string_lossy().into_owned();
    sandbox.set_env("TMUX_TMPDIR", &sockets);
    // As where somebody who works in tmux starts it.
    sandbox.set_env("TMUX", "/nonexistent/tmux,1,0");
    let session = "preset = \"custom\"\nmode = \"interactive\"\nruntime = \"tmux\"\n";
    let config = sandbox.config("", "").replacen("preset = \"custom\"\n", session, 1);
    sandbox.init("production", &config);
    sandbox
}

/// A strict agent has its pane for itself as one has that is not confined: its keys, its size, and nobody to return to.
#[test]
fn a_strict_session_in_tmux_has_its_pane() {
    if !has_tmux() {
        return;
    }
    let mut s = Sandbox::new();
    let sockets = s.path("tmp").to_string_lossy().into_owned();
    s.set_env("TMUX_TMPDIR", &sockets);
    s.init("production", &apart::config(&s, "mode = \"interactive\"\nruntime = \"tmux\"\n"));
    s.plan("arch", apart::SESSION);
    s.plan("test", "hang");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    let bash = std::fs::read_to_string(s.path("seen/bash")).expect("what a shell says");
    assert!(bash.trim_end().ends_with("fine") && !bash.contains("job control"), "{bash}");
    let heard = s.path("seen/heard");
    let keys = |keys: &[&str]| {
        let panes = tmux(&s, &["list-panes", "-a", "-F", "#{pane_id}"]).stdout;
        let pane = String::from_utf8(panes).expect("its name");
        assert!(tmux(&s, &[&["send-keys", "-t", pane.trim()], keys].concat()).status.success());
    };
    keys(&["C-c"]);
    s.wait_for_text(&heard, "it hears Ctrl-C", |text| text.contains("interrupted"));
    keys(&["C-z"]);
    keys(&["one", "Enter"]);
    s.wait_for_text(&heard, "it goes on after Ctrl-Z", |text| text.contains("told one"));
    assert!(tmux(&s, &["resize-window", "-x", "70", "-y", "20"]).status.success());
    s.wait_for_text(&heard, "it hears of a size", |text| text.contains("resized"));
    keys(&["over", "Enter"]);
    s.wait_for_text(&heard, "it sleeps", |text| text.contains("told over"));
    keys(&["C-z"]);
    keys(&["C-c"]);
    s.wait_for_text(&heard, "what it waits for ends at Ctrl-C", |text| text.contains("awake"));
    let text = std::fs::read_to_string(&heard).expect("what it heard");
    assert!(!text.contains("slept") && !text.contains("hung"), "{text}");
    s.tick_past("T-1", "arch");
    s.run(["agent", "stop", "--all"]).ok();
    leaves_nothing(&s);
}

fn live_run(s: &Sandbox) -> String {
    s.status()["agents"]["architect"]["run"].as_str().expect("a live run").to_owned()
}

/// The user's own tmux, as `agent attach` says that one attaches by hand.
fn tmux(s: &Sandbox, words: &[&str]) -> std::process::Output {
    let said = s.run(["agent", "attach", "architect"]).code(1).says(&["in a terminal"]);
    let line = said.stderr.split("tmux -S ").nth(1).expect("how to attach by hand");
    let socket = line.split_whitespace().next().expect("a socket");
    let mut command = Command::new("tmux");
    command.env_clear().env("PATH", &s.environment()["PATH"]).args(["-S", socket]).args(words);
    command.output().expect("tmux runs")
}

/// Waits until nothing that the sandbox started is there any more, the server of tmux included.
fn leaves_nothing(s: &Sandbox) {
    let began = Instant::now();
    while !s.processes().is_empty() {
        assert!(began.elapsed() < DEADLINE, "left behind: {:?}", s.processes());
        std::thread::yield_now();
    }
}

/// A session takes a stage to its end: what is sent arrives as it is, what is shown is kept.
#[test]
fn a_session_in_tmux_is_sent_text_and_ends_by_its_claim() {
    let Some(s) = with_a_session(HEAR) else { return };
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    let env = s.seen("T-1.arch.1", "env");
    let line = |wanted: &str| env.lines().any(|line| line == wanted);
    assert!(line("TERM=tmux-256color") && line(&format!("PIPELINE_RUN_ID={}", live_run(&s))), "{env}");
    assert!(!env.lines().any(|line| line.starts_with("TMUX=") || line.starts_with("TMUX_PANE")), "{env}");
    let first = "-x 'one' \"two\"; $HOME `id` #{pid} Enter";
    let sent = s.run(["agent", "send", "architect", &format!("{first}\nünïcödé 界"), "--json"]).ok().json();
    assert_eq!((&sent["taken"], &sent["screen_changed"]), (&true.into(), &true.into()), "{sent}");
    s.tick_past("T-1", "arch");
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), format!("{first}\nünïcödé 界"));
    let task = s.show("T-1");
    assert_eq!(task["runs"][0]["how"]["stopped"]["reason"], "claimed", "{task}");
    let shown = s.run(["agent", "logs", "architect"]).ok().stdout;
    assert!(shown.lines().any(|line| line.starts_with(&format!("what now? {first}"))), "{shown:?}");
    assert!(!shown.contains(['\u{1b}', '\r']), "{shown:?}");
    s.run(["agent", "send", "architect", "x"]).code(1).says(&["no live run"]);
}

/// The session is tmux's and its host's, not the monitor's: it goes on without one.
#[test]
fn a_session_in_tmux_outlives_its_monitor() {
    let Some(s) = with_a_session(HEAR) else { return };
    let first = s.start("first", ["monitor", "--headless"]);
    s.wait_at("T-1.arch.1");
    let run = live_run(&s);
    s.signal(first, Signal::KILL);
    s.exit_of(first);
    s.run(["agent", "send", "architect", "one", "--run", &run]).ok().says(&["sent to architect; its screen"]);
    let second = s.start("second", ["monitor", "--headless"]);
    s.run_with_input(["agent", "send", "architect", "-"], "two\n").ok();
    s.run(["wait", "T-1", "--timeout", "60"]).ok();
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), "one\ntwo");
    assert_eq!(s.show("T-1")["runs"][0]["id"], run.as_str());
    s.signal(second, Signal::TERM);
    s.exit_of(second);
    leaves_nothing(&s);
}

/// The dashboard shows the session as cells, with its colours, and types into it.
#[test]
fn a_session_in_tmux_is_seen_and_typed_into_in_the_dashboard() {
    let Some(s) = with_a_session(&format!("{HEAR}stty size > \"$box/size\"\n").replace("hang\n", "")) else { return };
    let mut screen = Screen::open(&s, &[], SIZE);
    s.wait_at("T-1.arch.1");
    screen.press("1z");
    screen.shows(&["what now?", "tmux"]);
    let cells = screen.cells();
    let bold = cells.iter().flatten().any(|cell| cell.text == "w" && cell.style.bold);
    assert!(bold, "{}", screen.text());
    screen.press("i");
    screen.shows(&["ctrl-q"]);
    screen.press("quit? no");
    screen.shows(&["what now? quit? no"]);
    screen.press("<enter>then");
    screen.shows(&["then"]);
    screen.press("<enter>");
    s.tick_past("T-1", "arch");
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), "quit? no\nthen");
    let size = std::fs::read_to_string(s.path("size")).expect("a size");
    assert!(size.trim() != "40 120" && size.trim().ends_with(" 100"), "the pane's, not what it had unseen: {size}");
    screen.press("<c-q>");
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

/// What it prints reaches the person's terminal through tmux as it does without: as cells alone.
#[test]
fn a_hostile_session_in_tmux_draws_cells_and_nothing_else() {
    let Some(s) = with_a_session(HOSTILE) else { return };
    let mut screen = Screen::open(&s, &[], SIZE);
    s.wait_at("T-1.arch.1");
    screen.press("1z");
    screen.shows(&["still here", "tmux"]);
    assert_eq!(screen.title(), "pipeline repo");
    assert_eq!((screen.clipboard(), screen.bells()), (Vec::new(), 0));
    screen.press("q");
    assert_eq!(screen.code(), 0);
    check(screen.raw());
    s.release("T-1.arch.1");
}

/// Attaching is tmux's: full screen, with its keys, also from within another tmux.
#[test]
fn a_session_in_tmux_is_attached_to_and_left_alone_again() {
    let Some(s) = with_a_session(&format!("stty size > \"$box/size\"\n{HEAR}")) else { return };
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.wait_at("T-1.arch.1");
    let mut screen = Screen::open(&s, &["agent", "attach", "architect"], SIZE);
    screen.shows(&["what now?", "architect T-1 · ctrl-b ctrl-b d leaves"]);
    screen.press("half");
    screen.shows(&["what now? half"]);
    let seen = String::from_utf8(tmux(&s, &["capture-pane", "-p"]).stdout).expect("text");
    assert!(seen.starts_with("what now? half"), "{seen:?}");
    screen.press("<c-b>d");
    assert_eq!(screen.code(), 0);
    assert!(!screen.is_taken());
    assert!(screen.text().contains("detached") || String::from_utf8_lossy(screen.raw()).contains("detached"));
    let mut screen = Screen::open(&s, &["agent", "attach", "architect", "--read-only"], (60, 12));
    screen.shows(&["what now? half"]);
    screen.press("ignored<enter>");
    // Keys that come all at once are a paste to tmux; it has seen these when it answers.
    assert!(tmux(&s, &["list-clients"]).status.success());
    screen.press("<c-b>d");
    assert_eq!(screen.code(), 0);
    // The sandbox is as within another tmux, which takes the first prefix for itself; here there is none.
    let program = super::support::program().to_string_lossy().into_owned();
    let alone = ["/usr/bin/env", "-u", "TMUX", &program, "agent", "attach", "architect"];
    let mut screen = Screen::run(&s, &alone, (60, 12));
    screen.shows(&["what now? half", "architect T-1 · ctrl-b d leaves"]);
    screen.press(" done<enter>end<enter>");
    screen.end();
    s.run(["wait", "T-1", "--timeout", "60"]).ok();
    assert_eq!(s.git(&["show", "pipeline/T-1:told.txt"]), "half done\nend");
    s.signal(monitor, Signal::TERM);
    s.exit_of(monitor);
}

/// A stop ends a session like any run, and tmux with the last of them.
#[test]
fn a_session_in_tmux_is_stopped() {
    let Some(s) = with_a_session(&format!("work; echo half > half.txt\n{HEAR}")) else { return };
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.run(["agent", "stop", "architect"]).ok().says(&["architect stopped"]);
    let state = s.state();
    assert_eq!(
        (&state["tasks"]["T-1"]["status"], &state["tasks"]["T-1"]["attempt"]),
        (&"arch_ready".into(), &0.into())
    );
    assert_eq!(s.git(&["show", "pipeline/T-1:half.txt"]), "half");
    leaves_nothing(&s);
}

/// Somebody who ends the session with tmux has ended the run: it is noticed, and the work is tried again.
#[test]
fn a_session_that_is_ended_with_tmux_is_tried_again() {
    let Some(s) = with_a_session(HEAR) else { return };
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    let session = format!("={}", live_run(&s));
    assert!(tmux(&s, &["kill-session", "-t", &session]).status.success());
    s.tick_until("it is tried again", |_| s.calls("T-1.arch") == 2);
    s.wait_at("T-1.arch.2");
    assert_eq!(s.show("T-1")["runs"][0]["how"]["signaled"]["signal"], 1);
    s.run(["agent", "send", "architect", "a\nb"]).ok();
    s.tick_past("T-1", "arch");
}

/// Two repositories have servers of their own, though the sockets are in one place.
#[test]
fn the_sessions_of_two_repositories_do_not_meet() {
    let Some(one) = with_a_session(HEAR) else { return };
    let mut two = sandbox();
    two.set_env("TMUX_TMPDIR", &one.environment()["TMUX_TMPDIR"].clone());
    two.plan("arch", HEAR);
    two.add("T-1", &[]);
    for s in [&one, &two] {
        s.tick_to("T-1", "arch_wip");
        s.wait_at("T-1.arch.1");
    }
    let sessions = |s: &Sandbox| String::from_utf8(tmux(s, &["list-sessions", "-F", "#S"]).stdout).expect("text");
    assert_eq!(sessions(&one).trim(), live_run(&one));
    assert_eq!(sessions(&two).trim(), live_run(&two));
    one.run(["agent", "stop", "--all"]).ok();
    assert_eq!(sessions(&two).trim(), live_run(&two));
    two.run(["agent", "send", "architect", "a\nb"]).ok();
    two.tick_past("T-1", "arch");
}

/// Where tmux is missing, that is what is said, before and after an agent needs it.
#[test]
fn a_missing_tmux_is_named_with_what_to_do() {
    let mut s = sandbox();
    s.run(["config", "validate"]).ok();
    let bin = s.path("bin");
    std::fs::create_dir(&bin).expect("a folder");
    for program in ["git", "sh"] {
        let found = ["/usr/local/bin", "/usr/bin", "/bin"].map(|dir| std::path::Path::new(dir).join(program));
        let found = found.into_iter().find(|path| path.exists()).expect("a program");
        std::os::unix::fs::symlink(found, bin.join(program)).expect("a link");
    }
    s.set_env("PATH", &bin.to_string_lossy());
    s.run(["doctor"]).code(1).says(&["tmux", "architect is to run in it", "Install tmux 3.2 or newer"]);
    s.add("T-1", &[]);
    let status = s.tick_until("it is blocked", |status| status["tasks"]["T-1"]["status"] == "blocked");
    let reason = status["tasks"]["T-1"]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("tmux is not there") && reason.contains("install tmux"), "{reason}");
}

/// tmux is for sessions, and nothing else is taken for one.
#[test]
fn a_headless_agent_cannot_be_in_tmux() {
    let s = Sandbox::new();
    let config = s.config("", "").replacen("preset = \"custom\"\n", "preset = \"custom\"\nruntime = \"tmux\"\n", 1);
    s.write(".pipeline/config.toml", &config);
    s.run(["init", "--rollout", "production"]).code(78).says(&["this agent is headless", "mode = \"interactive\""]);
}
