//! Quotes marked values in a shell command for the places where they stand. The command is read as a POSIX shell reads
//! it, as far as quoting goes; where that is not certain, a value is refused instead of being guessed about.

use super::RenderError;

/// What stands before and after a value. No command can contain it.
pub(super) const MARK: char = '\0';

/// What the reader is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Words: the whole command, `$(…)` or `(…)`.
    Words,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `${…}`; whether double quotes are around it.
    Braces { in_double: bool },
    /// `` `…` ``
    Back,
    /// `$((…))`; how many more brackets are open.
    Sum { open: usize },
    /// `# …`
    Comment,
}

/// A text that a command has as its input, `<<END`.
#[derive(Debug, Clone)]
struct HereText {
    end: String,
    /// Whether the end is quoted: then the shell leaves the text alone.
    literal: bool,
    /// Whether leading tabs are taken off.
    tabs: bool,
}

/// A command with marked values, as one that can be run.
///
/// # Errors
/// When a value stands where no quoting makes it harmless.
pub(super) fn apply(marked: &str) -> Result<String, RenderError> {
    let mut reader = Reader {
        rest: marked,
        out: String::with_capacity(marked.len() + 16),
        inside: vec![Inside::Words],
        before: None,
        fresh: true,
        word: String::new(),
        unsure: false,
        texts: Vec::new(),
    };
    while !reader.rest.is_empty() {
        reader.step()?;
    }
    Ok(reader.out)
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
    inside: Vec<Inside>,
    /// A backslash or a dollar sign that changes the meaning of what follows.
    before: Option<char>,
    /// Whether a word would begin here.
    fresh: bool,
    /// The word that is being read, as far as it has only letters.
    word: String,
    /// Whether something was read that shells do not agree about.
    unsure: bool,
    /// Texts that begin on the next line.
    texts: Vec<HereText>,
}

impl<'a> Reader<'a> {
    fn here(&self) -> Inside {
        self.inside.last().copied().unwrap_or(Inside::Words)
    }

    fn step(&mut self) -> Result<(), RenderError> {
        let Some(c) = self.rest.chars().next() else { return Ok(()) };
        if c == MARK {
            return self.value();
        }
        let escaped = self.before.take() == Some('\\');
        if !escaped && c == '\n' && self.here() == Inside::Words && !self.texts.is_empty() {
            self.take(1);
            return self.here_texts();
        }
        match self.here() {
            Inside::Words => self.words(c, escaped),
            Inside::Double => self.double(c, escaped),
            Inside::Single => self.until(c == '\'', c),
            Inside::Back => self.back(c, escaped),
            Inside::Braces { in_double } => self.braces(c, escaped, in_double),
            Inside::Sum { open } => self.sum(c, escaped, open),
            Inside::Comment => {
                if c == '\n' {
                    // The end of the line is not part of the comment.
                    self.inside.pop();
                } else {
                    self.take(c.len_utf8());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.out.push_str(taken);
        self.rest = rest;
    }

    fn enter(&mut self, bytes: usize, inside: Inside) {
        self.take(bytes);
        self.inside.push(inside);
        self.word.clear();
        self.fresh = inside == Inside::Words;
    }

    fn leave(&mut self, bytes: usize) {
        self.take(bytes);
        self.inside.pop();
    }

    fn until(&mut self, end: bool, c: char) {
        if end { self.leave(c.len_utf8()) } else { self.take(c.len_utf8()) }
    }

    /// What a dollar sign begins. False: nothing.
    fn dollar(&mut self, in_double: bool) -> bool {
        let next = &self.rest[1..];
        if next.starts_with("((") {
            self.enter(3, Inside::Sum { open: 0 });
        } else if next.starts_with('(') {
            self.enter(2, Inside::Words);
        } else if next.starts_with('{') {
            self.enter(2, Inside::Braces { in_double });
        } else {
            // `$'…'` has escapes in some shells and none in others.
            self.unsure |= !in_double && next.starts_with(['\'', '"']);
            return false;
        }
        true
    }

    fn words(&mut self, c: char, escaped: bool) {
        let was_fresh = self.fresh;
        match c {
            _ if escaped => self.escaped_in_words(c),
            '\\' => self.mark_before(c),
            '\'' => self.enter(1, Inside::Single),
            '"' => self.enter(1, Inside::Double),
            '`' => self.enter(1, Inside::Back),
            '$' if self.dollar(false) => {}
            '$' => {
                self.fresh = false;
                self.mark_before(c);
            }
            '#' if was_fresh => self.enter(1, Inside::Comment),
            '(' => self.enter(1, Inside::Words),
            ')' => {
                // Whether a word begins after it depends on what was opened; only a comment could tell.
                self.unsure |= self.rest.starts_with(")#");
                if self.inside.len() > 1 {
                    self.leave(1)
                } else {
                    self.take(1)
                }
                self.fresh = false;
            }
            '<' if self.rest.starts_with("<<<") => self.take(3),
            '<' if self.rest.starts_with("<<") => self.here_text_begins(),
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' => {
                self.take(1);
                self.fresh = true;
            }
            _ => self.letter(c),
        }
        if !c.is_ascii_alphabetic() || escaped {
            self.word.clear();
        }
    }

    fn escaped_in_words(&mut self, c: char) {
        self.take(c.len_utf8());
        // A line that goes on is one line.
        self.fresh &= c == '\n';
    }

    /// A letter of a word. Within brackets `case` has brackets of its own that nothing opens.
    fn letter(&mut self, c: char) {
        self.fresh = false;
        self.word.push(c);
        self.take(c.len_utf8());
        let goes_on = self.rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        self.unsure |= self.word == "case" && !goes_on && self.inside.len() > 1;
    }

    fn mark_before(&mut self, c: char) {
        self.take(1);
        self.before = Some(c);
    }

    fn double(&mut self, c: char, escaped: bool) {
        match c {
            _ if escaped => self.take(c.len_utf8()),
            '\\' => self.mark_before(c),
            '"' => self.leave(1),
            '`' => self.enter(1, Inside::Back),
            '$' if self.dollar(true) => {}
            '$' => self.mark_before(c),
            _ => self.take(c.len_utf8()),
        }
    }

    fn back(&mut self, c: char, escaped: bool) {
        match c {
            _ if escaped => self.take(c.len_utf8()),
            '\\' => self.mark_before(c),
            '`' => self.leave(1),
            _ => self.take(c.len_utf8()),
        }
    }

    fn braces(&mut self, c: char, escaped: bool, in_double: bool) {
        match c {
            _ if escaped => self.take(c.len_utf8()),
            '\\' => self.mark_before(c),
            '}' => self.leave(1),
            '"' => self.enter(1, Inside::Double),
            '`' => self.enter(1, Inside::Back),
            '$' if self.dollar(in_double) => {}
            '\'' if !in_double => self.enter(1, Inside::Single),
            _ => {
                // Within double quotes, shells do not agree whether a quotation mark opens anything here.
                self.unsure |= c == '\'';
                self.take(c.len_utf8());
            }
        }
    }

    fn sum(&mut self, c: char, escaped: bool, open: usize) {
        let set = |reader: &mut Self, open: usize| {
            reader.take(1);
            if let Some(last) = reader.inside.last_mut() {
                *last = Inside::Sum { open };
            }
        };
        match c {
            _ if escaped => self.take(c.len_utf8()),
            '\\' => self.mark_before(c),
            '$' if self.dollar(true) => {}
            '`' => self.enter(1, Inside::Back),
            '(' => set(self, open + 1),
            ')' if open > 0 => set(self, open - 1),
            ')' if self.rest.starts_with("))") => self.leave(2),
            _ => {
                // A single bracket means that it was a command after all, and quotes mean one thing or another.
                self.unsure |= matches!(c, ')' | '\'' | '"');
                self.take(c.len_utf8());
            }
        }
    }

    /// Remembers the text that the next line begins.
    fn here_text_begins(&mut self) {
        self.take(2);
        let tabs = self.rest.starts_with('-');
        if tabs {
            self.take(1);
        }
        let blank = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.take(blank);
        let (mut end, mut literal, mut quote) = (String::new(), false, None);
        while let Some(c) = self.rest.chars().next() {
            match (quote, c) {
                (None, '\'' | '"') => (quote, literal) = (Some(c), true),
                (Some(open), _) if open == c => quote = None,
                (None, '\\') => literal = true,
                (None, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') => break,
                (_, MARK) => {
                    self.unsure = true;
                    break;
                }
                _ => end.push(c),
            }
            self.take(c.len_utf8());
        }
        self.unsure |= end.is_empty() || self.inside.len() > 1;
        self.texts.push(HereText { end, literal, tabs });
    }

    /// Reads the texts that were announced, line by line.
    fn here_texts(&mut self) -> Result<(), RenderError> {
        for text in std::mem::take(&mut self.texts) {
            let mut commands = false;
            while !self.rest.is_empty() {
                let start = self.out.len();
                let valued = self.line_of_text(&text, &mut commands)?;
                let line = self.out[start..].trim_end_matches('\n');
                let is_end = |line: &str| (if text.tabs { line.trim_start_matches('\t') } else { line }) == text.end;
                if valued && line.split('\n').any(is_end) {
                    return refuse("that ends the text it stands in", "use another word after `<<`");
                }
                if is_end(line) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// One line of such a text; whether it has a value.
    fn line_of_text(&mut self, text: &HereText, commands: &mut bool) -> Result<bool, RenderError> {
        let (mut valued, mut before) = (false, None);
        while let Some(c) = self.rest.chars().next() {
            if c != MARK {
                let starts = |opening: &str| self.rest.starts_with(opening);
                *commands |= !text.literal && before != Some('\\') && (c == '`' || starts("$(") || starts("${"));
                before = (before != Some('\\') && matches!(c, '\\' | '$')).then_some(c);
                self.take(c.len_utf8());
                if c == '\n' {
                    break;
                }
                continue;
            }
            let joined = before.is_some() || names_variable(&self.out);
            if *commands || self.unsure || (joined && !text.literal) {
                return refuse("after `$`, a backslash or a command in a text of `<<`", QUOTED_ELSEWHERE);
            }
            let value = self.take_value();
            let special: &[char] = if text.literal { &[] } else { &['$', '`', '\\'] };
            escape(&mut self.out, value, special);
            (valued, before) = (true, None);
        }
        Ok(valued)
    }

    /// The marked value at the beginning of the rest, which is taken off.
    fn take_value(&mut self) -> &'a str {
        let from = &self.rest[MARK.len_utf8()..];
        let (value, rest) = from.split_once(MARK).unwrap_or((from, ""));
        self.rest = rest;
        value
    }

    fn value(&mut self) -> Result<(), RenderError> {
        if self.unsure {
            return refuse("after something that shells read differently", QUOTED_ELSEWHERE);
        }
        match self.before.take() {
            Some('\\') => return refuse("right after a backslash", "remove the backslash"),
            Some(_) => return refuse("right after `$`", "remove the dollar sign"),
            None => {}
        }
        let here = self.here();
        let value = self.take_value();
        let followed = self.rest.starts_with(['<', '>']);
        let out = &mut self.out;
        let done = match here {
            Inside::Words => {
                word(out, value, followed);
                Ok(())
            }
            Inside::Double => {
                // Otherwise the value would lengthen the name of the variable.
                out.push_str(if names_variable(out) { "\"\"" } else { "" });
                escape(out, value, &['$', '`', '\\', '"']);
                Ok(())
            }
            Inside::Single => {
                out.push_str(&value.replace('\'', r"'\''"));
                Ok(())
            }
            Inside::Comment if !value.contains('\n') => {
                single_quoted(out, value);
                Ok(())
            }
            Inside::Comment => refuse("of several lines in a comment", "remove it from the comment"),
            Inside::Sum { .. } if value.parse::<i64>().is_ok() => {
                out.push_str(value);
                Ok(())
            }
            Inside::Sum { .. } => refuse("that is no whole number in `$((…))`", "give it a whole number"),
            Inside::Braces { .. } => refuse("inside `${…}`", QUOTED_ELSEWHERE),
            Inside::Back => refuse("inside backquotes", "write $(…) instead of backquotes"),
        };
        self.word.clear();
        self.fresh = false;
        done
    }
}

const QUOTED_ELSEWHERE: &str = "set a variable from it on a line before, and use that";

fn refuse<T>(place: &'static str, advice: &'static str) -> Result<T, RenderError> {
    Err(RenderError::Place { place, advice })
}

fn escape(out: &mut String, value: &str, special: &[char]) {
    for c in value.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
}

/// Whether a text ends with a variable's name, which letters would lengthen.
fn names_variable(text: &str) -> bool {
    text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').ends_with('$')
}

/// A value as part of a word outside of quotes. Plain ones are left plain where they mean nothing else there: a number
/// before a redirection does, and so do the shell's own words.
fn word(out: &mut String, value: &str, before_redirection: bool) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+:,./-".contains(&b);
    let harmless = !value.is_empty() && value.bytes().all(plain) && !SHELL_WORDS.contains(&value);
    if harmless && !before_redirection && !names_variable(out) {
        out.push_str(value);
    } else {
        single_quoted(out, value);
    }
}

/// Words that mean something to a shell where a command begins.
const SHELL_WORDS: [&str; 16] = [
    "case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "time",
    "until", "while",
];

fn single_quoted(out: &mut String, value: &str) {
    out.push('\'');
    out.push_str(&value.replace('\'', r"'\''"));
    out.push('\'');
}
