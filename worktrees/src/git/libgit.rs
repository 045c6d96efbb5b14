//! Git through libgit2, in this process: the fast backend, used wherever libgit2 understands the repository. No policy is
//! decided here.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{CheckoutNotificationType, ErrorCode, Oid};
use jiff::Timestamp;
use pipeline_lib::diff::Diff;
use pipeline_lib::ids::CommitId;

use super::backend::{
    Backend, Checkout, CommitInfo, Differences, Entry, Head, Merged, NewCommit, RefChange, Switch, TreeChange,
    file_mode, path, text,
};
use super::handles::LibGit;
use super::{DiffLimits, GitError, WorktreeInfo, diff, graph, head, layout, populate, trial};

impl LibGit {
    fn commit(&self, id: &CommitId) -> Result<git2::Commit<'_>, GitError> {
        self.repo.find_commit(oid(id.as_str())?).map_err(GitError::lib(format!("read commit {id}")))
    }

    fn tree_diff(&self, from: &str, to: &str) -> Result<git2::Diff<'_>, git2::Error> {
        let from = self.repo.find_tree(Oid::from_str(from)?)?;
        let to = self.repo.find_tree(Oid::from_str(to)?)?;
        let mut options = git2::DiffOptions::new();
        options.include_typechange(true).indent_heuristic(true);
        self.repo.diff_tree_to_tree(Some(&from), Some(&to), Some(&mut options))
    }
}

fn oid(id: &str) -> Result<Oid, GitError> {
    Oid::from_str(id).map_err(GitError::lib(format!("understand the object name `{id}`")))
}

pub(super) fn id(oid: Oid) -> CommitId {
    CommitId::from(oid.to_string())
}

fn absent<T>(result: Result<T, git2::Error>) -> Result<Option<T>, git2::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::UnbornBranch) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Backend for LibGit {
    fn name(&self) -> &'static str {
        "libgit2"
    }

    fn aside(&self) -> Result<Box<dyn Backend>, GitError> {
        Ok(Box::new(Self::new(trial::in_memory(&self.common)?, self.common.clone())))
    }

    fn resolve(&self, rev: &str) -> Result<Option<CommitId>, GitError> {
        let found = match self.repo.revparse_single(rev).and_then(|object| object.peel_to_commit()) {
            Err(error) if matches!(error.code(), ErrorCode::InvalidSpec | ErrorCode::Peel) => Ok(None),
            other => absent(other),
        };
        Ok(found.map_err(GitError::lib(format!("resolve `{rev}`")))?.map(|commit| id(commit.id())))
    }

    fn read_ref(&self, full: &str) -> Result<Option<CommitId>, GitError> {
        if let Some(found) = self.read_plain_ref(full) {
            return Ok(found);
        }
        let found = absent(self.repo.find_reference(full).and_then(|reference| reference.peel_to_commit()));
        Ok(found.map_err(GitError::lib(format!("read {full}")))?.map(|commit| id(commit.id())))
    }

    fn change_ref(&self, change: &RefChange<'_>) -> Result<bool, GitError> {
        let &RefChange { name, old, new, reason } = change;
        if let (None, Some(new)) = (old, new) {
            // What it names has to be there, which the library asks too.
            let at = self.commit(new)?.id();
            if let Some(made) = head::make_branch(&self.common, name, at)? {
                return Ok(made);
            }
        }
        let result = match (old, new) {
            (None, Some(new)) => self.repo.reference(name, oid(new.as_str())?, false, reason).map(drop),
            (Some(old), Some(new)) => {
                self.repo.reference_matching(name, oid(new.as_str())?, true, oid(old.as_str())?, reason).map(drop)
            }
            (Some(old), None) => {
                let found = absent(self.repo.find_reference(name)).map_err(GitError::lib(format!("read {name}")))?;
                let expected = oid(old.as_str())?;
                match found.filter(|reference| reference.target() == Some(expected)) {
                    Some(mut reference) => reference.delete(),
                    None => return Ok(false),
                }
            }
            (None, None) => return Ok(self.read_ref(name)?.is_none()),
        };
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.code() == ErrorCode::Modified => Ok(false),
            // A name in the way is also reported as "exists"; only the reference itself means that it was not as expected.
            Err(error)
                if matches!(error.code(), ErrorCode::Exists | ErrorCode::NotFound)
                    && self.read_ref(name)? != old.cloned() =>
            {
                Ok(false)
            }
            Err(error) => Err(GitError::lib(format!("write {name}"))(error)),
        }
    }

    fn list_refs(&self, prefix: &str) -> Result<Vec<(String, CommitId)>, GitError> {
        let read = || {
            let mut found = Vec::new();
            for reference in self.repo.references_glob(&format!("{prefix}*"))? {
                let reference = reference?;
                let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
                // A tag of a tree, for instance, has no commit and cannot be of interest.
                if let Ok(commit) = reference.peel_to_commit() {
                    found.push((name, id(commit.id())));
                }
            }
            found.sort();
            Ok(found)
        };
        read().map_err(GitError::lib(format!("list {prefix}")))
    }

    fn symbolic(&self, full: &str) -> Result<Option<String>, GitError> {
        let found = absent(self.repo.find_reference(full)).map_err(GitError::lib(format!("read {full}")))?;
        Ok(found.and_then(|reference| {
            reference.symbolic_target_bytes().map(|name| String::from_utf8_lossy(name).into_owned())
        }))
    }

    fn commit_info(&self, id_: &CommitId) -> Result<CommitInfo, GitError> {
        let commit = self.commit(id_)?;
        Ok(CommitInfo {
            tree: commit.tree_id().to_string(),
            parents: commit.parent_ids().map(id).collect(),
            message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
            seconds: commit.time().seconds(),
        })
    }

    fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError> {
        graph::is_ancestor(&self.repo, ancestor, of).map_err(GitError::lib(format!("compare {ancestor} with {of}")))
    }

    fn is_in_any(&self, ancestor: &CommitId, of: &[CommitId]) -> Result<bool, GitError> {
        let attempt = format!("look for {ancestor} in {} references", of.len());
        graph::is_in_any(&self.repo, ancestor, of).map_err(GitError::lib(attempt))
    }

    fn count_between(&self, from: &CommitId, to: &CommitId) -> Result<usize, GitError> {
        graph::count_between(&self.repo, from, to).map_err(GitError::lib(format!("count commits from {from} to {to}")))
    }

    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, GitError> {
        let base = absent(graph::merge_base(&self.repo, a, b));
        Ok(base.map_err(GitError::lib(format!("find the merge base of {a} and {b}")))?.map(id))
    }

    fn merge(&self, ancestor: Option<&CommitId>, ours: &CommitId, theirs: &CommitId) -> Result<Merged, GitError> {
        let attempt = || format!("merge {theirs} into {ours}");
        let (our, their) = (self.commit(ours)?, self.commit(theirs)?);
        let mut index = match ancestor {
            None => self.repo.merge_commits(&our, &their, None).map_err(GitError::lib(attempt()))?,
            Some(ancestor) => {
                let base = self.commit(ancestor)?;
                let merge = || self.repo.merge_trees(&base.tree()?, &our.tree()?, &their.tree()?, None);
                merge().map_err(GitError::lib(attempt()))?
            }
        };
        if !index.has_conflicts() {
            let tree = index.write_tree_to(&self.repo).map_err(GitError::lib(attempt()))?;
            return Ok(Merged::Tree(tree.to_string()));
        }
        let mut files = Vec::new();
        for conflict in index.conflicts().map_err(GitError::lib(attempt()))? {
            let conflict = conflict.map_err(GitError::lib(attempt()))?;
            files
                .extend([conflict.our, conflict.their, conflict.ancestor].into_iter().flatten().map(|e| path(&e.path)));
        }
        files.sort();
        files.dedup();
        Ok(Merged::Conflict(files))
    }

    fn write_commit(&self, commit: &NewCommit<'_>) -> Result<CommitId, GitError> {
        let write = || {
            let time = git2::Time::new(commit.when.as_second(), 0);
            let signature = git2::Signature::new(commit.name, commit.email, &time)?;
            let tree = self.repo.find_tree(Oid::from_str(commit.tree)?)?;
            let parents = commit.parents.iter().map(|parent| self.repo.find_commit(Oid::from_str(parent.as_str())?));
            let parents = parents.collect::<Result<Vec<_>, git2::Error>>()?;
            let parents = parents.iter().collect::<Vec<_>>();
            self.repo.commit(None, &signature, &signature, commit.message, &tree, &parents)
        };
        Ok(id(write().map_err(GitError::lib("write a commit"))?))
    }

    fn config(&self, key: &str) -> Result<Option<String>, GitError> {
        let value =
            self.repo.config().and_then(|mut config| config.snapshot()).and_then(|config| config.get_string(key));
        absent(value).map_err(GitError::lib(format!("read {key} from the configuration")))
    }

    fn diff(&self, from: &str, to: &str, count_lines: bool) -> Result<Vec<TreeChange>, GitError> {
        let read = || {
            let diff = self.tree_diff(from, to)?;
            let mut changes = Vec::new();
            for (index, delta) in diff.deltas().enumerate() {
                let entry = |file: git2::DiffFile<'_>| {
                    let mode = u32::from(file.mode());
                    (mode != 0).then(|| Entry { mode, id: file.id().to_string() })
                };
                let (old, new) = match delta.status() {
                    git2::Delta::Added => (None, entry(delta.new_file())),
                    git2::Delta::Deleted => (entry(delta.old_file()), None),
                    _ => (entry(delta.old_file()), entry(delta.new_file())),
                };
                let (mut added, mut removed) = (0, 0);
                if count_lines && let Some(patch) = git2::Patch::from_diff(&diff, index)? {
                    (_, added, removed) = patch.line_stats()?;
                }
                let name = delta.new_file().path_bytes().or(delta.old_file().path_bytes()).unwrap_or_default();
                changes.push(TreeChange { path: path(name), old, new, added, removed });
            }
            Ok(changes)
        };
        read().map_err(GitError::lib(format!("compare the trees {from} and {to}")))
    }

    fn differing(&self, from: &str, to: &str) -> Result<Vec<PathBuf>, GitError> {
        trial::differing(&self.repo, from, to).map_err(GitError::lib(format!("compare the trees {from} and {to}")))
    }

    fn diff_text(&self, from: &str, to: &str, max_bytes: usize) -> Result<Vec<u8>, GitError> {
        let attempt = format!("compare the trees {from} and {to}");
        let diff = self.tree_diff(from, to).map_err(GitError::lib(&attempt))?;
        let mut out = Vec::new();
        let printed = diff.print(git2::DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                out.push(u8::try_from(line.origin()).unwrap_or(b' '));
            }
            out.extend_from_slice(line.content());
            out.len() <= max_bytes
        });
        match printed {
            // The callback stops the printing when there is enough.
            Err(error) if error.code() != ErrorCode::User => return Err(GitError::lib(attempt)(error)),
            _ => out.truncate(max_bytes),
        }
        Ok(out)
    }

    fn diff_lines(&self, from: &str, to: &str, limits: DiffLimits) -> Result<Diff, GitError> {
        diff::by_library(&self.repo, from, to, limits)
    }

    fn worktrees(&self) -> Result<Vec<WorktreeInfo>, GitError> {
        // The library looks at each entry several times over, and this is asked for before every checkout.
        let mut found = Vec::new();
        for admin in layout::entries(&self.common)? {
            let Some(Checkout { path, admin }) = layout::read_entry(admin)? else { continue };
            let head = layout::read_head(&admin)?;
            let commit = match &head.reference {
                Some(reference) => self.read_ref(reference)?,
                None => head.commit,
            };
            found.push(WorktreeInfo {
                branch: head.reference.as_deref().and_then(layout::branch_name),
                head: commit,
                locked: admin.join("locked").exists(),
                prunable: !path.exists(),
                path,
            });
        }
        Ok(found)
    }

    fn add_worktree(&self, path: &Path, name: &str, at: &CommitId, reason: &str) -> Result<(), GitError> {
        // The library can add a worktree only for a branch that nobody has checked out, and would have to be given one
        // that is removed again afterwards. Three small files in the layout git documents need no such branch.
        layout::write_entry(&self.common, path, name, at, reason)?;
        let found = self.repo.find_worktree(name);
        found.map(drop).map_err(GitError::lib(format!("record the worktree {}", path.display())))
    }

    fn populate(&self, checkout: &Checkout) -> Result<(), GitError> {
        let repo = self.open(checkout)?;
        if populate::fill(&repo, &checkout.path) {
            return Ok(());
        }
        let mut options = CheckoutBuilder::new();
        options.force().recreate_missing(true);
        let attempt = format!("write the files of {}", checkout.path.display());
        repo.checkout_head(Some(&mut options)).map_err(GitError::lib(attempt))
    }

    fn forget_worktree(&self, checkout: &Checkout) -> Result<(), GitError> {
        self.kept.borrow_mut().clear();
        let name = checkout.admin.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let forget = || self.repo.find_worktree(name)?.prune(None);
        forget().map_err(GitError::lib(format!("forget the worktree {}", checkout.path.display())))
    }

    fn remove_worktree(&self, checkout: &Checkout) -> Result<(), GitError> {
        self.kept.borrow_mut().clear();
        let name = checkout.admin.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut options = git2::WorktreePruneOptions::new();
        options.valid(true).working_tree(true);
        let removed = self.repo.find_worktree(name).and_then(|worktree| worktree.prune(Some(&mut options)));
        removed.map_err(GitError::lib(format!("remove the worktree {}", checkout.path.display())))
    }

    fn head(&self, checkout: &Checkout) -> Result<Head, GitError> {
        let head = self.read_head(&checkout.admin)?;
        let commit = match &head.reference {
            Some(reference) => self.read_ref(reference)?,
            None => head.commit,
        };
        Ok(Head { reference: head.reference, commit })
    }

    fn begin(&self, of: &Checkout, from: &Head, branch: &str, at: &CommitId) -> Result<Option<bool>, GitError> {
        let to = Head::on(branch, at);
        head::begin(self.logging()?, (&self.common, branch, self.commit(at)?.id()), (&of.admin, from, &to))
    }

    fn set_head(&self, checkout: &Checkout, from: &Head, to: &Head) -> Result<(), GitError> {
        head::point(self.logging()?, &checkout.admin, from, to)
    }

    fn moves(&self, _: &Checkout) -> Result<Vec<(i64, CommitId)>, GitError> {
        // What libgit2 can open keeps them as a file of lines.
        Ok(Vec::new())
    }

    fn differences(&self, checkout: &Checkout) -> Result<Differences, GitError> {
        let attempt = format!("read the status of {}", checkout.path.display());
        let mut options = git2::StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).include_ignored(false);
        self.with(checkout, |repo| {
            let statuses = repo.statuses(Some(&mut options)).map_err(GitError::lib(attempt))?;
            let mut found = Differences::default();
            for entry in statuses.iter() {
                let status = entry.status();
                found.unmerged |= status.is_conflicted();
                let name = path(entry.path_bytes());
                if status == git2::Status::WT_NEW {
                    found.untracked.push(name);
                } else if !status.is_ignored() && !status.is_empty() {
                    found.changed.push(name);
                }
            }
            Ok(found)
        })
    }

    fn has_pseudo_ref(&self, checkout: &Checkout, name: &str) -> Result<bool, GitError> {
        Ok(checkout.admin.join(name).exists())
    }

    fn clear_pseudo_ref(&self, checkout: &Checkout, name: &str) -> Result<(), GitError> {
        layout::remove(&checkout.admin.join(name))
    }

    fn indexed(&self, checkout: &Checkout, path: &Path) -> Result<Option<Entry>, GitError> {
        let attempt = format!("read the index of {}", checkout.path.display());
        let index = self.open(checkout)?.index().map_err(GitError::lib(attempt))?;
        Ok(index.get_path(path, 0).map(|entry| Entry { mode: entry.mode, id: entry.id.to_string() }))
    }

    fn on_disk(&self, checkout: &Checkout, path: &Path) -> Result<Option<Entry>, GitError> {
        let full = checkout.path.join(path);
        let Some(mode) = full.symlink_metadata().ok().as_ref().and_then(file_mode) else { return Ok(None) };
        // Hashing with the line ending rules of the repository is only offered together with storing the content.
        let blob = self.open(checkout)?.blob_path(&full);
        let blob = blob.map_err(GitError::lib(format!("read {}", full.display())))?;
        Ok(Some(Entry { mode, id: blob.to_string() }))
    }

    fn switch(&self, checkout: &Checkout, switch: &Switch) -> Result<(), GitError> {
        let repo = self.open(checkout)?;
        let attempt = || format!("update the files of {}", checkout.path.display());
        let target = repo.find_object(oid(switch.to.as_str())?, None).map_err(GitError::lib(attempt()))?;
        if !switch.settled.is_empty() {
            // These files are already what they are to become, so that writing them again loses nothing.
            let mut options = CheckoutBuilder::new();
            options.force().disable_pathspec_match(true);
            for change in &switch.settled {
                options.path(change.path.as_path());
            }
            repo.checkout_tree(&target, Some(&mut options)).map_err(GitError::lib(attempt()))?;
        }
        if switch.open.is_empty() {
            return Ok(());
        }
        let blocked = RefCell::new(Vec::new());
        let mut options = CheckoutBuilder::new();
        options.overwrite_ignored(false).disable_pathspec_match(true);
        // The library compares with HEAD, which says nothing about files that are brought back from another commit.
        if switch.verified {
            options.force()
        } else {
            options.safe()
        };
        for change in &switch.open {
            options.path(change.path.as_path());
        }
        options.notify_on(CheckoutNotificationType::CONFLICT).notify(|_, path, _, _, _| {
            blocked.borrow_mut().extend(path.map(text));
            true
        });
        let done = repo.checkout_tree(&target, Some(&mut options));
        drop(options);
        match done {
            Err(error) if error.code() == ErrorCode::Conflict => {
                Err(GitError::Dirty { path: checkout.path.clone(), files: blocked.into_inner() })
            }
            other => other.map_err(GitError::lib(attempt())),
        }
    }

    fn stage(
        &self,
        checkout: &Checkout,
        gone: &[PathBuf],
        present: &[PathBuf],
        keep: bool,
    ) -> Result<String, GitError> {
        // Without `keep` the changed index lives in this handle only and is dropped with it.
        let repo = self.open(checkout)?;
        let stage = || {
            let mut index = repo.index()?;
            for path in gone {
                index.remove_path(path)?;
            }
            for path in present {
                index.add_path(path)?;
            }
            let tree = index.write_tree()?;
            if keep {
                index.write()?;
            }
            Ok(tree.to_string())
        };
        stage().map_err(|error: git2::Error| match error.code() {
            // The library does not say which file it is.
            ErrorCode::Locked => GitError::Locked { file: checkout.admin.join("index.lock") },
            _ => GitError::lib(format!("add the changes of {} to the index", checkout.path.display()))(error),
        })
    }
}

/// The time of a commit for people.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
