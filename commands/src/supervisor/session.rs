//! What is seen of a session: everything that its status is derived from, gathered in one look. What is seen of it from
//! one look to the next is in its run's directory and in the journal, so that a program that looks once knows as much as
//! one that has always looked. Nothing is concluded here.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use pipeline_lib::agents::preset::Preset;
use pipeline_lib::event::{DoingSeen, Event, Seen};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::Run;
use pipeline_lib::settings::Sandbox;
use pipeline_lib::status::hooks::{self, Hook};
use pipeline_lib::status::{Correction, Derived, Observed, derive, screen};
use pipeline_worktrees::beneath;
use pipeline_worktrees::host::{self, Observation};
use pipeline_worktrees::process::Table;

use super::look::{last_output_at, read_small};
use crate::context::Context;

/// In a run's directory: what the hooks of its agent's program said, a line each.
pub(crate) const HOOKS: &str = "hooks.jsonl";
/// In a run's directory: what a person said about its status.
pub(crate) const SAID: &str = "said.json";
/// How much of what hooks said is read: its end.
const HOOKS_BYTES_MAX: u64 = 256 * 1024;
/// Beyond so many entries nothing more of a worktree is looked at.
const ENTRIES_MAX: usize = 4_000;
/// The worktree is only looked at once nothing was printed for so long.
const QUIET: Duration = Duration::from_secs(120);

/// Everything that was seen of a session.
#[derive(Debug)]
pub(crate) struct Sight {
    /// What its status is derived from.
    pub(crate) observed: Observed,
    /// The rows of its screen; none where it could not be asked, or where there are no rules for it.
    pub(crate) lines: Option<Vec<String>>,
    /// What follows.
    pub(crate) derived: Derived,
}

/// Looks at the session of a run; none where it has none that lives.
pub(crate) fn look(context: &Context, pipeline: &Pipeline, run: &Run, table: &Table) -> Option<Sight> {
    let dir = context.run_dir(&run.id);
    let Observation::Running { start, .. } = host::observe(&dir) else { return None };
    if !run.interactive {
        return None;
    }
    let now = Zoned::now();
    let preset = pipeline.core.agents.get(&run.agent).map_or(Preset::Custom, |agent| agent.preset);
    let printed_at = last_output_at(&dir);
    let rules = screen::rules(preset);
    // Where nothing was printed yet there is nothing on the screen, and where no rule reads it nobody is asked for it.
    let lines = printed_at.and(rules).and_then(|_| host::screen(&dir).ok());
    let reading = |lines: &Vec<String>| {
        let unchanged_since = printed_at.unwrap_or(start.started_at);
        screen::read(rules, lines, unchanged_since, &now)
    };
    let (tools, tools_busy) = host::tools(table, start.host.pid);
    let observed = Observed {
        started_at: Some(start.started_at),
        shell_left: None,
        tools,
        tools_busy,
        hooks: hooks(&dir),
        screen: match rules {
            Some(_) => lines.as_ref().map(reading),
            // Nothing is known of how it draws, so there is nothing to miss where it has drawn nothing.
            None => Some(reading(&Vec::new())),
        },
        printed_at,
        progress_at: progress_at(context, run, printed_at, &now),
        correction: correction(&dir),
        changes: run.doing.as_ref().map(|noted| noted.changes.clone()).unwrap_or_default(),
    };
    let derived = derive(&observed, &now);
    Some(Sight { observed, lines, derived })
}

/// What there is to tell the engine about the session of a run whose host lives. That it has started is told before.
pub(super) fn event(context: &Context, pipeline: &Pipeline, run: &Run, table: &Table) -> Option<Event> {
    let Sight { observed, derived, .. } = look(context, pipeline, run, table)?;
    // A session that cannot be gone on with is none: of a strict agent everything goes with its home.
    let resumes = context.agent(&run.agent).is_some_and(|agent| {
        agent.sandbox != Sandbox::Strict && agent.template().iter().any(|arg| arg.contains("{resume?}"))
    });
    let session = hooks::session(&observed.hooks).filter(|_| resumes).map(str::to_owned);
    let seen = DoingSeen {
        conflict: derived.conflicts.first().cloned().unwrap_or_default(),
        doing: derived.doing,
        source: derived.source,
        since: derived.since,
        session,
    };
    Some(Event::Run { run: run.id.clone(), seen: Seen::Doing(Box::new(seen)) })
}

/// What the hooks of a run said. The agent can write there, so every line is only what it seems.
fn hooks(dir: &Path) -> Vec<Hook> {
    let read = || -> Option<String> {
        let mut file = beneath::open(dir, Path::new(HOOKS)).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(HOOKS_BYTES_MAX))).ok()?;
        let mut bytes = Vec::new();
        file.take(HOOKS_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let now = Timestamp::now();
    let heard = |line: &str| serde_json::from_str::<Hook>(line).ok().filter(|hook| hook.at <= now);
    read().unwrap_or_default().lines().filter_map(heard).collect()
}

/// The file in which the program of a session keeps what was said and used, as its hooks named it last.
pub(super) fn transcript(dir: &Path) -> Option<PathBuf> {
    hooks(dir).into_iter().rev().find_map(|hook| hook.transcript).map(PathBuf::from)
}

fn correction(dir: &Path) -> Option<Correction> {
    serde_json::from_slice(&read_small(&dir.join(SAID), 4_096)?).ok()
}

/// When something in the worktree of a run last changed. It is looked at only where that could matter.
fn progress_at(context: &Context, run: &Run, printed_at: Option<Timestamp>, now: &Zoned) -> Option<Timestamp> {
    let quiet = printed_at
        .is_some_and(|at| Duration::try_from(now.timestamp().duration_since(at)).is_ok_and(|quiet| quiet >= QUIET));
    if !quiet {
        return printed_at;
    }
    let worktree = context.worktree(run.agent.as_str(), run.task.as_ref());
    newest(&worktree).or(run.started_at)
}

/// When the newest of the files below a folder was written, without what is built or kept by git.
fn newest(root: &Path) -> Option<Timestamp> {
    let mut todo: Vec<PathBuf> = vec![root.to_owned()];
    let (mut found, mut left) = (None, ENTRIES_MAX);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).ok()?.flatten() {
            left = left.checked_sub(1)?;
            let name = entry.file_name();
            if [".git", "target", "node_modules", ".pipeline"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                todo.push(entry.path());
            }
            found = found.max(data.modified().ok().and_then(|at| Timestamp::try_from(at).ok()));
        }
    }
    found
}
