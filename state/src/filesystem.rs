//! Whether the file system under the state directory keeps the promises the store is built on. It is asked by trying, not
//! by its name: unusual ones often work, and are refused only for what failed.

use std::path::Path;

use crate::error::{Result, StateError};
use crate::files;

/// File systems by the magic number of `statfs`, as far as they are worth naming to a person.
const NAMES: &[(u64, &str, bool)] = &[
    (0x6969, "nfs", true),
    (0x517b, "smb", true),
    (0xff53_4d42, "cifs", true),
    (0xfe53_4d42, "smb2", true),
    (0x00c3_6400, "ceph", true),
    (0x0102_1997, "9p", true),
    (0x6573_5546, "fuse", false),
    (0x794c_7630, "overlayfs", false),
    (0x0102_1994, "tmpfs", false),
    (0xef53, "ext", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xf2f5_2010, "f2fs", false),
];

/// What `statfs` says about the file system of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    pub name: String,
    /// Other machines may use it at the same time, which no lock of ours excludes.
    pub is_network: bool,
}

pub(crate) fn of(path: &Path) -> Result<FileSystem> {
    let stat = rustix::fs::statfs(path).map_err(|error| StateError::read(path)(error.into()))?;
    // The type's width differs between platforms, the magic is 32 bits everywhere.
    let magic = stat.f_type as u64 & 0xffff_ffff;
    Ok(match NAMES.iter().find(|(known, ..)| *known == magic) {
        Some((_, name, is_network)) => FileSystem { name: (*name).to_owned(), is_network: *is_network },
        None => FileSystem { name: format!("{magic:#x}"), is_network: false },
    })
}

/// How much there is room for on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What can still be written.
    pub free: u64,
    /// What it holds at all.
    pub size: u64,
}

/// The room on the file system of a directory.
///
/// # Errors
/// When it cannot be asked.
pub fn room(dir: &Path) -> Result<Room> {
    let stats = fs2::statvfs(dir).map_err(StateError::read(dir))?;
    Ok(Room { free: stats.available_space(), size: stats.total_space() })
}

/// Tries lock, sync and rename in the directory; the error says which of them failed.
pub fn probe(dir: &Path) -> Result<()> {
    let name = |suffix: &str| dir.join(format!(".probe-{}{suffix}", std::process::id()));
    let (one, two) = (name(""), name(".renamed"));
    files::remove_quietly(&one);
    let outcome = try_all(dir, &one, &two);
    files::remove_quietly(&one);
    files::remove_quietly(&two);
    outcome
}

fn try_all(dir: &Path, one: &Path, two: &Path) -> Result<()> {
    let file = files::create_new(one)?;
    let failed = |what: &str, error: std::io::Error| {
        let system = of(dir).map(|system| system.name).unwrap_or_default();
        StateError::refused(dir, format!("{what} does not work on this file system ({system}): {error}"))
    };
    fs2::FileExt::try_lock_exclusive(&file).map_err(|error| failed("locking", error))?;
    // A second descriptor must be kept out, or the lock is a pretence.
    let other = files::open_write(one)?;
    if fs2::FileExt::try_lock_exclusive(&other).is_ok() {
        return Err(failed("locking", std::io::Error::other("two owners got the same lock")));
    }
    std::os::unix::fs::FileExt::write_all_at(&file, b"probe", 0).map_err(StateError::write(one))?;
    file.sync_data().map_err(|error| failed("syncing", error))?;
    std::fs::rename(one, two).map_err(|error| failed("renaming", error))?;
    files::sync_dir(dir)
}
