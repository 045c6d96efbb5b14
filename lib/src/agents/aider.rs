//! Reads the text of Aider, as of version 0.86 with `--no-stream --no-pretty`.
//!
//! It ends with 0 whatever happened: also when its key was refused, or when its model never answered. After each answer of
//! its model it reports what that used, so what stands behind the last report is its own, and without one there was no
//! answer. It breaks its lines at the width of a terminal, 80 where there is none.

use jiff::Zoned;

use super::reset;
use super::stream::{Failure, LINE_CHARS_MAX, Summary, Tokens, classify};
use super::text_stream;
use crate::text;

/// How an error of the library begins that it reaches models through, before the error's name.
const LIBRARY: &str = "litellm.";
/// How the lines begin that follow the message of such an error.
const AFTER_MESSAGE: [&str; 6] =
    ["Retrying in ", "The API provider", "Tokens: ", LIBRARY, "You need to: ", "Insufficient credits with"];
/// How the lines begin with which it says that it has no key for any model.
const NO_KEY: [&str; 2] =
    ["No LLM model was specified and no API keys were provided.", "OpenRouter authentication did not complete"];
/// So many lines of a message are read.
const MESSAGE_LINES: usize = 40;

/// Reads an output.
pub(super) fn read(output: &str, now: &Zoned) -> Summary {
    let mut summary = text_stream::plain(output, now);
    let lines: Vec<&str> = output.lines().collect();
    let mut tokens = Tokens::default();
    let mut last = None;
    for (at, line) in lines.iter().enumerate() {
        if !line.trim_start_matches("> ").starts_with("Tokens: ") {
            continue;
        }
        last = Some(at);
        let report = report(&lines, at);
        let (counts, cost) = report.split_once("Cost:").unwrap_or((&report, ""));
        let counts = counts.trim_start_matches("> ").trim_start_matches("Tokens: ");
        for count in counts.split(',') {
            read_count(count.trim().trim_end_matches('.'), &mut tokens);
        }
        if let Some(session) = cost.trim().trim_end_matches('.').strip_suffix(" session") {
            let number = session.rsplit('$').next().unwrap_or("");
            summary.cost_usd = number.trim().parse().ok().filter(|usd: &f64| usd.is_finite()).or(summary.cost_usd);
        }
    }
    summary.tokens = last.is_some().then_some(tokens);
    let behind = lines.get(last.map_or(0, |at| at + 1)..).unwrap_or_default();
    summary.failure = failure(behind, now);
    if summary.failure.is_none() && last.is_none() && !output.trim().is_empty() {
        let text = format!("its model has not answered: {}", summary.last_line);
        summary.failure = Some(Failure::Other { text: text::one_line(&text, LINE_CHARS_MAX) });
    }
    summary
}

/// A report of what was used: the cost may stand on the next line, or be broken in two.
fn report(lines: &[&str], at: usize) -> String {
    let mut report = lines.get(at).copied().unwrap_or_default().trim_end().to_owned();
    for line in lines.iter().skip(at + 1).take(2) {
        let goes_on = line.starts_with("Cost: ") || !report.ends_with('.');
        if !goes_on || line.trim().is_empty() {
            break;
        }
        report = format!("{report} {}", line.trim());
    }
    report
}

/// The last error among lines that are the program's own.
fn failure(lines: &[&str], now: &Zoned) -> Option<Failure> {
    let tells = |line: &&str| {
        error_name(line).is_some()
            || line.ends_with("has hit a token limit!")
            || NO_KEY.iter().any(|start| line.starts_with(start))
    };
    let at = lines.iter().rposition(tells)?;
    let first = *lines.get(at)?;
    let Some(name) = error_name(first) else {
        let text = text::one_line(first, LINE_CHARS_MAX);
        let limit = first.ends_with("has hit a token limit!");
        return Some(if limit { Failure::ContextFull { text } } else { Failure::Auth { text } });
    };
    let is_over = |line: &&&str| line.trim().is_empty() || AFTER_MESSAGE.iter().any(|start| line.starts_with(start));
    let rest = lines.iter().skip(at + 1).take(MESSAGE_LINES).take_while(|line| !is_over(line));
    let message = std::iter::once(&first).chain(rest).map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let text = text::one_line(&message, LINE_CHARS_MAX);
    Some(match name {
        "RateLimitError" | "RouterRateLimitError" | "BudgetExceededError" => {
            Failure::RateLimited { until: reset::from_message(&message, now), text }
        }
        "AuthenticationError" | "PermissionDeniedError" => Failure::Auth { text },
        "InternalServerError" | "ServiceUnavailableError" | "BadGatewayError" | "APIConnectionError" | "Timeout" => {
            Failure::Unreachable { text }
        }
        "ContextWindowExceededError" => Failure::ContextFull { text },
        "ContentPolicyViolationError" => Failure::Refused { text },
        _ => classify(&message, now),
    })
}

/// The name of an error in a line that reports one.
fn error_name(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix(LIBRARY)?.split_once(':')?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
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
