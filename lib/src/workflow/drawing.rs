//! A workflow drawn: its stages from top to bottom in the order of the file, each with what it may decide. What does not lead
//! to the next stage runs along the left, also the ways back. Which characters a line is made of is known here; colours,
//! widths and how far a task has come are not.

mod lanes;

use std::collections::HashMap;

use super::{Doing, Stage, Workflow};
use crate::ids::StageId;
use crate::text::one_line;

/// The longest label of a connection and the longest name of a stage, in characters.
const LABEL_CHARS_MAX: usize = 40;

/// Where a connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To this stage.
    Stage(usize),
    /// To the end.
    End,
}

/// A connection, or a stage that another one starts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The stage that decides.
    pub from: usize,
    /// Where it leads.
    pub to: To,
    /// For which decisions; empty: any that has no connection of its own.
    pub label: String,
    /// Whether the stage starts it by itself instead of deciding for it.
    pub starts: bool,
}

/// What is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// In the order of the file: the name, and what is done.
    pub stages: Vec<Drawn>,
    /// The first stage.
    pub start: Option<usize>,
    /// By the stage they come from.
    pub edges: Vec<Edge>,
}

/// A stage as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Its id.
    pub id: StageId,
    /// Its id and, where that says more, its name.
    pub name: String,
    /// What is done.
    pub does: String,
}

/// One line of the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What runs along the left of it.
    pub rails: String,
    /// The sign on the stem that the stages stand on.
    pub stem: char,
    /// What stands beside it.
    pub what: What,
}

/// What a line of the drawing is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A stage.
    Stage(usize),
    /// A connection that is on the stem, to the next stage.
    Down(usize),
    /// A connection to somewhere else.
    Away(usize),
    /// Nothing: the way to the next stage.
    Gap,
}

impl Picture {
    /// A workflow as it is drawn.
    #[must_use]
    pub fn of(workflow: &Workflow) -> Self {
        let index: HashMap<&StageId, usize> =
            workflow.stages.iter().enumerate().map(|(at, stage)| (&stage.id, at)).collect();
        let drawn = |stage: &Stage| Drawn { id: stage.id.clone(), name: name_of(stage), does: does(stage) };
        Self {
            stages: workflow.stages.iter().map(drawn).collect(),
            start: index.get(&workflow.start).copied(),
            edges: joined(edges(workflow, &index)),
        }
    }

    /// The drawing, line by line, with so many lines along the left at most.
    #[must_use]
    pub fn rows(&self, lanes_max: usize) -> Vec<Row> {
        lanes::draw(self, lanes_max)
    }

    /// What a line says, without what runs along its left.
    #[must_use]
    pub fn text(&self, what: What) -> String {
        match what {
            What::Stage(at) => {
                let Drawn { name, does, .. } = &self.stages[at];
                let start = if self.start == Some(at) { "  (start)" } else { "" };
                format!(" {name} · {does}{start}")
            }
            What::Down(at) => format!("  {}", self.edges[at].label),
            What::Away(at) => {
                let arrow = if self.edges[at].starts { "⇢" } else { "→" };
                format!("─ {} {arrow} {}", self.word(at), self.end(at))
            }
            What::Gap => String::new(),
        }
    }

    /// For which decisions a connection is taken, in words.
    #[must_use]
    pub fn word(&self, edge: usize) -> &str {
        let edge = &self.edges[edge];
        match edge.label.as_str() {
            "" if self.edges.iter().filter(|other| other.from == edge.from).count() == 1 => "always",
            "" => "otherwise",
            label => label,
        }
    }

    /// Where a connection leads, in words.
    #[must_use]
    pub fn end(&self, edge: usize) -> &str {
        match self.edges[edge].to {
            To::Stage(to) => self.stages[to].id.as_str(),
            To::End => "end",
        }
    }
}

/// Every connection, and what stages start by themselves, by the stage they come from.
fn edges(workflow: &Workflow, index: &HashMap<&StageId, usize>) -> Vec<Edge> {
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
    edges
}

/// Decisions that lead to the same place are one arrow.
fn joined(edges: Vec<Edge>) -> Vec<Edge> {
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
    joined
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
fn does(stage: &Stage) -> String {
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
