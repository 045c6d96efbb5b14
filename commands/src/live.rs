//! What a screen needs of a running pipeline: a picture that changes, and a way to ask for a verb. The screen decides
//! nothing and opens nothing; everything slow happens on the other side of these channels.

use std::sync::Arc;

use pipeline_lib::ids::AgentName;
use pipeline_lib::view::screen::Screen;
use tokio::sync::{mpsc, oneshot, watch};

/// A live connection to one supervised repository.
#[derive(Debug)]
pub struct Live {
    /// The present picture; changes whenever something in it changed.
    pub screens: watch::Receiver<Arc<Screen>>,
    /// Whose latest output the picture should carry.
    pub selected: watch::Sender<Option<AgentName>>,
    /// Verbs to perform, as typed behind `pipeline` on the command line.
    pub verbs: mpsc::Sender<Ask>,
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
