//! A small machine for the tests of this crate, and the ways they damage a store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Machine, Options, Record, Result, StateError, Store};

/// Named counters, and every fact ever applied in order, so that a lost or invented one shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) values: BTreeMap<String, i64>,
    pub(crate) history: Vec<(u64, String, i64)>,
    /// Weight, to make checkpoints large.
    #[serde(default)]
    pub(crate) ballast: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Fact {
    Added { name: String, by: i64 },
    Loaded { ballast: String },
    Measured { value: f64 },
}

impl Machine for Counters {
    type Fact = Fact;

    fn apply(&mut self, record: &Record<Fact>) {
        match &record.fact {
            Fact::Added { name, by } => {
                *self.values.entry(name.clone()).or_default() += by;
                self.history.push((record.seq, name.clone(), *by));
            }
            Fact::Loaded { ballast } => self.ballast.clone_from(ballast),
            Fact::Measured { .. } => {}
        }
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

pub(crate) fn added(name: &str, by: i64) -> Fact {
    Fact::Added { name: name.to_owned(), by }
}

/// A store in its own directory.
pub(crate) struct Room {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) options: Options,
}

impl Room {
    pub(crate) fn new() -> Room {
        Room::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Room {
        let temp = tempfile::tempdir().unwrap();
        let room = Room { temp, options };
        drop(Store::<Counters>::init(&room.dir(), room.options.clone()).unwrap());
        room
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    pub(crate) fn open(&self) -> Store<Counters> {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Store<Counters>> {
        Store::open(&self.dir(), self.options.clone())
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.dir().join(format!("journal.{number:06}"))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        crate::layout::Layout::new(&self.dir()).names().unwrap()
    }
}

/// Commits one batch of these steps.
pub(crate) fn add(store: &mut Store<Counters>, name: &str, steps: &[i64]) -> Result<()> {
    store.transact("test", |tx| {
        for &by in steps {
            tx.record(now(), added(name, by));
        }
        Ok::<_, StateError>(())
    })
}

/// Copies a state directory's files, for damaging the copy.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    crate::files::create_private_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
