//! `pipeline workflow new`: a file to begin with, in which every part says what it is for.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};

use pipeline_lib::ids::{Role, WorkflowId, is_reserved};
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use serde_json::{Value, json};

use super::form;
use crate::context::Context;
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};
use crate::shipped;

/// What a new workflow begins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Template {
    /// Agents that plan, build and review.
    Agents,
    /// Commands, with parameters and thresholds.
    Commands,
    /// A hub that makes requirements hold.
    Hub,
    /// Stages at the same time, and one for each environment.
    Parallel,
}

impl Template {
    pub(super) const ALL: [Self; 4] = [Self::Agents, Self::Commands, Self::Hub, Self::Parallel];

    fn word(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Commands => "commands",
            Self::Hub => "hub",
            Self::Parallel => "parallel",
        }
    }
}

/// Writes a new workflow file.
///
/// # Errors
/// When the name cannot be one, the file is there already, or there is nothing of the name it is to begin as.
pub(super) fn run(call: &Call, name: &str, from: Option<&str>, print: bool) -> Result<u8> {
    let id = WorkflowId::new(name).map_err(|error| {
        CommandError::new(exit::USAGE, "invalid_name", error.to_string())
            .hint("Write a short name such as `release` or `nightly-tests`.")
    })?;
    let context = call.context()?;
    if let Some(pack) = shipped::PACKS.iter().find(|pack| from == Some(pack.name)) {
        return unpack(call, &context, pack, print);
    }
    let roles = context.config().roles();
    let word = from.unwrap_or(Template::Agents.word());
    let document = match Template::ALL.into_iter().find(|template| template.word() == word) {
        Some(template) => document(id.as_str(), template, &roles),
        None => {
            let set = context.workflows();
            let found = WorkflowId::new(word).ok().and_then(|word| set.find(&word));
            let workflow = found.ok_or_else(|| {
                let shipped: Vec<&str> = set.shipped_ids().chain(shipped::PACKS.iter().map(|pack| pack.name)).collect();
                let known = set.workflows.iter().map(|workflow| workflow.id.as_str()).chain(shipped);
                let known: Vec<&str> = Template::ALL.iter().map(|template| template.word()).chain(known).collect();
                CommandError::not_found(format!("there is nothing called `{}` to begin with", one_line(word, 80)))
                    .hint(format!("There are: {}.", known.join(", ")))
            })?;
            let mut copy = form::of(&workflow)?;
            copy["id"] = json!(id);
            copy
        }
    };
    let text = format!("{}\n", serde_json::to_string_pretty(&document)?);
    if print {
        call.output.raw(&text)?;
        return Ok(exit::OK);
    }
    let folder = context.folder().join("workflows");
    let path = folder.join(format!("{id}.json"));
    let cannot = |error: &std::io::Error| {
        CommandError::new(exit::CANNOT_WRITE, "cannot_write", format!("{} cannot be written: {error}", path.display()))
    };
    if context.workflows().workflows.iter().any(|workflow| workflow.id == id && id.as_str() != "tdd") {
        return Err(CommandError::failed(format!("there is a workflow `{id}` already")).hint("Choose another name."));
    }
    fs::create_dir_all(&folder).map_err(|error| cannot(&error))?;
    let mut file = match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!("{} exists already", path.display());
            return Err(CommandError::failed(message).hint("Choose another name, or remove the file."));
        }
        Err(error) => return Err(cannot(&error)),
    };
    file.write_all(text.as_bytes()).map_err(|error| cannot(&error))?;
    let shown = path.strip_prefix(context.root()).unwrap_or(&path).display().to_string();
    if call.output.json {
        call.output.json(&json!({ "schema_version": SCHEMA_VERSION, "id": id, "file": shown }))?;
    } else {
        call.output.line(&shown)?;
        call.output
            .note(&format!("see it with `pipeline workflow graph {id}`, check it with `pipeline workflow validate`"));
    }
    Ok(exit::OK)
}

/// Writes the files of a pack, all or none.
fn unpack(call: &Call, context: &Context, pack: &shipped::Pack, print: bool) -> Result<u8> {
    if print {
        for (_, text) in pack.files {
            call.output.raw(text)?;
        }
        return Ok(exit::OK);
    }
    let root = context.folder();
    let taken = pack.files.iter().map(|(name, _)| root.join(name)).find(|path| path.exists());
    if let Some(path) = taken {
        let message = format!("{} exists already", path.display());
        return Err(CommandError::failed(message).hint("Nothing was written. Remove the file, or keep it."));
    }
    let mut written = Vec::new();
    for (name, text) in pack.files {
        let path = root.join(name);
        let cannot = |error: std::io::Error| {
            let message = format!("{} cannot be written: {error}", path.display());
            CommandError::new(exit::CANNOT_WRITE, "cannot_write", message)
        };
        fs::create_dir_all(path.parent().unwrap_or(&root)).map_err(cannot)?;
        crate::supervisor::replace_file(&path, text.as_bytes()).map_err(cannot)?;
        written.push(path.strip_prefix(context.root()).unwrap_or(&path).display().to_string());
    }
    if call.output.json {
        call.output.json(&json!({ "schema_version": SCHEMA_VERSION, "id": pack.name, "files": written }))?;
    } else {
        for file in written {
            call.output.line(&file)?;
        }
        call.output.note(pack.next);
    }
    Ok(exit::OK)
}

/// The file, with roles that there are.
pub(super) fn document(id: &str, template: Template, roles: &BTreeSet<Role>) -> Value {
    let role = |wanted: &str| {
        let there = roles.iter().any(|role| role.as_str() == wanted);
        let other = roles.iter().find(|role| !is_reserved(role)).filter(|_| !there);
        other.map_or_else(|| wanted.to_owned(), ToString::to_string)
    };
    let mut document = match template {
        Template::Agents => agents(role),
        Template::Commands => commands(),
        Template::Hub => hub(),
        Template::Parallel => parallel(),
    };
    document["id"] = json!(id);
    document
}

fn agents(role: impl Fn(&str) -> String) -> Value {
    json!({
        "id": "", "name": "Build and review", "version": "1.0.0",
        "description": "Agents plan a change, make it and review it. Say here what the workflow is for.",
        "params": {
            "focus": { "description": "what to look at first; templates name it {{ params.focus }}", "default": "the task" }
        },
        "stages": [
            { "id": "plan", "name": "Plan", "agent": role("architect"),
              "description": "Decide how the task is to be done, and write it down for the next stage." },
            { "id": "build", "name": "Build", "agent": role("implementation"), "verify": true, "max_visits": 5,
              "description": "Make the change that was planned. The project's verify command has to pass.",
              "inputs": ["plan"] },
            { "id": "review", "name": "Review", "agent": role("supervisor"), "merge": true,
              "description": "Review the whole change as it will be merged.",
              "decisions": [
                  { "choice": "success", "description": "the change is good: merge it" },
                  { "choice": "rework", "description": "it has to be done again; say why" },
                  { "choice": "conflict", "description": "it no longer fits the base branch" } ] }
        ],
        "connections": [
            { "from": "plan", "to": "build", "condition": "success" },
            { "from": "build", "to": "review", "condition": "success" },
            { "from": "review", "to": null, "condition": "success" },
            { "from": "review", "to": "build", "condition": "rework" },
            { "from": "review", "to": "build", "condition": "conflict" }
        ],
        "success_criteria": ["the change is reviewed and merged"]
    })
}

fn commands() -> Value {
    json!({
        "id": "", "name": "Check and test", "version": "1.0.0", "category": "testing",
        "description": "Commands, no agents: each runs in a worktree and its exit code decides where to go on.",
        "triggers": ["code_commit"],
        "params": {
            "filter": { "description": "which tests; give it with --param filter=…", "default": "" },
            "strict": { "description": "whether warnings are errors", "type": "boolean", "default": false }
        },
        "stages": [
            { "id": "prepare", "name": "Prepare", "timeout": "10m",
              "description": "Skipped where the probe exits with 0: there is nothing left to do.",
              "probe": "test -e .prepared", "run": "touch .prepared" },
            { "id": "test", "name": "Test", "timeout": "30m", "retries": 1,
              "description": "Values are quoted for the shell wherever they stand.",
              "run": ["echo \"testing {{ params.filter }}\"", "{% if params.strict %}echo strictly{% endif %}"],
              "env": { "CI": "true" },
              "decisions": [
                  { "choice": "success", "description": "all tests pass", "exit": 0 },
                  { "choice": "skipped", "description": "there was nothing to test", "exit": 77 },
                  { "choice": "failed", "description": "anything else", "exit": "other" } ] },
            { "id": "report", "name": "Report", "run": "echo {{ outputs.test.decision }}",
              "description": "What earlier stages decided can be used." }
        ],
        "connections": [
            { "from": "prepare", "to": "test" },
            { "from": "test", "to": "report", "condition": "success" },
            { "from": "test", "to": null, "condition": "skipped" },
            { "from": "test", "to": null, "condition": "failed" },
            { "from": "report", "to": null }
        ],
        "timeout": "1h", "success_criteria": ["all tests pass"]
    })
}

fn hub() -> Value {
    json!({
        "id": "", "name": "Set up", "version": "1.0.0", "category": "infrastructure",
        "description": "A hub looks at what already holds and starts only what is missing, recovery included.",
        "max_steps": 50,
        "stages": [
            { "id": "orchestrate", "name": "Orchestrate",
              "description": "Requirements are met in the order that `after` asks for.",
              "hub": {
                  "requirements": [
                      { "name": "configuration", "stage": "configure", "probe": "test -e service.conf" },
                      { "name": "service", "stage": "start", "probe": "test -e service.pid", "after": ["configuration"] } ],
                  "recovery": "recover", "validation": "validate",
                  "warnings": [{ "name": "low disk space", "probe": "test \"$(df -Pk . | awk 'NR == 2 { print $4 }')\" -gt 102400" }] } },
            { "id": "configure", "name": "Configure", "run": "echo port=8080 > service.conf" },
            { "id": "start", "name": "Start", "run": "echo started > service.pid" },
            { "id": "recover", "name": "Recover", "run": "rm -f service.pid",
              "description": "Mends what failed, then the hub looks again." },
            { "id": "validate", "name": "Validate", "run": "test -e service.conf && test -e service.pid" }
        ],
        "success_criteria": ["every requirement holds"]
    })
}

fn parallel() -> Value {
    json!({
        "id": "", "name": "At the same time", "version": "1.0.0", "category": "testing",
        "description": "Some stages at the same time, then one for each environment.",
        "stages": [
            { "id": "checks", "name": "Checks", "parallel": ["lint", "test"],
              "description": "Goes on when all of these are done." },
            { "id": "lint", "name": "Lint", "run": "echo lint" },
            { "id": "test", "name": "Test", "run": "echo test" },
            { "id": "deploy", "name": "Deploy", "run": "echo deploying to {{ matrix.environment }}",
              "description": "Done once for each value, all at the same time.",
              "matrix": { "environment": ["testnet", "regtest"] } }
        ],
        "connections": [
            { "from": "checks", "to": "deploy" },
            { "from": "deploy", "to": null }
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::workflow::parse::parse;

    #[test]
    fn what_is_begun_with_validates_without_a_warning() {
        let few = BTreeSet::from([Role::new("dev").unwrap()]);
        let tdd = ["architect", "implementation", "supervisor"].map(|role| Role::new(role).unwrap());
        for roles in [few, BTreeSet::from(tdd)] {
            for template in Template::ALL {
                let document = document("mine", template, &roles);
                let (workflow, warnings) =
                    parse(&document, Some(&roles)).unwrap_or_else(|problems| panic!("{problems:#?}"));
                assert_eq!((workflow.id.as_str(), warnings), ("mine", Vec::new()));
            }
        }
    }
}
