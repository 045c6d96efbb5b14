//! What a task changes: its branch against the commit at which it left base, or, once it is merged, what was merged.
//! Compared again only when one of the two has moved.

use std::path::PathBuf;

use pipeline_lib::ids::{CommitId, TaskId};
use pipeline_lib::task::Merged;
use pipeline_lib::text;
use pipeline_lib::view::detail::task::Changes;
use pipeline_worktrees::git::{DiffLimits, GitError, Repo};

/// How much of a comparison is shown. A person who has to read more has other tools.
const LIMITS: DiffLimits = DiffLimits { files: 1_000, lines: 20_000, lines_of_file: 5_000 };
/// The longest explanation of a failure, in characters.
const FAILURE_CHARS_MAX: usize = 400;

/// What is to be compared.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) task: TaskId,
    pub(super) branch: String,
    pub(super) base: String,
    pub(super) merged: Option<Merged>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) task: TaskId,
    pub(super) changes: Changes,
}

/// What decides about a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ends {
    NoBranch,
    NothingMerged,
    Branch { base: CommitId, head: CommitId },
    Merge { onto: CommitId, commit: CommitId },
}

/// Compares on request. Says nothing where nothing has changed since the last answer.
pub(super) fn worker(root: PathBuf) -> impl FnMut(Ask, &mut dyn FnMut(Answer)) + Send + 'static {
    let mut known: Option<(TaskId, Result<Ends, String>)> = None;
    move |ask, answer| {
        let (repo, ends) = match look(&root, &ask) {
            Ok((repo, ends)) => (Some(repo), Ok(ends)),
            Err(error) => (None, Err(error.to_string())),
        };
        let now = Some((ask.task.clone(), ends.clone()));
        if now == known {
            return;
        }
        known = now;
        let mut say = |changes| answer(Answer { task: ask.task.clone(), changes });
        match (repo, ends) {
            (Some(repo), Ok(ends)) => {
                if matches!(ends, Ends::Branch { .. } | Ends::Merge { .. }) {
                    say(Changes::Underway);
                }
                say(compare(&repo, &ends).unwrap_or_else(|error| failed(&error.to_string())));
            }
            (_, ends) => say(failed(&ends.err().unwrap_or_default())),
        }
    }
}

fn failed(why: &str) -> Changes {
    Changes::Failed(text::one_line(&format!("failed to {why}"), FAILURE_CHARS_MAX))
}

fn look(root: &std::path::Path, ask: &Ask) -> Result<(Repo, Ends), GitError> {
    let repo = Repo::discover(root)?;
    let ends = match &ask.merged {
        Some(Merged { commit: Some(commit), onto, .. }) => Ends::Merge { onto: onto.clone(), commit: commit.clone() },
        Some(Merged { commit: None, .. }) => Ends::NothingMerged,
        None => match repo.branch_head(&ask.branch)? {
            Some(head) => {
                let base = repo.branch_head(&ask.base)?;
                let base = base.ok_or_else(|| GitError::NoSuchBranch { branch: ask.base.clone() })?;
                Ends::Branch { base, head }
            }
            None => Ends::NoBranch,
        },
    };
    Ok((repo, ends))
}

fn compare(repo: &Repo, ends: &Ends) -> Result<Changes, GitError> {
    let (from, to, merged) = match ends {
        Ends::NoBranch => return Ok(Changes::NoBranch),
        Ends::NothingMerged => return Ok(Changes::NothingMerged),
        Ends::Merge { onto, commit } => (onto.clone(), commit, true),
        // Of two histories without a common commit the whole of both is compared.
        Ends::Branch { base, head } => (repo.fork_point(base, head)?.unwrap_or_else(|| base.clone()), head, false),
    };
    let diff = std::sync::Arc::new(repo.diff(&from, to, LIMITS)?);
    Ok(Changes::Known { diff, merged, stale: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn git(dir: &Path, args: &[&str]) -> String {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgSign=false"];
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").args(identity);
        let output = command.current_dir(dir).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(dir: &Path, file: &str, content: &str) -> CommitId {
        std::fs::write(dir.join(file), content).unwrap();
        git(dir, &["add", "-A"]);
        git(dir, &["commit", "-q", "-m", file]);
        CommitId::from(git(dir, &["rev-parse", "HEAD"]))
    }

    fn ask(merged: Option<Merged>) -> Ask {
        let branch = "pipeline/TASK-001".to_owned();
        Ask { task: TaskId::new("TASK-001").unwrap(), branch, base: "main".to_owned(), merged }
    }

    /// What is answered, in words.
    fn told(work: &mut impl FnMut(Ask, &mut dyn FnMut(Answer)), ask: Ask) -> Vec<String> {
        let mut said = Vec::new();
        work(ask, &mut |answer| {
            said.push(match answer.changes {
                Changes::Known { diff, merged, .. } => {
                    let files: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
                    format!("{}{}", files.join(" "), if merged { " merged" } else { "" })
                }
                Changes::Failed(why) => why,
                other => format!("{other:?}"),
            });
        });
        said
    }

    #[test]
    fn a_branch_is_compared_where_it_left_base_and_again_only_when_something_moved() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        git(dir, &["init", "-q", "-b", "main"]);
        commit(dir, "a.txt", "a\n");
        let mut work = worker(dir.to_owned());
        assert_eq!(told(&mut work, ask(None)), ["NoBranch"]);
        assert_eq!(told(&mut work, ask(None)), [""; 0]);
        git(dir, &["checkout", "-q", "-b", "pipeline/TASK-001"]);
        assert_eq!(told(&mut work, ask(None)), ["Underway", ""], "nothing differs yet");
        commit(dir, "b.txt", "b\n");
        assert_eq!(told(&mut work, ask(None)), ["Underway", "b.txt"]);
        assert_eq!(told(&mut work, ask(None)), [""; 0]);
        git(dir, &["checkout", "-q", "main"]);
        let onto = commit(dir, "c.txt", "c\n");
        assert_eq!(told(&mut work, ask(None)), ["Underway", "b.txt"], "what base gained is not the task's");
        git(dir, &["merge", "-q", "--no-ff", "pipeline/TASK-001"]);
        let commit = CommitId::from(git(dir, &["rev-parse", "HEAD"]));
        let at = jiff::Timestamp::UNIX_EPOCH;
        let merged = Merged { commit: Some(commit), onto: onto.clone(), at };
        assert_eq!(told(&mut work, ask(Some(merged))), ["Underway", "b.txt merged"]);
        assert_eq!(told(&mut work, ask(Some(Merged { commit: None, onto, at }))), ["NothingMerged"]);
    }

    #[test]
    fn a_failure_is_said_once_and_goes_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut work = worker(dir.to_owned());
        let said = told(&mut work, ask(None));
        assert!(said.len() == 1 && said[0].starts_with("failed to find a git repository"), "{said:?}");
        assert_eq!(told(&mut work, ask(None)), [""; 0]);
        git(dir, &["init", "-q", "-b", "main"]);
        commit(dir, "a.txt", "a\n");
        assert_eq!(told(&mut work, ask(None)), ["NoBranch"]);
        let missing = Merged {
            commit: Some(CommitId::from("1".repeat(40))),
            onto: CommitId::from("2".repeat(40)),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let said = told(&mut work, ask(Some(missing)));
        assert!(said[1].starts_with("failed to read commit"), "{said:?}");
    }
}
