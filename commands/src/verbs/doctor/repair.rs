//! What `doctor --repair` does: mends the journal, writes `state.json` anew, and forgets worktrees whose folder is gone.
//! Nothing is thrown away; what is taken out is kept beside it and named.

use std::path::Path;
use std::time::Duration;

use pipeline_lib::view::{Seen, state_doc};
use pipeline_state::{Options, Store};

use crate::context::{Context, Site};
use crate::dispatch::Call;
use crate::engine::Kept;
use crate::error::{Result, chain};
use crate::supervisor::look;

/// How long it waits for whoever holds the state.
const LOCK_WAIT: Duration = Duration::from_secs(10);

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
    let context = Site::find(&call.globals).and_then(|site| Context::load(&call.globals, &call.output, site)).ok();
    let mut store = Store::<Kept>::open(&dir, options)?;
    let seen = context.as_ref().map_or_else(Seen::new, |context| look(context, &store.machine().0));
    let mut locked = store.lock()?;
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
