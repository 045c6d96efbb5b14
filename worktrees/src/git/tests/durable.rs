//! What a power cut leaves.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use super::*;

#[test]
fn an_index_that_a_power_cut_left_empty_is_made_anew() {
    each(|lab| {
        let path = lab.worktree("one");
        write(&path, "a.txt", "changed\n");
        write(&path, "new.txt", "new\n");
        let index = git(&path, &["rev-parse", "--git-path", "index"]);
        fs::write(path.join(&index), "").unwrap();
        fs::write(lab.main.join(".git/index"), "").unwrap();
        // Another power cut, while it was being made.
        for left in ["mending", "mending.lock"] {
            fs::write(path.join(&index).with_extension(left), "half").unwrap();
        }
        let Committed::Branch { commit, .. } = lab.repo.commit_all(&path, "work", &[]).unwrap() else { panic!() };
        let changed = git(&lab.main, &["diff", "--name-only", "main", commit.as_str()]);
        assert_eq!(changed.lines().collect::<Vec<_>>(), ["a.txt", "new.txt"], "{:?}", lab.kind);
        let to = lab.merge(&commit);
        assert_eq!(lab.repo.advance_branch("main", &lab.head("main"), &to).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(lab.status(), "", "{:?}", lab.kind);
        assert_eq!(read(&lab.main, "a.txt"), "changed\n");
    });
}

#[test]
fn the_library_syncs_what_it_writes_whatever_is_configured() {
    let lab = Lab::new(Kind::Library);
    git(&lab.main, &["config", "core.fsyncObjectFiles", "false"]);
    let repo = crate::git::durable::careful(git2::Repository::open(&lab.main).unwrap()).unwrap();
    assert!(repo.config().unwrap().get_bool("core.fsyncObjectFiles").unwrap());
    assert_eq!(git(&lab.main, &["config", "core.fsyncObjectFiles"]), "false", "nobody's configuration is changed");
}

/// A git that works in a checkout until its input ends.
fn git_at_work(dir: &Path) -> Child {
    let mut git = Command::new("git");
    let mut git = git.current_dir(dir).args(["-c", "alias.wait=!echo; cat", "wait"]);
    git = git.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    child
}

/// A power cut leaves the lock of a branch while an agent commits. Afterwards other agents work all the time.
#[test]
fn a_lock_belongs_to_no_git_that_began_later() {
    let lab = Lab::new(Kind::Library);
    let (path, lock) = (lab.worktree("one"), lab.main.join(".git/refs/heads/one.lock"));
    let clear = || lab.repo.clear_locks_of(&path, "one", SystemTime::UNIX_EPOCH).unwrap();
    let mut older = git_at_work(&lab.main);
    fs::write(&lock, "").unwrap();
    clear();
    assert!(lock.exists(), "it may be that git's");
    drop(older.stdin.take());
    older.wait().unwrap();
    let a_moment_ago = SystemTime::now() - Duration::from_secs(2);
    fs::File::options().write(true).open(&lock).unwrap().set_modified(a_moment_ago).unwrap();
    let mut later = git_at_work(&lab.main);
    clear();
    assert!(!lock.exists(), "it cannot be that git's");
    drop(later.stdin.take());
    later.wait().unwrap();
}
