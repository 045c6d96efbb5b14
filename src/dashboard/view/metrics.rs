//! The page `metrics`: what happened over time as small curves, then the shares of each stage and each agent, then the sums.

mod sheet;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::view::detail::metrics::{Buckets, Figures, Share};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::measure::{money, short, span};
use super::paint::{Painter, columns};
use super::say;
use crate::dashboard::model::Model;
use crate::dashboard::pages::metrics::{Measure, STRETCHES, shown, stretch};
use crate::dashboard::pages::task::Extent;
use crate::dashboard::theme::Theme;
use sheet::{Sheet, bar, spark};

/// The columns of what a curve is called.
const LABEL_COLUMNS: u16 = 14;
/// The columns of a curve's figure.
const FIGURE_COLUMNS: u16 = 6;
/// The most columns of a curve.
const CURVE_COLUMNS_MAX: u16 = 120;
/// From so many columns on a share says all of its figures.
const WIDE_COLUMNS: u16 = 70;
/// From so many columns on stages and agents stand side by side.
const BESIDE_COLUMNS: u16 = 150;
/// From so many rows on there is an empty one between the parts.
const ROOMY_ROWS: u16 = 18;
/// The longest name of a share.
const NAME_COLUMNS_MAX: u16 = 16;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let body = body(area);
    let theme = painter.theme;
    let Some(figures) = shown(model) else {
        painter.rule(area, "Metrics", "", "", true);
        return say(painter, body, &[format!("Gathering{}", theme.ellipsis())]);
    };
    if figures.totals.runs_total == 0 && figures.totals.tasks_completed == 0 {
        painter.rule(area, "Metrics", "", "", true);
        return say(
            painter,
            body,
            &["Nothing has been measured yet.", "The first run that ends brings the first figures."],
        );
    }
    let (word, _) = STRETCHES[stretch(model)];
    let dot = theme.dot();
    let beside = format!("last {word}{dot}h l longer, shorter{dot}tab: bars of {}", model.figures.measure.word());
    let (sheet, next) = sheet_of(model, figures, body);
    let hidden = sheet.len().saturating_sub(usize::from(body.height));
    let top = model.figures.top.min(hidden);
    let end = if hidden > 0 { format!("{} of {} rows", usize::from(body.height), sheet.len()) } else { String::new() };
    painter.rule(area, "Metrics", &beside, &end, true);
    sheet.draw(painter, body, top);
    painter.changes_by(next);
}

fn body(area: Rect) -> Rect {
    let above = if area.height >= ROOMY_ROWS { 2 } else { 1 };
    Rect {
        x: area.x + 2,
        y: area.y + above.min(area.height),
        width: area.width.saturating_sub(3),
        height: area.height.saturating_sub(above),
    }
}

/// How many rows there are, and how many of them fit.
pub(super) fn extent(model: &Model, area: Rect) -> Extent {
    let body = body(area);
    let total = shown(model).map_or(0, |figures| sheet_of(model, figures, body).0.len());
    Extent { total, room: usize::from(body.height) }
}

/// Everything there is to see, and when it changes by itself.
fn sheet_of(model: &Model, figures: &Figures, body: Rect) -> (Sheet, Timestamp) {
    let theme = model.theme;
    let mut sheet = Sheet::new(theme, body.width);
    let room = body.width.saturating_sub(LABEL_COLUMNS + FIGURE_COLUMNS + 2).min(CURVE_COLUMNS_MAX);
    let (_, seconds) = STRETCHES[stretch(model)];
    let buckets = Buckets::over(SignedDuration::from_secs(seconds), usize::from(room.max(1)), model.now);
    curves(&mut sheet, figures, buckets, room);
    let roomy = body.height >= ROOMY_ROWS;
    sheet.gap(roomy);
    let beside = body.width >= BESIDE_COLUMNS;
    let width = if beside { body.width / 2 - 2 } else { body.width };
    let stages = shares(theme, model.figures.measure, ("stage", &figures.by_stage), width);
    let agents = shares(theme, model.figures.measure, ("agent", &figures.by_agent), width);
    if beside {
        sheet.beside(stages, agents, body.width - width);
    } else {
        sheet.append(stages);
        sheet.gap(roomy);
        sheet.append(agents);
    }
    sheet.gap(roomy);
    totals(&mut sheet, figures);
    (sheet, buckets.next())
}

/// A curve for each thing that happens.
fn curves(sheet: &mut Sheet, figures: &Figures, buckets: Buckets, room: u16) {
    let theme = sheet.theme;
    let counted = |times: &[Timestamp]| {
        let counts = buckets.counts(times);
        (short(counts.iter().sum::<f64>() as u64), counts.into_iter().map(Some).collect::<Vec<_>>())
    };
    let took = |q: f64| {
        let values = buckets.quantiles(&figures.cycles, q);
        let inside: Vec<(Timestamp, f64)> =
            figures.cycles.iter().filter(|(at, _)| buckets.of(*at).is_some()).copied().collect();
        let whole = Buckets { seconds: i64::MAX / 4, count: 1, ..buckets }.quantiles(&inside, q);
        let figure = whole.first().copied().flatten().map_or_else(|| "-".to_owned(), span);
        (figure, values)
    };
    for (label, (figure, values), tone) in [
        ("completed", counted(&figures.completions), Tone::Good),
        ("cycle p50", took(0.5), Tone::Active),
        ("cycle p90", took(0.9), Tone::Active),
        ("runs failed", counted(&figures.failures), Tone::Bad),
        ("gates failed", counted(&figures.gate_failures), Tone::Bad),
        ("retries", counted(&figures.retries), Tone::Attention),
    ] {
        sheet.row();
        sheet.text(0, LABEL_COLUMNS, label, theme.text());
        sheet.right(LABEL_COLUMNS, FIGURE_COLUMNS, &figure, theme.strong());
        let quiet = values.iter().flatten().all(|value| *value == 0.0);
        let style = if quiet { theme.dim() } else { theme.tone(tone) };
        sheet.text(LABEL_COLUMNS + FIGURE_COLUMNS + 2, room, &spark(theme, &values), style);
    }
    // What the curves span, and the most that one of their columns stands for.
    sheet.row();
    let x = LABEL_COLUMNS + FIGURE_COLUMNS + 2;
    let stretch = buckets.seconds * i64::try_from(buckets.count).unwrap_or(1);
    let each = format!("{} a column", span(buckets.seconds as f64));
    sheet.text(x, room, &format!("-{}", span(stretch as f64)), theme.dim());
    sheet.right(x, room, "now", theme.dim());
    if room > 40 {
        sheet.text(x + room / 2 - columns(&each) / 2, room / 2, &each, theme.dim());
    }
}

/// The runs of each stage or agent.
fn shares(theme: Theme, measure: Measure, (title, shares): (&str, &[Share]), width: u16) -> Sheet {
    let mut sheet = Sheet::new(theme, width);
    let wide = width >= WIDE_COLUMNS;
    let names = shares.iter().map(|share| columns(&share.name)).max().unwrap_or(0);
    let names = names.max(6).min(NAME_COLUMNS_MAX);
    // What stands behind the name: its heading, its columns, and what it says of a share.
    type Column = (&'static str, u16, fn(&Share) -> String);
    let value: Column = match measure {
        Measure::Time => ("time", 6, |share| span(share.seconds)),
        Measure::Failures => ("failed", 7, |share| share.failed.to_string()),
        Measure::Cost => ("cost", 9, |share| money(share.cost_usd)),
    };
    let all: [Column; 7] = [
        ("runs", 6, |share| short(share.runs)),
        ("failed", 7, |share| share.failed.to_string()),
        ("p50", 6, |share| span(share.p50)),
        ("p90", 6, |share| span(share.p90)),
        ("tokens", 8, |share| short(share.tokens)),
        ("cost", 9, |share| money(share.cost_usd)),
        ("time", 6, |share| span(share.seconds)),
    ];
    let shown: &[Column] = if wide { &all } else { &[all[0], value] };
    let heading = |word: &str| if word == measure.word() { theme.strong() } else { theme.dim() };
    sheet.row();
    sheet.text(0, names, title, theme.strong());
    let mut x = names;
    for (word, width, _) in shown {
        sheet.right(x, *width, word, heading(word));
        x += width;
    }
    let bars = x + 2;
    let room = width.saturating_sub(bars);
    let amount = |share: &Share| match measure {
        Measure::Time => share.seconds,
        Measure::Failures => share.failed as f64,
        Measure::Cost => share.cost_usd,
    };
    let most = shares.iter().map(amount).fold(0.0, f64::max);
    let tone = match measure {
        Measure::Time => Tone::Active,
        Measure::Failures => Tone::Bad,
        Measure::Cost => Tone::Ready,
    };
    for share in shares {
        sheet.row();
        sheet.text(0, names, &share.name, theme.text());
        let mut x = names;
        for (word, width, say) in shown {
            let bad = *word == "failed" && share.failed > 0;
            let style: Style = if bad { theme.tone(Tone::Bad) } else { theme.text() };
            sheet.right(x, *width, &say(share), style);
            x += width;
        }
        sheet.text(bars, room, &bar(theme, amount(share), most, room), theme.tone(tone));
    }
    sheet
}

/// The sums since the beginning.
fn totals(sheet: &mut Sheet, figures: &Figures) {
    let theme = sheet.theme;
    let totals = &figures.totals;
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    let waited = totals.attention_wait_seconds;
    let facts = [
        ("completed", format!("{} of {}", totals.tasks_completed, totals.tasks_total)),
        ("an hour", format!("{:.0}", totals.throughput_per_hour)),
        ("runs", format!("{}, {} failed", totals.runs_total, totals.runs_failed)),
        ("gates", format!("{}, {} failed", totals.gates_total, totals.gate_failures_total)),
        ("retries", totals.retries_total.to_string()),
        ("reverted", totals.rollbacks_total.to_string()),
        ("agents busy", percent(totals.agent_utilization)),
        ("tokens", short(totals.tokens_total)),
        ("cost", money(totals.cost_usd_total)),
        ("people waited for", format!("p50 {}, p90 {}", span(waited.p50), span(waited.p90))),
        ("sources disagreed", format!("{} times", totals.state_disagreements_total)),
    ];
    sheet.row();
    sheet.text(0, sheet.width, "since the beginning", theme.strong());
    sheet.flow(&facts);
}
