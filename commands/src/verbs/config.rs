//! `pipeline config`: the configuration in force, where each value comes from, and what is wrong with it. Changes nothing;
//! the file is the person's.

use std::path::PathBuf;

use pipeline_lib::view::SCHEMA_VERSION;
use serde_json::{Value, json};

use super::status::{head, print_rows};
use crate::config::{self, LocatedProblem, Origin, render_all};
use crate::context::{Context, FOLDER, Site, sources};
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};

/// The configuration in force.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done about the configuration.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Print every value in force
    ///
    /// A flag goes before the environment variable PIPELINE_SECTION__KEY, such as PIPELINE_SCHEDULER__RETRIES=3; that
    /// before .pipeline/config.toml, that before your own pipeline/config.toml, and that before the default.
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Say what is wrong with it, if anything
    Validate,
    /// Print where the project's configuration is
    Path,
}

/// Shows or checks the configuration.
///
/// # Errors
/// When there is no repository, or with `show` when the configuration is invalid.
pub fn run(call: &Call, args: &ConfigArgs) -> Result<u8> {
    let site = Site::find(&call.globals)?;
    match args.action {
        Action::Show { origin } => show(call, site, origin),
        Action::Validate => validate(call, &site),
        Action::Path => path(call, &site),
    }
}

fn show(call: &Call, site: Site, origin: bool) -> Result<u8> {
    let context = Context::load(&call.globals, &call.output, site)?;
    let base = json!(context.base());
    let mut entries = context.loaded().entries();
    for entry in entries.iter_mut().filter(|entry| entry.key == "project.base" && entry.value.is_null()) {
        entry.value = base.clone();
    }
    let out = &call.output;
    if out.json {
        let entries: Vec<Value> = entries
            .iter()
            .map(|entry| json!({ "key": entry.key, "value": entry.value, "origin": origin_json(&entry.origin) }))
            .collect();
        out.json(&json!({ "schema_version": SCHEMA_VERSION, "entries": entries }))?;
        return Ok(exit::OK);
    }
    let mut rows = if origin { vec![head(out, &["KEY", "VALUE", "FROM"])] } else { Vec::new() };
    for entry in &entries {
        let value = if entry.value.is_null() { "-".to_owned() } else { entry.value.to_string() };
        let mut row = vec![entry.key.clone(), pipeline_lib::text::one_line(&value, 200)];
        if origin {
            let set = entry.origin != Origin::Default;
            row.push(out.paint(if set { "0" } else { "2" }, &entry.origin.to_string()));
        }
        rows.push(row);
    }
    print_rows(out, &rows)?;
    Ok(exit::OK)
}

fn origin_json(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { file, line, column } => json!({ "kind": "file", "file": file, "line": line, "column": column }),
        Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
        Origin::Override(key) => json!({ "kind": "command_line", "key": key }),
    }
}

fn validate(call: &Call, site: &Site) -> Result<u8> {
    let definitions = config::load_definitions(&site.folder().join("agents"));
    let mut problems = match config::load(&sources(&call.globals, site)) {
        Ok(mut loaded) => {
            loaded.add_definitions(&definitions);
            let roles = loaded.config.roles();
            let mut workflows = config::load_workflows(&site.folder().join("workflows"), &roles);
            let mut warnings = loaded.warnings;
            warnings.extend(config::registry_problems(&site.folder().join("registry.json"), &mut workflows));
            warnings.extend(definitions.unused(&roles, &workflows.param_names()));
            warnings
        }
        Err(error) => error.problems,
    };
    problems.extend(definitions.problems);
    let valid = problems.iter().all(|problem| problem.warning);
    let out = &call.output;
    if out.json {
        let list: Vec<Value> = problems.iter().map(problem_json).collect();
        out.json(&json!({ "schema_version": SCHEMA_VERSION, "valid": valid, "problems": list }))?;
    } else if problems.is_empty() {
        out.line("the configuration is valid")?;
    } else {
        out.line(&render_all(&problems, out.color))?;
    }
    Ok(if valid { exit::OK } else { exit::CONFIG })
}

/// A problem as the documents show it.
pub(super) fn problem_json(problem: &LocatedProblem) -> Value {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "level": if problem.warning { "warning" } else { "error" },
        "message": problem.message,
        "suggestion": problem.suggestion.as_deref().unwrap_or_default(),
    })
}

fn path(call: &Call, site: &Site) -> Result<u8> {
    let sources = sources(&call.globals, site);
    let missing = || CommandError::failed("there is no place for a configuration file");
    let project = sources.project_file.ok_or_else(missing)?;
    let user = sources.user_file;
    let exists = |path: &PathBuf| path.is_file();
    if call.output.json {
        let file = |path: &PathBuf| json!({ "path": path.to_string_lossy(), "exists": exists(path) });
        let folder = site.root.join(FOLDER);
        call.output.json(&json!({
            "schema_version": SCHEMA_VERSION,
            "project": file(&project),
            "user": user.as_ref().map(file),
            "workflows": folder.join("workflows").to_string_lossy(),
            "agents": folder.join("agents").to_string_lossy(),
        }))?;
        return Ok(exit::OK);
    }
    call.output.line(&project.to_string_lossy())?;
    if !exists(&project) {
        call.output.note("it does not exist; `pipeline init` makes one");
    }
    if let Some(user) = user.filter(exists) {
        call.output.note(&format!("values it does not set are read from {}", user.display()));
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_origin_has_a_word() {
        let file = Origin::File { file: "config.toml".to_owned(), line: 2, column: 3 };
        let kinds = [Origin::Default, file, Origin::Environment("A".to_owned()), Origin::Override("a".to_owned())]
            .map(|origin| origin_json(&origin)["kind"].as_str().unwrap().to_owned());
        assert_eq!(kinds, ["default", "file", "environment", "command_line"]);
    }
}
