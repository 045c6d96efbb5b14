//! How programs say that the service of their model cannot be reached: the network is down, or the service is. The words
//! are looked for only where a program reports an error of its own, never in what an agent writes.

use super::stream::{Failure, LINE_CHARS_MAX};
use super::text_stream;
use crate::text;

/// Words of such a report, in lower case.
///
/// As of November 2026, with Codex 0.169, Claude Code 2.1.197, Gemini CLI 0.61, OpenCode 1.18 and Aider 0.86.
const WORDS: [&str; 12] = [
    // Codex, and others that are written in Rust: `Reconnecting... waiting for network (Connection failed: error sending
    // request)`, `stream disconnected before completion: error sending request for url (https://…)`.
    "error sending request",
    "stream disconnected before completion",
    // Claude Code: `API Error: Unable to connect to API (ConnectionRefused)`, `API Error: Connection error.`
    "unable to connect to api",
    "api error: connection error",
    // Claude Code before it begins, on two lines.
    "unable to connect to anthropic services",
    "failed to connect to api.anthropic.com",
    // Gemini: `exception TypeError: fetch failed sending request`.
    "fetch failed sending request",
    // OpenCode: `Unable to connect. Is the computer able to access the url?`, `Cannot connect to API: The socket …`.
    "is the computer able to access the url",
    "cannot connect to api",
    // Aider: `litellm.APIConnectionError: …`
    "apiconnectionerror",
    // The service answers that it is not able to: `The model is overloaded.`, `"status":"UNAVAILABLE"`.
    "overloaded",
    "\"status\":\"unavailable\"",
];

/// What stands before the number with which a service answered.
const BEFORE_STATUS: [&str; 5] = ["status ", "status: ", "\"code\":", "apierror ", "api error: "];

/// How a line begins with which a program that prints text says so, at its left edge.
pub(super) const LINE_STARTS: [&str; 7] = [
    "API Error: Connection error",
    "API Error: Unable to connect to API",
    "Unable to connect to Anthropic services",
    "Failed to connect to api.anthropic.com",
    "ERROR: stream disconnected before completion",
    "litellm.APIConnectionError:",
    "Error: Unable to connect. Is the computer able to access the url?",
];

/// Whether a program's report of an error, in lower case, is one of these.
pub(super) fn is_reported(report: &str) -> bool {
    WORDS.iter().any(|words| report.contains(words)) || BEFORE_STATUS.iter().any(|before| is_down(report, before))
}

/// Whether the service said that something is wrong on its side: a status from 500 on.
fn is_down(report: &str, before: &str) -> bool {
    report.match_indices(before).any(|(at, _)| {
        let rest = &report[at + before.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits == 3 && rest.starts_with('5')
    })
}

/// That a program says at the end of its standard error that its service cannot be reached.
pub(super) fn in_last_lines(errors: &str) -> Option<Failure> {
    let is_one = |line: &str| LINE_STARTS.iter().any(|start| line.starts_with(start));
    let line = text_stream::last_line_of(errors, is_one)?;
    Some(Failure::Unreachable { text: text::one_line(line, LINE_CHARS_MAX) })
}
