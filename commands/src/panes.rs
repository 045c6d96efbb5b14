//! Keeps the pictures of agents that somebody looks at, on a thread of its own: of sessions what their terminals show, of
//! other runs what they wrote. What nobody looks at costs nothing; a host that hangs holds up its own picture only.

pub(crate) mod log;
mod session;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::ids::AgentName;
use pipeline_lib::mode::Rollout;
use pipeline_lib::terminal::Frame;
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::pane::{Pane, Panes, Source, Wish};
use pipeline_lib::view::screen::{AgentRow, RunRow, Screen};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::live::{PaneAnswer, PaneAsk};
use crate::viewer::{ANSWER_WAIT, Asked, View};

/// The shortest time between two pictures of what a person attends to.
const FOCUSED: Duration = Duration::from_millis(33);
/// The same for what stands beside it.
const BESIDE: Duration = Duration::from_millis(100);
/// How many questions to one terminal may wait.
const ASKS_MAX: usize = 64;

/// The channels of a dashboard to agents' terminals.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) wishes: watch::Sender<Vec<Wish>>,
    pub(crate) panes: watch::Receiver<Panes>,
    pub(crate) typed: mpsc::Sender<PaneAsk>,
}

/// Starts the thread, which ends when the channels are dropped.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(runs_dir: PathBuf, screens: watch::Receiver<Arc<Screen>>) -> std::io::Result<Channels> {
    let (wishes, wished) = watch::channel(Vec::new());
    let (panes_in, panes) = watch::channel(Panes::default());
    let (typed, asks) = mpsc::channel(ASKS_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keeper = Keeper { runs_dir, screens, wished, asks, panes: Arc::new(panes_in), shown: BTreeMap::new() };
    std::thread::Builder::new().name("panes".to_owned()).spawn(move || {
        runtime.block_on(keeper.keep());
        // A connection that hangs is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(Channels { wishes, panes, typed })
}

/// What is wanted of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    wish: Wish,
    run: RunRow,
}

impl Wanted {
    fn view(&self) -> View {
        View {
            resize: self.wish.resize.then_some(self.wish.size),
            offset: self.wish.offset,
            at: self.wish.at,
            interval: interval(&self.wish),
        }
    }
}

fn interval(wish: &Wish) -> Duration {
    if wish.focused { FOCUSED } else { BESIDE }
}

/// Where the picture of one agent belongs.
#[derive(Debug, Clone)]
struct Place {
    agent: AgentName,
    panes: Arc<watch::Sender<Panes>>,
}

impl Place {
    /// Shows a picture. One that is the same is no news.
    fn put(&self, pane: Pane) {
        self.panes.send_if_modified(|panes| {
            let news = panes.get(&self.agent) != Some(&pane);
            if news {
                Arc::make_mut(panes).insert(self.agent.clone(), pane);
            }
            news
        });
    }
}

/// A picture that is kept.
#[derive(Debug)]
struct Shown {
    wanted: watch::Sender<Wanted>,
    view: watch::Sender<View>,
    asks: mpsc::Sender<Asked>,
    keeping: AbortHandle,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

struct Keeper {
    runs_dir: PathBuf,
    screens: watch::Receiver<Arc<Screen>>,
    wished: watch::Receiver<Vec<Wish>>,
    asks: mpsc::Receiver<PaneAsk>,
    panes: Arc<watch::Sender<Panes>>,
    shown: BTreeMap<AgentName, Shown>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut painted = true;
        loop {
            self.reconcile();
            tokio::select! {
                changed = self.wished.changed() => if changed.is_err() { return },
                // Where nobody paints any more, what is shown stays.
                changed = self.screens.changed(), if painted => painted = changed.is_ok(),
                asked = self.asks.recv() => match asked {
                    Some(asked) => {
                        // Whoever asks may have wished for the picture a moment ago, and keys are not lost over that.
                        self.reconcile();
                        self.pass_on(asked);
                    }
                    None => return,
                },
            }
        }
    }

    /// Brings what is shown towards what is wished for.
    fn reconcile(&mut self) {
        let mut wishes = self.wished.borrow_and_update().clone();
        wishes.iter_mut().for_each(|wish| wish.size = wish.size.clamped());
        let screen = Arc::clone(&self.screens.borrow_and_update());
        let wished = |agent: &AgentName| wishes.iter().any(|wish| wish.agent == *agent);
        self.shown.retain(|agent, _| wished(agent));
        self.panes.send_if_modified(|panes| {
            let gone = panes.keys().any(|agent| !wished(agent));
            if gone {
                Arc::make_mut(panes).retain(|agent, _| wished(agent));
            }
            gone
        });
        for wish in wishes {
            let row = screen.agents.iter().find(|row| row.name == wish.agent);
            match row.and_then(|row| row.run.clone()) {
                Some(run) => self.show(Wanted { wish, run }),
                None => {
                    self.shown.remove(&wish.agent);
                    self.place(&wish.agent).put(nothing(&wish, &screen, row));
                }
            }
        }
    }

    fn place(&self, agent: &AgentName) -> Place {
        Place { agent: agent.clone(), panes: Arc::clone(&self.panes) }
    }

    fn show(&mut self, wanted: Wanted) {
        let agent = wanted.wish.agent.clone();
        let same_run = |shown: &&Shown| shown.wanted.borrow().run.id == wanted.run.id;
        if let Some(shown) = self.shown.get(&agent).filter(same_run) {
            let old = shown.wanted.borrow().wish.clone();
            if old != wanted.wish {
                let mut view = wanted.view();
                if (old.offset, old.at) == (wanted.wish.offset, wanted.wish.at)
                    && let Some(pane) = self.panes.borrow().get(&agent)
                {
                    // What was looked at stays in sight while more is printed, so it may be further up by now.
                    (view.offset, view.at) = (pane.frame.offset, Some(pane.frame.scrolled));
                }
                shown.view.send_replace(view);
            }
            shown.wanted.send_if_modified(|old| {
                let news = *old != wanted;
                *old = wanted;
                news
            });
            return;
        }
        // What was kept before says nothing any more once it is gone.
        self.shown.remove(&agent);
        let (place, dir) = (self.place(&agent), self.runs_dir.join(wanted.run.id.as_str()));
        let is_session = wanted.run.live && wanted.run.interactive;
        let (view, views) = watch::channel(wanted.view());
        let (wanted, wants) = watch::channel(wanted);
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let keeping = match is_session {
            true => tokio::spawn(session::keep(dir, place, wants, views, asked)),
            false => tokio::spawn(log::keep(dir, place, wants, asked)),
        };
        self.shown.insert(agent, Shown { wanted, view, asks, keeping: keeping.abort_handle() });
    }

    /// Hands on what is asked of a terminal, and sees to it that there is an answer.
    fn pass_on(&self, asked: PaneAsk) {
        let refuse = |why: &str| PaneAnswer::Refused(why.to_owned());
        let PaneAsk { agent, run, ask, answer } = asked;
        let (sender, receiver) = oneshot::channel();
        let passed = match self.shown.get(&agent) {
            Some(shown) if run.is_some_and(|run| run != shown.wanted.borrow().run.id) => {
                Err("the session that it was meant for is over")
            }
            Some(shown) => shown.asks.try_send(Asked { ask, answer: sender }).map_err(|_| "it is busy"),
            None => Err("it is not shown"),
        };
        // Whoever asked may have gone; then nobody needs telling.
        if let Err(why) = passed {
            drop(answer.send(refuse(why)));
            return;
        }
        tokio::spawn(async move {
            let answered = match timeout(ANSWER_WAIT, receiver).await {
                Ok(Ok(answered)) => answered,
                Ok(Err(_)) => refuse("its session has ended"),
                Err(_) => refuse("its host does not answer"),
            };
            drop(answer.send(answered));
        });
    }
}

/// The picture of an agent that has done nothing yet, with what to do about it.
fn nothing(wish: &Wish, screen: &Screen, row: Option<&AgentRow>) -> Pane {
    let agent = &wish.agent;
    let note = match row {
        None => format!("There is no agent {agent} any more."),
        Some(row) if row.status == AgentStatus::Stopped => {
            format!("{agent} has done no run yet and was stopped. `pipeline agent start {agent}` lets it work.")
        }
        Some(_) if screen.mode.rollout == Rollout::Shadow => {
            "No run yet: nothing starts in shadow mode. `pipeline mode pipeline --yes` lets agents work.".to_owned()
        }
        Some(row) => format!(
            "No run yet. It starts when a task is at a stage of role {}; `pipeline task add TITLE` adds one.",
            row.role
        ),
    };
    Pane { run: None, source: Source::Nothing, frame: Arc::new(Frame::blank(wish.size)), note: Some(note) }
}

#[cfg(test)]
#[path = "panes_tests.rs"]
mod tests;
