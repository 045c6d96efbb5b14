//! Pictures of the dashboard for the README, made from the real program at work on the demonstration. With
//! `PIPELINE_CAPTURE=docs cargo test --test e2e capture` they are written there as SVG; without, it is only checked that they
//! could be.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::screen::{Cell, Screen, Shade};
use super::support::Sandbox;

/// The size of the pictures in cells.
const SIZE: (u16, u16) = (132, 38);
/// The width of a cell in the picture's units, and the height of a row.
const CELL: (f32, f32) = (8.4, 18.0);
/// What the terminal's own sixteen colours are in the picture.
const PALETTE: [&str; 16] = [
    "#1c1f26", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4", "#5c6370", "#ff7b86",
    "#b1e18b", "#f5d67b", "#7cc4ff", "#d892f0", "#6fd3df", "#ffffff",
];
const GROUND: &str = "#15181e";
const TEXT: &str = "#c8ccd4";

#[test]
fn the_pages_on_the_demonstration() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("NO_COLOR", "");
    let demo = sandbox.path("demo");
    let mut screen = Screen::open(&sandbox, &["demo", "--dir", &demo.to_string_lossy()], SIZE);
    screen.wait("agents at work and something done", |text| {
        text.contains("working") && text.contains("✓ TASK") && text.matches("● TASK").count() >= 2
    });
    keep(&screen, "overview");
    screen.press("p");
    // What each of them printed, and not only where it will be.
    screen.wait("what their panes show", |text| text.matches("reading TASK-").count() >= 3);
    keep(&screen, "panes");
    screen.press("w");
    screen.shows(&["Graph", "TASK-001"]);
    keep(&screen, "graph");
    screen.press("o");
    screen.wait("the end of the demonstration", |text| text.contains("done 9/9") || text.contains("! "));
    screen.press("ljD");
    screen.wait("what a task changed", |text| text.contains("diff"));
    keep(&screen, "task");
    screen.press("t");
    screen.shows(&["Timeline"]);
    keep(&screen, "timeline");
    screen.press("<c-c>");
    screen.end();
}

/// Makes a picture, and writes it where that is wished.
fn keep(screen: &Screen, name: &str) {
    let picture = svg(&screen.cells());
    assert!(picture.matches("<text").count() > 10 && picture.ends_with("</svg>\n"), "{name} is empty");
    if let Some(folder) = std::env::var_os("PIPELINE_CAPTURE") {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
        std::fs::create_dir_all(&folder).expect("the folder of the pictures");
        std::fs::write(folder.join(format!("{name}.svg")), picture).expect("a picture");
    }
}

/// Rows of cells as an SVG in which text stays text.
fn svg(rows: &[Vec<Cell>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let (width, height) = (columns as f32 * CELL.0 + 24.0, rows.len() as f32 * CELL.1 + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, \
         'JetBrains Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" \
         fill=\"{GROUND}\"/>\n"
    );
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        while x < row.len() {
            let run = row[x..].iter().take_while(|cell| cell.style == row[x].style).count();
            draw(&mut out, &row[x..x + run], (x, y));
            x += run;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Cells of one look, from a place on.
fn draw(out: &mut String, cells: &[Cell], (x, y): (usize, usize)) {
    let style = cells[0].style;
    let (mut text, mut ground) = (colour(style.foreground, TEXT), colour(style.background, GROUND));
    if style.reversed {
        std::mem::swap(&mut text, &mut ground);
    }
    let (left, top) = (x as f32 * CELL.0 + 12.0, y as f32 * CELL.1 + 12.0);
    let wide = cells.len() as f32 * CELL.0;
    if ground != GROUND {
        writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{}\" fill=\"{ground}\"/>",
            CELL.1
        )
        .expect("text");
    }
    let words: String = cells.iter().map(|cell| cell.text.as_str()).collect();
    let begin = words.len() - words.trim_start().len();
    if words.trim().is_empty() {
        return;
    }
    let left = left + begin as f32 * CELL.0;
    let words = words.trim().replace('&', "&amp;").replace('<', "&lt;");
    let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
    let dim = if style.dim { " opacity=\"0.6\"" } else { "" };
    let length = cells.iter().map(|cell| cell.text.as_str()).collect::<String>().trim().chars().count() as f32 * CELL.0;
    writeln!(
        out,
        "<text x=\"{left:.1}\" y=\"{:.1}\" fill=\"{text}\"{weight}{dim} textLength=\"{length:.1}\" xml:space=\"preserve\">{words}</text>",
        top + CELL.1 * 0.74
    )
    .expect("text");
}

fn colour(of: Option<Shade>, otherwise: &str) -> String {
    match of {
        None => otherwise.to_owned(),
        Some(Shade::Palette(index)) if index < 16 => PALETTE[usize::from(index)].to_owned(),
        Some(Shade::Palette(index)) => {
            let level = |at: u8| if at == 0 { 0 } else { 55 + at * 40 };
            let (r, g, b) = match index {
                232.. => (8 + (index - 232) * 10, 8 + (index - 232) * 10, 8 + (index - 232) * 10),
                _ => (level((index - 16) / 36), level((index - 16) / 6 % 6), level((index - 16) % 6)),
            };
            format!("#{r:02x}{g:02x}{b:02x}")
        }
        Some(Shade::Exact(r, g, b)) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}
