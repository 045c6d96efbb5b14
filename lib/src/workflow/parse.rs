//! Reads a workflow file's JSON into what the engine runs on. Every problem is reported by JSON pointer, so that the
//! caller can name file, line and column; unknown fields are kept, never an error. What other workflows there are is the
//! caller's to check.
//!
//! Every step takes time in proportion to the file, so that a thousand stages are checked as a person types.

mod check;
mod doing;
mod fields;
mod flow;
pub(super) mod loops;
mod params;
mod slips;
mod stages;
mod templates;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use slips::is_read;

use super::schedule::Schedule;
use super::{Param, Stage, Workflow};
use crate::ids::{Role, StageId, WorkflowId};
use crate::text::{listed, nearest};

/// What a problem is about, of what a JSON pointer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// All of it.
    Value,
    /// This piece of the text.
    Piece(String),
    /// The name of the field that it is in.
    Name,
}

/// Something wrong with a workflow file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What of that it is about.
    pub about: About,
    /// What.
    pub message: String,
    /// What to write instead, as a full sentence.
    pub suggestion: Option<String>,
    /// Whether the workflow can be run all the same.
    pub warning: bool,
}

/// The role whose stages merge unless they say otherwise.
const MERGING_ROLE: &str = "supervisor";
/// So many problems get a suggestion that takes a search; who has more will not read them.
const SEARCHES_MAX: usize = 200;
/// The most stages of one workflow.
const STAGES_MAX: usize = 100_000;
/// What is read at the top of a file. Everything else is kept as it is.
const READ: [&str; 19] = [
    "id",
    "name",
    "version",
    "category",
    "description",
    "stages",
    "flow",
    "connections",
    "startStage",
    "entryPoint",
    "start",
    "triggers",
    "params",
    "parameters",
    "on_failure",
    "schedule",
    "success_criteria",
    "max_steps",
    "timeout",
];

const FIELDS: slips::Fields = slips::Fields { what: "a workflow", read: &READ };

/// Reads a workflow. `roles` are those that some agent has; `None` leaves them unchecked.
///
/// # Errors
/// Every problem found, warnings included, if at least one makes the workflow impossible to run.
pub fn parse(document: &Value, roles: Option<&BTreeSet<Role>>) -> Result<(Workflow, Vec<Problem>), Vec<Problem>> {
    let (draft, problems) = draft(document, roles);
    match draft {
        Some(draft) if problems.iter().all(|p| p.warning) => Ok((draft.workflow, problems)),
        _ => Err(problems),
    }
}

/// What could be read of a workflow that may have mistakes. It is not to be run, but what it says of other workflows can
/// be checked.
#[derive(Debug)]
pub struct Draft {
    /// As far as it could be read.
    pub workflow: Workflow,
    /// The places of its stages in the file's list.
    pub places: Vec<usize>,
}

/// Reads a workflow as far as that goes, and says everything that is wrong with it.
#[must_use]
pub fn draft(document: &Value, roles: Option<&BTreeSet<Role>>) -> (Option<Draft>, Vec<Problem>) {
    let mut reader = Reader::new(roles);
    let draft = reader.workflow(document);
    (draft, reader.problems)
}

struct Reader<'a> {
    problems: Vec<Problem>,
    roles: Option<&'a BTreeSet<Role>>,
    searches: usize,
    slips: slips::Slips,
    lost: Lost,
    /// Where the connections stand that are listed, in order.
    listed: Vec<String>,
}

/// What was said of already and cannot be counted on, so that no mistake follows from another.
#[derive(Default)]
struct Lost {
    /// Any stage may be led to.
    leads_anywhere: bool,
    /// Any decision may be handled.
    handles_anything: bool,
    /// These are led to from somewhere.
    led_to: BTreeSet<StageId>,
    /// Decisions of these may be handled.
    handled: BTreeSet<StageId>,
    /// Any parameter may be there.
    params: bool,
}

impl<'a> Reader<'a> {
    fn new(roles: Option<&'a BTreeSet<Role>>) -> Self {
        let (slips, lost) = (slips::Slips::new(), Lost::default());
        Self { problems: Vec::new(), roles, searches: 0, slips, lost, listed: Vec::new() }
    }
}

impl Reader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(Problem {
            pointer: pointer.to_owned(),
            about: About::Value,
            message: message.into(),
            suggestion,
            warning: false,
        });
    }

    fn warn(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(Problem {
            pointer: pointer.to_owned(),
            about: About::Value,
            message: message.into(),
            suggestion,
            warning: true,
        });
    }

    /// "Did you mean": the known word that is nearest.
    fn meant<'w>(&mut self, word: &str, known: impl Iterator<Item = &'w str>) -> Option<String> {
        self.near(word, known).map(|name| format!("Did you mean `{name}`?"))
    }

    fn near<'w>(&mut self, word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
        self.searches += 1;
        if self.searches > SEARCHES_MAX { None } else { nearest(word, known) }
    }

    fn workflow(&mut self, document: &Value) -> Option<Draft> {
        let Some(object) = document.as_object() else {
            self.error(
                "",
                "a workflow is a JSON object",
                Some("Begin with { \"id\": …, \"stages\": [ … ] }.".to_owned()),
            );
            return None;
        };
        self.slips(object, "", &FIELDS);
        let id = self.name(object, "", "id", WorkflowId::new);
        let list = self.stage_list(object);
        let mut stages: Vec<Stage> = Vec::with_capacity(list.len());
        let places = self.stages(list, &mut stages);
        let mut index = flow::Index::of(&stages);
        self.check_named(&stages, &places, &index);
        let mut connections = self.connections(object, &mut stages, &index);
        let start = self.start(object, &stages, &connections, &index);
        flow::add_ways_back(&stages, &mut connections);
        let params = self.params(object);
        let schedule = self.schedule(object);
        let on_failure = match object.get("on_failure") {
            None | Some(Value::Null) => None,
            Some(_) => self.name(object, "", "on_failure", WorkflowId::new),
        };
        let (max_steps, timeout) = (self.count(object, "", "max_steps", 1), self.duration(object, "", "timeout"));
        let (triggers, success_criteria) = (words_of(object.get("triggers")), words_of(object.get("success_criteria")));
        self.check_schedule(schedule.as_deref(), &params);
        // What has no name or no beginning has been said to be wrong, and the rest of it is read all the same.
        let id = id.or_else(|| WorkflowId::new("nameless").ok())?;
        let start = match start {
            Some(start) => start,
            None => stages.first()?.id.clone(),
        };
        let mut workflow = Workflow {
            name: text_of(object, "name"),
            version: text_of(object, "version"),
            category: text_of(object, "category"),
            description: text_of(object, "description"),
            triggers,
            params,
            on_failure,
            schedule,
            success_criteria,
            max_steps,
            timeout,
            extra: rest_of(object, &READ),
            ..Workflow::new(id, start, stages, connections)
        };
        // What is kept of the flow is what is not read of it.
        if let Some(flow) = object.get("flow").and_then(Value::as_object) {
            let flow = rest_of(flow, &["connections"]);
            if !flow.is_empty() {
                workflow.extra.insert("flow".to_owned(), Value::Object(flow));
            }
        }
        flow::choose_merging_stages(&mut workflow, object);
        index = flow::Index::of(&workflow.stages);
        self.check(&workflow, &places, &index);
        self.check_templates(&workflow, &places);
        Some(Draft { workflow, places })
    }

    /// A task that its schedule adds is given nothing.
    fn check_schedule(&mut self, schedule: Option<&str>, params: &BTreeMap<String, Param>) {
        let needed = || params.iter().filter(|(_, param)| param.required && param.default.is_none());
        if schedule.is_none() || needed().next().is_none() {
            return;
        }
        let names = listed(needed().map(|(name, _)| name.as_str()));
        let message = format!("nothing gives {names} at these times, so each of them would be left out");
        let suggestion =
            "Give it a `default`, or write the schedule into .pipeline/registry.json, where it can have `params`.";
        self.warn("/schedule", message, Some(suggestion.to_owned()));
    }

    fn schedule(&mut self, object: &Map<String, Value>) -> Option<String> {
        let value = object.get("schedule").filter(|value| !value.is_null())?;
        let Some(text) = value.as_str() else {
            self.error("/schedule", "`schedule` is a text", Some(super::schedule::EXAMPLES.to_owned()));
            return None;
        };
        match Schedule::parse(text) {
            Ok(_) => Some(text.to_owned()),
            Err(problem) => {
                self.error("/schedule", problem, Some(super::schedule::EXAMPLES.to_owned()));
                None
            }
        }
    }

    fn name<T>(
        &mut self,
        object: &Map<String, Value>,
        at: &str,
        key: &str,
        parse: fn(&str) -> Result<T, crate::ids::NameError>,
    ) -> Option<T> {
        match object.get(key) {
            Some(Value::String(text)) => match parse(text) {
                Ok(name) => Some(name),
                Err(error) => {
                    self.error(&format!("{at}/{key}"), error.to_string(), None);
                    None
                }
            },
            Some(_) => {
                let suggestion = format!("Write \"{key}\": \"name\".");
                self.error(&format!("{at}/{key}"), format!("`{key}` must be a text"), Some(suggestion));
                None
            }
            None => {
                let suggestion = format!("Add \"{key}\": \"name\", with a name in letters, digits and `-`.");
                self.error(at, format!("`{key}` is missing"), Some(suggestion));
                None
            }
        }
    }
}

/// A descriptive text; numbers are often written as versions.
fn text_of(object: &Map<String, Value>, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The fields that are not read.
fn rest_of(object: &Map<String, Value>, read: &[&str]) -> Map<String, Value> {
    let rest = object.iter().filter(|(key, _)| !read.contains(&key.as_str()));
    rest.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Texts for people, however they are written down: one, a list, or an object of them.
fn words_of(value: Option<&Value>) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(word).collect(),
        Some(Value::Object(object)) => object.iter().map(|(key, value)| format!("{key}: {}", word(value))).collect(),
        Some(one) => vec![word(one)],
    }
}

#[cfg(test)]
mod tests;
