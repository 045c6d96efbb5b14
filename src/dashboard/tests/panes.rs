//! The page of the agents' terminals: what is seen, who is typed into, how far back, and what is copied. The hosts are made
//! of documents, which are looked at and searched as terminals are.

use std::collections::BTreeMap;

use pipeline_commands::live::{PaneAnswer, PaneRequest};
use pipeline_lib::agents::stream::Format;
use pipeline_lib::ids::{AgentName, RunId};
use pipeline_lib::terminal::document::Document;
use pipeline_lib::terminal::wire::lines_since;
use pipeline_lib::terminal::{
    self, Attributes, Colour, Cursor, CursorShape, Input, KeyCode as Code, Line, MouseAction, Span, Style as CellStyle,
};
use pipeline_lib::view::pane::{Pane, Panes, Source, Wish};
use pipeline_lib::view::screen::RunRow;

use super::fixture::{agent, attention, empty};
use super::*;
use crate::dashboard::message::Mouse;
use crate::dashboard::model::{Overlay, Page};
use crate::dashboard::pages::panes::{Mode, mode};

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 50), (40, 12)];

/// The hosts of all agents' runs.
struct Hosts(BTreeMap<AgentName, Host>);

struct Host {
    source: Source,
    lines: Vec<Line>,
    title: &'static str,
    note: Option<&'static str>,
    /// What was wished for last, and where that was then.
    scrolled: ((usize, Option<u64>), Option<terminal::document::Anchor>),
    document: Document,
    modes: terminal::Modes,
}

impl Host {
    fn new(source: Source, lines: Vec<Line>) -> Self {
        let (document, modes) = (Document::new(80), terminal::Modes::default());
        let mut this = Self { source, lines, title: "", note: None, scrolled: ((0, None), None), document, modes };
        this.lines.clone().into_iter().for_each(|line| this.document.push(line));
        this
    }

    fn print(&mut self, line: &str) {
        self.lines.push(Line::plain(line));
        self.document.push(Line::plain(line));
    }

    fn pane(&mut self, wish: &Wish) -> Pane {
        self.document.set_columns(wish.size.columns);
        if (wish.offset, wish.at) != self.scrolled.0 {
            let since = if wish.offset == 0 { 0 } else { lines_since(wish.at, self.document.scrolled(wish.size.rows)) };
            let anchor = self.document.anchor(wish.size.rows, wish.offset + since);
            self.scrolled = ((wish.offset, wish.at), anchor);
        }
        let mut frame = self.document.frame(wish.size, self.document.offset(wish.size.rows, self.scrolled.1));
        frame.title = self.title.to_owned();
        frame.modes = self.modes;
        if frame.offset == 0 && self.source == Source::Terminal {
            let row = frame.lines.iter().rposition(|line| !line.spans.is_empty()).unwrap_or(0);
            let column = frame.lines[row].columns().min(usize::from(wish.size.columns) - 1);
            let (row, column) = (u16::try_from(row).unwrap(), u16::try_from(column).unwrap());
            frame.cursor = Some(Cursor { column, row, shape: CursorShape::Beam });
        }
        Pane { run: None, source: self.source, frame: Arc::new(frame), note: self.note.map(str::to_owned) }
    }
}

impl Hosts {
    /// Shows what is wished for.
    fn show(&mut self, model: &mut Model) {
        let screen = model.screen.clone();
        let run = |agent: &AgentName| {
            screen.agents.iter().find(|row| row.name == *agent)?.run.as_ref().map(|run| run.id.clone())
        };
        let pane = |wish: &Wish| {
            let pane = self.0.get_mut(&wish.agent)?.pane(wish);
            Some((wish.agent.clone(), Pane { run: run(&wish.agent), ..pane }))
        };
        let panes: Panes = Arc::new(view::wishes(model).iter().filter_map(pane).collect());
        update(model, Message::Panes(panes));
    }

    /// Answers what is asked, shows what comes of it, and hands on what else is asked for.
    fn answer(&mut self, model: &mut Model, intents: Vec<Intent>) -> Vec<Intent> {
        let mut rest = Vec::new();
        let mut next = intents;
        while !next.is_empty() {
            for intent in std::mem::take(&mut next) {
                let Intent::Pane(agent, ask) = intent else {
                    rest.push(intent);
                    continue;
                };
                let rows = model.shown.get(&agent).map_or(24, |pane| pane.frame.size.rows);
                let document = &self.0[&agent].document;
                let answer = match &ask {
                    PaneRequest::Input(_) => PaneAnswer::Taken,
                    PaneRequest::Search { needle, offset, at, forward } => {
                        let since = lines_since(*at, document.scrolled(rows));
                        let found = document.search(rows, needle, offset + since, *forward);
                        PaneAnswer::Found(found.map(|offset| offset.saturating_sub(since)))
                    }
                    PaneRequest::Text { from, to, at } => {
                        let since = lines_since(*at, document.scrolled(rows));
                        PaneAnswer::Text(document.text(rows, from + since, to + since))
                    }
                };
                next.extend(update(model, Message::PaneAnswered { agent, ask, answer }));
            }
        }
        self.show(model);
        rest
    }

    /// Presses keys and lets the hosts answer each of them.
    fn press(&mut self, model: &mut Model, script: &str) -> Vec<Intent> {
        let mut rest = Vec::new();
        for name in names(script) {
            let intents = update(model, Message::Key(key(name)));
            rest.extend(self.answer(model, intents));
        }
        rest
    }
}

/// The keys of a script.
fn names(script: &str) -> Vec<&str> {
    let (mut names, mut rest) = (Vec::new(), script);
    while let Some(c) = rest.chars().next() {
        let length = match rest.find('>') {
            Some(end) if c == '<' && end > 1 => end + 1,
            _ => c.len_utf8(),
        };
        names.push(&rest[..length]);
        rest = &rest[length..];
    }
    names
}

fn styled(parts: &[(&str, CellStyle)]) -> Line {
    let spans = parts.iter().map(|(text, style)| Span { text: (*text).to_owned(), style: *style });
    Line { spans: spans.collect() }
}

fn plain(texts: &[&str]) -> Vec<Line> {
    texts.iter().map(|text| Line::plain(*text)).collect()
}

/// A program in a terminal: all kinds of colours and attributes, wide characters and marks.
fn colourful() -> Vec<Line> {
    let none = CellStyle::default();
    let foreground = |foreground| CellStyle { foreground, ..none };
    let with = |attributes| CellStyle { attributes, ..none };
    let orange = foreground(Colour::Rgb(215, 119, 87));
    vec![
        styled(&[("✻ ", orange), ("Welcome to the agent", with(Attributes::BOLD))]),
        Line::default(),
        styled(&[("> ", with(Attributes::DIM)), ("Sign in with a passkey", none)]),
        Line::default(),
        styled(&[("● ", foreground(Colour::Indexed(10))), ("Read", with(Attributes::BOLD)), ("(src/login.rs)", none)]),
        styled(&[("  ⎿  ", none), ("214 lines", with(Attributes::DIM))]),
        styled(&[
            ("● ", foreground(Colour::Indexed(10))),
            ("漢字 e\u{301} ", none),
            ("link", with(Attributes::UNDERLINE)),
        ]),
        styled(&[
            (" + ", CellStyle { foreground: Colour::Indexed(0), background: Colour::Indexed(157), ..none }),
            ("fn passkey() {", CellStyle { background: Colour::Rgb(2, 40, 0), ..none }),
        ]),
        Line::default(),
        styled(&[("> ", with(Attributes::BOLD)), ("Shall I keep the old session table?", with(Attributes::ITALIC))]),
    ]
}

/// Output of which there is more than a screen.
fn long() -> Vec<Line> {
    let line = |n: usize| match n {
        57 => "test orders::history ... FAILED".to_owned(),
        150 => "test cart::empty ... failed".to_owned(),
        n => format!("test orders::case_{n:03} ... ok"),
    };
    (1..=200).map(|n| Line::plain(line(n))).collect()
}

fn hosts() -> Hosts {
    let mut architect = Host::new(Source::Terminal, colourful());
    architect.title = "✳ Planning the login";
    let tester = Host::new(Source::Terminal, long());
    let first =
        Host::new(Source::Log, plain(&["$ cargo test -p orders", "   Compiling orders v0.1.0", "running 18 tests"]));
    let mut second = Host::new(Source::Log, plain(&["Round totals to whole cents.", "DECISION: success"]));
    second.note = Some("the run has ended");
    let mut idle = Host::new(Source::Nothing, Vec::new());
    idle.note =
        Some("No run yet. It starts when a task is at a stage of role super; `pipeline task add TITLE` adds one.");
    Hosts(
        [("architect", architect), ("tester", tester), ("impl-1", first), ("impl-2", second), ("super", idle)]
            .into_iter()
            .map(|(name, host)| (agent(name), host))
            .collect(),
    )
}

fn run(id: &str, live: bool, interactive: bool) -> RunRow {
    RunRow { id: RunId::new(id).unwrap(), live, interactive, format: Format::Auto }
}

/// Agents with runs of all kinds, the first `count` of them.
fn agents(count: usize) -> Arc<Screen> {
    let mut screen = (*attention()).clone();
    screen.agents.truncate(count);
    let runs = [("r-1", true, true), ("r-2", true, true), ("r-3", true, false), ("r-4", false, false)];
    for (row, (id, live, interactive)) in screen.agents.iter_mut().zip(runs) {
        row.run = Some(run(id, live, interactive));
    }
    Arc::new(screen)
}

/// The page with so many agents, as far as a script goes.
fn page(count: usize, size: (u16, u16), script: &str) -> (Model, Hosts) {
    let mut model = model_at(agents(count), size);
    let mut hosts = hosts();
    hosts.press(&mut model, "p");
    hosts.press(&mut model, script);
    (model, hosts)
}

fn snapshots(name: &str, count: usize, script: &str) {
    for size in SIZES {
        let (mut model, _) = page(count, size, script);
        model.toast = None;
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), dump(&model));
    }
}

#[test]
fn four_in_a_grid() {
    snapshots("panes_grid", 4, "");
}

#[test]
fn a_large_one_with_the_others_beside_it() {
    snapshots("panes_main", 4, "<space><space><space>j");
}

#[test]
fn one_alone() {
    snapshots("panes_zoom", 5, "2z");
}

#[test]
fn an_agent_is_typed_into() {
    snapshots("panes_typing", 4, "i");
}

#[test]
fn the_history_is_searched_and_lines_are_selected() {
    snapshots("panes_search", 4, "2<c-u>/failed<enter>nvjj");
}

#[test]
fn a_text_to_search_for_is_typed() {
    let (model, _) = page(4, (80, 24), "2/fail");
    insta::assert_snapshot!("panes_needle_80x24", dump(&model));
}

#[test]
fn the_prefix_says_what_it_leads_to() {
    let (model, _) = page(4, (80, 24), "i<c-b>");
    insta::assert_snapshot!("panes_prefix_80x24", dump(&model));
}

#[test]
fn nobody_has_a_terminal() {
    for size in SIZES {
        let mut model = model_at(agents(5), size);
        let mut hosts = hosts();
        for name in ["architect", "tester"] {
            hosts.0.insert(agent(name), Host::new(Source::Log, plain(&["Reading the plan.", "done"])));
        }
        hosts.press(&mut model, "p5");
        insta::assert_snapshot!(format!("panes_logs_{}x{}", size.0, size.1), dump(&model));
    }
}

#[test]
fn there_are_no_agents() {
    for size in SIZES {
        let mut screen = (*empty()).clone();
        screen.agents.clear();
        let mut model = model_at(Arc::new(screen), size);
        press(&mut model, "p");
        insta::assert_snapshot!(format!("panes_nobody_{}x{}", size.0, size.1), dump(&model));
        assert_eq!(press(&mut model, "izjkhl<tab><c-b>d"), [], "there is nothing that a key could do");
    }
}

#[test]
fn colours_and_attributes_are_those_the_program_asked_for() {
    use ratatui::style::Color;
    let (mut model, _) = page(1, (80, 24), "");
    model.theme.depth = Depth::True;
    let (buffer, _) = draw(&model);
    let cell = |x, y| &buffer[(x, y)];
    assert_eq!((cell(0, 2).symbol(), cell(0, 2).fg), ("✻", Color::Rgb(215, 119, 87)));
    assert!(cell(2, 2).modifier.contains(Modifier::BOLD));
    assert_eq!(cell(0, 6).fg, Color::Indexed(10));
    assert_eq!((cell(2, 8).symbol(), cell(4, 8).symbol(), cell(7, 8).symbol()), ("漢", "字", "e\u{301}"));
    assert!(cell(9, 8).modifier.contains(Modifier::UNDERLINED));
    assert_eq!((cell(1, 9).fg, cell(1, 9).bg), (Color::Indexed(0), Color::Indexed(157)));
    assert_eq!(cell(4, 9).bg, Color::Rgb(2, 40, 0));
    assert!(cell(3, 11).modifier.contains(Modifier::ITALIC));
}

/// The only input that keys become, as sent to an agent.
fn sent(intents: &[Intent]) -> Vec<(AgentName, Input)> {
    let input = |intent: &Intent| match intent {
        Intent::Pane(agent, PaneRequest::Input(input)) => (agent.clone(), input.clone()),
        other => panic!("{other:?}"),
    };
    intents.iter().map(input).collect()
}

fn typed(code: Code) -> terminal::Key {
    terminal::Key { code, shift: false, alt: false, control: false }
}

#[test]
fn while_typing_every_key_is_the_agents() {
    let (mut model, _) = page(4, (80, 24), "i");
    let control = |c| terminal::Key { control: true, ..typed(Code::Char(c)) };
    for (name, expected) in [
        ("q", typed(Code::Char('q'))),
        (":", typed(Code::Char(':'))),
        ("<c-c>", control('c')),
        ("<c-z>", control('z')),
        ("<c-l>", control('l')),
        ("<esc>", typed(Code::Escape)),
        ("<tab>", typed(Code::Tab)),
        ("<s-tab>", terminal::Key { shift: true, ..typed(Code::Tab) }),
        ("<enter>", typed(Code::Enter)),
        ("<backspace>", typed(Code::Backspace)),
        ("<pageup>", typed(Code::PageUp)),
        ("<up>", typed(Code::Up)),
        ("1", typed(Code::Char('1'))),
    ] {
        let intents = press(&mut model, name);
        assert_eq!(sent(&intents), [(agent("architect"), Input::Key(expected))], "{name}");
    }
    let held = |code, alt, shift| Key { code, ctrl: false, alt, shift };
    for (key, expected) in [
        (held(KeyCode::F(5), false, false), typed(Code::Function(5))),
        (held(KeyCode::Char('b'), true, false), terminal::Key { alt: true, ..typed(Code::Char('b')) }),
        (held(KeyCode::Left, false, true), terminal::Key { shift: true, ..typed(Code::Left) }),
    ] {
        let intents = update(&mut model, Message::Key(key));
        assert_eq!(sent(&intents), [(agent("architect"), Input::Key(expected))]);
    }
    let intents = update(&mut model, Message::Paste("two\nlines".to_owned()));
    let paste = Input::Paste { text: "two\nlines".to_owned(), submit: false };
    assert_eq!(sent(&intents), [(agent("architect"), paste)]);
    assert_eq!(press(&mut model, "<c-q>"), []);
    assert_eq!(mode(&model), Mode::Looking);
    assert_eq!(press(&mut model, "q"), [Intent::Quit]);
}

#[test]
fn typing_is_said_and_the_cursor_is_where_it_goes() {
    for size in SIZES {
        let (model, _) = page(4, size, "i");
        let lines = lines(&model);
        assert!(lines[lines.len() - 1].contains("TYPING INTO architect"), "{lines:?}");
        assert!(lines[lines.len() - 1].contains("ctrl-q"));
        assert!(lines.iter().any(|line| line.contains("TYPING ")));
    }
    let (mut model, _) = page(4, (80, 24), "i");
    let caret = view::caret(&model).unwrap();
    assert_eq!((caret.x, caret.y, caret.shape), (37, 11, CursorShape::Beam));
    press(&mut model, "<c-b>?");
    assert_eq!(view::caret(&model), None, "the help lies over it");
    press(&mut model, "<esc><c-q>");
    assert_eq!(view::caret(&model), None);
}

#[test]
fn where_nothing_can_be_typed_it_is_said_why() {
    for (script, said) in [
        ("3i", "impl-1 is headless; with mode = \"interactive\" it takes keys"),
        ("4i", "impl-2 has no live run; only a live session takes keys"),
        ("5i", "super has no run yet; only a live session takes keys"),
    ] {
        let (model, _) = page(5, (80, 24), script);
        assert_eq!(mode(&model), Mode::Looking, "{script}");
        assert!(lines(&model)[23].contains(said), "{:?}", lines(&model)[23]);
    }
}

#[test]
fn typing_can_begin_on_the_overview() {
    let mut model = model_at(agents(4), (80, 24));
    model.shown = Panes::default();
    press(&mut model, "2i");
    assert_eq!((model.page, mode(&model)), (Page::Panes, Mode::Typing));
    assert_eq!(sent(&press(&mut model, "x"))[0].0, agent("tester"), "before its picture has come");
}

#[test]
fn a_picture_of_what_was_before_says_nothing_against_a_session() {
    let mut model = model_at(agents(4), (80, 24));
    // What was shown until a moment ago: that nobody works here, or the end of the run before.
    for old in [(Source::Nothing, None), (Source::Log, Some(RunId::new("r-0").unwrap()))] {
        let pane = Pane { run: old.1, ..super::fixture::pane_of(old.0, &["before"]) };
        let panes: Panes = Arc::new([(agent("tester"), pane)].into_iter().collect());
        update(&mut model, Message::Panes(Arc::clone(&panes)));
        press(&mut model, "2i");
        assert_eq!(mode(&model), Mode::Typing);
        update(&mut model, Message::Panes(panes));
        assert_eq!(mode(&model), Mode::Typing, "it is still on its way");
        press(&mut model, "<c-q>");
    }
}

#[test]
fn what_is_typed_never_reaches_a_later_session() {
    let (mut model, mut hosts) = page(4, (80, 24), "i");
    let mut screen = (*agents(4)).clone();
    screen.agents[0].run = Some(run("r-9", true, true));
    update(&mut model, Message::Screen(Arc::new(screen)));
    assert_eq!(mode(&model), Mode::Looking);
    assert_eq!(press(&mut model, "y"), [], "it was meant for the one before");
    assert!(lines(&model)[23].contains("the session of architect is over"));

    hosts.press(&mut model, "<esc>pi");
    assert_eq!(mode(&model), Mode::Typing);
    hosts.0.get_mut(&agent("architect")).unwrap().source = Source::Log;
    hosts.show(&mut model);
    assert_eq!(mode(&model), Mode::Looking, "it has ended");
}

#[test]
fn behind_the_prefix() {
    let (mut model, mut hosts) = page(5, (80, 24), "i<c-b><right>");
    let at = |model: &Model| model.target_agent().unwrap();
    assert_eq!((at(&model), mode(&model)), (agent("tester"), Mode::Typing), "typing goes on in the other pane");
    let both = press(&mut model, "<c-b><c-b>");
    let control = terminal::Key { control: true, ..typed(Code::Char('b')) };
    assert_eq!(sent(&both), [(agent("tester"), Input::Key(control))]);
    hosts.press(&mut model, "<c-b>z");
    assert!(model.panes.zoomed);
    hosts.press(&mut model, "<c-b>z<c-b>o");
    assert_eq!((at(&model), mode(&model)), (agent("impl-1"), Mode::Looking), "that one takes no keys");
    hosts.press(&mut model, "<c-b>;i<c-b>[");
    assert_eq!(mode(&model), Mode::Scrolling);
    hosts.press(&mut model, "q");
    assert_eq!(mode(&model), Mode::Typing, "it goes on after that");
    assert_eq!(hosts.press(&mut model, "<c-b>t"), []);
    assert!(lines(&model)[23].contains("t behind the prefix means nothing"));
    hosts.press(&mut model, "<c-b>?");
    assert!(matches!(model.overlay, Some(Overlay::Help(_))));
    hosts.press(&mut model, "<esc><c-b>d");
    assert_eq!((model.page, mode(&model)), (Page::Panes, Mode::Looking));
    hosts.press(&mut model, "<c-b>d");
    assert_eq!(model.page, Page::Overview);
}

#[test]
fn panes_are_reached_by_keys_and_clicks() {
    let (mut model, mut hosts) = page(5, (80, 24), "");
    let at = |model: &Model| model.target_agent().unwrap().to_string();
    for (script, expected) in [
        ("l", "tester"),
        ("j", "impl-2"),
        ("h", "impl-1"),
        ("k", "architect"),
        ("k", "architect"),
        ("<s-tab>", "super"),
        ("h", "impl-2"),
        ("l", "super"),
        ("G", "super"),
        ("g", "architect"),
        ("<tab>", "tester"),
        ("4", "impl-2"),
        ("9", "impl-2"),
    ] {
        hosts.press(&mut model, script);
        assert_eq!(at(&model), expected, "{script}");
    }
    let mut click = |x, y| {
        for action in [MouseAction::Press, MouseAction::Release] {
            assert_eq!(update(&mut model, Message::Mouse(Mouse { action, x, y })), []);
        }
        at(&model)
    };
    assert_eq!(click(5, 4), "architect");
    assert_eq!(click(60, 1), "tester", "its title");
    assert_eq!(click(57, 22), "super", "its name in the strip");
    assert_eq!(click(5, 23), "super", "the footer is no pane");
}

#[test]
fn every_pane_is_wished_for_in_its_size() {
    let (model, _) = page(4, (80, 24), "2");
    let wishes = view::wishes(&model);
    let of = |wish: &Wish| (wish.agent.to_string(), wish.size.columns, wish.size.rows, wish.resize, wish.focused);
    assert_eq!(
        wishes.iter().map(of).collect::<Vec<_>>(),
        [
            ("architect".to_owned(), 40, 10, true, false),
            ("tester".to_owned(), 39, 10, true, false),
            ("impl-1".to_owned(), 40, 10, true, false),
            ("impl-2".to_owned(), 39, 10, true, false),
        ]
    );
    // Often is shown what is typed into, and what is alone.
    let (model, _) = page(4, (80, 24), "2i");
    let often: Vec<_> = view::wishes(&model).into_iter().filter(|wish| wish.focused).collect();
    assert_eq!(often.iter().map(|wish| wish.agent.as_str()).collect::<Vec<_>>(), ["tester"]);
    let (model, _) = page(4, (40, 12), "2");
    assert_eq!(view::wishes(&model).iter().map(of).collect::<Vec<_>>(), [("tester".to_owned(), 40, 8, true, true)]);
}

/// The rows of the pane of a model that shows one, without its title.
fn pane(model: &Model) -> Vec<String> {
    let lines = lines(model);
    lines[2..lines.len() - 1].to_vec()
}

#[test]
fn what_is_looked_at_stays_while_more_is_printed() {
    let (mut model, mut hosts) = page(2, (80, 24), "2z<c-u>");
    let before = pane(&model);
    assert!(lines(&model)[1].contains("SCROLL -10 of 180"), "{}", lines(&model)[1]);
    for n in 0..7 {
        hosts.0.get_mut(&agent("tester")).unwrap().print(&format!("more {n}"));
        hosts.show(&mut model);
    }
    assert_eq!(pane(&model), before);
    assert!(lines(&model)[1].contains("SCROLL -17 of 187"), "{}", lines(&model)[1]);
    hosts.press(&mut model, "<c-u>");
    assert!(lines(&model)[1].contains("SCROLL -27 of 187"), "from where it is by now");
    hosts.press(&mut model, "q");
    assert_eq!(mode(&model), Mode::Looking);
    assert!(pane(&model).iter().any(|line| line == "more 6"));
}

#[test]
fn what_is_asked_for_is_meant_as_it_was_seen() {
    let (mut model, mut hosts) = page(2, (80, 24), "2z<c-u>");
    let first = |model: &Model| pane(model)[0].clone();
    assert_eq!(first(&model), "test orders::case_171 ... ok");
    let print = |hosts: &mut Hosts, lines| {
        for n in 0..lines {
            hosts.0.get_mut(&agent("tester")).unwrap().print(&format!("more {n}"));
        }
    };
    // Much is printed between the last picture and the key.
    print(&mut hosts, 500);
    hosts.press(&mut model, "<c-u>");
    assert_eq!(first(&model), "test orders::case_161 ... ok");
    // And between a key and the picture that answers it, which the next key does not wait for.
    press(&mut model, "<c-u>");
    print(&mut hosts, 300);
    press(&mut model, "<c-d><c-d>");
    print(&mut hosts, 40);
    hosts.show(&mut model);
    assert_eq!(first(&model), "test orders::case_171 ... ok");
    // So is what is searched for and copied.
    print(&mut hosts, 900);
    hosts.press(&mut model, "/cart::empty<enter>");
    assert_eq!(under_bar(&model), ["test cart::empty ... failed"]);
    let intents = press(&mut model, "v<c-u>y");
    print(&mut hosts, 70);
    let text = copied(&hosts.answer(&mut model, intents));
    assert_eq!(text.lines().next_back(), Some("test cart::empty ... failed"));
    assert_eq!(text.lines().count(), 11);
}

#[test]
fn the_history_is_walked() {
    let (mut model, mut hosts) = page(2, (80, 24), "2z<c-b>[");
    let offset = |model: &Model| model.shown[&agent("tester")].frame.offset;
    for (script, expected) in [
        ("k", 0),
        ("<pageup>", 20),
        ("<pagedown>", 0),
        ("g", 180),
        ("j", 180),
        ("<c-d>", 170),
        ("G", 0),
        ("j", 0),
        ("<pageup><pageup>", 40),
    ] {
        hosts.press(&mut model, script);
        assert_eq!(offset(&model), expected, "{script}");
    }
    for _ in 0..25 {
        hosts.press(&mut model, "k");
    }
    assert!(offset(&model) > 40, "the bar takes what is in sight with it");
    // Many keys before the first picture.
    let at = offset(&model);
    press(&mut model, "<c-u><c-u><c-u>");
    hosts.show(&mut model);
    assert_eq!(offset(&model), at + 30);
}

/// What the bar lies on.
fn under_bar(model: &Model) -> Vec<String> {
    let (buffer, _) = draw(model);
    let is = |y: &u16| buffer[(1, *y)].modifier.contains(Modifier::REVERSED);
    (2..buffer.area.height - 1).filter(is).map(|y| line(&buffer, y)).collect()
}

#[test]
fn a_text_is_found_above_and_below() {
    let (mut model, mut hosts) = page(2, (80, 24), "2z/FAILED<enter>");
    assert_eq!(under_bar(&model), ["test cart::empty ... failed"]);
    hosts.press(&mut model, "n");
    assert_eq!(under_bar(&model), ["test orders::history ... FAILED"]);
    assert_eq!(hosts.press(&mut model, "n"), []);
    assert!(lines(&model)[23].contains("\"FAILED\" is nowhere above"), "{}", lines(&model)[23]);
    assert_eq!(under_bar(&model), ["test orders::history ... FAILED"], "nothing has moved");
    hosts.press(&mut model, "N");
    assert_eq!(under_bar(&model), ["test cart::empty ... failed"]);
    hosts.press(&mut model, "N");
    assert!(lines(&model)[23].contains("is nowhere below"));
    hosts.press(&mut model, "/case_149<enter>");
    assert_eq!(under_bar(&model), ["test orders::case_149 ... ok"], "in sight, without asking anybody");
    hosts.press(&mut model, "/case_200<enter>");
    assert_eq!(under_bar(&model), ["test orders::case_149 ... ok"]);
    hosts.press(&mut model, "N");
    assert_eq!(under_bar(&model), ["test orders::case_200 ... ok"], "on the present screen");
}

fn copied(intents: &[Intent]) -> String {
    match intents {
        [Intent::Copy(text)] => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn selected_lines_are_copied() {
    let (mut model, mut hosts) = page(2, (80, 24), "2z<c-u>");
    let intents = hosts.press(&mut model, "y");
    assert_eq!(copied(&intents), "test orders::case_190 ... ok");
    assert!(lines(&model)[23].contains("copied 1 line"));
    let intents = hosts.press(&mut model, "vkky");
    assert_eq!(copied(&intents).lines().count(), 3);
    assert!(lines(&model)[23].contains("copied 3 lines"));
    hosts.press(&mut model, "v<c-u>");
    assert!(lines(&model)[1].contains("SELECT 11"), "{}", lines(&model)[1]);
    hosts.press(&mut model, "<esc>");
    assert_eq!(mode(&model), Mode::Scrolling, "the selection goes first");
    // More than is in sight, while more is printed.
    hosts.press(&mut model, "G<space><pageup><pageup>k");
    let mut intents = press(&mut model, "<enter>");
    for n in 0..30 {
        hosts.0.get_mut(&agent("tester")).unwrap().print(&format!("more {n}"));
    }
    intents = hosts.answer(&mut model, intents);
    let text = copied(&intents);
    assert_eq!(text.lines().next_back(), Some("test orders::case_200 ... ok"));
    assert_eq!(text.lines().count(), 42);
    hosts.press(&mut model, "<esc>");
    assert_eq!(mode(&model), Mode::Looking);
}

#[test]
fn the_wheel_looks_back_and_typing_returns() {
    let (mut model, mut hosts) = page(2, (80, 24), "2");
    let wheel = |model: &mut Model, hosts: &mut Hosts, action| {
        let intents = update(model, Message::Mouse(Mouse { action, x: 5, y: 15 }));
        hosts.answer(model, intents)
    };
    wheel(&mut model, &mut hosts, MouseAction::WheelUp);
    wheel(&mut model, &mut hosts, MouseAction::WheelUp);
    assert_eq!((model.shown[&agent("tester")].frame.offset, mode(&model)), (6, Mode::Scrolling));
    wheel(&mut model, &mut hosts, MouseAction::WheelDown);
    wheel(&mut model, &mut hosts, MouseAction::WheelDown);
    assert_eq!(mode(&model), Mode::Looking, "the present again");
    hosts.press(&mut model, "i");
    wheel(&mut model, &mut hosts, MouseAction::WheelUp);
    assert_eq!((model.shown[&agent("tester")].frame.offset, mode(&model)), (3, Mode::Typing));
    assert_eq!(view::caret(&model), None, "it is further down");
    assert_eq!(sent(&press(&mut model, "y")).len(), 1);
    hosts.show(&mut model);
    assert_eq!(model.shown[&agent("tester")].frame.offset, 0);
}

#[test]
fn a_program_that_asks_for_the_mouse_gets_it_while_it_is_typed_into() {
    let (mut model, mut hosts) = page(2, (80, 24), "2");
    hosts.0.get_mut(&agent("tester")).unwrap().modes = terminal::Modes { mouse: true, alternate: true };
    hosts.show(&mut model);
    let mouse = |action, x, y| Message::Mouse(Mouse { action, x, y });
    assert_eq!(update(&mut model, mouse(MouseAction::Press, 3, 15)), [], "nobody types");
    assert_eq!(update(&mut model, mouse(MouseAction::Release, 3, 15)), []);
    hosts.press(&mut model, "i");
    for (action, x, y, column, row) in [
        (MouseAction::Press, 3, 15, 3, 2),
        (MouseAction::Drag, 79, 2, 79, 0),
        (MouseAction::Release, 79, 2, 79, 0),
        (MouseAction::WheelUp, 0, 13, 0, 0),
    ] {
        let intents = update(&mut model, mouse(action, x, y));
        assert_eq!(sent(&intents), [(agent("tester"), Input::Mouse { action, column, row })]);
    }
    assert_eq!(update(&mut model, mouse(MouseAction::Press, 3, 5)), [], "the other pane");
    assert_eq!((model.target_agent(), mode(&model)), (Some(agent("architect")), Mode::Typing));
}

#[test]
fn text_is_marked_and_copied_with_the_mouse() {
    let (mut model, mut hosts) = page(1, (80, 24), "");
    let mut mouse = |action, x, y| {
        let intents = update(&mut model, Message::Mouse(Mouse { action, x, y }));
        (intents, draw(&model).0)
    };
    mouse(MouseAction::Press, 2, 6);
    let (_, buffer) = mouse(MouseAction::Drag, 3, 8);
    let is = |x, y| buffer[(x, y)].modifier.contains(Modifier::REVERSED);
    assert!(!is(1, 6) && is(2, 6) && is(50, 7) && is(3, 8) && !is(4, 8));
    let (intents, buffer) = mouse(MouseAction::Release, 3, 8);
    assert_eq!(copied(&intents), "Read(src/login.rs)\n  ⎿  214 lines\n● 漢");
    assert!(!buffer[(2, 6)].modifier.contains(Modifier::REVERSED));
    assert!(lines(&model)[23].contains("copied 3 lines"));
    // What is marked stands still.
    let mouse = |action, x, y| Message::Mouse(Mouse { action, x, y });
    update(&mut model, mouse(MouseAction::Press, 0, 2));
    hosts.0.insert(agent("architect"), Host::new(Source::Terminal, plain(&["something else"])));
    hosts.show(&mut model);
    update(&mut model, mouse(MouseAction::Drag, 30, 2));
    assert!(lines(&model)[2].contains("Welcome to the agent"));
    assert_eq!(copied(&update(&mut model, mouse(MouseAction::Release, 30, 2))), "✻ Welcome to the agent");
    assert!(lines(&model)[2].contains("something else"));
}

#[test]
fn an_answer_to_a_verb_does_not_interrupt_typing() {
    let (mut model, _) = page(2, (80, 24), "i");
    let answer = pipeline_commands::live::Answer { code: 1, text: "two\nlines".to_owned(), hint: None };
    update(&mut model, Message::Answered { argv: vec!["doctor".to_owned()], answer });
    assert_eq!((model.overlay.is_none(), mode(&model)), (true, Mode::Typing));
    let last = &lines(&model)[23];
    assert!(last.contains("TYPING INTO architect") && last.contains("two"), "{last}");
}

#[test]
fn layouts_go_around() {
    let (mut model, mut hosts) = page(4, (200, 50), "z");
    for word in ["columns", "rows", "one large", "grid"] {
        hosts.press(&mut model, "<space>");
        assert!(!model.panes.zoomed && lines(&model)[49].contains(&format!("layout: {word}")));
        assert_eq!(view::wishes(&model).len(), 4);
    }
    hosts.press(&mut model, "<space><space><space>3<enter>");
    assert_eq!(view::wishes(&model)[0].agent, agent("impl-1"), "enter makes it the large one");
}

#[test]
fn without_colours_and_in_ascii_it_says_the_same() {
    for script in ["", "z", "<space>", "2<c-u>v", "2<c-u>/ok<enter>", "i", "i<c-b>", "5"] {
        for size in SIZES {
            let mut model = model_at(agents(5), size);
            model.theme = Theme { depth: Depth::Mono, ascii: true, ..Theme::default() };
            let mut hosts = hosts();
            hosts.0.insert(agent("architect"), Host::new(Source::Terminal, plain(&["what now?"])));
            hosts.press(&mut model, "p");
            hosts.press(&mut model, script);
            let (buffer, _) = draw(&model);
            assert!(buffer.content().iter().all(|cell| cell.symbol().is_ascii()), "{script}: {:#?}", lines(&model));
            assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
        }
    }
    // The selected pane and the one that is typed into stand out without colours too.
    let (mut model, mut hosts) = page(4, (80, 24), "2");
    model.theme = Theme { depth: Depth::Mono, ascii: true, ..Theme::default() };
    assert!(lines(&model)[1].contains(">2 * tester") && lines(&model)[1].contains("===="), "{}", lines(&model)[1]);
    hosts.press(&mut model, "i");
    assert!(draw(&model).0[(60, 1)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn no_size_breaks_the_page() {
    for script in [
        "",
        "z",
        "<space>",
        "<space><space>",
        "<space><space><space>",
        "i",
        "2<c-u>v",
        "2/x",
        "2/failed<enter>",
        "i<c-b>",
    ] {
        for width in [0, 39, 40, 66, 80, 121, 250] {
            for height in [0, 12, 24, 57] {
                for count in [0, 1, 2, 5] {
                    let (mut model, mut hosts) = page(count, (width, height), script);
                    draw(&model);
                    update(&mut model, Message::Resized(height.max(1), width));
                    draw(&model);
                    hosts.show(&mut model);
                    draw(&model);
                }
            }
        }
    }
}
