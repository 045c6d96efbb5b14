//! Loops in a directed graph: the groups of nodes that all lead to one another (Tarjan, 1972), in time in proportion to
//! the graph and without recursion, so that a file of any length is read.

/// The strongly connected components in which there is a way round, each in ascending order, by their first node.
pub(in crate::workflow) fn loops(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut walk = Walk {
        edges,
        number: vec![0; edges.len()],
        low: vec![0; edges.len()],
        open: vec![false; edges.len()],
        path: Vec::new(),
        last: 0,
        found: Vec::new(),
    };
    for node in 0..edges.len() {
        if walk.number[node] == 0 {
            walk.from(node);
        }
    }
    walk.found.sort();
    walk.found
}

struct Walk<'e> {
    edges: &'e [Vec<usize>],
    /// In which order the nodes were met, from 1; 0: not yet.
    number: Vec<usize>,
    /// The earliest node that each leads back to.
    low: Vec<usize>,
    /// Whether the node's component is still being collected.
    open: Vec<bool>,
    path: Vec<usize>,
    last: usize,
    found: Vec<Vec<usize>>,
}

impl Walk<'_> {
    fn from(&mut self, start: usize) {
        // Nodes on the way, each with how many of its edges have been followed.
        let mut todo = vec![(start, 0)];
        self.meet(start);
        while let Some((node, followed)) = todo.last_mut() {
            let (node, next) = (*node, self.edges[*node].get(*followed).copied());
            *followed += 1;
            match next {
                Some(to) if self.number[to] == 0 => {
                    self.meet(to);
                    todo.push((to, 0));
                }
                Some(to) if self.open[to] => self.low[node] = self.low[node].min(self.number[to]),
                Some(_) => {}
                None => {
                    todo.truncate(todo.len() - 1);
                    if let Some((before, _)) = todo.last() {
                        self.low[*before] = self.low[*before].min(self.low[node]);
                    }
                    if self.low[node] == self.number[node] {
                        self.close(node);
                    }
                }
            }
        }
    }

    fn meet(&mut self, node: usize) {
        self.last += 1;
        self.number[node] = self.last;
        self.low[node] = self.last;
        self.open[node] = true;
        self.path.push(node);
    }

    /// The component whose first node is this one is complete.
    fn close(&mut self, first: usize) {
        let mut group = Vec::new();
        while let Some(node) = self.path.pop() {
            self.open[node] = false;
            group.push(node);
            if node == first {
                break;
            }
        }
        if group.len() > 1 || self.edges[first].contains(&first) {
            group.sort_unstable();
            self.found.push(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_found_and_nothing_else() {
        let edges = [vec![1], vec![2], vec![1, 3], vec![3], vec![0], vec![]];
        assert_eq!(loops(&edges), [vec![1, 2], vec![3]]);
        assert_eq!(loops(&[]), Vec::<Vec<usize>>::new());
        let long: Vec<Vec<usize>> = (0..200_000).map(|node| vec![(node + 1) % 200_000]).collect();
        assert_eq!(loops(&long).len(), 1);
    }
}
