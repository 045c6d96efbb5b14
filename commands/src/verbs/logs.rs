//! `pipeline logs`: what the supervisor wrote about itself, or what a run's program printed. Nothing that others printed
//! reaches a terminal as it is: escape sequences are taken out unless the output goes to a file and `--raw` asks for them.

mod follow;
mod lines;
mod of_run;
mod own;

use std::io::IsTerminal;

pub(crate) use lines::Lines;
pub(crate) use own::newest;

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};

/// How many lines are shown before following, if the person does not say.
const LINES_BEFORE_FOLLOWING: usize = 50;

/// Print what agents and the supervisor wrote.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Go on with what is written from now on; ends when the run ends
    #[arg(short, long)]
    pub follow: bool,
    /// The present run of this agent, or else its latest
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// The present run of this task, or else its latest
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// This run
    #[arg(long, value_name = "ID", conflicts_with_all = ["agent", "task"])]
    pub run: Option<String>,
    /// Of the supervisor's log only this level and above: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", conflicts_with_all = ["agent", "task", "run"])]
    pub level: Option<lines::Level>,
    /// Begin with the last N lines
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<usize>,
    /// Leave escape sequences in; refused on a terminal
    #[arg(long)]
    pub raw: bool,
}

impl Logs {
    /// How many lines are shown of what is there already.
    fn last(&self) -> usize {
        self.lines.unwrap_or(if self.follow { LINES_BEFORE_FOLLOWING } else { usize::MAX })
    }
}

/// Prints a log.
///
/// # Errors
/// When a named task, agent or run does not exist, or the log cannot be read.
pub fn run(call: &Call, args: &Logs) -> Result<u8> {
    if args.raw && std::io::stdout().is_terminal() {
        return Err(CommandError::usage("what agents print may hold escape sequences that change your terminal")
            .hint("Leave `--raw` out, or send the output to a file."));
    }
    if args.agent.is_none() && args.task.is_none() && args.run.is_none() {
        own::print(call, args)?;
        return Ok(exit::OK);
    }
    let context = call.context()?.not_configuring();
    let mut engine = Engine::open(&context)?;
    of_run::print(call, args, &context, &mut engine)?;
    Ok(exit::OK)
}
