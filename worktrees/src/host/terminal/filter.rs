//! What stands before the emulator: bounds the strings that it would collect without end, and finds the one question
//! that it does not answer. Everything else passes untouched, in pieces of what came.
//!
//! It follows escape sequences just far enough for that, in the way the emulator's parser does.

/// An operating system command has at most this many bytes. No honest one is longer.
const STRING_BYTES_MAX: usize = 4 * 1024;

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;

/// What the emulator is to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The end of a string that is too long.
    Cancel,
    /// The program asks for the name of its terminal (XTVERSION). Its bytes have passed.
    NameAsked,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Ground,
    /// Behind an escape character.
    Escape,
    /// Behind `ESC [`.
    Control,
    /// Behind `ESC [ >` and any number of zeros.
    ControlGreater,
    /// In an operating system command with so many bytes.
    String(usize),
    /// In what is left of one that was too long.
    Skip,
}

/// The filter with what it remembers between two reads.
#[derive(Debug, Default)]
pub(super) struct Filter {
    state: State,
}

impl Filter {
    /// Hands bytes on, in order.
    pub(super) fn feed<'a>(&mut self, bytes: &'a [u8], mut take: impl FnMut(Piece<'a>)) {
        // What has been looked at and not handed on yet begins here.
        let mut start = 0;
        let mut at = 0;
        let piece = |start: usize, end: usize| bytes.get(start..end).unwrap_or_default();
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Ground => {
                    let rest = piece(at, bytes.len());
                    let Some(plain) = rest.iter().position(|&byte| byte == ESC) else { break };
                    at += plain + 1;
                    self.state = State::Escape;
                    continue;
                }
                State::Escape => self.state = after_escape(byte),
                State::Control => {
                    self.state = match byte {
                        b'>' => State::ControlGreater,
                        ESC => State::Escape,
                        _ => State::Ground,
                    };
                }
                State::ControlGreater => {
                    self.state = match byte {
                        b'0' => State::ControlGreater,
                        ESC => State::Escape,
                        _ => State::Ground,
                    };
                    if byte == b'q' {
                        take(Piece::Bytes(piece(start, at + 1)));
                        take(Piece::NameAsked);
                        start = at + 1;
                    }
                }
                State::String(length) => {
                    self.state = match byte {
                        BEL | CAN | SUB => State::Ground,
                        ESC => State::Escape,
                        _ if length == STRING_BYTES_MAX => {
                            take(Piece::Bytes(piece(start, at)));
                            take(Piece::Cancel);
                            State::Skip
                        }
                        _ => State::String(length + 1),
                    };
                }
                State::Skip => {
                    let rest = piece(at, bytes.len());
                    let Some(skipped) = rest.iter().position(|byte| matches!(*byte, BEL | CAN | SUB | ESC)) else {
                        return;
                    };
                    at += skipped;
                    // An escape character ends the string and begins something else; the others only end it.
                    let is_escape = bytes.get(at) == Some(&ESC);
                    start = if is_escape { at } else { at + 1 };
                    self.state = if is_escape { State::Escape } else { State::Ground };
                }
            }
            at += 1;
        }
        if matches!(self.state, State::Skip) {
            return;
        }
        let rest = piece(start, bytes.len());
        if !rest.is_empty() {
            take(Piece::Bytes(rest));
        }
    }
}

/// What the byte behind an escape character begins. Control characters do not count there.
fn after_escape(byte: u8) -> State {
    match byte {
        b']' => State::String(0),
        b'[' => State::Control,
        CAN | SUB => State::Ground,
        0x00..=0x1f | 0x7f..=0xff => State::Escape,
        _ => State::Ground,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out, with words for what is not bytes.
    fn filtered(parts: &[&[u8]]) -> Vec<u8> {
        let (mut filter, mut out) = (Filter::default(), Vec::new());
        for part in parts {
            filter.feed(part, |piece| match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Cancel => out.extend_from_slice(b"<cancel>"),
                Piece::NameAsked => out.extend_from_slice(b"<name>"),
            });
        }
        out
    }

    #[test]
    fn what_is_of_honest_length_passes_untouched() {
        let long = [b"\x1b]0;".as_slice(), &[b'x'; STRING_BYTES_MAX - 2], b"\x07after"].concat();
        for bytes in [b"plain\r\n".as_slice(), b"\x1b[1;31mred\x1b[m", b"\x1b]0;title\x1b\\x", b"\x1b", &long] {
            assert_eq!(filtered(&[bytes]), bytes);
        }
    }

    #[test]
    fn a_string_without_an_end_is_cut_and_skipped_up_to_its_terminator() {
        let endless = [b'x'; 3 * STRING_BYTES_MAX];
        let kept = [b"\x1b]".as_slice(), &endless[..STRING_BYTES_MAX], b"<cancel>"].concat();
        assert_eq!(filtered(&[b"\x1b]", &endless, &endless]), kept);
        for (end, after) in [
            (b"\x07after".as_slice(), b"after".as_slice()),
            (b"\x1b\\after", b"\x1b\\after"),
            (b"\x1b[mafter", b"\x1b[mafter"),
            (b"\x18after", b"after"),
        ] {
            assert_eq!(filtered(&[b"\x1b]", &endless, end]), [&kept, after].concat());
            assert_eq!(filtered(&[&[b"\x1b]", endless.as_slice(), end].concat()]), [&kept, after].concat());
        }
    }

    #[test]
    fn a_string_after_control_characters_counts_too() {
        let endless = [b'x'; 2 * STRING_BYTES_MAX];
        let begun = [b"\x1b\n\xff]".as_slice(), &endless].concat();
        assert!(filtered(&[&begun]).ends_with(b"x<cancel>"));
    }

    #[test]
    fn the_question_for_the_name_is_found_behind_its_last_byte() {
        for question in [b"\x1b[>q".as_slice(), b"\x1b[>0q"] {
            let bytes = [b"a".as_slice(), question, b"\x1b[c"].concat();
            let expected = [b"a".as_slice(), question, b"<name>\x1b[c"].concat();
            for cut in 0..=bytes.len() {
                assert_eq!(filtered(&[&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
            }
        }
        for other in [b"\x1b[>1q".as_slice(), b"\x1b[0 q", b"\x1b[q", b"[>q", b"\x1b[>c"] {
            assert_eq!(filtered(&[other]), other);
        }
    }

    proptest! {
        #[test]
        fn where_reads_end_changes_nothing(
            parts in prop::collection::vec(prop_oneof![
                Just(b"\x1b]".to_vec()), Just(b"\x1b\\".to_vec()), Just(b"\x07".to_vec()), Just(b"\x1b[>q".to_vec()),
                Just(vec![b'x'; 3000]), prop::collection::vec(any::<u8>(), 0..8),
            ], 0..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = parts.concat();
            let cut = cut.index(bytes.len() + 1);
            prop_assert_eq!(filtered(&[&bytes[..cut], &bytes[cut..]]), filtered(&[&bytes]));
        }
    }
}
