//! An output that is read piece by piece, of which no more is in memory than a line and what is to be told of it. Where its
//! pieces come from is not known here.

use jiff::Zoned;

use super::stream::{Format, Reader, Summary, is_speech};

/// A line that is longer is passed over: no event that is of use is.
pub(super) const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Pieces that may end anywhere, as lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    pub(super) unfinished: Vec<u8>,
    /// What is left of a line that is passed over.
    skipping: bool,
}

impl Lines {
    /// The lines that are whole with this piece.
    pub(super) fn whole(&mut self, piece: &[u8]) -> Option<String> {
        let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') else {
            self.keep(piece);
            return None;
        };
        let (whole, rest) = piece.split_at(end + 1);
        let skip = if std::mem::take(&mut self.skipping) {
            self.unfinished.clear();
            whole.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1)
        } else {
            0
        };
        let mut lines = std::mem::take(&mut self.unfinished);
        lines.extend_from_slice(whole.get(skip..).unwrap_or_default());
        self.keep(rest);
        Some(text(lines))
    }

    /// The last line, if it has no end.
    fn rest(self) -> String {
        text(self.unfinished)
    }

    fn keep(&mut self, piece: &[u8]) {
        if !self.skipping {
            self.unfinished.extend_from_slice(piece);
        }
        if self.unfinished.len() > LINE_BYTES_MAX {
            self.unfinished = Vec::new();
            self.skipping = true;
        }
    }
}

/// What is not UTF-8 is replaced; the rest is not copied.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// How an output can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In pieces, by [`Reading`].
    InPieces,
    /// Its end alone, at most [`super::stream::FINAL_TEXT_BYTES_MAX`] of it.
    ByItsEnd,
    /// As a whole.
    Whole,
}

impl Format {
    /// How an output of this format can be read so that [`super::summarize`] would say the same of the whole.
    #[must_use]
    pub fn way(self) -> Way {
        match self {
            Self::CodexJson | Self::ClaudeJson | Self::OpencodeJson | Self::GooseJson => Way::InPieces,
            Self::Plain => Way::ByItsEnd,
            // One tells by all of its lines what its end means, of the other all may be a single event.
            Self::Auto | Self::Aider | Self::GeminiJson => Way::Whole,
        }
    }
}

/// What an output of events says in all: what [`super::summarize`] says of the whole of it.
pub struct Reading<'a> {
    format: Format,
    lines: Lines,
    reader: Reader<'a>,
    /// The last line that is no event.
    speech: String,
}

impl<'a> Reading<'a> {
    /// Of a format that can be read in pieces.
    #[must_use]
    pub fn new(format: Format, now: &'a Zoned) -> Self {
        Self { format, lines: Lines::default(), reader: Reader::new(now), speech: String::new() }
    }

    /// Reads the next piece, which may end anywhere.
    pub fn read(&mut self, piece: &[u8]) {
        if let Some(lines) = self.lines.whole(piece) {
            self.take(&lines);
        }
    }

    /// What it said.
    #[must_use]
    pub fn finish(mut self) -> Summary {
        let rest = std::mem::take(&mut self.lines).rest();
        self.take(&rest);
        self.reader.finish(&self.speech)
    }

    fn take(&mut self, lines: &str) {
        self.reader.each(self.format, lines);
        if let Some(line) = lines.lines().rev().find(|line| is_speech(line)) {
            self.speech = line.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::summarize;

    fn at() -> Zoned {
        "2026-07-24T10:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC)
    }

    const CLAUDE: &str = r#"{"type":"system","subtype":"init","session_id":"s"}
a word beside the events
{"type":"assistant","session_id":"s","message":{"id":"m1","content":[{"type":"text","text":"ä last word"}],"usage":{"input_tokens":100,"output_tokens":20}}}

{"type":"result","subtype":"success","is_error":false,"result":"done ✓","session_id":"s","total_cost_usd":0.25,"usage":{"input_tokens":150,"output_tokens":60}}
"#;
    const CODEX: &str = r#"{"type":"thread.started","thread_id":"t"}
{"type":"item.completed","item":{"type":"agent_message","text":"half"}}
{"type":"turn.failed","error":{"message":"You've hit your usage limit."}}
not the last line of all
{"type":"turn.started"}"#;
    const OPENCODE: &str = r#"{"type":"text","sessionID":"s","part":{"messageID":"m","text":"one "}}
{"type":"text","sessionID":"s","part":{"messageID":"m","text":"two"}}
{"type":"step_finish","sessionID":"s","part":{"cost":0.01,"tokens":{"input":10,"output":5,"cache":{"read":1,"write":2}}}}
"#;
    const GOOSE: &str = "only words\n\n  and no event  \n";

    #[test]
    fn in_pieces_an_output_says_what_it_says_as_a_whole() {
        let now = at();
        let all = [
            (Format::ClaudeJson, CLAUDE),
            (Format::CodexJson, CODEX),
            (Format::OpencodeJson, OPENCODE),
            (Format::GooseJson, GOOSE),
        ];
        for (format, output) in all {
            assert_eq!(format.way(), Way::InPieces);
            let whole = summarize(format, output, &now);
            assert!(!whole.last_line.is_empty(), "{whole:?}");
            for size in 1..=output.len() {
                let mut reading = Reading::new(format, &now);
                output.as_bytes().chunks(size).for_each(|piece| reading.read(piece));
                assert_eq!(reading.finish(), whole, "{format:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn of_a_text_the_end_says_it_all() {
        assert_eq!(Format::Plain.way(), Way::ByItsEnd);
        let long = "a line of words\n".repeat(40_000) + "litellm.APIError: overloaded\nthe last\n";
        let end = crate::text::tail_bytes(&long, crate::agents::stream::FINAL_TEXT_BYTES_MAX);
        assert_eq!(summarize(Format::Plain, end, &at()), summarize(Format::Plain, &long, &at()));
    }
}
