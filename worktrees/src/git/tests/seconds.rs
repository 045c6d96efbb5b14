//! Updates of real worktrees, which no build may take for the commit before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

fn second(path: &Path) -> i64 {
    path.symlink_metadata().unwrap().mtime()
}

/// As though it had been written so many seconds from now, rounded down.
fn written_in(path: &Path, seconds: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(now + seconds)).unwrap();
    second(path)
}

fn commits(lab: &Lab, contents: &[&[(&str, &str)]]) -> Vec<CommitId> {
    let commit = |(at, files): (usize, &&[(&str, &str)])| lab.branch(&format!("c{at}"), files);
    contents.iter().enumerate().map(commit).collect()
}

#[test]
fn a_changed_file_is_always_of_a_later_second_and_never_of_an_earlier_one() {
    each(|lab| {
        let made = commits(&lab, &[&[("mod.py", "ok = 1\n")], &[("mod.py", "ok = 2\n")], &[("b.txt", "")]]);
        let path = lab.path("gate");
        lab.repo.ensure_worktree(&path, &made[0]).unwrap();
        let file = path.join("mod.py");
        for round in 0..6 {
            let before = written_in(&file, 5);
            let untouched = second(&path.join("a.txt"));
            lab.repo.detach(&path, &made[(round + 1) % 2]).unwrap();
            assert_eq!(read(&path, "mod.py"), format!("ok = {}\n", (round + 1) % 2 + 1));
            assert_eq!(second(&file), before + 1, "{:?}", lab.kind);
            assert_eq!(second(&path.join("a.txt")), untouched, "what did not change is not built again");
            assert_eq!(git(&path, &["status", "--porcelain"]), "", "{:?}", lab.kind);
        }
        // Taken away, and there again with something else.
        let before = written_in(&file, 20);
        lab.repo.detach(&path, &made[2]).unwrap();
        assert!(!file.exists());
        lab.repo.detach(&path, &made[1]).unwrap();
        assert_eq!(second(&file), before + 1, "{:?}", lab.kind);
        // A time that no clock can have meant moves that file and no other.
        let far = written_in(&file, 1_000_000);
        lab.repo.detach(&path, &made[2]).unwrap();
        lab.repo.detach(&path, &made[0]).unwrap();
        assert!(second(&file) < far);
        // What was written long ago is of the second it is written in.
        fs::File::options().write(true).open(&file).unwrap().set_modified(UNIX_EPOCH).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        lab.repo.detach(&path, &made[1]).unwrap();
        assert!(second(&file) >= i64::try_from(now).unwrap() - 1);
        assert_eq!(git(&path, &["status", "--porcelain"]), "");
    });
}

/// What Python has compiled stays, being ignored, and knows its source by length and second.
#[test]
fn python_runs_what_is_checked_out_and_not_what_it_compiled_before() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let lab = Lab::new(Kind::Library);
    write(&lab.main, ".gitignore", "__pycache__/\n");
    git(&lab.main, &["commit", "-qam", "ignore what is compiled"]);
    let made = commits(&lab, &[&[("mod.py", "ok = 1\n")], &[("mod.py", "ok = 2\n")]]);
    let path = lab.path("gate");
    lab.repo.ensure_worktree(&path, &made[0]).unwrap();
    // Some of these follow each other within a second, however slow the machine is.
    for round in 0..8 {
        lab.repo.detach(&path, &made[round % 2]).unwrap();
        let mut python = std::process::Command::new("python3");
        python.args(["-c", "import mod; print(mod.ok)"]).current_dir(&path).env_remove("PYTHONDONTWRITEBYTECODE");
        let said = String::from_utf8(python.output().unwrap().stdout).unwrap();
        assert_eq!(said.trim(), (round % 2 + 1).to_string(), "round {round}");
        assert!(path.join("__pycache__").is_dir(), "it is compiled");
    }
}
