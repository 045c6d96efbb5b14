//! What live runs tell of their use of models: their streams read on from where they were read to, while there is a budget
//! that it matters for. What follows from it is decided elsewhere.
//!
//! A session in a terminal draws for people; what it used stands in the transcript that its program keeps, where a hook of
//! it names that. The time of all counts, whatever they tell.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};
use pipeline_lib::agents::Format;
use pipeline_lib::agents::meter::Meter;
use pipeline_lib::agents::stream::OUTPUT_BYTES_MAX;
use pipeline_lib::event::Event;
use pipeline_lib::ids::RunId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Phase, Run, Usage, Work};
use pipeline_worktrees::host::{self, Stream};

use super::session;
use crate::context::Context;

/// How often streams are read on while nothing else happens: what agents print wakes nobody.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How much is read at a time.
const PIECE_BYTES: usize = 1024 * 1024;
/// How much of a transcript is read in one look; the next one goes on.
const LOOK_BYTES_MAX: usize = 64 * PIECE_BYTES;

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
        let at_work = |run: &&Run| matters && matches!(run.phase, Phase::Started { .. });
        let live = pipeline.core.runs.values().filter(at_work).filter_map(|run| Some((run, format(pipeline, run)?)));
        let live: Vec<(&Run, Format)> = live.collect();
        self.runs.retain(|id, _| live.iter().any(|(run, _)| run.id == *id));
        self.last = Some(Instant::now());
        let now = Zoned::now();
        let mut told = Vec::new();
        for (run, format) in live {
            let reading = self.runs.entry(run.id.clone()).or_default();
            let dir = context.run_dir(&run.id);
            let read = match run.interactive {
                true => reading.read_transcript(&dir, run, format, &now),
                false => reading.read_stream(&dir, format, &now),
            };
            if let Err(error) = read {
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
    fn read_stream(&mut self, dir: &Path, format: Format, now: &Zoned) -> std::io::Result<()> {
        loop {
            let piece =
                host::read_log(dir, Stream::Stdout, self.read_to, PIECE_BYTES).map_err(std::io::Error::other)?;
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

    /// Reads what was added to the transcript of a session. One that is gone on with has messages of earlier runs.
    fn read_transcript(&mut self, dir: &Path, run: &Run, format: Format, now: &Zoned) -> std::io::Result<()> {
        let Some(path) = session::transcript(dir) else { return Ok(()) };
        // The agent named it: nothing is waited for, and nothing but numbers is taken from it.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let mut file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut bytes = Vec::new();
        file.take(LOOK_BYTES_MAX as u64).read_to_end(&mut bytes)?;
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // A line without an end is passed over, or nothing would be read any more.
            None if bytes.len() >= LOOK_BYTES_MAX => bytes.len(),
            None => 0,
        };
        let since = run.started_at.unwrap_or(run.claimed_at);
        for line in bytes.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            if written_at(line).is_some_and(|at| at >= since) {
                self.meter.read(format, line, now);
            }
        }
        self.read_to += whole as u64;
        Ok(())
    }
}

/// When an entry of a transcript was written.
fn written_at(line: &[u8]) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        timestamp: &'a str,
    }
    serde_json::from_slice::<Entry<'_>>(line).ok()?.timestamp.parse().ok()
}

/// What a session that has ended used, by the transcript of its program; nothing where there is none.
pub(super) fn of_session(pipeline: &Pipeline, run: &Run, dir: &Path) -> Usage {
    let Some(format) = format(pipeline, run) else { return Usage::default() };
    let mut reading = Reading::default();
    if let Err(error) = reading.read_transcript(dir, run, format, &Zoned::now()) {
        tracing::warn!(run = %run.id, %error, "what a session has used cannot be read");
    }
    reading.meter.used()
}

/// How what a run tells is read, if it can tell anything.
fn format(pipeline: &Pipeline, run: &Run) -> Option<Format> {
    let format = pipeline.core.agents.get(&run.agent).filter(|_| run.work == Work::Agent)?.preset.info().format;
    let tells = match run.interactive {
        // Its transcript has the messages of its stream, or others that are read with them.
        true => matches!(format, Format::ClaudeJson | Format::GeminiJson | Format::CodexJson | Format::OpencodeJson),
        false => format != Format::Plain,
    };
    tells.then_some(format)
}
