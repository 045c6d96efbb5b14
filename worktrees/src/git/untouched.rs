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
    index: Stamp,
    config: Stamp,
    files: Vec<Stamp>,
}

impl Look {
    /// Looks at a linked worktree; none where that would not be enough to know it again.
    fn at(checkout: &Checkout, common: &Path, head: Option<&CommitId>, before: Option<&Self>) -> Option<Self> {
        let head = head.filter(|_| checkout.admin != common)?.clone();
        let file = checkout.admin.join("index");
        // First the index, so that it is no younger than the files.
        let (index, config) = (Stamp::of(&file), Stamp::of(&common.join("config")));
        let tracked = match before.filter(|before| before.index == index) {
            Some(before) => before.files.len(),
            None => entries(&file).filter(|tracked| *tracked <= FILES_MAX)?,
        };
        let files = files(&checkout.path, tracked)?;
        (files.len() == tracked).then_some(Self { head, index, config, files })
    }

    /// Whether a later change of any of the files will be seen.
    fn is_settled(&self) -> bool {
        settled([&self.index, &self.config].into_iter().chain(&self.files))
    }
}

impl Untouched {
    /// Looks at a worktree whose HEAD is at a commit, and says whether it is as it was when git found nothing in it.
    pub(super) fn look(&self, checkout: &Checkout, common: &Path, head: Option<&CommitId>) -> (bool, Option<Look>) {
        let known = self.0.borrow();
        let before = known.get(&checkout.path);
        let now = Look::at(checkout, common, head, before);
        (now.is_some() && now.as_ref() == before, now)
    }

    /// Remembers how a worktree looked just before git found nothing in it, if a later change would be seen.
    pub(super) fn remember(&self, checkout: &Checkout, before: Look) {
        if before.is_settled() {
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
