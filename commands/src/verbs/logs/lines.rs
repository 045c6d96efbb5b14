//! Bytes into lines, and the levels of the supervisor's own lines. Reads no file.

use pipeline_lib::view::detail::logs;

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
        logs::Level::of_line(line).map(|level| match level {
            logs::Level::Error => Self::Error,
            logs::Level::Warn => Self::Warn,
            logs::Level::Info => Self::Info,
            logs::Level::Debug => Self::Debug,
            logs::Level::Trace => Self::Trace,
        })
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
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that are whole now, without their ends.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
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
}
