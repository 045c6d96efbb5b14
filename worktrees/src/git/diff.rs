//! What differs between two commits, file by file and line by line, with renames found and with a bound on all of it.
//! The counts are those of whole files even where their lines are cut.

use pipeline_lib::diff::{Change, Diff, DiffLine, FileDiff, Hunk, Side};
use pipeline_lib::ids::CommitId;

use super::process::Git;
use super::{GitError, Repo};

/// How many files are compared to find those that were renamed: the effort grows with the square.
const RENAME_FILES_MAX: usize = 200;
/// A file of more bytes is not compared line by line.
const FILE_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// How much of a line is kept, in bytes.
const LINE_BYTES_MAX: usize = 2_000;
/// How much of the command's output is read, in bytes. What lies beyond counts as left out.
const PATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much is kept of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffLimits {
    /// Files.
    pub files: usize,
    /// Lines of all files together.
    pub lines: usize,
    /// Lines of one file.
    pub lines_of_file: usize,
}

impl Repo {
    /// Compares two commits line by line. What lies beyond the limits is counted and left out.
    ///
    /// # Errors
    /// When there is no such commit, or the repository cannot be read.
    pub fn diff(&self, from: &CommitId, to: &CommitId, limits: DiffLimits) -> Result<Diff, GitError> {
        let (old, new) = (self.tree_of(from)?, self.tree_of(to)?);
        let mut diff = self.backend.diff_lines(&old, &new, limits)?;
        (diff.from, diff.to) = (from.clone(), to.clone());
        Ok(diff)
    }

    /// The commit at which `head` left `base`; `None` where they have nothing in common.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn fork_point(&self, base: &CommitId, head: &CommitId) -> Result<Option<CommitId>, GitError> {
        self.backend.merge_base(base, head)
    }
}

/// Counts what is kept down to the limits.
struct Budget {
    limits: DiffLimits,
    lines: usize,
}

impl Budget {
    fn new(limits: DiffLimits) -> Self {
        Self { limits, lines: limits.lines }
    }

    /// How many lines the next file may have.
    fn of_file(&self) -> usize {
        self.lines.min(self.limits.lines_of_file)
    }

    /// Notes what is kept of a file, and what is not.
    fn spend(&mut self, file: &mut FileDiff) {
        file.hunks.retain(|hunk| !hunk.lines.is_empty());
        let lines = || file.hunks.iter().flat_map(|hunk| &hunk.lines);
        let changed = lines().filter(|line| line.side != Side::Both).count();
        self.lines = self.lines.saturating_sub(lines().count());
        file.left_out = (file.added + file.removed).saturating_sub(changed);
    }
}

fn empty(files_total: usize) -> Diff {
    let none = || CommitId::from(String::new());
    Diff { from: none(), to: none(), files: Vec::new(), files_total }
}

fn file(path: String, change: Change) -> FileDiff {
    FileDiff {
        path,
        old_path: None,
        change,
        modes: None,
        binary: false,
        added: 0,
        removed: 0,
        hunks: Vec::new(),
        left_out: 0,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A line as text without its end, cut.
fn line_text(bytes: &[u8]) -> String {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    lossy(line.get(..LINE_BYTES_MAX).unwrap_or(line))
}

/// The part of a hunk's header behind its numbers.
fn heading(header: &str) -> String {
    header.splitn(3, "@@").nth(2).unwrap_or_default().trim().to_owned()
}

/// Through the library.
pub(super) fn by_library(repo: &git2::Repository, from: &str, to: &str, limits: DiffLimits) -> Result<Diff, GitError> {
    let read = || {
        let from = repo.find_tree(git2::Oid::from_str(from)?)?;
        let to = repo.find_tree(git2::Oid::from_str(to)?)?;
        let mut options = git2::DiffOptions::new();
        options.include_typechange(true).indent_heuristic(true).context_lines(3).max_size(FILE_BYTES_MAX.into());
        let mut diff = repo.diff_tree_to_tree(Some(&from), Some(&to), Some(&mut options))?;
        if diff.deltas().len() <= RENAME_FILES_MAX * 2 {
            let mut similar = git2::DiffFindOptions::new();
            similar.renames(true).rename_limit(RENAME_FILES_MAX);
            diff.find_similar(Some(&mut similar))?;
        }
        let mut out = empty(diff.deltas().len());
        let mut budget = Budget::new(limits);
        for index in 0..out.files_total.min(limits.files) {
            let Some(delta) = diff.get_delta(index) else { continue };
            let mut file = library_file(&delta);
            if delta.status() == git2::Delta::Typechange {
                library_typechange(repo, &delta, &mut file, budget.of_file())?;
            } else {
                match git2::Patch::from_diff(&diff, index)? {
                    Some(patch) => library_lines(&patch, &mut file, budget.of_file())?,
                    None => file.binary = true,
                }
            }
            budget.spend(&mut file);
            out.files.push(file);
        }
        Ok(out)
    };
    read().map_err(GitError::lib(format!("compare the trees {from} and {to}")))
}

fn library_file(delta: &git2::DiffDelta<'_>) -> FileDiff {
    let change = match delta.status() {
        git2::Delta::Added => Change::Added,
        git2::Delta::Deleted => Change::Deleted,
        git2::Delta::Renamed => Change::Renamed,
        _ => Change::Modified,
    };
    let name = |file: git2::DiffFile<'_>| file.path_bytes().map(lossy);
    let (old, new) = (name(delta.old_file()), name(delta.new_file()));
    let mut out = file(new.or_else(|| old.clone()).unwrap_or_default(), change);
    out.old_path = old.filter(|_| change == Change::Renamed);
    let modes = (u32::from(delta.old_file().mode()), u32::from(delta.new_file().mode()));
    out.modes = Some(modes).filter(|(old, new)| *old != 0 && *new != 0 && old != new);
    out
}

/// A file that became a link, say: the library itself compares no lines of it.
fn library_typechange(
    repo: &git2::Repository,
    delta: &git2::DiffDelta<'_>,
    file: &mut FileDiff,
    lines_max: usize,
) -> Result<(), git2::Error> {
    // A submodule on one of the sides has no lines.
    let blob = |of: git2::DiffFile<'_>| repo.find_blob(of.id()).ok();
    let Some((old, new)) = blob(delta.old_file()).zip(blob(delta.new_file())) else { return Ok(()) };
    library_lines(&git2::Patch::from_blobs(&old, None, &new, None, None)?, file, lines_max)
}

fn library_lines(patch: &git2::Patch<'_>, file: &mut FileDiff, lines_max: usize) -> Result<(), git2::Error> {
    file.binary = patch.delta().flags().is_binary();
    (_, file.added, file.removed) = patch.line_stats()?;
    let mut left = lines_max;
    for at in 0..patch.num_hunks() {
        let (header, lines) = patch.hunk(at)?;
        let mut hunk = Hunk {
            old_start: header.old_start(),
            new_start: header.new_start(),
            heading: heading(&lossy(header.header())),
            lines: Vec::new(),
        };
        for number in 0..lines {
            let line = patch.line_in_hunk(at, number)?;
            let side = match line.origin() {
                ' ' => Side::Both,
                '+' => Side::New,
                '-' => Side::Old,
                // The library says in a line of its own that the line before has no end.
                _ => {
                    hunk.lines.last_mut().into_iter().for_each(|last: &mut DiffLine| last.unended = true);
                    continue;
                }
            };
            if left == 0 {
                break;
            }
            left -= 1;
            let (old, new) = (line.old_lineno().unwrap_or(0), line.new_lineno().unwrap_or(0));
            hunk.lines.push(DiffLine { side, old, new, text: line_text(line.content()), unended: false });
        }
        file.hunks.push(hunk);
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Through the command. `git` makes one for the repository.
pub(super) fn by_command(git: impl Fn() -> Git, from: &str, to: &str, limits: DiffLimits) -> Result<Diff, GitError> {
    let ask = |what: &[&str]| {
        let threshold = format!("core.bigFileThreshold={FILE_BYTES_MAX}");
        let renames = format!("-l{RENAME_FILES_MAX}");
        git()
            .args(["-c", &threshold, "diff-tree", "-r", "-M", &renames, "--no-ext-diff", "--no-textconv"])
            .args(what)
            .args(["--end-of-options", from, to, "--"])
    };
    let (mut files, shares) = command_files(&ask(&["-z", "--raw", "--numstat"]).run()?)?;
    let mut out = empty(files.len());
    files.truncate(limits.files);
    let patch = ask(&["-p", "--unified=3", "--no-color", "--indent-heuristic"]).limit(PATCH_BYTES_MAX).run()?;
    let mut sections = sections(&patch).into_iter();
    let mut budget = Budget::new(limits);
    for (mut file, share) in files.into_iter().zip(shares) {
        let mut left = budget.of_file();
        for section in sections.by_ref().take(share) {
            command_lines(section, &mut file, &mut left);
        }
        budget.spend(&mut file);
        out.files.push(file);
    }
    Ok(out)
}

/// The files of a `--raw --numstat` output, and how many sections of the patch each of them has.
fn command_files(output: &[u8]) -> Result<(Vec<FileDiff>, Vec<usize>), GitError> {
    let unexpected = || GitError::command("diff-tree", "unexpected output");
    let mut records = output.strip_suffix(b"\0").unwrap_or(output).split(|byte| *byte == 0).filter(|r| !r.is_empty());
    let (mut files, mut shares, mut counted) = (Vec::new(), Vec::new(), 0);
    while let Some(record) = records.next() {
        if let Some(raw) = record.strip_prefix(b":") {
            let raw = lossy(raw);
            let [old_mode, new_mode, _, _, status] = raw.split(' ').collect::<Vec<_>>()[..] else {
                return Err(unexpected());
            };
            let change = match status.bytes().next() {
                Some(b'A') => Change::Added,
                Some(b'D') => Change::Deleted,
                Some(b'R') => Change::Renamed,
                _ => Change::Modified,
            };
            let mut path = lossy(records.next().ok_or_else(unexpected)?);
            let old_path = if change == Change::Renamed {
                Some(std::mem::replace(&mut path, lossy(records.next().ok_or_else(unexpected)?)))
            } else {
                None
            };
            let mode = |text: &str| u32::from_str_radix(text, 8).unwrap_or(0);
            let modes = Some((mode(old_mode), mode(new_mode)));
            let modes = modes.filter(|(old, new)| *old != 0 && *new != 0 && old != new);
            files.push(FileDiff { old_path, modes, ..file(path, change) });
            // A file that became a link, say, is removed and added.
            shares.push(if status.starts_with('T') { 2 } else { 1 });
        } else {
            // The counts come behind all the files, in the same order.
            let file = files.get_mut(counted).ok_or_else(unexpected)?;
            counted += 1;
            let mut fields = record.splitn(3, |byte| *byte == b'\t');
            let mut number = || fields.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
            let (added, removed): (Option<usize>, Option<usize>) = (number(), number());
            file.binary = added.is_none();
            (file.added, file.removed) = (added.unwrap_or(0), removed.unwrap_or(0));
            if file.old_path.is_some() {
                // The two names follow in records of their own.
                records.next().and(records.next()).ok_or_else(unexpected)?;
            }
        }
    }
    Ok((files, shares))
}

/// The parts of a patch, one for each file. Inside a hunk no line begins like the head of one.
fn sections(patch: &[u8]) -> Vec<&[u8]> {
    const HEAD: &[u8] = b"diff --git ";
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(HEAD) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| patch.get(*start..end)).collect()
}

/// Where a hunk is and how many lines of each side it still has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    old: u32,
    new: u32,
    old_left: u32,
    new_left: u32,
}

impl Place {
    /// From a header such as `@@ -3,7 +3,8 @@`. A count that is left out is 1.
    fn of_header(header: &str) -> Self {
        let mut ranges = header.split(' ').skip(1).take(2).map(|range| {
            let mut numbers = range.trim_start_matches(['-', '+']).split(',').map(|n| n.parse().unwrap_or(0));
            let start: u32 = numbers.next().unwrap_or(0);
            (start, numbers.next().unwrap_or(1))
        });
        let (old, old_left) = ranges.next().unwrap_or_default();
        let (new, new_left) = ranges.next().unwrap_or_default();
        Self { old, new, old_left, new_left }
    }

    /// Goes over a line and gives its numbers.
    fn step(&mut self, side: Side) -> (u32, u32) {
        let (mut old, mut new) = (0, 0);
        if side != Side::New {
            old = self.old;
            self.old += 1;
            self.old_left = self.old_left.saturating_sub(1);
        }
        if side != Side::Old {
            new = self.new;
            self.new += 1;
            self.new_left = self.new_left.saturating_sub(1);
        }
        (old, new)
    }
}

/// Reads one file's part of a patch. A last line that was cut is left out.
fn command_lines(section: &[u8], file: &mut FileDiff, left: &mut usize) {
    let mut place = Place::default();
    for line in section.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let side = match line.first() {
            Some(b'@') => {
                let header = lossy(line);
                place = Place::of_header(&header);
                let (old_start, new_start) = (place.old, place.new);
                file.hunks.push(Hunk { old_start, new_start, heading: heading(&header), lines: Vec::new() });
                continue;
            }
            Some(b' ') => Side::Both,
            Some(b'+') => Side::New,
            Some(b'-') => Side::Old,
            Some(b'\\') => {
                let last = file.hunks.last_mut().and_then(|hunk| hunk.lines.last_mut());
                last.into_iter().for_each(|last| last.unended = true);
                continue;
            }
            _ => continue,
        };
        // Outside a hunk such a line names a file.
        if place.old_left + place.new_left == 0 {
            continue;
        }
        if *left == 0 {
            return;
        }
        *left -= 1;
        let (old, new) = place.step(side);
        let text = line_text(line.get(1..).unwrap_or_default());
        if let Some(hunk) = file.hunks.last_mut() {
            hunk.lines.push(DiffLine { side, old, new, text, unended: false });
        }
    }
}
