//! `pipeline task graph`: what depends on what, as an indented list or as a Mermaid diagram.

use std::collections::HashSet;

use clap::Args;
use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::Task;

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::table::cut;
use crate::verbs::status::task_word;

/// Draw what depends on what.
#[derive(Debug, Args)]
pub struct Graph {
    /// As a Mermaid diagram
    #[arg(long)]
    pub mermaid: bool,
}

pub(super) fn run(call: &Call, args: &Graph) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let pipeline = engine.pipeline();
    let tasks = pipeline.tasks.in_order();
    if call.output.json {
        let nodes: Vec<_> = tasks
            .iter()
            .map(|t| serde_json::json!({ "id": t.id, "title": t.title, "status": t.state.word(), "height": pipeline.height(&t.id) }))
            .collect();
        let edges: Vec<_> = tasks
            .iter()
            .flat_map(|t| t.depends_on.iter().map(|d| serde_json::json!({ "from": d, "to": t.id })))
            .collect();
        call.output.json(&serde_json::json!({ "schema_version": 1, "nodes": nodes, "edges": edges }))?;
    } else if args.mermaid {
        mermaid(call, &tasks)?;
    } else {
        let mut shown = HashSet::new();
        for task in tasks.iter().filter(|t| t.depends_on.iter().all(|d| pipeline.task(d.as_str()).is_none())) {
            branch(call, pipeline, task, 0, &mut shown)?;
        }
    }
    Ok(exit::OK)
}

/// A task and, indented below it, those that wait for it. One that was shown before is only named again.
fn branch(call: &Call, pipeline: &Pipeline, root: &Task, depth: usize, shown: &mut HashSet<TaskId>) -> Result<()> {
    let mut todo = vec![(root, depth)];
    while let Some((task, depth)) = todo.pop() {
        let first = shown.insert(task.id.clone());
        let also: Vec<&str> = task.depends_on.iter().skip(1).map(TaskId::as_str).collect();
        let also =
            if also.is_empty() || depth == 0 { String::new() } else { format!(" (of {})", task.depends_on.len()) };
        let note = if first { "" } else { " ↑" };
        let indent = "  ".repeat(depth);
        let status = task_word(&call.output, &task.state.word());
        call.output.line(&format!("{indent}{}  {status}  {}{also}{note}", task.id, cut(&task.title, 60)))?;
        if first {
            let mut behind = pipeline.dependents(&task.id);
            behind.sort_by_key(|t| std::cmp::Reverse(t.order));
            todo.extend(behind.into_iter().map(|t| (t, depth + 1)));
        }
    }
    Ok(())
}

fn mermaid(call: &Call, tasks: &[&Task]) -> Result<()> {
    call.output.line("graph LR")?;
    for task in tasks {
        let title: String = task.title.chars().map(|c| if matches!(c, '"' | '<' | '>') { '\'' } else { c }).collect();
        call.output.line(&format!("  {}[\"{}<br/>{}\"]", task.id, task.id, cut(&title, 40)))?;
        for dependency in &task.depends_on {
            call.output.line(&format!("  {dependency} --> {}", task.id))?;
        }
    }
    Ok(())
}
