//! Beginning a store and starting over. Nothing is deleted: what was there moves aside.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Result, StateError};
use crate::files;
use crate::filesystem;
use crate::journal;
use crate::layout::{self, Layout};
use crate::lock::Locker;
use crate::machine::Machine;
use crate::replay::Position;
use crate::store::{Options, Store};

impl<M: Machine> Store<M> {
    /// Makes the directory and an empty store in it, after trying that this file system can lock, sync and rename.
    pub fn init(dir: &Path, options: Options) -> Result<Store<M>> {
        files::create_private_dir(dir)?;
        filesystem::probe(dir)?;
        let layout = Layout::new(dir);
        let locker = Locker::new(layout.lock(), options.command.clone());
        let guard = locker.acquire(options.lock_timeout)?;
        // A snapshot alone means a lost journal, which beginning anew would hide; `reset` sets it aside first.
        if !layout.segments()?.is_empty() || layout.snapshot().exists() {
            return Err(StateError::AlreadyInitialised { dir: dir.to_owned() });
        }
        guard.verify()?;
        journal::create_segment(&layout, 1, &Position::<M>::origin(), options.room_bytes)?;
        drop(guard);
        Store::open(dir, options)
    }

    /// Moves everything but the lock into `state.backup-<time>` beside the directory, begins an empty store, and returns
    /// where the old one is.
    pub fn reset(dir: &Path, options: Options) -> Result<PathBuf> {
        files::check_dir(dir)?;
        let layout = Layout::new(dir);
        let locker = Locker::new(layout.lock(), options.command);
        let guard = locker.acquire(options.lock_timeout)?;
        guard.verify()?;
        let mut backup = dir.as_os_str().to_owned();
        backup.push(format!(".backup-{}", layout::stamp()));
        let backup = layout::free_name(Path::new(&backup))?;
        files::create_private_dir(&backup)?;
        let mut names = layout.names()?;
        names.retain(|name| name != "state.lock");
        // The newest segment last: until it is gone, an interrupted reset leaves a store that opens as it was.
        names.sort_by_key(|name| layout::segment_number(name));
        for name in names {
            let from = dir.join(&name);
            fs::rename(&from, backup.join(&name)).map_err(StateError::write(&from))?;
        }
        files::sync_dir(&backup)?;
        journal::create_segment(&layout, 1, &Position::<M>::origin(), options.room_bytes)?;
        Ok(backup)
    }
}
