//! A line that a program printed, read as text with colours: the sequences that set them (SGR of ECMA-48) are followed,
//! every other sequence and everything invisible is left out. Moves no cursor and keeps no screen; what a program drew by
//! moving its cursor about comes out as pieces of text, in the order in which they were drawn.

use unicode_width::UnicodeWidthChar as _;

use super::{Attributes, Colour, Line, Span, Style};
use crate::text;

/// Columns from one tab stop to the next.
const TAB: usize = 8;
/// Parameters of one sequence; what follows them is not read.
const PARAMETERS_MAX: usize = 32;
/// The widest gap that the cursor leaves by moving to the right, in columns.
const GAP_MAX: usize = 200;

/// Cuts what a program wrote where its cursor jumped to another row. Pieces without anything to see are left out, unless
/// that is all there is.
pub fn pieces(printed: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(printed);
    let cut = std::iter::from_fn(move || {
        let text = rest?;
        let jump = text.match_indices("\u{1B}[").find_map(|(at, _)| Some((at, jump(&text[at..])?)));
        let (piece, after) = match jump {
            Some((at, length)) => (&text[..at], Some(&text[at + length..])),
            None => (text, None),
        };
        rest = after;
        Some(piece)
    });
    let mut whole = !printed.contains('\u{1B}');
    cut.filter(move |piece| std::mem::take(&mut whole) || !text::one_line(piece, 2).is_empty())
}

/// How long the sequence at the start of this text is, if it is one that takes the cursor to another row.
fn jump(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\u{1B}[")?;
    let end = inner.find(|c: char| !matches!(c, '0'..='9' | ';'))?;
    inner[end..].starts_with(['A', 'B', 'E', 'F', 'H', 'J', 'd', 'f']).then_some(2 + end + 1)
}

/// Reads lines one after the other: a colour stays until it is changed, over the ends of lines too.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    style: Style,
}

impl Reader {
    /// Reads a line without its end. A carriage return begins it anew, as progress bars do.
    #[must_use]
    pub fn line(&mut self, printed: &str) -> Line {
        let printed = printed.trim_end_matches('\r');
        let mut out = Builder::default();
        let mut rest = printed;
        while let Some(c) = rest.chars().next() {
            match c {
                '\u{1B}' => {
                    match sequence(rest) {
                        Some((parameters, 'm')) => self.apply(parameters),
                        Some((columns, 'C')) => {
                            let gap = columns.parse().unwrap_or(1).clamp(1, GAP_MAX);
                            (0..gap).for_each(|_| out.push(' ', self.style));
                        }
                        // Some programs write the gaps between words as the column where the next one begins.
                        Some((column, 'G')) => {
                            let column = column.parse().unwrap_or(1_usize).saturating_sub(1);
                            let gap = column.saturating_sub(out.columns).min(GAP_MAX);
                            (0..gap).for_each(|_| out.push(' ', self.style));
                        }
                        Some(_) | None => {}
                    }
                    rest = text::skip_sequence(rest);
                    continue;
                }
                '\r' => out = Builder::default(),
                '\t' => out.tab(self.style),
                // Line ends for some readers and not for others; here they are none.
                '\n' | '\u{2028}' | '\u{2029}' => out.push(' ', self.style),
                _ if text::is_hidden(c) && !text::is_joiner(c) => {
                    rest = text::skip_sequence(rest);
                    continue;
                }
                _ => out.push(c, self.style),
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
        out.line
    }

    fn apply(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).take(PARAMETERS_MAX).map(|part| match part {
            "" => Some(0),
            digits => digits.parse::<u16>().ok(),
        });
        while let Some(number) = numbers.next() {
            let style = &mut self.style;
            match number.unwrap_or(u16::MAX) {
                0 => *style = Style::default(),
                code @ (1..=4 | 7..=9) => style.attributes = style.attributes.with(attribute(code)),
                5 | 6 => {}
                21 | 22 => style.attributes = without(style.attributes, Attributes::BOLD.with(Attributes::DIM)),
                code @ (23 | 24 | 27..=29) => style.attributes = without(style.attributes, attribute(code - 20)),
                code @ 30..=37 => style.foreground = Colour::Indexed(small(code - 30)),
                code @ 90..=97 => style.foreground = Colour::Indexed(small(code - 90 + 8)),
                code @ 40..=47 => style.background = Colour::Indexed(small(code - 40)),
                code @ 100..=107 => style.background = Colour::Indexed(small(code - 100 + 8)),
                38 => style.foreground = extended(&mut numbers).unwrap_or(style.foreground),
                48 => style.background = extended(&mut numbers).unwrap_or(style.background),
                39 => style.foreground = Colour::Default,
                49 => style.background = Colour::Default,
                _ => {}
            }
        }
    }
}

/// The parameters of a control sequence at the start of this text, and what it is. Those with a mark of their own, such
/// as a question mark, are others.
fn sequence(text: &str) -> Option<(&str, char)> {
    let inner = text.strip_prefix("\u{1B}[")?;
    let end = inner.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    let (parameters, after) = inner.split_at(end);
    Some((parameters, after.chars().next()?))
}

fn attribute(code: u16) -> Attributes {
    match code {
        1 => Attributes::BOLD,
        2 => Attributes::DIM,
        3 => Attributes::ITALIC,
        4 => Attributes::UNDERLINE,
        7 => Attributes::REVERSED,
        8 => Attributes::HIDDEN,
        9 => Attributes::STRIKEOUT,
        _ => Attributes::default(),
    }
}

fn without(set: Attributes, gone: Attributes) -> Attributes {
    Attributes(set.0 & !gone.0)
}

fn small(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// A colour of the palette of 256, or by its parts.
fn extended(numbers: &mut impl Iterator<Item = Option<u16>>) -> Option<Colour> {
    let mut next = || u8::try_from(numbers.next()??).ok();
    match next()? {
        5 => Some(Colour::Indexed(next()?)),
        2 => Some(Colour::Rgb(next()?, next()?, next()?)),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Builder {
    line: Line,
    columns: usize,
}

impl Builder {
    fn push(&mut self, c: char, style: Style) {
        self.columns += c.width().unwrap_or(0);
        match self.line.spans.last_mut() {
            Some(span) if span.style == style => span.text.push(c),
            _ => self.line.spans.push(Span { text: c.to_string(), style }),
        }
    }

    fn tab(&mut self, style: Style) {
        for _ in 0..TAB - self.columns % TAB {
            self.push(' ', style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(printed: &str) -> Vec<(String, Style)> {
        let line = Reader::default().line(printed);
        line.spans.into_iter().map(|span| (span.text, span.style)).collect()
    }

    fn of(foreground: Colour) -> Style {
        Style { foreground, ..Style::default() }
    }

    #[test]
    fn colours_are_kept_and_other_sequences_are_not() {
        let plain = Style::default();
        let red = of(Colour::Indexed(1));
        for (printed, expected) in [
            ("a\u{1b}[31mb\u{1b}[mc", vec![("a", plain), ("b", red), ("c", plain)]),
            ("\u{1b}[2J\u{1b}]0;title\u{7}a\u{1b}[10;10Hb", vec![("ab", plain)]),
            ("\u{1b}[?31ma", vec![("a", plain)]),
            ("\u{1b}[38;5;200mx", vec![("x", of(Colour::Indexed(200)))]),
            ("\u{1b}[38;2;1;2;3mx", vec![("x", of(Colour::Rgb(1, 2, 3)))]),
            ("\u{1b}[38;2;1;2;999mx", vec![("x", plain)]),
            ("\u{1b}[97;31mx", vec![("x", red)]),
            ("a\tb", vec![("a       b", plain)]),
            ("界\tb", vec![("界      b", plain)]),
            (" 10%\r 99%\rdone\r", vec![("done", plain)]),
            ("a\u{202e}b\u{8}\u{0}c", vec![("abc", plain)]),
            ("\u{1b}", vec![]),
            ("\u{1b}[31", vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(text, style)| (text.to_owned(), style)).collect();
            assert_eq!(read(printed), expected, "{printed:?}");
        }
    }

    #[test]
    fn what_was_drawn_is_cut_where_the_cursor_jumps() {
        let cut = |printed| pieces(printed).collect::<Vec<_>>();
        assert_eq!(cut("plain"), ["plain"]);
        assert_eq!(cut(""), [""], "an empty line is one");
        assert_eq!(cut("\u{1b}[2J\u{1b}[H"), Vec::<&str>::new());
        assert_eq!(
            cut("\u{1b}[2J\u{1b}[1;1H\u{1b}[31mred\u{1b}[3;5Hmore\u{1b}[K\u{1b}[2A\u{1b}[m"),
            ["\u{1b}[31mred", "more\u{1b}[K"]
        );
        assert_eq!(read("a\u{1b}[3Cb\u{1b}[Cc")[0].0, "a   b c");
    }

    #[test]
    fn attributes_are_set_and_taken_back_and_stay_over_lines() {
        let mut reader = Reader::default();
        let bold = reader.line("\u{1b}[1;4mx").spans[0].style.attributes;
        assert!(bold.contains(Attributes::BOLD.with(Attributes::UNDERLINE)));
        assert_eq!(reader.line("x\u{1b}[22m").spans[0].style.attributes, bold);
        assert_eq!(reader.line("x").spans[0].style.attributes, Attributes::UNDERLINE);
        assert!(reader.line("\u{1b}[24mx").spans[0].style.attributes.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_but_what_can_be_seen_is_left(printed in "(\\PC|[\u{1b}\\[\\]0-9;:mHJ\u{9b}\r\t\u{7}\u{202e}\u{90}]){0,60}") {
            let line = Reader::default().line(&printed);
            for span in &line.spans {
                prop_assert!(!span.text.is_empty());
                prop_assert!(!span.text.chars().any(|c| (text::is_hidden(c) && !text::is_joiner(c)) || matches!(c, '\n' | '\t' | '\r')));
            }
        }
    }

    #[test]
    fn words_that_stand_at_columns_of_their_own_stay_apart() {
        let text = |printed: &str| Reader::default().line(printed).text();
        assert_eq!(text("Syntax\u{1B}[10Gtheme:\u{1B}[17GMonokai"), "Syntax   theme: Monokai");
        assert_eq!(text("ab\u{1B}[1Gc"), "abc", "nothing is taken away");
        assert_eq!(text("a\u{1B}[99999999999999999999Gb"), "ab");
    }
}
