//! What starts by itself, which chains are under way, and how full the categories are: which of the rows is chosen. A row
//! leads to the task it is about.

use std::sync::Arc;

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::standing::Standing;

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::{Model, Page};
use crate::dashboard::update;

/// Rows that a page goes.
const PAGE_ROWS: usize = 10;

/// How a person looks at them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// The chosen row, as a place among those that can be chosen.
    at: usize,
    /// What was shown last, for as long as something else is looked at over it.
    last: Option<Arc<Standing>>,
}

/// A line of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) enum Line {
    /// An empty one.
    Gap,
    /// The heading of the schedules.
    Schedules,
    /// A schedule.
    Schedule(usize),
    /// Why it was left out the last time.
    Problem(usize),
    /// The heading of the chains.
    Chains,
    /// A chain.
    Chain(usize),
    /// A workflow of a chain.
    Part(usize, usize),
    /// The heading of the categories.
    Categories,
    /// A category.
    Category(usize),
    /// There is none of the section above; how to get one.
    None(&'static str),
}

impl Line {
    /// Whether it can be chosen; what to type can be, so that it can be brought into sight.
    fn is_row(self) -> bool {
        matches!(self, Self::Schedule(_) | Self::Chain(_) | Self::Part(..) | Self::Category(_) | Self::None(_))
    }
}

/// What to type for a schedule.
const NO_SCHEDULES: &str =
    "Nothing starts by itself. To begin with some: pipeline workflow new monitoring --from monitoring";
/// What to type for a chain.
const NO_CHAINS: &str =
    "No chain is under way. To start one: pipeline run standard_development --param feature_name=NAME";
/// What to write for a category.
const NO_CATEGORIES: &str =
    "No category has a limit. One is set in .pipeline/registry.json: \"concurrency\": { \"testing\": 1 }";

/// What there is to see, if it has come.
pub(in crate::dashboard) fn shown(model: &Model) -> Option<&Arc<Standing>> {
    match &model.screen.detail {
        Detail::Schedules(standing) => Some(standing),
        _ => model.schedules.last.as_ref(),
    }
}

/// A new picture has come.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    if let Detail::Schedules(standing) = &model.screen.detail {
        model.schedules.last = Some(Arc::clone(standing));
    }
}

/// All lines, from top to bottom.
pub(in crate::dashboard) fn lines(standing: &Standing) -> Vec<Line> {
    let mut lines = vec![Line::Schedules];
    for (at, schedule) in standing.schedules.iter().enumerate() {
        lines.push(Line::Schedule(at));
        if !schedule.problem.is_empty() {
            lines.push(Line::Problem(at));
        }
    }
    lines.extend(standing.schedules.is_empty().then_some(Line::None(NO_SCHEDULES)));
    lines.extend([Line::Gap, Line::Chains]);
    for (at, chain) in standing.chains.iter().enumerate() {
        lines.push(Line::Chain(at));
        lines.extend((0..chain.parts.len()).map(|part| Line::Part(at, part)));
    }
    lines.extend(standing.chains.is_empty().then_some(Line::None(NO_CHAINS)));
    lines.extend([Line::Gap, Line::Categories]);
    lines.extend((0..standing.categories.len()).map(Line::Category));
    lines.extend(standing.categories.is_empty().then_some(Line::None(NO_CATEGORIES)));
    lines
}

/// The chosen line, as a place among all lines.
pub(in crate::dashboard) fn chosen(model: &Model, lines: &[Line]) -> Option<usize> {
    let rows: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].is_row()).collect();
    rows.get(model.schedules.at.min(rows.len().saturating_sub(1))).copied()
}

/// The task that the chosen row is about.
pub(in crate::dashboard) fn task(model: &Model) -> Option<TaskId> {
    let standing = shown(model)?;
    let lines = lines(standing);
    match lines[chosen(model, &lines)?] {
        Line::Schedule(at) => standing.schedules[at].task.clone(),
        Line::Chain(at) => Some(standing.chains[at].task.clone()),
        Line::Part(at, part) => standing.chains[at].parts[part].task.clone(),
        Line::Category(at) => {
            let category = &standing.categories[at];
            category.running.first().or(category.queue.first()).cloned()
        }
        Line::Gap | Line::Schedules | Line::Problem(_) | Line::Chains | Line::Categories | Line::None(_) => None,
    }
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    let Some(standing) = shown(model) else { return Vec::new() };
    let lines = lines(standing);
    let rows: Vec<Line> = lines.into_iter().filter(|line| line.is_row()).collect();
    let last = rows.len().saturating_sub(1);
    let at = model.schedules.at.min(last);
    // The first row of each section.
    let section = |line: &Line| match line {
        Line::Schedule(_) | Line::None(NO_SCHEDULES) => 0,
        Line::Chain(_) | Line::Part(..) | Line::None(NO_CHAINS) => 1,
        _ => 2,
    };
    let begins = |at: &usize| *at == 0 || section(&rows[*at]) != section(&rows[*at - 1]);
    model.schedules.at = match action {
        Action::Down => (at + 1).min(last),
        Action::Up => at.saturating_sub(1),
        Action::PageDown => (at + PAGE_ROWS).min(last),
        Action::PageUp => at.saturating_sub(PAGE_ROWS),
        Action::First => 0,
        Action::Last => last,
        Action::NextPanel => (at + 1..rows.len()).find(begins).unwrap_or(0),
        Action::PreviousPanel => {
            (0..at).rev().find(begins).unwrap_or_else(|| (0..rows.len()).rfind(begins).unwrap_or(0))
        }
        Action::Open if model.target_task().is_some() => return update::go(model, Page::Task),
        _ => at,
    };
    Vec::new()
}
