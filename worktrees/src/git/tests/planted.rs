//! Everything that an agent can plant so that git runs a program for whoever uses its worktree: none of it runs for us. The
//! control is plain git, which does run it.

use super::*;

/// One thing to plant. The program makes a file, the canary.
struct Vector {
    name: &'static str,
    plant: fn(&Lab, &Path, &str),
    /// What makes plain git run it in the worktree; nothing where git has no such use in one command.
    control: &'static [&'static str],
    /// Whether we refuse to go on instead.
    refused: bool,
}

fn set(lab: &Lab, key: &str, value: &str) {
    git(&lab.main, &["config", key, value]);
}

fn attributes(tree: &Path, text: &str) {
    write(tree, ".gitattributes", text);
}

/// A repository of somebody else's beside ours, whose settings run a program.
fn other_repository(lab: &Lab, program: &str) -> PathBuf {
    let other = lab.path("other");
    fs::create_dir_all(&other).unwrap();
    git(&other, &["init", "-q"]);
    git(&other, &["config", "core.fsmonitor", program]);
    other
}

fn admin_of(tree: &Path) -> PathBuf {
    let pointer = fs::read_to_string(tree.join(".git")).unwrap();
    PathBuf::from(pointer.strip_prefix("gitdir: ").unwrap().trim_end())
}

const VECTORS: [Vector; 17] = [
    Vector {
        name: "fsmonitor",
        plant: |lab, _, program| set(lab, "core.fsmonitor", program),
        control: &["status"],
        refused: false,
    },
    Vector {
        name: "filter clean",
        plant: |lab, tree, program| {
            set(lab, "filter.evil.clean", &format!("{program}; cat"));
            attributes(tree, "* filter=evil\n");
        },
        control: &["add", "-A"],
        refused: true,
    },
    Vector {
        name: "filter smudge",
        plant: |lab, tree, program| {
            set(lab, "filter.evil.smudge", &format!("{program}; cat"));
            attributes(tree, "* filter=evil\n");
            fs::remove_file(tree.join("b.txt")).unwrap();
        },
        control: &["checkout", "--", "b.txt"],
        refused: true,
    },
    Vector {
        name: "filter process",
        plant: |lab, tree, program| {
            set(lab, "filter.evil.process", program);
            attributes(tree, "* filter=evil\n");
        },
        control: &["add", "-A"],
        refused: true,
    },
    Vector {
        name: "merge driver",
        plant: |lab, tree, program| {
            set(lab, "merge.evil.driver", program);
            attributes(tree, "* merge=evil\n");
        },
        control: &[],
        refused: true,
    },
    Vector {
        name: "diff.external",
        plant: |lab, _, program| set(lab, "diff.external", program),
        control: &["diff"],
        refused: false,
    },
    Vector {
        name: "textconv",
        plant: |lab, tree, program| {
            set(lab, "diff.evil.textconv", &format!("{program}; cat"));
            attributes(tree, "* diff=evil\n");
        },
        control: &["diff"],
        refused: false,
    },
    Vector {
        name: "hooks",
        plant: |lab, _, program| {
            for hook in ["post-checkout", "pre-commit", "post-commit", "reference-transaction", "post-index-change"] {
                let file = lab.main.join(".git/hooks").join(hook);
                write(&lab.main, &format!(".git/hooks/{hook}"), &format!("#!/bin/sh\n{program}\n"));
                fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
            }
        },
        control: &["checkout", "-q", "--detach"],
        refused: false,
    },
    Vector {
        name: "hooks elsewhere",
        plant: |lab, tree, program| {
            write(tree, "hooks/post-checkout", &format!("#!/bin/sh\n{program}\n"));
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(tree.join("hooks/post-checkout"), mode).unwrap();
            set(lab, "core.hooksPath", &tree.join("hooks").to_string_lossy());
        },
        control: &["checkout", "-q", "--detach"],
        refused: false,
    },
    Vector {
        name: "pointer swap",
        plant: |lab, tree, program| {
            let other = other_repository(lab, program);
            fs::write(tree.join(".git"), format!("gitdir: {}\n", other.join(".git").display())).unwrap();
        },
        control: &["status"],
        refused: true,
    },
    Vector {
        name: "commondir swap",
        plant: |lab, tree, program| {
            let other = other_repository(lab, program);
            fs::write(admin_of(tree).join("commondir"), format!("{}\n", other.join(".git").display())).unwrap();
        },
        control: &["status"],
        refused: true,
    },
    Vector {
        name: "settings of a worktree",
        plant: |lab, tree, program| {
            set(lab, "extensions.worktreeConfig", "true");
            git(tree, &["config", "--worktree", "core.fsmonitor", program]);
        },
        control: &["status"],
        refused: true,
    },
    Vector {
        name: "nested repository",
        plant: |lab, tree, program| {
            let other = other_repository(lab, program);
            write(&other, "n.txt", "n\n");
            git(&other, &["-c", "core.fsmonitor=false", "add", "-A"]);
            let who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.fsmonitor=false"];
            git(&other, &[&who[..], &["commit", "-qm", "nested"]].concat());
            fs::rename(&other, tree.join("nested")).unwrap();
        },
        control: &["-C", "nested", "status"],
        refused: false,
    },
    Vector {
        name: "alias",
        plant: |lab, _, program| {
            for name in ["status", "rev-parse", "update-index", "evil"] {
                set(lab, &format!("alias.{name}"), &format!("!{program}"));
            }
        },
        control: &["evil"],
        refused: false,
    },
    Vector {
        name: "gpg.program",
        plant: |lab, _, program| {
            set(lab, "gpg.program", program);
            set(lab, "commit.gpgSign", "true");
            set(lab, "log.showSignature", "true");
        },
        control: &["commit", "-q", "--allow-empty", "-m", "signed"],
        refused: false,
    },
    Vector {
        name: "pager and editor",
        plant: |lab, _, program| {
            for key in ["core.pager", "core.editor", "core.askPass", "core.alternateRefsCommand"] {
                set(lab, key, program);
            }
        },
        control: &["-c", "core.editor=true", "var", "GIT_EDITOR"],
        refused: false,
    },
    Vector {
        name: "credentials and transport",
        plant: |lab, _, program| {
            set(lab, "credential.helper", &format!("!{program}"));
            set(lab, "core.sshCommand", program);
            set(lab, "remote.origin.url", &format!("ext::sh -c {program}"));
        },
        control: &["ls-remote", "ssh://127.0.0.1/x"],
        refused: false,
    },
];

/// Everything that the supervisor does with the worktree of a run that has ended, and with its branch.
fn use_it(lab: &Lab, tree: &Path, first: &CommitId) -> Vec<GitError> {
    let mut refused = Vec::new();
    // That there is uncommitted work is no refusal of what was planted.
    let mut note = |result: Result<(), GitError>| {
        refused.extend(result.err().filter(|error| !matches!(error, GitError::Dirty { .. })));
    };
    note(Repo::discover(&lab.main).map(drop));
    note(lab.repo.worktree_status(tree).map(drop));
    note(lab.repo.changed_since(tree, first).map(drop));
    note(lab.repo.rescue(tree, "kept", "kept").map(drop));
    note(lab.repo.commit_all(tree, "work", &[]).map(drop));
    note(lab.repo.let_go(tree));
    if let Ok(Some(head)) = lab.repo.branch_head("task") {
        note(lab.repo.changes(first, &head).map(drop));
        note(lab.repo.diff_text(first, &head, 1 << 20).map(drop));
        match lab.repo.merge_commit(first, &head, "merge", at(1)) {
            Ok(MergeOutcome::Commit(commit)) => note(lab.repo.advance_branch("main", first, &commit).map(drop)),
            Ok(_) => {}
            Err(error) => note(Err(error)),
        }
    }
    note(lab.repo.detach(tree, first));
    note(lab.repo.checkout_branch(tree, "task"));
    note(lab.repo.copy_included(tree).map(drop));
    note(lab.repo.ensure_worktree(&lab.path("trees/next"), first).map(drop));
    note(lab.repo.remove_worktree(&lab.path("trees/next")));
    refused
}

/// A program that makes the canary. Some settings are a command, and some the path of a program.
fn program(lab: &Lab, canary: &Path) -> String {
    let file = lab.path("evil.sh");
    fs::write(&file, format!("#!/bin/sh\ntouch '{}'\n", canary.display())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file.to_string_lossy().into_owned()
}

fn lab_with_work(kind: Kind) -> (Lab, PathBuf, CommitId) {
    let lab = Lab::new(kind);
    let first = lab.head("main");
    let tree = lab.path("trees/agent");
    lab.repo.ensure_branch("task", &first).unwrap();
    lab.repo.ensure_worktree(&tree, &first).unwrap();
    lab.repo.checkout_branch(&tree, "task").unwrap();
    write(&tree, "a.txt", "changed by an agent\n");
    write(&tree, "new.txt", "new\n");
    (lab, tree, first)
}

#[test]
fn nothing_that_an_agent_planted_runs_for_us() {
    for kind in [Kind::Library, Kind::Command] {
        for vector in &VECTORS {
            let (lab, tree, first) = lab_with_work(kind);
            let canary = lab.path("canary");
            (vector.plant)(&lab, &tree, &program(&lab, &canary));
            // What planting ran was its own.
            drop(fs::remove_file(&canary));
            let refused = use_it(&lab, &tree, &first);
            assert!(!canary.exists(), "{} ran with {kind:?}; refused: {refused:?}", vector.name);
            assert_eq!(vector.refused, !refused.is_empty(), "{} with {kind:?}: {refused:?}", vector.name);
        }
    }
}

#[test]
fn plain_git_runs_what_was_planted() {
    for vector in VECTORS.iter().filter(|vector| !["merge driver", "pager and editor"].contains(&vector.name)) {
        let (lab, tree, _) = lab_with_work(Kind::Library);
        let canary = lab.path("canary");
        (vector.plant)(&lab, &tree, &program(&lab, &canary));
        drop(fs::remove_file(&canary));
        // Whether it succeeds is of no interest.
        try_git(&tree, vector.control);
        assert!(canary.exists(), "{} does not run for anybody", vector.name);
    }
}

#[test]
fn a_filter_of_the_users_own_is_no_stranger() {
    let (lab, tree, _) = lab_with_work(Kind::Library);
    assert_eq!(lab.repo.mend(&tree, lab.folder.path()).unwrap(), [""; 0]);
    git(&lab.main, &["config", "filter.own.clean", ""]);
    lab.repo.worktree_status(&tree).unwrap();
}

#[test]
fn a_worktree_that_was_led_elsewhere_is_led_back() {
    for vector in
        VECTORS.iter().filter(|v| ["pointer swap", "commondir swap", "settings of a worktree"].contains(&v.name))
    {
        let (lab, tree, first) = lab_with_work(Kind::Library);
        let canary = lab.path("canary");
        (vector.plant)(&lab, &tree, &program(&lab, &canary));
        drop(fs::remove_file(&canary));
        let mended = lab.repo.mend(&tree, lab.folder.path()).unwrap();
        assert_eq!(mended.len(), 1, "{}: {mended:?}", vector.name);
        assert_eq!(use_it(&lab, &tree, &first).len(), 0, "{}", vector.name);
        assert!(!canary.exists());
        assert!(git(&lab.main, &["show", "task:new.txt"]).contains("new"), "its work is kept");
        let kept = fs::read_dir(lab.folder.path()).unwrap().flatten();
        assert!(kept.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("planted-")));
    }
}

#[test]
fn a_moved_branch_is_put_back_and_nothing_is_lost() {
    each(|lab| {
        let first = lab.head("main");
        let task = lab.branch("task", &[("a.txt", "x\n")]);
        let tree = lab.path("task");
        git(&tree, &["checkout", "-q", "--detach", "main"]);
        git(&tree, &["checkout", "-q", "task"]);
        git(&tree, &["update-ref", "refs/heads/main", "HEAD"]);
        let been = lab.repo.been_at(&tree, 0).unwrap();
        assert!(been.contains(&first) && been.contains(&task), "{:?}: {been:?}", lab.kind);
        assert!(lab.repo.been_at(&tree, i64::MAX).unwrap().is_empty());
        assert_eq!(lab.repo.put_back("main", Some(&task), &first, "moved-main").unwrap(), PutBack::Done);
        assert_eq!(lab.repo.branch_head("main").unwrap(), Some(first.clone()));
        assert_eq!(git(&lab.main, &["status", "--porcelain"]), "", "the checkout is as it was");
        assert!(lab.repo.rescues().unwrap().iter().any(|kept| kept.commit == task && kept.id == "moved-main"));
        // One that moved on is left; one that is gone comes back.
        assert_eq!(lab.repo.put_back("main", Some(&task), &first, "again").unwrap(), PutBack::Done);
        git(&lab.main, &["branch", "other", "main"]);
        git(&lab.main, &["branch", "-qD", "other"]);
        assert_eq!(lab.repo.put_back("other", None, &first, "gone").unwrap(), PutBack::Done);
        assert_eq!(lab.repo.branches().unwrap().get("other"), Some(&first));
    });
}
