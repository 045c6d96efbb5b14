//! What is kept of a run: files with their checksums, and the figures it is measured by. Nothing here decides what follows
//! from them.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use pipeline_lib::globs;
use pipeline_lib::run::{Run, Work};
use pipeline_lib::text;
use pipeline_lib::workflow::{Figure, Stage, figures};
use pipeline_worktrees::beneath;
use pipeline_worktrees::host::{self, Stream};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::confine::private_dir;
use super::launch::replace_file;
use super::perform::Failure;
use crate::context::Context;

/// The directory in a run's that holds what is kept of it.
pub(super) const ARTIFACTS: &str = "artifacts";
/// How much of what a command printed is searched for figures.
const PRINTED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest report that is read.
const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much is kept of one run, in bytes and in files.
const KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;
const KEPT_FILES_MAX: usize = 10_000;
/// How deep folders are looked into.
const DEPTH_MAX: usize = 64;

/// What was found when a run was collected.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Why it is not good enough.
    pub(super) unmet: Option<String>,
    /// What a person should read of it.
    pub(super) notes: Vec<String>,
}

/// Keeps the files that a stage names and holds its figures against their thresholds. Repeated, it does the same again.
pub(super) fn measure(context: &Context, run: &Run, stage: &Stage, place: &Path) -> Result<Measured, Failure> {
    let mut measured = Measured::default();
    if !matches!(run.work, Work::Agent | Work::Command { .. }) {
        return Ok(measured);
    }
    let dir = context.run_dir(&run.id);
    if !stage.artifacts.is_empty() {
        measured.notes.push(keep(&dir, &stage.artifacts, place)?);
    }
    let mut unmet = Vec::new();
    for threshold in &stage.thresholds {
        let found = source(&threshold.from, &dir, place).and_then(|text| figures::read(&threshold.from, &text));
        match figures::judge(threshold, found) {
            Ok(words) => measured.notes.push(words),
            Err(words) => unmet.push(words),
        }
    }
    measured.unmet = (!unmet.is_empty()).then(|| unmet.join("; "));
    Ok(measured)
}

fn source(figure: &Figure, dir: &Path, place: &Path) -> Result<String, String> {
    match figure {
        Figure::Output(_) => {
            let both = [Stream::Stderr, Stream::Stdout];
            Ok(both
                .iter()
                .map(|stream| host::tail(dir, *stream, PRINTED_BYTES_MAX).unwrap_or_default() + "\n")
                .collect())
        }
        Figure::Lcov(path) | Figure::Cobertura(path) | Figure::Junit(path) => report(place, path),
    }
}

/// A report below the place where the command ran.
fn report(place: &Path, name: &str) -> Result<String, String> {
    let shown = text::one_line(name, 80);
    let missing = |error: std::io::Error| format!("is unknown: {shown} cannot be read: {error}");
    let file = beneath::open(place, Path::new(name)).map_err(missing)?;
    let mut bytes = Vec::new();
    file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(missing)?;
    if bytes.len() as u64 > REPORT_BYTES_MAX {
        return Err(format!("is unknown: {shown} is longer than {} MiB", REPORT_BYTES_MAX / 1024 / 1024));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Copies the files that match into the run's directory and lists them there; the answer is for people.
fn keep(dir: &Path, wanted: &[String], place: &Path) -> Result<String, Failure> {
    let kept = dir.join(ARTIFACTS);
    private_dir(dir)?;
    let mut found = Vec::new();
    find(place, "", wanted, 0, &mut found);
    found.sort();
    let (mut list, mut total, mut left) = (Vec::new(), 0_u64, 0_usize);
    for name in found {
        // What was a file when it was found may be none by now.
        let file = match beneath::open(place, Path::new(&name)) {
            Ok(file) if list.len() < KEPT_FILES_MAX && total + file.metadata()?.len() <= KEPT_BYTES_MAX => file,
            Ok(_) | Err(_) => {
                left += 1;
                continue;
            }
        };
        let to = kept.join(&name);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut bytes = Vec::new();
        file.take(KEPT_BYTES_MAX - total).read_to_end(&mut bytes)?;
        replace_file(&to, &bytes)?;
        total += bytes.len() as u64;
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        list.push(json!({ "path": name, "bytes": bytes.len(), "sha256": sha256 }));
    }
    let document = json!({ "schema_version": 1, "artifacts": list, "bytes": total, "left_out": left });
    replace_file(&dir.join("artifacts.json"), document.to_string().as_bytes())?;
    let more = if left == 0 { String::new() } else { format!(", {left} more did not fit") };
    Ok(match list.len() {
        0 => format!("no file matched {}", text::one_line(&wanted.join(", "), 100)),
        1 => format!("1 artifact kept{more}"),
        n => format!("{n} artifacts kept{more}"),
    })
}

/// Files below a folder that match; no link is followed, and what is ours or git's is not looked at.
fn find(root: &Path, below: &str, wanted: &[String], depth: usize, found: &mut Vec<String>) {
    if depth > DEPTH_MAX {
        return;
    }
    // A folder that cannot be read has nothing that could be kept.
    for entry in beneath::list(root, Path::new(below)).into_iter().flatten() {
        let Ok(name) = entry.name.into_string() else { continue };
        if depth == 0 && [".git", crate::context::FOLDER].contains(&name.as_str()) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.kind.is_dir() {
            find(root, &path, wanted, depth + 1, found);
        } else if entry.kind.is_file() && wanted.iter().any(|pattern| globs::matches(pattern, &path)) {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_with_their_checksums_and_no_link_is_followed() {
        let (dir, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("dist/a.txt", "abc");
        write("dist/deep/b.txt", "");
        write("dist/c.log", "no");
        write("secret.txt", "no");
        std::os::unix::fs::symlink(place.path().join("secret.txt"), place.path().join("dist/link.txt")).unwrap();
        std::os::unix::fs::symlink(place.path(), place.path().join("dist/all")).unwrap();
        let said = keep(dir.path(), &["dist/**/*.txt".to_owned()], place.path()).unwrap();
        assert_eq!(said, "2 artifacts kept");
        let list: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join("artifacts.json")).unwrap()).unwrap();
        assert_eq!(list["artifacts"][0]["path"], "dist/a.txt");
        assert_eq!(list["artifacts"][0]["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(list["artifacts"][1]["path"], "dist/deep/b.txt");
        assert_eq!(fs::read_to_string(dir.path().join("artifacts/dist/a.txt")).unwrap(), "abc");
        assert_eq!(keep(dir.path(), &["x/*".to_owned()], place.path()).unwrap(), "no file matched x/*");
    }

    #[test]
    fn a_report_elsewhere_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a.info"), "LF:2\nLH:1\n").unwrap();
        assert!(report(place.path(), "a.info").is_ok());
        std::os::unix::fs::symlink("a.info", place.path().join("link.info")).unwrap();
        std::os::unix::fs::symlink("/etc", place.path().join("etc")).unwrap();
        for name in ["../a.info", "/etc/passwd", "missing", ".", "link.info", "etc/passwd"] {
            assert!(report(place.path(), name).unwrap_err().starts_with("is unknown: "), "{name}");
        }
    }
}
