//! `pipeline mode`: shows and switches both dimensions of the mode. A bolder rollout needs the evidence, or a person's
//! `--yes`.

use jiff::Timestamp;
use pipeline_lib::event::{Busy, Request};
use pipeline_lib::ids::AgentName;
use pipeline_lib::mode::{MODE_WORDS, Mode, Rollout};
use pipeline_lib::rollout::readiness;
use pipeline_lib::run::StopReason;

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::supervisor::Supervisor;
use crate::verbs::agent::wait_until_over;

/// Show or switch the mode.
#[derive(Debug, clap::Args)]
pub struct ModeArgs {
    /// show, a preset or a mode word; or `set ORCHESTRATION ROLLOUT`
    #[arg(value_name = "WORD", default_value = "show", num_args = 1..=3)]
    pub words: Vec<String>,
    /// Switch once busy agents are done; nothing new starts meanwhile
    #[arg(long, conflicts_with = "force")]
    pub drain: bool,
    /// Stop busy agents; their work is kept on the tasks' branches
    #[arg(long)]
    pub force: bool,
    /// Switch to a bolder rollout mode without the evidence for it
    #[arg(long, short)]
    pub yes: bool,
}

/// Shows or switches the mode.
///
/// # Errors
/// When agents are busy, the evidence is missing, or a word is unknown.
pub fn run(call: &Call, args: &ModeArgs) -> Result<u8> {
    let mut context = call.context()?;
    let mut supervisor = Supervisor::open(&context, "mode")?;
    let engine = supervisor.engine_mut();
    let present = engine.pipeline().core.mode;
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let wanted = match words.as_slice() {
        ["show"] => return show(call, engine),
        ["set", orchestration, rollout] => word(present, orchestration).and_then(|mode| word(mode, rollout))?,
        [one] => word(present, one)?,
        _ => return Err(CommandError::usage("write one word, or `set ORCHESTRATION ROLLOUT`")),
    };
    let bolder = wanted.rollout > present.rollout;
    if bolder && !args.yes {
        // Evidence about base would have to be made first; that is what `rollout promote` does.
        let ready = readiness(engine.pipeline(), present.rollout, None);
        if !(ready.ready && ready.to == Some(wanted.rollout)) {
            return Err(CommandError::new(
                exit::ATTENTION,
                "not_ready",
                format!("the evidence for {} is not there", wanted.rollout.word()),
            )
            .hint("Run `pipeline rollout check` to see it, or repeat with `--yes`."));
        }
    }
    let busy = match (args.drain, args.force) {
        (true, _) => Busy::Drain,
        (_, true) => Busy::Stop,
        _ => Busy::Refuse,
    };
    // A word about the rollout alone leaves a switch that is awaited as it is.
    let rollout = args.words.first().filter(|_| args.words.len() == 1).and_then(|word| Rollout::from_word(word));
    let request = match rollout {
        Some(rollout) => Request::SetRollout { rollout, unready: bolder },
        None => Request::SetMode { mode: wanted, busy, unready: bolder },
    };
    engine.ask(&context, "mode", request)?;
    if args.force {
        // Whether or not anybody ticks: what was asked to stop has stopped when the command returns.
        let stopping = engine.pipeline().core.runs.values().filter(|run| run.stop == Some(StopReason::ModeSwitch));
        let agents: Vec<AgentName> = stopping.map(|run| run.agent.clone()).collect();
        wait_until_over(&mut context, &mut supervisor, &agents)?;
    }
    show(call, supervisor.engine())
}

fn word(mode: Mode, word: &str) -> Result<Mode> {
    mode.with_word(word).ok_or_else(|| {
        CommandError::usage(format!("unknown mode `{word}`")).hint(format!("There are {}.", MODE_WORDS.join(", ")))
    })
}

fn show(call: &Call, engine: &Engine) -> Result<u8> {
    let core = &engine.pipeline().core;
    let busy: Vec<String> = core.runs.values().map(|run| run.agent.to_string()).collect();
    if call.output.json {
        call.output.json(&serde_json::json!({
            "schema_version": 1,
            "generated_at": Timestamp::now(),
            "orchestration_mode": core.mode.orchestration,
            "mode": core.mode.rollout,
            "pending_mode": core.pending_mode,
            "busy": busy,
        }))?;
        return Ok(exit::OK);
    }
    call.output.line(&format!("{} · {}", core.mode.orchestration.word(), core.mode.rollout.word()))?;
    if let Some(pending) = core.pending_mode {
        let to = format!("{} · {}", pending.orchestration.word(), pending.rollout.word());
        call.output.line(&format!("switching to {to} once these are done: {}", busy.join(", ")))?;
    }
    Ok(exit::OK)
}
