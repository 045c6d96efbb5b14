//! `pipeline explain AGENT --actually WORD`: a person says what an agent really does. That holds until the agent is heard of
//! again, and the moment is kept as a file, by which the rules can be mended.

use jiff::Timestamp;
use pipeline_lib::agents::preset::Preset;
use pipeline_lib::ids::AgentName;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::status::fixture::Fixture;
use pipeline_lib::status::{Correction, Dialog, Doing};
use pipeline_worktrees::process::Table;

use crate::context::Context;
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};
use crate::supervisor::{replace_file, session};

/// What may be said.
const WORDS: [(&str, Doing); 7] = [
    ("working", Doing::Working),
    ("background", Doing::Background),
    ("permission", Doing::Permission),
    ("question", Doing::Question),
    ("dialog", Doing::Dialog(Dialog::Unknown)),
    ("turn-ended", Doing::TurnEnded),
    ("stuck", Doing::Stuck),
];

pub(super) fn run(call: &Call, context: &Context, pipeline: &Pipeline, agent: &str, word: &str) -> Result<u8> {
    let Some((_, doing)) = WORDS.iter().find(|(known, _)| *known == word) else {
        let known: Vec<&str> = WORDS.iter().map(|(known, _)| *known).collect();
        let word = pipeline_lib::text::one_line(word, 40);
        return Err(
            CommandError::usage(format!("unknown word `{word}`")).hint(format!("There are {}.", known.join(", ")))
        );
    };
    let name = AgentName::new(agent).ok();
    let found = name.as_ref().and_then(|name| pipeline.core.agents.get_key_value(name));
    let Some((name, agent)) = found else {
        let name = pipeline_lib::text::one_line(agent, 80);
        return Err(CommandError::not_found(format!("there is no agent `{name}`"))
            .hint("`pipeline agent list` shows who there is."));
    };
    let run = agent.run.as_ref().and_then(|run| pipeline.core.runs.get(run));
    let sight = run.and_then(|run| Some((run, session::look(context, pipeline, run, &Table::read())?)));
    let Some((run, sight)) = sight else {
        return Err(CommandError::failed(format!("{name} has no session now, and nothing to be corrected"))
            .hint(format!("`pipeline explain {name}` says why it is in its state.")));
    };
    let now = Timestamp::now();
    let correction = Correction { doing: doing.clone(), at: now };
    replace_file(&context.run_dir(&run.id).join(session::SAID), &serde_json::to_vec(&correction)?)?;
    let about = format!("a person said so of {name} at {now}");
    let preset: Preset = agent.preset;
    let lines = sight.lines.as_deref();
    let fixture = Fixture::record(&about, preset, &sight.observed, lines, now, (doing, &sight.derived.doing));
    let dir = context.folder().join("runs").join("corrections");
    std::fs::create_dir_all(&dir)?;
    let file = dir.join(format!("{}-{name}.json", now.as_second()));
    replace_file(&file, &serde_json::to_vec_pretty(&fixture)?)?;
    let file = file.display().to_string();
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": 1, "agent": name, "said": word, "kept": file }))?;
    } else {
        call.output.line(&format!("{name} counts as {word} until it is heard of again"))?;
        call.output.note(&format!("The moment is kept in {file}; it holds what was on the screen."));
    }
    Ok(exit::OK)
}
