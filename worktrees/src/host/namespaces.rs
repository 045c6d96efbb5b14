//! What a command at the strict level has for itself where the kernel lets an ordinary user make it: no network but its own
//! empty one, shared memory and message queues that nobody else has. The rules of files and system calls hold without it;
//! this is a second wall.
//!
//! No processes but its own, too, where a first process can see to that: see the module of it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rustix::mount::{MountFlags, mount};
use rustix::process::{getgid, getuid};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::confine::{self, Part};

/// Shared memory, as the C library looks for it.
pub const SHARED_MEMORY: &str = "/dev/shm";
/// Where the kernel shows processes.
const PROCESSES: &str = "/proc";

/// What a strict command has for itself on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// Everything: it sees no process but its own.
    All,
    /// Everything but processes, and why: it sees the names and arguments of others.
    ButProcesses(String),
    /// Nothing, and why.
    None(String),
}

/// Says what a strict command has for itself on this machine. It is tried by other processes: one that is half inside cannot
/// get out again.
#[must_use]
pub fn available() -> Namespaces {
    let Err(why) = confine::try_out(Part::Front) else { return Namespaces::All };
    match confine::try_out(Part::Apart) {
        Ok(()) => Namespaces::ButProcesses(why),
        Err(why) => Namespaces::None(why),
    }
}

static KNOWN: OnceLock<Namespaces> = OnceLock::new();

/// What is available, found out once.
pub(super) fn known() -> &'static Namespaces {
    KNOWN.get_or_init(available)
}

/// What is available, if that was found out.
pub(super) fn known_already() -> Option<&'static Namespaces> {
    KNOWN.get()
}

/// Moves this process into namespaces of its own, for ever. It must have one thread. Where it fails half-way the process is
/// of no use any more. With `processes` the next process that it starts is the first one in a namespace of those.
pub(super) fn enter(network: bool, processes: bool) -> Result<(), String> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    let mut flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWIPC;
    flags.set(UnshareFlags::NEWNET, !network);
    flags.set(UnshareFlags::NEWPID, processes);
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
    if processes {
        keep_power().map_err(|error| format!("its first process can mount nothing: {error}"))?;
    }
    Ok(())
}

/// Keeps the power to mount for the program that is executed next, which has none of its own unless it is root's.
fn keep_power() -> rustix::io::Result<()> {
    let mut powers = rustix::thread::capabilities(None)?;
    powers.inheritable |= CapabilitySet::SYS_ADMIN;
    rustix::thread::set_capabilities(None, powers)?;
    rustix::thread::configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)
}

/// Shows this process, which is the first one in a namespace of processes, the processes of that and no others.
pub(super) fn see_own_processes() -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", PROCESSES, "proc", flags, None)
        .map_err(|error| format!("it cannot have a {PROCESSES} of its own: {error}"))
}
