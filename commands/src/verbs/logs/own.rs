//! The supervisor's own log: the newest of its files, filtered by level.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pipeline_lib::text;
use pipeline_lib::view::SCHEMA_VERSION;

use super::super::events::{reader_gone, state_dir};
use super::Logs;
use super::follow::Growth;
use super::lines::{Level, Lines};
use crate::dispatch::Call;
use crate::error::Result;

/// The beginning of the names of the files; the day follows.
const PREFIX: &str = "pipeline.log";
/// How much is read at once.
const PIECE: usize = 256 * 1024;

pub(super) fn print(call: &Call, args: &Logs) -> Result<()> {
    let dir = state_dir(call)?.with_file_name("logs");
    let mut growth = args.follow.then(|| Growth::of(&dir));
    let mut present = newest(&dir).map(|path| Reader::new(&path));
    if present.is_none() {
        call.output.note("the supervisor has logged nothing yet; `pipeline monitor` does");
    }
    let has_file = present.is_some();
    let mut filter = Filter { level: args.level, last: None };
    let mut shown: VecDeque<Line> = VecDeque::new();
    if let Some(reader) = &mut present {
        reader.read(|line| {
            if let Some(line) = filter.pass(line) {
                shown.push_back(line);
                if shown.len() > args.last() {
                    shown.pop_front();
                }
            }
            Ok(())
        })?;
        shown.extend(reader.lines.finish().filter(|_| !args.follow).and_then(|line| filter.pass(line)));
    }
    if has_file && shown.is_empty() && args.last() > 0 {
        call.output.note(match args.level {
            Some(_) => "the supervisor's log has nothing of this level; see `pipeline logs`",
            None => "the supervisor's log is empty; `pipeline events` has the whole history",
        });
    }
    for line in shown {
        line.print(call, args)?;
    }
    while let Some(growth) = growth.as_mut().filter(|_| !reader_gone()) {
        growth.wait();
        // A new day has a new file; the rest of the old one comes first.
        let next = newest(&dir).filter(|path| present.as_ref().is_none_or(|reader| reader.path != *path));
        if let Some(reader) = &mut present {
            reader.read(|line| filter.pass(line).map_or(Ok(()), |line| line.print(call, args)))?;
        }
        if let Some(path) = next {
            let mut reader = Reader::new(&path);
            reader.read(|line| filter.pass(line).map_or(Ok(()), |line| line.print(call, args)))?;
            present = Some(reader);
        }
    }
    Ok(())
}

/// The newest file; their names sort by day.
pub(crate) fn newest(dir: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(PREFIX)).max().map(|name| dir.join(name))
}

struct Reader {
    path: PathBuf,
    position: u64,
    lines: Lines,
}

impl Reader {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), position: 0, lines: Lines::default() }
    }

    /// Gives the lines that are new.
    fn read(&mut self, mut give: impl FnMut(String) -> Result<()>) -> Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // Rotated away under us.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(self.position))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            self.position += read as u64;
            for line in self.lines.take(&piece[..read]) {
                give(line)?;
            }
        }
    }
}

/// Lets through what is of the wanted level. The further lines of a message go with its first.
struct Filter {
    level: Option<Level>,
    last: Option<Level>,
}

impl Filter {
    fn pass(&mut self, text: String) -> Option<Line> {
        let level = Level::of_line(&text);
        self.last = level.or(self.last);
        let shown = self.level.is_none_or(|wanted| self.last.is_some_and(|level| level <= wanted));
        shown.then_some(Line { text, level: self.last })
    }
}

struct Line {
    text: String,
    level: Option<Level>,
}

impl Line {
    fn print(&self, call: &Call, args: &Logs) -> Result<()> {
        let shown = if args.raw { self.text.clone() } else { text::safe(&self.text, usize::MAX) };
        if call.output.json {
            return call.output.json(&serde_json::json!({
                "schema_version": SCHEMA_VERSION,
                "source": "supervisor",
                "level": self.level.map_or("", Level::word),
                "text": shown,
            }));
        }
        let code = match self.level {
            Some(Level::Error) => "31",
            Some(Level::Warn) => "33",
            Some(Level::Info) | None => "0",
            Some(Level::Debug | Level::Trace) => "2",
        };
        call.output.line(&call.output.paint(code, &shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_go_with_the_first_of_their_message() {
        let mut filter = Filter { level: Some(Level::Warn), last: None };
        let mut passed = |text: &str| filter.pass(text.to_owned()).is_some();
        assert!(!passed("2026-01-31T08:00:00.1Z  INFO a") && !passed("further"));
        assert!(passed("2026-01-31T08:00:00.1Z  WARN b") && passed("further"));
        assert!(passed("2026-01-31T08:00:00.1Z ERROR c"));
    }

    #[test]
    fn the_newest_file_is_read_as_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path()), None);
        for name in ["pipeline.log.2026-01-30", "pipeline.log.2026-01-31", "other"] {
            std::fs::write(dir.path().join(name), "a\nb").unwrap();
        }
        let path = newest(dir.path()).unwrap();
        assert!(path.ends_with("pipeline.log.2026-01-31"));
        let mut reader = Reader::new(&path);
        let mut read = || {
            let mut lines = Vec::new();
            reader
                .read(|line| {
                    lines.push(line);
                    Ok(())
                })
                .unwrap();
            lines
        };
        assert_eq!(read(), ["a"]);
        std::fs::write(&path, "a\nbc\nd\n").unwrap();
        assert_eq!(read(), ["bc", "d"]);
    }
}
