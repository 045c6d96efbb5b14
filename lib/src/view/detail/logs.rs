//! What the supervisor wrote about itself, line by line, with the level of each.

use crate::text;

/// The longest line, in characters.
const LINE_CHARS_MAX: usize = 2_000;

/// The latest lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logs {
    /// The lines, the oldest first.
    pub lines: Vec<Line>,
    /// The name of the file that is written to.
    pub file: String,
    /// Lines that came before these and are not kept.
    pub cut: bool,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts up, so that a line can be found again.
    pub number: u64,
    /// How much it matters; of a further line of a message, what its first line says.
    pub level: Level,
    /// When, as hours, minutes and seconds of UTC; empty for a further line of a message.
    pub time: String,
    /// Which part of the program; empty for a further line of a message.
    pub target: String,
    /// What, made safe.
    pub text: String,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What failed.
    Error,
    /// What may need a look.
    Warn,
    /// What was done.
    Info,
    /// How it was done.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// All of them, what matters most first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level of a line, whose second word it is; none for the further lines of a message.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let (_, level, _) = parts(line)?;
        Some(level)
    }
}

/// The time, the level, and what follows them; none for the further lines of a message.
fn parts(line: &str) -> Option<(&str, Level, &str)> {
    let (time, rest) = line.trim_start().split_once(char::is_whitespace)?;
    let begins = time.len() >= 20 && time.as_bytes().get(4) == Some(&b'-') && time.ends_with('Z');
    let rest = rest.trim_start();
    let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let level = match word {
        "ERROR" => Level::Error,
        "WARN" => Level::Warn,
        "INFO" => Level::Info,
        "DEBUG" => Level::Debug,
        "TRACE" => Level::Trace,
        _ => return None,
    };
    begins.then_some((time, level, rest.trim_start()))
}

impl Line {
    /// Reads a line. A further line of a message is of the level of the line before it.
    #[must_use]
    pub fn read(number: u64, line: &str, before: Option<Level>) -> Self {
        let safe = |text: &str| text::safe(text, LINE_CHARS_MAX);
        let Some((time, level, rest)) = parts(line) else {
            let level = before.unwrap_or(Level::Info);
            return Self { number, level, time: String::new(), target: String::new(), text: safe(line) };
        };
        // The part of the program ends in a colon and holds no space.
        let named = rest.split_once(": ").filter(|(target, _)| !target.contains(char::is_whitespace));
        let (target, message) = named.unwrap_or(("", rest));
        let time = time.split_once('T').map_or(time, |(_, time)| time);
        Self { number, level, time: safe(time.get(..8).unwrap_or(time)), target: safe(target), text: safe(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_and_its_further_lines_go_with_it() {
        let first =
            Line::read(7, "2026-01-31T08:09:10.123456Z  WARN pipeline::tick: a tick failed error=\"x: y\"", None);
        assert_eq!(
            (first.level, first.time.as_str(), first.target.as_str()),
            (Level::Warn, "08:09:10", "pipeline::tick")
        );
        assert_eq!(first.text, "a tick failed error=\"x: y\"");
        let further = Line::read(8, "  because \u{1b}[31mof this", Some(first.level));
        assert_eq!(
            (further.level, further.time.as_str(), further.text.as_str()),
            (Level::Warn, "", "  because of this")
        );
        let bare = Line::read(9, "2026-01-31T08:09:10Z ERROR no part: of the program is named", None);
        assert_eq!((bare.target.as_str(), bare.text.as_str()), ("", "no part: of the program is named"));
    }

    #[test]
    fn only_lines_that_begin_a_message_have_a_level() {
        for (line, level) in [
            ("2026-01-31T08:00:00.123456Z  INFO pipeline: tick", Some(Level::Info)),
            ("2026-01-31T08:00:00Z ERROR x", Some(Level::Error)),
            ("2026-01-31T08:00:00Z ERROR", Some(Level::Error)),
            ("  INFO further", None),
            ("2026-01-31T08:00:00Z about INFO", None),
            ("", None),
        ] {
            assert_eq!(Level::of_line(line), level, "{line}");
        }
        assert!(Level::Error < Level::Warn);
    }
}
