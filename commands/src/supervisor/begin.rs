//! How a run comes to its host: with one of its own, or at the place of one that runs others too. What it is to run is
//! decided elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pipeline_lib::run::{Run, Work};
use pipeline_worktrees::host::{self, RunKind};

use super::environment;
use super::perform::Failure;
use super::secrets::Secrets;
use crate::context::Context;

pub(super) fn claim(
    run: &Run,
    kind: RunKind,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: PathBuf,
) -> host::Claim {
    let mut claim = host::Claim::new(run.id.clone(), kind, argv, env, cwd);
    claim.timeout_ms = u64::try_from(run.timeout.as_millis()).ok();
    claim
}

/// Starts a run's host. `secrets` are those that its claim must not say.
pub(super) fn start(context: &Context, run: &Run, mut claim: host::Claim, secrets: &Secrets) -> Result<(), Failure> {
    let dir = context.run_dir(&run.id);
    claim.keeps = keeps(context, run, &claim);
    let host = environment::entrust(secrets, &mut claim, context.host_program());
    claim.place = place_of(run).filter(|_| is_shared(&claim)).map(str::to_owned);
    Ok(host::begin(&host, &dir, claim)?)
}

/// Where a run leaves what is collected. A gate leaves nothing but its word, and in a person's checkout nothing is collected.
fn keeps(context: &Context, run: &Run, claim: &host::Claim) -> Vec<PathBuf> {
    let leaves = matches!(run.work, Work::Agent | Work::Command { .. } | Work::Setup { .. });
    if leaves && claim.cwd != context.root() {
        vec![claim.cwd.clone(), context.repo().common_dir().to_owned()]
    } else {
        Vec::new()
    }
}

/// The place of a run that may have no host of its own: no agent is two at once.
pub(super) fn place_of(run: &Run) -> Option<&str> {
    (run.work != Work::Agent).then(|| run.agent.as_str())
}

/// Whether whoever started this run before came so far that it may have begun.
pub(super) fn may_have_begun(context: &Context, run: &Run) -> bool {
    let dir = context.run_dir(&run.id);
    host::is_claimed(&dir) || place_of(run).is_some_and(|place| host::is_told(&dir, place))
}

/// Asks a run's host to stop.
pub(super) fn stop(context: &Context, run: &Run, reason: &str, grace: Duration) -> Result<(), Failure> {
    host::request_stop(&context.run_dir(&run.id), place_of(run), reason, grace)?;
    Ok(())
}

/// Whether a command may run in the same host as the one before it, so that no process has to be started for each. What
/// is written down nowhere is in the environment of one host alone, services would be taken for something that the next
/// one left, and what is confined or drawn in a terminal shares its host with nothing.
fn is_shared(claim: &host::Claim) -> bool {
    let has_its_own = !claim.secrets.is_empty() || !claim.given.is_empty() || claim.confinement.is_some();
    let is_seen = claim.terminal.is_some() || claim.multiplexer.is_some();
    !has_its_own && !claim.leaves_services && !is_seen
}
