//! What a run's program printed, from the run's own directory.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pipeline_lib::ids::{AgentName, RunId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::RunSummary;
use pipeline_lib::terminal::{Line, sgr};
use pipeline_lib::text;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_worktrees::host::{self, Observation, Stream};

use super::super::events::reader_gone;
use super::Logs;
use super::follow::Growth;
use super::lines::Lines;
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result};
use crate::viewer::replayed;

/// How much of a stream is read at once.
const PIECE: usize = 1024 * 1024;
/// How many other runs are named where one printed nothing.
const OTHERS_MAX: usize = 5;

/// The run whose output is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    run: RunId,
    task: Option<TaskId>,
    agent: Option<AgentName>,
    live: bool,
    /// What was drawn in a terminal is cut into pieces where the cursor jumped.
    interactive: bool,
}

pub(super) fn print(call: &Call, args: &Logs, context: &Context, engine: &mut Engine) -> Result<()> {
    let Some(wanted) = wanted(engine.pipeline(), args, &context.runs_dir())? else {
        call.output.note("there has been no run yet");
        return Ok(());
    };
    let dir = context.run_dir(&wanted.run);
    if wanted.interactive
        && !args.raw
        && let Some(shown) = replayed(&dir)
    {
        return print_session(call, args, &wanted, &dir, &shown);
    }
    let mut growth = args.follow.then(|| Growth::of(&dir));
    let mut reader = Reader::new(call, args, &wanted, dir.clone());
    reader.last_lines(args.last(), args.follow)?;
    while let Some(growth) = growth.as_mut().filter(|_| !reader_gone()) {
        // Asked before the reading: what was written before the end is read after it is known.
        let over = is_over(engine, &wanted, &dir)?;
        reader.read()?;
        if over {
            break;
        }
        growth.wait();
    }
    reader.finish()?;
    if printed_nothing(&dir) {
        let kept = if wanted.live || dir.is_dir() { "" } else { " that is kept" };
        call.output.note(&nothing_printed(engine.pipeline(), &wanted, kept));
    }
    Ok(())
}

fn printed_nothing(dir: &Path) -> bool {
    let is_empty = |stream| host::tail(dir, stream, 1).is_ok_and(|end| end.is_empty());
    is_empty(Stream::Stdout) && is_empty(Stream::Stderr)
}

/// That a run printed nothing, or nothing of which more is known, and which other runs its task has had, the newest first.
fn nothing_printed(pipeline: &Pipeline, wanted: &Wanted, kept: &str) -> String {
    let runs = wanted.task.as_ref().and_then(|task| pipeline.task(task.as_str())).map(|task| &task.runs);
    let named = |run: &RunSummary| format!("{} ({} of {} by {})", run.id, run.work, run.stage, run.agent);
    let all: Vec<&RunSummary> = runs.into_iter().flatten().rev().collect();
    let this = all.iter().find(|run| run.id == wanted.run).map_or_else(|| wanted.run.to_string(), |run| named(run));
    let others: Vec<String> =
        all.iter().filter(|run| run.id != wanted.run).take(OTHERS_MAX).map(|run| named(run)).collect();
    match others.is_empty() {
        true => format!("run {this} printed nothing{kept}"),
        false => {
            format!("run {this} printed nothing{kept}; others: {}; see `pipeline logs --run ID`", others.join(", "))
        }
    }
}

/// Prints what the terminal of a session showed that is over: all of it once, however often it was drawn.
fn print_session(call: &Call, args: &Logs, wanted: &Wanted, dir: &Path, shown: &[Line]) -> Result<()> {
    let reader = Reader::new(call, args, wanted, dir.to_owned());
    let skip = shown.len().saturating_sub(args.last());
    let mut lines = shown.iter().skip(skip);
    lines.try_for_each(|line| reader.print_shown(Stream::Stdout, line.text().trim_end()))
}

fn is_over(engine: &mut Engine, wanted: &Wanted, dir: &Path) -> Result<bool> {
    Ok(match host::observe(dir) {
        Observation::Starting | Observation::Running { .. } => false,
        Observation::Ended(_) | Observation::Interrupted { .. } | Observation::Corrupt { .. } => true,
        Observation::NotStarted => {
            engine.refresh()?;
            !engine.pipeline().core.runs.contains_key(&wanted.run)
        }
    })
}

/// The run that is meant: one that is live before one that is over, and of these the newest.
fn wanted(pipeline: &Pipeline, args: &Logs, runs_dir: &Path) -> Result<Option<Wanted>> {
    if let Some(id) = &args.run {
        return by_id(pipeline, id, runs_dir).map(Some);
    }
    let missing = |kind: &str, name: &str| {
        CommandError::not_found(format!("there is no {kind} `{}`", text::one_line(name, 80)))
            .hint(format!("`pipeline {kind} list` shows what there is."))
    };
    if let Some(id) = args.task.as_ref().filter(|id| pipeline.task(id).is_none()) {
        // What it ran is in the journal only.
        return Err(match pipeline.core.archived.contains_key(id.as_str()) {
            true => CommandError::not_found(format!("{id} is archived, and its runs are no longer listed with it"))
                .hint(format!("`pipeline events --task {id}` names them; then `pipeline logs --run RUN`.")),
            false => missing("task", id),
        });
    }
    let agent = args.agent.as_ref().map(|name| AgentName::new(name).map_err(|_| missing("agent", name))).transpose()?;
    let is_agent = |name: &AgentName| agent.as_ref().is_none_or(|agent| agent == name);
    let is_task = |id: &TaskId| args.task.as_ref().is_none_or(|task| task == id.as_str());
    let live = pipeline.core.runs.values().filter(|run| {
        is_agent(&run.agent)
            && match &run.task {
                Some(task) => is_task(task),
                None => args.task.is_none(),
            }
    });
    if let Some(run) = live.max_by_key(|run| run.claimed_at) {
        let (task, agent) = (run.task.clone(), Some(run.agent.clone()));
        return Ok(Some(Wanted { run: run.id.clone(), task, agent, live: true, interactive: run.interactive }));
    }
    let settled = pipeline.tasks.iter().filter(|task| is_task(&task.id));
    let settled = settled.flat_map(|task| task.runs.iter().map(move |run| (task, run)));
    // What did a stage's work says more than the gate that checked it.
    let newest: Option<(_, _)> =
        settled.filter(|(_, run)| is_agent(&run.agent)).max_by_key(|(_, run)| -> (bool, Timestamp, &str) {
            (matches!(&*run.work, "agent" | "command"), run.started_at, run.id.as_str())
        });
    if let Some((task, run)) = newest {
        let agent = Some(run.agent.clone());
        let task = Some(task.id.clone());
        return Ok(Some(Wanted { run: run.id.clone(), task, agent, live: false, interactive: run.interactive }));
    }
    // One that has left the configuration is known by its runs alone.
    match agent.filter(|name| !pipeline.core.agents.contains_key(name)) {
        Some(name) => Err(missing("agent", name.as_str())),
        None => Ok(None),
    }
}

fn by_id(pipeline: &Pipeline, id: &str, runs_dir: &Path) -> Result<Wanted> {
    let missing = || {
        CommandError::not_found(format!("there is no run `{}`", text::one_line(id, 80)))
            .hint("`pipeline explain TASK` names the latest runs of a task.")
    };
    let run = RunId::new(id).map_err(|_| missing())?;
    if let Some(live) = pipeline.core.runs.get(&run) {
        let (task, agent) = (live.task.clone(), Some(live.agent.clone()));
        return Ok(Wanted { task, agent, live: true, interactive: live.interactive, run });
    }
    let mut settled = pipeline.tasks.iter().flat_map(|task| task.runs.iter().map(move |run| (task, run)));
    match settled.find(|(_, settled)| settled.id == run) {
        Some((task, settled)) => {
            let (task, agent) = (Some(task.id.clone()), Some(settled.agent.clone()));
            Ok(Wanted { task, agent, live: false, interactive: settled.interactive, run })
        }
        None if runs_dir.join(id).is_dir() => {
            Ok(Wanted { run, task: None, agent: None, live: false, interactive: false })
        }
        None => Err(missing()),
    }
}

struct Reader<'a> {
    call: &'a Call,
    raw: bool,
    wanted: &'a Wanted,
    dir: PathBuf,
    streams: [(Stream, u64, Lines); 2],
}

impl<'a> Reader<'a> {
    fn new(call: &'a Call, args: &Logs, wanted: &'a Wanted, dir: PathBuf) -> Self {
        let streams = [Stream::Stdout, Stream::Stderr].map(|stream| (stream, 0, Lines::default()));
        Self { call, raw: args.raw, wanted, dir, streams }
    }

    /// Prints at most the last lines of what is there, standard output first. A line that was never ended counts where
    /// nobody waits for the rest of it.
    fn last_lines(&mut self, last: usize, follow: bool) -> Result<()> {
        if last == usize::MAX {
            return self.read();
        }
        let mut found: Vec<(Stream, String)> = Vec::new();
        for (stream, position, lines) in &mut self.streams {
            loop {
                let chunk = host::read_log(&self.dir, *stream, *position, PIECE)?;
                *position = chunk.from + chunk.bytes.len() as u64;
                found.extend(lines.take(&chunk.bytes).into_iter().map(|line| (*stream, line)));
                // Only the end is kept, so that a long log does not fill the memory.
                found.drain(..found.len().saturating_sub(last));
                if chunk.bytes.is_empty() {
                    break;
                }
            }
            if !follow {
                found.extend(lines.finish().map(|line| (*stream, line)));
            }
        }
        found.drain(..found.len().saturating_sub(last));
        found.iter().try_for_each(|(stream, line)| self.print(*stream, line))
    }

    /// Prints what is new of both streams.
    fn read(&mut self) -> Result<()> {
        for index in 0..self.streams.len() {
            loop {
                let (stream, position, lines) = &mut self.streams[index];
                let stream = *stream;
                let chunk = host::read_log(&self.dir, stream, *position, PIECE)?;
                if chunk.bytes.is_empty() {
                    break;
                }
                *position = chunk.from + chunk.bytes.len() as u64;
                for line in lines.take(&chunk.bytes) {
                    self.print(stream, &line)?;
                }
            }
        }
        Ok(())
    }

    /// Prints lines that were never ended.
    fn finish(&mut self) -> Result<()> {
        for index in 0..self.streams.len() {
            let (stream, _, lines) = &mut self.streams[index];
            if let (stream, Some(line)) = (*stream, lines.finish()) {
                self.print(stream, &line)?;
            }
        }
        Ok(())
    }

    fn print(&self, stream: Stream, line: &str) -> Result<()> {
        if self.raw || !self.wanted.interactive {
            let shown = if self.raw { line.to_owned() } else { text::safe(line, usize::MAX) };
            return self.print_shown(stream, &shown);
        }
        let mut pieces = sgr::pieces(line).map(|piece| sgr::Reader::default().line(piece).text());
        pieces.try_for_each(|piece| self.print_shown(stream, piece.trim_end()))
    }

    fn print_shown(&self, stream: Stream, shown: &str) -> Result<()> {
        let out = &self.call.output;
        if !out.json {
            return out.line(shown);
        }
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let mut document = serde_json::json!({
            "schema_version": SCHEMA_VERSION, "source": "run", "run": self.wanted.run, "stream": stream, "text": shown,
        });
        // What does not apply is absent, as in events.
        if let Some(task) = &self.wanted.task {
            document["task"] = task.as_str().into();
        }
        if let Some(agent) = &self.wanted.agent {
            document["agent"] = agent.as_str().into();
        }
        out.json(&document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit;

    fn args(agent: Option<&str>, task: Option<&str>, run: Option<&str>) -> Logs {
        let [agent, task, run] = [agent, task, run].map(|name| name.map(str::to_owned));
        Logs { follow: false, agent, task, run, level: None, lines: None, raw: false }
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        let pipeline = Pipeline::default();
        for args in [args(Some("nobody"), None, None), args(None, Some("T"), None), args(None, None, Some("../etc"))] {
            assert_eq!(wanted(&pipeline, &args, Path::new("/nowhere")).unwrap_err().code, exit::NOT_FOUND, "{args:?}");
        }
    }

    #[test]
    fn the_run_directory_alone_is_enough() {
        let runs = tempfile::tempdir().unwrap();
        std::fs::create_dir(runs.path().join("check-1")).unwrap();
        let found = wanted(&Pipeline::default(), &args(None, None, Some("check-1")), runs.path()).unwrap().unwrap();
        assert_eq!((found.run.as_str(), found.live), ("check-1", false));
    }
}
