//! What waits for a person, the most blocking first, with what to type.

use pipeline_lib::view::Attention;
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;

use super::agents::select;
use super::layout::{Layout, Room};
use super::paint::{Painter, columns};
use crate::dashboard::model::{Focus, Model};

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    if area.height == 0 {
        return;
    }
    let theme = painter.theme;
    let list = &model.screen.attention;
    let focused = model.focus == Focus::Attention;
    let Some((selected, item)) = model.attention() else {
        let fine = format!("{} nothing waits for you", theme.sign(Tone::Good));
        painter.rule(area, "Attention", &fine, "", focused);
        return;
    };
    // Where a row has no second line, what to type for the selected one is at the end of the title.
    let brief = layout.narrow || layout.room == Room::Compact;
    let tall = (brief || layout.room != Room::Stacked) && area.height > 2;
    let command = if tall { "" } else { item.command.as_str() };
    painter.rule(area, "Attention", &list.len().to_string(), command, focused);
    let height = if tall { 2 } else { 1 };
    let rows = usize::from((area.height - 1) / height);
    let kind = list.iter().map(|item| columns(item.kind)).max().unwrap_or(0).min(17);
    let mut y = area.y + 1;
    for (at, item) in list.iter().enumerate().skip(super::first_row(selected, rows)).take(rows) {
        let line = Rect { y, height: 1, ..area };
        if brief {
            short(painter, line, item);
        } else {
            draw_row(painter, line, item, kind);
        }
        if tall {
            let x = line.x + 4;
            let text = if brief { summary(item) } else { item.command.as_str() };
            painter.text(x, y + 1, line.right().saturating_sub(x), text, theme.dim());
        }
        if at == selected {
            select(painter, line, focused);
        }
        y += height;
    }
}

/// The summary without the name of the task, which has a column of its own.
fn summary(item: &Attention) -> &str {
    let about = item.task.as_ref().map(|task| task.as_str()).or(item.agent.as_ref().map(|agent| agent.as_str()));
    let rest = about.and_then(|name| item.summary.strip_prefix(name)).and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(&item.summary)
}

fn about(item: &Attention) -> String {
    let task = item.task.as_ref().map(ToString::to_string);
    task.or(item.agent.as_ref().map(ToString::to_string)).unwrap_or_default()
}

fn sign(painter: &mut Painter<'_>, line: Rect) -> u16 {
    let theme = painter.theme;
    painter.text(line.x + 2, line.y, 1, theme.sign(Tone::Attention), theme.tone(Tone::Attention));
    line.x + 4
}

fn draw_row(painter: &mut Painter<'_>, line: Rect, item: &Attention, kind: u16) {
    let theme = painter.theme;
    let mut x = sign(painter, line);
    painter.text(x, line.y, kind, &item.kind.replace('_', " "), theme.tone(Tone::Attention));
    x += kind + 2;
    painter.text(x, line.y, 14, &about(item), theme.strong());
    x += columns(&about(item)).clamp(8, 14) + 1;
    let age = painter.age(item.since);
    painter.right(x, line.y, 4, &age, theme.text());
    x += 6;
    let unblocks = match item.unblocks.len() {
        0 => String::new(),
        n => format!("holds {n}  "),
    };
    x += painter.text(x, line.y, line.right().saturating_sub(x), &unblocks, theme.dim());
    painter.text(x, line.y, line.right().saturating_sub(x), summary(item), theme.text());
}

fn short(painter: &mut Painter<'_>, line: Rect, item: &Attention) {
    let theme = painter.theme;
    let x = sign(painter, line);
    let age = painter.age(item.since);
    let room = line.right().saturating_sub(x + 6);
    let words = format!(" {}", item.kind.replace('_', " "));
    painter.parts(x, line.y, room, &[(&about(item), theme.strong()), (&words, theme.tone(Tone::Attention))]);
    painter.right(line.right() - 5, line.y, 4, &age, theme.text());
}
