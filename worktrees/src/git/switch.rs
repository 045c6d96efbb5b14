//! Bringing the files of a checkout from one commit to another without losing anything.
//!
//! The plan is made before the first file is touched. Whether a checkout should be moved at all, and what happens to
//! HEAD and to branches, is decided elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pipeline_lib::ids::CommitId;

use super::backend::{Checkout, Differences, Switch, TreeChange, text};
use super::process::Git;
use super::{GitError, Repo, durable, layout, seconds};
use crate::disk;

/// In the private git directory of a checkout while its files are updated: from which commit to which. Updates that were cut
/// short stand before the present one: what they left is in the way of a later one until that writes the same files.
const UNDERWAY: &str = "pipeline-update";
/// Of more updates that were cut short the oldest are forgotten.
const UNDERWAY_MAX: usize = 32;
/// The mode of a path that is another repository.
const SUBMODULE: u32 = 0o160_000;

impl Repo {
    /// Updates the files as planned. The lock of the index is looked at first, because the library only meets it after
    /// it has written the files.
    pub(super) fn apply(&self, checkout: &Checkout, switch: &Switch) -> Result<(), GitError> {
        let lock = checkout.admin.join("index.lock");
        if lock.exists() {
            return Err(GitError::Locked { file: lock });
        }
        if !switch.settled.is_empty() || !switch.open.is_empty() {
            let before = seconds::before(checkout, switch)?;
            let earlier = updates(checkout)?;
            begin(checkout, &earlier, switch)?;
            match self.backend.switch(checkout, switch) {
                // What is in the way was found before anything was written.
                Err(error @ GitError::Dirty { .. }) => {
                    note(checkout, &earlier)?;
                    return Err(error);
                }
                other => other?,
            }
            seconds::after(checkout, switch, &before);
            // Until they are on disk, an update counts as cut short.
            let changed = switch.open.iter().chain(&switch.settled).map(|change| change.path.as_path());
            durable::sync_changed(&checkout.path, changed)?;
            // A person's own git has no use for an index that a power cut took, and mends none.
            if checkout.path == self.main {
                durable::sync_changed(&checkout.admin, std::iter::once(Path::new("index")))?;
            }
        }
        self.end(checkout, switch)
    }

    /// That an update is made. One that was cut short before is over as well once none of its files is left as it was.
    fn end(&self, checkout: &Checkout, switch: &Switch) -> Result<(), GitError> {
        let all = updates(checkout)?;
        if all.is_empty() {
            return Ok(());
        }
        let written: BTreeSet<&Path> =
            switch.open.iter().chain(&switch.settled).map(|change| change.path.as_path()).collect();
        let mut open = Vec::new();
        for update in all.into_iter().filter(|(from, to)| (from, to) != (&switch.from, &switch.to)) {
            if self.changes_of(&update)?.iter().any(|change| !written.contains(change.path.as_path())) {
                open.push(update);
            }
        }
        note(checkout, &open)
    }

    /// What an update was about to write. Commits that are gone cannot have been meant by anything that still counts.
    fn changes_of(&self, (from, to): &(CommitId, CommitId)) -> Result<Vec<TreeChange>, GitError> {
        match self.tree_of(from).and_then(|from| Ok((from, self.tree_of(to)?))) {
            Ok((from, to)) => self.backend.diff(&from, &to, false),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// What updates that were cut short were about to write. Git writes into the files themselves, or takes them away
    /// first, so that one of them may hold only the beginning of what it was to become.
    fn cut_short(&self, checkout: &Checkout) -> Result<Vec<TreeChange>, GitError> {
        let mut changes = Vec::new();
        for update in updates(checkout)? {
            changes.extend(self.changes_of(&update)?);
        }
        Ok(changes)
    }

    /// Whether a path is as updates left it that were cut short: gone, or with a beginning of what one of them was to make of
    /// it, and in the index what one of them found or made, which after a power cut need not be the same one. Nobody's words
    /// are lost when it is written again.
    fn is_torn(&self, checkout: &Checkout, path: &Path, cut_short: &[TreeChange]) -> Result<bool, GitError> {
        let changes: Vec<&TreeChange> = cut_short.iter().filter(|change| change.path == path).collect();
        let mut made =
            changes.iter().filter_map(|change| change.new.as_ref()).filter(|new| new.mode != SUBMODULE).peekable();
        if made.peek().is_none() {
            return Ok(false);
        }
        let indexed = self.backend.indexed(checkout, path)?;
        let is_known = |change: &&TreeChange| indexed == change.old || indexed == change.new;
        if indexed.is_some() && !changes.iter().any(is_known) {
            return Ok(false);
        }
        let full = checkout.path.join(path);
        let found = match full.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            found => found.map_err(GitError::io("read", &full))?,
        };
        if !found.is_file() {
            return Ok(false);
        }
        let mut written = Vec::new();
        let Ok(mut file) = crate::beneath::open(&checkout.path, path) else { return Ok(false) };
        file.read_to_end(&mut written).map_err(GitError::io("read", &full))?;
        // Line ends may be written in another way than they are stored.
        let stored = |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<_>>();
        for new in made {
            let whole = Git::new(&self.main).args(["cat-file", "blob", &new.id]).run()?;
            if disk::is_left_of(&whole, &written) || disk::is_left_of(&stored(&whole), &stored(&written)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds out whether a checkout can be brought from one commit to another without losing anything, whatever else is
    /// changed in it: no path that differs between the commits may hold work, be it changed, untracked or ignored.
    ///
    /// A path that already is what it is to become is no obstacle. This is how an update that was cut short completes.
    pub(super) fn plan(
        &self,
        checkout: &Checkout,
        differences: &Differences,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Switch, GitError> {
        let changes = match from == to {
            true => Vec::new(),
            false => self.backend.diff(&self.tree_of(from)?, &self.tree_of(to)?, false)?,
        };
        let mut switch =
            Switch { from: from.clone(), to: to.clone(), settled: Vec::new(), open: Vec::new(), verified: false };
        let dirty =
            differences.changed.iter().chain(&differences.untracked).map(PathBuf::as_path).collect::<BTreeSet<_>>();
        let touched = changes.iter().map(|change| change.path.as_path()).collect::<BTreeSet<_>>();
        let cut_short = self.cut_short(checkout)?;
        let mut blocked = BTreeSet::new();
        for change in &changes {
            let obstacles = obstacles(checkout, change, &dirty, &touched)?;
            if obstacles.is_empty() {
                switch.open.push(change.clone());
            } else if obstacles.iter().all(|path| *path == change.path)
                && (self.is_settled(checkout, change)? || self.is_torn(checkout, &change.path, &cut_short)?)
            {
                switch.settled.push(change.clone());
            } else {
                blocked.extend(obstacles.iter().map(|path| text(path)));
            }
        }
        if blocked.is_empty() {
            Ok(switch)
        } else {
            Err(GitError::Dirty { path: checkout.path.clone(), files: blocked.into_iter().collect() })
        }
    }

    /// Puts files of a worktree back of which a power cut left less than what was committed there: a commit is on disk before
    /// its files are. Nothing of them is lost, since HEAD has all that they hold.
    ///
    /// # Errors
    /// When the worktree cannot be read or written.
    pub fn put_back_lost(&self, worktree: &Path) -> Result<(), GitError> {
        let checkout = self.checkout(worktree)?;
        let mut lost = Vec::new();
        for path in self.differences(&checkout)?.changed {
            let Some(whole) = self.committed(&checkout, &path)? else { continue };
            let full = checkout.path.join(&path);
            let found = match full.symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Vec::new()),
                Ok(found) if found.is_file() => {
                    crate::beneath::open(&checkout.path, &path).ok().and_then(|mut file| {
                        let mut bytes = Vec::new();
                        file.read_to_end(&mut bytes).is_ok().then_some(bytes)
                    })
                }
                _ => None,
            };
            if found.is_some_and(|found| found != whole && disk::is_left_of(&whole, &found)) {
                lost.push(path);
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        tracing::warn!(worktree = %checkout.path.display(), files = ?lost, "a power cut took what was committed: put back");
        let mut names = Vec::new();
        for path in &lost {
            names.extend_from_slice(path.as_os_str().as_encoded_bytes());
            names.push(0);
        }
        let git = self.git_in(&checkout).env("GIT_LITERAL_PATHSPECS", "1").input(names);
        git.args(["checkout", "-q", "--pathspec-from-file=-", "--pathspec-file-nul", "HEAD"]).run().map(drop)
    }

    /// What HEAD of a checkout has for a path, if that is a file.
    fn committed(&self, checkout: &Checkout, path: &Path) -> Result<Option<Vec<u8>>, GitError> {
        let listed = self.git_in(checkout).args(["ls-tree", "-z", "--full-tree", "HEAD", "--"]).arg(path).run()?;
        let record = String::from_utf8_lossy(&listed).into_owned();
        let fields: Vec<&str> = record.split('\t').next().unwrap_or_default().split(' ').collect();
        match fields[..] {
            ["100644" | "100755", "blob", id] => Git::new(&self.main).args(["cat-file", "blob", id]).run().map(Some),
            _ => Ok(None),
        }
    }

    /// A git command in this checkout, whatever its files say of where that is.
    pub(super) fn git_in(&self, checkout: &Checkout) -> Git {
        let git = Git::new(&checkout.path).env("GIT_DIR", &checkout.admin).env("GIT_COMMON_DIR", &self.common);
        git.env("GIT_WORK_TREE", &checkout.path)
    }

    /// Finds out which paths of an update that was made can be taken back: those nobody has touched since.
    pub(super) fn plan_back(&self, checkout: &Checkout, done: &Switch) -> Result<Switch, GitError> {
        let changes = self.backend.diff(&self.tree_of(&done.to)?, &self.tree_of(&done.from)?, false)?;
        let mut open = Vec::new();
        for change in changes {
            if self.backend.on_disk(checkout, &change.path)? == change.old {
                open.push(change);
            }
        }
        Ok(Switch { from: done.to.clone(), to: done.from.clone(), settled: Vec::new(), open, verified: true })
    }

    /// Whether a path already is what the change makes of it, and the index holds no third version.
    ///
    /// So is a new file that is there and empty: it holds nothing that could be lost, and it is what an update leaves
    /// that was killed between creating the file and filling it.
    fn is_settled(&self, checkout: &Checkout, change: &TreeChange) -> Result<bool, GitError> {
        let full = checkout.path.join(&change.path);
        let is_empty = || full.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == 0);
        let indexed = self.backend.indexed(checkout, &change.path)?;
        if indexed.is_none() && change.old.is_none() && change.new.is_some() && is_empty() {
            return Ok(true);
        }
        let is_known = indexed.is_none() || indexed == change.old || indexed == change.new;
        Ok(is_known && self.backend.on_disk(checkout, &change.path)? == change.new)
    }
}

/// The updates that are under way or were cut short, the oldest first.
fn updates(checkout: &Checkout) -> Result<Vec<(CommitId, CommitId)>, GitError> {
    let record = layout::read_optional(&checkout.admin.join(UNDERWAY))?.unwrap_or_default();
    let update = |line: &str| {
        let (from, to) = line.split_once(' ')?;
        Some((CommitId::from(from.to_owned()), CommitId::from(to.trim().to_owned())))
    };
    Ok(record.lines().filter_map(update).collect())
}

/// Writes down what is about to be written.
fn begin(checkout: &Checkout, earlier: &[(CommitId, CommitId)], switch: &Switch) -> Result<(), GitError> {
    let this = (switch.from.clone(), switch.to.clone());
    let mut all: Vec<_> = earlier.iter().filter(|update| **update != this).cloned().collect();
    all.push(this);
    note(checkout, all.get(all.len().saturating_sub(UNDERWAY_MAX)..).unwrap_or_default())
}

/// Writes down which updates are under way or were cut short.
fn note(checkout: &Checkout, updates: &[(CommitId, CommitId)]) -> Result<(), GitError> {
    let record = checkout.admin.join(UNDERWAY);
    if updates.is_empty() {
        return if record.exists() { layout::remove(&record) } else { Ok(()) };
    }
    let text: String = updates.iter().map(|(from, to)| format!("{from} {to}\n")).collect();
    layout::replace(&record, text.as_bytes())
}

/// The paths on disk that hold something which is not in the old commit and that the change would replace.
fn obstacles(
    checkout: &Checkout,
    change: &TreeChange,
    dirty: &BTreeSet<&Path>,
    touched: &BTreeSet<&Path>,
) -> Result<Vec<PathBuf>, GitError> {
    let path = change.path.as_path();
    let mut found = BTreeSet::new();
    found.extend(path.ancestors().filter(|above| dirty.contains(above)).map(Path::to_path_buf));
    if change.new.is_some() {
        // Paths are ordered by their components, so that what is below a directory follows it directly.
        let below = dirty.range(path..).take_while(|other| other.starts_with(path));
        found.extend(below.map(|other| other.to_path_buf()));
        found.extend(ignored_obstacles(checkout, change, touched)?);
    }
    Ok(found.into_iter().collect())
}

/// Files in the way of a change that git's status does not list because they are ignored.
fn ignored_obstacles(
    checkout: &Checkout,
    change: &TreeChange,
    touched: &BTreeSet<&Path>,
) -> Result<Vec<PathBuf>, GitError> {
    for above in change.path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        let in_the_way = checkout.path.join(above).symlink_metadata().is_ok_and(|metadata| !metadata.is_dir());
        if in_the_way && !touched.contains(above) {
            return Ok(vec![above.to_path_buf()]);
        }
    }
    let full = checkout.path.join(&change.path);
    let mut found = Vec::new();
    match full.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let is_submodule = change.old.as_ref().or(change.new.as_ref()).is_some_and(|entry| entry.mode == SUBMODULE);
            if !is_submodule {
                untouched_below(&checkout.path, &change.path, touched, &mut found)?;
            }
        }
        Ok(_) if change.old.is_none() => found.push(change.path.clone()),
        _ => {}
    }
    Ok(found)
}

/// The files below a directory that are not part of the change.
fn untouched_below(
    top: &Path,
    folder: &Path,
    touched: &BTreeSet<&Path>,
    found: &mut Vec<PathBuf>,
) -> Result<(), GitError> {
    let full = top.join(folder);
    for entry in fs::read_dir(&full).map_err(GitError::io("list", &full))? {
        let entry = entry.map_err(GitError::io("list", &full))?;
        let path = folder.join(entry.file_name());
        if entry.file_type().map_err(GitError::io("read", &full))?.is_dir() {
            untouched_below(top, &path, touched, found)?;
        } else if !touched.contains(path.as_path()) {
            found.push(path);
        }
    }
    Ok(())
}
