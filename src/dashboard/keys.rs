//! The key table: the only place that says which key does what unless the settings say otherwise (`keymap.rs`), and the
//! source of the footer and the help screen. What
//! the keys of menus, questions and input lines do is beside them in `overlay.rs`.

use super::model::{Page, Place};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Down,
    Up,
    Left,
    Right,
    First,
    Last,
    PageDown,
    PageUp,
    NextPanel,
    PreviousPanel,
    /// To a page.
    Go(Page),
    NextPage,
    PreviousPage,
    Agent,
    Open,
    /// One pane fills the page, or all share it again.
    Zoom,
    /// Keys go to the agent from here on.
    Type,
    /// The next key is one of those behind the prefix.
    Prefix,
    /// Another way to lay the panes out.
    Layout,
    /// A pane's history has the keys.
    Scroll,
    /// What a task changed.
    Diff,
    /// What stands further left, or further right, of lines that are cut.
    LinesLeft,
    LinesRight,
    Close,
    NextAttention,
    Filter,
    NewTask,
    Approve,
    Reject,
    Retry,
    Stop,
    Cancel,
    Reassign,
    Block,
    Palette,
    ModeMenu,
    RolloutMenu,
    Help,
    Redraw,
    Suspend,
    Quit,
}

impl Action {
    /// Its name in the settings.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Left => "left",
            Self::Right => "right",
            Self::First => "first",
            Self::Last => "last",
            Self::PageDown => "page_down",
            Self::PageUp => "page_up",
            Self::NextPanel => "next_panel",
            Self::PreviousPanel => "previous_panel",
            Self::Go(page) => page.word(),
            Self::NextPage => "next_page",
            Self::PreviousPage => "previous_page",
            Self::Agent => "agent",
            Self::Open => "open",
            Self::Zoom => "zoom",
            Self::Type => "type",
            Self::Prefix => "prefix",
            Self::Layout => "layout",
            Self::Scroll => "scroll",
            Self::Diff => "diff",
            Self::LinesLeft => "lines_left",
            Self::LinesRight => "lines_right",
            Self::Close => "close",
            Self::NextAttention => "next_attention",
            Self::Filter => "filter",
            Self::NewTask => "new_task",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Retry => "retry",
            Self::Stop => "stop",
            Self::Cancel => "cancel",
            Self::Reassign => "reassign",
            Self::Block => "block",
            Self::Palette => "palette",
            Self::ModeMenu => "mode",
            Self::RolloutMenu => "rollout",
            Self::Help => "help",
            Self::Redraw => "redraw",
            Self::Suspend => "suspend",
            Self::Quit => "quit",
        }
    }
}

/// A heading of the help screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Move,
    Pages,
    Panes,
    Tasks,
    Modes,
    Program,
}

impl Group {
    pub(super) const ALL: [Self; 6] = [Self::Move, Self::Pages, Self::Panes, Self::Tasks, Self::Modes, Self::Program];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Move => "Look around",
            Self::Pages => "Pages",
            Self::Panes => "Panes",
            Self::Tasks => "Tasks and agents",
            Self::Modes => "Modes",
            Self::Program => "Program",
        }
    }
}

/// A row of the key table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Binding {
    /// Where it holds.
    pub(super) places: &'static [Place],
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

const ANY: &[Place] = &Place::ALL;
const OVERVIEW: &[Place] = &[Place::Board, Place::Agents, Place::Attention];
const AGENTS: &[Place] = &[Place::Agents];
const PANES: &[Place] = &[Place::Panes];
const TASK: &[Place] = &[Place::Task];
/// Where there is something to filter or to search.
const FILTERED: &[Place] =
    &[Place::Board, Place::Agents, Place::Attention, Place::Panes, Place::Task, Place::Graph, Place::Logs];
const ALL_BUT_AGENTS: &[Place] = &[
    Place::Board,
    Place::Attention,
    Place::Task,
    Place::Graph,
    Place::Timeline,
    Place::Schedules,
    Place::Metrics,
    Place::Logs,
];
const ALL_BUT_TASK: &[Place] = &[
    Place::Board,
    Place::Agents,
    Place::Attention,
    Place::Panes,
    Place::Graph,
    Place::Timeline,
    Place::Schedules,
    Place::Metrics,
    Place::Logs,
];
const PAGES: &[Place] =
    &[Place::Panes, Place::Task, Place::Graph, Place::Timeline, Place::Schedules, Place::Metrics, Place::Logs];
const SIDEWAYS: &[Place] = &[
    Place::Board,
    Place::Panes,
    Place::Task,
    Place::Graph,
    Place::Timeline,
    Place::Schedules,
    Place::Metrics,
    Place::Logs,
];
const LISTS: &[Place] = &[Place::Task, Place::Graph, Place::Timeline, Place::Schedules, Place::Metrics, Place::Logs];

const fn row(
    places: &'static [Place],
    keys: &'static [&'static str],
    (action, group): (Action, Group),
    label: &'static str,
    footer: Option<&'static str>,
    help: &'static str,
) -> Binding {
    Binding { places, keys, action, group, help, label, footer }
}

use Action as A;
use Group as G;

/// All keys of the panels. The footer shows its words in this order.
#[rustfmt::skip]
pub(super) const KEYS: &[Binding] = &[
    row(ANY, &["j", "<down>"], (A::Down, G::Move), "j ↓", None, "next row"),
    row(ANY, &["k", "<up>"], (A::Up, G::Move), "k ↑", None, "previous row"),
    row(SIDEWAYS, &["h", "<left>"], (A::Left, G::Move), "h ←", None, "to the left"),
    row(SIDEWAYS, &["l", "<right>"], (A::Right, G::Move), "l →", None, "to the right"),
    row(ANY, &["g", "<home>"], (A::First, G::Move), "g", None, "first row"),
    row(ANY, &["G", "<end>"], (A::Last, G::Move), "G", None, "last row"),
    row(LISTS, &["<space>", "<pagedown>", "<c-d>"], (A::PageDown, G::Move), "space", None, "a page down"),
    row(LISTS, &["<pageup>", "<c-u>"], (A::PageUp, G::Move), "ctrl-u", None, "a page up"),
    row(ANY, &["<tab>"], (A::NextPanel, G::Move), "tab", Some("panel"), "next panel or part"),
    row(ANY, &["<s-tab>"], (A::PreviousPanel, G::Move), "shift-tab", None, "previous panel or part"),
    row(ANY, &["1", "2", "3", "4", "5", "6", "7", "8", "9"], (A::Agent, G::Move), "1-9", None, "the agent of this number"),
    row(&[Place::Board], &["<enter>"], (A::Open, G::Move), "enter", Some("open"), "open: task, pane, cause"),
    row(AGENTS, &["<enter>"], (A::Open, G::Move), "enter", Some("pane"), "open its pane"),
    row(&[Place::Attention], &["<enter>"], (A::Open, G::Move), "enter", Some("go to"), "go to it, or what to type"),
    row(PAGES, &["<enter>"], (A::Open, G::Move), "enter", None, "open what is selected"),
    row(ANY, &["L"], (A::NextAttention, G::Move), "L", None, "next that needs me"),
    row(FILTERED, &["/"], (A::Filter, G::Move), "/", None, "filter, or search"),
    row(OVERVIEW, &["<esc>"], (A::Close, G::Move), "esc", None, "back, clear the filter"),
    row(PAGES, &["<esc>"], (A::Close, G::Move), "esc", Some("back"), "back to the overview"),
    row(ANY, &["o"], (A::Go(Page::Overview), G::Pages), "o", None, "overview"),
    row(ANY, &["p"], (A::Go(Page::Panes), G::Pages), "p", Some("panes"), "panes: the terminals"),
    row(ANY, &["v"], (A::Go(Page::Task), G::Pages), "v", None, "view the task in full"),
    row(ANY, &["w"], (A::Go(Page::Graph), G::Pages), "w", None, "who waits for whom"),
    row(ANY, &["t"], (A::Go(Page::Timeline), G::Pages), "t", None, "timeline"),
    row(ANY, &["s"], (A::Go(Page::Schedules), G::Pages), "s", None, "schedules, chains, limits"),
    row(ANY, &["M"], (A::Go(Page::Metrics), G::Pages), "M", None, "metrics"),
    row(ANY, &["e"], (A::Go(Page::Logs), G::Pages), "e", None, "the supervisor's log"),
    row(ANY, &["]"], (A::NextPage, G::Pages), "]", None, "next page"),
    row(ANY, &["["], (A::PreviousPage, G::Pages), "[", None, "previous page"),
    row(TASK, &[">"], (A::LinesRight, G::Move), ">", None, "more of long lines"),
    row(TASK, &["<lt>"], (A::LinesLeft, G::Move), "<", None, "back to their beginning"),
    row(TASK, &["D"], (A::Diff, G::Pages), "D", Some("diff"), "what the task changed"),
    row(ALL_BUT_TASK, &["D"], (A::Diff, G::Pages), "D", None, "what the task changed"),
    row(AGENTS, &["z"], (A::Zoom, G::Panes), "z", None, "its pane alone, or all"),
    row(PANES, &["z"], (A::Zoom, G::Panes), "z", Some("zoom"), "one pane alone, or all"),
    row(AGENTS, &["i"], (A::Type, G::Panes), "i", None, "type into the agent"),
    row(PANES, &["i"], (A::Type, G::Panes), "i", Some("type"), "type; ctrl-q ends it"),
    row(ANY, &["<c-b>"], (A::Prefix, G::Panes), "ctrl-b", None, "prefix: d z [ arrows"),
    row(PANES, &["<space>"], (A::Layout, G::Panes), "space", Some("layout"), "next layout of panes"),
    row(PANES, &["<c-u>", "<pageup>"], (A::Scroll, G::Panes), "ctrl-u", None, "look back; / searches"),
    row(ALL_BUT_AGENTS, &["a"], (A::Approve, G::Tasks), "a", Some("approve"), "approve"),
    row(&[Place::Agents, Place::Panes], &["a"], (A::Approve, G::Tasks), "a", Some("approve"), "approve the agent's task"),
    row(ANY, &["N"], (A::Reject, G::Tasks), "N", Some("reject"), "no: reject with a word"),
    row(ALL_BUT_AGENTS, &["R"], (A::Retry, G::Tasks), "R", Some("retry"), "retry"),
    row(&[Place::Agents, Place::Panes], &["R"], (A::Retry, G::Tasks), "R", None, "retry its task"),
    row(OVERVIEW, &["n"], (A::NewTask, G::Tasks), "n", Some("new"), "new task"),
    row(PAGES, &["n"], (A::NewTask, G::Tasks), "n", None, "new task"),
    row(ANY, &["A"], (A::Reassign, G::Tasks), "A", None, "give it to another agent"),
    row(ANY, &["B"], (A::Block, G::Tasks), "B", None, "block with a reason"),
    row(&[Place::Agents, Place::Panes], &["x"], (A::Stop, G::Tasks), "x", Some("stop"), "stop agent, or start it"),
    row(ALL_BUT_AGENTS, &["x"], (A::Stop, G::Tasks), "x", None, "stop the agent at work"),
    row(ANY, &["X"], (A::Cancel, G::Tasks), "X", None, "cancel the task"),
    row(ANY, &["m"], (A::ModeMenu, G::Modes), "m", Some("mode"), "orchestration mode"),
    row(ANY, &["r"], (A::RolloutMenu, G::Modes), "r", Some("rollout"), "rollout mode"),
    row(ANY, &[":", "<c-p>"], (A::Palette, G::Program), ":", Some("commands"), "every command, by name"),
    row(ANY, &["?"], (A::Help, G::Program), "?", Some("help"), "this help"),
    row(ANY, &["<c-l>"], (A::Redraw, G::Program), "ctrl-l", None, "draw again"),
    row(ANY, &["<c-z>"], (A::Suspend, G::Program), "ctrl-z", None, "to the shell; fg returns"),
    row(ANY, &["q", "<c-c>"], (A::Quit, G::Program), "q", Some("quit"), "quit; agents keep running"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_in_a_place() {
        for place in Place::ALL {
            let mut seen = std::collections::HashSet::new();
            for binding in KEYS.iter().filter(|binding| binding.places.contains(&place)) {
                for key in binding.keys {
                    assert!(seen.insert(key), "{key} stands twice for {place:?}");
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
    fn verbs_and_pages_can_be_reached_from_everywhere() {
        for binding in KEYS
            .iter()
            .filter(|binding| matches!(binding.group, Group::Tasks | Group::Modes | Group::Program | Group::Pages))
        {
            for place in Place::ALL {
                let reached = KEYS.iter().any(|b| b.action == binding.action && b.places.contains(&place));
                assert!(reached, "{:?} {place:?}", binding.action);
            }
        }
    }
}
