//! The end of what a run printed, readable. Bounded, so that it costs the same whatever the run has written, and read
//! again only where it has grown.

use std::path::Path;
use std::sync::Arc;

use pipeline_lib::agents::transcript::Transcript;
use pipeline_lib::ids::RunId;
use pipeline_lib::terminal::sgr;
use pipeline_lib::view::detail::task::{Output, RunLine};
use pipeline_worktrees::host::{self, Stream};

/// How much of each stream's end is read, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// How many lines of it are shown.
const LINES_MAX: usize = 2_000;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Reader {
    last: Option<(RunId, [u64; 2], Output)>,
}

impl Reader {
    /// What there is to see of a run. What cannot be read shows as nothing.
    pub(super) fn read(&mut self, dir: &Path, run: &RunLine) -> Output {
        let ends = [Stream::Stdout, Stream::Stderr].map(|stream| end_of(dir, stream));
        let is_gone = run.ended_at.is_some() && !dir.is_dir();
        let same = |(of, at, output): &&(RunId, [u64; 2], Output)| {
            *of == run.id && *at == ends && output.is_gone == is_gone
        };
        if let Some((_, _, output)) = self.last.as_ref().filter(same) {
            return output.clone();
        }
        let (mut lines, mut is_cut) = (Vec::new(), ends.iter().any(|end| *end > BYTES_MAX as u64));
        let mut transcript = Transcript::new(run.format);
        for printed in printed(dir, Stream::Stdout, ends[0]) {
            for piece in sgr::pieces(&printed) {
                let said = transcript.line(piece);
                if said.grows {
                    lines.pop();
                }
                lines.extend(said.lines);
            }
        }
        let mut colours = sgr::Reader::default();
        let complaints = printed(dir, Stream::Stderr, ends[1]);
        lines.extend(complaints.iter().flat_map(|line| sgr::pieces(line)).map(|piece| colours.line(piece)));
        if let Some(surplus) = lines.len().checked_sub(LINES_MAX).filter(|surplus| *surplus > 0) {
            lines.drain(..surplus);
            is_cut = true;
        }
        let output = Output { run: run.id.clone(), lines: Arc::new(lines.into_iter().map(Arc::new).collect()), is_cut, is_gone };
        self.last = Some((run.id.clone(), ends, output.clone()));
        output
    }
}

fn end_of(dir: &Path, stream: Stream) -> u64 {
    host::read_log(dir, stream, 0, 0).map_or(0, |chunk| chunk.end)
}

/// The last lines of a stream; what is left of one that was cut in two is left out.
fn printed(dir: &Path, stream: Stream, end: u64) -> Vec<String> {
    let text = host::tail(dir, stream, BYTES_MAX).unwrap_or_default();
    let whole = if end > BYTES_MAX as u64 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    whole.lines().map(str::to_owned).collect()
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
        std::fs::write(file(Stream::Stdout), "one\ntwo").unwrap();
        std::fs::write(file(Stream::Stderr), "\u{1b}[31mthree\n").unwrap();
        let first = reader.read(dir.path(), &run);
        assert_eq!(texts(&first), ["one", "two", "three"]);
        assert!(Arc::ptr_eq(&first.lines, &reader.read(dir.path(), &run).lines), "nothing is read twice");
        std::fs::write(file(Stream::Stdout), "one\ntwo more\n").unwrap();
        assert_eq!(texts(&reader.read(dir.path(), &run)), ["one", "two more", "three"]);
        let gone = reader.read(&dir.path().join("nowhere"), &run);
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
}
