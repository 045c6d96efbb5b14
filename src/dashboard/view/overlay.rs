//! What lies over the panels: menus, questions, input lines and texts, all in the same kind of box.

use pipeline_lib::decide::Start;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::paint::{Painter, columns, wrap};
use crate::dashboard::model::{Confirm, Input, Menu, Model, Note, Overlay, Page, Purpose};
use crate::dashboard::overlay::{MODES, ROLLOUTS};
use crate::dashboard::theme::status_tone;

/// The columns of a box, where there are that many.
const COLUMNS: u16 = 68;
/// Below so many rows of the screen a menu is brief.
const SMALL_ROWS: u16 = 20;
/// The most rows of agents that a menu names.
const BUSY_ROWS_MAX: usize = 4;
/// The most starts of a plan that a menu names.
const PLAN_STARTS_MAX: usize = 4;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, overlay: &Overlay) {
    match overlay {
        // Drawn from the key table, in `help.rs`.
        Overlay::Help(_) => {}
        Overlay::Input(input) => draw_input(painter, model, area, input),
        Overlay::Palette(palette) => super::palette::draw(painter, model, area, palette),
        Overlay::Confirm(confirm) => draw_confirm(painter, area, confirm),
        Overlay::ModeMenu(menu) => draw_menu(painter, model, area, *menu, true),
        Overlay::RolloutMenu(menu) => draw_menu(painter, model, area, *menu, false),
        Overlay::AgentMenu(task, row) => super::hand_over::draw(painter, model, area, task, *row),
        Overlay::Message(note) => draw_note(painter, area, note),
    }
}

/// Draws an empty box in the middle and says where its inside is.
pub(super) fn open(painter: &mut Painter<'_>, area: Rect, width: u16, rows: usize, title: &str) -> Rect {
    let theme = painter.theme;
    let width = width.min(area.width);
    // The first and the last line of the screen stay: the mode is always in sight, and so are the keys.
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height - 2);
    let x = area.x + (area.width - width) / 2;
    let y = area.y + 1 + (area.height - 2 - height) / 2;
    let outer = Rect { x, y, width, height };
    // A column of nothing at either side keeps the box apart from what is cut off beside it.
    painter.clear(Rect { x: x.saturating_sub(1), y, width: width + 2, height });
    painter.frame(outer, theme.rule(true));
    painter.text(x + 2, y, width - 4, &format!(" {title} "), theme.accent());
    Rect { x: x + 3, y: y + 1, width: width - 6, height: height - 2 }
}

pub(super) fn box_columns(area: Rect) -> u16 {
    if area.width < COLUMNS + 4 { area.width } else { COLUMNS }
}

fn draw_input(painter: &mut Painter<'_>, model: &Model, area: Rect, input: &Input) {
    let theme = painter.theme;
    let (title, below) = match &input.purpose {
        Purpose::NewTask => (
            "New task".to_owned(),
            format!("priority {}   up and down change it; 1 is the most urgent", input.priority),
        ),
        Purpose::Reject(task) => {
            (format!("Reject {task}"), "Tell the agent what to do differently; the stage runs again.".to_owned())
        }
        Purpose::Block(task) => (
            format!("Block {task}"),
            "Say why. A live run is stopped, its work is kept; R takes the task up again.".to_owned(),
        ),
        Purpose::Decide(task) => {
            (format!("Decide for {task}"), "Type the word of the way to go, such as success.".to_owned())
        }
        Purpose::Filter if model.page == Page::Logs => {
            ("Filter the log".to_owned(), "Lines that hold this text, in any case.".to_owned())
        }
        Purpose::Search => ("Search".to_owned(), "n and N go on; esc ends the search.".to_owned()),
        Purpose::Filter => ("Filter the board".to_owned(), "Title, name, status or agent.".to_owned()),
        Purpose::Command => ("Command".to_owned(), String::new()),
    };
    let inner = open(painter, area, box_columns(area), 3, &title);
    draw_line(painter, Rect { height: 1, ..inner }, theme.pick("›", ">"), input);
    painter.text(inner.x, inner.y + 2, inner.width, &below, theme.dim());
}

/// A line that is being typed, behind its sign, with its cursor.
pub(super) fn draw_line(painter: &mut Painter<'_>, area: Rect, sign: &str, input: &Input) {
    let theme = painter.theme;
    let prompt = painter.text(area.x, area.y, 1, sign, theme.accent()) + 1;
    let (x, room) = (area.x + prompt, area.width.saturating_sub(prompt));
    // The end of what is before the cursor matters most, so its beginning leaves first.
    let mut before = input.before.as_str();
    while columns(before) + 1 > room {
        let mut rest = before.chars();
        rest.next();
        before = rest.as_str();
    }
    let mut at = x + painter.text(x, area.y, room, before, theme.text());
    let under: String = input.after.chars().next().map_or(" ".to_owned(), String::from);
    at += painter.text(at, area.y, x + room - at, &under, theme.selected());
    let rest: String = input.after.chars().skip(1).collect();
    painter.text(at, area.y, x + room - at, &rest, theme.text());
}

fn draw_confirm(painter: &mut Painter<'_>, area: Rect, confirm: &Confirm) {
    let theme = painter.theme;
    let width = box_columns(area);
    let lines: Vec<String> = confirm.lines.iter().flat_map(|line| wrap(line, width.saturating_sub(6))).collect();
    let rows = lines.len() + 4 + usize::from(confirm.other.is_some());
    let inner = open(painter, area, width, rows, "Are you sure?");
    painter.text(inner.x, inner.y, inner.width, &confirm.question, theme.strong());
    let last = inner.bottom().saturating_sub(1);
    let end = last.saturating_sub(1 + u16::from(confirm.other.is_some()));
    for (y, line) in (inner.y + 2..end).zip(&lines) {
        painter.text(inner.x, y, inner.width, line, theme.text());
    }
    let accent = theme.accent();
    let (gap, yes) = ("   ", format!(" {}", confirm.yes));
    let parts = [
        ("enter", accent),
        (yes.as_str(), theme.text()),
        (gap, theme.text()),
        ("esc", accent),
        (" leave it", theme.text()),
    ];
    painter.parts(inner.x, last, inner.width, &parts);
    if let Some(other) = &confirm.other {
        let key = other.key.to_string();
        let parts = [(key.as_str(), accent), (" ", theme.text()), (other.words, theme.text())];
        painter.parts(inner.x, last.saturating_sub(1), inner.width, &parts);
    }
}

fn draw_note(painter: &mut Painter<'_>, area: Rect, note: &Note) {
    let theme = painter.theme;
    let width = if area.width > 130 { 110 } else { box_columns(area) };
    let lines: Vec<String> = note.lines.iter().flat_map(|line| wrap(line, width.saturating_sub(6))).collect();
    let hint: Vec<String> = note.hint.iter().flat_map(|hint| wrap(hint, width.saturating_sub(6))).collect();
    let below = if hint.is_empty() { 0 } else { hint.len() + 1 };
    let inner =
        open(painter, area, width, lines.len().max(1) + below, &format!("{} {}", theme.sign(note.tone), note.title));
    let room = usize::from(inner.height).saturating_sub(below).max(1);
    let first = note.scroll.min(lines.len().saturating_sub(room));
    for (y, line) in (inner.y..).zip(lines.iter().skip(first).take(room)) {
        painter.text(inner.x, y, inner.width, line, theme.text());
    }
    if lines.len() > room {
        let more = format!(" {}-{} of {} ", first + 1, (first + room).min(lines.len()), lines.len());
        painter.right(inner.x, inner.bottom(), inner.width, &more, theme.dim());
    }
    let hint_y = inner.bottom().saturating_sub(u16::try_from(hint.len()).unwrap_or(0));
    for (y, line) in (hint_y..inner.bottom()).zip(&hint) {
        painter.text(inner.x, y, inner.width, line, theme.tone(Tone::Attention));
    }
}

fn draw_menu(painter: &mut Painter<'_>, model: &Model, area: Rect, menu: Menu, modes: bool) {
    let theme = painter.theme;
    let entries: &[(&str, &str)] = if modes { &MODES } else { &ROLLOUTS };
    let small = area.height < SMALL_ROWS;
    let mut below = match (modes, small) {
        (true, true) => busy_brief(painter, model, menu),
        (true, false) => busy_lines(painter, model, menu),
        (false, _) => rollout_lines(painter, model),
    };
    below.extend(plan_lines(painter, model, entries[menu.row].0));
    let title = if modes { "Mode" } else { "Rollout" };
    // On a small screen the words stand in two columns and say nothing more, so that what is below them is in sight.
    let each = if small { entries.len().div_ceil(2) } else { entries.len() };
    let rows = each + 1 + below.len();
    let inner = open(painter, area, box_columns(area), rows, title);
    // There the space goes first, and then the last lines.
    let gap = u16::from(usize::from(inner.height) >= rows);
    let mode = model.screen.mode;
    let present = if modes { mode.orchestration.word() } else { mode.rollout.word() };
    let column = if small { inner.width / 2 } else { inner.width };
    for (at, (word, about)) in entries.iter().enumerate() {
        let y = inner.y + u16::try_from(at % each).unwrap_or(0);
        let inner = Rect { x: inner.x + if at < each { 0 } else { column }, width: column, ..inner };
        let is = *word == present;
        let sign = if is { theme.sign(Tone::Good) } else { " " };
        painter.text(inner.x, y, 1, sign, theme.tone(Tone::Good));
        painter.text(inner.x + 2, y, 1, &(at + 1).to_string(), theme.dim());
        painter.text(inner.x + 4, y, 12, word, if is { theme.strong() } else { theme.text() });
        if !small {
            painter.text(inner.x + 16, y, inner.width.saturating_sub(16), about, theme.dim());
        }
        if at == menu.row && small {
            painter.overlay(Rect { y, height: 1, ..inner }, theme.selected());
        } else if at == menu.row {
            painter.overlay(Rect { x: inner.x - 1, y, width: inner.width + 2, height: 1 }, theme.selected());
        }
    }
    let from = inner.y + u16::try_from(each).unwrap_or(0) + gap;
    for (y, (text, style)) in (from..inner.bottom()).zip(&below) {
        painter.text(inner.x, y, inner.width, text, *style);
    }
}

/// Who is busy, and what becomes of them.
fn busy_lines(painter: &mut Painter<'_>, model: &Model, menu: Menu) -> Vec<(String, Style)> {
    let theme = painter.theme;
    let busy: Vec<_> = model.busy().collect();
    if busy.is_empty() {
        return vec![("Nobody is busy: the switch is at once.".to_owned(), theme.dim())];
    }
    let mark = |on| if on { theme.sign(Tone::Active) } else { theme.sign(Tone::Waiting) };
    let style = |on| if on { theme.strong() } else { theme.dim() };
    let mut lines = vec![
        (format!("{} d  drain: finish what runs, then switch", mark(!menu.force)), style(!menu.force)),
        (format!("{} f  force: stop what runs; its work is kept", mark(menu.force)), style(menu.force)),
    ];
    for row in busy.iter().take(BUSY_ROWS_MAX) {
        let tone = status_tone(row.status);
        let task = row.task.as_ref().map(ToString::to_string).unwrap_or_default();
        let age = painter.age(row.since);
        let text = format!("{} {} {} for {age}, {task}", theme.sign(tone), row.name, row.status.word());
        lines.push((text, theme.tone(tone)));
    }
    if let Some(more) = busy.len().checked_sub(BUSY_ROWS_MAX).filter(|more| *more > 0) {
        lines.push((format!("  and {more} more"), theme.dim()));
    }
    lines
}

/// The same in few rows.
fn busy_brief(painter: &Painter<'_>, model: &Model, menu: Menu) -> Vec<(String, Style)> {
    let theme = painter.theme;
    let names: Vec<&str> = model.busy().map(|row| row.name.as_str()).collect();
    if names.is_empty() {
        return vec![("Nobody is busy.".to_owned(), theme.dim())];
    }
    let mark = |on| if on { theme.sign(Tone::Active) } else { theme.sign(Tone::Waiting) };
    let ways = format!("{} d drain   {} f force", mark(!menu.force), mark(menu.force));
    let busy = format!("{} busy: {}", names.len(), names.join(", "));
    vec![(ways, theme.strong()), (busy, theme.text())]
}

/// What the highlighted mode would start at once, as the scheduler itself says.
fn plan_lines(painter: &Painter<'_>, model: &Model, word: &str) -> Vec<(String, Style)> {
    let theme = painter.theme;
    let Some(mode) = model.screen.mode.with_word(word) else { return Vec::new() };
    let starts = match &model.screen.detail {
        Detail::Plan(planned, starts) if *planned == mode => starts,
        // The answer is on its way; an empty line keeps its place.
        _ => return vec![(String::new(), theme.dim())],
    };
    if starts.is_empty() {
        return vec![(format!("As {word} it would start nothing now."), theme.text())];
    }
    let mut lines = vec![(format!("As {word} it would start now:"), theme.text())];
    lines.extend(starts.iter().take(PLAN_STARTS_MAX).map(|start| (format!("  {}", start_words(start)), theme.text())));
    if let Some(more) = starts.len().checked_sub(PLAN_STARTS_MAX).filter(|more| *more > 0) {
        lines.push((format!("  and {more} more"), theme.dim()));
    }
    lines
}

fn start_words(start: &Start) -> String {
    match &start.work {
        Some((task, stage)) => format!("{}: {task} {stage}", start.agent),
        None => format!("the set-up of {}", start.agent),
    }
}

fn rollout_lines(painter: &Painter<'_>, model: &Model) -> Vec<(String, Style)> {
    let theme = painter.theme;
    let mut lines = vec![("A bolder mode asks first; a more careful one is taken at once.".to_owned(), theme.dim())];
    if model.busy().next().is_some() {
        lines.push(("Runs that are live when shadow begins are not merged.".to_owned(), theme.dim()));
    }
    lines
}
