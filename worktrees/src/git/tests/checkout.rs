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
