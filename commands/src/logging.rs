//! The supervisor's own log: rotated files in `.pipeline/logs`, and stderr with `-v`. What agents print is not in it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

use tracing_appender::rolling::RollingFileAppender;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{CommandError, Result};

/// The beginning of the names of the files; the day follows.
const PREFIX: &str = "pipeline.log";
/// The appender makes room for one more file before it opens its own, even where that is there already and would be the
/// one to go.
const KEEP_LEAST: u32 = 2;

/// The files of this process, once it has any.
static FILES: OnceLock<RollingFileAppender> = OnceLock::new();

thread_local! {
    /// What is to be written at once with what is still to be said.
    static GATHERED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Where and how much to log.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The directory of the files; none for a verb that only speaks to stderr.
    pub dir: Option<&'a Path>,
    /// The level of the files.
    pub level: &'a str,
    /// How many files are kept.
    pub keep: u32,
    /// `-v` on stderr: 0 nothing, 1 information, 2 everything of ours.
    pub verbose: u8,
}

/// Starts logging for this process. A line is written before whoever said it goes on, so that none is missing whatever ends
/// the process, and no thread is woken for it.
///
/// # Errors
/// When the directory cannot be written or the level is unknown.
pub fn start(settings: Settings<'_>) -> Result<()> {
    let filter = EnvFilter::try_new(settings.level)
        .map_err(|error| CommandError::usage(format!("unknown log level `{}`: {error}", settings.level)))?;
    let files = match settings.dir {
        Some(dir) => {
            let appender = tracing_appender::rolling::Builder::new()
                .rotation(tracing_appender::rolling::Rotation::DAILY)
                .filename_prefix(PREFIX)
                .max_log_files(settings.keep.max(KEEP_LEAST) as usize)
                .build(dir)
                .map_err(|error| {
                    CommandError::cannot_write(format!("cannot write the log in {}: {error}", dir.display()))
                })?;
            keep_newest(dir, settings.keep);
            drop(FILES.set(appender));
            Some(Lines)
        }
        None => None,
    };
    // What cannot be written, as on a full disk, must not be said on a screen that something is drawn on.
    let to_files = files
        .map(|writer| tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).log_internal_errors(false));
    let to_stderr = (settings.verbose > 0).then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
    // A second start in one process, as in tests, keeps the first.
    drop(tracing_subscriber::registry().with(filter).with(to_files).with(to_stderr).try_init());
    Ok(())
}

/// Writes all lines at once that are said meanwhile, by this thread, which costs hardly more than one of them.
pub fn together(say: impl FnOnce()) {
    GATHERED.set(Some(Vec::new()));
    let _gathering = Gathering;
    say();
}

/// What was said is written when this ends, whatever ends it.
struct Gathering;

impl Drop for Gathering {
    fn drop(&mut self) {
        // As with every line: what cannot be written is not said elsewhere.
        Lines.write_all(&GATHERED.take().unwrap_or_default()).unwrap_or_default();
    }
}

/// The files, for whoever writes a line.
#[derive(Debug, Clone, Copy)]
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        GATHERED.with_borrow_mut(|gathered| match gathered {
            Some(gathered) => gathered.write(bytes),
            None => FILES.get().map_or(Ok(bytes.len()), |files| files.make_writer().write(bytes)),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes all but the newest files; their names sort by day.
fn keep_newest(dir: &Path, keep: u32) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .collect();
    files.sort_unstable();
    let old = files.len().saturating_sub(keep.max(1) as usize);
    for file in &files[..old] {
        if let Err(error) = std::fs::remove_file(file) {
            tracing::warn!(file = %file.display(), %error, "an old log file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_together_is_written_once_it_is_said_whatever_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let appender = tracing_appender::rolling::never(dir.path(), "log");
        assert!(FILES.set(appender).is_ok(), "no other test of this process logs");
        let written = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        Lines.write_all(b"one\n").unwrap();
        assert_eq!(written(), "one\n");
        together(|| {
            Lines.write_all(b"two\n").unwrap();
            Lines.write_all(b"three\n").unwrap();
            assert_eq!(written(), "one\n");
        });
        assert_eq!(written(), "one\ntwo\nthree\n");
        let died = std::panic::catch_unwind(|| {
            together(|| {
                Lines.write_all(b"four\n").unwrap();
                panic!("in the middle");
            });
        });
        assert!(died.is_err());
        Lines.write_all(b"five\n").unwrap();
        assert_eq!(written(), "one\ntwo\nthree\nfour\nfive\n");
    }
}
