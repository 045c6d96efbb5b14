//! Everything that others write, full of what steers terminals and deceives readers: none of it reaches a cell, and no
//! byte leaves but those that ratatui and we ourselves write.

use pipeline_commands::live::Answer;
use pipeline_lib::terminal::{Attributes, Cursor, CursorShape, Frame, Line, Modes, MouseAction, Size, Span};
use pipeline_lib::text;
use pipeline_lib::view::pane::{Pane, Source};

use super::fixture::attention;
use super::*;
use crate::dashboard::message::Mouse;
use crate::dashboard::terminal;

pub(super) const EVIL: &str = "a\u{1b}[2Jb\u{1b}]52;c;aGk=\u{7}c\u{1b}]0;title\u{1b}\\d\u{9b}31me\u{90}q\u{9c}f\u{202e}g\u{2066}h\u{200b}i\
    \u{feff}j\tk\r\nl\u{8}m\u{7f}n\u{0}o\u{e0041}p\u{ad}q\u{85}r\u{2028}s";

fn hostile() -> Arc<Screen> {
    let mut screen = (*attention()).clone();
    let evil = || EVIL.to_owned();
    screen.project = evil();
    screen.base = evil();
    screen.notice = Some(evil());
    for column in &mut screen.columns {
        column.title = evil();
        for card in &mut column.cards {
            card.title = evil();
            card.status = evil();
            card.reason = Some(evil());
            card.collides = Some(evil());
        }
    }
    for agent in &mut screen.agents {
        agent.line = evil();
        agent.stage = Some(evil());
        agent.role = evil();
    }
    for item in &mut screen.attention {
        item.summary = evil();
        item.command = evil();
    }
    for event in &mut screen.events {
        event.text = evil();
    }
    Arc::new(screen)
}

pub(super) fn check(model: &Model) {
    let (buffer, _) = draw(model);
    for cell in buffer.content() {
        for c in cell.symbol().chars() {
            assert!(!c.is_control() && !text::is_hidden(c), "{c:?} is in a cell");
        }
    }
    let bytes = terminal::frame(&Buffer::empty(buffer.area), &buffer, true).unwrap();
    check_bytes(std::str::from_utf8(&bytes).unwrap());
}

/// Reads a frame as a terminal would: text, the position of the cursor, colours and attributes, clearing, and the begin
/// and end of the update.
fn check_bytes(bytes: &str) {
    let inner = bytes.strip_prefix("\u{1b}[?2026h").and_then(|rest| rest.strip_suffix("\u{1b}[?2026l")).unwrap();
    let mut parts = inner.split('\u{1b}');
    assert_eq!(parts.next(), Some(""));
    for part in parts {
        let sequence = part.strip_prefix('[').unwrap_or_else(|| panic!("{part:?} is no control sequence"));
        let end = sequence.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap();
        let (arguments, rest) = sequence.split_at(end);
        assert!(rest.starts_with(['m', 'H']) || (rest.starts_with('J') && arguments == "2"), "{part:?}");
        assert!(!rest.chars().any(|c| c.is_control() || text::is_hidden(c)), "{part:?}");
    }
}

#[test]
fn nothing_hostile_reaches_a_cell_or_the_terminal() {
    for size in [(80, 24), (200, 50), (40, 12), (30, 5)] {
        for script in ["", "2", "L", "LL<enter>", "?", "m", "r", "/a<enter>", "3x", "X"] {
            let mut model = model_at(hostile(), size);
            press(&mut model, script);
            check(&model);
        }
    }
}

#[test]
fn nothing_hostile_comes_with_an_answer_or_what_is_pasted() {
    for code in [0, 1, 3, 4] {
        for argv in ["mode", EVIL] {
            let mut model = model(hostile());
            let answer = Answer { code, text: format!("{EVIL}\n{EVIL}"), hint: Some(EVIL.to_owned()) };
            update(&mut model, Message::Answered { argv: vec![argv.to_owned()], answer });
            check(&model);
        }
    }
    for script in ["n", "/"] {
        let mut model = model(hostile());
        press(&mut model, script);
        update(&mut model, Message::Paste(EVIL.to_owned()));
        check(&model);
        press(&mut model, "<enter>");
        check(&model);
    }
}

/// A picture that no host of ours makes.
fn hostile_frame(size: Size, rows: usize) -> Frame {
    let style = pipeline_lib::terminal::Style { attributes: Attributes(u16::MAX), ..Default::default() };
    let span = |text: &str| Span { text: text.to_owned(), style };
    let line = |n: usize| match n % 4 {
        0 => vec![span(EVIL), span("漢字"), span("\u{301}\u{301}"), span(EVIL)],
        1 => vec![span(&"x\u{301}".repeat(2_000))],
        2 => vec![span(""), span("\u{1b}[31m"), span("\u{fe0f}\u{200d}")],
        _ => Vec::new(),
    };
    let cursor = Cursor { column: u16::MAX, row: u16::MAX, shape: CursorShape::Beam };
    Frame {
        size,
        lines: (0..rows).map(|n| Arc::new(Line { spans: line(n) })).collect(),
        cursor: Some(cursor),
        offset: usize::MAX,
        history: usize::MAX - 1,
        scrolled: u64::MAX,
        title: EVIL.to_owned(),
        modes: Modes { alternate: false, mouse: true },
    }
}

#[test]
fn nothing_hostile_comes_with_the_picture_of_a_terminal() {
    let huge = Size { columns: u16::MAX, rows: u16::MAX };
    for (size, rows) in [(huge, 3), (Size { columns: 0, rows: 0 }, 0), (Size { columns: 3, rows: 2 }, 2_000)] {
        for source in [Source::Terminal, Source::Log, Source::Nothing] {
            let pane =
                Pane { run: None, source, frame: Arc::new(hostile_frame(size, rows)), note: Some(EVIL.to_owned()) };
            for script in ["", "z", "i", "<c-b>[kkv<c-u>gGjy", "/x<enter>nN", "<space>"] {
                let mut model = model(hostile());
                press(&mut model, "p");
                let panes = model.screen.agents.iter().map(|row| (row.name.clone(), pane.clone())).collect();
                update(&mut model, Message::Panes(Arc::new(panes)));
                press(&mut model, script);
                check(&model);
                for (action, x, y) in [
                    (MouseAction::WheelUp, 5, 5),
                    (MouseAction::Press, 5, 5),
                    (MouseAction::Drag, 70, 20),
                    (MouseAction::Release, 70, 20),
                ] {
                    update(&mut model, Message::Mouse(Mouse { action, x, y }));
                    check(&model);
                }
                assert!(view::caret(&model).is_none(), "it is nowhere in the terminal");
            }
        }
    }
}

#[test]
fn a_frame_without_a_change_writes_nothing() {
    let (buffer, _) = draw(&model(attention()));
    assert!(terminal::frame(&buffer, &buffer, false).unwrap().is_empty());
}

#[test]
fn lines_of_any_length_cost_what_can_be_seen_of_them() {
    let mut screen = (*attention()).clone();
    for agent in &mut screen.agents {
        agent.line = "x\u{301}".repeat(1_000_000);
    }
    check(&model(Arc::new(screen)));
}
