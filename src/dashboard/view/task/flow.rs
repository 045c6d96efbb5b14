//! The way of a task through its workflow: the drawing that `pipeline workflow graph` prints, with how each stage stands,
//! which connections were taken, and the tasks that do parts; below or beside it what was decided, by whom and why.

use pipeline_lib::text::counted;
use pipeline_lib::view::detail::flow::{Decision, StageMark};
use pipeline_lib::view::detail::task::{Related, TaskDetail};
use pipeline_lib::view::screen::Tone;
use pipeline_lib::workflow::drawing::{Row as Drawn, What};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::WIDE_COLUMNS;
use super::rows::{Row, Rows};
use crate::dashboard::model::Model;
use crate::dashboard::pages::task::{Extent, top};
use crate::dashboard::theme::Theme;
use crate::dashboard::view::paint::{Painter, columns, fit};

/// The columns between what stands side by side.
const GUTTER: u16 = 4;
/// From here on there is room for what a stage does, and for all visits.
const DOES_COLUMNS_MIN: u16 = 70;
/// The longest word for how a stage stands.
const WORD_COLUMNS: u16 = 19;
/// The columns of `visit 10 of 10`.
const VISIT_COLUMNS: u16 = 15;
/// One line along the left for each so many columns.
const COLUMNS_PER_LANE: u16 = 8;
/// Parts of a stage that are named, by whether there is much room.
const PARTS_MAX: [usize; 2] = [6, 24];

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    if detail.stages.is_empty() {
        let words = format!("There is no workflow `{}`.", detail.workflow);
        return super::say(painter, area, &[words.as_str(), "Those there are: pipeline workflow list"]);
    }
    let (left, right) = columns_of(area);
    let Drawing { way, decided, .. } = Drawing::of(model, area, detail);
    let top = top(model, extent(model, area, detail));
    way.draw(painter, left, top);
    if let Some((decided, right)) = decided.zip(right) {
        decided.draw(painter, right, top);
    }
}

pub(super) fn extent(model: &Model, area: Rect, detail: &TaskDetail) -> Extent {
    let Drawing { way, decided, live } = Drawing::of(model, area, detail);
    let total = way.rows.len().max(decided.map_or(0, |decided| decided.rows.len()));
    let room = usize::from(area.height);
    // The stage at which it is, with some of what comes behind it.
    Extent { total, room, start: (live + 1 + room / 3).saturating_sub(room) }
}

/// Where the drawing stands, and where, if there is room beside it, what was decided.
fn columns_of(area: Rect) -> (Rect, Option<Rect>) {
    if area.width < WIDE_COLUMNS {
        return (area, None);
    }
    let left = Rect { width: area.width * 11 / 20 - GUTTER, ..area };
    let x = left.right() + GUTTER;
    (left, Some(Rect { x, width: area.right() - x, ..area }))
}

/// All there is to see, before it is known which of it is in sight.
struct Drawing {
    way: Rows,
    /// What was decided, where it stands beside the way.
    decided: Option<Rows>,
    /// The row of the stage at which the task is; the first one where it is at none.
    live: usize,
}

impl Drawing {
    fn of(model: &Model, area: Rect, detail: &TaskDetail) -> Self {
        let (left, right) = columns_of(area);
        let mut rows = Rows::new(model.theme, model.now, left.width);
        head(&mut rows, detail);
        let live = way(&mut rows, detail);
        let decided = right.map(|right| {
            let mut beside = Rows::new(model.theme, model.now, right.width);
            decisions(&mut beside, detail);
            beside
        });
        if decided.is_none() {
            rows.gap();
            decisions(&mut rows, detail);
        }
        Self { way: rows, decided, live }
    }
}

/// On which workflow, and how it stands.
fn head(rows: &mut Rows, detail: &TaskDetail) {
    let theme = rows.theme;
    let age = rows.age(detail.since);
    rows.push(vec![
        (detail.workflow.clone(), theme.strong()),
        (theme.dot().to_owned(), theme.dim()),
        rows.sign(detail.tone),
        (detail.status.clone(), theme.tone(detail.tone)),
        (format!(" for {age}"), theme.dim()),
    ]);
    if detail.tone == Tone::Attention {
        rows.text(0, &detail.why.rule, theme.text());
    }
    rows.gap();
}

/// The columns of the drawing.
struct Widths {
    name: u16,
    /// None where there is no room for what a stage does.
    does: bool,
    parts: usize,
}

/// Draws the way, and says in which row the task is.
fn way(rows: &mut Rows, detail: &TaskDetail) -> usize {
    let mut live = 0;
    let picture = &detail.flow.picture;
    let drawn = picture.rows(usize::from((rows.width / COLUMNS_PER_LANE).max(2)));
    let rails = drawn.first().map_or(0, |row| columns(&row.rails));
    let room = rows.width.saturating_sub(rails + 2);
    let longest = picture.stages.iter().map(|stage| columns(&stage.name)).max().unwrap_or(0);
    let does = room >= DOES_COLUMNS_MIN;
    let most = if does { room / 3 } else { room.saturating_sub(WORD_COLUMNS).max(8) };
    let most_parts = PARTS_MAX[usize::from(rows.width >= DOES_COLUMNS_MIN && detail.stages.len() < 10)];
    let widths = Widths { name: longest.min(most), does, parts: most_parts };
    for (at, row) in drawn.iter().enumerate() {
        match row.what {
            What::Stage(stage) => {
                let Some(mark) = detail.stages.get(stage) else { continue };
                live = if mark.here { rows.rows.len() } else { live };
                stage_row(rows, row, detail, (stage, mark), &widths);
                parts(rows, drawn.get(at + 1), mark, &widths);
            }
            What::Down(edge) | What::Away(edge) => {
                let count = detail.flow.taken.get(edge).copied().unwrap_or(0);
                let style = if count > 0 { rows.theme.text() } else { rows.theme.dim() };
                let words = signs(rows.theme, &picture.text(row.what));
                let mut parts = stem(rows.theme, row, style);
                parts.push((words, style));
                if count > 0 {
                    parts.push((format!("  {}{count}", rows.theme.pick("×", "x")), rows.theme.strong()));
                }
                rows.push(parts);
            }
            What::Gap => {
                let parts = stem(rows.theme, row, rows.theme.dim());
                rows.push(parts);
            }
        }
    }
    live
}

/// What runs along the left of a row, and its place on the stem.
fn stem(theme: Theme, row: &Drawn, style: Style) -> Row {
    vec![(signs(theme, &row.rails), theme.dim()), (signs(theme, row.stem.encode_utf8(&mut [0; 4])), style)]
}

fn stage_row(rows: &mut Rows, row: &Drawn, detail: &TaskDetail, (at, mark): (usize, &StageMark), widths: &Widths) {
    let theme = rows.theme;
    let drawn = &detail.flow.picture.stages[at];
    let tone = theme.tone(mark.tone);
    let name = match (mark.here, mark.tone) {
        (true, _) => tone.patch(theme.strong()),
        (false, Tone::Waiting | Tone::Gone) => theme.dim(),
        (false, _) => theme.text(),
    };
    let padded = |text: &str, width: u16| {
        let text = fit(text, width, theme.ellipsis());
        let gap = usize::from(width.saturating_sub(columns(&text)));
        format!("{text}{}", " ".repeat(gap))
    };
    let (sign, style) = rows.sign(mark.tone);
    let mut parts: Row = vec![(signs(theme, &row.rails), theme.dim()), (sign, style)];
    parts.push((padded(&drawn.name, widths.name), name));
    let word = format!("  {}", mark.word);
    if !widths.does {
        parts.push((word, tone));
        if mark.visits > 1 {
            parts.push((format!(" {}/{}", mark.visits, mark.visits_max), theme.dim()));
        }
        return rows.push(parts);
    }
    parts.push((padded(&word, WORD_COLUMNS), tone));
    let visits = if mark.visits > 0 { format!("visit {} of {}", mark.visits, mark.visits_max) } else { String::new() };
    parts.push((padded(&visits, VISIT_COLUMNS), if mark.visits > 1 { theme.text() } else { theme.dim() }));
    match detail.agent.as_ref().filter(|_| mark.here) {
        Some(agent) => {
            let again = if detail.attempt > 1 { format!(", attempt {}", detail.attempt) } else { String::new() };
            parts.push((format!("{agent}{again}"), theme.text()));
        }
        None => parts.push((signs(theme, &drawn.does), theme.dim())),
    }
    rows.push(parts);
}

/// The tasks that do parts of a stage, or did.
fn parts(rows: &mut Rows, next: Option<&Drawn>, mark: &StageMark, widths: &Widths) {
    let theme = rows.theme;
    let has_up = |c: char| "│├└┼┴▼".contains(c);
    let on = |c: char| if has_up(c) { '│' } else { ' ' };
    let rails: String = next.map_or_else(String::new, |next| next.rails.chars().map(on).collect());
    let stem = next.map_or(' ', |next| on(next.stem));
    let before = signs(theme, &format!("{rails}{stem}   "));
    let line = |part: &Related| -> Row {
        vec![
            (before.clone(), theme.dim()),
            (format!("{} ", theme.sign(part.tone)), theme.tone(part.tone)),
            (format!("{} ", part.id), theme.text()),
            (part.status.clone(), theme.tone(part.tone)),
        ]
    };
    let shown = if mark.parts_total > widths.parts { widths.parts - 1 } else { widths.parts };
    rows.rows.extend(mark.parts.iter().take(shown).map(line));
    let more = mark.parts_total.saturating_sub(shown.min(mark.parts.len()));
    if more > 0 {
        rows.push(vec![(before, theme.dim()), (format!("  and {}", counted(more, "more part")), theme.dim())]);
    }
}

fn decisions(rows: &mut Rows, detail: &TaskDetail) {
    let theme = rows.theme;
    let flow = &detail.flow;
    rows.push(vec![("Decisions".to_owned(), theme.strong()), (", the latest first".to_owned(), theme.dim())]);
    if flow.decisions.is_empty() {
        rows.text(0, "Nothing was decided yet.", theme.dim());
        return;
    }
    for decision in flow.decisions.iter().rev() {
        told(rows, decision);
    }
    if flow.is_cut {
        rows.gap();
        rows.text(0, "Older ones are left out; the history has them.", theme.dim());
    }
}

fn told(rows: &mut Rows, decision: &Decision) {
    let theme = rows.theme;
    let age = rows.age(decision.at);
    let dot = theme.dot();
    rows.gap();
    let mut head: Vec<Row> = vec![vec![
        (format!("{} ", decision.stage), theme.text()),
        (decision.word.clone(), theme.strong()),
        (decision.to.as_ref().map_or_else(String::new, |to| format!(" {} {to}", theme.pick("→", "->"))), theme.text()),
    ]];
    head.push(vec![(format!("{dot}by {}", decision.who), theme.dim())]);
    if let Some(person) = &decision.agreed {
        head.push(vec![(format!("{dot}{person} agreed"), theme.dim())]);
    }
    head.push(vec![(format!("{dot}{age} ago"), theme.dim())]);
    rows.flow(head);
    rows.text(2, &decision.why, theme.text());
}

/// The signs of a drawing as this terminal can show them.
fn signs(theme: Theme, text: &str) -> String {
    if !theme.ascii {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let sign = match c {
            '│' => "|",
            '─' => "-",
            '┌' | '└' | '├' | '┼' | '┴' => "+",
            '▶' => ">",
            '▼' => "v",
            '→' => "->",
            '⇢' => "~>",
            '·' => "-",
            '×' => "x",
            '…' => "~",
            other => {
                out.push(other);
                continue;
            }
        };
        out.push_str(sign);
    }
    out
}
