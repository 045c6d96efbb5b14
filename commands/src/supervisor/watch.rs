//! The loop of a living monitor: it waits for events and deadlines, and ticks. Nothing is polled that can be waited for;
//! the poll that remains is a fallback for what no notice came of.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline_lib::pipeline::Pipeline;
use pipeline_worktrees::host;
use pipeline_worktrees::watch::{Change, Watcher};
use tokio::sync::mpsc;

use super::begin::place_of;
use super::tick::{Supervisor, TickReport};
use crate::context::Context;
use crate::error::{CommandError, Result, exit};

/// The fallback poll when directories cannot be watched.
const POLL_UNWATCHED: Duration = Duration::from_secs(2);
/// In a repository where something happens all the time a tick ends after so long, to see who asks for something, and to let
/// the screen and other processes have their turn.
const TICK_FOR: Duration = Duration::from_millis(250);
/// How long a tick waits for a command that it has begun or found at work.
const LINGER: Duration = Duration::from_millis(5);
/// How soon a tick that failed for a passing reason is tried again.
const RETRY_FAILED: Duration = Duration::from_secs(5);
/// Where a run cannot be looked at, no notice is heeded for so long: the look itself makes one.
const DEAF_WHILE_BLIND: Duration = Duration::from_secs(1);

/// How often the loop looks without being told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Every 60 s when nothing is in progress, every 30 s usually, every 15 s when more than three tasks are.
    Adaptive,
    /// As the person says.
    Every(Duration),
}

impl Pace {
    fn pause(self, tasks_in_progress: usize) -> Duration {
        match self {
            Self::Every(pause) => pause,
            Self::Adaptive => Duration::from_secs(match tasks_in_progress {
                0 => 60,
                1..=3 => 30,
                _ => 15,
            }),
        }
    }
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The caller's future completed.
    Asked,
}

/// What the loop tells its caller after each tick.
#[derive(Debug)]
pub struct Ticked<'a> {
    /// The supervisor, for reading.
    pub supervisor: &'a Supervisor,
    /// What happened.
    pub report: &'a TickReport,
    /// What a person should know about the loop itself.
    pub notice: Option<&'a str>,
}

/// Ticks until `stop` completes. `wake` makes it tick at once; `ticked` is told of each tick, and may ask to be called
/// again after a while if nothing happens until then: what agents print wakes nobody.
///
/// # Errors
/// When the state is corrupt or was written by a newer program: going on could only make it worse. What passes (a held
/// lock, a full disk) is told to `ticked` and tried again.
pub async fn run_loop(
    context: &mut Context,
    supervisor: &mut Supervisor,
    pace: Pace,
    wake: &mut mpsc::UnboundedReceiver<()>,
    stop: impl Future<Output = ()>,
    mut ticked: impl FnMut(&Context, Ticked<'_>) -> Option<Duration>,
) -> Result<Stop> {
    let (changed, mut changes) = mpsc::unbounded_channel();
    // The receiver is gone only when the loop has ended.
    let mut watcher = Watcher::new(move |change: Change<Place>| {
        drop(changed.send(change));
    })
    .passing_over(is_no_news);
    let mut watched = BTreeSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let ticked_at = Timestamp::now();
        let (deadline, notice, mut again) = match supervisor.tick(context, TICK_FOR, LINGER) {
            Ok(report) => {
                // Whoever goes on at once looks anyway, and must not be woken by what it does itself.
                let busy = report.goes_on;
                let notice =
                    watch_what_matters(context, supervisor.engine().pipeline(), &mut watcher, &mut watched, busy);
                let again = ticked(context, Ticked { supervisor, report: &report, notice: notice.text.as_deref() });
                // A directory that is newly watched may have changed before the watch: look again.
                let look_again = notice.newly_watched || (notice.newly_watched_runs && supervisor.has_news(context));
                let in_progress = supervisor.engine().pipeline().in_flight().count();
                let pause = match notice.text {
                    _ if look_again || report.goes_on => Duration::ZERO,
                    Some(_) => POLL_UNWATCHED,
                    None => pace.pause(in_progress),
                };
                (next_wake(supervisor, pause, ticked_at), notice.text, again)
            }
            // A disk that does not answer is none that is gone.
            Err(_) if matches!(context.root().try_exists(), Ok(false)) => return Err(gone(context)),
            Err(error) if passes(&error) => {
                let text = error.message.clone();
                tracing::warn!(error = text, "a tick failed");
                let again = ticked(context, Ticked { supervisor, report: &TickReport::default(), notice: Some(&text) });
                supervisor.reopen(context);
                // What is due by now would be tried, and fail, without a pause.
                (Instant::now() + RETRY_FAILED, Some(text), again)
            }
            Err(error) => return Err(error),
        };
        let heeds_from = Instant::now() + if supervisor.is_blind() { DEAF_WHILE_BLIND } else { Duration::ZERO };
        let deadline = if supervisor.is_blind() { deadline.min(heeds_from) } else { deadline };
        // Signals are seen only while this waits, however short.
        tokio::task::yield_now().await;
        loop {
            let look = again.map_or(deadline, |pause| deadline.min(Instant::now() + pause));
            tokio::select! {
                biased;
                () = &mut stop => return Ok(Stop::Asked),
                () = tokio::time::sleep_until(look.into()) => {
                    if Instant::now() >= deadline {
                        break;
                    }
                    let nothing = TickReport::default();
                    again = ticked(context, Ticked { supervisor, report: &nothing, notice: notice.as_deref() });
                }
                Some(change) = changes.recv() => {
                    let mut all = vec![change];
                    while let Ok(change) = changes.try_recv() {
                        all.push(change);
                    }
                    if all.iter().any(|change| matches!(change, Change::Rescan)) {
                        watched.clear();
                        drop(watcher.rearm());
                        break;
                    }
                    if Instant::now() >= heeds_from && all.iter().any(|change| concerns_us(change, supervisor)) {
                        break;
                    }
                }
                Some(()) = wake.recv() => {
                    while wake.try_recv().is_ok() {}
                    break;
                }
            }
        }
        host::reap_hosts();
    }
}

/// What a watched directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The state: our own locks and snapshots are written there too.
    State,
    /// Any other.
    Elsewhere,
}

/// Files that this loop writes itself, and logs, of which it waits for none. The lock of the state is not among them: a
/// process that writes more than once keeps the journal open, and lets go of the lock each time. Nor is that of a run,
/// which is let go of when its host dies.
fn is_no_news(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let ours = ["tick.lock", "host.log", "claim.json", "branches.json", "branches-compared.json", "given.md", "told"];
    ours.contains(&name) || ["state.json", "stdout.log", "stderr.log"].iter().any(|start| name.starts_with(start))
}

/// Whether a notice is about something that we did not do ourselves.
fn concerns_us(change: &Change<Place>, supervisor: &Supervisor) -> bool {
    match change {
        Change::Touched { tag: Place::State, .. } => supervisor.engine().store().changed().unwrap_or(true),
        Change::Touched { tag: Place::Elsewhere, .. } | Change::Rescan => true,
    }
}

/// Somebody removed the repository.
fn gone(context: &Context) -> CommandError {
    CommandError::not_found(format!("the repository {} is gone", context.root().display()))
        .hint("Nothing is left to supervise. Where it was moved, run `pipeline monitor` there.")
}

/// Errors that another attempt may not meet.
fn passes(error: &CommandError) -> bool {
    !matches!(error.code, exit::CORRUPT | exit::CONFIG)
}

fn next_wake(supervisor: &Supervisor, pause: Duration, ticked_at: Timestamp) -> Instant {
    let now = Instant::now();
    let deadline = supervisor.engine().pipeline().next_deadline_after(ticked_at).map(|at| {
        let wait = at.duration_since(Timestamp::now());
        now + Duration::try_from(wait).unwrap_or(Duration::ZERO)
    });
    let ours = [supervisor.snapshot_due(), supervisor.radar_due(), supervisor.meters_due(), supervisor.repeat_due()];
    ours.into_iter().chain([deadline]).flatten().fold(now + pause, Instant::min)
}

struct Watching {
    newly_watched: bool,
    /// The same of directories in which only live runs are looked at.
    newly_watched_runs: bool,
    text: Option<String>,
}

/// Watches the directories in which something that matters now can appear, and no others. While it is `busy` neither those
/// that it writes itself nor those in which its commands say that they are over.
fn watch_what_matters(
    context: &Context,
    pipeline: &Pipeline,
    watcher: &mut Watcher<Place>,
    watched: &mut BTreeSet<PathBuf>,
    busy: bool,
) -> Watching {
    let mut wanted: BTreeSet<PathBuf> = context.watched_dirs().into_iter().collect();
    for run in pipeline.core.runs.values() {
        let dir = context.run_dir(&run.id);
        match place_of(run) {
            Some(_) if busy => {}
            Some(place) => drop(wanted.insert(host::watched_dir(&dir, place))),
            None => wanted.extend([dir, context.worktree(run.agent.as_str(), run.task.as_ref())]),
        }
    }
    wanted.retain(|dir| !(busy && *dir == context.state_dir()) && dir.is_dir());
    for dir in watched.difference(&wanted) {
        watcher.unwatch(dir);
    }
    let (mut newly_watched, mut newly_watched_runs) = (false, false);
    for dir in wanted.difference(watched) {
        match dir.starts_with(context.runs_dir()) {
            true => newly_watched_runs = true,
            false => newly_watched = true,
        }
        let place = if *dir == context.state_dir() { Place::State } else { Place::Elsewhere };
        if let Err(error) = watcher.watch(dir, place) {
            tracing::warn!(error = %error, "polling instead of watching");
        }
    }
    *watched = wanted;
    let polled = watcher.polling_needed();
    let text = polled.first().map(|error| format!("polling every 2 s: {error}"));
    Watching { newly_watched, newly_watched_runs, text }
}
