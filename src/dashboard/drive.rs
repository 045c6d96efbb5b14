//! The loop: waits for a key, a picture, an answer, a signal or the moment at which an age on the screen changes; takes
//! all that is pending; then draws at most once. It translates and sends, and knows nothing of what messages mean.

use std::future::poll_fn;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::{Event, EventStream, MouseButton, MouseEventKind};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use pipeline_commands::live::{Answer, Ask, Live, PaneAnswer, PaneAsk, PaneRequest};
use pipeline_lib::ids::AgentName;
use pipeline_lib::terminal::MouseAction;
use pipeline_lib::view::pane::{Pane, Panes};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::Options;
use super::highlight::{self, Lit};
use super::message::{Intent, Key, Message, Mouse};
use super::model::Model;
use super::pace::Pace;
use super::terminal::Terminal;
use super::typed::Outbox;
use super::update::update;
use super::view;

/// How long to wait for the shell to continue us, where it turned out that nothing can be stopped.
const RESUME_MILLIS_MAX: u64 = 200;
/// How many pending events are taken before a frame is due all the same.
const EVENTS_PER_FRAME_MAX: usize = 1024;
/// The signal by which a shell continues a process. Linux has its own number for it.
const SIGCONT: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 18 } else { 19 };
/// The exit code of a verb that could not be handed over.
const CODE_TRY_AGAIN: u8 = 75;
/// The exit code of a verb that failed.
const CODE_FAILED: u8 = 1;

/// The signals a dashboard answers to.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    quit: Signal,
    resumed: Signal,
}

impl Signals {
    /// Starts to listen, so that from here on none of them ends the process at once.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            resumed: signal(SignalKind::from_raw(SIGCONT))?,
        })
    }

    /// Completes with the next signal. Whether it asks for the end; else the process goes on after it was stopped.
    pub(super) async fn next_asks_for_the_end(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.hang_up.recv() => true,
            _ = self.interrupt.recv() => true,
            _ = self.quit.recv() => true,
            _ = self.resumed.recv() => false,
        }
    }
}

/// What woke the loop.
enum Woken {
    /// Something that happened in the terminal, if it means anything to us.
    Terminal(Option<Message>),
    Picture,
    Answer(Vec<String>, Answer),
    Panes,
    PaneAnswer(AgentName, PaneRequest, PaneAnswer),
    Highlighted(Lit),
    Resumed,
    Nothing,
    Timer,
    End,
}

/// What the loop holds.
struct Loop<'a> {
    terminal: &'a mut Terminal,
    live: Live,
    options: Options,
    signals: Signals,
    events: EventStream,
    answers: FuturesUnordered<BoxFuture<'static, (Vec<String>, Answer)>>,
    /// Commands that tell a person, until they have ended.
    hooks: FuturesUnordered<BoxFuture<'static, ()>>,
    /// What is on its way to agents' terminals.
    outbox: Outbox,
    lights: FuturesUnordered<BoxFuture<'static, Lit>>,
    model: Model,
    /// The model changed since the last frame.
    dirty: bool,
    /// When the next frame may be drawn.
    pace: Pace,
    /// When something drawn changes by itself.
    changes_at: Option<Instant>,
}

/// Runs until the end.
pub(super) async fn drive(
    terminal: &mut Terminal,
    mut live: Live,
    options: Options,
    signals: Signals,
) -> io::Result<()> {
    let first = live.screens.borrow_and_update().clone();
    let mut model = Model::new(first, options.theme, Terminal::size()?, Timestamp::now());
    model.keys = options.keys.clone();
    model.verbs = Arc::new(pipeline_commands::dispatch::verbs());
    let typed = live.typed.clone();
    let outbox = Outbox::new(Box::new(move |agent, run, ask, answer| {
        typed.try_send(PaneAsk { agent, run, ask, answer }).is_ok()
    }));
    let mut this = Loop {
        terminal,
        live,
        options,
        signals,
        events: EventStream::new(),
        answers: FuturesUnordered::new(),
        hooks: FuturesUnordered::new(),
        outbox,
        lights: FuturesUnordered::new(),
        model,
        dirty: true,
        pace: Pace::new(),
        changes_at: None,
    };
    loop {
        if this.dirty && this.pace.may_draw(Instant::now()) {
            if this.live.panes.has_changed().unwrap_or(false) && !this.on_woken(Woken::Panes).await? {
                return Ok(());
            }
            this.draw()?;
        }
        let woken = this.wait().await?;
        if !this.terminal.is_ours() {
            return Err(io::Error::other("a panic elsewhere in the program took the terminal away"));
        }
        if !this.on_woken(woken).await? {
            return Ok(());
        }
    }
}

impl Loop<'_> {
    /// Waits for the first thing to happen. Nothing is lost where another branch wins: streams, watches and signals keep
    /// what they have.
    async fn wait(&mut self) -> io::Result<Woken> {
        let wake_at = if self.dirty { self.pace.next() } else { self.changes_at };
        let timer = async {
            match wake_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.events.next() => match event {
                Some(event) => Ok(Woken::Terminal(translate(event?))),
                None => Ok(Woken::End),
            },
            changed = self.live.screens.changed() => match changed {
                Ok(()) => Ok(Woken::Picture),
                Err(_) => Err(io::Error::other("the supervisor behind the dashboard has ended")),
            },
            // What comes before the next frame is taken with it, unless somebody waits for just that.
            Ok(()) = self.live.panes.changed(), if !self.dirty || self.model.panes.typing.is_some() => Ok(Woken::Panes),
            Some(()) = self.hooks.next(), if !self.hooks.is_empty() => Ok(Woken::Nothing),
            Some((agent, ask, answer)) = self.outbox.next(), if !self.outbox.is_empty() => {
                Ok(Woken::PaneAnswer(agent, ask, answer))
            }
            Some(lit) = self.lights.next(), if !self.lights.is_empty() => Ok(Woken::Highlighted(lit)),
            Some((argv, answer)) = self.answers.next(), if !self.answers.is_empty() => Ok(Woken::Answer(argv, answer)),
            _ = self.signals.terminate.recv() => Ok(Woken::End),
            _ = self.signals.hang_up.recv() => Ok(Woken::End),
            _ = self.signals.interrupt.recv() => Ok(Woken::End),
            _ = self.signals.quit.recv() => Ok(Woken::End),
            _ = self.signals.resumed.recv() => Ok(Woken::Resumed),
            () = timer => Ok(Woken::Timer),
        }
    }

    /// Whether to go on.
    async fn on_woken(&mut self, woken: Woken) -> io::Result<bool> {
        match woken {
            Woken::End => return Ok(false),
            Woken::Nothing => {}
            Woken::Timer => self.dirty = true,
            Woken::Picture => {
                let screen = self.live.screens.borrow_and_update().clone();
                return self.tell(Message::Screen(screen)).await;
            }
            Woken::Panes => {
                let panes = self.live.panes.borrow_and_update().clone();
                return self.show(panes).await;
            }
            Woken::PaneAnswer(agent, ask, answer) => {
                return self.tell(Message::PaneAnswered { agent, ask, answer }).await;
            }
            Woken::Highlighted(lit) => return self.tell(Message::Highlighted(lit)).await,
            Woken::Answer(argv, answer) => return self.tell(Message::Answered { argv, answer }).await,
            Woken::Resumed => {
                self.terminal.enter_again()?;
                self.model.size = Terminal::size()?;
                self.dirty = true;
            }
            Woken::Terminal(first) => return self.drain(first).await,
        }
        Ok(true)
    }

    /// Takes an event and all that wait behind it, so that a storm of them costs one frame.
    async fn drain(&mut self, first: Option<Message>) -> io::Result<bool> {
        let mut next = first;
        for _ in 0..EVENTS_PER_FRAME_MAX {
            if let Some(message) = next.take()
                && !self.tell(message).await?
            {
                return Ok(false);
            }
            // Asked with the waker of this task and no other: the stream remembers only the first one that it was asked
            // with, so `now_or_never` would make the next key wait for the timer.
            next = match poll_fn(|context| Poll::Ready(self.events.poll_next_unpin(context))).await {
                Poll::Ready(Some(event)) => translate(event?),
                Poll::Ready(None) => return Ok(false),
                Poll::Pending => return Ok(true),
            };
        }
        match next {
            Some(message) => self.tell(message).await,
            None => Ok(true),
        }
    }

    /// Takes new pictures of terminals. They come many times a second, so they are told from the old ones by where they
    /// are kept and not by what is in them. Whether to go on.
    async fn show(&mut self, panes: Panes) -> io::Result<bool> {
        let news = |agent: &AgentName, pane: &Pane| self.model.shown.get(agent).is_none_or(|old| !is_same(old, pane));
        let typed_into = self.model.panes.typing.as_ref().map(|typing| &typing.agent);
        let awaited = typed_into.and_then(|agent| Some(news(agent, panes.get(agent)?)));
        let changed = panes.len() != self.model.shown.len() || panes.iter().any(|(agent, pane)| news(agent, pane));
        if awaited == Some(true) {
            self.pace.answered(Instant::now());
        }
        let typing = self.model.panes.typing.is_some();
        self.model.now = Timestamp::now();
        let intents = update(&mut self.model, Message::Panes(panes));
        if changed && !self.dirty && !typing {
            self.pace.gathers(Instant::now());
        }
        // Whoever was typed into may have gone.
        self.dirty |= changed || typing != self.model.panes.typing.is_some();
        self.perform(intents).await
    }

    /// Applies a message and performs what it asks for. Whether to go on.
    async fn tell(&mut self, message: Message) -> io::Result<bool> {
        if matches!(message, Message::Key(_) | Message::Paste(_)) {
            self.pace.pressed(Instant::now());
        }
        // A terminal that shrank for a moment has the size that it had and not all that it showed.
        if matches!(message, Message::Resized(..)) {
            self.terminal.forget();
            self.dirty = true;
        }
        let before = self.model.clone();
        // The time counts for what a message makes of it, such as how long its news stays; that alone is no change.
        self.model.now = Timestamp::now();
        let intents = update(&mut self.model, message);
        let now = std::mem::replace(&mut self.model.now, before.now);
        self.dirty |= self.model != before;
        self.model.now = now;
        self.perform(intents).await
    }

    /// Does what was asked for. Whether to go on.
    async fn perform(&mut self, intents: Vec<Intent>) -> io::Result<bool> {
        for intent in intents {
            match intent {
                Intent::Quit => return Ok(false),
                Intent::Suspend => self.suspend().await?,
                Intent::Redraw => {
                    self.terminal.forget();
                    self.dirty = true;
                }
                Intent::Pane(agent, ask) => {
                    let row = self.model.screen.agents.iter().find(|row| row.name == agent);
                    let run = row.and_then(|row| row.run.as_ref()).map(|run| run.id.clone());
                    self.outbox.push(agent, run, ask);
                }
                Intent::Notify(words) => self.notify(&words)?,
                Intent::Highlight(ask) => self.highlight(ask),
                Intent::Copy(text) => self.terminal.copy(&text)?,
                Intent::Verb(argv) => self.ask(argv),
            }
        }
        Ok(true)
    }

    /// Tells a person who looks elsewhere.
    fn notify(&mut self, words: &str) -> io::Result<()> {
        let notify = &self.options.notify;
        self.terminal.write(&notify.bytes(&format!("pipeline {}", self.model.screen.project), words))?;
        let Some(command) = &notify.command else { return Ok(()) };
        let mut child = tokio::process::Command::new("/bin/sh");
        child.args(["-c", command]).env("PIPELINE_NOTICE", words);
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A command that cannot be run is no reason to end the dashboard; the log and the footer say so.
        match child.spawn() {
            Ok(child) => self.hooks.push(async move { drop(child.wait_with_output().await) }.boxed()),
            Err(error) => tracing::warn!(%error, command, "the notice command cannot be run"),
        }
        Ok(())
    }

    fn highlight(&mut self, ask: highlight::Ask) {
        let plain = Lit::plain(&ask);
        let reading = tokio::task::spawn_blocking(move || highlight::read(&ask));
        // Code that cannot be read is shown without colours.
        self.lights.push(async move { reading.await.unwrap_or(plain) }.boxed());
    }

    /// Tells the other side what is to be seen now. Cheap, since nothing is sent that was said before.
    fn wish(&mut self) {
        fn say<T: PartialEq>(sender: &tokio::sync::watch::Sender<T>, wish: T) {
            sender.send_if_modified(|said| {
                let new = *said != wish;
                if new {
                    *said = wish;
                }
                new
            });
        }
        say(&self.live.looks, self.model.look());
        say(&self.live.wishes, view::wishes(&self.model));
    }

    fn ask(&mut self, argv: Vec<String>) {
        let (answer, answered) = oneshot::channel();
        let refused = match self.live.verbs.try_send(Ask { argv: argv.clone(), answer }) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => Some((CODE_TRY_AGAIN, "too many verbs are under way; try again")),
            Err(TrySendError::Closed(_)) => Some((CODE_FAILED, "nobody performs verbs any more")),
        };
        let reply = async move {
            let failed = |code, text: &str| Answer { code, text: text.to_owned(), hint: None };
            let answer = match refused {
                Some((code, text)) => failed(code, text),
                None => answered.await.unwrap_or_else(|_| failed(CODE_FAILED, "the verb ended without an answer")),
            };
            (argv, answer)
        };
        self.answers.push(reply.boxed());
    }

    fn draw(&mut self) -> io::Result<()> {
        // Also brings the model's own deadlines up to date; it never asks for anything.
        drop(update(&mut self.model, Message::Tick(Timestamp::now())));
        self.wish();
        let model = &self.model;
        self.terminal.title(&view::title(model))?;
        self.terminal.set_caret(view::caret(model));
        let next = self.terminal.draw(model.size, |area, buffer| view::render(model, area, buffer))?;
        let drawn_at = Instant::now();
        self.changes_at = next.map(|at| {
            let wait = at.duration_since(model.now);
            drawn_at + Duration::try_from(wait).unwrap_or_default()
        });
        self.dirty = false;
        self.pace.drawn(drawn_at);
        Ok(())
    }

    /// Gives the terminal to the shell until it continues us.
    async fn suspend(&mut self) -> io::Result<()> {
        let Some(stop) = self.options.suspend else { return Ok(()) };
        self.live.rest().await;
        self.terminal.leave();
        let stopped = stop();
        // The stop may reach another thread a moment later than this one goes on, so its end is waited for. Where a
        // process group has nobody who could continue it, the signal to stop is dropped, and there is no end of it.
        let at = Instant::now() + Duration::from_millis(RESUME_MILLIS_MAX);
        tokio::select! {
            _ = self.signals.resumed.recv() => {}
            () = sleep_until(at) => {}
        }
        self.live.go_on();
        self.terminal.enter_again()?;
        self.model.size = Terminal::size()?;
        self.dirty = true;
        stopped
    }
}

/// Whether two pictures of a terminal are the same one.
fn is_same(one: &Pane, other: &Pane) -> bool {
    Arc::ptr_eq(&one.frame, &other.frame)
        && one.source == other.source
        && one.run == other.run
        && one.note == other.note
}

/// What an event of the terminal means to us.
pub(super) fn translate(event: Event) -> Option<Message> {
    match event {
        Event::Key(key) => Key::from_event(key).map(Message::Key),
        Event::Paste(text) => Some(Message::Paste(text)),
        Event::Resize(columns, rows) => Some(Message::Resized(columns, rows)),
        Event::Mouse(mouse) => {
            let action = match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => MouseAction::Press,
                MouseEventKind::Drag(MouseButton::Left) => MouseAction::Drag,
                MouseEventKind::Up(MouseButton::Left) => MouseAction::Release,
                MouseEventKind::ScrollDown => MouseAction::WheelDown,
                MouseEventKind::ScrollUp => MouseAction::WheelUp,
                _ => return None,
            };
            Some(Message::Mouse(Mouse { action, x: mouse.column, y: mouse.row }))
        }
        Event::FocusGained | Event::FocusLost => None,
    }
}
