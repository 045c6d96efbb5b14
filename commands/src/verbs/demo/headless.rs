//! The demonstration without a dashboard: the supervisor's own loop, a line for each thing that happens, and the one
//! thing a person would do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::ids::TaskId;
use pipeline_lib::metrics::seconds_between;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::task::{Task, TaskState};
use tokio::sync::mpsc;

use super::story::{Kind, Line, Story, object};
use crate::dispatch::{self, Call};
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::supervisor::{Pace, Supervisor, run_loop};
use crate::verbs::monitor::{asked_to_end, start_logging};

/// After this the demonstration has failed, whatever it waits for.
const DEADLINE: Duration = Duration::from_secs(120);
/// Nothing is waited for that is not announced; should an announcement be lost, this finds it.
const FALLBACK: Duration = Duration::from_secs(2);

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Every task is completed.
    Completed,
    /// Nothing can go on by itself.
    Stuck,
    /// The deadline passed.
    Late,
    /// Somebody ended it.
    Interrupted,
}

/// Supervises until the end.
///
/// # Errors
/// When the state cannot be read or written, or the reader of our lines has gone.
pub(super) fn run(call: &Call, begun: Instant) -> Result<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(call, begun))
}

async fn supervise(call: &Call, begun: Instant) -> Result<Ending> {
    let mut context = call.context()?;
    start_logging(call, &context)?;
    let _guard = context.monitor_lock().acquire(Duration::ZERO)?;
    let mut supervisor = Supervisor::open(&context, "demo")?;
    let (wake, mut woken) = mpsc::unbounded_channel();
    let (over, mut is_over) = mpsc::unbounded_channel();
    let passed = SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
    let began = Timestamp::now().saturating_sub(passed).unwrap_or(Timestamp::UNIX_EPOCH);
    let teller = RefCell::new(Teller::new(call, Story::open(&context.state_dir()), began));
    let ending = Cell::new(Ending::Late);
    let failure = Cell::new(None);
    let asked = asked_to_end();
    let stop = async {
        tokio::select! {
            Some(how) = is_over.recv() => ending.set(how),
            _ = asked => ending.set(Ending::Interrupted),
            () = tokio::time::sleep_until((begun + DEADLINE).into()) => {}
        }
    };
    run_loop(&mut context, &mut supervisor, Pace::Every(FALLBACK), &mut woken, stop, |_, ticked| {
        let pipeline = ticked.supervisor.engine().pipeline();
        let next = teller.borrow_mut().after_tick(pipeline).unwrap_or_else(|error| {
            failure.set(Some(error));
            Next::End(Ending::Interrupted)
        });
        // The receivers live as long as the loop.
        let _heard = match next {
            Next::Wait => true,
            Next::Look => wake.send(()).is_ok(),
            Next::End(how) => over.send(how).is_ok(),
        };
        None
    })
    .await?;
    supervisor.snapshot(&context, true)?;
    failure.into_inner().map_or(Ok(ending.get()), Err)
}

/// What the loop does after a tick.
enum Next {
    Wait,
    Look,
    End(Ending),
}

struct Teller<'a> {
    call: &'a Call,
    story: Story,
    begun: Timestamp,
    approved: BTreeSet<TaskId>,
}

impl<'a> Teller<'a> {
    fn new(call: &'a Call, story: Story, begun: Timestamp) -> Self {
        Self { call, story, begun, approved: BTreeSet::new() }
    }

    fn after_tick(&mut self, pipeline: &Pipeline) -> Result<Next> {
        self.tell()?;
        let waiting: Vec<TaskId> = pipeline
            .tasks
            .iter()
            .filter(|task| matches!(task.state, TaskState::AwaitingApproval { .. }))
            .map(|task| task.id.clone())
            .filter(|id| !self.approved.contains(id))
            .collect();
        for task in &waiting {
            self.approve(task)?;
        }
        if !waiting.is_empty() {
            self.tell()?;
            return Ok(Next::Look);
        }
        Ok(match () {
            () if pipeline.tasks.iter().all(|task| task.state == TaskState::Completed) => Next::End(Ending::Completed),
            () if is_stuck(pipeline) => Next::End(Ending::Stuck),
            () => Next::Wait,
        })
    }

    fn tell(&mut self) -> Result<()> {
        for line in self.story.go_on()? {
            print(&self.call.output, &line, self.begun)?;
        }
        Ok(())
    }

    /// Does what a person would do, by the very verb.
    fn approve(&mut self, task: &TaskId) -> Result<()> {
        let argv = ["task", "approve", task.as_str()];
        let words = format!("approving it as a person would: pipeline {}", argv.join(" "));
        self.call.output.note(&self.call.output.paint("33", &format!("demo: {words}")));
        let answer = dispatch::answer(&self.call.globals, &argv.map(str::to_owned));
        self.approved.insert(task.clone());
        if answer.code != exit::OK {
            return Err(CommandError::new(
                answer.code,
                "demo",
                format!("{task} could not be approved: {}", answer.text),
            ));
        }
        Ok(())
    }
}

/// Whether nothing will happen any more without a person: what is left is blocked or waits for what is.
fn is_stuck(pipeline: &Pipeline) -> bool {
    let rests = |task: &Task| {
        task.state.is_final()
            || matches!(task.state, TaskState::Blocked { .. })
            || (task.state == TaskState::Unassigned && pipeline.open_dependencies(task).next().is_some())
    };
    pipeline.core.runs.is_empty() && pipeline.tasks.iter().all(rests)
}

fn print(output: &Output, line: &Line, begun: Timestamp) -> Result<()> {
    if output.json {
        return output.json(&object(line));
    }
    let color = match line.kind {
        Kind::Stage => "39",
        Kind::GateFailed | Kind::Died | Kind::Failed | Kind::Blocked => "31",
        Kind::Conflict | Kind::Waiting => "33",
        Kind::Approved | Kind::Merged => "32",
    };
    // When it happened, which is not when the tick that saw it was over.
    let seconds = seconds_between(begun, line.at);
    let text = output.paint(color, &line.text);
    let start = format!("{seconds:5.1}s  {}  {:<5}  {:<16}", line.task, line.stage, line.agent);
    output.line(&format!("{}  {text}", output.paint("2", &start)))
}
