//! What holds of every layout, on random graphs, and a few drawings of small ones.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

fn laid_out(after: &[Vec<usize>]) -> Layout {
    let widths: Vec<u16> = (0..after.len()).map(|at| 3 + (at % 4) as u16).collect();
    layout(Plan { widths: &widths, room: usize::MAX, least: 1, after, chain: &[], spread: 1 })
}

/// The cells of a line: column, row, and whether it goes through there from side to side, up and down, or turns.
fn cells(line: &Line) -> Vec<(usize, usize, Step)> {
    let mut cells = Vec::new();
    let last = line.points.len() - 1;
    for (at, pair) in line.points.windows(2).enumerate() {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        assert!(x == to_x || y == to_y, "a line is straight between two points: {line:?}");
        assert!(x <= to_x, "a line never goes back: {line:?}");
        if y == to_y {
            cells.extend((x + usize::from(at > 0)..to_x + usize::from(at + 1 == last)).map(|x| (x, y, Step::Across)));
        } else {
            cells.extend((y.min(to_y) + 1..y.max(to_y)).map(|y| (x, y, Step::Down)));
            cells.extend([(x, y, Step::Turn), (x, to_y, Step::Turn)]);
        }
    }
    cells
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Across,
    Down,
    Turn,
}

fn check(after: &[Vec<usize>]) {
    let widths: Vec<u16> = (0..after.len()).map(|at| 3 + (at % 4) as u16).collect();
    let drawn = laid_out(after);
    // No two nodes overlap, and all are inside.
    let mut taken: HashMap<(usize, usize), usize> = HashMap::new();
    for (node, place) in drawn.places.iter().enumerate() {
        let x = drawn.layers[place.layer].x;
        assert!(x + usize::from(widths[node]) <= drawn.width && place.row < drawn.rows, "{node} is outside");
        for column in x..x + usize::from(widths[node]) {
            assert_eq!(taken.insert((column, place.row), node), None, "{node} lies over another");
        }
    }
    // Every dependency goes from left to right.
    for (node, own) in after.iter().enumerate() {
        for before in own {
            assert!(drawn.places[*before].layer < drawn.places[node].layer, "{before} is not left of {node}");
        }
    }
    // The lines say the same as the dependencies, no more and no less.
    assert_eq!(reach(after), reach(&lines_as_edges(&drawn, after.len())));
    assert_eq!(drawn.lines.len() + drawn.implied, after.iter().map(Vec::len).sum::<usize>());
    check_lines(&drawn, &taken);
}

fn check_lines(drawn: &Layout, taken: &HashMap<(usize, usize), usize>) {
    let edges: HashSet<(usize, usize)> = drawn.lines.iter().map(|line| (line.from, line.to)).collect();
    let mut through: HashMap<(usize, usize), Vec<(&Line, Step)>> = HashMap::new();
    for line in &drawn.lines {
        for (x, y, step) in cells(line) {
            assert_eq!(taken.get(&(x, y)), None, "a line goes through a node");
            through.entry((x, y)).or_default().push((line, step));
        }
    }
    for lines in through.values() {
        // Where a line turns all that go through are joined; elsewhere one may cross over another.
        let joint = lines.iter().any(|(_, step)| *step == Step::Turn);
        for (at, (a, step)) in lines.iter().enumerate() {
            for (b, other) in &lines[at + 1..] {
                let joined = a.from == b.from || a.to == b.to;
                // On a shared way each start leads to each end.
                let same = edges.contains(&(a.from, b.to)) && edges.contains(&(b.from, a.to));
                let crossing = !joint && step != other;
                assert!(joined || same || crossing, "{a:?} could be taken for {b:?}");
            }
        }
    }
}

fn lines_as_edges(drawn: &Layout, count: usize) -> Vec<Vec<usize>> {
    let mut after = vec![Vec::new(); count];
    drawn.lines.iter().for_each(|line| after[line.to].push(line.from));
    after
}

/// What each node stands behind, directly or not.
fn reach(after: &[Vec<usize>]) -> Vec<HashSet<usize>> {
    let mut all: Vec<HashSet<usize>> = Vec::new();
    for own in after {
        let mut set: HashSet<usize> = own.iter().copied().collect();
        own.iter().for_each(|before| set.extend(all[*before].clone()));
        all.push(set);
    }
    all
}

fn graphs() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let edges = |count: usize| {
        proptest::collection::vec((0..count.max(1), 0..count.max(1)), 0..count * 2 + 1).prop_map(move |pairs| {
            let mut after = vec![Vec::new(); count];
            for (a, b) in pairs {
                let (from, to) = (a.min(b), a.max(b));
                if from != to && !after[to].contains(&from) {
                    after[to].push(from);
                }
            }
            after
        })
    };
    (0..28_usize).prop_flat_map(edges)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nodes_lie_apart_and_no_line_can_be_taken_for_another(after in graphs()) {
        check(&after);
    }
}

#[test]
fn known_shapes() {
    let both = |a: usize, b: usize| vec![a, b];
    for after in [
        vec![],
        vec![vec![]],
        vec![vec![], vec![0], vec![1]],
        // Two that both wait for both.
        vec![vec![], vec![], both(0, 1), both(0, 1)],
        // The same and one more, so that the ways differ and want each other's places.
        vec![vec![], vec![], vec![], both(0, 1), both(0, 1), both(1, 2)],
        // A dependency that a chain says too.
        vec![vec![], vec![0], both(0, 1)],
        // A line across two layers.
        vec![vec![], vec![0], vec![1], vec![2], vec![], both(3, 4), vec![0, 5]],
    ] {
        check(&after);
    }
    assert_eq!(laid_out(&[vec![], vec![0], vec![0, 1]]).implied, 1);
}

#[test]
fn the_chain_is_straight() {
    let after = [vec![], vec![0], vec![0], vec![1, 2], vec![3], vec![2]];
    let chain = [0, 2, 3, 4];
    let drawn = layout(Plan { widths: &[3; 6], room: 99, least: 1, after: &after, chain: &chain, spread: 1 });
    let rows: HashSet<usize> = chain.iter().map(|node| drawn.places[*node].row).collect();
    assert_eq!(rows.len(), 1, "{:?}", drawn.places);
}

#[test]
fn what_waits_for_nothing_is_spread_below() {
    let after = [vec![], vec![], vec![1], vec![], vec![]];
    let drawn = layout(Plan { widths: &[3; 5], room: 99, least: 1, after: &after, chain: &[], spread: 3 });
    let at = |node: usize| (drawn.places[node].layer, drawn.places[node].row);
    assert_eq!([at(1), at(2), at(0), at(3), at(4)], [(0, 0), (1, 0), (0, 2), (1, 2), (2, 2)]);
    assert_eq!(drawn.rows, 3);
}

#[test]
fn of_two_that_lead_to_one_and_elsewhere_one_goes_its_own_way() {
    // 0 and 1 both lead to 4, and each to another.
    let drawn = laid_out(&[vec![], vec![], vec![0], vec![1], vec![0, 1]]);
    let turn = |from: usize, to: usize| {
        let line = drawn.lines.iter().find(|line| (line.from, line.to) == (from, to)).unwrap();
        line.points.get(1).filter(|_| line.points.len() > 2).map(|point| point.0)
    };
    assert_ne!(turn(0, 4), turn(1, 4), "{:?}", drawn.lines);
}

#[test]
fn two_hundred_tasks_in_a_thicket_are_laid_out_in_bounded_space() {
    let after: Vec<Vec<usize>> = (0..200_usize)
        .map(|at| {
            let mut own: Vec<usize> = [3, 7, 31].iter().filter_map(|back| at.checked_sub(*back)).collect();
            own.retain(|before| before % 5 != at % 5);
            own
        })
        .collect();
    let drawn = laid_out(&after);
    assert!(drawn.rows < 2_000 && drawn.layers.len() <= 200);
    check_lines(&drawn, &HashMap::new());
}

#[test]
fn nodes_are_cut_no_further_than_the_room_asks_for() {
    let after = [vec![], vec![0], vec![1]];
    let of = |room: usize| {
        let drawn = layout(Plan { widths: &[30, 20, 10], room, least: 8, after: &after, chain: &[], spread: 1 });
        (drawn.cap, drawn.width <= room)
    };
    // Two channels take four columns each.
    assert_eq!([of(100), of(68), of(67), of(40), of(10)], [(30, true), (30, true), (29, true), (11, true), (8, false)]);
}
