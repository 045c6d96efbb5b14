//! What differs between two commits, as a person reviews it: files, hunks, lines. Plain data: it is read from git
//! elsewhere, and shown elsewhere. Texts are as git has them, so whoever shows them makes them safe.

use crate::ids::CommitId;

/// What differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The commit before.
    pub from: CommitId,
    /// The commit after.
    pub to: CommitId,
    /// The files that differ, by path; the first of them where there are too many.
    pub files: Vec<FileDiff>,
    /// How many files differ.
    pub files_total: usize,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Relative to the top of the repository; what is not UTF-8 is replaced.
    pub path: String,
    /// What it was called before, where that was something else.
    pub old_path: Option<String>,
    /// What happened to it.
    pub change: Change,
    /// The modes before and after, as git writes them in octal, where they differ.
    pub modes: Option<(u32, u32)>,
    /// It is no text, or too large to be compared line by line.
    pub binary: bool,
    /// Lines added; 0 for a binary file.
    pub added: usize,
    /// Lines removed; 0 for a binary file.
    pub removed: usize,
    /// The places that differ, top to bottom.
    pub hunks: Vec<Hunk>,
    /// How many of the added and removed lines are not in the hunks, because there were too many.
    pub left_out: usize,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// Its content or its mode is another one.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name, and perhaps other content too.
    Renamed,
}

impl Change {
    /// One letter for it, as git has it.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Added => "A",
            Self::Modified => "M",
            Self::Deleted => "D",
            Self::Renamed => "R",
        }
    }
}

/// A place in a file that differs, with a few lines around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hunk {
    /// The number of its first line before, from 1; 0 where there was nothing.
    pub old_start: u32,
    /// The number of its first line after, from 1; 0 where there is nothing.
    pub new_start: u32,
    /// The line above that names what it is in, such as a function; often empty.
    pub heading: String,
    /// Its lines.
    pub lines: Vec<DiffLine>,
}

/// A line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// Which of the two has it.
    pub side: Side,
    /// Its number before, from 1; 0 where it is new.
    pub old: u32,
    /// Its number after, from 1; 0 where it is gone.
    pub new: u32,
    /// The line without its end.
    pub text: String,
    /// It is the last one of its file and has no end.
    pub unended: bool,
}

/// Which of two commits has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Both.
    Both,
    /// The one before: the line was removed.
    Old,
    /// The one after: the line was added.
    New,
}

impl Diff {
    /// Lines added in all the files that are listed.
    #[must_use]
    pub fn added(&self) -> usize {
        self.files.iter().map(|file| file.added).sum()
    }

    /// Lines removed in all the files that are listed.
    #[must_use]
    pub fn removed(&self) -> usize {
        self.files.iter().map(|file| file.removed).sum()
    }

    /// How many added and removed lines of the files that are listed are not in their hunks.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.files.iter().map(|file| file.left_out).sum()
    }
}
