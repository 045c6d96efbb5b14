//! What differs between two commits, with both backends: they have to say the same.

use pipeline_lib::diff::{Change, Diff, Side};

use super::*;

const WIDE: DiffLimits = DiffLimits { files: 100, lines: 1_000, lines_of_file: 1_000 };

/// A comparison in a few lines: files with their counts, and below each its lines with their numbers.
fn told(diff: &Diff) -> String {
    let mut out = String::new();
    for file in &diff.files {
        let old = file.old_path.as_ref().map_or_else(String::new, |old| format!(" from {old}"));
        let modes = file.modes.map_or_else(String::new, |(old, new)| format!(" {old:o}>{new:o}"));
        let kind = if file.binary { " binary" } else { "" };
        let (letter, path) = (file.change.letter(), &file.path);
        out.push_str(&format!("{letter} {path}{old}{modes}{kind} +{} -{}\n", file.added, file.removed));
        for hunk in &file.hunks {
            out.push_str(&format!("  @ {} {} {}\n", hunk.old_start, hunk.new_start, hunk.heading));
            for line in &hunk.lines {
                let sign = match line.side {
                    Side::Both => ' ',
                    Side::Old => '-',
                    Side::New => '+',
                };
                let end = if line.unended { " (unended)" } else { "" };
                out.push_str(&format!("  {} {} {sign}{}{end}\n", line.old, line.new, line.text));
            }
        }
    }
    out
}

fn compare(lab: &Lab, limits: DiffLimits) -> Diff {
    lab.repo.diff(&lab.head("main"), &lab.head("task"), limits).unwrap()
}

#[test]
fn lines_have_their_numbers_and_whole_files_their_counts() {
    each(|lab| {
        lab.branch("task", &[("a.txt", "1\n2\nthree\n4\n5\n6"), ("b.txt", ""), ("new dir/ü.txt", "n\r\n")]);
        let diff = compare(&lab, WIDE);
        let expected = "M a.txt +2 -1\n  @ 1 1 \n  1 1  1\n  2 2  2\n  3 0 -3\n  0 3 +three\n  4 4  4\n  5 5  5\n  \
            0 6 +6 (unended)\nD b.txt +0 -1\n  @ 1 0 \n  1 0 -b\nA new dir/ü.txt +1 -0\n  @ 0 1 \n  0 1 +n\n";
        assert_eq!(told(&diff), expected, "{:?}", lab.kind);
        assert_eq!((diff.files_total, diff.added(), diff.removed(), diff.left_out()), (3, 3, 2, 0));
        assert_eq!((&diff.from, &diff.to), (&lab.head("main"), &lab.head("task")));
    });
}

#[test]
fn a_hunk_is_named_after_what_it_is_in() {
    each(|lab| {
        let body = |word: &str| format!("fn total() {{\n    a\n    b\n    c\n    d\n    {word}\n}}\n");
        let base = lab.branch("base", &[("x.rs", &body("old"))]);
        let head = lab.branch("task", &[("x.rs", &body("new"))]);
        let diff = lab.repo.diff(&base, &head, WIDE).unwrap();
        assert_eq!(diff.files[0].hunks[0].heading, "fn total() {", "{:?}", lab.kind);
        assert_eq!((diff.files[0].hunks[0].old_start, diff.files[0].hunks[0].new_start), (3, 3));
    });
}

#[test]
fn renames_modes_links_and_binary_files_are_told() {
    each(|lab| {
        let path = lab.worktree("task");
        fs::rename(path.join("a.txt"), path.join("moved.txt")).unwrap();
        write(&path, "moved.txt", "1\n2\n3\n4\n5\n6\n");
        fs::set_permissions(path.join("b.txt"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("image.png"), b"\x89PNG\0\0\0").unwrap();
        fs::remove_file(path.join("dir/c.txt")).unwrap();
        std::os::unix::fs::symlink("../b.txt", path.join("dir/c.txt")).unwrap();
        write(&path, "z.txt", "z\n");
        lab.repo.commit_all(&path, "many", &[]).unwrap();
        let diff = compare(&lab, WIDE);
        let files: Vec<String> = told(&diff).lines().filter(|l| !l.starts_with(' ')).map(str::to_owned).collect();
        let expected = [
            "M b.txt 100644>100755 +0 -0",
            "M dir/c.txt 100644>120000 +1 -1",
            "A image.png binary +0 -0",
            "R moved.txt from a.txt +1 -0",
            "A z.txt +1 -0",
        ];
        assert_eq!(files, expected, "{:?}", lab.kind);
        let lines = |at: usize| diff.files[at].hunks.iter().map(|hunk| hunk.lines.len()).sum::<usize>();
        assert_eq!([0, 1, 2, 3, 4].map(lines), [0, 2, 0, 4, 1], "{:?}", lab.kind);
        assert_eq!(diff.files[3].change, Change::Renamed);
    });
}

#[test]
fn what_lies_beyond_the_limits_is_counted_and_left_out() {
    each(|lab| {
        let many = "x\n".repeat(500);
        lab.branch("task", &[("c1.txt", &many), ("c2.txt", &many), ("c3.txt", "one\n"), ("c4.txt", "one\n")]);
        let diff = compare(&lab, DiffLimits { files: 3, lines: 150, lines_of_file: 100 });
        let file = |at: usize| {
            let file = &diff.files[at];
            (file.added, file.hunks.iter().map(|hunk| hunk.lines.len()).sum::<usize>(), file.left_out)
        };
        assert_eq!([0, 1, 2].map(file), [(500, 100, 400), (500, 50, 450), (1, 0, 1)], "{:?}", lab.kind);
        assert_eq!((diff.files.len(), diff.files_total), (3, 4));
        assert_eq!((diff.added(), diff.left_out()), (1_001, 851));
    });
}

#[test]
fn a_line_of_any_length_is_cut_and_what_is_no_text_is_replaced() {
    each(|lab| {
        let path = lab.worktree("task");
        write(&path, "long.txt", &"y".repeat(1_000_000));
        fs::write(path.join("odd.txt"), b"caf\xe9\n").unwrap();
        lab.repo.commit_all(&path, "odd", &[]).unwrap();
        let diff = compare(&lab, WIDE);
        let odd = &diff.files[1].hunks[0].lines[0].text;
        assert_eq!(odd, "caf\u{fffd}", "{:?}", lab.kind);
        assert!(diff.files[0].hunks.iter().flat_map(|hunk| &hunk.lines).all(|line| line.text.len() <= 2_000));
    });
}

#[test]
fn the_fork_point_is_where_a_branch_left_its_base() {
    each(|lab| {
        let first = lab.head("main");
        let head = lab.branch("task", &[("a.txt", "x\n")]);
        write(&lab.main, "b.txt", "base went on\n");
        git(&lab.main, &["commit", "-q", "-a", "-m", "base"]);
        let base = lab.head("main");
        assert_eq!(lab.repo.fork_point(&base, &head).unwrap(), Some(first.clone()));
        let diff = lab.repo.diff(&first, &head, WIDE).unwrap();
        assert_eq!(diff.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a.txt"]);
    });
}
