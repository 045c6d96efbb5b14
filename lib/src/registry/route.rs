//! Which workflow an event starts, why, and what the task on it is given.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Expression, Origin, Rule};
use crate::task::PRIORITY_DEFAULT;
use crate::workflow::{Workflow, params, render};

/// Something that happened, for which there may be a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// What: `bug_report`.
    pub event_type: String,
    /// What is known about it.
    pub params: BTreeMap<String, Value>,
}

/// Where an event leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Route<'r> {
    /// This rule counts.
    Rule(&'r Rule),
    /// Several workflows say that they are started by it, and no rule of the registry decides.
    Several(Vec<&'r Rule>),
    /// No rule matches.
    Nowhere,
}

/// What the task of an event is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// What the workflow declares.
    pub params: BTreeMap<String, Value>,
    /// Names that came with the event and that the workflow does not take.
    pub left_out: Vec<String>,
}

impl Occurrence {
    /// What conditions and templates may name: `event_type`, `params.NAME`, and `NAME` where it is nothing else.
    #[must_use]
    pub fn values(&self) -> Value {
        let params: Map<String, Value> =
            self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut values = params.clone();
        values.insert("params".to_owned(), Value::Object(params));
        values.insert("event_type".to_owned(), json!(self.event_type));
        Value::Object(values)
    }

    /// The rule that counts, and what was strange about conditions.
    #[must_use]
    pub fn route<'r>(&self, rules: &'r [Rule]) -> (Route<'r>, Vec<String>) {
        let values = self.values();
        let mut problems = Vec::new();
        let mut found: Vec<&Rule> = Vec::new();
        for rule in rules {
            let verdict = rule.expression.holds(&values);
            let said = verdict.problems.into_iter().map(|problem| format!("{}: {problem}", rule.condition));
            problems.extend(said);
            if verdict.holds {
                found.push(rule);
            }
        }
        // The sort is stable: rules of one priority stay in the order of the file.
        found.sort_by_key(|rule| (rule.origin, rule.priority));
        let Some(first) = found.first().copied() else { return (Route::Nowhere, problems) };
        let rivals: Vec<&Rule> = found.into_iter().filter(|rule| rule.origin == first.origin).collect();
        let guessed = matches!(first.origin, Origin::Project | Origin::Shipped);
        let several = guessed && rivals.iter().any(|rule| rule.workflow != first.workflow);
        (if several { Route::Several(rivals) } else { Route::Rule(first) }, problems)
    }

    /// What a task on a workflow is given for this event: what the event brought and the workflow takes, and what the
    /// rule says.
    ///
    /// # Errors
    /// When a template of the rule cannot be written.
    pub fn given(&self, rule: &Rule, workflow: &Workflow) -> Result<Given, String> {
        let mut given = Given::default();
        for (name, value) in &self.params {
            if let Some(own) = params::declared(&workflow.params, name) {
                given.params.insert(own.to_owned(), value.clone());
            } else if !rule.params.contains_key(name) {
                given.left_out.push(name.clone());
            }
        }
        if workflow.params.contains_key("event_type") {
            given.params.insert("event_type".to_owned(), self.event_type.as_str().into());
        }
        let values = self.values();
        for (name, value) in &rule.params {
            let value = match value.as_str().filter(|text| render::is_template(text)) {
                Some(template) => render::text(template, &values)
                    .map(Value::String)
                    .map_err(|error| format!("parameter `{name}` of the rule `{}`: {error}", rule.condition))?,
                None => value.clone(),
            };
            given.params.insert(name.clone(), value);
        }
        Ok(given)
    }
}

/// The rules that workflows say about themselves with their triggers.
pub fn triggers<'w>(workflows: impl IntoIterator<Item = &'w Workflow>, origin: Origin) -> Vec<Rule> {
    let of_one = |workflow: &'w Workflow| {
        workflow.triggers.iter().map(move |trigger| Rule {
            condition: format!("event_type == '{trigger}'"),
            expression: Expression::of("event_type", trigger),
            workflow: workflow.id.clone(),
            priority: PRIORITY_DEFAULT,
            params: BTreeMap::new(),
            origin,
        })
    };
    workflows.into_iter().flat_map(of_one).collect()
}
