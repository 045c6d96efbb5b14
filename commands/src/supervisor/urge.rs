//! Typing something into a session that does not get on. Nothing is ever typed into a dialog, known or not: what stands on
//! the screen is read once more right before.

use pipeline_lib::event::{Event, Seen};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Run, Rung};
use pipeline_lib::status::Doing;
use pipeline_lib::terminal::{Input, Key, KeyCode};
use pipeline_worktrees::host;
use pipeline_worktrees::process::Table;

use super::session;
use crate::context::Context;
use crate::error::chain;

/// Types what a rung of the ladder says, and tells what came of it.
pub(super) fn urge(context: &Context, pipeline: &Pipeline, run: &Run, rung: Rung) -> Event {
    let refused = refusal(context, pipeline, run).or_else(|| {
        let typed = host::type_into(&context.run_dir(&run.id), &inputs(run, rung));
        typed.err().map(|error| chain(&error))
    });
    if let Some(why) = &refused {
        tracing::warn!(run = %run.id, why, "nothing was typed");
    }
    Event::Run { run: run.id.clone(), seen: Seen::Typed { rung, refused } }
}

/// Why nothing may be typed now.
fn refusal(context: &Context, pipeline: &Pipeline, run: &Run) -> Option<String> {
    let sight = session::look(context, pipeline, run, &Table::read())?;
    let shown = sight.observed.screen.as_ref().and_then(|screen| screen.doing.clone());
    match shown {
        Some(doing @ (Doing::Dialog(_) | Doing::Permission | Doing::Question)) => Some(doing.words()),
        _ => None,
    }
}

fn inputs(run: &Run, rung: Rung) -> Vec<Input> {
    let file = run.task.as_ref().map(Context::task_file_name).unwrap_or_default();
    let text = format!(
        "Nothing has happened for a while. Please go on with {file}; if the work is done, or if it cannot be done, say so in its \
         last heading, `## Status:`."
    );
    let escape = Input::Key(Key { code: KeyCode::Escape, shift: false, alt: false, control: false });
    let say = Input::Paste { text, submit: true };
    match rung {
        Rung::Interrupt => vec![escape, say],
        Rung::Peek | Rung::Nudge | Rung::Resume | Rung::Reassign | Rung::Person => vec![say],
    }
}
