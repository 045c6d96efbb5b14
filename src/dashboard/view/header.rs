//! The first line: which project, in which mode, how far, what needs a person, and who ticks.

use pipeline_lib::view::screen::{Monitor, Tone};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::layout::{Layout, Room};
use super::paint::{Painter, columns};
use crate::dashboard::model::Model;

/// A group of parts that stands or falls as one.
type Segment = Vec<(String, Style)>;

/// The columns between two segments.
const GAP: u16 = 3;

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, layout: &Layout) {
    let compact = layout.room == Room::Compact;
    let right = [attention(painter, model), monitor(painter, model, compact)];
    let left = [
        project(painter, model, area.width),
        mode(painter, model),
        busy(painter, model, compact),
        progress(painter, model, compact),
        throughput(painter, model),
        cost(painter, model),
    ];
    let shown = right.iter().filter(|segment| !segment.is_empty());
    let right_width: u16 = shown.map(|segment| width(segment) + 2).sum::<u16>().saturating_sub(1);
    let room = area.width.saturating_sub(right_width + GAP);
    let mut x = area.x + 1;
    for (at, segment) in left.iter().enumerate().filter(|(_, segment)| !segment.is_empty()) {
        // What does not fit as a whole is left out; the name and the mode are always there.
        let needed = width(segment);
        if x + needed > area.x + room && at > 1 {
            break;
        }
        write(painter, x, area.y, area.right().saturating_sub(x), segment);
        x += needed + GAP;
    }
    let mut x = area.right().saturating_sub(right_width);
    painter.clear(Rect { x: x.saturating_sub(1), width: area.right() - x.saturating_sub(1), ..area });
    for segment in right.iter().filter(|segment| !segment.is_empty()) {
        write(painter, x, area.y, area.right().saturating_sub(x), segment);
        x += width(segment) + 2;
    }
}

fn width(segment: &Segment) -> u16 {
    segment.iter().map(|(text, _)| columns(text)).sum()
}

fn write(painter: &mut Painter<'_>, x: u16, y: u16, width: u16, segment: &Segment) {
    let parts: Vec<(&str, Style)> = segment.iter().map(|(text, style)| (text.as_str(), *style)).collect();
    painter.parts(x, y, width, &parts);
}

fn project(painter: &Painter<'_>, model: &Model, columns: u16) -> Segment {
    let theme = painter.theme;
    let name = super::paint::fit(&model.screen.project, (columns / 6).clamp(8, 28), theme.ellipsis());
    let mut segment = vec![(name, theme.strong())];
    // The branch never changes while one looks, so it is the first to go.
    if columns >= 100 {
        segment.push((format!(" {}", super::paint::fit(&model.screen.base, 16, theme.ellipsis())), theme.dim()));
    }
    segment
}

fn mode(painter: &Painter<'_>, model: &Model) -> Segment {
    let theme = painter.theme;
    let mode = model.screen.mode;
    let (sign, style) = theme.rollout(mode.rollout);
    let mut segment = vec![
        (format!("{} ", mode.orchestration.word()), theme.text()),
        (format!("{sign} {}", mode.rollout.word().to_uppercase()), style),
    ];
    if let Some(pending) = model.screen.pending_mode {
        let arrow = theme.pick("→", "->");
        let mut words = String::new();
        if pending.orchestration != mode.orchestration {
            words.push_str(&format!(" {}", pending.orchestration.word()));
        }
        if pending.rollout != mode.rollout {
            words.push_str(&format!(" {}", pending.rollout.word().to_uppercase()));
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
    vec![(format!("{rate:.1}"), painter.theme.text()), ("/h".to_owned(), painter.theme.dim())]
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

fn monitor(painter: &Painter<'_>, model: &Model, compact: bool) -> Segment {
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
    let words_style = if tone == Tone::Bad { style } else { theme.dim() };
    vec![(theme.sign(tone).to_owned(), style), (format!(" {words}"), words_style)]
}
