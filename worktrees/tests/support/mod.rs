//! Runs for tests. The test binary is the host too: it starts itself with one test selected, which becomes the host when a
//! variable says so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pipeline_lib::ids::RunId;
use pipeline_worktrees::host::{self, Claim, ExitRecord, HostProgram, Observation, RunKind};
use pipeline_worktrees::process::{Identity, with_environment};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, Signal};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const AS_HOST: &str = "PIPELINE_TEST_AS_HOST";

#[test]
#[expect(clippy::exit, reason = "a host's exit code is part of what is tested, and the test runner must not go on")]
fn host_entry() {
    if std::env::var_os(AS_HOST).is_some() {
        let run_dir = std::env::args_os().next_back().unwrap();
        let code = host::main(Path::new(&run_dir));
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }
}

pub(crate) fn program() -> HostProgram {
    HostProgram {
        program: std::env::current_exe().unwrap(),
        arguments: ["support::host_entry", "--exact", "--nocapture"].map(OsString::from).to_vec(),
        environment: vec![(OsString::from(AS_HOST), OsString::from("1"))],
    }
}

/// One run in a directory of its own, whose processes are gone when the test is over, however that ended.
pub(crate) struct Run {
    pub(crate) base: tempfile::TempDir,
    pub(crate) claim: Claim,
}

impl Run {
    pub(crate) fn of(argv: &[&str]) -> Self {
        let base = tempfile::tempdir().unwrap();
        let name = base.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]);
        let argv = argv.iter().map(|&text| text.to_owned()).collect();
        let cwd = base.path().to_owned();
        let claim = Claim::new(RunId::new(&format!("R-{name}")).unwrap(), RunKind::Agent, argv, env, cwd);
        Self { base, claim }
    }

    pub(crate) fn shell(script: &str) -> Self {
        Self::of(&["sh", "-c", script])
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.base.path().join("runs").join("R")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub(crate) fn start(&self) -> &Self {
        host::prepare(&self.dir(), &self.claim).unwrap();
        host::spawn_host(&program(), &self.dir()).unwrap();
        self
    }

    pub(crate) fn wait_observed<T>(&self, wanted: impl Fn(Observation) -> Option<T>) -> T {
        wait_in(&self.dir(), || wanted(host::observe(&self.dir())))
    }

    pub(crate) fn wait_running(&self) -> (Identity, Identity) {
        self.wait_observed(|seen| match seen {
            Observation::Running { start, child: Some(child) } => Some((start.host, child)),
            Observation::Ended(record) => panic!("ended too early: {record:?}"),
            _ => None,
        })
    }

    pub(crate) fn wait_ended(&self) -> ExitRecord {
        self.wait_observed(|seen| match seen {
            Observation::Ended(record) => Some(record),
            Observation::Corrupt { path, message } => panic!("{}: {message}", path.display()),
            _ => None,
        })
    }

    /// Waits until the command has written a whole line there.
    pub(crate) fn wait_line(&self, name: &str) -> String {
        wait_in(self.base.path(), || {
            fs::read_to_string(self.file(name))
                .ok()
                .filter(|text| text.ends_with('\n'))
                .map(|text| text.trim().to_owned())
        })
    }

    pub(crate) fn wait_pid(&self, name: &str) -> Identity {
        Identity::of(self.wait_line(name).parse().unwrap()).unwrap()
    }

    pub(crate) fn remains(&self) -> Vec<Identity> {
        with_environment(host::RUN_ID_VARIABLE, self.claim.run.as_str())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Only what a failed test left; a test that passed has nothing here.
        for process in self.remains() {
            process.signal(Signal::KILL);
        }
    }
}

/// Waits for events in a directory until the question has an answer.
pub(crate) fn wait_in<T>(dir: &Path, ask: impl Fn() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    use inotify::WatchFlags as On;
    let events = On::CREATE | On::MOVED_TO | On::CLOSE_WRITE | On::ATTRIB;
    inotify::add_watch(&watch, dir, events).unwrap();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(wait_readable(&watch, until), "nothing came: {:?}", fs::read_dir(dir).unwrap().collect::<Vec<_>>());
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&watch, &mut buffer);
        while events.next().is_ok() {}
    }
}

pub(crate) fn wait_readable(fd: impl AsFd, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let limit = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap(), tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

pub(crate) fn wait_dead(process: &Identity) {
    // All of it: its first thread may be dead a moment before the others.
    let handle = rustix::process::pidfd_open(Pid::from_raw(process.pid).unwrap(), PidfdFlags::empty());
    if let Ok(handle) = handle
        && Identity::of(process.pid).as_ref() == Some(process)
    {
        assert!(wait_readable(&handle, Instant::now() + LIMIT), "{process:?} lives");
    }
    assert!(!process.is_alive());
}
