//! What programs say on their standard error about why they cannot go on. Agents do not write there.
//!
//! Such lines stay when a later try succeeds. So they count only as far as nothing in the output is newer than them.

use jiff::{Timestamp, Zoned};
use serde_json::Value;

use super::outage;
use super::stream::{Failure, Format, LINE_CHARS_MAX, classify, event, str_at, text_at};
use crate::text;

/// How the lines begin with which Gemini says that nobody is logged in, before it begins. As of Gemini CLI 0.61.
const GEMINI_LOGIN: [&str; 4] = [
    "Please set an Auth method in",
    "Invalid auth method selected.",
    "When using Gemini API, you must specify",
    "When using Vertex AI, you must specify",
];
/// How it begins with which Gemini refuses to work in a folder.
const GEMINI_UNTRUSTED: &str = "Gemini CLI is not running in a trusted directory.";
/// So many lines of a report of Gemini's belong to its message.
const GEMINI_MESSAGE_LINES: usize = 5;

/// Why a program could not go on, by the ends of its standard error and its standard output.
#[must_use]
pub fn failure_in_errors(format: Format, output: &str, errors: &str, now: &Zoned) -> Option<Failure> {
    let errors = text::safe(errors, errors.len());
    let found = match format {
        Format::OpencodeJson => opencode(output, &errors, now),
        Format::GeminiJson => gemini(output, &errors, now),
        Format::Auto | Format::CodexJson | Format::ClaudeJson | Format::GooseJson | Format::Aider | Format::Plain => {
            None
        }
    };
    found.or_else(|| outage::in_last_lines(&errors))
}

/// OpenCode logs each request that failed, with its time, and says nothing on its standard output while it waits to try
/// again, for hours if the service says so. As of OpenCode 1.18 with `--print-logs --log-level=ERROR`.
fn opencode(output: &str, errors: &str, now: &Zoned) -> Option<Failure> {
    let asked = errors.lines().rev().find(|line| line.ends_with("; auto-rejecting"));
    let last = output.lines().rev().find_map(event);
    let stopped = |event: Value| text_at(&event, "/part/reason").as_deref() == Some("tool-calls");
    // It does not go on after a tool that nobody was there to permit.
    if let Some(asked) = asked
        && last.is_some_and(stopped)
    {
        let text = text::one_line(asked.trim_start_matches("! "), LINE_CHARS_MAX);
        return Some(Failure::Other { text });
    }
    let line = errors.lines().rev().find(|line| {
        // Those of the small model are about the title of the session.
        let request = line.contains(" message=\"stream error\" ") && !line.contains(" small=true ");
        line.starts_with("timestamp=") && (request || line.contains(" message=process "))
    })?;
    let at: Timestamp = line.strip_prefix("timestamp=")?.split(' ').next()?.parse().ok()?;
    let told = output.lines().rev().filter_map(event).find_map(|event| event.get("timestamp")?.as_i64());
    if told.is_some_and(|told| told >= at.as_millisecond()) {
        return None;
    }
    let message = quoted(line, " error.error=").or_else(|| quoted(line, " error="))?;
    let message = message.split_once("Error: ").filter(|(name, _)| !name.contains(' ')).map_or(&*message, |(_, m)| m);
    // A limit that ends in so many seconds ends that long after it was said.
    Some(classify(message, &at.to_zoned(now.time_zone().clone())))
}

/// The value behind a name, in quotation marks.
fn quoted(line: &str, name: &str) -> Option<String> {
    let rest = &line[line.find(name)? + name.len()..];
    serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
}

/// Gemini reports each try that failed, without a time. As long as its model has said nothing at all, they are new.
fn gemini(output: &str, errors: &str, now: &Zoned) -> Option<Failure> {
    let answered = |event: &Value| match str_at(event, "type") {
        Some("message") => str_at(event, "role") == Some("assistant"),
        Some("tool_use" | "tool_result" | "result") => true,
        _ => false,
    };
    if output.lines().filter_map(event).any(|event| answered(&event)) {
        return None;
    }
    let lines: Vec<&str> = errors.lines().collect();
    let tells = |line: &str| {
        let tried = line.strip_prefix("Attempt ").and_then(|rest| rest.split_once(' '));
        tried.is_some_and(|(_, rest)| rest.starts_with("failed"))
            || line.starts_with(GEMINI_UNTRUSTED)
            || GEMINI_LOGIN.iter().any(|start| line.starts_with(start))
    };
    let at = lines.iter().rposition(|line| tells(line))?;
    let line = *lines.get(at)?;
    let text = text::one_line(line, LINE_CHARS_MAX);
    if line.starts_with(GEMINI_UNTRUSTED) {
        return Some(Failure::Other { text });
    }
    if !line.starts_with("Attempt ") {
        return Some(Failure::Auth { text });
    }
    // What the service said may have several lines, and a trace of calls behind it.
    let message = lines.iter().skip(at).take(GEMINI_MESSAGE_LINES).take_while(|line| !line.starts_with("    at "));
    Some(classify(&message.copied().collect::<Vec<_>>().join("\n"), now))
}

/// The message of an error of OpenCode, with what tells its kind before it.
pub(super) fn opencode_message(error: &Value) -> String {
    let name = str_at(error, "name").unwrap_or("error");
    let message = text_at(error, "/data/message").or_else(|| text_at(error, "/message")).unwrap_or_default();
    let status = error.pointer("/data/statusCode").map(Value::to_string).unwrap_or_default();
    let wait = text_at(error, "/data/responseHeaders/retry-after");
    let wait = wait.filter(|wait| !wait.is_empty() && wait.bytes().all(|byte| byte.is_ascii_digit()));
    let wait = wait.map(|seconds| format!(" (retry after {seconds} seconds)")).unwrap_or_default();
    format!("{name} {status} {message}{wait}")
}
