//! Listing tasks, and one task with everything that is known about it.

use clap::Args;
use jiff::Timestamp;
use pipeline_lib::metrics::seconds_between;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::proof::{Found, Proof, Standing, proof, standing};
use pipeline_lib::run::{RunSummary, Work};
use pipeline_lib::task::{ParentWhy, StageOutput, Task};
use pipeline_lib::text::{counted, one_line};
use pipeline_lib::view::{explain_task, task_doc};

use serde_json::Value;

use super::change::id;
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::table::{age, cut, short_seconds};
use crate::verbs::status::{head, print_rows, task_word};
use pipeline_lib::event::Refusal;

/// The longest line of a reason, in characters.
const RULE_CHARS_MAX: usize = 500;

/// List tasks.
#[derive(Debug, Args)]
pub struct List {
    /// Finished ones too
    #[arg(long, short)]
    pub all: bool,
    /// Only those with this status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only those that an agent could take now
    #[arg(long)]
    pub ready: bool,
}

/// Show one task.
#[derive(Debug, Args)]
pub struct Show {
    /// The task
    pub task: String,
}

/// Why a list is empty, and what would show more.
fn nothing_listed(engine: &Engine, args: &List) -> String {
    let all = engine.pipeline().tasks.len();
    if engine.damage().is_some() {
        return "no tasks are known before the damage: `pipeline doctor --repair` mends it".to_owned();
    }
    match (&args.status, args.ready) {
        _ if all == 0 => "no tasks yet; add one: `pipeline task add \"…\"`".to_owned(),
        (Some(status), _) => {
            format!("none of {} is {}; see `pipeline task list --all`", counted(all, "task"), one_line(status, 40))
        }
        (None, true) => {
            format!("none of {} could be started now; see `pipeline task list --all`", counted(all, "task"))
        }
        (None, false) => format!("nothing is open, {all} finished: `pipeline task list --all`"),
    }
}

pub(super) fn list(call: &Call, args: &List) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let pipeline = engine.pipeline();
    let wanted = |task: &&&Task| {
        let by_status = args.status.as_ref().is_none_or(|status| task.state.word() == *status);
        let by_end = args.all || args.status.is_some() || call.output.json || !task.state.is_final();
        by_status && by_end && (!args.ready || pipeline.is_startable(task))
    };
    let tasks = pipeline.tasks.in_order();
    let documents: Vec<_> = tasks.iter().filter(wanted).map(|task| task_doc(pipeline, task)).collect();
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "tasks": documents }))?;
        return Ok(exit::OK);
    }
    let out = &call.output;
    if documents.is_empty() {
        out.note(&nothing_listed(&engine, args));
        return Ok(exit::OK);
    }
    let now = Timestamp::now();
    let mut rows = vec![head(out, &["TASK", "STATUS", "SINCE", "PRIO", "AGENT", "TITLE", "NOTE"])];
    for task in &documents {
        rows.push(vec![
            task.id.to_string(),
            task_word(out, &task.status),
            age(task.since, now),
            task.priority.to_string(),
            task.assigned_to.map_or_else(|| "-".to_owned(), ToString::to_string),
            cut(task.title, 48),
            cut(task.reason.as_deref().and_then(|r| r.lines().next()).unwrap_or_default(), 60),
        ]);
    }
    print_rows(out, &rows)?;
    let archived = pipeline.core.archived.len();
    if args.all && archived > 0 {
        out.note(&format!("{archived} more are archived; `pipeline events --task ID` prints the history of one"));
    }
    Ok(exit::OK)
}

pub(super) fn show(call: &Call, args: &Show) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let pipeline = engine.pipeline();
    let wanted = id(&args.task)?;
    let Some(task) = pipeline.task(wanted.as_str()) else {
        if let Some(archived) = pipeline.core.archived.get(&wanted) {
            return show_archived(call, &wanted, archived);
        }
        return Err(Refusal::NoTask(wanted.to_string()).into());
    };
    if call.output.json {
        let mut document = serde_json::to_value(task_doc(pipeline, task))?;
        if let Some(object) = document.as_object_mut() {
            object.insert("schema_version".to_owned(), 1.into());
            object.insert("body".to_owned(), task.body.clone().into());
            object.insert("outputs".to_owned(), serde_json::to_value(&task.outputs)?);
            object.insert("runs".to_owned(), serde_json::to_value(&task.runs)?);
            let given = |run: &RunSummary| {
                let from: Vec<Value> = received(pipeline, task, run)
                    .iter()
                    .map(|o| serde_json::json!({ "stage": o.stage, "decision": o.decision, "commit": o.commit }))
                    .collect();
                serde_json::json!({ "run": run.id, "from": from })
            };
            let of_agents = task.runs.iter().filter(|run| run.work == Work::Agent.word());
            object.insert("received".to_owned(), of_agents.map(given).collect::<Vec<_>>().into());
            object.insert("visits".to_owned(), serde_json::to_value(&task.visits)?);
            object.insert("feedback".to_owned(), task.feedback.clone().into());
            let proof = proof(task);
            if let Some(standing) = standing(task, proof.as_ref(), &found(&context, task)?) {
                let mut document = serde_json::to_value(standing)?;
                if let (Some(object), Some(Value::Object(proof))) =
                    (document.as_object_mut(), proof.map(serde_json::to_value).transpose()?)
                {
                    object.extend(proof);
                }
                object.insert("proof".to_owned(), document);
            }
        }
        call.output.json(&document)?;
        return Ok(exit::OK);
    }
    people(call, pipeline, task, &found(&context, task)?)?;
    Ok(exit::OK)
}

/// What git says of a task's work now.
fn found(context: &Context, task: &Task) -> Result<Found> {
    let repo = context.repo();
    let merge = task.merged.as_ref().and_then(|merged| merged.commit.as_ref());
    let in_base = match merge {
        Some(merge) => Some(repo.is_ancestor(merge, &context.base_head()?)?),
        None => None,
    };
    Ok(Found { head: repo.branch_head(&task.branch())?, in_base })
}

/// The line that says what speaks for the work, and whether it still does.
fn verified(call: &Call, task: &Task, found: &Found) -> Result<()> {
    let (out, proof) = (&call.output, proof(task));
    let said = proof.as_ref().map(|proof| {
        let short = |hex: &str| hex.get(..12).unwrap_or(hex).to_owned();
        let Proof { evidence, commit, run, .. } = proof;
        let exit = evidence.exit_code.map_or_else(|| "ended".to_owned(), |code| format!("exited {code}"));
        format!(
            "`{}` {exit} on {} (tree {}, run {run}, output sha256 {})",
            cut(&evidence.command, 60),
            commit.short(),
            short(&evidence.tree),
            short(&evidence.log_sha256)
        )
    });
    let said = said.unwrap_or_default();
    match standing(task, proof.as_ref(), found) {
        Some(Standing::Holds) => out.line(&format!("  {} {said}", out.paint("32", "✓ verified:")))?,
        Some(Standing::Overtaken(why)) => {
            out.line(&format!("  {} {why}; {said}", out.paint("33", "! no longer verified:")))?;
        }
        Some(Standing::Unchecked(why)) => out.line(&format!("  {} {why}", out.paint("33", "! not verified:")))?,
        None => {}
    }
    Ok(())
}

fn show_archived(
    call: &Call,
    id: &pipeline_lib::ids::TaskId,
    archived: &pipeline_lib::pipeline::Archived,
) -> Result<u8> {
    if call.output.json {
        let status = &archived.status;
        call.output.json(&serde_json::json!({
            "schema_version": 1, "id": id, "title": archived.title, "status": status,
            "finished_at": archived.finished_at, "archived": true,
        }))?;
    } else {
        call.output.line(&format!("{id}  {}", archived.title))?;
        call.output.line(&format!("  {} at {}, archived", archived.status, archived.finished_at))?;
        call.output.note(&format!("Its history: pipeline events --task {id}"));
    }
    Ok(exit::OK)
}

fn people(call: &Call, pipeline: &Pipeline, task: &Task, found: &Found) -> Result<()> {
    let out = &call.output;
    let now = Timestamp::now();
    let explanation = explain_task(pipeline, task);
    out.line(&format!("{}  {}", out.paint("1", task.id.as_str()), task.title))?;
    out.line(&format!(
        "  {}  for {}: {}",
        task_word(out, &task.state.word()),
        age(task.state_since, now),
        one_line(explanation.rule.lines().next().unwrap_or_default(), RULE_CHARS_MAX)
    ))?;
    for line in explanation.rule.lines().skip(1) {
        out.line(format!("  {}", one_line(line, RULE_CHARS_MAX)).trim_end())?;
    }
    for command in &explanation.commands {
        out.line(&format!("  → {command}"))?;
    }
    let mut about = vec![format!("priority {}", task.priority), format!("workflow {}", task.workflow), task.branch()];
    about.extend(task.group.as_ref().map(|group| format!("group {group}")));
    out.line(&format!("  {}", about.join(" · ")))?;
    for words in pipeline.collisions_in_words(task) {
        out.line(&format!("  {} {}", out.paint("33", "!"), one_line(&words, RULE_CHARS_MAX)))?;
    }
    verified(call, task, found)?;
    if !task.depends_on.is_empty() {
        let names: Vec<&str> = task.depends_on.iter().map(|d| d.as_str()).collect();
        out.line(&format!("  after {}", names.join(", ")))?;
    }
    let proposed = |other: &&Task| {
        other.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Proposal && parent.task == task.id)
    };
    for other in pipeline.tasks.in_order().into_iter().filter(proposed) {
        let words = format!("{} {}, workflow {}: {}", other.id, other.state.word(), other.workflow, other.title);
        out.line(&format!("  proposes {}", one_line(&words, RULE_CHARS_MAX)))?;
    }
    if !task.body.is_empty() {
        out.line("")?;
        for line in task.body.lines() {
            out.line(&format!("  {}", one_line(line, 500)))?;
        }
    }
    if !task.outputs.is_empty() {
        out.line("")?;
        out.line(&out.paint("2", "STAGES"))?;
        for output in &task.outputs {
            let failed = output.decision == pipeline_lib::workflow::FAILED;
            let first = output.summary.lines().next().unwrap_or_default();
            let (first, width) =
                if failed { (pipeline_lib::text::headline(&output.summary), 160) } else { (first, 60) };
            let agreed = output.approver().map_or_else(String::new, |person| format!(", {person} agreed,"));
            let line = format!(
                "  {} {} by {}{agreed} at {}  {}",
                output.stage,
                output.decision,
                output.who(),
                output.commit.short(),
                cut(first, width)
            );
            out.line(line.trim_end())?;
        }
    }
    runs(call, pipeline, task)
}

/// What earlier stages produced that an agent's run was given.
fn received<'t>(pipeline: &Pipeline, task: &'t Task, run: &RunSummary) -> Vec<&'t StageOutput> {
    let stage = pipeline.workflow_of(task).and_then(|workflow| workflow.stage(&run.stage));
    let Some(stage) = stage.filter(|_| run.work == Work::Agent.word()) else { return Vec::new() };
    task.outputs.iter().filter(|output| output.at <= run.started_at && stage.takes(&output.stage)).collect()
}

fn runs(call: &Call, pipeline: &Pipeline, task: &Task) -> Result<()> {
    let out = &call.output;
    if task.runs.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut rows = vec![head(out, &["RUN", "WHAT", "STAGE", "AGENT", "TRY", "TOOK", "VERDICT", "HOW"])];
    for run in &task.runs {
        let verdict = match run.verdict {
            pipeline_lib::run::Verdict::Passed => out.paint("32", "passed"),
            pipeline_lib::run::Verdict::Failed => out.paint("31", "failed"),
            pipeline_lib::run::Verdict::Void => out.paint("2", "not counted"),
        };
        rows.push(vec![
            run.id.to_string(),
            run.work.to_string(),
            run.stage.to_string(),
            run.agent.to_string(),
            run.attempt.to_string(),
            short_seconds(seconds_between(run.started_at, run.ended_at)),
            verdict,
            run.how.to_string(),
        ]);
        let received = received(pipeline, task, run);
        if !received.is_empty() {
            let from =
                |output: &&StageOutput| format!("{} {} at {}", output.stage, output.decision, output.commit.short());
            let list = received.iter().map(from).collect::<Vec<_>>().join(", ");
            rows.push(vec![String::new(), format!("was given {list}: .pipeline/runs/{}/given.md", run.id)]);
        }
        if let Some(evidence) = &run.evidence {
            let short = |hex: &str| hex.get(..12).unwrap_or(hex).to_owned();
            rows.push(vec![
                String::new(),
                format!(
                    "`{}` on tree {}, output sha256 {}",
                    cut(&evidence.command, 60),
                    short(&evidence.tree),
                    short(&evidence.log_sha256)
                ),
            ]);
        }
    }
    // Evidence stands in a row of its own and must not widen the columns.
    let (table, notes): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(|row| row.len() > 2);
    let lines = crate::table::columns(&table);
    let mut notes = notes.into_iter();
    let mut lines = lines.into_iter();
    for row in &rows {
        let line = if row.len() > 2 { lines.next() } else { notes.next().map(|note| format!("  {}", note[1])) };
        out.line(&line.unwrap_or_default())?;
    }
    Ok(())
}
