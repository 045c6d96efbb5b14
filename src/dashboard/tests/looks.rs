//! Frames, with their styles, for each state that means something and at three sizes; and the properties of frames that
//! a picture cannot show.

use jiff::SignedDuration;
use pipeline_lib::decide::Start;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::screen::Monitor;

use super::fixture::{agent, attention, busy, empty, now, task};
use super::*;

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 50), (40, 12)];

fn snapshots(name: &str, screen: impl Fn() -> Arc<Screen>, script: &str) {
    for size in SIZES {
        let mut model = model_at(screen(), size);
        press(&mut model, script);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), dump(&model));
    }
}

#[test]
fn a_card_says_with_whom_its_branch_collides() {
    let mut screen = (*attention()).clone();
    let card =
        screen.columns.iter_mut().flat_map(|column| &mut column.cards).find(|card| card.id.as_str() == "TASK-014");
    card.unwrap().collides = Some("collides with TASK-013".to_owned());
    let model = model_at(Arc::new(screen), (200, 50));
    assert!(dump(&model).contains("tester · collides with TASK-013"), "{}", dump(&model));
}

#[test]
fn nothing_to_do_yet() {
    snapshots("empty", empty, "");
}

#[test]
fn all_agents_at_work() {
    snapshots("busy", busy, "");
}

#[test]
fn two_things_wait_for_a_person() {
    snapshots("attention", attention, "L");
}

#[test]
fn the_agents_have_the_keys() {
    snapshots("agents", attention, "3");
}

#[test]
fn help() {
    snapshots("help", busy, "?");
}

#[test]
fn the_mode_menu_says_who_is_busy() {
    snapshots("mode_menu", busy, "m");
}

#[test]
fn the_mode_menu_says_what_would_start() {
    let planned = |start: (&str, &str)| Start {
        agent: agent(start.0),
        work: Some((task(start.1), pipeline_lib::ids::StageId::new("arch").unwrap())),
    };
    let screen = || {
        let mut screen = (*attention()).clone();
        screen.agents.iter_mut().for_each(|row| row.task = None);
        let mode = screen.mode.with_word("hybrid").unwrap();
        let starts = [("architect", "TASK-015"), ("super", "TASK-009")].map(planned).to_vec();
        screen.detail = Detail::Plan(mode, Arc::new(starts));
        Arc::new(screen)
    };
    snapshots("mode_menu_plan", screen, "m6");
}

#[test]
fn every_command_by_name() {
    snapshots("palette", busy, ":");
    snapshots("palette_typed", busy, ":tas ap<tab>");
}

#[test]
fn the_question_before_an_agent_is_stopped() {
    snapshots("confirm_stop", busy, "3x");
}

#[test]
fn the_question_before_a_bolder_rollout() {
    snapshots("confirm_production", attention, "r3<enter>");
}

#[test]
fn a_title_is_typed() {
    snapshots("new_task", empty, "nCount the boxes<left><left>");
}

#[test]
fn without_colours_and_in_ascii() {
    let mut model = model(attention());
    model.theme = Theme { depth: Depth::Mono, ascii: true, ..Theme::default() };
    let text = dump(&model);
    let (buffer, _) = draw(&model);
    assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
    // Only what the pipeline itself says may go beyond ASCII.
    assert!(!text.contains(['─', '○', '●', '›', '▌', '…', '·']), "{text}");
    insta::assert_snapshot!("ascii_80x24", text);
}

#[test]
fn too_small_a_terminal_gets_a_notice() {
    for size in [(39, 12), (40, 11), (5, 2), (1, 1), (0, 0)] {
        let model = model_at(attention(), size);
        assert_eq!(lines(&model).len(), usize::from(size.1));
    }
    assert_eq!(lines(&model_at(busy(), (30, 4)))[..2], ["pipeline needs 40 x 12", "this is 30 x 4"]);
}

#[test]
fn no_size_breaks_a_frame() {
    for script in ["", "2", "L", "?", "m", "r", "nx", "3x", "/zz<enter>"] {
        for width in (0..140).step_by(13).chain([250]) {
            for height in (0..60).step_by(5) {
                let mut model = model_at(attention(), (width, height));
                press(&mut model, script);
                draw(&model);
            }
        }
    }
}

#[test]
fn the_mode_is_in_every_header_in_words() {
    for size in SIZES {
        let model = model_at(attention(), size);
        assert!(lines(&model)[0].contains("parallel ◐ PILOT"), "{:?}", lines(&model)[0]);
        assert!(lines(&model)[0].contains("! 2"));
    }
}

#[test]
fn the_header_says_who_ticks() {
    for (monitor, said) in [
        (Monitor::Here, "● ticking"),
        (Monitor::Elsewhere(4711), "✓ monitor 4711"),
        (Monitor::Stopped(4711), "✗ stopped: nobody ticks"),
        (Monitor::Nobody, "✗ nobody ticks: pipeline monitor"),
    ] {
        let mut screen = (*busy()).clone();
        screen.monitor = monitor;
        assert!(lines(&model(Arc::new(screen)))[0].ends_with(said));
    }
}

#[test]
fn a_mode_to_come_is_shown() {
    let mut screen = (*busy()).clone();
    screen.pending_mode = screen.mode.with_word("hybrid");
    assert!(lines(&model(Arc::new(screen)))[0].contains("parallel ● PRODUCTION → hybrid"));
}

#[test]
fn a_frame_is_due_each_second_only_while_seconds_are_shown() {
    let mut model = model(busy());
    assert_eq!(draw(&model).1, Some(now() + SignedDuration::from_secs(1)));
    model.now = now() + SignedDuration::from_secs(130);
    let next = draw(&model).1.unwrap();
    assert!(next > model.now + SignedDuration::from_secs(1), "only minutes are shown by then");
    assert!(next <= model.now + SignedDuration::from_secs(60));
    model.now = now() + SignedDuration::from_hours(20);
    assert!(draw(&model).1.unwrap() > model.now + SignedDuration::from_secs(60), "only hours are shown by then");
}

#[test]
fn the_selected_card_is_always_in_sight() {
    for size in SIZES {
        let mut model = model_at(attention(), size);
        for (column, row) in [(0, 2), (1, 0), (3, 2), (5, 4), (0, 0)] {
            model.task = model.card_at(column, row);
            let id = model.task.clone().unwrap();
            let digits = &id.as_str()[5..];
            assert!(
                lines(&model)[2..]
                    .iter()
                    .any(|line| line.contains(&format!(" {digits} ")) || line.contains(id.as_str()))
            );
        }
    }
}

#[test]
fn the_cost_of_a_frame_does_not_grow_with_the_queue() {
    let mut screen = (*busy()).clone();
    screen.columns[0].total = 100_000;
    screen.figures.tasks = 100_014;
    let model = model(Arc::new(screen));
    let text = lines(&model).join("\n");
    assert!(text.contains("new 100000") && text.contains("99997 more"), "{text}");
}

#[test]
fn a_notice_of_the_supervisor_is_shown() {
    let mut screen = (*busy()).clone();
    screen.notice = Some("files are polled, as this disk cannot be watched".to_owned());
    assert!(lines(&model(Arc::new(screen))).iter().any(|line| line.contains("Events ! files are polled")));
}
