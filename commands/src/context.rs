//! Where a verb works: the repository, its configuration, its directories, and how to speak to the person. Passed to
//! everything that needs it; there is no global state.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pipeline_lib::agents::template::{Vars, expand};
use pipeline_lib::decide::gate_worktree;
use pipeline_lib::event::{Event, Request};
use pipeline_lib::ids::{AgentName, CommitId, RunId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::registry::Registry;
use pipeline_lib::settings::Settings;
use pipeline_lib::workflow::Workflow;
use pipeline_state::{LockGuard, Locker, Options};
use pipeline_worktrees::git::{AtWork, GitError, Repo};
use pipeline_worktrees::host::HostProgram;

use crate::config::{self, AgentConfig, Config, Definitions, Loaded, WorkflowSet};
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::{shipped, supervisor};
pub use files::sources;
use files::{Stamp, read_configuration, stamp};

/// The folder of everything that is ours in a supervised repository.
pub const FOLDER: &str = ".pipeline";
/// How long a tick waits for another process's tick.
const TICK_WAIT: Duration = Duration::from_secs(20);

/// How long a long-lived process works with what it once learned of a repository, such as its filters. Opening it costs
/// as much as many a tick.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The right to tick, until dropped.
#[derive(Debug)]
pub struct Ticking {
    // Dropped first: while the mark is there the lock has to be held.
    pub(crate) at_work: AtWork,
    _lock: LockGuard,
}

/// What the command line and the environment say before a verb is known.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// Where to look for the repository.
    pub dir: PathBuf,
    /// `--config`.
    pub config_file: Option<PathBuf>,
    /// Settings given on the command line, by dotted key.
    pub overrides: BTreeMap<String, String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The verb and its arguments, for the one who waits for our lock.
    pub command: String,
}

/// A repository, found, with nothing read yet.
#[derive(Debug)]
pub struct Site {
    /// The repository.
    pub repo: Repo,
    /// Its main checkout.
    pub root: PathBuf,
}

impl Site {
    /// Finds the repository of a directory; from a linked worktree, an agent's included, that is the main checkout.
    ///
    /// # Errors
    /// When there is none, or it cannot be worked in.
    pub fn find(globals: &Globals) -> Result<Self> {
        let repo = Repo::discover(&globals.dir)?;
        let root = repo.main_checkout().to_owned();
        Ok(Self { repo, root })
    }

    /// The folder of everything that is ours.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// Whether a pipeline was created here.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.folder().join("state").is_dir()
    }
}

/// Where a verb works.
#[derive(Debug)]
pub struct Context {
    globals: Globals,
    output: Output,
    site: Site,
    loaded: Loaded,
    workflows: WorkflowSet,
    registry: Registry,
    definitions: Definitions,
    settings: Arc<Settings>,
    host: HostProgram,
    /// Whether this verb records a changed configuration. What an agent reports must not.
    configures: bool,
    /// What was wrong with the configuration when it was last read again, so that it is said once.
    complaint: Option<String>,
    /// What the configuration's files looked like before they were read.
    stamp: Stamp,
    /// When the repository was opened.
    opened: Instant,
    /// What was last made of the project's workflows together with some of the program's.
    shipped: Mutex<Option<WithShipped>>,
    /// What agents are given under names which say that it is secret, once somebody asked.
    secrets_of_agents: OnceLock<Arc<[String]>>,
    /// What commands start from, once somebody asked.
    of_commands: OnceLock<BTreeMap<String, String>>,
}

/// The project's workflows together with some of the program's.
#[derive(Debug)]
struct WithShipped {
    names: BTreeSet<String>,
    workflows: Vec<Arc<Workflow>>,
    digest: String,
}

impl Context {
    /// Finds the repository and reads its configuration.
    ///
    /// # Errors
    /// When there is no repository, no pipeline in it, or the configuration is invalid.
    pub fn open(globals: &Globals, output: &Output) -> Result<Self> {
        let site = Site::find(globals)?;
        if !site.is_initialised() {
            return Err(CommandError::failed(format!("there is no pipeline in {} yet", site.root.display()))
                .hint("Run `pipeline init` to create one, or `pipeline demo` to see one at work."));
        }
        Self::load(globals, output, site)
    }

    /// Reads the configuration of a repository that may have no state yet.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn load(globals: &Globals, output: &Output, site: Site) -> Result<Self> {
        // Before the files are read, so that a change meanwhile is seen the next time.
        let stamp = stamp(globals, &site);
        let (loaded, definitions, workflows, registry) = read_configuration(globals, &site)?;
        let base = match &loaded.config.project.base {
            Some(base) => base.clone(),
            None => site.repo.guess_base()?,
        };
        let settings = Arc::new(config::with_registry(loaded.config.settings(&base), &registry, &workflows));
        Ok(Self {
            globals: globals.clone(),
            output: output.clone(),
            site,
            loaded,
            workflows,
            registry,
            definitions,
            settings,
            host: HostProgram::this(),
            configures: true,
            complaint: None,
            stamp,
            opened: Instant::now(),
            shipped: Mutex::default(),
            secrets_of_agents: OnceLock::new(),
            of_commands: OnceLock::new(),
        })
    }

    /// The same, for a verb that must not record a changed configuration.
    #[must_use]
    pub fn not_configuring(mut self) -> Self {
        self.configures = false;
        self
    }

    /// Reads the configuration and opens the repository again where a long-lived process may hold old ones.
    ///
    /// # Errors
    /// When the repository is gone. An invalid configuration is said, and the last good one stays in force.
    pub fn reload(&mut self) -> Result<()> {
        if self.opened.elapsed() >= REOPEN_AFTER {
            self.site.repo = Repo::discover(&self.site.root)?;
            self.opened = Instant::now();
        }
        // A base that is not written down follows the checkout, which has no file among these.
        let settled = self.complaint.is_none() && self.config().project.base.is_some();
        if settled && stamp(&self.globals, &self.site) == self.stamp {
            return Ok(());
        }
        let site = Site { repo: Repo::discover(&self.site.root)?, root: self.site.root.clone() };
        match Self::load(&self.globals, &self.output, site) {
            Ok(fresh) => *self = Self { configures: self.configures, ..fresh },
            Err(error) if error.code == exit::CONFIG => {
                if self.complaint.as_ref() != Some(&error.message) {
                    self.note(&format!("{}\nThe last valid configuration stays in force.", error.message));
                }
                self.complaint = Some(error.message);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Says nothing beside the data any more: a screen is drawn where it would appear.
    pub fn silence(&mut self) {
        self.output.quiet = true;
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &Repo {
        &self.site.repo
    }

    /// The main checkout.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.site.root
    }

    /// What agents are given under names which say that it is secret.
    pub(crate) fn secrets_of_agents(&self) -> Arc<[String]> {
        let found = || supervisor::environment::secrets_of_agents(self).into();
        self.secrets_of_agents.get_or_init(found).clone()
    }

    /// What commands start from: what of our environment they are given.
    pub(crate) fn environment_of_commands(&self) -> BTreeMap<String, String> {
        self.of_commands.get_or_init(|| supervisor::environment::of_commands(self)).clone()
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The configuration with its origins.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The workflows.
    #[must_use]
    pub fn workflows(&self) -> &WorkflowSet {
        &self.workflows
    }

    /// What the registry says.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The agents' prompts.
    #[must_use]
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// How to speak to the person.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What was given before the verb.
    #[must_use]
    pub fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.globals.environment
    }

    /// How a host is started.
    #[must_use]
    pub fn host_program(&self) -> &HostProgram {
        &self.host
    }

    /// Says something beside the data.
    pub fn note(&self, text: &str) {
        tracing::warn!(text, "notice");
        self.output.note(text);
    }

    /// The branch that work is merged into.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.settings.base
    }

    /// Where it is.
    ///
    /// # Errors
    /// When there is no such branch.
    pub fn base_head(&self) -> Result<CommitId, GitError> {
        let base = self.base();
        self.repo().branch_head(base)?.ok_or_else(|| GitError::NoSuchBranch { branch: base.to_owned() })
    }

    /// The event that records the configuration, where it differs from what is recorded: the project's workflows, and of
    /// those that come with the program the ones that are in use or that these events put a task on. One whose files have changed
    /// since is not recorded any more: somebody else may have recorded the newer one already.
    #[must_use]
    pub fn configure_event(&self, pipeline: &Pipeline, events: &[Event]) -> Option<Event> {
        if !self.configures {
            return None;
        }
        let (workflows, digest) = self.with_shipped(in_use(pipeline, events));
        let differs = pipeline.core.config_digest != digest;
        (differs && stamp(&self.globals, &self.site) == self.stamp).then(|| Event::Configure {
            settings: self.settings.clone(),
            workflows,
            digest,
        })
    }

    /// The project's workflows and these of the program's, and the digest of the whole. It is asked for again and again.
    fn with_shipped(&self, names: BTreeSet<String>) -> (Vec<Arc<Workflow>>, String) {
        let mut last = self.shipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.names == names) {
            return (last.workflows.clone(), last.digest.clone());
        }
        let mut workflows = self.workflows.workflows.clone();
        workflows.extend(self.workflows.shipped_for(names.iter().map(String::as_str)));
        workflows.sort_by(|a, b| a.id.cmp(&b.id));
        let digest = config::digest(&self.settings, &workflows);
        *last = Some(WithShipped { names, workflows: workflows.clone(), digest: digest.clone() });
        (workflows, digest)
    }

    /// An agent's configuration.
    #[must_use]
    pub fn agent(&self, name: &AgentName) -> Option<&AgentConfig> {
        self.config().agent(name)
    }

    /// The command line of an agent.
    ///
    /// # Errors
    /// When its template cannot be filled.
    pub fn agent_argv(&self, agent: &AgentConfig, vars: &Vars) -> Result<Vec<String>, String> {
        let mut argv = expand(&agent.template(), vars).map_err(|error| error.to_string())?;
        if agent.preset == pipeline_lib::agents::preset::Preset::Demo
            && let Some(program) = argv.first_mut().filter(|program| *program == "pipeline")
        {
            // The demonstration's agents are this very program, wherever it lies.
            let own = crate::program::path().map_err(|error| format!("cannot find this program: {error}"))?;
            *program = own.to_string_lossy().into_owned();
        }
        Ok(argv)
    }

    /// The folder of everything that is ours.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.site.folder()
    }

    /// The directory of the state.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// The directory of the runs.
    #[must_use]
    pub fn runs_dir(&self) -> PathBuf {
        self.folder().join("runs")
    }

    /// The directory of the supervisor's own log.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.folder().join("logs")
    }

    /// The directory of a run.
    #[must_use]
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.runs_dir().join(run.as_str())
    }

    /// The name of a task's file in a worktree.
    #[must_use]
    pub fn task_file_name(task: &TaskId) -> String {
        format!("{task}.md")
    }

    /// The worktree of an agent or a gate.
    #[must_use]
    pub fn worktree(&self, name: &str, task: Option<&TaskId>) -> PathBuf {
        self.config().worktree(self.root(), name, task.map_or("setup", TaskId::as_str))
    }

    /// The worktrees of an agent that can be put on base: its own, made where it is missing, or those it has for tasks.
    ///
    /// # Errors
    /// When a worktree can be neither made nor listed.
    pub fn worktrees_of(&self, agent: &AgentName, base: &CommitId) -> Result<Vec<PathBuf>, GitError> {
        if !self.config().has_worktree_per_task() {
            let path = self.worktree(agent.as_str(), None);
            self.repo().ensure_worktree(&path, base)?;
            return Ok(vec![path]);
        }
        let mut paths: Vec<PathBuf> = self.repo().worktrees()?.into_iter().map(|info| info.path).collect();
        paths.retain(|path| path.is_dir() && self.config().is_worktree(self.root(), agent.as_str(), path));
        Ok(paths)
    }

    /// Whether a worktree is one that we made.
    #[must_use]
    pub fn is_our_worktree(&self, path: &Path) -> bool {
        let agents = self.config().agents.iter().map(|agent| &agent.name);
        let mut all = agents.flat_map(|name| [name.to_string(), gate_worktree(name)]);
        path.starts_with(self.folder().join("worktrees"))
            || all.any(|name| self.config().is_worktree(self.root(), &name, path))
    }

    /// The file that names the task of sequential mode.
    #[must_use]
    pub fn current_task_file(&self) -> PathBuf {
        self.root().join(&self.config().project.current_task_file)
    }

    /// Directories in which something may happen at any time.
    #[must_use]
    pub fn watched_dirs(&self) -> Vec<PathBuf> {
        let folder = self.folder();
        let mut dirs = vec![self.state_dir(), folder.join("workflows"), folder.join("agents"), folder];
        dirs.extend(self.current_task_file().parent().map(Path::to_owned));
        dirs
    }

    /// How the store behaves.
    #[must_use]
    pub fn store_options(&self) -> Options {
        let wait = Duration::try_from(self.config().state.lock_timeout).unwrap_or(Duration::from_secs(5));
        Options { lock_timeout: wait, command: self.globals.command.clone(), ..Options::default() }
    }

    /// Takes the right to tick: one process at a time looks, decides and performs.
    ///
    /// # Errors
    /// When another process has it for too long.
    pub fn tick_lock(&self) -> Result<Ticking> {
        let lock = Locker::new(self.state_dir().join("tick.lock"), self.globals.command.clone());
        let lock = lock.acquire(TICK_WAIT)?;
        Ok(Ticking { at_work: self.repo().begin_work()?, _lock: lock })
    }

    /// The lock of the process that ticks by itself; whoever holds it is the monitor.
    #[must_use]
    pub fn monitor_lock(&self) -> Locker {
        Locker::new(self.monitor_lock_file(), self.globals.command.clone())
    }

    /// Where that lock is.
    #[must_use]
    pub fn monitor_lock_file(&self) -> PathBuf {
        self.state_dir().join("monitor.lock")
    }
}

/// The workflows of the program that are recorded, or that a task is put on by these events. What was used once stays
/// recorded: tasks on it may come back.
fn in_use(pipeline: &Pipeline, events: &[Event]) -> BTreeSet<String> {
    let added = events.iter().flat_map(|event| match event {
        Event::Ask(Request::AddTasks(new)) => new.iter().filter_map(|task| task.workflow.as_ref()).collect(),
        Event::Ask(Request::Edit { edit, .. }) => edit.workflow.iter().collect(),
        _ => Vec::new(),
    });
    // What a workflow of the caller's leads to.
    let led_to = events.iter().flat_map(|event| match event {
        Event::Ask(Request::AddTasks(new)) => {
            new.iter().filter_map(|task| task.pinned.as_deref()).flat_map(shipped::leads_to).collect()
        }
        _ => Vec::new(),
    });
    let names = pipeline.core.workflows.keys().chain(added).map(|id| id.as_str()).chain(led_to);
    let names: BTreeSet<&str> = names.collect();
    shipped::ids().filter(|id| names.contains(id)).map(str::to_owned).collect()
}
