//! Text from elsewhere made safe to show: in a terminal, in a log, in JSON, in a task file.
//!
//! Titles, agent output and git messages are written by others and may hold escape sequences that repaint a terminal,
//! bidirectional controls that make a command look like another one, and invisible characters that hide instructions.
//! All of it goes through here once, where it enters. Nothing here measures display width or finds secrets.

/// How many characters an escape sequence that carries a string (a window title, say) may have. What is longer was not
/// meant as one, or is an attack; only its introducer is dropped then. The bound also keeps the work linear.
const SEQUENCE_CHARS_MAX: usize = 1024;
/// So many names are listed in a sentence.
const LISTED_MAX: usize = 8;

/// Makes a paragraph safe: newlines and tabs stay, everything invisible or steering goes, at most `max_chars` remain.
#[must_use]
pub fn safe(text: &str, max_chars: usize) -> String {
    let mut out = Clipped::new(max_chars);
    for c in Visible::new(text) {
        if !out.push(c) {
            break;
        }
    }
    out.finish()
}

/// Makes a single line: as [`safe`], with each run of white space turned into one space and none at the ends.
#[must_use]
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut out = Clipped::new(max_chars);
    let mut gap = false;
    for c in Visible::new(text) {
        if c.is_whitespace() {
            gap = out.len > 0;
            continue;
        }
        if gap && !out.push(' ') {
            break;
        }
        gap = false;
        if !out.push(c) {
            break;
        }
    }
    out.finish()
}

/// So many bytes in the unit in which they are easy to read: `900 B`, `1.0 GB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| n >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", n as f64 / size as f64),
        None => format!("{n} B"),
    }
}

/// A number of things in words, such as `1 task` or `2 tasks`.
#[must_use]
pub fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// The last `n` lines of a text, as they are. A newline at the very end does not count as a line.
#[must_use]
pub fn tail_lines(text: &str, n: usize) -> &str {
    if n == 0 {
        return "";
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let start = body.rmatch_indices('\n').nth(n - 1).map_or(0, |(at, _)| at + 1);
    text.get(start..).unwrap_or("")
}

/// The longest beginning of a text that has at most `max` bytes and ends between two characters.
#[must_use]
pub fn head_bytes(text: &str, max: usize) -> &str {
    text.get(..floor_boundary(text, max)).unwrap_or("")
}

/// The longest end of a text that has at most `max` bytes and begins between two characters.
#[must_use]
pub fn tail_bytes(text: &str, max: usize) -> &str {
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or("")
}

fn floor_boundary(text: &str, max: usize) -> usize {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// Whether a character is dropped: it steers the terminal, changes the reading direction, or cannot be seen.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
        '\u{AD}' | '\u{61C}' | '\u{180E}'
        // Zero width characters and direction marks; embeddings and overrides; word joiner, invisible operators,
        // isolates and deprecated format characters.
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        // Variation selectors other than the two that choose between text and emoji; byte order mark.
        | '\u{FE00}'..='\u{FE0D}' | '\u{FEFF}'
        // Interlinear annotation; musical format characters; tags; supplementary variation selectors.
        | '\u{FFF9}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}' => true,
        other => other.is_control(),
    }
}

/// Whether a character joins, or keeps apart, what stands on both sides of it: parts of an emoji, letters of a script whose
/// letters change their form. It cannot be seen itself, so it is hidden everywhere but between two that can, in a cell.
#[must_use]
pub fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// A string that stops growing at a number of characters and then ends in an ellipsis.
struct Clipped {
    text: String,
    len: usize,
    max: usize,
    over: bool,
}

impl Clipped {
    fn new(max: usize) -> Self {
        Self { text: String::new(), len: 0, max, over: false }
    }

    /// False once there is no more room.
    fn push(&mut self, c: char) -> bool {
        if self.len == self.max {
            self.over = true;
            return false;
        }
        self.text.push(c);
        self.len += 1;
        true
    }

    fn finish(mut self) -> String {
        if self.over && self.text.pop().is_some() {
            self.text.push('…');
        }
        self.text
    }
}

/// The characters of a text that may be shown.
struct Visible<'a> {
    rest: &'a str,
}

impl<'a> Visible<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl Iterator for Visible<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            let mut chars = self.rest.chars();
            let c = chars.next()?;
            let after = chars.as_str();
            self.rest = after_character(c, after);
            match c {
                // A carriage return alone repaints a line, as progress bars do; the line separators of Unicode are
                // newlines for some readers and not for others. All of them end a line here.
                '\r' if self.rest.starts_with('\n') => {}
                '\r' | '\u{2028}' | '\u{2029}' => return Some('\n'),
                other if is_hidden(other) => {}
                other => return Some(other),
            }
        }
    }
}

/// What follows the character or the sequence that this text begins with.
pub(crate) fn skip_sequence(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => after_character(first, chars.as_str()),
        None => "",
    }
}

/// What follows a character, given what stands behind it: one that introduces a sequence takes the sequence with it.
fn after_character(c: char, after: &str) -> &str {
    match c {
        '\u{1B}' => after_escape(after),
        '\u{9B}' => after_control_sequence(after),
        '\u{90}' | '\u{98}' | '\u{9D}' | '\u{9E}' | '\u{9F}' => after_control_string(after),
        _ => after,
    }
}

/// What follows an escape sequence whose escape character has been read.
fn after_escape(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some('[') => after_control_sequence(chars.as_str()),
        Some(']' | 'P' | 'X' | '^' | '_') => after_control_string(chars.as_str()),
        Some('\u{20}'..='\u{2F}') => {
            let rest = chars.as_str().trim_start_matches(|c| matches!(c, '\u{20}'..='\u{2F}'));
            rest.strip_prefix(|c| matches!(c, '\u{30}'..='\u{7E}')).unwrap_or(rest)
        }
        Some('\u{30}'..='\u{7E}') => chars.as_str(),
        Some(_) | None => text,
    }
}

/// What follows a sequence such as `[31m`, after its introducer.
fn after_control_sequence(text: &str) -> &str {
    let rest = text.trim_start_matches(|c| matches!(c, '\u{20}'..='\u{3F}'));
    rest.strip_prefix(|c| matches!(c, '\u{40}'..='\u{7E}')).unwrap_or(rest)
}

/// What follows a sequence that carries a string up to a terminator, after its introducer.
fn after_control_string(text: &str) -> &str {
    for (at, c) in text.char_indices().take(SEQUENCE_CHARS_MAX) {
        let end = match c {
            '\u{7}' | '\u{9C}' => at + c.len_utf8(),
            '\u{1B}' if text[at + 1..].starts_with('\\') => at + 2,
            // Another control character cancels the sequence, for a terminal as for us.
            other if other.is_control() => return text,
            _ => continue,
        };
        return &text[end..];
    }
    text
}

/// What the line begins with in which a program says why it failed.
pub const ERROR: &str = "error: ";

/// The line of some words that says most: the last that is an error, else the first.
#[must_use]
pub fn headline(words: &str) -> &str {
    let error = words.lines().rev().find(|line| line.starts_with(ERROR));
    error.or_else(|| words.lines().next()).unwrap_or_default()
}

/// Of what a program said, the line that tells why it failed: the last that is an error, else the last one.
#[must_use]
pub fn last_error(said: &str) -> &str {
    let error = said.lines().rev().find(|line| line.starts_with(ERROR));
    error.or_else(|| said.trim_end().lines().next_back()).unwrap_or_default()
}

/// The number of single-character edits between two short words (Levenshtein, 1966).
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Names in a sentence, in quotation marks: the first of them where there are many.
#[must_use]
pub fn listed<'w>(names: impl Iterator<Item = &'w str>) -> String {
    let mut names: Vec<String> = names.take(LISTED_MAX + 1).map(|name| format!("`{}`", one_line(name, 60))).collect();
    if names.len() > LISTED_MAX {
        names[LISTED_MAX] = "…".to_owned();
    }
    names.join(", ")
}

/// The known word that was probably meant: few edits away for its length.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    let bound = |other: &str| (length.max(other.chars().count()) / 2).min(3);
    // Words of very different lengths are not compared: there may be thousands.
    let near = known.filter(|other| other.len().abs_diff(word.len()) <= 12);
    let edits = near.map(|other| (distance(word, other), other));
    let (edits, other) = edits.min_by_key(|(edits, other)| (*edits, other.len().abs_diff(word.len())))?;
    (edits <= bound(other)).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_error_says_more_than_that_something_ended() {
        assert_eq!(headline("exited with code 1\nerror: no package\n"), "error: no package");
        assert_eq!(headline("done\nand more"), "done");
        assert_eq!(headline(""), "");
    }

    #[test]
    fn escape_sequences_leave_only_their_text() {
        for (text, expected) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[38;2;1;2;3mx", "x"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]52;c;aGk=\u{7}clip", "clip"),
            ("\u{1b}Pq#0\u{1b}\\sixel", "sixel"),
            ("\u{9b}31mc1", "c1"),
            ("\u{1b}(Bset", "set"),
            ("\u{1b}cfull reset", "full reset"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}]never ends\nnext", "never ends\nnext"),
            ("a\u{8}b\u{7f}c\u{0}d", "abcd"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("tab\tstays", "tab\tstays"),
        ] {
            assert_eq!(safe(text, 100), expected, "{text:?}");
        }
    }

    #[test]
    fn characters_that_cannot_be_seen_go() {
        assert_eq!(safe("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}f\u{ad}g\u{e0100}", 100), "abcdefg");
        assert_eq!(safe("✅\u{fe0f} é 漢", 100), "✅\u{fe0f} é 漢");
        assert_eq!(safe("x\u{2028}y", 10), "x\ny");
    }

    #[test]
    fn cutting_leaves_an_ellipsis_within_the_limit() {
        assert_eq!(safe("abcdef", 6), "abcdef");
        assert_eq!(safe("abcdefg", 6), "abcde…");
        assert_eq!(safe("漢字漢字", 3), "漢字…");
        assert_eq!(safe("abc", 0), "");
        assert_eq!(safe("ab\u{200b}", 2), "ab", "what is dropped does not count");
    }

    #[test]
    fn one_line_has_no_newline_and_no_double_space() {
        assert_eq!(one_line("  a\n\n b\t\tc \r\n", 100), "a b c");
        assert_eq!(one_line("a b c", 3), "a …");
        assert_eq!(one_line("\n \n", 10), "");
    }

    #[test]
    fn the_tail_is_counted_in_lines() {
        assert_eq!(tail_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(tail_lines("a", 5), "a");
        assert_eq!(tail_lines("a\nb", 0), "");
        assert_eq!(tail_lines("\n\n\n", 1), "\n");
    }

    #[test]
    fn byte_limits_never_split_a_character() {
        assert_eq!(head_bytes("é漢", 1), "");
        assert_eq!(head_bytes("é漢", 2), "é");
        assert_eq!(tail_bytes("é漢", 4), "漢");
        assert_eq!(tail_bytes("é漢", 2), "");
    }

    #[test]
    fn unterminated_strings_are_not_quadratic() {
        let hostile = "\u{1b}]\u{9d}".repeat(500_000);
        assert_eq!(safe(&hostile, 10), "");
    }

    proptest! {
        #[test]
        fn what_is_safe_stays_the_same(text in "\\PC{0,40}|(.|\\n|\u{1b}){0,40}", max in 0usize..50) {
            let once = safe(&text, max);
            prop_assert!(once.chars().count() <= max);
            prop_assert!(!once.chars().any(is_hidden));
            prop_assert_eq!(&safe(&once, max), &once);
            let line = one_line(&text, max);
            prop_assert!(!line.contains('\n') && !line.contains("  "));
            prop_assert!(line.chars().count() <= max);
        }
    }
}
