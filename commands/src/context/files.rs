//! The files that the configuration of a repository is read from: where they are, what they look like, and all of them read
//! together.

use std::path::{Path, PathBuf};

use pipeline_lib::registry::Registry;
use pipeline_lib::run::{Run, Work};

use super::{Context, Globals, Site};
use crate::config::{self, Definitions, Loaded, Sources, WorkflowSet};
use crate::error::{CommandError, Result, exit};

/// The registry, in the pipeline's folder.
const REGISTRY_FILE: &str = "registry.json";

/// Name, time of change, size and inode of each file that a configuration is read from.
pub(super) type Stamp = Vec<(PathBuf, Option<std::time::SystemTime>, u64, u64)>;

/// What the configuration's files look like now.
pub(super) fn stamp(globals: &Globals, site: &Site) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let sources = sources(globals, site);
    let registry = site.folder().join(REGISTRY_FILE);
    let mut files: Vec<PathBuf> = sources.project_file.into_iter().chain(sources.user_file).chain([registry]).collect();
    for dir in ["workflows", "agents"] {
        let entries = std::fs::read_dir(site.folder().join(dir)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()));
    }
    files.sort_unstable();
    let look = |file: PathBuf| match std::fs::metadata(&file) {
        Ok(found) => (file, found.modified().ok(), found.len(), found.ino()),
        Err(_) => (file, None, 0, 0),
    };
    files.into_iter().map(look).collect()
}

/// Where the configuration of a repository is read from.
#[must_use]
pub fn sources(globals: &Globals, site: &Site) -> Sources {
    let user = globals
        .environment
        .get("XDG_CONFIG_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| globals.environment.get("HOME").map(|home| Path::new(home).join(".config")))
        .map(|dir| dir.join("pipeline/config.toml"));
    Sources {
        overrides: globals.overrides.clone(),
        environment: globals.environment.clone(),
        project_file: globals.config_file.clone().or_else(|| Some(site.folder().join("config.toml"))),
        project_file_required: globals.config_file.is_some(),
        user_file: user,
    }
}

/// Reads the whole configuration.
///
/// # Errors
/// When it is invalid. Workflows and agent definitions that cannot be used are left out instead, with what is wrong.
pub(super) fn read_configuration(
    globals: &Globals,
    site: &Site,
) -> Result<(Loaded, Definitions, WorkflowSet, Registry)> {
    let folder = site.folder();
    let sources = sources(globals, site);
    let invalid = |error: config::ConfigError| {
        // The caller says "error" itself; the help of each problem stands below its place.
        let shown = error.render(false);
        let message = shown.strip_prefix("error: ").unwrap_or(&shown).trim_end();
        CommandError::new(exit::CONFIG, "config_invalid", message)
            .hint("Nothing was changed. Mend it, then run `pipeline config validate`.")
    };
    let mut loaded = config::load(&sources).map_err(invalid)?;
    let definitions = config::load_definitions(&folder.join("agents"));
    loaded.add_definitions(&definitions);
    let mut workflows = config::load_workflows(&folder.join("workflows"), &loaded.config.roles());
    let registry = config::load_registry(&folder.join(REGISTRY_FILE), &mut workflows).map_err(invalid)?;
    Ok((loaded, definitions, workflows, registry))
}

impl Context {
    /// The file in which a run's agent or command may report its outcome.
    pub(crate) fn outcome_file(&self, run: &Run) -> PathBuf {
        self.outcome_dir(run).join(match run.work {
            Work::Agent => "outcome.json".to_owned(),
            _ => format!("{}.json", run.id),
        })
    }

    /// The directory of that file: in a run's directory one that belongs to its agent, which may have no other there. A
    /// command is confined nowhere, so that all of them have one, and no directory is made for a run that keeps nothing.
    pub(crate) fn outcome_dir(&self, run: &Run) -> PathBuf {
        match run.work {
            Work::Agent => self.run_dir(&run.id).join("out"),
            _ => self.runs_dir().join(".outcomes"),
        }
    }
}
