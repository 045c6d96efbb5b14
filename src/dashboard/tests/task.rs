//! The page of one task: what each part of it shows for each state that means something, at three sizes, and its keys.

mod fixture;
mod search;

use pipeline_lib::view::detail::Look;
use pipeline_lib::view::detail::task::{Changes, Part, TaskLook};
use pipeline_lib::view::screen::Tone;

use self::fixture::*;
use super::fixture::{agent, attention, empty, task};
use super::*;
use crate::dashboard::highlight;
use crate::dashboard::model::{Overlay, Page};

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 50), (40, 12)];

/// Answers what is asked for about colours, until nothing more is.
fn settle(model: &mut Model, intents: Vec<Intent>) -> Vec<Intent> {
    let mut rest = Vec::new();
    let mut waiting = intents;
    while let Some(intent) = waiting.pop() {
        match intent {
            Intent::Highlight(ask) => waiting.extend(update(model, Message::Highlighted(highlight::read(&ask)))),
            other => rest.push(other),
        }
    }
    rest
}

/// The page of a task after some keys.
fn opened(detail: TaskDetail, script: &str, size: (u16, u16)) -> Model {
    let id = detail.id.clone();
    let mut model = model_at(screen_of(detail), size);
    model.task = Some(id);
    let intents = press(&mut model, &format!("v{script}"));
    settle(&mut model, intents);
    model
}

fn keys(model: &mut Model, script: &str) -> Vec<Intent> {
    let intents = press(model, script);
    settle(model, intents)
}

fn snapshots(name: &str, detail: impl Fn() -> TaskDetail, script: &str) {
    for size in SIZES {
        let model = opened(detail(), script, size);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), dump(&model));
    }
}

fn text(model: &Model) -> String {
    lines(model).join("\n")
}

#[test]
fn a_task_that_waits() {
    snapshots("about_waiting", waiting, "");
}

#[test]
fn a_task_at_work() {
    snapshots("about_working", working, "");
}

#[test]
fn a_task_that_waits_for_approval() {
    snapshots("about_approval", approval, "");
}

#[test]
fn a_completed_task() {
    snapshots("about_completed", completed, "");
}

#[test]
fn its_way_through_its_workflow() {
    snapshots("flow_working", working, "l");
    snapshots("flow_released", released, "l");
}

#[test]
fn its_way_is_drawn_where_only_ascii_is_shown() {
    let mut model = opened(released(), "l", (80, 24));
    model.theme.ascii = true;
    let shown = text(&model);
    assert!(shown.is_ascii(), "{shown}");
    assert!(shown.contains("-> review  x2") && shown.contains("ship -> ship"), "{shown}");
}

#[test]
fn its_way_can_be_scrolled_to_the_first_decision() {
    let mut model = opened(released(), "l", (40, 12));
    assert!(!text(&model).contains("built in 41s"));
    press(&mut model, "G");
    assert!(text(&model).contains("built in 41s"), "{}", text(&model));
    press(&mut model, "g");
    assert!(text(&model).contains("release"), "{}", text(&model));
    let model = opened(released(), "l", (80, 24));
    assert!(text(&model).contains("Look at it"), "it begins where the task is: {}", text(&model));
}

#[test]
fn what_it_changes() {
    snapshots("diff", working, "D");
}

#[test]
fn what_it_changes_further_down() {
    snapshots("diff_second_file", working, "Dl");
}

#[test]
fn what_agents_did() {
    snapshots("runs", working, "<tab><tab><tab>");
}

#[test]
fn what_gates_found() {
    snapshots("checks", completed, "<tab><tab><tab><tab>");
}

#[test]
fn what_happened() {
    snapshots("history", working, "<s-tab><s-tab>");
}

#[test]
fn what_a_run_printed() {
    snapshots("logs", working, "<s-tab>");
}

#[test]
fn where_there_is_nothing_yet_it_says_what_is_so() {
    snapshots("diff_nothing", waiting, "D");
    for (part, said) in [
        ("D", "Nothing to compare yet: no work on pipeline/TASK-016"),
        ("lll", "No run yet: no agent has taken TASK-016."),
        ("llll", "No check yet: no gate has run on the work of TASK-016."),
        ("lllll", "Reading the journal"),
        ("llllll", "No output yet: no agent has taken TASK-016."),
    ] {
        let shown = text(&opened(waiting(), part, (80, 24)));
        assert!(shown.contains(said), "{part}: {shown}");
    }
    for (changes, said) in [
        (Changes::Underway, "Comparing pipeline/TASK-013 with main"),
        (Changes::NothingMerged, "Nothing was merged: main had everything already."),
        (Changes::Failed("failed to read commit 12".to_owned()), "failed to read commit 12"),
        (known(diff_of(Vec::new())), "Nothing has changed on pipeline/TASK-013 yet."),
    ] {
        let shown = text(&opened(TaskDetail { changes, ..working() }, "D", (80, 24)));
        assert!(shown.contains(said), "{shown}");
    }
    let mut model = model(empty());
    press(&mut model, "v");
    assert!(text(&model).contains("No task is selected."));
}

#[test]
fn until_it_has_come_the_page_says_so_and_what_is_gone_is_said() {
    let mut model = model(attention());
    press(&mut model, "v");
    assert!(text(&model).contains("Gathering"));
    let mut screen = (*attention()).clone();
    screen.detail = pipeline_lib::view::detail::Detail::NoTask(task("TASK-015"));
    update(&mut model, Message::Screen(Arc::new(screen)));
    assert!(text(&model).contains("pipeline events --task TASK-015"));
}

#[test]
fn without_colours_and_in_ascii_it_says_the_same() {
    for (name, detail, script) in [
        ("ascii_about", working(), ""),
        ("ascii_diff", working(), "D"),
        ("ascii_checks", completed(), "<tab><tab><tab>"),
    ] {
        let id = detail.id.clone();
        let mut model = model(screen_of(detail));
        model.theme = Theme { depth: Depth::Mono, ascii: true, ..Theme::default() };
        model.task = Some(id);
        assert_eq!(press(&mut model, &format!("v{script}")), [], "no colours are asked for");
        let shown = dump(&model);
        assert!(!shown.contains(['─', '○', '●', '›', '▌', '…', '·', '→', '×', '⋯']), "{shown}");
        let (buffer, _) = draw(&model);
        assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn no_size_and_no_key_breaks_the_page() {
    for script in ["", "D", "DG", "Dlll", "DG<tab>", "D<tab><tab>", "<s-tab>", "<s-tab><s-tab>k", "A", "B"] {
        for width in (0..160).step_by(13).chain([250]) {
            for height in (0..60).step_by(7) {
                for detail in [working(), waiting(), completed()] {
                    let mut model = model_at(screen_of(detail), (width, height));
                    press(&mut model, &format!("v{script}"));
                    draw(&model);
                }
            }
        }
    }
}

#[test]
fn parts_are_turned_and_stay() {
    let mut model = opened(working(), "", (80, 24));
    for (script, expected) in [
        ("<tab>", Part::Flow),
        ("<tab>", Part::Diff),
        ("<tab>", Part::Runs),
        ("<s-tab><s-tab><s-tab>", Part::About),
        ("<s-tab>", Part::Logs),
        ("l", Part::Logs),
        ("h", Part::History),
        ("hh", Part::Runs),
        ("D", Part::Diff),
        ("<esc>v", Part::About),
        ("<enter>", Part::Diff),
    ] {
        keys(&mut model, script);
        assert_eq!(model.reading.part, expected, "{script}");
    }
}

#[test]
fn the_diff_is_one_key_away_from_everywhere() {
    for script in ["D", "3D", "L<enter>D", "wD", "MD", "vD", "vllD"] {
        let mut model = model(attention());
        press(&mut model, script);
        assert_eq!((model.page, model.reading.part), (Page::Task, Part::Diff), "{script}");
    }
    let mut model = model(attention());
    press(&mut model, "3D");
    assert_eq!(model.target_task(), Some(task("TASK-013")), "that of the agent");
}

#[test]
fn what_is_looked_at_is_told_with_its_part_and_the_chosen_run() {
    let mut model = opened(working(), "", (80, 24));
    let look = |part, run: Option<&str>| {
        let run = run.map(|id| pipeline_lib::ids::RunId::new(id).unwrap());
        Look::Task(TaskLook { task: task("TASK-013"), part, run })
    };
    assert_eq!(model.look(), look(Part::About, None));
    keys(&mut model, "<s-tab>");
    assert_eq!(model.look(), look(Part::Logs, None));
    keys(&mut model, "hhhg<enter>");
    assert_eq!(model.look(), look(Part::Logs, Some("run-1")));
}

#[test]
fn rows_of_a_long_part_are_scrolled() {
    let mut model = opened(working(), "", (40, 12));
    let first = |model: &Model| lines(model)[2].clone();
    let before = first(&model);
    keys(&mut model, "jj");
    assert_ne!(first(&model), before);
    keys(&mut model, "G");
    let end = text(&model);
    keys(&mut model, "j<space>");
    assert_eq!(text(&model), end, "the end is the end");
    keys(&mut model, "g");
    assert_eq!(first(&model), before);
    keys(&mut model, "<space>");
    let down = first(&model);
    keys(&mut model, "<pageup>");
    assert_eq!((first(&model), down != before), (before, true));
}

#[test]
fn history_and_output_stay_at_their_end_until_one_looks_back() {
    for script in ["<s-tab><s-tab>", "<s-tab>"] {
        let mut model = opened(working(), script, (40, 12));
        let last = |model: &Model| lines(model)[10].clone();
        let end = last(&model);
        let grown = || {
            let mut detail = working();
            grow(&mut detail);
            Message::Screen(screen_of(detail))
        };
        update(&mut model, grown());
        assert_ne!(last(&model), end, "{script}: it goes with what is new");
        let mut model = opened(working(), &format!("{script}k"), (40, 12));
        let before = lines(&model)[3..11].to_vec();
        update(&mut model, grown());
        assert_eq!(lines(&model)[3..11], before, "{script}: it stays");
    }
}

#[test]
fn files_of_a_diff_are_gone_through() {
    let mut model = opened(working(), "D", (40, 12));
    let at = |model: &Model| model.reading.place.path.clone();
    for (script, expected) in [
        ("l", "src/orders/mod.rs"),
        ("l", "assets/logo.png"),
        ("h", "src/orders/mod.rs"),
        ("jjh", "src/orders/mod.rs"),
        ("h", "src/orders/migrate.rs"),
        ("<enter><enter>", "assets/logo.png"),
        ("ll", "docs/old notes.md"),
        ("<enter>", "src/orders/migrate.rs"),
    ] {
        keys(&mut model, script);
        assert_eq!(at(&model), expected, "{script}");
        assert_eq!(model.reading.part, Part::Diff);
    }
    for (script, part, file) in [
        ("h", Part::Flow, "src/orders/migrate.rs"),
        ("llllll", Part::Runs, "docs/old notes.md"),
        ("h", Part::Diff, "docs/old notes.md"),
    ] {
        keys(&mut model, script);
        assert_eq!((model.reading.part, at(&model).as_str()), (part, file), "beyond the files are the parts beside");
    }
    let mut model = opened(waiting(), "Dl", (80, 24));
    assert_eq!(model.reading.part, Part::Runs, "where there are no files, it goes to the part beside");
    keys(&mut model, "h");
    assert_eq!(model.reading.part, Part::Diff);
}

#[test]
fn a_new_comparison_leaves_one_where_one_was() {
    let mut model = opened(working(), "Dljj", (80, 24));
    let place = model.reading.place.clone();
    let mut detail = working();
    let Changes::Known { diff, .. } = &detail.changes else { panic!() };
    let mut files = diff.files.clone();
    files.insert(0, added("a/new.rs", &["fn first() {}"]));
    detail.changes = known(diff_of(files));
    update(&mut model, Message::Screen(screen_of(detail)));
    assert!(text(&model).contains("file 3 of 6"), "{}", text(&model));
    assert_eq!(model.reading.place, place, "found again by its name");
}

#[test]
fn only_code_in_sight_is_coloured_one_piece_at_a_time() {
    let many: Vec<String> = (0..4_000).map(|n| format!("let x{n} = {n};")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let detail = TaskDetail { changes: known(diff_of(vec![added("src/big.rs", &many)])), ..working() };
    let mut model = model_at(screen_of(detail), (80, 24));
    model.task = Some(task("TASK-013"));
    let asked = |intents: &[Intent]| -> Vec<usize> {
        let chunk = |intent: &Intent| match intent {
            Intent::Highlight(ask) => Some(ask.chunk.nth),
            _ => None,
        };
        intents.iter().filter_map(chunk).collect()
    };
    let intents = press(&mut model, "vD");
    assert_eq!(asked(&intents), [0]);
    assert_eq!(asked(&press(&mut model, "Gkkgjj")), [0; 0], "one is under way");
    press(&mut model, "G");
    let Some(Intent::Highlight(ask)) = intents.into_iter().next() else { panic!() };
    let next = update(&mut model, Message::Highlighted(highlight::read(&ask)));
    assert_eq!(asked(&next), [39], "what was scrolled past is not asked for");
    settle(&mut model, next);
    assert_eq!(press(&mut model, "k"), []);
    let now = model.now;
    assert_eq!(update(&mut model, Message::Tick(now)), []);
}

#[test]
fn a_long_diff_costs_what_is_in_sight() {
    let many = vec!["let x = 1;"; 5_000];
    let files = (0..200).map(|n| added(&format!("src/file{n:03}.rs"), &many)).collect();
    let mut model = opened(TaskDetail { changes: known(diff_of(files)), ..working() }, "D", (80, 24));
    for script in ["G", "g", "<space>", "l", "l", "G", "k"] {
        keys(&mut model, script);
        assert!(text(&model).contains("200 files"), "{script}");
    }
    assert!(model.reading.place.path.ends_with("199.rs"));
}

#[test]
fn what_is_left_out_is_said() {
    let mut file = added("src/big.rs", &["fn a() {}"]);
    (file.added, file.left_out) = (9_000, 8_999);
    let mut diff = diff_of(vec![file]);
    diff.files_total = 4_312;
    let model = opened(TaskDetail { changes: known(diff), ..working() }, "D", (80, 24));
    let shown = text(&model);
    assert!(shown.contains("4312 files") && shown.contains("8999 more changed lines are left out"), "{shown}");
    assert!(shown.contains("+9000"), "the counts are those of the whole file");
}

#[test]
fn a_run_is_chosen_and_its_output_opened() {
    let mut model = opened(working(), "<tab><tab><tab>", (80, 24));
    assert!(text(&model).contains("run-4"), "the latest is chosen first");
    keys(&mut model, "k");
    assert!(text(&model).contains("2 tests fail on the new schema"), "its last words: {}", text(&model));
    keys(&mut model, "<enter>");
    assert_eq!((model.reading.part, text(&model).contains("run-3")), (Part::Logs, true));
}

#[test]
fn a_check_is_chosen_and_its_output_opened() {
    let mut model = opened(completed(), "<tab><tab><tab><tab>", (80, 24));
    let shown = text(&model);
    assert!(shown.contains("Verified: `cargo test` passed on 7777777777, which is what was merged."), "{shown}");
    assert!(shown.contains("log hash 9f86d081"), "{shown}");
    keys(&mut model, "kk");
    assert!(text(&model).contains("exited with code 101"), "{}", text(&model));
    keys(&mut model, "<enter>");
    assert_eq!(model.reading.part, Part::Logs);
    assert!(text(&model).contains("gate-1"));
    let unverified = TaskDetail { runs: Vec::new(), ..completed() };
    assert!(
        text(&opened(unverified, "<s-tab><s-tab><s-tab>", (80, 24))).contains("Merged as 7777777777 without a gate")
    );
}

/// The only verb that keys ask for.
fn verb(model: &mut Model, script: &str) -> String {
    let verbs: Vec<String> = keys(model, script)
        .into_iter()
        .filter_map(|intent| match intent {
            Intent::Verb(argv) => Some(argv.join(" ")),
            _ => None,
        })
        .collect();
    verbs.join("; ")
}

#[test]
fn verbs_are_about_the_task_that_is_open() {
    for part in ["", "D", "<tab><tab>", "<s-tab><s-tab><s-tab>", "<s-tab><s-tab>", "<s-tab>"] {
        let mut model = opened(working(), part, (80, 24));
        for (script, expected) in [
            ("R", "task retry TASK-013"),
            ("Bthe key is missing<enter>", "task block TASK-013 --reason=the key is missing"),
            ("X<enter>", "task cancel TASK-013"),
            ("A<enter>y", "task reassign TASK-013 architect"),
        ] {
            assert_eq!(verb(&mut model, script), expected, "{part}: {script}");
        }
    }
    assert_eq!(verb(&mut opened(approval(), "D", (80, 24)), "a"), "task approve TASK-011");
    let rejected = verb(&mut opened(approval(), "D", (80, 24)), "Ntoo slow<enter>");
    assert_eq!(rejected, "task reject TASK-011 --message=too slow");
}

#[test]
fn a_task_is_handed_to_another_agent_of_its_role() {
    let asked = |script: &str| verb(&mut model(attention()), script);
    for (script, expected) in [
        ("A<enter>", "task reassign TASK-015 architect"),
        ("Ajj<enter>", "task reassign TASK-015 impl-1"),
        ("A4<enter>", "task reassign TASK-015 impl-2"),
        ("AGk<enter>", "task reassign TASK-015 impl-2"),
        ("A9<enter>", "task reassign TASK-015 architect"),
        ("A<esc>", ""),
        ("Aq", ""),
        ("LA<enter>", "task reassign TASK-010 architect"),
        ("wA<enter>", "task reassign TASK-015 architect"),
    ] {
        assert_eq!(asked(script), expected, "{script}");
    }
    let mut screen = (*attention()).clone();
    screen.agents[0].role = "arch".to_owned();
    assert_eq!(verb(&mut model(Arc::new(screen.clone())), "A<enter>"), "task reassign TASK-015 tester");
    screen.agents.iter_mut().for_each(|row| row.role = "arch".to_owned());
    let mut model = model(Arc::new(screen));
    assert_eq!(verb(&mut model, "A"), "");
    assert!(lines(&model)[23].contains("no agent has the role impl that TASK-015 needs now"));
}

#[test]
fn handing_over_a_live_run_asks_first_and_names_what_is_kept() {
    let mut model = model(attention());
    assert_eq!(verb(&mut model, "lllA"), "");
    assert!(matches!(&model.overlay, Some(Overlay::AgentMenu(id, 0)) if *id == task("TASK-013")));
    insta::assert_snapshot!("agent_menu_80x24", dump(&model));
    assert_eq!(verb(&mut model, "4<enter>"), "");
    let shown = text(&model);
    assert!(shown.contains("Take TASK-013 from impl-1 and give it to impl-2?"), "{shown}");
    assert!(shown.contains("Kept: its work is committed to the branch of the task."), "{shown}");
    assert_eq!(verb(&mut model, "y"), "task reassign TASK-013 impl-2");
    assert_eq!(verb(&mut model, "A3<enter>"), "", "to the one who has it already");
    assert!(lines(&model)[23].contains("impl-1 has TASK-013 already"));
}

#[test]
fn the_menu_follows_the_picture() {
    let mut model = model(attention());
    press(&mut model, "AG");
    let mut screen = (*attention()).clone();
    screen.agents.truncate(2);
    update(&mut model, Message::Screen(Arc::new(screen.clone())));
    assert_eq!(verb(&mut model, "<enter>"), "task reassign TASK-015 tester");
    press(&mut model, "A");
    screen.agents.clear();
    update(&mut model, Message::Screen(Arc::new(screen)));
    draw(&model);
    assert_eq!(verb(&mut model, "<enter>"), "");
}

#[test]
fn a_task_is_blocked_with_a_reason() {
    let asked = |script: &str| verb(&mut model(attention()), script);
    for (script, expected) in [
        ("Bthe key is missing<enter>", "task block TASK-015 --reason=the key is missing"),
        ("B--all<enter>", "task block TASK-015 --reason=--all"),
        ("B<enter>", ""),
        ("Bx<esc>", ""),
        ("3Blate<enter>", "task block TASK-013 --reason=late"),
        ("wBlate<enter>", "task block TASK-015 --reason=late"),
    ] {
        assert_eq!(asked(script), expected, "{script}");
    }
    let mut model = model(attention());
    assert_eq!(verb(&mut model, "LB"), "");
    assert!(lines(&model)[23].contains("TASK-010 is blocked already; R takes it up again"));
    assert_eq!(verb(&mut model, "<esc>1<tab><tab>llllllB"), "");
    assert!(lines(&model)[23].contains("has ended: there is nothing to block"), "{}", lines(&model)[23]);
    assert_eq!(verb(&mut model, "A"), "");
    assert!(lines(&model)[23].contains("has ended: nobody has it"), "{}", lines(&model)[23]);
}

#[test]
fn the_status_is_in_words_and_signs_in_every_state() {
    for (detail, said) in [
        (waiting(), "○ unassigned for 1h"),
        (working(), "● impl_wip for 5m"),
        (approval(), "! awaiting_approval for 3m"),
        (completed(), "✓ completed for 15m"),
    ] {
        let shown = text(&opened(detail, "", (80, 24)));
        assert!(shown.contains(said), "{shown}");
    }
    assert_eq!(working().tone, Tone::Active);
    assert_eq!(working().agent, Some(agent("impl-1")));
}

#[test]
fn nothing_hostile_reaches_a_cell_from_any_part() {
    for script in ["", "D", "D<tab>", "D<tab><tab>", "<s-tab>", "<s-tab><s-tab>", "A", "B"] {
        for size in [(80, 24), (200, 50), (40, 12)] {
            super::hostile::check(&opened(hostile(super::hostile::EVIL), script, size));
        }
    }
}
