//! Looking around: focus, selection, filter, help.

use pipeline_lib::terminal::MouseAction;

use super::fixture::{agent, attention, busy, empty, task};
use super::*;
use crate::dashboard::keys::KEYS;
use crate::dashboard::message::Mouse;
use crate::dashboard::model::{Focus, Overlay};

fn selected(model: &Model) -> String {
    model.card().map(|(_, _, card)| card.id.to_string()).unwrap_or_default()
}

#[test]
fn rows_and_columns() {
    let mut model = model(attention());
    for (script, expected) in [
        ("", "TASK-015"),
        ("j", "TASK-016"),
        ("<down><down><down>", "TASK-017"),
        ("l", "TASK-011"),
        ("h", "TASK-015"),
        ("k", "TASK-015"),
        ("lll", "TASK-013"),
        ("G", "TASK-010"),
        ("l", "TASK-006"),
        ("l", "TASK-006"),
        ("g", "TASK-008"),
        ("<left><left>", "TASK-014"),
    ] {
        assert_eq!(press(&mut model, script), [], "{script}");
        assert_eq!(selected(&model), expected, "{script}");
    }
}

#[test]
fn panels_go_around() {
    let mut model = model(attention());
    for (script, expected) in [
        ("<tab>", Focus::Agents),
        ("<tab>", Focus::Attention),
        ("<tab>", Focus::Board),
        ("<s-tab>", Focus::Attention),
        ("<s-tab>", Focus::Agents),
    ] {
        press(&mut model, script);
        assert_eq!(model.focus, expected);
    }
}

#[test]
fn a_selected_agent_is_asked_for_its_output() {
    let mut model = model(attention());
    let wished = |model: &Model| {
        let [wish] = view::wishes(model).try_into().expect("one pane is to be seen");
        assert!(!wish.resize, "looking on changes nothing");
        wish.agent
    };
    assert_eq!(wished(&model), agent("architect"));
    for (key, name) in [("3", "impl-1"), ("j", "impl-2"), ("9", "impl-2"), ("G", "super"), ("j", "super")] {
        press(&mut model, key);
        assert_eq!((model.focus, wished(&model)), (Focus::Agents, agent(name)), "{key}");
    }
}

#[test]
fn the_next_that_needs_me() {
    let mut model = model(attention());
    let chosen = |model: &Model| model.attention().unwrap().1.task.clone().unwrap();
    press(&mut model, "L");
    assert_eq!((model.focus, chosen(&model)), (Focus::Attention, task("TASK-010")));
    press(&mut model, "L");
    assert_eq!(chosen(&model), task("TASK-011"));
    press(&mut model, "L");
    assert_eq!(chosen(&model), task("TASK-010"));
    press(&mut model, "j<enter>");
    assert_eq!((model.focus, selected(&model)), (Focus::Board, "TASK-011".to_owned()));
}

#[test]
fn where_there_is_no_task_to_go_to_the_command_is_shown() {
    let mut screen = (*attention()).clone();
    screen.attention[0].task = None;
    screen.attention[0].command = "pipeline doctor".to_owned();
    let mut model = model(Arc::new(screen));
    press(&mut model, "L<enter>");
    assert!(lines(&model).iter().any(|line| line.contains("Type: pipeline doctor")));
    press(&mut model, "<esc>");
    assert_eq!(model.overlay, None);
}

#[test]
fn nothing_waits() {
    let mut model = model(empty());
    press(&mut model, "L");
    assert_eq!(model.focus, Focus::Board);
    assert!(lines(&model).last().unwrap().contains("nothing waits for you"));
}

#[test]
fn the_filter_works_while_it_is_typed() {
    let mut model = model(attention());
    press(&mut model, "/cart");
    assert_eq!(selected(&model), "TASK-014");
    press(&mut model, "<enter>");
    assert!(lines(&model)[1].contains("filter: cart"));
    press(&mut model, "<esc>");
    assert_eq!((model.filter.as_str(), selected(&model).as_str()), ("", "TASK-015"));
    press(&mut model, "/nowhere<enter>");
    assert!(lines(&model).iter().any(|line| line.contains("No card matches `nowhere`.")));
    assert_eq!(press(&mut model, "a"), [], "nothing is selected, so nothing is approved");
    press(&mut model, "/<esc>");
    assert_eq!(model.filter, "");
}

#[test]
fn help_shows_every_key_of_the_table() {
    let mut model = model(busy());
    press(&mut model, "?");
    let mut text = lines(&model).join("\n");
    for _ in KEYS {
        press(&mut model, "j");
        text.push_str(&lines(&model).join("\n"));
    }
    for binding in KEYS {
        assert!(text.contains(binding.label), "{}", binding.label);
    }
    press(&mut model, "?");
    assert_eq!(model.overlay, None);
}

#[test]
fn unknown_keys_do_nothing() {
    let mut model = model(attention());
    for script in ["", "<tab>", "<tab>"] {
        press(&mut model, script);
        let before = model.clone();
        assert_eq!(press(&mut model, "yZQ0!<c-x><delete><lt>"), []);
        assert_eq!(model, before);
    }
}

#[test]
fn ways_out() {
    for screen in [empty(), attention()] {
        for before in ["", "?", "m", "r", "nabc", "/x", "L"] {
            let mut model = model(screen.clone());
            press(&mut model, before);
            let was = model.clone();
            assert_eq!(press(&mut model, "<c-c>"), [Intent::Quit]);
            assert_eq!(press(&mut model, "<c-z>"), [Intent::Suspend]);
            assert_eq!(press(&mut model, "<c-l>"), [Intent::Redraw]);
            assert_eq!(model, was);
        }
        assert_eq!(press(&mut model(screen), "q"), [Intent::Quit]);
    }
}

#[test]
fn what_is_selected_stays_selected_wherever_it_moves() {
    let mut model = model(attention());
    press(&mut model, "j");
    let mut screen = (*attention()).clone();
    let moved = screen.columns[0].cards.remove(1);
    screen.columns[2].cards.push(moved);
    update(&mut model, Message::Screen(Arc::new(screen)));
    assert_eq!(selected(&model), "TASK-016");
    assert!(!model.shifted);
}

#[test]
fn what_is_first_without_having_been_chosen_is_not_followed() {
    let mut model = model(attention());
    let mut screen = (*attention()).clone();
    let moved = screen.columns[0].cards.remove(0);
    screen.columns[5].cards.insert(0, moved);
    update(&mut model, Message::Screen(Arc::new(screen)));
    assert_eq!(selected(&model), "TASK-016");
    assert_eq!(press(&mut model, "R"), [], "the card changed under the key");
}

#[test]
fn the_neighbour_of_what_left_is_selected_but_not_simply_obeyed() {
    let mut model = model(attention());
    press(&mut model, "LL");
    let mut screen = (*attention()).clone();
    screen.attention.remove(1);
    screen.attention[0].kind = "approval";
    update(&mut model, Message::Screen(Arc::new(screen)));
    assert_eq!(press(&mut model, "a"), [], "it was meant for the one that left");
    assert!(matches!(model.overlay, Some(Overlay::Confirm(_))));
    press(&mut model, "<esc>");
    assert_eq!(press(&mut model, "a").len(), 1, "a second time it is meant");
}

#[test]
fn the_mouse_chooses_a_panel_and_moves_in_it() {
    let mut model = model(attention());
    let mouse = |model: &mut Model, action, y| update(model, Message::Mouse(Mouse { action, x: 5, y }));
    assert_eq!(mouse(&mut model, MouseAction::Press, 10), []);
    assert_eq!(mouse(&mut model, MouseAction::WheelDown, 10), []);
    assert_eq!((model.focus, model.agent.clone()), (Focus::Agents, Some(agent("tester"))));
    assert_eq!(mouse(&mut model, MouseAction::Press, 15), []);
    assert_eq!(model.focus, Focus::Attention);
    assert_eq!(mouse(&mut model, MouseAction::Press, 23), []);
    assert_eq!(model.focus, Focus::Attention, "the footer is no panel");
}

#[test]
fn what_waits_now_and_did_not_before_is_told_once() {
    let told = |model: &mut Model, screen| {
        let intents = update(model, Message::Screen(screen));
        let words = intents.iter().map(|intent| match intent {
            Intent::Notify(words) => words.clone(),
            other => panic!("{other:?}"),
        });
        words.collect::<Vec<_>>()
    };
    let mut model = model(busy());
    assert_eq!(view::title(&model), "pipeline shop");
    let first = told(&mut model, attention());
    assert!(first.len() == 1 && first[0].starts_with("2 things wait for you; first: "), "{first:?}");
    assert_eq!(view::title(&model), "! 2 pipeline shop");
    assert_eq!(told(&mut model, attention()), [""; 0], "it was told");
    let mut one = (*attention()).clone();
    one.attention.remove(0);
    assert_eq!(told(&mut model, Arc::new(one)), [""; 0], "one less is no news");
    assert_eq!(told(&mut model, attention()).len(), 1, "it waits again");
}
