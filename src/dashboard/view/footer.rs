//! The last line: the keys that matter here, or what just happened.

use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;

use super::paint::{Painter, columns};
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Model, Overlay, Page};

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let (x, width) = (area.x + 2, area.width - 3);
    let news = model.toast.as_ref().map(|toast| {
        painter.changes_by(toast.until);
        (toast.tone, toast.text.clone())
    });
    let asked = model.asked.last().map(|asked| (Tone::Active, format!("pipeline {asked}")));
    let (used, pane_keys) = super::panes::mode(painter, model, (x, area.y, width));
    let (x, width) = (x + used, width - used);
    if width < 3 {
        return;
    }
    if let Some((tone, text)) = news.or(asked) {
        let style = painter.theme.tone(tone);
        painter.text(x, area.y, 1, painter.theme.sign(tone), style);
        painter.text(x + 2, area.y, width - 2, &text, style);
        return;
    }
    match &model.overlay {
        _ if !pane_keys.is_empty() => {
            let pairs: Vec<_> = pane_keys.iter().map(|(key, word)| (key.as_str(), *word)).collect();
            hints(painter, (x, area.y, width), &pairs);
        }
        Some(over) => hints(painter, (x, area.y, width), over_keys(over)),
        None if model.page == Page::Task && !model.reading.search.needle.is_empty() => {
            hints(
                painter,
                (x, area.y, width),
                &[("n N", "next, previous"), ("/", "search"), ("esc", "ends the search")],
            );
        }
        None => keys(painter, model, (x, area.y, width)),
    }
}

/// The keys of an overlay, which are said beside what they do in `overlay.rs`.
fn over_keys(over: &Overlay) -> &'static [(&'static str, &'static str)] {
    match over {
        Overlay::Help(_) | Overlay::Message(_) => &[("j k", "scroll"), ("esc", "close")],
        Overlay::Palette(_) => &[("enter", "run"), ("tab", "complete"), ("↑ ↓", "choose"), ("esc", "leave")],
        Overlay::Input(_) => &[("enter", "done"), ("esc", "leave")],
        Overlay::Confirm(_) => &[("enter y", "yes"), ("esc n", "no")],
        Overlay::ModeMenu(_) => {
            &[("j k", "choose"), ("enter", "switch"), ("d", "drain"), ("f", "force"), ("esc", "leave")]
        }
        Overlay::AgentMenu(..) => &[("j k", "choose"), ("enter", "hand over"), ("esc", "leave")],
        Overlay::RolloutMenu(_) => &[("j k", "choose"), ("enter", "switch"), ("esc", "leave")],
    }
}

fn hints(painter: &mut Painter<'_>, (mut x, y, width): (u16, u16, u16), pairs: &[(&str, &str)]) {
    let end = x + width;
    for (key, word) in pairs {
        let needed = columns(key) + 1 + columns(word);
        if x + needed > end {
            break;
        }
        let theme = painter.theme;
        x += painter.parts(x, y, end - x, &[(key, theme.accent()), (" ", theme.text()), (word, theme.dim())]) + 2;
    }
}

fn keys(painter: &mut Painter<'_>, model: &Model, (x, y, width): (u16, u16, u16)) {
    let here = model.keys.rows().filter(|row| row.binding.places.contains(&model.place()));
    let named = here.filter_map(|row| Some((row.binding.action, (row.label.as_str(), row.binding.footer?))));
    // The way out and the way to all other keys keep their place at the right end.
    let (last, rest): (Vec<_>, Vec<_>) = named.partition(|(action, _)| matches!(action, Action::Help | Action::Quit));
    let last: Vec<_> = last.into_iter().map(|(_, pair)| pair).collect();
    let rest: Vec<_> = rest.into_iter().map(|(_, pair)| pair).collect();
    let needed: u16 = last.iter().map(|(key, word)| columns(key) + columns(word) + 3).sum::<u16>() - 2;
    hints(painter, (x, y, width.saturating_sub(needed + 2)), &rest);
    hints(painter, (x + width - needed, y, needed), &last);
}
