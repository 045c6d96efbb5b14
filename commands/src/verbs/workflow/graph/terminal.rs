//! A workflow for a terminal: the stages from top to bottom in the order of the file, each with what it may decide. What
//! does not lead to the next stage runs along the left.

use std::collections::BTreeMap;

use super::{Edge, Picture, To};
use crate::table::cut;

/// The width of a terminal that everybody has.
const COLUMNS: usize = 80;
/// So many lines run along the left; the connections beyond are only named.
const LANES_MAX: usize = 12;
/// The columns of one such line.
const LANE_COLUMNS: usize = 2;

/// One line of the drawing.
struct Row {
    /// The sign on the stem that the stages stand on.
    stem: char,
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stage(usize),
    /// A connection that runs along the left to this stage.
    Away(usize),
    Plain,
}

/// A line along the left to one stage.
struct Lane {
    to: usize,
    top: usize,
    bottom: usize,
    column: usize,
}

/// The drawing, line by line.
pub(super) fn draw(picture: &Picture) -> Vec<String> {
    let rows = rows(picture);
    let lanes = lanes(&rows);
    let used = lanes.iter().map(|lane| lane.column + 1).max().unwrap_or(0);
    let margin = used * LANE_COLUMNS;
    rows.iter()
        .enumerate()
        .map(|(at, row)| {
            let mut cells = vec![' '; margin];
            for lane in lanes.iter().filter(|lane| (lane.top..=lane.bottom).contains(&at)) {
                cells[place(lane, used)] = '│';
            }
            let own = lanes.iter().find(|lane| match row.kind {
                Kind::Stage(stage) | Kind::Away(stage) => lane.to == stage,
                Kind::Plain => false,
            });
            if let Some(lane) = own {
                join(&mut cells, lane, at, used, matches!(row.kind, Kind::Stage(_)));
            }
            let stem = match (row.kind, own.is_some()) {
                // Nothing comes from the left where the line was left out.
                (Kind::Away(_), false) if row.stem == '┼' => '├',
                (Kind::Away(_), false) => '└',
                _ => row.stem,
            };
            let line: String = cells.into_iter().chain([stem]).collect();
            cut(&format!("{line}{}", row.text), COLUMNS).trim_end().to_owned()
        })
        .collect()
}

fn place(lane: &Lane, used: usize) -> usize {
    (used - 1 - lane.column) * LANE_COLUMNS
}

/// The line of a lane turns to the stem here.
fn join(cells: &mut [char], lane: &Lane, at: usize, used: usize, arrives: bool) {
    let from = place(lane, used);
    cells[from] = match (at == lane.top, at == lane.bottom) {
        (true, _) => '┌',
        (_, true) => '└',
        _ => '├',
    };
    for cell in &mut cells[from + 1..] {
        *cell = if *cell == '│' { '┼' } else { '─' };
    }
    if arrives && let Some(last) = cells.last_mut() {
        *last = '▶';
    }
}

fn rows(picture: &Picture) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, (name, does)) in picture.stages.iter().enumerate() {
        let start = if picture.start == Some(at) { "  (start)" } else { "" };
        rows.push(Row { stem: '●', text: format!(" {name} · {does}{start}"), kind: Kind::Stage(at) });
        let edges: Vec<&Edge> = picture.edges.iter().filter(|edge| edge.from == at).collect();
        // What leads to the next stage comes last, so that the stem goes on to it.
        let (down, others): (Vec<&Edge>, Vec<&Edge>) =
            edges.into_iter().partition(|edge| edge.to == To::Stage(at + 1) && !edge.starts);
        for (place, edge) in others.iter().enumerate() {
            let last = down.is_empty() && place + 1 == others.len();
            let only = others.len() + down.len() == 1;
            let label = match edge.label.as_str() {
                "" if only => "always",
                "" => "otherwise",
                label => label,
            };
            let arrow = if edge.starts { "⇢" } else { "→" };
            let (to, kind) = match edge.to {
                To::Stage(to) => (picture.stages[to].0.split(' ').next().unwrap_or_default(), Kind::Away(to)),
                To::End => ("end", Kind::Plain),
            };
            let stem = match (kind, last) {
                (Kind::Away(_), true) => '┴',
                (Kind::Away(_), false) => '┼',
                (Kind::Stage(_) | Kind::Plain, true) => '└',
                (Kind::Stage(_) | Kind::Plain, false) => '├',
            };
            rows.push(Row { stem, text: format!("─ {label} {arrow} {to}"), kind });
        }
        for edge in &down {
            rows.push(Row { stem: '│', text: format!("  {}", edge.label).trim_end().to_owned(), kind: Kind::Plain });
        }
        if at + 1 < picture.stages.len() {
            let stem = if down.is_empty() { ' ' } else { '▼' };
            rows.push(Row { stem, text: String::new(), kind: Kind::Plain });
        }
    }
    rows
}

/// One line for each stage that something leads to from elsewhere, the shortest nearest to the stem.
fn lanes(rows: &[Row]) -> Vec<Lane> {
    let mut spans: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut stands: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        match row.kind {
            Kind::Stage(stage) => drop(stands.insert(stage, at)),
            Kind::Away(to) => {
                let span = spans.entry(to).or_insert((at, at));
                *span = (span.0.min(at), span.1.max(at));
            }
            Kind::Plain => {}
        }
    }
    let mut lanes: Vec<Lane> = spans
        .into_iter()
        .filter_map(|(to, (top, bottom))| {
            let stage = *stands.get(&to)?;
            Some(Lane { to, top: top.min(stage), bottom: bottom.max(stage), column: 0 })
        })
        .collect();
    lanes.sort_by_key(|lane| (lane.bottom - lane.top, lane.top));
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    lanes.retain_mut(|lane| {
        let free =
            |spans: &Vec<(usize, usize)>| spans.iter().all(|(top, bottom)| lane.bottom < *top || *bottom < lane.top);
        let column = taken.iter().position(free).unwrap_or(taken.len());
        if column >= LANES_MAX {
            return false;
        }
        if column == taken.len() {
            taken.push(Vec::new());
        }
        taken[column].push((lane.top, lane.bottom));
        lane.column = column;
        true
    });
    lanes
}
