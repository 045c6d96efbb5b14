//! The picture a dashboard draws, kept up to date in a thread of its own. Where no other monitor lives this thread is
//! the monitor; beside one it only looks, and takes over when that one is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pipeline_lib::ids::AgentName;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Run, StopReason};
use pipeline_lib::text;
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::board::Board;
use pipeline_lib::view::detail::Look;
use pipeline_lib::view::latest::Latest;
use pipeline_lib::view::screen::{AgentRow, EventLine, Figures, Monitor, Screen, Tone};
use pipeline_lib::view::{self, Seen};
use pipeline_state::{LockGuard, Locker, read_holder};
use pipeline_worktrees::host::STOP_GRACE;
use pipeline_worktrees::process::is_stopped;
use pipeline_worktrees::watch::Watcher;
use tokio::sync::{mpsc, watch};

use crate::context::Context;
use crate::details::{Details, Wake};
use crate::dispatch::{self, Call};
use crate::error::Result;
use crate::live::{Ask, Live};
use crate::supervisor::{self, Pace, Supervisor, run_loop};
use crate::verbs::events::{Known, sentence};

/// Cards a column carries at most.
const CARDS_MAX: usize = 60;
/// Event lines the picture carries.
const EVENTS_MAX: usize = 50;
/// How often a picture is made anew while agents work: what they do wakes nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long leaving waits for the tick that is under way.
const ENDING_WAIT: Duration = Duration::from_secs(3);
/// How long to wait until a thread that waits for the lock is told again that it should not.
const GIVE_UP_AGAIN: Duration = Duration::from_millis(20);
/// How often beside another monitor while nothing happens; its snapshots are noticed at once.
const LOOK_IDLE: Duration = Duration::from_secs(15);

/// Starts the thread that keeps the picture, and connects to it.
///
/// # Errors
/// When the state cannot be read.
pub fn start(call: &Call, pace: Pace) -> Result<(Live, Ending)> {
    let mut context = call.context()?;
    // Notes on stderr would tear the screen; the log has them too.
    context.silence();
    let supervisor = Supervisor::open(&context, "monitor")?;
    let lock = Arc::new(context.monitor_lock());
    let guard = lock.acquire(Duration::ZERO).ok();
    let (wake_in, wake) = mpsc::unbounded_channel();
    let mut painter = Painter::new(&context, &supervisor, wake_in.clone())?;
    let monitor = painter.monitor(&context, guard.is_some());
    let first = Arc::new(painter.paint(&context, &supervisor, &Look::Picture, monitor, None));
    let (screens_in, screens) = watch::channel(first);
    let (looks, looks_out) = watch::channel(Look::Picture);
    let (verbs, asks) = mpsc::channel(32);
    let globals = context.globals().clone();
    let runs_dir = context.runs_dir();
    let verb_wake = wake_in.clone();
    std::thread::Builder::new().name("verbs".to_owned()).spawn(move || perform_verbs(&globals, asks, &verb_wake))?;
    let (resting, resting_out) = watch::channel(false);
    let (rested_in, rested) = watch::channel(false);
    let rest = Rest { wished: resting_out, told: rested_in };
    let keeper = Keeper { context, supervisor, painter, screens: screens_in, looks: looks_out, pace, lock, rest };
    let (over, ended) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("monitor".to_owned()).spawn(move || {
        keeper.run(guard, wake_in, wake);
        // Nobody waits any more where the process is ending anyway.
        let _ = over.send(());
    })?;
    let crate::panes::Channels { wishes, panes, typed } = crate::panes::start(runs_dir, screens.clone())?;
    Ok((Live { screens, looks, verbs, wishes, panes, typed, resting, rested }, Ending(ended)))
}

/// The end of the thread that keeps the picture.
#[derive(Debug)]
pub struct Ending(std::sync::mpsc::Receiver<()>);

impl Ending {
    /// Waits, but not for long, until the thread has finished its tick and written `state.json`. Call it after the
    /// connection is dropped. What is not finished then is finished by the next tick of any process.
    pub fn wait(self) {
        let _ = self.0.recv_timeout(ENDING_WAIT);
    }
}

/// Verbs of the person, one after the other, on a thread where they may take their time.
fn perform_verbs(globals: &crate::context::Globals, mut asks: mpsc::Receiver<Ask>, wake: &mpsc::UnboundedSender<()>) {
    while let Some(ask) = asks.blocking_recv() {
        let answer = dispatch::answer(globals, &ask.argv);
        // Whoever asked may have gone, and the monitor may have ended; neither needs telling then.
        drop(ask.answer.send(answer));
        let _ = wake.send(());
    }
}

struct Keeper {
    context: Context,
    supervisor: Supervisor,
    painter: Painter,
    screens: watch::Sender<Arc<Screen>>,
    looks: watch::Receiver<Look>,
    pace: Pace,
    lock: Arc<Locker>,
    rest: Rest,
}

/// How a stop of the process is agreed upon.
struct Rest {
    wished: watch::Receiver<bool>,
    told: watch::Sender<bool>,
}

impl Rest {
    /// Completes when a stop is wished for; never where nobody can wish any more.
    async fn is_wished(&mut self) {
        if self.wished.wait_for(|resting| *resting).await.is_err() {
            std::future::pending().await
        }
    }

    /// Says that nothing is held any more, and completes when the process goes on.
    async fn take(&mut self) {
        self.told.send_replace(true);
        // Where nobody can wish any more, the screen has ended, which is noticed elsewhere.
        drop(self.wished.wait_for(|resting| !*resting).await);
        self.told.send_replace(false);
    }
}

/// Why a keeper no longer only looks on.
enum Looked {
    /// The other monitor is gone.
    Alone(LockGuard),
    /// The process is about to be stopped.
    Resting,
    /// Nobody looks any more.
    Gone,
}

impl Keeper {
    fn run(mut self, guard: Option<LockGuard>, wake_in: mpsc::UnboundedSender<()>, wake: mpsc::UnboundedReceiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.show(Some(&format!("the monitor could not start: {error}")), false);
                return;
            }
        };
        let result = runtime.block_on(self.keep(guard, wake_in, wake));
        if let Err(error) = result {
            let hint = error.hint.unwrap_or_default();
            self.show(Some(&format!("{} {hint}", error.message)), false);
        }
    }

    async fn keep(
        &mut self,
        mut guard: Option<LockGuard>,
        wake_in: mpsc::UnboundedSender<()>,
        mut wake: mpsc::UnboundedReceiver<()>,
    ) -> Result<()> {
        let mut chosen = self.looks.clone();
        // A new choice of what to look at makes a new picture.
        let nudge = tokio::spawn(async move { while chosen.changed().await.is_ok() && wake_in.send(()).is_ok() {} });
        let mut done = Ok(());
        while done.is_ok() && self.screens.receiver_count() > 0 {
            let held = match guard.take() {
                Some(held) => Looked::Alone(held),
                None => self.look_on(&mut wake).await?,
            };
            match held {
                Looked::Alone(held) => done = self.monitor(held, &mut wake).await,
                Looked::Resting => {}
                Looked::Gone => break,
            }
            if *self.rest.wished.borrow() {
                self.rest.take().await;
                guard = self.lock.acquire(Duration::ZERO).ok();
            }
        }
        nudge.abort();
        done
    }

    /// Ticks until nobody looks any more or the process is about to be stopped, and lets the lock go.
    async fn monitor(&mut self, held: LockGuard, wake: &mut mpsc::UnboundedReceiver<()>) -> Result<()> {
        let gone = self.screens.clone();
        let Self { context, supervisor, painter, screens, looks, pace, rest, .. } = self;
        let over = async {
            tokio::select! {
                () = gone.closed() => {}
                () = rest.is_wished() => {}
            }
        };
        let done = run_loop(context, supervisor, *pace, wake, over, |context, ticked| {
            let monitor = painter.monitor(context, true);
            let look = looks.borrow().clone();
            let screen = painter.paint(context, ticked.supervisor, &look, monitor, ticked.notice);
            publish(screens, screen);
            let live = !ticked.supervisor.engine().pipeline().core.runs.is_empty();
            // What is logged while a tick ends is in the file only after the picture was made.
            (live || look == Look::Logs).then_some(LOOK_AGAIN)
        })
        .await;
        self.supervisor.snapshot(&self.context, true)?;
        drop(held);
        done.map(drop)
    }

    /// Shows what another monitor does, until that one is gone, nobody looks any more, or the process is about to stop.
    async fn look_on(&mut self, wake: &mut mpsc::UnboundedReceiver<()>) -> Result<Looked> {
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
        let lock = Arc::clone(&self.lock);
        let (sender, mut taken) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("stand-by".to_owned()).spawn(move || {
            // The receiver is gone when the dashboard is ending.
            drop(sender.send(lock.acquire(FOREVER)));
        })?;
        let (changed, mut changes) = mpsc::unbounded_channel();
        let mut watcher = Watcher::new(move |_| {
            let _ = changed.send(());
        });
        let watching = watcher.watch(&self.context.state_dir(), ()).err().map(|error| error.to_string());
        loop {
            if let Err(error) = self.supervisor.engine_mut().refresh() {
                self.show(Some(&error.message), false);
            } else {
                self.show(watching.as_deref(), false);
            }
            let live = !self.supervisor.engine().pipeline().core.runs.is_empty();
            let logs = *self.looks.borrow() == Look::Logs;
            let pause = if live || logs { LOOK_AGAIN } else { LOOK_IDLE };
            let deadline = tokio::time::Instant::now() + pause;
            tokio::select! {
                Some(guard) = taken.recv() => return Ok(Looked::Alone(guard?)),
                () = self.screens.closed() => return Ok(Looked::Gone),
                () = self.rest.is_wished() => {
                    // Taken in this very moment, it is let go with the answer; a stopped process must not have it.
                    // A thread that has only begun is not waiting yet, so it may have to be told again.
                    loop {
                        self.lock.give_up();
                        if tokio::time::timeout(GIVE_UP_AGAIN, taken.recv()).await.is_ok() {
                            break;
                        }
                    }
                    return Ok(Looked::Resting);
                }
                Ok(()) = self.looks.changed() => {}
                Some(()) = changes.recv() => while changes.try_recv().is_ok() {},
                Some(()) = wake.recv() => while wake.try_recv().is_ok() {},
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    fn show(&mut self, notice: Option<&str>, here: bool) {
        let monitor = self.painter.monitor(&self.context, here);
        let look = self.looks.borrow().clone();
        let screen = self.painter.paint(&self.context, &self.supervisor, &look, monitor, notice);
        publish(&self.screens, screen);
    }
}

/// A picture that differs only in its time is not news.
fn publish(screens: &watch::Sender<Arc<Screen>>, screen: Screen) {
    screens.send_if_modified(|present| {
        let same = Screen { at: present.at, ..screen.clone() } == **present;
        if !same {
            *present = Arc::new(screen);
        }
        !same
    });
}

/// Makes pictures, and remembers the latest events between them.
struct Painter {
    project: String,
    events: VecDeque<EventLine>,
    reader: pipeline_state::Events,
    known: Known,
    details: Details,
    board: Board,
    latest: Latest,
}

impl Painter {
    fn new(context: &Context, supervisor: &Supervisor, wake: Wake) -> Result<Self> {
        let seq = supervisor.engine().pipeline().core.seq;
        let reader = supervisor.engine().store().events(seq.saturating_sub(EVENTS_MAX as u64));
        let project = context.root().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            project,
            events: VecDeque::new(),
            reader,
            known: Known::of(supervisor.engine().pipeline()),
            details: Details::new(wake),
            board: Board::default(),
            latest: Latest::default(),
        })
    }

    fn monitor(&self, context: &Context, here: bool) -> Monitor {
        if here {
            return Monitor::Here;
        }
        match read_holder(&context.monitor_lock_file()) {
            Some((pid, _)) if is_stopped(pid) => Monitor::Stopped(pid),
            Some((pid, _)) => Monitor::Elsewhere(pid),
            None => Monitor::Nobody,
        }
    }

    fn paint(
        &mut self,
        context: &Context,
        supervisor: &Supervisor,
        look: &Look,
        monitor: Monitor,
        notice: Option<&str>,
    ) -> Screen {
        self.read_events();
        let pipeline = supervisor.engine().pipeline();
        self.board.follow(pipeline);
        self.latest.follow(pipeline);
        let seen = supervisor::look(context, pipeline);
        let agents = agents(pipeline, &seen, &self.latest);
        Screen {
            project: self.project.clone(),
            base: pipeline.core.settings.base.clone(),
            mode: pipeline.core.mode,
            pending_mode: pipeline.core.pending_mode,
            monitor,
            columns: self.board.columns(pipeline, CARDS_MAX),
            figures: figures(pipeline, &agents),
            agents,
            attention: supervisor.engine().attention(),
            events: self.events.iter().cloned().collect(),
            detail: self.details.gather(context, supervisor.engine(), look),
            notice: notice.map(str::to_owned),
            at: Timestamp::now(),
        }
    }

    fn read_events(&mut self) {
        for record in self.reader.by_ref().flatten() {
            let (seq, at) = (record.seq, record.at);
            let event = self.known.event(record);
            let text = sentence(&event);
            if text.is_empty() {
                continue;
            }
            let line = EventLine { seq, at, text, tone: event_tone(&event) };
            if self.events.len() == EVENTS_MAX {
                self.events.pop_front();
            }
            self.events.push_back(line);
        }
    }
}

/// What kind of event it is.
pub(crate) fn event_tone(event: &serde_json::Map<String, serde_json::Value>) -> Tone {
    match event.get("type").and_then(|kind| kind.as_str()).unwrap_or_default() {
        "task_merged" => Tone::Good,
        "effect_failed" | "agent_broken" | "worktree_failed" | "merge_reverted" | "demoted" | "alert_noted" => {
            Tone::Bad
        }
        "preset_paused" | "claim_refused" => Tone::Attention,
        "run_claimed" | "run_started" => Tone::Active,
        _ => Tone::Waiting,
    }
}

fn agents(pipeline: &Pipeline, seen: &Seen, latest: &Latest) -> Vec<AgentRow> {
    let documents = view::agent_docs(pipeline, seen);
    let configured = pipeline.core.settings.agents.iter().map(|agent| &agent.name);
    let left: Vec<_> = pipeline.core.agents.iter().filter(|(_, a)| a.removed).map(|(name, _)| name).collect();
    let row = |name: &AgentName| {
        let agent = documents.get(name)?;
        // That an idle one has no live run is what idle means.
        let line = match agent.last_line.as_str() {
            "" if agent.status == AgentStatus::Idle => "",
            "" => agent.reason.as_str(),
            line => line,
        };
        let run = pipeline.core.agents.get(name).and_then(|a| pipeline.core.runs.get(a.run.as_ref()?));
        Some(AgentRow {
            name: name.clone(),
            role: agent.role.to_owned(),
            preset: agent.preset,
            sandbox: pipeline.core.settings.sandbox(name),
            status: agent.status,
            source: agent.status_source,
            confidence: agent.confidence,
            since: agent.status_since,
            task: agent.current_task.cloned(),
            stage: agent.stage.map(ToString::to_string),
            run: latest.run_of(pipeline, name),
            stopping: run.and_then(stopped_by),
            line: text::one_line(line, 300),
        })
    };
    configured.chain(left).filter_map(row).collect()
}

/// When a run that was asked to end is made to, at the latest; one that has claimed its outcome ends by itself.
fn stopped_by(run: &Run) -> Option<Timestamp> {
    run.stop.filter(|reason| *reason != StopReason::Claimed)?;
    let asked = run.stop_at.unwrap_or(run.claimed_at);
    asked.checked_add(STOP_GRACE).ok()
}

fn figures(pipeline: &Pipeline, agents: &[AgentRow]) -> Figures {
    let tasks = pipeline.counts();
    let counted = &pipeline.core.metrics;
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Figures {
        tasks: count(pipeline.tasks_total()),
        completed: count(tasks.completed),
        in_progress: count(tasks.in_progress),
        agents_busy: agents.iter().filter(|row| row.status.is_busy()).count(),
        // A rate that changes with every second of waiting would make every picture new.
        throughput_per_hour: counted.throughput_per_hour(Timestamp::now()).round(),
        cost_usd: counted.usage.cost_usd,
    }
}

#[cfg(test)]
mod tests {
    use pipeline_lib::agents::Preset;

    use super::*;

    #[test]
    fn places_for_commands_are_counted_as_busy_as_they_are_listed() {
        let row = |name: &str, preset: Preset, status: AgentStatus| AgentRow {
            name: AgentName::new(name).unwrap(),
            role: name.to_owned(),
            preset: preset.as_str(),
            sandbox: pipeline_lib::settings::Sandbox::Off,
            status,
            source: "journal",
            confidence: 1.0,
            since: Timestamp::UNIX_EPOCH,
            task: None,
            stage: None,
            run: None,
            stopping: None,
            line: String::new(),
        };
        let rows = [
            row("command-1", Preset::Command, AgentStatus::Working),
            row("worker", Preset::Claude, AgentStatus::Verifying),
            row("other", Preset::Claude, AgentStatus::Idle),
        ];
        assert_eq!(figures(&Pipeline::default(), &rows).agents_busy, 2);
    }
}
