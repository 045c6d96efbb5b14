//! The pages `graph`, `timeline`, `schedules`, `metrics` and `logs`: what they show for each state that means something, at three sizes,
//! what their keys do, and what must hold at every size.

mod fixture;

use jiff::SignedDuration;
use pipeline_lib::view::detail::graph::Graph;
use pipeline_lib::view::detail::logs::Logs;
use pipeline_lib::view::detail::timeline::{Outlook, Timeline, Unknown};
use pipeline_lib::view::detail::{Detail, Look};
use pipeline_lib::view::screen::Tone;
use pipeline_lib::view::standing::Standing;

use self::fixture::*;
use super::fixture::{agent, attention, now, task};
use super::*;
use crate::dashboard::model::{Overlay, Page};
use crate::dashboard::pages::logs as log;

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 50), (40, 12)];

fn graph_of(graph: Graph) -> Arc<Screen> {
    with(Detail::Graph(Arc::new(graph)))
}

fn timeline_of(timeline: Timeline) -> Arc<Screen> {
    with(Detail::Timeline(Arc::new(timeline)))
}

fn full_metrics() -> Arc<Screen> {
    with(Detail::Metrics(Arc::new(figures())))
}

fn logs_of(logs: Logs) -> Arc<Screen> {
    with(Detail::Logs(Arc::new(logs)))
}

fn snapshots(name: &str, screen: impl Fn() -> Arc<Screen>, script: &str) {
    for size in SIZES {
        let mut model = model_at(screen(), size);
        press(&mut model, script);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), dump(&model));
    }
}

fn text(model: &Model) -> String {
    lines(model).join("\n")
}

#[test]
fn a_graph_with_a_chosen_task() {
    snapshots("graph", || graph_of(graph()), "wgj");
}

#[test]
fn a_graph_with_finished_tasks_folded() {
    snapshots("graph_folded", || graph_of(graph()), "w<tab>ll");
}

#[test]
fn a_graph_without_a_line() {
    let single = || {
        let mut graph = graph();
        graph.nodes.iter_mut().for_each(|node| node.after.clear());
        graph.critical.clear();
        graph_of(graph)
    };
    snapshots("graph_no_lines", single, "w");
}

#[test]
fn a_graph_without_a_task() {
    snapshots("graph_empty", || without(Detail::Graph(Arc::default())), "w");
}

#[test]
fn a_graph_with_tasks_that_do_parts_of_others() {
    snapshots("graph_parts", || graph_of(parts()), "wl");
    let mut model = model_at(graph_of(parts()), (120, 30));
    press(&mut model, "wgl");
    assert!(text(&model).contains("╌"), "{}", text(&model));
    model.theme.ascii = true;
    let shown = text(&model);
    assert!(shown.contains(".+>") && !shown.contains('╌'), "{shown}");
}

fn standing_of(standing: Standing) -> Arc<Screen> {
    with(Detail::Schedules(Arc::new(standing)))
}

#[test]
fn schedules_chains_and_categories() {
    snapshots("schedules", || standing_of(standing()), "sj");
}

#[test]
fn without_schedules_it_says_what_to_type() {
    snapshots("schedules_empty", || without(Detail::Schedules(Arc::default())), "s");
}

#[test]
fn a_row_of_the_schedules_leads_to_its_task() {
    let mut model = model(standing_of(standing()));
    press(&mut model, "s");
    for (script, expected) in [
        ("", Some("TASK-024")),
        ("j", Some("TASK-022")),
        ("j", None),
        ("<tab>", Some("TASK-013")),
        ("jj", Some("TASK-013.unit")),
        ("<tab>", None),
        ("j", Some("TASK-013.unit")),
        ("<tab>", Some("TASK-024")),
        ("<s-tab>", None),
        ("G", Some("TASK-024")),
        ("gk", Some("TASK-024")),
    ] {
        press(&mut model, script);
        assert_eq!(model.target_task(), expected.map(task), "{script}");
    }
    press(&mut model, "j<enter>");
    assert_eq!((model.page, model.target_task()), (Page::Task, Some(task("TASK-022"))));
    press(&mut model, "sgjj<enter>");
    assert_eq!(model.page, Page::Schedules, "one that never ran leads nowhere");
}

#[test]
fn the_chosen_row_of_the_schedules_is_in_sight() {
    let mut model = model_at(standing_of(standing()), (40, 12));
    press(&mut model, "sG");
    assert!(text(&model).contains("monitoring"), "{}", text(&model));
    press(&mut model, "g");
    assert!(text(&model).contains("health"), "{}", text(&model));
    model.theme.ascii = true;
    assert!(text(&model).is_ascii(), "{}", text(&model));
}

#[test]
fn agents_over_time() {
    snapshots("timeline", || timeline_of(timeline()), "t3");
}

#[test]
fn agents_that_did_nothing_yet() {
    snapshots("timeline_empty", || without(Detail::Timeline(Arc::new(no_work()))), "t");
}

#[test]
fn figures_of_a_day() {
    snapshots("metrics", full_metrics, "M");
}

#[test]
fn figures_of_variants_that_are_compared() {
    snapshots("metrics_variants", || with(Detail::Metrics(Arc::new(compared()))), "M");
}

#[test]
fn figures_before_anything_was_measured() {
    snapshots("metrics_empty", || without(Detail::Metrics(Arc::new(no_figures()))), "M");
}

#[test]
fn the_end_of_the_log() {
    snapshots("logs", || logs_of(logs()), "e");
}

#[test]
fn a_line_of_the_log() {
    snapshots("logs_chosen", || logs_of(logs()), "elkkkk");
}

#[test]
fn a_log_without_a_line() {
    snapshots("logs_empty", || without(Detail::Logs(Arc::default())), "e");
}

#[test]
fn without_colours_and_in_ascii_everything_is_still_said() {
    for (name, screen, script, said) in [
        ("graph", graph_of(graph()), "w", &["#* 013", "==", "critical path: 4 tasks"][..]),
        ("timeline", timeline_of(timeline()), "t3", &["impl 013", "====", "::", "x", "---", "failed"]),
        ("metrics", full_metrics(), "M", &["9", "####", "completed"]),
        ("logs", logs_of(logs()), "e", &["[info 27]", "x error", "! warn"]),
    ] {
        let mut model = model(screen);
        model.theme = Theme { depth: Depth::Mono, ascii: true, ..Theme::default() };
        press(&mut model, script);
        let (buffer, _) = draw(&model);
        assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset), "{name}");
        let text = text(&model);
        for words in said {
            assert!(text.contains(words), "{name} does not say {words}:\n{text}");
        }
        let other = text.chars().find(|c| !c.is_ascii() && !['漢', '字', '文', '件'].contains(c));
        assert_eq!(other, None, "{name}\n{text}");
        insta::assert_snapshot!(format!("ascii_{name}_80x24"), dump(&model));
    }
}

#[test]
fn no_size_breaks_a_frame() {
    let screens = [graph_of(graph()), graph_of(large()), timeline_of(timeline()), full_metrics(), logs_of(logs())];
    for (screen, scripts) in screens.iter().zip([
        &["w", "wl", "wG<tab>"][..],
        &["w", "wG", "wlllljjj"],
        &["t", "t<left><left><pageup>", "tG"],
        &["M", "MG", "M<tab><left><left>"],
        &["e", "ek", "el/tick<enter>g", "e<enter>"],
    ]) {
        for script in scripts {
            for width in [0, 39, 40, 53, 80, 119, 120, 250] {
                for height in [0, 11, 12, 13, 17, 24, 30, 60] {
                    let mut model = model_at(Arc::clone(screen), (width, height));
                    press(&mut model, script);
                    draw(&model);
                }
            }
        }
    }
}

/// As many tasks as a graph holds, each waiting for two before it.
fn large() -> Graph {
    let nodes = (0..200_usize).map(|at| {
        let after: Vec<usize> = [3, 8].iter().filter_map(|back| at.checked_sub(*back)).collect();
        node(&format!("TASK-{at:03}"), "A task among many", Tone::Waiting, &after)
    });
    let critical = (0..199).step_by(3).collect();
    Graph { nodes: nodes.collect(), critical, more_unfinished: 99_800, ..Graph::default() }
}

fn chosen(model: &Model) -> String {
    model.target_task().map(|id| id.to_string()).unwrap_or_default()
}

#[test]
fn the_keys_go_along_the_lines_of_the_graph() {
    let mut model = model_at(graph_of(graph()), (200, 50));
    press(&mut model, "w");
    model.task = Some(task("TASK-013"));
    for (script, expected) in [
        // Along the chain that decides, to its end and back.
        ("l", "TASK-016"),
        ("ll", "TASK-020"),
        ("l", "TASK-020"),
        ("hhh", "TASK-013"),
        ("h", "TASK-008"),
        ("g", "TASK-005"),
    ] {
        assert_eq!(press(&mut model, script), []);
        assert_eq!(chosen(&model), expected, "{script}");
    }
    press(&mut model, "j<enter>");
    assert_eq!((model.page, chosen(&model).is_empty()), (Page::Task, false));
}

#[test]
fn every_task_of_the_graph_can_be_reached() {
    for graph in [graph(), large()] {
        let ids: std::collections::HashSet<_> = graph.nodes.iter().map(|node| node.id.clone()).collect();
        let mut model = model(graph_of(graph));
        press(&mut model, "wg");
        let first = model.task.clone().unwrap();
        let (mut seen, mut todo) = (std::collections::HashSet::from([first.clone()]), vec![first]);
        while let Some(from) = todo.pop() {
            for key in ["h", "j", "k", "l"] {
                model.task = Some(from.clone());
                press(&mut model, key);
                let to = model.task.clone().unwrap();
                if seen.insert(to.clone()) {
                    todo.push(to);
                }
            }
        }
        assert_eq!(seen, ids);
    }
}

#[test]
fn the_chosen_task_of_the_graph_is_always_in_sight() {
    for size in SIZES {
        for graph in [graph(), large()] {
            let ids: Vec<_> = graph.nodes.iter().map(|node| node.id.clone()).collect();
            let mut model = model_at(graph_of(graph), size);
            press(&mut model, "w");
            for id in ids {
                model.task = Some(id.clone());
                let (buffer, _) = draw(&model);
                let number = &id.as_str()[5..];
                // The bar of the chosen task begins with its sign.
                let bar = (0..buffer.area.height).find_map(|y| {
                    let reversed = |x: &u16| buffer[(*x, y)].modifier.contains(Modifier::REVERSED);
                    let cells: Vec<u16> = (0..buffer.area.width).filter(reversed).collect();
                    (!cells.is_empty()).then(|| cells.iter().map(|x| buffer[(*x, y)].symbol()).collect::<String>())
                });
                assert!(bar.as_ref().is_some_and(|bar| bar.contains(number)), "{id} at {size:?}: {bar:?}");
            }
        }
    }
}

#[test]
fn a_task_that_only_the_graph_knows_stays_chosen_while_one_looks_at_it() {
    let mut graph = graph();
    graph.nodes.push(node("TASK-900", "Far down the queue", Tone::Waiting, &[10]));
    let mut model = model(graph_of(graph.clone()));
    press(&mut model, "w");
    model.task = Some(task("TASK-900"));
    let mut newer = (*graph_of(graph)).clone();
    newer.figures.completed += 1;
    update(&mut model, Message::Screen(Arc::new(newer.clone())));
    assert_eq!((chosen(&model).as_str(), model.shifted), ("TASK-900", false));
    newer.detail = Detail::Graph(Arc::new(fixture::graph()));
    update(&mut model, Message::Screen(Arc::new(newer)));
    assert!(chosen(&model) != "TASK-900" && model.shifted, "it left, so the next verb asks first");
}

#[test]
fn the_graph_is_made_around_a_task_whose_neighbours_are_not_shown() {
    let mut graph = large();
    graph.nodes[5].more_behind = 7;
    let mut model = model(graph_of(graph));
    press(&mut model, "w");
    model.task = Some(task("TASK-004"));
    assert_eq!(model.look(), Look::Graph(None), "all around it is there");
    model.task = Some(task("TASK-005"));
    assert_eq!(model.look(), Look::Graph(Some(task("TASK-005"))));
    model.task = Some(task("TASK-999"));
    assert_eq!(model.look(), Look::Graph(Some(task("TASK-999"))));
}

#[test]
fn a_menu_over_a_page_leaves_the_page_in_sight() {
    let mut model = model(graph_of(graph()));
    press(&mut model, "w");
    update(&mut model, Message::Screen(graph_of(graph())));
    press(&mut model, "m");
    update(&mut model, Message::Screen(attention()));
    assert!(text(&model).contains("Graph") && !text(&model).contains("Gathering"));
}

#[test]
fn finished_tasks_are_folded_where_they_are_many_and_where_one_says_so() {
    let mut model = model(graph_of(graph()));
    press(&mut model, "w");
    assert!(text(&model).contains("2 finished (tab folds)"));
    press(&mut model, "<tab>");
    assert!(text(&model).contains("2 finished folded (tab)") && !text(&model).contains("Log in JSON"));
    let mut graph = graph();
    graph.nodes.extend((0..20).map(|at| node(&format!("TASK-{:03}", 100 + at), "Done long ago", Tone::Good, &[])));
    graph.more_finished = 30;
    let mut many = self::model(graph_of(graph));
    press(&mut many, "w");
    assert!(text(&many).contains("52 finished folded (tab)"), "{}", text(&many));
}

#[test]
fn the_timeline_says_when_all_is_done_or_why_that_is_unknown() {
    let said = |outlook: Outlook| {
        let mut model = model_at(timeline_of(Timeline { outlook, ..timeline() }), (120, 40));
        press(&mut model, "t");
        text(&model)
    };
    let known = said(timeline().outlook);
    assert!(known.contains("done in about 24m") && known.contains("by the medians of 38 runs"), "{known}");
    assert!(known.contains("3 more wait for a person or an agent"), "{known}");
    for (why, words) in [
        (Unknown::NoRuns, "no run is on record yet"),
        (Unknown::Shadow, "shadow mode starts nothing"),
        (Unknown::AllWait, "Nothing goes on by itself"),
    ] {
        let text = said(Outlook { finish: Some(Err(why)), going: 3, waiting: 2, ..Outlook::default() });
        assert!(text.contains(words) && text.contains("finish unknown"), "{text}");
    }
    assert!(said(Outlook::default()).contains("Nothing is left to do."));
}

#[test]
fn the_timeline_is_zoomed_and_goes_back() {
    let mut model = model(timeline_of(timeline()));
    press(&mut model, "t");
    for (script, words) in [
        ("", "last 1h"),
        ("h", "last 6h"),
        ("hh", "last 1d"),
        ("lll", "last 15m"),
        ("ll", "last 2m"),
        ("<pageup>", "2m, earlier (tab: now)"),
        ("<tab>", "last 2m"),
    ] {
        press(&mut model, script);
        assert!(lines(&model)[1].contains(words), "{script}: {}", lines(&model)[1]);
    }
    for (script, name) in [("g", "architect"), ("j", "tester"), ("4", "impl-2"), ("G", "super"), ("k", "impl-2")] {
        press(&mut model, script);
        assert_eq!((model.page, model.agent.clone()), (Page::Timeline, Some(agent(name))), "{script}");
    }
    press(&mut model, "<enter>");
    assert_eq!(model.page, Page::Panes);
}

#[test]
fn the_log_is_followed_until_one_looks_back_in_it() {
    let mut model = model(logs_of(logs()));
    press(&mut model, "e");
    assert!(lines(&model)[1].ends_with("following"));
    let last = |model: &Model| lines(model)[22].clone();
    assert!(last(&model).contains("tick facts=39"), "{}", last(&model));
    press(&mut model, "k");
    let before = lines(&model);
    assert!(before[1].contains("G follows"));
    let mut more = logs();
    for number in 41..44 {
        let line = format!("2026-01-01T00:10:00.0Z  INFO pipeline_commands::supervisor: tick facts={number}");
        more.lines.push(pipeline_lib::view::detail::logs::Line::read(number, &line, None));
    }
    update(&mut model, Message::Screen(logs_of(more)));
    assert!(lines(&model)[3..].iter().any(|line| line.contains("facts=38")), "the chosen line stays");
    press(&mut model, "G");
    assert!(lines(&model)[1].ends_with("following") && last(&model).contains("facts=43"));
    press(&mut model, "kj");
    assert!(lines(&model)[1].contains("of"), "the last line can be chosen");
    press(&mut model, "j");
    assert!(lines(&model)[1].ends_with("following"), "beyond the last line the end is followed");
}

#[test]
fn the_log_is_filtered_by_level_and_text_apart_from_the_board() {
    let mut model = model(logs_of(logs()));
    press(&mut model, "e");
    let all = |model: &Model| {
        let detail = log::shown(model).cloned().unwrap();
        log::lines(model, &detail).len()
    };
    // The further line of an error counts as one.
    for (script, count) in [("", 36), ("l", 41), ("l", 41), ("hh", 9), ("h", 4), ("<tab><tab>", 36)] {
        press(&mut model, script);
        assert_eq!(all(&model), count, "{script}");
    }
    press(&mut model, "/DISK<enter>");
    assert_eq!((all(&model), model.filter.as_str()), (3, ""));
    assert!(text(&model).contains("filter: DISK"));
    press(&mut model, "k<enter>");
    assert!(matches!(&model.overlay, Some(Overlay::Message(note)) if note.lines[0].contains("the disk is full")));
    press(&mut model, "<esc>/<esc>");
    assert_eq!(all(&model), 36);
    press(&mut model, "/nowhere<enter>");
    assert!(text(&model).contains("No line passes."));
}

#[test]
fn figures_are_looked_at_over_other_times_and_by_other_measures() {
    let mut model = model(full_metrics());
    press(&mut model, "M");
    for (script, words) in [
        ("", "last 1d"),
        ("h", "last 7d"),
        ("lll", "last 1h"),
        ("<tab>", "bars of failed"),
        ("<tab>", "bars of cost"),
        ("<tab>", "bars of time"),
    ] {
        press(&mut model, script);
        assert!(lines(&model)[1].contains(words), "{script}: {}", lines(&model)[1]);
    }
    let mut small = model_at(full_metrics(), (40, 12));
    press(&mut small, "MG");
    assert!(text(&small).contains("sources disagreed"), "{}", text(&small));
    press(&mut small, "g");
    assert!(text(&small).contains("completed"));
}

#[test]
fn nothing_hostile_comes_through_a_page() {
    const EVIL: &str = "a\u{1b}[2Jb\u{1b}]52;c;aGk=\u{7}c\u{202e}d\u{200b}e\r\nf\u{9b}31mg";
    let mut graph = graph();
    for node in &mut graph.nodes {
        node.title = EVIL.to_owned();
        node.status = EVIL.to_owned();
        node.reason = Some(EVIL.to_owned());
    }
    let mut figures = figures();
    figures.by_stage.iter_mut().for_each(|share| share.name = EVIL.to_owned());
    let mut logs = logs();
    logs.file = EVIL.to_owned();
    for line in &mut logs.lines {
        line.text = EVIL.to_owned();
        line.target = EVIL.to_owned();
        line.time = EVIL.to_owned();
    }
    let metrics = with(Detail::Metrics(Arc::new(figures)));
    for (screen, key) in [(graph_of(graph), "w"), (metrics, "M"), (logs_of(logs), "ek<enter>")] {
        for size in SIZES {
            let mut model = model_at(Arc::clone(&screen), size);
            press(&mut model, key);
            for cell in draw(&model).0.content() {
                let bad = cell.symbol().chars().find(|c| c.is_control() || pipeline_lib::text::is_hidden(*c));
                assert_eq!(bad, None, "{key}");
            }
        }
    }
}

#[test]
fn no_page_makes_a_frame_due_more_often_than_once_a_second() {
    for (screen, key) in [
        (graph_of(graph()), "w"),
        (timeline_of(timeline()), "t"),
        (full_metrics(), "M"),
        (logs_of(logs()), "e"),
        (graph_of(large()), "w"),
    ] {
        for size in SIZES {
            let mut model = model_at(Arc::clone(&screen), size);
            press(&mut model, key);
            let due = draw(&model).1;
            assert!(due.is_none_or(|due| due >= now() + SignedDuration::from_secs(1)), "{key} {due:?}");
        }
    }
    // What stands still asks for nothing.
    for (screen, key) in [(graph_of(graph()), "w"), (logs_of(logs()), "e")] {
        let mut model = model(screen);
        press(&mut model, key);
        assert_eq!(draw(&model).1, None, "{key}");
    }
}
