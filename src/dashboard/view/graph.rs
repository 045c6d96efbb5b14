//! The page `graph`: tasks in layers, each behind what it waits for. The chain that decides when all is done is drawn with
//! heavy lines, and its tasks have a heavy mark; broken lines lead to what does a part of a task; what the chosen task waits for and what waits for it stand out from the
//! rest.

mod lines;

use std::collections::HashSet;

use pipeline_lib::view::detail::graph::{Graph, Node};
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::measure::roughly;
use super::paint::{Painter, columns, fit};
use super::say;
use crate::dashboard::model::Model;
use crate::dashboard::pages::graph::{BEFORE_NAME, Drawing, MARGIN_COLUMNS, name};
use crate::dashboard::theme::Theme;
use lines::{Canvas, Stroke};

/// From so many rows on the chain that decides has a line of its own.
const CHAIN_ROWS_MIN: u16 = 16;
/// From so many rows on the chosen task is told about below the graph.
const ABOUT_ROWS_MIN: u16 = 5;
/// Neighbours that are named.
const NAMES_MAX: usize = 4;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let inner = Rect { x: area.x + 2, width: area.width.saturating_sub(MARGIN_COLUMNS), ..area };
    let drawing = match Drawing::of(model, inner.width) {
        Some(drawing) if !drawing.nodes.is_empty() => drawing,
        nothing => return empty(painter, area, inner, nothing.is_none()),
    };
    let theme = painter.theme;
    painter.rule(area, "Graph", &beside(model, &drawing, theme), &chain_words(&drawing.graph), true);
    let mut body = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    if area.height >= CHAIN_ROWS_MIN {
        chain(painter, Rect { height: 1, ..body }, &drawing);
        body = Rect { y: body.y + 2, height: body.height - 2, ..body };
    }
    if body.height >= ABOUT_ROWS_MIN {
        body.height -= 1;
        let gap = u16::from(body.height >= CHAIN_ROWS_MIN);
        about(painter, Rect { y: body.bottom(), height: 1, ..body }, &drawing);
        body.height -= gap;
    }
    plane(painter, model, body, &drawing);
}

fn empty(painter: &mut Painter<'_>, area: Rect, inner: Rect, waiting: bool) {
    painter.rule(area, "Graph", "", "", true);
    let body = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    if waiting {
        return say(painter, body, &[format!("Gathering{}", painter.theme.ellipsis())]);
    }
    let how = "Add one with n; one that waits for another: pipeline task add \"...\" --after TASK-001";
    say(painter, body, &["No tasks yet.", how]);
}

/// How many tasks there are, and which of them are not shown.
fn beside(model: &Model, drawing: &Drawing, theme: Theme) -> String {
    let unfinished = drawing.nodes.iter().filter(|at| !drawing.graph.nodes[**at].finished).count();
    let mut words = vec![format!("{unfinished} left")];
    if drawing.graph.more_unfinished > 0 {
        words[0] = format!("{unfinished} of {} left", unfinished + drawing.graph.more_unfinished);
    }
    if drawing.folded > 0 {
        words.push(format!("{} finished folded (tab)", drawing.folded));
    } else if unfinished < drawing.nodes.len() {
        words.push(format!("{} finished (tab folds)", drawing.nodes.len() - unfinished));
    }
    if !model.filter.is_empty() {
        words.push(format!("filter: {}", model.filter));
    }
    words.join(theme.dot())
}

/// How long the chain is that decides.
fn chain_words(graph: &Graph) -> String {
    match (graph.critical.len(), graph.critical_seconds) {
        (0, _) => String::new(),
        (count, None) => format!("critical path: {count} tasks"),
        (count, Some(seconds)) => format!("critical path: {count} tasks, about {}", roughly(seconds)),
    }
}

/// The tasks of the chain that decides, in their order; where there is no chain, how to make one.
fn chain(painter: &mut Painter<'_>, line: Rect, drawing: &Drawing) {
    let theme = painter.theme;
    let graph = &drawing.graph;
    if graph.critical.is_empty() {
        let none = graph.nodes.iter().all(|node| node.after.is_empty());
        let words = if none { "No task waits for another." } else { "Nothing that is left waits for another task." };
        let how = " To add one that does: pipeline task add \"...\" --after TASK-001";
        painter.parts(line.x, line.y, line.width, &[(words, theme.text()), (how, theme.dim())]);
        return;
    }
    let names: Vec<&str> = graph.critical.iter().map(|at| name(&graph.nodes[*at], drawing.wide)).collect();
    let evidence = match graph.runs {
        0 => "no run to go by yet".to_owned(),
        n => format!("by the medians of {n} runs"),
    };
    let room = line.width.saturating_sub(columns(&evidence) + 3);
    let used = painter.text(line.x, line.y, 1, theme.pick("┃", "#"), theme.strong());
    let arrow = theme.pick(" ━▸ ", " => ");
    // Where not all fit the first and the last ones say most.
    let mut kept = names.len();
    let joined = |kept: usize| {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let gap = (kept < names.len()).then(|| theme.ellipsis());
        let parts: Vec<&str> =
            names[..head].iter().copied().chain(gap).chain(names[names.len() - tail..].iter().copied()).collect();
        parts.join(arrow)
    };
    while kept > 2 && columns(&joined(kept)) + 2 > room {
        kept -= 1;
    }
    painter.text(line.x + used + 1, line.y, room.saturating_sub(used + 1), &joined(kept), theme.strong());
    painter.right(line.x, line.y, line.width, &evidence, theme.dim());
}

/// The graph itself, around the chosen task where it is larger than the screen.
fn plane(painter: &mut Painter<'_>, model: &Model, area: Rect, drawing: &Drawing) {
    let layout = &drawing.layout;
    let near = near(drawing);
    // Where there is room, rows between any two make the lines easier to follow; a second one says how each task is.
    let fits = |pitch: &usize| layout.rows * pitch <= usize::from(area.height) + 1;
    let most = if drawing.wide { 3 } else { 2 };
    let pitch = (2..=most).rev().find(fits).unwrap_or(1);
    let (left, top) = corner(drawing, area);
    let mut canvas = Canvas::new(left, top * pitch, area.width, area.height);
    for line in &layout.lines {
        let heavy = drawing.graph.is_critical(drawing.nodes[line.from], drawing.nodes[line.to]);
        let near = near.as_ref().is_none_or(|near| near.holds_line(drawing.nodes[line.from], drawing.nodes[line.to]));
        let points: Vec<_> = line.points.iter().map(|(x, row)| (*x, row * pitch)).collect();
        canvas.line(&points, Stroke { heavy, whole: !drawing.is_part(line.from, line.to), near });
    }
    let any = near.is_some();
    canvas.draw(painter, area, |theme, stroke| match (stroke.near, stroke.heavy) {
        (true, true) if any => theme.accent(),
        (true, false) if any => theme.rule(true),
        (_, true) => theme.strong(),
        (true, false) => theme.text(),
        (false, false) => theme.dim(),
    });
    for (at, place) in layout.places.iter().enumerate() {
        let x = layout.layers[place.layer].x;
        let visible =
            place.row >= top && place.row - top < usize::from(area.height) && x < left + usize::from(area.width);
        let width = label_columns(drawing, at);
        if !visible || x + usize::from(width) <= left {
            continue;
        }
        let near = near.as_ref().is_none_or(|near| near.holds(drawing.nodes[at]));
        let style = node_style(painter.theme, model, drawing.node(at), near);
        let spot = Rect { y: area.y + to_u16((place.row - top) * pitch), height: 1, ..area };
        label(painter, spot, (x, left), drawing, at, style);
        if pitch == 3 && x >= left && spot.y + 1 < area.bottom() {
            let x = spot.x + to_u16(x - left) + BEFORE_NAME;
            let room = width.saturating_sub(BEFORE_NAME).min(spot.right().saturating_sub(x));
            painter.text(x, spot.y + 1, room, &state(drawing.node(at), painter.theme), painter.theme.dim());
        }
    }
    edges(painter, area, drawing, (left, top));
}

/// What the chosen task waits for, and what waits for it.
struct Near {
    chosen: usize,
    before: HashSet<usize>,
    behind: HashSet<usize>,
}

impl Near {
    fn holds(&self, node: usize) -> bool {
        node == self.chosen || self.before.contains(&node) || self.behind.contains(&node)
    }

    fn holds_line(&self, from: usize, to: usize) -> bool {
        let leads = self.before.contains(&from) && (to == self.chosen || self.before.contains(&to));
        let follows = self.behind.contains(&to) && (from == self.chosen || self.behind.contains(&from));
        leads || follows
    }
}

/// None where nothing is chosen, or the chosen one has no relations that could stand out.
fn near(drawing: &Drawing) -> Option<Near> {
    let chosen = drawing.nodes[drawing.chosen?];
    let near = Near { chosen, before: drawing.graph.ancestors(chosen), behind: drawing.graph.descendants(chosen) };
    (near.before.len() + near.behind.len() > 0).then_some(near)
}

fn node_style(theme: Theme, model: &Model, node: &Node, near: bool) -> Style {
    let needle = model.filter.to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&needle);
    let found = needle.is_empty() || holds(node.id.as_str()) || holds(&node.title) || holds(&node.status);
    let live = !matches!(node.tone, Tone::Good | Tone::Gone);
    if found && near && live { theme.text() } else { theme.dim() }
}

/// How a task is, and who works on it.
fn state(node: &Node, theme: Theme) -> String {
    let facts = [Some(node.status.clone()), node.agent.as_ref().map(ToString::to_string)];
    facts.into_iter().flatten().collect::<Vec<_>>().join(theme.dot())
}

/// The columns that a task takes.
fn label_columns(drawing: &Drawing, at: usize) -> u16 {
    let node = drawing.node(at);
    (BEFORE_NAME + columns(name(node, drawing.wide)) + 1 + columns(&node.title)).min(drawing.layout.cap)
}

/// A task: whether it is on the chain that decides, its state, its name and its title. What is left of the screen's edge
/// leaves with whole parts.
fn label(painter: &mut Painter<'_>, spot: Rect, (x, left): (usize, usize), drawing: &Drawing, at: usize, style: Style) {
    let theme = painter.theme;
    let node = drawing.node(at);
    let critical = drawing.graph.critical.contains(&drawing.nodes[at]);
    let width = label_columns(drawing, at);
    if x < left {
        // Only its end is in sight: nothing that could be read.
        let seen = to_u16((x + usize::from(width)).saturating_sub(left));
        painter.text(spot.x, spot.y, seen.min(1), theme.ellipsis(), theme.dim());
        return;
    }
    let from = spot.x + to_u16(x - left);
    let width = width.min(spot.right().saturating_sub(from));
    let mark = if critical { theme.pick("┃", "#") } else { " " };
    painter.text(from, spot.y, width.min(1), mark, theme.strong());
    painter.text(from + 1, spot.y, width.saturating_sub(1).min(1), theme.sign(node.tone), theme.tone(node.tone));
    let name_style = if critical { style.patch(theme.strong()) } else { style };
    let room = width.saturating_sub(BEFORE_NAME);
    if room < columns(name(node, drawing.wide)) {
        return;
    }
    let used = painter.text(from + BEFORE_NAME, spot.y, room, name(node, drawing.wide), name_style) + 1;
    painter.text(from + BEFORE_NAME + used, spot.y, room.saturating_sub(used), &node.title, style);
    if drawing.chosen == Some(at) {
        painter.overlay(Rect { x: from + 1, width: width.saturating_sub(1), ..spot }, theme.selected());
    }
}

/// The first column and row in sight: all, or so that the chosen task is in the middle as far as there is something on both
/// sides.
fn corner(drawing: &Drawing, area: Rect) -> (usize, usize) {
    let layout = &drawing.layout;
    let place = drawing.chosen.map_or_else(Default::default, |at| layout.places[at]);
    let layer = layout.layers.get(place.layer).copied().unwrap_or_default();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let top = place.row.saturating_sub(height / 2).min(layout.rows.saturating_sub(height));
    let middle = (layer.x + layer.width / 2).saturating_sub(width / 2).min(layout.width.saturating_sub(width));
    // A layer that begins at the edge is worth more than the end of the one before it.
    let begins = layout.layers.iter().map(|layer| layer.x.saturating_sub(2)).filter(|x| *x <= middle).max();
    let left = if middle == 0 { 0 } else { begins.unwrap_or(middle) };
    (left.max((layer.x + usize::from(layout.cap).min(width)).saturating_sub(width)), top)
}

/// Says where there is more than is in sight.
fn edges(painter: &mut Painter<'_>, area: Rect, drawing: &Drawing, (left, top): (usize, usize)) {
    let theme = painter.theme;
    let layout = &drawing.layout;
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let count = |hidden: &dyn Fn(usize, usize) -> bool| {
        let of = |place: &pipeline_lib::view::detail::graph::layout::Place| (layout.layers[place.layer].x, place.row);
        layout.places.iter().map(of).filter(|(x, row)| hidden(*x, *row)).count()
    };
    let sides = [
        (count(&|_, row| row < top), area.y, theme.pick("↑", "^")),
        (count(&|_, row| row >= top + height), area.bottom().saturating_sub(1), theme.pick("↓", "v")),
        (
            count(&|x, row| (top..top + height).contains(&row) && x < left),
            area.y + area.height / 2,
            theme.pick("‹", "<"),
        ),
        (
            count(&|x, row| (top..top + height).contains(&row) && x >= left + width),
            area.y + area.height / 2,
            theme.pick("›", ">"),
        ),
    ];
    for (at, (hidden, y, sign)) in sides.into_iter().enumerate() {
        if hidden == 0 || height == 0 {
            continue;
        }
        let words = if at == 2 { format!("{sign}{hidden}") } else { format!(" {hidden}{sign}") };
        let used = columns(&words).min(area.width);
        let x = if at == 2 { area.x.saturating_sub(2) } else { area.right() - used };
        painter.text(x, y, used, &words, theme.accent());
    }
}

/// What the chosen task has no room for.
fn about(painter: &mut Painter<'_>, line: Rect, drawing: &Drawing) {
    let theme = painter.theme;
    let Some(at) = drawing.chosen else {
        painter.text(line.x, line.y, line.width, "j and k choose a task, h and l go along its lines.", theme.dim());
        return;
    };
    let node = drawing.node(at);
    let graph = &drawing.graph;
    let named = |what: &str, of: Vec<usize>, more: usize| {
        let names: Vec<&str> = of.iter().take(NAMES_MAX).map(|at| graph.nodes[*at].id.as_str()).collect();
        let more = more + of.len().saturating_sub(NAMES_MAX);
        match (names.is_empty(), more) {
            (true, 0) => None,
            (true, more) => Some(format!("{what} {more}")),
            (false, 0) => Some(format!("{what} {}", names.join(", "))),
            (false, more) => Some(format!("{what} {} and {more} more", names.join(", "))),
        }
    };
    let behind = (0..graph.nodes.len()).filter(|other| graph.nodes[*other].after.contains(&drawing.nodes[at]));
    let parts = (0..graph.nodes.len()).filter(|other| graph.nodes[*other].part_of == Some(drawing.nodes[at]));
    let facts: Vec<String> = [
        Some(node.status.clone()),
        node.agent.as_ref().map(ToString::to_string),
        node.reason.clone(),
        named("after", node.after.clone(), node.more_after),
        named("before", behind.collect(), node.more_behind),
        node.part_of.map(|of| format!("part of {}", graph.nodes[of].id)),
        named("parts", parts.collect(), 0),
    ]
    .into_iter()
    .flatten()
    .collect();
    let facts = facts.join(theme.dot());
    let id = format!("{} ", node.id);
    let least = (line.width / 3).saturating_sub(columns(&id));
    let room = line.width.saturating_sub(columns(&id) + columns(&facts) + columns(theme.dot())).max(least);
    let title = fit(&node.title, room, theme.ellipsis());
    let parts = [
        (id.as_str(), theme.strong()),
        (title.as_str(), theme.text()),
        (theme.dot(), theme.dim()),
        (facts.as_str(), theme.tone(node.tone)),
    ];
    painter.parts(line.x, line.y, line.width, &parts);
}

fn to_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
