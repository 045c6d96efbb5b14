//! Puts the layers together: options over environment over the project's file over the user's file over the defaults,
//! and remembers where each value came from.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_lib::budget::{Budgets, Limits};

use super::agents;
use super::definitions::{Definition, Definitions};
use super::keys::{self, Kind};
use super::node::{self, Field, Node, Table, Value};
use super::problem::{LocatedProblem, Place, SourceText};
use super::read::Reader;
use super::{AgentConfig, Config, ConfigError, LogsConfig, Origin, StateConfig, UiConfig, problem, project};

/// Larger files were not written by hand.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const BYTE_ORDER_MARK: char = '\u{feff}';
const PREFIX: &str = "PIPELINE_";
/// Variables that belong to other things than the configuration.
const NOT_CONFIGURATION: [&str; 3] = ["PIPELINE_ACTOR", "PIPELINE_LAB", "PIPELINE_LOG"];

/// Where a configuration is read from. The caller looks at the process; this folder does not.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `.pipeline/config.toml`, or what `--config` names.
    pub project_file: Option<PathBuf>,
    /// Whether `--config` names it, so that it has to exist.
    pub project_file_required: bool,
    /// `$XDG_CONFIG_HOME/pipeline/config.toml`.
    pub user_file: Option<PathBuf>,
    /// The whole environment; what does not concern the configuration is ignored.
    pub environment: BTreeMap<String, String>,
    /// Options of the command line, by dotted key such as `scheduler.retries`.
    pub overrides: BTreeMap<String, String>,
}

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The origin of each value that is not a default, by dotted key; agents by name, such as `agents.dev.role`.
    pub origins: BTreeMap<String, Origin>,
    /// What is likely not meant but does no harm yet.
    pub warnings: Vec<LocatedProblem>,
    values: BTreeMap<String, serde_json::Value>,
}

/// A value in force, for `config show`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The dotted key.
    pub key: String,
    /// The value; null where there is none. Its JSON text is also its TOML text.
    pub value: serde_json::Value,
    /// Who said so.
    pub origin: Origin,
}

/// Reads the configuration.
///
/// # Errors
/// Every problem that was found in any layer.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::default();
    let mut root = node::empty();
    let files = [(&sources.user_file, false), (&sources.project_file, sources.project_file_required)];
    for (path, required) in files {
        let Some(path) = path else { continue };
        match read_file(path, required) {
            Ok(layer) => layer.into_iter().for_each(|layer| root.overlay(layer)),
            Err(problems) => reader.problems.extend(problems),
        }
    }
    for (name, value) in &sources.environment {
        if let Some(keys) = configuration_keys(&mut reader, name) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            root.overlay(loose(&keys, value, &Place::Environment(name.clone())));
        }
    }
    for (key, value) in &sources.overrides {
        let keys: Vec<&str> = key.split('.').collect();
        root.overlay(loose(&keys, value, &Place::Override(key.clone())));
    }
    let config = read_config(&mut reader, &root);
    project::check_default_agent(&mut reader, &root, &config);
    if let Some(checkout) = sources.project_file.as_deref().and_then(checkout_of) {
        project::check_worktrees_of_agents(&mut reader, &root, &config, checkout);
    }
    problem::sort(&mut reader.problems);
    if reader.problems.iter().any(|problem| !problem.warning) {
        return Err(ConfigError { problems: reader.problems });
    }
    let mut origins = BTreeMap::new();
    let mut values = BTreeMap::new();
    collect(&root, "", &mut origins, &mut values);
    agents::origins(&root, &config.agents, &mut origins);
    Ok(Loaded { config, origins, warnings: reader.problems, values })
}

impl Loaded {
    /// Adds the agents that definitions describe and config.toml does not name. A definition that has only a prompt borrows
    /// the program of the project's default agent, where no agent has its role.
    pub fn add_definitions(&mut self, definitions: &Definitions) {
        for definition in &definitions.all {
            let Some(agent) = definition.agent.clone().or_else(|| self.borrowed(definition)) else { continue };
            let same = |other: &super::AgentConfig| other.name.as_str().eq_ignore_ascii_case(agent.name.as_str());
            if self.config.agents.iter().any(same) {
                continue;
            }
            let origin = Origin::File { file: definition.file.clone(), line: 1, column: 1 };
            for key in ["name", "role", "preset", "command"] {
                self.origins.insert(format!("agents.{}.{key}", agent.name), origin.clone());
            }
            self.config.agents.push(agent);
        }
    }

    fn borrowed(&self, definition: &Definition) -> Option<AgentConfig> {
        let lender = self.config.project.default_agent.as_deref()?;
        let lender = self.config.agents.iter().find(|agent| agent.name.as_str() == lender)?;
        let served = self.config.agents.iter().any(|agent| agent.role == definition.role);
        (!served).then(|| AgentConfig {
            name: definition.name.clone(),
            role: definition.role.clone(),
            ..lender.clone()
        })
    }

    /// Every value in force, in the order of the starter file. Environment values that look like secrets are not shown.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let origin = |key: &str| self.origins.get(key).cloned().unwrap_or_default();
        let mut entries = Vec::new();
        for key in keys::KEYS.iter().filter(|key| key.section != "agents") {
            let dotted = format!("{}.{}", key.section, key.name);
            if key.kind == Kind::Keys {
                let below = format!("{dotted}.");
                let inner = self.values.iter().filter(|(name, _)| name.starts_with(&below));
                entries.extend(inner.map(|(name, value)| Entry {
                    key: name.clone(),
                    value: value.clone(),
                    origin: origin(name),
                }));
                continue;
            }
            let value = self.values.get(&dotted).map_or_else(|| default_of(key), |value| typed(value, key.kind));
            entries.push(Entry { value, origin: origin(&dotted), key: dotted });
        }
        for agent in &self.config.agents {
            for (name, value) in agent_values(agent) {
                let key = format!("agents.{}.{name}", agent.name);
                let whole = format!("agents.{}.{}", agent.name, name.split('.').next().unwrap_or_default());
                entries.push(Entry { value, origin: origin(&whole), key });
            }
        }
        entries
    }
}

fn agent_values(agent: &super::AgentConfig) -> Vec<(String, serde_json::Value)> {
    let mut values: Vec<(String, serde_json::Value)> = vec![
        ("role".into(), agent.role.as_str().into()),
        ("preset".into(), agent.preset.as_str().into()),
        ("command".into(), agent.command.clone().into()),
        ("model".into(), agent.model.clone().into()),
        ("args".into(), agent.args.clone().into()),
        ("mode".into(), agent.mode.as_str().into()),
        ("runtime".into(), agent.runtime.as_str().into()),
        ("pass_env".into(), agent.pass_env.clone().into()),
        ("sandbox".into(), agent.sandbox.as_str().into()),
        ("read".into(), agent.read.clone().into()),
        ("write".into(), agent.write.clone().into()),
        ("network".into(), agent.network.into()),
    ];
    values.extend(agent.variant.as_ref().map(|variant| ("variant".into(), variant.as_str().into())));
    for (name, value) in &agent.env {
        let upper = name.to_ascii_uppercase();
        let secret = ["KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH"].iter().any(|word| upper.contains(word));
        let shown = if secret { "(hidden)" } else { value };
        values.push((format!("env.{name}"), shown.into()));
    }
    values
}

fn default_of(key: &keys::Key) -> serde_json::Value {
    let place = Place::Override(String::new());
    node::from_toml_value(key.default, &place).map_or(serde_json::Value::Null, |node| node.to_json())
}

/// A value from the environment or the command line is a text until its key says what it is.
fn typed(value: &serde_json::Value, kind: Kind) -> serde_json::Value {
    match (value.as_str(), kind) {
        (Some(text), Kind::Whole { .. } | Kind::Share | Kind::Amount | Kind::Flag) => match text.trim() {
            "1" if kind == Kind::Flag => true.into(),
            "0" if kind == Kind::Flag => false.into(),
            text => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        },
        (Some(text), Kind::Text) if text.trim().is_empty() => serde_json::Value::Null,
        _ => value.clone(),
    }
}

fn read_config(reader: &mut Reader, root: &Node) -> Config {
    for (name, field) in root.table().into_iter().flatten() {
        if !keys::SECTIONS.iter().any(|(section, _)| section == name) {
            let kind = if field.node.table().is_some() { "section" } else { "key" };
            let hint = keys::unknown_key_hint("", name);
            let message = format!("unknown {kind} `{name}`");
            match &field.key {
                // Such a variable may well belong to another program.
                Place::Environment(_) => reader.warn(&field.key, message, Some(&hint)),
                _ => reader.error(&field.key, message, Some(&hint)),
            }
        }
    }
    let section = reader.section(root, "project");
    let project = project::read(reader, section);
    let agents = agents::read(reader, root);
    let scheduler = read_scheduler(reader, root);
    let budgets = read_budgets(reader, root);
    let section = reader.section(root, "rollout");
    let mut rollout = pipeline_lib::settings::RolloutSettings::default();
    rollout.min_runs = reader.whole(section, "min_runs").unwrap_or(rollout.min_runs);
    rollout.min_gate_pass_rate = reader.share(section, "min_gate_pass_rate").unwrap_or(rollout.min_gate_pass_rate);
    rollout.max_rollbacks = reader.whole(section, "max_rollbacks").unwrap_or(rollout.max_rollbacks);
    rollout.breaker = reader.whole(section, "breaker").unwrap_or(rollout.breaker);
    let section = reader.section(root, "ui");
    let mut ui = UiConfig::default();
    ui.theme = reader.word(section, "theme").unwrap_or(ui.theme);
    ui.mouse = reader.flag(section, "mouse").unwrap_or(ui.mouse);
    ui.notify = reader.word(section, "notify").unwrap_or(ui.notify);
    ui.notify_command = reader.text(section, "notify_command").filter(|command| !command.trim().is_empty());
    ui.keys = reader.keys(section, "keys");
    let section = reader.section(root, "logs");
    let mut logs = LogsConfig::default();
    logs.keep = reader.whole(section, "keep").unwrap_or(logs.keep);
    logs.level = reader.word(section, "level").unwrap_or(logs.level);
    let section = reader.section(root, "state");
    let mut state = StateConfig::default();
    state.lock_timeout = reader.duration(section, "lock_timeout").unwrap_or(state.lock_timeout);
    Config { project, agents, scheduler, budgets, rollout, ui, logs, state }
}

/// The repository that a config.toml in its usual place belongs to.
fn checkout_of(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    let usual = file.is_absolute() && folder.file_name()? == ".pipeline";
    folder.parent().filter(|_| usual)
}

fn read_scheduler(reader: &mut Reader, root: &Node) -> pipeline_lib::settings::SchedulerSettings {
    let section = reader.section(root, "scheduler");
    let mut read = pipeline_lib::settings::SchedulerSettings::default();
    read.retries = reader.whole(section, "retries").unwrap_or(read.retries);
    read.backoff = reader.duration(section, "backoff").unwrap_or(read.backoff);
    read.backoff_max = reader.duration(section, "backoff_max").unwrap_or(read.backoff_max);
    read.stage_timeout = reader.duration(section, "stage_timeout").unwrap_or(read.stage_timeout);
    read.verify_timeout = reader.duration(section, "verify_timeout").unwrap_or(read.verify_timeout);
    read.max_parallel = reader.whole(section, "max_parallel").unwrap_or(read.max_parallel);
    read.max_commands = reader.whole(section, "max_commands").unwrap_or(read.max_commands);
    read.stagger = reader.duration(section, "stagger").unwrap_or(read.stagger);
    read.ageing = reader.duration(section, "ageing").unwrap_or(read.ageing);
    read.max_visits = reader.whole(section, "max_visits").unwrap_or(read.max_visits);
    read.failed_dependency = reader.word(section, "failed_dependency").unwrap_or(read.failed_dependency);
    read.limit_pause = reader.duration(section, "limit_pause").unwrap_or(read.limit_pause);
    let auto = |node: &Node| matches!(&node.value, Value::Text(text) | Value::Loose(text) if text == "auto");
    if !section.node("min_free_disk").is_some_and(auto) {
        read.room.min_free_disk = reader.size(section, "min_free_disk");
    }
    read.room.min_free_memory = reader.size(section, "min_free_memory").unwrap_or(read.room.min_free_memory);
    read.room.max_load = reader.amount(section, "max_load").unwrap_or(read.room.max_load);
    read.role_caps = reader.counts(section, "role_caps");
    read.keep_finished = reader.whole(section, "keep_finished").unwrap_or(read.keep_finished);
    if let Some(node) = section.node("backoff").filter(|_| read.backoff > read.backoff_max) {
        let hint = "Raise `backoff_max`, or lower `backoff`.";
        reader.warn(&node.at, "`backoff` is longer than `backoff_max`, which caps it", Some(hint));
    }
    read
}

fn read_budgets(reader: &mut Reader, root: &Node) -> Budgets {
    let section = reader.section(root, "budget");
    let mut limits = |whose: &str| Limits {
        tokens: reader.whole(section, &format!("{whose}_tokens")).map_or(0, u64::from),
        cost_usd: reader.amount(section, &format!("{whose}_cost")).unwrap_or_default(),
        time: reader.duration(section, &format!("{whose}_time")).unwrap_or_default(),
    };
    Budgets { task: limits("task"), agent: limits("agent"), day: limits("day") }
}

/// The keys that an environment variable is about, if it is about the configuration.
fn configuration_keys(reader: &mut Reader, name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    if NOT_CONFIGURATION.contains(&name) || agents::is_run_variable(name) {
        return None;
    }
    if rest.contains("__") || rest == "AGENTS" {
        return Some(rest.split("__").map(str::to_ascii_lowercase).collect());
    }
    // Other programs have variables of this prefix too, so only what is almost right is worth a word.
    let lower = rest.to_ascii_lowercase();
    let meant = keys::KEYS.iter().find(|key| format!("{}_{}", key.section, key.name) == lower)?;
    let hint = format!("Write {PREFIX}{}__{}.", meant.section.to_ascii_uppercase(), meant.name.to_ascii_uppercase());
    let place = Place::Environment(name.to_owned());
    reader.warn(&place, "this variable is ignored: sections and keys are separated by two underscores", Some(&hint));
    None
}

/// A tree that holds one text at the end of these keys.
fn loose(keys: &[&str], value: &str, place: &Place) -> Node {
    let leaf = Node { value: Value::Loose(value.to_owned()), at: place.clone() };
    keys.iter().rev().fold(leaf, |node, key| {
        let field = Field { key: place.clone(), node };
        Node { value: Value::Table(Table::from([((*key).to_owned(), field)])), at: place.clone() }
    })
}

fn collect(
    node: &Node,
    path: &str,
    origins: &mut BTreeMap<String, Origin>,
    values: &mut BTreeMap<String, serde_json::Value>,
) {
    match node.table() {
        Some(table) => {
            for (name, field) in table {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&field.node, &path, origins, values);
            }
        }
        None => {
            origins.insert(path.to_owned(), Origin::from(&node.at));
            values.insert(path.to_owned(), node.to_json());
        }
    }
}

fn read_file(path: &Path, required: bool) -> Result<Option<Node>, Vec<LocatedProblem>> {
    match read_source(path, FILE_BYTES_MAX) {
        Ok(Some(source)) => node::from_toml(&source).map(Some),
        Ok(None) if required => {
            let hint = "Name a file that exists, or leave `--config` out.".to_owned();
            Err(vec![LocatedProblem::of_file(&shown(path), "there is no such file", Some(hint))])
        }
        Ok(None) => Ok(None),
        Err(problem) => Err(vec![problem]),
    }
}

/// Reads a text file of at most `max` bytes. Nothing where there is no such file.
pub(crate) fn read_source(path: &Path, max: u64) -> Result<Option<Arc<SourceText>>, LocatedProblem> {
    let name = shown(path);
    let failed = |error: &std::io::Error| LocatedProblem::of_file(&name, format!("cannot be read: {error}"), None);
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(LocatedProblem::of_file(&name, "is not a file", None)),
        Ok(meta) if meta.len() > max => {
            let message = format!("is larger than {} MiB", max / 1024 / 1024);
            return Err(LocatedProblem::of_file(&name, message, None));
        }
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(failed(&error)),
    }
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            // Editors of another system put a mark in front that is no part of the text.
            if text.starts_with(BYTE_ORDER_MARK) {
                text.remove(0);
            }
            Ok(Some(SourceText::new(name, text)))
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let source = SourceText::new(name, text);
            let hint = Some("Save the file as UTF-8.".to_owned());
            Err(LocatedProblem::new(&Place::File(source, at..at + 1), "this is not UTF-8", hint))
        }
    }
}

/// The name a file is shown under: from `.pipeline` on where it is in there, which is short and the same everywhere.
pub(crate) fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().collect();
    let short = parts
        .iter()
        .rposition(|part| part.as_os_str() == ".pipeline")
        .map(|at| parts.iter().skip(at).collect::<PathBuf>());
    pipeline_lib::text::one_line(&short.as_deref().unwrap_or(path).to_string_lossy(), 200)
}
