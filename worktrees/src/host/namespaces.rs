//! What a command at the strict level has for itself where the kernel lets an ordinary user make it: no network but its own
//! empty one, shared memory and message queues that nobody else has. The rules of files and system calls hold without it;
//! this is a second wall.
//!
//! Other processes stay visible by their names and arguments: a command that does not see them needs a first process of its
//! own world above it, which its signals, its exit code and its terminal would have to go through.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::mount::{MountFlags, mount};
use rustix::process::{getgid, getuid};
use rustix::thread::UnshareFlags;

/// Shared memory, as the C library looks for it.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";
/// In the place of a run's directory: only to find out whether it can be done.
const TRY: &str = "--try";

/// Says why this machine makes no namespaces for a strict command. It is tried by another process: one that is half inside
/// cannot get out again.
///
/// # Errors
/// When it makes none.
pub fn available() -> Result<(), String> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["__confine", TRY, ""]).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// Tries it, in a process that does nothing else, if that is what it was started for.
pub(super) fn tried(run_dir: &Path) -> Option<ExitCode> {
    if run_dir != Path::new(TRY) {
        return None;
    }
    Some(match enter(false) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            super::run::say(&why);
            ExitCode::FAILURE
        }
    })
}

/// Moves this process into namespaces of its own, for ever. It must have one thread. Where it fails half-way the process is
/// of no use any more.
pub(super) fn enter(network: bool) -> Result<(), String> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    let mut flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWIPC;
    flags.set(UnshareFlags::NEWNET, !network);
    #[expect(
        deprecated,
        reason = "what it warns of is descriptors that are not shared any more, which is not asked for"
    )]
    rustix::thread::unshare(flags).map_err(|error| format!("this system lets no user make namespaces: {error}"))?;
    // It is who it was, and nobody else.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        let file = format!("/proc/self/{file}");
        fs::write(&file, text).map_err(|error| format!("{file} cannot be written: {error}"))?;
    }
    if Path::new(SHARED_MEMORY).is_dir() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("tmpfs", SHARED_MEMORY, "tmpfs", flags, Some(c"mode=1777,size=1g,nr_inodes=100k"))
            .map_err(|error| format!("it cannot have shared memory of its own: {error}"))?;
    }
    Ok(())
}
