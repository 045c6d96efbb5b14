//! The last line: the keys that matter here, or what just happened.

use pipeline_lib::view::screen::Tone;
use ratatui::layout::Rect;

use super::paint::{Painter, columns};
use crate::dashboard::hand_over;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Model, Overlay, Page};

/// In which order the words stand, as far as there is room: what the selected task waits for, the ways on, what else there is.
const ORDER: [Action; 17] = [
    Action::Approve,
    Action::Reject,
    Action::Retry,
    Action::Close,
    Action::Zoom,
    Action::Type,
    Action::Open,
    Action::Diff,
    Action::Stop,
    Action::Go(Page::Panes),
    Action::Palette,
    Action::NextPanel,
    Action::NewTask,
    Action::Layout,
    Action::ModeMenu,
    Action::RolloutMenu,
    Action::Help,
];

/// A key and what it does.
type Pair = (String, String);

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
    let (rest, last) = pairs(model, pane_keys);
    // The way out keeps its place at the right end, whatever there is to say.
    let needed = last.iter().map(|(key, word)| columns(key) + columns(word) + 3).sum::<u16>().saturating_sub(2);
    let room = width.saturating_sub(if last.is_empty() { 0 } else { needed + 2 });
    match news.or(asked) {
        Some((tone, text)) if room > 3 => {
            let style = painter.theme.tone(tone);
            painter.text(x, area.y, 1, painter.theme.sign(tone), style);
            painter.text(x + 2, area.y, room - 2, &text, style);
        }
        _ => hints(painter, (x, area.y, room), &rest),
    }
    hints(painter, (x + width.saturating_sub(needed), area.y, needed), &last);
}

/// What the keys do now, and what of it has to be in sight.
fn pairs(model: &Model, pane_keys: Vec<(String, &'static str)>) -> (Vec<Pair>, Vec<Pair>) {
    let owned = |pairs: &[(&str, &str)]| -> Vec<Pair> {
        pairs.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect()
    };
    let mut all = match &model.overlay {
        _ if !pane_keys.is_empty() => pane_keys.into_iter().map(|(key, word)| (key, word.to_owned())).collect(),
        Some(over) => owned(over_keys(over)),
        None if model.page == Page::Task && !model.reading.search.needle.is_empty() => {
            owned(&[("n N", "next, previous"), ("/", "search"), ("esc", "ends the search")])
        }
        None => return keys(model),
    };
    let out = all.iter().position(|(key, _)| key.contains("ctrl-q") || key.starts_with("esc"));
    let last = out.map(|at| all.remove(at));
    (all, last.into_iter().collect())
}

/// The keys of an overlay, which are said beside what they do in `overlay.rs`.
fn over_keys(over: &Overlay) -> &'static [(&'static str, &'static str)] {
    match over {
        Overlay::Help(_) | Overlay::Message(_) => &[("j k", "scroll"), ("esc", "close")],
        Overlay::Palette(_) => &[("enter", "run"), ("tab", "complete"), ("↑ ↓", "choose"), ("esc", "leave")],
        Overlay::Input(_) => &[("enter", "done"), ("esc", "leave")],
        Overlay::Confirm(confirm) if confirm.other.is_some() => &[("enter y", "yes"), ("f", "force"), ("esc n", "no")],
        Overlay::Confirm(_) => &[("enter y", "yes"), ("esc n", "no")],
        Overlay::ModeMenu(_) => {
            &[("j k", "choose"), ("enter", "switch"), ("d", "drain"), ("f", "force"), ("esc", "leave")]
        }
        Overlay::AgentMenu(..) => &[("j k", "choose"), ("enter", "hand over"), ("esc", "leave")],
        Overlay::RolloutMenu(_) => &[("j k", "choose"), ("enter", "switch"), ("esc", "leave")],
    }
}

fn hints(painter: &mut Painter<'_>, (mut x, y, width): (u16, u16, u16), pairs: &[Pair]) {
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

fn keys(model: &Model) -> (Vec<Pair>, Vec<Pair>) {
    let here = model.keys.rows().filter(|row| row.binding.places.contains(&model.place()));
    let named = here.filter_map(|row| {
        let word = row.binding.footer.filter(|_| is_offered(model, row.binding.action))?;
        Some((row.binding.action, (row.label.clone(), word.to_owned())))
    });
    // The way out and the way to all other keys keep their place at the right end.
    let (last, mut rest): (Vec<_>, Vec<_>) =
        named.partition(|(action, _)| matches!(action, Action::Help | Action::Quit));
    rest.sort_by_key(|(action, _)| ORDER.iter().position(|other| other == action).unwrap_or(ORDER.len()));
    let pairs = |list: Vec<(Action, Pair)>| list.into_iter().map(|(_, pair)| pair).collect();
    (pairs(rest), pairs(last))
}

/// Whether a key would do something about what is selected, for those that only sometimes do.
fn is_offered(model: &Model, action: Action) -> bool {
    let task = || model.target_task();
    match action {
        Action::Approve | Action::Reject => task().is_some_and(|task| hand_over::awaited(model, &task).is_some()),
        Action::Retry => task().is_some_and(|task| hand_over::can_be_retried(model, &task)),
        Action::Go(page) => page != model.page,
        _ => true,
    }
}
