//! Which task waits for which: which of the tasks are shown, where each is drawn, and how the keys go from one to another.
//! The chosen task is the one of the board.

use std::sync::Arc;

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::graph::layout::{Layout, Plan, layout};
use pipeline_lib::view::detail::graph::{Graph, Node};

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::{Model, Page};
use crate::dashboard::update;
use crate::dashboard::view::number;
use crate::dashboard::view::paint::columns;

/// Up to so many finished tasks are shown unless the person says otherwise.
const FINISHED_FEW: usize = 8;
/// From so many columns on tasks are shown with their whole names.
const WIDE_COLUMNS: u16 = 100;
/// A task takes so many columns at most; more is too far for the eye to go along a line.
const LABEL_COLUMNS_MAX: u16 = 44;
/// A task is not cut below this many columns, by whether the page is wide.
const LABEL_COLUMNS_MIN: [u16; 2] = [20, 26];
/// Tasks without a line stand side by side where each has this many columns.
const SPREAD_COLUMNS: u16 = 36;
/// What stands before the name of a task: a mark, its sign and a space.
pub(in crate::dashboard) const BEFORE_NAME: u16 = 3;
/// The columns at the sides that nothing is drawn into.
pub(in crate::dashboard) const MARGIN_COLUMNS: u16 = 3;
/// Rows that a page goes.
const PAGE_ROWS: usize = 10;

/// How a person looks at the graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// Whether finished tasks are shown; none for where they are few.
    pub(in crate::dashboard) finished: Option<bool>,
    /// What was shown last, for as long as something else is looked at over it.
    last: Option<Arc<Graph>>,
}

/// What there is to see, if it has come.
pub(in crate::dashboard) fn shown(model: &Model) -> Option<&Arc<Graph>> {
    match &model.screen.detail {
        Detail::Graph(graph) => Some(graph),
        _ => model.graph.last.as_ref(),
    }
}

/// A new picture has come.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    if let Detail::Graph(graph) = &model.screen.detail {
        model.graph.last = Some(Arc::clone(graph));
    }
}

/// The task around which the graph should be made: the chosen one, as soon as it has neighbours that are not shown.
pub(in crate::dashboard) fn centre(model: &Model) -> Option<TaskId> {
    let chosen = model.task.clone();
    let Some(graph) = shown(model) else { return chosen };
    let all = graph.more_unfinished == 0 && graph.more_finished == 0;
    let node = chosen.as_ref().map(|id| graph.find(id).map(|at| &graph.nodes[at]));
    match node {
        Some(None) => chosen,
        Some(Some(node)) if !all && node.more_after + node.more_behind > 0 => chosen,
        Some(Some(_)) | None => graph.centre.clone(),
    }
}

/// Whether the graph that is shown holds a task.
pub(in crate::dashboard) fn holds(model: &Model, id: &TaskId) -> bool {
    shown(model).is_some_and(|graph| graph.find(id).is_some())
}

/// The graph with a place for each task that is shown.
#[derive(Debug)]
pub(in crate::dashboard) struct Drawing {
    pub(in crate::dashboard) graph: Arc<Graph>,
    /// The tasks that are shown, as places in the graph.
    pub(in crate::dashboard) nodes: Vec<usize>,
    /// Where they are.
    pub(in crate::dashboard) layout: Layout,
    /// The chosen one, as a place in `nodes`.
    pub(in crate::dashboard) chosen: Option<usize>,
    /// How many finished tasks are known and not shown.
    pub(in crate::dashboard) folded: usize,
    /// Whether names are shown in full.
    pub(in crate::dashboard) wide: bool,
}

impl Drawing {
    /// What is drawn into so many columns.
    pub(in crate::dashboard) fn of(model: &Model, room: u16) -> Option<Self> {
        let graph = Arc::clone(shown(model)?);
        let chosen = model.task.clone().or_else(|| model.card().map(|(_, _, card)| card.id.clone()));
        let chosen = chosen.and_then(|id| graph.find(&id));
        let with_finished = shows_finished(model, &graph);
        let nodes: Vec<usize> = (0..graph.nodes.len())
            .filter(|at| with_finished || !graph.nodes[*at].finished || chosen == Some(*at))
            .collect();
        let place = |of: &usize| nodes.iter().position(|at| at == of);
        let after: Vec<Vec<usize>> =
            nodes.iter().map(|at| graph.nodes[*at].before().filter_map(|at| place(&at)).collect()).collect();
        let chain: Vec<usize> = graph.critical.iter().filter_map(place).collect();
        let wide = room >= WIDE_COLUMNS;
        let widths: Vec<u16> = nodes.iter().map(|at| label_columns(&graph.nodes[*at], wide)).collect();
        let layout = layout(Plan {
            widths: &widths,
            room: usize::from(room),
            least: LABEL_COLUMNS_MIN[usize::from(wide)],
            after: &after,
            chain: &chain,
            spread: usize::from(room / SPREAD_COLUMNS).max(1),
        });
        let chosen = chosen.as_ref().and_then(place);
        let known = graph.nodes.iter().filter(|node| node.finished).count() + graph.more_finished;
        let finished = nodes.iter().filter(|at| graph.nodes[**at].finished).count();
        Some(Self { folded: known - finished, graph, nodes, layout, chosen, wide })
    }

    /// The task of a place.
    pub(in crate::dashboard) fn node(&self, at: usize) -> &Node {
        &self.graph.nodes[self.nodes[at]]
    }

    /// Whether a line says only that one task does a part of another, from a place to a place.
    pub(in crate::dashboard) fn is_part(&self, from: usize, to: usize) -> bool {
        let node = self.node(to);
        node.part_of == Some(self.nodes[from]) && !node.after.contains(&self.nodes[from])
    }

    /// The one to go to.
    fn step(&self, action: Action) -> Option<usize> {
        let Some(from) = self.chosen else { return self.first() };
        let places = &self.layout.places;
        let (layer, row) = (places[from].layer, places[from].row);
        let others = || (0..places.len()).filter(|at| *at != from);
        let beside = |at: &usize| places[*at].layer == layer;
        // Along the layer; beyond its end to whatever is nearest there.
        let vertical = |far: &dyn Fn(usize) -> Option<usize>| {
            let onward = || others().filter_map(|at| Some((far(places[at].row)?, at)));
            let nearest = |of: Vec<(usize, usize)>| {
                of.into_iter().min_by_key(|(far, at)| (*far, places[*at].layer.abs_diff(layer))).map(|(_, at)| at)
            };
            nearest(onward().filter(|(_, at)| beside(at)).collect()).or_else(|| nearest(onward().collect()))
        };
        let below = |other: usize| other.checked_sub(row).filter(|far| *far > 0);
        let above = |other: usize| row.checked_sub(other).filter(|far| *far > 0);
        match action {
            Action::Down => vertical(&below),
            Action::Up => vertical(&above),
            Action::PageDown => vertical(&|other| below(other).map(|far| far.abs_diff(PAGE_ROWS))),
            Action::PageUp => vertical(&|other| above(other).map(|far| far.abs_diff(PAGE_ROWS))),
            Action::Right => self.along(from, true),
            Action::Left => self.along(from, false),
            Action::First => self.first(),
            Action::Last => (0..places.len()).max_by_key(|at| (places[*at].layer, places[*at].row)),
            _ => None,
        }
    }

    /// The top of the first layer.
    fn first(&self) -> Option<usize> {
        let places = &self.layout.places;
        (0..places.len()).min_by_key(|at| (places[*at].layer, places[*at].row))
    }

    /// Along a line, the one of the chain that decides before others; where there is none, to the nearest in the next layer.
    fn along(&self, from: usize, right: bool) -> Option<usize> {
        let places = &self.layout.places;
        let far = |at: &usize| places[*at].row.abs_diff(places[from].row);
        let lines = self.layout.lines.iter().filter(|line| from == if right { line.from } else { line.to });
        let ends = lines.map(|line| {
            let critical = self.graph.is_critical(self.nodes[line.from], self.nodes[line.to]);
            (!critical, if right { line.to } else { line.from })
        });
        let by_line = ends.min_by_key(|(other, at)| (*other, far(at))).map(|(_, at)| at);
        let next = if right { places[from].layer.checked_add(1) } else { places[from].layer.checked_sub(1) };
        let beside = || (0..places.len()).filter(|at| Some(places[*at].layer) == next).min_by_key(far);
        by_line.or_else(beside)
    }
}

/// Whether finished tasks are shown.
pub(in crate::dashboard) fn shows_finished(model: &Model, graph: &Graph) -> bool {
    let few = || graph.nodes.iter().filter(|node| node.finished).count() <= FINISHED_FEW;
    model.graph.finished.unwrap_or_else(few)
}

/// The columns of a task with all of its title.
fn label_columns(node: &Node, wide: bool) -> u16 {
    let name = columns(name(node, wide));
    (BEFORE_NAME + name + 1 + columns(&node.title)).min(LABEL_COLUMNS_MAX)
}

/// How a task is called: by its number where room is scarce.
pub(in crate::dashboard) fn name(node: &Node, wide: bool) -> &str {
    if wide { node.id.as_str() } else { number(node.id.as_str()) }
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    match action {
        Action::Open if model.target_task().is_some() => return update::go(model, Page::Task),
        Action::NextPanel | Action::PreviousPanel => {
            if let Some(graph) = shown(model) {
                model.graph.finished = Some(!shows_finished(model, graph));
            }
        }
        _ => {
            let drawing = Drawing::of(model, model.size.0.saturating_sub(MARGIN_COLUMNS));
            let to = drawing.and_then(|drawing| Some(drawing.node(drawing.step(action)?).id.clone()));
            if let Some(to) = to {
                model.task = Some(to);
            }
        }
    }
    Vec::new()
}
