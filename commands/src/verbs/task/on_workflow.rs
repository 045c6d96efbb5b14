//! Whether a task may be put on a workflow. What is wrong with the file of one is said as `pipeline workflow validate`
//! says it; whether a task may change its workflow is the engine's business.

use pipeline_lib::ids::WorkflowId;

use crate::config::{WorkflowSet, render_all};
use crate::error::{CommandError, Result, exit};
use crate::shipped::PACKS;

/// The workflow of a task that names none.
const DEFAULT: &str = "tdd";

/// Makes sure that the workflow of a task, or the default where it names none, can be used.
///
/// # Errors
/// When its file is invalid, or no file defines it.
pub(crate) fn check(set: &WorkflowSet, named: Option<&WorkflowId>) -> Result<()> {
    let id = named.map_or(DEFAULT, WorkflowId::as_str);
    if set.workflows.iter().any(|workflow| workflow.id.as_str() == id) {
        return Ok(());
    }
    if let Some((_, missing)) = set.shipped(id) {
        let all = set.shipped_for([id]).into_iter().filter(|workflow| workflow.id.as_str() != id);
        let led_to = all.filter_map(|workflow| {
            let (_, missing) = set.shipped(workflow.id.as_str())?;
            Some(missing.into_iter().map(move |stage| format!("in `{}` {stage}", workflow.id)).collect::<Vec<_>>())
        });
        let missing: Vec<String> = missing.into_iter().chain(led_to.flatten()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("workflow `{id}` needs agents that there are not: {}", missing.join("; "));
        return Err(CommandError::new(exit::CONFIG, "workflow_invalid", message)
            .hint("Nothing was changed. Give an agent one of these roles in config.toml, or copy the workflow with `pipeline workflow new`."));
    }
    let problems = set.problems_of(id);
    if problems.is_empty() {
        if let Some(error) = in_a_pack(id) {
            return Err(error);
        }
        let known: Vec<&str> = set.workflows.iter().map(|workflow| workflow.id.as_str()).collect();
        return Err(CommandError::not_found(format!("there is no workflow `{id}`")).hint(format!(
            "{}There are: {}. Others are read from .pipeline/workflows/*.json, or come with the program: {}.",
            set.meant(id),
            if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            set.shipped_ids().collect::<Vec<_>>().join(", ")
        )));
    }
    // The caller says "error" itself; the help of each problem stands below its place.
    let shown = render_all(&problems, false);
    let message = shown.strip_prefix("error: ").unwrap_or(&shown).trim_end();
    Err(CommandError::new(exit::CONFIG, "workflow_invalid", message)
        .hint(format!("Nothing was changed. Mend workflow `{id}`, then run `pipeline workflow validate`.")))
}

/// What is said of a workflow that only a pack has, which is written out first.
pub(crate) fn in_a_pack(id: &str) -> Option<CommandError> {
    let file = format!("workflows/{id}.json");
    let name = PACKS.iter().find(|pack| pack.files.iter().any(|(name, _)| *name == file))?.name;
    let error = CommandError::not_found(format!("there is no workflow `{id}` here; it is in the pack `{name}`"));
    Some(error.hint(format!("Write its files with `pipeline workflow new {name} --from {name}`.")))
}
