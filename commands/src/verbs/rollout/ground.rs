//! The groundwork for leaving shadow mode: the doctor's word, the workflows', and the gate really run on base. The gate is
//! a run like any other, with a host, a timeout and a log; only its outcome goes nowhere but into the answer.

use std::path::Path;
use std::time::{Duration, Instant};

use pipeline_lib::ids::{CommitId, RunId};
use pipeline_lib::rollout::Groundwork;
use pipeline_lib::text::one_line;
use pipeline_state::Locker;
use pipeline_worktrees::host::{self, How, Observation, RunKind};
use pipeline_worktrees::watch::Watcher;
use tokio::sync::mpsc;

use super::super::doctor;
use super::super::monitor::asked_to_end;
use crate::context::Context;
use crate::dispatch::Call;
use crate::error::{CommandError, Result, chain, exit};
use crate::supervisor::{Secrets, command_environment, detach_clean, entrust, replace_file};

/// The worktree in which the gate runs on base.
const WORKTREE: &str = "gate-rollout";
/// The names of these runs begin so.
const RUN_PREFIX: &str = "check-";
/// How often it looks where no notice comes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A host has this long after its timeout to end everything and say so.
const HOST_GRACE: Duration = Duration::from_secs(60);
/// How long everything has between being asked to end and being killed.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Finds out what can only be found out outside.
pub(super) fn gather(call: &Call, context: &Context) -> Result<Groundwork> {
    let mut doctor_problems = doctor::problems(context);
    // They have a check of their own.
    doctor_problems.retain(|problem| !problem.starts_with("workflows: "));
    let workflow_problems = context.workflows().problems.iter().filter(|problem| !problem.warning);
    let workflow_problems = workflow_problems.map(ToString::to_string).collect();
    let gate_on_base = match &context.config().project.verify {
        Some(command) => Some(gate(call, context, command)?),
        None => None,
    };
    Ok(Groundwork { doctor_problems, workflow_problems, gate_on_base })
}

/// Runs the gate on base. The inner error says why it does not pass.
fn gate(call: &Call, context: &Context, command: &str) -> Result<std::result::Result<(), String>> {
    let lock = Locker::new(context.state_dir().join("rollout.lock"), context.globals().command.clone());
    let _alone = lock.acquire(Duration::ZERO)?;
    clear_earlier(&context.runs_dir());
    let base = context.base_head()?;
    let path = context.worktree(WORKTREE, None);
    if let Some(why) = prepare(call, context, &path, &base)? {
        return Ok(Err(why));
    }
    call.output.note(&format!(
        "running the gate on {} at {}: {}",
        context.base(),
        base.short(),
        one_line(command, 120)
    ));
    run_shell(context, RunKind::Gate, command, &path)
}

/// Puts the worktree on base, set up. The answer says why that is not possible.
fn prepare(call: &Call, context: &Context, path: &Path, base: &CommitId) -> Result<Option<String>> {
    let repo = context.repo();
    let marker = context.runs_dir().join("gate-rollout.setup");
    if repo.ensure_worktree(path, base)?.fresh {
        repo.copy_included(path)?;
        // A worktree that was deleted took its set-up with it; a missing marker is what is wanted.
        std::fs::remove_file(&marker).unwrap_or_default();
    }
    if let Err(failure) = detach_clean(repo, path, base) {
        return Ok(Some(failure.message));
    }
    let Some(setup) = &context.config().project.setup else { return Ok(None) };
    if std::fs::read_to_string(&marker).is_ok_and(|done| done == *setup) {
        return Ok(None);
    }
    call.output.note(&format!("setting its worktree up: {}", one_line(setup, 120)));
    if let Err(why) = run_shell(context, RunKind::Setup, setup, path)? {
        return Ok(Some(format!("the set-up failed: {why}")));
    }
    replace_file(&marker, setup.as_bytes())?;
    Ok(None)
}

fn run_shell(context: &Context, kind: RunKind, command: &str, cwd: &Path) -> Result<std::result::Result<(), String>> {
    let id = format!("{RUN_PREFIX}{}-{}", jiff::Timestamp::now().as_millisecond(), std::process::id());
    let id = RunId::new(&id)?;
    let mut env = command_environment(context);
    env.insert("PIPELINE_WORKTREE".to_owned(), cwd.to_string_lossy().into_owned());
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()];
    let mut claim = host::Claim::new(id.clone(), kind, argv, env, cwd.to_owned());
    let timeout = Duration::try_from(context.config().scheduler.verify_timeout).unwrap_or(Duration::MAX);
    claim.timeout_ms = u64::try_from(timeout.as_millis()).ok();
    let dir = context.run_dir(&id);
    let host = entrust(&Secrets::known(context, None), &mut claim, context.host_program());
    host::prepare(&dir, &claim)?;
    host::spawn_host(&host, &dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(end_of(&dir, timeout.saturating_add(HOST_GRACE)))?;
    host::reap_hosts();
    Ok(outcome.map_err(|why| format!("{why}, see `pipeline logs --run {id}`")))
}

/// Waits for the end of a run. Where a person does not want to wait any more, the run is stopped too.
async fn end_of(dir: &Path, limit: Duration) -> Result<std::result::Result<(), String>> {
    let (changed, mut changes) = mpsc::unbounded_channel();
    // The receiver is gone only when this function has returned.
    let mut watcher = Watcher::new(move |_| changed.send(()).unwrap_or_default());
    if let Err(error) = watcher.watch(dir, ()) {
        tracing::debug!(%error, "a run is looked at instead of watched");
    }
    let deadline = Instant::now().checked_add(limit);
    let mut asked = std::pin::pin!(asked_to_end());
    loop {
        match host::observe(dir) {
            Observation::Ended(record) => return Ok(verdict(&record.how)),
            Observation::Interrupted { .. } => {
                host::kill_remains(dir)?;
                return Ok(Err("its host process died".to_owned()));
            }
            Observation::Corrupt { message, .. } => return Ok(Err(format!("its record is damaged: {message}"))),
            Observation::NotStarted | Observation::Starting | Observation::Running { .. } => {}
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            host::request_stop(dir, None, "stopped", STOP_GRACE)?;
            return Ok(Err("it did not end in time".to_owned()));
        }
        tokio::select! {
            by_person = &mut asked => {
                host::request_stop(dir, None, "stopped", STOP_GRACE)?;
                by_person?;
                return Err(CommandError::new(exit::INTERRUPTED, "interrupted", "the gate was stopped; nothing was changed"));
            }
            Some(()) = changes.recv() => while changes.try_recv().is_ok() {},
            () = tokio::time::sleep_until((Instant::now() + LOOK_AGAIN).into()) => {}
        }
    }
}

fn verdict(how: &How) -> std::result::Result<(), String> {
    match how {
        How::Exited { code: 0 } => Ok(()),
        How::Exited { code } => Err(format!("it exited with code {code}")),
        How::Signaled { signal } => Err(format!("it was ended by signal {signal}")),
        How::TimedOut => Err("it took longer than `verify_timeout`".to_owned()),
        How::Stopped { reason } | How::NeverStarted { reason } => Err(format!("it was {reason}")),
        How::SpawnFailed { message, .. } => Err(format!("it could not be started: {}", one_line(message, 200))),
    }
}

/// Removes what earlier checks left, unless one still runs.
fn clear_earlier(runs: &Path) {
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(RUN_PREFIX);
        if ours
            && matches!(host::observe(&entry.path()), Observation::Ended(_))
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::debug!(error = chain(&error), "an earlier check stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exit_code_nought_passes() {
        assert_eq!(verdict(&How::Exited { code: 0 }), Ok(()));
        for how in [
            How::Exited { code: 1 },
            How::Signaled { signal: 9 },
            How::TimedOut,
            How::Stopped { reason: "stopped".to_owned() },
        ] {
            assert!(verdict(&how).is_err(), "{how:?}");
        }
    }
}
