//! Merges that are tried out: whether branches merge onto base, and with each other on it. Nothing of it gets into the
//! repository: what has to be written for it is kept in memory, or in a folder that goes with the trial.
//!
//! Where a branch moves is looked up by the caller, and so is what follows. Two branches that change no file in common are
//! not merged to find out.
//!
//! A folder that moves on one side while the other adds a file to the old one is no conflict for the library, which leaves
//! that file behind, in the old folder. Git asks about it, unless `merge.directoryRenames` is set to move it along or to
//! leave it. What git says is what counts here: where one side took files out of a folder and has new ones elsewhere, and
//! the other added to that folder, the command is asked. It is a warning in time; a merge that the library makes in the
//! end leaves the file where it was added, and it is for its gate to find what that breaks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use git2::{FileMode, Oid, Repository};
use jiff::Timestamp;
use pipeline_lib::ids::CommitId;

use super::backend::{Backend, Merged, NewCommit, path, text};
use super::command::Command;
use super::{GitError, Repo};

/// The priority of an object database in memory; those on disk have 1 and 2.
const MEMORY_FIRST: i32 = 1_000;

/// Opens a repository so that what is written to its object database stays in memory and goes with the handle.
pub(super) fn in_memory(common: &Path) -> Result<Repository, GitError> {
    let open = || {
        let repo = Repository::open(common)?;
        // Before every other place, so that it is the one that is written to.
        repo.odb()?.add_new_mempack_backend(MEMORY_FIRST)?;
        Ok(repo)
    };
    open().map_err(GitError::lib(format!("open the repository {}", common.display())))
}

/// The paths that differ between two trees. The library's own comparison reads every folder of both, this one only those
/// that differ.
pub(super) fn differing(repo: &Repository, from: &str, to: &str) -> Result<Vec<PathBuf>, git2::Error> {
    type Entries = BTreeMap<Vec<u8>, (Oid, i32)>;
    let read = |id: Option<Oid>| -> Result<Entries, git2::Error> {
        let Some(id) = id else { return Ok(Entries::new()) };
        let tree = repo.find_tree(id)?;
        Ok(tree.iter().map(|entry| (entry.name_bytes().to_vec(), (entry.id(), entry.filemode()))).collect())
    };
    let folder =
        |entry: Option<&(Oid, i32)>| entry.filter(|(_, mode)| *mode == i32::from(FileMode::Tree)).map(|(id, _)| *id);
    let mut found = Vec::new();
    let mut todo = vec![(PathBuf::new(), Some(Oid::from_str(from)?), Some(Oid::from_str(to)?))];
    while let Some((above, one, other)) = todo.pop() {
        let (one, other) = (read(one)?, read(other)?);
        let names: BTreeSet<&Vec<u8>> = one.keys().chain(other.keys()).collect();
        for name in names {
            let (a, b) = (one.get(name), other.get(name));
            if a == b {
                continue;
            }
            let below = above.join(path(name));
            let (inner_a, inner_b) = (folder(a), folder(b));
            if a.is_some() && inner_a.is_none() || b.is_some() && inner_b.is_none() {
                found.push(below.clone());
            }
            if inner_a.is_some() || inner_b.is_some() {
                todo.push((below, inner_a, inner_b));
            }
        }
    }
    Ok(found)
}

/// Merges onto one commit of base.
pub struct Trial {
    backend: Box<dyn Backend>,
    base: CommitId,
    /// What base has changed since some commit.
    since: HashMap<CommitId, BTreeSet<PathBuf>>,
    fits: HashMap<CommitId, Fit>,
    /// What base would be once it has a commit.
    merged: HashMap<CommitId, CommitId>,
    /// Where commits added files and took files away, each since its common beginning with base.
    moves: HashMap<(CommitId, CommitId), Moves>,
    /// The command, which knows folders that moved; made where it is asked for.
    command: Option<Box<dyn Backend>>,
    main: PathBuf,
    common: PathBuf,
}

/// The files that are new in a commit, and those that it has no longer.
#[derive(Debug, Clone)]
struct Moves {
    added: BTreeSet<PathBuf>,
    gone: BTreeSet<PathBuf>,
}

/// How a branch merges onto base.
#[derive(Debug, Clone)]
enum Fit {
    /// Base has all of it.
    Nothing,
    /// It does, with these paths changed.
    Clean(BTreeSet<PathBuf>),
    /// It does not, because of these files.
    Conflict(BTreeSet<PathBuf>),
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("base", &self.base).field("fits", &self.fits.len()).finish_non_exhaustive()
    }
}

impl Repo {
    /// Begins to try out merges onto this commit.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn trial(&self, base: &CommitId) -> Result<Trial, GitError> {
        let (backend, base) = (self.backend.aside()?, base.clone());
        Ok(Trial {
            backend,
            base,
            since: HashMap::new(),
            fits: HashMap::new(),
            merged: HashMap::new(),
            moves: HashMap::new(),
            command: None,
            main: self.main.clone(),
            common: self.common.clone(),
        })
    }
}

impl Trial {
    /// The files in conflict if a commit were merged onto base; none where it merges or base has it already.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn onto_base(&mut self, head: &CommitId) -> Result<Vec<String>, GitError> {
        Ok(match self.fit(head)? {
            Fit::Nothing | Fit::Clean(_) => Vec::new(),
            Fit::Conflict(files) => names(&files),
        })
    }

    /// The files in conflict if both commits were merged onto base, one after the other, beyond those in which either is in
    /// conflict with base alone.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn both(&mut self, one: &CommitId, other: &CommitId) -> Result<Vec<String>, GitError> {
        let (a, b) = (self.fit(one)?, self.fit(other)?);
        match (&a, &b) {
            (Fit::Nothing, _) | (_, Fit::Nothing) => Ok(Vec::new()),
            (Fit::Clean(a), Fit::Clean(b)) => {
                if meet(a, b) {
                    let (a, b) = (self.merged(one)?, self.merged(other)?);
                    if let Merged::Conflict(files) = self.backend.merge(None, &a, &b)? {
                        return Ok(names(&files.into_iter().collect()));
                    }
                }
                Ok(names(&self.left_behind((one, a), (other, b))?))
            }
            // The files that keep one of them from base would say nothing about the other one.
            _ => {
                let known: BTreeSet<PathBuf> = conflicts(&a).union(&conflicts(&b)).cloned().collect();
                Ok(match self.backend.merge(None, one, other)? {
                    Merged::Tree(_) => Vec::new(),
                    Merged::Conflict(files) => names(&files.into_iter().filter(|file| !known.contains(file)).collect()),
                })
            }
        }
    }

    fn fit(&mut self, head: &CommitId) -> Result<Fit, GitError> {
        if let Some(fit) = self.fits.get(head) {
            return Ok(fit.clone());
        }
        let fit = self.try_out(head)?;
        self.fits.insert(head.clone(), fit.clone());
        Ok(fit)
    }

    /// Merges only where both sides have changed something in common: a merge looks at every file there is, and the
    /// difference of two trees only at what differs.
    fn try_out(&mut self, head: &CommitId) -> Result<Fit, GitError> {
        let Some(common) = self.backend.merge_base(&self.base, head)? else {
            return match self.merge_onto_base(head)? {
                Ok(_) => Ok(Fit::Clean(self.changed(&self.base, head)?)),
                Err(files) => Ok(Fit::Conflict(files)),
            };
        };
        if common == *head {
            return Ok(Fit::Nothing);
        }
        let theirs = self.changed(&common, head)?;
        let ours = match self.since.get(&common) {
            Some(ours) => ours.clone(),
            None => self.changed(&common, &self.base)?,
        };
        let meet = meet(&ours, &theirs);
        self.since.insert(common, ours.clone());
        match if meet { self.merge_onto_base(head)?.map(drop) } else { Ok(()) } {
            Ok(()) => {
                let base = self.base.clone();
                let left = self.left_behind((&base, &ours), (head, &theirs))?;
                Ok(if left.is_empty() { Fit::Clean(theirs) } else { Fit::Conflict(left) })
            }
            Err(files) => Ok(Fit::Conflict(files)),
        }
    }

    /// The files that one of two commits, which merge otherwise, adds to a folder that moved in the other one; each
    /// commit comes with the paths that it changed.
    fn left_behind(
        &mut self,
        one: (&CommitId, &BTreeSet<PathBuf>),
        other: (&CommitId, &BTreeSet<PathBuf>),
    ) -> Result<BTreeSet<PathBuf>, GitError> {
        // Most branches have no folder in common, which costs nothing to see.
        if !touch(one.1, other.1) && !touch(other.1, one.1) {
            return Ok(BTreeSet::new());
        }
        let Some(common) = self.backend.merge_base(one.0, other.0)? else { return Ok(BTreeSet::new()) };
        let (a, b) = (self.moves(&common, one.0)?, self.moves(&common, other.0)?);
        if !may_leave(&a, &b) && !may_leave(&b, &a) {
            return Ok(BTreeSet::new());
        }
        let command = match &mut self.command {
            Some(command) => command,
            none => none.insert(Command::new(self.main.clone(), self.common.clone()).aside()?),
        };
        Ok(match command.merge(None, one.0, other.0)? {
            Merged::Tree(_) => BTreeSet::new(),
            Merged::Conflict(files) => files.into_iter().collect(),
        })
    }

    fn moves(&mut self, from: &CommitId, to: &CommitId) -> Result<Moves, GitError> {
        let key = (from.clone(), to.clone());
        if let Some(known) = self.moves.get(&key) {
            return Ok(known.clone());
        }
        let tree = |commit: &CommitId| Ok::<_, GitError>(self.backend.commit_info(commit)?.tree);
        let mut moves = Moves { added: BTreeSet::new(), gone: BTreeSet::new() };
        for change in self.backend.diff(&tree(from)?, &tree(to)?, false)? {
            match (change.old, change.new) {
                (None, Some(_)) => drop(moves.added.insert(change.path)),
                (Some(_), None) => drop(moves.gone.insert(change.path)),
                _ => {}
            }
        }
        self.moves.insert(key, moves.clone());
        Ok(moves)
    }

    /// What base would be with a commit that merges onto it.
    fn merged(&mut self, head: &CommitId) -> Result<CommitId, GitError> {
        if let Some(merged) = self.merged.get(head) {
            return Ok(merged.clone());
        }
        if self.backend.is_ancestor(&self.base, head)? {
            return Ok(head.clone());
        }
        // One that does not merge after all is compared as it is.
        Ok(self.merge_onto_base(head)?.unwrap_or_else(|_| head.clone()))
    }

    /// The merge commit, or the files in conflict.
    fn merge_onto_base(&mut self, head: &CommitId) -> Result<Result<CommitId, BTreeSet<PathBuf>>, GitError> {
        let tree = match self.backend.merge(None, &self.base, head)? {
            Merged::Conflict(files) => return Ok(Err(files.into_iter().collect())),
            Merged::Tree(tree) => tree,
        };
        let commit = self.backend.write_commit(&NewCommit {
            tree: &tree,
            parents: &[self.base.clone(), head.clone()],
            message: "pipeline: tried out",
            name: "pipeline",
            email: "pipeline@localhost",
            when: Timestamp::UNIX_EPOCH,
        })?;
        self.merged.insert(head.clone(), commit.clone());
        Ok(Ok(commit))
    }

    /// The paths that differ between two commits.
    fn changed(&self, from: &CommitId, to: &CommitId) -> Result<BTreeSet<PathBuf>, GitError> {
        let tree = |commit: &CommitId| Ok::<_, GitError>(self.backend.commit_info(commit)?.tree);
        Ok(self.backend.differing(&tree(from)?, &tree(to)?)?.into_iter().collect())
    }
}

fn conflicts(fit: &Fit) -> BTreeSet<PathBuf> {
    match fit {
        Fit::Conflict(files) => files.clone(),
        Fit::Nothing | Fit::Clean(_) => BTreeSet::new(),
    }
}

/// Whether two sets of changed paths could be in each other's way: a path is in both, or one lies below the other.
fn meet(a: &BTreeSet<PathBuf>, b: &BTreeSet<PathBuf>) -> bool {
    let is_below = |path: &Path, others: &BTreeSet<PathBuf>| path.ancestors().any(|above| others.contains(above));
    a.iter().any(|path| is_below(path, b)) || b.iter().any(|path| is_below(path, a))
}

/// The nearest folder of a path, not the top one, in which some of the others lie.
fn folder_with<'p>(path: &'p Path, others: &BTreeSet<PathBuf>) -> Option<&'p Path> {
    // Paths are ordered by their components, so that what is below a folder follows it directly.
    let holds = |folder: &Path| {
        others
            .range::<Path, _>((Bound::Included(folder), Bound::Unbounded))
            .next()
            .is_some_and(|other| other.starts_with(folder))
    };
    path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).find(|above| holds(above))
}

/// Whether some of these paths lie in a folder with some of the others.
fn touch(paths: &BTreeSet<PathBuf>, others: &BTreeSet<PathBuf>) -> bool {
    paths.iter().any(|path| folder_with(path, others).is_some())
}

/// Whether one side may have moved a folder to which the other one adds.
fn may_leave(mover: &Moves, adder: &Moves) -> bool {
    adder.added.iter().any(|path| {
        folder_with(path, &mover.gone).is_some_and(|folder| mover.added.iter().any(|new| !new.starts_with(folder)))
    })
}

fn names(files: &BTreeSet<PathBuf>) -> Vec<String> {
    files.iter().map(|file| text(file)).collect()
}
