//! The page of the agents' terminals: a title and a picture for each pane, thin lines between them, and a strip with all
//! names where not all have a pane. The selected pane stands out by a sign and a heavier line, the one that is typed into
//! by its whole title.

use pipeline_lib::view::pane::{Pane, Source};
use pipeline_lib::view::screen::AgentRow;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::arrange::{Plan, STRIP_NAME_COLUMNS_MAX, Slot, gap, names, number};
use super::overlay;
use super::paint::{Painter, columns, fit_middle};
use super::pane;
use crate::dashboard::keys::Action;
use crate::dashboard::model::Model;
use crate::dashboard::pages::panes::{self, Held, Mode, matches};
use crate::dashboard::terminal::Caret;
use crate::dashboard::theme::status_tone;

/// From here on a title says in a word what its sign means.
const WORDY: u16 = 60;
/// Below this the footer is brief.
const NARROW: u16 = 48;
/// What stands around a name: the mark, a number, a sign and the spaces.
const NAME_AROUND: u16 = 6;
/// What there is to know about a picture is not worth fewer columns.
const NOTE_COLUMNS_MIN: u16 = 12;
/// What the program calls itself is not worth fewer columns.
const TITLE_COLUMNS_MIN: u16 = 6;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let plan = Plan::of(model, area);
    if model.screen.agents.is_empty() {
        return empty(painter, area);
    }
    for slot in &plan.slots {
        let Some(row) = model.screen.agents.get(slot.at) else { continue };
        let shown = model.shown.get(&row.name);
        title(painter, model, slot, row, shown);
        body(painter, model, slot, row, shown);
        separator(painter, area, slot);
    }
    strip(painter, model, &plan);
}

fn empty(painter: &mut Painter<'_>, area: Rect) {
    let theme = painter.theme;
    painter.rule(area, "Panes", "", "", true);
    let (x, width) = (area.x + 2, area.width.saturating_sub(2));
    painter.text(x, area.y + 1, width, "No agents yet. Each of them has a pane here.", theme.text());
    let parts = [("Type: ", theme.dim()), ("pipeline agent add NAME --role ROLE", theme.text())];
    painter.parts(x, area.y + 2, width, &parts);
}

/// The thin line to the left of a pane that has another one there.
fn separator(painter: &mut Painter<'_>, page: Rect, slot: &Slot) {
    let inner = slot.inner();
    let Some(x) = inner.x.checked_sub(gap(page) / 2 + 1).filter(|_| inner.x > page.x) else { return };
    let style = painter.theme.rule(false);
    for y in inner.y..inner.bottom() {
        painter.text(x, y, 1, painter.theme.pick("│", "|"), style);
    }
}

/// What a title says beyond the name, the most telling first.
fn facts(
    painter: &Painter<'_>,
    model: &Model,
    slot: &Slot,
    row: &AgentRow,
    shown: Option<&Pane>,
) -> Vec<(String, Style)> {
    let theme = painter.theme;
    let mut facts = Vec::new();
    if is_typed_into(model, row) {
        facts.push((" TYPING ".to_owned(), theme.mode()));
    }
    facts.extend(place(painter, model, slot, row, shown));
    match (&row.task, &row.stage) {
        (Some(task), Some(stage)) => facts.push((format!("{task} {stage}"), theme.text())),
        (Some(task), None) => facts.push((task.to_string(), theme.text())),
        (None, _) => {}
    }
    if slot.area.width >= WORDY {
        facts.push((row.status.word().to_owned(), theme.tone(status_tone(row.status))));
    }
    match shown.map(|pane| pane.source) {
        Some(Source::Terminal) => facts.push((">_".to_owned(), theme.accent())),
        Some(Source::Multiplexer) => facts.push(("tmux".to_owned(), theme.accent())),
        Some(Source::Log) => facts.push(("log".to_owned(), theme.dim())),
        Some(Source::Nothing) | None => {}
    }
    facts
}

/// How far back a pane is looked at, if it is.
fn place(
    painter: &Painter<'_>,
    model: &Model,
    slot: &Slot,
    row: &AgentRow,
    shown: Option<&Pane>,
) -> Option<(String, Style)> {
    let theme = painter.theme;
    let frame = &shown?.frame;
    let scroll = model.panes.scrolled.get(&row.name)?;
    let back = if frame.offset > 0 { format!("-{}", frame.offset) } else { "now".to_owned() };
    if !has_scroll_keys(model, slot) {
        return Some((back, theme.accent()));
    }
    let words = match scroll.anchor {
        Some(_) => {
            let (first, last) = scroll.lines(frame);
            format!(" SELECT {} ", last + 1 - first)
        }
        None if frame.offset > 0 && slot.area.width >= WORDY => format!(" SCROLL {back} of {} ", frame.history),
        None => format!(" SCROLL {back} "),
    };
    Some((words, theme.mode()))
}

fn is_selected(model: &Model, slot: &Slot) -> bool {
    model.agent().is_some_and(|(at, _)| at == slot.at)
}

/// Whether keys go to an agent: it is typed into, and nobody moves in what it showed before.
fn is_typed_into(model: &Model, row: &AgentRow) -> bool {
    let scrolling = model.panes.scrolled.get(&row.name).is_some_and(|scroll| scroll.keys);
    !scrolling && model.panes.typing.as_ref().is_some_and(|typing| typing.agent == row.name)
}

/// Whether the keys move in what a pane showed before.
fn has_scroll_keys(model: &Model, slot: &Slot) -> bool {
    let scrolled = model.screen.agents.get(slot.at).is_some_and(|row| model.panes.scrolled.contains_key(&row.name));
    let keys = matches!(panes::mode(model), Mode::Scrolling | Mode::Searching | Mode::Prefix);
    is_selected(model, slot) && scrolled && keys
}

fn title(painter: &mut Painter<'_>, model: &Model, slot: &Slot, row: &AgentRow, shown: Option<&Pane>) {
    let theme = painter.theme;
    let line = Rect { height: 1, ..slot.area };
    let selected = is_selected(model, slot);
    let tone = status_tone(row.status);
    let name = if selected { theme.accent() } else { theme.strong() };
    let facts = facts(painter, model, slot, row, shown);
    let number = number(slot.at);
    // What it does is worth as much as what it is called.
    let told: u16 = facts.iter().map(|(text, _)| columns(text) + 1).sum();
    let room = line.width.saturating_sub(told + NAME_AROUND).max(line.width / 3);
    let shown_name = fit_middle(row.name.as_str(), room, theme.ellipsis());
    let mut parts = vec![
        (if selected { theme.pick("▌", ">") } else { " " }, theme.accent()),
        (number.as_str(), theme.dim()),
        (theme.sign(tone), theme.tone(tone)),
        (" ", theme.text()),
        (shown_name.as_str(), name),
        (" ", theme.text()),
    ];
    for (text, style) in &facts {
        parts.extend([(text.as_str(), *style), (" ", theme.text())]);
    }
    let mut x = line.x + painter.parts(line.x, line.y, line.width, &parts);
    let room = |x: u16| line.right().saturating_sub(x);
    let note = shown.filter(|pane| pane.source != Source::Nothing).and_then(|pane| pane.note.as_deref());
    let note = note.map(|note| pipeline_lib::text::one_line(note, usize::from(line.width))).unwrap_or_default();
    // A rule of three columns is what still looks like one.
    let tail = if note.is_empty() || room(x) < NOTE_COLUMNS_MIN { 0 } else { (columns(&note) + 1).min(room(x) - 3) };
    let own = shown.map(|pane| pane.frame.title.as_str()).unwrap_or_default();
    let spare = room(x).saturating_sub(tail + 3);
    if !own.is_empty() && spare >= TITLE_COLUMNS_MIN {
        x += painter.text(x, line.y, spare, own, theme.dim()) + 1;
    }
    let rule = if selected { theme.pick("━", "=") } else { theme.pick("─", "-") };
    for at in x..line.right().saturating_sub(tail) {
        painter.text(at, line.y, 1, rule, theme.rule(selected));
    }
    if tail > 0 {
        painter.text(line.right() - tail + 1, line.y, tail - 1, &note, theme.dim());
    }
    if is_typed_into(model, row) {
        painter.overlay(line, theme.mode());
    }
}

fn body(painter: &mut Painter<'_>, model: &Model, slot: &Slot, row: &AgentRow, shown: Option<&Pane>) {
    let theme = painter.theme;
    let inner = slot.inner();
    let Some(shown) = shown else {
        // It has been asked for and comes a moment later.
        painter.text(inner.x + 1, inner.y, inner.width.saturating_sub(1), theme.ellipsis(), theme.dim());
        return;
    };
    if let Some(Held::Marked(marked)) = &model.panes.held
        && marked.agent == row.name
    {
        pane::draw_frame(painter, inner, &marked.frame);
        for at in 0..marked.frame.lines.len() {
            if let Some((from, to)) = marked.columns(at) {
                pane::mark(painter, inner, &marked.frame, (at, from, to), theme.selected());
            }
        }
        return;
    }
    pane::draw(painter, inner, shown);
    let Some(scroll) = model.panes.scrolled.get(&row.name) else { return };
    let keys = has_scroll_keys(model, slot);
    for (at, line) in shown.frame.lines.iter().enumerate() {
        let under_bar = keys && scroll.has(&shown.frame, at);
        if under_bar {
            pane::mark(painter, inner, &shown.frame, (at, 0, inner.width), theme.selected());
        }
        // On the bar, which is reversed, what is found is not.
        let style = if under_bar { under(theme.found()) } else { theme.found() };
        for (from, to) in matches(line, &model.panes.needle) {
            pane::mark(painter, inner, &shown.frame, (at, from, to), style);
        }
    }
}

fn under(style: Style) -> Style {
    style.remove_modifier(Modifier::REVERSED).add_modifier(Modifier::UNDERLINED)
}

/// All agents by name: those that have a pane here stand out from those that do not.
fn strip(painter: &mut Painter<'_>, model: &Model, plan: &Plan) {
    let theme = painter.theme;
    if plan.strip.is_empty() {
        return;
    }
    let names = names(model, plan.strip);
    for (at, area) in &names {
        let Some(row) = model.screen.agents.get(*at) else { continue };
        let tone = status_tone(row.status);
        let style = if plan.slot(*at).is_some() { theme.strong() } else { theme.dim() };
        let number = number(*at);
        let name = fit_middle(row.name.as_str(), STRIP_NAME_COLUMNS_MAX, theme.ellipsis());
        let parts = [
            (number.as_str(), theme.dim()),
            (theme.sign(tone), theme.tone(tone)),
            (" ", style),
            (name.as_str(), style),
        ];
        painter.parts(area.x, area.y, area.width, &parts);
        if model.agent().is_some_and(|(selected, _)| selected == *at) {
            painter.overlay(*area, theme.selected());
        }
    }
    let (first, last) = (names.first().map_or(0, |(at, _)| *at), names.last().map_or(0, |(at, _)| *at));
    if first > 0 {
        painter.text(plan.strip.x, plan.strip.y, 1, theme.pick("‹", "<"), theme.accent());
    }
    if last + 1 < model.screen.agents.len() {
        painter.right(plan.strip.x, plan.strip.y, plan.strip.width, theme.pick("›", ">"), theme.accent());
    }
}

/// Where the terminal's own cursor belongs while an agent is typed into.
pub(super) fn caret(model: &Model) -> Option<Caret> {
    if panes::mode(model) != Mode::Typing {
        return None;
    }
    let (at, row) = model.agent()?;
    let shown = model.shown.get(&row.name).filter(|pane| pane.source != Source::Nothing)?;
    let slot = *super::panes(model).slot(at)?;
    pane::caret(slot.inner(), &shown.frame)
}

/// Says in the footer what the keys do, where that is not what they usually do: how many columns that took, and the keys
/// that matter.
pub(super) fn mode(
    painter: &mut Painter<'_>,
    model: &Model,
    (x, y, width): (u16, u16, u16),
) -> (u16, Vec<(String, &'static str)>) {
    let name = model.agent().map(|(_, row)| row.name.to_string()).unwrap_or_default();
    let keys = |pairs: &[(&str, &'static str)]| pairs.iter().map(|(key, word)| ((*key).to_owned(), *word)).collect();
    let prefix = model.keys.rows().find(|row| row.binding.action == Action::Prefix).map(|row| row.label.clone());
    let prefix = prefix.unwrap_or_default();
    let (words, hints): (String, Vec<(String, &'static str)>) = match panes::mode(model) {
        _ if model.overlay.is_some() => return (0, Vec::new()),
        Mode::Looking => return (0, Vec::new()),
        Mode::Searching => {
            if let Some(line) = &model.panes.line {
                overlay::draw_line(painter, Rect { x, y, width, height: 1 }, "/", line);
            }
            return (width, Vec::new());
        }
        Mode::Typing => {
            // The way out has to be in sight whatever the name is.
            let (before, key, ends) = (" TYPING INTO ", "ctrl-q", if width < NARROW { "ends" } else { "ends it" });
            let room = width.saturating_sub(columns(before) + columns(key) + columns(ends) + 3);
            let mut hints: Vec<(String, &'static str)> = keys(&[(key, ends)]);
            hints.push((prefix, "more"));
            (format!("{before}{} ", fit_middle(&name, room, painter.theme.ellipsis())), hints)
        }
        Mode::Prefix => {
            let d = if model.panes.typing.is_some() { ("d", "end typing") } else { ("d", "overview") };
            let arrows = (painter.theme.pick("←↓↑→", "arrows"), "pane");
            let pairs = [d, arrows, ("z", "zoom"), ("[", "scroll"), ("o", "next"), ("space", "layout"), ("?", "help")];
            (format!(" {prefix} "), keys(&pairs))
        }
        Mode::Scrolling => {
            let copies = [("y", "copy"), ("v", "select"), ("/", "search"), ("n N", "next"), ("esc", "to the present")];
            let selecting = model.agent().and_then(|(_, row)| model.panes.scrolled.get(&row.name)?.anchor).is_some();
            (if selecting { " SELECT " } else { " SCROLL " }.to_owned(), keys(&copies))
        }
    };
    let used = painter.text(x, y, width, &words, painter.theme.mode());
    ((used + 1).min(width), hints)
}
