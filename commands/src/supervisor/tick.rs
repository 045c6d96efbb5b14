//! One tick: look, decide, perform, until nothing more follows at this moment.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline_lib::event::{Event, Seen as RunEvent};
use pipeline_lib::fact::Effect;
use pipeline_lib::ids::AgentName;
use pipeline_lib::mode::Orchestration;
use pipeline_lib::pipeline::{Permitted, Pipeline};
use pipeline_lib::view::Seen;
use pipeline_worktrees::host;

use super::begin::place_of;
use super::collect::{collect_at_once, settle};
use super::finished;
use super::held::{self, Held};
use super::idle::{self, Rested};
use super::look::{look, observe, processes};
use super::perform::perform;
use super::performed::Performed;
use super::radar::Radar;
use super::said::{Line, Said};
use super::spending::Meters;
use super::{alerts, assign, ignored, room, session};
use crate::context::{Context, Ticking};
use crate::engine::Engine;
use crate::error::{Result, chain};
use crate::verbs::events::Known;

/// Rounds one tick may take. A round is a look, a decision and what follows; a chain of stages that need no process at
/// all ends by itself, so this is only a wall against rules that chase each other.
const ROUNDS_MAX: usize = 10_000;
/// `state.json` is written at most this often while things happen.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(900);
/// Writing `state.json` may take this share of the time.
const SNAPSHOT_SHARE: u32 = 20;

/// What a tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TickReport {
    /// How many facts became true.
    pub facts: usize,
    /// It ended for its time was over, and the next one has something to do at once.
    pub goes_on: bool,
}

/// Ticks, and remembers between ticks what need not be repeated.
#[derive(Debug)]
pub struct Supervisor {
    engine: Engine,
    actor: &'static str,
    performed: Performed,
    /// The last fact after which the task files of waiting agents were looked at, and the template of their worktrees.
    assigned: Option<(u64, String)>,
    /// The last fact after which the list of ignored paths was looked at.
    tidied: Option<u64>,
    held: Held,
    news: host::News,
    said: Said,
    epoch: Option<String>,
    rested: Rested,
    radar: Radar,
    meters: Meters,
    /// A run could not be looked at the last time.
    is_blind: Cell<bool>,
    snapshot_seq: u64,
    snapshot_at: Option<Instant>,
    snapshot_cost: Duration,
}

impl Supervisor {
    /// A supervisor of this repository.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn open(context: &Context, actor: &'static str) -> Result<Self> {
        Ok(Self {
            engine: Engine::open(context)?,
            actor,
            performed: Performed::default(),
            assigned: None,
            tidied: None,
            held: Held::default(),
            news: host::News::default(),
            said: Said::default(),
            epoch: None,
            rested: Rested::new(),
            radar: Radar::default(),
            meters: Meters::default(),
            is_blind: Cell::new(false),
            snapshot_seq: 0,
            snapshot_at: None,
            snapshot_cost: Duration::ZERO,
        })
    }

    /// The engine, for reading.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Keeps what each tick says, for whoever prints it.
    pub fn keep_lines(&mut self) {
        self.said.lines = Some(Vec::new());
    }

    /// What the last tick said, in order, if that is kept; with what is known of live runs behind the last of it.
    #[must_use]
    pub fn lines(&self) -> Option<(&[Line], &Known)> {
        Some((self.said.lines.as_deref()?, &self.said.known))
    }

    /// The engine, to catch up with other processes.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Reads the state anew after an error, as far as it can be read: a store that could not write does not write again.
    pub fn reopen(&mut self, context: &Context) {
        match Engine::open(context) {
            Ok(engine) => self.engine = engine,
            Err(error) => tracing::warn!(error = %error, "the state cannot be read"),
        }
    }

    /// One tick. Waits for nothing that an agent or a gate does; only for another process's tick, and only so long. Where
    /// something happens all the time it would not end: after `at_most` it leaves the rest to the next one. Whoever ticks all the
    /// time may have it `linger` for commands that are about to end.
    ///
    /// # Errors
    /// When another process ticks for too long, or the state cannot be read or written. Live runs are not touched then.
    pub fn tick(&mut self, context: &mut Context, at_most: Duration, linger: Duration) -> Result<TickReport> {
        let mut ticking = context.tick_lock()?;
        context.reload()?;
        self.engine.refresh()?;
        self.settle(context, &mut ticking)?;
        alerts::collect(context, &mut self.engine);
        self.said.lines.iter_mut().for_each(Vec::clear);
        let mut report = TickReport::default();
        let done = self.rounds(context, at_most, linger, &mut report);
        self.held.let_go(context, self.engine.pipeline(), &[]);
        self.held.lists.close();
        done?;
        self.tidy(context);
        self.snapshot(context, false)?;
        Ok(report)
    }

    /// Looks, decides and performs until nothing more follows at this moment, or the time is over.
    fn rounds(
        &mut self,
        context: &Context,
        at_most: Duration,
        linger: Duration,
        report: &mut TickReport,
    ) -> Result<()> {
        let (begun, mut events) = (Instant::now(), Vec::new());
        let is_over = || begun.elapsed() >= at_most;
        // Looking ahead takes its time, so it comes once nothing is left to do.
        let mut ahead = true;
        for round in 0..ROUNDS_MAX {
            self.news.forget();
            let mut held = std::mem::take(&mut self.held);
            events.extend(self.look(context, round == 0, Some(&mut held)));
            self.held = held;
            if round == 0 {
                events.extend(self.meters.look(context, self.engine.pipeline()));
            }
            self.said.keep_up(self.engine.pipeline());
            let facts = self.engine.feed(context, self.actor, &events, true, &Seen::new())?;
            let seq = self.engine.pipeline().core.seq;
            events.clear();
            alerts::tell(context, &mut self.engine, &facts);
            let quiet = facts.is_empty();
            // What was seen is decided, and what follows is still due: nothing is lost by leaving it to the next tick.
            if round > 0 && !quiet && is_over() {
                self.said.say(&facts, seq);
                report.facts += facts.len();
                report.goes_on = true;
                break;
            }
            let due = self.take_due(|_, _| true);
            self.held.let_go(context, self.engine.pipeline(), &due);
            if quiet && due.is_empty() && round > 0 {
                events.extend(std::mem::take(&mut ahead).then(|| self.look_ahead(context)).flatten());
                if events.is_empty() && (is_over() || !self.linger(context, linger)) {
                    break;
                }
                continue;
            }
            if !due.is_empty() {
                self.engine.make_durable()?;
            }
            for effect in &due {
                let results = perform(context, self.engine.pipeline(), effect, &mut self.held);
                // A failed effect says itself when it is tried again.
                if results.iter().any(|event| matches!(event, Event::EffectFailed { .. })) {
                    self.performed.undo(effect.effect());
                }
                events.extend(results);
            }
            let is_told = |permitted: &Permitted| is_told_at_a_place(self.engine.pipeline(), permitted.effect());
            let told = !due.is_empty() && due.iter().all(is_told);
            if told {
                // Hosts may wait for the processor that we are on.
                std::thread::yield_now();
            }
            // Nobody waits for what is in the log.
            self.said.say(&facts, seq);
            report.facts += facts.len();
            if told && self.epoch.is_none() {
                // The first command of all has made what there was nothing of before.
                self.enter(context)?;
            }
            self.write_current_task(context);
            self.assign(context);
            if told && events.is_empty() && !is_over() {
                // There is nothing to see of them before they have said something.
                self.linger(context, linger);
            }
            if due.is_empty() && events.is_empty() && round > 0 {
                events.extend(std::mem::take(&mut ahead).then(|| self.look_ahead(context)).flatten());
                if events.is_empty() && (is_over() || !self.linger(context, linger)) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits a moment for the commands that are under way. One that is over by then is followed by the next without all that a
    /// tick begins and ends with.
    fn linger(&mut self, context: &Context, at_most: Duration) -> bool {
        if at_most.is_zero() {
            return false;
        }
        let runs: Vec<(PathBuf, &str)> = self
            .engine
            .pipeline()
            .core
            .runs
            .values()
            .filter_map(|run| Some((context.run_dir(&run.id), place_of(run)?)))
            .collect();
        let is_new = self.news.wait(runs.iter().map(|(dir, place)| (&**dir, *place)), at_most);
        if is_new && runs.len() > 1 {
            // Others may be about to end where there are more than there are processors, and are recorded together then.
            std::thread::yield_now();
        }
        is_new
    }

    /// Stops and collects the runs of some agents as far as they have come. Starts nothing and decides nothing else.
    ///
    /// # Errors
    /// When another process ticks for too long, or the state cannot be read or written.
    pub fn wind_down(&mut self, context: &Context, agents: &[AgentName]) -> Result<()> {
        let mut ticking = context.tick_lock()?;
        self.engine.refresh()?;
        self.settle(context, &mut ticking)?;
        let wound = self.wind_down_rounds(context, agents);
        self.held.let_go(context, self.engine.pipeline(), &[]);
        wound
    }

    fn wind_down_rounds(&mut self, context: &Context, agents: &[AgentName]) -> Result<()> {
        let mut events = Vec::new();
        for _ in 0..ROUNDS_MAX {
            for run in self.engine.pipeline().core.runs.values().filter(|run| agents.contains(&run.agent)) {
                let seen = observe(context, run)?;
                if seen.iter().any(is_end)
                    && let Err(failure) = settle(context, self.engine.pipeline(), run)
                {
                    tracing::warn!(run = %run.id, message = failure.message, "what a run left is not on disk yet");
                    continue;
                }
                events.extend(seen);
            }
            let facts = self.engine.feed(context, self.actor, &events, false, &Seen::new())?;
            events.clear();
            let due = self.take_due(|pipeline, effect| match effect {
                Effect::Stop { run, .. } | Effect::Collect { run } => {
                    pipeline.core.runs.get(run).is_some_and(|run| agents.contains(&run.agent))
                }
                Effect::Launch { .. }
                | Effect::Urge { .. }
                | Effect::JoinParts { .. }
                | Effect::PrepareMerge { .. }
                | Effect::AdvanceBase { .. }
                | Effect::RevertBase { .. }
                | Effect::WriteCurrentTask { .. } => false,
            });
            if !due.is_empty() {
                self.engine.make_durable()?;
            }
            for effect in &due {
                events.extend(perform(context, self.engine.pipeline(), effect, &mut self.held));
            }
            if facts.is_empty() && events.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Sees to what a killed process left.
    fn settle(&mut self, context: &Context, ticking: &mut Ticking) -> Result<()> {
        // Before anything may begin: it is no longer to be told from what began before a power cut then.
        self.enter(context)?;
        if let Err(error) = held::settle(context, self.engine.pipeline(), ticking) {
            tracing::warn!(%error, "worktrees that a killed process left are looked for again");
        }
        Ok(())
    }

    fn enter(&mut self, context: &Context) -> Result<()> {
        let runs = self.engine.pipeline().core.runs.values();
        let at_places = runs.filter_map(|run| Some((&run.id, place_of(run)?)));
        Ok(host::enter(&context.runs_dir(), at_places, &mut self.epoch)?)
    }

    /// What has changed outside since the last look, as events. With `held` what a run left is taken with its end where that
    /// can be done at once, for which this process must be the one that ticks.
    fn look(&self, context: &Context, first: bool, mut held: Option<&mut Held>) -> Vec<Event> {
        let pipeline = self.engine.pipeline();
        let mut events = Vec::new();
        if first || pipeline.core.mode.orchestration == Orchestration::Sequential {
            events.push(Event::CurrentTaskRead { content: read_current_task(context) });
        }
        self.is_blind.set(false);
        for run in pipeline.core.runs.values() {
            match observe(context, run) {
                Ok(seen) => {
                    // One commit for its end and for what follows from it.
                    let held = held.as_deref_mut().filter(|_| seen.iter().any(is_end));
                    let collected = held.map(|held| collect_at_once(context, pipeline, run, held));
                    if collected.as_ref().is_some_and(Option::is_none)
                        && let Err(failure) = settle(context, pipeline, run)
                    {
                        self.is_blind.set(true);
                        tracing::warn!(run = %run.id, message = failure.message, "what a run left is not on disk yet");
                        continue;
                    }
                    events.extend(seen);
                    events.extend(collected.flatten());
                }
                Err(error) => {
                    self.is_blind.set(true);
                    tracing::warn!(run = %run.id, error = chain(&error), "cannot look at a run");
                }
            }
        }
        if first {
            events.push(Event::Machine(room::measure(context)));
        }
        // A session is asked once a tick: what it shows does not change by what is decided meanwhile.
        if first {
            let table = processes(pipeline);
            events.extend(pipeline.core.runs.values().filter_map(|run| session::event(context, pipeline, run, &table)));
        }
        events
    }

    fn look_ahead(&mut self, context: &Context) -> Option<Event> {
        self.radar.look(context, self.engine.pipeline())
    }

    /// When merges that are left will have to be tried out even if nothing more happens.
    pub(super) fn radar_due(&self) -> Option<Instant> {
        self.radar.due()
    }

    /// When what live runs have used will have to be looked at even if nothing more happens.
    pub(super) fn meters_due(&self) -> Option<Instant> {
        self.meters.due()
    }

    /// When a run whose host was told of it and has not begun it will have to be told again: a host may have been killed then.
    pub(super) fn repeat_due(&self) -> Option<Instant> {
        self.performed.repeat_due()
    }

    /// Whether a run could not be looked at. To look at it is a notice of its own, which must not be heeded at once.
    pub(super) fn is_blind(&self) -> bool {
        self.is_blind.get()
    }

    /// Whether a look at live runs finds anything new.
    pub(super) fn has_news(&self, context: &Context) -> bool {
        !self.look(context, false, None).is_empty()
    }

    /// Effects that are due, wanted, and were not performed a moment ago.
    fn take_due(&mut self, wanted: impl Fn(&Pipeline, &Effect) -> bool) -> Vec<Permitted> {
        let mut due = self.engine.pipeline().due_effects(Timestamp::now());
        self.performed.forget(due.iter().map(Permitted::effect));
        due.retain(|permitted| wanted(self.engine.pipeline(), permitted.effect()));
        due.retain(|permitted| self.performed.begin(permitted.effect()));
        due
    }

    /// Writes the current task into its file where the file does not already name it.
    fn write_current_task(&self, context: &Context) {
        let pipeline = self.engine.pipeline();
        if pipeline.core.mode.orchestration != Orchestration::Sequential {
            return;
        }
        let Some(permitted) = pipeline.current_task_effect(read_current_task(context).as_deref()) else { return };
        for event in perform(context, pipeline, &permitted, &mut Held::default()) {
            // The next tick compares the file again, so a failed write is only late.
            tracing::warn!(?event, "the current-task file could not be written");
        }
    }

    /// Keeps the task files of agents that wait for their turn, where anything happened since they were looked at.
    fn assign(&mut self, context: &Context) {
        let now = (self.engine.pipeline().core.seq, context.config().project.worktrees.clone());
        if self.assigned.as_ref() == Some(&now) {
            return;
        }
        match assign::place(context, self.engine.pipeline()) {
            Ok(()) => self.assigned = Some(now),
            // The next tick tries again; nobody's work depends on it.
            Err(failure) => tracing::warn!(message = failure.message, "a task file could not be kept"),
        }
    }

    /// Takes worktrees of finished tasks away, brings those of idle agents to base, and has git ignore no task file longer than there is one.
    fn tidy(&mut self, context: &Context) {
        let now = Some(self.engine.pipeline().core.seq);
        if self.tidied == now {
            return;
        }
        finished::remove_worktrees(context, self.engine.pipeline());
        idle::bring_to_base(context, self.engine.pipeline(), &mut self.rested);
        match ignored::tidy(context, self.engine.pipeline()) {
            Ok(()) => self.tidied = now,
            Err(failure) => tracing::warn!(message = failure.message, "the list of ignored paths could not be kept"),
        }
    }

    /// Brings `state.json` up to date: at once where `now` asks for it, else as often as its cost allows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn snapshot(&mut self, context: &Context, now: bool) -> Result<()> {
        let seq = self.engine.pipeline().core.seq;
        if seq == self.snapshot_seq {
            return Ok(());
        }
        let pause = SNAPSHOT_EVERY.max(self.snapshot_cost * SNAPSHOT_SHARE);
        if !now && self.snapshot_at.is_some_and(|at| at.elapsed() < pause) {
            return Ok(());
        }
        let begun = Instant::now();
        let seen = look(context, self.engine.pipeline());
        self.engine.write_snapshot(&seen)?;
        let runs = &self.engine.pipeline().core.runs;
        host::discard_records(&context.runs_dir(), |run| runs.contains_key(run));
        self.snapshot_cost = begun.elapsed();
        self.snapshot_at = Some(Instant::now());
        self.snapshot_seq = self.engine.pipeline().core.seq;
        Ok(())
    }

    /// When `state.json` will have to be written even if nothing more happens.
    #[must_use]
    pub fn snapshot_due(&self) -> Option<Instant> {
        if self.engine.pipeline().core.seq == self.snapshot_seq {
            return None;
        }
        let pause = SNAPSHOT_EVERY.max(self.snapshot_cost * SNAPSHOT_SHARE);
        Some(self.snapshot_at.map_or_else(Instant::now, |at| at + pause))
    }
}

/// Whether an effect is over once the host of a place was told of a command.
fn is_told_at_a_place(pipeline: &Pipeline, effect: &Effect) -> bool {
    let Effect::Launch { run } = effect else { return false };
    pipeline.core.runs.get(run).is_some_and(|run| place_of(run).is_some())
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::Run { seen: RunEvent::Ended { .. }, .. })
}

/// The content of the file that names the task of sequential mode.
pub(crate) fn read_current_task(context: &Context) -> Option<String> {
    let bytes = super::look::read_small(&context.current_task_file(), 4_096)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
