//! `pipeline run`: puts one task on a workflow and follows it to its end. Everything that happens to the task is the
//! engine's doing; whoever ticks next goes on where this process stopped.

mod asked;
mod ci;
mod end;
mod follow;
mod log;
mod plan;
mod replay;
mod story;
mod table;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_lib::event::{Event, NewTask, Refusal, Request};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::{TaskId, WorkflowId};
use pipeline_lib::mode::Rollout;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::Stops;
use pipeline_lib::text::{nearest, one_line};
use pipeline_lib::workflow::Workflow;
use pipeline_lib::workflow::params::{self, Param};
use serde_json::Value;

use crate::config::{load_workflow, render_all};
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::{Engine, now};
use crate::error::{CommandError, Result, exit};
use crate::verbs::monitor::start_logging;
use crate::verbs::task::{check_workflow, in_a_pack, params as given};

/// The longest title that is made of a request, in characters.
const TITLE_CHARS_MAX: usize = 120;

/// Run a workflow.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The workflow; `-` reads a [PIPELINE-EXECUTE] block from stdin
    #[arg(value_name = "WORKFLOW", required_unless_present = "resume")]
    pub workflow: Option<String>,
    /// Follow this task again, which an earlier run began
    #[arg(long, value_name = "TASK", conflicts_with_all = ["workflow", "params", "title", "pause_before_stage", "dry_run", "replay"])]
    pub resume: Option<String>,
    /// How
    #[command(flatten)]
    pub options: Options,
}

/// How a workflow is run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// What the workflow is given, once for each parameter
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// What the task is called
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Ask a person before this stage, counted from 1
    #[arg(long, value_name = "N")]
    pub pause_before_stage: Option<u32>,
    /// Ask a person after every stage
    #[arg(long)]
    pub require_manual_approval: bool,
    /// Take the decisions of hubs from the record of this task, and ask nobody
    #[arg(long, value_name = "TASK")]
    pub replay: Option<String>,
    /// Print what would be done, and start nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Put the task into the queue and return
    #[arg(long, conflicts_with = "dry_run")]
    pub detach: bool,
    /// Write the outcome of each stage as a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print groups and annotations for GitHub Actions, and write its step summary
    #[arg(long)]
    pub github: bool,
}

/// Run the workflow of a file.
#[derive(Debug, clap::Args)]
pub struct ExecutePipeline {
    /// The file; it need not be among the project's workflows
    #[arg(long, value_name = "FILE")]
    pub template: PathBuf,
    /// How
    #[command(flatten)]
    pub options: Options,
}

/// Run a workflow by its name.
#[derive(Debug, clap::Args)]
pub struct ExecuteWorkflow {
    /// Its name
    #[arg(long, value_name = "NAME")]
    pub workflow: String,
    /// How
    #[command(flatten)]
    pub options: Options,
}

/// Runs a workflow, or goes on with a task.
///
/// # Errors
/// When there is no such workflow, what it is given is wrong, the rollout does not allow it, or the state cannot be used.
pub fn run(call: &Call, args: &Run) -> Result<u8> {
    if let Some(task) = &args.resume {
        return resume(call, task, &args.options);
    }
    match args.workflow.as_deref() {
        Some("-") => from_stdin(call, &args.options),
        Some(name) => by_name(call, name, &args.options),
        None => Err(CommandError::usage("which workflow?").hint("`pipeline workflow list` shows what there is.")),
    }
}

/// Runs the workflow of this name.
///
/// # Errors
/// As [`run`].
pub fn by_name(call: &Call, name: &str, options: &Options) -> Result<u8> {
    let context = call.context()?;
    let new = named(&context, name, options)?;
    start(call, context, new, options)
}

/// Runs the workflow of a file, whether or not it is one of the project's.
///
/// # Errors
/// As [`run`], and when the file is not a workflow.
pub fn execute_pipeline(call: &Call, args: &ExecutePipeline) -> Result<u8> {
    let context = call.context()?;
    let path = beside(&call.globals.dir, &args.template);
    if !path.exists() {
        return instead_of(call, context, &path, &args.options);
    }
    let (workflow, problems) = load_workflow(&path, &context.config().roles());
    let Some(workflow) = workflow else {
        let shown = render_all(&problems, false);
        let message = shown.strip_prefix("error: ").unwrap_or(&shown).trim_end();
        return Err(CommandError::new(exit::CONFIG, "workflow_invalid", message).hint("Nothing was started."));
    };
    let new = NewTask { pinned: Some(Arc::new(workflow)), ..asked_for(&args.options)? };
    start(call, context, new, &args.options)
}

/// Runs the workflow that has the name of a file which is not there.
fn instead_of(call: &Call, context: Context, path: &Path, options: &Options) -> Result<u8> {
    let absent = || CommandError::not_found(format!("there is no file {}", path.display()));
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| path.extension() == Some("json".as_ref()));
    let id = stem.and_then(|stem| WorkflowId::new(stem).ok()).ok_or_else(absent)?;
    if context.workflows().find(&id).is_none() {
        let unknown = check_workflow(context.workflows(), Some(&id)).err().and_then(|error| error.hint);
        return Err(absent().hint(unknown.unwrap_or_default()));
    }
    call.output.note(&format!("there is no file {}: the workflow `{id}` is run, which there is", path.display()));
    let new = named(&context, id.as_str(), options)?;
    start(call, context, new, options)
}

/// A path as the person means it, who may have said `-C`.
fn beside(dir: &Path, file: &Path) -> PathBuf {
    if dir == Path::new(".") { file.to_owned() } else { dir.join(file) }
}

fn from_stdin(call: &Call, options: &Options) -> Result<u8> {
    let context = call.context()?;
    let asked = asked::read(&context)?;
    let mut new = named(&context, &asked.workflow, options)?;
    if options.title.is_none() && !asked.prompt.is_empty() {
        new.title = one_line(&asked.prompt, TITLE_CHARS_MAX);
    }
    new.body = asked.prompt;
    start(call, context, new, options)
}

fn asked_for(options: &Options) -> Result<NewTask> {
    let stops = Stops { before: options.pause_before_stage, every: options.require_manual_approval };
    let title = options.title.clone().unwrap_or_default();
    Ok(NewTask { params: given(&options.params)?, stops, ..NewTask::titled(&title) })
}

fn named(context: &Context, name: &str, options: &Options) -> Result<NewTask> {
    let set = context.workflows();
    let id = WorkflowId::new(name).map_err(|_| unknown(context, name))?;
    if set.find(&id).is_none() && set.problems_of(name).is_empty() {
        return Err(in_a_pack(name).unwrap_or_else(|| unknown(context, name)));
    }
    check_workflow(set, Some(&id))?;
    for warning in set.warnings_of(&id) {
        let suggestion = warning.suggestion.as_deref().unwrap_or_default();
        context.note(format!("{warning}. {suggestion}").trim_end());
    }
    Ok(NewTask { workflow: Some(id), ..asked_for(options)? })
}

/// What to say of a name that no workflow has.
fn unknown(context: &Context, name: &str) -> CommandError {
    let error = CommandError::not_found(format!("there is no workflow `{}`", one_line(name, 80)));
    if Path::new(name).extension().is_some_and(|ending| ending == "json") {
        let file = one_line(name, 80);
        return error.hint(format!("A file is run with `pipeline execute-pipeline --template {file}`."));
    }
    let set = context.workflows();
    let known: BTreeSet<&str> =
        set.workflows.iter().map(|workflow| workflow.id.as_str()).chain(set.shipped_ids()).collect();
    match nearest(name, known.iter().copied()) {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error.hint(format!("There are: {}.", known.into_iter().collect::<Vec<_>>().join(", "))),
    }
}

/// Adds the task and follows it.
fn start(call: &Call, context: Context, mut new: NewTask, options: &Options) -> Result<u8> {
    let workflow = workflow_of(&context, &new)?;
    if new.title.trim().is_empty() {
        let name = if workflow.name.is_empty() { workflow.id.as_str() } else { &workflow.name };
        new.title = one_line(name, TITLE_CHARS_MAX);
    }
    if let Some(stage) = options.pause_before_stage
        && !(1..=workflow.stages.len()).contains(&(stage as usize))
    {
        let count = workflow.stages.len();
        return Err(CommandError::usage(format!(
            "workflow `{}` has {count} stages, and no stage {stage}",
            workflow.id
        )));
    }
    let mut engine = Engine::open(&context)?;
    if let Some(of) = &options.replay {
        new.replay = Some(replay::record(&context, engine.pipeline(), &workflow, of)?);
    }
    let rehearsed = rehearse(&context, engine.pipeline(), &new);
    let (rehearsed, id) = rehearsed.map_err(|error| with_what_is_missing(error, &workflow, &new))?;
    if options.dry_run {
        return plan::print(call, &rehearsed, &id);
    }
    if !rehearsed.may_touch(&id) {
        return Err(withheld(&rehearsed));
    }
    // Before anything is written, so that a task that is there can be followed.
    if !options.detach {
        start_logging(call, &context)?;
    }
    let facts = engine.ask(&context, "run", Request::AddTasks(vec![new]))?;
    let id = added(&facts).ok_or_else(|| CommandError::failed("the task was not added"))?;
    if options.detach {
        return detached(call, &context, &id);
    }
    let since = engine.pipeline().core.seq.saturating_sub(facts.len() as u64);
    drop(engine);
    follow::follow(call, context, follow::Wanted { task: id, since, resumed: false }, options)
}

fn resume(call: &Call, task: &str, options: &Options) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let id = TaskId::new(task).ok().filter(|id| engine.pipeline().task(id.as_str()).is_some());
    let id = id.ok_or_else(|| Refusal::NoTask(one_line(task, 80)))?;
    start_logging(call, &context)?;
    drop(engine);
    follow::follow(call, context, follow::Wanted { task: id, since: 0, resumed: true }, options)
}

fn workflow_of(context: &Context, new: &NewTask) -> Result<Arc<Workflow>> {
    let named = || context.workflows().find(new.workflow.as_ref()?);
    new.pinned.clone().or_else(named).ok_or_else(|| CommandError::not_found("there is no such workflow"))
}

/// What would come of adding the task, on a copy.
fn rehearse(context: &Context, pipeline: &Pipeline, new: &NewTask) -> Result<(Pipeline, TaskId)> {
    let mut copy = pipeline.clone();
    let add = Event::Ask(Request::AddTasks(vec![new.clone()]));
    let mut id = None;
    for event in context.configure_event(pipeline, std::slice::from_ref(&add)).iter().chain([&add]) {
        let now = now();
        let facts = pipeline_lib::decide::decide(&copy, event, now)?;
        for fact in &facts {
            copy.apply(now.at, fact);
        }
        id = added(&facts);
    }
    Ok((copy, id.ok_or_else(|| CommandError::failed("the task cannot be added"))?))
}

/// The error of a task that cannot be added, with what to type where the workflow was given too little.
fn with_what_is_missing(error: CommandError, workflow: &Workflow, new: &NewTask) -> CommandError {
    if error.hint.is_some() || params::check(&workflow.params, &new.params).is_ok() {
        return error;
    }
    let is_given = |name: &String, param: &Param| {
        std::iter::once(name).chain(&param.aliases).any(|name| new.params.contains_key(name))
    };
    let missing = workflow
        .params
        .iter()
        .filter(|(name, param)| param.required && param.default.is_none() && !is_given(name, param));
    let missing: Vec<String> = missing.map(|(name, _)| format!("--param {name}=VALUE")).collect();
    let mut hint = Vec::new();
    if !missing.is_empty() {
        hint.push(format!("Add `{}`.", missing.join(" ")));
    }
    // What there is only as a file is not shown by name.
    if new.pinned.is_none() {
        hint.push(format!("`pipeline workflow show {}` shows what it is given.", workflow.id));
    }
    if hint.is_empty() { error } else { error.hint(hint.join(" ")) }
}

fn added(facts: &[Fact]) -> Option<TaskId> {
    facts.iter().find_map(|fact| if let Fact::TaskAdded { task } = fact { Some(task.id.clone()) } else { None })
}

fn withheld(pipeline: &Pipeline) -> CommandError {
    let rollout = pipeline.core.mode.rollout;
    let because =
        pipeline.core.demoted.as_ref().map_or_else(String::new, |demoted| {
            format!(": it went back to {} because {}", demoted.to.word(), demoted.why)
        });
    let message =
        format!("the rollout mode is {}, so nothing may be started by a person's word{because}", rollout.word());
    CommandError::new(exit::FAILED, "withheld", message).hint(match rollout {
        Rollout::Pilot => {
            "Run `pipeline mode production --yes` to allow it, or add a pattern of task names with \
             `pipeline pilot add-pattern`. `--dry-run` shows what would be done."
        }
        Rollout::Shadow | Rollout::Production => {
            "Run `pipeline mode production --yes` to allow it. `--dry-run` shows what would be done."
        }
    })
}

fn detached(call: &Call, context: &Context, id: &TaskId) -> Result<u8> {
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "task": id }))?;
    } else {
        call.output.line(id.as_str())?;
    }
    // Whoever has the lock ticks; taking it for a moment tells.
    if context.monitor_lock().acquire(std::time::Duration::ZERO).is_ok() {
        call.output
            .note(&format!("no monitor is running: `pipeline monitor --headless` or `pipeline run --resume {id}`"));
    }
    Ok(exit::OK)
}

/// What a task was given, for people.
fn shown_params(params: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    params.iter().map(|(name, value)| (name.clone(), one_line(&shown(value), 200))).collect()
}
