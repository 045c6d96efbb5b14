//! How a run is, from what lies in its directory and in the records that hosts share. Reading only: whoever wants to know may
//! ask, and nothing is remembered.
//!
//! What follows from it is decided elsewhere.

use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::files::{self, CHILD, CLAIM, EXIT, Lock, START};
use super::lives::lives;
use super::records::{Claim, ExitRecord, How, Observation, StartRecord, VERSION, Why};
use super::shared::{self, Known};
use super::{HostError, epoch, place};
use crate::disk;
use crate::process::{Identity, boot_id};

/// A run at a place is shown by its host within this time; if it is not, the host could not write.
const SHOWN_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// Whether a run with a host of its own has been claimed, so that the host may have begun.
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

/// Whether a run has ended and what it left is on disk.
#[must_use]
pub fn is_settled(run_dir: &Path) -> bool {
    matches!(observe(run_dir), Observation::Ended(record) if !record.unsettled)
}

/// Whether a run began before the machine did, so that a power cut may have taken part of what it left.
#[must_use]
pub fn is_of_another_boot(run_dir: &Path) -> bool {
    start_record(run_dir).is_ok_and(|start| start.is_some_and(|start| start.host.boot_id != boot_id()))
}

/// Whether a power cut left no record of whether a run had begun.
#[must_use]
pub fn is_unrecorded(run_dir: &Path) -> bool {
    start_record(run_dir).is_ok_and(|start| start.is_some_and(|start| epoch::is_unknown(&start)))
}

/// Whether it is on record that a run never began and never will.
#[must_use]
pub fn never_began(run_dir: &Path) -> bool {
    let known = shared::find(run_dir).unwrap_or_default();
    let exit = known.and_then(|known| known.exit).or_else(|| read_exit(run_dir).unwrap_or_default());
    exit.is_some_and(|exit| matches!(exit.how, How::NeverStarted { .. }))
}

/// Says how a run is. One that was told of at a place counts as not started until it is on record that it has begun.
#[must_use]
pub fn observe(run_dir: &Path) -> Observation {
    observe_on(run_dir, boot_id())
}

/// The same for a run that may have been told of at a place, where its host may be about to begin it.
#[must_use]
pub fn observe_at(run_dir: &Path, place: &str) -> Observation {
    match observe(run_dir) {
        Observation::NotStarted => told(observe_told(run_dir, boot_id(), place), run_dir),
        other => other,
    }
}

/// Says how a run is on a machine in the given boot.
#[must_use]
pub fn observe_on(run_dir: &Path, boot_id: &str) -> Observation {
    told(try_observe(run_dir, boot_id), run_dir)
}

fn told(observed: Result<Observation, HostError>, run_dir: &Path) -> Observation {
    match observed {
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
    if !run_dir.exists() {
        return Ok(Observation::NotStarted);
    }
    if let Some(record) = read_exit(run_dir)? {
        return ended(record, || read_start(run_dir), boot_id);
    }
    // While this is held no host can start, so the records read under it belong together.
    let (lock, start) = lock_and_start(run_dir, files::lock_shared)?;
    // It may have ended between the first look and the lock.
    if let Some(record) = read_exit(run_dir)? {
        return ended(record, || read_start(run_dir), boot_id);
    }
    let observation = match (start, &lock) {
        (None, Lock::Taken) => Observation::Starting,
        (None, Lock::Held(_)) => {
            // A claim no host can read would be handed to one host after the other.
            read_claim(run_dir)?;
            Observation::NotStarted
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
        Known { exit: Some(record), start } => ended(record, || Ok(start), boot_id),
        Known { start: Some(start), .. } if start.host.boot_id != boot_id => Ok(match ended_alone(run_dir)? {
            Some(Observation::Ended(record)) if !record.unsettled => Observation::Ended(record),
            _ if epoch::is_unknown(&start) => Observation::Interrupted { start, why: Why::Unrecorded },
            _ => Observation::Interrupted { start, why: Why::Reboot },
        }),
        Known { start: Some(start), .. } if !lives(&start.host) => {
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

/// What the record of an end says. One of an earlier boot that was made before what the run left was on disk says only that
/// the run was at work then: a power cut may have taken any part of it.
fn ended(
    record: ExitRecord,
    start: impl FnOnce() -> Result<Option<StartRecord>, HostError>,
    boot_id: &str,
) -> Result<Observation, HostError> {
    if !record.unsettled {
        return Ok(Observation::Ended(record));
    }
    Ok(match start()?.filter(|start| start.host.boot_id != boot_id) {
        Some(start) => Observation::Interrupted { start, why: Why::Reboot },
        None => Observation::Ended(record),
    })
}

fn is_recent(start: &StartRecord) -> bool {
    let age = Timestamp::now().duration_since(start.started_at);
    !age.is_negative() && age < SHOWN_WITHIN
}

/// The end of a run of a place where the shared records could not take it. A copy that a power cut damaged is none.
pub(super) fn ended_alone(run_dir: &Path) -> Result<Option<Observation>, HostError> {
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
        (Lock::Taken, Some(told)) => told.names(run_dir)?,
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
pub(super) fn lock_and_start(
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

/// The claim of a run. What a power cut left of one that was not durable is made again.
pub(super) fn read_claim(run_dir: &Path) -> Result<Option<Claim>, HostError> {
    unless_void(read_record(run_dir, CLAIM, |claim: &Claim| claim.version))
}

/// What a host wrote of the process it started: for whoever comes after it, and not made durable.
pub(super) fn read_child(run_dir: &Path) -> Result<Option<Identity>, HostError> {
    unless_void(files::read(run_dir, CHILD))
}

/// A record that is not made durable may be there and hold nothing after a power cut, which is as if it were not there.
fn unless_void<T>(read: Result<Option<T>, HostError>) -> Result<Option<T>, HostError> {
    match read {
        Err(HostError::Format { path, .. }) if std::fs::read(&path).is_ok_and(|found| disk::is_void(&found)) => {
            Ok(None)
        }
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

pub(super) fn read_start(run_dir: &Path) -> Result<Option<StartRecord>, HostError> {
    read_record(run_dir, START, |record: &StartRecord| record.version)
}

pub(super) fn read_exit(run_dir: &Path) -> Result<Option<ExitRecord>, HostError> {
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

/// Whether the end of a run is recorded.
pub(super) fn is_over(run_dir: &Path) -> Result<bool, HostError> {
    match shared::find(run_dir)? {
        Some(known) => Ok(known.exit.is_some() || ended_alone(run_dir)?.is_some()),
        None => Ok(read_exit(run_dir)?.is_some()),
    }
}
