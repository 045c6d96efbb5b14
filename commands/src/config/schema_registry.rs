//! The JSON Schema of `.pipeline/registry.json`. What its words mean is said where it is read.

use serde_json::{Value, json};

use super::schema::{DIALECT, NAME, duration};

/// The schema of a registry.
#[must_use]
pub fn schema_registry() -> Value {
    let all = |names: &[&str], definition: &str| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/$defs/{definition}") })))
            .collect::<Vec<_>>()
    };
    let mut parts = all(&["rules", "selection_rules", "pipeline_selection"], "rules");
    let chains = ["chains", "workflows", "workflow_chains", "pipeline_chaining", "workflow_templates"];
    parts.extend(all(&chains, "chains"));
    parts.extend(all(&["concurrency", "concurrency_control", "concurrent_execution"], "concurrency"));
    parts.extend(all(&["schedules", "schedule"], "schedules"));
    parts.extend(all(&["priorities"], "priorities"));
    parts.extend(all(&["triggers"], "triggers"));
    let group = json!({ "type": "object", "properties": Value::Object(parts.iter().cloned().collect()) });
    let mut properties = json!({
        "$schema": { "type": "string" }, "version": { "type": "string" }, "description": { "type": "string" },
        "orchestration_rules": group,
        "pipeline_registry": {
            "description": "workflows by category: what starts each, how urgent it is, and when it starts by itself",
            "type": "object",
            "additionalProperties": { "type": "object", "additionalProperties": { "$ref": "#/$defs/entry" } }
        },
        "alerts": { "$ref": "#/$defs/alerts" }
    });
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(parts);
    }
    json!({
        "$schema": DIALECT,
        "title": ".pipeline/registry.json",
        "description": "Which workflow an event starts, chains of workflows, how many tasks of a category run at once, what starts by itself, and what people are told about.",
        "type": "object",
        "properties": properties,
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    let name = json!({ "type": "string", "pattern": NAME });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let list = |item: &str| json!({ "type": "array", "items": { "$ref": format!("#/$defs/{item}") } });
    let priority = json!({
        "description": "1 is the most urgent, 3 the default",
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 9 },
            { "enum": ["critical", "urgent", "high", "medium", "normal", "low"] }
        ]
    });
    let limit = json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "unlimited" }, { "type": "null" }] });
    let named = json!([{ "required": ["workflow"] }, { "required": ["pipeline"] }]);
    json!({
        "rules": { "anyOf": [list("rule"), { "type": "object", "required": ["rules"], "properties": { "rules": list("rule") } }] },
        "rule": {
            "type": "object",
            "anyOf": named,
            "properties": {
                "condition": { "type": "string", "description": "over `event_type` and `params.NAME`: event_type == 'bug_report' && params.severity >= 3" },
                "event_type": { "type": "string", "description": "instead of a condition" },
                "workflow": name, "pipeline": name, "priority": { "$ref": "#/$defs/priority" },
                "params": { "type": "object", "description": "what the workflow is given besides; texts are templates over what the event brings" }
            }
        },
        "priority": priority,
        "priorities": { "type": "object", "additionalProperties": { "$ref": "#/$defs/priority" } },
        "triggers": {
            "description": "a workflow for each event, or a list of events for each workflow",
            "type": "object", "additionalProperties": { "anyOf": [name, texts] }
        },
        "chains": { "anyOf": [
            { "type": "object", "required": ["chains"], "properties": { "enabled": { "type": "boolean" }, "chains": { "$ref": "#/$defs/chains" } } },
            { "type": "object", "additionalProperties": { "anyOf": [{ "$ref": "#/$defs/links" }, { "$ref": "#/$defs/chain" }] } },
            { "type": "array", "items": { "$ref": "#/$defs/chain" } }
        ] },
        "links": { "type": "array", "minItems": 1, "items": { "anyOf": [
            name,
            { "type": "object", "anyOf": named, "properties": { "workflow": name, "pipeline": name, "params": { "type": "object" } } }
        ] } },
        "chain": {
            "type": "object",
            "anyOf": [{ "required": ["workflows"] }, { "required": ["pipelines"] }, { "required": ["chain"] }, { "required": ["links"] }],
            "properties": {
                "name": name, "id": name, "description": { "type": "string" }, "category": { "type": "string" },
                "triggers": texts,
                "workflows": { "$ref": "#/$defs/links" }, "pipelines": { "$ref": "#/$defs/links" },
                "stop_on_failure": { "type": "boolean", "default": true },
                "on_failure": { "anyOf": [name, { "type": "null" }], "description": "the workflow that is started when the chain fails" },
                "rollback": { "anyOf": [name, { "type": "null" }] }, "rollback_pipeline": { "anyOf": [name, { "type": "null" }] },
                "rollback_on_failure": { "type": "boolean" }
            }
        },
        "limit": limit,
        "concurrency": {
            "description": "a limit for each category; what is not here keeps the one that comes with the program, if any",
            "type": "object",
            "additionalProperties": { "anyOf": [{ "$ref": "#/$defs/limit" }, {
                "type": "object",
                "properties": {
                    "max_concurrent": { "$ref": "#/$defs/limit" }, "max": { "$ref": "#/$defs/limit" },
                    "allow_concurrent": { "type": "boolean" },
                    "exclusive_lock": { "type": "boolean", "description": "nothing of another category that has a limit runs meanwhile" },
                    "exclusive": { "type": "boolean" },
                    "pipelines": texts
                }
            }] }
        },
        "schedules": { "anyOf": [list("schedule"), { "type": "object", "required": ["rules"], "properties": { "rules": list("schedule") } }] },
        "schedule": {
            "type": "object",
            "anyOf": named,
            "properties": {
                "name": { "type": "string" }, "workflow": name, "pipeline": name,
                "schedule": { "type": "string", "description": "every 5 minutes, daily at 03:00, or a cron expression (UTC)" },
                "when": { "type": "string" }, "cron": { "type": "string" },
                "params": { "type": "object" }, "jitter": duration()
            }
        },
        "entry": {
            "type": "object",
            "properties": {
                "template": { "type": "string" }, "description": { "type": "string" }, "triggers": texts,
                "priority": { "$ref": "#/$defs/priority" }, "schedule": { "type": "string" }
            }
        },
        "alerts": {
            "type": "object",
            "properties": {
                "channels": { "type": "object", "additionalProperties": { "$ref": "#/$defs/channel" } },
                "rules": list("alert")
            }
        },
        "alert": {
            "type": "object",
            "required": ["severity"],
            "properties": {
                "name": { "type": "string" },
                "condition": { "type": "string", "description": format!("over {}; `event` is one of {}",
                    pipeline_lib::registry::alerts::NAMES.join(", "), pipeline_lib::registry::alerts::EVENTS.join(", ")) },
                "event": { "enum": pipeline_lib::registry::alerts::EVENTS, "description": "instead of a condition" },
                "severity": { "enum": ["info", "warning", "critical"] },
                "channels": texts,
                "workflow": name
            }
        },
        "channel": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": { "enum": ["console", "log", "desktop", "command", "webhook", "slack", "discord"] },
                "command": { "type": "string" },
                "url": { "type": "string", "description": "http(s)://…, or $NAME for the value of an environment variable" }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of a document does not fit a schema, as far as ours go.
    fn misfit(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
        if let Some(name) = schema["$ref"].as_str() {
            return misfit(root, root.pointer(name.trim_start_matches('#')).unwrap(), value, at);
        }
        let said = |what: &str| Some(format!("{at}: {what}"));
        let is = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        };
        if schema["type"].as_str().is_some_and(|kind| !is(kind)) {
            return said(&format!("no {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value))
            || schema.get("const").is_some_and(|only| only != value)
        {
            return said("no word of the list");
        }
        let number = |key: &str| schema[key].as_u64();
        if value.as_u64().is_some_and(|n| {
            number("minimum").is_some_and(|min| n < min) || number("maximum").is_some_and(|max| n > max)
        }) {
            return said("out of bounds");
        }
        let ways = schema["anyOf"].as_array();
        if ways.is_some_and(|ways| ways.iter().all(|way| misfit(root, way, value, at).is_some())) {
            return said("none of the ways");
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                return said(&format!("no {name}"));
            }
        }
        let fields = value.as_object().into_iter().flatten();
        let inner = fields.filter_map(|(key, value)| {
            let own = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"))?;
            Some((own, value, format!("{at}/{key}")))
        });
        let items = value.as_array().into_iter().flatten();
        let items = items.filter_map(|value| Some((schema.get("items")?, value, format!("{at}/item"))));
        inner.chain(items).find_map(|(schema, value, at)| misfit(root, schema, value, &at))
    }

    #[test]
    fn what_comes_with_the_program_fits_the_schema_and_mistakes_do_not() {
        let schema = schema_registry();
        for text in [include_str!("builtin_registry.json"), include_str!("../shipped/monitoring/registry.json")] {
            let document: Value = serde_json::from_str(text).unwrap();
            assert_eq!(misfit(&schema, &schema, &document, ""), None);
            assert!(pipeline_lib::registry::parse::parse(&document).is_ok_and(|(_, warnings)| warnings.is_empty()));
        }
        for wrong in [
            json!([]),
            json!({ "rules": [{ "condition": "a" }] }),
            json!({ "concurrency": { "testing": 0 } }),
            json!({ "chains": { "a": [] , "b": 3 } }),
            json!({ "pipeline_registry": { "testing": { "x": { "priority": 12 } } } }),
            json!({ "alerts": { "rules": [{ "severity": "loud" }] } }),
        ] {
            assert!(misfit(&schema, &schema, &wrong, "").is_some(), "{wrong}");
            assert!(pipeline_lib::registry::parse::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
