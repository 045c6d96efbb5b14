//! Where each pane of the page is: which agents are shown at once, in how many rows and columns, and where the strip that
//! names all of them is. Draws nothing.

use pipeline_lib::ids::AgentName;
use pipeline_lib::view::pane::Wish;
use ratatui::layout::{Position, Rect};

use super::paint::columns;
use crate::dashboard::model::Model;
use crate::dashboard::pages::panes::Arrangement;

/// The most panes at a time.
const PANES_MAX: usize = 12;
/// The least columns and rows of a pane, by arrangement; its title is one of the rows.
const GRID: (u16, u16) = (38, 8);
const COLUMNS: (u16, u16) = (26, 8);
const ROWS: (u16, u16) = (38, 5);
/// From here on a pane has columns enough; more are of little use to it.
const COLUMNS_ENOUGH: u16 = 100;
/// What most programs expect; fewer columns cost them something.
const COLUMNS_USUAL: u16 = 80;
/// Fewer rows show little at a time.
const ROWS_USUAL: u16 = 12;
/// From here on there is space around the line between two columns.
const AIRY: u16 = 120;
/// A name of the strip has at most so many columns, so that others have room beside it.
pub(super) const STRIP_NAME_COLUMNS_MAX: u16 = 20;
/// The columns between two names of the strip.
const STRIP_GAP: u16 = 2;

/// A pane and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) struct Slot {
    /// Which agent, by its place in the picture.
    pub(in crate::dashboard) at: usize,
    /// All of it.
    pub(in crate::dashboard) area: Rect,
}

impl Slot {
    /// The part below the title, which shows the terminal.
    pub(in crate::dashboard) fn inner(&self) -> Rect {
        Rect { y: self.area.y + 1, height: self.area.height.saturating_sub(1), ..self.area }
    }
}

/// Where everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Plan {
    /// The panes, in the order of the numbers of their agents, the main one first.
    pub(in crate::dashboard) slots: Vec<Slot>,
    /// The line that names all agents, where not all have a pane; else empty.
    pub(in crate::dashboard) strip: Rect,
}

/// What is at a place of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) enum Hit {
    /// A pane.
    Pane(Slot),
    /// The name of an agent, by its place in the picture.
    Name(usize),
}

impl Plan {
    /// The places of a model's panes in an area.
    pub(super) fn of(model: &Model, area: Rect) -> Self {
        let looking = &model.panes;
        let count = model.screen.agents.len();
        let Some((selected, _)) = model.agent() else { return Self::default() };
        if area.width == 0 || area.height < 3 {
            return Self::default();
        }
        let all = !looking.zoomed && count <= capacity(looking.arrangement, area);
        let (area, strip) = match all || count < 2 {
            true => (area, Rect::ZERO),
            false => split_strip(area),
        };
        let capacity = if looking.zoomed { 1 } else { capacity(looking.arrangement, area) };
        let main = looking.main.as_ref().and_then(|name| model.screen.agents.iter().position(|row| row.name == *name));
        let shown = shown(looking.arrangement, count, capacity, selected, main.unwrap_or(0));
        let areas = lay(looking.arrangement, area, shown.len());
        Self { slots: shown.into_iter().zip(areas).map(|(at, area)| Slot { at, area }).collect(), strip }
    }

    /// The pane of an agent.
    pub(in crate::dashboard) fn slot(&self, at: usize) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.at == at)
    }

    /// What is at a place of the screen.
    pub(in crate::dashboard) fn hit(&self, model: &Model, x: u16, y: u16) -> Option<Hit> {
        let place = Position::new(x, y);
        if self.strip.contains(place) {
            let names = names(model, self.strip);
            return names.into_iter().find(|(_, area)| area.contains(place)).map(|(at, _)| Hit::Name(at));
        }
        self.slots.iter().find(|slot| slot.area.contains(place)).map(|slot| Hit::Pane(*slot))
    }

    /// What is to be seen.
    pub(super) fn wishes(&self, model: &Model) -> Vec<Wish> {
        // What is merely watched among others is watched at leisure: all of it together costs no more than one pane that
        // somebody types into.
        let typed_into = model.panes.typing.as_ref().map(|typing| &typing.agent);
        let is_alone = self.slots.len() == 1;
        let wish = |slot: &Slot| {
            let inner = slot.inner();
            let agent: AgentName = model.screen.agents.get(slot.at)?.name.clone();
            let size = pipeline_lib::terminal::Size { columns: inner.width, rows: inner.height };
            let (offset, at) = model.panes.scrolled.get(&agent).map_or((0, None), |scroll| scroll.wish);
            let focused = is_alone || typed_into == Some(&agent);
            Some(Wish { agent, size, resize: true, offset, at, focused })
        };
        self.slots.iter().filter(|slot| slot.inner().height > 0).filter_map(wish).collect()
    }
}

fn split_strip(area: Rect) -> (Rect, Rect) {
    let strip = Rect { y: area.bottom() - 1, height: 1, ..area };
    (Rect { height: area.height - 1, ..area }, strip)
}

/// The columns between two panes side by side.
pub(super) fn gap(area: Rect) -> u16 {
    if area.width >= AIRY { 3 } else { 1 }
}

/// How many of a least size fit beside each other.
fn fit(room: u16, least: u16, gap: u16) -> u16 {
    ((room + gap) / (least + gap)).max(1)
}

/// How many panes an area has room for.
fn capacity(arrangement: Arrangement, area: Rect) -> usize {
    let many = |columns: u16, rows: u16| (usize::from(columns) * usize::from(rows)).min(PANES_MAX);
    let gap = gap(area);
    match arrangement {
        Arrangement::Grid => many(fit(area.width, GRID.0, gap), fit(area.height, GRID.1, 0)),
        Arrangement::Columns if area.height < COLUMNS.1 => 1,
        Arrangement::Columns => many(fit(area.width, COLUMNS.0, gap), 1),
        Arrangement::Rows => many(1, fit(area.height, ROWS.1, 0)),
        Arrangement::Main if fit(area.height, ROWS.1, 0) < 3 => 1,
        Arrangement::Main => many(1, 1 + fit(beside_main(area).map_or(below_main(area), |_| area.height), ROWS.1, 0)),
    }
}

/// The columns of the main pane, where the others have room beside it.
fn beside_main(area: Rect) -> Option<u16> {
    let main = (area.width - gap(area).min(area.width)) * 3 / 5;
    (area.width.saturating_sub(main + gap(area)) >= COLUMNS.0).then_some(main)
}

/// The rows below the main pane, where the others have no room beside it.
fn below_main(area: Rect) -> u16 {
    area.height - area.height * 3 / 5
}

/// The agents that are shown: those around the selected one, in pages that do not move while it moves within them.
fn shown(arrangement: Arrangement, count: usize, capacity: usize, selected: usize, main: usize) -> Vec<usize> {
    let page = |order: &[usize], size: usize| {
        let place = order.iter().position(|at| *at == selected).unwrap_or(0);
        let size = size.max(1);
        order.iter().copied().skip(place / size * size).take(size).collect::<Vec<_>>()
    };
    let all: Vec<usize> = (0..count).collect();
    if arrangement != Arrangement::Main || capacity < 2 {
        return page(&all, capacity);
    }
    let others: Vec<usize> = all.into_iter().filter(|at| *at != main).collect();
    let mut shown = vec![main];
    shown.extend(page(&others, capacity - 1));
    shown
}

/// The places of so many panes.
fn lay(arrangement: Arrangement, area: Rect, count: usize) -> Vec<Rect> {
    let count = u16::try_from(count).unwrap_or(1).max(1);
    match arrangement {
        Arrangement::Grid => grid(area, count, best_columns(area, count)),
        Arrangement::Columns => grid(area, count, count),
        Arrangement::Rows => grid(area, count, 1),
        Arrangement::Main if count == 1 => vec![area],
        Arrangement::Main => {
            let (main, rest) = match beside_main(area) {
                Some(width) => {
                    let x = area.x + width + gap(area);
                    (Rect { width, ..area }, Rect { x, width: area.right() - x, ..area })
                }
                None => {
                    let height = below_main(area);
                    let main = Rect { height: area.height - height, ..area };
                    (main, Rect { y: main.bottom(), height, ..area })
                }
            };
            let mut areas = vec![main];
            areas.extend(grid(rest, count - 1, 1));
            areas
        }
    }
}

/// Cuts a length into parts that differ by one at most.
fn parts(length: u16, count: u16) -> Vec<u16> {
    let count = count.max(1);
    (0..count).map(|at| length / count + u16::from(at < length % count)).collect()
}

/// Panes row by row; those of the last row share its width.
fn grid(area: Rect, count: u16, columns: u16) -> Vec<Rect> {
    let (rows, gap) = (count.div_ceil(columns), gap(area));
    let mut areas = Vec::new();
    let mut y = area.y;
    for (row, height) in (0..).zip(parts(area.height, rows)) {
        let here = columns.min(count - row * columns);
        let mut x = area.x;
        for width in parts(area.width.saturating_sub(gap * (here - 1)), here) {
            areas.push(Rect { x, y, width, height });
            x += width + gap;
        }
        y += height;
    }
    areas
}

/// The columns that serve so many panes best: what can be seen counts, and less of it where a pane is narrow or low.
fn best_columns(area: Rect, count: u16) -> u16 {
    let (columns, rows) = (fit(area.width, GRID.0, gap(area)), fit(area.height, GRID.1, 0));
    let fits = |columns: &u16| count.div_ceil(*columns) <= rows;
    let worth = |columns: &u16| {
        let worth = |pane: &Rect| {
            let width = u64::from(pane.width);
            let height = u64::from(pane.height.saturating_sub(1));
            let seen = width.min(u64::from(COLUMNS_ENOUGH)) * height;
            seen * width.min(u64::from(COLUMNS_USUAL)) * height.min(u64::from(ROWS_USUAL))
        };
        grid(area, count, *columns).iter().map(worth).sum::<u64>()
    };
    // Of equally good ones the wider panes, which come first.
    (1..=columns.min(count)).rev().filter(fits).max_by_key(worth).unwrap_or(columns.min(count))
}

/// The names of the strip and where they are: all of them, or those around the selected one.
pub(super) fn names(model: &Model, strip: Rect) -> Vec<(usize, Rect)> {
    let agents = &model.screen.agents;
    let selected = model.agent().map_or(0, |(at, _)| at);
    let width = |at: usize| {
        agents
            .get(at)
            .map_or(0, |row| columns(&number(at)) + 2 + columns(row.name.as_str()).min(STRIP_NAME_COLUMNS_MAX))
    };
    let room = strip.width.saturating_sub(2);
    let (mut from, mut to, mut used) = (selected, selected + 1, width(selected));
    loop {
        let before = from.checked_sub(1).filter(|at| used + STRIP_GAP + width(*at) <= room);
        let behind = Some(to).filter(|at| *at < agents.len() && used + STRIP_GAP + width(*at) <= room);
        match (before, behind) {
            (Some(at), _) => {
                from = at;
                used += STRIP_GAP + width(at);
            }
            (None, Some(at)) => {
                to = at + 1;
                used += STRIP_GAP + width(at);
            }
            (None, None) => break,
        }
    }
    let mut x = strip.x + 1;
    let mut names = Vec::new();
    for at in from..to {
        let width = width(at).min(strip.right().saturating_sub(x));
        names.push((at, Rect { x, width, ..strip }));
        x += width + STRIP_GAP;
    }
    names
}

/// How an agent's number is written; there is none that no key leads to.
pub(super) fn number(at: usize) -> String {
    if at < 9 { format!("{} ", at + 1) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: u16, height: u16) -> Rect {
        Rect { x: 0, y: 1, width, height }
    }

    #[test]
    fn a_pane_is_never_smaller_than_is_useful() {
        for (area, grid, columns, rows, main) in [
            (page(80, 22), 4, 3, 4, 5),
            (page(40, 10), 1, 1, 2, 1),
            (page(200, 46), 12, 7, 9, 10),
            (page(120, 26), 9, 4, 5, 6),
        ] {
            let fits = |arrangement| capacity(arrangement, area);
            let all = [Arrangement::Grid, Arrangement::Columns, Arrangement::Rows, Arrangement::Main].map(fits);
            assert_eq!(all, [grid, columns, rows, main], "{area}");
        }
    }

    #[test]
    fn panes_are_neither_too_narrow_nor_too_low() {
        for (area, columns) in [
            (page(80, 22), [1, 1, 2, 2, 0, 0]),
            (page(120, 36), [1, 1, 2, 2, 2, 2]),
            (page(200, 46), [1, 2, 3, 2, 3, 2]),
        ] {
            for (count, columns) in (1..).zip(columns).filter(|(_, columns)| *columns > 0) {
                assert_eq!(best_columns(area, count), columns, "{count} in {area}");
            }
        }
    }

    #[test]
    fn panes_cover_the_area_and_never_each_other() {
        for arrangement in [Arrangement::Grid, Arrangement::Columns, Arrangement::Rows, Arrangement::Main] {
            for (width, height) in [(80, 22), (40, 10), (200, 46), (131, 33), (41, 9)] {
                let area = page(width, height);
                for count in 1..=capacity(arrangement, area) {
                    let areas = lay(arrangement, area, count);
                    assert_eq!(areas.len(), count);
                    for (at, one) in areas.iter().enumerate() {
                        assert!(one.height > 2 && area.intersection(*one) == *one, "{one} in {area}");
                        assert!(areas[..at].iter().all(|other| !other.intersects(*one)), "{areas:?}");
                    }
                    assert!(areas.iter().any(|one| one.bottom() == area.bottom()));
                    assert!(areas.iter().any(|one| one.right() == area.right()));
                }
            }
        }
    }

    #[test]
    fn agents_are_shown_in_pages_that_stay() {
        let grid = |selected| shown(Arrangement::Grid, 5, 4, selected, 0);
        assert_eq!([grid(0), grid(3), grid(4)], [vec![0, 1, 2, 3], vec![0, 1, 2, 3], vec![4]]);
        let main = |selected| shown(Arrangement::Main, 6, 4, selected, 2);
        assert_eq!([main(2), main(3), main(5)], [vec![2, 0, 1, 3], vec![2, 0, 1, 3], vec![2, 4, 5]]);
    }
}
