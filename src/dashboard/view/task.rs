//! The page `task`: one task in full, a part at a time. The parts are in files of their own; here are the title line with
//! their names, and what is said while there is nothing to show.

mod about;
mod checks;
mod diff;
mod flow;
pub(super) mod found;
mod history;
mod logs;
mod rows;
mod runs;

use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::task::{Changes, Part, TaskDetail};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::paint::{Painter, columns};
use super::say;
use crate::dashboard::highlight::Chunk;
use crate::dashboard::model::Model;
use crate::dashboard::pages::task::{self, Extent};
use crate::dashboard::theme::{Depth, Theme};

/// From so many columns on parts are shown side by side.
const WIDE_COLUMNS: u16 = 140;
/// From so many rows on there is an empty one below the title.
const TALL_ROWS: u16 = 30;
/// A title beside the names of the parts needs this many columns.
const TITLE_COLUMNS_MIN: u16 = 20;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let Some(detail) = task::detail(model) else { return nothing(painter, model, area) };
    title(painter, model, area, detail);
    let body = body(area);
    match model.reading.part {
        Part::About => about::draw(painter, model, body, detail),
        Part::Flow => flow::draw(painter, model, body, detail),
        Part::Diff => diff::draw(painter, model, body, detail),
        Part::Runs => runs::draw(painter, model, body, detail),
        Part::Checks => checks::draw(painter, model, body, detail),
        Part::History => history::draw(painter, model, body, detail),
        Part::Logs => logs::draw(painter, model, body, detail),
    }
    found::mark(painter, model, body);
}

/// What is below the title line, behind the margin that all panels have.
fn body(area: Rect) -> Rect {
    let above = if area.height >= TALL_ROWS { 2 } else { 1 };
    Rect {
        x: area.x + 2,
        y: area.y + above.min(area.height),
        width: area.width.saturating_sub(3),
        height: area.height.saturating_sub(above),
    }
}

/// How many rows the part in sight has, and how many fit.
pub(super) fn extent(model: &Model, area: Rect) -> Extent {
    let Some(detail) = task::detail(model) else { return Extent::default() };
    let body = body(area);
    match model.reading.part {
        Part::About => about::extent(model, body, detail),
        Part::Flow => flow::extent(model, body, detail),
        Part::Diff => diff::extent(model, body),
        Part::Runs => Extent { total: detail.runs.len(), room: usize::from(body.height), start: 0 },
        Part::Checks => Extent { total: detail.checks().count(), room: usize::from(body.height), start: 0 },
        Part::History => history::extent(body, detail),
        Part::Logs => logs::extent(body, detail),
    }
}

/// The pieces of code in sight.
pub(super) fn code_in_sight(model: &Model, area: Rect) -> Vec<Chunk> {
    diff::code_in_sight(model, body(area))
}

fn nothing(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let theme = painter.theme;
    let body = body(area);
    let Some(id) = model.target_task() else {
        painter.rule(area, "Task", "", "", true);
        return say(painter, body, &["No task is selected.", "Choose one on the overview (o), or press n to add one."]);
    };
    painter.rule(area, id.as_str(), "", "", true);
    match &model.screen.detail {
        Detail::NoTask(gone) if *gone == id => {
            let where_to = format!("What happened to it: pipeline events --task {id}");
            say(painter, body, &["It is no longer among the tasks.", &where_to]);
        }
        _ => {
            painter.text(body.x, body.y, body.width, &format!("Gathering{}", theme.ellipsis()), theme.dim());
        }
    }
}

/// The title line: whose page it is, its parts with how much is in them, and where in the part one is.
fn title(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    let theme = painter.theme;
    let line = theme.pick("─", "-");
    let mut x = area.x + painter.text(area.x, area.y, 1, theme.pick("▌", ">"), theme.accent());
    let room = |x: u16| area.right().saturating_sub(x);
    x += painter.text(x, area.y, room(x), detail.id.as_str(), theme.accent()) + 1;
    let tabs = tabs(theme, model, detail);
    let needed: u16 = tabs.iter().map(|(_, text, _)| columns(text)).sum();
    if needed < room(x) {
        for (_, text, style) in &tabs {
            x += painter.text(x, area.y, room(x), text, *style);
        }
    } else {
        let part = model.reading.part;
        let at = Part::ALL.iter().position(|other| *other == part).unwrap_or(0) + 1;
        let count = format!(" {at}/{}", Part::ALL.len());
        x += painter.parts(x, area.y, room(x), &[(part.word(), theme.strong()), (&count, theme.dim())]);
    }
    x += 1;
    let end = end(painter, model, detail, room(x));
    let tail = if end.is_empty() { 0 } else { columns(&end) + 1 };
    for at in x..area.right().saturating_sub(tail) {
        painter.text(at, area.y, 1, line, theme.rule(true));
    }
    painter.right(x, area.y, room(x), &end, theme.text());
}

/// The part whose name is at a place of the screen.
pub(super) fn part_at(model: &Model, area: Rect, x: u16, y: u16) -> Option<Part> {
    let detail = task::detail(model).filter(|_| y == area.y)?;
    let tabs = tabs(model.theme, model, detail);
    let mut begin = area.x + 2 + columns(detail.id.as_str());
    let needed: u16 = tabs.iter().map(|(_, text, _)| columns(text)).sum();
    if begin + needed >= area.right() {
        return None;
    }
    tabs.iter().find_map(|(part, text, _)| {
        begin += columns(text);
        (x < begin && x >= begin - columns(text)).then_some(*part)
    })
}

fn tabs(theme: Theme, model: &Model, detail: &TaskDetail) -> Vec<(Part, String, Style)> {
    let mut tabs = Vec::new();
    for part in Part::ALL {
        let count = match part {
            Part::Diff => match &detail.changes {
                Changes::Known { diff, .. } => diff.files_total,
                Changes::Underway | Changes::NoBranch | Changes::NothingMerged | Changes::Failed(_) => 0,
            },
            Part::Runs => detail.runs.len(),
            Part::Checks => detail.checks().count(),
            Part::About | Part::Flow | Part::History | Part::Logs => 0,
        };
        let here = part == model.reading.part;
        // Where a style may not show, the part in sight stands in brackets.
        let marked = here && (theme.ascii || theme.depth == Depth::Mono);
        let (open, close) = if marked { ("[", "]") } else { (" ", " ") };
        let (word, beside) = if here { (theme.accent(), theme.text()) } else { (theme.dim(), theme.dim()) };
        tabs.push((part, format!("{open}{}", part.word()), word));
        if count > 0 {
            tabs.push((part, format!(" {count}"), beside));
        }
        tabs.push((part, close.to_owned(), word));
    }
    tabs
}

/// Where in the part one is; where all of it is in sight, the title of the task.
fn end(painter: &Painter<'_>, model: &Model, detail: &TaskDetail, room: u16) -> String {
    let search = &model.reading.search;
    if !search.needle.is_empty() {
        let needle = super::paint::fit(&search.needle, 20, painter.theme.ellipsis());
        let words = format!("/{needle}  {} of {}", search.at.0, search.at.1);
        return if columns(&words) + 4 < room { words } else { String::new() };
    }
    let extent = super::extent(model);
    let chooses = matches!(model.reading.part, Part::Runs | Part::Checks);
    if extent.total > extent.room && !chooses {
        let top = task::top(model, extent);
        let words = format!("{}-{} of {}", top + 1, (top + extent.room).min(extent.total), extent.total);
        return if columns(&words) + 4 < room { words } else { String::new() };
    }
    if room < TITLE_COLUMNS_MIN || model.reading.part == Part::About {
        return String::new();
    }
    super::paint::fit(&detail.title, room - 4, painter.theme.ellipsis())
}
