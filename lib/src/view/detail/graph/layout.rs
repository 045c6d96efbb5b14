//! Where each task of a graph is drawn, and which way the lines between them take, in cells of a terminal. Tasks stand in
//! layers from left to right, each to the right of all that it depends on, one to a row; lines run through the channels
//! between the layers. What tasks and lines look like is not known here.
//!
//! Layers by the longest path, their order by barycentres (Sugiyama, Tagawa and Toda, 1981), rows by the nearest increasing
//! sequence, tracks of a channel by left edges under their constraints (Hashimoto and Stevens, 1971).

mod order;
mod route;
#[cfg(test)]
mod tests;

use order::{Block, reduced};
use route::Routed;

/// What is to be laid out. Nodes are numbered, and each comes after all that it depends on.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// How many columns each node would take.
    pub widths: &'a [u16],
    /// How many columns there are. Where all do not fit, the widest nodes are cut.
    pub room: usize,
    /// What a node is not cut below.
    pub least: u16,
    /// What each node depends on.
    pub after: &'a [Vec<usize>],
    /// The chain whose lines should be straight.
    pub chain: &'a [usize],
    /// Over how many layers nodes are spread that have no line.
    pub spread: usize,
}

/// Where everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Each node's place.
    pub places: Vec<Place>,
    /// Nodes that are wider are cut to so many columns.
    pub cap: u16,
    /// The layers from left to right.
    pub layers: Vec<Layer>,
    /// The lines.
    pub lines: Vec<Line>,
    /// How many dependencies have no line of their own because a chain of others says the same.
    pub implied: usize,
    /// Columns in all.
    pub width: usize,
    /// Rows in all.
    pub rows: usize,
}

/// Where a node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Which layer.
    pub layer: usize,
    /// Which row.
    pub row: usize,
}

/// A layer of nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// The column at which its nodes begin.
    pub x: usize,
    /// The columns of its widest node.
    pub width: usize,
}

/// A line from one node to another that waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The one that comes first.
    pub from: usize,
    /// The one that waits.
    pub to: usize,
    /// Column and row of its start, of every corner, and of its end. From one to the next it is straight.
    pub points: Vec<(usize, usize)>,
}

/// Lays out.
#[must_use]
pub fn layout(plan: Plan<'_>) -> Layout {
    let count = plan.widths.len();
    let (after, implied) = reduced(plan.after, count);
    let layer_of = order::layers(&after);
    let mut places: Vec<Place> = layer_of.iter().map(|layer| Place { layer: *layer, row: 0 }).collect();
    let (groups, single) = order::groups(&after, plan.chain);
    let mut routed: Vec<(usize, Routed)> = Vec::new();
    let mut rows = 0;
    for group in &groups {
        let block = Block::new(group, &after, &layer_of, plan.chain);
        let part = route::route(block);
        // An empty row keeps apart what does not belong together.
        let top = if rows > 0 { rows + 1 } else { 0 };
        rows = top + part.rows;
        routed.push((top, part));
    }
    for (top, part) in &routed {
        for (node, row) in part.nodes() {
            places[node].row = top + row;
        }
    }
    let depth =
        layer_of.iter().zip(&after).filter(|_| !groups.is_empty()).map(|(layer, _)| layer + 1).max().unwrap_or(0);
    let across = depth.max(plan.spread).max(1);
    let top = if rows > 0 && !single.is_empty() { rows + 1 } else { rows };
    for (at, node) in single.iter().enumerate() {
        places[*node] = Place { layer: at % across, row: top + at / across };
    }
    if !single.is_empty() {
        rows = top + single.len().div_ceil(across);
    }
    let widest = plan.widths.iter().copied().max().unwrap_or(0).max(plan.least);
    // Cut no further than needed.
    let fits = |cap: &u16| columns(plan.widths, *cap, &places, &routed).2 <= plan.room;
    let cap = (plan.least..=widest).rev().find(fits).unwrap_or(plan.least);
    let (layers, channels, width) = columns(plan.widths, cap, &places, &routed);
    let widths: Vec<usize> = plan.widths.iter().map(|width| usize::from(*width.min(&cap))).collect();
    let lines = routed.iter().flat_map(|(top, part)| part.lines(&widths, &layers, &channels, *top)).collect();
    Layout { places, cap, layers, lines, implied, width, rows }
}

/// Where each layer and each channel behind it begins, and the columns of all.
fn columns(widths: &[u16], cap: u16, places: &[Place], routed: &[(usize, Routed)]) -> (Vec<Layer>, Vec<usize>, usize) {
    let count = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let mut layers = vec![Layer::default(); count];
    for (place, width) in places.iter().zip(widths) {
        let layer = &mut layers[place.layer];
        layer.width = layer.width.max(usize::from(*width.min(&cap)));
    }
    let mut channels = Vec::with_capacity(count);
    let mut x = 0;
    for (at, layer) in layers.iter_mut().enumerate() {
        layer.x = x;
        // A space behind the widest node; then a column to leave it by, the tracks, and one for the head of the arrow.
        x += layer.width + 1;
        channels.push(x);
        let tracks = routed.iter().map(|(_, part)| part.tracks(at)).max().unwrap_or(0);
        x += tracks.max(1) + 2;
    }
    let width = layers.last().map_or(0, |layer| layer.x + layer.width);
    (layers, channels, width)
}
