//! The architecture as tests: who may depend on whom, what may be named where, and what may not stand in any file. Reads
//! files only; the rules are in the tables at the top.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use. The root crate is the empty name.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("lib", &[]),
    ("state", &["lib"]),
    ("worktrees", &["lib"]),
    ("commands", &["lib", "state", "worktrees"]),
    ("", &["lib", "commands"]),
];

/// Crates that only one room may name.
const ONLY_IN: [(&str, &[&str]); 6] = [
    ("ratatui", &[""]),
    ("crossterm", &[""]),
    ("git2", &["worktrees"]),
    ("notify", &["worktrees"]),
    ("fs2", &["state", "worktrees"]),
    ("tracing-appender", &["commands"]),
];

/// What the user asked for by name.
const ASKED_FOR: [&str; 10] =
    ["ratatui", "crossterm", "tokio", "serde", "serde_json", "notify", "fs2", "git2", "tracing", "tracing-appender"];

/// The files that lock, and why there is more than one.
const LOCKING: [(&str, &str); 7] = [
    ("state/src/lock.rs", "the lock of a state directory"),
    ("state/src/filesystem.rs", "asks a network file system whether locks work"),
    ("worktrees/src/host/files.rs", "a host's lock is its proof of life"),
    ("worktrees/src/host/place.rs", "what a host is told of is not told while it leaves"),
    ("worktrees/src/host/shared.rs", "one host begins a new file of records"),
    ("worktrees/src/git/worktree.rs", "one process at a time adds worktrees"),
    ("worktrees/src/git/files.rs", "one process at a time edits the list of ignored paths"),
];

/// Beyond this many lines a file should be several, tests not counted.
const LINES_MAX: usize = 500;
/// Files that are longer, and why they are one file all the same.
const LONG: [(&str, &str); 4] = [
    ("lib/src/fact.rs", "everything that the journal keeps, one list read as a whole"),
    ("lib/src/workflow.rs", "the words of a workflow's map, which all its readers share"),
    ("lib/src/agents/stream.rs", "the event shapes of all presets' streams, one table read as a whole"),
    ("lib/src/pipeline/index.rs", "the sets that are kept in step with the tasks, which one function changes"),
];

fn root() -> PathBuf {
    // Where these tests are built elsewhere, the tree they are about is named.
    std::env::var_os("PIPELINE_TREE").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// Every file below a folder, by its path from the root, without what is built or kept by git.
fn files() -> Vec<(String, PathBuf)> {
    fn below(dir: &Path, root: &Path, found: &mut Vec<(String, PathBuf)>) {
        for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
            let (path, name) = (entry.path(), entry.file_name());
            // In a linked worktree `.git` is a file that leads to the repository.
            if ["target", ".git", ".pipeline"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            if entry.file_type().expect("a type").is_dir() {
                below(&path, root, found);
            } else {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.push((name, path));
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    below(&root, &root, &mut found);
    found.sort();
    found
}

/// Every Rust file and its text.
fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    rust.map(|(name, path)| (name, fs::read_to_string(path).expect("text"))).collect()
}

/// The code of a line: without comment and without the content of strings, as far as one line tells.
fn code(line: &str) -> String {
    let mut out = String::new();
    let (mut in_string, mut escaped) = (false, false);
    // A quotation mark as a character opens no string.
    let line = &line.replace("'\"'", "''");
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '/' if !in_string && line[at..].starts_with("//") => break,
            _ if in_string => {}
            _ => out.push(c),
        }
    }
    out
}

/// What runs in the product: not the tests, be they a file or the end of one.
fn production(name: &str, text: &str) -> Option<Vec<String>> {
    let is_test = ["tests/", "benches/"].iter().any(|dir| name.starts_with(dir) || name.contains(&format!("/{dir}")));
    if is_test || name.ends_with("tests.rs") || name.ends_with("testing.rs") {
        return None;
    }
    let end = text.lines().collect::<Vec<_>>();
    let end = end.iter().enumerate().position(|(at, line)| {
        // A module of tests, not the mention of one in another file.
        *line == "#[cfg(test)]" && end.get(at + 1).is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
    });
    Some(text.lines().take(end.unwrap_or(usize::MAX)).map(code).collect())
}

/// The room a file belongs to.
fn room(name: &str) -> &str {
    MAY_USE
        .iter()
        .map(|(room, _)| *room)
        .find(|room| !room.is_empty() && name.starts_with(&format!("{room}/")))
        .unwrap_or("")
}

fn manifest(room: &str) -> toml::Table {
    let text = fs::read_to_string(root().join(room).join("Cargo.toml")).expect("a manifest");
    text.parse().expect("TOML")
}

/// What a room depends on in the product.
fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest = manifest(room);
    let tables = ["dependencies", "build-dependencies"];
    tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flat_map(toml::Table::keys).cloned().collect()
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Where lines of code, tests included, hold one of some words.
fn lines_with(words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let code = code(line);
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn rooms_depend_on_each_other_as_the_architecture_says() {
    for (room, may_use) in MAY_USE {
        let ours: BTreeSet<String> =
            dependencies(room).iter().filter_map(|name| name.strip_prefix("pipeline-").map(str::to_owned)).collect();
        let allowed: BTreeSet<String> = may_use.iter().map(|room| (*room).to_owned()).collect();
        assert!(ours.is_subset(&allowed), "`{room}` uses {ours:?}, and may use {allowed:?}");
    }
}

#[test]
fn a_library_of_one_room_is_named_in_no_other() {
    let mut wrong = Vec::new();
    for (library, rooms) in ONLY_IN {
        for (room, _) in MAY_USE {
            if !rooms.contains(&room) && dependencies(room).contains(library) {
                wrong.push(format!("`{room}/Cargo.toml` depends on {library}"));
            }
        }
        let path = format!("{}::", library.replace('-', "_"));
        for (name, text) in sources() {
            let Some(lines) = production(&name, &text) else { continue };
            let named = lines.iter().any(|line| mentions(line, &path));
            if named && !rooms.contains(&room(&name)) {
                wrong.push(format!("{name} names {library}"));
            }
        }
    }
    assert_none("a library is where it does not belong", &wrong);
}

/// Whether a line holds a path that begins with this crate, and not one that only ends like it.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') || line[..at].ends_with(" ::")
    })
}

#[test]
fn the_libraries_asked_for_are_used() {
    let mut unused = BTreeSet::from(ASKED_FOR);
    for (name, text) in sources() {
        let Some(lines) = production(&name, &text) else { continue };
        unused.retain(|library| {
            let path = format!("{}::", library.replace('-', "_"));
            !(dependencies(room(&name)).contains(*library) && lines.iter().any(|line| mentions(line, &path)))
        });
    }
    assert!(unused.is_empty(), "asked for by the user, and not used: {unused:?}");
}

#[test]
fn locks_are_taken_in_the_listed_files_by_their_full_name() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let Some(lines) = production(&name, &text) else { continue };
        let naming: Vec<&String> = lines.iter().filter(|line| mentions(line, "fs2::")).collect();
        let listed = LOCKING.iter().any(|(file, _)| *file == name);
        if listed == naming.is_empty() {
            wrong.push(format!(
                "{name}: {}",
                if listed { "listed, and locks nothing" } else { "locks, and is not listed" }
            ));
        }
        // The trait's methods would be shadowed by those of the standard library, which are other locks.
        if naming.iter().any(|line| line.trim_start().starts_with("use ")) {
            wrong.push(format!("{name}: call fs2 by its full path"));
        }
    }
    assert_none("locking", &wrong);
}

#[test]
fn nothing_unsafe_unfinished_or_sleeping_is_written() {
    let never = [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "#[allow(",
        "#![allow(",
        "todo!(",
        "unimplemented!(",
        "thread::sleep",
        "#[ignore",
    ];
    assert_none("not written here", &lines_with(&never));
    for (room, _) in MAY_USE {
        let inherits =
            manifest(room).get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "`{room}` takes the lints of the workspace");
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name);
    assert_none("a file opens with `//!`", &silent.collect::<Vec<_>>());
}

#[test]
fn every_file_of_tests_is_run() {
    let main = fs::read_to_string(root().join("tests/e2e/main.rs")).expect("main.rs");
    let modules = files().into_iter().filter_map(|(name, _)| {
        let module = name.strip_prefix("tests/e2e/")?.strip_suffix(".rs")?.to_owned();
        (!module.contains('/') && module != "main").then_some(module)
    });
    let forgotten = modules.filter(|module| !main.lines().any(|line| line.ends_with(&format!("mod {module};"))));
    assert_none("not in main.rs", &forgotten.collect::<Vec<_>>());
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // Put together here, so that this file passes its own test.
    let places = ["work", "root"].map(|place| format!("/{place}/"));
    let mut wrong = Vec::new();
    for (name, path) in files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let at_home = line.match_indices("/home/").any(|(at, _)| {
                // A home of somebody, not a path that goes through a folder called home.
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '}')
            });
            let there = |place: &String| {
                line.match_indices(place.as_str())
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '}'))
            };
            if at_home && name != "tests/e2e/tidy.rs" || places.iter().any(there) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("a path of one machine", &wrong);
}

#[test]
fn files_are_short_or_listed() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let Some(lines) = production(&name, &text) else { continue };
        let listed = LONG.iter().any(|(file, _)| *file == name);
        if (lines.len() > LINES_MAX) != listed {
            wrong.push(format!("{name}: {} lines{}", lines.len(), if listed { ", and is listed" } else { "" }));
        }
    }
    assert_none("files over 500 lines are listed with a reason, and no others", &wrong);
}
