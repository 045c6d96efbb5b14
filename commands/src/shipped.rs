//! Workflows, scripts and prompts that come with the program. A file of the same id in `.pipeline/workflows/` takes the
//! place of a workflow, and an agent definition that of a prompt. Nothing is read here until its name is asked for, and
//! nothing is recorded until a task is put on it.

mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use pipeline_lib::ids::{Role, WorkflowId};
use pipeline_lib::workflow::{Workflow, parse};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::builtin;
use crate::supervisor::replace_file;
use tables::{AGENTS, SCRIPTS, WORKFLOWS};
pub(crate) use tables::{PACKS, Pack};

/// The variable that names the folder of the scripts. A command that mentions it has it.
pub(crate) const SCRIPTS_VARIABLE: &str = "PIPELINE_SHIPPED";
/// The variable that names this program, for the same commands.
pub(crate) const PROGRAM_VARIABLE: &str = "PIPELINE_PROGRAM";
/// The field of a stage that lists roles that do as well as the one that is named.
const FALLBACK: &str = "fallback";
/// The field of a stage that keeps the role that was named, where another one does its work.
const ACTS_AS: &str = "acts_as";

/// The names of the workflows, sorted.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    static SORTED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let chains = builtin().chains.iter().map(|chain| chain.id.as_str());
        let mut ids: Vec<&'static str> = WORKFLOWS.iter().map(|(id, _)| *id).chain(chains).collect();
        ids.sort_unstable();
        ids
    });
    SORTED.iter().copied()
}

/// The workflow of this name, done by those of these roles that there are, and the stages that none of them can do.
/// While there is no role at all, none is missed.
pub(crate) fn workflow(id: &str, roles: &BTreeSet<Role>) -> Option<(Workflow, Vec<String>)> {
    if let Some(chain) = builtin().chains.iter().find(|chain| chain.id.as_str() == id) {
        // What its workflows miss is said of them.
        let part = |id: &WorkflowId| Some(Arc::new(workflow(id.as_str(), roles)?.0));
        return Some((chain.workflow(part).ok()?, Vec::new()));
    }
    let (_, text) = WORKFLOWS.iter().find(|(name, _)| *name == id)?;
    bind(text, roles)
}

/// A workflow's text with roles that there are.
fn bind(text: &str, roles: &BTreeSet<Role>) -> Option<(Workflow, Vec<String>)> {
    let mut document: Value = serde_json::from_str(text).ok()?;
    let mut missing = Vec::new();
    for stage in document.get_mut("stages").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(named) = stage.get("agent").and_then(Value::as_str).map(str::to_owned) else { continue };
        let others = stage.get(FALLBACK).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let wanted: Vec<&str> = std::iter::once(named.as_str()).chain(others).collect();
        match wanted.iter().find(|wanted| roles.iter().any(|role| role.as_str() == **wanted)) {
            Some(there) if *there == named => {}
            Some(there) => {
                let there = Value::from(*there);
                stage["agent"] = there;
                stage[ACTS_AS] = named.into();
            }
            None if roles.is_empty() => {}
            None => {
                let id = stage.get("id").and_then(Value::as_str).unwrap_or_default();
                missing.push(format!("stage `{id}` is done by the role {}", wanted.join(" or ")));
            }
        }
    }
    // Every one of them is read by a test.
    let (workflow, _) = parse::parse(&document, None).ok()?;
    Some((workflow, missing))
}

/// The names of other workflows that a workflow leads to.
pub(crate) fn leads_to(workflow: &Workflow) -> impl Iterator<Item = &str> {
    workflow.leads_to().map(WorkflowId::as_str)
}

/// The prompt for who does this stage, where no definition has one: by the names that are given, the first that is known.
pub(crate) fn prompt<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let text = names.into_iter().find_map(|name| AGENTS.iter().find(|(known, _)| *known == name))?.1;
    let document: Value = serde_json::from_str(text).ok()?;
    Some(document.get("system_prompt")?.as_str()?.to_owned())
}

/// The name that a stage had for who does it, before it was given a role that there is.
pub(crate) fn acts_as(stage: &pipeline_lib::workflow::Stage) -> Option<&str> {
    stage.extra.get(ACTS_AS)?.as_str()
}

/// The folder of the scripts below a folder that git ignores, written where it is not there yet. Another version of the
/// program has another folder.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn scripts(below: &Path) -> std::io::Result<PathBuf> {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        for (name, text) in SCRIPTS {
            hash.update(name);
            hash.update(text);
        }
        let digits: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("scripts-{digits}")
    });
    let folder = below.join(NAME.as_str());
    for (name, text) in SCRIPTS {
        let path = folder.join(name);
        if fs::metadata(&path).is_ok_and(|found| found.len() == text.len() as u64) {
            continue;
        }
        fs::create_dir_all(&folder)?;
        replace_file(&path, text.as_bytes())?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests;
