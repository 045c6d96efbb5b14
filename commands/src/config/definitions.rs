//! Agent definitions, `.pipeline/agents/*.json`: the prompt of a role, and sometimes an agent of its own.
//!
//! The format is that of others, so unknown fields are kept. What a prompt says is nobody's business here.

use std::collections::BTreeSet;
use std::path::Path;

use pipeline_lib::ids::{AgentName, Role};
use pipeline_lib::workflow::render;
use serde_json::{Map, Value as Json};

use super::json::{self, Document};
use super::node::{Node, Value};
use super::read::{Reader, Section};
use super::{AgentConfig, LocatedProblem, agents};

/// Larger files were not written by hand.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The names under which the prompt is found, the first one that is there.
const PROMPTS: [&str; 4] = ["system_prompt", "systemPrompt", "system_prompt_template", "prompt"];
/// What is read here; everything else is kept as it is.
const READ: [&str; 4] = ["name", "id", "role", "description"];

/// What a file says about a role or an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: AgentName,
    /// The role it is about; its name where it says none.
    pub role: Role,
    /// What the agent is told before the stage's instructions.
    pub prompt: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Names of skills.
    pub skills: Vec<String>,
    /// The agent it describes, where it names a preset or a command.
    pub agent: Option<AgentConfig>,
    /// Every other field.
    pub extra: Map<String, Json>,
    /// The file, as it is shown.
    pub file: String,
}

/// The definitions of a repository.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// In the order of the file names.
    pub all: Vec<Definition>,
    /// What is wrong; a file with an error is not in the list.
    pub problems: Vec<LocatedProblem>,
}

impl Definitions {
    /// The prompt for an agent: that of its own definition, else the first one for its role.
    #[must_use]
    pub fn prompt_for(&self, agent: &AgentName, role: &Role) -> Option<&str> {
        let with_prompt = || self.all.iter().filter_map(|found| found.prompt.as_deref().map(|prompt| (found, prompt)));
        with_prompt()
            .find(|(found, _)| found.name == *agent)
            .or_else(|| with_prompt().find(|(found, _)| found.role == *role))
            .map(|(_, prompt)| prompt)
    }
}

impl Definitions {
    /// What is likely not meant: prompts that no agent is given, and words in braces that nothing fills in. `params` are
    /// what some workflow gives.
    #[must_use]
    pub fn unused(&self, roles: &BTreeSet<Role>, params: &BTreeSet<&str>) -> Vec<LocatedProblem> {
        let mut problems = Vec::new();
        let idle: Vec<&Definition> =
            self.all.iter().filter(|one| one.agent.is_none() && !roles.contains(&one.role)).collect();
        if let Some(first) = idle.first() {
            let names: Vec<&str> = idle.iter().map(|one| one.role.as_str()).collect();
            let message = format!("no agent has the role that this prompt is for: {}", names.join(", "));
            let hint = "Name the agent whose program they use as `default_agent` in [project], or add [[agents]].";
            problems.push(LocatedProblem::of_file(&first.file, message, Some(hint.to_owned())).into_warning());
        }
        problems.extend(self.unfilled(|_| true, params));
        problems
    }

    /// Words in braces that nothing fills in, in the prompts of these roles. `params` are what some workflow gives.
    #[must_use]
    pub fn unfilled(&self, counts: impl Fn(&Role) -> bool, params: &BTreeSet<&str>) -> Vec<LocatedProblem> {
        let mut problems = Vec::new();
        for one in self.all.iter().filter(|one| counts(&one.role)) {
            for name in one.prompt.as_deref().map(render::placeholder_names).unwrap_or_default() {
                let root = name.split('.').next().unwrap_or_default();
                if render::ROOTS.contains(&root) || params.contains(root) {
                    continue;
                }
                let message = format!("nothing fills in `{{{name}}}` in its prompt");
                let known = params.iter().copied().chain(render::ROOTS);
                let hint = match pipeline_lib::text::nearest(root, known) {
                    Some(meant) => format!("Did you mean {{{meant}}}?"),
                    None => format!("No workflow has a parameter `{root}`; the agent is given the words as they are."),
                };
                problems.push(LocatedProblem::of_file(&one.file, message, Some(hint)).into_warning());
            }
        }
        problems
    }
}

/// Reads every `*.json` of a folder. A folder that does not exist has no definitions.
#[must_use]
pub fn load_definitions(dir: &Path) -> Definitions {
    let mut definitions = Definitions::default();
    for file in json::files(dir, "agent definitions", &mut definitions.problems) {
        let document = match json::read(&file, FILE_BYTES_MAX, "Agent definitions") {
            Ok(document) => document,
            Err(problem) => {
                definitions.problems.push(problem);
                continue;
            }
        };
        let mut reader = Reader::default();
        let found = read_one(&mut reader, &document);
        let failed = reader.problems.iter().any(|problem| !problem.warning);
        definitions.problems.append(&mut reader.problems);
        let Some(found) = found.filter(|_| !failed) else { continue };
        match definitions.all.iter().find(|other| other.name == found.name) {
            Some(other) => {
                let message = format!("`{}` is already defined in {}", found.name, other.file);
                let place = document.place("/name");
                definitions.problems.push(LocatedProblem::new(
                    &place,
                    message,
                    Some("Give one of them another name.".into()),
                ));
            }
            None => definitions.all.push(found),
        }
    }
    definitions
}

fn read_one(reader: &mut Reader, document: &Document) -> Option<Definition> {
    let node = document.node();
    let Some(table) = node.table() else {
        reader.error(&document.place(""), format!("an agent definition is a JSON object, not {}", node.kind()), None);
        return None;
    };
    let section = Section { name: "agents", table: Some(table) };
    // Others write a title as the name and the short form as the id.
    let is_name = |key: &str| matches!(section.node(key).map(|node| &node.value), Some(Value::Text(text)) if AgentName::new(text).is_ok());
    let key = match (table.contains_key("name"), table.contains_key("id")) {
        (false, false) => {
            let hint = "Add a name such as \"name\": \"reviewer\".";
            reader.error(&document.place(""), "`name` is missing", Some(hint));
            return None;
        }
        (false, true) => "id",
        (true, true) if !is_name("name") => "id",
        (true, _) => "name",
    };
    let name = parsed(reader, section, key, AgentName::new)?;
    let role = match section.node("role").map(|node| (node, &node.value)) {
        // Others describe the role there, in a sentence.
        Some((_, Value::Text(text))) if Role::new(text).is_err() => Role::new(name.as_str()).ok()?,
        Some(_) => parsed(reader, section, "role", Role::new)?,
        None => Role::new(name.as_str()).ok()?,
    };
    let prompt = PROMPTS.iter().find(|key| table.contains_key(**key)).and_then(|key| prompt(reader, section, key));
    let description = reader.text(section, "description");
    let text_of = |item: &Node| match &item.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let skills = match section.node("skills").map(|node| &node.value) {
        Some(Value::List(list)) => list.iter().filter_map(text_of).collect(),
        _ => Vec::new(),
    };
    let describes_agent = table.contains_key("preset") || table.contains_key("command");
    let agent = match describes_agent {
        true => Some(agents::read_rest(reader, section, &document.place(""), name.clone(), role.clone())?),
        false => None,
    };
    let extra = document.json().as_object().into_iter().flatten();
    let extra = extra.filter(|(key, _)| !READ.contains(&key.as_str()) && !PROMPTS.contains(&key.as_str()));
    let extra = extra.map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(Definition { name, role, prompt, description, skills, agent, extra, file: document.name().to_owned() })
}

/// A prompt, or a list of its lines.
fn prompt(reader: &mut Reader, section: Section<'_>, key: &str) -> Option<String> {
    let lines = match section.node(key).map(|node| &node.value) {
        Some(Value::List(list)) => list,
        _ => return reader.text(section, key),
    };
    let lines = lines.iter().map(|line| match &line.value {
        Value::Text(text) => Some(text.as_str()),
        _ => {
            reader.error(&line.at, format!("`{key}` is a text, or a list of its lines"), None);
            None
        }
    });
    let lines: Vec<Option<&str>> = lines.collect();
    Some(lines.into_iter().collect::<Option<Vec<&str>>>()?.join("\n"))
}

fn parsed<T>(
    reader: &mut Reader,
    section: Section<'_>,
    key: &str,
    parse: fn(&str) -> Result<T, pipeline_lib::ids::NameError>,
) -> Option<T> {
    let node = section.node(key)?;
    let Value::Text(text) = &node.value else {
        reader.error(&node.at, format!("`{key}` must be a text, not {}", node.kind()), None);
        return None;
    };
    parse(text)
        .map_err(|error| reader.error(&node.at, error.to_string(), Some("Write a short name such as \"reviewer\".")))
        .ok()
}
