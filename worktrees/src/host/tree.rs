//! Ending many processes at once, some of which may be starting others meanwhile, and which the system ends first.
//!
//! Which processes those are is for the caller to say, again and again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

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

/// How much this process itself is preferred, and where to say so. Best effort: a machine that does not allow it only loses
/// the preference.
fn own_preference() -> Option<&'static (File, i32)> {
    static OWN: OnceLock<Option<(File, i32)>> = OnceLock::new();
    let open = || {
        let mut file = File::options().read(true).write(true).open("/proc/self/oom_score_adj").ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        Some((file, text.trim().parse().ok()?))
    };
    OWN.get_or_init(open).as_ref()
}

fn prefer(file: &File, score: i32) {
    drop(file.write_all_at(score.to_string().as_bytes(), 0));
}

/// Prefers this process.
pub(super) fn prefer_for_oom() {
    if let Some((file, current)) = own_preference() {
        prefer(file, (current + OOM_SCORE_STEP).min(1000));
    }
}

/// Starts a process that is preferred: it has that from this one, which is itself preferred for that moment only. To say it
/// of the other one would cost more than all the rest, since nobody has looked at a new process yet.
pub(super) fn preferring_for_oom<T>(start: impl FnOnce() -> T) -> T {
    prefer_for_oom();
    let started = start();
    if let Some((file, current)) = own_preference() {
        prefer(file, *current);
    }
    started
}
