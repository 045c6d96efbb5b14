//! Runs executed by real host processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "host/places.rs"]
mod places;
mod support;

use std::fs;
use std::time::Duration;

use pipeline_lib::terminal::Size;
use pipeline_worktrees::host::{
    self, HostError, HostProgram, How, Observation, SpawnProblem, StopOutcome, Stream, Why,
};
use pipeline_worktrees::process::{Identity, own_pid};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use support::{Run, program, wait_dead, wait_in};

impl Run {
    /// Starts a host that finds nothing to do and ends.
    fn host_again(&self) {
        let HostProgram { program, arguments, environment } = program();
        let output = std::process::Command::new(program)
            .args(arguments)
            .arg(self.dir())
            .env_clear()
            .envs(environment)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn an_ordinary_run_is_recorded_with_its_output() {
    let mut run = Run::shell("echo out; echo err >&2; pwd; echo $GREETING; exit 0");
    run.claim.env.insert("GREETING".to_owned(), "hi".to_owned());
    let cwd = run.claim.cwd.clone();
    let record = run.start().wait_ended();
    assert_eq!(record.how, How::Exited { code: 0 });
    assert_eq!(record.run, run.claim.run);
    assert_eq!((record.truncated, record.leftovers_killed), (false, 0));
    let out = host::tail(&run.dir(), Stream::Stdout, 1000).unwrap();
    assert_eq!(out, format!("out\n{}\nhi\n", cwd.display()));
    assert_eq!(record.stdout_bytes, out.len() as u64);
    assert_eq!(host::tail(&run.dir(), Stream::Stderr, 1000).unwrap(), "err\n");
}

/// The value is in the host's environment alone: not in the claim, and not in the output that is kept.
#[test]
fn a_secret_reaches_the_command_and_no_file() {
    let mut run =
        Run::shell("printf '%s' \"$TOKEN\" | wc -c; printf hunt; printf 'er22 %s' \"$TOKEN\"; echo \"e $TOKEN\" >&2");
    run.claim.secrets = vec!["TOKEN".to_owned(), "MISSING".to_owned()];
    host::prepare(&run.dir(), &run.claim).unwrap();
    let mut host = program();
    host.environment.push((format!("{}TOKEN", host::ENTRUSTED).into(), "hunter22".into()));
    host::spawn_host(&host, &run.dir()).unwrap();
    assert_eq!(run.wait_ended().how, How::Exited { code: 0 });
    assert_eq!(host::tail(&run.dir(), Stream::Stdout, 1000).unwrap(), "8\n*** ***");
    assert_eq!(host::tail(&run.dir(), Stream::Stderr, 1000).unwrap(), "e ***\n");
    for file in fs::read_dir(run.dir()).unwrap().map(Result::unwrap) {
        let text = fs::read(file.path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("hunter22"), "{}", file.path().display());
    }
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    assert_eq!(Run::shell("exit 7").start().wait_ended().how, How::Exited { code: 7 });
    assert_eq!(Run::shell("kill -USR1 $$").start().wait_ended().how, How::Signaled { signal: 10 });
}

#[test]
fn the_command_has_the_claimed_environment_three_descriptors_and_none_of_ours() {
    let run = Run::shell("env -u PWD env; echo --; ls /proc/$$/fd; echo ready > ready; mkfifo go; read x < go");
    host::prepare(&run.dir(), &run.claim).unwrap();
    // The host is started with a descriptor too many, as by `flock` or a careless shell.
    let leaked = run.file("leaked");
    fs::write(&leaked, "").unwrap();
    let HostProgram { program, arguments, environment } = program();
    let mut starter = std::process::Command::new("sh")
        .args(["-c", r#"exec 9<"$0" 8</dev/null; exec "$@""#])
        .args([&leaked, &program])
        .args(arguments)
        .arg(run.dir())
        .env_clear()
        .envs(environment)
        .spawn()
        .unwrap();
    let (host, _) = run.wait_running();
    assert_eq!(run.wait_line("ready"), "ready");
    let hosts: Vec<_> = fs::read_dir(format!("/proc/{}/fd", host.pid))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!hosts.contains(&leaked), "{hosts:?}");
    wait_in(run.base.path(), || run.file("go").exists().then_some(()));
    fs::write(run.file("go"), "\n").unwrap();
    assert_eq!(run.wait_ended().how, How::Exited { code: 0 });
    assert!(starter.wait().unwrap().success());
    let out = host::tail(&run.dir(), Stream::Stdout, 10_000).unwrap();
    let (env, fds) = out.split_once("--\n").unwrap();
    let mut names: Vec<_> = env.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
    names.retain(|name| !["_", "OLDPWD", "SHLVL"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["PATH", "PIPELINE_RUN_ID"]);
    assert_eq!(fds, "0\n1\n2\n");
}

#[test]
fn a_run_that_takes_too_long_is_ended_with_all_it_started() {
    let mut run = Run::shell("sleep 600 & sleep 600");
    run.claim.timeout_ms = Some(50);
    assert_eq!(run.start().wait_ended().how, How::TimedOut);
    assert_eq!(run.remains(), []);
}

#[test]
fn a_command_that_ignores_being_asked_is_killed() {
    let run = Run::shell("trap '' TERM INT HUP; echo $$ > ready; while :; do sleep 600; done");
    run.start();
    let shell = run.wait_pid("ready");
    let outcome = host::request_stop(&run.dir(), None, "claimed", Duration::from_millis(50)).unwrap();
    assert_eq!(outcome, StopOutcome::Requested);
    assert_eq!(run.wait_ended().how, How::Stopped { reason: "claimed".to_owned() });
    assert!(!shell.is_alive());
}

#[test]
fn a_later_request_shortens_the_time_that_is_left() {
    let run = Run::shell("trap 'echo yes > heard' TERM; echo $$ > ready; while :; do sleep 600; done");
    run.start();
    run.wait_line("ready");
    host::request_stop(&run.dir(), None, "first", Duration::MAX).unwrap();
    run.wait_line("heard");
    host::request_stop(&run.dir(), None, "second", Duration::from_millis(10)).unwrap();
    assert_eq!(run.wait_ended().how, How::Stopped { reason: "first".to_owned() });
    assert_eq!(host::request_stop(&run.dir(), None, "third", Duration::ZERO).unwrap(), StopOutcome::AlreadyEnded);
}

#[test]
fn a_command_that_was_stopped_by_a_signal_still_hears_that_it_should_end() {
    let run = Run::shell("trap 'echo heard; exit 0' TERM; echo $$ > ready; kill -STOP $$; while :; do sleep 600; done");
    run.start();
    run.wait_line("ready");
    host::request_stop(&run.dir(), None, "stopped", Duration::from_secs(600)).unwrap();
    assert_eq!(run.wait_ended().how, How::Stopped { reason: "stopped".to_owned() });
}

#[test]
fn a_bare_file_and_a_bare_signal_are_requests_too() {
    let by_file = Run::shell("echo $$ > ready; sleep 600");
    by_file.start();
    by_file.wait_line("ready");
    fs::write(by_file.dir().join("stop"), "").unwrap();
    assert_eq!(by_file.wait_ended().how, How::Stopped { reason: "stopped".to_owned() });
    let by_signal = Run::shell("echo $$ > ready; sleep 600");
    let (host, _) = by_signal.start().wait_running();
    assert!(host.signal(Signal::TERM));
    assert_eq!(by_signal.wait_ended().how, How::Stopped { reason: "terminated".to_owned() });
}

#[test]
fn daemons_in_sessions_of_their_own_are_killed_when_a_run_is_stopped() {
    let daemon = "setsid sh -c 'trap \"\" TERM; (setsid sh -c \"trap \\\"\\\" TERM; echo \\$\\$ > daemon; exec sleep 600\" &) ; exit 0'";
    let run = Run::shell(&format!("{daemon}; sleep 600"));
    run.start();
    let daemon = run.wait_pid("daemon");
    assert!(daemon.is_alive());
    host::request_stop(&run.dir(), None, "stopped", Duration::from_millis(50)).unwrap();
    run.wait_ended();
    assert!(!daemon.is_alive());
    assert_eq!(run.remains(), []);
}

#[test]
fn what_a_command_leaves_in_the_background_is_ended_and_counted() {
    let run =
        Run::shell("setsid sh -c 'echo $$ > one; exec sleep 600' & sleep 600 & until test -s one; do :; done; exit 3");
    let record = run.start().wait_ended();
    assert_eq!(record.how, How::Exited { code: 3 });
    assert_eq!(record.leftovers_killed, 2);
    assert_eq!(run.remains(), []);
}

#[test]
fn a_command_that_cannot_be_started_says_why() {
    let failed = |argv: &[&str]| match Run::of(argv).start().wait_ended().how {
        How::SpawnFailed { kind, message } => (kind, message),
        how => panic!("{how:?}"),
    };
    assert_eq!(failed(&["no-such-program"]).0, SpawnProblem::Missing);
    assert_eq!(failed(&["/no/such/program"]).0, SpawnProblem::Missing);
    assert_eq!(failed(&["/etc/hostname"]).0, SpawnProblem::NotExecutable);
    assert_eq!(failed(&[]).0, SpawnProblem::Other);
    let scripts = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = scripts.path().join(name);
        fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&path, mode).unwrap();
        path.to_str().unwrap().to_owned()
    };
    assert_eq!(failed(&[&script("garbage", "\u{1}\u{2}")]).0, SpawnProblem::NotExecutable);
    let (kind, message) = failed(&[&script("interpreter", "#!/no/such/interpreter\n")]);
    assert_eq!(kind, SpawnProblem::Missing);
    assert!(message.contains("interpreter"), "{message}");
    let mut run = Run::shell("true");
    run.claim.cwd = run.file("missing");
    let How::SpawnFailed { kind: SpawnProblem::Other, message } = run.start().wait_ended().how else {
        panic!("a missing directory");
    };
    assert!(message.contains("missing is not a directory"), "{message}");
}

#[test]
fn output_is_bounded_on_disk_and_in_memory() {
    // The second half is one line without an end.
    let mut run = Run::shell(
        "head -c 60000000 /dev/zero | tr '\\0' '\\n'; head -c 60000000 /dev/zero | tr '\\0' 'x'; echo end; echo ready > ready; mkfifo go; read x < go",
    );
    run.claim.log_bytes_max = 1 << 20;
    let (host, _) = run.start().wait_running();
    run.wait_line("ready");
    let memory = fs::read_to_string(format!("/proc/{}/status", host.pid)).unwrap();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let peak: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 32 * 1024, "{peak} kB");
    wait_in(run.base.path(), || run.file("go").exists().then_some(()));
    fs::write(run.file("go"), "\n").unwrap();
    let record = run.wait_ended();
    assert_eq!((record.stdout_bytes, record.truncated), (120_000_004, true));
    assert!(host::tail(&run.dir(), Stream::Stdout, 100).unwrap().ends_with("xxxend\n"));
    for name in ["stdout.log", "stdout.log.1"] {
        assert!(fs::metadata(run.dir().join(name)).unwrap().len() <= 1 << 20);
    }
    let kept = host::read_log(&run.dir(), Stream::Stdout, 0, usize::MAX).unwrap();
    assert_eq!(kept.from + kept.bytes.len() as u64, 120_000_004);
}

#[test]
fn of_many_hosts_for_a_run_one_runs_the_command() {
    let run = Run::shell("echo once >> count");
    host::prepare(&run.dir(), &run.claim).unwrap();
    for _ in 0..8 {
        host::spawn_host(&program(), &run.dir()).unwrap();
        // Somebody who looks at every moment must not keep the one host from starting.
        let _seen = host::observe(&run.dir());
    }
    run.wait_ended();
    run.host_again();
    assert_eq!(fs::read_to_string(run.file("count")).unwrap(), "once\n");
}

#[test]
fn a_dead_host_is_seen_and_what_it_left_is_killed() {
    let run = Run::shell("sleep 600 & setsid sh -c 'echo $$ > daemon; exec sleep 600' & sleep 600");
    let (host, child) = run.start().wait_running();
    let daemon = run.wait_pid("daemon");
    assert!(matches!(host::kill_remains(&run.dir()), Err(HostError::Hosted { .. })));
    assert!(host.signal(Signal::KILL));
    wait_dead(&host);
    let Observation::Interrupted { start, why: Why::HostDied } = host::observe(&run.dir()) else {
        panic!("{:?}", host::observe(&run.dir()));
    };
    assert_eq!(start.host, host);
    assert!(child.is_alive() && daemon.is_alive());
    assert_eq!(host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap(), StopOutcome::Interrupted);
    let killed = host::kill_remains(&run.dir()).unwrap();
    assert_eq!((killed.processes, killed.unkillable), (4, vec![]));
    assert!(!child.is_alive() && !daemon.is_alive());
    assert_eq!(host::kill_remains(&run.dir()).unwrap().processes, 0);
    // Whoever starts a host for it now starts nothing.
    run.host_again();
    assert!(matches!(host::observe(&run.dir()), Observation::Interrupted { .. }));
}

#[test]
fn a_run_cancelled_before_its_start_never_starts() {
    let run = Run::shell("echo ran > ran");
    assert_eq!(host::observe(&run.dir()), Observation::NotStarted);
    host::prepare(&run.dir(), &run.claim).unwrap();
    assert_eq!(host::observe(&run.dir()), Observation::NotStarted);
    assert_eq!(host::request_stop(&run.dir(), None, "cancelled", Duration::ZERO).unwrap(), StopOutcome::NeverStarted);
    run.host_again();
    assert_eq!(run.wait_ended().how, How::NeverStarted { reason: "cancelled".to_owned() });
    assert!(!run.file("ran").exists());
}

#[test]
fn a_request_that_a_dying_requester_left_is_found_before_anything_is_started() {
    let run = Run::shell("echo ran > ran");
    host::prepare(&run.dir(), &run.claim).unwrap();
    fs::write(run.dir().join("stop"), r#"{"reason":"cancelled","grace_ms":0}"#).unwrap();
    host::spawn_host(&program(), &run.dir()).unwrap();
    assert_eq!(run.wait_ended().how, How::NeverStarted { reason: "cancelled".to_owned() });
    assert!(!run.file("ran").exists());
}

#[test]
fn after_a_reboot_no_pid_is_trusted() {
    let run = Run::shell("sleep 600");
    let (host, child) = run.start().wait_running();
    let seen = host::observe_on(&run.dir(), "another boot");
    assert!(matches!(seen, Observation::Interrupted { why: Why::Reboot, .. }), "{seen:?}");
    assert!(matches!(host::observe(&run.dir()), Observation::Running { .. }));
    let earlier = Identity { boot_id: "another boot".to_owned(), ..child.clone() };
    assert!(!earlier.signal(Signal::KILL) && child.is_alive());
    assert!(host.is_alive());
    host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap();
    run.wait_ended();
}

#[test]
fn what_a_run_left_is_on_disk_before_its_end_is_believed() {
    for (keeps, settled) in [("", true), ("not-there", false)] {
        let mut run = Run::shell("echo x > left");
        run.claim.keeps = vec![run.file(keeps)];
        assert_eq!(run.start().wait_ended().unsettled, !settled);
        assert_eq!(host::is_settled(&run.dir()), settled);
        let seen = host::observe_on(&run.dir(), "another boot");
        assert_eq!(matches!(seen, Observation::Ended(_)), settled, "{seen:?}");
    }
}

#[test]
fn the_host_lives_in_a_session_of_its_own_and_the_command_in_a_group_of_its_own() {
    let run = Run::shell("sleep 600");
    let (host, child) = run.start().wait_running();
    let pid = |process: &Identity| rustix::process::Pid::from_raw(process.pid);
    assert_eq!(rustix::process::getsid(pid(&host)).unwrap().as_raw_nonzero().get(), host.pid);
    assert_eq!(rustix::process::getpgid(pid(&child)).unwrap().as_raw_nonzero().get(), child.pid);
    assert_ne!(host.pid, own_pid());
    host::request_stop(&run.dir(), None, "stopped", Duration::ZERO).unwrap();
    run.wait_ended();
    wait_dead(&host);
}

#[test]
fn a_record_that_was_tampered_with_is_named() {
    let run = Run::shell("true");
    host::prepare(&run.dir(), &run.claim).unwrap();
    for (name, text) in [("start.json", "{"), ("exit.json", "[]"), ("claim.json", r#"{"version":9}"#)] {
        let path = run.dir().join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, text).unwrap();
        let Observation::Corrupt { path: named, .. } = host::observe(&run.dir()) else {
            panic!("{name}");
        };
        assert_eq!(named, path);
        fs::remove_file(&path).unwrap();
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
    }
    assert_eq!(host::observe(&run.dir()), Observation::NotStarted);
}

#[test]
fn a_claim_is_made_once() {
    let run = Run::shell("true");
    host::prepare(&run.dir(), &run.claim).unwrap();
    let first = fs::read(run.dir().join("claim.json")).unwrap();
    let mut other = run.claim.clone();
    other.argv = vec!["false".to_owned()];
    host::prepare(&run.dir(), &other).unwrap();
    assert_eq!(fs::read(run.dir().join("claim.json")).unwrap(), first);
}

#[test]
fn processor_time_of_everything_that_ran_is_counted() {
    let run = Run::shell(
        "i=0; while test $i -lt 300000; do i=$((i+1)); done; (i=0; while test $i -lt 100000; do i=$((i+1)); done)",
    );
    assert!(run.start().wait_ended().cpu_ms > 0);
}

/// What must hold for a run however its hosts died: the command ran at most once, what the records say is what
/// happened, and in the end nothing of it is left. Returns whether another host is to be started.
fn check_after_deaths(run: &Run) -> bool {
    let ran = || fs::read_to_string(run.file("count")).map_or(0, |text| text.lines().count());
    match host::observe(&run.dir()) {
        Observation::NotStarted => {
            assert_eq!(ran(), 0);
            return true;
        }
        Observation::Ended(record) => {
            assert_eq!((record.how, ran()), (How::Exited { code: 0 }, 1));
        }
        Observation::Interrupted { .. } => {
            assert_eq!(host::kill_remains(&run.dir()).unwrap().unkillable, []);
            assert!(ran() <= 1);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(run.remains(), []);
    false
}

/// Kills the hosts of a run so many half milliseconds after they were started, and checks what comes of it.
fn kill_hosts_of(run: &Run, moment: u64) {
    host::prepare(&run.dir(), &run.claim).unwrap();
    let mut may_kill = true;
    loop {
        let HostProgram { program, arguments, environment } = program();
        let start = |_| {
            std::process::Command::new(&program)
                .args(&arguments)
                .arg(run.dir())
                .env_clear()
                .envs(environment.clone())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        };
        for mut host in [0, 1].map(start) {
            let identity = Identity::of(i32::try_from(host.id()).unwrap()).unwrap();
            let fd = identity.open();
            let limit = Timespec { tv_sec: 0, tv_nsec: i64::try_from(moment * 500_000).unwrap() };
            if let Some(fd) = fd.filter(|_| may_kill) {
                rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap();
                identity.signal(Signal::KILL);
            }
            host.wait().unwrap();
        }
        if !check_after_deaths(run) {
            break;
        }
        // The second time the hosts are left alone, so that it ends.
        may_kill = false;
    }
}

#[test]
fn hosts_killed_at_any_moment_lose_nothing_and_repeat_nothing() {
    for moment in 0..40 {
        kill_hosts_of(&Run::shell("echo once >> count; sleep 0.002"), moment);
    }
}

#[test]
fn nor_do_those_with_a_terminal_whose_command_takes_no_notice_of_its_loss() {
    for moment in 0..40 {
        let mut run = Run::shell("trap '' HUP; echo once >> count; sleep 0.002");
        run.claim.terminal = Some(Size::UNSEEN);
        kill_hosts_of(&run, moment);
    }
}
