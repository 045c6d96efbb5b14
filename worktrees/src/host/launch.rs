//! A run seen from outside: claiming it, starting its host, reading how it is, asking it to stop, and ending what a
//! dead host left.
//!
//! Every function returns at once. None remembers anything but which hosts this process has to reap.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use serde::de::DeserializeOwned;

use super::files::{self, CHILD, CLAIM, EXIT, HOST_LOG, Lock, START, STOP};
use super::records::{Claim, ExitRecord, How, Observation, StartRecord, StopRequest, VERSION, Why};
use super::shared::{self, Known};
use super::{HostError, RUN_ID_VARIABLE, place, tmux, tree};
use crate::process::{Identity, Table, boot_id, with_environment};

/// How often what remains of a run is looked for and killed before the rest is called unkillable.
const KILL_PASSES_MAX: usize = 40;
/// How often what a dead host was starting is looked at before it is taken for something else.
const EXECUTING_LOOKS_MAX: usize = 50;
/// A run at a place is shown by its host within this time; if it is not, the host could not write.
const SHOWN_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
/// How long each of these waits for the killed to be gone.
const KILL_PASS: Duration = Duration::from_millis(250);

/// Claims a run: makes its directory and says there what its host is to do. A claim that is there already stays, so
/// that whoever repeats this after a crash changes nothing. The run's id is added to the claimed environment.
///
/// A power cut may take the claim until its host has recorded the start: nothing has begun then, and it is made again.
///
/// # Errors
/// When the directory or the claim cannot be written.
pub fn prepare(run_dir: &Path, claim: &Claim) -> Result<(), HostError> {
    let mut claim = claim.clone();
    claim.env.insert(RUN_ID_VARIABLE.to_owned(), claim.run.as_str().to_owned());
    files::create_private(run_dir)?;
    if read_claim(run_dir)?.is_some() {
        return Ok(());
    }
    files::replace(run_dir, CLAIM, &claim, false)
}

/// Whether a run has been claimed, so that its host may have begun.
#[must_use]
pub fn is_claimed(run_dir: &Path) -> bool {
    run_dir.join(CLAIM).symlink_metadata().is_ok()
}

/// Whether the host of a run has begun it. What cannot be read may have begun.
#[must_use]
pub fn has_started(run_dir: &Path) -> bool {
    if files::exists(run_dir, START) {
        return true;
    }
    match shared::find(run_dir) {
        Ok(Some(known)) => known.start.is_some(),
        // The records that hosts share are discarded in time, and a short command leaves its end alone.
        Ok(None) => match read_exit(run_dir) {
            Ok(exit) => exit.is_some_and(|exit| !matches!(exit.how, How::NeverStarted { .. })),
            Err(_) => true,
        },
        Err(_) => true,
    }
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
    reap_hosts();
    // What a shell left open in this process is nobody's business below it, and a host that inherits any of it has to
    // begin anew. It is one call of the system.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let run_dir = std::path::absolute(run_dir).map_err(HostError::io("find", run_dir))?;
    if let Some(claim) = read_claim(&run_dir)? {
        if let Some(multiplexer) = &claim.multiplexer {
            return tmux::start(multiplexer, host, &claim, &run_dir);
        }
        if let Some(name) = &claim.place {
            let place = place::directory(&run_dir, name)?;
            return place::tell(&place, &run_dir, |place| spawn_detached(host, place));
        }
    }
    spawn_detached(host, &run_dir)
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

/// Says how a run is.
#[must_use]
pub fn observe(run_dir: &Path) -> Observation {
    observe_on(run_dir, boot_id())
}

/// Says how a run is on a machine in the given boot.
#[must_use]
pub fn observe_on(run_dir: &Path, boot_id: &str) -> Observation {
    match try_observe(run_dir, boot_id) {
        Ok(observation) => observation,
        Err(HostError::Format { path, message }) => Observation::Corrupt { path, message },
        Err(HostError::Io { ref path, ref source, .. }) => {
            Observation::Corrupt { path: path.clone(), message: source.to_string() }
        }
        Err(error) => Observation::Corrupt { path: run_dir.to_owned(), message: error.to_string() },
    }
}

fn try_observe(run_dir: &Path, boot_id: &str) -> Result<Observation, HostError> {
    if let Some(known) = shared::find(run_dir)? {
        return observe_known(run_dir, boot_id, known);
    }
    if let Some(record) = read_exit(run_dir)? {
        return Ok(Observation::Ended(record));
    }
    // While this is held no host can start, so the records read under it belong together.
    let (lock, start) = lock_and_start(run_dir, files::lock_shared)?;
    // It may have ended between the first look and the lock.
    if let Some(record) = read_exit(run_dir)? {
        return Ok(Observation::Ended(record));
    }
    let observation = match (start, &lock) {
        (None, Lock::Taken) => Observation::Starting,
        (None, Lock::Held(_)) => {
            // A claim no host can read would be handed to one host after the other.
            match read_claim(run_dir)?.and_then(|claim| claim.place) {
                Some(name) => return observe_told(run_dir, boot_id, &name),
                None => Observation::NotStarted,
            }
        }
        (Some(start), _) if start.host.boot_id != boot_id => Observation::Interrupted { start, why: Why::Reboot },
        // Somebody may have removed or replaced the lock file of a living host: it is asked about by name as well.
        (Some(start), Lock::Held(_)) if !start.host.is_alive() => {
            Observation::Interrupted { start, why: Why::HostDied }
        }
        (Some(start), _) => Observation::Running { start, child: read_child(run_dir)? },
    };
    Ok(observation)
}

/// A run of a place that has begun, or is over.
fn observe_known(run_dir: &Path, boot_id: &str, known: Known) -> Result<Observation, HostError> {
    match known {
        Known { exit: Some(record), .. } => Ok(Observation::Ended(record)),
        Known { start: Some(start), .. } if start.host.boot_id != boot_id => {
            Ok(ended_alone(run_dir)?.unwrap_or(Observation::Interrupted { start, why: Why::Reboot }))
        }
        Known { start: Some(start), .. } if !start.host.is_alive() => {
            // It may have recorded the end before it died.
            match shared::find(run_dir)?.and_then(|known| known.exit) {
                Some(record) => Ok(Observation::Ended(record)),
                None => Ok(ended_alone(run_dir)?.unwrap_or(Observation::Interrupted { start, why: Why::HostDied })),
            }
        }
        // A command that is over in a moment is shown by its end alone.
        Known { start: Some(start), .. } if !files::exists(run_dir, START) && is_recent(&start) => {
            Ok(Observation::Starting)
        }
        Known { start: Some(start), .. } => {
            Ok(Observation::Running { start, child: read_child(run_dir).unwrap_or_default() })
        }
        Known { start: None, exit: None } => Ok(Observation::NotStarted),
    }
}

fn is_recent(start: &StartRecord) -> bool {
    let age = Timestamp::now().duration_since(start.started_at);
    !age.is_negative() && age < SHOWN_WITHIN
}

/// The end of a run of a place where the shared records could not take it. A copy that a power cut damaged is none.
fn ended_alone(run_dir: &Path) -> Result<Option<Observation>, HostError> {
    match read_exit(run_dir) {
        Ok(record) => Ok(record.map(Observation::Ended)),
        Err(HostError::Format { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A run of a place that has not begun: it may be about to, if a living host was told of it.
fn observe_told(run_dir: &Path, boot_id: &str, name: &str) -> Result<Observation, HostError> {
    let place = place::directory(run_dir, name)?;
    // While it is held no host can begin at the place, so what is found then does not change.
    let lock = files::lock_shared(&place)?;
    let told = match (&lock, place::Told::open(&place)?) {
        (Lock::Taken, Some(mut told)) => told.names(run_dir)?,
        (Lock::Taken, None) | (Lock::Held(_), _) => false,
    };
    match shared::find(run_dir)? {
        Some(known) => observe_known(run_dir, boot_id, known),
        None if told => Ok(Observation::Starting),
        None => Ok(Observation::NotStarted),
    }
}

/// Takes the lock and reads the start record. A host that is killed while it starts its command leaves the lock to that
/// half-started process for a moment, until the program is executed; so a lock whose host is dead is waited for.
fn lock_and_start(
    run_dir: &Path,
    lock: impl Fn(&Path) -> Result<Lock, HostError>,
) -> Result<(Lock, Option<StartRecord>), HostError> {
    let mut tries = 0;
    loop {
        let locked = lock(run_dir)?;
        let start = read_start(run_dir)?;
        let is_orphaned = matches!(locked, Lock::Taken) && start.as_ref().is_some_and(|start| !start.host.is_alive());
        tries += 1;
        if !is_orphaned || tries == files::LOCK_TRIES {
            return Ok((locked, start));
        }
        rustix::thread::sched_yield();
    }
}

/// The claim of a run. An empty file is what a power cut left of one that was not durable, which is made again.
pub(super) fn read_claim(run_dir: &Path) -> Result<Option<Claim>, HostError> {
    unless_empty(read_record(run_dir, CLAIM, |claim: &Claim| claim.version))
}

/// What a host wrote of the process it started: for whoever comes after it, and not made durable.
fn read_child(run_dir: &Path) -> Result<Option<Identity>, HostError> {
    unless_empty(files::read(run_dir, CHILD))
}

/// A record that is not made durable is there and empty after a power cut, which is as if it were not there.
fn unless_empty<T>(read: Result<Option<T>, HostError>) -> Result<Option<T>, HostError> {
    match read {
        Err(HostError::Format { path, .. }) if std::fs::metadata(&path).is_ok_and(|found| found.len() == 0) => Ok(None),
        other => other,
    }
}

/// What the host of a run recorded before it started the command, if it came so far.
///
/// # Errors
/// When the record is there and cannot be read.
pub fn start_record(run_dir: &Path) -> Result<Option<StartRecord>, HostError> {
    match shared::find(run_dir)?.and_then(|known| known.start) {
        Some(start) => Ok(Some(start)),
        None => read_start(run_dir),
    }
}

fn read_start(run_dir: &Path) -> Result<Option<StartRecord>, HostError> {
    read_record(run_dir, START, |record: &StartRecord| record.version)
}

fn read_exit(run_dir: &Path) -> Result<Option<ExitRecord>, HostError> {
    read_record(run_dir, EXIT, |record: &ExitRecord| record.version)
}

fn read_record<T: DeserializeOwned>(
    run_dir: &Path,
    name: &str,
    version: impl Fn(&T) -> u32,
) -> Result<Option<T>, HostError> {
    let record = files::read(run_dir, name)?;
    match record.as_ref().map(version) {
        Some(found) if found != VERSION => Err(HostError::Format {
            path: run_dir.join(name),
            message: format!("its form is {found}, this program reads {VERSION}"),
        }),
        _ => Ok(record),
    }
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

/// Asks for a run to be stopped. Repeating it does no harm, and a later request may shorten the time that is left.
///
/// # Errors
/// When the request cannot be made durable, or a record cannot be read.
pub fn request_stop(run_dir: &Path, reason: &str, grace: Duration) -> Result<StopOutcome, HostError> {
    if is_over(run_dir)? {
        return Ok(StopOutcome::AlreadyEnded);
    }
    let request =
        StopRequest { reason: reason.to_owned(), grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) };
    // The request comes first. A host writes its start record and then looks for a request; we write the request and
    // then look for a start record. Whatever the order, at least one of us sees the other.
    files::replace(run_dir, STOP, &request, true)?;
    if let Some(name) = read_claim(run_dir)?.and_then(|claim| claim.place) {
        return place::stop(run_dir, &name, reason);
    }
    let (lock, start) = lock_and_start(run_dir, files::lock_exclusive)?;
    if read_exit(run_dir)?.is_some() {
        return Ok(StopOutcome::AlreadyEnded);
    }
    match (lock, start) {
        (Lock::Held(_), None) => {
            let Some(claim) = files::read::<Claim>(run_dir, CLAIM)? else {
                return Err(HostError::Format { path: run_dir.join(CLAIM), message: "there is none".to_owned() });
            };
            let how = How::NeverStarted { reason: reason.to_owned() };
            files::write_once(run_dir, EXIT, &ExitRecord::without_work(claim.run, how, Timestamp::now()))?;
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

/// Whether the end of a run is recorded.
pub(super) fn is_over(run_dir: &Path) -> Result<bool, HostError> {
    match shared::find(run_dir)? {
        Some(known) => Ok(known.exit.is_some() || ended_alone(run_dir)?.is_some()),
        None => Ok(read_exit(run_dir)?.is_some()),
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
    let mut found = host.map(|host| Table::read().nameless_in_session(host)).unwrap_or_default();
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
