//! Reads a workflow file's JSON into what the engine runs on. Every problem is reported by JSON pointer, so that the
//! caller can name file, line and column; unknown fields are kept, never an error.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{CONFLICT, Choice, Connection, FAILED, SUCCESS, Stage, Verify, Workflow, choose};
use crate::ids::{Role, StageId, WorkflowId};
use crate::text::distance;

/// Something wrong with a workflow file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What.
    pub message: String,
    /// What to write instead, as a full sentence.
    pub suggestion: Option<String>,
    /// Whether the workflow can be run all the same.
    pub warning: bool,
}

/// Fields of stages that the format knows and this version does not run yet.
const NOT_RUN_YET: [&str; 6] = ["run", "probe", "workflow", "matrix", "parallel", "on_cancel"];
/// The role whose stages merge unless they say otherwise.
const MERGING_ROLE: &str = "supervisor";

/// Reads a workflow. `roles` are those that some agent has; `None` leaves them unchecked.
///
/// # Errors
/// Every problem found, warnings included, if at least one makes the workflow impossible to run.
pub fn parse(document: &Value, roles: Option<&BTreeSet<Role>>) -> Result<(Workflow, Vec<Problem>), Vec<Problem>> {
    let mut reader = Reader { problems: Vec::new(), roles };
    let workflow = reader.workflow(document);
    match workflow {
        Some(workflow) if reader.problems.iter().all(|p| p.warning) => Ok((workflow, reader.problems)),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    problems: Vec<Problem>,
    roles: Option<&'a BTreeSet<Role>>,
}

impl Reader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(Problem {
            pointer: pointer.to_owned(),
            message: message.into(),
            suggestion,
            warning: false,
        });
    }

    fn warn(&mut self, pointer: &str, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(Problem { pointer: pointer.to_owned(), message: message.into(), suggestion, warning: true });
    }

    fn workflow(&mut self, document: &Value) -> Option<Workflow> {
        let Some(object) = document.as_object() else {
            self.error("", "a workflow is a JSON object", None);
            return None;
        };
        let id = self.name(object, "", "id", WorkflowId::new);
        let stages = self.stages(object);
        let connections = self.connections(object, &stages);
        let start = self.start(object, &stages, &connections);
        let (id, start) = (id?, start?);
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut workflow = Workflow {
            id,
            name: text("name"),
            version: text("version"),
            category: text("category"),
            description: text("description"),
            stages,
            connections,
            start,
            extra: object
                .iter()
                .filter(|(key, _)| {
                    !["id", "name", "version", "category", "description", "stages"].contains(&key.as_str())
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        };
        choose_merging_stages(&mut workflow, object);
        self.check_ways(&workflow);
        Some(workflow)
    }

    fn name<T>(
        &mut self,
        object: &Map<String, Value>,
        at: &str,
        key: &str,
        parse: fn(&str) -> Result<T, crate::ids::NameError>,
    ) -> Option<T> {
        let pointer = format!("{at}/{key}");
        match object.get(key) {
            Some(Value::String(text)) => match parse(text) {
                Ok(name) => Some(name),
                Err(error) => {
                    self.error(&pointer, error.to_string(), None);
                    None
                }
            },
            Some(_) => {
                self.error(&pointer, format!("`{key}` must be a text"), None);
                None
            }
            None => {
                self.error(at, format!("`{key}` is missing"), None);
                None
            }
        }
    }

    fn stages(&mut self, object: &Map<String, Value>) -> Vec<Stage> {
        let Some(list) = object.get("stages").and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            let at = if object.contains_key("stages") { "/stages" } else { "" };
            self.error(at, "a workflow needs a list `stages` with at least one stage", None);
            return Vec::new();
        };
        let mut stages: Vec<Stage> = Vec::with_capacity(list.len());
        let mut seen: HashSet<StageId> = HashSet::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = format!("/stages/{index}");
            let Some(stage) = self.stage(value, &at) else { continue };
            if seen.insert(stage.id.clone()) {
                stages.push(stage);
            } else {
                self.error(&format!("{at}/id"), format!("there are two stages `{}`", stage.id), None);
            }
        }
        stages
    }

    fn stage(&mut self, value: &Value, at: &str) -> Option<Stage> {
        let Some(object) = value.as_object() else {
            self.error(at, "a stage is a JSON object", None);
            return None;
        };
        for key in NOT_RUN_YET.iter().filter(|key| object.contains_key(**key)) {
            let message = format!("stages with `{key}` are part of the format but not run by this version");
            self.error(&format!("{at}/{key}"), message, None);
        }
        let id = self.name(object, at, "id", StageId::new);
        let role = self.name(object, at, "agent", Role::new);
        if let (Some(role), Some(known)) = (&role, self.roles)
            && !known.contains(role)
        {
            let names: Vec<&str> = known.iter().map(Role::as_str).collect();
            let suggestion = format!("Use one of the roles of config.toml ({}), or add an agent.", names.join(", "));
            self.error(&format!("{at}/agent"), format!("no agent has the role `{role}`"), Some(suggestion));
        }
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let verify = match object.get("verify") {
            None | Some(Value::Bool(false) | Value::Null) => Verify::None,
            Some(Value::Bool(true)) => Verify::Project,
            Some(Value::String(command)) => Verify::Command(command.clone()),
            Some(_) => {
                self.error(&format!("{at}/verify"), "`verify` is true, false or a command", None);
                Verify::None
            }
        };
        let decisions = self.decisions(object, at);
        let timeout = self.duration(object, at, "timeout");
        let backoff = self.duration(object, at, "backoff");
        let retries = self.count(object, at, "retries");
        let max_visits = self.count(object, at, "max_visits");
        let (id, role) = (id?, role?);
        let inputs = object.get("inputs").and_then(Value::as_array).into_iter().flatten();
        Some(Stage {
            name: text("name").unwrap_or_else(|| id.to_string()),
            description: text("description").or_else(|| text("prompt")).unwrap_or_default(),
            inputs: inputs.filter_map(Value::as_str).map(str::to_owned).collect(),
            approval: object.get("approval").and_then(Value::as_bool).unwrap_or(false),
            merge: object.get("merge").and_then(Value::as_bool).unwrap_or(role.as_str() == MERGING_ROLE),
            id,
            role,
            decisions,
            verify,
            timeout,
            retries,
            backoff,
            max_visits,
        })
    }

    fn decisions(&mut self, object: &Map<String, Value>, at: &str) -> Vec<Choice> {
        let mut choices = Vec::new();
        let Some(list) = object.get("decisions") else { return choices };
        let Some(list) = list.as_array() else {
            self.error(&format!("{at}/decisions"), "`decisions` is a list", None);
            return choices;
        };
        for (index, value) in list.iter().enumerate() {
            let pointer = format!("{at}/decisions/{index}");
            let (word, description) = match value {
                Value::String(word) => (Some(word.as_str()), ""),
                Value::Object(choice) => (
                    choice.get("choice").and_then(Value::as_str),
                    choice.get("description").and_then(Value::as_str).unwrap_or_default(),
                ),
                _ => (None, ""),
            };
            match word.filter(|word| crate::claim::outcome::is_word(word)) {
                Some(word) => choices.push(Choice { choice: word.to_owned(), description: description.to_owned() }),
                None => self.error(&pointer, "a decision is a word, or an object with a word as `choice`", None),
            }
        }
        choices
    }

    fn duration(&mut self, object: &Map<String, Value>, at: &str, key: &str) -> Option<SignedDuration> {
        let value = object.get(key)?;
        let parsed = match value {
            Value::String(text) => text.parse::<SignedDuration>().ok(),
            Value::Number(seconds) => seconds.as_i64().map(SignedDuration::from_secs),
            _ => None,
        };
        let parsed = parsed.filter(|d| d.is_positive());
        if parsed.is_none() {
            let suggestion = Some("Write durations like \"30s\", \"5m\" or \"1h30m\".".to_owned());
            self.error(&format!("{at}/{key}"), format!("`{key}` is not a duration"), suggestion);
        }
        parsed
    }

    fn count(&mut self, object: &Map<String, Value>, at: &str, key: &str) -> Option<u32> {
        let value = object.get(key)?;
        let parsed = value.as_u64().and_then(|n| u32::try_from(n).ok());
        if parsed.is_none() {
            self.error(&format!("{at}/{key}"), format!("`{key}` is not a whole number"), None);
        }
        parsed
    }

    fn connections(&mut self, object: &Map<String, Value>, stages: &[Stage]) -> Vec<Connection> {
        let flow = object.get("flow").and_then(|flow| flow.get("connections"));
        let (list, at) = match (flow, object.get("connections")) {
            (Some(list), _) => (Some(list), "/flow/connections"),
            (None, list) => (list, "/connections"),
        };
        let Some(list) = list.and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            if list.is_some_and(|list| !list.is_array()) {
                self.error(at, "`connections` is a list", None);
            }
            // Without connections the stages run in order.
            let pairs = stages.windows(2).map(|pair| (&pair[0].id, Some(pair[1].id.clone())));
            let last = stages.last().filter(|_| stages.len() > 1).map(|last| (&last.id, None));
            return pairs
                .chain(last)
                .map(|(from, to)| Connection { from: from.clone(), to, condition: None })
                .collect();
        };
        let known: HashSet<&str> = stages.iter().map(|s| s.id.as_str()).collect();
        let mut connections = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            connections.extend(self.connection(value, &format!("{at}/{index}"), &known));
        }
        connections
    }

    fn connection(&mut self, value: &Value, at: &str, known: &HashSet<&str>) -> Option<Connection> {
        let Some(object) = value.as_object() else {
            self.error(at, "a connection is a JSON object", None);
            return None;
        };
        let from = self.end(object.get("from"), &format!("{at}/from"), at, known)?;
        let to = match object.get("to") {
            None | Some(Value::Null) => None,
            Some(value) => Some(self.end(Some(value), &format!("{at}/to"), at, known)?),
        };
        let condition = match object.get("condition") {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) => Some(word.clone()),
            Some(_) => {
                self.error(&format!("{at}/condition"), "`condition` is a decision's word", None);
                return None;
            }
        };
        Some(Connection { from, to, condition })
    }

    fn end(&mut self, value: Option<&Value>, pointer: &str, at: &str, known: &HashSet<&str>) -> Option<StageId> {
        let Some(text) = value.and_then(Value::as_str) else {
            let at = if value.is_some() { pointer } else { at };
            self.error(at, "a connection leads `from` a stage `to` a stage, or to null", None);
            return None;
        };
        if known.contains(text) {
            return StageId::new(text).ok();
        }
        let nearest = known.iter().min_by_key(|name| distance(name, text)).filter(|name| distance(name, text) <= 3);
        let suggestion = nearest.map(|name| format!("Did you mean `{name}`?"));
        self.error(pointer, format!("there is no stage `{text}`"), suggestion);
        None
    }

    fn start(&mut self, object: &Map<String, Value>, stages: &[Stage], connections: &[Connection]) -> Option<StageId> {
        for key in ["startStage", "entryPoint", "start"] {
            if let Some(value) = object.get(key).filter(|v| v.is_string()) {
                let known: HashSet<&str> = stages.iter().map(|s| s.id.as_str()).collect();
                return self.end(Some(value), &format!("/{key}"), "", &known);
            }
        }
        let led_to: HashSet<&StageId> =
            connections.iter().filter(|c| Some(&c.from) != c.to.as_ref()).filter_map(|c| c.to.as_ref()).collect();
        let first = stages.iter().find(|s| !led_to.contains(&s.id)).or_else(|| stages.first());
        first.map(|s| s.id.clone())
    }

    /// Stages that nothing leads to, and decisions that lead nowhere.
    fn check_ways(&mut self, workflow: &Workflow) {
        let mut reached: HashSet<&StageId> = HashSet::from([&workflow.start]);
        let mut todo = vec![&workflow.start];
        let ways = Ways::of(workflow);
        while let Some(stage) = todo.pop() {
            for to in ways.from(stage).filter_map(|connection| connection.to.as_ref()) {
                if reached.insert(to) {
                    todo.push(to);
                }
            }
        }
        let mut found = Vec::new();
        for (index, stage) in workflow.stages.iter().enumerate() {
            let at = format!("/stages/{index}");
            if !reached.contains(&stage.id) {
                let suggestion = Some("Add a connection to it, or remove it.".to_owned());
                found.push((at.clone(), format!("nothing leads to stage `{}`", stage.id), suggestion, false));
            }
            let words: Vec<&str> = if stage.decisions.is_empty() { vec![SUCCESS] } else { stage.choices() };
            for word in words {
                if choose(ways.from(&stage.id), word).is_none() {
                    // A failure or a conflict without a connection hands the task to a person, which may be meant.
                    let optional = word == FAILED || word == CONFLICT;
                    let message = format!("stage `{}` may decide `{word}`, and no connection handles it", stage.id);
                    let suggestion = format!(
                        "Add {{ \"from\": \"{}\", \"to\": …, \"condition\": \"{word}\" }} to the connections.",
                        stage.id
                    );
                    found.push((at.clone(), message, Some(suggestion), optional));
                }
            }
        }
        for (at, message, suggestion, warning) in found {
            if warning {
                self.warn(&at, message, suggestion);
            } else {
                self.error(&at, message, suggestion);
            }
        }
    }
}

/// The connections by the stage they come from, so that a file of thousands of stages is checked in one pass.
struct Ways<'a>(HashMap<&'a StageId, Vec<&'a Connection>>);

impl<'a> Ways<'a> {
    fn of(workflow: &'a Workflow) -> Self {
        let mut ways: HashMap<&StageId, Vec<&Connection>> = HashMap::new();
        for connection in &workflow.connections {
            ways.entry(&connection.from).or_default().push(connection);
        }
        Self(ways)
    }

    fn from(&self, stage: &StageId) -> impl Iterator<Item = &'a Connection> + Clone {
        self.0.get(stage).map(Vec::as_slice).unwrap_or_default().iter().copied()
    }
}

/// A workflow whose work nobody merges would never reach base: where the file is silent and no supervisor stage merges,
/// the stages do whose success ends the workflow.
fn choose_merging_stages(workflow: &mut Workflow, object: &Map<String, Value>) {
    let said = object
        .get("stages")
        .and_then(Value::as_array)
        .is_some_and(|stages| stages.iter().any(|stage| stage.get("merge").is_some()));
    if said || workflow.stages.iter().any(|stage| stage.merge) {
        return;
    }
    let ways = Ways::of(workflow);
    let last: HashSet<StageId> = workflow
        .stages
        .iter()
        .filter(|stage| {
            let words: Vec<&str> = if stage.decisions.is_empty() { vec![SUCCESS] } else { stage.choices() };
            words.iter().any(|word| *word != FAILED && choose(ways.from(&stage.id), word) == Some(None))
        })
        .map(|stage| stage.id.clone())
        .collect();
    for stage in &mut workflow.stages {
        stage.merge = last.contains(&stage.id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Next;
    use super::*;
    use serde_json::json;

    fn problems(document: &Value) -> Vec<String> {
        match parse(document, None) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        }
        .into_iter()
        .map(|p| format!("{} {}", p.pointer, p.message))
        .collect()
    }

    #[test]
    fn stages_without_connections_run_in_order_and_the_last_one_merges() {
        let document = json!({"id": "w", "stages": [{"id": "a", "agent": "x"}, {"id": "b", "agent": "y"}]});
        let (workflow, warnings) = parse(&document, None).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let a = StageId::new("a").unwrap();
        assert!(matches!(workflow.next(&a, SUCCESS), Next::Stage(stage) if stage.id.as_str() == "b"));
        assert_eq!(workflow.next(&StageId::new("b").unwrap(), SUCCESS), Next::End);
        assert_eq!(workflow.next(&a, FAILED), Next::Nowhere);
        assert_eq!(workflow.stages.iter().map(|s| s.merge).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn both_places_of_connections_and_both_names_of_the_start_are_read() {
        for (flow, start) in [(true, "startStage"), (false, "entryPoint")] {
            let list = json!([{"from": "b", "to": "a"}, {"from": "a", "to": null}]);
            let mut document = json!({"id": "w", "stages": [{"id": "a", "agent": "x"}, {"id": "b", "agent": "x"}]});
            document[start] = json!("b");
            if flow {
                document["flow"] = json!({"type": "sequential", "connections": list});
            } else {
                document["connections"] = list;
            }
            let (workflow, _) = parse(&document, None).unwrap();
            assert_eq!(workflow.start.as_str(), "b");
        }
    }

    #[test]
    fn problems_name_their_place() {
        let document = json!({
            "id": "w",
            "stages": [{"id": "a", "agent": "x", "decisions": ["yes", "no"]}, {"id": "b", "agent": "x", "timeout": "soon"}, {"id": "c", "agent": "x", "run": "true"}],
            "connections": [{"from": "a", "to": "bb", "condition": "yes"}]
        });
        let found = problems(&document);
        for expected in [
            "/stages/1/timeout `timeout` is not a duration",
            "/stages/2/run stages with `run`",
            "/connections/0/to there is no stage `bb`",
            "/stages/1 nothing leads to stage `b`",
            "/stages/0 stage `a` may decide `no`",
        ] {
            assert!(found.iter().any(|p| p.starts_with(expected)), "{expected} not in {found:#?}");
        }
    }

    #[test]
    fn the_default_workflow_has_no_loose_ends() {
        let workflow = super::super::tdd();
        let mut reader = Reader { problems: Vec::new(), roles: None };
        reader.check_ways(&workflow);
        assert_eq!(reader.problems, []);
    }
}
