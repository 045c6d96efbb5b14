//! A supervisor or a command as a sequence of steps, each of which may be its last. It does what the product's tick does:
//! look, decide under the lock, make durable, perform what is due.

use std::collections::{HashMap, VecDeque};

use pipeline_lib::decide::{Now, decide};
use pipeline_lib::event::{Collected, Event, Seen};
use pipeline_lib::fact::{Effect, EffectKey};
use pipeline_lib::ids::RunId;
use pipeline_lib::mode::Orchestration;
use pipeline_lib::pipeline::{Permitted, Pipeline};
use pipeline_lib::run::{Claim, ClaimSource, Ended, Evidence, Phase, Run, StopReason, Work};

use crate::broken::Broken;
use crate::outside::Host;
use crate::world::{Result, World};

/// The process that commands of people run in.
pub(crate) const COMMANDS: usize = 2;
/// Seconds before an effect that is still due is repeated.
const REPEAT_AFTER: i64 = 10;
/// Rounds a tick takes at the most.
const ROUNDS_MAX: u32 = 200;
/// Facts that may follow from one event and time passing.
const FACTS_MAX: usize = 5_000;

/// How far a tick has come.
#[derive(Debug)]
pub(crate) enum At {
    Idle,
    Look,
    Decide,
    Perform(VecDeque<Permitted>, bool),
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) alive: bool,
    pub(crate) at: At,
    pipeline: Pipeline,
    read: usize,
    generation: u32,
    pending: Vec<Event>,
    performed: HashMap<EffectKey, (Effect, i64)>,
    round: u32,
    /// Whether something was lost on the way in this tick, so that it promises nothing.
    disturbed: bool,
    /// Whether the last whole tick found anything to do.
    pub(crate) quiet: bool,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            alive: true,
            at: At::Idle,
            pipeline: Pipeline::default(),
            read: 0,
            generation: 0,
            pending: Vec::new(),
            performed: HashMap::new(),
            round: 0,
            disturbed: false,
            quiet: false,
        }
    }

    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Everything it had in memory is gone.
    pub(crate) fn die(&mut self) {
        *self = Self { alive: false, ..Self::new() };
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// So many facts are durable.
    Facts(usize),
    /// Refused, or the disk would not have it: nothing has changed as far as anybody was told.
    Not,
    /// Killed half-way.
    Died,
}

/// What the disk does with one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    NoSpace,
    SyncFailedAndLost,
    SyncFailedAndKept,
    DiedBefore,
    DiedBetween,
}

impl World {
    /// Reads what others have written meanwhile.
    pub(crate) fn catch_up(&mut self, who: usize) {
        let clock = self.at;
        let began = self.processes[who].read > 0;
        if !began || self.processes[who].generation != self.disk.generation() {
            self.reopen(who);
        }
        let process = &mut self.processes[who];
        for (at, fact) in &self.disk.records()[process.read..] {
            let at = if self.broken == Some(Broken::ReplayUsesTheClock) { clock } else { *at };
            process.pipeline.apply(at, fact);
        }
        process.read = self.disk.records().len();
    }

    fn reopen(&mut self, who: usize) {
        self.processes[who].pipeline = self.disk.read();
        self.processes[who].read = self.disk.records().len();
        self.processes[who].generation = self.disk.generation();
    }

    fn fate(&mut self) -> Fate {
        if self.kind || !self.dice.permille(40) {
            return Fate::Fine;
        }
        self.dice.one(&[
            Fate::NoSpace,
            Fate::SyncFailedAndLost,
            Fate::SyncFailedAndKept,
            Fate::DiedBefore,
            Fate::DiedBetween,
            Fate::DiedBetween,
        ])
    }

    /// Under the lock: catches up, decides, and makes the facts durable together or not at all.
    pub(crate) fn transact(&mut self, who: usize, events: &[Event], tick: bool) -> Result<Done> {
        self.catch_up(who);
        let mut batch = Vec::new();
        let mut all = events.iter();
        loop {
            let event = match all.next() {
                Some(event) => event,
                None if tick => &Event::Tick,
                None => break,
            };
            let now = Now { at: self.at, entropy: self.dice.next() };
            let process = &mut self.processes[who];
            let Ok(facts) = decide(&process.pipeline, event, now) else {
                if !batch.is_empty() {
                    self.reopen(who);
                }
                return Ok(Done::Not);
            };
            if *event == Event::Tick && facts.is_empty() {
                break;
            }
            for fact in facts {
                process.pipeline.apply(now.at, &fact);
                batch.push((now.at, fact));
            }
            if batch.len() > FACTS_MAX {
                return Err("a tick does not settle".to_owned());
            }
        }
        if batch.is_empty() {
            if !tick {
                self.disk.sync();
            }
            return Ok(Done::Facts(0));
        }
        self.commit(who, batch)
    }

    fn commit(&mut self, who: usize, batch: Vec<(jiff::Timestamp, pipeline_lib::fact::Fact)>) -> Result<Done> {
        let count = batch.len();
        let fate = self.fate();
        self.say(|| format!("process {who}: {fate:?}: {:?}", batch.iter().map(|(_, f)| word(f)).collect::<Vec<_>>()));
        match fate {
            Fate::NoSpace => {
                self.reopen(who);
                return Ok(Done::Not);
            }
            Fate::DiedBefore => {
                self.processes[who].die();
                return Ok(Done::Died);
            }
            _ => {}
        }
        let torn = self.broken == Some(Broken::TornBatches) && fate == Fate::DiedBetween;
        let kept = if torn { self.dice.below(count) } else { count };
        // Whoever wrote before and died never synced: this sync is for that too.
        for record in batch.into_iter().take(kept) {
            self.write(record)?;
        }
        self.check_state()?;
        match fate {
            Fate::DiedBetween => {
                self.processes[who].die();
                Ok(Done::Died)
            }
            Fate::SyncFailedAndLost => {
                self.disk.lose_unsynced()?;
                self.reopen(who);
                Ok(Done::Not)
            }
            Fate::SyncFailedAndKept => {
                self.reopen(who);
                Ok(Done::Not)
            }
            Fate::Fine | Fate::NoSpace | Fate::DiedBefore => {
                if self.broken != Some(Broken::AcknowledgedBeforeDurable) {
                    self.disk.sync();
                }
                self.disk.acknowledge();
                self.processes[who].read = self.disk.records().len();
                Ok(Done::Facts(count))
            }
        }
    }

    /// One step of a supervisor.
    pub(crate) fn supervise(&mut self, who: usize) -> Result<()> {
        if !self.processes[who].alive {
            self.processes[who].alive = true;
            return Ok(());
        }
        match std::mem::replace(&mut self.processes[who].at, At::Idle) {
            At::Idle => self.begin_tick(who),
            At::Look => self.look(who),
            At::Decide => return self.decide(who),
            At::Perform(todo, quiet) => return self.perform_next(who, todo, quiet),
        }
        Ok(())
    }

    fn begin_tick(&mut self, who: usize) {
        if self.ticking.is_some_and(|other| self.one_ticks && other != who && self.processes[other].alive) {
            return;
        }
        self.ticking = Some(who);
        self.catch_up(who);
        let process = &mut self.processes[who];
        (process.round, process.disturbed, process.at) = (0, false, At::Look);
    }

    fn end_tick(&mut self, who: usize) -> Result<()> {
        if self.ticking == Some(who) {
            self.ticking = None;
        }
        let process = &mut self.processes[who];
        process.at = At::Idle;
        if let Some(effect) = process.pipeline.current_task_effect(self.current_task_file.as_deref())
            && let Effect::WriteCurrentTask { task } = effect.effect()
        {
            self.current_task_file = task.as_ref().map(ToString::to_string);
        }
        if self.processes[who].disturbed { Ok(()) } else { self.count_ticks_since_death() }
    }

    fn look(&mut self, who: usize) {
        let mut events = Vec::new();
        let core = &self.processes[who].pipeline.core;
        if self.processes[who].round == 0 || core.mode.orchestration == Orchestration::Sequential {
            events.push(Event::CurrentTaskRead { content: self.current_task_file.clone() });
        }
        let runs: Vec<Run> = core.runs.values().cloned().collect();
        for run in runs {
            if self.broken == Some(Broken::NoRescan) && !self.dice.permille(100) {
                continue;
            }
            for event in self.observe(&run) {
                match self.dice.below(100) {
                    0..6 if !self.kind => self.processes[who].disturbed = true,
                    6..9 if !self.kind => {
                        self.processes[who].disturbed = true;
                        self.late.push(event);
                    }
                    9..14 if !self.kind => events.extend([event.clone(), event]),
                    _ => events.push(event),
                }
            }
        }
        let process = &mut self.processes[who];
        process.pending.extend(events);
        process.at = At::Decide;
    }

    fn decide(&mut self, who: usize) -> Result<()> {
        let mut events = std::mem::take(&mut self.processes[who].pending);
        if self.broken == Some(Broken::NoEpoch) {
            self.readdress(who, &mut events);
        }
        match self.transact(who, &events, true)? {
            Done::Facts(count) => {
                let now = self.seconds;
                // Before anything is done for what another process wrote, that has to be durable.
                if self.broken != Some(Broken::ActsOnWhatIsNotDurable) {
                    self.disk.sync();
                }
                let process = &mut self.processes[who];
                process.performed.retain(|_, (_, at)| now - *at < REPEAT_AFTER);
                let due = process.pipeline.due_effects(self.at);
                let due: VecDeque<Permitted> = due
                    .into_iter()
                    .filter(|permitted| {
                        let done = process.performed.get(&permitted.effect().key());
                        done.is_none_or(|(done, _)| done != permitted.effect())
                    })
                    .collect();
                for permitted in &due {
                    let effect = permitted.effect().clone();
                    process.performed.insert(effect.key(), (effect, now));
                }
                process.at = At::Perform(due, count == 0);
            }
            Done::Not => {
                self.processes[who].disturbed = true;
                self.end_tick(who)?;
            }
            Done::Died => {}
        }
        Ok(())
    }

    /// What happens where no run is named by what was seen of it.
    pub(crate) fn readdress(&mut self, who: usize, events: &mut [Event]) {
        self.catch_up(who);
        let runs = &self.processes[who].pipeline.core.runs;
        for event in events {
            let Event::Run { run, .. } = event else { continue };
            let task = self.places.get(run).and_then(|place| place.task.clone());
            if let Some(other) = runs.values().find(|r| task.is_some() && r.task == task) {
                *run = other.id.clone();
            }
        }
    }

    fn perform_next(&mut self, who: usize, mut todo: VecDeque<Permitted>, quiet: bool) -> Result<()> {
        let Some(permitted) = todo.pop_front() else {
            let process = &mut self.processes[who];
            process.round += 1;
            let nothing = quiet && process.pending.is_empty() && process.round > 1;
            if nothing || process.round > ROUNDS_MAX {
                process.quiet = nothing;
                return self.end_tick(who);
            }
            process.at = At::Look;
            return Ok(());
        };
        let effect = permitted.effect().clone();
        let events = self.perform(who, &effect)?;
        let process = &mut self.processes[who];
        if events.iter().any(|event| matches!(event, Event::EffectFailed { .. })) {
            process.performed.remove(&effect.key());
        }
        if process.alive {
            process.pending.extend(events);
            process.at = At::Perform(todo, false);
        }
        Ok(())
    }

    /// What can be seen of a run.
    pub(crate) fn observe(&mut self, run: &Run) -> Vec<Event> {
        let (boot, at, kind, broken) = (self.boot, self.at, self.kind, self.broken);
        let Some(place) = self.places.get_mut(&run.id) else { return Vec::new() };
        let event = |seen| Event::Run { run: run.id.clone(), seen };
        let started = |at| event(Seen::Started { pid: 4_711, at });
        if let Some((how, ended_at)) = &place.exit {
            let started = place.start.filter(|_| run.phase == Phase::Claimed).map(|(_, at)| started(at));
            let how = match how {
                Ended::Stopped { .. } => Ended::Stopped { reason: run.stop.unwrap_or(StopReason::Person) },
                other => other.clone(),
            };
            let evidence = match &run.work {
                Work::Gate { command, .. } => Some(Evidence {
                    command: command.clone(),
                    exit_code: if let Ended::Exited { code } = how { Some(code) } else { None },
                    tree: "tree".to_owned(),
                    log_sha256: String::new(),
                }),
                _ => None,
            };
            let how = match (&run.work, how) {
                (Work::Gate { .. }, Ended::Exited { .. }) if broken == Some(Broken::GatesAreBelieved) => {
                    Ended::Exited { code: 0 }
                }
                (_, how) => how,
            };
            let ended = Seen::Ended { how, at: *ended_at, evidence, output: Some("its output".to_owned()) };
            return started.into_iter().chain([event(ended)]).collect();
        }
        let Some((life, start)) = place.start else { return Vec::new() };
        let trusted = broken == Some(Broken::ProcessIdsAreTrusted) && life != boot;
        if place.host != Host::None || trusted {
            let mut events = Vec::new();
            if run.phase == Phase::Claimed {
                events.push(started(start));
            }
            if let Some(status) = place.marker.filter(|_| run.work.can_claim()) {
                let claim = Claim { status, decision: None, summary: None, source: ClaimSource::Marker, at };
                events.push(event(Seen::Claimed(claim)));
            }
            if place.foreign {
                events.push(event(Seen::ForeignClaim { why: "the claim names another run".to_owned() }));
            }
            return events;
        }
        if place.unkillable > 0 && !kind {
            place.unkillable -= 1;
            return Vec::new();
        }
        if broken != Some(Broken::RemainsAreLeft) {
            place.agent = None;
        }
        let how = Ended::Interrupted { why: "its host process died".to_owned() };
        vec![event(Seen::Ended { how, at, evidence: None, output: None })]
    }

    /// What an agent's run left. Repeating it finds what it kept.
    pub(crate) fn collect(&mut self, id: &RunId, run: &Run) -> Collected {
        let task = run.task.clone().expect("only what serves a stage is collected");
        let began = self.places.get(id).is_some_and(|place| place.began > 0);
        let kept = self.places.get(id).and_then(|place| place.kept.clone());
        let commit = match kept {
            Some(kept) => kept,
            None if began => {
                let commit = self.repository.commit("c");
                self.repository.heads.insert(task.clone(), commit.clone());
                commit
            }
            None => self.repository.head(&task),
        };
        if let Some(place) = self.places.get_mut(id).filter(|_| self.broken != Some(Broken::WorkIsNotCollected)) {
            place.kept = Some(commit.clone());
        }
        self.left_by(id, run, commit)
    }
}

fn word(fact: &pipeline_lib::fact::Fact) -> String {
    let text = format!("{fact:?}");
    text.chars().take(220).collect()
}
