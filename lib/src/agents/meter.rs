//! What an agent's program tells of its use while it still runs: its output read piece by piece, each piece once.
//!
//! Programs that tell it only at their end are at nothing until then; what is told then is read by `summarize`.

use std::collections::BTreeMap;

use jiff::Zoned;

use super::reading::Lines;
use super::stream::{Format, Reader, sniff};
use super::{Tokens, summarize};
use crate::run::Usage;

/// Adds up what an output tells of use.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    format: Option<Format>,
    pieces: Lines,
    tokens: Option<Tokens>,
    cost_usd: f64,
    messages: BTreeMap<String, Tokens>,
}

impl Meter {
    /// Reads the next piece of the output, which may end anywhere.
    pub fn read(&mut self, format: Format, piece: &[u8], now: &Zoned) {
        if let Some(whole) = self.pieces.whole(piece) {
            self.lines(format, &whole, now);
        }
    }

    /// What was used so far, as far as it was told.
    #[must_use]
    pub fn used(&self) -> Usage {
        let tokens = self.tokens.or_else(|| self.messages.values().copied().reduce(Tokens::plus)).unwrap_or_default();
        Usage { tokens: tokens.input.saturating_add(tokens.output), cost_usd: self.cost_usd }
    }

    fn lines(&mut self, format: Format, text: &str, now: &Zoned) {
        let format = match (self.format, format) {
            (Some(known), _) => known,
            // The first events of a known format tell; until then it could be any.
            (None, Format::Auto) => match sniff(text) {
                Format::Plain => return,
                found => found,
            },
            (None, named) => named,
        };
        self.format = Some(format);
        if format == Format::Aider {
            // The text tells the tokens of each message, and the cost of all so far.
            let told = summarize(format, text, now);
            self.tokens = self.tokens.into_iter().chain(told.tokens).reduce(Tokens::plus);
            self.cost_usd = told.cost_usd.unwrap_or(self.cost_usd);
            return;
        }
        let mut reader = Reader::new(now);
        reader.out.tokens = self.tokens;
        reader.out.cost_usd = Some(self.cost_usd);
        reader.messages = std::mem::take(&mut self.messages);
        reader.each(format, text);
        self.tokens = reader.out.tokens;
        self.cost_usd = reader.out.cost_usd.unwrap_or(self.cost_usd);
        self.messages = reader.messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::reading::LINE_BYTES_MAX;

    fn at() -> Zoned {
        "2026-07-24T10:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC)
    }

    const CLAUDE: &str = r#"{"type":"system","subtype":"init","session_id":"s"}
{"type":"assistant","session_id":"s","message":{"id":"m1","content":[{"type":"text","text":"a"}],"usage":{"input_tokens":100,"cache_read_input_tokens":50,"output_tokens":1}}}
{"type":"assistant","session_id":"s","message":{"id":"m1","content":[{"type":"tool_use","name":"Bash"}],"usage":{"input_tokens":100,"cache_read_input_tokens":50,"output_tokens":20}}}
{"type":"user","session_id":"s","message":{"content":[]}}
{"type":"assistant","session_id":"s","parent_tool_use_id":"t1","message":{"id":"m2","content":[],"usage":{"input_tokens":30,"output_tokens":0}}}
"#;
    const CLAUDE_END: &str = r#"{"type":"result","subtype":"success","session_id":"s","total_cost_usd":0.25,"usage":{"input_tokens":150,"output_tokens":60}}
"#;
    /// The file of a session of Gemini CLI 0.61, its texts cut.
    const GEMINI_SESSION: &str = r#"{"sessionId":"s","startTime":"2026-11-30T00:17:01.034Z","kind":"main"}
{"id":"u1","timestamp":"2026-11-30T00:17:01.233Z","type":"user","content":[{"text":"Work"}]}
{"id":"g1","timestamp":"2026-11-30T00:17:01.404Z","type":"gemini","content":"","tokens":{"input":1200,"output":40,"cached":200,"thoughts":10,"tool":5,"total":1255}}
{"$set":{"lastUpdated":"2026-11-30T00:17:01.405Z"}}
{"id":"g1","timestamp":"2026-11-30T00:17:01.404Z","type":"gemini","content":"","tokens":{"input":1200,"output":40,"cached":200,"thoughts":10,"tool":5,"total":1255},"toolCalls":[]}
{"id":"g2","timestamp":"2026-11-30T00:17:14.183Z","type":"gemini","content":"Finished.","tokens":{"input":1200,"output":40,"cached":200,"thoughts":0,"tool":0,"total":1240}}
"#;
    /// The file of a session of Codex 0.169, all but what it tells of use left out.
    const CODEX_SESSION: &str = r#"{"timestamp":"2026-11-30T00:13:03.188Z","type":"token_usage_record","payload":{}}
{"timestamp":"2026-11-30T00:13:03.342Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":104,"cached_input_tokens":0,"output_tokens":20,"reasoning_output_tokens":0,"total_tokens":124},"last_token_usage":{"input_tokens":104,"cached_input_tokens":0,"output_tokens":20,"reasoning_output_tokens":0,"total_tokens":124}}}}
{"timestamp":"2026-11-30T00:13:03.343Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":104,"cached_input_tokens":0,"output_tokens":20,"reasoning_output_tokens":0,"total_tokens":124},"last_token_usage":{"input_tokens":104,"cached_input_tokens":0,"output_tokens":20,"reasoning_output_tokens":0,"total_tokens":124}}}}
{"timestamp":"2026-11-30T00:13:03.344Z","type":"event_msg","payload":{"type":"token_count","info":null}}
{"timestamp":"2026-11-30T00:13:03.385Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":208,"cached_input_tokens":0,"output_tokens":40,"reasoning_output_tokens":0,"total_tokens":248},"last_token_usage":{"input_tokens":104,"cached_input_tokens":0,"output_tokens":20,"reasoning_output_tokens":0,"total_tokens":124}}}}
"#;
    const OPENCODE: &str = r#"{"type":"step_finish","sessionID":"s","part":{"cost":0.01,"tokens":{"input":10,"output":5,"cache":{"read":1,"write":2}}}}
{"type":"step_finish","sessionID":"s","part":{"cost":0.02,"tokens":{"input":20,"output":5,"cache":{"read":0,"write":0}}}}
"#;
    const CODEX: &str = r#"{"type":"thread.started","thread_id":"t"}
{"type":"turn.completed","usage":{"input_tokens":10,"output_tokens":5}}
{"type":"turn.completed","usage":{"input_tokens":20,"output_tokens":5}}
"#;
    const AIDER: &str = "Tokens: 1.2k sent, 100 received. Cost: $0.01 message, $0.01 session.\n\
                         Tokens: 2k sent, 200 received. Cost: $0.02 message, $0.03 session.\n";

    /// What was used is the same wherever the output is cut, and a total that is told replaces what messages said.
    #[test]
    fn what_is_told_is_counted_once_wherever_the_output_is_cut() {
        for (format, output, tokens, cost) in [
            (Format::ClaudeJson, CLAUDE.to_owned(), 200, 0.0),
            (Format::Auto, CLAUDE.to_owned(), 200, 0.0),
            (Format::ClaudeJson, format!("{CLAUDE}{CLAUDE_END}"), 210, 0.25),
            (Format::OpencodeJson, OPENCODE.to_owned(), 43, 0.03),
            (Format::CodexJson, CODEX.to_owned(), 40, 0.0),
            (Format::CodexJson, CODEX_SESSION.to_owned(), 248, 0.0),
            (Format::GeminiJson, GEMINI_SESSION.to_owned(), 2_495, 0.0),
            (Format::Aider, AIDER.to_owned(), 3_500, 0.03),
            (Format::Plain, "a text\n".to_owned(), 0, 0.0),
        ] {
            for cut in (0..=output.len()).step_by(7) {
                let mut meter = Meter::default();
                let (first, second) = output.as_bytes().split_at(cut);
                meter.read(format, first, &at());
                let half = meter.used();
                meter.read(format, second, &at());
                let used = meter.used();
                assert_eq!(used.tokens, tokens, "{format:?} cut at {cut}");
                assert!((used.cost_usd - cost).abs() < 1e-9, "{format:?} cut at {cut}: {used:?}");
                assert!(half.tokens <= tokens, "it only grows");
            }
        }
    }

    /// A run that is stopped has told what its messages used; one that ends well has told a total.
    #[test]
    fn the_end_of_a_stream_without_a_total_counts_its_messages() {
        let used = |output: &str| summarize(Format::ClaudeJson, output, &at()).tokens.map(|t| t.input + t.output);
        assert_eq!(used(CLAUDE), Some(200));
        assert_eq!(used(&format!("{CLAUDE}{CLAUDE_END}")), Some(210));
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_for_ever() {
        let mut meter = Meter::default();
        for _ in 0..6 {
            meter.read(Format::ClaudeJson, &vec![b'x'; 1024 * 1024], &at());
        }
        assert!(meter.pieces.unfinished.len() <= LINE_BYTES_MAX);
        meter.read(Format::ClaudeJson, format!("x\n{CLAUDE}").as_bytes(), &at());
        assert_eq!(meter.used().tokens, 200, "what comes after it is read");
    }
}
