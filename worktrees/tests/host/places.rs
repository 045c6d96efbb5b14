//! Runs executed one after the other by the host of a place.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pipeline_lib::ids::RunId;
use pipeline_worktrees::host::{
    self, Claim, ExitRecord, HostError, How, Observation, RunKind, StopOutcome, Stream, Why,
};
use pipeline_worktrees::process::{Identity, with_environment};
use rustix::event::Timespec;
use rustix::fs::inotify;
use rustix::process::Signal;

use crate::support::{LIMIT, Run, program, wait_dead, wait_in, wait_readable};

/// The name of the place.
const COMMAND: &str = "command-1";

/// Some runs at one place.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { base: tempfile::tempdir().unwrap() }
    }

    fn name(&self, run: &str) -> String {
        format!("R-{}-{run}", self.base.path().file_name().unwrap().to_string_lossy().replace('.', ""))
    }

    fn dir(&self, run: &str) -> PathBuf {
        self.base.path().join("runs").join(self.name(run))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn claim(&self, run: &str, script: &str) -> Claim {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]);
        let run = RunId::new(&self.name(run)).unwrap();
        let mut claim = Claim::new(run, RunKind::Agent, argv, env, self.base.path().to_owned());
        claim.place = Some(COMMAND.to_owned());
        claim
    }

    fn start(&self, run: &str, script: &str) {
        host::begin(&program(), &self.dir(run), self.claim(run, script)).unwrap();
    }

    /// The directory of the place.
    fn at(&self) -> PathBuf {
        self.base.path().join("runs/.commands").join(COMMAND)
    }

    /// Where it tells what is new.
    fn news(&self) -> PathBuf {
        self.at().join("news")
    }

    fn seen(&self, run: &str) -> Observation {
        host::observe_at(&self.dir(run), COMMAND)
    }

    fn stop(&self, run: &str, reason: &str, grace: Duration) -> StopOutcome {
        host::request_stop(&self.dir(run), Some(COMMAND), reason, grace).unwrap()
    }

    fn ended(&self, run: &str) -> ExitRecord {
        wait_in(&self.news(), || match self.seen(run) {
            Observation::Ended(record) => Some(record),
            Observation::Corrupt { path, message } => panic!("{}: {message}", path.display()),
            _ => None,
        })
    }

    fn running(&self, run: &str) -> (Identity, Identity) {
        wait_in(&self.news(), || match self.seen(run) {
            Observation::Running { start, child: Some(child) } => Some((start.host, child)),
            Observation::Ended(record) => panic!("ended too early: {record:?}"),
            _ => None,
        })
    }

    fn pid(&self, name: &str) -> Identity {
        let whole = || fs::read_to_string(self.file(name)).ok().filter(|text| text.ends_with('\n'));
        Identity::of(wait_in(self.base.path(), whole).trim().parse().unwrap()).unwrap()
    }

    fn out(&self, run: &str) -> String {
        host::tail(&self.dir(run), Stream::Stdout, 1_000).unwrap()
    }

    fn remains(&self, run: &str) -> Vec<Identity> {
        with_environment(host::RUN_ID_VARIABLE, &self.name(run))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only what a failed test left. The host ends with its directory.
        for process in ["one", "two", "three"].iter().flat_map(|run| self.remains(run)) {
            process.signal(Signal::KILL);
        }
    }
}

#[test]
fn one_host_runs_one_command_after_the_other() {
    let place = Place::new();
    place.start("one", "echo $PPID; exit 3");
    let first = place.ended("one");
    place.start("two", "echo $PPID; i=0; while test $i -lt 200000; do i=$((i+1)); done; kill -USR1 $$");
    let second = place.ended("two");
    assert_eq!((first.how, second.how), (How::Exited { code: 3 }, How::Signaled { signal: 10 }));
    assert_eq!(place.out("one"), place.out("two"), "the same host");
    assert_eq!(first.cpu_ms / 100, 0, "{} ms", first.cpu_ms);
    assert!(second.cpu_ms > 0);
    assert_eq!(host::start_record(&place.dir("one")).unwrap().unwrap().run.as_str(), place.name("one"));
    // Whoever tells it again of a run that is over starts nothing.
    place.start("one", "echo again");
    place.start("three", "true");
    place.ended("three");
    assert_eq!(place.ended("one").duration_ms, first.duration_ms);
}

#[test]
fn what_one_command_leaves_behind_is_gone_before_the_next() {
    let place = Place::new();
    place.start("one", "setsid sh -c 'echo $$ > daemon; exec sleep 600' & until test -s daemon; do :; done");
    assert_eq!(place.ended("one").leftovers_killed, 1);
    let daemon = fs::read_to_string(place.file("daemon")).unwrap().trim().parse().unwrap();
    assert!(Identity::of(daemon).is_none_or(|daemon| !daemon.is_alive()));
    place.start("two", "true");
    assert_eq!(place.ended("two").leftovers_killed, 0);
}

#[test]
fn a_run_has_a_directory_once_something_is_to_be_kept_of_it() {
    let place = Place::new();
    place.start("one", "true");
    place.ended("one");
    assert!(!place.dir("one").exists());
    place.start("two", "echo said");
    place.ended("two");
    assert_eq!(place.out("two"), "said\n");
    // One that is not over in a moment is shown.
    place.start("three", "until [ -e go ]; do sleep 0.01; done");
    place.running("three");
    assert!(place.dir("three").join("claim.json").exists());
    fs::write(place.file("go"), "").unwrap();
    place.ended("three");
}

#[test]
fn what_was_told_half_is_passed_over_and_the_list_does_not_grow() {
    use std::io::Write as _;
    let place = Place::new();
    place.start("one", "true");
    place.ended("one");
    let told = place.at().join("told");
    let add = |text: &str| fs::OpenOptions::new().append(true).open(&told).unwrap().write_all(text.as_bytes()).unwrap();
    add("\n00000000 R-torn {\"version\":1");
    place.start("two", "true");
    place.ended("two");
    assert!(host::is_told(&place.dir("two"), COMMAND) && !host::is_told(&place.dir("three"), COMMAND));
    add(&"\n".repeat(256 * 1024));
    // It begins anew when whoever is told next has begun and ended, and not before.
    for n in 0..3 {
        place.start(&format!("run-{n}"), "true");
        place.ended(&format!("run-{n}"));
    }
    assert!(fs::metadata(&told).unwrap().len() < 64 * 1024);
    let hosts =
        ["two", "run-0", "run-1", "run-2"].map(|run| host::start_record(&place.dir(run)).unwrap().unwrap().host);
    assert!(hosts.iter().all(|host| *host == hosts[0]), "one host ran them all: {hosts:?}");
    assert!(host::is_told(&place.dir("two"), COMMAND), "it is on record");
}

#[test]
fn a_host_that_has_nothing_to_do_rests() {
    let place = Place::new();
    place.start("one", "true");
    place.ended("one");
    let looks = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&looks, place.at().join("told"), inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE)
        .unwrap();
    // Somebody else is busy for a while.
    let mut claim = place.claim("two", "i=0; while test $i -lt 100000; do i=$((i+1)); done");
    claim.place = Some("command-2".to_owned());
    host::begin(&program(), &place.dir("two"), claim.clone()).unwrap();
    place.ended("two");
    let mut buffer = [std::mem::MaybeUninit::uninit(); 64 * 1024];
    let mut events = inotify::Reader::new(&looks, &mut buffer);
    let mut count = 0;
    while events.next().is_ok() {
        count += 1;
    }
    // What it did as the first command ended, and as it ended itself, may be among them, by two for each look. One that looks
    // now and then, as where it cannot watch, looks 25 times in the five seconds of its rest.
    assert!(count < 30, "it opened and closed its list {count} times");
}

#[test]
fn a_request_to_stop_means_one_run() {
    let place = Place::new();
    place.start("one", "trap '' TERM; sleep 600 & wait; sleep 600");
    let (host, child) = place.running("one");
    assert_eq!(place.stop("one", "claimed", Duration::from_millis(20)), StopOutcome::Requested);
    assert_eq!(place.ended("one").how, How::Stopped { reason: "claimed".to_owned() });
    assert!(!child.is_alive());
    assert_eq!(place.stop("one", "again", Duration::ZERO), StopOutcome::AlreadyEnded);
    place.start("two", "exit 4");
    assert_eq!(place.ended("two").how, How::Exited { code: 4 });
    assert!(host.is_alive());
    // One that is asked to stop before anybody is told of it never begins, whoever is told of it later.
    assert_eq!(place.seen("three"), Observation::NotStarted);
    assert_eq!(place.stop("three", "cancelled", Duration::ZERO), StopOutcome::NeverStarted);
    assert!(host::never_began(&place.dir("three")) && !host::never_began(&place.dir("two")));
    place.start("three", "echo ran > ran");
    place.start("four", "true");
    place.ended("four");
    assert_eq!(place.ended("three").how, How::NeverStarted { reason: "cancelled".to_owned() });
    assert!(!place.file("ran").exists());
}

#[test]
fn a_time_limit_ends_the_run_and_not_the_host() {
    let place = Place::new();
    let mut claim = place.claim("one", "sleep 600 & sleep 600");
    claim.timeout_ms = Some(30);
    host::begin(&program(), &place.dir("one"), claim.clone()).unwrap();
    assert_eq!(place.ended("one").how, How::TimedOut);
    assert_eq!(place.remains("one"), []);
    place.start("two", "true");
    assert_eq!(place.ended("two").how, How::Exited { code: 0 });
}

#[test]
fn a_dead_host_interrupts_its_run_and_the_next_has_another() {
    let place = Place::new();
    place.start("one", "echo x >> ran; sleep 600 & setsid sh -c 'echo $$ > daemon; exec sleep 600' & sleep 600");
    let (first, child) = place.running("one");
    let daemon = place.pid("daemon");
    assert!(matches!(host::kill_remains(&place.dir("one")), Err(HostError::Hosted { .. })));
    assert!(first.signal(Signal::KILL));
    wait_dead(&first);
    assert!(matches!(place.seen("one"), Observation::Interrupted { why: Why::HostDied, .. }));
    // The next host may come before anybody has cleared that away.
    place.start("two", "sleep 600");
    let (second, _) = place.running("two");
    assert_ne!(first, second);
    assert!(matches!(place.seen("one"), Observation::Interrupted { .. }));
    assert_eq!(host::kill_remains(&place.dir("one")).unwrap().unkillable, []);
    assert!(!child.is_alive() && !daemon.is_alive());
    assert!(matches!(place.seen("two"), Observation::Running { .. }), "{:?}", place.seen("two"));
    // Whoever tells of the first one again starts nothing.
    place.start("one", "echo x >> ran");
    place.stop("two", "stopped", Duration::ZERO);
    place.ended("two");
    place.start("three", "true");
    place.ended("three");
    assert!(matches!(place.seen("one"), Observation::Interrupted { .. }));
    assert_eq!(fs::read_to_string(place.file("ran")).unwrap(), "x\n");
}

#[test]
fn a_host_that_is_asked_to_end_ends_its_run_first() {
    let place = Place::new();
    place.start("one", "sleep 600");
    let (first, _) = place.running("one");
    assert!(first.signal(Signal::TERM));
    assert_eq!(place.ended("one").how, How::Stopped { reason: "terminated".to_owned() });
    wait_dead(&first);
    place.start("two", "true");
    place.ended("two");
    assert_ne!(host::start_record(&place.dir("two")).unwrap().unwrap().host, first);
}

/// What is in a run's directory need not survive a power cut.
#[test]
fn the_shared_records_count_whatever_is_in_the_directory() {
    let place = Place::new();
    place.start("one", "echo x >> ran; echo $$ > up; sleep 600");
    let (host, _) = place.running("one");
    fs::remove_file(place.dir("one").join("start.json")).unwrap();
    assert!(matches!(place.seen("one"), Observation::Running { .. } | Observation::Starting));
    assert!(matches!(
        host::observe_on(&place.dir("one"), "another boot"),
        Observation::Interrupted { why: Why::Reboot, .. }
    ));
    place.stop("one", "stopped", Duration::ZERO);
    place.ended("one");
    for (name, text) in [("exit.json", ""), ("start.json", "{"), ("claim.json", "")] {
        fs::write(place.dir("one").join(name), text).unwrap();
        assert!(matches!(place.seen("one"), Observation::Ended(_)), "{name}: {:?}", place.seen("one"));
    }
    place.start("two", "echo y >> ran; echo said");
    place.ended("two");
    // Its copy is written after the end is told.
    wait_in(&place.dir("two"), || place.dir("two").join("exit.json").exists().then_some(()));
    fs::remove_dir_all(place.dir("two")).unwrap();
    place.start("two", "echo y >> ran");
    place.start("three", "true");
    place.ended("three");
    assert!(matches!(place.seen("two"), Observation::Ended(_)));
    assert_eq!(fs::read_to_string(place.file("ran")).unwrap(), "x\ny\n");
    assert!(host.is_alive());
}

/// The end of a run may be on disk before what the run left is.
#[test]
fn an_end_is_believed_after_a_reboot_where_what_was_left_is_on_disk() {
    let place = Place::new();
    let end = |run: &str, keeps: PathBuf| {
        let mut claim = place.claim(run, "echo x > left");
        claim.keeps = vec![keeps];
        host::begin(&program(), &place.dir(run), claim.clone()).unwrap();
        place.ended(run);
        let host = host::start_record(&place.dir(run)).unwrap().unwrap().host;
        assert!(host.signal(Signal::TERM));
        wait_dead(&host);
        assert!(matches!(place.seen(run), Observation::Ended(_)), "nothing was taken from it");
        host::observe_on(&place.dir(run), "another boot")
    };
    assert!(matches!(end("one", place.file("")), Observation::Ended(record) if !record.unsettled));
    let lost = end("two", place.file("not-there"));
    assert!(matches!(lost, Observation::Interrupted { why: Why::Reboot, .. }), "{lost:?}");
    // Nor is a copy of it, where a power cut took the end from the records.
    let records = place.base.path().join("runs/.commands/.records");
    let kept: Vec<String> = fs::read_to_string(&records)
        .unwrap()
        .lines()
        .filter(|line| !(line.contains("\"exit\"") && line.contains(&place.name("two"))))
        .map(|line| format!("{line}\n"))
        .collect();
    let Observation::Ended(record) = place.seen("two") else { panic!("it ended") };
    fs::create_dir_all(place.dir("two")).unwrap();
    fs::write(place.dir("two").join("exit.json"), serde_json::to_string(&record).unwrap()).unwrap();
    fs::remove_file(&records).unwrap();
    fs::write(&records, kept.concat()).unwrap();
    let copied = host::observe_on(&place.dir("two"), "another boot");
    assert!(matches!(copied, Observation::Interrupted { why: Why::Reboot, .. }), "{copied:?}");
    assert!(matches!(place.seen("two"), Observation::Ended(_)), "the copy says so, as long as the machine runs");
}

#[test]
fn whoever_watches_a_place_hears_of_starts_of_ends_and_of_the_death_of_its_host() {
    let place = Place::new();
    let watched = |run: &str| host::watched_dir(&place.dir(run), "command-1");
    place.start("one", "echo $$ > up; until [ -e go ]; do sleep 0.01; done");
    assert!(host::is_place(watched("one").parent().unwrap()), "{}", watched("one").display());
    let (host, _) = wait_in(&watched("one"), || match place.seen("one") {
        Observation::Running { start, child: Some(child) } => Some((start.host, child)),
        _ => None,
    });
    fs::write(place.file("go"), "").unwrap();
    wait_in(&watched("one"), || matches!(place.seen("one"), Observation::Ended(_)).then_some(()));
    place.start("two", "sleep 600");
    place.running("two");
    let hears = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&hears, watched("two"), inotify::WatchFlags::CLOSE_WRITE).unwrap();
    host.signal(Signal::KILL);
    assert!(wait_readable(&hears, Instant::now() + LIMIT), "its lock is let go of");
    // Which is a moment before it counts as dead.
    wait_dead(&host);
    let seen = place.seen("two");
    assert!(matches!(seen, Observation::Interrupted { .. }), "{seen:?}");
    host::kill_remains(&place.dir("two")).unwrap();
    // One with a host of its own is watched where that host writes.
    let alone = Run::shell("true");
    host::begin(&program(), &alone.dir(), alone.claim.clone()).unwrap();
    assert_eq!(host::watched_dir(&alone.dir(), "command-1"), alone.dir());
    alone.wait_ended();
}

#[test]
fn a_host_goes_with_its_directory() {
    let place = Place::new();
    place.start("one", "true");
    place.ended("one");
    let host = host::start_record(&place.dir("one")).unwrap().unwrap().host;
    // It is made where there is none, after the end is told.
    wait_in(&place.news(), || place.at().join("news/said").exists().then_some(()));
    fs::remove_dir_all(place.base.path().join("runs")).unwrap();
    wait_dead(&host);
}

#[test]
fn a_name_is_no_way_out_of_the_directory() {
    for name in ["", ".", "..", "../x", "/x", "a/b"] {
        let mut run = Run::shell("true");
        run.claim.place = Some(name.to_owned());
        let begun = host::begin(&program(), &run.dir(), run.claim.clone());
        assert!(matches!(begun, Err(HostError::Format { .. })), "{name}");
    }
}

/// Kills the host of a place so many half milliseconds after it was told, until a run comes to its end.
#[test]
fn hosts_killed_at_any_moment_lose_nothing_and_repeat_nothing() {
    for moment in 0..40 {
        let place = Place::new();
        place.start("one", "echo once >> count; sleep 0.002");
        let limit = Timespec { tv_sec: 0, tv_nsec: moment * 500_000 };
        rustix::event::poll(&mut [], Some(&limit)).unwrap();
        let hosts = with_environment("PIPELINE_TEST_AS_HOST", "1");
        let ours = |host: &&Identity| {
            let line = fs::read(format!("/proc/{}/cmdline", host.pid)).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&*place.base.path().to_string_lossy())
        };
        for host in hosts.iter().filter(ours) {
            host.signal(Signal::KILL);
            wait_dead(host);
        }
        let ran = || fs::read_to_string(place.file("count")).map_or(0, |text| text.lines().count());
        let mut again = false;
        loop {
            match place.seen("one") {
                Observation::NotStarted => {
                    assert!(!again && ran() == 0, "moment {moment}");
                    again = true;
                    place.start("one", "echo once >> count; sleep 0.002");
                    place.ended("one");
                }
                Observation::Ended(record) => {
                    assert_eq!((record.how, ran()), (How::Exited { code: 0 }, 1));
                    break;
                }
                Observation::Interrupted { .. } => {
                    assert_eq!(host::kill_remains(&place.dir("one")).unwrap().unkillable, []);
                    assert!(ran() <= 1);
                    break;
                }
                // It was too young to be found, or holds its lock until the last of its threads is gone.
                Observation::Starting | Observation::Running { .. } => rustix::thread::sched_yield(),
                Observation::Corrupt { path, message } => panic!("{}: {message}", path.display()),
            }
        }
        assert_eq!(place.remains("one"), []);
    }
}
