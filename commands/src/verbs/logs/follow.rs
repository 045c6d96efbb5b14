//! Waiting for a file to grow: a notice wakes at once where one comes, and a look at least every half second is made where
//! none does, since a log that stays open brings none.

use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use pipeline_worktrees::watch::Watcher;

/// How often it looks where no notice comes.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Waits for something to happen in a directory.
#[derive(Debug)]
pub(super) struct Growth {
    receiver: Receiver<()>,
    watcher: Watcher<()>,
}

impl Growth {
    /// Begins before the first reading, so that nothing comes between.
    pub(super) fn of(dir: &Path) -> Self {
        let (sender, receiver) = mpsc::channel();
        // The receiver is gone only when nobody waits any more.
        let mut watcher = Watcher::new(move |_| sender.send(()).unwrap_or_default());
        if let Err(error) = watcher.watch(dir, ()) {
            tracing::debug!(%error, "a log is followed without notices");
        }
        Self { receiver, watcher }
    }

    /// Returns when something may have been written.
    pub(super) fn wait(&mut self) {
        // A timeout is a look without a notice.
        self.receiver.recv_timeout(LOOK_AGAIN).unwrap_or_default();
        while self.receiver.try_recv().is_ok() {}
        self.watcher.rearm();
    }
}
