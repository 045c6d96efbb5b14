//! New tasks: what they have to be before any of them is added.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::SignedDuration;
use serde_json::Value;

use crate::budget::Spent;
use crate::decide::Rules;
use crate::event::{NewTask, Refusal};
use crate::fact::Fact;
use crate::ids::{TaskId, WorkflowId};
use crate::task::{PRIORITY_LEAST_URGENT, PRIORITY_MOST_URGENT, Stops, Task, TaskState};
use crate::workflow::{Workflow, params};

/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 300;

impl Rules<'_> {
    pub(in crate::decide) fn add_tasks(&self, new: &[NewTask]) -> Result<Vec<Fact>, Refusal> {
        let mut next_number = self.p.core.next_number;
        let mut named: Vec<(TaskId, &NewTask)> = Vec::with_capacity(new.len());
        let mut batch: HashSet<String> = HashSet::with_capacity(new.len());
        for task in new {
            if let Some(id) = &task.id
                && !batch.insert(id.as_str().to_ascii_lowercase())
            {
                return Err(Refusal::Duplicate(id.clone()));
            }
        }
        for task in new {
            let id = match &task.id {
                Some(id) => self.unused(id)?,
                None => loop {
                    let id = TaskId::new(&format!("TASK-{next_number:03}")).expect("a number makes a well-formed id");
                    next_number += 1;
                    if self.unused(&id).is_ok() && batch.insert(id.as_str().to_ascii_lowercase()) {
                        break id;
                    }
                },
            };
            named.push((id, task));
        }
        let ids: HashSet<&TaskId> = named.iter().map(|(id, _)| id).collect();
        for (id, task) in &named {
            self.check_new(id, task, &ids)?;
        }
        let order = dependency_order(&named)?;
        let base = self.p.core.next_order;
        Ok(order
            .into_iter()
            .map(|index| {
                let (id, new) = &named[index];
                Fact::TaskAdded { task: Box::new(self.new_task(id, new, base + index as u64)) }
            })
            .collect())
    }

    /// Ids that differ only by case would share a file on some file systems.
    pub(in crate::decide) fn unused(&self, id: &TaskId) -> Result<TaskId, Refusal> {
        match self.p.same_name(id) {
            Some(other) => Err(Refusal::Duplicate(other)),
            None => Ok(id.clone()),
        }
    }

    fn check_new(&self, id: &TaskId, task: &NewTask, batch: &HashSet<&TaskId>) -> Result<(), Refusal> {
        check_title(&task.title)?;
        check_priority(task.priority)?;
        check_paths(&task.paths)?;
        if let Some(workflow) = task.workflow.as_ref().filter(|_| task.pinned.is_none()) {
            self.check_workflow(workflow)?;
        }
        self.check_params(task)?;
        for dependency in &task.depends_on {
            if dependency == id {
                return Err(Refusal::Cycle(vec![id.clone()]));
            }
            if !batch.contains(dependency) {
                self.check_dependency(id, dependency)?;
            }
        }
        Ok(())
    }

    pub(super) fn check_workflow(&self, workflow: &WorkflowId) -> Result<(), Refusal> {
        if self.p.core.workflows.contains_key(workflow) {
            return Ok(());
        }
        let known = self.p.core.workflows.keys().map(ToString::to_string).collect();
        Err(Refusal::NoWorkflow { name: workflow.to_string(), known })
    }

    /// The map that a new task would travel, where it names one.
    fn map_of<'t>(&'t self, task: &'t NewTask) -> Option<&'t Workflow> {
        let named = || self.p.core.workflows.get(task.workflow.as_ref()?);
        task.pinned.as_ref().or_else(named).map(AsRef::as_ref)
    }

    /// What a task is given has to be what its workflow declares.
    fn check_params(&self, task: &NewTask) -> Result<(), Refusal> {
        let Some(workflow) = self.map_of(task) else {
            return match task.params.keys().next() {
                Some(name) => Err(Refusal::Invalid(format!("the default workflow has no parameter `{name}`"))),
                None => Ok(()),
            };
        };
        let refused = |why: String| Refusal::Invalid(format!("workflow `{}`: {why}", workflow.id));
        let given = params::check(&workflow.params, &task.params).map_err(|problems| refused(problems.join("; ")))?;
        let needed: Vec<String> = workflow
            .needed_all_the_same(&given)
            .into_iter()
            .map(|(name, stage)| format!("parameter `{name}` is missing: stage {} cannot do without it", stage.id))
            .collect();
        if needed.is_empty() { Ok(()) } else { Err(refused(needed.join("; "))) }
    }

    pub(super) fn check_dependency(&self, task: &TaskId, dependency: &TaskId) -> Result<(), Refusal> {
        if self.p.task(dependency.as_str()).is_some() || self.p.core.archived.contains_key(dependency) {
            return Ok(());
        }
        Err(Refusal::UnknownDependency { task: task.clone(), dependency: dependency.clone() })
    }

    pub(in crate::decide) fn new_task(&self, id: &TaskId, new: &NewTask, order: u64) -> Task {
        let default = WorkflowId::new("tdd").expect("a literal workflow id is well formed");
        // After a clock was set back, a new task must not look older than all others and push them aside.
        let now = self.now.at.max(self.p.core.updated_at);
        let mut depends_on = new.depends_on.clone();
        depends_on.sort_unstable();
        depends_on.dedup();
        Task {
            id: id.clone(),
            title: new.title.trim().to_owned(),
            body: new.body.clone(),
            priority: new.priority,
            depends_on,
            workflow: new.pinned.as_ref().map(|map| &map.id).or(new.workflow.as_ref()).cloned().unwrap_or(default),
            pinned: new.pinned.clone(),
            paths: new.paths.clone(),
            group: new.group.clone(),
            created_at: now,
            order,
            state: TaskState::Unassigned,
            started_at: None,
            along: BTreeMap::new(),
            waited: SignedDuration::ZERO,
            waited_to: None,
            finished_at: None,
            left_at: None,
            resumed: false,
            lost_place: false,
            put_aside: false,
            given_up: false,
            state_since: now,
            attempt: 0,
            visits: std::collections::BTreeMap::new(),
            forgiven: 0,
            brain: None,
            replay: new.replay.clone().map(Box::new),
            pinned_agent: None,
            not_before: None,
            held: None,
            reason: None,
            feedback: None,
            outputs: Vec::new(),
            runs: Vec::new(),
            spent: Spent::default(),
            merged: None,
            params: self.params_of(new),
            parent: None,
            stops: Some(Box::new(new.stops.clone())).filter(|stops| **stops != Stops::default()),
            probed: false,
            resume: None,
            asked_again: false,
            asked_by: new.asked_by.clone(),
            parts: Vec::new(),
        }
    }

    /// What a task is given, with the defaults of what it is not.
    fn params_of(&self, new: &NewTask) -> BTreeMap<String, Value> {
        let declared = self.map_of(new).map(|map| &map.params);
        declared.and_then(|declared| params::check(declared, &new.params).ok()).unwrap_or_default()
    }
}

pub(super) fn check_title(title: &str) -> Result<(), Refusal> {
    let title = title.trim();
    if title.is_empty() {
        return Err(Refusal::Invalid("a task needs a title".to_owned()));
    }
    if title.chars().count() > TITLE_CHARS_MAX {
        return Err(Refusal::Invalid(format!("the title is longer than {TITLE_CHARS_MAX} characters; use --body")));
    }
    if title.chars().any(char::is_control) {
        return Err(Refusal::Invalid("the title contains a line break or another control character".to_owned()));
    }
    Ok(())
}

pub(super) fn check_priority(priority: u8) -> Result<(), Refusal> {
    if (PRIORITY_MOST_URGENT..=PRIORITY_LEAST_URGENT).contains(&priority) {
        return Ok(());
    }
    let range = format!("{PRIORITY_MOST_URGENT} (most urgent) to {PRIORITY_LEAST_URGENT}");
    Err(Refusal::Invalid(format!("priority {priority} is not in {range}")))
}

pub(super) fn check_paths(paths: &[String]) -> Result<(), Refusal> {
    let bad = |p: &&String| {
        p.is_empty() || p.starts_with('/') || p.split('/').any(|c| c == "..") || p.chars().any(char::is_control)
    };
    match paths.iter().find(bad) {
        Some(path) => Err(Refusal::Invalid(format!("`{}` is not a path inside the repository", path.escape_debug()))),
        None => Ok(()),
    }
}

/// The order in which new tasks can be added so that each finds those it depends on (Kahn, 1962).
fn dependency_order(named: &[(TaskId, &NewTask)]) -> Result<Vec<usize>, Refusal> {
    use std::collections::BTreeSet;
    let index: HashMap<&TaskId, usize> = named.iter().enumerate().map(|(i, (id, _))| (id, i)).collect();
    let inside = |i: usize| named[i].1.depends_on.iter().filter_map(|d| index.get(d).copied()).collect::<BTreeSet<_>>();
    let waits: Vec<BTreeSet<usize>> = (0..named.len()).map(inside).collect();
    let mut open: Vec<usize> = waits.iter().map(BTreeSet::len).collect();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); named.len()];
    for (i, waits) in waits.iter().enumerate() {
        for dependency in waits {
            behind[*dependency].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..named.len()).filter(|i| open[*i] == 0).collect();
    let mut order = Vec::with_capacity(named.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for next in &behind[i] {
            open[*next] -= 1;
            if open[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    if order.len() == named.len() {
        return Ok(order);
    }
    // Everything left waits for something left, so following dependencies must come round.
    let mut at = (0..named.len()).find(|i| open[*i] > 0).unwrap_or(0);
    let mut path: Vec<usize> = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        at = waits[at].iter().copied().find(|d| open[*d] > 0).unwrap_or(at);
    }
    let start = path.iter().position(|i| *i == at).unwrap_or(0);
    Err(Refusal::Cycle(path[start..].iter().map(|i| named[*i].0.clone()).collect()))
}
