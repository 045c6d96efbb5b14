//! What is waiting to be written to a program: what was typed, in order, with the pauses between, and what the emulator
//! answered. Bounded, if callers ask for room: a program that does not read is not given more.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// What may wait at most. More is refused.
const BYTES_MAX: usize = 1024 * 1024;
/// In so many pieces at most.
const ITEMS_MAX: usize = 10_000;

#[derive(Debug)]
enum Item {
    /// Bytes that belong together.
    Bytes(Vec<u8>),
    /// Time that passes between what comes before and what comes after.
    Pause(Duration),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What the program is waiting for: it comes next, but not within a piece that is being written.
    answers: Vec<u8>,
    items: VecDeque<Item>,
    /// How much of the first item is written.
    written: usize,
    /// How many bytes are waiting.
    bytes: usize,
    /// When the pause at the front is over.
    pause_ends: Option<Instant>,
}

impl Queue {
    /// Whether so much more may wait.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= BYTES_MAX && self.items.len() < ITEMS_MAX
    }

    /// Adds what was typed.
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.items.push_back(Item::Bytes(bytes));
        }
    }

    /// Lets time pass before what is added next.
    pub(super) fn pause(&mut self, pause: Duration) {
        self.items.push_back(Item::Pause(pause));
    }

    /// Adds an answer of the emulator. Left out where too much is waiting.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        if self.has_room(bytes.len()) {
            self.bytes += bytes.len();
            self.answers.extend_from_slice(bytes);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is something to write now.
    pub(super) fn is_ready(&self) -> bool {
        !self.answers.is_empty() || matches!(self.items.front(), Some(Item::Bytes(_)))
    }

    /// When there may be something to write without anything being added.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pause_ends.filter(|_| matches!(self.items.front(), Some(Item::Pause(_))))
    }

    /// Writes what can be written without waiting.
    ///
    /// # Errors
    /// When nobody can read it any more.
    pub(super) fn write(&mut self, now: Instant, mut to: impl Write) -> io::Result<()> {
        loop {
            if self.written == 0 && !self.answers.is_empty() {
                let Some(written) = write_some(&mut to, &self.answers)? else { return Ok(()) };
                self.answers.drain(..written);
                self.bytes = self.bytes.saturating_sub(written);
                continue;
            }
            match self.items.front() {
                Some(Item::Bytes(bytes)) => {
                    let rest = bytes.get(self.written..).unwrap_or_default();
                    let left = rest.len();
                    let Some(written) = write_some(&mut to, rest)? else { return Ok(()) };
                    self.bytes = self.bytes.saturating_sub(written);
                    self.written += written;
                    if written == left {
                        self.written = 0;
                        self.items.pop_front();
                    }
                }
                Some(Item::Pause(pause)) => {
                    if now < *self.pause_ends.get_or_insert(now + *pause) {
                        return Ok(());
                    }
                    self.pause_ends = None;
                    self.items.pop_front();
                }
                None => return Ok(()),
            }
        }
    }
}

/// Writes what there is room for; nothing where there is none now.
fn write_some(to: &mut impl Write, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match to.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Ok(0) => return Ok(None),
            written => return written.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then no more.
    struct Narrow<'a>(&'a mut Vec<u8>, usize);

    impl Write for Narrow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            self.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn enter_comes_after_the_pause_that_begins_when_the_paste_is_written() {
        let (mut queue, mut out, start) = (Queue::default(), Vec::new(), Instant::now());
        let pause = Duration::from_millis(150);
        queue.push(b"paste".to_vec());
        queue.pause(pause);
        queue.push(b"\r".to_vec());
        queue.push(b"x".to_vec());
        queue.write(start, Narrow(&mut out, 2)).unwrap();
        assert_eq!((out.as_slice(), queue.deadline()), (b"pa".as_slice(), None));
        let later = start + pause;
        queue.write(later, Narrow(&mut out, 99)).unwrap();
        assert_eq!((out.as_slice(), queue.deadline()), (b"paste".as_slice(), Some(later + pause)));
        queue.write(later + pause / 2, Narrow(&mut out, 99)).unwrap();
        assert!(!queue.is_ready() && out == b"paste");
        queue.write(later + pause, Narrow(&mut out, 99)).unwrap();
        assert_eq!((out.as_slice(), queue.deadline(), queue.bytes), (b"paste\rx".as_slice(), None, 0));
    }

    #[test]
    fn answers_come_before_what_has_not_begun_and_within_nothing() {
        let (mut queue, mut out, now) = (Queue::default(), Vec::new(), Instant::now());
        queue.push(b"first".to_vec());
        queue.push(b"second".to_vec());
        queue.write(now, Narrow(&mut out, 2)).unwrap();
        queue.answer(b"<one>");
        queue.answer(b"<two>");
        queue.write(now, Narrow(&mut out, 8)).unwrap();
        queue.write(now, Narrow(&mut out, 99)).unwrap();
        assert_eq!(out, b"first<one><two>second");
        queue.pause(Duration::from_secs(9));
        queue.write(now, Narrow(&mut out, 99)).unwrap();
        queue.answer(b"<now>");
        queue.write(now, Narrow(&mut out, 99)).unwrap();
        assert!(out.ends_with(b"<now>"));
        assert_eq!(queue.deadline(), Some(now + Duration::from_secs(9)));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut queue = Queue::default();
        assert!(queue.has_room(BYTES_MAX) && !queue.has_room(BYTES_MAX + 1));
        queue.push(vec![b'x'; BYTES_MAX]);
        assert!(!queue.has_room(1));
        queue.answer(b"z");
        assert_eq!((queue.answers.len(), queue.bytes), (0, BYTES_MAX));
        queue.clear();
        assert!(queue.has_room(BYTES_MAX) && !queue.is_ready());
        (0..ITEMS_MAX).for_each(|_| queue.pause(Duration::ZERO));
        assert!(!queue.has_room(0));
    }
}
