//! What has to be in sight: the mode and the way out at every size, what is under way, and what a question is about.

use jiff::SignedDuration;
use pipeline_commands::live::Answer;
use pipeline_lib::decide::Start;
use pipeline_lib::mode::{Orchestration, Rollout};
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::screen::{Monitor, Tone};

use super::fixture::{agent, ago, attention, busy, empty, now, task};
use super::*;
use crate::dashboard::model::{Overlay, Page};
use crate::dashboard::update::toast;

fn answered(model: &mut Model, argv: &str, code: u8, text: &str) {
    let argv = argv.split(' ').map(str::to_owned).collect();
    update(model, Message::Answered { argv, answer: Answer { code, text: text.to_owned(), hint: None } });
}

fn footer(model: &Model) -> String {
    lines(model).pop().unwrap_or_default()
}

/// The pictures with something changed.
fn with(screen: Arc<Screen>, change: impl FnOnce(&mut Screen)) -> Arc<Screen> {
    let mut screen = (*screen).clone();
    change(&mut screen);
    Arc::new(screen)
}

fn pending() -> Arc<Screen> {
    with(attention(), |screen| {
        screen.project = "shop-front-and-back".to_owned();
        screen.mode.rollout = Rollout::Production;
        screen.pending_mode = Some(screen.mode.with_word("sequential").unwrap());
    })
}

#[test]
fn at_forty_columns_what_waits_and_a_switch_to_come_leave_the_mode_whole() {
    insta::assert_snapshot!("pending_40x12", dump(&model_at(pending(), (40, 12))));
    for orchestration in [Orchestration::Sequential, Orchestration::Parallel, Orchestration::Hybrid] {
        for rollout in [Rollout::Shadow, Rollout::Pilot, Rollout::Production] {
            for monitor in [Monitor::Here, Monitor::Elsewhere(1_234_567), Monitor::Nobody, Monitor::Stopped(1)] {
                for columns in (40..=96).step_by(8) {
                    let screen = with(pending(), |screen| {
                        screen.mode.rollout = rollout;
                        screen.pending_mode = screen
                            .mode
                            .with_word("shadow")
                            .map(|mode| pipeline_lib::mode::Mode { orchestration, ..mode });
                        screen.monitor = monitor;
                    });
                    let line = lines(&model_at(screen, (columns, 12))).remove(0);
                    assert!(line.contains(&rollout.word().to_uppercase()), "{columns}: {line}");
                    assert!(line.contains("! 2"), "{columns}: {line}");
                    assert!(rollout == Rollout::Shadow || line.contains("SHADOW"), "{columns}: {line}");
                }
            }
        }
    }
}

#[test]
fn rows_and_columns_are_used_each_for_itself() {
    for size in [(40, 30), (60, 40), (120, 14), (200, 18)] {
        let model = model_at(attention(), size);
        let text = lines(&model).join("\n");
        for panel in ["Board", "Agents", "Attention"] {
            assert!(text.contains(panel), "{panel} at {size:?}\n{text}");
        }
        insta::assert_snapshot!(format!("shape_{}x{}", size.0, size.1), dump(&model));
    }
}

#[test]
fn the_footer_offers_what_can_be_done() {
    let at = |script: &str| {
        let mut model = model_at(attention(), (120, 24));
        press(&mut model, script);
        footer(&model)
    };
    assert!(at("").contains("p panes") && at("").contains(": commands"), "{}", at(""));
    for word in ["a approve", "N reject", "R retry"] {
        assert!(!at("").contains(word), "{word}: nothing of the kind is due: {}", at(""));
    }
    assert!(at("l").contains("a approve  N reject"), "{}", at("l"));
    assert!(at("lllG").contains("R retry"), "{}", at("lllG"));
    assert!(at("lv").contains("N reject") && at("lv").contains("D diff"), "{}", at("lv"));
}

#[test]
fn the_help_begins_where_the_person_is() {
    for (script, first) in [("?", "Tasks and agents"), ("p?", "Panes"), ("w?", "Look around")] {
        let mut model = model(busy());
        press(&mut model, script);
        let text = lines(&model);
        let at = text.iter().position(|line| line.contains("╭")).unwrap() + 1;
        assert!(text[at].contains(first), "{script}: {}", text[at]);
        assert!(text.iter().any(|line| line.contains("Pages")), "{script}");
    }
}

#[test]
fn nobody_is_asked_for_words_that_are_then_refused() {
    let mut model = model(attention());
    assert_eq!(press(&mut model, "N"), []);
    assert_eq!(model.overlay, None);
    assert!(footer(&model).contains("TASK-015 does not wait for approval"), "{}", footer(&model));
}

#[test]
fn a_stop_that_is_under_way_is_in_sight_and_not_asked_for_again() {
    let screen = with(busy(), |screen| screen.agents[2].stopping = Some(ago(-7)));
    let mut model = model(screen);
    let row = lines(&model).into_iter().find(|line| line.contains("3 ● impl-1")).unwrap();
    assert!(row.contains("stopping 7s"), "{row}");
    assert!(draw(&model).1.unwrap() <= now() + SignedDuration::from_secs(1), "it counts");
    assert_eq!(press(&mut model, "3x"), []);
    assert_eq!(model.overlay, None);
    assert!(footer(&model).contains("impl-1 is being stopped"));
    let mut small = model_at(with(busy(), |screen| screen.agents[2].stopping = Some(ago(-7))), (40, 12));
    press(&mut small, "3");
    assert!(lines(&small).iter().any(|line| line.contains("stopping")));
}

#[test]
fn a_question_goes_with_what_it_was_about() {
    for (script, change) in [
        ("3x", (|screen: &mut Screen| screen.agents[2].status = AgentStatus::Stopped) as fn(&mut Screen)),
        ("3x", |screen| screen.agents[2].task = Some(task("TASK-015"))),
        ("3x", |screen| screen.agents[2].stopping = Some(now())),
        ("lllX", |screen| screen.columns[3].cards[0].role = None),
        ("r3<enter>", |screen| screen.mode.rollout = Rollout::Production),
    ] {
        let mut model = model(attention());
        press(&mut model, script);
        assert!(matches!(model.overlay, Some(Overlay::Confirm(_))), "{script}");
        update(&mut model, Message::Screen(with(attention(), |screen| screen.figures.completed += 1)));
        assert!(matches!(model.overlay, Some(Overlay::Confirm(_))), "{script}: nothing has changed about it");
        update(&mut model, Message::Screen(with(attention(), change)));
        assert_eq!(model.overlay, None, "{script}");
        assert!(footer(&model).contains("meanwhile; nothing was done"), "{}", footer(&model));
        assert_eq!(press(&mut model, "y"), [], "{script}");
    }
}

#[test]
fn what_is_said_leaves_the_way_out_in_sight() {
    let long = "something that was said at great length, ".repeat(5);
    for (script, out) in [("", "? help  q quit"), ("v", "? help  q quit"), ("nabc", "esc leave")] {
        let mut model = model(attention());
        press(&mut model, script);
        toast(&mut model, long.clone(), Tone::Good);
        let line = footer(&model);
        assert!(line.contains("something that was said") && line.ends_with(out), "{script}: {line}");
    }
}

#[test]
fn what_was_said_elsewhere_is_gone_on_the_next_page() {
    let mut model = model(attention());
    toast(&mut model, "tester: said before".to_owned(), Tone::Attention);
    press(&mut model, "j");
    assert!(model.toast.is_some(), "a row further is still here");
    press(&mut model, "p");
    assert_eq!(model.toast, None);
    press(&mut model, "z");
    toast(&mut model, "tester: said before".to_owned(), Tone::Attention);
    press(&mut model, "<c-b>");
    assert_eq!(model.toast, None, "the keys mean something else now");
}

#[test]
fn a_switch_to_come_is_what_is_said_of_it() {
    let mut model = model(busy());
    let text = "parallel · production\nswitching to sequential · production once these are done: architect\n";
    answered(&mut model, "mode sequential --drain", 0, text);
    let line = footer(&model);
    assert!(line.contains("○ switching to sequential · production once") && !line.contains('✓'), "{line}");
}

#[test]
fn the_question_of_a_refused_switch_offers_both_ways() {
    let mut model = model(busy());
    answered(&mut model, "mode shadow", 4, "impl-1 is busy");
    assert!(lines(&model).iter().any(|line| line.contains("f force: stop them now")), "{:?}", lines(&model));
    let intents = press(&mut model, "f");
    assert!(matches!(&intents[..], [Intent::Verb(argv)] if argv.join(" ") == "mode shadow --force"), "{intents:?}");
}

#[test]
fn the_mode_menu_of_a_small_screen_says_who_is_busy_and_what_would_start() {
    let screen = with(attention(), |screen| {
        let starts = [("architect", "TASK-015"), ("super", "TASK-009")].map(|(name, id)| Start {
            agent: agent(name),
            work: Some((task(id), pipeline_lib::ids::StageId::new("arch").unwrap())),
        });
        screen.detail = Detail::Plan(screen.mode.with_word("hybrid").unwrap(), Arc::new(starts.to_vec()));
    });
    let mut model = model_at(screen, (40, 12));
    press(&mut model, "m6");
    let text = lines(&model).join("\n");
    for words in ["6 hybrid", "d drain", "f force", "busy: architect", "would start now", "architect: TASK-015"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    insta::assert_snapshot!("mode_menu_plan_small", dump(&model));
}

#[test]
fn the_prefix_leads_to_the_panes_from_every_page() {
    for page in ["", "v", "w", "t", "M", "e"] {
        let mut model = model(attention());
        press(&mut model, page);
        let before = model.page;
        press(&mut model, "<c-b>");
        assert!(footer(&model).contains("ctrl-b"), "{page}: {}", footer(&model));
        press(&mut model, "q");
        assert_eq!(model.page, before, "a key that means nothing behind it does nothing: {page}");
        press(&mut model, "<c-b><esc><c-b>z");
        assert_eq!((model.page, model.panes.zoomed), (Page::Panes, true), "{page}");
        press(&mut model, "<c-b>d");
        assert_eq!(model.page, Page::Overview, "{page}");
    }
}

#[test]
fn on_every_panel_a_verb_is_about_its_row() {
    for (script, question) in [
        ("3X", "Cancel TASK-013?"),
        ("LX", "Cancel TASK-010?"),
        ("LLX", "Cancel TASK-011?"),
        ("3A", "Hand TASK-013 to"),
        ("LA", "Hand TASK-010 to"),
        ("5X", "super has no task now"),
    ] {
        let mut model = model(attention());
        press(&mut model, script);
        assert!(lines(&model).join("\n").contains(question), "{script}: {:?}", lines(&model));
    }
}

#[test]
fn names_keep_their_ends() {
    let screen = with(attention(), |screen| {
        for (at, row) in screen.agents.iter_mut().enumerate() {
            row.name = agent(&format!("implementation-of-the-backend-{at}"));
        }
    });
    for size in [(40, 12), (80, 24), (200, 50)] {
        for script in ["2", "p", "pz"] {
            let mut model = model_at(screen.clone(), size);
            press(&mut model, script);
            let text = lines(&model).join("\n");
            for at in if script == "2" { 0..2 } else { 0..1 } {
                assert!(text.contains(&format!("-{at}")), "{script} at {size:?}\n{text}");
            }
        }
    }
}

#[test]
fn a_filtered_column_says_how_many_of_how_many() {
    let mut model = model_at(attention(), (40, 12));
    press(&mut model, "/o<enter>");
    let text = lines(&model).join("\n");
    assert!(text.contains(" of "), "{text}");
    let headings = &lines(&model)[2];
    assert!(!headings.contains('…'), "{headings}");
}

#[test]
fn who_has_nothing_to_do_has_nothing_to_say_and_what_is_done_is_not_urgent() {
    let text = lines(&model_at(empty(), (200, 50))).join("\n");
    assert!(!text.contains("no live run"), "{text}");
    let screen = with(attention(), |screen| screen.columns[5].cards[0].priority = 1);
    let text = lines(&model_at(screen, (200, 50))).join("\n");
    assert_eq!(text.matches("priority 1").count(), 1, "only of the one that is not done: {text}");
}
