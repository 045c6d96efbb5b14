//! Runs with a terminal, seen through the socket of their hosts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pipeline_lib::terminal::wire::{Decoder, Reply, Request, VERSION, encode};
use pipeline_lib::terminal::{Frame, Input, Key, KeyCode, MouseAction, Size};
use pipeline_lib::text;
use pipeline_worktrees::host::{self, HostError, How, Observation, StopOutcome, Stream, Why};
use pipeline_worktrees::process::Identity;
use rustix::process::Signal;

use support::{LIMIT, Run, wait_dead, wait_in};

const SIZE: Size = Size { columns: 40, rows: 10 };

fn run(script: &str) -> Run {
    let mut run = Run::shell(script);
    run.claim.terminal = Some(SIZE);
    run
}

/// Somebody who looks at a terminal.
struct Viewer {
    stream: UnixStream,
    decoder: Decoder,
    replies: VecDeque<Reply>,
    frame: Frame,
    updates: usize,
    ended: bool,
}

impl Viewer {
    /// Connects as soon as that is possible.
    fn of(run: &Run) -> Self {
        let stream = wait_in(&run.dir(), || match host::connect(&run.dir()) {
            Ok(stream) => Some(stream),
            Err(HostError::TerminalGone { .. }) => None,
            Err(error) => panic!("{error}"),
        });
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (decoder, replies, frame) = (Decoder::default(), VecDeque::new(), Frame::blank(SIZE));
        let mut viewer = Self { stream, decoder, replies, frame, updates: 0, ended: false };
        let hello = viewer.ask(&Request::Hello { version: VERSION });
        let run = run.claim.run.clone();
        assert!(matches!(hello, Reply::Hello { version: VERSION, run: said, .. } if said == run));
        viewer
    }

    fn looking(run: &Run) -> Self {
        let mut viewer = Self::of(run);
        viewer.look(None, 0);
        viewer
    }

    fn send(&mut self, request: &Request) {
        self.stream.write_all(&encode(request).unwrap()).unwrap();
    }

    fn look(&mut self, resize: Option<Size>, offset: usize) {
        self.look_from(resize, offset, None);
    }

    fn look_from(&mut self, resize: Option<Size>, offset: usize, at: Option<u64>) {
        self.send(&Request::View { resize, offset, at, interval_ms: 0 });
    }

    fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            assert_eq!(self.input(Input::Key(Key { code, shift: false, alt: false, control: false })), Reply::Taken);
        }
    }

    fn input(&mut self, input: Input) -> Reply {
        self.ask(&Request::Input { input })
    }

    /// The next reply that is not a picture.
    fn ask(&mut self, request: &Request) -> Reply {
        self.send(request);
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return reply;
            }
            assert!(self.receive(), "hung up after {request:?}");
        }
    }

    /// Takes in something more; false at the end.
    fn receive(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let read = match self.stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}: {:?}", self.rows()),
        };
        self.decoder.push(&buffer[..read]);
        while let Some(reply) = self.decoder.next_message().unwrap() {
            match reply {
                Reply::Update { update } => {
                    self.updates += 1;
                    self.frame.apply(update);
                    assert_sound(&self.frame);
                }
                Reply::Ended => self.ended = true,
                other => self.replies.push_back(other),
            }
        }
        read > 0
    }

    fn rows(&self) -> Vec<String> {
        self.frame.lines.iter().map(|line| line.text()).collect()
    }

    fn wait_for(&mut self, wanted: impl Fn(&Frame) -> bool) {
        while !wanted(&self.frame) {
            assert!(self.receive(), "it ended: {:?}", self.rows());
        }
    }

    fn wait_text(&mut self, text: &str) {
        self.wait_for(|frame| frame.lines.iter().any(|line| line.text().contains(text)));
    }

    fn wait_end(&mut self) {
        while self.receive() {}
        assert!(self.ended);
    }
}

fn assert_sound(frame: &Frame) {
    for line in &frame.lines {
        assert!(line.columns() <= usize::from(frame.size.columns), "{line:?}");
        let bad = line.spans.iter().flat_map(|span| span.text.chars()).find(|c| text::is_hidden(*c) || c.is_control());
        assert_eq!(bad, None, "{line:?}");
    }
    assert!(!frame.title.chars().any(|c| text::is_hidden(c) || c.is_control()), "{:?}", frame.title);
}

fn memory_kb(process: &Identity, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_program_is_answered_while_nobody_looks() {
    let run = run(r"
        stty raw -echo
        ask() { printf $1 > /dev/tty; dd bs=1 count=$2 2>/dev/null; echo; }
        { ask '\033[3;5H\033[6n' 6; ask '\033[c' 5; ask '\033]11;?\007' 24; ask '\033[18t' 10; } > answers");
    let record = run.start().wait_ended();
    assert_eq!(record.how, How::Exited { code: 0 });
    let answers = fs::read_to_string(run.file("answers")).unwrap();
    assert_eq!(answers, "\x1b[3;5R\n\x1b[?6c\n\x1b]11;rgb:1818/1818/1818\x07\n\x1b[8;10;40t\n");
}

#[test]
fn the_program_has_a_terminal_of_its_own() {
    let mut run = run(r#"
        test -t 0 && test -t 1 && test -t 2 && echo three
        test "$(ps -o pid=,sid=,tpgid= $$ | tr -s ' ' '\n' | sort -u | grep -c .)" = 1 && echo leader
        echo $TERM $COLORTERM ${LINES-unset} ${COLUMNS-unset}; stty size; ls /proc/$$/fd; : < /dev/tty && echo controlling"#);
    run.claim.env.extend([("COLORTERM".to_owned(), "mine".to_owned()), ("LINES".to_owned(), "3".to_owned())]);
    let record = run.start().wait_ended();
    assert_eq!((record.how, record.stderr_bytes), (How::Exited { code: 0 }, 0));
    let out = host::tail(&run.dir(), Stream::Stdout, 1000).unwrap();
    let expected = ["three", "leader", "xterm-256color mine unset unset", "10 40", "0", "1", "2", "controlling", ""];
    assert_eq!(out.replace("0  1  2", "0\r\n1\r\n2"), expected.join("\r\n"));
    assert_eq!(record.stdout_bytes, out.len() as u64);
}

#[test]
fn what_is_on_the_screen_is_seen_and_typed_into() {
    let run = run("printf 'name? '; read name; printf '\\033[32mhello %s\\033[m' $name; read x");
    run.start();
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("name?");
    assert_eq!(viewer.frame.cursor.map(|cursor| (cursor.column, cursor.row)), Some((6, 0)));
    viewer.type_text("wörld\n");
    viewer.wait_text("hello wörld");
    assert_eq!(viewer.rows()[..3], ["name? wörld", "hello wörld", ""]);
    viewer.type_text("\n");
    viewer.wait_end();
    assert_eq!(run.wait_ended().how, How::Exited { code: 0 });
}

#[test]
fn a_last_word_is_seen_by_those_who_look_and_by_those_who_look_away() {
    let run = run("read x; seq 1 5000; echo last words");
    run.start();
    let (mut looking, mut away) = (Viewer::looking(&run), Viewer::of(&run));
    looking.wait_for(|frame| frame.cursor.is_some());
    away.type_text("\n");
    looking.wait_end();
    away.wait_end();
    assert_eq!(looking.rows()[8], "last words");
    assert_eq!((away.updates, looking.frame.history), (0, 4993));
    let out = host::read_log(&run.dir(), Stream::Stdout, 0, usize::MAX).unwrap();
    assert!(out.bytes.ends_with(b"5000\r\nlast words\r\n"), "nothing of the end is lost");
    assert!(matches!(host::connect(&run.dir()), Err(HostError::TerminalGone { .. })));
}

#[test]
fn viewers_see_what_each_of_them_wants_to() {
    let run = run("seq 1 100; read x; seq 101 200; read x");
    run.start();
    let (mut now, mut back) = (Viewer::looking(&run), Viewer::of(&run));
    now.wait_text("100");
    back.look(None, 50);
    back.wait_text("51");
    assert_eq!((back.rows()[0].as_str(), back.frame.offset, back.frame.history), ("42", 50, 91));
    let at = Some(back.frame.scrolled);
    back.type_text("\n");
    now.wait_text("200");
    back.wait_for(|frame| frame.history == 192);
    assert_eq!((back.rows()[0].as_str(), back.frame.offset), ("42", 151), "the same lines, further up");
    assert_eq!(
        back.ask(&Request::Search { needle: "77".to_owned(), offset: 0, at: None, forward: false }),
        Reply::Found { offset: Some(15) }
    );
    let Reply::Text { lines } = back.ask(&Request::Text { from: 3, to: 1, at: None }) else { panic!("not a text") };
    assert_eq!(lines, ["198", "199", "200"]);
    // What is named by an earlier picture is what was there then.
    let search = Request::Search { needle: "30".to_owned(), offset: 50, at, forward: false };
    assert_eq!(back.ask(&search), Reply::Found { offset: Some(62) });
    let Reply::Text { lines } = back.ask(&Request::Text { from: 3, to: 1, at }) else { panic!("not a text") };
    assert_eq!(lines, ["98", "99", "100"]);
    back.look_from(None, 52, at);
    back.wait_for(|frame| frame.offset == 153);
    assert_eq!(back.rows()[0], "40");
    back.send(&Request::Pause);
    back.look(None, 0);
    back.wait_text("200");
    assert_eq!(back.frame, now.frame);
}

#[test]
fn a_new_size_reaches_the_program() {
    let run = run("trap 'stty size' WINCH; stty size; while :; do read x; done");
    run.start();
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("10 40");
    viewer.look(Some(Size { columns: 55, rows: 12 }), 0);
    viewer.wait_text("12 55");
    assert_eq!(viewer.frame.size, Size { columns: 55, rows: 12 });
    let mut other = Viewer::of(&run);
    other.look(Some(Size { columns: 0, rows: u16::MAX }), 0);
    other.wait_for(|frame| frame.size == Size { columns: 2, rows: 500 });
    viewer.wait_for(|frame| frame.size == Size { columns: 2, rows: 500 });
    host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap();
    run.wait_ended();
}

#[test]
fn the_size_goes_with_whoever_wanted_it() {
    let run = run("trap 'stty size' WINCH; stty size; while :; do read x; done");
    run.start();
    let size = |columns, rows| Size { columns, rows };
    let (mut first, mut second, mut third) = (Viewer::looking(&run), Viewer::of(&run), Viewer::of(&run));
    first.look(Some(size(55, 12)), 0);
    first.wait_for(|frame| frame.size == size(55, 12));
    second.look(Some(size(66, 16)), 0);
    first.wait_for(|frame| frame.size == size(66, 16));
    third.look(Some(size(77, 17)), 0);
    first.wait_for(|frame| frame.size == size(77, 17));
    // The latest of those who stay, and not before the one who counts has left.
    third.send(&Request::Pause);
    first.wait_text("16 66");
    third.look(Some(size(77, 17)), 0);
    first.wait_for(|frame| frame.size == size(77, 17));
    drop(second);
    drop(third);
    first.wait_for(|frame| frame.size == size(55, 12));
    // Where nobody wants any, it stays.
    let mut last = Viewer::looking(&run);
    drop(first);
    last.wait_for(|frame| frame.size == size(55, 12));
    host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap();
    run.wait_ended();
}

#[test]
fn a_paste_is_one_piece_and_enter_comes_after_it() {
    let run = run(r"
        stty raw -echo; printf '\033[?2004hready'
        dd bs=1 count=24 2>/dev/null > pasted; dd bs=1 count=1 2>/dev/null > enter");
    run.start();
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("ready");
    let text = "one\r\ntwo\x1b[201~\x03".to_owned();
    assert_eq!(viewer.input(Input::Paste { text, submit: true }), Reply::Taken);
    run.wait_ended();
    assert_eq!(fs::read(run.file("pasted")).unwrap(), b"\x1b[200~one\ntwo[201~\x1b[201~");
    assert_eq!(fs::read(run.file("enter")).unwrap(), b"\r");
}

#[test]
fn the_mouse_reaches_a_program_that_asked_for_it() {
    let run = run(r"
        stty raw -echo; printf '\033[?1000;1006hready'; dd bs=1 count=10 2>/dev/null > clicked");
    run.start();
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("ready");
    assert!(viewer.frame.modes.mouse);
    let click = Input::Mouse { action: MouseAction::Press, column: 11, row: 2 };
    assert_eq!(viewer.input(click), Reply::Taken);
    run.wait_ended();
    assert_eq!(fs::read(run.file("clicked")).unwrap(), b"\x1b[<0;12;3M");
}

#[test]
fn input_that_is_not_read_is_refused_and_the_host_goes_on() {
    let run = run("stty raw -echo; printf ready; read x < go; cat | wc -c > count");
    let go = run.file("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    run.start();
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("ready");
    let paste = || Input::Paste { text: "x".repeat(400_000), submit: false };
    let replies: Vec<bool> = (0..4).map(|_| viewer.input(paste()) == Reply::Taken).collect();
    assert_eq!(replies, [true, true, false, false]);
    let small = viewer.input(Input::Key(Key { code: KeyCode::Enter, shift: false, alt: false, control: false }));
    assert_eq!(small, Reply::Taken);
    host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap();
    assert!(matches!(run.wait_ended().how, How::Stopped { .. }));
}

#[test]
fn a_viewer_that_does_not_read_holds_nobody_up() {
    let run =
        run("read x; yes 'a line that is repeated very often indeed' | head -c 50000000; echo done > done; read x");
    let (host, _) = run.start().wait_running();
    let mut deaf = Viewer::of(&run);
    deaf.look(None, 0);
    // Nor does one that asks and does not listen to the answers.
    let mut rude = Viewer::of(&run);
    rude.stream.set_nonblocking(true).unwrap();
    let request = encode(&Request::Text { from: usize::MAX, to: 0, at: None }).unwrap();
    while rude.stream.write(&request).is_ok() {}
    let mut viewer = Viewer::looking(&run);
    viewer.type_text("\n");
    assert_eq!(run.wait_line("done"), "done");
    let peak = memory_kb(&host, "VmHWM");
    assert!(peak < 64 * 1024, "{peak} kB");
    viewer.type_text("\n");
    let record = run.wait_ended();
    // Each end of line is two bytes.
    assert!(record.stdout_bytes > 50_000_000 && record.truncated);
    viewer.wait_end();
}

#[test]
fn whoever_says_what_nobody_says_is_hung_up_on() {
    let run = run("echo here; read x");
    run.start();
    let mut honest = Viewer::looking(&run);
    honest.wait_text("here");
    let no_greeting = encode(&Request::Pause).unwrap();
    let greeting = encode(&Request::Hello { version: VERSION }).unwrap();
    let twice = [greeting.clone(), greeting].concat();
    for bytes in
        [no_greeting, twice, b"\0\0\0\x02{}".to_vec(), b"\xff\xff\xff\xff".to_vec(), b"GET / HTTP/1.1".to_vec()]
    {
        let mut stream = host::connect(&run.dir()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        // Being reset is being hung up on.
        drop(stream.read_to_end(&mut rest));
    }
    let mut newer = host::connect(&run.dir()).unwrap();
    newer.set_read_timeout(Some(LIMIT)).unwrap();
    newer.write_all(&encode(&Request::Hello { version: VERSION + 1 }).unwrap()).unwrap();
    let (mut bytes, mut decoder) = (Vec::new(), Decoder::default());
    newer.read_to_end(&mut bytes).unwrap();
    decoder.push(&bytes);
    assert!(matches!(decoder.next_message(), Ok(Some(Reply::Hello { version: VERSION, .. }))));
    // Half a message is no reason to wait for its other half.
    let mut half = host::connect(&run.dir()).unwrap();
    half.write_all(&[0, 0]).unwrap();
    honest.type_text("\n");
    honest.wait_end();
}

#[test]
fn not_more_may_look_than_there_is_room_for() {
    let run = run("read x");
    run.start();
    let mut viewers: Vec<Viewer> = (0..32).map(|_| Viewer::looking(&run)).collect();
    let mut one_more = host::connect(&run.dir()).unwrap();
    one_more.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(matches!(one_more.read(&mut [0]), Ok(0) | Err(_)));
    for viewer in &mut viewers {
        viewer.wait_for(|frame| frame.cursor.is_some());
    }
    viewers[31].type_text("\n");
    viewers.iter_mut().for_each(Viewer::wait_end);
}

#[test]
fn hostile_output_is_text_to_those_who_look_and_bounded_in_the_host() {
    // The parts of a string without an end are long enough that keeping it would be seen.
    let run = run(r"
        printf '\033]52;c;aGFoYQ==\007\033]0;evil\033[2J\033]0;t\342\200\256itle\007\033[?1049h'
        printf 'bidi \342\200\256txt\342\201\246 \233[31m\302\233x \377\376 zero\342\200\213width\033#8\033[?1049l'
        printf 'e'; head -c 2000000 /dev/zero | sed 's/\x00/\xcc\x81/g'
        printf '\033]'; head -c 10000000 /dev/zero | tr '\0' x; printf '\007after osc\r\n'
        printf '\033P'; head -c 10000000 /dev/zero | tr '\0' x; printf '\033\\after dcs\r\n'
        printf '\033[65535b\033[65535Z'; head -c 3000000 /dev/urandom
        printf '\033\\\033[?2026l\033c\033]2;title\007sane again'; echo done > done; read x");
    let (host, _) = run.start().wait_running();
    let mut viewer = Viewer::looking(&run);
    for size in [(1, 1), (0, 0), (65535, 65535), (7, 3), (40, 10)] {
        viewer.look(Some(Size { columns: size.0, rows: size.1 }), 0);
        viewer.wait_for(|frame| frame.size == Size { columns: size.0, rows: size.1 }.clamped());
    }
    assert_eq!(run.wait_line("done"), "done");
    viewer.wait_text("sane again");
    assert_eq!(viewer.frame.title, "title");
    let peak = memory_kb(&host, "VmHWM");
    assert!(peak < 96 * 1024, "{peak} kB");
    viewer.type_text("\n");
    viewer.wait_end();
    assert_eq!(run.wait_ended().how, How::Exited { code: 0 });
}

#[test]
fn a_string_without_an_end_is_not_kept() {
    let run =
        run(r"printf '\033]0;'; head -c 60000000 /dev/zero | tr '\0' x; printf '\007seen'; echo done > done; read x");
    let (host, _) = run.start().wait_running();
    assert_eq!(run.wait_line("done"), "done");
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("seen");
    let peak = memory_kb(&host, "VmHWM");
    assert!(peak < 40 * 1024, "{peak} kB");
    viewer.type_text("\n");
    viewer.wait_end();
}

#[test]
fn a_leftover_that_holds_the_terminal_is_ended_with_the_rest() {
    let run = run(
        "trap '' HUP; setsid sh -c 'trap \"\" HUP; echo $$ > pid; exec sleep 600' & until test -s pid; do :; done; exit 3",
    );
    let record = run.start().wait_ended();
    assert_eq!((record.how, record.leftovers_killed), (How::Exited { code: 3 }, 1));
    assert_eq!(run.remains(), []);
}

#[test]
fn a_program_that_closes_its_terminal_goes_on() {
    let run = run("exec < /dev/null > /dev/null 2>&1; echo closed > closed; read x < go; exec > /dev/tty; echo back");
    let go = run.file("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    run.start();
    run.wait_line("closed");
    let mut viewer = Viewer::looking(&run);
    fs::write(go, "\n").unwrap();
    viewer.wait_text("back");
    assert_eq!(run.wait_ended().how, How::Exited { code: 0 });
}

#[test]
fn stopping_ends_the_whole_tree() {
    let daemon = "setsid sh -c 'trap \"\" TERM HUP; echo $$ > daemon; exec sleep 600' &";
    let run = run(&format!("trap '' TERM HUP; {daemon} echo $$ > ready; while :; do sleep 600; done"));
    run.start();
    let (shell, daemon) = (run.wait_pid("ready"), run.wait_pid("daemon"));
    let mut viewer = Viewer::looking(&run);
    let outcome = host::request_stop(&run.dir(), None, "stopped", Duration::from_millis(50)).unwrap();
    assert_eq!(outcome, StopOutcome::Requested);
    assert_eq!(run.wait_ended().how, How::Stopped { reason: "stopped".to_owned() });
    viewer.wait_end();
    assert!(!shell.is_alive() && !daemon.is_alive());
    assert_eq!(run.remains(), []);
}

#[test]
fn when_the_host_is_killed_the_run_is_interrupted() {
    let run = run("trap '' HUP; echo $$ > ready; while :; do sleep 600; done");
    let (host, child) = run.start().wait_running();
    run.wait_line("ready");
    let mut viewer = Viewer::looking(&run);
    assert!(host.signal(Signal::KILL));
    wait_dead(&host);
    assert!(matches!(host::observe(&run.dir()), Observation::Interrupted { why: Why::HostDied, .. }));
    while viewer.receive() {}
    assert!(!viewer.ended, "nobody was there to say so");
    assert!(matches!(host::connect(&run.dir()), Err(HostError::TerminalGone { .. })));
    assert!(child.is_alive(), "it takes no notice of the lost terminal");
    assert_eq!(host::kill_remains(&run.dir()).unwrap().unkillable, []);
    assert!(!child.is_alive());
}

#[test]
fn a_socket_that_was_removed_is_made_again() {
    let run = run("read x");
    run.start();
    let mut first = Viewer::looking(&run);
    let socket = run.dir().join("terminal.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&socket).unwrap();
    let mut second = Viewer::looking(&run);
    second.wait_for(|frame| frame.cursor.is_some());
    first.type_text("\n");
    first.wait_end();
    second.wait_end();
    wait_in(&run.dir(), || (!socket.exists()).then_some(()));
}

#[test]
fn a_path_may_be_longer_than_a_socket_may() {
    let run = run("echo here; read x");
    let deep = run.dir().join("x".repeat(200)).join("y".repeat(200));
    host::prepare(&deep, &run.claim).unwrap();
    host::spawn_host(&support::program(), &deep).unwrap();
    wait_in(&deep, || host::connect(&deep).ok());
    host::request_stop(&deep, None, "stopped", Duration::ZERO).unwrap();
    wait_in(&deep, || matches!(host::observe(&deep), Observation::Ended(_)).then_some(()));
}

#[test]
fn a_run_without_a_terminal_has_none_to_connect_to() {
    let run = Run::shell("read x; echo $TERM");
    assert!(matches!(host::connect(&run.dir()), Err(HostError::Io { .. } | HostError::NoTerminal { .. })));
    assert_eq!(run.start().wait_ended().how, How::Exited { code: 0 });
    assert!(matches!(host::connect(&run.dir()), Err(HostError::NoTerminal { .. })));
    assert_eq!(host::tail(&run.dir(), Stream::Stdout, 100).unwrap(), "\n");
}

#[test]
fn what_cannot_be_started_leaves_no_socket() {
    let mut run = run("true");
    run.claim.argv = vec!["no-such-program".to_owned()];
    assert!(matches!(run.start().wait_ended().how, How::SpawnFailed { .. }));
    wait_in(&run.dir(), || (!run.dir().join("terminal.sock").exists()).then_some(()));
}

#[test]
fn output_that_comes_without_a_pause_does_not_keep_a_stop_from_being_heard() {
    // As expensive to show as can be printed.
    let run = run(r"while :; do printf '\033[65535bx\033[65535b\033[65535S%.0s' 1 2 3 4 5 6 7 8 9; done");
    run.start();
    let mut viewer = Viewer::looking(&run);
    viewer.wait_text("x");
    host::request_stop(&run.dir(), None, "stopped", Duration::from_secs(600)).unwrap();
    assert_eq!(run.wait_ended().how, How::Stopped { reason: "stopped".to_owned() });
}

#[test]
fn a_prompt_is_pasted_when_the_program_reads() {
    let mut run = run(
        "stty -echo; printf '\\033[?2004hready> '; IFS= read -r line; printf 'got %s\\n' \"$line\" > heard; stty echo; read -r x",
    );
    run.claim.prompt = Some("do the\ttask".to_owned());
    run.start();
    assert_eq!(run.wait_line("heard"), "got \u{1b}[200~do the\ttask\u{1b}[201~");
    assert_eq!(host::unsent_prompt(&run.dir()), None);
    host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap();
    run.wait_ended();
}
