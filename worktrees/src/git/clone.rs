//! The private clone of an agent that may not change the repository: a git directory of its own beside the run, which
//! borrows the repository's objects and only reads them. While an agent has it, its worktree's `.git` leads there; to us
//! the worktree is the linked one that it always was, and whatever the agent makes of its `.git` we do not follow.
//!
//! What it committed is taken back when it has ended. Nothing runs in the clone for that and none of its settings is read:
//! its references and objects are files, read as [`beneath`] reads them, put into a repository of our own making, and
//! fetched from there, with every object checked. Files that are not committed are none of this module's business.

mod foreign;
mod make;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use foreign::{REF_BYTES_MAX, Trouble};
use pipeline_lib::ids::CommitId;

use super::backend::{Checkout, Head, RefChange};
use super::process::Git;
use super::{GitError, Repo, layout};
use crate::beneath;

/// In the common directory, a file for each worktree whose agent has a clone: where that is, and what it began with.
const LENT: &str = "pipeline-clones";
/// In a clone: the main checkout of the repository that it is of.
const CLONE_OF: &str = "pipeline-clone-of";
/// In the folder of a clone: its git directory, all that its agent can write there.
const GIT: &str = "git";
/// Where git-lfs keeps files that are no objects.
const LARGE_FILES: &str = "lfs/objects";
/// New commits beyond the branch's and HEAD's are kept from so many references.
const KEPT_MAX: usize = 64;
/// What is said of more than so many is only how many they are.
const SAID_MAX: usize = 5;
/// The largest part of a clone takes so long to be checked.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);
/// What is the machine's fault rather than the clone's, as the system says it.
const OF_THE_MACHINE: [&str; 7] = [
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Cannot allocate memory",
    "Read-only file system",
    "Permission denied",
    "Too many open files",
];

/// What came back with a clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Where work is that is not on the branch.
    pub notes: Vec<String>,
    /// Why nothing of the clone was taken, or not all: it stays where it is.
    pub refused: Option<String>,
}

/// What is known of a clone that an agent has.
#[derive(Debug, PartialEq, Eq)]
struct Lent {
    folder: PathBuf,
    /// The full reference that was checked out.
    reference: String,
    commit: CommitId,
}

impl Lent {
    fn git(&self) -> PathBuf {
        self.folder.join(GIT)
    }
}

impl Repo {
    /// The private part of git that belongs to a worktree, as the repository has it; the worktree's own `.git` could say
    /// anything.
    ///
    /// # Errors
    /// When the repository does not know the worktree.
    pub fn private_dir(&self, worktree: &Path) -> Result<PathBuf, GitError> {
        let path = layout::absolute(worktree)?;
        let found = layout::find_entry(&self.common, &path)?;
        let unknown = || GitError::NotAWorktree { path, problem: "the repository does not know it".to_owned() };
        Ok(found.ok_or_else(unknown)?.admin)
    }

    /// Whether an agent has a private clone in a worktree, and has not given it back.
    pub(super) fn is_lent(&self, checkout: &Checkout) -> bool {
        checkout.admin != self.common && self.record_of(checkout).symlink_metadata().is_ok()
    }

    pub(super) fn record_of(&self, checkout: &Checkout) -> PathBuf {
        self.common.join(LENT).join(checkout.admin.file_name().unwrap_or_default())
    }

    fn lent(&self, checkout: &Checkout) -> Result<Option<Lent>, GitError> {
        let file = self.record_of(checkout);
        let Some(text) = layout::read_optional(&file)? else { return Ok(None) };
        let mut lines = text.lines().map(str::to_owned);
        let (Some(commit), Some(reference), Some(folder)) = (lines.next(), lines.next(), lines.next()) else {
            let source = std::io::Error::other("it does not say what it should; move it away");
            return Err(GitError::Io { attempt: "read", path: file, source });
        };
        Ok(Some(Lent { folder: PathBuf::from(folder), reference, commit: CommitId::from(commit) }))
    }

    /// Gives whoever works in a worktree a private clone in `folder`, which begins with what the worktree has checked out,
    /// and leads its `.git` there. Gives the clone's git directory. Repeated for the same folder it changes nothing: the
    /// agent may be at work already.
    ///
    /// # Errors
    /// When the worktree has another clone, is on no branch, or the repository cannot be borrowed from.
    pub fn lend_clone(&self, worktree: &Path, folder: &Path) -> Result<PathBuf, GitError> {
        let checkout = self.checkout(worktree)?;
        let not = |problem: &str| GitError::NotAWorktree { path: checkout.path.clone(), problem: problem.to_owned() };
        let lent = match self.lent(&checkout)? {
            Some(lent) if lent.folder == folder && lent.git().is_dir() => lent,
            Some(_) => return Err(not("another run has its private clone there")),
            None => {
                let head = self.backend.head(&checkout)?;
                let (Some(reference), Some(commit)) = (head.reference, head.commit) else {
                    return Err(not("a private clone begins with a branch"));
                };
                let lent = Lent { folder: folder.to_owned(), reference, commit };
                self.make_clone(&checkout, &lent)?;
                let text = format!("{}\n{}\n{}\n", lent.commit, lent.reference, lent.folder.display());
                let records = self.common.join(LENT);
                fs::create_dir_all(&records).map_err(GitError::io("create", &records))?;
                layout::replace(&self.record_of(&checkout), text.as_bytes())?;
                lent
            }
        };
        // Only what leads to us is replaced; what the agent made of it since is its own.
        let ours = beneath::read(&checkout.path, Path::new(".git"), REF_BYTES_MAX);
        let ours = ours.is_ok_and(|text| {
            super::checkout::leads_to(&checkout.path, &String::from_utf8_lossy(&text), &checkout.admin)
        });
        if ours {
            layout::exchange(&checkout, &pointer_to(&lent.git()))?;
        }
        Ok(lent.git())
    }

    /// Takes back what was committed in the private clone of a worktree, if there is one: the branch that it began with
    /// goes where it is in the clone, HEAD as well, and other new commits are kept under rescues. Files stay as they are.
    /// Nobody may work in it any more. Repeated, it does the same again, until [`Repo::end_clone`].
    ///
    /// # Errors
    /// When the repository cannot be read or written. What is wrong with the clone itself is in the answer.
    pub fn take_clone(&self, worktree: &Path) -> Result<Option<Taken>, GitError> {
        let path = layout::absolute(worktree)?;
        let Some(checkout) = layout::find_entry(&self.common, &path)? else { return Ok(None) };
        let Some(lent) = self.lent(&checkout)? else { return Ok(None) };
        let found = beneath::read(&path, Path::new(".git"), REF_BYTES_MAX);
        if found.is_ok_and(|found| found == pointer_to(&lent.git())) {
            layout::exchange(&checkout, &pointer_to(&checkout.admin))?;
        }
        let mut taken = Taken::default();
        match self.take(&checkout, &lent, &mut taken.notes) {
            Ok(()) => {}
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Refused(why)) => {
                let at = lent.folder.display();
                taken.refused = Some(format!("its private clone was not taken as it is, and is kept at {at}: {why}"));
            }
        }
        Ok(Some(taken))
    }

    /// Ends that a worktree has a private clone. It goes once all of it was taken; one that was refused stays as evidence.
    ///
    /// # Errors
    /// When the record of it cannot be removed.
    pub fn end_clone(&self, worktree: &Path, taken: &Taken) -> Result<(), GitError> {
        let path = layout::absolute(worktree)?;
        let Some(checkout) = layout::find_entry(&self.common, &path)? else { return Ok(()) };
        let Some(lent) = self.lent(&checkout)? else { return Ok(()) };
        layout::remove(&self.record_of(&checkout))?;
        if taken.refused.is_none()
            && let Err(error) = fs::remove_dir_all(&lent.folder)
        {
            // An agent may have made it so; it goes with its run.
            tracing::warn!(folder = %lent.folder.display(), %error, "a private clone that was taken back stays");
        }
        Ok(())
    }

    /// Whether the private clone in a worktree is another one than that in `folder`: nobody took it back.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn has_other_clone(&self, worktree: &Path, folder: &Path) -> Result<bool, GitError> {
        let path = layout::absolute(worktree)?;
        let Some(checkout) = layout::find_entry(&self.common, &path)? else { return Ok(false) };
        Ok(self.lent(&checkout)?.is_some_and(|lent| lent.folder != folder))
    }

    fn take(&self, checkout: &Checkout, lent: &Lent, notes: &mut Vec<String>) -> Result<(), Trouble> {
        let refs = foreign::read_refs(&lent.git())?;
        let now = self.backend.read_ref(&lent.reference)?;
        let head = match &refs.head {
            Some(Ok(name)) => refs.all.get(name),
            Some(Err(id)) => Some(id),
            None => None,
        };
        let of_branch = refs.all.get(&lent.reference);
        let missing = self.missing(refs.all.values().chain(head))?;
        let mut wanted: Vec<&String> = of_branch.into_iter().chain(head).filter(|id| missing.contains(*id)).collect();
        let beside = |(name, id): &(&String, &String)| **name != lent.reference && missing.contains(*id);
        let others: Vec<(&String, &String)> = refs.all.iter().filter(beside).collect();
        wanted.extend(others.iter().take(KEPT_MAX).map(|(_, id)| *id));
        wanted.sort();
        wanted.dedup();
        if !wanted.is_empty() {
            self.fetch(lent, &wanted)?;
        }
        match of_branch {
            Some(id) => self.move_branch(lent, now, self.commit_in_clone(id)?, notes)?,
            None => {
                notes.push(format!("(its clone has no {} any more; the branch stays where it was)", lent.reference))
            }
        }
        let is_there = checkout.path.is_dir();
        if let Some(id) = head.filter(|_| refs.head != Some(Ok(lent.reference.clone()))) {
            let commit = self.commit_in_clone(id)?;
            if is_there {
                self.backend.set_head(checkout, &self.backend.head(checkout)?, &Head::detached(&commit))?;
            }
            notes.extend(self.keep_strange(&commit)?);
        }
        let mut kept = Vec::new();
        for (_, id) in others.iter().take(KEPT_MAX) {
            // What is no commit is nobody's work.
            if let Some(commit) = self.backend.resolve(id)? {
                kept.extend(self.keep_strange(&commit)?);
            }
        }
        let more = kept.len().saturating_sub(SAID_MAX);
        kept.truncate(SAID_MAX);
        notes.extend(kept);
        notes.extend((more > 0).then(|| format!("(and {more} more)")));
        if is_there {
            self.read_index(checkout)?;
        }
        if let Some(more @ 1..) = others.len().checked_sub(KEPT_MAX) {
            return Err(Trouble::Refused(format!("its branch was, but {more} more references were not")));
        }
        match beneath::list(&lent.git(), Path::new(LARGE_FILES)) {
            Ok(found) if !found.is_empty() => {
                Err(Trouble::Refused("its branch was, but files of git-lfs were not".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn commit_in_clone(&self, id: &str) -> Result<CommitId, Trouble> {
        self.backend.resolve(id)?.ok_or_else(|| Trouble::Refused(format!("{id} is not a commit")))
    }

    /// Moves the branch to where it is in the clone. One that was moved here meanwhile is left, and the work kept.
    fn move_branch(
        &self,
        lent: &Lent,
        now: Option<CommitId>,
        to: CommitId,
        notes: &mut Vec<String>,
    ) -> Result<(), GitError> {
        let is_as_lent = now.as_ref() == Some(&lent.commit);
        let (forward, known) = match &now {
            Some(now) => (self.is_ancestor(now, &to)?, self.is_ancestor(&to, now)?),
            None => (true, false),
        };
        if known && !(is_as_lent && to != lent.commit) {
            return Ok(());
        }
        if !is_as_lent && !forward {
            let kept = self.keep(&format!("clone-{}", to.short()), &to, "work of a private clone")?;
            notes.push(format!("({} was moved while it worked, so its work is kept at {kept})", lent.reference));
            return Ok(());
        }
        let change =
            RefChange { name: &lent.reference, old: now.as_ref(), new: Some(&to), reason: "pipeline: work of a run" };
        if !self.backend.change_ref(&change)? {
            return Err(GitError::Moved { reference: lent.reference.clone() });
        }
        if let Some(now) = now.filter(|_| !forward) {
            self.keep_if_unreachable(&now)?;
        }
        Ok(())
    }

    fn keep_strange(&self, commit: &CommitId) -> Result<Option<String>, GitError> {
        let kept = self.keep_if_unreachable(commit)?;
        Ok(kept.map(|kept| format!("(work beside the branch is kept at {kept}; see `pipeline trash list`)")))
    }

    /// Brings the index to what HEAD is at now, as `git reset` does. No file changes.
    fn read_index(&self, checkout: &Checkout) -> Result<(), GitError> {
        let git = Git::new(&checkout.path)
            .env("GIT_DIR", &checkout.admin)
            .env("GIT_COMMON_DIR", &self.common)
            .env("GIT_WORK_TREE", &checkout.path);
        git.args(["read-tree", "--reset", "HEAD"]).timeout(TIMEOUT).run().map(drop)
    }

    fn on_common(&self) -> Git {
        Git::new(&self.common).env("GIT_DIR", &self.common).env("GIT_COMMON_DIR", &self.common).timeout(TIMEOUT)
    }

    /// The objects that the repository does not have.
    fn missing<'a>(&self, ids: impl Iterator<Item = &'a String>) -> Result<BTreeSet<String>, GitError> {
        let ids: BTreeSet<&String> = ids.collect();
        let input: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let output =
            self.on_common().args(["cat-file", "--batch-check=%(objectname)"]).input(input.into_bytes()).run()?;
        let output = String::from_utf8_lossy(&output).into_owned();
        Ok(output.lines().filter_map(|line| line.strip_suffix(" missing")).map(str::to_owned).collect())
    }

    /// Fetches objects from a clone by way of a repository that holds its objects and nothing else of it.
    fn fetch(&self, lent: &Lent, wanted: &[&String]) -> Result<(), Trouble> {
        // Beside the clone, so that what a process leaves that is killed goes with that.
        let between = tempfile::Builder::new().prefix("between-").tempdir_in(&lent.folder);
        let between = between.map_err(GitError::io("create a directory in", &lent.folder))?;
        let at = between.path();
        for folder in ["objects/info", "objects/pack", "refs"] {
            fs::create_dir_all(at.join(folder)).map_err(GitError::io("create", at))?;
        }
        let put = |name: &str, content: &[u8]| {
            fs::write(at.join(name), content).map_err(GitError::io("write", &at.join(name)))
        };
        put("HEAD", b"ref: refs/heads/none\n")?;
        put("objects/info/alternates", &self.alternates()?)?;
        let sha256 = wanted.first().is_some_and(|id| id.len() == 64);
        let format = if sha256 { "version = 1\n[extensions]\n\tobjectformat = sha256\n" } else { "version = 0\n" };
        put("config", format!("[core]\n\tbare = true\n\trepositoryformat{format}").as_bytes())?;
        let shallow = self.common.join("shallow");
        if shallow.is_file() {
            fs::copy(&shallow, at.join("shallow")).map_err(GitError::io("copy", &shallow))?;
        }
        let named = |nth: usize| format!("refs/taken/{nth}");
        let refs: String = wanted.iter().enumerate().map(|(nth, id)| format!("{id} {}\n", named(nth))).collect();
        put("packed-refs", refs.as_bytes())?;
        for pack in foreign::copy_objects(&lent.git(), &at.join("objects"))? {
            // Its own index could say anything.
            let git = Git::new(at).env("GIT_DIR", at).timeout(TIMEOUT);
            judged(git.arg("index-pack").arg(&pack))?;
        }
        // From there and from nowhere else, whatever the user's settings make of a path.
        let git = self.on_common().env("GIT_ALLOW_PROTOCOL", "file");
        let git = git.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]);
        let git = git.args(["--no-auto-maintenance", "--no-recurse-submodules", "--refmap=", "--"]).arg(at);
        judged(git.args((0..wanted.len()).map(named)))
    }
}

/// Where a repository is that a private clone is of, if that is what a git directory belongs to.
pub(super) fn is_of(common: &Path) -> Option<PathBuf> {
    let text = beneath::read(common, Path::new(CLONE_OF), REF_BYTES_MAX).ok()?;
    Some(PathBuf::from(String::from_utf8_lossy(&text).trim_end().to_owned()))
}

fn pointer_to(git: &Path) -> Vec<u8> {
    let mut content = b"gitdir: ".to_vec();
    content.extend_from_slice(git.as_os_str().as_encoded_bytes());
    content.push(b'\n');
    content
}

/// Runs a command that fails where the clone is not sound.
fn judged(git: Git) -> Result<(), Trouble> {
    match git.output()? {
        output if output.code == 0 => Ok(()),
        output => {
            let complaint = output.complaint();
            let of_the_machine = OF_THE_MACHINE.iter().any(|words| complaint.contains(words)) || output.code == 255;
            let error = output.error();
            if of_the_machine { Err(Trouble::Failed(error)) } else { Err(Trouble::Refused(error.to_string())) }
        }
    }
}
