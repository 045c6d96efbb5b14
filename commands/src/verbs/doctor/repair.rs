//! What `doctor --repair` does: mends the journal, writes `state.json` anew, and forgets worktrees whose folder is gone.
//! Nothing is thrown away; what is taken out is kept beside it and named.

use std::path::Path;
use std::time::Duration;

use pipeline_lib::ids::{NAME_BYTES_MAX, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::text::{counted, one_line};
use pipeline_lib::view::{Seen, state_doc};
use pipeline_state::{Options, Store};
use serde_json::Value;

use crate::context::{Context, Site};
use crate::dispatch::Call;
use crate::engine::{self, Kept};
use crate::error::{Result, chain};
use crate::supervisor::look;

/// How long it waits for whoever holds the state.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// The longest word for a status, in characters, of what may be anybody's file.
const STATUS_CHARS_MAX: usize = 40;

/// Mends what can be mended, and says what was done.
pub(super) fn repair(call: &Call, site: &Site) -> Result<Vec<String>> {
    let mut done = Vec::new();
    if !site.is_initialised() {
        return Ok(done);
    }
    let dir = site.folder().join("state");
    let options = Options { lock_timeout: LOCK_WAIT, command: call.globals.command.clone(), ..Options::default() };
    let repaired = Store::<Kept>::repair(&dir, options.clone())?;
    for segment in &repaired.segments {
        done.push(format!(
            "{}: {} bytes with {} whole records were set aside; the file as it was is {}",
            name(&segment.path),
            segment.bytes_set_aside,
            segment.records_set_aside,
            segment.copy.display(),
        ));
    }
    if !repaired.segments.is_empty() {
        done.push(format!("the history now ends at fact {}", repaired.seq));
    }
    let before = tasks_in_snapshot(&dir);
    let context = Site::find(&call.globals).and_then(|site| Context::load(&call.globals, &call.output, site)).ok();
    let mut store = Store::<Kept>::open(&dir, options)?;
    let seen = context.as_ref().map_or_else(Seen::new, |context| look(context, &store.machine().0));
    let mut locked = store.lock()?;
    if !repaired.segments.is_empty() {
        done.extend(lost(&before, &locked.machine().0));
    }
    // What was lost keeps its number: there may be a branch of that name, and a person who remembers it.
    if let Some(taken) = engine::above(before.iter().map(|(id, _)| id.as_str())) {
        locked.transact("doctor", |transaction| engine::step(transaction, &taken))?;
    }
    let document = serde_json::to_value(state_doc(&locked.machine().0, &seen))?;
    locked.write_snapshot(&document)?;
    drop(locked);
    done.extend(store.take_notices().iter().map(ToString::to_string));
    done.push("state.json was written anew".to_owned());
    if let Some(context) = &context {
        done.extend(forget_worktrees(context));
    }
    Ok(done)
}

/// The tasks that `state.json` names, with their status. It was written after the facts that the journal lost, or is not
/// there; one that cannot be read says nothing.
fn tasks_in_snapshot(dir: &Path) -> Vec<(String, String)> {
    let read = std::fs::read(dir.join("state.json")).ok();
    let document = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
    let tasks = document.get("tasks").and_then(Value::as_object).into_iter().flatten();
    let status = |task: &Value| task.get("status").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    tasks.map(|(id, task)| (one_line(id, NAME_BYTES_MAX), one_line(&status(task), STATUS_CHARS_MAX))).collect()
}

/// What the state knew before and does not know now.
fn lost(before: &[(String, String)], now: &Pipeline) -> Vec<String> {
    let status = |id: &str| now.task(id).map(|task| task.state.word());
    let is_archived = |id: &str| TaskId::new(id).is_ok_and(|id| now.core.archived.contains_key(&id));
    let (gone, kept): (Vec<_>, Vec<_>) =
        before.iter().filter(|(id, _)| !is_archived(id)).partition(|(id, _)| status(id).is_none());
    let gone: Vec<String> = gone.iter().map(|(id, status)| format!("{id} ({status})")).collect();
    let back: Vec<String> = kept
        .into_iter()
        .filter_map(|(id, before)| {
            let now = status(id).filter(|now| now != before)?;
            Some(format!("{id} (was {before}, is {now})"))
        })
        .collect();
    let mut lines = Vec::new();
    if !gone.is_empty() {
        lines.push(format!("{} no longer known: {}", counted(gone.len(), "task"), gone.join(", ")));
        lines.push(
            "what their branches pipeline/ID hold is untouched; add a task again with `pipeline task add`".to_owned(),
        );
    }
    if !back.is_empty() {
        lines.push(format!("{} behind what was known: {}", counted(back.len(), "task"), back.join(", ")));
    }
    lines
}

/// Worktrees of ours whose folder is gone; their commits are kept.
fn forget_worktrees(context: &Context) -> Vec<String> {
    let known = context.repo().worktrees().unwrap_or_default();
    let gone = known.into_iter().filter(|info| info.prunable && context.is_our_worktree(&info.path));
    gone.map(|info| match context.repo().remove_worktree(&info.path) {
        Ok(()) => format!("worktree {} was forgotten; its commits are kept", name(&info.path)),
        Err(error) => format!("worktree {} could not be forgotten: failed to {}", name(&info.path), chain(&error)),
    })
    .collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
