//! What an agent says about its own run: the heading in its task file, the outcome file, the decision in its last words.
//!
//! Everything here is a claim, not a proof. Whether the claim belongs to the live run, appeared after dispatch, and is true
//! of the branch is decided by others; this module only says what was stated, and says "nothing" when in doubt.

pub mod decision;
pub mod marker;
pub mod outcome;
pub mod waiting;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use decision::{Decision, Settled, decide, settle};
pub use marker::{Marker, TaskFile, parse, render_task_file};
pub use outcome::{Outcome, OutcomeError};
pub use waiting::{WaitingFile, render_waiting_file};

/// What an agent can claim about its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimStatus {
    /// The work is done.
    Completed,
    /// Something outside the agent's reach is in the way.
    Blocked,
    /// The agent tried and did not succeed.
    Failed,
    /// A person should look before it goes on.
    NeedsReview,
}

impl ClaimStatus {
    /// Every status, in the order they are offered.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Blocked, Self::Failed, Self::NeedsReview];

    /// The word of the heading in a task file.
    #[must_use]
    pub fn heading_word(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Blocked => "BLOCKED",
            Self::Failed => "FAILED",
            Self::NeedsReview => "NEEDS_REVIEW",
        }
    }

    /// The word of the outcome file and of `pipeline done --status`.
    #[must_use]
    pub fn outcome_word(self) -> &'static str {
        match self {
            Self::Completed => "ok",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::NeedsReview => "needs-review",
        }
    }

    /// Reads the word of an outcome file; `completed` says the same as `ok`.
    #[must_use]
    pub fn from_outcome_word(word: &str) -> Option<Self> {
        if word == "completed" {
            return Some(Self::Completed);
        }
        Self::ALL.into_iter().find(|status| status.outcome_word() == word)
    }
}

impl fmt::Display for ClaimStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.outcome_word())
    }
}

/// Where a line of Markdown stands, as far as claims care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Ordinary text.
    Text,
    /// Inside a fenced code block, or one of its fences.
    Code,
    /// Inside an HTML comment, or the line on which one begins at the left edge.
    Comment,
}

/// The lines of a Markdown text without their line ends, each with its place.
///
/// A fence or a comment at the left edge that is never closed reaches to the end, as Markdown has it: what follows it is
/// not shown to a reader, so it is no claim either.
fn lines(text: &str) -> Lines<'_> {
    Lines {
        rest: Some(text.strip_prefix('\u{FEFF}').unwrap_or(text)),
        closers_left: text.matches("-->").count(),
        fence: None,
        comment: false,
    }
}

struct Lines<'a> {
    rest: Option<&'a str>,
    /// How many comment ends are still ahead; an opening in the middle of a line counts only if there is one.
    closers_left: usize,
    fence: Option<(char, usize)>,
    comment: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (Place, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let line = match rest.split_once('\n') {
            Some((line, after)) => {
                self.rest = Some(after);
                line
            }
            None => {
                self.rest = None;
                rest
            }
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        self.closers_left -= line.matches("-->").count();
        Some((self.place(line), line))
    }
}

impl Lines<'_> {
    fn place(&mut self, line: &str) -> Place {
        if let Some((mark, len)) = self.fence {
            if let Some((closing, count, info)) = fence(line)
                && closing == mark
                && count >= len
                && info.trim().is_empty()
            {
                self.fence = None;
            }
            return Place::Code;
        }
        if self.comment {
            self.comment = !line.contains("-->");
            return Place::Comment;
        }
        if let Some((mark, count, info)) = fence(line)
            // With a backtick behind it, it is code within a sentence.
            && !(mark == '`' && info.contains('`'))
        {
            self.fence = Some((mark, count));
            return Place::Code;
        }
        if line.trim_start().starts_with("<!--") && indent(line) <= 3 {
            self.comment = !line.trim_start()[4..].contains("-->");
            return Place::Comment;
        }
        // A quotation is a container of its own: a comment that begins in it ends with it.
        if !line.starts_with('>') && leaves_comment_open(line) {
            self.comment = self.closers_left > 0;
        }
        Place::Text
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The character, length and remainder of a line that could open or close fenced code.
fn fence(line: &str) -> Option<(char, usize, &str)> {
    if indent(line) > 3 {
        return None;
    }
    let line = line.trim_start_matches(' ');
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = line.trim_start_matches(mark);
    let count = line.len() - info.len();
    (count >= 3).then_some((mark, count, info))
}

/// Whether a comment begins in the middle of this line, outside code, and does not end on it.
fn leaves_comment_open(line: &str) -> bool {
    let Some(at) = line.rfind("<!--") else { return false };
    let in_code = line[..at].matches('`').count() % 2 == 1;
    !in_code && !line[at + 4..].contains("-->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back_from_its_word() {
        for status in ClaimStatus::ALL {
            assert_eq!(ClaimStatus::from_outcome_word(status.outcome_word()), Some(status));
        }
        assert_eq!(ClaimStatus::from_outcome_word("completed"), Some(ClaimStatus::Completed));
        for word in ["OK", "done", "", "needs_review", "success"] {
            assert_eq!(ClaimStatus::from_outcome_word(word), None, "{word}");
        }
    }

    fn places(text: &str) -> String {
        lines(text)
            .map(|(place, _)| match place {
                Place::Text => 't',
                Place::Code => 'c',
                Place::Comment => 'h',
            })
            .collect()
    }

    #[test]
    fn code_and_comments_are_told_from_text() {
        for (text, expected) in [
            ("a\nb", "tt"),
            ("```\na\n```\nb", "ccct"),
            ("```rust\na\n~~~\n```\nb", "cccct"),
            ("~~~~\n~~~\n~~~~~\nb", "ccct"),
            ("````\n```\n````\nb", "ccct"),
            ("``` `x`\nb", "tt"),
            ("    ```\nb", "tt"),
            ("   ```\nb", "cc"),
            ("``\nb", "tt"),
            ("```\nnever closed", "cc"),
            ("<!-- one line -->\nb", "ht"),
            ("<!--\na\n-->\nb", "hhht"),
            ("<!-- never closed\nb", "hh"),
            ("x <!-- a\nb\n--> y\nz", "thht"),
            ("x <!-- never closed\nb", "tt"),
            ("the `<!--` sign\nb\n-->", "ttt"),
            ("> <!--\nb\n-->", "ttt"),
            ("<!--\n```\n-->\nb", "hhht"),
            ("```\n<!--\n```\nb", "ccct"),
            ("<!-->\nb", "hh"),
        ] {
            assert_eq!(places(text), expected, "{text:?}");
        }
    }
}
