//! Filling a new worktree from several threads, for the common case in which every file is written as it is stored.
//!
//! The library's own checkout writes one file after the other, which makes a large repository slow to start with.
//! Whatever could make a file differ from its blob, and whatever looks odd, is left to that checkout: this module then
//! says so and may have written part of the files already. It is not used on a worktree that holds anything.

use std::fs::{self, Metadata};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use git2::{IndexEntry, IndexTime, ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};

use super::backend::path;

/// Below this, threads cost more than they bring.
const FILES_MIN: usize = 256;
const THREADS_MAX: usize = 8;
const LINK: u32 = 0o120_000;

/// A file that is to be written.
struct Item {
    path: PathBuf,
    id: Oid,
    mode: u32,
}

/// What a tree holds, in an order in which a directory comes before what is in it.
#[derive(Default)]
struct Plan {
    folders: Vec<PathBuf>,
    files: Vec<Item>,
    links: Vec<Item>,
}

/// Writes the files and the index of an empty worktree. Says `false` if the library has to do it.
pub(super) fn fill(repo: &Repository, worktree: &Path) -> bool {
    match try_fill(repo, worktree) {
        Ok(filled) => filled,
        Err(error) => {
            tracing::debug!(%error, worktree = %worktree.display(), "the library fills this worktree");
            false
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn try_fill(repo: &Repository, worktree: &Path) -> Result<bool, Failure> {
    if converts(repo)? || !is_empty(worktree)? {
        return Ok(false);
    }
    let Some(plan) = plan(repo)? else { return Ok(false) };
    if plan.files.len() < FILES_MIN {
        return Ok(false);
    }
    for folder in &plan.folders {
        fs::create_dir(worktree.join(folder))?;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let share = plan.files.len().div_ceil(threads);
    let mut entries = std::thread::scope(|scope| {
        let work = |items| scope.spawn(move || write_files(worktree, items));
        let running = plan.files.chunks(share).map(work).collect::<Vec<_>>();
        let mut entries = Vec::with_capacity(plan.files.len() + plan.links.len());
        for thread in running {
            entries.extend(thread.join().map_err(|_| "a thread that writes files panicked")??);
        }
        Ok::<_, Failure>(entries)
    })?;
    // Links come last, so that no file can be written through one of them.
    for item in &plan.links {
        let target = worktree.join(&item.path);
        std::os::unix::fs::symlink(path(repo.find_blob(item.id)?.content()), &target)?;
        entries.push(entry(item, &target.symlink_metadata()?));
    }
    let mut index = repo.index()?;
    for entry in &entries {
        index.add(entry)?;
    }
    index.write()?;
    Ok(true)
}

/// Writes some of the files. A repository handle belongs to one thread, so that each opens its own.
fn write_files(worktree: &Path, items: &[Item]) -> Result<Vec<IndexEntry>, Failure> {
    let repo = Repository::open(worktree)?;
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        let blob = repo.find_blob(item.id)?;
        // Like git's, these modes are narrowed by the umask.
        let mode = if item.mode == 0o100_755 { 0o777 } else { 0o666 };
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(worktree.join(&item.path));
        let mut file = open?;
        file.write_all(blob.content())?;
        entries.push(entry(item, &file.metadata()?));
    }
    Ok(entries)
}

/// The line of the index for a file that was just written. Git keeps only the lower 32 bits of most numbers.
#[expect(clippy::cast_possible_truncation, reason = "the format of the index has 32 bits for these")]
fn entry(item: &Item, metadata: &Metadata) -> IndexEntry {
    use std::os::unix::ffi::OsStrExt as _;
    IndexEntry {
        ctime: IndexTime::new(metadata.ctime() as i32, metadata.ctime_nsec() as u32),
        mtime: IndexTime::new(metadata.mtime() as i32, metadata.mtime_nsec() as u32),
        dev: metadata.dev() as u32,
        ino: metadata.ino() as u32,
        mode: item.mode,
        uid: metadata.uid(),
        gid: metadata.gid(),
        file_size: metadata.size() as u32,
        id: item.id,
        flags: 0,
        flags_extended: 0,
        path: item.path.as_os_str().as_bytes().to_vec(),
    }
}

/// Reads the tree of HEAD; `None` if something in it needs the library's care.
fn plan(repo: &Repository) -> Result<Option<Plan>, git2::Error> {
    let mut plan = Plan::default();
    let mut odd = false;
    let walked = repo.head()?.peel_to_tree()?.walk(TreeWalkMode::PreOrder, |folder, found| {
        let name = found.name_bytes();
        let Ok(mode) = u32::try_from(found.filemode()) else {
            odd = true;
            return TreeWalkResult::Abort;
        };
        // An attributes file may ask for conversions; the other names are refused by every git.
        odd = matches!(name, b"" | b"." | b".." | b".gitattributes")
            || name.eq_ignore_ascii_case(b".git")
            || name.iter().any(|b| matches!(b, b'/' | b'\\' | b':' | 0))
            || !matches!((found.kind(), mode), (Some(ObjectType::Tree), _) | (_, 0o100_644 | 0o100_755 | LINK));
        if odd {
            return TreeWalkResult::Abort;
        }
        let full = Path::new(folder).join(path(name));
        let item = |path| Item { path, id: found.id(), mode };
        match (found.kind(), mode) {
            (Some(ObjectType::Tree), _) => plan.folders.push(full),
            (_, LINK) => plan.links.push(item(full)),
            _ => plan.files.push(item(full)),
        }
        TreeWalkResult::Ok
    });
    match walked {
        _ if odd => Ok(None),
        Ok(()) => Ok(Some(plan)),
        Err(error) => Err(error),
    }
}

/// Whether files of this repository may have to be converted on their way to disk.
fn converts(repo: &Repository) -> Result<bool, git2::Error> {
    let config = repo.config()?.snapshot()?;
    for key in ["core.autocrlf", "core.eol", "core.attributesfile", "core.symlinks", "core.filemode"] {
        let plain = match key {
            // These two are set to their default by git itself when it creates a repository.
            "core.filemode" | "core.symlinks" => config.get_bool(key).unwrap_or(true),
            _ => config.get_entry(key).is_err(),
        };
        if !plain {
            return Ok(true);
        }
    }
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let folders = [std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from), home];
    let users = folders.into_iter().flatten().map(|folder| folder.join("git/attributes"));
    let others = [repo.commondir().join("info/attributes"), PathBuf::from("/etc/gitattributes")];
    Ok(users.chain(others).any(|file| file.exists()))
}

fn is_empty(worktree: &Path) -> std::io::Result<bool> {
    for found in fs::read_dir(worktree)? {
        if found?.file_name() != ".git" {
            return Ok(false);
        }
    }
    Ok(true)
}
