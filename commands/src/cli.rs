//! The command line: a list of verbs and their arguments, nothing else. Help texts are the comments of the fields.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::ColorChoice;
use crate::verbs;

/// Exit codes, printed below every help text.
const EXIT_CODES: &str = "\
Exit codes: 0 ok · 1 failed · 2 usage · 3 attention needed or not ready · 4 refused because agents are busy (--drain or \
--force) · 5 not found · 65 corrupt state (see doctor) · 73 cannot write · 75 lock busy, try again · 78 config or workflow \
invalid · 124 timed out · 130 interrupted";

/// A supervisor for teams of coding agents
///
/// Runs each agent in its own git worktree, moves tasks through the stages of a workflow, checks what agents claim, and
/// merges what holds. In a terminal, without a verb, it shows the dashboard; elsewhere it prints the status.
#[derive(Debug, Parser)]
#[command(
    name = "pipeline",
    version,
    after_help = EXIT_CODES,
    after_long_help = format!("Example: pipeline init && pipeline task add \"Add a --json flag\" && pipeline\n\n{EXIT_CODES}"),
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What is said before or behind any verb
    #[command(flatten)]
    pub global: Global,
    /// What to do
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What is said before or behind any verb.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Work in the repository of this directory
    #[arg(
        id = "repository",
        short = 'C',
        value_name = "DIR",
        global = true,
        default_value = ".",
        help_heading = "Global options"
    )]
    pub dir: PathBuf,
    /// Print data as one JSON document
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print no notes
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Say more on stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Global options")]
    pub verbose: u8,
    /// Log at this level and above: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", global = true, env = "PIPELINE_LOG", help_heading = "Global options")]
    #[arg(value_parser = ["off", "error", "warn", "info", "debug", "trace"], hide_possible_values = true)]
    pub log_level: Option<String>,
    /// The same as `--log-level debug`, with backtraces in the log
    #[arg(long, global = true, help_heading = "Global options")]
    pub debug: bool,
    /// Colour the output
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", help_heading = "Global options")]
    pub color: ColorChoice,
    /// Use this file instead of .pipeline/config.toml
    #[arg(long, value_name = "FILE", global = true, help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Leave the mouse to the terminal
    #[arg(long, global = true, hide = true)]
    pub no_mouse: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create a pipeline in this repository
    #[command(after_help = "Example: pipeline init --agent claude --verify 'cargo test' --yes")]
    Init(verbs::init::Init),
    /// Show the whole product at work in a scratch repository, with scripted agents and no model
    #[command(after_help = "Example: pipeline demo --headless")]
    Demo(verbs::demo::Demo),
    /// Supervise: the dashboard in a terminal, a loop with --headless, exactly one tick with --once
    #[command(after_help = "Example: */5 * * * * pipeline -C /srv/project monitor --once")]
    Monitor(verbs::monitor::Monitor),
    /// Print where everything stands
    #[command(after_help = "Example: pipeline status --json | jq .metrics.completion_rate")]
    Status(verbs::status::Status),
    /// Say why a task or an agent is in its state
    #[command(after_help = "Example: pipeline explain TASK-001")]
    Explain(verbs::explain::Explain),
    /// Show or switch how tasks are assigned and which may be acted on
    #[command(after_help = "Example: pipeline mode pipeline --yes\n\
        Presets: traditional = sequential + production, pipeline = parallel + production, test = parallel + pilot")]
    Mode(verbs::mode::ModeArgs),
    /// Say which tasks the pilot may touch
    #[command(after_help = "Example: pipeline pilot add TASK-001 TASK-002")]
    Pilot(verbs::pilot::Pilot),
    /// Check and change the rollout mode on recorded evidence
    #[command(after_help = "Example: pipeline rollout check")]
    Rollout(verbs::rollout::Rollout),
    /// The queue
    #[command(after_help = "Example: pipeline task add \"Parse durations\" --after TASK-001 --priority 2")]
    Task(verbs::task::TaskArgs),
    /// The workers
    #[command(after_help = "Example: pipeline agent stop --all")]
    Agent(verbs::agent::AgentArgs),
    /// For agents: report an outcome without editing a file
    #[command(after_help = "Example: pipeline done --status ok --summary \"tests written\"")]
    Done(verbs::done::Done),
    /// Print what agents and the supervisor wrote
    #[command(after_help = "Example: pipeline logs -f --agent architect")]
    Logs(verbs::logs::Logs),
    /// Print the journal as JSON lines
    #[command(after_help = "Example: pipeline events -f --since 120")]
    Events(verbs::events::EventsArgs),
    /// Say that something happened: the rules of the registry choose the workflow that is started
    #[command(
        after_help = "Example: pipeline event bug_report --param severity=4 --param bug_report='shares are lost'"
    )]
    Event(verbs::event::EventArgs),
    /// Wait until tasks are completed, a person is needed, or nothing is left to do
    #[command(after_help = "Example: pipeline wait TASK-001 --for completed --timeout 1h")]
    Wait(verbs::wait::Wait),
    /// Predict what would happen: the same rules on a clock of their own, with agents as fast as yours were
    ///
    /// Nothing is started or changed. Durations and failures are drawn from the runs on record; what is taken for granted
    /// is said. Without --tasks everything unfinished is played from where it stands.
    #[command(after_help = "Example: pipeline simulate --from-state --agents implementation=3")]
    Simulate(verbs::simulate::Simulate),
    /// Put one task on a workflow and follow it to its end
    ///
    /// Exits with 0 when the end of the workflow was reached, with 1 when it was not, and with 3 when it waits for a person and
    /// stdin is no terminal. Ctrl-C leaves the task where it is; `pipeline run --resume TASK` follows it again.
    #[command(after_help = "Example: pipeline run release --param version=1.2.0 --pause-before-stage 3")]
    Run(verbs::run::Run),
    /// Run the workflow of a file; otherwise the same as `run`
    #[command(after_help = "Example: pipeline execute-pipeline --template templates/unit-test-pipeline.json --dry-run")]
    ExecutePipeline(verbs::run::ExecutePipeline),
    /// Run a workflow by its name; the same as `workflow run`
    #[command(after_help = "Example: pipeline execute-workflow --workflow code_quality")]
    ExecuteWorkflow(verbs::run::ExecuteWorkflow),
    /// The maps that tasks travel
    #[command(after_help = "Example: pipeline workflow validate")]
    Workflow(verbs::workflow::WorkflowArgs),
    /// Take back the last command that changed the state, where nothing has been built on it
    #[command(after_help = "Example: pipeline undo --dry-run")]
    Undo(verbs::undo::Undo),
    /// Work that was kept from being lost
    #[command(after_help = "Example: pipeline trash restore before-r0k2 --branch saved")]
    Trash(verbs::trash::Trash),
    /// Check the installation and the state, and mend what can be mended
    #[command(after_help = "Example: pipeline doctor --repair")]
    Doctor(verbs::doctor::Doctor),
    /// The configuration in force
    #[command(after_help = "Example: pipeline config show --origin")]
    Config(verbs::config::ConfigArgs),
    /// Print the JSON Schema of a document
    #[command(after_help = "Example: pipeline schema status")]
    Schema(verbs::schema::Schema),
    /// Print a completion script for a shell
    #[command(after_help = "Example: pipeline completions bash > ~/.local/share/bash-completion/completions/pipeline")]
    Completions(verbs::completions::Completions),
    /// Print the manual page
    #[command(after_help = "Example: pipeline man | man -l -")]
    Man(verbs::completions::Man),
    /// What an agent's program calls to say what it does
    #[command(hide = true)]
    Hook(verbs::hook::HookArgs),
    /// The scripted agent of the demonstration
    #[command(hide = true)]
    DemoAgent(verbs::demo::DemoAgent),
}

impl Verb {
    /// Whether it may tick, and so logs into files.
    pub(crate) fn ticks(&self) -> bool {
        let runs = matches!(self, Self::Run(_) | Self::ExecutePipeline(_) | Self::ExecuteWorkflow(_));
        let workflow =
            matches!(self, Self::Workflow(args) if matches!(args.action, verbs::workflow::Action::Run { .. }));
        runs || workflow || matches!(self, Self::Monitor(_) | Self::Demo(_))
    }
}
