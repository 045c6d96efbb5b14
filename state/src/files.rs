//! Opening, writing and syncing files so that a planted symlink, a foreign owner or the umask cannot surprise us.
//! Knows nothing of what the files mean.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{Result, StateError};

/// How much is read at first where it is not known how much there is, and how much at most at once.
const PIECE_BYTES_MIN: usize = 4 << 10;
const PIECE_BYTES_MAX: usize = 1 << 20;
const ZEROS_AT_ONCE: usize = 512;

/// Which file a name led to when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(crate) fn of(meta: &fs::Metadata) -> FileId {
        FileId { dev: meta.dev(), ino: meta.ino() }
    }

    pub(crate) fn of_file(file: &File, path: &Path) -> Result<FileId> {
        Ok(FileId::of(&file.metadata().map_err(StateError::read(path))?))
    }

    /// `None` if nothing has this name.
    pub(crate) fn at(path: &Path) -> Result<Option<(FileId, u64)>> {
        match fs::symlink_metadata(path) {
            Ok(meta) => Ok(Some((FileId::of(&meta), meta.len()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::read(path)(error)),
        }
    }
}

/// Where writes and syncs go through. The fields are a seam for tests: a full or failing disk cannot be had portably.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Journal bytes that may still be written before the disk counts as full.
    pub fail_write_after: Option<u64>,
    /// Journal syncs that may still succeed before one fails.
    pub fail_sync_after: Option<u32>,
}

impl Faults {
    pub(crate) fn write_all_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some(left) = self.fail_write_after else {
            return file.write_all_at(bytes, offset);
        };
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        file.write_all_at(&bytes[..allowed], offset)?;
        self.fail_write_after = Some(left - allowed as u64);
        if allowed < bytes.len() { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    pub(crate) fn sync_data(&mut self, file: &File) -> io::Result<()> {
        match &mut self.fail_sync_after {
            Some(0) => return Err(io::Error::other("injected sync failure")),
            Some(left) => *left -= 1,
            None => {}
        }
        file.sync_data()
    }
}

/// Opens an existing regular file for reading. A missing file is an ordinary [`StateError::Read`].
pub(crate) fn open_read(path: &Path) -> Result<File> {
    open_checked(path, OFlags::RDONLY).map_err(|error| refuse_or(path, error, StateError::read(path)))
}

/// Opens an existing regular file for reading and writing, never truncating it.
pub(crate) fn open_write(path: &Path) -> Result<File> {
    open_checked(path, OFlags::RDWR).map_err(|error| refuse_or(path, error, StateError::write(path)))
}

/// Creates a file that must not exist yet, readable and writable by the owner alone whatever the umask.
pub(crate) fn create_new(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|error| StateError::write(path)(error.into()))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(StateError::write(path))?;
    Ok(file)
}

enum OpenError {
    Io(io::Error),
    Refused(String),
}

fn refuse_or(path: &Path, error: OpenError, other: impl FnOnce(io::Error) -> StateError) -> StateError {
    match error {
        OpenError::Io(source) => other(source),
        OpenError::Refused(why) => StateError::refused(path, why),
    }
}

fn open_checked(path: &Path, access: OFlags) -> Result<File, OpenError> {
    // NONBLOCK so that a FIFO in the file's place is refused instead of waited for.
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::LOOP) => {
            return Err(OpenError::Refused("it is a symbolic link".to_owned()));
        }
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::NXIO) => {
            return Err(OpenError::Refused("it is not a regular file".to_owned()));
        }
        Err(error) => return Err(OpenError::Io(error.into())),
    };
    let meta = file.metadata().map_err(OpenError::Io)?;
    match objection(&meta) {
        Some(why) => Err(OpenError::Refused(why)),
        None => Ok(file),
    }
}

/// Why a file with this metadata cannot be ours.
pub(crate) fn objection(meta: &fs::Metadata) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if meta.file_type().is_symlink() {
        Some("it is a symbolic link".to_owned())
    } else if !meta.is_file() {
        Some("it is not a regular file".to_owned())
    } else if meta.uid() != us {
        Some(format!("it belongs to user {}, not to user {us}", meta.uid()))
    } else if meta.nlink() != 1 {
        Some("it has more than one name (a hard link)".to_owned())
    } else {
        None
    }
}

/// Creates the directory, private to the owner whatever the umask. Its parents get the usual mode.
pub(crate) fn create_private_dir(dir: &Path) -> Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(StateError::write(parent))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {
            fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(StateError::write(dir))?;
            dir.parent().map_or(Ok(()), sync_dir)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_dir(dir),
        Err(error) => Err(StateError::write(dir)(error)),
    }
}

/// Refuses a directory that is a link, or another user's.
pub(crate) fn check_dir(dir: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(dir).map_err(StateError::read(dir))?;
    let us = rustix::process::geteuid().as_raw();
    if !meta.is_dir() {
        return Err(StateError::refused(dir, "it is not a directory"));
    }
    if meta.uid() != us {
        return Err(StateError::refused(dir, format!("it belongs to user {}, not to user {us}", meta.uid())));
    }
    Ok(())
}

/// Makes names in the directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|file| file.sync_all()).map_err(StateError::write(dir))
}

/// Replaces `path` by `bytes` so that a reader, or a power cut, finds the old or the new file, whole. Only one process
/// may do so at a time: the temporary name is fixed, so that a crash leaves at most one behind.
pub(crate) fn replace(path: &Path, tmp: &Path, bytes: &[u8]) -> Result<()> {
    write_tmp(tmp, bytes)?;
    commit_tmp(path, tmp)
}

/// The first half of [`replace`]: the bytes are durable under the temporary name.
pub(crate) fn write_tmp(tmp: &Path, bytes: &[u8]) -> Result<File> {
    match fs::remove_file(tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StateError::write(tmp)(error));
        }
        _ => {}
    }
    let file = create_new(tmp)?;
    let written = file.write_all_at(bytes, 0).and_then(|()| file.sync_all());
    written.map_err(|error| {
        remove_quietly(tmp);
        StateError::write(tmp)(error)
    })?;
    Ok(file)
}

/// The second half of [`replace`].
pub(crate) fn commit_tmp(path: &Path, tmp: &Path) -> Result<()> {
    fs::rename(tmp, path).map_err(StateError::write(path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Removes a file whose presence harms nobody.
pub(crate) fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove file");
    }
}

/// Reads from `offset` up to the length the file has now.
pub(crate) fn read_from(file: &File, offset: u64, path: &Path) -> Result<Vec<u8>> {
    read_some(file, offset, u64::MAX, path)
}

/// The same without the zeros at its end.
pub(crate) fn read_written(file: &File, offset: u64, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = read_from(file, offset, path)?;
    bytes.truncate(len_without_zeros(&bytes));
    Ok(bytes)
}

/// The same as [`read_from`], but no more than `bytes_max`.
pub(crate) fn read_some(file: &File, offset: u64, bytes_max: u64, path: &Path) -> Result<Vec<u8>> {
    let len = file.metadata().map_err(StateError::read(path))?.len();
    let want = usize::try_from(len.saturating_sub(offset).min(bytes_max))
        .map_err(|_| StateError::refused(path, "it is larger than the address space"))?;
    let mut bytes = Vec::new();
    read_more(file, offset, want, &mut bytes).map_err(StateError::read(path))?;
    Ok(bytes)
}

/// Reads from `offset` up to so many zeros in a row, or to the end; the zeros are left out.
pub(crate) fn read_up_to_zeros(file: &File, offset: u64, zeros: usize, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Mostly there is nothing but zeros, so no more than that is asked first.
    let mut piece = zeros;
    loop {
        let at = offset + bytes.len() as u64;
        let whole = read_more(file, at, piece, &mut bytes).map_err(StateError::read(path))?;
        if !whole || is_zeros(&bytes[bytes.len() - zeros..]) {
            break;
        }
        piece = (2 * piece).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
    }
    bytes.truncate(len_without_zeros(&bytes));
    Ok(bytes)
}

/// Appends `want` bytes from `offset` on to what was read; whether that many were there.
fn read_more(file: &File, offset: u64, want: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let before = bytes.len();
    bytes.resize(before + want, 0);
    let mut done = before;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + (done - before) as u64) {
            // It became shorter meanwhile.
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(done == before + want)
}

/// Whether all of them are zero.
pub(crate) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// How long some bytes are without the zeros at their end.
pub(crate) fn len_without_zeros(bytes: &[u8]) -> usize {
    // In large steps first, since that is what there may be much of.
    let mut len = bytes.len();
    while let Some(start) = len.checked_sub(ZEROS_AT_ONCE)
        && bytes[start..len] == [0; ZEROS_AT_ONCE]
    {
        len = start;
    }
    bytes[..len].iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1)
}

/// Reads a whole small file; `None` if it does not exist.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut file = match open_read(path) {
        Ok(file) => file,
        Err(error) if error.is_missing_file() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(StateError::read(path))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_before_zeros_is_read_whole(
            written in prop::collection::vec(1..=u8::MAX, 0..9_000), gap in 0..4_usize, zeros in 0..9_000_usize, offset in 0..99_usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let mut bytes = vec![7; offset];
            bytes.extend(&written);
            // Fewer zeros than are looked for are part of what was written.
            bytes.extend(vec![0; gap]);
            bytes.push(9);
            let end = bytes.len();
            bytes.extend(vec![0; zeros]);
            fs::write(&path, &bytes).unwrap();
            let file = File::open(&path).unwrap();
            let read = read_up_to_zeros(&file, offset as u64, 4, &path).unwrap();
            prop_assert_eq!(&read[..], &bytes[offset..end]);
            prop_assert_eq!(read_up_to_zeros(&file, end as u64, 4, &path).unwrap(), b"");
            prop_assert_eq!(len_without_zeros(&bytes), end);
            prop_assert_eq!(len_without_zeros(&bytes[end..]), 0);
        }
    }
}
