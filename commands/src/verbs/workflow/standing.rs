//! What `pipeline workflow list` shows below the workflows: what starts by itself and when, and how full each category is.

use jiff::Timestamp;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::settings::Settings;
use pipeline_lib::text::one_line;
use pipeline_lib::workflow::schedule::Schedule;
use serde_json::{Value, json};

use crate::config::with_registry;
use crate::context::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::output::Output;
use crate::verbs::status::{head, print_rows};

/// Schedules and categories as they stand.
pub(super) struct Standing {
    /// One object for each schedule.
    pub(super) schedules: Vec<Value>,
    /// One object for each category that the registry names.
    pub(super) categories: Vec<Value>,
}

/// How schedules and categories stand. The state is not read where there are none.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn look(context: &Context) -> Result<Standing> {
    let settings = with_registry(Settings::default(), context.registry(), context.workflows());
    if settings.schedules.is_empty() && settings.categories.is_empty() {
        return Ok(Standing { schedules: Vec::new(), categories: Vec::new() });
    }
    let engine = Engine::open(context)?;
    let pipeline = engine.pipeline();
    Ok(Standing { schedules: schedules(pipeline, &settings), categories: categories(pipeline, &settings) })
}

fn schedules(pipeline: &Pipeline, settings: &Settings) -> Vec<Value> {
    let now = Timestamp::now();
    let one = |schedule: &pipeline_lib::settings::ScheduleSettings| {
        let known = pipeline.core.schedules.get(&schedule.name).filter(|known| known.when == schedule.when);
        let first = || Schedule::parse(&schedule.when).ok()?.next_after(now);
        json!({
            "name": schedule.name, "workflow": schedule.workflow, "schedule": schedule.when,
            "next": known.and_then(|known| known.next).filter(|next| *next > now).or_else(first),
            "last": known.and_then(|known| known.last), "task": known.and_then(|known| known.task.clone()),
            "skipped": known.map_or(0, |known| known.skipped),
            "problem": known.and_then(|known| known.problem.clone()).unwrap_or_default(),
        })
    };
    settings.schedules.iter().map(one).collect()
}

fn categories(pipeline: &Pipeline, settings: &Settings) -> Vec<Value> {
    let waiting = |name: &str| {
        let waits =
            pipeline.tasks.iter().filter(|task| !task.state.is_final()).filter_map(|t| pipeline.category_wait(t));
        waits.filter(|wait| wait.category == name).count()
    };
    let one = |(name, limit): (&String, &pipeline_lib::settings::Category)| {
        let running: Vec<_> = pipeline.in_category(name).map(|task| task.id.clone()).collect();
        json!({
            "category": name, "max": limit.max.map_or_else(|| json!("unlimited"), |max| json!(max)),
            "exclusive": limit.exclusive, "running": running, "waiting": waiting(name),
        })
    };
    settings.categories.iter().map(one).collect()
}

/// Prints both below the workflows.
///
/// # Errors
/// When the reader has gone.
pub(super) fn print(out: &Output, standing: &Standing) -> Result<()> {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => one_line(text, 60),
        other => other.to_string(),
    };
    if !standing.schedules.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["SCHEDULE", "WHEN", "NEXT", "LAST", "LEFT OUT", "WHY"])];
        let keys = ["name", "schedule", "next", "last", "skipped", "problem"];
        rows.extend(standing.schedules.iter().map(|schedule| keys.map(|key| text(&schedule[key])).to_vec()));
        print_rows(out, &rows)?;
    }
    if !standing.categories.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["CATEGORY", "RUNNING", "WAITING", ""])];
        rows.extend(standing.categories.iter().map(|category| {
            let running = category["running"].as_array().map_or(0, Vec::len);
            let alone = if category["exclusive"] == true { "alone" } else { "" };
            let running = format!("{running} of {}", text(&category["max"]));
            vec![text(&category["category"]), running, text(&category["waiting"]), alone.to_owned()]
        }));
        print_rows(out, &rows)?;
    }
    Ok(())
}
