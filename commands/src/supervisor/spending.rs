//! What live runs tell of their use of models: their streams read on from where they were read to, while there is a budget
//! that it matters for. What follows from it is decided elsewhere.
//!
//! Sessions in a terminal draw for people and tell nothing here; their time counts all the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Zoned;
use pipeline_lib::agents::Format;
use pipeline_lib::agents::meter::Meter;
use pipeline_lib::agents::stream::OUTPUT_BYTES_MAX;
use pipeline_lib::event::Event;
use pipeline_lib::ids::RunId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Phase, Run, Work};
use pipeline_worktrees::host::{self, HostError, Stream};

use crate::context::Context;

/// How often streams are read on while nothing else happens: what agents print wakes nobody.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How much is read at a time.
const PIECE_BYTES: usize = 1024 * 1024;

/// The meters of live runs.
#[derive(Debug, Default)]
pub(super) struct Meters {
    runs: HashMap<RunId, Reading>,
    last: Option<Instant>,
}

/// A meter and how far its stream has been read.
#[derive(Debug, Default)]
struct Reading {
    meter: Meter,
    read_to: u64,
}

impl Meters {
    /// When to read on even if nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.last.filter(|_| !self.runs.is_empty()).map(|last| last + LOOK_EVERY)
    }

    /// Reads on, and says what all live runs have told so far.
    pub(super) fn look(&mut self, context: &Context, pipeline: &Pipeline) -> Option<Event> {
        let budgets = &pipeline.core.settings.budgets;
        let matters = [budgets.task, budgets.agent, budgets.day].iter().any(|of| of.tokens > 0 || of.cost_usd > 0.0);
        let live =
            pipeline.core.runs.values().filter(|_| matters).filter_map(|run| Some((run, format(pipeline, run)?)));
        let live: Vec<(&Run, Format)> = live.collect();
        self.runs.retain(|id, _| live.iter().any(|(run, _)| run.id == *id));
        self.last = Some(Instant::now());
        let now = Zoned::now();
        let mut told = Vec::new();
        for (run, format) in live {
            let reading = self.runs.entry(run.id.clone()).or_default();
            if let Err(error) = reading.read_on(context, run, format, &now) {
                tracing::warn!(run = %run.id, %error, "what a run has used cannot be read");
            }
            let used = reading.meter.used();
            if !used.is_empty() {
                told.push((run.id.clone(), used));
            }
        }
        (!told.is_empty()).then_some(Event::Used(told))
    }
}

impl Reading {
    fn read_on(&mut self, context: &Context, run: &Run, format: Format, now: &Zoned) -> Result<(), HostError> {
        let dir = context.run_dir(&run.id);
        loop {
            let piece = host::read_log(&dir, Stream::Stdout, self.read_to, PIECE_BYTES)?;
            // As at its end: of a very long output the last part counts.
            let first = piece.end.saturating_sub(OUTPUT_BYTES_MAX as u64);
            if self.read_to < first && piece.from < first {
                self.read_to = first;
                continue;
            }
            self.meter.read(format, &piece.bytes, now);
            self.read_to = piece.from + piece.bytes.len() as u64;
            if piece.bytes.is_empty() || self.read_to >= piece.end {
                return Ok(());
            }
        }
    }
}

/// How the stream of a run is read, if it is at work and has one that can tell anything.
fn format(pipeline: &Pipeline, run: &Run) -> Option<Format> {
    let at_work = run.work == Work::Agent && matches!(run.phase, Phase::Started { .. }) && !run.interactive;
    let format = pipeline.core.agents.get(&run.agent).filter(|_| at_work)?.preset.info().format;
    (format != Format::Plain).then_some(format)
}
