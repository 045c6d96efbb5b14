//! A workflow as a Mermaid flowchart.

use std::fmt::Write as _;

use pipeline_lib::workflow::drawing::{Drawn, Picture, To};

/// The text of the flowchart.
pub(super) fn draw(picture: &Picture) -> String {
    let mut out = String::from("flowchart TD\n");
    if picture.start.is_some() {
        out.push_str("    begin([start])\n");
    }
    for (at, Drawn { name, does, .. }) in picture.stages.iter().enumerate() {
        // Writing to a text does not fail.
        let _written = writeln!(out, "    s{at}[\"{}<br/><small>{}</small>\"]", escape(name), escape(does));
    }
    if picture.edges.iter().any(|edge| edge.to == To::End) {
        out.push_str("    finish([end])\n");
    }
    if let Some(start) = picture.start {
        let _written = writeln!(out, "    begin --> s{start}");
    }
    for edge in &picture.edges {
        let arrow = if edge.starts { "-.->" } else { "-->" };
        let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&edge.label)) };
        let to = match edge.to {
            To::Stage(at) => format!("s{at}"),
            To::End => "finish".to_owned(),
        };
        let _written = writeln!(out, "    s{} {arrow}{label} {to}", edge.from);
    }
    out
}

/// What means something to Mermaid, as its entities.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' => out.push_str("#35;"),
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '`' => out.push_str("#96;"),
            _ => out.push(c),
        }
    }
    out
}
