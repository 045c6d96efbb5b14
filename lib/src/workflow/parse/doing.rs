//! What is done at a stage where no single agent works: commands, other workflows, stages at the same time, hubs; and
//! what is measured and kept of it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::Reader;
use super::fields::escape;
use super::slips::{HUB, REQUIREMENT, SUB_WORKFLOW, THRESHOLD};
use crate::ids::{StageId, WorkflowId};
use crate::workflow::hub::{Budget, Hub, Requirement, Warning};
use crate::workflow::{Doing, Figure, Threshold, render};

/// The fields of which a stage has at most one.
const WAYS: [&str; 4] = ["run", "workflow", "parallel", "hub"];
/// The most tasks that one stage becomes.
const COMBINATIONS_MAX: usize = 256;
/// Figures of which less is better, where only a number is written.
const BETTER_LOW: [&str; 6] = ["failures", "failed", "errors", "warnings", "vulnerabilities", "skipped"];

impl Reader<'_> {
    /// What is done; `None` where it could not be read.
    pub(super) fn doing(&mut self, object: &Map<String, Value>, at: &str) -> Option<Doing> {
        let there: Vec<&str> =
            WAYS.iter().copied().filter(|key| object.get(*key).is_some_and(|value| !value.is_null())).collect();
        if let [first, second, ..] = there.as_slice() {
            let suggestion = Some("Make two stages of this one.".to_owned());
            let message = format!("a stage has either `{first}` or `{second}`");
            self.error(&format!("{at}/{second}"), message, suggestion);
        }
        match there.first() {
            None => Some(Doing::Agent),
            Some(&"run") => self.command(object, at, "run").map(Doing::Command),
            Some(&"workflow") => self.sub_workflow(object.get("workflow")?, &format!("{at}/workflow")),
            Some(&"parallel") => self.parallel(object.get("parallel")?, &format!("{at}/parallel")),
            Some(_) => self.hub(object.get("hub")?, &format!("{at}/hub")).map(Doing::Hub),
        }
    }

    fn sub_workflow(&mut self, value: &Value, at: &str) -> Option<Doing> {
        const FORM: &str = "Write \"name\", or { \"id\": \"name\", \"params\": { … } }.";
        let (name, params) = match value {
            Value::String(name) => (Some(name.as_str()), BTreeMap::new()),
            Value::Object(object) => {
                self.slips(object, at, &SUB_WORKFLOW);
                let params = match object.get("params") {
                    None | Some(Value::Null) => BTreeMap::new(),
                    Some(Value::Object(given)) => given.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                    Some(_) => {
                        self.error(&format!("{at}/params"), "`params` is an object", Some(FORM.to_owned()));
                        BTreeMap::new()
                    }
                };
                (object.get("id").and_then(Value::as_str), params)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => (None, BTreeMap::new()),
        };
        let Some(name) = name else {
            self.error(at, "`workflow` names another workflow", Some(FORM.to_owned()));
            return None;
        };
        match WorkflowId::new(name) {
            Ok(workflow) => Some(Doing::Workflow { workflow, params }),
            Err(error) => {
                self.error(at, error.to_string(), None);
                None
            }
        }
    }

    fn parallel(&mut self, value: &Value, at: &str) -> Option<Doing> {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            let suggestion = Some("Write their ids: [\"lint\", \"test\"].".to_owned());
            self.error(at, "`parallel` is a list of stages", suggestion);
            return None;
        };
        let mut parts: Vec<StageId> = Vec::with_capacity(list.len());
        let mut seen = HashSet::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let pointer = format!("{at}/{index}");
            let Some(part) = self.stage_name(item, &pointer) else { continue };
            if seen.insert(part.clone()) {
                parts.push(part);
            } else {
                self.error(&pointer, format!("`{part}` is listed twice"), Some("Remove one.".to_owned()));
            }
        }
        (parts.len() == list.len()).then_some(Doing::Parallel(parts))
    }

    fn stage_name(&mut self, value: &Value, at: &str) -> Option<StageId> {
        match value.as_str().map(StageId::new) {
            Some(Ok(stage)) => Some(stage),
            Some(Err(error)) => {
                self.error(at, error.to_string(), None);
                None
            }
            None => {
                self.error(at, "this is the id of a stage, as a text", None);
                None
            }
        }
    }

    fn hub(&mut self, value: &Value, at: &str) -> Option<Hub> {
        const FORM: &str =
            "Write { \"requirements\": [ { \"name\": …, \"stage\": …, \"probe\": … } ], \"recovery\": … }.";
        if let Some(object) = value.as_object() {
            self.slips(object, at, &HUB);
        }
        let list = value.get("requirements").and_then(Value::as_array).filter(|list| !list.is_empty());
        let (Some(object), Some(list)) = (value.as_object(), list) else {
            self.error(at, "a hub has a list of `requirements`", Some(FORM.to_owned()));
            return None;
        };
        let mut hub = Hub::default();
        for (index, item) in list.iter().enumerate() {
            let pointer = format!("{at}/requirements/{index}");
            hub.requirements.extend(self.requirement(item, &pointer));
        }
        for key in ["recovery", "validation"] {
            if let Some(value) = object.get(key).filter(|value| !value.is_null()) {
                let stage = self.stage_name(value, &format!("{at}/{key}"));
                *(if key == "recovery" { &mut hub.recovery } else { &mut hub.validation }) = stage;
            }
        }
        match object.get("warnings") {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for (index, item) in list.iter().enumerate() {
                    let pointer = format!("{at}/warnings/{index}");
                    let name = item.get("name").and_then(Value::as_str);
                    let probe = item.as_object().and_then(|item| self.command(item, &pointer, "probe"));
                    match (name, probe) {
                        (Some(name), Some(probe)) => hub.warnings.push(Warning { name: name.to_owned(), probe }),
                        _ => self.error(&pointer, "a warning has a `name` and a `probe`", None),
                    }
                }
            }
            Some(_) => self.error(&format!("{at}/warnings"), "`warnings` is a list", None),
        }
        hub.budget = self.budget(object, at);
        self.check_requirements(&hub, at);
        Some(hub)
    }

    fn budget(&mut self, object: &Map<String, Value>, at: &str) -> Budget {
        const FORM: &str = "Write { \"asks\": 20, \"tokens\": 100000, \"cost_usd\": 2.5 }, or a part of it.";
        let at = format!("{at}/budget");
        let Some(value) = object.get("budget").filter(|value| !value.is_null()) else { return Budget::default() };
        let Some(table) = value.as_object() else {
            self.error(&at, "`budget` is an object", Some(FORM.to_owned()));
            return Budget::default();
        };
        let (asks, tokens, cost) = (table.get("asks"), table.get("tokens"), table.get("cost_usd"));
        let budget = Budget {
            asks: asks.and_then(Value::as_u64).and_then(|asks| u32::try_from(asks).ok()),
            tokens: tokens.and_then(Value::as_u64),
            cost_usd: cost.and_then(Value::as_f64).filter(|cost| *cost >= 0.0),
        };
        let read = [
            ("asks", asks.is_some(), budget.asks.is_some()),
            ("tokens", tokens.is_some(), budget.tokens.is_some()),
            ("cost_usd", cost.is_some(), budget.cost_usd.is_some()),
        ];
        for (key, _, _) in read.iter().filter(|(_, said, understood)| *said && !*understood) {
            self.error(&format!("{at}/{key}"), format!("`{key}` is a number from 0"), Some(FORM.to_owned()));
        }
        for key in table.keys().filter(|key| !read.iter().any(|(known, _, _)| known == key)) {
            self.warn(&format!("{at}/{}", escape(key)), format!("a budget has no `{key}`"), Some(FORM.to_owned()));
        }
        budget
    }

    fn requirement(&mut self, value: &Value, at: &str) -> Option<Requirement> {
        let Some(object) = value.as_object() else {
            self.error(at, "a requirement is a JSON object", None);
            return None;
        };
        self.slips(object, at, &REQUIREMENT);
        let stage = self.name(object, at, "stage", StageId::new)?;
        let name = object.get("name").and_then(Value::as_str).map_or_else(|| stage.to_string(), str::to_owned);
        let (probe, after) = (self.command(object, at, "probe"), self.texts(object, at, "after"));
        Some(Requirement { name, stage, probe, after })
    }

    /// Names that are there once, and an order in which they can be met.
    fn check_requirements(&mut self, hub: &Hub, at: &str) {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, requirement) in hub.requirements.iter().enumerate() {
            if known.insert(&requirement.name, index).is_some() {
                let message = format!("there are two requirements `{}`", requirement.name);
                self.error(&format!("{at}/requirements/{index}/name"), message, None);
            }
        }
        for (index, requirement) in hub.requirements.iter().enumerate() {
            for (place, after) in requirement.after.iter().enumerate() {
                if !known.contains_key(after.as_str()) {
                    let suggestion = self.meant(after, known.keys().copied());
                    let pointer = format!("{at}/requirements/{index}/after/{place}");
                    self.error(&pointer, format!("there is no requirement `{after}`"), suggestion);
                }
            }
        }
        let edges: Vec<Vec<usize>> = hub
            .requirements
            .iter()
            .map(|requirement| requirement.after.iter().filter_map(|name| known.get(name.as_str()).copied()).collect())
            .collect();
        for ring in super::loops::loops(&edges) {
            let names: Vec<&str> = ring.iter().map(|at| hub.requirements[*at].name.as_str()).collect();
            let pointer = format!("{at}/requirements/{}/after", ring.first().copied().unwrap_or_default());
            let message = format!("requirements wait for one another: {}", names.join(", "));
            self.error(&pointer, message, Some("Remove one of them from `after`.".to_owned()));
        }
    }

    pub(super) fn matrix(&mut self, object: &Map<String, Value>, at: &str) -> BTreeMap<String, Vec<Value>> {
        const FORM: &str = "Write { \"environment\": [\"testnet\", \"regtest\"] }.";
        let mut matrix = BTreeMap::new();
        let Some(value) = object.get("matrix").filter(|value| !value.is_null()) else { return matrix };
        let pointer = format!("{at}/matrix");
        let Some(table) = value.as_object().filter(|table| !table.is_empty()) else {
            self.error(&pointer, "`matrix` is an object of lists", Some(FORM.to_owned()));
            return matrix;
        };
        let mut combinations = 1_usize;
        for (name, values) in table {
            let pointer = format!("{pointer}/{}", escape(name));
            match values.as_array() {
                Some(list) if !list.is_empty() => {
                    combinations = combinations.saturating_mul(list.len());
                    for (index, value) in list.iter().enumerate() {
                        self.check_matrix_value(value, &format!("{pointer}/{index}"));
                    }
                }
                Some(_) => {
                    let message = format!("`{name}` has no values, so the stage would never run");
                    self.error(&pointer, message, Some("Add one, or remove it.".to_owned()));
                }
                None => self.error(&pointer, format!("`{name}` is a list of values"), Some(FORM.to_owned())),
            }
            // The name is there, whatever is wrong with its values.
            matrix.insert(name.clone(), values.as_array().cloned().unwrap_or_default());
        }
        if combinations > COMBINATIONS_MAX {
            let message = format!("this makes {combinations} tasks; a stage becomes at most {COMBINATIONS_MAX}");
            self.error(&pointer, message, Some("Take values out, or make two stages of this one.".to_owned()));
        }
        matrix
    }

    /// The values of a matrix are known before there is a task, so that nothing is filled in there.
    fn check_matrix_value(&mut self, value: &Value, at: &str) {
        match value {
            Value::String(text) if render::is_template(text) => {
                let text = crate::text::one_line(text, 80);
                let message = format!("`{text}` stays as it is: nothing is filled in in a matrix");
                let suggestion = "Write the value itself, or put the placeholder into what the stage does.";
                self.error(at, message, Some(suggestion.to_owned()));
            }
            Value::Array(list) => list.iter().for_each(|value| self.check_matrix_value(value, at)),
            Value::Object(table) => table.values().for_each(|value| self.check_matrix_value(value, at)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    pub(super) fn artifacts(&mut self, object: &Map<String, Value>, at: &str) -> Vec<String> {
        let globs = self.texts(object, at, "artifacts");
        for (index, glob) in globs.iter().enumerate() {
            if glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
                let suggestion = Some("Write a path from the root of the repository, such as dist/**.".to_owned());
                let message = format!("`{glob}` leads out of the repository");
                self.error(&format!("{at}/artifacts/{index}"), message, suggestion);
            }
        }
        globs
    }

    pub(super) fn thresholds(&mut self, object: &Map<String, Value>, at: &str) -> Vec<Threshold> {
        let pointer = format!("{at}/thresholds");
        match object.get("thresholds") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => {
                let all = list.iter().enumerate();
                all.filter_map(|(index, item)| self.threshold(None, item, &format!("{pointer}/{index}"))).collect()
            }
            Some(Value::Object(table)) => {
                let all = table.iter();
                all.filter_map(|(name, item)| self.threshold(Some(name), item, &format!("{pointer}/{}", escape(name))))
                    .collect()
            }
            Some(_) => {
                let suggestion = Some("Write { \"coverage\": 80 }.".to_owned());
                self.error(&pointer, "`thresholds` is a list of thresholds, or an object of numbers", suggestion);
                Vec::new()
            }
        }
    }

    fn threshold(&mut self, name: Option<&String>, value: &Value, at: &str) -> Option<Threshold> {
        const FORM: &str = "Write { \"name\": \"coverage\", \"from\": { \"lcov\": \"lcov.info\" }, \"min\": 80 }.";
        if let (Some(name), Some(bound)) = (name, value.as_f64()) {
            let low = BETTER_LOW.contains(&name.to_ascii_lowercase().as_str());
            let (min, max) = if low { (None, Some(bound)) } else { (Some(bound), None) };
            return Some(Threshold { name: name.clone(), from: Figure::Output(name.clone()), min, max });
        }
        if let Some(object) = value.as_object() {
            self.slips(object, at, &THRESHOLD);
        }
        let name = name.map(String::as_str).or_else(|| value.get("name").and_then(Value::as_str));
        let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
            self.error(at, "a threshold has a `name`", Some(FORM.to_owned()));
            return None;
        };
        let from = match value.get("from") {
            None | Some(Value::Null) => Some(Figure::Output(name.to_owned())),
            Some(from) => figure(from),
        };
        let Some(from) = from else {
            let message = "`from` names one of `output`, `lcov`, `cobertura` and `junit`";
            self.error(&format!("{at}/from"), message, Some(FORM.to_owned()));
            return None;
        };
        let bound = |key: &str| value.get(key).filter(|bound| !bound.is_null());
        for key in ["min", "max"] {
            if bound(key).is_some_and(|bound| !bound.is_number()) {
                self.error(&format!("{at}/{key}"), format!("`{key}` is a number"), None);
            }
        }
        let (min, max) = (bound("min").and_then(Value::as_f64), bound("max").and_then(Value::as_f64));
        if bound("min").is_none() && bound("max").is_none() {
            self.error(at, "a threshold has a `min` or a `max`", Some(FORM.to_owned()));
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.error(at, format!("no figure is at least {min} and at most {max}"), None);
        }
        Some(Threshold { name: name.to_owned(), from, min, max })
    }
}

fn figure(value: &Value) -> Option<Figure> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (key, text) = object.iter().next()?;
    let text = text.as_str().filter(|text| !text.is_empty())?.to_owned();
    Some(match key.as_str() {
        "output" => Figure::Output(text),
        "lcov" => Figure::Lcov(text),
        "cobertura" => Figure::Cobertura(text),
        "junit" => Figure::Junit(text),
        _ => return None,
    })
}
