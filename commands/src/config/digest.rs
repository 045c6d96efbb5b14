//! One short text that changes exactly when something changes that decisions depend on.

use std::sync::Arc;

use pipeline_lib::settings::Settings;
use pipeline_lib::workflow::Workflow;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Hexadecimal digits: enough to tell configurations apart, short enough to read out.
const DIGITS: usize = 16;

/// The digest of settings and workflows. The order of the workflows and of keys in files does not matter; that of agents
/// does, because it decides who works first.
#[must_use]
pub fn digest(settings: &Settings, workflows: &[Arc<Workflow>]) -> String {
    let mut sorted: Vec<&Arc<Workflow>> = workflows.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    // Values of these types always serialise; if one day they do not, the digest only becomes coarser.
    let mut text = serde_json::to_string(settings).unwrap_or_default();
    for workflow in sorted {
        // What is kept of the file is the only part whose order depends on how it was written.
        let mut plain = Workflow::clone(workflow);
        plain.extra.clear();
        text.push_str(&serde_json::to_string(&plain).unwrap_or_default());
        write_object(&workflow.extra, &mut text);
    }
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes JSON with sorted keys, whatever order the map type of this build keeps.
fn write_object(object: &serde_json::Map<String, Value>, out: &mut String) {
    let mut entries: Vec<(&String, &Value)> = object.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in entries {
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        write(value, out);
        out.push(',');
    }
    out.push('}');
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => write_object(object, out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}
