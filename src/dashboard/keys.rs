//! The key table: the only place that says which key does what, and the source of the footer and the help screen. What
//! the keys of menus, questions and input lines do is beside them in `overlay.rs`.

use super::message::Key;
use super::model::Focus;

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Down,
    Up,
    Left,
    Right,
    First,
    Last,
    NextPanel,
    PreviousPanel,
    Agent,
    Open,
    Close,
    NextAttention,
    Filter,
    NewTask,
    Approve,
    Reject,
    Retry,
    Stop,
    Cancel,
    ModeMenu,
    RolloutMenu,
    Help,
    Redraw,
    Suspend,
    Quit,
}

/// A heading of the help screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Move,
    Tasks,
    Modes,
    Program,
}

impl Group {
    pub(super) const ALL: [Self; 4] = [Self::Move, Self::Tasks, Self::Modes, Self::Program];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Move => "Look around",
            Self::Tasks => "Tasks and agents",
            Self::Modes => "Modes",
            Self::Program => "Program",
        }
    }
}

/// A row of the key table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    /// The panels in which it holds.
    pub(super) focus: &'static [Focus],
    /// The keys, the one to show first.
    pub(super) keys: &'static [&'static str],
    /// What they do.
    pub(super) action: Action,
    /// Its heading in the help.
    pub(super) group: Group,
    /// What the help says.
    pub(super) help: &'static str,
    /// How the keys are shown.
    pub(super) label: &'static str,
    /// The word of the footer, for those that are in it.
    pub(super) footer: Option<&'static str>,
}

const ANY: &[Focus] = &Focus::ALL;
const BOARD: &[Focus] = &[Focus::Board];
const ALL_BUT_AGENTS: &[Focus] = &[Focus::Board, Focus::Attention];
const AGENTS: &[Focus] = &[Focus::Agents];

const fn row(
    focus: &'static [Focus],
    keys: &'static [&'static str],
    (action, group): (Action, Group),
    label: &'static str,
    footer: Option<&'static str>,
    help: &'static str,
) -> Binding {
    Binding { focus, keys, action, group, help, label, footer }
}

use Action as A;
use Group as G;

/// All keys of the panels. The footer shows its words in this order.
#[rustfmt::skip]
pub(super) const KEYS: &[Binding] = &[
    row(ANY, &["j", "<down>"], (A::Down, G::Move), "j ↓", None, "next row"),
    row(ANY, &["k", "<up>"], (A::Up, G::Move), "k ↑", None, "previous row"),
    row(BOARD, &["h", "<left>"], (A::Left, G::Move), "h ←", None, "column to the left"),
    row(BOARD, &["l", "<right>"], (A::Right, G::Move), "l →", None, "column to the right"),
    row(ANY, &["g", "<home>"], (A::First, G::Move), "g", None, "first row"),
    row(ANY, &["G", "<end>"], (A::Last, G::Move), "G", None, "last row"),
    row(ANY, &["<tab>"], (A::NextPanel, G::Move), "tab", Some("panel"), "next panel"),
    row(ANY, &["<s-tab>"], (A::PreviousPanel, G::Move), "shift-tab", None, "previous panel"),
    row(ANY, &["1", "2", "3", "4", "5", "6", "7", "8", "9"], (A::Agent, G::Move), "1-9", None, "the agent of this number"),
    row(&[Focus::Board, Focus::Agents], &["<enter>"], (A::Open, G::Move), "enter", Some("explain"), "why it is so, or go to it"),
    row(&[Focus::Attention], &["<enter>"], (A::Open, G::Move), "enter", Some("go to"), "go to it, or what to type"),
    row(ANY, &["L"], (A::NextAttention, G::Move), "L", None, "next that needs me"),
    row(ANY, &["/"], (A::Filter, G::Move), "/", None, "filter the board"),
    row(ANY, &["<esc>"], (A::Close, G::Move), "esc", None, "close, clear the filter"),
    row(ALL_BUT_AGENTS, &["a"], (A::Approve, G::Tasks), "a", Some("approve"), "approve"),
    row(AGENTS, &["a"], (A::Approve, G::Tasks), "a", None, "approve the agent's task"),
    row(ANY, &["N"], (A::Reject, G::Tasks), "N", None, "no: reject with a word"),
    row(ANY, &["R"], (A::Retry, G::Tasks), "R", Some("retry"), "retry"),
    row(ANY, &["n"], (A::NewTask, G::Tasks), "n", Some("new"), "new task"),
    row(AGENTS, &["x"], (A::Stop, G::Tasks), "x", Some("stop"), "stop agent, or start it"),
    row(ALL_BUT_AGENTS, &["x"], (A::Stop, G::Tasks), "x", None, "stop the agent at work"),
    row(ANY, &["X"], (A::Cancel, G::Tasks), "X", None, "cancel the task"),
    row(ANY, &["m"], (A::ModeMenu, G::Modes), "m", Some("mode"), "orchestration mode"),
    row(ANY, &["r"], (A::RolloutMenu, G::Modes), "r", Some("rollout"), "rollout mode"),
    row(ANY, &["?"], (A::Help, G::Program), "?", Some("help"), "this help"),
    row(ANY, &["<c-l>"], (A::Redraw, G::Program), "ctrl-l", None, "draw again"),
    row(ANY, &["<c-z>"], (A::Suspend, G::Program), "ctrl-z", None, "to the shell; fg returns"),
    row(ANY, &["q", "<c-c>"], (A::Quit, G::Program), "q", Some("quit"), "quit; agents keep running"),
];

/// What a key does in a panel; nothing for one that is not in the table.
pub(super) fn action(focus: Focus, key: Key) -> Option<Action> {
    let name = key.to_string();
    let found = KEYS.iter().find(|binding| binding.focus.contains(&focus) && binding.keys.contains(&name.as_str()));
    found.map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_in_a_panel() {
        for focus in Focus::ALL {
            let mut seen = std::collections::HashSet::new();
            for binding in KEYS.iter().filter(|binding| binding.focus.contains(&focus)) {
                for key in binding.keys {
                    assert!(seen.insert(key), "{key} stands twice for {focus:?}");
                }
            }
        }
    }

    #[test]
    fn the_help_fits_in_two_lists_at_eighty_columns() {
        for binding in KEYS {
            assert!(binding.help.len() <= 26 && binding.label.chars().count() < 10, "{}", binding.help);
        }
    }

    #[test]
    fn every_action_but_the_columns_can_be_reached_from_every_panel() {
        for binding in KEYS {
            for focus in Focus::ALL {
                let reached = KEYS.iter().any(|b| b.action == binding.action && b.focus.contains(&focus));
                assert!(
                    reached || matches!(binding.action, Action::Left | Action::Right),
                    "{:?} {focus:?}",
                    binding.action
                );
            }
        }
    }
}
