//! Files that git itself does not carry into a worktree: the list of ignored paths, and ignored files that the user
//! wants in every worktree.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::backend::{path, text};
use super::process::Git;
use super::{GitError, Repo, layout};

const INCLUDE: &str = ".worktreeinclude";

impl Repo {
    /// Makes git ignore a pattern in every checkout, without a change to any tracked file.
    ///
    /// # Errors
    /// When the list cannot be read or written.
    pub fn exclude(&self, line: &str) -> Result<(), GitError> {
        self.edit_exclude(line, |content| {
            if lines(content).any(|found| strip_end(found) == line.as_bytes()) {
                return None;
            }
            let mut changed = content.to_vec();
            if !matches!(changed.last(), None | Some(b'\n')) {
                changed.push(b'\n');
            }
            changed.extend_from_slice(line.as_bytes());
            changed.push(b'\n');
            Some(changed)
        })
    }

    /// The lines of the list that git ignores paths by in every checkout.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn excluded(&self) -> Result<Vec<String>, GitError> {
        let content = layout::read_optional(&self.common.join("info/exclude"))?.unwrap_or_default();
        Ok(content.lines().map(str::to_owned).collect())
    }

    /// Takes back what [`Repo::exclude`] did. Every other line stays as it is.
    ///
    /// # Errors
    /// When the list cannot be read or written.
    pub fn unexclude(&self, line: &str) -> Result<(), GitError> {
        self.edit_exclude(line, |content| {
            let kept = lines(content).filter(|found| strip_end(found) != line.as_bytes()).collect::<Vec<_>>().concat();
            (kept != content).then_some(kept)
        })
    }

    fn edit_exclude(&self, line: &str, edit: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Result<(), GitError> {
        if line.contains('\n') || line.is_empty() {
            return Err(GitError::BadName { name: line.escape_debug().to_string() });
        }
        let folder = self.common.join("info");
        fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        // The file itself is replaced as a whole, so that two editors need a lock beside it.
        let lock = self.common.join("pipeline-exclude.lock");
        let open = fs::File::options().create(true).truncate(false).write(true).open(&lock);
        let open = open.map_err(GitError::io("open", &lock))?;
        fs2::FileExt::lock_exclusive(&open).map_err(GitError::io("lock", &lock))?;
        let file = folder.join("exclude");
        let content = match fs::read(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(GitError::io("read", &file)(error));
            }
            content => content.unwrap_or_default(),
        };
        match edit(&content) {
            Some(changed) => layout::replace(&file, &changed),
            None => Ok(()),
        }
    }

    /// Copies the ignored files of the main checkout that its `.worktreeinclude` names into a worktree. Nothing that
    /// exists there is overwritten. Gives what was copied.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn copy_included(&self, worktree: &Path) -> Result<Vec<String>, GitError> {
        let checkout = self.checkout(worktree)?;
        if checkout.path == self.main || !self.main.join(INCLUDE).is_file() {
            return Ok(Vec::new());
        }
        let list = |rules: &str| -> Result<BTreeSet<PathBuf>, GitError> {
            let git = Git::new(&self.main).env("GIT_DIR", &self.common).env("GIT_COMMON_DIR", &self.common);
            let git = git.env("GIT_WORK_TREE", &self.main);
            let git = git.args(["ls-files", "--others", "--ignored", "-z", rules]);
            Ok(git.run()?.split(|b| *b == 0).filter(|name| !name.is_empty()).map(path).collect())
        };
        let wanted = list(&format!("--exclude-from={INCLUDE}"))?;
        let ignored = list("--exclude-standard")?;
        let mut copied = Vec::new();
        for file in wanted.intersection(&ignored) {
            // A name that ends with a slash is a repository inside the checkout.
            if file.starts_with(".pipeline") || file.as_os_str().as_bytes().ends_with(b"/") {
                continue;
            }
            if copy_new(&self.main, &checkout.path, file)? {
                copied.push(text(file));
            }
        }
        Ok(copied)
    }
}

/// Copies one file or symbolic link to a place where there is none. Says whether it did.
fn copy_new(from: &Path, to: &Path, file: &Path) -> Result<bool, GitError> {
    let (source, target) = (from.join(file), to.join(file));
    let parent = target.parent().unwrap_or(to);
    for above in file.ancestors().skip(1) {
        // A link in the worktree could lead anywhere; what is not a directory is in the way.
        if to.join(above).symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            return Ok(false);
        }
    }
    if target.symlink_metadata().is_ok() {
        return Ok(false);
    }
    fs::create_dir_all(parent).map_err(GitError::io("create", parent))?;
    let metadata = source.symlink_metadata().map_err(GitError::io("read", &source))?;
    if metadata.is_symlink() {
        let link = fs::read_link(&source).map_err(GitError::io("read", &source))?;
        std::os::unix::fs::symlink(link, &target).map_err(GitError::io("write", &target))?;
        return Ok(true);
    }
    if !metadata.is_file() {
        return Ok(false);
    }
    // The file appears as a whole: half of one would never be completed, because nothing is overwritten.
    let copy = || {
        let draft = tempfile::NamedTempFile::new_in(parent)?;
        fs::copy(&source, draft.path())?;
        match draft.persist_noclobber(&target) {
            Ok(_) => Ok(true),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    };
    copy().map_err(GitError::io("write", &target))
}

/// The lines of a file, each with its line break.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|b| *b == b'\n')
}

fn strip_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
