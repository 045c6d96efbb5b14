//! The JSON schemas (2020-12) of the files that people write, for editors. They describe what is accepted; the readers
//! of this folder decide.

use serde_json::{Map, Value, json};

use super::keys::{self, KEYS, Key, Kind, SECTIONS};
use super::node;
use super::problem::Place;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// The schema of config.toml.
#[must_use]
pub fn schema_config() -> Value {
    let mut sections = Map::new();
    for (section, about) in SECTIONS {
        let mut table = table_of(section);
        if let Some(table) = table.as_object_mut() {
            table.insert("description".to_owned(), json!(about));
        }
        let value = match *section {
            "agents" => json!({ "type": "array", "items": table }),
            _ => table,
        };
        sections.insert((*section).to_owned(), value);
    }
    json!({
        "$schema": DIALECT,
        "title": ".pipeline/config.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

fn table_of(section: &str) -> Value {
    let keys = KEYS.iter().filter(|key| key.section == section);
    let properties: Map<String, Value> = keys.map(|key| (key.name.to_owned(), property(key))).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if section == "agents" {
        table["required"] = json!(["name", "role"]);
        for name in ["name", "role"] {
            table["properties"][name]["pattern"] = json!(NAME);
        }
    }
    table
}

fn property(key: &Key) -> Value {
    let text = json!({ "type": "string" });
    let mut schema = match key.kind {
        Kind::Text => text,
        Kind::Duration { .. } => duration(),
        Kind::Whole { min } => json!({ "type": "integer", "minimum": min, "maximum": u32::MAX }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        Kind::Words => json!({ "type": "array", "items": text }),
        Kind::Texts => json!({ "type": "object", "additionalProperties": text }),
        Kind::Keys => json!({
            "type": "object",
            "additionalProperties": { "anyOf": [text, { "type": "array", "items": { "type": "string" } }] }
        }),
    };
    schema["description"] = json!(key.about);
    if let Some(default) = node::from_toml_value(key.default, &Place::Override(String::new())) {
        schema["default"] = default.to_json();
    }
    schema
}

fn duration() -> Value {
    json!({ "type": "string", "examples": ["30s", "5m", "1h30m"] })
}

/// The schema of a workflow file.
#[must_use]
pub fn schema_workflow() -> Value {
    let name = json!({ "type": "string", "pattern": NAME });
    json!({
        "$schema": DIALECT,
        "title": ".pipeline/workflows/*.json",
        "description": "Stages, and connections chosen by the decision a stage returns. Unknown fields are kept.",
        "type": "object",
        "required": ["id", "stages"],
        "properties": {
            "id": name,
            "name": { "type": "string" },
            "version": { "type": "string" },
            "category": { "type": "string" },
            "description": { "type": "string" },
            "triggers": { "type": "array", "items": { "type": "string" } },
            "params": { "type": "object" },
            "stages": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/stage" } },
            "flow": { "type": "object", "properties": { "connections": { "$ref": "#/$defs/connections" } } },
            "connections": { "$ref": "#/$defs/connections" },
            "startStage": name,
            "entryPoint": name,
            "on_failure": { "type": "string" },
            "schedule": { "type": "string" },
            "success_criteria": { "type": "array", "items": { "type": "string" } }
        },
        "$defs": {
            "stage": stage(),
            "connections": { "type": "array", "items": {
                "type": "object",
                "required": ["from"],
                "properties": {
                    "from": name,
                    "to": { "type": ["string", "null"], "description": "the next stage; null ends the workflow" },
                    "condition": { "type": ["string", "null"], "description": "the decision; without one it matches any that has no connection of its own" }
                }
            } }
        }
    })
}

fn stage() -> Value {
    let span = json!({ "anyOf": [duration(), { "type": "integer", "minimum": 1, "description": "seconds" }] });
    let choice = json!({
        "type": "object",
        "required": ["choice"],
        "properties": { "choice": { "type": "string" }, "description": { "type": "string" } }
    });
    json!({
        "type": "object",
        "required": ["id", "agent"],
        "properties": {
            "id": { "type": "string", "pattern": NAME },
            "name": { "type": "string" },
            "agent": { "type": "string", "pattern": NAME, "description": "the role that does the work" },
            "description": { "type": "string", "description": "what the agent is asked to do" },
            "inputs": { "type": "array", "items": { "type": "string" } },
            "decisions": { "type": "array", "items": { "anyOf": [{ "type": "string" }, choice] } },
            "verify": {
                "type": ["boolean", "string", "null"],
                "description": "true for the project's gate, or a command"
            },
            "timeout": span,
            "retries": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            "backoff": span,
            "max_visits": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            "approval": { "type": "boolean", "description": "a person has to agree before the task goes on" },
            "merge": { "type": "boolean", "description": "the task's branch is merged when this stage succeeds" }
        }
    })
}

/// The schema of an agent definition.
#[must_use]
pub fn schema_agent() -> Value {
    let name = json!({ "type": "string", "pattern": NAME });
    let text = json!({ "type": "string" });
    let mut properties = json!({
        "name": name, "id": name,
        "role": { "type": "string", "pattern": NAME, "description": "the role it is about; its name if absent" },
        "description": text,
        "system_prompt": { "type": "string", "description": "what the agent is told before the stage's instructions" },
        "systemPrompt": text, "system_prompt_template": text, "prompt": text,
        "skills": { "type": "array" }
    });
    let of_agents = ["preset", "command", "model", "args", "env", "mode", "runtime", "sandbox"];
    for key in of_agents.iter().filter_map(|name| keys::find("agents", name)) {
        properties[key.name] = property(key);
    }
    json!({
        "$schema": DIALECT,
        "title": ".pipeline/agents/*.json",
        "description": "The prompt of a role; with a preset or a command also an agent. Unknown fields are kept.",
        "type": "object",
        "anyOf": [{ "required": ["name"] }, { "required": ["id"] }],
        "properties": properties,
    })
}
