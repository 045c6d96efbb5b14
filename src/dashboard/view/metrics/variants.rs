//! How the variants of agents that are compared have fared: a row each, and below what can be said of a difference.

use std::collections::BTreeMap;

use pipeline_lib::variants::{ArmDoc, Comparison, Estimate};

use super::super::measure::{money, short, span};
use super::super::paint::columns;
use super::sheet::Sheet;
use crate::dashboard::view::metrics::NAME_COLUMNS_MAX;

/// The columns of a count.
const COUNT: u16 = 6;
/// The columns of a figure with its interval.
const FIGURE: u16 = 21;

/// A column of figures: what it is called, and what it says of a variant.
type Column = (&'static str, fn(&ArmDoc) -> String);

/// Puts the rows below.
pub(super) fn rows(sheet: &mut Sheet, compared: &BTreeMap<String, Comparison>) {
    let theme = sheet.theme;
    let name = |role: &str, arm: &ArmDoc| format!("{role} {}", arm.variant);
    let all = || compared.iter().flat_map(|(role, found)| found.arms.iter().map(move |arm| (role, arm)));
    let names = all().map(|(role, arm)| columns(&name(role, arm))).max().unwrap_or(0);
    let names = names.clamp(7, NAME_COLUMNS_MAX * 2);
    let figures: [Column; 4] = [
        ("gates passed", |arm| said(arm.gate_pass_rate, |share| format!("{:.0}%", share * 100.0))),
        ("median time", |arm| said(arm.duration_seconds, span)),
        ("mean cost", |arm| said(arm.cost_usd, money)),
        ("mean tokens", |arm| said(arm.tokens, |tokens| short(tokens as u64))),
    ];
    let counts: [Column; 2] = [("tasks", |arm| short(arm.tasks)), ("runs", |arm| short(arm.runs))];
    // As many figures as there is room for.
    let room = sheet.width.saturating_sub(names + 2 * COUNT);
    let shown = usize::from(room / FIGURE).min(figures.len());
    sheet.row();
    sheet.text(0, names, "variant", theme.strong());
    let mut x = names;
    for (word, _) in &counts {
        sheet.right(x, COUNT, word, theme.dim());
        x += COUNT;
    }
    for (word, _) in &figures[..shown] {
        sheet.right(x, FIGURE, word, theme.dim());
        x += FIGURE;
    }
    for (role, arm) in all() {
        sheet.row();
        sheet.text(0, names, &name(role, arm), theme.text());
        let mut x = names;
        for (_, count) in &counts {
            sheet.right(x, COUNT, &count(arm), theme.text());
            x += COUNT;
        }
        for (_, say) in &figures[..shown] {
            sheet.right(x, FIGURE, &say(arm), theme.text());
            x += FIGURE;
        }
    }
    for (role, found) in compared {
        let told: Vec<&str> = found.differences.iter().filter(|d| d.told).map(|d| d.words.as_str()).collect();
        let words = if told.is_empty() { "no difference can be told yet".to_owned() } else { told.join("; ") };
        sheet.row();
        sheet.text(0, sheet.width, &format!("{role}: {words}"), theme.dim());
    }
}

/// A figure and its interval.
fn said(found: Option<Estimate>, words: fn(f64) -> String) -> String {
    let Some(found) = found else { return "-".to_owned() };
    match (found.low, found.high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", words(found.value), words(low), words(high)),
        _ => words(found.value),
    }
}
