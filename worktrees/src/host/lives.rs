//! Whether hosts of places live, for whoever asks about the same few again and again: a handle on a process says so at once,
//! where its entry in `/proc` takes longer than all the rest of a look.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::files::{self, Lock};
use super::{HostError, place};
use crate::process::Identity;

/// Handles that are kept at most.
const HANDLES_MAX: usize = 64;

static HANDLES: Mutex<Vec<(Identity, OwnedFd)>> = Mutex::new(Vec::new());

/// The last host that was known at each place.
static LAST: Mutex<Vec<(PathBuf, Identity)>> = Mutex::new(Vec::new());

/// Whether the host lives that was the last one known at a place, or else the one that is named there now, if one is.
pub(super) fn lives_at(place: &Path, named: impl FnOnce() -> Option<Identity>) -> bool {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.iter().find(|(known, _)| known == place).is_some_and(|(_, host)| lives(host)) {
        return true;
    }
    let Some(host) = named() else { return true };
    let lives = lives(&host);
    last.retain(|(known, _)| known != place);
    if lives && last.len() < HANDLES_MAX {
        last.push((place.to_owned(), host));
    }
    lives
}

/// Whether a lock that was taken turns out to be free: the last thread of a host that was killed lets go of it a moment
/// after the host counts as dead.
pub(super) fn is_left_by_the_dead(place: &Path) -> Result<bool, HostError> {
    for _ in 0..files::LOCK_TRIES {
        // One that has the lock and has not said so yet reads the list all the same.
        if lives_at(place, || files::read(place, place::HOST).unwrap_or_default()) {
            return Ok(false);
        }
        if matches!(files::lock_shared(place)?, Lock::Held(_)) {
            return Ok(true);
        }
        rustix::thread::sched_yield();
    }
    Ok(false)
}

/// Whether this very process still executes, as [`Identity::is_alive`] says; of one with several threads, any of them.
pub(super) fn lives(host: &Identity) -> bool {
    let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = handles.iter().position(|(known, _)| known == host) {
        let lives = handles.get(at).is_some_and(|(_, handle)| is_running(handle));
        if !lives {
            handles.swap_remove(at);
        }
        return lives || host.is_alive();
    }
    let Some(handle) = host.open() else { return host.is_alive() };
    // Those of hosts that have died meanwhile are nobody's any more.
    handles.retain(|(_, handle)| is_running(handle));
    if handles.len() < HANDLES_MAX {
        handles.push((host.clone(), handle));
    }
    true
}

/// A handle becomes readable when its process dies.
fn is_running(handle: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&now)) == Ok(0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_lives_until_it_is_dead_however_often_it_is_asked_about() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let host = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(lives(&host) && lives(&host));
        let (place, elsewhere) = (Path::new("here"), Path::new("there"));
        assert!(lives_at(place, || Some(host.clone())) && lives_at(place, || unreachable!("it is known")));
        let other = Identity { start_time: host.start_time + 1, ..host.clone() };
        assert!(!lives(&other), "its pid alone is not it");
        assert!(!lives(&Identity { boot_id: "another".to_owned(), ..host.clone() }));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!lives(&host) && !lives(&host));
        assert!(!lives_at(place, || Some(host.clone())) && !lives_at(elsewhere, || Some(other)));
        assert!(lives_at(place, || None), "who has not said yet who it is");
    }
}
