//! The world of one schedule: everything that can happen in it, drawn from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::event::{Busy, Event, Request};
use pipeline_lib::ids::{CommitId, RunId, TaskId};
use pipeline_lib::mode::{Mode, Orchestration, Rollout};
use pipeline_lib::run::Ended;
use pipeline_lib::workflow::Workflow;

use crate::broken::Broken;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::outside::{AGENTS, Host, Place, Repository, agent_name};
use crate::people::{settings, workflows};
use crate::process::{At, COMMANDS, Process};

/// A check that failed, in words.
pub(crate) type Result<T, E = String> = std::result::Result<T, E>;

/// Steps of a hostile world.
pub(crate) const STEPS: usize = 130;
/// Rounds in which a kind world has to come to rest.
const ROUNDS_TO_REST: usize = 400;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) broken: Option<Broken>,
    pub(crate) dice: Dice,
    /// The wall clock, which may jump.
    pub(crate) at: Timestamp,
    /// Seconds that really passed.
    pub(crate) seconds: i64,
    /// Which life of the machine this is.
    pub(crate) boot: u32,
    pub(crate) disk: Disk,
    pub(crate) places: BTreeMap<RunId, Place>,
    pub(crate) repository: Repository,
    pub(crate) current_task_file: Option<String>,
    pub(crate) processes: [Process; 3],
    /// Whether only one supervisor ticks at a time, as the product's lock sees to; else they interleave.
    pub(crate) one_ticks: bool,
    pub(crate) ticking: Option<usize>,
    /// What was seen and has not been told yet.
    pub(crate) late: Vec<Event>,
    /// Nothing goes wrong any more.
    pub(crate) kind: bool,
    pub(crate) workflows: Vec<Arc<Workflow>>,
    pub(crate) configured: u32,
    pub(crate) added: u32,
    /// Every run that was ever claimed.
    pub(crate) claimed: BTreeSet<RunId>,
    /// Commits that a gate of ours passed.
    pub(crate) passed: BTreeSet<CommitId>,
    /// Commits that tasks were merged as.
    pub(crate) merged: BTreeSet<CommitId>,
    /// How many agents began.
    pub(crate) began: usize,
    /// What happened, for whoever looks into one seed.
    told: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Option<Broken>, told: bool, workflows: Vec<Arc<Workflow>>) -> Self {
        Self {
            seed,
            broken,
            dice: Dice::new(seed),
            at: "2026-07-24T10:00:00Z".parse().expect("a time"),
            seconds: 0,
            boot: 0,
            disk: Disk::default(),
            places: BTreeMap::new(),
            repository: Repository::new(),
            current_task_file: None,
            processes: [Process::new(), Process::new(), Process::new()],
            one_ticks: !seed.is_multiple_of(4),
            ticking: None,
            late: Vec::new(),
            kind: true,
            workflows,
            configured: 0,
            added: 0,
            claimed: BTreeSet::new(),
            passed: BTreeSet::new(),
            merged: BTreeSet::new(),
            began: 0,
            told: told.then(Vec::new),
        }
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            let text = format!("{} {:>6}s {}", self.at, self.seconds, what());
            told.push(text);
        }
    }

    pub(crate) fn told(&self) -> &[String] {
        self.told.as_deref().unwrap_or_default()
    }

    /// A hostile world, then a kind one that must come to rest.
    pub(crate) fn run(&mut self) -> Result<()> {
        self.configure(settings())?;
        let mode = Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Production };
        self.ask(Request::SetMode { mode, busy: Busy::Refuse, unready: true })?;
        self.kind = false;
        for _ in 0..3 {
            self.add_task()?;
        }
        for _ in 0..STEPS {
            self.step()?;
        }
        self.rest()?;
        self.check_rest()?;
        self.check_replay()
    }

    fn step(&mut self) -> Result<()> {
        match self.dice.below(1_000) {
            0..500 => {
                let who = self.dice.below(2);
                self.supervise(who)?;
            }
            500..800 => self.some_host()?,
            800..850 => self.pass(),
            850..930 => self.person()?,
            930..950 => {
                let who = self.dice.below(2);
                self.say(|| format!("process {who} dies"));
                self.processes[who].die();
            }
            950..965 => self.kill_host(),
            965..975 => self.kill_agent(),
            975..980 => self.power_cut()?,
            980..990 => self.late_event()?,
            _ => self.user_works(),
        }
        Ok(())
    }

    fn live_places(&self) -> Vec<RunId> {
        let live = |place: &Place| place.spawned > 0 || place.host_lives() || place.agent.is_some();
        self.places.iter().filter(|(_, place)| live(place)).map(|(run, _)| run.clone()).collect()
    }

    fn some_host(&mut self) -> Result<()> {
        let live = self.live_places();
        match self.dice.pick(&live) {
            Some(run) => self.host(&run),
            None => Ok(()),
        }
    }

    /// One step of the host of a run, or of one that was just started.
    pub(crate) fn host(&mut self, id: &RunId) -> Result<()> {
        let (at, boot, seconds, kind) = (self.at, self.boot, self.seconds, self.kind);
        let Some(place) = self.places.get_mut(id) else { return Ok(()) };
        match place.host.clone() {
            Host::None if place.spawned > 0 => {
                place.spawned -= 1;
                if place.start.is_none() && place.exit.is_none() {
                    place.host = Host::Locked;
                }
            }
            Host::None => {}
            _ if place.spawned > 0 && self.dice.permille(300) => place.spawned -= 1,
            Host::Locked => {
                place.start = Some((boot, at));
                place.host = Host::Started;
            }
            Host::Started if place.began == 0 => match place.stop {
                Some(reason) => place.host = Host::Ending(Ended::Stopped { reason }),
                None if !kind && self.dice.permille(20) => {
                    let permanent = self.dice.permille(300);
                    let message = "no such program".to_owned();
                    place.host = Host::Ending(Ended::NotStarted { message, permanent });
                }
                None => return self.begin_agent(id),
            },
            Host::Started => {
                let stop = place.stop;
                let Some(agent) = place.agent.as_mut() else {
                    place.host = Host::Ending(Ended::Signaled { signal: 9 });
                    return Ok(());
                };
                let over = seconds >= place.deadline;
                if stop.is_some() || over {
                    if agent.deaf == 0 {
                        place.agent = None;
                        let stopped = |reason| Ended::Stopped { reason };
                        place.host = Host::Ending(stop.map_or(Ended::TimedOut, stopped));
                    } else {
                        agent.deaf -= 1;
                    }
                    return Ok(());
                }
                self.agent(id);
            }
            Host::Ending(how) => {
                place.exit = Some((how, at));
                place.host = Host::None;
            }
        }
        Ok(())
    }

    fn agent(&mut self, id: &RunId) {
        let foreign = !self.kind && self.dice.permille(20);
        let early = self.dice.permille(300);
        let Some(place) = self.places.get_mut(id) else { return };
        let Some(agent) = place.agent.as_mut() else { return };
        place.foreign |= foreign;
        if early {
            place.marker = agent.says;
        }
        match &mut agent.left {
            None => {}
            Some(0) => {
                place.marker = agent.says;
                let code = agent.code;
                place.agent = None;
                place.host = Host::Ending(Ended::Exited { code });
            }
            Some(left) => *left -= 1,
        }
    }

    fn pass(&mut self) {
        let seconds = self.dice.one(&[1, 3, 11, 60, 700, 2_000]);
        self.advance_clock(seconds);
        if self.dice.permille(60) {
            let jump = self.dice.one(&[-86_400, -3_600, 3_600, 86_400, 40_000_000]);
            self.say(|| format!("the clock jumps by {jump}s"));
            self.at = self.at.checked_add(SignedDuration::from_secs(jump)).unwrap_or(self.at);
        }
    }

    fn advance_clock(&mut self, seconds: i64) {
        self.seconds += seconds;
        self.at = self.at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(self.at);
    }

    fn kill_host(&mut self) {
        let hosted: Vec<RunId> =
            self.places.iter().filter(|(_, place)| place.host_lives()).map(|(run, _)| run.clone()).collect();
        let Some(run) = self.dice.pick(&hosted) else { return };
        self.say(|| format!("the host of {run} is killed"));
        let (survives, unkillable) = (self.dice.permille(500), self.dice.permille(100));
        let Some(place) = self.places.get_mut(&run) else { return };
        place.host = Host::None;
        if !survives {
            place.agent = None;
        } else if unkillable && place.agent.is_some() {
            place.unkillable = 3;
        }
    }

    fn kill_agent(&mut self) {
        let live: Vec<RunId> =
            self.places.iter().filter(|(_, place)| place.agent.is_some()).map(|(run, _)| run.clone()).collect();
        let Some(run) = self.dice.pick(&live) else { return };
        self.say(|| format!("the agent of {run} is killed"));
        if let Some(place) = self.places.get_mut(&run) {
            place.agent = None;
        }
    }

    fn power_cut(&mut self) -> Result<()> {
        self.say(|| "a power cut".to_owned());
        self.boot += 1;
        for process in &mut self.processes {
            process.die();
        }
        self.processes[COMMANDS].alive = true;
        self.ticking = None;
        for place in self.places.values_mut() {
            (place.host, place.agent, place.spawned, place.unkillable) = (Host::None, None, 0, 0);
        }
        self.disk.lose_unsynced()
    }

    /// Something that was seen a while ago is told now, by whoever comes along.
    fn late_event(&mut self) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        let index = self.dice.below(self.late.len());
        let mut event = [self.late.swap_remove(index)];
        self.say(|| format!("late: {:?}", event[0]));
        if self.broken == Some(Broken::NoEpoch) {
            self.readdress(COMMANDS, &mut event);
        }
        self.transact(COMMANDS, &event, false)?;
        self.processes[COMMANDS].alive = true;
        Ok(())
    }

    fn user_works(&mut self) {
        if self.dice.permille(700) {
            let commit = self.repository.commit("u");
            self.repository.base.push(commit);
        } else {
            let task = self.some_task();
            self.current_task_file = self.dice.one(&[None, Some("NOPE".to_owned()), Some(task.to_string())]);
        }
    }

    /// Nothing goes wrong from here on, and a person sees to agents, modes and the configuration.
    fn rest(&mut self) -> Result<()> {
        self.say(|| "the world becomes kind".to_owned());
        self.kind = true;
        while !self.late.is_empty() {
            self.late_event()?;
        }
        for place in self.places.values_mut() {
            place.unkillable = 0;
        }
        self.configure(settings())?;
        let mode = Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Production };
        self.ask(Request::SetMode { mode, busy: Busy::Drain, unready: true })?;
        let mut still = 0;
        for round in 0..ROUNDS_TO_REST {
            if round < 3 {
                for (name, _) in AGENTS {
                    self.ask(Request::StartAgent { agent: agent_name(name) })?;
                }
            }
            let before = self.disk.records().len();
            self.whole_tick(0)?;
            for _ in 0..40 {
                for run in self.live_places() {
                    self.host(&run)?;
                }
            }
            let next = self.disk.state().next_deadline();
            let idle = before == self.disk.records().len() && self.live_places().is_empty();
            still = if idle && next.is_none() { still + 1 } else { 0 };
            if still > 3 {
                return Ok(());
            }
            let until = next.map_or(0, |at| at.duration_since(self.at).as_secs());
            self.advance_clock(until.clamp(20, 4_000));
        }
        Ok(())
    }

    fn whole_tick(&mut self, who: usize) -> Result<()> {
        self.ticking = None;
        for step in 0..20_000 {
            self.supervise(who)?;
            if step > 0 && matches!(self.processes[who].at, At::Idle) {
                return Ok(());
            }
        }
        Err("a tick never ends".to_owned())
    }

    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        self.disk.state().tasks.iter().map(|task| task.id.clone()).collect()
    }
}

/// The maps of all worlds, made once.
pub(crate) fn maps() -> Vec<Arc<Workflow>> {
    workflows()
}
