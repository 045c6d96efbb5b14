//! What a task changes: the files with their counts, and the lines of all of them below each other. Only what is in sight
//! is drawn, and only that is coloured. Added and removed lines have a sign; no colour says more than that.

use pipeline_lib::diff::{Change, Diff, DiffLine, FileDiff, Hunk, Side};
use pipeline_lib::view::detail::task::{Changes, TaskDetail};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::WIDE_COLUMNS;
use crate::dashboard::highlight::{CHUNK_LINES, Chunk, shown};
use crate::dashboard::model::Model;
use crate::dashboard::pages::task::rows::{self, Row};
use crate::dashboard::pages::task::{self, Extent};
use crate::dashboard::view::paint::{Painter, columns, fit, moved};

/// The most columns of the list of files where it stands beside the lines, and the least.
const LIST_COLUMNS: (u16, u16) = (64, 34);
/// The columns between the list and the lines.
const GUTTER: u16 = 3;
/// From so many rows on the list stands above the lines.
const LIST_ROWS_MIN: u16 = 14;
/// The columns before the name of a file.
const NAME: u16 = 4;
/// The columns of the bar of a file.
const BAR: usize = 10;
/// From so many columns on lines have a number, and from so many both of their numbers.
const NUMBER_COLUMNS: (u16, u16) = (60, 100);

/// Where the parts are.
struct Places {
    summary: Rect,
    list: Rect,
    lines: Rect,
}

impl Places {
    fn of(area: Rect, diff: &Diff) -> Self {
        let files = u16::try_from(diff.files.len()).unwrap_or(u16::MAX);
        let summary = Rect { height: 1.min(area.height), ..area };
        let below = Rect { y: area.y + summary.height, height: area.height - summary.height, ..area };
        if area.width >= WIDE_COLUMNS {
            let below = Rect { y: below.y + 1, height: below.height.saturating_sub(1), ..below };
            let longest = diff.files.iter().map(|file| columns(&file.path)).max().unwrap_or(0);
            let counts = Counts::of(diff);
            let width = (NAME + longest + 1 + counts.width()).clamp(LIST_COLUMNS.1, LIST_COLUMNS.0);
            let x = below.x + width + GUTTER;
            let list = Rect { width, ..below };
            return Self { summary, list, lines: Rect { x, width: below.right() - x, ..below } };
        }
        let height = if below.height >= LIST_ROWS_MIN { files.min(below.height / 4) } else { 0 };
        let list = Rect { height, ..below };
        let used = height + u16::from(height > 0);
        let lines = Rect { y: below.y + used, height: below.height - used, ..below };
        Self { summary, list, lines }
    }
}

pub(super) fn extent(model: &Model, area: Rect) -> Extent {
    let Some(diff) = task::diff(model) else { return Extent::default() };
    Extent { total: rows::total(diff), room: usize::from(Places::of(area, diff).lines.height), start: 0 }
}

/// The pieces of code in sight, top to bottom.
pub(super) fn code_in_sight(model: &Model, area: Rect) -> Vec<Chunk> {
    let Some(diff) = task::diff(model) else { return Vec::new() };
    let room = usize::from(Places::of(area, diff).lines.height);
    let top = rows::offset(diff, &model.reading.place);
    let mut chunks: Vec<Chunk> = Vec::new();
    for (file, row) in rows::from(diff, top).take(room) {
        if let Row::Line(hunk, line, DiffLine { side: Side::Both | Side::New, .. }) = row {
            let chunk = Chunk { file, hunk, nth: line / CHUNK_LINES };
            if chunks.last() != Some(&chunk) {
                chunks.push(chunk);
            }
        }
    }
    chunks
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, detail: &TaskDetail) {
    let diff = match &detail.changes {
        Changes::Known { diff, .. } if !diff.files.is_empty() => diff,
        other => return nothing(painter, area, detail, other),
    };
    let places = Places::of(area, diff);
    let top = task::top(model, extent(model, area));
    let place = rows::place(diff, top);
    summary(painter, places.summary, detail, diff, place.file);
    if places.list.height > 0 {
        list(painter, places.list, diff, place.file);
    }
    let numbers = Numbers::of(places.lines.width, diff.files.get(place.file));
    let y = places.lines.y..places.lines.bottom();
    for (y, (file, row)) in y.zip(rows::from(diff, top)) {
        let line = Rect { y, height: 1, ..places.lines };
        let Some(of) = diff.files.get(file) else { continue };
        match row {
            Row::Head => head(painter, line, of),
            Row::NoLines => note(painter, line, why_no_lines(of)),
            Row::Hunk(hunk) => hunk_head(painter, line, hunk, &numbers),
            Row::Line(hunk, at, text) => code(painter, model, line, (file, hunk, at), text, &numbers),
            Row::LeftOut(count) => {
                note(painter, line, &format!("{count} more changed lines are left out; git diff shows them."));
            }
            Row::Gap => {}
        }
    }
}

/// What is said while there is no comparison.
fn nothing(painter: &mut Painter<'_>, area: Rect, detail: &TaskDetail, changes: &Changes) {
    let branch = &detail.branch;
    match changes {
        Changes::Underway => {
            let words = format!("Comparing {branch} with {}{}", detail.base, painter.theme.ellipsis());
            painter.text(area.x, area.y, area.width, &words, painter.theme.dim());
        }
        Changes::NoBranch => {
            super::say(painter, area, &[&format!("Nothing to compare yet: no work on {branch}"), &detail.why.rule]);
        }
        Changes::NothingMerged => {
            super::say(painter, area, &[&format!("Nothing was merged: {} had everything already.", detail.base)]);
        }
        Changes::Known { .. } => {
            let words = format!("Nothing has changed on {branch} yet.");
            super::say(painter, area, &[&words, "What an agent has not committed does not show here."]);
        }
        Changes::Failed(why) => {
            super::say(painter, area, &["The work could not be compared.", why]);
        }
    }
}

fn summary(painter: &mut Painter<'_>, line: Rect, detail: &TaskDetail, diff: &Diff, file: usize) {
    let theme = painter.theme;
    let files = if diff.files_total == 1 { "file" } else { "files" };
    let count = format!("{} {files}  ", diff.files_total);
    let (added, removed) = (format!("+{}", diff.added()), format!(" -{}", diff.removed()));
    let at = if diff.files.len() > 1 { format!("   file {} of {}", file + 1, diff.files.len()) } else { String::new() };
    let what = match &detail.changes {
        Changes::Known { stale: true, .. } => format!("   comparing again{}", theme.ellipsis()),
        Changes::Known { merged: true, .. } => format!("   merged into {} as {}", detail.base, diff.to.short()),
        _ => format!("   {}...{}", detail.base, detail.branch),
    };
    let used = painter.parts(
        line.x,
        line.y,
        line.width,
        &[
            (&count, theme.text()),
            (&added, theme.side(Side::New)),
            (&removed, theme.side(Side::Old)),
            (&at, theme.text()),
        ],
    );
    let room = line.width - used;
    if columns(&what) <= room {
        painter.text(line.x + used, line.y, room, &what, theme.dim());
    }
}

fn list(painter: &mut Painter<'_>, area: Rect, diff: &Diff, current: usize) {
    let theme = painter.theme;
    let rows = usize::from(area.height);
    // What does not fit is counted in the last row.
    let hidden = diff.files_total > rows;
    let fit_rows = rows - usize::from(hidden && rows > 1);
    let first = super::super::first_row(current, fit_rows);
    let most = diff.files.iter().map(|file| file.added + file.removed).max().unwrap_or(1).max(1);
    let count = |number: usize, sign: &str| if number == 0 { String::new() } else { format!("{sign}{number}") };
    let counts = Counts::of(diff);
    let Counts { added, removed } = counts;
    for (at, (file, y)) in diff.files.iter().skip(first).zip(area.y..).take(fit_rows).enumerate() {
        let here = first + at == current;
        let style = if here { theme.strong() } else { theme.text() };
        painter.text(area.x, y, 1, if here { theme.pick("›", ">") } else { " " }, theme.accent());
        painter.text(area.x + 2, y, 1, file.change.letter(), theme.dim());
        let room = area.width.saturating_sub(NAME + 1 + counts.width());
        painter.text(area.x + NAME, y, room, &name(file, room, theme.ellipsis()), style);
        let mut x = area.x + NAME + room + 1;
        if file.binary {
            let word = if added + 1 + removed < 6 { "bin" } else { "binary" };
            painter.right(x, y, added + 1 + removed, word, theme.dim());
        } else {
            painter.right(x, y, added, &count(file.added, "+"), theme.side(Side::New));
            painter.right(x + added + 1, y, removed, &count(file.removed, "-"), theme.side(Side::Old));
        }
        x += added + 1 + removed + 1;
        let (plus, minus) = shares(file, most);
        let (plus, minus) = ("+".repeat(plus), "-".repeat(minus));
        let parts = [(plus.as_str(), theme.side(Side::New)), (minus.as_str(), theme.side(Side::Old))];
        painter.parts(x, y, to_u16(BAR), &parts);
    }
    let more = diff.files_total - (first + fit_rows).min(diff.files_total);
    if hidden && rows > 1 && more > 0 {
        let words = if diff.files_total > diff.files.len() {
            format!("and {more} more, of which {} are left out", diff.files_total - diff.files.len())
        } else {
            format!("and {more} more")
        };
        painter.text(area.x + NAME, area.bottom() - 1, area.width.saturating_sub(NAME), &words, theme.dim());
    }
}

/// The columns of the counts of all files.
#[derive(Debug, Clone, Copy)]
struct Counts {
    added: u16,
    removed: u16,
}

impl Counts {
    fn of(diff: &Diff) -> Self {
        let widest = |number: fn(&FileDiff) -> usize| {
            let most = diff.files.iter().map(number).max().unwrap_or(0);
            to_u16(most.to_string().len()) + 1
        };
        Self { added: widest(|file| file.added), removed: widest(|file| file.removed) }
    }

    /// With the bar behind them.
    fn width(self) -> u16 {
        self.added + 1 + self.removed + 1 + to_u16(BAR)
    }
}

/// How much of the bar of a file is added and removed; each at least a column where there is any.
fn shares(file: &FileDiff, most: usize) -> (usize, usize) {
    let share = |lines: usize| (lines * BAR).div_ceil(most).min(BAR);
    let (plus, minus) = (share(file.added), share(file.removed));
    // Rounding up twice may be one too many.
    if plus + minus <= BAR {
        return (plus, minus);
    }
    if plus > minus { (BAR - minus, minus) } else { (plus, BAR - plus) }
}

fn to_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// The name of a file; of a long one its end, which says more.
fn name(file: &FileDiff, room: u16, ellipsis: &str) -> String {
    if columns(&file.path) <= room {
        return file.path.clone();
    }
    let mut rest = file.path.as_str();
    while columns(rest) + 1 > room && !rest.is_empty() {
        let mut chars = rest.chars();
        chars.next();
        rest = chars.as_str();
    }
    format!("{ellipsis}{rest}")
}

fn head(painter: &mut Painter<'_>, line: Rect, file: &FileDiff) {
    let theme = painter.theme;
    let arrow = theme.pick(" → ", " -> ");
    let old = file.old_path.iter().map(|old| format!("{old}{arrow}")).collect::<String>();
    let mode = file.modes.map(|(before, after)| format!("  mode {before:o}{arrow}{after:o}")).unwrap_or_default();
    let counts = (format!("  +{}", file.added), format!(" -{}", file.removed));
    let room = line.width.saturating_sub(columns(&counts.0) + columns(&counts.1) + columns(&mode) + 4);
    let path = fit(&format!("{old}{}", file.path), room, theme.ellipsis());
    let mut parts = vec![(file.change.letter(), theme.dim()), (" ", theme.text()), (path.as_str(), theme.strong())];
    if !file.binary {
        parts.push((&counts.0, theme.side(Side::New)));
        parts.push((&counts.1, theme.side(Side::Old)));
    }
    parts.push((&mode, theme.dim()));
    parts.push((" ", theme.text()));
    let used = painter.parts(line.x, line.y, line.width, &parts);
    for x in line.x + used..line.right() {
        painter.text(x, line.y, 1, theme.pick("─", "-"), theme.rule(false));
    }
}

fn note(painter: &mut Painter<'_>, line: Rect, words: &str) {
    painter.text(line.x + 2, line.y, line.width.saturating_sub(2), words, painter.theme.dim());
}

fn why_no_lines(file: &FileDiff) -> &'static str {
    match (file.binary, file.change, file.modes) {
        (true, _, _) => "It is no text, or too large to be compared.",
        (false, Change::Renamed, _) => "Only its name is another one.",
        (false, _, Some(_)) => "Only its mode is another one.",
        (false, Change::Added | Change::Deleted | Change::Modified, None) => "It is empty.",
    }
}

/// How lines are numbered: how many columns a number has, and how many numbers there are.
struct Numbers {
    columns: u16,
    count: u16,
}

impl Numbers {
    fn of(width: u16, file: Option<&FileDiff>) -> Self {
        let last = |hunk: &Hunk| hunk.lines.iter().rev().take(8).map(|line| line.old.max(line.new)).max();
        let most = file.and_then(|file| file.hunks.iter().filter_map(last).max()).unwrap_or(0);
        let count = u16::from(width >= NUMBER_COLUMNS.0) + u16::from(width >= NUMBER_COLUMNS.1);
        Self { columns: to_u16(most.to_string().len()).max(3), count }
    }

    /// The columns of all of it.
    fn width(&self) -> u16 {
        (self.columns + 1) * self.count
    }
}

fn hunk_head(painter: &mut Painter<'_>, line: Rect, hunk: &Hunk, numbers: &Numbers) {
    let theme = painter.theme;
    let x = line.x + numbers.width();
    let room = line.right().saturating_sub(x);
    // Where lines have no numbers the place is said here.
    let place = if numbers.count == 0 { format!("{} ", hunk.new_start.max(hunk.old_start)) } else { String::new() };
    let words = format!("{} {place}{}", theme.pick("⋯", "..."), hunk.heading);
    painter.text(x, line.y, room, &words, theme.dim());
}

fn code(
    painter: &mut Painter<'_>,
    model: &Model,
    line: Rect,
    (file, hunk, at): (usize, usize, usize),
    text: &DiffLine,
    numbers: &Numbers,
) {
    let theme = painter.theme;
    let side = theme.side(text.side);
    let mut x = line.x;
    let said = match numbers.count {
        0 => vec![],
        1 => vec![if text.new > 0 { text.new } else { text.old }],
        _ => vec![text.old, text.new],
    };
    for number in said {
        if number > 0 {
            painter.right(x, line.y, numbers.columns, &number.to_string(), theme.dim());
        }
        x += numbers.columns + 1;
    }
    let sign = match text.side {
        Side::Both => " ",
        Side::Old => "-",
        Side::New => "+",
    };
    painter.text(x, line.y, 1, sign, side.add_modifier(Modifier::BOLD));
    x += 2;
    let room = line.right().saturating_sub(x);
    let all = shown(&text.text);
    let shown = moved(&all, model.reading.aside);
    let cut = all.len() - shown.len();
    let used = match (text.side, model.reading.lights.of(file, hunk, at)) {
        (Side::Old, _) => painter.text(x, line.y, room, shown, side),
        (of, Some(parts)) => {
            // Cut as one, so that the ellipsis stands where the line is cut.
            let fitted = fit(shown, room, theme.ellipsis());
            let mut styled: Vec<(&str, Style)> = Vec::new();
            let mut begin = 0;
            for (end, class) in parts {
                let end = fitted_end(&fitted, end.saturating_sub(cut));
                let style = theme.code(*class);
                styled.push((&fitted[begin..end], if of == Side::Both { faint(style) } else { style }));
                begin = end;
            }
            styled.push((&fitted[begin..], theme.dim()));
            painter.parts(x, line.y, room, &styled)
        }
        (Side::Both, None) => painter.text(x, line.y, room, shown, theme.dim()),
        (Side::New, None) => painter.text(x, line.y, room, shown, theme.text()),
    };
    if text.unended {
        let room = room.saturating_sub(used);
        painter.text(x + used, line.y, room, "  (no end of line)", theme.dim());
    }
}

/// What did not change steps back behind what did.
fn faint(style: Style) -> Style {
    style.add_modifier(Modifier::DIM)
}

/// The end of a part in a line that may have been cut before it.
fn fitted_end(fitted: &str, end: usize) -> usize {
    let mut end = end.min(fitted.len());
    while !fitted.is_char_boundary(end) {
        end -= 1;
    }
    end
}
