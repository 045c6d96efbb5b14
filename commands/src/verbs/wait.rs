//! `pipeline wait`: blocks until tasks are completed, a person is needed, or nothing is left to do. It only reads; what it
//! waits for is brought about by whoever ticks.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline_lib::decide::decide;
use pipeline_lib::event::Event;
use pipeline_lib::fact::Fact;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::text::one_line;
use pipeline_lib::view::{SCHEMA_VERSION, attention};
use pipeline_worktrees::watch::Watcher;

use crate::dispatch::Call;
use crate::duration;
use crate::engine::{Engine, now};
use crate::error::{CommandError, Result, exit};

/// How often it looks where no notice comes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long notices are gathered before the next look.
const GATHERING: Duration = Duration::from_millis(20);

/// Wait until tasks are completed, a person is needed, or nothing is left to do.
#[derive(Debug, clap::Args)]
pub struct Wait {
    /// The tasks; all of them if none is named
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// What to wait for; idle is about the whole pipeline, whatever tasks are named
    #[arg(long = "for", value_name = "WHAT", default_value = "completed")]
    pub goal: Goal,
    /// Give up after this time, in seconds or as a duration such as 1h30m
    #[arg(long, value_name = "DUR")]
    pub timeout: Option<String>,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Goal {
    /// The tasks are completed
    Completed,
    /// Something waits for a person
    Attention,
    /// Nothing runs, and nothing would start by itself
    Idle,
}

impl Goal {
    fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Attention => "attention",
            Self::Idle => "idle",
        }
    }
}

/// How far the wait has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Met,
    Waiting,
    /// It will not come any more; in words.
    Unreachable(String),
}

/// Waits.
///
/// # Errors
/// When a named task does not exist, or the state cannot be read.
pub fn run(call: &Call, args: &Wait) -> Result<u8> {
    let begun = Instant::now();
    let timeout = args.timeout.as_deref().map(timeout).transpose()?;
    let deadline = timeout.and_then(|timeout| begun.checked_add(timeout));
    let context = call.context()?.not_configuring();
    let (sender, receiver) = mpsc::channel();
    // The receiver is gone only when this function has returned.
    let mut watcher = Watcher::new(move |_| sender.send(()).unwrap_or_default());
    let dir = context.state_dir();
    if let Err(error) = watcher.watch(&dir, ()) {
        context.note(&format!("looking every {} s: {error}", LOOK_AGAIN.as_secs()));
    }
    // Read after the watch began, so that nothing comes between.
    let mut engine = Engine::open(&context)?;
    let known = |id: &&String| engine.damage().is_some() || status(engine.pipeline(), id).is_some();
    if let Some(unknown) = args.tasks.iter().find(|id| !known(id)) {
        return Err(CommandError::not_found(format!("there is no task `{}`", one_line(unknown, 80)))
            .hint("`pipeline task list` shows the tasks there are."));
    }
    loop {
        let progress = match engine.damage() {
            // What is known is an older picture, until a person has mended it: that is what they are needed for.
            Some(_) if args.goal == Goal::Attention => Progress::Met,
            Some(damage) => {
                return Err(CommandError::new(exit::CORRUPT, "corrupt", damage.summary).hint(
                    "Nobody knows whether this has come about. Run `pipeline doctor --repair`, then wait again.",
                ));
            }
            None => progress(engine.pipeline(), args.goal, &args.tasks),
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let (word, code) = match &progress {
            Progress::Met => ("met", exit::OK),
            Progress::Unreachable(_) => ("unreachable", exit::FAILED),
            Progress::Waiting if left == Some(Duration::ZERO) => ("timed_out", exit::TIMED_OUT),
            Progress::Waiting => {
                // A timeout is a look without a notice.
                receiver.recv_timeout(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN))).unwrap_or_default();
                // What comes at once is looked at once, and nothing is heard meanwhile: where much happens, each change would
                // take the processor from what is waited for.
                watcher.unwatch(&dir);
                let (_nobody, silence) = mpsc::channel::<()>();
                silence.recv_timeout(left.map_or(GATHERING, |left| left.min(GATHERING))).unwrap_or_default();
                // As before it is looked at again now and then where it cannot be watched.
                watcher.watch(&dir, ()).unwrap_or_default();
                while receiver.try_recv().is_ok() {}
                engine.refresh()?;
                continue;
            }
        };
        tell(call, args, engine.pipeline(), (word, &progress), begun.elapsed())?;
        return Ok(code);
    }
}

fn timeout(text: &str) -> Result<Duration> {
    let seconds = text.trim().parse::<u64>().ok().map(Duration::from_secs);
    let parsed = || duration::parse(text).ok().and_then(|length| Duration::try_from(length).ok());
    seconds.or_else(parsed).ok_or_else(|| {
        CommandError::usage(format!("`{}` is not a time to wait", one_line(text, 40)))
            .hint("Write seconds, or a duration like 30s or 1h30m.")
    })
}

fn tell(call: &Call, args: &Wait, pipeline: &Pipeline, end: (&str, &Progress), waited: Duration) -> Result<()> {
    let (word, progress) = end;
    let why = match progress {
        Progress::Unreachable(why) => why.as_str(),
        Progress::Met | Progress::Waiting => "",
    };
    if call.output.json {
        let tasks: BTreeMap<&str, String> = watched(pipeline, &args.tasks).collect();
        return call.output.json(&serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "for": args.goal.word(),
            "result": word,
            "reason": why,
            "waited_seconds": waited.as_secs_f64(),
            "tasks": tasks,
        }));
    }
    match progress {
        Progress::Met => {}
        Progress::Unreachable(why) => call.output.note(&format!("{why}, so this will not come about")),
        Progress::Waiting => {
            let open = watched(pipeline, &args.tasks).filter(|(_, status)| status != "completed");
            let open: Vec<String> = open.take(8).map(|(id, status)| format!("{id} is {status}")).collect();
            call.output.note(&format!(
                "timed out; {}",
                if open.is_empty() { "all is completed".to_owned() } else { open.join(", ") }
            ));
        }
    }
    Ok(())
}

/// The tasks that are waited for, with their statuses.
fn watched<'a>(pipeline: &'a Pipeline, named: &'a [String]) -> Box<dyn Iterator<Item = (&'a str, String)> + 'a> {
    if named.is_empty() {
        return Box::new(pipeline.tasks.iter().map(|task| (task.id.as_str(), task.state.word())));
    }
    Box::new(named.iter().filter_map(|id| Some((id.as_str(), status(pipeline, id)?))))
}

fn status(pipeline: &Pipeline, id: &str) -> Option<String> {
    let live = pipeline.task(id).map(|task| task.state.word());
    live.or_else(|| pipeline.core.archived.get(id).map(|archived| archived.status.clone()))
}

fn progress(pipeline: &Pipeline, goal: Goal, named: &[String]) -> Progress {
    match goal {
        Goal::Completed => completed(pipeline, named),
        Goal::Attention => needs_attention(pipeline, named),
        Goal::Idle if is_idle(pipeline) => Progress::Met,
        Goal::Idle => Progress::Waiting,
    }
}

fn given_up(status: &str) -> bool {
    ["failed", "cancelled", "rolled_back"].contains(&status)
}

fn completed(pipeline: &Pipeline, named: &[String]) -> Progress {
    let mut all = true;
    for (id, status) in watched(pipeline, named) {
        if given_up(&status) {
            return Progress::Unreachable(format!("{id} is {status}"));
        }
        all &= status == "completed";
    }
    if all { Progress::Met } else { Progress::Waiting }
}

fn needs_attention(pipeline: &Pipeline, named: &[String]) -> Progress {
    let concerns = |id: &str| named.is_empty() || named.iter().any(|name| name == id);
    let list = attention(pipeline);
    if list.iter().any(|item| named.is_empty() || item.task.as_ref().is_some_and(|task| concerns(task.as_str()))) {
        return Progress::Met;
    }
    let mut tasks = watched(pipeline, named).peekable();
    let some = tasks.peek().is_some();
    if some && tasks.all(|(_, status)| given_up(&status) || status == "completed") {
        return Progress::Unreachable("every task is finished".to_owned());
    }
    Progress::Waiting
}

/// Whether nothing runs, nothing is due now or later, and a tick would start nothing. What the rollout withholds does
/// not start.
fn is_idle(pipeline: &Pipeline) -> bool {
    let still = pipeline.core.runs.is_empty()
        && pipeline.next_deadline().is_none()
        && pipeline.due_effects(Timestamp::MAX).is_empty();
    let starts_nothing = |fact: &Fact| matches!(fact, Fact::EffectWithheld { .. } | Fact::TaskArchived { .. });
    still && decide(pipeline, &Event::Tick, now()).is_ok_and(|facts| facts.iter().all(starts_nothing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::event::{NewTask, Request};
    use pipeline_lib::ids::TaskId;

    fn asked(pipeline: &mut Pipeline, request: Request) {
        let moment = now();
        for fact in decide(pipeline, &Event::Ask(request), moment).unwrap() {
            pipeline.apply(moment.at, &fact);
        }
    }

    fn with_tasks(ids: &[&str]) -> Pipeline {
        let mut pipeline = Pipeline::default();
        let task = |id: &&str| NewTask { id: Some(TaskId::new(id).unwrap()), ..NewTask::titled(id) };
        asked(&mut pipeline, Request::AddTasks(ids.iter().map(task).collect()));
        pipeline
    }

    #[test]
    fn nothing_to_do_is_completed_and_idle() {
        let empty = Pipeline::default();
        assert_eq!(progress(&empty, Goal::Completed, &[]), Progress::Met);
        assert_eq!(progress(&empty, Goal::Idle, &[]), Progress::Met);
        assert_eq!(progress(&empty, Goal::Attention, &[]), Progress::Waiting);
    }

    #[test]
    fn a_cancelled_task_is_never_completed() {
        let mut pipeline = with_tasks(&["A", "B"]);
        assert_eq!(progress(&pipeline, Goal::Completed, &[]), Progress::Waiting);
        asked(&mut pipeline, Request::Cancel { task: TaskId::new("A").unwrap(), reason: None });
        let unreachable = Progress::Unreachable("A is cancelled".to_owned());
        assert_eq!(progress(&pipeline, Goal::Completed, &[]), unreachable);
        assert_eq!(progress(&pipeline, Goal::Completed, &["B".to_owned()]), Progress::Waiting);
        assert!(matches!(progress(&pipeline, Goal::Attention, &["A".to_owned()]), Progress::Unreachable(_)));
    }

    #[test]
    fn a_blocked_task_needs_attention() {
        let mut pipeline = with_tasks(&["A", "B"]);
        asked(&mut pipeline, Request::Block { task: TaskId::new("A").unwrap(), reason: "why".to_owned() });
        assert_eq!(progress(&pipeline, Goal::Attention, &[]), Progress::Met);
        assert_eq!(progress(&pipeline, Goal::Attention, &["B".to_owned()]), Progress::Waiting);
    }

    #[test]
    fn a_time_to_wait_is_seconds_or_a_duration() {
        assert_eq!(timeout("90").unwrap(), Duration::from_secs(90));
        assert_eq!(timeout("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(timeout("soon").unwrap_err().code, exit::USAGE);
    }
}
