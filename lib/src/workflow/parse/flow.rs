//! Where decisions lead: connections in the places where files have them, the way back to a hub, the stage a task enters
//! by, and the stages that merge.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::Reader;
use super::slips::CONNECTION;
use crate::ids::StageId;
use crate::text::listed;
use crate::workflow::{
    CONFLICT, Choice, Connection, Doing, FAILED, Place, SUCCESS, Stage, Workflow, asks_a_person, choose,
};

/// Names of the end of a workflow, where no stage has them.
const ENDS: [&str; 5] = ["end", "END", "done", "complete", "null"];
/// Conditions that mean any decision, where the stage does not list them.
const ANY: [&str; 4] = ["*", "always", "any", "default"];
/// The fields that name the first stage.
const STARTS: [&str; 3] = ["startStage", "entryPoint", "start"];

/// The names of stages that are listed are among the first so many.
const LISTED_OF: usize = 32;

/// The stages by their names, so that a file of thousands of stages is checked in one pass.
pub(super) struct Index(HashMap<StageId, usize>);

impl Index {
    pub(super) fn of(stages: &[Stage]) -> Self {
        Self(stages.iter().enumerate().map(|(at, stage)| (stage.id.clone(), at)).collect())
    }

    /// The first of them in the order of the file, in a sentence.
    pub(super) fn listed(&self) -> String {
        let mut names: Vec<(&StageId, &usize)> = self.0.iter().filter(|(_, at)| **at < LISTED_OF).collect();
        names.sort_by_key(|(_, at)| **at);
        listed(names.into_iter().map(|(id, _)| id.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(StageId::as_str)
    }
}

/// The connections by the stage they come from.
pub(super) struct Ways<'a>(HashMap<&'a StageId, Vec<&'a Connection>>);

impl<'a> Ways<'a> {
    pub(super) fn of(connections: &'a [Connection]) -> Self {
        let mut ways: HashMap<&StageId, Vec<&Connection>> = HashMap::new();
        for connection in connections {
            ways.entry(&connection.from).or_default().push(connection);
        }
        Self(ways)
    }

    pub(super) fn from(&self, stage: &StageId) -> impl Iterator<Item = &'a Connection> + Clone {
        self.0.get(stage).map(Vec::as_slice).unwrap_or_default().iter().copied()
    }
}

/// The stages that a stage starts by itself: the parts of a parallel one, and what a hub delegates to.
pub(super) fn delegates(stage: &Stage) -> Vec<&StageId> {
    match &stage.doing {
        Doing::Agent | Doing::Command(_) | Doing::Workflow { .. } => Vec::new(),
        Doing::Parallel(parts) => parts.iter().collect(),
        Doing::Hub(hub) => {
            let stages = hub.requirements.iter().map(|requirement| &requirement.stage);
            stages.chain(&hub.recovery).chain(&hub.validation).collect()
        }
    }
}

impl Reader<'_> {
    pub(super) fn connections(
        &mut self,
        object: &Map<String, Value>,
        stages: &mut [Stage],
        index: &Index,
    ) -> Vec<Connection> {
        let flow = object.get("flow").and_then(|flow| flow.get("connections"));
        let top = object.get("connections");
        let (list, at) = match (flow, top) {
            (Some(list), _) => (Some(list), "/flow/connections"),
            (None, list) => (list, "/connections"),
        };
        if flow.is_some() && top.is_some_and(|top| !top.is_null() && Some(top) != flow) {
            let message = "`flow.connections` counts, so these are not followed";
            self.warn("/connections", message, Some("Keep one of the two lists.".to_owned()));
        }
        let mut connections = Vec::new();
        let mut complete = true;
        match list {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                connections.reserve(list.len());
                for (place, value) in list.iter().enumerate() {
                    let pointer = format!("{at}/{place}");
                    match self.connection(value, &pointer, stages, index) {
                        Some(connection) => {
                            connections.push(connection);
                            self.listed.push(pointer);
                        }
                        None => complete = false,
                    }
                }
                self.refuse_doubles(&connections);
            }
            Some(_) => {
                complete = false;
                (self.lost.leads_anywhere, self.lost.handles_anything) = (true, true);
                let suggestion = "Write [ { \"from\": \"a\", \"to\": \"b\" } ].".to_owned();
                self.error(at, "`connections` is a list", Some(suggestion));
            }
        }
        let said = list.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let routed = routing(stages, index, &connections);
        let routed_any = !routed.is_empty();
        connections.extend(routed);
        if !said && !routed_any && complete {
            return in_order(stages);
        }
        list_what_is_connected(stages, &connections, index);
        connections
    }

    fn connection(&mut self, value: &Value, at: &str, stages: &[Stage], index: &Index) -> Option<Connection> {
        let Some(object) = value.as_object() else {
            (self.lost.leads_anywhere, self.lost.handles_anything) = (true, true);
            let suggestion = Some("Write { \"from\": \"a\", \"to\": \"b\" }.".to_owned());
            self.error(at, "a connection is a JSON object", suggestion);
            return None;
        };
        self.slips(object, at, &CONNECTION);
        let from = self.end(object.get("from"), &format!("{at}/from"), at, index);
        let to = match object.get("to") {
            None | Some(Value::Null) => None,
            Some(Value::String(end)) if index.get(end).is_none() && ENDS.contains(&end.as_str()) => None,
            Some(value) => Some(self.end(Some(value), &format!("{at}/to"), at, index)),
        };
        // Where it leads is what was probably meant, or anywhere.
        let to = match to {
            None => None,
            Some(End::There(to)) => Some(to),
            Some(End::Lost(near)) => {
                self.lost.leads_anywhere |= near.is_none();
                near
            }
        };
        let from = match from {
            End::There(from) => from,
            End::Lost(near) => {
                self.lost.handles_anything |= near.is_none();
                self.lost.handled.extend(near);
                self.lost.led_to.extend(to);
                return None;
            }
        };
        let condition = match object.get("condition") {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) => {
                let listed = index.get(from.as_str()).is_some_and(|at| stages[at].choices().contains(&word.as_str()));
                (listed || !ANY.contains(&word.as_str())).then(|| word.clone())
            }
            Some(_) => {
                let suggestion = Some("Write \"condition\": \"success\", or leave it out.".to_owned());
                self.error(&format!("{at}/condition"), "`condition` is a decision's word", suggestion);
                self.lost.handled.insert(from);
                self.lost.led_to.extend(to);
                return None;
            }
        };
        Some(Connection { from, to, condition })
    }

    fn end(&mut self, value: Option<&Value>, pointer: &str, at: &str, index: &Index) -> End {
        let Some(text) = value.and_then(Value::as_str) else {
            let at = if value.is_some() { pointer } else { at };
            let suggestion = Some("Write { \"from\": \"a\", \"to\": \"b\" }.".to_owned());
            self.error(at, "a connection leads `from` a stage `to` a stage, or to null", suggestion);
            return End::Lost(None);
        };
        match index.get(text).and_then(|_| StageId::new(text).ok()) {
            Some(stage) => End::There(stage),
            None => End::Lost(self.no_stage(text, pointer, index)),
        }
    }

    /// Of two connections for the same decision the second would never be followed.
    fn refuse_doubles(&mut self, connections: &[Connection]) {
        let mut seen = HashMap::with_capacity(connections.len());
        for (place, connection) in connections.iter().enumerate() {
            let first = seen.entry((&connection.from, &connection.condition)).or_insert(connection);
            if first.to != connection.to {
                let word = connection.condition.as_deref().unwrap_or("any other decision");
                let message = format!("`{word}` of stage `{}` is connected twice", connection.from);
                let pointer = self.listed.get(place).cloned().unwrap_or_default();
                self.error(&pointer, message, Some("Remove one of the connections.".to_owned()));
            }
        }
    }

    pub(super) fn start(
        &mut self,
        object: &Map<String, Value>,
        stages: &[Stage],
        connections: &[Connection],
        index: &Index,
    ) -> Option<StageId> {
        let said = |key: &&str| object.get(*key).filter(|value| value.is_string());
        if let Some(first) = STARTS.iter().find(|key| said(key).is_some()) {
            let value = said(first);
            for other in STARTS.iter().filter(|key| said(key).is_some_and(|other| Some(other) != value)) {
                let message = format!("`{first}` names another stage, and it counts");
                self.warn(&format!("/{other}"), message, Some("Keep one of the two.".to_owned()));
            }
            return match self.end(value, &format!("/{first}"), "", index) {
                End::There(start) => Some(start),
                End::Lost(near) => {
                    self.lost.leads_anywhere |= near.is_none();
                    near
                }
            };
        }
        let mut led_to: HashSet<&StageId> =
            connections.iter().filter(|c| Some(&c.from) != c.to.as_ref()).filter_map(|c| c.to.as_ref()).collect();
        led_to.extend(stages.iter().flat_map(delegates));
        let first = stages.iter().find(|s| !led_to.contains(&s.id)).or_else(|| stages.first());
        first.map(|s| s.id.clone())
    }
}

/// The stage that a connection names.
enum End {
    /// It is there.
    There(StageId),
    /// It is not, which has been said; the one that was probably meant.
    Lost(Option<StageId>),
}

/// Without connections the stages run in order, but for those that another stage starts.
fn in_order(stages: &[Stage]) -> Vec<Connection> {
    let started: HashSet<&StageId> = stages.iter().flat_map(delegates).collect();
    let line: Vec<&StageId> = stages.iter().map(|stage| &stage.id).filter(|id| !started.contains(id)).collect();
    let ends = line.iter().skip(1).map(|to| Some((*to).clone())).chain([None]);
    let pairs = line.iter().zip(ends).filter(|_| line.len() > 1);
    pairs.map(|(from, to)| Connection { from: (*from).clone(), to, condition: None }).collect()
}

/// Connections that a stage's own `routing` states: decisions and the stages they lead to. A `routing` of another form is
/// something else.
fn routing(stages: &[Stage], index: &Index, connections: &[Connection]) -> Vec<Connection> {
    if stages.iter().all(|stage| stage.extra.is_empty()) {
        return Vec::new();
    }
    let taken: HashSet<(&StageId, Option<&str>)> =
        connections.iter().map(|connection| (&connection.from, connection.condition.as_deref())).collect();
    let mut found = Vec::new();
    for stage in stages {
        let Some(table) = stage.extra.get("routing").and_then(Value::as_object) else { continue };
        let end = |value: &Value| match value {
            Value::Null => Some(None),
            Value::String(name) if index.get(name).is_some() => StageId::new(name).ok().map(Some),
            Value::String(name) if ENDS.contains(&name.as_str()) => Some(None),
            _ => None,
        };
        let ends: Option<Vec<(&String, Option<StageId>)>> =
            table.iter().map(|(word, value)| Some((word, end(value)?))).collect();
        for (word, to) in ends.unwrap_or_default() {
            let condition = Some(word.clone()).filter(|word| !ANY.contains(&word.as_str()));
            if !taken.contains(&(&stage.id, condition.as_deref())) {
                found.push(Connection { from: stage.id.clone(), to, condition });
            }
        }
    }
    found
}

/// A stage that lists no decisions may decide what its connections name.
fn list_what_is_connected(stages: &mut [Stage], connections: &[Connection], index: &Index) {
    let silent: Vec<bool> = stages.iter().map(|stage| stage.decisions.is_empty()).collect();
    for connection in connections {
        let Some(at) = index.get(connection.from.as_str()).filter(|at| silent[*at]) else { continue };
        let Some(word) = connection.condition.as_ref() else { continue };
        let known = stages[at].decisions.iter().any(|choice| choice.choice == *word);
        if !known && crate::claim::outcome::is_word(word) {
            stages[at].decisions.push(Choice { choice: word.clone(), ..Choice::default() });
        }
    }
    for (stage, silent) in stages.iter_mut().zip(silent) {
        // These three any stage may come to.
        if silent && stage.decisions.iter().all(|choice| [SUCCESS, FAILED, CONFLICT].contains(&choice.choice.as_str()))
        {
            stage.decisions.clear();
        }
    }
}

/// What a hub delegates to comes back to it, whatever became of it, unless the file says where it goes.
pub(super) fn add_ways_back(stages: &[Stage], connections: &mut Vec<Connection>) {
    let connected: HashSet<&StageId> = connections.iter().map(|connection| &connection.from).collect();
    let mut added: Vec<Connection> = Vec::new();
    let mut seen: HashSet<&StageId> = HashSet::new();
    for hub in stages.iter().filter(|stage| matches!(stage.doing, Doing::Hub(_))) {
        for stage in delegates(hub) {
            if connected.contains(stage) || *stage == hub.id || !seen.insert(stage) {
                continue;
            }
            let back = |condition: Option<&str>| Connection {
                from: stage.clone(),
                to: Some(hub.id.clone()),
                condition: condition.map(str::to_owned),
            };
            added.extend([back(None), back(Some(FAILED))]);
        }
    }
    connections.extend(added);
}

/// A workflow whose work nobody merges would never reach base: where the file is silent and no supervisor stage merges,
/// the stages do that can end the workflow, with the decisions that end it. Where no agent works, nobody has asked for
/// anything to be changed: what commands commit stays on the task's branch unless the file says `merge`.
pub(super) fn choose_merging_stages(workflow: &mut Workflow, object: &Map<String, Value>) {
    let said = object
        .get("stages")
        .and_then(Value::as_array)
        .is_some_and(|stages| stages.iter().any(|stage| stage.get("merge").is_some()));
    if said || workflow.stages.iter().any(|stage| stage.merge) {
        return;
    }
    let ways = Ways::of(&workflow.connections);
    let started: HashSet<&StageId> = workflow.stages.iter().flat_map(delegates).collect();
    // What is done in the main checkout is on no branch.
    let on_a_branch = workflow.stages.iter().any(|stage| stage.place == Place::Worktree);
    let may_be_worked_at = |stage: &Stage| matches!(stage.doing, Doing::Agent | Doing::Workflow { .. });
    if !workflow.stages.iter().any(may_be_worked_at) {
        return;
    }
    let last: Vec<bool> = workflow
        .stages
        .iter()
        .map(|stage| {
            let ends =
                |word: &str| word != FAILED && !asks_a_person(word) && choose(ways.from(&stage.id), word) == Some(None);
            on_a_branch && !started.contains(&stage.id) && stage.words().into_iter().any(ends)
        })
        .collect();
    for (stage, last) in workflow.stages.iter_mut().zip(last) {
        stage.merge = last;
        stage.merge_chosen = last;
    }
}
