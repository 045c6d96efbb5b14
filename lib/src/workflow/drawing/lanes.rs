//! The lines of a drawing, and what runs along the left of them: one line for each stage that something leads to from
//! elsewhere.

use std::collections::BTreeMap;

use super::{Edge, Picture, Row, To, What};

/// The columns of a line along the left.
const LANE_COLUMNS: usize = 2;

/// A line along the left to one stage.
struct Lane {
    to: usize,
    top: usize,
    bottom: usize,
    column: usize,
}

/// The drawing, line by line.
pub(super) fn draw(picture: &Picture, lanes_max: usize) -> Vec<Row> {
    let mut rows = rows(picture);
    let lanes = lanes(picture, &rows, lanes_max);
    let used = lanes.iter().map(|lane| lane.column + 1).max().unwrap_or(0);
    for (at, row) in rows.iter_mut().enumerate() {
        let mut cells = vec![' '; used * LANE_COLUMNS];
        for lane in lanes.iter().filter(|lane| (lane.top..=lane.bottom).contains(&at)) {
            cells[place(lane, used)] = '│';
        }
        let stage = stage_of(picture, row.what);
        let own = stage.and_then(|stage| lanes.iter().find(|lane| lane.to == stage));
        if let Some(lane) = own {
            join(&mut cells, lane, at, used, matches!(row.what, What::Stage(_)));
        } else if stage.is_some() && matches!(row.what, What::Away(_)) {
            // Nothing comes from the left where the line was left out.
            row.stem = if row.stem == '┼' { '├' } else { '└' };
        }
        row.rails = cells.into_iter().collect();
    }
    rows
}

/// The stage that a line along the left of a row would be about.
fn stage_of(picture: &Picture, what: What) -> Option<usize> {
    match what {
        What::Stage(at) => Some(at),
        What::Away(edge) => match picture.edges[edge].to {
            To::Stage(to) => Some(to),
            To::End => None,
        },
        What::Down(_) | What::Gap => None,
    }
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
    let row = |stem, what| Row { rails: String::new(), stem, what };
    let mut rows = Vec::new();
    for at in 0..picture.stages.len() {
        rows.push(row('●', What::Stage(at)));
        let edges = picture.edges.iter().enumerate().filter(|(_, edge)| edge.from == at);
        // What leads to the next stage comes last, so that the stem goes on to it.
        let is_down = |edge: &Edge| edge.to == To::Stage(at + 1) && !edge.starts;
        let (down, others): (Vec<_>, Vec<_>) = edges.partition(|(_, edge)| is_down(edge));
        for (place, (number, edge)) in others.iter().enumerate() {
            let last = down.is_empty() && place + 1 == others.len();
            let stem = match (edge.to, last) {
                (To::Stage(_), true) => '┴',
                (To::Stage(_), false) => '┼',
                (To::End, true) => '└',
                (To::End, false) => '├',
            };
            rows.push(row(stem, What::Away(*number)));
        }
        rows.extend(down.iter().map(|(number, _)| row('│', What::Down(*number))));
        if at + 1 < picture.stages.len() {
            rows.push(row(if down.is_empty() { ' ' } else { '▼' }, What::Gap));
        }
    }
    rows
}

/// One line for each stage that something leads to from elsewhere, the shortest nearest to the stem. What is beyond
/// `lanes_max` is only named.
fn lanes(picture: &Picture, rows: &[Row], lanes_max: usize) -> Vec<Lane> {
    let mut spans: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut stands: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        match (row.what, stage_of(picture, row.what)) {
            (What::Stage(stage), _) => drop(stands.insert(stage, at)),
            (_, Some(to)) => {
                let span = spans.entry(to).or_insert((at, at));
                *span = (span.0.min(at), span.1.max(at));
            }
            (_, None) => {}
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
        if column >= lanes_max {
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
