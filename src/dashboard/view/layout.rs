//! Where each panel is, for each size of the terminal. Columns and rows are judged apart: all panels below each other where
//! there are rows for that, side by side where there are columns, both where there is much of both, and one panel at a time
//! where there is little of either.

use ratatui::layout::Rect;

use crate::dashboard::model::{Focus, Model, Page};

/// The least columns at which there is something to see.
pub(in crate::dashboard) const COLUMNS_MIN: u16 = 40;
/// The least rows.
pub(in crate::dashboard) const ROWS_MIN: u16 = 12;
/// From so many rows on all panels are shown below each other.
const STACKED_ROWS: u16 = 20;
/// From so many columns on rows have room for all that there is to say.
const NARROW: u16 = 72;
/// From so many columns on, where rows are few, what waits and the agents stand beside the board.
const BESIDE: u16 = 120;
/// From here on panels stand side by side.
const WIDE: (u16, u16) = (120, 30);
/// The columns between two panels side by side.
const GUTTER: u16 = 3;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Few rows: one panel at a time, or the board with the others beside it.
    Compact,
    /// All panels below each other.
    Stacked,
    /// Panels side by side.
    Wide,
}

/// Where each panel is. An empty area is not shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) room: Room,
    /// There are few columns.
    pub(super) narrow: bool,
    pub(super) header: Rect,
    /// The names of the pages.
    pub(super) tabs: Rect,
    /// A page that is not the overview.
    pub(super) page: Rect,
    pub(super) board: Rect,
    pub(super) agents: Rect,
    pub(super) attention: Rect,
    pub(super) output: Rect,
    pub(super) events: Rect,
    pub(super) footer: Rect,
}

impl Layout {
    /// The layout of a model in an area; none where it is too small.
    pub(super) fn of(model: &Model, area: Rect) -> Option<Self> {
        if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
            return None;
        }
        let fits = |(columns, rows)| area.width >= columns && area.height >= rows;
        let line = |y| Rect { y, height: 1, ..area };
        let body = Rect { y: area.y + 1, height: area.height - 2, ..area };
        let mut layout = Self {
            room: Room::Compact,
            narrow: area.width < NARROW,
            header: line(area.y),
            tabs: Rect::ZERO,
            page: Rect::ZERO,
            board: Rect::ZERO,
            agents: Rect::ZERO,
            attention: Rect::ZERO,
            output: Rect::ZERO,
            events: Rect::ZERO,
            footer: line(area.bottom() - 1),
        };
        if fits(WIDE) {
            layout.tabs = line(area.y + 1);
        }
        if model.page != Page::Overview {
            let above = layout.tabs.height * 2;
            layout.room = if fits(WIDE) { Room::Wide } else { Room::Stacked };
            layout.room = if area.height >= STACKED_ROWS { layout.room } else { Room::Compact };
            layout.page = Rect { y: body.y + above, height: body.height - above, ..body };
            return Some(layout);
        }
        if fits(WIDE) {
            layout.room = Room::Wide;
            layout.wide(model, body);
        } else if area.height >= STACKED_ROWS {
            layout.room = Room::Stacked;
            layout.stacked(model, body);
        } else {
            layout.compact(model, body);
        }
        Some(layout)
    }

    fn wide(&mut self, model: &Model, body: Rect) {
        // Below the tabs and an empty row.
        let body = Rect { y: body.y + 2, height: body.height - 2, ..body };
        let agents = count(model.screen.agents.len()).max(2) + 2;
        let attention = count(model.screen.attention.len()) * 2 + 1;
        let middle = agents.max(attention).min(body.height / 3).max(5);
        // One empty row keeps the panels apart.
        let rest = body.height - middle - 2;
        let cards = model.screen.columns.iter().map(|column| column.cards.len()).max().unwrap_or(0);
        // No taller than its cards need, so that the output gets what is left.
        let top = (count(cards) * 4 + 2).max(8).min(rest * 11 / 20);
        let (left, right) = (body.width * 3 / 5, body.width - body.width * 3 / 5);
        let part = |y, height, second: bool| {
            let (x, width) = if second { (body.x + left, right) } else { (body.x, left - GUTTER) };
            Rect { x, y, width, height }
        };
        self.board = Rect { height: top, ..body };
        let y = body.y + top + 1;
        (self.agents, self.attention) = (part(y, middle, false), part(y, middle, true));
        let y = y + middle + 1;
        (self.output, self.events) = (part(y, rest - top, false), part(y, rest - top, true));
    }

    fn stacked(&mut self, model: &Model, body: Rect) {
        let agents = count(model.screen.agents.len()).clamp(1, if body.height > 30 { 9 } else { 5 }) + 1;
        // Where columns are few, what waits takes two rows.
        let each = if self.narrow { 2 } else { 1 };
        let attention = count(model.screen.attention.len()).min(if body.height > 30 { 5 } else { 2 }) * each + 1;
        let events = if body.height > 30 { 5 } else { 2 };
        let rest = body.height - agents - attention - events;
        let output = (rest * 2 / 5).max(3);
        let heights = [rest - output, agents, attention, output, events];
        let mut y = body.y;
        let areas = heights.map(|height| {
            let area = Rect { y, height, ..body };
            y += height;
            area
        });
        [self.board, self.agents, self.attention, self.output, self.events] = areas;
    }

    fn compact(&mut self, model: &Model, body: Rect) {
        let events = Rect { y: body.bottom() - 1, height: 1, ..body };
        let panel = Rect { height: body.height - 1, ..body };
        self.events = events;
        if body.width >= BESIDE {
            let left = body.width * 3 / 5;
            let (x, width) = (panel.x + left, panel.width - left);
            let waiting = (count(model.screen.attention.len()) * 2 + 1).min(panel.height / 2);
            self.board = Rect { width: left - GUTTER, ..panel };
            self.attention = Rect { x, width, height: waiting, ..panel };
            self.agents = Rect { x, width, y: panel.y + waiting, height: panel.height - waiting };
            return;
        }
        match model.focus {
            Focus::Board => self.board = panel,
            Focus::Agents => {
                let rows = count(model.screen.agents.len()).clamp(1, panel.height / 2) + 1;
                self.agents = Rect { height: rows, ..panel };
                self.output = Rect { y: panel.y + rows, height: panel.height - rows, ..panel };
            }
            Focus::Attention => self.attention = panel,
        }
    }
}

fn count(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX).min(1000)
}
