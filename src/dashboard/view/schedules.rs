//! The page `schedules`: what starts by itself and what became of the last time, the chains under way with each of their
//! workflows, and how full the categories are.

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::ids::TaskId;
use pipeline_lib::text::counted;
use pipeline_lib::view::screen::Tone;
use pipeline_lib::view::standing::{CategoryDoc, ChainPart, ScheduleDoc, Standing};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::board::number;
use super::paint::{Painter, columns, fit, wrap};
use super::say;
use crate::dashboard::model::Model;
use crate::dashboard::pages::schedules::{Line, chosen, lines, shown};

/// From here on a row has room for all there is to say.
const WIDE_COLUMNS: u16 = 72;
/// The longest name of a schedule, workflow or category, by whether there is room.
const NAME_COLUMNS: [u16; 2] = [14, 30];
/// The longest time of a schedule as it was written.
const WHEN_COLUMNS: u16 = 22;
/// `in 59m`, or `never`.
const NEXT_COLUMNS: u16 = 7;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let body = Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(3), height: area.height - 1 };
    let Some(standing) = shown(model) else {
        painter.rule(area, "Schedules", "", "", true);
        return say(painter, body, &[format!("Gathering{}", painter.theme.ellipsis())]);
    };
    let lines = lines(standing);
    let at = chosen(model, &lines);
    let rows = rows(&lines, body.width);
    let total: usize = rows.iter().sum();
    let room = usize::from(body.height);
    let before = |line: usize| rows[..line].iter().sum::<usize>();
    // What belongs to the first rows stays in sight above them.
    let top = at.map_or(0, |at| super::first_row(before(at) + rows[at] - 1 + usize::from(total > room), room));
    let top = if at == lines.iter().position(|line| matches!(line, Line::Schedule(_) | Line::None(_))) {
        0
    } else {
        top.min(total.saturating_sub(room))
    };
    let place =
        if total > room { format!("{}-{} of {total}", top + 1, (top + room).min(total)) } else { String::new() };
    painter.rule(area, "Schedules", &beside(standing, painter.theme.dot()), &place, true);
    let widths = Widths::of(standing, body.width);
    for (number, line) in lines.iter().enumerate() {
        let row = before(number);
        if let Line::None(words) = line {
            // It may begin above what is in sight.
            for (at, text) in wrap(words, body.width).iter().enumerate().skip(top.saturating_sub(row)) {
                let y = body.y.saturating_add(u16::try_from((row + at).saturating_sub(top)).unwrap_or(u16::MAX));
                if y < body.bottom() {
                    painter.text(body.x, y, body.width, text, painter.theme.dim());
                }
            }
        }
        if row < top || row - top >= room {
            continue;
        }
        let spot = Rect { y: body.y + u16::try_from(row - top).unwrap_or(0), height: 1, ..body };
        draw_line(painter, spot, standing, *line, &widths);
        if Some(number) == at {
            painter.overlay(Rect { x: spot.x - 1, width: spot.width + 1, ..spot }, painter.theme.selected());
        }
    }
}

/// How many rows each line takes.
fn rows(lines: &[Line], width: u16) -> Vec<usize> {
    let rows = |line: &Line| match line {
        Line::None(words) => wrap(words, width).len(),
        _ => 1,
    };
    lines.iter().map(rows).collect()
}

fn beside(standing: &Standing, dot: &str) -> String {
    let counts = [
        (standing.schedules.len(), "schedule"),
        (standing.chains.len(), "chain under way"),
        (standing.categories.len(), "limit"),
    ];
    let words = counts.into_iter().filter(|(count, _)| *count > 0);
    let words = words.map(|(count, noun)| match noun.split_once(' ') {
        Some((noun, rest)) => format!("{} {rest}", counted(count, noun)),
        None => counted(count, noun),
    });
    words.collect::<Vec<_>>().join(dot)
}

/// The columns of what stands below each other.
struct Widths {
    wide: bool,
    /// Of a schedule and of a category.
    name: u16,
    /// Of a workflow of a chain.
    part: u16,
    when: u16,
}

impl Widths {
    fn of(standing: &Standing, width: u16) -> Self {
        let wide = width >= WIDE_COLUMNS;
        let schedules = standing.schedules.iter().map(|one| columns(&one.name));
        let parts = standing.chains.iter().flat_map(|chain| &chain.parts).map(|part| columns(part.workflow.as_str()));
        let categories = standing.categories.iter().map(|one| columns(&one.category));
        let name = schedules.chain(categories).max().unwrap_or(0);
        let part = parts.max().unwrap_or(0);
        let most = NAME_COLUMNS[usize::from(wide)];
        let when = standing.schedules.iter().map(|one| columns(&one.schedule)).max().unwrap_or(0);
        Self { wide, name: name.clamp(8, most), part: part.clamp(8, most), when: when.clamp(4, WHEN_COLUMNS) }
    }
}

/// Writes parts one after the other, each in so many columns.
fn cells(painter: &mut Painter<'_>, line: Rect, parts: &[(&str, u16, Style)]) {
    let mut x = line.x;
    let end = line.right();
    for (text, width, style) in parts {
        let room = (*width).min(end.saturating_sub(x));
        let text = fit(text, room, painter.theme.ellipsis());
        painter.text(x, line.y, room, &text, *style);
        x += width + 2;
    }
}

fn draw_line(painter: &mut Painter<'_>, line: Rect, standing: &Standing, what: Line, widths: &Widths) {
    let theme = painter.theme;
    let (strong, dim) = (theme.strong(), theme.dim());
    let after_sign = Rect { x: line.x + 2, width: line.width.saturating_sub(2), ..line };
    match what {
        // What to type was written already, as it may take several rows.
        Line::Gap | Line::None(_) => {}
        Line::Schedules if standing.schedules.is_empty() => {
            painter.text(line.x, line.y, line.width, "Schedules", strong);
        }
        Line::Schedules if !widths.wide => {
            cells(
                painter,
                line,
                &[("Schedules", widths.name + 2, strong), ("next", NEXT_COLUMNS, dim), ("last", 20, dim)],
            );
        }
        Line::Schedules => {
            let head = [("Schedules", widths.name + 2, strong), ("when (UTC)", widths.when, dim)];
            cells(painter, line, &[head[0], head[1], ("next", NEXT_COLUMNS, dim), ("last", u16::MAX / 2, dim)]);
        }
        Line::Schedule(at) => schedule(painter, line, after_sign, &standing.schedules[at], widths),
        Line::Problem(at) => {
            let one = &standing.schedules[at];
            let words = format!("last left out: {}", one.problem);
            let tone = theme.tone(Tone::Attention);
            painter.text(line.x + 2, line.y, line.width.saturating_sub(2), &words, tone);
        }
        Line::Chains => {
            painter.text(line.x, line.y, line.width, "Chains under way", strong);
        }
        Line::Chain(at) => {
            let chain = &standing.chains[at];
            let tone = chain.tone.unwrap_or(Tone::Waiting);
            let age = painter.age(chain.since);
            let dot = theme.dot();
            let title = if widths.wide { format!("{dot}{}", chain.title) } else { String::new() };
            let parts = [
                (theme.sign(tone), theme.tone(tone)),
                (" ", theme.text()),
                (chain.chain.as_str(), theme.strong()),
                (" ", theme.text()),
                (name(&chain.task, widths), theme.text()),
                (dot, dim),
                (chain.status.as_str(), theme.tone(tone)),
                (" for ", dim),
                (age.as_str(), dim),
                (title.as_str(), dim),
            ];
            painter.parts(line.x, line.y, line.width, &parts);
        }
        Line::Part(at, place) => {
            let parts = &standing.chains[at].parts;
            part(painter, line, (&parts[place], place + 1 == parts.len()), widths);
        }
        Line::Categories if standing.categories.is_empty() || !widths.wide => {
            painter.text(line.x, line.y, line.width, "Categories", strong);
        }
        Line::Categories => {
            cells(painter, line, &[("Categories", widths.name + 2, strong), ("in use", 14, dim), ("waiting", 40, dim)]);
        }
        Line::Category(at) => category(painter, line, after_sign, &standing.categories[at], widths),
    }
}

fn name<'a>(task: &'a TaskId, widths: &Widths) -> &'a str {
    if widths.wide { task.as_str() } else { number(task.as_str()) }
}

fn schedule(painter: &mut Painter<'_>, line: Rect, rest: Rect, one: &ScheduleDoc, widths: &Widths) {
    let theme = painter.theme;
    let tone = one.tone.unwrap_or(Tone::Waiting);
    painter.text(line.x, line.y, 1, theme.sign(tone), theme.tone(tone));
    let next = one.next.map_or_else(|| "never".to_owned(), |next| until(painter, next));
    let last = match (&one.last, &one.task) {
        (Some(at), Some(task)) => {
            let age = painter.age(*at);
            let ago = if widths.wide { " ago" } else { "" };
            format!("{age}{ago} {} {}", name(task, widths), one.status)
        }
        _ => "not yet".to_owned(),
    };
    let style = if one.tone.is_some() { theme.tone(tone) } else { theme.dim() };
    let mut parts = vec![(one.name.as_str(), widths.name, theme.text())];
    if widths.wide {
        parts.push((one.schedule.as_str(), widths.when, theme.dim()));
    }
    parts.push((next.as_str(), NEXT_COLUMNS, theme.text()));
    let missed = match one.skipped {
        0 => String::new(),
        times => format!("{}left out {}", theme.dot(), counted(usize::try_from(times).unwrap_or(usize::MAX), "time")),
    };
    let last = if widths.wide { format!("{last}{missed}") } else { last };
    parts.push((last.as_str(), rest.width, style));
    cells(painter, rest, &parts);
}

fn part(painter: &mut Painter<'_>, line: Rect, (part, last): (&ChainPart, bool), widths: &Widths) {
    let theme = painter.theme;
    let tone = part.tone.unwrap_or(Tone::Waiting);
    let branch = if last { theme.pick("└ ", "` ") } else { theme.pick("├ ", "+ ") };
    let indent = Rect { x: line.x + 6, width: line.width.saturating_sub(6), ..line };
    painter.text(line.x + 2, line.y, 2, branch, theme.dim());
    painter.text(line.x + 4, line.y, 1, theme.sign(tone), theme.tone(tone));
    let task = match &part.task {
        Some(task) if widths.wide => format!("{task} {}", part.status),
        _ => String::new(),
    };
    let quiet = matches!(tone, Tone::Waiting | Tone::Gone);
    let style = if quiet { theme.dim() } else { theme.text() };
    let parts = [
        (part.workflow.as_str(), widths.part, style),
        (part.state.as_str(), 18, theme.tone(tone)),
        (task.as_str(), indent.width, theme.dim()),
    ];
    cells(painter, indent, &parts);
}

fn category(painter: &mut Painter<'_>, line: Rect, rest: Rect, one: &CategoryDoc, widths: &Widths) {
    let theme = painter.theme;
    let limit = one.max.as_u64();
    let full = limit.is_some_and(|max| one.running.len() as u64 >= max);
    let tone = match (one.running.is_empty(), one.waiting > 0) {
        (_, true) => Tone::Attention,
        (true, false) => Tone::Waiting,
        (false, false) => Tone::Active,
    };
    // That somebody waits for a full category is as it should be; no person is needed.
    let tone = if tone == Tone::Attention { Tone::Ready } else { tone };
    painter.text(line.x, line.y, 1, theme.sign(tone), theme.tone(tone));
    let max = limit.map_or_else(|| "no limit".to_owned(), |max| max.to_string());
    let used = match (limit, one.exclusive) {
        (None, true) => format!("{}, alone", one.running.len()),
        (None, false) => format!("{}, {max}", one.running.len()),
        (Some(_), true) => format!("{} of {max}, alone", one.running.len()),
        (Some(_), false) => format!("{} of {max}", one.running.len()),
    };
    let names = |tasks: &[TaskId]| tasks.iter().map(|task| name(task, widths)).collect::<Vec<_>>().join(" ");
    let waiting = match one.waiting {
        0 if one.running.is_empty() => "nothing waits".to_owned(),
        0 => format!("in use by {}", names(&one.running)),
        n if widths.wide => format!("{n} wait: {}{}in use by {}", names(&one.queue), theme.dot(), names(&one.running)),
        n => format!("{n} wait"),
    };
    let style = if full { theme.strong() } else { theme.text() };
    let parts = [
        (one.category.as_str(), widths.name, theme.text()),
        (used.as_str(), 14, style),
        (waiting.as_str(), rest.width, theme.dim()),
    ];
    cells(painter, rest, &parts);
}

/// How long it is until something: `in 5m`.
fn until(painter: &mut Painter<'_>, at: Timestamp) -> String {
    let left = at.duration_since(painter.now).as_secs();
    if left <= 0 {
        return "due".to_owned();
    }
    let (unit, letter) = match left {
        ..60 => (1, "s"),
        60..3_600 => (60, "m"),
        3_600..86_400 => (3_600, "h"),
        _ => (86_400, "d"),
    };
    // It changes when less than so many whole units are left.
    painter.changes_by(painter.now + SignedDuration::from_secs(left % unit + 1));
    format!("in {}{letter}", left / unit)
}
