//! Finding text on the page of a task, long lines, and its tabs by mouse.

use pipeline_lib::terminal::MouseAction;

use super::*;
use crate::dashboard::message::Mouse;

#[test]
fn text_is_found_and_marked_in_the_comparison() {
    let mut model = opened(working(), "D/", (80, 24));
    assert!(matches!(model.overlay, Some(Overlay::Input(_))));
    keys(&mut model, "FN<enter>");
    let first = text(&model);
    assert!(first.contains("/FN  1 of "), "{first}");
    assert!(first.contains("n N next, previous"), "{first}");
    assert!(dump(&model).contains("fn"), "it is in sight");
    let of = |model: &Model| model.reading.search.at;
    let (_, count) = of(&model);
    assert!(count > 1);
    keys(&mut model, "n");
    assert_eq!(of(&model), (2, count));
    keys(&mut model, "NN");
    assert_eq!(of(&model), (count, count), "around the end");
    keys(&mut model, "/<enter>");
    assert_eq!(of(&model), (1, count), "no text repeats the last search");
    // The first escape ends the search, the second one leaves the page.
    keys(&mut model, "<esc>");
    assert_eq!((model.page, model.reading.search.needle.as_str()), (Page::Task, ""));
    keys(&mut model, "<esc>");
    assert_eq!(model.page, Page::Overview);
}

#[test]
fn what_is_not_there_is_said_and_n_is_a_new_task_again() {
    for (part, said) in [("D", "nothing here holds zebra"), ("<s-tab>", "nothing here holds zebra")] {
        let mut model = opened(working(), &format!("{part}/zebra<enter>"), (80, 24));
        assert!(text(&model).contains(said), "{}", text(&model));
        keys(&mut model, "n");
        assert!(matches!(model.overlay, Some(Overlay::Input(_))), "a new task");
    }
    let model = opened(working(), "/", (80, 24));
    assert!(text(&model).contains("the diff, the history and the logs can be searched"), "{}", text(&model));
}

#[test]
fn a_row_far_down_comes_into_sight() {
    let mut model = opened(working(), "D", (40, 12));
    let rows = view::found(&model, "");
    let last = *rows.last().expect("rows");
    let extent = view::extent(&model);
    assert!(last > extent.room, "there is more than fits");
    keys(&mut model, "/+<enter>");
    // Whatever is looked for, the row that is found is in sight.
    for needle in ["fn", "src"] {
        keys(&mut model, &format!("<esc>D/{needle}<enter>N"));
        let shown = text(&model).to_lowercase();
        assert!(shown.lines().skip(2).any(|line| line.contains(needle)), "{needle}: {shown}");
    }
}

#[test]
fn long_lines_move_aside_and_back() {
    for part in ["D", "<s-tab><s-tab>"] {
        let mut model = opened(working(), part, (80, 24));
        let before = lines(&model);
        keys(&mut model, ">");
        assert_ne!(lines(&model), before, "{part}");
        keys(&mut model, "<lt>");
        assert_eq!(lines(&model), before, "{part}");
        keys(&mut model, ">>>");
        keys(&mut model, "<tab><s-tab>");
        assert_eq!(model.reading.aside, 0, "another part begins at its beginning");
    }
}

#[test]
fn tabs_are_chosen_by_mouse() {
    let mut model = opened(working(), "", (200, 50));
    let click = |model: &mut Model, word: &str, row: usize| {
        let line = lines(model)[row].clone();
        let at = line.find(word).unwrap_or_else(|| panic!("{word} in {line}"));
        let x = u16::try_from(line[..at].chars().count()).expect("few columns");
        let y = u16::try_from(row).expect("few rows");
        drop(update(model, Message::Mouse(Mouse { action: MouseAction::Press, x, y })));
    };
    for (part, word) in [(Part::Diff, "diff"), (Part::Runs, "runs"), (Part::Logs, "logs"), (Part::About, "about")] {
        click(&mut model, word, 3);
        assert_eq!(model.reading.part, part);
    }
    for page in Page::ALL {
        click(&mut model, page.word(), 1);
        assert_eq!(model.page, page);
    }
}
