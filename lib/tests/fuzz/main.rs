//! Everything that this program reads from agents, files and other processes, fed with what it was not made for. The
//! inputs it begins from are in `corpus/`; an input that ever broke something is kept there.
//!
//! `PIPELINE_LONG=1 cargo test --release -p pipeline-lib --test fuzz` tries a thousand times as many.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the room is pure; what tests it is not")]

mod engine;

use engine::fuzz;
use jiff::Zoned;
use pipeline_lib::agents::stream::{Format, summarize};
use pipeline_lib::agents::transcript::Transcript;
use pipeline_lib::claim::{decide, marker, outcome};
use pipeline_lib::fact::Fact;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::registry::expression::Expression;
use pipeline_lib::terminal::capture::State;
use pipeline_lib::terminal::document::Document;
use pipeline_lib::terminal::wire::{Decoder, Reply, Request};
use pipeline_lib::terminal::{Size, sgr};
use pipeline_lib::workflow::schedule::Schedule;
use pipeline_lib::workflow::{execute_block, hub, parse, render};
use pipeline_lib::{globs, registry, text};
use serde_json::Value;

/// No text we make of a stranger's bytes may have a control character but these.
fn assert_safe(text: &str) {
    let wild = text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
    assert!(wild.is_none(), "{wild:?} in {text:?}");
}

fn now() -> Zoned {
    "2026-07-24T10:00:00[UTC]".parse().expect("a time")
}

#[test]
fn markers_and_outcomes() {
    fuzz("marker", 4_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some(marker) = marker::parse(&text) {
            assert_safe(marker.reason.as_deref().unwrap_or_default());
        }
    });
    fuzz("outcome", 4_000, |bytes| {
        if let Ok(outcome) = outcome::Outcome::parse(bytes) {
            let again = outcome::Outcome::parse(outcome.render().as_bytes());
            assert_eq!(again.ok(), Some(outcome), "what we write we can read");
        }
    });
}

#[test]
fn decisions() {
    let choices = ["success", "rework", "failed"];
    fuzz("decision", 4_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let pipeline_lib::claim::Decision::Chosen { choice, .. } = decide(&text, &choices) {
            assert!(choices.contains(&choice.as_str()), "{choice} is none of the choices");
        }
        drop(execute_block::parse(&text));
        drop(hub::fingerprint(&pipeline_lib::ids::StageId::new("s").expect("an id"), &text));
    });
}

#[test]
fn agent_streams() {
    let formats = [
        Format::Auto,
        Format::CodexJson,
        Format::ClaudeJson,
        Format::GeminiJson,
        Format::OpencodeJson,
        Format::GooseJson,
        Format::Aider,
        Format::Plain,
    ];
    fuzz("stream", 1_500, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for format in formats {
            let summary = summarize(format, &text, &now());
            assert_safe(&summary.last_line);
            let mut transcript = Transcript::new(format);
            text.lines().for_each(|line| drop(transcript.line(line)));
        }
    });
}

#[test]
fn workflows_registries_and_templates() {
    fuzz("workflow", 1_500, |bytes| {
        let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
        if let Ok((workflow, _)) = parse::parse(&document, None) {
            let text = serde_json::to_string(&workflow).expect("a workflow is written");
            let again: pipeline_lib::workflow::Workflow = serde_json::from_str(&text).expect("and read");
            assert_eq!(again, workflow);
        }
        drop(registry::parse::parse(&document));
    });
    fuzz("template", 3_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let vars = serde_json::json!({ "version": "1.0", "list": [1, 2], "task": { "id": "T" } });
        drop(render::text(&text, &vars));
        drop(render::shell(&text, &vars));
        drop(Expression::parse(&text).map(|expression| expression.holds(&vars)));
        drop(Schedule::parse(&text).map(|schedule| schedule.next_after(now().timestamp())));
        assert_eq!(globs::overlap(&text, "src/**"), globs::overlap("src/**", &text), "{text}");
    });
}

#[test]
fn facts_and_checkpoints() {
    fuzz("fact", 4_000, |bytes| {
        let mut pipeline = Pipeline::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Ok(fact) = serde_json::from_slice::<Fact>(line) {
                // Whatever order facts come in, applying them never fails.
                pipeline.apply(now().timestamp(), &fact);
            }
        }
        drop(serde_json::from_slice::<Pipeline>(bytes));
    });
}

#[test]
fn terminals() {
    fuzz("terminal", 2_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut reader = sgr::Reader::default();
        let mut document = Document::new(20);
        for line in text.lines() {
            for piece in sgr::pieces(line) {
                let line = reader.line(piece);
                assert_safe(&line.text());
                document.push(line);
            }
        }
        drop(document.frame(Size { columns: 20, rows: 5 }, 3));
        document.set_columns(1);
        drop(document.frame(Size { columns: 2, rows: 2 }.clamped(), usize::MAX));
        drop(State::parse(&text).map(|state| state.frame(&text, 0, 0)));
        assert_safe(&text::safe(&text, 2_000));
        assert!(!text::one_line(&text, 80).contains('\n'));
    });
    fuzz("wire", 4_000, |bytes| {
        let (mut requests, mut replies) = (Decoder::default(), Decoder::default());
        requests.push(bytes);
        replies.push(bytes);
        while let Ok(Some(_)) = requests.next_message::<Request>() {}
        while let Ok(Some(_)) = replies.next_message::<Reply>() {}
    });
}
