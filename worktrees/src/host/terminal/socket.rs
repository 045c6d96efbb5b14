//! Where a run's terminal can be reached: a socket in the run's directory, for this user alone.
//!
//! A path may be longer than the address of a socket can be, so it is always named through an open directory.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};
use rustix::process::Signal;

use super::super::HostError;
use super::super::files::{self, CLAIM, START};
use super::super::records::{Claim, StartRecord};
use super::super::run::note;

const NAME: &str = "terminal.sock";
/// What it is called until it can be connected to.
const DRAFT: &str = "terminal.sock.new";

/// Connects to the terminal of a run. What is said then is in [`pipeline_lib::terminal::wire`].
///
/// # Errors
/// [`HostError::NoTerminal`] where the run has none and never will; [`HostError::TerminalGone`] where nobody answers,
/// because the run is over or has not begun, or for a moment after somebody removed the socket.
pub fn connect(run_dir: &Path) -> Result<UnixStream, HostError> {
    let connected = open_dir(run_dir).and_then(|dir| UnixStream::connect(address(&dir, NAME)));
    let error = match connected {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        return Err(HostError::io("connect to the terminal in", run_dir)(error));
    }
    let run_dir = run_dir.to_owned();
    match files::read::<Claim>(&run_dir, CLAIM)? {
        Some(claim) if claim.terminal.is_some() => {
            // A host that lives makes the socket again. It watches its directory; the signal is for where it cannot.
            if let Some(start) = files::read::<StartRecord>(&run_dir, START)? {
                start.host.signal(Signal::USR1);
            }
            Err(HostError::TerminalGone { run_dir })
        }
        Some(_) | None => Err(HostError::NoTerminal { run_dir }),
    }
}

fn open_dir(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn address(dir: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

/// The listening side. It is gone from the directory when this is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    dir: File,
    listening: Option<(UnixListener, FileId)>,
}

/// Tells one file from another that has its name.
type FileId = (u64, u64);

impl Socket {
    /// Begins to listen in a directory. A terminal without a socket works too: nobody can look at it, which is no reason
    /// to end a run.
    pub(super) fn open(run_dir: &Path) -> io::Result<Self> {
        let mut socket = Self { dir: open_dir(run_dir)?, listening: None };
        socket.listen();
        Ok(socket)
    }

    fn listen(&mut self) {
        match self.try_listen() {
            Ok(listening) => self.listening = Some(listening),
            Err(error) => {
                // Whoever removes what we make time and again shall not fill the log as well.
                if self.listening.take().is_some() {
                    note(&format!("cannot make {NAME}: {error}"));
                }
            }
        }
    }

    fn try_listen(&self) -> io::Result<(UnixListener, FileId)> {
        let draft = address(&self.dir, DRAFT);
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&draft)?;
        // Until here it is the directory that keeps others out.
        std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let id = self.id(DRAFT).ok_or(io::ErrorKind::NotFound)?;
        // It gets its name once it listens, so that nobody who finds it is refused.
        std::fs::rename(&draft, address(&self.dir, NAME))?;
        Ok((listener, id))
    }

    /// What has a name now.
    fn id(&self, name: &str) -> Option<FileId> {
        let stat = rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }

    fn is_ours(&self) -> bool {
        self.listening.as_ref().is_some_and(|(_, id)| self.id(NAME) == Some(*id))
    }

    /// Makes the socket again if somebody removed it.
    pub(super) fn restore(&mut self) {
        if !self.is_ours() {
            self.listen();
        }
    }

    /// Listens no more, and leaves nothing behind.
    pub(super) fn close(&mut self) {
        if self.is_ours() {
            drop(std::fs::remove_file(address(&self.dir, NAME)));
        }
        self.listening = None;
    }

    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.listening.as_ref().map(|(listener, _)| listener.as_fd())
    }

    /// The next one who wants to look, if there is one that may.
    pub(super) fn accept(&mut self) -> Option<UnixStream> {
        loop {
            let (listener, _) = self.listening.as_ref()?;
            match listener.accept() {
                Ok((stream, _)) if is_same_user(&stream) => return Some(stream),
                // Somebody else's, who is hung up on, or one that was given up meanwhile.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    // Waiting for it again would be done at once, and again.
                    note(&format!("nobody more can look at the terminal: {error}"));
                    self.listening = None;
                    return None;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

fn is_same_user(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use std::mem::MaybeUninit;

    #[test]
    fn the_socket_has_its_name_only_once_it_listens() {
        let dir = tempfile::tempdir().unwrap();
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, dir.path(), WatchFlags::CREATE | WatchFlags::MOVED_TO).unwrap();
        let appeared = || {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(&watch, &mut buffer);
            let mut seen = Vec::new();
            while let Ok(event) = events.next() {
                if event.file_name().is_some_and(|name| name.to_bytes() == NAME.as_bytes()) {
                    seen.push(event.events());
                }
            }
            seen
        };
        let mut socket = Socket::open(dir.path()).unwrap();
        assert_eq!(appeared(), [ReadFlags::MOVED_TO]);
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        socket.restore();
        assert_eq!(appeared(), [ReadFlags::MOVED_TO]);
        // Somebody else's, and a draft that was left behind.
        std::fs::write(dir.path().join(DRAFT), "").unwrap();
        std::fs::write(dir.path().join("other"), "").unwrap();
        std::fs::rename(dir.path().join("other"), dir.path().join(NAME)).unwrap();
        socket.restore();
        drop(UnixStream::connect(dir.path().join(NAME)).unwrap());
        assert!(socket.accept().is_some());
        socket.close();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
