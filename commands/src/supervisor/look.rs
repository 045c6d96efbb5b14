//! What is seen of live runs right now: their processes, their task files, the ends of their logs. Read only, so that
//! every verb may look.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline_lib::agents::failure_in_errors;
use pipeline_lib::agents::stream::{Activity, summarize};
use pipeline_lib::claim::{marker, outcome};
use pipeline_lib::event::{Event, Seen as RunEvent};
use pipeline_lib::ids::RunId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Claim, ClaimSource, Ended, Evidence, Phase, Run, StopReason, Work};
use pipeline_lib::terminal::sgr;
use pipeline_lib::text;
use pipeline_lib::view::{ProcessSeen, RunSeen, Seen};
use pipeline_worktrees::beneath;
use pipeline_worktrees::host::{self, How, Observation, SpawnProblem, Stream, Why};
use pipeline_worktrees::process::Table;

use super::begin::place_of;
use super::secrets::Secrets;
use super::session;
use crate::context::Context;

/// What was read of processes so long ago is as good as new.
const MOMENT: Duration = Duration::from_millis(200);
/// How much of a log's end is read for the last line and the present activity.
const GLANCE_BYTES: usize = 16 * 1024;
/// How much of its errors is read for what it cannot get on with.
const ERRORS_BYTES: usize = 8 * 1024;
/// How much of a failed gate's output is handed back to the agent.
const OUTPUT_CHARS_MAX: usize = 6_000;

/// What can be seen of every live run.
#[must_use]
pub fn look(context: &Context, pipeline: &Pipeline) -> Seen {
    let table = processes(pipeline);
    pipeline.core.runs.values().map(|run| (run.id.clone(), glance(context, pipeline, run, &table))).collect()
}

/// The processes there are, or were a moment ago, where anything depends on them. A tick and the picture made after it look at
/// the same ones.
pub(super) fn processes(pipeline: &Pipeline) -> Arc<Table> {
    static LATEST: Mutex<Option<(Instant, Arc<Table>)>> = Mutex::new(None);
    if !pipeline.core.runs.values().any(|run| run.interactive) {
        return Arc::default();
    }
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*latest {
        Some((read_at, table)) if read_at.elapsed() < MOMENT => Arc::clone(table),
        _ => Arc::clone(&latest.insert((Instant::now(), Arc::new(Table::read()))).1),
    }
}

fn glance(context: &Context, pipeline: &Pipeline, run: &Run, table: &Table) -> RunSeen {
    let dir = context.run_dir(&run.id);
    let process = match place_of(run).map_or_else(|| host::observe(&dir), |place| host::observe_at(&dir, place)) {
        Observation::NotStarted => ProcessSeen::NotStarted,
        Observation::Starting => ProcessSeen::Starting,
        Observation::Running { .. } => ProcessSeen::Alive,
        Observation::Interrupted { .. } => ProcessSeen::Gone,
        Observation::Ended(_) => ProcessSeen::Ended,
        Observation::Corrupt { .. } => ProcessSeen::Unknown,
    };
    let output = host::tail(&dir, Stream::Stdout, GLANCE_BYTES).unwrap_or_default();
    // A session draws for people; there is no stream in it that says what it does.
    let output = if run.interactive { last_drawn(&output) } else { output };
    let format = pipeline.core.agents.get(&run.agent).map(|a| a.preset.info().format);
    let format = format.filter(|_| run.work.can_claim() && !run.interactive);
    let summary = format.map(|f| summarize(f, &output, &jiff::Zoned::now()));
    let last_line = match &summary {
        Some(summary) => summary.last_line.clone(),
        None => text::one_line(text::tail_lines(output.trim_end(), 1), 200),
    };
    let hindered = format.filter(|_| process == ProcessSeen::Alive).and_then(|format| {
        let errors = host::tail(&dir, Stream::Stderr, ERRORS_BYTES).unwrap_or_default();
        failure_in_errors(format, &output, &errors, &jiff::Zoned::now())
    });
    let activity = summary.and_then(|s| s.activity).map(|activity| match activity {
        Activity::Thinking => "its stream says it is thinking".to_owned(),
        Activity::Tool { name } => format!("its stream says it is using {}", text::one_line(&name, 40)),
        Activity::Message => "its stream says it is writing".to_owned(),
    });
    let activity = match hindered {
        Some(failure) => Some(format!("it goes on trying: {}", text::one_line(failure.text(), 120))),
        None => activity,
    };
    let unsent = run.interactive.then(|| host::unsent_prompt(&dir)).flatten().map(|why| {
        let why = text::one_line(&why, 100);
        format!("its prompt was not pasted: {why}; `pipeline agent send {} TEXT` gives it one", run.agent)
    });
    let (last_line, activity) = match unsent {
        Some(unsent) => (unsent.clone(), Some(unsent)),
        None => (last_line, activity),
    };
    let marker = task_file_text(context, run).and_then(|text| marker::parse(&text));
    RunSeen {
        process,
        last_output_at: last_output_at(&dir),
        last_line,
        activity,
        marker: marker.map(|m| m.status),
        doing: session::look(context, pipeline, run, table).map(|sight| sight.derived),
    }
}

pub(super) fn last_output_at(dir: &Path) -> Option<Timestamp> {
    let modified =
        |stream: Stream| std::fs::metadata(dir.join(stream.file_name())).ok().filter(|m| m.len() > 0)?.modified().ok();
    let latest = [Stream::Stdout, Stream::Stderr].into_iter().filter_map(modified).max()?;
    Timestamp::try_from(latest).ok()
}

/// What there is to tell the engine about a live run.
///
/// # Errors
/// When what a dead host left could not be cleared away; the run is not over then.
pub fn observe(context: &Context, run: &Run) -> Result<Vec<Event>, host::HostError> {
    let dir = context.run_dir(&run.id);
    let event = |seen| Event::Run { run: run.id.clone(), seen };
    let mut events = Vec::new();
    match host::observe(&dir) {
        Observation::NotStarted | Observation::Starting => {}
        Observation::Running { start, .. } => {
            if run.phase == Phase::Claimed {
                let pid = u32::try_from(start.host.pid).unwrap_or_default();
                events.push(event(RunEvent::Started { pid, at: start.started_at }));
            }
            events.extend(claims(context, run).into_iter().map(event));
        }
        Observation::Interrupted { why, .. } => {
            let why = match why {
                Why::HostDied => "its host process died",
                Why::Reboot => "the machine was restarted",
                Why::Unrecorded => "a power cut left no record of whether it had begun",
            };
            events.extend(interrupted(&dir, why)?.map(event));
        }
        Observation::Corrupt { path, message } => {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            events.extend(interrupted(&dir, &format!("its record {name} is damaged: {message}"))?.map(event));
        }
        Observation::Ended(record) => {
            // A run that began and ended between two looks began all the same.
            events.extend(start_of(run, &dir).map(event));
            let how = ended(run, record.how);
            events.push(event(RunEvent::Ended {
                evidence: evidence(context, run, &how),
                output: (!run.work.serves_stage()).then(|| both_outputs(&dir)),
                how,
                at: record.ended_at,
            }));
        }
    }
    Ok(events)
}

fn start_of(run: &Run, dir: &Path) -> Option<RunEvent> {
    if run.phase != Phase::Claimed {
        return None;
    }
    let start = host::start_record(dir).ok()??;
    Some(RunEvent::Started { pid: u32::try_from(start.host.pid).unwrap_or_default(), at: start.started_at })
}

/// A run whose host is gone is over once nothing of it is left.
fn interrupted(dir: &Path, why: &str) -> Result<Option<RunEvent>, host::HostError> {
    let killed = host::kill_remains(dir)?;
    if !killed.unkillable.is_empty() {
        return Ok(None);
    }
    let how = Ended::Interrupted { why: why.to_owned() };
    Ok(Some(RunEvent::Ended { how, at: Timestamp::now(), evidence: None, output: None }))
}

fn ended(run: &Run, how: How) -> Ended {
    let reason = || run.stop.unwrap_or(StopReason::Person);
    match how {
        How::Exited { code } => Ended::Exited { code },
        How::Signaled { signal } => Ended::Signaled { signal },
        How::TimedOut => Ended::TimedOut,
        How::Stopped { .. } | How::NeverStarted { .. } => Ended::Stopped { reason: reason() },
        How::SpawnFailed { message, kind } => Ended::NotStarted {
            message: text::one_line(&message, 300),
            permanent: match kind {
                SpawnProblem::Missing | SpawnProblem::NotExecutable | SpawnProblem::Unconfined => true,
                SpawnProblem::Other => false,
            },
        },
    }
}

fn evidence(context: &Context, run: &Run, how: &Ended) -> Option<Evidence> {
    let Work::Gate { command, commit } = &run.work else { return None };
    let exit_code = match how {
        Ended::Exited { code } => Some(*code),
        _ => None,
    };
    let tree = context.repo().tree_of(commit).unwrap_or_default();
    let log_sha256 = host::digest(&context.run_dir(&run.id)).unwrap_or_default();
    Some(Evidence { command: command.clone(), exit_code, tree, log_sha256 })
}

/// What a session drew, as lines of text.
pub(super) fn drawn(output: &str) -> String {
    let lines =
        output.lines().flat_map(|line| sgr::pieces(line).map(|piece| sgr::Reader::default().line(piece).text()));
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The last line of it that says something, without the frame around it.
fn last_drawn(output: &str) -> String {
    let is_frame = |c: char| c.is_whitespace() || ('\u{2500}'..='\u{259f}').contains(&c);
    let text = |piece| sgr::Reader::default().line(piece).text().trim_matches(is_frame).to_owned();
    let last_of = |line| sgr::pieces(line).map(text).filter(|text| !text.is_empty()).last();
    output.lines().rev().find_map(last_of).unwrap_or_default()
}

/// The ends of both streams, made safe, for the next attempt.
pub(super) fn both_outputs(dir: &Path) -> String {
    let mut out = String::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let tail = host::tail(dir, stream, OUTPUT_CHARS_MAX).unwrap_or_default();
        let tail = text::safe(&drawn(&tail), OUTPUT_CHARS_MAX / 2);
        if !tail.trim().is_empty() {
            out.push_str(tail.trim_end());
            out.push('\n');
        }
    }
    out
}

/// What a live agent claims in its files; a claim that names another run is not its own.
fn claims(context: &Context, run: &Run) -> Vec<RunEvent> {
    if !run.work.can_claim() {
        return Vec::new();
    }
    match claim_in_files(context, run, || task_file_text(context, run)) {
        Some(Ok(claim)) => vec![RunEvent::Claimed(claim)],
        Some(Err(why)) => vec![RunEvent::ForeignClaim { why }],
        None => Vec::new(),
    }
}

/// The claim of a run in its outcome file, else in its task file, without any secret that it was given.
pub(super) fn claim_in_files(
    context: &Context,
    run: &Run,
    task_file: impl FnOnce() -> Option<String>,
) -> Option<Result<Claim, String>> {
    let stated = stated(context, run, task_file)?;
    let secrets = Secrets::of_run(context, &run.id);
    let mask = |claim: Claim| Claim { summary: claim.summary.map(|summary| secrets.mask(&summary)), ..claim };
    Some(stated.map(mask))
}

fn stated(context: &Context, run: &Run, task_file: impl FnOnce() -> Option<String>) -> Option<Result<Claim, String>> {
    let at = Timestamp::now();
    let foreign = |named: &RunId| Err(format!("the claim names run {named}"));
    let outcome = read_outcome(context, run);
    if let Some(outcome) = outcome.and_then(|bytes| outcome::Outcome::parse(&bytes).ok()) {
        return Some(match &outcome.run {
            Some(named) if *named != run.id => foreign(named),
            _ => Ok(Claim {
                status: outcome.status,
                decision: outcome.decision,
                summary: outcome.summary,
                source: ClaimSource::OutcomeFile,
                at,
            }),
        });
    }
    let marker = marker::parse(&task_file()?)?;
    Some(match &marker.run {
        Some(named) if *named != run.id => foreign(named),
        _ => {
            Ok(Claim { status: marker.status, decision: None, summary: marker.reason, source: ClaimSource::Marker, at })
        }
    })
}

fn task_file_text(context: &Context, run: &Run) -> Option<String> {
    let task = run.task.as_ref().filter(|_| run.work == Work::Agent)?;
    let path = context.worktree(run.agent.as_str(), Some(task)).join(Context::task_file_name(task));
    let bytes = read_small(&path, marker::FILE_BYTES_MAX)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a small regular file that an agent may have replaced by anything. What leads to its folder is not an agent's.
pub(super) fn read_small(path: &Path, bytes_max: usize) -> Option<Vec<u8>> {
    beneath::read(path.parent()?, Path::new(path.file_name()?), bytes_max).ok()
}

/// Reads what an agent left as its outcome, in a folder that it may have replaced as well.
pub(super) fn read_outcome(context: &Context, run: &Run) -> Option<Vec<u8>> {
    let (dir, file) = (context.runs_dir(), context.outcome_file(run));
    beneath::read(&dir, file.strip_prefix(&dir).ok()?, outcome::FILE_BYTES_MAX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_session_is_the_last_that_shows_something() {
        for (output, last) in [
            ("", ""),
            ("\n \n", ""),
            ("one\r\ntwo \r\n\x1b[m  \r\n", "two"),
            ("one\n\x1b[1;1Hfirst\x1b[5;1H\x1b[31mlast\x1b[m\x1b[9;1H  ", "last"),
            ("one\rtwo", "two"),
        ] {
            assert_eq!(last_drawn(output), last, "{output:?}");
            let all = drawn(output);
            assert_eq!(
                text::one_line(text::tail_lines(all.trim_end(), 1), 200),
                last,
                "as it was among all: {output:?}"
            );
        }
        let dialog = "\u{256d}\u{2500}\u{256e}\n\u{2502} 3. No (esc)   \u{2502}\n\u{2570}\u{2500}\u{2500}\u{256f}\n";
        assert_eq!(last_drawn(dialog), "3. No (esc)", "without its frame");
    }
}
