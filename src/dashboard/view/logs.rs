//! The page `logs`: the end of what the supervisor wrote, or where one looks in it.

use pipeline_lib::view::detail::logs::{Level, Line, Logs};
use ratatui::layout::Rect;

use super::measure::grouped;
use super::paint::{Painter, columns};
use super::say;
use crate::dashboard::model::Model;
use crate::dashboard::pages::logs::{LEVELS, chosen, lines, shown, tone};
use crate::dashboard::theme::Theme;

/// From so many columns on a line says which part of the program it is of.
const TARGET_COLUMNS_MIN: u16 = 100;
/// The columns of the name of a part of the program.
const TARGET_COLUMNS: u16 = 26;
/// From so many columns on a line says its level in a word.
const LEVEL_COLUMNS_MIN: u16 = 60;

/// What is said of an empty log.
const NOTHING: [&str; 2] = [
    "Nothing has been logged.",
    "To log how things are done as well: level = \"debug\" in [logs] of config.toml, or --log-level debug.",
];

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let body = Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(3), height: area.height - 1 };
    let Some(logs) = shown(model) else {
        painter.rule(area, "Logs", "", "", true);
        return say(painter, body, &[format!("Gathering{}", painter.theme.ellipsis())]);
    };
    let seen = lines(model, logs);
    let at = chosen(model, &seen);
    let theme = painter.theme;
    let end = match at {
        None => "following".to_owned(),
        Some(at) => format!("{} of {}{}G follows", at + 1, seen.len(), theme.dot()),
    };
    painter.rule(area, "Logs", &beside(model, logs, theme), &end, true);
    levels(painter, model, Rect { height: 1, ..body }, logs);
    let body = Rect { y: body.y + 1, height: body.height.saturating_sub(1), ..body };
    if let Some(problem) = &logs.problem {
        return say(painter, body, &["The log cannot be read.".to_owned(), problem.clone()]);
    }
    if logs.lines.is_empty() {
        return say(painter, body, &NOTHING);
    }
    if seen.is_empty() {
        return say(painter, body, &["No line passes.", "l shows more levels; / and esc clear the filter."]);
    }
    let rows = usize::from(body.height);
    let first = match at {
        None => seen.len().saturating_sub(rows),
        // In the middle, so that there is something on both sides.
        Some(at) => at.saturating_sub(rows / 2).min(seen.len().saturating_sub(rows)),
    };
    for (y, (nth, line)) in (body.y..body.bottom()).zip(seen.iter().enumerate().skip(first)) {
        let spot = Rect { y, height: 1, ..body };
        draw_line(painter, spot, line);
        if at == Some(nth) {
            painter.overlay(Rect { x: spot.x - 1, width: spot.width + 1, ..spot }, theme.selected());
        }
    }
}

fn beside(model: &Model, logs: &Logs, theme: Theme) -> String {
    let mut words = Vec::new();
    if !logs.file.is_empty() {
        words.push(format!("{} in UTC", logs.file));
    }
    if logs.cut {
        words.push("the end of it".to_owned());
    }
    if !model.logs.filter.is_empty() {
        words.push(format!("filter: {}", model.logs.filter));
    }
    words.join(theme.dot())
}

/// The levels with how many lines there are of each; those that are shown, and those that are not.
fn levels(painter: &mut Painter<'_>, model: &Model, line: Rect, logs: &Logs) {
    let theme = painter.theme;
    let mut x = line.x;
    for level in LEVELS {
        let of = |other: Level| other == level || (level == Level::Debug && other > level);
        let count = logs.lines.iter().filter(|line| of(line.level)).count();
        let here = level == model.logs.level;
        let (open, close) = if here { ("[", "]") } else { (" ", " ") };
        let (word, count) = (format!("{open}{} ", level.word()), format!("{}{close} ", grouped(count as u64)));
        let style = match level <= model.logs.level {
            _ if here => theme.accent(),
            true => theme.text(),
            false => theme.dim(),
        };
        if x + columns(&word) + columns(&count) > line.right() {
            break;
        }
        let counted = if here { theme.accent() } else { theme.dim() };
        x += painter.parts(x, line.y, line.right() - x, &[(&word, style), (&count, counted)]);
    }
    let hint = "h l less, more";
    if x + columns(hint) + 3 < line.right() {
        painter.right(line.x, line.y, line.width, hint, theme.dim());
    }
}

fn draw_line(painter: &mut Painter<'_>, spot: Rect, line: &Line) {
    let theme = painter.theme;
    let tone = tone(line.level);
    let mut x = spot.x;
    let further = line.time.is_empty();
    painter.text(x, spot.y, 8, &line.time, theme.dim());
    x += 9;
    let quiet = line.level == Level::Info;
    if !further {
        let sign = match line.level {
            Level::Info => " ",
            Level::Debug | Level::Trace => theme.pick("·", "."),
            Level::Error | Level::Warn => theme.sign(tone),
        };
        painter.text(x, spot.y, 1, sign, theme.tone(tone));
    }
    x += 2;
    if spot.width >= LEVEL_COLUMNS_MIN {
        if !further {
            painter.text(x, spot.y, 5, line.level.word(), if quiet { theme.text() } else { theme.tone(tone) });
        }
        x += 6;
    }
    if spot.width >= TARGET_COLUMNS_MIN {
        let target = line.target.strip_prefix("pipeline_").unwrap_or(&line.target);
        painter.text(x, spot.y, TARGET_COLUMNS - 1, target, theme.dim());
        x += TARGET_COLUMNS;
    }
    let style = if line.level > Level::Info { theme.dim() } else { theme.text() };
    painter.text(x, spot.y, spot.right().saturating_sub(x), &line.text, style);
}
