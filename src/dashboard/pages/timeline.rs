//! Which agent did what when: how far back one looks, and from where. The chosen agent is the one of the overview.

use std::sync::Arc;

use jiff::Timestamp;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::timeline::Timeline;

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::{Model, Page};
use crate::dashboard::pages::panes;
use crate::dashboard::update;

/// The stretches of time that can be looked at: in words, and in seconds.
pub(in crate::dashboard) const ZOOMS: [(&str, i64); 5] =
    [("2m", 120), ("15m", 900), ("1h", 3_600), ("6h", 21_600), ("1d", 86_400)];
/// The longest of them that is taken without being asked for.
const ZOOM_USUAL: usize = 2;
/// How far one can go back, in halves of a stretch.
const BACK_MAX: u16 = 100;

/// How a person looks at the timeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// Which of the stretches; none for the shortest that holds everything, within reason.
    zoom: Option<usize>,
    /// How far back it ends, in halves of it.
    pub(in crate::dashboard) back: u16,
    /// What was shown last, for as long as something else is looked at over it.
    last: Option<Arc<Timeline>>,
}

/// What there is to see, if it has come.
pub(in crate::dashboard) fn shown(model: &Model) -> Option<&Arc<Timeline>> {
    match &model.screen.detail {
        Detail::Timeline(timeline) => Some(timeline),
        _ => model.timeline.last.as_ref(),
    }
}

/// A new picture has come.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    if let Detail::Timeline(timeline) = &model.screen.detail {
        model.timeline.last = Some(Arc::clone(timeline));
    }
}

/// Which of the stretches is looked at.
pub(in crate::dashboard) fn zoom(model: &Model) -> usize {
    model.timeline.zoom.unwrap_or_else(|| {
        let spans = shown(model).into_iter().flat_map(|timeline| &timeline.rows).flat_map(|row| &row.spans);
        let first = spans.map(|span| span.from).min().unwrap_or(model.now);
        let needed = model.now.duration_since(first).as_secs();
        ZOOMS.iter().position(|(_, seconds)| *seconds >= needed).unwrap_or(ZOOM_USUAL).min(ZOOM_USUAL)
    })
}

/// Time along a line of cells. Columns begin at whole multiples of their length, so that a run stays in its columns while
/// time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) struct Axis {
    /// How long a column is, in milliseconds: at least a second.
    pub(in crate::dashboard) quantum_ms: i64,
    /// The first column, counted from the beginning of time.
    first: i64,
    /// How many columns there are.
    pub(in crate::dashboard) columns: u16,
    /// The column of the present moment, which may be beyond the last one.
    pub(in crate::dashboard) now: i64,
}

impl Axis {
    /// An axis of so many columns that looks back over a stretch of time, with room for what is to come if that is known.
    pub(in crate::dashboard) fn new(now: Timestamp, (seconds, back): (i64, u16), columns: u16, future: bool) -> Self {
        let past = i64::from(if future { columns * 3 / 4 } else { columns.saturating_sub(1) }).max(1);
        let quantum_ms = (seconds * 1_000 / past).max(1_000);
        let this = now.as_millisecond().div_euclid(quantum_ms);
        let first = this - (past - 1) - i64::from(back) * (past / 2).max(1);
        Self { quantum_ms, first, columns, now: this - first }
    }

    /// The column of a moment, which may be before the first or beyond the last one.
    pub(in crate::dashboard) fn column(self, at: Timestamp) -> i64 {
        at.as_millisecond().div_euclid(self.quantum_ms) - self.first
    }

    /// When a column begins.
    fn begin_of(self, column: i64) -> Timestamp {
        let ms = (self.first.saturating_add(column)).saturating_mul(self.quantum_ms);
        Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }

    /// When the present moment comes to the next column.
    pub(in crate::dashboard) fn moves_at(self) -> Timestamp {
        self.begin_of(self.now + 1)
    }

    /// When the first column begins.
    pub(in crate::dashboard) fn begin(self) -> Timestamp {
        self.begin_of(0)
    }

    /// When the last column ends.
    pub(in crate::dashboard) fn end(self) -> Timestamp {
        self.begin_of(i64::from(self.columns))
    }
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    let at = model.agent().map_or(0, |(at, _)| at);
    let last = model.screen.agents.len().saturating_sub(1);
    let back = model.timeline.back;
    match action {
        Action::Down => choose(model, (at + 1).min(last)),
        Action::Up => choose(model, at.saturating_sub(1)),
        Action::First => choose(model, 0),
        Action::Last => choose(model, last),
        Action::Left => turn(model, (zoom(model) + 1).min(ZOOMS.len() - 1)),
        Action::Right => turn(model, zoom(model).saturating_sub(1)),
        Action::PageUp => model.timeline.back = (back + 1).min(BACK_MAX),
        Action::PageDown => model.timeline.back = back.saturating_sub(1),
        Action::NextPanel | Action::PreviousPanel => model.timeline.back = 0,
        Action::Open if model.target_agent().is_some() => {
            drop(update::go(model, Page::Panes));
            return panes::act(model, Action::Zoom);
        }
        _ => {}
    }
    Vec::new()
}

fn choose(model: &mut Model, at: usize) {
    model.agent = model.screen.agents.get(at).map(|row| row.name.clone());
}

/// Another stretch; it ends now, since halves of another length would be somewhere else.
fn turn(model: &mut Model, zoom: usize) {
    model.timeline.zoom = Some(zoom);
    model.timeline.back = 0;
}
