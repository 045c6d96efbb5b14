//! `pipeline schema`: the JSON Schema (2020-12) of every document that programs read or people write. Those of our own
//! answers come from the types that are printed, so that they cannot drift apart.

use pipeline_lib::view::{StateDoc, StatusDoc};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::simulate::{Checked, Simulated};
use crate::config;
use crate::dispatch::Call;
use crate::error::{Result, exit};

/// The dialect of all schemas.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Print the JSON Schema of a document.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Of which document
    #[arg(value_name = "DOCUMENT")]
    pub document: Document,
}

/// The documents that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Document {
    /// .pipeline/state/state.json
    State,
    /// The answer of `status --json`
    Status,
    /// The answer of `simulate --json`
    Simulate,
    /// The answer of `simulate --check --json`
    Predictions,
    /// One line of `events`
    Events,
    /// .pipeline/workflows/*.json
    Workflow,
    /// .pipeline/agents/*.json
    Agent,
    /// .pipeline/config.toml
    Config,
    /// .pipeline/registry.json
    Registry,
    /// What any verb answers with `--json` when it fails
    Error,
}

/// Prints a schema.
///
/// # Errors
/// When it cannot be written.
pub fn run(call: &Call, args: &Schema) -> Result<u8> {
    let schema = schema(args.document)?;
    if call.output.json {
        call.output.json(&schema)?;
    } else {
        call.output.line(&serde_json::to_string_pretty(&schema)?)?;
    }
    Ok(exit::OK)
}

fn schema(document: Document) -> Result<Value> {
    Ok(match document {
        Document::State => of::<StateDoc<'static>>(".pipeline/state/state.json")?,
        Document::Status => of::<StatusDoc<'static>>("pipeline status --json")?,
        Document::Simulate => of::<Simulated<'static>>("pipeline simulate --json")?,
        Document::Predictions => of::<Checked>("pipeline simulate --check --json")?,
        Document::Events => event(),
        Document::Workflow => config::schema_workflow(),
        Document::Agent => config::schema_agent(),
        Document::Config => config::schema_config(),
        Document::Registry => config::schema_registry(),
        Document::Error => error(),
    })
}

/// The schema of a type as it is printed; what is read back elsewhere may be more generous.
fn of<T: JsonSchema>(title: &str) -> Result<Value> {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = serde_json::to_value(generator.into_root_schema_for::<T>())?;
    schema["title"] = title.into();
    Ok(schema)
}

fn event() -> Value {
    let name = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "$schema": DIALECT,
        "title": "one line of `pipeline events`",
        "description": "Something that became true. Fields that do not apply are absent.",
        "type": "object",
        "required": ["schema_version", "seq", "at", "type", "actor", "data"],
        "properties": {
            "schema_version": { "const": pipeline_lib::view::SCHEMA_VERSION },
            "seq": { "type": "integer", "minimum": 1, "description": "counts from 1 without gaps" },
            "at": { "type": "string", "format": "date-time" },
            "type": name("what became true, such as `run_started`"),
            "actor": name("who brought it about: a verb, a person, the monitor"),
            "task": name("the task it is about"),
            "run": name("the run it is about"),
            "agent": name("the agent it is about"),
            "stage": name("the stage it is about"),
            "work": name("the kind of run it is about: agent, command, probe, gate or setup"),
            "data": { "type": "object", "description": "what else is to be said about it, by type" }
        }
    })
}

fn error() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "$schema": DIALECT,
        "title": "the answer of a verb that failed, with --json",
        "type": "object",
        "required": ["schema_version", "error"],
        "properties": {
            "schema_version": { "const": pipeline_lib::view::SCHEMA_VERSION },
            "error": {
                "type": "object",
                "required": ["code", "message", "hint"],
                "properties": {
                    "code": { "type": "string", "description": "one word that programs may rely on" },
                    "message": text,
                    "hint": { "type": "string", "description": "what to do about it; empty where nothing is known" }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use pipeline_lib::pipeline::Pipeline;
    use pipeline_lib::view::{Seen, status_doc};

    #[test]
    fn every_document_has_a_schema_of_the_same_dialect() {
        for document in Document::value_variants() {
            let schema = schema(*document).unwrap();
            assert_eq!((&schema["$schema"], &schema["type"]), (&json!(DIALECT), &json!("object")), "{document:?}");
        }
    }

    #[test]
    fn the_schema_of_the_status_requires_what_an_empty_one_has() {
        let pipeline = Pipeline::default();
        let status = serde_json::to_value(status_doc(&pipeline, &Seen::new(), jiff::Timestamp::UNIX_EPOCH)).unwrap();
        let schema = schema(Document::Status).unwrap();
        let required = schema["required"].as_array().unwrap();
        assert!(required.contains(&json!("metrics")) && required.contains(&json!("tasks")), "{required:?}");
        for field in required {
            assert!(status.get(field.as_str().unwrap()).is_some(), "{field}");
        }
    }
}
