//! Chains: workflows one after the other, by name. A chain is made into an ordinary workflow whose stages are workflows,
//! so that the one engine runs it: on one branch, with everything that holds for a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::ids::{StageId, WorkflowId, command_role};
use crate::workflow::{Connection, Doing, FAILED, Param, ParamKind, Stage, Verify, Workflow};

/// Workflows one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Its name.
    pub id: WorkflowId,
    /// Where it stands in its file, as a JSON pointer.
    pub at: String,
    /// What it is for.
    pub description: String,
    /// The category that counts for it as a whole; empty: only those of its parts count.
    pub category: String,
    /// Events that start it.
    pub triggers: Vec<String>,
    /// The workflows, in order.
    pub links: Vec<Link>,
    /// Whether a workflow that fails ends the chain. Otherwise the next one goes on.
    pub stop_on_failure: bool,
    /// The workflow that is started when the chain fails.
    pub on_failure: Option<WorkflowId>,
}

/// What a workflow that was made of a chain has among its further fields.
const MARK: &str = "chain";

/// Whether a workflow was made of a chain.
#[must_use]
pub fn is_chain(workflow: &Workflow) -> bool {
    workflow.extra.get(MARK).is_some_and(|mark| mark.get("stop_on_failure").is_some())
}

/// One workflow of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Which.
    pub workflow: WorkflowId,
    /// What it is given; what is not here it is given from what the chain is given, by the same name.
    pub params: BTreeMap<String, Value>,
}

impl Chain {
    /// The workflows it names.
    pub fn names(&self) -> impl Iterator<Item = &WorkflowId> {
        self.links.iter().map(|link| &link.workflow).chain(&self.on_failure)
    }

    /// The chain as a workflow. `find` knows the workflows it is made of.
    ///
    /// # Errors
    /// The first workflow that is not there.
    pub fn workflow(&self, find: impl Fn(&WorkflowId) -> Option<Arc<Workflow>>) -> Result<Workflow, WorkflowId> {
        let mut stages: Vec<Stage> = Vec::with_capacity(self.links.len());
        let mut params: BTreeMap<String, Param> = BTreeMap::new();
        let mut merges = false;
        for link in &self.links {
            let sub = find(&link.workflow).ok_or_else(|| link.workflow.clone())?;
            merges |= sub.stages.iter().any(|stage| stage.merge_chosen);
            stages.push(self.stage(link, &sub, &stages, &mut params));
        }
        if let Some(last) = stages.last_mut().filter(|_| merges) {
            // Its parts leave merging to whom they are a part of.
            (last.merge, last.verify) = (true, Verify::Project);
        }
        let mut connections = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let next = stages.get(at + 1).map(|stage| stage.id.clone());
            let after_failure = if self.stop_on_failure { None } else { next.clone() };
            connections.push(Connection { from: stage.id.clone(), to: next, condition: None });
            let condition = Some(FAILED.to_owned());
            connections.push(Connection { from: stage.id.clone(), to: after_failure, condition });
        }
        let start = stages.first().map(|stage| stage.id.clone()).ok_or_else(|| self.id.clone())?;
        let extra = Map::from_iter([(MARK.to_owned(), json!({ "stop_on_failure": self.stop_on_failure }))]);
        Ok(Workflow {
            name: self.id.as_str().replace('_', " "),
            description: self.description.clone(),
            category: self.category.clone(),
            triggers: self.triggers.clone(),
            params,
            on_failure: self.on_failure.clone(),
            extra,
            ..Workflow::new(self.id.clone(), start, stages, connections)
        })
    }

    /// One workflow as a stage. What it needs and is not given becomes a parameter of the chain.
    fn stage(&self, link: &Link, sub: &Workflow, before: &[Stage], params: &mut BTreeMap<String, Param>) -> Stage {
        let mut given = link.params.clone();
        for (name, param) in &sub.params {
            if given.contains_key(name) {
                continue;
            }
            let Some(template) = passed_on(name, param) else { continue };
            given.insert(name.clone(), template.into());
            match params.get_mut(name) {
                None => drop(params.insert(name.clone(), param.clone())),
                Some(known) => join(known, param),
            }
        }
        let first = StageId::new(link.workflow.as_str());
        let again = || (2_u32..).filter_map(|n| StageId::new(&format!("{}-{n}", link.workflow)).ok());
        let is_free = |id: &StageId| before.iter().all(|stage| stage.id != *id);
        let id = first.into_iter().chain(again()).find(is_free);
        Stage {
            name: sub.name.clone(),
            description: sub.description.clone(),
            doing: Doing::Workflow { workflow: link.workflow.clone(), params: given },
            // A workflow tries its own stages again.
            retries: Some(0),
            ..Stage::new(id.unwrap_or_else(|| before_id(before)), command_role().clone())
        }
    }
}

/// There are fewer stages than numbers, so this is never asked for.
fn before_id(before: &[Stage]) -> StageId {
    let number = format!("part-{}", before.len() + 1);
    StageId::new(&number).expect("letters and digits make a well-formed id")
}

/// The template by which a part is given what the chain was given. Where that is nothing, the part's own default holds, or
/// what is empty; there is no empty number, so a number that may be missing is not passed on.
fn passed_on(name: &str, param: &Param) -> Option<String> {
    let empty = match param.kind {
        ParamKind::Text => Some(json!("")),
        ParamKind::Boolean => Some(json!(false)),
        ParamKind::List => Some(json!([])),
        ParamKind::Object => Some(json!({})),
        ParamKind::Number | ParamKind::Integer => None,
    };
    let name = Value::from(name);
    if param.required && param.default.is_none() {
        return Some(format!("{{{{ params[{name}] }}}}"));
    }
    let fitting = |empty: &Value| crate::workflow::params::accept(param, empty).is_ok();
    let instead = param.default.clone().or(empty.filter(fitting))?;
    Some(format!("{{{{ params[{name}] | default({instead}) }}}}"))
}

/// Two parts take a parameter of one name.
fn join(known: &mut Param, other: &Param) {
    known.required |= other.required;
    if known.required || known.default != other.default {
        known.default = None;
    }
    let new = |alias: &&String| !known.aliases.contains(*alias);
    let new: Vec<String> = other.aliases.iter().filter(new).cloned().collect();
    known.aliases.extend(new);
    if known.kind != other.kind {
        known.kind = ParamKind::Text;
    }
    if known.choices != other.choices || known.kind != other.kind {
        known.choices.clear();
    }
}
