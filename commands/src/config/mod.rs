//! What people write down for a repository: config.toml, workflows and agent definitions. Each is read into types that
//! are known to be valid, with the origin of every value, and every mistake is reported with file, line, caret and what
//! to type instead.
//!
//! Nothing here reads the environment, finds the repository, starts a program or changes a file: the caller hands in
//! paths and maps, and writes what comes back. What decisions depend on leaves as [`Settings`].

mod agents;
mod bindings;
mod definitions;
mod digest;
mod edit;
mod guess;
mod json;
mod keys;
mod load;
mod node;
mod problem;
mod project;
mod read;
mod registry;
mod schema;
mod schema_registry;
mod starter;
mod words;
mod workflows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use pipeline_lib::agents::Preset;
use pipeline_lib::budget::Budgets;
use pipeline_lib::ids::{AgentName, COMMAND_ROLE, Role, TaskId, Variant, command_role};
use pipeline_lib::settings::{AgentSettings, RolloutSettings, Sandbox, SchedulerSettings, Settings, WorktreeFor};

pub use bindings::{ACTIONS, is_key};
pub use definitions::{Definition, Definitions, load_definitions};
pub use digest::digest;
pub use edit::{EditError, add_agent, remove_agent};
pub use guess::guess_verify;
pub(crate) use json::position;
pub use load::{Entry, Loaded, Sources, load};
pub use problem::{ConfigError, LocatedProblem, Origin, render_all};
pub(crate) use registry::builtin;
pub use registry::{all_rules, load_registry, registry_problems, with_registry};
pub use schema::{schema_agent, schema_config, schema_workflow};
pub use schema_registry::schema_registry;
pub use starter::starter;
pub use words::{LogLevel, Mode, Notify, Runtime, Theme};
pub use workflows::{Checked, WorkflowSet, check_workflow_files, load_workflow, load_workflows};

/// The whole configuration, complete and valid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The repository that is worked on.
    pub project: ProjectConfig,
    /// The workers, in the order of the file.
    pub agents: Vec<AgentConfig>,
    /// How work is handed out and repeated.
    pub scheduler: SchedulerSettings,
    /// What agents may use.
    pub budgets: Budgets,
    /// What `rollout check` asks of the recorded runs.
    pub rollout: RolloutSettings,
    /// The dashboard.
    pub ui: UiConfig,
    /// What the supervisor writes about itself.
    pub logs: LogsConfig,
    /// The recorded state.
    pub state: StateConfig,
}

/// The repository that is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectConfig {
    /// The branch that finished work is merged into; guessed where it is not set.
    pub base: Option<String>,
    /// The gate, a shell command.
    pub verify: Option<String>,
    /// What base has to pass after each merge, a shell command.
    pub post_merge: Option<String>,
    /// Where the worktrees of agents are: a template.
    pub worktrees: String,
    /// The file that names the task of sequential mode, relative to the repository.
    pub current_task_file: PathBuf,
    /// A shell command that prepares a fresh worktree.
    pub setup: Option<String>,
    /// Variables of the supervisor's environment that gates, set-ups and commands of workflows are given besides the usual
    /// ones.
    pub pass_env: Vec<String>,
    /// Whether somebody else has to approve than who asked for the task.
    pub separate_approver: bool,
    /// The agent whose program serves the roles that only a definition is there for.
    pub default_agent: Option<String>,
}

impl Default for ProjectConfig {
    fn default() -> Self {
        Self {
            base: None,
            verify: None,
            post_merge: None,
            worktrees: ".pipeline/worktrees/{agent}".to_owned(),
            current_task_file: PathBuf::from(".claude/current-task.txt"),
            setup: None,
            pass_env: Vec::new(),
            separate_approver: false,
            default_agent: None,
        }
    }
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Its name, also that of its worktree.
    pub name: AgentName,
    /// The stages it works on.
    pub role: Role,
    /// The program.
    pub preset: Preset,
    /// Instead of the preset's command; a template, one text for each argument. Empty where the preset's is used.
    pub command: Vec<String>,
    /// One process for each run, or a session.
    pub mode: Mode,
    /// Where the process runs.
    pub runtime: Runtime,
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
    /// Variables of the supervisor's environment that it is given besides the usual ones.
    pub pass_env: Vec<String>,
    /// How far the process is confined.
    pub sandbox: Sandbox,
    /// What a confined process may read besides.
    pub read: Vec<String>,
    /// What a confined process may read and change besides.
    pub write: Vec<String>,
    /// Whether a process at the strict level has a network.
    pub network: bool,
    /// Which way of setting up agents of its role it stands for, where several are compared.
    pub variant: Option<Variant>,
    /// Passed to the program where it can be.
    pub model: Option<String>,
    /// Further arguments.
    pub args: Vec<String>,
}

impl AgentConfig {
    /// An agent with nothing but what every agent has.
    #[must_use]
    pub fn new(name: AgentName, role: Role, preset: Preset) -> Self {
        Self {
            name,
            role,
            preset,
            command: Vec::new(),
            mode: Mode::Headless,
            runtime: Runtime::Host,
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            sandbox: Sandbox::Off,
            read: Vec::new(),
            write: Vec::new(),
            network: false,
            variant: None,
            model: None,
            args: Vec::new(),
        }
    }

    /// The whole command as a template for `pipeline_lib::agents::expand`. Further arguments go before a `--`, because
    /// what stands after it is the prompt.
    #[must_use]
    pub fn template(&self) -> Vec<String> {
        let info = self.preset.info();
        let preset = match self.mode {
            Mode::Headless => info.headless,
            Mode::Interactive => info.interactive,
        };
        let mut template = match self.command.as_slice() {
            [] => preset.iter().map(|argument| (*argument).to_owned()).collect(),
            command => command.to_vec(),
        };
        let at = template.iter().position(|argument| argument == "--").unwrap_or(template.len());
        template.splice(at..at, self.args.iter().cloned());
        template
    }
}

/// The dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UiConfig {
    /// The colours.
    pub theme: Theme,
    /// The keys of each action that is not on its default key.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// How a person is told that something waits.
    pub notify: Notify,
    /// A command that is run then too.
    pub notify_command: Option<String>,
}

impl Default for UiConfig {
    fn default() -> Self {
        Self { theme: Theme::Auto, keys: BTreeMap::new(), mouse: true, notify: Notify::Bell, notify_command: None }
    }
}

/// What the supervisor writes about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsConfig {
    /// How many files are kept.
    pub keep: u32,
    /// What is written.
    pub level: LogLevel,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self { keep: 14, level: LogLevel::Info }
    }
}

/// The recorded state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateConfig {
    /// How long a command waits for the lock.
    pub lock_timeout: SignedDuration,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { lock_timeout: SignedDuration::from_secs(5) }
    }
}

impl Config {
    /// What decisions depend on. `base` is the branch that was found; the configured one goes before it.
    #[must_use]
    pub fn settings(&self, base: &str) -> Settings {
        let agent = |agent: &AgentConfig| AgentSettings {
            name: agent.name.clone(),
            role: agent.role.clone(),
            preset: agent.preset,
            interactive: agent.mode == Mode::Interactive,
            sandbox: agent.sandbox,
            variant: agent.variant.clone(),
        };
        Settings {
            base: self.project.base.as_deref().unwrap_or(base).to_owned(),
            verify: self.project.verify.clone(),
            post_merge: self.project.post_merge.clone(),
            setup: self.project.setup.clone(),
            worktrees: self.worktree_for(),
            agents: self.agents.iter().map(agent).chain(self.places_for_commands()).collect(),
            scheduler: self.scheduler.clone(),
            budgets: self.budgets,
            rollout: self.rollout.clone(),
            separate_approver: self.project.separate_approver,
            ..Settings::default()
        }
    }

    /// Where the commands of workflows run: like agents, so that everything that holds for a run holds for them.
    fn places_for_commands(&self) -> impl Iterator<Item = AgentSettings> {
        (1..=self.scheduler.max_commands).filter_map(|number| {
            let name = AgentName::new(&format!("{COMMAND_ROLE}-{number}")).ok()?;
            let role = command_role().clone();
            Some(AgentSettings {
                name,
                role,
                preset: Preset::Command,
                interactive: false,
                sandbox: Sandbox::Off,
                variant: None,
            })
        })
    }

    /// The agent of this name.
    #[must_use]
    pub fn agent(&self, name: &AgentName) -> Option<&AgentConfig> {
        self.agents.iter().find(|agent| agent.name == *name)
    }

    /// The roles that some agent has.
    #[must_use]
    pub fn roles(&self) -> std::collections::BTreeSet<Role> {
        self.agents.iter().map(|agent| agent.role.clone()).collect()
    }

    /// The worktree of an agent for a task. `root` is the main checkout.
    #[must_use]
    pub fn worktree(&self, root: &Path, agent: &str, task: &str) -> PathBuf {
        project::worktree(&self.project.worktrees, root, agent, task)
    }

    /// Whether a path can be a worktree of this agent, for whatever task.
    #[must_use]
    pub fn is_worktree(&self, root: &Path, agent: &str, path: &Path) -> bool {
        project::is_worktree(&self.project.worktrees, root, agent, path)
    }

    /// The task that a worktree was made for, where each task has one.
    #[must_use]
    pub fn task_of_worktree(&self, root: &Path, agent: &str, path: &Path) -> Option<TaskId> {
        TaskId::new(&project::task_of_worktree(&self.project.worktrees, root, agent, path)?).ok()
    }

    /// What there is a worktree for.
    #[must_use]
    pub fn worktree_for(&self) -> WorktreeFor {
        let names = |placeholder: &str| self.project.worktrees.contains(placeholder);
        match (names("{agent}"), names("{task}")) {
            (true, true) => WorktreeFor::AgentAndTask,
            (false, true) => WorktreeFor::Task,
            (_, false) => WorktreeFor::Agent,
        }
    }

    /// Whether there is a worktree for each task.
    #[must_use]
    pub fn has_worktree_per_task(&self) -> bool {
        self.worktree_for() != WorktreeFor::Agent
    }
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
