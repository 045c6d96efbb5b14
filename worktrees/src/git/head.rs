//! Pointing HEAD of a checkout elsewhere, as git does where references are files: a lock, a line in the log, and a rename.
//!
//! Whether it may point there is not asked here. The library would ask: it opens every other worktree to find out who has the
//! branch, which whoever calls this knows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use git2::{Repository, Signature};

use super::backend::Head;
use super::{GitError, layout};

/// Points `HEAD` of a private git directory from where it is to where it is to be, and logs it as the configuration says.
pub(super) fn point(repo: &Repository, admin: &Path, from: &Head, to: &Head) -> Result<(), GitError> {
    let config = repo.config().map_err(GitError::lib("read the configuration"))?;
    // Git knows one more value, `always`, which is none of these.
    let is_logged = config.get_bool("core.logallrefupdates").unwrap_or(true);
    let who = repo.signature().or_else(|_| Signature::now("unknown", "unknown"));
    write(admin, from, to, &who.map_err(GitError::lib("find out who moves HEAD"))?, is_logged)
}

/// What was logged before goes on being logged, whatever `is_logged` says.
fn write(admin: &Path, from: &Head, to: &Head, who: &Signature<'_>, is_logged: bool) -> Result<(), GitError> {
    let (file, lock) = (admin.join("HEAD"), admin.join("HEAD.lock"));
    let content = match (&to.reference, &to.commit) {
        (Some(reference), _) => format!("ref: {reference}\n"),
        (None, Some(commit)) => format!("{commit}\n"),
        (None, None) => return Err(GitError::NoSuchCommit { rev: "HEAD".to_owned() }),
    };
    let mut open = match OpenOptions::new().write(true).create_new(true).open(&lock) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(GitError::Locked { file: lock }),
        open => open.map_err(GitError::io("create", &lock))?,
    };
    let mut replace = || {
        open.write_all(content.as_bytes())?;
        // A power cut must not leave a HEAD that says nothing.
        open.sync_all()?;
        if let Some(mut log) = log(admin, is_logged)? {
            log.write_all(&line(from, to, who))?;
        }
        fs::rename(&lock, &file)
    };
    let replaced = replace();
    if replaced.is_err() {
        // What is left of it would keep everybody out. The error that counts is the first one.
        drop(fs::remove_file(&lock));
    }
    replaced.map_err(GitError::io("write", &file))
}

/// The log of HEAD, made where there is to be one.
fn log(admin: &Path, is_logged: bool) -> io::Result<Option<File>> {
    let path = admin.join("logs/HEAD");
    let append = |create| OpenOptions::new().append(true).create(create).open(&path);
    match append(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_logged => {
            fs::create_dir_all(admin.join("logs"))?;
            append(true).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        open => open.map(Some),
    }
}

/// A line of the log, as git writes it when a checkout moves.
fn line(from: &Head, to: &Head, who: &Signature<'_>) -> Vec<u8> {
    let none = || "0".repeat(from.commit.as_ref().or(to.commit.as_ref()).map_or(40, |id| id.as_str().len()));
    let id = |head: &Head| head.commit.as_ref().map_or_else(none, |id| id.as_str().to_owned());
    let name = |head: &Head| head.reference.as_deref().and_then(layout::branch_name).unwrap_or_else(|| id(head));
    let zone = who.when().offset_minutes();
    let (sign, zone) = (if zone < 0 { '-' } else { '+' }, zone.unsigned_abs());
    let zone = format!("{sign}{:02}{:02}", zone / 60, zone % 60);
    let mut line = format!("{} {} ", id(from), id(to)).into_bytes();
    line.extend_from_slice(who.name_bytes());
    line.extend_from_slice(b" <");
    line.extend_from_slice(who.email_bytes());
    line.extend_from_slice(format!("> {} {zone}\tcheckout: moving from ", who.when().seconds()).as_bytes());
    line.extend_from_slice(format!("{} to {}\n", name(from), name(to)).as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use pipeline_lib::ids::CommitId;

    use super::*;

    fn on(reference: &str, commit: Option<char>) -> Head {
        let reference = (!reference.is_empty()).then(|| format!("refs/heads/{reference}"));
        Head { reference, commit: commit.map(|c| CommitId::from(c.to_string().repeat(40))) }
    }

    #[test]
    fn head_is_written_and_logged_as_git_does() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let who = Signature::new("A Tester", "t@example.org", &git2::Time::new(1_700_000_000, -210)).unwrap();
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        write(dir.path(), &on("", None), &on("main", Some('a')), &who, false).unwrap();
        assert!(!dir.path().join("logs").exists(), "no log is wanted");
        write(dir.path(), &on("main", Some('a')), &on("task/one", Some('b')), &who, true).unwrap();
        assert_eq!(read("HEAD"), "ref: refs/heads/task/one\n");
        write(dir.path(), &on("task/one", Some('b')), &on("", Some('b')), &who, false).unwrap();
        assert_eq!(read("HEAD"), format!("{b}\n"));
        let by = "A Tester <t@example.org> 1700000000 -0330\tcheckout: moving from";
        assert_eq!(read("logs/HEAD"), format!("{a} {b} {by} main to task/one\n{b} {b} {by} task/one to {b}\n"));
        assert!(write(dir.path(), &on("", Some('b')), &on("", None), &who, true).is_err());
    }

    #[test]
    fn a_lock_is_respected_and_none_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let who = Signature::now("x", "x@example.org").unwrap();
        let lock = dir.path().join("HEAD.lock");
        fs::write(&lock, "").unwrap();
        let refused = write(dir.path(), &on("", None), &on("main", Some('a')), &who, true).unwrap_err();
        assert!(matches!(&refused, GitError::Locked { file } if *file == lock), "{refused}");
        assert!(!dir.path().join("HEAD").exists());
        fs::remove_file(&lock).unwrap();
        fs::write(dir.path().join("logs"), "in the way").unwrap();
        assert!(write(dir.path(), &on("", None), &on("main", Some('a')), &who, true).is_err());
        assert!(!lock.exists() && !dir.path().join("HEAD").exists());
    }
}
