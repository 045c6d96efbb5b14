//! The registry file, `.pipeline/registry.json`, and what comes with the program where it says nothing. What it means is
//! lib's business; here its problems get a file, a line and a column, and its chains join the workflows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use jiff::SignedDuration;
use pipeline_lib::ids::WorkflowId;
use pipeline_lib::registry::{Chain, Origin, Registry, Rule, handed, parse, route};
use pipeline_lib::settings::{ScheduleSettings, Settings};
use pipeline_lib::text::nearest;
use pipeline_lib::workflow::parse::{About, Problem};
use pipeline_lib::workflow::together;

use super::json;
use super::workflows::located;
use super::{ConfigError, LocatedProblem, WorkflowSet};

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
    set.count_among(&registry.category_of);
    problems.extend(add_chains(&registry, set));
    problems.extend(dangling(&registry, set));
    problems.extend(handed::check(&registry.handed, |id| set.find(id)));
    problems.extend(after_chains(&registry, set));
    set.draw_in(registry.schedules.iter().map(|schedule| schedule.workflow.as_str()));
    let mut located = located(&document, problems);
    located.extend(document.doubles(|_, _| true));
    if located.iter().any(|problem| !problem.warning) {
        return Err(ConfigError { problems: located });
    }
    set.problems.extend(located);
    Ok(registry)
}

/// What is wrong with the registry of a project, also what nothing depends on.
#[must_use]
pub fn registry_problems(path: &Path, set: &mut WorkflowSet) -> Vec<LocatedProblem> {
    let known = set.problems.len();
    match load_registry(path, set) {
        Ok(_) => set.problems.split_off(known.min(set.problems.len())),
        Err(error) => error.problems,
    }
}

/// Makes workflows of the chains. One chain may be a part of another, so they are tried until none is left or none fits.
fn add_chains(registry: &Registry, set: &mut WorkflowSet) -> Vec<Problem> {
    let mut problems = Vec::new();
    let problem = |chain: &Chain, message: String, suggestion: &str| Problem {
        pointer: chain.at.clone(),
        about: About::Value,
        message,
        suggestion: Some(suggestion.to_owned()),
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
                    problems.push(problem(chain, message, "Give one of them another name."));
                }
                false
            }
            Err(id) => {
                missing.push((*chain, id));
                true
            }
        });
        if open.is_empty() || open.len() == before {
            // Where a name leads nowhere, that is said of the name.
            let among = |id: &WorkflowId| registry.chains.iter().any(|chain| chain.id == *id);
            let circles = missing.into_iter().filter(|(_, id)| among(id) && set.find(id).is_none());
            problems.extend(circles.map(|(chain, id)| {
                let message = format!("chain `{}` needs `{id}`, which cannot be made", chain.id);
                problem(chain, message, "A chain must not lead back to itself.")
            }));
            return problems;
        }
    }
}

/// What the workflows that are started when a chain fails need and are not given.
fn after_chains(registry: &Registry, set: &WorkflowSet) -> Vec<Problem> {
    let of_one = |chain: &Chain| {
        let (made, next) = (set.get(&chain.id)?, set.find(chain.on_failure.as_ref()?)?);
        Some(together::check_after_failure(made, &next, &chain.at))
    };
    registry.chains.iter().filter_map(of_one).flatten().collect()
}

/// Names of workflows that are not there. An alert is one even if nothing can be started against it.
fn dangling(registry: &Registry, set: &WorkflowSet) -> Vec<Problem> {
    let among = |id: &WorkflowId| registry.chains.iter().any(|chain| chain.id == *id);
    let missing = registry.mentions.iter().filter(|mention| set.find(&mention.workflow).is_none());
    missing
        .filter(|mention| !among(&mention.workflow))
        .map(|mention| {
            let (message, suggestion, warning) = unknown(&mention.workflow, set);
            let warning = warning || mention.at.starts_with("/alerts");
            Problem { pointer: mention.at.clone(), about: About::Value, message, suggestion, warning }
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
