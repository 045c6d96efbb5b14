//! Terminals that change their size while agents print: what is shown at the end is what a fresh drawing shows.

use super::screen::Screen;
use super::support::Sandbox;

const SMALL: (u16, u16) = (80, 24);
/// How often the size changes.
const STORM: u16 = 200;

/// The size of the only pane of a small terminal, as `stty` says it.
const PANE: &str = "20 80";

/// Prints lines until it is told to end and its own terminal has the last size.
const PRINTING: &str = "i=0\n: > \"$box/at/$key.$n\"\n\
                        until [ -e \"$box/over\" ] && [ \"$(stty size)\" = '@PANE@' ]; do\n\
                        i=$((i+1)); echo \"line $i of many, longer than a small terminal is wide, so that it goes on $i\"\n\
                        done\necho the end\nhang\n";

/// Draws everything anew and finds what was there before.
#[track_caller]
fn is_as_drawn_anew(screen: &mut Screen, word: &str) {
    let before = screen.cells();
    let clears = screen.count(b"\x1b[2J");
    screen.press("<c-l>");
    screen.pump("it is drawn anew", |screen| screen.count(b"\x1b[2J") > clears && screen.text().contains(word));
    let text = |cells: &[Vec<super::screen::Cell>]| {
        let row = |row: &Vec<super::screen::Cell>| row.iter().map(|cell| cell.text.as_str()).collect::<String>();
        cells.iter().map(row).collect::<Vec<_>>().join("\n")
    };
    let after = screen.cells();
    assert!(before == after, "left over:\n{}\nanew:\n{}", text(&before), text(&after));
}

#[test]
fn a_storm_of_sizes_while_an_agent_prints_leaves_nothing_over() {
    let sandbox = Sandbox::new();
    let session = "preset = \"custom\"\nmode = \"interactive\"\n";
    let config = sandbox.config("", "").replacen("preset = \"custom\"\n", session, 1);
    sandbox.init("production", &config);
    sandbox.plan("arch", &PRINTING.replace("@PANE@", PANE));
    sandbox.add("T-1", &[]);
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    sandbox.wait_at("T-1.arch.1");
    screen.press("p");
    screen.shows(&["architect", "of many"]);
    screen.press("z");
    for round in 0..STORM {
        screen.resize((20 + round * 7 % 180, 3 + round * 5 % 60));
        screen.look();
    }
    screen.resize(SMALL);
    std::fs::write(sandbox.path("over"), "").expect("a file");
    screen.wait("all of it in the last size", |text| {
        let lines: Vec<&str> = text.lines().collect();
        let header = lines.first().is_some_and(|line| line.starts_with(" repo") && line.contains("ticking"));
        header && text.contains("the end") && lines.last().is_some_and(|line| line.contains("quit"))
    });
    is_as_drawn_anew(&mut screen, "the end");
    screen.press("q");
    assert_eq!(screen.code(), 0);
    assert!(!screen.is_taken());
}

/// A terminal forgets what it has no room for. Where it is as large as before by the time that anybody asks, the size tells
/// nothing of that.
#[test]
fn a_terminal_that_shrank_for_a_moment_is_drawn_anew() {
    let sandbox = Sandbox::ready();
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["No tasks yet."]);
    // A page without ages, so that time alone changes nothing.
    screen.press("e");
    let words = ["▌Logs", "Nothing has been logged.", "quit", "ticking"];
    screen.shows(&words);
    for _ in 0..20 {
        let clears = screen.count(b"\x1b[2J");
        screen.resize((30, 5));
        screen.resize(SMALL);
        screen.pump("it is drawn anew", |screen| {
            screen.count(b"\x1b[2J") > clears && words.iter().all(|word| screen.text().contains(word))
        });
        is_as_drawn_anew(&mut screen, words[1]);
    }
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

/// Goes from one page to the other and back so often, each time by what `act` does with the page's key.
fn go_to_and_fro(times: u16, act: impl Fn(&mut Screen, u16, &str)) {
    let sandbox = Sandbox::ready();
    let mut screen = Screen::open(&sandbox, &[], SMALL);
    screen.shows(&["No tasks yet."]);
    for round in 0..times {
        let (key, word) = if round % 2 == 0 { ("e", "▌Logs") } else { ("o", "No tasks yet.") };
        act(&mut screen, round, key);
        screen.shows(&[word]);
    }
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

/// The terminal's input and its signal may be there at once; neither is left for the next one to bring along.
#[test]
fn a_key_pressed_while_the_size_changes_is_heard() {
    go_to_and_fro(200, |screen, round, key| {
        screen.press(key);
        screen.resize((SMALL.0 + 1 + round % 2, SMALL.1));
    });
}

/// Many keys at once, as a paste is where the terminal does not mark it as one, are more than one read takes.
#[test]
fn the_last_of_many_keys_is_heard() {
    go_to_and_fro(20, |screen, _, key| screen.press(&format!("{}{key}", "<down>".repeat(600))));
}
