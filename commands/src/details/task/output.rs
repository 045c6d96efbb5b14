//! The end of what a run printed, readable. Bounded, so that it costs the same whatever the run has written; and read on
//! from where it was read last, so that what two streams print comes in the order in which it was written.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pipeline_lib::agents::transcript::Transcript;
use pipeline_lib::ids::RunId;
use pipeline_lib::terminal::{Line, sgr};
use pipeline_lib::view::detail::task::{Output, RunLine};
use pipeline_worktrees::host::{self, Stream};

/// How much of each stream is read at once; what was written before the end of so much is passed over. In bytes.
const BYTES_MAX: usize = 256 * 1024;
/// How many lines are shown.
const LINES_MAX: usize = 2_000;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Reader {
    last: Option<Followed>,
}

impl Reader {
    /// What there is to see of a run. What cannot be read shows as nothing.
    pub(super) fn read(&mut self, dir: &Path, run: &RunLine) -> Output {
        let present = self.last.take().filter(|last| last.run == run.id);
        let mut present = present.unwrap_or_else(|| Followed::new(dir, run));
        present.read_on(dir);
        let output = Output {
            run: run.id.clone(),
            lines: Arc::clone(&present.shown),
            is_cut: present.is_cut,
            is_gone: run.ended_at.is_some() && !dir.is_dir(),
        };
        self.last = Some(present);
        output
    }
}

/// A run's output as far as it was read.
#[derive(Debug)]
struct Followed {
    run: RunId,
    /// The one that was written to last comes last.
    streams: [Source; 2],
    transcript: Transcript,
    colours: sgr::Reader,
    lines: Vec<Arc<Line>>,
    is_cut: bool,
    /// What is shown: the lines, and behind them those that have no end yet.
    shown: Arc<Vec<Arc<Line>>>,
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    position: u64,
    /// A line that has no end yet.
    rest: Vec<u8>,
    /// Of the first line only the end is left.
    in_line: bool,
}

impl Followed {
    fn new(dir: &Path, run: &RunLine) -> Self {
        let source = |stream| Source { stream, position: 0, rest: Vec::new(), in_line: false };
        let written = |stream: Stream| -> Option<SystemTime> {
            std::fs::metadata(dir.join(stream.file_name())).ok()?.modified().ok()
        };
        let mut streams = [Stream::Stdout, Stream::Stderr];
        if written(Stream::Stdout) > written(Stream::Stderr) {
            streams.reverse();
        }
        Self {
            run: run.id.clone(),
            streams: streams.map(source),
            transcript: Transcript::new(run.format),
            colours: sgr::Reader::default(),
            lines: Vec::new(),
            is_cut: false,
            shown: Arc::default(),
        }
    }

    /// Takes in what is new.
    fn read_on(&mut self, dir: &Path) {
        let mut is_new = false;
        for at in 0..self.streams.len() {
            let printed = self.streams[at].read(dir, &mut self.is_cut);
            is_new |= printed.is_some();
            for line in printed.into_iter().flatten() {
                self.take(at, &line);
            }
        }
        if !is_new {
            return;
        }
        if let Some(surplus) = self.lines.len().checked_sub(LINES_MAX).filter(|surplus| *surplus > 0) {
            self.lines.drain(..surplus);
            self.is_cut = true;
        }
        // Half an event says nothing yet.
        let open = self.streams.iter().map(|source| String::from_utf8_lossy(&source.rest));
        let open = open.filter(|text| !text.is_empty() && !text.starts_with('{'));
        let open = open.map(|text| Arc::new(sgr::Reader::default().line(&text)));
        self.shown = Arc::new(self.lines.iter().cloned().chain(open).collect());
    }

    /// Takes in a line of a stream.
    fn take(&mut self, at: usize, line: &str) {
        for piece in sgr::pieces(line) {
            match self.streams[at].stream {
                Stream::Stdout => {
                    let said = self.transcript.line(piece);
                    if said.grows {
                        self.lines.pop();
                    }
                    self.lines.extend(said.lines.into_iter().map(Arc::new));
                }
                Stream::Stderr => {
                    self.transcript.interrupt();
                    self.lines.push(Arc::new(self.colours.line(piece)));
                }
            }
        }
    }
}

impl Source {
    /// The lines that are whole now; none where nothing is new.
    fn read(&mut self, dir: &Path, is_cut: &mut bool) -> Option<Vec<String>> {
        let end = host::read_log(dir, self.stream, 0, 0).ok()?.end;
        if end <= self.position {
            return None;
        }
        let from = end.saturating_sub(BYTES_MAX as u64);
        if from > self.position {
            (self.position, self.in_line) = (from, true);
            self.rest.clear();
            *is_cut = true;
        }
        let chunk = host::read_log(dir, self.stream, self.position, BYTES_MAX).ok()?;
        self.position = chunk.from + chunk.bytes.len() as u64;
        let mut lines = Vec::new();
        for piece in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            let Some(line) = self.rest.strip_suffix(b"\n") else { continue };
            if !std::mem::take(&mut self.in_line) {
                lines.push(String::from_utf8_lossy(line).into_owned());
            }
            self.rest.clear();
        }
        // A line without an end must not fill the memory.
        if self.rest.len() > BYTES_MAX {
            self.rest.clear();
            (self.in_line, *is_cut) = (true, true);
        }
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use pipeline_lib::agents::stream::Format;
    use pipeline_lib::ids::AgentName;

    fn run(format: Format) -> RunLine {
        RunLine {
            id: RunId::new("r1").unwrap(),
            work: "agent",
            stage: "impl".to_owned(),
            agent: AgentName::new("a").unwrap(),
            attempt: 1,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Some(Timestamp::UNIX_EPOCH),
            how: String::new(),
            verdict: None,
            summary: None,
            commit: None,
            command: None,
            evidence: None,
            usage: Default::default(),
            format,
        }
    }

    fn texts(output: &Output) -> Vec<String> {
        output.lines.iter().map(|line| line.text()).collect()
    }

    #[test]
    fn both_streams_are_shown_and_what_is_new_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = Reader::default();
        let run = run(Format::Plain);
        let file = |stream: Stream| dir.path().join(stream.file_name());
        std::fs::write(file(Stream::Stdout), "one\n").unwrap();
        assert_eq!(texts(&reader.read(dir.path(), &run)), ["one"]);
        std::fs::write(file(Stream::Stderr), "\u{1b}[31mtwo\nthr").unwrap();
        let second = reader.read(dir.path(), &run);
        assert_eq!(texts(&second), ["one", "two", "thr"]);
        assert!(Arc::ptr_eq(&second.lines, &reader.read(dir.path(), &run).lines), "nothing is read twice");
        std::fs::write(file(Stream::Stdout), "one\nfour\n").unwrap();
        assert_eq!(texts(&reader.read(dir.path(), &run)), ["one", "two", "four", "thr"]);
        std::fs::write(file(Stream::Stderr), "\u{1b}[31mtwo\nthree\n").unwrap();
        assert_eq!(texts(&reader.read(dir.path(), &run)), ["one", "two", "four", "three"]);
        let nowhere = dir.path().join("nowhere");
        let gone = reader.read(&nowhere, &run);
        assert!(gone.is_gone && gone.lines.len() == 4, "what was read is still shown");
        let gone = Reader::default().read(&nowhere, &run);
        assert!(gone.is_gone && gone.lines.is_empty());
    }

    #[test]
    fn of_a_long_output_the_end_is_shown_in_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(dir.path().join(Stream::Stdout.file_name()), text).unwrap();
        let output = Reader::default().read(dir.path(), &run(Format::Plain));
        assert_eq!((output.lines.len(), output.is_cut), (LINES_MAX, true));
        assert_eq!(texts(&output).last().map(String::as_str), Some("line 99999"));
        assert_eq!(texts(&output)[0], format!("line {}", 100_000 - LINES_MAX));
    }

    #[test]
    fn a_run_that_prints_faster_than_one_looks_costs_its_end_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(Stream::Stdout.file_name());
        let (mut reader, run) = (Reader::default(), run(Format::Plain));
        std::fs::write(&path, "first\n").unwrap();
        assert!(!reader.read(dir.path(), &run).is_cut);
        let much = "x".repeat(BYTES_MAX * 3);
        std::fs::write(&path, format!("first\n{much}\nlast\n")).unwrap();
        let output = reader.read(dir.path(), &run);
        assert_eq!((texts(&output), output.is_cut), (vec!["first".to_owned(), "last".to_owned()], true));
    }
}
