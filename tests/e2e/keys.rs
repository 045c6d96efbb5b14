//! Every key of the key table, pressed by a person at a terminal where it holds, with what it is seen to do: on the screen
//! or in the state. A key that has no line here fails, and so does a line whose key is gone.

use std::collections::BTreeSet;
use std::time::Instant;

use super::screen::Screen;
use super::support::{DEADLINE, Sandbox, program, word};

/// Where the keys are said.
const TABLE: &str = include_str!("../../src/dashboard/keys.rs");
/// Wide enough for all panels.
const SIZE: (u16, u16) = (120, 34);
/// What the title line of a pane says where several are shown.
const GRID: &str = "3 ○ implementation ─";

/// Prints and commits more than fits on a page.
const BUSY: &str = "i=0; while [ $i -lt 90 ]; do echo \"printed $i\"; echo \"line $i\" >> many.txt; i=$((i+1)); done\n\
                    printf '%0300d\\n' 7 > long.txt\ncommit many\nhang\nwork\nmarker COMPLETED\n";

/// What a key is seen to do.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// These words come.
    Shows(&'static [&'static str]),
    /// This goes.
    Gone(&'static str),
    /// This is what is chosen.
    Chosen(&'static str),
    /// The task has this status.
    Task(&'static str, &'static str),
    /// This agent has the task.
    Worker(&'static str, &'static str),
    /// The agent has this status.
    Agent(&'static str, &'static str),
    /// The whole screen is written anew.
    Redrawn,
    /// The shell has the terminal again.
    Left,
}

use Seen::{Agent, Chosen, Gone, Left, Redrawn, Shows, Task, Worker};

impl Seen {
    fn holds(self, sandbox: &Sandbox, screen: &Screen, written: usize) -> bool {
        let text = || screen.text();
        match self {
            Shows(words) => words.iter().all(|word| text().contains(word)),
            Gone(word) => !text().contains(word),
            Chosen(word) => screen.chosen().contains(word),
            Task(id, status) => sandbox.status_of(id) == status,
            Worker(id, agent) => sandbox.status()["agents"][agent]["current_task"] == id,
            Agent(name, status) => sandbox.status()["agents"][name]["status"] == status,
            Redrawn => screen.raw()[written..].windows(4).any(|bytes| bytes == b"\x1b[2J"),
            Left => !screen.is_taken(),
        }
    }
}

/// A key, the action that the table gives it, and what is seen of it. Keys without an action are those of what was opened.
#[derive(Debug, Clone, Copy)]
struct Press {
    keys: &'static str,
    action: &'static str,
    seen: Seen,
}

const fn press(keys: &'static str, action: &'static str, seen: Seen) -> Press {
    Press { keys, action, seen }
}

/// On the overview, then from page to page.
#[rustfmt::skip]
const LOOKING: &[Press] = &[
    press("j", "Down", Chosen("T-6 the task")),
    press("k", "Up", Chosen("T-5 the task")),
    press("<down>", "Down", Chosen("T-6 the task")),
    press("<up>", "Up", Chosen("T-5 the task")),
    press("l", "Right", Chosen("T-1 the task")),
    press("h", "Left", Chosen("T-5 the task")),
    press("<right>", "Right", Chosen("T-1 the task")),
    press("<left>", "Left", Chosen("T-5 the task")),
    press("G", "Last", Chosen("T-6 the task")),
    press("g", "First", Chosen("T-5 the task")),
    press("<end>", "Last", Chosen("T-6 the task")),
    press("<home>", "First", Chosen("T-5 the task")),
    press("<tab>", "NextPanel", Chosen("1 ● architect")),
    press("<s-tab>", "PreviousPanel", Chosen("T-5 the task")),
    press("9", "Agent", Chosen("9 ○ ninth")),
    press("8", "Agent", Chosen("8 ○ eighth")),
    press("7", "Agent", Chosen("7 ○ seventh")),
    press("6", "Agent", Chosen("6 ○ sixth")),
    press("5", "Agent", Chosen("5 ○ second")),
    press("4", "Agent", Chosen("4 ○ supervisor")),
    press("3", "Agent", Chosen("3 ○ implementation")),
    press("2", "Agent", Chosen("2 ○ test")),
    press("1", "Agent", Chosen("1 ● architect")),
    press("<enter>", "Open", Shows(&["▌1 ● architect"])),
    press("<esc>", "Close", Shows(&["▌Agents"])),
    press("L", "NextAttention", Chosen("blocked  T-2")),
    press("<enter>", "Open", Chosen("T-2 the task")),
    press("<enter>", "Open", Shows(&["▌T-2 [about]"])),
    press("<esc>", "Close", Chosen("T-2 the task")),
    press("/", "Filter", Shows(&["Filter the board"])),
    press("T-1<enter>", "", Chosen("T-1 the task")),
    press("v", "Go(Page::Task)", Shows(&["▌T-1 [about]"])),
    press("D", "Diff", Shows(&["[diff 2]", "file 1 of 2"])),
    press("<space>", "PageDown", Shows(&["file 2 of 2"])),
    press("<c-u>", "PageUp", Shows(&["file 1 of 2"])),
    press("<pagedown>", "PageDown", Shows(&["file 2 of 2"])),
    press("<pageup>", "PageUp", Shows(&["file 1 of 2"])),
    press("<c-d>", "PageDown", Shows(&["file 2 of 2"])),
    press("g", "First", Shows(&["file 1 of 2", "line 0"])),
    press(">", "LinesRight", Gone("line 0")),
    press("<lt>", "LinesLeft", Shows(&["line 0"])),
    press("o", "Go(Page::Overview)", Shows(&["▌Board", "filter: T-1"])),
    press("<esc>", "Close", Gone("filter: T-1")),
    press("p", "Go(Page::Panes)", Shows(&[GRID])),
    press("]", "NextPage", Shows(&["[about]"])),
    press("[", "PreviousPage", Shows(&[GRID])),
    press("w", "Go(Page::Graph)", Shows(&["▌Graph"])),
    press("<enter>", "Open", Shows(&["[about]"])),
    press("t", "Go(Page::Timeline)", Shows(&["▌Timeline"])),
    press("s", "Go(Page::Schedules)", Shows(&["▌Schedules"])),
    press("M", "Go(Page::Metrics)", Shows(&["▌Metrics"])),
    press("e", "Go(Page::Logs)", Shows(&["▌Logs"])),
    press("?", "Help", Shows(&["Look around"])),
    press("<esc>", "", Gone("Look around")),
    press(":", "Palette", Shows(&["╭─ Commands"])),
    press("<esc>", "", Gone("╭─ Commands")),
    press("<c-p>", "Palette", Shows(&["╭─ Commands"])),
    press("<esc>", "", Gone("╭─ Commands")),
    press("m", "ModeMenu", Shows(&["╭─ Mode", "drain"])),
    press("<esc>", "", Gone("╭─ Mode")),
    press("r", "RolloutMenu", Shows(&["╭─ Rollout", "shadow"])),
    press("<esc>", "", Gone("╭─ Rollout")),
];

/// At the agents' terminals.
#[rustfmt::skip]
const PANES: &[Press] = &[
    press("p", "Go(Page::Panes)", Shows(&[GRID])),
    press("z", "Zoom", Gone(GRID)),
    press("i", "Type", Shows(&["TYPING INTO architect"])),
    press("hello", "", Shows(&["hello"])),
    press("<c-q>", "", Gone("TYPING INTO")),
    press("<c-u>", "Scroll", Shows(&["SCROLL"])),
    press("<esc>", "", Gone("SCROLL")),
    press("<pageup>", "Scroll", Shows(&["SCROLL"])),
    press("<esc>", "", Gone("SCROLL")),
    press("<c-b>", "Prefix", Chosen("ctrl-b")),
    press("z", "", Shows(&[GRID])),
    press("<space>", "Layout", Shows(&["layout: columns"])),
    press("<esc>", "Close", Shows(&["▌Board"])),
];

/// What is done to a task or an agent that was chosen first.
struct Deed {
    /// A task, or the number of an agent.
    on: &'static str,
    presses: &'static [Press],
}

/// What changes something, in an order in which each finds what it needs.
#[rustfmt::skip]
const DEEDS: &[Deed] = &[
    Deed { on: "T-1", presses: &[
        press("A", "Reassign", Shows(&["Hand T-1 to"])),
        press("<enter>", "", Shows(&["from architect and give it to second?"])),
        press("y", "", Worker("T-1", "second")),
    ] },
    Deed { on: "T-2", presses: &[press("R", "Retry", Task("T-2", "arch_wip"))] },
    Deed { on: "T-3", presses: &[
        press("N", "Reject", Shows(&["Reject T-3"])),
        press("name it better<enter>", "", Task("T-3", "arch_ready")),
    ] },
    Deed { on: "T-4", presses: &[press("a", "Approve", Task("T-4", "test_wip"))] },
    Deed { on: "T-5", presses: &[
        press("B", "Block", Shows(&["Block T-5"])),
        press("no key yet<enter>", "", Task("T-5", "blocked")),
    ] },
    Deed { on: "T-2", presses: &[
        press("x", "Stop", Shows(&["Stop architect?"])),
        press("<enter>", "", Agent("architect", "stopped")),
    ] },
    Deed { on: "1", presses: &[
        press("x", "Stop", Shows(&["Start architect again?"])),
        press("y", "", Agent("architect", "working")),
    ] },
    Deed { on: "T-6", presses: &[
        press("X", "Cancel", Shows(&["Cancel T-6?"])),
        press("n", "", Gone("Cancel T-6?")),
        press("X", "Cancel", Shows(&["Cancel T-6?"])),
        press("<enter>", "", Task("T-6", "cancelled")),
    ] },
    Deed { on: "1", presses: &[
        press("n", "NewTask", Shows(&["New task"])),
        press("Write a parser<enter>", "", Task("TASK-001", "unassigned")),
    ] },
];

/// Between the dashboard and the shell that it was started from.
#[rustfmt::skip]
const PROGRAM: &[Press] = &[
    press("<c-l>", "Redraw", Redrawn),
    press("<c-z>", "Suspend", Left),
    press("fg<enter>", "", Shows(&["Board"])),
    press("q", "Quit", Left),
    press("\"$P\"<enter>", "", Shows(&["Board"])),
    press("<c-c>", "Quit", Left),
];

/// Nine agents, of whom the first works in a terminal and the fifth has its role too; tasks at work, held and waiting.
fn team() -> Sandbox {
    let sandbox = Sandbox::new();
    let more = [("second", "architect"), ("sixth", "test"), ("seventh", "test"), ("eighth", "test"), ("ninth", "test")];
    let more: String = more.map(|(name, role)| sandbox.agent_block(name, role)).concat();
    let session = "preset = \"custom\"\nmode = \"interactive\"\n";
    let config = sandbox.config("", "").replacen("preset = \"custom\"\n", session, 1) + &more;
    sandbox.init("production", &config);
    sandbox.plan("default", "hang; work; marker COMPLETED");
    sandbox.plan("T-1.arch.1", BUSY);
    sandbox.plan("T-2.arch.1", "marker BLOCKED which key");
    sandbox.plan("T-3.arch.1", "work; marker NEEDS_REVIEW which way");
    sandbox.plan("T-4.arch.1", "work; marker NEEDS_REVIEW which door");
    sandbox.add("T-1", &[]);
    sandbox.tick_to("T-1", "arch_wip");
    for id in ["T-2", "T-3", "T-4"] {
        sandbox.add(id, &[]);
    }
    let waits = [("T-2", "blocked"), ("T-3", "awaiting_approval"), ("T-4", "awaiting_approval")];
    sandbox.tick_until("they wait", |status| waits.iter().all(|(id, wished)| word(status, id) == *wished));
    for id in ["T-5", "T-6"] {
        sandbox.add(id, &["--after", "T-1"]);
    }
    sandbox.wait_at("T-1.arch.1");
    sandbox
}

/// Presses a key and waits for what is seen of it, which was not to be seen before.
#[track_caller]
fn do_press(sandbox: &Sandbox, screen: &mut Screen, press: &Press) {
    let written = screen.raw().len();
    let before = press.seen.holds(sandbox, screen, written);
    assert!(!before, "{press:?} would be seen without the key\n{}", screen.text());
    screen.press(press.keys);
    let what = format!("{press:?}");
    match press.seen {
        Task(..) | Worker(..) | Agent(..) => {
            let began = Instant::now();
            while !press.seen.holds(sandbox, screen, written) {
                assert!(began.elapsed() < DEADLINE, "never: {what}\n{}\n{}", screen.text(), sandbox.status());
                screen.look();
            }
        }
        seen => screen.pump(&what, |screen| seen.holds(sandbox, screen, written)),
    }
}

/// Chooses a task on the board, or an agent by its number.
fn choose(screen: &mut Screen, on: &str) {
    screen.press("1");
    screen.pump("the agents have the keys", |screen| screen.text().contains("▌Agents"));
    if on.starts_with("T-") {
        screen.press("<s-tab>");
        screen.shows(&["▌Board"]);
        screen.press(&format!("/{on}<enter>"));
        screen.pump(on, |screen| screen.chosen().contains(on) && !screen.text().contains("Filter the board"));
    }
}

#[test]
fn every_key_of_the_table_is_pressed_here() {
    let rows = TABLE.lines().filter_map(|line| line.trim_start().strip_prefix("row("));
    let rows: Vec<(&str, &str)> = rows.filter_map(|row| row.split_once("], (A::")).collect();
    assert!(rows.len() > 40, "the key table is read no more: {rows:?}");
    let mut known = BTreeSet::new();
    for (head, tail) in rows {
        let keys = head.rsplit_once("&[").expect("keys").1.split(", ").map(|key| key.trim_matches('"'));
        let action = tail.split_once(", G::").expect("an action").0;
        known.extend(keys.map(|key| (key, action)));
    }
    let deeds = DEEDS.iter().flat_map(|deed| deed.presses);
    let pressed = LOOKING.iter().chain(PANES).chain(PROGRAM).chain(deeds);
    let pressed: BTreeSet<_> = pressed.filter(|p| !p.action.is_empty()).map(|p| (p.keys, p.action)).collect();
    let missing: Vec<_> = known.difference(&pressed).collect();
    assert!(missing.is_empty(), "no test presses these: {missing:?}");
    let stale: Vec<_> = pressed.difference(&known).collect();
    assert!(stale.is_empty(), "the key table does not have these: {stale:?}");
}

#[test]
fn keys_that_look_around_do_so() {
    let sandbox = team();
    let mut screen = Screen::open(&sandbox, &[], SIZE);
    screen.pump("the board", |screen| screen.chosen().contains("T-5 the task"));
    for press in LOOKING.iter().chain(PANES) {
        do_press(&sandbox, &mut screen, press);
    }
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

#[test]
fn keys_that_change_something_change_it() {
    let sandbox = team();
    let mut screen = Screen::open(&sandbox, &[], SIZE);
    screen.pump("the board", |screen| screen.chosen().contains("T-5 the task"));
    for deed in DEEDS {
        choose(&mut screen, deed.on);
        for press in deed.presses {
            do_press(&sandbox, &mut screen, press);
        }
        screen.press("<esc>");
        screen.wait("the filter is cleared", |text| !text.contains("filter:"));
    }
    // What was said reaches the agent and the state.
    assert_eq!(sandbox.task("T-5")["reason"], "no key yet");
    sandbox.wait_at("T-2.arch.3");
    sandbox.release("T-2.arch.3");
    sandbox.wait_at("T-3.arch.2");
    assert!(sandbox.seen("T-3.arch.2", "md").contains("name it better"));
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

#[test]
fn keys_of_the_program_give_the_terminal_back_and_take_it_again() {
    let sandbox = Sandbox::ready();
    let mut screen = Screen::run(&sandbox, &["/bin/bash", "--norc", "--noprofile", "-i"], SIZE);
    screen.send(format!("bind 'set enable-bracketed-paste off'; P='{}'\n\"$P\"\n", program().display()).as_bytes());
    screen.shows(&["Board"]);
    for press in PROGRAM {
        do_press(&sandbox, &mut screen, press);
    }
    screen.send(b"exit\n");
    screen.end();
    assert!(!screen.is_taken());
    assert_eq!(screen.count(b"\x1b[>1u"), 3, "it takes the terminal thrice");
}

/// Forced, a switch stops what runs and keeps its work; drained, it waits for it.
#[test]
fn modes_are_switched_by_force_and_by_drain() {
    let sandbox = Sandbox::ready();
    sandbox.plan("T-1.arch", "work; hang; marker COMPLETED");
    sandbox.plan("default", "hang");
    sandbox.add("T-1", &[]);
    let mut screen = Screen::open(&sandbox, &[], (80, 24));
    sandbox.wait_at("T-1.arch.1");
    screen.shows(&["T-1", "working"]);
    screen.press("m4f");
    screen.shows(&["Mode", "● f"]);
    screen.press("<enter>");
    screen.wait("the switch", |text| text.starts_with(" repo") && text.contains("sequential ●"));
    assert_eq!(sandbox.status()["orchestration_mode"], "sequential");
    // The stage is tried again, on top of what was there.
    sandbox.wait_at("T-1.arch.2");
    let task = sandbox.show("T-1");
    assert_eq!(task["runs"][0]["how"]["stopped"]["reason"], "mode_switch", "{task}");
    assert_eq!(task["attempt"], 1, "no attempt is counted");
    screen.shows(&["working"]);
    screen.press("m5d<enter>");
    screen.shows(&["→ parallel"]);
    assert_eq!(sandbox.status()["orchestration_mode"], "sequential");
    sandbox.release("T-1.arch.2");
    screen.wait("the switch", |text| text.starts_with(" repo") && text.contains("parallel ●"));
    assert_eq!(sandbox.calls("T-1.arch"), 2);
    screen.press("q");
    assert_eq!(screen.code(), 0);
}
