//! What `pipeline workflow list` shows below the workflows: what starts by itself and when, and how full each category is.
//! How they stand is derived in the library, as for `status --json` and the dashboard.

use jiff::Timestamp;
use pipeline_lib::settings::Settings;
use pipeline_lib::text::one_line;
use pipeline_lib::view::standing::{Standing, standing};
use serde_json::Value;

use crate::config::with_registry;
use crate::context::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::output::Output;
use crate::verbs::status::{head, print_rows};

/// How schedules and categories stand. The state is not read where there are none.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn look(context: &Context) -> Result<Standing> {
    let settings = with_registry(Settings::default(), context.registry(), context.workflows());
    if settings.schedules.is_empty() && settings.categories.is_empty() {
        return Ok(Standing::default());
    }
    let engine = Engine::open(context)?;
    Ok(standing(engine.pipeline(), &settings, Timestamp::now()))
}

/// Prints both below the workflows.
///
/// # Errors
/// When the reader has gone.
pub(super) fn print(out: &Output, standing: &Standing) -> Result<()> {
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    if !standing.schedules.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["SCHEDULE", "WHEN", "NEXT", "LAST", "LEFT OUT", "WHY"])];
        rows.extend(standing.schedules.iter().map(|one| {
            let (next, last) = (time(one.next), time(one.last));
            let texts = [&one.name, &one.schedule, &next, &last, &one.skipped.to_string(), &one.problem];
            texts.map(|text| one_line(text, 60)).to_vec()
        }));
        print_rows(out, &rows)?;
    }
    if !standing.categories.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["CATEGORY", "RUNNING", "WAITING", ""])];
        rows.extend(standing.categories.iter().map(|one| {
            let max = if let Value::String(word) = &one.max { word.clone() } else { one.max.to_string() };
            let alone = if one.exclusive { "alone" } else { "" };
            let running = format!("{} of {max}", one.running.len());
            vec![one_line(&one.category, 60), running, one.waiting.to_string(), alone.to_owned()]
        }));
        print_rows(out, &rows)?;
    }
    Ok(())
}
