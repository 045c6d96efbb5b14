//! What a person looks at of agents' terminals and output: wishes in one direction, pictures in the other. Output of
//! agents without a terminal is a picture too, so that whoever shows them needs one way only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{AgentName, RunId};
use crate::terminal::{Frame, Size};

/// What somebody wants to see of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The agent.
    pub agent: AgentName,
    /// The cells there are to show it in.
    pub size: Size,
    /// Whether the terminal is to be given this size. Else as much of it is shown as fits.
    pub resize: bool,
    /// How many lines above the present screen to look; 0 to look at it.
    pub offset: usize,
    /// In which picture that many, by its `scrolled`; none for now. Said again, the two name the place that is looked at
    /// already, wherever it is by now.
    pub at: Option<u64>,
    /// Whether it has the person's attention: pictures come as quickly as they can be drawn.
    pub focused: bool,
}

/// What is to be seen of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// The run that it shows: the live one, or the last one.
    pub run: Option<RunId>,
    /// Where the picture comes from.
    pub source: Source,
    /// The picture.
    pub frame: Arc<Frame>,
    /// What a person should know about it, such as that the run has ended.
    pub note: Option<String>,
}

/// Where the picture of an agent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The terminal of a live session: it can be typed into.
    Terminal,
    /// The session of tmux, which holds the terminal: it can be typed into, and is asked when it has written something.
    Multiplexer,
    /// What a run wrote, live or over.
    Log,
    /// There is nothing to show.
    Nothing,
}

/// What is to be seen, agent by agent.
pub type Panes = Arc<BTreeMap<AgentName, Pane>>;
