//! What we remember: a machine kept as a checksummed journal of facts under a lock, and its public snapshot `state.json`.
//! Knows no git, no process, no terminal and no scheduling rule; not even what a task is.
//!
//! Open a [`Store`], look at its machine, and change it by [`Store::transact`]: what that acknowledged survives any crash,
//! and what it refused never happened.

mod admin;
mod check;
mod error;
mod events;
mod files;
mod filesystem;
mod format;
mod journal;
mod layout;
mod lock;
mod locked;
mod machine;
mod past;
mod repair;
mod replay;
mod snapshot;
mod store;

pub use check::{Problem, ProblemKind, Report, SegmentReport};
pub use error::{ErrorKind, Notice, Result, StateError};
pub use events::Events;
pub use files::Faults;
pub use filesystem::{FileSystem, Room, probe, room};
pub use lock::{LockGuard, Locker, read_holder};
pub use locked::{LockedStore, Transaction};
pub use machine::{Machine, Record};
pub use repair::{Repaired, RepairedSegment};
pub use snapshot::{read_snapshot, render as render_snapshot, snapshot_edit};
pub use store::{Options, Store};

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod testing;
