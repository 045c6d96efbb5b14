//! Private clones of agents: that work in one is as in any repository, that what was committed comes back, and that nothing
//! which an agent makes of its clone is run, followed or believed.

use std::os::unix::fs::symlink;

use super::*;

/// A worktree with a branch, and a clone that an agent has in it.
struct Lent {
    lab: Lab,
    tree: PathBuf,
    git: PathBuf,
    first: CommitId,
}

fn lend(kind: Kind) -> Lent {
    let lab = Lab::new(kind);
    let first = lab.head("main");
    let tree = lab.path("trees/agent");
    lab.repo.ensure_branch("pipeline/T-1", &first).unwrap();
    lab.repo.ensure_worktree(&tree, &first).unwrap();
    lab.repo.checkout_branch(&tree, "pipeline/T-1").unwrap();
    let git = lab.repo.lend_clone(&tree, &lab.path("run/clone")).unwrap();
    Lent { lab, tree, git, first }
}

impl Lent {
    fn agent(&self, args: &[&str]) -> String {
        git(&self.tree, &[&["-c", "commit.gpgSign=false"], args].concat())
    }

    fn commit(&self, file: &str) -> CommitId {
        write(&self.tree, file, &format!("{file}\n"));
        self.agent(&["add", "-A"]);
        self.agent(&["commit", "-q", "-m", file]);
        CommitId::from(self.agent(&["rev-parse", "HEAD"]))
    }

    fn take(&self) -> Taken {
        let taken = self.lab.repo.take_clone(&self.tree).unwrap().unwrap();
        let again = self.lab.repo.take_clone(&self.tree).unwrap().unwrap();
        assert_eq!(again.refused.is_some(), taken.refused.is_some(), "repeated it says the same");
        taken
    }

    fn head(&self) -> Option<CommitId> {
        self.lab.repo.branch_head("pipeline/T-1").unwrap()
    }

    fn end(&self, taken: &Taken) {
        self.lab.repo.end_clone(&self.tree, taken).unwrap();
        assert_eq!(self.lab.repo.take_clone(&self.tree).unwrap(), None);
    }
}

#[test]
fn what_an_agent_commits_in_its_clone_comes_back_to_its_branch_alone() {
    for kind in ALL {
        let lent = lend(kind);
        let Lent { lab, tree, git: clone, first } = &lent;
        assert_eq!(lent.agent(&["status", "--porcelain"]), "", "{kind:?}: it begins clean");
        assert_eq!(lent.agent(&["rev-parse", "main", "HEAD"]), format!("{first}\n{first}"));
        let refs = git(&lab.main, &["for-each-ref"]);
        let work = lent.commit("work.txt");
        // What a linked worktree under a sandbox cannot do.
        write(tree, "work.txt", "stashed\n");
        lent.agent(&["stash"]);
        lent.agent(&["stash", "pop", "-q"]);
        lent.agent(&["tag", "mine"]);
        lent.agent(&["branch", "-f", "main", "HEAD"]);
        lent.agent(&["branch", "scratch"]);
        lent.agent(&["branch", "-D", "scratch"]);
        lent.agent(&["config", "user.name", "Somebody"]);
        assert_eq!(git(&lab.main, &["for-each-ref"]), refs, "{kind:?}: the repository is as it was");
        assert!(!try_git(&lab.main, &["cat-file", "-e", work.as_str()]).0, "nor has it the commit");
        // We see the worktree as ours all the while.
        let status = lab.repo.worktree_status(tree).unwrap();
        assert_eq!((status.branch.as_deref(), status.head.as_ref()), (Some("pipeline/T-1"), Some(first)));
        assert_eq!(lab.repo.changed_since(tree, first).unwrap().len(), 1);
        assert_eq!(lab.repo.lend_clone(tree, &lab.path("run/clone")).unwrap(), *clone, "lent once");
        assert!(lab.repo.lend_clone(tree, &lab.path("other/clone")).is_err());
        assert!(lab.repo.remove_worktree(tree).is_err());

        let taken = lent.take();
        assert_eq!(taken, Taken::default(), "{kind:?}");
        assert_eq!(lent.head(), Some(work.clone()));
        assert_eq!(lab.head("main"), *first, "its main is its own");
        let status = lab.repo.worktree_status(tree).unwrap();
        assert_eq!(status.branch.as_deref(), Some("pipeline/T-1"));
        assert_eq!(
            (status.changed, status.untracked.len()),
            (vec!["work.txt".to_owned()], 0),
            "the rest is as it left it"
        );
        let committed = lab.repo.commit_all(tree, "rest", &[]).unwrap();
        assert!(matches!(committed, Committed::Branch { ref branch, .. } if branch == "pipeline/T-1"));
        lent.take();
        assert_eq!(git(tree, &["show", "pipeline/T-1:work.txt"]), "stashed", "taken again it stays where it is");
        lent.end(&taken);
        assert!(!clone.exists() && !lab.repo.is_lent(&lab.repo.checkout(tree).unwrap()));
        lab.repo.let_go(tree).unwrap();
        lab.repo.detach(tree, first).unwrap();
        lab.repo.fsck_connectivity().unwrap();
        lab.repo.remove_worktree(tree).unwrap();
    }
}

#[test]
fn work_beside_the_branch_is_kept_and_said() {
    each(|lab| {
        let lent = lend(lab.kind);
        let lab = &lent.lab;
        lent.agent(&["checkout", "-q", "-b", "elsewhere"]);
        let elsewhere = lent.commit("elsewhere.txt");
        lent.agent(&["checkout", "-q", "--detach", "pipeline/T-1"]);
        let detached = lent.commit("detached.txt");
        lent.agent(&["gc", "-q"]);
        let taken = lent.take();
        assert_eq!(taken.refused, None);
        assert_eq!(lent.head().as_ref(), Some(&lent.first), "{:?}: its branch did not move", lab.kind);
        let kept: Vec<CommitId> = lab.repo.rescues().unwrap().into_iter().map(|kept| kept.commit).collect();
        assert!(kept.contains(&elsewhere) && kept.contains(&detached), "{kept:?}");
        assert_eq!(taken.notes.len(), 2, "{taken:?}");
        assert_eq!(lab.repo.worktree_status(&lent.tree).unwrap().head, Some(detached));
        lent.end(&taken);
    });
}

#[test]
fn a_branch_that_was_rewritten_is_taken_and_one_that_was_moved_is_not() {
    each(|lab| {
        let lent = lend(lab.kind);
        lent.agent(&["commit", "-q", "--amend", "-m", "again"]);
        let amended = CommitId::from(lent.agent(&["rev-parse", "HEAD"]));
        assert_eq!(lent.take(), Taken::default());
        assert_eq!(lent.head(), Some(amended), "its history is its own");

        let lent = lend(lab.kind);
        let work = lent.commit("work.txt");
        let theirs = lent.lab.branch("theirs", &[("t.txt", "t\n")]);
        git(&lent.lab.main, &["update-ref", "refs/heads/pipeline/T-1", theirs.as_str()]);
        let taken = lent.take();
        assert!(taken.notes[0].contains("was moved while it worked"), "{taken:?}");
        assert_eq!(lent.head(), Some(theirs));
        assert!(lent.lab.repo.rescues().unwrap().iter().any(|kept| kept.commit == work));
    });
}

/// Something that an agent makes of its clone, and whether its work is still taken.
type Planted = (&'static str, fn(&Lent, &str), bool);

const PLANTED: [Planted; 14] = [
    (
        "settings",
        |lent, program| {
            for key in [
                "core.fsmonitor",
                "core.sshCommand",
                "core.pager",
                "uploadpack.packObjectsHook",
                "core.alternateRefsCommand",
            ] {
                git(&lent.tree, &["-c", "core.fsmonitor=false", "config", key, program]);
            }
            for key in
                ["filter.evil.clean", "filter.evil.smudge", "merge.evil.driver", "diff.evil.textconv", "alias.fetch"]
            {
                git(&lent.tree, &["-c", "core.fsmonitor=false", "config", key, program]);
            }
            write(&lent.tree, ".gitattributes", "* filter=evil diff=evil merge=evil\n");
        },
        true,
    ),
    (
        "hooks",
        |lent, program| {
            git(&lent.tree, &["config", "core.hooksPath", &lent.git.join("hooks").to_string_lossy()]);
            for hook in
                ["post-checkout", "pre-commit", "post-index-change", "reference-transaction", "post-upload-pack"]
            {
                write(&lent.git, &format!("hooks/{hook}"), &format!("#!/bin/sh\n{program}\n"));
                fs::set_permissions(lent.git.join("hooks").join(hook), fs::Permissions::from_mode(0o755)).unwrap();
            }
        },
        true,
    ),
    (
        "alternates elsewhere",
        |lent, _| {
            fs::write(lent.git.join("objects/info/alternates"), format!("{}\n", secret_objects(lent).display()))
                .unwrap();
        },
        true,
    ),
    (
        "alternates and a commit of somebody else's",
        |lent, _| {
            let objects = secret_objects(lent);
            let theirs = git(objects.parent().unwrap(), &["rev-parse", "HEAD"]);
            fs::write(lent.git.join("objects/info/alternates"), format!("{}\n", objects.display())).unwrap();
            fs::write(lent.git.join("refs/heads/pipeline/T-1"), format!("{theirs}\n")).unwrap();
        },
        false,
    ),
    (
        "objects behind a link",
        |lent, _| {
            let objects = secret_objects(lent);
            let theirs = git(objects.parent().unwrap(), &["rev-parse", "HEAD"]);
            fs::remove_dir_all(lent.git.join("objects")).unwrap();
            symlink(&objects, lent.git.join("objects")).unwrap();
            fs::write(lent.git.join("refs/heads/pipeline/T-1"), format!("{theirs}\n")).unwrap();
        },
        false,
    ),
    (
        "a reference behind a link",
        |lent, _| {
            let reference = lent.git.join("refs/heads/pipeline/T-1");
            fs::remove_file(&reference).unwrap();
            symlink("/etc/hostname", &reference).unwrap();
        },
        false,
    ),
    (
        "a pipe for HEAD",
        |lent, _| {
            let head = lent.git.join("HEAD");
            fs::remove_file(&head).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, &head, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        },
        false,
    ),
    (
        ".git behind a link",
        |lent, program| {
            let other = other_repository(lent, program);
            fs::remove_file(lent.tree.join(".git")).unwrap();
            symlink(other.join(".git"), lent.tree.join(".git")).unwrap();
        },
        true,
    ),
    (
        ".git of its own",
        |lent, program| {
            fs::remove_file(lent.tree.join(".git")).unwrap();
            git(&lent.tree, &["init", "-q"]);
            git(&lent.tree, &["config", "core.fsmonitor", program]);
        },
        true,
    ),
    (
        "a list of objects that lies",
        |lent, _| {
            git(&lent.tree, &["repack", "-q", "-a", "-d", "-l"]);
            for entry in fs::read_dir(lent.git.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.extension().is_some_and(|end| end == "idx") {
                    fs::remove_file(&entry).unwrap();
                    fs::write(&entry, "nonsense").unwrap();
                }
            }
        },
        true,
    ),
    (
        "a broken object",
        |lent, _| {
            // A tree with a file that is called `.git`.
            let blob = git(&lent.tree, &["hash-object", "-w", "a.txt"]);
            let raw: Vec<u8> =
                (0..blob.len()).step_by(2).map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()).collect();
            let tree = [b"100644 .git\0".as_slice(), &raw].concat();
            fs::write(lent.lab.path("raw"), tree).unwrap();
            let raw = lent.lab.path("raw").to_string_lossy().into_owned();
            let tree = git(&lent.tree, &["hash-object", "-w", "-t", "tree", "--literally", &raw]);
            let commit = git(&lent.tree, &["commit-tree", "-p", "HEAD", "-m", "broken", &tree]);
            git(&lent.tree, &["update-ref", "refs/heads/pipeline/T-1", &commit]);
        },
        false,
    ),
    (
        "more than fits",
        |lent, _| {
            let name = format!("objects/ab/{}", "0".repeat(if lent.lab.kind == Kind::Sha256 { 62 } else { 38 }));
            write(&lent.git, &name, "");
            fs::File::options().write(true).open(lent.git.join(name)).unwrap().set_len(1 << 42).unwrap();
        },
        false,
    ),
    ("files that git does not know of", |lent, _| write(&lent.git, "lfs/objects/ab/cd/file", "large"), false),
    ("no references", |lent, _| fs::remove_dir_all(lent.git.join("refs")).unwrap(), false),
];

/// The objects of a repository that no agent may read.
fn secret_objects(lent: &Lent) -> PathBuf {
    let secret = lent.lab.path("secret");
    if !secret.exists() {
        fs::create_dir_all(&secret).unwrap();
        let sha256 = lent.lab.kind == Kind::Sha256;
        git(&secret, &["init", "-q", if sha256 { "--object-format=sha256" } else { "--object-format=sha1" }]);
        let who =
            ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "--allow-empty", "-m", "secret"];
        git(&secret, &who);
    }
    secret.join(".git/objects")
}

fn other_repository(lent: &Lent, program: &str) -> PathBuf {
    let other = lent.lab.path("other");
    fs::create_dir_all(&other).unwrap();
    git(&other, &["init", "-q"]);
    git(&other, &["config", "core.fsmonitor", program]);
    other
}

#[test]
fn nothing_that_an_agent_makes_of_its_clone_runs_or_leads_elsewhere() {
    for kind in [Kind::Library, Kind::Sha256] {
        for (name, plant, is_taken) in PLANTED {
            let lent = lend(kind);
            let lab = &lent.lab;
            let work = lent.commit("work.txt");
            let (canary, evil) = (lab.path("canary"), lab.path("evil.sh"));
            fs::write(&evil, format!("#!/bin/sh\ntouch '{}'\n", canary.display())).unwrap();
            fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
            plant(&lent, &evil.to_string_lossy());
            drop(fs::remove_file(&canary));
            let refs = git(&lab.main, &["for-each-ref"]);
            // While it works we look at its files, and when it has ended we take what it did.
            lab.repo.worktree_status(&lent.tree).unwrap();
            let taken = lent.take();
            assert_eq!(taken.refused.is_none(), is_taken, "{name} with {kind:?}: {taken:?}");
            let is_taken = is_taken || name == "files that git does not know of";
            let expected = if is_taken { &work } else { &lent.first };
            assert_eq!(lent.head().as_ref(), Some(expected), "{name} with {kind:?}: {taken:?}");
            if !is_taken {
                assert_eq!(git(&lab.main, &["for-each-ref"]), refs, "{name}");
                assert!(lent.git.exists(), "{name}: what was refused is kept");
            }
            let secret = lab.path("secret");
            if secret.exists() {
                let theirs = git(&secret, &["rev-parse", "HEAD"]);
                assert!(!try_git(&lab.main, &["cat-file", "-e", &theirs]).0, "{name}: read elsewhere");
            }
            // What is at its .git is put right before anybody follows it.
            lab.repo.mend(&lent.tree, lab.folder.path()).unwrap();
            lent.end(&taken);
            lab.repo.commit_all(&lent.tree, "rest", &[]).unwrap();
            lab.repo.let_go(&lent.tree).unwrap();
            assert_eq!(
                git(&lent.tree, &["rev-parse", "--git-dir"]),
                lab.repo.private_dir(&lent.tree).unwrap().to_string_lossy()
            );
            assert!(!canary.exists(), "{name} ran with {kind:?}: {taken:?}");
            lab.repo.fsck_connectivity().unwrap();
        }
    }
}

#[test]
fn settings_of_files_are_handed_on_and_programs_and_keys_are_not() {
    let lab = Lab::new(Kind::Library);
    let first = lab.head("main");
    let tree = lab.path("trees/agent");
    for (key, value) in
        [("core.autocrlf", "input"), ("core.fsmonitor", "false"), ("remote.origin.url", "https://token@example.org/x")]
    {
        git(&lab.main, &["config", key, value]);
    }
    lab.repo.ensure_branch("task", &first).unwrap();
    lab.repo.ensure_worktree(&tree, &first).unwrap();
    lab.repo.checkout_branch(&tree, "task").unwrap();
    let clone = lab.repo.lend_clone(&tree, &lab.path("run/clone")).unwrap();
    assert_eq!(git(&tree, &["config", "core.autocrlf"]), "input");
    assert_eq!(git(&tree, &["config", "user.name"]), "Test");
    let settings = read(&clone, "config");
    assert!(!settings.contains("token") && !settings.contains("gpg") && !settings.contains("fsmonitor"), "{settings}");
    // Whoever asks from there means the repository.
    assert_eq!(Repo::discover(&tree).unwrap().main_checkout(), lab.main);
    git(&lab.main, &["config", "extensions.partialclone", "origin"]);
    let other = lab.path("trees/other");
    lab.repo.ensure_branch("other", &first).unwrap();
    lab.repo.ensure_worktree(&other, &first).unwrap();
    lab.repo.checkout_branch(&other, "other").unwrap();
    let refused = lab.repo.lend_clone(&other, &lab.path("run2/clone")).unwrap_err().to_string();
    assert!(refused.contains("partial clone"), "{refused}");
    git(&lab.main, &["config", "--unset", "extensions.partialclone"]);
    fs::create_dir_all(lab.main.join(".git/lfs/objects")).unwrap();
    let refused = lab.repo.lend_clone(&other, &lab.path("run2/clone")).unwrap_err().to_string();
    assert!(refused.contains("git-lfs"), "{refused}");
}

#[test]
fn a_clone_that_was_being_made_or_taken_when_we_were_killed_is_finished() {
    each(|lab| {
        let lent = lend(lab.kind);
        let (lab, tree) = (&lent.lab, &lent.tree);
        // Between the record and the pointer.
        let pointer = format!("gitdir: {}\n", lab.repo.private_dir(tree).unwrap().display());
        fs::write(tree.join(".git"), &pointer).unwrap();
        assert_eq!(lab.repo.lend_clone(tree, &lab.path("run/clone")).unwrap(), lent.git);
        let work = lent.commit("work.txt");
        // Between the pointer and everything else.
        fs::write(tree.join(".git"), &pointer).unwrap();
        assert_eq!(lent.take(), Taken::default());
        assert_eq!(lent.head(), Some(work));
        assert!(lab.repo.has_other_clone(tree, &lab.path("another")).unwrap());
        // A clone that somebody removed holds nothing that could be taken.
        fs::remove_dir_all(lab.path("run")).unwrap();
        let taken = lent.take();
        assert!(taken.refused.is_some());
        lent.end(&taken);
        assert!(!lab.repo.has_other_clone(tree, &lab.path("another")).unwrap());
    });
}

#[test]
fn a_worktree_that_is_gone_takes_no_commit_with_it() {
    each(|lab| {
        let lent = lend(lab.kind);
        let work = lent.commit("work.txt");
        fs::remove_dir_all(&lent.tree).unwrap();
        assert!(lent.lab.repo.ensure_worktree(&lent.tree, &lent.first).unwrap().fresh);
        assert_eq!(lent.head(), Some(work), "{:?}", lab.kind);
        assert!(!lent.lab.repo.is_lent(&lent.lab.repo.checkout(&lent.tree).unwrap()));
    });
}

#[test]
fn a_clone_with_more_beside_its_branch_than_is_kept_stays() {
    let lent = lend(Kind::Library);
    let work = lent.commit("work.txt");
    let tree = lent.agent(&["rev-parse", "HEAD^{tree}"]);
    for nth in 0..70 {
        let other = lent.agent(&["commit-tree", "-m", &format!("other {nth}"), &tree]);
        lent.agent(&["update-ref", &format!("refs/heads/other-{nth}"), &other]);
    }
    let taken = lent.lab.repo.take_clone(&lent.tree).unwrap().unwrap();
    assert!(taken.refused.as_ref().is_some_and(|why| why.contains("6 more references")), "{taken:?}");
    assert_eq!(lent.head(), Some(work));
    // Each time some of them are kept.
    let taken = lent.take();
    assert_eq!((taken.refused.as_ref(), lent.lab.repo.rescues().unwrap().len()), (None, 70));
    lent.end(&taken);
    assert!(!lent.git.exists());
}

#[test]
fn a_repository_that_is_shallow_or_borrows_itself_lends_too() {
    let lab = Lab::new(Kind::Library);
    write(&lab.main, "second.txt", "second\n");
    git(&lab.main, &["add", "-A"]);
    git(&lab.main, &["commit", "-q", "-m", "second"]);
    let (parent, url) = (lab.folder.path(), format!("file://{}", lab.main.display()));
    git(parent, &["clone", "-q", "--depth=1", &url, "shallow"]);
    git(parent, &["clone", "-q", "--shared", &lab.main.to_string_lossy(), "borrowing"]);
    git(parent, &["clone", "-q", "--separate-git-dir=elsewhere.git", &url, "separate"]);
    for name in ["shallow", "borrowing", "separate"] {
        let repo = Repo::discover(&parent.join(name)).unwrap();
        let tree = lab.path("trees").join(name);
        let head = repo.branch_head("main").unwrap().unwrap();
        repo.ensure_branch("task", &head).unwrap();
        repo.ensure_worktree(&tree, &head).unwrap();
        repo.checkout_branch(&tree, "task").unwrap();
        let lent = repo.lend_clone(&tree, &lab.path("run").join(name)).unwrap();
        assert!(read(&lent, "packed-refs").contains("refs/remotes/origin/main"), "{name}");
        write(&tree, "work.txt", "work\n");
        git(&tree, &["add", "-A"]);
        git(&tree, &["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", "work"]);
        let taken = repo.take_clone(&tree).unwrap().unwrap();
        assert_eq!(taken, Taken::default(), "{name}");
        let task = repo.branch_head("task").unwrap().unwrap();
        assert_eq!(repo.commits_between(&head, &task).unwrap(), 1, "{name}");
        assert_eq!(repo.object_dirs().len(), if name == "borrowing" { 2 } else { 1 });
        repo.end_clone(&tree, &taken).unwrap();
        repo.fsck_connectivity().unwrap();
    }
}
