//! Figures over time: how far back they are looked at, and which of them the bars show.

use std::sync::Arc;

use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::metrics::Figures;

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::Model;
use crate::dashboard::view;

/// The stretches of time that can be looked at: in words, in seconds, and how many seconds of them are counted together.
pub(in crate::dashboard) const STRETCHES: [(&str, i64, i64); 4] =
    [("1h", 3_600, 120), ("6h", 21_600, 900), ("1d", 86_400, 3_600), ("7d", 604_800, 21_600)];
/// The longest of them that is taken without being asked for.
const STRETCH_USUAL: usize = 2;
/// Rows that a page goes.
const PAGE_ROWS: usize = 10;

/// What the bars show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dashboard) enum Measure {
    /// How long runs took.
    #[default]
    Time,
    /// How many failed.
    Failures,
    /// What they cost.
    Cost,
}

impl Measure {
    /// All of them, in the order of the Tab key.
    pub(in crate::dashboard) const ALL: [Self; 3] = [Self::Time, Self::Failures, Self::Cost];

    fn turned(self, steps: usize) -> Self {
        Self::ALL[(self as usize + steps) % Self::ALL.len()]
    }

    /// Its name.
    pub(in crate::dashboard) fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Failures => "failed",
            Self::Cost => "cost",
        }
    }
}

/// How a person looks at the figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// Which of the stretches; none for the shortest that holds everything, within reason.
    stretch: Option<usize>,
    /// What the bars show.
    pub(in crate::dashboard) measure: Measure,
    /// The first row in sight.
    pub(in crate::dashboard) top: usize,
    /// What was shown last, for as long as something else is looked at over it.
    last: Option<Arc<Figures>>,
}

/// What there is to see, if it has come.
pub(in crate::dashboard) fn shown(model: &Model) -> Option<&Arc<Figures>> {
    match &model.screen.detail {
        Detail::Metrics(figures) => Some(figures),
        _ => model.figures.last.as_ref(),
    }
}

/// A new picture has come.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    if let Detail::Metrics(figures) = &model.screen.detail {
        model.figures.last = Some(Arc::clone(figures));
    }
}

/// Which of the stretches is looked at.
pub(in crate::dashboard) fn stretch(model: &Model) -> usize {
    model.figures.stretch.unwrap_or_else(|| {
        let first = shown(model).and_then(|figures| {
            let times = [&figures.completions, &figures.failures, &figures.gate_failures, &figures.retries];
            times.into_iter().filter_map(|times| times.first()).min().copied()
        });
        let needed = model.now.duration_since(first.unwrap_or(model.now)).as_secs();
        let found = STRETCHES.iter().position(|(_, seconds, _)| *seconds >= needed);
        found.unwrap_or(STRETCH_USUAL).min(STRETCH_USUAL)
    })
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    let extent = view::metrics_extent(model);
    let last = extent.total.saturating_sub(extent.room);
    let top = model.figures.top.min(last);
    let looking = stretch(model);
    match action {
        Action::Left => model.figures.stretch = Some((looking + 1).min(STRETCHES.len() - 1)),
        Action::Right => model.figures.stretch = Some(looking.saturating_sub(1)),
        Action::NextPanel => model.figures.measure = model.figures.measure.turned(1),
        Action::PreviousPanel => model.figures.measure = model.figures.measure.turned(Measure::ALL.len() - 1),
        Action::Down => model.figures.top = (top + 1).min(last),
        Action::Up => model.figures.top = top.saturating_sub(1),
        Action::PageDown => model.figures.top = (top + PAGE_ROWS).min(last),
        Action::PageUp => model.figures.top = top.saturating_sub(PAGE_ROWS),
        Action::First => model.figures.top = 0,
        Action::Last => model.figures.top = last,
        _ => {}
    }
    Vec::new()
}
