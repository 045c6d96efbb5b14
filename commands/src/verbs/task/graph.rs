//! `pipeline task graph`: what depends on what and which tasks do parts of which, as an indented list or as a Mermaid
//! diagram. Which tasks those are is decided by the picture that the dashboard draws too.

use std::collections::HashSet;

use clap::Args;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{Parent, ParentWhy, Task};
use pipeline_lib::view::detail::graph::{self, Node};
use serde_json::{Value, json};

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::table::cut;
use crate::verbs::status::task_word;

/// Draw what depends on what
///
/// A task that does a part of another one's stage stands below that one too, and says which.
#[derive(Debug, Args)]
pub struct Graph {
    /// As a Mermaid diagram
    #[arg(long)]
    pub mermaid: bool,
}

/// A task and its place in the picture.
struct Drawn<'a> {
    task: &'a Task,
    node: &'a Node,
}

impl Drawn<'_> {
    /// Whose stage it serves, if that is drawn.
    fn serves(&self) -> Option<&Parent> {
        self.task.parent.as_deref().filter(|_| self.node.part_of.is_some())
    }
}

pub(super) fn run(call: &Call, args: &Graph) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let pipeline = engine.pipeline();
    let picture = graph::whole(pipeline);
    let drawn: Vec<Drawn<'_>> =
        picture.nodes.iter().filter_map(|node| Some(Drawn { task: pipeline.task(node.id.as_str())?, node })).collect();
    if call.output.json {
        call.output.json(&document(pipeline, &drawn))?;
    } else if args.mermaid {
        mermaid(call, &drawn)?;
    } else {
        list(call, &drawn)?;
    }
    Ok(exit::OK)
}

fn document(pipeline: &Pipeline, drawn: &[Drawn<'_>]) -> Value {
    let mut by_age: Vec<&Drawn<'_>> = drawn.iter().collect();
    by_age.sort_unstable_by_key(|drawn| drawn.task.order);
    let node = |drawn: &&Drawn<'_>| {
        let task = drawn.task;
        json!({ "id": task.id, "title": task.title, "status": task.state.word(), "height": pipeline.height(&task.id) })
    };
    let edges = |drawn: &&Drawn<'_>| {
        let to = &drawn.task.id;
        drawn.task.depends_on.iter().map(|from| json!({ "from": from, "to": to })).collect::<Vec<_>>()
    };
    let part = |drawn: &&Drawn<'_>| {
        let parent = drawn.serves()?;
        Some(json!({ "from": parent.task, "to": drawn.task.id, "stage": parent.stage, "why": parent.why }))
    };
    json!({
        "schema_version": 1,
        "nodes": by_age.iter().map(node).collect::<Vec<_>>(),
        "edges": by_age.iter().flat_map(edges).collect::<Vec<_>>(),
        "parts": by_age.iter().filter_map(part).collect::<Vec<_>>(),
    })
}

/// Each task and, indented below it, those that do parts of it and those that wait for it. One that was shown before is only
/// named again.
fn list(call: &Call, drawn: &[Drawn<'_>]) -> Result<()> {
    let mut below: Vec<Vec<(usize, bool)>> = vec![Vec::new(); drawn.len()];
    for (at, of) in drawn.iter().enumerate() {
        of.node.after.iter().for_each(|before| below[*before].push((at, false)));
        if let Some(parent) = of.node.part_of.filter(|parent| !of.node.after.contains(parent)) {
            below[parent].push((at, true));
        }
    }
    // What does a part of a task stands next to it.
    below.iter_mut().for_each(|of| of.sort_by_key(|(at, is_part)| (!is_part, drawn[*at].task.order)));
    let mut roots: Vec<usize> = (0..drawn.len()).filter(|at| drawn[*at].node.before().next().is_none()).collect();
    roots.sort_unstable_by_key(|at| drawn[*at].task.order);
    let mut shown: HashSet<usize> = HashSet::new();
    let mut todo: Vec<(usize, bool, usize)> = roots.into_iter().rev().map(|at| (at, false, 0)).collect();
    while let Some((at, is_part, depth)) = todo.pop() {
        let first = shown.insert(at);
        call.output.line(&line(call, &drawn[at], is_part, depth, first))?;
        if first {
            todo.extend(below[at].iter().rev().map(|(at, is_part)| (*at, *is_part, depth + 1)));
        }
    }
    Ok(())
}

fn line(call: &Call, drawn: &Drawn<'_>, is_part: bool, depth: usize, first: bool) -> String {
    let task = drawn.task;
    let of = match drawn.serves().filter(|_| is_part) {
        Some(parent) => format!(" ({})", words(parent)),
        None if depth > 0 && task.depends_on.len() > 1 => format!(" (of {})", task.depends_on.len()),
        None => String::new(),
    };
    let note = if first { "" } else { " ↑" };
    let status = task_word(&call.output, &task.state.word());
    format!("{}{}  {status}  {}{of}{note}", "  ".repeat(depth), task.id, cut(&task.title, 60))
}

/// What a task is for the one whose stage it serves.
fn words(parent: &Parent) -> String {
    let stage = &parent.stage;
    match parent.why {
        ParentWhy::Part => format!("part of {stage}"),
        ParentWhy::Failure => format!("after the failure of {stage}"),
        ParentWhy::Cancel => format!("after it was cancelled at {stage}"),
        ParentWhy::Proposal => format!("proposed at {stage}"),
    }
}

fn mermaid(call: &Call, drawn: &[Drawn<'_>]) -> Result<()> {
    call.output.line("graph LR")?;
    let mut by_age: Vec<&Drawn<'_>> = drawn.iter().collect();
    by_age.sort_unstable_by_key(|drawn| drawn.task.order);
    for drawn in by_age {
        let task = drawn.task;
        let title: String = task.title.chars().map(|c| if matches!(c, '"' | '<' | '>') { '\'' } else { c }).collect();
        call.output.line(&format!("  {}[\"{}<br/>{}\"]", task.id, task.id, cut(&title, 40)))?;
        for dependency in &task.depends_on {
            call.output.line(&format!("  {dependency} --> {}", task.id))?;
        }
        if let Some(parent) = drawn.serves() {
            call.output.line(&format!("  {} -. \"{}\" .-> {}", parent.task, words(parent), task.id))?;
        }
    }
    Ok(())
}
