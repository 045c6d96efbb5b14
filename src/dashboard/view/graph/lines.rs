//! Lines drawn with characters: which of them meet in a cell, and the sign for what meets there. Which way they take is known
//! elsewhere.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::Theme;
use crate::dashboard::view::paint::Painter;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stroke {
    /// Beside others.
    pub(super) heavy: bool,
    /// Whether it is drawn without gaps.
    pub(super) whole: bool,
    /// Whether it belongs to what is looked at. Such lines decide about the style of cells that they share with others.
    pub(super) near: bool,
}

/// A part of the plane on which lines are drawn.
pub(super) struct Canvas {
    /// Columns and rows of the plane that are left of and above it.
    left: usize,
    top: usize,
    width: usize,
    cells: Vec<Cell>,
}

/// What meets in a cell.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// The strokes of the arms: up, down, left, right.
    arms: [Option<Stroke>; 4],
    /// A line turns here, so that all that meet are joined. Elsewhere one may cross over another.
    joint: bool,
    head: bool,
}

const UP: usize = 0;
const DOWN: usize = 1;
const LEFT: usize = 2;
const RIGHT: usize = 3;

impl Canvas {
    pub(super) fn new(left: usize, top: usize, width: u16, height: u16) -> Self {
        let width = usize::from(width);
        Self { left, top, width, cells: vec![Cell::default(); width * usize::from(height)] }
    }

    fn at(&mut self, x: usize, y: usize) -> Option<&mut Cell> {
        let (x, y) = (x.checked_sub(self.left)?, y.checked_sub(self.top)?);
        if x < self.width { self.cells.get_mut(y * self.width + x) } else { None }
    }

    fn arm(&mut self, x: usize, y: usize, arms: &[usize], stroke: Stroke) {
        let Some(cell) = self.at(x, y) else { return };
        for arm in arms {
            cell.arms[*arm] = cell.arms[*arm].max(Some(stroke));
        }
    }

    /// Draws a line from its start over its corners to its head.
    pub(super) fn line(&mut self, points: &[(usize, usize)], stroke: Stroke) {
        let (rows, columns) = (self.cells.len() / self.width.max(1), self.width);
        let (x_range, y_range) = (self.left..self.left + columns, self.top..self.top + rows);
        for pair in points.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            if y == to_y {
                for x in (x + 1).max(x_range.start)..to_x.min(x_range.end) {
                    self.arm(x, y, &[LEFT, RIGHT], stroke);
                }
                self.arm(x, y, &[RIGHT], stroke);
                self.arm(to_x, y, &[LEFT], stroke);
            } else {
                let (high, low) = (y.min(to_y), y.max(to_y));
                for y in (high + 1).max(y_range.start)..low.min(y_range.end) {
                    self.arm(x, y, &[UP, DOWN], stroke);
                }
                self.arm(x, high, &[DOWN], stroke);
                self.arm(x, low, &[UP], stroke);
                for y in [y, to_y] {
                    if let Some(cell) = self.at(x, y) {
                        cell.joint = true;
                    }
                }
            }
        }
        if let Some((x, y)) = points.first() {
            self.arm(*x, *y, &[LEFT], stroke);
        }
        if let Some(cell) = points.last().and_then(|(x, y)| self.at(*x, *y)) {
            cell.head = true;
        }
    }

    /// Puts everything where it belongs on the screen.
    pub(super) fn draw(&self, painter: &mut Painter<'_>, area: Rect, style: impl Fn(Theme, Stroke) -> Style) {
        let theme = painter.theme;
        for (at, cell) in self.cells.iter().enumerate() {
            let arms = cell.shown();
            let Some(stroke) = arms.iter().flatten().copied().max_by_key(|stroke| (stroke.near, stroke.heavy)) else {
                continue;
            };
            let (x, y) = (to_u16(at % self.width), to_u16(at / self.width));
            let sign = if cell.head {
                theme.pick("▸", ">")
            } else {
                let weights = arms.map(|arm| arm.map_or(0, |stroke| 1 + u8::from(stroke.heavy)));
                let broken = arms.iter().flatten().all(|stroke| !stroke.whole);
                match (theme.ascii, broken.then(|| gaps(weights)).flatten()) {
                    (ascii, Some((sign, plain))) => {
                        if ascii {
                            plain
                        } else {
                            sign
                        }
                    }
                    (true, None) => ascii(weights),
                    (false, None) => glyph(weights),
                }
            };
            painter.text(area.x + x, area.y + y, 1, sign, style(theme, stroke));
        }
    }
}

impl Cell {
    /// Where lines cross without being joined, the one that goes up and down is seen and the other goes on behind it.
    fn shown(&self) -> [Option<Stroke>; 4] {
        let crossing = !self.joint && self.arms.iter().all(Option::is_some);
        if crossing { [self.arms[UP], self.arms[DOWN], None, None] } else { self.arms }
    }
}

fn to_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// The signs for a straight piece of a broken line.
fn gaps([up, down, left, right]: [u8; 4]) -> Option<(&'static str, &'static str)> {
    match (up + down > 0, left + right > 0) {
        (true, false) => Some(("╎", ":")),
        (false, true) => Some(("╌", ".")),
        _ => None,
    }
}

/// The sign for arms of these weights (0 none, 1 light, 2 heavy): up, down, left, right.
fn glyph([up, down, left, right]: [u8; 4]) -> &'static str {
    // Each list by which of its arms are heavy, in the order in which they are named, the first counting most.
    let nth = |arms: &[u8]| arms.iter().fold(0, |sum, weight| sum * 2 + usize::from(*weight == 2));
    match [up, down, left, right].map(|weight| weight > 0) {
        [false, false, false, false] => " ",
        [false, false, _, _] => ["─", "╼", "╾", "━"][nth(&[left.max(1), right.max(1)])],
        [_, _, false, false] => ["│", "╽", "╿", "┃"][nth(&[up.max(1), down.max(1)])],
        [false, true, false, true] => ["╭", "┍", "┎", "┏"][nth(&[down, right])],
        [false, true, true, false] => ["╮", "┑", "┒", "┓"][nth(&[down, left])],
        [true, false, false, true] => ["╰", "┕", "┖", "┗"][nth(&[up, right])],
        [true, false, true, false] => ["╯", "┙", "┚", "┛"][nth(&[up, left])],
        [true, true, false, true] => ["├", "┝", "┟", "┢", "┞", "┡", "┠", "┣"][nth(&[up, down, right])],
        [true, true, true, false] => ["┤", "┥", "┧", "┪", "┦", "┩", "┨", "┫"][nth(&[up, down, left])],
        [false, true, true, true] => ["┬", "┮", "┭", "┯", "┰", "┲", "┱", "┳"][nth(&[down, left, right])],
        [true, false, true, true] => ["┴", "┶", "┵", "┷", "┸", "┺", "┹", "┻"][nth(&[up, left, right])],
        [true, true, true, true] => {
            const CROSSES: [&str; 16] =
                ["┼", "┾", "┽", "┿", "╁", "╆", "╅", "╈", "╀", "╄", "╃", "╇", "╂", "╊", "╉", "╋"];
            CROSSES[nth(&[up, down, left, right])]
        }
    }
}

fn ascii([up, down, left, right]: [u8; 4]) -> &'static str {
    let heavy = [up, down, left, right].contains(&2);
    match (up + down > 0, left + right > 0) {
        (true, true) => {
            if heavy {
                "#"
            } else {
                "+"
            }
        }
        (true, false) => {
            if heavy {
                "#"
            } else {
                "|"
            }
        }
        (false, true) => {
            if heavy {
                "="
            } else {
                "-"
            }
        }
        (false, false) => " ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_for_lines_to_meet_has_a_sign_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for at in 0..81_u32 {
            let arms = [at / 27, at / 9 % 3, at / 3 % 3, at % 3].map(|weight| u8::try_from(weight).unwrap());
            let count = arms.iter().filter(|weight| **weight > 0).count();
            let sign = glyph(arms);
            if count > 1 {
                assert!(seen.insert(sign), "{sign} stands twice");
            }
        }
        assert_eq!(seen.len(), 72);
    }

    #[test]
    fn a_line_that_crosses_another_goes_on_behind_it() {
        let mut canvas = Canvas::new(0, 0, 5, 3);
        let light = Stroke { heavy: false, whole: true, near: false };
        canvas.line(&[(0, 1), (4, 1)], light);
        canvas.line(&[(0, 0), (2, 0), (2, 2), (4, 2)], Stroke { heavy: true, ..light });
        let sign = |x: usize, y: usize| {
            let cell = canvas.cells[y * 5 + x];
            glyph(cell.shown().map(|arm| arm.map_or(0, |stroke| 1 + u8::from(stroke.heavy))))
        };
        assert_eq!([sign(1, 1), sign(2, 1), sign(3, 1)], ["─", "┃", "─"]);
        assert_eq!([sign(2, 0), sign(2, 2)], ["┓", "┗"]);
    }
}
