//! `pipeline monitor`: the supervisor. With `--once` exactly one tick, with `--headless` a loop. The dashboard, which is
//! what a terminal gets otherwise, is drawn elsewhere.

use std::io::Write;
use std::time::Duration;

use pipeline_lib::text::counted;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_state::Events;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::dispatch::Call;
use crate::duration;
use crate::error::{CommandError, Result, exit};
use crate::logging;
use crate::supervisor::{Pace, Supervisor, Ticked, run_loop};
use crate::verbs::events::{Known, sentence};

/// Where something happens all the time, `--once` leaves the rest to the next one after so long: half of what others wait for it.
const ONCE_FOR: Duration = Duration::from_secs(10);

/// Supervise.
#[derive(Debug, clap::Args)]
pub struct Monitor {
    /// Do exactly one tick, for cron and CI; beside a live monitor too: waits up to 20 s for its tick, then exits with 75
    #[arg(long)]
    pub once: bool,
    /// Loop without a dashboard
    #[arg(long, conflicts_with = "once")]
    pub headless: bool,
    /// Look at least this often, instead of the adaptive 15, 30 or 60 seconds
    #[arg(long, value_name = "S")]
    pub interval: Option<String>,
    /// Serve over HTTP as well: comes with `serve`
    #[arg(long, value_name = "ADDR", hide = true, value_parser = not_served)]
    pub listen: Option<String>,
}

/// The address of a server there is not: refused rather than ignored, so that nobody waits for answers.
fn not_served(_: &str) -> Result<String, &'static str> {
    Err("it comes with `serve`, which this version does not have; leave it out")
}

impl Monitor {
    /// Whether a dashboard is wanted.
    #[must_use]
    pub fn wants_dashboard(&self, call: &Call) -> bool {
        !self.once && !self.headless && call.interactive && !call.output.json
    }

    /// How often the loop looks without being told to.
    ///
    /// # Errors
    /// When the interval is not a duration.
    pub fn pace(&self) -> Result<Pace> {
        let Some(text) = &self.interval else { return Ok(Pace::Adaptive) };
        let seconds = text.parse::<u64>().ok().filter(|n| *n > 0).map(Duration::from_secs);
        let pause = seconds.or_else(|| duration::parse(text).ok().and_then(|d| Duration::try_from(d).ok()));
        pause.map(Pace::Every).ok_or_else(|| {
            CommandError::usage(format!("`{text}` is not an interval"))
                .hint("Write seconds, or a duration like 30s or 5m.")
        })
    }
}

/// Ticks once, or loops.
///
/// # Errors
/// When the state cannot be read or written.
pub fn run(call: &Call, args: &Monitor) -> Result<u8> {
    let pace = args.pace()?;
    let mut context = call.context()?;
    start_logging(call, &context)?;
    if args.once {
        return once(&mut context);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(headless(&mut context, pace))
}

/// Starts the log of a process that ticks.
///
/// # Errors
/// When the log's directory cannot be written.
pub fn start_logging(call: &Call, context: &Context) -> Result<()> {
    let dir = context.logs_dir();
    std::fs::create_dir_all(&dir)
        .map_err(|error| CommandError::cannot_write(format!("cannot create {}: {error}", dir.display())))?;
    let level = call.log_level.clone().unwrap_or_else(|| context.config().logs.level.to_string());
    logging::start(logging::Settings {
        dir: Some(&dir),
        level: &level,
        keep: context.config().logs.keep,
        verbose: call.verbose,
    })
}

fn once(context: &mut Context) -> Result<u8> {
    let mut supervisor = Supervisor::open(context, "once")?;
    let report = supervisor.tick(context, ONCE_FOR, Duration::ZERO)?;
    supervisor.snapshot(context, true)?;
    let live = supervisor.engine().pipeline().core.runs.len();
    let facts = report.facts;
    if context.output().json {
        let seq = supervisor.engine().pipeline().core.seq;
        let document = serde_json::json!({ "schema_version": SCHEMA_VERSION, "facts": facts, "live_runs": live, "journal_seq": seq });
        context.output().json(&document)?;
    } else {
        context.output().line(&format!("tick: {}, {}", counted(facts, "fact"), counted(live, "live run")))?;
    }
    Ok(exit::OK)
}

async fn headless(context: &mut Context, pace: Pace) -> Result<u8> {
    let lock = context.monitor_lock();
    let guard = match lock.acquire(Duration::ZERO) {
        Ok(guard) => guard,
        Err(error) => {
            inform(context, &format!("standing by: {error}"));
            let Some(guard) = stand_by(context).await? else { return Ok(exit::OK) };
            inform(context, "the other monitor is gone; taking over");
            guard
        }
    };
    let mut supervisor = Supervisor::open(context, "monitor")?;
    let (_wake, mut woken) = mpsc::unbounded_channel();
    supervisor.keep_lines();
    let mut journal = Printer::new(&supervisor);
    let mut told = None;
    let mut failed = None;
    let interrupted = std::cell::Cell::new(false);
    let asked = asked_to_end();
    let stop = async { interrupted.set(asked.await.unwrap_or(false)) };
    run_loop(context, &mut supervisor, pace, &mut woken, stop, |context, ticked| {
        if told.as_deref() != ticked.notice {
            told = ticked.notice.map(str::to_owned);
            context.note(told.as_deref().unwrap_or("watching again"));
        }
        if let Err(error) = journal.print(context, &ticked) {
            failed.get_or_insert(error);
        }
        None
    })
    .await?;
    supervisor.snapshot(context, true)?;
    drop(guard);
    match failed.filter(|error| error.kind != "broken_pipe") {
        Some(error) => Err(error),
        None if interrupted.get() => Ok(exit::INTERRUPTED),
        None => Ok(exit::OK),
    }
}

/// Says something beside the data that is as it should be.
fn inform(context: &Context, text: &str) {
    tracing::info!(text, "notice");
    context.output().note(text);
}

/// Waits until the other monitor is gone. `None` when this process is asked to end first.
async fn stand_by(context: &Context) -> Result<Option<pipeline_state::LockGuard>> {
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    let lock = context.monitor_lock();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("stand-by".to_owned()).spawn(move || {
        // The receiver is gone when this process is ending.
        drop(sender.send(lock.acquire(FOREVER)));
    })?;
    tokio::select! {
        Some(guard) = receiver.recv() => Ok(Some(guard?)),
        _ = asked_to_end() => Ok(None),
    }
}

/// Completes when this process is asked to end; true if by a person's Ctrl-C. It listens from the moment of the call, so
/// that nobody's wish is lost who has it before this is waited for; call it within a runtime.
///
/// # Errors
/// When signals cannot be listened to.
pub fn asked_to_end() -> impl Future<Output = Result<bool>> {
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    async move {
        let [term, int, hup] = signals;
        let (mut term, mut int, mut hup) = (term?, int?, hup?);
        tokio::select! {
            _ = term.recv() => Ok(false),
            _ = int.recv() => Ok(true),
            _ = hup.recv() => Ok(false),
        }
    }
}

/// A line for a person; nothing of what only the machinery cares about.
fn in_words(at: jiff::Timestamp, words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    let time = at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
    format!("{time}  {words}\n")
}

/// Prints the journal as it grows: for a person in words, for a program as event lines.
struct Printer {
    reader: Events,
    known: Known,
}

impl Printer {
    fn new(supervisor: &Supervisor) -> Self {
        let store = supervisor.engine().store();
        // Runs that another monitor began are among those whose end is told here.
        Self { reader: store.events(store.seq()), known: Known::of(supervisor.engine().pipeline()) }
    }

    fn print(&mut self, context: &Context, ticked: &Ticked<'_>) -> Result<()> {
        let output = context.output();
        // What the tick wrote has its words already, unless others wrote in between.
        if let Some((lines, known)) = ticked.supervisor.lines().filter(|_| !output.json)
            && (self.reader.seq() + 1..).zip(lines).all(|(seq, line)| seq == line.seq)
            && let Some(last) = lines.last()
        {
            output.raw(&lines.iter().map(|line| in_words(line.at, &line.words)).collect::<String>())?;
            self.reader.skip_to(last.seq);
            self.known.clone_from(known);
        }
        for record in self.reader.by_ref() {
            let at = record.as_ref().map_or_else(|_| jiff::Timestamp::now(), |record| record.at);
            let event = self.known.event(record?);
            if output.json {
                output.json(&event)?;
                continue;
            }
            output.raw(&in_words(at, &sentence(&event)))?;
        }
        // A pipe that is read line by line should not lag behind.
        std::io::stdout().flush().map_err(CommandError::from)
    }
}
