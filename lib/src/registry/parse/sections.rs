//! Where a registry says what: every part may stand at the top or under `orchestration_rules`, by its own name or another
//! one. `pipeline_registry` is a catalogue of workflows by category, whose triggers, priorities and schedules count as if
//! they stood in the parts that are about those.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{Reader, escape};
use crate::ids::WorkflowId;
use crate::registry::handed::By;
use crate::registry::{Expression, Origin, Registry, Rule};
use crate::settings::ScheduleSettings;
use crate::task::PRIORITY_DEFAULT;
use crate::text::{nearest, one_line};
use crate::workflow::schedule::{EXAMPLES, Schedule};

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Rules,
    Chains,
    Concurrency,
    Schedules,
    Priorities,
    Triggers,
}

/// The names of each part; the first is its own.
const NAMES: [(Part, &[&str]); 6] = [
    (Part::Rules, &["rules", "selection_rules", "pipeline_selection"]),
    (Part::Chains, &["chains", "workflows", "workflow_chains", "pipeline_chaining", "workflow_templates"]),
    (Part::Concurrency, &["concurrency", "concurrency_control", "concurrent_execution"]),
    (Part::Schedules, &["schedules", "schedule"]),
    (Part::Priorities, &["priorities"]),
    (Part::Triggers, &["triggers"]),
];
/// What stands beside them at the top only.
const GROUP: &str = "orchestration_rules";
const CATALOGUE: &str = "pipeline_registry";
const ALERTS: &str = "alerts";
/// What says something about the file itself.
const ABOUT: [&str; 8] = ["$schema", "version", "id", "name", "description", "author", "category", "metadata"];
/// What belongs to a workflow and may stand in the file of one that is the registry as well.
const OF_WORKFLOWS: [&str; 2] = ["stages", "flow"];

const CATALOGUE_HELP: &str =
    "Write { \"testing\": { \"unit-test-pipeline\": { \"triggers\": [\"code_commit\"], \"priority\": \"high\" } } }.";

/// Everywhere that a part stands, in the order of its names, with where that is.
pub(super) fn places(object: &Map<String, Value>, part: Part) -> Vec<(String, &Value)> {
    let names = NAMES.iter().find(|(known, _)| *known == part).map_or(&[][..], |(_, names)| names);
    let group = object.get(GROUP).and_then(Value::as_object);
    let top = names.iter().filter_map(|name| Some((format!("/{name}"), object.get(*name)?)));
    let inner = names.iter().filter_map(|name| Some((format!("/{GROUP}/{name}"), group?.get(*name)?)));
    top.chain(inner).filter(|(_, value)| !value.is_null()).collect()
}

impl Reader {
    /// Says which parts of a file are not read.
    pub(super) fn strangers(&mut self, object: &Map<String, Value>) {
        self.strange("", object, &[GROUP, CATALOGUE, ALERTS]);
        match object.get(GROUP) {
            None | Some(Value::Null) => {}
            Some(Value::Object(group)) => self.strange(&format!("/{GROUP}"), group, &[]),
            Some(_) => self.error(&format!("/{GROUP}"), format!("`{GROUP}` is an object of rules and chains"), None),
        }
    }

    fn strange(&mut self, at: &str, object: &Map<String, Value>, more: &[&'static str]) {
        let parts = || NAMES.iter().flat_map(|(_, names)| names.iter().copied()).chain(more.iter().copied());
        for name in object.keys() {
            let is_remark = name.starts_with('_') || name.starts_with('/') || name.starts_with('#');
            if is_remark || ABOUT.contains(&name.as_str()) || parts().any(|known| known == name) {
                continue;
            }
            let suggestion = match nearest(name, parts()) {
                Some(meant) => format!("Did you mean `{meant}`?"),
                None if OF_WORKFLOWS.contains(&name.as_str()) => {
                    "A workflow stands in a file of its own, .pipeline/workflows/NAME.json.".to_owned()
                }
                None => {
                    let own = NAMES.iter().map(|(_, names)| names[0]).chain(more.iter().copied());
                    format!("What is read: {}.", own.collect::<Vec<_>>().join(", "))
                }
            };
            let message = format!("`{}` is not read", one_line(name, 60));
            self.say(&format!("{at}/{}", escape(name)), message, Some(&suggestion), true);
        }
    }

    /// The catalogue: what starts each of its workflows, how urgent that is, and when it starts by itself.
    pub(super) fn catalogue(&mut self, object: &Map<String, Value>, registry: &mut Registry) {
        let Some(value) = object.get(CATALOGUE).filter(|value| !value.is_null()) else { return };
        let at = format!("/{CATALOGUE}");
        let Some(categories) = value.as_object() else {
            self.error(&at, format!("`{CATALOGUE}` is an object: workflows by category"), Some(CATALOGUE_HELP));
            return;
        };
        for (category, entries) in categories {
            let at = format!("{at}/{}", escape(category));
            let Some(entries) = entries.as_object() else {
                self.error(&at, "a category is an object: an entry for each workflow", Some(CATALOGUE_HELP));
                continue;
            };
            for (name, entry) in entries {
                let at = format!("{at}/{}", escape(name));
                let Some(entry) = entry.as_object() else {
                    self.error(&at, "a workflow's entry is an object", Some(CATALOGUE_HELP));
                    continue;
                };
                let Some(id) = self.id(&at, &Value::from(name.as_str())) else { continue };
                registry.category_of.insert(id.clone(), category.clone());
                self.entry(&at, id, entry, registry);
            }
        }
    }

    fn entry(&mut self, at: &str, id: WorkflowId, entry: &Map<String, Value>, registry: &mut Registry) {
        let urgent = entry.get("priority").filter(|value| !value.is_null());
        let priority = self.priority(&format!("{at}/priority"), urgent);
        if urgent.is_some() {
            registry.priorities.entry(id.clone()).or_insert(priority);
        }
        let events = self.events(&format!("{at}/triggers"), entry.get("triggers"));
        registry.rules.extend(events.into_iter().map(|event| trigger(&event, id.clone(), priority)));
        let Some(when) = entry.get("schedule").filter(|value| !value.is_null()) else { return };
        let Some(when) = when.as_str() else {
            self.error(&format!("{at}/schedule"), "`schedule` is a text", Some(EXAMPLES));
            return;
        };
        if let Err(problem) = Schedule::parse(when) {
            self.error(&format!("{at}/schedule"), problem, Some(EXAMPLES));
        }
        // What the schedules say of it by name counts.
        if registry.schedules.iter().all(|known| known.workflow != id) {
            self.hand(&format!("{at}/schedule"), &id, &BTreeMap::new(), By::Schedule);
            registry.schedules.push(ScheduleSettings {
                name: id.to_string(),
                workflow: id,
                when: when.to_owned(),
                params: BTreeMap::new(),
                jitter: SignedDuration::ZERO,
            });
        }
    }

    /// Events by the workflow they start, or workflows by the event that starts them.
    pub(super) fn triggers(&mut self, at: &str, value: &Value) -> Vec<Rule> {
        if value.is_array() {
            // In the file of a workflow that is the registry as well, it is the workflow's.
            let suggestion = "Write { \"code_commit\": \"unit-test-pipeline\" }.";
            self.say(at, "a list of `triggers` names no workflow and is not read", Some(suggestion), true);
            return Vec::new();
        }
        let Some(object) = value.as_object() else {
            self.error(at, "`triggers` is an object: workflows by event, or lists of events by workflow", None);
            return Vec::new();
        };
        let mut rules = Vec::new();
        for (name, value) in object {
            let at = format!("{at}/{}", escape(name));
            if value.is_array() {
                let Some(id) = self.id(&at, &Value::from(name.as_str())) else { continue };
                let events = self.events(&at, Some(value));
                rules.extend(events.into_iter().map(|event| trigger(&event, id.clone(), PRIORITY_DEFAULT)));
            } else if let Some(id) = self.id(&at, value) {
                rules.push(trigger(name, id, PRIORITY_DEFAULT));
            }
        }
        rules
    }

    /// How urgent the tasks on some workflows are, where a rule says nothing about it.
    pub(super) fn priorities(&mut self, at: &str, value: &Value) -> BTreeMap<WorkflowId, u8> {
        let Some(object) = value.as_object() else {
            self.error(at, "`priorities` is an object: a priority for each workflow", None);
            return BTreeMap::new();
        };
        let mut priorities = BTreeMap::new();
        for (name, value) in object {
            let at = format!("{at}/{}", escape(name));
            if let Some(id) = self.id(&at, &Value::from(name.as_str())) {
                priorities.insert(id, self.priority(&at, Some(value)));
            }
        }
        priorities
    }

    fn events(&mut self, at: &str, value: Option<&Value>) -> Vec<String> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(event)) => vec![event.clone()],
            Some(Value::Array(events)) if events.iter().all(Value::is_string) => {
                events.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.error(at, "`triggers` is a list of events", None);
                Vec::new()
            }
        }
    }
}

/// The rule of a trigger. Rules go before it, and of several workflows that one event starts none is guessed.
fn trigger(event: &str, workflow: WorkflowId, priority: u8) -> Rule {
    Rule {
        condition: format!("event_type == '{event}'"),
        expression: Expression::of("event_type", event),
        workflow,
        priority,
        params: BTreeMap::new(),
        origin: Origin::Project,
    }
}
