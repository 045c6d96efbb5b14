//! Secrets of commands: where their values come from, and how they are kept out of everything that is written down. A
//! workflow names them; the values are in `.pipeline/secrets.env` or in the supervisor's own environment.
//!
//! They are given to a run's host in its environment, never in its claim, and the host takes them out of the output that
//! it keeps. What a command commits or sends elsewhere is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use pipeline_lib::ids::RunId;
use pipeline_lib::workflow::{Stage, Workflow};
use serde_json::Value;

use super::look::read_small;
use super::perform::Failure;
use crate::context::Context;

/// The file, in the folder of everything that is ours.
const FILE: &str = "secrets.env";
/// The largest such file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The largest claim that is read for the names of secrets, in bytes.
const CLAIM_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A shorter value could not be taken out of an output without taking out much else.
const VALUE_BYTES_MIN: usize = 4;
/// What stands where a secret was.
const MASK: &str = "***";

/// What can be given to commands, and what is a secret wherever it is found.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    values: BTreeMap<String, String>,
    /// Values that agents are given under names which say that they are secret.
    of_agents: Arc<[String]>,
}

impl Secrets {
    /// What there is for a stage that is about to run.
    ///
    /// # Errors
    /// When it needs a secret, and the file may be read by others, or cannot be read.
    pub(super) fn of(context: &Context, stage: &Stage) -> Result<Self, Failure> {
        if stage.secrets.is_empty() {
            return Ok(Self::known(context, Some(stage)));
        }
        Ok(Self::with(context, Some(stage), file(context)?))
    }

    /// Whether there is every secret that the commands of a workflow need.
    ///
    /// # Errors
    /// When one has no value, or one that cannot be kept secret.
    pub(super) fn needed(context: &Context, workflow: &Workflow) -> Result<(), Failure> {
        for stage in workflow.stages.iter().filter(|stage| !stage.secrets.is_empty()) {
            Self::of(context, stage)?.give(stage, &mut BTreeMap::new())?;
        }
        Ok(())
    }

    /// Every secret that some workflow names, or that the file has, as far as there is a value. `stage` may be one of a
    /// workflow that is not among the project's. A file that cannot be used has nothing to hide.
    pub(crate) fn known(context: &Context, stage: Option<&Stage>) -> Self {
        let values = file(context).unwrap_or_else(|failure| {
            tracing::warn!(message = failure.message, "the secrets cannot be read");
            BTreeMap::new()
        });
        Self::with(context, stage, values)
    }

    fn with(context: &Context, stage: Option<&Stage>, mut values: BTreeMap<String, String>) -> Self {
        let project = context.workflows().workflows.iter().flat_map(|workflow| workflow.secrets());
        let names: BTreeSet<&String> = project.chain(stage.into_iter().flat_map(|stage| &stage.secrets)).collect();
        for name in names {
            if let Some(value) = context.environment().get(name).filter(|value| !value.is_empty()) {
                // The file is the project's own word, whatever a shell happens to have exported.
                values.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Self { values, of_agents: context.secrets_of_agents() }
    }

    /// The same for a run, whose claim names what it was given. What cannot be read hides nothing.
    pub(super) fn of_run(context: &Context, run: &RunId) -> Self {
        let claim = read_small(&context.run_dir(run).join("claim.json"), CLAIM_BYTES_MAX);
        let claim: Value = claim.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let mut secrets = Self::known(context, None);
        for name in claim["secrets"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(value) = context.environment().get(name).filter(|value| !value.is_empty()) {
                secrets.values.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
        }
        secrets
    }

    /// Gives a stage what it names, and takes every other secret out of an environment.
    ///
    /// # Errors
    /// When one has no value, or one that cannot be kept secret.
    pub(super) fn give(&self, stage: &Stage, env: &mut BTreeMap<String, String>) -> Result<(), Failure> {
        for name in self.values.keys() {
            env.remove(name);
        }
        for name in &stage.secrets {
            let Some(value) = self.values.get(name) else {
                return Err(Failure::permanent(format!(
                    "stage {} needs the secret {name}, which is neither in .pipeline/{FILE} nor in our environment",
                    stage.id
                )));
            };
            if value.len() < VALUE_BYTES_MIN {
                return Err(Failure::permanent(format!(
                    "the secret {name} has less than {VALUE_BYTES_MIN} characters; it could not be kept out of logs"
                )));
            }
            env.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Whether a variable of this name is a secret that can be told from other words.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.len() >= VALUE_BYTES_MIN)
    }

    /// The text without any secret.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut values: Vec<&str> = self
            .values
            .values()
            .chain(&*self.of_agents)
            .flat_map(|value| [value.as_str()].into_iter().chain(value.lines()))
            .collect();
        values.retain(|value| value.trim().len() >= VALUE_BYTES_MIN);
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.into_iter().fold(text.to_owned(), |text, value| text.replace(value, MASK))
    }
}

/// What the file says; nothing where there is none.
fn file(context: &Context) -> Result<BTreeMap<String, String>, Failure> {
    let path: PathBuf = context.folder().join(FILE);
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Failure::permanent(format!("cannot read {}: {error}", path.display()))),
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Failure::permanent(format!("{} is not a regular file", path.display())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(Failure::permanent(format!(
            "{} can be read by others; run `chmod 600 {}`",
            path.display(),
            path.display()
        )));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    parse(&text).map_err(|line| Failure::permanent(format!("{}:{line}: write NAME=value on each line", path.display())))
}

/// Lines of `NAME=value`; `#` begins a comment, `export` may stand before, quotes around a value are taken off.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut values = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(number + 1)?;
        let (name, value) = (name.trim(), value.trim());
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(word) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(number + 1);
        }
        let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let value = unquoted.unwrap_or(value);
        if !value.is_empty() {
            values.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_secrets_is_read() {
        let text = "# ours\nTOKEN=abc=def\nexport KEY = \"two words\"\n\nEMPTY=\nONE='it''s'\n";
        let values = parse(text).unwrap();
        let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(values, [("KEY", "two words"), ("ONE", "it''s"), ("TOKEN", "abc=def")]);
        for (wrong, line) in [("TOKEN", 1), ("A=b\n1A=b", 2), ("=b", 1), ("A B=c", 1)] {
            assert_eq!(parse(wrong), Err(line), "{wrong}");
        }
    }

    #[test]
    fn every_secret_is_taken_out_of_a_text() {
        let values = [("A", "hunter2"), ("B", "hunter22"), ("C", "abc"), ("D", "line one\nline two")];
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let secrets = Secrets { values, of_agents: ["sk-agent-key".to_owned()].into() };
        assert_eq!(secrets.mask("hunter22 hunter2 abc, line two, sk-agent-key"), "*** *** abc, ***, ***");
    }
}
