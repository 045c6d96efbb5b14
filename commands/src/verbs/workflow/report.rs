//! `pipeline workflow report`: how workflows did in a day, a week, or since the journal begins, against the time before.
//! Everything is counted from the journal; nothing is changed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::estimate::quantile;
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::{StageId, TaskId, WorkflowId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Run, RunSummary, Verdict, Work};
use pipeline_lib::task::{ParentWhy, Task, TaskState};
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_state::Record;
use serde_json::{Value, json};

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::verbs::status::{head, print_rows};

/// So many stages that fail are listed.
const STAGES_SHOWN: usize = 10;
/// The category whose success is told by itself.
const DEPLOYMENT: &str = "deployment";
/// What a stage says of its coverage begins with this.
const COVERAGE: &str = "coverage";

/// Which time the report is about.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Report {
    /// The last 24 hours, against everything before
    #[arg(long, conflicts_with = "weekly")]
    pub daily: bool,
    /// The last seven days, against everything before
    #[arg(long)]
    pub weekly: bool,
}

/// What happened on one workflow.
#[derive(Debug, Default)]
struct OnWorkflow {
    completed: u64,
    failed: u64,
    seconds: Vec<f64>,
    stages: BTreeMap<StageId, (u64, u64)>,
    coverage: Option<f64>,
}

/// What happened in some time.
#[derive(Debug, Default)]
struct Period {
    workflows: BTreeMap<WorkflowId, OnWorkflow>,
    /// Tasks that do no part of another one: completed, and failed.
    whole: (u64, u64),
}

/// What is known of a task while the journal is read.
struct Known {
    workflow: WorkflowId,
    started_at: Option<Timestamp>,
    /// It does a part of another task, whose success and failure count for both.
    is_part: bool,
    /// It was counted among those that failed, and nothing has begun since.
    counted: bool,
}

impl Known {
    fn of(task: &Task) -> Self {
        let is_part = task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Part);
        Self { workflow: task.workflow.clone(), started_at: task.started_at, is_part, counted: false }
    }
}

/// Prints the report.
///
/// # Errors
/// When the journal cannot be read.
pub(super) fn run(call: &Call, args: &Report) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let length = match (args.daily, args.weekly) {
        (true, _) => Some(SignedDuration::from_hours(24)),
        (false, true) => Some(SignedDuration::from_hours(24 * 7)),
        (false, false) => None,
    };
    let now = Timestamp::now();
    let since = length.map_or(Timestamp::MIN, |length| now.checked_sub(length).unwrap_or(Timestamp::MIN));
    let mut counting = Counting::new(since, engine.pipeline());
    for record in pipeline_state::Events::open(&context.state_dir(), 0) {
        let record: Record<Value> = record?;
        // A fact of a newer version is not counted; the engine passes over it as well.
        if let Ok(fact) = serde_json::from_value::<Fact>(record.fact) {
            counting.count(record.at, &fact);
        }
    }
    let category = |id: &WorkflowId| {
        let known = engine.pipeline().core.workflows.get(id).map(|workflow| workflow.category.clone());
        // What comes with the program is not among them while nothing leads to it.
        known.or_else(|| Some(context.workflows().find(id)?.category.clone())).unwrap_or_default()
    };
    let document = document(&counting, category, length, now);
    if call.output.json {
        call.output.json(&document)?;
    } else {
        print(call, &document)?;
    }
    Ok(exit::OK)
}

/// Counts facts into the time before and the time that the report is about.
struct Counting {
    since: Timestamp,
    known: BTreeMap<TaskId, Known>,
    runs: BTreeMap<pipeline_lib::ids::RunId, Run>,
    before: Period,
    within: Period,
}

impl Counting {
    /// Tasks that were added before the journal begins are known from the state.
    fn new(since: Timestamp, pipeline: &Pipeline) -> Self {
        let known = pipeline.tasks.iter().map(|task| (task.id.clone(), Known::of(task)));
        let (before, within) = (Period::default(), Period::default());
        Self { since, known: known.collect(), runs: BTreeMap::new(), before, within }
    }

    fn count(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::TaskAdded { task } => {
                self.known.insert(task.id.clone(), Known::of(task));
            }
            Fact::RunClaimed { run } => {
                if let Some(task) = &run.task {
                    self.began(at, task);
                }
                self.runs.insert(run.id.clone(), (**run).clone());
            }
            Fact::RunClosed { run, summary } => {
                let run = self.runs.remove(run);
                if let (Some(run), Some(summary)) = (run, summary) {
                    self.closed(at, &run, summary);
                }
            }
            // What waits for tasks that do its parts has no run of its own.
            Fact::TaskMoved { task, with, .. } if with.began => self.began(at, task),
            Fact::TaskMoved { task, to: TaskState::Completed, .. } => self.over(at, task, true),
            Fact::TaskMoved { task, to: TaskState::Failed | TaskState::Blocked { .. }, .. } => {
                self.over(at, task, false)
            }
            _ => {}
        }
    }

    fn began(&mut self, at: Timestamp, task: &TaskId) {
        if let Some(known) = self.known.get_mut(task) {
            known.started_at.get_or_insert(at);
            known.counted = false;
        }
    }

    fn on(&mut self, at: Timestamp, task: &TaskId) -> Option<&mut OnWorkflow> {
        let workflow = self.known.get(task)?.workflow.clone();
        let period = if at >= self.since { &mut self.within } else { &mut self.before };
        Some(period.workflows.entry(workflow).or_default())
    }

    fn closed(&mut self, at: Timestamp, run: &Run, summary: &RunSummary) {
        let counts = matches!(run.work, Work::Agent | Work::Command { .. } | Work::Gate { .. });
        let Some(task) = run.task.as_ref().filter(|_| counts && summary.verdict != Verdict::Void) else { return };
        let Some(workflow) = self.on(at, task) else { return };
        let (runs, failed) = workflow.stages.entry(summary.stage.clone()).or_default();
        *runs += 1;
        *failed += u64::from(summary.verdict == Verdict::Failed);
        if let Some(coverage) = summary.summary.as_deref().and_then(coverage) {
            workflow.coverage = Some(coverage);
        }
    }

    fn over(&mut self, at: Timestamp, task: &TaskId, completed: bool) {
        let Some(known) = self.known.get_mut(task) else { return };
        let (started, is_part) = (known.started_at, known.is_part);
        // Who was blocked and is given up has failed once.
        if std::mem::replace(&mut known.counted, !completed) && !completed {
            return;
        }
        if !is_part {
            let period = if at >= self.since { &mut self.within } else { &mut self.before };
            period.whole.0 += u64::from(completed);
            period.whole.1 += u64::from(!completed);
        }
        let Some(workflow) = self.on(at, task) else { return };
        workflow.completed += u64::from(completed);
        workflow.failed += u64::from(!completed);
        if let Some(started) = started.filter(|_| completed) {
            workflow.seconds.push(at.duration_since(started).as_secs_f64().max(0.0));
        }
    }
}

/// The percentage that a stage's words say about coverage.
fn coverage(words: &str) -> Option<f64> {
    let line = words.lines().rev().find(|line| line.to_ascii_lowercase().contains(COVERAGE))?;
    let after = line.to_ascii_lowercase().split_once(COVERAGE)?.1.to_owned();
    // Only what stands right behind it was measured; further on is what it has to be.
    let number = after.trim_start_matches([' ', ':', '=']);
    let number = number.strip_prefix("is ").or_else(|| number.strip_prefix("of ")).unwrap_or(number).trim_start();
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    number[..end].trim_end_matches('.').parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

fn rate(completed: u64, failed: u64) -> Value {
    let all = completed + failed;
    if all == 0 { Value::Null } else { json!(completed as f64 / all as f64) }
}

fn document(
    counting: &Counting,
    category: impl Fn(&WorkflowId) -> String,
    length: Option<SignedDuration>,
    now: Timestamp,
) -> Value {
    let empty = OnWorkflow::default();
    let mut stages: Vec<(u64, u64, Value)> = Vec::new();
    let (mut deployed, mut not_deployed) = (0, 0);
    let workflows = counting.within.workflows.iter().map(|(id, found)| {
        let before = counting.before.workflows.get(id).unwrap_or(&empty);
        let category = category(id);
        if category == DEPLOYMENT {
            (deployed, not_deployed) = (deployed + found.completed, not_deployed + found.failed);
        }
        stages.extend(found.stages.iter().filter(|(_, (_, failed))| *failed > 0).map(|(stage, (runs, failed))| {
            (*failed, *runs, json!({ "workflow": id, "stage": stage, "runs": runs, "failed": failed }))
        }));
        let median = |values: &[f64]| quantile(values.iter().copied(), 0.5);
        let (typical, baseline) = (median(&found.seconds), median(&before.seconds));
        let change = typical.zip(baseline).filter(|(_, baseline)| *baseline > 0.0);
        json!({
            "workflow": id, "category": category, "completed": found.completed, "failed": found.failed,
            "success_rate": rate(found.completed, found.failed),
            "success_rate_before": rate(before.completed, before.failed),
            "duration_seconds": typical, "baseline_seconds": baseline,
            "change_percent": change.map(|(typical, baseline)| ((typical / baseline - 1.0) * 100.0).round()),
            "coverage_percent": found.coverage, "coverage_percent_before": before.coverage,
        })
    });
    let workflows: Vec<Value> = workflows.collect();
    stages.sort_by_key(|(failed, runs, _)| std::cmp::Reverse((*failed, *runs)));
    let failing: Vec<Value> = stages.into_iter().take(STAGES_SHOWN).map(|(_, _, stage)| stage).collect();
    let (completed, failed) = counting.within.whole;
    json!({
        "schema_version": SCHEMA_VERSION, "generated_at": now,
        "period_seconds": length.map_or(0, |length| length.as_secs()),
        "completed": completed, "failed": failed, "success_rate": rate(completed, failed),
        "deployment_success_rate": rate(deployed, not_deployed), "workflows": workflows, "failing_stages": failing,
    })
}

fn print(call: &Call, document: &Value) -> Result<()> {
    let out = &call.output;
    let percent =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
    let plain = |value: &Value, unit: &str| value.as_f64().map_or_else(|| "-".to_owned(), |n| format!("{n:.1}{unit}"));
    let period = match document["period_seconds"].as_i64() {
        Some(86_400) => "the last 24 hours",
        Some(604_800) => "the last seven days",
        _ => "since the journal begins",
    };
    out.line(&format!(
        "{period}: {} completed, {} failed, success {}, deployments {}",
        document["completed"],
        document["failed"],
        percent(&document["success_rate"]),
        percent(&document["deployment_success_rate"])
    ))?;
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| one_line(value.as_str().unwrap_or_default(), 60);
    if !list("workflows").is_empty() {
        out.line("")?;
        let columns =
            ["WORKFLOW", "COMPLETED", "FAILED", "SUCCESS", "BEFORE", "TYPICAL", "BASELINE", "CHANGE", "COVERAGE"];
        let mut rows = vec![head(out, &columns)];
        rows.extend(list("workflows").iter().map(|one| {
            let change =
                one["change_percent"].as_f64().map_or_else(|| "-".to_owned(), |change| format!("{change:+.0} %"));
            vec![
                text(&one["workflow"]),
                one["completed"].to_string(),
                one["failed"].to_string(),
                percent(&one["success_rate"]),
                percent(&one["success_rate_before"]),
                plain(&one["duration_seconds"], " s"),
                plain(&one["baseline_seconds"], " s"),
                change,
                plain(&one["coverage_percent"], " %"),
            ]
        }));
        print_rows(out, &rows)?;
    }
    if !list("failing_stages").is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["FAILING STAGE", "WORKFLOW", "FAILED", "RUNS"])];
        rows.extend(list("failing_stages").iter().map(|one| {
            vec![text(&one["stage"]), text(&one["workflow"]), one["failed"].to_string(), one["runs"].to_string()]
        }));
        print_rows(out, &rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_read_from_the_words_of_a_stage() {
        assert_eq!(coverage("tests passed\ncoverage 83.5 (at least 80)"), Some(83.5));
        assert_eq!(coverage("Coverage: 100%"), Some(100.0));
        assert_eq!(coverage("no figure of coverage"), None);
        assert_eq!(coverage("nothing"), None);
        assert_eq!(coverage("error: coverage is 79.5%, less than 80%"), Some(79.5));
        assert_eq!(coverage("all tests passed; coverage is 81%, at least 80%"), Some(81.0));
        // A threshold is no measurement.
        assert_eq!(coverage("error: coverage is %, less than 80%"), None);
        assert_eq!(coverage("coverage was not measured, at least 80% is wanted"), None);
        assert_eq!(coverage("coverage: not measured, 2 files were left out"), None);
    }
}
