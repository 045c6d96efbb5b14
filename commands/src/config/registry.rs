//! The registry file, `.pipeline/registry.json`, and what comes with the program where it says nothing. What it means is
//! lib's business; here its problems get a file, a line and a column, and its chains join the workflows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use jiff::SignedDuration;
use pipeline_lib::ids::WorkflowId;
use pipeline_lib::registry::{Origin, Registry, Rule, parse, route};
use pipeline_lib::settings::{ScheduleSettings, Settings};
use pipeline_lib::text::nearest;
use pipeline_lib::workflow::parse::Problem;

use super::json::{self, Document};
use super::workflows::located;
use super::{ConfigError, WorkflowSet};

/// The largest registry.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What comes with the program.
pub(crate) fn builtin() -> &'static Registry {
    static BUILTIN: LazyLock<Registry> = LazyLock::new(|| {
        // It is read by a test.
        let document = serde_json::from_str(include_str!("builtin_registry.json")).unwrap_or_default();
        let mut registry = parse::parse(&document).map(|(registry, _)| registry).unwrap_or_default();
        registry.rules.iter_mut().for_each(|rule| rule.origin = Origin::Builtin);
        registry
    });
    &BUILTIN
}

/// Reads the registry of a project and adds its chains to the workflows. Without a file there is an empty one.
///
/// # Errors
/// When anything in it is wrong: limits must not be lost with a slip of the pen.
pub fn load_registry(path: &Path, set: &mut WorkflowSet) -> Result<Registry, ConfigError> {
    if !path.exists() {
        return Ok(Registry::default());
    }
    let one = |problem| ConfigError { problems: vec![problem] };
    let document = json::read(path, FILE_BYTES_MAX, "Registries").map_err(one)?;
    let (registry, mut problems) =
        parse::parse(document.json()).map_err(|found| ConfigError { problems: located(&document, found) })?;
    problems.extend(add_chains(&registry, &document, set));
    problems.extend(dangling(&registry, &document, set));
    set.draw_in(registry.schedules.iter().map(|schedule| schedule.workflow.as_str()));
    let located = located(&document, problems);
    if located.iter().any(|problem| !problem.warning) {
        return Err(ConfigError { problems: located });
    }
    set.problems.extend(located);
    Ok(registry)
}

/// Makes workflows of the chains. One chain may be a part of another, so they are tried until none is left or none fits.
fn add_chains(registry: &Registry, document: &Document, set: &mut WorkflowSet) -> Vec<Problem> {
    let section = section(document, &["chains", "workflows", "workflow_chains"]);
    let mut problems = Vec::new();
    let problem = |id: &WorkflowId, message: String, suggestion: Option<String>| Problem {
        pointer: format!("/{section}/{id}"),
        within: None,
        message,
        suggestion,
        warning: false,
    };
    let mut open: Vec<_> = registry.chains.iter().collect();
    loop {
        let before = open.len();
        let mut missing = Vec::new();
        open.retain(|chain| match chain.workflow(|id| set.find(id)) {
            Ok(workflow) => {
                if !set.add_chain(workflow) {
                    let message = format!("a workflow file defines `{}` as well", chain.id);
                    problems.push(problem(&chain.id, message, Some("Give one of them another name.".to_owned())));
                }
                false
            }
            Err(id) => {
                missing.push((chain.id.clone(), id));
                true
            }
        });
        if open.is_empty() || open.len() == before {
            problems.extend(missing.into_iter().map(|(chain, id)| {
                let (message, suggestion, warning) = unknown(&id, set);
                Problem { warning, ..problem(&chain, message, suggestion) }
            }));
            return problems;
        }
    }
}

/// Rules, schedules and chains that lead to a workflow which is not there.
fn dangling(registry: &Registry, document: &Document, set: &WorkflowSet) -> Vec<Problem> {
    let rules = section(document, &["rules", "selection_rules", "pipeline_selection"]);
    let schedules = section(document, &["schedules", "schedule"]);
    let chains = section(document, &["chains", "workflows", "workflow_chains"]);
    let of_rules = registry.rules.iter().enumerate().map(|(at, rule)| (format!("/{rules}/{at}"), &rule.workflow));
    let of_schedules =
        registry.schedules.iter().enumerate().map(|(at, schedule)| (format!("/{schedules}/{at}"), &schedule.workflow));
    let of_chains = registry
        .chains
        .iter()
        .filter_map(|chain| Some((format!("/{chains}/{}", chain.id), chain.on_failure.as_ref()?)));
    let all = of_rules.chain(of_schedules).chain(of_chains);
    all.filter(|(_, id)| set.find(id).is_none())
        .map(|(pointer, id)| {
            let (message, suggestion, warning) = unknown(id, set);
            Problem { pointer, within: None, message, suggestion, warning }
        })
        .collect()
}

/// What is said about a workflow that is not there. One whose file has mistakes is a problem of that file.
fn unknown(id: &WorkflowId, set: &WorkflowSet) -> (String, Option<String>, bool) {
    if !set.problems_of(id.as_str()).is_empty() {
        return (format!("workflow `{id}` cannot be used"), Some("Mend its file first.".to_owned()), true);
    }
    let known = set.workflows.iter().map(|workflow| workflow.id.as_str()).chain(set.shipped_ids());
    let meant = nearest(id.as_str(), known).map(|meant| format!("Did you mean `{meant}`?"));
    (format!("there is no workflow `{id}`"), meant, false)
}

fn section(document: &Document, names: &[&'static str]) -> &'static str {
    names.iter().copied().find(|name| document.json().get(name).is_some()).unwrap_or(names[0])
}

/// The settings with what the registry says, the limits that come with the program where it says nothing about a
/// category, and what workflows of the project say about when they start by themselves.
#[must_use]
pub fn with_registry(mut settings: Settings, registry: &Registry, set: &WorkflowSet) -> Settings {
    settings.categories = builtin().categories.clone();
    settings.categories.extend(registry.categories.iter().map(|(name, limit)| (name.clone(), *limit)));
    settings.schedules = registry.schedules.clone();
    for workflow in set.of_the_project() {
        let known = settings.schedules.iter().any(|s| s.workflow == workflow.id || s.name == workflow.id.as_str());
        if let Some(when) = workflow.schedule.clone().filter(|_| !known) {
            settings.schedules.push(ScheduleSettings {
                name: workflow.id.to_string(),
                workflow: workflow.id.clone(),
                when,
                params: BTreeMap::new(),
                jitter: SignedDuration::ZERO,
            });
        }
    }
    settings
}

/// Every rule there is, those of the project first.
#[must_use]
pub fn all_rules(registry: &Registry, set: &WorkflowSet) -> Vec<Rule> {
    let mut rules = registry.rules.clone();
    rules.extend(route::triggers(set.of_the_project(), Origin::Project));
    rules.extend(builtin().rules.iter().filter(|rule| set.find(&rule.workflow).is_some()).cloned());
    let shipped: Vec<_> = set.shipped_ids().filter_map(|id| set.shipped(id)).map(|(workflow, _)| workflow).collect();
    rules.extend(route::triggers(shipped.iter().map(|workflow| &**workflow), Origin::Shipped));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_overrides_the_limits_by_category() {
        let given = parse::parse(&serde_json::json!({ "concurrency": { "development": 4, "docs": 2 } }));
        let (registry, _) = given.unwrap();
        let categories = with_registry(Settings::default(), &registry, &WorkflowSet::default()).categories;
        let max = |name: &str| categories[name].max;
        assert_eq!((max("development"), max("docs"), max("testing")), (Some(4), Some(2), Some(3)));
        assert!(categories["deployment"].exclusive);
    }

    #[test]
    fn what_comes_with_the_program_fits_together() {
        let document = serde_json::from_str(include_str!("builtin_registry.json")).unwrap();
        let (_, warnings) = parse::parse(&document).unwrap();
        assert_eq!(warnings, []);
        let set = WorkflowSet::default();
        let names = builtin().rules.iter().map(|rule| &rule.workflow);
        let linked = builtin().chains.iter().flat_map(|chain| chain.names().chain([&chain.id]));
        for id in names.chain(linked) {
            assert!(set.find(id).is_some(), "{id}");
        }
        assert_eq!(builtin().chains.len(), 7);
        let limits: Vec<_> = builtin().categories.iter().map(|(name, c)| (name.as_str(), c.max, c.exclusive)).collect();
        let expected = [
            ("deployment", Some(1), true),
            ("development", Some(1), false),
            ("monitoring", None, false),
            ("testing", Some(3), false),
        ];
        assert_eq!(limits, expected);
    }
}
