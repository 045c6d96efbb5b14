//! The blocks `[[agents]]`, which agent definitions share. What this version knows but does not run yet is refused in
//! one place.

use std::collections::{BTreeMap, BTreeSet};

use pipeline_lib::agents::{Preset, TemplateError, Vars, expand, needs};
use pipeline_lib::ids::{AgentName, COMMAND_ROLE, NameError, Role, Variant, is_reserved};
use pipeline_lib::settings::Sandbox;

use super::node::{Node, Value};
use super::problem::{Origin, Place};
use super::project::GATE_PREFIX;
use super::read::{Reader, Section};
use super::words::{Mode, Runtime};
use super::{AgentConfig, node};

/// What a run sets itself; a worker's `env` cannot.
const RUN_VARIABLES: [&str; 9] = [
    "PIPELINE_TASK_ID",
    "PIPELINE_RUN_ID",
    "PIPELINE_STAGE",
    "PIPELINE_ROLE",
    "PIPELINE_WORKTREE",
    "PIPELINE_BRANCH",
    "PIPELINE_BASE",
    "PIPELINE_TASK_FILE",
    "PIPELINE_OUTCOME_FILE",
];

/// Whether a variable is one that a run sets for its agent.
pub(crate) fn is_run_variable(name: &str) -> bool {
    RUN_VARIABLES.contains(&name)
}

/// Reads the list of agents. The place of each is kept for messages.
pub(crate) fn read(reader: &mut Reader, root: &Node) -> Vec<AgentConfig> {
    const HINT: &str = "Write `[[agents]]` on a line of its own, and its keys below.";
    let Some(node) = root.find("agents") else { return Vec::new() };
    let parsed;
    let list = match &node.value {
        Value::List(list) => list,
        Value::Loose(text) => {
            parsed = node::from_toml_value(text, &node.at);
            match parsed.as_ref().map(|node| &node.value) {
                Some(Value::List(list)) => list,
                _ => {
                    let hint = "Write [{ name = \"dev\", role = \"implementation\", preset = \"claude\" }].";
                    reader.error(&node.at, "`agents` must be a list of tables in TOML", Some(hint));
                    return Vec::new();
                }
            }
        }
        _ => {
            reader.error(&node.at, format!("`agents` must be a list of tables, not {}", node.kind()), Some(HINT));
            return Vec::new();
        }
    };
    let mut agents: Vec<(AgentConfig, Place)> = Vec::with_capacity(list.len());
    let mut seen: BTreeMap<String, (AgentName, Place)> = BTreeMap::new();
    for item in list {
        let Some(table) = item.table() else {
            reader.error(&item.at, format!("an agent must be a table, not {}", item.kind()), Some(HINT));
            continue;
        };
        let section = Section { name: "agents", table: Some(table) };
        reader.unknown(section);
        let Some(agent) = read_one(reader, section, &item.at) else { continue };
        let at = section.node("name").map_or_else(|| item.at.clone(), |node| node.at.clone());
        // Worktrees are folders, and not every file system tells capitals apart.
        match seen.get(&agent.name.as_str().to_ascii_lowercase()) {
            Some((first, place)) => {
                let hint = format!("The first one is at {}; give this one another name.", Origin::from(place));
                let message = match *first == agent.name {
                    true => format!("there are two agents `{first}`"),
                    false => format!("the agents `{first}` and `{}` differ only in capitals", agent.name),
                };
                reader.error(&at, message, Some(&hint));
            }
            None => {
                seen.insert(agent.name.as_str().to_ascii_lowercase(), (agent.name.clone(), at.clone()));
                agents.push((agent, at));
            }
        }
    }
    warn_of_idle(reader, &agents);
    agents.into_iter().map(|(agent, _)| agent).collect()
}

fn read_one(reader: &mut Reader, section: Section<'_>, block: &Place) -> Option<AgentConfig> {
    let name = required(reader, section, block, "name", AgentName::new, "name = \"dev\"");
    let role = required(reader, section, block, "role", Role::new, "role = \"implementation\"");
    // The rest is read in any case, so that all mistakes of a block are reported at once.
    let (some_name, some_role) = (AgentName::new("unnamed").ok(), Role::new("unnamed").ok());
    let rest = read_rest(reader, section, block, name.clone().or(some_name)?, role.clone().or(some_role)?);
    rest.filter(|_| name.is_some() && role.is_some())
}

/// Everything but name and role, which an agent definition says in its own way.
pub(crate) fn read_rest(
    reader: &mut Reader,
    section: Section<'_>,
    block: &Place,
    name: AgentName,
    role: Role,
) -> Option<AgentConfig> {
    let errors = |reader: &Reader| reader.problems.iter().filter(|problem| !problem.warning).count();
    let before = errors(reader);
    if is_place_for_commands(&name) {
        let at = section.node("name").map_or(block, |node| &node.at);
        let message = format!("`{name}` is the name of a place in which commands of workflows run");
        reader.error(at, message, Some("Give this agent another name."));
    }
    if name.as_str().starts_with(GATE_PREFIX) {
        let at = section.node("name").map_or(block, |node| &node.at);
        let message = format!("`{name}` is the name of the worktree in which the gate of another agent runs");
        reader.error(at, message, Some("Give this agent another name."));
    }
    if is_reserved(&role) {
        let at = section.node("role").map_or(block, |node| &node.at);
        let message = format!("`{role}` is the role of stages that no agent works at");
        reader.error(at, message, Some("Give this agent another role, such as \"implementation\"."));
    }
    let mut agent = AgentConfig::new(name, role, Preset::Custom);
    agent.preset = reader.word(section, "preset").unwrap_or(Preset::Custom);
    agent.mode = reader.word(section, "mode").unwrap_or(agent.mode);
    agent.runtime = reader.word(section, "runtime").unwrap_or(agent.runtime);
    agent.model = reader.text(section, "model");
    agent.variant = variant(reader, section);
    let command = reader.words(section, "command").unwrap_or_default();
    let args = reader.words(section, "args").unwrap_or_default();
    if errors(reader) == before {
        check_command(reader, section, block, &agent, &command, &args);
    }
    agent.command = command.into_iter().map(|(text, _)| text).collect();
    agent.args = args.into_iter().map(|(text, _)| text).collect();
    for (name, (value, at)) in reader.texts(section, "env") {
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.error(&at, format!("`{name}` cannot be the name of an environment variable"), None);
        } else if is_run_variable(&name) {
            let hint = "Remove it: every run gets its own.";
            reader.error(&at, format!("`{name}` is set by pipeline itself"), Some(hint));
        }
        agent.env.insert(name, value);
    }
    read_confinement(reader, section, &mut agent);
    refuse_what_is_not_run_yet(reader, section, &agent);
    (errors(reader) == before).then_some(agent)
}

fn variant(reader: &mut Reader, section: Section<'_>) -> Option<Variant> {
    let text = reader.text(section, "variant").filter(|text| !text.trim().is_empty())?;
    let at = section.node("variant").map(|node| node.at.clone())?;
    Variant::new(&text).map_err(|error| reader.error(&at, error.to_string(), Some("Write variant = \"a\"."))).ok()
}

/// Says which agents take no work because others of their role are compared.
fn warn_of_idle(reader: &mut Reader, agents: &[(AgentConfig, Place)]) {
    for (agent, at) in agents.iter().filter(|(agent, _)| agent.variant.is_none()) {
        let compared =
            agents.iter().filter(|(other, _)| other.role == agent.role).filter_map(|(a, _)| a.variant.as_ref());
        if compared.collect::<BTreeSet<_>>().len() > 1 {
            let message = format!("`{}` takes no work: variants of its role `{}` are compared", agent.name, agent.role);
            reader.warn(at, message, Some("Add variant = \"…\", as the others of this role have it."));
        }
    }
}

/// What the process is given and how far it is confined.
fn read_confinement(reader: &mut Reader, section: Section<'_>, agent: &mut AgentConfig) {
    agent.sandbox = reader.word(section, "sandbox").unwrap_or(agent.sandbox);
    agent.network = reader.flag(section, "network").unwrap_or(agent.network);
    agent.pass_env = names_to_pass(reader, section);
    for (key, into) in [("read", &mut agent.read), ("write", &mut agent.write)] {
        for (path, at) in reader.words(section, key).unwrap_or_default() {
            let is_path = path == "~" || path.starts_with("~/") || path.starts_with('/');
            if !is_path || path.split('/').any(|part| part == "..") {
                let hint = "Write it in full, such as \"/opt/tools\", or from your home, such as \"~/.cargo\".";
                reader.error(&at, format!("`{key}` cannot hold \"{path}\""), Some(hint));
            }
            into.push(path);
        }
        if let Some(node) = section.node(key).filter(|_| agent.sandbox == Sandbox::Off) {
            let hint = "Add sandbox = \"basic\" or \"strict\", or remove the line.";
            reader.warn(&node.at, format!("`{key}` means nothing where the sandbox is off"), Some(hint));
        }
    }
    if agent.sandbox == Sandbox::Strict && needs::network(agent.preset) && !agent.network {
        let message =
            format!("{} talks to its model over the network, which the strict sandbox does not have", agent.preset);
        let hint = "Add network = true, or write sandbox = \"basic\".";
        if let Some(node) = section.node("sandbox") {
            reader.error(&node.at, message, Some(hint));
        }
    }
}

/// The names of variables that are passed on.
pub(crate) fn names_to_pass(reader: &mut Reader, section: Section<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, at) in reader.words(section, "pass_env").unwrap_or_default() {
        let plain = name.strip_suffix('*').unwrap_or(&name);
        let is_name = !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            let hint = "Write the name of a variable, such as \"NPM_TOKEN\", or how several begin, such as \"AWS_*\".";
            reader.error(&at, format!("`pass_env` cannot hold \"{name}\""), Some(hint));
        } else if plain.starts_with("PIPELINE_") {
            reader.error(&at, format!("`{name}` is ours, and every run gets its own"), Some("Remove it."));
        }
        names.push(name);
    }
    names
}

fn required<T>(
    reader: &mut Reader,
    section: Section<'_>,
    block: &Place,
    name: &str,
    parse: fn(&str) -> Result<T, NameError>,
    example: &str,
) -> Option<T> {
    let Some(node) = section.node(name) else {
        reader.error(block, format!("this agent has no `{name}`"), Some(&format!("Add a line such as: {example}.")));
        return None;
    };
    let Some(text) = reader.text(section, name) else {
        if matches!(&node.value, Value::Text(text) if text.trim().is_empty()) {
            reader.error(&node.at, format!("`{name}` is empty"), Some(&format!("Write {example}.")));
        }
        return None;
    };
    parse(&text).map_err(|error| reader.error(&node.at, error.to_string(), None)).ok()
}

fn check_command(
    reader: &mut Reader,
    section: Section<'_>,
    block: &Place,
    agent: &AgentConfig,
    command: &[(String, Place)],
    args: &[(String, Place)],
) {
    let own = section.node("command");
    if command.is_empty() && (agent.preset == Preset::Custom || own.is_some()) {
        let hint = "Write command = [\"my-agent\", \"{prompt}\"], or a preset such as preset = \"claude\".";
        let at = own.or_else(|| section.node("preset")).map_or(block, |node| &node.at);
        reader.error(at, "a custom agent needs a `command`", Some(hint));
        return;
    }
    if let Some((_, at)) = command.first().filter(|(program, _)| program.trim().is_empty()) {
        reader.error(
            at,
            "the program of `command` is empty",
            Some("Write the program first: [\"my-agent\", \"{prompt}\"]."),
        );
    }
    let vars = Vars { model: agent.model.clone(), ..Vars::default() };
    for (text, at) in command.iter().chain(args) {
        if let Err(error) = expand(&[text], &vars) {
            let (message, hint) = describe(&error);
            reader.error(at, message, Some(&hint));
        }
    }
    let info = agent.preset.info();
    let template = match agent.mode {
        Mode::Headless => info.headless,
        Mode::Interactive => info.interactive,
    };
    let preset = template.iter().any(|argument| argument.contains("{model"));
    let named = command.iter().chain(args).any(|(text, _)| text.contains("{model"));
    if let Some(node) = section.node("model").filter(|_| !(named || (command.is_empty() && preset))) {
        let hint = "Add \"--model={model?}\", or what the program calls it, to `command`.";
        reader.warn(&node.at, "`model` is not used: the command does not name {model}", Some(hint));
    }
}

fn describe(error: &TemplateError) -> (String, String) {
    match error {
        TemplateError::Unknown { name, suggestion, .. } => {
            let hint = match suggestion {
                Some(meant) => format!("Did you mean {{{meant}}}? Write {{{{ for a plain brace."),
                None => {
                    "The placeholders are {prompt} {task_file} {worktree} {task} {run} {stage} {role} {branch} {base} \
                         {model} {write_roots} {hooks?} {notify?} {resume?}, and {resume+} or {resume-} in an argument for where there is one or none; write {{ for a plain brace."
                        .to_owned()
                }
            };
            (format!("unknown placeholder `{{{name}}}`"), hint)
        }
        TemplateError::Missing { name } => {
            let hint = format!("Set {name}, or write {{{name}?}} to leave the argument out where it is not set.");
            (format!("`{{{name}}}` has no value here"), hint)
        }
    }
}

/// The one place that says what the format has and this version does not do.
fn refuse_what_is_not_run_yet(reader: &mut Reader, section: Section<'_>, agent: &AgentConfig) {
    if agent.runtime == Runtime::Tmux
        && agent.mode == Mode::Headless
        && let Some(node) = section.node("runtime")
    {
        let hint = "Write mode = \"interactive\" as well, or runtime = \"host\".";
        reader.error(&node.at, "tmux is for sessions, and this agent is headless", Some(hint));
    }
    if agent.runtime == Runtime::Agentapi
        && let Some(node) = section.node("runtime")
    {
        let hint = "Write runtime = \"host\", or remove the line.";
        reader.error(&node.at, "`runtime = \"agentapi\"` is not supported by this version", Some(hint));
    }
}

/// The places of an agent's keys, for the origins.
pub(crate) fn origins(root: &Node, agents: &[AgentConfig], origins: &mut BTreeMap<String, Origin>) {
    let Some(Node { value: Value::List(list), .. }) = root.find("agents") else { return };
    for (item, agent) in list.iter().zip(agents) {
        for (key, field) in item.table().into_iter().flatten() {
            origins.insert(format!("agents.{}.{key}", agent.name), Origin::from(&field.node.at));
        }
    }
}

/// Whether a name is that of a place in which the commands of workflows run.
fn is_place_for_commands(name: &AgentName) -> bool {
    let number = name.as_str().strip_prefix(COMMAND_ROLE).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}
