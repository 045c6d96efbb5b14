//! Merges tried out, every two of some branches and each with base, beside as many calls of `git merge-tree --write-tree`
//! in the same run: `cargo bench --bench radar`. Each call starts a program that reads the repository anew, and most pairs
//! have nothing in common that would have to be merged, which is why less than the limit can be aimed at.
//!
//! Absolute times move from machine to machine; the ratios are what to look at. Nothing here is asserted but that both
//! find as many pairs in conflict.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pipeline_lib::ids::CommitId;
use pipeline_worktrees::git::Repo;

const BRANCHES: usize = 20;
/// Files that each branch changes or adds.
const FILES: usize = 50;
/// Folders in base, and files in each of them.
const FOLDERS: usize = 100;
const IN_FOLDER: usize = 50;

/// What the branches do.
#[derive(Clone, Copy)]
enum Shape {
    /// Each changes a folder of its own.
    Apart,
    /// Each adds files to folders that all of them add to.
    Folders,
    /// Each changes files that all of them change, every second one in lines of its own.
    Files,
    /// One in four moves a folder, to which the others add.
    Moved,
}

fn main() {
    println!("{:<60} {:>10} {:>10} {:>7}  aim", "", "ours", "limit", "ratio");
    for (shape, words, aim) in [
        (Shape::Apart, "apart from each other", "0.1x"),
        (Shape::Folders, "in the same folders", "0.2x"),
        (Shape::Files, "in the same files", "1.5x"),
        (Shape::Moved, "some of which move a folder", "1.5x"),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let heads = repository(dir.path(), shape);
        let (ours, found) = tried_out(dir.path(), &heads);
        let (limit, expected) = merged(dir.path(), &heads);
        assert_eq!(found, expected, "branches {words}");
        let name = format!("{BRANCHES} branches of {FILES} files {words}");
        let ratio = ours.as_secs_f64() / limit.as_secs_f64();
        println!("{name:<60} {:>7.1} ms {:>7.1} ms {ratio:>6.2}x  {aim}", ms(ours), ms(limit));
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Every two of the branches, and each of them with base, as one look of the monitor without its bounds.
fn tried_out(dir: &Path, heads: &[CommitId]) -> (Duration, usize) {
    let repo = Repo::discover(dir).expect("it is a repository");
    let base = repo.resolve("main").expect("it can be read").expect("there is a base");
    let begun = Instant::now();
    let mut trial = repo.trial(&base).expect("merges can be tried out");
    let mut found = 0;
    for (at, one) in heads.iter().enumerate() {
        found += usize::from(!trial.onto_base(one).expect("it can be tried out").is_empty());
        for other in &heads[at + 1..] {
            found += usize::from(!trial.both(one, other).expect("it can be tried out").is_empty());
        }
    }
    (begun.elapsed(), found)
}

fn merged(dir: &Path, heads: &[CommitId]) -> (Duration, usize) {
    let merges = |one: &str, other: &str| {
        let words = ["merge-tree", "--write-tree", "--name-only", "--no-messages", one, other];
        let mut git = Command::new("git");
        let status = git.args(words).current_dir(dir).stdout(Stdio::null()).status().expect("git starts");
        status.code() == Some(1)
    };
    let (begun, mut found) = (Instant::now(), 0);
    for (at, one) in heads.iter().enumerate() {
        found += usize::from(merges("main", one.as_str()));
        found += heads[at + 1..].iter().filter(|other| merges(one.as_str(), other.as_str())).count();
    }
    (begun.elapsed(), found)
}

/// A repository with its branches; gives their heads.
fn repository(dir: &Path, shape: Shape) -> Vec<CommitId> {
    git(dir, &["init", "-q", "-b", "main"], None);
    let mut stream = String::new();
    commit(&mut stream, "main", None);
    for (folder, file) in (0..FOLDERS).flat_map(|folder| (0..IN_FOLDER).map(move |file| (folder, file))) {
        write(&mut stream, &format!("d{folder}/f{file}"), &content(folder * IN_FOLDER + file, None));
    }
    for branch in 0..BRANCHES {
        commit(&mut stream, &format!("b{branch}"), Some("main"));
        for file in 0..FILES {
            let (path, text) = match shape {
                Shape::Apart => (format!("d{branch}/f{file}"), content(branch * IN_FOLDER + file, Some(1))),
                Shape::Files => (format!("d0/f{file}"), content(file, Some(if branch % 2 == 0 { 3 } else { branch }))),
                Shape::Moved if branch % 4 == 0 && file > 0 => continue,
                Shape::Moved if branch % 4 == 0 => {
                    let _ = writeln!(stream, "R d{branch} moved{branch}");
                    continue;
                }
                Shape::Folders | Shape::Moved => (format!("d{file}/new{branch}"), content(branch * FILES + file, None)),
            };
            write(&mut stream, &path, &text);
        }
    }
    git(dir, &["fast-import", "--quiet"], Some(&stream));
    (0..BRANCHES).map(|branch| CommitId::from(git(dir, &["rev-parse", &format!("b{branch}")], None))).collect()
}

/// Twenty-odd lines that no other file has, one of them changed.
fn content(number: usize, changed: Option<usize>) -> String {
    let line = |line| match changed {
        Some(changed) if changed == line => format!("{number} {line} changed\n"),
        _ => format!("{number} {line}\n"),
    };
    (0..24).map(line).collect()
}

fn commit(stream: &mut String, branch: &str, from: Option<&str>) {
    let _ = writeln!(stream, "commit refs/heads/{branch}\ncommitter bench <bench@localhost> 0 +0000\ndata 5\nbench");
    if let Some(from) = from {
        let _ = writeln!(stream, "from refs/heads/{from}");
    }
}

fn write(stream: &mut String, path: &str, text: &str) {
    let _ = writeln!(stream, "M 100644 inline {path}\ndata {}\n{text}", text.len());
}

fn git(dir: &Path, words: &[&str], input: Option<&str>) -> String {
    let mut git = Command::new("git");
    git.args(words).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().expect("git starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    stdin.write_all(input.unwrap_or_default().as_bytes()).expect("git reads it");
    drop(stdin);
    let output = child.wait_with_output().expect("it can be waited for");
    assert!(output.status.success(), "git {words:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
