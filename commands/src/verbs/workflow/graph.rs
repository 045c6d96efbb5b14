//! `pipeline workflow graph`: a workflow drawn, for a terminal, as Mermaid, or as SVG. What is drawn is worked
//! out in the library, which the dashboard draws from too; the folder has one file for each way of drawing.

mod mermaid;
mod svg;
mod terminal;

use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_lib::workflow::Workflow;
use pipeline_lib::workflow::drawing::{Picture, To};
use serde_json::{Value, json};

use crate::dispatch::Call;
use crate::error::{Result, exit};

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

/// Draws a workflow.
///
/// # Errors
/// When it cannot be written.
pub(super) fn run(call: &Call, workflow: &Workflow, format: Format) -> Result<u8> {
    let picture = Picture::of(workflow);
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
    let stages: Vec<Value> = picture.stages.iter().map(|stage| json!({ "id": stage.id, "does": stage.does })).collect();
    json!({
        "schema_version": SCHEMA_VERSION, "id": workflow.id, "start": workflow.start, "stages": stages, "edges": edges,
    })
}

#[cfg(test)]
mod tests;
