//! The host's own process: from the lock to the exit record.
//!
//! It is one thread around one `poll`, so that it stays small however many of it there are, and it finds everything
//! it needs in the claim: no configuration, no environment, no library that would start threads.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Signal, WaitStatus};

use super::confine::{self, Part, StandIn};
use super::files::{self, CHILD, CLAIM, EXIT, Lock, START, STOP, exists};
use super::first;
use super::logs::{CappedLog, Stream};
use super::mask::Mask;
use super::place;
use super::records::{Claim, ExitRecord, How, SpawnProblem, StartRecord, VERSION};
use super::supervise::Supervisor;
use super::terminal::Terminal;
use super::tmux::{self, Inside, Tty};
use super::tree;
use super::wakes::Wakes;
use super::{ENTRUSTED, HostError};
use crate::disk;
use crate::process::{Identity, Table, children_time, own_pid};

/// What the command left behind has this long to end by itself.
const LEFTOVERS_GRACE: Duration = Duration::from_secs(2);
/// A killed process is looked for again after this long.
const KILL_PASS: Duration = Duration::from_millis(250);
/// A process that is still there after this long waits in the kernel and cannot be killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// Output still arriving this long after all processes are gone comes from somebody else who was given the pipe.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// The process of a command at a place is shown to others once it has taken this long.
const BRIEF: Duration = Duration::from_millis(20);
/// What a command with a terminal is told of it, unless the claim says something else.
const TERMINAL_VARIABLES: [(&str, &str); 2] = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
/// What it is not told: the terminal itself knows its size, and changes it.
const SIZE_VARIABLES: [&str; 2] = ["LINES", "COLUMNS"];
/// Tells a host that it has begun anew already.
const BEGUN_ANEW: &str = "PIPELINE_HOST_BEGUN_ANEW";

/// The host's main function. Call it before anything is opened or any thread is started.
///
/// Ends with 0 when the run is over, or when there is nothing to do because another host has it or it has been.
#[must_use]
pub fn main(run_dir: &Path) -> ExitCode {
    shed_descriptors();
    let hosted = match place::is_place(run_dir) {
        true => {
            name_process();
            place::main(run_dir)
        }
        false => host(run_dir, tmux::leave(run_dir)),
    };
    match hosted {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&error.to_string());
            // EX_SOFTWARE; the caller learns what happened from the directory and a person from this log.
            ExitCode::from(70)
        }
    }
}

/// Writes a line to the host's log, which is its standard error.
pub(super) fn note(text: &str) {
    // A full disk must not end the host.
    drop(writeln!(std::io::stderr(), "{} {text}", Timestamp::now()));
}

/// Gets rid of descriptors that whoever started us left open: one of them may hold somebody's lock, such as that of
/// `flock cron.lock pipeline …`, for as long as this process lives, and the agent must have none of them at all.
/// Closing a descriptor nobody owns is only safe by executing anew, which is done at most once.
fn shed_descriptors() {
    let listed: Vec<OsString> =
        std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    let inherited = listed.iter().any(|name| {
        let number = name.to_str().and_then(|text| text.parse::<i32>().ok());
        // The listing itself had a descriptor, which is closed by now.
        number.is_some_and(|number| number > 2) && Path::new("/proc/self/fd").join(name).is_symlink()
    });
    if !inherited {
        return;
    }
    close_fds::set_fds_cloexec(3, &[]);
    if std::env::var_os(BEGUN_ANEW).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).env(BEGUN_ANEW, "1").exec();
    note(&format!("inherited descriptors stay open here: {error}"));
}

/// What a host is called, and what it starts until that is executed.
pub(super) const HOST_NAME: &CStr = c"pipeline-host";

pub(super) fn name_process() {
    // In process listings, and for whoever ends what a killed host was starting; a kernel that refuses it changes little.
    rustix::thread::set_name(HOST_NAME).unwrap_or_default();
}

fn host(run_dir: &Path, tty: Option<Tty>) -> Result<(), HostError> {
    name_process();
    let lock = files::lock_exclusive(run_dir)?;
    if matches!(lock, Lock::Taken) {
        return Ok(());
    }
    let Some(claim) = files::read::<Claim>(run_dir, CLAIM)? else {
        return Err(HostError::Format { path: run_dir.join(CLAIM), message: "there is none".to_owned() });
    };
    if claim.version != VERSION {
        return Err(HostError::Format {
            path: run_dir.join(CLAIM),
            message: format!("its form is {}, this program reads {VERSION}", claim.version),
        });
    }
    if exists(run_dir, EXIT) || exists(run_dir, START) {
        return Ok(());
    }
    detach(tty.is_some());
    let wakes = Wakes::new(run_dir, tty.is_some()).map_err(HostError::io("wait for signals in", run_dir))?;
    let Some(identity) = Identity::current() else {
        return Err(HostError::io("read", "/proc/self/stat")(std::io::ErrorKind::NotFound.into()));
    };
    let start = StartRecord { version: VERSION, run: claim.run.clone(), host: identity, started_at: Timestamp::now() };
    if !files::write_once_on(run_dir, START, &start, CLAIM)? {
        return Ok(());
    }
    let mut children = Duration::ZERO;
    let (record, terminal) = run(run_dir, &claim, start.started_at, &wakes, tty, &mut children, (|| {}, || {}));
    if let Some(confinement) = &claim.confinement {
        confine::clear(&confinement.scratch);
    }
    // What is on record of it from here on is believed, whatever becomes of the machine.
    let unsettled = disk::sync_all(&claim.keeps).inspect_err(|error| note(&error.to_string())).is_err();
    let written = write_exit(run_dir, &ExitRecord { unsettled, ..record });
    // Whoever looks can wait for this; the record cannot.
    if let Some(terminal) = terminal {
        terminal.say_farewell();
    }
    drop(lock);
    written
}

pub(super) fn detach(in_pane: bool) {
    // The process of a pane leads a session already, and has the terminal by that. Else it fails for the leader of a group,
    // which is what a shell makes of us when a person starts a host by hand; then a signal to that terminal's group reaches
    // us, which is what that person expects.
    if !in_pane && let Err(error) = rustix::process::setsid() {
        note(&format!("stays in the session it was started in: {error}"));
    }
    // Any number but zero turns it on. From here on whatever loses its parent below us becomes our child, so that
    // having no child means that nothing is left.
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        note(&format!("cannot keep processes that leave their parents: {error}"));
    }
}

pub(super) fn write_exit(run_dir: &Path, record: &ExitRecord) -> Result<(), HostError> {
    match files::write_once(run_dir, EXIT, record) {
        Ok(_) => Ok(()),
        Err(error) => {
            note(&format!("{error}; giving up older output for it"));
            CappedLog::discard_earlier(run_dir);
            files::write_once(run_dir, EXIT, record).map(drop)
        }
    }
}

/// What a command has for its input and output besides the host's own pipes.
#[derive(Default)]
struct Ends {
    terminal: Option<Terminal>,
    pane: Option<Inside>,
    /// What is printed in the pane.
    printed: Option<OwnedFd>,
}

impl Ends {
    fn of(run_dir: &Path, claim: &Claim, tty: Option<Tty>) -> Result<Self, String> {
        match (&claim.multiplexer, tty, claim.terminal) {
            (Some(multiplexer), Some(tty), _) => {
                let (pane, printed) = Inside::open(run_dir, claim, multiplexer, tty)?;
                Ok(Self { pane: Some(pane), printed: Some(printed), ..Self::default() })
            }
            (Some(_), None, _) => Err("its host was not started in a pane of tmux".to_owned()),
            // It listens before the command is started, so that whoever sees the command finds it.
            (None, _, Some(size)) => match Terminal::open(run_dir, claim.run.clone(), size) {
                Ok(terminal) => Ok(Self { terminal: Some(terminal), ..Self::default() }),
                Err(error) => Err(format!("cannot make a terminal: {error}")),
            },
            (None, _, None) => Ok(Self::default()),
        }
    }
}

/// Runs the command of a claim to its end. While it runs, once it does, it is shown in the directory, before which
/// `showing` is called, and after which `shown` is. At a place neither is where it is over in a moment. `children` is
/// the processor time that everything which this process has waited for took up to now.
pub(super) fn run(
    run_dir: &Path,
    claim: &Claim,
    started_at: Timestamp,
    wakes: &Wakes,
    tty: Option<Tty>,
    children: &mut Duration,
    (showing, shown): (impl FnOnce(), impl FnOnce()),
) -> (ExitRecord, Option<Terminal>) {
    let over = |how| ExitRecord::without_work(claim.run.clone(), how, started_at);
    let failed = |kind, message| (over(How::SpawnFailed { message, kind }), None);
    // Whoever asked before our start record was there could not signal us; whoever asks from here on can.
    if let Some(reason) = wakes.stop_requested(run_dir, claim).map(|request| request.reason) {
        return (over(How::NeverStarted { reason }), None);
    }
    // What is drawn in a terminal is for whoever looks at it, and is not ours to change.
    let masked: &[String] = if claim.terminal.is_some() || claim.multiplexer.is_some() { &[] } else { &claim.secrets };
    let secrets = entrusted(masked);
    let mask = Mask::of(secrets.iter().map(|(_, value)| value.as_bytes()));
    let (stdout, stderr) =
        match (log(run_dir, claim, Stream::Stdout, &mask), log(run_dir, claim, Stream::Stderr, &mask)) {
            (Ok(stdout), Ok(stderr)) => (stdout, stderr),
            (Err(error), _) | (_, Err(error)) => return failed(SpawnProblem::Other, error.to_string()),
        };
    let mut ends = match Ends::of(run_dir, claim, tty) {
        Ok(ends) => ends,
        Err(message) => return failed(SpawnProblem::Other, message),
    };
    let began = Instant::now();
    let (mut child, part) = match spawn(run_dir, claim, &ends) {
        Ok(spawned) => spawned,
        Err((kind, message)) => return failed(kind, message),
    };
    if let (Some(terminal), Some(prompt)) = (&mut ends.terminal, &claim.prompt) {
        terminal.prompt(run_dir, prompt.clone());
    }
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let show = || {
        showing();
        let identity = if part == Part::Front { first::command_behind(pid) } else { Identity::of(pid) };
        if let Some(identity) = identity
            && let Err(error) = files::replace(run_dir, CHILD, &identity, false)
        {
            note(&error.to_string());
        }
        shown();
    };
    let Ends { terminal, pane, printed } = ends;
    let printed = printed.or_else(|| child.stdout.take().map(Into::into));
    let outputs = [(printed, stdout), (child.stderr.take().map(Into::into), stderr)];
    let mut supervisor = Supervisor::new(run_dir, claim, pid, wakes, outputs, (terminal, pane));
    let brief = claim.place.is_some();
    if !brief || !supervisor.run_until(|_| began.checked_add(BRIEF), |now| now.status().is_some()) {
        show();
    }
    let end = conclude(&mut supervisor, claim, part, began);
    let (stdout, stderr) = supervisor.logs();
    // A host that ran others before has their times too.
    let (time, time_before) = (children_time(), *children);
    *children = time;
    let record = ExitRecord {
        how: end.how,
        duration_ms: millis(supervisor.main_ended().unwrap_or_else(Instant::now) - began),
        stdout_bytes: stdout.total(),
        stderr_bytes: stderr.total(),
        truncated: stdout.is_cut() || stderr.is_cut(),
        cpu_ms: millis(time.saturating_sub(time_before)),
        leftovers_killed: end.leftovers,
        unkillable: end.unkillable,
        ..over(How::TimedOut)
    };
    let size = supervisor.terminal_size();
    (ExitRecord { terminal: size, ..record }, supervisor.into_terminal())
}

/// Whoever watches the directory of a short command need not be woken by anything but its end: its logs are made once there
/// is something to write.
fn log(run_dir: &Path, claim: &Claim, stream: Stream, mask: &Mask) -> Result<CappedLog, HostError> {
    match claim.place {
        Some(_) => Ok(CappedLog::unmade(run_dir, stream, claim.log_bytes_max, mask.clone())),
        None => CappedLog::create(run_dir, stream, claim.log_bytes_max, mask.clone()),
    }
}

struct End {
    how: How,
    leftovers: usize,
    unkillable: Vec<Identity>,
}

/// Waits for the command, sees to it that nothing of it is left, and takes the rest of its output.
fn conclude(supervisor: &mut Supervisor<'_>, claim: &Claim, part: Part, began: Instant) -> End {
    let timeout = claim.timeout_ms.and_then(|ms| began.checked_add(Duration::from_millis(ms)));
    let over = |now: &Supervisor<'_>| now.status().is_some() || now.stop().is_some() || now.has_lost_terminal();
    let decided = supervisor.run_until(|_| timeout, over);
    let mut end = if let Some(status) = supervisor.status() {
        let how = how_from(status);
        if claim.leaves_services {
            End { how, leftovers: 0, unkillable: Vec::new() }
        } else {
            end_leftovers(supervisor, how, part)
        }
    } else {
        let how = match supervisor.stop() {
            Some(stop) if decided => How::Stopped { reason: stop.reason.clone() },
            // What a program is told whose terminal is taken away, whether or not it listens.
            None if decided => How::Signaled { signal: Signal::HUP.as_raw() },
            _ => How::TimedOut,
        };
        tree::terminate(&Table::read().descendants(&[own_pid()]));
        let own_grace = Instant::now().checked_add(Duration::from_millis(claim.stop_grace_ms));
        let by_request = how != How::TimedOut;
        supervisor.run_until(
            |now| match now.stop() {
                // A later request may shorten the time that is left, and a request has its own time.
                Some(stop) if by_request => stop.ends,
                Some(stop) => [stop.ends, own_grace].into_iter().flatten().min(),
                None => own_grace,
            },
            Supervisor::is_childless,
        );
        let (_, unkillable) = kill_tree(supervisor);
        End { how, leftovers: 0, unkillable }
    };
    if let Some(first) = end.unkillable.first() {
        note(&format!("{} processes cannot be killed, process {} among them", end.unkillable.len(), first.pid));
    }
    supervisor.end_output();
    let limit = Instant::now().checked_add(DRAIN_LIMIT);
    supervisor.run_until(|_| limit, Supervisor::is_drained);
    supervisor.take_rest();
    end.unkillable.retain(Identity::is_alive);
    end
}

fn how_from(status: WaitStatus) -> How {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => How::Exited { code },
        (None, signal) => How::Signaled { signal: signal.unwrap_or(0) },
    }
}

/// The command ended by itself; what it left in the background has to go too, since the worktree is needed.
fn end_leftovers(supervisor: &mut Supervisor<'_>, how: How, part: Part) -> End {
    if supervisor.is_childless() {
        return End { how, leftovers: 0, unkillable: Vec::new() };
    }
    let table = Table::read();
    // Who takes in what the command left is not of it, and goes when the rest has.
    let keeper = if part == Part::Front { table.children(own_pid()) } else { Vec::new() };
    let mut asked = table.descendants(&[own_pid()]);
    asked.retain(|process| !keeper.contains(process));
    tree::terminate(&asked);
    let limit = Instant::now().checked_add(LEFTOVERS_GRACE);
    supervisor.run_until(|_| limit, Supervisor::is_childless);
    let (killed, unkillable) = kill_tree(supervisor);
    let all: BTreeSet<Identity> = asked.into_iter().chain(killed).filter(|process| !keeper.contains(process)).collect();
    End { how, leftovers: all.len(), unkillable }
}

/// Kills everything below us and says what that was and what would not die.
fn kill_tree(supervisor: &mut Supervisor<'_>) -> (BTreeSet<Identity>, Vec<Identity>) {
    let below = || Table::read().descendants(&[own_pid()]);
    let give_up = Instant::now() + KILL_LIMIT;
    let mut killed = BTreeSet::new();
    while !supervisor.is_childless() {
        if Instant::now() >= give_up {
            return (killed, below());
        }
        killed.extend(tree::freeze_and_kill(below));
        let pass = Instant::now() + KILL_PASS;
        supervisor.run_until(|_| Some(pass), Supervisor::is_childless);
    }
    (killed, Vec::new())
}

/// The variables that we were given for the command, whose values stand in no file.
fn entrusted(names: &[String]) -> Vec<(&str, OsString)> {
    let value = |name: &String| std::env::var_os(format!("{ENTRUSTED}{name}"));
    names.iter().filter_map(|name| Some((name.as_str(), value(name)?))).collect()
}

fn spawn(run_dir: &Path, claim: &Claim, ends: &Ends) -> Result<(Child, Part), (SpawnProblem, String)> {
    let Some((program, arguments)) = claim.argv.split_first() else {
        return Err((SpawnProblem::Other, "there is no command to run".to_owned()));
    };
    if !claim.cwd.is_dir() {
        return Err((SpawnProblem::Other, format!("{} is not a directory", claim.cwd.display())));
    }
    let Some(confinement) = &claim.confinement else {
        let mut command = Command::new(program);
        command.args(arguments);
        let spawned = tree::preferring_for_oom(|| spawn_in(claim, ends, command, None));
        let spawned = spawned.map_err(|error| explain(program, &claim.cwd, &error));
        return spawned.map(|child| (child, Part::Alone));
    };
    let failed = |error: std::io::Error| (SpawnProblem::Other, format!("cannot confine {program}: {error}"));
    let attempt = |part: Part| -> Result<(Child, Part), (SpawnProblem, String)> {
        let StandIn { command, report, theirs } = confine::stand_in(part, run_dir).map_err(failed)?;
        let (given, kept) = if part == Part::Front { (Some(theirs), None) } else { (None, Some(theirs)) };
        // Whoever stays in front of the command is not preferred, and sees to it that the command is.
        let spawn = || spawn_in(claim, ends, command, given);
        let spawned = if part == Part::Front { spawn() } else { tree::preferring_for_oom(spawn) };
        let mut child = spawned.map_err(failed)?;
        drop(kept);
        report.wait().inspect_err(|_| {
            // It ends by itself, and what it would have run has not begun.
            if let Err(error) = child.wait() {
                note(&format!("the command's place-holder cannot be waited for: {error}"));
            }
        })?;
        Ok((child, part))
    };
    // The keys of a pane can be given away once.
    let hoped = confine::part(confinement.level, ends.pane.is_some());
    attempt(hoped).or_else(|problem| {
        let unconfined = problem.0 == SpawnProblem::Unconfined && hoped == Part::Front && ends.pane.is_none();
        match unconfined.then(|| confine::part(confinement.level, true)) {
            Some(part) if part != hoped => attempt(part),
            _ => Err(problem),
        }
    })
}

/// Starts a program with the environment, the input and the output that the claim says. One that stays in front of the
/// command has a pipe for its input, and takes nothing of a terminal but its output.
fn spawn_in(claim: &Claim, ends: &Ends, mut command: Command, pipe: Option<OwnedFd>) -> std::io::Result<Child> {
    command.env_clear();
    let entrusted = || [&claim.secrets, &claim.given].into_iter().flat_map(|names| entrusted(names));
    let with_terminal = |mut command: Command, variables: [(&str, &str); 2]| {
        command.envs(variables).envs(&claim.env).envs(entrusted()).current_dir(&claim.cwd);
        for name in SIZE_VARIABLES {
            command.env_remove(name);
        }
        command
    };
    if let Some(terminal) = &ends.terminal {
        let command = with_terminal(command, TERMINAL_VARIABLES);
        match pipe {
            Some(pipe) => terminal.spawn_in_front(command, pipe),
            None => terminal.spawn(command),
        }
    } else if let Some(pane) = &ends.pane {
        pane.spawn(with_terminal(command, tmux::VARIABLES), pipe)
    } else {
        command.envs(&claim.env).envs(entrusted()).current_dir(&claim.cwd).process_group(0);
        command.stdin(pipe.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

/// Why a command could not be started, as far as the system says.
pub(super) fn explain(program: &str, cwd: &Path, error: &std::io::Error) -> (SpawnProblem, String) {
    use std::io::ErrorKind;
    let is_there = program.contains('/') && cwd.join(program).exists();
    match error.kind() {
        ErrorKind::NotFound if is_there => {
            (SpawnProblem::Missing, format!("{program} names an interpreter or loader that is not there"))
        }
        ErrorKind::NotFound if program.contains('/') => (SpawnProblem::Missing, format!("there is no {program}")),
        ErrorKind::NotFound => (SpawnProblem::Missing, format!("there is no {program} in PATH")),
        ErrorKind::PermissionDenied => (SpawnProblem::NotExecutable, format!("{program} may not be executed")),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => (
            SpawnProblem::NotExecutable,
            format!("{program} is neither a program nor a script that names its interpreter"),
        ),
        _ => (SpawnProblem::Other, format!("cannot start {program}: {error}")),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a request to stop. Whatever is there under that name is a request, so that `touch stop` is one.
pub(super) fn read_stop(run_dir: &Path, claim: &Claim) -> Option<super::StopRequest> {
    match files::read(run_dir, STOP) {
        Ok(request) => request,
        Err(error) => {
            note(&format!("{error}; stopping all the same"));
            Some(super::StopRequest { reason: "stopped".to_owned(), grace_ms: claim.stop_grace_ms })
        }
    }
}
