//! `pipeline explain`: why a task or an agent is in its state. What is said comes from the same rules that decide; nothing
//! is guessed here.

mod correct;

use jiff::Timestamp;
use pipeline_lib::ids::AgentName;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::view::{Explanation, SCHEMA_VERSION, Seen, explain_agent, explain_task};

use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::supervisor::look;

/// Say why a task or an agent is in its state.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The task or the agent
    #[arg(value_name = "TASK|AGENT")]
    pub subject: String,
    /// Say what the agent really does, where that is wrong: working, background, permission, question, dialog,
    /// turn-ended, stuck
    #[arg(long, value_name = "WORD")]
    pub actually: Option<String>,
}

/// Explains a task or an agent.
///
/// # Errors
/// When there is neither a task nor an agent of this name.
pub fn run(call: &Call, args: &Explain) -> Result<u8> {
    let context = call.context()?;
    let engine = Engine::open(&context)?;
    let pipeline = engine.pipeline();
    if let Some(word) = &args.actually {
        return correct::run(call, &context, pipeline, &args.subject, word);
    }
    let explanation = explain(pipeline, &args.subject, || look(&context, pipeline))?;
    if call.output.json {
        let mut document = serde_json::to_value(&explanation)?;
        document["schema_version"] = SCHEMA_VERSION.into();
        call.output.json(&document)?;
    } else {
        print(&call.output, &explanation, Timestamp::now())?;
    }
    Ok(exit::OK)
}

fn explain(pipeline: &Pipeline, subject: &str, look: impl FnOnce() -> Seen) -> Result<Explanation> {
    if let Some(task) = pipeline.task(subject) {
        return Ok(explain_task(pipeline, task));
    }
    let agent = AgentName::new(subject).ok().and_then(|name| pipeline.core.agents.get_key_value(&name));
    if let Some((name, agent)) = agent {
        return Ok(explain_agent(pipeline, name, agent, &look()));
    }
    if let Some(archived) = pipeline.core.archived.get(subject) {
        return Ok(Explanation {
            subject: subject.to_owned(),
            status: archived.status.clone(),
            rule: "it is finished and left the live state; the journal still has its events".to_owned(),
            observations: vec![format!("finished at {}: {}", archived.finished_at, archived.title)],
            would_change: Vec::new(),
            commands: vec![format!("pipeline events --task {subject}")],
        });
    }
    let name = pipeline_lib::text::one_line(subject, 80);
    Err(CommandError::not_found(format!("there is no task and no agent `{name}`"))
        .hint("`pipeline task list` and `pipeline agent list` show what there is."))
}

fn print(out: &Output, explanation: &Explanation, now: Timestamp) -> Result<()> {
    let indented = |text: &str| indented(&with_distances(text, now));
    out.line(&format!("{} is {}", explanation.subject, out.paint("1", &explanation.status)))?;
    out.line(&format!("  because  {}", indented(&explanation.rule)))?;
    let parts =
        [("seen", &explanation.observations), ("until", &explanation.would_change), ("type", &explanation.commands)];
    for (heading, lines) in parts {
        for (index, line) in lines.iter().enumerate() {
            let heading = if index == 0 { heading } else { "" };
            out.line(&format!("  {}  {}", out.paint("2", &format!("{heading:<7}")), indented(line)))?;
        }
    }
    Ok(())
}

/// A text with how far each time in it is from now behind it.
fn with_distances(text: &str, now: Timestamp) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let time = bare.trim_end_matches(['.', ',', ';', ':', ')', '`']);
        match time.parse::<Timestamp>() {
            Ok(at) => {
                let seconds = at.duration_since(now).as_secs();
                let span = distance(seconds.unsigned_abs());
                let near = if seconds > 0 { format!("in {span}") } else { format!("{span} ago") };
                out.push_str(&format!("{time} ({near}){}{}", &bare[time.len()..], &word[bare.len()..]));
            }
            Err(_) => out.push_str(word),
        }
    }
    out
}

/// So many seconds in the largest unit that they fill.
fn distance(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text of several lines, its later lines under its first.
fn indented(text: &str) -> String {
    pipeline_lib::text::safe(text.trim_end(), 4_000).replace('\n', "\n           ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_named_safely() {
        let error = explain(&Pipeline::default(), "\u{1b}[31mX", Seen::new).unwrap_err();
        assert_eq!(error.code, exit::NOT_FOUND);
        assert!(!error.message.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn a_time_says_how_far_it_is() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("since 2026-01-01T23:55:00Z, as seen", "since 2026-01-01T23:55:00Z (5m ago), as seen"),
            ("the time 2026-01-02T00:00:30Z", "the time 2026-01-02T00:00:30Z (in 30s)"),
            ("no time\nhere", "no time\nhere"),
        ] {
            assert_eq!(with_distances(text, now), expected);
        }
    }

    #[test]
    fn an_explanation_is_read_from_top_to_bottom() {
        let (out, text) = Output::captured();
        let explanation = Explanation {
            subject: "TASK-001".to_owned(),
            status: "blocked".to_owned(),
            rule: "it failed:\nthe gate".to_owned(),
            observations: vec!["one".to_owned(), "two".to_owned()],
            would_change: Vec::new(),
            commands: vec!["pipeline task retry TASK-001".to_owned()],
        };
        print(&out, &explanation, Timestamp::UNIX_EPOCH).unwrap();
        let expected = "TASK-001 is blocked\n  because  it failed:\n           the gate\n  seen     one\n           two\n  \
                        type     pipeline task retry TASK-001\n";
        assert_eq!(*text.lock().unwrap(), expected);
    }
}
