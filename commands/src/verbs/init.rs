//! `pipeline init`: creates `.pipeline/` in a repository. Commits nothing, starts nothing, and begins in shadow unless the
//! person chose otherwise.

use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use pipeline_lib::agents::preset::Preset;
use pipeline_lib::event::{Busy, Event, Request};
use pipeline_lib::ids::{AgentName, Role};
use pipeline_lib::mode::{Mode, Orchestration, Rollout};
use pipeline_lib::text::one_line;
use pipeline_lib::view::Seen;
use pipeline_state::Store;

use crate::config::{AgentConfig, guess_verify, starter};
use crate::context::{Context, Site};
use crate::dispatch::Call;
use crate::engine::{Engine, Kept};
use crate::error::{CommandError, Result, exit};

/// Agent programs that are looked for, the first found wins.
const LOOKED_FOR: [Preset; 6] =
    [Preset::Claude, Preset::Codex, Preset::Opencode, Preset::Gemini, Preset::Goose, Preset::Aider];
/// The roles of the default workflow.
const ROLES: [&str; 4] = ["architect", "test", "implementation", "supervisor"];
/// Everything below `.pipeline` that is not meant to be committed.
const IGNORE: &str = "/state/\n/state.backup-*/\n/worktrees/\n/runs/\n/logs/\n/secrets.env\n";

/// Create a pipeline in this repository.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Which program the agents are; looked for if not given
    #[arg(long, value_name = "PRESET")]
    pub agent: Option<String>,
    /// The gate: a command whose exit code 0 means that work holds; guessed if not given
    #[arg(long, value_name = "CMD")]
    pub verify: Option<String>,
    /// Start in this rollout mode: shadow, pilot or production
    #[arg(long, value_name = "MODE")]
    pub rollout: Option<String>,
    /// Ask nothing
    #[arg(long, short)]
    pub yes: bool,
    /// Put the present state aside, as a backup, and begin anew
    #[arg(long)]
    pub reset: bool,
}

/// Creates `.pipeline/`.
///
/// # Errors
/// When there is no repository with a commit, a pipeline exists already, or nothing can be written.
pub fn run(call: &Call, args: Init) -> Result<u8> {
    let site = Site::find(&call.globals)?;
    let base = site.repo.guess_base()?;
    let rollout = args.rollout.as_deref().map(rollout_word).transpose()?;
    let preset = args.agent.as_deref().map(str::parse::<Preset>).transpose()?;
    let root = site.root.clone();
    let folder = site.folder();
    let state_dir = folder.join("state");
    let kept = folder.join("config.toml").exists();
    if site.is_initialised() && !args.reset {
        return Err(CommandError::failed(format!("there is a pipeline in {} already", root.display()))
            .hint("Run `pipeline` to see it, or `pipeline init --reset` to begin anew with a backup of its state."));
    }
    if kept {
        let context = Context::load(&call.globals, &call.output, Site::find(&call.globals)?)?;
        refuse_to_contradict(&context, preset, args.verify.as_deref())?;
    }
    let backup = if site.is_initialised() { Some(reset(call, site, &state_dir)?) } else { None };
    let searched = preset.is_none();
    let preset = preset.unwrap_or_else(|| find_program(call).unwrap_or(Preset::Demo));
    let verify = args.verify.clone().or_else(|| guess_verify(&root));
    write_files(&folder, &base, verify.as_deref(), preset)?;
    let context = Context::load(&call.globals, &call.output, Site::find(&call.globals)?)?;
    let mut engine = if backup.is_some() { Engine::open(&context)? } else { Engine::init(&context)? };
    engine.feed(&context, "init", &[Event::Tick], false, &Seen::new())?;
    let rollout = match rollout {
        Some(rollout) => rollout,
        None if call.interactive && !args.yes => ask_how_to_start(call)?,
        None => Rollout::Shadow,
    };
    if rollout != Rollout::Shadow {
        let mode = Mode { orchestration: Orchestration::Parallel, rollout };
        engine.ask(&context, "init", Request::SetMode { mode, busy: Busy::Refuse, unready: true })?;
    }
    engine.write_snapshot(&Seen::new())?;
    let made = Made { kept, searched, rollout, backup: backup.as_deref() };
    tell(call, &context, &made)
}

/// A file that somebody wrote stays as it is, so that what is asked for beside it would not come true.
fn refuse_to_contradict(context: &Context, preset: Option<Preset>, verify: Option<&str>) -> Result<()> {
    let config = context.config();
    let mut contradicted = Vec::new();
    if let Some(preset) = preset.filter(|preset| config.agents.iter().any(|agent| agent.preset != *preset)) {
        contradicted.push(format!("--agent {} (its agents are {})", preset.as_str(), presets(context).join(", ")));
    }
    if let Some(verify) = verify.filter(|verify| config.project.verify.as_deref() != Some(*verify)) {
        let own = config.project.verify.as_ref().map_or_else(|| "not set".to_owned(), |own| format!("`{own}`"));
        contradicted.push(format!("--verify `{}` (its project.verify is {own})", one_line(verify, 200)));
    }
    if contradicted.is_empty() {
        return Ok(());
    }
    let file = context.folder().join("config.toml");
    Err(CommandError::usage(format!("{} is kept and says otherwise: {}", file.display(), contradicted.join(", ")))
        .hint(format!(
            "Change it there and repeat without these, or move it away for a new one: mv {0} {0}.old",
            file.display()
        )))
}

/// The presets of the agents, each once.
fn presets(context: &Context) -> Vec<&'static str> {
    let mut presets: Vec<_> = context.config().agents.iter().map(|agent| agent.preset.as_str()).collect();
    presets.sort_unstable();
    presets.dedup();
    presets
}

fn rollout_word(word: &str) -> Result<Rollout> {
    match word {
        "shadow" => Ok(Rollout::Shadow),
        "pilot" => Ok(Rollout::Pilot),
        "production" => Ok(Rollout::Production),
        _ => Err(CommandError::usage(format!("unknown rollout mode `{word}`"))
            .hint("There are shadow, pilot and production.")),
    }
}

/// Puts the present state aside. Live runs would go on without anybody knowing them, so there must be none.
fn reset(call: &Call, site: Site, state_dir: &Path) -> Result<String> {
    let context = Context::load(&call.globals, &call.output, site)?;
    if let Ok(engine) = Engine::open(&context) {
        let live: Vec<String> = engine.pipeline().core.runs.values().map(|run| run.agent.to_string()).collect();
        if !live.is_empty() {
            return Err(CommandError::new(exit::BUSY, "busy", format!("these agents are busy: {}", live.join(", ")))
                .hint("Stop them with `pipeline agent stop --all`, let a tick collect their work, and repeat."));
        }
    }
    let backup = Store::<Kept>::reset(state_dir, context.store_options())?;
    Ok(backup.display().to_string())
}

fn find_program(call: &Call) -> Option<Preset> {
    let path = call.globals.environment.get("PATH")?;
    let dirs: Vec<_> = std::env::split_paths(path).collect();
    LOOKED_FOR.into_iter().find(|preset| {
        let program = preset.info().program;
        dirs.iter().any(|dir| is_executable(&dir.join(program)))
    })
}

/// Whether a file is there and may be executed by somebody.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn write_files(folder: &Path, base: &str, verify: Option<&str>, preset: Preset) -> Result<()> {
    let cannot = |path: &Path, error: &std::io::Error| {
        CommandError::new(exit::CANNOT_WRITE, "cannot_write", format!("cannot write {}: {error}", path.display()))
            .hint("Mend the permissions or free some space, then repeat the command.")
    };
    for dir in
        [folder.to_owned(), folder.join("workflows"), folder.join("agents"), folder.join("runs"), folder.join("logs")]
    {
        // What runs print and what they were given is for nobody else.
        let mode = if dir.ends_with("runs") || dir.ends_with("logs") { 0o700 } else { 0o777 };
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(&dir);
        made.map_err(|error| cannot(&dir, &error))?;
    }
    let agents: Vec<AgentConfig> = ROLES
        .iter()
        .map(|role| {
            let mut agent = AgentConfig::new(AgentName::new(role)?, Role::new(role)?, preset);
            if preset == Preset::Custom {
                // Something to replace, so that the file is valid and says what is missing when it is used.
                agent.command = ["my-agent", "{task_file}", "{prompt}"].map(str::to_owned).to_vec();
            }
            Ok(agent)
        })
        .collect::<Result<_>>()?;
    // What a person wrote is never replaced.
    for (name, text) in [("config.toml", starter(base, verify, &agents)), (".gitignore", IGNORE.to_owned())] {
        let path = folder.join(name);
        if !path.exists() {
            fs::write(&path, text).map_err(|error| cannot(&path, &error))?;
        }
    }
    Ok(())
}

fn ask_how_to_start(call: &Call) -> Result<Rollout> {
    call.output.note("How should it start?");
    call.output.note("  1  shadow      plan and show, touch nothing (recommended first)");
    call.output.note("  2  pilot       touch only the tasks you list");
    call.output.note("  3  production  touch everything");
    let mut err = std::io::stderr();
    write!(err, "Choose 1, 2 or 3 [1]: ")?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "" | "1" | "shadow" => Ok(Rollout::Shadow),
        "2" | "pilot" => Ok(Rollout::Pilot),
        "3" | "production" => Ok(Rollout::Production),
        other => Err(CommandError::usage(format!("`{other}` is not one of 1, 2, 3"))),
    }
}

/// What `init` did.
struct Made<'a> {
    /// The configuration was there before.
    kept: bool,
    /// Which program the agents are was not said.
    searched: bool,
    rollout: Rollout,
    backup: Option<&'a str>,
}

/// Says what is in force, which is not what was found or asked for where a configuration was there before.
fn tell(call: &Call, context: &Context, made: &Made<'_>) -> Result<u8> {
    let next = match made.rollout {
        Rollout::Shadow => "pipeline task add \"…\", then: pipeline mode pipeline --yes",
        Rollout::Pilot => "pipeline task add \"…\", then: pipeline pilot add ID",
        Rollout::Production => "pipeline task add \"…\", then: pipeline",
    };
    let config = context.config();
    let verify = config.project.verify.as_deref();
    if call.output.json {
        let agents: Vec<_> = config
            .agents
            .iter()
            .map(|agent| serde_json::json!({ "name": agent.name, "role": agent.role, "preset": agent.preset.as_str() }))
            .collect();
        call.output.json(&serde_json::json!({
            "schema_version": 1,
            "root": context.root(),
            "base": context.base(),
            "verify": verify,
            "agent": presets(context).join(", "),
            "agents": agents,
            "config_kept": made.kept,
            "rollout": made.rollout.word(),
            "backup": made.backup,
            "next": next,
        }))?;
        return Ok(exit::OK);
    }
    let out = &call.output;
    out.line(&format!("Created a pipeline in {}", context.folder().display()))?;
    if let Some(backup) = made.backup {
        out.line(&format!("  the old state is kept in {backup}"))?;
    }
    if made.kept {
        out.line("  config   kept as it is: .pipeline/config.toml")?;
    }
    out.line(&format!("  base     {}", context.base()))?;
    let gate = verify.unwrap_or("none: claims will not be checked until you set project.verify");
    out.line(&format!("  verify   {gate}"))?;
    out.line(&format!("  agents   {}", agents_line(context, made)))?;
    out.line(&format!("  rollout  {}", made.rollout.word()))?;
    out.line(&format!("Next: {next}"))?;
    Ok(exit::OK)
}

fn agents_line(context: &Context, made: &Made<'_>) -> String {
    let agents = &context.config().agents;
    let names = |preset: &str| {
        let of = agents.iter().filter(|agent| agent.preset.as_str() == preset);
        of.map(|agent| agent.name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let presets = presets(context);
    let programs: Vec<String> = presets.iter().map(|preset| format!("{preset} ({})", names(preset))).collect();
    let mut line = if programs.is_empty() { "none".to_owned() } else { programs.join(", ") };
    if presets.contains(&Preset::Demo.as_str()) {
        let why = if made.searched && !made.kept { "no agent program was found; " } else { "" };
        line.push_str(&format!(": {why}demo agents do no real work and block every task; edit .pipeline/config.toml"));
    } else if presets.contains(&Preset::Custom.as_str()) && !made.kept {
        line.push_str(": write their commands into .pipeline/config.toml");
    }
    line
}
