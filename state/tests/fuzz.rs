//! The journal and `state.json` with what nobody wrote: whatever is found there, the store opens, refuses or is repaired,
//! and neither panics nor hangs nor grows.

#[path = "../../lib/tests/fuzz/engine.rs"]
mod engine;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use engine::fuzz;
use pipeline_state::{Events, Machine, Options, Record, StateError, Store, read_snapshot, snapshot_edit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Takes any checkpoint and any fact.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Anything(Value);

impl Machine for Anything {
    type Fact = Value;

    fn apply(&mut self, record: &Record<Value>) {
        self.0 = record.fact.clone();
    }
}

fn room() -> tempfile::TempDir {
    let room = tempfile::tempdir().expect("a directory");
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o700)).expect("ours alone");
    room
}

#[test]
fn journals() {
    fuzz("journal", 150, |bytes| {
        let room = room();
        let dir = room.path();
        fs::write(dir.join("journal.000001"), bytes).expect("a journal");
        let add = |store: &mut Store<Anything>| {
            store.transact("fuzz", |transaction| {
                transaction.record(jiff::Timestamp::UNIX_EPOCH, Value::Bool(true));
                Ok::<_, StateError>(())
            })
        };
        drop(Store::<Anything>::check(dir));
        // One more than there are bytes: that nothing is there is told too.
        assert!(Events::open(dir, 0).count() <= bytes.len() + 1);
        if let Ok(mut store) = Store::<Anything>::open(dir, Options::default()) {
            let before = store.seq();
            if add(&mut store).is_ok() {
                let again = Store::<Anything>::open(dir, Options::default()).expect("it was written to");
                assert_eq!(again.seq(), before + 1, "what was acknowledged is there");
            }
        }
        if Store::<Anything>::repair(dir, Options::default()).is_ok() {
            let mut store = Store::<Anything>::open(dir, Options::default()).expect("it was repaired");
            add(&mut store).expect("what was repaired can be written");
        }
    });
}

#[test]
fn snapshots() {
    fuzz("state", 1_000, |bytes| {
        let room = room();
        fs::write(room.path().join("state.json"), bytes).expect("a snapshot");
        drop(read_snapshot::<Value>(room.path()));
        drop(snapshot_edit(room.path()));
    });
}
