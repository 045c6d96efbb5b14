//! Gathers the latest lines of the supervisor's own log. Only what is new is read, and of a file that is met for the first
//! time only the end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::logs::{self as shown, Line};

use crate::context::Context;
use crate::verbs::logs::{Lines, newest};

/// Lines that are kept.
const LINES_MAX: usize = 2_000;
/// How much of a file is read that is met for the first time, and how much at once later on.
const READ_BYTES_MAX: u64 = 512 * 1024;

/// What was read of the log so far.
#[derive(Debug, Default)]
pub(super) struct Logs {
    file: Option<Reading>,
    lines: VecDeque<Line>,
    /// The number of the next line.
    next: u64,
    /// Lines that came before those that are kept.
    cut: bool,
    shown: Arc<shown::Logs>,
}

/// A file, and how far it was read.
#[derive(Debug)]
struct Reading {
    path: PathBuf,
    position: u64,
    pieces: Lines,
    /// What is read next begins in the middle of a line, which is left out.
    in_line: bool,
}

impl Reading {
    /// Goes on where the end is near enough to be read at once. Whether something was left out.
    fn catch_up(&mut self, length: u64) -> bool {
        let position = length.saturating_sub(READ_BYTES_MAX);
        let behind = position > self.position;
        if behind {
            *self = Self { path: std::mem::take(&mut self.path), position, pieces: Lines::default(), in_line: true };
        }
        behind
    }
}

impl Logs {
    /// What there is to see.
    pub(super) fn gather(&mut self, context: &Context) -> Detail {
        Detail::Logs(self.look(&context.logs_dir()))
    }

    fn look(&mut self, dir: &Path) -> Arc<shown::Logs> {
        let before = self.next;
        let problem = self.read_on(dir).err().map(|error| error.to_string());
        if before != self.next || problem != self.shown.problem {
            let name = self.file.as_ref().and_then(|file| file.path.file_name()).unwrap_or_default();
            let file = name.to_string_lossy().into_owned();
            let lines = self.lines.iter().cloned().collect();
            self.shown = Arc::new(shown::Logs { lines, file, cut: self.cut, problem });
        }
        self.shown.clone()
    }

    fn read_on(&mut self, dir: &Path) -> std::io::Result<()> {
        let newest = newest(dir);
        // The rest of a file comes before the one of the next day.
        self.read_more()?;
        let Some(path) = newest.filter(|path| self.file.as_ref().is_none_or(|file| file.path != *path)) else {
            return Ok(());
        };
        self.file = Some(Reading { path, position: 0, pieces: Lines::default(), in_line: false });
        self.read_more()
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let Some(reading) = &mut self.file else { return Ok(()) };
        let mut file = match File::open(&reading.path) {
            Ok(file) => file,
            // Rotated away under us.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length < reading.position {
            // Somebody emptied it: it begins anew.
            reading.position = 0;
            reading.pieces = Lines::default();
        }
        if length == reading.position {
            return Ok(());
        }
        self.cut |= reading.catch_up(length);
        file.seek(SeekFrom::Start(reading.position))?;
        let mut bytes = Vec::new();
        file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
        reading.position += bytes.len() as u64;
        let whole = reading.pieces.take(&bytes);
        let part = usize::from(reading.in_line && !whole.is_empty());
        reading.in_line &= whole.is_empty();
        for text in whole.into_iter().skip(part) {
            let before = self.lines.back().map(|line| line.level);
            self.lines.push_back(Line::read(self.next, &text, before));
            self.next += 1;
            if self.lines.len() > LINES_MAX {
                self.lines.pop_front();
                self.cut = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn texts(logs: &mut Logs, dir: &Path) -> Vec<String> {
        logs.look(dir).lines.iter().map(|line| line.text.clone()).collect()
    }

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn only_what_is_new_is_read_and_a_new_day_goes_on_where_the_old_one_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("pipeline.log.2026-01-30"), dir.path().join("pipeline.log.2026-01-31"));
        let mut logs = Logs::default();
        assert_eq!(texts(&mut logs, dir.path()), [""; 0]);
        append(&first, "2026-01-30T23:59:59.0Z  WARN a: one\nfurther\n2026-01-30T23:59:59.1Z  INFO a: two");
        assert_eq!(texts(&mut logs, dir.path()), ["one", "further"]);
        let before = logs.look(dir.path());
        assert!(Arc::ptr_eq(&before, &logs.look(dir.path())), "nothing new is nothing new to draw");
        append(&first, "\n");
        append(&second, "2026-01-31T00:00:00.0Z ERROR a: three\n");
        assert_eq!(texts(&mut logs, dir.path()), ["one", "further", "two", "three"]);
        std::fs::remove_file(&first).unwrap();
        std::fs::write(&second, "2026-01-31T00:00:00.0Z ERROR a: 4\n").unwrap();
        assert_eq!(texts(&mut logs, dir.path()).last().map(String::as_str), Some("4"), "it was emptied");
        let numbers: Vec<u64> = logs.look(dir.path()).lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn of_a_long_file_the_end_is_read_from_the_beginning_of_a_line_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipeline.log.2026-01-31");
        let all: String = (0..100_000).map(|n| format!("line number {n}\n")).collect();
        std::fs::write(&path, &all).unwrap();
        let mut logs = Logs::default();
        let seen = logs.look(dir.path());
        assert_eq!((seen.lines.len(), seen.cut), (LINES_MAX, true));
        assert_eq!(seen.lines.last().map(|line| line.text.as_str()), Some("line number 99999"));
        assert!(seen.lines.iter().all(|line| line.text.starts_with("line number ")));
    }
}
