//! How programs say that the service of their model cannot be reached: the network is down, or the service is. The words
//! are looked for only where a program reports an error of its own, never in what an agent writes.

/// Words of such a report, in lower case.
///
/// As of November 2026: Codex 0.169 and Claude Code 2.1.197 were run without a network, the rest is as users of the
/// programs report it.
const WORDS: [&str; 9] = [
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
    // OpenCode: `Unable to connect. Is the computer able to access the url?`
    "is the computer able to access the url",
    // Aider: `litellm.APIConnectionError: …`
    "apiconnectionerror",
];

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
    WORDS.iter().any(|words| report.contains(words))
}
