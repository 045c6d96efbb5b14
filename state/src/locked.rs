//! What only the holder of the lock can do: record facts, write the snapshot, begin a new segment. The lock is meant to be
//! held for one decision; never across anything slow.

use std::{fmt, mem};

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Notice, Result, StateError};
use crate::filesystem;
use crate::format::FORMAT;
use crate::journal::{self, AppendError};
use crate::lock::LockGuard;
use crate::machine::{Machine, Record};
use crate::replay;
use crate::snapshot;
use crate::store::Store;

/// A store whose lock we hold, caught up with every other process.
pub struct LockedStore<'s, M: Machine> {
    store: &'s mut Store<M>,
    guard: LockGuard,
}

/// A decision being made: facts are applied as they are recorded, and become durable together.
pub struct Transaction<'t, M: Machine> {
    machine: &'t mut M,
    stale: &'t mut bool,
    seq: u64,
    actor: &'t str,
    pending: Vec<Record<M::Fact>>,
}

impl<M: Machine> fmt::Debug for LockedStore<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedStore").field("seq", &self.seq()).finish_non_exhaustive()
    }
}

impl<M: Machine> fmt::Debug for Transaction<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl<M: Machine> Transaction<'_, M> {
    /// The machine with everything recorded so far.
    pub fn machine(&self) -> &M {
        self.machine
    }

    /// Records a fact and applies it at once, so that the rest of the decision sees it.
    pub fn record(&mut self, at: Timestamp, fact: M::Fact) -> &Record<M::Fact> {
        let seq = self.seq + self.pending.len() as u64 + 1;
        let record = Record { seq, at, actor: self.actor.to_owned(), fact };
        // First, so that even a panic in `apply` leaves the machine marked.
        *self.stale = true;
        self.machine.apply(&record);
        let index = self.pending.len();
        self.pending.push(record);
        &self.pending[index]
    }

    /// What was recorded so far.
    pub fn records(&self) -> &[Record<M::Fact>] {
        &self.pending
    }
}

impl<'s, M: Machine> LockedStore<'s, M> {
    pub(crate) fn acquire(store: &'s mut Store<M>) -> Result<LockedStore<'s, M>> {
        if !store.trusted && filesystem::of(store.layout.dir())?.is_network {
            filesystem::probe(store.layout.dir())?;
        }
        store.trusted = true;
        let guard = store.locker.acquire(store.options.lock_timeout)?;
        store.catch_up(true)?;
        Ok(LockedStore { store, guard })
    }

    /// The machine, with every record there is.
    pub fn machine(&self) -> &M {
        self.store.machine()
    }

    /// The number of the last record.
    pub fn seq(&self) -> u64 {
        self.store.seq()
    }

    /// Runs `decide` and makes durable what it recorded: one write, one sync. On any error nothing was recorded, and the
    /// machine is what it was.
    pub fn transact<T, E: From<StateError>>(
        &mut self,
        actor: &str,
        decide: impl FnOnce(&mut Transaction<'_, M>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.ready()?;
        let store = &mut *self.store;
        let mut transaction = Transaction {
            machine: &mut store.position.machine,
            stale: &mut store.stale,
            seq: store.position.seq,
            actor,
            pending: Vec::new(),
        };
        let decided = decide(&mut transaction);
        let pending = mem::take(&mut transaction.pending);
        let outcome = match decided {
            Ok(value) => self.commit(pending).map(|()| value).map_err(E::from),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.roll_back();
        }
        outcome
    }

    /// Records facts that need no further decision.
    pub fn append(&mut self, actor: &str, at: Timestamp, facts: impl IntoIterator<Item = M::Fact>) -> Result<u64> {
        self.transact(actor, |transaction| {
            for fact in facts {
                transaction.record(at, fact);
            }
            Ok::<_, StateError>(())
        })?;
        Ok(self.seq())
    }

    /// Replaces `state.json` by this document, which stands for the present machine. An edited `state.json` is kept and
    /// named in a notice.
    pub fn write_snapshot(&mut self, document: &impl Serialize) -> Result<()> {
        self.write_snapshot_of(|_| snapshot::render(document))
    }

    /// The same, for a document that borrows from the machine.
    pub fn write_snapshot_of(&mut self, render: impl FnOnce(&M) -> serde_json::Result<Vec<u8>>) -> Result<()> {
        self.ready()?;
        self.guard.verify()?;
        let seq = self.store.seq();
        let bytes = render(self.store.machine());
        if let Some(notice) = snapshot::write(&self.store.layout, seq, bytes)? {
            self.store.notice(notice);
        }
        Ok(())
    }

    /// Begins a new segment now, with a checkpoint of the machine.
    pub fn rotate(&mut self) -> Result<()> {
        self.ready()?;
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<()> {
        self.guard.verify()?;
        self.sync()?;
        let store = &mut *self.store;
        let Some(tail) = store.tail.as_ref() else {
            return Ok(());
        };
        let number = tail.number + 1;
        let room = store.options.room_bytes;
        let (tail, chain) = match journal::create_segment(&store.layout, number, &store.position, room) {
            Ok(created) => created,
            Err(error) => {
                let path = store.layout.segment(number);
                // It has its name, but not durably: a power cut could take away what would be appended to it.
                if path.exists() {
                    store.poisoned = Some((path, error.to_string()));
                }
                return Err(error);
            }
        };
        store.newest = (number, tail.id, tail.end);
        if let Some(mut before) = store.tail.replace(tail) {
            before.seal();
        }
        store.position.chain = chain;
        store.rotate_at = store.options.rotate_bytes;
        journal::prune(&store.layout, store.options.keep_bytes)
    }

    /// Whether writing is possible at all; an older format is brought to ours first, its segment stays as it is.
    fn ready(&mut self) -> Result<()> {
        if let Some(refusal) = self.store.refusal() {
            return Err(refusal);
        }
        if self.store.stale {
            self.store.reload()?;
            if let Some(refusal) = self.store.refusal() {
                return Err(refusal);
            }
        }
        if self.store.tail.as_ref().is_some_and(|tail| tail.version < FORMAT) {
            self.begin_segment()?;
        }
        Ok(())
    }

    fn commit(&mut self, pending: Vec<Record<M::Fact>>) -> Result<()> {
        if pending.is_empty() {
            // The decision may rest on what another process wrote and, dying, never made durable.
            return self.sync();
        }
        self.guard.verify()?;
        let store = &mut *self.store;
        let Some(tail) = store.tail.as_mut() else {
            return Ok(());
        };
        let (bytes, frame) = replay::encode_batch::<M>(&tail.path, store.position.chain, &pending)?;
        let appended = tail.append(&store.layout, &bytes, store.options.room_bytes, &mut store.options.faults);
        store.newest = (tail.number, tail.id, tail.end);
        appended.map_err(|error| store.failed(error))?;
        store.position.seq = frame.last_seq();
        store.position.chain = frame.sum;
        store.durable = store.position.seq;
        store.stale = false;
        self.rotate_if_due();
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let store = &mut *self.store;
        match store.tail.as_mut().map(|tail| tail.sync(&mut store.options.faults)) {
            Some(Err(error)) => Err(store.failed(error)),
            _ => {
                store.durable = store.position.seq;
                Ok(())
            }
        }
    }

    /// The batch is safe already, so a failure here is told and not returned.
    fn rotate_if_due(&mut self) {
        let Some(tail) = self.store.tail.as_ref() else {
            return;
        };
        let batches = tail.end - tail.start;
        if batches <= self.store.rotate_at.max(tail.start) {
            return;
        }
        if let Err(error) = self.rotate() {
            // Not at each commit again: a checkpoint of a large machine is no small write.
            self.store.rotate_at = batches.saturating_add(self.store.options.rotate_bytes);
            self.store.notice(Notice::RotationFailed { detail: error.to_string() });
        }
    }

    fn roll_back(&mut self) {
        if self.store.stale
            && let Err(error) = self.store.reload()
        {
            // It stays marked: nothing is written from it before it was read again.
            tracing::warn!(%error, "cannot read the state back after a refused change");
        }
    }
}

impl<M: Machine> Store<M> {
    /// Remembers a failure after which nothing may be written.
    pub(crate) fn failed(&mut self, error: AppendError) -> StateError {
        match error {
            AppendError::Failed(error) => error,
            AppendError::Fatal(error) => {
                if let StateError::Poisoned { path, reason } = &error {
                    self.poisoned = Some((path.clone(), reason.clone()));
                }
                error
            }
        }
    }
}
