//! Opening what is in a directory that somebody else can change at any moment, such as an agent its worktree: nothing
//! outside of the directory is reached by any name, no link is followed, no pipe is waited for, and what is read is a
//! regular file. All of it is one question to the kernel, so that nothing can be exchanged between a look and its use.
//!
//! The directory itself is the caller's: what leads to it is trusted. What the files say is not looked at here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// What a reader wants to have room for behind the end of a file, in bytes.
const READ_ROOM: usize = 32;
/// A directory was moved while the kernel looked: it asks to be asked again.
const TRIES: usize = 64;
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const FOLDER: OFlags = FILE.union(OFlags::DIRECTORY);

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: std::ffi::OsString,
    /// What it is, a link for a link.
    pub kind: FileType,
}

/// Opens a regular file below a directory for reading.
///
/// # Errors
/// When it is not there, is not a regular file, or would be reached through a link or outside of the directory.
pub fn open(dir: &Path, name: &Path) -> io::Result<File> {
    open_sized(dir, name).map(|(file, _)| file)
}

/// The same with its size in bytes.
fn open_sized(dir: &Path, name: &Path) -> io::Result<(File, u64)> {
    let file = File::from(resolve(dir, name, FILE)?);
    let about = file.metadata()?;
    let regular = about.is_file().then_some((file, about.len()));
    regular.ok_or_else(|| io::Error::other("it is not a regular file"))
}

/// Reads a regular file below a directory, which may have so many bytes and not more.
///
/// # Errors
/// As for [`open`], and when it is longer.
pub fn read(dir: &Path, name: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let (file, size) = open_sized(dir, name)?;
    // Room for all of it and a little more: else it is read in many small steps.
    let room = usize::try_from(size).unwrap_or(bytes_max).min(bytes_max).saturating_add(READ_ROOM);
    let mut bytes = Vec::with_capacity(room);
    file.take((bytes_max as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// What is in a directory below a directory, in the order of the names. An empty name is the directory itself.
///
/// # Errors
/// When it is not there, is no directory, or would be reached through a link or outside of the directory.
pub fn list(dir: &Path, name: &Path) -> io::Result<Vec<Entry>> {
    let folder = resolve(dir, name, FOLDER)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            },
            known => known,
        };
        found.push(Entry { name: name.to_owned(), kind });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn resolve(dir: &Path, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let root = openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
    match at_once(&root, name, flags) {
        // Older kernels, and filters of system calls that know only those.
        Err(Errno::NOSYS | Errno::PERM) => {
            if !TOLD.swap(true, Ordering::Relaxed) {
                tracing::warn!("this kernel has no openat2; names in agents' folders are resolved one part at a time");
            }
            step_by_step(root, name, flags)
        }
        other => Ok(other?),
    }
}

fn at_once(root: &OwnedFd, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        tries += 1;
        match openat2(root, name, flags, Mode::empty(), within) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => {}
            other => return other,
        }
    }
}

/// The same without the kernel's help: each part of the name is opened from the one before it and is no link.
fn step_by_step(root: OwnedFd, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let parts: Vec<Component<'_>> = name.components().filter(|part| *part != Component::CurDir).collect();
    if parts.iter().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(Errno::XDEV.into());
    }
    let Some((last, above)) = parts.split_last() else {
        return Ok(openat(root.as_fd(), ".", flags, Mode::empty())?);
    };
    let mut at = root;
    for part in above {
        let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = openat(at.as_fd(), PathBuf::from(part.as_os_str()), through, Mode::empty())?;
    }
    Ok(openat(at.as_fd(), PathBuf::from(last.as_os_str()), flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Folders and links in which a careless reader would find the secret.
    fn lab() -> (tempfile::TempDir, PathBuf) {
        let lab = tempfile::tempdir().unwrap();
        let dir = lab.path().join("agent");
        std::fs::create_dir_all(dir.join("sub/deep")).unwrap();
        std::fs::create_dir(lab.path().join("outside")).unwrap();
        std::fs::write(lab.path().join("outside/secret"), "secret").unwrap();
        std::fs::write(dir.join("sub/deep/mine"), "mine").unwrap();
        symlink(lab.path().join("outside/secret"), dir.join("link")).unwrap();
        symlink("sub/deep/mine", dir.join("inner")).unwrap();
        symlink("../outside", dir.join("folder")).unwrap();
        rustix::fs::mknodat(CWD, dir.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        (lab, dir)
    }

    #[test]
    fn only_regular_files_below_are_opened_with_and_without_the_kernels_help() {
        let (lab, dir) = lab();
        let outside = lab.path().join("outside/secret");
        let descriptor = File::open(&outside).unwrap();
        let magic = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptor));
        let refused = [
            "link",
            "inner",
            "folder/secret",
            "../outside/secret",
            "sub/../../outside/secret",
            "pipe",
            "sub",
            "absent",
            &magic,
        ];
        for name in refused.into_iter().chain([outside.to_str().unwrap()]) {
            assert!(open(&dir, Path::new(name)).is_err(), "{name}");
            let root = openat(CWD, &dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
            let opened = step_by_step(root, Path::new(name), FILE).map(File::from);
            let regular = opened.is_ok_and(|file| file.metadata().is_ok_and(|found| found.is_file()));
            assert!(!regular, "{name} without openat2");
        }
        assert_eq!(read(&dir, Path::new("sub/deep/mine"), 4).unwrap(), b"mine");
        assert!(read(&dir, Path::new("sub/deep/mine"), 3).is_err());
        let root = openat(CWD, &dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut text = String::new();
        let file = step_by_step(root, Path::new("./sub/deep/mine"), FILE).unwrap();
        File::from(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "mine");
    }

    #[test]
    fn what_is_listed_says_what_is_a_link() {
        let (_lab, dir) = lab();
        let listed = list(&dir, Path::new("")).unwrap();
        let kind = |name: &str| listed.iter().find(|entry| entry.name == name).unwrap().kind;
        assert_eq!(listed.len(), 5);
        assert_eq!((kind("link"), kind("sub"), kind("pipe")), (FileType::Symlink, FileType::Directory, FileType::Fifo));
        assert!(list(&dir, Path::new("folder")).is_err());
        assert_eq!(list(&dir, Path::new("sub")).unwrap().len(), 1);
    }

    #[test]
    fn a_link_that_comes_and_goes_is_never_followed() {
        // The short form is for every day; the long one is a hundred thousand looks.
        let looks = if std::env::var_os("PIPELINE_LONG").is_some() { 100_000 } else { 2_000 };
        let (lab, dir) = lab();
        let at = |name: &str| dir.join(name);
        std::fs::write(at("honest"), "honest").unwrap();
        std::fs::create_dir(at("place")).unwrap();
        std::fs::write(at("place/secret"), "honest").unwrap();
        let over = AtomicBool::new(false);
        let (mut honest, mut refused, mut naive) = (0_usize, 0_usize, 0_usize);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // A file becomes a link and a file again; so does a folder in the middle of a name.
                    symlink(lab.path().join("outside/secret"), at("new")).unwrap();
                    std::fs::rename(at("new"), at("file")).unwrap();
                    std::fs::hard_link(at("honest"), at("new")).unwrap();
                    std::fs::rename(at("new"), at("file")).unwrap();
                    // Two names of one file: the rename left the first.
                    drop(std::fs::remove_file(at("new")));
                    std::fs::rename(at("place"), at("away")).unwrap();
                    symlink(lab.path().join("outside"), at("place")).unwrap();
                    std::fs::remove_file(at("place")).unwrap();
                    std::fs::rename(at("away"), at("place")).unwrap();
                }
            });
            let mut done = 0;
            // Until each of them was seen, however busy the machine is.
            while done < looks || (done < looks * 100 && (honest == 0 || refused == 0 || naive == 0)) {
                done += 1;
                for name in ["file", "place/secret"] {
                    match read(&dir, Path::new(name), 100) {
                        Ok(text) => {
                            // First, or the other thread would go on for ever where this fails.
                            over.fetch_or(text != b"honest", Ordering::Relaxed);
                            assert_eq!(String::from_utf8_lossy(&text), "honest", "{name}");
                            honest += 1;
                        }
                        Err(_) => refused += 1,
                    }
                    naive += usize::from(std::fs::read(at(name)).is_ok_and(|text| text == b"secret"));
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(honest > 0 && refused > 0, "{honest} {refused}");
        assert!(naive > 0, "the control: plain reading falls for it");
    }
}
