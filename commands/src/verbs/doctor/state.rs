//! What is remembered and what is there: the files of the state, the worktrees, the runs, and who ticks.

use std::path::Path;
use std::time::Duration;

use pipeline_lib::text::counted;
use pipeline_state::{ErrorKind, Locker, ProblemKind, Report, StateError, Store};
use pipeline_worktrees::host::{self, Observation, Why};

use super::{Finding, Level};
use crate::context::Context;
use crate::engine::Kept;
use crate::error::{chain, exit};

/// Less than this does not last long.
const FREE_LITTLE: u64 = 1 << 30;
/// Less than this fails soon.
const FREE_TOO_LITTLE: u64 = 50 << 20;
const MIB: u64 = 1 << 20;
const REPAIR: &str = "pipeline doctor --repair";

pub(super) fn files(dir: &Path) -> Vec<Finding> {
    let report = match Store::<Kept>::check(dir) {
        Ok(report) => report,
        Err(error) => return vec![unreadable(&error)],
    };
    let mut findings = Vec::new();
    let damaged = report.seq.is_none() || report.segments.iter().any(|segment| segment.damaged_at.is_some());
    for problem in &report.problems {
        let name = problem.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        findings.push(weigh(&name, problem.kind, &problem.what));
    }
    if damaged && !findings.iter().any(|finding| finding.code == exit::CORRUPT) {
        findings
            .push(Finding::problem("state", "the journal cannot be read to its end", REPAIR).with_code(exit::CORRUPT));
    }
    if findings.iter().all(|finding| finding.level == Level::Ok) {
        let last = report.seq.unwrap_or_default();
        findings.push(Finding::ok(
            "state",
            format!(
                "sound, {} in {}",
                counted(usize::try_from(last).unwrap_or(usize::MAX), "fact"),
                counted(report.segments.len(), "file")
            ),
        ));
    }
    findings.extend(disk(&report));
    findings
}

fn unreadable(error: &StateError) -> Finding {
    let found = chain(error);
    match error.kind() {
        ErrorKind::Corrupt => Finding::problem("state", found, REPAIR).with_code(exit::CORRUPT),
        ErrorKind::NewerFormat => {
            Finding::problem("state", found, "Use the newer program that wrote it.").with_code(exit::CONFIG)
        }
        ErrorKind::NotInitialised => Finding::problem("state", found, "pipeline init"),
        ErrorKind::CannotRead | ErrorKind::CannotWrite | ErrorKind::LockBusy | ErrorKind::Refused => {
            Finding::problem("state", found, "Look at the permissions and the owner of .pipeline/state.")
        }
    }
}

/// How bad something about a file is, and what to do about it.
fn weigh(name: &str, kind: ProblemKind, what: &str) -> Finding {
    let found = format!("{name}: {what}");
    match kind {
        ProblemKind::Damage => Finding::problem("state", found, REPAIR).with_code(exit::CORRUPT),
        ProblemKind::Torn => Finding::warning("state", found, "Nothing; the next command does it."),
        ProblemKind::Newer => {
            Finding::problem("state", found, "Use the newer program that wrote it.").with_code(exit::CONFIG)
        }
        ProblemKind::Edited => {
            let remedy =
                "Use the verbs to change anything; the next command keeps a copy of your edit and writes it anew.";
            Finding::warning("state", found, remedy)
        }
        ProblemKind::Exposed => Finding::warning("state", found, "chmod -R go= .pipeline/state"),
        ProblemKind::Leftover => Finding::warning("state", found, format!("rm .pipeline/state/{name}")),
        ProblemKind::Copy => Finding::warning("state", found, format!("Once you are sure: rm .pipeline/state/{name}")),
        ProblemKind::Other => {
            let remedy = "Look at the permissions, the owner and the file system of .pipeline/state.";
            Finding::problem("state", found, remedy)
        }
    }
}

fn disk(report: &Report) -> Vec<Finding> {
    let free = report.free_bytes;
    let found = format!("{} MiB free on {}", free / MIB, report.file_system.name);
    let mut findings = vec![match free {
        0..FREE_TOO_LITTLE => Finding::problem("disk", found, "Free some space; worktrees and logs fill up first."),
        FREE_TOO_LITTLE..FREE_LITTLE => Finding::warning("disk", found, "Free some space before long."),
        _ => Finding::ok("disk", found),
    }];
    if report.file_system.is_network {
        let found = "the state is on a network file system, where other machines are not kept out";
        findings.push(Finding::warning("disk", found, "Let only one machine work on this repository."));
    }
    findings
}

pub(super) fn worktrees(context: &Context) -> Vec<Finding> {
    let known = match context.repo().worktrees() {
        Ok(known) => known,
        Err(error) => {
            let found = format!("failed to {}", chain(&error));
            return vec![Finding::problem("worktrees", found, "git worktree list")];
        }
    };
    let mut findings = Vec::new();
    let ours: Vec<_> = known.iter().filter(|info| context.is_our_worktree(&info.path)).collect();
    for info in &ours {
        let about = format!("worktree {}", name_of(&info.path));
        if info.prunable {
            findings.push(Finding::warning(about, "its folder is gone; it is made anew when it is needed", REPAIR));
        } else if let Err(error) = context.repo().worktree_status(&info.path) {
            let remedy = format!("mv {0} {0}.old && git worktree prune", info.path.display());
            findings.push(Finding::problem(about, format!("failed to {}", chain(&error)), remedy));
        } else if info.locked {
            findings.push(Finding::warning(
                about,
                "it is locked",
                format!("git worktree unlock {}", info.path.display()),
            ));
        }
    }
    for agent in &context.config().agents {
        let path = context.worktree(agent.name.as_str(), None);
        let has_files = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if has_files && !known.iter().any(|info| info.path == path || info.path.starts_with(&path)) {
            let remedy = format!("mv {0} {0}.old", path.display());
            let found = "its folder holds something that git does not know as a worktree";
            findings.push(Finding::problem(format!("worktree {}", agent.name), found, remedy));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("worktrees", format!("{} of ours, all sound", ours.len())));
    }
    findings
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(super) fn runs(context: &Context) -> Vec<Finding> {
    // Damage was told already; what can be read is looked at.
    let Ok(store) = Store::<Kept>::open(&context.state_dir(), context.store_options()) else { return Vec::new() };
    let runs = &store.machine().0.core.runs;
    let mut findings = Vec::new();
    for run in runs.values() {
        let about = format!("run {}", run.id);
        let settle = "pipeline monitor --once";
        match host::observe(&context.run_dir(&run.id)) {
            Observation::NotStarted => {
                findings.push(Finding::warning(about, "it was claimed and has not started", settle));
            }
            Observation::Interrupted { why, .. } => {
                let why = match why {
                    Why::HostDied => "its host process died",
                    Why::Reboot => "the machine was restarted",
                    Why::Unrecorded => "a power cut left no record of whether it had begun",
                };
                findings.push(Finding::warning(about, format!("{why}; {} is not working", run.agent), settle));
            }
            Observation::Corrupt { path, message } => {
                findings.push(Finding::problem(about, format!("{}: {message}", name_of(&path)), settle));
            }
            Observation::Starting | Observation::Running { .. } | Observation::Ended(_) => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("runs", format!("{} live", runs.len())));
    }
    findings
}

pub(super) fn monitor(context: &Context) -> Vec<Finding> {
    let state = context.state_dir();
    let holder = |name: &str| holder(&state.join(name));
    let mut findings = Vec::new();
    findings.push(match holder("monitor.lock") {
        Some(who) => Finding::ok("monitor", format!("runs: {who}")),
        None => {
            Finding::ok("monitor", "none runs; `pipeline monitor` starts one, `pipeline monitor --once` suits cron")
        }
    });
    for name in ["tick.lock", "state.lock"] {
        if let Some(who) = holder(name) {
            findings.push(Finding::ok(name, format!("held at this moment by {who}")));
        }
    }
    findings
}

/// Who holds a lock. Looked at, not waited for.
fn holder(path: &Path) -> Option<String> {
    if !path.exists() {
        return None;
    }
    let lock = Locker::new(path.to_owned(), "doctor".to_owned());
    match lock.acquire(Duration::ZERO) {
        Err(StateError::LockBusy { pid, command, .. }) => {
            let command = pipeline_lib::text::one_line(&command, 120);
            Some(pid.map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid} ({command})")))
        }
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_weighs_what_its_kind_does() {
        for (kind, level, code) in [
            (ProblemKind::Damage, Level::Problem, exit::CORRUPT),
            (ProblemKind::Newer, Level::Problem, exit::CONFIG),
            (ProblemKind::Other, Level::Problem, exit::FAILED),
            (ProblemKind::Torn, Level::Warning, exit::OK),
            (ProblemKind::Edited, Level::Warning, exit::OK),
            (ProblemKind::Exposed, Level::Warning, exit::OK),
            (ProblemKind::Leftover, Level::Warning, exit::OK),
            (ProblemKind::Copy, Level::Warning, exit::OK),
        ] {
            // A name or a text that reads like another kind changes nothing.
            let finding = weigh("damaged at others can.tmp", kind, "written by a newer program");
            assert_eq!((finding.level, finding.code), (level, code), "{kind:?}");
            assert!(!finding.remedy.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn a_new_state_is_sound_and_a_broken_one_is_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        drop(Store::<Kept>::init(&state, pipeline_state::Options::default()).unwrap());
        assert!(files(&state).iter().all(|finding| finding.level != Level::Problem), "{:?}", files(&state));
        let journal = state.join("journal.000001");
        let mut bytes = std::fs::read(&journal).unwrap();
        let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        bytes[last / 2] ^= 0xff;
        std::fs::write(&journal, bytes).unwrap();
        assert!(files(&state).iter().any(|finding| finding.code == exit::CORRUPT), "{:?}", files(&state));
    }

    #[test]
    fn a_lock_is_named_only_while_it_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("monitor.lock");
        assert_eq!(holder(&path), None);
        let guard = Locker::new(path.clone(), "monitor --headless".to_owned()).acquire(Duration::ZERO).unwrap();
        assert!(holder(&path).unwrap().contains("monitor --headless"));
        drop(guard);
        // A child of another test of this process has copies of all that was open until it becomes its program.
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while let Some(holder) = holder(&path) {
            assert!(std::time::Instant::now() < until, "{holder} has it still");
            std::thread::yield_now();
        }
    }
}
