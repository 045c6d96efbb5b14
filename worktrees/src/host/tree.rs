//! Ending many processes at once, some of which may be starting others meanwhile, and which the system ends first.
//!
//! Which processes those are is for the caller to say, again and again.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::process::Identity;

/// Agents are killed before their hosts when memory runs out: a dead agent is recorded, a dead host is a mystery.
const OOM_SCORE_STEP: i32 = 200;
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

/// Best effort: a machine that does not allow it only loses the preference.
pub(super) fn prefer_for_oom(pid: i32) {
    let path = format!("/proc/{pid}/oom_score_adj");
    let current = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(current) = current {
        drop(std::fs::write(&path, (current + OOM_SCORE_STEP).min(1000).to_string()));
    }
}
