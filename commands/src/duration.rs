//! Durations as people write them: `30s`, `5m`, `1h30m`. Reading is jiff's; here are the limits and the writing.

use jiff::SignedDuration;

/// Longer than this is a mistake, and would overflow a deadline sooner or later.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Reads a duration such as `1h30m`. Negative ones and those of more than a year are refused.
///
/// # Errors
/// What is wrong, as a fragment that follows "it".
pub fn parse(text: &str) -> Result<SignedDuration, &'static str> {
    let duration: SignedDuration = text.trim().parse().map_err(|_| "is not a duration")?;
    if duration.is_negative() {
        Err("is negative")
    } else if duration > LONGEST {
        Err("is longer than a year")
    } else {
        Ok(duration)
    }
}

/// Writes a duration so that [`parse`] reads the same: the largest units first, without spaces, `0s` for nothing.
#[must_use]
pub fn format(duration: SignedDuration) -> String {
    let text = format!("{duration:#}");
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["0s", "30s", "5m", "1h30m", "250ms", "1h1m1s", "24h"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(parse("90m").unwrap()), "1h30m");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, problem) in [
            ("soon", "is not a duration"),
            ("", "is not a duration"),
            ("5", "is not a duration"),
            ("-5s", "is negative"),
            ("9000h", "is longer than a year"),
        ] {
            assert_eq!(parse(text), Err(problem), "{text:?}");
        }
    }
}
