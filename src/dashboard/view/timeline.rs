//! The page `timeline`: a row for each agent with its runs as bars, and right of the present moment what is predicted. Below
//! it, in words, when everything is predicted to be done, and the runs of the chosen agent.

mod bars;
mod words;

use pipeline_lib::ids::StageId;
use pipeline_lib::view::detail::timeline::Timeline;
use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;

use super::paint::{Painter, columns, fit_middle};
use super::say;
use crate::dashboard::model::Model;
use crate::dashboard::pages::timeline::{Axis, ZOOMS, shown, zoom};

/// The longest name of an agent that is shown in full.
const NAME_COLUMNS_MAX: u16 = 18;
/// A tick of the axis needs this many columns.
const TICK_COLUMNS: i64 = 9;
/// What can lie between two ticks, in seconds.
const TICKS: [i64; 15] = [10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800];
/// From so many rows on there is room between the parts.
const ROOMY_ROWS: u16 = 30;

/// The parts of the page.
struct Parts {
    /// The numbers and names of the agents.
    names: Rect,
    /// The line of the ticks.
    ticks: Rect,
    /// The bars.
    bars: Rect,
    /// How many rows an agent takes.
    pitch: u16,
    /// What is said below.
    below: Rect,
}

impl Parts {
    fn of(area: Rect, model: &Model, timeline: &Timeline) -> Self {
        let names = timeline.rows.iter().map(|row| columns(row.agent.as_str())).max().unwrap_or(0);
        let names = names.min(NAME_COLUMNS_MAX).min(area.width / 4) + 5;
        let roomy = area.height >= ROOMY_ROWS;
        let agents = u16::try_from(model.screen.agents.len()).unwrap_or(u16::MAX);
        let top = area.y + 1 + u16::from(roomy);
        let rest = area.bottom().saturating_sub(top + 1);
        let pitch = if roomy && agents.saturating_mul(2) + 14 < rest { 2 } else { 1 };
        // What is said needs a few rows; agents that do not fit are scrolled.
        let room = rest.saturating_sub(if roomy { 5 } else { 3 }).max(1);
        let height = agents.saturating_mul(pitch).min(room).max(1);
        let x = area.x + names;
        let width = area.right().saturating_sub(x + 1);
        let bars = Rect { x, y: top + 1, width, height };
        let y = (bars.bottom() + u16::from(roomy)).min(area.bottom());
        Self {
            names: Rect { width: names, ..Rect { x: area.x, ..bars } },
            ticks: Rect { x, y: top, width, height: 1 },
            bars,
            pitch,
            below: Rect { x: area.x + 2, y, width: area.width.saturating_sub(3), height: area.bottom() - y },
        }
    }
}

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let body = Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(3), height: area.height - 1 };
    let Some(timeline) = shown(model) else {
        painter.rule(area, "Timeline", "", "", true);
        return say(painter, body, &[format!("Gathering{}", painter.theme.ellipsis())]);
    };
    if model.screen.agents.is_empty() {
        painter.rule(area, "Timeline", "", "", true);
        return say(painter, body, &["No agents.", "Add one: pipeline agent add NAME"]);
    }
    let (word, seconds) = ZOOMS[zoom(model)];
    let looking = match model.timeline.back {
        0 => format!("last {word}"),
        _ => format!("{word}, earlier (tab: now)"),
    };
    let beside = format!("{looking}{}h l zoom", painter.theme.dot());
    painter.rule(area, "Timeline", &beside, &words::short(timeline, model.now), true);
    let parts = Parts::of(area, model, timeline);
    let future = !timeline.outlook.planned.is_empty();
    let axis = Axis::new(model.now, (seconds, model.timeline.back), parts.bars.width, future);
    let any = timeline.rows.iter().any(|row| !row.spans.is_empty() || !row.planned.is_empty());
    if any {
        painter.changes_by(axis.moves_at());
    }
    let ticks = Ticks::of(axis);
    let finish = timeline.outlook.finish.as_ref().and_then(|finish| finish.as_ref().ok());
    ticks.draw(painter, parts.ticks, axis, finish.map(|at| axis.column(*at)));
    rows(painter, model, timeline, &parts, axis, &ticks);
    words::draw(painter, model, timeline, parts.below, axis);
}

/// Where the ticks are, as columns with what stands there.
struct Ticks(Vec<(u16, String)>);

impl Ticks {
    fn of(axis: Axis) -> Self {
        let step = TICKS.iter().copied().find(|step| step * 1_000 / axis.quantum_ms >= TICK_COLUMNS).unwrap_or(172_800);
        let mut ticks = Vec::new();
        for nth in -60..=60_i64 {
            let column = axis.now + nth * step * 1_000 / axis.quantum_ms;
            if let Ok(column) = u16::try_from(column)
                && column < axis.columns
            {
                ticks.push((column, tick(nth * step)));
            }
        }
        Self(ticks)
    }

    /// Writes what stands at the ticks, and where everything is predicted to be done.
    fn draw(&self, painter: &mut Painter<'_>, line: Rect, axis: Axis, finish: Option<i64>) {
        const DONE: &str = "done";
        let finish = finish.filter(|column| *column > axis.now).and_then(|column| u16::try_from(column).ok());
        let finish = finish.filter(|column| column + columns(DONE) <= line.width);
        let done = finish.map_or(u16::MAX..u16::MAX, |column| column.saturating_sub(1)..column + columns(DONE));
        if let Some(column) = finish {
            painter.text(line.x + column, line.y, columns(DONE), DONE, painter.theme.tone(Tone::Good));
        }
        let mut free = 0;
        for (column, text) in &self.0 {
            let used = columns(text);
            // Right below its tick; what would hang over the end ends there.
            let at = (*column).min(line.width.saturating_sub(used));
            if at < free || (at <= done.end && at + used > done.start) {
                continue;
            }
            let now = i64::from(*column) == axis.now;
            let style = if now { painter.theme.accent() } else { painter.theme.dim() };
            painter.text(line.x + at, line.y, used, text, style);
            free = at + used + 1;
        }
    }

    fn has(&self, column: u16) -> bool {
        self.0.iter().any(|(at, _)| *at == column)
    }
}

/// How far a tick is from the present moment.
fn tick(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "+" };
    match seconds.abs() {
        0 => "now".to_owned(),
        s if s % 86_400 == 0 => format!("{sign}{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{sign}{}h", s / 3_600),
        s if s % 60 == 0 => format!("{sign}{}m", s / 60),
        s => format!("{sign}{s}s"),
    }
}

fn rows(painter: &mut Painter<'_>, model: &Model, timeline: &Timeline, parts: &Parts, axis: Axis, ticks: &Ticks) {
    let theme = painter.theme;
    let chosen = model.agent().map_or(0, |(at, _)| at);
    let fit = usize::from(parts.bars.height.div_ceil(parts.pitch));
    let first = super::first_row(chosen, fit);
    let letters = letters(&timeline.stages);
    for (nth, (at, agent)) in model.screen.agents.iter().enumerate().skip(first).take(fit).enumerate() {
        let y = parts.bars.y + u16::try_from(nth).unwrap_or(0) * parts.pitch;
        let names = Rect { y, height: 1, ..parts.names };
        if at < 9 {
            painter.text(names.x + 2, y, 1, &(at + 1).to_string(), theme.dim());
        }
        let style = if at == chosen { theme.strong() } else { theme.text() };
        let room = names.width.saturating_sub(5);
        let name = fit_middle(agent.name.as_str(), room, theme.ellipsis());
        painter.text(names.x + 4, y, room, &name, style);
        if at == chosen {
            painter.text(names.x, y, 1, theme.pick("▌", ">"), theme.accent());
        }
        let line = Rect { y, height: 1, ..parts.bars };
        for x in 0..line.width {
            let now = i64::from(x) == axis.now;
            if now || ticks.has(x) {
                let sign = if now { theme.pick("│", "|") } else { theme.pick("·", "'") };
                painter.text(line.x + x, y, 1, sign, if now { theme.accent() } else { theme.dim() });
            }
        }
        if let Some(row) = timeline.rows.iter().find(|row| row.agent == agent.name) {
            bars::draw(painter, line, row, axis, &letters);
        }
    }
    if first + fit < model.screen.agents.len() {
        let more = format!(" {} more", model.screen.agents.len() - first - fit);
        painter.right(parts.bars.x, parts.bars.bottom() - 1, parts.bars.width, &more, theme.accent());
    }
}

/// What stands for a stage: one letter, and a tone.
#[derive(Debug, Clone, PartialEq)]
struct Letter {
    stage: StageId,
    letter: char,
    tone: Tone,
}

/// A letter of its own for each stage: the first of its name that no other has, else a digit.
fn letters(stages: &[StageId]) -> Vec<Letter> {
    const TONES: [Tone; 4] = [Tone::Ready, Tone::Checking, Tone::Active, Tone::Good];
    let mut letters: Vec<Letter> = Vec::new();
    for (stage, tone) in stages.iter().zip(TONES.iter().cycle()) {
        let free = |c: &char| letters.iter().all(|other| other.letter != *c);
        let own = stage.as_str().chars().filter(|c| c.is_ascii_alphabetic()).map(|c| c.to_ascii_lowercase());
        let letter = own.chain('1'..='9').find(free).unwrap_or('*');
        letters.push(Letter { stage: stage.clone(), letter, tone: *tone });
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};

    #[test]
    fn stages_have_letters_of_their_own() {
        let stages: Vec<StageId> =
            ["test", "tidy", "t", "impl"].iter().map(|stage| StageId::new(stage).unwrap()).collect();
        let letters: String = letters(&stages).iter().map(|letter| letter.letter).collect();
        assert_eq!(letters, "ti1m");
    }

    #[test]
    fn a_moment_keeps_its_column_until_the_present_one_moves() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let axis = |now: i64| Axis::new(at(now), (900, 0), 60, true);
        let first = axis(1_000_000);
        assert_eq!((first.quantum_ms, first.now), (20_000, 44));
        assert_eq!(first.column(at(1_000_000)), first.now);
        assert_eq!(first.moves_at(), at(1_000_020));
        assert_eq!(axis(1_000_019), first);
        assert_eq!(axis(1_000_020).column(at(1_000_000)), 43);
        assert!(first.begin() <= at(1_000_000) - SignedDuration::from_secs(880), "all of the stretch is there");
        let earlier = Axis::new(at(1_000_000), (900, 2), 60, true);
        assert_eq!(earlier.now, 44 + 44);
    }

    #[test]
    fn no_axis_moves_more_often_than_once_a_second() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for columns in [1, 30, 60, 103, 200, 2_000] {
            for (_, seconds) in ZOOMS {
                let axis = Axis::new(now, (seconds, 0), columns, true);
                let again = Axis::new(axis.moves_at(), (seconds, 0), columns, true);
                assert!(again.moves_at() >= axis.moves_at() + SignedDuration::from_secs(1));
                assert!(!Ticks::of(axis).0.is_empty());
            }
        }
    }
}
