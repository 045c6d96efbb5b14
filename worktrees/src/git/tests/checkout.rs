//! What is remembered of worktrees, and when it is not believed any more; and following from one branch to the next.

use super::*;

/// Asks about a worktree until it is remembered: what has just been written is not at once.
fn remembered(lab: &Lab, tree: &Path) {
    let begun = std::time::Instant::now();
    while lab.repo.known_checkout(tree).unwrap().is_none() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it was never remembered");
        lab.repo.worktree_status(tree).unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn a_worktree_that_was_remembered_is_looked_at_again_once_anything_of_it_changed() {
    type Change = fn(&Lab, &Path, &Path);
    let changes: [(&str, Change, bool); 8] = [
        ("its .git leads elsewhere", |_, tree, _| fs::write(tree.join(".git"), "gitdir: /nowhere\n").unwrap(), false),
        ("its .git is gone", |_, tree, _| fs::remove_file(tree.join(".git")).unwrap(), false),
        ("its common directory is another", |_, _, admin| fs::write(admin.join("commondir"), "..\n").unwrap(), false),
        (
            "it has settings of its own",
            |_, _, admin| fs::write(admin.join("config.worktree"), "[core]\n\tpager = x\n").unwrap(),
            false,
        ),
        ("its entry leads elsewhere", |_, _, admin| fs::write(admin.join("gitdir"), "/nowhere/.git\n").unwrap(), false),
        (
            "a link to elsewhere is in its place",
            |lab, tree, _| {
                fs::rename(tree, lab.path("moved")).unwrap();
                fs::create_dir(lab.path("elsewhere")).unwrap();
                std::os::unix::fs::symlink(lab.path("elsewhere"), tree).unwrap();
            },
            false,
        ),
        (
            "the repository names a program",
            |lab, _, _| drop(git(&lab.main, &["config", "filter.x.clean", "cat"])),
            false,
        ),
        ("its index was lost", |_, _, admin| fs::write(admin.join("index"), "").unwrap(), true),
    ];
    for (name, change, is_mended) in changes {
        let lab = Lab::new(Kind::Library);
        let tree = lab.worktree("task");
        let admin = lab.repo.checkout(&tree).unwrap().admin;
        remembered(&lab, &tree);
        assert!(lab.repo.is_as_committed(&tree, "task").unwrap(), "{name}");
        change(&lab, &tree, &admin);
        let found = lab.repo.is_as_committed(&tree, "task");
        match is_mended {
            true => assert!(found.unwrap(), "{name}"),
            false => assert!(found.is_err(), "{name}: {found:?}"),
        }
    }
}

#[test]
fn one_that_is_locked_by_somebody_or_gone_is_not_remembered() {
    let lab = Lab::new(Kind::Library);
    let (tree, head) = (lab.worktree("task"), lab.head("main"));
    remembered(&lab, &tree);
    git(&lab.main, &["worktree", "lock", tree.to_str().unwrap()]);
    assert!(lab.repo.known_checkout(&tree).unwrap().is_none());
    assert!(matches!(lab.repo.remove_worktree(&tree), Err(GitError::Locked { .. })));
    git(&lab.main, &["worktree", "unlock", tree.to_str().unwrap()]);
    remembered(&lab, &tree);
    fs::remove_dir_all(&tree).unwrap();
    assert!(lab.repo.ensure_worktree(&tree, &head).unwrap().fresh);
}

#[test]
fn a_clean_worktree_follows_to_a_branch_at_the_same_commit_and_to_no_other() {
    for kind in ALL {
        let lab = Lab::new(kind);
        let (tree, head) = (lab.worktree("one"), lab.head("main"));
        let follow = |from: &str, to: &str| lab.repo.follow(&tree, from, to, &head).unwrap();
        assert!(!follow("two", "one"), "it is not on that one");
        assert!(follow("one", "two"), "it is made");
        assert_eq!(lab.head("two"), head);
        assert!(lab.repo.is_as_committed(&tree, "two").unwrap());
        assert_eq!(git(&tree, &["branch", "--show-current"]), "two");
        // Somebody else has the next one.
        let other = lab.worktree("three");
        assert!(!follow("two", "three"));
        lab.repo.detach(&other, &head).unwrap();
        assert!(follow("two", "three"));
        let ahead = lab.branch("ahead", &[("a.txt", "ahead\n")]);
        lab.repo.detach(&lab.path("ahead"), &ahead).unwrap();
        assert!(!follow("three", "ahead"), "its files would have to change");
        assert!(!lab.repo.follow(&tree, "three", "further", &ahead).unwrap(), "and for one that is made there");
        assert!(lab.repo.branch_head("further").unwrap().is_none());
        // A lock of somebody else's is respected, and what was begun beside it is taken back.
        if kind == Kind::Library {
            let lock = lab.repo.checkout(&tree).unwrap().admin.join("HEAD.lock");
            fs::write(&lock, "").unwrap();
            assert!(matches!(lab.repo.follow(&tree, "three", "four", &head), Err(GitError::Locked { .. })));
            assert!(lab.repo.branch_head("four").unwrap().is_none());
            fs::remove_file(lock).unwrap();
            assert!(follow("three", "four") && follow("four", "three"));
        }
        assert!(lab.repo.is_on(&tree, "three").unwrap());
    }
}

fn is_untouched(lab: &Lab, tree: &Path) -> bool {
    let checkout = lab.repo.checkout(tree).unwrap();
    let head = lab.repo.backend.head(&checkout).unwrap().commit;
    lab.repo.untouched.look(&checkout, &lab.repo.common, head.as_ref()).0
}

fn is_clean(lab: &Lab, tree: &Path) -> bool {
    let status = lab.repo.worktree_status(tree).unwrap();
    status.changed.is_empty() && status.untracked.is_empty()
}

/// Asks what differs in a clean worktree until it is known without git.
fn untouched(lab: &Lab, tree: &Path) {
    let begun = std::time::Instant::now();
    while !is_untouched(lab, tree) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}: it never was known", lab.kind);
        assert!(is_clean(lab, tree), "{:?}", lab.kind);
    }
    assert!(is_clean(lab, tree), "{:?}", lab.kind);
}

/// Writes other content of the same length, and has the time of writing be what it was.
fn write_alike(file: &Path, content: &str) {
    let written = file.metadata().unwrap().modified().unwrap();
    fs::write(file, content).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_modified(written).unwrap();
}

#[test]
fn what_is_left_in_a_worktree_that_was_known_to_be_clean_is_found() {
    type Change = fn(&Lab, &Path);
    let changes: [(&str, Change); 11] = [
        ("other content", |_, tree| write_alike(&tree.join("b.txt"), "x\n")),
        ("another file in the place of one", |_, tree| {
            write(tree, "other", "x\n");
            fs::rename(tree.join("other"), tree.join("b.txt")).unwrap();
        }),
        ("a program", |_, tree| {
            fs::set_permissions(tree.join("dir/c.txt"), fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("a link", |_, tree| {
            fs::remove_file(tree.join("b.txt")).unwrap();
            std::os::unix::fs::symlink("a.txt", tree.join("b.txt")).unwrap();
        }),
        ("nothing where a file was", |_, tree| fs::remove_file(tree.join("dir/c.txt")).unwrap()),
        ("a new file", |_, tree| write(tree, "dir/new.txt", "")),
        ("a new folder", |_, tree| write(tree, "new/new.txt", "")),
        ("a repository", |_, tree| {
            write(tree, "inside/new.txt", "");
            drop(git(&tree.join("inside"), &["init", "-q"]));
        }),
        ("a file that the index does not have", |_, tree| drop(git(tree, &["rm", "-q", "--cached", "b.txt"]))),
        ("something else in the index", |_, tree| {
            let blob = git(tree, &["rev-parse", "HEAD:a.txt"]);
            drop(git(tree, &["update-index", "--cacheinfo", &format!("100644,{blob},b.txt")]));
        }),
        ("its branch elsewhere", |lab, tree| {
            let other = lab.branch("other", &[("b.txt", "x\n")]);
            drop(git(tree, &["update-ref", "refs/heads/task", other.as_str()]));
        }),
    ];
    for (name, change) in changes {
        each(|lab| {
            let tree = lab.worktree("task");
            untouched(&lab, &tree);
            change(&lab, &tree);
            assert!(!is_clean(&lab, &tree), "{:?}: {name}", lab.kind);
            assert!(!lab.repo.is_as_committed(&tree, "task").unwrap(), "{:?}: {name}", lab.kind);
        });
    }
}

#[test]
fn a_worktree_with_more_in_it_than_is_tracked_is_always_shown_to_git() {
    each(|lab| {
        let tree = lab.worktree("task");
        write(&tree, "build/x", "");
        // Until it was long enough for that one to be known too.
        let plain = lab.worktree("plain");
        untouched(&lab, &plain);
        assert!(is_clean(&lab, &tree), "{:?}", lab.kind);
        assert!(!is_untouched(&lab, &tree), "{:?}: what git ignores may be what it does not ignore later", lab.kind);
        fs::write(tree.join(".gitignore"), "").unwrap();
        assert_eq!(lab.repo.worktree_status(&tree).unwrap().untracked, ["build/x"], "{:?}", lab.kind);
        assert!(!is_untouched(&lab, &lab.main), "{:?}: a person's checkout", lab.kind);
    });
}
