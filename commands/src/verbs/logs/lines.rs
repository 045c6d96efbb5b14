//! Bytes into lines, and the levels of the supervisor's own lines. Reads no file.

/// A line that is longer is cut in two: nobody reads it, and it must not fill the memory.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// How much is shown of the supervisor's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
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
    /// The level of a line, whose second word it is; none for the further lines of a message.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let time = words.next()?;
        let begins = time.len() >= 20 && time.as_bytes()[4] == b'-' && time.ends_with('Z');
        match words.next().filter(|_| begins)? {
            "ERROR" => Some(Self::Error),
            "WARN" => Some(Self::Warn),
            "INFO" => Some(Self::Info),
            "DEBUG" => Some(Self::Debug),
            "TRACE" => Some(Self::Trace),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that are whole now, without their ends.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.last() == Some(&b'\n') || self.rest.len() > LINE_BYTES_MAX {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// What is there of a line that was never ended.
    pub(super) fn finish(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.rest);
        let bytes = bytes.strip_suffix(b"\n").or(Some(&bytes[..]).filter(|bytes| !bytes.is_empty()))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.take("a\n\nbé".as_bytes()), ["a", ""]);
        assert_eq!(lines.take(b"c\nd"), ["béc"]);
        assert_eq!((lines.finish().as_deref(), lines.finish()), (Some("d"), None));
        assert_eq!(lines.take(&vec![b'x'; LINE_BYTES_MAX + 10]).len(), 1);
    }

    #[test]
    fn only_lines_that_begin_a_message_have_a_level() {
        for (line, level) in [
            ("2026-01-31T08:00:00.123456Z  INFO pipeline: tick", Some(Level::Info)),
            ("2026-01-31T08:00:00Z ERROR x", Some(Level::Error)),
            ("  INFO further", None),
            ("2026-01-31T08:00:00Z about INFO", None),
            ("", None),
        ] {
            assert_eq!(Level::of_line(line), level, "{line}");
        }
        assert!(Level::Error < Level::Warn);
    }
}
