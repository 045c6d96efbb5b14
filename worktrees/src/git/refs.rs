//! References and HEAD where they are plain files, which are asked for a few times for each command. What is anything else is
//! the library's to read.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use git2::Oid;
use pipeline_lib::ids::CommitId;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::backend::Head;
use super::handles::LibGit;
use super::stamp::Stamp;
use super::{GitError, layout, libgit};

/// A ref that names a commit, as it stands in a file.
const REF_BYTES: usize = 41;
/// How many commits are remembered to be there.
const COMMITS_MAX: usize = 4_096;

impl LibGit {
    /// What a ref holds that is a plain file, or that neither that nor a packed one is there. None where libgit2 has to look: at
    /// anything else, and where there is no such commit.
    pub(super) fn read_plain_ref(&self, full: &str) -> Option<Option<CommitId>> {
        let path = self.common.join(full);
        if let Some(known) = self.refs.known(&path) {
            return Some(Some(known));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => {
                let packed = rustix::fs::lstat(self.common.join("packed-refs"));
                return (packed.err() == Some(Errno::NOENT)).then_some(None);
            }
            Err(_) => return None,
        };
        let stamp = Stamp::of_open(&path, &file);
        let mut text = [0; REF_BYTES + 1];
        let read = file.read_at(&mut text, 0).ok()?;
        let id = text.get(..read)?.strip_suffix(b"\n").and_then(|id| Oid::from_str(std::str::from_utf8(id).ok()?).ok());
        let id = id.filter(|_| read == REF_BYTES)?;
        if !self.commits.borrow().contains(&id) {
            self.repo.find_commit(id).ok()?;
            let mut commits = self.commits.borrow_mut();
            if commits.len() >= COMMITS_MAX {
                commits.clear();
            }
            commits.insert(id);
        }
        let id = libgit::id(id);
        self.refs.keep(stamp, id.clone());
        Some(Some(id))
    }

    /// What the file `HEAD` of a private git directory says.
    pub(super) fn read_head(&self, admin: &Path) -> Result<Head, GitError> {
        let file = admin.join("HEAD");
        if let Some(known) = self.heads.known(&file) {
            return Ok(known);
        }
        let stamp = Stamp::of(&file);
        let head = layout::read_head(admin)?;
        self.heads.keep(stamp, head.clone());
        Ok(head)
    }
}
