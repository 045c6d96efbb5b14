//! `pipeline agent`: the workers. Listing, stopping and starting them, their terminals and worktrees, and the list in
//! config.toml.

mod attach;
mod send;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Args, Parser as _, Subcommand};
use jiff::Timestamp;
use pipeline_lib::agents::preset::Preset;
use pipeline_lib::event::{Refusal, Request};
use pipeline_lib::ids::{AgentName, Role};
use pipeline_lib::mode::Rollout;
use pipeline_lib::pipeline::Agent;
use pipeline_lib::run::{Phase, Run};
use pipeline_lib::view::agent_docs;
use pipeline_worktrees::watch::Watcher;

use crate::cli::Cli;
use crate::config::{self, AgentConfig};
use crate::context::Context;
use crate::dispatch::{self, Call};
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::supervisor::{Supervisor, look};
use crate::table::{age, cut};
use crate::verbs::status::{agent_word, head, print_rows};

/// How long `stop` waits: the grace of the agents, and a moment to collect their work.
const STOP_WAIT: Duration = Duration::from_secs(25);

/// The workers.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// What to do with the workers
    #[command(subcommand)]
    pub verb: AgentVerb,
}

/// What can be done with the workers.
#[derive(Debug, Subcommand)]
pub enum AgentVerb {
    /// List agents
    #[command(after_help = "Example: pipeline agent list")]
    List,
    /// Let stopped or broken agents work again
    #[command(after_help = "Example: pipeline agent start architect")]
    Start(Names),
    /// Stop agents; their work is kept on the tasks' branches
    #[command(after_help = "Example: pipeline agent stop --all")]
    Stop(Names),
    /// Stop agents and let them work again
    #[command(after_help = "Example: pipeline agent restart test")]
    Restart(Names),
    /// Show the terminal of an agent's session
    ///
    /// The session goes on when you leave it. Several may look at the same time; the terminal has the size of the one
    /// who came last.
    #[command(after_help = "Example: pipeline agent attach architect")]
    Attach(AttachArgs),
    /// Send text to an agent's session, as if it were pasted
    ///
    /// Enter follows the text. What begins with a slash is typed, so that the program takes it as its own command.
    #[command(after_help = "Example: pipeline agent send architect \"Use the existing parser.\"")]
    Send(SendArgs),
    /// Print what an agent wrote
    #[command(after_help = "Example: pipeline agent logs architect -f")]
    Logs(AgentLogs),
    /// Put agents' worktrees on base
    #[command(after_help = "Example: pipeline agent sync --all")]
    Sync(Names),
    /// Add an agent to config.toml
    #[command(after_help = "Example: pipeline agent add reviewer --role supervisor --preset codex")]
    Add(Add),
    /// Remove an agent from config.toml; its worktree stays
    #[command(after_help = "Example: pipeline agent remove reviewer")]
    Remove(Remove),
}

/// Agents by name, or all.
#[derive(Debug, Args)]
pub struct Names {
    /// The agents
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<String>,
    /// Every agent
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

/// A session to look at.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The agent
    pub name: String,
    /// Only if this is its live run
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Only look: nothing is typed, and the terminal keeps its size
    #[arg(long)]
    pub read_only: bool,
}

/// Something for a session.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The agent
    pub name: String,
    /// The text, or `-` to read it from stdin; empty for Enter alone
    #[arg(
        allow_hyphen_values = true,
        required_unless_present = "answer",
        default_value = "",
        hide_default_value = true
    )]
    pub text: String,
    /// Answer the dialog that its screen shows: yes, no, or the number of a choice
    #[arg(long, value_name = "ANSWER", conflicts_with = "text")]
    pub answer: Option<String>,
    /// Type even where its screen shows a dialog
    #[arg(long)]
    pub force: bool,
    /// Only if this is its live run
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Leave the text where it is, without Enter
    #[arg(long)]
    pub no_enter: bool,
}

/// What an agent wrote.
#[derive(Debug, Args)]
pub struct AgentLogs {
    /// The agent
    pub name: String,
    /// Go on printing
    #[arg(short, long)]
    pub follow: bool,
}

/// A new agent.
#[derive(Debug, Args)]
pub struct Add {
    /// Its name
    pub name: String,
    /// The stages it serves
    #[arg(long)]
    pub role: String,
    /// Which program it is
    #[arg(long, default_value = "custom")]
    pub preset: String,
    /// The command of a custom agent, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// An agent to remove.
#[derive(Debug, Args)]
pub struct Remove {
    /// The agent
    pub name: String,
}

/// Does what was asked of the workers.
///
/// # Errors
/// When an agent does not exist, is busy, or something cannot be written.
pub fn run(call: &Call, args: &AgentArgs) -> Result<u8> {
    match &args.verb {
        AgentVerb::List => list(call),
        AgentVerb::Start(names) => start(call, names),
        AgentVerb::Stop(names) => stop(call, names),
        AgentVerb::Restart(names) => {
            refuse_in_shadow(&Engine::open(&call.context()?)?)?;
            stop_and_wait(call, names)?;
            start(call, names)
        }
        AgentVerb::Attach(args) => attach::run(call, args),
        AgentVerb::Send(args) => send::run(call, args),
        AgentVerb::Logs(args) => logs(call, args),
        AgentVerb::Sync(names) => sync(call, names),
        AgentVerb::Add(args) => add(call, args),
        AgentVerb::Remove(args) => remove(call, args),
    }
}

fn names(engine: &Engine, wanted: &Names) -> Result<Vec<AgentName>> {
    let known = &engine.pipeline().core.agents;
    if wanted.all {
        return Ok(known.keys().cloned().collect());
    }
    let find = |name: &String| {
        let found = known.keys().find(|known| known.as_str() == name).cloned();
        found.ok_or_else(|| Refusal::NoAgent(name.clone()).into())
    };
    wanted.names.iter().map(find).collect()
}

fn list(call: &Call) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let seen = look(&context, engine.pipeline());
    let documents = agent_docs(engine.pipeline(), &seen);
    if call.output.json {
        let mut list = Vec::new();
        for (name, agent) in &documents {
            let mut value = serde_json::to_value(agent)?;
            value["name"] = name.as_str().into();
            list.push(value);
        }
        call.output.json(&serde_json::json!({ "schema_version": 1, "agents": list }))?;
        return Ok(exit::OK);
    }
    let out = &call.output;
    let now = Timestamp::now();
    let mut rows = vec![head(out, &["AGENT", "ROLE", "PRESET", "SANDBOX", "STATUS", "SINCE", "TASK", "NOTE"])];
    for (name, agent) in &documents {
        let note = if agent.last_line.is_empty() { &agent.reason } else { &agent.last_line };
        rows.push(vec![
            name.to_string(),
            agent.role.to_owned(),
            agent.preset.to_owned(),
            agent.sandbox.to_owned(),
            agent_word(out, agent.status),
            age(agent.status_since, now),
            agent.current_task.map_or_else(|| "-".to_owned(), ToString::to_string),
            cut(note, 60),
        ]);
    }
    print_rows(out, &rows)?;
    Ok(exit::OK)
}

/// The same as `pipeline logs --agent NAME`.
fn logs(call: &Call, args: &AgentLogs) -> Result<u8> {
    let mut words = vec!["pipeline", "logs", "--agent", &args.name];
    words.extend(args.follow.then_some("-f"));
    let cli = Cli::try_parse_from(words).map_err(|error| CommandError::usage(error.to_string()))?;
    cli.verb.map_or(Ok(exit::OK), |verb| dispatch::run(call, verb))
}

fn told(call: &Call, engine: &Engine, names: &[AgentName], context: &Context) -> Result<u8> {
    // A place for the commands of workflows is nobody while it is empty.
    let is_shown = |name: &&AgentName| engine.pipeline().core.agents.get(*name).is_none_or(Agent::is_shown);
    let names: Vec<&AgentName> = names.iter().filter(is_shown).collect();
    let seen = look(context, engine.pipeline());
    let documents = agent_docs(engine.pipeline(), &seen);
    let of = |name: &AgentName| documents.get(name).map_or("removed", |agent| agent.status.word());
    if call.output.json {
        let list: Vec<_> = names.iter().map(|n| serde_json::json!({ "name": n, "status": of(n) })).collect();
        call.output.json(&serde_json::json!({ "schema_version": 1, "agents": list }))?;
    } else {
        for name in names {
            call.output.line(&format!("{name} {}", of(name)))?;
        }
    }
    Ok(exit::OK)
}

/// A start that a person asks for is a start: shadow mode does not make it.
fn refuse_in_shadow(engine: &Engine) -> Result<()> {
    if engine.pipeline().core.mode.rollout > Rollout::Shadow {
        return Ok(());
    }
    Err(CommandError::failed("the rollout mode is shadow, so no agent may be started")
        .hint("Run `pipeline mode pipeline --yes` to allow it."))
}

fn start(call: &Call, wanted: &Names) -> Result<u8> {
    let context = call.context()?;
    let mut engine = Engine::open(&context)?;
    let names = names(&engine, wanted)?;
    refuse_in_shadow(&engine)?;
    let requests = names.iter().map(|agent| Request::StartAgent { agent: agent.clone() }).collect();
    engine.ask_all(&context, "agent start", requests)?;
    told(call, &engine, &names, &context)
}

fn stop(call: &Call, wanted: &Names) -> Result<u8> {
    let (context, supervisor, names) = stop_and_wait(call, wanted)?;
    told(call, supervisor.engine(), &names, &context)
}

fn stop_and_wait(call: &Call, wanted: &Names) -> Result<(Context, Supervisor, Vec<AgentName>)> {
    let mut context = call.context()?;
    let mut supervisor = Supervisor::open(&context, "agent stop")?;
    let names = names(supervisor.engine(), wanted)?;
    let requests = names.iter().map(|agent| Request::StopAgent { agent: agent.clone() }).collect();
    supervisor.engine_mut().ask_all(&context, "agent stop", requests)?;
    wait_until_over(&mut context, &mut supervisor, &names)?;
    Ok((context, supervisor, names))
}

/// Stops and collects until no run of these agents is left. Starts nothing new.
pub(super) fn wait_until_over(context: &mut Context, supervisor: &mut Supervisor, names: &[AgentName]) -> Result<()> {
    let deadline = Instant::now() + STOP_WAIT;
    let (sender, receiver) = mpsc::channel();
    // The receiver is gone only when this function has returned.
    let mut watcher = Watcher::new(move |_| {
        let _ = sender.send(());
    });
    loop {
        supervisor.wind_down(context, names)?;
        // A run that a living monitor has begun meanwhile is not one of those that were asked to stop.
        let ends = |run: &&Run| run.stop.is_some() || matches!(run.phase, Phase::Ended { .. });
        let runs = supervisor.engine().pipeline().core.runs.values();
        let live: Vec<_> = runs.filter(|run| names.contains(&run.agent)).filter(ends).collect();
        if live.is_empty() {
            return supervisor.snapshot(context, true);
        }
        if Instant::now() >= deadline {
            let list: Vec<String> = live.iter().map(|run| format!("{} ({})", run.agent, run.id)).collect();
            return Err(CommandError::failed(format!("these runs did not end: {}", list.join(", ")))
                .hint("They were asked to stop; the next tick collects them. `pipeline doctor` says more."));
        }
        for run in live {
            // Without a watch the timeout below looks.
            drop(watcher.watch(&context.run_dir(&run.id), ()));
        }
        // A timeout is a look without a notice.
        let _ = receiver.recv_timeout(Duration::from_millis(500));
        while receiver.try_recv().is_ok() {}
    }
}

fn sync(call: &Call, wanted: &Names) -> Result<u8> {
    let context = call.context()?;
    let _ticking = context.tick_lock()?;
    let engine = Engine::open(&context)?;
    let names = names(&engine, wanted)?;
    let base = context.base_head()?;
    let mut paths = Vec::new();
    for name in &names {
        paths.extend(context.worktrees_of(name, &base)?.into_iter().map(|path| (name, path)));
    }
    // A worktree of a task is whoever's turn it is.
    let in_use = |run: &&Run| {
        let path = context.worktree(run.agent.as_str(), run.task.as_ref());
        names.contains(&run.agent) || paths.iter().any(|(_, other)| *other == path)
    };
    let live = engine.pipeline().core.runs.values().filter(in_use);
    let task = |run: &Run| run.task.as_ref().map_or_else(String::new, ToString::to_string);
    let busy: Vec<(AgentName, String)> = live.map(|run| (run.agent.clone(), task(run))).collect();
    if !busy.is_empty() {
        let error = CommandError::from(Refusal::Busy(busy));
        return Err(error.hint("Stop them first with `pipeline agent stop NAME`; their work is kept."));
    }
    for (name, path) in &paths {
        // Also where it is on base already: what an agent does not know of would end up among its work.
        let id = format!("sync-{name}");
        crate::supervisor::clones::settle(&context, None, path)?;
        if let Some(kept) = context.repo().set_aside(path, &id, "uncommitted work found by agent sync")? {
            context.note(&format!("{name}: uncommitted work is kept at {}", kept.reference));
        }
        context.repo().detach(path, &base)?;
    }
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "agents": names, "commit": base }))?;
    } else {
        for name in &names {
            call.output.line(&format!("{name} at {} of {}", base.short(), context.base()))?;
        }
    }
    Ok(exit::OK)
}

fn add(call: &Call, args: &Add) -> Result<u8> {
    let preset: Preset = args.preset.parse()?;
    let mut agent = AgentConfig::new(AgentName::new(&args.name)?, Role::new(&args.role)?, preset);
    agent.command.clone_from(&args.command);
    if preset == Preset::Custom && agent.command.is_empty() {
        return Err(CommandError::usage("a custom agent needs a command")
            .hint("Write it after `--`: pipeline agent add NAME --role ROLE -- my-agent '{prompt}'"));
    }
    edit_config(call, &agent.name, |text| config::add_agent(text, &agent))
}

fn remove(call: &Call, args: &Remove) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let name = AgentName::new(&args.name).map_err(|_| Refusal::NoAgent(args.name.clone()))?;
    let agent = engine.pipeline().core.agents.get(&name).ok_or_else(|| Refusal::NoAgent(name.to_string()))?;
    if let Some(run) = &agent.run {
        return Err(Refusal::Busy(vec![(name.clone(), run.to_string())]).into());
    }
    edit_config(call, &name, |text| config::remove_agent(text, name.as_str()))
}

/// Edits config.toml, keeping everything else in it byte for byte, and records the change if it is valid.
fn edit_config(
    call: &Call,
    name: &AgentName,
    edit: impl FnOnce(&str) -> Result<String, config::EditError>,
) -> Result<u8> {
    let context = call.context()?;
    let path = call.globals.config_file.clone().unwrap_or_else(|| context.folder().join("config.toml"));
    let cannot = |error: std::io::Error| {
        CommandError::new(exit::CANNOT_WRITE, "cannot_write", format!("cannot write {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(&path).map_err(cannot)?;
    let edited = edit(&text).map_err(|error| match error {
        config::EditError::Missing(_) => CommandError::not_found(error.to_string()),
        other => CommandError::failed(other.to_string()),
    })?;
    crate::supervisor::replace_file(&path, edited.as_bytes()).map_err(cannot)?;
    let changed = match call.context() {
        Ok(changed) => changed,
        Err(error) => {
            crate::supervisor::replace_file(&path, text.as_bytes()).map_err(cannot)?;
            return Err(error);
        }
    };
    let mut engine = Engine::open(&changed)?;
    engine.feed(&changed, "agent", &[], false, &pipeline_lib::view::Seen::new())?;
    told(call, &engine, std::slice::from_ref(name), &changed)
}
