//! The processes that a strict command has for itself, and none but those, from both sides of the wall.
//!
//! In front of it, among the host's processes, stays one that is to the host what the command would be: it ends as the command
//! ended, by its exit code or by its signal. Behind it is the first process of the command's own, which starts the command,
//! takes in whatever loses its parent, and ends when nothing else is left. When either of them is killed, or the host, the
//! kernel kills all that is behind the wall.
//!
//! Neither passes signals on: the host reaches every process of a run by itself, and a terminal its foreground, on whatever
//! side of a wall they are. Neither has anything to do while the command runs.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};

use super::confine::{self, Part};
use super::namespaces;
use super::records::{Claim, SpawnProblem};
use super::run::name_process;
use super::tree;
use crate::process::{Identity, Table, hide};

/// What is sent to all processes of a run is for the command, which is one of them.
const UNHEARD: [i32; 6] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];
/// How often a command that its terminal stopped is told to go on.
const RESUMED_MAX: u32 = 1_000;
/// What a shell says of a program that a signal ended, where that cannot be shown otherwise.
const BY_SIGNAL: i32 = 128;

/// What the first process says to the one in front when the command has begun. Where it has not, it says why.
const BEGUN: u8 = b'.';

/// Moves behind a wall, leaves the command to the first process there, and ends as the command ended. `report` is closed when
/// the command has begun.
pub(super) fn stand_in_front(
    run_dir: &Path,
    claim: Option<&Claim>,
    report: &mut Option<File>,
) -> Result<ExitCode, (SpawnProblem, String)> {
    let unconfined = |message: String| (SpawnProblem::Unconfined, message);
    let other = |error: &dyn std::error::Error| (SpawnProblem::Other, format!("it has no first process: {error}"));
    // A convenience in process listings; a kernel that refuses it changes nothing.
    rustix::thread::set_name(c"pipeline-front").unwrap_or_default();
    for signal in UNHEARD {
        signal_hook::flag::register(signal, Arc::default()).map_err(|error| other(&error))?;
    }
    // What it starts has it from it, and of all of these the command is the largest.
    tree::prefer_for_oom();
    let network = claim.and_then(|claim| claim.confinement.as_ref()).is_some_and(|to| to.network);
    namespaces::enter(network, true).map_err(unconfined)?;
    end_with_parent().map_err(unconfined)?;
    if report.as_ref().is_none_or(is_unread) {
        return Ok(ExitCode::FAILURE);
    }
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| other(&error))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(confine::VERB).arg(Part::First.word()).arg(run_dir).stdin(Stdio::from(theirs));
    let mut first = command.spawn().map_err(|error| other(&error))?;
    drop(command);
    leave_output();
    confine::drop_powers().map_err(unconfined)?;
    let mut said = File::from(ours);
    let mut begun = [0];
    if said.read_exact(&mut begun).is_ok() && begun != [BEGUN] {
        let problem = confine::problem(&[&begun[..], &rest(said)].concat());
        // It ends by itself, unless somebody else spoke in its name: then nothing there goes on either.
        first.kill().and_then(|()| first.wait()).map_err(|error| other(&error))?;
        return Err(problem);
    }
    *report = None;
    let mut raw = [0; size_of::<i32>()];
    let mut leaves = [0];
    let told = said.read_exact(&mut raw).and_then(|()| said.read_exact(&mut leaves));
    let status = match told {
        // What is left is for the host, and the first process stays with it.
        Ok(()) if leaves == [1] => Ok(ExitStatus::from_raw(i32::from_ne_bytes(raw))),
        Ok(()) => first.wait().map(|_| ExitStatus::from_raw(i32::from_ne_bytes(raw))),
        // It was killed, and everything behind the wall with it; or there is no command.
        Err(_) => first.wait(),
    };
    Ok(status.map_or(ExitCode::FAILURE, end_as))
}

/// Is the first process behind a wall: starts the command and stays until nothing else is left. `front` is where the process
/// in front hears of it.
pub(super) fn be_first(claim: Option<&Claim>, front: &mut Option<File>) -> Result<ExitCode, (SpawnProblem, String)> {
    let unconfined = |message: String| (SpawnProblem::Unconfined, message);
    let other =
        |error: &dyn std::error::Error| (SpawnProblem::Other, format!("the command cannot be started: {error}"));
    let Some(front) = front else { return Ok(ExitCode::FAILURE) };
    // Whoever looks from behind the wall for the host of a run finds this process.
    name_process();
    end_with_parent().map_err(unconfined)?;
    if is_unread(&*front) {
        return Ok(ExitCode::FAILURE);
    }
    namespaces::see_own_processes().map_err(unconfined)?;
    let Some(claim) = claim else { return Ok(ExitCode::SUCCESS) };
    let (to, program, arguments) = confine::asked(claim)?;
    if claim.terminal.is_some() && claim.multiplexer.is_none() {
        rustix::process::setsid().map_err(|error| other(&error))?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).map_err(|error| other(&error))?;
    }
    // What it starts is confined with it. A first process hears no signal of its own world, and this one shows nothing of
    // itself, or its command could speak to the process in front.
    confine::confine(to, true).map_err(unconfined)?;
    hide().map_err(|error| other(&error))?;
    let mut command = Command::new(program);
    let spawned = command.args(arguments).process_group(0).spawn();
    let child = spawned.map_err(|error| confine::explain_confined(to, program, &claim.cwd, &error))?;
    let child = Pid::from_child(&child);
    if has_terminal(claim) {
        // One that has ended already needs no keys.
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), child).unwrap_or_default();
        // It may have asked for keys before it had them, which stopped it.
        rustix::process::kill_process_group(child, Signal::CONT).unwrap_or_default();
    }
    leave_output();
    // Where nobody hears any of this, the process in front is gone, and this one in a moment.
    front.write_all(&[BEGUN]).unwrap_or_default();
    let Ok(status) = wait_for(child, has_terminal(claim)) else { return Ok(ExitCode::FAILURE) };
    let leaves = reap(WaitOptions::NOHANG);
    if leaves {
        // The process in front ends now. The host is the parent from then on, and ends what is left.
        rustix::process::set_parent_process_death_signal(None).unwrap_or_default();
    }
    let told = [&status.as_raw().to_ne_bytes()[..], &[u8::from(leaves)]].concat();
    front.write_all(&told).unwrap_or_default();
    if leaves {
        while !poll(&*front, None) {}
        // It is not bound to the host as it was to the process in front: that may have closed its pipe and not be dead yet,
        // and its death would count. What is left when the host dies now is found as it is without a wall.
        reap(WaitOptions::empty());
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes the end of a pipe that came in the place of the standard input, and puts there what the command has for one.
pub(super) fn take_pipe(claim: Option<&Claim>) -> io::Result<File> {
    let pipe = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    if claim.is_some_and(has_terminal) {
        rustix::stdio::dup2_stdin(rustix::stdio::stdout())?;
    } else {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    }
    Ok(File::from(pipe))
}

/// Whether the command has a terminal, which is all that it has for input and output.
fn has_terminal(claim: &Claim) -> bool {
    claim.terminal.is_some() || claim.multiplexer.is_some()
}

/// The command of a run that has its processes for itself, as it is seen from outside. What stands in front of it where it has
/// ended already.
pub(super) fn command_behind(front: i32) -> Option<Identity> {
    let table = Table::read();
    let oldest = |of: i32| table.children(of).into_iter().next();
    oldest(front).and_then(|first| oldest(first.pid)).or_else(|| Identity::of(front))
}

/// Waits for the end of the command, and takes in orphans meanwhile.
fn wait_for(command: Pid, has_terminal: bool) -> rustix::io::Result<WaitStatus> {
    let mut resumed = 0;
    loop {
        match rustix::process::wait(WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) if pid == command && status.stopped() => {
                // There is no shell to which it could return, so it goes on.
                let by_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
                let by_terminal = status.stopping_signal().is_some_and(|signal| by_terminal.contains(&signal));
                if has_terminal && by_terminal && resumed < RESUMED_MAX {
                    resumed += 1;
                    rustix::process::kill_process_group(command, Signal::CONT).unwrap_or_default();
                }
            }
            Ok(Some((pid, status))) if pid == command => return Ok(status),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes in what has ended, and says whether anything is left.
fn reap(options: WaitOptions) -> bool {
    loop {
        match rustix::process::wait(options) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Has the kernel kill this process when its parent dies.
fn end_with_parent() -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("its end cannot be bound to that of its host: {error}"))
}

/// Whether nobody is left to read from a pipe.
fn is_unread(pipe: impl AsFd) -> bool {
    poll(pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
}

/// Waits until nobody is left to read from a pipe, and says whether that is so.
fn poll(pipe: impl AsFd, limit: Option<&Timespec>) -> bool {
    let mut fds = [PollFd::new(&pipe, PollFlags::empty())];
    matches!(rustix::event::poll(&mut fds, limit), Ok(1..))
}

/// What is left to be said through a pipe.
fn rest(pipe: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is all there is.
    pipe.take(confine::PROBLEM_BYTES_MAX).read_to_end(&mut bytes).unwrap_or_default();
    bytes
}

/// Leaves the command's input and output to the command.
fn leave_output() {
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    for left in [rustix::stdio::dup2_stdin(&null), rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null)]
    {
        left.unwrap_or_default();
    }
}

/// Ends this process as another one ended.
fn end_as(status: ExitStatus) -> ExitCode {
    let Some(signal) = status.signal() else {
        return status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from);
    };
    // What there was to see is in the other one's memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap_or_default();
    // The second is for signals that the first does not know.
    let raised = signal_hook::low_level::emulate_default_handler(signal);
    raised.or_else(|_| signal_hook::low_level::raise(signal)).unwrap_or_default();
    signal_hook::low_level::raise(signal).unwrap_or_default();
    u8::try_from(BY_SIGNAL + signal).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_unread_once_its_reader_is_gone() {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert!(!is_unread(&writer));
        drop(reader);
        assert!(is_unread(&writer) && poll(&writer, None));
    }
}
