//! Reads the output of agents that print plain text.
//!
//! Text gives no structure to tell an error of the program from a sentence about one. So a limit is only seen in whole
//! lines of known wording, at the left edge, among the last few lines.

use jiff::Zoned;

use super::outage;
use super::stream::{Activity, FINAL_TEXT_BYTES_MAX, Failure, LINE_CHARS_MAX, Summary, Tokens, classify};
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

/// Reads the text of aider, which reports what each message used and cost.
pub(super) fn aider(output: &str, now: &Zoned) -> Summary {
    let mut summary = plain(output, now);
    let mut tokens = Tokens::default();
    let mut found = false;
    for line in output.lines() {
        let Some(report) = line.trim_start_matches("> ").strip_prefix("Tokens: ") else { continue };
        found = true;
        let (counts, cost) = report.split_once("Cost:").unwrap_or((report, ""));
        for count in counts.split(',') {
            read_count(count.trim().trim_end_matches('.'), &mut tokens);
        }
        if let Some(session) = cost.trim().trim_end_matches('.').strip_suffix(" session") {
            let number = session.rsplit('$').next().unwrap_or("");
            summary.cost_usd = number.trim().parse().ok().filter(|usd: &f64| usd.is_finite()).or(summary.cost_usd);
        }
    }
    summary.tokens = found.then_some(tokens);
    // A report of use after an error means that a retry succeeded.
    if let Some(at) = output.rfind("\nTokens: ")
        && error_line(&output[at..]).is_none()
    {
        summary.failure = None;
    }
    summary
}

/// Adds a count such as `2.4k sent`.
fn read_count(count: &str, tokens: &mut Tokens) {
    let Some((number, what)) = count.split_once(' ') else { return };
    let (number, factor) = match (number.strip_suffix('k'), number.strip_suffix('M')) {
        (Some(number), _) => (number, 1e3),
        (None, Some(number)) => (number, 1e6),
        (None, None) => (number, 1.0),
    };
    let Ok(number) = number.parse::<f64>() else { return };
    // A cast saturates, so that nonsense stays harmless.
    let number = (number * factor).round() as u64;
    match what {
        "sent" | "cache write" => tokens.input = tokens.input.saturating_add(number),
        "cache hit" => {
            tokens.input = tokens.input.saturating_add(number);
            tokens.cached = tokens.cached.saturating_add(number);
        }
        "received" => tokens.output = tokens.output.saturating_add(number),
        _ => {}
    }
}

/// That a program says at the end of its standard error that its service cannot be reached. Agents do not write there.
#[must_use]
pub fn outage_in_errors(errors: &str) -> Option<Failure> {
    let line = last_line_of(errors, |line| outage::LINE_STARTS.iter().any(|start| line.starts_with(start)))?;
    Some(Failure::Unreachable { text: text::one_line(line, LINE_CHARS_MAX) })
}

/// The last line with which a program says that it cannot go on.
fn error_line(output: &str) -> Option<&str> {
    let starts = || ERROR_LINE_STARTS.iter().chain(&outage::LINE_STARTS);
    last_line_of(output, |line| starts().any(|start| line.starts_with(start)))
}

/// The last of the last few lines that is one of these.
fn last_line_of(output: &str, is_one: impl Fn(&str) -> bool) -> Option<&str> {
    let lines = output.lines().rev().filter(|line| !line.trim().is_empty());
    lines.take(ERROR_LINES).find(|line| is_one(line))
}
