//! A comparison as rows, one below the other: for each file its head, its hunks, and an empty row. Rows are counted and
//! found without a list of them, so that a long comparison costs no more than a short one.

use pipeline_lib::diff::{Diff, DiffLine, FileDiff, Hunk};

/// Where a person is in a comparison. It is found again in the next one by the name of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Place {
    /// The file, by its place.
    pub(in crate::dashboard) file: usize,
    /// Its name.
    pub(in crate::dashboard) path: String,
    /// The row of the file.
    pub(in crate::dashboard) row: usize,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) enum Row<'a> {
    /// The head of the file.
    Head,
    /// Why there are no lines.
    NoLines,
    /// The head of a hunk.
    Hunk(&'a Hunk),
    /// A line, with its hunk and its place in it.
    Line(usize, usize, &'a DiffLine),
    /// There are more lines than are shown.
    LeftOut(usize),
    /// An empty row behind the file.
    Gap,
}

/// How many rows a file has.
pub(in crate::dashboard) fn rows_of(file: &FileDiff) -> usize {
    let lines: usize = file.hunks.iter().map(|hunk| hunk.lines.len() + usize::from(has_head(hunk))).sum();
    2 + lines.max(usize::from(!has_lines(file))) + usize::from(is_cut(file))
}

fn has_lines(file: &FileDiff) -> bool {
    !file.hunks.is_empty() || file.left_out > 0
}

fn is_cut(file: &FileDiff) -> bool {
    file.left_out > 0
}

/// A hunk from the first line of a file on leaves nothing out above it, so that there is nothing to say.
fn has_head(hunk: &Hunk) -> bool {
    hunk.old_start.max(hunk.new_start) > 1 || !hunk.heading.is_empty()
}

/// A row of a file.
pub(in crate::dashboard) fn row(file: &FileDiff, at: usize) -> Row<'_> {
    if at == 0 {
        return Row::Head;
    }
    if at + 1 >= rows_of(file) {
        return Row::Gap;
    }
    let mut left = at - 1;
    for (number, hunk) in file.hunks.iter().enumerate() {
        if has_head(hunk) {
            if left == 0 {
                return Row::Hunk(hunk);
            }
            left -= 1;
        }
        if let Some(line) = hunk.lines.get(left) {
            return Row::Line(number, left, line);
        }
        left -= hunk.lines.len();
    }
    if is_cut(file) { Row::LeftOut(file.left_out) } else { Row::NoLines }
}

/// How many rows there are.
pub(in crate::dashboard) fn total(diff: &Diff) -> usize {
    diff.files.iter().map(rows_of).sum()
}

/// Where a place is among all rows.
pub(in crate::dashboard) fn offset(diff: &Diff, place: &Place) -> usize {
    let same = |at: &usize| diff.files.get(*at).is_some_and(|file| file.path == place.path);
    let found = Some(place.file).filter(same);
    let found = found.or_else(|| diff.files.iter().position(|file| file.path == place.path));
    let file = found.unwrap_or(place.file.min(diff.files.len().saturating_sub(1)));
    let before: usize = diff.files.iter().take(file).map(rows_of).sum();
    let rows = diff.files.get(file).map_or(1, rows_of);
    before + place.row.min(rows - 1)
}

/// The place of a row among all rows.
pub(in crate::dashboard) fn place(diff: &Diff, offset: usize) -> Place {
    let mut left = offset;
    for (at, file) in diff.files.iter().enumerate() {
        let rows = rows_of(file);
        if left < rows || at + 1 == diff.files.len() {
            return Place { file: at, path: file.path.clone(), row: left.min(rows - 1) };
        }
        left -= rows;
    }
    Place::default()
}

/// The rows from an offset on, each with its file.
pub(in crate::dashboard) fn from(diff: &Diff, offset: usize) -> impl Iterator<Item = (usize, Row<'_>)> {
    let first = place(diff, offset);
    let files = diff.files.iter().enumerate().skip(first.file);
    files.flat_map(move |(at, file)| {
        let begin = if at == first.file { first.row } else { 0 };
        (begin..rows_of(file)).map(move |number| (at, row(file, number)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::diff::{Change, Side};
    use pipeline_lib::ids::CommitId;

    fn file(path: &str, hunks: &[usize], left_out: usize) -> FileDiff {
        let line = || DiffLine { side: Side::New, old: 0, new: 1, text: String::new(), unended: false };
        let hunk =
            |lines: &usize| Hunk { lines: (0..*lines).map(|_| line()).collect(), new_start: 9, ..Hunk::default() };
        FileDiff {
            path: path.to_owned(),
            old_path: None,
            change: Change::Added,
            modes: None,
            binary: false,
            added: 0,
            removed: 0,
            hunks: hunks.iter().map(hunk).collect(),
            left_out,
        }
    }

    fn diff(files: Vec<FileDiff>) -> Diff {
        let none = || CommitId::from(String::new());
        Diff { from: none(), to: none(), files_total: files.len(), files }
    }

    fn letters(diff: &Diff, offset: usize) -> String {
        let letter = |(file, row): (usize, Row<'_>)| {
            let letter = match row {
                Row::Head => 'H',
                Row::NoLines => 'n',
                Row::Hunk(_) => '@',
                Row::Line(..) => '+',
                Row::LeftOut(_) => 'x',
                Row::Gap => '.',
            };
            [char::from_digit(u32::try_from(file).unwrap(), 10).unwrap(), letter]
        };
        from(diff, offset).flat_map(letter).collect()
    }

    #[test]
    fn each_file_has_its_head_its_hunks_and_a_gap() {
        let diff = diff(vec![file("a", &[2, 1], 0), file("b", &[], 0), file("c", &[1], 5), file("d", &[], 5)]);
        assert_eq!(letters(&diff, 0), "0H0@0+0+0@0+0.1H1n1.2H2@2+2x2.3H3x3.");
        assert_eq!(letters(&diff, 6), "0.1H1n1.2H2@2+2x2.3H3x3.");
        assert_eq!(total(&diff), 18);
        for at in 0..total(&diff) {
            assert_eq!(offset(&diff, &place(&diff, at)), at);
        }
        assert_eq!(offset(&diff, &place(&diff, 1_000)), total(&diff) - 1);
    }

    #[test]
    fn a_hunk_at_the_very_beginning_needs_no_head() {
        let mut whole = diff(vec![file("a", &[2, 1], 0)]);
        whole.files[0].hunks[0].new_start = 1;
        assert_eq!((letters(&whole, 0).as_str(), total(&whole)), ("0H0+0+0@0+0.", 6));
    }

    #[test]
    fn a_place_is_found_again_by_the_name_of_its_file() {
        let before = diff(vec![file("a", &[2], 0), file("c", &[9], 0)]);
        let at = place(&before, 10);
        assert_eq!((at.file, at.path.as_str(), at.row), (1, "c", 5));
        let after = diff(vec![file("a", &[2], 0), file("b", &[2], 0), file("c", &[3], 0)]);
        assert_eq!(place(&after, offset(&after, &at)), Place { file: 2, path: "c".to_owned(), row: 5 });
        let gone = diff(vec![file("a", &[2], 0)]);
        assert_eq!(place(&gone, offset(&gone, &at)).path, "a");
        assert_eq!(offset(&diff(Vec::new()), &at), 0);
    }
}
