//! Follows a task: ticks where no other monitor does, says what happens, asks a person where one is there, and ends when
//! the task does or nothing goes on without a person.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::Duration;

use pipeline_lib::event::Request;
use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::Task;
use pipeline_lib::view::{left_out, went_on_without};
use pipeline_state::Events;
use pipeline_worktrees::watch::Watcher;
use tokio::sync::mpsc;

use super::end::{End, end, family};
use super::log::Log;
use super::story::{Kind, Line, Story};
use super::tell::{Kept, Left};
use super::{Options, ci, tell};
use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::person;
use crate::supervisor::{Pace, Supervisor, run_loop};
use crate::verbs::monitor::asked_to_end;

/// Nothing is waited for that is not announced; should an announcement be lost, or the other monitor end, this finds it.
const FALLBACK: Duration = Duration::from_secs(2);

/// What is followed.
pub(super) struct Wanted {
    /// The task.
    pub(super) task: TaskId,
    /// The last record before it was there.
    pub(super) since: u64,
    /// Whether it was there before.
    pub(super) resumed: bool,
}

/// Why one stretch of following is over.
enum Stretch {
    Over(End),
    Interrupted,
    /// Somebody else ticks, or nobody does any more.
    Change,
}

/// Follows the task. The answer is the exit code.
///
/// # Errors
/// When the state cannot be used, the reader has gone, or a report cannot be written.
pub(super) fn follow(call: &Call, mut context: Context, wanted: Wanted, options: &Options) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut teller = Teller::new(call, &context, &wanted, options)?;
    if !call.output.json {
        let again = if wanted.resumed { "following" } else { "running" };
        call.output.note(&format!("{again} {}", wanted.task));
    }
    let over = loop {
        match runtime.block_on(stretch(&mut context, &mut teller))? {
            Stretch::Change => {}
            Stretch::Interrupted => break None,
            Stretch::Over(end) => {
                if runtime.block_on(agreed(call, &mut context, &end))? {
                    continue;
                }
                break Some(end);
            }
        }
    };
    let task = &wanted.task;
    let Some(over) = over else {
        call.output.note(&format!(
            "{task} stays where it is; go on with `pipeline run --resume {task}`, or give it up with `pipeline task \
             cancel {task}`"
        ));
        return Ok(exit::INTERRUPTED);
    };
    teller.finish(&context, &over)?;
    Ok(over.code())
}

/// Ticks, or watches another one tick, until something changes about that or the task is done.
async fn stretch(context: &mut Context, teller: &mut Teller<'_>) -> Result<Stretch> {
    match context.monitor_lock().acquire(Duration::ZERO) {
        Ok(guard) => {
            let stretch = tick(context, teller).await;
            drop(guard);
            stretch
        }
        Err(_) => watch(context, teller).await,
    }
}

async fn tick(context: &mut Context, teller: &mut Teller<'_>) -> Result<Stretch> {
    let mut supervisor = Supervisor::open(context, "run")?;
    let (_wake, mut woken) = mpsc::unbounded_channel();
    let (over, mut is_over) = mpsc::unbounded_channel();
    let stretch = Cell::new(Stretch::Change);
    let failure = Cell::new(None);
    let teller = RefCell::new(teller);
    let asked = asked_to_end();
    let stop = async {
        tokio::select! {
            Some(end) = is_over.recv() => stretch.set(end),
            _ = asked => stretch.set(Stretch::Interrupted),
        }
    };
    run_loop(context, &mut supervisor, Pace::Every(FALLBACK), &mut woken, stop, |context, ticked| {
        let pipeline = ticked.supervisor.engine().pipeline();
        match teller.borrow_mut().after_tick(context, pipeline) {
            // The receiver lives as long as the loop.
            Ok(Some(end)) => drop(over.send(Stretch::Over(end))),
            Ok(None) => {}
            Err(error) => {
                failure.set(Some(error));
                drop(over.send(Stretch::Change));
            }
        }
        None
    })
    .await?;
    supervisor.snapshot(context, true)?;
    failure.into_inner().map_or(Ok(stretch.into_inner()), Err)
}

async fn watch(context: &mut Context, teller: &mut Teller<'_>) -> Result<Stretch> {
    let (changed, mut changes) = mpsc::unbounded_channel();
    // The receiver is gone only when this function has returned.
    let mut watcher = Watcher::new(move |_| changed.send(()).unwrap_or_default());
    if let Err(error) = watcher.watch(&context.state_dir(), ()) {
        tracing::warn!(error = %error, "polling instead of watching");
    }
    // Read after the watch began, so that nothing comes between.
    let mut engine = Engine::open(context)?;
    let mut stop = std::pin::pin!(asked_to_end());
    loop {
        engine.refresh()?;
        if let Some(end) = teller.after_tick(context, engine.pipeline())? {
            return Ok(Stretch::Over(end));
        }
        let change = tokio::select! {
            _ = &mut stop => return Ok(Stretch::Interrupted),
            change = tokio::time::timeout(FALLBACK, changes.recv()) => change,
        };
        // Where nothing happens the other one may have ended: then it is ours to tick.
        if change.is_err() {
            return Ok(Stretch::Change);
        }
        while changes.try_recv().is_ok() {}
    }
}

/// Asks a person who is there. Whether the task goes on.
async fn agreed(call: &Call, context: &mut Context, end: &End) -> Result<bool> {
    let End::Asks { task, question, yes_or_no: true, .. } = end else { return Ok(false) };
    if !call.interactive || call.output.json {
        return Ok(false);
    }
    write!(std::io::stderr(), "{task}: {question}\nGo on? [y/N] ")?;
    std::io::stderr().flush()?;
    let (answer, mut answered) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("answer".to_owned()).spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        // The receiver is gone when this process is ending.
        drop(answer.send(read.map(|_| line)));
    })?;
    let line = tokio::select! {
        Some(line) = answered.recv() => line?,
        _ = asked_to_end() => return Ok(false),
    };
    if !matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(false);
    }
    let by = Some(person::approving(context)?);
    let mut engine = Engine::open(context)?;
    match engine.ask(context, "run", Request::Approve { by, task: task.clone(), decision: None }) {
        Ok(_) => Ok(true),
        // Somebody else has to; until then the run waits.
        Err(error) if error.kind == "own_request" => {
            call.output.note(&error.message);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Reads the journal as it grows and says what is in it.
struct Teller<'a> {
    call: &'a Call,
    options: &'a Options,
    task: TaskId,
    reader: Events,
    /// What happened up to here was said by an earlier process.
    said: u64,
    story: Story,
    log: Log,
    /// The workflow that is run.
    workflow: String,
    /// What it left, once it is completed.
    left: Left,
}

impl<'a> Teller<'a> {
    fn new(call: &'a Call, context: &Context, wanted: &Wanted, options: &'a Options) -> Result<Self> {
        let said = if wanted.resumed { Engine::open(context)?.pipeline().core.seq } else { 0 };
        Ok(Self {
            call,
            options,
            task: wanted.task.clone(),
            reader: Events::open(&context.state_dir(), wanted.since),
            said,
            story: Story::of(wanted.task.clone()),
            log: Log::begin(context, &wanted.task)?,
            workflow: String::new(),
            left: Left::default(),
        })
    }

    fn after_tick(&mut self, context: &Context, pipeline: &Pipeline) -> Result<Option<End>> {
        while let Some(record) = self.reader.next() {
            let record = record?;
            let new = record.seq > self.said;
            for line in self.story.take(record) {
                self.say(context, &line, new)?;
            }
        }
        let new = self.reader.seq() > self.said;
        if let Some(line) = self.story.flush() {
            self.say(context, &line, new)?;
        }
        if let Some(task) = pipeline.task(self.task.as_str()) {
            self.workflow = task.workflow.to_string();
        }
        let end = end(pipeline, &self.task, &family(pipeline, &self.task));
        if let (Some(End::Completed), Some(task)) = (&end, pipeline.task(self.task.as_str())) {
            self.left = Left {
                kept: kept(context, task),
                without: left_out(pipeline, task).iter().map(|part| part.id.clone()).collect(),
                words: went_on_without(pipeline, task).unwrap_or_default(),
            };
        }
        Ok(end)
    }

    fn say(&mut self, context: &Context, line: &Line, new: bool) -> Result<()> {
        self.log.write(context, line)?;
        if !new {
            return Ok(());
        }
        let debug = self.call.log_level.as_deref() == Some("debug");
        tell::line(self.call, line, debug)?;
        if let (true, Kind::Ended(entry)) = (self.options.github, &line.kind) {
            for said in ci::github(context, entry) {
                self.github(&said)?;
            }
        }
        Ok(())
    }

    /// The runner reads both streams; data stays alone on stdout where that was asked for.
    fn github(&self, line: &str) -> Result<()> {
        if self.call.output.json {
            writeln!(std::io::stderr(), "{line}")?;
            return Ok(());
        }
        self.call.output.line(line)
    }

    fn finish(&self, context: &Context, end: &End) -> Result<()> {
        tell::summary(self.call, &self.task, &self.story, end, self.log.path(), &self.left)?;
        if let Some(path) = &self.options.junit {
            ci::write_junit(context, &super::beside(&self.call.globals.dir, path), &self.workflow, &self.story, end)?;
        }
        if self.options.github {
            if let Some(line) = ci::github_end(&self.task, end) {
                self.github(&line)?;
            }
            ci::write_summary(context, &self.task, &self.story, end)?;
        }
        Ok(())
    }
}

/// What a completed task left on its branch and base does not have. What cannot be found out is not said.
fn kept(context: &Context, task: &Task) -> Option<Kept> {
    let branch = task.branch();
    let head = context.repo().branch_head(&branch).ok().flatten()?;
    let base = context.base_head().ok()?;
    let commits = context.repo().commits_between(&base, &head).ok().filter(|commits| *commits > 0)?;
    Some(Kept { branch, commits, base: context.base().to_owned() })
}
