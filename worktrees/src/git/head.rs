//! Pointing HEAD of a checkout elsewhere and making a branch that was not there, as git does where references are files: a
//! lock, a line in the log of HEAD, and a rename. What is written is on disk before it has its name; the log need not be. Its
//! name is on disk before anybody works on a branch: what is found in a worktree after a power cut is known to be of that one.
//! The log of a branch begins with the first commit that is made on it, in which git says where it was before: there may be
//! many branches on which none is ever made, and each would have one more file.
//!
//! HEAD of a worktree moves with every task. The file that it was before stays beside it and becomes the next lock, because
//! to write over a file costs less than to make one and to have it on disk. Until the folder is on disk a power cut may bring
//! back its name, so that it is written over only by what is as long: that is there as a whole or not at all.
//!
//! Whether HEAD may point there is not asked here. The library would ask: it opens every other worktree to find out who has
//! the branch, which whoever calls this knows. And the library would sync logs and their folders, on which nothing relies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use git2::{Oid, Reference, Repository, Signature};
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW, utimensat};

use super::backend::Head;
use super::{GitError, durable, layout};

/// A file of packed references that is longer is left to the library.
const PACKED_BYTES_MAX: u64 = 64 * 1024;

/// In the private git directory of a worktree: the file that HEAD was before.
const SPARE: &str = "pipeline-head";

/// Whether references are logged, and in whose name.
pub(super) struct Logging {
    is_on: bool,
    name: String,
    email: String,
}

impl Logging {
    /// As the configuration says.
    pub(super) fn of(repo: &Repository) -> Result<Self, GitError> {
        let config = repo.config().map_err(GitError::lib("read the configuration"))?;
        // Git knows one more value, `always`, which is none of these.
        let is_on = config.get_bool("core.logallrefupdates").unwrap_or(true);
        let who = repo.signature().or_else(|_| Signature::now("unknown", "unknown"));
        let who = who.map_err(GitError::lib("find out who moves references"))?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { is_on, name: text(who.name_bytes()), email: text(who.email_bytes()) })
    }

    fn who(&self) -> Result<Signature<'static>, GitError> {
        Signature::now(&self.name, &self.email).map_err(GitError::lib("say who moves references"))
    }
}

/// Points `HEAD` of a private git directory from where it is to where it is to be.
pub(super) fn point(logging: &Logging, admin: &Path, from: &Head, to: &Head) -> Result<(), GitError> {
    write(admin, from, to, &logging.who()?, logging.is_on)
}

fn write(admin: &Path, from: &Head, to: &Head, who: &Signature<'_>, is_logged: bool) -> Result<(), GitError> {
    draft_head(admin, from, to, who, is_logged)?.put()?;
    // A detached one is nobody's place of work.
    if to.reference.is_some() { durable::sync_folder(admin) } else { Ok(()) }
}

/// What was logged before goes on being logged, whatever `is_logged` says.
fn draft_head(admin: &Path, from: &Head, to: &Head, who: &Signature<'_>, is_logged: bool) -> Result<Draft, GitError> {
    let content = match (&to.reference, &to.commit) {
        (Some(reference), _) => format!("ref: {reference}\n"),
        (None, Some(commit)) => format!("{commit}\n"),
        (None, None) => return Err(GitError::NoSuchCommit { rev: "HEAD".to_owned() }),
    };
    let log = Log { file: admin.join("logs/HEAD"), entry: line(from, to, who), is_wanted: is_logged };
    // A repository's own HEAD hardly moves, and not by us.
    let spare = admin.join("commondir").exists().then(|| admin.join(SPARE));
    Draft::new(&admin.join("HEAD"), &content, spare, Some(log)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => GitError::Locked { file: admin.join("HEAD.lock") },
        _ => GitError::io("write", &admin.join("HEAD"))(error),
    })
}

/// Makes a branch that is not there, and says whether it was made. Nothing where that is not plain, be it that something is
/// in the way: then the library is to be asked, which knows what to say.
pub(super) fn make_branch(common: &Path, name: &str, at: Oid) -> Result<Option<bool>, GitError> {
    let Some(branch) = draft_branch(common, name, at) else { return Ok(None) };
    let Some(branch) = branch else { return Ok(Some(false)) };
    branch.put()?;
    durable::sync_folder(&folder_of(common, name)).map(|()| Some(true))
}

/// The same, and points `HEAD` of a private git directory at it. Both are on disk as two are that are made one after the other,
/// and where a file system has a journal with half of the waiting.
pub(super) fn begin(
    logging: &Logging,
    (common, name, at): (&Path, &str, Oid),
    (admin, from, to): (&Path, &Head, &Head),
) -> Result<Option<bool>, GitError> {
    let Some(branch) = draft_branch(common, name, at) else { return Ok(None) };
    let Some(branch) = branch else { return Ok(Some(false)) };
    let head = draft_head(admin, from, to, &logging.who()?, logging.is_on)?;
    branch.put()?;
    head.put()?;
    durable::sync_folder(&folder_of(common, name))?;
    durable::sync_folder(admin).map(|()| Some(true))
}

fn folder_of(common: &Path, name: &str) -> PathBuf {
    common.join(name).parent().map_or_else(|| common.to_owned(), Path::to_owned)
}

/// A branch that is made, `Some(None)` if it is there, or nothing where that is not plain.
fn draft_branch(common: &Path, name: &str, at: Oid) -> Option<Option<Draft>> {
    let file = common.join(name);
    let is_plain = name.starts_with("refs/heads/") && Reference::is_valid_name(name) && !file.is_dir();
    if !is_plain || !folder_of(common, name).is_dir() || is_packed(common, name) {
        return None;
    }
    match Draft::new(&file, &format!("{at}\n"), None, None) {
        // Nobody else can make it now.
        Ok(draft) => Some(file.symlink_metadata().is_err().then_some(draft)),
        Err(error) => {
            tracing::debug!(name, %error, "a branch is left to the library");
            None
        }
    }
}

/// Whether a packed reference has this name, or one above or below it, as far as that is quickly found.
fn is_packed(common: &Path, name: &str) -> bool {
    let file = common.join("packed-refs");
    match file.symlink_metadata() {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(found) if found.len() > PACKED_BYTES_MAX => true,
        Ok(_) => fs::read(&file).map_or(true, |bytes| {
            let text = String::from_utf8_lossy(&bytes);
            let is_below =
                |below: &str, above: &str| below.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
            let mut names = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, packed)| packed);
            names.any(|packed| packed == name || is_below(packed, name) || is_below(name, packed))
        }),
    }
}

/// A line of a log, and whether the log is made where there is none.
struct Log {
    file: PathBuf,
    entry: Vec<u8>,
    is_wanted: bool,
}

/// What a reference is to be, on disk under the name of its lock, as long as which nobody else writes it.
struct Draft {
    file: PathBuf,
    lock: PathBuf,
    /// Where what it was stays, if it is to stay.
    spare: Option<PathBuf>,
    log: Option<Log>,
    is_put: bool,
}

impl Draft {
    fn new(file: &Path, content: &str, spare: Option<PathBuf>, log: Option<Log>) -> io::Result<Self> {
        let mut lock = file.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let reused = spare.as_deref().map(|spare| reuse(spare, &lock, file, content.len())).transpose()?.flatten();
        let mut open = match reused {
            Some(open) => open,
            None => OpenOptions::new().write(true).create_new(true).open(&lock)?,
        };
        let draft = Self { file: file.to_owned(), lock, spare, log, is_put: false };
        open.write_all(content.as_bytes())?;
        // A power cut must not leave one that says nothing.
        open.sync_data()?;
        Ok(draft)
    }

    /// Puts it in place of what there may be, with a line of the log. The names need not be on disk then.
    fn put(mut self) -> Result<(), GitError> {
        let put = || {
            if let Some(log) = &self.log
                && let Some(mut open) = open_log(&log.file, log.is_wanted)?
            {
                open.write_all(&log.entry)?;
            }
            if let Some(spare) = &self.spare {
                // Without one the next lock is made.
                drop(fs::remove_file(spare));
                drop(fs::hard_link(&self.file, spare));
            }
            fs::rename(&self.lock, &self.file)
        };
        put().map_err(GitError::io("write", &self.file))?;
        self.is_put = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_put {
            // What is left of it would keep everybody out.
            drop(fs::remove_file(&self.lock));
        }
    }
}

/// Gives the file that a reference was before the name of its lock. None where there is none of this length, or it has one
/// more name: a process that is killed may leave what is still the reference, and somebody else anything.
fn reuse(spare: &Path, lock: &Path, file: &Path, bytes: usize) -> io::Result<Option<File>> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    // Whoever finds the lock of a killed process sees by its time that it is no older.
    let times = Timestamps { last_access: now, last_modification: now };
    if utimensat(CWD, spare, &times, AtFlags::SYMLINK_NOFOLLOW).is_err() {
        return Ok(None);
    }
    match fs::hard_link(spare, lock) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => return Ok(None),
        Ok(()) => {}
    }
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let open = OpenOptions::new().write(true).custom_flags(flags).open(lock);
    let is_spare = |open: &File| {
        let (found, present) = (open.metadata()?, file.symlink_metadata()?);
        let is_plain = found.is_file() && found.len() == bytes as u64;
        Ok::<_, io::Error>(is_plain && found.nlink() == 2 && found.ino() != present.ino())
    };
    if let Ok(open) = open
        && is_spare(&open).unwrap_or(false)
    {
        return Ok(Some(open));
    }
    fs::remove_file(lock)?;
    Ok(None)
}

/// The log of a reference, made where there is to be one.
fn open_log(path: &Path, is_logged: bool) -> io::Result<Option<File>> {
    let append = |create| OpenOptions::new().append(true).create(create).open(path);
    match append(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_logged => {
            path.parent().map(fs::create_dir_all).transpose()?;
            append(true).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        open => open.map(Some),
    }
}

/// A line of the log of HEAD, as git writes it when a checkout moves.
fn line(from: &Head, to: &Head, who: &Signature<'_>) -> Vec<u8> {
    let none = || "0".repeat(from.commit.as_ref().or(to.commit.as_ref()).map_or(40, |id| id.as_str().len()));
    let id = |head: &Head| head.commit.as_ref().map_or_else(none, |id| id.as_str().to_owned());
    let name = |head: &Head| head.reference.as_deref().and_then(layout::branch_name).unwrap_or_else(|| id(head));
    entry(&id(from), &id(to), who, &format!("checkout: moving from {} to {}", name(from), name(to)))
}

/// A line of a log, as git writes it.
fn entry(from: &str, to: &str, who: &Signature<'_>, message: &str) -> Vec<u8> {
    let zone = who.when().offset_minutes();
    let (sign, zone) = (if zone < 0 { '-' } else { '+' }, zone.unsigned_abs());
    let zone = format!("{sign}{:02}{:02}", zone / 60, zone % 60);
    let mut line = format!("{from} {to} ").into_bytes();
    line.extend_from_slice(who.name_bytes());
    line.extend_from_slice(b" <");
    line.extend_from_slice(who.email_bytes());
    line.extend_from_slice(format!("> {} {zone}\t{message}\n", who.when().seconds()).as_bytes());
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

    #[test]
    fn what_head_was_before_is_written_over_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let (admin, who) = (dir.path(), Signature::now("x", "x@example.org").unwrap());
        let (head, spare) = (admin.join("HEAD"), admin.join(SPARE));
        let inode = |file: &Path| file.symlink_metadata().map(|found| found.ino()).ok();
        let read = || fs::read_to_string(&head).unwrap();
        let to = |branch: &str| write(admin, &on("", Some('a')), &on(branch, Some('b')), &who, false).unwrap();
        to("first");
        to("second");
        assert_eq!(inode(&spare), None, "it is no worktree");
        fs::write(admin.join("commondir"), "../..\n").unwrap();
        to("a-branch-with-a-long-name");
        to("third");
        let (third, long) = (inode(&head), inode(&spare));
        assert!(third.is_some() && long.is_some() && third != long);
        to("fourth");
        assert_eq!(inode(&spare), third, "what was longer is not written over");
        to("fifth");
        assert_eq!(inode(&head), third, "what is as long is");
        assert_eq!(read(), "ref: refs/heads/fifth\n");
        // Killed between the last two steps, and the lock was cleared away: the spare one is HEAD.
        fs::remove_file(&spare).unwrap();
        fs::hard_link(&head, &spare).unwrap();
        let open = File::open(&head).unwrap();
        to("sixth");
        assert_eq!(io::read_to_string(open).unwrap(), "ref: refs/heads/fifth\n");
        assert_eq!(read(), "ref: refs/heads/sixth\n");
        // What somebody else put there is not written into.
        let mine = admin.join("mine");
        for plant in [fs::hard_link, std::os::unix::fs::symlink] {
            let text = "mine".repeat(read().len()).split_off(read().len() * 3);
            fs::write(&mine, &text).unwrap();
            fs::remove_file(&spare).unwrap();
            plant(&mine, &spare).unwrap();
            to("plant");
            assert_eq!((fs::read_to_string(&mine).unwrap(), read()), (text, "ref: refs/heads/plant\n".into()));
            assert!(inode(&spare) != inode(&mine), "it is none any more");
        }
        assert!(!admin.join("HEAD.lock").exists());
        // The lock of somebody else is respected.
        fs::write(admin.join("HEAD.lock"), "").unwrap();
        assert!(write(admin, &on("", Some('a')), &on("main", Some('b')), &who, false).is_err());
        assert_eq!(read(), "ref: refs/heads/plant\n");
    }

    #[test]
    fn a_branch_is_made_as_git_makes_it_and_only_where_that_is_plain() {
        let dir = tempfile::tempdir().unwrap();
        let common = dir.path();
        let at = Oid::from_str(&"a".repeat(40)).unwrap();
        let make = |name: &str| make_branch(common, name, at).unwrap();
        let packed = |text: &str| fs::write(common.join("packed-refs"), text).unwrap();
        assert_eq!(make("refs/heads/task/one"), None, "its folder is made by the library");
        fs::create_dir_all(common.join("refs/heads/task/below")).unwrap();
        assert_eq!(make("refs/heads/task/one"), Some(true));
        assert_eq!(fs::read_to_string(common.join("refs/heads/task/one")).unwrap(), format!("{at}\n"));
        assert_eq!(make("refs/heads/task/one"), Some(false), "it is there");
        assert!(!common.join("refs/heads/task/one.lock").exists());
        for name in ["refs/heads/task/below", "refs/heads/task/..", "refs/tags/one", "HEAD"] {
            assert_eq!(make(name), None, "{name}");
        }
        fs::write(common.join("refs/heads/task/two.lock"), "").unwrap();
        assert_eq!(make("refs/heads/task/two"), None, "somebody else is making it");
        assert!(common.join("refs/heads/task/two.lock").exists());
        let line = |name: &str| format!("# pack-refs with: peeled\n{at} refs/heads/main\n{at} {name}\n^{at}\n");
        for (name, is_plain) in [("task/three", false), ("task/three/x", false), ("task", false), ("task/thre", true)] {
            packed(&line(&format!("refs/heads/{name}")));
            assert_eq!(make("refs/heads/task/three").is_some(), is_plain, "{name}");
        }
        packed(&line("refs/heads/x").repeat(1_000));
        assert_eq!(make("refs/heads/task/four"), None, "long lists are left to the library");
    }
}
