//! Reads the JSON of a registry. Every problem is reported by JSON pointer, as those of workflow files are; a part that is
//! not read is named.

mod alerts;
mod limits;
mod sections;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::handed::{By, Handed};
use super::{Chain, Expression, Link, Mention, Origin, Registry, Rule};
use crate::ids::WorkflowId;
use crate::settings::ScheduleSettings;
use crate::task::{PRIORITY_DEFAULT, PRIORITY_LEAST_URGENT, PRIORITY_MOST_URGENT};
use crate::text::one_line;
use crate::workflow::parse::{About, Problem};
use crate::workflow::schedule::{EXAMPLES, Schedule};
use sections::{Part, places};

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
    /// Where workflows are named.
    mentions: Vec<Mention>,
    /// Where it is said what they are given.
    handed: Vec<Handed>,
}

impl Reader {
    fn say(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<&str>, warning: bool) {
        let suggestion = suggestion.map(str::to_owned);
        self.problems.push(Problem {
            pointer: pointer.to_owned(),
            about: About::Value,
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
        self.strangers(object);
        let mut registry = Registry::default();
        for (at, value) in places(object, Part::Priorities) {
            registry.priorities.extend(self.priorities(&at, value));
        }
        for (at, value) in places(object, Part::Rules) {
            registry.rules.extend(self.list(&at, value, Self::rule));
        }
        for (at, value) in places(object, Part::Schedules) {
            let before = registry.schedules.len();
            registry.schedules.extend(self.list(&at, value, Self::schedule));
            self.check_names(&at, before, &registry.schedules);
        }
        self.catalogue(object, &mut registry);
        for (at, value) in places(object, Part::Triggers) {
            registry.rules.extend(self.triggers(&at, value));
        }
        for rule in &mut registry.rules {
            let own = rule.priority != PRIORITY_DEFAULT;
            if let Some(priority) = registry.priorities.get(&rule.workflow).filter(|_| !own) {
                rule.priority = *priority;
            }
        }
        for (at, value) in places(object, Part::Chains) {
            self.chains(&at, value, &mut registry.chains);
        }
        for (at, value) in places(object, Part::Concurrency) {
            let limits = self.limits(&at, value);
            registry.categories.extend(limits.categories);
            registry.category_of.extend(limits.category_of);
        }
        registry.alerts = self.alerts(object);
        registry.mentions = std::mem::take(&mut self.mentions);
        registry.handed = std::mem::take(&mut self.handed);
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
        let (condition, expression) = self.condition(at, object, "event_type")?;
        let (workflow, params) = (workflow?, self.params(at, object));
        let asked = expression.asks().into_iter();
        let asked = asked.map(|(name, _)| name.strip_prefix("params.").unwrap_or(name).to_owned()).collect();
        self.hand(at, &workflow, &params, By::Rule(asked));
        Some(Rule {
            condition,
            expression,
            workflow,
            priority: self.priority(&format!("{at}/priority"), object.get("priority")),
            params,
            origin: Origin::Registry,
        })
    }

    /// A condition, or an event under which `name` has to be it.
    fn condition(&mut self, at: &str, object: &Map<String, Value>, name: &str) -> Option<(String, Expression)> {
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
            (None, Some(event)) => Some((format!("{name} == '{event}'"), Expression::of(name, event))),
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
        let id = WorkflowId::new(text).map_err(|error| self.error(at, error.to_string(), None)).ok()?;
        self.mentions.push(Mention { at: at.to_owned(), workflow: id.clone() });
        Some(id)
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
            self.error(at, message, None);
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

    pub(super) fn hand(&mut self, at: &str, workflow: &WorkflowId, params: &BTreeMap<String, Value>, by: By) {
        self.handed.push(Handed { at: at.to_owned(), workflow: workflow.clone(), params: params.clone(), by });
    }

    fn chains(&mut self, at: &str, value: &Value, known: &mut Vec<Chain>) {
        // A switch beside the chains, as others write it.
        let (at, value) = match value.as_object().and_then(|object| object.get("chains")) {
            Some(_) if value.get("enabled") == Some(&Value::Bool(false)) => return,
            Some(inner) => (format!("{at}/chains"), inner),
            None => (at.to_owned(), value),
        };
        let mut named: Vec<(String, String, &Value)> = Vec::new();
        match value {
            Value::Object(object) => {
                named
                    .extend(object.iter().map(|(name, value)| (format!("{at}/{}", escape(name)), name.clone(), value)));
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    let at = format!("{at}/{index}");
                    match ["name", "id"].iter().find_map(|key| value.get(key)?.as_str()) {
                        Some(name) => named.push((at, name.to_owned(), value)),
                        None => self.error(&at, "a chain in a list has a `name`", Some(CHAINS)),
                    }
                }
            }
            _ => self.error(&at, "chains are an object: a name for each list of workflows", Some(CHAINS)),
        }
        for (at, name, value) in named {
            let Some(chain) = self.chain(&at, &name, value) else { continue };
            if known.iter().any(|other| other.id == chain.id) {
                self.error(&at, format!("another chain is called `{}`", chain.id), Some("Keep one of them."));
                continue;
            }
            known.push(chain);
        }
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
        let on_failure = self.rollback(at, object);
        let triggers = object.get("triggers").and_then(Value::as_array).into_iter().flatten();
        Some(Chain {
            id,
            at: at.to_owned(),
            description: text("description"),
            category: text("category"),
            triggers: triggers.filter_map(Value::as_str).map(str::to_owned).collect(),
            links: links.into_iter().collect::<Option<Vec<Link>>>()?,
            stop_on_failure: stop.and_then(Value::as_bool).unwrap_or(true),
            on_failure,
        })
    }

    /// The workflow that is started when a chain fails.
    fn rollback(&mut self, at: &str, object: &Map<String, Value>) -> Option<WorkflowId> {
        let wanted = object.get("rollback_on_failure").filter(|value| !value.is_null());
        if wanted.is_some_and(|value| !value.is_boolean()) {
            self.error(&format!("{at}/rollback_on_failure"), "`rollback_on_failure` is true or false", None);
        }
        let wanted = wanted.and_then(Value::as_bool);
        let keys = ["on_failure", "rollback", "rollback_pipeline", "rollback_workflow"];
        let key = keys.into_iter().find(|key| object.get(*key).is_some_and(|value| !value.is_null()));
        match (key, wanted) {
            // Somebody else may have switched off what stands there.
            (Some("on_failure"), Some(false)) | (Some(_), None | Some(true)) => {
                key.and_then(|key| self.id(&format!("{at}/{key}"), &object[key]))
            }
            (None, Some(true)) => self.id(&format!("{at}/rollback_on_failure"), &Value::from(ROLLBACK)),
            (None, None) | (_, Some(false)) => None,
        }
    }

    fn link(&mut self, at: &str, value: &Value) -> Option<Link> {
        match value {
            Value::Object(object) => {
                let link = Link { workflow: self.workflow(at, object)?, params: self.params(at, object) };
                self.hand(at, &link.workflow, &link.params, By::Link);
                Some(link)
            }
            name => Some(Link { workflow: self.id(at, name)?, params: BTreeMap::new() }),
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
        self.hand(at, &workflow, &params, By::Schedule);
        Some(ScheduleSettings { name, workflow, when, params, jitter: jitter? })
    }

    /// Names of schedules from this one on that are taken.
    fn check_names(&mut self, at: &str, from: usize, schedules: &[ScheduleSettings]) {
        for (index, schedule) in schedules.iter().enumerate().skip(from) {
            if schedules[..index].iter().any(|other| other.name == schedule.name) {
                let message = format!("another schedule is called `{}`", one_line(&schedule.name, 60));
                self.error(&format!("{at}/{}", index - from), message, Some("Give one of them a `name` of its own."));
            }
        }
    }
}

const CONDITIONS: &str = "Write a condition such as \"event_type == 'bug_report' && params.severity >= 3\".";
const CHAINS: &str =
    "Write { \"release_workflow\": { \"workflows\": [\"unit-test-pipeline\", \"deployment-pipeline\"] } }.";
/// What is started where a chain is to be rolled back and nothing says by which workflow.
const ROLLBACK: &str = "rollback-pipeline";

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
