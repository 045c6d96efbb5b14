//! What git holds survives a power cut: an object and a reference are on disk before they get their names, and the files of
//! a checkout before it counts as brought up to date. Git itself promises neither unless it is told to, and leaves objects
//! and files that are there and empty.
//!
//! What has to be durable at which moment is decided elsewhere.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;

use git2::{ConfigLevel, Repository};

use super::backend::Checkout;
use super::{GitError, Repo, layout};
use crate::{beneath, disk};

/// An index begins with its signature and its version.
const INDEX_BEGIN_BYTES: usize = 8;
/// An index may end in a checksum of zeros, and an entry before it in a few more; not in so many.
const INDEX_END_BYTES: usize = 96;
/// So many files are synced one by one.
const FILES_MAX: usize = 64;
/// What makes the library sync objects and references, with the folders that name them. It reads it from files only.
const SETTING: &[u8] = b"[core]\n\tfsyncObjectFiles = true\n";

/// Has the library sync what it writes to a repository, whatever is configured there. Must come before anything is read
/// from its objects and references, because the library looks only once.
pub(super) fn careful(repo: Repository) -> Result<Repository, git2::Error> {
    // Stays open as long as the process lives: the library looks at it again, and must not find another file there.
    static OPEN: OnceLock<Option<File>> = OnceLock::new();
    let setting = || file_of_setting().inspect_err(|error| tracing::warn!(%error, "git does not sync what it writes"));
    let Some(file) = OPEN.get_or_init(|| setting().ok()) else { return Ok(repo) };
    repo.config()?.add_file(Path::new(&format!("/dev/fd/{}", file.as_raw_fd())), ConfigLevel::App, true)?;
    Ok(repo)
}

/// A file without a name: none that an agent could change, and none that is left behind. It takes no room on a disk.
fn file_of_setting() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let file = File::from(rustix::fs::memfd_create("setting", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let file = tempfile::tempfile()?;
    file.write_all_at(SETTING, 0)?;
    Ok(file)
}

/// Waits until everything that anybody wrote to the file system of a directory is on disk. For many files this costs far
/// less than a sync of each, and those of git programs that agents ran are among them.
pub(super) fn sync_all_on(dir: &Path) -> Result<(), GitError> {
    disk::sync_all_on(dir).map_err(GitError::io("make durable", dir))
}

/// Waits until the names in a folder are on disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), GitError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(GitError::io("make durable", folder))
}

/// Waits until these files of a checkout are on disk, with the folders that name them. Where they are few, nobody waits for
/// what others write to the file system, which may be much where something is being built.
pub(super) fn sync_changed<'p>(root: &Path, changed: impl Iterator<Item = &'p Path>) -> Result<(), GitError> {
    let changed: Vec<&Path> = changed.collect();
    if changed.len() > FILES_MAX {
        return sync_all_on(root);
    }
    let sync = |file: io::Result<File>, path: &Path| match file {
        Ok(file) => file.sync_all().map_err(GitError::io("make durable", &root.join(path))),
        // It was taken away, or is a link, which is all in its name.
        Err(_) => Ok(()),
    };
    let mut folders = BTreeSet::new();
    for path in changed {
        sync(beneath::open(root, path), path)?;
        folders.extend(path.ancestors().skip(1));
    }
    folders.into_iter().try_for_each(|folder| sync(File::open(root.join(folder)), folder))
}

/// Whether an index begins or ends with what nobody wrote.
fn is_lost(index: &Path) -> io::Result<bool> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let opened = std::os::unix::fs::OpenOptionsExt::custom_flags(File::options().read(true), flags).open(index);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(false);
    }
    let mut bytes = [0; INDEX_END_BYTES];
    let room = &mut bytes[..INDEX_END_BYTES.min(usize::try_from(found.len()).unwrap_or(INDEX_END_BYTES))];
    file.read_exact_at(room, 0)?;
    if disk::is_void(&room[..room.len().min(INDEX_BEGIN_BYTES)]) {
        return Ok(true);
    }
    file.read_exact_at(room, found.len().saturating_sub(room.len() as u64))?;
    Ok(disk::is_void(room))
}

impl Repo {
    /// Waits until what is in a worktree and what was committed there, by whatever program, is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make_durable(&self, worktree: &Path) -> Result<(), GitError> {
        sync_all_on(&self.common)?;
        // It may be on another file system; where it is not, nothing is left to do.
        if worktree.is_dir() { sync_all_on(worktree) } else { Ok(()) }
    }

    /// Makes the index of a checkout anew where a power cut left nothing of it, or not its beginning or its end: neither the
    /// library nor git syncs it. It is that of HEAD then, and no file of the checkout changes. What was added to it is in the
    /// files.
    pub(super) fn mend_index(&self, checkout: &Checkout) -> Result<(), GitError> {
        let index = checkout.admin.join("index");
        if !is_lost(&index).map_err(GitError::io("read", &index))? {
            return Ok(());
        }
        tracing::warn!(index = %index.display(), "a power cut left nothing of the index, which is made anew");
        // Not by a name that begins as our own locks do: theirs stay, and git's is in nobody's way once its owner is gone.
        let draft = checkout.admin.join("index.mending");
        // Whoever was at it before was killed, or is about to fail: one process at a time works on the repository.
        layout::remove(&checkout.admin.join("index.mending.lock"))?;
        layout::remove(&draft)?;
        self.git_in(checkout).env("GIT_INDEX_FILE", &draft).args(["read-tree", "HEAD"]).run()?;
        std::fs::rename(&draft, &index).map_err(GitError::io("replace", &index))
    }
}
