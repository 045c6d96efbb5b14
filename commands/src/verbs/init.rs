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
    let mut backup = None;
    if site.is_initialised() {
        if !args.reset {
            return Err(CommandError::failed(format!("there is a pipeline in {} already", root.display())).hint(
                "Run `pipeline` to see it, or `pipeline init --reset` to begin anew with a backup of its state.",
            ));
        }
        backup = Some(reset(call, site, &state_dir)?);
    }
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
    tell(call, &context, preset, verify.as_deref(), rollout, backup.as_deref())
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

fn tell(
    call: &Call,
    context: &Context,
    preset: Preset,
    verify: Option<&str>,
    rollout: Rollout,
    backup: Option<&str>,
) -> Result<u8> {
    let next = match rollout {
        Rollout::Shadow => "pipeline task add \"…\", then: pipeline mode pipeline --yes",
        Rollout::Pilot => "pipeline task add \"…\", then: pipeline pilot add ID",
        Rollout::Production => "pipeline task add \"…\", then: pipeline",
    };
    if call.output.json {
        call.output.json(&serde_json::json!({
            "schema_version": 1,
            "root": context.root(),
            "base": context.base(),
            "verify": verify,
            "agent": preset.as_str(),
            "rollout": rollout.word(),
            "backup": backup,
            "next": next,
        }))?;
        return Ok(exit::OK);
    }
    let out = &call.output;
    out.line(&format!("Created a pipeline in {}", context.folder().display()))?;
    if let Some(backup) = backup {
        out.line(&format!("  the old state is kept in {backup}"))?;
    }
    out.line(&format!("  base     {}", context.base()))?;
    let gate = verify.unwrap_or("none found: claims will not be checked until you set project.verify");
    out.line(&format!("  verify   {gate}"))?;
    let program = if preset == Preset::Demo {
        "demo: no agent program was found; these do no real work and block every task; edit .pipeline/config.toml"
            .to_owned()
    } else if preset == Preset::Custom {
        "custom: write their commands into .pipeline/config.toml".to_owned()
    } else {
        format!("{} ({})", preset.as_str(), ROLES.join(", "))
    };
    out.line(&format!("  agents   {program}"))?;
    out.line(&format!("  rollout  {}", rollout.word()))?;
    out.line(&format!("Next: {next}"))?;
    Ok(exit::OK)
}
