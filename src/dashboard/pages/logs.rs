//! The supervisor's own log: which of its lines are looked at, and whether the end is followed.

use std::sync::Arc;

use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::logs::{Level, Line, Logs};
use pipeline_lib::view::screen::Tone;

use crate::dashboard::keys::Action;
use crate::dashboard::message::Intent;
use crate::dashboard::model::{Model, Note, Overlay};

/// Lines that a page goes.
const PAGE_LINES: usize = 10;
/// The levels one can look down to, what matters most first. The last one stands for all.
pub(in crate::dashboard) const LEVELS: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];

/// How a person looks at the log.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dashboard) struct Looking {
    /// What matters less is left out.
    pub(in crate::dashboard) level: Level,
    /// Only lines that hold this text are shown.
    pub(in crate::dashboard) filter: String,
    /// The number of the chosen line; none to follow the end.
    cursor: Option<u64>,
    /// What was shown last, for as long as something else is looked at over it.
    last: Option<Arc<Logs>>,
}

impl Default for Looking {
    fn default() -> Self {
        Self { level: Level::Info, filter: String::new(), cursor: None, last: None }
    }
}

/// What there is to see, if it has come.
pub(in crate::dashboard) fn shown(model: &Model) -> Option<&Arc<Logs>> {
    match &model.screen.detail {
        Detail::Logs(logs) => Some(logs),
        _ => model.logs.last.as_ref(),
    }
}

/// A new picture has come.
pub(in crate::dashboard) fn adopt(model: &mut Model) {
    if let Detail::Logs(logs) = &model.screen.detail {
        model.logs.last = Some(Arc::clone(logs));
    }
}

/// The lines that level and filter leave.
pub(in crate::dashboard) fn lines<'a>(model: &'a Model, logs: &'a Logs) -> Vec<&'a Line> {
    let needle = model.logs.filter.to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&needle);
    let all = model.logs.level == Level::Debug;
    let passes = |line: &&Line| {
        (all || line.level <= model.logs.level) && (needle.is_empty() || holds(&line.text) || holds(&line.target))
    };
    logs.lines.iter().filter(passes).collect()
}

/// The place of the chosen line among these; none where the end is followed. A line that is not there any more gives way to
/// the next one.
pub(in crate::dashboard) fn chosen(model: &Model, lines: &[&Line]) -> Option<usize> {
    let number = model.logs.cursor?;
    Some(lines.partition_point(|line| line.number < number).min(lines.len().saturating_sub(1)))
}

/// Does what a key means on this page.
pub(in crate::dashboard) fn act(model: &mut Model, action: Action) -> Vec<Intent> {
    let level = LEVELS.iter().position(|level| *level == model.logs.level).unwrap_or(0);
    let levels = LEVELS.len();
    match action {
        Action::Left => model.logs.level = LEVELS[level.saturating_sub(1)],
        Action::Right => model.logs.level = LEVELS[(level + 1).min(levels - 1)],
        Action::NextPanel => model.logs.level = LEVELS[(level + 1) % levels],
        Action::PreviousPanel => model.logs.level = LEVELS[(level + levels - 1) % levels],
        Action::Open => open(model),
        Action::Down => step(model, 1),
        Action::Up => step(model, -1),
        Action::PageDown => step(model, PAGE_LINES as isize),
        Action::PageUp => step(model, -(PAGE_LINES as isize)),
        Action::First => step(model, isize::MIN),
        Action::Last => model.logs.cursor = None,
        _ => {}
    }
    Vec::new()
}

/// Goes to another line. Beyond the last one the end is followed.
fn step(model: &mut Model, by: isize) {
    let Some(logs) = shown(model).cloned() else { return };
    let cursor = {
        let lines = lines(model, &logs);
        let last = lines.len().saturating_sub(1);
        // While the end is followed the last line is the one to start from.
        let to = match chosen(model, &lines) {
            None if by > 0 => return,
            at => at.unwrap_or(last).saturating_add_signed(by),
        };
        lines.get(to).filter(|_| to <= last).map(|line| line.number)
    };
    model.logs.cursor = cursor;
}

/// Shows a line in full: the chosen one, or the last.
fn open(model: &mut Model) {
    let Some(logs) = shown(model).cloned() else { return };
    let lines = lines(model, &logs);
    let Some(line) = lines.get(chosen(model, &lines).unwrap_or(lines.len().saturating_sub(1))) else { return };
    let facts: Vec<&str> = [line.time.as_str(), line.target.as_str()].into_iter().filter(|f| !f.is_empty()).collect();
    let note = Note {
        title: line.level.word().to_owned(),
        lines: vec![line.text.clone()],
        hint: (!facts.is_empty()).then(|| facts.join("  ")),
        tone: tone(line.level),
        scroll: 0,
    };
    model.overlay = Some(Overlay::Message(note));
}

/// What kind of news a line is.
pub(in crate::dashboard) fn tone(level: Level) -> Tone {
    match level {
        Level::Error => Tone::Bad,
        Level::Warn => Tone::Attention,
        Level::Info => Tone::Good,
        Level::Debug | Level::Trace => Tone::Waiting,
    }
}
