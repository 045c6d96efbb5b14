//! Merges that are tried out, on real repositories: what collides, what does not, and that nothing of it is left behind.

use super::*;

fn commit_on(lab: &Lab, at: &str, name: &str, files: &[(&str, &str)]) -> CommitId {
    git(&lab.main, &["checkout", "-q", "--detach", at]);
    for (file, content) in files {
        write(&lab.main, file, content);
    }
    git(&lab.main, &["add", "-A"]);
    git(&lab.main, &["commit", "-q", "--allow-empty", "-m", name]);
    let commit = lab.head("HEAD");
    git(&lab.main, &["branch", "-f", name, commit.as_str()]);
    git(&lab.main, &["checkout", "-q", "main"]);
    commit
}

fn merge_on(lab: &Lab, at: &str, name: &str, other: &str) -> CommitId {
    git(&lab.main, &["checkout", "-q", "--detach", at]);
    git(&lab.main, &["merge", "-q", "--no-ff", "-m", name, other]);
    let commit = lab.head("HEAD");
    git(&lab.main, &["checkout", "-q", "main"]);
    commit
}

fn objects(lab: &Lab) -> String {
    git(&lab.main, &["count-objects", "-v"])
}

#[test]
fn two_branches_that_change_one_line_collide_and_others_do_not() {
    each(|lab| {
        let base = lab.head("main");
        let one = commit_on(&lab, "main", "one", &[("a.txt", "1\n2\none\n4\n5\n"), ("new.txt", "one\n")]);
        let same = commit_on(&lab, "main", "same", &[("a.txt", "1\n2\nsame\n4\n5\n")]);
        let far = commit_on(&lab, "main", "far", &[("a.txt", "1\n2\n3\n4\n5\n6\n7\nfar\n")]);
        let else_where = commit_on(&lab, "main", "elsewhere", &[("b.txt", "elsewhere\n")]);
        let below = commit_on(&lab, "main", "below", &[("new.txt/below.txt", "below\n")]);
        let before = objects(&lab);
        let mut trial = lab.repo.trial(&base).unwrap();
        assert_eq!(trial.both(&one, &same).unwrap(), ["a.txt"], "{:?}", lab.kind);
        assert_eq!(trial.both(&same, &one).unwrap(), ["a.txt"]);
        assert_eq!(trial.both(&one, &else_where).unwrap(), [""; 0]);
        assert_eq!(trial.both(&same, &far).unwrap(), [""; 0], "one file, and far enough from each other");
        assert!(!trial.both(&one, &below).unwrap().is_empty(), "a file and a folder of one name");
        assert_eq!(trial.both(&one, &base).unwrap(), [""; 0], "base has all of it");
        assert_eq!(trial.both(&one, &one).unwrap(), [""; 0]);
        assert_eq!(trial.onto_base(&one).unwrap(), [""; 0]);
        assert_eq!(objects(&lab), before, "nothing of it is in the repository");
        lab.repo.fsck_connectivity().unwrap();
    });
}

/// Base has moved, so that what is tried out is what would be merged then and not what the branches were begun on.
#[test]
fn what_keeps_one_branch_from_base_is_not_laid_to_the_other() {
    each(|lab| {
        let one = commit_on(&lab, "main", "one", &[("a.txt", "1\n2\none\n4\n5\n")]);
        let other = commit_on(&lab, "main", "other", &[("dir/c.txt", "other\n")]);
        let both = commit_on(&lab, "main", "both", &[("a.txt", "1\n2\nboth\n4\n5\n"), ("dir/c.txt", "both\n")]);
        write(&lab.main, "a.txt", "1\n2\nbase\n4\n5\n");
        git(&lab.main, &["commit", "-qam", "base moves"]);
        let base = lab.head("main");
        let later = commit_on(&lab, "main", "later", &[("b.txt", "later\n")]);
        let mut trial = lab.repo.trial(&base).unwrap();
        assert_eq!(trial.onto_base(&one).unwrap(), ["a.txt"]);
        assert_eq!(trial.onto_base(&other).unwrap(), [""; 0]);
        assert_eq!(trial.both(&one, &other).unwrap(), [""; 0]);
        assert_eq!(trial.both(&one, &later).unwrap(), [""; 0], "base is in the later one, and no business of its own");
        assert_eq!(trial.both(&both, &other).unwrap(), ["dir/c.txt"]);
        assert_eq!(trial.both(&one, &both).unwrap(), [""; 0], "a.txt keeps each of them from base already");
    });
}

/// Both were begun on an older base, which has moved elsewhere since: what is compared is what they change, and nothing else.
#[test]
fn an_older_beginning_is_no_collision() {
    each(|lab| {
        let one = commit_on(&lab, "main", "one", &[("a.txt", "1\n2\none\n4\n5\n")]);
        let same = commit_on(&lab, "main", "same", &[("a.txt", "1\n2\nsame\n4\n5\n")]);
        let far = commit_on(&lab, "main", "far", &[("dir/c.txt", "far\n")]);
        write(&lab.main, "b.txt", "base\n");
        git(&lab.main, &["commit", "-qam", "base moves"]);
        let later = commit_on(&lab, "main", "later", &[("b.txt", "later\n")]);
        git(&lab.main, &["checkout", "-q", "--orphan", "alone"]);
        git(&lab.main, &["commit", "-qm", "alone"]);
        let alone = lab.head("HEAD");
        git(&lab.main, &["checkout", "-qf", "main"]);
        let before = objects(&lab);
        let mut trial = lab.repo.trial(&lab.head("main")).unwrap();
        assert_eq!(trial.both(&one, &same).unwrap(), ["a.txt"], "{:?}", lab.kind);
        assert_eq!(trial.both(&one, &far).unwrap(), [""; 0]);
        assert_eq!(trial.both(&later, &far).unwrap(), [""; 0]);
        for head in [&one, &same, &far, &later] {
            assert_eq!(trial.onto_base(head).unwrap(), [""; 0]);
        }
        // Without anything in common it is as git has it: a merge, or a refusal.
        let tried = trial.onto_base(&alone);
        assert_eq!(objects(&lab), before);
        match (tried, lab.repo.merge_check(&lab.head("main"), &alone)) {
            (Ok(files), Ok(MergeCheck::Conflict { files: expected })) => assert_eq!(files, expected),
            (Ok(files), Ok(_)) => assert_eq!(files, [""; 0]),
            (Err(_), Err(_)) => {}
            other => panic!("{:?}: {other:?}", lab.kind),
        }
    });
}

/// Every two of some branches, against what merging them for real comes to, in either order.
#[test]
fn what_is_tried_out_is_what_merging_comes_to() {
    each(|lab| {
        let branches: [&[(&str, &str)]; 6] = [
            &[("a.txt", "X\n2\n3\n4\n5\n")],
            &[("a.txt", "1\n2\n3\n4\nX\n"), ("b.txt", "b\nmore\n")],
            &[("a.txt", "Y\n2\n3\n4\n5\n"), ("new.txt", "one\n")],
            &[("new.txt", "two\n")],
            &[("dir/c.txt", "c\nmore\n"), ("new.txt", "one\n")],
            &[("b.txt", "other\n"), ("dir/d.txt", "d\n")],
        ];
        let name = |at: usize| format!("branch-{at}");
        let heads: Vec<CommitId> =
            branches.iter().enumerate().map(|(at, files)| commit_on(&lab, "main", &name(at), files)).collect();
        write(&lab.main, "a.txt", "1\n2\n3\n4\n5\n6\n7\n8\nbase\n");
        write(&lab.main, "dir/e.txt", "e\n");
        git(&lab.main, &["add", "-A"]);
        git(&lab.main, &["commit", "-qm", "base moves"]);
        let base = lab.head("main");
        let mut trial = lab.repo.trial(&base).unwrap();
        let alone = |head| match lab.repo.merge_commit(&base, head, "m", at(1)).unwrap() {
            MergeOutcome::Commit(commit) => Ok(commit),
            MergeOutcome::Conflict { files } => Err(files),
            MergeOutcome::AlreadyMerged => panic!(),
        };
        let mut seen = (0, 0);
        for one in &heads {
            assert_eq!(trial.onto_base(one).unwrap(), alone(one).err().unwrap_or_default());
            for other in heads.iter().filter(|other| *other != one) {
                let (Ok(merged), Ok(_)) = (alone(one), alone(other)) else { continue };
                let expected = match lab.repo.merge_check(&merged, other).unwrap() {
                    MergeCheck::Conflict { files } => files,
                    MergeCheck::Clean | MergeCheck::AlreadyMerged => Vec::new(),
                };
                assert_eq!(trial.both(one, other).unwrap(), expected, "{:?}: {one} and {other}", lab.kind);
                if expected.is_empty() { seen.0 += 1 } else { seen.1 += 1 }
            }
        }
        assert!(seen.0 > 5 && seen.1 > 3, "{seen:?}");
    });
}

/// One moves a folder and the other adds a file to it: git asks where that belongs, unless it is told to decide by itself.
#[test]
fn a_folder_that_moves_under_a_new_file_is_noticed_as_git_does() {
    each(|lab| {
        for file in ["old/f1", "old/f2", "old/below/f3", "stays/f4", "stays/f5"] {
            write(&lab.main, file, &format!("what is in {file}\n"));
        }
        git(&lab.main, &["add", "-A"]);
        git(&lab.main, &["commit", "-qm", "folders"]);
        let base = lab.head("main");
        let moving = |name: &str, moves: &[(&str, &str)]| {
            git(&lab.main, &["checkout", "-q", "--detach", "main"]);
            for (from, to) in moves {
                std::fs::create_dir_all(lab.main.join(to).parent().unwrap()).unwrap();
                git(&lab.main, &["mv", from, to]);
            }
            commit_on(&lab, "HEAD", name, &[])
        };
        let moves = moving("moves", &[("old", "new")]);
        let part = moving("part", &[("stays/f4", "elsewhere/f4")]);
        let adds = commit_on(&lab, "main", "adds", &[("old/more", "more\n")]);
        let deep = commit_on(&lab, "main", "deep", &[("old/below/more", "deep\n"), ("stays/more", "more\n")]);
        let far =
            commit_on(&lab, "main", "far", &[("other/more", "far\n"), ("old/f1", "changed\nwhat is in old/f1\n")]);
        let before = objects(&lab);
        let mut trial = lab.repo.trial(&base).unwrap();
        assert_eq!(trial.both(&moves, &adds).unwrap(), ["new/more"], "{:?}", lab.kind);
        assert_eq!(trial.both(&adds, &moves).unwrap(), ["new/more"]);
        assert_eq!(trial.both(&moves, &deep).unwrap(), ["new/below/more"]);
        assert_eq!(trial.both(&part, &deep).unwrap(), [""; 0], "the folder is still there");
        assert_eq!(trial.both(&moves, &far).unwrap(), [""; 0], "a file that changes moves along");
        assert_eq!(trial.both(&moves, &part).unwrap(), [""; 0]);
        assert_eq!(objects(&lab), before, "nothing of it is in the repository");
        // The folder has moved in base.
        git(&lab.main, &["merge", "-q", "--ff-only", "moves"]);
        let mut trial = lab.repo.trial(&moves).unwrap();
        assert_eq!(trial.onto_base(&adds).unwrap(), ["new/more"]);
        assert_eq!(trial.onto_base(&far).unwrap(), [""; 0]);
        for told in ["true", "false"] {
            git(&lab.main, &["config", "merge.directoryRenames", told]);
            let mut trial = lab.repo.trial(&base).unwrap();
            assert_eq!(trial.both(&moves, &adds).unwrap(), [""; 0], "git decides by itself");
        }
    });
}

/// Branches that have merged each other have two merge bases: what both have is no collision, what came after is.
#[test]
fn branches_that_crossed_are_compared_by_all_they_share() {
    each(|lab| {
        let base = lab.head("main");
        commit_on(&lab, "main", "left", &[("a.txt", "left\n2\n3\n4\n5\n")]);
        commit_on(&lab, "main", "right", &[("a.txt", "1\n2\n3\n4\nright\n")]);
        let (left, right) = (merge_on(&lab, "left", "m1", "right"), merge_on(&lab, "right", "m2", "left"));
        git(&lab.main, &["branch", "-f", "left", left.as_str()]);
        git(&lab.main, &["branch", "-f", "right", right.as_str()]);
        let mut trial = lab.repo.trial(&base).unwrap();
        assert_eq!(trial.both(&left, &right).unwrap(), [""; 0], "{:?}", lab.kind);
        let top = commit_on(&lab, "left", "top", &[("a.txt", "top\n2\n3\n4\nright\n")]);
        assert_eq!(trial.both(&top, &right).unwrap(), [""; 0]);
        let rival = commit_on(&lab, "right", "rival", &[("a.txt", "rival\n2\n3\n4\nright\n")]);
        assert_eq!(trial.both(&top, &rival).unwrap(), ["a.txt"]);
    });
}

#[test]
fn a_branch_that_is_deleted_and_a_commit_that_is_not_there_harm_nothing() {
    each(|lab| {
        let base = lab.head("main");
        let one = commit_on(&lab, "main", "one", &[("a.txt", "1\n2\none\n4\n5\n")]);
        let other = commit_on(&lab, "main", "other", &[("a.txt", "1\n2\nother\n4\n5\n")]);
        git(&lab.main, &["branch", "-qD", "other"]);
        assert_eq!(lab.repo.branch_head("other").unwrap(), None);
        let mut trial = lab.repo.trial(&base).unwrap();
        assert_eq!(trial.both(&one, &other).unwrap(), ["a.txt"], "its commits are still there");
        let nowhere = CommitId::from("1".repeat(base.as_str().len()));
        assert!(trial.both(&one, &nowhere).is_err());
        assert_eq!(trial.onto_base(&one).unwrap(), [""; 0], "and it goes on");
    });
}

/// The short way to the paths that differ says what the long one says.
#[test]
fn what_differs_is_what_a_comparison_says() {
    each(|lab| {
        let base = lab.head("main");
        write(&lab.main, "deep/er/one.txt", "1\n");
        write(&lab.main, "deep/er/two.txt", "2\n");
        fs::remove_file(lab.main.join("dir/c.txt")).unwrap();
        fs::remove_dir(lab.main.join("dir")).unwrap();
        write(&lab.main, "dir", "a file now\n");
        fs::remove_file(lab.main.join("b.txt")).unwrap();
        write(&lab.main, "b.txt/inside.txt", "a folder now\n");
        fs::set_permissions(lab.main.join("a.txt"), fs::Permissions::from_mode(0o755)).unwrap();
        git(&lab.main, &["add", "-A"]);
        git(&lab.main, &["commit", "-qm", "all of it"]);
        let (from, to) = (lab.repo.tree_of(&base).unwrap(), lab.repo.tree_of(&lab.head("main")).unwrap());
        for (from, to) in [(&from, &to), (&to, &from), (&to, &to)] {
            let mut found = lab.repo.backend.differing(from, to).unwrap();
            let changes = lab.repo.backend.diff(from, to, false).unwrap();
            let mut expected: Vec<PathBuf> = changes.into_iter().map(|change| change.path).collect();
            found.sort();
            expected.sort();
            expected.dedup();
            assert_eq!(found, expected, "{:?}", lab.kind);
        }
    });
}
