//! What a terminal showed of what a program printed, made again from the log of a session that is over.

use std::sync::Arc;

use pipeline_lib::terminal::{Line, Size};

use super::emulator::{Emulator, SLICE_BYTES};

/// How a program leaves the other screen, on which nothing remains to be scrolled back to.
const LEAVE: [&[u8]; 3] = [b"\x1b[?1049l", b"\x1b[?1047l", b"\x1b[?47l"];

/// What a terminal of this size would show of these bytes, oldest line first: what a program showed on the other screen
/// before it left that for the last time, then all that scrolled by and the last screen.
#[must_use]
pub fn replay(printed: &[u8], size: Size) -> Vec<Line> {
    let mut emulator = Emulator::new(size);
    let left = LEAVE.iter().filter_map(|leave| printed.windows(leave.len()).rposition(|bytes| bytes == *leave)).max();
    let (before, after) = printed.split_at(left.unwrap_or(0));
    feed(&mut emulator, before);
    let other = emulator.frame(0);
    let mut lines = if other.modes.alternate { other.lines } else { Vec::new() };
    trim(&mut lines);
    feed(&mut emulator, after);
    let (history, rows) = (emulator.frame(0).history, usize::from(emulator.size().rows));
    let mut next = 0;
    while next < history + rows {
        let offset = history.saturating_sub(next);
        let first = history - offset;
        lines.extend(emulator.frame(offset).lines.into_iter().skip(next - first));
        next = first + rows;
    }
    trim(&mut lines);
    lines.into_iter().map(Arc::unwrap_or_clone).collect()
}

fn feed(emulator: &mut Emulator, bytes: &[u8]) {
    for slice in bytes.chunks(SLICE_BYTES) {
        emulator.feed(slice);
        // Whoever asked has gone.
        emulator.take_answers().clear();
    }
    emulator.end_sync();
}

/// Leaves out the blank lines at both ends.
fn trim(lines: &mut Vec<Arc<Line>>) {
    let used = |line: &Arc<Line>| !line.text().trim().is_empty();
    lines.truncate(lines.iter().rposition(used).map_or(0, |last| last + 1));
    lines.drain(..lines.iter().position(used).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 20, rows: 3 };

    fn shown(printed: &str) -> Vec<String> {
        replay(printed.as_bytes(), SIZE).iter().map(Line::text).collect()
    }

    #[test]
    fn all_that_scrolled_by_is_there_once() {
        let printed: String = (1..=8).map(|n| format!("{n}\r\n")).collect();
        assert_eq!(shown(&printed), ["1", "2", "3", "4", "5", "6", "7", "8"]);
        assert_eq!(shown("old\rnew\x1b[2;3Hx"), ["new", "  x"]);
        assert_eq!(shown(""), Vec::<String>::new());
    }

    #[test]
    fn the_last_picture_of_the_other_screen_comes_first() {
        let printed = "before\r\n\x1b[?1049h\x1b[2Jfirst\x1b[?1049l\x1b[?1049h\x1b[2J\x1b[Hlast\x1b[?1049lbye\r\n";
        assert_eq!(shown(printed), ["last", "before", "bye"]);
        assert_eq!(shown("x\x1b[?1049h\x1b[2J\x1b[Hkilled there"), ["killed there"]);
    }
}
