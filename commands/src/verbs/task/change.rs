//! Adding and changing tasks, and a person's words about them. Each is one request to the engine.

use std::collections::BTreeMap;
use std::io::Read as _;

use clap::Args;
use pipeline_lib::event::{NewTask, Refusal, Request};
use pipeline_lib::fact::{Fact, TaskEdit};
use pipeline_lib::ids::{AgentName, Group, TaskId, WorkflowId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{PRIORITY_DEFAULT, Stops};
use pipeline_lib::view::{task_doc, what_followed};
use serde_json::Value;

use super::on_workflow;
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::person;

/// The longest body, in bytes.
const BODY_BYTES_MAX: u64 = 256 * 1024;

/// Add a task.
#[derive(Debug, Args)]
pub struct Add {
    /// What is asked for, in one line
    pub title: String,
    /// Its id; numbered if not given
    #[arg(long)]
    pub id: Option<String>,
    /// Tasks that have to be completed before
    #[arg(long, value_name = "ID", num_args = 1..)]
    pub after: Vec<String>,
    /// From 1, the most urgent, to 9
    #[arg(long, value_name = "N", default_value_t = PRIORITY_DEFAULT)]
    pub priority: u8,
    /// The map it travels
    #[arg(long, value_name = "W")]
    pub workflow: Option<String>,
    /// Files it will touch; tasks whose paths overlap do not run at the same time
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub paths: Vec<String>,
    /// Tasks of one group run one after the other in hybrid mode
    #[arg(long, value_name = "G")]
    pub group: Option<String>,
    /// What is asked for, at length; `-` reads it from stdin
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// What its workflow is given, once for each parameter
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
}

/// Change a task.
#[derive(Debug, Args)]
pub struct Edit {
    /// The task
    pub task: String,
    /// A new title
    #[arg(long)]
    pub title: Option<String>,
    /// A new body; `-` reads it from stdin
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// A new priority, from 1 to 9
    #[arg(long, value_name = "N")]
    pub priority: Option<u8>,
    /// New dependencies instead of the present ones
    #[arg(long, value_name = "ID", num_args = 0..)]
    pub after: Option<Vec<String>>,
    /// New paths instead of the present ones
    #[arg(long, value_name = "GLOB", num_args = 0..)]
    pub paths: Option<Vec<String>>,
    /// A new group; an empty one takes it away
    #[arg(long, value_name = "G")]
    pub group: Option<String>,
    /// A new workflow, while the task has not started
    #[arg(long, value_name = "W")]
    pub workflow: Option<String>,
}

/// A task and an agent.
#[derive(Debug, Args)]
pub struct Assign {
    /// The task
    pub task: String,
    /// The agent
    pub agent: String,
}

/// One task.
#[derive(Debug, Args)]
pub struct One {
    /// The task
    pub task: String,
}

/// Tasks.
#[derive(Debug, Args)]
pub struct Many {
    /// The tasks
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
}

/// Tasks and a message to their agents.
#[derive(Debug, Args)]
pub struct Message {
    /// The tasks
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// What the agent should know
    #[arg(long, short, value_name = "TEXT")]
    pub message: Option<String>,
}

/// Tasks and a reason.
#[derive(Debug, Args)]
pub struct Reason {
    /// The tasks
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Tasks and a decision.
#[derive(Debug, Args)]
pub struct Approve {
    /// The tasks
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// The decision, where none was clear
    #[arg(long, value_name = "WORD")]
    pub decision: Option<String>,
}

pub(super) fn id(text: &str) -> Result<TaskId> {
    // A name that could not be a task's is not one that exists.
    TaskId::new(text).map_err(|_| Refusal::NoTask(text.chars().filter(|c| !c.is_control()).take(80).collect()).into())
}

/// Parameters as they are written on the command line. A value is a text; what it has to be its workflow says.
pub(crate) fn params(texts: &[String]) -> Result<BTreeMap<String, Value>> {
    let mut params = BTreeMap::new();
    for text in texts {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(CommandError::usage(format!("`{text}` is no parameter: write NAME=VALUE")));
        };
        if params.insert(name.to_owned(), Value::String(value.to_owned())).is_some() {
            return Err(CommandError::usage(format!("parameter `{name}` is given twice")));
        }
    }
    Ok(params)
}

fn ids(texts: &[String]) -> Result<Vec<TaskId>> {
    texts.iter().map(|text| Ok(TaskId::new(text)?)).collect()
}

fn body(text: Option<String>) -> Result<Option<String>> {
    match text.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().lock().take(BODY_BYTES_MAX + 1).read_to_string(&mut text)?;
            if text.len() as u64 > BODY_BYTES_MAX {
                return Err(CommandError::failed("the body is longer than 256 KiB"));
            }
            Ok(Some(text))
        }
        _ => Ok(text),
    }
}

pub(super) fn add(call: &Call, args: Add) -> Result<u8> {
    let new = NewTask {
        asked_by: None,
        id: args.id.as_deref().map(TaskId::new).transpose()?,
        title: args.title,
        body: body(args.body)?.unwrap_or_default(),
        priority: args.priority,
        depends_on: ids(&args.after)?,
        workflow: args.workflow.as_deref().map(WorkflowId::new).transpose()?,
        paths: args.paths,
        group: args.group.as_deref().map(Group::new).transpose()?,
        params: params(&args.params)?,
        stops: Stops::default(),
        replay: None,
        pinned: None,
    };
    let context = call.context()?;
    on_workflow::check(context.workflows(), new.workflow.as_ref())?;
    let mut engine = Engine::open(&context)?;
    let facts = engine.ask(&context, "task add", Request::AddTasks(vec![new]))?;
    let added = facts.iter().find_map(|fact| match fact {
        Fact::TaskAdded { task } => Some(task.id.clone()),
        _ => None,
    });
    let Some(added) = added else { return Err(CommandError::failed("the task was not added")) };
    if call.output.json {
        let task = engine.pipeline().task(added.as_str()).map(|task| task_doc(engine.pipeline(), task));
        call.output.json(&serde_json::json!({ "schema_version": 1, "id": added, "task": task }))?;
    } else {
        call.output.line(added.as_str())?;
        if !engine.pipeline().may_touch(&added) {
            call.output.note(&next_command(engine.pipeline(), &added));
        }
    }
    engine.leave();
    Ok(exit::OK)
}

/// What makes the rollout act on a task.
fn next_command(pipeline: &Pipeline, task: &TaskId) -> String {
    use pipeline_lib::mode::Rollout;
    match pipeline.core.mode.rollout {
        Rollout::Shadow => "shadow mode plans only; to let agents work: pipeline mode pipeline --yes".to_owned(),
        Rollout::Pilot | Rollout::Production => format!("pilot mode leaves it alone until: pipeline pilot add {task}"),
    }
}

pub(super) fn edit(call: &Call, args: Edit) -> Result<u8> {
    let edit = TaskEdit {
        title: args.title.map(|title| title.trim().to_owned()),
        body: body(args.body)?,
        priority: args.priority,
        depends_on: args.after.as_deref().map(ids).transpose()?,
        paths: args.paths,
        group: match args.group.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(group) => Some(Some(Group::new(group)?)),
        },
        workflow: args.workflow.as_deref().map(WorkflowId::new).transpose()?,
        pinned_agent: None,
    };
    if edit.is_empty() {
        return Err(CommandError::usage("nothing to change").hint("`pipeline task edit --help` shows what can be."));
    }
    let task = id(&args.task)?;
    let context = call.context()?;
    if edit.workflow.is_some() {
        on_workflow::check(context.workflows(), edit.workflow.as_ref())?;
    }
    each_in(call, &context, "task edit", &[task], |task| Request::Edit { task, edit: edit.clone() })
}

pub(super) fn assign(call: &Call, args: &Assign, interrupt: bool) -> Result<u8> {
    let agent = AgentName::new(&args.agent).map_err(|_| Refusal::NoAgent(args.agent.clone()))?;
    let verb = if interrupt { "task reassign" } else { "task assign" };
    each(call, verb, &[id(&args.task)?], |task| Request::Assign { task, agent: Some(agent.clone()), interrupt })
}

pub(super) fn unassign(call: &Call, args: &One) -> Result<u8> {
    each(call, "task unassign", &[id(&args.task)?], |task| Request::Assign { task, agent: None, interrupt: false })
}

pub(super) fn retry(call: &Call, args: &Message) -> Result<u8> {
    let tasks = existing(&args.tasks)?;
    let context = call.context()?;
    let code =
        each_in(call, &context, "task retry", &tasks, |task| Request::Retry { task, message: args.message.clone() })?;
    let engine = Engine::open(&context)?;
    for task in tasks.iter().filter_map(|id| engine.pipeline().task(id.as_str())) {
        if let Some(words) = what_followed(engine.pipeline(), task) {
            let stage = task.state.stage().map_or_else(String::new, |stage| format!(" at stage {stage}"));
            call.output.note(&format!("{words}: {} goes on{stage} with what that left behind", task.id));
        }
    }
    Ok(code)
}

pub(super) fn block(call: &Call, args: &Reason) -> Result<u8> {
    let reason = args.reason.clone().unwrap_or_else(|| "blocked by a person".to_owned());
    each(call, "task block", &existing(&args.tasks)?, |task| Request::Block { task, reason: reason.clone() })
}

pub(super) fn unblock(call: &Call, args: &Many) -> Result<u8> {
    each(call, "task unblock", &existing(&args.tasks)?, |task| Request::Unblock { task })
}

pub(super) fn cancel(call: &Call, args: &Reason) -> Result<u8> {
    each(call, "task cancel", &existing(&args.tasks)?, |task| Request::Cancel { task, reason: args.reason.clone() })
}

pub(super) fn approve(call: &Call, args: &Approve) -> Result<u8> {
    let context = call.context()?;
    let by = person::approving(&context)?;
    each_in(call, &context, "task approve", &existing(&args.tasks)?, |task| Request::Approve {
        by: Some(by.clone()),
        task,
        decision: args.decision.clone(),
    })
}

pub(super) fn reject(call: &Call, args: &Message) -> Result<u8> {
    each(call, "task reject", &existing(&args.tasks)?, |task| Request::Reject { task, message: args.message.clone() })
}

fn existing(texts: &[String]) -> Result<Vec<TaskId>> {
    texts.iter().map(|text| id(text)).collect()
}

/// Asks the same of each task, in order, all or none, and shows where each stands then.
fn each(call: &Call, actor: &str, tasks: &[TaskId], request: impl Fn(TaskId) -> Request) -> Result<u8> {
    each_in(call, &call.context()?, actor, tasks, request)
}

fn each_in(
    call: &Call,
    context: &Context,
    actor: &str,
    tasks: &[TaskId],
    request: impl Fn(TaskId) -> Request,
) -> Result<u8> {
    let mut engine = Engine::open(context)?;
    engine.ask_all(context, actor, tasks.iter().cloned().map(request).collect())?;
    let pipeline = engine.pipeline();
    let documents: Vec<_> =
        tasks.iter().filter_map(|id| pipeline.task(id.as_str())).map(|task| task_doc(pipeline, task)).collect();
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "tasks": documents }))?;
    } else {
        for task in &documents {
            let reason = task.reason.as_deref().map_or_else(String::new, |why| format!(": {why}"));
            call.output.line(&format!("{} {}{reason}", task.id, task.status))?;
        }
    }
    Ok(exit::OK)
}
