//! Runs whose terminal tmux has: what is seen and typed there, and how they end. Each on a server of its own, which is gone
//! when its last run is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pipeline_lib::terminal::keys::InputModes;
use pipeline_lib::terminal::{Attributes, Colour, Frame, Input, Key, KeyCode, Size};
use pipeline_worktrees::host::{self, HostError, How, Multiplexer, Observation, Pane, Stream, Why};
use pipeline_worktrees::process::Identity;
use rustix::fs::inotify;
use rustix::process::Signal;

use support::{LIMIT, Run, wait_dead, wait_in, wait_readable};

const SIZE: Size = Size { columns: 60, rows: 12 };

/// A run in tmux, unless that is not there and need not be.
fn run(script: &str) -> Option<Run> {
    if Command::new("tmux").arg("-V").output().is_err() {
        assert!(std::env::var_os("PIPELINE_TESTS_NEED_TMUX").is_none(), "tmux is required here and is missing");
        drop(std::io::Write::write_all(&mut std::io::stderr(), b"left out: there is no tmux\n"));
        return None;
    }
    // The test binary, which is the host here, says something before it becomes that.
    let mut run = Run::shell(&format!("printf '\\033[H\\033[2J\\033[3J'\n{script}"));
    let sockets = run.base.path().to_string_lossy().into_owned();
    let env = BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("TMUX_TMPDIR".to_owned(), sockets),
    ]);
    run.claim.multiplexer = Some(Multiplexer::of_repository(run.base.path(), &env));
    run.claim.terminal = Some(SIZE);
    Some(run)
}

fn pane(run: &Run) -> Pane {
    wait_in(&run.dir(), || match host::pane(&run.dir()) {
        Ok(pane) => Some(pane.unwrap()),
        Err(HostError::TerminalGone { .. }) => None,
        Err(error) => panic!("{error}"),
    })
}

fn frame(pane: &Pane) -> Frame {
    pane.capture(|_| 0).unwrap().frame(0)
}

fn rows(frame: &Frame) -> Vec<String> {
    frame.lines.iter().map(|line| line.text()).collect()
}

/// Waits until the pane shows what is wanted, looking whenever the run has written something.
fn shows(run: &Run, wanted: impl Fn(&Frame) -> bool) -> (Pane, Frame) {
    let pane = pane(run);
    let until = Instant::now() + LIMIT;
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, run.dir(), inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE).unwrap();
    loop {
        let frame = frame(&pane);
        if wanted(&frame) {
            return (pane, frame);
        }
        assert!(wait_readable(&watch, until), "{:?}", rows(&frame));
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&watch, &mut buffer);
        while events.next().is_ok() {}
    }
}

fn has(text: &str) -> impl Fn(&Frame) -> bool {
    move |frame| frame.lines.iter().any(|line| line.text().contains(text))
}

fn key(code: KeyCode) -> Input {
    Input::Key(Key { code, shift: false, alt: false, control: false })
}

fn log(run: &Run) -> String {
    let chunk = host::read_log(&run.dir(), Stream::Stdout, 0, usize::MAX).unwrap();
    String::from_utf8_lossy(&chunk.bytes).into_owned()
}

/// The user's own client of the run's server.
fn tmux(run: &Run, words: &[&str]) -> std::process::Output {
    let server = &run.claim.multiplexer.as_ref().unwrap().server;
    let mut command = Command::new("tmux");
    command.args(["-L", server]).args(words).env_remove("TMUX").env("TMUX_TMPDIR", run.base.path()).output().unwrap()
}

fn server(run: &Run) -> Identity {
    let said = tmux(run, &["display-message", "-p", "#{pid}"]);
    Identity::of(String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()).unwrap()
}

#[test]
fn what_is_sent_arrives_as_it_is_and_what_is_shown_is_seen() {
    let script = "stty size; printf '\\033[1;31mready\\033[m\\n'; cat > got; echo over";
    let Some(run) = run(script) else { return };
    run.start();
    let (pane, seen) = shows(&run, has("ready"));
    assert_eq!(rows(&seen)[..2], ["12 60", "ready"]);
    let style = seen.lines[1].spans[0].style;
    assert_eq!((style.foreground, style.attributes), (Colour::Indexed(1), Attributes::BOLD));
    assert_eq!((seen.size, seen.cursor.unwrap().row), (SIZE, 2));
    let text = "-x 'one' \"two\"; $HOME `id` #{pid} %1 C-c Enter\nünïcödé 界\\";
    let none = InputModes::default();
    pane.input(&[Input::Paste { text: text.to_owned(), submit: true }], &none).unwrap();
    for c in "-l ;".chars() {
        pane.input(&[key(KeyCode::Char(c))], &none).unwrap();
    }
    pane.input(&[key(KeyCode::Char('é')), key(KeyCode::Enter)], &none).unwrap();
    // The end of a file, as the keyboard says it.
    pane.input(&[Input::Key(Key { code: KeyCode::Char('d'), shift: false, alt: false, control: true })], &none)
        .unwrap();
    let record = run.wait_ended();
    assert_eq!(fs::read_to_string(run.file("got")).unwrap(), format!("{text}\n-l ;é\n"));
    assert_eq!((record.how, record.terminal), (How::Exited { code: 0 }, Some(SIZE)));
    let printed = log(&run);
    assert!(
        printed.starts_with("\u{1b}[H\u{1b}[2J\u{1b}[3J12 60\r\n\u{1b}[1;31mready") && printed.ends_with("over\r\n"),
        "{printed:?}"
    );
    assert!(!record.truncated && record.stdout_bytes == printed.len() as u64);
}

#[test]
fn the_environment_is_the_claimed_one_and_the_keys_are_the_agents() {
    // It is in the foreground a moment after it began at the latest.
    let script = "env > env; trap 'echo interrupted' INT; group() { cut -d' ' -f $1 /proc/self/stat; }; \
                  until [ $(group 5) = $(group 8) ]; do :; done; echo ready; \
                  until read -r line; do :; done; echo \"<$line>\"";
    let Some(mut run) = run(script) else { return };
    run.claim.env.insert("MINE".to_owned(), "yes".to_owned());
    run.start();
    let (pane, _) = shows(&run, has("ready"));
    let env = fs::read_to_string(run.file("env")).unwrap();
    let has_line = |line: &str| env.lines().any(|found| found == line);
    assert!(has_line("MINE=yes") && has_line("TERM=tmux-256color") && has_line("COLORTERM=truecolor"), "{env}");
    assert!(!env.contains("TMUX") && !env.contains("PIPELINE_HOST"), "{env}");
    let control = |c| Input::Key(Key { code: KeyCode::Char(c), shift: false, alt: false, control: true });
    // Interrupting means the agent and not its host; stopping it would leave it to nobody.
    pane.input(&[control('c')], &InputModes::default()).unwrap();
    shows(&run, has("interrupted"));
    pane.input(&[control('z')], &InputModes::default()).unwrap();
    shows(&run, has("^Z"));
    pane.input(&[Input::Paste { text: "on".to_owned(), submit: true }], &InputModes::default()).unwrap();
    assert_eq!(run.wait_ended().how, How::Exited { code: 0 });
    assert!(log(&run).contains("<on>"), "{}", log(&run));
}

/// What a host is given is nobody's business, and a command line is everybody's.
#[test]
fn the_hosts_environment_is_on_no_command_line_and_in_no_other_session() {
    let (Some(one), Some(mut two)) = (run("echo up; read -r _"), run("echo up; read -r _")) else { return };
    let mut program = support::program();
    program.environment.push(("TOKEN".into(), "s3cret".into()));
    host::prepare(&one.dir(), &one.claim).unwrap();
    host::spawn_host(&program, &one.dir()).unwrap();
    shows(&one, has("up"));
    two.claim.multiplexer.clone_from(&one.claim.multiplexer);
    two.start();
    shows(&two, has("up"));
    let of = |process: &Identity, file: &str| fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap();
    let [first, second] = [&one, &two].map(|run| run.wait_running());
    assert!(of(&first.0, "environ").contains("TOKEN=s3cret"), "the host has it");
    assert!(!of(&first.1, "environ").contains("s3cret"), "its agent has what it claims");
    assert!(!of(&second.0, "environ").contains("s3cret"));
    for process in [&first.0, &server(&one)] {
        assert!(!of(process, "cmdline").contains("s3cret"));
    }
    for run in [&one, &two] {
        host::request_stop(&run.dir(), None, "stopped", Duration::from_secs(10)).unwrap();
        run.wait_ended();
    }
}

#[test]
fn lines_that_scrolled_by_are_seen_and_found() {
    // tmux tells a program of its new size in its own time.
    let script = "i=0; while [ $i -lt 50 ]; do echo line $i; i=$((i+1)); done; read -r _; \
                  until [ \"$(stty size)\" = '5 30' ]; do :; done";
    let Some(run) = run(script) else { return };
    run.start();
    let (pane, _) = shows(&run, has("line 49"));
    let above = pane.capture(|state| state.history).unwrap().frame(0);
    assert_eq!((rows(&above)[0].as_str(), above.cursor), ("line 0", None));
    assert_eq!((above.history, above.offset), (50 + 1 - 12, 50 + 1 - 12));
    let one = pane.capture(|_| 3).unwrap();
    assert_eq!(rows(&one.frame(0))[0], "line 36");
    let lines = pane.lines().unwrap();
    assert_eq!((lines.len(), lines[7].text().as_str()), (51, "line 7"));
    let smaller = Size { columns: 30, rows: 5 };
    pane.resize(smaller).unwrap();
    assert_eq!(frame(&pane).size, smaller);
    pane.input(&[key(KeyCode::Enter)], &InputModes::default()).unwrap();
    assert_eq!(run.wait_ended().terminal, Some(smaller));
}

#[test]
fn a_person_who_scrolled_back_is_not_typed_at() {
    let Some(run) = run("echo ready; read -r line; echo \"<$line>\"; read -r line; echo \"<$line>\"") else { return };
    run.start();
    let (pane, _) = shows(&run, has("ready"));
    assert!(tmux(&run, &["copy-mode"]).status.success());
    let typed: Vec<_> = "qk".chars().map(|c| key(KeyCode::Char(c))).chain([key(KeyCode::Enter)]).collect();
    pane.input(&typed, &InputModes::default()).unwrap();
    shows(&run, has("<qk>"));
    assert!(tmux(&run, &["copy-mode"]).status.success());
    pane.input(&[Input::Paste { text: "pasted".to_owned(), submit: true }], &InputModes::default()).unwrap();
    run.wait_ended();
    assert!(log(&run).contains("<pasted>"), "{}", log(&run));
}

#[test]
fn a_program_that_marks_pastes_is_given_marks_and_its_prompt() {
    let script = "printf '\\033[?2004hready'; stty raw -echo; dd bs=1 count=27 2>/dev/null > got; stty sane";
    let Some(mut run) = run(script) else { return };
    run.claim.prompt = Some("do\nit \u{1b}[201~now".to_owned());
    run.start();
    run.wait_ended();
    assert_eq!(fs::read_to_string(run.file("got")).unwrap(), "\u{1b}[200~do\rit [201~now\u{1b}[201~\r");
    assert_eq!(host::unsent_prompt(&run.dir()), None);
}

#[test]
fn a_stop_ends_all_of_it_and_the_server_with_its_last_run() {
    let Some(run) = run("trap '' HUP; setsid sleep 600 & echo $! > sleeper; echo up; sleep 600") else { return };
    run.start();
    shows(&run, has("up"));
    let (server, sleeper) = (server(&run), run.wait_pid("sleeper"));
    host::request_stop(&run.dir(), None, "stopped", Duration::from_secs(10)).unwrap();
    assert_eq!(run.wait_ended().how, How::Stopped { reason: "stopped".to_owned() });
    wait_dead(&sleeper);
    wait_dead(&server);
    assert!(run.remains().is_empty());
    assert!(host::pane(&run.dir()).unwrap().unwrap().capture(|_| 0).is_err());
}

#[test]
fn a_session_that_somebody_kills_is_recorded_whatever_its_agent_does() {
    for (script, ignores) in [("echo up; sleep 600", false), ("trap '' HUP; echo up; while :; do sleep 1; done", true)]
    {
        let Some(mut run) = run(script) else { return };
        run.claim.stop_grace_ms = 500;
        run.start();
        shows(&run, has("up"));
        let (_, agent) = run.wait_running();
        let session = format!("={}", run.claim.run.as_str());
        assert!(tmux(&run, &["kill-session", "-t", &session]).status.success());
        let record = run.wait_ended();
        assert_eq!(record.how, How::Signaled { signal: Signal::HUP.as_raw() }, "ignores: {ignores}");
        assert!(log(&run).contains("up"));
        wait_dead(&agent);
        assert!(run.remains().is_empty());
    }
}

#[test]
fn a_server_or_a_host_that_is_killed_leaves_nothing_behind() {
    let Some(run) = run("echo up; sleep 600") else { return };
    run.start();
    shows(&run, has("up"));
    assert!(server(&run).signal(Signal::KILL));
    assert_eq!(run.wait_ended().how, How::Signaled { signal: Signal::HUP.as_raw() });
    let Some(run) = self::run("trap '' HUP; echo up; while :; do sleep 1; done") else { return };
    run.start();
    shows(&run, has("up"));
    let (host, _) = run.wait_running();
    let server = server(&run);
    host.signal(Signal::KILL);
    wait_dead(&host);
    assert!(matches!(host::observe(&run.dir()), Observation::Interrupted { why: Why::HostDied, .. }));
    host::kill_remains(&run.dir()).unwrap();
    assert!(run.remains().is_empty());
    wait_dead(&server);
}

#[test]
fn runs_whose_names_begin_alike_and_servers_of_others_are_told_apart() {
    let (Some(mut one), Some(other)) = (run("echo one; read -r _"), run("echo other; read -r _")) else { return };
    let mut long = run("echo long; read -r _").unwrap();
    one.claim.run = pipeline_lib::ids::RunId::new("R-1").unwrap();
    long.claim.run = pipeline_lib::ids::RunId::new("R-10").unwrap();
    long.claim.multiplexer.clone_from(&one.claim.multiplexer);
    for run in [&one, &long, &other] {
        run.start();
    }
    let names = [(&one, "one"), (&long, "long"), (&other, "other")];
    let panes = names.map(|(run, name)| shows(run, has(name)).0);
    assert_eq!(tmux(&one, &["list-sessions"]).stdout.iter().filter(|byte| **byte == b'\n').count(), 2);
    panes[0].input(&[key(KeyCode::Enter)], &InputModes::default()).unwrap();
    one.wait_ended();
    let host = |run: &Run| run.wait_running().0;
    let (long_host, other_host) = (host(&long), host(&other));
    assert!(long_host.is_alive() && other_host.is_alive());
    assert_eq!(rows(&frame(&panes[1]))[0], "long");
    // What is gone is not mistaken for what is there, though its name begins like it.
    wait_in(&one.dir(), || panes[0].input(&[key(KeyCode::Enter)], &InputModes::default()).is_err().then_some(()));
    assert!(long_host.is_alive());
    for run in [&long, &other] {
        host::request_stop(&run.dir(), None, "stopped", Duration::from_secs(10)).unwrap();
        run.wait_ended();
    }
}

#[test]
fn where_tmux_is_missing_the_start_says_so() {
    let mut run = Run::shell("true");
    let env = BTreeMap::from([("PATH".to_owned(), "/nonexistent".to_owned())]);
    run.claim.multiplexer = Some(Multiplexer::of_repository(Path::new("/x"), &env));
    run.claim.terminal = Some(SIZE);
    host::prepare(&run.dir(), &run.claim).unwrap();
    let error = host::spawn_host(&support::program(), &run.dir()).unwrap_err();
    assert!(matches!(error, HostError::Tmux { missing: true, .. }), "{error}");
    assert!(error.to_string().contains("install tmux 3.2 or newer"), "{error}");
    assert_eq!(host::observe(&run.dir()), Observation::NotStarted);
}

#[test]
fn a_host_without_its_pane_does_not_begin() {
    let Some(run) = run("touch begun") else { return };
    host::prepare(&run.dir(), &run.claim).unwrap();
    let host = support::program();
    let status = Command::new(host.program)
        .args(host.arguments)
        .arg(run.dir())
        .envs(host.environment)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let How::SpawnFailed { message, .. } = run.wait_ended().how else { panic!("it began") };
    assert!(message.contains("tmux"), "{message}");
    assert!(!run.file("begun").exists());
}

#[test]
fn output_is_bounded_and_its_end_is_kept() {
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo a line of output that fills the log, $i; i=$((i+1)); done; printf end";
    let Some(mut run) = run(script) else { return };
    run.claim.log_bytes_max = 8 * 1024;
    run.start();
    let record = run.wait_ended();
    assert!(record.truncated && record.stdout_bytes > 100_000);
    assert!(log(&run).ends_with("fills the log, 2999\r\nend"), "the end is there, and nothing behind it");
    for name in ["stdout.log", "stdout.log.1"] {
        assert!(fs::metadata(run.dir().join(name)).unwrap().len() <= 8 * 1024);
    }
}
