//! The tasks that do parts of a stage, while they are planned: their names, their workflows, what they are given, and which
//! of them have done their part already. When they are started is [`super::compose`]'s.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::Rules;
use crate::event::NewTask;
use crate::ids::TaskId;
use crate::task::{Parent, ParentWhy, Task, TaskState};
use crate::workflow::{Connection, FAILED, SUCCESS, Stage, Workflow};

/// The longest part of a task's name that says which value of a matrix it is for, in characters.
const VALUE_CHARS_MAX: usize = 16;

/// The tasks of a stage while they are made.
pub(super) struct Plan<'a, 'r> {
    rules: &'a Rules<'r>,
    task: &'a Task,
    stage: &'a Stage,
    parts: Parts,
    taken: HashSet<TaskId>,
}

/// The tasks that do a stage.
#[derive(Default)]
pub(super) struct Parts {
    /// All of them, in order.
    pub(super) on: Vec<TaskId>,
    /// Those that are new.
    pub(super) new: Vec<Task>,
}

impl<'a, 'r> Plan<'a, 'r> {
    pub(super) fn of(rules: &'a Rules<'r>, task: &'a Task, stage: &'a Stage) -> Self {
        Self { rules, task, stage, parts: Parts::default(), taken: HashSet::new() }
    }

    pub(super) fn done(self) -> Parts {
        self.parts
    }

    /// A task that did the same part at an attempt before this one. What it has done is not done again.
    fn kept(&self, workflow: &Workflow, given: &BTreeMap<String, Value>) -> Option<&'a TaskId> {
        let rules = self.rules;
        self.task.parts.iter().find(|id| {
            rules.p.task(id.as_str()).is_some_and(|part| {
                let same = part.pinned.as_ref().is_some_and(|map| map.id == workflow.id && map.start == workflow.start);
                part.state == TaskState::Completed && same && part.params == *given
            })
        })
    }

    pub(super) fn add(
        &mut self,
        words: &str,
        workflow: Arc<Workflow>,
        given: BTreeMap<String, Value>,
        branch: Option<TaskId>,
    ) {
        if let Some(kept) = self.kept(&workflow, &given) {
            self.parts.on.push(kept.clone());
            return;
        }
        let words = if words.is_empty() { self.stage.id.to_string() } else { format!("{}.{words}", self.stage.id) };
        let id = self.rules.name_of_part(self.task, &words, &self.taken);
        let new = NewTask {
            title: format!("{} · {words}", self.task.title),
            body: self.task.body.clone(),
            priority: self.task.priority,
            ..NewTask::titled("")
        };
        let order = self.rules.p.core.next_order + self.parts.new.len() as u64;
        let mut part = self.rules.new_task(&id, &new, order);
        part.workflow = workflow.id.clone();
        part.pinned = Some(workflow);
        part.along.clone_from(&self.task.along);
        part.params = given;
        part.outputs.clone_from(&self.task.outputs);
        part.stops = self.task.stops.clone().filter(|stops| stops.every);
        part.parent = Some(Box::new(Parent {
            task: self.task.id.clone(),
            stage: self.stage.id.clone(),
            why: ParentWhy::Part,
            branch,
        }));
        self.parts.on.push(id.clone());
        self.parts.new.push(part);
        self.taken.insert(id);
    }
}

/// A stage as a workflow of its own, whose every decision ends it.
pub(super) fn workflow_of_one(workflow: &Workflow, stage: &Stage) -> Workflow {
    let alone = Stage {
        matrix: BTreeMap::new(),
        merge: false,
        approval: false,
        retries: stage.retries.or_else(|| workflow.hub_of(&stage.id).map(|_| 0)),
        ..stage.clone()
    };
    let end = |word: &str| Connection { from: stage.id.clone(), to: None, condition: Some(word.to_owned()) };
    let mut words: Vec<&str> = stage.choices();
    for word in [SUCCESS, FAILED] {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let connections = words.into_iter().map(end).collect();
    Workflow {
        name: workflow.name.clone(),
        category: workflow.category.clone(),
        params: workflow.params.clone(),
        timeout: workflow.timeout,
        ..Workflow::new(workflow.id.clone(), stage.id.clone(), vec![alone], connections)
    }
}

/// A workflow as a stage of another one, which merges where it says nothing about that itself.
pub(super) fn as_a_part(workflow: &Arc<Workflow>) -> Arc<Workflow> {
    if !workflow.stages.iter().any(|stage| stage.merge_chosen) {
        return workflow.clone();
    }
    let mut part = (**workflow).clone();
    for stage in part.stages.iter_mut().filter(|stage| stage.merge_chosen) {
        (stage.merge, stage.merge_chosen) = (false, false);
    }
    Arc::new(part)
}

pub(super) fn own((name, value): (&&String, &&Value)) -> (String, Value) {
    ((*name).clone(), (*value).clone())
}

/// The values of a matrix as a part of a name.
pub(super) fn value_words(values: &BTreeMap<&String, &Value>) -> String {
    let word = |value: &&Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        text.trim_matches('-').chars().take(VALUE_CHARS_MAX).collect::<String>()
    };
    let words: Vec<String> = values.values().map(word).filter(|word| !word.is_empty()).collect();
    words.join(".")
}
