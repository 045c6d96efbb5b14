//! What an agent could have planted so that git runs a program of its choice for us: another place behind the files that
//! lead from a worktree to its repository, and programs in the repository's own configuration.
//!
//! Hooks, monitors, pagers and the like are switched off for every command of ours and are not looked for here. Filters and
//! merge drivers cannot be: without them files would be stored wrongly. They are believed where the user's own
//! configuration has them, which is no part of a repository.

use std::cell::RefCell;
use std::path::Path;

use git2::Config;

use super::backend::Checkout;
use super::stamp::{Stamp, settled};
use super::{GitError, Repo, layout};

/// Programs that git runs on files, by the names of the settings.
const PROGRAMS: [&str; 2] = [r"^filter\..*\.(clean|smudge|process)$", r"^merge\..*\.driver$"];
/// Settings that take in other files.
const INCLUDES: &str = r"^include(if\..*)?\.path$";
/// What may be set for one worktree alone. Everything else there could be a program, now or in a git to come.
const OF_WORKTREES: [&str; 5] =
    ["core.sparsecheckout", "core.sparsecheckoutcone", "core.bare", "core.worktree", "index.sparse"];

/// Configuration files that were read and found to name nobody's programs, as they were then: they are looked at before
/// almost everything that is done with a checkout.
#[derive(Debug, Default)]
pub(super) struct Cleared(RefCell<Vec<Stamp>>);

impl Cleared {
    /// Refuses a configuration file that names a program for files which the user's own configuration does not name.
    pub(super) fn programs(&self, file: &Path) -> Result<(), GitError> {
        let mut known = self.0.borrow_mut();
        if known.first().is_some_and(|one| one.file() == file) && known.iter().all(Stamp::holds) {
            return Ok(());
        }
        known.clear();
        let own = [Config::find_system(), Config::find_xdg(), Config::find_global()].into_iter().flatten();
        let stamps: Vec<Stamp> = std::iter::once(file.to_owned()).chain(own).map(|file| Stamp::of(&file)).collect();
        let includes = programs(file)?;
        if !includes && settled(&stamps) {
            *known = stamps;
        }
        Ok(())
    }
}

/// Refuses a checkout whose files lead elsewhere, or whose configuration names programs that are nobody's we know. The
/// git directory is given without symbolic links.
pub(super) fn look(cleared: &Cleared, common: &Path, checkout: &Checkout) -> Result<(), GitError> {
    cleared.programs(&common.join("config"))?;
    if checkout.admin == common {
        return Ok(());
    }
    let not = |problem: String| GitError::NotAWorktree { path: checkout.path.clone(), problem };
    let leads = layout::read_optional(&checkout.admin.join("commondir"))?;
    let is_common = |to: &str| {
        // As it is always written, and no link on the way.
        let is_two_above = to == "../.." && checkout.admin.ancestors().nth(2) == Some(common);
        is_two_above && layout::is_plain(&checkout.admin)
            || checkout.admin.join(to).canonicalize().is_ok_and(|to| to == common)
    };
    if !leads.as_deref().is_some_and(|to| is_common(to.trim_end())) {
        let said = leads.unwrap_or_default();
        return Err(not(format!("its file commondir leads to `{}`", said.trim_end().escape_debug())));
    }
    let own = checkout.admin.join("config.worktree");
    if let Some(other) = first(&own, |name| !OF_WORKTREES.contains(&name))? {
        return Err(not(format!("it has a setting of its own, {other}")));
    }
    Ok(())
}

/// Refuses a configuration file that names a program for files which the user's own configuration does not name. Says
/// whether it includes others.
fn programs(file: &Path) -> Result<bool, GitError> {
    if !file.exists() {
        return Ok(false);
    }
    let attempt = || GitError::lib(format!("read {}", file.display()));
    let config = Config::open(file).map_err(attempt())?;
    let own = Config::open_default().map_err(attempt())?;
    for pattern in PROGRAMS {
        let mut entries = config.entries(Some(pattern)).map_err(attempt())?;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(attempt())?;
            let key = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let value = String::from_utf8_lossy(entry.value_bytes()).into_owned();
            if !value.is_empty() && own.get_string(&key).ok().as_ref() != Some(&value) {
                return Err(GitError::ForeignProgram { file: file.to_owned(), key, value });
            }
        }
    }
    let mut others = config.entries(Some(INCLUDES)).map_err(attempt())?;
    Ok(others.next().is_some())
}

/// The first setting of a file that is as asked.
fn first(file: &Path, wanted: impl Fn(&str) -> bool) -> Result<Option<String>, GitError> {
    if file.symlink_metadata().is_err() {
        return Ok(None);
    }
    let attempt = || GitError::lib(format!("read {}", file.display()));
    let config = Config::open(file).map_err(attempt())?;
    let mut entries = config.entries(None).map_err(attempt())?;
    while let Some(entry) = entries.next() {
        let name = String::from_utf8_lossy(entry.map_err(attempt())?.name_bytes()).into_owned();
        if wanted(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

impl Repo {
    /// Makes what leads from a worktree to this repository say again what it must. What was there instead is moved to
    /// another directory, so that nothing of it is lost. Says what was put right.
    ///
    /// # Errors
    /// When the repository does not know the worktree, or a file cannot be moved or written.
    pub fn mend(&self, worktree: &Path, aside: &Path) -> Result<Vec<String>, GitError> {
        let path = layout::absolute(worktree)?;
        let Some(checkout) = layout::find_entry(&self.common, &path)? else { return Ok(Vec::new()) };
        let mut mended = Vec::new();
        let move_away = |file: &Path, name: &str| -> Result<(), GitError> {
            let free = (1_u32..).map(|number| aside.join(format!("planted-{name}-{number}")));
            let target = free.into_iter().find(|target| target.symlink_metadata().is_err());
            let target = target.unwrap_or_else(|| aside.join(name));
            std::fs::rename(file, &target).map_err(GitError::io("move away", file))
        };
        let pointer = path.join(".git");
        let leads = pointer.symlink_metadata().is_ok_and(|found| found.is_file())
            && layout::read_optional(&pointer).is_ok_and(|content| {
                content.is_some_and(|content| super::checkout::leads_to(&path, &content, &checkout.admin))
            });
        if path.is_dir() && !leads {
            if pointer.symlink_metadata().is_ok() {
                move_away(&pointer, "git")?;
                mended.push("its .git did not lead to this repository".to_owned());
            }
            layout::write_pointer(&checkout)?;
        }
        if let Err(GitError::NotAWorktree { problem, .. }) = look(&self.cleared, &self.common, &checkout) {
            for (name, content) in [("commondir", Some("../..\n")), ("config.worktree", None)] {
                let file = checkout.admin.join(name);
                if file.symlink_metadata().is_ok() {
                    move_away(&file, name)?;
                }
                if let Some(content) = content {
                    layout::replace(&file, content.as_bytes())?;
                }
            }
            mended.push(problem);
        }
        Ok(mended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMLESS: &str = "[filter \"x\"]\n\tcleam = true\n";
    const FOREIGN: &str = "[filter \"x\"]\n\tclean = true\n";

    #[test]
    fn what_was_cleared_is_looked_at_again_once_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, HARMLESS).unwrap();
        let cleared = Cleared::default();
        *cleared.0.borrow_mut() = vec![Stamp::of(&file)];
        cleared.programs(&file).unwrap();
        assert_eq!(cleared.0.borrow().len(), 1, "it was not read");
        // Of the same length and the same time of writing, and yet not the same.
        let written = file.metadata().unwrap().modified().unwrap();
        let before = Stamp::of(&file);
        // The system's clock for files may stand still for some milliseconds; nothing that recent is ever cleared.
        while before.holds() {
            std::fs::write(&file, FOREIGN).unwrap();
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
        }
        let refused = cleared.programs(&file).unwrap_err();
        assert!(matches!(refused, GitError::ForeignProgram { .. }), "{refused}");
        assert!(cleared.programs(&file).is_err(), "and again");
    }

    #[test]
    fn a_configuration_that_includes_another_is_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, "[include]\n\tpath = other\n").unwrap();
        std::fs::write(dir.path().join("other"), HARMLESS).unwrap();
        assert!(programs(&file).unwrap(), "it includes another");
        std::fs::write(dir.path().join("other"), FOREIGN).unwrap();
        assert!(programs(&file).is_err());
        std::fs::write(&file, HARMLESS).unwrap();
        assert!(!programs(&file).unwrap());
    }
}
