//! The first line: which project, in which mode, how far, what needs a person, and who ticks.

use pipeline_lib::mode::Mode;
use pipeline_lib::view::screen::{Monitor, Tone};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::layout::Layout;
use super::paint::{Painter, columns, fit_middle};
use crate::dashboard::model::Model;

/// A group of parts that stands or falls as one.
type Segment = Vec<(String, Style)>;

/// The columns between two segments.
const GAP: u16 = 3;
/// The columns between those at the right edge.
const RIGHT_GAP: u16 = 2;

/// What is always there says less and less, as far as that is needed: first the end of the project's name goes, then who
/// ticks as long as somebody does, then the end of the orchestration's word, then the project, and at last the words for
/// that nobody ticks. The rollout stays whole.
const STEPS: u8 = 5;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    let compact = layout.narrow;
    let always = |step: u8| {
        let left = [project(painter, model, area.width, step), mode(painter, model, step)];
        (left, [attention(painter, model), monitor(painter, model, compact, step)])
    };
    let fits = |step: &u8| {
        let (left, right) = always(*step);
        spread(&left, GAP) + GAP + spread(&right, RIGHT_GAP) + 2 <= area.width
    };
    let (left, right) = always((0..STEPS).find(fits).unwrap_or(STEPS));
    let more = [
        busy(painter, model, compact),
        progress(painter, model, compact),
        throughput(painter, model),
        cost(painter, model),
    ];
    let right_width = spread(&right, RIGHT_GAP) + 1;
    let room = area.width.saturating_sub(right_width + GAP);
    let mut x = area.x + 1;
    for (at, segment) in left.iter().chain(&more).enumerate().filter(|(_, segment)| !segment.is_empty()) {
        // What does not fit as a whole is left out; the name and the mode are always there.
        let needed = width(segment);
        if x + needed > area.x + room && at >= left.len() {
            break;
        }
        write(painter, x, area.y, area.right().saturating_sub(x), segment);
        x += needed + GAP;
    }
    let mut x = area.right().saturating_sub(right_width);
    for segment in right.iter().filter(|segment| !segment.is_empty()) {
        write(painter, x, area.y, area.right().saturating_sub(x), segment);
        x += width(segment) + RIGHT_GAP;
    }
}

/// The columns of segments side by side.
fn spread(segments: &[Segment], gap: u16) -> u16 {
    let shown = segments.iter().filter(|segment| !segment.is_empty());
    shown.map(|segment| width(segment) + gap).sum::<u16>().saturating_sub(gap)
}

fn width(segment: &Segment) -> u16 {
    segment.iter().map(|(text, _)| columns(text)).sum()
}

fn write(painter: &mut Painter<'_>, x: u16, y: u16, width: u16, segment: &Segment) {
    let parts: Vec<(&str, Style)> = segment.iter().map(|(text, style)| (text.as_str(), *style)).collect();
    painter.parts(x, y, width, &parts);
}

fn project(painter: &Painter<'_>, model: &Model, columns: u16, step: u8) -> Segment {
    let theme = painter.theme;
    let room = match step {
        0 => (columns / 6).clamp(8, 28),
        1..4 => 8,
        _ => return Segment::new(),
    };
    let name = fit_middle(&model.screen.project, room, theme.ellipsis());
    let mut segment = vec![(name, theme.strong())];
    // The branch never changes while one looks, so it is the first to go.
    if columns >= 100 && step == 0 {
        segment.push((format!(" {}", fit_middle(&model.screen.base, 16, theme.ellipsis())), theme.dim()));
    }
    segment
}

fn mode(painter: &Painter<'_>, model: &Model, step: u8) -> Segment {
    let theme = painter.theme;
    let mode = model.screen.mode;
    let (sign, style) = theme.rollout(mode.rollout);
    // `seq`, `par` and `hyb` can be told apart.
    let (letters, space) = if step >= 3 { (3, "") } else { (usize::MAX, " ") };
    let word = |mode: Mode| mode.orchestration.word().chars().take(letters).collect::<String>();
    let mut segment = vec![
        (format!("{} ", word(mode)), theme.text()),
        (format!("{sign} {}", mode.rollout.word().to_uppercase()), style),
    ];
    if let Some(pending) = model.screen.pending_mode {
        let arrow = theme.pick("→", "->");
        let mut words = String::new();
        if pending.orchestration != mode.orchestration {
            words.push_str(&format!("{space}{}", word(pending)));
        }
        if pending.rollout != mode.rollout {
            let space = if words.is_empty() { space } else { " " };
            words.push_str(&format!("{space}{}", pending.rollout.word().to_uppercase()));
        }
        segment.push((format!(" {arrow}{words}"), theme.tone(Tone::Attention)));
    }
    segment
}

fn busy(painter: &Painter<'_>, model: &Model, compact: bool) -> Segment {
    let theme = painter.theme;
    let count = format!("{}/{}", model.screen.figures.agents_busy, model.screen.agents.len());
    let label = if compact { "" } else { "busy " };
    vec![(label.to_owned(), theme.dim()), (count, theme.text())]
}

fn progress(painter: &Painter<'_>, model: &Model, compact: bool) -> Segment {
    let theme = painter.theme;
    let figures = &model.screen.figures;
    let label = if compact { "" } else { "done " };
    vec![(label.to_owned(), theme.dim()), (format!("{}/{}", figures.completed, figures.tasks), theme.text())]
}

fn throughput(painter: &Painter<'_>, model: &Model) -> Segment {
    let rate = model.screen.figures.throughput_per_hour;
    if rate < 0.05 {
        return Segment::new();
    }
    // Of many no tenth is known.
    let decimals = if rate < 10.0 { 1 } else { 0 };
    vec![(format!("{rate:.decimals$}"), painter.theme.text()), ("/h".to_owned(), painter.theme.dim())]
}

fn cost(painter: &Painter<'_>, model: &Model) -> Segment {
    let cost = model.screen.figures.cost_usd;
    if cost < 0.005 {
        return Segment::new();
    }
    vec![("$".to_owned(), painter.theme.dim()), (format!("{cost:.2}"), painter.theme.text())]
}

fn attention(painter: &Painter<'_>, model: &Model) -> Segment {
    let theme = painter.theme;
    match model.screen.attention.len() {
        0 => Segment::new(),
        n => vec![(format!("{} {n}", theme.sign(Tone::Attention)), theme.tone(Tone::Attention))],
    }
}

fn monitor(painter: &Painter<'_>, model: &Model, compact: bool, step: u8) -> Segment {
    let theme = painter.theme;
    let (tone, words) = match model.screen.monitor {
        Monitor::Here if compact => (Tone::Active, "here".to_owned()),
        Monitor::Here => (Tone::Active, "ticking".to_owned()),
        Monitor::Elsewhere(pid) if compact => (Tone::Good, pid.to_string()),
        Monitor::Elsewhere(pid) => (Tone::Good, format!("monitor {pid}")),
        Monitor::Stopped(_) if compact => (Tone::Bad, "stopped".to_owned()),
        Monitor::Stopped(_) => (Tone::Bad, "stopped: nobody ticks".to_owned()),
        Monitor::Nobody if compact => (Tone::Bad, "no monitor".to_owned()),
        Monitor::Nobody => (Tone::Bad, "nobody ticks: pipeline monitor".to_owned()),
    };
    let style = theme.tone(tone);
    if step >= 5 || (step >= 2 && tone != Tone::Bad) {
        return vec![(theme.sign(tone).to_owned(), style)];
    }
    let words_style = if tone == Tone::Bad { style } else { theme.dim() };
    vec![(theme.sign(tone).to_owned(), style), (format!(" {words}"), words_style)]
}
