//! What a run says while it goes on and when it is over: a calm list for people on stderr, one object a line for programs
//! on stdout.

use std::path::Path;

use pipeline_lib::ids::TaskId;
use pipeline_lib::text::counted;
use pipeline_lib::view::SCHEMA_VERSION;
use serde_json::{Value, json};

use super::end::End;
use super::story::{Came, Entry, Kind, Line, Story};
use super::table::table;
use crate::dispatch::Call;
use crate::error::Result;
use crate::table::columns;

/// The longest reason in one line, and the longest report, in characters.
const REASON_CHARS_MAX: usize = 400;
const REPORT_CHARS_MAX: usize = 8_000;

/// Says one thing that happened.
///
/// # Errors
/// When the reader has gone.
pub(super) fn line(call: &Call, line: &Line, debug: bool) -> Result<()> {
    let out = &call.output;
    if out.json {
        return out.json(&object(line));
    }
    let (mark, color) = match &line.kind {
        Kind::Began { .. } | Kind::Parts => ("▸", "2"),
        Kind::Ended(entry) => match entry.came {
            Came::Passed => ("✓", "32"),
            Came::Failed => ("✗", "31"),
            Came::Skipped => ("–", "2"),
            Came::Void => ("·", "2"),
        },
        Kind::Note => ("·", "2"),
        Kind::Stopped => ("!", "33"),
    };
    let time = line.at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
    let mark = out.paint(color, mark);
    out.note(&format!("{time} {mark} {:<20} {}", line.label, line.text));
    if let (true, Kind::Began { command: Some(command) }) = (debug, &line.kind) {
        for part in pipeline_lib::text::safe(command, 4_000).lines() {
            out.note(&format!("           $ {part}"));
        }
    }
    Ok(())
}

fn object(line: &Line) -> Value {
    let event = match &line.kind {
        Kind::Began { .. } => "stage_started",
        Kind::Ended(_) => "stage_ended",
        Kind::Parts => "parts_started",
        Kind::Note => "note",
        Kind::Stopped => "stopped",
    };
    let mut object = json!({
        "schema_version": SCHEMA_VERSION, "event": event, "at": line.at.to_string(), "task": line.task,
        "label": line.label, "text": line.text,
    });
    if let Some(run) = &line.run {
        object["run"] = json!(run);
    }
    if let Kind::Ended(entry) = &line.kind {
        let more = of_entry(entry);
        for (key, value) in more.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
    }
    object
}

/// One piece of work as a program reads it.
fn of_entry(entry: &Entry) -> Value {
    let mut object = json!({
        "stage": entry.stage, "label": entry.label, "task": entry.task, "work": entry.work,
        "attempt": entry.attempt, "result": entry.came.word(), "seconds": entry.seconds, "reason": entry.why,
    });
    if let Some(decision) = &entry.decision {
        object["decision"] = json!(decision);
    }
    object
}

/// Says how it ended, with a table of what was done.
///
/// # Errors
/// When the reader has gone.
pub(super) fn summary(call: &Call, task: &TaskId, story: &Story, end: &End, log: &Path, left: &Left) -> Result<()> {
    let out = &call.output;
    let (rows, total) = table(&story.entries);
    let seconds = story.began.zip(story.last).map_or(0.0, |(a, b)| pipeline_lib::metrics::seconds_between(a, b));
    let (why, command) = match end {
        End::Completed => (left.words.clone(), String::new()),
        End::Failed { why, .. } => (why.clone(), String::new()),
        End::Asks { question, command, .. } => (question.clone(), command.clone()),
    };
    if out.json {
        let stages: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({ "label": row.label, "runs": row.run, "skipped": row.skipped, "seconds": row.seconds,
                        "last": row.last })
            })
            .collect();
        let mut document = json!({
            "schema_version": SCHEMA_VERSION, "event": "run_ended", "task": task, "result": end.word(),
            "reason": why, "command": command, "stages_run": total.run, "stages_skipped": total.skipped,
            "stages_repeated": total.repeated, "stages_failed": total.failed, "seconds": seconds, "stages": stages,
            "log": log,
        });
        if !left.without.is_empty() {
            document["without"] = json!(left.without);
        }
        if let Some(Kept { branch, commits, base }) = &left.kept {
            document["not_merged"] = json!({ "branch": branch, "commits": commits, "base": base });
        }
        return out.json(&document);
    }
    let mut lines = vec![["stage", "runs", "skipped", "time", "last"].map(str::to_owned).to_vec()];
    for row in &rows {
        let time = format!("{:.1} s", row.seconds);
        lines.push(vec![row.label.clone(), row.run.to_string(), row.skipped.to_string(), time, row.last.clone()]);
    }
    out.note("");
    for line in columns(&lines) {
        out.note(&line);
    }
    let why = reason(&why);
    out.note(&format!(
        "{task} {}{why}\n{} run, {} skipped, {} repeated, {seconds:.1} s · log: {}",
        end.word(),
        total.run,
        total.skipped,
        total.repeated,
        log.display()
    ));
    if let Some(Kept { branch, commits, base }) = &left.kept {
        let is = if *commits == 1 { "is" } else { "are" };
        let commits = counted(*commits, "commit");
        out.note(&format!("{commits} {is} on branch {branch} and not in {base}: git merge {branch}"));
    }
    match end {
        End::Asks { .. } => out.note(&format!("answer with: {command}\nthen: pipeline run --resume {task}")),
        End::Failed { word, .. } if word == "blocked" => {
            out.note(&format!("try again with: pipeline task retry {task} && pipeline run --resume {task}"));
        }
        End::Failed { .. } | End::Completed => {}
    }
    Ok(())
}

/// What a completed task left to be told.
#[derive(Default)]
pub(super) struct Left {
    /// Where its work is, if it is not in base.
    pub(super) kept: Option<Kept>,
    /// The parts that failed and that its chain went on without.
    pub(super) without: Vec<TaskId>,
    /// The same in words; empty where there are none.
    pub(super) words: String,
}

/// Work that was not merged.
pub(super) struct Kept {
    /// Its branch.
    pub(super) branch: String,
    /// How much.
    pub(super) commits: usize,
    /// The branch that does not have it.
    pub(super) base: String,
}

/// Why it ended so, behind its word: in one line where it is one, a report as it was written below the line that says it.
fn reason(why: &str) -> String {
    use pipeline_lib::text::{one_line, safe};
    let mut lines = why.trim_end().lines();
    let first = one_line(lines.next().unwrap_or_default(), REASON_CHARS_MAX);
    let rest: Vec<&str> = lines.collect();
    match (first.is_empty(), rest.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!(": {first}"),
        (false, false) => format!(": {first}\n{}\n", safe(&rest.join("\n"), REPORT_CHARS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_its_lines_and_a_reason_stays_one() {
        assert_eq!(reason(""), "");
        assert_eq!(reason("no  port\n"), ": no port");
        assert_eq!(reason("it failed.\n\nWhat failed:\n- a\u{1b}[2J\n"), ": it failed.\n\nWhat failed:\n- a\n");
    }
}
