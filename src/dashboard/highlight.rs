//! Which part of a line of code is what: keywords, texts, numbers, names, comments. Slow, so it is done away from the loop
//! and only for what is in sight; what has not come yet is shown plain. What the parts look like is in the theme.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use pipeline_lib::diff::{Diff, DiffLine, Side};
use pipeline_lib::ids::CommitId;
use pipeline_lib::text;
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

/// How many lines are done at once.
pub(super) const CHUNK_LINES: usize = 100;
/// How many lines before them are read to know what they are in: a comment, say.
const BEFORE_LINES: usize = 100;
/// A longer line is not read, as no person wrote it.
const READ_BYTES_MAX: usize = 400;
/// How much of a line is shown, in characters.
const SHOWN_CHARS_MAX: usize = 1_000;
/// Columns between two tab stops.
const TAB_COLUMNS: usize = 4;

/// What a part of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing in particular.
    Plain,
    /// A word of the language.
    Keyword,
    /// A text.
    Text,
    /// A number or another fixed value.
    Value,
    /// What something is called.
    Name,
    /// What is written for people.
    Comment,
}

/// The parts of a line: how many bytes of the shown line each of them ends at, and what it is.
pub(super) type Parts = Vec<(usize, Class)>;

/// Some neighbouring lines of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chunk {
    /// The file, by its place.
    pub(super) file: usize,
    /// The hunk of the file.
    pub(super) hunk: usize,
    /// Which lines of the hunk, in steps of [`CHUNK_LINES`].
    pub(super) nth: usize,
}

/// Asks for the parts of some lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) diff: Arc<Diff>,
    pub(super) chunk: Chunk,
}

/// The parts of some lines, line by line; none for lines that stay plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lit {
    /// The two commits of the comparison.
    pub(super) of: (CommitId, CommitId),
    pub(super) chunk: Chunk,
    pub(super) lines: Arc<Vec<Parts>>,
}

impl Lit {
    /// The answer that leaves the lines as they are.
    pub(super) fn plain(ask: &Ask) -> Self {
        Self { of: (ask.diff.from.clone(), ask.diff.to.clone()), chunk: ask.chunk, lines: Arc::default() }
    }
}

/// A line as it is shown: safe, and with spaces in place of tabs.
pub(super) fn shown(line: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text::safe(line, SHOWN_CHARS_MAX).chars() {
        if c == '\t' {
            let spaces = TAB_COLUMNS - column % TAB_COLUMNS;
            out.extend(std::iter::repeat_n(' ', spaces));
            column += spaces;
        } else {
            out.push(if c == '\n' { ' ' } else { c });
            column += 1;
        }
    }
    out
}

/// Every language that is known. Never changes; reading it takes a moment, so it is read with the first use.
static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// What the scopes of the languages are, the first one that fits.
static CLASSES: LazyLock<Vec<(Scope, Class)>> = LazyLock::new(|| {
    let known = [
        ("comment", Class::Comment),
        ("meta.interpolation", Class::Plain),
        ("constant.character.escape", Class::Value),
        ("string", Class::Text),
        ("constant", Class::Value),
        ("keyword.operator", Class::Plain),
        ("keyword", Class::Keyword),
        ("storage", Class::Keyword),
        ("entity.name.tag", Class::Keyword),
        ("entity.name", Class::Name),
        ("entity.other.attribute-name", Class::Name),
        ("support.function", Class::Name),
        ("support.type", Class::Name),
        ("support.class", Class::Name),
        ("variable.function", Class::Name),
        ("markup.heading", Class::Keyword),
        ("markup.raw", Class::Text),
    ];
    known.into_iter().filter_map(|(name, class)| Some((Scope::new(name).ok()?, class))).collect()
});

/// Reads the lines that are asked for.
pub(super) fn read(ask: &Ask) -> Lit {
    let lines = lines(ask).unwrap_or_default();
    Lit { lines: Arc::new(lines), ..Lit::plain(ask) }
}

fn lines(ask: &Ask) -> Option<Vec<Parts>> {
    let Chunk { file, hunk, nth } = ask.chunk;
    let file = ask.diff.files.get(file)?;
    let hunk = file.hunks.get(hunk)?;
    let first = hunk.lines.first().filter(|line| line.new == 1).map(|line| line.text.as_str());
    let syntax = syntax(&file.path, first)?;
    let from = nth * CHUNK_LINES;
    let before = from.saturating_sub(BEFORE_LINES);
    let mut reader = Reader { state: ParseState::new(syntax), scopes: ScopeStack::new() };
    let wanted = hunk.lines.iter().enumerate().skip(before).take(from + CHUNK_LINES - before);
    let read = wanted.map(|(at, line)| (at, reader.line(line)));
    Some(read.filter(|(at, _)| *at >= from).map(|(_, parts)| parts).collect())
}

/// The language of a file, by its name, else by its first line.
fn syntax(path: &str, first: Option<&str>) -> Option<&'static SyntaxReference> {
    let path = Path::new(path);
    let name = path.file_name()?.to_str()?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    // Near enough for colours.
    let extension = match extension {
        "ts" | "tsx" | "jsx" | "mjs" | "cjs" | "mts" | "cts" => "js",
        "jsonl" | "json5" | "jsonc" => "json",
        "zsh" | "ksh" => "sh",
        "kt" | "kts" => "java",
        other => other,
    };
    let set = &*SYNTAXES;
    let by_name = || set.find_syntax_by_extension(name);
    let by_extension = || set.find_syntax_by_extension(extension).filter(|_| !extension.is_empty());
    let found = by_name().or_else(by_extension).or_else(|| set.find_syntax_by_first_line(first?));
    found.filter(|syntax| syntax.name != set.find_syntax_plain_text().name)
}

/// Reads lines one after the other, as they are in the newer of the two commits.
struct Reader {
    state: ParseState,
    scopes: ScopeStack,
}

impl Reader {
    fn line(&mut self, line: &DiffLine) -> Parts {
        // What is gone is shown plain, and would only mislead what follows.
        if line.side == Side::Old || line.text.len() > READ_BYTES_MAX {
            return Parts::new();
        }
        let mut shown = shown(&line.text);
        let end = shown.len();
        shown.push('\n');
        let Ok(changes) = self.state.parse_line(&shown, &SYNTAXES) else { return Parts::new() };
        let mut parts = Parts::new();
        for (at, change) in changes {
            self.put(&mut parts, at.min(end));
            // A language that closes what it never opened is wrong, and its colours with it.
            if self.scopes.apply(&change).is_err() {
                return Parts::new();
            }
        }
        self.put(&mut parts, end);
        parts
    }

    /// Everything up to here is of the present class.
    fn put(&self, parts: &mut Parts, end: usize) {
        let class = class(&self.scopes);
        let begin = parts.last().map_or(0, |(end, _)| *end);
        match parts.last_mut() {
            _ if end <= begin => {}
            Some((last, of)) if *of == class => *last = end,
            _ => parts.push((end, class)),
        }
    }
}

/// What the innermost scope that means anything says.
fn class(scopes: &ScopeStack) -> Class {
    let meant = scopes
        .as_slice()
        .iter()
        .rev()
        .find_map(|scope| CLASSES.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope)).map(|(_, class)| *class));
    meant.unwrap_or(Class::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::diff::{Change, FileDiff, Hunk};

    fn ask(path: &str, lines: &[(Side, &str)], nth: usize) -> Ask {
        let line = |(at, (side, text)): (usize, &(Side, &str))| {
            let number = u32::try_from(at + 1).unwrap();
            DiffLine { side: *side, old: number, new: number, text: (*text).to_owned(), unended: false }
        };
        let lines = lines.iter().enumerate().map(line).collect();
        let file = FileDiff {
            path: path.to_owned(),
            old_path: None,
            change: Change::Modified,
            modes: None,
            binary: false,
            added: 0,
            removed: 0,
            hunks: vec![Hunk { lines, ..Hunk::default() }],
            left_out: 0,
        };
        let none = || CommitId::from(String::new());
        let diff = Diff { from: none(), to: none(), files: vec![file], files_total: 1 };
        Ask { diff: Arc::new(diff), chunk: Chunk { file: 0, hunk: 0, nth } }
    }

    /// A line with a letter for each class.
    fn told(parts: &Parts, line: &str) -> String {
        let (mut out, mut begin) = (String::new(), 0);
        for (end, class) in parts {
            let letter = match class {
                Class::Plain => '.',
                Class::Keyword => 'k',
                Class::Text => 't',
                Class::Value => 'v',
                Class::Name => 'n',
                Class::Comment => 'c',
            };
            out.extend(std::iter::repeat_n(letter, end - begin));
            begin = *end;
        }
        assert_eq!(begin, shown(line).len(), "every byte has a class");
        out
    }

    fn read_all(path: &str, lines: &[&str]) -> Vec<String> {
        let both: Vec<(Side, &str)> = lines.iter().map(|line| (Side::New, *line)).collect();
        let lit = read(&ask(path, &both, 0));
        lit.lines.iter().zip(lines).map(|(parts, line)| told(parts, line)).collect()
    }

    #[test]
    fn the_parts_of_a_line_are_told_apart() {
        assert_eq!(
            read_all("src/a.rs", &["fn total(n: u32) -> u32 { // why", "    \"a\\n\", 42", "/* one", "two */ let x;"]),
            ["kk.nnnnn....kkk.....kkk...cccccc", "....ttvvt..vv", "cccccc", "cccccc.kkk..."]
        );
        assert_eq!(read_all("Makefile", &["# all"]), ["ccccc"]);
        assert_eq!(read_all("app.tsx", &["const x = 'y'"])[0].replace('.', ""), "kkkkkttt");
    }

    #[test]
    fn a_language_is_known_by_the_first_line_too_and_else_lines_stay_plain() {
        assert_eq!(read_all("run", &["#!/bin/sh", "# x"])[1], "ccc");
        assert!(read(&ask("notes.unknown", &[(Side::New, "fn x")], 0)).lines.is_empty());
        assert!(read(&ask("a.txt", &[(Side::New, "fn x")], 0)).lines.is_empty());
    }

    #[test]
    fn what_is_gone_does_not_mislead_and_what_is_too_long_is_not_read() {
        let long = "x".repeat(READ_BYTES_MAX + 1);
        let lines = [(Side::Both, "let a;"), (Side::Old, "/*"), (Side::New, "let b;"), (Side::New, long.as_str())];
        let lit = read(&ask("a.rs", &lines, 0));
        assert_eq!(
            (told(&lit.lines[2], "let b;"), lit.lines[1].len(), lit.lines[3].len()),
            ("kkk...".to_owned(), 0, 0)
        );
    }

    #[test]
    fn lines_further_down_know_what_they_are_in() {
        let mut lines = vec![(Side::New, "let a;"); CHUNK_LINES + 3];
        lines[CHUNK_LINES - 5] = (Side::New, "/* begins");
        let lit = read(&ask("a.rs", &lines, 1));
        assert_eq!((lit.lines.len(), told(&lit.lines[0], "let a;")), (3, "cccccc".to_owned()));
    }

    #[test]
    fn tabs_and_hostile_characters_are_gone_before_a_line_is_read() {
        assert_eq!(shown("\tif\tx \u{1b}[2J\u{202e}y"), "    if  x y");
        let line = "\tlet \u{202e}x;";
        assert_eq!(read_all("a.rs", &[line]), ["....kkk..."]);
    }
}
