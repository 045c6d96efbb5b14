//! What a power cut leaves.

use super::*;

#[test]
fn an_index_that_a_power_cut_left_empty_is_made_anew() {
    each(|lab| {
        let path = lab.worktree("one");
        write(&path, "a.txt", "changed\n");
        write(&path, "new.txt", "new\n");
        let index = git(&path, &["rev-parse", "--git-path", "index"]);
        fs::write(path.join(index), "").unwrap();
        fs::write(lab.main.join(".git/index"), "").unwrap();
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
