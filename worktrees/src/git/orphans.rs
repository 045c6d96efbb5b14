//! Lock files of git whose owner was killed, and drafts of ours. Git leaves its locks to a person, since it cannot know
//! whether their owner lives. We know when an owner of ours died, and look whether any other could live, so that SIGKILL
//! stops nobody's work.
//!
//! What the locks protected is repaired by repeating the operation that was cut short, elsewhere.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::backend::Checkout;
use super::worktree::{OPERATION_REFS, OPERATIONS};
use super::{GitError, Repo};
use crate::process::{Identity, Stat};

/// A file in git's common directory. Its time says since when a process of ours works on the repository; while none does
/// that is the epoch. To set a time costs much less than to make a file and to remove it, and goes to disk in the same
/// order with the locks that git makes.
const MARK: &str = "pipeline-at-work";
/// What the names of files and directories of ours begin with that are not finished, in git's own directories: the entry of a
/// worktree, an index that nobody else sees, and a file that takes the place of another.
pub(super) const DRAFTS: [&str; 3] = ["pipeline-worktree-", "pipeline-index-", ".pipeline-draft-"];

/// That this process works on the repository. Whoever begins after one that was killed clears its locks away.
#[derive(Debug)]
pub struct AtWork {
    /// None where the mark of a dead process stays, because it could not be told for certain who owns its locks.
    mark: Option<File>,
    /// Whether the process before was killed, and what it left beside its locks was not seen to yet.
    after_kill: bool,
}

impl AtWork {
    /// Whether the process that worked before was killed, so that it may have left worktrees in the middle of something.
    #[must_use]
    pub fn is_after_kill(&self) -> bool {
        self.after_kill
    }

    /// That such worktrees were seen to. Without it whoever works next hears of the killed process again.
    pub fn settle(&mut self) {
        self.after_kill = false;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(mark) = self.mark.as_ref().filter(|_| !self.after_kill)
            && let Err(error) = set_time(mark, AT_REST)
        {
            tracing::warn!(%error, "cannot take the mark of our work away");
        }
    }
}

/// How old a lock becomes before its owner is no longer waited for. A git that is at work beside it has ended by then unless a
/// person or a hook keeps it, and whoever needs the lock would otherwise fail and come again later.
const OWNER_WAIT: Duration = Duration::from_secs(1);
/// How much later than a lock a process may seem to have begun that made it: both clocks go in steps.
const CLOCK_SLACK: Duration = Duration::from_millis(50);
/// No time of anybody's work.
const AT_REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// The time that a file made at this moment would have: comparable with that of locks, unlike a more exact one.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };

fn set_time(file: &File, modified: Timespec) -> io::Result<()> {
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified };
    Ok(rustix::fs::futimens(file, &times)?)
}

impl Repo {
    /// Says that this process works on the repository from here on, and first removes the locks that the one before it
    /// left if it was killed. Only one process at a time may do so.
    ///
    /// # Errors
    /// When the git directory cannot be read or written.
    pub fn begin_work(&self) -> Result<AtWork, GitError> {
        let path = self.common.join(MARK);
        let (mut keep, mut after_kill) = (false, false);
        if let Some(since) = modified(&path).filter(|since| *since != SystemTime::UNIX_EPOCH) {
            let mut locks = Vec::new();
            find_locks(&self.common, &mut locks)?;
            for folder in ["worktrees", "refs", "reftable", "info"] {
                find_locks_below(&self.common.join(folder), &mut locks)?;
            }
            keep = !self.clear(&locks, since)?;
            after_kill = true;
        }
        if keep {
            return Ok(AtWork { mark: None, after_kill });
        }
        let mark = File::options().create(true).truncate(false).write(true).open(&path);
        let mark = mark.map_err(GitError::io("open", &path))?;
        set_time(&mark, NOW).map_err(GitError::io("write", &path))?;
        Ok(AtWork { mark: Some(mark), after_kill })
    }

    /// Removes the locks that an agent left which was killed at work on a branch. Nothing of it may live any more.
    ///
    /// # Errors
    /// When the git directory cannot be read or written.
    pub fn clear_locks_of(&self, worktree: &Path, branch: &str, since: SystemTime) -> Result<(), GitError> {
        let locks = self.locks_of(&self.checkout(worktree)?, branch)?;
        self.clear(&locks, since).map(drop)
    }

    /// Whether nothing is under way in a checkout: no lock in it or of a branch, and no merge, rebase or the like.
    pub(super) fn is_at_rest(&self, checkout: &Checkout, branch: &str) -> Result<bool, GitError> {
        if self.lock_of(branch).symlink_metadata().is_ok() {
            return Ok(false);
        }
        for entry in fs::read_dir(&checkout.admin).map_err(GitError::io("list", &checkout.admin))? {
            let name = entry.map_err(GitError::io("list", &checkout.admin))?.file_name();
            let name = name.to_string_lossy();
            if is_lock(&name) || OPERATIONS.contains(&&*name) || OPERATION_REFS.contains(&&*name) {
                return Ok(false);
            }
        }
        // Elsewhere references are no files.
        Ok(self.backend.heads_are_files() || !self.in_progress(checkout)?)
    }

    fn lock_of(&self, branch: &str) -> PathBuf {
        self.common.join(format!("refs/heads/{branch}.lock"))
    }

    fn locks_of(&self, checkout: &Checkout, branch: &str) -> Result<Vec<PathBuf>, GitError> {
        let mut locks = vec![self.lock_of(branch)];
        find_locks(&checkout.admin, &mut locks)?;
        locks.retain(|lock| lock.symlink_metadata().is_ok());
        Ok(locks)
    }

    /// Removes those of the locks that were made since then and whose owner cannot be alive; false if one may be. A draft is
    /// in nobody's way, so that nobody waits for its owner.
    fn clear(&self, locks: &[PathBuf], since: SystemTime) -> Result<bool, GitError> {
        let mut all = true;
        for lock in locks {
            all &= self.clear_one(lock, since)?;
        }
        Ok(all)
    }

    fn clear_one(&self, lock: &Path, since: SystemTime) -> Result<bool, GitError> {
        let draft = lock.file_name().is_some_and(|name| is_draft(&name.to_string_lossy()));
        // Looked at anew after every wait: it may have become somebody else's.
        while let Ok(found) = lock.symlink_metadata() {
            let ours =
                (found.is_file() || draft && found.is_dir()) && found.uid() == rustix::process::geteuid().as_raw();
            // One that is older was there before the process that died.
            if !ours || found.modified().is_ok_and(|made| made < since) {
                return Ok(true);
            }
            if let Some(owner) = self.living_owner(lock, &found)? {
                let age = found.modified().ok().and_then(|made| made.elapsed().ok());
                if let Some(left) = age.filter(|_| !draft).and_then(|age| OWNER_WAIT.checked_sub(age)) {
                    owner.wait(left);
                    continue;
                }
                tracing::warn!(lock = %lock.display(), "left alone: its owner may be alive");
                return Ok(draft);
            }
            tracing::warn!(lock = %lock.display(), "removed: whoever made it was killed");
            match if found.is_dir() { fs::remove_dir_all(lock) } else { fs::remove_file(lock) } {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(GitError::io("remove", lock)(error));
                }
                _ => return Ok(true),
            }
        }
        Ok(true)
    }

    /// Whether a process has the lock open, or is a git that works where the lock counts: git closes some locks long
    /// before it gives them back, as while a person writes a message.
    fn living_owner(&self, lock: &Path, found: &fs::Metadata) -> Result<Option<Identity>, GitError> {
        let mut checkouts = Vec::new();
        for info in self.worktrees()?.into_iter().filter(|info| !info.prunable) {
            checkouts.extend(self.checkout(&info.path).ok());
        }
        let counts_in =
            lock.parent().filter(|_| lock.file_name().is_some_and(|name| name == "index.lock" || name == "HEAD.lock"));
        for entry in fs::read_dir("/proc").map_err(GitError::io("list", Path::new("/proc")))?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let dir = entry.path();
            let foreign = fs::metadata(&dir).map_or(true, |metadata| metadata.uid() != found.uid());
            let is_older = |stat: Stat| {
                stat.began().is_none_or(|began| found.modified().map_or(true, |made| began <= made + CLOCK_SLACK))
            };
            let Some(owner) = Identity::of(pid).filter(|_| !foreign) else { continue };
            if Stat::read(pid).is_none_or(|stat| stat.is_dead() || !is_older(stat)) {
                continue;
            }
            // What hides them is a supervisor of ours, and whoever looks here has the right to work on git instead of it.
            let open = fs::read_dir(dir.join("fd")).into_iter().flatten().flatten();
            let mut open = open.filter_map(|fd| fs::metadata(fd.path()).ok());
            if open.any(|file| (file.dev(), file.ino()) == (found.dev(), found.ino())) {
                return Ok(Some(owner));
            }
            if !fs::read_to_string(dir.join("comm")).is_ok_and(|name| name.starts_with("git")) {
                continue;
            }
            let Ok(cwd) = fs::read_link(dir.join("cwd")) else { continue };
            let around = checkouts.iter().filter(|checkout| cwd.starts_with(&checkout.path));
            // Worktrees lie inside the main checkout: the innermost is meant.
            let around = around.max_by_key(|checkout| checkout.path.components().count());
            let here = match (around, counts_in) {
                (Some(checkout), Some(admin)) => checkout.admin == admin,
                (Some(_), None) => true,
                (None, _) => cwd.starts_with(&self.common),
            };
            if here {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.symlink_metadata().and_then(|metadata| metadata.modified()).ok()
}

fn is_draft(name: &str) -> bool {
    DRAFTS.iter().any(|draft| name.starts_with(draft))
}

/// Whether this is the name of a lock file or a draft. Locks of ours, which are held by `flock`, only have names like locks.
fn is_lock(name: &str) -> bool {
    name.ends_with(".lock") && !name.starts_with("pipeline-") || is_draft(name)
}

/// The lock files and drafts in one directory.
fn find_locks(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), GitError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(GitError::io("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(GitError::io("list", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_lock(&name) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn find_locks_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), GitError> {
    find_locks(dir, found)?;
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(GitError::io("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(GitError::io("list", dir))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_locks_below(&entry.path(), found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn repo() -> (tempfile::TempDir, Repo) {
        let dir = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let user = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
            assert!(Command::new("git").args(user).args(args).current_dir(&dir).output().unwrap().status.success());
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["commit", "-q", "--allow-empty", "-m", "start"]);
        let repo = Repo::discover(dir.path()).unwrap();
        (dir, repo)
    }

    #[test]
    fn locks_of_a_killed_process_go_and_older_ones_stay() {
        let (_dir, repo) = repo();
        let lock = |name: &str| repo.common.join(name);
        fs::write(lock("config.lock"), "").unwrap();
        let before = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(lock("config.lock")).unwrap().set_modified(before).unwrap();
        std::mem::forget(repo.begin_work().unwrap());
        fs::write(lock("pipeline-worktrees.lock"), "").unwrap();
        for name in ["index.lock", "HEAD.lock", "refs/heads/main.lock"] {
            fs::write(lock(name), "").unwrap();
        }
        drop(repo.begin_work().unwrap());
        for name in ["index.lock", "HEAD.lock", "refs/heads/main.lock"] {
            assert!(!lock(name).exists(), "{name}");
        }
        let mut next = repo.begin_work().unwrap();
        assert!(next.is_after_kill(), "nobody has seen to what else it left");
        next.settle();
        drop(next);
        assert_eq!(modified(&lock(MARK)), Some(SystemTime::UNIX_EPOCH));
        assert!(!repo.begin_work().unwrap().is_after_kill());
        assert!(lock("config.lock").exists() && lock("pipeline-worktrees.lock").exists());
    }

    #[test]
    fn what_a_killed_process_did_not_finish_goes_too() {
        let (_dir, repo) = repo();
        let admin = repo.common.join("worktrees/x");
        let drafts = [
            repo.common.join("pipeline-worktree-1"),
            admin.join("pipeline-index-2"),
            admin.join(".pipeline-draft-3"),
            repo.common.join("refs/heads/.pipeline-draft-4"),
        ];
        let make = || {
            for draft in &drafts[..2] {
                fs::create_dir_all(draft).unwrap();
                fs::write(draft.join("index"), "").unwrap();
            }
            drafts[2..].iter().for_each(|draft| fs::write(draft, "").unwrap());
        };
        let left = || drafts.iter().filter(|draft| draft.exists()).count();
        make();
        drop(repo.begin_work().unwrap());
        assert_eq!(left(), 4, "nobody was killed, so somebody may be about to finish them");
        std::mem::forget(repo.begin_work().unwrap());
        make();
        for draft in &drafts {
            File::open(draft).unwrap().set_modified(SystemTime::now()).unwrap();
        }
        repo.begin_work().unwrap().settle();
        assert_eq!(left(), 0);
    }

    #[test]
    fn without_a_killed_process_no_lock_is_touched() {
        let (_dir, repo) = repo();
        fs::write(repo.common.join("index.lock"), "").unwrap();
        drop(repo.begin_work().unwrap());
        drop(repo.begin_work().unwrap());
        assert!(repo.common.join("index.lock").exists());
    }

    #[test]
    fn a_lock_that_somebody_has_open_stays_until_it_is_closed() {
        let (_dir, repo) = repo();
        std::mem::forget(repo.begin_work().unwrap());
        let lock = repo.common.join("index.lock");
        let held = File::create(&lock).unwrap();
        drop(repo.begin_work().unwrap());
        assert!(lock.exists());
        drop(held);
        repo.begin_work().unwrap().settle();
        assert!(!lock.exists() && modified(&repo.common.join(MARK)) == Some(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn a_git_at_work_in_the_checkout_may_own_a_lock_it_has_closed() {
        let (dir, repo) = repo();
        std::mem::forget(repo.begin_work().unwrap());
        let lock = repo.common.join("index.lock");
        fs::write(&lock, "").unwrap();
        let mut git = git_at_work(&dir);
        drop(repo.begin_work().unwrap());
        assert!(lock.exists());
        git.kill().unwrap();
        git.wait().unwrap();
        drop(repo.begin_work().unwrap());
        assert!(!lock.exists());
    }

    #[test]
    fn a_git_that_ends_soon_is_waited_for_so_that_nobody_fails_at_the_lock() {
        let (dir, repo) = repo();
        let lock = repo.common.join("refs/heads/main.lock");
        let waiting = format!("/proc/self/task/{}/stat", rustix::thread::gettid().as_raw_nonzero());
        // On a machine that is busy enough it may end too late, and not every time.
        let is_cleared = (0..20).any(|_| {
            std::mem::forget(repo.begin_work().unwrap());
            let mut git = git_at_work(&dir);
            fs::write(&lock, "").unwrap();
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // It ends once it was looked at and is waited for.
                    while !is_over.load(Ordering::Relaxed)
                        && !fs::read_to_string(&waiting).is_ok_and(|stat| stat.contains(") S "))
                    {
                        std::thread::yield_now();
                    }
                    git.kill().unwrap();
                    git.wait().unwrap();
                });
                drop(repo.begin_work().unwrap());
                is_over.store(true, Ordering::Relaxed);
            });
            !lock.exists()
        });
        assert!(is_cleared);
    }

    /// A git that waits for its input, as one does whose user writes a message.
    fn git_at_work(dir: &tempfile::TempDir) -> Child {
        let mut git = Command::new("git");
        git.args(["cat-file", "--batch"]).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut git = git.spawn().unwrap();
        // Its first answer proves that it is git by now.
        io::Write::write_all(git.stdin.as_mut().unwrap(), b"HEAD\n").unwrap();
        io::Read::read_exact(git.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        git
    }
}
