//! `pipeline demo`: the whole product in a minute, on a scratch repository, with scripted agents. The repository, the
//! worktrees, the gates, the merges and the supervisor are the real ones; only the agents are scripts, and no model is
//! asked. Draws no dashboard: a caller with a terminal prepares the repository here, shows it, and finishes it here.

mod agent;
mod headless;
mod plays;
mod scratch;
mod story;
mod verdict;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::dispatch::{self, Call};
use crate::error::{Result, exit};
use headless::Ending;

/// How long each step of an agent takes where a person watches.
const PACE_WATCHED: Duration = Duration::from_millis(300);

/// Show the whole product at work.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Print what happens and a summary, approve what waits for a person, and exit with 0 only if everything worked
    #[arg(long)]
    pub headless: bool,
    /// Keep the scratch repository
    #[arg(long)]
    pub keep: bool,
    /// Make the scratch repository in this empty or new directory, and keep it
    #[arg(long, value_name = "D")]
    pub dir: Option<PathBuf>,
}

/// The scripted agent; the supervisor of a demonstration starts it.
#[derive(Debug, clap::Args)]
pub struct DemoAgent {
    /// The task file, in the worktree
    #[arg(value_name = "TASK_FILE")]
    pub files: Vec<PathBuf>,
}

/// A scratch repository in which nothing has happened yet.
#[derive(Debug)]
pub struct Prepared {
    /// The call, in the scratch repository.
    pub call: Call,
    dir: PathBuf,
    /// Removed when it is dropped; none for a directory that stays in any case.
    temporary: Option<TempDir>,
    begun: Instant,
}

/// Makes the scratch repository with its tasks. Nothing runs yet.
///
/// # Errors
/// When git is missing, the directory is not empty, or something cannot be written.
pub fn prepare(call: &Call, args: &Demo) -> Result<Prepared> {
    let watched = call.interactive && !call.output.json && !args.headless;
    let begun = Instant::now();
    let mut temporary = None;
    let dir = match &args.dir {
        Some(dir) => scratch::empty_dir(call.globals.dir.join(dir))?,
        None => {
            let made = tempfile::Builder::new().prefix("pipeline-demo-").tempdir()?;
            let dir = made.path().canonicalize()?;
            temporary = Some(made);
            dir
        }
    };
    if args.keep
        && let Some(made) = temporary.take()
    {
        // Only its removal is wanted back.
        let _kept = made.keep();
    }
    let call = scratch::make(call, &dir, if watched { PACE_WATCHED } else { Duration::ZERO })?;
    Ok(Prepared { call, dir, temporary, begun })
}

/// Runs the demonstration without a dashboard.
///
/// # Errors
/// When it could not be prepared or supervised.
pub fn run(call: &Call, args: &Demo) -> Result<u8> {
    let prepared = prepare(call, args)?;
    call.output.note(&format!("A demonstration in {}: scripted agents, no model.", prepared.dir.display()));
    let ending = match headless::run(&prepared.call, prepared.begun) {
        Ok(ending) => ending,
        Err(error) => {
            // What is live would otherwise go on in a directory that is being removed.
            prepared.stop_agents();
            return Err(error);
        }
    };
    if ending != Ending::Completed {
        prepared.stop_agents();
    }
    let outcome = verdict::judge(&prepared.call, prepared.begun, Some(ending))?;
    verdict::print(&prepared.call.output, &outcome)?;
    prepared.leave(outcome.missing.is_empty());
    Ok(match ending {
        Ending::Interrupted => exit::INTERRUPTED,
        Ending::Completed | Ending::Stuck | Ending::Late if outcome.missing.is_empty() => exit::OK,
        Ending::Completed | Ending::Stuck | Ending::Late => exit::FAILED,
    })
}

/// After the dashboard was left: stops what still runs, says what came of it, and removes the repository if nothing in
/// it is unmerged.
///
/// # Errors
/// When the state cannot be read.
pub fn finish(prepared: Prepared) -> Result<u8> {
    prepared.stop_agents();
    let outcome = verdict::judge(&prepared.call, prepared.begun, None)?;
    if outcome.all_merged() {
        verdict::print(&prepared.call.output, &outcome)?;
    } else {
        prepared.call.output.note(&outcome.unfinished());
    }
    prepared.leave(outcome.all_merged());
    Ok(exit::OK)
}

/// The scripted agent.
///
/// # Errors
/// When it was not started by a supervisor, or its work fails.
pub fn agent(call: &Call, args: &DemoAgent) -> Result<u8> {
    agent::run(call, args)
}

impl Prepared {
    /// Ends every live run by the verb that does so; their work is kept on the tasks' branches.
    fn stop_agents(&self) {
        let live = self.call.context().and_then(|context| {
            let engine = crate::engine::Engine::open(&context)?;
            Ok(!engine.pipeline().core.runs.is_empty())
        });
        if live == Ok(false) {
            return;
        }
        let answer = dispatch::answer(&self.call.globals, &["agent", "stop", "--all"].map(str::to_owned));
        let result = if answer.code == exit::OK { "the agents were stopped".to_owned() } else { answer.text };
        self.call.output.note(&result);
    }

    /// Removes the repository, or says where it is.
    fn leave(self, settled: bool) {
        let output = &self.call.output;
        match self.temporary {
            Some(temporary) if settled => {
                if let Err(error) = temporary.close() {
                    output.note(&format!("{} could not be removed: {error}", self.dir.display()));
                }
            }
            other => {
                // Only its removal is wanted back.
                let _kept = other.map(TempDir::keep);
                output.note(&format!("The repository is kept: pipeline -C {}", self.dir.display()));
                if !settled {
                    output.note("Stopped agents work again after: pipeline agent start --all");
                }
            }
        }
    }
}
