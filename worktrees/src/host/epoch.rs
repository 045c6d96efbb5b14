//! Which stretch of a machine's life this is, told apart by what a power cut takes. Within one, whatever a process wrote is
//! read by all others, durable or not; so that a host of a place need not make the start of a run durable before it begins
//! it: of a run that was claimed in this stretch and is not on record nothing has begun. Of one that was claimed in an
//! earlier one, that is not known. Whoever ticks first in a new stretch puts on record that such a run may have begun,
//! before anybody begins anything in it.
//!
//! A stretch has the name of the boot, and of the mount that the records lie on: a disk may be away without a boot. Where
//! the kernel has no name for a mount that it never gives to another one (before Linux 6.8) a stretch has no name, and hosts
//! make every start durable.

use std::path::Path;

use jiff::Timestamp;
use pipeline_lib::ids::RunId;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::HostError;
use super::files::{self, exists};
use super::observe::{observe_at, read_claim};
use super::records::{Observation, StartRecord, VERSION};
use super::shared::{self, DIR, Records};
use crate::process::{Identity, boot_id};

/// In the directory of the places: the stretch whose beginning was seen to.
const EPOCH: &str = ".epoch";
/// `STATX_MNT_ID_UNIQUE` of statx(2).
const MOUNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
/// A process id that none can have: the largest of Linux has 22 bits.
const NOBODY: i32 = i32::MAX;

/// The name of the present stretch for what lies in a directory.
fn name(dir: &Path) -> Option<String> {
    let found = statx(CWD, dir, AtFlags::empty(), MOUNT_ID_UNIQUE).ok()?;
    let is_told = found.stx_mask & MOUNT_ID_UNIQUE.bits() != 0;
    is_told.then(|| format!("{} {}", boot_id(), found.stx_mnt_id))
}

/// Whether the beginning of the present stretch was seen to, so that a start in it need not be durable.
pub(super) fn is_entered(dir: &Path) -> bool {
    let entered: Option<String> = files::read(dir, EPOCH).unwrap_or_default();
    entered.is_some() && entered == name(dir)
}

/// Sees to the beginning of a stretch, where nobody has yet: puts on record of which runs at places it is not known whether
/// they have begun. `live` are the runs that are claimed and not over, each with its place. Only one process at a time may do
/// so. What it found is remembered in `entered`, so that asking again costs nothing.
///
/// # Errors
/// When the records cannot be read or written. Whoever asked may begin nothing then, or it might begin twice.
pub fn enter<'a>(
    runs: &Path,
    live: impl Iterator<Item = (&'a RunId, &'a str)>,
    entered: &mut Option<String>,
) -> Result<(), HostError> {
    let dir = runs.join(DIR);
    // Before the first command there is nothing to tell apart, and what its host begins is durable.
    if !dir.is_dir() {
        return Ok(());
    }
    let now = name(&dir);
    if now.is_some() && *entered == now {
        return Ok(());
    }
    let before: Option<String> = match files::read(&dir, EPOCH) {
        // One that is damaged is none of now.
        Err(HostError::Format { .. }) => Some(String::new()),
        read => read?,
    };
    if before == now {
        entered.clone_from(&now);
        return Ok(());
    }
    // Where there was none every start was durable.
    if let Some(before) = before {
        let mut records = Records::open(runs)?;
        for (run, place) in live {
            let run_dir = runs.join(run.as_str());
            if !is_on_record(&run_dir, place)? {
                let host = Identity { boot_id: before.clone(), pid: NOBODY, start_time: 0 };
                let start = StartRecord { version: VERSION, run: run.clone(), host, started_at: Timestamp::now() };
                records.start(&run_dir, &start)?;
            }
        }
    }
    match &now {
        Some(now) => {
            files::replace(&dir, EPOCH, now, true)?;
        }
        None if exists(&dir, EPOCH) => {
            std::fs::remove_file(dir.join(EPOCH)).map_err(HostError::io("remove", dir.join(EPOCH)))?;
            files::sync_dir(&dir)?;
        }
        None => {}
    }
    entered.clone_from(&now);
    Ok(())
}

/// Whether it is known of a run if it has begun. What is in the directory of one that has no host of its own are copies, of
/// which a power cut may have left anything.
fn is_on_record(run_dir: &Path, place: &str) -> Result<bool, HostError> {
    if shared::find(run_dir)?.is_some() {
        return Ok(true);
    }
    // One that has a host of its own has a claim there, and its start was durable.
    if read_claim(run_dir).unwrap_or_default().is_some_and(|claim| claim.place.is_none()) {
        return Ok(true);
    }
    Ok(match observe_at(run_dir, place) {
        Observation::Ended(_) | Observation::Starting => true,
        Observation::Running { start, .. } => start.host.is_alive(),
        Observation::NotStarted | Observation::Interrupted { .. } | Observation::Corrupt { .. } => false,
    })
}

/// Whether what is on record of a start is that nobody knows of it.
pub(super) fn is_unknown(start: &StartRecord) -> bool {
    start.host.pid == NOBODY
}

#[cfg(test)]
mod tests {
    use super::super::observe::observe;
    use super::super::records::Why;
    use super::*;

    /// A repository's runs as another stretch left them.
    fn after_a_cut(runs: &Path) {
        files::create_dir(&runs.join(DIR)).unwrap();
        files::replace(&runs.join(DIR), EPOCH, &"another boot 7", true).unwrap();
    }

    #[test]
    fn what_was_claimed_before_a_power_cut_may_have_begun() {
        let runs = tempfile::tempdir().unwrap();
        let run = RunId::new("R-1").unwrap();
        let live = || [(&run, "place")].into_iter();
        let seen = || observe(&runs.path().join("R-1"));
        let mut entered = None;
        enter(runs.path(), live(), &mut entered).unwrap();
        assert!(entered.is_none() && !runs.path().join(DIR).exists(), "nobody has run a command");
        files::create_dir(&runs.path().join(DIR)).unwrap();
        enter(runs.path(), live(), &mut None).unwrap();
        assert_eq!(seen(), Observation::NotStarted, "whoever came before made every start durable");
        enter(runs.path(), live(), &mut entered).unwrap();
        assert_eq!((seen(), entered), (Observation::NotStarted, name(runs.path())), "it was claimed in this stretch");
        after_a_cut(runs.path());
        assert!(!is_entered(&runs.path().join(DIR)), "starts are durable until somebody has seen to it");
        enter(runs.path(), live(), &mut None).unwrap();
        assert!(matches!(seen(), Observation::Interrupted { why: Why::Unrecorded, .. }), "{:?}", seen());
        assert_eq!(is_entered(&runs.path().join(DIR)), name(runs.path()).is_some());
        let next = RunId::new("R-2").unwrap();
        enter(runs.path(), [(&next, "place")].into_iter(), &mut None).unwrap();
        assert_eq!(observe(&runs.path().join("R-2")), Observation::NotStarted);
    }

    #[test]
    fn of_copies_a_power_cut_may_have_left_anything() {
        let runs = tempfile::tempdir().unwrap();
        after_a_cut(runs.path());
        let all: Vec<RunId> = (0..3).map(|nth| RunId::new(&format!("R-{nth}")).unwrap()).collect();
        let start = |run: &RunId| {
            let host = Identity { boot_id: boot_id().to_owned(), pid: NOBODY - 1, start_time: 1 };
            StartRecord { version: VERSION, run: run.clone(), host, started_at: Timestamp::UNIX_EPOCH }
        };
        for (nth, run) in all.iter().enumerate() {
            let dir = runs.path().join(run.as_str());
            files::create_private(&dir).unwrap();
            files::replace(&dir, files::START, &start(run), false).unwrap();
            let damaged = [files::CLAIM, files::START, files::EXIT][nth];
            std::fs::write(dir.join(damaged), [0; 300]).unwrap();
        }
        enter(runs.path(), all.iter().map(|run| (run, "place")), &mut None).unwrap();
        for run in &all {
            let dir = runs.path().join(run.as_str());
            let seen = observe(&dir);
            assert!(matches!(seen, Observation::Interrupted { why: Why::Unrecorded, .. }), "{seen:?}");
            super::super::kill_remains(&dir).unwrap();
        }
    }

    #[test]
    fn what_is_on_record_stays_as_it_is() {
        let runs = tempfile::tempdir().unwrap();
        after_a_cut(runs.path());
        let of = |run: &str| (RunId::new(run).unwrap(), runs.path().join(run));
        let ((began, began_dir), (own, own_dir)) = (of("R-1"), of("R-2"));
        let host = Identity { boot_id: "boot".to_owned(), pid: 7, start_time: 1 };
        let start = StartRecord { version: VERSION, run: began.clone(), host, started_at: Timestamp::UNIX_EPOCH };
        Records::open(runs.path()).unwrap().start(&began_dir, &start).unwrap();
        let claim = super::super::Claim::new(
            own.clone(),
            super::super::RunKind::Agent,
            vec!["true".to_owned()],
            std::collections::BTreeMap::new(),
            runs.path().to_owned(),
        );
        super::super::prepare(&own_dir, &claim).unwrap();
        enter(runs.path(), [(&began, "place"), (&own, "place")].into_iter(), &mut None).unwrap();
        assert_eq!(observe(&began_dir), Observation::Interrupted { start, why: Why::Reboot });
        assert_eq!(observe(&own_dir), Observation::NotStarted, "its own host made its start durable");
    }
}
