//! The commands of workflows: where they run and what they are given. A command sees what an agent would see, in its
//! environment; it gets no task file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline_lib::event::Event;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Run, Work};
use pipeline_lib::task::Task;
use pipeline_lib::workflow::{Place, Stage, render};
use pipeline_worktrees::host::RunKind;

use super::begin::{claim, start};
use super::confine::private_dir;
use super::held::Held;
use super::launch::{check_out, fresh, prepare_worktree, traceparent};
use super::perform::Failure;
use super::secrets::Secrets;
use super::{branches, inputs};
use crate::context::Context;
use crate::program;
use crate::shipped;

/// What the name of a variable begins with that holds a parameter.
const PARAM: &str = "PIPELINE_PARAM_";

/// Starts the command of a stage, or its probe.
pub(super) fn launch(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    command: &str,
    held: &mut Held,
) -> Result<Option<Event>, Failure> {
    let missing = |what: &str| Failure::permanent(format!("run {} has no {what}", run.id));
    let task = run.task.as_ref().and_then(|id| pipeline.task(id.as_str())).ok_or_else(|| missing("task"))?;
    let stage = pipeline.stage_of(task).ok_or_else(|| missing("stage"))?;
    let path = match stage.place {
        Place::Repository => {
            if !branches::has_output(pipeline, task) {
                branches::set_strange_aside(context, pipeline, Some(run), task, None)?;
            }
            context.root().to_owned()
        }
        Place::Worktree => {
            let path = context.worktree(run.agent.as_str(), Some(&task.id));
            if !held.hand_over(&path, &task.branch()) {
                let base = context.base_head()?;
                // Whoever worked there a moment ago has left it as its branch has it, which is all that has to be known.
                let before = held.branch_at(&path);
                if before.is_none() && prepare_worktree(context, context.repo(), &path, &base)? {
                    return Ok(Some(fresh(run, pipeline.core.settings.worktree(&run.agent, &task.id))));
                }
                let start = branches::begins_at(context, pipeline, run, task, base)?;
                let is_there = match before {
                    Some(before) => context.repo().follow(&path, &before, &task.branch(), &start)?,
                    None => false,
                };
                if !is_there {
                    context.repo().ensure_branch(&task.branch(), &start)?;
                    check_out(context, pipeline, run, &path, &task.branch())?;
                }
                held.taken(&path);
            }
            path
        }
    };
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()];
    let secrets = Secrets::of(context, stage)?;
    let inputs = inputs::write(context, run, task, stage, &mut held.lists)?;
    let mut env = environment(context, pipeline, run, (task, stage), (&path, &inputs), &secrets)?;
    if command.contains(shipped::SCRIPTS_VARIABLE) {
        give_scripts(context, &mut env)?;
    }
    let mut claim = claim(run, RunKind::Agent, argv, env, path);
    claim.terminal = None;
    claim.leaves_services = stage.services && matches!(run.work, Work::Command { .. });
    start(context, run, claim, &secrets)?;
    Ok(None)
}

/// What the commands of the program's own workflows are made of.
fn give_scripts(context: &Context, env: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    let passing = |message: String| Failure { message, permanent: false };
    let scripts = shipped::scripts(&context.logs_dir())
        .map_err(|error| passing(format!("the scripts of a workflow cannot be written: {error}")))?;
    env.insert(shipped::SCRIPTS_VARIABLE.to_owned(), scripts.to_string_lossy().into_owned());
    let program = program::path().map_err(|error| passing(format!("cannot find this program: {error}")))?;
    env.insert(shipped::PROGRAM_VARIABLE.to_owned(), program.to_string_lossy().into_owned());
    Ok(())
}

fn environment(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    (task, stage): (&Task, &Stage),
    (path, inputs): (&Path, &Path),
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>, Failure> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut env = context.environment_of_commands();
    secrets.give(stage, &mut env)?;
    let outcome = context.outcome_file(run);
    outcome.parent().map(private_dir).transpose()?;
    let vars = if stage.env.is_empty() { serde_json::Value::Null } else { pipeline.variables(task, stage) };
    for (name, template) in &stage.env {
        let value = render::text(template, &vars).map_err(|error| {
            Failure::permanent(format!("environment variable {name} of stage {}: {error}", stage.id))
        })?;
        env.insert(name.clone(), value);
    }
    for (name, value) in &task.params {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        env.insert(format!("{PARAM}{name}"), value);
    }
    if let Some(parent) = &task.parent {
        env.insert("PIPELINE_PARENT".to_owned(), parent.task.to_string());
    }
    env.extend([
        ("PIPELINE_TASK_ID".to_owned(), task.id.to_string()),
        ("PIPELINE_RUN_ID".to_owned(), run.id.to_string()),
        ("PIPELINE_STAGE".to_owned(), stage.id.to_string()),
        ("PIPELINE_ROLE".to_owned(), stage.role.to_string()),
        ("PIPELINE_WORKTREE".to_owned(), text(path)),
        ("PIPELINE_ROOT".to_owned(), text(context.root())),
        ("PIPELINE_BRANCH".to_owned(), task.branch()),
        ("PIPELINE_BASE".to_owned(), context.base().to_owned()),
        ("PIPELINE_OUTCOME_FILE".to_owned(), text(&outcome)),
        ("PIPELINE_INPUTS".to_owned(), text(inputs)),
        ("PIPELINE_ATTEMPT".to_owned(), run.attempt.to_string()),
        ("TRACEPARENT".to_owned(), traceparent(task, run)),
    ]);
    Ok(env)
}

/// Where a run of a stage works; nothing of ours is there where that is the main checkout.
pub(super) fn worktree(context: &Context, pipeline: &Pipeline, run: &Run, task: &Task) -> Option<PathBuf> {
    let stage = run.stage.as_ref().and_then(|id| pipeline.workflow_of(task)?.stage(id));
    let command = matches!(run.work, Work::Command { .. } | Work::Probe { .. });
    let elsewhere = command && stage.is_some_and(|stage| stage.place == Place::Repository);
    (!elsewhere).then(|| context.worktree(run.agent.as_str(), Some(&task.id)))
}
