//! The store as one process holds it: the machine in memory, how far it has read, and catching up with what other
//! processes append. Reading needs no lock; everything that changes the disk is on [`LockedStore`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Notice, Result, StateError};
use crate::events::Events;
use crate::files::{self, Faults, FileId};
use crate::format::{self, FORMAT, FRAME_HEADER_LEN, HEADER_LEN};
use crate::journal::{self, Damage, Segment, Tail};
use crate::layout::Layout;
use crate::lock::Locker;
use crate::locked::{LockedStore, Transaction};
use crate::machine::Machine;
use crate::replay::{self, Position, Rest};
use crate::snapshot;

/// How often a reader looks again before it believes in damage: a writer may have taken a failed write back meanwhile.
const READ_ATTEMPTS: usize = 3;

/// How a store behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for another process's lock.
    pub lock_timeout: Duration,
    /// Bytes of journal kept as history.
    pub keep_bytes: u64,
    /// A segment is followed by a new one when its batches outgrow its checkpoint and this.
    pub rotate_bytes: u64,
    /// How much room is made behind the records of a segment at a time.
    pub room_bytes: u64,
    /// What a process that waits for our lock is told about us, beside the pid.
    pub command: String,
    /// For tests.
    pub faults: Faults,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lock_timeout: Duration::from_secs(5),
            keep_bytes: 256 << 20,
            rotate_bytes: 1 << 20,
            room_bytes: 64 << 10,
            command: "pipeline".to_owned(),
            faults: Faults::default(),
        }
    }
}

/// A machine kept on disk, as this process last read it.
pub struct Store<M: Machine> {
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) position: Position<M>,
    pub(crate) tail: Option<Tail>,
    pub(crate) locker: Locker,
    pub(crate) damage: Option<Damage>,
    /// The newest segment when last looked at, to see cheaply whether anything happened.
    pub(crate) newest: (u64, FileId, u64),
    /// The machine holds facts that are not on disk.
    pub(crate) stale: bool,
    /// Why nothing may be written any more.
    pub(crate) poisoned: Option<(PathBuf, String)>,
    /// Up to this record the journal was synced by us, whoever wrote it.
    pub(crate) durable: u64,
    /// Whether the file system was looked at before the first lock.
    pub(crate) trusted: bool,
    /// Batches may grow to this before a new segment is tried.
    pub(crate) rotate_at: u64,
    notices: Vec<Notice>,
    /// How often everything was read anew.
    #[cfg(test)]
    pub(crate) reloads: u32,
}

impl<M: Machine> fmt::Debug for Store<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir()).field("seq", &self.seq()).finish_non_exhaustive()
    }
}

impl<M: Machine> Store<M> {
    /// Reads the store in `dir`, without its lock. Damage is no error here as long as there is something before it that
    /// can be shown; [`Store::take_notices`] says so then.
    pub fn open(dir: &Path, options: Options) -> Result<Store<M>> {
        let layout = Layout::new(dir);
        match files::check_dir(dir) {
            Err(error) if error.is_missing_file() => {
                return Err(StateError::NotInitialised { dir: dir.to_owned() });
            }
            other => other?,
        }
        // Before the journal, so that a snapshot written meanwhile does not look as if records were lost.
        let snapshot_seq = snapshot::recorded_seq(&layout);
        let loaded = read_settled(&layout)?;
        let mut store = Store {
            locker: Locker::new(layout.lock(), options.command.clone()),
            rotate_at: options.rotate_bytes,
            layout,
            options,
            position: loaded.position,
            tail: loaded.tail,
            damage: None,
            newest: loaded.newest,
            stale: false,
            durable: 0,
            trusted: false,
            poisoned: None,
            notices: Vec::new(),
            #[cfg(test)]
            reloads: 0,
        };
        store.note_loaded(loaded.damage);
        if let Some(snapshot) = snapshot_seq.filter(|&seq| seq > store.seq()) {
            store.notices.push(Notice::BehindSnapshot { journal: store.seq(), snapshot });
        }
        Ok(store)
    }

    /// The machine, as of the last read or commit.
    pub fn machine(&self) -> &M {
        &self.position.machine
    }

    /// The number of the last record in it.
    pub fn seq(&self) -> u64 {
        self.position.seq
    }

    /// The directory it lives in.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// What a person should hear, each once.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Why the journal cannot be written although it can be read, if so.
    pub fn refusal(&self) -> Option<StateError> {
        if let Some((path, reason)) = &self.poisoned {
            return Some(StateError::Poisoned { path: path.clone(), reason: reason.clone() });
        }
        if let Some(damage) = &self.damage {
            return Some(damage.clone().into());
        }
        let tail = self.tail.as_ref()?;
        if tail.version.major > FORMAT.major {
            return Some(journal::newer(&tail.path, tail.version));
        }
        let (seq, count) = self.position.unknown?;
        let detail = format!("{count} records are of an unknown kind");
        Some(StateError::UnknownContent { path: tail.path.clone(), seq, detail })
    }

    /// Whether another process changed the journal since it was last read. Three calls to the file system.
    pub fn changed(&self) -> Result<bool> {
        let (number, id, size) = self.newest;
        let Some((found, size_now)) = FileId::at(&self.layout.segment(number))?.filter(|_| !self.stale) else {
            return Ok(true);
        };
        let is_same = match &self.tail {
            // The room at its end is written to without its becoming longer.
            Some(tail) if tail.number == number && self.damage.is_none() => size_now >= tail.end && tail.is_at_end()?,
            _ => size_now == size,
        };
        Ok(found != id || !is_same || FileId::at(&self.layout.segment(number + 1))?.is_some())
    }

    /// Catches up with other processes, reading only what is new.
    pub fn refresh(&mut self) -> Result<()> {
        if self.changed()? { self.catch_up(false) } else { Ok(()) }
    }

    /// Takes the lock and catches up.
    pub fn lock(&mut self) -> Result<LockedStore<'_, M>> {
        LockedStore::acquire(self)
    }

    /// Takes the lock, catches up, runs `decide`, and makes durable what it recorded, all of it or nothing. If this
    /// returns an error, nothing was recorded.
    pub fn transact<T, E: From<StateError>>(
        &mut self,
        actor: &str,
        decide: impl FnOnce(&mut Transaction<'_, M>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.lock()?.transact(actor, decide)
    }

    /// Sees to it that everything read so far survives a power cut. A process that dies between its write and its sync
    /// leaves records that everybody reads and that are on no disk: nothing may be done outside for them before this.
    pub fn make_durable(&mut self) -> Result<()> {
        if self.durable >= self.seq() {
            return Ok(());
        }
        self.transact("", |_| Ok(()))
    }

    /// Reads the history after record `since`, as far as it is kept. Reading on after the end waits for nothing and goes on
    /// when there is more.
    pub fn events(&self, since: u64) -> Events {
        Events::open(self.dir(), since)
    }

    /// Replaces the fault plan of a running store. For tests.
    #[doc(hidden)]
    pub fn set_faults(&mut self, faults: Faults) {
        self.options.faults = faults;
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        tracing::warn!(%notice, "state");
        self.notices.push(notice);
    }

    /// Reads everything again from the newest checkpoint.
    pub(crate) fn reload(&mut self) -> Result<()> {
        let loaded = read_settled(&self.layout)?;
        self.position = loaded.position;
        self.tail = loaded.tail;
        self.newest = loaded.newest;
        self.stale = false;
        self.durable = 0;
        #[cfg(test)]
        {
            self.reloads += 1;
        }
        self.note_loaded(loaded.damage);
        Ok(())
    }

    fn note_loaded(&mut self, damage: Option<Damage>) {
        if let Some(Damage { path, offset, detail }) =
            damage.clone().filter(|damage| self.damage.as_ref() != Some(damage))
        {
            self.notice(Notice::Damaged { path, offset, detail });
        }
        self.damage = damage;
        if let Some((first, count)) = self.position.unknown {
            self.notice(Notice::UnknownFacts { first, count });
        }
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.version.major > FORMAT.major) {
            let found = tail.version.major;
            self.notice(Notice::NewerFormat { found, ours: FORMAT.major });
        }
    }

    /// Reads what other processes appended. Under the lock nobody is writing: an unfinished write is then a dead one, and
    /// is cut off.
    pub(crate) fn catch_up(&mut self, locked: bool) -> Result<()> {
        if self.stale || self.damage.is_some() || !self.read_on()? {
            self.reload()?;
        }
        if locked && self.damage.is_none() {
            self.cut_torn_tail()?;
        }
        Ok(())
    }

    /// Follows the segments from where we are; `false` if they do not continue what we have.
    fn read_on(&mut self) -> Result<bool> {
        loop {
            let Some(tail) = self.tail.as_mut() else {
                return Ok(false);
            };
            let next = tail.number + 1;
            // Asked first: a segment gets no more records once its successor exists.
            let successor = FileId::at(&self.layout.segment(next))?.is_some();
            let len = match FileId::at(&tail.path)? {
                Some((id, len)) if id == tail.id && len >= tail.end => len,
                _ => return Ok(false),
            };
            self.newest = (tail.number, tail.id, len);
            if !tail.is_same(self.position.chain)? {
                return Ok(false);
            }
            let bytes = tail.read_on(len)?;
            let unknown = self.position.unknown;
            let extent = replay::replay(&mut self.position, &bytes, |_| {});
            tail.advance(&extent, bytes.len());
            self.newest.2 = self.newest.2.max(tail.end);
            if extent.rest == Rest::Damaged || (successor && extent.rest == Rest::Torn) {
                return Ok(false);
            }
            if self.position.unknown != unknown
                && let Some((first, count)) = self.position.unknown
            {
                self.notice(Notice::UnknownFacts { first, count });
            }
            if !successor {
                return Ok(true);
            }
            if !self.enter(next)? {
                return Ok(false);
            }
        }
    }

    /// Goes on to the segment `next`, whose checkpoint we need not read if it stands where we stand.
    fn enter(&mut self, next: u64) -> Result<bool> {
        let path = self.layout.segment(next);
        let file = match files::open_read(&path) {
            Err(error) if error.is_missing_file() => return Ok(false),
            other => other?,
        };
        let id = FileId::of_file(&file, &path)?;
        let mut bytes = vec![0; HEADER_LEN + FRAME_HEADER_LEN];
        if std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).is_err() {
            return Ok(false);
        }
        let version = format::decode_header(&bytes);
        let frame = format::decode_frame_header(&bytes[HEADER_LEN..]);
        let (Some(version), Some(frame)) = (version, frame) else {
            return Ok(false);
        };
        if !frame.is_checkpoint() || frame.seq != self.position.seq || frame.previous != self.position.chain {
            return Ok(false);
        }
        if version.major > FORMAT.major {
            self.notice(Notice::NewerFormat { found: version.major, ours: FORMAT.major });
        }
        self.position.chain = frame.sum;
        self.tail = Some(Segment { path, id, file, bytes, len: 0 }.tail(next, version, &frame));
        self.rotate_at = self.options.rotate_bytes;
        Ok(true)
    }

    fn cut_torn_tail(&mut self) -> Result<()> {
        let refused = self.refusal().is_some();
        let Some(tail) = self.tail.as_mut() else {
            return Ok(());
        };
        // What a newer program's end looks like is not ours to judge.
        if tail.torn == 0 || refused {
            return Ok(());
        }
        let (path, bytes) = (tail.path.clone(), tail.torn);
        let cut = tail.cut();
        self.newest = (tail.number, tail.id, tail.end);
        cut.map_err(|error| self.failed(error))?;
        self.notice(Notice::TornTail { path, bytes });
        Ok(())
    }
}

/// Loads, and looks again before believing in damage or in a file that vanished while it was read.
fn read_settled<M: Machine>(layout: &Layout) -> Result<journal::Loaded<M>> {
    let mut attempt = 1;
    loop {
        match journal::load(layout) {
            // With nothing before the damage there is nothing to show: an empty machine would look as if nothing had
            // ever happened.
            Ok(journal::Loaded { tail: None, damage: Some(damage), .. }) if attempt == READ_ATTEMPTS => {
                return Err(damage.into());
            }
            Ok(loaded) if loaded.damage.is_none() || attempt == READ_ATTEMPTS => return Ok(loaded),
            Err(error) if attempt == READ_ATTEMPTS || !error.is_missing_file() => {
                return Err(error);
            }
            _ => attempt += 1,
        }
    }
}
