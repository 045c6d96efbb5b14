//! Worktrees that are just as their branch has them, and those that only seem so.

use super::*;

#[test]
fn a_worktree_is_as_committed_until_anything_has_to_be_kept_or_put_right() {
    each(|lab| {
        let task = lab.branch("task", &[("a.txt", "task\n")]);
        let path = lab.path("task");
        let admin = lab.repo.private_dir(&path).unwrap();
        let is_whole = |branch: &str| lab.repo.is_as_committed(&path, branch).unwrap();
        write(&path, "x.ignored", "no matter\n");
        write(&path, ".pipeline/task.md", "no matter\n");
        assert!(is_whole("task"), "{:?}", lab.kind);
        assert!(!is_whole("main") && !is_whole("none"), "it is on another branch");
        for (file, content) in [("b.txt", "work\n"), ("new.txt", "work\n"), ("dir/d.txt", "work\n")] {
            write(&path, file, content);
            assert!(!is_whole("task"), "{:?}: {file}", lab.kind);
            lab.repo.commit_all(&path, "more", &[]).unwrap();
            assert!(is_whole("task"), "{:?}: {file}", lab.kind);
        }
        fs::remove_file(path.join("b.txt")).unwrap();
        assert!(!is_whole("task"), "a file is gone");
        git(&path, &["checkout", "-q", "b.txt"]);
        for lock in ["index.lock", "HEAD.lock"] {
            fs::write(admin.join(lock), "").unwrap();
            assert!(!is_whole("task"), "{lock}");
            fs::remove_file(admin.join(lock)).unwrap();
        }
        fs::write(admin.join("MERGE_HEAD"), format!("{task}\n")).unwrap();
        assert!(!is_whole("task"), "a merge is under way");
        fs::remove_file(admin.join("MERGE_HEAD")).unwrap();
        assert!(is_whole("task"), "{:?}", lab.kind);
        lab.repo.let_go(&path).unwrap();
        assert!(!is_whole("task"), "it is on no branch");
        fs::remove_file(path.join(".git")).unwrap();
        assert!(lab.repo.is_as_committed(&path, "task").is_err(), "nothing leads to the repository");
    });
}

#[test]
fn a_branch_that_is_there_already_is_checked_out_only_where_nothing_would_be_mixed_up() {
    each(|lab| {
        lab.branch("task", &[("a.txt", "task\n")]);
        let path = lab.path("task");
        assert!(lab.repo.is_on(&path, "task").unwrap() && !lab.repo.is_on(&path, "main").unwrap());
        lab.repo.checkout_branch(&path, "task").unwrap();
        write(&path, "b.txt", "somebody's\n");
        write(&path, "new.txt", "somebody's\n");
        let refused = lab.repo.checkout_branch(&path, "task");
        let Err(GitError::Dirty { files, .. }) = refused else { panic!("{:?} {refused:?}", lab.kind) };
        assert_eq!(files, ["b.txt", "new.txt"]);
        lab.repo.set_aside(&path, "kept", "somebody's").unwrap();
        lab.repo.checkout_branch(&path, "task").unwrap();
        assert!(lab.repo.is_as_committed(&path, "task").unwrap());
        assert_eq!(git(&lab.main, &["show", "refs/pipeline/trash/kept:new.txt"]), "somebody's");
    });
}

#[test]
fn a_branch_is_found_wherever_it_is_checked_out_or_rebased() {
    each(|lab| {
        lab.branch("task", &[("a.txt", "task\n")]);
        lab.branch("other", &[("a.txt", "other\n")]);
        let of = |branch: &str| {
            let found = lab.repo.checkouts_of(branch).unwrap();
            found.into_iter().map(|checkout| checkout.path).collect::<Vec<_>>()
        };
        assert_eq!(of("main"), [lab.main.as_path()]);
        assert_eq!(of("task"), [lab.path("task")]);
        assert!(of("tas").is_empty());
        assert!(!try_git(&lab.path("other"), &["rebase", "task"]).0, "there is a conflict");
        assert_eq!(of("other"), [lab.path("other")], "{:?}: HEAD is on no branch meanwhile", lab.kind);
        fs::remove_dir_all(lab.path("task")).unwrap();
        assert!(of("task").is_empty(), "what is gone cannot be worked with");
    });
}
