//! Keeps the pictures of agents' terminals that somebody looks at.

use pipeline_lib::view::pane::{Panes, Wish};
use tokio::sync::{mpsc, watch};

use crate::live::PaneAsk;

/// The channels of a dashboard to agents' terminals.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) wishes: watch::Sender<Vec<Wish>>,
    pub(crate) panes: watch::Receiver<Panes>,
    pub(crate) typed: mpsc::Sender<PaneAsk>,
}

/// Connects.
pub(crate) fn start() -> Channels {
    let (wishes, _) = watch::channel(Vec::new());
    let (_, panes) = watch::channel(Panes::default());
    let (typed, _) = mpsc::channel(64);
    Channels { wishes, panes, typed }
}
