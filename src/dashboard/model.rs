//! All that a frame is drawn from: the picture of the pipeline and what the user looks at. No handle, no clock and no
//! terminal is in it, so that a state can be copied, compared and made up in a test.

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use pipeline_commands::dispatch::VerbLine;
use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::view::Attention;
use pipeline_lib::view::detail::Look;
use pipeline_lib::view::detail::task::TaskLook;
use pipeline_lib::view::pane::Panes;
use pipeline_lib::view::screen::{AgentRow, Card, Column, Screen, Tone};

use super::keymap::Keymap;
use super::overlay;
use super::pages;
use super::palette::Palette;
use super::questions::Subject;
use super::theme::Theme;

pub(super) use super::place::{Page, Place};

/// Everything a frame shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    /// The pipeline.
    pub(super) screen: Picture,
    /// The time for which ages are shown.
    pub(super) now: Timestamp,
    /// Columns and rows of the terminal.
    pub(super) size: (u16, u16),
    /// What the terminal can show.
    pub(super) theme: Theme,
    /// Which key does what.
    pub(super) keys: Keymap,
    /// Every verb of the command line.
    pub(super) verbs: Arc<Vec<VerbLine>>,
    /// What fills the screen.
    pub(super) page: Page,
    /// The panel of the overview that has the keys.
    pub(super) focus: Focus,
    /// What agents' terminals show, as far as they are to be seen.
    pub(super) shown: Panes,
    /// How the person looks at the terminals.
    pub(super) panes: pages::panes::Looking,
    /// How the person looks at the chosen task.
    pub(super) reading: pages::task::Looking,
    /// How the person looks at the graph.
    pub(super) graph: pages::graph::Looking,
    /// How the person looks at the timeline.
    pub(super) timeline: pages::timeline::Looking,
    /// How the person looks at what starts by itself.
    pub(super) schedules: pages::schedules::Looking,
    /// How the person looks at the figures.
    pub(super) figures: pages::metrics::Looking,
    /// How the person looks at the log.
    pub(super) logs: pages::logs::Looking,
    /// The chosen task; see [`Model::card`] for the one that counts.
    pub(super) task: Option<TaskId>,
    /// The chosen agent; see [`Model::agent`].
    pub(super) agent: Option<AgentName>,
    /// The chosen thing that waits; see [`Model::attention`].
    pub(super) waiting: Option<AttentionKey>,
    /// Only cards that hold this text are shown.
    pub(super) filter: String,
    /// What lies over the panels and takes the keys.
    pub(super) overlay: Option<Overlay>,
    /// A short word on what just happened.
    pub(super) toast: Option<Toast>,
    /// Verbs that were not answered yet, as typed.
    pub(super) asked: Vec<String>,
    /// What was selected has gone and a neighbour took its place, which no key has acknowledged yet.
    pub(super) shifted: bool,
}

/// The picture of the pipeline. Two are equal without a look inside if they are the same one.
#[derive(Debug, Clone)]
pub(super) struct Picture(pub(super) Arc<Screen>);

impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Deref for Picture {
    type Target = Screen;
    fn deref(&self) -> &Screen {
        &self.0
    }
}

/// A panel that can have the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    /// The tasks.
    Board,
    /// The workers.
    Agents,
    /// What waits for a person.
    Attention,
}

impl Focus {
    /// All of them, in the order of the Tab key.
    pub(super) const ALL: [Self; 3] = [Self::Board, Self::Agents, Self::Attention];

    /// The one `steps` further, around the end.
    pub(super) fn turned(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|focus| *focus == self).unwrap_or(0);
        Self::ALL[(at + steps) % Self::ALL.len()]
    }
}

/// What tells one waiting thing from another, across pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttentionKey {
    kind: &'static str,
    task: Option<TaskId>,
    agent: Option<AgentName>,
    /// Which one of those that are alike in all else.
    nth: usize,
}

/// What lies over the panels.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Overlay {
    /// All keys; the first line shown.
    Help(usize),
    /// A line of text to type.
    Input(Input),
    /// Every verb, by name.
    Palette(Palette),
    /// A question before something stops or is discarded.
    Confirm(Confirm),
    /// The choice of the orchestration.
    ModeMenu(Menu),
    /// The choice of the rollout.
    RolloutMenu(Menu),
    /// The choice of the agent that a task is handed to; the chosen row.
    AgentMenu(TaskId, usize),
    /// An answer that does not fit into one line, or an error.
    Message(Note),
}

/// A line of text to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// What it is for.
    pub(super) purpose: Purpose,
    /// What was typed before the cursor.
    pub(super) before: String,
    /// What was typed behind it.
    pub(super) after: String,
    /// The priority of a new task.
    pub(super) priority: u8,
}

impl Input {
    /// An empty line.
    pub(super) fn new(purpose: Purpose) -> Self {
        Self { purpose, before: String::new(), after: String::new(), priority: pipeline_lib::task::PRIORITY_DEFAULT }
    }

    /// All that was typed.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.before, self.after)
    }
}

/// What a typed line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The title of a new task.
    NewTask,
    /// What an agent is told about its rejected work.
    Reject(TaskId),
    /// Why a task is taken out.
    Block(TaskId),
    /// The decision that an agent left open.
    Decide(TaskId),
    /// The filter of the board.
    Filter,
    /// What to find in the part of a task that is in sight.
    Search,
    /// A verb.
    Command,
}

/// A question before something stops or is discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Confirm {
    /// The question.
    pub(super) question: String,
    /// What happens and what is kept, line by line.
    pub(super) lines: Vec<String>,
    /// What the key for yes does, in a word or two.
    pub(super) yes: &'static str,
    /// The verb.
    pub(super) argv: Vec<String>,
    /// Another way to go.
    pub(super) other: Option<Other>,
    /// What it is about, as it was when it was asked.
    pub(super) about: Subject,
}

/// Another answer than yes and no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    /// Its key.
    pub(super) key: char,
    /// What it does.
    pub(super) words: &'static str,
    /// The verb.
    pub(super) argv: Vec<String>,
}

/// A choice from a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Menu {
    /// The chosen row.
    pub(super) row: usize,
    /// Whether busy agents are stopped instead of waited for.
    pub(super) force: bool,
}

/// Text to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// What it is about.
    pub(super) title: String,
    /// The text, line by line.
    pub(super) lines: Vec<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// What kind of news it is.
    pub(super) tone: Tone,
    /// The first line shown.
    pub(super) scroll: usize,
}

/// A short word on what just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toast {
    /// In one line.
    pub(super) text: String,
    /// What kind of news it is.
    pub(super) tone: Tone,
    /// When it goes.
    pub(super) until: Timestamp,
}

impl Model {
    /// The state before the first key.
    #[must_use]
    pub(super) fn new(screen: Arc<Screen>, theme: Theme, size: (u16, u16), now: Timestamp) -> Self {
        let busy = screen.agents.iter().find(|row| row.task.is_some()).or(screen.agents.first());
        let agent = busy.map(|row| row.name.clone());
        Self {
            screen: Picture(screen),
            now,
            size,
            theme,
            keys: Keymap::default(),
            verbs: Arc::default(),
            page: Page::Overview,
            focus: Focus::Board,
            shown: Panes::default(),
            panes: pages::panes::Looking::default(),
            reading: pages::task::Looking::default(),
            graph: pages::graph::Looking::default(),
            timeline: pages::timeline::Looking::default(),
            schedules: pages::schedules::Looking::default(),
            figures: pages::metrics::Looking::default(),
            logs: pages::logs::Looking::default(),
            task: None,
            agent,
            waiting: None,
            filter: String::new(),
            overlay: None,
            toast: None,
            asked: Vec::new(),
            shifted: false,
        }
    }

    /// Where the keys go.
    pub(super) fn place(&self) -> Place {
        match (self.page, self.focus) {
            (Page::Overview, Focus::Board) => Place::Board,
            (Page::Overview, Focus::Agents) => Place::Agents,
            (Page::Overview, Focus::Attention) => Place::Attention,
            (Page::Panes, _) => Place::Panes,
            (Page::Task, _) => Place::Task,
            (Page::Graph, _) => Place::Graph,
            (Page::Timeline, _) => Place::Timeline,
            (Page::Schedules, _) => Place::Schedules,
            (Page::Metrics, _) => Place::Metrics,
            (Page::Logs, _) => Place::Logs,
        }
    }

    /// What the picture should show beyond what is always there.
    pub(super) fn look(&self) -> Look {
        match &self.overlay {
            Some(Overlay::ModeMenu(menu)) => return self.look_at_mode(overlay::MODES[menu.row].0),
            Some(Overlay::RolloutMenu(menu)) => return self.look_at_mode(overlay::ROLLOUTS[menu.row].0),
            _ => {}
        }
        match self.page {
            Page::Overview | Page::Panes => Look::Picture,
            Page::Task => self.target_task().map_or(Look::Picture, |task| {
                Look::Task(TaskLook { task, part: self.reading.part, run: self.reading.run.clone() })
            }),
            Page::Graph => Look::Graph(pages::graph::centre(self)),
            Page::Timeline => Look::Timeline,
            Page::Schedules => Look::Schedules,
            Page::Metrics => Look::Metrics,
            Page::Logs => Look::Logs,
        }
    }

    fn look_at_mode(&self, word: &str) -> Look {
        self.screen.mode.with_word(word).map_or(Look::Picture, Look::Plan)
    }

    /// The cards of a column that the filter leaves.
    pub(super) fn cards<'a>(&'a self, column: &'a Column) -> Vec<&'a Card> {
        column.cards.iter().filter(|card| self.passes(card)).collect()
    }

    fn passes(&self, card: &Card) -> bool {
        let needle = self.filter.to_lowercase();
        needle.is_empty()
            || card.title.to_lowercase().contains(&needle)
            || card.id.as_str().to_lowercase().contains(&needle)
            || card.status.to_lowercase().contains(&needle)
            || card.agent.as_ref().is_some_and(|agent| agent.as_str().to_lowercase().contains(&needle))
    }

    /// The selected card with its column and row: the chosen one, or the first one there is.
    pub(super) fn card(&self) -> Option<(usize, usize, &Card)> {
        let chosen = self.task.as_ref().and_then(|id| self.find_card(id));
        chosen.or_else(|| {
            self.screen.columns.iter().enumerate().find_map(|(at, column)| {
                let first = column.cards.iter().find(|card| self.passes(card))?;
                Some((at, 0, first))
            })
        })
    }

    /// Where a task is on the board.
    pub(super) fn find_card(&self, id: &TaskId) -> Option<(usize, usize, &Card)> {
        self.screen.columns.iter().enumerate().find_map(|(at, column)| {
            let cards = self.cards(column);
            let row = cards.iter().position(|card| card.id == *id)?;
            Some((at, row, cards[row]))
        })
    }

    /// The selected agent with its row.
    pub(super) fn agent(&self) -> Option<(usize, &AgentRow)> {
        let agents = &self.screen.agents;
        let at = self.agent.as_ref().and_then(|name| agents.iter().position(|row| row.name == *name)).unwrap_or(0);
        agents.get(at).map(|row| (at, row))
    }

    /// The selected thing that waits, with its row.
    pub(super) fn attention(&self) -> Option<(usize, &Attention)> {
        let list = &self.screen.attention;
        let at = self
            .waiting
            .as_ref()
            .and_then(|key| (0..list.len()).find(|at| self.attention_key(*at).as_ref() == Some(key)));
        let at = at.unwrap_or(0);
        list.get(at).map(|item| (at, item))
    }

    /// What tells the waiting thing of a row from the others.
    pub(super) fn attention_key(&self, at: usize) -> Option<AttentionKey> {
        let list = &self.screen.attention;
        let item = list.get(at)?;
        let alike =
            |other: &&Attention| other.kind == item.kind && other.task == item.task && other.agent == item.agent;
        let nth = list[..at].iter().filter(alike).count();
        Some(AttentionKey { kind: item.kind, task: item.task.clone(), agent: item.agent.clone(), nth })
    }

    /// Takes a new picture. What the user selected stays selected; where it has gone, its neighbour is. What is selected
    /// because it comes first gives way to what comes first now. A selection that moved is noted, so that a key pressed
    /// for the one that left is not simply obeyed for the other.
    pub(super) fn adopt(&mut self, screen: Arc<Screen>) {
        let card = self.card().map(|(column, row, card)| (column, row, card.id.clone()));
        let waiting = self.attention().and_then(|(at, _)| Some((at, self.attention_key(at)?)));
        let chosen = self.task.clone().filter(|_| self.page == Page::Graph);
        self.screen = Picture(screen);
        if let Some((column, row, id)) = card {
            if self.task.is_some() {
                self.task = if self.find_card(&id).is_some() { Some(id.clone()) } else { self.card_at(column, row) };
            }
            let moved = self.card().is_none_or(|(_, _, card)| card.id != id);
            self.shifted |= moved && self.focus == Focus::Board;
        }
        if chosen.is_some() {
            // The graph has tasks that the board has no card for.
            let there = chosen.as_ref().is_some_and(|id| pages::graph::holds(self, id));
            self.shifted |= !there;
            self.task = if there { chosen } else { self.task.take() };
        }
        if let Some((at, key)) = waiting {
            let count = self.screen.attention.len();
            if self.waiting.is_some() {
                let there = (0..count).any(|row| self.attention_key(row).as_ref() == Some(&key));
                self.waiting =
                    if there { Some(key.clone()) } else { self.attention_key(at.min(count.saturating_sub(1))) };
            }
            let now = self.attention().and_then(|(at, _)| self.attention_key(at));
            self.shifted |= now != Some(key) && self.focus == Focus::Attention;
        }
        if self.agent.as_ref().is_none_or(|name| self.screen.agents.iter().all(|row| row.name != *name)) {
            self.agent = self.screen.agents.first().map(|row| row.name.clone());
        }
    }

    /// The task nearest to a place of the board, in the same column if it has any.
    pub(super) fn card_at(&self, column: usize, row: usize) -> Option<TaskId> {
        let cards = self.cards(self.screen.columns.get(column)?);
        cards.get(row).or(cards.last()).map(|card| card.id.clone())
    }

    /// The task that a verb typed now would be about.
    pub(super) fn target_task(&self) -> Option<TaskId> {
        let card = || self.card().map(|(_, _, card)| card.id.clone());
        match self.place() {
            Place::Agents | Place::Panes | Place::Timeline => self.agent().and_then(|(_, row)| row.task.clone()),
            Place::Attention => self.attention().and_then(|(_, item)| item.task.clone()),
            Place::Task => self.reading.task.clone().or_else(card),
            Place::Graph => self.task.clone().or_else(card),
            Place::Schedules => pages::schedules::task(self),
            Place::Board | Place::Metrics | Place::Logs => card(),
        }
    }

    /// The agent that a verb typed now would be about.
    pub(super) fn target_agent(&self) -> Option<AgentName> {
        match self.place() {
            Place::Agents | Place::Panes | Place::Timeline => self.agent().map(|(_, row)| row.name.clone()),
            Place::Attention => self.attention().and_then(|(_, item)| item.agent.clone()),
            Place::Board | Place::Task | Place::Graph | Place::Schedules | Place::Metrics | Place::Logs => {
                let task = self.target_task()?;
                self.find_card(&task).and_then(|(_, _, card)| card.agent.clone())
            }
        }
    }

    /// What is filtered for where the person is.
    pub(super) fn filter_here(&self) -> &str {
        if self.page == Page::Logs { &self.logs.filter } else { &self.filter }
    }

    /// The same, to be changed: the log has a filter of its own, all else shares that of the board.
    pub(super) fn filter_mut(&mut self) -> &mut String {
        if self.page == Page::Logs { &mut self.logs.filter } else { &mut self.filter }
    }

    /// Agents that serve a task now.
    pub(super) fn busy(&self) -> impl Iterator<Item = &AgentRow> {
        self.screen.agents.iter().filter(|row| row.task.is_some())
    }
}
