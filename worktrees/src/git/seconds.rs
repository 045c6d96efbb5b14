//! Seconds of changed files. Builds that know a file by its length and the second it was modified in, as Python's compiled
//! files do, must see that an update changed it: no file that an update writes keeps the second of what stood there
//! before, be it replaced or taken away. Where it would, it is made one second later; never earlier, so that `make`
//! builds anew.
//!
//! Whether and how files are written is decided elsewhere, and nothing but times is changed here.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::backend::{Checkout, Switch, TreeChange};
use super::{GitError, layout};

/// In the private git directory of a checkout: the latest second, since 1970, of the files that updates replaced there or
/// took away. It is what a file has to be later than whose own past is not known: one that is new, or was written by an
/// update that was cut short.
const LATEST: &str = "pipeline-seconds";
/// A clock that went wrong by more than this left a time that nothing is measured by.
const AHEAD_MAX: i64 = 60;

/// The seconds of the files that an update is about to change.
pub(super) struct Before {
    of: BTreeMap<PathBuf, i64>,
    latest: Option<i64>,
}

/// Looks at the files before they are changed, and keeps what has to be known if the update is cut short.
///
/// # Errors
/// When the record cannot be read or written.
pub(super) fn before(checkout: &Checkout, switch: &Switch) -> Result<Before, GitError> {
    let second = |change: &TreeChange| {
        let found = file(checkout, &change.path)?;
        Some((change.path.clone(), found.mtime()))
    };
    let of: BTreeMap<PathBuf, i64> = switch.open.iter().filter_map(second).collect();
    let now = seconds(SystemTime::now());
    let record = checkout.admin.join(LATEST);
    let known = layout::read_optional(&record)?.and_then(|text| text.trim().parse().ok());
    let latest = of.values().copied().filter(|second| *second <= now + AHEAD_MAX).chain(known).max();
    // For what is older than now no file can be taken that is written from now on. The clock of files may lag a little.
    if let Some(latest) = latest.filter(|latest| *latest >= now - 1 && Some(*latest) != known) {
        layout::replace(&record, format!("{latest}\n").as_bytes())?;
    }
    Ok(Before { of, latest: known })
}

/// Makes those files later that could be taken for what stood there before. An update that is done is not undone for it:
/// where it fails, that is logged.
pub(super) fn after(checkout: &Checkout, switch: &Switch, before: &Before) {
    for change in switch.open.iter().chain(&switch.settled).filter(|change| change.new.is_some()) {
        let past = before.of.get(&change.path).copied().or(before.latest);
        let (Some(found), Some(past)) = (file(checkout, &change.path), past) else { continue };
        if found.mtime() > past {
            continue;
        }
        let later = UNIX_EPOCH + Duration::from_secs(u64::try_from(past.saturating_add(1)).unwrap_or_default());
        let set = crate::beneath::open(&checkout.path, &change.path).and_then(|file| file.set_modified(later));
        if let Err(error) = set {
            let path = checkout.path.join(&change.path);
            tracing::warn!(%error, path = %path.display(), "a build may take this file for the one before");
        }
    }
}

fn file(checkout: &Checkout, path: &Path) -> Option<Metadata> {
    checkout.path.join(path).symlink_metadata().ok().filter(Metadata::is_file)
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
