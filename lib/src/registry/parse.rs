//! Reads the JSON of a registry. Every problem is reported by JSON pointer, as those of workflow files are; unknown fields
//! are passed over, and a near miss of a known one is named.

mod alerts;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{Chain, Expression, Link, Origin, Registry, Rule};
use crate::ids::WorkflowId;
use crate::settings::{Category, ScheduleSettings};
use crate::task::{PRIORITY_DEFAULT, PRIORITY_LEAST_URGENT, PRIORITY_MOST_URGENT};
use crate::text::{nearest, one_line};
use crate::workflow::parse::Problem;
use crate::workflow::schedule::{EXAMPLES, Schedule};

/// What is read at the top of a file, and other names for it.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("rules", &["selection_rules", "pipeline_selection"]),
    ("chains", &["workflows", "workflow_chains"]),
    ("concurrency", &["concurrency_control"]),
    ("schedules", &["schedule"]),
];
/// The longest jitter.
const JITTER_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What a registry says, and warnings about it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(document: &Value) -> Result<(Registry, Vec<Problem>), Vec<Problem>> {
    let mut reader = Reader::default();
    let registry = reader.registry(document);
    if reader.problems.iter().all(|problem| problem.warning) {
        Ok((registry, reader.problems))
    } else {
        Err(reader.problems)
    }
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn say(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<&str>, warning: bool) {
        let suggestion = suggestion.map(str::to_owned);
        self.problems.push(Problem {
            pointer: pointer.to_owned(),
            within: None,
            message: message.into(),
            suggestion,
            warning,
        });
    }

    fn error(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<&str>) {
        self.say(pointer, message, suggestion, false);
    }

    fn registry(&mut self, document: &Value) -> Registry {
        let Some(object) = document.as_object() else {
            self.error("", "a registry is a JSON object", Some("Begin with { \"rules\": [ … ] }."));
            return Registry::default();
        };
        for name in object.keys() {
            let known =
                || SECTIONS.iter().flat_map(|(name, others)| others.iter().chain([name])).copied().chain(["alerts"]);
            let meant = nearest(name, known()).filter(|meant| meant != name);
            if let Some(meant) = meant.filter(|_| !known().any(|known| known == name)) {
                let suggestion = format!("Did you mean `{meant}`?");
                let message = format!("`{}` is not read", one_line(name, 60));
                self.say(&format!("/{}", escape(name)), message, Some(&suggestion), true);
            }
        }
        let mut registry = Registry::default();
        if let Some((at, value)) = section(object, 0) {
            registry.rules = self.list(&at, value, Self::rule);
        }
        if let Some((at, value)) = section(object, 1) {
            registry.chains = self.chains(&at, value);
        }
        if let Some((at, value)) = section(object, 2) {
            registry.categories = self.categories(&at, value);
        }
        if let Some((at, value)) = section(object, 3) {
            registry.schedules = self.list(&at, value, Self::schedule);
            self.check_names(&at, &registry.schedules);
        }
        registry.alerts = self.alerts(object);
        registry
    }

    /// Every item of a list, or of the `rules` in an object.
    fn list<T>(
        &mut self,
        at: &str,
        value: &Value,
        read: fn(&mut Self, &str, &Map<String, Value>) -> Option<T>,
    ) -> Vec<T> {
        let (at, value) = match value.get("rules") {
            Some(inner) => (format!("{at}/rules"), inner),
            None => (at.to_owned(), value),
        };
        let Some(list) = value.as_array() else {
            self.error(&at, "this is a list of objects", None);
            return Vec::new();
        };
        let mut found = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let at = format!("{at}/{index}");
            match item.as_object() {
                Some(object) => found.extend(read(self, &at, object)),
                None => self.error(&at, "this is a list of objects", None),
            }
        }
        found
    }

    fn rule(&mut self, at: &str, object: &Map<String, Value>) -> Option<Rule> {
        let workflow = self.workflow(at, object);
        let (condition, expression) = self.condition(at, object)?;
        Some(Rule {
            condition,
            expression,
            workflow: workflow?,
            priority: self.priority(at, object.get("priority")),
            params: self.params(at, object),
            origin: Origin::Registry,
        })
    }

    fn condition(&mut self, at: &str, object: &Map<String, Value>) -> Option<(String, Expression)> {
        let event = ["event_type", "event", "trigger"].iter().find_map(|key| object.get(*key)?.as_str());
        match (object.get("condition"), event) {
            (Some(Value::String(text)), _) => match Expression::parse(text) {
                Ok(expression) => Some((text.clone(), expression)),
                Err(problem) => {
                    self.error(&format!("{at}/condition"), problem, Some(CONDITIONS));
                    None
                }
            },
            (Some(_), _) => {
                self.error(&format!("{at}/condition"), "`condition` is a text", Some(CONDITIONS));
                None
            }
            (None, Some(event)) => Some((format!("event_type == '{event}'"), Expression::of_type(event))),
            (None, None) => {
                self.error(at, "`condition` is missing", Some(CONDITIONS));
                None
            }
        }
    }

    /// The workflow that an object names, as `workflow` or as others say.
    fn workflow(&mut self, at: &str, object: &Map<String, Value>) -> Option<WorkflowId> {
        let key = ["workflow", "pipeline"].into_iter().find(|key| object.contains_key(*key));
        let Some(key) = key else {
            self.error(at, "`workflow` is missing", Some("Name the workflow that is started."));
            return None;
        };
        self.id(&format!("{at}/{key}"), &object[key])
    }

    fn id(&mut self, at: &str, value: &Value) -> Option<WorkflowId> {
        let Some(text) = value.as_str() else {
            self.error(at, "the name of a workflow is a text", None);
            return None;
        };
        WorkflowId::new(text).map_err(|error| self.error(at, error.to_string(), None)).ok()
    }

    fn priority(&mut self, at: &str, value: Option<&Value>) -> u8 {
        let number = match value {
            None | Some(Value::Null) => return PRIORITY_DEFAULT,
            Some(Value::String(word)) => match word.to_ascii_lowercase().as_str() {
                "critical" | "urgent" => Some(PRIORITY_MOST_URGENT),
                "high" => Some(2),
                "medium" | "normal" => Some(PRIORITY_DEFAULT),
                "low" => Some(5),
                _ => None,
            },
            Some(other) => other.as_u64().and_then(|number| u8::try_from(number).ok()),
        };
        let fits = number.filter(|number| (PRIORITY_MOST_URGENT..=PRIORITY_LEAST_URGENT).contains(number));
        fits.unwrap_or_else(|| {
            let message = "`priority` is a number from 1 (most urgent) to 9, or critical, high, medium or low";
            self.error(&format!("{at}/priority"), message, None);
            PRIORITY_DEFAULT
        })
    }

    fn params(&mut self, at: &str, object: &Map<String, Value>) -> BTreeMap<String, Value> {
        match object.get("params") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(params)) => params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            Some(_) => {
                self.error(&format!("{at}/params"), "`params` is an object of values", None);
                BTreeMap::new()
            }
        }
    }

    fn chains(&mut self, at: &str, value: &Value) -> Vec<Chain> {
        let Some(object) = value.as_object() else {
            self.error(at, "chains are an object: a name for each list of workflows", Some(CHAINS));
            return Vec::new();
        };
        object.iter().filter_map(|(name, value)| self.chain(&format!("{at}/{}", escape(name)), name, value)).collect()
    }

    fn chain(&mut self, at: &str, name: &str, value: &Value) -> Option<Chain> {
        let empty = Map::new();
        let object = value.as_object().unwrap_or(&empty);
        let key = ["pipelines", "workflows", "chain", "links"].into_iter().find(|key| object.contains_key(*key));
        let (links_at, links) = match (key, value) {
            (Some(key), _) => (format!("{at}/{key}"), &object[key]),
            (None, Value::Array(_)) => (at.to_owned(), value),
            (None, _) => {
                self.error(at, "a chain has a list of `workflows`", Some(CHAINS));
                return None;
            }
        };
        let list = links.as_array().filter(|list| !list.is_empty());
        let Some(list) = list else {
            self.error(&links_at, "a chain is a list of at least one workflow", Some(CHAINS));
            return None;
        };
        let found = list.iter().enumerate().map(|(index, item)| self.link(&format!("{links_at}/{index}"), item));
        let links: Vec<Option<Link>> = found.collect();
        let id = WorkflowId::new(name).map_err(|error| self.error(at, error.to_string(), None)).ok()?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let stop = object.get("stop_on_failure");
        if stop.is_some_and(|value| !value.is_boolean()) {
            self.error(&format!("{at}/stop_on_failure"), "`stop_on_failure` is true or false", None);
        }
        let failure = ["on_failure", "rollback"].into_iter().find(|key| object.get(*key).is_some_and(|v| !v.is_null()));
        let on_failure = failure.and_then(|key| self.id(&format!("{at}/{key}"), &object[key]));
        let triggers = object.get("triggers").and_then(Value::as_array).into_iter().flatten();
        Some(Chain {
            id,
            description: text("description"),
            category: text("category"),
            triggers: triggers.filter_map(Value::as_str).map(str::to_owned).collect(),
            links: links.into_iter().collect::<Option<Vec<Link>>>()?,
            stop_on_failure: stop.and_then(Value::as_bool).unwrap_or(true),
            on_failure,
        })
    }

    fn link(&mut self, at: &str, value: &Value) -> Option<Link> {
        match value {
            Value::Object(object) => {
                Some(Link { workflow: self.workflow(at, object)?, params: self.params(at, object) })
            }
            name => Some(Link { workflow: self.id(at, name)?, params: BTreeMap::new() }),
        }
    }

    fn categories(&mut self, at: &str, value: &Value) -> BTreeMap<String, Category> {
        let Some(object) = value.as_object() else {
            self.error(at, "concurrency is an object: a limit for each category", Some(LIMITS));
            return BTreeMap::new();
        };
        let mut categories = BTreeMap::new();
        for (name, value) in object {
            let at = format!("{at}/{}", escape(name));
            let (max, exclusive) = match value {
                Value::Object(object) => {
                    let max = ["max_concurrent", "max"].into_iter().find(|key| object.contains_key(*key));
                    let exclusive = ["exclusive_lock", "exclusive"].into_iter().find_map(|key| object.get(key));
                    if exclusive.is_some_and(|value| !value.is_boolean()) {
                        self.error(&at, "`exclusive_lock` is true or false", Some(LIMITS));
                    }
                    let max = max.and_then(|key| self.limit(&format!("{at}/{key}"), &object[key]));
                    (max, exclusive.and_then(Value::as_bool).unwrap_or(false))
                }
                limit => (self.limit(&at, limit), false),
            };
            categories.insert(name.clone(), Category { max, exclusive });
        }
        categories
    }

    fn limit(&mut self, at: &str, value: &Value) -> Option<u32> {
        match value {
            Value::Null => None,
            Value::String(word) if word.eq_ignore_ascii_case("unlimited") => None,
            number => {
                let limit = number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|limit| *limit > 0);
                if limit.is_none() {
                    self.error(at, "a limit is a number from 1, or \"unlimited\"", Some(LIMITS));
                }
                limit
            }
        }
    }

    fn schedule(&mut self, at: &str, object: &Map<String, Value>) -> Option<ScheduleSettings> {
        let workflow = self.workflow(at, object);
        let key = ["schedule", "when", "cron"].into_iter().find(|key| object.contains_key(*key));
        let Some((key, when)) = key.and_then(|key| Some((key, object[key].as_str()?))) else {
            self.error(at, "`schedule` is missing", Some(EXAMPLES));
            return None;
        };
        if let Err(problem) = Schedule::parse(when) {
            self.error(&format!("{at}/{key}"), problem, Some(EXAMPLES));
        }
        let jitter = match object.get("jitter") {
            None | Some(Value::Null) => Some(SignedDuration::ZERO),
            Some(value) => value.as_str().and_then(|text| text.parse::<SignedDuration>().ok()),
        };
        let jitter = jitter.filter(|jitter| (SignedDuration::ZERO..=JITTER_MAX).contains(jitter));
        if jitter.is_none() {
            self.error(
                &format!("{at}/jitter"),
                "`jitter` is a duration of at most a day",
                Some("Write it like \"30s\"."),
            );
        }
        let workflow = workflow?;
        let name = object.get("name").and_then(Value::as_str).unwrap_or(workflow.as_str()).to_owned();
        let (when, params) = (when.to_owned(), self.params(at, object));
        Some(ScheduleSettings { name, workflow, when, params, jitter: jitter? })
    }

    fn check_names(&mut self, at: &str, schedules: &[ScheduleSettings]) {
        for (index, schedule) in schedules.iter().enumerate() {
            if schedules[..index].iter().any(|other| other.name == schedule.name) {
                let message = format!("another schedule is called `{}`", one_line(&schedule.name, 60));
                self.error(&format!("{at}/{index}"), message, Some("Give one of them a `name` of its own."));
            }
        }
    }
}

const CONDITIONS: &str = "Write a condition such as \"event_type == 'bug_report' && params.severity >= 3\".";
const CHAINS: &str =
    "Write { \"release_workflow\": { \"workflows\": [\"unit-test-pipeline\", \"deployment-pipeline\"] } }.";
const LIMITS: &str = "Write { \"testing\": 3, \"deployment\": { \"max_concurrent\": 1, \"exclusive_lock\": true } }.";

/// A section of the file by its own name or another one, and where it is.
fn section(object: &Map<String, Value>, index: usize) -> Option<(String, &Value)> {
    let (name, others) = SECTIONS[index];
    let key = std::iter::once(name).chain(others.iter().copied()).find(|key| object.contains_key(*key))?;
    Some((format!("/{key}"), &object[key]))
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
