//! Where a person can be in the dashboard: the pages, and the panels of the overview that take keys.

/// What can fill the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The board, the agents, what waits, and the latest events.
    Overview,
    /// The agents' terminals.
    Panes,
    /// All about the chosen task.
    Task,
    /// Which task waits for which.
    Graph,
    /// Which agent did what when.
    Timeline,
    /// What starts by itself, chains under way, and how full categories are.
    Schedules,
    /// Figures over time.
    Metrics,
    /// What the supervisor wrote about itself.
    Logs,
}

impl Page {
    /// All of them, in the order of the tabs.
    pub(super) const ALL: [Self; 8] = [
        Self::Overview,
        Self::Panes,
        Self::Task,
        Self::Graph,
        Self::Timeline,
        Self::Schedules,
        Self::Metrics,
        Self::Logs,
    ];

    /// Its name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Panes => "panes",
            Self::Task => "task",
            Self::Graph => "graph",
            Self::Timeline => "timeline",
            Self::Schedules => "schedules",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The one `steps` further, around the end.
    pub(super) fn turned(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|page| *page == self).unwrap_or(0);
        Self::ALL[(at + steps) % Self::ALL.len()]
    }
}

/// Where the keys go: a panel of the overview, or another page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The tasks of the overview.
    Board,
    /// The workers of the overview.
    Agents,
    /// What waits for a person.
    Attention,
    /// A page, as all of the following.
    Panes,
    Task,
    Graph,
    Timeline,
    Schedules,
    Metrics,
    Logs,
}

impl Place {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Board,
        Self::Agents,
        Self::Attention,
        Self::Panes,
        Self::Task,
        Self::Graph,
        Self::Timeline,
        Self::Schedules,
        Self::Metrics,
        Self::Logs,
    ];
}
