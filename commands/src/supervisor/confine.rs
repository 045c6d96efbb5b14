//! What a confined agent may reach, and the gates on its work, since they run what it wrote. The levels are the agent's own
//! settings; here they become paths. The kernel's part is elsewhere.
//!
//! An agent changes its worktree, the private part of git that belongs to it, git's objects, the branches of tasks, and a
//! folder for what it has to say; at the strict level a clone of its own instead of anything of git's. Everything else of
//! the repository it only reads, and what is the supervisor's not at all.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use pipeline_lib::agents::needs;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::Run;
use pipeline_lib::settings::Sandbox;
use pipeline_worktrees::host::{self, Confinement};

use super::environment;
use super::perform::Failure;
use crate::config::AgentConfig;
use crate::context::Context;
use crate::program;

/// The folder in a run's directory for what its programs put aside. It goes with the end of the run.
const SCRATCH: &str = "tmp";
/// In that: its home, at the strict level.
const HOME: &str = "home";
/// Variables that lead to folders in a home.
const OF_HOME: [&str; 4] = ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];
/// Says to a confined program how far it is.
pub(crate) const SANDBOX_VARIABLE: &str = "PIPELINE_SANDBOX";
const TOLD_BASIC: &str = "You are confined to this worktree: nothing else can be changed, `$TMPDIR` is for temporary files, and \
other branches, tags and git's settings cannot be written. `git commit` may print that `packed-refs.lock` cannot be created; \
the commit is made all the same. `git stash`, `git tag` and `git branch -D` do not work here.";
const TOLD_STRICT: &str = "You are confined to this worktree, which is a private clone of the repository: nothing else can be \
changed, and `$TMPDIR` and `$HOME` last as long as you do. All of git works, but what counts is what you commit on your branch; \
other branches, tags and settings stay in the clone, and there is nobody to push to.";
/// Where the system keeps programs and what they need.
const SYSTEM: [&str; 16] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
    "/run/current-system",
];
/// Devices that are no one's.
const DEVICES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/shm"];
/// All terminals: also those of other programs.
const TERMINALS: &str = "/dev/pts";
/// What people keep secrets in, in their homes.
const PRIVATE: [&str; 19] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".config/git/credentials",
    ".config/gh",
    ".config/gcloud",
    ".config/pipeline",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
    ".bash_history",
];
/// What of a home git reads.
const OF_GIT: [&str; 3] = [".gitconfig", ".config/git/config", ".config/git/ignore"];

/// Says why an agent's level is not available here.
pub(crate) fn lacking(agent: &AgentConfig) -> Option<String> {
    host::sandbox_available(agent.sandbox).err()
}

/// How an agent is confined in its worktree. `git_dir` is the private part of git that belongs to that, or a clone's.
///
/// # Errors
/// When the level that its settings ask for is not available: then it does not start.
pub(super) fn of_agent(
    context: &Context,
    agent: &AgentConfig,
    run: &Run,
    branch: &str,
    (worktree, git_dir): (&Path, &Path),
) -> Result<Option<Confinement>, Failure> {
    let Some(mut confinement) = basis(context, &[agent], run, worktree)? else { return Ok(None) };
    confinement.write.extend([git_dir.to_owned(), context.outcome_dir(run)]);
    if agent.sandbox == Sandbox::Strict {
        // The clone borrows objects, and that is all it needs of the repository.
        confinement.read.extend(context.repo().object_dirs());
        return Ok(Some(confinement));
    }
    let common = context.repo().common_dir();
    confinement.read.push(common.to_owned());
    if common.join("reftable").is_dir() {
        return Err(refused(agent, "its branches are all in one place of git's, the format reftable"));
    }
    let space = Path::new("refs/heads").join(Path::new(branch).parent().unwrap_or(Path::new("")));
    let branches = [common.join(&space), common.join("logs").join(&space)];
    for folder in branches.iter().chain([&common.join("objects")]) {
        std::fs::create_dir_all(folder)?;
    }
    confinement.write.push(common.join("objects"));
    // A branch without a folder of its own would open those of everybody.
    if space != Path::new("refs/heads") {
        confinement.write.extend(branches);
    }
    Ok(Some(confinement))
}

/// How a gate is confined: as far as anyone is whose work it runs.
///
/// # Errors
/// When that is not available: then it does not start.
pub(super) fn of_gate(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    (worktree, git_dir): (&Path, &Path),
) -> Result<Option<Confinement>, Failure> {
    let task = run.task.as_ref().and_then(|id| pipeline.task(id.as_str()));
    let earlier = task.into_iter().flat_map(|task| task.runs.iter().map(|earlier| &earlier.agent));
    let mut agents: Vec<&AgentConfig> = earlier.chain([&run.agent]).filter_map(|name| context.agent(name)).collect();
    agents.retain(|agent| agent.sandbox != Sandbox::Off);
    agents.sort_by_key(|agent| &agent.name);
    agents.dedup();
    let Some(mut confinement) = basis(context, &agents, run, worktree)? else { return Ok(None) };
    confinement.write.push(git_dir.to_owned());
    confinement.read.push(context.repo().common_dir().to_owned());
    Ok(Some(confinement))
}

fn refused(agent: &AgentConfig, why: &str) -> Failure {
    let level = agent.sandbox.as_str();
    Failure::permanent(format!(
        "{} is not started: it is to be confined (sandbox = \"{level}\"), and {why}. Nothing runs less confined than it \
         was asked for; write another level in .pipeline/config.toml to change that",
        agent.name
    ))
}

/// What all of them have in common. Nothing if nobody is confined.
fn basis(
    context: &Context,
    agents: &[&AgentConfig],
    run: &Run,
    worktree: &Path,
) -> Result<Option<Confinement>, Failure> {
    let Some(strictest) = agents.iter().max_by_key(|agent| agent.sandbox) else { return Ok(None) };
    let level = strictest.sandbox;
    if level == Sandbox::Off {
        return Ok(None);
    }
    if let Some(why) = lacking(strictest) {
        return Err(refused(strictest, &why));
    }
    if level == Sandbox::Strict && context.root().starts_with(host::SHARED_MEMORY) {
        let why =
            format!("the repository lies in {}, where it would see nothing but what is its own", host::SHARED_MEMORY);
        return Err(refused(strictest, &why));
    }
    let home = context.environment().get("HOME").map(PathBuf::from);
    let at_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let scratch = context.run_dir(&run.id).join(SCRATCH);
    private_dir(&scratch)?;
    let mut write: Vec<PathBuf> = DEVICES.iter().map(PathBuf::from).collect();
    write.extend([worktree.to_owned(), scratch.clone()]);
    let mut read = Vec::new();
    for agent in agents {
        let folders: Vec<PathBuf> = needs::folders(agent.preset).iter().filter_map(|name| at_home(name)).collect();
        folders.iter().for_each(|folder| make_folder(folder));
        write.extend(folders);
        write.extend(agent.write.iter().filter_map(|path| expand(path, home.as_deref())));
        read.extend(agent.read.iter().filter_map(|path| expand(path, home.as_deref())));
        read.extend(program(agent, worktree));
    }
    match level {
        Sandbox::Strict => {
            read.extend(SYSTEM.iter().map(PathBuf::from));
            read.extend(OF_GIT.iter().filter_map(|name| at_home(name)));
            read.extend(context.environment().get("GIT_CONFIG_GLOBAL").map(PathBuf::from));
            read.extend(program::path());
            let path = context.environment().get("PATH").map(String::as_str).unwrap_or_default();
            read.extend(path.split(':').filter(|dir| dir.starts_with('/')).map(PathBuf::from));
            if let Some(home) = &home {
                let named: Vec<PathBuf> = agents.iter().flat_map(|agent| of_home(agent, home)).collect();
                make_home(&scratch, home, named)?;
            }
        }
        Sandbox::Off | Sandbox::Basic => {
            read.push(PathBuf::from("/"));
            // Programs ask for terminals of their own, and no rule tells those from others.
            write.push(PathBuf::from(TERMINALS));
        }
    }
    let mut hidden = vec![context.folder(), PathBuf::from("/run/user")];
    hidden.extend(PRIVATE.iter().filter_map(|name| at_home(name)));
    hidden.extend(context.environment().get("XDG_CONFIG_HOME").map(|dir| Path::new(dir).join("pipeline")));
    hidden.extend(context.environment().get("XDG_RUNTIME_DIR").map(PathBuf::from));
    // What a person names is not hidden.
    hidden.retain(|path| {
        !agents.iter().any(|agent| {
            agent.read.iter().chain(&agent.write).any(|named| expand(named, home.as_deref()).as_ref() == Some(path))
        })
    });
    let network = agents.iter().all(|agent| agent.network || agent.sandbox != Sandbox::Strict);
    let real = |paths: Vec<PathBuf>| {
        let mut real: Vec<PathBuf> = paths.into_iter().filter_map(|path| path.canonicalize().ok()).collect();
        real.sort();
        real.dedup();
        real
    };
    let (read, hidden, write) = (real(read), real(hidden), real(write));
    Ok(Some(Confinement { level, read, hidden, write, scratch, network }))
}

/// Makes a folder that a program keeps for itself and that it could not make where it is confined. Whether that succeeds
/// the program says itself. What has an ending is a file, and is left to the program.
fn make_folder(path: &Path) {
    if path.extension().is_none() && path.symlink_metadata().is_err() {
        private_dir(path).ok();
    }
}

/// What an agent has of its owner's home: what its program keeps there, what git reads, and what its settings name.
fn of_home(agent: &AgentConfig, home: &Path) -> impl Iterator<Item = PathBuf> {
    let known = needs::folders(agent.preset).iter().chain(&OF_GIT).map(|name| home.join(name));
    let named = agent.read.iter().chain(&agent.write).filter_map(|path| expand(path, Some(home)));
    known.chain(named)
}

/// Makes a home that lasts as long as a run, from which links lead to what is named of the real one. Nothing else of that
/// is found by whoever begins at `$HOME`.
fn make_home(scratch: &Path, real: &Path, mut named: Vec<PathBuf>) -> std::io::Result<()> {
    let home = scratch.join(HOME);
    // What is there may be in use already, and is not ours any more.
    if home.symlink_metadata().is_ok() {
        return Ok(());
    }
    let draft = tempfile::tempdir_in(scratch)?;
    named.sort();
    named.dedup();
    let mut linked: Vec<&Path> = Vec::new();
    for path in &named {
        let Ok(name) = path.strip_prefix(real) else { continue };
        let is_there = !name.as_os_str().is_empty() && path.symlink_metadata().is_ok();
        if !is_there || linked.iter().any(|above| path.starts_with(above)) {
            continue;
        }
        let link = draft.path().join(name);
        link.parent().map_or(Ok(()), private_dir)?;
        std::os::unix::fs::symlink(path, link)?;
        linked.push(path);
    }
    std::fs::rename(draft.keep(), home)
}

/// Tells a confined program of it: where it may put things aside, where its home is, and that git need not tidy up. What
/// its settings say it is told all the same.
pub(super) fn tell(confinement: &Confinement, env: &mut BTreeMap<String, String>, settings: &BTreeMap<String, String>) {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut told =
        vec![("TMPDIR", text(&confinement.scratch)), (SANDBOX_VARIABLE, confinement.level.as_str().to_owned())];
    let home = confinement.scratch.join(HOME);
    if home.is_dir() {
        told.push(("HOME", text(&home)));
        // They lead to the other home.
        env.retain(|name, _| !OF_HOME.contains(&name.as_str()) || settings.contains_key(name));
    }
    told.retain(|(name, _)| *name != "HOME" || !settings.contains_key(*name));
    env.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value)));
    environment::tell_git(env, &environment::UNTIDIED);
}

/// What an agent is told of its level in its task file, so that it does not take the sandbox for a fault.
pub(super) fn told(level: Sandbox) -> Option<&'static str> {
    match level {
        Sandbox::Off => None,
        Sandbox::Basic => Some(TOLD_BASIC),
        Sandbox::Strict => Some(TOLD_STRICT),
    }
}

fn expand(path: &str, home: Option<&Path>) -> Option<PathBuf> {
    match path.strip_prefix('~') {
        Some(rest) => Some(home?.join(rest.trim_start_matches('/'))),
        None => Some(PathBuf::from(path)),
    }
}

/// The program of an agent where it is named by its path. Others are looked for in the path, which can be read.
fn program(agent: &AgentConfig, worktree: &Path) -> Option<PathBuf> {
    let template = agent.template();
    let program = template.first()?;
    (program.contains('/') && !program.contains('{')).then(|| worktree.join(program))
}

/// Makes a directory for its owner alone.
pub(super) fn private_dir(path: &Path) -> std::io::Result<()> {
    // Mostly it is there.
    if std::fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
