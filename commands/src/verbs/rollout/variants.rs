//! How the variants of agents that are compared have fared, as a table for people and as part of a document. What the
//! figures are and what can be said of them is decided in [`pipeline_lib::variants`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::variants::{Comparison, Difference, Estimate};
use pipeline_lib::view::metrics;

use super::super::status::{head, print_rows};
use crate::dispatch::Call;
use crate::error::Result;
use crate::table::short_seconds;

/// By role.
pub(super) fn document(pipeline: &Pipeline) -> BTreeMap<String, Comparison> {
    metrics(pipeline, Timestamp::now()).by_variant
}

pub(super) fn print(call: &Call, pipeline: &Pipeline) -> Result<()> {
    let out = &call.output;
    let compared = document(pipeline);
    if compared.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let titles =
        ["ROLE", "VARIANT", "TASKS", "RUNS", "FAILED", "GATES PASSED", "MEDIAN TIME", "MEAN COST", "MEAN TOKENS"];
    let mut rows = vec![head(out, &titles)];
    for (role, found) in &compared {
        for arm in &found.arms {
            let gates = format!("{}/{}", arm.gates_passed, arm.gates);
            let gates = arm.gate_pass_rate.map_or(gates.clone(), |rate| format!("{gates} {}", shown(&rate, percent)));
            let or_nothing = |estimate: Option<Estimate>, words: fn(f64) -> String| {
                estimate.map_or_else(|| "-".to_owned(), |found| shown(&found, words))
            };
            rows.push(vec![
                role.clone(),
                arm.variant.clone(),
                arm.tasks.to_string(),
                arm.runs.to_string(),
                arm.runs_failed.to_string(),
                gates,
                or_nothing(arm.duration_seconds, short_seconds),
                or_nothing(arm.cost_usd, |cost| format!("${cost:.2}")),
                or_nothing(arm.tokens, |tokens| format!("{tokens:.0}")),
            ]);
        }
    }
    print_rows(out, &rows)?;
    out.line("In brackets: where the true figure lies in 95 of 100 cases.")?;
    for (role, found) in &compared {
        for difference in &found.differences {
            out.line(&format!("  {role}: {}", in_words(difference)))?;
        }
    }
    Ok(())
}

fn in_words(difference: &Difference) -> String {
    let Difference { figure, variant, than, words, .. } = difference;
    let figure = match *figure {
        "gate_pass_rate" => "gates passed",
        "duration_seconds" => "time",
        "cost_usd" => "cost",
        other => other,
    };
    format!("{figure}, {variant} against {than}: {words}")
}

fn shown(found: &Estimate, words: fn(f64) -> String) -> String {
    match (found.low, found.high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", words(found.value), words(low), words(high)),
        _ => words(found.value),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}
