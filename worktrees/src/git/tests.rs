//! The module against real repositories. Every behaviour is tried with both backends, and the command backend also on
//! repositories that only it can open.

mod checkout;
mod clone;
mod diff;
mod durable;
mod planted;
mod seconds;
mod trial;
mod whole;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use jiff::Timestamp;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Library,
    Command,
    Reftable,
    Sha256,
}

const ALL: [Kind; 4] = [Kind::Library, Kind::Command, Kind::Reftable, Kind::Sha256];

struct Lab {
    folder: tempfile::TempDir,
    main: PathBuf,
    repo: Repo,
    kind: Kind,
}

fn git(dir: &Path, args: &[&str]) -> String {
    let (ok, out) = try_git(dir, args);
    assert!(ok, "git {args:?} failed: {out}");
    out
}

fn try_git(dir: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_EDITOR", "true");
    let output = command.current_dir(dir).args(args).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap().trim_end().to_owned())
}

fn write(dir: &Path, file: &str, content: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

impl Lab {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().canonicalize().unwrap().join("main");
        fs::create_dir(&main).unwrap();
        let extra: &[&str] = match kind {
            Kind::Reftable => &["--ref-format=reftable"],
            Kind::Sha256 => &["--object-format=sha256"],
            _ => &[],
        };
        git(&main, &[&["init", "-q", "-b", "main"], extra].concat());
        for (key, value) in [("user.name", "Test"), ("user.email", "test@example.com"), ("commit.gpgSign", "true")] {
            git(&main, &["config", key, value]);
        }
        git(&main, &["config", "gpg.program", "/bin/false"]);
        if kind == Kind::Command {
            git(&main, &["config", "index.sparse", "true"]);
        }
        write(&main, "a.txt", "1\n2\n3\n4\n5\n");
        write(&main, "b.txt", "b\n");
        write(&main, "dir/c.txt", "c\n");
        write(&main, ".gitignore", "*.ignored\nbuild/\n");
        git(&main, &["add", "-A"]);
        git(&main, &["-c", "commit.gpgSign=false", "commit", "-q", "-m", "first"]);
        git(&main, &["config", "commit.gpgSign", "false"]);
        let repo = Repo::discover(&main).unwrap();
        let expected = if kind == Kind::Library { "libgit2" } else { "command" };
        assert_eq!(repo.backend_name(), expected);
        Self { folder, main, repo, kind }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.main.parent().unwrap().join(name)
    }

    fn head(&self, rev: &str) -> CommitId {
        CommitId::from(git(&self.main, &["rev-parse", rev]))
    }

    /// A worktree with a branch `name` checked out.
    fn worktree(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let head = self.head("main");
        assert!(self.repo.ensure_worktree(&path, &head).unwrap().fresh);
        self.repo.ensure_branch(name, &head).unwrap();
        self.repo.checkout_branch(&path, name).unwrap();
        path
    }

    /// A branch with one commit that writes these files; an empty content deletes.
    fn branch(&self, name: &str, files: &[(&str, &str)]) -> CommitId {
        let path = self.worktree(name);
        for (file, content) in files {
            if content.is_empty() {
                fs::remove_file(path.join(file)).unwrap();
                if file.contains('/') {
                    fs::remove_dir(path.join(file).parent().unwrap()).unwrap();
                }
            } else {
                write(&path, file, content);
            }
        }
        let Committed::Branch { commit, .. } = self.repo.commit_all(&path, name, &[]).unwrap() else { panic!() };
        commit
    }

    fn merge(&self, head: &CommitId) -> CommitId {
        match self.repo.merge_commit(&self.head("main"), head, "merge", at(1_700_000_000)).unwrap() {
            MergeOutcome::Commit(commit) => commit,
            other => panic!("{:?}: {other:?}", self.kind),
        }
    }

    fn status(&self) -> String {
        git(&self.main, &["status", "--porcelain"])
    }
}

fn each(test: impl Fn(Lab)) {
    for kind in ALL {
        test(Lab::new(kind));
    }
}

#[test]
fn a_repository_is_found_from_any_of_its_checkouts() {
    each(|lab| {
        let worktree = lab.worktree("one");
        for dir in [lab.main.join("dir"), worktree.clone(), worktree.join("dir")] {
            let repo = Repo::discover(&dir).unwrap();
            assert_eq!(repo.main_checkout(), lab.main, "{:?}", lab.kind);
            assert_eq!(repo.common_dir(), lab.main.join(".git"));
        }
        assert_eq!(lab.repo.guess_base().unwrap(), "main");
        git(&lab.main, &["checkout", "-q", "--detach"]);
        assert_eq!(lab.repo.guess_base().unwrap(), "main");
    });
}

#[test]
fn places_without_a_usable_repository_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    assert!(matches!(Repo::discover(&dir), Err(GitError::NotARepository { path }) if path == dir));
    git(&dir, &["init", "-q", "--bare", "bare"]);
    assert!(matches!(Repo::discover(&dir.join("bare")), Err(GitError::Bare { .. })));
    git(&dir, &["init", "-q", "unborn"]);
    let repo = Repo::discover(&dir.join("unborn")).unwrap();
    assert!(matches!(repo.guess_base(), Err(GitError::Unborn { .. })));
    git(&dir, &["init", "-q", "--bare", "--ref-format=reftable", "bare2"]);
    assert!(matches!(Repo::discover(&dir.join("bare2")), Err(GitError::Bare { .. })));
}

#[test]
fn a_repository_that_the_library_cannot_serve_is_served_by_the_command() {
    fn movable<T: Send>(value: T) -> T {
        value
    }
    let lab = Lab::new(Kind::Library);
    git(&lab.main, &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", lab.main.display());
    let parent = lab.folder.path();
    git(parent, &["clone", "-q", "--filter=blob:none", &url, "partial"]);
    git(parent, &["clone", "-q", "--depth=1", &url, "shallow"]);
    git(parent, &["clone", "-q", "--separate-git-dir=elsewhere", &url, "separate"]);
    for (name, backend) in [("partial", "command"), ("shallow", "libgit2"), ("separate", "libgit2")] {
        let repo = movable(Repo::discover(&parent.join(name)).unwrap());
        assert_eq!(repo.backend_name(), backend, "{name}");
        assert_eq!(repo.main_checkout(), parent.join(name).canonicalize().unwrap());
        let head = repo.branch_head("main").unwrap().unwrap();
        assert!(repo.ensure_worktree(&parent.join("trees").join(name), &head).unwrap().fresh);
    }
    git(&lab.main, &["config", "merge.mine.driver", "true"]);
    // A program in the repository's own configuration may be anybody's.
    let error = Repo::discover(&lab.main).unwrap_err();
    assert!(matches!(error, GitError::ForeignProgram { .. }), "{error}");
    assert!(error.to_string().contains("git config --global merge.mine.driver 'true'"), "{error}");
}

#[test]
fn references_and_commits_are_read() {
    each(|lab| {
        let first = lab.head("main");
        let second = lab.branch("task", &[("a.txt", "x\n"), ("new.txt", "n\n")]);
        assert_eq!(lab.repo.branch_head("task").unwrap(), Some(second.clone()));
        assert_eq!(lab.repo.branch_head("nothing").unwrap(), None);
        assert_eq!(lab.repo.branch_head("tas").unwrap(), None);
        assert_eq!(lab.repo.branch_head("..").unwrap(), None);
        assert_eq!(lab.repo.resolve("task~1").unwrap(), Some(first.clone()));
        assert_eq!(lab.repo.resolve("nothing").unwrap(), None);
        assert!(lab.repo.is_ancestor(&first, &second).unwrap());
        assert!(lab.repo.is_ancestor(&first, &first).unwrap());
        assert!(!lab.repo.is_ancestor(&second, &first).unwrap());
        assert_eq!(lab.repo.commits_between(&first, &second).unwrap(), 1);
        assert_eq!(lab.repo.commit_message(&second).unwrap(), "task\n");
        assert_eq!(lab.repo.tree_of(&second).unwrap(), git(&lab.main, &["rev-parse", "task^{tree}"]));
        let changes = lab.repo.changes(&first, &second).unwrap();
        let change = |path: &str, added, removed, status| FileChange { path: path.to_owned(), added, removed, status };
        assert_eq!(changes, [change("a.txt", 1, 5, FileStatus::Modified), change("new.txt", 1, 0, FileStatus::Added)]);
        let text = lab.repo.diff_text(&first, &second, 10_000).unwrap();
        assert!(text.contains("diff --git a/new.txt b/new.txt") && text.contains("+n\n"), "{text}");
        assert!(lab.repo.diff_text(&first, &second, 40).unwrap().len() <= 40);
        lab.repo.fsck_connectivity().unwrap();
    });
}

#[test]
fn a_branch_is_found_however_its_ref_is_kept() {
    each(|lab| {
        let head = |branch: &str| lab.repo.branch_head(branch).unwrap();
        let first = lab.branch("task", &[("a.txt", "x\n")]);
        assert_eq!((head("task"), head("nothing")), (Some(first.clone()), None), "by itself");
        git(&lab.main, &["pack-refs", "--all"]);
        assert_eq!((head("task"), head("nothing")), (Some(first.clone()), None), "packed");
        git(&lab.main, &["symbolic-ref", "refs/heads/other", "refs/heads/task"]);
        assert_eq!(head("other"), Some(first.clone()), "by the name of another");
        git(&lab.main, &["update-ref", "refs/heads/task", lab.head("main").as_str()]);
        assert_eq!((head("task"), head("other")), (Some(lab.head("main")), Some(lab.head("main"))), "both ways");
        git(&lab.main, &["update-ref", "-d", "refs/heads/task"]);
        assert_eq!(head("task"), None);
    });
}

/// A branch of a name that is wanted for something else: what it holds is kept, wherever it is checked out it stays.
#[test]
fn a_branch_is_set_aside_with_all_it_holds() {
    each(|lab| {
        let head = lab.branch("task", &[("a.txt", "old\n")]);
        assert!(lab.repo.branches_below("").unwrap().contains(&"task".to_owned()));
        assert_eq!(lab.repo.branches_below("task/").unwrap(), Vec::<String>::new());
        let error = lab.repo.set_branch_aside("task", "branch-task", "found").unwrap_err();
        assert!(matches!(error, GitError::BranchElsewhere { .. }), "{error}");
        lab.repo.let_go(&lab.path("task")).unwrap();
        let rescued = lab.repo.set_branch_aside("task", "branch-task", "found").unwrap().unwrap();
        assert_eq!((&rescued.commit, lab.repo.branch_head("task").unwrap()), (&head, None));
        assert_eq!(lab.repo.rescues().unwrap()[0].id, "branch-task");
        assert_eq!(lab.repo.set_branch_aside("task", "branch-task", "found").unwrap(), None);
    });
}

#[test]
fn a_branch_is_created_once_and_never_moved() {
    each(|lab| {
        let first = lab.head("main");
        let second = lab.branch("task", &[("a.txt", "x\n")]);
        assert_eq!(lab.repo.ensure_branch("task", &first).unwrap(), second);
        for odd in ["a'\"b", "$(id)", ";id", "täsk", "a&b|c", "x@y"] {
            assert_eq!(lab.repo.ensure_branch(odd, &first).unwrap(), first, "{odd}");
            assert_eq!(lab.repo.branch_head(odd).unwrap(), Some(first.clone()));
        }
        for bad in ["-f", "..", "a..b", "a.lock", "a b", "a\nb", "", "HEAD", "/x", "a~1", "x/"] {
            assert!(matches!(lab.repo.ensure_branch(bad, &first), Err(GitError::BadName { .. })), "{bad:?}");
        }
        let error = lab.repo.ensure_branch("task/below", &first).unwrap_err();
        assert!(matches!(&error, GitError::NameTaken { by, .. } if by == "refs/heads/task"), "{:?} {error}", lab.kind);
        lab.repo.ensure_branch("dir/x", &first).unwrap();
        let error = lab.repo.ensure_branch("dir", &first).unwrap_err();
        assert!(matches!(&error, GitError::NameTaken { by, .. } if by == "refs/heads/dir/x"), "{error}");
    });
}

#[test]
fn only_a_merged_branch_is_deleted() {
    each(|lab| {
        let head = lab.branch("task", &[("a.txt", "x\n")]);
        assert!(!lab.repo.delete_branch_if_merged("task", "main").unwrap());
        let merge = lab.merge(&head);
        assert_eq!(lab.repo.advance_branch("main", &lab.head("main"), &merge).unwrap(), Advance::Moved);
        let path = lab.path("task");
        let error = lab.repo.delete_branch_if_merged("task", "main").unwrap_err();
        assert!(matches!(&error, GitError::BranchElsewhere { path: found, .. } if *found == path), "{error}");
        lab.repo.detach(&path, &merge).unwrap();
        assert!(lab.repo.delete_branch_if_merged("task", "main").unwrap());
        assert_eq!(lab.repo.branch_head("task").unwrap(), None);
    });
}

#[test]
fn a_worktree_is_made_adopted_and_made_again() {
    each(|lab| {
        let head = lab.head("main");
        let path = lab.path("folder with space/agent one");
        assert_eq!(lab.repo.ensure_worktree(&path, &head).unwrap(), Prepared { fresh: true });
        assert_eq!(lab.repo.ensure_worktree(&path, &head).unwrap(), Prepared { fresh: false });
        assert_eq!(git(&path, &["status", "--porcelain"]), "");
        assert_eq!(git(&path, &["rev-parse", "HEAD"]), head.as_str());
        assert!(!try_git(&path, &["symbolic-ref", "-q", "HEAD"]).0);
        assert_eq!(git(&lab.main, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
        assert_eq!(git(&lab.main, &["worktree", "prune", "-n", "-v"]), "");
        // Work in it survives being asked for again.
        write(&path, "a.txt", "work\n");
        assert!(!lab.repo.ensure_worktree(&path, &head).unwrap().fresh);
        assert_eq!(read(&path, "a.txt"), "work\n");
        // A lost .git file comes back.
        fs::remove_file(path.join(".git")).unwrap();
        assert!(!lab.repo.ensure_worktree(&path, &head).unwrap().fresh);
        assert_eq!(git(&path, &["status", "--porcelain"]), " M a.txt");
        // A deleted directory is made again.
        fs::remove_dir_all(&path).unwrap();
        let info = lab.repo.worktrees().unwrap();
        assert!(info.iter().any(|info| info.path == path && info.prunable), "{info:?}");
        assert!(lab.repo.ensure_worktree(&path, &head).unwrap().fresh);
        assert_eq!(read(&path, "a.txt"), "1\n2\n3\n4\n5\n");
        assert_eq!(lab.repo.worktrees().unwrap().len(), 2);
        lab.repo.fsck_connectivity().unwrap();
    });
}

#[test]
fn a_worktree_whose_making_was_cut_short_is_completed() {
    each(|lab| {
        let head = lab.head("main");
        let path = lab.path("cut");
        lab.repo.backend.add_worktree(&path, "cut", &head, "pipeline is setting this worktree up").unwrap();
        fs::write(path.join("a.txt"), "1\n2").unwrap();
        let head = lab.branch("later", &[("b.txt", "later\n")]);
        assert!(lab.repo.ensure_worktree(&path, &head).unwrap().fresh);
        assert_eq!(git(&path, &["status", "--porcelain"]), "");
        assert_eq!(git(&path, &["rev-parse", "HEAD"]), head.as_str());
        assert!(lab.repo.worktrees().unwrap().iter().all(|info| !info.locked));
    });
}

#[test]
fn a_large_worktree_is_written_as_git_writes_it() {
    for attributes in ["", "*.txt text eol=crlf\n"] {
        each(|lab| {
            for number in 0..300 {
                write(&lab.main, &format!("{}/{}/täsk {number}.txt", number % 7, number % 3), &format!("{number}\n"));
            }
            write(&lab.main, "run.sh", "#!\n");
            write(&lab.main, "empty.txt", "");
            fs::set_permissions(lab.main.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::symlink("0", lab.main.join("link")).unwrap();
            if !attributes.is_empty() {
                write(&lab.main, "5/.gitattributes", attributes);
            }
            git(&lab.main, &["add", "-A"]);
            git(&lab.main, &["commit", "-q", "-m", "many"]);
            let (path, plain) = (lab.path("ours"), lab.path("plain"));
            git(&lab.main, &["worktree", "add", "-q", "--detach", plain.to_str().unwrap()]);
            assert!(lab.repo.ensure_worktree(&path, &lab.head("main")).unwrap().fresh);
            let mut compare = Command::new("diff");
            compare.args(["-r", "--no-dereference", "-x", ".git"]).args([&path, &plain]);
            let compared = compare.output().unwrap();
            assert!(compared.status.success(), "{:?} {compared:?}", lab.kind);
            assert_eq!(git(&path, &["status", "--porcelain"]), "");
            assert_eq!(git(&path, &["ls-files", "-s"]), git(&plain, &["ls-files", "-s"]));
            // The index knows the files, so that nothing has to be read again.
            assert_eq!(git(&path, &["diff-files"]), "", "{:?}", lab.kind);
            assert_eq!(path.join("run.sh").metadata().unwrap().mode(), plain.join("run.sh").metadata().unwrap().mode());
            let crlf = read(&path, "5/2/täsk 5.txt").ends_with("\r\n");
            assert_eq!(crlf, !attributes.is_empty());
        });
    }
}

#[test]
fn what_is_not_our_worktree_is_left_alone() {
    each(|lab| {
        let head = lab.head("main");
        let other = lab.path("other");
        write(&other, "precious.txt", "p\n");
        let error = lab.repo.ensure_worktree(&other, &head).unwrap_err();
        assert!(matches!(&error, GitError::NotAWorktree { path, .. } if *path == other), "{error}");
        assert_eq!(read(&other, "precious.txt"), "p\n");
        assert!(matches!(lab.repo.worktree_status(&other), Err(GitError::NotAWorktree { .. })));
        // A worktree whose .git file was redirected is not followed.
        let path = lab.worktree("task");
        let evil = lab.path("evil");
        git(lab.folder.path(), &["init", "-q", evil.to_str().unwrap()]);
        fs::write(path.join(".git"), format!("gitdir: {}/.git\n", evil.display())).unwrap();
        assert!(matches!(lab.repo.worktree_status(&path), Err(GitError::NotAWorktree { .. })));
        assert!(matches!(lab.repo.ensure_worktree(&path, &head), Err(GitError::NotAWorktree { .. })));
    });
}

#[test]
fn many_worktrees_can_be_made_at_once() {
    each(|lab| {
        let head = lab.head("main");
        let made = std::thread::scope(|scope| {
            let threads = (0..8).map(|number| {
                let (main, head) = (lab.main.clone(), head.clone());
                // Two threads for each path.
                let path = lab.path(&format!("agents/agent-{}", number / 2));
                scope.spawn(move || Repo::discover(&main).unwrap().ensure_worktree(&path, &head).unwrap().fresh)
            });
            let threads = threads.collect::<Vec<_>>();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|fresh| *fresh).count()
        });
        assert_eq!(made, 4, "{:?}", lab.kind);
        assert_eq!(lab.repo.worktrees().unwrap().len(), 5);
        for number in 0..4 {
            assert_eq!(git(&lab.path(&format!("agents/agent-{number}")), &["status", "--porcelain"]), "");
        }
        assert_eq!(git(&lab.main, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    });
}

#[test]
fn a_checkout_refuses_to_lose_or_mix_up_work() {
    each(|lab| {
        let task = lab.branch("task", &[("a.txt", "task\n"), ("dir/c.txt", ""), ("new.txt", "n\n")]);
        let path = lab.path("task");
        let main = lab.head("main");
        write(&path, "x.ignored", "kept\n");
        write(&path, ".pipeline/task.md", "kept\n");
        lab.repo.detach(&path, &main).unwrap();
        assert_eq!(read(&path, "dir/c.txt"), "c\n");
        assert!(!path.join("new.txt").exists());
        write(&path, "b.txt", "work\n");
        write(&path, "untracked.txt", "work\n");
        for result in [lab.repo.checkout_branch(&path, "task"), lab.repo.detach(&path, &task)] {
            let Err(GitError::Dirty { files, .. }) = result else { panic!("{:?} {result:?}", lab.kind) };
            assert_eq!(files, ["b.txt", "untracked.txt"]);
        }
        assert_eq!(read(&path, "b.txt"), "work\n");
        fs::write(path.join("b.txt"), "b\n").unwrap();
        fs::remove_file(path.join("untracked.txt")).unwrap();
        lab.repo.checkout_branch(&path, "task").unwrap();
        assert_eq!(read(&path, "a.txt"), "task\n");
        assert_eq!(read(&path, "x.ignored"), "kept\n");
        assert_eq!(read(&path, ".pipeline/task.md"), "kept\n");
        let status = lab.repo.worktree_status(&path).unwrap();
        assert_eq!(status, WorktreeStatus { head: Some(task), branch: Some("task".to_owned()), ..Default::default() });
        let error = lab.repo.checkout_branch(&path, "main").unwrap_err();
        assert!(matches!(&error, GitError::BranchElsewhere { path, .. } if *path == lab.main), "{error}");
        assert!(matches!(lab.repo.checkout_branch(&path, "none"), Err(GitError::NoSuchBranch { .. })));
    });
}

#[test]
fn a_worktree_that_lets_go_of_its_branch_keeps_every_file() {
    each(|lab| {
        let task = lab.branch("task", &[("a.txt", "task\n")]);
        let path = lab.path("task");
        write(&path, "b.txt", "work\n");
        lab.repo.let_go(&path).unwrap();
        lab.repo.let_go(&path).unwrap();
        let status = lab.repo.worktree_status(&path).unwrap();
        assert_eq!((status.head, status.branch, status.changed), (Some(task), None, vec!["b.txt".to_owned()]));
        let other = lab.path("other");
        lab.repo.ensure_worktree(&other, &lab.head("main")).unwrap();
        lab.repo.checkout_branch(&other, "task").unwrap();
        assert_eq!((&*read(&other, "a.txt"), &*read(&path, "b.txt")), ("task\n", "work\n"));
    });
}

#[test]
fn a_repository_inside_a_worktree_is_said_and_the_rest_is_committed() {
    each(|lab| {
        let path = lab.worktree("task");
        write(&path, "a.txt", "work\n");
        write(&path, "inner/file.txt", "its own\n");
        git(&path.join("inner"), &["init", "-q"]);
        for _ in 0..2 {
            let Err(GitError::Dirty { files, .. }) = lab.repo.commit_all(&path, "work", &[]) else {
                panic!("{:?}", lab.kind)
            };
            assert_eq!(files, ["inner/"]);
        }
        assert_eq!(git(&lab.main, &["show", "task:a.txt"]), "work");
        assert_eq!(read(&path, "inner/file.txt"), "its own\n");
    });
}

#[test]
fn an_ignored_file_in_the_way_is_not_overwritten() {
    each(|lab| {
        let path = lab.worktree("task");
        write(&path, "x.ignored", "tracked\n");
        git(&path, &["add", "-f", "x.ignored"]);
        let Committed::Branch { .. } = lab.repo.commit_all(&path, "force", &[]).unwrap() else { panic!() };
        lab.repo.detach(&path, &lab.head("main")).unwrap();
        write(&path, "x.ignored", "mine\n");
        let error = lab.repo.checkout_branch(&path, "task").unwrap_err();
        assert!(matches!(&error, GitError::Dirty { files, .. } if files == &["x.ignored"]), "{error}");
        assert_eq!(read(&path, "x.ignored"), "mine\n");
    });
}

#[test]
fn commits_on_a_detached_head_are_kept() {
    each(|lab| {
        let path = lab.path("agent");
        lab.repo.ensure_worktree(&path, &lab.head("main")).unwrap();
        write(&path, "a.txt", "loose\n");
        git(&path, &["commit", "-qam", "loose"]);
        let loose = CommitId::from(git(&path, &["rev-parse", "HEAD"]));
        lab.repo.detach(&path, &lab.head("main")).unwrap();
        let rescues = lab.repo.rescues().unwrap();
        assert_eq!(rescues.len(), 1);
        assert_eq!((&rescues[0].commit, &*rescues[0].subject), (&loose, "loose"));
    });
}

#[test]
fn everything_is_committed_but_what_is_left_out() {
    each(|lab| {
        let path = lab.worktree("task");
        assert_eq!(lab.repo.commit_all(&path, "none", &[]).unwrap(), Committed::Nothing);
        write(&path, "TASK.md", "task\n");
        write(&path, ".pipeline/x", "own\n");
        write(&path, "sub/deep/new file.txt", "n\n");
        write(&path, "täsk\n.txt", "odd\n");
        fs::remove_file(path.join("b.txt")).unwrap();
        // A directory becomes a file and a file a directory.
        fs::remove_dir_all(path.join("dir")).unwrap();
        write(&path, "dir", "file\n");
        fs::remove_file(path.join("a.txt")).unwrap();
        write(&path, "a.txt/inner.txt", "i\n");
        write(&path, "run.sh", "#!\n");
        fs::set_permissions(path.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("run.sh", path.join("link")).unwrap();
        write(&path, "x.ignored", "i\n");
        let done = lab.repo.commit_all(&path, "all of it\n\nbody", &["TASK.md"]).unwrap();
        let Committed::Branch { branch, commit } = done else { panic!("{done:?}") };
        assert_eq!((&*branch, &commit), ("task", &lab.head("task")));
        assert_eq!(git(&path, &["status", "--porcelain"]), "?? .pipeline/\n?? TASK.md");
        let files = git(&path, &["-c", "core.quotePath=false", "ls-tree", "-r", "-z", "--name-only", "HEAD"]);
        let expected =
            [".gitignore", "a.txt/inner.txt", "dir", "link", "run.sh", "sub/deep/new file.txt", "täsk\n.txt"];
        assert_eq!(files.split('\0').filter(|f| !f.is_empty()).collect::<Vec<_>>(), expected, "{:?}", lab.kind);
        assert!(git(&path, &["ls-tree", "HEAD", "run.sh"]).starts_with("100755"));
        assert_eq!(git(&path, &["log", "-1", "--format=%an %ae %B"]), "Test test@example.com all of it\n\nbody");
        // And back again.
        fs::remove_file(path.join("TASK.md")).unwrap();
        lab.repo.detach(&path, &lab.head("main")).unwrap();
        assert_eq!(git(&path, &["status", "--porcelain"]), "?? .pipeline/");
        lab.repo.checkout_branch(&path, "task").unwrap();
        assert_eq!(read(&path, "a.txt/inner.txt"), "i\n");
    });
}

#[test]
fn a_merge_left_in_progress_is_kept_as_it_is() {
    each(|lab| {
        lab.branch("other", &[("a.txt", "other\n"), ("new.txt", "n\n")]);
        lab.branch("task", &[("a.txt", "task\n")]);
        let path = lab.path("task");
        assert!(!try_git(&path, &["merge", "other"]).0);
        let status = lab.repo.worktree_status(&path).unwrap();
        assert!(status.in_progress, "{status:?}");
        assert!(matches!(lab.repo.detach(&path, &lab.head("main")), Err(GitError::InProgress { .. })));
        let text = read(&path, "a.txt");
        assert!(text.contains("<<<<<<<"));
        let done = lab.repo.commit_all(&path, "kept", &[]).unwrap();
        assert!(matches!(done, Committed::Branch { .. }), "{done:?}");
        assert_eq!(git(&path, &["show", "task:a.txt"]) + "\n", text);
        assert_eq!(git(&path, &["rev-list", "--parents", "-n1", "task"]).split(' ').count(), 2);
        let status = lab.repo.worktree_status(&path).unwrap();
        assert!(!status.in_progress && status.changed.is_empty(), "{status:?}");
        // The conflict is still a conflict for whoever merges next.
        let check = lab.repo.merge_check(&lab.head("task"), &lab.head("other")).unwrap();
        assert_eq!(check, MergeCheck::Conflict { files: vec!["a.txt".to_owned()] });
        // A merge whose conflicts are resolved is concluded.
        assert!(!try_git(&path, &["merge", "other"]).0);
        write(&path, "a.txt", "resolved\n");
        git(&path, &["add", "a.txt"]);
        assert!(matches!(lab.repo.commit_all(&path, "merged", &[]).unwrap(), Committed::Branch { .. }));
        assert_eq!(lab.repo.merge_check(&lab.head("task"), &lab.head("other")).unwrap(), MergeCheck::AlreadyMerged);
    });
}

#[test]
fn a_rebase_left_in_progress_goes_to_a_rescue() {
    each(|lab| {
        let other = lab.branch("other", &[("a.txt", "other\n")]);
        let task = lab.branch("task", &[("a.txt", "task\n")]);
        let path = lab.path("task");
        assert!(!try_git(&path, &["rebase", "other"]).0);
        let text = read(&path, "a.txt");
        let done = lab.repo.commit_all(&path, "kept", &[]).unwrap();
        let Committed::Rescued { reference, commit } = done else { panic!("{:?} {done:?}", lab.kind) };
        assert_eq!(git(&path, &["show", &format!("{reference}:a.txt")]) + "\n", text);
        assert!(lab.repo.is_ancestor(&other, &commit).unwrap());
        assert_eq!(lab.head("task"), task);
        let status = lab.repo.worktree_status(&path).unwrap();
        assert!(!status.in_progress && status.changed.is_empty(), "{status:?}");
        lab.repo.checkout_branch(&path, "task").unwrap();
    });
}

#[test]
fn merges_are_made_without_a_checkout_and_can_be_repeated() {
    let mut ids = Vec::new();
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("a.txt", "0\n1\n2\n3\n4\n5\n")]);
        let done = lab.repo.merge_commit(&first, &task, "merge task", at(1_700_000_000)).unwrap();
        let MergeOutcome::Commit(merge) = &done else { panic!("{done:?}") };
        assert_eq!(lab.repo.merge_commit(&first, &task, "merge task", at(1_700_000_000)).unwrap(), done);
        let parents = git(&lab.main, &["log", "-1", "--format=%P", merge.as_str()]);
        assert_eq!(parents, format!("{first} {task}"));
        assert_eq!(
            git(&lab.main, &["log", "-1", "--format=%cd %B", "--date=raw", merge.as_str()]),
            "1700000000 +0000 merge task"
        );
        assert_eq!(lab.head("main"), first);
        assert_eq!(lab.repo.merge_check(&first, &task).unwrap(), MergeCheck::Clean);
        assert_eq!(lab.repo.merge_check(merge, &task).unwrap(), MergeCheck::AlreadyMerged);
        let rival = lab.branch("rival", &[("a.txt", "X\n1\n2\n3\n4\n5\n"), ("dir/c.txt", "")]);
        let conflict = MergeOutcome::Conflict { files: vec!["a.txt".to_owned()] };
        assert_eq!(lab.repo.merge_commit(merge, &rival, "m", at(1)).unwrap(), conflict);
        // Reverting.
        let Reverted::Commit(reverted) = lab.repo.revert_merge(merge, merge, "revert", at(1)).unwrap() else {
            panic!()
        };
        assert_eq!(lab.repo.tree_of(&reverted).unwrap(), lab.repo.tree_of(&first).unwrap());
        let again = lab.repo.revert_merge(&reverted, merge, "revert", at(1)).unwrap();
        assert_eq!(again, Reverted::NothingToRevert);
        assert_eq!(lab.repo.revert_merge(&first, merge, "revert", at(1)).unwrap(), Reverted::NothingToRevert);
    });
    // Both backends write the same objects.
    for kind in [Kind::Library, Kind::Command] {
        let lab = Lab::new(kind);
        let tree = lab.repo.tree_of(&lab.head("main")).unwrap();
        ids.push(lab.repo.write_commit(&tree, &[], "same\n\ntext\n\n", at(5)).unwrap());
    }
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_branch_and_its_checkout_move_around_unrelated_work() {
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("a.txt", "task\n"), ("dir/c.txt", ""), ("dir", "file\n")]);
        let merge = lab.merge(&task);
        write(&lab.main, "b.txt", "work\n");
        write(&lab.main, "staged.txt", "s\n");
        git(&lab.main, &["add", "staged.txt"]);
        write(&lab.main, "untracked.txt", "u\n");
        write(&lab.main, ".pipeline/state.json", "{}\n");
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(lab.head("HEAD"), merge);
        assert_eq!(lab.status(), " M b.txt\nA  staged.txt\n?? .pipeline/\n?? untracked.txt");
        assert_eq!(read(&lab.main, "b.txt"), "work\n");
        assert_eq!(read(&lab.main, "a.txt"), "task\n");
        assert_eq!(read(&lab.main, "dir"), "file\n");
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved);
        let stale = lab.repo.advance_branch("main", &first, &task).unwrap();
        assert_eq!(stale, Advance::Stale { found: Some(merge.clone()) });
        assert!(git(&lab.main, &["reflog", "-1", "main"]).contains("pipeline: merge"));
        lab.repo.fsck_connectivity().unwrap();
    });
}

#[test]
fn work_in_the_way_of_a_move_stops_it() {
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("a.txt", "task\n"), ("new.txt", "n\n"), ("deep/x.txt", "x\n"), ("b.txt", "")]);
        let merge = lab.merge(&task);
        let blocked = |expected: &[&str]| {
            let done = lab.repo.advance_branch("main", &first, &merge).unwrap();
            let Advance::CheckoutDirty { path, files, command } = done else { panic!("{:?} {done:?}", lab.kind) };
            assert_eq!((path, files), (lab.main.clone(), expected.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>()));
            assert_eq!(lab.head("main"), first);
            assert_eq!(read(&lab.main, "dir/c.txt"), "c\n");
            command
        };
        write(&lab.main, "a.txt", "mine\n");
        let command = blocked(&["a.txt"]);
        assert_eq!(command, format!("git -C {} stash push --all -- a.txt", lab.main.display()));
        assert!(Command::new("sh").args(["-c", &command]).output().unwrap().status.success());
        write(&lab.main, "new.txt", "mine\n");
        blocked(&["new.txt"]);
        fs::remove_file(lab.main.join("new.txt")).unwrap();
        write(&lab.main, "deep", "a file where a directory is to be\n");
        blocked(&["deep"]);
        fs::remove_file(lab.main.join("deep")).unwrap();
        write(&lab.main, "new.txt/inner.ignored", "an ignored file below\n");
        blocked(&["new.txt/inner.ignored"]);
        fs::remove_dir_all(lab.main.join("new.txt")).unwrap();
        write(&lab.main, "a.txt", "staged\n");
        git(&lab.main, &["add", "a.txt"]);
        write(&lab.main, "a.txt", "1\n2\n3\n4\n5\n");
        blocked(&["a.txt"]);
        git(&lab.main, &["reset", "-q", "--hard"]);
        fs::remove_file(lab.main.join("a.txt")).unwrap();
        blocked(&["a.txt"]);
        git(&lab.main, &["checkout", "-q", "a.txt"]);
        // The same content is no obstacle, and neither is a file that is already gone.
        write(&lab.main, "new.txt", "n\n");
        fs::remove_file(lab.main.join("b.txt")).unwrap();
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(lab.status(), "");
    });
}

#[test]
fn a_move_that_was_cut_short_completes() {
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("a.txt", "task\n"), ("new.txt", "n\n"), ("b.txt", ""), ("dir/c.txt", "cc\n")]);
        let merge = lab.merge(&task);
        // Some files were written, the index was not.
        write(&lab.main, "a.txt", "task\n");
        write(&lab.main, "new.txt", "n\n");
        fs::remove_file(lab.main.join("b.txt")).unwrap();
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(lab.status(), "");
        // Files and index were written, the branch was not moved.
        git(&lab.main, &["update-ref", "refs/heads/main", first.as_str()]);
        assert_ne!(lab.status(), "");
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(lab.status(), "");
    });
}

/// Killed within a file: what is there of it is a beginning of what was to be written, or nothing.
#[test]
fn a_checkout_whose_files_were_cut_short_completes() {
    each(|lab| {
        let first = lab.head("main");
        let long = "task\n".repeat(50);
        let task = lab.branch("task", &[("a.txt", &long), ("new.txt", "n\nm\n"), ("b.txt", "task\n")]);
        let merge = lab.merge(&task);
        let dirty = |lab: &Lab| {
            let found = lab.repo.advance_branch("main", &first, &merge).unwrap();
            assert!(matches!(found, Advance::CheckoutDirty { .. }), "{:?} {found:?}", lab.kind);
        };
        write(&lab.main, "a.txt", "task\ntas");
        write(&lab.main, "new.txt", "n\n");
        fs::remove_file(lab.main.join("b.txt")).unwrap();
        // Without a word about an update it is a person who did this.
        dirty(&lab);
        let record = lab.main.join(".git/pipeline-update");
        fs::write(&record, format!("{first} {merge}\n")).unwrap();
        write(&lab.main, "a.txt", "task\nmine");
        dirty(&lab);
        assert_eq!(read(&lab.main, "a.txt"), "task\nmine");
        write(&lab.main, "a.txt", "task\ntas");
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!((lab.status(), read(&lab.main, "a.txt")), (String::new(), long), "{:?}", lab.kind);
        assert_eq!((read(&lab.main, "new.txt"), read(&lab.main, "b.txt")), ("n\nm\n".to_owned(), "task\n".to_owned()));
        assert!(!record.exists());
    });
}

/// What an update left that was cut short is in the way of nobody else's, and of its own only until that comes again, be it
/// as another merge.
#[test]
fn a_checkout_whose_files_were_cut_short_completes_after_other_updates() {
    each(|lab| {
        let first = lab.head("main");
        let (one, two) = (lab.branch("one", &[("one.txt", "1\n")]), lab.branch("two", &[("two.txt", "2\n")]));
        let record = lab.main.join(".git/pipeline-update");
        // Both were cut short, one after the other.
        for (file, cut) in [("one.txt", lab.merge(&one)), ("two.txt", lab.merge(&two))] {
            let checkout = lab.repo.checkout(&lab.main).unwrap();
            let differences = lab.repo.differences(&checkout).unwrap();
            let switch = lab.repo.plan(&checkout, &differences, &first, &cut).unwrap();
            let before = fs::read_to_string(&record).unwrap_or_default();
            lab.repo.apply(&checkout, &switch).unwrap();
            write(&lab.main, file, "");
            fs::write(&record, format!("{before}{first} {cut}\n")).unwrap();
        }
        let advance = |task: &CommitId| {
            let (base, merge) = (lab.head("main"), lab.merge(task));
            assert_eq!(lab.repo.advance_branch("main", &base, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        };
        advance(&lab.branch("three", &[("three.txt", "3\n")]));
        advance(&two);
        assert!(record.exists(), "{:?}: what the other one left is still there", lab.kind);
        advance(&one);
        assert_eq!((lab.status(), record.exists()), (String::new(), false), "{:?}", lab.kind);
        assert_eq!((read(&lab.main, "one.txt"), read(&lab.main, "two.txt")), ("1\n".to_owned(), "2\n".to_owned()));
    });
}

/// A file that holds nothing is as any other: it may be there and in the index while the branch was not moved yet.
#[test]
fn a_new_file_that_is_empty_is_in_the_way_of_nothing() {
    each(|lab| {
        let first = lab.head("main");
        lab.branch("task", &[("new.txt", "n\n")]);
        let path = lab.path("task");
        write(&path, "__init__.py", "");
        git(&path, &["add", "__init__.py"]);
        git(&path, &["commit", "-qm", "empty"]);
        let merge = lab.merge(&lab.head("task"));
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        git(&lab.main, &["update-ref", "refs/heads/main", first.as_str()]);
        assert_ne!(lab.status(), "");
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(lab.status(), "", "{:?}", lab.kind);
    });
}

/// Some file systems leave zeros of what was not on disk yet.
#[test]
fn what_a_power_cut_left_as_zeros_is_written_again() {
    each(|lab| {
        let first = lab.head("main");
        let merge = lab.merge(&lab.branch("task", &[("a.txt", "task\n"), ("new.txt", "n\n")]));
        fs::write(lab.main.join(".git/pipeline-update"), format!("{first} {merge}\n")).unwrap();
        write(&lab.main, "a.txt", "\0\0\0\0\0");
        write(&lab.main, "new.txt", "\0\0");
        let index = lab.main.join(".git/index");
        fs::write(&index, vec![0; usize::try_from(index.metadata().unwrap().len()).unwrap()]).unwrap();
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!((lab.status(), read(&lab.main, "a.txt")), (String::new(), "task\n".to_owned()), "{:?}", lab.kind);
        let whole = fs::read(&index).unwrap();
        for range in [0..whole.len(), 0..12, whole.len() - 100..whole.len()] {
            let mut torn = whole.clone();
            torn[range].fill(0);
            fs::write(&index, torn).unwrap();
            lab.repo.checkout(&lab.main).unwrap();
            assert_eq!(lab.status(), "", "{:?}", lab.kind);
        }
    });
}

/// What an agent committed is on disk before its files are.
#[test]
fn what_was_committed_is_put_back_where_a_power_cut_took_it() {
    each(|lab| {
        lab.branch(
            "task",
            &[("new.txt", "one\ntwo\n"), ("gone.txt", "g\n"), ("zero.txt", "zero\n"), ("run.sh", "x\n")],
        );
        let path = lab.path("task");
        write(&path, "new.txt", "one\n");
        fs::remove_file(path.join("gone.txt")).unwrap();
        write(&path, "zero.txt", "\0\0\0\0\0");
        write(&path, "a.txt", "mine\n");
        write(&path, "more.txt", "m\n");
        fs::set_permissions(path.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        lab.repo.put_back_lost(&path).unwrap();
        let all = ["new.txt", "gone.txt", "zero.txt", "a.txt", "more.txt"].map(|file| read(&path, file));
        assert_eq!(all, ["one\ntwo\n", "g\n", "zero\n", "mine\n", "m\n"], "{:?}", lab.kind);
        assert_eq!(git(&path, &["status", "--porcelain"]), " M a.txt\n M run.sh\n?? more.txt", "{:?}", lab.kind);
    });
}

/// A task that is made anew after its update was cut short writes the same files in another way. When that is cut short as
/// well, a file may be of the one and its entry in the index of the other.
#[test]
fn what_two_updates_left_of_one_file_is_written_again() {
    each(|lab| {
        let first = lab.head("main");
        let earlier = lab.merge(&lab.branch("one", &[("new.txt", "first\n"), ("a.txt", "first\n")]));
        let later = lab.merge(&lab.branch("two", &[("new.txt", "second\n"), ("a.txt", "second\n")]));
        fs::write(lab.main.join(".git/pipeline-update"), format!("{first} {earlier}\n{first} {later}\n")).unwrap();
        let both = |indexed: &str, there: &str| {
            for file in ["new.txt", "a.txt"] {
                write(&lab.main, file, indexed);
                git(&lab.main, &["add", file]);
                write(&lab.main, file, there);
            }
        };
        // What is nobody's but a person's stays, in the index and on disk.
        for (indexed, there) in [("mine\n", "second\n"), ("first\n", "mine\n")] {
            both(indexed, there);
            let found = lab.repo.advance_branch("main", &first, &later).unwrap();
            assert!(matches!(found, Advance::CheckoutDirty { .. }), "{:?} {found:?}", lab.kind);
        }
        both("first\n", "second\n");
        assert_eq!(lab.repo.advance_branch("main", &first, &later).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!(
            (lab.status(), read(&lab.main, "new.txt")),
            (String::new(), "second\n".to_owned()),
            "{:?}",
            lab.kind
        );
        git(&lab.main, &["update-ref", "refs/heads/main", first.as_str()]);
        fs::write(lab.main.join(".git/pipeline-update"), format!("{first} {earlier}\n{first} {later}\n")).unwrap();
        both("second\n", "fir");
        assert_eq!(lab.repo.advance_branch("main", &first, &later).unwrap(), Advance::Moved, "{:?}", lab.kind);
        assert_eq!((lab.status(), read(&lab.main, "a.txt")), (String::new(), "second\n".to_owned()), "{:?}", lab.kind);
    });
}

#[test]
fn an_update_is_taken_back_when_the_branch_was_lost() {
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("a.txt", "task\n"), ("new.txt", "n\n"), ("b.txt", "")]);
        let merge = lab.merge(&task);
        let checkout = lab.repo.checkout(&lab.main).unwrap();
        let differences = lab.repo.differences(&checkout).unwrap();
        let switch = lab.repo.plan(&checkout, &differences, &first, &merge).unwrap();
        lab.repo.apply(&checkout, &switch).unwrap();
        assert_eq!(read(&lab.main, "a.txt"), "task\n");
        lab.repo.go_back(&[(checkout, switch)]).unwrap();
        assert_eq!(lab.status(), "", "{:?}", lab.kind);
        assert_eq!(read(&lab.main, "a.txt"), "1\n2\n3\n4\n5\n");
    });
}

#[test]
fn a_lock_of_git_is_named_and_left() {
    each(|lab| {
        let first = lab.head("main");
        let merge = lab.merge(&lab.branch("task", &[("a.txt", "task\n")]));
        let lock = lab.main.join(".git/index.lock");
        fs::write(&lock, "").unwrap();
        let error = lab.repo.advance_branch("main", &first, &merge).unwrap_err();
        assert!(matches!(&error, GitError::Locked { file } if *file == lock), "{error}");
        assert_eq!(read(&lab.main, "a.txt"), "1\n2\n3\n4\n5\n");
        let path = lab.path("task");
        write(&path, "a.txt", "more\n");
        let lock = PathBuf::from(git(&path, &["rev-parse", "--path-format=absolute", "--git-path", "index.lock"]));
        fs::write(&lock, "").unwrap();
        let error = lab.repo.commit_all(&path, "x", &[]).unwrap_err();
        assert!(matches!(&error, GitError::Locked { file } if *file == lock), "{:?} {error}", lab.kind);
        assert!(lock.exists());
        // Keeping the work does not need the index.
        assert!(lab.repo.rescue(&path, "locked", "kept").unwrap().is_some(), "{:?}", lab.kind);
    });
}

#[test]
fn an_operation_under_way_stops_a_move() {
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("b.txt", "task\n")]);
        let merge = lab.merge(&task);
        lab.branch("other", &[("a.txt", "other\n")]);
        write(&lab.main, "a.txt", "main\n");
        git(&lab.main, &["commit", "-qam", "second"]);
        assert!(!try_git(&lab.main, &["rebase", "other"]).0);
        let second = lab.head("main");
        let rebased = lab.merge(&task);
        let done = lab.repo.advance_branch("main", &second, &rebased).unwrap();
        assert!(matches!(&done, Advance::CheckoutDirty { path, .. } if *path == lab.main), "{done:?}");
        let done = lab.repo.advance_branch("main", &first, &merge).unwrap();
        assert_eq!(done, Advance::Stale { found: Some(second) });
    });
}

#[test]
fn a_rescue_keeps_everything_and_changes_nothing() {
    each(|lab| {
        let path = lab.worktree("task");
        let head = lab.head("task");
        assert_eq!(lab.repo.rescue(&path, "run-1", "nothing").unwrap(), None);
        write(&path, "a.txt", "work\n");
        git(&path, &["add", "a.txt"]);
        write(&path, "a.txt", "more work\n");
        write(&path, "new/file.txt", "n\n");
        write(&path, "x.ignored", "i\n");
        fs::remove_file(path.join("b.txt")).unwrap();
        let before = (git(&path, &["status", "--porcelain"]), git(&path, &["ls-files", "-s"]));
        let rescued = lab.repo.rescue(&path, "run-1", "agent stopped").unwrap().unwrap();
        assert_eq!((git(&path, &["status", "--porcelain"]), git(&path, &["ls-files", "-s"])), before);
        assert_eq!(rescued.reference, "refs/pipeline/trash/run-1");
        assert_eq!(rescued.files, ["a.txt", "b.txt", "new/file.txt"]);
        assert_eq!(git(&path, &["rev-parse", "refs/pipeline/trash/run-1^"]), head.as_str());
        // The same id again keeps both.
        write(&path, "a.txt", "even more\n");
        let again = lab.repo.rescue(&path, "run-1", "agent stopped").unwrap().unwrap();
        assert_eq!(again.reference, "refs/pipeline/trash/run-1-2");
        let info = lab.repo.rescues().unwrap();
        assert_eq!(info.len(), 2);
        assert_eq!((&*info[0].id, &*info[0].subject), ("run-1", "agent stopped"));
        assert_eq!(info[0].files, rescued.files);
        // Setting aside leaves a clean worktree.
        lab.repo.set_aside(&path, "run-2", "aside").unwrap().unwrap();
        assert_eq!(git(&path, &["status", "--porcelain"]), "");
        assert_eq!(lab.head("task"), head);
        lab.repo.checkout_branch(&path, "task").unwrap();
        assert_eq!(read(&path, "x.ignored"), "i\n");
        let restored = lab.repo.restore_rescue("run-1", "restored").unwrap();
        assert_eq!(restored, rescued.commit);
        assert!(matches!(lab.repo.restore_rescue("run-1", "main"), Err(GitError::NameTaken { .. })));
        lab.repo.checkout_branch(&path, "restored").unwrap();
        assert_eq!(read(&path, "a.txt"), "more work\n");
        assert_eq!(read(&path, "new/file.txt"), "n\n");
        assert!(!path.join("b.txt").exists());
        lab.repo.drop_rescue("run-1").unwrap();
        assert!(lab.repo.drop_rescue("run-1").is_err());
        assert_eq!(lab.repo.rescues().unwrap().len(), 2);
        assert!(matches!(lab.repo.rescue_commit("a/b", &head, "x"), Err(GitError::BadName { .. })));
        lab.repo.rescue_commit("branch-gone", &head, "x").unwrap();
    });
}

#[test]
fn a_worktree_with_work_in_it_is_not_removed() {
    each(|lab| {
        let path = lab.worktree("task");
        write(&path, "new.txt", "n\n");
        let error = lab.repo.remove_worktree(&path).unwrap_err();
        assert!(matches!(&error, GitError::Dirty { files, .. } if files == &["new.txt"]), "{error}");
        git(&lab.main, &["worktree", "lock", path.to_str().unwrap()]);
        fs::remove_file(path.join("new.txt")).unwrap();
        assert!(matches!(lab.repo.remove_worktree(&path), Err(GitError::Locked { .. })));
        git(&lab.main, &["worktree", "unlock", path.to_str().unwrap()]);
        lab.repo.remove_worktree(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(lab.repo.worktrees().unwrap().len(), 1);
        lab.repo.remove_worktree(&path).unwrap();
        assert!(lab.repo.remove_worktree(&lab.main).is_err());
        assert_eq!(lab.head("task"), lab.head("main"));
    });
}

#[test]
fn an_excluded_line_is_added_once_and_taken_back() {
    let lab = Lab::new(Kind::Library);
    let file = lab.main.join(".git/info/exclude");
    let before = b"# mine\r\nno end".to_vec();
    fs::write(&file, &before).unwrap();
    lab.repo.exclude("/.pipeline/").unwrap();
    lab.repo.exclude("/.pipeline/").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"# mine\r\nno end\n/.pipeline/\n");
    assert_eq!(lab.repo.excluded().unwrap(), ["# mine", "no end", "/.pipeline/"]);
    lab.repo.unexclude("/.pipeline/").unwrap();
    lab.repo.unexclude("/.pipeline/").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"# mine\r\nno end\n");
    assert!(lab.repo.exclude("a\nb").is_err());
    fs::remove_dir_all(lab.main.join(".git/info")).unwrap();
    lab.repo.exclude("/TASK.md").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"/TASK.md\n");
}

#[test]
fn only_ignored_files_that_are_asked_for_are_copied() {
    each(|lab| {
        let path = lab.worktree("task");
        write(&lab.main, ".worktreeinclude", "*.ignored\nbuild/keep/**\nuntracked.txt\n.pipeline/\n!no.ignored\n");
        for file in ["env.ignored", "no.ignored", "build/keep/x", "build/other", "untracked.txt", ".pipeline/y.ignored"]
        {
            write(&lab.main, file, file);
        }
        fs::set_permissions(lab.main.join("env.ignored"), fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, "build/keep/x", "there before");
        assert_eq!(lab.repo.copy_included(&path).unwrap(), ["env.ignored"], "{:?}", lab.kind);
        assert_eq!(read(&path, "env.ignored"), "env.ignored");
        assert_eq!(path.join("env.ignored").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path, "build/keep/x"), "there before");
        fs::remove_file(path.join("build/keep/x")).unwrap();
        assert_eq!(lab.repo.copy_included(&path).unwrap(), ["build/keep/x"]);
    });
}

#[test]
fn changes_since_the_base_include_uncommitted_work() {
    each(|lab| {
        let first = lab.head("main");
        lab.branch("task", &[("new.txt", "n\n")]);
        let other = lab.branch("other", &[("b.txt", "other\n")]);
        let merge = lab.merge(&other);
        assert_eq!(lab.repo.advance_branch("main", &first, &merge).unwrap(), Advance::Moved);
        let path = lab.path("task");
        write(&path, "more.txt", "m\n");
        let changes = lab.repo.changed_since(&path, &merge).unwrap();
        assert_eq!(changes.iter().map(|c| &*c.path).collect::<Vec<_>>(), ["more.txt", "new.txt"]);
    });
}

#[test]
fn programs_that_a_repository_names_do_not_run() {
    each(|lab| {
        let canary = lab.path("canary");
        let program = lab.main.join(".git/hooks/evil");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, format!("#!/bin/sh\ntouch '{}'\n", canary.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for hook in ["post-checkout", "pre-commit", "reference-transaction", "post-commit", "post-index-change"] {
            fs::copy(&program, program.with_file_name(hook)).unwrap();
        }
        for key in ["core.fsmonitor", "diff.external", "gpg.program", "core.editor", "core.pager"] {
            git(&lab.main, &["config", key, program.to_str().unwrap()]);
        }
        let head = lab.head("main");
        fs::remove_file(&canary).ok();
        let path = lab.path("task");
        lab.repo.ensure_worktree(&path, &head).unwrap();
        lab.repo.ensure_branch("task", &head).unwrap();
        lab.repo.checkout_branch(&path, "task").unwrap();
        write(&path, "a.txt", "x\n");
        let Committed::Branch { commit, .. } = lab.repo.commit_all(&path, "x", &[]).unwrap() else { panic!() };
        lab.repo.diff_text(&head, &commit, 1000).unwrap();
        let MergeOutcome::Commit(merge) = lab.repo.merge_commit(&head, &commit, "merge", at(1)).unwrap() else {
            panic!()
        };
        assert_eq!(lab.repo.advance_branch("main", &head, &merge).unwrap(), Advance::Moved);
        assert!(!canary.exists(), "{:?}", lab.kind);
    });
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let lab = Lab::new(Kind::Library);
    let short = std::time::Duration::from_millis(100);
    let command = Git::new(&lab.main).args(["-c", "alias.wait=!sleep 100000", "wait"]).timeout(short);
    assert!(matches!(command.run(), Err(GitError::Timeout { .. })));
}

#[test]
fn how_long_it_takes() {
    // A measurement, made on request: `PIPELINE_MEASURE=1 cargo test how_long_it_takes -- --nocapture`.
    if std::env::var_os("PIPELINE_MEASURE").is_none() {
        return;
    }
    for kind in [Kind::Library, Kind::Command] {
        let lab = Lab::new(kind);
        git(&lab.main, &["config", "maintenance.auto", "false"]);
        for number in 0..10_000 {
            let name = format!("src/{}/{}/{number}.txt", number % 10, number % 100);
            write(&lab.main, &name, &format!("{number}\n").repeat(400));
        }
        git(&lab.main, &["add", "-A"]);
        git(&lab.main, &["commit", "-q", "-m", "many"]);
        git(&lab.main, &["gc", "-q"]);
        let head = lab.head("main");
        let time = |name: &str, work: &dyn Fn()| {
            let begun = std::time::Instant::now();
            work();
            eprintln!("{kind:?} {name}: {:?}", begun.elapsed());
        };
        let path = lab.path("task");
        time("discover", &|| drop(Repo::discover(&lab.main).unwrap()));
        time("ensure_worktree", &|| {
            lab.repo.ensure_worktree(&path, &head).unwrap();
        });
        time("git worktree add", &|| drop(git(&lab.main, &["worktree", "add", "-q", "--detach", "../plain"])));
        time("ensure_worktree again", &|| {
            lab.repo.ensure_worktree(&path, &head).unwrap();
        });
        time("status", &|| drop(lab.repo.worktree_status(&path).unwrap()));
        time("branch_head", &|| drop(lab.repo.branch_head("main").unwrap()));
        lab.repo.ensure_branch("task", &head).unwrap();
        time("checkout_branch", &|| lab.repo.checkout_branch(&path, "task").unwrap());
        write(&path, "a.txt", "x\n");
        time("commit_all", &|| drop(lab.repo.commit_all(&path, "x", &[]).unwrap()));
        let task = lab.head("task");
        time("merge_commit", &|| drop(lab.merge(&task)));
        let merge = lab.merge(&task);
        time("advance_branch", &|| drop(lab.repo.advance_branch("main", &head, &merge).unwrap()));
        time("remove_worktree", &|| lab.repo.remove_worktree(&path).unwrap());
    }
}

#[test]
fn a_commit_is_kept_unless_a_reference_has_it_already() {
    each(|lab| {
        let mut heads = Vec::new();
        for name in ["one", "two", "three"] {
            heads.push(lab.branch(name, &[("a.txt", name)]));
        }
        for known in heads.iter().chain([&lab.head("main")]) {
            assert_eq!(lab.repo.keep_if_unreachable(known).unwrap(), None, "{:?}", lab.kind);
        }
        let lost = lab.merge(&heads[0]);
        let kept = lab.repo.keep_if_unreachable(&lost).unwrap().unwrap();
        assert_eq!(lab.head(&kept), lost, "{:?}", lab.kind);
        assert_eq!(lab.repo.keep_if_unreachable(&lost).unwrap(), None, "it is kept by now");
    });
}
