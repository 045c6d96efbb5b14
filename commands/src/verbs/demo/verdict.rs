//! Whether the demonstration showed what it promises: judged by the journal, by git, and by the tests themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use pipeline_lib::ids::TaskId;
use pipeline_lib::task::Task;
use serde_json::json;

use super::agent::{git, run_tests};
use super::headless::Ending;
use super::plays::{BASE, VERIFY};
use super::story::{Story, Tally};
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::Result;
use crate::output::Output;
use crate::table::columns;

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    tally: Tally,
    tasks: usize,
    /// Tasks whose work is not in base.
    unmerged: Vec<TaskId>,
    commits: usize,
    tests: String,
    elapsed: Duration,
    /// What was promised and did not happen.
    pub(super) missing: Vec<String>,
}

impl Outcome {
    /// Whether every task is completed and its work is in base.
    pub(super) fn all_merged(&self) -> bool {
        self.unmerged.is_empty()
    }

    /// What is left to do, in a line.
    pub(super) fn unfinished(&self) -> String {
        let list: Vec<&str> = self.unmerged.iter().map(TaskId::as_str).collect();
        format!(
            "The demonstration is not over: {} of {} tasks are not merged ({}).",
            list.len(),
            self.tasks,
            list.join(", ")
        )
    }
}

/// Judges what is recorded.
///
/// # Errors
/// When the state or the repository cannot be read.
pub(super) fn judge(call: &Call, begun: Instant, ending: Option<Ending>) -> Result<Outcome> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let mut story = Story::open(&context.state_dir());
    story.go_on()?;
    let root = context.root().to_owned();
    let all: Vec<&Task> = engine.pipeline().tasks.iter().collect();
    let unmerged = unmerged(&context, &story.tally, &all)?;
    let counted = git(&root, "pipeline demo", &["rev-list", "--count", BASE])?.or_fail("git rev-list")?;
    let (tests_pass, tests) = final_tests(&root)?;
    let mut missing = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            missing.push(what);
        }
    };
    if let Some(ending) = ending {
        expect(ending != Ending::Late, "an end before the deadline".to_owned());
    }
    let list: Vec<&str> = unmerged.iter().map(TaskId::as_str).collect();
    expect(unmerged.is_empty(), format!("completion and merge of {}", list.join(", ")));
    expect(tests_pass, format!("`{VERIFY}` passing on {BASE}: {tests}"));
    expect(!story.tally.gate_failures.is_empty(), "a failed gate whose task was mended".to_owned());
    expect(!story.tally.conflicts.is_empty(), "a conflict that was resolved".to_owned());
    expect(!story.tally.approvals.is_empty(), "an approval".to_owned());
    expect(!story.tally.retries.is_empty(), "a retry after an agent died".to_owned());
    Ok(Outcome {
        tasks: all.len(),
        tally: story.tally,
        unmerged,
        commits: counted.stdout.trim().parse().unwrap_or(0),
        tests,
        elapsed: begun.elapsed(),
        missing,
    })
}

/// Tasks of which the journal, the state and git do not all say that they are done.
fn unmerged(context: &Context, tally: &Tally, tasks: &[&Task]) -> Result<Vec<TaskId>> {
    let head = context.base_head()?;
    let mut unmerged = Vec::new();
    for task in tasks {
        let recorded = tally.completed.contains(&task.id) && tally.merged.contains(&task.id);
        let commit = task.merged.as_ref().and_then(|merged| merged.commit.as_ref());
        let there = commit.map(|commit| context.repo().is_ancestor(commit, &head)).transpose()?;
        if !(recorded && there == Some(true)) {
            unmerged.push(task.id.clone());
        }
    }
    Ok(unmerged)
}

/// The tests, run by ourselves on base as it now is.
fn final_tests(root: &Path) -> Result<(bool, String)> {
    let behind = git(root, "pipeline demo", &["diff", "--quiet", BASE, "--"])?;
    let tests = run_tests(root)?;
    let said = match (behind.ok, tests.last.is_empty()) {
        (false, _) => format!("the checkout differs from {BASE}"),
        (true, true) => "they printed nothing".to_owned(),
        (true, false) => tests.last,
    };
    Ok((behind.ok && tests.ok, said))
}

/// Prints it.
///
/// # Errors
/// When the reader has gone.
pub(super) fn print(output: &Output, outcome: &Outcome) -> Result<()> {
    if output.json {
        return output.json(&document(outcome));
    }
    let done = outcome.tasks - outcome.unmerged.len();
    let color = if outcome.all_merged() { "32" } else { "31" };
    let seconds = outcome.elapsed.as_secs_f64();
    output.line("")?;
    output.line(
        &output.paint(color, &format!("{done} of {} tasks completed and merged in {seconds:.1} s", outcome.tasks)),
    )?;
    let tally = &outcome.tally;
    let row = |what: &str, count: String, tasks: String| vec![format!("  {what}"), count, tasks];
    let of = |what, tasks: &std::collections::BTreeSet<TaskId>| {
        let list: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
        row(what, tasks.len().to_string(), list.join(" "))
    };
    let rows = [
        of("false claims caught by the gate, then mended", &tally.gate_failures),
        of("conflicts resolved", &tally.conflicts),
        of("retries after an agent died", &tally.retries),
        of("approvals", &tally.approvals),
        row("runs of agents", tally.runs.to_string(), String::new()),
        row("gates run", tally.gates.to_string(), String::new()),
        row(&format!("commits on {BASE}"), outcome.commits.to_string(), String::new()),
        row(&format!("{VERIFY} on {BASE}"), outcome.tests.clone(), String::new()),
    ];
    for line in columns(&rows) {
        output.line(&line)?;
    }
    output.line("The agents were scripts that really edited, tested and committed; no model was asked.")?;
    for what in &outcome.missing {
        output.line(&output.paint("31", &format!("missing: {what}")))?;
    }
    Ok(())
}

fn document(outcome: &Outcome) -> serde_json::Value {
    let tally = &outcome.tally;
    json!({
        "schema_version": 1,
        "type": "summary",
        "ok": outcome.missing.is_empty(),
        "tasks_total": outcome.tasks,
        "tasks_merged": outcome.tasks - outcome.unmerged.len(),
        "gate_failures": tally.gate_failures,
        "conflicts": tally.conflicts,
        "retries": tally.retries,
        "approvals": tally.approvals,
        "runs_total": tally.runs,
        "gates_total": tally.gates,
        "commits": outcome.commits,
        "tests": outcome.tests,
        "elapsed_seconds": outcome.elapsed.as_secs_f64(),
        "missing": outcome.missing,
    })
}
