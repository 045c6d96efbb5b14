//! Pictures of made-up runs: logs in a folder, and hosts that say what the test tells them to.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use pipeline_lib::agents::stream::Format;
use pipeline_lib::ids::RunId;
use pipeline_lib::mode::{Mode, Orchestration};
use pipeline_lib::terminal::wire::{Decoder, Reply, Request, VERSION, encode};
use pipeline_lib::terminal::{Input, Line, Size};
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::screen::{Figures, Monitor};

use super::*;
use crate::live::PaneRequest;

const LIMIT: Duration = Duration::from_secs(30);

fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

fn run(id: &str, live: bool, interactive: bool) -> RunRow {
    RunRow { id: RunId::new(id).unwrap(), live, interactive, format: Format::Auto }
}

fn screen(agents: &[(&str, Option<RunRow>)]) -> Arc<Screen> {
    let row = |(name, run): &(&str, Option<RunRow>)| AgentRow {
        stopping: None,
        name: agent(name),
        role: "impl".to_owned(),
        preset: "custom",
        sandbox: pipeline_lib::settings::Sandbox::Off,
        status: AgentStatus::Working,
        source: "process",
        confidence: 1.0,
        since: Timestamp::UNIX_EPOCH,
        task: None,
        stage: None,
        run: run.clone(),
        line: String::new(),
    };
    Arc::new(Screen {
        project: String::new(),
        base: "main".to_owned(),
        mode: Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Production },
        pending_mode: None,
        monitor: Monitor::Here,
        columns: Vec::new(),
        agents: agents.iter().map(row).collect(),
        attention: Vec::new(),
        events: Vec::new(),
        figures: Figures::default(),
        detail: Detail::Nothing,
        notice: None,
        at: Timestamp::UNIX_EPOCH,
    })
}

/// Somebody who looks, and what they look at.
struct Rig {
    runs: tempfile::TempDir,
    screens: watch::Sender<Arc<Screen>>,
    channels: Channels,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn new(agents: &[(&str, Option<RunRow>)]) -> Self {
        let runs = tempfile::tempdir().unwrap();
        for (_, run) in agents {
            fs::create_dir_all(run.iter().fold(runs.path().to_owned(), |dir, run| dir.join(run.id.as_str()))).unwrap();
        }
        let (screens, seen) = watch::channel(screen(agents));
        let channels = start(runs.path().to_owned(), seen).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { runs, screens, channels, runtime }
    }

    fn log(&self, run: &str) -> File {
        File::options().append(true).create(true).open(self.runs.path().join(run).join("stdout.log")).unwrap()
    }

    fn wish(&self, wishes: &[Wish]) {
        self.channels.wishes.send_replace(wishes.to_vec());
    }

    /// Waits until the picture of an agent is as wished.
    #[track_caller]
    fn wait(&mut self, name: &str, wished: impl Fn(&Pane) -> bool) -> Pane {
        let name = agent(name);
        let Self { channels, runtime, .. } = self;
        let there = channels.panes.wait_for(|panes| panes.get(&name).is_some_and(&wished));
        let found = runtime.block_on(async { timeout(LIMIT, there).await.map(|panes| panes.unwrap()[&name].clone()) });
        found.unwrap_or_else(|_| panic!("never: {:#?}", channels.panes.borrow().get(&name)))
    }

    fn ask(&mut self, name: &str, ask: PaneRequest) -> PaneAnswer {
        let (answer, answered) = oneshot::channel();
        self.channels.typed.blocking_send(PaneAsk { agent: agent(name), run: None, ask, answer }).unwrap();
        self.runtime.block_on(async { timeout(LIMIT, answered).await }).unwrap().unwrap()
    }
}

fn wish(name: &str) -> Wish {
    Wish { agent: agent(name), size: Size { columns: 40, rows: 4 }, resize: true, offset: 0, at: None, focused: true }
}

fn texts(pane: &Pane) -> Vec<String> {
    let lines: Vec<String> = pane.frame.lines.iter().map(|line| line.text()).collect();
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines[..last].to_vec()
}

#[test]
fn a_log_is_read_as_it_grows_and_every_line_once() {
    let mut rig = Rig::new(&[("a", Some(run("R-1", true, false)))]);
    let mut log = rig.log("R-1");
    log.write_all(b"{\"type\":\"thread.started\",\"thread_id\":\"t\"}\nplain \x1b[31mred\x1b[0m\nhalf").unwrap();
    rig.wish(&[wish("a")]);
    let pane = rig.wait("a", |pane| texts(pane) == ["plain red", "half"]);
    assert_eq!((pane.source, pane.note.as_deref()), (Source::Log, None));
    assert_eq!(pane.run, Some(RunId::new("R-1").unwrap()));
    assert_eq!(pane.frame.lines[0].spans.len(), 2);
    let event = r#"{"type":"item.completed","item":{"type":"agent_message","text":"I am done."}}"#;
    log.write_all(format!(" a line\n{event}").as_bytes()).unwrap();
    rig.wait("a", |pane| texts(pane) == ["plain red", "half a line"]);
    log.write_all(b"\n").unwrap();
    rig.wait("a", |pane| texts(pane) == ["plain red", "half a line", "I am done."]);
    fs::write(rig.runs.path().join("R-1/stderr.log"), "a warning\n").unwrap();
    let pane = rig.wait("a", |pane| texts(pane).len() == 4);
    assert_eq!(texts(&pane)[3], "a warning");
    rig.screens.send_replace(screen(&[("a", Some(run("R-1", false, false)))]));
    rig.wait("a", |pane| pane.note.as_deref() == Some("the run has ended"));
    rig.screens.send_replace(screen(&[("a", Some(run("R-2", true, false)))]));
    rig.wait("a", |pane| pane.run == Some(RunId::new("R-2").unwrap()) && texts(pane).is_empty());
    fs::create_dir_all(rig.runs.path().join("R-2")).unwrap();
    rig.log("R-2").write_all(b"begun anew\n").unwrap();
    rig.wait("a", |pane| texts(pane) == ["begun anew"]);
}

#[test]
fn a_log_is_scrolled_searched_and_copied_from() {
    let mut rig = Rig::new(&[("a", Some(run("R-1", true, false)))]);
    let mut log = rig.log("R-1");
    let lines: String = (1..=10).map(|n| format!("line {n}\n")).collect();
    log.write_all(lines.as_bytes()).unwrap();
    rig.wish(&[wish("a")]);
    rig.wait("a", |pane| texts(pane) == ["line 7", "line 8", "line 9", "line 10"]);
    rig.wish(&[Wish { offset: 2, ..wish("a") }]);
    let pane = rig.wait("a", |pane| pane.frame.offset == 2);
    assert_eq!((texts(&pane)[0].as_str(), pane.frame.history), ("line 5", 6));
    log.write_all(b"line 11\n").unwrap();
    let pane = rig.wait("a", |pane| pane.frame.history == 7);
    assert_eq!((texts(&pane)[0].as_str(), pane.frame.offset), ("line 5", 3), "what is looked at stays");
    rig.wish(&[Wish { offset: 2, focused: false, ..wish("a") }]);
    let search = PaneRequest::Search { needle: "LINE 2".to_owned(), offset: 3, at: None, forward: false };
    assert_eq!(rig.ask("a", search), PaneAnswer::Found(Some(6)));
    assert_eq!(
        rig.ask("a", PaneRequest::Text { from: 1, to: 0, at: None }),
        PaneAnswer::Text(vec!["line 10".into(), "line 11".into()])
    );
    let at = Some(pane.frame.scrolled);
    log.write_all(b"line 12\n").unwrap();
    rig.wait("a", |pane| pane.frame.history == 8);
    let search = PaneRequest::Search { needle: "LINE 2".to_owned(), offset: 3, at, forward: false };
    assert_eq!(rig.ask("a", search), PaneAnswer::Found(Some(6)), "in the picture that it was asked for");
    assert_eq!(rig.ask("a", PaneRequest::Text { from: 0, to: 0, at }), PaneAnswer::Text(vec!["line 11".into()]));
    let typed = PaneRequest::Input(Input::Paste { text: "x".to_owned(), submit: true });
    assert!(matches!(rig.ask("a", typed.clone()), PaneAnswer::Refused(why) if why.contains("no terminal")));
    assert!(matches!(rig.ask("b", typed), PaneAnswer::Refused(why) if why.contains("not shown")));
    assert_eq!(texts(&rig.wait("a", |_| true))[0], "line 5", "another look at the same place moves nothing");
    rig.wish(&[Wish { offset: 4, at, ..wish("a") }]);
    let pane = rig.wait("a", |pane| pane.frame.offset == 5);
    assert_eq!(texts(&pane)[0], "line 4", "a line above what that picture had");
}

#[test]
fn where_nothing_ran_it_says_what_to_do() {
    let mut rig = Rig::new(&[("a", None)]);
    rig.wish(&[wish("a"), wish("gone")]);
    let pane = rig.wait("a", |pane| pane.source == Source::Nothing);
    assert!(pane.note.unwrap().contains("pipeline task add"));
    assert!(rig.wait("gone", |_| true).note.unwrap().contains("no agent gone"));
    let mut shadow = (*screen(&[("a", None)])).clone();
    shadow.mode.rollout = Rollout::Shadow;
    rig.screens.send_replace(Arc::new(shadow));
    rig.wait("a", |pane| pane.note.as_deref().is_some_and(|note| note.contains("shadow")));
}

/// The host of a run, as far as its terminal is concerned.
struct Host {
    listener: UnixListener,
}

struct Link {
    stream: UnixStream,
    decoder: Decoder,
}

impl Host {
    fn of(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let listener = UnixListener::bind(dir.join("terminal.sock")).unwrap();
        Self { listener }
    }

    fn accept(&self) -> Link {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Link { stream, decoder: Decoder::default() }
    }

    /// Accepts somebody and shows them this.
    fn greet(&self, run: &str, text: &str) -> (Link, Request) {
        let mut link = self.accept();
        assert_eq!(link.next(), Some(Request::Hello { version: VERSION }));
        let size = Size { columns: 40, rows: 4 };
        link.say(&Reply::Hello { version: VERSION, run: RunId::new(run).unwrap(), size });
        let view = link.next().unwrap();
        link.show(text);
        (link, view)
    }
}

impl Link {
    fn next(&mut self) -> Option<Request> {
        let began = Instant::now();
        loop {
            if let Some(request) = self.decoder.next_message().unwrap() {
                return Some(request);
            }
            assert!(began.elapsed() < LIMIT);
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                read => self.decoder.push(&buffer[..read]),
            }
        }
    }

    fn say(&mut self, reply: &Reply) {
        self.stream.write_all(&encode(reply).unwrap()).unwrap();
    }

    fn show(&mut self, text: &str) {
        let blank = Frame::blank(Size { columns: 40, rows: 4 });
        let mut frame = blank.clone();
        frame.lines[0] = Arc::new(Line::plain(text));
        self.say(&Reply::Update { update: frame.update_from(&blank) });
    }
}

#[test]
fn a_session_is_seen_typed_into_and_left() {
    let mut rig = Rig::new(&[("a", Some(run("R-1", true, true)))]);
    let host = Host::of(&rig.runs.path().join("R-1"));
    rig.wish(&[wish("a")]);
    let (mut link, view) = host.greet("R-1", "hello");
    assert_eq!(
        view,
        Request::View { resize: Some(Size { columns: 40, rows: 4 }), offset: 0, at: None, interval_ms: 33 }
    );
    let pane = rig.wait("a", |pane| texts(pane) == ["hello"]);
    assert_eq!((pane.source, pane.note), (Source::Terminal, None));
    rig.wish(&[Wish { focused: false, resize: false, ..wish("a") }]);
    assert_eq!(link.next(), Some(Request::View { resize: None, offset: 0, at: Some(0), interval_ms: 100 }));
    let input = Input::Paste { text: "x".to_owned(), submit: false };
    let (answer, answered) = oneshot::channel();
    let ask = PaneRequest::Input(input.clone());
    rig.channels.typed.blocking_send(PaneAsk { agent: agent("a"), run: None, ask, answer }).unwrap();
    assert_eq!(link.next(), Some(Request::Input { input }));
    link.say(&Reply::Taken);
    assert_eq!(answered.blocking_recv().unwrap(), PaneAnswer::Taken);
    link.show("hello again");
    rig.wait("a", |pane| texts(pane) == ["hello again"]);
    // The same picture of an agent whose row changed asks the host for nothing.
    rig.screens.send_replace(screen(&[("a", Some(run("R-1", true, true))), ("b", None)]));
    rig.wish(&[]);
    assert_eq!(link.next(), None, "whoever looks no more hangs up");
    let gone = rig.channels.panes.wait_for(|panes| panes.is_empty());
    rig.runtime.block_on(async { timeout(LIMIT, gone).await.map(drop) }).unwrap();
}

#[test]
fn a_host_that_goes_away_is_looked_for_again_and_the_last_picture_stays() {
    let mut rig = Rig::new(&[("a", Some(run("R-1", true, true)))]);
    rig.wish(&[wish("a")]);
    rig.wait("a", |pane| pane.note.as_deref().is_some_and(|note| note.starts_with("no terminal")));
    let host = Host::of(&rig.runs.path().join("R-1"));
    let (link, _) = host.greet("R-1", "first");
    rig.wait("a", |pane| texts(pane) == ["first"] && pane.note.is_none());
    drop(link);
    let (mut link, _) = host.greet("R-1", "second");
    rig.wait("a", |pane| texts(pane) == ["second"] && pane.note.is_none());
    link.say(&Reply::Ended);
    let pane = rig.wait("a", |pane| pane.note.as_deref() == Some("the session has ended"));
    assert_eq!((texts(&pane), pane.source), (vec!["second".to_owned()], Source::Log));
    let typed = PaneRequest::Input(Input::Paste { text: "x".to_owned(), submit: true });
    assert!(matches!(rig.ask("a", typed), PaneAnswer::Refused(why) if why.contains("ended")));
    // A new run is another terminal.
    let other = Host::of(&rig.runs.path().join("R-2"));
    rig.screens.send_replace(screen(&[("a", Some(run("R-2", true, true)))]));
    let (_link, _) = other.greet("R-2", "third");
    rig.wait("a", |pane| texts(pane) == ["third"]);
}

#[test]
fn what_is_typed_reaches_the_session_that_it_was_meant_for_or_nobody() {
    let mut rig = Rig::new(&[("a", Some(run("R-1", true, true)))]);
    let input = Input::Paste { text: "x".to_owned(), submit: false };
    let typed = |rig: &Rig, run: &str| {
        let (answer, answered) = oneshot::channel();
        let (run, ask) = (Some(RunId::new(run).unwrap()), PaneRequest::Input(input.clone()));
        rig.channels.typed.blocking_send(PaneAsk { agent: agent("a"), run, ask, answer }).unwrap();
        answered
    };
    // At once after the wish, and before there is a host: it waits for the connection.
    rig.wish(&[wish("a")]);
    let first = typed(&rig, "R-1");
    let pane = rig.wait("a", |pane| pane.note.is_some());
    assert_eq!((pane.run, pane.source, pane.note.as_deref()), (None, Source::Nothing, Some("Its session begins.")));
    let host = Host::of(&rig.runs.path().join("R-1"));
    let (mut link, _) = host.greet("R-1", "first");
    assert!(matches!(link.next(), Some(Request::Input { .. })));
    link.say(&Reply::Taken);
    assert_eq!(first.blocking_recv().unwrap(), PaneAnswer::Taken);
    // The next session is there before the person has seen it.
    let other = Host::of(&rig.runs.path().join("R-2"));
    rig.screens.send_replace(screen(&[("a", Some(run("R-2", true, true)))]));
    let late = typed(&rig, "R-1");
    assert!(matches!(late.blocking_recv().unwrap(), PaneAnswer::Refused(why) if why.contains("is over")));
    let (mut link, _) = other.greet("R-2", "second");
    rig.wait("a", |pane| texts(pane) == ["second"]);
    rig.wish(&[]);
    assert_eq!(link.next(), None, "nothing of it came here");
}

#[test]
fn a_session_that_was_never_seen_leaves_what_it_wrote() {
    let mut rig = Rig::new(&[("a", Some(run("R-1", false, true)))]);
    rig.log("R-1").write_all(b"\x1b[2J\x1b[1;1H\x1b[1mTitle\x1b[3;1Hdone\r\n").unwrap();
    rig.wish(&[wish("a")]);
    let pane = rig.wait("a", |pane| texts(pane) == ["Title", "done"]);
    assert_eq!((pane.source, pane.note.as_deref()), (Source::Log, Some("the run has ended")));
    // Where its host has recorded the end, it is what the terminal showed.
    fs::create_dir_all(rig.runs.path().join("R-2")).unwrap();
    rig.log("R-2").write_all(b"\x1b[2J\x1b[1;1H\x1b[1mTitle\x1b[3;1Hdo\x1b[2Dit\r\n").unwrap();
    let exit = r#"{"version":1,"run":"R-2","how":"exited","code":0,"started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:01Z","duration_ms":1,"stdout_bytes":33,"stderr_bytes":0,"truncated":false,"cpu_ms":1,"leftovers_killed":0,"terminal":{"columns":80,"rows":24}}"#;
    fs::write(rig.runs.path().join("R-2/exit.json"), exit).unwrap();
    rig.screens.send_replace(screen(&[("a", Some(run("R-2", false, true)))]));
    let pane = rig.wait("a", |pane| texts(pane) == ["Title", "", "it"]);
    assert_eq!(pane.note.as_deref(), Some("the session has ended"));
}

#[test]
fn a_host_that_hangs_or_lies_holds_nobody_up() {
    let runs = [
        ("a", Some(run("R-1", true, true))),
        ("b", Some(run("R-2", true, false))),
        ("c", Some(run("R-3", true, true))),
    ];
    let mut rig = Rig::new(&runs);
    let hangs = Host::of(&rig.runs.path().join("R-1"));
    let lies = Host::of(&rig.runs.path().join("R-3"));
    rig.wish(&[wish("a"), wish("b"), wish("c")]);
    let _link = hangs.accept();
    rig.log("R-2").write_all(b"goes on\n").unwrap();
    rig.wait("b", |pane| texts(pane) == ["goes on"]);
    let mut link = lies.accept();
    let size = Size { columns: 40, rows: 4 };
    link.say(&Reply::Hello { version: VERSION, run: RunId::new("R-9").unwrap(), size });
    rig.wait("c", |pane| pane.note.as_deref().is_some_and(|note| note.contains("that of run R-9")));
    let mut link = lies.accept();
    link.stream.write_all(&[0, 0, 0, 3, b'a', b'b', b'c']).unwrap();
    rig.wait("c", |pane| pane.note.as_deref().is_some_and(|note| note.contains("not understood")));
    let typed = PaneRequest::Input(Input::Paste { text: "x".to_owned(), submit: true });
    assert!(matches!(rig.ask("a", typed), PaneAnswer::Refused(_)));
    rig.wait("a", |pane| pane.note.as_deref().is_some_and(|note| note.contains("does not answer")));
}
