//! Which layer each node is in, and in which order the nodes of a layer stand so that few lines cross.

/// Sweeps over the layers, there and back.
const SWEEPS: usize = 6;

/// A set of nodes, as bits.
type Bits = Vec<u64>;

fn has(bits: &Bits, at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 == 1
}

/// The dependencies without those that a chain of others says too, and how many these are.
pub(super) fn reduced(after: &[Vec<usize>], count: usize) -> (Vec<Vec<usize>>, usize) {
    let mut before: Vec<Bits> = Vec::with_capacity(count);
    let mut kept = Vec::with_capacity(count);
    let mut implied = 0;
    for at in 0..count {
        let mut bits = vec![0_u64; count.div_ceil(64)];
        let mut own: Vec<usize> = after.get(at).into_iter().flatten().copied().filter(|other| *other < at).collect();
        own.sort_unstable();
        own.dedup();
        let all = own.len();
        // A later node can stand behind an earlier one and not the other way round.
        let mut direct: Vec<usize> = Vec::new();
        for other in own.into_iter().rev() {
            if !has(&bits, other) {
                bits.iter_mut().zip(&before[other]).for_each(|(mine, theirs)| *mine |= theirs);
                bits[other / 64] |= 1 << (other % 64);
                direct.push(other);
            }
        }
        implied += all - direct.len();
        direct.reverse();
        before.push(bits);
        kept.push(direct);
    }
    (kept, implied)
}

/// The layer of each node: right behind the last that it depends on. Those that depend on nothing stand right before the
/// first that waits for them, so that no line is longer than it has to be.
pub(super) fn layers(after: &[Vec<usize>]) -> Vec<usize> {
    let mut layers: Vec<usize> = Vec::with_capacity(after.len());
    let mut next: Vec<Option<usize>> = vec![None; after.len()];
    for own in after {
        layers.push(own.iter().map(|before| layers[*before] + 1).max().unwrap_or(0));
    }
    for (at, own) in after.iter().enumerate() {
        for before in own {
            next[*before] = Some(next[*before].map_or(layers[at], |layer| layer.min(layers[at])));
        }
    }
    for (at, own) in after.iter().enumerate() {
        if let Some(next) = next[at].filter(|_| own.is_empty()) {
            layers[at] = next.saturating_sub(1);
        }
    }
    layers
}

/// Nodes that lines join, and those without a line. What holds the chain comes first, then what holds the first node.
pub(super) fn groups(after: &[Vec<usize>], chain: &[usize]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut root: Vec<usize> = (0..after.len()).collect();
    fn find(root: &mut [usize], mut at: usize) -> usize {
        while root[at] != at {
            root[at] = root[root[at]];
            at = root[at];
        }
        at
    }
    for (at, own) in after.iter().enumerate() {
        for before in own {
            let (a, b) = (find(&mut root, at), find(&mut root, *before));
            root[a.max(b)] = a.min(b);
        }
    }
    let mut groups: std::collections::BTreeMap<(bool, usize), Vec<usize>> = std::collections::BTreeMap::new();
    let first = chain.first().map(|at| find(&mut root, *at));
    for at in 0..after.len() {
        let of = find(&mut root, at);
        groups.entry((Some(of) != first, of)).or_default().push(at);
    }
    let (single, joined): (Vec<_>, Vec<_>) = groups.into_values().partition(|group| group.len() == 1);
    (joined, single.into_iter().flatten().collect())
}

/// A node, or the place at which a line crosses a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vertex {
    /// The node; none for a line that crosses.
    pub(super) node: Option<usize>,
    /// Which layer.
    pub(super) layer: usize,
    /// How much it matters that its lines are straight.
    pub(super) weight: u32,
}

/// Nodes that lines join, with a place for each line in each layer that it crosses. The lines of one node cross a layer
/// together.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub(super) vertices: Vec<Vertex>,
    /// The vertices of the next layer that each leads to.
    pub(super) next: Vec<Vec<usize>>,
    /// The vertices of the layer before that lead to each.
    pub(super) last: Vec<Vec<usize>>,
    /// The vertices of each layer, from top to bottom.
    pub(super) layers: Vec<Vec<usize>>,
    /// The layer that the first of these is.
    pub(super) first: usize,
    /// The lines, as the vertices they go through.
    pub(super) lines: Vec<Vec<usize>>,
}

impl Block {
    pub(super) fn new(group: &[usize], after: &[Vec<usize>], layer_of: &[usize], chain: &[usize]) -> Self {
        let first = group.iter().map(|node| layer_of[*node]).min().unwrap_or(0);
        let depth = group.iter().map(|node| layer_of[*node] + 1 - first).max().unwrap_or(0);
        let mut block = Self { first, layers: vec![Vec::new(); depth], ..Self::default() };
        let mut vertex_of = std::collections::HashMap::new();
        for node in group {
            vertex_of.insert(*node, block.add(Some(*node), layer_of[*node] - first));
        }
        // The vertices at which the lines of a node cross the layers behind it.
        let mut crossing: std::collections::HashMap<usize, Vec<usize>> = std::collections::HashMap::new();
        for to in group {
            for from in &after[*to] {
                let critical = chain.windows(2).any(|pair| pair == [*from, *to]);
                let mut path = vec![vertex_of[from]];
                let between = layer_of[*to] - layer_of[*from] - 1;
                let crossed = crossing.entry(*from).or_default();
                while crossed.len() < between {
                    let layer = layer_of[*from] - first + crossed.len() + 1;
                    crossed.push(block.add(None, layer));
                }
                path.extend(&crossed[..between]);
                path.push(vertex_of[to]);
                block.join(&path, critical);
                block.lines.push(path);
            }
        }
        block.sort();
        block
    }

    fn add(&mut self, node: Option<usize>, layer: usize) -> usize {
        let at = self.vertices.len();
        self.vertices.push(Vertex { node, layer, weight: if node.is_some() { 1 } else { 4 } });
        self.next.push(Vec::new());
        self.last.push(Vec::new());
        self.layers[layer].push(at);
        at
    }

    fn join(&mut self, path: &[usize], critical: bool) {
        for pair in path.windows(2) {
            if !self.next[pair[0]].contains(&pair[1]) {
                self.next[pair[0]].push(pair[1]);
                self.last[pair[1]].push(pair[0]);
            }
        }
        for at in path.iter().filter(|_| critical) {
            self.vertices[*at].weight = 16;
        }
    }

    /// Orders each layer by where its neighbours stand, there and back, and keeps the order with the fewest crossings.
    fn sort(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for sweep in 0..SWEEPS {
            let count = self.layers.len();
            for step in 1..count {
                let (layer, forward) = if sweep % 2 == 0 { (step, true) } else { (count - 1 - step, false) };
                self.sort_layer(layer, forward);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    fn sort_layer(&mut self, layer: usize, forward: bool) {
        let beside = if forward { layer - 1 } else { layer + 1 };
        let place = self.positions(beside);
        let neighbours = if forward { &self.last } else { &self.next };
        let mut keyed: Vec<(f64, usize)> = self.layers[layer]
            .iter()
            .enumerate()
            .map(|(at, vertex)| {
                let of = &neighbours[*vertex];
                let sum: usize = of.iter().map(|other| place[other]).sum();
                // One without neighbours there stays where it is.
                (if of.is_empty() { at as f64 } else { sum as f64 / of.len() as f64 }, *vertex)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
    }

    fn positions(&self, layer: usize) -> std::collections::HashMap<usize, usize> {
        self.layers[layer].iter().enumerate().map(|(at, vertex)| (*vertex, at)).collect()
    }

    /// How many pairs of lines cross.
    fn crossings(&self) -> usize {
        (1..self.layers.len()).map(|layer| self.crossings_before(layer)).sum()
    }

    fn crossings_before(&self, layer: usize) -> usize {
        let place = self.positions(layer);
        let mut ends: Vec<usize> = Vec::new();
        for vertex in &self.layers[layer - 1] {
            let mut of: Vec<usize> = self.next[*vertex].iter().map(|other| place[other]).collect();
            of.sort_unstable();
            ends.extend(of);
        }
        // Each end crosses those before it that lie below: counted in a tree of sums (Fenwick, 1994).
        let mut sums = vec![0_usize; self.layers[layer].len() + 1];
        let mut crossings = 0;
        for (seen, end) in ends.iter().enumerate() {
            let (mut at, mut above) = (end + 1, 0);
            while at > 0 {
                above += sums[at];
                at &= at - 1;
            }
            crossings += seen - above;
            at = end + 1;
            while at < sums.len() {
                sums[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
        crossings
    }
}
