//! The files of git's common directory that both backends and the library lack a call for: the entry of a linked
//! worktree, HEAD, and the marks of an operation under way. The layout is the one `gitrepository-layout(5)` documents.
//!
//! Nothing here reads objects or references.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pipeline_lib::ids::CommitId;

use super::GitError;
use super::backend::{Checkout, Head};
use super::orphans::DRAFTS;

/// The longest of the files that are read here.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What a reader wants to have room for behind the end of a file, in bytes.
const READ_ROOM: usize = 32;

/// The short name of a full branch reference.
pub(super) fn branch_name(full: &str) -> Option<String> {
    full.strip_prefix("refs/heads/").map(str::to_owned)
}

/// Reads `HEAD` of a private git directory. A repository without files for references is not read this way.
pub(super) fn read_head(admin: &Path) -> Result<Head, GitError> {
    let file = admin.join("HEAD");
    let content = read(&file).map_err(GitError::io("read", &file))?;
    let content = String::from_utf8_lossy(&content);
    Ok(match content.trim_end().strip_prefix("ref:") {
        Some(reference) => Head { reference: Some(reference.trim().to_owned()), commit: None },
        None => Head { reference: None, commit: Some(CommitId::from(content.trim_end().to_owned())) },
    })
}

/// The branch that `HEAD` of a private git directory names, as it is written there; none if there is no such file.
pub(super) fn head_branch(admin: &Path) -> Result<Option<String>, GitError> {
    let content = read_optional(&admin.join("HEAD"))?;
    Ok(content.and_then(|content| branch_name(content.trim_end().strip_prefix("ref:")?.trim())))
}

/// Opens a file that an agent may have made something else of: no pipe is waited for.
pub(super) fn open(file: &Path) -> std::io::Result<fs::File> {
    open_sized(file).map(|(found, _)| found)
}

/// The same with its size in bytes.
fn open_sized(file: &Path) -> std::io::Result<(fs::File, u64)> {
    let found =
        fs::File::options().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(file)?;
    let about = found.metadata()?;
    let regular = about.is_file().then_some((found, about.len()));
    regular.ok_or_else(|| std::io::Error::other("it is not a regular file"))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let (open, size) = open_sized(file)?;
    // Room for all of it and a little more: else it is read in many small steps.
    let room = usize::try_from(size.min(BYTES_MAX)).unwrap_or(0).saturating_add(READ_ROOM);
    let mut bytes = Vec::with_capacity(room);
    open.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other(format!("it is longer than {BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Reads a small file; `None` if there is none.
pub(super) fn read_optional(file: &Path) -> Result<Option<String>, GitError> {
    match read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(GitError::io("read", file)(error)),
    }
}

/// Removes a file or a directory of git's own, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), GitError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whether a path is absolute, all of it exists, and no part of it is a symbolic link. False where the system does not say.
pub(super) fn is_plain(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::path::Component;

        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

        let as_it_is = |part| matches!(part, Component::RootDir | Component::Normal(_));
        let is_normal = path.is_absolute()
            && path.components().all(as_it_is)
            && path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        is_normal && openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

/// Makes a path comparable: absolute, and without symbolic links in what exists of it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, GitError> {
    if is_plain(path) {
        return Ok(path.to_owned());
    }
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let path = std::path::absolute(path).map_err(GitError::io("resolve", path))?;
    Ok(match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => absolute(parent)?.join(name),
        _ => path,
    })
}

/// The worktree directory that an entry below `worktrees/` belongs to.
fn entry_path(admin: &Path) -> Result<Option<PathBuf>, GitError> {
    written_path(admin)?.as_deref().map(absolute).transpose()
}

/// The same as it is written, which need not be how others write it.
fn written_path(admin: &Path) -> Result<Option<PathBuf>, GitError> {
    let Some(content) = read_optional(&admin.join("gitdir"))? else { return Ok(None) };
    Ok(admin.join(content.trim_end()).parent().map(Path::to_owned))
}

/// Finds the entry of the linked worktree at an absolute path, whether or not the directory still exists.
pub(super) fn find_entry(common: &Path, path: &Path) -> Result<Option<Checkout>, GitError> {
    let leads_there = |admin: &PathBuf| match written_path(admin)? {
        Some(written) => Ok(written == path || absolute(&written)? == path),
        None => Ok(false),
    };
    let found = |admin| Some(Checkout { path: path.to_path_buf(), admin });
    // Entries are named after their worktrees wherever the name was free, so that one look mostly is enough.
    let likely = path.file_name().map(|name| common.join("worktrees").join(name));
    if let Some(admin) = likely
        && leads_there(&admin)?
    {
        return Ok(found(admin));
    }
    for admin in entries(common)? {
        if leads_there(&admin)? {
            return Ok(found(admin));
        }
    }
    Ok(None)
}

/// The entries of all linked worktrees, in the order of their names.
pub(super) fn entries(common: &Path) -> Result<Vec<PathBuf>, GitError> {
    let folder = common.join("worktrees");
    let listed = match fs::read_dir(&folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(GitError::io("list", &folder)(error)),
    };
    let entries = listed.map(|entry| Ok(entry.map_err(GitError::io("list", &folder))?.path()));
    let mut entries = entries.collect::<Result<Vec<_>, GitError>>()?;
    entries.sort();
    Ok(entries)
}

/// The worktree that an entry is about; `None` if it is none, or another process is removing it.
pub(super) fn read_entry(admin: PathBuf) -> Result<Option<Checkout>, GitError> {
    let complete = ["commondir", "HEAD"].iter().all(|name| admin.join(name).exists());
    let path = if complete { entry_path(&admin)? } else { None };
    Ok(path.map(|path| Checkout { path, admin }))
}

/// A name for a new entry, from the last part of its path, that no entry has.
pub(super) fn unused_name(common: &Path, path: &Path) -> String {
    let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let stem = last.chars().map(safe).take(60).collect::<String>();
    let stem = if stem.trim_matches('-').is_empty() { "worktree".to_owned() } else { stem };
    let taken = |name: &str| common.join("worktrees").join(name).symlink_metadata().is_ok();
    let numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
    std::iter::once(stem.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(stem)
}

/// Writes the entry of a detached, locked worktree and the `.git` file that leads to it.
///
/// The entry appears as a whole, by a rename, so that no reader meets half of one.
pub(super) fn write_entry(common: &Path, path: &Path, name: &str, at: &CommitId, reason: &str) -> Result<(), GitError> {
    let folder = common.join("worktrees");
    fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
    let draft = tempfile::Builder::new().prefix(DRAFTS[0]).tempdir_in(common);
    let draft = draft.map_err(GitError::io("create a directory in", common))?;
    let mut pointer = path.join(".git").into_os_string().into_encoded_bytes();
    pointer.push(b'\n');
    let files: [(&str, &[u8]); 4] = [
        ("locked", reason.as_bytes()),
        ("commondir", b"../..\n"),
        ("gitdir", &pointer),
        ("HEAD", &format!("{at}\n").into_bytes()),
    ];
    for (file, content) in files {
        let file = draft.path().join(file);
        let written = fs::File::create_new(&file).and_then(|mut open| {
            open.write_all(content)?;
            open.sync_all()
        });
        written.map_err(GitError::io("write", &file))?;
    }
    // A temporary directory is private; git's own directories follow the umask.
    let mode = fs::metadata(&folder).map_err(GitError::io("read", &folder))?.permissions();
    fs::set_permissions(draft.path(), mode).map_err(GitError::io("set the permissions of", draft.path()))?;
    let admin = folder.join(name);
    fs::rename(draft.keep(), &admin).map_err(GitError::io("create", &admin))?;
    write_pointer(&Checkout { path: path.to_path_buf(), admin })
}

/// Writes the `.git` file of a worktree.
pub(super) fn write_pointer(checkout: &Checkout) -> Result<(), GitError> {
    fs::create_dir_all(&checkout.path).map_err(GitError::io("create", &checkout.path))?;
    let mut content = b"gitdir: ".to_vec();
    content.extend_from_slice(checkout.admin.as_os_str().as_encoded_bytes());
    content.push(b'\n');
    exchange(checkout, &content)
}

/// Puts the `.git` file of a worktree in the place of whatever has its name, a link too: that is not followed. The unfinished
/// file is in the private git directory, where nobody takes it for work if we are killed.
pub(super) fn exchange(checkout: &Checkout, content: &[u8]) -> Result<(), GitError> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = checkout.path.join(".git");
    let write = |folder: &Path| {
        let mut draft = tempfile::Builder::new().prefix(DRAFTS[2]).tempfile_in(folder)?;
        draft.write_all(content)?;
        draft.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        draft.as_file().sync_all()?;
        draft.persist(&file).map_err(|error| error.error)?;
        Ok::<_, std::io::Error>(())
    };
    let written = match write(&checkout.admin) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => write(&checkout.path),
        written => written,
    };
    written.map_err(GitError::io("write", &file))
}

/// Replaces a file as a whole, keeping its permissions. After a power cut there is either one or the other.
pub(super) fn replace(file: &Path, content: &[u8]) -> Result<(), GitError> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let folder = file.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut draft = tempfile::Builder::new().prefix(DRAFTS[2]).tempfile_in(folder)?;
        draft.write_all(content)?;
        let permissions = match fs::metadata(&file) {
            Ok(metadata) => metadata.permissions(),
            Err(_) => fs::Permissions::from_mode(0o644),
        };
        draft.as_file().set_permissions(permissions)?;
        draft.as_file().sync_all()?;
        draft.persist(&file).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(GitError::io("write", &file))
}
