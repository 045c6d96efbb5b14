//! Worktrees in which nothing happened since git found nothing in them. What a command leaves is asked for after each one, and
//! most leave nothing: to see that every file is the one it was costs a fraction of asking git again.
//!
//! Only a worktree that holds nothing but tracked files, and not many, is ever known. Which files there are is looked at each
//! time, and each of them has to be the same in all that its [`Stamp`] tells, which is no less than what git compares before it
//! takes a file for unchanged. Whatever is not so is git's to judge.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pipeline_lib::ids::CommitId;

use super::backend::Checkout;
use super::layout;
use super::stamp::{Stamp, settled};

/// Above this many files git's own look at them is what takes the time, whoever asks.
const FILES_MAX: usize = 1_024;

/// What worktrees were like when git found nothing in them, by their paths.
#[derive(Debug, Default)]
pub(super) struct Untouched(RefCell<HashMap<PathBuf, Look>>);

/// A worktree as it is at one moment: the commit that it is compared with, and every file that git reads for that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    head: CommitId,
    stamps: Vec<Stamp>,
}

impl Look {
    /// Looks at a linked worktree; none where that would not be enough to know it again.
    pub(super) fn at(checkout: &Checkout, common: &Path, head: Option<&CommitId>) -> Option<Self> {
        let head = head.filter(|_| checkout.admin != common)?.clone();
        let index = checkout.admin.join("index");
        // First the index, so that it is no younger than the files.
        let mut stamps = vec![Stamp::of(&index), Stamp::of(&common.join("config"))];
        let tracked = entries(&index).filter(|tracked| *tracked <= FILES_MAX)?;
        let found = files(&checkout.path, tracked)?;
        (found.len() == tracked).then_some(())?;
        stamps.extend(found);
        Some(Self { head, stamps })
    }
}

impl Untouched {
    /// Whether git found nothing in a worktree when it looked like this.
    pub(super) fn is(&self, checkout: &Checkout, now: Option<&Look>) -> bool {
        now.is_some_and(|now| self.0.borrow().get(&checkout.path) == Some(now))
    }

    /// Remembers how a worktree looked just before git found nothing in it, if a later change would be seen.
    pub(super) fn remember(&self, checkout: &Checkout, before: Look) {
        if settled(&before.stamps) {
            self.0.borrow_mut().insert(checkout.path.clone(), before);
        }
    }
}

/// How many files an index says that it holds: the third number of its header, `gitformat-index(5)`.
fn entries(index: &Path) -> Option<usize> {
    let mut header = [0; 12];
    layout::open(index).ok()?.read_exact(&mut header).ok()?;
    let [b'D', b'I', b'R', b'C', _, _, _, _, a, b, c, d] = header else { return None };
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

/// The files of a worktree, in order; none if there are more than `max`, or if there is a repository among them.
fn files(worktree: &Path, max: usize) -> Option<Vec<Stamp>> {
    let mut found = Vec::new();
    let mut folders = vec![worktree.to_owned()];
    while let Some(folder) = folders.pop() {
        let is_top = folder == worktree;
        for entry in fs::read_dir(&folder).ok()? {
            let entry = entry.ok()?;
            match (entry.file_name() == ".git", entry.file_type().ok()?.is_dir()) {
                (true, _) if is_top => {}
                (true, _) => return None,
                (false, true) => folders.push(entry.path()),
                (false, false) if found.len() < max => found.push(Stamp::of_link(&entry.path())),
                (false, false) => return None,
            }
        }
    }
    found.sort_unstable_by(|one, other| one.file().cmp(other.file()));
    Some(found)
}
