//! A workflow as an SVG image: the stages in ranks from top to bottom, what leads far or back along the right. It needs no
//! other file and follows the reader's light or dark setting.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pipeline_lib::text::one_line;
use pipeline_lib::workflow::drawing::{Drawn, Edge, Picture, To};

const WIDTH: usize = 210;
const HEIGHT: usize = 46;
const GAP_X: usize = 36;
const GAP_Y: usize = 64;
const MARGIN: usize = 24;
const LANE: usize = 14;
/// The longest line in a box, in characters.
const BOX_CHARS: usize = 30;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}.name{font-weight:600}.does,.label{fill:#59636e;font-size:11px}\
rect{fill:#f6f8fa;stroke:#59636e}.start{stroke:#0969da;stroke-width:2}path{fill:none;stroke:#59636e}\
.starts{stroke-dasharray:5 4}.end{fill:#59636e;stroke:none}marker path{fill:#59636e;stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.does,.label{fill:#9198a1}rect{fill:#161b22;stroke:#9198a1}\
path{stroke:#9198a1}.start{stroke:#58a6ff}.end,marker path{fill:#9198a1;stroke:none}}";

/// The image.
pub(super) fn draw(picture: &Picture, title: &str) -> String {
    let ranks = ranks(picture);
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (stage, rank) in ranks.iter().enumerate() {
        rows.entry(*rank).or_default().push(stage);
    }
    let widest = rows.values().map(Vec::len).max().unwrap_or(1);
    let inner = widest * (WIDTH + GAP_X) - GAP_X;
    let mut at = vec![(0, 0); ranks.len()];
    for (rank, stages) in &rows {
        let width = stages.len() * (WIDTH + GAP_X) - GAP_X;
        for (column, stage) in stages.iter().enumerate() {
            at[*stage] = (MARGIN + (inner - width) / 2 + column * (WIDTH + GAP_X), MARGIN + rank * (HEIGHT + GAP_Y));
        }
    }
    let far = |edge: &Edge| match edge.to {
        To::Stage(to) => ranks[to] != ranks[edge.from] + 1,
        To::End => false,
    };
    let lanes = picture.edges.iter().filter(|edge| far(edge)).count();
    let width = MARGIN * 2 + inner + lanes * LANE + 160;
    let height = MARGIN * 2 + rows.len().max(1) * (HEIGHT + GAP_Y);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\"><title>{}</title><style>{STYLE}</style>\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" \
         refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
        escape(title)
    );
    let mut lane = 0;
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    for edge in &picture.edges {
        let (x, y) = at[edge.from];
        match edge.to {
            To::Stage(to) if far(edge) => {
                let side = MARGIN + inner + 16 + lane * LANE;
                lane += 1;
                along_the_side(&mut out, edge, (x, y), at[to], side);
            }
            To::Stage(to) => down(&mut out, edge, (x, y), at[to]),
            To::End => {
                let count = ends.entry(edge.from).or_default();
                to_the_end(&mut out, edge, (x + 24 + *count * 70, y + HEIGHT));
                *count += 1;
            }
        }
    }
    for (stage, Drawn { name, does, .. }) in picture.stages.iter().enumerate() {
        let (x, y) = at[stage];
        let class = if picture.start == Some(stage) { " class=\"start\"" } else { "" };
        // Writing to a text does not fail.
        let _written = writeln!(
            out,
            "<rect{class} x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
             <text class=\"name\" x=\"{}\" y=\"{}\">{}</text><text class=\"does\" x=\"{}\" y=\"{}\">{}</text>",
            x + 10,
            y + 19,
            escape(&one_line(name, BOX_CHARS)),
            x + 10,
            y + 36,
            escape(&one_line(does, BOX_CHARS)),
        );
    }
    out.push_str("</svg>\n");
    out
}

fn path(out: &mut String, edge: &Edge, way: &str) {
    let class = if edge.starts { " class=\"starts\"" } else { "" };
    let _written = writeln!(out, "<path{class} d=\"{way}\" marker-end=\"url(#arrow)\"/>");
}

fn label(out: &mut String, edge: &Edge, x: usize, y: usize) {
    if !edge.label.is_empty() {
        let _written = writeln!(out, "<text class=\"label\" x=\"{x}\" y=\"{y}\">{}</text>", escape(&edge.label));
    }
}

fn down(out: &mut String, edge: &Edge, from: (usize, usize), to: (usize, usize)) {
    let (x1, y1, x2, y2) = (from.0 + WIDTH / 2, from.1 + HEIGHT, to.0 + WIDTH / 2, to.1);
    let half = (y1 + y2) / 2;
    path(out, edge, &format!("M{x1} {y1}C{x1} {half} {x2} {half} {x2} {y2}"));
    label(out, edge, (x1 + x2) / 2 + 6, half + 4);
}

fn along_the_side(out: &mut String, edge: &Edge, from: (usize, usize), to: (usize, usize), side: usize) {
    // What leaves and what arrives stand apart, so that the arrow is seen even where a stage leads to itself.
    let (x1, y1, x2, y2) = (from.0 + WIDTH, from.1 + HEIGHT - 12, to.0 + WIDTH, to.1 + 12);
    path(out, edge, &format!("M{x1} {y1}H{side}V{y2}H{x2}"));
    label(out, edge, side + 4, y1.saturating_sub(4));
}

fn to_the_end(out: &mut String, edge: &Edge, from: (usize, usize)) {
    let (x, y) = (from.0, from.1 + 26);
    path(out, edge, &format!("M{x} {}V{}", from.1, y - 5));
    let _written = writeln!(out, "<circle class=\"end\" cx=\"{x}\" cy=\"{y}\" r=\"5\"/>");
    label(out, edge, x + 9, y + 4);
}

/// The rank of every stage: below everything that leads to it, loops left out.
fn ranks(picture: &Picture) -> Vec<usize> {
    let count = picture.stages.len();
    let mut next = vec![Vec::new(); count];
    for edge in &picture.edges {
        if let To::Stage(to) = edge.to {
            next[edge.from].push(to);
        }
    }
    // Depth first from the start; an edge to a stage that is still on the way closes a loop and counts for nothing.
    let (mut order, mut seen, mut on_the_way) = (Vec::with_capacity(count), vec![false; count], vec![false; count]);
    let mut forward = vec![Vec::new(); count];
    for first in picture.start.into_iter().chain(0..count) {
        if seen[first] {
            continue;
        }
        let mut todo = vec![(first, 0)];
        (seen[first], on_the_way[first]) = (true, true);
        while let Some((stage, followed)) = todo.last_mut() {
            let stage = *stage;
            let to = next[stage].get(*followed).copied();
            *followed += 1;
            let Some(to) = to else {
                on_the_way[stage] = false;
                order.push(stage);
                todo.truncate(todo.len() - 1);
                continue;
            };
            if !on_the_way[to] {
                forward[stage].push(to);
            }
            if !seen[to] {
                (seen[to], on_the_way[to]) = (true, true);
                todo.push((to, 0));
            }
        }
    }
    let mut ranks = vec![0; count];
    for stage in order.into_iter().rev() {
        for to in &forward[stage] {
            ranks[*to] = ranks[*to].max(ranks[stage] + 1);
        }
    }
    ranks
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
