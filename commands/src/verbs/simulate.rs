//! `pipeline simulate`: what would happen, by the rules of the engine on a clock of their own. The journal and worktrees are
//! not touched; a prediction that is to be compared later is kept in a file beside the journal.

mod kept;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::decide::decide;
use pipeline_lib::event::{Event, NewTask, Request};
use pipeline_lib::ids::{Role, WorkflowId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::simulate::{
    self, Compared, Prediction, Problem, Question, Report, Spread, StageFigures, TASKS_MAX, What,
};
use pipeline_lib::text::{counted, one_line};
use pipeline_lib::view::SCHEMA_VERSION;

use schemars::JsonSchema;
use serde::Serialize;

use super::task::check_workflow;
use crate::context::Context;
use crate::dispatch::Call;
use crate::duration;
use crate::engine::{Engine, now};
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::verbs::status::{head, print_rows};

/// Tasks where nobody says how many, and nothing is unfinished.
const TASKS_DEFAULT: usize = 10;
/// Lines of the critical path that are printed, the last ones.
const PATH_SHOWN: usize = 12;

/// Predict what would happen.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    /// New tasks on this workflow; the default one if missing
    #[arg(long, value_name = "WORKFLOW", conflicts_with = "from_state")]
    pub workflow: Option<WorkflowId>,
    /// So many new tasks, and nothing else
    #[arg(long, value_name = "N", conflicts_with = "from_state", value_parser = tasks)]
    pub tasks: Option<usize>,
    /// Everything that is unfinished now, from where it stands
    #[arg(long)]
    pub from_state: bool,
    /// What if a role had so many agents: implementation=3,test=2
    #[arg(long, value_name = "ROLE=N", value_delimiter = ',', value_parser = agents)]
    pub agents: Vec<(Role, usize)>,
    /// Where chance begins: the same number makes the same plays
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Keep the prediction, to compare it with what happens
    #[arg(long, requires = "from_state")]
    pub record: bool,
    /// Compare the predictions that were kept with what happened since
    #[arg(long, conflicts_with_all = ["workflow", "tasks", "from_state", "agents", "seed", "record"])]
    pub check: bool,
}

/// What `simulate --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Simulated<'r> {
    /// The version of this shape.
    schema_version: u32,
    /// Nothing of it has happened: always true.
    simulated: bool,
    /// What was played: `state`, or new `tasks`.
    of: &'static str,
    /// Whether it is kept, to be compared with what happens.
    recorded: bool,
    #[serde(flatten)]
    report: &'r Report,
}

/// What `simulate --check --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Checked {
    /// The version of this shape.
    schema_version: u32,
    /// The predictions that were kept, beside what happened.
    predictions: Vec<Compared>,
}

fn tasks(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=TASKS_MAX).contains(count));
    count.ok_or_else(|| format!("write a number from 1 to {TASKS_MAX}"))
}

fn agents(text: &str) -> Result<(Role, usize), String> {
    let parts = text.split_once('=');
    let read = parts.and_then(|(role, count)| Some((Role::new(role.trim()).ok()?, count.trim().parse().ok()?)));
    let fits = read.filter(|(_, count)| *count <= TASKS_MAX);
    fits.ok_or_else(|| "write a role and a number, such as implementation=3".to_owned())
}

/// Simulates, or compares.
///
/// # Errors
/// When there is nothing to simulate, what is named is not there, or the state cannot be read.
pub fn run(call: &Call, args: &Simulate) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    if args.check {
        return check(call, &context, engine.pipeline());
    }
    let what = what(args, engine.pipeline());
    if let What::Tasks { workflow, .. } = &what {
        check_workflow(context.workflows(), workflow.as_ref())?;
    }
    let pipeline = as_configured(&context, engine.pipeline(), &what);
    let question = Question { what, agents: args.agents.iter().cloned().collect::<BTreeMap<_, _>>(), seed: args.seed };
    let report =
        simulate::simulate(&pipeline, &question, Timestamp::now()).map_err(|problem| told(&pipeline, problem))?;
    let kept = args.record.then(|| Prediction::of(&report)).flatten();
    if let Some(prediction) = &kept {
        kept::keep(&context, prediction)?;
    }
    if call.output.json {
        call.output.json(&Simulated {
            schema_version: SCHEMA_VERSION,
            simulated: true,
            of: of(&question.what),
            recorded: kept.is_some(),
            report: &report,
        })?;
    } else {
        print(&call.output, &question, &report)?;
        if kept.is_some() {
            call.output.note("kept; compare it with `pipeline simulate --check`");
        } else if args.record {
            call.output.note("not kept: no task would be completed");
        }
    }
    Ok(exit::OK)
}

fn what(args: &Simulate, pipeline: &Pipeline) -> What {
    let new = args.workflow.is_some() || args.tasks.is_some();
    match args.from_state || (!new && pipeline.unfinished_total() > 0) {
        true => What::State,
        false => What::Tasks { workflow: args.workflow.clone(), count: args.tasks.unwrap_or(TASKS_DEFAULT) },
    }
}

fn of(what: &What) -> &'static str {
    match what {
        What::State => "state",
        What::Tasks { .. } => "tasks",
    }
}

/// The state with the configuration as it is in the files, which the next tick would record.
fn as_configured(context: &Context, pipeline: &Pipeline, what: &What) -> Pipeline {
    let mut copy = pipeline.clone();
    let task = match what {
        What::Tasks { workflow, .. } => NewTask { workflow: workflow.clone(), ..NewTask::titled("simulated") },
        What::State => NewTask::titled("simulated"),
    };
    let wanted = [Event::Ask(Request::AddTasks(vec![task]))];
    let events = if *what == What::State { &wanted[..0] } else { &wanted[..] };
    if let Some(event) = context.configure_event(pipeline, events) {
        let now = now();
        for fact in decide(&copy, &event, now).unwrap_or_default() {
            copy.apply(now.at, &fact);
        }
    }
    copy
}

fn told(pipeline: &Pipeline, problem: Problem) -> CommandError {
    match problem {
        Problem::NoWorkflow(id) => {
            CommandError::not_found(format!("there is no workflow `{id}`")).hint("See `pipeline workflow list`.")
        }
        Problem::NoRole(role) => {
            let mut roles: Vec<&str> = pipeline.core.settings.agents.iter().map(|agent| agent.role.as_str()).collect();
            roles.sort_unstable();
            roles.dedup();
            CommandError::not_found(format!("no agent has the role {role}, and no stage asks for it"))
                .hint(format!("The roles of your agents are: {}.", roles.join(", ")))
        }
        Problem::Nothing => CommandError::failed("there is nothing to simulate: no task is unfinished")
            .hint("Play new ones with `pipeline simulate --tasks 10`."),
        Problem::TooMany(count) => {
            CommandError::failed(format!("{count} tasks are unfinished, and at most {TASKS_MAX} are simulated"))
                .hint(format!("Play fewer with `pipeline simulate --tasks {TASKS_MAX}`."))
        }
        Problem::Refused(refusal) => CommandError::from(refusal),
    }
}

fn print(out: &Output, question: &Question, report: &Report) -> Result<()> {
    let what = match &question.what {
        What::State => "as they stand now".to_owned(),
        What::Tasks { workflow, .. } => {
            format!("on workflow {}", workflow.as_ref().map_or("tdd", WorkflowId::as_str))
        }
    };
    out.line(&format!(
        "{}: {} {what}, {} plays, seed {}, by {} on record",
        out.paint("1", "simulated"),
        counted(report.tasks, "task"),
        report.plays,
        report.seed,
        counted(usize::try_from(report.runs_on_record).unwrap_or(usize::MAX), "run"),
    ))?;
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| rows.push(vec![format!("  {name}"), text]);
    match report.predicted_finish {
        Some(at) => row("finish", format!("in {}, at {}", interval(&report.makespan_seconds), whole_second(at))),
        None => row("finish", "never: no task would be completed".to_owned()),
    }
    row("completed", format!("{:.0} of {}", report.completed.p50, report.tasks));
    let per_hour = report.throughput_per_hour;
    row("throughput", format!("{:.1} an hour ({:.1} to {:.1})", per_hour.p50, per_hour.p10, per_hour.p90));
    if let Some(bottleneck) = &report.bottleneck {
        let stage = bottleneck.stage.as_ref().map_or_else(String::new, |stage| {
            format!("; stage {stage} is waited for, {} in all", span(bottleneck.waiting_seconds_total))
        });
        let agents = counted(bottleneck.agents, "agent");
        row(
            "bottleneck",
            format!("{} ({agents}, {:.0} % busy){stage}", bottleneck.role, bottleneck.utilization * 100.0),
        );
    }
    for held in &report.unfinished {
        row("not done", held.words());
    }
    print_rows(out, &rows)?;
    tables(out, report)?;
    out.line("")?;
    out.line(&out.paint("2", "taken for granted"))?;
    for assumption in &report.assumptions {
        out.line(&format!("  {}", one_line(assumption, 200)))?;
    }
    Ok(())
}

fn tables(out: &Output, report: &Report) -> Result<()> {
    if !report.agents.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["AGENT", "ROLE", "BUSY"])];
        rows.extend(report.agents.iter().map(|agent| {
            vec![agent.agent.to_string(), agent.role.to_string(), format!("{:.0} %", agent.utilization * 100.0)]
        }));
        print_rows(out, &rows)?;
    }
    if !report.stages.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["STAGE", "ROLE", "RUNS", "FAILED", "WORK", "WAITING", "DECISIONS", "BY"])];
        rows.extend(report.stages.iter().map(|stage| {
            vec![
                stage.stage.to_string(),
                stage.role.to_string(),
                format!("{:.1}", stage.runs),
                format!("{:.0} %", stage.failed * 100.0),
                interval(&stage.work_seconds),
                interval(&stage.waiting_seconds),
                decisions(stage),
                stage.basis.map_or("the default", |basis| basis.words()).to_owned(),
            ]
        }));
        print_rows(out, &rows)?;
    }
    if !report.around.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["BESIDE", "TIMES", "FAILED", "EACH"])];
        rows.extend(report.around.iter().map(|one| {
            let failed = format!("{:.0} %", one.failed * 100.0);
            vec![format!("{}s", one.what), format!("{:.1}", one.times), failed, interval(&one.seconds)]
        }));
        print_rows(out, &rows)?;
    }
    if !report.critical_path.is_empty() {
        let skipped = report.critical_path.len().saturating_sub(PATH_SHOWN);
        out.line("")?;
        let mut rows = vec![head(out, &["CRITICAL PATH", "STAGE", "AGENT", "FROM", "TO", "WAITED FOR"])];
        rows.extend(report.critical_path.iter().skip(skipped).map(|step| {
            let gate = if step.gate { " (gate)" } else { "" };
            vec![
                step.task.to_string(),
                format!("{}{gate}", step.stage),
                step.agent.to_string(),
                span(step.from_seconds),
                span(step.to_seconds),
                step.waited_for.to_owned(),
            ]
        }));
        print_rows(out, &rows)?;
    }
    Ok(())
}

/// How the stage ends, the most frequent decision first.
fn decisions(stage: &StageFigures) -> String {
    let all: f64 = stage.decisions.values().sum();
    let mut words: Vec<(&String, &f64)> = stage.decisions.iter().collect();
    words.sort_by(|a, b| b.1.total_cmp(a.1));
    match words.as_slice() {
        [] => "-".to_owned(),
        [(word, _)] => (*word).clone(),
        several => {
            let shares = several.iter().map(|(word, times)| format!("{word} {:.0} %", *times / all * 100.0));
            shares.collect::<Vec<_>>().join(", ")
        }
    }
}

fn check(call: &Call, context: &Context, pipeline: &Pipeline) -> Result<u8> {
    let kept = kept::read(context)?;
    if kept.is_empty() {
        return Err(CommandError::not_found("no prediction was kept")
            .hint("Keep one with `pipeline simulate --from-state --record`."));
    }
    let compared: Vec<Compared> = kept.iter().map(|prediction| simulate::compare(pipeline, prediction)).collect();
    if call.output.json {
        call.output.json(&Checked { schema_version: SCHEMA_VERSION, predictions: compared })?;
        return Ok(exit::OK);
    }
    let out = &call.output;
    let columns = ["PREDICTED AT", "DONE", "FINISH PREDICTED", "ACTUAL", "ERROR", "TASKS WITHIN", "TASK ERROR"];
    let mut rows = vec![head(out, &columns)];
    let dash = || "-".to_owned();
    rows.extend(compared.iter().map(|one| {
        let error = one.error_seconds.map(|error| {
            let percent = one.error_percent.map_or_else(String::new, |percent| format!(" ({percent:+.0} %)"));
            format!("{}{}{percent}", if error < 0.0 { "-" } else { "+" }, span(error.abs()))
        });
        let given_up = if one.given_up > 0 { format!(", {} given up", one.given_up) } else { String::new() };
        vec![
            whole_second(one.predicted_at).to_string(),
            format!("{} of {}{given_up}", one.completed, one.tasks),
            whole_second(one.predicted_finish).to_string(),
            one.actual_finish.map_or_else(
                || if one.open > 0 { "not yet".to_owned() } else { dash() },
                |at| whole_second(at).to_string(),
            ),
            error.unwrap_or_else(dash),
            one.within_interval.map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
            one.task_error_percent.map_or_else(dash, |percent| format!("{percent:.0} %")),
        ]
    }));
    print_rows(out, &rows)?;
    out.note("tasks within: done between the 10th and the 90th percentile that were predicted, which 80 % should be");
    Ok(exit::OK)
}

fn interval(spread: &Spread) -> String {
    let [low, middle, high] = [spread.p10, spread.p50, spread.p90].map(span);
    if low == high { middle } else { format!("{middle} ({low} to {high})") }
}

/// A length of time, no more exact than it is worth.
fn span(seconds: f64) -> String {
    let unit = match seconds {
        s if s < 600.0 => 1.0,
        s if s < 86_400.0 => 60.0,
        _ => 3_600.0,
    };
    let rounded = (seconds / unit).round() * unit;
    duration::format(SignedDuration::try_from_secs_f64(rounded).unwrap_or(SignedDuration::MAX))
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_no_more_exact_than_they_are_worth() {
        let shown = [0.4, 59.6, 754.0, 7_290.0, 200_000.0].map(span);
        assert_eq!(shown, ["0s", "1m", "13m", "2h2m", "56h"]);
        assert_eq!(interval(&Spread { p10: 5.0, p50: 5.0, p90: 5.0 }), "5s");
        assert_eq!(interval(&Spread { p10: 5.0, p50: 6.0, p90: 9.0 }), "6s (5s to 9s)");
    }

    #[test]
    fn numbers_of_agents_are_read() {
        assert_eq!(agents("implementation=3").unwrap(), (Role::new("implementation").unwrap(), 3));
        for text in ["", "implementation", "=3", "a=b", "a=-1", "a b=1", "a=99999999"] {
            assert!(agents(text).is_err(), "{text}");
        }
        assert!(tasks("0").is_err() && tasks("10001").is_err() && tasks("x").is_err() && tasks("7").is_ok());
    }
}
