//! Ending many processes at once, some of which may be starting others meanwhile.
//!
//! Which processes those are is for the caller to say, again and again.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::process::Identity;

/// A tree that grows faster than this many looks at it is killed as far as it was seen; the caller comes back.
const FREEZE_PASSES_MAX: usize = 64;

/// Asks processes to end. A stopped one would not hear that, so it is also told to go on.
pub(super) fn terminate(processes: &[Identity]) {
    for process in processes {
        process.signal(Signal::TERM);
    }
    for process in processes {
        process.signal(Signal::CONT);
    }
}

/// Stops every process that `find` names until a look shows none that is not stopped, so that none can start another
/// behind our back, then kills them all. Returns those that were killed. A process that was starting another at that
/// moment may still leave it behind: callers repeat until `find` names none.
pub(super) fn freeze_and_kill(mut find: impl FnMut() -> Vec<Identity>) -> Vec<Identity> {
    let mut frozen = BTreeSet::new();
    for _ in 0..FREEZE_PASSES_MAX {
        let mut grew = false;
        for process in find() {
            if !frozen.contains(&process) {
                process.signal(Signal::STOP);
                frozen.insert(process);
                grew = true;
            }
        }
        if !grew {
            break;
        }
    }
    frozen.into_iter().filter(|process| process.signal(Signal::KILL)).collect()
}
