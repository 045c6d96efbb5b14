//! A run driven from outside: claiming it, starting its host, asking it to stop, and ending what a dead host left.
//!
//! Every function returns at once. None remembers anything but which hosts this process has to reap.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline_lib::ids::RunId;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use super::files::{self, CLAIM, EXIT, HOST_LOG, Lock, STOP};
use super::observe::{is_over, lock_and_start, read_child, read_claim, read_exit};
use super::records::{Claim, ExitRecord, How, StopRequest};
use super::{HostError, RUN_ID_VARIABLE, place, run, shared, tmux, tree};
use crate::process::{Identity, Table, with_environment};

/// How often what remains of a run is looked for and killed before the rest is called unkillable.
const KILL_PASSES_MAX: usize = 40;
/// How often what a dead host was starting is looked at before it is taken for something else.
const EXECUTING_LOOKS_MAX: usize = 50;
/// How long each of these waits for the killed to be gone.
const KILL_PASS: Duration = Duration::from_millis(250);

/// Starts a run as its claim says: with a host of its own, or by telling that of its place, which is started where none
/// lives. Whoever repeats this after a crash begins nothing twice.
///
/// # Errors
/// When the claim cannot be kept, or no host can be started.
pub fn begin(host: &HostProgram, run_dir: &Path, claim: Claim) -> Result<(), HostError> {
    let Some(name) = &claim.place else {
        prepare(run_dir, &claim)?;
        return spawn_host(host, run_dir);
    };
    let run_dir = std::path::absolute(run_dir).map_err(HostError::io("find", run_dir))?;
    let place = place::directory(&run_dir, name)?;
    place::tell(&place, &run_dir, &identified(claim), |place| {
        be_ready_to_spawn();
        spawn_detached(host, place)
    })
}

/// Claims a run that has a host of its own: makes its directory and says there what the host is to do. A claim that is there
/// already stays, so that whoever repeats this after a crash changes nothing. The run's id is added to the claimed
/// environment.
///
/// A power cut may take the claim until its host has recorded the start: nothing has begun then, and it is made again.
///
/// # Errors
/// When the directory or the claim cannot be written.
pub fn prepare(run_dir: &Path, claim: &Claim) -> Result<(), HostError> {
    files::create_private(run_dir)?;
    if read_claim(run_dir)?.is_some() {
        return Ok(());
    }
    files::replace(run_dir, CLAIM, &identified(claim.clone()), false)
}

fn identified(mut claim: Claim) -> Claim {
    claim.env.insert(RUN_ID_VARIABLE.to_owned(), claim.run.as_str().to_owned());
    claim
}

/// How to start a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProgram {
    /// The program.
    pub program: PathBuf,
    /// What comes before the run's directory on its command line.
    pub arguments: Vec<OsString>,
    /// The host's environment, which is not the command's. A host needs none.
    pub environment: Vec<(OsString, OsString)>,
}

impl HostProgram {
    /// This very program as `__host`, even if its file was replaced by a newer one meanwhile.
    #[must_use]
    pub fn this() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec![OsString::from("__host")],
            environment: Vec::new(),
        }
    }
}

/// The hosts this process started and has not reaped.
static HOSTS: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Starts a host, detached: it goes on when this process ends. A second one for the same run does no harm, it ends.
/// Every descriptor of this process but the standard ones becomes private to it. Where the claim names a tmux it is that
/// which starts the host, and it is waited for, though not for long; that the host began is said by its record, as ever.
///
/// # Errors
/// When the program cannot be started, or tmux is missing or refuses.
pub fn spawn_host(host: &HostProgram, run_dir: &Path) -> Result<(), HostError> {
    be_ready_to_spawn();
    let run_dir = std::path::absolute(run_dir).map_err(HostError::io("find", run_dir))?;
    if let Some(claim) = read_claim(&run_dir)?
        && let Some(multiplexer) = &claim.multiplexer
    {
        return tmux::start(multiplexer, host, &claim, &run_dir);
    }
    spawn_detached(host, &run_dir)
}

fn be_ready_to_spawn() {
    reap_hosts();
    // What a shell left open in this process is nobody's business below it, and a host that inherits any of it has to
    // begin anew. It is one call of the system.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
}

fn spawn_detached(host: &HostProgram, run_dir: &Path) -> Result<(), HostError> {
    let log = files::open_append(&run_dir.join(HOST_LOG))?;
    let errors = log.try_clone().map_err(HostError::io("open", run_dir.join(HOST_LOG)))?;
    // Its session and group are made by the host itself: asking for them here would make this a slow start, and a
    // group of its own would keep it from having a session of its own. It starts at the root so that it holds no
    // directory that somebody wants to remove.
    let child = Command::new(&host.program)
        .args(&host.arguments)
        .arg(run_dir)
        .env_clear()
        .envs(host.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(|source| HostError::Spawn { program: host.program.clone(), source })?;
    HOSTS.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    Ok(())
}

/// Reaps the hosts of this process that have ended. Starting a host does so too; a process that lives long without
/// starting any may call this now and then. Those of a process that ended are not its concern: a host that nobody
/// reaps counts as dead.
pub fn reap_hosts() {
    HOSTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        // One that cannot be waited for was reaped by somebody else.
        .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

/// What a request to stop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// The host knows, or will read it before it starts anything. The end comes as an exit record.
    Requested,
    /// The run had not started and never will; its exit record is written.
    NeverStarted,
    /// It was over.
    AlreadyEnded,
    /// Its host is dead: kill what remains.
    Interrupted,
}

/// Asks for a run to be stopped, which may have been told of at a place or be unknown to any host: then it never begins.
/// Repeating it does no harm, and a later request may shorten the time that is left.
///
/// # Errors
/// When the request cannot be made durable, or a record cannot be read.
pub fn request_stop(
    run_dir: &Path,
    place: Option<&str>,
    reason: &str,
    grace: Duration,
) -> Result<StopOutcome, HostError> {
    if is_over(run_dir)? {
        return Ok(StopOutcome::AlreadyEnded);
    }
    if !run_dir.is_dir() {
        files::create_dir(run_dir)?;
    }
    let request =
        StopRequest { reason: reason.to_owned(), grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) };
    // The request comes first. A host writes its start record and then looks for a request; we write the request and
    // then look for a start record. Whatever the order, at least one of us sees the other.
    files::replace(run_dir, STOP, &request, true)?;
    if let Some(name) = place
        && let Some(outcome) = place::stop(run_dir, &place::directory(run_dir, name)?)?
    {
        return Ok(outcome);
    }
    let (lock, start) = lock_and_start(run_dir, files::lock_exclusive)?;
    if read_exit(run_dir)?.is_some() {
        return Ok(StopOutcome::AlreadyEnded);
    }
    match (lock, start) {
        (Lock::Held(_), None) => {
            let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
            let run = RunId::new(&name)
                .map_err(|error| HostError::Format { path: run_dir.to_owned(), message: error.to_string() })?;
            let how = How::NeverStarted { reason: reason.to_owned() };
            files::write_once(run_dir, EXIT, &ExitRecord::without_work(run, how, Timestamp::now()))?;
            Ok(StopOutcome::NeverStarted)
        }
        (Lock::Held(_), Some(start)) if !start.host.is_alive() => Ok(StopOutcome::Interrupted),
        (_, start) => {
            // The host watches the directory; the signal is for where the limit on watches was reached.
            if let Some(start) = start {
                start.host.signal(Signal::TERM);
            }
            Ok(StopOutcome::Requested)
        }
    }
}

/// What became of what a dead host left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Killed {
    /// How many processes were killed.
    pub processes: usize,
    /// Those that would not die. While there are any the worktree must not be used.
    pub unkillable: Vec<Identity>,
}

/// Kills what is left of a run whose host is dead: its command, everything below that, whatever carries the run's id
/// in its environment, and what the host was starting at that moment. Waits for the end of what it killed, for ten seconds at the most.
///
/// # Errors
/// When the run has a living host, or has no claim that says which run it is.
pub fn kill_remains(run_dir: &Path) -> Result<Killed, HostError> {
    if let Some(start) = shared::find(run_dir)?.and_then(|known| known.start) {
        if start.host.is_alive() {
            return Err(HostError::Hosted { run_dir: run_dir.to_owned() });
        }
        // What it wrote beside the records may be gone; what it started is found all the same.
        let child = read_child(run_dir).unwrap_or_default();
        return Ok(kill_all(start.run.as_str(), Some(&start.host), child.as_ref()));
    }
    let (lock, start) = lock_and_start(run_dir, files::lock_exclusive)?;
    let host = start.map(|start| start.host);
    if matches!(lock, Lock::Taken) || host.as_ref().is_some_and(Identity::is_alive) {
        return Err(HostError::Hosted { run_dir: run_dir.to_owned() });
    }
    let Some(claim) = read_claim(run_dir)? else {
        return Err(HostError::Format { path: run_dir.join(CLAIM), message: "there is none".to_owned() });
    };
    let child = read_child(run_dir)?;
    if let Some(host) = host.as_ref().filter(|_| claim.terminal.is_some()) {
        wait_executed(host);
    }
    Ok(kill_all(claim.run.as_str(), host.as_ref(), child.as_ref()))
}

fn kill_all(run: &str, host: Option<&Identity>, child: Option<&Identity>) -> Killed {
    let remains = || find_remains(run, host, child);
    let mut killed = std::collections::BTreeSet::new();
    for _ in 0..KILL_PASSES_MAX {
        let now = tree::freeze_and_kill(remains);
        if now.is_empty() {
            break;
        }
        wait_gone(&now);
        killed.extend(now);
    }
    Killed { processes: killed.len(), unkillable: remains() }
}

/// A command with a terminal leads a session of its own, so that one which its host was starting when it died is found
/// neither by the host's session nor, for a moment, by its environment. Waits for that moment to be over.
fn wait_executed(host: &Identity) {
    for _ in 0..EXECUTING_LOOKS_MAX {
        if !Table::read().has_unfinished_leader(host) {
            return;
        }
        rustix::thread::sched_yield();
    }
}

fn find_remains(run: &str, host: Option<&Identity>, child: Option<&Identity>) -> Vec<Identity> {
    let mut found =
        host.map(|host| Table::read().nameless_in_session(host, &run::HOST_NAME.to_string_lossy())).unwrap_or_default();
    // This comes second: what had no environment at the first look may have it now.
    found.extend(with_environment(RUN_ID_VARIABLE, run));
    found.extend(child.filter(|child| child.is_alive()).cloned());
    let roots: Vec<i32> = found.iter().map(|process| process.pid).collect();
    found.extend(Table::read().descendants(&roots));
    found.sort();
    found.dedup();
    found.retain(|process| process.pid != crate::process::own_pid());
    found
}

/// Waits for the given processes to be gone, but not long: some may never be.
fn wait_gone(processes: &[Identity]) {
    let until = Instant::now() + KILL_PASS;
    for process in processes {
        let Some(fd) = process.open() else {
            continue;
        };
        let left = until.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        // An interruption only shortens the wait; the next pass looks again.
        rustix::event::poll(&mut fds, Some(&limit)).unwrap_or_default();
    }
}
