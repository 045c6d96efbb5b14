//! The dashboard as a person has it: in a terminal, beside other monitors, killed half-way.

use rustix::process::Signal;

use super::screen::Screen;
use super::support::{Sandbox, attention, is_alive};

/// The size most terminals begin with.
const SMALL: (u16, u16) = (80, 24);
/// A large one.
const LARGE: (u16, u16) = (160, 45);

/// A pipeline with a task whose agent hangs until it is released.
fn with_a_hanging_agent() -> Sandbox {
    let sandbox = Sandbox::ready();
    sandbox.plan("T-1.arch.1", "hang; work; marker COMPLETED");
    sandbox.add("T-1", &[]);
    sandbox
}

#[test]
fn every_page_and_overlay_opens_with_its_key_and_closes_again() {
    let sandbox = with_a_hanging_agent();
    let mut screen = Screen::open(&sandbox, &[], LARGE);
    screen.shows(&["Board", "Agents", "Attention", "Events", "T-1"]);
    sandbox.wait_at("T-1.arch.1");
    for (key, words) in [
        ("p", &["architect"][..]),
        ("v", &["T-1"]),
        ("w", &["Graph"]),
        ("t", &["Timeline"]),
        ("s", &["Schedules", "Nothing starts by itself."]),
        ("M", &["Metrics"]),
        ("e", &["Logs"]),
        ("o", &["Board", "Events"]),
        ("?", &["Keys", "Look around"]),
        ("<esc>", &["Board"]),
        (":", &["Commands", "rollout check"]),
        ("<esc>", &["Board"]),
        ("m", &["Mode", "traditional", "drain"]),
        ("<esc>", &["Board"]),
        ("r", &["Rollout", "shadow", "production"]),
        ("<esc>", &["Board"]),
        ("n", &["New task"]),
        ("<esc>", &["Board"]),
        ("X", &["Cancel T-1?", "Kept:"]),
        ("<esc>", &["Board"]),
        ("]", &["architect"]),
        ("[", &["Board", "Events"]),
    ] {
        screen.press(key);
        screen.shows(words);
        // Escape and the next key at once would be alt and that key.
        let over = ["Look around", "rollout check", "traditional", "New task", "Cancel T-1?", "bolder mode"];
        let closes = *key == *"<esc>";
        screen.wait("the overlay closes", |text| !closes || !over.iter().any(|words| text.contains(words)));
    }
    screen.press("q");
    assert_eq!(screen.code(), 0);
    assert!(!screen.is_taken());
    sandbox.release("T-1.arch.1");
}

#[test]
fn a_task_is_added_and_the_mode_switched_by_keys() {
    let sandbox = Sandbox::ready();
    sandbox.plan("default", "hang; work; marker COMPLETED");
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["No tasks yet."]);
    screen.press("nWrite a parser<enter>");
    screen.shows(&["Write"]);
    sandbox.wait_at("TASK-001.arch.1");
    // Busy: the switch waits for the drain that the menu offers.
    screen.press("m4<enter>");
    screen.shows(&["→ sequential"]);
    assert_eq!(sandbox.status()["orchestration_mode"], "parallel");
    sandbox.release("TASK-001.arch.1");
    screen.wait("the switch", |text| text.starts_with(" repo") && text.contains("sequential ●"));
    assert_eq!(sandbox.status()["orchestration_mode"], "sequential");
    screen.press("r1<enter>");
    screen.shows(&["SHADOW"]);
    screen.press(":rollout check<enter>");
    screen.shows(&["rollout check"]);
    screen.press("<c-c>");
    assert_eq!(screen.code(), 0);
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back_and_the_agents_go_on() {
    for signal in [None, Some(Signal::TERM), Some(Signal::HUP), Some(Signal::INT), Some(Signal::QUIT)] {
        let sandbox = with_a_hanging_agent();
        let mut screen = Screen::open(&sandbox, &[], SMALL);
        sandbox.wait_at("T-1.arch.1");
        screen.shows(&["T-1", "working"]);
        assert!(screen.is_taken());
        match signal {
            None => screen.press("<c-c>"),
            Some(signal) => screen.signal(signal),
        }
        assert_eq!(screen.code(), 0, "{signal:?}");
        assert!(!screen.is_taken(), "{signal:?}");
        let hosts = sandbox.processes();
        assert!(!hosts.is_empty() && hosts.iter().all(|pid| is_alive(*pid)), "{signal:?}");
        sandbox.release("T-1.arch.1");
        sandbox.tick_past("T-1", "arch");
    }
}

#[test]
fn killed_half_way_nothing_is_lost() {
    let sandbox = with_a_hanging_agent();
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    sandbox.wait_at("T-1.arch.1");
    screen.shows(&["working"]);
    screen.signal(Signal::KILL);
    screen.end();
    sandbox.release("T-1.arch.1");
    sandbox.tick_to("T-1", "completed");
    assert_eq!(sandbox.calls("T-1.arch"), 1);
}

#[test]
fn two_dashboards_agree_and_the_second_takes_over() {
    let sandbox = with_a_hanging_agent();
    let mut first = Screen::open(&sandbox, &[], SMALL);
    sandbox.wait_at("T-1.arch.1");
    first.shows(&["● ticking", "working"]);
    let mut second = Screen::open(&sandbox, &[], SMALL);
    second.shows(&["✓ monitor", "working"]);
    second.press("nFrom the second<enter>");
    first.shows(&["From"]);
    first.press("q");
    first.end();
    second.shows(&["● ticking"]);
    sandbox.release("T-1.arch.1");
    second.wait("the work of the task goes on", |text| text.contains("T-1 test") || text.contains("T-1 impl"));
    second.press("q");
    assert_eq!(second.code(), 0);
}

#[test]
fn it_goes_to_the_shell_and_comes_back() {
    let sandbox = with_a_hanging_agent();
    let mut screen = Screen::run(&sandbox, &["/bin/bash", "--norc", "--noprofile", "-i"], SMALL);
    screen.send(b"bind 'set enable-bracketed-paste off'; PS1='ready> '\n");
    screen.shows(&["ready>"]);
    let program = super::support::program();
    screen.send(format!("{}\n", program.display()).as_bytes());
    screen.shows(&["Board", "T-1"]);
    screen.press("<c-z>");
    screen.pump("the shell again", |screen| !screen.is_taken() && screen.text().contains("Stopped"));
    screen.send(b"fg\n");
    screen.shows(&["Board", "T-1"]);
    screen.press("q");
    screen.pump("the shell again", |screen| !screen.is_taken());
    screen.send(b"exit\n");
    screen.end();
    sandbox.wait_at("T-1.arch.1");
    sandbox.release("T-1.arch.1");
}

#[test]
fn a_dashboard_that_goes_to_the_shell_leaves_the_ticking_to_the_other_one() {
    let sandbox = with_a_hanging_agent();
    let mut shell = Screen::run(&sandbox, &["/bin/bash", "--norc", "--noprofile", "-i"], SMALL);
    shell.send(b"bind 'set enable-bracketed-paste off'; PS1='ready> '\n");
    shell.shows(&["ready>"]);
    shell.send(format!("{}\n", super::support::program().display()).as_bytes());
    shell.shows(&["● ticking", "working"]);
    sandbox.wait_at("T-1.arch.1");
    let mut second = Screen::open(&sandbox, &[], SMALL);
    second.shows(&["✓ monitor", "working"]);
    shell.press("<c-z>");
    shell.pump("the shell again", |screen| !screen.is_taken() && screen.text().contains("Stopped"));
    second.shows(&["● ticking"]);
    sandbox.release("T-1.arch.1");
    second.wait("the work of the task goes on", |text| text.contains("T-1 test") || text.contains("T-1 impl"));
    // Back again, the first one looks on; and a stop of one that only looks on takes nothing from anybody.
    shell.send(b"fg\n");
    shell.shows(&["✓ monitor"]);
    shell.press("<c-z>");
    shell.pump("the shell again", |screen| !screen.is_taken());
    second.press("q");
    assert_eq!(second.code(), 0);
    shell.send(b"fg\n");
    shell.shows(&["● ticking"]);
    shell.press("q");
    shell.pump("the shell again", |screen| !screen.is_taken());
    shell.send(b"exit\n");
    shell.end();
}

#[test]
fn a_monitor_that_was_stopped_from_outside_is_not_taken_for_one_that_ticks() {
    let sandbox = with_a_hanging_agent();
    let mut first = Screen::open(&sandbox, &[], SMALL);
    sandbox.wait_at("T-1.arch.1");
    first.shows(&["● ticking"]);
    first.signal(Signal::STOP);
    let mut second = Screen::open(&sandbox, &[], SMALL);
    second.shows(&["✗ stopped: nobody ticks"]);
    first.signal(Signal::CONT);
    second.shows(&["✓ monitor"]);
    first.press("q");
    first.end();
    second.shows(&["● ticking"]);
    second.press("q");
    assert_eq!(second.code(), 0);
    sandbox.release("T-1.arch.1");
}

#[test]
fn a_storm_of_sizes_ends_in_the_right_picture() {
    let sandbox = with_a_hanging_agent();
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["Board"]);
    for round in 0..40u16 {
        screen.resize((20 + round * 7 % 180, 3 + round * 5 % 60));
    }
    screen.resize((30, 5));
    screen.shows(&["pipeline needs 40 x 12", "this is 30 x 5"]);
    screen.resize((40, 12));
    screen.shows(&["Board", "T-1"]);
    screen.resize(LARGE);
    screen.shows(&["o overview", "Board", "Attention", "Events"]);
    screen.press("q");
    assert_eq!(screen.code(), 0);
    sandbox.wait_at("T-1.arch.1");
    sandbox.release("T-1.arch.1");
}

#[test]
fn what_waits_rings_and_is_in_the_title() {
    let sandbox = Sandbox::ready();
    sandbox.plan("T-1.arch.1", "hang; marker BLOCKED which database");
    sandbox.add("T-1", &[]);
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["T-1", "working"]);
    assert_eq!((screen.title().as_str(), screen.bells()), ("pipeline repo", 0));
    sandbox.wait_at("T-1.arch.1");
    sandbox.release("T-1.arch.1");
    screen.pump("the bell", |screen| screen.bells() == 1);
    screen.pump("the title", |screen| screen.title() == "! 1 pipeline repo");
    screen.shows(&["which database"]);
    assert_eq!(attention(&sandbox.status()).len(), 1);
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

#[test]
fn where_there_is_no_pipeline_it_says_how_to_begin() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["There is no pipeline in", "init", "demo", "Doctor", "pipeline init"]);
    // What only a pipeline could have is not asked for yet.
    assert!(!screen.text().contains("agent add"), "{}", screen.text());
    screen.press("i");
    screen.shows(&["How should it start?", "1 shadow", "3 production"]);
    assert!(!sandbox.repo().join(".pipeline").exists(), "asking creates nothing");
    screen.press("<esc>");
    screen.shows(&["demo   watch"]);
    screen.press("q");
    assert_eq!(screen.code(), 0);
    assert!(!screen.is_taken());
    assert!(!sandbox.repo().join(".pipeline").exists(), "looking creates nothing");
    let mut screen = Screen::open(&sandbox, &[], (40, 12));
    screen.shows(&["init", "leave", "Doctor"]);
    screen.press("i2<enter>");
    screen.shows(&["PILOT", "No tasks yet."]);
    screen.press("q");
    assert_eq!(screen.code(), 0);
    assert_eq!(sandbox.status()["mode"], "pilot");
}

#[test]
fn a_terminal_that_can_only_print_gets_the_status() {
    let sandbox = Sandbox::ready();
    let program = super::support::program().to_string_lossy().into_owned();
    let argv = ["/usr/bin/env", "TERM=dumb", &program];
    let mut screen = Screen::run(&sandbox, &argv, SMALL);
    assert_eq!(screen.code(), 0);
    assert!(screen.text().contains("parallel"), "{}", screen.text());
    assert!(!screen.raw().contains(&b'\x1b'), "{:?}", String::from_utf8_lossy(screen.raw()));
}

#[test]
fn no_key_of_the_settings_is_taken_that_cannot_hold() {
    let sandbox = Sandbox::new();
    let config = sandbox.config("", "") + "[ui]\nkeys = { quit = \"Q\" }\n";
    sandbox.init("production", &config);
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["No tasks yet.", "Q quit"]);
    screen.press("Q");
    assert_eq!(screen.code(), 0);
    sandbox.write(".pipeline/config.toml", &config.replace("quit", "qiut"));
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    assert_eq!(screen.code(), 78);
    assert!(screen.text().contains("Did you mean `quit`?"), "{}", screen.text());
}
