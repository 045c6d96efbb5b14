//! The page `metrics`: what happened over time as small curves, then the shares of each stage and each agent, how
//! variants of agents compare, then the sums.

mod sheet;
mod variants;

use jiff::Timestamp;
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
use sheet::{Sheet, bar, curve};

/// The columns of what a curve is called.
const LABEL_COLUMNS: u16 = 14;
/// The columns of a curve's figure.
const FIGURE_COLUMNS: u16 = 6;
/// The columns of the most that a curve reaches.
const MOST_COLUMNS: u16 = 10;
/// A curve has at most so many rows.
const CURVE_ROWS_MAX: usize = 3;
/// What is counted together takes so many columns at most.
const BUCKET_COLUMNS_MAX: u16 = 8;
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
    let (word, ..) = STRETCHES[stretch(model)];
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
    Extent { total, room: usize::from(body.height), start: 0 }
}

/// Everything there is to see, and when it changes by itself.
fn sheet_of(model: &Model, figures: &Figures, body: Rect) -> (Sheet, Timestamp) {
    let theme = model.theme;
    let roomy = body.height >= ROOMY_ROWS;
    let beside = body.width >= BESIDE_COLUMNS;
    let width = if beside { body.width / 2 - 2 } else { body.width };
    let stages = shares(theme, model.figures.measure, ("stage", &figures.by_stage), width);
    let agents = shares(theme, model.figures.measure, ("agent", &figures.by_agent), width);
    let mut below = Sheet::new(theme, body.width);
    below.gap(roomy);
    if beside {
        below.beside(stages, agents, body.width - width);
    } else {
        below.append(stages);
        below.gap(roomy);
        below.append(agents);
    }
    below.gap(roomy);
    if !figures.totals.by_variant.is_empty() {
        variants::rows(&mut below, &figures.totals.by_variant);
        below.gap(roomy);
    }
    totals(&mut below, figures);
    let mut sheet = Sheet::new(theme, body.width);
    let most = if body.width >= WIDE_COLUMNS { MOST_COLUMNS } else { 0 };
    let room = body.width.saturating_sub(LABEL_COLUMNS + FIGURE_COLUMNS + 2 + most);
    let (_, stretch, seconds) = STRETCHES[stretch(model)];
    let all = u16::try_from(stretch / seconds).unwrap_or(u16::MAX);
    // Where all do not fit the latest are shown.
    let count = all.min(room).max(1);
    let each = (room / count).clamp(1, BUCKET_COLUMNS_MAX);
    let buckets = Buckets { seconds, count: usize::from(count), now: model.now };
    let curves = curves(figures, buckets);
    // Curves take what is left, an empty row between any two counted in.
    let left = usize::from(body.height).saturating_sub(below.len() + 1);
    let rows = (left / curves.len()).saturating_sub(1).clamp(1, if theme.ascii { 1 } else { CURVE_ROWS_MAX });
    for curve in &curves {
        draw_curve(&mut sheet, curve, (count * each, most), each, rows);
    }
    scale(&mut sheet, buckets, count * each);
    sheet.append(below);
    (sheet, buckets.next())
}

/// Something that happens over time.
struct Curve {
    label: &'static str,
    /// All that is in sight together.
    figure: String,
    /// The most that any of its values is.
    most: String,
    values: Vec<Option<f64>>,
    tone: Tone,
}

fn curves(figures: &Figures, buckets: Buckets) -> [Curve; 6] {
    let most = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
    let counted = |label, times: &[Timestamp], tone| {
        let counts = buckets.counts(times);
        let figure = short(counts.iter().sum::<f64>() as u64);
        let values: Vec<Option<f64>> = counts.into_iter().map(Some).collect();
        Curve { label, figure, most: short(most(&values) as u64), values, tone }
    };
    let inside: Vec<(Timestamp, f64)> =
        figures.cycles.iter().filter(|(at, _)| buckets.of(*at).is_some()).copied().collect();
    let took = |label, q: f64| {
        let values = buckets.quantiles(&figures.cycles, q);
        // One bucket that holds them all.
        let whole = Buckets { seconds: i64::MAX / 4, count: 1, ..buckets }.quantiles(&inside, q);
        let figure = whole.first().copied().flatten().map_or_else(|| "-".to_owned(), span);
        Curve { label, figure, most: span(most(&values)), values, tone: Tone::Active }
    };
    [
        counted("completed", &figures.completions, Tone::Good),
        took("cycle p50", 0.5),
        took("cycle p90", 0.9),
        counted("runs failed", &figures.failures, Tone::Bad),
        counted("gates failed", &figures.gate_failures, Tone::Bad),
        counted("retries", &figures.retries, Tone::Attention),
    ]
}

fn draw_curve(sheet: &mut Sheet, of: &Curve, (room, most): (u16, u16), each: u16, rows: usize) {
    let theme = sheet.theme;
    let x = LABEL_COLUMNS + FIGURE_COLUMNS + 2;
    sheet.gap(rows > 1 && sheet.len() > 0);
    let lines = curve(theme, &of.values, rows);
    let last = lines.len() - 1;
    for (at, line) in lines.iter().enumerate() {
        sheet.row();
        if at == last {
            sheet.text(0, LABEL_COLUMNS, of.label, theme.text());
            sheet.right(LABEL_COLUMNS, FIGURE_COLUMNS, &of.figure, theme.strong());
        }
        if at == 0 && most > 0 && of.values.iter().flatten().any(|value| *value > 0.0) {
            sheet.right(x + room, most, &format!("max {}", of.most), theme.dim());
        }
        // What is nothing is seen less than what is something.
        let mut from = 0;
        while from < of.values.len() {
            let nothing = |value: &Option<f64>| value.is_none_or(|value| value == 0.0);
            let quiet = nothing(&of.values[from]);
            let length = of.values[from..].iter().take_while(|value| nothing(value) == quiet).count();
            // A gap keeps apart what is wide enough to have one.
            let gap = usize::from(each > 2);
            let wide = |c: char| std::iter::repeat_n(c, usize::from(each) - gap).chain(std::iter::repeat_n(' ', gap));
            let text: String = line.chars().skip(from).take(length).flat_map(wide).collect();
            let at = u16::try_from(from).unwrap_or(u16::MAX).saturating_mul(each);
            let style = if quiet { theme.dim() } else { theme.tone(of.tone) };
            sheet.text(x + at, room.saturating_sub(at), &text, style);
            from += length;
        }
    }
}

/// What the curves span, and what is counted together in them.
fn scale(sheet: &mut Sheet, buckets: Buckets, room: u16) {
    let theme = sheet.theme;
    let x = LABEL_COLUMNS + FIGURE_COLUMNS + 2;
    let stretch = buckets.seconds * i64::try_from(buckets.count).unwrap_or(1);
    let each = format!("{} each", span(buckets.seconds as f64));
    sheet.row();
    sheet.text(x, room, &format!("-{}", span(stretch as f64)), theme.dim());
    sheet.right(x, room, "now", theme.dim());
    if room > 24 {
        sheet.text(x + room / 2 - columns(&each) / 2, room / 2, &each, theme.dim());
    }
}

/// The runs of each stage or agent.
fn shares(theme: Theme, measure: Measure, (title, shares): (&str, &[Share]), width: u16) -> Sheet {
    let mut sheet = Sheet::new(theme, width);
    let wide = width >= WIDE_COLUMNS;
    let names = shares.iter().map(|share| columns(&share.name)).max().unwrap_or(0);
    let names = names.clamp(6, NAME_COLUMNS_MAX);
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
        ("tokens", 8, |share| known(share.tokens)),
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

/// How many, or a sign for that nobody said.
fn known(tokens: u64) -> String {
    if tokens == 0 { "-".to_owned() } else { short(tokens) }
}

/// The sums since the beginning.
fn totals(sheet: &mut Sheet, figures: &Figures) {
    let theme = sheet.theme;
    let totals = &figures.totals;
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    let waited = totals.attention_wait_seconds;
    let facts = [
        ("completed", format!("{} of {}", totals.tasks_completed, totals.tasks_total)),
        ("per hour", format!("{:.0}", totals.throughput_per_hour)),
        ("runs", format!("{}, {} failed", totals.runs_total, totals.runs_failed)),
        ("gates", format!("{}, {} failed", totals.gates_total, totals.gate_failures_total)),
        ("retries", totals.retries_total.to_string()),
        ("reverted", totals.rollbacks_total.to_string()),
        ("agents busy", percent(totals.agent_utilization)),
        ("tokens", known(totals.tokens_total)),
        ("cost", money(totals.cost_usd_total)),
        ("people waited for", format!("p50 {}, p90 {}", span(waited.p50), span(waited.p90))),
        ("sources disagreed", totals.state_disagreements_total.to_string()),
    ];
    sheet.row();
    sheet.text(0, sheet.width, "since the beginning", theme.strong());
    sheet.flow(&facts);
    if let Some(since) = figures.since {
        let words = format!("Failures and retries are known since {} only.", since.strftime("%F %H:%MZ"));
        sheet.row();
        sheet.text(0, sheet.width, &words, theme.dim());
    }
}
