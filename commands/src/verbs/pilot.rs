//! `pipeline pilot`: which tasks may be acted on while the rollout mode is pilot, and switching that mode on and off. What
//! the list means is the engine's business.

use pipeline_lib::event::Request;
use pipeline_lib::id_pattern;
use pipeline_lib::ids::TaskId;
use pipeline_lib::mode::{PilotScope, Rollout};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::view::SCHEMA_VERSION;

use super::status::{head, print_rows, task_word};
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::table::cut;

/// Say which tasks the pilot may touch.
#[derive(Debug, clap::Args)]
pub struct Pilot {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done about the pilot.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Act on the listed tasks from now on
    Start {
        /// And on so many of a hundred tasks, present and future
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: Option<u8>,
    },
    /// Act on no task from now on; what is live is observed to its end
    Stop,
    /// List tasks
    Add {
        /// The tasks
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// List every task, present and future, whose id matches a glob
    AddPattern {
        /// The glob, such as 'DOC-*'
        #[arg(value_name = "GLOB")]
        glob: String,
    },
    /// Cover so many of a hundred tasks beside the list, chosen by their ids; a larger share only adds some
    Percent {
        /// From 0 to 100
        #[arg(value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: u8,
    },
    /// Take tasks or patterns off the list
    Remove {
        /// The tasks or patterns
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Show the list
    List,
}

/// Changes or shows the pilot.
///
/// # Errors
/// When a named task does not exist, or the state cannot be written.
pub fn run(call: &Call, args: &Pilot) -> Result<u8> {
    let context = call.context()?;
    let mut engine = Engine::open(&context)?;
    match &args.action {
        Action::Start { .. } => {
            let scope = changed(engine.pipeline(), &args.action)?;
            switch(&context, &mut engine, Rollout::Pilot, Some(scope))?;
        }
        Action::Stop => switch(&context, &mut engine, Rollout::Shadow, None)?,
        Action::List => {}
        Action::Add { .. } | Action::AddPattern { .. } | Action::Percent { .. } | Action::Remove { .. } => {
            let scope = changed(engine.pipeline(), &args.action)?;
            engine.ask(&context, "pilot", Request::SetPilot { scope })?;
        }
    }
    show(call, engine.pipeline())?;
    Ok(exit::OK)
}

/// Naming the tasks is a person's consent, so no evidence is asked for; that there was none is on record.
fn switch(context: &Context, engine: &mut Engine, to: Rollout, scope: Option<PilotScope>) -> Result<()> {
    let present = engine.pipeline().core.mode;
    let rollout = Request::SetRollout { rollout: to, unready: to > present.rollout };
    let requests = scope.map(|scope| Request::SetPilot { scope }).into_iter().chain([rollout]).collect();
    engine.ask_all(context, "pilot", requests)?;
    if to == Rollout::Pilot && engine.pipeline().core.pilot.is_empty() {
        context.note("no task is listed, so nothing will be started; list some with `pipeline pilot add ID`");
    }
    Ok(())
}

/// The list after a change of it.
fn changed(pipeline: &Pipeline, action: &Action) -> Result<PilotScope> {
    let mut scope = pipeline.core.pilot.clone();
    let ids: &[String] = match action {
        Action::Add { ids } => {
            for id in ids {
                scope.tasks.insert(known(pipeline, id)?);
            }
            &[]
        }
        Action::AddPattern { glob } => {
            if glob.is_empty() || glob.contains(char::is_whitespace) || glob.chars().any(pipeline_lib::text::is_hidden)
            {
                return Err(CommandError::usage("this is not a pattern of task ids")
                    .hint("Write one such as `pipeline pilot add-pattern 'DOC-*'`."));
            }
            if let Err(error) = id_pattern::check(glob) {
                let glob = pipeline_lib::text::one_line(glob, 80);
                return Err(CommandError::usage(format!("`{glob}` is not a pattern of task ids: {error}"))
                    .hint("Patterns are written with * ? [a-z] and {a,b}; `\\` takes the meaning from what follows."));
            }
            scope.patterns.insert(glob.clone());
            &[]
        }
        Action::Percent { percent } | Action::Start { percent: Some(percent) } => {
            scope.percent = *percent;
            &[]
        }
        Action::Remove { ids } => ids,
        Action::Start { percent: None } | Action::Stop | Action::List => &[],
    };
    for id in ids {
        let task = TaskId::new(id).is_ok_and(|id| scope.tasks.remove(&id));
        if !(scope.patterns.remove(id) || task) {
            let name = pipeline_lib::text::one_line(id, 80);
            return Err(CommandError::not_found(format!("`{name}` is not on the pilot's list"))
                .hint("`pipeline pilot list` shows what is."));
        }
    }
    Ok(scope)
}

fn known(pipeline: &Pipeline, id: &str) -> Result<TaskId> {
    let missing = || {
        let name = pipeline_lib::text::one_line(id, 80);
        CommandError::not_found(format!("there is no task `{name}`"))
            .hint("`pipeline task list` shows the tasks there are; `pipeline pilot add-pattern` lists future ones.")
    };
    pipeline.task(id).map(|task| task.id.clone()).ok_or_else(missing)
}

fn show(call: &Call, pipeline: &Pipeline) -> Result<()> {
    let core = &pipeline.core;
    let tasks = || pipeline.tasks.in_order().into_iter().filter(|task| core.pilot.covers(&task.id));
    if call.output.json {
        let covered: Vec<&TaskId> = tasks().map(|task| &task.id).collect();
        return call.output.json(&serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "mode": core.mode.rollout,
            "active": core.mode.rollout == Rollout::Pilot,
            "tasks": core.pilot.tasks,
            "patterns": core.pilot.patterns,
            "percent": core.pilot.percent,
            "covered": covered,
        }));
    }
    let out = &call.output;
    let effect = match core.mode.rollout {
        Rollout::Shadow => "nothing is acted on; start with `pipeline pilot start`",
        Rollout::Pilot => "only these tasks are acted on",
        Rollout::Production => "all tasks are acted on, listed or not",
    };
    out.line(&format!("{}: {effect}", out.paint("1", core.mode.rollout.word())))?;
    let mut rows = vec![head(out, &["TASK", "STATUS", "BY", "TITLE"])];
    for task in tasks() {
        let by = match core.pilot.pattern_of(&task.id) {
            _ if core.pilot.tasks.contains(&task.id) => "id".to_owned(),
            Some(pattern) => pattern.to_owned(),
            None => format!("{} %", core.pilot.percent),
        };
        rows.push(vec![task.id.to_string(), task_word(out, &task.state.word()), by, cut(&task.title, 60)]);
    }
    if rows.len() > 1 {
        print_rows(out, &rows)?;
    } else {
        out.line("no task is listed")?;
    }
    if core.pilot.percent > 0 {
        out.line(&format!("{} % of all tasks, present and future, are covered by their ids", core.pilot.percent))?;
    }
    let idle = |pattern: &&String| !tasks().any(|task| id_pattern::covers(pattern, task.id.as_str()));
    for pattern in core.pilot.patterns.iter().filter(idle) {
        out.line(&format!("{pattern} matches no task yet"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(tasks: &[&str], patterns: &[&str]) -> Pipeline {
        let mut pipeline = Pipeline::default();
        pipeline.core.pilot.tasks = tasks.iter().map(|id| TaskId::new(id).unwrap()).collect();
        pipeline.core.pilot.patterns = patterns.iter().map(|glob| (*glob).to_owned()).collect();
        pipeline
    }

    #[test]
    fn an_unknown_task_is_not_listed() {
        let add = Action::Add { ids: vec!["TASK-009".to_owned()] };
        assert_eq!(changed(&Pipeline::default(), &add).unwrap_err().code, exit::NOT_FOUND);
    }

    #[test]
    fn tasks_and_patterns_are_taken_off_by_what_was_typed() {
        let pipeline = listing(&["A", "B"], &["DOC-*"]);
        let remove = |id: &str| changed(&pipeline, &Action::Remove { ids: vec![id.to_owned()] });
        assert_eq!(remove("A").unwrap(), listing(&["B"], &["DOC-*"]).core.pilot);
        assert_eq!(remove("DOC-*").unwrap(), listing(&["A", "B"], &[]).core.pilot);
        assert_eq!(remove("C").unwrap_err().code, exit::NOT_FOUND);
    }

    #[test]
    fn a_pattern_is_one_word() {
        for glob in ["", "a b", "a\u{1b}"] {
            let add = Action::AddPattern { glob: glob.to_owned() };
            assert_eq!(changed(&Pipeline::default(), &add).unwrap_err().code, exit::USAGE, "{glob:?}");
        }
    }
}
