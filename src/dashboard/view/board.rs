//! The board: a column for each stage, a card for each task. Columns without cards give their room to the others; where
//! not all fit, those around the selected card are shown and the rest is counted.

use pipeline_lib::view::screen::{Card, Column, Tone};
use ratatui::layout::Rect;

use super::layout::{Layout, Room};
use super::paint::{Painter, columns};
use crate::dashboard::model::{Focus, Model};

/// The columns of a card that shows a sign, a number and how a title begins.
const CARD_COLUMNS_MIN: u16 = 11;
/// From here on a card of one row has room for its whole name.
const NAME_COLUMNS_MIN: u16 = 24;
/// From here on a card of one row has room for an age.
const AGE_COLUMNS_MIN: u16 = 17;
/// The columns between two columns of the board.
const GAP: u16 = 2;
/// The columns of the arrow that counts what is beyond the edge.
const EDGE: u16 = 5;

/// A column with its cards and its place.
struct Slot<'a> {
    column: &'a Column,
    cards: Vec<&'a Card>,
    x: u16,
    width: u16,
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    if area.height < 3 {
        return;
    }
    let theme = painter.theme;
    let focused = model.focus == Focus::Board;
    let tasks: usize = model.screen.columns.iter().map(|column| column.total).sum();
    let selected = model.card();
    let beside = match (tasks, model.filter.as_str()) {
        (0, _) => String::new(),
        (n, "") => format!("{n}"),
        (n, filter) => format!("{n}{}filter: {filter}", theme.dot()),
    };
    painter.rule(area, "Board", &beside, "", focused);
    if tasks == 0 {
        let damaged = model.screen.attention.iter().any(|item| item.kind == "state_damaged");
        return empty(painter, area, damaged);
    }
    let detail = layout.room != Room::Wide && area.height > 5;
    let body = Rect { y: area.y + 1, height: area.height - 1 - u16::from(detail), ..area };
    let at = selected.map_or(0, |(column, _, _)| column);
    let (slots, before, beyond) = slots(model, body, at);
    for slot in &slots {
        heading(painter, model, body, slot, at);
        let row = selected.filter(|(column, _, _)| std::ptr::eq(&raw const model.screen.columns[*column], slot.column));
        cards(painter, body, slot, row.map(|(_, row, _)| (row, focused)));
    }
    edges(painter, body, before, beyond);
    if let Some((_, _, card)) = selected.filter(|_| detail) {
        details(painter, Rect { y: area.bottom() - 1, height: 1, ..area }, card);
    } else if selected.is_none() {
        let words = format!("No card matches `{}`. esc clears the filter.", model.filter);
        painter.text(area.x + 2, body.y + 1, area.width - 2, &words, theme.dim());
    }
}

fn empty(painter: &mut Painter<'_>, area: Rect, damaged: bool) {
    let theme = painter.theme;
    let width = area.width - 2;
    if damaged {
        painter.text(area.x + 2, area.y + 1, width, "No tasks are known before the damage.", theme.text());
        return;
    }
    painter.text(area.x + 2, area.y + 1, width, "No tasks yet.", theme.text());
    let (text, accent) = (theme.dim(), theme.accent());
    let parts = [("Press ", text), ("n", accent), (", or type: ", text), ("pipeline task add \"...\"", theme.text())];
    painter.parts(area.x + 2, area.y + 2, width, &parts);
}

/// Places the columns, around the one of the selected card where not all fit, with the cards left out on either side.
fn slots(model: &Model, body: Rect, selected: usize) -> (Vec<Slot<'_>>, usize, usize) {
    let all: Vec<Slot<'_>> = model
        .screen
        .columns
        .iter()
        .map(|column| {
            let cards = model.cards(column);
            let title = (columns(&column.title) + 2)
                .max(columns(&column.title) + columns(&counted(model, column, cards.len())));
            let width = if cards.is_empty() { title } else { title.max(CARD_COLUMNS_MIN) };
            Slot { column, cards, x: 0, width }
        })
        .collect();
    let room = body.width.saturating_sub(3);
    let needed =
        |from: usize, to: usize| all[from..to].iter().map(|slot| slot.width + GAP).sum::<u16>().saturating_sub(GAP);
    let (mut from, mut to) = (0, all.len());
    let mut room_left = room;
    while to - from > 1 && needed(from, to) > room_left {
        room_left = room.saturating_sub(EDGE * 2);
        // What is farther from the selected column leaves first.
        if selected.saturating_sub(from) > (to - 1).saturating_sub(selected) { from += 1 } else { to -= 1 }
    }
    let count = |slots: &[Slot<'_>]| slots.iter().map(|slot| slot.column.total).sum::<usize>();
    let (before, beyond) = (count(&all[..from]), count(&all[to..]));
    let spare = room_left.saturating_sub(needed(from, to));
    let mut shown: Vec<Slot<'_>> = all.into_iter().skip(from).take(to - from).collect();
    let filled = u16::try_from(shown.iter().filter(|slot| !slot.cards.is_empty()).count()).unwrap_or(0);
    let (extra, mut odd) = (spare.checked_div(filled).unwrap_or(0), spare.checked_rem(filled).unwrap_or(0));
    let mut x = body.x + 2 + if from > 0 { EDGE } else { 0 };
    for slot in &mut shown {
        if !slot.cards.is_empty() {
            slot.width += extra + u16::from(odd > 0);
            odd = odd.saturating_sub(1);
        }
        slot.x = x;
        x += slot.width + GAP;
    }
    (shown, before, beyond)
}

fn heading(painter: &mut Painter<'_>, model: &Model, body: Rect, slot: &Slot<'_>, selected: usize) {
    let theme = painter.theme;
    let here = model.screen.columns.get(selected).is_some_and(|column| std::ptr::eq(column, slot.column));
    let style = match (slot.column.total, here) {
        (0, _) => theme.dim(),
        (_, true) => theme.strong(),
        (_, false) => theme.text(),
    };
    let count = counted(model, slot.column, slot.cards.len());
    painter.parts(slot.x, body.y, slot.width, &[(&slot.column.title, style), (&count, theme.dim())]);
}

/// How many tasks a column has, and how many of them the filter leaves.
fn counted(model: &Model, column: &Column, shown: usize) -> String {
    match column.total {
        0 => String::new(),
        n if n > shown && !model.filter.is_empty() => format!(" {shown} of {n}"),
        n => format!(" {n}"),
    }
}

fn edges(painter: &mut Painter<'_>, body: Rect, before: usize, beyond: usize) {
    let theme = painter.theme;
    if before > 0 {
        let words = format!("{}{before}", theme.pick("‹", "<"));
        painter.text(body.x + 2, body.y, EDGE - 1, &words, theme.accent());
    }
    if beyond > 0 {
        let words = format!("{beyond}{}", theme.pick("›", ">"));
        painter.right(body.right() - EDGE, body.y, EDGE - 1, &words, theme.accent());
    }
}

/// How many rows a card takes: one where rows are scarce; with space around it where they are not.
fn card_rows(body: Rect, slot: &Slot<'_>) -> u16 {
    match body.height {
        0..9 => 1,
        9..14 => 2,
        rows if usize::from(rows) / 4 >= slot.cards.len() => 4,
        _ => 3,
    }
}

fn cards(painter: &mut Painter<'_>, body: Rect, slot: &Slot<'_>, selected: Option<(usize, bool)>) {
    let rows = card_rows(body, slot);
    let area = Rect { x: slot.x, y: body.y + 1, width: slot.width, height: body.height - 1 };
    // A blank row after the last card is not needed.
    let mut fit = usize::from((area.height + u16::from(rows == 4)) / rows);
    let total = if slot.cards.len() < slot.column.cards.len() { slot.cards.len() } else { slot.column.total };
    if total > fit && fit > 1 && rows == 1 {
        fit -= 1;
    }
    let first = super::first_row(selected.map_or(0, |(row, _)| row), fit);
    let mut y = area.y;
    for (at, card) in slot.cards.iter().enumerate().skip(first).take(fit) {
        let place = Rect { y, height: rows.min(3), ..area };
        draw_card(painter, place, card);
        if let Some((_, focused)) = selected.filter(|(row, _)| *row == at) {
            let mark = Rect { x: place.x.saturating_sub(1), width: place.width + 1, height: 1, ..place };
            if focused {
                painter.overlay(mark, painter.theme.selected());
            } else {
                painter.text(mark.x, y, 1, painter.theme.pick("›", ">"), painter.theme.accent());
            }
        }
        y += rows;
    }
    let hidden = total.saturating_sub(slot.cards.len().min(first + fit));
    if hidden > 0 && y < area.bottom() {
        painter.text(area.x + 2, y, area.width.saturating_sub(2), &format!("{hidden} more"), painter.theme.dim());
    }
}

fn draw_card(painter: &mut Painter<'_>, place: Rect, card: &Card) {
    let theme = painter.theme;
    let (x, y, width) = (place.x, place.y, place.width);
    let style = if matches!(card.tone, Tone::Good | Tone::Gone) { theme.dim() } else { theme.text() };
    painter.text(x, y, 1, theme.sign(card.tone), theme.tone(card.tone));
    let single = place.height == 1;
    let mut room = width.saturating_sub(2);
    if !single || width >= AGE_COLUMNS_MIN {
        let age = painter.age(card.since);
        room = room.saturating_sub(painter.right(x, y, width, &age, theme.dim()) + 1);
    }
    let name = if single && width < NAME_COLUMNS_MIN { number(card.id.as_str()) } else { card.id.as_str() };
    let used = painter.text(x + 2, y, room, name, style) + 1;
    if single {
        painter.text(x + 2 + used, y, room.saturating_sub(used), &card.title, style);
        return;
    }
    let inner = width.saturating_sub(2);
    painter.text(x + 2, y + 1, inner, &card.title, style);
    if place.height > 2 {
        painter.text(x + 2, y + 2, inner, &facts(card, theme.dot()), theme.dim());
    }
}

/// `014` of `TASK-014`, and the whole of a name that is no number.
pub(in crate::dashboard) fn number(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((_, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits,
        _ => name,
    }
}

/// Who works on it, which attempt it is, and why it waits.
fn facts(card: &Card, dot: &str) -> String {
    let mut facts: Vec<String> = Vec::new();
    facts.extend(card.agent.as_ref().map(ToString::to_string));
    if card.attempt > 1 {
        facts.push(format!("try {}", card.attempt));
    }
    let ended = matches!(card.tone, Tone::Good | Tone::Gone);
    if card.priority != pipeline_lib::task::PRIORITY_DEFAULT && !ended {
        facts.push(format!("priority {}", card.priority));
    }
    facts.extend(card.collides.clone());
    facts.extend(card.reason.clone());
    facts.join(dot)
}

/// The line below the board: what the selected card has no room for.
fn details(painter: &mut Painter<'_>, line: Rect, card: &Card) {
    let theme = painter.theme;
    let dot = theme.dot();
    let mut facts = vec![card.status.clone(), painter.age(card.since), facts(card, dot)];
    facts.retain(|fact| !fact.is_empty());
    let facts = facts.join(dot);
    let room = line.width.saturating_sub(3);
    let id = format!("{} ", card.id);
    // The facts are short and say what is going on, so the title gives way to them, down to half of the line.
    let least = (room / 2).saturating_sub(columns(&id));
    let title = room.saturating_sub(columns(&id) + columns(&facts) + columns(dot)).max(least);
    let title = super::paint::fit(&card.title, title, theme.ellipsis());
    let parts = [
        (id.as_str(), theme.strong()),
        (title.as_str(), theme.text()),
        (dot, theme.dim()),
        (facts.as_str(), theme.tone(card.tone)),
    ];
    painter.parts(line.x + 2, line.y, room, &parts);
}
