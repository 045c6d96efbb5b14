//! Confining a command: what it may read and change, whom it may signal and talk to. The kernel sees to it (Landlock and
//! seccomp), for the command and for everything it starts, and nothing can take it back.
//!
//! It needs no privilege and no helper program: this program is started in the command's place, confines itself, and becomes
//! the command, or stays where that has its processes for itself. Where the kernel lacks what a level needs, nothing is
//! started. What a level lets a command reach is not decided here; that is in the claim.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use pipeline_lib::settings::Sandbox;
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

use super::files::{self, CLAIM};
use super::first;
use super::namespaces::{self, Namespaces, SHARED_MEMORY};
use super::records::{Claim, SpawnProblem};
use super::run::explain;
use super::syscalls;

/// More paths than this mean that something was enumerated which should not have been.
const PATHS_MAX: usize = 20_000;
/// What a command that could not be started may say about it.
pub(super) const PROBLEM_BYTES_MAX: u64 = 64 * 1024;
/// The exit code of this program where the command could not be started; what it means is said elsewhere.
const NOT_STARTED: u8 = 127;
/// What this program is started with in the place of a command.
pub(super) const VERB: &str = "__confine";
/// In the place of a run's directory: only to find out whether it can be done.
const TRY: &str = "--try";

/// What this program is in the place of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It becomes the command.
    Alone,
    /// It becomes the command, in namespaces of its own.
    Apart,
    /// It stays in front of the command, which has its processes for itself.
    Front,
    /// It is the first of those.
    First,
}

impl Part {
    const ALL: [Self; 4] = [Self::Alone, Self::Apart, Self::Front, Self::First];

    /// On the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Apart => "apart",
            Self::Front => "front",
            Self::First => "first",
        }
    }
}

/// What a confined command may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// How far it is confined.
    pub level: Sandbox,
    /// What it may read and execute, with everything below, but for what is hidden.
    pub read: Vec<PathBuf>,
    /// What it may not read, with everything below, although it is below something that it may.
    pub hidden: Vec<PathBuf>,
    /// What it may read and change, with everything below. Nothing hides it.
    pub write: Vec<PathBuf>,
    /// A directory for what it puts aside, which is empty when it begins and gone when it has ended.
    pub scratch: PathBuf,
    /// Whether it has a network at the strict level. At the basic level it always has.
    pub network: bool,
}

/// Says what the kernel lacks for a level.
///
/// # Errors
/// When the level is not available on this machine.
pub fn available(level: Sandbox) -> Result<(), String> {
    if level == Sandbox::Off {
        return Ok(());
    }
    rules(level).map(drop)?;
    syscalls::available()
}

/// The rules of a level, which allow nothing yet. What a level cannot do without is required, the rest is taken where the
/// kernel has it.
fn rules(level: Sandbox) -> Result<RulesetCreated, String> {
    let lacking = |error: &dyn std::error::Error| {
        format!("this kernel cannot confine a program at the level {}: {error}", level.as_str())
    };
    let scopes = Scope::Signal | Scope::AbstractUnixSocket;
    let scopes_needed = if level == Sandbox::Strict { CompatLevel::HardRequirement } else { CompatLevel::BestEffort };
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))
        .and_then(|rules| rules.set_compatibility(scopes_needed).scope(scopes))
        .and_then(|rules| rules.set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(ABI::V9)))
        .and_then(Ruleset::create)
        .map_err(|error| lacking(&error))
}

/// Confines this process, for ever. `apart` says that it has shared memory of its own.
pub(super) fn confine(to: &Confinement, apart: bool) -> Result<(), String> {
    let read = AccessFs::from_read(ABI::V9);
    // Nobody's work needs a device file of its own.
    let write = AccessFs::from_all(ABI::V9) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut rules = rules(to.level)?;
    if to.level == Sandbox::Basic {
        // Names can be seen everywhere, as can times and sizes; what is in a file cannot.
        rules = allow(rules, Path::new("/"), AccessFs::ReadDir.into())?;
    }
    let mut paths = Vec::new();
    for path in &to.read {
        visible(path, &to.hidden, &mut paths)?;
    }
    for path in &paths {
        rules = allow(rules, path, read)?;
    }
    // Everybody's shared memory is what other programs work with.
    let is_others = |path: &Path| to.level == Sandbox::Strict && !apart && path == Path::new(SHARED_MEMORY);
    for path in to.write.iter().filter(|path| !is_others(path)) {
        rules = allow(rules, path, write)?;
    }
    let status = rules.restrict_self().map_err(|error| format!("the command cannot be confined: {error}"))?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("the command cannot be confined: the kernel did not enforce it".to_owned());
    }
    drop_powers()?;
    syscalls::restrict(to.level, to.network)
}

/// Gives up what a privileged user can do beyond other users: some of it goes past these rules, such as looking into other
/// processes. What the command starts cannot get it back.
pub(super) fn drop_powers() -> Result<(), String> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).map_err(|error| format!("its powers cannot be dropped: {error}"))
}

fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, String> {
    // What is not there cannot be reached either.
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(rules) };
    let Ok(fd) = PathFd::new(path) else { return Ok(rules) };
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(ABI::V9) };
    let added = rules.add_rule(PathBeneath::new(fd, access));
    added.map_err(|error| format!("{} cannot be allowed: {error}", path.display()))
}

/// The paths that together are all of `path` but what is hidden. A link is not one: where it leads counts by its own name.
fn visible(path: &Path, hidden: &[PathBuf], found: &mut Vec<PathBuf>) -> Result<(), String> {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) {
        return Ok(());
    }
    if found.len() >= PATHS_MAX {
        return Err(format!("there are too many files beside what is hidden from the command, at {}", path.display()));
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        found.push(path.to_owned());
        return Ok(());
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            visible(&entry.path(), hidden, found)?;
        }
    }
    Ok(())
}

/// Removes what a confined command put aside. What cannot be removed stays, and is said.
pub(super) fn clear(scratch: &Path) {
    match std::fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            super::run::note(&format!("cannot remove {}: {error}", scratch.display()));
        }
        _ => {}
    }
}

/// The end of a pipe through which the command's place-holder says why it could not become the command.
pub(super) struct Report(OwnedFd);

/// This program in the place of a command.
pub(super) struct StandIn {
    /// How it is started.
    pub(super) command: Command,
    /// Where it says why the command could not be started.
    pub(super) report: Report,
    /// Its end of that. It is inherited, but for one that stays in front: that has it for its input, until it has put there
    /// what the command has.
    pub(super) theirs: OwnedFd,
}

/// The part that this program plays in the place of a command. It is hoped for the best on a machine of which nothing is known
/// yet, unless it `is_sure`: finding out is as slow as trying.
pub(super) fn part(level: Sandbox, is_sure: bool) -> Part {
    if level != Sandbox::Strict {
        return Part::Alone;
    }
    let known = if is_sure { Some(namespaces::known()) } else { namespaces::known_already() };
    match known {
        None | Some(Namespaces::All) => Part::Front,
        Some(Namespaces::ButProcesses(_)) => Part::Apart,
        Some(Namespaces::None(_)) => Part::Alone,
    }
}

/// Puts this program in the place of a command. It finds the command in the claim.
pub(super) fn stand_in(part: Part, run_dir: &Path) -> io::Result<StandIn> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(VERB).arg(part.word()).arg(run_dir);
    if part != Part::Front {
        rustix::io::fcntl_setfd(&theirs, FdFlags::empty())?;
        command.arg(theirs.as_raw_fd().to_string());
    }
    Ok(StandIn { command, report: Report(ours), theirs })
}

/// Finds out whether a part can be played on this machine.
pub(super) fn try_out(part: Part) -> Result<(), String> {
    let tried = || -> io::Result<Result<(), (SpawnProblem, String)>> {
        let StandIn { mut command, report, theirs } = stand_in(part, Path::new(TRY))?;
        command.stdin(if part == Part::Front { Stdio::from(theirs.try_clone()?) } else { Stdio::null() });
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        drop((command, theirs));
        let said = report.wait();
        let status = child.wait()?;
        // One that could say nothing was kept from it.
        Ok(said.and_then(|()| if status.success() { Ok(()) } else { Err(problem(&[])) }))
    };
    match tried() {
        Ok(tried) => tried.map_err(|(_, why)| why),
        Err(error) => Err(error.to_string()),
    }
}

impl Report {
    /// Waits until the command has begun. Nobody but it may have the other end any more.
    pub(super) fn wait(self) -> Result<(), (SpawnProblem, String)> {
        let mut said = Vec::new();
        let read = File::from(self.0).take(PROBLEM_BYTES_MAX).read_to_end(&mut said);
        if read.is_ok() && said.is_empty() { Ok(()) } else { Err(problem(&said)) }
    }
}

/// What was said of a command that did not begin.
pub(super) fn problem(said: &[u8]) -> (SpawnProblem, String) {
    let unclear = |_| (SpawnProblem::Other, "the command could not be confined".to_owned());
    serde_json::from_slice(said).unwrap_or_else(unclear)
}

/// Plays a part in the place of a run's command, as the run's claim says. The words say which part, the run's directory, and
/// the number of a pipe where the other parts have it for their input.
#[must_use]
pub fn main(words: &[OsString]) -> ExitCode {
    let part = words.first().and_then(|word| Part::ALL.into_iter().find(|part| word == part.word()));
    let (Some(part), Some(run_dir)) = (part, words.get(1)) else { return ExitCode::from(NOT_STARTED) };
    let run_dir = Path::new(run_dir);
    let claim = (run_dir != Path::new(TRY)).then(|| claim(run_dir)).transpose();
    let asked = claim.as_ref().ok().and_then(Option::as_ref);
    let pipe = match part {
        // The pipe is opened anew, so that it closes by itself when the command begins; so does whatever else is open.
        Part::Alone | Part::Apart => {
            let number = words.get(2).map(|word| word.to_string_lossy()).unwrap_or_default();
            File::options().write(true).open(format!("/proc/self/fd/{number}"))
        }
        Part::Front | Part::First => first::take_pipe(asked),
    };
    close_fds::set_fds_cloexec(3, &[]);
    let mut pipe = match pipe {
        Ok(pipe) => Some(pipe),
        Err(error) => {
            // The exit code says that much to whoever looks.
            super::run::note(&format!("the command cannot be started, and nobody could be told: {error}"));
            return ExitCode::from(NOT_STARTED);
        }
    };
    let played = claim.and_then(|claim| match part {
        Part::Alone | Part::Apart => become_command(claim.as_ref(), part),
        Part::Front => first::stand_in_front(run_dir, claim.as_ref(), &mut pipe),
        Part::First => first::be_first(claim.as_ref(), &mut pipe),
    });
    let problem = match played {
        Ok(code) => return code,
        Err(problem) => problem,
    };
    let said = serde_json::to_vec(&problem).unwrap_or_default();
    if let Some(Err(error)) = pipe.map(|mut pipe| pipe.write_all(&said)) {
        super::run::note(&format!("{}; and nobody could be told: {error}", problem.1));
    }
    ExitCode::from(NOT_STARTED)
}

fn claim(run_dir: &Path) -> Result<Claim, (SpawnProblem, String)> {
    match files::read::<Claim>(run_dir, CLAIM) {
        Ok(Some(claim)) => Ok(claim),
        Ok(None) => Err((SpawnProblem::Other, "its claim is gone".to_owned())),
        Err(error) => Err((SpawnProblem::Other, error.to_string())),
    }
}

/// What a claim says of a confined command.
pub(super) fn asked(claim: &Claim) -> Result<(&Confinement, &str, &[String]), (SpawnProblem, String)> {
    match (&claim.confinement, claim.argv.split_first()) {
        (Some(to), Some((program, arguments))) => Ok((to, program, arguments)),
        _ => Err((SpawnProblem::Other, "its claim says nothing of a confinement".to_owned())),
    }
}

/// Confines this process and becomes the command. Returns only where that fails, or where it is only tried.
fn become_command(claim: Option<&Claim>, part: Part) -> Result<ExitCode, (SpawnProblem, String)> {
    let unconfined = |message: String| (SpawnProblem::Unconfined, message);
    let to = claim.map(asked).transpose()?;
    let apart = part == Part::Apart;
    if apart {
        namespaces::enter(to.is_some_and(|(to, ..)| to.network), false).map_err(unconfined)?;
    }
    let (Some(claim), Some((to, program, arguments))) = (claim, to) else { return Ok(ExitCode::SUCCESS) };
    confine(to, apart).map_err(unconfined)?;
    let error = Command::new(program).args(arguments).exec();
    Err(explain_confined(to, program, &claim.cwd, &error))
}

/// Why a confined command could not be started. The system says of what may not be read there what it says of a file that
/// nobody may execute.
pub(super) fn explain_confined(
    to: &Confinement,
    program: &str,
    cwd: &Path,
    error: &std::io::Error,
) -> (SpawnProblem, String) {
    let (problem, said) = explain(program, cwd, error);
    let is_walled = to.level == Sandbox::Strict && error.kind() == std::io::ErrorKind::PermissionDenied;
    match is_walled {
        true => (
            problem,
            format!("{said} behind its wall: name its folder and that of its interpreter in `read` of the agent"),
        ),
        false => (problem, said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a/b/secret", "a/b/open", "a/c", "d"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("a/b/secret"), at("link")).unwrap();
        let seen = |hidden: &[PathBuf]| {
            let mut found = Vec::new();
            visible(dir.path(), hidden, &mut found).unwrap();
            found.sort();
            found
        };
        assert_eq!(seen(&[at("a/b/secret")]), [at("a/b/open"), at("a/c"), at("d")]);
        assert_eq!(seen(&[at("elsewhere/x")]), [at("a"), at("d")]);
        assert_eq!(seen(&[PathBuf::from("/nonexistent")]), [dir.path()]);
        assert!(seen(&[dir.path().to_owned()]).is_empty());
    }

    #[test]
    fn every_part_is_known_by_its_word() {
        for part in Part::ALL {
            assert_eq!(Part::ALL.iter().filter(|other| other.word() == part.word()).count(), 1, "{part:?}");
        }
        assert_eq!(main(&["nobody".into(), TRY.into()]), ExitCode::from(NOT_STARTED));
    }

    #[test]
    fn what_is_said_of_a_failure_is_told_and_else_that_it_is_unclear() {
        let said = (SpawnProblem::Missing, "there is no x in PATH".to_owned());
        assert_eq!(problem(&serde_json::to_vec(&said).unwrap()), said);
        assert_eq!(problem(b".").0, SpawnProblem::Other);
    }

    #[test]
    fn off_is_available_everywhere() {
        assert_eq!(available(Sandbox::Off), Ok(()));
    }
}
