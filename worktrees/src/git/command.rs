//! Git through the `git` command: the backend for repositories that libgit2 cannot open or would treat wrongly.
//!
//! Every command on a checkout is told its three directories explicitly, so that a `.git` file rewritten by an agent
//! leads nowhere. No policy is decided here.

use std::fs::File;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use pipeline_lib::diff::Diff;
use pipeline_lib::ids::CommitId;

use super::backend::{
    Backend, Checkout, CommitInfo, Differences, Entry, Head, Merged, NewCommit, RefChange, Switch, TreeChange,
    file_mode, path,
};
use super::orphans::DRAFTS;
use super::process::Git;
use super::{DiffLimits, GitError, WorktreeInfo, diff, durable, layout};

pub(super) struct Command {
    main: PathBuf,
    common: PathBuf,
    /// Where objects are written instead of the repository.
    objects: Option<tempfile::TempDir>,
}

impl Command {
    pub(super) fn new(main: PathBuf, common: PathBuf) -> Self {
        Self { main, common, objects: None }
    }

    /// A command on the repository as a whole.
    fn git(&self) -> Git {
        let git = Git::new(&self.common).env("GIT_DIR", &self.common).env("GIT_COMMON_DIR", &self.common);
        match &self.objects {
            Some(aside) => git.env("GIT_OBJECT_DIRECTORY", aside.path()),
            None => git,
        }
    }

    /// A command on the main checkout.
    fn on_main(&self) -> Git {
        self.on(&Checkout { path: self.main.clone(), admin: self.common.clone() })
    }

    /// A command on the private references of one checkout, whose directory may be gone.
    fn on_head(&self, checkout: &Checkout) -> Git {
        Git::new(&self.common).env("GIT_DIR", &checkout.admin).env("GIT_COMMON_DIR", &self.common)
    }

    /// A command on the files or the index of one checkout.
    fn on(&self, checkout: &Checkout) -> Git {
        Git::new(&checkout.path)
            .env("GIT_DIR", &checkout.admin)
            .env("GIT_COMMON_DIR", &self.common)
            .env("GIT_WORK_TREE", &checkout.path)
    }
}

/// The records of an output that ends each of them with NUL.
fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_suffix(b"\0").map(|bytes| bytes.split(|b| *b == 0)).into_iter().flatten()
}

/// The part of a record after its first `fields` fields, which is a path and may contain spaces.
fn after(record: &[u8], fields: usize) -> Option<PathBuf> {
    record.splitn(fields + 1, |b| *b == b' ').nth(fields).map(path)
}

fn entry(mode: &str, id: &str) -> Option<Entry> {
    let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode != 0)?;
    Some(Entry { mode, id: id.to_owned() })
}

fn zeros(like: &CommitId) -> String {
    "0".repeat(like.as_str().len())
}

/// Paths as the input of a command that reads them with NUL after each.
fn listing(paths: &[PathBuf]) -> Vec<u8> {
    paths.iter().flat_map(|path| path.as_os_str().as_bytes().iter().copied().chain([0])).collect()
}

impl Backend for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn aside(&self) -> Result<Box<dyn Backend>, GitError> {
        let objects = tempfile::Builder::new().prefix("pipeline-objects-").tempdir();
        let objects = objects.map_err(GitError::io("create a directory in", &std::env::temp_dir()))?;
        let info = objects.path().join("info");
        std::fs::create_dir(&info).map_err(GitError::io("create", &info))?;
        // In a file: in a variable a colon would end the path.
        let mut elsewhere = self.common.join("objects").into_os_string().into_vec();
        elsewhere.push(b'\n');
        std::fs::write(info.join("alternates"), elsewhere).map_err(GitError::io("write below", &info))?;
        Ok(Box::new(Self { objects: Some(objects), ..Self::new(self.main.clone(), self.common.clone()) }))
    }

    fn resolve(&self, rev: &str) -> Result<Option<CommitId>, GitError> {
        let rev = format!("{rev}^{{commit}}");
        let found = self.git().args(["rev-parse", "--verify", "--quiet", "--end-of-options", &rev]).optional()?;
        Ok(found.map(CommitId::from))
    }

    fn read_ref(&self, full: &str) -> Result<Option<CommitId>, GitError> {
        Ok(self.list_refs(full)?.into_iter().find(|(name, _)| name == full).map(|(_, commit)| commit))
    }

    fn change_ref(&self, change: &RefChange<'_>) -> Result<bool, GitError> {
        let &RefChange { name, old, new, reason } = change;
        let git = self.git().args(["update-ref", "-m", reason]);
        let output = match (old, new) {
            (old, Some(new)) => {
                let zeros = zeros(new);
                git.args(["--", name, new.as_str(), old.map_or(&*zeros, |old| old.as_str())]).output()?
            }
            (Some(old), None) => git.args(["-d", "--", name, old.as_str()]).output()?,
            (None, None) => return Ok(self.read_ref(name)?.is_none()),
        };
        if output.code == 0 {
            Ok(true)
        } else if self.read_ref(name)?.as_ref() != old {
            Ok(false)
        } else {
            Err(output.error())
        }
    }

    fn list_refs(&self, prefix: &str) -> Result<Vec<(String, CommitId)>, GitError> {
        // The command matches whole parts of a name, a prefix can end within one.
        let pattern = prefix.trim_end_matches('/');
        // A tag is followed to its commit: for an annotated one that is the second name, which is otherwise empty.
        let format = "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(*objecttype)";
        let output = self.git().args(["for-each-ref", format, "--", pattern]).run()?;
        let output = String::from_utf8_lossy(&output);
        let mut found = Vec::new();
        for line in output.lines() {
            let [name, id, peeled, kind, peeled_kind] = line.split('\0').collect::<Vec<_>>()[..] else { continue };
            let id = if kind == "commit" {
                id
            } else if peeled_kind == "commit" {
                peeled
            } else {
                continue;
            };
            if name.starts_with(prefix) {
                found.push((name.to_owned(), CommitId::from(id.to_owned())));
            }
        }
        Ok(found)
    }

    fn symbolic(&self, full: &str) -> Result<Option<String>, GitError> {
        self.git().args(["symbolic-ref", "--quiet", "--", full]).optional()
    }

    fn commit_info(&self, id: &CommitId) -> Result<CommitInfo, GitError> {
        let format = "--format=%T%x00%P%x00%ct%x00%B";
        let args =
            ["log", "-1", "--no-show-signature", "--encoding=UTF-8", format, "--end-of-options", id.as_str(), "--"];
        let output = self.git().args(args).run()?;
        let output = String::from_utf8_lossy(&output);
        let mut parts = output.splitn(4, '\0');
        let mut next = || parts.next().unwrap_or_default();
        let (tree, parents, seconds, message) = (next(), next(), next(), next());
        Ok(CommitInfo {
            tree: tree.to_owned(),
            parents: parents.split(' ').filter(|id| !id.is_empty()).map(|id| CommitId::from(id.to_owned())).collect(),
            seconds: seconds.parse().unwrap_or_default(),
            // The log ends its entry with a line break of its own.
            message: message.strip_suffix('\n').unwrap_or(message).to_owned(),
        })
    }

    fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError> {
        let answer = self.git().args(["merge-base", "--is-ancestor", ancestor.as_str(), of.as_str()]).optional()?;
        Ok(answer.is_some())
    }

    fn is_in_any(&self, ancestor: &CommitId, of: &[CommitId]) -> Result<bool, GitError> {
        let input: String = of.iter().map(|head| format!("^{head}\n")).collect();
        let git = self.git().args(["rev-list", "--max-count=1", "--stdin", ancestor.as_str()]);
        Ok(git.input(input.into_bytes()).run()?.is_empty())
    }

    fn count_between(&self, from: &CommitId, to: &CommitId) -> Result<usize, GitError> {
        let range = format!("{from}..{to}");
        let count = self.git().args(["rev-list", "--count", "--end-of-options", &range, "--"]).line()?;
        count.parse().map_err(|_| GitError::command("rev-list --count", &format!("unexpected answer `{count}`")))
    }

    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, GitError> {
        Ok(self.git().args(["merge-base", a.as_str(), b.as_str()]).optional()?.map(CommitId::from))
    }

    fn merge(&self, ancestor: Option<&CommitId>, ours: &CommitId, theirs: &CommitId) -> Result<Merged, GitError> {
        let mut git = self.git().args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"]);
        if let Some(ancestor) = ancestor {
            git = git.arg(format!("--merge-base={ancestor}"));
        }
        let output = git.args([ours.as_str(), theirs.as_str()]).output()?;
        let mut records = records(&output.stdout);
        match (output.code, records.next()) {
            (0, Some(tree)) => Ok(Merged::Tree(String::from_utf8_lossy(tree).into_owned())),
            (1, Some(_)) => {
                let mut files = records.map(path).collect::<Vec<_>>();
                files.sort();
                files.dedup();
                Ok(Merged::Conflict(files))
            }
            _ => Err(output.error()),
        }
    }

    fn write_commit(&self, commit: &NewCommit<'_>) -> Result<CommitId, GitError> {
        let mut git = self.git().args(["commit-tree", commit.tree, "-F", "-"]).input(commit.message.into());
        for parent in commit.parents {
            git = git.args(["-p", parent.as_str()]);
        }
        let date = format!("@{} +0000", commit.when.as_second());
        for role in ["AUTHOR", "COMMITTER"] {
            git = git
                .env(&format!("GIT_{role}_NAME"), commit.name)
                .env(&format!("GIT_{role}_EMAIL"), commit.email)
                .env(&format!("GIT_{role}_DATE"), &date);
        }
        Ok(CommitId::from(git.line()?))
    }

    fn config(&self, key: &str) -> Result<Option<String>, GitError> {
        self.git().args(["config", "--get", key]).optional()
    }

    fn diff(&self, from: &str, to: &str, count_lines: bool) -> Result<Vec<TreeChange>, GitError> {
        let mut git =
            self.git().args(["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--no-textconv"]);
        if count_lines {
            git = git.arg("--numstat");
        }
        let output = git.args(["--end-of-options", from, to, "--"]).run()?;
        let mut changes: Vec<TreeChange> = Vec::new();
        let mut records = records(&output);
        while let Some(record) = records.next() {
            let unexpected = || GitError::command("diff-tree", "unexpected output");
            if let Some(raw) = record.strip_prefix(b":") {
                let raw = String::from_utf8_lossy(raw).into_owned();
                let [old_mode, new_mode, old, new, _] = raw.split(' ').collect::<Vec<_>>()[..] else {
                    return Err(unexpected());
                };
                let path = path(records.next().ok_or_else(unexpected)?);
                let (old, new) = (entry(old_mode, old), entry(new_mode, new));
                changes.push(TreeChange { path, old, new, added: 0, removed: 0 });
            } else {
                let mut fields = record.splitn(3, |b| *b == b'\t');
                let mut number = || fields.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok()).unwrap_or(0);
                let (added, removed) = (number(), number());
                let path = path(fields.next().ok_or_else(unexpected)?);
                for change in changes.iter_mut().filter(|change| change.path == path) {
                    (change.added, change.removed) = (added, removed);
                }
            }
        }
        Ok(changes)
    }

    fn differing(&self, from: &str, to: &str) -> Result<Vec<PathBuf>, GitError> {
        Ok(self.diff(from, to, false)?.into_iter().map(|change| change.path).collect())
    }

    fn diff_text(&self, from: &str, to: &str, max_bytes: usize) -> Result<Vec<u8>, GitError> {
        let args = ["diff-tree", "-r", "-p", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv"];
        let git = self.git().args(args).args(["--end-of-options", from, to, "--"]);
        git.limit(max_bytes).run()
    }

    fn diff_lines(&self, from: &str, to: &str, limits: DiffLimits) -> Result<Diff, GitError> {
        diff::by_command(|| self.git(), from, to, limits)
    }

    fn worktrees(&self) -> Result<Vec<WorktreeInfo>, GitError> {
        let output = self.git().args(["worktree", "list", "--porcelain", "-z"]).run()?;
        let mut found: Vec<WorktreeInfo> = Vec::new();
        for record in output.split(|b| *b == 0) {
            if let Some(name) = record.strip_prefix(b"worktree ") {
                let path = path(name);
                found.push(WorktreeInfo { path, branch: None, head: None, locked: false, prunable: false });
            }
            let Some(last) = found.last_mut() else { continue };
            let line = String::from_utf8_lossy(record);
            if let Some(id) = line.strip_prefix("HEAD ") {
                last.head = id.bytes().any(|b| b != b'0').then(|| CommitId::from(id.to_owned()));
            } else if let Some(reference) = line.strip_prefix("branch ") {
                last.branch = layout::branch_name(reference);
            }
            last.locked |= line == "locked" || line.starts_with("locked ");
            last.prunable |= line == "prunable" || line.starts_with("prunable ");
        }
        // The first one is the main checkout.
        Ok(found.into_iter().skip(1).collect())
    }

    fn add_worktree(&self, path: &Path, _name: &str, at: &CommitId, reason: &str) -> Result<(), GitError> {
        let git = self.on_main().args(["worktree", "add", "--detach", "--no-checkout", "--lock", "--reason", reason]);
        git.arg("--").arg(path).arg(at.as_str()).run().map(drop)
    }

    fn populate(&self, checkout: &Checkout) -> Result<(), GitError> {
        // The default of one worker is slow for large trees; nought stands for the number of processors.
        let git = self.on(checkout).args(["-c", "checkout.workers=0", "read-tree", "--reset", "-u", "HEAD"]);
        git.timeout(std::time::Duration::from_secs(600)).run().map(drop)
    }

    fn forget_worktree(&self, checkout: &Checkout) -> Result<(), GitError> {
        // `git worktree prune` would also forget worktrees that are not ours.
        layout::remove(&checkout.admin)
    }

    fn remove_worktree(&self, checkout: &Checkout) -> Result<(), GitError> {
        self.on_main().args(["worktree", "remove", "--"]).arg(&checkout.path).run().map(drop)
    }

    fn head(&self, checkout: &Checkout) -> Result<Head, GitError> {
        let reference = self.on_head(checkout).args(["symbolic-ref", "--quiet", "HEAD"]).optional()?;
        let commit = self.on_head(checkout).args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).optional()?;
        Ok(Head { reference, commit: commit.map(CommitId::from) })
    }

    fn heads_are_files(&self) -> bool {
        false
    }

    fn set_head(&self, checkout: &Checkout, _: &Head, to: &Head) -> Result<(), GitError> {
        let git = self.on_head(checkout);
        match (&to.reference, &to.commit) {
            (Some(reference), _) => {
                git.args(["symbolic-ref", "-m", "checkout: moving to a branch", "HEAD", reference]).run()?;
                // It syncs what it writes, and not the folders that name it.
                durable::sync_folder(&checkout.admin)?;
                let tables = checkout.admin.join("reftable");
                if tables.is_dir() { durable::sync_folder(&tables) } else { Ok(()) }
            }
            (None, Some(commit)) => {
                let words = ["update-ref", "--no-deref", "-m", "checkout: detaching", "HEAD", commit.as_str()];
                git.args(words).run().map(drop)
            }
            (None, None) => Err(GitError::NoSuchCommit { rev: "HEAD".to_owned() }),
        }
    }

    fn moves(&self, checkout: &Checkout) -> Result<Vec<(i64, CommitId)>, GitError> {
        let listed = ["log", "--walk-reflogs", "--no-show-signature", "--date=unix", "--format=%H %gd", "HEAD", "--"];
        let output = self.on_head(checkout).args(listed).run()?;
        let text = String::from_utf8_lossy(&output);
        let entry = |line: &str| {
            let (id, selector) = line.split_once(' ')?;
            let at = selector.strip_prefix("HEAD@{")?.strip_suffix('}')?.parse().ok()?;
            Some((at, CommitId::from(id.to_owned())))
        };
        Ok(text.lines().filter_map(entry).collect())
    }

    fn differences(&self, checkout: &Checkout) -> Result<Differences, GitError> {
        let args =
            ["status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"];
        let output = self.on(checkout).args(args).run()?;
        let mut found = Differences::default();
        for record in records(&output) {
            match record.first() {
                Some(b'1') => found.changed.extend(after(record, 8)),
                Some(b'u') => {
                    found.unmerged = true;
                    found.changed.extend(after(record, 10));
                }
                Some(b'?') => found.untracked.extend(after(record, 1)),
                _ => {}
            }
        }
        Ok(found)
    }

    fn has_pseudo_ref(&self, checkout: &Checkout, name: &str) -> Result<bool, GitError> {
        Ok(self
            .on_head(checkout)
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options", name])
            .optional()?
            .is_some())
    }

    fn clear_pseudo_ref(&self, checkout: &Checkout, name: &str) -> Result<(), GitError> {
        if self.has_pseudo_ref(checkout, name)? {
            self.on_head(checkout).args(["update-ref", "--no-deref", "-d", name]).run()?;
        }
        layout::remove(&checkout.admin.join(name))
    }

    fn indexed(&self, checkout: &Checkout, path: &Path) -> Result<Option<Entry>, GitError> {
        let output = self.on(checkout).args(["ls-files", "--stage", "-z", "--"]).arg(path).run()?;
        for record in records(&output) {
            let mut halves = record.splitn(2, |b| *b == b'\t');
            let (fields, name) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            let fields = String::from_utf8_lossy(fields).into_owned();
            if let [mode, id, "0"] = fields.split(' ').collect::<Vec<_>>()[..]
                && name == path.as_os_str().as_bytes()
            {
                return Ok(entry(mode, id));
            }
        }
        Ok(None)
    }

    fn on_disk(&self, checkout: &Checkout, path: &Path) -> Result<Option<Entry>, GitError> {
        let full = checkout.path.join(path);
        let Some(mode) = full.symlink_metadata().ok().as_ref().and_then(file_mode) else { return Ok(None) };
        let git = self.on(checkout).arg("hash-object");
        let id = if mode == 0o120_000 {
            let target = std::fs::read_link(&full).map_err(GitError::io("read", &full))?;
            git.args(["--no-filters", "--stdin"]).input(target.into_os_string().into_vec()).line()?
        } else {
            git.arg("--").arg(path).line()?
        };
        Ok(Some(Entry { mode, id }))
    }

    fn switch(&self, checkout: &Checkout, switch: &Switch) -> Result<(), GitError> {
        if !switch.settled.is_empty() {
            let mut input = Vec::new();
            for change in &switch.settled {
                let (mode, id) = match &change.new {
                    Some(entry) => (entry.mode, entry.id.clone()),
                    None => (0, zeros(&switch.to)),
                };
                input.extend_from_slice(format!("{mode:o} {id}\t").as_bytes());
                input.extend_from_slice(change.path.as_os_str().as_bytes());
                input.push(0);
            }
            self.on(checkout).args(["update-index", "-z", "--index-info"]).input(input).run()?;
            let there = switch.settled.iter().filter(|change| change.new.is_some());
            let there: Vec<PathBuf> = there.map(|change| change.path.clone()).collect();
            self.on(checkout)
                .args(["checkout-index", "-f", "-u", "-q", "-z", "--stdin"])
                .input(listing(&there))
                .run()?;
        }
        // The refresh ends with 1 when it finds changed files, which is not its business here.
        self.on(checkout).args(["update-index", "-q", "--refresh"]).optional()?;
        let git = self.on(checkout).args(["read-tree", "-m", "-u", switch.from.as_str(), switch.to.as_str()]);
        let output = git.output()?;
        let complaint = output.complaint();
        if output.code == 0 {
            Ok(())
        } else if complaint.contains("not uptodate") || complaint.contains("would be") {
            let files = complaint.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
            Err(GitError::Dirty { path: checkout.path.clone(), files })
        } else {
            Err(output.error())
        }
    }

    fn stage(
        &self,
        checkout: &Checkout,
        gone: &[PathBuf],
        present: &[PathBuf],
        keep: bool,
    ) -> Result<String, GitError> {
        let index = checkout.admin.join("index");
        let folder = tempfile::Builder::new().prefix(DRAFTS[1]).tempdir_in(&checkout.admin);
        let folder = folder.map_err(GitError::io("create a directory in", &checkout.admin))?;
        let draft = folder.path().join("index");
        if !keep && index.exists() {
            std::fs::copy(&index, &draft).map_err(GitError::io("copy", &index))?;
            // Git takes a file of the same size for unchanged if it is older than the index. A copy that looked younger
            // than the original would hide what was written in the second of the checkout.
            let written = index.metadata().and_then(|index| index.modified());
            let aged = written.and_then(|at| File::options().write(true).open(&draft)?.set_modified(at));
            aged.map_err(GitError::io("copy the age of", &index))?;
        }
        let file = if keep { &index } else { &draft };
        let git = || self.on(checkout).env("GIT_INDEX_FILE", file);
        // What is gone goes first: it may have to make room for a directory of the same name.
        git().args(["update-index", "-z", "--force-remove", "--stdin"]).input(listing(gone)).run()?;
        git().args(["update-index", "-z", "--add", "--stdin"]).input(listing(present)).run()?;
        git().arg("write-tree").line()
    }
}
