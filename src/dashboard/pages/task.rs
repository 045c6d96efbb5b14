//! One task in full: which part of it is looked at, how far down, and which run.

pub(in crate::dashboard) mod rows;
pub(in crate::dashboard) mod search;

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_lib::diff::Diff;
use pipeline_lib::ids::{CommitId, RunId, TaskId};
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::task::{Changes, Part, TaskDetail};

use crate::dashboard::highlight::{self, Chunk, Lit, Parts};
use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::{Model, Page};
use crate::dashboard::theme::Depth;
use crate::dashboard::view;
use rows::Place;

/// How many pieces of code are remembered with their colours.
const CHUNKS_MAX: usize = 100;
/// How far lines move aside at once, in columns.
const ASIDE_COLUMNS: u16 = 20;
/// How far they can be moved.
const ASIDE_COLUMNS_MAX: u16 = 4000;

/// How a person looks at the task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// The task that was opened; none for the one that is chosen on the board.
    pub(in crate::dashboard) task: Option<TaskId>,
    /// The part that is in sight.
    pub(in crate::dashboard) part: Part,
    /// What was shown last, for as long as something else is looked at over it.
    pub(in crate::dashboard) last: Option<Arc<TaskDetail>>,
    /// The first row of each part; none where nothing was scrolled: the beginning, or the end of what grows there.
    pub(in crate::dashboard) tops: [Option<usize>; Part::ALL.len()],
    /// Where in the comparison.
    pub(in crate::dashboard) place: Place,
    /// The chosen run; none for the latest.
    pub(in crate::dashboard) run: Option<RunId>,
    /// The chosen check; none for the latest.
    pub(in crate::dashboard) check: Option<RunId>,
    /// How many columns of long lines are left of what is in sight.
    pub(in crate::dashboard) aside: u16,
    /// What is looked for in the part that is in sight.
    pub(in crate::dashboard) search: search::Search,
    /// The colours of the code that was in sight.
    pub(in crate::dashboard) lights: Lights,
}

/// The colours of code, as far as they have come.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Lights {
    /// Of which comparison.
    of: Option<(CommitId, CommitId)>,
    lines: BTreeMap<Chunk, Arc<Vec<Parts>>>,
    /// What was asked for and has not come.
    asked: Option<Chunk>,
}

impl Lights {
    /// The parts of a line; none for one that is shown plain.
    pub(in crate::dashboard) fn of(&self, file: usize, hunk: usize, line: usize) -> Option<&Parts> {
        let chunk = Chunk { file, hunk, nth: line / highlight::CHUNK_LINES };
        self.lines.get(&chunk)?.get(line % highlight::CHUNK_LINES).filter(|parts| !parts.is_empty())
    }
}

/// The rows of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Extent {
    /// How many there are.
    pub(in crate::dashboard) total: usize,
    /// How many are in sight.
    pub(in crate::dashboard) room: usize,
    /// The first one in sight where nothing was scrolled yet.
    pub(in crate::dashboard) start: usize,
}

impl Extent {
    pub(in crate::dashboard) fn last_top(self) -> usize {
        self.total.saturating_sub(self.room)
    }
}

/// What there is to see of the task that is opened, if it has come.
pub(in crate::dashboard) fn detail(model: &Model) -> Option<&Arc<TaskDetail>> {
    let id = model.target_task()?;
    let shown = match &model.screen.detail {
        Detail::Task(detail) => Some(detail),
        _ => None,
    };
    shown.into_iter().chain(&model.reading.last).find(|detail| detail.id == id)
}

/// The comparison that is shown, if there is one.
pub(in crate::dashboard) fn diff(model: &Model) -> Option<&Arc<Diff>> {
    match &detail(model)?.changes {
        Changes::Known { diff, .. } => Some(diff),
        Changes::Underway | Changes::NoBranch | Changes::NothingMerged | Changes::Failed(_) => None,
    }
}

/// The first row of the part in sight.
pub(in crate::dashboard) fn top(model: &Model, extent: Extent) -> usize {
    let reading = &model.reading;
    let top = match (reading.part, reading.tops[reading.part as usize]) {
        // The head of any file can be at the top, that of the last one too.
        (Part::Diff, _) => return diff(model).map_or(0, |diff| rows::offset(diff, &reading.place)),
        (Part::History | Part::Logs, None) => usize::MAX,
        (_, top) => top.unwrap_or(extent.start),
    };
    top.min(extent.last_top())
}

/// A new picture has come.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    match &model.screen.detail {
        Detail::Task(detail) => model.reading.last = Some(Arc::clone(detail)),
        Detail::NoTask(gone) if model.reading.last.as_ref().is_some_and(|last| last.id == *gone) => {
            model.reading.last = None;
        }
        _ => {}
    }
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    let parts = Part::ALL.len();
    match action {
        Action::Diff => turn_to(model, Part::Diff),
        Action::NextPanel => turn_to(model, model.reading.part.turned(1)),
        Action::PreviousPanel => turn_to(model, model.reading.part.turned(parts - 1)),
        Action::LinesLeft => model.reading.aside = model.reading.aside.saturating_sub(ASIDE_COLUMNS),
        Action::LinesRight => model.reading.aside = (model.reading.aside + ASIDE_COLUMNS).min(ASIDE_COLUMNS_MAX),
        Action::Filter => search::ask(model),
        Action::Left => sideways(model, false),
        Action::Right => sideways(model, true),
        Action::Open => open(model),
        Action::Down => step(model, 1),
        Action::Up => step(model, -1),
        Action::First => step(model, isize::MIN),
        Action::Last => step(model, isize::MAX),
        Action::PageDown => step(model, page(model)),
        Action::PageUp => step(model, -page(model)),
        _ => {}
    }
    Vec::new()
}

/// Shows a part, from the beginning of its lines.
pub(in crate::dashboard) fn turn_to(model: &mut Model, part: Part) {
    if model.reading.part != part {
        model.reading.aside = 0;
        model.reading.search = search::Search::default();
    }
    model.reading.part = part;
}

/// How far a page goes: one row stays in sight.
fn page(model: &Model) -> isize {
    let room = view::extent(model).room.max(2) - 1;
    isize::try_from(room).unwrap_or(isize::MAX)
}

/// To the next file of a comparison; beyond the last one, and elsewhere, to the part beside.
fn sideways(model: &mut Model, right: bool) {
    if model.reading.part == Part::Diff && turn_file(model, right, false) {
        return;
    }
    let at = model.reading.part as usize;
    let to = if right { at + 1 } else { at.wrapping_sub(1) };
    turn_to(model, Part::ALL.get(to).copied().unwrap_or(model.reading.part));
}

/// Goes to the head of another file. Whether there is one.
fn turn_file(model: &mut Model, right: bool, around: bool) -> bool {
    let Some(diff) = diff(model).map(Arc::clone) else { return false };
    let present = rows::place(&diff, rows::offset(&diff, &model.reading.place));
    let count = diff.files.len();
    let to = match (right, around) {
        (true, true) => Some((present.file + 1) % count.max(1)),
        (true, false) => Some(present.file + 1),
        // First to the head of the one that is read, then to the one before.
        (false, _) if present.row > 0 => Some(present.file),
        (false, _) => present.file.checked_sub(1),
    };
    let Some((to, file)) = to.and_then(|to| Some((to, diff.files.get(to)?))) else { return false };
    model.reading.place = Place { file: to, path: file.path.clone(), row: 0 };
    true
}

/// Enter: the next file, or the output of the chosen run.
fn open(model: &mut Model) {
    match model.reading.part {
        Part::About => turn_to(model, Part::Diff),
        Part::Flow => turn_to(model, Part::Runs),
        Part::Diff => {
            turn_file(model, true, true);
        }
        Part::Runs => show_output(model, model.reading.run.clone()),
        Part::Checks => {
            let chosen = detail(model).and_then(|detail| check(model, detail).map(|(_, run)| run.id.clone()));
            if chosen.is_some() {
                show_output(model, chosen);
            }
        }
        Part::History | Part::Logs => {}
    }
}

fn show_output(model: &mut Model, run: Option<RunId>) {
    model.reading.run = run;
    turn_to(model, Part::Logs);
    model.reading.tops[Part::Logs as usize] = None;
}

/// The chosen check and its place among the checks.
pub(in crate::dashboard) fn check<'a>(
    model: &Model,
    detail: &'a TaskDetail,
) -> Option<(usize, &'a pipeline_lib::view::detail::task::RunLine)> {
    let chosen = model.reading.check.as_ref();
    let found = detail.checks().enumerate().find(|(_, run)| Some(&run.id) == chosen);
    found.or_else(|| detail.checks().enumerate().last())
}

/// The place of the chosen run among the runs.
pub(in crate::dashboard) fn run_at(model: &Model, detail: &TaskDetail) -> usize {
    let chosen = model.reading.run.as_ref();
    let found = detail.runs.iter().position(|run| Some(&run.id) == chosen);
    found.unwrap_or(detail.runs.len().saturating_sub(1))
}

/// Moves by rows: what is chosen where something is, else what is in sight.
fn step(model: &mut Model, by: isize) {
    let moved = |at: usize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
    let part = model.reading.part;
    match part {
        Part::Runs => {
            let Some(detail) = detail(model) else { return };
            let to = moved(run_at(model, detail), detail.runs.len());
            model.reading.run = detail.runs.get(to).map(|run| run.id.clone());
        }
        Part::Checks => {
            let Some(detail) = detail(model) else { return };
            let Some((at, _)) = check(model, detail) else { return };
            let to = moved(at, detail.checks().count());
            let chosen = detail.checks().nth(to).map(|run| run.id.clone());
            model.reading.check = chosen;
        }
        Part::About | Part::Flow | Part::Diff | Part::History | Part::Logs => {
            let extent = view::extent(model);
            let at = top(model, extent);
            let to = moved(at, extent.last_top().max(at) + 1);
            match (part, diff(model)) {
                (Part::Diff, Some(diff)) => model.reading.place = rows::place(diff, to),
                // At the end of what grows there it stays with the end.
                (Part::History | Part::Logs, _) if to == extent.last_top() => model.reading.tops[part as usize] = None,
                _ => model.reading.tops[part as usize] = Some(to),
            }
        }
    }
}

/// Asks for the colours of the first piece of code in sight that has none, one at a time: what is asked for next is
/// decided when the answer is there, so that nothing is read that was scrolled past meanwhile.
pub(in crate::dashboard) fn light(model: &mut Model) -> Option<Intent> {
    if model.page != Page::Task || model.reading.part != Part::Diff || model.theme.depth == Depth::Mono {
        return None;
    }
    let diff = Arc::clone(diff(model)?);
    let of = Some((diff.from.clone(), diff.to.clone()));
    if model.reading.lights.of != of {
        let asked = model.reading.lights.asked;
        model.reading.lights = Lights { of, asked, ..Lights::default() };
    }
    let in_sight = view::code_in_sight(model);
    let lights = &mut model.reading.lights;
    let chunk = in_sight.into_iter().find(|chunk| !lights.lines.contains_key(chunk))?;
    if lights.asked.is_some() {
        return None;
    }
    lights.asked = Some(chunk);
    Some(Intent::Highlight(highlight::Ask { diff, chunk }))
}

/// The colours that were asked for are there.
pub(in crate::dashboard) fn lit(model: &mut Model, lit: Lit) {
    let lights = &mut model.reading.lights;
    lights.asked = None;
    // Of an older comparison they are of no use.
    if lights.of.as_ref() != Some(&lit.of) {
        return;
    }
    if lights.lines.len() >= CHUNKS_MAX {
        lights.lines.clear();
    }
    lights.lines.insert(lit.chunk, lit.lines);
}
