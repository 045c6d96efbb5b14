//! `pipeline workflow graph`: a workflow drawn, for a terminal, as Mermaid, or as SVG. What is drawn is worked out here;
//! the folder has one file for each way of drawing.

mod mermaid;
mod svg;
mod terminal;

use std::collections::HashMap;

use pipeline_lib::ids::StageId;
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_lib::workflow::{Doing, Stage, Workflow};
use serde_json::{Value, json};

use crate::dispatch::Call;
use crate::error::{Result, exit};

/// The longest label of a connection and the longest name of a stage, in characters.
const LABEL_CHARS_MAX: usize = 40;

/// How a workflow is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For a terminal of 80 columns
    #[default]
    Terminal,
    /// As a Mermaid flowchart, for Markdown
    Mermaid,
    /// As an image that needs nothing else
    Svg,
}

/// Where a connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Stage(usize),
    End,
}

/// A connection, or a stage that another one starts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: usize,
    to: To,
    label: String,
    /// Whether the stage starts it by itself instead of deciding for it.
    starts: bool,
}

/// What is drawn.
struct Picture {
    /// In the order of the file: name, and what is done.
    stages: Vec<(String, String)>,
    start: Option<usize>,
    /// By the stage they come from.
    edges: Vec<Edge>,
}

/// Draws a workflow.
///
/// # Errors
/// When it cannot be written.
pub(super) fn run(call: &Call, workflow: &Workflow, format: Format) -> Result<u8> {
    let picture = picture(workflow);
    let out = &call.output;
    if out.json {
        out.json(&document(workflow, &picture))?;
        return Ok(exit::OK);
    }
    match format {
        Format::Terminal => {
            for line in terminal::draw(&picture) {
                out.line(&line)?;
            }
        }
        Format::Mermaid => out.raw(&mermaid::draw(&picture))?,
        Format::Svg => out.raw(&svg::draw(&picture, &one_line(&workflow.name, 80)))?,
    }
    Ok(exit::OK)
}

fn document(workflow: &Workflow, picture: &Picture) -> Value {
    let id = |at: usize| json!(workflow.stages[at].id);
    let edges: Vec<Value> = picture
        .edges
        .iter()
        .map(|edge| {
            let to = match edge.to {
                To::Stage(at) => id(at),
                To::End => Value::Null,
            };
            json!({ "from": id(edge.from), "to": to, "label": edge.label, "starts": edge.starts })
        })
        .collect();
    let stages: Vec<Value> = picture
        .stages
        .iter()
        .zip(&workflow.stages)
        .map(|((_, does), stage)| json!({ "id": stage.id, "does": does }))
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION, "id": workflow.id, "start": workflow.start, "stages": stages, "edges": edges,
    })
}

fn picture(workflow: &Workflow) -> Picture {
    let index: HashMap<&StageId, usize> =
        workflow.stages.iter().enumerate().map(|(at, stage)| (&stage.id, at)).collect();
    let mut edges = Vec::new();
    for (from, stage) in workflow.stages.iter().enumerate() {
        let started = started(stage).into_iter().filter_map(|(id, label)| Some((*index.get(id)?, label)));
        edges.extend(started.map(|(to, label)| Edge { from, to: To::Stage(to), label, starts: true }));
    }
    for connection in &workflow.connections {
        let Some(from) = index.get(&connection.from).copied() else { continue };
        let to = match &connection.to {
            None => To::End,
            Some(to) => match index.get(to) {
                Some(at) => To::Stage(*at),
                None => continue,
            },
        };
        let label = connection.condition.as_deref().map_or_else(String::new, |word| one_line(word, LABEL_CHARS_MAX));
        edges.push(Edge { from, to, label, starts: false });
    }
    edges.sort_by_key(|edge| edge.from);
    // Decisions that lead to the same place are one arrow.
    let mut joined: Vec<Edge> = Vec::with_capacity(edges.len());
    for edge in edges {
        let same = |other: &&mut Edge| (other.from, other.to, other.starts) == (edge.from, edge.to, edge.starts);
        match joined.iter_mut().rev().take_while(|other| other.from == edge.from).find(same) {
            Some(other) if !edge.label.is_empty() && !other.label.is_empty() => {
                other.label = one_line(&format!("{}, {}", other.label, edge.label), LABEL_CHARS_MAX);
            }
            // Any decision: no word says more.
            Some(other) => other.label.clear(),
            None => joined.push(edge),
        }
    }
    Picture {
        stages: workflow.stages.iter().map(|stage| (name_of(stage), does(stage))).collect(),
        start: index.get(&workflow.start).copied(),
        edges: joined,
    }
}

/// The stages that a stage starts by itself, and for what.
fn started(stage: &Stage) -> Vec<(&StageId, String)> {
    match &stage.doing {
        Doing::Agent | Doing::Command(_) | Doing::Workflow { .. } => Vec::new(),
        Doing::Parallel(parts) => parts.iter().map(|part| (part, "part".to_owned())).collect(),
        Doing::Hub(hub) => {
            let met = hub.requirements.iter().map(|one| (&one.stage, one_line(&one.name, LABEL_CHARS_MAX)));
            let recovery = hub.recovery.iter().map(|stage| (stage, "recovery".to_owned()));
            let validation = hub.validation.iter().map(|stage| (stage, "validation".to_owned()));
            met.chain(recovery).chain(validation).collect()
        }
    }
}

fn name_of(stage: &Stage) -> String {
    let name = one_line(&stage.name, LABEL_CHARS_MAX);
    if name.is_empty() || name == stage.id.as_str() { stage.id.to_string() } else { format!("{} {name}", stage.id) }
}

/// What is done at a stage, in few words.
pub(super) fn does(stage: &Stage) -> String {
    let mut words = match &stage.doing {
        Doing::Agent => stage.role.to_string(),
        Doing::Command(command) => format!("$ {}", one_line(command, LABEL_CHARS_MAX)),
        Doing::Workflow { workflow, .. } => format!("workflow {workflow}"),
        Doing::Parallel(parts) => format!("{} at the same time", parts.len()),
        Doing::Hub(hub) => format!("hub of {}", hub.requirements.len()),
    };
    let combinations: usize = stage.matrix.values().map(Vec::len).product();
    if !stage.matrix.is_empty() {
        words = format!("{words} × {combinations}");
    }
    words
}

#[cfg(test)]
mod tests;
