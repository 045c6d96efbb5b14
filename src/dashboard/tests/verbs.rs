//! What keys ask for, word for word, and what becomes of the answers.

use jiff::SignedDuration;
use pipeline_commands::live::Answer;
use pipeline_lib::mode::Rollout;
use pipeline_lib::view::AgentStatus;

use super::fixture::{agent, attention, busy, empty, now, task};
use super::*;
use crate::dashboard::model::{Overlay, Page};

/// The only verb that a script asks for, as typed.
fn verb(model: &mut Model, script: &str) -> String {
    let intents = press(model, script);
    let verbs: Vec<String> = intents
        .iter()
        .filter_map(|intent| match intent {
            Intent::Verb(argv) => Some(argv.join(" ")),
            _ => None,
        })
        .collect();
    verbs.join("; ")
}

fn asked(screen: Arc<Screen>, script: &str) -> String {
    verb(&mut model(screen), script)
}

fn answered(model: &mut Model, argv: &str, code: u8, text: &str, hint: Option<&str>) {
    let argv = argv.split(' ').map(str::to_owned).collect();
    let answer = Answer { code, text: text.to_owned(), hint: hint.map(str::to_owned) };
    update(model, Message::Answered { argv, answer });
}

#[test]
fn tasks() {
    for (script, expected) in [
        ("nCount the boxes<enter>", "task add Count the boxes"),
        ("nUrgent<up><up><enter>", "task add --priority 1 Urgent"),
        ("nUrgent<up><up><up><down><enter>", "task add --priority 2 Urgent"),
        ("n--all<enter>", "task add -- --all"),
        ("nab<left>c<home>x<end>y<backspace>z<enter>", "task add xacbz"),
        ("nsome words<c-w>more<enter>", "task add some more"),
        ("n<enter>", ""),
        ("nabc<esc>", ""),
        ("nq?m<enter>", "task add q?m"),
        ("R", "task retry TASK-015"),
        ("la", "task approve TASK-011"),
        ("a", ""),
        ("LLa", "task approve TASK-011"),
        ("1a", "task approve TASK-011"),
        ("LR", "task retry TASK-010"),
        ("lNtoo vague<enter>", "task reject TASK-011 --message=too vague"),
        ("X", ""),
        ("X<enter>", "task cancel TASK-015"),
        ("Xy", "task cancel TASK-015"),
        ("Xn", ""),
        ("Xj<esc>", ""),
    ] {
        assert_eq!(asked(attention(), script), expected, "{script}");
    }
}

#[test]
fn enter_opens_what_is_selected() {
    let mut model = model(attention());
    press(&mut model, "<enter>");
    assert_eq!((model.page, model.target_task()), (Page::Task, Some(task("TASK-015"))));
    press(&mut model, "<esc>2<enter>");
    assert_eq!((model.page, model.target_agent()), (Page::Panes, Some(agent("tester"))));
    press(&mut model, "<esc>");
    assert_eq!(model.page, Page::Overview);
}

#[test]
fn an_open_decision_is_asked_for() {
    let mut screen = (*attention()).clone();
    screen.attention[1].kind = "decision";
    assert_eq!(asked(Arc::new(screen), "lasuccess<enter>"), "task approve TASK-011 --decision=success");
}

#[test]
fn agents() {
    assert_eq!(asked(attention(), "3x"), "");
    assert_eq!(asked(attention(), "3x<enter>"), "agent stop impl-1");
    assert_eq!(asked(attention(), "lllxy"), "agent stop impl-1", "the agent at work on the selected card");
    assert_eq!(asked(attention(), "x"), "", "nobody works on it");
    let mut screen = (*attention()).clone();
    screen.agents[2].status = AgentStatus::Stopped;
    assert_eq!(asked(Arc::new(screen), "3x<enter>"), "agent start impl-1");
}

#[test]
fn modes_of_a_busy_pipeline() {
    for (script, expected) in [
        ("m<enter>", ""),
        ("mj<enter>", "mode hybrid --drain"),
        ("m6f<enter>", "mode hybrid --force"),
        ("m6fd<enter>", "mode hybrid --drain"),
        ("m4<tab><enter>", "mode sequential --force"),
        ("m1<enter>", ""),
        ("m1<enter><enter>", "mode traditional --drain --yes"),
        ("mq", ""),
        ("r1<enter>", "mode shadow"),
        ("r3<enter>", ""),
        ("r3<enter>y", "mode production --yes"),
        ("r3<enter>n", ""),
        ("r4<enter>", "rollout check"),
        ("r2<enter>", ""),
    ] {
        assert_eq!(asked(attention(), script), expected, "{script}");
    }
}

#[test]
fn modes_of_an_idle_pipeline() {
    assert_eq!(asked(empty(), "m6<enter>"), "mode hybrid");
    assert_eq!(asked(empty(), "mkkk<enter><enter>"), "mode pipeline --yes");
    assert_eq!(asked(empty(), "rj<enter><enter>"), "mode pilot --yes");
}

#[test]
fn a_bolder_rollout_names_what_may_be_missing() {
    let mut model = model(attention());
    press(&mut model, "r3<enter>");
    let text = lines(&model).join("\n");
    assert!(text.contains("From pilot to production?"));
    assert!(text.contains("Evidence for this step may be missing"));
    assert!(text.contains("pipeline rollout check"));
}

#[test]
fn stopping_names_what_is_kept() {
    let mut model = model(attention());
    press(&mut model, "3x");
    let text = lines(&model).join("\n");
    assert!(text.contains("Kept: its work is committed to the branch of TASK-013"), "{text}");
}

#[test]
fn a_verb_is_shown_until_it_is_answered_and_good_news_goes_by_itself() {
    let mut model = model(attention());
    verb(&mut model, "R");
    assert!(lines(&model)[23].contains("● pipeline task retry TASK-015"));
    answered(&mut model, "task retry TASK-015", 0, "TASK-015 is arch_ready\n", None);
    assert!(lines(&model)[23].contains("✓ TASK-015 is taken up again; it is arch_ready now"));
    let until = model.toast.as_ref().unwrap().until;
    assert!(draw(&model).1.unwrap() <= until);
    update(&mut model, Message::Tick(now() + SignedDuration::from_secs(3)));
    assert!(model.toast.is_some());
    update(&mut model, Message::Tick(until));
    assert_eq!(model.toast, None);
    assert!(lines(&model)[23].ends_with("? help  q quit"));
}

#[test]
fn an_error_stays_until_it_is_read() {
    let mut model = model(attention());
    answered(&mut model, "task retry TASK-015", 1, "TASK-015 has not run yet", Some("Wait for its first run."));
    let text = lines(&model).join("\n");
    assert!(text.contains("✗ task retry TASK-015") && text.contains("Wait for its first run."));
    press(&mut model, "<enter>");
    assert_eq!(model.overlay, None);
}

#[test]
fn a_long_answer_can_be_scrolled() {
    let mut model = model(attention());
    let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
    answered(&mut model, "explain TASK-015", 0, &text, None);
    assert!(lines(&model).iter().any(|line| line.contains("line 0 ")));
    press(&mut model, "jj<pagedown>");
    assert!(lines(&model).iter().any(|line| line.contains("line 12 ")));
    for _ in 0..30 {
        press(&mut model, "<space>");
    }
    assert!(lines(&model).iter().any(|line| line.contains("line 99 ")));
    press(&mut model, "<home>q");
    assert_eq!(model.overlay, None);
}

#[test]
fn an_answer_does_not_interrupt_typing() {
    let mut model = model(attention());
    press(&mut model, "nCount");
    answered(&mut model, "task retry TASK-015", 1, "it has not run", Some("Wait."));
    assert!(matches!(&model.overlay, Some(Overlay::Input(input)) if input.text() == "Count"));
    assert!(lines(&model)[23].contains("it has not run"));
}

#[test]
fn a_switch_refused_as_agents_are_busy_offers_to_wait() {
    let mut model = model(busy());
    answered(&mut model, "mode shadow", 4, "impl-1 is busy", Some("Use --drain or --force."));
    assert_eq!(verb(&mut model, "<enter>"), "mode shadow --drain");
}

#[test]
fn pasted_text_is_one_safe_line() {
    let mut model = model(attention());
    update(&mut model, Message::Paste("ignored".to_owned()));
    press(&mut model, "n");
    update(&mut model, Message::Paste("two\nlines\u{1b}[31m and \u{202e}more".to_owned()));
    assert_eq!(verb(&mut model, "<enter>"), "task add two lines and more");
}

#[test]
fn a_promotion_is_judged_by_the_mode_of_the_picture() {
    let mut screen = (*busy()).clone();
    screen.mode.rollout = Rollout::Production;
    assert_eq!(asked(Arc::new(screen), "r2<enter>"), "mode pilot", "a more careful one needs no question");
}

#[test]
fn the_palette_performs_what_is_typed_or_chosen() {
    for (script, expected) in [
        (":status<enter>", "status"),
        (":rocheck<enter>", "rollout check"),
        (":task add \"Fix it\" --priority 1<enter>", "task add Fix it --priority 1"),
        (":taskretr<enter><enter>", "task retry TASK-015"),
        (":explain<tab><enter>", "explain TASK-015"),
        (":doctor<esc>", ""),
        (":zzzz<enter>", ""),
        (":task add \"Fix<enter>", ""),
        (":monitor<enter>", ""),
        (":logs -f<enter>", ""),
    ] {
        assert_eq!(asked(attention(), script), expected, "{script}");
    }
    let mut model = model(attention());
    press(&mut model, ":monitor --once<enter>");
    assert!(lines(&model).iter().any(|line| line.contains("Type in a shell: pipeline monitor --once")));
}
