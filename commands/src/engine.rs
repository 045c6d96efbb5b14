//! The rules on top of the store: an event goes in under the lock, the facts that follow are durable before anything is
//! answered. Every change of the state goes through here.

use jiff::Timestamp;
use pipeline_lib::decide::{Now, decide};
use pipeline_lib::event::{Event, Refusal, Request};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::number_of;
use pipeline_lib::pipeline::{Pipeline, Readable};
use pipeline_lib::task::BRANCHES;
use pipeline_lib::view::{self, Attention, Seen};
use pipeline_state::{ErrorKind, LockedStore, Machine, Record, Store, Transaction, render_snapshot};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{CommandError, Result, chain};
use crate::person;

/// Steps one settling may take; more means that two rules undo each other, which would otherwise never end.
const STEPS_MAX: usize = 1_000_000;
/// Up to this many tasks `state.json` is written by every command; above, writing it costs more than the command.
const SNAPSHOT_TASKS_MAX: usize = 1_000;

/// The pipeline as the store keeps it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kept(pub Pipeline);

impl Machine for Kept {
    type Fact = Fact;

    fn apply(&mut self, record: &Record<Fact>) {
        self.0.apply(record.at, &record.fact);
    }

    fn check(bytes: &[u8]) -> serde_json::Result<()> {
        serde_json::from_slice::<Readable>(bytes).map(drop)
    }
}

/// The time and fresh random bits.
#[must_use]
pub fn now() -> Now {
    Now { at: Timestamp::now(), entropy: random() }
}

fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds each of these from the system's random bits.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// The pipeline of one repository, as this process last read it.
#[derive(Debug)]
pub struct Engine {
    store: Store<Kept>,
}

impl Engine {
    /// Reads the state.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(context: &Context) -> Result<Self> {
        let mut store = Store::open(&context.state_dir(), context.store_options())?;
        for notice in store.take_notices() {
            context.note(&notice.to_string());
        }
        Ok(Self { store })
    }

    /// Makes the state of a repository that has none.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn init(context: &Context) -> Result<Self> {
        Ok(Self { store: Store::init(&context.state_dir(), context.store_options())? })
    }

    /// Lets go of a large state without taking it apart, where the process ends next and its memory is given back whole.
    /// No lock is kept: one is held only while a call changes something.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    /// What is known.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.store.machine().0
    }

    /// What waits for a person, the most blocking first: damage of the state before everything else.
    #[must_use]
    pub fn attention(&self) -> Vec<Attention> {
        let mut list: Vec<Attention> = self.damage().into_iter().collect();
        list.extend(view::attention(self.pipeline()));
        list
    }

    /// That a part of the journal cannot be read, so that the picture is an older one.
    #[must_use]
    pub fn damage(&self) -> Option<Attention> {
        let refusal = self.store.refusal().filter(|refusal| refusal.kind() == ErrorKind::Corrupt)?;
        Some(Attention {
            kind: "state_damaged",
            task: None,
            agent: None,
            since: self.pipeline().core.updated_at,
            summary: format!("{refusal}; what is shown ends at fact {}", self.store.seq()),
            unblocks: Vec::new(),
            command: "pipeline doctor --repair".to_owned(),
        })
    }

    /// The store, for what is about files rather than about tasks.
    #[must_use]
    pub fn store(&self) -> &Store<Kept> {
        &self.store
    }

    /// Catches up with other processes.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn refresh(&mut self) -> Result<()> {
        Ok(self.store.refresh()?)
    }

    /// Sees to it that what was read survives a power cut: nothing is done outside for what might never have been.
    ///
    /// # Errors
    /// When the journal cannot be synced.
    pub fn make_durable(&mut self) -> Result<()> {
        Ok(self.store.make_durable()?)
    }

    /// Fulfils a request of a person.
    ///
    /// # Errors
    /// When it is refused or cannot be written; then nothing has changed.
    pub fn ask(&mut self, context: &Context, actor: &str, request: Request) -> Result<Vec<Fact>> {
        self.ask_all(context, actor, vec![request])
    }

    /// Fulfils several requests of a person, in order, all or none: they are one command, and are undone as one.
    ///
    /// # Errors
    /// When one is refused or they cannot be written; then nothing has changed.
    pub fn ask_all(&mut self, context: &Context, actor: &str, requests: Vec<Request>) -> Result<Vec<Fact>> {
        let signed = |request| match request {
            Request::AddTasks(mut new) => {
                let by = person::asking(context);
                new.iter_mut().filter(|new| new.asked_by.is_none()).for_each(|new| new.asked_by.clone_from(&by));
                Request::AddTasks(new)
            }
            other => other,
        };
        let events: Vec<Event> = requests.into_iter().map(|request| Event::Ask(signed(request))).collect();
        self.feed(context, actor, &events, false, &Seen::new())
    }

    /// Records facts that put back what a command changed, if the state is still the one they were found for; `None` if
    /// something happened meanwhile.
    ///
    /// # Errors
    /// When they are refused or cannot be written; then nothing has changed.
    pub fn put_back(
        &mut self,
        context: &Context,
        actor: &str,
        seq: u64,
        inverse: impl FnOnce(&Pipeline) -> Result<Vec<Fact>, Refusal>,
    ) -> Result<Option<Vec<Fact>>> {
        let mut locked = self.store.lock()?;
        if locked.seq() != seq {
            return Ok(None);
        }
        let facts = locked.transact(actor, |transaction| {
            let facts = inverse(&transaction.machine().0)?;
            let at = now().at;
            for fact in &facts {
                transaction.record(at, fact.clone());
            }
            Ok::<_, CommandError>(facts)
        })?;
        draw(context, &mut locked, &Seen::new());
        Ok(Some(facts))
    }

    /// Hears events, and with `tick` everything that follows from time passing. All facts become durable together.
    ///
    /// # Errors
    /// When a request among the events is refused, or the facts cannot be written; then nothing has changed.
    pub fn feed(
        &mut self,
        context: &Context,
        actor: &str,
        events: &[Event],
        tick: bool,
        seen: &Seen,
    ) -> Result<Vec<Fact>> {
        let configured = context.configure_event(self.pipeline(), events).is_some();
        // Where nothing follows nothing is locked or written: an idle tick leaves no trace. What another process has
        // written meanwhile is seen by the next tick.
        if tick && !configured && self.store.refusal().is_none() && nothing_follows(self.pipeline(), events) {
            return Ok(Vec::new());
        }
        let mut locked = self.store.lock()?;
        // Asked again under the lock: whoever changes the configuration writes its file first, so that an older one
        // cannot be recorded over it.
        let configured = context.configure_event(&locked.machine().0, events);
        let numbers = numbers_taken(context, events);
        let facts = locked.transact(actor, |transaction| {
            let mut facts = Vec::new();
            // One moment for all of it, by which what one command did is known later.
            let at = now().at;
            for event in configured.iter().chain(&numbers).chain(events) {
                facts.extend(step_at(transaction, event, Now { at, entropy: random() })?);
            }
            if tick {
                for _ in 0..STEPS_MAX {
                    let next = step(transaction, &Event::Tick)?;
                    if next.is_empty() {
                        break;
                    }
                    facts.extend(next);
                }
            }
            Ok::<_, CommandError>(facts)
        })?;
        if !tick && !facts.is_empty() {
            draw(context, &mut locked, seen);
        }
        for notice in self.store.take_notices() {
            context.note(&notice.to_string());
        }
        Ok(facts)
    }

    /// Replaces `state.json` by the present picture.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_snapshot(&mut self, seen: &Seen) -> Result<()> {
        let mut locked = self.store.lock()?;
        Ok(locked.write_snapshot_of(|kept| render_snapshot(&view::state_doc(&kept.0, seen)))?)
    }
}

/// Where a task is to be added that gets a number: the numbers that branches have, be they of tasks of an earlier state.
fn numbers_taken(context: &Context, events: &[Event]) -> Option<Event> {
    let adds = |event: &Event| match event {
        Event::Ask(Request::AddTasks(new)) => new.iter().any(|task| task.id.is_none()),
        _ => false,
    };
    if !events.iter().any(adds) {
        return None;
    }
    match context.repo().branches_below(BRANCHES) {
        Ok(branches) => above(branches.iter().filter_map(|name| name.strip_prefix(BRANCHES))),
        // A branch of the same name is set aside before a task begins, so that this is no reason not to add one.
        Err(error) => {
            tracing::warn!(error = chain(&error), "the numbers that branches have are not known");
            None
        }
    }
}

/// That numbers up to the highest in these names of tasks are taken.
pub(crate) fn above<'n>(names: impl Iterator<Item = &'n str>) -> Option<Event> {
    let highest = names.filter_map(number_of).max()?;
    Some(Event::NumbersTaken { below: u64::from(highest) + 1 })
}

fn nothing_follows(pipeline: &Pipeline, events: &[Event]) -> bool {
    let now = now();
    let mut all = events.iter().chain([&Event::Tick]);
    all.all(|event| decide(pipeline, event, now).is_ok_and(|facts| facts.is_empty()))
}

/// Writes `state.json` after a command, unless that costs more than the command.
fn draw(context: &Context, locked: &mut LockedStore<'_, Kept>, seen: &Seen) {
    if locked.machine().0.tasks.len() > SNAPSHOT_TASKS_MAX {
        return;
    }
    // The facts are durable: what comes after them must not be told as if nothing had happened.
    if let Err(error) = locked.write_snapshot_of(|kept| render_snapshot(&view::state_doc(&kept.0, seen))) {
        context.note(&format!("done, but state.json is behind until the next change: {}", chain(&error)));
    }
}

pub(crate) fn step(transaction: &mut Transaction<'_, Kept>, event: &Event) -> Result<Vec<Fact>> {
    step_at(transaction, event, now())
}

fn step_at(transaction: &mut Transaction<'_, Kept>, event: &Event, now: Now) -> Result<Vec<Fact>> {
    let facts = decide(&transaction.machine().0, event, now)?;
    for fact in &facts {
        transaction.record(now.at, fact.clone());
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::context::{Globals, Site};
    use crate::output::Output;

    fn git(dir: &Path, args: &[&str]) {
        let who = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
        assert!(Command::new("git").current_dir(dir).args(who).args(args).status().unwrap().success(), "{args:?}");
    }

    fn context(dir: &Path) -> Context {
        let globals = Globals { dir: dir.to_owned(), ..Globals::default() };
        let site = Site::find(&globals).unwrap();
        Context::load(&globals, &Output::captured().0, site).unwrap()
    }

    /// A monitor in the middle of a tick still has the configuration that it began with.
    #[test]
    fn an_older_configuration_is_not_recorded_over_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "-b", "main"]);
        git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "start"]);
        std::fs::create_dir(dir.path().join(".pipeline")).unwrap();
        let config = dir.path().join(".pipeline/config.toml");
        std::fs::write(&config, "[scheduler]\nretries = 1\n").unwrap();
        let older = context(dir.path());
        let mut monitor = Engine::init(&older).unwrap();
        let retries = |engine: &Engine| engine.pipeline().core.settings.scheduler.retries;
        monitor.feed(&older, "monitor", &[], false, &Seen::new()).unwrap();
        assert_eq!(retries(&monitor), 1);
        std::fs::write(&config, "[scheduler]\nretries = 22\n").unwrap();
        let newer = context(dir.path());
        let mut other = Engine::open(&newer).unwrap();
        other.feed(&newer, "other", &[], false, &Seen::new()).unwrap();
        monitor.refresh().unwrap();
        monitor.feed(&older, "monitor", &[], true, &Seen::new()).unwrap();
        assert_eq!(retries(&monitor), 22);
    }
}
