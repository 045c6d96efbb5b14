//! Reads the output of agents that print plain text.
//!
//! Text gives no structure to tell an error of the program from a sentence about one. So a limit is only seen in whole
//! lines of known wording, at the left edge, among the last few lines.

use jiff::Zoned;

use super::outage;
use super::stream::{Activity, FINAL_TEXT_BYTES_MAX, LINE_CHARS_MAX, Summary, classify};
use crate::text;

/// Among how many of the last lines an error of the program is looked for.
const ERROR_LINES: usize = 8;

/// How the lines begin with which programs end when they cannot go on.
const ERROR_LINE_STARTS: [&str; 14] = [
    "litellm.RateLimitError:",
    "litellm.AuthenticationError:",
    "litellm.ContextWindowExceededError:",
    "litellm.APIError:",
    "The API provider has rate limited you",
    "The API provider is not able to authenticate you",
    "Claude AI usage limit reached|",
    "You've hit your limit · resets",
    "You've hit your usage limit.",
    "You’ve hit your usage limit.",
    "API Error: ",
    "Credit balance is too low",
    "Invalid API key · ",
    "ERROR: Quota exceeded.",
];

/// Reads any text: the whole of it is the message.
pub(super) fn plain(output: &str, now: &Zoned) -> Summary {
    let clean = text::safe(text::tail_bytes(output, FINAL_TEXT_BYTES_MAX), FINAL_TEXT_BYTES_MAX);
    let mut lines = clean.lines().rev().filter(|line| !line.trim().is_empty());
    let last_line = text::one_line(lines.next().unwrap_or(""), LINE_CHARS_MAX);
    Summary {
        failure: error_line(&clean).map(|line| classify(line, now)),
        activity: (!last_line.is_empty()).then_some(Activity::Message),
        last_line,
        final_text: (!clean.trim().is_empty()).then_some(clean),
        ..Summary::default()
    }
}

/// The last line with which a program says that it cannot go on.
fn error_line(output: &str) -> Option<&str> {
    let starts = || ERROR_LINE_STARTS.iter().chain(&outage::LINE_STARTS);
    last_line_of(output, |line| starts().any(|start| line.starts_with(start)))
}

/// The last of the last few lines that is one of these.
pub(super) fn last_line_of(output: &str, is_one: impl Fn(&str) -> bool) -> Option<&str> {
    let lines = output.lines().rev().filter(|line| !line.trim().is_empty());
    lines.take(ERROR_LINES).find(|line| is_one(line))
}
