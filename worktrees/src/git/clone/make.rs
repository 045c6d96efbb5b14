//! Making a private clone, file by file: what of a repository an agent is handed, and what is left out.

use std::fs;
use std::path::{Path, PathBuf};

use git2::Config;

use super::super::backend::Checkout;
use super::super::{GitError, Repo, layout};
use super::{CLONE_OF, LARGE_FILES, Lent};

/// What of the repository's settings says how files are stored and who commits. Everything else could be a program or a key.
const SETTINGS: [&str; 14] = [
    "core.abbrev",
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.quotepath",
    "core.safecrlf",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "index.sparse",
    "user.email",
    "user.name",
];
/// How many folders of objects a repository may have.
const ALTERNATES_MAX: usize = 16;

impl Repo {
    /// Writes the git directory. Nobody has used what a process left that was killed here.
    pub(super) fn make_clone(&self, checkout: &Checkout, lent: &Lent) -> Result<(), GitError> {
        if self.common.join(LARGE_FILES).is_dir() {
            let source = std::io::Error::other("it has files of git-lfs, which no private clone hands back");
            return Err(GitError::Io { attempt: "borrow from", path: self.common.clone(), source });
        }
        let git = lent.git();
        layout::remove(&git)?;
        for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
            let folder = git.join(folder);
            fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        }
        let put = |name: &str, content: &[u8]| {
            let file = git.join(name);
            fs::write(&file, content).map_err(GitError::io("write", &file))
        };
        put("HEAD", format!("ref: {}\n", lent.reference).as_bytes())?;
        put(CLONE_OF, format!("{}\n", self.main.display()).as_bytes())?;
        put("objects/info/alternates", &self.alternates()?)?;
        put("packed-refs", &self.listing(&["refs/heads", "refs/tags", "refs/remotes"])?)?;
        let mut files = vec![
            (self.common.join("info/exclude"), "info/exclude".to_owned()),
            (self.common.join("info/attributes"), "info/attributes".to_owned()),
            (self.common.join("shallow"), "shallow".to_owned()),
            (checkout.admin.join("info/sparse-checkout"), "info/sparse-checkout".to_owned()),
            (checkout.admin.join("index"), "index".to_owned()),
        ];
        for entry in fs::read_dir(&checkout.admin).map_err(GitError::io("list", &checkout.admin))? {
            let entry = entry.map_err(GitError::io("list", &checkout.admin))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("sharedindex.") {
                files.push((entry.path(), name));
            }
        }
        for (from, to) in files.iter().filter(|(from, _)| from.is_file()) {
            fs::copy(from, git.join(to)).map_err(GitError::io("copy", from))?;
        }
        self.settings_of_clone(checkout, &git.join("config"), lent.commit.as_str().len())
    }

    /// Where the repository's objects are: its own folder, and those it borrows from itself.
    #[must_use]
    pub fn object_dirs(&self) -> Vec<PathBuf> {
        let mut found = vec![self.common.join("objects")];
        let mut at = 0;
        while let Some(folder) = found.get(at).filter(|_| at < ALTERNATES_MAX).cloned() {
            at += 1;
            let listed = layout::read_optional(&folder.join("info/alternates")).ok().flatten().unwrap_or_default();
            let paths = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            found.extend(paths.map(|path| folder.join(path)));
        }
        found
    }

    /// Where the objects are that are borrowed.
    pub(super) fn alternates(&self) -> Result<Vec<u8>, GitError> {
        let mut line = self.common.join("objects").into_os_string().into_encoded_bytes();
        if line.contains(&b'\n') {
            let source = std::io::Error::other("no clone can borrow from a path with a line break");
            return Err(GitError::Io { attempt: "use", path: self.common.clone(), source });
        }
        line.push(b'\n');
        Ok(line)
    }

    /// References in the form of git's own list of packed ones.
    fn listing(&self, below: &[&str]) -> Result<Vec<u8>, GitError> {
        let git = self.on_common().args(["for-each-ref", "--format=%(objectname) %(refname)", "--"]);
        git.args(below).run()
    }

    fn settings_of_clone(&self, checkout: &Checkout, file: &Path, id_length: usize) -> Result<(), GitError> {
        let attempt = || GitError::lib(format!("write {}", file.display()));
        let mut config = Config::open(file).map_err(attempt())?;
        config.set_bool("core.bare", false).map_err(attempt())?;
        config.set_bool("core.logallrefupdates", true).map_err(attempt())?;
        let sha256 = id_length == 64;
        config.set_i32("core.repositoryformatversion", i32::from(sha256)).map_err(attempt())?;
        if sha256 {
            config.set_str("extensions.objectformat", "sha256").map_err(attempt())?;
        }
        for source in [self.common.join("config"), checkout.admin.join("config.worktree")] {
            if !source.is_file() {
                continue;
            }
            let theirs = Config::open(&source).and_then(|mut config| config.snapshot());
            let theirs = theirs.map_err(GitError::lib(format!("read {}", source.display())))?;
            if theirs.get_str("extensions.partialclone").is_ok() {
                let source = std::io::Error::other("the repository is a partial clone, which lacks objects of its own");
                return Err(GitError::Io { attempt: "borrow from", path: self.common.clone(), source });
            }
            for key in SETTINGS {
                if let Ok(value) = theirs.get_string(key) {
                    config.set_str(key, &value).map_err(attempt())?;
                }
            }
        }
        Ok(())
    }
}
