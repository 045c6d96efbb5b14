//! What is wrong with a file that people write, said so that they find the place and know what to type.
//!
//! Every reader of this folder reports through [`LocatedProblem`]; nothing here decides what counts as a problem.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Origin as SnippetOrigin, Renderer, Snippet};
use pipeline_lib::text::{is_hidden, one_line};

/// A line longer than this is not shown, only named: it was not written by hand.
const SHOWN_LINE_BYTES_MAX: usize = 400;
/// The longest message, since messages quote what others wrote.
const MESSAGE_CHARS_MAX: usize = 400;

/// A file's text with the name it is shown under.
#[derive(Debug)]
pub(crate) struct SourceText {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Where each line begins, so that thousands of problems in one file are located quickly.
    lines: Vec<usize>,
}

impl SourceText {
    pub(crate) fn new(name: String, text: String) -> Arc<Self> {
        let lines =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        let lines = lines.collect();
        Arc::new(Self { name, text, lines })
    }

    /// Line and column, both from 1; the column counts characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line + 1, column + 1)
    }

    /// The byte offset of a line and column from 1, where the column counts bytes, as serde_json has it.
    pub(crate) fn offset(&self, line: usize, byte_column: usize) -> usize {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let mut offset = (start + byte_column.saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn excerpt(&self, span: &Range<usize>) -> Option<Excerpt> {
        let (line, _) = self.position(span.start);
        let start = self.lines.get(line - 1).copied()?;
        let text = self.text.get(start..)?.lines().next()?;
        if text.len() > SHOWN_LINE_BYTES_MAX {
            return None;
        }
        let from = (span.start - start).min(text.len());
        let to = span.end.saturating_sub(start).clamp(from, text.len());
        // What steers a terminal or hides is shown as a mark; the span moves with the text.
        let shown = |part: &str| -> String {
            part.chars().map(|c| if c != '\t' && is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
        };
        let (before, marked, after) = (shown(text.get(..from)?), shown(text.get(from..to)?), shown(text.get(to..)?));
        let span = before.len()..before.len() + marked.len();
        Some(Excerpt { text: before + &marked + &after, span })
    }
}

/// Where a value was written.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// At this place of a file.
    File(Arc<SourceText>, Range<usize>),
    /// In this environment variable.
    Environment(String),
    /// On the command line, for this key.
    Override(String),
}

impl Place {
    /// The place of a part of a JSON text that stands here; the whole where it is not found.
    pub(crate) fn of_part(&self, part: &str) -> Self {
        let Self::File(source, span) = self else { return self.clone() };
        let written = serde_json::Value::from(part).to_string();
        let written = written.trim_matches('"');
        match source.text.get(span.clone()).and_then(|text| text.find(written)) {
            Some(at) => Self::File(Arc::clone(source), span.start + at..span.start + at + written.len()),
            None => self.clone(),
        }
    }
}

/// Where a value in force comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// A file, with line and column from 1.
    File {
        /// The name it is shown under.
        file: String,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
    /// The command line; the key.
    Override(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Override(_) => f.write_str("command line"),
        }
    }
}

impl From<&Place> for Origin {
    fn from(place: &Place) -> Self {
        match place {
            Place::File(source, span) => {
                let (line, column) = source.position(span.start);
                Self::File { file: source.name.clone(), line, column }
            }
            Place::Environment(name) => Self::Environment(name.clone()),
            Place::Override(key) => Self::Override(key.clone()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    span: Range<usize>,
}

/// Something wrong with a file, an environment variable or an option, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedProblem {
    /// The file as it is shown, or the environment variable or option.
    pub file: String,
    /// The line, from 1; 0 where there is none.
    pub line: usize,
    /// The column in characters, from 1; 0 where there is none.
    pub column: usize,
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What to do about it, as a full sentence.
    pub suggestion: Option<String>,
    /// Whether it does no harm yet.
    pub warning: bool,
    excerpt: Option<Box<Excerpt>>,
}

impl LocatedProblem {
    pub(crate) fn new(place: &Place, message: impl AsRef<str>, suggestion: Option<String>) -> Self {
        let message = one_line(message.as_ref(), MESSAGE_CHARS_MAX);
        let suggestion = suggestion.map(|text| one_line(&text, MESSAGE_CHARS_MAX));
        let (file, line, column, excerpt) = match place {
            Place::File(source, span) => {
                let (line, column) = source.position(span.start);
                (source.name.clone(), line, column, source.excerpt(span).map(Box::new))
            }
            Place::Environment(name) => (format!("environment variable {name}"), 0, 0, None),
            Place::Override(key) => (format!("option for {key}"), 0, 0, None),
        };
        Self { file, line, column, message, suggestion, warning: false, excerpt }
    }

    /// A problem with a file as a whole, such as one that cannot be read.
    pub(crate) fn of_file(file: &str, message: impl AsRef<str>, suggestion: Option<String>) -> Self {
        let message = one_line(message.as_ref(), MESSAGE_CHARS_MAX);
        Self { file: file.to_owned(), line: 0, column: 0, message, suggestion, warning: false, excerpt: None }
    }

    #[must_use]
    pub(crate) fn into_warning(mut self) -> Self {
        self.warning = true;
        self
    }

    /// The problem with the line it is about and a caret under the place. Ends without a newline.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let level = if self.warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(self.message.as_str());
        let mut group = match &self.excerpt {
            Some(excerpt) => {
                let annotation = AnnotationKind::Primary.span(excerpt.span.clone());
                let snippet = Snippet::source(excerpt.text.as_str()).line_start(self.line).path(self.file.as_str());
                title.element(snippet.annotation(annotation))
            }
            None if self.line > 0 => {
                title.element(SnippetOrigin::path(self.file.as_str()).line(self.line).char_column(self.column))
            }
            None => title.element(SnippetOrigin::path(self.file.as_str())),
        };
        if let Some(suggestion) = &self.suggestion {
            group = group.element(Level::HELP.message(suggestion.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for LocatedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

/// Why a configuration cannot be used: every problem that was found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems, in the order of the layers and of each file.
    pub problems: Vec<LocatedProblem>,
}

impl ConfigError {
    /// What to do about the first problem.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.problems.iter().find_map(|problem| problem.suggestion.as_deref())
    }

    /// Every problem with its line and a caret, an empty line between two.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        render_all(&self.problems, color)
    }
}

/// Puts problems in the order in which they are read: file by file, each from top to bottom.
pub(crate) fn sort(problems: &mut [LocatedProblem]) {
    let mut files: Vec<String> = Vec::new();
    for problem in problems.iter() {
        if files.last() != Some(&problem.file) && !files.contains(&problem.file) {
            files.push(problem.file.clone());
        }
    }
    let rank = |file: &str| files.iter().position(|other| other == file);
    problems.sort_by_cached_key(|problem| (rank(&problem.file), problem.line, problem.column));
}

/// Renders problems one below the other.
#[must_use]
pub fn render_all(problems: &[LocatedProblem], color: bool) -> String {
    let parts: Vec<String> = problems.iter().map(|problem| problem.render(color)).collect();
    parts.join("\n\n")
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [] => f.write_str("the configuration is not valid"),
            [only] => only.fmt(f),
            [first, more @ ..] => write!(f, "{first} (and {} more)", more.len()),
        }
    }
}

impl std::error::Error for ConfigError {}
