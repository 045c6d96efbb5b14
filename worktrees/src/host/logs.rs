//! The output of a run: written by its host with a bound, read by everyone else without reading all of it.
//!
//! Each stream has a file and, once that was full, the file before it. What is older is gone, but positions count from
//! the first byte the command wrote, so that a reader can follow. The bytes are kept as written: whoever shows them on
//! a terminal must take out what is dangerous there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::HostError;
use super::files::{create_private, open_append, open_regular};
use super::mask::Mask;

/// A file that is not the first begins with a line of this form, which is not output of the command.
const HEADER_START: &str = "[pipeline: output was cut here; byte ";
const HEADER_END: &str = " of it follows]\n";
const HEADER_BYTES_MAX: u64 = 128;

/// A bound below this would be spent on headers.
const FILE_BYTES_MIN: u64 = 4 * 1024;

/// How often a look is repeated because the host began a new file in the middle of it.
const OPEN_TRIES: usize = 8;

/// Which output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout.log",
            Self::Stderr => "stderr.log",
        }
    }

    fn path(self, run_dir: &Path) -> PathBuf {
        run_dir.join(self.file_name())
    }

    fn earlier_path(self, run_dir: &Path) -> PathBuf {
        run_dir.join(format!("{}.1", self.file_name()))
    }
}

/// The writing side. It never fails the run: what cannot be written is counted as cut.
#[derive(Debug)]
pub(super) struct CappedLog {
    path: PathBuf,
    earlier: PathBuf,
    file: Option<File>,
    /// Not made yet: it will be when there is something to write.
    unmade: bool,
    file_bytes: u64,
    file_bytes_max: u64,
    total: u64,
    cut: bool,
    has_earlier: bool,
    mask: Mask,
}

impl CappedLog {
    pub(super) fn create(run_dir: &Path, stream: Stream, file_bytes_max: u64, mask: Mask) -> Result<Self, HostError> {
        let path = stream.path(run_dir);
        Ok(Self {
            unmade: false,
            file: Some(open_append(&path)?),
            ..Self::unmade(run_dir, stream, file_bytes_max, mask)
        })
    }

    /// The same without making a file, or the directory for it, before there is something to write.
    pub(super) fn unmade(run_dir: &Path, stream: Stream, file_bytes_max: u64, mask: Mask) -> Self {
        Self {
            file: None,
            unmade: true,
            path: stream.path(run_dir),
            earlier: stream.earlier_path(run_dir),
            file_bytes: 0,
            file_bytes_max: file_bytes_max.max(FILE_BYTES_MIN),
            total: 0,
            cut: false,
            has_earlier: false,
            mask,
        }
    }

    /// How much the command wrote.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether some of it was not kept.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.mask.is_empty() {
            self.put(bytes);
        } else {
            let shown = self.mask.push(bytes);
            self.put(&shown);
        }
    }

    /// Writes what was held back: nothing more comes.
    pub(super) fn finish(&mut self) {
        let rest = self.mask.rest();
        self.put(&rest);
    }

    fn put(&mut self, mut bytes: &[u8]) {
        if self.unmade && !bytes.is_empty() {
            let made = self.path.parent().is_none_or(|dir| create_private(dir).is_ok());
            self.file = made.then(|| open_append(&self.path).ok()).flatten();
            self.unmade = false;
        }
        while !bytes.is_empty() {
            let room = self.file_bytes_max.saturating_sub(self.file_bytes);
            if room == 0 {
                self.rotate();
                continue;
            }
            let now = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (these, rest) = bytes.split_at(now);
            let written = self.file.as_mut().is_some_and(|file| file.write_all(these).is_ok());
            if !written {
                self.cut = true;
            }
            self.file_bytes += these.len() as u64;
            self.total += these.len() as u64;
            bytes = rest;
        }
    }

    fn rotate(&mut self) {
        // What was the earlier file is gone with this, whether or not the new one can be begun.
        self.cut |= self.has_earlier;
        let began = std::fs::rename(&self.path, &self.earlier)
            .map_err(HostError::io("rename", &self.path))
            .and_then(|()| open_append(&self.path));
        self.file_bytes = 0;
        match began {
            Ok(mut file) => {
                self.has_earlier = true;
                let header = format!("{HEADER_START}{}{HEADER_END}", self.total);
                if file.write_all(header.as_bytes()).is_ok() {
                    self.file_bytes = header.len() as u64;
                }
                self.file = Some(file);
            }
            Err(_) => {
                self.cut = true;
                self.file = None;
            }
        }
    }

    /// Gives back the space of the earlier file, when there is none left to say how the run ended.
    pub(super) fn discard_earlier(run_dir: &Path) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            // There may be none, and there is nothing else to try if it stays.
            drop(std::fs::remove_file(stream.earlier_path(run_dir)));
        }
    }
}

/// A piece of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// Where the piece begins, counted from the first byte the command wrote. Later than what was asked for if that is
    /// no longer kept.
    pub from: u64,
    /// The bytes, as written.
    pub bytes: Vec<u8>,
    /// Where the stream ended at this moment.
    pub end: u64,
}

/// One file of a stream without its header.
struct Part {
    file: File,
    /// Where its first byte is in the stream, and in the file.
    at: u64,
    header: u64,
    len: u64,
}

impl Part {
    fn open(path: &Path) -> Result<Option<Self>, HostError> {
        let Some(mut file) = open_regular(path)? else {
            return Ok(None);
        };
        // Room for all of it: else it is read in many small steps.
        let mut start = Vec::with_capacity(HEADER_BYTES_MAX as usize + 1);
        (&mut file).take(HEADER_BYTES_MAX).read_to_end(&mut start).map_err(HostError::io("read", path))?;
        let (at, header) = parse_header(&start).unwrap_or((0, 0));
        let len = file.metadata().map_err(HostError::io("read", path))?.len();
        Ok(Some(Self { file, at, header, len: len.saturating_sub(header) }))
    }

    /// Appends what it holds of the range to `into`.
    fn read(&mut self, from: u64, to: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let from = from.max(self.at);
        let to = to.min(self.at + self.len);
        if from < to {
            self.file.seek(SeekFrom::Start(self.header + (from - self.at)))?;
            into.reserve(usize::try_from(to - from).unwrap_or(0).saturating_add(1));
            (&mut self.file).take(to - from).read_to_end(into)?;
        }
        Ok(())
    }
}

fn parse_header(start: &[u8]) -> Option<(u64, u64)> {
    let line = start.split_inclusive(|&byte| byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    let at = text.strip_prefix(HEADER_START)?.strip_suffix(HEADER_END)?.parse().ok()?;
    Some((at, line.len() as u64))
}

/// The files of a stream, oldest first, that are known to follow each other.
fn open_parts(run_dir: &Path, stream: Stream) -> Result<Vec<Part>, HostError> {
    let mut last = Vec::new();
    for _ in 0..OPEN_TRIES {
        let earlier = Part::open(&stream.earlier_path(run_dir))?;
        let current = Part::open(&stream.path(run_dir))?;
        let follows = match (&earlier, &current) {
            (Some(earlier), Some(current)) => earlier.at + earlier.len == current.at,
            // Without an earlier file the current one must be the first: else the host is between the two.
            (None, Some(current)) => current.header == 0,
            (Some(_), None) => false,
            (None, None) => true,
        };
        // A first file that begins like a header was written by the command: without an earlier file it is output.
        last = match (earlier, current) {
            (None, Some(current)) => vec![Part { at: 0, len: current.len + current.header, header: 0, ..current }],
            (earlier, current) => {
                let current_at = current.as_ref().map(|part| part.at);
                let kept = earlier.filter(|part| current_at.is_none_or(|at| part.at + part.len == at));
                kept.into_iter().chain(current).collect()
            }
        };
        if follows {
            break;
        }
    }
    Ok(last)
}

/// Reads at most `bytes_max` bytes of a stream from a position on. A stream that was never written is empty.
///
/// # Errors
/// When a file is there and cannot be read, or is not a regular one.
pub fn read_log(run_dir: &Path, stream: Stream, from: u64, bytes_max: usize) -> Result<LogChunk, HostError> {
    read_from(run_dir, stream, |_| from, bytes_max)
}

/// The same from a position that depends on where the stream ends.
fn read_from(
    run_dir: &Path,
    stream: Stream,
    from: impl FnOnce(u64) -> u64,
    bytes_max: usize,
) -> Result<LogChunk, HostError> {
    let mut parts = open_parts(run_dir, stream)?;
    let kept_from = parts.first().map_or(0, |part| part.at);
    let end = parts.last().map_or(0, |part| part.at + part.len);
    let from = from(end).clamp(kept_from, end);
    let mut bytes = Vec::new();
    for part in &mut parts {
        part.read(from, from.saturating_add(bytes_max as u64), &mut bytes)
            .map_err(HostError::io("read", stream.path(run_dir)))?;
    }
    Ok(LogChunk { from, bytes, end })
}

/// The last `bytes_max` bytes of a stream as text. What is not UTF-8 is replaced; control characters are not.
///
/// # Errors
/// When a file is there and cannot be read, or is not a regular one.
pub fn tail(run_dir: &Path, stream: Stream, bytes_max: usize) -> Result<String, HostError> {
    let mut chunk = read_from(run_dir, stream, |end| end.saturating_sub(bytes_max as u64), bytes_max)?;
    // A cut through a character is not the command's fault: its remains are left out.
    let is_continuation = |byte: &&u8| (**byte & 0xC0) == 0x80;
    if chunk.from > 0 {
        let skip = chunk.bytes.iter().take(3).take_while(is_continuation).count();
        chunk.bytes.drain(..skip);
    }
    // What is valid is not copied.
    Ok(String::from_utf8(chunk.bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The SHA-256 of all that is kept of both streams, in hexadecimal: what a gate's evidence refers to.
///
/// # Errors
/// When a file is there and cannot be read, or is not a regular one.
pub fn digest(run_dir: &Path) -> Result<String, HostError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    for stream in [Stream::Stdout, Stream::Stderr] {
        for path in [stream.earlier_path(run_dir), stream.path(run_dir)] {
            let mut bytes: u64 = 0;
            if let Some(mut file) = open_regular(&path)? {
                loop {
                    let read = file.read(&mut buffer).map_err(HostError::io("read", &path))?;
                    let Some(these) = buffer.get(..read).filter(|these| !these.is_empty()) else {
                        break;
                    };
                    hash.update(these);
                    bytes += these.len() as u64;
                }
            }
            // The length tells where one file ends and the next begins.
            hash.update(bytes.to_le_bytes());
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path) -> CappedLog {
        CappedLog::create(dir, Stream::Stdout, FILE_BYTES_MIN, Mask::default()).unwrap()
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect()
    }

    #[test]
    fn what_fits_is_kept_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        log.write(b"one\n");
        log.write(b"two\n");
        assert_eq!((log.total(), log.is_cut()), (8, false));
        assert_eq!(std::fs::read(dir.path().join("stdout.log")).unwrap(), b"one\ntwo\n");
        assert_eq!(tail(dir.path(), Stream::Stdout, 5).unwrap(), "\ntwo\n");
        assert_eq!(tail(dir.path(), Stream::Stderr, 5).unwrap(), "");
    }

    #[test]
    fn reading_goes_on_across_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        let written = pattern(6000);
        for piece in written.chunks(700) {
            log.write(piece);
        }
        assert!(!log.is_cut());
        let all = read_log(dir.path(), Stream::Stdout, 0, usize::MAX).unwrap();
        assert_eq!((all.from, all.end), (0, 6000));
        assert!(all.bytes == written);
        let middle = read_log(dir.path(), Stream::Stdout, 4000, 200).unwrap();
        assert!(middle.bytes == written[4000..4200]);
        assert_eq!(tail(dir.path(), Stream::Stdout, 3000).unwrap().as_bytes(), &written[3000..]);
    }

    #[test]
    fn one_long_write_is_bounded_and_its_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        let written = pattern(1_000_000);
        log.write(&written);
        assert!(log.is_cut());
        assert_eq!(log.total(), 1_000_000);
        for name in ["stdout.log", "stdout.log.1"] {
            assert!(std::fs::metadata(dir.path().join(name)).unwrap().len() <= FILE_BYTES_MIN);
        }
        let kept = read_log(dir.path(), Stream::Stdout, 0, usize::MAX).unwrap();
        let from = usize::try_from(kept.from).unwrap();
        assert!(from > 0 && kept.end == 1_000_000 && kept.bytes == written[from..]);
        let text = std::fs::read_to_string(dir.path().join("stdout.log")).unwrap();
        assert!(text.starts_with("[pipeline: output was cut here; byte "), "{}", &text[..60]);
    }

    #[test]
    fn output_that_looks_like_a_header_is_output() {
        let dir = tempfile::tempdir().unwrap();
        let line = b"[pipeline: output was cut here; byte 77 of it follows]\nx";
        log(dir.path()).write(line);
        let all = read_log(dir.path(), Stream::Stdout, 0, usize::MAX).unwrap();
        assert_eq!((all.from, all.bytes.as_slice(), all.end), (0, line.as_slice(), 56));
    }

    #[test]
    fn a_tail_does_not_begin_inside_a_character() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).write("aä€x".as_bytes());
        assert_eq!(tail(dir.path(), Stream::Stdout, 3).unwrap(), "x");
        assert_eq!(tail(dir.path(), Stream::Stdout, 4).unwrap(), "€x");
    }

    #[test]
    fn the_digest_tells_streams_and_borders_apart() {
        let one = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let empty = digest(one.path()).unwrap();
        std::fs::write(one.path().join("stdout.log"), "ab").unwrap();
        std::fs::write(other.path().join("stderr.log"), "ab").unwrap();
        let digests = [empty, digest(one.path()).unwrap(), digest(other.path()).unwrap()];
        assert!(digests.iter().all(|digest| digest.len() == 64));
        assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
    }

    #[test]
    fn a_log_that_cannot_be_begun_again_is_counted_and_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        std::fs::create_dir(dir.path().join("stdout.log.1")).unwrap();
        log.write(&pattern(10_000));
        assert_eq!((log.total(), log.is_cut()), (10_000, true));
    }
}
