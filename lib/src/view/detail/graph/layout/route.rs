//! The row of each node, and the way of each line through the channels between the layers, so that no line can be taken for
//! another: two share cells only where they come from the same node or lead to the same one.

use std::collections::{BTreeMap, BTreeSet};

use super::order::Block;
use super::{Layer, Line};

/// A block with its rows and tracks.
#[derive(Debug, Clone)]
pub(super) struct Routed {
    block: Block,
    /// The row of each vertex.
    row: Vec<usize>,
    /// For each channel, the track on which each line turns; none where it goes straight on.
    turns: Vec<BTreeMap<(usize, usize), usize>>,
    /// How many tracks each channel has.
    tracks: Vec<usize>,
    pub(super) rows: usize,
}

/// Finds rows and tracks.
pub(super) fn route(block: Block) -> Routed {
    let mut row = vec![0_i64; block.vertices.len()];
    for layer in &block.layers {
        layer.iter().zip(0..).for_each(|(vertex, at)| row[*vertex] = at);
    }
    for layer in 1..block.layers.len() {
        settle(&block, layer, &block.last, &mut row);
    }
    for layer in (0..block.layers.len().saturating_sub(1)).rev() {
        settle(&block, layer, &block.next, &mut row);
    }
    let (mut turns, mut tracks) = (Vec::new(), Vec::new());
    for layer in 1..block.layers.len() {
        settle(&block, layer, &block.last, &mut row);
        let channel = loop {
            match Channel::new(&block, layer - 1, &row).tracks() {
                Ok(channel) => break channel,
                Err(vertex) => give_way(&block, vertex, &mut row),
            }
        };
        tracks.push(channel.values().map(|track| track + 1).max().unwrap_or(0));
        turns.push(channel);
    }
    let top = row.iter().min().copied().unwrap_or(0);
    let row: Vec<usize> = row.into_iter().map(|row| usize::try_from(row - top).unwrap_or(0)).collect();
    let rows = row.iter().max().map_or(0, |row| row + 1);
    Routed { block, row, turns, tracks, rows }
}

/// Puts the vertices of a layer as near as their order allows to where their neighbours stand.
fn settle(block: &Block, layer: usize, neighbours: &[Vec<usize>], row: &mut [i64]) {
    let wanted: Vec<(f64, f64)> = block.layers[layer]
        .iter()
        .map(|vertex| {
            let of = &neighbours[*vertex];
            let weight = |other: &usize| {
                let both = block.vertices[*vertex].weight.min(block.vertices[*other].weight);
                f64::from(both)
            };
            let all: f64 = of.iter().map(weight).sum();
            if of.is_empty() {
                return (row[*vertex] as f64, 0.1);
            }
            let sum: f64 = of.iter().map(|other| weight(other) * row[*other] as f64).sum();
            (sum / all, all)
        })
        .collect();
    for (vertex, place) in block.layers[layer].iter().zip(nearest_increasing(&wanted)) {
        row[*vertex] = place;
    }
}

/// Whole numbers, each at least one more than that before it, that lie nearest to what is wanted, by weight: neighbours that
/// want the same place are pooled (Ayer and others, 1955).
fn nearest_increasing(wanted: &[(f64, f64)]) -> Vec<i64> {
    // Each pool: its mean, its weight, and how many are in it.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (at, (place, weight)) in wanted.iter().enumerate() {
        pools.push((place - at as f64, *weight, 1));
        while let [.., a, b] = pools[..]
            && a.0 >= b.0
        {
            pools.truncate(pools.len() - 2);
            let weight = a.1 + b.1;
            pools.push(((a.0 * a.1 + b.0 * b.1) / weight, weight, a.2 + b.2));
        }
    }
    let starts = pools.into_iter().flat_map(|(mean, _, count)| std::iter::repeat_n(mean.round() as i64, count));
    starts.zip(0..).map(|(start, at)| start + at).collect()
}

/// Moves a vertex down to a row that no line leaves the layer before on, and those below it out of its way.
fn give_way(block: &Block, vertex: usize, row: &mut [i64]) {
    let layer = block.vertices[vertex].layer;
    let taken: BTreeSet<i64> = leaving(block, layer - 1).map(|before| row[before]).collect();
    let free = (row[vertex] + 1..).find(|row| !taken.contains(row)).unwrap_or(row[vertex] + 1);
    let mut least = free;
    for other in block.layers[layer].iter().skip_while(|other| **other != vertex) {
        row[*other] = row[*other].max(least);
        least = row[*other] + 1;
    }
}

/// Vertices of a layer that a line leaves.
fn leaving(block: &Block, layer: usize) -> impl Iterator<Item = usize> + '_ {
    block.layers[layer].iter().copied().filter(|vertex| !block.next[*vertex].is_empty())
}

/// The lines between two layers, as ways down the channel. A way leads from each of its beginnings to each of its ends.
struct Channel {
    ways: Vec<Way>,
    /// Ways that have to turn left of others.
    left_of: Vec<Before>,
}

struct Way {
    from: Vec<usize>,
    to: Vec<usize>,
    top: i64,
    bottom: i64,
    /// Decides among ways that may stand anywhere: what keeps them from crossing.
    rank: i64,
}

/// One way has to turn left of another.
struct Before {
    left: usize,
    right: usize,
    /// The vertex that could end this by giving way.
    because_of: Option<usize>,
}

impl Way {
    fn new(from: Vec<usize>, to: Vec<usize>, row: &[i64]) -> Self {
        let rows = || from.iter().chain(&to).map(|vertex| row[*vertex]);
        let mean = |of: &[usize]| of.iter().map(|vertex| row[*vertex]).sum::<i64>() / of.len().max(1) as i64;
        let (start, end) = (mean(&from), mean(&to));
        // Of ways that lead down the lowest turns first, of those that lead up the highest.
        let rank = if end >= start { -start } else { start };
        let (top, bottom) = (rows().min().unwrap_or(0), rows().max().unwrap_or(0));
        Self { from, to, top, bottom, rank }
    }

    fn is_straight(&self) -> bool {
        self.top == self.bottom
    }
}

impl Channel {
    fn new(block: &Block, layer: usize, row: &[i64]) -> Self {
        let ways = ways(block, layer, row);
        let mut left_of = Vec::new();
        for end in &block.layers[layer + 1] {
            let leads_here = || (0..ways.len()).filter(|way| ways[*way].to.contains(end));
            // A way that leads elsewhere too turns before others join it on its last part.
            for shared in leads_here().filter(|way| ways[*way].to.len() > 1) {
                let others = leads_here().filter(|way| *way != shared);
                left_of.extend(others.map(|right| Before { left: shared, right, because_of: None }));
            }
            // What leaves on the row on which something else arrives has to turn before that comes.
            let Some(leaving) = leaving(block, layer).find(|vertex| row[*vertex] == row[*end]) else { continue };
            let leaves = |way: &usize| ways[*way].from.contains(&leaving) && !ways[*way].is_straight();
            for left in (0..ways.len()).filter(leaves) {
                let others = leads_here().filter(|way| *way != left && ways[*way].from != [leaving]);
                left_of.extend(others.map(|right| Before { left, right, because_of: Some(*end) }));
            }
        }
        Self { ways, left_of }
    }

    /// The track on which each line turns, by where it begins and ends.
    ///
    /// # Errors
    /// Where the ways want each other's places, a vertex that could end that by giving way.
    fn tracks(&self) -> Result<BTreeMap<(usize, usize), usize>, usize> {
        let mut open = vec![0_usize; self.ways.len()];
        self.left_of.iter().for_each(|before| open[before.right] += 1);
        let mut least = vec![0_usize; self.ways.len()];
        let mut ready: BTreeSet<(i64, usize)> =
            (0..self.ways.len()).filter(|at| open[*at] == 0).map(|at| (self.ways[at].rank, at)).collect();
        let mut used: Vec<Vec<(i64, i64)>> = Vec::new();
        let mut turns = BTreeMap::new();
        let mut placed = 0;
        while let Some((_, at)) = ready.pop_first() {
            placed += 1;
            let way = &self.ways[at];
            let mut behind = least[at];
            if !way.is_straight() {
                let meets = |(top, bottom): &(i64, i64)| way.top <= *bottom && *top <= way.bottom;
                let track = (least[at]..).find(|track| !used.get(*track).is_some_and(|ways| ways.iter().any(meets)));
                let track = track.unwrap_or(used.len());
                used.resize(used.len().max(track + 1), Vec::new());
                used[track].push((way.top, way.bottom));
                turns.extend(way.from.iter().flat_map(|from| way.to.iter().map(move |to| ((*from, *to), track))));
                behind = track + 1;
            }
            for right in self.left_of.iter().filter(|before| before.left == at).map(|before| before.right) {
                least[right] = least[right].max(behind);
                open[right] -= 1;
                if open[right] == 0 {
                    ready.insert((self.ways[right].rank, right));
                }
            }
        }
        let stuck = self.left_of.iter().filter(|before| open[before.left] > 0 && open[before.right] > 0);
        match stuck.filter_map(|before| before.because_of).max() {
            Some(vertex) if placed < self.ways.len() => Err(vertex),
            _ => Ok(turns),
        }
    }
}

/// The ways between two layers. Vertices that lead to exactly the same others share one, and no vertex is led to by more
/// than one way that leads elsewhere too: where lines meet, it is plain which of them goes on.
fn ways(block: &Block, layer: usize, row: &[i64]) -> Vec<Way> {
    let mut by_ends: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for vertex in leaving(block, layer) {
        let mut ends = block.next[vertex].clone();
        ends.sort_unstable();
        by_ends.entry(ends).or_default().push(vertex);
    }
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = by_ends.into_iter().collect();
    // The larger a group the more tracks it saves by staying together.
    groups.sort_by_key(|(to, from)| std::cmp::Reverse(to.len() * from.len()));
    // The vertex from which a line goes straight to this one.
    let straight = |end: &usize| block.last[*end].iter().find(|vertex| row[**vertex] == row[*end]);
    let mut shared: BTreeSet<usize> = BTreeSet::new();
    let mut ways = Vec::new();
    for (to, from) in groups {
        let free = |end: &usize, from: &[usize]| {
            !shared.contains(end) && straight(end).is_none_or(|vertex| from.contains(vertex))
        };
        if to.len() == 1 || to.iter().all(|end| free(end, &from)) {
            shared.extend(to.iter().filter(|_| to.len() > 1));
            ways.push(Way::new(from, to, row));
            continue;
        }
        for vertex in from {
            let free = |end: &usize| !shared.contains(end) && straight(end).is_none_or(|other| *other == vertex);
            let (mut own, mut alone): (Vec<usize>, Vec<usize>) = to.iter().partition(|end| free(end));
            if own.len() > 1 {
                shared.extend(&own);
                ways.push(Way::new(vec![vertex], own, row));
            } else {
                alone.append(&mut own);
            }
            ways.extend(alone.into_iter().map(|end| Way::new(vec![vertex], vec![end], row)));
        }
    }
    ways
}

impl Routed {
    /// Each node's row.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.block.vertices.iter().zip(&self.row).filter_map(|(vertex, row)| Some((vertex.node?, *row)))
    }

    /// How many tracks the channel behind a layer has.
    pub(super) fn tracks(&self, layer: usize) -> usize {
        layer.checked_sub(self.block.first).and_then(|at| self.tracks.get(at)).copied().unwrap_or(0)
    }

    /// The lines, from row `top` on.
    pub(super) fn lines<'a>(
        &'a self,
        widths: &'a [usize],
        layers: &'a [Layer],
        channels: &'a [usize],
        top: usize,
    ) -> impl Iterator<Item = Line> + 'a {
        self.block.lines.iter().filter_map(move |path| {
            let from = self.block.vertices.get(*path.first()?)?.node?;
            let to = self.block.vertices.get(*path.last()?)?.node?;
            let start = &layers[self.block.vertices[path[0]].layer + self.block.first];
            let begin = start.x + widths[from] + 1;
            let mut points = vec![(begin, top + self.row[path[0]])];
            for pair in path.windows(2) {
                let layer = self.block.vertices[pair[0]].layer;
                let (here, there) = (self.row[pair[0]], self.row[pair[1]]);
                if let Some(track) = self.turns[layer].get(&(pair[0], pair[1])).filter(|_| here != there) {
                    let x = channels[layer + self.block.first] + 1 + track;
                    points.extend([(x, top + here), (x, top + there)]);
                }
            }
            let end = layers[self.block.vertices[path[path.len() - 1]].layer + self.block.first].x;
            points.push((end - 1, top + self.row[path[path.len() - 1]]));
            Some(Line { from, to, points })
        })
    }
}
