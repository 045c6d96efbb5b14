//! What a screen needs of a running pipeline: a picture that changes, and a way to ask for a verb. The screen decides
//! nothing and opens nothing; everything slow happens on the other side of these channels.

use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::ids::{AgentName, RunId};
use pipeline_lib::terminal::Input;
use pipeline_lib::view::detail::Look;
use pipeline_lib::view::pane::{Panes, Wish};
use pipeline_lib::view::screen::Screen;
use tokio::sync::{mpsc, oneshot, watch};

/// How long a stop waits for the tick that is under way.
const RESTING_WAIT: Duration = Duration::from_secs(3);

/// A live connection to one supervised repository.
#[derive(Debug)]
pub struct Live {
    /// The present picture; changes whenever something in it changed.
    pub screens: watch::Receiver<Arc<Screen>>,
    /// What the picture should show beyond what is always there.
    pub looks: watch::Sender<Look>,
    /// Verbs to perform, as typed behind `pipeline` on the command line.
    pub verbs: mpsc::Sender<Ask>,
    /// Whose terminals are to be seen. What is not wished for costs nothing.
    pub wishes: watch::Sender<Vec<Wish>>,
    /// What they show; changes whenever one of them does.
    pub panes: watch::Receiver<Panes>,
    /// What is done to them.
    pub typed: mpsc::Sender<PaneAsk>,
    /// Whether this process is about to be stopped by the person's shell.
    pub resting: watch::Sender<bool>,
    /// Whether what others need, such as the right to tick, was let go of for that.
    pub rested: watch::Receiver<bool>,
}

impl Live {
    /// Lets go of what others need before the process is stopped. Returns once that is so, or after a while where a tick
    /// takes long; the others then see that nobody ticks.
    pub async fn rest(&mut self) {
        self.resting.send_replace(true);
        // An error means that the other side has ended, which holds nothing any more.
        drop(tokio::time::timeout(RESTING_WAIT, self.rested.wait_for(|rested| *rested)).await);
    }

    /// Takes up again what was let go of, as far as nobody else has it now.
    pub fn go_on(&self) {
        self.resting.send_replace(false);
    }
}

/// A verb to perform.
#[derive(Debug)]
pub struct Ask {
    /// The arguments, such as `["task", "approve", "TASK-001"]`.
    pub argv: Vec<String>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// What came of a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code.
    pub code: u8,
    /// What it printed, or the message of its error.
    pub text: String,
    /// What to do about an error.
    pub hint: Option<String>,
}

/// Something to do to an agent's terminal.
#[derive(Debug)]
pub struct PaneAsk {
    /// The agent.
    pub agent: AgentName,
    /// The run whose terminal it is meant for, as the person saw it: what was meant for one session reaches no later one.
    pub run: Option<RunId>,
    /// What.
    pub ask: PaneRequest,
    /// Where the answer goes.
    pub answer: oneshot::Sender<PaneAnswer>,
}

/// What can be done to an agent's terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaneRequest {
    /// To type, paste or click.
    Input(Input),
    /// To look for a text from an offset on, see `pipeline_lib::terminal::wire::Request::Search`.
    Search {
        /// The text.
        needle: String,
        /// Where to begin.
        offset: usize,
        /// In which picture.
        at: Option<u64>,
        /// Towards the present.
        forward: bool,
    },
    /// The text of lines, by how many lines they are above the last row of the present screen.
    Text {
        /// The oldest.
        from: usize,
        /// The newest.
        to: usize,
        /// In which picture, by its `scrolled`; none for now.
        at: Option<u64>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaneAnswer {
    /// It was handed to the program.
    Taken,
    /// It could not be done; why, for a person.
    Refused(String),
    /// Where the text is in sight, if it is anywhere.
    Found(Option<usize>),
    /// The lines.
    Text(Vec<String>),
}
