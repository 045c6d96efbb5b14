//! The JSON schemas (2020-12) of the files that people write, for editors. They describe what is accepted; the readers
//! of this folder decide.

use serde_json::{Map, Value, json};

use super::keys::{self, KEYS, Key, Kind, SECTIONS};
use super::node;
use super::problem::Place;

pub(super) const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
pub(super) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

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
        Kind::Amount => json!({ "type": "number", "minimum": 0 }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        Kind::Words => json!({ "type": "array", "items": text }),
        Kind::Counts => json!({
            "type": "object",
            "additionalProperties": { "type": "integer", "minimum": 0, "maximum": u32::MAX }
        }),
        Kind::Size => json!({ "type": "string", "examples": ["500MB", "1GB"] }),
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

pub(super) fn duration() -> Value {
    json!({ "type": "string", "examples": ["30s", "5m", "1h30m"] })
}

/// The schema of a workflow file.
#[must_use]
pub fn schema_workflow() -> Value {
    let name = json!({ "type": "string", "pattern": NAME });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let count = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
    json!({
        "$schema": DIALECT,
        "title": ".pipeline/workflows/*.json",
        "description": "Stages, and connections chosen by the decision a stage returns. Unknown fields are kept.",
        "type": "object",
        "required": ["id", "stages"],
        "properties": {
            "id": name,
            "name": { "type": "string" },
            "version": { "type": ["string", "number"] },
            "category": { "type": "string" },
            "description": { "type": "string" },
            "triggers": { "type": "array", "items": { "type": "string" }, "description": "events that start it" },
            "params": {
                "type": "object",
                "description": "what a task on it is given; templates name it {{ params.x }}",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
                "additionalProperties": { "anyOf": [{ "$ref": "#/$defs/param" }, { "description": "a default value" }] }
            },
            "stages": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/stage" } },
            "flow": { "type": "object", "properties": { "connections": { "$ref": "#/$defs/connections" } } },
            "connections": { "$ref": "#/$defs/connections" },
            "startStage": name,
            "entryPoint": name,
            "on_failure": { "type": "string", "pattern": NAME, "description": "the workflow that is started when a task on this one fails" },
            "schedule": {
                "type": "string",
                "description": "when it is started by itself, in UTC",
                "examples": ["*/5 * * * *", "every 5 minutes", "hourly", "daily at 03:00"]
            },
            "success_criteria": { "anyOf": [texts, { "type": ["string", "object"] }] },
            "max_steps": count,
            "timeout": span()
        },
        "$defs": {
            "stage": stage(),
            "param": param(),
            "hub": hub(),
            "threshold": threshold(),
            "command": command(),
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

fn span() -> Value {
    json!({ "anyOf": [duration(), { "type": "integer", "minimum": 1, "description": "seconds" }] })
}

fn backoff() -> Value {
    let description = "the longest wait before the first further attempt; it doubles with each, up to backoff_max of \
                       config.toml, and up to half of it is taken off at random";
    let Value::Object(mut schema) = span() else { return span() };
    schema.insert("description".to_owned(), description.into());
    Value::Object(schema)
}

fn command() -> Value {
    json!({
        "description": "a shell command or a list of its lines; {{ }} is quoted for the place where it stands",
        "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "array", "minItems": 1, "items": { "type": "string" } }]
    })
}

fn param() -> Value {
    json!({
        "type": "object",
        "properties": {
            "description": { "type": "string" },
            "required": { "type": "boolean", "default": false },
            "default": {},
            "type": { "enum": ["text", "string", "number", "integer", "boolean", "list", "object"] },
            "choices": { "type": "array", "minItems": 1 },
            "aliases": { "type": "array", "items": { "type": "string" }, "description": "other names by which it may be given" }
        }
    })
}

fn hub() -> Value {
    let name = json!({ "type": "string", "pattern": NAME });
    let command = json!({ "$ref": "#/$defs/command" });
    json!({
        "type": "object",
        "description": "looks at what already holds and starts the stage that makes the next thing hold",
        "required": ["requirements"],
        "properties": {
            "requirements": { "type": "array", "minItems": 1, "items": {
                "type": "object",
                "required": ["stage"],
                "properties": {
                    "name": { "type": "string" },
                    "stage": name,
                    "probe": command,
                    "after": { "type": "array", "items": { "type": "string" }, "description": "requirements that have to hold before" }
                }
            } },
            "recovery": { "type": "string", "pattern": NAME, "description": "the stage that mends what failed" },
            "validation": { "type": "string", "pattern": NAME, "description": "the stage that checks the whole" },
            "warnings": { "type": "array", "items": {
                "type": "object",
                "required": ["name", "probe"],
                "properties": { "name": { "type": "string" }, "probe": command }
            } },
            "budget": {
                "type": "object",
                "description": "how much the stage's `agent` may be asked for one task, where it has one; then the built-in rules go on",
                "properties": {
                    "asks": { "type": "integer", "minimum": 0 },
                    "tokens": { "type": "integer", "minimum": 0 },
                    "cost_usd": { "type": "number", "minimum": 0 }
                }
            }
        }
    })
}

fn threshold() -> Value {
    let source = |key: &str, about: &str| {
        json!({
            "type": "object", "required": [key], "additionalProperties": false,
            "properties": { key: { "type": "string", "description": about } }
        })
    };
    json!({
        "type": "object",
        "required": ["name"],
        "anyOf": [{ "required": ["min"] }, { "required": ["max"] }],
        "properties": {
            "name": { "type": "string" },
            "from": { "oneOf": [
                source("output", "the last number after this text in the output"),
                source("lcov", "line coverage of this LCOV file, in percent"),
                source("cobertura", "line coverage of this Cobertura file, in percent"),
                source("junit", "failed and erroneous tests of this JUnit file")
            ] },
            "min": { "type": "number" },
            "max": { "type": "number" }
        }
    })
}

fn stage() -> Value {
    let code = json!({ "type": "integer", "minimum": 0, "maximum": 255 });
    let choice = json!({
        "type": "object",
        "required": ["choice"],
        "properties": {
            "choice": { "type": "string" },
            "description": { "type": "string" },
            "exit": {
                "description": "exit codes of the command that mean it",
                "anyOf": [code, { "type": "array", "minItems": 1, "items": { "anyOf": [code, { "const": "other" }] } }, { "const": "other" }]
            }
        }
    });
    let name = json!({ "type": "string", "pattern": NAME });
    let command = json!({ "$ref": "#/$defs/command" });
    let ways = ["agent", "run", "workflow", "parallel", "hub"].map(|key| json!({ "required": [key] }));
    let mut schema = json!({
        "type": "object",
        "required": ["id"],
        "anyOf": ways,
        "properties": {
            "id": name,
            "name": { "type": "string" },
            "agent": { "type": "string", "pattern": NAME, "description": "the role that does the work" },
            "run": command,
            "workflow": {
                "description": "another workflow is this stage",
                "anyOf": [name, { "type": "object", "required": ["id"], "properties": { "id": name, "params": { "type": "object" } } }]
            },
            "parallel": { "type": "array", "minItems": 1, "items": name, "description": "stages that are done at the same time" },
            "hub": { "$ref": "#/$defs/hub" },
            "probe": command,
            "on_cancel": command,
            "description": { "type": "string", "description": "what the agent is asked to do" },
            "prompt": { "type": "string" },
            "inputs": {
                "description": "stages of this workflow of whose outputs this one is told, all of them where none is \
                                named; a command finds them in $PIPELINE_INPUTS: STAGE.txt is what a stage said, \
                                outputs.jsonl has a line for each with what it decided",
                "type": "array",
                "items": { "type": "string" }
            },
            "decisions": { "type": "array", "items": { "anyOf": [{ "type": "string" }, choice] } }
        }
    });
    let more = json!({
        "matrix": {
            "type": "object", "minProperties": 1, "additionalProperties": { "type": "array", "minItems": 1 },
            "description": "one task for each combination of these values, at most 256; nothing is filled in in them"
        },
        "env": { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } },
        "secrets": { "type": "array", "items": { "type": "string" }, "description": "names of secrets that become environment variables" },
        "artifacts": { "type": "array", "items": { "type": "string" }, "description": "globs of files that are kept" },
        "thresholds": {
            "anyOf": [
                { "type": "array", "items": { "$ref": "#/$defs/threshold" } },
                { "type": "object", "description": "figures in the output, such as \"coverage\": 80" }
            ]
        },
        "place": { "enum": ["worktree", "repository"], "default": "worktree" },
        "services": { "type": "boolean", "description": "what its command leaves in the background goes on" },
        "verify": { "type": ["boolean", "string", "null"], "description": "true for the project's gate, or a command" },
        "timeout": span(),
        "retries": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
        "backoff": backoff(),
        "max_visits": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
        "approval": { "type": "boolean", "description": "a person has to agree before the task goes on" },
        "merge": { "type": "boolean", "description": "the task's branch is merged when this stage succeeds" }
    });
    if let (Some(properties), Value::Object(more)) = (schema["properties"].as_object_mut(), more) {
        properties.extend(more);
    }
    schema
}

/// The schema of an agent definition.
#[must_use]
pub fn schema_agent() -> Value {
    let name = json!({ "type": "string", "pattern": NAME });
    let text = json!({ "type": "string" });
    let prompt = json!({ "anyOf": [text, { "type": "array", "items": text }] });
    let mut properties = json!({
        "name": { "type": "string", "description": "a short name, or a title where there is an `id`" }, "id": name,
        "role": { "type": "string", "pattern": NAME, "description": "the role it is about; its name if absent" },
        "description": text,
        "system_prompt": {
            "description": "what the agent is told before the stage's instructions, or a list of its lines; {placeholders} that have a value are filled in",
            "anyOf": [text, { "type": "array", "items": text }]
        },
        "systemPrompt": prompt, "system_prompt_template": prompt, "prompt": prompt,
        "skills": { "type": "array" }
    });
    let of_agents = [
        "preset", "command", "model", "args", "env", "pass_env", "mode", "runtime", "sandbox", "read", "write",
        "network", "variant",
    ];
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
