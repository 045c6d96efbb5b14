//! A connection to the terminal of one agent, for whoever shows it full screen or sends it something. Draws nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::event::Refusal;
use pipeline_lib::ids::{AgentName, RunId, TaskId};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Phase, Run, Work};
use pipeline_lib::terminal::{Frame, Size};
use pipeline_lib::text;
use pipeline_worktrees::host;
use tokio::sync::{mpsc, watch};

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result};
pub use crate::viewer::{Asked, View};
use crate::viewer::{Heard, Over, connect, converse};

/// How many questions may wait.
const ASKS_MAX: usize = 64;
/// The shortest time between two pictures.
const INTERVAL: Duration = Duration::from_millis(16);

/// A live session. It ends when this is dropped; the agent's does not.
#[derive(Debug)]
pub struct Session {
    /// The agent.
    pub agent: AgentName,
    /// Its run.
    pub run: RunId,
    /// The task that it serves.
    pub task: Option<TaskId>,
    /// What to show: the size that the terminal should have, and how far back to look.
    pub view: watch::Sender<View>,
    /// What it shows.
    pub frames: watch::Receiver<Arc<Frame>>,
    /// What is done to it.
    pub asks: mpsc::Sender<Asked>,
    /// How the connection stands; once it is over nothing follows.
    pub link: watch::Receiver<Link>,
}

/// How a connection to a terminal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Nothing has been seen yet.
    Opening,
    /// The terminal is seen.
    Open,
    /// It was asked for a picture and does not answer.
    Silent,
    /// The program has ended.
    Ended,
    /// The connection could not be made or broke, and why.
    Lost(String),
}

/// Connects to the live session of an agent. Whether that succeeds is seen in `link`. Without a `size` the terminal keeps
/// the one it has.
///
/// # Errors
/// When there is no such agent or run, or it has no terminal now.
pub fn open(call: &Call, name: &str, run: Option<&str>, size: Option<Size>) -> Result<Session> {
    let context = call.context()?.not_configuring();
    let engine = Engine::open(&context)?;
    let run = find(engine.pipeline(), name, run)?;
    let dir = context.run_dir(&run.id);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (view, views) = watch::channel(View { resize: size, offset: 0, at: None, interval: INTERVAL });
    let (frames_in, frames) = watch::channel(Arc::new(Frame::blank(size.unwrap_or(Size::UNSEEN))));
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let (link_in, link) = watch::channel(Link::Opening);
    let talk = Talk { dir, run: run.id.clone(), views, asked, frames: frames_in, link: link_in };
    std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
        runtime.block_on(talk.keep());
        // A connection that hangs is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(Session { agent: run.agent.clone(), run: run.id.clone(), task: run.task.clone(), view, frames, asks, link })
}

/// How a person attaches to a session that tmux has, without this program.
#[derive(Debug)]
pub struct Attach {
    /// The agent.
    pub agent: AgentName,
    /// What does it here.
    pub command: std::process::Command,
    /// The same as one types it.
    pub line: String,
    /// The keys that leave it.
    pub leaves: &'static str,
}

/// How to attach to the live session of an agent with tmux; none where its terminal is not tmux's.
///
/// # Errors
/// When there is no such agent or run, or it has no terminal now.
pub fn with_tmux(call: &Call, name: &str, run: Option<&str>, read_only: bool) -> Result<Option<Attach>> {
    let context = call.context()?.not_configuring();
    let engine = Engine::open(&context)?;
    let run = find(engine.pipeline(), name, run)?;
    let pane = host::pane(&context.run_dir(&run.id))?;
    let nested = call.globals.environment.get("TMUX").is_some_and(|outer| !outer.is_empty());
    let attach = |pane: host::Pane| Attach {
        agent: run.agent.clone(),
        command: pane.attach(read_only, nested),
        line: pane.attach_line(),
        leaves: if nested { "Ctrl-b Ctrl-b d" } else { "Ctrl-b d" },
    };
    Ok(pane.map(attach))
}

struct Talk {
    dir: PathBuf,
    run: RunId,
    views: watch::Receiver<View>,
    asked: mpsc::Receiver<Asked>,
    frames: watch::Sender<Arc<Frame>>,
    link: watch::Sender<Link>,
}

impl Talk {
    async fn keep(mut self) {
        let over = match connect(&self.dir).await {
            Ok(peer) => {
                let (frames, link) = (&self.frames, &self.link);
                let hear = |heard| match heard {
                    Heard::Picture(frame) => {
                        // The picture first, so that an open link has one.
                        frames.send_replace(frame);
                        link.send_if_modified(|link| std::mem::replace(link, Link::Open) != Link::Open);
                    }
                    Heard::Silence => drop(link.send_replace(Link::Silent)),
                };
                converse(peer, (&self.run, &self.dir), &mut self.views, &mut self.asked, hear).await
            }
            Err(why) => Over::Lost(why),
        };
        self.link.send_replace(match over {
            Over::Ended | Over::Unwanted => Link::Ended,
            Over::Lost(why) => Link::Lost(why),
        });
    }
}

/// The live session of an agent, or why there is none.
fn find<'a>(pipeline: &'a Pipeline, name: &str, run: Option<&str>) -> Result<&'a Run> {
    let known = AgentName::new(name).ok().and_then(|name| pipeline.core.agents.get_key_value(&name));
    let Some((agent, state)) = known else {
        return Err(Refusal::NoAgent(text::one_line(name, 80)).into());
    };
    let none = |message: String, hint: String| {
        CommandError { kind: "no_terminal", ..CommandError::failed(message) }.hint(hint)
    };
    let live = state.run.as_ref().and_then(|id| pipeline.core.runs.get(id)).filter(|run| run.work == Work::Agent);
    if let Some(id) = run.filter(|id| live.is_none_or(|run| run.id.as_str() != *id)) {
        let shown = text::one_line(id, 80);
        let mut past = pipeline.tasks.iter().flat_map(|task| &task.runs);
        return Err(match past.any(|run| run.id.as_str() == id && run.agent == *agent) {
            true => {
                none(format!("run {shown} has ended"), format!("`pipeline logs --run {shown}` prints what it showed."))
            }
            false => CommandError::not_found(format!("{agent} has no run `{shown}`"))
                .hint(format!("`pipeline agent list` shows its live run, `pipeline logs --agent {agent}` its latest.")),
        });
    }
    let Some(run) = live.filter(|run| !matches!(run.phase, Phase::Ended { .. })) else {
        return Err(none(
            format!("{agent} has no live run"),
            format!(
                "It starts with the next task for its role. `pipeline agent logs {agent}` prints what it did last."
            ),
        ));
    };
    if !run.interactive {
        return Err(none(
            format!("run {} of {agent} has no terminal: it is headless", run.id),
            format!(
                "`pipeline agent logs {agent} -f` follows it. With mode = \"interactive\" in config.toml its next run has one."
            ),
        ));
    }
    Ok(run)
}
