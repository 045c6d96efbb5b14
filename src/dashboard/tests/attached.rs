//! One agent's terminal over the whole screen: what the keys do, and what the last line says.

use pipeline_lib::terminal::{Cursor, CursorShape, KeyCode as Code, Line, Modes};

use super::*;
use crate::dashboard::tests::{key, line};

fn state(size: (u16, u16)) -> State {
    let inner = inner_size(size);
    let mut frame = Frame::blank(inner);
    for (place, n) in frame.lines.iter_mut().zip(1..6) {
        *place = Arc::new(Line::plain(format!("line {n}")));
    }
    (frame.history, frame.scrolled) = (100, 100);
    frame.title = "✳ Planning".to_owned();
    frame.cursor = Some(Cursor { column: 6, row: 4, shape: CursorShape::Block });
    State {
        agent: AgentName::new("architect").unwrap(),
        task: Some(TaskId::new("TASK-011").unwrap()),
        theme: Theme::default(),
        keys: Keymap::default(),
        read_only: false,
        size,
        frame: Arc::new(frame),
        silent: false,
        mode: Mode::Typing,
        wish: (0, None),
        marked: None,
        news: None,
    }
}

fn drawn(state: &State) -> Vec<String> {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    let mut buffer = Buffer::empty(area);
    state.render(area, &mut buffer);
    (0..area.height).map(|y| line(&buffer, y)).collect()
}

fn press(state: &mut State, name: &str) -> Option<Ask> {
    state.on_key(key(name))
}

fn typed(code: Code, control: bool) -> Option<Ask> {
    let key = pipeline_lib::terminal::Key { code, shift: false, alt: false, control };
    Some(Ask::Input(Input::Key(key)))
}

#[test]
fn every_key_is_the_agents_but_those_that_leave() {
    let mut state = state((80, 24));
    assert_eq!(press(&mut state, "q"), typed(Code::Char('q'), false));
    assert_eq!(press(&mut state, "<c-c>"), typed(Code::Char('c'), true));
    assert_eq!(press(&mut state, "<c-z>"), typed(Code::Char('z'), true));
    assert_eq!(press(&mut state, "<esc>"), typed(Code::Escape, false));
    assert_eq!(press(&mut state, "<c-b>"), None);
    assert_eq!(press(&mut state, "<c-b>"), typed(Code::Char('b'), true));
    assert_eq!(press(&mut state, "<c-b>"), None);
    assert_eq!(press(&mut state, "d"), Some(Ask::Leave));
    assert_eq!(press(&mut state, "<c-q>"), Some(Ask::Leave));
    press(&mut state, "<c-b>");
    assert_eq!(press(&mut state, "t"), None);
    assert!(drawn(&state)[23].contains("t behind the prefix means nothing"));
    let paste = Ask::Input(Input::Paste { text: "a\nb".to_owned(), submit: false });
    assert_eq!(state.on_paste("a\nb".to_owned()), Some(paste));
}

#[test]
fn who_only_looks_types_nothing() {
    let mut state = State { read_only: true, ..state((80, 24)) };
    assert_eq!(press(&mut state, "q"), None);
    assert!(drawn(&state)[23].contains("only looking: nothing is typed"));
    assert_eq!(state.on_paste("rm -rf".to_owned()), None);
    state.frame = Arc::new(Frame { modes: Modes { mouse: true, alternate: true }, ..(*state.frame).clone() });
    assert_eq!(state.on_mouse(Mouse { action: MouseAction::Press, x: 1, y: 1 }), None);
    assert_eq!(state.caret(), None);
    press(&mut state, "<c-b>");
    assert!(drawn(&state)[23].contains("leaves"));
    assert_eq!(press(&mut state, "d"), Some(Ask::Leave));
}

#[test]
fn the_last_line_says_whose_it_is_and_how_to_leave() {
    let mut state = state((80, 24));
    assert_eq!(drawn(&state)[23], " architect  TASK-011  ctrl-q leaves  ctrl-b more  ✳ Planning");
    assert_eq!(drawn(&state)[4], "line 5");
    assert_eq!(state.caret().map(|caret| (caret.x, caret.y)), Some((6, 4)));
    state.silent = true;
    assert!(drawn(&state)[23].starts_with(" architect  ! its host does not answer  TASK-011"));
    for size in [(40, 12), (10, 3), (2, 2), (1, 1), (0, 0), (300, 100)] {
        state.size = size;
        assert_eq!(drawn(&state).len(), usize::from(size.1));
        for name in ["<c-b>", "[", "k", "g"] {
            press(&mut state, name);
            drawn(&state);
        }
    }
}

#[test]
fn what_was_shown_before_can_be_looked_at() {
    let mut state = state((80, 24));
    let looked = |state: &mut State, name: &str| press(state, name).map(|ask| (ask, state.wish));
    press(&mut state, "<c-b>");
    assert_eq!(press(&mut state, "["), None);
    let at = |offset, scrolled| Some((Ask::Look, (offset, Some(scrolled))));
    assert_eq!(looked(&mut state, "k"), at(1, 100));
    assert_eq!(looked(&mut state, "<pageup>"), at(24, 100), "no picture has answered yet");
    state.frame = Arc::new(Frame { offset: 30, scrolled: 106, ..(*state.frame).clone() });
    assert!(drawn(&state)[23].contains("SCROLL -30 of 100"));
    assert_eq!(looked(&mut state, "k"), at(31, 106), "from where it is by now");
    assert_eq!(looked(&mut state, "g"), at(100, 106));
    assert_eq!(looked(&mut state, "q"), at(0, 106));
    assert_eq!(press(&mut state, "q"), typed(Code::Char('q'), false));
    let wheel = |action| Mouse { action, x: 1, y: 1 };
    assert_eq!(state.on_mouse(wheel(MouseAction::WheelUp)), Some(Ask::Look));
    assert_eq!(state.wish, (3, Some(106)));
}

#[test]
fn the_mouse_is_the_agents_if_it_asked_for_it_and_else_marks_text() {
    let mut state = state((80, 24));
    let mouse = |action, x, y| Mouse { action, x, y };
    assert_eq!(state.on_mouse(mouse(MouseAction::Press, 0, 1)), None);
    assert_eq!(state.on_mouse(mouse(MouseAction::Drag, 3, 2)), None);
    assert_eq!(state.on_mouse(mouse(MouseAction::Release, 3, 2)), Some(Ask::Copy("line 2\nline".to_owned())));
    state.frame = Arc::new(Frame { modes: Modes { mouse: true, alternate: true }, ..(*state.frame).clone() });
    let input = Input::Mouse { action: MouseAction::Press, column: 7, row: 22 };
    assert_eq!(state.on_mouse(mouse(MouseAction::Press, 7, 23)), Some(Ask::Input(input)), "the nearest cell");
}
