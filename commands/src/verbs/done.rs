//! `pipeline done`: an agent reports the outcome of its run. It finds the task and the run in its environment.

use jiff::Timestamp;
use pipeline_lib::claim::ClaimStatus;
use pipeline_lib::event::Request;
use pipeline_lib::ids::{RunId, TaskId};
use pipeline_lib::run::{Claim, ClaimSource};
use pipeline_lib::text;

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};

/// The longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 4_000;

/// Report an outcome.
#[derive(Debug, clap::Args)]
pub struct Done {
    /// The task; `$PIPELINE_TASK_ID` if not given
    #[arg(long, value_name = "T")]
    pub task: Option<String>,
    /// The run; `$PIPELINE_RUN_ID` if not given
    #[arg(long, value_name = "R")]
    pub run: Option<String>,
    /// ok, failed, blocked or needs-review
    #[arg(long, value_name = "S")]
    pub status: String,
    /// The decision, where the stage lists several
    #[arg(long, value_name = "D")]
    pub decision: Option<String>,
    /// What was done, or what is in the way
    #[arg(long, value_name = "TEXT")]
    pub summary: Option<String>,
}

/// Records the claim of a run.
///
/// # Errors
/// When the run is not live, belongs to another task, or a word is unknown.
pub fn run(call: &Call, args: &Done) -> Result<u8> {
    let status = ClaimStatus::from_outcome_word(&args.status).ok_or_else(|| {
        CommandError::usage(format!("unknown status `{}`", args.status))
            .hint("There are ok, failed, blocked and needs-review.")
    })?;
    let from_environment = |name: &str| call.globals.environment.get(name).cloned();
    let task = args.task.clone().or_else(|| from_environment("PIPELINE_TASK_ID"));
    // The run in the environment belongs to the task in the environment, not to one that is named.
    let run = args.run.clone().or_else(|| args.task.is_none().then(|| from_environment("PIPELINE_RUN_ID")).flatten());
    if task.is_none() && run.is_none() {
        return Err(CommandError::usage("neither a task nor a run is named")
            .hint("Add `--task T`, or run this inside an agent's worktree, where the environment names them."));
    }
    if let Some(file) = from_environment("PIPELINE_OUTCOME_FILE").filter(|_| is_confined(call)) {
        return leave(call, args, status, run.as_deref(), std::path::Path::new(&file));
    }
    let context = call.context()?.not_configuring();
    let mut engine = Engine::open(&context)?;
    let claim = Claim {
        status,
        decision: args.decision.clone(),
        summary: args.summary.as_deref().map(|words| text::safe(words, SUMMARY_CHARS_MAX)),
        source: ClaimSource::Command,
        at: Timestamp::now(),
    };
    let request = Request::Done {
        task: task.as_deref().map(TaskId::new).transpose()?,
        run: run.as_deref().map(RunId::new).transpose()?,
        claim,
    };
    engine.ask(&context, "agent", request)?;
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "status": status.outcome_word() }))?;
    } else {
        call.output.note("Recorded. Nothing more is expected of you for this stage.");
    }
    Ok(exit::OK)
}

/// Whether we are below an agent that cannot see the state.
fn is_confined(call: &Call) -> bool {
    call.globals.environment.get(crate::supervisor::SANDBOX_VARIABLE).is_some_and(|level| level != "off")
}

/// Leaves the outcome where the supervisor looks for it: a confined agent sees nothing of the state.
fn leave(call: &Call, args: &Done, status: ClaimStatus, run: Option<&str>, file: &std::path::Path) -> Result<u8> {
    let outcome = serde_json::json!({
        "run": run, "status": status.outcome_word(), "decision": args.decision,
        "summary": args.summary.as_deref().map(|words| text::safe(words, SUMMARY_CHARS_MAX)),
    });
    crate::supervisor::replace_file(file, outcome.to_string().as_bytes())
        .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", file.display())))?;
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "status": status.outcome_word() }))?;
    } else {
        call.output.note("Left for the supervisor. Nothing more is expected of you for this stage.");
    }
    Ok(exit::OK)
}
