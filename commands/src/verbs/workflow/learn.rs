//! `pipeline workflow learn`: the failures that were recognised again, over all tasks and runs. Nothing is changed.

use jiff::Timestamp;
use pipeline_lib::pipeline::Pattern;
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_lib::workflow::hub::STRATEGY_CHANGES_AT;
use serde_json::{Value, json};

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::table::age;
use crate::verbs::status::{head, print_rows};

/// The longest error in a row, in characters.
const ERROR_CHARS: usize = 70;

/// Shows what was learned, what is open and frequent first.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn run(call: &Call) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let mut patterns: Vec<&Pattern> = engine.pipeline().core.patterns.values().collect();
    patterns.sort_by_key(|pattern| std::cmp::Reverse((pattern.in_a_row, pattern.times, pattern.last_at)));
    let out = &call.output;
    if out.json {
        let list: Vec<Value> = patterns.iter().map(|pattern| document(pattern)).collect();
        out.json(&json!({ "schema_version": SCHEMA_VERSION, "patterns": list }))?;
        return Ok(exit::OK);
    }
    if patterns.is_empty() {
        out.line("Nothing has failed yet.")?;
        return Ok(exit::OK);
    }
    let now = Timestamp::now();
    let mut rows = vec![head(out, &["WORKFLOW", "STAGE", "IN A ROW", "TIMES", "OVERCOME", "LAST", "ERROR"])];
    rows.extend(patterns.iter().map(|pattern| {
        vec![
            pattern.workflow.to_string(),
            pattern.stage.to_string(),
            pattern.in_a_row.to_string(),
            pattern.times.to_string(),
            pattern.overcome.to_string(),
            age(pattern.last_at, now),
            one_line(&pattern.error, ERROR_CHARS),
        ]
    }));
    print_rows(out, &rows)?;
    let stuck = patterns.iter().filter(|pattern| pattern.in_a_row >= STRATEGY_CHANGES_AT).count();
    if stuck > 0 {
        out.note(&format!(
            "{stuck} failed {STRATEGY_CHANGES_AT} times in a row or more: the next attempt is advised to begin anew"
        ));
    }
    Ok(exit::OK)
}

fn document(pattern: &Pattern) -> Value {
    json!({
        "workflow": pattern.workflow, "stage": pattern.stage, "error": pattern.error, "in_a_row": pattern.in_a_row,
        "times": pattern.times, "overcome": pattern.overcome, "first_at": pattern.first_at, "last_at": pattern.last_at,
    })
}
