//! `pipeline rollout`: from shadow to pilot to production on recorded evidence, and back at any time. What counts as
//! evidence is lib's rule; here it is gathered and shown.

mod ground;
mod history;
mod variants;

use pipeline_lib::event::Request;
use pipeline_lib::mode::{Mode, Rollout as Stage};
use pipeline_lib::rollout::{Readiness, readiness};
use pipeline_lib::view::SCHEMA_VERSION;

use crate::context::Context;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::output::Output;
use crate::table::columns;

/// Check and change the rollout mode on recorded evidence.
#[derive(Debug, clap::Args)]
pub struct Rollout {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done about the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Say whether the evidence allows the next mode; in shadow mode this runs the gate on base
    Check,
    /// Switch to the next bolder mode if the evidence allows it
    Promote,
    /// Switch to the next more careful mode
    Demote,
    /// Show every switch there was, and how variants of agents compare
    History,
}

/// Checks or changes the rollout mode.
///
/// # Errors
/// When the evidence cannot be gathered, or the state cannot be read or written.
pub fn run(call: &Call, args: &Rollout) -> Result<u8> {
    let context = call.context()?;
    let mut engine = Engine::open(&context)?;
    let present = engine.pipeline().core.mode;
    match args.action {
        Action::History => history::print(call, &engine),
        Action::Demote => {
            if let Some(to) = present.rollout.previous() {
                switch(&context, &mut engine, to)?;
            }
            say(call, present, engine.pipeline().core.mode)
        }
        Action::Check | Action::Promote => {
            if present.rollout == Stage::Production {
                return at_the_end(call, args.action);
            }
            let ground = (present.rollout == Stage::Shadow).then(|| ground::gather(call, &context)).transpose()?;
            // The gate may have taken long.
            engine.refresh()?;
            let found = readiness(engine.pipeline(), present.rollout, ground.as_ref());
            match found.to.filter(|_| found.ready && args.action == Action::Promote) {
                Some(to) => {
                    switch(&context, &mut engine, to)?;
                    say(call, present, engine.pipeline().core.mode)
                }
                None => {
                    print(&call.output, &found)?;
                    Ok(if found.ready { exit::OK } else { exit::ATTENTION })
                }
            }
        }
    }
}

fn switch(context: &Context, engine: &mut Engine, rollout: Stage) -> Result<()> {
    engine.ask(context, "rollout", Request::SetRollout { rollout, unready: false })?;
    Ok(())
}

fn at_the_end(call: &Call, action: Action) -> Result<u8> {
    if action == Action::Promote {
        return Err(CommandError::failed("the rollout mode is production, and there is none after it"));
    }
    if call.output.json {
        let found = Readiness { from: Stage::Production, to: None, ready: false, checks: Vec::new() };
        print(&call.output, &found)?;
    } else {
        call.output.line("production: there is no mode after it")?;
    }
    Ok(exit::OK)
}

fn say(call: &Call, from: Mode, to: Mode) -> Result<u8> {
    if call.output.json {
        call.output.json(&serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "from": from.rollout,
            "to": to.rollout,
            "changed": from.rollout != to.rollout,
        }))?;
    } else if from.rollout == to.rollout {
        call.output.line(&format!("{} already", to.rollout.word()))?;
    } else {
        call.output.line(&format!("{} → {}", from.rollout.word(), to.rollout.word()))?;
    }
    Ok(exit::OK)
}

fn print(out: &Output, found: &Readiness) -> Result<()> {
    if out.json {
        let mut document = serde_json::to_value(found)?;
        document["schema_version"] = SCHEMA_VERSION.into();
        return out.json(&document);
    }
    let to = found.to.map_or("nothing", Stage::word);
    let verdict = if found.ready { out.paint("32", "ready") } else { out.paint("33", "not ready") };
    out.line(&format!("{} → {to}: {verdict}", found.from.word()))?;
    let mut rows = Vec::new();
    for check in &found.checks {
        let word = if check.ok { out.paint("32", "ok") } else { out.paint("33", "no") };
        let name = check.name.replace('_', " ");
        // What is needed is said beside what was found, or below it where that is not enough.
        let found = match check.ok && check.found != check.needs {
            true => format!("{} ({})", check.found, check.needs),
            false => check.found.clone(),
        };
        // What was found may be several things; each has its line.
        for (index, part) in found.split("; ").enumerate() {
            let [word, name] = if index == 0 { [&word, &name] } else { [&String::new(), &String::new()] };
            rows.push(vec![format!("  {word}"), name.clone(), part.to_owned()]);
        }
        if !check.ok {
            rows.push(vec![String::new(), String::new(), format!("needs: {}", check.needs)]);
        }
    }
    for line in columns(&rows) {
        out.line(&line)?;
    }
    if found.ready {
        out.note("go on with `pipeline rollout promote`");
    } else if found.from == Stage::Shadow && found.checks.iter().any(|check| check.name == "doctor" && !check.ok) {
        out.note("`pipeline doctor` says what to do about each problem");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::pipeline::Pipeline;
    use pipeline_lib::rollout::Groundwork;

    #[test]
    fn each_check_says_what_was_found_and_what_is_needed() {
        let ground = Groundwork {
            doctor_problems: vec!["agent a: no program".to_owned(), "disk: full".to_owned()],
            workflow_problems: Vec::new(),
            gate_on_base: Some(Ok(())),
        };
        let found = readiness(&Pipeline::default(), Stage::Shadow, Some(&ground));
        let (out, text) = Output::captured();
        print(&out, &found).unwrap();
        let text = text.lock().unwrap();
        let expected = "shadow → pilot: not ready\n  no  doctor        agent a: no program\n                    disk: full\n\
                        \u{20}                   needs: clean\n  ok  workflows     valid\n  ok  gate on base  it passes\n";
        assert!(text.starts_with(expected), "{text}");
    }
}
