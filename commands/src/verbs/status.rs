//! `pipeline status`: where everything stands, for a person in tables or for a program as one document.

use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use pipeline_lib::mode::Rollout;
use pipeline_lib::view::{self, AgentStatus, Attention, StatusDoc};
use pipeline_worktrees::watch::Watcher;

use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::output::Output;
use crate::supervisor::look;
use crate::table::{age, columns, cut, short_seconds};
use crate::verbs::events::reader_gone;

/// How often `--watch` looks where no notice comes: the journal of a monitor stays open while it grows, which brings none.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How many tasks the tables show before they are cut.
const ROWS_MAX: usize = 40;

/// Print where everything stands.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Print again whenever something changes
    #[arg(long, conflicts_with = "check")]
    pub watch: bool,
    /// Exit with 3 if anything needs attention
    #[arg(long)]
    pub check: bool,
}

/// Prints the status.
///
/// # Errors
/// When the state cannot be read.
pub fn run(call: &Call, args: &Status) -> Result<u8> {
    let context = call.context()?;
    if args.watch {
        return watch(&context);
    }
    let engine = Engine::open(&context)?;
    let needs_attention = print(&context, &engine)?;
    Ok(if args.check && needs_attention { exit::ATTENTION } else { exit::OK })
}

fn print(context: &Context, engine: &Engine) -> Result<bool> {
    let seen = look(context, engine.pipeline());
    let mut document = view::status_doc(engine.pipeline(), &seen, Timestamp::now());
    document.attention.splice(0..0, engine.damage());
    if context.output().json {
        context.output().json(&document)?;
    } else {
        tables(context, &document)?;
    }
    Ok(!document.attention.is_empty())
}

/// Prints again whenever something changed, until whoever reads it has gone.
fn watch(context: &Context) -> Result<u8> {
    let (sender, receiver) = mpsc::channel();
    // The receiver is gone only when this function has returned.
    let mut watcher = Watcher::new(move |_| sender.send(()).unwrap_or_default());
    if let Err(error) = watcher.watch(&context.state_dir(), ()) {
        context.note(&format!("looking every {} s: {error}", LOOK_AGAIN.as_secs()));
    }
    // Read after the watch began, so that nothing comes between.
    let mut engine = Engine::open(context)?;
    print(context, &engine)?;
    let mut last = engine.pipeline().core.seq;
    while !reader_gone() {
        // A timeout is a look without a notice.
        receiver.recv_timeout(LOOK_AGAIN).unwrap_or_default();
        while receiver.try_recv().is_ok() {}
        engine.refresh()?;
        let seq = engine.pipeline().core.seq;
        if seq != last {
            last = seq;
            // A frame has empty lines of its own; a form feed begins the next page, whoever reads it.
            if !context.output().json {
                context.output().line("\u{c}")?;
            }
            print(context, &engine)?;
        }
    }
    Ok(exit::OK)
}

fn tables(context: &Context, document: &StatusDoc<'_>) -> Result<()> {
    let out = context.output();
    out.line(&summary(out, document))?;
    let now = document.generated_at;
    if !document.state.agents.is_empty() {
        out.line("")?;
        let mut rows = vec![head(out, &["AGENT", "STATUS", "SINCE", "TASK", "STAGE", "BY", "NOTE"])];
        for (name, agent) in &document.state.agents {
            let note = if agent.last_line.is_empty() { &agent.reason } else { &agent.last_line };
            rows.push(vec![
                name.to_string(),
                agent_word(out, agent.status),
                age(agent.status_since, now),
                agent.current_task.map_or_else(|| "-".to_owned(), ToString::to_string),
                agent.stage.map_or_else(|| "-".to_owned(), ToString::to_string),
                agent.status_source.to_owned(),
                cut(note, 48),
            ]);
        }
        print_rows(out, &rows)?;
    }
    task_table(out, document, now)?;
    if !document.attention.is_empty() {
        out.line("")?;
        out.line(&out.paint("1;33", &format!("! {} waiting for you", document.attention.len())))?;
        let mut rows = Vec::new();
        for item in &document.attention {
            let unblocks = match item.unblocks.len() {
                0 => String::new(),
                n => format!(" (unblocks {n})"),
            };
            rows.push(vec![
                format!("  {}", item.kind),
                age(item.since, now),
                format!("{}{unblocks}", cut(&item.summary, 70)),
            ]);
            rows.push(vec![String::new(), String::new(), format!("→ {}", item.command)]);
        }
        print_rows(out, &rows)?;
    }
    Ok(())
}

/// Whether what is known is only a part of what was.
fn is_damaged(attention: &[Attention]) -> bool {
    attention.iter().any(|item| item.kind == "state_damaged")
}

fn task_table(out: &Output, document: &StatusDoc<'_>, now: Timestamp) -> Result<()> {
    if document.state.tasks.is_empty() {
        out.line("")?;
        if is_damaged(&document.attention) {
            return out.line("No tasks are known before the damage.");
        }
        return out.line("No tasks yet. Add one: pipeline task add \"…\"");
    }
    out.line("")?;
    let open = || document.state.tasks.values().filter(|t| t.finished_at.is_none());
    let mut rows = vec![head(out, &["TASK", "STATUS", "SINCE", "AGENT", "TRY", "TITLE", "NOTE"])];
    for task in open().take(ROWS_MAX) {
        rows.push(vec![
            task.id.to_string(),
            task_word(out, &task.status),
            age(task.since, now),
            task.assigned_to.map_or_else(|| "-".to_owned(), ToString::to_string),
            if task.attempt == 0 { "-".to_owned() } else { task.attempt.to_string() },
            cut(task.title, 40),
            cut(task.reason.as_deref().and_then(|r| r.lines().next()).unwrap_or_default(), 60),
        ]);
    }
    if rows.len() > 1 {
        print_rows(out, &rows)?;
    }
    let hidden = open().count().saturating_sub(ROWS_MAX);
    let finished = document.state.tasks.len() - open().count();
    match (hidden, finished) {
        (0, 0) => Ok(()),
        (0, n) => out.line(&format!("{n} finished: pipeline task list --all")),
        (h, n) => out.line(&format!("{h} more and {n} finished: pipeline task list --all")),
    }
}

fn summary(out: &Output, document: &StatusDoc<'_>) -> String {
    let metrics = &document.metrics;
    let busy = document.state.agents.values().filter(|agent| agent.status.is_busy()).count();
    let share = document.state.pilot_percent.filter(|_| document.state.mode == Rollout::Pilot);
    let share = share.map_or_else(String::new, |percent| format!(" {percent} %"));
    let mode = format!("{} · {}{share}", document.state.orchestration_mode.word(), document.state.mode.word());
    let attention = match document.attention.len() {
        0 => String::new(),
        n => out.paint("1;33", &format!(" · ! {n} waiting for you")),
    };
    let pending = document.state.pending_mode.map_or_else(String::new, |mode| {
        format!(" (switching to {} · {})", mode.orchestration.word(), mode.rollout.word())
    });
    let cycle = match metrics.cycle_time_seconds.p50 {
        0.0 => String::new(),
        p50 => format!(" · {} a task", short_seconds(p50)),
    };
    format!(
        "{}{pending} · {}/{} done · {} in progress · {busy}/{} agents busy{cycle}{attention}",
        out.paint("1", &mode),
        metrics.tasks_completed,
        metrics.tasks_total,
        metrics.tasks_in_progress,
        document.state.agents.len(),
    )
}

/// An agent's status in colour, which only repeats what the word says.
#[must_use]
pub fn agent_word(out: &Output, status: AgentStatus) -> String {
    let code = match status {
        AgentStatus::Working | AgentStatus::Starting => "34",
        AgentStatus::Verifying => "36",
        AgentStatus::Waiting | AgentStatus::Stuck | AgentStatus::RateLimited => "33",
        AgentStatus::Crashed => "31",
        AgentStatus::Unknown => "35",
        AgentStatus::Idle | AgentStatus::Stopped => "2",
    };
    out.paint(code, status.word())
}

/// A task's status in colour, which only repeats what the word says.
#[must_use]
pub fn task_word(out: &Output, status: &str) -> String {
    let code = match status {
        "completed" => "32",
        "blocked" | "awaiting_approval" => "33",
        "failed" => "31",
        "unassigned" | "cancelled" | "rolled_back" => "2",
        word if word.ends_with("_wip") => "34",
        word if word.ends_with("_verifying") => "36",
        _ => "0",
    };
    out.paint(code, status)
}

/// The heading of a table.
#[must_use]
pub fn head(out: &Output, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| out.paint("2", name)).collect()
}

/// Prints rows in columns.
///
/// # Errors
/// When the reader has gone or the stream cannot be written.
pub fn print_rows(out: &Output, rows: &[Vec<String>]) -> Result<()> {
    for line in columns(rows) {
        out.line(&line)?;
    }
    Ok(())
}
