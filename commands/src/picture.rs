//! The picture a dashboard draws, kept up to date in a thread of its own. Where no other monitor lives this thread is
//! the monitor; beside one it only looks, and takes over when that one is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pipeline_lib::ids::AgentName;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{Step, Task, TaskState};
use pipeline_lib::text;
use pipeline_lib::view::screen::{AgentRow, Card, Column, EventLine, Figures, Monitor, Screen, Tone};
use pipeline_lib::view::{self, Seen};
use pipeline_state::{LockGuard, read_holder};
use pipeline_worktrees::host::{self, Stream};
use pipeline_worktrees::watch::Watcher;
use tokio::sync::{mpsc, watch};

use crate::context::Context;
use crate::dispatch::{self, Call};
use crate::error::Result;
use crate::live::{Ask, Live};
use crate::supervisor::{Pace, Supervisor, look, run_loop};
use crate::verbs::events::{Known, sentence};

/// Cards a column carries at most.
const CARDS_MAX: usize = 60;
/// Event lines the picture carries.
const EVENTS_MAX: usize = 50;
/// How much of the selected agent's output the picture carries.
const OUTPUT_BYTES: usize = 32 * 1024;
/// How often a picture is made anew while agents work: what they print wakes nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long leaving waits for the tick that is under way.
const ENDING_WAIT: Duration = Duration::from_secs(3);
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
    let guard = context.monitor_lock().acquire(Duration::ZERO).ok();
    let mut painter = Painter::new(&context, &supervisor)?;
    let monitor = painter.monitor(&context, guard.is_some());
    let first = Arc::new(painter.paint(&context, &supervisor, None, monitor, None));
    let (screens_in, screens) = watch::channel(first);
    let (selected, selected_out) = watch::channel(None);
    let (verbs, asks) = mpsc::channel(32);
    let globals = context.globals().clone();
    let (wake_in, wake) = mpsc::unbounded_channel();
    let verb_wake = wake_in.clone();
    std::thread::Builder::new().name("verbs".to_owned()).spawn(move || perform_verbs(&globals, asks, &verb_wake))?;
    let keeper = Keeper { context, supervisor, painter, screens: screens_in, selected: selected_out, pace };
    let (over, ended) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("monitor".to_owned()).spawn(move || {
        keeper.run(guard, wake_in, wake);
        // Nobody waits any more where the process is ending anyway.
        let _ = over.send(());
    })?;
    let crate::panes::Channels { wishes, panes, typed } = crate::panes::start();
    Ok((Live { screens, selected, verbs, wishes, panes, typed }, Ending(ended)))
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
    selected: watch::Receiver<Option<AgentName>>,
    pace: Pace,
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
        if guard.is_none() {
            let Some(taken) = self.look_on(&mut wake).await? else { return Ok(()) };
            guard = Some(taken);
        }
        let gone = self.screens.clone();
        let Self { context, supervisor, painter, screens, selected, pace } = self;
        let mut chosen = selected.clone();
        // A new choice of output, and every second while somebody prints, makes a new picture.
        let nudge = tokio::spawn(async move { while chosen.changed().await.is_ok() && wake_in.send(()).is_ok() {} });
        let selected = selected.clone();
        let done = run_loop(context, supervisor, *pace, &mut wake, gone_away(gone), |context, ticked| {
            let monitor = painter.monitor(context, true);
            let chosen = selected.borrow().clone();
            let screen = painter.paint(context, ticked.supervisor, chosen.as_ref(), monitor, ticked.notice);
            publish(screens, screen);
            let live = !ticked.supervisor.engine().pipeline().core.runs.is_empty();
            live.then_some(LOOK_AGAIN)
        })
        .await;
        nudge.abort();
        self.supervisor.snapshot(&self.context, true)?;
        drop(guard);
        done.map(drop)
    }

    /// Shows what another monitor does, until that one is gone or nobody looks any more.
    async fn look_on(&mut self, wake: &mut mpsc::UnboundedReceiver<()>) -> Result<Option<LockGuard>> {
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
        let lock = self.context.monitor_lock();
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
            let pause = if live { LOOK_AGAIN } else { LOOK_IDLE };
            let deadline = tokio::time::Instant::now() + pause;
            tokio::select! {
                Some(guard) = taken.recv() => return Ok(Some(guard?)),
                () = self.screens.closed() => return Ok(None),
                Some(()) = changes.recv() => while changes.try_recv().is_ok() {},
                Some(()) = wake.recv() => while wake.try_recv().is_ok() {},
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    fn show(&mut self, notice: Option<&str>, here: bool) {
        let monitor = self.painter.monitor(&self.context, here);
        let chosen = self.selected.borrow().clone();
        let screen = self.painter.paint(&self.context, &self.supervisor, chosen.as_ref(), monitor, notice);
        publish(&self.screens, screen);
    }
}

/// Completes when nobody looks at the picture any more.
async fn gone_away(screens: watch::Sender<Arc<Screen>>) {
    screens.closed().await;
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
}

impl Painter {
    fn new(context: &Context, supervisor: &Supervisor) -> Result<Self> {
        let seq = supervisor.engine().pipeline().core.seq;
        let reader = supervisor.engine().store().events(seq.saturating_sub(EVENTS_MAX as u64));
        let project = context.root().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { project, events: VecDeque::new(), reader, known: Known::default() })
    }

    fn monitor(&self, context: &Context, here: bool) -> Monitor {
        if here {
            return Monitor::Here;
        }
        match read_holder(&context.monitor_lock_file()) {
            Some((pid, _)) => Monitor::Elsewhere(pid),
            None => Monitor::Nobody,
        }
    }

    fn paint(
        &mut self,
        context: &Context,
        supervisor: &Supervisor,
        selected: Option<&AgentName>,
        monitor: Monitor,
        notice: Option<&str>,
    ) -> Screen {
        self.read_events();
        let pipeline = supervisor.engine().pipeline();
        let seen = look(context, pipeline);
        Screen {
            project: self.project.clone(),
            base: pipeline.core.settings.base.clone(),
            mode: pipeline.core.mode,
            pending_mode: pipeline.core.pending_mode,
            monitor,
            columns: columns(pipeline),
            agents: agents(pipeline, &seen),
            attention: view::attention(pipeline),
            events: self.events.iter().cloned().collect(),
            figures: figures(pipeline),
            output: selected.map(|agent| (agent.clone(), output(context, pipeline, agent))),
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

fn event_tone(event: &serde_json::Map<String, serde_json::Value>) -> Tone {
    match event.get("type").and_then(|kind| kind.as_str()).unwrap_or_default() {
        "task_merged" => Tone::Good,
        "effect_failed" | "agent_broken" | "worktree_failed" => Tone::Bad,
        "preset_paused" | "claim_refused" => Tone::Attention,
        "run_claimed" | "run_started" => Tone::Active,
        _ => Tone::Waiting,
    }
}

/// What kind of state a task is in.
fn tone(pipeline: &Pipeline, task: &Task) -> Tone {
    match &task.state {
        TaskState::Unassigned | TaskState::Ready { .. } if pipeline.is_startable(task) => Tone::Ready,
        TaskState::Unassigned | TaskState::Ready { .. } => Tone::Waiting,
        TaskState::Working { .. } => Tone::Active,
        TaskState::Verifying { step: Step::Advance { dirty: Some(_), .. }, .. } => Tone::Attention,
        TaskState::Verifying { .. } => Tone::Checking,
        TaskState::AwaitingApproval { .. } | TaskState::Blocked { .. } => Tone::Attention,
        TaskState::Failed => Tone::Bad,
        TaskState::Completed => Tone::Good,
        TaskState::Cancelled | TaskState::RolledBack => Tone::Gone,
    }
}

/// New tasks, one column for each stage of the workflows in use, and what is finished.
fn columns(pipeline: &Pipeline) -> Vec<Column> {
    let mut titles: Vec<String> = vec!["new".to_owned()];
    let in_use: std::collections::BTreeSet<_> = pipeline.tasks.iter().map(|task| &task.workflow).collect();
    let all = pipeline.core.workflows.values();
    let default = |id: &str| id == "tdd";
    for workflow in all.filter(|w| in_use.contains(&w.id) || (in_use.is_empty() && default(w.id.as_str()))) {
        for stage in &workflow.stages {
            if !titles.iter().any(|title| title == stage.id.as_str()) {
                titles.push(stage.id.to_string());
            }
        }
    }
    titles.push("done".to_owned());
    let last = titles.len() - 1;
    let mut sorted: Vec<Vec<&Task>> = vec![Vec::new(); titles.len()];
    for task in pipeline.tasks.iter() {
        let at = match task.state.stage() {
            _ if task.state.is_final() => last,
            Some(stage) => titles.iter().position(|title| title == stage.as_str()).unwrap_or(0),
            None => 0,
        };
        sorted[at].push(task);
    }
    let column = |(index, (title, mut tasks)): (usize, (String, Vec<&Task>))| {
        if index == last {
            tasks.sort_unstable_by_key(|task| std::cmp::Reverse((task.finished_at, task.order)));
        } else {
            tasks.sort_unstable_by_key(|task| (tone(pipeline, task) != Tone::Active, task.priority, task.order));
        }
        let cards = tasks.iter().take(CARDS_MAX).map(|task| card(pipeline, task)).collect();
        Column { title, total: tasks.len(), cards }
    };
    titles.into_iter().zip(sorted).enumerate().map(column).collect()
}

fn card(pipeline: &Pipeline, task: &Task) -> Card {
    let document = view::task_doc(pipeline, task);
    Card {
        id: task.id.clone(),
        title: text::one_line(&task.title, 200),
        status: document.status,
        tone: tone(pipeline, task),
        agent: document.assigned_to.cloned(),
        attempt: task.attempt,
        since: task.state_since,
        priority: task.priority,
        reason: document.reason.map(|reason| text::one_line(&reason, 200)),
    }
}

fn agents(pipeline: &Pipeline, seen: &Seen) -> Vec<AgentRow> {
    let documents = view::agent_docs(pipeline, seen);
    let configured = pipeline.core.settings.agents.iter().map(|agent| &agent.name);
    let left: Vec<_> = pipeline.core.agents.iter().filter(|(_, a)| a.removed).map(|(name, _)| name).collect();
    let row = |name: &AgentName| {
        let agent = documents.get(name)?;
        let line = if agent.last_line.is_empty() { &agent.reason } else { &agent.last_line };
        Some(AgentRow {
            name: name.clone(),
            role: agent.role.to_owned(),
            preset: agent.preset,
            status: agent.status,
            source: agent.status_source,
            confidence: agent.confidence,
            since: agent.status_since,
            task: agent.current_task.cloned(),
            stage: agent.stage.map(ToString::to_string),
            line: text::one_line(line, 300),
        })
    };
    configured.chain(left).filter_map(row).collect()
}

fn figures(pipeline: &Pipeline) -> Figures {
    let now = Timestamp::now();
    let metrics = view::metrics(pipeline, now);
    let busy = pipeline.core.agents.values().filter(|a| a.run.is_some() || a.verifying.is_some()).count();
    Figures {
        tasks: usize::try_from(metrics.tasks_total).unwrap_or(usize::MAX),
        completed: usize::try_from(metrics.tasks_completed).unwrap_or(usize::MAX),
        in_progress: usize::try_from(metrics.tasks_in_progress).unwrap_or(usize::MAX),
        agents_busy: busy,
        // A rate that changes with every second of waiting would make every picture new.
        throughput_per_hour: metrics.throughput_per_hour.round(),
        cost_usd: metrics.cost_usd_total,
    }
}

/// The end of what an agent printed: its live run, or its last one.
fn output(context: &Context, pipeline: &Pipeline, agent: &AgentName) -> Vec<String> {
    let live = pipeline.core.agents.get(agent).and_then(|a| a.run.clone());
    let last = || {
        let runs = pipeline.tasks.iter().flat_map(|task| &task.runs).filter(|run| run.agent == *agent);
        runs.max_by_key(|run| run.ended_at).map(|run| run.id.clone())
    };
    let Some(run) = live.or_else(last) else { return Vec::new() };
    let dir = context.run_dir(&run);
    let mut lines = Vec::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let tail = host::tail(&dir, stream, OUTPUT_BYTES).unwrap_or_default();
        lines.extend(tail.lines().map(|line| text::one_line(line, 400)));
    }
    lines
}
